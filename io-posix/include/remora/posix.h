/*
 * remora/posix.h - drives machines over poll(2) or epoll.
 *
 * It performs the operations of remora/io.h with non-blocking sockets and files
 * and reports their events; it knows no protocol and starts no thread.  Blobs
 * are files in one directory (0700), each 0600, replaced atomically (temporary
 * file, fsync, rename, fsync of the directory).  Local endpoints are unix
 * sockets in the same directory.
 *
 * Threading: one loop, one thread; rmr_posix_wake() and
 * rmr_posix_request_stop() alone may be called from signal handlers and other
 * threads.  Memory: malloc, 144 KiB an adapter.  Time: CLOCK_MONOTONIC
 * (CLOCK_BOOTTIME where there is one), sampled once a turn, after its wait.
 *
 *     rmr_posix_config_init(&cfg, sizeof cfg);
 *     cfg.dir = "/var/lib/example";
 *     if (rmr_posix_new(&p, &cfg) != RMR_OK)
 *         return 1;
 *     rmr_env env = rmr_posix_env();
 *     ... make a machine with env and rmr_posix_now() ...
 *     rmr_posix_add(p, &machine);
 *     err = rmr_posix_run(p);          // SIGTERM: rmr_posix_request_stop(p)
 *     rmr_posix_free(p);
 *
 * Source: POSIX.1-2008; the rules in remora/io.h.
 */
#ifndef REMORA_POSIX_H
#define REMORA_POSIX_H

#include <remora/base.h>
#include <remora/io.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rmr_posix rmr_posix;

/* For hosts whose loop watches descriptors one by one, where rmr_posix_fd has
 * none that stands for all (epoll is Linux's).  Called within rmr_posix_new, in
 * turns and in rmr_posix_free; neither may call the adapter, but `close` the
 * one function that it is told to. */
typedef struct rmr_posix_watcher {
    void *user;
    /* From now on a turn is due whenever `fd` is readable (`in`), writable
     * (`out`), or neither: then nothing is waited for.  A turn too many does
     * no harm. */
    void (*watch)(void *user, int fd, bool in, bool out);
    /* `fd` is needed no more: end its watch, close it, and call
     * rmr_posix_closed on the loop's thread, now or soon, and then take a
     * turn.  Until then no operation is asked of machines, so that what was
     * closed is closed when the next one opens.  Not after rmr_posix_free. */
    void (*close)(void *user, int fd);
} rmr_posix_watcher;

typedef struct rmr_posix_config {
    uint32_t struct_size;
    const char *dir; /* for blobs and local endpoints; copied; NULL: LOAD
                        and STORE fail with UNSUPPORTED                   */
    bool no_links;   /* don't tell interfaces and name servers            */
    rmr_log log;     /* for the adapter's own words                       */
    bool no_offload; /* a call for each datagram, even where the host can
                        cut and join runs of them                         */
    bool portable;   /* what any POSIX host has, and no more: poll(2), no
                        offload, links looked at every 10 s               */
    bool dir_shared; /* others may look into `dir`, but not write there:
                        for local endpoints that they may use             */
    const rmr_posix_watcher *watcher; /* copied; NULL: none               */
} rmr_posix_config;

typedef struct rmr_posix_stats {
    uint64_t runs_sent;     /* runs of datagrams sent by one call each      */
    uint64_t runs_refused;  /* the host would not: sent one by one          */
    uint64_t runs_received; /* runs that came joined                        */
    size_t n_open;          /* sockets, streams, listeners now              */
} rmr_posix_stats;

/**
 * No directory, links told, no log.
 *
 * Effects: *cfg is overwritten.
 * Errors:  none.
 * Source:  none.
 */
RMR_API void rmr_posix_config_init(rmr_posix_config *cfg, size_t struct_size);

/**
 * malloc, getentropy, no log.                                         [look]
 *
 * Effects: none.
 * Errors:  none; its RNG answers RMR_E_RNG when the system's fails.
 * Source:  none.
 */
RMR_API rmr_env rmr_posix_env(void);

/**
 * The adapter's clock, in the machines' time.                         [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  POSIX.1-2008, clock_gettime; CLOCK_BOOTTIME goes on in sleep.
 */
RMR_API rmr_time rmr_posix_now(void);

/**
 * An adapter without machines.                                      [submit]
 *
 * Effects: creates `dir` (0700) when it is missing, but not its parents.
 * Errors:  NOMEM; IO; DENIED (the directory can't be made, is not ours, or is
 *          open to others, or writable for them where `dir_shared` is set).
 *          *out is NULL then.
 * Source:  none.
 */
