/* What befalls hosts and streams: cuts, moves, sleep, clocks, restarts. */
#include "toy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#define SERVER "198.51.100.1"

typedef struct lab {
    bench b;
    rmr_sim_net home;
    toy *in, *out;
    rmr_addr outside;
} lab;

/* A host behind a NAT and a server, 10 ms from each other one way. */
static void lab_init(lab *l)
{
    rmr_sim_gate_config g;
    bench_init(&l->b, 5);
    l->outside = addr("203.0.113.1");
    rmr_sim_gate_config_init(&g, sizeof g);
    g.nat = true;
    g.outside = &l->outside;
    g.n_outside = 1;
    g.inside = addr("192.168.1.1");
    assert_int_equal(rmr_sim_net_new(l->b.sim, RMR_SIM_INTERNET, &g, &l->home),
                     RMR_OK);
    l->in = calloc(1, sizeof *l->in);
    l->out = calloc(1, sizeof *l->out);
    assert_true(l->in && l->out);
    bench_host(&l->b, l->in, l->home, "192.168.1.2", 5 * RMR_MS);
    bench_host(&l->b, l->out, RMR_SIM_INTERNET, SERVER, 5 * RMR_MS);
    l->in->credits = l->out->credits = true;
    toy_open(l->in, 1, addr("0.0.0.0:5000"));
    toy_open(l->out, 1, addr("0.0.0.0:3478"));
    toy_listen(l->out, 2, addr("0.0.0.0:80"));
    toy_run(l->in, RMR_MS);
}

static void lab_free(lab *l)
{
    bench_free(&l->b);
    free(l->in);
    free(l->out);
}

/* The inner host's stream 3 to the server; the server's end. */
static uint64_t streamed(lab *l)
{
    toy_connect(l->in, 3, addr(SERVER ":80"), 0);
    toy_run(l->in, 100 * RMR_MS);
    const toy_heard *h = toy_last(l->out, RMR_IO_ACCEPTED, 2);
    assert_non_null(h);
    assert_non_null(toy_last(l->in, RMR_IO_OPENED, 3));
    return h->child;
}

/* ---- streams -------------------------------------------------------------- */

static void a_stream_takes_the_round_trips_of_its_path(void **state)
{
    lab l;
    (void)state;
    lab_init(&l);
    rmr_time start = rmr_sim_now(l.b.sim);
    uint64_t child = streamed(&l);
    const toy_heard *o = toy_last(l.in, RMR_IO_OPENED, 3);
    const toy_heard *a = toy_last(l.out, RMR_IO_ACCEPTED, 2);
    assert_int_equal(o->at - start, 20 * RMR_MS);
    assert_int_equal(a->at - start, 30 * RMR_MS);
    assert_true(rmr_addr_ip_eq(&a->addr, &l.outside)); /* of the NAT */
    start = rmr_sim_now(l.b.sim);
    toy_write(l.in, 3, "hello", 5);
    toy_run(l.in, 100 * RMR_MS);
    const toy_heard *b = toy_last(l.out, RMR_IO_BYTES, child);
    assert_int_equal(b->at - start, 10 * RMR_MS);
    assert_string_equal((const char *)b->data, "hello");
    lab_free(&l);
}

static void a_stream_goes_at_the_rate_of_its_slowest_link(void **state)
{
    lab l;
    rmr_sim_link_config slow, none;
    static uint8_t data[2048];
    (void)state;
    lab_init(&l);
    (void)streamed(&l);
    memset(&slow, 0, sizeof slow);
    memset(&none, 0, sizeof none);
    slow.rate = 100000; /* bytes a second */
    assert_int_equal(rmr_sim_host_set_link(l.b.sim, l.in->host, &slow, &none),
                     RMR_OK);
    for (int i = 0; i < 100; i++)
        toy_write(l.in, 3, data, sizeof data);
    toy_run(l.in, RMR_SEC);
    assert_in_range(l.out->bytes, 90000, 100000);
    toy_run(l.in, 2 * RMR_SEC);
    assert_int_equal(l.out->bytes, 100 * sizeof data);
    lab_free(&l);
}

