/* Reasons: text into a buffer, with names quoted as Go's %q does. */
#include "pol_internal.h"

#include <stdio.h>
#include <string.h>

void rmri_pol_text_init(pol_text *t, char *p, size_t cap)
{
    t->p = p;
    t->cap = cap;
    t->len = 0;
    p[0] = '\0';
}

void rmri_pol_text_add(pol_text *t, rmr_bytes s)
{
    size_t room = t->cap - 1 - t->len;
    size_t n = s.len < room ? s.len : room;
    /* Not within a character. */
    while (n && n < s.len && (s.ptr[n] & 0xc0) == 0x80)
        n--;
    if (n)
        memcpy(t->p + t->len, s.ptr, n);
    t->len += n;
    t->p[t->len] = '\0';
    if (n < s.len)
        t->cap = t->len + 1; /* nothing may follow a gap */
}

static void add_str(pol_text *t, const char *s)
{
    rmri_pol_text_add(t, rmr_bytes_str(s));
}

static void add_escape(pol_text *t, uint8_t c)
{
    char esc[8];
    char name = (char)c;
    switch (c) {
    case '\n':
        name = 'n';
        break;
    case '\r':
        name = 'r';
        break;
    case '\t':
        name = 't';
        break;
    default:
        break;
    }
    if (name == (char)c && c != '"' && c != '\\')
        snprintf(esc, sizeof esc, "\\x%02x", c);
    else
        snprintf(esc, sizeof esc, "\\%c", name);
    add_str(t, esc);
}

/* Without quotes there is no escape: what would forge a line is a "?". */
static void add_plain(pol_text *t, rmr_bytes s)
{
    size_t run = 0;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];
        if (c >= 0x20 && c != 0x7f)
            continue;
        rmri_pol_text_add(t, rmr_bytes_of(s.ptr + run, i - run));
        add_str(t, "?");
        run = i + 1;
    }
    if (s.len > run)
        rmri_pol_text_add(t, rmr_bytes_of(s.ptr + run, s.len - run));
}

static void add_quoted(pol_text *t, rmr_bytes s)
{
    add_str(t, "\"");
    size_t run = 0;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];
        if (c != '"' && c != '\\' && c >= 0x20 && c != 0x7f)
            continue;
        rmri_pol_text_add(t, rmr_bytes_of(s.ptr + run, i - run));
        run = i + 1;
        add_escape(t, c);
    }
    if (s.len > run)
        rmri_pol_text_add(t, rmr_bytes_of(s.ptr + run, s.len - run));
    add_str(t, "\"");
}

void rmri_pol_text_vfmt(pol_text *t, const char *fmt, va_list ap)
{
    while (*fmt) {
        const char *p = fmt;
        while (*p && *p != '%')
            p++;
        rmri_pol_text_add(t, rmr_bytes_of(fmt, (size_t)(p - fmt)));
        if (!*p)
            return;
        char num[16];
        switch (p[1]) {
        case 'Q':
            add_quoted(t, *va_arg(ap, const rmr_bytes *));
            break;
        case 'B':
            add_plain(t, *va_arg(ap, const rmr_bytes *));
            break;
        case 's':
            add_str(t, va_arg(ap, const char *));
            break;
        case 'u':
            snprintf(num, sizeof num, "%u", va_arg(ap, unsigned));
            add_str(t, num);
            break;
        default: /* %% */
            add_str(t, "%");
            break;
        }
        fmt = p + 2;
    }
}

void rmri_pol_text_fmt(pol_text *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    rmri_pol_text_vfmt(t, fmt, ap);
    va_end(ap);
}
