#include "tun.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define DEVICE "/dev/net/tun"
#define NAME "scn0"

/* Under /proc/sys/net, which shows the namespace of who looks. */
static const struct setting {
    const char *name, *value;
} settings[] = {
    {"ipv4/tcp_invalid_ratelimit", "0"}, /* answer each bad segment */
    {"ipv4/tcp_challenge_ack_limit", "1000000"},
    {"ipv4/icmp_ratelimit", "0"},
    {"ipv4/tcp_no_metrics_save", "1"},
    {"ipv4/tcp_early_retrans", "0"}, /* no tail loss probe */
    {"ipv4/tcp_ecn", "0"},
    {"ipv4/tcp_rfc1337", "1"},
    {"ipv4/tcp_congestion_control", "reno"},
    {"ipv6/conf/default/accept_dad", "0"},
};

static bool failed(char *err, size_t cap, const char *what)
{
    (void)snprintf(err, cap, "%s: %s", what, strerror(errno));
    return false;
}

static bool set(const struct setting *s, char *err, size_t cap)
{
    char path[100];
    size_t n = strlen(s->value);
    (void)snprintf(path, sizeof path, "/proc/sys/net/%s", s->name);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool good = fd >= 0 && write(fd, s->value, n) == (ssize_t)n;
    if (!good)
        (void)failed(err, cap, path);
    if (fd >= 0)
        (void)close(fd);
    return good;
}

static struct ifreq request(const char *name)
{
    struct ifreq r;
    memset(&r, 0, sizeof r);
    (void)snprintf(r.ifr_name, sizeof r.ifr_name, "%s", name);
    return r;
}

static void put_addr(struct ifreq *r, const char *text)
{
    struct sockaddr_in a = {0};
    a.sin_family = AF_INET;
    (void)inet_pton(AF_INET, text, &a.sin_addr);
    memcpy(&r->ifr_addr, &a, sizeof a);
}

static bool configure(int s)
{
    struct ifreq r = request(NAME);
    put_addr(&r, "100.64.0.1");
    if (ioctl(s, SIOCSIFADDR, &r))
        return false;
    put_addr(&r, "255.255.255.0");
    if (ioctl(s, SIOCSIFNETMASK, &r))
        return false;
    r.ifr_mtu = TUN_MTU;
    if (ioctl(s, SIOCSIFMTU, &r))
        return false;
    r.ifr_flags = IFF_UP | IFF_RUNNING;
    if (ioctl(s, SIOCSIFFLAGS, &r))
        return false;
    r = request("lo");
    r.ifr_flags = IFF_UP | IFF_RUNNING;
    return ioctl(s, SIOCSIFFLAGS, &r) == 0;
}

static int open_device(char *err, size_t cap)
{
    int fd = open(DEVICE, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        (void)failed(err, cap, DEVICE);
        return -1;
    }
    struct ifreq r = request(NAME);
    r.ifr_flags = IFF_TUN | IFF_NO_PI;
    if (ioctl(fd, TUNSETIFF, &r)) {
        (void)failed(err, cap, "can't make a TUN device");
        (void)close(fd);
        return -1;
    }
    return fd;
}

static bool set_all(char *err, size_t cap)
{
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        if (!set(&settings[i], err, cap))
            return false;
    return true;
}

static bool give_address(char *err, size_t cap)
{
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool good = s >= 0 && configure(s);
    if (!good)
        (void)failed(err, cap, "can't set up the TUN device");
    if (s >= 0)
        (void)close(s);
    return good;
}

int tun_enter(char *err, size_t cap)
{
    if (unshare(CLONE_NEWNET)) {
        (void)failed(err, cap, "no right to make a network namespace (root?)");
        return -1;
    }
    /* A device takes the defaults that are set when it is made. */
    int fd = set_all(err, cap) ? open_device(err, cap) : -1;
    if (fd >= 0 && !give_address(err, cap)) {
        (void)close(fd);
        fd = -1;
    }
    return fd;
}
