/* Connections: where they come in, whose they may be, their bytes and requests
 * of HTTP/1.1, the handshake of Noise. */
#ifndef REMORA_CRD_CONN_H
#define REMORA_CRD_CONN_H

#include "crd_base.h"
#include <remora/h2_srv.h>
#include <remora/hash.h>
#include <remora/http1.h>
#include <remora/machine.h>
#include <remora/noise.h>
#include <remora/ring.h>
#include <remora/timer.h>
#include <remora/tls_srv.h>
#include <remora/ts2021.h>
#include <remora/websocket.h>

/* ---- places that strangers share ----------------------------------------- */

#define CRD_SHARES 1024

typedef struct crd_place { /* in what takes one */
    crd_link link;
    uint16_t share;
} crd_place;

typedef struct crd_share {
    crd_link ring; /* of crd_place, the oldest first */
    uint32_t n;
} crd_share;

typedef struct crd_fair {
    rmr_hash_key key;
    crd_share of[CRD_SHARES]; /* of addresses, by a keyed hash */
    size_t all;
} crd_fair;

/* Errors: RNG. */
rmr_err rmri_crd_fair_init(crd_fair *f, const rmr_rng *rng);
/* Twice is once. */
void rmri_crd_fair_enter(crd_fair *f, crd_place *p, const rmr_addr *from);
void rmri_crd_fair_leave(crd_fair *f, crd_place *p);
/* It is the youngest again. */
void rmri_crd_fair_renew(crd_fair *f, crd_place *p);
size_t rmri_crd_fair_count(const crd_fair *f, const rmr_addr *from);
const crd_share *rmri_crd_fair_fullest(const crd_fair *f);

/* ---- connections --------------------------------------------------------- */

typedef enum crd_role {
    CRD_MAIN,    /* all but metrics                          */
    CRD_SOCKET,  /* the API alone, for whoever can open it   */
    CRD_METRICS  /* /metrics alone                           */
} crd_role;

typedef struct crd_listener {
    rmr_coord *c;
    crd_role role;
    const char *name; /* of a local endpoint, or NULL */
    rmr_mc_io *io;
    rmr_addr at;
    rmr_time resume_at; /* it rests: no descriptors were left */
    bool open;
} crd_listener;

rmr_err rmri_crd_listen_start(rmr_coord *c);
void rmri_crd_listen_stop(rmr_coord *c);
rmr_time rmri_crd_listen_deadline(const rmr_coord *c);
void rmri_crd_listen_handle_deadline(rmr_coord *c, rmr_time now);

typedef enum crd_stage { CRD_HTTP, CRD_NOISE, CRD_DEAD } crd_stage;

struct crd_conn {
    rmr_coord *c;
    crd_conn *prev, *next;
    rmr_mc_io *io;
    rmr_tls *tls;
    rmr_tls_pool *tls_pool; /* its record buffers, while they are in use */
    rmr_h1 *h1;
    rmr_ws *ws; /* Noise in WebSocket frames */
    rmr_h2s *h2;
    rmr_ts_record *record;
    rmr_addr remote;
    rmr_addr client; /* of the request on hand: remote, or whom a proxy names */
    rmr_timer timer;
    rmr_ring out;   /* of HTTP/1.1 */
    rmr_ring early; /* what goes before the records */
    crd_rpc *rpcs;
    crd_place place; /* among strangers, while it has no map stream */
    uint32_t n_streams; /* of maps */
    crd_stage stage;
    uint8_t machine[RMR_KEY_LEN];
    uint16_t version;
    bool finishing, tls_shut;
    crd_call *call;   /* the request on hand, of the API */
    crd_reply *reply; /* what is too long for one piece  */
    crd_role role;
    bool is_head, last_answer; /* of the request on hand */
    bool is_old;               /* ... it is HTTP/1.0 */
    bool answered;             /* ... by a head at least */
    bool choked; /* an answer found no room: the connection ends */
    bool refused; /* its handshake: it ends behind the words for that */
    bool upgrade;
};

void rmri_crd_conn_accept(crd_listener *l, rmr_time now, uint64_t child,
                          const rmr_addr *remote);
void rmri_crd_conn_end(crd_conn *n, rmr_time now);
void rmri_crd_conn_finish(crd_conn *n, rmr_time now);
void rmri_crd_conn_settle(crd_conn *n, rmr_time now);
/* A request of it came to its end: it is no idler. */
void rmri_crd_conn_got_on(crd_conn *n);
/* Ends some that have not shown whose they are, for others' sake; false: there
 * were none. */
bool rmri_crd_conns_thin_out(rmr_coord *c, rmr_time now);
void rmri_crd_conns_reap(rmr_coord *c);
void rmri_crd_conns_free(rmr_coord *c);
static inline bool rmri_crd_conn_reads(const crd_conn *n)
{
    return n->stage != CRD_DEAD && !n->finishing;
}

extern const rmr_mc_io_ops rmri_crd_stream_ops;

/* Sets n->client. */
void rmri_crd_client(crd_conn *n, const rmr_h1_head *head);
/* Errors: INVAL (everybody is trusted), NOMEM. */
rmr_err rmri_crd_proxies_take(rmr_coord *c, const rmr_coord_config *cfg);
void rmri_crd_proxies_free(rmr_coord *c);

/* Takes bytes of requests; *used of them.  An error: the connection ends. */
rmr_err rmri_crd_http_read(crd_conn *n, rmr_time now, rmr_bytes data,
                           size_t *used);
/* The head of an answer, and its body; a NULL body: it is not of one piece. */
void rmri_crd_answer(crd_conn *n, uint16_t status, const char *type,
                     const rmr_bytes *body);
/* The initiation, as it came; queues the answer.  An error: it ends, behind
 * what was queued. */
rmr_err rmri_crd_noise_hello(crd_conn *n, rmr_bytes initiation);
rmr_err rmri_crd_noise_read(crd_conn *n, rmr_time now, rmr_buf data,
                            size_t *used);
size_t rmri_crd_noise_write(crd_conn *n, rmr_time now, rmr_buf dst);
void rmri_crd_noise_free(crd_conn *n);

#endif
