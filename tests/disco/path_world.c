#include "path_world.h"

#include <remora/crypto.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void need(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "path world: %s\n", what);
    abort();
}

/* ---- making it -------------------------------------------------------- */

void w_init(w_world *w, uint64_t seed)
{
    memset(w, 0, sizeof *w);
    need(rmr_crypto_init() == RMR_OK, "crypto");
    w->now = 1000 * RMR_SEC;
    w->derp_delay = 40 * RMR_MS;
    w->switches = RMR_PATHS_BIRTHDAY;
    for (int k = 0; k < W_ADDRS; k++)
        w->delay[k] = (rmr_dur)(10 + k) * RMR_MS;
    for (int i = 0; i < W_NODES; i++)
        test_rng_seed(&w->node[i].rng, seed * W_NODES + (uint64_t)i + 1);
}

static rmr_addr v6(int i)
{
    uint8_t ip[16] = {0x20, 0x01, 0x0d, 0xb8};
    ip[15] = (uint8_t)(i + 1);
    return rmr_addr_from_bytes(rmr_bytes_of(ip, 16), 41641);
}

void w_add(w_world *w, int i)
{
    w_node *n = &w->node[i];
    rmr_rng rng = test_rng_table(&n->rng);
    uint8_t last = (uint8_t)(i + 1);
    n->w = w;
    n->i = i;
    n->exists = true;
    need(rmr_key_generate(&rng, n->node_private) == RMR_OK, "rng");
    need(rmr_key_generate(&rng, n->disco_private) == RMR_OK, "rng");
    rmr_x25519_public(n->node_key, n->node_private);
    rmr_x25519_public(n->disco_key, n->disco_private);
    n->addr[0] = rmr_addr_v4(203, 0, 113, last, 41641);
    n->addr[1] = rmr_addr_v4(192, 168, 0, last, 41641);
    n->addr[2] = v6(i);
    n->addr[3] = rmr_addr_v4(198, 51, 100, last, 41641);
    n->in_map[0] = n->in_call[0] = true;
    n->outer = rmr_addr_v4(203, 0, 113, (uint8_t)(last + 100), 0);
    n->home = (uint16_t)(i + 1);
}

static void on_path(void *user, rmr_path_peer peer)
{
    w_node *n = user;
    rmr_path_info info;
    uint8_t b[RMR_PATHS_MAX_DATAGRAM];
    rmr_path_to to;
    size_t len;
    need(rmr_paths_info(n->p, n->w->now, peer, &info) == RMR_OK,
         "on_path peer");
    need(rmr_paths_write_pkt(n->p, n->w->now, rmr_buf_of(b, sizeof b), &len,
                             &to) == RMR_E_REENTRANT,
         "pump in a callback");
    n->n_path++;
}

static void on_pong(void *user, rmr_path_peer peer, uint64_t tag,
                    const rmr_path_pong *pong)
{
    w_node *n = user;
    (void)peer;
    need(rmr_paths_handle_deadline(n->p, n->w->now) == RMR_E_REENTRANT,
         "pump in a callback");
    n->n_pong++;
    n->last_tag = tag;
    n->last_pong = *pong;
}

void w_config(const w_world *w, int of, rmr_path_peer_config *c,
              rmr_addr eps[W_ADDRS])
{
    const w_node *n = &w->node[of];
    memset(c, 0, sizeof *c);
    c->struct_size = sizeof *c;
    memcpy(c->node_key, n->node_key, 32);
    if (!n->no_disco && !n->wireguard_only)
        memcpy(c->disco_key, n->disco_key, 32);
    c->home = n->home;
    c->wireguard_only = n->wireguard_only;
    c->endpoints = eps;
    for (int k = 0; k < W_ADDRS; k++)
        if (n->in_map[k])
            eps[c->n_endpoints++] = n->addr[k];
}

