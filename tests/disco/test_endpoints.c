/* Endpoints: order, types, the host's own addresses, the cache. */
#include <remora/endpoints.h>

#include "support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static rmr_addr addr(const char *text)
{
    rmr_addr a;
    if (rmr_addr_parse(rmr_bytes_str(text), &a) != RMR_OK)
        assert_int_equal(rmr_addr_parse_ip(rmr_bytes_str(text), &a), RMR_OK);
    return a;
}

static test_alloc heap;
static rmr_endpoints e; /* of the test that runs */

/* An empty set, of memory that the end of the tests finds given back. */
static void fresh(rmr_endpoints *set)
{
    rmr_alloc alloc = test_alloc_table(&heap);
    rmr_endpoints_wipe(set);
    rmr_endpoints_init(set, &alloc);
}

static void list_is(const rmr_endpoints *set, const char *want)
{
    char got[4096], text[RMR_ADDR_TEXT_MAX];
    size_t at = 0;
    got[0] = '\0';
    for (size_t i = 0; i < set->n; i++)
        at += (size_t)snprintf(
            got + at, sizeof got - at, "%s%s/%d", i ? " " : "",
            rmr_addr_text(&set->list[i].addr, text), set->list[i].type);
    assert_string_equal(got, want);
}

static void the_order_fixes_the_type(void **state)
{
    (void)state;
    rmr_netcheck_global v4[3] = {{addr("198.51.100.1:7"), 1},
                                 {addr("198.51.100.1:8"), 2},
                                 {addr("198.51.100.1:9"), 1}};
    rmr_netcheck_global v6[2] = {{addr("[2001:db8::1]:5"), 3},
                                 {addr("[2001:db8::2]:5"), 2}};
    rmr_netcheck_report r = {.mapping_varies = RMR_NETCHECK_YES,
                             .global_v4 = v4[0].addr,
                             .global_v6 = v6[0].addr,
                             .globals_v4 = v4,
                             .n_globals_v4 = 3,
                             .globals_v6 = v6,
                             .n_globals_v6 = 2};
    rmr_addr map = addr("198.51.100.1:1000"), cloud = addr("203.0.113.5");
    rmr_addr fixed[3] = {addr("203.0.113.9:9"), addr("198.51.100.1:7"),
                         addr("203.0.113.9:0")};
    rmr_endpoints_iface own[2] = {{.addr = addr("192.168.1.5"), .bits = 24},
                                  {.addr = addr("2001:db8::1"), .bits = 64}};
    rmr_endpoints_input in = {.report = &r,
                              .portmap = &map,
                              .fixed_port = 41641,
                              .local_port = 5,
                              .cloud = &cloud,
                              .n_cloud = 1,
                              .fixed = fixed,
                              .n_fixed = 3,
                              .ifaces = own,
                              .n_ifaces = 2};
    fresh(&e);
    assert_true(rmr_endpoints_gather(&e, 10, &in));
    list_is(&e, "198.51.100.1:1000/3 198.51.100.1:7/2 198.51.100.1:8/2 "
                "[2001:db8::1]:5/2 [2001:db8::2]:5/2 198.51.100.1:41641/4 "
                "203.0.113.5:5/1 203.0.113.9:9/5 192.168.1.5:5/1");
    assert_int_equal(e.gathered_at, 10);
    assert_false(rmr_endpoints_gather(&e, 20, &in));
    /* No fixed port, or a mapping that does not vary: no guess. */
    fresh(&e);
    in.fixed_port = 0;
    (void)rmr_endpoints_gather(&e, 10, &in);
    assert_int_equal(e.n, 8);
    fresh(&e);
    in.fixed_port = 41641;
    r.mapping_varies = RMR_NETCHECK_UNKNOWN;
    (void)rmr_endpoints_gather(&e, 10, &in);
    assert_int_equal(e.n, 8);
}

