/* Requests inside Noise, and logins that wait for approval. */
#ifndef REMORA_CRD_RPC_H
#define REMORA_CRD_RPC_H

#include "crd_check.h"
#include "crd_conn.h"
#include "crd_sight.h"
#include <remora/json.h>

/* ---- requests inside Noise ----------------------------------------------- */

typedef enum crd_rpc_kind {
    CRD_RPC_OTHER, /* answered from its head */
    CRD_RPC_REGISTER,
    CRD_RPC_MAP
} crd_rpc_kind;

/* What requests say; what lists lack memory for makes the request fail. */
typedef struct crd_request {
    uint16_t version;
    uint8_t key[RMR_KEY_LEN], old_key[RMR_KEY_LEN], disco[RMR_KEY_LEN];
    uint64_t expiry; /* unix ns, 0: none; 1: in the past before 1970's end */
    char auth_key[128], followup[512];
    char hostname[CRD_MAX_HOSTNAME + 1], os[32];
    rmr_prefix routes[RMR_COORD_MAX_ROUTES];
    size_t n_routes;
    char tags[RMR_COORD_MAX_TAGS][64];
    size_t n_tags;
    crd_service services[CRD_MAX_SERVICES];
    size_t n_services;
    rmr_addr endpoints[RMR_COORD_MAX_ENDPOINTS];
    size_t n_endpoints;
    uint16_t home_derp;
    bool has_expiry, ephemeral, stream, read_only, zstd;
    bool has_hostinfo, has_endpoints, has_net_info, bad_key;
} crd_request;

typedef struct crd_reader { /* a request's JSON while it comes */
    rmr_json_bind bind;
    crd_request q;
    uint8_t scratch[4096];
} crd_reader;

void rmri_crd_reader_init(crd_reader *r);
rmr_err rmri_crd_reader_feed(crd_reader *r, rmr_bytes data);
rmr_err rmri_crd_reader_end(crd_reader *r);

struct crd_rpc {
    crd_conn *conn;
    crd_rpc *prev, *next; /* of the connection */
    int32_t id;
    crd_rpc_kind kind;
    crd_reader *reader;  /* until the request is whole */
    rmr_err bad;         /* of its JSON */
    crd_stream *stream;  /* an open map stream */
    crd_login *login;    /* waits for it */
    crd_check *check;    /* ... or for it */
    crd_rpc *login_next; /* of those who do */
    crd_link held;       /* its answer waits for a commit */
    uint64_t held_node;  /* who registered; 0: it logged out */
    crd_buf body;        /* of the response */
    bool streams;        /* body is not all: more will come */
};

extern const rmr_h2s_callbacks rmri_crd_rpc_callbacks;
/* Answers; the body is copied. */
void rmri_crd_rpc_answer(crd_rpc *r, uint16_t status, const char *type,
                         rmr_bytes body);
void rmri_crd_rpc_text(crd_rpc *r, uint16_t status, const char *text);

void rmri_crd_register(crd_rpc *r, rmr_time now, const crd_request *q);
/* What registered nodes are told. */
void rmri_crd_register_done(crd_rpc *r, const crd_node *n);
void rmri_crd_register_error(crd_rpc *r, const char *text);
/* An answer that was held. */
void rmri_crd_register_held(crd_rpc *r, rmr_err err);
void rmri_crd_joined(rmr_coord *c, crd_node *n);
/* Now: it was stored, or there is no store. */
void rmri_crd_joined_now(rmr_coord *c, const crd_node *n);
/* Takes what a request says of the host over to the node. */
rmr_err rmri_crd_host_info(rmr_coord *c, crd_node *n, const crd_request *q,
                           crd_what *what);

/* ---- logins -------------------------------------------------------------- */

struct crd_login {
    crd_place place;
    rmr_time began;
    crd_login *prev, *next;
    char id[RMR_COORD_LOGIN_TEXT];
    uint8_t machine[RMR_KEY_LEN], key[RMR_KEY_LEN];
    char hostname[CRD_MAX_HOSTNAME + 1];
    rmr_addr client;
    crd_list tags; /* that it asks for */
    bool ephemeral;
    uint64_t expiry;
    rmr_timer timer;
    crd_rpc *waiting;
};

/* A new one, or the one of that connection's machine and the request's key.
 * Errors: FULL, NOMEM, RNG. */
rmr_err rmri_crd_login_new(const crd_conn *from, rmr_time now,
                           const crd_request *q, crd_login **out);
/* One of a machine that is none, with keys of its own, under that id, which
 * nobody else has.  Errors: likewise. */
rmr_err rmri_crd_login_fake(rmr_coord *c, const rmr_addr *from, const char *id,
                            const char *hostname, crd_login **out);
crd_login *rmri_crd_login_find(const rmr_coord *c, rmr_bytes id);
void rmri_crd_login_wait(crd_login *l, crd_rpc *r);
void rmri_crd_login_leave(crd_rpc *r);
void rmri_crd_login_end(rmr_coord *c, crd_login *l, const char *why);
void rmri_crd_logins_free(rmr_coord *c);

#endif
