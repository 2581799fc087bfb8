/* The relay's parts and what they know of each other.  One file a subject:
 *   relay.c         life, the machine's four calls, the pump
 *   relay_config.c  the configuration, copied and checked
 *   relay_key.c     the private key and its blob
 *   relay_listen.c  listeners
 *   relay_conn.c    a connection: its stages, its end
 *   relay_stream.c  its bytes, with and without TLS
 *   relay_http.c    requests, and which answer they get
 *   relay_pages.c   the answers
 *   relay_websocket.c  DERP in WebSocket frames
 *   relay_switch.c  between connections and the switch
 *   relay_stun.c    STUN
 *   relay_verify.c  admission by URL
 *   relay_mesh.c    the other relays of the region
 *   relay_metrics.c the counters as text
 */
#ifndef REMORA_RELAY_INTERNAL_H
#define REMORA_RELAY_INTERNAL_H

#include <remora/derp_srv.h>
#include <remora/http1.h>
#include <remora/machine.h>
#include <remora/relay.h>
#include <remora/ring.h>
#include <remora/timer.h>
#include <remora/tls_srv.h>
#include <remora/websocket.h>

#define RL_LAYER "relay"
#define RL_MAX_ADDRS 8
#define RL_MAX_MESH 64
#define RL_MAX_NAMES 256
#define RL_CREDIT ((size_t)64 * 1024)      /* read ahead of a connection */
#define RL_HTTP_OUT_MAX ((size_t)64 * 1024) /* answers that wait */
#define RL_HTTP_TIMEOUT (30 * RMR_SEC)
#define RL_FINISH_TIMEOUT (2 * RMR_SEC)
#define RL_HOLD_TIMEOUT (10 * RMR_SEC)
#define RL_HOLD_AGAIN RMR_SEC /* behind that: may it still? */
#define RL_STOP_TIMEOUT (2 * RMR_SEC)

typedef struct rl_conn rl_conn;
typedef struct rl_verify rl_verify;
typedef struct rl_mesh rl_mesh;

/* ---- relay_listen.c ---------------------------------------------------- */

typedef enum rl_door {
    RL_DOOR_RELAY,   /* TLS, or plain where there is no certificate */
    RL_DOOR_HTTP,    /* port 80 */
    RL_DOOR_METRICS,
    RL_DOOR_STUN,
    RL_DOORS
} rl_door;

typedef struct rl_listener {
    rmr_relay *r;
    rmr_mc_io *io;
    rl_door door;
    rmr_addr at;
    rmr_time resume_at; /* it rests: no descriptors were left */
    bool open;
    rmr_ring out; /* STUN: answers that wait */
} rl_listener;

rmr_err rmri_relay_listen_start(rmr_relay *r);
void rmri_relay_listen_stop(rmr_relay *r);
void rmri_relay_listen_free(rmr_relay *r);
rmr_time rmri_relay_listen_deadline(const rmr_relay *r);
void rmri_relay_listen_handle_deadline(rmr_relay *r, rmr_time now);
void rmri_relay_listen_opened(rl_listener *l, const rmr_addr *local);
const char *rmri_relay_door_name(rl_door door);

/* ---- relay_conn.c ------------------------------------------------------ */

typedef enum rl_stage {
    RL_HTTP,
    RL_DERP,
    RL_WEBSOCKET,
    RL_DEAD    /* waits to be freed */
} rl_stage;

typedef enum rl_timer_kind {
    RL_TIMER_STAGE, /* HTTP, finish: the end of it */
    RL_TIMER_HOLD   /* it holds a TLS buffer for too long */
} rl_timer_kind;

/* Waiting for a buffer of the TLS pool.  One list for each lack: input's share
 * is the smaller one, and those that lack it must not be tried whenever output
 * has some. */
typedef enum rl_lack {
    RL_LACK_INPUT, /* or both */
    RL_LACK_OUTPUT,
    RL_LACKS
} rl_lack;

struct rl_conn {
    rmr_relay *r;
    rl_conn *prev, *next;       /* all */
    rl_conn *starved_prev, *starved_next; /* of the same lack */
    rmr_mc_io *io;
    rmr_tls *tls;
    rmr_h1 *h1;                 /* while requests are read */
    rmr_ws *ws;
    rmr_addr remote;
    rmr_timer timer, hold; /* of the two kinds */
    rmr_ring held; /* stream bytes that could not be taken yet */
    rmr_ring piece; /* WebSocket: unmasked bytes, not taken yet */
    rmr_ring out;  /* HTTP answers */
    rmr_dsw_client client;
    size_t given;  /* the switch's bytes in the send that is under way */
    rl_conn *verify_prev, *verify_next; /* wait for a free asker */
    struct rl_asker *asker;             /* asks for it now */
    rmr_time verify_by;                 /* until when it waits for one */
    uint8_t verify_key[RMR_KEY_LEN];
    bool verify_queued;
    rl_door door;
    rl_stage stage;
    bool blocked;  /* the switch takes nothing: reading rests */
    bool starved;
    rl_lack lack; /* starved: of what */
    bool finishing; /* what is queued goes out, then it closes */
    bool tls_shut;
    /* The request on hand. */
    bool is_head;     /* its answer has no body */
    bool last_answer; /* no request is read behind it */
    bool upgrade;     /* it becomes a stream */
    bool to_websocket, not_ideal;
};

