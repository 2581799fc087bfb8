#include "pair_internal.h"

#include <remora/text.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_OPS 20000 /* without the end of one drain: it never rests */

uint64_t pair_random(pair *p, uint64_t below)
{
    return below ? test_rng_u64(&p->rng) % below : 0;
}

void *pairi_grown(void *old, size_t size)
{
    void *p = realloc(old, size ? size : 1);
    if (!p)
        abort();
    return p;
}

/* ---- a node's adapter -------------------------------------------------- */

void pairi_give(pair *p, int i, rmr_io_event *ev)
{
    pair_node *nd = &p->node[i];
    if (!nd->stopped && nd->m.event(nd->m.self, p->now, ev) != RMR_OK)
        abort();
}

void pairi_tell(pair *p, int i, rmr_io_event_kind kind, uint64_t id,
                rmr_err err)
{
    rmr_io_event ev;
    memset(&ev, 0, sizeof ev);
    ev.kind = kind;
    ev.id = id;
    ev.err = err;
    ev.addr = rmr_addr_v4(127, 0, 0, 1, 4242);
    pairi_give(p, i, &ev);
}

static pair_end *find_end(pair *p, int node, uint64_t id, pair_conn **conn,
                          int *side)
{
    for (size_t i = 0; i < PAIR_CONNS; i++) {
        pair_conn *c = &p->conns[i];
        for (int s = 0; c->used && s < 2; s++) {
            pair_end *e = &c->end[s];
            if (e->kind != PAIR_NODE || e->node != node || e->id != id ||
                e->dead || e->closed)
                continue;
            *conn = c;
            *side = s;
            return e;
        }
    }
    return NULL;
}

void pair_set_addr(pair *p, int i, rmr_addr addr)
{
    rmr_io_links links;
    rmr_io_event ev;
    memset(&links, 0, sizeof links);
    memset(&ev, 0, sizeof ev);
    p->node[i].addr = addr;
    links.addrs = &addr;
    links.n_addrs = 1;
    rmr_addr gateway = rmr_addr_v4(10, 0, 0, 254, 0);
    links.gateways = &gateway;
    links.n_gateways = p->gateway;
    ev.kind = RMR_IO_LINKS;
    ev.links = &links;
    pairi_give(p, i, &ev);
    pair_drain(p, i);
}

void pair_set_wall(pair *p, int i, uint64_t unix_ns)
{
    rmr_io_event ev;
    memset(&ev, 0, sizeof ev);
    ev.kind = RMR_IO_WALL;
    ev.wall_unix_ns = unix_ns;
    pairi_give(p, i, &ev);
    pair_drain(p, i);
}

static void op_connect(pair *p, int i, const rmr_io_op *op)
{
    uint16_t port = op->addr.port;
    if (port != PAIR_RELAY_PORT && (port < 7000 || port > 7999) &&
        !(port == 53 && p->dns_tcp)) {
        pairi_tell(p, i, RMR_IO_FAILED, op->id, RMR_E_REFUSED);
        return;
    }
    pair_conn *c = pairi_conn_new(p);
    c->port = port;
    c->end[0].kind = PAIR_NODE;
    c->end[0].node = i;
    c->end[0].id = op->id;
    c->end[1].kind = port == PAIR_RELAY_PORT ? PAIR_RELAY : PAIR_APP;
    c->end[1].open = true;
}

static void op_listen(pair *p, int i, const rmr_io_op *op)
{
    for (size_t k = 0; k < PAIR_LISTENERS; k++) {
        if (p->listeners[k].used)
            continue;
        p->listeners[k].used = true;
        p->listeners[k].node = i;
        p->listeners[k].id = op->id;
        p->listeners[k].at = op->addr;
        snprintf(p->listeners[k].name, sizeof p->listeners[k].name, "%.*s",
                 (int)op->name.len, (const char *)op->name.ptr);
        pairi_tell(p, i, RMR_IO_OPENED, op->id, RMR_OK);
        return;
    }
    abort();
}

