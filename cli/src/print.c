/* Words to people: complaints, log lines, sizes and ages. */
#include "print.h"

#include <stdarg.h>
#include <string.h>
#include <time.h>

#include <remora/json.h>
#include <remora/text.h>

#define LOG_TEXT_MAX 2048 /* longer ones are cut */

/* C0, DEL and C1 steer a terminal; the others turn the direction of a line, so
 * that it reads as another, or end it. */
bool cli_is_harmful(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x61c || c == 0x200e ||
           c == 0x200f || (c >= 0x2028 && c <= 0x202e) ||
           (c >= 0x2066 && c <= 0x2069);
}

/* The length of the character that text has at i; a byte that begins none is
 * one that is harmful. */
static size_t next_char(rmr_bytes text, size_t i, bool *harmful)
{
    const uint8_t *p = text.ptr + i;
    size_t n = p[0] < 0x80                   ? 1
               : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
               : p[0] >= 0xe0 && p[0] < 0xf0 ? 3
               : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
                                             : 0;
    uint32_t c = n > 1 ? p[0] & (0x7fU >> n) : p[0];
    for (size_t k = 1; k < n; k++) {
        if (k == text.len - i || (p[k] & 0xc0) != 0x80) {
            n = 0;
        } else {
            c = c << 6 | (p[k] & 0x3fU);
        }
    }
    *harmful = n == 0 || cli_is_harmful(c);
    return n == 0 ? 1 : n;
}

void cli_print_clean(FILE *to, rmr_bytes text)
{
    bool harmful;
    for (size_t i = 0, n; i < text.len; i += n) {
        n = next_char(text, i, &harmful);
        (void)fwrite(harmful ? (const void *)"?" : text.ptr + i, 1,
                     harmful ? 1 : n, to);
    }
}

void cli_clean_copy(char *dst, size_t cap, rmr_bytes text)
{
    size_t len = 0;
    bool harmful;
    for (size_t i = 0, n; i < text.len; i += n) {
        n = next_char(text, i, &harmful);
        if (cap - len <= n) {
            break;
        }
        memcpy(dst + len, harmful ? (const void *)"?" : text.ptr + i,
               harmful ? 1 : n);
        len += harmful ? 1 : n;
    }
    dst[len] = '\0';
}

/* ---- stderr ------------------------------------------------------------ */

static bool as_json; /* all lines on stderr, from one decision at the start */

void cli_print_json(void)
{
    as_json = true;
}

static uint64_t wall_now(void)
{
    struct timespec ts;
    if (clock_gettime(CLOCK_REALTIME, &ts) != 0 || ts.tv_sec < 0) {
        return 0;
    }
    return (uint64_t)ts.tv_sec * RMR_SEC + (uint64_t)ts.tv_nsec;
}

static void put_json(const char *level, const char *layer, rmr_bytes text)
{
    char clean[LOG_TEXT_MAX], when[RMR_TIME_TEXT_MAX];
    uint8_t buf[LOG_TEXT_MAX * 6 + 256]; /* a byte may become \u00xx */
    rmr_jw w;
    size_t len;
    cli_clean_copy(clean, sizeof clean, text);
    rmr_jw_init(&w, rmr_buf_of(buf, sizeof buf - 1));
    rmr_jw_object(&w);
    rmr_jw_kstr(&w, "time", rmr_time_text(wall_now(), when));
    rmr_jw_kstr(&w, "level", level);
    rmr_jw_kstr(&w, "layer", layer);
    rmr_jw_kstr(&w, "msg", clean);
    rmr_jw_object_end(&w);
    if (rmr_jw_end(&w, &len) == RMR_OK) {
        buf[len] = '\n'; /* in one write: lines of others stay whole */
        (void)fwrite(buf, 1, len + 1, stderr);
    }
}

static void put_plain(const char *level, const char *layer, rmr_bytes text)
{
    char clean[LOG_TEXT_MAX], line[LOG_TEXT_MAX + 96], when[RMR_TIME_TEXT_MAX];
    cli_clean_copy(clean, sizeof clean, text);
    int len = snprintf(line, sizeof line, "%s %-5s %-8s %s\n",
                       rmr_time_text(wall_now(), when), level, layer, clean);
    if (len > 0 && (size_t)len < sizeof line) {
        (void)fwrite(line, 1, (size_t)len, stderr);
    }
}

void cli_complain(const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (as_json) {
        put_json("error", "remora", rmr_bytes_str(text));
        return;
    }
    (void)fputs("remora: ", stderr);
    cli_print_clean(stderr, rmr_bytes_str(text));
    (void)putc('\n', stderr);
}

static void write_log(void *user, rmr_log_level level, const char *layer,
                      const char *msg, size_t len)
{
    static const char *const names[] = {"off",  "error", "warn",
                                        "info", "debug", "trace"};
    const bool *quiet = user;
    if (*quiet) {
        return;
    }
    if (as_json) {
        put_json(names[level], layer, rmr_bytes_of(msg, len));
        return;
    }
    put_plain(names[level], layer, rmr_bytes_of(msg, len));
}

rmr_log cli_log(rmr_log_level max, bool *quiet)
{
    rmr_log log;
    log.write = write_log;
    log.user = quiet;
    log.max_level = max;
    return log;
}

const char *cli_size_text(uint64_t bytes, char dst[CLI_SIZE_TEXT_MAX])
{
    static const char *const units[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
    double n = (double)bytes / 1000.0;
    size_t u = 0;
    if (bytes < 1000) {
        (void)snprintf(dst, CLI_SIZE_TEXT_MAX, "%u B", (unsigned)bytes);
        return dst;
    }
    while (n >= 999.95 && u + 1 < sizeof units / sizeof units[0]) {
        n /= 1000.0;
        u++;
    }
    (void)snprintf(dst, CLI_SIZE_TEXT_MAX, "%.1f %s", n, units[u]);
    return dst;
}

const char *cli_age_text(uint64_t seconds, char dst[CLI_AGE_TEXT_MAX])
{
    static const struct {
        uint64_t least, unit;
        const char *name;
    } steps[] = {
        {172800, 86400, "d"}, {7200, 3600, "h"}, {120, 60, "min"}, {0, 1, "s"}};
    size_t i = 0;
    while (seconds < steps[i].least) {
        i++;
    }
    (void)snprintf(dst, CLI_AGE_TEXT_MAX, "%llu %s ago",
                   (unsigned long long)(seconds / steps[i].unit),
                   steps[i].name);
    return dst;
}
