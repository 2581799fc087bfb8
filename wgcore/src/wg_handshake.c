/* Noise_IKpsk2 as WireGuard frames it (paper 5.4.2, 5.4.3). */
#include <string.h>

#include "wg_internal.h"

static const char identifier[] = "WireGuard v1 zx2c4 Jason@zx2c4.com";

/* Where the Noise messages lie. */
#define INIT_AT 8
#define INIT_NOISE_LEN (RMR_NOISE_MSG1_LEN + WG_STAMP_LEN)
#define RESP_AT 12

_Static_assert(INIT_AT + INIT_NOISE_LEN + WG_MACS_LEN == WG_INITIATION_LEN,
               "an initiation is 148 bytes");
_Static_assert(RESP_AT + RMR_NOISE_MSG2_LEN + WG_MACS_LEN == WG_RESPONSE_LEN,
               "a response is 92 bytes");

static void hs_release(rmr_wg *wg, wg_hs *hs)
{
    if (hs)
        rmr_release_wiped(&wg->alloc, hs, sizeof *hs);
}

void rmri_wg_hs_free(rmr_wg *wg, wg_peer *p)
{
    if (!p->hs)
        return;
    rmri_wg_index_del(wg, &p->hs->ix);
    hs_release(wg, p->hs);
    p->hs = NULL;
}

/* After a change of the own key it is computed when first needed. */
static rmr_err need_ss(const rmr_wg *wg, wg_peer *p)
{
    if (p->has_ss)
        return RMR_OK;
    rmr_err e = rmr_x25519(p->ss, wg->priv, p->pub);
    p->has_ss = !e;
    return e;
}

/* ---- initiator -------------------------------------------------------- */

static rmr_err build_initiation(rmr_wg *wg, wg_peer *p, wg_hs *hs)
{
    uint8_t e_priv[RMR_KEY_LEN], stamp[WG_STAMP_LEN];
    size_t len;
    const rmr_noise_config cfg = {
        .pattern = RMR_NOISE_IKPSK2,
        .initiator = true,
        .prologue = {(const uint8_t *)identifier, sizeof identifier - 1},
        .local_private = wg->priv,
        .local_public = wg->pub,
        .remote_public = p->pub,
        .psk = p->psk,
        .static_static = p->ss};
    rmr_err e = rmr_key_generate(&wg->env.rng, e_priv);
    if (!e)
        e = rmr_noise_init(&hs->noise, &cfg);
    if (!e) {
        rmri_wg_stamp(wg, stamp);
        rmr_store_le32(hs->msg, WG_INITIATION);
        rmr_store_le32(hs->msg + 4, hs->ix.id);
        e = rmr_noise_write_1(
            &hs->noise, e_priv, rmr_bytes_of(stamp, sizeof stamp),
            rmr_buf_of(hs->msg + INIT_AT, INIT_NOISE_LEN), &len);
    }
    rmr_wipe(e_priv, sizeof e_priv);
    return e;
}

rmr_err rmri_wg_hs_initiate(rmr_wg *wg, wg_peer *p)
{
    rmr_err e = need_ss(wg, p);
    if (e)
        return e;
    wg_hs *hs =
        (wg_hs *)rmr_alloc_zero(&wg->alloc, sizeof *hs, _Alignof(wg_hs));
    if (!hs)
        return RMR_E_NOMEM;
    hs->ix.peer = p;
    hs->at = wg->now;
    e = rmri_wg_index_new(wg, &hs->ix);
    if (e) {
        hs_release(wg, hs);
        return e;
    }
    e = build_initiation(wg, p, hs);
    if (e) {
        rmri_wg_index_del(wg, &hs->ix);
        hs_release(wg, hs);
        return e;
    }
    rmri_wg_add_macs(wg, p, hs->msg, WG_INITIATION_LEN - WG_MACS_LEN);
    hs->unsent = true;
    rmri_wg_hs_free(wg, p); /* a late answer to the old one is unknown now */
    p->hs = hs;
    wg->stats.handshakes_initiated++;
    rmri_wg_want_out(wg, p);
    rmri_wg_log(wg, RMR_LOG_DEBUG, p, "sending an initiation");
    return RMR_OK;
}

/* ---- keys ------------------------------------------------------------- */

static void take_keys(rmr_wg *wg, rmr_noise *n, wg_key *k)
{
    uint8_t send[RMR_KEY_LEN], recv[RMR_KEY_LEN];
    /* Can't fail: both handshake messages are done. */
    (void)rmr_noise_split(n, send, recv);
    wg->aead->init(wg->aead->self, &k->send, send);
    wg->aead->init(wg->aead->self, &k->recv, recv);
    rmr_wipe(send, sizeof send);
    rmr_wipe(recv, sizeof recv);
}

