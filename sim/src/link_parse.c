/* The text form of a link's impairments: whole numbers alone, so that every
 * compiler reads the same. */
#include <remora/sim_link.h>

#include <string.h>

#define MOST 1000000000000u /* of any value, in its own unit */

typedef struct unit {
    const char *name;
    uint64_t times;
} unit;

static const unit rates[] = {
    {"kbit", 125}, {"mbit", 125000}, {"gbit", 125000000},
    {"k", 1000},   {"m", 1000000},   {"", 1},
    {NULL, 0}};
static const unit sizes[] = {{"k", 1024}, {"m", 1048576}, {"", 1}, {NULL, 0}};
static const unit times[] = {
    {"us", 1000}, {"ms", 1000000}, {"s", 1000000000}, {NULL, 0}};
static const unit parts[] = {{"%", 10000}, {NULL, 0}};

static bool starts(const char *s, const char *with)
{
    return memcmp(s, with, strlen(with)) == 0;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Digits with at most six behind a point, in millionths; NULL: no number. */
static const char *decimal(const char *s, uint64_t *millionths)
{
    uint64_t v = 0;
    int behind = -1;
    if (!is_digit(*s))
        return NULL;
    for (; is_digit(*s) || (*s == '.' && behind < 0); s++) {
        if (*s == '.') {
            behind = 0;
            continue;
        }
        if (behind == 6 || v > UINT64_MAX / 100)
            return NULL;
        v = v * 10 + (uint64_t)(*s - '0');
        behind += behind >= 0;
    }
    for (int i = behind < 0 ? 0 : behind; i < 6; i++) {
        if (v > UINT64_MAX / 100)
            return NULL;
        v *= 10;
    }
    *millionths = v;
    return s;
}

/* v millionths times u, rounded; false: more than `most`. */
static bool scale(uint64_t v, uint64_t u, uint64_t most, uint64_t *out)
{
    uint64_t whole = v / 1000000, rest = v % 1000000;
    if (whole > most / u)
        return false;
    *out = whole * u + (rest * u + 500000) / 1000000;
    return *out <= most;
}

/* A number with one of the units (a unit that others begin with comes last);
 * NULL: it is none, or above `most`. */
static const char *number(const char *s, const unit *u, uint64_t most,
                          uint64_t *out)
{
    uint64_t v;
    s = decimal(s, &v);
    if (!s)
        return NULL;
    for (; u->name; u++) {
        size_t n = strlen(u->name), at = 0;
        while (at < n && s[at] == u->name[at])
            at++;
        if (at == n)
            return scale(v, u->times, most, out) ? s + n : NULL;
    }
    return NULL;
}

static const char *part(const char *s, uint32_t *out)
{
    uint64_t v = 0;
    s = number(s, parts, RMR_SIM_MILLION, &v);
    if (s)
        *out = (uint32_t)v;
    return s;
}

static const char *slash(const char *s)
{
    return s && *s == '/' ? s + 1 : NULL;
}

static const char *burst(rmr_sim_link_config *c, const char *s)
{
    s = slash(part(s, &c->burst_begin));
    s = s ? slash(part(s, &c->burst_end)) : NULL;
    return s ? part(s, &c->burst_loss) : NULL;
}

static const char *small(const char *s, uint32_t *out)
{
    uint64_t v = 0;
    s = number(s, sizes, UINT32_MAX, &v);
    if (s)
        *out = (uint32_t)v;
    return s;
}

static const char *hold(rmr_sim_link_config *c, const char *s)
{
    s = strlen(s) > 5 && starts(s, "every") ? small(s + 5, &c->hold_every)
                                            : part(s, &c->hold);
    s = slash(s);
    return s ? number(s, times, MOST, &c->hold_for) : NULL;
}

static const char *field(rmr_sim_link_config *c, rmr_bytes name, const char *s)
{
    if (rmr_bytes_eq_str(name, "rate"))
        return number(s, rates, MOST, &c->rate);
    if (rmr_bytes_eq_str(name, "queue"))
        return number(s, sizes, MOST, &c->queue);
    if (rmr_bytes_eq_str(name, "delay"))
        return number(s, times, MOST, &c->delay);
    if (rmr_bytes_eq_str(name, "jitter"))
        return number(s, times, MOST, &c->jitter);
    if (rmr_bytes_eq_str(name, "loss"))
        return part(s, &c->loss);
    if (rmr_bytes_eq_str(name, "burst"))
        return burst(c, s);
    if (rmr_bytes_eq_str(name, "hold"))
        return hold(c, s);
    if (rmr_bytes_eq_str(name, "dup"))
        return part(s, &c->duplicate);
    if (rmr_bytes_eq_str(name, "corrupt"))
        return part(s, &c->corrupt);
    if (rmr_bytes_eq_str(name, "mark"))
        return number(s, sizes, MOST, &c->mark);
    if (rmr_bytes_eq_str(name, "mtu"))
        return small(s, &c->mtu);
    return NULL;
}

rmr_err rmr_sim_link_parse(rmr_sim_link_config *c, const char *text,
                           const char **at)
{
    rmr_sim_link_config out = *c;
    const char *s = text;
    while (*s) {
        if (at)
            *at = s;
        size_t n = 0;
        while (s[n] && s[n] != '=')
            n++;
        s = s[n] ? field(&out, rmr_bytes_of(s, n), s + n + 1) : NULL;
        if (!s || (*s && *s != ','))
            return RMR_E_MALFORMED;
        s += *s == ',';
    }
    *c = out;
    return RMR_OK;
}
