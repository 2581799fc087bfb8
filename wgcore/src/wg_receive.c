/* Receiving: the entrance of datagrams, transport data (paper 5.4.6), and the
 * checks on what is inside.  Data allocates nothing. */
#include "wg_internal.h"

/* ---- what is inside --------------------------------------------------- */

typedef struct inner {
    uint8_t family;
    const uint8_t *source;
    size_t len; /* by the packet's own header */
} inner;

static bool parse_inner(const uint8_t *b, size_t len, inner *out)
{
    if (len >= 20 && b[0] >> 4 == 4) {
        out->family = RMR_AF_INET;
        out->source = b + 12;
        out->len = rmr_load_be16(b + 2);
        return out->len >= 20 && out->len <= len;
    }
    if (len >= 40 && b[0] >> 4 == 6) {
        out->family = RMR_AF_INET6;
        out->source = b + 8;
        /* Not in 16 bits: 40 + 65535 would wrap to a short packet. */
        out->len = (size_t)40 + rmr_load_be16(b + 4);
        return out->len <= len;
    }
    return false;
}

/* An authentic packet that is none of the peer's business. */
static rmr_err check_inner(rmr_wg *wg, const wg_peer *p, const uint8_t *b,
                           size_t len, inner *in)
{
    if (!parse_inner(b, len, in)) {
        wg->stats.discard_inner++;
        return RMR_E_DENIED;
    }
    if (!rmri_wg_ips_owns(&wg->ips, p, in->family, in->source)) {
        wg->stats.discard_source++;
        return RMR_E_DENIED;
    }
    return RMR_OK;
}

/* ---- data ------------------------------------------------------------- */

rmr_err rmri_wg_find_key(const rmr_wg *wg, rmr_buf d, wg_key **out,
                         rmr_aead_item *item)
{
    if (d.len < RMR_WG_OVERHEAD)
        return RMR_E_MALFORMED;
    wg_index *ix = rmri_wg_index_find(wg, rmr_load_le32(d.ptr + 4));
    if (!ix || !ix->is_key)
        return RMR_E_UNKNOWN;
    wg_key *k = WG_OF(ix, wg_key, ix);
    if (rmri_wg_key_is_old(k, wg->now))
        return RMR_E_UNKNOWN;
    *out = k;
    item->ctx = &k->recv;
    item->counter = rmr_load_le64(d.ptr + 8);
    item->buf = d.ptr + RMR_WG_HEADER_LEN;
    item->len = d.len - RMR_WG_OVERHEAD;
    return rmri_wg_replay_ok(&k->replay, item->counter) ? RMR_OK : RMR_E_REPLAY;
}

enum { CE = 3 }; /* in ECN: the way is congested */

/* Timers and slots after an authentic packet, in the order of paper 6. */
static rmr_err received(rmr_wg *wg, wg_peer *p, const wg_key *k, bool data)
{
    bool confirmed = k == p->next;
    if (confirmed) {
        rmri_wg_slot_confirmed(wg, p);
        rmri_wg_on_complete(wg, p);
    }
    rmr_err e = rmri_wg_fresh_on_receive(wg, p);
    rmri_wg_on_traversal(wg, p);
    rmri_wg_on_any_received(p);
    if (data)
        rmri_wg_on_data_received(wg, p);
    if (confirmed && !e)
        e = rmri_wg_flush_staged(wg, p);
    rmri_wg_rearm(wg, p);
    return e;
}

static void deliver(rmr_wg *wg, uint64_t id, const rmr_wg_endpoint *moved,
                    rmr_buf packet)
{
    rmr_wg_peer h = {id};
    wg->in_callback = true;
    if (moved && wg->cb.on_endpoint) {
        wg->cb.on_endpoint(wg->cb.user, h, moved);
        if (!rmri_wg_peer_of(wg, h))
            packet.len = 0; /* the host removed the peer just now */
    }
    if (packet.len && wg->cb.on_packet)
        wg->cb.on_packet(wg->cb.user, h, packet);
    wg->in_callback = false;
}

rmr_err rmri_wg_take(rmr_wg *wg, wg_key *k, const rmr_aead_item *item,
                     const rmr_wg_endpoint *from, uint8_t ecn)
{
    /* In this order, so that a batch answers as packet by packet does.  Only a
     * job can have grown too old meanwhile. */
    if (k->is_dead || rmri_wg_key_is_old(k, wg->now))
        return RMR_E_UNKNOWN;
    if (!rmri_wg_replay_ok(&k->replay, item->counter))
        return RMR_E_REPLAY;
    if (item->err)
        return RMR_E_AUTH;
    rmri_wg_replay_mark(&k->replay, item->counter);
    k->last_rx = wg->now;

    wg_peer *p = k->ix.peer;
    size_t len = item->len;
    inner in = {0, NULL, 0};
    rmr_err refused = len ? check_inner(wg, p, item->buf, len, &in) : RMR_OK;
    if (refused)
        in.len = 0;
    bool moved = rmri_wg_peer_seen(wg, p, from, len + RMR_WG_OVERHEAD);
    if (in.len) {
        p->rx_pkts++;
        if (ecn == CE)
            rmri_wg_ecn_mark(item->buf, in.len);
    }
    uint64_t id = p->id;
    rmr_err e = received(wg, p, k, len > 0);
    deliver(wg, id, moved ? from : NULL, rmr_buf_of(item->buf, in.len));
    return e ? e : refused;
}

/* ---- the entrance ----------------------------------------------------- */

