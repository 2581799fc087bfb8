/*
 * remora/gcd.h - drives machines over libdispatch (Grand Central Dispatch).
 *
 * Everything runs on one serial queue, the host's or its own: read and write
 * sources for the sockets (one for all of them where the host's kernel has a
 * descriptor that stands for many, as Linux's epoll), a timer source for the
 * deadlines, and the machines' functions in their handlers.  It knows no
 * protocol, starts no thread and waits for nothing.  Sockets, files and local
 * endpoints are io-posix's, with its rules (remora/posix.h); libdispatch tells
 * when there is something to take.
 *
 * Threading: functions marked [queue] are called on the queue, the others from
 * any thread.  A machine is called on the queue alone; whoever calls one itself
 * (rmr_node_dial ...) does so there, and then rmr_gcd_wake().  Memory: malloc,
 * as io-posix, and what libdispatch takes.  Time: rmr_posix_now().
 *
 *     rmr_gcd_config_init(&cfg, sizeof cfg);
 *     cfg.dir = "/var/lib/example";
 *     cfg.on_end = ended;                     // on the queue
 *     if (rmr_gcd_new(&g, &cfg) != RMR_OK)
 *         return 1;
 *     ... make a machine with rmr_posix_env() and rmr_posix_now() ...
 *     rmr_gcd_add(g, &machine);
 *     dispatch_main();                        // or the program's own run loop
 *     ...
 *     rmr_gcd_request_stop(g);                // from anywhere; on_end follows
 *     rmr_gcd_free(g);
 *
 * Source: dispatch(3), dispatch_source_create(3), dispatch_queue_create(3); the
 * rules in remora/io.h.
 */
#ifndef REMORA_GCD_H
#define REMORA_GCD_H

#include <dispatch/dispatch.h>

#include <remora/base.h>
#include <remora/io.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rmr_gcd rmr_gcd;

typedef struct rmr_gcd_config {
    uint32_t struct_size;
    const char *dir; /* for blobs and local endpoints; copied; NULL: none   */
    bool no_links;   /* don't tell interfaces and name servers              */
    rmr_log log;     /* for the adapter's own words                         */
    dispatch_queue_t queue; /* serial; retained until freed; NULL: its own  */
    void *user;
    /* No machine is left, and what they closed is flushed; on the queue.
     * `result`: the first machine's, or IO where waiting failed. */
    void (*on_end)(void *user, rmr_err result);
    bool portable; /* what any host with libdispatch has, and no more: as in
                      remora/posix.h, and a source for each socket          */
} rmr_gcd_config;

/**
 * No directory, links told, no log, a queue of its own.               [look]
 *
 * Effects: *cfg is overwritten.
 * Errors:  none.
 * Source:  none.
 */
RMR_API void rmr_gcd_config_init(rmr_gcd_config *cfg, size_t struct_size);

/**
 * An adapter without machines.                                      [submit]
 *
 * Effects:  as rmr_posix_new; dispatch sources, resumed.  It waits for what
 *           runs on the queue, unless it is called there.
 * Errors:   as rmr_posix_new.  *out is NULL then.
 * Lifetime: until rmr_gcd_free.
 * Source:   dispatch_source_create(3).
 */
RMR_API rmr_err rmr_gcd_new(rmr_gcd **out, const rmr_gcd_config *cfg);

/**
 * Closes everything at once, as rmr_posix_free.  On the queue or on any other
 * thread, where it waits for what runs on the queue; not in a machine's
 * callback, and not in on_end.                                        [pump]
 *
 * Effects: machines are not told.  On another thread all descriptors are
 *          closed when it comes back; on the queue some are closed by functions
 *          that the queue runs next.  NULL does nothing.
 * Errors:  none.
 * Source:  dispatch_source_cancel(3).
 */
RMR_API void rmr_gcd_free(rmr_gcd *g);

/**
 * Adds a machine.  Not in a machine's callback.                       [pump]
 *
 * Effects:  tells it WALL and, unless no_links was set, LINKS, on the queue,
 *           before this returns; a turn follows.
 * Errors:   NOMEM; CLOSED (on_end has been told).
 * Lifetime: as rmr_posix_add.
 * Source:   remora/io.h.
 */
RMR_API rmr_err rmr_gcd_add(rmr_gcd *g, const rmr_machine *m);

/**
 * The queue on which all of it runs.                                  [look]
 *
 * Effects:  none.
 * Errors:   none.
 * Lifetime: the adapter's, unless the caller retains it.
 * Source:   dispatch_queue_create(3).
 */
RMR_API dispatch_queue_t rmr_gcd_queue(const rmr_gcd *g);

/**
 * Every machine gets RMR_IO_STOP_REQUEST in the next turn.          [submit]
 *
 * Effects: as rmr_gcd_wake.
 * Errors:  none.
 * Source:  remora/io.h.
 */
RMR_API void rmr_gcd_request_stop(rmr_gcd *g);

/**
 * A turn comes soon: machines were called, and may want something.  Any number
 * of these before it make one turn.  Async-signal-safe.             [submit]
 *
 * Effects: none besides; errno is kept.
 * Errors:  none.
 * Source:  none.
 */
RMR_API void rmr_gcd_wake(rmr_gcd *g);

#ifdef __cplusplus
}
#endif
#endif