static void nobody_connects_to_what_is_behind_a_nat(void **state)
{
    lab l;
    (void)state;
    lab_init(&l);
    toy_listen(l.in, 2, addr("0.0.0.0:80"));
    toy_connect(l.out, 7, addr("203.0.113.1:80"), 5 * RMR_SEC);
    toy_connect(l.out, 8, addr("192.168.1.2:80"), 5 * RMR_SEC);
    toy_run(l.in, 6 * RMR_SEC);
    assert_int_equal(toy_last(l.out, RMR_IO_FAILED, 7)->err, RMR_E_TIMEOUT);
    assert_int_equal(toy_last(l.out, RMR_IO_FAILED, 8)->err, RMR_E_TIMEOUT);
    lab_free(&l);
}

static void a_short_cut_delays_a_stream_and_a_long_one_breaks_it(void **state)
{
    lab l;
    (void)state;
    lab_init(&l);
    uint64_t child = streamed(&l);
    assert_int_equal(rmr_sim_host_set_up(l.b.sim, l.in->host, false), RMR_OK);
    toy_write(l.in, 3, "late", 4);
    toy_run(l.in, 20 * RMR_SEC);
    assert_int_equal(toy_count(l.out, RMR_IO_BYTES, child), 0);
    assert_int_equal(rmr_sim_host_set_up(l.b.sim, l.in->host, true), RMR_OK);
    toy_run(l.in, 6 * RMR_SEC);
    assert_int_equal(toy_count(l.out, RMR_IO_BYTES, child), 1);
    assert_int_equal(rmr_sim_gate_set_up(l.b.sim, l.home, false), RMR_OK);
    toy_write(l.in, 3, "never", 5);
    toy_run(l.in, 40 * RMR_SEC);
    assert_int_equal(toy_last(l.in, RMR_IO_RESET, 3)->err, RMR_E_TIMEOUT);
    assert_int_equal(toy_count(l.out, RMR_IO_RESET, child), 0);
    /* The server learns of it when it sends. */
    assert_int_equal(rmr_sim_gate_set_up(l.b.sim, l.home, true), RMR_OK);
    toy_write(l.out, child, "you there?", 10);
    toy_run(l.in, RMR_SEC);
    assert_int_equal(toy_last(l.out, RMR_IO_RESET, child)->err, RMR_E_RESET);
    lab_free(&l);
}

static void loss_delays_a_stream_and_loses_nothing(void **state)
{
    lab l;
    rmr_sim_link_config bad;
    (void)state;
    lab_init(&l);
    uint64_t child = streamed(&l);
    memset(&bad, 0, sizeof bad);
    assert_int_equal(
        rmr_sim_link_parse(&bad, "loss=30%,delay=5ms,mtu=1280", NULL), RMR_OK);
    assert_int_equal(rmr_sim_host_set_link(l.b.sim, l.in->host, &bad, &bad),
                     RMR_OK);
    for (uint8_t i = 0; i < 200; i++)
        toy_write(l.in, 3, &i, 1);
    toy_run(l.in, 600 * RMR_SEC);
    size_t n = 0;
    for (size_t i = 0; i < l.out->n_heard; i++) {
        const toy_heard *h = &l.out->heard[i];
        if (h->kind == RMR_IO_BYTES && h->id == child)
            assert_int_equal(h->data[0], n++);
    }
    assert_int_equal(n, 200);
    lab_free(&l);
}

static void a_nat_that_reboots_breaks_its_streams(void **state)
{
    lab l;
    (void)state;
    lab_init(&l);
    (void)streamed(&l);
    assert_int_equal(rmr_sim_gate_reboot(l.b.sim, l.home), RMR_OK);
    toy_write(l.in, 3, "x", 1);
    toy_run(l.in, 40 * RMR_SEC);
    assert_non_null(toy_last(l.in, RMR_IO_RESET, 3));
    toy_connect(l.in, 4, addr(SERVER ":80"), 0);
    toy_run(l.in, RMR_SEC);
    assert_non_null(toy_last(l.in, RMR_IO_OPENED, 4));
    lab_free(&l);
}

