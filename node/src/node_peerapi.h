/* DNS for those who use us as exit node, in parts:
 *   node_peerapi.c       where we listen, who may ask, questions and answers
 *   node_peerapi_http.c  requests by HTTP (RFC 8484)
 */
#ifndef REMORA_NODE_PEERAPI_H
#define REMORA_NODE_PEERAPI_H

#include "node_dns.h"

typedef struct nd_peerapi_ask { /* one question a connection */
    rmr_addr from;
    bool denied; /* when it connected */
    bool whole;  /* the request was read */
    bool asked;
    uint8_t msg[RMR_MD_MAX_QUERY];
    size_t len;
    uint8_t *out; /* the response; NULL: not yet */
    size_t out_len, out_at;
} nd_peerapi_ask;

/* May this peer use us as exit node, for all that is outside? */
bool rmri_node_peerapi_may_ask(const rmr_node *n, const rmr_addr *from);
/* A parser into c->ask and c->http_status (0: no objection).  NOMEM. */
rmr_err rmri_node_peerapi_http_new(nd_conn *c);
void rmri_node_peerapi_http_read(nd_conn *c, rmr_bytes data);
/* The response, to be released: *len bytes; NULL: no memory.  msg: a DNS
 * message, where the status is 200. */
uint8_t *rmri_node_peerapi_http_lay_out(nd_conn *c, rmr_bytes msg, size_t *len);

#endif
