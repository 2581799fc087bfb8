/* Keys that end while nothing is heard, those of peers and our own, and what a
 * node does that is not let in: nothing, until it is. */
#include "node_internal.h"

#include <string.h>

/* The reference's: a clock that is a little off must not drop a peer whose key
 * is being renewed, and an odd one must not make us look without end. */
#define GRACE (10 * RMR_SEC)
#define ODD_CLOCK (30 * RMR_SEC)

/* ---- peers ------------------------------------------------------------- */

void rmri_node_expiry_peer(rmr_node *n, const rmr_nm_node *peer)
{
    uint64_t at = peer->key_expiry_unix_ns;
    if (at && !peer->expired && (!n->peer_expiry || at < n->peer_expiry))
        n->peer_expiry = at;
}

void rmri_node_expiry_plan(rmr_node *n, rmr_time now)
{
    n->peer_expiry_at = RMR_TIME_NEVER;
    if (!n->nm || n->peer_expiry == 0)
        return;
    uint64_t wall = rmr_nm_server_time(n->nm, rmr_mc_wall(n->mc, now));
    if (wall == 0) /* nothing ends by a clock that is not set */
        return;
    rmr_dur wait = n->peer_expiry > wall
                       ? rmr_time_add(n->peer_expiry - wall, GRACE)
                       : ODD_CLOCK;
    n->peer_expiry_at = rmr_time_add(now, wait);
}

void rmri_node_expiry_handle_deadline(rmr_node *n, rmr_time now)
{
    if (now < n->peer_expiry_at)
        return;
    n->peer_expiry = rmr_nm_expire(n->nm, rmr_mc_wall(n->mc, now));
    rmri_node_expiry_plan(n, now);
}

/* ---- self -------------------------------------------------------------- */

static bool is_barred(const rmr_node *n)
{
    rmr_nm_node self;
    if (!rmr_nm_self(n->nm, &self))
        return false;
    return self.expired || n->key_ended || !self.machine_authorized;
}

/* Sessions and paths go; the netmap stays, and so do the program's
 * connections: who comes back soon finds them. */
static void shut(rmr_node *n, rmr_time now)
{
    rmr_nm_node peer;
    rmr_path_peer path;
    for (uint64_t pos = 0; rmr_nm_next_peer(n->nm, &pos, &peer);) {
        rmr_wg_peer wp = rmr_wg_peer_find(n->wg, peer.key);
        if (wp.id)
            rmr_wg_peer_remove(n->wg, now, wp);
        if (rmr_paths_find(n->paths, peer.key, &path))
            rmr_paths_peer_remove(n->paths, now, path);
    }
}

/* Who speaks WireGuard alone is known by its address: it must have a path. */
static void open_again(rmr_node *n)
{
    rmr_nm_node peer;
    for (uint64_t pos = 0; rmr_nm_next_peer(n->nm, &pos, &peer);)
        if (peer.wireguard_only)
            rmri_node_paths_peer(n, RMR_NM_PEER_ADDED, &peer, NULL);
}

void rmri_node_expiry_self(rmr_node *n, rmr_time now)
{
    bool barred = is_barred(n);
    if (barred == n->barred)
        return;
    n->barred = barred;
    n->dirty = true;
    if (barred)
        shut(n, now);
    else
        open_again(n);
    rmr_logf(&n->env.log, RMR_LOG_INFO, ND_LAYER, "%s",
             barred ? "not let in: no packets until that changes"
                    : "let in again");
}
