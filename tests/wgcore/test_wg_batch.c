/* Many packets a call: the same as one by one. */
#include "wg_fixture.h"

#include <stdlib.h>

/* ---- a hub, its spokes, and an attacker between ------------------------- */

enum { SPOKES = 4, MAX_UP = 200, MAX_TRACE = 60000 };
typedef enum form { ONE_BY_ONE, BATCHES, JOBS, N_FORMS } form;

typedef struct dg {
    uint8_t d[512];
    size_t n;
    rmr_wg_endpoint from;
} dg;

typedef struct net {
    form form;
    rmr_time now;
    wgf_side hub, spoke[SPOKES];
    rmr_wg_peer of[SPOKES]; /* the hub's handles */
    test_rng g, split;      /* what happens; how it is cut into batches */
    dg up[MAX_UP];          /* on its way to the hub */
    size_t n_up;
    uint64_t trace[MAX_TRACE];
    size_t n_trace;
    size_t n_err[500], n_sealed, n_refused, n_removed;
} net;

static size_t rnd(net *w, size_t below)
{
    return (size_t)(test_rng_u64(&w->g) % below);
}

static void note(net *w, uint64_t what)
{
    assert_true(w->n_trace < MAX_TRACE);
    w->trace[w->n_trace++] = what;
}

static void note_bytes(net *w, const void *p, size_t n)
{
    static const rmr_hash_key key = {3, 4};
    note(w, rmr_siphash(&key, p, n));
}

static void ip_packet(uint8_t *p, size_t len, uint8_t from, uint8_t to,
                      uint8_t mark)
{
    memset(p, mark, len);
    memset(p, 0, 20);
    p[0] = 0x45;
    rmr_store_be16(p + 2, (uint16_t)len);
    p[12] = p[16] = 10;
    p[15] = from;
    p[19] = to;
}

/* Packets with this mark make the hub do something from inside. */
enum { REPLY = 0xe0, REMOVE = 0xe1, EXPIRE = 0xe2 };

static void hub_packet(wgf_side *s, rmr_wg_peer p, rmr_buf packet)
{
    net *w = (net *)s->user;
    uint8_t buf[256];
    note(w, p.id);
    note_bytes(w, packet.ptr, packet.len);
    uint8_t mark = packet.len > 20 ? packet.ptr[20] : 0;
    if (mark == REPLY) {
        rmr_pkt pkt = rmr_pkt_of(rmr_buf_of(buf, sizeof buf), 16);
        rmr_wg_endpoint to;
        ip_packet(rmr_pkt_put(&pkt, 60), 60, 1, packet.ptr[15], 7);
        rmr_err e = rmr_wg_seal(s->wg, w->now, p, &pkt, &to);
        note(w, (uint64_t)(int64_t)e);
        note_bytes(w, rmr_pkt_data(&pkt), pkt.len);
    } else if (mark == REMOVE) {
        w->n_removed++;
        assert_int_equal(rmr_wg_peer_remove(s->wg, w->now, p), RMR_OK);
    } else if (mark == EXPIRE) {
        assert_int_equal(rmr_wg_peer_expire(s->wg, w->now, p), RMR_OK);
    }
}

static void add_spoke(net *w, int i)
{
    char prefix[32] = "10.0.0.2/32";
    prefix[7] = (char)('2' + i);
    w->of[i] = wgf_add(&w->hub, w->now, w->spoke[i].pub, NULL, &w->spoke[i].at);
    wgf_allow(&w->hub, w->of[i], prefix);
}

static net *net_open(form how, uint64_t seed)
{
    net *w = (net *)calloc(1, sizeof *w);
    assert_non_null(w);
    w->form = how;
    w->now = WGF_T0;
    test_rng_seed(&w->g, seed);
    test_rng_seed(&w->split, seed + (uint64_t)how * 1000);
    wgf_side_keys(&w->hub, 1, "hub");
    wgf_side_open(&w->hub, w->now);
    w->hub.wg->load_per_second = UINT32_MAX;
    w->hub.on_packet = hub_packet;
    w->hub.user = w;
    for (int i = 0; i < SPOKES; i++) {
        char at[3] = {'s', (char)('0' + i), 0};
        wgf_side *s = &w->spoke[i];
        wgf_side_keys(s, 10 + (uint64_t)i, at);
        wgf_side_open(s, w->now);
        s->wg->load_per_second = UINT32_MAX;
        s->peer = wgf_add(s, w->now, w->hub.pub, NULL, &w->hub.at);
        wgf_allow(s, s->peer, "10.0.0.1/32");
        add_spoke(w, i);
    }
    return w;
}

