/* UDP sockets, and their addresses as WireGuard endpoints. */
#ifndef WG_UDP_H
#define WG_UDP_H

#include <remora/addr.h>
#include <remora/wgcore.h>

#include <stdbool.h>
#include <sys/types.h>

/* One socket a family: the IPv6 one is IPv6 only. */
typedef struct wg_udp {
    int v4, v6;
} wg_udp;

/* Binds both to that port (0: the v4 socket's choice, and another for v6); says
 * on stderr what went wrong. */
bool wg_udp_open(wg_udp *u, uint16_t port);
void wg_udp_close(wg_udp *u);
/* The next datagram that waits: its length, or -1 when there is none. */
ssize_t wg_udp_recv(int fd, rmr_buf room, rmr_addr *from);
/* False when the system didn't take it: as a lost datagram. */
bool wg_udp_send(const wg_udp *u, const rmr_addr *to, rmr_bytes datagram);

/* The token: the address and then the port, so that the bucket of a source is
 * its first bytes: an IPv4 address, or half of an IPv6 one. */
rmr_wg_endpoint wg_endpoint_of(const rmr_addr *a);
rmr_addr wg_addr_of(const rmr_wg_endpoint *e);

#endif
