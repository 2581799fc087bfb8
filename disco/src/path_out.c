/* The output queue, and sealing: what waits is small records, and a datagram
 * is made of one when the host has room for it. */
#include "path_internal.h"

#include <remora/cursor.h>

#include <stdalign.h>
#include <string.h>

#define FIRST_CAP 16
#define KEEP_CAP 64 /* an empty ring above this is given back */

static bool grow(rmr_paths *p, path_queue *q)
{
    uint32_t cap = q->cap ? q->cap * 2 : FIRST_CAP;
    if (cap > q->max)
        cap = q->max;
    path_out *ring =
        rmr_alloc_zero(&p->env.alloc, cap * sizeof *ring, alignof(path_out));
    if (!ring)
        return false;
    for (uint32_t i = 0; i < q->len; i++)
        ring[i] = q->ring[(q->head + i) % q->cap];
    rmr_release(&p->env.alloc, q->ring, q->cap * sizeof *ring);
    q->ring = ring;
    q->cap = cap;
    q->head = 0;
    return true;
}

bool rmri_path_push(rmr_paths *p, const path_out *o)
{
    path_queue *q = &p->out;
    if (q->len == q->max) {
        p->stats.dropped_queue_pkts++;
        return false;
    }
    if (q->len == q->cap && !grow(p, q)) {
        p->stats.dropped_nomem++;
        return false;
    }
    q->ring[(q->head + q->len++) % q->cap] = *o;
    return true;
}

static void free_ring(rmr_paths *p, path_queue *q)
{
    rmr_release(&p->env.alloc, q->ring, q->cap * sizeof *q->ring);
    q->ring = NULL;
    q->cap = 0;
    q->head = 0;
}

void rmri_path_queue_wipe(rmr_paths *p)
{
    p->out.len = 0;
    free_ring(p, &p->out);
}

static void pop(rmr_paths *p)
{
    path_queue *q = &p->out;
    q->head = (q->head + 1) % q->cap;
    if (--q->len == 0 && q->cap > KEEP_CAP)
        free_ring(p, q);
}

/* ---- making datagrams ------------------------------------------------- */

static void fill(const rmr_paths *p, const path_out *o, rmr_disco_msg *m)
{
    memset(m, 0, sizeof *m);
    memcpy(m->txid, o->txid, sizeof m->txid);
    if (o->kind == OUT_PING) {
        m->type = RMR_DISCO_PING;
        m->has_node_key = true;
        memcpy(m->node_key, p->node_key, RMR_KEY_LEN);
        m->padding = o->padding;
    } else if (o->kind == OUT_PONG) {
        m->type = RMR_DISCO_PONG;
        m->src = o->udp.family ? o->udp : rmr_disco_derp_addr(o->region);
    } else {
        m->type = RMR_DISCO_CALL_ME_MAYBE;
        m->n_candidates = p->n_own;
        if (p->n_own)
            memcpy(m->candidates, p->own, p->n_own * sizeof *p->own);
    }
}

/* Our own message; the codec of the others does not know it. */
static size_t fill_punch(const path_out *o, uint8_t plain[PUNCH_LEN])
{
    memset(plain, 0, PUNCH_LEN);
    plain[0] = PUNCH_TYPE;
    plain[2] = o->punch_kind;
    rmr_store_be16(plain + 4, o->count);
    memcpy(plain + 6, o->txid, RMR_DISCO_TXID_LEN);
    if (o->about.family) {
        plain[28] = 0xff; /* ::ffff:a.b.c.d */
        plain[29] = 0xff;
        memcpy(plain + 30, o->about.ip, 4);
        rmr_store_be16(plain + 34, o->about.port);
    }
    return PUNCH_LEN;
}

static rmr_err seal(rmr_paths *p, const path_out *o, path_dkey *d, rmr_buf dst,
                    size_t *len)
{
    uint8_t nonce[RMR_BOX_NONCE_LEN], shared[RMR_KEY_LEN];
    rmr_err e = rmri_path_random(p, nonce, sizeof nonce);
    if (e == RMR_OK)
        e = rmri_path_shared(p, d, shared);
    if (e == RMR_OK && o->kind == OUT_PUNCH) {
        uint8_t plain[PUNCH_LEN];
        size_t n = fill_punch(o, plain);
        e = rmri_disco_seal_plain(dst, len, p->disco_public, shared, nonce,
                                  rmr_bytes_of(plain, n));
    } else if (e == RMR_OK) {
        rmr_disco_msg m;
        fill(p, o, &m);
        e = rmr_disco_seal(dst, len, p->disco_public, shared, nonce, &m);
    }
    rmr_wipe(shared, sizeof shared);
    return e;
}

static void count(rmr_paths *p, const path_out *o)
{
    if (o->kind == OUT_PING)
        p->stats.pings_sent++;
    else if (o->kind == OUT_PONG)
        p->stats.pongs_sent++;
    else if (o->kind == OUT_CALL)
        p->stats.calls_sent++;
}

static void address(const path_out *o, const path_peer *peer, rmr_path_to *to)
{
    memset(to, 0, sizeof *to);
    to->udp = o->udp;
    to->socket = o->socket;
    if (o->udp.family == RMR_AF_NONE) {
        to->region = o->region;
        memcpy(to->key, peer->node_key, RMR_KEY_LEN);
    }
}

/* What was queued may have lost its peer, its key, its socket or its switch
 * since. */
static path_peer *still_wanted(const rmr_paths *p, const path_out *o)
{
    path_peer *peer = rmr_slots_get(&p->peers, o->peer);
    if (!peer || !peer->dkey || peer->expired)
        return NULL;
    if (o->udp.family && rmri_path_has(p, RMR_PATHS_NO_UDP))
        return NULL;
    /* The host has no room for it any more, and all others wait behind it. */
    if (o->padding && !rmri_path_has(p, RMR_PATHS_PEER_MTU))
        return NULL;
    return o->socket && !rmri_path_sock_is_open(p, o->socket) ? NULL : peer;
}

rmr_err rmri_path_write(rmr_paths *p, rmr_buf dst, size_t *len, rmr_path_to *to)
{
    while (p->out.len) {
        const path_out *o = &p->out.ring[p->out.head];
        path_peer *peer = still_wanted(p, o);
        if (peer) {
            rmr_err e = seal(p, o, peer->dkey, dst, len);
            if (e == RMR_E_BUFSIZE || e == RMR_E_RNG)
                return e;
            if (e == RMR_OK) {
                address(o, peer, to);
                count(p, o);
                pop(p);
                return RMR_OK;
            }
            /* A key of low order: nothing can be said to it. */
            *len = 0;
        }
        pop(p);
    }
    return RMR_OK;
}