/* ---- names ----------------------------------------------------------------- */

static void streams_by_name_stay_on_their_host(void **state)
{
    lab l;
    rmr_io_op op;
    (void)state;
    lab_init(&l);
    memset(&op, 0, sizeof op);
    op.name = rmr_bytes_str("control.sock");
    op.kind = RMR_IO_LISTEN;
    op.id = 20;
    toy_op(l.in, &op);
    toy_run(l.in, 1);
    op.kind = RMR_IO_CONNECT;
    op.id = 21;
    toy_op(l.in, &op);
    toy_op(l.out, &op);
    toy_run(l.in, 1);
    assert_non_null(toy_last(l.in, RMR_IO_OPENED, 21));
    assert_int_equal(toy_last(l.out, RMR_IO_FAILED, 21)->err, RMR_E_NOTFOUND);
    toy_write(l.in, 21, "status", 6);
    toy_run(l.in, 1);
    uint64_t child = toy_last(l.in, RMR_IO_ACCEPTED, 20)->child;
    assert_string_equal((const char *)toy_last(l.in, RMR_IO_BYTES, child)->data,
                        "status");
    lab_free(&l);
}

/* ---- hosts ----------------------------------------------------------------- */

static void a_move_is_told_and_old_streams_are_deaf(void **state)
{
    lab l;
    (void)state;
    lab_init(&l);
    (void)streamed(&l);
    rmr_addr mobile = addr("198.18.0.9");
    assert_int_equal(
        rmr_sim_host_move(l.b.sim, l.in->host, RMR_SIM_INTERNET, &mobile, 1),
        RMR_OK);
    toy_run(l.in, RMR_MS);
    const toy_heard *links = toy_last(l.in, RMR_IO_LINKS, 0);
    assert_int_equal(links->n_addrs, 1);
    assert_true(rmr_addr_ip_eq(&links->addrs[0], &mobile));
    assert_int_equal(links->gateway.family, RMR_AF_NONE);
    toy_send(l.in, 1, addr(SERVER ":3478"), "moved"); /* the socket goes on */
    toy_write(l.in, 3, "x", 1);
    toy_run(l.in, 40 * RMR_SEC);
    const toy_heard *h = toy_last(l.out, RMR_IO_DATAGRAMS, 1);
    assert_true(rmr_addr_ip_eq(&h->addr, &mobile));
    assert_int_equal(toy_last(l.in, RMR_IO_RESET, 3)->err, RMR_E_TIMEOUT);
    lab_free(&l);
}

static void without_an_address_there_is_no_sending(void **state)
{
    lab l;
    (void)state;
    lab_init(&l);
    assert_int_equal(rmr_sim_host_move(l.b.sim, l.in->host, l.home, NULL, 0),
                     RMR_OK);
    toy_send(l.in, 1, addr(SERVER ":3478"), "x");
    toy_connect(l.in, 9, addr(SERVER ":80"), 0);
    toy_run(l.in, RMR_MS);
    assert_int_equal(toy_last(l.in, RMR_IO_SEND_FAILED, 1)->err,
                     RMR_E_UNREACHABLE);
    assert_int_equal(toy_last(l.in, RMR_IO_FAILED, 9)->err, RMR_E_UNREACHABLE);
    lab_free(&l);
}

