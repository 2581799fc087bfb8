/* The plaintext of disco messages: type, version, body. */
#include "disco_internal.h"

#include <remora/cursor.h>

#include <string.h>

#define EP_LEN 18 /* IPv6 form of an address, port */

static bool is_zero(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i])
            return false;
    return true;
}

/* ---- in --------------------------------------------------------------- */

static rmr_addr get_ep(rmr_rd *r)
{
    rmr_bytes ip = rmr_rd_bytes(r, 16);
    uint16_t port = rmr_rd_be16(r);
    return rmr_addr_from_bytes(ip, port); /* unmaps IPv4 */
}

static void parse_ping(rmr_rd *r, rmr_disco_msg *m)
{
    rmr_rd_copy(r, m->txid, sizeof m->txid);
    m->padding = r->left;
    /* Fewer bytes than a key are padding, and so is a key of zeros. */
    if (r->left < RMR_KEY_LEN || is_zero(r->p, RMR_KEY_LEN))
        return;
    rmr_rd_copy(r, m->node_key, sizeof m->node_key);
    m->has_node_key = true;
    m->padding = r->left;
}

static void parse_pong(rmr_rd *r, rmr_disco_msg *m)
{
    rmr_rd_copy(r, m->txid, sizeof m->txid);
    m->src = get_ep(r);
}

/* A version or a length that we do not know is a message without candidates,
 * not an error: it still says that the peer wants to be called. */
static void parse_call(rmr_rd *r, rmr_disco_msg *m, uint8_t version)
{
    if (version != 0 || r->left % EP_LEN != 0)
        return;
    while (r->left && m->n_candidates < RMR_DISCO_MAX_CANDIDATES)
        m->candidates[m->n_candidates++] = get_ep(r);
}

rmr_err rmri_disco_parse(rmr_bytes plain, rmr_disco_msg *out)
{
    rmr_rd r = rmr_rd_of(plain);
    memset(out, 0, sizeof *out);
    out->type = rmr_rd_u8(&r);
    /* Of the three, only call-me-maybe has more than one version. */
    uint8_t version = rmr_rd_u8(&r);
    if (out->type == RMR_DISCO_PING)
        parse_ping(&r, out);
    else if (out->type == RMR_DISCO_PONG)
        parse_pong(&r, out);
    else if (out->type == RMR_DISCO_CALL_ME_MAYBE)
        parse_call(&r, out, version);
    rmr_err e = rmr_rd_end(&r);
    if (e != RMR_OK)
        memset(out, 0, sizeof *out);
    return e;
}

/* ---- out -------------------------------------------------------------- */

static void put_ep(rmr_wr *w, const rmr_addr *a)
{
    if (a->family == RMR_AF_INET) {
        rmr_wr_zero(w, 10);
        rmr_wr_be16(w, 0xffff);
    }
    rmr_wr_bytes(w, a->ip, rmr_addr_ip_len(a));
    rmr_wr_be16(w, a->port);
}

static bool is_valid(const rmr_disco_msg *m)
{
    switch (m->type) {
    case RMR_DISCO_PING:
        return m->padding <= RMR_DISCO_MAX_PADDING &&
               (!m->has_node_key || !is_zero(m->node_key, sizeof m->node_key));
    case RMR_DISCO_PONG:
        return rmr_addr_ip_len(&m->src) != 0;
    case RMR_DISCO_CALL_ME_MAYBE:
        if (m->n_candidates > RMR_DISCO_MAX_CANDIDATES)
            return false;
        for (size_t i = 0; i < m->n_candidates; i++)
            if (rmr_addr_ip_len(&m->candidates[i]) == 0)
                return false;
        return true;
    default:
        return false;
    }
}

rmr_err rmri_disco_build(rmr_buf dst, size_t *len, const rmr_disco_msg *m)
{
    rmr_wr w = rmr_wr_of(dst);
    *len = 0;
    if (!is_valid(m))
        return RMR_E_INVAL;
    rmr_wr_u8(&w, m->type);
    rmr_wr_u8(&w, 0);
    if (m->type != RMR_DISCO_CALL_ME_MAYBE)
        rmr_wr_bytes(&w, m->txid, sizeof m->txid);
    if (m->type == RMR_DISCO_PONG)
        put_ep(&w, &m->src);
    if (m->type == RMR_DISCO_PING) {
        if (m->has_node_key)
            rmr_wr_bytes(&w, m->node_key, sizeof m->node_key);
        rmr_wr_zero(&w, m->padding);
    }
    for (size_t i = 0;
         m->type == RMR_DISCO_CALL_ME_MAYBE && i < m->n_candidates; i++)
        put_ep(&w, &m->candidates[i]);
    rmr_err e = rmr_wr_end(&w);
    if (e == RMR_OK)
        *len = w.len;
    return e;
}
