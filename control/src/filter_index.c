/*
 * The index of a rule set: a verdict looks four intervals up and intersects
 * their sets, so it costs nearly the same for ten rules and for ten thousand.
 *
 * The rules are cut into lines: a line is a rule with one range of ports.  For
 * each dimension (source, destination, port, protocol) the space is cut at
 * the ends of all ranges; each interval has the set of the lines that hold
 * there, kept once however often it occurs.  A set is a list of words of 64
 * lines that are not zero: short where few rules meet, at most lines / 64.
 * A packet is accepted when the four sets have a line in common.
 *
 * A few rules are not indexed, nor are those that overlap so much that the sets
 * would take too much memory: they are walked one by one (filter.c).
 */
#include "filter_internal.h"

#include <remora/cursor.h>

#include <string.h>

enum { MAX_LINES = 1 << 20, LINE_WINDOW = 8 };
#define MAX_INDEX_BYTES ((size_t)16 << 20)
#define MAX_WORK ((size_t)1 << 25) /* words written while building */

/* ---- building --------------------------------------------------------- */

typedef struct point { /* 128 bits, high half first */
    uint64_t hi, lo;
} point;

typedef struct event { /* lines begin or end to hold from here on */
    point at;
    uint32_t line, n;
    bool begin;
} event;

typedef struct line {
    uint32_t rule;
    uint16_t first, last; /* ports */
} line;

typedef struct builder {
    const rmr_alloc *a;
    const filter_set *s;
    filter_index *x;
    rmri_ctl_vec lines;      /* line */
    rmri_ctl_vec first_line; /* uint32_t, one a rule, and one behind */
    rmri_ctl_vec events;     /* event */
    rmri_ctl_vec count;      /* uint32_t a line: how many ranges hold */
    rmri_ctl_vec bits;       /* uint64_t: the lines that hold */
    rmri_ctl_vec busy;       /* uint64_t: a bit a word of `bits` not zero */
    rmri_ctl_vec table;      /* uint32_t: sets by their contents */
    size_t work;
} builder;

static void *add(builder *b, rmri_ctl_vec *v, size_t n)
{
    return rmri_ctl_vec_add(v, b->a, n, MAX_INDEX_BYTES);
}

static const filter_rule *rules_of(const filter_set *s)
{
    return (const filter_rule *)(const void *)s->rules.p;
}

static size_t n_rules(const filter_set *s)
{
    return s->rules.len / sizeof(filter_rule);
}

static line *lines_of(const builder *b)
{
    return (line *)(void *)b->lines.p;
}

static uint32_t n_lines(const builder *b)
{
    return (uint32_t)(b->lines.len / sizeof(line));
}

static void ports_of(const uint8_t *dst, int fam, uint16_t *first,
                     uint16_t *last)
{
    *first = rmr_load_be16(dst + FILTER_SRC_SIZE(fam));
    *last = rmr_load_be16(dst + FILTER_SRC_SIZE(fam) + 2);
}

/* The line of a rule with those ports, among its last few; UINT32_MAX: none.
 * Two lines that say the same do no harm. */
static uint32_t find_line(const builder *b, uint32_t from, uint16_t first,
                          uint16_t last)
{
    const line *v = lines_of(b);
    uint32_t n = n_lines(b);
    for (uint32_t i = n; i > from && n - i < LINE_WINDOW; i--) {
        if (v[i - 1].first == first && v[i - 1].last == last)
            return i - 1;
    }
    return UINT32_MAX;
}

static rmr_err add_event(builder *b, point at, uint32_t ln, uint32_t n,
                         bool begin)
{
    event *e = add(b, &b->events, sizeof *e);
    if (!e)
        return RMR_E_NOMEM;
    e->at = at;
    e->line = ln;
    e->n = n;
    e->begin = begin;
    return RMR_OK;
}

