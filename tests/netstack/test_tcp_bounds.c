/* Bounds: many connections at once, many one after the other, memory of one
 * under attack, buffers that are set, windows of long paths. */
#include "ns_sim.h"

#include "ns_check.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MANY 10000

/* ---- two stacks back to back ------------------------------------------ */

typedef struct end {
    test_alloc alloc;
    test_rng rng;
    rmr_ns *ns;
    uint64_t got, closed;
    rmr_ns_sock accepted; /* the last one */
} end;

typedef struct pair {
    end e[2]; /* 0 listens and sends back what it reads; 1 dials */
    rmr_time now;
    bool mute; /* 0 sends nothing back */
    rmr_ns_sock sock[MANY];
} pair;

static pair p; /* one at a time: callbacks need `now` */

static void on_accept(void *user, void *tag, rmr_ns_sock listener,
                      rmr_ns_sock sock, const rmr_addr *remote)
{
    (void)tag;
    (void)listener;
    (void)remote;
    ((end *)user)->accepted = sock;
}

static void on_readable(void *user, void *tag, rmr_ns_sock sock)
{
    end *e = user;
    rmr_bytes v;
    bool eof;
    (void)tag;
    while (!rmr_ns_tcp_peek(e->ns, sock, &v, &eof) && v.len) {
        size_t taken = v.len;
        e->got += v.len;
        if (e == &p.e[0] && !p.mute)
            assert_int_equal(rmr_ns_tcp_send(e->ns, p.now, sock, v, &taken),
                             RMR_OK);
        assert_int_equal(taken, v.len);
        assert_int_equal(rmr_ns_tcp_consume(e->ns, p.now, sock, v.len), RMR_OK);
    }
    if (eof)
        (void)rmr_ns_tcp_shutdown(e->ns, p.now, sock);
}

static void on_closed(void *user, void *tag, rmr_ns_sock sock, rmr_err why)
{
    (void)tag;
    (void)sock;
    assert_int_equal(why, RMR_OK);
    ((end *)user)->closed++;
}

static void pair_open(const rmr_ns_config *cfg)
{
    memset(&p, 0, sizeof p);
    p.now = 1000 * RMR_SEC;
    for (int i = 0; i < 2; i++) {
        rmr_ns_callbacks cb = {0};
        rmr_ns_config c = *cfg;
        end *e = &p.e[i];
        test_rng_seed(&e->rng, 5 + (uint64_t)i);
        rmr_env env = test_env(&e->alloc, &e->rng, NULL);
        cb.struct_size = sizeof cb;
        cb.user = e;
        cb.on_accept = on_accept;
        cb.on_readable = on_readable;
        cb.on_closed = on_closed;
        c.callbacks = &cb;
        rmr_addr me = sim_addr(i, 0);
        assert_int_equal(rmr_ns_new(&e->ns, &env, &c, p.now), RMR_OK);
        assert_int_equal(rmr_ns_addr_add(e->ns, &me), RMR_OK);
    }
    rmr_addr at = sim_addr(0, 80);
    rmr_ns_sock l;
    assert_int_equal(rmr_ns_tcp_listen(p.e[0].ns, &at, NULL, &l), RMR_OK);
}

static void pair_free(void)
{
    for (int i = 0; i < 2; i++) {
        rmr_ns_free(p.e[i].ns);
        assert_int_equal(p.e[i].alloc.live_blocks, 0);
    }
}

static bool pass(int from)
{
    uint8_t buf[1280];
    size_t len;
    bool any = false;
    for (;;) {
        assert_int_equal(rmr_ns_write_pkt(p.e[from].ns, p.now,
                                          rmr_buf_of(buf, sizeof buf), &len),
                         RMR_OK);
        if (!len)
            return any;
        any = true;
        (void)rmr_ns_read_pkt(p.e[1 - from].ns, p.now, rmr_bytes_of(buf, len));
    }
}

static void settle(void)
{
    bool any = true;
    while (any) {
        any = false;
        for (int i = 0; i < 2; i++) {
            assert_int_equal(rmr_ns_handle_deadline(p.e[i].ns, p.now), RMR_OK);
            any |= pass(i);
        }
    }
}

static rmr_ns_sock dial(void)
{
    rmr_ns_sock s;
    rmr_addr to = sim_addr(0, 80);
    assert_int_equal(rmr_ns_tcp_connect(p.e[1].ns, p.now, NULL, &to, NULL, &s),
                     RMR_OK);
    return s;
}

