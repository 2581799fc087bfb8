/* The coordination server without a network: the test is its adapter, and a
 * client that speaks TS2021 to it. */
#ifndef REMORA_TESTS_CRD_RIG_H
#define REMORA_TESTS_CRD_RIG_H

#include <remora/coord.h>

#include "support.h"
#include "ts_client.h"

#define RIG_CONNS 40
#define RIG_BYTES ((size_t)1 << 20)
#define RIG_ANSWERS 24

typedef struct rig_conn {
    uint64_t id; /* 0: free */
    uint8_t *got; /* what the server sent and nobody took */
    size_t n_got;
    bool closed; /* by the server */
} rig_conn;

typedef struct rig {
    test_alloc heap;
    test_rng rng;
    rmr_coord *coord;
    rmr_machine m;
    rmr_time now;
    uint64_t listeners[4], next_child; /* in the order they were opened */
    int n_listeners;
    rig_conn conns[RIG_CONNS];
    uint8_t public_key[RMR_KEY_LEN];
    char login[RMR_COORD_LOGIN_TEXT], login_host[256];
    bool stands; /* clients take nothing of what is sent */
    uint64_t sending;
    bool refuses; /* the last connection was refused */
    size_t n_closed; /* of those that are not in conns */
    test_log log;
    bool stopped;
} rig;

/* A config of a server at an address, without relays. */
void rig_config(rmr_coord_config *cfg);
/* cfg NULL: that one. */
void rig_init(rig *r, const rmr_coord_config *cfg);
void rig_free(rig *r);
rig_conn *rig_open(rig *r);
/* At another of its listeners. */
rig_conn *rig_open_at(rig *r, int listener);
/* From another address than 127.0.0.1. */
rig_conn *rig_open_from(rig *r, int listener, const rmr_addr *from);
/* One of which nothing is kept. */
uint64_t rig_knock(rig *r, const rmr_addr *from);
void rig_send(rig *r, rig_conn *c, const void *p, size_t n);
void rig_text(rig *r, rig_conn *c, const char *text);
/* The client goes: in order, or with a reset. */
void rig_leave(rig *r, rig_conn *c, bool in_order);
/* The server's operations, until it has none. */
void rig_turn(rig *r);
/* While r->stands: the client takes what was sent last. */
void rig_goes_on(rig *r);
/* Time passes, with the deadlines in it. */
void rig_wait(rig *r, rmr_dur d);
/* Takes the first n bytes out. */
void rig_take(rig_conn *c, size_t n);

/* ---- a client ------------------------------------------------------------ */

typedef struct rig_answer {
    int32_t id;
    uint16_t status;
    char body[32768];
    size_t len;
    bool over;
    rmr_err why;
} rig_answer;

typedef struct rig_client {
    rig *r;
    rig_conn *c;
    ts_client ts;
    rmr_h2 *h2;
    rig_answer answers[RIG_ANSWERS];
    int n_answers;
    char refusal[128]; /* the error frame's text */
} rig_client;

/* The upgrade and the handshake with that machine key's first byte; false:
 * refused. */
bool rig_join(rig_client *cl, rig *r, uint8_t machine, uint16_t version);
bool rig_join_from(rig_client *cl, rig *r, uint8_t machine, uint16_t version,
                   const rmr_addr *from);
/* Bytes inside Noise, in the place of what its own HTTP/2 would say. */
void rig_inside(rig_client *cl, const void *p, size_t n);
/* Sends a request and lets the server work; the answer may be open. */
rig_answer *rig_ask(rig_client *cl, const char *path, const char *body);
/* Gives the server what the client has to say, and reads what it says. */
void rig_pump(rig_client *cl);
void rig_part(rig_client *cl);

#endif
