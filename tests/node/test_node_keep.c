/* What a node keeps: older forms of the state, a start from the cache, and a
 * death at any write. */
#include "lab.h"
#include "node_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
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

/* ---- versions ---------------------------------------------------------- */

static void assert_vector_keys(const nd_keys *k)
{
    for (uint8_t i = 0; i < RMR_KEY_LEN; i++) {
        assert_int_equal(k->machine[i], i + 1);
        assert_int_equal(k->node[i], i + 33);
        assert_int_equal(k->old_node[i], i + 65);
        assert_int_equal(k->server[i], i + 97);
    }
    assert_true(k->has_old_node && k->has_server && k->registered);
    assert_string_equal(k->url, "https://headscale.example.com");
    assert_string_equal(k->login, "user@example.com");
}

static void a_state_of_version_1_is_read_and_upgraded(void **st)
{
    uint8_t text[4096];
    rmr_node_config cfg;
    (void)st;
    size_t len = lab_vector("state-1.txt", text, sizeof text);
    lab_state(&l, text, len);
    lab_again(&l, &cfg);
    cfg.hostname = NULL;
    lab_begin(&l, &cfg);
    assert_int_equal(l.failed_events, 0);
    assert_vector_keys(&l.node->keys);
    assert_string_equal(l.node->keys.prefs.hostname, "remora");
    assert_true(l.node->keys.prefs.accept_dns && l.node->keys.prefs.wanted);
    assert_int_equal(l.stores, 1);
    assert_memory_equal(lab_blob_get(&l, LAB_STATE)->data, "remora-state 3 ",
                        15);
    lab_again(&l, &cfg);
    lab_begin(&l, &cfg);
    assert_vector_keys(&l.node->keys);
    assert_int_equal(l.stores, 0); /* it has the present form */
}

/* What versions 2 and 3 have in common in their files. */
static void assert_vector_prefs(void)
{
    const nd_prefs *p = &l.node->keys.prefs;
    assert_vector_keys(&l.node->keys);
    assert_string_equal(l.node->keys.stable_id, "nABC123");
    assert_int_equal(l.node->keys.home, 3);
    assert_string_equal(p->hostname, "laptop");
    assert_string_equal(p->exit_node, "n7");
    assert_int_equal(p->n_routes, 2);
    assert_int_equal(p->routes[0].bits, 24);
    assert_int_equal(p->routes[1].family, RMR_AF_INET6);
    assert_true(p->advertise_exit_node && p->accept_routes && p->shields_up);
    assert_true(p->exit_node_allow_lan);
    assert_false(p->accept_dns || p->wanted);
}

static void a_state_of_version_2_is_read_and_upgraded(void **st)
{
    uint8_t text[4096];
    rmr_node_config cfg;
    (void)st;
    size_t len = lab_vector("state-2.txt", text, sizeof text);
    lab_state(&l, text, len);
    lab_again(&l, &cfg);
    lab_begin(&l, &cfg);
    assert_vector_prefs();
    assert_int_equal(l.node->keys.prefs.n_tags, 0);
    assert_null(l.node->keys.auth_url);
    assert_int_equal(l.stores, 1);
    assert_memory_equal(lab_blob_get(&l, LAB_STATE)->data, "remora-state 3 ",
                        15);
    lab_again(&l, &cfg);
    lab_begin(&l, &cfg);
    assert_vector_prefs();
    assert_int_equal(l.stores, 0);
}

static void a_state_of_version_3_is_read(void **st)
{
    uint8_t text[4096];
    const char *tags[ND_MAX_TAGS];
    rmr_node_config cfg;
    (void)st;
    size_t len = lab_vector("state-3.txt", text, sizeof text);
    lab_state(&l, text, len);
    lab_again(&l, &cfg);
    lab_begin(&l, &cfg);
    assert_vector_prefs();
    assert_string_equal(l.node->keys.auth_url,
                        "https://headscale.example.com/register/"
                        "hskey-authreq-0123456789abcdef01234567");
    assert_string_equal(l.node->keys.prefs.exit_id, "nEXIT7");
    assert_string_equal(l.node->routes.exit_id, "nEXIT7");
    assert_int_equal(rmri_node_tags(&l.node->keys.prefs, tags), 2);
    assert_string_equal(tags[0], "tag:server");
    assert_string_equal(tags[1], "tag:db-1");
    lab_blob *b = lab_blob_get(&l, LAB_STATE);
    assert_int_equal(b->len, len);
    assert_memory_equal(b->data, text, len);
    /* A name that is said anew is looked up anew. */
    lab_again(&l, &cfg);
    cfg.exit_node = "n7";
    lab_begin(&l, &cfg);
    assert_string_equal(l.node->routes.exit_id, "");
}

