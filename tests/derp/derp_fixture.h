/* A DERP client and a relay made of vectors, on a virtual clock. */
#ifndef DERP_FIXTURE_H
#define DERP_FIXTURE_H

#include <remora/derp.h>

#include "derp_internal.h"
#include "support.h"
#include "vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define HEAD_101                                                               \
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\n"                    \
    "Connection: Upgrade\r\nDerp-Version: 2\r\nDerp-Public-Key: 00\r\n\r\n"

typedef struct fixture {
    test_alloc mem;
    test_rng rng;
    rmr_env env;
    rmr_derp *d;
    rmr_time now;
    tv *vectors;
    char log[16384];    /* a line an event */
    uint8_t script[64]; /* randomness that comes first */
    size_t script_len, script_at;
    rmr_derp_node nodes[4];
    rmr_derp_config cfg;
    rmr_derp_callbacks cb;
    const uint8_t *last_packet; /* where the last one lay */
    void (*in_packet)(struct fixture *f);
    uint8_t out[80000]; /* what the client wrote last */
    size_t out_len;
} fixture;

/* Config with clientA's key and n nodes, not yet made. */
void fx_prepare(fixture *f, bool always_on, size_t n_nodes);
rmr_err fx_make(fixture *f);
void fx_begin(fixture *f, bool always_on); /* both; one node */
void fx_end(fixture *f);

/* The frame of a vector; returns its length. */
size_t fx_frame(fixture *f, const char *name, uint8_t *dst, size_t cap);
tv *fx_case(fixture *f, const char *list, const char *name);

/* Feeds bytes as an exact, writable copy. */
rmr_err fx_feed(fixture *f, const void *data, size_t len);
rmr_err fx_feed_frame(fixture *f, const char *name);
/* All output with a buffer of `size`, into f->out. */
void fx_drain(fixture *f, size_t size);
void fx_expect_out(fixture *f, const uint8_t *want, size_t len);
void fx_expect_out_frame(fixture *f, const char *name);

void fx_dial(fixture *f);  /* the client asks; the host begins */
void fx_open(fixture *f);  /* dial, and the stream is open */
void fx_greet(fixture *f); /* open, 101 and ServerKey */
void fx_up(fixture *f);    /* all of it, output taken */

void fx_log(fixture *f, const char *want); /* compares and empties */
void fx_pass(fixture *f, rmr_dur t);       /* time, and what is due */
rmr_derp_stats fx_stats(fixture *f);
/* The source or destination that most vectors use. */
void fx_key(fixture *f, const char *name, const char *part, uint8_t *dst);

#endif
