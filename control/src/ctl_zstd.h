/* One zstd frame, decoded piece by piece in memory from rmr_alloc, which is
 * all given back when the frame is over. */
#ifndef REMORA_CONTROL_ZSTD_H
#define REMORA_CONTROL_ZSTD_H

#include <remora/base.h>
#include <remora/control.h>

/* Decisions 11: a window of at most 8 MiB. */
#define RMRI_CTL_WINDOW_LOG 23

typedef struct rmri_ctl_zstd rmri_ctl_zstd;

typedef rmr_err (*rmri_ctl_zstd_out)(void *user, rmr_bytes data);

/* Errors: NOMEM. */
rmr_err rmri_ctl_zstd_new(rmri_ctl_zstd **out, const rmr_alloc *a);
void rmri_ctl_zstd_free(rmri_ctl_zstd *z);
/* That which rests with `d`, or one of the same memory.  Errors: NOMEM. */
rmr_err rmri_ctl_zstd_borrow(rmri_ctl_zstd **out, rmr_ctl_decoder *d);
/* Back to `d`, wherever in its frame it is; freed where `d` has one already or
 * this one is large.  NULL is allowed. */
void rmri_ctl_zstd_return(rmri_ctl_zstd *z, rmr_ctl_decoder *d);
/* Takes all of `in`.  Errors: MALFORMED (also bytes behind the frame), TOOBIG
 * (the window), NOMEM, or what `out` said. */
rmr_err rmri_ctl_zstd_feed(rmri_ctl_zstd *z, rmr_bytes in,
                           rmri_ctl_zstd_out out, void *user);
/* Has the frame come to its end? */
bool rmri_ctl_zstd_is_done(const rmri_ctl_zstd *z);

/* Whether these bytes are a whole frame of a few bytes that were not compressed,
 * as a keep-alive is: `content` is in it then, and no decoder is needed (which
 * takes 100 KiB and some 10 us to make).  False: a decoder is to look at it. */
bool rmri_ctl_zstd_is_raw(rmr_bytes frame, rmr_bytes *content);

#endif
