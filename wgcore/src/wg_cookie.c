/* mac1, mac2, cookies, and what happens under load (paper 5.4.4, 5.4.7). */
#include <string.h>

#include "wg_internal.h"

void rmri_wg_label_key(uint8_t out[RMR_HASH_LEN], const char label[8],
                       const uint8_t pub[RMR_KEY_LEN])
{
    rmr_blake2s_256(out, rmr_bytes_of(label, 8),
                    rmr_bytes_of(pub, RMR_KEY_LEN));
}

void rmri_wg_add_macs(rmr_wg *wg, wg_peer *p, uint8_t *msg, size_t len)
{
    uint8_t key[RMR_HASH_LEN], *mac2 = msg + len + WG_MAC_LEN;
    rmri_wg_label_key(key, "mac1----", p->pub);
    rmr_blake2s_mac(msg + len, rmr_bytes_of(key, sizeof key),
                    rmr_bytes_of(msg, len));
    memcpy(p->mac1, msg + len, WG_MAC_LEN);
    p->has_mac1 = true;
    if (p->has_cookie && rmr_time_since(wg->now, p->cookie_at) < WG_COOKIE_USE)
        rmr_blake2s_mac(mac2, rmr_bytes_of(p->cookie, WG_MAC_LEN),
                        rmr_bytes_of(msg, len + WG_MAC_LEN));
    else
        memset(mac2, 0, WG_MAC_LEN);
}

/* ---- load ------------------------------------------------------------- */

void rmr_wg_hint_load(rmr_wg *wg, rmr_time now)
{
    wg->loaded_until = rmr_time_add(rmri_wg_clock(wg, now), WG_LOAD_LINGER);
}

/* More valid-looking handshake messages within a second than configured, or
 * less than a second ago.  A synchronous object has no queue to measure. */
static bool is_loaded(rmr_wg *wg)
{
    if (rmr_time_since(wg->now, wg->load_start) >= RMR_SEC) {
        wg->load_start = wg->now;
        wg->load_count = 0;
    }
    if (wg->load_count < UINT32_MAX)
        wg->load_count++;
    if (wg->load_count > wg->load_per_second)
        wg->loaded_until = rmr_time_add(wg->now, WG_LOAD_LINGER);
    return wg->now < wg->loaded_until;
}

static void cookie_of(const rmr_wg *wg, const rmr_wg_endpoint *from,
                      uint8_t out[WG_MAC_LEN])
{
    rmr_blake2s_mac(out, rmr_bytes_of(wg->secret, sizeof wg->secret),
                    rmr_bytes_of(from->bytes, from->len));
}

static bool secret_is_fresh(const rmr_wg *wg)
{
    return wg->has_secret &&
           rmr_time_since(wg->now, wg->secret_at) < WG_COOKIE_LIFE;
}

static bool mac2_is_valid(const rmr_wg *wg, const rmr_wg_endpoint *from,
                          rmr_bytes msg)
{
    uint8_t cookie[WG_MAC_LEN], want[WG_MAC_LEN];
    if (!secret_is_fresh(wg))
        return false;
    cookie_of(wg, from, cookie);
    rmr_blake2s_mac(want, rmr_bytes_of(cookie, sizeof cookie),
                    rmr_bytes_of(msg.ptr, msg.len - WG_MAC_LEN));
    rmr_wipe(cookie, sizeof cookie);
    return rmr_equal_ct(want, msg.ptr + msg.len - WG_MAC_LEN, WG_MAC_LEN);
}

/* Queues a cookie reply to a message; without room, or memory, it is dropped: the
 * sender tries again. */