static void own_endpoints(w_world *w, int i)
{
    w_node *n = &w->node[i];
    rmr_addr own[W_ADDRS];
    size_t k_own = 0;
    for (int k = 0; k < W_ADDRS; k++)
        if (n->in_call[k])
            own[k_own++] = n->addr[k];
    rmr_paths_set_own_endpoints(n->p, w->now, own, k_own, w->now);
}

static void start_node(w_world *w, int i)
{
    w_node *n = &w->node[i];
    static const rmr_path_callbacks table = {sizeof table, NULL, on_path,
                                             on_pong};
    rmr_path_callbacks cb = table;
    rmr_paths_config c;
    rmr_env env = test_env(&n->mem, &n->rng, NULL);
    cb.user = n;
    rmr_paths_config_init(&c, sizeof c);
    memcpy(c.node_key, n->node_key, 32);
    memcpy(c.disco_private, n->disco_private, 32);
    c.switches = w->switches;
    c.callbacks = &cb;
    need(rmr_paths_new(&n->p, &env, &c, w->now) == RMR_OK, "new");
}

void w_start(w_world *w)
{
    for (int i = 0; i < W_NODES; i++) {
        if (!w->node[i].exists)
            continue;
        start_node(w, i);
        for (int j = 0; j < W_NODES; j++) {
            rmr_path_peer_config c;
            rmr_addr eps[W_ADDRS];
            if (i == j || !w->node[j].exists)
                continue;
            w_config(w, j, &c, eps);
            need(rmr_paths_peer_add(w->node[i].p, w->now, &c,
                                    &w->node[i].peer[j]) == RMR_OK,
                 "peer_add");
        }
        own_endpoints(w, i);
    }
}

void w_end(w_world *w)
{
    while (w->wire) {
        w_pkt *k = w->wire;
        w->wire = k->next;
        free(k);
    }
    free(w->caught);
    for (int i = 0; i < W_NODES; i++) {
        free(w->last_derp[i]);
        if (!w->node[i].exists)
            continue;
        rmr_paths_free(w->node[i].p);
        need(w->node[i].mem.live_bytes == 0, "leak");
        need(w->node[i].mem.leaks == 0, "secret not wiped");
    }
}

/* ---- the wire --------------------------------------------------------- */

static void mix(w_world *w, const void *data, size_t n)
{
    const uint8_t *b = data;
    for (size_t i = 0; i < n; i++)
        w->trace = (w->trace ^ b[i]) * 0x100000001b3;
}

static void enqueue(w_world *w, w_pkt *k)
{
    w_pkt **at = &w->wire;
    while (*at && (*at)->at <= k->at)
        at = &(*at)->next;
    k->next = *at;
    *at = k;
}

static void forget_mappings(w_node *n)
{
    n->n_maps = 0;
    memset(n->port_map, 0, sizeof n->port_map);
    memset(n->allowed, 0, sizeof n->allowed);
}

static w_mapping *outgoing(w_node *n, uint16_t socket, const rmr_addr *to)
{
    for (size_t i = 0; i < n->n_maps; i++) {
        w_mapping *m = &n->maps[i];
        if (m->socket == socket &&
            (n->nat == W_EASY || rmr_addr_eq(&m->to, to)))
            return m;
    }
    if (n->n_maps == sizeof n->maps / sizeof *n->maps)
        forget_mappings(n);
    w_mapping *m = &n->maps[n->n_maps++];
    do
        m->port = (uint16_t)(1024 + test_rng_u64(&n->rng) % 64512);
    while (n->port_map[m->port]);
    if (n->nat == W_EASY && socket == 0 && n->outer.port)
        m->port = n->outer.port;
    m->socket = socket;
    m->to = *to;
    n->port_map[m->port] = (uint16_t)n->n_maps;
    return m;
}

