/* The cipher's work as jobs: whatever order threads finish in, what happens is
 * in the order of issue. */
#include "wg_fixture.h"

#include <stdio.h>
#include <stdlib.h>

enum { MAX = 1100, BUF = 512 };

typedef struct world {
    wgf f;
    rmr_wg_job job[MAX];
    uint8_t buf[MAX][BUF];
    rmr_wg_job *given[MAX]; /* by on_job of A or B, in order */
    size_t n_given;
} world;

static void on_job(wgf_side *s, rmr_wg_job *job)
{
    world *w = (world *)s->user;
    assert_true(w->n_given < MAX);
    w->given[w->n_given++] = job;
}

static world *open_world(void)
{
    world *w = (world *)calloc(1, sizeof *w);
    assert_non_null(w);
    wgf_open(&w->f);
    wgf_handshake(&w->f);
    w->f.a.on_job = w->f.b.on_job = on_job;
    w->f.a.user = w->f.b.user = w;
    w->f.b.n_packets = 0;
    return w;
}

static void close_world(world *w)
{
    wgf_close(&w->f);
    free(w);
}

static rmr_err issue_seal(world *w, size_t i, size_t len)
{
    rmr_wg_job *j = &w->job[i];
    memset(j, 0, sizeof *j);
    j->peer = w->f.a.peer;
    j->pkt = rmr_pkt_of(rmr_buf_of(w->buf[i], BUF), 16);
    uint8_t *at = rmr_pkt_put(&j->pkt, len);
    wgf_packet(&w->f, &w->f.a, at, len);
    rmr_store_le32(at + 20, (uint32_t)i);
    return rmr_wg_job_seal(w->f.a.wg, w->f.now, j);
}

/* A sealed datagram in buf[i], for B to open as a job. */
static void put_datagram(world *w, size_t i, size_t len)
{
    uint8_t d[WGF_BUF];
    size_t n;
    rmr_wg_job *j = &w->job[i];
    assert_int_equal(wgf_seal(&w->f, &w->f.a, len, d, &n), RMR_OK);
    memset(j, 0, sizeof *j);
    memcpy(w->buf[i], d, n);
    j->pkt = rmr_pkt_of(rmr_buf_of(w->buf[i], BUF), 0);
    (void)rmr_pkt_put(&j->pkt, n);
    j->at = &w->f.a.at;
}

static rmr_err issue_open(world *w, size_t i)
{
    bool is_out;
    rmr_err e = rmr_wg_job_read(w->f.b.wg, w->f.now, &w->job[i], &is_out);
    assert_int_equal(is_out, e == RMR_OK);
    return e;
}

static void run(world *w, size_t i)
{
    rmr_wg_job *list[1] = {&w->job[i]};
    rmr_wg_job_run(w->f.a.wg->aead, list, 1);
}

/* ---- order --------------------------------------------------------------- */

static void shuffle(test_rng *g, size_t *order, size_t n)
{
    for (size_t i = n; i > 1; i--) {
        size_t k = (size_t)(test_rng_u64(g) % i), x = order[i - 1];
        order[i - 1] = order[k];
        order[k] = x;
    }
}

static void seal_in_order(world *w, const size_t *order, size_t n)
{
    uint64_t counter = wgf_state(&w->f.a)->current->counter;
    w->f.b.on_packet = NULL;
    w->n_given = 0;
    w->f.b.n_packets = 0;
    for (size_t i = 0; i < n; i++)
        assert_int_equal(issue_seal(w, i, 40 + i), RMR_OK);
    bool ended[MAX] = {false};
    for (size_t i = 0, head = 0; i < n; i++) {
        run(w, order[i]);
        assert_int_equal(rmr_wg_job_end(w->f.a.wg, w->f.now, &w->job[order[i]]),
                         RMR_OK);
        ended[order[i]] = true;
        while (head < n && ended[head])
            head++;
        assert_int_equal(w->n_given, head); /* neither too early nor late */
    }
    for (size_t i = 0; i < n; i++) {
        rmr_wg_job *j = w->given[i];
        const uint8_t *d = rmr_pkt_data(&j->pkt);
        assert_ptr_equal(j, &w->job[i]);
        assert_int_equal(j->err, RMR_OK);
        assert_true(rmr_load_le64(d + 8) == counter + i);
        assert_int_equal(wgf_give(&w->f, &w->f.b, d, j->pkt.len), RMR_OK);
        assert_int_equal(w->f.b.last_len, 40 + i);
        assert_int_equal(rmr_load_le32(w->f.b.last + 20), i);
    }
    assert_int_equal(w->f.b.n_packets, n);
}

static void note_length(wgf_side *s, rmr_wg_peer p, rmr_buf packet)
{
    world *w = (world *)s->user;
    (void)p;
    /* The packet comes before its job. */
    assert_int_equal(packet.len, 40 + w->n_given);
}