static void own_addresses_follow_the_rules(void **state)
{
    (void)state;
    static const struct {
        const char *in, *want; /* in: "address[/bits][@interface] ..." */
    } table[] = {
        {"192.168.1.5@eth0 10.0.0.1@eth1", "10.0.0.1 192.168.1.5"},
        {"2001:db8::1@e 10.0.0.1@e", "10.0.0.1 2001:db8::1"},
        {"10.0.0.1@zt0 10.0.0.2@ztabc 10.0.0.3@wt0 10.0.0.4@wt1", "10.0.0.4"},
        {"100.64.0.1@t 100.127.255.255@t 100.115.92.5@c 100.128.0.1@d",
         "100.115.92.5 100.128.0.1"},
        {"fd7a:115c:a1e0::1@t fd7a:115c:a1e1::1@u", "fd7a:115c:a1e1::1"},
        {"fe80::1@e 10.0.0.1@e", "10.0.0.1"},
        {"fe80::1@e", ""},
        {"169.254.1.1@e 10.0.0.1@e", "10.0.0.1"},
        {"169.254.1.1@e fd00::1@e", "169.254.1.1 fd00::1"},
        {"169.254.1.1@e 2001:db8::1@e", "2001:db8::1"},
        {"127.0.0.1@lo 10.0.0.1@e", "10.0.0.1"},
        {"127.0.0.1@lo ::1@lo", "127.0.0.1 ::1"},
        {"127.0.0.1@lo 169.254.1.1@e", "169.254.1.1"},
        {"10.9.9.9@lo 10.0.0.1@e", "10.0.0.1"},
        {"2001:db8::3@e 2001:db8::1@e 2001:db8::2@e", "2001:db8::1 "
                                                      "2001:db8::3"},
        {"2001:db8::3@e 2001:db8::1@e 2001:db8::2@f",
         "2001:db8::1 2001:db8::2 2001:db8::3"},
        {"2001:db8:0:1::1/48@e 2001:db8:0:2::1/48@e 2001:db8:0:3::1/48@e",
         "2001:db8:0:1::1 2001:db8:0:2::1"},
        {"2001:db8::3/128@e 2001:db8::1/128@e 2001:db8::2/128@e",
         "2001:db8::1 2001:db8::2 2001:db8::3"},
        {"10.0.0.1@e 10.0.0.1@f", "10.0.0.1"},
        {"10.0.0.2@e 10.0.0.3@e 10.0.0.1@e", "10.0.0.1 10.0.0.2 10.0.0.3"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        rmr_endpoints_iface ifs[8];
        char names[8][16], got[512] = "", text[RMR_ADDR_TEXT_MAX];
        size_t n = 0, at = 0;
        memset(ifs, 0, sizeof ifs);
        for (const char *p = table[i].in; *p; n++) {
            char word[64];
            size_t k = 0;
            while (*p && *p != ' ')
                word[k++] = *p++;
            word[k] = '\0';
            while (*p == ' ')
                p++;
            char *at_sign = strchr(word, '@'), *slash = strchr(word, '/');
            assert_non_null(at_sign);
            snprintf(names[n], sizeof names[n], "%s", at_sign + 1);
            *at_sign = '\0';
            if (slash) {
                unsigned bits;
                assert_int_equal(sscanf(slash + 1, "%u", &bits), 1);
                ifs[n].bits = (uint8_t)bits;
                *slash = '\0';
            }
            ifs[n].addr = addr(word);
            ifs[n].name = names[n];
        }
        rmr_addr out[8];
        size_t m = rmr_endpoints_local(ifs, n, out, 8);
        for (size_t k = 0; k < m; k++)
            at +=
                (size_t)snprintf(got + at, sizeof got - at, "%s%s",
                                 k ? " " : "", rmr_addr_ip_text(&out[k], text));
        if (strcmp(got, table[i].want))
            fail_msg("%s: %s", table[i].in, got);
    }
}

static void loopback_is_told_only_where_there_is_nothing(void **state)
{
    (void)state;
    rmr_endpoints_iface lo = {.addr = addr("127.0.0.1"), .name = "lo"};
    rmr_addr fixed = addr("203.0.113.9:9");
    rmr_endpoints_input in = {.local_port = 5, .ifaces = &lo, .n_ifaces = 1};
    fresh(&e);
    assert_true(rmr_endpoints_gather(&e, 10, &in));
    list_is(&e, "127.0.0.1:5/1");
    in.fixed = &fixed;
    in.n_fixed = 1;
    assert_true(rmr_endpoints_gather(&e, 10, &in));
    list_is(&e, "203.0.113.9:9/5");
}

static void a_bound_socket_has_one_address(void **state)
{
    (void)state;
    rmr_endpoints_iface own = {.addr = addr("10.0.0.1"), .name = "e"};
    rmr_endpoints_input in = {.local_port = 5,
                              .bound = addr("10.0.0.9"),
                              .ifaces = &own,
                              .n_ifaces = 1};
    fresh(&e);
    (void)rmr_endpoints_gather(&e, 10, &in);
    list_is(&e, "10.0.0.9:5/1");
    in.local_port = 0; /* no socket, no endpoint */
    (void)rmr_endpoints_gather(&e, 10, &in);
    list_is(&e, "");
}

/* ---- the cache ------------------------------------------------------------ */

static void seen(rmr_endpoints *set, rmr_time now, const char *global)
{
    rmr_netcheck_report r;
    memset(&r, 0, sizeof r);
    if (global)
        r.global_v4 = addr(global);
    rmr_endpoints_input in = {.report = &r, .local_port = 5};
    (void)rmr_endpoints_gather(set, now, &in);
}

static void what_was_seen_stays_for_a_while(void **state)
{
    (void)state;
    fresh(&e);
    seen(&e, 1, "198.51.100.1:1");
    seen(&e, RMR_SEC, "198.51.100.1:2");
    list_is(&e, "198.51.100.1:2/2 198.51.100.1:1/2");
    seen(&e, 1 + 310 * RMR_SEC, NULL);
    list_is(&e, "198.51.100.1:1/2 198.51.100.1:2/2");
    seen(&e, 2 + 310 * RMR_SEC, NULL);
    list_is(&e, "198.51.100.1:2/2");
    /* Seen again at the last moment, it is as new. */
    seen(&e, 311 * RMR_SEC, "198.51.100.1:2");
    seen(&e, 620 * RMR_SEC, NULL);
    list_is(&e, "198.51.100.1:2/2");
    rmr_endpoints_forget(&e);
    seen(&e, 620 * RMR_SEC, NULL);
    list_is(&e, "");
}

static void six_are_kept_for_each_address(void **state)
{
    (void)state;
    char text[64];
    fresh(&e);
    seen(&e, 1, "203.0.113.1:1");
    for (unsigned i = 1; i <= 8; i++) {
        snprintf(text, sizeof text, "198.51.100.1:%u", i);
        seen(&e, i * RMR_SEC, text);
    }
    assert_int_equal(e.evicted, 2);
    list_is(&e, "198.51.100.1:8/2 203.0.113.1:1/2 198.51.100.1:3/2 "
                "198.51.100.1:4/2 198.51.100.1:5/2 198.51.100.1:6/2 "
                "198.51.100.1:7/2");
}

static void the_cache_is_bounded(void **state)
{
    (void)state;
    char text[64];
    fresh(&e);
    for (unsigned i = 0; i < 100; i++) {
        snprintf(text, sizeof text, "198.51.%u.1:5", i);
        seen(&e, i, text);
    }
    assert_int_equal(e.n_cache, RMR_ENDPOINTS_CACHE_MAX);
    assert_int_equal(e.n, RMR_ENDPOINTS_CACHE_MAX);
    assert_int_equal(e.evicted, 100 - RMR_ENDPOINTS_CACHE_MAX);
}

static void too_many_own_addresses_are_left_out(void **state)
{
    (void)state;
    rmr_endpoints_iface own[200];
    memset(own, 0, sizeof own);
    for (unsigned i = 0; i < 200; i++)
        own[i].addr = rmr_addr_v4(10, 0, 0, (uint8_t)(199 - i), 0);
    rmr_endpoints_input in = {.local_port = 5, .ifaces = own, .n_ifaces = 200};
    fresh(&e);
    (void)rmr_endpoints_gather(&e, 1, &in);
    assert_int_equal(e.n, RMR_ENDPOINTS_MAX);
    assert_int_equal(e.left_out, 200 - RMR_ENDPOINTS_MAX);
    assert_int_equal(e.list[0].addr.ip[3], 0);
    assert_int_equal(e.list[95].addr.ip[3], 95);
}

static void without_memory_less_is_told(void **state)
{
    (void)state;
    rmr_endpoints_iface own[3] = {{.addr = addr("10.0.0.1")},
                                  {.addr = addr("10.0.0.2")},
                                  {.addr = addr("10.0.0.3")}};
    rmr_endpoints_input in = {.local_port = 5, .ifaces = own, .n_ifaces = 1};
    fresh(&e);
    (void)rmr_endpoints_gather(&e, 1, &in);
    in.n_ifaces = 3;
    heap.fail_at = heap.calls + 1;
    heap.fail_after = true;
    assert_false(rmr_endpoints_gather(&e, 2, &in));
    list_is(&e, "10.0.0.1:5/1");
    assert_int_equal(e.left_out, 2);
    seen(&e, 3, "198.51.100.1:1"); /* nothing is remembered */
    assert_int_equal(e.n_cache, 0);
    heap.fail_at = 0;
    heap.fail_after = false;
    assert_true(rmr_endpoints_gather(&e, 4, &in));
    list_is(&e, "10.0.0.1:5/1 10.0.0.2:5/1 10.0.0.3:5/1");
    /* four are remembered where there is no room for more */
    heap.fail_at = heap.calls + 2;
    heap.fail_after = true;
    for (unsigned i = 1; i <= 5; i++) {
        char text[64];
        snprintf(text, sizeof text, "198.51.100.%u:1", i);
        seen(&e, 4 + i, text);
    }
    heap.fail_at = 0;
    heap.fail_after = false;
    assert_int_equal(e.n_cache, 4);
    assert_int_equal(e.evicted, 1);
}

/* ---- comparing and advertising -------------------------------------------- */

static void sets_are_equal_in_any_order(void **state)
{
    (void)state;
    rmr_endpoint a[3] = {{addr("10.0.0.1:1"), 1},
                         {addr("10.0.0.2:1"), 2},
                         {addr("10.0.0.3:1"), 3}};
    rmr_endpoint b[3] = {a[2], a[0], a[1]};
    assert_true(rmr_endpoints_same(a, 3, b, 3));
    assert_true(rmr_endpoints_same(NULL, 0, NULL, 0));
    assert_false(rmr_endpoints_same(a, 3, b, 2));
    assert_false(rmr_endpoints_same(a, 2, b, 3));
    b[1].type = 5;
    assert_false(rmr_endpoints_same(a, 3, b, 3));
    b[1] = a[0];
    b[2] = a[0]; /* as many, but not the same ones */
    assert_false(rmr_endpoints_same(a, 3, b, 3));
}

static void a_set_of_no_use_is_not_told(void **state)
{
    (void)state;
    rmr_endpoints_iface own = {.addr = addr("10.0.0.1"), .name = "e"};
    rmr_endpoints_input in = {.local_port = 5, .ifaces = &own, .n_ifaces = 1};
    fresh(&e);
    assert_false(rmr_endpoints_is_fresh(&e, 1));
    (void)rmr_endpoints_gather(&e, 1, &in);
    assert_false(rmr_endpoints_may_advertise(&e, false));
    assert_true(rmr_endpoints_may_advertise(&e, true));
    seen(&e, 2, "198.51.100.1:1");
    assert_true(rmr_endpoints_may_advertise(&e, false));
    assert_true(rmr_endpoints_is_fresh(&e, 1 + 27 * RMR_SEC));
    assert_false(rmr_endpoints_is_fresh(&e, 2 + 27 * RMR_SEC));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_order_fixes_the_type),
        cmocka_unit_test(own_addresses_follow_the_rules),
        cmocka_unit_test(loopback_is_told_only_where_there_is_nothing),
        cmocka_unit_test(a_bound_socket_has_one_address),
        cmocka_unit_test(what_was_seen_stays_for_a_while),
        cmocka_unit_test(six_are_kept_for_each_address),
        cmocka_unit_test(the_cache_is_bounded),
        cmocka_unit_test(too_many_own_addresses_are_left_out),
        cmocka_unit_test(without_memory_less_is_told),
        cmocka_unit_test(sets_are_equal_in_any_order),
        cmocka_unit_test(a_set_of_no_use_is_not_told),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rmr_endpoints_wipe(&e);
    return heap.live_blocks ? 1 : failed;
}
