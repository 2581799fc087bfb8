/* Keys that end while the server says nothing, and a node that is not let in:
 * its data plane is down, and it comes back by itself. */
#include "lab.h"
#include "node_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

/* The lab's wall begins at 2026-09-21T14:13:20Z. */
#define IN_100_S "2026-09-21T14:15:00Z"
#define IN_200_S "2026-09-21T14:16:40Z"
#define IN_A_YEAR "2027-09-21T14:13:20Z"
#define NEVER "0001-01-01T00:00:00Z"

static lab l;

static int setup(void **state)
{
    rmr_node_config cfg;
    (void)state;
    lab_init(&l);
    lab_config(&l, &cfg);
    return lab_start(&l, &cfg) == RMR_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return lab_end(&l);
}

static void feed(const char *json)
{
    lab_feed(&l, json);
    lab_turn(&l);
}

static size_t put_node(char *dst, size_t cap, int id, const char *ends,
                       const char *more)
{
    return (size_t)snprintf(
        dst, cap,
        "{\"ID\":%d,\"StableID\":\"s%d\",\"Name\":\"n%d.ex.com.\",\"Key\":"
        "\"nodekey:%064d\",\"DiscoKey\":\"discokey:%064d\",\"KeyExpiry\":"
        "\"%s\",\"Addresses\":[\"100.64.0.%d/32\"],\"AllowedIPs\":"
        "[\"100.64.0.%d/32\"],\"HomeDERP\":1%s}",
        id, id, id, id, id, ends, id, id, more);
}

static void feed_self(const char *ends, bool authorized)
{
    char text[1200] = "{\"Node\":";
    size_t n = strlen(text);
    n += put_node(text + n, sizeof text - n, 1, ends,
                  authorized ? ",\"MachineAuthorized\":true" : "");
    (void)snprintf(text + n, sizeof text - n, "}");
    feed(text);
}

static void feed_all(const char *self, const char *two, const char *three)
{
    char text[3000] = "{\"Peers\":[";
    size_t n = strlen(text);
    rmr_nm_stream_begin(l.node->nm);
    n += put_node(text + n, sizeof text - n, 2, two, "");
    text[n++] = ',';
    n += put_node(text + n, sizeof text - n, 3, three, "");
    n += (size_t)snprintf(text + n, sizeof text - n, "],\"Node\":");
    n += put_node(text + n, sizeof text - n, 1, self,
                  ",\"MachineAuthorized\":true");
    (void)snprintf(text + n, sizeof text - n, "}");
    feed(text);
}

/* Does a packet to that peer find a WireGuard peer? */
static bool has_way(uint8_t last)
{
    uint8_t pkt[20] = {0x45, [3] = 20, [9] = 6, [16] = 100, [17] = 64};
    pkt[19] = last;
    return rmri_node_peers_route(l.node, l.now, rmr_bytes_of(pkt, sizeof pkt))
               .id != 0;
}

/* Does WireGuard know it, without a packet that would make it known? */
static bool is_known(uint64_t id)
{
    rmr_nm_node v;
    return rmr_nm_peer(l.node->nm, id, &v) &&
           rmr_wg_peer_find(l.node->wg, v.key).id != 0;
}

static bool is_expired(uint64_t id)
{
    rmr_nm_node v;
    assert_true(rmr_nm_peer(l.node->nm, id, &v));
    return v.expired;
}

static void set_wall(uint64_t unix_ns)
{
    rmr_io_event ev = {0};
    ev.kind = RMR_IO_WALL;
    ev.wall_unix_ns = unix_ns;
    assert_int_equal(l.m.event(l.m.self, l.now, &ev), RMR_OK);
    lab_turn(&l);
}

/* ---- peers ------------------------------------------------------------- */

static void a_peer_leaves_when_its_key_ends(void **st)
{
    (void)st;
    feed_all(NEVER, IN_200_S, IN_100_S);
    assert_true(has_way(2));
    assert_true(has_way(3));
    lab_run(&l, 109 * RMR_SEC); /* ten seconds of grace */
    assert_true(is_known(3));
    assert_false(is_expired(3));
    lab_run(&l, 2 * RMR_SEC);
    assert_false(is_known(3));
    assert_true(is_expired(3)); /* and is listed */
    assert_false(has_way(3));
    assert_true(is_known(2));
    /* The next one by the same timer. */
    lab_run(&l, 100 * RMR_SEC);
    assert_false(is_known(2));
    assert_true(l.node->peer_expiry_at == RMR_TIME_NEVER);
    /* A later end brings it back. */
    feed("{\"PeersChangedPatch\":[{\"NodeID\":3,\"KeyExpiry\":\"" IN_A_YEAR
         "\"}]}");
    assert_true(has_way(3));
    assert_false(has_way(2));
}

