/* The node and its state: first start, restart, damage, and errors at start. */
#include "lab.h"
#include "node_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <remora/control.h>
#include <stdlib.h>
#include <string.h>

static lab l;

static int setup(void **state)
{
    (void)state;
    lab_init(&l);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return lab_end(&l);
}

static void a_first_start_makes_keys_stores_them_and_dials_control(void **st)
{
    rmr_node_config cfg;
    (void)st;
    lab_config(&l, &cfg);
    assert_int_equal(lab_start(&l, &cfg), RMR_OK);
    lab_blob *b = lab_blob_get(&l, "remora.state");
    assert_non_null(b);
    assert_memory_equal(b->data, "remora-state 3 ", 15);
    assert_true(l.connects >= 1);
    assert_int_equal(l.last_connect.port, 9);
    assert_int_equal(rmr_node_get_state(l.node), RMR_NODE_STARTING);
    assert_int_equal(l.failed_events, 0);
}

static void a_refused_control_server_is_tried_again_with_back_off(void **st)
{
    rmr_node_config cfg;
    (void)st;
    lab_config(&l, &cfg);
    assert_int_equal(lab_start(&l, &cfg), RMR_OK);
    lab_run(&l, 60 * RMR_SEC);
    assert_true(l.connects > 5);
    assert_true(l.connects < 200);
    assert_int_equal(l.failed_events, 0);
}

static void a_restart_reads_the_same_state_and_needs_no_key(void **st)
{
    rmr_node_config cfg;
    (void)st;
    lab_config(&l, &cfg);
    assert_int_equal(lab_start(&l, &cfg), RMR_OK);
    lab_blob before = *lab_blob_get(&l, "remora.state");
    uint8_t *copy = malloc(before.len);
    memcpy(copy, before.data, before.len);
    rmr_node_free(l.node);
    lab_config(&l, &cfg);
    cfg.auth_key = NULL;
    cfg.control_url = NULL; /* from the state */
    size_t connects = l.connects;
    assert_int_equal(lab_start(&l, &cfg), RMR_OK);
    assert_true(l.connects > connects);
    assert_int_equal(l.failed_events, 0);
    lab_blob *after = lab_blob_get(&l, "remora.state");
    assert_int_equal(after->len, before.len);
    assert_memory_equal(after->data, copy, before.len);
    free(copy);
}

/* A join changes four things of the state one after the other. */
static void what_the_server_tells_is_stored_together_and_soon(void **st)
{
    rmr_node_config cfg;
    (void)st;
    lab_config(&l, &cfg);
    assert_int_equal(lab_start(&l, &cfg), RMR_OK);
    l.stores = 0;
    rmri_node_state_soon(l.node);
    l.node->keys.registered = true;
    lab_run(&l, 60 * RMR_MS);
    rmri_node_state_soon(l.node); /* it does not wait longer for this one */
    l.node->keys.home = 7;
    assert_int_equal(l.stores, 0);
    lab_run(&l, 60 * RMR_MS);
    assert_int_equal(l.stores, 1);
    lab_run(&l, 10 * RMR_SEC);
    assert_int_equal(l.stores, 1);
    lab_blob *b = lab_blob_get(&l, "remora.state");
    nd_keys k;
    bool is_old = false;
    rmr_alloc a = test_alloc_table(NULL);
    assert_int_equal(
        rmri_node_state_parse(&k, &a, rmr_bytes_of(b->data, b->len), &is_old),
        RMR_OK);
    assert_true(k.registered);
    assert_int_equal(k.home, 7);
    rmri_node_keys_wipe(&k, &a);
}

static void another_control_url_is_refused_and_the_state_kept(void **st)
{
    rmr_node_config cfg;
    (void)st;
    lab_config(&l, &cfg);
    assert_int_equal(lab_start(&l, &cfg), RMR_OK);
    rmr_node_free(l.node);
    lab_config(&l, &cfg);
    cfg.control_url = "http://127.0.0.2:9";
    l.stores = 0;
    assert_int_equal(lab_start(&l, &cfg), RMR_OK);
    assert_int_equal(l.failed_err, RMR_E_NODE_OTHER_URL);
    assert_int_equal(l.stores, 0);
}

static void start_with_blob(const uint8_t *data, size_t len)
{
    rmr_node_config cfg;
    lab_blob *b = lab_blob_get(&l, "remora.state");
    free(b->data);
    b->data = malloc(len ? len : 1);
    memcpy(b->data, data, len);
    b->len = len;
    l.failed_events = 0;
    l.failed_err = RMR_OK;
    l.stopped = false;
    l.stores = 0;
    lab_config(&l, &cfg);
    cfg.auth_key = NULL;
    assert_int_equal(lab_start(&l, &cfg), RMR_OK);
}

