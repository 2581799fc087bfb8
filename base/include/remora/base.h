/*
 * remora/base.h - the words that every layer shares: results, time, borrowed
 * bytes, addresses, and the environment (memory, randomness, log) that the
 * host gives.
 *
 * It is not a utility library: a thing lives here only when two layers need it.
 *
 * The contract of every layer of remora, called T1...G1 elsewhere, is in
 * docs/integrating.md.  In short: no layer reads a clock, draws randomness,
 * allocates or does I/O but through what the caller gave; one object is used
 * by one thread at a time; pointers that are passed in or out are borrowed for
 * the call unless a function says "copied" or "retained until".
 *
 * Threading: all functions here are pure or touch only their arguments.
 * Memory: only rmr_alloc_zero and _raw take any, from the given allocator.
 * Time: none is read; instants and lengths are the caller's numbers.
 * Source: docs/integrating.md.
 *
 *     rmr_env env = { { my_alloc, my_release, heap },
 *                     { my_fill, source },
 *                     { my_write, sink, RMR_LOG_INFO } };
 *     struct thing *t = rmr_alloc_zero(&env.alloc, sizeof *t, 8);
 *     if (!t) return RMR_E_NOMEM;
 *     rmr_err err = rmr_rng_fill(&env.rng, t->key, sizeof t->key);
 *     if (err)
 *         rmr_logf(&env.log, RMR_LOG_ERROR, "mine", "%s", rmr_err_name(err));
 *     t->deadline = rmr_time_add(now, 5 * RMR_SEC);
 *     ...
 *     rmr_release_wiped(&env.alloc, t, sizeof *t);
 */
#ifndef REMORA_BASE_H
#define REMORA_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifdef __cplusplus
#define RMR_ALIGNAS(n) alignas(n)
#else
#define RMR_ALIGNAS(n) _Alignas(n)
#endif

#if defined(__GNUC__)
#define RMR_API __attribute__((visibility("default")))
#define RMR_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define RMR_API
#define RMR_PRINTF(f, a)
#endif

/* ---- time ------------------------------------------------------------- */

typedef uint64_t rmr_time; /* instant, ns, monotonic, origin is the caller's */
typedef uint64_t rmr_dur;  /* length of time, ns                             */

#define RMR_TIME_NEVER UINT64_MAX
#define RMR_US ((rmr_dur)1000)
#define RMR_MS ((rmr_dur)1000000)
#define RMR_SEC ((rmr_dur)1000000000)

/**
 * t + d, or RMR_TIME_NEVER where that would wrap; NEVER stays NEVER.  [look]
 *
 * Effects: none.  Errors: none.
 * Source:  contract T6 (additions saturate).
 */
static inline rmr_time rmr_time_add(rmr_time t, rmr_dur d)
{
    return t > RMR_TIME_NEVER - d ? RMR_TIME_NEVER : t + d;
}

/**
 * The time from `since` to `now`; 0 where `since` is later.           [look]
 *
 * Effects: none.  Errors: none.
 * Source:  contract T3 (a clock that went back is not an error).
 */
static inline rmr_dur rmr_time_since(rmr_time now, rmr_time since)
{
    return now > since ? now - since : 0;
}

/** The earlier of two instants, NEVER being the latest.               [look]
 *  Effects: none.  Errors: none.  Source: contract T4. */
static inline rmr_time rmr_time_min(rmr_time a, rmr_time b)
{
    return a < b ? a : b;
}

/* ---- results ---------------------------------------------------------- */

/*
 * RMR_OK or one negative code.  A code is -(layer * 1000 + class * 100 + n),
 * so that its class, which tells the caller what to do, can be computed.
 */
typedef int32_t rmr_err;

typedef enum rmr_errclass {
    RMR_CLASS_MISUSE = 0,  /* fix the program; the object is unchanged        */
    RMR_CLASS_DISCARD = 1, /* drop the input and go on; counted in the stats  */
    RMR_CLASS_AGAIN = 2,   /* retry after draining, or after an event         */
    RMR_CLASS_CLOSED = 3,  /* release that child or object; it has ended      */
    RMR_CLASS_FATAL = 4,   /* free the object; later pump calls answer alike  */
    RMR_CLASS_OK = 5
} rmr_errclass;

#define RMR_ERR(layer, cls, n) (-((layer) * 1000 + (cls) * 100 + (n)))

