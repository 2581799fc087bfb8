/* The stub resolver under a test's clock, and a log of what it answers. */
#ifndef REMORA_TEST_DNS_RIG_H
#define REMORA_TEST_DNS_RIG_H

#include <remora/dns.h>

#include "dns_internal.h"
#include "support.h"

typedef struct rig {
    test_alloc mem;
    test_rng rng;
    rmr_env env;
    rmr_dns *d;
    rmr_time now;
    char log[2048];     /* "id name-of-error addr addr...\n" for each answer */
    uint64_t ask_again; /* in a callback: another query */
    bool pump_inside;
} rig;

/* Flags of answers. */
enum {
    OK = 0x8180,
    CUT = 0x8380,
    FORMERR = 0x8181,
    SERVFAIL = 0x8182,
    NXDOMAIN = 0x8183,
    REFUSED = 0x8185
};

/* All but its resolver, which the test makes with the callback. */
void rig_prepare(rig *r);
void rig_on_answer(void *user, uint64_t id, rmr_err err, const rmr_addr *addrs,
                   size_t n);
void rig_end(rig *r);
void rig_query(rig *r, uint64_t id, const char *name);
/* That was answered since the last time. */
void rig_expect_log(rig *r, const char *want);
/* Time passes, and a deadline is handled. */
void rig_pass(rig *r, rmr_dur d);

#endif
