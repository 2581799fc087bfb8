/* The adapter: performs operations and tells events, and checks the rules of
 * remora/io.h that bind the machine. */
#include "fuzz_node_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WALL (1790000000u * RMR_SEC)
#define MAX_OPS 20000 /* without an end of one drain: it never rests */

/* ---- bytes ---------------------------------------------------------------- */

void fz_add(fz_bytes *b, const void *p, size_t n)
{
    if (b->len + n > b->cap) {
        b->cap = 2 * (b->len + n);
        b->p = realloc(b->p, b->cap);
        need(b->p != NULL);
    }
    if (n)
        memcpy(b->p + b->len, p, n);
    b->len += n;
}

void fz_text(fz_bytes *b, const char *text)
{
    fz_add(b, text, strlen(text));
}

void fz_drop(fz_bytes *b, size_t n)
{
    b->len -= n;
    if (n && b->len)
        memmove(b->p, b->p + n, b->len);
}

void fz_free(fz_bytes *b)
{
    free(b->p);
    memset(b, 0, sizeof *b);
}

uint8_t *fz_copy(fz_world *w, const void *p, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);
    need(copy != NULL);
    if (n)
        memcpy(copy, p, n);
    if (n && w->spoil) {
        copy[(size_t)w->spoil * 7 % n] ^= w->spoil;
        w->spoil = 0;
        w->is_tampered = true;
    }
    return copy;
}

/* ---- events --------------------------------------------------------------- */

/* Without memory the node may give up, and only then. */
static void check_result(fz_world *w, rmr_err err)
{
    need(rmr_err_class(err) != RMR_CLASS_FATAL || w->memory_fails);
}

void fz_event(fz_world *w, rmr_io_event *ev)
{
    if (!w->is_stopped)
        check_result(w, w->m.event(w->m.self, w->now, ev));
}

void fz_tell(fz_world *w, rmr_io_event_kind kind, uint64_t id, rmr_err err)
{
    rmr_io_event ev;
    memset(&ev, 0, sizeof ev);
    ev.kind = kind;
    ev.id = id;
    ev.err = err;
    ev.addr = rmr_addr_v4(10, 0, 0, 1, 4242);
    fz_event(w, &ev);
}

void fz_wall(fz_world *w, uint64_t unix_ns)
{
    rmr_io_event ev;
    memset(&ev, 0, sizeof ev);
    ev.kind = RMR_IO_WALL;
    ev.wall_unix_ns = unix_ns;
    fz_event(w, &ev);
}

void fz_links(fz_world *w, uint8_t shape)
{
    rmr_io_event ev;
    rmr_io_links links;
    rmr_io_link of[3] = {{"eth0", 24}, {"eth0", 64}, {"wlan0", 16}};
    static const uint8_t six[16] = {0x20, 1, 0x0d, 0xb8, [15] = 1};
    rmr_addr addrs[3] = {rmr_addr_v4(10, 0, 0, 1 + (shape & 1), 0),
                         rmr_addr_from_bytes(rmr_bytes_of(six, 16), 0),
                         rmr_addr_v4(10, 1, 0, 7, 0)};
    rmr_addr gateway = rmr_addr_v4(10, 0, 0, 254, 0);
    rmr_addr server = rmr_addr_v4(192, 0, 2, 53, 53);
    memset(&ev, 0, sizeof ev);
    memset(&links, 0, sizeof links);
    links.addrs = addrs;
    links.n_addrs = shape & 2 ? 0 : shape & 4 ? 3 : 1;
    links.of_addrs = shape & 8 ? NULL : of;
    links.gateways = &gateway;
    links.n_gateways = shape & 16 ? 0 : 1;
    links.name_servers = &server;
    links.n_name_servers = shape & 32 ? 0 : 1;
    links.hosts = rmr_bytes_str("203.0.113.250 hosts.test\n");
    ev.kind = RMR_IO_LINKS;
    ev.links = &links;
    fz_event(w, &ev);
}

/* ---- blobs ---------------------------------------------------------------- */

static fz_blob *blob_of(fz_world *w, rmr_bytes name)
{
    char text[64];
    need(name.len > 0 && name.len < sizeof text);
    memcpy(text, name.ptr, name.len);
    text[name.len] = '\0';
    for (size_t i = 0; i < BLOBS; i++) {
        fz_blob *b = &w->blobs[i];
        if (b->name[0] && strcmp(b->name, text) != 0)
            continue;
        memcpy(b->name, text, sizeof text);
        return b;
    }
    need(false);
    return NULL;
}

