/* Two stacks on one virtual clock, joined by a link that delays, loses, doubles
 * and reorders; and applications that send and check a known stream. */
#ifndef TEST_NS_SIM_H
#define TEST_NS_SIM_H

#include <remora/netstack.h>

#include "support.h"

typedef struct sim_link { /* both directions */
    rmr_dur delay;
    rmr_dur jitter;        /* more, 0...jitter */
    uint32_t loss_milli;   /* of 1000 packets */
    uint32_t dup_milli;
    uint32_t reorder_milli; /* these are held `hold` longer */
    rmr_dur hold;
    uint64_t rate; /* bytes a second, 0: none */
    size_t queue;  /* bytes before the tail is dropped, 0: no limit */
    size_t mtu;    /* larger packets are dropped, 0: no limit */
    bool tells;    /* ... and their sender hears of it */
} sim_link;

typedef struct sim_pkt {
    rmr_time at;
    uint64_t seq;
    int to;
    size_t len;
    uint8_t *data;
} sim_pkt;

/* What an application does with a connection: sends `total` bytes of the
 * stream `seed`, reads until the end, then closes. */
typedef struct sim_app {
    struct sim_host *host;
    rmr_ns_sock sock;
    uint64_t seed, sent, total, got, want_seed;
    uint64_t hash;     /* of what was read */
    bool open, eof, shut, closed, bad, manual;
    rmr_err why;
    size_t read_max;   /* bytes a turn, 0: all */
    int connected, accepted, readable, writable, n_closed;
} sim_app;

typedef struct sim_host {
    struct sim *sim;
    rmr_ns *ns;
    test_alloc alloc;
    test_rng rng;
    rmr_ns_callbacks cb;
    sim_app app;
    sim_app more[8]; /* further accepted sockets */
    int n_more;
    uint64_t pkts_out, bytes_out, pongs;
    uint8_t last_dgram[2048];
    size_t last_dgram_len;
    rmr_addr last_from, last_to;
    int dgrams;
    rmr_time busy_until;
    rmr_time latest_deadline;
} sim_host;

typedef struct sim {
    sim_host h[2];
    rmr_time now;
    sim_link link;
    test_rng rng;
    sim_pkt *heap;
    size_t n, cap;
    uint64_t seq;
    uint64_t delivered;
    uint64_t trace; /* digest of all packets and their times */
    rmr_dur tick;   /* handle_deadline is called so often besides, 0: no */
    bool v6;
    bool keep_all; /* accepted sockets are left alone */
} sim;

void sim_init(sim *s, uint64_t seed, const rmr_ns_config *cfg0,
              const rmr_ns_config *cfg1);
void sim_free(sim *s); /* checks that all memory came back */
/* Host 0 listens on port 80, host 1 dials. */
void sim_connect(sim *s);
void sim_listen(sim *s, int host, uint16_t port);
/* Moves packets, time and applications until nothing is due before `until`. */
void sim_run(sim *s, rmr_time until);
/* As sim_run, but stops when *done; false on time-out. */
bool sim_run_until(sim *s, rmr_time until, bool (*done)(sim *s));
/* All packets and work that are due now. */
void sim_settle(sim *s);
rmr_addr sim_addr(int host, uint16_t port);
rmr_addr sim_addr6(int host, uint16_t port);
uint8_t sim_byte(uint64_t seed, uint64_t offset);
void sim_app_turn(sim *s, sim_app *a);

#endif
