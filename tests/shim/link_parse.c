/* The text form of a link's impairments. */
#include "link.h"

#include <stdlib.h>
#include <string.h>

typedef struct unit {
    const char *name;
    double times;
} unit;

static const unit rates[] = {
    {"kbit", 125}, {"mbit", 125000}, {"gbit", 125000000},
    {"k", 1000},   {"m", 1000000},   {"", 1},
    {NULL, 0}};
static const unit sizes[] = {{"k", 1024}, {"m", 1048576}, {"", 1}, {NULL, 0}};
static const unit times[] = {{"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {NULL, 0}};
static const unit parts[] = {{"%", 10000}, {NULL, 0}};

/* A number with one of the units (a unit that others begin with comes last);
 * NULL: it is none, or above `most`. */
static const char *number(const char *s, const unit *u, double most,
                          uint64_t *out)
{
    char *end;
    double v = strtod(s, &end);
    if (end == s || !(v >= 0))
        return NULL;
    for (; u->name; u++) {
        size_t n = strlen(u->name);
        if (strncmp(end, u->name, n) != 0)
            continue;
        if (v * u->times > most)
            return NULL;
        *out = (uint64_t)(v * u->times + 0.5);
        return end + n;
    }
    return NULL;
}

static const char *part(const char *s, uint32_t *out)
{
    uint64_t v = 0;
    s = number(s, parts, LINK_MILLION, &v);
    if (s)
        *out = (uint32_t)v;
    return s;
}

static const char *slash(const char *s)
{
    return s && *s == '/' ? s + 1 : NULL;
}

static const char *burst(link_config *c, const char *s)
{
    s = slash(part(s, &c->burst_begin));
    s = s ? slash(part(s, &c->burst_end)) : NULL;
    return s ? part(s, &c->burst_loss) : NULL;
}

static const char *hold(link_config *c, const char *s)
{
    uint64_t n = 0;
    if (strncmp(s, "every", 5) == 0) {
        s = number(s + 5, sizes, UINT32_MAX, &n);
        c->hold_every = (uint32_t)n;
    } else {
        s = part(s, &c->hold);
    }
    s = slash(s);
    return s ? number(s, times, 1e12, &c->hold_for) : NULL;
}

static const char *small(const char *s, uint32_t *out)
{
    uint64_t v = 0;
    s = number(s, sizes, UINT32_MAX, &v);
    if (s)
        *out = (uint32_t)v;
    return s;
}

static const char *field(link_config *c, const char *name, size_t n,
                         const char *s)
{
#define IS(x) (n == sizeof x - 1 && memcmp(name, x, n) == 0)
    if (IS("rate"))
        return number(s, rates, 1e12, &c->rate);
    if (IS("queue"))
        return number(s, sizes, 1e12, &c->queue);
    if (IS("delay"))
        return number(s, times, 1e12, &c->delay);
    if (IS("jitter"))
        return number(s, times, 1e12, &c->jitter);
    if (IS("loss"))
        return part(s, &c->loss);
    if (IS("burst"))
        return burst(c, s);
    if (IS("hold"))
        return hold(c, s);
    if (IS("dup"))
        return part(s, &c->duplicate);
    if (IS("corrupt"))
        return part(s, &c->corrupt);
    if (IS("mtu"))
        return small(s, &c->mtu);
#undef IS
    return NULL;
}

bool link_parse(link_config *c, const char *text, const char **why)
{
    link_config out = *c;
    const char *s = text;
    while (*s) {
        *why = s;
        const char *eq = strchr(s, '=');
        s = eq ? field(&out, s, (size_t)(eq - s), eq + 1) : NULL;
        if (!s || (*s && *s != ','))
            return false;
        s += *s == ',';
    }
    *c = out;
    return true;
}
