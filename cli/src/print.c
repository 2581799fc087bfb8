/* Words to people: complaints, log lines, sizes and ages. */
#include "print.h"

#include <stdarg.h>
#include <time.h>

#include <remora/json.h>
#include <remora/text.h>

#define LOG_TEXT_MAX 2048 /* longer ones are cut */

/* C0 and DEL steer a terminal, and so do the C1 controls, which are U+0080 to
 * U+009F: 0xc2 and one byte more in UTF-8. */
static uint8_t clean_byte(rmr_bytes text, size_t *i)
{
    uint8_t c = text.ptr[*i];
    bool c1 = c == 0xc2 && *i + 1 < text.len && text.ptr[*i + 1] >= 0x80 &&
              text.ptr[*i + 1] < 0xa0;
    *i += c1 ? 2 : 1;
    return c < 0x20 || c == 0x7f || c1 ? '?' : c;
}

void cli_print_clean(FILE *to, rmr_bytes text)
{
    for (size_t i = 0; i < text.len;) {
        (void)putc(clean_byte(text, &i), to);
    }
}

void cli_clean_copy(char *dst, size_t cap, rmr_bytes text)
{
    size_t n = 0;
    for (size_t i = 0; i < text.len && n + 1 < cap;) {
        dst[n++] = (char)clean_byte(text, &i);
    }
    dst[n] = '\0';
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
