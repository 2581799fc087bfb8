/* A pair of nodes for tests of names: the first one has a forward to quad-100,
 * SOCKS5, and a forward to db.corp.example; the second a subnet and a
 * service. */
#ifndef REMORA_NODE_DNS_PAIR_H
#define REMORA_NODE_DNS_PAIR_H

#include "pair.h"

#define DP_DNS_PORT 5353
#define DP_FORWARD_PORT 8000
#define DP_SOCKS_PORT 1080
#define DP_SERVE_PORT 7000

/* Of the second node, as pair.h's `routes` and `extra`: an exit node, and one
 * that answers questions. */
#define DP_EXIT_ROUTES ",\"0.0.0.0/0\",\"::/0\""
#define DP_PEERAPI                                                             \
    ",\"Cap\":26,\"Hostinfo\":{\"Services\":[{\"Proto\":\"peerapi4\","         \
    "\"Port\":7000}]}"

typedef struct dns_pair {
    pair p;
    rmr_forward forwards[2];
    rmr_serve serve;
    struct { /* by the first node's program */
        int answers, connected, closed;
        rmr_err err, why;
        rmr_addr addr;
        size_t n;
    } seen;
} dns_pair;

void dp_start(dns_pair *d);
void dp_stop(dns_pair *d);
/* corp.example at a resolver outside, deep.example at the second node. */
void dp_set_routes(dns_pair *d);
/* Preferences of the first node; exit NULL: not said. */
void dp_set_prefs(dns_pair *d, uint32_t given, bool on, const char *exit);
/* The first node's program asks: until there is an answer, or without that. */
void dp_resolve(dns_pair *d, const char *name);
void dp_begin(dns_pair *d, const char *name, uint64_t *id);
/* It was 100.64.0.`last`. */
void dp_expect_addr(const dns_pair *d, uint8_t last);
/* For rmr_node_resolve and pair_run, with the dns_pair. */
void dp_on_resolved(void *user, rmr_err err, const rmr_addr *addrs, size_t n);
bool dp_is_answered(void *user);

#endif
