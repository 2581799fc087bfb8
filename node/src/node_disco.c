/* Disco: pings of peers are answered by the way they came; pings of our own go
 * by the relay.  Which path to take is not chosen here (yet): all data goes by
 * the peer's home relay. */
#include "node_internal.h"

#include <stdio.h>
#include <string.h>

/* The box key of a pair costs a scalar multiplication: the last ones are kept. */
static const uint8_t *shared_with(rmr_node *n,
                                  const uint8_t theirs[RMR_KEY_LEN])
{
    size_t i = theirs[0] % ND_SHARED_CACHE;
    if (!n->shared_cache[i].used ||
        memcmp(n->shared_cache[i].theirs, theirs, RMR_KEY_LEN) != 0) {
        n->shared_cache[i].used = false;
        if (rmr_box_shared(n->shared_cache[i].shared, n->disco_private,
                           theirs) != RMR_OK)
            return NULL;
        memcpy(n->shared_cache[i].theirs, theirs, RMR_KEY_LEN);
        n->shared_cache[i].used = true;
    }
    return n->shared_cache[i].shared;
}

static rmr_err seal(rmr_node *n, rmr_buf dst, size_t *len,
                    const uint8_t theirs[RMR_KEY_LEN], const rmr_disco_msg *msg)
{
    uint8_t nonce[RMR_BOX_NONCE_LEN];
    const uint8_t *shared = shared_with(n, theirs);
    if (!shared)
        return RMR_E_AUTH;
    rmr_err err = rmr_rng_fill(&n->env.rng, nonce, sizeof nonce);
    if (err != RMR_OK)
        return err;
    return rmr_disco_seal(dst, len, n->disco_public, shared, nonce, msg);
}

/* Opens a message of a known peer; false: dropped and counted. */
static bool open_msg(rmr_node *n, rmr_bytes data, const rmr_nm_node *peer,
                     rmr_disco_msg *msg)
{
    uint8_t sender[RMR_KEY_LEN];
    const uint8_t *shared = NULL;
    if (rmr_disco_sender(data, sender) == RMR_OK &&
        memcmp(sender, peer->disco_key, RMR_KEY_LEN) == 0)
        shared = shared_with(n, sender);
    if (shared && rmr_disco_open(data, shared, msg) == RMR_OK)
        return true;
    n->dropped_disco++;
    return false;
}

static void pong_for(const rmr_disco_msg *ping, const rmr_addr *seen,
                     rmr_disco_msg *pong)
{
    memset(pong, 0, sizeof *pong);
    pong->type = RMR_DISCO_PONG;
    memcpy(pong->txid, ping->txid, sizeof pong->txid);
    pong->src = *seen;
}

void rmri_node_disco_from_derp(rmr_node *n, rmr_time now, uint16_t region,
                               const uint8_t src[RMR_KEY_LEN], rmr_bytes data)
{
    rmr_nm_node peer;
    rmr_disco_msg msg, pong;
    uint8_t out[256];
    size_t len = 0;
    if (!rmr_nm_peer_by_key(n->nm, src, &peer)) {
        n->dropped_disco++;
        return;
    }
    if (!open_msg(n, data, &peer, &msg))
        return;
    if (msg.type == RMR_DISCO_PING) {
        rmr_addr seen = rmr_disco_derp_addr(region);
        pong_for(&msg, &seen, &pong);
        if (seal(n, rmr_buf_of(out, sizeof out), &len, peer.disco_key, &pong) ==
            RMR_OK)
            rmri_node_regions_send(n, now, region, src, rmr_bytes_of(out, len));
    } else if (msg.type == RMR_DISCO_PONG) {
        char via[64];
        snprintf(via, sizeof via, "DERP(%s)", rmri_node_region_code(n, region));
        rmri_node_local_pong(n, now, msg.txid, via);
    }
}

void rmri_node_disco_from_udp(rmr_node *n, rmr_time now, const rmr_addr *from,
                              rmr_bytes data)
{
    rmr_nm_node peer;
    rmr_disco_msg msg, pong;
    uint8_t sender[RMR_KEY_LEN], out[256];
    size_t len = 0;
    (void)now;
    if (rmr_disco_sender(data, sender) != RMR_OK ||
        !rmr_nm_peer_by_disco(n->nm, sender, &peer)) {
        n->dropped_disco++;
        return;
    }
    if (!open_msg(n, data, &peer, &msg) || msg.type != RMR_DISCO_PING)
        return;
    pong_for(&msg, from, &pong);
    if (seal(n, rmr_buf_of(out, sizeof out), &len, peer.disco_key, &pong) ==
        RMR_OK)
        rmri_node_udp_send(n, 0, from, rmr_bytes_of(out, len), 0);
}

rmr_err rmri_node_disco_ping(rmr_node *n, rmr_time now, const rmr_nm_node *peer,
                             const uint8_t txid[RMR_DISCO_TXID_LEN])
{
    rmr_disco_msg msg;
    uint8_t out[256];
    size_t len = 0;
    memset(&msg, 0, sizeof msg);
    msg.type = RMR_DISCO_PING;
    memcpy(msg.txid, txid, sizeof msg.txid);
    msg.has_node_key = true;
    memcpy(msg.node_key, n->node_public, RMR_KEY_LEN);
    rmr_err err =
        seal(n, rmr_buf_of(out, sizeof out), &len, peer->disco_key, &msg);
    if (err != RMR_OK)
        return err;
    if (!peer->home_derp ||
        !rmri_node_regions_send(n, now, peer->home_derp, peer->key,
                                rmr_bytes_of(out, len)))
        return RMR_E_UNREACHABLE;
    return RMR_OK;
}
