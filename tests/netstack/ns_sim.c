#include "ns_sim.h"

#include "ns_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MTU_MAX 2048

rmr_addr sim_addr(int host, uint16_t port)
{
    return rmr_addr_v4(100, 64, 0, (uint8_t)(host + 1), port);
}

rmr_addr sim_addr6(int host, uint16_t port)
{
    uint8_t ip[16] = {0xfd, 0x7a};
    ip[15] = (uint8_t)(host + 1);
    return rmr_addr_from_bytes(rmr_bytes_of(ip, 16), port);
}

/* A cheap stream that can be computed at any place. */
uint8_t sim_byte(uint64_t seed, uint64_t offset)
{
    uint64_t x = (offset >> 3) * 0x9e3779b97f4a7c15ull + seed;
    x ^= x >> 29;
    x *= 0xbf58476d1ce4e5b9ull;
    return (uint8_t)(x >> (8 * (offset & 7)));
}

/* ---- the link --------------------------------------------------------- */

static bool before(const sim_pkt *a, const sim_pkt *b)
{
    return a->at != b->at ? a->at < b->at : a->seq < b->seq;
}

static void heap_push(sim *s, sim_pkt p)
{
    if (s->n == s->cap) {
        s->cap = s->cap ? 2 * s->cap : 64;
        s->heap = realloc(s->heap, s->cap * sizeof *s->heap);
        assert_non_null(s->heap);
    }
    size_t i = s->n++;
    while (i && before(&p, &s->heap[(i - 1) / 2])) {
        s->heap[i] = s->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    s->heap[i] = p;
}

static sim_pkt heap_pop(sim *s)
{
    sim_pkt top = s->heap[0], p = s->heap[--s->n];
    size_t i = 0;
    for (;;) {
        size_t c = 2 * i + 1;
        if (c >= s->n)
            break;
        if (c + 1 < s->n && before(&s->heap[c + 1], &s->heap[c]))
            c++;
        if (!before(&s->heap[c], &p))
            break;
        s->heap[i] = s->heap[c];
        i = c;
    }
    if (s->n)
        s->heap[i] = p;
    return top;
}

static uint64_t dice(sim *s, uint64_t n)
{
    return n ? test_rng_u64(&s->rng) % n : 0;
}

static void post(sim *s, int to, const uint8_t *data, size_t len, rmr_time at)
{
    sim_pkt p;
    p.at = at;
    p.seq = s->seq++;
    p.to = to;
    p.len = len;
    p.data = malloc(len);
    assert_non_null(p.data);
    memcpy(p.data, data, len);
    heap_push(s, p);
}

/* The router's "too big", quoting the header and 8 bytes. */
static void too_big(sim *s, int to, const uint8_t *pkt, size_t mtu)
{
    uint8_t b[96] = {0};
    bool v4 = pkt[0] >> 4 == 4;
    size_t hl = v4 ? 20 : 40, len = 8 + hl + 8;
    static const ns_ip router = {{10, 9, 8, 7}};
    ns_ip src = router, dst = {{0}};
    memcpy(dst.b, pkt + (v4 ? 12 : 8), v4 ? 4 : 16);
    b[hl] = v4 ? 3 : 2;
    b[hl + 1] = v4 ? 4 : 0;
    rmr_store_be16(b + hl + 6, (uint16_t)mtu);
    memcpy(b + hl + 8, pkt, hl + 8);
    uint8_t family = v4 ? RMR_AF_INET : RMR_AF_INET6, proto = v4 ? 1 : 58;
    (void)rmri_ns_ip_write(b, family, &src, &dst, proto, len, 0);
    uint64_t sum = v4 ? 0 : rmri_ns_sum_pseudo(family, &src, &dst, proto, len);
    rmri_ns_sum_store(b + hl + 2, rmri_ns_sum(sum, b + hl, len));
    post(s, to, b, hl + len, s->now + s->link.delay);
}

static void transmit(sim *s, int from, const uint8_t *data, size_t len)
{
    const sim_link *l = &s->link;
    sim_host *h = &s->h[from];
    rmr_time at = s->now;
    h->pkts_out++;
    h->bytes_out += len;
    s->trace = (s->trace ^ s->now) * 0x100000001b3ull;
    for (size_t i = 0; i < len; i++)
        s->trace = (s->trace ^ data[i]) * 0x100000001b3ull;
    if (dice(s, 1000) < l->loss_milli)
        return;
    if (l->mtu && len > l->mtu) {
        if (l->tells)
            too_big(s, from, data, l->mtu);
        return;
    }
    if (l->rate) {
        rmr_time start = h->busy_until > s->now ? h->busy_until : s->now;
        uint64_t queued = (start - s->now) * l->rate / RMR_SEC;
        if (l->queue && queued > l->queue)
            return;
        at = start + len * RMR_SEC / l->rate;
        h->busy_until = at;
    }
    at += l->delay + (l->jitter ? dice(s, l->jitter) : 0);
    if (dice(s, 1000) < l->reorder_milli)
        at += l->hold;
    post(s, 1 - from, data, len, at);
    if (dice(s, 1000) < l->dup_milli)
        post(s, 1 - from, data, len, at + dice(s, RMR_MS));
}

/* ---- applications ----------------------------------------------------- */

static sim_app *app_of(sim_host *h, rmr_ns_sock s)
{
    if (h->app.sock.id == s.id)
        return &h->app;
    for (int i = 0; i < h->n_more; i++)
        if (h->more[i].sock.id == s.id)
            return &h->more[i];
    return NULL;
}

static void on_accept(void *user, void *tag, rmr_ns_sock listener,
                      rmr_ns_sock sock, const rmr_addr *remote)
{
    sim_host *h = user;
    (void)tag;
    (void)listener;
    assert_int_not_equal(remote->port, 0);
    if (h->sim->keep_all)
        return;
    sim_app *a = &h->app;
    if (a->sock.id && !a->closed) {
        if (h->n_more == 8) {
            (void)rmr_ns_abort(h->ns, h->sim->now, sock);
            return;
        }
        a = &h->more[h->n_more++];
    }
    a->host = h;
    a->sock = sock;
    a->open = true;
    a->accepted++;
    assert_int_equal(rmr_ns_set_tag(h->ns, sock, a), RMR_OK);
}

static void on_connected(void *user, void *tag, rmr_ns_sock sock)
{
    sim_app *a = tag;
    (void)user;
    if (a->host->sim->keep_all)
        return;
    assert_int_equal(a->sock.id, sock.id);
    a->open = true;
    a->connected++;
}

static void on_readable(void *user, void *tag, rmr_ns_sock sock)
{
    sim_app *a = app_of(user, sock);
    (void)tag;
    if (a)
        a->readable++;
}

static void on_writable(void *user, void *tag, rmr_ns_sock sock)
{
    sim_app *a = app_of(user, sock);
    (void)tag;
    if (a)
        a->writable++;
}

static void on_closed(void *user, void *tag, rmr_ns_sock sock, rmr_err why)
{
    sim_app *a = app_of(user, sock);
    (void)tag;
    if (!a)
        return;
    assert_false(a->closed);
    a->closed = true;
    a->open = false;
    a->why = why;
    a->eof |= why == RMR_OK; /* all was read, or this would come later */
    a->n_closed++;
}

static void on_datagram(void *user, void *tag, rmr_ns_sock sock,
                        const rmr_addr *from, const rmr_addr *to,
                        rmr_bytes data)
{
    sim_host *h = user;
    (void)tag;
    (void)sock;
    h->dgrams++;
    h->last_from = *from;
    h->last_to = *to;
    h->last_dgram_len = data.len;
    assert_true(data.len <= sizeof h->last_dgram);
    if (data.len)
        memcpy(h->last_dgram, data.ptr, data.len);
}

static void on_pong(void *user, const rmr_addr *from, uint16_t id, uint16_t seq,
                    rmr_bytes payload)
{
    sim_host *h = user;
    (void)from;
    (void)id;
    (void)seq;
    (void)payload;
    h->pongs++;
}

static void app_read(sim *s, sim_app *a)
{
    rmr_ns *ns = a->host->ns;
    size_t left = a->read_max ? a->read_max : SIZE_MAX;
    while (left && !a->closed) {
        rmr_bytes v;
        bool eof;
        if (rmr_ns_tcp_peek(ns, a->sock, &v, &eof) != RMR_OK)
            return;
        if (eof)
            a->eof = true;
        if (v.len == 0)
            return;
        size_t n = v.len < left ? v.len : left;
        for (size_t i = 0; i < n; i++) {
            a->hash = (a->hash ^ v.ptr[i]) * 0x100000001b3ull;
            if (v.ptr[i] != sim_byte(a->want_seed, a->got + i))
                a->bad = true;
        }
        a->got += n;
        left -= n;
        assert_int_equal(rmr_ns_tcp_consume(ns, s->now, a->sock, n), RMR_OK);
    }
}

static void app_write(sim *s, sim_app *a)
{
    uint8_t buf[4096];
    while (a->open && !a->shut && a->sent < a->total) {
        size_t n = sizeof buf, taken;
        if (a->total - a->sent < n)
            n = (size_t)(a->total - a->sent);
        n = 1 + (size_t)dice(s, n);
        for (size_t i = 0; i < n; i++)
            buf[i] = sim_byte(a->seed, a->sent + i);
        rmr_err e = rmr_ns_tcp_send(a->host->ns, s->now, a->sock,
                                    rmr_bytes_of(buf, n), &taken);
        if (e)
            return;
        a->sent += taken;
        if (taken < n)
            break;
    }
    if (a->open && !a->shut && a->sent == a->total) {
        a->shut = true;
        assert_int_equal(rmr_ns_tcp_shutdown(a->host->ns, s->now, a->sock),
                         RMR_OK);
    }
}

void sim_app_turn(sim *s, sim_app *a)
{
    if (a->manual || !a->open || a->closed)
        return;
    app_read(s, a);
    app_write(s, a);
}

/* ---- hosts ------------------------------------------------------------ */

static void host_init(sim *s, int i, uint64_t seed, const rmr_ns_config *given)
{
    sim_host *h = &s->h[i];
    rmr_ns_config cfg;
    if (given)
        cfg = *given;
    else
        rmr_ns_config_init(&cfg, sizeof cfg);
    h->sim = s;
    h->app.host = h;
    test_rng_seed(&h->rng, seed * 2 + (uint64_t)i);
    rmr_env env = test_env(&h->alloc, &h->rng, NULL);
    h->cb.struct_size = sizeof h->cb;
    h->cb.user = h;
    h->cb.on_accept = on_accept;
    h->cb.on_connected = on_connected;
    h->cb.on_readable = on_readable;
    h->cb.on_writable = on_writable;
    h->cb.on_closed = on_closed;
    h->cb.on_datagram = on_datagram;
    h->cb.on_pong = on_pong;
    cfg.callbacks = &h->cb;
    rmr_addr me = sim_addr(i, 0);
    assert_int_equal(rmr_ns_new(&h->ns, &env, &cfg, s->now), RMR_OK);
    assert_int_equal(rmr_ns_addr_add(h->ns, &me), RMR_OK);
    me = sim_addr6(i, 0);
    assert_int_equal(rmr_ns_addr_add(h->ns, &me), RMR_OK);
}

void sim_init(sim *s, uint64_t seed, const rmr_ns_config *cfg0,
              const rmr_ns_config *cfg1)
{
    memset(s, 0, sizeof *s);
    s->now = 1000 * RMR_SEC;
    s->link.delay = 5 * RMR_MS;
    test_rng_seed(&s->rng, seed);
    host_init(s, 0, seed, cfg0);
    host_init(s, 1, seed, cfg1);
    s->h[0].app.seed = s->h[1].app.want_seed = seed + 17;
    s->h[1].app.seed = s->h[0].app.want_seed = seed + 39;
}

void sim_free(sim *s)
{
    while (s->n)
        free(heap_pop(s).data);
    free(s->heap);
    for (int i = 0; i < 2; i++) {
        rmr_ns_free(s->h[i].ns);
        assert_int_equal(s->h[i].alloc.live_blocks, 0);
        assert_int_equal(s->h[i].alloc.live_bytes, 0);
    }
}

void sim_listen(sim *s, int host, uint16_t port)
{
    rmr_addr at = s->v6 ? sim_addr6(host, port) : sim_addr(host, port);
    rmr_ns_sock l;
    assert_int_equal(rmr_ns_tcp_listen(s->h[host].ns, &at, NULL, &l), RMR_OK);
}

void sim_connect(sim *s)
{
    rmr_addr to = s->v6 ? sim_addr6(0, 80) : sim_addr(0, 80);
    sim_listen(s, 0, 80);
    sim_app *a = &s->h[1].app;
    assert_int_equal(
        rmr_ns_tcp_connect(s->h[1].ns, s->now, NULL, &to, a, &a->sock), RMR_OK);
}

static bool flush(sim *s, int i)
{
    uint8_t buf[MTU_MAX];
    bool any = false;
    for (;;) {
        size_t len;
        assert_int_equal(rmr_ns_write_pkt(s->h[i].ns, s->now,
                                          rmr_buf_of(buf, sizeof buf), &len),
                         RMR_OK);
        if (!len)
            return any;
        any = true;
        transmit(s, i, buf, len);
    }
}

/* Contract T5: what was handled is over. */
static void deadlines(sim *s, int i)
{
    rmr_ns *ns = s->h[i].ns;
    if (rmr_ns_next_deadline(ns) <= s->now) {
        assert_int_equal(rmr_ns_handle_deadline(ns, s->now), RMR_OK);
        assert_true(rmr_ns_next_deadline(ns) > s->now);
    }
}

static void apps(sim *s, int i)
{
    sim_app_turn(s, &s->h[i].app);
    for (int k = 0; k < s->h[i].n_more; k++)
        sim_app_turn(s, &s->h[i].more[k]);
}

void sim_settle(sim *s)
{
    for (int round = 0; round < 1000; round++) {
        bool any = false;
        while (s->n && s->heap[0].at <= s->now) {
            sim_pkt p = heap_pop(s);
            s->delivered++;
            (void)rmr_ns_read_pkt(s->h[p.to].ns, s->now,
                                  rmr_bytes_of(p.data, p.len));
            free(p.data);
            any = true;
        }
        for (int i = 0; i < 2; i++) {
            deadlines(s, i);
            apps(s, i);
            any |= flush(s, i);
            apps(s, i);
            any |= flush(s, i);
        }
        for (int i = 0; i < 2 && !s->keep_all; i++)
            ns_check(s->h[i].ns);
        if (!any || !s->n || s->heap[0].at > s->now)
            return;
    }
    fail_msg("the stacks never come to rest at one instant");
}

static rmr_time next_time(const sim *s)
{
    rmr_time t = s->n ? s->heap[0].at : RMR_TIME_NEVER;
    for (int i = 0; i < 2; i++)
        t = rmr_time_min(t, rmr_ns_next_deadline(s->h[i].ns));
    return t;
}

/* Contract T5: early calls do nothing. */
static void idle_ticks(sim *s, rmr_time until)
{
    while (s->tick && s->now + s->tick < until) {
        s->now += s->tick;
        for (int i = 0; i < 2; i++) {
            rmr_time before = rmr_ns_next_deadline(s->h[i].ns);
            assert_int_equal(rmr_ns_handle_deadline(s->h[i].ns, s->now),
                             RMR_OK);
            assert_int_equal(rmr_ns_next_deadline(s->h[i].ns), before);
            assert_false(flush(s, i));
        }
    }
}

bool sim_run_until(sim *s, rmr_time until, bool (*done)(sim *s))
{
    for (;;) {
        sim_settle(s);
        if (done && done(s))
            return true;
        rmr_time t = next_time(s);
        idle_ticks(s, t < until ? t : until);
        if (t > until) {
            s->now = until;
            return false;
        }
        if (t > s->now)
            s->now = t;
    }
}

void sim_run(sim *s, rmr_time until)
{
    (void)sim_run_until(s, until, NULL);
}
