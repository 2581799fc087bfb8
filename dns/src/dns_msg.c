/* DNS messages: names, queries, answers. */
#include "dns_internal.h"

#include <remora/cursor.h>

#include <string.h>

enum { CLASS_IN = 1, TYPE_OPT = 41 };
/* A chain of more aliases than this is a loop or a trap. */
#define MAX_ALIASES 16

/* ---- names ------------------------------------------------------------ */

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_host_byte(uint8_t c)
{
    return (lower(c) >= 'a' && lower(c) <= 'z') || is_digit(c) || c == '-' ||
           c == '_';
}

/* Appends text's labels.  False: not a name. */
static bool append_labels(rmri_dns_name *n, rmr_bytes text, bool *digits)
{
    size_t label = n->len, len = n->len;
    if (text.len == 0 || len + 1 + text.len > sizeof n->wire - 1)
        return false;
    n->wire[len++] = 0;
    *digits = true;
    for (size_t i = 0; i <= text.len; i++) {
        uint8_t c = i < text.len ? text.ptr[i] : '.';
        if (c != '.') {
            if (!is_host_byte(c))
                return false;
            *digits = *digits && is_digit(c);
            n->wire[len++] = lower(c);
            continue;
        }
        size_t n_label = len - label - 1;
        if (n_label == 0 || n_label > 63)
            return false;
        n->wire[label] = (uint8_t)n_label;
        if (i == text.len)
            break;
        label = len;
        n->wire[len++] = 0;
        *digits = true;
    }
    n->len = (uint8_t)len;
    return true;
}

rmr_err rmri_dns_name_of(rmr_bytes text, rmr_bytes suffix, rmri_dns_name *out)
{
    rmri_dns_name n;
    bool digits = false;
    memset(&n, 0, sizeof n);
    if (suffix.len && suffix.ptr[suffix.len - 1] == '.')
        suffix.len--;
    if (text.len && text.ptr[text.len - 1] == '.')
        text.len--;
    if (!append_labels(&n, text, &digits))
        return RMR_E_INVAL;
    if (suffix.len && !append_labels(&n, suffix, &digits))
        return RMR_E_INVAL;
    /* No top-level domain is a number; "127.1" and "0x7f.1" would be read as an
     * address by some and as a name by others (RFC 6943 3.1.1). */
    if (digits)
        return RMR_E_INVAL;
    n.wire[n.len++] = 0;
    *out = n;
    return RMR_OK;
}

bool rmri_dns_name_eq(const rmri_dns_name *a, const rmri_dns_name *b)
{
    return a->len == b->len && memcmp(a->wire, b->wire, a->len) == 0;
}

bool rmri_dns_name_is_single(const rmri_dns_name *n)
{
    return n->len > 1 && n->wire[0] + 2 == n->len;
}

bool rmri_dns_name_ends(const rmri_dns_name *n, const char *label)
{
    size_t want = strlen(label), at = 0;
    while (at < n->len && n->wire[at]) {
        size_t len = n->wire[at];
        if (at + 1 + len + 1 == n->len)
            return len == want && memcmp(n->wire + at + 1, label, len) == 0;
        at += 1 + len;
    }
    return false;
}

/* RFC 1035 4.1.4.  A pointer must lead to before the piece that it ends, so
 * that each one goes further back and the walk ends. */
bool rmri_dns_read_name(rmr_bytes msg, size_t *at, rmri_dns_name *out)
{
    size_t pos = *at, piece = pos, len = 0;
    bool jumped = false;
    for (;;) {
        if (pos >= msg.len)
            return false;
        uint8_t c = msg.ptr[pos];
        if ((c & 0xc0) == 0xc0) {
            if (msg.len - pos < 2)
                return false;
            size_t target = rmr_load_be16(msg.ptr + pos) & 0x3fffu;
            if (!jumped)
                *at = pos + 2;
            jumped = true;
            if (target >= piece)
                return false;
            pos = piece = target;
            continue;
        }
        if (c & 0xc0 || (size_t)c + 1 > msg.len - pos ||
            len + c + 1 > sizeof out->wire)
            return false;
        out->wire[len] = c;
        for (size_t i = 1; i <= c; i++)
            out->wire[len + i] = lower(msg.ptr[pos + i]);
        len += (size_t)c + 1;
        pos += (size_t)c + 1;
        if (c == 0)
            break;
    }
    if (!jumped)
        *at = pos;
    out->len = (uint8_t)len;
    return true;
}

/* ---- queries ---------------------------------------------------------- */