/* Behind what it still sends. */
static void close_end(pair_conn *c, int side)
{
    pair_end *e = &c->end[side];
    e->closed = e->shut = true;
    if (!e->sending)
        c->pipe[side].fin = true;
    c->pipe[1 - side].sink = true;
    c->pipe[1 - side].len = 0;
    if (!e->open)
        pairi_break_from(c, side);
}

static void op_stream(pair *p, int i, const rmr_io_op *op)
{
    pair_conn *c = NULL;
    int side = 0;
    pair_end *e = find_end(p, i, op->id, &c, &side);
    if (!e) {
        pair_socket *s = pairi_socket_of(p, i, op->id);
        if (s)
            s->used = false;
        for (size_t k = 0; k < PAIR_LISTENERS; k++)
            if (p->listeners[k].node == i && p->listeners[k].id == op->id)
                p->listeners[k].used = false;
        return;
    }
    switch (op->kind) {
    case RMR_IO_READ:
        if (!e->open)
            abort();
        e->credit += op->credit;
        break;
    case RMR_IO_STREAM_SEND:
        if (e->sending || e->shut || !e->open || op->data.len == 0)
            abort(); /* against the rules of remora/io.h */
        e->sending = true;
        e->out = pairi_grown(e->out, op->data.len);
        memcpy(e->out, op->data.ptr, op->data.len);
        e->out_len = op->data.len;
        e->out_at = 0;
        break;
    case RMR_IO_SHUTDOWN:
        if (e->shut)
            abort();
        e->shut = true;
        if (!e->sending)
            c->pipe[side].fin = true;
        break;
    case RMR_IO_CLOSE:
        close_end(c, side);
        break;
    default:
        pairi_break_from(c, side);
        break;
    }
}

/* The node has ended: what it left open is closed in order. */
static void stop(pair *p, int i)
{
    p->node[i].stopped = true;
    for (size_t k = 0; k < PAIR_CONNS; k++)
        for (int s = 0; s < 2; s++) {
            const pair_end *e = &p->conns[k].end[s];
            if (p->conns[k].used && e->node == i && e->kind == PAIR_NODE &&
                !e->dead && !e->closed)
                close_end(&p->conns[k], s);
        }
}

static void perform(pair *p, int i, const rmr_io_op *op)
{
    switch (op->kind) {
    case RMR_IO_LOAD:
        pairi_tell(p, i, RMR_IO_FAILED, op->id, RMR_E_NOTFOUND);
        break;
    case RMR_IO_STORE:
        if (!op->more && p->node[i].late_stores)
            p->node[i].stored[p->node[i].stored[0] ? 1 : 0] = op->id;
        else if (!op->more)
            pairi_tell(p, i, RMR_IO_STORED, op->id, RMR_OK);
        break;
    case RMR_IO_LISTEN:
        op_listen(p, i, op);
        break;
    case RMR_IO_UDP_OPEN:
        pairi_udp_open(p, i, op);
        break;
    case RMR_IO_UDP_SEND:
        pairi_udp_send(p, i, op);
        break;
    case RMR_IO_ICMP_OPEN:
        pairi_tell(p, i, RMR_IO_FAILED, op->id, RMR_E_UNSUPPORTED);
        break;
    case RMR_IO_CONNECT:
        op_connect(p, i, op);
        break;
    case RMR_IO_READ:
    case RMR_IO_STREAM_SEND:
    case RMR_IO_SHUTDOWN:
    case RMR_IO_CLOSE:
    case RMR_IO_ABORT:
        op_stream(p, i, op);
        break;
    case RMR_IO_STOP:
        stop(p, i);
        break;
    default:
        break;
    }
}

void pair_drain(pair *p, int i)
{
    pair_node *nd = &p->node[i];
    for (int k = 0; k < MAX_OPS; k++) {
        rmr_io_op op;
        if (!nd->n || nd->stopped)
            return;
        if (nd->m.next_op(nd->m.self, p->now,
                          rmr_buf_of(p->scratch, sizeof p->scratch),
                          &op) != RMR_OK)
            abort();
        if (op.kind == RMR_IO_NONE)
            return;
        perform(p, i, &op);
        memset(p->scratch, 0xdd, sizeof p->scratch); /* lent until here */
    }
    abort();
}