static void net_close(net *w)
{
    for (int i = 0; i < SPOKES; i++)
        wgf_side_close(&w->spoke[i]);
    wgf_side_close(&w->hub);
    free(w);
}

static void to_hub(net *w, int i, const uint8_t *d, size_t n)
{
    if (w->n_up == MAX_UP)
        return;
    dg *x = &w->up[w->n_up++];
    memcpy(x->d, d, n);
    x->n = n;
    x->from = w->spoke[i].at;
}

static void drain_spoke(net *w, int i)
{
    uint8_t d[512];
    rmr_wg_pkt_info info;
    size_t n;
    for (;;) {
        assert_int_equal(rmr_wg_write_pkt(w->spoke[i].wg, w->now,
                                          rmr_buf_of(d, sizeof d), &n, &info),
                         RMR_OK);
        if (!n)
            return;
        to_hub(w, i, d, n);
    }
}

static void spoke_sends(net *w, int i)
{
    static const uint8_t marks[] = {1,     2,     3,      4,     5,
                                    REPLY, REPLY, REMOVE, EXPIRE};
    uint8_t p[400];
    size_t len = 20 + rnd(w, 300);
    size_t mark = rnd(w, 40); /* a few of the wild ones */
    ip_packet(p, len, rnd(w, 30) ? (uint8_t)(2 + i) : 99, 1,
              mark < sizeof marks ? marks[mark] : 6);
    (void)rmr_wg_send(w->spoke[i].wg, w->now, w->spoke[i].peer,
                      rmr_bytes_of(p, len));
    if (rnd(w, 4) == 0)
        drain_spoke(w, i);
}

/* To the spoke at that endpoint, if the wire wants. */
static void to_spoke(net *w, const rmr_wg_endpoint *to, uint8_t *d, size_t n)
{
    if (to->len != 2 || rnd(w, 10) == 0)
        return;
    int i = to->bytes[1] - '0';
    (void)rmr_wg_read_pkt(w->spoke[i].wg, w->now, &w->hub.at, rmr_buf_of(d, n));
    drain_spoke(w, i);
}

/* ---- the hub seals ------------------------------------------------------ */

static uint8_t send_buf[100][512];

static void seal_one(net *w, rmr_wg_out *o)
{
    static rmr_wg_endpoint to[100];
    rmr_wg_endpoint *t = &to[(o->pkt.base - send_buf[0]) / 512];
    o->err = rmr_wg_seal(w->hub.wg, w->now, o->peer, &o->pkt, t);
    o->to = t;
}

static void seal_job(net *w, rmr_wg_out *o)
{
    static const rmr_wg_endpoint nowhere;
    rmr_wg_job job;
    rmr_wg_job *list[1] = {&job};
    memset(&job, 0, sizeof job);
    job.pkt = o->pkt;
    job.peer = o->peer;
    o->err = rmr_wg_job_seal(w->hub.wg, w->now, &job);
    o->to = &nowhere;
    if (!o->err) {
        rmr_wg_job_run(w->hub.wg->aead, list, 1);
        assert_int_equal(rmr_wg_job_end(w->hub.wg, w->now, &job), RMR_OK);
        o->err = job.err;
        o->to = job.at; /* good until the next call */
    }
    o->pkt = job.pkt;
}

static void seal_all(net *w, rmr_wg_out *out, size_t n)
{
    if (w->form == BATCHES) {
        for (size_t i = 0, k; i < n; i += k) {
            k = 1 + (size_t)(test_rng_u64(&w->split) % (n - i));
            assert_int_equal(rmr_wg_seal_n(w->hub.wg, w->now, out + i, k),
                             RMR_OK);
        }
        return;
    }
    for (size_t i = 0; i < n; i++)
        (w->form == JOBS ? seal_job : seal_one)(w, &out[i]);
}