/* Does a node have this address, seen from outside?  Its socket. */
static bool incoming(w_node *n, const rmr_addr *to, const rmr_addr *from,
                     uint16_t *socket, int *k)
{
    *socket = 0;
    for (*k = n->nat == W_OPEN ? 0 : 1; *k < W_ADDRS; ++*k)
        if (!n->addr_down[*k] && rmr_addr_eq(&n->addr[*k], to))
            return true;
    *k = 0;
    if (n->nat == W_OPEN || !rmr_addr_ip_eq(&n->outer, to) ||
        n->port_map[to->port] == 0)
        return false;
    const w_mapping *m = &n->maps[n->port_map[to->port] - 1];
    *socket = m->socket;
    if (n->nat == W_HARD)
        return rmr_addr_eq(&m->to, from);
    return n->allowed[from->port / 8] >> (from->port % 8) & 1;
}

static rmr_addr source_of(w_node *n, int k, uint16_t socket, const rmr_addr *to)
{
    rmr_addr a = n->addr[k];
    if (n->nat != W_OPEN && k == 0) {
        a = n->outer;
        a.port = outgoing(n, socket, to)->port;
        n->allowed[to->port / 8] |= (uint8_t)(1 << (to->port % 8));
    } else if (socket) {
        a.port = (uint16_t)(20000 + socket);
    }
    return a;
}

/* By which of its networks does a node reach an address?  -1: by none. */
static int network_of(const w_world *w, const rmr_addr *to)
{
    for (int j = 0; j < W_NODES; j++) {
        const w_node *n = &w->node[j];
        if (!n->exists)
            continue;
        if (rmr_addr_ip_eq(&n->outer, to))
            return 0;
        for (int k = 0; k < W_ADDRS; k++)
            if (rmr_addr_ip_eq(&n->addr[k], to))
                return k;
    }
    return -1;
}

static w_pkt *make(const w_world *w, int src, const uint8_t *b, size_t len)
{
    w_pkt *k = calloc(1, sizeof *k + len);
    need(k != NULL, "memory");
    (void)w;
    k->src = src;
    k->len = len;
    if (len)
        memcpy(k->bytes, b, len);
    return k;
}

/* What a peer can make a node send to a third: 256 pings of each peer may wait
 * for 5 s, and one punch sends 1,024 probes or 512 in 16 s. */
#define MOST_ASTRAY (W_NODES * 256 + 512)

/* A datagram to nobody's address: a victim's, or a catcher's. */
static void astray(w_world *w, int i, const w_pkt *k)
{
    w_node *n = &w->node[i];
    if (w->now >= n->astray_since + 5 * RMR_SEC) {
        n->astray_since = w->now;
        n->astray = 0;
    }
    if (k->data) /* the peer was there before it moved */
        return;
    need(++n->astray <= MOST_ASTRAY, "a flood to a third");
    free(w->caught);
    w->caught = make(w, i, k->bytes, k->len);
    w->caught->sent_to = k->sent_to;
    w->caught->sent_by = k->sent_by;
}

void w_throw_back(w_world *w)
{
    w_pkt *k = w->caught;
    w->caught = NULL;
    for (int j = 0; k && j < W_NODES; j++) {
        uint8_t b[RMR_PATHS_MAX_DATAGRAM_MTU];
        rmr_path_to from = {.udp = k->sent_to, .socket = k->sent_by};
        w_node *n = &w->node[k->src];
        if (j == k->src || !w->node[j].exists)
            continue;
        memcpy(b, k->bytes, k->len);
        memcpy(b + 6, w->node[j].disco_key, 32);
        (void)rmr_paths_read(n->p, w->now, &from, rmr_buf_of(b, k->len));
        w_drain(w, k->src);
    }
    free(k);
}

static void send_udp(w_world *w, int i, const rmr_path_to *to, w_pkt *k)
{
    w_node *n = &w->node[i];
    int net = network_of(w, &to->udp);
    k->sent_to = to->udp;
    k->sent_by = to->socket;
    if (net < 0)
        astray(w, i, k);
    if (net < 0 || n->addr_down[net] || w->blocked[net] ||
        (to->socket && !n->sock_open[to->socket])) {
        free(k);
        return;
    }
    k->from.udp = source_of(n, net, to->socket, &to->udp);
    for (int j = 0; j < W_NODES; j++) {
        int at;
        if (!w->node[j].exists || j == i ||
            !incoming(&w->node[j], &to->udp, &k->from.udp, &k->from.socket,
                      &at))
            continue;
        k->dst = j;
        k->at = w->now + w->delay[net];
        enqueue(w, k);
        return;
    }
    free(k);
}

