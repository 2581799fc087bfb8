/* The host's network and its changes.  The linker gives the adapter a clock, a
 * list of addresses and a kernel's routes of the test's (--wrap). */
#define _DEFAULT_SOURCE /* IFF_UP */
#include "script.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <remora/posix.h>

#include "posix_internal.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef RMRI_POSIX_LINUX
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#endif

static struct {
    int64_t mono_step;  /* ns */
    uint8_t last_octet; /* of the one address, 192.0.2.x */
    size_t looks;
    uint8_t dump[4096]; /* what the kernel says of routes */
    size_t dump_len;
    int route_fd; /* the socket on which it was asked */
} host;

int __real_clock_gettime(clockid_t id, struct timespec *t);
int __wrap_clock_gettime(clockid_t id, struct timespec *t);
int __wrap_clock_gettime(clockid_t id, struct timespec *t)
{
    int r = __real_clock_gettime(id, t);
    int64_t ns = t->tv_nsec + (int64_t)t->tv_sec * 1000000000 + host.mono_step;
    t->tv_sec = (time_t)(ns / 1000000000);
    t->tv_nsec = (long)(ns % 1000000000);
    return r;
}

int __wrap_getifaddrs(struct ifaddrs **out);
int __wrap_getifaddrs(struct ifaddrs **out)
{
    static struct ifaddrs one;
    static struct sockaddr_in a, mask;
    static char name[] = "eth0";
    static const uint8_t bits_24[4] = {255, 255, 255, 0};
    host.looks++;
    a.sin_family = AF_INET;
    uint8_t ip[4] = {192, 0, 2, host.last_octet};
    memcpy(&a.sin_addr, ip, 4);
    one.ifa_addr = (struct sockaddr *)(void *)&a;
    mask.sin_family = AF_INET;
    memcpy(&mask.sin_addr, bits_24, 4);
    one.ifa_netmask = (struct sockaddr *)(void *)&mask;
    one.ifa_name = name;
    one.ifa_flags = IFF_UP;
    *out = &one;
    return 0;
}

void __wrap_freeifaddrs(struct ifaddrs *all);
void __wrap_freeifaddrs(struct ifaddrs *all)
{
    (void)all;
}

static int setup(void **state)
{
    memset(&host, 0, sizeof host);
    host.route_fd = -1;
    host.last_octet = 1;
    return fixture_setup(state);
}

#define LINKS_TEST(name)                                                       \
    cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)

static void pass_time(rmr_dur d)
{
    host.mono_step += (int64_t)d;
}

static const told *told_links(script *s)
{
    return seen(s, RMR_IO_LINKS, 0);
}

#ifdef RMRI_POSIX_LINUX
ssize_t __real_send(int fd, const void *p, size_t n, int flags);
ssize_t __wrap_send(int fd, const void *p, size_t n, int flags);
ssize_t __wrap_send(int fd, const void *p, size_t n, int flags)
{
    const struct nlmsghdr *h = p;
    host.route_fd = n >= sizeof *h && h->nlmsg_type == RTM_GETROUTE ? fd : -1;
    return __real_send(fd, p, n, flags);
}

ssize_t __real_recv(int fd, void *p, size_t n, int flags);
ssize_t __wrap_recv(int fd, void *p, size_t n, int flags);
ssize_t __wrap_recv(int fd, void *p, size_t n, int flags)
{
    if (fd != host.route_fd || host.dump_len == 0)
        return __real_recv(fd, p, n, flags);
    size_t len = host.dump_len < n ? host.dump_len : n;
    memcpy(p, host.dump, len);
    return (ssize_t)len;
}

