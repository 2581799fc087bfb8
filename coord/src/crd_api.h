/* The REST API, as Headscale's clients know it: what its parts share.
 *   crd_api.c        routes, who may, the life of a request, problems
 *   crd_api_body.c   a request's JSON
 *   crd_api_reply.c  answers that go out by pieces
 *   crd_api_users.c, _keys.c, _nodes.c, _apikeys.c, _policy.c, _other.c
 *                    the operations
 *   crd_metrics.c    what is counted
 */
#ifndef REMORA_COORD_API_H
#define REMORA_COORD_API_H

#include "crd_internal.h"

#define CRD_API_BODY_MAX ((size_t)256 * 1024)
/* A policy's, whose text may be of escapes for a half. */
#define CRD_API_POLICY_MAX ((size_t)2 * RMR_POL_DOC_MAX)
#define CRD_API_ARG_MAX 255
#define CRD_API_FIELDS 5
#define CRD_API_WRONGS 8
#define CRD_API_OPS 32
#define CRD_API_CODES 11
#define CRD_API_BUCKETS 11

typedef enum crd_field_kind {
    CRD_FIELD_TEXT,
    CRD_FIELD_BOOL,
    CRD_FIELD_TIME,
    CRD_FIELD_LIST /* of texts */
} crd_field_kind;

typedef struct crd_field {
    const char *name;
    crd_field_kind kind;
} crd_field;

typedef struct crd_value { /* of a field; null counts as not given */
    bool given, flag;
    uint64_t time;    /* Unix ns; 1: before 1970, which nothing is yet */
    const char *text; /* with a NUL behind it, and none in it */
    const char *list[RMR_COORD_MAX_ROUTES];
    size_t n;
} crd_value;

typedef struct crd_op {
    const char *method, *path; /* behind /api/v1/; "{}" is any segment */
    void (*run)(crd_conn *n, crd_call *q);
    const crd_field *fields; /* of its body, in an object; NULL: no body */
    uint8_t n_fields;
    bool no_body_is_fine;
    bool is_open; /* no key is asked for, and it is not below /api/v1/ */
} crd_op;

extern const crd_op rmri_crd_ops[];
extern const size_t rmri_crd_n_ops;

typedef struct crd_wrong { /* what a body has that it may not */
    const char *message;
    char where[96], value[64];
    bool is_raw; /* the value is JSON already; else a text */
    bool whole;  /* the value is the whole body */
} crd_wrong;

/* A request from its head to its answer. */
struct crd_call {
    const crd_op *op;
    rmr_time began;
    char args[2][CRD_API_ARG_MAX + 1]; /* the path's segments, in order */
    crd_buf query, body;
    uint8_t *arena; /* texts of the body */
    size_t arena_cap;
    crd_value v[CRD_API_FIELDS];
    crd_wrong wrong[CRD_API_WRONGS];
    size_t n_wrong;
};

/* An answer that goes out by pieces, each made when the last one went. */
struct crd_reply {
    /* Makes the next bytes in the API's page; *over: the last. */
    rmr_bytes (*fill)(crd_conn *n, crd_reply *r, bool *over);
    /* Lists: one more element; false: there is none. */
    bool (*next)(crd_conn *n, crd_reply *r, rmr_jw *w);
    rmr_jw w;
    uint64_t after, user; /* the id it got to; whose alone, or 0 */
    uint8_t *block; /* an answer that is all there, and how much went */
    size_t block_cap, block_len, block_at;
    const crd_op *op;
    rmr_time began;
    bool over;
};

typedef struct crd_api_key {
    crd_row row;
    uint64_t id;
    uint8_t hash[RMR_HASH_LEN]; /* of the text */
    char prefix[13];
    uint64_t expiry, created;
} crd_api_key;

typedef struct crd_op_count {
    uint64_t codes[CRD_API_CODES];
    uint64_t buckets[CRD_API_BUCKETS]; /* of seconds */
    uint64_t n, sum;                   /* ns */
} crd_op_count;

struct crd_api {
    crd_api_key **keys; /* by id */
    size_t n_keys, cap_keys;
    crd_op_count ops[CRD_API_OPS];
    uint8_t *page; /* CRD_SCRATCH bytes: the answer that is made */
    uint64_t auth_ok, auth_missing, auth_malformed, auth_rejected;
    uint64_t minted_reusable, minted_single, revoked;
};

rmr_err rmri_crd_api_new(rmr_coord *c);
void rmri_crd_api_free(rmr_coord *c);

/* ---- a request ----------------------------------------------------------- */

/* True: it is the API's, and was answered or will be when it is whole. */
bool rmri_crd_api_head(crd_conn *n, const rmr_h1_head *head, rmr_bytes path,
                       rmr_bytes query);
/* Whether the body may be as long as that head says. */
bool rmri_crd_api_fits(const crd_conn *n, const rmr_h1_head *head);
rmr_err rmri_crd_api_body(crd_conn *n, rmr_bytes data);
void rmri_crd_api_done(crd_conn *n);
void rmri_crd_call_free(crd_conn *n);

/* A parameter of the query, decoded; false: there is none, it is too long, or
 * has a NUL. */
bool rmri_crd_query(rmr_bytes query, const char *name,
                    char out[CRD_API_ARG_MAX + 1]);
bool rmri_crd_api_param(const crd_call *q, const char *name,
                        char out[CRD_API_ARG_MAX + 1]);
/* The id in a segment; false: it is none, and that was answered. */
bool rmri_crd_api_id(crd_conn *n, const char *text, const char *what,
                     uint64_t *id);