static void send_derp(w_world *w, int i, const uint8_t key[32], w_pkt *k)
{
    for (int j = 0; j < W_NODES && !w->derp_down; j++) {
        if (!w->node[j].exists || memcmp(w->node[j].node_key, key, 32) != 0)
            continue;
        k->dst = j;
        k->from.region = w->node[j].home;
        memcpy(k->from.key, w->node[i].node_key, 32);
        k->at = w->now + w->derp_delay;
        enqueue(w, k);
        return;
    }
    free(k);
}

static void launch(w_world *w, int i, const rmr_path_to *to, w_pkt *k)
{
    mix(w, &w->now, sizeof w->now);
    mix(w, to->udp.ip, 16);
    mix(w, &to->udp.port, 2);
    mix(w, k->bytes, k->len);
    if (w->print)
        fprintf(stderr, "%8.3f %d -> %s:%u %s %zu\n",
                (double)(w->now - 1000 * RMR_SEC) / 1e9, i,
                to->udp.family ? "udp" : "derp",
                to->udp.family ? to->udp.ip[3] * 100000u + to->udp.port
                               : to->region,
                k->data ? "data" : "disco", k->len);
    if (to->udp.family)
        send_udp(w, i, to, k);
    else
        send_derp(w, i, to->key, k);
}

/* ---- the truth -------------------------------------------------------- */

static w_proof *proof(w_node *n, const rmr_addr *udp, uint16_t socket, int peer)
{
    for (size_t i = 0; i < n->n_proved; i++) {
        w_proof *f = &n->proved[i];
        if (f->socket == socket && f->peer == peer && rmr_addr_eq(&f->udp, udp))
            return f;
    }
    return NULL;
}

/* `peer` opened a disco datagram that n sent there. */
static void note_reached(w_node *n, const rmr_addr *udp, uint16_t socket,
                         int peer)
{
    if (proof(n, udp, socket, peer))
        return;
    need(n->n_proved < W_PROVED, "proofs");
    w_proof *f = &n->proved[n->n_proved++];
    f->udp = *udp;
    f->socket = socket;
    f->peer = (uint8_t)peer;
}

/* A datagram of `peer` came to n after that. */
static void note_heard(w_node *n, int peer)
{
    for (size_t i = 0; i < n->n_proved; i++)
        if (n->proved[i].peer == peer)
            n->proved[i].answered = true;
}

static void check_route(w_world *w, int i, int j, const rmr_path_route *r)
{
    w_node *n = &w->node[i];
    if (!r->has_udp || w->node[j].wireguard_only)
        return;
    const w_proof *f = proof(n, &r->udp, r->socket, j);
    need(f && f->answered, "data to an unverified address");
    need(!w->node[j].no_disco, "data to a peer without disco");
}

/* ---- moving ----------------------------------------------------------- */

static void count_out(w_node *n, size_t len)
{
    if (len == 124)
        n->pings_out++;
    else if (len == 110)
        n->pongs_out++;
    else if (len >= 80 && (len - 80) % 18 == 0)
        n->calls_out++;
    else
        n->others_out++;
}

static void socket_ops(w_world *w, w_node *n)
{
    rmr_path_socket_op op;
    while (rmr_paths_next_socket_op(n->p, &op)) {
        need(op.socket >= 1 && op.socket <= RMR_PATH_MAX_SOCKET, "socket");
        if (op.kind == RMR_PATH_SOCKET_OPEN) {
            need(!n->sock_open[op.socket], "opened twice");
            n->n_opens++;
            if (!n->fail_opens) {
                n->sock_open[op.socket] = true;
                if (++n->n_open > n->most_open)
                    n->most_open = n->n_open;
            }
            rmr_paths_socket_opened(n->p, w->now, op.socket,
                                    n->fail_opens ? RMR_E_NOFILES : RMR_OK);
        } else {
            need(n->sock_open[op.socket], "closed one that is not open");
            n->sock_open[op.socket] = false;
            n->n_open--;
            n->n_closes++;
        }
    }
}