/* Lines hold from first to last. */
static rmr_err add_range(builder *b, point first, point last, uint32_t ln,
                         uint32_t n)
{
    rmr_err e = add_event(b, first, ln, n, true);
    if (e || (last.hi == UINT64_MAX && last.lo == UINT64_MAX))
        return e;
    last.hi += last.lo == UINT64_MAX;
    last.lo++;
    return add_event(b, last, ln, n, false);
}

static point point_of(const uint8_t *ip, int fam)
{
    point p = {0, 0};
    if (fam == FAM4) {
        p.lo = rmr_load_be32(ip);
    } else {
        p.hi = rmr_load_be64(ip);
        p.lo = rmr_load_be64(ip + 8);
    }
    return p;
}

static rmr_err make_lines(builder *b)
{
    for (size_t i = 0; i < n_rules(b->s); i++) {
        const filter_rule *r = &rules_of(b->s)[i];
        uint32_t from = n_lines(b), *at = add(b, &b->first_line, sizeof *at);
        if (!at)
            return RMR_E_NOMEM;
        *at = from;
        for (int fam = 0; fam < FAMS; fam++) {
            const uint8_t *d = b->s->dst[fam].p;
            for (uint32_t k = 0; k < r->dst[fam].n; k++) {
                line l = {(uint32_t)i, 0, 0}, *p;
                ports_of(d + r->dst[fam].off + k * FILTER_DST_SIZE(fam), fam,
                         &l.first, &l.last);
                if (find_line(b, from, l.first, l.last) != UINT32_MAX)
                    continue;
                p = n_lines(b) < MAX_LINES ? add(b, &b->lines, sizeof l) : NULL;
                if (!p)
                    return RMR_E_NOMEM;
                *p = l;
            }
        }
    }
    uint32_t *end = add(b, &b->first_line, sizeof *end);
    if (!end)
        return RMR_E_NOMEM;
    *end = n_lines(b);
    return RMR_OK;
}

/* ---- sorting events --------------------------------------------------- */

static int compare(const point *a, const point *b)
{
    if (a->hi != b->hi)
        return a->hi < b->hi ? -1 : 1;
    return a->lo < b->lo ? -1 : a->lo > b->lo;
}

static void sift_down(event *v, size_t from, size_t n)
{
    const event e = v[from];
    for (;;) {
        size_t child = 2 * from + 1;
        if (child >= n)
            break;
        if (child + 1 < n && compare(&v[child].at, &v[child + 1].at) < 0)
            child++;
        if (compare(&e.at, &v[child].at) >= 0)
            break;
        v[from] = v[child];
        from = child;
    }
    v[from] = e;
}

static void sort_events(event *v, size_t n)
{
    for (size_t i = n / 2; i-- > 0;)
        sift_down(v, i, n);
    for (size_t i = n; i-- > 1;) {
        event e = v[0];
        v[0] = v[i];
        v[i] = e;
        sift_down(v, 0, i);
    }
}

/* ---- sets ------------------------------------------------------------- */

static void set_bit(builder *b, uint32_t ln, bool on)
{
    uint64_t *bits = (uint64_t *)(void *)b->bits.p;
    uint64_t *busy = (uint64_t *)(void *)b->busy.p;
    uint32_t w = ln / 64;
    if (on)
        bits[w] |= (uint64_t)1 << ln % 64;
    else
        bits[w] &= ~((uint64_t)1 << ln % 64);
    if (bits[w])
        busy[w / 64] |= (uint64_t)1 << w % 64;
    else
        busy[w / 64] &= ~((uint64_t)1 << w % 64);
}

static void apply_event(builder *b, const event *e)
{
    uint32_t *count = (uint32_t *)(void *)b->count.p;
    for (uint32_t i = e->line; i < e->line + e->n; i++) {
        if (e->begin ? count[i]++ == 0 : --count[i] == 0)
            set_bit(b, i, e->begin);
    }
}

static const filter_span *sets_of(const filter_index *x)
{
    return (const filter_span *)(const void *)x->sets.p;
}

static const filter_word *words_of(const filter_index *x, uint32_t set)
{
    const filter_word *w = (const filter_word *)(const void *)x->words.p;
    return w ? w + sets_of(x)[set].off : NULL;
}