/* Reads the body into q->v and q->wrong.  Errors: MALFORMED (no JSON), TOOBIG,
 * NOMEM. */
rmr_err rmri_crd_api_parse(rmr_coord *c, crd_call *q);

/* ---- answers ------------------------------------------------------------- */

const char *rmri_crd_reason(uint16_t status);
/* A writer over the API's page, and its end. */
void rmri_crd_api_begin(crd_conn *n, rmr_jw *w);
void rmri_crd_api_send(crd_conn *n, rmr_jw *w, const char *type);
/* {} */
void rmri_crd_api_nothing(crd_conn *n);
/* cause: NULL, or the message of its one error. */
void rmri_crd_api_problem(crd_conn *n, uint16_t status, const char *detail,
                          const char *cause);
/* The same, with the place of that error. */
void rmri_crd_api_problem_at(crd_conn *n, uint16_t status, const char *detail,
                             const char *cause, const char *where);
/* Stores what a call changed, before it is answered; false: the store fails,
 * and that was answered. */
bool rmri_crd_api_stored(crd_conn *n);
/* What an administrative call said. */
void rmri_crd_api_failed(crd_conn *n, rmr_err err, const char *detail,
                         const char *missing);
/* {"<name>":[...]}; memory that lacks ends the connection. */
void rmri_crd_api_list(crd_conn *n, crd_call *q, const char *name,
                       bool (*next)(crd_conn *, crd_reply *, rmr_jw *),
                       uint64_t user);
/* An answer of any length, which is taken over with its block. */
void rmri_crd_api_block(crd_conn *n, const crd_call *q, uint8_t *block,
                        size_t cap, size_t len);
void rmri_crd_reply_begin(crd_conn *n, const crd_call *q, crd_reply **out);
/* Tops up what waits to be sent; false: no memory. */
bool rmri_crd_reply_fill(crd_conn *n, rmr_time now);
void rmri_crd_reply_free(crd_conn *n);

/* ---- JSON of objects ----------------------------------------------------- */

void rmri_crd_put_id(rmr_jw *w, const char *key, uint64_t id);
/* 0: null; 1: the year 1, as for a key that never was good. */
void rmri_crd_put_time(rmr_jw *w, const char *key, uint64_t unix_ns);
void rmri_crd_put_user(rmr_jw *w, const crd_user *u); /* NULL: null */
/* text: the whole key, or NULL: masked. */
void rmri_crd_put_key(rmr_jw *w, const rmr_coord *c, const crd_key *k,
                      const char *text);

/* ---- operations ---------------------------------------------------------- */

void rmri_crd_do_user_list(crd_conn *n, crd_call *q);
void rmri_crd_do_user_create(crd_conn *n, crd_call *q);
void rmri_crd_do_user_rename(crd_conn *n, crd_call *q);
void rmri_crd_do_user_delete(crd_conn *n, crd_call *q);
void rmri_crd_do_key_list(crd_conn *n, crd_call *q);
void rmri_crd_do_key_create(crd_conn *n, crd_call *q);
void rmri_crd_do_key_expire(crd_conn *n, crd_call *q);
void rmri_crd_do_key_delete(crd_conn *n, crd_call *q);
void rmri_crd_do_node_list(crd_conn *n, crd_call *q);
void rmri_crd_do_node_get(crd_conn *n, crd_call *q);
void rmri_crd_do_node_expire(crd_conn *n, crd_call *q);
void rmri_crd_do_node_rename(crd_conn *n, crd_call *q);
void rmri_crd_do_node_tags(crd_conn *n, crd_call *q);
void rmri_crd_do_node_approve(crd_conn *n, crd_call *q);
void rmri_crd_do_node_delete(crd_conn *n, crd_call *q);
void rmri_crd_do_node_backfill(crd_conn *n, crd_call *q);
void rmri_crd_do_node_register(crd_conn *n, crd_call *q);
void rmri_crd_do_auth_register(crd_conn *n, crd_call *q);
void rmri_crd_do_auth_approve(crd_conn *n, crd_call *q);
void rmri_crd_do_auth_reject(crd_conn *n, crd_call *q);
void rmri_crd_do_debug_node(crd_conn *n, crd_call *q);
void rmri_crd_do_api_key_list(crd_conn *n, crd_call *q);
void rmri_crd_do_api_key_create(crd_conn *n, crd_call *q);
void rmri_crd_do_api_key_expire(crd_conn *n, crd_call *q);
void rmri_crd_do_api_key_delete(crd_conn *n, crd_call *q);
void rmri_crd_do_health(crd_conn *n, crd_call *q);
void rmri_crd_do_policy_get(crd_conn *n, crd_call *q);
void rmri_crd_do_policy_put(crd_conn *n, crd_call *q);
void rmri_crd_do_policy_check(crd_conn *n, crd_call *q);
void rmri_crd_do_liveness(crd_conn *n, crd_call *q);
void rmri_crd_do_version(crd_conn *n, crd_call *q);
void rmri_crd_do_verify(crd_conn *n, crd_call *q);

/* Is this a key that lets in now? */
bool rmri_crd_api_key_opens(const rmr_coord *c, rmr_bytes text);
void rmri_crd_api_keys_free(rmr_coord *c);

/* ---- figures ------------------------------------------------------------- */

void rmri_crd_count(rmr_coord *c, const crd_op *op, uint16_t status,
                    rmr_dur took);
void rmri_crd_metrics(crd_conn *n, const rmr_h1_head *head, rmr_bytes path);

#endif
