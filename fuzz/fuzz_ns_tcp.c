/* Two stacks joined by a network that the input drives: each byte is an
 * operation.  What is read must be a prefix of what was written, memory stays
 * bounded, and a deadline that was handled is over.  In the end the network is
 * well again, and all that was written must arrive. */
#include <remora/netstack.h>

#include <stdlib.h>
#include <string.h>

#include "need.h"
#include "../tests/netstack/ns_check.h"
#include "support.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_FLIGHT 64
#define MEMORY_MAX (4u << 20)

typedef struct packet {
    size_t len;
    bool damaged; /* once: twice could leave the sum as it was */
    uint8_t b[1280];
} packet;

typedef struct side {
    struct world *w;
    test_alloc alloc;
    test_rng rng;
    rmr_ns *ns;
    rmr_ns_sock sock;
    bool have, closed, shut;
    uint64_t sent, got;
    uint8_t seed;
} side;

typedef struct world {
    side s[2];
    packet *net[2][MAX_FLIGHT]; /* towards 0 and 1 */
    size_t n[2];
    rmr_time now;
    rmr_ns_sock listener;
    const uint8_t *in;
    size_t left;
} world;

static uint8_t next(world *w)
{
    if (!w->left)
        return 0;
    w->left--;
    return *w->in++;
}

static uint8_t stream(uint8_t seed, uint64_t at)
{
    return (uint8_t)(at * 31 + (at >> 8) * 7 + (at >> 16) + seed);
}

/* ---- callbacks -------------------------------------------------------- */

static void on_accept(void *user, void *tag, rmr_ns_sock l, rmr_ns_sock sock,
                      const rmr_addr *remote)
{
    side *s = user;
    (void)tag;
    (void)l;
    (void)remote;
    if (s->have) {
        (void)rmr_ns_close(s->ns, s->w->now, sock);
        return;
    }
    s->sock = sock;
    s->have = true;
}

static void on_closed(void *user, void *tag, rmr_ns_sock sock, rmr_err why)
{
    side *s = user;
    (void)tag;
    (void)why;
    if (s->sock.id == sock.id) {
        need(!s->closed);
        s->closed = true;
    }
}

/* ---- operations ------------------------------------------------------- */

static void drop(world *w, int to, size_t i)
{
    free(w->net[to][i]);
    memmove(&w->net[to][i], &w->net[to][i + 1],
            (w->n[to] - i - 1) * sizeof w->net[to][0]);
    w->n[to]--;
}

static void flush(world *w, int from)
{
    int to = 1 - from;
    for (int k = 0; k < 200; k++) {
        packet *p = malloc(sizeof *p);
        need(p != NULL);
        need(rmr_ns_write_pkt(w->s[from].ns, w->now,
                              rmr_buf_of(p->b, sizeof p->b),
                              &p->len) == RMR_OK);
        p->damaged = false;
        if (!p->len) {
            free(p);
            return;
        }
        if (w->n[to] == MAX_FLIGHT)
            drop(w, to, 0);
        w->net[to][w->n[to]++] = p;
    }
}

static void deliver(world *w, int to, size_t i, bool keep)
{
    packet *p = w->net[to][i];
    uint8_t *exact = malloc(p->len);
    need(exact != NULL);
    memcpy(exact, p->b, p->len);
    (void)rmr_ns_read_pkt(w->s[to].ns, w->now, rmr_bytes_of(exact, p->len));
    free(exact);
    if (!keep)
        drop(w, to, i);
}

static void read_some(world *w, side *s, size_t max)
{
    while (s->have && max) {
        rmr_bytes v;
        bool eof;
        if (rmr_ns_tcp_peek(s->ns, s->sock, &v, &eof) || v.len == 0)
            return;
        size_t n = v.len < max ? v.len : max;
        const side *peer = &w->s[s == &w->s[0]];
        for (size_t i = 0; i < n; i++)
            need(v.ptr[i] == stream(peer->seed, s->got + i));
        s->got += n;
        max -= n;
        need(s->got <= peer->sent);
        need(rmr_ns_tcp_consume(s->ns, w->now, s->sock, n) == RMR_OK);
    }
}

static void write_some(world *w, side *s, size_t n)
{
    uint8_t b[8192];
    size_t taken;
    if (!s->have)
        return;
    n = n < sizeof b ? n : sizeof b;
    for (size_t i = 0; i < n; i++)
        b[i] = stream(s->seed, s->sent + i);
    if (rmr_ns_tcp_send(s->ns, w->now, s->sock, rmr_bytes_of(b, n), &taken))
        need(taken == 0);
    need(taken <= n);
    s->sent += taken;
}