static void say(rmr_ns_sock s, size_t n)
{
    static const uint8_t junk[4096];
    size_t taken;
    assert_int_equal(
        rmr_ns_tcp_send(p.e[1].ns, p.now, s, rmr_bytes_of(junk, n), &taken),
        RMR_OK);
    assert_int_equal(taken, n);
}

/* ---- many ------------------------------------------------------------- */

static void ten_thousand_connections_all_move_data(void **state)
{
    (void)state;
    rmr_ns_config cfg;
    rmr_ns_config_init(&cfg, sizeof cfg);
    cfg.max_sockets = MANY + 1;
    cfg.backlog = 1000;
    pair_open(&cfg);
    for (int i = 0; i < MANY; i++) {
        p.sock[i] = dial();
        if (i % 500 == 499)
            settle();
    }
    size_t idle = p.e[0].alloc.live_bytes;
    assert_true(idle < 8u << 20);
    for (int round = 1; round <= 3; round++) {
        for (int i = 0; i < MANY; i++)
            say(p.sock[i], 300); /* all at once: 4 KiB each are queued */
        settle();
        p.now += 100 * RMR_MS;
        settle();
        for (int i = 0; i < 2; i++)
            assert_int_equal(p.e[i].got, (uint64_t)round * 300 * MANY);
    }
    /* What moved leaves a list of 16 segments and the pool's free chunks. */
    assert_true(p.e[0].alloc.live_bytes < idle + MANY * 256 + (512u << 10));
    assert_true(p.e[1].alloc.peak_bytes < cfg.memory_max + (16u << 20));
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(rmr_ns_tcp_shutdown(p.e[1].ns, p.now, p.sock[i]),
                         RMR_OK);
        if (i % 500 == 499)
            settle();
    }
    for (int i = 0; i < 2; i++)
        assert_int_equal(p.e[i].closed, MANY);
    pair_free();
}

/* Both ends, counted by the allocator: what 40,000 took, 100,000 take. */
static void a_hundred_thousand_connections_do_not_grow_memory(void **state)
{
    (void)state;
    rmr_ns_config cfg;
    size_t before[2] = {0, 0};
    rmr_ns_config_init(&cfg, sizeof cfg);
    pair_open(&cfg);
    for (int i = 1; i <= 100000; i++) {
        rmr_ns_sock s = dial();
        settle();
        say(s, 100);
        settle();
        if (i % 3)
            assert_int_equal(rmr_ns_tcp_shutdown(p.e[1].ns, p.now, s), RMR_OK);
        else if (i % 2)
            assert_int_equal(rmr_ns_close(p.e[1].ns, p.now, s), RMR_OK);
        else
            assert_int_equal(rmr_ns_close(p.e[0].ns, p.now, p.e[0].accepted),
                             RMR_OK);
        settle();
        p.now += 2 * RMR_MS; /* some 25,000 in TIME-WAIT would be */
        if (i != 40000)
            continue;
        assert_int_equal(p.e[1].ns->tws.used, 16384);
        for (int k = 0; k < 2; k++)
            before[k] = p.e[k].alloc.live_bytes;
    }
    for (int k = 0; k < 2; k++)
        assert_true(p.e[k].alloc.live_bytes <= before[k]);
    p.now += 200 * RMR_SEC;
    settle();
    for (int k = 0; k < 2; k++) {
        rmr_ns_stats st;
        rmr_ns_get_stats(p.e[k].ns, &st);
        assert_int_equal(st.time_wait, 0);
        assert_int_equal(st.sockets, k == 0 ? 1 : 0);
        assert_int_equal(st.buffer_bytes, 0);
    }
    pair_free();
}

/* ---- one, under attack ------------------------------------------------ */

#define SETTING 20000
/* What README.md says a connection holds besides its settings: two chunks a
 * direction that are partly filled, their directory, ranges and segments. */
#define OVERHEAD (4 * 4096 + 1024 + 1024 + 4096)

static tcp_conn *conn_of(int host, rmr_ns_sock s)
{
    tcp_conn *c = rmri_tcp_conn_get(p.e[host].ns, s.id);
    assert_non_null(c);
    return c;
}

/* A segment of one byte, `off` bytes behind what the listener waits for. */
static void inject(tcp_conn *c, uint32_t off)
{
    uint8_t b[80];
    ns_tuple t = c->tuple;
    ns_ip ip = t.local;
    uint16_t port = t.lport;
    t.local = t.remote;
    t.remote = ip;
    t.lport = t.rport;
    t.rport = port;
    tcp_out o = {0};
    o.tuple = &t;
    o.seq = c->rcv_nxt + off;
    o.ack = c->snd_una;
    o.flags = TH_ACK;
    o.wnd = 100;
    rmri_tcp_ts_option(&o, c->ts_recent, 0);
    size_t hl = tcp_headers_len(&o);
    b[hl] = 0;
    uint64_t sum =
        rmri_ns_sum_pseudo(t.family, &t.local, &t.remote, NS_PROTO_TCP, 0);
    (void)rmri_tcp_write(b, &o, 1, sum, 0);
    (void)rmr_ns_read_pkt(p.e[0].ns, p.now, rmr_bytes_of(b, hl + 1));
    ns_check(p.e[0].ns);
}

