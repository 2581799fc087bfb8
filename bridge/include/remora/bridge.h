/*
 * remora/bridge.h - two byte streams joined: back-pressure, half-close, reset;
 * port maps; and the pause of a listener that ran out of descriptors.
 *
 * A bridge has two sides, A and B.  What comes from one side is queued (64 KiB a
 * direction) until the other side took it; an end of stream passes on after the
 * bytes before it; a reset ends both.
 *
 * Threading: one object, one thread.  Memory: the two queues, taken while they
 * hold something.  Time: only in rmr_backoff.
 */
#ifndef REMORA_BRIDGE_H
#define REMORA_BRIDGE_H

#include <remora/addr.h>
#include <remora/base.h>
#include <remora/dial.h>
#include <remora/ring.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RMR_BRIDGE_BUF ((size_t)64 * 1024)

typedef enum rmr_side { RMR_SIDE_A = 0, RMR_SIDE_B = 1 } rmr_side;

typedef struct rmr_bridge { /* caller-owned; fields are the layer's */
    rmr_ring from[2];    /* bytes that came from A, from B          */
    bool eof_in[2];      /* that side will send no more             */
    bool eof_out[2];     /* that side has been told the end         */
    bool reset;
    uint64_t bytes[2];   /* passed on, from A, from B               */
} rmr_bridge;

RMR_API void rmr_bridge_init(rmr_bridge *b, const rmr_alloc *a,
                             size_t buf_bytes /* 0: RMR_BRIDGE_BUF */);
RMR_API void rmr_bridge_wipe(rmr_bridge *b);
/** How many bytes of that side can be taken now: the credit to give it. */
RMR_API size_t rmr_bridge_space(const rmr_bridge *b, rmr_side from);
/** Bytes from a side; takes what fits.  Errors: STATE after that side's end. */
RMR_API rmr_err rmr_bridge_read(rmr_bridge *b, rmr_side from, rmr_bytes in,
                                size_t *taken);
/** That side will send no more. */
RMR_API void rmr_bridge_read_eof(rmr_bridge *b, rmr_side from);
/** That side is gone. */
RMR_API void rmr_bridge_reset(rmr_bridge *b);
/** What waits for a side; in place until the next non-const call. */
RMR_API rmr_bytes rmr_bridge_peek(const rmr_bridge *b, rmr_side to);
RMR_API void rmr_bridge_consume(rmr_bridge *b, rmr_side to, size_t n);
/** True once: all was passed to that side and it shall be told the end. */
RMR_API bool rmr_bridge_take_eof(rmr_bridge *b, rmr_side to);
/** Both ends passed on, or reset: close both. */
RMR_API bool rmr_bridge_is_done(const rmr_bridge *b);

/* ---- port maps -------------------------------------------------------- */

typedef struct rmr_forward { /* LOCAL=PEER:PORT, LOCAL = [ADDR:]PORT */
    rmr_addr local;          /* 127.0.0.1 when no address is given   */
    char peer[RMR_HOST_MAX]; /* a tailnet name or address            */
    uint16_t port;
} rmr_forward;

typedef struct rmr_serve { /* PORT=ADDR:PORT; ADDR may be "localhost" */
    uint16_t port;
    rmr_addr target;
} rmr_serve;

/** Errors: MALFORMED. */
RMR_API rmr_err rmr_forward_parse(rmr_bytes text, rmr_forward *out);
RMR_API rmr_err rmr_serve_parse(rmr_bytes text, rmr_serve *out);

/* ---- accept back-off -------------------------------------------------- */

/* When a listener runs out of descriptors it rests for a second; accepting at
 * once again would spin. */
#define RMR_ACCEPT_PAUSE RMR_SEC

typedef struct rmr_backoff {
    rmr_time until; /* RMR_TIME_NEVER: not resting */
} rmr_backoff;

RMR_API void rmr_backoff_init(rmr_backoff *b);
RMR_API void rmr_backoff_failed(rmr_backoff *b, rmr_time now);
/** True once, when the rest is over. */
RMR_API bool rmr_backoff_take(rmr_backoff *b, rmr_time now);
RMR_API rmr_time rmr_backoff_deadline(const rmr_backoff *b);

#ifdef __cplusplus
}
#endif
#endif
