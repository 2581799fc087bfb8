/* How often strangers may make the server work, or write a line.
 *
 * A bucket an address, told as the time at which its debt is paid.  The table
 * has room for 1,024 of them; a new one takes the place of the least debt in
 * its set.  So whoever comes from very many networks gets around it, and takes
 * nothing from others: a bucket that was given up is a full one. */
#include "crd_internal.h"

#include <string.h>

#define LINE_COST RMR_SEC
#define LINES_AT_ONCE 60

void rmri_crd_limit_init(crd_limit *l, const rmr_hash_key *key,
                         uint32_t per_sec, uint32_t burst)
{
    l->key = *key;
    l->cost = per_sec ? RMR_SEC / per_sec : 0;
    l->most = l->cost * (burst ? burst : 1);
}

static crd_debt *find(crd_limit *l, const rmr_addr *from)
{
    crd_debt wanted = {.family = from->family};
    size_t len = rmr_addr_ip_len(from);
    memcpy(wanted.net, from->ip,
           len < sizeof wanted.net ? len : sizeof wanted.net);
    uint64_t h = rmr_siphash(&l->key, wanted.net, sizeof wanted.net);
    crd_debt *set = l->of[h % CRD_LIMIT_SETS], *least = set;
    for (size_t i = 0; i < CRD_LIMIT_WAYS; i++) {
        if (set[i].family == wanted.family &&
            memcmp(set[i].net, wanted.net, sizeof wanted.net) == 0)
            return &set[i];
        if (set[i].until < least->until)
            least = &set[i];
    }
    *least = wanted;
    return least;
}

bool rmri_crd_limit_take(crd_limit *l, rmr_time now, const rmr_addr *from,
                         rmr_dur *wait)
{
    if (!l->cost)
        return true;
    crd_debt *d = find(l, from);
    rmr_time until = rmr_time_add(d->until > now ? d->until : now, l->cost);
    if (until - now > l->most) {
        *wait = until - now - l->most;
        return false;
    }
    d->until = until;
    return true;
}

bool rmri_crd_line(crd_lines *l, const rmr_log *log, rmr_time now,
                   const char *what)
{
    rmr_time until = rmr_time_add(l->until > now ? l->until : now, LINE_COST);
    if (until - now > LINE_COST * LINES_AT_ONCE) {
        l->left_out++;
        return false;
    }
    if (l->left_out)
        rmr_logf(log, RMR_LOG_INFO, CRD_LAYER, "%s: %llu lines were left out",
                 what, (unsigned long long)l->left_out);
    l->until = until;
    l->left_out = 0;
    return true;
}
