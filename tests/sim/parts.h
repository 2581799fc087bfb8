/* What tests build tailnets of, on the simulator: hosts, relays, the DERP map
 * that has them, a log by the virtual clock. */
#ifndef REMORA_TEST_SIM_PARTS_H
#define REMORA_TEST_SIM_PARTS_H

#include <remora/relay.h>
#include <remora/sim.h>

#include "support.h"

#define PARTS_SERVER "203.0.113.250" /* of control */

/* Ends the process unless it is OK. */
void parts_need(rmr_err err, const char *what);

/* With the same delay both ways. */
rmr_sim_host parts_host(rmr_sim *sim, rmr_sim_net net, const char *name,
                        const rmr_addr *addrs, size_t n, rmr_dur delay);

/* ---- relays -------------------------------------------------------------- */

typedef struct parts_relay {
    test_rng rng; /* of its env */
    rmr_relay *relay;
    rmr_sim_host host;
    rmr_sim_program program;
} parts_relay;

typedef struct parts_relay_kind {
    const char *cert; /* in tests/vectors, of the key tls/ec.key */
    uint32_t tls_buffers, max_clients; /* 0: as it is without a word */
} parts_relay_kind;

/* A host for the relay of region i + 1, at 203.0.113.(240 + i). */
void parts_relay_host(parts_relay *r, rmr_sim *sim, uint32_t i, rmr_dur delay);
/* A relay on it: HTTPS at 443, STUN at 3478. */
void parts_relay_start(parts_relay *r, rmr_sim *sim, const rmr_env *env,
                       const parts_relay_kind *kind);
void parts_relay_stop(parts_relay *r, rmr_sim *sim);

/* The regions of which `regions` has the bit.  pin NULL: relays are known as
 * rN.wild.test, else by that digest of their certificate. */
void parts_derp_map(char *dst, size_t cap, uint32_t regions, const char *pin);

/* ---- a log --------------------------------------------------------------- */

typedef struct parts_log {
    const rmr_sim *sim;
    const char *name; /* in front of each line */
} parts_log;

/* To stderr; not on: nowhere. */
rmr_log parts_log_table(parts_log *l, const rmr_sim *sim, const char *name,
                        bool is_on);

#endif
