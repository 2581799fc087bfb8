/* To a client's stream: small frames and packets in turn. */
#include "dsw_internal.h"

#include <remora/cursor.h>

#include <string.h>

static size_t put_frame(uint8_t *p, rmr_derp_type type, const void *body,
                        size_t n)
{
    rmri_derp_put_header(p, type, n);
    if (n)
        memcpy(p + RMRI_DERP_HEADER, body, n);
    return RMRI_DERP_HEADER + n;
}

/* Once: the shared key is not needed again. */
static size_t put_server_info(rmr_dsw *sw, rmri_dsw_client *c, uint8_t *p)
{
    uint8_t nonce[RMR_BOX_NONCE_LEN];
    if (rmr_rng_fill(&sw->env.rng, nonce, sizeof nonce) != RMR_OK) {
        rmri_dsw_kill(sw, c, RMR_E_RNG);
        return 0;
    }
    size_t n = rmri_derp_build_server_info(p, c->shared, nonce);
    rmr_wipe(c->shared, sizeof c->shared);
    return n;
}

static size_t put_restarting(const rmr_dsw *sw, uint8_t *p)
{
    uint8_t body[8];
    rmr_store_be32(body, sw->restart_in_ms);
    rmr_store_be32(body + 4, sw->restart_for_ms);
    return put_frame(p, RMR_DERP_RESTARTING, body, sizeof body);
}

static size_t put_health(rmr_dsw *sw, rmri_dsw_client *c, uint8_t *p)
{
    uint8_t *h = c->health;
    size_t n = put_frame(p, RMR_DERP_HEALTH, h + 1, h[0]);
    rmr_release(&sw->env.alloc, h, 1u + h[0]);
    c->health = NULL;
    return n;
}

/* The first of those that are due, in the order of their bits. */
static size_t put_due(rmr_dsw *sw, rmri_dsw_client *c, uint8_t *p)
{
    uint8_t bit = (uint8_t)(c->out & (~c->out + 1u));
    c->out = (uint8_t)(c->out & ~bit);
    switch (bit) {
    case DSW_OUT_SERVER_KEY:
        return rmri_derp_build_server_key(p, sw->public_key);
    case DSW_OUT_SERVER_INFO:
        return put_server_info(sw, c, p);
    case DSW_OUT_RESTARTING:
        return put_restarting(sw, p);
    case DSW_OUT_HEALTH:
        return put_health(sw, c, p);
    case DSW_OUT_PONG:
        sw->stats.pongs++;
        return put_frame(p, RMR_DERP_PONG, c->pong, sizeof c->pong);
    default:
        return put_frame(p, RMR_DERP_KEEP_ALIVE, NULL, 0);
    }
}

/* One small frame; *full: there is one, but not the room. */
static size_t write_small(rmr_dsw *sw, rmri_dsw_client *c, rmr_buf dst,
                          bool *full)
{
    size_t longest = c->out & DSW_OUT_HEALTH ? RMRI_DERP_HEADER + c->health[0]
                                             : RMRI_DSW_SMALL_MAX;
    if (longest < RMRI_DSW_SMALL_MAX)
        longest = RMRI_DSW_SMALL_MAX;
    bool is_due = c->out || c->notes || (c->watch && c->watch->is_dumping);
    *full = is_due && dst.len < longest;
    if (!is_due || *full)
        return 0;
    if (c->out)
        return put_due(sw, c, dst.ptr);
    size_t n = rmri_dsw_write_note(sw, c, dst);
    sw->notes_out += n > 0;
    return n;
}

static size_t write_cut(rmr_dsw *sw, rmri_dsw_client *c, rmr_buf dst)
{
    rmri_dsw_pkt *p = c->cut;
    size_t n = p->len - c->cut_at;
    if (n > dst.len)
        n = dst.len;
    memcpy(dst.ptr, p->frame + c->cut_at, n);
    c->cut_at += (uint32_t)n;
    if (c->cut_at == p->len) {
        c->cut = NULL;
        rmri_dsw_pkt_free(sw, p);
    }
    return n;
}

