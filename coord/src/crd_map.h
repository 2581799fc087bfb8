/* Map streams: their frames, when these may go, and the JSON in them. */
#ifndef REMORA_CRD_MAP_H
#define REMORA_CRD_MAP_H

#include "crd_rpc.h"
#include "crd_sight.h"

#define CRD_SCRATCH ((size_t)64 * 1024) /* one JSON element at the most */

struct crd_stream {
    crd_rpc *rpc;
    crd_node *node;
    crd_stream *prev, *next;           /* all */
    crd_stream *node_prev, *node_next; /* of the node */
    crd_set told;  /* peers that the client knows */
    crd_set dirty; /* ... of which something is to be said */
    crd_set whole; /* ... all of it */
    uint64_t *gone; /* ids of peers that left */
    size_t n_gone, cap_gone;
    rmr_timer keepalive; /* paced: when the next frame may go */
    rmr_time paid;       /* up to here time made up for frames */
    uint32_t ahead; /* what frames took that it did not make up for yet */
    uint8_t chance;      /* spreads the keep-alives */
    bool zstd, began;
    bool waits; /* its frame was held for a commit */
    bool paced; /* ... until its time has come */
    crd_link parked; /* it waits for another turn */
    bool self;  /* the node itself is to be sent */
    bool map;   /* so is the DERP map */
    bool rules; /* its filter, SSH policy, attributes may be others */
    bool look;  /* ... and its peers, and their routes */
    bool any;   /* something of all that */
    bool has_filter, has_ssh; /* in c->rules, for the frame that is made */
    uint64_t filter, ssh, attrs, routes; /* hashes of what the client has */
    bool broken; /* there was no memory: it ends */
};

void rmri_crd_map(crd_rpc *r, rmr_time now, const crd_request *q);
void rmri_crd_stream_close(crd_stream *s);
/* ... and its client is told. */
void rmri_crd_stream_end(crd_stream *s);
void rmri_crd_stream_stir(crd_stream *s);
/* A frame was made. */
void rmri_crd_stream_keepalive(crd_stream *s, rmr_time now);
/* None was made for so long. */
void rmri_crd_stream_silent(crd_stream *s, rmr_time now);
/* Makes the next frame into the response's body, if something is to be said. */
void rmri_crd_frame(crd_stream *s, rmr_time now);

typedef struct crd_alike { /* the last frame that others may get too */
    crd_buf frame;
    crd_buf of;  /* what made it as it is */
    crd_buf due; /* ... will make the one that is on hand */
    bool is_due; /* that one may be kept */
    size_t max;  /* bytes of a frame that is kept; 0: none is */
} crd_alike;

void rmri_crd_alike_init(rmr_coord *c);
void rmri_crd_alike_free(rmr_coord *c);
/* The frame that this stream is to get, if it was the last one; else the one
 * that is made now may be kept. */
bool rmri_crd_alike_find(const crd_stream *s, rmr_bytes *frame);
void rmri_crd_alike_keep(rmr_coord *c, rmr_bytes frame);

typedef struct crd_pace {
    rmr_time turn; /* in which so much was made */
    size_t made;   /* bytes of frames, before zstd */
    crd_link parked; /* streams that wait for the next one */
    rmr_time due;
} crd_pace;

void rmri_crd_pace_init(crd_pace *p);
/* May a frame go now?  Otherwise the stream is stirred when it may. */
bool rmri_crd_pace_may_go(crd_stream *s, rmr_time now);
/* It got one: made, or the one that another stream got. */
void rmri_crd_pace_took(crd_stream *s, bool repeated);
void rmri_crd_pace_made(rmr_coord *c, size_t n);
void rmri_crd_pace_handle_deadline(rmr_coord *c, rmr_time now);

/* Bytes of one frame: JSON by pieces, compressed where that was asked for.
 * The length in front is known at the end. */
typedef struct crd_out {
    rmr_coord *c;
    crd_buf *to;
    size_t start;
    bool zstd;
    rmr_err err;
    rmr_jw w; /* over c->scratch */
} crd_out;

void rmri_crd_out_begin(crd_out *o, rmr_coord *c, crd_buf *to, bool zstd);
/* A value that stands elsewhere, of any size. */
void rmri_crd_out_raw(crd_out *o, rmr_bytes json);
/* Room for one more element; what stands in the scratch goes on. */
void rmri_crd_out_flush(crd_out *o);
rmr_err rmri_crd_out_end(crd_out *o);
/* Errors: NOMEM; nothing is added then. */
rmr_err rmri_crd_put_keepalive(rmr_coord *c, crd_buf *to, bool zstd);

typedef struct crd_zstd crd_zstd;
rmr_err rmri_crd_zstd_new(crd_zstd **out, const rmr_alloc *a);
void rmri_crd_zstd_free(crd_zstd *z);
void rmri_crd_zstd_begin(crd_zstd *z);
rmr_err rmri_crd_zstd_feed(crd_zstd *z, rmr_bytes in, bool last, rmr_coord *c,
                           crd_buf *to);

/* `n` as `viewer` sees it; as itself where they are one. */
void rmri_crd_put_node(crd_out *o, const crd_node *viewer, const crd_node *n);
void rmri_crd_put_patch(rmr_jw *w, const crd_node *n);
void rmri_crd_put_profile(rmr_jw *w, const crd_node *n);
/* The user whose node it is said to be. */
uint64_t rmri_crd_user_shown(const crd_node *n);

typedef struct crd_rules { /* of the node whose frame is made, as JSON */
    uint8_t *p;
    size_t cap;
    rmr_bytes filter, ssh; /* in it */
} crd_rules;

#endif
