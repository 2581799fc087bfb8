#define _DEFAULT_SOURCE
#include "wg_udp.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Room for what one side sends while the other is not scheduled. */
enum { BUFFER = 4 << 20 };

typedef union any_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} any_address;

static socklen_t to_system(any_address *sa, const rmr_addr *a)
{
    memset(sa, 0, sizeof *sa);
    if (a->family == RMR_AF_INET) {
        sa->v4.sin_family = AF_INET;
        sa->v4.sin_port = htons(a->port);
        memcpy(&sa->v4.sin_addr, a->ip, 4);
        return sizeof sa->v4;
    }
    sa->v6.sin6_family = AF_INET6;
    sa->v6.sin6_port = htons(a->port);
    memcpy(&sa->v6.sin6_addr, a->ip, 16);
    return sizeof sa->v6;
}

static rmr_addr from_system(const any_address *sa)
{
    if (sa->any.sa_family == AF_INET)
        return rmr_addr_from_bytes(rmr_bytes_of(&sa->v4.sin_addr, 4),
                                   ntohs(sa->v4.sin_port));
    return rmr_addr_from_bytes(rmr_bytes_of(&sa->v6.sin6_addr, 16),
                               ntohs(sa->v6.sin6_port));
}

static int open_one(uint8_t family, uint16_t port)
{
    any_address sa;
    rmr_addr any = {.family = family, .port = port};
    int on = 1, size = BUFFER;
    int fd = socket(family == RMR_AF_INET ? AF_INET : AF_INET6,
                    SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    if ((family == RMR_AF_INET6 &&
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0) ||
        bind(fd, &sa.any, to_system(&sa, &any)) < 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

bool wg_udp_open(wg_udp *u, uint16_t port)
{
    u->v4 = open_one(RMR_AF_INET, port);
    u->v6 = u->v4 < 0 ? -1 : open_one(RMR_AF_INET6, port);
    if (u->v6 >= 0)
        return true;
    perror("UDP socket");
    wg_udp_close(u);
    return false;
}

void wg_udp_close(wg_udp *u)
{
    if (u->v4 >= 0)
        (void)close(u->v4);
    if (u->v6 >= 0)
        (void)close(u->v6);
    u->v4 = u->v6 = -1;
}

ssize_t wg_udp_recv(int fd, rmr_buf room, rmr_addr *from)
{
    any_address sa;
    socklen_t len = sizeof sa;
    ssize_t n = recvfrom(fd, room.ptr, room.len, 0, &sa.any, &len);
    if (n >= 0)
        *from = from_system(&sa);
    return n;
}

bool wg_udp_send(const wg_udp *u, const rmr_addr *to, rmr_bytes datagram)
{
    any_address sa;
    socklen_t len = to_system(&sa, to);
    return sendto(to->family == RMR_AF_INET ? u->v4 : u->v6, datagram.ptr,
                  datagram.len, 0, &sa.any, len) >= 0;
}

rmr_wg_endpoint wg_endpoint_of(const rmr_addr *a)
{
    rmr_wg_endpoint e;
    size_t n = rmr_addr_ip_len(a);
    memset(&e, 0, sizeof e);
    memcpy(e.bytes, a->ip, n);
    e.bytes[n] = (uint8_t)(a->port >> 8);
    e.bytes[n + 1] = (uint8_t)a->port;
    e.len = (uint8_t)(n + 2);
    e.bucket_len = n == 4 ? 4 : 8;
    return e;
}

rmr_addr wg_addr_of(const rmr_wg_endpoint *e)
{
    size_t n = e->len - 2u;
    return rmr_addr_from_bytes(rmr_bytes_of(e->bytes, n),
                               (uint16_t)(e->bytes[n] << 8 | e->bytes[n + 1]));
}
