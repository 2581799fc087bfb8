/* What the files of the DERP client share. */
#ifndef RMRI_DERP_INTERNAL_H
#define RMRI_DERP_INTERNAL_H

#include <remora/derp.h>

#include <remora/http1.h>
#include <remora/ring.h>
#include <remora/websocket.h>

#define RMRI_DERP_HEADER 5
#define RMRI_DERP_MAX_FRAME ((size_t)1 << 20) /* a longer body is fatal */
/* The longest body that is of use: a packet with its source. */
#define RMRI_DERP_MAX_BODY (RMR_KEY_LEN + RMR_DERP_MAX_PACKET)
#define RMRI_DERP_CLIENT_INFO_MAX 240 /* with a mesh key */
#define RMRI_DERP_CTL_MAX 768 /* the HTTP request, and the login */
#define RMRI_DERP_SMALL_MAX 64 /* a small frame of each kind */

#define RMRI_DERP_DIAL_TIMEOUT (10 * RMR_SEC)
#define RMRI_DERP_DIAL_SLACK (5 * RMR_SEC) /* for the host to say so */
#define RMRI_DERP_LOGIN_TIMEOUT (10 * RMR_SEC)
#define RMRI_DERP_READ_TIMEOUT (120 * RMR_SEC)
#define RMRI_DERP_PING_TIMEOUT (5 * RMR_SEC)

/* ---- codec ------------------------------------------------------------ */

typedef struct rmri_derp_server_info {
    uint64_t rate, burst; /* bytes a second, bytes; 0: no advice */
} rmri_derp_server_info;

void rmri_derp_put_header(uint8_t dst[RMRI_DERP_HEADER], rmr_derp_type type,
                          size_t body_len);
/* False: not a greeting. */
bool rmri_derp_parse_server_key(rmr_bytes body, uint8_t key[RMR_KEY_LEN]);
/* The whole frame; returns its length.  mesh_key: NULL for a node. */
size_t rmri_derp_build_client_info(uint8_t dst[RMRI_DERP_CLIENT_INFO_MAX],
                                   const uint8_t own_public[RMR_KEY_LEN],
                                   const uint8_t shared[RMR_KEY_LEN],
                                   const uint8_t nonce[RMR_BOX_NONCE_LEN],
                                   const uint8_t *mesh_key);
/* Opens in place.  False: does not open, or no JSON object. */
bool rmri_derp_open_server_info(rmr_buf body, const uint8_t shared[RMR_KEY_LEN],
                                rmri_derp_server_info *out);
/* A relay's two frames of the login, whole; returns the length. */
size_t rmri_derp_build_server_key(uint8_t *dst, const uint8_t key[RMR_KEY_LEN]);
size_t rmri_derp_build_server_info(uint8_t *dst,
                                   const uint8_t shared[RMR_KEY_LEN],
                                   const uint8_t nonce[RMR_BOX_NONCE_LEN]);

/* ---- rate ------------------------------------------------------------- */

/* A token bucket, kept as the time at which it will be full again (GCRA): no
 * fractions, and nothing to refill. */
typedef struct rmri_derp_bucket {
    uint64_t rate; /* bytes a second; 0: no limit */
    rmr_dur depth; /* how long a full bucket lasts */
    rmr_time full_at;
} rmri_derp_bucket;

void rmri_derp_bucket_set(rmri_derp_bucket *b, uint64_t rate, uint64_t burst);
bool rmri_derp_bucket_take(rmri_derp_bucket *b, rmr_time now, size_t bytes);

/* ---- client ----------------------------------------------------------- */

typedef enum rmri_derp_state {
    DERP_IDLE, /* no stream; one may be wanted from retry_at on */
    DERP_WANT, /* the host may ask where to dial                */
    DERP_DIALLING,
    DERP_UPGRADE,  /* the HTTP request is on its way                */
    DERP_GREETING, /* 101; waits for ServerKey                      */
    DERP_LOGIN,    /* ClientInfo is on its way; waits for ServerInfo */
    DERP_UP
} rmri_derp_state;

typedef struct rmri_derp_rx { /* the frame that is being read */
    uint8_t header[RMRI_DERP_HEADER];
    uint8_t header_len;
    uint8_t type;
    size_t body_len, skip_left;
    uint8_t *body; /* gathered, when it did not come whole */
    size_t body_cap, body_got;
    bool gathered; /* in this call of read */
} rmri_derp_rx;