static void open_in_order(world *w, const size_t *order, size_t n)
{
    w->n_given = 0;
    w->f.b.n_packets = 0;
    w->f.b.on_packet = note_length;
    for (size_t i = 0; i < n; i++) {
        put_datagram(w, i, 40 + i);
        assert_int_equal(issue_open(w, i), RMR_OK);
        assert_int_equal(w->job[i].peer.id, w->f.b.peer.id);
    }
    assert_int_equal(w->f.b.n_packets, 0);
    bool ended[MAX] = {false};
    for (size_t i = 0, head = 0; i < n; i++) {
        run(w, order[i]);
        assert_int_equal(rmr_wg_job_end(w->f.b.wg, w->f.now, &w->job[order[i]]),
                         RMR_OK);
        ended[order[i]] = true;
        while (head < n && ended[head])
            head++;
        assert_int_equal(w->n_given, head);
        assert_int_equal(w->f.b.n_packets, head);
    }
    for (size_t i = 0; i < n; i++) {
        assert_ptr_equal(w->given[i], &w->job[i]);
        assert_int_equal(w->given[i]->err, RMR_OK);
    }
}

/* Every order of five, by Heap's algorithm. */
static size_t permute(world *w, size_t *order, size_t k, size_t n)
{
    size_t ran = 1;
    if (k == 1) {
        seal_in_order(w, order, n);
        open_in_order(w, order, n);
        return ran;
    }
    ran = permute(w, order, k - 1, n);
    for (size_t i = 0; i < k - 1; i++) {
        size_t a = k % 2 == 0 ? i : 0, x = order[a];
        order[a] = order[k - 1];
        order[k - 1] = x;
        ran += permute(w, order, k - 1, n);
    }
    return ran;
}

static void any_order_of_ends_gives_the_order_of_issue(void **state)
{
    (void)state;
    world *w = open_world();
    size_t order[200] = {0, 1, 2, 3, 4};
    assert_int_equal(permute(w, order, 5, 5), 120);
    for (uint64_t seed = 1; seed <= 30; seed++) {
        test_rng g;
        test_rng_seed(&g, seed);
        for (size_t i = 0; i < 200; i++)
            order[i] = i;
        shuffle(&g, order, 200);
        seal_in_order(w, order, 200);
        open_in_order(w, order, 200);
    }
    close_world(w);
}

static void both_kinds_run_in_one_call(void **state)
{
    (void)state;
    world *w = open_world();
    rmr_wg_job *list[200];
    for (size_t i = 0; i < 200; i += 2) {
        assert_int_equal(issue_seal(w, i, 60), RMR_OK);
        list[i] = &w->job[i];
    }
    /* Datagrams of B's for A, as A's seals are out. */
    for (size_t i = 1; i < 200; i += 2) {
        uint8_t d[WGF_BUF];
        size_t n;
        bool is_out;
        assert_int_equal(wgf_seal(&w->f, &w->f.b, 70, d, &n), RMR_OK);
        memcpy(w->buf[i], d, n);
        w->job[i].pkt = rmr_pkt_of(rmr_buf_of(w->buf[i], BUF), 0);
        (void)rmr_pkt_put(&w->job[i].pkt, n);
        w->job[i].at = &w->f.b.at;
        assert_int_equal(
            rmr_wg_job_read(w->f.a.wg, w->f.now, &w->job[i], &is_out), RMR_OK);
        list[i] = &w->job[i];
    }
    rmr_wg_job_run(w->f.a.wg->aead, list, 200);
    for (size_t i = 200; i-- > 0;)
        assert_int_equal(rmr_wg_job_end(w->f.a.wg, w->f.now, &w->job[i]),
                         RMR_OK);
    assert_int_equal(w->n_given, 200);
    assert_int_equal(w->f.a.n_packets, 100);
    for (size_t i = 0; i < 200; i += 2)
        assert_int_equal(wgf_give(&w->f, &w->f.b, rmr_pkt_data(&w->job[i].pkt),
                                  w->job[i].pkt.len),
                         RMR_OK);
    assert_int_equal(w->f.b.n_packets, 100);
    close_world(w);
}

/* ---- what is refused ----------------------------------------------------- */