static void assert_damaged(const uint8_t *data, size_t len)
{
    start_with_blob(data, len);
    assert_int_equal(l.failed_events, 1);
    assert_int_equal(l.failed_err, RMR_E_NODE_STATE_DAMAGED);
    assert_true(l.stopped);
    assert_int_equal(l.stop_err, RMR_E_NODE_STATE_DAMAGED);
    assert_int_equal(l.stores, 0);
    lab_blob *b = lab_blob_get(&l, "remora.state");
    assert_int_equal(b->len, len);
    assert_memory_equal(b->data, data, len);
    rmr_node_free(l.node);
    l.node = NULL;
}

static void a_damaged_state_is_told_and_left_as_it_is(void **st)
{
    rmr_node_config cfg;
    (void)st;
    lab_config(&l, &cfg);
    assert_int_equal(lab_start(&l, &cfg), RMR_OK);
    rmr_node_free(l.node);
    l.node = NULL;
    lab_blob *b = lab_blob_get(&l, "remora.state");
    size_t len = b->len;
    uint8_t *good = malloc(len);
    uint8_t *bad = malloc(len);
    memcpy(good, b->data, len);
    for (size_t cut = 0; cut < len; cut++)
        assert_damaged(good, cut);
    for (size_t i = 0; i < len; i++) {
        memcpy(bad, good, len);
        bad[i] ^= (uint8_t)(1u << (i % 8));
        assert_damaged(bad, len);
    }
    free(good);
    free(bad);
}

static void an_unwritable_state_ends_the_first_start(void **st)
{
    rmr_node_config cfg;
    (void)st;
    l.store_err = RMR_E_DENIED;
    lab_config(&l, &cfg);
    assert_int_equal(lab_start(&l, &cfg), RMR_OK);
    assert_int_equal(l.failed_err, RMR_E_NODE_STATE_WRITE);
    assert_true(l.stopped);
}

static void an_unreadable_state_ends_the_start_without_a_write(void **st)
{
    rmr_node_config cfg;
    (void)st;
    l.load_err = RMR_E_IO;
    lab_config(&l, &cfg);
    assert_int_equal(lab_start(&l, &cfg), RMR_OK);
    assert_int_equal(l.failed_err, RMR_E_NODE_STATE_READ);
    assert_int_equal(l.stores, 0);
}

static void a_taken_socks_port_is_named(void **st)
{
    rmr_node_config cfg;
    (void)st;
    l.listen_err = RMR_E_INUSE;
    lab_config(&l, &cfg);
    cfg.socks5 = rmr_addr_v4(127, 0, 0, 1, 1080);
    assert_int_equal(lab_start(&l, &cfg), RMR_OK);
    assert_int_equal(l.failed_err, RMR_E_NODE_LISTEN);
    assert_non_null(strstr(l.failed_text, "127.0.0.1:1080"));
}

static void a_second_node_of_one_directory_is_refused(void **st)
{
    rmr_node_config cfg;
    (void)st;
    l.listen_err = RMR_E_INUSE;
    lab_config(&l, &cfg);
    cfg.local_name = "remora.sock";
    assert_int_equal(lab_start(&l, &cfg), RMR_OK);
    assert_int_equal(l.failed_err, RMR_E_NODE_IN_USE);
}

static void stop_ends_in_order(void **st)
{
    rmr_node_config cfg;
    (void)st;
    lab_config(&l, &cfg);
    assert_int_equal(lab_start(&l, &cfg), RMR_OK);
    rmr_node_stop(l.node, l.now);
    lab_turn(&l);
    lab_run(&l, 3 * RMR_SEC);
    assert_true(l.stopped);
    assert_int_equal(l.stop_err, RMR_OK);
}

static void no_secret_reaches_the_log(void **st)
{
    rmr_node_config cfg;
    (void)st;
    lab_config(&l, &cfg);
    assert_int_equal(lab_start(&l, &cfg), RMR_OK);
    lab_run(&l, 30 * RMR_SEC);
    assert_false(test_log_has(&l.log, "tskey-auth-secret"));
    assert_false(test_log_has(&l.log, "privkey"));
    lab_blob *b = lab_blob_get(&l, "remora.state");
    const char *key = "privkey:";
    char hex[65];
    for (size_t i = 0; i + 72 < b->len; i++) {
        if (memcmp(b->data + i, key, 8) != 0)
            continue;
        memcpy(hex, b->data + i + 8, 64);
        hex[64] = 0;
        assert_false(test_log_has(&l.log, hex));
        hex[16] = 0;
        assert_false(test_log_has(&l.log, hex));
    }
}

