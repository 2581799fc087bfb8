/* A real host's network, as the adapter sees it: the linker gives it the
 * addresses, and a clock that goes far enough for a look (--wrap). */
#define _DEFAULT_SOURCE /* IFF_UP */
#include "network.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

static struct {
    time_t later; /* seconds */
    uint8_t last_octet;
} host;

int __real_clock_gettime(clockid_t id, struct timespec *t);
int __wrap_clock_gettime(clockid_t id, struct timespec *t);
int __wrap_clock_gettime(clockid_t id, struct timespec *t)
{
    int r = __real_clock_gettime(id, t);
    t->tv_sec += host.later;
    return r;
}

/* Linux's own way: not here. */
bool __wrap_rmri_posix_own_addrs(void *out, void *of_out, size_t max,
                                 size_t *n);
bool __wrap_rmri_posix_own_addrs(void *out, void *of_out, size_t max, size_t *n)
{
    (void)out, (void)of_out, (void)max, (void)n;
    return false;
}

int __wrap_getifaddrs(struct ifaddrs **out);
int __wrap_getifaddrs(struct ifaddrs **out)
{
    static struct ifaddrs one;
    static struct sockaddr_in a;
    static char name[] = "eth0";
    const uint8_t ip[4] = {192, 0, 2, host.last_octet};
    a.sin_family = AF_INET;
    memcpy(&a.sin_addr, ip, 4);
    one.ifa_addr = (struct sockaddr *)(void *)&a;
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

void network_begin(void)
{
    host.last_octet = 1;
}

void network_move(adapter *a, uint8_t x)
{
    (void)a;
    host.last_octet = x;
    host.later += 11; /* behind the next look, where nobody tells us */
}