enum rmr_errcode {
    RMR_OK = 0,
    /* misuse */
    RMR_E_INVAL = RMR_ERR(0, 0, 1),
    RMR_E_STATE = RMR_ERR(0, 0, 2),
    RMR_E_REENTRANT = RMR_ERR(0, 0, 3),
    RMR_E_BADHANDLE = RMR_ERR(0, 0, 4),
    RMR_E_BUFSIZE = RMR_ERR(0, 0, 5),
    /* discard */
    RMR_E_MALFORMED = RMR_ERR(0, 1, 1),
    RMR_E_AUTH = RMR_ERR(0, 1, 2),
    RMR_E_REPLAY = RMR_ERR(0, 1, 3),
    RMR_E_UNKNOWN = RMR_ERR(0, 1, 4),
    RMR_E_RATELIMIT = RMR_ERR(0, 1, 5),
    RMR_E_UNSUPPORTED = RMR_ERR(0, 1, 6),
    RMR_E_TOOBIG = RMR_ERR(0, 1, 7),
    RMR_E_DENIED = RMR_ERR(0, 1, 8),
    RMR_E_NOTFOUND = RMR_ERR(0, 1, 9),
    /* again */
    RMR_E_FULL = RMR_ERR(0, 2, 1),
    RMR_E_NOTREADY = RMR_ERR(0, 2, 2),
    RMR_E_NOMEM = RMR_ERR(0, 2, 3),
    RMR_E_INUSE = RMR_ERR(0, 2, 4),
    RMR_E_NOFILES = RMR_ERR(0, 2, 5),
    /* closed */
    RMR_E_CLOSED = RMR_ERR(0, 3, 1),
    RMR_E_RESET = RMR_ERR(0, 3, 2),
    RMR_E_TIMEOUT = RMR_ERR(0, 3, 3),
    RMR_E_REFUSED = RMR_ERR(0, 3, 4),
    RMR_E_UNREACHABLE = RMR_ERR(0, 3, 5),
    RMR_E_IO = RMR_ERR(0, 3, 6),
    /* fatal */
    RMR_E_RNG = RMR_ERR(0, 4, 1),
    RMR_E_CALLBACK = RMR_ERR(0, 4, 2),
    RMR_E_INTERNAL = RMR_ERR(0, 4, 3),
    RMR_E_PROTOCOL = RMR_ERR(0, 4, 4)
};

/* Layer numbers for RMR_ERR; 0 is base. */
enum rmr_layer {
    RMR_LAYER_BASE = 0,
    RMR_LAYER_TLS = 1,
    RMR_LAYER_HTTP = 2,
    RMR_LAYER_CTL = 3,
    RMR_LAYER_DERP = 4,
    RMR_LAYER_NODE = 5
};

/**
 * The class of a result: what the caller should do about it.          [look]
 *
 * Effects: none.
 * Errors:  none; a positive or unknown value is RMR_CLASS_FATAL.
 * Source:  docs/integrating.md, errors.
 */
RMR_API rmr_errclass rmr_err_class(rmr_err e);

/**
 * The short name of a result, for logs ("timeout", "bad handle").     [look]
 *
 * \return A constant string, never NULL.  Codes of single layers are
 *         "layer error"; those layers have texts of their own.
 * Effects: none.  Errors: none.
 * Source:  docs/integrating.md, errors.
 */
RMR_API const char *rmr_err_name(rmr_err e);

/* ---- borrowed bytes --------------------------------------------------- */

typedef struct rmr_bytes { /* borrowed, read */
    const uint8_t *ptr;
    size_t len;
} rmr_bytes;

typedef struct rmr_buf { /* borrowed, write */
    uint8_t *ptr;
    size_t len;
} rmr_buf;

/** Borrowed bytes of a pointer and a length.                          [look]
 *  Effects: none.  Errors: none.  Source: contract M1. */
static inline rmr_bytes rmr_bytes_of(const void *ptr, size_t len)
{
    rmr_bytes b;
    b.ptr = (const uint8_t *)ptr;
    b.len = len;
    return b;
}

/** A borrowed buffer of a pointer and a length.                       [look]
 *  Effects: none.  Errors: none.  Source: contract M1. */
static inline rmr_buf rmr_buf_of(void *ptr, size_t len)
{
    rmr_buf b;
    b.ptr = (uint8_t *)ptr;
    b.len = len;
    return b;
}

/** The bytes of a C string, without its NUL; NULL gives no bytes.     [look]
 *  Effects: none.  Errors: none.  Source: contract M1. */
RMR_API rmr_bytes rmr_bytes_str(const char *s);

