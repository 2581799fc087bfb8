/* NAT-PMP and PCP: two protocols on one port. */
#include "portmap_internal.h"

#include <remora/cursor.h>

#include <string.h>

enum {
    PMP_ADDR = 0,
    PMP_MAP_UDP = 1,
    PCP_ANNOUNCE = 0,
    PCP_MAP = 1,
    IS_REPLY = 0x80,
    UDP = 17
};
enum { PCP_OK = 0 };

/* ---- out ----------------------------------------------------------------- */

/* RFC 6886 3.3, 3.4; a lifetime and an external port of 0 take it back. */
static void pmp_map(rmr_wr *w, uint16_t local, uint16_t ext, uint32_t life)
{
    rmr_wr_u8(w, 0);
    rmr_wr_u8(w, PMP_MAP_UDP);
    rmr_wr_be16(w, 0);
    rmr_wr_be16(w, local);
    rmr_wr_be16(w, ext);
    rmr_wr_be32(w, life);
}

static void mapped_ip(rmr_wr *w, const rmr_addr *a)
{
    rmr_wr_zero(w, 10);
    rmr_wr_be16(w, 0xffff);
    rmr_wr_bytes(w, a->ip, 4);
}

/* RFC 6887 7.1. */
static void pcp_header(rmr_wr *w, uint8_t op, uint32_t life,
                       const rmr_addr *own)
{
    rmr_wr_u8(w, 2);
    rmr_wr_u8(w, op);
    rmr_wr_be16(w, 0);
    rmr_wr_be32(w, life);
    mapped_ip(w, own);
}

/* RFC 6887 11.1. */
static void pcp_map(rmr_wr *w, const rmr_addr *own,
                    const uint8_t nonce[NONCE_LEN], uint16_t local,
                    const rmr_addr *ext, uint32_t life)
{
    static const rmr_addr any = {.family = RMR_AF_INET};
    pcp_header(w, PCP_MAP, life, own);
    rmr_wr_bytes(w, nonce, NONCE_LEN);
    rmr_wr_u8(w, UDP);
    rmr_wr_zero(w, 3);
    rmr_wr_be16(w, local);
    rmr_wr_be16(w, ext ? ext->port : 0);
    mapped_ip(w, ext ? ext : &any);
}

rmr_err rmri_pm_build(const rmr_portmap *pm, uint32_t what, rmr_buf dst,
                      size_t *len)
{
    rmr_wr w = rmr_wr_of(dst);
    const pm_mapping *m = &pm->map;
    if (what == OUT_PMP_DELETE)
        pmp_map(&w, pm->gone.local_port, 0, 0);
    else if (what == OUT_PCP_DELETE)
        pcp_map(&w, &pm->own, pm->gone.nonce, pm->gone.local_port, NULL, 0);
    else if (what == OUT_PMP_ADDR)
        rmr_wr_zero(&w, 2);
    else if (what == OUT_PCP_ANNOUNCE)
        pcp_header(&w, PCP_ANNOUNCE, 0, &pm->own);
    else if (what == OUT_PMP_MAP)
        pmp_map(&w, pm->port, m->kind ? m->ext.port : 0, LEASE_S);
    else
        pcp_map(&w, &pm->own, pm->nonce, pm->port,
                m->kind == RMR_PORTMAP_PCP ? &m->ext : NULL, LEASE_S);
    rmr_err e = rmr_wr_end(&w);
    *len = e ? 0 : w.len;
    return e;
}

/* ---- in ------------------------------------------------------------------ */

static void pmp_made(rmr_portmap *pm)
{
    rmr_addr ext = pm->pmp_addr;
    if (!pm->has_pmp_addr || !pm->has_pmp_map)
        return;
    ext.port = pm->pmp_port;
    rmri_pm_made(pm, RMR_PORTMAP_NATPMP, ext, pm->pmp_life);
}

static rmr_err read_pmp_addr(rmr_portmap *pm, rmr_rd *r)
{
    rmr_addr a = rmr_addr_from_bytes(rmr_rd_bytes(r, 4), 0);
    if (r->failed || !rmri_pm_is_public(&a))
        return RMR_E_MALFORMED;
    rmri_pm_see(pm, PM_PMP);
    pm->pmp_addr = a;
    pm->has_pmp_addr = true;
    if (pm->stage == PM_ASK_PMP)
        pmp_made(pm);
    return RMR_OK;
}

