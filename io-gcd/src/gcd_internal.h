/* For the adapter's own tests. */
#ifndef REMORA_GCD_INTERNAL_H
#define REMORA_GCD_INTERNAL_H

#include <remora/gcd.h>
#include <remora/posix.h>

struct rmr_gcd {
    rmr_posix *posix;
    dispatch_queue_t queue;
    dispatch_source_t input, timer;
    int fd;      /* what `input` watches; its own, closed when that is over */
    bool is_over; /* no machine is left, or it is being freed              */
    bool has_fd; /* the adapter below still has one that stands for all     */
    int refs;    /* the owner, the two sources; on the queue                */
    void *user;
    void (*on_end)(void *user, rmr_err result);
    /* After each turn, on the queue; for tests. */
    void *watcher;
    void (*on_turn)(void *watcher, size_t running);
};

/* On the queue: what the sources call. */
void rmri_gcd_turn(void *gcd);

#endif