/* ---- steps of a node's stream ------------------------------------------ */

static size_t some(pair *p, size_t max)
{
    size_t n = max;
    if (pair_random(p, 3) == 0)
        n = 1 + pair_random(p, max < 8 ? max : 8);
    else if (pair_random(p, 2) == 0)
        n = 1 + pair_random(p, max);
    return n < max ? n : max;
}

static bool step_out(pair *p, pair_conn *c, int side)
{
    pair_end *e = &c->end[side];
    size_t room = pairi_pipe_room(&c->pipe[side]);
    if (!e->sending || room == 0)
        return false;
    size_t left = e->out_len - e->out_at;
    size_t n = some(p, left < room ? left : room);
    pairi_pipe_put(&c->pipe[side], e->out + e->out_at, n);
    e->out_at += n;
    if (e->out_at < e->out_len)
        return true;
    e->sending = false;
    if (e->shut)
        c->pipe[side].fin = true;
    if (!e->closed)
        pairi_tell(p, e->node, RMR_IO_SENT, e->id, RMR_OK);
    return true;
}

static bool step_in(pair *p, pair_conn *c, int side)
{
    pair_end *e = &c->end[side];
    pair_pipe *in = &c->pipe[1 - side];
    if (e->closed)
        return false;
    if (in->len == 0 && in->fin && !e->eof_told && e->credit > 0) {
        e->eof_told = true;
        pairi_tell(p, e->node, RMR_IO_EOF, e->id, RMR_OK);
        return true;
    }
    if (in->len == 0 || e->credit == 0)
        return false;
    size_t n = some(p, in->len < e->credit ? in->len : e->credit);
    uint8_t *copy = pairi_grown(NULL, n); /* exact, so that overruns are seen */
    memcpy(copy, in->buf, n);
    pairi_pipe_drop(in, n);
    e->credit -= n;
    rmr_io_event ev;
    memset(&ev, 0, sizeof ev);
    ev.kind = RMR_IO_BYTES;
    ev.id = e->id;
    ev.data = rmr_buf_of(copy, n);
    pairi_give(p, e->node, &ev);
    free(copy);
    return true;
}

static bool step_end(pair *p, pair_conn *c, int side)
{
    pair_end *e = &c->end[side];
    if (e->dead)
        return false;
    if (e->kind == PAIR_RELAY)
        return pairi_relay_run(p, c);
    if (e->kind != PAIR_NODE)
        return false;
    if (e->reset_due) {
        e->dead = true;
        pairi_tell(p, e->node, RMR_IO_RESET, e->id, RMR_E_RESET);
        return true;
    }
    if (!e->open) {
        if (pair_random(p, 4))
            return true; /* later */
        rmr_io_event ev;
        memset(&ev, 0, sizeof ev);
        ev.kind = RMR_IO_OPENED;
        ev.id = e->id;
        ev.addr = p->node[e->node].addr;
        ev.addr.port = (uint16_t)(50000 + e->id % 10000);
        e->open = true;
        pairi_give(p, e->node, &ev);
        return true;
    }
    if (pair_random(p, 2))
        return step_out(p, c, side) || step_in(p, c, side);
    return step_in(p, c, side) || step_out(p, c, side);
}

/* Nobody will hear of it any more. */
static bool is_over(const pair_conn *c)
{
    for (int i = 0; i < 2; i++) {
        const pair_end *e = &c->end[i];
        if (!e->dead && !(e->closed && !e->sending))
            return false;
    }
    return true;
}

