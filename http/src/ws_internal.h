/* What the files of the WebSocket filter share. */
#ifndef RMRI_WS_INTERNAL_H
#define RMRI_WS_INTERNAL_H

#include <remora/http1.h>
#include <remora/websocket.h>

#define RMRI_WS_CONTROL_DATA 125u /* RFC 6455 5.5 */
#define RMRI_WS_HEAD_MAX 14u

enum {
    RMRI_WS_CONTINUATION = 0,
    RMRI_WS_TEXT = 1,
    RMRI_WS_BINARY = 2,
    RMRI_WS_CLOSE = 8,
    RMRI_WS_PING = 9,
    RMRI_WS_PONG = 10
};

typedef struct rmri_ws_frame { /* the one that comes in */
    uint8_t opcode;
    bool final, masked;
    uint8_t mask[4];
    uint64_t left; /* of its payload */
    uint64_t at;   /* bytes of payload before, for the mask */
} rmri_ws_frame;

struct rmr_ws {
    rmr_alloc alloc;
    rmr_rng rng;
    bool is_client;
    size_t max_message;
    rmr_err err; /* sticky */

    /* in */
    uint8_t head[RMRI_WS_HEAD_MAX];
    uint8_t head_len;
    bool in_frame;   /* the head was understood          */
    bool in_message; /* its last fragment was not final  */
    uint64_t message_len;
    rmri_ws_frame frame;
    uint8_t control[RMRI_WS_CONTROL_DATA]; /* the payload of a control frame */
    uint8_t control_len;

    /* out */
    uint8_t pong[RMRI_WS_CONTROL_DATA];
    uint8_t pong_len;
    bool pong_waits, ping_waits;
    uint8_t close[RMRI_WS_CONTROL_DATA];
    uint8_t close_len;
    bool close_asked, close_written;
    uint8_t masks[64]; /* random bytes that were not used yet, from the end */
    uint8_t masks_left;

    uint64_t pongs;
    uint16_t peer_code;
    bool ended; /* the stream below did, or the peer's close came */
};

/* RFC 3174.  For the upgrade alone: nothing rests on its strength. */
void rmri_ws_sha1(rmr_bytes in, uint8_t out[20]);

/* Bytes of payload, the first of which has the number `at` in its frame. */
void rmri_ws_mask(uint8_t *p, size_t len, const uint8_t mask[4], uint64_t at);

/* How long the head that begins so is, 2 to 14; len is at least 2. */
size_t rmri_ws_head_len(const uint8_t *head);
/* Checks all that a head alone shows (RFC 6455 5.2, 5.5). */
rmr_err rmri_ws_head_parse(const uint8_t *head, bool from_client,
                           rmri_ws_frame *out);
/* Writes head and, for a client, `mask`; returns its length. */
size_t rmri_ws_head_build(uint8_t *dst, uint8_t opcode, size_t len,
                          const uint8_t *mask);

bool rmri_ws_code_is_valid(unsigned code);

/* Queues our close frame unless there is one. */
void rmri_ws_queue_close(rmr_ws *w, uint16_t code, rmr_bytes reason);

#endif