void rmri_relay_conn_accept(rl_listener *l, rmr_time now, uint64_t child,
                            const rmr_addr *remote);
/* At once; RMR_E_TIMEOUT resets it.  The memory goes with the next pump. */
void rmri_relay_conn_end(rl_conn *c, rmr_time now, rmr_err why);
/* After what is queued was sent. */
void rmri_relay_conn_finish(rl_conn *c, rmr_time now);
/* The same, and the switch forgets it at once. */
void rmri_relay_conn_leave(rl_conn *c, rmr_time now, rmr_err why);
/* After each event: credit, timers, output. */
void rmri_relay_conn_settle(rl_conn *c, rmr_time now);
void rmri_relay_conn_starve(rl_conn *c);
void rmri_relay_conn_sate(rl_conn *c);
static inline bool rmri_relay_conn_reads(const rl_conn *c)
{
    return c->stage != RL_DEAD && !c->finishing;
}
void rmri_relay_conn_timer(rl_conn *c, rl_timer_kind kind, rmr_time now);
void rmri_relay_conn_set_timer(rl_conn *c, rmr_time at, rl_timer_kind kind);
void rmri_relay_conns_reap(rmr_relay *r);
void rmri_relay_conns_free(rmr_relay *r);

/* ---- relay_stream.c ---------------------------------------------------- */

extern const rmr_mc_io_ops rmri_relay_stream_ops;
/* Offers what was held once more. */
void rmri_relay_stream_resume(rl_conn *c, rmr_time now);
/* Those that found no TLS buffer, now that there may be some. */
void rmri_relay_starved_retry(rmr_relay *r, rmr_time now);

/* ---- relay_http.c, relay_pages.c --------------------------------------- */

/* Takes bytes of requests; *used of them.  An error: the connection ends. */
rmr_err rmri_relay_http_read(rl_conn *c, rmr_time now, rmr_bytes data,
                             size_t *used);
/* An answer with headers of its own; false: no room, the connection ends. */
bool rmri_relay_answer(rl_conn *c, uint16_t status, const char *reason,
                       const rmr_header *headers, size_t n_headers,
                       const rmr_bytes *body);
/* What a GET or HEAD of the path gets. */
bool rmri_relay_page(rl_conn *c, const rmr_h1_head *head,
                     rmr_bytes path, rmr_bytes query);
bool rmri_relay_text(rl_conn *c, uint16_t status, const char *reason,
                     const char *text);

/* ---- relay_switch.c ---------------------------------------------------- */

rmr_err rmri_relay_switch_new(rmr_relay *r, rmr_time now);
/* The upgrade is done: the connection becomes the switch's. */
rmr_err rmri_relay_switch_enter(rl_conn *c, rmr_time now);
rmr_err rmri_relay_switch_read(rl_conn *c, rmr_time now, rmr_buf data,
                               size_t *used);
size_t rmri_relay_switch_write(rl_conn *c, rmr_time now, rmr_buf dst);
/* Does what the switch wants. */
void rmri_relay_switch_pump(rmr_relay *r, rmr_time now);
/* Asks the host again whether those who are here still may be. */
rmr_time rmri_relay_review_deadline(const rmr_relay *r);
void rmri_relay_review(rmr_relay *r, rmr_time now);

/* ---- relay_websocket.c ------------------------------------------------- */

/* Answers a WebSocket's upgrade; false: no room. */
bool rmri_relay_websocket_accept(rl_conn *c, const rmr_h1_head *head);
rmr_err rmri_relay_websocket_read(rl_conn *c, rmr_time now, rmr_buf data,
                                  size_t *used);
/* Offers the switch what it did not take. */
rmr_err rmri_relay_websocket_resume(rl_conn *c, rmr_time now);
size_t rmri_relay_websocket_write(rl_conn *c, rmr_time now, rmr_buf dst);

/* ---- relay_stun.c ------------------------------------------------------ */

extern const rmr_mc_io_ops rmri_relay_stun_ops;

/* ---- relay_key.c ------------------------------------------------------- */

