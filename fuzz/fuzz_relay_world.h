/* The relay in front of a fuzzer: what its files share.
 *   fuzz_relay.c          programs of steps
 *   fuzz_relay_adapter.c  the adapter, and time
 *   fuzz_relay_say.c      what clients say
 *   fuzz_relay_hear.c     what they hear
 *   fuzz_relay_sent.c     what was sent, and who may get it
 *   fuzz_relay_others.c   whom the relay dials; STUN
 *   fuzz_relay_check.c    what must hold
 */
#ifndef REMORA_FUZZ_RELAY_WORLD_H
#define REMORA_FUZZ_RELAY_WORLD_H

#include <remora/derp_srv.h>

#include "need.h"
#include "relay_internal.h"
#include "support.h"

#define CLIENTS 6
#define KEYS 5 /* the last one is at the mesh, or nowhere */
#define LOCAL_KEYS 4
#define DIALS 12
#define IN_MAX ((size_t)160 * 1024) /* on its way to the relay */
#define SENT_MAX 4096
#define CIPHER_MAX ((size_t)160 * 1024) /* what a client did not hear yet */
#define RECORD_ROOM ((size_t)17 * 1024)
#define DIAL_CREDIT ((size_t)256 * 1024) /* of the machine kit's links */
#define FRAME_MAX ((size_t)5 + 64 + 65536 + 64)
#define STALL_MAX (100 * RMR_SEC) /* a keep-alive, and its write deadline */

typedef struct stream {
    uint64_t id; /* 0: there is none */
    bool dialling, stalled, sending, shut, ended;
    rmr_time sending_since, dial_by;
    uint16_t port; /* it was dialled to */
    size_t credit, in_len;
    uint8_t in[IN_MAX];
} stream;

typedef struct frames { /* DERP frames as they pass */
    uint8_t head[5], body[64];
    size_t head_len;
    uint32_t body_len, got;
    uint64_t sum; /* of the payload */
} frames;

typedef struct client {
    int key;
    /* What it says. */
    bool wild; /* it said what this program does not follow */
    bool derp_out, ws_out, logged_in, exempt;
    frames out;
    rmr_tls *tls; /* NULL: plain */
    size_t plain_len, cipher_len;
    /* What it hears. */
    bool derp_in, ws_in, up;
    unsigned asked, answered, fast_after;
    char head[1024];
    size_t head_len, body_left, ws_left;
    uint8_t ws_head[10];
    size_t ws_head_len;
    frames in;
    stream s;
    uint8_t plain[IN_MAX], cipher[CIPHER_MAX]; /* to and from its TLS */
} client;

typedef struct dial {
    stream s;
    bool head_done; /* the mesh's request is over */
    uint32_t head_tail;
    frames out;
} dial;

typedef struct sent {
    uint64_t sum;
    unsigned n;
} sent;

typedef struct world {
    test_alloc mem;
    test_rng rng;
    rmr_relay *relay;
    rmr_machine m;
    rmr_time now;
    size_t step, base_bytes;
    uint64_t last_child;
    uint64_t door[RL_DOORS];
    bool stopped, verify_closed, has_tls;
    rmr_env client_env; /* of their TLS: its memory does not fail */
    test_alloc client_mem;
    test_rng client_rng;
    bool muddled[LOCAL_KEYS]; /* what it sends may be anything */
    bool any_muddled_mesh;
    unsigned yes; /* of "true", in order, from the verification URL */
    client c[CLIENTS];
    dial d[DIALS];
    sent sent[SENT_MAX];
    size_t n_sent;
    uint8_t scratch[RMR_IO_SCRATCH_MIN];
} world;

typedef struct fr_all_keys {
    bool made;
    uint8_t relay_private[32], relay_public[32];
    uint8_t public_key[KEYS][32], shared[KEYS][32];
    uint8_t mesh_public[32], mesh_shared[32];
} fr_all_keys;

extern fr_all_keys fr_keys;

/* ---- fuzz_relay_sent.c --------------------------------------------------- */

void fr_make_keys(void);
void fr_note_arrived(world *w, uint64_t sum, const uint8_t *src);
/* One byte more; true: a frame is whole with it. */
bool fr_follow(frames *f, uint8_t byte);
uint64_t fr_packet_sum(const frames *f, const uint8_t src[32],
                       const uint8_t dst[32]);
/* What a client says; its packets are noted.  Cut ones may become anything. */
void fr_follow_out(world *w, client *c, const uint8_t *p, size_t n);

/* ---- fuzz_relay_hear.c --------------------------------------------------- */

void fr_tls_out(client *c);
void fr_hear_stream(world *w, client *c, rmr_bytes data);
/* What the relay says to the other relay: packets for the keys it claimed. */
void fr_hear_mesh(world *w, dial *d, rmr_bytes data);

/* ---- fuzz_relay_adapter.c ------------------------------------------------ */

void fr_give(world *w, const rmr_io_event *ev);
void fr_answer(world *w, rmr_io_event_kind kind, uint64_t id, rmr_err err);
void fr_stream_begin(stream *s, uint64_t id);
void fr_turn(world *w);
/* TLS answers what it heard. */
void fr_deliver_client(world *w, client *c);
void fr_deliver_all(world *w);
/* All or nothing: a stream has no holes. */
bool fr_say(stream *s, const uint8_t *p, size_t n);
/* The same through TLS, where there is some. */
bool fr_say_client(client *c, const uint8_t *p, size_t n);
void fr_sleep_for(world *w, rmr_dur d);

/* ---- fuzz_relay_say.c ---------------------------------------------------- */

void fr_client_open(world *w, client *c, rl_door door, bool noise);
void fr_client_close(world *w, client *c, bool reset);
void fr_put_head(uint8_t *p, uint8_t type, size_t len);
void fr_say_frame(world *w, client *c, uint8_t type, const uint8_t *body,
                  size_t n, size_t claimed);
void fr_request(client *c, uint8_t arg);
void fr_upgrade(client *c, uint8_t arg);
void fr_login(world *w, client *c, uint8_t arg, const uint8_t *p, size_t n);
/* A packet to any key, of any length, of disco or not. */
void fr_send_packet(world *w, client *c, uint8_t arg, const uint8_t *p,
                    size_t n);
void fr_control(world *w, client *c, uint8_t arg);

/* ---- fuzz_relay_others.c ------------------------------------------------- */

void fr_close_dial(world *w, stream *s, uint8_t arg);
/* One of the streams that the relay dialled. */
void fr_others(world *w, uint8_t op, uint8_t arg, const uint8_t *p, size_t n);
void fr_stun(world *w, uint8_t arg, const uint8_t *p, size_t n);
void fr_outside(world *w, uint8_t arg);

/* ---- fuzz_relay_check.c -------------------------------------------------- */

void fr_check(world *w);
/* Nothing that a client said lies for ever: it is read, or the client ends. */
void fr_check_progress(world *w);
void fr_check_empty(world *w);

#endif
