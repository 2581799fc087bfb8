/* Inside the TS2021 client. */
#ifndef REMORA_CONTROL_CTL_INTERNAL_H
#define REMORA_CONTROL_CTL_INTERNAL_H

#include <remora/control.h>
#include <remora/h2.h>
#include <remora/http1.h>
#include <remora/json.h>
#include <remora/noise.h>
#include <remora/text.h>
#include <remora/websocket.h>

#include <remora/ts2021.h>
#include "ctl_zstd.h"
#include "nm_internal.h"
#include "str.h"
#include "vec.h"

#define CTL_SETUP_TIMEOUT (10 * RMR_SEC)    /* key, upgrade, handshake in all */
#define CTL_REGISTER_TIMEOUT (30 * RMR_SEC) /* not while a login is awaited */
#define CTL_FOLLOWUP_TIMEOUT (20 * 60 * RMR_SEC)
#define CTL_UPDATE_TIMEOUT (30 * RMR_SEC)
#define CTL_PING_TIMEOUT (15 * RMR_SEC)
#define CTL_PING_BODY 4096
#define CTL_WATCHDOG (120 * RMR_SEC)
#define CTL_FULL_WAIT (100 * RMR_MS)
#define CTL_BACKOFF_UNIT (10 * RMR_MS) /* times n squared */
#define CTL_BACKOFF_MAX (30 * RMR_SEC)
#define CTL_STEADY                                                             \
    (30 * RMR_SEC) /* a stream that lived so long was a success */
#define CTL_MAX_FRAME ((uint64_t)64 << 20)
#define CTL_MAX_EARLY ((uint32_t)10 << 20)
#define CTL_MAX_KEY_BODY (64 * 1024)
#define CTL_MAX_REPLY ((size_t)1 << 20)
#define CTL_MAX_HELD ((size_t)2 << 20) /* above the window of a stream */
#define CTL_MAX_ENDPOINTS 64
#define CTL_MAX_LATENCIES 64
#define CTL_TRI 8 /* values that may be unknown */
#define CTL_PROTOCOL "tailscale-control-protocol"
#define CTL_WS_HEADERS 5
#define CTL_TEXT 512
#define CTL_WORDS 256
#define CTL_TAGS 1024
#define CTL_URL_MAX 1024
#define CTL_SCRATCH 4096

typedef enum ctl_phase {
    PH_IDLE,    /* backs off until `retry_at` */
    PH_WANT,    /* rmr_ctl_wants_stream will answer true */
    PH_DIALING, /* the host dials */
    PH_KEY,     /* GET /key */
    PH_UPGRADE, /* POST /ts2021 */
    PH_NOISE,   /* waits for message 2 */
    PH_EARLY,   /* records; the first nine bytes are not here yet */
    PH_HTTP2,
    PH_FAILED
} ctl_phase;

typedef enum ctl_kind {
    REQ_REGISTER,
    REQ_MAP,
    REQ_UPDATE,
    REQ_PING,
    REQS
} ctl_kind;

typedef struct ctl_request { /* one at a time of each kind */
    int32_t stream;          /* 0: none */
    uint16_t status;         /* 0: no head yet */
    rmr_time deadline;
    /* The beginning of an answer that is not 200, of CTL_WORDS; NULL: nothing
     * came of it. */
    char *body;
    size_t body_len;
} ctl_request;

typedef struct ctl_net { /* rmr_ctl_net, with the lists in vectors */
    uint16_t home_derp;
    int8_t tri[CTL_TRI]; /* 1, 0, -1 */
    bool have_port_map;
    char link_type[32], firewall_mode[32];
    rmri_ctl_vec endpoints; /* rmr_ctl_endpoint */
    rmri_ctl_vec latencies; /* rmr_ctl_latency */
} ctl_net;

typedef struct ctl_reply { /* RegisterResponse */
    char error[CTL_TEXT];
    char auth_url[CTL_URL_MAX];
    char login[NM_TEXT_MAX], display[NM_TEXT_MAX], user_display[NM_TEXT_MAX];
    bool has_error, expired, has_signature, bad_url;
} ctl_reply;

