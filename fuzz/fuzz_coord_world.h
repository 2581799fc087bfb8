/* The coordination server in front of a fuzzer: what its files share.
 *   fuzz_coord.c         programs of steps, what is checked behind each
 *   fuzz_coord_adapter.c its listeners, turns, time
 *   fuzz_coord_world.c   its streams, beginning and end
 *   fuzz_coord_client.c  clients: HTTP/1.1, Noise, requests, map streams
 */
#ifndef REMORA_FUZZ_COORD_WORLD_H
#define REMORA_FUZZ_COORD_WORLD_H

#include "fake_store.h"
#include "fuzz_coord_adapter.h"
#include "support.h"
#include "ts_client.h"

#define CLIENTS 6
#define ANSWERS 8
#define NODES_MAX 12
#define LOGINS_MAX 4
#define CONNECTIONS_MAX 9

typedef enum fw_policy { /* in force */
    FW_ISOLATED, /* there is none           */
    FW_ALL,      /* {}                      */
    FW_ALICE,    /* hers reach hers         */
    FW_TAGGED,   /* all reach tag:t         */
    FW_POLICIES
} fw_policy;

typedef struct world world;
typedef struct client client;

typedef struct answer { /* of a request inside Noise */
    client *of;
    bool used, stream, zstd, began;
    uint16_t status;
    uint8_t node[RMR_KEY_LEN]; /* whose map stream it is */
    uint8_t frame[24 * 1024];
    size_t len;
    uint64_t known[4]; /* ids of peers that it was told, by bits */
} answer;

struct client {
    world *w;
    uint64_t id; /* of its connection; 0: there is none */
    bool stands, sending;
    uint8_t machine; /* its key's number */
    bool inside;     /* Noise */
    bool wraps;      /* ... in WebSocket frames, which it does not read */
    ts_client ts;
    rmr_h2 *h2; /* NULL: its frames are the fuzzer's */
    uint8_t got[1024]; /* in front of the records */
    size_t n_got;
    answer answers[ANSWERS];
    unsigned turn;
};

struct world {
    test_alloc mem;
    test_rng rng;
    fake_store store;
    rmr_coord *coord;
    fa_adapter io;
    bool open, stores, trusts;
    bool lags; /* somebody stood still: frames may be old when they come */
    fw_policy policy;
    rmr_coord_stats seen;
    uint8_t public_key[RMR_KEY_LEN];
    char auth[4][RMR_COORD_KEY_TEXT], login[RMR_COORD_LOGIN_TEXT];
    char check[RMR_COORD_LOGIN_TEXT]; /* of SSH, the last */
    client c[CLIENTS];
};

/* ---- fuzz_coord_world.c -------------------------------------------------- */

void fw_begin(world *w, uint8_t options);
/* Ends the server and begins it again from its store. */
void fw_restart(world *w);
void fw_end(world *w);
/* What is due now, too: commits are. */
void fw_turn(world *w);

/* ---- fuzz_coord_client.c ------------------------------------------------- */

void fw_connect(client *c, unsigned door, unsigned from);
/* Bytes as they are. */
void fw_say(client *c, const uint8_t *p, size_t n);
/* The upgrade with a good handshake; `how`: its form. */
void fw_join(client *c, uint8_t machine, unsigned how);
/* Plaintext as a record. */
void fw_inside(client *c, const uint8_t *p, size_t n);
/* A request by its own HTTP/2. */
void fw_ask(client *c, const char *path, rmr_bytes body, const uint8_t *node,
            bool stream, bool zstd);
void fw_get(client *c, const char *path);
/* What the server sent it. */
void fw_hears(client *c, rmr_bytes data);
void fw_gone(client *c);
void fw_pump(client *c);

#endif
