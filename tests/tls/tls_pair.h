/* Our client and our server, joined in memory. */
#ifndef REMORA_TEST_TLS_PAIR_H
#define REMORA_TEST_TLS_PAIR_H

#include <remora/tls_srv.h>

#include "support.h"
#include "tls_peer.h"

#define WIRE_MAX (256 * 1024)

/* What is done to the pool's idle buffers after each call. */
typedef enum pair_harm {
    PAIR_KEEP,
    PAIR_SCRIBBLE, /* they are written over */
    PAIR_TAKE,     /* they are freed: whoever still looks there is caught */
} pair_harm;

typedef struct tls_side {
    rmr_tls *t;
    uint8_t wire[WIRE_MAX]; /* that came from the other, not taken yet */
    size_t wire_len;
    uint8_t got[WIRE_MAX]; /* plaintext */
    size_t got_len;
    bool deaf;   /* leaves plaintext where it is   */
    rmr_err err; /* the first of read and write    */
} tls_side;

typedef struct tls_pair {
    test_alloc a;
    test_rng r;
    rmr_env env;
    rmr_tls_identity *id;
    rmr_tls_pool *pool;
    pair_harm harm;
    const rmr_gcm *client_gcm, *server_gcm;
    tls_side c, s;
} tls_pair;

typedef struct pair_config {
    const char *chain, *key; /* NULL: leaf-ec.pem and ec.key */
    size_t pool;             /* buffers; 0: no pool */
    bool pool_for_client;
    pair_harm harm;
    uint64_t seed;
    const rmr_gcm *client_gcm, *server_gcm; /* NULL: BearSSL's records */
} pair_config;

rmr_err pair_identity(tls_pair *p, const char *chain, const char *key,
                      rmr_tls_identity **out);
/* Everything but the two connections. */
void pair_init(tls_pair *p, const pair_config *cfg);
rmr_err pair_new_client(tls_pair *p, bool with_pool);
rmr_err pair_new_server(tls_pair *p);
/* All of it, and the handshake. */
void pair_open(tls_pair *p, const pair_config *cfg, size_t step);
/* Checks that nothing leaked. */
void pair_free(tls_pair *p);

/* One write of `from`, one read of `to`, at most `step` bytes each; whether
 * anything moved. */
bool pair_move(tls_pair *p, tls_side *from, tls_side *to, size_t step);
/* Until nothing moves; the first error. */
rmr_err pair_pump(tls_pair *p, size_t step);
/* All of it; pumps when the side takes no more. */
void pair_send(tls_pair *p, tls_side *from, const void *data, size_t len,
               size_t step);

#endif