static void hub_sends(net *w)
{
    rmr_wg_out out[100];
    size_t n = rnd(w, 100), peer = 0;
    for (size_t i = 0; i < n; i++) {
        size_t len = 20 + rnd(w, 300);
        if (rnd(w, 3) == 0)
            peer = rnd(w, SPOKES);
        out[i].peer = w->of[peer];
        if (rnd(w, 50) == 0)
            out[i].peer.id ^= 1u << 20;
        out[i].pkt = rmr_pkt_of(rmr_buf_of(send_buf[i], 512), 80);
        uint8_t *at = rmr_pkt_put(&out[i].pkt, len);
        ip_packet(at, len, 1, (uint8_t)(2 + peer), (uint8_t)i);
        if (rnd(w, 50) == 0)
            out[i].pkt.len = 0;
    }
    seal_all(w, out, n);
    for (size_t i = 0; i < n; i++) {
        note(w, (uint64_t)(int64_t)out[i].err);
        note_bytes(w, rmr_pkt_data(&out[i].pkt), out[i].pkt.len);
        w->n_err[-out[i].err]++;
        w->n_sealed += !out[i].err;
    }
    /* Afterwards, as this moves the peers' endpoints. */
    for (size_t i = 0; i < n; i++) {
        rmr_wg_endpoint to = {0, 0, {0}};
        if (out[i].err)
            continue;
        for (int k = 0; k < SPOKES; k++)
            if (w->of[k].id == out[i].peer.id)
                to = w->spoke[k].at;
        to_spoke(w, &to, rmr_pkt_data(&out[i].pkt), out[i].pkt.len);
    }
}

static void hub_writes(net *w)
{
    uint8_t d[512];
    rmr_wg_pkt_info info;
    size_t n;
    for (;;) {
        assert_int_equal(rmr_wg_write_pkt(w->hub.wg, w->now,
                                          rmr_buf_of(d, sizeof d), &n, &info),
                         RMR_OK);
        if (!n)
            return;
        note_bytes(w, d, n);
        to_spoke(w, &info.to, d, n);
    }
}

/* ---- the hub reads ------------------------------------------------------ */

static void read_job(net *w, rmr_wg_in *in)
{
    rmr_wg_job job;
    rmr_wg_job *list[1] = {&job};
    bool is_out;
    memset(&job, 0, sizeof job);
    job.pkt = rmr_pkt_of(in->datagram, 0);
    (void)rmr_pkt_put(&job.pkt, in->datagram.len);
    job.at = in->from;
    in->err = rmr_wg_job_read(w->hub.wg, w->now, &job, &is_out);
    if (is_out) {
        rmr_wg_job_run(w->hub.wg->aead, list, 1);
        assert_int_equal(rmr_wg_job_end(w->hub.wg, w->now, &job), RMR_OK);
        in->err = job.err;
    }
}

static void read_all(net *w, rmr_wg_in *in, size_t n)
{
    for (size_t i = 0, k = 1; i < n; i += k) {
        if (w->form == JOBS) {
            read_job(w, &in[i]);
        } else if (w->form == ONE_BY_ONE) {
            in[i].err =
                rmr_wg_read_pkt(w->hub.wg, w->now, in[i].from, in[i].datagram);
        } else {
            k = 1 + (size_t)(test_rng_u64(&w->split) % (n - i));
            assert_int_equal(rmr_wg_read_pkts(w->hub.wg, w->now, in + i, k),
                             RMR_OK);
        }
    }
}

static void attack(net *w)
{
    for (size_t i = rnd(w, 12); i-- > 0 && w->n_up;) {
        size_t a = rnd(w, w->n_up), b = rnd(w, w->n_up);
        dg x = w->up[a];
        switch (rnd(w, 5)) {
        case 0: /* reorder */
            w->up[a] = w->up[b];
            w->up[b] = x;
            break;
        case 1: /* replay */
            if (w->n_up < MAX_UP)
                w->up[w->n_up++] = x;
            break;
        case 2: /* flip */
            w->up[a].d[rnd(w, x.n + 1)] ^= (uint8_t)(1u << rnd(w, 8));
            break;
        case 3: /* cut */
            w->up[a].n = rnd(w, x.n + 1);
            break;
        default: /* from elsewhere */
            w->up[a].from = wgf_endpoint("mallory");
            break;
        }
    }
}