/* ---- responder -------------------------------------------------------- */

/* The peer of a claimed key; asks the host about a stranger.  The claim isn't
 * authentic yet, so nothing but the look-up may come of it. */
static wg_peer *claimed_peer(rmr_wg *wg, const uint8_t key[RMR_KEY_LEN],
                             const rmr_wg_endpoint *from)
{
    wg_peer *p = rmri_wg_peer_by_key(wg, key);
    if (p || !wg->cb.on_unknown)
        return p;
    wg->in_callback = wg->in_unknown = true;
    wg->cb.on_unknown(wg->cb.user, key, from);
    wg->in_callback = wg->in_unknown = false;
    return rmri_wg_peer_by_key(wg, key);
}

/* Opens an initiation; *out is its peer.  Changes nothing but `n`. */
static rmr_err open_initiation(rmr_wg *wg, const rmr_wg_endpoint *from,
                               rmr_bytes msg, rmr_noise *n, wg_peer **out,
                               uint8_t stamp[WG_STAMP_LEN])
{
    const rmr_noise_config cfg = {
        .pattern = RMR_NOISE_IKPSK2,
        .prologue = {(const uint8_t *)identifier, sizeof identifier - 1},
        .local_private = wg->priv,
        .local_public = wg->pub};
    uint8_t claimed[RMR_KEY_LEN];
    size_t len;
    rmr_bytes noise = rmr_bytes_of(msg.ptr + INIT_AT, INIT_NOISE_LEN);
    rmr_err e = rmr_noise_init(n, &cfg);
    if (!e)
        e = rmr_noise_read_1_static(n, noise, claimed);
    if (e)
        return e;
    wg_peer *p = claimed_peer(wg, claimed, from);
    if (!p)
        return RMR_E_UNKNOWN;
    e = need_ss(wg, p);
    if (!e)
        e = rmr_noise_read_1_payload(n, noise, p->psk, p->ss,
                                     rmr_buf_of(stamp, WG_STAMP_LEN), &len);
    if (e)
        return e;
    /* Paper 5.1: an initiation that was seen before starts nothing. */
    if (memcmp(stamp, p->stamp, WG_STAMP_LEN) <= 0)
        return RMR_E_REPLAY;
    if (p->has_init_rx &&
        rmr_time_since(wg->now, p->init_rx) <= WG_FLOOD_INTERVAL)
        return RMR_E_RATELIMIT;
    *out = p;
    return RMR_OK;
}

/* All of an answer that can fail: memory, randomness. */
typedef struct answer {
    wg_key *key;
    uint8_t *msg;
} answer;

static void answer_drop(rmr_wg *wg, answer *a)
{
    rmri_wg_key_free(wg, a->key);
    rmr_release(&wg->alloc, a->msg, WG_RESPONSE_LEN);
}

static rmr_err answer_make(rmr_wg *wg, wg_peer *p, rmr_noise *n, answer *a)
{
    uint8_t e_priv[RMR_KEY_LEN];
    size_t len;
    a->key = rmri_wg_key_alloc(wg, p);
    a->msg = (uint8_t *)rmr_alloc_zero(&wg->alloc, WG_RESPONSE_LEN, 1);
    if (!a->key || !a->msg)
        return RMR_E_NOMEM;
    rmr_err e = rmr_key_generate(&wg->env.rng, e_priv);
    if (!e)
        e = rmr_noise_write_2(n, e_priv, rmr_bytes_of(NULL, 0),
                              rmr_buf_of(a->msg + RESP_AT, RMR_NOISE_MSG2_LEN),
                              &len);
    rmr_wipe(e_priv, sizeof e_priv);
    if (!e)
        e = rmri_wg_index_new(wg, &a->key->ix); /* last: nothing to undo */
    return e;
}

/* Our own attempt, if one is out, stays: its answer still finds it. */
static void cross(rmr_wg *wg, wg_peer *p)
{
    if (!p->hs)
        return;
    if (wg->like_reference)
        rmri_wg_hs_free(wg, p);
    else
        p->hs->crossed = true;
}