RMR_API rmr_err rmr_posix_new(rmr_posix **out, const rmr_posix_config *cfg);

/**
 * Closes everything at once.                                          [pump]
 *
 * Effects: nothing that is queued is sent; unfinished STOREs leave the old
 *          blob; files of local endpoints are removed; machines are not told.
 *          NULL does nothing.
 * Errors:  none.
 * Source:  none.
 */
RMR_API void rmr_posix_free(rmr_posix *p);

/**
 * Adds a machine.                                                     [pump]
 *
 * Effects:  tells it WALL and, unless no_links was set, LINKS at once.
 * Errors:   NOMEM.
 * Lifetime: m->self is retained until the machine has stopped (or answered
 *           with a fatal result), or the adapter is freed.
 * Source:   remora/io.h.
 */
RMR_API rmr_err rmr_posix_add(rmr_posix *p, const rmr_machine *m);

/**
 * Runs until every machine has stopped and its streams are flushed.   [pump]
 *
 * \return The first machine's result: op.err of its RMR_IO_STOP, or the fatal
 *         result with which it was dropped.
 *
 * Effects: all I/O of the machines; ends when they do.
 * Errors:  IO (poll failed) besides.
 * Source:  remora/io.h.
 */
RMR_API rmr_err rmr_posix_run(rmr_posix *p);

/**
 * One turn, for hosts with a loop of their own: performs what the machines
 * want, waits at most `max_wait` for something to do, and does it.    [pump]
 *
 * \param running  Machines left; one that has stopped counts until the streams
 *                 that it closed are flushed, which is bounded.
 *
 * Effects: the I/O of one turn; *running is written.
 * Errors:  IO (poll failed).
 * Source:  remora/io.h.
 */
RMR_API rmr_err rmr_posix_turn(rmr_posix *p, rmr_dur max_wait,
                               size_t *running);

/**
 * A descriptor for hosts whose own loop watches descriptors: readable whenever
 * rmr_posix_turn(p, 0, ...) has something to take.  It is for watching alone.
 * A turn is due at rmr_posix_next_deadline() too, and after calls of machines
 * that the host made itself.                                          [look]
 *
 * \return -1: there is none (no epoll, `portable`, or the host refused more
 *         watches; once -1 it stays so): the config's watcher is told then;
 *         without one take turns that wait instead.
 *
 * Effects:  none.
 * Errors:   none.
 * Lifetime: closed by the adapter, when it is freed or has none any more.
 * Source:   epoll(7).
 */
RMR_API int rmr_posix_fd(const rmr_posix *p);

/**
 * A descriptor that the watcher's `close` was given is closed.        [pump]
 *
 * Effects: with the last of them, operations are asked of machines again.
 * Errors:  none.
 * Source:  none.
 */
RMR_API void rmr_posix_closed(rmr_posix *p);

/**
 * When the next turn is due, if nothing comes in before.              [look]
 *
 * Effects: none.
 * Errors:  none; RMR_TIME_NEVER where there is nothing to wait for.
 * Source:  contract T4.
 */
RMR_API rmr_time rmr_posix_next_deadline(const rmr_posix *p);

/**
 * What rmr_posix_run would answer: the first machine's result.        [look]
 *
 * Effects: none.
 * Errors:  none; RMR_OK while it runs.
 * Source:  none.
 */
RMR_API rmr_err rmr_posix_result(const rmr_posix *p);

/**
 * What the adapter counted.                                           [look]
 *
 * Effects: *out is overwritten.
 * Errors:  none.
 * Source:  none.
 */
RMR_API void rmr_posix_get_stats(const rmr_posix *p, rmr_posix_stats *out);

/**
 * Every machine gets RMR_IO_STOP_REQUEST in the next turn.  Async-signal-safe,
 * and allowed from any thread.                                      [submit]
 *
 * Effects: as rmr_posix_wake.
 * Errors:  none.
 * Source:  remora/io.h.
 */
RMR_API void rmr_posix_request_stop(rmr_posix *p);

/**
 * Ends the wait of the running or next turn.  Async-signal-safe, and allowed
 * from any thread.                                                  [submit]
 *
 * Effects: none besides; errno is kept.
 * Errors:  none.
 * Source:  none.
 */
RMR_API void rmr_posix_wake(rmr_posix *p);

#ifdef __cplusplus
}
#endif
#endif