static void replays_and_forgeries_are_found_at_their_turn(void **state)
{
    (void)state;
    world *w = open_world();
    for (size_t i = 0; i < 3; i++)
        put_datagram(w, i, 40 + i);
    w->job[3] = w->job[0]; /* the first again */
    memcpy(w->buf[3], w->buf[0], BUF);
    w->job[3].pkt.base = w->buf[3];
    w->buf[1][20] ^= 1; /* and the second forged */
    uint64_t before = w->f.b.wg->stats.discard_auth;
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(issue_open(w, i), RMR_OK);
    for (size_t i = 4; i-- > 0;) {
        run(w, i);
        assert_int_equal(rmr_wg_job_end(w->f.b.wg, w->f.now, &w->job[i]),
                         RMR_OK);
    }
    assert_int_equal(w->job[0].err, RMR_OK);
    assert_int_equal(w->job[1].err, RMR_E_AUTH);
    assert_int_equal(w->job[2].err, RMR_OK);
    assert_int_equal(w->job[3].err, RMR_E_REPLAY);
    assert_int_equal(w->f.b.n_packets, 2);
    assert_int_equal(w->f.b.wg->stats.discard_auth, before + 1);
    /* Now it is known at issue. */
    memcpy(w->buf[4], w->buf[0], 16);
    w->job[4] = w->job[0];
    w->job[4].pkt = rmr_pkt_of(rmr_buf_of(w->buf[4], BUF), 0);
    (void)rmr_pkt_put(&w->job[4].pkt, 80);
    uint64_t digest = wgf_digest(w->f.b.wg);
    assert_int_equal(issue_open(w, 4), RMR_E_REPLAY);
    w->job[4].pkt.len = 31;
    assert_int_equal(issue_open(w, 4), RMR_E_MALFORMED);
    w->job[4].pkt.len = 80;
    w->buf[4][4] ^= 1;
    assert_int_equal(issue_open(w, 4), RMR_E_UNKNOWN);
    assert_true(wgf_digest(w->f.b.wg) == digest);
    close_world(w);
}

static void handshakes_are_handled_at_once(void **state)
{
    (void)state;
    world *w = open_world();
    uint8_t d[WGF_BUF];
    bool is_out = true;
    w->f.now += RMR_SEC;
    rmr_wg_peer_expire(w->f.a.wg, w->f.now, w->f.a.peer);
    wgf_send(&w->f, &w->f.a, 40);
    size_t n = wgf_take(&w->f, &w->f.a, d);
    assert_int_equal(n, 148);
    rmr_wg_job *j = &w->job[0];
    j->pkt = rmr_pkt_of(rmr_buf_of(d, sizeof d), 0);
    (void)rmr_pkt_put(&j->pkt, n);
    j->at = &w->f.a.at;
    w->f.b.alloc.fail_at = w->f.b.alloc.calls + 1;
    assert_int_equal(rmr_wg_job_read(w->f.b.wg, w->f.now, j, &is_out),
                     RMR_E_NOMEM);
    assert_false(is_out);
    is_out = true;
    assert_int_equal(rmr_wg_job_read(w->f.b.wg, w->f.now, j, &is_out), RMR_OK);
    assert_false(is_out);
    assert_int_equal(wgf_take(&w->f, &w->f.b, d), 92);
    assert_int_equal(w->n_given, 0);
    close_world(w);
}

static void a_bad_job_is_refused(void **state)
{
    (void)state;
    world *w = open_world();
    bool is_out;
    rmr_wg_job *j = &w->job[0];
    assert_int_equal(rmr_wg_job_end(w->f.a.wg, w->f.now, j), RMR_E_INVAL);
    assert_int_equal(issue_seal(w, 0, 40), RMR_OK);
    assert_int_equal(rmr_wg_job_seal(w->f.a.wg, w->f.now, j), RMR_E_INVAL);
    assert_int_equal(rmr_wg_job_read(w->f.a.wg, w->f.now, j, &is_out),
                     RMR_E_INVAL);
    run(w, 0);
    assert_int_equal(rmr_wg_job_end(w->f.a.wg, w->f.now, j), RMR_OK);
    assert_int_equal(rmr_wg_job_end(w->f.a.wg, w->f.now, j), RMR_E_INVAL);
    j->peer.id ^= (uint64_t)1 << 40;
    assert_int_equal(rmr_wg_job_seal(w->f.a.wg, w->f.now, j), RMR_E_BADHANDLE);
    j->peer = w->f.a.peer;
    j->pkt.len = 0;
    assert_int_equal(rmr_wg_job_seal(w->f.a.wg, w->f.now, j), RMR_E_INVAL);
    j->pkt.len = RMR_WG_MAX_PACKET + 1;
    assert_int_equal(rmr_wg_job_seal(w->f.a.wg, w->f.now, j), RMR_E_TOOBIG);
    /* A host that has no on_job has no jobs. */
    w->f.a.wg->cb.on_job = NULL;
    assert_int_equal(issue_seal(w, 0, 40), RMR_E_INVAL);
    close_world(w);
}

/* A host's mistake must not let out what was not sealed, nor let in what was
 * not authenticated. */