static bool step_store(pair *p)
{
    for (int i = 0; i < 2; i++) {
        uint64_t *ids = p->node[i].stored;
        uint64_t *id = ids[0] ? &ids[0] : &ids[1];
        if (!*id)
            continue;
        uint64_t done = *id;
        *id = 0;
        pairi_tell(p, i, RMR_IO_STORED, done, RMR_OK);
        pair_drain(p, i);
        return true;
    }
    return false;
}

bool pair_step(pair *p)
{
    size_t first = pair_random(p, 2 * PAIR_CONNS);
    if (first % 2 == 0 && pairi_step_datagram(p))
        return true;
    for (size_t k = 0; k < 2 * PAIR_CONNS; k++) {
        size_t at = (first + k) % (2 * PAIR_CONNS);
        pair_conn *c = &p->conns[at / 2];
        int side = (int)(at % 2);
        if (!c->used || !step_end(p, c, side))
            continue;
        if (c->end[side].kind == PAIR_NODE)
            pair_drain(p, c->end[side].node);
        return true;
    }
    if (pairi_step_datagram(p) || step_store(p))
        return true;
    for (size_t k = 0; k < PAIR_CONNS; k++)
        if (p->conns[k].used && is_over(&p->conns[k]) &&
            p->conns[k].end[1].kind == PAIR_RELAY)
            pairi_conn_free(&p->conns[k]);
    return false;
}

void pair_wait(pair *p, rmr_dur d)
{
    rmr_time at = rmr_time_add(p->now, d);
    for (int i = 0; i < 2; i++)
        if (p->node[i].n && !p->node[i].stopped)
            at =
                rmr_time_min(at, p->node[i].m.next_deadline(p->node[i].m.self));
    if (at > p->now)
        p->now = at;
    for (int i = 0; i < 2; i++) {
        pair_node *nd = &p->node[i];
        if (!nd->n || nd->stopped || nd->m.next_deadline(nd->m.self) > p->now)
            continue;
        if (nd->m.handle_deadline(nd->m.self, p->now) != RMR_OK)
            abort();
        pair_drain(p, i);
        /* T5: a handled deadline is gone. */
        if (!nd->stopped && nd->m.next_deadline(nd->m.self) <= p->now)
            abort();
    }
}

bool pair_run(pair *p, rmr_dur d, bool (*until)(void *user), void *user)
{
    rmr_time end = rmr_time_add(p->now, d);
    while (p->now < end) {
        if (until && until(user))
            return true;
        if (!pair_step(p))
            pair_wait(p, rmr_time_since(end, p->now));
        else if (pair_random(p, 16) == 0)
            pair_wait(p, pair_random(p, 2 * RMR_MS));
    }
    return until && until(user);
}

/* ---- life -------------------------------------------------------------- */

void pair_init(pair *p, uint64_t seed)
{
    memset(p, 0, sizeof *p);
    test_rng_seed(&p->rng, seed);
    p->now = RMR_SEC;
    p->relay_private[3] = 77;
    rmr_x25519_public(p->relay_public, p->relay_private);
    for (int i = 0; i < 2; i++) {
        pair_node *nd = &p->node[i];
        test_rng_seed(&nd->rng, seed * 2 + (uint64_t)i);
        nd->env = test_env(&nd->alloc, &nd->rng, &nd->log);
        nd->addr = rmr_addr_v4(10, 0, 0, (uint8_t)(1 + i), 0);
    }
}

void pair_free(pair *p)
{
    for (int i = 0; i < 2; i++)
        rmr_node_free(p->node[i].n);
    for (size_t i = 0; i < PAIR_CONNS; i++)
        pairi_conn_free(&p->conns[i]);
    while (p->n_datagrams > 0)
        free(p->datagrams[--p->n_datagrams].data);
}

void pair_start(pair *p, int i, rmr_node_config *cfg)
{
    pair_node *nd = &p->node[i];
    cfg->control_url = "http://127.0.0.1:9";
    cfg->auth_key = "tskey-auth-secret";
    if (rmr_node_new(&nd->n, &nd->env, cfg, p->now) != RMR_OK)
        abort();
    nd->m = rmr_node_machine(nd->n);
    pair_set_wall(p, i, PAIR_WALL);
    pair_set_addr(p, i, nd->addr);
}