static void every_failing_allocation_of_new_is_survived(void **st)
{
    rmr_node_config cfg;
    (void)st;
    for (size_t i = 1; i < 200; i++) {
        lab_config(&l, &cfg);
        l.alloc.calls = 0;
        l.alloc.fail_at = i;
        rmr_err err = rmr_node_new(&l.node, &l.env, &cfg, l.now);
        l.alloc.fail_at = 0;
        if (err == RMR_OK) {
            assert_true(i > 3);
            return;
        }
        assert_int_equal(err, RMR_E_NOMEM);
        assert_null(l.node);
        assert_int_equal(l.alloc.live_blocks, 0);
    }
    fail();
}

static void every_failing_allocation_of_a_start_is_survived(void **st)
{
    (void)st;
    for (size_t i = 1; i < 2000; i++) {
        rmr_node_config cfg;
        lab_free(&l);
        lab_init(&l);
        lab_config(&l, &cfg);
        cfg.socks5 = rmr_addr_v4(127, 0, 0, 1, 1080);
        cfg.local_name = "remora.sock";
        l.alloc.fail_at = i;
        rmr_err err = lab_start(&l, &cfg);
        if (err != RMR_OK)
            continue;
        bool reached = l.alloc.failed > 0;
        lab_run(&l, RMR_SEC);
        if (!reached && l.alloc.failed == 0)
            return;
    }
    fail();
}

static void a_failing_random_source_ends_the_start(void **st)
{
    rmr_node_config cfg;
    (void)st;
    lab_config(&l, &cfg);
    l.rng.fail_at = 1;
    rmr_err err = lab_start(&l, &cfg);
    if (err == RMR_OK)
        assert_int_equal(l.failed_events, 1);
    else
        assert_int_equal(err, RMR_E_RNG);
}

/* Contract R2: in a callback the machine's calls are refused. */
static rmr_err seen[3];

static void on_event_pumps(void *user, const rmr_node_event *ev)
{
    lab *in = user;
    rmr_io_event wall;
    rmr_io_op op;
    (void)ev;
    memset(&wall, 0, sizeof wall);
    wall.kind = RMR_IO_WALL;
    seen[0] = in->m.event(in->m.self, in->now, &wall);
    seen[1] = in->m.next_op(in->m.self, in->now,
                            rmr_buf_of(in->scratch, sizeof in->scratch), &op);
    seen[2] = in->m.handle_deadline(in->m.self, in->now);
}