static void a_job_that_has_not_run_does_not_end(void **state)
{
    (void)state;
    world *w = open_world();
    assert_int_equal(issue_seal(w, 0, 40), RMR_OK);
    assert_int_equal(rmr_wg_job_end(w->f.a.wg, w->f.now, &w->job[0]),
                     RMR_E_INVAL);
    assert_int_equal(w->n_given, 0);
    run(w, 0);
    assert_int_equal(rmr_wg_job_end(w->f.a.wg, w->f.now, &w->job[0]), RMR_OK);
    assert_int_equal(w->n_given, 1);
    /* A forgery, in a job whose last run went well. */
    put_datagram(w, 1, 40);
    w->buf[1][20] ^= 1;
    w->job[1].item.err = RMR_OK;
    assert_int_equal(issue_open(w, 1), RMR_OK);
    assert_int_equal(rmr_wg_job_end(w->f.b.wg, w->f.now, &w->job[1]),
                     RMR_E_INVAL);
    assert_int_equal(w->f.b.n_packets, 0);
    run(w, 1);
    assert_int_equal(rmr_wg_job_end(w->f.b.wg, w->f.now, &w->job[1]), RMR_OK);
    assert_int_equal(w->job[1].err, RMR_E_AUTH);
    assert_int_equal(w->f.b.n_packets, 0);
    close_world(w);
}

static void jobs_have_a_bound(void **state)
{
    (void)state;
    world *w = open_world();
    for (size_t i = 0; i < RMR_WG_MAX_JOBS; i++)
        assert_int_equal(issue_seal(w, i, 40), RMR_OK);
    assert_int_equal(issue_seal(w, RMR_WG_MAX_JOBS, 40), RMR_E_FULL);
    assert_int_equal(w->job[RMR_WG_MAX_JOBS].pkt.len, 40);
    run(w, 0);
    rmr_wg_job_end(w->f.a.wg, w->f.now, &w->job[0]);
    assert_int_equal(issue_seal(w, RMR_WG_MAX_JOBS, 40), RMR_OK);
    for (size_t i = 1; i <= RMR_WG_MAX_JOBS; i++) {
        run(w, i);
        rmr_wg_job_end(w->f.a.wg, w->f.now, &w->job[i]);
    }
    w->n_given = 0;
    /* And the other way. */
    for (size_t i = 0; i <= RMR_WG_MAX_JOBS; i++)
        put_datagram(w, i, 40);
    for (size_t i = 0; i < RMR_WG_MAX_JOBS; i++)
        assert_int_equal(issue_open(w, i), RMR_OK);
    assert_int_equal(issue_open(w, RMR_WG_MAX_JOBS), RMR_E_FULL);
    for (size_t i = RMR_WG_MAX_JOBS; i-- > 0;) {
        run(w, i);
        rmr_wg_job_end(w->f.b.wg, w->f.now, &w->job[i]);
    }
    assert_int_equal(w->f.b.n_packets, RMR_WG_MAX_JOBS);
    assert_int_equal(issue_open(w, RMR_WG_MAX_JOBS), RMR_OK);
    run(w, RMR_WG_MAX_JOBS);
    rmr_wg_job_end(w->f.b.wg, w->f.now, &w->job[RMR_WG_MAX_JOBS]);
    assert_int_equal(w->f.b.n_packets, RMR_WG_MAX_JOBS + 1);
    close_world(w);
}

static void jobs_allocate_nothing(void **state)
{
    (void)state;
    world *w = open_world();
    size_t a = w->f.a.alloc.calls, b = w->f.b.alloc.calls, order[100];
    for (size_t i = 0; i < 100; i++)
        order[i] = 99 - i;
    seal_in_order(w, order, 100);
    open_in_order(w, order, 100);
    assert_int_equal(w->f.a.alloc.calls, a);
    assert_int_equal(w->f.b.alloc.calls, b);
    close_world(w);
}

/* ---- what else is to be sent waits --------------------------------------- */

static void packets_wait_behind_jobs(void **state)
{
    (void)state;
    world *w = open_world();
    uint8_t d[WGF_BUF];
    size_t n;
    assert_int_equal(issue_seal(w, 0, 41), RMR_OK);
    assert_int_equal(issue_seal(w, 1, 42), RMR_OK);
    assert_int_equal(wgf_seal(&w->f, &w->f.a, 43, d, &n), RMR_E_NOTREADY);
    assert_int_equal(wgf_send(&w->f, &w->f.a, 44), RMR_OK);
    assert_int_equal(issue_seal(w, 2, 45), RMR_E_NOTREADY); /* it too */
    assert_int_equal(wgf_take(&w->f, &w->f.a, d), 0);
    run(w, 1);
    rmr_wg_job_end(w->f.a.wg, w->f.now, &w->job[1]);
    assert_int_equal(wgf_take(&w->f, &w->f.a, d), 0);
    run(w, 0);
    rmr_wg_job_end(w->f.a.wg, w->f.now, &w->job[0]);
    for (size_t i = 0; i < 2; i++)
        wgf_give(&w->f, &w->f.b, rmr_pkt_data(&w->given[i]->pkt),
                 w->given[i]->pkt.len);
    for (size_t len = 43; len <= 45; len++) {
        n = wgf_take(&w->f, &w->f.a, d);
        assert_int_equal(wgf_give(&w->f, &w->f.b, d, n), RMR_OK);
        assert_int_equal(w->f.b.last_len, len);
    }
    assert_int_equal(wgf_take(&w->f, &w->f.a, d), 0);
    assert_int_equal(w->f.b.n_packets, 5);
    assert_int_equal(issue_seal(w, 0, 41), RMR_OK);
    /* Handshake messages do not wait. */
    rmr_wg_peer_expire(w->f.a.wg, w->f.now, w->f.a.peer);
    wgf_send(&w->f, &w->f.a, 46);
    assert_int_equal(wgf_take(&w->f, &w->f.a, d), 148);
    close_world(w);
}

