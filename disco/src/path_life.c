/* Lifetime probing: how long does a NAT keep a silent mapping?  After the
 * heartbeat ended, one side pings after a silence of nearly 10, 30, 60 s.  For
 * statistics only; one cycle a peer a day. */
#include "path_internal.h"

#include <string.h>

#define SLACK (2 * RMR_SEC)
#define TOLERANCE (250 * RMR_MS)
#define CYCLE (24 * 3600 * RMR_SEC)

static const rmr_dur cliffs[3] = {10 * RMR_SEC, 30 * RMR_SEC, 60 * RMR_SEC};

static rmr_dur silence(const path_hot *h)
{
    return cliffs[h->life_step] - SLACK;
}

void rmri_path_life_start(rmr_paths *p, rmr_time now, path_hot *h)
{
    path_peer *peer = h->peer;
    if (!rmri_path_has(p, RMR_PATHS_PROBE_LIFETIME) || !peer->dkey ||
        h->best.udp.family == RMR_AF_NONE || now < peer->life_next ||
        memcmp(p->disco_public, peer->dkey->key, RMR_KEY_LEN) > 0)
        return;
    peer->life_next = rmr_time_add(now, CYCLE);
    h->life_step = 0;
    h->life_at = rmr_time_add(now, silence(h));
}

static bool was_heard(const path_hot *h, rmr_time now, rmr_time *last)
{
    const rmr_time times[] = {h->last_send, h->last_recv, h->last_disco};
    *last = 0;
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        if (times[i] != RMR_TIME_NEVER && times[i] > *last)
            *last = times[i];
    return rmr_time_since(now, *last) + TOLERANCE < silence(h);
}

void rmri_path_life_due(rmr_paths *p, rmr_time now, path_hot *h)
{
    rmr_time last;
    h->life_at = RMR_TIME_NEVER;
    if (h->best.udp.family == RMR_AF_NONE || !h->peer->dkey ||
        h->peer->expired || rmri_path_has(p, RMR_PATHS_NO_UDP))
        return;
    if (was_heard(h, now, &last)) {
        h->life_at = rmr_time_add(last, silence(h));
        return;
    }
    rmr_path_to to = {.udp = h->best.udp, .socket = h->best.socket};
    if (rmri_path_ping(p, now, h, &to, PING_LIFETIME, 0))
        p->stats.lifetime_sent[h->life_step]++;
}

void rmri_path_life_pong(rmr_paths *p, rmr_time now, path_hot *h)
{
    p->stats.lifetime_alive[h->life_step]++;
    if (h->heartbeat_at != RMR_TIME_NEVER || h->life_step == 2)
        return;
    h->life_step++;
    h->life_at = rmr_time_add(now, silence(h));
}
