/* Address ranges as text: "*", an address, a CIDR, or "a-b". */
#include <remora/filter.h>

#include <string.h>

static void whole_family(rmr_ip_range *r, uint8_t family)
{
    memset(r, 0, sizeof *r);
    r->family = family;
    memset(r->last, 0xff, family == RMR_AF_INET ? 4 : 16);
}

/* tailcfg.FilterRule: host bits set in a CIDR are an error. */
static rmr_err from_prefix(const rmr_prefix *p, rmr_ip_range *out)
{
    size_t len = p->family == RMR_AF_INET ? 4 : 16;
    memset(out, 0, sizeof *out);
    out->family = p->family;
    memcpy(out->first, p->ip, len);
    memcpy(out->last, p->ip, len);
    for (size_t i = 0; i < len; i++) {
        size_t from = 8 * i;
        unsigned fixed = p->bits <= from       ? 0
                         : p->bits - from >= 8 ? 8
                                               : (unsigned)(p->bits - from);
        uint8_t host = (uint8_t)(0xffu >> fixed);
        if (out->first[i] & host)
            return RMR_E_MALFORMED;
        out->last[i] |= host;
    }
    return RMR_OK;
}

static rmr_err from_pair(rmr_bytes a, rmr_bytes b, rmr_ip_range *out)
{
    rmr_addr lo, hi;
    if (rmr_addr_parse_ip(a, &lo) || rmr_addr_parse_ip(b, &hi))
        return RMR_E_MALFORMED;
    if (lo.family != hi.family || lo.zone || hi.zone ||
        memcmp(lo.ip, hi.ip, sizeof lo.ip) > 0)
        return RMR_E_MALFORMED;
    memset(out, 0, sizeof *out);
    out->family = lo.family;
    memcpy(out->first, lo.ip, sizeof out->first);
    memcpy(out->last, hi.ip, sizeof out->last);
    return RMR_OK;
}

rmr_err rmr_ip_range_parse(rmr_bytes text, rmr_ip_range out[2], size_t *n)
{
    rmr_ip_range r;
    rmr_prefix p;
    rmr_err e;
    if (rmr_bytes_eq_str(text, "*")) {
        whole_family(&out[0], RMR_AF_INET);
        whole_family(&out[1], RMR_AF_INET6);
        *n = 2;
        return RMR_OK;
    }
    size_t dash = 0;
    while (dash < text.len && text.ptr[dash] != '-')
        dash++;
    if (dash < text.len) {
        e = from_pair(rmr_bytes_of(text.ptr, dash),
                      rmr_bytes_of(text.ptr + dash + 1, text.len - dash - 1),
                      &r);
    } else {
        e = rmr_prefix_parse(text, &p);
        if (!e)
            e = from_prefix(&p, &r);
    }
    if (e)
        return e;
    out[0] = r;
    *n = 1;
    return RMR_OK;
}
