/*
 * Deltas of a frame whose peer is not in the table (yet).  The protocol says
 * that PeersChanged comes before them, but JSON members come in any order, so
 * they are kept as blocks with marks, as of peers, until PeersChanged was read
 * or the frame ends.  Servers write it first, so there are none as a rule;
 * what is above the bound is lost.
 */
#include "nm_internal.h"

#include <string.h>

static nm_peer **all(rmr_nm *nm)
{
    return (nm_peer **)(void *)nm->ghosts.p;
}

static size_t count(const rmr_nm *nm)
{
    return nm->ghosts.len / sizeof(nm_peer *);
}

void rmri_nm_ghosts_free(rmr_nm *nm)
{
    for (size_t i = 0; i < count(nm); i++)
        rmri_nm_peer_free(nm, all(nm)[i]);
    rmri_ctl_vec_free(&nm->ghosts, &nm->alloc);
    nm->ghost_bytes = 0;
}

static nm_peer **find(rmr_nm *nm, uint64_t id)
{
    for (size_t i = 0; i < count(nm); i++) {
        if (all(nm)[i]->id == id)
            return &all(nm)[i];
    }
    return NULL;
}

nm_peer *rmri_nm_ghost_take(rmr_nm *nm, uint64_t id)
{
    nm_peer **at = find(nm, id);
    if (!at)
        return NULL;
    nm_peer *p = *at;
    *at = all(nm)[count(nm) - 1];
    nm->ghosts.len -= sizeof p;
    nm->ghost_bytes -= p->size;
    return p;
}

rmr_err rmri_nm_ghost_put(rmr_nm *nm, nm_peer *p)
{
    nm_peer **at = NULL;
    bool wanted =
        !nm->saw_changed && nm->ghost_bytes + p->size <= NM_MAX_GHOST_BYTES;
    if (wanted)
        at = rmri_ctl_vec_add(&nm->ghosts, &nm->alloc, sizeof *at, SIZE_MAX);
    if (!at) {
        rmri_nm_peer_free(nm, p);
        return wanted ? RMR_E_NOMEM : RMR_OK;
    }
    *at = p;
    nm->ghost_bytes += p->size;
    return RMR_OK;
}

/* nm->read->work becomes what is known of that id; its marks. */
static rmr_err recall(rmr_nm *nm, uint64_t id, uint16_t *touched)
{
    nm_peer *p = rmri_nm_ghost_take(nm, id);
    *touched = 0;
    if (!p) {
        rmri_nm_draft_begin(&nm->read->work);
        nm->read->work.head.id = id;
        return RMR_OK;
    }
    *touched = p->touched;
    rmr_err e = rmri_nm_unpack(nm, p, &nm->read->work);
    rmri_nm_peer_free(nm, p);
    return e;
}

static rmr_err keep(rmr_nm *nm, uint16_t touched)
{
    nm_peer *p = NULL;
    rmr_err e = rmri_nm_pack(nm, &nm->read->work, &p);
    if (e)
        return e;
    p->frame = nm->frame;
    p->touched = touched;
    return rmri_nm_ghost_put(nm, p);
}

rmr_err rmri_nm_ghost_patch(rmr_nm *nm)
{
    uint16_t touched;
    nm_draft *d = &nm->read->draft;
    if (nm->saw_changed)
        return RMR_OK;
    rmr_err e = recall(nm, d->head.id, &touched);
    if (!e)
        e = rmri_nm_copy_fields(nm, &nm->read->work, d, d->present);
    return e ? e : keep(nm, (uint16_t)(touched | d->present));
}

rmr_err rmri_nm_ghost_bool(rmr_nm *nm, uint64_t id, bool seen, bool on)
{
    uint16_t touched;
    if (nm->saw_changed || id == 0)
        return RMR_OK;
    rmr_err e = recall(nm, id, &touched);
    if (e)
        return e;
    if (seen && !(touched & NM_T_P_SEEN)) {
        nm->read->work.head.last_seen = on ? nm->now : 0;
        touched |= NM_T_SEEN;
    } else if (!seen && !(touched & NM_T_P_ONLINE)) {
        nm->read->work.head.online = (int8_t)on;
        touched |= NM_T_ONLINE;
    }
    return keep(nm, touched);
}
