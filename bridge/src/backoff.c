/* The rest of a listener that ran out of descriptors. */
#include <remora/bridge.h>

void rmr_backoff_init(rmr_backoff *b)
{
    b->until = RMR_TIME_NEVER;
}

void rmr_backoff_failed(rmr_backoff *b, rmr_time now)
{
    rmr_time until = rmr_time_add(now, RMR_ACCEPT_PAUSE);
    /* A clock that went back must not shorten the rest (T3). */
    if (b->until == RMR_TIME_NEVER || until > b->until)
        b->until = until;
}

bool rmr_backoff_take(rmr_backoff *b, rmr_time now)
{
    if (b->until == RMR_TIME_NEVER || now < b->until)
        return false;
    b->until = RMR_TIME_NEVER;
    return true;
}

rmr_time rmr_backoff_deadline(const rmr_backoff *b)
{
    return b->until;
}