/* The lines that hold now, as words behind all others. */
static rmr_err write_words(builder *b, uint32_t *n, uint64_t *hash)
{
    const uint64_t *bits = (const uint64_t *)(void *)b->bits.p;
    const uint64_t *busy = (const uint64_t *)(void *)b->busy.p;
    *n = 0;
    *hash = 0x9e3779b97f4a7c15;
    b->work += b->busy.len / sizeof *busy;
    for (size_t i = 0; i < b->busy.len / sizeof *busy; i++) {
        for (uint64_t left = busy[i]; left; left &= left - 1) {
            uint32_t w = (uint32_t)(64 * i);
            for (uint64_t t = left; !(t & 1); t >>= 1)
                w++;
            filter_word *f = add(b, &b->x->words, sizeof *f);
            if (!f || b->work++ > MAX_WORK)
                return RMR_E_NOMEM;
            f->bits = bits[w];
            f->word = w;
            *hash = (*hash ^ f->bits ^ (uint64_t)w << 40) * 0xff51afd7ed558ccd;
            *hash ^= *hash >> 32;
            (*n)++;
        }
    }
    return b->work > MAX_WORK ? RMR_E_NOMEM : RMR_OK;
}

static bool same_words(const filter_index *x, uint32_t set, uint32_t off,
                       uint32_t n)
{
    const filter_word *w = (const filter_word *)(const void *)x->words.p;
    const filter_word *v = words_of(x, set);
    if (sets_of(x)[set].n != n)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        if (v[i].bits != w[off + i].bits || v[i].word != w[off + i].word)
            return false;
    }
    return true;
}

static rmr_err grow_table(builder *b);

static void enter(builder *b, uint64_t hash, uint32_t set)
{
    uint32_t *t = (uint32_t *)(void *)b->table.p;
    size_t mask = b->table.len / sizeof *t - 1, i = hash & mask;
    while (t[i])
        i = (i + 1) & mask;
    t[i] = set + 1;
}

/* The lines that hold now, as a set of the index. */
static rmr_err intern(builder *b, uint32_t *set)
{
    filter_index *x = b->x;
    uint32_t off = (uint32_t)(x->words.len / sizeof(filter_word)), n;
    uint64_t hash;
    rmr_err e = write_words(b, &n, &hash);
    if (!e)
        e = grow_table(b);
    if (e)
        return e;
    const uint32_t *t = (const uint32_t *)(void *)b->table.p;
    size_t mask = b->table.len / sizeof *t - 1;
    for (size_t i = hash & mask; t[i]; i = (i + 1) & mask) {
        if (sets_of(x)[t[i] - 1].hash == (uint32_t)hash &&
            same_words(x, t[i] - 1, off, n)) {
            x->words.len = off * sizeof(filter_word);
            *set = t[i] - 1;
            return RMR_OK;
        }
    }
    filter_span *s = add(b, &x->sets, sizeof *s);
    if (!s)
        return RMR_E_NOMEM;
    s->off = off;
    s->n = n;
    s->hash = (uint32_t)hash;
    *set = (uint32_t)(x->sets.len / sizeof *s) - 1;
    enter(b, hash & UINT32_MAX, *set);
    return RMR_OK;
}

/* At most half full; entries are found by the low half of their hash. */
static rmr_err grow_table(builder *b)
{
    size_t n = b->x->sets.len / sizeof(filter_span);
    size_t cap = b->table.len / sizeof(uint32_t);
    if (2 * (n + 1) <= cap)
        return RMR_OK;
    rmri_ctl_vec bigger = {0};
    if (!add(b, &bigger, (cap ? 2 * cap : 64) * sizeof(uint32_t)))
        return RMR_E_NOMEM;
    rmri_ctl_vec_free(&b->table, b->a);
    b->table = bigger;
    for (uint32_t i = 0; i < n; i++)
        enter(b, sets_of(b->x)[i].hash, i);
    return RMR_OK;
}

/* ---- dimensions ------------------------------------------------------- */

