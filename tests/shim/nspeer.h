/* What the two files of nspeer share. */
#ifndef SHIM_NSPEER_H
#define SHIM_NSPEER_H

#include <poll.h>
#include <stdio.h>

#include <remora/bridge.h>
#include <remora/netstack.h>

#define PEER_SOCKETS 1024
#define PEER_PORTS 16
#define FLOW_BUFFER 65536

/* A local socket and a connection of the stack.  What the stack has goes
 * straight into the socket; what the socket gave and the stack did not take
 * waits in `rest`. */
typedef struct flow {
    int fd;
    rmr_ns_sock sock;
    bool connecting; /* the local socket is */
    bool open;       /* the stack's connection is */
    bool gone;       /* that has ended, by on_closed */
    bool fd_ended, ns_ended; /* and the other side was told */
    bool fd_full, broken;
    size_t rest_at, rest_len;
    int slot; /* in peer.fds; 0: none */
    struct flow *next;
    uint8_t rest[FLOW_BUFFER];
} flow;

typedef struct port { /* a listener, of either kind */
    int fd;           /* --forward; -1: none */
    rmr_addr to;
} port;

typedef struct peer {
    rmr_ns *ns;
    rmr_time now, began, trace_at;
    FILE *trace;
    int link;
    bool link_full;
    uint8_t packet[65536];
    size_t held; /* bytes of the packet that the shim did not take yet */
    flow *flows;
    size_t n_flows;
    port ports[PEER_PORTS];
    size_t n_ports;
    struct pollfd fds[PEER_SOCKETS];
} peer;

void peer_die(const char *what, const char *which);
void flows_callbacks(rmr_ns_callbacks *cb, peer *p);
void flows_serve(peer *p, const rmr_serve *s);
void flows_forward(peer *p, const rmr_forward *f);
/* Writes what is to be waited for, from slot n on; returns the end. */
size_t flows_poll(peer *p, size_t n);
/* Accepts, moves bytes, ends what is over. */
void flows_turn(peer *p);
void flows_free(peer *p);

#endif
