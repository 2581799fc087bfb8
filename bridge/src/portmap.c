/* Port maps as text: LOCAL=PEER:PORT and PORT=ADDR:PORT. */
#include <remora/bridge.h>

#include <remora/text.h>

#include <string.h>

static rmr_bytes sub(rmr_bytes t, size_t from, size_t to)
{
    return rmr_bytes_of(t.ptr + from, to - from);
}

static bool find_first(rmr_bytes t, char c, size_t *at)
{
    for (size_t i = 0; i < t.len; i++) {
        if (t.ptr[i] == (uint8_t)c) {
            *at = i;
            return true;
        }
    }
    return false;
}

static bool find_last(rmr_bytes t, char c, size_t *at)
{
    for (size_t i = t.len; i > 0; i--) {
        if (t.ptr[i - 1] == (uint8_t)c) {
            *at = i - 1;
            return true;
        }
    }
    return false;
}

static bool parse_port(rmr_bytes t, uint16_t *out)
{
    uint64_t v;
    if (t.len > 5 || rmr_parse_u64(t, 65535, &v) != RMR_OK || v == 0)
        return false;
    *out = (uint16_t)v;
    return true;
}

/* [ADDR:]PORT, ADDR an address or "localhost". */
static bool parse_end(rmr_bytes t, rmr_addr *out)
{
    size_t at;
    uint16_t port;
    rmr_addr a;
    if (!find_last(t, ':', &at)) {
        if (!parse_port(t, &port))
            return false;
        *out = rmr_addr_v4(127, 0, 0, 1, port);
        return true;
    }
    if (!parse_port(sub(t, at + 1, t.len), &port))
        return false;
    if (rmr_bytes_eq_nocase(sub(t, 0, at), rmr_bytes_str("localhost"))) {
        *out = rmr_addr_v4(127, 0, 0, 1, port);
        return true;
    }
    if (rmr_addr_parse(t, &a) != RMR_OK)
        return false;
    *out = a;
    return true;
}

static bool is_name_byte(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

/* A name, an IPv4 address, or an IPv6 address in brackets. */
static bool parse_peer(rmr_bytes t, char dst[RMR_HOST_MAX])
{
    if (t.len >= 2 && t.ptr[0] == '[' && t.ptr[t.len - 1] == ']') {
        rmr_addr a;
        t = sub(t, 1, t.len - 1);
        size_t colon;
        if (!find_first(t, ':', &colon) || t.len >= RMR_HOST_MAX ||
            rmr_addr_parse_ip(t, &a) != RMR_OK)
            return false;
    } else {
        if (t.len == 0 || t.len >= RMR_HOST_MAX)
            return false;
        for (size_t i = 0; i < t.len; i++)
            if (!is_name_byte(t.ptr[i]))
                return false;
    }
    memset(dst, 0, RMR_HOST_MAX);
    memcpy(dst, t.ptr, t.len);
    return true;
}

rmr_err rmr_forward_parse(rmr_bytes text, rmr_forward *out)
{
    rmr_forward f;
    size_t eq, colon;
    memset(&f, 0, sizeof f);
    if (!find_first(text, '=', &eq))
        return RMR_E_MALFORMED;
    rmr_bytes far = sub(text, eq + 1, text.len);
    if (!find_last(far, ':', &colon) ||
        !parse_end(sub(text, 0, eq), &f.local) ||
        !parse_peer(sub(far, 0, colon), f.peer) ||
        !parse_port(sub(far, colon + 1, far.len), &f.port))
        return RMR_E_MALFORMED;
    *out = f;
    return RMR_OK;
}

rmr_err rmr_serve_parse(rmr_bytes text, rmr_serve *out)
{
    rmr_serve s;
    size_t eq;
    memset(&s, 0, sizeof s);
    if (!find_first(text, '=', &eq) || !parse_port(sub(text, 0, eq), &s.port) ||
        !parse_end(sub(text, eq + 1, text.len), &s.target))
        return RMR_E_MALFORMED;
    *out = s;
    return RMR_OK;
}