/* Stands in for the kernel's end of the adapter's netlink socket. */
static int take_over_netlink(fixture *f)
{
    const rmr_posix *p = (const rmr_posix *)(void *)f->a;
    int pair[2];
    assert_true(p->links.fd >= 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
    int fd = rmri_posix_set_up(pair[0]);
    /* The watch belongs to the old socket: begin anew, as open does. */
    assert_int_equal(dup2(fd, p->links.fd), p->links.fd);
    rmri_posix_watch_fd((rmr_posix *)(void *)f->a,
                        &((rmr_posix *)(void *)f->a)->links.fd);
    (void)close(fd);
    return pair[1];
}

static void a_burst_of_changes_is_told_once_and_soon(void **state)
{
    fixture *f = *state;
    int kernel = take_over_netlink(f);
    (void)await(&f->s, RMR_IO_LINKS, 0);
    size_t looks = host.looks;
    host.last_octet = 2;
    for (int i = 0; i < 20; i++)
        assert_int_equal(send(kernel, "news", 4, 0), 4);
    turns(&f->s, 2);
    pass_time(150 * RMR_MS);
    turns(&f->s, 2);
    assert_null(told_links(&f->s)); /* more may follow */
    assert_int_equal(host.looks, looks);
    assert_int_equal(send(kernel, "more", 4, 0), 4);
    turns(&f->s, 1);
    pass_time(60 * RMR_MS);
    turns(&f->s, 1);
    assert_non_null(told_links(&f->s));
    assert_int_equal(host.looks, looks + 1);
    pass_time(RMR_SEC);
    turns(&f->s, 2);
    assert_null(told_links(&f->s));
    (void)close(kernel);
}

static void news_of_nothing_are_not_told(void **state)
{
    fixture *f = *state;
    int kernel = take_over_netlink(f);
    (void)await(&f->s, RMR_IO_LINKS, 0);
    assert_int_equal(send(kernel, "news", 4, 0), 4);
    turns(&f->s, 1);
    pass_time(300 * RMR_MS);
    turns(&f->s, 1);
    assert_null(told_links(&f->s));
    (void)close(kernel);
}

/* The wait itself ends for it: nothing else happens in this turn. */
static void a_change_wakes_an_idle_adapter(void **state)
{
    fixture *f = *state;
    int kernel = take_over_netlink(f);
    (void)await(&f->s, RMR_IO_LINKS, 0);
    host.last_octet = 3;
    assert_int_equal(send(kernel, "news", 4, 0), 4);
    (void)await(&f->s, RMR_IO_LINKS, 0);
    (void)close(kernel);
}

static void put_attr(struct nlmsghdr *h, uint16_t type, const void *v, size_t n)
{
    struct rtattr *t =
        (struct rtattr *)(void *)((uint8_t *)h + NLMSG_ALIGN(h->nlmsg_len));
    t->rta_type = type;
    t->rta_len = (uint16_t)RTA_LENGTH(n);
    memcpy(RTA_DATA(t), v, n);
    h->nlmsg_len =
        (uint32_t)(NLMSG_ALIGN(h->nlmsg_len) + RTA_ALIGN(t->rta_len));
}

/* A route in the dump, by way of `gateway`. */
static void add_route(uint8_t prefix, uint8_t table, const char *gateway)
{
    uint32_t oif = 7;
    rmr_addr g;
    assert_int_equal(rmr_addr_parse_ip(rmr_bytes_str(gateway), &g), RMR_OK);
    struct nlmsghdr *h = (struct nlmsghdr *)(void *)(host.dump + host.dump_len);
    h->nlmsg_len = NLMSG_LENGTH(sizeof(struct rtmsg));
    h->nlmsg_type = RTM_NEWROUTE;
    struct rtmsg *r = NLMSG_DATA(h);
    r->rtm_family = g.family == RMR_AF_INET6 ? AF_INET6 : AF_INET;
    r->rtm_dst_len = prefix;
    r->rtm_table = table;
    r->rtm_type = RTN_UNICAST;
    put_attr(h, RTA_GATEWAY, g.ip, rmr_addr_ip_len(&g));
    put_attr(h, RTA_OIF, &oif, sizeof oif);
    host.dump_len += NLMSG_ALIGN(h->nlmsg_len);
}

static void end_dump(void)
{
    struct nlmsghdr *h = (struct nlmsghdr *)(void *)(host.dump + host.dump_len);
    h->nlmsg_len = NLMSG_LENGTH(0);
    h->nlmsg_type = NLMSG_DONE;
    host.dump_len += h->nlmsg_len;
}

static void gateways_are_those_of_default_routes(void **state)
{
    rmr_addr got[8];
    char text[RMR_ADDR_TEXT_MAX];
    (void)state;
    add_route(24, RT_TABLE_MAIN, "192.0.2.9");
    add_route(0, RT_TABLE_MAIN, "192.0.2.254");
    add_route(0, 52, "192.0.2.52"); /* of a policy */
    add_route(0, RT_TABLE_MAIN, "fe80::1");
    add_route(0, RT_TABLE_MAIN, "2001:db8::1");
    end_dump();
    assert_int_equal(rmri_posix_gateways(got, 8), 3);
    assert_string_equal(rmr_addr_ip_text(&got[0], text), "192.0.2.254");
    assert_int_equal(got[1].zone, 7);
    assert_int_equal(got[2].zone, 0);
    assert_int_equal(rmri_posix_gateways(got, 2), 2); /* no room for more */
}

static void a_cut_dump_ends(void **state)
{
    rmr_addr got[8];
    (void)state;
    add_route(0, RT_TABLE_MAIN, "192.0.2.254");
    size_t whole = host.dump_len;
    for (host.dump_len = 1; host.dump_len < whole; host.dump_len++)
        assert_int_equal(rmri_posix_gateways(got, 8), 0);
}

static void a_new_gateway_is_told(void **state)
{
    fixture *f = *state;
    (void)await(&f->s, RMR_IO_LINKS, 0);
    add_route(0, RT_TABLE_MAIN, "192.0.2.254");
    end_dump();
    pass_time(4 * RMR_SEC);
    turns(&f->s, 1);
    const told *t = told_links(&f->s);
    assert_non_null(t);
}
#endif

static void without_news_we_look_every_ten_seconds(void **state)
{
    rmr_posix_config cfg;
    rmr_posix *p;
    script s;
    (void)state;
    rmr_posix_config_init(&cfg, sizeof cfg);
    cfg.portable = true;
    assert_int_equal(rmr_posix_new(&p, &cfg), RMR_OK);
    script_init(&s, (adapter *)(void *)p);
    (void)await(&s, RMR_IO_LINKS, 0);
    assert_int_equal(p->links.of_addrs[0].bits, 24);
    assert_string_equal(p->links.of_addrs[0].name, "eth0");
    host.last_octet = 9;
    assert_true(p->links.due != RMR_TIME_NEVER);
    rmr_time due = p->links.due;
    assert_true(due > p->now + 9 * RMR_SEC && due <= p->now + 10 * RMR_SEC);
    pass_time(10 * RMR_SEC);
    turns(&s, 1);
    assert_non_null(told_links(&s));
    assert_true(p->links.due > due);
    rmr_posix_free(p);
    script_wipe(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#ifdef RMRI_POSIX_LINUX
        LINKS_TEST(a_burst_of_changes_is_told_once_and_soon),
        LINKS_TEST(news_of_nothing_are_not_told),
        LINKS_TEST(a_change_wakes_an_idle_adapter),
        LINKS_TEST(gateways_are_those_of_default_routes),
        LINKS_TEST(a_cut_dump_ends),
        LINKS_TEST(a_new_gateway_is_told),
#endif
        LINKS_TEST(without_news_we_look_every_ten_seconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