static void a_later_version_is_named_and_left_as_it_is(void **st)
{
    uint8_t hash[RMR_HASH_LEN];
    rmr_node_config cfg;
    char text[512], hex[2 * RMR_HASH_LEN + 1];
    static const char line[] = "remora-state 4 ", body[] = "{\"new\":1}";
    (void)st;
    rmr_blake2s_256(hash, rmr_bytes_str(line), rmr_bytes_str(body));
    for (size_t i = 0; i < sizeof hash; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", hash[i]);
    int len = snprintf(text, sizeof text, "%s%s\n%s", line, hex, body);
    lab_state(&l, text, (size_t)len);
    lab_again(&l, &cfg);
    lab_begin(&l, &cfg);
    assert_int_equal(l.failed_err, RMR_E_NODE_STATE_NEWER);
    assert_non_null(strstr(l.failed_text, "later remora"));
    assert_int_equal(l.stores, 0);
}

/* ---- a start from the cache -------------------------------------------- */

#define PAST "2026-01-01T00:00:00Z" /* the lab's clock says September 2026 */
#define FUTURE "2027-01-01T00:00:00Z"

static void set_cache(const char *self_expiry)
{
    static const char keys[3][65] = {
        "0102030405060708091011121314151617181920212223242526272829303132",
        "0202030405060708091011121314151617181920212223242526272829303132",
        "0302030405060708091011121314151617181920212223242526272829303132"};
    uint8_t hash[RMR_HASH_LEN];
    char text[4096], node[3][1024];
    static const char *const form =
        "{\"ID\":%d,\"StableID\":\"s%d\",\"Name\":\"n%d.ex.com.\",\"Key\":"
        "\"nodekey:%s\",\"KeyExpiry\":\"%s\",\"Addresses\":[\"100.64.0.%d/"
        "32\"],\"AllowedIPs\":[\"100.64.0.%d/32\"],\"HomeDERP\":1,"
        "\"MachineAuthorized\":true}";
    const char *expiry[3] = {self_expiry, PAST, FUTURE};
    for (int i = 0; i < 3; i++)
        (void)snprintf(node[i], sizeof node[i], form, i + 1, i + 1, i + 1,
                       keys[i], expiry[i], i + 1, i + 1);
    size_t len =
        (size_t)snprintf(text, sizeof text, "{\"Node\":%s,\"Peers\":[%s,%s]}",
                         node[0], node[1], node[2]);
    rmr_blake2s_256(hash, rmr_bytes_of(text, len), rmr_bytes_of(NULL, 0));
    len += (size_t)snprintf(text + len, sizeof text - len, "\n#blake2s ");
    for (size_t i = 0; i < sizeof hash; i++)
        len += (size_t)snprintf(text + len, 3, "%02x", hash[i]);
    text[len++] = '\n';
    lab_blob *b = &l.blobs[1];
    (void)snprintf(b->name, sizeof b->name, "netmap.cache");
    b->there = true;
    b->data = realloc(b->data, len);
    assert_non_null(b->data);
    memcpy(b->data, text, len);
    b->len = len;
}

static void start_from_cache(const char *self_expiry)
{
    uint8_t text[4096];
    rmr_node_config cfg;
    size_t len = lab_vector("state-2.txt", text, sizeof text);
    lab_state(&l, text, len);
    set_cache(self_expiry);
    lab_again(&l, &cfg);
    lab_begin(&l, &cfg);
}

static bool has_way(uint8_t last)
{
    uint8_t pkt[20] = {0x45, [3] = 20, [9] = 6, [16] = 100, [17] = 64};
    pkt[19] = last;
    return rmri_node_peers_route(l.node, l.now, rmr_bytes_of(pkt, sizeof pkt))
               .id != 0;
}

static void from_the_cache_expired_keys_are_not_used(void **st)
{
    (void)st;
    start_from_cache(FUTURE); /* the control server is refused */
    assert_int_equal(l.running_events, 1);
    assert_true(l.from_cache);
    assert_int_equal(rmr_node_get_state(l.node), RMR_NODE_RUNNING);
    assert_false(has_way(2));
    assert_true(has_way(3));
    lab_run(&l, 600 * RMR_SEC);
    assert_int_equal(l.running_events, 1); /* said once */
}

static void from_the_cache_an_expired_node_does_not_run(void **st)
{
    (void)st;
    start_from_cache(PAST);
    assert_int_equal(l.running_events, 0);
    assert_int_equal(rmr_node_get_state(l.node), RMR_NODE_NEEDS_LOGIN);
    assert_int_equal(l.failed_events, 0); /* it goes on asking */
}

static void the_form_of_the_upgrade_is_kept(void **st)
{
    (void)st;
    uint8_t text[4096];
    nd_keys in, out;
    bool is_old;
    test_alloc al = {0};
    rmr_alloc a = test_alloc_table(&al);
    size_t len = lab_vector("state-2.txt", text, sizeof text);
    assert_int_equal(
        rmri_node_state_parse(&in, &a, rmr_bytes_of(text, len), &is_old),
        RMR_OK);
    assert_false(in.websocket); /* of before there was such a field */
    for (int i = 0; i < 2; i++) {
        in.websocket = i;
        assert_int_equal(
            rmri_node_state_text(&in, rmr_buf_of(text, sizeof text), &len),
            RMR_OK);
        assert_int_equal(
            rmri_node_state_parse(&out, &a, rmr_bytes_of(text, len), &is_old),
            RMR_OK);
        assert_int_equal(out.websocket, i);
        rmri_node_keys_wipe(&out, &a);
    }
    rmri_node_keys_wipe(&in, &a);
    assert_int_equal(al.live_blocks, 0);
}

static void a_state_is_read_whole_or_not_at_all(void **st)
{
    (void)st;
    uint8_t text[4096];
    bool is_old;
    size_t len = lab_vector("state-3.txt", text, sizeof text), k = 1;
    for (rmr_err e = RMR_E_NOMEM; e; k++) {
        nd_keys keys;
        test_alloc al = {.fail_at = k};
        rmr_alloc a = test_alloc_table(&al);
        e = rmri_node_state_parse(&keys, &a, rmr_bytes_of(text, len), &is_old);
        assert_int_equal(e, al.failed ? RMR_E_NOMEM : RMR_OK);
        if (!e)
            rmri_node_keys_wipe(&keys, &a);
        assert_int_equal(al.live_blocks, 0);
    }
    assert_true(k > 8);
}

/* ---- a death at each write --------------------------------------------- */

/* A start, a change of preferences and a stop; false: it died before. */
static bool whole_life(const char *hostname)
{
    rmr_node_prefs p;
    if (l.is_cut)
        return false;
    rmr_node_prefs_init(&p, sizeof p);
    p.given = RMR_NODE_PREF_HOSTNAME;
    p.hostname = hostname;
    assert_int_equal(rmr_node_set_prefs(l.node, l.now, &p), RMR_OK);
    lab_turn(&l);
    if (l.is_cut)
        return false;
    rmr_node_stop(l.node, l.now);
    lab_turn(&l);
    lab_run(&l, 3 * RMR_SEC);
    return !l.is_cut;
}

/* From no state at all, and from version 1: the next start has the old state or
 * the new one. */
static void killed_at_each_write(bool had_state, bool after)
{
    uint8_t text[4096], machine[RMR_KEY_LEN];
    rmr_node_config cfg;
    size_t len = lab_vector("state-1.txt", text, sizeof text);
    for (size_t cut = 1;; cut++) {
        lab_free(&l);
        lab_init(&l);
        if (had_state)
            lab_state(&l, text, len);
        lab_config(&l, &cfg);
        cfg.control_url = "https://headscale.example.com";
        l.cut_at = cut;
        l.cut_after = after;
        lab_begin(&l, &cfg);
        memcpy(machine, l.node->keys.machine, sizeof machine);
        bool lived = whole_life("laptop");
        bool stored = lab_blob_get(&l, LAB_STATE) != NULL;
        lab_restart(&l);
        lab_config(&l, &cfg);
        cfg.control_url = "https://headscale.example.com";
        lab_begin(&l, &cfg);
        assert_int_equal(l.failed_events, 0);
        assert_int_equal(stored && memcmp(machine, l.node->keys.machine,
                                          sizeof machine) == 0,
                         stored);
        const char *name = l.node->keys.prefs.hostname;
        assert_true(strcmp(name, "laptop") == 0 || strcmp(name, "remora") == 0);
        if (!lived)
            continue;
        assert_string_equal(name, "laptop");
        assert_true(cut >= 4); /* upgrade or keys, preferences, stop */
        return;
    }
}

static void killed_at_each_write_it_starts_with_old_or_new_state(void **st)
{
    (void)st;
    for (int i = 0; i < 4; i++)
        killed_at_each_write((i & 1) != 0, (i & 2) != 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_state_of_version_1_is_read_and_upgraded),
        T(a_state_of_version_2_is_read_and_upgraded),
        T(a_state_of_version_3_is_read),
        T(a_later_version_is_named_and_left_as_it_is),
        T(the_form_of_the_upgrade_is_kept),
        T(a_state_is_read_whole_or_not_at_all),
        T(from_the_cache_expired_keys_are_not_used),
        T(from_the_cache_an_expired_node_does_not_run),
        T(killed_at_each_write_it_starts_with_old_or_new_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