rmr_err rmri_wg_read_other(rmr_wg *wg, const rmr_wg_endpoint *from, rmr_buf d)
{
    rmr_bytes msg = rmr_bytes_of(d.ptr, d.len);
    if (d.len < 4)
        return RMR_E_MALFORMED;
    /* As one word: the three reserved bytes must be zero. */
    switch (rmr_load_le32(d.ptr)) {
    case WG_INITIATION:
        return rmri_wg_hs_read_initiation(wg, from, msg);
    case WG_RESPONSE:
        return rmri_wg_hs_read_response(wg, from, msg);
    case WG_COOKIE:
        return rmri_wg_read_cookie(wg, msg);
    default:
        return RMR_E_MALFORMED;
    }
}

void rmri_wg_note(rmr_wg *wg, rmr_err e)
{
    rmr_wg_stats *s = &wg->stats;
    if (e == RMR_E_MALFORMED)
        s->discard_malformed++;
    else if (e == RMR_E_AUTH)
        s->discard_auth++;
    else if (e == RMR_E_REPLAY)
        s->discard_replay++;
    else if (e == RMR_E_UNKNOWN)
        s->discard_unknown++;
    else if (e == RMR_E_RATELIMIT)
        s->discard_ratelimit++;
    else if (e == RMR_E_RNG)
        wg->fatal = e;
}

/* Data in a row: one call of the cipher. */
typedef struct row {
    wg_key *key[WG_BATCH]; /* held; NULL: refused already, see err */
    wg_batch batch;
} row;

static bool is_data(rmr_buf d)
{
    return d.len >= 4 && rmr_load_le32(d.ptr) == WG_DATA;
}

/* Looks up keys until the row is full or a message is no data; returns how many
 * datagrams it took. */
static size_t gather(rmr_wg *wg, rmr_wg_in *in, size_t n, row *r)
{
    size_t i = 0;
    r->batch.n = 0;
    for (; i < n && i < WG_BATCH && is_data(in[i].datagram); i++) {
        r->key[i] = NULL;
        if (!rmri_wg_endpoint_ok(in[i].from)) {
            in[i].err = RMR_E_INVAL;
            continue;
        }
        wg->stats.rx_datagrams++;
        rmr_aead_item *item = &r->batch.items[r->batch.n];
        in[i].err = rmri_wg_find_key(wg, in[i].datagram, &r->key[i], item);
        if (r->key[i])
            rmri_wg_key_hold(r->key[i]);
        if (!in[i].err)
            r->batch.n++;
    }
    return i;
}

static void open_row(const rmr_wg *wg, wg_batch *b)
{
    const rmr_aead *aead = wg->aead;
    rmr_aead_item *one = b->items;
    if (b->n == 1)
        one->err =
            aead->open(aead->self, one->ctx, one->counter, one->buf, one->len);
    else if (b->n)
        rmr_aead_open_n(aead, b->items, b->n);
}

/* What each datagram of the row does, in order; callbacks may change anything
 * meanwhile but what the row holds. */
static void take_row(rmr_wg *wg, rmr_wg_in *in, size_t n, row *r)
{
    const rmr_aead_item *item = r->batch.items;
    for (size_t i = 0; i < n; i++) {
        wg_key *k = r->key[i];
        bool was_opened = in[i].err == RMR_OK;
        if (wg->fatal)
            in[i].err = wg->fatal;
        else if (was_opened)
            in[i].err =
                rmri_wg_take(wg, k, item, in[i].from, wg->ecn ? in[i].ecn : 0);
        else if (k && k->is_dead) /* seen before, and now unknown */
            in[i].err = RMR_E_UNKNOWN;
        item += was_opened;
        if (k)
            rmri_wg_key_drop(wg, k);
        if (in[i].err)
            rmri_wg_note(wg, in[i].err);
        rmri_wg_run_events(wg);
    }
}

/* Data alone: the key needs no holding, as nothing is done behind its take. */
static rmr_err read_data(rmr_wg *wg, const rmr_wg_endpoint *from, rmr_buf d)
{
    wg_key *k;
    rmr_aead_item it;
    rmr_err e = rmri_wg_find_key(wg, d, &k, &it);
    if (e)
        return e;
    it.err = wg->aead->open(wg->aead->self, it.ctx, it.counter, it.buf, it.len);
    return rmri_wg_take(wg, k, &it, from, 0);
}

static rmr_err read_one(rmr_wg *wg, const rmr_wg_endpoint *from, rmr_buf d)
{
    if (!rmri_wg_endpoint_ok(from))
        return RMR_E_INVAL;
    wg->stats.rx_datagrams++;
    rmr_err e =
        is_data(d) ? read_data(wg, from, d) : rmri_wg_read_other(wg, from, d);
    if (e)
        rmri_wg_note(wg, e);
    rmri_wg_run_events(wg);
    return e;
}

rmr_err rmr_wg_read_pkts(rmr_wg *wg, rmr_time now, rmr_wg_in *in, size_t n)
{
    row r;
    rmr_err e = rmri_wg_enter(wg, now);
    size_t i = 0;
    while (i < n && !e) {
        if (is_data(in[i].datagram)) {
            size_t took = gather(wg, in + i, n - i, &r);
            open_row(wg, &r.batch);
            take_row(wg, in + i, took, &r);
            i += took;
        } else {
            in[i].err = read_one(wg, in[i].from, in[i].datagram);
            i++;
        }
        e = wg->fatal;
    }
    for (; i < n; i++)
        in[i].err = e;
    return e;
}

rmr_err rmr_wg_read_pkt(rmr_wg *wg, rmr_time now, const rmr_wg_endpoint *from,
                        rmr_buf datagram)
{
    rmr_err e = rmri_wg_enter(wg, now);
    return e ? e : read_one(wg, from, datagram);
}
