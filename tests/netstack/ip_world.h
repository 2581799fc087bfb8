/* One stack whose packets are looked at one by one, and the packets that
 * another host sends it, by which they are built. */
#ifndef TEST_IP_WORLD_H
#define TEST_IP_WORLD_H

#include "ns_feed.h"

#include "support.h"

typedef struct world {
    test_alloc alloc;
    test_rng rng;
    rmr_ns *ns;
    rmr_time now;
    rmr_ns_sock udp;
    int dgrams, pongs;
    uint8_t data[4000];
    size_t len;
    rmr_addr from, to;
    uint8_t tos;
    uint8_t out[1280];
    size_t out_len;
} world;

/* Its addresses, and the other host's; of the IPv4 ones the first four. */
extern const uint8_t ipw_me4[16], ipw_you4[16], ipw_me6[16], ipw_you6[16];

/* A socket of UDP at port 53, and pings 7, 9. */
int ipw_setup(void **state);
int ipw_teardown(void **state);

/* Around n bytes of payload; each answers the length of the whole. */
size_t ipw_ip4(uint8_t *p, uint8_t proto, const uint8_t *pl, size_t n);
size_t ipw_ip6(uint8_t *p, uint8_t next, const uint8_t *pl, size_t n);
/* The header's sum again. */
void ipw_sum4(uint8_t *p);
/* From port 5000. */
size_t ipw_udp(uint8_t *p, int family, uint16_t port, const void *data,
               size_t n);
size_t ipw_echo(uint8_t *p, int family, bool reply, size_t n);

/* The sum of a pseudo header between the two, to begin with. */
uint64_t ipw_pseudo(int family, uint8_t proto, size_t n);

rmr_err ipw_feed(world *w, const uint8_t *p, size_t n);
/* The next packet out is in w->out; false: there is none. */
bool ipw_take(world *w);
/* It is a parameter problem of ICMPv6 at that byte; a second passes. */
void ipw_expect_problem(world *w, uint8_t code, uint32_t pointer);

#endif
