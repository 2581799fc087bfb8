/* The host's network and its changes.  The linker gives the adapter a clock, a
 * list of addresses and a kernel's dumps of the test's (--wrap). */
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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef RMRI_POSIX_LINUX
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#endif

typedef struct
    dump { /* what the kernel says; of length 0: what it really says */
    uint8_t bytes[4096];
    size_t len;
} dump;

static struct {
    int64_t mono_step;  /* ns */
    uint8_t last_octet; /* of the one address, 192.0.2.x */
    size_t looks;
    dump links, addrs, routes;
    bool own_addrs; /* those in `addrs`, and not the one */
    const dump *asked;
    int asked_fd; /* the socket on which it was asked */
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
    host.asked_fd = -1;
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
/* ---- dumps ------------------------------------------------------------- */

static struct nlmsghdr *begin_message(dump *d, uint16_t type, size_t body)
{
    struct nlmsghdr *h = (struct nlmsghdr *)(void *)(d->bytes + d->len);
    memset(h, 0, NLMSG_LENGTH(body));
    h->nlmsg_len = (uint32_t)NLMSG_LENGTH(body);
    h->nlmsg_type = type;
    return h;
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

static void end_message(dump *d, const struct nlmsghdr *h)
{
    d->len += NLMSG_ALIGN(h->nlmsg_len);
}

static void end_dump(dump *d)
{
    end_message(d, begin_message(d, NLMSG_DONE, 0));
}

static rmr_addr ip_of(const char *text)
{
    rmr_addr a;
    assert_int_equal(rmr_addr_parse_ip(rmr_bytes_str(text), &a), RMR_OK);
    return a;
}

static void add_link(int index, const char *name, bool up)
{
    dump *d = &host.links;
    struct nlmsghdr *h =
        begin_message(d, RTM_NEWLINK, sizeof(struct ifinfomsg));
    struct ifinfomsg *m = NLMSG_DATA(h);
    m->ifi_index = index;
    m->ifi_flags = up ? IFF_UP : 0;
    put_attr(h, IFLA_IFNAME, name, strlen(name) + 1);
    end_message(d, h);
}

/* `other`: the address at the link's other end, or NULL. */
static void add_address(uint32_t index, const char *ip, uint8_t bits,
                        const char *other)
{
    dump *d = &host.addrs;
    rmr_addr a = ip_of(ip), b = ip_of(other ? other : ip);
    struct nlmsghdr *h =
        begin_message(d, RTM_NEWADDR, sizeof(struct ifaddrmsg));
    struct ifaddrmsg *m = NLMSG_DATA(h);
    m->ifa_family = a.family == RMR_AF_INET6 ? AF_INET6 : AF_INET;
    m->ifa_prefixlen = bits;
    m->ifa_index = index;
    m->ifa_scope = a.ip[0] == 0xfe ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
    put_attr(h, IFA_ADDRESS, b.ip, rmr_addr_ip_len(&b));
    if (a.family == RMR_AF_INET)
        put_attr(h, IFA_LOCAL, a.ip, 4);
    end_message(d, h);
}

/* A route in the dump, by way of `gateway`. */
static void add_route(uint8_t prefix, uint8_t table, const char *gateway)
{
    dump *d = &host.routes;
    uint32_t oif = 7;
    rmr_addr g = ip_of(gateway);
    struct nlmsghdr *h = begin_message(d, RTM_NEWROUTE, sizeof(struct rtmsg));
    struct rtmsg *r = NLMSG_DATA(h);
    r->rtm_family = g.family == RMR_AF_INET6 ? AF_INET6 : AF_INET;
    r->rtm_dst_len = prefix;
    r->rtm_table = table;
    r->rtm_type = RTN_UNICAST;
    put_attr(h, RTA_GATEWAY, g.ip, rmr_addr_ip_len(&g));
    put_attr(h, RTA_OIF, &oif, sizeof oif);
    end_message(d, h);
}

/* As __wrap_getifaddrs has it. */
static void the_one_address(void)
{
    char ip[16];
    host.links.len = host.addrs.len = 0;
    add_link(2, "eth0", true);
    end_dump(&host.links);
    (void)snprintf(ip, sizeof ip, "192.0.2.%u", host.last_octet);
    add_address(2, ip, 24, NULL);
    end_dump(&host.addrs);
}

ssize_t __real_send(int fd, const void *p, size_t n, int flags);
ssize_t __wrap_send(int fd, const void *p, size_t n, int flags);
ssize_t __wrap_send(int fd, const void *p, size_t n, int flags)
{
    const struct nlmsghdr *h = p;
    uint16_t type = n >= sizeof *h ? h->nlmsg_type : 0;
    host.asked = type == RTM_GETROUTE  ? &host.routes
                 : type == RTM_GETLINK ? &host.links
                 : type == RTM_GETADDR ? &host.addrs
                                       : NULL;
    host.asked_fd = host.asked ? fd : -1;
    host.looks += type == RTM_GETADDR;
    if (type == RTM_GETLINK && !host.own_addrs)
        the_one_address();
    return __real_send(fd, p, n, flags);
}

ssize_t __real_recv(int fd, void *p, size_t n, int flags);
ssize_t __wrap_recv(int fd, void *p, size_t n, int flags);
ssize_t __wrap_recv(int fd, void *p, size_t n, int flags)
{
    if (fd != host.asked_fd || host.asked->len == 0)
        return __real_recv(fd, p, n, flags);
    size_t len = host.asked->len < n ? host.asked->len : n;
    memcpy(p, host.asked->bytes, len);
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
    end_dump(&host.routes);
    assert_int_equal(rmri_posix_gateways(got, 8), 3);
    assert_string_equal(rmr_addr_ip_text(&got[0], text), "192.0.2.254");
    assert_int_equal(got[1].zone, 7);
    assert_int_equal(got[2].zone, 0);
    assert_int_equal(rmri_posix_gateways(got, 2), 2); /* no room for more */
}

static void own_addresses_are_those_of_links_that_are_up(void **state)
{
    rmr_addr got[8];
    rmr_io_link of[8];
    char text[RMR_ADDR_TEXT_MAX];
    size_t n = 0;
    (void)state;
    host.own_addrs = true;
    host.links.len = host.addrs.len = 0;
    add_link(1, "lo", true);
    add_link(2, "eth0", true);
    add_link(3, "eth1", false);
    end_dump(&host.links);
    add_address(1, "127.0.0.1", 8, NULL);
    add_address(2, "192.0.2.7", 26, NULL);
    add_address(3, "192.0.2.200", 24, NULL);
    add_address(9, "192.0.2.201", 24, NULL); /* of a link that is not there */
    add_address(2, "10.1.2.3", 32, "10.9.9.9");
    add_address(2, "2001:db8::7", 64, NULL);
    add_address(2, "fe80::7", 64, NULL);
    end_dump(&host.addrs);
    assert_true(rmri_posix_own_addrs(got, of, 8, &n));
    assert_int_equal(n, 5);
    assert_string_equal(of[0].name, "lo");
    assert_string_equal(rmr_addr_ip_text(&got[1], text), "192.0.2.7");
    assert_int_equal(of[1].bits, 26);
    assert_string_equal(of[1].name, "eth0");
    assert_string_equal(rmr_addr_ip_text(&got[2], text), "10.1.2.3");
    assert_string_equal(rmr_addr_ip_text(&got[3], text), "2001:db8::7");
    assert_int_equal(got[3].zone, 0);
    assert_int_equal(of[3].bits, 64);
    assert_int_equal(got[4].zone, 2);
    assert_true(rmri_posix_own_addrs(got, of, 2, &n)); /* no room for more */
    assert_int_equal(n, 2);
}

/* Then libc is asked, in its way. */
static void a_dump_of_addresses_without_an_end_is_none(void **state)
{
    rmr_addr got[8];
    rmr_io_link of[8];
    size_t n = 0;
    (void)state;
    host.own_addrs = true;
    host.links.len = host.addrs.len = 0;
    add_link(2, "eth0", true);
    end_dump(&host.links);
    add_address(2, "192.0.2.7", 26, NULL);
    size_t whole = host.addrs.len;
    for (host.addrs.len = 1; host.addrs.len <= whole; host.addrs.len++)
        assert_false(rmri_posix_own_addrs(got, of, 8, &n));
}

static void a_cut_dump_ends(void **state)
{
    rmr_addr got[8];
    (void)state;
    add_route(0, RT_TABLE_MAIN, "192.0.2.254");
    size_t whole = host.routes.len;
    for (host.routes.len = 1; host.routes.len < whole; host.routes.len++)
        assert_int_equal(rmri_posix_gateways(got, 8), 0);
}

static void a_new_gateway_is_told(void **state)
{
    fixture *f = *state;
    (void)await(&f->s, RMR_IO_LINKS, 0);
    add_route(0, RT_TABLE_MAIN, "192.0.2.254");
    end_dump(&host.routes);
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
        LINKS_TEST(own_addresses_are_those_of_links_that_are_up),
        LINKS_TEST(a_dump_of_addresses_without_an_end_is_none),
        LINKS_TEST(gateways_are_those_of_default_routes),
        LINKS_TEST(a_cut_dump_ends),
        LINKS_TEST(a_new_gateway_is_told),
#endif
        LINKS_TEST(without_news_we_look_every_ten_seconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
