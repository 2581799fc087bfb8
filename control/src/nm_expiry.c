/* Node keys end while nothing comes from the server: who is told of that, and
 * when to look again. */
#include "nm_internal.h"

/* A clock before this is not set (the value is the reference's). */
#define SANE (1673373066 * (uint64_t)RMR_SEC)

static uint64_t adjusted(const rmr_nm *nm, uint64_t unix_ns)
{
    uint64_t off = nm->clock_offset < 0 ? (uint64_t)-nm->clock_offset
                                        : (uint64_t)nm->clock_offset;
    if (unix_ns == 0)
        return 0;
    if (nm->clock_offset < 0)
        unix_ns = unix_ns > off ? unix_ns - off : 0;
    else
        unix_ns = rmr_time_add(unix_ns, off);
    return unix_ns < SANE ? 0 : unix_ns;
}

uint64_t rmri_nm_adjusted_now(const rmr_nm *nm)
{
    return adjusted(nm, nm->now);
}

uint64_t rmr_nm_server_time(const rmr_nm *nm, uint64_t unix_ns)
{
    return adjusted(nm, unix_ns);
}

static void tell(rmr_nm *nm, const nm_peer *p)
{
    rmr_nm_node v;
    rmri_nm_view(nm, p, &v);
    nm->changed |= RMR_NM_PEERS;
    if (!nm->cb.on_peer)
        return;
    nm->busy = true;
    nm->cb.on_peer(nm->cb.user, RMR_NM_PEER_CHANGED, &v, p->key);
    nm->busy = false;
}

uint64_t rmr_nm_expire(rmr_nm *nm, uint64_t now_unix_ns)
{
    uint64_t before = nm->expired_to, now = adjusted(nm, now_unix_ns);
    uint64_t next = 0;
    if (nm->busy || nm->in_frame || now == 0)
        return 0;
    nm->now = now_unix_ns;
    nm->expired_to = now;
    nm->unsaved |= nm->changed;
    nm->changed = 0;
    for (size_t i = 0; i < nm->n_peers; i++) {
        const nm_peer *p = nm->peers[i];
        if (p->key_expiry == 0 || p->flags & NM_F_EXPIRED)
            continue;
        if (p->key_expiry > now)
            next = !next || p->key_expiry < next ? p->key_expiry : next;
        else if (p->key_expiry > before)
            tell(nm, p);
    }
    if (nm->changed && nm->cb.on_frame) {
        nm->busy = true;
        nm->cb.on_frame(nm->cb.user, nm->changed);
        nm->busy = false;
    }
    return next;
}