static void put_node(pair *p, int i, const char *attribute, char *dst,
                     size_t cap)
{
    char caps[128] = "";
    char key[2 * RMR_KEY_LEN + 1], disco[2 * RMR_KEY_LEN + 1];
    rmr_hex(key, p->node[i].n->node_public, RMR_KEY_LEN);
    rmr_hex(disco, p->node[i].n->disco_public, RMR_KEY_LEN);
    if (attribute)
        snprintf(caps, sizeof caps, ",\"CapMap\":{\"%s\":[]}", attribute);
    snprintf(dst, cap,
             "{\"ID\":%d,\"StableID\":\"n%d\",\"Name\":\"node%d.ex.com.\","
             "\"User\":1,\"Key\":\"nodekey:%s\",\"DiscoKey\":\"discokey:%s\","
             "\"Addresses\":[\"100.64.0.%d/32\"],"
             "\"AllowedIPs\":[\"100.64.0.%d/32\"%s],\"HomeDERP\":1,"
             "\"DERP\":\"127.3.3.40:1\",\"MachineAuthorized\":true%s%s}",
             i + 1, i + 1, i, key, disco, i + 1, i + 1,
             i == 1 && p->routes ? p->routes : "", caps,
             i == 1 && p->extra ? p->extra : "");
}

static void feed_netmap(pair *p, int i)
{
    static char text[4096], self[1024], peer[1024];
    rmr_node *n = p->node[i].n;
    put_node(p, i, i == 0 ? p->attribute : NULL, self, sizeof self);
    put_node(p, 1 - i, NULL, peer, sizeof peer);
    static const char two[] =
        ",\"2\":{\"RegionID\":2,\"RegionCode\":\"two\",\"Nodes\":[{"
        "\"Name\":\"2a\",\"RegionID\":2,\"HostName\":\"127.0.0.1\","
        "\"IPv4\":\"127.0.0.1\",\"DERPPort\":9443}]}";
    int len = snprintf(
        text, sizeof text,
        "{\"Node\":%s,\"Peers\":[%s],\"Domain\":\"ex.com\","
        "\"DERPMap\":{\"Regions\":{\"1\":{\"RegionID\":1,\"RegionCode\":"
        "\"lab\",\"Nodes\":[{\"Name\":\"1a\",\"RegionID\":1,\"HostName\":"
        "\"127.0.0.1\",\"IPv4\":\"127.0.0.1\",\"STUNPort\":%d,"
        "\"DERPPort\":%d}]}%s}},"
        "\"PacketFilter\":[{\"SrcIPs\":[\"*\"],\"DstPorts\":[{\"IP\":\"*\","
        "\"Ports\":{\"First\":0,\"Last\":65535}}]}],\"DNSConfig\":%s}",
        self, peer, p->two_regions ? PAIR_SILENT_PORT : PAIR_STUN_PORT,
        PAIR_RELAY_PORT, p->two_regions ? two : "", p->dns ? p->dns : "null");
    n->from_server = true;
    rmr_nm_stream_begin(n->nm);
    rmr_nm_frame_begin(n->nm, rmr_mc_wall(n->mc, p->now));
    if (rmr_nm_frame_feed(n->nm, rmr_bytes_of(text, (size_t)len)) != RMR_OK ||
        rmr_nm_frame_end(n->nm) != RMR_OK)
        abort();
    n->from_server = false;
    /* The relay of the lab speaks no TLS. */
    rmr_nm_derp_region v;
    for (size_t k = 0; rmr_nm_derp_at(n->nm, k, &v); k++)
        ((rmr_nm_derp_node *)(uintptr_t)v.nodes)->tls = false;
    rmri_node_regions_map_changed(n, p->now);
    n->dirty = true;
}

void pair_feed_netmaps(pair *p)
{
    for (int i = 0; i < 2; i++) {
        feed_netmap(p, i);
        pair_drain(p, i);
    }
}