static rmr_err read_pmp_map(rmr_portmap *pm, rmr_rd *r)
{
    uint16_t local = rmr_rd_be16(r), ext = rmr_rd_be16(r);
    uint32_t life = rmr_rd_be32(r);
    if (r->failed || ext == 0 || life == 0)
        return RMR_E_MALFORMED;
    if (pm->stage != PM_ASK_PMP || local != pm->port)
        return RMR_E_UNKNOWN;
    rmri_pm_see(pm, PM_PMP);
    pm->pmp_port = ext;
    pm->pmp_life = life;
    pm->has_pmp_map = true;
    pmp_made(pm);
    return RMR_OK;
}

static rmr_err read_pmp(rmr_portmap *pm, rmr_bytes d)
{
    rmr_rd r = rmr_rd_of(d);
    rmr_rd_skip(&r, 1);
    uint8_t op = rmr_rd_u8(&r);
    uint16_t result = rmr_rd_be16(&r);
    bool is_map = op == (IS_REPLY | PMP_MAP_UDP);
    if (r.failed || (!is_map && op != (IS_REPLY | PMP_ADDR)))
        return RMR_E_MALFORMED;
    if (result != 0) { /* it speaks, but will not */
        pm->stats.refused++;
        if (pm->stage == PM_ASK_PMP)
            rmri_pm_next_way(pm);
        return RMR_OK;
    }
    /* No bytes of a short one are believed, its epoch neither. */
    if (d.len < (is_map ? 16u : 12u))
        return RMR_E_MALFORMED;
    rmri_pm_epoch(pm, PM_PMP, rmr_rd_be32(&r));
    return is_map ? read_pmp_map(pm, &r) : read_pmp_addr(pm, &r);
}

static rmr_err read_pcp_map(rmr_portmap *pm, rmr_bytes d, uint32_t life)
{
    rmr_rd r = rmr_rd_of(rmr_bytes_of(d.ptr + 24, d.len - 24));
    rmr_bytes nonce = rmr_rd_bytes(&r, NONCE_LEN);
    rmr_rd_skip(&r, 4);
    uint16_t local = rmr_rd_be16(&r), port = rmr_rd_be16(&r);
    rmr_addr ext = rmr_addr_from_bytes(rmr_rd_bytes(&r, 16), port);
    if (r.failed)
        return RMR_E_MALFORMED;
    /* RFC 6887 11.4: the nonce is what an attacker off the path must guess. */
    if (pm->stage != PM_ASK_PCP || local != pm->port ||
        memcmp(nonce.ptr, pm->nonce, NONCE_LEN) != 0)
        return RMR_E_UNKNOWN;
    if (port == 0 || life == 0 || !rmri_pm_is_public(&ext))
        return RMR_E_MALFORMED;
    rmri_pm_see(pm, PM_PCP);
    rmri_pm_made(pm, RMR_PORTMAP_PCP, ext, life);
    return RMR_OK;
}

static bool is_pcp_map_reply(const rmr_portmap *pm, rmr_bytes d)
{
    return pm->stage == PM_ASK_PCP && d.len >= 60 &&
           memcmp(d.ptr + 24, pm->nonce, NONCE_LEN) == 0;
}

/* RFC 6887 7.2. */
static rmr_err read_pcp(rmr_portmap *pm, rmr_bytes d)
{
    if (d.len < 24 || (d.ptr[1] & IS_REPLY) == 0)
        return RMR_E_MALFORMED;
    uint8_t op = d.ptr[1] & 0x7f, result = d.ptr[3];
    bool is_map = op == PCP_MAP;
    if (!is_map && op != PCP_ANNOUNCE)
        return RMR_E_MALFORMED;
    if (result != PCP_OK) { /* also: we sit behind another NAT */
        pm->stats.refused++;
        if (is_map && is_pcp_map_reply(pm, d))
            rmri_pm_next_way(pm);
        return RMR_OK;
    }
    if (is_map && !is_pcp_map_reply(pm, d))
        return RMR_E_UNKNOWN;
    rmri_pm_epoch(pm, PM_PCP, rmr_load_be32(d.ptr + 8));
    if (is_map)
        return read_pcp_map(pm, d, rmr_load_be32(d.ptr + 4));
    rmri_pm_see(pm, PM_PCP);
    return RMR_OK;
}

rmr_err rmri_pm_read(rmr_portmap *pm, rmr_bytes d)
{
    if (d.len < 2 || (d.ptr[0] != 0 && d.ptr[0] != 2))
        return RMR_E_MALFORMED;
    return d.ptr[0] == 0 ? read_pmp(pm, d) : read_pcp(pm, d);
}
