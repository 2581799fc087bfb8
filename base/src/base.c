/* Result names, byte comparisons, and the calls into the host's environment. */
#include <remora/base.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LOG_LINE_MAX 512 /* with its NUL; documented in the header */

rmr_errclass rmr_err_class(rmr_err e)
{
    if (e == RMR_OK)
        return RMR_CLASS_OK;
    if (e > 0)
        return RMR_CLASS_FATAL;
    /* 64 bits: -INT32_MIN does not fit in 32. */
    int64_t cls = -(int64_t)e / 100 % 10;
    return cls < RMR_CLASS_OK ? (rmr_errclass)cls : RMR_CLASS_FATAL;
}

const char *rmr_err_name(rmr_err e)
{
    switch (e) {
    case RMR_OK:
        return "ok";
    case RMR_E_INVAL:
        return "invalid argument";
    case RMR_E_STATE:
        return "wrong state";
    case RMR_E_REENTRANT:
        return "called from a callback";
    case RMR_E_BADHANDLE:
        return "bad handle";
    case RMR_E_BUFSIZE:
        return "buffer too small";
    case RMR_E_MALFORMED:
        return "malformed";
    case RMR_E_AUTH:
        return "not authentic";
    case RMR_E_REPLAY:
        return "replayed";
    case RMR_E_UNKNOWN:
        return "unknown";
    case RMR_E_RATELIMIT:
        return "rate limited";
    case RMR_E_UNSUPPORTED:
        return "unsupported";
    case RMR_E_TOOBIG:
        return "too big";
    case RMR_E_DENIED:
        return "denied";
    case RMR_E_NOTFOUND:
        return "not found";
    case RMR_E_FULL:
        return "full";
    case RMR_E_NOTREADY:
        return "not ready";
    case RMR_E_NOMEM:
        return "out of memory";
    case RMR_E_INUSE:
        return "in use";
    case RMR_E_NOFILES:
        return "no file descriptors";
    case RMR_E_CLOSED:
        return "closed";
    case RMR_E_RESET:
        return "reset";
    case RMR_E_TIMEOUT:
        return "timeout";
    case RMR_E_REFUSED:
        return "refused";
    case RMR_E_UNREACHABLE:
        return "unreachable";
    case RMR_E_IO:
        return "i/o error";
    case RMR_E_RNG:
        return "no randomness";
    case RMR_E_CALLBACK:
        return "callback failed";
    case RMR_E_INTERNAL:
        return "internal error";
    case RMR_E_PROTOCOL:
        return "protocol error";
    default:
        return e < 0 && e <= -1000 ? "layer error" : "unknown error";
    }
}

rmr_bytes rmr_bytes_str(const char *s)
{
    return s ? rmr_bytes_of(s, strlen(s)) : rmr_bytes_of(NULL, 0);
}

bool rmr_bytes_eq(rmr_bytes a, rmr_bytes b)
{
    /* memcmp may not be given NULL, even for no bytes. */
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool rmr_bytes_eq_str(rmr_bytes a, const char *s)
{
    return rmr_bytes_eq(a, rmr_bytes_str(s));
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

bool rmr_bytes_eq_nocase(rmr_bytes a, rmr_bytes b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        if (lower(a.ptr[i]) != lower(b.ptr[i]))
            return false;
    }
    return true;
}

void *rmr_alloc_raw(const rmr_alloc *a, size_t size, size_t align)
{
    return size ? a->alloc(a->user, size, align) : NULL;
}

void *rmr_alloc_zero(const rmr_alloc *a, size_t size, size_t align)
{
    void *p = rmr_alloc_raw(a, size, align);
    if (p)
        memset(p, 0, size);
    return p;
}

void rmr_release(const rmr_alloc *a, void *ptr, size_t size)
{
    if (ptr)
        a->release(a->user, ptr, size);
}

void rmr_release_wiped(const rmr_alloc *a, void *ptr, size_t size)
{
    if (!ptr)
        return;
    rmr_wipe(ptr, size);
    a->release(a->user, ptr, size);
}

void rmr_wipe(void *ptr, size_t len)
{
    if (len == 0)
        return;
#if defined(__GNUC__)
    memset(ptr, 0, len);
    /* The compiler must believe that someone reads the zeros. */
    __asm__ __volatile__("" : : "r"(ptr) : "memory");
#else
    volatile uint8_t *p = (volatile uint8_t *)ptr;
    while (len--)
        *p++ = 0;
#endif
}

bool rmr_equal_ct(const void *a, const void *b, size_t len)
{
    const uint8_t *x = (const uint8_t *)a, *y = (const uint8_t *)b;
    /* Each step is written and read again, so that none can be left out. */
    volatile uint64_t diff = 0;
    for (; len >= 8; x += 8, y += 8, len -= 8) {
        uint64_t v, w;
        memcpy(&v, x, sizeof v);
        memcpy(&w, y, sizeof w);
        diff |= v ^ w;
    }
    for (; len; x++, y++, len--)
        diff |= (uint64_t)(*x ^ *y);
    return diff == 0;
}

rmr_err rmr_rng_fill(const rmr_rng *rng, void *dst, size_t len)
{
    if (len == 0)
        return RMR_OK;
    if (!rng->fill || rng->fill(rng->user, (uint8_t *)dst, len) != RMR_OK)
        return RMR_E_RNG;
    return RMR_OK;
}

void rmr_logf(const rmr_log *log, rmr_log_level level, const char *layer,
              const char *fmt, ...)
{
    if (!log->write || level == RMR_LOG_OFF || level > log->max_level)
        return;
    char line[LOG_LINE_MAX];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (n < 0)
        return;
    size_t len = (size_t)n < sizeof line ? (size_t)n : sizeof line - 1;
    /* A peer's text may be in the line: it must not forge another line or
     * drive a terminal. */
    for (size_t i = 0; i < len; i++) {
        uint8_t c = (uint8_t)line[i];
        if (c < 0x20 || c == 0x7f)
            line[i] = '?';
    }
    log->write(log->user, level, layer, line, len);
}