static void the_servers_clock_counts(void **st)
{
    (void)st;
    set_wall((1790000000u + 3600u) * RMR_SEC); /* ours is an hour ahead */
    feed("{\"ControlTime\":\"2026-09-21T14:13:20Z\"}");
    feed_all(NEVER, IN_200_S, IN_100_S);
    assert_true(has_way(3));
    lab_run(&l, 109 * RMR_SEC);
    assert_true(is_known(3));
    lab_run(&l, 2 * RMR_SEC);
    assert_false(is_known(3));
}

static void a_clock_that_is_not_set_ends_no_key(void **st)
{
    (void)st;
    set_wall(1650000000u * RMR_SEC); /* 2022: it stands somewhere */
    feed_all("2021-01-01T00:00:00Z", "2020-01-01T00:00:00Z", IN_100_S);
    assert_true(has_way(2));
    lab_run(&l, 3600 * RMR_SEC);
    assert_false(is_expired(2));
    assert_true(has_way(2));
    assert_int_equal(rmr_node_get_state(l.node), RMR_NODE_RUNNING);
    /* Now it is. */
    set_wall((uint64_t)1790000000u * RMR_SEC);
    lab_run(&l, 31 * RMR_SEC);
    assert_true(is_expired(2));
    assert_false(has_way(2));
}

/* ---- self -------------------------------------------------------------- */

static void an_ended_node_is_silent_until_it_lives_again(void **st)
{
    (void)st;
    feed_all(IN_100_S, NEVER, NEVER);
    assert_int_equal(rmr_node_get_state(l.node), RMR_NODE_RUNNING);
    assert_true(has_way(2));
    lab_run(&l, 99 * RMR_SEC);
    assert_true(is_known(2));
    lab_run(&l, 2 * RMR_SEC);
    assert_int_equal(rmr_node_get_state(l.node), RMR_NODE_NEEDS_LOGIN);
    assert_false(is_known(2));
    assert_false(has_way(2));
    rmr_path_peer path;
    rmr_nm_node v;
    assert_true(rmr_nm_peer(l.node->nm, 2, &v));
    assert_false(rmri_node_paths_want(l.node, v.key, &path));
    /* The netmap goes on, */
    feed("{\"PeersRemoved\":[3]}");
    assert_int_equal(rmr_nm_peer_count(l.node->nm), 1);
    assert_false(has_way(2));
    /* and an administrator lets it live. */
    feed_self(IN_A_YEAR, true);
    assert_int_equal(rmr_node_get_state(l.node), RMR_NODE_RUNNING);
    assert_true(has_way(2));
    assert_true(rmri_node_paths_want(l.node, v.key, &path));
    assert_int_equal(l.failed_events, 0);
}

static void an_unapproved_node_is_silent_until_it_is_let_in(void **st)
{
    (void)st;
    feed_all(NEVER, NEVER, NEVER);
    assert_true(has_way(2));
    feed_self(NEVER, false);
    assert_int_equal(rmr_node_get_state(l.node), RMR_NODE_NEEDS_APPROVAL);
    assert_string_equal(rmr_node_state_name(RMR_NODE_NEEDS_APPROVAL),
                        "NeedsMachineAuth");
    assert_false(is_known(2));
    assert_false(has_way(2));
    feed("{\"ControlTime\":\"2026-09-21T14:13:21Z\"}");
    assert_false(has_way(3));
    feed_self(NEVER, true);
    assert_int_equal(rmr_node_get_state(l.node), RMR_NODE_RUNNING);
    assert_true(has_way(2));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_peer_leaves_when_its_key_ends),
        T(the_servers_clock_counts),
        T(a_clock_that_is_not_set_ends_no_key),
        T(an_ended_node_is_silent_until_it_lives_again),
        T(an_unapproved_node_is_silent_until_it_is_let_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