/* What is needed while a connection is set up, or a RegisterResponse is read:
 * not by a map stream that runs. */
typedef struct ctl_work {
    rmr_json_bind json; /* of /key or a RegisterResponse */
    ctl_reply reply;
    rmr_noise noise;
    uint8_t scratch[CTL_SCRATCH];
    uint8_t hello[RMR_TS_FRAME_MAX]; /* the frame that answers message 1 */
    char h1_word[CTL_TEXT];          /* Upgrade or Location of an answer */
    char body[320];                  /* the beginning of its body */
} ctl_work;

typedef struct ctl_ws ctl_ws;

/* What fails on its own, and is tried again ever more rarely on its own. */
typedef enum ctl_loop { LOOP_DIAL, LOOP_REGISTER, LOOP_MAP, LOOPS } ctl_loop;

typedef struct ctl_ping { /* the answer to a PingRequest */
    bool is_post;
    char path[1024];
    uint8_t body[CTL_PING_BODY];
    size_t body_len;
} ctl_ping;

struct rmr_ctl {
    rmr_env env;
    rmr_alloc wiping; /* env.alloc, but what is released is cleared first */
    rmr_ctl_callbacks cb;
    rmr_nm *nm;
    rmr_ctl_stats stats;
    bool busy; /* within a pump */
    rmr_time now;

    /* the connection */
    ctl_phase phase;
    bool has_stream; /* the host has one open */
    bool want_close;
    bool redial;   /* close, and go on with another stream at once */
    rmr_err dying; /* the pump ends with this failure */
    rmr_time setup_deadline, retry_at;
    uint32_t failures[LOOPS]; /* in a row */
    rmr_h1 *h1;
    uint16_t h1_status;
    bool h1_keep_alive, h1_done;
    /* The form of the upgrade: POST, or a WebSocket where a proxy breaks that.
     * What worked last is tried first; the other one once, at once. */
    bool by_ws, ws_worked, other_tried;
    /* The attempt goes by the dial plan; it has, and the name is next. */
    bool by_plan, plan_tried;
    bool ws_accepted;   /* by the head of the answer */
    rmr_err form_err;   /* of the first form; told when both fail */
    ctl_ws *ws; /* NULL: not in that form */
    ctl_work *work;         /* NULL: not needed now */
    rmr_err json_err;
    size_t json_len;
    bool found;
    size_t body_len; /* of work->body */
    size_t hello_len; /* of work->hello */
    rmr_ts_record record;
    uint8_t early[9];
    size_t early_len;
    uint32_t early_skip;
    rmr_h2 *h2;
    rmr_h2_frame *h2_frame; /* of the host; NULL: none */
    rmr_ctl_decoder *decoder; /* likewise */
    uint8_t *out; /* RMR_TS_FRAME_MAX, or NULL: nothing waits to be sent */
    size_t out_len, out_pos;

    /* requests */
    ctl_request req[REQS];
    bool registered, need_register, told_login;
    bool is_held; /* no registration yet */
    bool sent_auth_key;   /* in the register request that runs */
    rmr_time register_at; /* not before this (429, the same AuthURL again) */
    uint32_t same_url;
    char *auth_url; /* awaited login, CTL_URL_MAX; NULL or "": none */
    bool login_is_old; /* it is of before the start, and not confirmed yet */
    bool map_refused;           /* the map request was, since registration */
    bool update_due;
    rmr_time update_at;
    uint32_t update_failures;

    ctl_ping *ping;      /* NULL: no answer is due */

    /* the map stream */
    bool map_open;      /* its head came */
    rmr_time map_since; /* first netmap of the stream; NEVER: none yet */
    uint8_t frame_head[4];
    size_t frame_head_len;
    uint32_t frame_left;
    uint64_t frame_out; /* decoded bytes of this frame */
    bool in_frame, frame_plain, frame_raw, frame_begun;
    rmri_ctl_zstd *zstd;
    /* The server asks to be left alone: what comes meanwhile is held, and no
     * window given for it (ctl_sleep.c). */
    rmr_time sleep_until;
    rmri_ctl_vec held;
    bool ask_plain;     /* the window was too large: ask again uncompressed */
    rmr_dur last_quiet; /* silence before the last two ends: a proxy's limit? */

