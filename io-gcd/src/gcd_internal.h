/* What the parts of the adapter share, and its own tests. */
#ifndef REMORA_GCD_INTERNAL_H
#define REMORA_GCD_INTERNAL_H

#include <remora/gcd.h>
#include <remora/posix.h>

typedef struct gcd_watch gcd_watch; /* gcd_each.c */

struct rmr_gcd {
    rmr_posix *posix;
    dispatch_queue_t queue;
    dispatch_group_t closing; /* what is not closed yet; outlives us in free */
    dispatch_source_t timer;
    dispatch_source_t input; /* of the one descriptor; NULL: there is none  */
    int fd;                  /* what `input` watches, a copy of io-posix's  */
    gcd_watch **watches;     /* by descriptor, where there is no `input`    */
    size_t cap_watches;
    size_t n_closing; /* of them, descriptors that are not closed yet       */
    bool is_over;     /* no machine is left, or it is being freed           */
    bool is_blind;    /* libdispatch refused a source: we look by the clock */
    int refs;         /* the owner, each source; on the queue               */
    void *user;
    void (*on_end)(void *user, rmr_err result);
    /* After each turn, on the queue; for tests. */
    void *watcher;
    void (*on_turn)(void *watcher, size_t running);
};

/* All on the queue. */

/* gcd.c: what the sources call. */
void rmri_gcd_turn(void *gcd);
/* A source whose handlers get `context`; NULL: no memory. */
dispatch_source_t rmri_gcd_source(const rmr_gcd *g, dispatch_source_type_t type,
                                  uintptr_t handle, void *context,
                                  dispatch_function_t on_cancelled);
void rmri_gcd_hold(rmr_gcd *g);
void rmri_gcd_let_go(rmr_gcd *g);

/* gcd_one.c: one source for all descriptors, where the host has such a one. */
void rmri_gcd_one_open(rmr_gcd *g);
/* Nothing is waited for any more. */
void rmri_gcd_one_close(rmr_gcd *g);

/* gcd_each.c: a source for each, for any host. */
rmr_posix_watcher rmri_gcd_each(rmr_gcd *g);
/* Nothing is waited for any more. */
void rmri_gcd_each_quiet(rmr_gcd *g);

#endif