static void a_sleeping_host_hears_nothing_and_its_clock_goes_on(void **state)
{
    lab l;
    (void)state;
    lab_init(&l);
    toy_send(l.in, 1, addr(SERVER ":3478"), "x");
    toy_run(l.in, 20 * RMR_MS);
    rmr_addr outer = toy_last(l.out, RMR_IO_DATAGRAMS, 1)->addr;
    rmr_time start = rmr_sim_now(l.b.sim);
    l.in->deadline = start + RMR_SEC;
    assert_int_equal(rmr_sim_poke(l.b.sim, l.in->program), RMR_OK);
    toy_run(l.in, RMR_MS);
    assert_int_equal(rmr_sim_host_sleep(l.b.sim, l.in->host, 3600 * RMR_SEC),
                     RMR_OK);
    toy_send(l.out, 1, outer, "lost");
    toy_run(l.in, 3000 * RMR_SEC);
    assert_int_equal(l.in->n_deadlines, 0);
    toy_run(l.in, 700 * RMR_SEC);
    assert_int_equal(l.in->n_deadlines, 1);
    assert_int_equal(l.in->deadline_at - start, RMR_MS + 3600 * RMR_SEC);
    assert_int_equal(toy_count(l.in, RMR_IO_DATAGRAMS, 1), 0);
    assert_int_equal(rmr_sim_host_get_stats(l.b.sim, l.in->host).asleep, 1);
    lab_free(&l);
}

static void a_clock_step_is_told(void **state)
{
    lab l;
    (void)state;
    lab_init(&l);
    uint64_t before = toy_last(l.in, RMR_IO_WALL, 0)->wall;
    rmr_time start = toy_last(l.in, RMR_IO_WALL, 0)->at;
    assert_int_equal(
        rmr_sim_host_step_clock(l.b.sim, l.in->host, -(int64_t)(60 * RMR_SEC)),
        RMR_OK);
    toy_run(l.in, RMR_MS);
    const toy_heard *h = toy_last(l.in, RMR_IO_WALL, 0);
    assert_int_equal(h->wall, before - 60 * RMR_SEC + (h->at - start));
    assert_int_equal(toy_count(l.out, RMR_IO_WALL, 0), 1);
    lab_free(&l);
}

static void a_full_socket_keeps_its_batch(void **state)
{
    lab l;
    (void)state;
    lab_init(&l);
    assert_int_equal(rmr_sim_host_block_sends(l.b.sim, l.in->host, 50 * RMR_MS),
                     RMR_OK);
    toy_send(l.in, 1, addr(SERVER ":3478"), "kept");
    toy_run(l.in, 40 * RMR_MS);
    assert_int_equal(toy_count(l.in, RMR_IO_BLOCKED, 1), 1);
    assert_int_equal(toy_count(l.out, RMR_IO_DATAGRAMS, 1), 0);
    toy_run(l.in, 40 * RMR_MS);
    assert_int_equal(toy_count(l.in, RMR_IO_WRITABLE, 1), 1);
    assert_true(toy_got(l.out, 1, "kept"));
    lab_free(&l);
}

/* Of the first link the host knows, of the second (at the far host) it does
 * not. */
static void what_may_be_cut_passes_links_that_fragment(void **state)
{
    char text[1501];
    (void)state;
    memset(text, 'x', 1500);
    text[1500] = '\0';
    for (int first = 0; first < 2; first++) {
        for (int whole = 0; whole < 2; whole++) {
            lab l;
            rmr_sim_link_config mtu;
            lab_init(&l);
            memset(&mtu, 0, sizeof mtu);
            mtu.mtu = 1280;
            mtu.fragments = true;
            toy *at = first ? l.in : l.out;
            assert_int_equal(
                rmr_sim_host_set_link(l.b.sim, at->host, &mtu, &mtu), RMR_OK);
            rmr_io_op op;
            memset(&op, 0, sizeof op);
            op.kind = RMR_IO_UDP_OPEN;
            op.id = 9;
            op.addr = addr("0.0.0.0:5001");
            op.dont_fragment = whole;
            toy_op(l.in, &op);
            toy_run(l.in, 20 * RMR_MS);
            toy_send(l.in, 9, addr(SERVER ":3478"), text);
            toy_run(l.in, 200 * RMR_MS);
            const toy_heard *refused = toy_last(l.in, RMR_IO_SEND_FAILED, 9);
            const toy_heard *came = toy_last(l.out, RMR_IO_DATAGRAMS, 1);
            assert_int_equal(refused != NULL, whole && first);
            assert_int_equal(came != NULL, !whole);
            lab_free(&l);
        }
    }
}