struct rmr_derp {
    rmr_env env;
    rmr_derp_callbacks cb;
    rmr_time now;
    rmr_err fatal; /* sticky */
    rmri_derp_state state;
    bool in_callback, close_pending;

    /* where to */
    rmr_derp_node *nodes;
    size_t n_nodes, node_at;
    bool preferred, always_on;

    /* who */
    uint8_t private_key[RMR_KEY_LEN], public_key[RMR_KEY_LEN];
    uint8_t shared[RMR_KEY_LEN]; /* of this connection */

    /* when */
    rmr_dur idle_close;
    uint32_t n_failed;  /* in a row; 0 after any frame */
    rmr_time retry_at;  /* IDLE */
    rmr_time stage_end; /* DIALLING to LOGIN */
    rmr_time last_frame, last_send;
    bool was_told_restart; /* by this connection */
    rmr_dur restart_in, restart_for;
    rmr_time restart_until; /* failures before it are expected; 0: none */

    /* in */
    rmr_h1 *http;
    uint16_t http_status;
    rmri_derp_rx rx;
    bool is_ill; /* a health text stands */

    /* the WebSocket form */
    rmr_derp_form form;
    bool by_ws;       /* this attempt */
    bool ws_worked;   /* the last one that came up */
    bool other_tried; /* the other form's turn at this node */
    char ws_key[RMR_WS_KEY_LEN + 1];
    rmr_ws *ws; /* behind the upgrade; NULL: raw */

    /* out */
    uint8_t *begin; /* RMRI_DERP_CTL_MAX, until the login was sent, or NULL */
    uint8_t small[RMRI_DERP_SMALL_MAX]; /* then */
    size_t ctl_len, ctl_sent;
    rmr_ring queue; /* whole SendPacket and ForwardPacket frames */
    uint32_t n_queued, queue_pkts;
    size_t head_left; /* of a frame that was cut by a small buffer */
    bool told_preferred, told_watch;
    uint8_t mesh_key[RMR_KEY_LEN], relay_key[RMR_KEY_LEN];
    bool is_mesh;
    bool pong_due, ping_due;
    uint8_t pong[8], ping[8];
    rmr_time ping_end; /* NEVER: no ping of ours is open */
    rmri_derp_bucket bucket;

    rmr_derp_stats stats;
};

void rmri_derp_clamp(rmr_derp *d, rmr_time now);
static inline bool rmri_derp_has_stream(const rmr_derp *d)
{
    return d->state >= DERP_UPGRADE;
}
void rmri_derp_want(rmr_derp *d);
/* What an orderly end means at this stage. */
rmr_err rmri_derp_meaning_of_end(const rmr_derp *d);
/* The stream is over, by us (close) or by itself. */
void rmri_derp_down(rmr_derp *d, rmr_err why, bool close);
/* Puts the HTTP request, then the login, where write finds it. */
rmr_err rmri_derp_put_request(rmr_derp *d);
rmr_err rmri_derp_put_login(rmr_derp *d, const uint8_t relay[RMR_KEY_LEN]);
void rmri_derp_reset_out(rmr_derp *d);
void rmri_derp_reset_in(rmr_derp *d);
rmr_err rmri_derp_start_http(rmr_derp *d);
rmr_err rmri_derp_read_frames(rmr_derp *d, rmr_buf in);
size_t rmri_derp_write_frames(rmr_derp *d, rmr_buf dst);

/* ws.c: the request's headers (how many), its answer, and what follows. */
#define RMRI_DERP_WS_HEADERS 5
rmr_err rmri_derp_ws_headers(rmr_derp *d, rmr_header h[RMRI_DERP_WS_HEADERS]);
bool rmri_derp_ws_accepts(const rmr_derp *d, const rmr_h1_head *head);
rmr_err rmri_derp_ws_begin(rmr_derp *d);
rmr_err rmri_derp_ws_read(rmr_derp *d, rmr_buf in);
rmr_err rmri_derp_ws_write(rmr_derp *d, rmr_buf dst, size_t *len);
/* After a failure: is the next attempt the other form's, at the same node? */
bool rmri_derp_ws_turn(rmr_derp *d, bool at_upgrade);
/* Within in_callback. */
void rmri_derp_call_health(rmr_derp *d, rmr_bytes text);

#endif