static rmr_err send_cookie(rmr_wg *wg, const rmr_wg_endpoint *from,
                           rmr_bytes msg)
{
    uint8_t cookie[WG_MAC_LEN];
    if (!wg->replies)
        wg->replies =
            rmr_alloc_zero(&wg->alloc, WG_REPLIES_SIZE, _Alignof(wg_reply));
    if (!wg->replies || wg->n_replies == WG_REPLIES)
        return RMR_OK;
    if (!secret_is_fresh(wg)) {
        rmr_err e = rmr_rng_fill(&wg->env.rng, wg->secret, sizeof wg->secret);
        if (e)
            return e;
        wg->secret_at = wg->now;
        wg->has_secret = true;
    }
    wg_reply *r = &wg->replies[(wg->reply_head + wg->n_replies) % WG_REPLIES];
    rmr_store_le32(r->msg, WG_COOKIE);
    memcpy(r->msg + 4, msg.ptr + 4, 4); /* the sender's index */
    rmr_err e = rmr_rng_fill(&wg->env.rng, r->msg + 8, RMR_XNONCE_LEN);
    if (e)
        return e;
    cookie_of(wg, from, cookie);
    rmr_xchapoly_seal(r->msg + 32, wg->cookie_key, r->msg + 8,
                      rmr_bytes_of(msg.ptr + msg.len - WG_MACS_LEN, WG_MAC_LEN),
                      rmr_bytes_of(cookie, sizeof cookie));
    rmr_wipe(cookie, sizeof cookie);
    r->to = *from;
    wg->n_replies++;
    return RMR_OK;
}

rmr_err rmri_wg_gate(rmr_wg *wg, const rmr_wg_endpoint *from, rmr_bytes msg)
{
    uint8_t mac1[WG_MAC_LEN];
    size_t len = msg.len - WG_MACS_LEN;
    rmr_blake2s_mac(mac1, rmr_bytes_of(wg->mac1_key, sizeof wg->mac1_key),
                    rmr_bytes_of(msg.ptr, len));
    if (!rmr_equal_ct(mac1, msg.ptr + len, WG_MAC_LEN))
        return RMR_E_AUTH;
    if (!is_loaded(wg))
        return RMR_OK;
    if (!mac2_is_valid(wg, from, msg)) {
        rmr_err e = send_cookie(wg, from, msg);
        return e ? e : RMR_E_RATELIMIT;
    }
    rmr_bytes key = rmr_bytes_of(from->bytes, from->bucket_len);
    return rmri_wg_buckets_allow(&wg->buckets, wg->now, key) ? RMR_OK
                                                             : RMR_E_RATELIMIT;
}

bool rmri_wg_next_reply(rmr_wg *wg, rmr_buf dst, size_t *len,
                        rmr_wg_pkt_info *info, rmr_err *err)
{
    if (wg->n_replies == 0)
        return false;
    if (dst.len < WG_COOKIE_LEN) {
        *err = RMR_E_BUFSIZE;
        return true;
    }
    const wg_reply *r = &wg->replies[wg->reply_head];
    memcpy(dst.ptr, r->msg, WG_COOKIE_LEN);
    *len = WG_COOKIE_LEN;
    info->peer.id = 0;
    info->to = r->to;
    info->ecn = 0;
    wg->reply_head = (wg->reply_head + 1) % WG_REPLIES;
    wg->n_replies--;
    wg->stats.cookies_sent++;
    return true;
}

/* ---- taking one ------------------------------------------------------- */

rmr_err rmri_wg_read_cookie(rmr_wg *wg, rmr_bytes msg)
{
    uint8_t key[RMR_HASH_LEN], cookie[WG_MAC_LEN];
    if (msg.len != WG_COOKIE_LEN)
        return RMR_E_MALFORMED;
    const wg_index *ix = rmri_wg_index_find(wg, rmr_load_le32(msg.ptr + 4));
    if (!ix || !ix->peer->has_mac1)
        return RMR_E_UNKNOWN;
    wg_peer *p = ix->peer;
    rmri_wg_label_key(key, "cookie--", p->pub);
    rmr_err e = rmr_xchapoly_open(cookie, key, msg.ptr + 8,
                                  rmr_bytes_of(p->mac1, WG_MAC_LEN),
                                  rmr_bytes_of(msg.ptr + 32, 32));
    if (!e) {
        /* It answers one message once, and is no authentic packet: no timer
         * moves and no endpoint.  The next initiation carries mac2. */
        memcpy(p->cookie, cookie, sizeof cookie);
        p->cookie_at = wg->now;
        p->has_cookie = true;
        p->has_mac1 = false;
        wg->stats.cookies_taken++;
    }
    rmr_wipe(cookie, sizeof cookie);
    return e;
}
