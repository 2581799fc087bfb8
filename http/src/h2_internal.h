/* What the files of the HTTP/2 client share; the first part: the server's
 * too. */
#ifndef RMRI_H2_INTERNAL_H
#define RMRI_H2_INTERNAL_H

#include <nghttp2/nghttp2.h>
#include <remora/h2.h>
#include "h2_frame.h"

/* ---- h2_fields.c: both sides --------------------------------------------- */

/* Borrows both. */
nghttp2_nv rmri_h2_nv(rmr_bytes name, rmr_bytes value);
/* May it be sent in a head? */
bool rmri_h2_is_header(const rmr_header *h);
rmr_err rmri_h2_err(int nghttp2_code);

/* ---- the client --------------------------------------------------------- */

typedef struct rmri_h2_stream {
    int32_t id; /* 0: the slot is free */
    void *tag;
    uint8_t *body; /* of the request */
    size_t body_len, body_off;
    uint32_t cancelled : 1;    /* by the caller: its body is dropped        */
    uint32_t ended : 1;        /* the peer sent END_STREAM                  */
    uint32_t head_done : 1;    /* the final head was handed out             */
    uint32_t head_too_big : 1; /* reset by us for that                      */
    uint32_t owes_credit : 1;  /* no memory for a WINDOW_UPDATE: once more  */
} rmri_h2_stream;

/* A head that is being read; heads are never interleaved (RFC 9113 4.3), so one
 * place serves all streams. */
typedef struct rmri_h2_head {
    uint16_t status;
    size_t n_headers, bytes, text_len;
    rmr_header headers[RMR_H1_MAX_HEADERS];
    uint8_t text[]; /* cfg.max_header_bytes */
} rmri_h2_head;

struct rmr_h2 {
    rmr_alloc alloc;
    rmr_h2_config cfg;
    nghttp2_session *session;
    rmri_h2_lend lend;
    rmr_err err;    /* sticky                                       */
    bool busy;      /* inside a pump: callbacks may run             */
    bool doomed;    /* freed by a callback; released by the pump    */
    bool ended;     /* the byte stream is over                      */
    bool goaway;    /* from the peer                                */
    rmr_err broken; /* only our GOAWAY goes out now, for this reason */
    bool owes_credit;
    bool data_written;   /* send_data gave the turn back to write   */
    uint64_t unconsumed; /* body bytes handed out, not consumed    */

    rmr_buf dst; /* of the write that runs */
    size_t used;
    rmr_bytes rest; /* of a frame that did not fit in the last dst */

    rmri_h2_stream *streams; /* cfg.max_streams */

    rmri_h2_head *head; /* NULL: none is being read */
    bool no_memory;     /* for one */
};

void rmri_h2_set_callbacks(nghttp2_session_callbacks *cb);

void rmri_h2_free_head(rmr_h2 *h);
rmri_h2_stream *rmri_h2_find(rmr_h2 *h, int32_t id);
/* The body was sent, or will not be. */
void rmri_h2_free_body(rmr_h2 *h, rmri_h2_stream *s);
/* Empties the slot, then tells the caller, who may fill it again. */
void rmri_h2_close_stream(rmr_h2 *h, rmri_h2_stream *s, rmr_err why);
/* Gives n bytes of flow-control credit back; what there is no memory for now
 * is made up for by the next pump. */
void rmri_h2_credit(rmr_h2 *h, int32_t id, size_t n);
/* Reads the request's body for nghttp2. */
nghttp2_data_provider rmri_h2_body_provider(rmri_h2_stream *s);

#endif