static void load(fz_world *w, const rmr_io_op *op)
{
    fz_blob *b = blob_of(w, op->name);
    rmr_io_event ev;
    if (b->now.len == 0) {
        fz_tell(w, RMR_IO_FAILED, op->id, RMR_E_NOTFOUND);
        return;
    }
    memset(&ev, 0, sizeof ev);
    ev.kind = RMR_IO_LOADED;
    ev.id = op->id;
    uint8_t *copy = fz_copy(w, b->now.p, b->now.len);
    size_t half = b->now.len / 2;
    ev.more = true;
    ev.data = rmr_buf_of(copy, half);
    fz_event(w, &ev);
    ev.more = false;
    ev.data = rmr_buf_of(copy + half, b->now.len - half);
    fz_event(w, &ev);
    free(copy);
}

static void store(fz_world *w, const rmr_io_op *op)
{
    fz_blob *b = blob_of(w, op->name);
    if (b->store_id != op->id)
        b->next.len = 0;
    b->store_id = op->id;
    fz_add(&b->next, op->data.ptr, op->data.len);
    need(b->next.len < MAX_MEMORY);
    if (op->more)
        return;
    fz_bytes old = b->now;
    b->now = b->next;
    b->next = old;
    b->next.len = 0;
    b->store_id = 0;
    fz_tell(w, RMR_IO_STORED, op->id, RMR_OK);
}

/* ---- sockets and listeners ------------------------------------------------ */

fz_sock *fz_sock_of(fz_world *w, uint64_t id)
{
    for (size_t i = 0; id && i < w->n_socks; i++)
        if (w->socks[i].id == id)
            return &w->socks[i];
    return NULL;
}

static void open_sock(fz_world *w, const rmr_io_op *op)
{
    rmr_io_event ev;
    memset(&ev, 0, sizeof ev);
    for (size_t i = 0; i < SOCKS; i++) {
        fz_sock *s = &w->socks[i];
        if (s->id)
            continue;
        w->n_socks = i < w->n_socks ? w->n_socks : i + 1;
        memset(s, 0, sizeof *s);
        s->id = op->id;
        s->is_open = true;
        s->is_icmp = op->kind == RMR_IO_ICMP_OPEN;
        s->family = op->addr.family;
        s->port = op->addr.port ? op->addr.port : (uint16_t)(20000 + op->id);
        ev.kind = RMR_IO_OPENED;
        ev.id = op->id;
        ev.addr = op->addr;
        ev.addr.port = s->port;
        ev.dont_fragment = op->dont_fragment && (w->options & 64);
        fz_event(w, &ev);
        return;
    }
    fz_tell(w, RMR_IO_FAILED, op->id, RMR_E_NOFILES);
}

static void open_door(fz_world *w, const rmr_io_op *op)
{
    for (size_t i = 0; i < DOORS; i++) {
        fz_door *d = &w->doors[i];
        if (d->id)
            continue;
        d->id = op->id;
        d->port = op->name.len ? 0 : op->addr.port;
        d->is_open = true;
        d->is_paused = false;
        fz_tell(w, RMR_IO_OPENED, op->id, RMR_OK);
        return;
    }
    fz_tell(w, RMR_IO_FAILED, op->id, RMR_E_NOFILES);
}

static bool close_other(fz_world *w, uint64_t id)
{
    fz_sock *s = fz_sock_of(w, id);
    if (s) {
        memset(s, 0, sizeof *s);
        return true;
    }
    for (size_t i = 0; i < DOORS; i++) {
        if (w->doors[i].id != id)
            continue;
        memset(&w->doors[i], 0, sizeof w->doors[i]);
        return true;
    }
    return false;
}

static void pause_door(fz_world *w, const rmr_io_op *op)
{
    for (size_t i = 0; i < DOORS; i++)
        if (w->doors[i].id == op->id)
            w->doors[i].is_paused = op->kind == RMR_IO_ACCEPT_PAUSE;
}

/* ---- operations ----------------------------------------------------------- */

/* An id is the machine's choice, without the top bit, and never used twice. */
static void check_fresh(fz_world *w, uint64_t id)
{
    need(id > w->last_id && !(id & RMR_IO_ADAPTER_ID));
    w->last_id = id;
}

static void check_data(const fz_world *w, const rmr_io_op *op)
{
    const uint8_t *begin = w->scratch, *end = begin + sizeof w->scratch;
    need(op->data.len == 0 ||
         (op->data.ptr >= begin && op->data.ptr + op->data.len <= end));
}

static void stop(fz_world *w, const rmr_io_op *op)
{
    need(!w->is_stopped);
    need(w->state == RMR_NODE_STOPPED);
    need(w->has_failed == (op->err != RMR_OK));
    w->is_stopped = true;
}