/* One packet, whole; or a part of it, when nothing else went into dst. */
static size_t write_packet(rmr_dsw *sw, rmri_dsw_client *c, rmr_buf dst,
                           bool may_cut)
{
    rmr_dsw_kind kind = c->turn ? RMR_DSW_OTHER : RMR_DSW_DISCO;
    if (!c->queue[kind].n)
        kind = kind == RMR_DSW_OTHER ? RMR_DSW_DISCO : RMR_DSW_OTHER;
    if (!c->queue[kind].n || (c->queue[kind].head->len > dst.len && !may_cut))
        return 0;
    rmri_dsw_pkt *p = rmri_dsw_dequeue(c, kind);
    c->turn = kind == RMR_DSW_DISCO;
    sw->stats.queued_pkts--;
    sw->stats.tx_pkts++;
    sw->stats.tx_bytes += p->len - RMRI_DERP_HEADER - RMR_KEY_LEN;
    rmri_dsw_queue_time(sw, p);
    rmri_dsw_note_pair(sw, c, p);
    c->cut = p;
    c->cut_at = 0;
    return write_cut(sw, c, dst);
}

/* *frames: those that begin here. */
static size_t write_frames(rmr_dsw *sw, rmri_dsw_client *c, rmr_buf dst,
                           uint32_t *frames)
{
    size_t n = 0, took;
    bool full = false;
    if (c->cut)
        n = write_cut(sw, c, dst);
    if (c->cut)
        return n;
    do {
        took = write_small(sw, c, rmr_buf_of(dst.ptr + n, dst.len - n), &full);
        n += took;
        *frames += took > 0;
        /* Small frames that wait for room go first in the next turn. */
        if (!full && n < dst.len) {
            size_t k = write_packet(sw, c, rmr_buf_of(dst.ptr + n, dst.len - n),
                                    n == 0);
            n += k;
            took += k;
            *frames += k > 0;
        }
    } while (took && !full && !c->cut && n < dst.len);
    return n;
}

static void count_write(rmr_dsw *sw, rmri_dsw_client *c, uint32_t frames,
                        uint64_t notes)
{
    rmri_dsw_watch *w = c->watch;
    if (frames > 0)
        rmri_dsw_observe(&sw->stats.write_frames, frames);
    if (!w)
        return;
    if (notes > 0) {
        rmri_dsw_observe(&sw->stats.mesh_batches, (uint32_t)notes);
        w->writes++;
    }
    if (w->writes > 0 && !c->notes && !w->is_dumping) {
        rmri_dsw_observe(&sw->stats.mesh_loops, w->writes);
        w->writes = 0;
    }
}

rmr_err rmr_dsw_write(rmr_dsw *sw, rmr_time now, rmr_dsw_client h, rmr_buf dst,
                      size_t *len)
{
    rmri_dsw_client *c = rmri_dsw_get(sw, h.id);
    uint64_t notes = sw->notes_out;
    uint32_t frames = 0;
    *len = 0;
    if (sw->in_callback)
        return RMR_E_REENTRANT;
    if (!c)
        return RMR_E_BADHANDLE;
    if (dst.len < RMR_DSW_WRITE_MIN)
        return RMR_E_BUFSIZE;
    rmri_dsw_clamp(sw, now);
    if (c->state == DSW_DEAD)
        return RMR_OK;
    size_t n = write_frames(sw, c, dst, &frames);
    if (c->state == DSW_DEAD)
        return RMR_OK;
    count_write(sw, c, frames, sw->notes_out - notes);
    c->open_bytes += n;
    if (n == 0)
        c->is_told = false;
    if (n == 0 && c->open_bytes == 0)
        rmri_dsw_stall_stop(sw, c);
    *len = n;
    return RMR_OK;
}