static void timers_move_when_a_job_leaves(void **state)
{
    (void)state;
    world *w = open_world();
    wgf_run(&w->f, w->f.now + 30 * RMR_SEC); /* all quiet but erasure */
    wg_peer *p = wgf_state(&w->f.a);
    assert_true(p->deadline[WG_NH] == RMR_TIME_NEVER);
    rmr_time sent = p->last_tx;
    assert_int_equal(issue_seal(w, 0, 40), RMR_OK);
    assert_true(p->deadline[WG_NH] == RMR_TIME_NEVER);
    assert_true(p->last_tx == sent);
    w->f.now += RMR_SEC;
    run(w, 0);
    rmr_wg_job_end(w->f.a.wg, w->f.now, &w->job[0]);
    assert_true(p->deadline[WG_NH] == w->f.now + 15 * RMR_SEC);
    assert_true(rmr_wg_next_deadline(w->f.a.wg) == w->f.now + 15 * RMR_SEC);
    assert_true(p->last_tx == w->f.now);
    assert_int_equal(p->tx_pkts, 2);
    close_world(w);
}

/* ---- keys and peers that go ---------------------------------------------- */

static void the_jobs_of_a_removed_peer_end_with_unknown(void **state)
{
    (void)state;
    for (int ends_first = 0; ends_first < 2; ends_first++) {
        world *w = open_world();
        uint8_t secret[32];
        wgf_side *a = &w->f.a;
        for (size_t i = 0; i < 6; i++)
            assert_int_equal(issue_seal(w, i, 40), RMR_OK);
        run(w, 3); /* done, and behind others */
        rmr_wg_job_end(a->wg, w->f.now, &w->job[3]);
        memcpy(secret, wgf_state(a)->current->send.opaque, 32);
        a->alloc.secret = secret;
        a->alloc.secret_len = 32;
        size_t live = a->alloc.live_bytes;
        assert_int_equal(rmr_wg_peer_remove(a->wg, w->f.now, a->peer), RMR_OK);
        assert_true(a->alloc.live_bytes < live);
        assert_int_equal(w->n_given, 0); /* no pump call yet */
        assert_int_equal(rmr_wg_handle_deadline(a->wg, w->f.now), RMR_OK);
        assert_int_equal(w->n_given, 1);
        assert_ptr_equal(w->given[0], &w->job[3]);
        assert_int_equal(w->job[3].err, RMR_E_UNKNOWN);
        /* The key is there for who still works with it. */
        assert_false(wg_list_empty(&a->wg->dead));
        for (size_t i = 0; i < 6; i++) {
            if (i == 3)
                continue;
            run(w, i);
            if (ends_first)
                rmr_wg_job_end(a->wg, w->f.now, &w->job[i]);
        }
        if (ends_first) {
            assert_int_equal(w->n_given, 6);
            for (size_t i = 0; i < 6; i++)
                assert_int_equal(w->job[i].err, RMR_E_UNKNOWN);
            assert_true(wg_list_empty(&a->wg->dead));
            assert_int_equal(a->wg->stats.jobs_dropped, 6);
        }
        assert_int_equal(a->wg->stats.memory_bytes, a->alloc.live_bytes);
        close_world(w); /* nothing is left, and no secret was freed */
    }
}

static void jobs_of_an_erased_key_end_with_unknown(void **state)
{
    (void)state;
    world *w = open_world();
    wgf_side *b = &w->f.b;
    for (size_t i = 0; i < 4; i++)
        put_datagram(w, i, 40 + i);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(issue_open(w, i), RMR_OK);
    run(w, 0);
    rmr_wg_job_end(b->wg, w->f.now, &w->job[0]);
    rmri_wg_keys_erase(b->wg, wgf_state(b));
    for (size_t i = 4; i-- > 1;) {
        run(w, i);
        assert_int_equal(rmr_wg_job_end(b->wg, w->f.now, &w->job[i]), RMR_OK);
    }
    assert_int_equal(w->n_given, 4);
    assert_int_equal(w->job[0].err, RMR_OK);
    for (size_t i = 1; i < 4; i++)
        assert_int_equal(w->job[i].err, RMR_E_UNKNOWN);
    assert_int_equal(b->n_packets, 1);
    assert_true(wg_list_empty(&b->wg->dead));
    assert_int_equal(b->wg->stats.jobs_dropped, 3);
    close_world(w);
}

