/* A small program for tests of the simulator: it does what it is told and keeps
 * what it hears. */
#ifndef REMORA_TEST_SIM_TOY_H
#define REMORA_TEST_SIM_TOY_H

#include "support.h"

#include <remora/sim.h>

#define TOY_OPS 1024
#define TOY_HEARD 4096

typedef struct toy_heard {
    rmr_io_event_kind kind;
    uint64_t id, child;
    rmr_addr addr;
    rmr_err err;
    rmr_time at;
    size_t len;
    uint32_t seg_size;
    uint64_t wall;
    uint8_t data[64]; /* the first bytes */
    rmr_addr addrs[8], gateway;
    size_t n_addrs;
} toy_heard;

typedef struct toy {
    rmr_sim *sim;
    rmr_sim_host host;
    rmr_sim_program program;
    rmr_io_op ops[TOY_OPS];
    uint8_t data[TOY_OPS][2048];
    size_t first, n_ops;
    toy_heard heard[TOY_HEARD];
    size_t n_heard;
    rmr_time deadline;
    size_t n_deadlines;
    rmr_time deadline_at;
    bool echoes;   /* datagrams go back to their senders */
    bool credits;  /* streams that are accepted or opened get much credit */
    bool spins;    /* it always has a deadline at once */
    size_t bytes;  /* of streams, so far */
} toy;

/* A host with such a program on it. */
void toy_init(toy *t, rmr_sim *s, rmr_sim_net net,
              const rmr_sim_host_config *cfg);
void toy_add(toy *t); /* once more, after rmr_sim_remove */
void toy_op(toy *t, const rmr_io_op *op); /* data and name: at most 2048 */
void toy_open(toy *t, uint64_t id, rmr_addr local);
void toy_send(toy *t, uint64_t id, rmr_addr to, const char *text);
void toy_simple(toy *t, rmr_io_op_kind kind, uint64_t id);
void toy_connect(toy *t, uint64_t id, rmr_addr to, rmr_dur timeout);
void toy_listen(toy *t, uint64_t id, rmr_addr local);
void toy_read(toy *t, uint64_t id, size_t credit);
void toy_write(toy *t, uint64_t id, const void *data, size_t len);

/* The last event of that kind and id, NULL: none. */
const toy_heard *toy_last(const toy *t, rmr_io_event_kind kind, uint64_t id);
size_t toy_count(const toy *t, rmr_io_event_kind kind, uint64_t id);
/* The last datagram's text is that. */
bool toy_got(const toy *t, uint64_t id, const char *text);
void toy_forget(toy *t); /* what was heard */
void toy_run(toy *t, rmr_dur d);

rmr_addr addr(const char *text); /* with a port or without */

/* A world of its own for each test. */
typedef struct bench {
    test_alloc heap;
    rmr_sim *sim;
} bench;
void bench_init(bench *b, uint64_t seed);
void bench_free(bench *b); /* and nothing leaks */
/* A host in a net with one address and 10 ms to its net, or 0. */
void bench_host(bench *b, toy *t, rmr_sim_net net, const char *ip,
                rmr_dur delay);

#endif
