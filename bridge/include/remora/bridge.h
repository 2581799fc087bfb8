/*
 * remora/bridge.h - two byte streams joined: back-pressure, half-close, reset;
 * port maps; and the pause of a listener that ran out of descriptors.
 *
 * A bridge has two sides, A and B.  What comes from one side is queued (64 KiB
 * a direction) until the other side took it; an end of stream passes on after
 * the bytes before it; a reset ends both.  It owns no stream and opens none:
 * the host reads, writes, shuts and closes.
 *
 * Threading: one object, one thread.  Memory: the two queues, taken while they
 * hold something, through the rmr_alloc given.  Time: only in rmr_backoff.
 * Source: RFC 9293 3.6 (half-close); the rest is remora's own.
 *
 *     rmr_bridge_init(&b, &env.alloc, 0);
 *     give side A a read credit of rmr_bridge_space(&b, RMR_SIDE_A);
 *     bytes from A:   rmr_bridge_read(&b, RMR_SIDE_A, in, &taken);
 *     end of A:       rmr_bridge_read_eof(&b, RMR_SIDE_A);
 *     A or B broke:   rmr_bridge_reset(&b);
 *     then for each side `to`:
 *         v = rmr_bridge_peek(&b, to);  n = what the stream took of v;
 *         rmr_bridge_consume(&b, to, n);
 *         if (rmr_bridge_take_eof(&b, to)) shut that stream's sending side;
 *     if (rmr_bridge_is_done(&b)) close both, rmr_bridge_wipe(&b);
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

/**
 * Begins with both directions open and empty.                        [submit]
 *
 * \param a          Copied.
 * \param buf_bytes  Of each direction; 0: RMR_BRIDGE_BUF.
 *
 * Effects: none; memory is taken with the first byte.
 * Errors: none.
 * Source: none.
 */
RMR_API void rmr_bridge_init(rmr_bridge *b, const rmr_alloc *a,
                             size_t buf_bytes);

/**
 * Frees the queues, overwriting them; the bridge is then done.       [submit]
 *
 * Effects: both queues are overwritten and given back.
 * Errors:  none.
 * Source:  contract S2.
 */
RMR_API void rmr_bridge_wipe(rmr_bridge *b);

/**
 * How many bytes of that side can be taken now: the credit to give it.  0 after
 * its end and after a reset.                                            [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  contract B1.
 */
RMR_API size_t rmr_bridge_space(const rmr_bridge *b, rmr_side from);

/**
 * Bytes from a side; takes what fits, the caller keeps the rest.        [pump]
 *
 * Effects: something waits for the other side.
 * Errors:  RMR_E_STATE after that side's end, or a reset; RMR_E_NOMEM when
 *          there was room for a byte but no memory (*taken is 0, unchanged).
 * Source:  none.
 */
RMR_API rmr_err rmr_bridge_read(rmr_bridge *b, rmr_side from, rmr_bytes in,
                                size_t *taken);

/**
 * That side will send no more.  Again, or after a reset: nothing.       [pump]
 *
 * Effects: rmr_bridge_take_eof of the other side, once its bytes are consumed.
 * Errors: none.
 * Source: RFC 9293 3.6.
 */
RMR_API void rmr_bridge_read_eof(rmr_bridge *b, rmr_side from);

/**
 * One side is gone in both directions; what is queued is dropped.       [pump]
 *
 * Effects: the bridge is done.
 * Errors: none.
 * Source: RFC 9293 3.10.7 (a reset is not an end of stream).
 */
RMR_API void rmr_bridge_reset(rmr_bridge *b);

/**
 * What waits for a side, in place; there may be more behind it.         [look]
 *
 * Lifetime: until the next non-const call.
 * Effects: none.
 * Errors:  none.
 * Source:  none.
 */
RMR_API rmr_bytes rmr_bridge_peek(const rmr_bridge *b, rmr_side to);

/**
 * Drops the first n bytes of what waits for a side: it has them.        [pump]
 *
 * Effects: gives room to the other side; frees an emptied queue.
 * Errors: none; more than there is means all.
 * Source: none.
 */
RMR_API void rmr_bridge_consume(rmr_bridge *b, rmr_side to, size_t n);

/**
 * True once: all was passed to that side and it shall be told the end.  [pump]
 *
 * Effects: counts as told; both told means done.
 * Errors: none.
 * Source: RFC 9293 3.6.
 */
RMR_API bool rmr_bridge_take_eof(rmr_bridge *b, rmr_side to);

/**
 * Both ends passed on, or reset: close both streams.                    [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  none.
 */
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

/**
 * Reads "8080=peer:80", "127.0.0.1:8080=peer:80" or
 * "[::1]:8080=[fd7a::1]:80".                                            [look]
 *
 * The local address may be "localhost".  PEER is a name of letters, digits,
 * '-', '_' and '.', an IPv4 address, or an IPv6 address in brackets (stored
 * without them).  No port may be 0.
 *
 * Effects: *out is written.
 * Errors:  RMR_E_MALFORMED; *out is untouched then.
 * Source:  none.
 */
RMR_API rmr_err rmr_forward_parse(rmr_bytes text, rmr_forward *out);

/**
 * Reads "80=127.0.0.1:8088", "80=[::1]:8088", "80=localhost:8088", or
 * "80=8088", which means 127.0.0.1.  No port may be 0.                  [look]
 *
 * Effects: *out is written.
 * Errors:  RMR_E_MALFORMED; *out is untouched then.
 * Source:  none.
 */
RMR_API rmr_err rmr_serve_parse(rmr_bytes text, rmr_serve *out);

/* ---- accept back-off -------------------------------------------------- */

/* When a listener runs out of descriptors it rests for a second; accepting at
 * once again would spin. */
#define RMR_ACCEPT_PAUSE RMR_SEC

typedef struct rmr_backoff {
    rmr_time until; /* RMR_TIME_NEVER: not resting */
} rmr_backoff;

/**
 * Begins awake.                                                      [submit]
 *
 * Effects: *b is overwritten.
 * Errors:  none.
 * Source:  none.
 */
RMR_API void rmr_backoff_init(rmr_backoff *b);

/**
 * Accepting failed for want of descriptors: rest for RMR_ACCEPT_PAUSE from now.
 * While resting it rests longer, never shorter.                      [submit]
 *
 * Effects: sets the deadline.
 * Errors: none.
 * Source: none.
 */
RMR_API void rmr_backoff_failed(rmr_backoff *b, rmr_time now);

/**
 * True once, when the rest is over: accept again.                       [pump]
 *
 * Effects: clears the deadline when it answers true.
 * Errors: none.
 * Source: contract T5.
 */
RMR_API bool rmr_backoff_take(rmr_backoff *b, rmr_time now);

/**
 * When the rest is over; RMR_TIME_NEVER when awake.                     [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  contract T4.
 */
RMR_API rmr_time rmr_backoff_deadline(const rmr_backoff *b);

#ifdef __cplusplus
}
#endif
#endif
