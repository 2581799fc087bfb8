/*
 * Changes of peers, each applied as it is read.
 *
 * The protocol has an order: PeersRemoved, PeersChanged, PeerSeenChange,
 * OnlineChange, PeersChangedPatch; JSON members come in any order (Go writes
 * PeersChanged before PeersRemoved, and the patches before the two maps).  The
 * outcome is that of the right order all the same, by marks on the peers:
 *  - a peer that PeersChanged set in this frame is not removed by a
 *    PeersRemoved that comes later in it;
 *  - a PeersChanged that comes later keeps the fields that a patch or a map of
 *    this frame has set;
 *  - a map that comes later leaves what a patch of this frame has set.
 *  - deltas that stand before the PeersChanged that adds their peer (a new
 *    one, or one that PeersRemoved took away in between) wait for it
 *    (nm_ghost.c).
 */
#include "nm_internal.h"

#include <string.h>

static void mark(rmr_nm *nm, nm_peer *p, unsigned bits)
{
    if (p->frame != nm->frame) {
        p->frame = nm->frame;
        p->touched = 0;
    }
    p->touched |= (uint16_t)bits;
}

static unsigned marks(const rmr_nm *nm, const nm_peer *p)
{
    return p->frame == nm->frame ? p->touched : 0;
}

/* What of a peer the filter was compiled from: its addresses where it has
 * capabilities, and all of an unsigned one. */
static bool counts_for_filter(const rmr_nm *nm, const nm_peer *p)
{
    return (nm->filter_has_caps && p->n_caps) || (p->flags & NM_F_UNSIGNED);
}

static bool same_for_filter(const nm_peer *a, const nm_peer *b)
{
    nm_parts k, m;
    rmri_nm_parts(a, &k);
    rmri_nm_parts(b, &m);
    return !((a->flags | b->flags) & NM_F_UNSIGNED) && a->n_caps == b->n_caps &&
           a->n_addrs == b->n_addrs &&
           memcmp(k.caps, m.caps, a->n_caps * sizeof *k.caps) == 0 &&
           memcmp(k.addrs, m.addrs, a->n_addrs * sizeof *k.addrs) == 0;
}

static void tell(rmr_nm *nm, rmr_nm_change change, const nm_peer *p,
                 const uint8_t *old_key)
{
    rmr_nm_node view;
    nm->changed |= RMR_NM_PEERS;
    if (change == RMR_NM_PEER_ADDED)
        nm->stats.peers_added++;
    else if (change == RMR_NM_PEER_REMOVED)
        nm->stats.peers_removed++;
    else
        nm->stats.peers_changed++;
    if (change != RMR_NM_PEER_CHANGED && counts_for_filter(nm, p))
        nm->recompile = true;
    if (!nm->cb.on_peer)
        return;
    rmri_nm_view(nm, p, &view);
    nm->busy = true;
    nm->cb.on_peer(nm->cb.user, change, &view, old_key);
    nm->busy = false;
}

/* A peer is not any more what it was when the table was marked. */
static void note_unsaved(rmr_nm *nm, nm_peer *p)
{
    if (nm->marked && !p->unsaved) {
        p->unsaved = 1;
        nm->n_unsaved++;
    }
}

static void note_gone(rmr_nm *nm, const nm_peer *p)
{
    enum { MAX_GONE = 4096 };
    if (p->unsaved)
        nm->n_unsaved--;
    if (!nm->marked || nm->unsaved_unknown)
        return;
    uint64_t *at = rmri_ctl_vec_add(&nm->gone, &nm->alloc, sizeof *at,
                                    MAX_GONE * sizeof *at);
    if (at)
        *at = p->id;
    else
        nm->unsaved_unknown = true;
}

/* One that had no key before, or has none now, is another version. */
static void tell_restart(rmr_nm *nm, const nm_peer *old, const nm_peer *p)
{
    static const uint8_t none[RMR_KEY_LEN];
    rmr_nm_node view;
    if (!nm->cb.on_peer_restarted ||
        memcmp(old->disco, p->disco, RMR_KEY_LEN) == 0 ||
        memcmp(old->disco, none, RMR_KEY_LEN) == 0 ||
        memcmp(p->disco, none, RMR_KEY_LEN) == 0)
        return;
    rmri_nm_view(nm, p, &view);
    nm->busy = true;
    nm->cb.on_peer_restarted(nm->cb.user, &view);
    nm->busy = false;
}

/* `p` becomes the peer at `at`; an equal one only leaves its marks. */
static rmr_err put_in_place(rmr_nm *nm, size_t at, nm_peer *p)
{
    nm_peer *old = nm->peers[at];
    if (rmri_nm_peer_equal(old, p)) {
        old->frame = p->frame;
        old->touched = p->touched;
        rmri_nm_peer_free(nm, p);
        return RMR_OK;
    }
    bool counts = (counts_for_filter(nm, old) || counts_for_filter(nm, p)) &&
                  !same_for_filter(old, p);
    if (rmri_nm_swap(nm, at, p)) {
        nm_peer *before = p;
        p = old;
        old = before;
    } else {
        rmr_err e = rmri_nm_replace(nm, at, p);
        if (e) {
            rmri_nm_peer_free(nm, p);
            return e;
        }
    }
    nm->recompile = nm->recompile || counts;
    p->unsaved = old->unsaved;
    note_unsaved(nm, p);
    tell(nm, RMR_NM_PEER_CHANGED, p, old->key);
    tell_restart(nm, old, p);
    rmri_nm_peer_free(nm, old);
    return RMR_OK;
}

