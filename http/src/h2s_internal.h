/* What the files of the HTTP/2 server share. */
#ifndef RMRI_H2S_INTERNAL_H
#define RMRI_H2S_INTERNAL_H

#include "h2_internal.h"

#include <remora/h2_srv.h>

typedef struct rmri_h2s_stream {
    int32_t id; /* 0: the slot is free */
    void *tag;
    uint64_t body_len;       /* of the request, so far                       */
    uint32_t shown : 1;      /* on_request was called                        */
    uint32_t done : 1;       /* on_done was                                  */
    uint32_t responded : 1;  /* a response stands                            */
    uint32_t has_body : 1;   /* ... with a body                              */
    uint32_t sent : 1;       /* ... and its end was written                  */
    uint32_t reset : 1;      /* by us: nothing but on_close follows          */
    uint32_t too_long : 1;   /* ... as its request's body was                */
} rmri_h2s_stream;

/* A head while it is read; they are never interleaved (RFC 9113 4.3). */
typedef struct rmri_h2s_head {
    rmr_h2s_request request;
    rmr_bytes host;
    size_t bytes, len; /* as RFC 9113 6.5.2 counts; of text */
    bool too_big;
    rmr_header headers[RMR_H1_MAX_HEADERS];
    uint8_t text[];
} rmri_h2s_head;

struct rmr_h2s {
    rmr_alloc alloc;
    rmr_h2s_config cfg;
    nghttp2_session *session;
    rmri_h2_lend lend;
    rmr_err err;    /* sticky                                        */
    bool busy;      /* inside a pump: callbacks may run              */
    bool doomed;    /* freed by a callback; released by the pump     */
    bool ended;     /* the byte stream is over                       */
    bool leaving;   /* a GOAWAY of either side                       */
    rmr_err broken; /* only our GOAWAY goes out now, for this reason */
    uint32_t n_open;
    uint32_t n_resets; /* by the client, or for it; less responses that
                          it took                                       */
    rmr_bytes rest; /* of a frame that did not fit in the last dst   */
    rmri_h2s_head *head;
    rmri_h2s_stream *streams; /* cfg.max_streams */
};

#define RMRI_H2S_MAX_RESETS 128

void rmri_h2s_set_callbacks(nghttp2_session_callbacks *cb);
rmri_h2s_stream *rmri_h2s_find(rmr_h2s *h, int32_t id);
/* Empties the slot, then tells the caller. */
void rmri_h2s_close_stream(rmr_h2s *h, rmri_h2s_stream *s, rmr_err why);
void rmri_h2s_drop_head(rmr_h2s *h);
/* Asks on_pull for nghttp2. */
nghttp2_data_provider rmri_h2s_provider(void);

#endif