    /* seldom looked at: behind what each turn needs, which is not in the cache
     * of an idle program */
    char *text; /* of the failure that ends the pump; kept (remora/text.h) */
    char *form_text, *held_text;
    rmr_dial_plan *plan; /* with the port; NULL: none was needed yet */
    char ws_key[RMR_WS_KEY_LEN + 1];
    uint8_t found_key[RMR_KEY_LEN];
    uint8_t ping_url[RMR_HASH_LEN]; /* hash of the last that was asked for */

    /* configuration */
    bool https;
    uint16_t port;
    char *host, *authority;
    char *base; /* path before /key and /machine, without final '/' */
    char *auth_key; /* NULL: none, or used up */
    size_t auth_key_size;
    char *hostname, *os, *os_version, *product;
    bool shields_up;
    bool ephemeral, accept_key, compress, keep_auth_key;
    char *tags; /* each ends with a zero byte, the last with two; NULL: none */
    size_t tags_size;
    uint8_t machine_key[RMR_KEY_LEN];
    uint8_t node_key[RMR_KEY_LEN], old_node_key[RMR_KEY_LEN]; /* public */
    /* The key that the server knows: polls go on with it while a new node_key
     * is being registered. */
    uint8_t map_key[RMR_KEY_LEN];
    bool has_map_key;
    bool key_is_new;  /* node_key was set, and is not registered yet */
    bool logging_out; /* the register request is one to log out */
    bool logged_out;  /* the pump ends with that */
    rmr_err logout_err;
    uint8_t disco_key[RMR_KEY_LEN];
    uint64_t wall_ns; /* at wall_at */
    rmr_time wall_at;
    ctl_net net;
    rmr_prefix *routes; /* that we offer */
    size_t n_routes;
    char exit_node_id[64]; /* "": none */
    uint16_t peerapi[2];   /* ports, IPv4 and IPv6; 0: none */

    /* the server's key */
    uint8_t server_key[RMR_KEY_LEN];
    bool has_server_key;
    bool is_pinned;    /* configured, or a handshake with it succeeded */
    bool key_untold;   /* on_server_key is due when the handshake succeeds */
    bool fetch_key;    /* GET /key comes first */
    bool key_is_fresh; /* fetched since the last failure */
    rmr_err held_err;  /* a failed handshake, told if the key did not change */
};

/* ---- ctl.c ------------------------------------------------------------ */

void rmri_ctl_emit(rmr_ctl *c, rmr_ctl_state state, rmr_err err,
                   const char *text);
/* The pump that runs ends the connection with this failure; the first counts.
 * printf-like details for the user, "" for the plain sentence. */
void rmri_ctl_die(rmr_ctl *c, rmr_err err, const char *fmt, ...)
    RMR_PRINTF(3, 4);
/* One more failure of that loop: how long it waits.  Errors: RNG. */
rmr_err rmri_ctl_failed(rmr_ctl *c, ctl_loop loop, rmr_dur *wait);
/* n squared times 10 ms, at most 30 s, times 0.5 ... 1.5.  Errors: RNG. */
rmr_err rmri_ctl_backoff(rmr_ctl *c, uint32_t n, rmr_dur *out);
const char *rmri_ctl_auth_url(const rmr_ctl *c);
/* Errors: NOMEM. */
rmr_err rmri_ctl_set_auth_url(rmr_ctl *c, const char *url);
/* None is awaited.  Its memory stays until the pump
 * ends: a callback may be looking at it. */
