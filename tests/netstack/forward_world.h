/* One stack that forwards, its callbacks counted: for the tests of flows. */
#ifndef TEST_FORWARD_WORLD_H
#define TEST_FORWARD_WORLD_H

#include "ns_feed.h"

#include "support.h"

typedef struct world {
    test_alloc alloc;
    test_rng rng;
    rmr_ns *ns;
    rmr_time now;
    rmr_ns_flow flow; /* the last */
    uint8_t protocol;
    rmr_addr from, to;
    int flows, gone, connected, closed, dgrams, echoes;
    rmr_err why;
    rmr_err answer_now; /* refuse inside on_flow, unless OK */
    bool accept_now;
    rmr_ns_flow accept_next; /* inside on_datagram, unless 0 */
    rmr_ns_sock close_next;  /* inside on_closed, unless 0 */
    rmr_ns_sock sock;
    uint8_t data[256];
    size_t len;
    uint8_t out[1280];
    size_t out_len;
} world;

extern rmr_addr client, foreign, own, client6, foreign6;

/* A stack with an own address and the two bounds, in a zeroed world. */
void fwd_start(world *w, uint32_t max_flows, uint32_t max_udp_flows);
rmr_err fwd_feed(world *w, const uint8_t *p, size_t n);
/* A segment, or a datagram, comes in. */
rmr_err fwd_tcp(world *w, const rmr_addr *from, const rmr_addr *to,
                uint8_t flags, uint32_t seq, uint32_t ack);
rmr_err fwd_udp(world *w, const rmr_addr *from, const rmr_addr *to,
                const char *text);
/* The next packet out is in w->out; false: there is none. */
bool fwd_take(world *w);
/* A segment for the client, from the address that it asked. */
void fwd_expect_tcp(world *w, const rmr_addr *from, const rmr_addr *to,
                    uint8_t flags, uint32_t ack);
/* An error about a packet that came from `about`; the quote names its ports. */
void fwd_expect_icmp(world *w, const rmr_addr *from, const rmr_addr *about,
                     uint8_t type, uint8_t code);
/* To `at`, by the deadlines that are told. */
void fwd_run_to(world *w, rmr_time at);
/* No entry, socket or deadline is left. */
void fwd_expect_empty(world *w);
int fwd_setup(void **state);
int fwd_teardown(void **state);

#endif