static void what_is_longer_than_the_first_link_is_too_big(void **state)
{
    lab l;
    rmr_sim_link_config mtu;
    char text[1254];
    (void)state;
    lab_init(&l);
    memset(&mtu, 0, sizeof mtu);
    mtu.mtu = 1280;
    assert_int_equal(rmr_sim_host_set_link(l.b.sim, l.in->host, &mtu, &mtu),
                     RMR_OK);
    memset(text, 'x', sizeof text);
    text[1253] = '\0'; /* 1253 + 28 is one too long */
    toy_send(l.in, 1, addr(SERVER ":3478"), text);
    toy_run(l.in, 20 * RMR_MS);
    assert_int_equal(toy_last(l.in, RMR_IO_SEND_FAILED, 1)->err, RMR_E_TOOBIG);
    text[1252] = '\0';
    toy_send(l.in, 1, addr(SERVER ":3478"), text);
    toy_run(l.in, 20 * RMR_MS);
    assert_int_equal(toy_last(l.out, RMR_IO_DATAGRAMS, 1)->len, 1252);
    lab_free(&l);
}

static void
equal_datagrams_come_as_a_run_where_the_host_joins_them(void **state)
{
    lab l;
    toy *t = calloc(1, sizeof *t);
    rmr_sim_host_config cfg;
    rmr_addr own = addr("198.51.100.7");
    rmr_io_op op;
    (void)state;
    lab_init(&l);
    rmr_sim_host_config_init(&cfg, sizeof cfg);
    cfg.addrs = &own;
    cfg.n_addrs = 1;
    cfg.receive_runs = true;
    toy_init(t, l.b.sim, RMR_SIM_INTERNET, &cfg);
    toy_open(t, 1, addr("0.0.0.0:9"));
    memset(&op, 0, sizeof op);
    op.kind = RMR_IO_UDP_SEND;
    op.id = 1;
    op.addr = addr("198.51.100.7:9");
    op.data = rmr_bytes_str("aabbc");
    op.seg_size = 2;
    toy_op(l.out, &op);
    toy_run(t, 20 * RMR_MS);
    const toy_heard *h = toy_last(t, RMR_IO_DATAGRAMS, 1);
    assert_int_equal(toy_count(t, RMR_IO_DATAGRAMS, 1), 1);
    assert_string_equal((const char *)h->data, "aabbc");
    assert_int_equal(h->seg_size, 2);
    lab_free(&l);
    free(t);
}

/* ---- restarts --------------------------------------------------------------- */

static void store(toy *t, uint64_t id, const char *name, const char *text,
                  bool more)
{
    rmr_io_op op;
    memset(&op, 0, sizeof op);
    op.kind = RMR_IO_STORE;
    op.id = id;
    op.name = rmr_bytes_str(name);
    op.data = rmr_bytes_str(text);
    op.more = more;
    toy_op(t, &op);
}

static void load(toy *t, uint64_t id, const char *name)
{
    rmr_io_op op;
    memset(&op, 0, sizeof op);
    op.kind = RMR_IO_LOAD;
    op.id = id;
    op.name = rmr_bytes_str(name);
    toy_op(t, &op);
    toy_run(t, 1);
}