void rmri_ctl_clear_auth_url(rmr_ctl *c);
/* Errors: NOMEM. */
rmr_err rmri_ctl_work_new(rmr_ctl *c);
void rmri_ctl_work_free(rmr_ctl *c);
/* Room in c->out, whatever stood there.  Errors: NOMEM. */
rmr_err rmri_ctl_out_new(rmr_ctl *c);
void rmri_ctl_out_free(rmr_ctl *c);
/* Appends what is to be sent, below a WebSocket if there is one. */
rmr_err rmri_ctl_write_plain(rmr_ctl *c, rmr_buf dst, size_t *len);
/* A text of c; it is lost where there is no memory for it. */
void rmri_ctl_say(rmr_ctl *c, char **slot, const char *text);
uint64_t rmri_ctl_wall(const rmr_ctl *c);
/* What a server said, made fit for a message: no control characters, and never
 * our auth key, which some servers echo. */
void rmri_ctl_server_words(const rmr_ctl *c, char *dst, size_t cap,
                           rmr_bytes text);

/* ---- ctl_conn.c ------------------------------------------------------- */

void rmri_ctl_conn_opened(rmr_ctl *c);
void rmri_ctl_conn_read(rmr_ctl *c, rmr_buf in);
void rmri_ctl_conn_eof(rmr_ctl *c, rmr_err why, const char *text);
void rmri_ctl_conn_drop(rmr_ctl *c);

/* ---- ctl_noise.c ------------------------------------------------------ */

/* The X-Tailscale-Handshake value.  Errors: RNG, AUTH. */
rmr_err rmri_ctl_noise_begin(rmr_ctl *c,
                             char b64[RMR_BASE64_LEN(RMR_TS_INIT_LEN) + 1]);
void rmri_ctl_noise_read(rmr_ctl *c, rmr_buf in);
/* The handshake came to nothing: look for a new key of the server first. */
void rmri_ctl_handshake_failed(rmr_ctl *c, const char *text);
rmr_err rmri_ctl_noise_write(rmr_ctl *c, rmr_buf dst, size_t *len);

/* ---- ctl_h2.c --------------------------------------------------------- */

rmr_err rmri_ctl_h2_begin(rmr_ctl *c);
/* Sends the requests that are due. */
void rmri_ctl_h2_kick(rmr_ctl *c);
rmr_time rmri_ctl_h2_deadline(const rmr_ctl *c);
void rmri_ctl_h2_handle_deadline(rmr_ctl *c);
void rmri_ctl_h2_drop(rmr_ctl *c);
/* Another request may use it. */
void rmri_ctl_request_clear(rmr_ctl *c, ctl_request *r);
rmr_bytes rmri_ctl_request_words(const ctl_request *r);
/* Forgets a request; its stream is cancelled. */
void rmri_ctl_h2_cancel(rmr_ctl *c, ctl_kind kind);

/* ---- ctl_register.c --------------------------------------------------- */

rmr_err rmri_ctl_register_send(rmr_ctl *c);
/* A login that is awaited goes without it, and so does the question whether a
 * registered key is still good: a node that was deleted stays so. */
bool rmri_ctl_sends_auth_key(const rmr_ctl *c);
void rmri_ctl_register_begin(rmr_ctl *c); /* its body follows */
void rmri_ctl_register_body(rmr_ctl *c, rmr_bytes data);
void rmri_ctl_register_end(rmr_ctl *c);
/* No answer that means anything.  Beside a map stream that runs it is asked
 * again alone; else the connection is made anew. */
void rmri_ctl_register_failed(rmr_ctl *c, rmr_err err, const char *text);
/* The auth key has done its duty. */
void rmri_ctl_forget_auth_key(rmr_ctl *c);
/* Seconds of a Retry-After header; a date, or none: random 5 to 10 s. */
rmr_err rmri_ctl_retry_after(rmr_ctl *c, rmr_bytes value, rmr_dur *out);

/* ---- ctl_map.c -------------------------------------------------------- */