static rmr_err put_interval(builder *b, filter_dim *d, const point *at,
                            bool wide)
{
    if (!wide && at->lo > UINT32_MAX) /* behind the last address */
        return RMR_OK;
    uint32_t set, *sets = (uint32_t *)(void *)d->set.p;
    size_t n = d->set.len / sizeof set;
    rmr_err e = intern(b, &set);
    if (e || (n && sets[n - 1] == set))
        return e;
    uint32_t *s = add(b, &d->set, sizeof set);
    uint8_t *k = add(b, &d->at, wide ? sizeof *at : sizeof(uint32_t));
    if (!s || !k)
        return RMR_E_NOMEM;
    uint32_t low = (uint32_t)at->lo;
    memcpy(k, wide ? (const void *)at : &low, wide ? sizeof *at : sizeof low);
    *s = set;
    return RMR_OK;
}

/* Cuts the dimension at the events that were collected, which go. */
static rmr_err cut(builder *b, filter_dim *d, bool wide)
{
    event *v = (event *)(void *)b->events.p;
    size_t n = b->events.len / sizeof *v, i = 0;
    sort_events(v, n);
    rmr_err e = RMR_OK;
    while (i < n && !e) {
        point at = v[i].at;
        for (; i < n && compare(&v[i].at, &at) == 0; i++) {
            apply_event(b, &v[i]);
            b->work += v[i].n / 64;
        }
        e = put_interval(b, d, &at, wide);
    }
    b->events.len = 0;
    memset(b->count.p, 0, b->count.len);
    memset(b->bits.p, 0, b->bits.len);
    memset(b->busy.p, 0, b->busy.len);
    rmri_ctl_vec_trim(&d->at, b->a);
    rmri_ctl_vec_trim(&d->set, b->a);
    return e;
}

static rmr_err cut_sources(builder *b, int fam)
{
    const uint32_t *first = (const uint32_t *)(void *)b->first_line.p;
    size_t w = FILTER_WIDTH(fam);
    for (size_t i = 0; i < n_rules(b->s); i++) {
        const filter_span *s = &rules_of(b->s)[i].src[fam];
        for (uint32_t k = 0; k < s->n && first[i] < first[i + 1]; k++) {
            const uint8_t *p = b->s->src[fam].p + s->off + k * 2 * w;
            rmr_err e = add_range(b, point_of(p, fam), point_of(p + w, fam),
                                  first[i], first[i + 1] - first[i]);
            if (e)
                return e;
        }
    }
    return cut(b, &b->x->src[fam], fam == FAM6);
}

/* Goes through the destinations as make_lines did, so that the window of
 * find_line is the same. */
static uint32_t line_of(const builder *b, size_t rule, uint32_t *seen,
                        uint16_t first, uint16_t last)
{
    const line *v = lines_of(b);
    const uint32_t from = ((const uint32_t *)(void *)b->first_line.p)[rule];
    for (uint32_t i = *seen; i > from && *seen - i < LINE_WINDOW; i--) {
        if (v[i - 1].first == first && v[i - 1].last == last)
            return i - 1;
    }
    return (*seen)++;
}

static rmr_err cut_destinations(builder *b, int only)
{
    for (size_t i = 0; i < n_rules(b->s); i++) {
        uint32_t seen = ((const uint32_t *)(void *)b->first_line.p)[i];
        for (int fam = 0; fam < FAMS; fam++) {
            const filter_span *s = &rules_of(b->s)[i].dst[fam];
            size_t w = FILTER_WIDTH(fam);
            for (uint32_t k = 0; k < s->n; k++) {
                const uint8_t *p =
                    b->s->dst[fam].p + s->off + k * FILTER_DST_SIZE(fam);
                uint16_t first, last;
                ports_of(p, fam, &first, &last);
                uint32_t ln = line_of(b, i, &seen, first, last);
                if (fam == only &&
                    add_range(b, point_of(p, fam), point_of(p + w, fam), ln, 1))
                    return RMR_E_NOMEM;
            }
        }
    }
    return cut(b, &b->x->dst[only], only == FAM6);
}