static void perform(fz_world *w, const rmr_io_op *op)
{
    fz_blob *b;
    switch (op->kind) {
    case RMR_IO_UDP_OPEN:
    case RMR_IO_ICMP_OPEN:
        check_fresh(w, op->id);
        open_sock(w, op);
        break;
    case RMR_IO_UDP_SEND: {
        const fz_sock *s = fz_sock_of(w, op->id);
        check_data(w, op);
        need(s && s->is_open && !s->is_blocked);
        need(op->data.len > 0 || op->seg_size == 0);
        fz_net_send(w, s, op);
        break;
    }
    case RMR_IO_CONNECT:
        check_fresh(w, op->id);
        fz_connect(w, op);
        break;
    case RMR_IO_LISTEN:
        check_fresh(w, op->id);
        open_door(w, op);
        break;
    case RMR_IO_ACCEPT_PAUSE:
    case RMR_IO_ACCEPT_RESUME:
        pause_door(w, op);
        break;
    case RMR_IO_LOAD:
        check_fresh(w, op->id);
        load(w, op);
        break;
    case RMR_IO_STORE:
        check_data(w, op);
        b = blob_of(w, op->name);
        if (b->store_id != op->id)
            check_fresh(w, op->id);
        store(w, op);
        break;
    case RMR_IO_STOP:
        stop(w, op);
        break;
    case RMR_IO_CLOSE:
    case RMR_IO_ABORT:
        if (close_other(w, op->id))
            break;
        fz_wire_op(w, op);
        break;
    case RMR_IO_READ:
    case RMR_IO_STREAM_SEND:
    case RMR_IO_SHUTDOWN:
        check_data(w, op);
        fz_wire_op(w, op);
        break;
    default:
        need(false); /* RESOLVE: the node has its own resolver */
    }
}

void fz_drain(fz_world *w)
{
    for (int i = 0; i < MAX_OPS; i++) {
        rmr_io_op op;
        rmr_err err = w->m.next_op(
            w->m.self, w->now, rmr_buf_of(w->scratch, sizeof w->scratch), &op);
        check_result(w, err);
        need(w->mem.live_bytes < MAX_MEMORY);
        if (err != RMR_OK || op.kind == RMR_IO_NONE)
            return;
        need(!w->is_stopped); /* nothing is asked for after STOP */
        w->n_ops++;
        perform(w, &op);
        memset(w->scratch, 0xdd, 4096); /* lent until here */
    }
    need(false);
}

/* Time goes on to `to`; what is due there is handled. */
void fz_pass(fz_world *w, rmr_time to)
{
    if (to > w->now)
        w->now = to;
    if (w->is_stopped) {
        need(w->m.next_deadline(w->m.self) == RMR_TIME_NEVER);
        return;
    }
    /* T5.  What is sent in a turn may make a netcheck due at once, when traffic
     * begins after a long rest: that comes to an end, too. */
    for (int i = 0; w->m.next_deadline(w->m.self) <= w->now; i++) {
        need(i < 4);
        check_result(w, w->m.handle_deadline(w->m.self, w->now));
        fz_drain(w);
    }
}

/* ---- life ----------------------------------------------------------------- */

void fz_start(fz_world *w)
{
    rmr_node_config cfg;
    w->is_stopped = w->has_failed = w->filter_told = false;
    w->state = RMR_NODE_NO_STATE;
    w->last_id = 0;
    fz_app_config(w, &cfg);
    rmr_err err = rmr_node_new(&w->node, &w->env, &cfg, w->now);
    need(err == RMR_OK || (w->memory_fails && !w->node));
    if (err != RMR_OK) {
        need(w->mem.live_blocks == 0);
        w->mem.fail_at = 0;
        w->mem.fail_after = false;
        need(rmr_node_new(&w->node, &w->env, &cfg, w->now) == RMR_OK);
    }
    w->m = rmr_node_machine(w->node);
    fz_wall(w, WALL + w->now);
    fz_links(w, w->options & 4);
    fz_drain(w);
}

void fz_end(fz_world *w)
{
    rmr_node_free(w->node);
    w->node = NULL;
    need(w->mem.live_blocks == 0 && w->mem.live_bytes == 0);
    for (size_t i = 0; i < WIRES; i++)
        fz_wire_free(&w->wires[i]);
    for (size_t i = 0; i < w->n_flying; i++)
        fz_free(&w->flying[i].data);
    w->n_flying = 0;
    for (size_t i = 0; i < BLOBS; i++)
        w->blobs[i].store_id = 0;
    memset(w->socks, 0, sizeof w->socks);
    memset(w->doors, 0, sizeof w->doors);
    memset(w->conns, 0, sizeof w->conns);
    for (size_t i = 0; i < PEERS; i++)
        w->peers[i].their_index = 0;
    w->resolving = 0;
}
