/* A switch with clients around it, for its tests: the harness is the host and
 * all the clients. */
#ifndef REMORA_TEST_SRV_FIXTURE_H
#define REMORA_TEST_SRV_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <remora/cursor.h>

#include "dsw_internal.h"
#include "support.h"
#include "vectors.h"

#define SRV_MAX 16
#define MESH_C 2 /* the vectors' mesh client */

typedef struct srv_client {
    rmr_dsw_client h;
    bool is_open, is_blocked; /* blocked: its stream takes nothing */
    bool is_ready;            /* blocked, and told to write */
    uint8_t private_key[32], public_key[32];
    uint8_t *out; /* what it got */
    size_t out_len, out_cap;
    uint8_t *kept; /* what the switch did not take yet */
    size_t kept_len;
} srv_client;

typedef struct srv {
    test_alloc mem;
    test_rng rng;
    rmr_env env;
    rmr_dsw *sw;
    rmr_time now;
    tv *vectors;
    rmr_dsw_config cfg;
    rmr_dsw_callbacks cb;
    size_t step;        /* bytes a read; 0: all */
    size_t room;        /* of a write; default 16384 */
    char log[4096];     /* callbacks and closes, a line each */
    int admit;          /* 1: yes at once, 0: no at once, -1: later */
    bool close_in_callback;
    uint8_t script[64]; /* randomness that comes first */
    size_t script_len, script_at;
    srv_client c[SRV_MAX];
} srv;

/* The vectors' server and mesh key, all admitted; not yet made. */
void sv_prepare(srv *s);
void sv_make(srv *s);
void sv_begin(srv *s); /* both */
void sv_end(srv *s);

void sv_open(srv *s, int i);
/* Sends bytes as an exact, writable copy; what is not taken is kept. */
rmr_err sv_feed(srv *s, int i, const void *data, size_t len);
rmr_err sv_frame(srv *s, int i, uint8_t type, const void *body, size_t len);
size_t sv_build_login(srv *s, int i, const char *json, size_t len,
                      uint8_t *dst);
rmr_err sv_login(srv *s, int i, const char *json);
void sv_up(srv *s, int i);   /* opened and logged in; its output taken */
void sv_mesh(srv *s, int i); /* the same, as a mesh peer */
void sv_close(srv *s, int i);
rmr_err sv_send(srv *s, int from, int to, const char *text);
rmr_err sv_send_bytes(srv *s, int from, int to, const void *p, size_t n);
/* n bytes that look like disco, the last one is `mark`. */
rmr_err sv_send_disco(srv *s, int from, int to, size_t n, uint8_t mark);
rmr_err sv_forward(srv *s, int via, int src, int dst, const char *text);

void sv_pump(srv *s); /* all that is ready */
/* Pumps; what client i got since, a line a frame, must be this. */
void sv_expect(srv *s, int i, const char *want);
void sv_forget(srv *s, int i); /* what it got */
void sv_log(srv *s, const char *want);
void sv_pass(srv *s, rmr_dur t); /* time, and what is due */
rmr_dsw_stats sv_stats(srv *s);
tv *sv_case(srv *s, const char *list, const char *name);

#endif