static void a_hostile_peer_fills_no_more_than_the_setting(void **state)
{
    (void)state;
    rmr_ns_config cfg;
    rmr_ns_config_init(&cfg, sizeof cfg);
    pair_open(&cfg);
    rmr_ns_sock s = dial();
    settle();
    tcp_conn *c = conn_of(0, p.e[0].accepted);
    size_t before = p.e[0].alloc.live_bytes;
    assert_int_equal(
        rmr_ns_tcp_set_buffers(p.e[0].ns, p.e[0].accepted, SETTING, SETTING),
        RMR_OK);
    /* The window that was promised is used up first; it is never taken back. */
    p.mute = true;
    for (int i = 0; i < 16; i++)
        say(s, 4096);
    settle();
    assert_true(c->rcv_adv - c->rcv_nxt <= SETTING);
    p.e[0].alloc.peak_bytes = p.e[0].alloc.live_bytes;
    test_rng dice;
    test_rng_seed(&dice, 3);
    for (int i = 0; i < 20000; i++) {
        uint32_t wnd = c->rcv_adv - c->rcv_nxt;
        inject(c, 1 + (uint32_t)(test_rng_u64(&dice) % (wnd + 100)));
        assert_true(p.e[0].alloc.live_bytes <= before + SETTING + OVERHEAD);
        uint8_t out[1280];
        size_t len;
        do
            assert_int_equal(rmr_ns_write_pkt(p.e[0].ns, p.now,
                                              rmr_buf_of(out, sizeof out),
                                              &len),
                             RMR_OK);
        while (len);
    }
    assert_int_equal(c->ooo.n, TCP_RANGES_MAX);
    assert_true(p.e[0].alloc.peak_bytes <= before + SETTING + OVERHEAD);
    pair_free();
}

/* One byte in each chunk of a wide window: what is forgotten of them leaves no
 * chunk behind, so that little traffic can't hold much memory. */
static void lone_bytes_hold_no_more_than_their_ranges(void **state)
{
    (void)state;
    rmr_ns_config cfg;
    rmr_ns_config_init(&cfg, sizeof cfg);
    for (int k = 0; k < 2; k++) { /* from near to far, and back */
        pair_open(&cfg);
        (void)dial();
        settle();
        tcp_conn *c = conn_of(0, p.e[0].accepted);
        c->rcv_limit = 4u << 20;
        c->rcv_adv = c->rcv_nxt + c->rcv_limit;
        for (uint32_t i = 1; i < 1000; i++) {
            inject(c, 4096 * (k ? 1000 - i : i));
            assert_true(c->rcv.n <= TCP_RANGES_MAX + 1);
        }
        assert_int_equal(c->ooo.n, TCP_RANGES_MAX);
        assert_int_equal(c->ooo.v[0].start, c->rcv_nxt + 4096);
        pair_free();
    }
}

/* The application writes bytes one by one, and the peer reads nothing. */
static void small_writes_hold_no_more_than_the_setting(void **state)
{
    (void)state;
    rmr_ns_config cfg;
    rmr_ns_config_init(&cfg, sizeof cfg);
    cfg.no_nagle = true;
    pair_open(&cfg);
    rmr_ns_sock s = dial();
    settle();
    size_t before = p.e[1].alloc.live_bytes;
    assert_int_equal(rmr_ns_tcp_set_buffers(p.e[1].ns, s, SETTING, SETTING),
                     RMR_OK);
    assert_int_equal(rmr_ns_tcp_send_space(p.e[1].ns, s), SETTING);
    uint8_t out[1280];
    size_t len, taken = 1, sent = 0;
    while (taken) {
        assert_int_equal(
            rmr_ns_tcp_send(p.e[1].ns, p.now, s, rmr_bytes_of(out, 1), &taken),
            RMR_OK);
        sent += taken;
        do /* all is lost */
            assert_int_equal(rmr_ns_write_pkt(p.e[1].ns, p.now,
                                              rmr_buf_of(out, sizeof out),
                                              &len),
                             RMR_OK);
        while (len);
        assert_true(p.e[1].alloc.live_bytes <= before + SETTING + OVERHEAD);
    }
    assert_int_equal(sent, SETTING);
    ns_check(p.e[1].ns);
    pair_free();
}