static void hub_reads(net *w)
{
    static dg copy[MAX_UP];
    rmr_wg_in in[MAX_UP];
    attack(w);
    size_t n = w->n_up;
    memcpy(copy, w->up, n * sizeof copy[0]);
    w->n_up = 0; /* what the callbacks send comes next time */
    for (size_t i = 0; i < n; i++) {
        in[i].from = &copy[i].from;
        in[i].datagram = rmr_buf_of(copy[i].d, copy[i].n);
        in[i].ecn = 0;
    }
    read_all(w, in, n);
    for (size_t i = 0; i < n; i++) {
        note(w, (uint64_t)(int64_t)in[i].err);
        w->n_err[-in[i].err]++;
        w->n_refused += in[i].err != RMR_OK;
    }
}

static void pass(net *w)
{
    static const rmr_dur steps[] = {
        0,           RMR_MS,       30 * RMR_MS,  RMR_SEC,
        6 * RMR_SEC, 70 * RMR_SEC, 125 * RMR_SEC};
    w->now += steps[rnd(w, 7)];
    assert_int_equal(rmr_wg_handle_deadline(w->hub.wg, w->now), RMR_OK);
    for (int i = 0; i < SPOKES; i++) {
        assert_int_equal(rmr_wg_handle_deadline(w->spoke[i].wg, w->now),
                         RMR_OK);
        drain_spoke(w, i);
        if (!rmri_wg_peer_of(w->hub.wg, w->of[i]))
            add_spoke(w, i);
    }
}

static net *run_net(form how, uint64_t seed)
{
    net *w = net_open(how, seed);
    for (int round = 0; round < 60; round++) {
        for (size_t k = rnd(w, 60); k-- > 0;)
            spoke_sends(w, (int)rnd(w, SPOKES));
        for (int i = 0; i < SPOKES; i++)
            drain_spoke(w, i);
        hub_reads(w);
        hub_sends(w);
        hub_writes(w);
        pass(w);
        note(w, wgf_digest(w->hub.wg));
        note(w, w->hub.wg->stats.discard_replay);
        note(w, w->hub.wg->stats.discard_unknown);
        note(w, w->hub.wg->stats.tx_datagrams);
        note(w, rmr_wg_next_deadline(w->hub.wg));
    }
    return w;
}

static void any_cut_into_batches_gives_the_same_as_one_by_one(void **state)
{
    (void)state;
    size_t sealed = 0, replays = 0, unknown = 0, forged = 0, waited = 0,
           removed = 0;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        net *one = run_net(ONE_BY_ONE, seed);
        for (form f = BATCHES; f < N_FORMS; f++) {
            net *many = run_net(f, seed);
            for (size_t i = 0; i < one->n_trace; i++)
                if (one->trace[i] != many->trace[i]) {
                    print_error("seed %d form %d step %zu\n", (int)seed, f, i);
                    assert_true(one->trace[i] == many->trace[i]);
                }
            assert_int_equal(one->n_trace, many->n_trace);
            net_close(many);
        }
        sealed += one->n_sealed;
        replays += one->n_err[-RMR_E_REPLAY];
        unknown += one->n_err[-RMR_E_UNKNOWN];
        forged += one->n_err[-RMR_E_AUTH];
        waited += one->n_err[-RMR_E_NOTREADY];
        removed += one->n_removed;
        net_close(one);
    }
    /* It was about something. */
    assert_true(sealed > 5000 && replays > 100 && unknown > 100);
    assert_true(forged > 100 && waited > 100 && removed > 20);
}

/* ---- order within one array --------------------------------------------- */

static rmr_wg_in in_of(wgf *f, wgf_side *from, uint8_t *d, size_t n)
{
    (void)f;
    rmr_wg_in in;
    memset(&in, 0, sizeof in);
    in.from = &from->at;
    in.datagram = rmr_buf_of(d, n);
    in.err = RMR_E_INTERNAL;
    return in;
}