static rmr_err cut_ports(builder *b)
{
    rmr_err e = RMR_OK;
    for (uint32_t i = 0; i < n_lines(b) && !e; i++) {
        const line *l = &lines_of(b)[i];
        point first = {0, l->first}, last = {0, l->last};
        if (l->first <= l->last)
            e = add_range(b, first, last, i, 1);
    }
    return e ? e : cut(b, &b->x->port, false);
}

static bool has_proto(const builder *b, uint32_t ln, unsigned proto)
{
    const filter_rule *r = &rules_of(b->s)[lines_of(b)[ln].rule];
    return r->proto[proto / 32] >> proto % 32 & 1;
}

/* A set a protocol that some rule has, and that of the lines of all ports. */
static rmr_err cut_protocols(builder *b)
{
    uint32_t used[8] = {0};
    rmr_err e = RMR_OK;
    for (size_t i = 0; i < n_rules(b->s); i++) {
        for (size_t k = 0; k < 8; k++)
            used[k] |= rules_of(b->s)[i].proto[k];
    }
    for (unsigned p = 0; p < 257 && !e; p++) {
        bool ports = p == 256;
        if (!ports && !(used[p / 32] >> p % 32 & 1))
            continue;
        for (uint32_t i = 0; i < n_lines(b); i++) {
            const line *l = &lines_of(b)[i];
            set_bit(b, i,
                    ports ? l->first == 0 && l->last == 65535
                          : has_proto(b, i, p));
        }
        b->work += n_lines(b) / 8;
        e = intern(b, ports ? &b->x->all_ports : &b->x->proto[p]);
    }
    memset(b->bits.p, 0, b->bits.len);
    memset(b->busy.p, 0, b->busy.len);
    return e;
}

static rmr_err make_room(builder *b)
{
    size_t words = (n_lines(b) + (size_t)63) / 64;
    uint32_t empty;
    if (!add(b, &b->count, (n_lines(b) + (size_t)1) * sizeof(uint32_t)) ||
        !add(b, &b->bits, (words + 1) * sizeof(uint64_t)) ||
        !add(b, &b->busy, (words / 64 + 1) * sizeof(uint64_t)))
        return RMR_E_NOMEM;
    return intern(b, &empty); /* set 0, for what nobody speaks of */
}

static rmr_err build(builder *b)
{
    rmr_err e = make_lines(b);
    if (!e)
        e = make_room(b);
    for (int fam = 0; fam < FAMS && !e; fam++) {
        e = cut_sources(b, fam);
        if (!e)
            e = cut_destinations(b, fam);
    }
    if (!e)
        e = cut_ports(b);
    return e ? e : cut_protocols(b);
}

filter_index *rmri_filter_index_new(const filter_set *s, const rmr_alloc *a)
{
    builder b;
    filter_index *x = rmr_alloc_zero(a, sizeof *x, _Alignof(filter_index));
    if (!x)
        return NULL;
    memset(&b, 0, sizeof b);
    b.a = a;
    b.s = s;
    b.x = x;
    rmr_err e = build(&b);
    rmri_ctl_vec_free(&b.lines, a);
    rmri_ctl_vec_free(&b.first_line, a);
    rmri_ctl_vec_free(&b.events, a);
    rmri_ctl_vec_free(&b.count, a);
    rmri_ctl_vec_free(&b.bits, a);
    rmri_ctl_vec_free(&b.busy, a);
    rmri_ctl_vec_free(&b.table, a);
    if (e) {
        rmri_filter_index_free(x, a);
        return NULL;
    }
    rmri_ctl_vec_trim(&x->words, a);
    rmri_ctl_vec_trim(&x->sets, a);
    return x;
}

static void dim_free(filter_dim *d, const rmr_alloc *a)
{
    rmri_ctl_vec_free(&d->at, a);
    rmri_ctl_vec_free(&d->set, a);
}