void rmri_relay_key_load(rmr_relay *r, rmr_time now);

/* ---- relay_verify.c ---------------------------------------------------- */

void rmri_relay_verify_pump(rmr_relay *r, rmr_time now);
rmr_err rmri_relay_verify_new(rmr_relay *r);
void rmri_relay_verify_free(rmr_relay *r);
void rmri_relay_verify_ask(rl_conn *c, rmr_time now,
                           const rmr_dsw_info *info);
/* The connection went: nobody waits for the answer. */
void rmri_relay_verify_forget(rl_conn *c);
rmr_time rmri_relay_verify_deadline(const rmr_relay *r);
void rmri_relay_verify_handle_deadline(rmr_relay *r, rmr_time now);
/* False: nobody is asked. */
bool rmri_relay_verify_counts(const rmr_relay *r, uint64_t *admitted,
                              uint64_t *refused, uint64_t *unreachable);

/* ---- relay_mesh.c ------------------------------------------------------ */

rmr_err rmri_relay_mesh_start(rmr_relay *r, rmr_time now);
void rmri_relay_mesh_free(rmr_relay *r);
void rmri_relay_mesh_pump(rmr_relay *r, rmr_time now);
rmr_time rmri_relay_mesh_deadline(const rmr_relay *r);
void rmri_relay_mesh_handle_deadline(rmr_relay *r, rmr_time now);
void rmri_relay_mesh_forward(rmr_relay *r, uint64_t forwarder,
                             const uint8_t src[RMR_KEY_LEN],
                             const uint8_t dst[RMR_KEY_LEN], rmr_bytes packet);

/* ---- the relay --------------------------------------------------------- */

typedef enum rl_phase {
    RL_PHASE_NEW,     /* waits for WALL */
    RL_PHASE_KEY,     /* waits for the blob */
    RL_PHASE_UP,
    RL_PHASE_STOPPING,
    RL_PHASE_STOPPED
} rl_phase;

typedef struct rl_name {
    char *host;
    rmr_addr *addrs;
    size_t n_addrs;
} rl_name;

typedef struct rl_counters {
    uint64_t accepted, rejected; /* connections of the relay's door */
    uint64_t stun_success, stun_not_stun, stun_dropped, stun_v4, stun_v6;
    uint64_t tls_handshakes, tls_requests;
    uint64_t admitted, refused; /* of those that somebody was asked about */
} rl_counters;

struct rmr_relay {
    rmr_env env;
    rmr_relay_callbacks cb;
    uint32_t in_callback;
    rl_phase phase;
    rmr_time now; /* the latest seen (T3) */
    rmr_time stop_deadline;
    rmr_err stop_err;
    bool dirty;
    bool ready_told;

    /* configuration, copied */
    uint8_t private_key[RMR_KEY_LEN], mesh_key[RMR_KEY_LEN];
    bool has_private_key, keep_key, has_mesh_key, insecure_http;
    bool verify_fail_closed;
    rmr_url verify_url;
    bool has_verify_url;
    uint64_t rate_bytes, rate_burst;
    uint32_t max_clients, restart_in_ms, restart_try_ms;
    rl_listener *listeners;
    size_t n_listeners, n_open;
    rmr_dial *mesh_dials;
    size_t n_mesh_dials;
    rl_name *names;
    size_t n_names;

    rmr_mc *mc;
    rmr_tls_anchors *anchors;
    rmr_gcm gcm; /* without a name: none on this machine */
    rmr_tls_identity *identity; /* NULL: plain HTTP */
    rmr_tls_pool *pool;
    rmr_timers timers;
    rmr_dsw *sw;
    rmr_time review_at;
    uint8_t public_key[RMR_KEY_LEN];

    rl_conn *conns;
    size_t n_conns;
    rl_conn *dead;
    rl_conn *starved_head[RL_LACKS], *starved_tail[RL_LACKS];

    rmr_mc_key *key; /* while it is loaded */

    rl_verify *verify;
    rl_mesh *mesh;
    size_t n_mesh;
    rl_counters count;
};

static inline void rmri_relay_stir(rmr_relay *r)
{
    r->dirty = true;
}

/* relay.c */
void rmri_relay_fail(rmr_relay *r, rmr_time now, rmr_err err,
                     const char *text);
void rmri_relay_trouble(rmr_relay *r, rmr_err err, const char *text);
void rmri_relay_tell(rmr_relay *r, const rmr_relay_event *ev);
void rmri_relay_key_ready(rmr_relay *r, rmr_time now);
/* relay_config.c */
rmr_err rmri_relay_config_take(rmr_relay *r, const rmr_relay_config *cfg);
void rmri_relay_config_free(rmr_relay *r);

#endif