static void a_response_and_data_under_its_key_come_in_one_array(void **state)
{
    (void)state;
    wgf f;
    uint8_t d[5][WGF_BUF];
    size_t n[5];
    wgf_open(&f);
    wgf_handshake(&f);
    f.now += 6 * RMR_SEC;
    /* Old data, the response, then data under the new key. */
    assert_int_equal(wgf_seal(&f, &f.b, 41, d[0], &n[0]), RMR_OK);
    assert_int_equal(rmr_wg_peer_expire(f.a.wg, f.now, f.a.peer), RMR_OK);
    assert_int_equal(wgf_send(&f, &f.a, 40), RMR_OK);
    size_t len = wgf_take(&f, &f.a, d[1]);
    assert_int_equal(len, 148);
    assert_int_equal(wgf_give(&f, &f.b, d[1], len), RMR_OK);
    n[1] = wgf_take(&f, &f.b, d[1]);
    assert_int_equal(n[1], 92);
    /* A responder may not send yet; one that did would be understood. */
    rmri_wg_slot_confirmed(f.b.wg, wgf_state(&f.b));
    for (size_t i = 2; i < 5; i++)
        assert_int_equal(wgf_seal(&f, &f.b, 40 + i, d[i], &n[i]), RMR_OK);
    rmr_wg_in in[5];
    for (size_t i = 0; i < 5; i++)
        in[i] = in_of(&f, &f.b, d[i], n[i]);
    f.a.n_packets = 0;
    assert_int_equal(rmr_wg_read_pkts(f.a.wg, f.now, in, 5), RMR_OK);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(in[i].err, RMR_OK);
    assert_int_equal(f.a.n_packets, 4);
    assert_int_equal(f.a.last_len, 44);
    wgf_close(&f);
}

/* Both are opened before either is taken; only one may count. */
static void a_copy_in_the_same_array_is_a_replay_and_moves_nothing(void **state)
{
    (void)state;
    wgf f;
    uint8_t d[3][WGF_BUF];
    size_t n;
    wgf_open(&f);
    wgf_handshake(&f);
    wg_peer *p = wgf_state(&f.b);
    rmr_wg_endpoint elsewhere = wgf_endpoint("elsewhere");
    assert_int_equal(wgf_seal(&f, &f.a, 40, d[0], &n), RMR_OK);
    memcpy(d[1], d[0], n);
    memcpy(d[2], d[0], n);
    d[2][20] ^= 1; /* and a forged one under the same counter */
    rmr_wg_in in[3];
    for (size_t i = 0; i < 3; i++)
        in[i] = in_of(&f, &f.a, d[i], n);
    in[1].from = in[2].from = &elsewhere;
    uint64_t bytes = p->rx_bytes, replays = f.b.wg->stats.discard_replay;
    f.b.n_packets = f.b.n_endpoint = 0;
    assert_int_equal(rmr_wg_read_pkts(f.b.wg, f.now, in, 3), RMR_OK);
    assert_int_equal(in[0].err, RMR_OK);
    assert_int_equal(in[1].err, RMR_E_REPLAY);
    assert_int_equal(in[2].err, RMR_E_REPLAY);
    assert_int_equal(f.b.n_packets, 1);
    assert_int_equal(f.b.n_endpoint, 0);
    assert_memory_equal(&p->endpoint, &f.a.at, sizeof f.a.at);
    assert_true(p->rx_bytes == bytes + n);
    assert_true(f.b.wg->stats.discard_replay == replays + 2);
    /* Before the good one a forged one takes nothing away from it. */
    assert_int_equal(wgf_seal(&f, &f.a, 40, d[1], &n), RMR_OK);
    memcpy(d[0], d[1], n);
    d[0][20] ^= 1;
    assert_int_equal(rmr_wg_read_pkts(f.b.wg, f.now, in, 2), RMR_OK);
    assert_int_equal(in[0].err, RMR_E_AUTH);
    assert_int_equal(in[1].err, RMR_OK);
    assert_int_equal(f.b.n_packets, 2);
    wgf_close(&f);
}

