/* Which path is better, and the sizes of pings: the vectors. */
#include "path_internal.h"

#include "support.h"
#include "vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static path_quality quality(tv *v)
{
    path_quality q;
    memset(&q, 0, sizeof q);
    const char *addr = tv_get_str(v, "addr");
    if (*addr)
        assert_int_equal(rmr_addr_parse(rmr_bytes_str(addr), &q.udp), RMR_OK);
    q.latency = tv_u64(tv_get(v, "latency_us")) * RMR_US;
    if (tv_opt(v, "wire_mtu"))
        q.mtu = (uint16_t)tv_get_int(v, "wire_mtu");
    if (tv_opt(v, "vni"))
        q.vni = (uint32_t)tv_get_int(v, "vni");
    return q;
}

static void vectors_of_better(void **state)
{
    (void)state;
    tv *root = tv_load("paths.json");
    tv *list = tv_get(root, "better_addr");
    assert_true(tv_len(list) >= 22);
    for (size_t i = 0; i < tv_len(list); i++) {
        tv *c = tv_at(list, i);
        path_quality a = quality(tv_get(c, "a")), b = quality(tv_get(c, "b"));
        if (rmri_path_better(&a, &b) != tv_bool(tv_get(c, "better_a_b")) ||
            rmri_path_better(&b, &a) != tv_bool(tv_get(c, "better_b_a")))
            fail_msg("%s", tv_get_str(c, "name"));
    }
    tv_free(root);
}

/* A ping's length is what it has without padding, and the padding. */
static void vectors_of_ping_sizes(void **state)
{
    (void)state;
    tv *root = tv_load("paths.json");
    tv *list = tv_get(root, "mtu_probe_sizes");
    uint16_t plain = (uint16_t)tv_get_int(root, "disco_ping_size_unpadded");
    rmr_addr v4 = rmr_addr_v4(1, 2, 3, 4, 5);
    rmr_addr v6 = {.family = RMR_AF_INET6};
    assert_int_equal(tv_len(list), RMRI_PATH_MTUS);
    for (size_t i = 0; i < tv_len(list); i++) {
        tv *c = tv_at(list, i);
        uint16_t mtu = rmri_path_mtus[i];
        assert_int_equal(mtu, tv_get_int(c, "wire_mtu"));
        assert_int_equal(plain + rmri_path_ping_padding(mtu, &v4),
                         tv_get_int(c, "ping_size_v4"));
        assert_int_equal(plain + rmri_path_ping_padding(mtu, &v6),
                         tv_get_int(c, "ping_size_v6"));
    }
    assert_int_equal(RMR_PATH_WIRE_MTU, tv_get_int(root, "safe_wire_mtu"));
    tv_free(root);
}

static rmr_addr addr(const char *text)
{
    rmr_addr a;
    assert_int_equal(rmr_addr_parse(rmr_bytes_str(text), &a), RMR_OK);
    return a;
}

static void what_may_be_pinged(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool candidate, public_v4;
    } t[] = {
        {"203.0.113.1:1", true, true},
        {"8.8.8.8:41641", true, true},
        {"203.0.113.1:0", false, true}, /* the port is not looked at */
        {"10.0.0.1:1", true, false},
        {"172.16.0.1:1", true, false},
        {"172.32.0.1:1", true, true},
        {"192.168.1.1:1", true, false},
        {"127.0.0.1:1", true, false},
        {"169.254.1.1:1", true, false},
        {"100.64.0.1:1", false, false}, /* the tailnet itself */
        {"100.127.255.255:1", false, false},
        {"100.128.0.1:1", true, true},
        {"0.0.0.0:1", false, false},
        {"0.1.2.3:1", false, false},
        {"224.0.0.1:1", false, false},
        {"255.255.255.255:1", false, false},
        {"[2001:db8::1]:1", true, false},
        {"[::]:1", false, false},
        {"[::1]:1", true, false},
        {"[ff02::1]:1", false, false},
        {"[fe80::1]:1", false, false},
        {"[febf::1]:1", false, false},
        {"[fd00::1]:1", true, false},
        {"[fd7a:115c:a1e0::1]:1", false, false},
        {"[::ffff:10.0.0.1]:1", true, false},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        rmr_addr a = addr(t[i].text);
        if (rmri_path_is_candidate(&a) != t[i].candidate ||
            rmri_path_is_public_v4(&a) != t[i].public_v4)
            fail_msg("%s", t[i].text);
    }
}

static void packed_endpoints_come_back(void **state)
{
    (void)state;
    rmr_addr list[] = {addr("1.2.3.4:5"), addr("224.0.0.1:9"),
                       addr("[2001:db8::7]:65535"), addr("10.0.0.1:1")};
    uint8_t packed[64];
    rmr_addr out;
    size_t pos = 0;
    assert_int_equal(rmri_path_pack(NULL, list, 4), 7 + 19 + 7);
    assert_int_equal(rmri_path_pack(packed, list, 4), 33);
    static const int want[] = {0, 2, 3}; /* the second is no candidate */
    for (size_t i = 0; i < 3; i++) {
        assert_true(rmri_path_unpack(packed, 33, &pos, &out));
        assert_true(rmr_addr_eq(&out, &list[want[i]]));
    }
    assert_false(rmri_path_unpack(packed, 33, &pos, &out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_of_better),
        cmocka_unit_test(vectors_of_ping_sizes),
        cmocka_unit_test(what_may_be_pinged),
        cmocka_unit_test(packed_endpoints_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
