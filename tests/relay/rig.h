/* A relay with a scripted adapter: no sockets, a virtual clock, streams that
 * are buffers.  DERP clients are our own, so that both sides meet. */
#ifndef REMORA_RELAY_RIG_H
#define REMORA_RELAY_RIG_H

#include "support.h"

#include <remora/derp.h>
#include <remora/relay.h>
#include <remora/tls.h>

#define RIG_STREAMS 64
#define RIG_BLOB_MAX 256

typedef struct rig_stream {
    uint64_t id;
    bool used, closed, aborted;
    bool dialled; /* by the relay: to `to`; not answered yet */
    rmr_addr to;
    bool stalled; /* takes one send and no more */
    bool sending;
    size_t credit;
    size_t sends; /* STREAM_SENDs */
    uint8_t *out; /* what the relay sent */
    size_t out_len, out_cap;
} rig_stream;

typedef struct rig_door {
    uint64_t id;
    rmr_addr at;
    bool open, closed, paused;
    rmr_dur unacked; /* what its streams may have so */
} rig_door;

typedef struct rig {
    test_alloc alloc;
    test_rng rng;
    test_log log;
    rmr_env env;
    rmr_time now;
    rmr_relay_callbacks cb;
    rmr_relay *relay;
    rmr_machine m;
    uint8_t scratch[RMR_IO_SCRATCH_MIN];
    rig_stream s[RIG_STREAMS];
    rig_door door[16];
    size_t n_doors;
    uint64_t last_child;
    rmr_err listen_err; /* LISTEN fails like this */
    /* the key's blob */
    uint8_t blob[RIG_BLOB_MAX];
    size_t blob_len;
    bool has_blob;
    rmr_err load_err, store_err;
    /* datagrams that it sent */
    uint8_t udp[128];
    size_t udp_len, n_udp;
    rmr_addr udp_to;
    /* events */
    int ready, failed, trouble, stopped_events;
    uint8_t key[32]; /* public, of READY */
    bool stopped;
    rmr_err stop_err, failed_err;
} rig;

/* Plain HTTP at port 3340, metrics at 9090, STUN at 3478. */
void rig_config(rig *r, rmr_relay_config *cfg);
void rig_init(rig *r);
rmr_err rig_new(rig *r, const rmr_relay_config *cfg);
/* The three at once; asserts that it is ready. */
void rig_start(rig *r);
/* Frees; asserts that nothing is left in memory. */
void rig_end(rig *r);

void rig_turn(rig *r);
/* By the relay's own deadlines. */
void rig_run(rig *r, rmr_dur d);
void rig_stop_request(rig *r);

/* A stream that came in at the door of that port. */
rig_stream *rig_connect(rig *r, uint16_t port);
rig_stream *rig_connect_from(rig *r, uint16_t port, const char *ip);
void rig_give(rig *r, rig_stream *s, const void *data, size_t len);
void rig_say(rig *r, rig_stream *s, const char *text);
void rig_eof(rig *r, rig_stream *s);
void rig_reset(rig *r, rig_stream *s);
/* A stalled stream takes on. */
void rig_unstall(rig *r, rig_stream *s);
/* What it sent, as text (NUL-terminated). */
const char *rig_out(rig_stream *s);
void rig_drop_out(rig_stream *s);
/* A stream that the relay dials and that is not answered yet, or NULL. */
rig_stream *rig_dialled(rig *r);
void rig_answer_dial(rig *r, rig_stream *s, rmr_err err);
void rig_datagram(rig *r, const rmr_addr *from, const void *data, size_t len);

/* ---- DERP clients ------------------------------------------------------ */

typedef struct rig_client {
    rig *r;
    rmr_derp *d;
    rig_stream *s;
    rmr_tls *tls;
    size_t seen; /* of s->out */
    uint8_t private_key[32], key[32];
    bool up;
    rmr_err down;
    uint8_t got[70000], from[32];
    size_t got_len, n_got;
    uint8_t gone[32];
    int gone_reason, n_gone;
} rig_client;

/* Connects, upgrades and logs in; `tls`: over TLS, any certificate. */
void rig_client_open(rig *r, rig_client *c, uint8_t seed, bool tls);
/* Both sides talk until they are quiet. */
void rig_client_run(rig_client *c);
void rig_client_send(rig_client *c, const uint8_t to[32], const void *data,
                     size_t len);
void rig_client_free(rig_client *c);

#endif