static void an_initiation_and_nothing_else_may_be_in_an_array(void **state)
{
    (void)state;
    wgf f;
    uint8_t d[WGF_BUF];
    wgf_open(&f);
    assert_int_equal(rmr_wg_read_pkts(f.a.wg, f.now, NULL, 0), RMR_OK);
    assert_int_equal(rmr_wg_seal_n(f.a.wg, f.now, NULL, 0), RMR_OK);
    wgf_send(&f, &f.a, 40);
    size_t n = wgf_take(&f, &f.a, d);
    rmr_wg_in in = in_of(&f, &f.a, d, n);
    assert_int_equal(rmr_wg_read_pkts(f.b.wg, f.now, &in, 1), RMR_OK);
    assert_int_equal(in.err, RMR_OK);
    wgf_exchange(&f);
    assert_int_equal(f.b.n_packets, 1);
    wgf_close(&f);
}

/* ---- sealing ------------------------------------------------------------ */

static void packets_at_a_stride_become_one_span(void **state)
{
    (void)state;
    enum { N = 50, LEN = 1280, STEP = LEN + RMR_WG_OVERHEAD };
    static uint8_t span[RMR_WG_HEADER_LEN + N * STEP + RMR_PKT_TAILROOM];
    wgf f;
    rmr_wg_out out[N];
    wgf_open(&f);
    f.a.wg->mtu = LEN;
    wgf_handshake(&f);
    for (size_t i = 0; i < N; i++) {
        out[i].peer = f.a.peer;
        out[i].pkt = rmr_pkt_of(rmr_buf_of(span + i * STEP, STEP + 32), 16);
        wgf_packet(&f, &f.a, rmr_pkt_put(&out[i].pkt, LEN), LEN);
        span[i * STEP + 36] = (uint8_t)i;
    }
    uint64_t first = wgf_state(&f.a)->current->counter;
    assert_int_equal(rmr_wg_seal_n(f.a.wg, f.now, out, N), RMR_OK);
    f.b.n_packets = 0;
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(out[i].err, RMR_OK);
        assert_int_equal(out[i].pkt.len, STEP);
        assert_memory_equal(out[i].to, &f.b.at, sizeof f.b.at);
        assert_true(rmr_load_le64(span + i * STEP + 8) == first + i);
        assert_int_equal(wgf_give(&f, &f.b, span + i * STEP, STEP), RMR_OK);
        assert_int_equal(f.b.last[20], i);
    }
    assert_int_equal(f.b.n_packets, N);
    wgf_close(&f);
}

static void the_last_counters_are_used_and_the_rest_waits(void **state)
{
    (void)state;
    enum { N = 10 };
    wgf f;
    rmr_wg_out out[N];
    uint8_t buf[N][128];
    wgf_open(&f);
    wgf_handshake(&f);
    f.now += 6 * RMR_SEC;
    wgf_state(&f.a)->current->counter = WG_REJECT_AFTER_MESSAGES - 4;
    for (size_t i = 0; i < N; i++) {
        out[i].peer = f.a.peer;
        out[i].pkt = rmr_pkt_of(rmr_buf_of(buf[i], 128), 16);
        wgf_packet(&f, &f.a, rmr_pkt_put(&out[i].pkt, 40), 40);
    }
    out[1].pkt.len = 0; /* takes no counter */
    assert_int_equal(rmr_wg_seal_n(f.a.wg, f.now, out, N), RMR_OK);
    for (size_t i = 0; i < N; i++)
        assert_int_equal(out[i].err, i == 1  ? RMR_E_INVAL
                                     : i < 5 ? RMR_OK
                                             : RMR_E_NOTREADY);
    assert_true(rmr_load_le64(rmr_pkt_data(&out[4].pkt) + 8) ==
                WG_REJECT_AFTER_MESSAGES - 1);
    f.b.n_packets = 0;
    wgf_exchange(&f); /* a new key, and the five that waited */
    assert_int_equal(f.b.n_packets, 5);
    assert_true(wgf_state(&f.a)->current->counter == 5);
    wgf_close(&f);
}

