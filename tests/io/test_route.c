/* The routes of Apple's systems and BSD: a dump is read, its whole and its parts.
 * The headers are stand-ins (tests/io/bsd), the kernel is this test. */
#define __APPLE__ 1
#define _DEFAULT_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/socket.h>

#include "../../io-posix/src/route.c"

static struct {
    uint8_t dump[4096];
    size_t len;
    bool fails;
} kernel;

int sysctl(const int *name, unsigned int n, void *out, size_t *out_len,
           const void *in, size_t in_len)
{
    (void)in, (void)in_len;
    assert_int_equal(n, 6);
    assert_int_equal(name[4], NET_RT_FLAGS);
    assert_int_equal(name[5], RTF_GATEWAY);
    if (kernel.fails)
        return -1;
    if (out) {
        assert_true(*out_len >= kernel.len);
        memcpy(out, kernel.dump, kernel.len);
    }
    *out_len = kernel.len;
    return 0;
}

/* As plain.c has it; netlink.c stays out of this program. */
bool rmri_posix_own_addrs(rmr_addr *out, rmr_io_link *of_out, size_t max,
                          size_t *n)
{
    (void)out, (void)of_out, (void)max, (void)n;
    return false;
}

static int setup(void **state)
{
    (void)state;
    memset(&kernel, 0, sizeof kernel);
    return 0;
}

static void put(const void *p, size_t len)
{
    memcpy(kernel.dump + kernel.len, p, len);
    kernel.len += len;
}

/* A sockaddr of `len` bytes, padded; NULL: of length 0. */
static void put_addr(const char *ip, size_t len, uint16_t scope)
{
    uint8_t sa[32] = {0};
    rmr_addr a;
    if (ip) {
        assert_int_equal(rmr_addr_parse_ip(rmr_bytes_str(ip), &a), RMR_OK);
        bool is_six = a.family == RMR_AF_INET6;
        sa[0] = (uint8_t)len;
        sa[1] = is_six ? AF_INET6 : AF_INET;
        memcpy(sa + (is_six ? 8 : 4), a.ip, rmr_addr_ip_len(&a));
        if (scope) {
            sa[10] = (uint8_t)(scope >> 8);
            sa[11] = (uint8_t)scope;
        }
    }
    put(sa, len ? (len + 3) & ~(size_t)3 : 4);
}

typedef struct route {
    const char *dst, *gateway, *mask; /* mask NULL: of length 0 */
    uint16_t scope;                   /* of the gateway */
    int flags;                        /* besides UP and GATEWAY */
} route;

static void put_route(const route *r)
{
    struct rt_msghdr h;
    size_t at = kernel.len;
    bool is_six = strchr(r->dst, ':') != NULL;
    size_t len = is_six ? 28 : 16;
    memset(&h, 0, sizeof h);
    h.rtm_version = RTM_VERSION;
    h.rtm_flags = RTF_UP | RTF_GATEWAY | r->flags;
    h.rtm_addrs = RTA_DST | RTA_GATEWAY | RTA_NETMASK;
    put(&h, sizeof h);
    put_addr(r->dst, len, 0);
    put_addr(r->gateway, len, r->scope);
    put_addr(r->mask, r->mask ? len : 0, 0);
    h.rtm_msglen = (uint16_t)(kernel.len - at);
    memcpy(kernel.dump + at, &h, sizeof h);
}

static const route routes[] = {
    {"10.0.0.0", "192.0.2.9", "255.0.0.0", 0, 0},
    {"0.0.0.0", "192.0.2.254", NULL, 0, 0},
    {"0.0.0.0", "192.0.2.253", NULL, 0, RTF_IFSCOPE}, /* of an interface */
    {"128.0.0.0", "192.0.2.8", NULL, 0, 0},           /* no zeros */
    {"0.0.0.0", "192.0.2.7", "128.0.0.0", 0, 0},      /* half of all */
    {"::", "fe80::1", NULL, 14, 0},
    {"::", "2001:db8::1", "::", 0, 0},
};

static void put_all(void)
{
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
        put_route(&routes[i]);
}

static void gateways_are_those_of_default_routes(void **state)
{
    rmr_addr got[8];
    char text[RMR_ADDR_TEXT_MAX];
    (void)state;
    put_all();
    assert_int_equal(rmri_posix_gateways(got, 8), 3);
    assert_string_equal(rmr_addr_ip_text(&got[0], text), "192.0.2.254");
    assert_int_equal(got[1].zone, 14);
    assert_int_equal(got[1].ip[3], 0);
    assert_int_equal(got[2].zone, 0);
    assert_string_equal(rmr_addr_ip_text(&got[2], text), "2001:db8::1");
    assert_int_equal(rmri_posix_gateways(got, 2), 2); /* no room for more */
}

static void a_kernel_that_refuses_has_none(void **state)
{
    rmr_addr got[8];
    (void)state;
    kernel.fails = true;
    assert_int_equal(rmri_posix_gateways(got, 8), 0);
}

/* Every cut, and every value of every byte's length: it ends, within bounds
 * (a sanitizer looks). */
static void a_cut_or_spoilt_dump_ends(void **state)
{
    rmr_addr got[8];
    (void)state;
    put_all();
    size_t whole = kernel.len;
    for (kernel.len = 0; kernel.len < whole; kernel.len++)
        assert_true(rmri_posix_gateways(got, 8) <= 3);
    for (size_t i = 0; i < whole; i++) {
        uint8_t was = kernel.dump[i];
        for (unsigned v = 0; v < 256; v += 5) {
            kernel.dump[i] = (uint8_t)v;
            assert_true(rmri_posix_gateways(got, 8) <= 8);
        }
        kernel.dump[i] = was;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(gateways_are_those_of_default_routes, setup),
        cmocka_unit_test_setup(a_kernel_that_refuses_has_none, setup),
        cmocka_unit_test_setup(a_cut_or_spoilt_dump_ends, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
