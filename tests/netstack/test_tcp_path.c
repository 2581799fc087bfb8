/* The host has another way for the packets of a connection that waits. */
#include "ns_sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define DELAY (20 * RMR_MS)
#define BYTES 2000000

static void start(sim *s)
{
    rmr_ns_config
        small; /* 16 KiB each 40 ms: it takes 5 s, and loses nothing */
    rmr_ns_config_init(&small, sizeof small);
    small.tcp_send_max = 16384;
    sim_init(s, 3, NULL, &small);
    s->link.delay = DELAY;
    s->h[1].app.total = BYTES; /* the one that dials sends */
    sim_connect(s);
    sim_run(s, s->now + 500 * RMR_MS);
    assert_in_range(s->h[0].app.got, 1, BYTES - 1);
}

/* Nothing passes for 5 s, in which the sender repeats, ever more rarely. */
static void outage(sim *s)
{
    s->link.loss_milli = 1000;
    sim_run(s, s->now + 5 * RMR_SEC);
    s->link.loss_milli = 0;
}

static bool is_host1(void *user, const rmr_addr *remote)
{
    rmr_addr a = sim_addr(1, 0);
    (void)user;
    return rmr_addr_ip_eq(remote, &a);
}

static bool is_host0(void *user, const rmr_addr *remote)
{
    rmr_addr a = sim_addr(0, 0);
    (void)user;
    return rmr_addr_ip_eq(remote, &a);
}

static void finish(sim *s)
{
    sim_run(s, s->now + 60 * RMR_SEC);
    assert_int_equal(s->h[0].app.got, BYTES);
    assert_false(s->h[0].app.bad);
    sim_free(s);
}

static void a_sender_that_waits_goes_on_at_once(void **state)
{
    sim s;
    (void)state;
    start(&s);
    outage(&s);
    uint64_t got = s.h[0].app.got;
    sim_run(&s, s.now + RMR_SEC); /* by itself it waits longer */
    assert_int_equal(s.h[0].app.got, got);
    rmr_ns_path_changed(s.h[1].ns, s.now, is_host0, NULL);
    sim_run(&s, s.now + DELAY + 5 * RMR_MS);
    assert_true(s.h[0].app.got > got);
    sim_run(&s, s.now + RMR_SEC);
    assert_true(s.h[0].app.got > got + 100000);
    finish(&s);
}

static void one_to_another_peer_does_not(void **state)
{
    sim s;
    (void)state;
    start(&s);
    outage(&s);
    uint64_t got = s.h[0].app.got;
    rmr_ns_path_changed(s.h[1].ns, s.now, is_host1, NULL);
    sim_run(&s, s.now + RMR_SEC);
    assert_int_equal(s.h[0].app.got, got);
    finish(&s);
}

/* Only its acknowledgements are lost: the receiver repeats the last. */
static void a_receiver_acknowledges_once_more(void **state)
{
    sim s;
    (void)state;
    start(&s);
    outage(&s);
    uint64_t out = s.h[0].pkts_out;
    rmr_ns_path_changed(s.h[0].ns, s.now, NULL, NULL);
    sim_run(&s, s.now + DELAY + 5 * RMR_MS);
    assert_int_equal(s.h[0].pkts_out, out + 1);
    finish(&s);
}

static uint64_t trace_of_health(bool changes)
{
    sim s;
    start(&s);
    for (int i = 0; i < 20; i++) {
        if (changes) {
            rmr_ns_path_changed(s.h[0].ns, s.now, NULL, NULL);
            rmr_ns_path_changed(s.h[1].ns, s.now, NULL, NULL);
        }
        sim_run(&s, s.now + 30 * RMR_MS);
    }
    uint64_t trace = s.trace;
    finish(&s);
    return trace;
}

static void a_transfer_in_good_health_is_not_disturbed(void **state)
{
    (void)state;
    assert_true(trace_of_health(true) == trace_of_health(false));
}

static void a_dial_is_tried_again_at_once(void **state)
{
    sim s;
    (void)state;
    sim_init(&s, 4, NULL, NULL);
    s.link.delay = DELAY;
    s.link.loss_milli = 1000;
    sim_connect(&s);
    sim_run(&s, s.now + 4 * RMR_SEC); /* at 1 s and 3 s; then at 7 s */
    s.link.loss_milli = 0;
    assert_int_equal(s.h[1].app.connected, 0);
    rmr_ns_path_changed(s.h[1].ns, s.now, is_host0, NULL);
    sim_run(&s, s.now + 2 * DELAY + 5 * RMR_MS);
    assert_int_equal(s.h[1].app.connected, 1);
    sim_run(&s, s.now + 5 * RMR_SEC);
    sim_free(&s);
}

/* A path that changes often is no reason to give up sooner. */
static void changes_are_no_tries(void **state)
{
    sim s;
    rmr_ns_tcp_info info;
    (void)state;
    start(&s);
    s.link.loss_milli = 1000;
    for (int i = 0; i < 60; i++) {
        sim_run(&s, s.now + 300 * RMR_MS);
        rmr_ns_path_changed(s.h[1].ns, s.now, NULL, NULL);
    }
    assert_int_equal(rmr_ns_tcp_get_info(s.h[1].ns, s.h[1].app.sock, &info),
                     RMR_OK);
    s.link.loss_milli = 0;
    finish(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sender_that_waits_goes_on_at_once),
        cmocka_unit_test(one_to_another_peer_does_not),
        cmocka_unit_test(a_receiver_acknowledges_once_more),
        cmocka_unit_test(a_transfer_in_good_health_is_not_disturbed),
        cmocka_unit_test(a_dial_is_tried_again_at_once),
        cmocka_unit_test(changes_are_no_tries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