static rmr_err add_new(rmr_nm *nm)
{
    nm_peer *p = NULL;
    if (nm->n_peers >= nm->max_peers) {
        rmri_nm_drop(nm);
        return RMR_OK;
    }
    unsigned kept = 0;
    nm_peer *ghost = nm->section == F_CHANGED
                         ? rmri_nm_ghost_take(nm, nm->read->draft.head.id)
                         : NULL;
    rmr_err e = RMR_OK;
    if (ghost) {
        kept = ghost->touched;
        e = rmri_nm_unpack(nm, ghost, &nm->read->work);
        if (!e)
            e = rmri_nm_copy_fields(nm, &nm->read->draft, &nm->read->work,
                                    kept);
        rmri_nm_peer_free(nm, ghost);
    }
    if (!e)
        e = rmri_nm_pack(nm, &nm->read->draft, &p);
    if (e)
        return e;
    mark(nm, p, kept | NM_T_LISTED);
    e = rmri_nm_insert(nm, p);
    if (e) {
        rmri_nm_peer_free(nm, p);
        return e;
    }
    p->unsaved = 0;
    note_unsaved(nm, p);
    tell(nm, RMR_NM_PEER_ADDED, p, p->key);
    return RMR_OK;
}

/* ---- fields that deltas set ------------------------------------------- */

static rmr_err copy_list(rmr_nm *nm, rmri_ctl_vec *to, const rmri_ctl_vec *from)
{
    to->len = 0;
    if (from->len == 0)
        return RMR_OK;
    void *at = rmri_ctl_vec_add(to, &nm->alloc, from->len, SIZE_MAX);
    if (!at)
        return RMR_E_NOMEM;
    memcpy(at, from->p, from->len);
    return RMR_OK;
}

rmr_err rmri_nm_copy_fields(rmr_nm *nm, nm_draft *to, const nm_draft *from,
                            unsigned bits)
{
    if (bits & NM_T_P_DERP)
        to->head.home_derp = from->head.home_derp;
    if (bits & NM_T_P_CAP)
        to->head.cap = from->head.cap;
    if (bits & NM_T_P_KEY)
        memcpy(to->head.key, from->head.key, RMR_KEY_LEN);
    if (bits & NM_T_P_DISCO)
        memcpy(to->head.disco, from->head.disco, RMR_KEY_LEN);
    if (bits & (NM_T_P_ONLINE | NM_T_ONLINE))
        to->head.online = from->head.online;
    if (bits & (NM_T_P_SEEN | NM_T_SEEN))
        to->head.last_seen = from->head.last_seen;
    if (bits & NM_T_P_EXPIRY)
        to->head.key_expiry = from->head.key_expiry;
    if ((bits & NM_T_P_ENDPOINTS) &&
        copy_list(nm, &to->endpoints, &from->endpoints))
        return RMR_E_NOMEM;
    if ((bits & NM_T_P_CAPMAP) &&
        (copy_list(nm, &to->caps, &from->caps) ||
         copy_list(nm, &to->values, &from->values) ||
         copy_list(nm, &to->value_off, &from->value_off)))
        return RMR_E_NOMEM;
    return RMR_OK;
}

/* ---- sections --------------------------------------------------------- */

static rmr_err commit_self(rmr_nm *nm)
{
    nm_peer *p = NULL;
    rmr_err e = rmri_nm_pack(nm, &nm->read->draft, &p);
    if (e)
        return e;
    nm->had_node = true;
    if (nm->self && rmri_nm_peer_equal(nm->self, p)) {
        rmri_nm_peer_free(nm, p);
        return RMR_OK;
    }
    nm_parts k;
    rmri_nm_parts(p, &k);
    e = rmr_filter_set_local(nm->filter, k.addrs, p->n_addrs);
    if (e) {
        rmri_nm_peer_free(nm, p);
        return e;
    }
    rmri_nm_peer_free(nm, nm->self);
    nm->self = p;
    nm->changed |= RMR_NM_SELF;
    return RMR_OK;
}

static rmr_err commit_listed(rmr_nm *nm)
{
    nm_peer *p = NULL, *old;
    rmr_err e;
    size_t at = rmri_nm_lower_bound(nm, nm->read->draft.head.id);
    if (at == nm->n_peers || nm->peers[at]->id != nm->read->draft.head.id)
        return add_new(nm);
    old = nm->peers[at];
    unsigned kept = marks(nm, old);
    if (kept & ~(unsigned)NM_T_LISTED && nm->section == F_CHANGED) {
        e = rmri_nm_unpack(nm, old, &nm->read->work);
        if (!e)
            e = rmri_nm_copy_fields(nm, &nm->read->draft, &nm->read->work,
                                    kept);
        if (e)
            return e;
    } else {
        kept = 0;
    }
    e = rmri_nm_pack(nm, &nm->read->draft, &p);
    if (e)
        return e;
    mark(nm, p, kept | NM_T_LISTED);
    return put_in_place(nm, at, p);
}