/* ---- buffers that are set --------------------------------------------- */

static void buffers_can_be_set_both_ways(void **state)
{
    (void)state;
    rmr_ns_config cfg;
    rmr_ns_tcp_info info;
    rmr_ns_config_init(&cfg, sizeof cfg);
    cfg.tcp_recv_max = cfg.tcp_send_max = 1 << 20;
    pair_open(&cfg);
    rmr_ns_sock s = dial(), none = {0};
    settle();
    rmr_ns *ns = p.e[1].ns;
    assert_int_equal(rmr_ns_tcp_set_buffers(ns, none, 1, 1), RMR_E_BADHANDLE);
    assert_int_equal(rmr_ns_tcp_set_buffers(ns, s, (1 << 20) + 1, 0),
                     RMR_E_INVAL);
    assert_int_equal(rmr_ns_tcp_set_buffers(ns, s, 0, (1 << 20) + 1),
                     RMR_E_INVAL);
    size_t room = rmr_ns_tcp_send_space(ns, s);
    assert_int_equal(rmr_ns_tcp_set_buffers(ns, s, 0, 0), RMR_OK);
    assert_int_equal(rmr_ns_tcp_send_space(ns, s), room);
    /* Below what is queued: nothing is lost, nothing more is taken. */
    for (int i = 0; i < 10; i++)
        say(s, 4000);
    assert_int_equal(rmr_ns_tcp_set_buffers(ns, s, 3000, 10000), RMR_OK);
    assert_int_equal(rmr_ns_tcp_send_space(ns, s), 0);
    ns_check(ns);
    uint8_t more[1] = {0};
    size_t taken;
    assert_int_equal(
        rmr_ns_tcp_send(ns, p.now, s, rmr_bytes_of(more, 1), &taken), RMR_OK);
    assert_int_equal(taken, 0);
    uint32_t edge = conn_of(1, s)->rcv_adv;
    settle();
    p.now += 50 * RMR_MS;
    settle();
    assert_int_equal(p.e[0].got, 40000);
    assert_int_equal(p.e[1].got, 40000);
    assert_true(seq_ge(conn_of(1, s)->rcv_adv, edge));
    assert_int_equal(rmr_ns_tcp_send_space(ns, s), 10000);
    assert_int_equal(rmr_ns_tcp_get_info(ns, s, &info), RMR_OK);
    assert_true(info.rcv_wnd_bytes <= 65535 - 40000 + 3000);
    assert_int_equal(rmr_ns_tcp_set_buffers(ns, s, 1 << 20, 1 << 20), RMR_OK);
    assert_true(rmr_ns_tcp_send_space(ns, s) >= 65536);
    pair_free();
}

/* How far a connection's limits would grow now. */
static bool grows(rmr_ns *ns, tcp_conn *c, size_t max)
{
    uint32_t rcv = c->rcv_limit, snd = c->snd_limit;
    ns->pool.max = max;
    p.now += RMR_SEC;
    ns->now = p.now;
    rmri_tcp_tune(ns, c, 60000);
    c->cwnd = 100000;
    rmri_tcp_wake_writer(ns, c);
    assert_int_equal(c->rcv_limit > rcv, c->snd_limit > snd);
    return c->rcv_limit > rcv;
}

/* Three quarters used: no limit grows, nothing more is taken to be sent; seven
 * eighths: none out of order; the rest is for what moves a stream on. */
static void what_memory_is_left_is_kept_for_what_arrives(void **state)
{
    (void)state;
    rmr_ns_config cfg;
    static const uint8_t junk[32768];
    size_t taken;
    rmr_ns_config_init(&cfg, sizeof cfg);
    pair_open(&cfg);
    (void)dial();
    settle();
    rmr_ns *ns = p.e[0].ns;
    rmr_ns_sock s = p.e[0].accepted;
    tcp_conn *c = conn_of(0, s);
    p.mute = true;
    assert_int_equal(
        rmr_ns_tcp_send(ns, p.now, s, rmr_bytes_of(junk, 32768), &taken),
        RMR_OK);
    assert_int_equal(ns->pool.used, 32768); /* and the next takes 36,864 */
    assert_false(grows(ns, c, 43690));
    assert_true(grows(ns, c, 43696));
    for (int i = 0; i < 2; i++) {
        ns->pool.max = i ? 49152 : 49151;
        assert_int_equal(
            rmr_ns_tcp_send(ns, p.now, s, rmr_bytes_of(junk, 1), &taken),
            RMR_OK);
        assert_int_equal(taken, i);
    }
    assert_int_equal(ns->pool.used, 36864); /* and the next takes 40,960 */
    rmr_ns_stats st;
    ns->pool.max = 46810;
    inject(c, 1000);
    assert_int_equal(c->ooo.n, 0);
    ns->pool.max = 46812;
    inject(c, 1000);
    assert_int_equal(c->ooo.n, 1);
    ns->pool.max = 40959;
    inject(c, 5000);
    assert_int_equal(c->ooo.n, 1);
    rmr_ns_get_stats(ns, &st);
    assert_int_equal(st.discard_full, 2);
    assert_int_equal(p.e[0].got, 0);
    inject(c, 0); /* its chunk is there already */
    assert_int_equal(p.e[0].got, 1);
    pair_free();
}