void w_drain(w_world *w, int i)
{
    static uint8_t b[RMR_PATHS_MAX_DATAGRAM_MTU];
    w_node *n = &w->node[i];
    rmr_path_to to;
    size_t len;
    for (;;) {
        socket_ops(w, n);
        if (rmr_paths_wants_endpoints(n->p)) {
            n->refreshes++;
            if (!n->refresh_never)
                own_endpoints(w, i);
        }
        rmr_err e = rmr_paths_write_pkt(n->p, w->now, rmr_buf_of(b, sizeof b),
                                        &len, &to);
        if (e != RMR_OK || len == 0)
            return;
        count_out(n, len);
        launch(w, i, &to, make(w, i, b, len));
    }
}

static void deliver_data(w_world *w, const w_pkt *k)
{
    w_node *n = &w->node[k->dst];
    if (k->seq < W_SEQS && n->got[k->src][k->seq] < 255)
        n->got[k->src][k->seq]++;
    need(rmr_paths_note_received(n->p, w->now, n->peer[k->src], &k->from) ==
             RMR_OK,
         "note_received");
}

static void deliver(w_world *w, w_pkt *k)
{
    w_node *n = &w->node[k->dst];
    if (k->data) {
        deliver_data(w, k);
        return;
    }
    bool is_udp = k->from.udp.family != RMR_AF_NONE;
    rmr_err e =
        rmr_paths_read(n->p, w->now, &k->from, rmr_buf_of(k->bytes, k->len));
    if (is_udp && (e == RMR_OK || e == RMR_E_NOTFOUND || e == RMR_E_REPLAY)) {
        note_reached(&w->node[k->src], &k->sent_to, k->sent_by, k->dst);
        note_heard(n, k->src);
    }
    w_drain(w, k->dst);
}

bool w_send(w_world *w, int i, int j)
{
    w_node *n = &w->node[i];
    rmr_path_route r;
    uint32_t seq = n->next_seq[j]++;
    rmr_err e = rmr_paths_route(n->p, w->now, n->peer[j], &r);
    if (e != RMR_OK) {
        need(!r.has_udp && !r.has_derp, "route of an error");
        n->sent_none++;
        w_drain(w, i);
        return false;
    }
    need(r.has_udp || r.has_derp, "no route");
    check_route(w, i, j, &r);
    n->sent_udp += r.has_udp && !r.has_derp;
    n->sent_derp += r.has_derp && !r.has_udp;
    n->sent_both += r.has_derp && r.has_udp;
    if (r.has_udp) {
        rmr_path_to to = {.udp = r.udp, .socket = r.socket};
        w_pkt *k = make(w, i, NULL, 0);
        k->data = true;
        k->seq = seq;
        launch(w, i, &to, k);
    }
    if (r.has_derp) {
        rmr_path_to to = {.region = r.region};
        memcpy(to.key, w->node[j].node_key, 32);
        w_pkt *k = make(w, i, NULL, 0);
        k->data = true;
        k->seq = seq;
        launch(w, i, &to, k);
    }
    w_drain(w, i);
    return true;
}

/* ---- what changes under way ------------------------------------------- */

void w_forget_mappings(w_world *w, int i)
{
    forget_mappings(&w->node[i]);
}

/* The k-th network of a node gives it another address; it notices. */
void w_move(w_world *w, int i, int k)
{
    w_node *n = &w->node[i];
    n->addr[k].ip[n->addr[k].family == RMR_AF_INET ? 3 : 15] += W_NODES;
    if (k == 0 && n->nat != W_OPEN) {
        n->outer = n->addr[0];
        w_forget_mappings(w, i);
    }
    rmr_paths_rebind(n->p, w->now);
    own_endpoints(w, i);
    w_drain(w, i);
}