static void deadlines(world *w)
{
    for (int i = 0; i < 2; i++) {
        rmr_ns *ns = w->s[i].ns;
        if (rmr_ns_next_deadline(ns) > w->now)
            continue;
        need(rmr_ns_handle_deadline(ns, w->now) == RMR_OK);
        need(rmr_ns_next_deadline(ns) > w->now);
    }
}

static void pass_time(world *w, uint8_t how)
{
    if (how < 128) {
        w->now += (rmr_dur)how * RMR_MS;
    } else {
        rmr_time t = rmr_time_min(rmr_ns_next_deadline(w->s[0].ns),
                                  rmr_ns_next_deadline(w->s[1].ns));
        if (t != RMR_TIME_NEVER && t > w->now)
            w->now = t;
    }
    deadlines(w);
}

/* A router on the way of the first packet from `i` says that it is too big. */
static void too_big(world *w, int i, uint16_t mtu)
{
    uint8_t b[56] = {0};
    static const ns_ip router = {{10, 9, 9, 9}};
    if (!w->n[1 - i] || w->net[1 - i][0]->len < 28)
        return;
    ns_ip to = {{10, 0, 0, (uint8_t)(i + 1)}};
    b[20] = 3;
    b[21] = 4;
    rmr_store_be16(b + 26, mtu);
    memcpy(b + 28, w->net[1 - i][0]->b, 28);
    (void)rmri_ns_ip_write(b, RMR_AF_INET, &router, &to, NS_PROTO_ICMP, 36, 0);
    rmri_ns_sum_store(b + 22, rmri_ns_sum(0, b + 20, 36));
    (void)rmr_ns_read_pkt(w->s[i].ns, w->now, rmr_bytes_of(b, sizeof b));
}

static void set_something(world *w, int i, unsigned what)
{
    side *s = &w->s[i];
    uint8_t v = next(w);
    switch (what) {
    case 0:
        if (s->have)
            (void)rmr_ns_tcp_set_keepalive(s->ns, w->now, s->sock, v * RMR_SEC,
                                           RMR_SEC, 3);
        break;
    case 1:
        (void)rmr_ns_tcp_set_user_timeout(s->ns, w->now, s->sock, v * RMR_SEC);
        break;
    case 2: /* both ways, also below what is held; a few bytes at a time would
             * take recover() too long */
        (void)rmr_ns_tcp_set_buffers(s->ns, s->sock, 500 + v * 10u,
                                     500 + v * 390u);
        break;
    case 3:
        too_big(w, i, (uint16_t)(v * 6));
        break;
    case 4:
        need(rmr_ns_tcp_pause(w->s[0].ns, w->now, w->listener, v & 1) ==
             RMR_OK);
        break;
    case 5:
        need(rmr_ns_tcp_set_backlog(w->s[0].ns, w->listener, v & 3,
                                    v >> 2 & 3) == RMR_OK);
        break;
    default:
        (void)rmr_ns_tcp_set_linger(s->ns, s->sock, v * RMR_MS);
        break;
    }
}

static void step(world *w, uint8_t op)
{
    int i = op & 1;
    side *s = &w->s[i];
    size_t k;
    switch (op >> 1 & 15) {
    case 0:
    case 1:
        flush(w, i);
        break;
    case 2:
    case 3: /* the first that came */
        for (k = next(w) & 15u; w->n[i] && k; k--)
            deliver(w, i, 0, false);
        break;
    case 4: /* any of them: reordered */
        if (w->n[i])
            deliver(w, i, next(w) % w->n[i], false);
        break;
    case 5: /* twice */
        if (w->n[i])
            deliver(w, i, next(w) % w->n[i], true);
        break;
    case 6:
        if (w->n[i])
            drop(w, i, next(w) % w->n[i]);
        break;
    case 7:
        pass_time(w, next(w));
        break;
    case 8:
        write_some(w, s, next(w) * 37u + 1);
        break;
    case 9:
        read_some(w, s, next(w) * 101u + 1);
        break;
    case 10: /* damaged on the way, sums and all */
        if (w->n[i] && !w->net[i][0]->damaged) {
            packet *p = w->net[i][0];
            k = next(w) % p->len;
            p->b[k] ^= next(w);
            p->damaged = true;
        }
        break;
    case 11:
        if (s->have && !s->shut) {
            s->shut = true;
            (void)rmr_ns_tcp_shutdown(s->ns, w->now, s->sock);
        }
        break;
    case 12:
        if (s->have && next(w) == 0xcc) {
            (void)rmr_ns_close(s->ns, w->now, s->sock);
            need(rmr_ns_close(s->ns, w->now, s->sock) == RMR_E_BADHANDLE);
            s->have = false;
        }
        break;
    case 13:
        if (s->have && next(w) == 0xdd) {
            (void)rmr_ns_abort(s->ns, w->now, s->sock);
            s->have = false;
        }
        break;
    case 14:
        s->alloc.fail_at = s->alloc.calls + 1 + (next(w) & 3u);
        break;
    default:
        set_something(w, i, op >> 5);
        break;
    }
}

