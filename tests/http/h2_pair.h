/* A client and its server, and the log of the client's events. */
#ifndef REMORA_TEST_H2_PAIR_H
#define REMORA_TEST_H2_PAIR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "h2_peer.h"
#include "support.h"

typedef struct pair {
    h2_peer p;
    test_alloc a;
    rmr_env env;
    rmr_h2 *h;
    char log[8192];
    size_t len;
    size_t body_bytes;
    size_t body_of[PEER_STREAMS]; /* bytes by stream */
    bool consume;                 /* everything, at once */
    size_t heads, closes;
    /* What a callback does, once, and where: 'h', 'b', 'c'. */
    char at;
    void (*act)(struct pair *x, int32_t stream);
    size_t reentrant;
} pair;

extern pair x; /* the only one; large */
/* What sessions share; NULL: nothing. */
extern rmr_h2_frame *h2_shared;

/* All tests: with a frame of each session's own, and with a shared one, which
 * is written over behind each call. */
int h2_run_both(int (*run)(void));

rmr_h2_config config(void);
void set_up_with(const rmr_h2_config *cfg, const h2_peer_config *pc);
void set_up(void);
void tear_down(void); /* and nothing may be left in memory */
/* Asks, and returns the stream. */
int32_t get(const char *path, const char *tag);
void pump(void);
void clear_logs(void);

#endif