void w_echo(w_world *w, int i, rmr_dur latency)
{
    w_node *n = &w->node[i];
    rmr_path_peer peer;
    rmr_addr to;
    while (rmr_paths_next_echo(n->p, &peer, &to))
        (void)rmr_paths_echo_done(n->p, w->now, peer, &to, latency);
}

static void deadlines(w_world *w)
{
    for (int i = 0; i < W_NODES; i++) {
        w_node *n = &w->node[i];
        if (!n->exists || rmr_paths_next_deadline(n->p) > w->now)
            continue;
        (void)rmr_paths_handle_deadline(n->p, w->now);
        need(rmr_paths_next_deadline(n->p) > w->now, "deadline survived");
        w_drain(w, i);
    }
}

static rmr_time next_event(const w_world *w)
{
    rmr_time t = w->wire ? w->wire->at : RMR_TIME_NEVER;
    for (int i = 0; i < W_NODES; i++)
        if (w->node[i].exists)
            t = rmr_time_min(t, rmr_paths_next_deadline(w->node[i].p));
    return t;
}

static void now_due(w_world *w)
{
    while (w->wire && w->wire->at <= w->now) {
        w_pkt *k = w->wire;
        w->wire = k->next;
        deliver(w, k);
        free(k);
    }
    deadlines(w);
}

static void call_for_nothing(w_world *w)
{
    for (int i = 0; i < W_NODES; i++) {
        w_node *n = &w->node[i];
        if (!n->exists || rmr_paths_next_deadline(n->p) <= w->now)
            continue;
        (void)rmr_paths_handle_deadline(n->p, w->now);
        w_drain(w, i);
    }
}

void w_run(w_world *w, rmr_dur d)
{
    rmr_time end = w->now + d;
    for (;;) {
        now_due(w);
        rmr_time t = next_event(w);
        if (w->every_ms) {
            call_for_nothing(w);
            t = rmr_time_min(t, w->now + RMR_MS);
        }
        if (t > end)
            break;
        if (t > w->now)
            w->now = t;
    }
    w->now = end;
}

void w_talk(w_world *w, int i, int j, rmr_dur every, rmr_dur d)
{
    for (rmr_dur t = 0; t < d; t += every) {
        (void)w_send(w, i, j);
        (void)w_send(w, j, i);
        w_run(w, every);
    }
}

void w_info(w_world *w, int i, int j, rmr_path_info *out)
{
    need(rmr_paths_info(w->node[i].p, w->now, w->node[i].peer[j], out) ==
             RMR_OK,
         "info");
}

bool w_direct(w_world *w, int i, int j)
{
    rmr_path_info info;
    w_info(w, i, j, &info);
    return info.has_best && info.trusted;
}

/* ---- messages by hand ------------------------------------------------- */

rmr_path_to w_udp(const w_world *w, int i, int k)
{
    rmr_path_to to = {.udp = w->node[i].addr[k]};
    return to;
}

rmr_path_to w_derp(const w_world *w, int i)
{
    rmr_path_to to = {.region = w->node[i].home};
    memcpy(to.key, w->node[i].node_key, 32);
    return to;
}

size_t w_seal(w_world *w, int i, int j, const rmr_disco_msg *m, uint8_t *dst,
              size_t cap)
{
    uint8_t shared[32], nonce[24] = {1};
    size_t len;
    need(rmr_box_shared(shared, w->node[i].disco_private,
                        w->node[j].disco_key) == RMR_OK,
         "shared");
    need(rmr_disco_seal(rmr_buf_of(dst, cap), &len, w->node[i].disco_key,
                        shared, nonce, m) == RMR_OK,
         "seal");
    return len;
}

rmr_err w_say(w_world *w, int i, int j, const rmr_path_to *from,
              const rmr_disco_msg *m)
{
    uint8_t b[2048];
    size_t len = w_seal(w, i, j, m, b, sizeof b);
    return rmr_paths_read(w->node[j].p, w->now, from, rmr_buf_of(b, len));
}
