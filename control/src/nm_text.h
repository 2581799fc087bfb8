/* Pieces of JSON for nm_save.c, inline: a tailnet that changes without end saves
 * netmaps without end, and they are mostly short pieces.  What does not fit marks
 * the writer as failed. */
#ifndef REMORA_CONTROL_NM_TEXT_H
#define REMORA_CONTROL_NM_TEXT_H

#include <remora/addr.h>
#include <remora/cursor.h>
#include <remora/json.h>
#include <remora/text.h>

#include <string.h>

static inline void nm_put_mem(rmr_wr *w, const void *src, size_t n)
{
    if (n > w->cap - w->len) {
        w->failed = true;
        return;
    }
    memcpy(w->base + w->len, src, n);
    w->len += n;
}

/* A literal, whose length the compiler knows. */
#define NM_PUT(w, text) nm_put_mem(w, "" text, sizeof(text) - 1)
/* A member's name; its value follows. */
#define NM_KEY(w, key) NM_PUT(w, ",\"" key "\":")

static inline void nm_put_dec(rmr_wr *w, uint64_t v)
{
    char back[20];
    size_t at = sizeof back;
    do {
        back[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    nm_put_mem(w, back + at, sizeof back - at);
}

/* Whether a string stands in JSON as it is: ASCII without a quote, a backslash
 * or a control character.  Eight bytes at a time: a subtraction borrows into a
 * byte's top bit where the byte is less than what is taken off (a borrow from
 * the byte below comes only with a find there). */
static inline bool nm_plain_8(const char *p)
{
    const uint64_t ones = 0x0101010101010101;
    uint64_t x;
    memcpy(&x, p, sizeof x);
    uint64_t quote = (x ^ ones * '"') - ones;
    uint64_t slash = (x ^ ones * '\\') - ones;
    return !((x | (x - ones * 0x20) | quote | slash) & ones * 0x80);
}

static inline bool nm_is_plain(const char *s, size_t n)
{
    size_t i = 0;
    if (n >= 8) {
        for (; i + 8 <= n; i += 8)
            if (!nm_plain_8(s + i))
                return false;
        return nm_plain_8(s + n - 8);
    }
    for (; i < n; i++) {
        uint8_t c = (uint8_t)s[i];
        if (c < 0x20 || c > 0x7f || c == '"' || c == '\\')
            return false;
    }
    return true;
}

static inline void nm_put_string(rmr_wr *w, const char *s, size_t n)
{
    if (nm_is_plain(s, n) && n + 2 <= w->cap - w->len) {
        uint8_t *at = w->base + w->len;
        at[0] = '"';
        memcpy(at + 1, s, n);
        at[n + 1] = '"';
        w->len += n + 2;
        return;
    }
    rmr_jw j;
    size_t len = 0;
    rmr_jw_init(&j, rmr_buf_of(w->base + w->len, w->cap - w->len));
    rmr_jw_bytes(&j, rmr_bytes_of(s, n));
    if (rmr_jw_end(&j, &len))
        w->failed = true;
    else
        w->len += len;
}

/* Room for `max` bytes of text with its NUL, which nm_text_end() takes up. */
static inline char *nm_text_begin(rmr_wr *w, size_t max)
{
    if (max > w->cap - w->len) {
        w->failed = true;
        return NULL;
    }
    return (char *)w->base + w->len;
}

static inline void nm_text_end(rmr_wr *w, const char *text)
{
    w->len += strlen(text);
}

static inline void nm_put_ip(rmr_wr *w, const rmr_addr *a)
{
    char *at = nm_text_begin(w, RMR_ADDR_TEXT_MAX);
    if (at)
        nm_text_end(w, rmr_addr_ip_text(a, at));
}

#endif
