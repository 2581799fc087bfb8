/* The node's DNS, in parts:
 *   node_dns.c       life, look-ups of the program and of dials
 *   node_dns_table.c whom to ask: DNSConfig, the exit node, the system's servers
 *   node_dns_quad.c  100.100.100.100 and fd7a:115c:a1e0::53, on our own stack
 *   node_dns_out.c   questions for resolvers, inside the tailnet and outside
 *   node_dns_http.c  and by HTTP, as peers answer them (RFC 8484)
 */
#ifndef REMORA_NODE_DNS_H
#define REMORA_NODE_DNS_H

#include "node_internal.h"

#include <remora/dns.h>
#include <remora/magicdns.h>

#define ND_DNS_CLIENTS (RMR_MD_MAX_OPEN + 1) /* one is just being answered */
#define ND_DNS_SERVED 16                     /* TCP connections to us */
#define ND_DNS_ASKED 16                      /* and to resolvers */

typedef enum nd_dns_kind {
    ND_DNS_FREE,
    ND_DNS_STUB, /* our own resolver */
    ND_DNS_UDP,
    ND_DNS_TCP,
    ND_DNS_PEER /* one that uses us as exit node */
} nd_dns_kind;

typedef struct nd_dns_client { /* its place is its number for the responder */
    nd_dns_kind kind;
    rmr_addr from, to; /* UDP */
    uint64_t conn;     /* TCP, PEER: a handle of n->conns */
} nd_dns_client;

typedef struct nd_lookup nd_lookup;

#define ND_DNS_HTTP_HEAD 256 /* of a question by HTTP */

/* A TCP connection that carries messages, each behind its length; or one by
 * HTTP. */
struct nd_dns_stream {
    uint64_t id; /* of the question; 0: it is a client of ours */
    rmr_addr to;
    bool http;
    uint8_t *in;
    size_t len, cap;
    uint8_t out[ND_DNS_HTTP_HEAD + RMR_MD_MAX_QUERY]; /* to a resolver */
    size_t out_len;
};

typedef struct nd_dns_socket { /* of the adapter */
    rmr_node *n;
    rmr_mc_io *io;
    bool failed;
    rmr_ring out; /* an address and a length before each */
} nd_dns_socket;

struct nd_dns {
    rmr_node *n;
    rmr_md *md;
    rmr_dns *stub;
    bool table_due;
    rmr_addr system[RMR_MD_MAX_RESOLVERS];
    size_t n_system;
    nd_lookup *lookups;
    uint64_t last_lookup;
    nd_dns_client *clients; /* cap of them, which doubles to the bound */
    size_t cap_clients;
    /* quad-100, by family */
    bool has_quad[2];
    rmr_ns_sock quad[2];
    uint64_t listener[2]; /* handles of n->conns */
    size_t n_served, n_asked;
    rmr_ns_sock inside[2]; /* to resolvers on the tailnet */
    nd_dns_socket outside[2];
};

/* node_dns_table.c.  Errors: NOMEM, the old table stays. */
rmr_err rmri_node_dns_table(nd_dns *d);
/* node_dns_http.c: the question, into c->dns->out; false: no memory. */
bool rmri_node_dns_http_ask(nd_conn *c, rmr_bytes msg);
/* Takes bytes of the answer; false: it is over, with or without one. */
bool rmri_node_dns_http_take(nd_conn *c, rmr_time now, rmr_bytes data);
/* node_dns.c: places of clients, good until the next is taken; NULL: there is
 * none left, or no memory */
nd_dns_client *rmri_node_dns_client(nd_dns *d, nd_dns_kind kind);
void rmri_node_dns_ask(nd_dns *d, nd_dns_client *c, bool tcp, rmr_bytes msg);
/* node_dns_quad.c */
void rmri_node_dns_quad_answer(nd_dns *d, const nd_dns_client *c,
                               rmr_bytes msg);
void rmri_node_dns_quad_close(nd_dns *d);
nd_dns_stream *rmri_node_dns_stream_new(rmr_node *n, size_t cap);
/* Takes bytes and gives each whole message to f; false: it must end. */
bool rmri_node_dns_stream_take(nd_conn *c, rmr_time now, rmr_bytes data,
                               bool (*f)(nd_conn *c, rmr_time now,
                                         rmr_buf msg));
/* node_dns_out.c */
void rmri_node_dns_out_pump(nd_dns *d, rmr_time now);
void rmri_node_dns_out_close(nd_dns *d);
void rmri_node_dns_out_datagram(nd_dns *d, const rmr_addr *from,
                                rmr_bytes data);
void rmri_node_dns_out_readable(nd_conn *c, rmr_time now);

#endif