/* However long a job takes: a key of 180 s neither sends nor opens. */
static void jobs_of_a_key_that_became_too_old_end_with_unknown(void **state)
{
    (void)state;
    for (int late = 0; late < 2; late++) {
        world *w = open_world();
        wgf *f = &w->f;
        rmr_time born = wgf_state(&f->b)->current->born;
        f->now = born + 100 * RMR_SEC;
        put_datagram(w, 0, 40);
        assert_int_equal(issue_open(w, 0), RMR_OK);
        assert_int_equal(issue_seal(w, 1, 40), RMR_OK);
        run(w, 0);
        run(w, 1);
        f->now = born + 180 * RMR_SEC - !late;
        assert_int_equal(rmr_wg_job_end(f->b.wg, f->now, &w->job[0]), RMR_OK);
        assert_int_equal(rmr_wg_job_end(f->a.wg, f->now, &w->job[1]), RMR_OK);
        assert_int_equal(w->n_given, 2);
        for (int i = 0; i < 2; i++)
            assert_int_equal(w->job[i].err, late ? RMR_E_UNKNOWN : RMR_OK);
        assert_int_equal(f->b.n_packets, !late);
        assert_int_equal(f->a.wg->stats.jobs_dropped, late);
        assert_int_equal(f->b.wg->stats.jobs_dropped, late);
        close_world(w);
    }
}

/* What it was to say, to the timers too, is still to be said. */
static void a_seal_that_is_dropped_begins_a_handshake(void **state)
{
    (void)state;
    world *w = open_world();
    wgf *f = &w->f;
    wg_peer *p = wgf_state(&f->a);
    rmr_time born = p->current->born;
    wgf_run(f, born + 170 * RMR_SEC);
    assert_int_equal(rmr_wg_peer_set_keepalive(f->a.wg, f->now, f->a.peer, 25),
                     RMR_OK);
    assert_true(p->want_ka);
    assert_int_equal(issue_seal(w, 0, 40), RMR_OK);
    assert_false(p->want_ka);
    run(w, 0);
    f->now = born + 180 * RMR_SEC;
    assert_int_equal(rmr_wg_job_end(f->a.wg, f->now, &w->job[0]), RMR_OK);
    assert_int_equal(w->job[0].err, RMR_E_UNKNOWN);
    assert_non_null(p->hs);
    assert_true(p->deadline[WG_PK] != RMR_TIME_NEVER);
    wgf_exchange(f);
    assert_true(p->current->born == f->now);
    assert_false(p->want_ka);
    close_world(w);
}

static void remove_self(wgf_side *s, rmr_wg_peer p)
{
    world *w = (world *)s->user;
    assert_int_equal(rmr_wg_peer_remove(s->wg, w->f.now, p), RMR_OK);
}

static void a_callback_may_remove_the_peer_of_jobs(void **state)
{
    (void)state;
    for (int in_job = 0; in_job < 2; in_job++) {
        world *w = open_world();
        wgf_side *b = &w->f.b;
        for (size_t i = 0; i < 5; i++)
            put_datagram(w, i, 40);
        for (size_t i = 0; i < 5; i++)
            assert_int_equal(issue_open(w, i), RMR_OK);
        for (size_t i = 4; i-- > 1;) {
            run(w, i);
            rmr_wg_job_end(b->wg, w->f.now, &w->job[i]);
        }
        run(w, 0);
        if (in_job)
            wgf_allow(b, b->peer, ""); /* no on_packet */
        b->inside = remove_self;
        assert_int_equal(rmr_wg_job_end(b->wg, w->f.now, &w->job[0]), RMR_OK);
        assert_int_equal(w->n_given, 4); /* 0, and 1 to 3 that were done */
        for (size_t i = 1; i < 4; i++)
            assert_int_equal(w->job[i].err, RMR_E_UNKNOWN);
        run(w, 4);
        assert_int_equal(rmr_wg_job_end(b->wg, w->f.now, &w->job[4]), RMR_OK);
        assert_int_equal(w->n_given, 5);
        close_world(w);
    }
}

static void try_pumps(wgf_side *s, rmr_wg_peer p)
{
    world *w = (world *)s->user;
    bool is_out;
    (void)p;
    assert_int_equal(rmr_wg_job_end(s->wg, w->f.now, &w->job[1]),
                     RMR_E_REENTRANT);
    assert_int_equal(rmr_wg_job_read(s->wg, w->f.now, &w->job[9], &is_out),
                     RMR_E_REENTRANT);
    rmr_wg_in in;
    assert_int_equal(rmr_wg_read_pkts(s->wg, w->f.now, &in, 1),
                     RMR_E_REENTRANT);
    assert_int_equal(in.err, RMR_E_REENTRANT);
    size_t len, seg;
    rmr_wg_pkt_info info;
    assert_int_equal(rmr_wg_write_run(s->wg, w->f.now,
                                      rmr_buf_of(w->buf[9], BUF), &len, &seg,
                                      &info),
                     RMR_E_REENTRANT);
    /* Issuing a seal is no pump call: the job that just ended goes again. */
    assert_int_equal(issue_seal(w, 0, 99), RMR_OK);
}