/* What a burst and its losses needed is given back. */
static void an_idle_connection_holds_no_lists(void **state)
{
    (void)state;
    sim s;
    sim_init(&s, 3, NULL, NULL);
    s.link.loss_milli = 20;
    s.h[1].app.manual = true;
    s.h[0].app.total = 1; /* it reads, and never shuts */
    s.h[0].app.sent = 1;
    s.h[0].app.shut = true;
    sim_connect(&s);
    sim_run(&s, s.now + RMR_SEC);
    const tcp_conn *a = rmri_tcp_conn_get(s.h[1].ns, s.h[1].app.sock.id);
    const tcp_conn *b = rmri_tcp_conn_get(s.h[0].ns, s.h[0].app.sock.id);
    static const uint8_t junk[1 << 20];
    uint32_t most = 0, ranges = 0;
    for (int i = 0; i < 1000; i++) {
        size_t taken;
        assert_int_equal(rmr_ns_tcp_send(s.h[1].ns, s.now, s.h[1].app.sock,
                                         rmr_bytes_of(junk, sizeof junk),
                                         &taken),
                         RMR_OK);
        sim_run(&s, s.now + 5 * RMR_MS);
        most = a->segq.cap > most ? a->segq.cap : most;
        ranges = b->ooo.cap > ranges ? b->ooo.cap : ranges;
    }
    assert_true(most > TCP_SEGQ_KEEP);
    assert_true(ranges > 0);
    sim_run(&s, s.now + 60 * RMR_SEC);
    assert_true(a->segq.cap <= TCP_SEGQ_KEEP);
    assert_int_equal(b->ooo.cap, 0);
    rmr_ns_stats st;
    for (int i = 0; i < 2; i++) {
        rmr_ns_get_stats(s.h[i].ns, &st);
        assert_int_equal(st.buffer_bytes, 0);
    }
    sim_free(&s);
}

/* ---- long paths ------------------------------------------------------- */

/* W08: 100 ms at 1 Gbit/s. */
static void a_long_fat_path_is_filled_in_ten_round_trips(void **state)
{
    (void)state;
    sim s;
    rmr_ns_config cfg;
    rmr_ns_tcp_info info;
    rmr_ns_config_init(&cfg, sizeof cfg);
    cfg.tcp_recv_max = cfg.tcp_send_max = 16 << 20;
    sim_init(&s, 9, &cfg, &cfg);
    s.link.delay = 50 * RMR_MS;
    s.link.rate = 125000000;
    s.h[1].app.total = 100000000;
    sim_connect(&s);
    sim_run(&s, s.now + 100 * RMR_MS); /* the handshake */
    sim_run(&s, s.now + RMR_SEC);
    assert_int_equal(rmr_ns_tcp_get_info(s.h[0].ns, s.h[0].app.sock, &info),
                     RMR_OK);
    assert_true(info.rcv_wnd_bytes >= 12000000);
    sim_run(&s, s.now + 100 * RMR_MS);
    uint64_t got = s.h[0].app.got;
    sim_run(&s, s.now + 200 * RMR_MS);
    /* From then on the link is full: 25 MB, less its headers. */
    assert_true(s.h[0].app.got - got > 22000000);
    sim_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_thousand_connections_all_move_data),
        cmocka_unit_test(a_hundred_thousand_connections_do_not_grow_memory),
        cmocka_unit_test(a_hostile_peer_fills_no_more_than_the_setting),
        cmocka_unit_test(lone_bytes_hold_no_more_than_their_ranges),
        cmocka_unit_test(small_writes_hold_no_more_than_the_setting),
        cmocka_unit_test(buffers_can_be_set_both_ways),
        cmocka_unit_test(what_memory_is_left_is_kept_for_what_arrives),
        cmocka_unit_test(an_idle_connection_holds_no_lists),
        cmocka_unit_test(a_long_fat_path_is_filled_in_ten_round_trips),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
