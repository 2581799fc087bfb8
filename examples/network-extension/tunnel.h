/*
 * The C half of a packet tunnel: a node whose packets are the host's, within a
 * bound of memory.  It knows no adapter and no Apple: PacketTunnelProvider.m
 * runs its machine on io-gcd, memory.c measures it on Linux.
 *
 * All functions on the adapter's queue (or thread).
 */
#ifndef TUNNEL_H
#define TUNNEL_H

#include <remora/node.h>

typedef struct tunnel tunnel;

typedef struct tunnel_config {
    const char *control_url, *auth_key, *hostname; /* copied */
    rmr_bytes ca_pem;  /* trust anchors; empty: http alone                    */
    size_t memory_max; /* bytes that the node may take                        */
    rmr_env env;       /* the adapter's: rmr_posix_env()                      */
    void *user;
    /* Own addresses, at the start and whenever they changed. */
    void (*on_up)(void *user, const rmr_addr *ips, size_t n);
    /* For the interface; borrowed. */
    void (*on_packet)(void *user, rmr_bytes packet);
    /* Text for a person: it goes on trying, or (`is_end`) it gave up. */
    void (*on_trouble)(void *user, const char *text, bool is_end);
} tunnel_config;

typedef struct tunnel_memory {
    size_t now, peak; /* bytes that the node has, and had at most   */
    size_t refused;   /* times that it wanted more than memory_max  */
} tunnel_memory;

rmr_err tunnel_new(tunnel **out, const tunnel_config *cfg, rmr_time now);
/* After the adapter, which holds the machine.  NULL does nothing. */
void tunnel_free(tunnel *t);
rmr_machine tunnel_machine(tunnel *t);
/* From the interface; then wake the adapter.  What does not fit is dropped. */
void tunnel_send(tunnel *t, rmr_time now, rmr_bytes packet);
tunnel_memory tunnel_get_memory(const tunnel *t);

#endif