static void a_job_may_be_issued_again_where_it_ended(void **state)
{
    (void)state;
    world *w = open_world();
    assert_int_equal(issue_seal(w, 0, 40), RMR_OK);
    assert_int_equal(issue_seal(w, 1, 41), RMR_OK);
    run(w, 0);
    w->f.a.inside = try_pumps;
    assert_int_equal(rmr_wg_job_end(w->f.a.wg, w->f.now, &w->job[0]), RMR_OK);
    assert_int_equal(w->n_given, 1);
    run(w, 0);
    rmr_wg_job_end(w->f.a.wg, w->f.now, &w->job[0]);
    assert_int_equal(w->n_given, 1); /* behind the other one now */
    run(w, 1);
    rmr_wg_job_end(w->f.a.wg, w->f.now, &w->job[1]);
    assert_int_equal(w->n_given, 3);
    assert_ptr_equal(w->given[2], &w->job[0]);
    close_world(w);
}

/* ---- counters ------------------------------------------------------------ */

enum { COUNTERS = 4096 };
typedef struct counters {
    world *w;
    uint8_t seen[COUNTERS];
    uint64_t first;
    size_t n;
} counters;

static void use(counters *c, const uint8_t *d)
{
    uint64_t i = rmr_load_le64(d + 8) - c->first;
    assert_int_equal(rmr_load_le32(d), WG_DATA);
    assert_true(i < COUNTERS);
    assert_int_equal(c->seen[i], 0);
    c->seen[i] = 1;
    c->n++;
}

static void seal_some(counters *c, size_t n)
{
    static uint8_t buf[100][BUF];
    rmr_wg_out out[100];
    wgf *f = &c->w->f;
    for (size_t i = 0; i < n; i++) {
        out[i].peer = f->a.peer;
        out[i].pkt = rmr_pkt_of(rmr_buf_of(buf[i], BUF), 16);
        wgf_packet(f, &f->a, rmr_pkt_put(&out[i].pkt, 50), 50);
        if (i % 7 == 3)
            out[i].pkt.len = 0;
    }
    assert_int_equal(rmr_wg_seal_n(f->a.wg, f->now, out, n), RMR_OK);
    for (size_t i = 0; i < n; i++)
        if (!out[i].err)
            use(c, rmr_pkt_data(&out[i].pkt));
}

static void write_some(counters *c)
{
    static uint8_t room[16 * BUF];
    wgf *f = &c->w->f;
    rmr_wg_pkt_info info;
    size_t len, seg;
    assert_int_equal(rmr_wg_write_run(f->a.wg, f->now,
                                      rmr_buf_of(room, sizeof room), &len, &seg,
                                      &info),
                     RMR_OK);
    for (size_t at = 0; at < len; at += seg)
        use(c, room + at);
}

static void end_some(counters *c, size_t n)
{
    world *w = c->w;
    for (size_t i = 0; i < n; i++) {
        run(w, i);
        assert_int_equal(rmr_wg_job_end(w->f.a.wg, w->f.now, &w->job[i]),
                         RMR_OK);
        use(c, rmr_pkt_data(&w->job[i].pkt));
    }
    w->n_given = 0;
}

/* Over all the ways out of one key, in any mixture. */
static void no_counter_is_used_twice(void **state)
{
    (void)state;
    static counters c;
    memset(&c, 0, sizeof c);
    world *w = c.w = open_world();
    size_t out = 0, n;
    test_rng g;
    test_rng_seed(&g, 7);
    c.first = wgf_state(&w->f.a)->current->counter;
    for (int i = 0; i < 1000 && c.n < COUNTERS - 200; i++) {
        uint64_t x = test_rng_u64(&g);
        uint8_t d[WGF_BUF];
        switch (x % 6) {
        case 0:
            if (wgf_seal(&w->f, &w->f.a, 40, d, &n) == RMR_OK)
                use(&c, d);
            break;
        case 1:
            seal_some(&c, 1 + (size_t)(x >> 8) % 100);
            break;
        case 2:
            (void)wgf_send(&w->f, &w->f.a, 40);
            break;
        case 3:
            if (out < 50)
                out += issue_seal(w, out, 40) == RMR_OK;
            break;
        case 4:
            end_some(&c, out);
            out = 0;
            break;
        default:
            write_some(&c);
        }
    }
    end_some(&c, out);
    while (wgf_state(&w->f.a)->staged)
        write_some(&c);
    assert_true(c.n > 1000);
    assert_true(wgf_state(&w->f.a)->current->counter == c.first + c.n);
    close_world(w);
}