static void batches_allocate_nothing(void **state)
{
    (void)state;
    enum { N = 100 };
    static uint8_t buf[N][256];
    wgf f;
    rmr_wg_out out[N];
    rmr_wg_in in[N];
    wgf_open(&f);
    wgf_handshake(&f);
    size_t a = f.a.alloc.calls, b = f.b.alloc.calls;
    f.b.n_packets = 0;
    for (size_t round = 0; round < 50; round++) {
        for (size_t i = 0; i < N; i++) {
            out[i].peer = f.a.peer;
            out[i].pkt = rmr_pkt_of(rmr_buf_of(buf[i], 256), 16);
            wgf_packet(&f, &f.a, rmr_pkt_put(&out[i].pkt, 100), 100);
        }
        assert_int_equal(rmr_wg_seal_n(f.a.wg, f.now, out, N), RMR_OK);
        for (size_t i = 0; i < N; i++)
            in[i] = in_of(&f, &f.a, rmr_pkt_data(&out[i].pkt), out[i].pkt.len);
        assert_int_equal(rmr_wg_read_pkts(f.b.wg, f.now, in, N), RMR_OK);
        f.now += RMR_MS;
    }
    assert_int_equal(f.b.n_packets, 50 * N);
    assert_int_equal(f.a.alloc.calls, a);
    assert_int_equal(f.b.alloc.calls, b);
    wgf_close(&f);
}

/* ---- failing randomness ------------------------------------------------- */

static rmr_err no_fill(void *user, uint8_t *dst, size_t len)
{
    (void)user;
    (void)dst;
    (void)len;
    return RMR_E_RNG;
}

static void failed_randomness_ends_a_batch_where_it_is(void **state)
{
    (void)state;
    wgf f;
    rmr_wg_out out[4];
    uint8_t buf[4][128], init[WGF_BUF], data[WGF_BUF];
    size_t n;
    wgf_open(&f);
    wgf_handshake(&f);
    f.now += 6 * RMR_SEC;
    /* Sealing begins a handshake for the key's age, and can't. */
    f.a.wg->env.rng.fill = no_fill;
    f.now += 120 * RMR_SEC;
    for (size_t i = 0; i < 4; i++) {
        out[i].peer = f.a.peer;
        out[i].pkt = rmr_pkt_of(rmr_buf_of(buf[i], 128), 16);
        wgf_packet(&f, &f.a, rmr_pkt_put(&out[i].pkt, 40), 40);
    }
    assert_int_equal(rmr_wg_seal_n(f.a.wg, f.now, out, 4), RMR_E_RNG);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(out[i].err, RMR_E_RNG);
        assert_int_equal(out[i].pkt.len, 40); /* not touched */
        assert_int_equal(rmr_pkt_data(&out[i].pkt)[0], 0x45);
    }
    assert_int_equal(rmr_wg_seal_n(f.a.wg, f.now, out, 4), RMR_E_RNG);
    wgf_close(&f);

    /* Reading: what came before stands, what comes behind is not read. */
    wgf_open(&f);
    wgf_handshake(&f);
    f.now += 6 * RMR_SEC;
    assert_int_equal(wgf_seal(&f, &f.a, 50, data, &n), RMR_OK);
    rmr_wg_peer_expire(f.a.wg, f.now, f.a.peer);
    wgf_send(&f, &f.a, 40);
    assert_int_equal(wgf_take(&f, &f.a, init), 148);
    f.b.wg->env.rng.fill = no_fill;
    rmr_wg_in in[3] = {in_of(&f, &f.a, data, n), in_of(&f, &f.a, init, 148),
                       in_of(&f, &f.a, data, n)};
    f.b.n_packets = 0;
    assert_int_equal(rmr_wg_read_pkts(f.b.wg, f.now, in, 3), RMR_E_RNG);
    assert_int_equal(in[0].err, RMR_OK);
    assert_int_equal(in[1].err, RMR_E_RNG);
    assert_int_equal(in[2].err, RMR_E_RNG);
    assert_int_equal(f.b.n_packets, 1);
    assert_int_equal(rmr_wg_read_pkts(f.b.wg, f.now, in, 3), RMR_E_RNG);
    size_t seg;
    rmr_wg_pkt_info info;
    assert_int_equal(rmr_wg_write_run(f.b.wg, f.now, rmr_buf_of(data, 2000), &n,
                                      &seg, &info),
                     RMR_E_RNG);
    wgf_close(&f);
}