/** Equal length and content.  Not for secrets: its time depends on   [look]
 *  them, see rmr_equal_ct.
 *  Effects: none.  Errors: none.  Source: contract S2. */
RMR_API bool rmr_bytes_eq(rmr_bytes a, rmr_bytes b);

/** Equal to a C string; NULL is as "".                               [look]
 *  Effects: none.  Errors: none.  Source: as rmr_bytes_eq. */
RMR_API bool rmr_bytes_eq_str(rmr_bytes a, const char *s);

/** Equal but for the case of ASCII letters.                           [look]
 *  Effects: none.  Errors: none.  Source: RFC 9110 5.1, RFC 4343. */
RMR_API bool rmr_bytes_eq_nocase(rmr_bytes a, rmr_bytes b);

/* ---- environment ------------------------------------------------------ */

typedef struct rmr_alloc {
    void *(*alloc)(void *user, size_t size, size_t align); /* NULL: none left */
    void (*release)(void *user, void *ptr, size_t size);   /* ptr may be NULL */
    void *user;
} rmr_alloc;

typedef struct rmr_rng { /* the only source of randomness; may fail */
    rmr_err (*fill)(void *user, uint8_t *dst, size_t len);
    void *user;
} rmr_rng;

typedef enum rmr_log_level {
    RMR_LOG_OFF,
    RMR_LOG_ERROR,
    RMR_LOG_WARN,
    RMR_LOG_INFO,
    RMR_LOG_DEBUG,
    RMR_LOG_TRACE
} rmr_log_level;

typedef struct rmr_log { /* one finished line, NUL-terminated, no newline */
    void (*write)(void *user, rmr_log_level level, const char *layer,
                  const char *msg, size_t len);
    void *user;
    rmr_log_level max_level; /* nothing above this level is even formatted */
} rmr_log;

typedef struct rmr_env { /* copied by every _new */
    rmr_alloc alloc;
    rmr_rng rng;
    rmr_log log;
} rmr_env;

/**
 * Memory of `size` bytes, zeroed.
 *
 * \param align  A power of two.
 * \return NULL when the host has none; size 0 gives NULL.
 *
 * Effects:  one call of the host's alloc.
 * Errors:   NULL.
 * Lifetime: until rmr_release() with the same size.
 * Source:   contract M2.
 */
RMR_API void *rmr_alloc_zero(const rmr_alloc *a, size_t size, size_t align);
/** The same, not zeroed: for buffers that are written before they are read, so
 *  that what is never filled is never touched.
 *  Effects: as rmr_alloc_zero.  Errors: NULL.  Source: contract M2. */
RMR_API void *rmr_alloc_raw(const rmr_alloc *a, size_t size, size_t align);
/** Gives memory back; NULL does nothing.
 *  Effects: one call of the host's release.  Errors: none.
 *  Source: contract M2. */
RMR_API void rmr_release(const rmr_alloc *a, void *ptr, size_t size);

/** The same, cleared first in a way that no compiler removes.
 *  Effects: as rmr_release.  Errors: none.  Source: contract S2. */
RMR_API void rmr_release_wiped(const rmr_alloc *a, void *ptr, size_t size);

/** Overwrites `len` bytes with zeros; never optimised away.
 *  Effects: none besides.  Errors: none.  Source: contract S2. */
RMR_API void rmr_wipe(void *ptr, size_t len);

/** Equal content, in a time that depends on `len` alone.             [look]
 *  Effects: none.  Errors: none.  Source: contract S2. */
RMR_API bool rmr_equal_ct(const void *a, const void *b, size_t len);

/** Random bytes from the host; none are asked for when len is 0.
 *  Effects: one call of the host's fill.
 *  Errors: RNG, whatever the host's source answered; use nothing of dst then.
 *  Source: contract, randomness (no fallback). */
RMR_API rmr_err rmr_rng_fill(const rmr_rng *rng, void *dst, size_t len);

/** Formats and hands over one line of at most 511 bytes; does nothing above
 *  the log's level or without a sink.  Control characters become '?', so that
 *  a peer's text can't forge a line.  Secrets have no formatter.
 *  Effects: one call of the host's write.  Errors: none; what does not fit is
 *  cut.  Source: contract S3. */
RMR_API void rmr_logf(const rmr_log *log, rmr_log_level level,
                      const char *layer, const char *fmt, ...) RMR_PRINTF(4, 5);

#ifdef __cplusplus
}
#endif
#endif