rmr_err rmri_dns_build(rmr_buf dst, size_t *len, uint16_t id,
                       const rmri_dns_name *name, uint16_t type, bool edns)
{
    rmr_wr w = rmr_wr_of(dst);
    rmr_wr_be16(&w, id);
    rmr_wr_be16(&w, 0x0100); /* recursion desired */
    rmr_wr_be16(&w, 1);
    rmr_wr_be16(&w, 0);
    rmr_wr_be16(&w, 0);
    rmr_wr_be16(&w, edns ? 1 : 0);
    rmr_wr_bytes(&w, name->wire, name->len);
    rmr_wr_be16(&w, type);
    rmr_wr_be16(&w, CLASS_IN);
    if (edns) { /* RFC 6891 6.1.2; 1232 passes any path without fragments */
        rmr_wr_u8(&w, 0);
        rmr_wr_be16(&w, TYPE_OPT);
        rmr_wr_be16(&w, RMR_DNS_MAX_MSG);
        rmr_wr_be32(&w, 0);
        rmr_wr_be16(&w, 0);
    }
    *len = w.failed ? 0 : w.len;
    return rmr_wr_end(&w);
}

/* ---- answers ---------------------------------------------------------- */

rmr_err rmri_dns_parse_head(rmr_bytes msg, rmri_dns_head *out)
{
    rmr_rd r = rmr_rd_of(msg);
    memset(out, 0, sizeof *out);
    out->msg = msg;
    out->id = rmr_rd_be16(&r);
    uint16_t flags = rmr_rd_be16(&r);
    uint16_t n_questions = rmr_rd_be16(&r);
    out->n_answers = rmr_rd_be16(&r);
    rmr_rd_skip(&r, 4);
    /* An answer (QR) to a standard query (opcode 0). */
    if (r.failed || !(flags & 0x8000) || flags & 0x7800)
        return RMR_E_MALFORMED;
    out->rcode = flags & 15;
    out->is_cut = (flags & 0x0200) != 0;
    out->answers_at = 12;
    if (n_questions == 0)
        return RMR_OK;
    if (n_questions != 1 ||
        !rmri_dns_read_name(msg, &out->answers_at, &out->name) ||
        msg.len - out->answers_at < 4)
        return RMR_E_MALFORMED;
    out->type = rmr_load_be16(msg.ptr + out->answers_at);
    if (rmr_load_be16(msg.ptr + out->answers_at + 2) != CLASS_IN)
        return RMR_E_MALFORMED;
    out->answers_at += 4;
    out->has_question = true;
    return RMR_OK;
}

typedef struct record {
    rmri_dns_name owner;
    uint16_t type, class_;
    size_t data_at;
    rmr_bytes data;
} record;

static bool read_record(rmr_bytes msg, size_t *at, record *out)
{
    if (!rmri_dns_read_name(msg, at, &out->owner) || msg.len - *at < 10)
        return false;
    const uint8_t *p = msg.ptr + *at;
    out->type = rmr_load_be16(p);
    out->class_ = rmr_load_be16(p + 2);
    size_t len = rmr_load_be16(p + 8);
    *at += 10;
    if (len > msg.len - *at)
        return false;
    out->data_at = *at;
    out->data = rmr_bytes_of(msg.ptr + *at, len);
    *at += len;
    return true;
}

/* One walk over the answers for the records of `name`: its addresses, and where
 * it is an alias, the name behind it (else `target` has no length). */
static rmr_err walk(const rmri_dns_head *h, const rmri_dns_name *name,
                    rmri_dns_name *target, rmri_dns_ip *ips, size_t cap,
                    size_t *n)
{
    size_t at = h->answers_at;
    target->len = 0;
    for (size_t i = 0; i < h->n_answers; i++) {
        record r;
        if (!read_record(h->msg, &at, &r)) /* cut: take what came whole */
            return h->is_cut ? RMR_OK : RMR_E_MALFORMED;
        if (r.class_ != CLASS_IN || !rmri_dns_name_eq(&r.owner, name))
            continue;
        if (r.type == h->type) {
            size_t want = r.type == RMRI_DNS_A ? 4 : 16;
            if (r.data.len != want)
                return RMR_E_MALFORMED;
            if (*n < cap)
                memcpy(ips[(*n)++], r.data.ptr, want);
        } else if (r.type == RMRI_DNS_CNAME) {
            size_t end = r.data_at;
            if (!rmri_dns_read_name(h->msg, &end, target) ||
                end != r.data_at + r.data.len)
                return RMR_E_MALFORMED;
        }
    }
    return RMR_OK;
}

rmr_err rmri_dns_parse_ips(const rmri_dns_head *h, rmri_dns_ip *ips, size_t cap,
                           size_t *n)
{
    rmri_dns_name name = h->name;
    *n = 0;
    for (size_t i = 0; i <= MAX_ALIASES; i++) {
        rmri_dns_name target;
        rmr_err e = walk(h, &name, &target, ips, cap, n);
        if (e != RMR_OK || *n > 0 || target.len == 0)
            return e;
        name = target;
    }
    return RMR_E_MALFORMED;
}