/* ---- worlds ----------------------------------------------------------- */

static void make(world *w, int i, uint8_t flavour)
{
    side *s = &w->s[i];
    rmr_ns_config cfg;
    rmr_ns_callbacks cb;
    rmr_env env = test_env(&s->alloc, &s->rng, NULL);
    s->w = w;
    s->seed = (uint8_t)(i * 100 + 3);
    test_rng_seed(&s->rng, 11 + (uint64_t)i + flavour);
    memset(&cb, 0, sizeof cb);
    cb.struct_size = sizeof cb;
    cb.user = s;
    cb.on_accept = on_accept;
    cb.on_closed = on_closed;
    rmr_ns_config_init(&cfg, sizeof cfg);
    cfg.callbacks = &cb;
    cfg.max_sockets = 8;
    cfg.max_time_wait = 4;
    cfg.congestion = flavour & 1;
    cfg.no_nagle = (flavour & 2) != 0;
    cfg.tcp_recv_max = flavour & 4 ? 3000 : 200000;
    cfg.tcp_send_max = 100000;
    cfg.memory_max = flavour & 8 ? 20000 : 1000000;
    need(rmr_ns_new(&s->ns, &env, &cfg, w->now) == RMR_OK);
    rmr_addr me = rmr_addr_v4(10, 0, 0, (uint8_t)(i + 1), 80);
    need(rmr_ns_addr_add(s->ns, &me) == RMR_OK);
    if (i == 0)
        need(rmr_ns_tcp_listen(s->ns, &me, NULL, &w->listener) == RMR_OK);
}

/* A connection that is still open on both sides must not be stuck. */
static void recover(world *w)
{
    const side *a = &w->s[0], *b = &w->s[1];
    w->s[0].alloc.fail_at = w->s[1].alloc.fail_at = 0;
    need(rmr_ns_tcp_pause(w->s[0].ns, w->now, w->listener, false) == RMR_OK);
    for (int round = 0; round < 4000; round++) {
        if (!a->have || !b->have || a->closed || b->closed ||
            (a->got == b->sent && b->got == a->sent))
            return;
        for (int i = 0; i < 2; i++) {
            flush(w, i);
            while (w->n[1 - i])
                deliver(w, 1 - i, 0, false);
            read_some(w, &w->s[1 - i], SIZE_MAX);
        }
        if (!w->n[0] && !w->n[1])
            pass_time(w, 255);
    }
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    world *w = calloc(1, sizeof *w);
    need(w != NULL);
    w->in = data;
    w->left = size;
    w->now = 1000 * RMR_SEC;
    uint8_t flavour = next(w);
    make(w, 0, flavour);
    make(w, 1, (uint8_t)(flavour >> 4));
    rmr_addr to = rmr_addr_v4(10, 0, 0, 1, 80);
    side *a = &w->s[1];
    need(rmr_ns_tcp_connect(a->ns, w->now, NULL, &to, NULL, &a->sock) ==
         RMR_OK);
    a->have = true;
    while (w->left) {
        step(w, next(w));
        deadlines(w);
        for (int i = 0; i < 2; i++) {
            need(w->s[i].alloc.live_bytes < MEMORY_MAX);
            ns_check(w->s[i].ns);
        }
    }
    recover(w);
    for (int i = 0; i < 2; i++) {
        while (w->n[i])
            drop(w, i, 0);
        rmr_ns_free(w->s[i].ns);
        need(w->s[i].alloc.live_blocks == 0);
    }
    free(w);
    return 0;
}