static void send_response(rmr_wg *wg, wg_peer *p, rmr_noise *n, answer *a,
                          uint32_t remote)
{
    take_keys(wg, n, a->key);
    a->key->remote = remote;
    rmr_store_le32(a->msg, WG_RESPONSE);
    rmr_store_le32(a->msg + 4, a->key->ix.id);
    rmr_store_le32(a->msg + 8, remote);
    rmri_wg_add_macs(wg, p, a->msg, WG_RESPONSE_LEN - WG_MACS_LEN);
    rmr_release(&wg->alloc, p->response, WG_RESPONSE_LEN);
    p->response = a->msg;
    p->last_init = wg->now;
    p->has_last_init = true;
    rmri_wg_slot_answered(wg, p, a->key);
    rmri_wg_on_session_derived(wg, p);
    rmri_wg_on_traversal(wg, p);
    rmri_wg_on_any_sent(p);
    wg->stats.handshakes_answered++;
    rmri_wg_want_out(wg, p);
    rmri_wg_log(wg, RMR_LOG_DEBUG, p, "answering an initiation");
}

static void tell_endpoint(rmr_wg *wg, uint64_t id, const rmr_wg_endpoint *from)
{
    if (!wg->cb.on_endpoint)
        return;
    rmr_wg_peer h = {id};
    wg->in_callback = true;
    wg->cb.on_endpoint(wg->cb.user, h, from);
    wg->in_callback = false;
}

rmr_err rmri_wg_hs_read_initiation(rmr_wg *wg, const rmr_wg_endpoint *from,
                                   rmr_bytes msg)
{
    rmr_noise n;
    wg_peer *p = NULL;
    answer a = {NULL, NULL};
    uint8_t stamp[WG_STAMP_LEN];
    if (msg.len != WG_INITIATION_LEN)
        return RMR_E_MALFORMED;
    rmr_err e = rmri_wg_gate(wg, from, msg);
    if (e)
        return e;
    e = open_initiation(wg, from, msg, &n, &p, stamp);
    if (!e) {
        e = answer_make(wg, p, &n, &a);
        if (e)
            answer_drop(wg, &a);
    }
    if (!e) {
        memcpy(p->stamp, stamp, sizeof stamp);
        p->init_rx = wg->now;
        p->has_init_rx = true;
        uint64_t id = p->id;
        bool moved = rmri_wg_peer_seen(wg, p, from, msg.len);
        rmri_wg_on_traversal(wg, p);
        rmri_wg_on_any_received(p);
        cross(wg, p);
        send_response(wg, p, &n, &a, rmr_load_le32(msg.ptr + 4));
        rmri_wg_rearm(wg, p);
        if (moved)
            tell_endpoint(wg, id, from);
    }
    rmr_noise_wipe(&n);
    return e;
}

/* ---- the initiator reads the answer ----------------------------------- */

rmr_err rmri_wg_hs_read_response(rmr_wg *wg, const rmr_wg_endpoint *from,
                                 rmr_bytes msg)
{
    if (msg.len != WG_RESPONSE_LEN)
        return RMR_E_MALFORMED;
    rmr_err e = rmri_wg_gate(wg, from, msg);
    if (e)
        return e;
    wg_index *ix = rmri_wg_index_find(wg, rmr_load_le32(msg.ptr + 8));
    if (!ix || ix->is_key)
        return RMR_E_UNKNOWN;
    wg_peer *p = ix->peer;
    if (rmri_wg_hs_is_late(wg, p))
        return RMR_E_UNKNOWN;
    rmr_noise n = p->hs->noise;
    size_t len;
    wg_key *k = NULL;
    e = rmr_noise_read_2(&n,
                         rmr_bytes_of(msg.ptr + RESP_AT, RMR_NOISE_MSG2_LEN),
                         rmr_buf_of(NULL, 0), &len);
    if (!e && !(k = rmri_wg_key_alloc(wg, p)))
        e = RMR_E_NOMEM;
    if (e) {
        rmr_noise_wipe(&n);
        return e;
    }
    /* The handshake's index becomes the key's; replacing never needs memory. */
    k->ix.id = ix->id;
    k->initiator = true;
    k->remote = rmr_load_le32(msg.ptr + 4);
    take_keys(wg, &n, k);
    rmr_noise_wipe(&n);
    rmri_wg_index_replace(wg, &k->ix);
    bool crossed = p->hs->crossed;
    hs_release(wg, p->hs);
    p->hs = NULL;

    uint64_t id = p->id;
    bool moved = rmri_wg_peer_seen(wg, p, from, msg.len);
    rmri_wg_on_traversal(wg, p);
    rmri_wg_on_any_received(p);
    rmri_wg_slot_initiated(wg, p, k, crossed);
    rmri_wg_on_session_derived(wg, p);
    rmri_wg_on_complete(wg, p);
    e = rmri_wg_keepalive(wg, p); /* or what was staged: confirms the key */
    rmri_wg_rearm(wg, p);
    if (moved)
        tell_endpoint(wg, id, from);
    return e;
}
