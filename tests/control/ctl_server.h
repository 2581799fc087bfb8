/* A scripted TS2021 server in memory, and a rig that runs a client against it
 * on a virtual clock. */
#ifndef REMORA_TESTS_CTL_SERVER_H
#define REMORA_TESTS_CTL_SERVER_H

#include <remora/control.h>
#include <remora/noise.h>
#include <remora/websocket.h>

#include <nghttp2/nghttp2.h>

#include <remora/ts2021.h>
#include "support.h"

typedef struct bytes {
    uint8_t *p;
    size_t len, cap;
} bytes;

void bytes_add(bytes *b, const void *p, size_t n);
void bytes_free(bytes *b);

typedef enum hello_mode {
    HELLO_GOOD,
    HELLO_CLOSE,   /* 101, then the end */
    HELLO_SILENT,  /* 101, then nothing */
    HELLO_ERROR,   /* a type 3 frame */
    HELLO_GARBAGE, /* a byte that no frame begins with */
    HELLO_LONG,    /* a response of another length */
    HELLO_BAD_TAG
} hello_mode;

typedef struct request {
    int32_t stream;
    char path[64], method[8];
    char ts_lb[2][80];
    int n_ts_lb;
    char length[16];
    bytes body;
    bytes reply; /* still to be sent */
    bool ends;   /* when `reply` is out */
    bool deferred;
} request;

#define MAX_REQUESTS 64

typedef struct server {
    /* the script */
    bool refuse_dial;
    bool refuse_plan; /* whatever is dialled by a plan */
    uint8_t key[32];            /* private */
    const char *key_answer;     /* whole HTTP answer; NULL: the key, as JSON */
    const char *upgrade_answer; /* NULL: 101 */
    bool ws_offered;            /* GET /ts2021 is upgraded */
    const char *ws_answer;      /* whole HTTP answer to it otherwise */
    bool key_closes;            /* Connection: close behind the key */
    hello_mode hello;
    bool early;         /* the payload before HTTP/2, in three records */
    uint32_t early_len; /* what it claims; 0: the truth */
    int reg_status, map_status, upd_status; /* 0: 200; -1: no answer */
    const char *reg_body;                   /* NULL: registered */
    const char *reg_bodies[2];              /* of the first ones, if set */
    int reg_answers;                        /* so many, then none; 0: all */
    const char *reg_header;                 /* value of retry-after */
    const char *map_body;                   /* of an answer that is not 200 */
    bytes map_frames;                       /* sent when a stream opens */
    bool map_ends;                          /* and then it ends */
    /* When set, asked for the frames of a map stream instead of map_frames,
     * and told of updates (frames is NULL then). */
    void (*on_map)(void *user, struct server *s, const char *body,
                   bytes *frames);
    /* When set, asked for the answer to a registration (NULL: registered), and
     * for the status of a map stream. */
    const char *(*on_register)(void *user, const char *body);
    int (*may_map)(void *user, const char *body);
    void *user;

    /* what happened */
    int ws_upgrades;
    int dials, keys, upgrades, registers, maps, updates;
    char last_register[4096], last_map[4096], last_update[4096];
    char last_head[2048]; /* of HTTP/1.1 */
    char reg_ts_lb[2][80];
    int n_reg_ts_lb;
    int pings; /* requests of /machine/ping... and the like */
    char ping_method[8], ping_path[64], ping_body[2048];

    /* the connection */
    bool open, wants_end;
    int phase; /* 0: HTTP/1.1, 1: records */
    bytes in, out;
    rmr_ws *ws; /* NULL: not in that form */
    size_t ws_from; /* in `out`: what follows is not in messages yet */
    rmr_ts_record record;
    nghttp2_session *h2;
    request req[MAX_REQUESTS];
    int n_req;
    int32_t map_stream; /* the last one opened */
} server;

void server_free(server *s);
/* For servers on other adapters: bytes in, then what there is to send. */
void server_input(server *s, const uint8_t *p, size_t n);
void server_output(server *s);
/* Bytes to append to the open map stream. */
void server_map_send(server *s, const void *p, size_t n);
/* A frame: length, then JSON as it is, or in one zstd frame. */
void frame_plain(bytes *b, const char *json);
void frame_zstd(bytes *b, const char *json);

typedef struct rig {
    server s;
    rmr_ctl *c;
    rmr_nm *nm;
    rmr_time now;
    size_t chunk; /* of what the client reads and writes; 0: all */
    test_alloc alloc;
    test_rng rng;
    test_log log;
    rmr_env env;
    char states[4096]; /* one letter each: C R L O D F X */
    rmr_err err;       /* of the last state */
    rmr_ctl_state state;
    char text[1024];
    int server_keys, registered;
    uint8_t next_key; /* of this byte, when one has expired; 0: none */
    int expired, refused;
    rmr_err refused_err;
    char refused_text[256];
    rmr_dial dial; /* the last one; its plan is below */
    rmr_dial_plan plan;
    int forms; /* how often on_upgrade_form was called */
    bool websocket;
    uint8_t server_key[32];
    char login[128];
    bool stream; /* the client has one */
} rig;

extern const char rig_node[]; /* a MapResponse with Node */

/* \param tune  May change the configuration; NULL: not. */
rmr_err rig_init(rig *r, void (*tune)(rmr_ctl_config *cfg));
void rig_free(rig *r);
/* Moves bytes until nothing moves. */
void rig_run(rig *r);
/* Goes on in time, deadline by deadline. */
void rig_wait(rig *r, rmr_dur d);
/* The server, or the network, ends the connection. */
void rig_cut(rig *r, rmr_err why, const char *text);

/* For rig_init: ways to configure the client. */
void tune_plain_client(rmr_ctl_config *cfg);
void tune_https(rmr_ctl_config *cfg);
void tune_pinned(rmr_ctl_config *cfg);
void tune_pinned_to_another(rmr_ctl_config *cfg);
void tune_https_pinned_to_another(rmr_ctl_config *cfg);
void tune_accepts_pinned_to_another(rmr_ctl_config *cfg);
void tune_no_auth_key(rmr_ctl_config *cfg);
void tune_keep_auth_key(rmr_ctl_config *cfg);
/* Does the text hold the part?  Prints both when not. */
bool rig_has(const char *text, const char *part);

#endif