static void pump_calls_inside_a_callback_are_refused(void **st)
{
    rmr_node_config cfg;
    rmr_node_callbacks cb;
    (void)st;
    lab_config(&l, &cfg);
    memset(&cb, 0, sizeof cb);
    cb.struct_size = sizeof cb;
    cb.user = &l;
    cb.on_event = on_event_pumps;
    cfg.callbacks = &cb;
    memset(seen, 0, sizeof seen);
    assert_int_equal(lab_start(&l, &cfg), RMR_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(seen[i], RMR_E_REENTRANT);
    assert_int_equal(rmr_node_get_state(l.node), RMR_NODE_STARTING);
}

static void an_older_and_shorter_configuration_is_taken(void **st)
{
    rmr_node_config cfg;
    rmr_node_callbacks cb;
    (void)st;
    memset(&cfg, 0xa5, sizeof cfg);
    rmr_node_config_init(&cfg, offsetof(rmr_node_config, tcp_buffer));
    assert_int_equal(cfg.struct_size, offsetof(rmr_node_config, tcp_buffer));
    assert_int_equal(cfg.udp_port, 41641);
    assert_int_equal(((const uint8_t *)&cfg.tcp_buffer)[0], 0xa5);
    cfg.control_url = "http://127.0.0.1:9";
    assert_int_equal(lab_start(&l, &cfg), RMR_OK); /* has no callbacks */
    assert_true(l.connects >= 1);
    lab_free(&l);
    assert_int_equal(l.alloc.live_blocks, 0);

    lab_init(&l);
    lab_config(&l, &cfg);
    cb = *cfg.callbacks;
    cb.struct_size = offsetof(rmr_node_callbacks, on_event);
    cfg.callbacks = &cb;
    l.load_err = RMR_E_IO;
    assert_int_equal(lab_start(&l, &cfg), RMR_OK);
    assert_int_equal(l.failed_events, 0); /* on_event is behind its end */
    lab_free(&l);
    assert_int_equal(l.alloc.live_blocks, 0);

    lab_init(&l);
    lab_config(&l, &cfg);
    cfg.struct_size = 0;
    assert_int_equal(lab_start(&l, &cfg), RMR_E_INVAL);
}

/* The random source dies while the node runs: it says so and ends, rather than
 * seem to run with layers that answer nothing any more. */
static void a_random_source_that_fails_later_ends_the_node(void **st)
{
    rmr_node_config cfg;
    (void)st;
    lab_config(&l, &cfg);
    assert_int_equal(lab_start(&l, &cfg), RMR_OK);
    l.rng.fail_at = l.rng.calls + 1;
    lab_run(&l, 60 * RMR_SEC);
    assert_int_equal(l.failed_err, RMR_E_RNG);
    assert_true(l.stopped);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* ---- no memory ---------------------------------------------------------- */

static void resolved(void *user, rmr_err err, const rmr_addr *addrs, size_t n)
{
    (void)user, (void)err, (void)addrs, (void)n;
}

static void on_packet(void *user, rmr_bytes pkt)
{
    (void)user, (void)pkt;
}

/* It ended for want of memory, with some of its layers or none: the program, who
 * may not have heard of that yet, still calls. */
static void call_all(void)
{
    static const uint8_t pkt[20] = {0x45};
    rmr_node_conn c;
    rmr_node_who who;
    rmr_node_grant grant;
    rmr_node_prefs prefs;
    rmr_node_stats stats;
    uint8_t text[16384];
    uint64_t pos = 0, id;
    size_t len;
    rmr_addr from = rmr_addr_v4(100, 64, 0, 2, 0);
    rmr_bytes packet = rmr_bytes_of(pkt, sizeof pkt);
    static const char *const hosts[] = {"100.64.0.2", "peer", "192.0.2.1"};
    for (size_t i = 0; i < 3; i++) {
        if (rmr_node_dial(l.node, l.now, hosts[i], 80, NULL, &c) == RMR_OK)
            (void)rmr_node_abort(l.node, l.now, c);
        (void)rmr_node_whois(l.node, hosts[i], &who);
        if (rmr_node_resolve(l.node, l.now, hosts[i], resolved, NULL, &id) ==
            RMR_OK)
            rmr_node_resolve_cancel(l.node, id);
    }
    (void)rmr_node_listen(l.node, l.now, 80, NULL, &c);
    (void)rmr_node_send_packet(l.node, l.now, packet);
    (void)rmr_node_next_grant(l.node, &from, &pos, &grant);
    rmr_node_prefs_init(&prefs, sizeof prefs);
    prefs.given = RMR_NODE_PREF_SHIELDS_UP | RMR_NODE_PREF_EXIT_NODE |
                  RMR_NODE_PREF_ACCEPT_ROUTES | RMR_NODE_PREF_ACCEPT_DNS;
    prefs.exit_node = "peer";
    (void)rmr_node_set_prefs(l.node, l.now, &prefs);
    rmr_node_get_stats(l.node, &stats);
    (void)rmr_node_write_metrics(l.node, rmr_buf_of(text, sizeof text), &len);
    (void)rmr_node_logout(l.node, l.now);
}

static void without_memory_calls_are_answered_all_the_same(void **st)
{
    static rmr_node_callbacks cb;
    size_t ended = 0;
    bool survived = false;
    (void)st;
    for (size_t at = 1; !survived; at++) {
        rmr_node_config cfg;
        lab_free(&l);
        lab_init(&l);
        lab_config(&l, &cfg);
        cb = *cfg.callbacks;
        cb.on_packet = on_packet;
        cfg.callbacks = &cb;
        l.alloc.fail_at = at;
        if (lab_start(&l, &cfg) == RMR_OK) {
            ended += l.stopped;
            call_all();
            lab_turn(&l);
        }
        survived = l.alloc.calls < at;
    }
    assert_true(ended > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_first_start_makes_keys_stores_them_and_dials_control),
        T(a_refused_control_server_is_tried_again_with_back_off),
        T(a_restart_reads_the_same_state_and_needs_no_key),
        T(what_the_server_tells_is_stored_together_and_soon),
        T(another_control_url_is_refused_and_the_state_kept),
        T(a_damaged_state_is_told_and_left_as_it_is),
        T(an_unwritable_state_ends_the_first_start),
        T(an_unreadable_state_ends_the_start_without_a_write),
        T(a_taken_socks_port_is_named),
        T(a_second_node_of_one_directory_is_refused),
        T(stop_ends_in_order),
        T(no_secret_reaches_the_log),
        T(every_failing_allocation_of_new_is_survived),
        T(every_failing_allocation_of_a_start_is_survived),
        T(without_memory_calls_are_answered_all_the_same),
        T(a_failing_random_source_ends_the_start),
        T(a_random_source_that_fails_later_ends_the_node),
        T(pump_calls_inside_a_callback_are_refused),
        T(an_older_and_shorter_configuration_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