static void blobs_survive_a_restart_and_half_ones_do_not(void **state)
{
    lab l;
    (void)state;
    lab_init(&l);
    store(l.in, 30, "state", "ol", true);
    store(l.in, 30, "state", "d", false);
    toy_run(l.in, 1);
    assert_non_null(toy_last(l.in, RMR_IO_STORED, 30));
    store(l.in, 31, "state", "new", true);
    store(l.in, 32, "state", "other", false);
    toy_run(l.in, 1);
    assert_int_equal(toy_last(l.in, RMR_IO_FAILED, 32)->err, RMR_E_INUSE);
    assert_int_equal(rmr_sim_remove(l.b.sim, l.in->program, RMR_SIM_POWER_CUT),
                     RMR_OK);
    toy_add(l.in);
    load(l.in, 33, "state");
    assert_string_equal((const char *)toy_last(l.in, RMR_IO_LOADED, 33)->data,
                        "old");
    assert_int_equal(
        rmr_sim_blob_set(l.b.sim, l.in->host, NULL, rmr_bytes_of(NULL, 0)),
        RMR_OK);
    load(l.in, 34, "state");
    assert_int_equal(toy_last(l.in, RMR_IO_FAILED, 34)->err, RMR_E_NOTFOUND);
    load(l.in, 35, "../state");
    assert_int_equal(toy_last(l.in, RMR_IO_FAILED, 35)->err, RMR_E_UNSUPPORTED);
    lab_free(&l);
}

static void
a_killed_program_resets_its_streams_a_power_cut_does_not(void **state)
{
    (void)state;
    for (int cut = 0; cut < 2; cut++) {
        lab l;
        lab_init(&l);
        uint64_t child = streamed(&l);
        assert_int_equal(
            rmr_sim_remove(l.b.sim, l.in->program,
                           cut ? RMR_SIM_POWER_CUT : RMR_SIM_KILLED),
            RMR_OK);
        assert_false(rmr_sim_is_running(l.b.sim, l.in->program, NULL));
        toy_run(l.out, RMR_SEC);
        assert_int_equal(toy_count(l.out, RMR_IO_RESET, child), !cut);
        toy_write(l.out, child, "x", 1);
        toy_run(l.out, RMR_SEC);
        assert_int_equal(toy_count(l.out, RMR_IO_RESET, child), 1);
        lab_free(&l);
    }
}

static void a_machine_that_spins_is_found_out(void **state)
{
    lab l;
    (void)state;
    lab_init(&l);
    l.in->spins = true;
    assert_int_equal(rmr_sim_poke(l.b.sim, l.in->program), RMR_OK);
    assert_int_equal(rmr_sim_run_until(l.b.sim, 10 * RMR_SEC, NULL, NULL),
                     RMR_E_INTERNAL);
    lab_free(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_takes_the_round_trips_of_its_path),
        cmocka_unit_test(a_stream_goes_at_the_rate_of_its_slowest_link),
        cmocka_unit_test(nobody_connects_to_what_is_behind_a_nat),
        cmocka_unit_test(a_short_cut_delays_a_stream_and_a_long_one_breaks_it),
        cmocka_unit_test(loss_delays_a_stream_and_loses_nothing),
        cmocka_unit_test(a_nat_that_reboots_breaks_its_streams),
        cmocka_unit_test(streams_by_name_stay_on_their_host),
        cmocka_unit_test(a_move_is_told_and_old_streams_are_deaf),
        cmocka_unit_test(without_an_address_there_is_no_sending),
        cmocka_unit_test(a_sleeping_host_hears_nothing_and_its_clock_goes_on),
        cmocka_unit_test(a_clock_step_is_told),
        cmocka_unit_test(a_full_socket_keeps_its_batch),
        cmocka_unit_test(what_may_be_cut_passes_links_that_fragment),
        cmocka_unit_test(what_is_longer_than_the_first_link_is_too_big),
        cmocka_unit_test(
            equal_datagrams_come_as_a_run_where_the_host_joins_them),
        cmocka_unit_test(blobs_survive_a_restart_and_half_ones_do_not),
        cmocka_unit_test(
            a_killed_program_resets_its_streams_a_power_cut_does_not),
        cmocka_unit_test(a_machine_that_spins_is_found_out),
    };
    return cmocka_run_group_tests_name("faults", tests, NULL, NULL);
}
