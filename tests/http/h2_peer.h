/* A real HTTP/2 server for the client's tests: nghttp2's own. */
#ifndef REMORA_TEST_H2_PEER_H
#define REMORA_TEST_H2_PEER_H

#include <nghttp2/nghttp2.h>
#include <remora/h2.h>

#define PEER_STREAMS 64

typedef struct h2_answer { /* for one stream; body bytes are (offset * 7) */
    size_t body_len;
    size_t off;
    bool endless; /* no END_STREAM behind the body */
    bool trailers;
} h2_answer;

typedef struct h2_peer {
    nghttp2_session *s;
    char log[16 * 1024]; /* what the client asked */
    size_t log_len;
    uint8_t body[256 * 1024]; /* of all requests, in the order of arrival */
    size_t body_len;
    h2_answer answers[PEER_STREAMS];
    bool log_window_updates;
    size_t padding;
    int32_t window_update_sum; /* of stream 0 */
    bool dead;                 /* nghttp2 refused the client's bytes */
} h2_peer;

typedef struct h2_peer_config {
    uint32_t initial_window; /* 0: the default, with automatic updates */
    uint32_t max_streams;    /* 0: no limit */
    size_t padding;
} h2_peer_config;

void h2_peer_init(h2_peer *p, const h2_peer_config *cfg);
void h2_peer_free(h2_peer *p);
/* A response with these headers ("a: b\n...") and a body of that length. */
void h2_peer_respond(h2_peer *p, int32_t stream, const char *status,
                     const char *headers, size_t body_len, bool endless,
                     bool trailers);
uint8_t h2_peer_byte(size_t off);

/* Moves bytes both ways until nothing moves: client's output in dsts of
 * `out_step`, its input in pieces of `in_step`.  The client's first error. */
rmr_err h2_pump(h2_peer *p, rmr_h2 *h, size_t out_step, size_t in_step);
/* Only what the client has to say. */
rmr_err h2_pump_out(h2_peer *p, rmr_h2 *h, size_t out_step);

/* Called behind each rmr_h2_write, when set. */
extern void (*h2_peer_after_write)(void);

#endif