rmr_err rmri_ctl_map_send(rmr_ctl *c);
/* The node key that polls and updates go by. */
const uint8_t *rmri_ctl_map_key(const rmr_ctl *c);
/* Is there a key to poll with, now? */
bool rmri_ctl_may_map(const rmr_ctl *c);
void rmri_ctl_map_head(rmr_ctl *c);
/* Returns how much of it was taken; the rest is for after a sleep. */
size_t rmri_ctl_map_body(rmr_ctl *c, rmr_bytes data);
void rmri_ctl_map_end(rmr_ctl *c, rmr_err why);
void rmri_ctl_map_drop(rmr_ctl *c);
/* For a message: "" or what a steady silence before each end tells. */
void rmri_ctl_map_ended_text(rmr_ctl *c, char *dst, size_t cap);
rmr_err rmri_ctl_update_send(rmr_ctl *c);
void rmri_ctl_update_end(rmr_ctl *c, bool ok);

/* ---- ctl_sleep.c ------------------------------------------------------ */

/* A frame was read that may ask for a sleep. */
void rmri_ctl_sleep_begin(rmr_ctl *c);
bool rmri_ctl_sleeps(const rmr_ctl *c);
/* Bytes of the map stream, which wait their turn. */
void rmri_ctl_sleep_body(rmr_ctl *c, rmr_bytes data);
/* It may be over. */
void rmri_ctl_sleep_end(rmr_ctl *c);
/* The stream is gone; no other is asked for before the sleep is over. */
void rmri_ctl_sleep_drop(rmr_ctl *c);

/* ---- ctl_ws.c --------------------------------------------------------- */

/* Target and headers of the upgrade by GET.  Errors: RNG. */
rmr_err rmri_ctl_ws_ask(rmr_ctl *c, const char *b64, char *target, size_t cap,
                        rmr_header h[CTL_WS_HEADERS]);
bool rmri_ctl_ws_accepts(const rmr_ctl *c, const rmr_h1_head *head);
rmr_err rmri_ctl_ws_begin(rmr_ctl *c);
void rmri_ctl_ws_drop(rmr_ctl *c);
void rmri_ctl_ws_read(rmr_ctl *c, rmr_buf in);
rmr_err rmri_ctl_ws_write(rmr_ctl *c, rmr_buf dst, size_t *len);

/* ---- ctl_ping.c ------------------------------------------------------- */

/* The hook of the netmap; false: it is for the host. */
bool rmri_ctl_ping(void *user, const nm_ping *in);
rmr_err rmri_ctl_ping_send(rmr_ctl *c);
void rmri_ctl_ping_free(rmr_ctl *c);

/* ---- ctl_net.c -------------------------------------------------------- */

void rmri_ctl_net_init(ctl_net *net);
void rmri_ctl_net_free(ctl_net *net, const rmr_alloc *a);
/* The members Endpoints and EndpointTypes; none where there are no endpoints. */
void rmri_ctl_net_put_endpoints(rmr_jw *w, const ctl_net *net);
/* NetInfo, where anything of it is known. */
void rmri_ctl_net_put_info(rmr_jw *w, const ctl_net *net);
/* ctl_routes.c: RoutableIPs and ExitNodeID, into an open Hostinfo. */
void rmri_ctl_put_routes(rmr_jw *w, const rmr_ctl *c);

/* ---- ctl_json.c ------------------------------------------------------- */

typedef enum ctl_body { BODY_REGISTER, BODY_MAP, BODY_UPDATE } ctl_body;
#define CTL_BODY_MAX 16384
rmr_err rmri_ctl_body(rmr_ctl *c, ctl_body what, rmr_buf dst, size_t *len);
/* `len` as rmri_ctl_body() told it. */
void rmri_ctl_body_free(rmr_ctl *c, uint8_t *body, size_t len);

/* ---- ctl_text.c ------------------------------------------------------- */

/* What an answer to the upgrade that is not 101 means (the table in README.md).
 */
rmr_err rmri_ctl_classify_upgrade(uint16_t status, rmr_bytes body);
/* Does this answer mean that our version is refused? */
bool rmri_ctl_is_version_refusal(uint16_t status, rmr_bytes body);

#endif
