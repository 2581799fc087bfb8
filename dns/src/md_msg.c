/* Questions read, answers written. */
#include "md_internal.h"

#include <remora/cursor.h>

enum { QR = 0x8000, OPCODE = 0x7800, AA = 0x0400, TC = 0x0200 };
enum { RD = 0x0100, RA = 0x0080, CD = 0x0010 };
#define UDP_PLAIN 512 /* RFC 1035 2.3.4: without EDNS */

/* RFC 6891 6.1.1: at most one OPT, of the root; others are skipped. */
static bool read_extra(rmr_bytes msg, size_t at, size_t n, bool tcp,
                       md_ask *out)
{
    for (size_t i = 0; i < n; i++) {
        rmri_dns_name owner;
        if (!rmri_dns_read_name(msg, &at, &owner) || msg.len - at < 10)
            return false;
        const uint8_t *p = msg.ptr + at;
        size_t len = rmr_load_be16(p + 8);
        at += 10;
        if (len > msg.len - at)
            return false;
        at += len;
        if (rmr_load_be16(p) != MD_OPT)
            continue;
        if (out->has_opt || owner.len != 1)
            return false;
        out->has_opt = true;
        size_t size = rmr_load_be16(p + 2);
        if (!tcp && size > out->limit)
            out->limit = size < RMR_MD_MAX_UDP ? size : RMR_MD_MAX_UDP;
        if (p[5] != 0)
            out->rcode = MD_BADVERS;
    }
    return true;
}

bool rmri_md_parse(rmr_bytes msg, bool tcp, md_ask *out)
{
    rmr_rd r = rmr_rd_of(msg);
    md_ask q = {0};
    q.id = rmr_rd_be16(&r);
    q.flags = rmr_rd_be16(&r);
    uint16_t n_questions = rmr_rd_be16(&r);
    uint16_t n_before = rmr_rd_be16(&r) | rmr_rd_be16(&r);
    uint16_t n_extra = rmr_rd_be16(&r);
    if (r.failed || q.flags & QR) /* two responders must not talk for ever */
        return false;
    q.limit = tcp ? 65535 : UDP_PLAIN;
    size_t at = 12;
    if (q.flags & OPCODE) {
        q.rcode = RMRI_DNS_NOTIMP;
    } else if (n_questions != 1 || n_before != 0 ||
               !rmri_dns_read_name(msg, &at, &q.name) ||
               at != 12u + q.name.len || msg.len - at < 4) {
        /* Also a name in pieces: there is nothing before it to point to. */
        q.rcode = RMRI_DNS_FORMERR;
    } else {
        q.type = rmr_load_be16(msg.ptr + at);
        q.class_ = rmr_load_be16(msg.ptr + at + 2);
        q.question = rmr_bytes_of(msg.ptr + 12, at + 4 - 12);
        if (q.class_ != MD_IN)
            q.rcode = RMRI_DNS_NOTIMP;
        if (!read_extra(msg, at + 4, n_extra, tcp, &q))
            q.rcode = RMRI_DNS_FORMERR;
    }
    *out = q;
    return true;
}

static size_t put(const md_ask *q, uint16_t rcode, uint16_t bits, uint16_t type,
                  rmr_bytes data, rmr_buf dst)
{
    rmr_wr w = rmr_wr_of(dst);
    uint16_t flags = (uint16_t)(QR | RA | bits);
    flags |= q->flags & (OPCODE | RD | CD);
    rmr_wr_be16(&w, q->id);
    rmr_wr_be16(&w, (uint16_t)(flags | (rcode & 15)));
    rmr_wr_be16(&w, q->question.len ? 1 : 0);
    rmr_wr_be16(&w, data.len ? 1 : 0);
    rmr_wr_be16(&w, 0);
    rmr_wr_be16(&w, q->has_opt ? 1 : 0);
    rmr_wr_bytes(&w, q->question.ptr, q->question.len);
    if (data.len) {
        rmr_wr_be16(&w, 0xc00c); /* the question's name */
        rmr_wr_be16(&w, type);
        rmr_wr_be16(&w, MD_IN);
        rmr_wr_be32(&w, RMR_MD_TTL);
        rmr_wr_be16(&w, (uint16_t)data.len);
        rmr_wr_bytes(&w, data.ptr, data.len);
    }
    if (q->has_opt) {
        rmr_wr_u8(&w, 0);
        rmr_wr_be16(&w, MD_OPT);
        rmr_wr_be16(&w, RMR_MD_MAX_UDP);
        rmr_wr_be32(&w, (uint32_t)(rcode >> 4) << 24);
        rmr_wr_be16(&w, 0);
    }
    return w.failed ? 0 : w.len;
}

size_t rmri_md_cut(const md_ask *q, rmr_buf dst)
{
    return put(q, RMRI_DNS_NOERROR, TC, 0, rmr_bytes_of(NULL, 0), dst);
}

size_t rmri_md_answer(const md_ask *q, uint16_t rcode, bool is_own,
                      uint16_t type, rmr_bytes data, rmr_buf dst)
{
    /* A reverse name and a name behind it are the most: below any limit. */
    return put(q, rcode, is_own ? AA : 0, type, data, dst);
}