static rmr_err commit_patch(rmr_nm *nm)
{
    nm_draft *d = &nm->read->draft;
    nm_peer *p = NULL;
    size_t at = rmri_nm_lower_bound(nm, d->head.id);
    if (at == nm->n_peers || nm->peers[at]->id != d->head.id)
        return rmri_nm_ghost_patch(nm);
    nm_peer *old = nm->peers[at];
    const unsigned stale = NM_T_P_DISCO | NM_T_P_ONLINE | NM_T_P_SEEN;
    if ((d->present & stale) == stale && !d->head.online &&
        d->head.last_seen <= old->last_seen)
        return RMR_OK;
    nm->stats.patches++;
    rmr_err e = rmri_nm_unpack(nm, old, &nm->read->work);
    if (!e)
        e = rmri_nm_copy_fields(nm, &nm->read->work, d, d->present);
    if (!e)
        e = rmri_nm_pack(nm, &nm->read->work, &p);
    if (e)
        return e;
    mark(nm, p, d->present);
    return put_in_place(nm, at, p);
}

rmr_err rmri_nm_commit_draft(rmr_nm *nm)
{
    if (nm->read->draft.bad || nm->read->draft.head.id == 0) {
        rmri_nm_drop(nm);
        return RMR_OK;
    }
    if (nm->section == F_NODE)
        return commit_self(nm);
    return nm->section == F_PATCH ? commit_patch(nm) : commit_listed(nm);
}

/* Takes `n` peers, already out of the array, out of all else. */
static rmr_err bury(rmr_nm *nm, nm_peer **gone, size_t n)
{
    rmr_err e = RMR_OK;
    for (size_t i = 0; i < n; i++) {
        rmri_nm_unindex(nm, gone[i]);
    }
    for (size_t i = 0; i < n; i++) {
        note_gone(nm, gone[i]);
        tell(nm, RMR_NM_PEER_REMOVED, gone[i], gone[i]->key);
        /* A PeersChanged that is still to come would bring it back with what
         * the deltas of this frame have set. */
        rmr_err lost = RMR_OK;
        if (!marks(nm, gone[i]) || nm->full_list)
            rmri_nm_peer_free(nm, gone[i]);
        else
            lost = rmri_nm_ghost_put(nm, gone[i]);
        e = e ? e : lost;
    }
    return e;
}

rmr_err rmri_nm_remove(rmr_nm *nm, uint64_t id)
{
    size_t at = rmri_nm_lower_bound(nm, id);
    if (at == nm->n_peers || nm->peers[at]->id != id)
        return RMR_OK;
    nm_peer *p = nm->peers[at];
    if (marks(nm, p) & NM_T_LISTED)
        return RMR_OK;
    nm->n_peers--;
    memmove(nm->peers + at, nm->peers + at + 1,
            (nm->n_peers - at) * sizeof *nm->peers);
    return bury(nm, &p, 1);
}

void rmri_nm_sweep(rmr_nm *nm)
{
    enum { BATCH = 512 };
    nm_peer *gone[BATCH];
    size_t n;
    do {
        size_t kept = 0;
        n = 0;
        for (size_t i = 0; i < nm->n_peers; i++) {
            nm_peer *p = nm->peers[i];
            if (n < BATCH && !(marks(nm, p) & NM_T_LISTED))
                gone[n++] = p;
            else
                nm->peers[kept++] = p;
        }
        nm->n_peers = kept;
        (void)bury(nm, gone, n); /* after a full list none is kept */
    } while (n == BATCH);
}

rmr_err rmri_nm_set_online(rmr_nm *nm, uint64_t id, bool online)
{
    nm_peer *p = rmri_nm_find(nm, id);
    if (!p)
        return rmri_nm_ghost_bool(nm, id, false, online);
    if (marks(nm, p) & NM_T_P_ONLINE)
        return RMR_OK;
    mark(nm, p, NM_T_ONLINE);
    if (p->online == (int8_t)online)
        return RMR_OK;
    p->online = (int8_t)online;
    note_unsaved(nm, p);
    tell(nm, RMR_NM_PEER_CHANGED, p, p->key);
    return RMR_OK;
}

rmr_err rmri_nm_set_seen(rmr_nm *nm, uint64_t id, bool seen)
{
    nm_peer *p = rmri_nm_find(nm, id);
    uint64_t at = seen ? nm->now : 0;
    if (!p)
        return rmri_nm_ghost_bool(nm, id, true, seen);
    if (marks(nm, p) & NM_T_P_SEEN)
        return RMR_OK;
    mark(nm, p, NM_T_SEEN);
    if (p->last_seen == at)
        return RMR_OK;
    p->last_seen = at;
    note_unsaved(nm, p);
    tell(nm, RMR_NM_PEER_CHANGED, p, p->key);
    return RMR_OK;
}