/* ---- failing memory ----------------------------------------------------- */

static void packets_that_find_no_memory_to_wait_are_dropped_alone(void **state)
{
    (void)state;
    for (size_t fail = 1; fail < 8; fail++) {
        wgf f;
        rmr_wg_out out[4];
        uint8_t buf[4][128];
        size_t waiting = 0;
        wgf_open(&f);
        for (size_t i = 0; i < 4; i++) {
            out[i].peer = f.a.peer;
            out[i].pkt = rmr_pkt_of(rmr_buf_of(buf[i], 128), 16);
            wgf_packet(&f, &f.a, rmr_pkt_put(&out[i].pkt, 40), 40);
        }
        f.a.alloc.fail_at = f.a.alloc.calls + fail;
        assert_int_equal(rmr_wg_seal_n(f.a.wg, f.now, out, 4), RMR_OK);
        f.a.alloc.fail_at = 0;
        for (size_t i = 0; i < 4; i++) {
            assert_true(out[i].err == RMR_E_NOTREADY ||
                        out[i].err == RMR_E_NOMEM);
            assert_int_equal(out[i].pkt.len, 40);
            waiting += out[i].err == RMR_E_NOTREADY;
        }
        assert_true(waiting >= 3);
        wgf_run(&f, f.now + 12 * RMR_SEC);
        assert_int_equal(f.b.n_packets, waiting);
        wgf_close(&f);
    }
}

/* A handshake that finds no memory is refused, and its neighbours are not. */
static void a_handshake_without_memory_fails_alone_in_its_array(void **state)
{
    (void)state;
    for (size_t fail = 1;; fail++) {
        wgf f;
        uint8_t d[3][WGF_BUF];
        size_t n[3];
        wgf_open(&f);
        wgf_handshake(&f);
        f.now += 6 * RMR_SEC;
        assert_int_equal(wgf_seal(&f, &f.a, 50, d[0], &n[0]), RMR_OK);
        assert_int_equal(wgf_seal(&f, &f.a, 51, d[2], &n[2]), RMR_OK);
        rmr_wg_peer_expire(f.a.wg, f.now, f.a.peer);
        wgf_send(&f, &f.a, 40);
        n[1] = wgf_take(&f, &f.a, d[1]);
        assert_int_equal(n[1], 148);
        rmr_wg_in in[3];
        for (size_t i = 0; i < 3; i++)
            in[i] = in_of(&f, &f.a, d[i], n[i]);
        f.b.n_packets = 0;
        f.b.alloc.fail_at = f.b.alloc.calls + fail;
        assert_int_equal(rmr_wg_read_pkts(f.b.wg, f.now, in, 3), RMR_OK);
        f.b.alloc.fail_at = 0;
        assert_int_equal(in[0].err, RMR_OK);
        assert_int_equal(in[2].err, RMR_OK);
        assert_int_equal(f.b.n_packets, 2);
        rmr_err e = in[1].err;
        wgf_run(&f, f.now + 12 * RMR_SEC);
        assert_int_equal(f.b.n_packets, 3);
        wgf_close(&f);
        if (!e) {
            assert_true(fail > 1);
            return;
        }
        assert_int_equal(e, RMR_E_NOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_cut_into_batches_gives_the_same_as_one_by_one),
        cmocka_unit_test(a_response_and_data_under_its_key_come_in_one_array),
        cmocka_unit_test(
            a_copy_in_the_same_array_is_a_replay_and_moves_nothing),
        cmocka_unit_test(an_initiation_and_nothing_else_may_be_in_an_array),
        cmocka_unit_test(packets_at_a_stride_become_one_span),
        cmocka_unit_test(the_last_counters_are_used_and_the_rest_waits),
        cmocka_unit_test(batches_allocate_nothing),
        cmocka_unit_test(failed_randomness_ends_a_batch_where_it_is),
        cmocka_unit_test(a_handshake_without_memory_fails_alone_in_its_array),
        cmocka_unit_test(packets_that_find_no_memory_to_wait_are_dropped_alone),
    };
    return cmocka_run_group_tests(tests, wgf_group_setup, NULL);
}
