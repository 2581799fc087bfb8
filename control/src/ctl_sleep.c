/* Debug.SleepSeconds: the server asks its clients to be quiet for a while.  The
 * map stream stays open, and nothing of it is read; what comes meanwhile is
 * held, as much as the stream's window lets through, and no more credit is
 * given.  The watchdog waits too.  Updates and the registration go on. */
#include "ctl_internal.h"

#include <string.h>

#define MAX_SLEEP_SEC 300u

bool rmri_ctl_sleeps(const rmr_ctl *c)
{
    return c->now < c->sleep_until;
}

void rmri_ctl_sleep_begin(rmr_ctl *c)
{
    uint32_t s = rmr_nm_sleep_seconds(c->nm);
    if (s == 0)
        return;
    s = s < MAX_SLEEP_SEC ? s : MAX_SLEEP_SEC;
    c->sleep_until = rmr_time_add(c->now, s * RMR_SEC);
    c->req[REQ_MAP].deadline = rmr_time_add(c->sleep_until, CTL_WATCHDOG);
    rmr_logf(&c->env.log, RMR_LOG_INFO, "control",
             "the server asks for %u s of silence", s);
}

static bool hold(rmr_ctl *c, rmr_bytes data)
{
    uint8_t *p =
        rmri_ctl_vec_add(&c->held, &c->env.alloc, data.len, CTL_MAX_HELD);
    if (p)
        memcpy(p, data.ptr, data.len);
    return p != NULL;
}

void rmri_ctl_sleep_body(rmr_ctl *c, rmr_bytes data)
{
    int32_t stream = c->req[REQ_MAP].stream;
    size_t n = rmri_ctl_map_body(c, data);
    rmr_bytes rest = rmr_bytes_of(data.ptr + n, data.len - n);
    bool is_ours = !c->dying && c->req[REQ_MAP].stream == stream;
    if (rest.len && is_ours && hold(c, rest))
        data.len = n;
    else if (rest.len && is_ours)
        rmri_ctl_die(c, RMR_E_NOMEM, "%s", "");
    (void)rmr_h2_consume(c->h2, stream, data.len);
}

void rmri_ctl_sleep_end(rmr_ctl *c)
{
    rmri_ctl_vec held = c->held;
    if (rmri_ctl_sleeps(c) || held.len == 0 || c->dying)
        return;
    c->held = (rmri_ctl_vec){0};
    rmri_ctl_sleep_body(c, rmr_bytes_of(held.p, held.len));
    rmri_ctl_vec_free(&held, &c->env.alloc);
}

void rmri_ctl_sleep_drop(rmr_ctl *c)
{
    rmri_ctl_vec_free(&c->held, &c->env.alloc);
}
