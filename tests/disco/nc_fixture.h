/* A netcheck on a virtual clock, with relays that answer as they are told. */
#ifndef NC_FIXTURE_H
#define NC_FIXTURE_H

#include <remora/netcheck.h>
#include <remora/stun.h>

#include "support.h"

#define NC_MAX_REGIONS 12
#define NC_MAX_SENT 256
#define NEVER_ANSWERS UINT64_MAX

typedef struct nc_sent { /* a request, as it went out */
    rmr_time at;
    uint16_t region;
    uint8_t node, family; /* 4, 6 */
    uint8_t txid[RMR_STUN_TXID_LEN];
    rmr_addr to;
    rmr_time answer_at; /* NEVER: none */
} nc_sent;

typedef struct nc_lab {
    test_alloc alloc;
    test_rng rng;
    rmr_env env;
    rmr_netcheck *nc;
    rmr_time now;
    rmr_netcheck_how how;
    size_t done, stopped;
    rmr_netcheck_report last; /* lists point into nc */
    nc_sent sent[NC_MAX_SENT];
    size_t n_sent;
    /* by region id */
    rmr_dur latency[NC_MAX_REGIONS], latency6[NC_MAX_REGIONS];
    rmr_addr mapped, mapped6;
    bool varies; /* each region sees another port */
    bool fine;   /* wake every millisecond too, not at deadlines alone */
    rmr_err send_error[2]; /* v4, v6: sends fail */
} nc_lab;

/* Region r's node n is at 10.0.r.n and 2001:db8::r:n; `n_regions` of them with
 * `nodes` each, ids from 1. */
void nc_lab_init(nc_lab *l);
void nc_lab_map(nc_lab *l, size_t n_regions, size_t nodes);
void nc_lab_wipe(nc_lab *l);
/* Takes what is to be sent. */
void nc_lab_drain(nc_lab *l);
/* Answers sent[i] now, as `mapped` or `mapped6` (region's port if varies). */
rmr_err nc_lab_answer(nc_lab *l, size_t i);
/* Starts and runs to the end, at most 6 s; returns how long it took. */
rmr_dur nc_lab_run(nc_lab *l);
/* Goes on to `until`, or to the end of the run. */
void nc_lab_go(nc_lab *l, rmr_time until);
void nc_lab_start(nc_lab *l);
rmr_addr nc_addr(const char *text);
size_t nc_lab_count(const nc_lab *l, uint16_t region, uint8_t family);

#endif