void rmri_filter_index_free(filter_index *x, const rmr_alloc *a)
{
    if (!x)
        return;
    for (int fam = 0; fam < FAMS; fam++) {
        dim_free(&x->src[fam], a);
        dim_free(&x->dst[fam], a);
    }
    dim_free(&x->port, a);
    rmri_ctl_vec_free(&x->words, a);
    rmri_ctl_vec_free(&x->sets, a);
    rmr_release(a, x, sizeof *x);
}

/* ---- looking up ------------------------------------------------------- */

/* The set of the last interval that begins at or before the key. */
static uint32_t set_narrow(const filter_dim *d, uint32_t key)
{
    const uint32_t *at = (const uint32_t *)(const void *)d->at.p;
    const uint32_t *set = (const uint32_t *)(const void *)d->set.p;
    size_t base = 0, n = d->set.len / sizeof *set;
    if (n == 0 || key < at[0])
        return 0;
    while (n > 1) { /* no branch that can be guessed wrongly */
        size_t half = n / 2;
        base += at[base + half] <= key ? half : 0;
        n -= half;
    }
    return set[base];
}

static uint32_t set_wide(const filter_dim *d, point key)
{
    const point *at = (const point *)(const void *)d->at.p;
    const uint32_t *set = (const uint32_t *)(const void *)d->set.p;
    size_t base = 0, n = d->set.len / sizeof *set;
    if (n == 0 || compare(&key, &at[0]) < 0)
        return 0;
    while (n > 1) {
        size_t half = n / 2;
        base += compare(&at[base + half], &key) <= 0 ? half : 0;
        n -= half;
    }
    return set[base];
}

static uint32_t set_of_ip(const filter_dim *d, const uint8_t *ip, int fam)
{
    if (fam == FAM4)
        return set_narrow(d, rmr_load_be32(ip));
    return set_wide(d, point_of(ip, fam));
}

typedef struct cursor {
    const filter_word *at;
    uint32_t n; /* words that are left */
} cursor;

/* The bits of a word, 0 where the set has none; words are asked for in rising
 * order. */
static uint64_t bits_at(cursor *c, uint32_t word)
{
    if (c->n && c->at->word < word) {
        uint32_t hi = 1; /* doubling, then halving */
        while (hi < c->n && c->at[hi].word < word)
            hi *= 2;
        uint32_t lo = hi / 2;
        hi = hi < c->n ? hi : c->n;
        while (lo + 1 < hi) {
            uint32_t mid = lo + (hi - lo) / 2;
            if (c->at[mid].word < word)
                lo = mid;
            else
                hi = mid;
        }
        c->at += hi;
        c->n -= hi;
    }
    return c->n && c->at->word == word ? c->at->bits : 0;
}

/* Do the sets have a line in common?  The shortest one leads. */
static bool intersect(const filter_index *x, const uint32_t *set, size_t n)
{
    cursor c[4];
    size_t lead = 0;
    for (size_t i = 0; i < n; i++) {
        c[i].at = words_of(x, set[i]);
        c[i].n = sets_of(x)[set[i]].n;
        if (c[i].n < c[lead].n)
            lead = i;
    }
    for (const filter_word *w = c[lead].at, *end = w + c[lead].n; w < end;
         w++) {
        uint64_t bits = w->bits;
        for (size_t i = 0; i < n && bits; i++)
            bits &= i == lead ? bits : bits_at(&c[i], w->word);
        if (bits)
            return true;
    }
    return false;
}

bool rmri_filter_index_match(const filter_index *x, const filter_pkt *k,
                             dst_match how)
{
    uint32_t set[4];
    size_t n = 2;
    set[0] = set_of_ip(&x->src[k->fam], k->src, k->fam);
    set[1] = set_of_ip(&x->dst[k->fam], k->dst, k->fam);
    if (set[0] == 0 || set[1] == 0)
        return false;
    if (how != DST_IP_ONLY) {
        set[n++] = x->proto[k->proto];
        set[n++] = how == DST_ALL_PORTS ? x->all_ports
                                        : set_narrow(&x->port, k->dst_port);
    }
    return intersect(x, set, n);
}
