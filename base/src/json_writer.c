/* The JSON writer: fills a buffer, places commas, notes misuse. */
#include <remora/json.h>

#include "dec_internal.h"
#include "json_internal.h"

#include <stdio.h>
#include <string.h>

void rmr_jw_init(rmr_jw *w, rmr_buf out)
{
    memset(w, 0, sizeof *w);
    w->base = out.ptr;
    w->cap = out.len;
}

static void misuse(rmr_jw *w)
{
    w->misused = true;
    w->failed = true;
}

static void put(rmr_jw *w, const void *p, size_t n)
{
    if (w->failed || n > w->cap - w->len) {
        w->failed = true;
        return;
    }
    if (n) {
        memcpy(w->base + w->len, p, n);
        w->len += n;
    }
}

static void put_text(rmr_jw *w, const char *s)
{
    put(w, s, strlen(s));
}

static bool in_object(const rmr_jw *w)
{
    return w->depth && (w->stack & 1);
}

/* Before each value: its comma, and whether one may stand here. */
static void begin_value(rmr_jw *w)
{
    if (w->is_done || in_object(w) != w->has_key)
        misuse(w);
    if (w->need_comma && !w->has_key)
        put(w, ",", 1);
    w->has_key = false;
}

static void end_value(rmr_jw *w)
{
    w->need_comma = true;
    w->is_done = w->depth == 0;
}

static void value(rmr_jw *w, const char *text)
{
    begin_value(w);
    put_text(w, text);
    end_value(w);
}

/* ---- containers ------------------------------------------------------- */

static void open_container(rmr_jw *w, bool object)
{
    begin_value(w);
    if (w->depth == RMR_JSON_MAX_DEPTH) {
        misuse(w);
        return;
    }
    put(w, object ? "{" : "[", 1);
    w->depth++;
    w->stack = w->stack << 1 | object;
    w->need_comma = false;
}

static void close_container(rmr_jw *w, bool object)
{
    if (w->depth == 0 || in_object(w) != object || w->has_key) {
        misuse(w);
        return;
    }
    put(w, object ? "}" : "]", 1);
    w->depth--;
    w->stack >>= 1;
    end_value(w);
}

void rmr_jw_object(rmr_jw *w)
{
    open_container(w, true);
}

void rmr_jw_object_end(rmr_jw *w)
{
    close_container(w, true);
}

void rmr_jw_array(rmr_jw *w)
{
    open_container(w, false);
}

void rmr_jw_array_end(rmr_jw *w)
{
    close_container(w, false);
}

/* ---- strings ---------------------------------------------------------- */

