/*
 * remora/posix.h - drives machines over poll(2).
 *
 * It performs the operations of remora/io.h with non-blocking sockets and files
 * and reports their events; it knows no protocol and starts no thread.  Blobs
 * are files in one directory (0700), each 0600, replaced atomically (temporary
 * file, fsync, rename, fsync of the directory).  Local endpoints are unix
 * sockets in the same directory.
 *
 * Threading: one loop, one thread; rmr_posix_wake() alone may be called from
 * signal handlers and other threads.  Memory: malloc.  Time: CLOCK_MONOTONIC
 * (CLOCK_BOOTTIME where there is one), sampled once a turn.
 *
 * Source: POSIX.1-2008.
 */
#ifndef REMORA_POSIX_H
#define REMORA_POSIX_H

#include <remora/base.h>
#include <remora/io.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rmr_posix rmr_posix;

typedef struct rmr_posix_config {
    uint32_t struct_size;
    const char *dir;      /* for blobs and local endpoints; copied; NULL: LOAD
                             and STORE fail with UNSUPPORTED                   */
    bool no_links;        /* don't tell interfaces and name servers            */
    rmr_log log;          /* for the adapter's own words                       */
} rmr_posix_config;

RMR_API void rmr_posix_config_init(rmr_posix_config *cfg, size_t struct_size);
/** malloc, getrandom, no log. */
RMR_API rmr_env rmr_posix_env(void);
/** The adapter's clock, in the machines' time. */
RMR_API rmr_time rmr_posix_now(void);

/** Creates `dir` (0700) when missing.  Errors: NOMEM, IO, DENIED (the directory
 *  can't be made, is not ours or is open to others). */
RMR_API rmr_err rmr_posix_new(rmr_posix **out, const rmr_posix_config *cfg);
/** Closes everything at once. */
RMR_API void rmr_posix_free(rmr_posix *p);
/** Adds a machine; retained until it stops or the adapter is freed.  Tells it
 *  WALL and LINKS at once.  Errors: NOMEM. */
RMR_API rmr_err rmr_posix_add(rmr_posix *p, const rmr_machine *m);
/** Runs until every machine has stopped.  The result is the first machine's
 *  (op.err of its RMR_IO_STOP), or IO. */
RMR_API rmr_err rmr_posix_run(rmr_posix *p);
/** One turn: waits at most `max_wait` for something to do, does it.  For hosts
 *  with a loop of their own.  *running: machines left. */
RMR_API rmr_err rmr_posix_turn(rmr_posix *p, rmr_dur max_wait,
                               size_t *running);
/** Async-signal-safe: every machine gets RMR_IO_STOP_REQUEST in the next turn. */
RMR_API void rmr_posix_request_stop(rmr_posix *p);
/** Async-signal-safe: ends the wait of the running turn. */
RMR_API void rmr_posix_wake(rmr_posix *p);

#ifdef __cplusplus
}
#endif
#endif