static void jobs_end_where_the_counters_do(void **state)
{
    (void)state;
    world *w = open_world();
    wg_key *k = wgf_state(&w->f.a)->current;
    k->counter = WG_REJECT_AFTER_MESSAGES - 2;
    assert_int_equal(issue_seal(w, 0, 40), RMR_OK);
    assert_int_equal(issue_seal(w, 1, 40), RMR_OK);
    assert_int_equal(issue_seal(w, 2, 40), RMR_E_NOTREADY);
    assert_true(k->counter == WG_REJECT_AFTER_MESSAGES);
    for (size_t i = 0; i < 2; i++) {
        run(w, i);
        assert_int_equal(rmr_wg_job_end(w->f.a.wg, w->f.now, &w->job[i]),
                         RMR_OK);
        assert_int_equal(w->job[i].err, RMR_OK);
    }
    wgf_run(&w->f, w->f.now + 6 * RMR_SEC); /* under a new key */
    assert_int_equal(w->f.b.n_packets, 1);
    close_world(w);
}

/* ---- failures ------------------------------------------------------------ */

static rmr_err no_fill(void *user, uint8_t *dst, size_t len)
{
    (void)user;
    (void)dst;
    (void)len;
    return RMR_E_RNG;
}

static void a_job_without_a_key_waits_as_a_copy_or_is_refused(void **state)
{
    (void)state;
    for (size_t fail = 0; fail < 4; fail++) {
        world *w = (world *)calloc(1, sizeof *w);
        assert_non_null(w);
        wgf_open(&w->f);
        w->f.a.on_job = on_job;
        w->f.a.user = w;
        if (fail)
            w->f.a.alloc.fail_at = w->f.a.alloc.calls + fail;
        rmr_err e = issue_seal(w, 0, 40);
        w->f.a.alloc.fail_at = 0;
        assert_int_equal(e, fail == 1 ? RMR_E_NOMEM : RMR_E_NOTREADY);
        assert_int_equal(w->job[0].pkt.len, 40);
        assert_int_equal(w->job[0].state, 0);
        wgf_run(&w->f, w->f.now + 12 * RMR_SEC);
        assert_int_equal(w->f.b.n_packets, fail != 1);
        close_world(w);
    }
    world *w = open_world();
    bool is_out;
    w->f.a.wg->env.rng.fill = no_fill;
    assert_int_equal(issue_seal(w, 1, 40), RMR_OK);
    w->f.now += 130 * RMR_SEC; /* the end renews the key, and can't */
    run(w, 1);
    assert_int_equal(rmr_wg_job_end(w->f.a.wg, w->f.now, &w->job[1]),
                     RMR_E_RNG);
    assert_int_equal(w->n_given, 1);
    assert_int_equal(w->job[1].err, RMR_E_RNG);
    assert_int_equal(issue_seal(w, 2, 40), RMR_E_RNG);
    assert_int_equal(rmr_wg_job_end(w->f.a.wg, w->f.now, &w->job[2]),
                     RMR_E_RNG);
    assert_int_equal(rmr_wg_job_read(w->f.a.wg, w->f.now, &w->job[2], &is_out),
                     RMR_E_RNG);
    close_world(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_order_of_ends_gives_the_order_of_issue),
        cmocka_unit_test(both_kinds_run_in_one_call),
        cmocka_unit_test(replays_and_forgeries_are_found_at_their_turn),
        cmocka_unit_test(handshakes_are_handled_at_once),
        cmocka_unit_test(a_bad_job_is_refused),
        cmocka_unit_test(a_job_that_has_not_run_does_not_end),
        cmocka_unit_test(jobs_have_a_bound),
        cmocka_unit_test(jobs_allocate_nothing),
        cmocka_unit_test(packets_wait_behind_jobs),
        cmocka_unit_test(timers_move_when_a_job_leaves),
        cmocka_unit_test(the_jobs_of_a_removed_peer_end_with_unknown),
        cmocka_unit_test(jobs_of_an_erased_key_end_with_unknown),
        cmocka_unit_test(jobs_of_a_key_that_became_too_old_end_with_unknown),
        cmocka_unit_test(a_seal_that_is_dropped_begins_a_handshake),
        cmocka_unit_test(a_callback_may_remove_the_peer_of_jobs),
        cmocka_unit_test(a_job_may_be_issued_again_where_it_ended),
        cmocka_unit_test(no_counter_is_used_twice),
        cmocka_unit_test(jobs_end_where_the_counters_do),
        cmocka_unit_test(a_job_without_a_key_waits_as_a_copy_or_is_refused),
    };
    return cmocka_run_group_tests(tests, wgf_group_setup, NULL);
}