static void put_escape(rmr_jw *w, uint8_t c)
{
    static const char names[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    for (size_t i = 0; names[i]; i += 2) {
        if ((uint8_t)names[i] == c) {
            char out[2] = {'\\', names[i + 1]};
            put(w, out, sizeof out);
            return;
        }
    }
    static const char digits[] = "0123456789abcdef";
    char out[6] = {'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15]};
    put(w, out, sizeof out);
}

/* The length of the sequence of UTF-8 at p, or 0 when it is none. */
static size_t sequence(const uint8_t *p, const uint8_t *end)
{
    rmri_base_utf8 u = rmri_base_utf8_lead(*p);
    if (u.left == 0 || (size_t)(end - p) <= u.left)
        return 0;
    if (p[1] < u.low || p[1] > u.high)
        return 0;
    for (size_t i = 2; i <= u.left; i++) {
        if (p[i] < 0x80 || p[i] > 0xbf)
            return 0;
    }
    return (size_t)u.left + 1;
}

static void put_string(rmr_jw *w, rmr_bytes s)
{
    put(w, "\"", 1);
    const uint8_t *p = s.ptr, *end = s.len ? s.ptr + s.len : s.ptr;
    while (p < end && !w->failed) {
        const uint8_t *run = p;
        p = rmri_base_skip_plain(p, end);
        put(w, run, (size_t)(p - run));
        if (p == end)
            break;
        size_t n = *p < 0x80 ? 0 : sequence(p, end);
        if (n)
            put(w, p, n);
        else if (*p < 0x80)
            put_escape(w, *p);
        else
            put_text(w, "\xef\xbf\xbd"); /* U+FFFD */
        p += n ? n : 1;
    }
    put(w, "\"", 1);
}

void rmr_jw_key_bytes(rmr_jw *w, rmr_bytes key)
{
    if (!in_object(w) || w->has_key) {
        misuse(w);
        return;
    }
    if (w->need_comma)
        put(w, ",", 1);
    put_string(w, key);
    put(w, ":", 1);
    w->has_key = true;
}

void rmr_jw_key(rmr_jw *w, const char *key)
{
    rmr_jw_key_bytes(w, rmr_bytes_str(key));
}

void rmr_jw_bytes(rmr_jw *w, rmr_bytes s)
{
    begin_value(w);
    put_string(w, s);
    end_value(w);
}

void rmr_jw_str(rmr_jw *w, const char *s)
{
    rmr_jw_bytes(w, rmr_bytes_str(s));
}

/* ---- other scalars ---------------------------------------------------- */

void rmr_jw_int(rmr_jw *w, int64_t v)
{
    char text[1 + RMRI_BASE_DEC_MAX] = "-";
    size_t sign = v < 0 ? 1 : 0;
    uint64_t size = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    begin_value(w);
    put(w, text, sign + rmri_base_dec(text + sign, size));
    end_value(w);
}

void rmr_jw_u64(rmr_jw *w, uint64_t v)
{
    char text[RMRI_BASE_DEC_MAX];
    begin_value(w);
    put(w, text, rmri_base_dec(text, v));
    end_value(w);
}

void rmri_base_fix_point(char *text)
{
    size_t n = 0;
    for (const char *p = text; *p; p++) {
        bool ok =
            (*p >= '0' && *p <= '9') || *p == '-' || *p == '+' || *p == 'e';
        if (ok)
            text[n++] = *p;
        else if (n == 0 || text[n - 1] != '.')
            text[n++] = '.';
    }
    text[n] = '\0';
}

void rmr_jw_double(rmr_jw *w, double v)
{
    char text[40];
    double back;
    if (!(v - v == 0)) { /* infinite, or not a number: JSON has neither */
        misuse(w);
        return;
    }
    (void)snprintf(text, sizeof text, "%.15g", v);
    rmri_base_fix_point(text);
    if (rmr_json_double(RMR_JSON_NUMBER, rmr_bytes_str(text), &back) ||
        memcmp(&back, &v, sizeof v) != 0) {
        (void)snprintf(text, sizeof text, "%.17g", v);
        rmri_base_fix_point(text);
    }
    value(w, text);
}

void rmr_jw_bool(rmr_jw *w, bool v)
{
    value(w, v ? "true" : "false");
}

void rmr_jw_null(rmr_jw *w)
{
    value(w, "null");
}

void rmr_jw_raw(rmr_jw *w, rmr_bytes json)
{
    begin_value(w);
    put(w, json.ptr, json.len);
    end_value(w);
}

/* ---- members ---------------------------------------------------------- */

void rmr_jw_kstr(rmr_jw *w, const char *key, const char *s)
{
    rmr_jw_key(w, key);
    rmr_jw_str(w, s);
}

void rmr_jw_kint(rmr_jw *w, const char *key, int64_t v)
{
    rmr_jw_key(w, key);
    rmr_jw_int(w, v);
}

void rmr_jw_ku64(rmr_jw *w, const char *key, uint64_t v)
{
    rmr_jw_key(w, key);
    rmr_jw_u64(w, v);
}

void rmr_jw_kbool(rmr_jw *w, const char *key, bool v)
{
    rmr_jw_key(w, key);
    rmr_jw_bool(w, v);
}

rmr_bytes rmr_jw_take(rmr_jw *w)
{
    rmr_bytes part = rmr_bytes_of(w->base, w->len);
    w->len = 0;
    return part;
}

rmr_err rmr_jw_end(rmr_jw *w, size_t *len)
{
    if (w->misused || (!w->failed && !w->is_done))
        return RMR_E_STATE;
    if (w->failed)
        return RMR_E_BUFSIZE;
    *len = w->len;
    return RMR_OK;
}
