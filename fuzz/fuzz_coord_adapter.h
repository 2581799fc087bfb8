/* What runs the coordination server in front of a fuzzer: its listeners open,
 * its other operations are the target's; time passes by its deadlines. */
#ifndef REMORA_FUZZ_COORD_ADAPTER_H
#define REMORA_FUZZ_COORD_ADAPTER_H

#include <remora/coord.h>

#include "need.h"

#define FA_DOORS 3 /* the main listener, the socket, metrics */

typedef struct fa_adapter {
    rmr_machine m;
    rmr_time now;
    uint64_t wall; /* beside that of the start */
    bool stopped;
    uint64_t door[FA_DOORS], last_child;
    int n_doors;
    void (*perform)(void *user, const rmr_io_op *op); /* streams' operations */
    void *user;
    uint8_t scratch[RMR_IO_SCRATCH_MIN];
} fa_adapter;

void fa_init(fa_adapter *a, void (*perform)(void *user, const rmr_io_op *op),
             void *user);
/* A config of a server with all three listeners. */
void fa_config(rmr_coord_config *cfg);
/* The server begins, or does so again. */
void fa_start(fa_adapter *a, rmr_coord *coord);
/* Its operations, until it has none. */
void fa_turn(fa_adapter *a);
/* Time passes, with the deadlines in it, which are gone when handled. */
void fa_pass(fa_adapter *a, rmr_dur d);

/* ---- events, without a turn ---------------------------------------------- */

void fa_happens(fa_adapter *a, rmr_io_event_kind kind, uint64_t id);
/* A connection, and its number. */
uint64_t fa_accept(fa_adapter *a, unsigned door, const rmr_addr *from);
/* From a place of exactly that size, which the server may write into. */
void fa_bytes(fa_adapter *a, uint64_t id, const uint8_t *p, size_t n);

#endif
