/*
 * remora/ts2021.h - the record layer of TS2021 (controlbase), for both sides.
 *
 * Behind a Noise IK handshake (remora/noise.h) the stream is frames of at most
 * 4096 bytes, sealed by ChaCha20-Poly1305 with nonces of 4 zero bytes and a
 * counter, BIG endian, where Noise has it little endian.  A codec without I/O;
 * borders of records mean nothing to what is above.
 *
 * Threading: one object, one thread.  Memory: caller-owned; a frame is
 * allocated only while it has not come whole.  It holds keys, so
 * rmr_ts_record_wipe() it.  Time and randomness: none.
 *
 *     rmr_noise_split(&noise, send, recv);
 *     rmr_ts_record_init(&r, &env.alloc, send, recv);
 *     rmr_ts_record_read(&r, received, on_plain, me);
 *     memcpy(frame + RMR_TS_HEAD, plain, n);   // n <= RMR_TS_PLAIN_MAX
 *     rmr_ts_record_seal(&r, frame, n, &len);
 *
 * Source: tailscale control/controlbase, version 1.98.
 */
#ifndef REMORA_TS2021_H
#define REMORA_TS2021_H

#include <remora/base.h>
#include <remora/crypto.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RMR_TS_FRAME_MAX 4096
#define RMR_TS_HEAD 3 /* type, length of what follows (big endian) */
#define RMR_TS_PLAIN_MAX (RMR_TS_FRAME_MAX - RMR_TS_HEAD - RMR_TAG_LEN)
#define RMR_TS_INIT_LEN 101 /* version, type, length, message 1 */
#define RMR_TS_RESP_LEN 51  /* type, length, message 2 */

enum { /* frame types */
       RMR_TS_INITIATION = 1,
       RMR_TS_RESPONSE = 2,
       RMR_TS_ERROR = 3,
       RMR_TS_RECORD = 4
};

typedef struct rmr_ts_record { /* caller-owned; fields are the layer's */
    uint8_t send_key[RMR_KEY_LEN], recv_key[RMR_KEY_LEN];
    uint64_t send_counter, recv_counter;
    rmr_alloc alloc;
    size_t len; /* of a frame that has not come whole: what is there */
    rmr_err failed;
    uint8_t head[RMR_TS_HEAD]; /* its head ... */
    uint8_t *partial;          /* and behind that all of it, `want` bytes */
    size_t want;
} rmr_ts_record;

/** Plaintext of one record, never empty; borrowed, and writable.  A result
 *  other than RMR_OK stops the reader, which returns it. */
typedef rmr_err (*rmr_ts_plain_fn)(void *user, rmr_buf plain);

/** A stream of records before its first.                            [submit]
 *  Effects: on *r; alloc and both keys are copied.  Errors: none.
 *  Source: controlbase, conn. */
RMR_API void rmr_ts_record_init(rmr_ts_record *r, const rmr_alloc *alloc,
                                const uint8_t send_key[RMR_KEY_LEN],
                                const uint8_t recv_key[RMR_KEY_LEN]);
/** Clears the keys; one that is all zero is fine too.               [submit]
 *  Effects: on *r alone, whose memory is given back.  Errors: none.
 *  Source: contract S2. */
RMR_API void rmr_ts_record_wipe(rmr_ts_record *r);
/** Takes all of `in`, which is overwritten.                           [pump]
 *  Effects: calls `plain`, which may not read or wipe this reader.
 *  Errors: MALFORMED (type, length), AUTH, PROTOCOL (counter used up), NOMEM,
 *  or what `plain` said; sticky.
 *  Source: controlbase, conn.Read. */
RMR_API rmr_err rmr_ts_record_read(rmr_ts_record *r, rmr_buf in,
                                   rmr_ts_plain_fn plain, void *user);
/** Seals frame[3 ... 3 + n), with room for the tag behind; *len: the
 *  frame's.                                                         [submit]
 *  Effects: the counter goes on.
 *  Errors: INVAL (n above RMR_TS_PLAIN_MAX), PROTOCOL (counter used up).
 *  Source: controlbase, conn.Write. */
RMR_API rmr_err rmr_ts_record_seal(rmr_ts_record *r, uint8_t *frame, size_t n,
                                   size_t *len);

#ifdef __cplusplus
}
#endif
#endif
