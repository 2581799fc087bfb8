/*
 * What a netmap costs: reading it, a delta in a small and in a big table, its
 * memory, and verdicts of the packet filter with few and with many rules.
 *   bench_netmap [PEERS]     (50,000)
 * CPU time; of all rounds the best counts, because others on the machine only
 * ever make a figure worse.
 */
#include <remora/filter.h>
#include <remora/netmap.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifdef BENCH_JANSSON
#include <jansson.h>
#endif

enum { ROUNDS = 7, SMALL = 100 };

/* ---- surroundings ----------------------------------------------------- */

static size_t live, peak;

static void *b_alloc(void *user, size_t size, size_t align)
{
    (void)user;
    (void)align; /* malloc's is enough for all that asks here */
    live += size;
    peak = live > peak ? live : peak;
    return malloc(size);
}

static void b_release(void *user, void *ptr, size_t size)
{
    (void)user;
    if (ptr)
        live -= size;
    free(ptr);
}

static uint64_t b_random(void)
{
    static uint64_t s = 0x9e3779b97f4a7c15u;
    s ^= s << 13;
    s ^= s >> 7;
    s ^= s << 17;
    return s * 0x2545f4914f6cdd1du;
}

static rmr_err b_fill(void *user, uint8_t *dst, size_t len)
{
    (void)user;
    for (size_t i = 0; i < len; i++)
        dst[i] = (uint8_t)(b_random() >> 32);
    return RMR_OK;
}

static rmr_env make_env(void)
{
    rmr_env env;
    memset(&env, 0, sizeof env);
    env.alloc.alloc = b_alloc;
    env.alloc.release = b_release;
    env.rng.fill = b_fill;
    return env;
}

static double cpu(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void must(rmr_err e, const char *what)
{
    if (e == RMR_OK)
        return;
    (void)fprintf(stderr, "bench_netmap: %s: %d\n", what, (int)e);
    exit(1);
}

/* ---- frames ----------------------------------------------------------- */

typedef struct text {
    char *s;
    size_t len, cap;
} text;

static void put(text *t, const char *fmt, ...) RMR_PRINTF(2, 3);
static void put(text *t, const char *fmt, ...)
{
    va_list ap;
    if (t->cap - t->len < 4096) {
        t->cap = t->cap * 2 + 65536;
        t->s = realloc(t->s, t->cap);
        if (!t->s)
            abort();
    }
    va_start(ap, fmt);
    t->len += (size_t)vsnprintf(t->s + t->len, t->cap - t->len, fmt, ap);
    va_end(ap);
}

/* A peer as real tailnets have them. */
static void put_peer(text *t, unsigned i, unsigned port)
{
    put(t,
        "{\"ID\":%u,\"StableID\":\"n%08xCNTRL\",\"Name\":\"host-%u.tail1234."
        "ts.net.\",\"User\":%u,\"Key\":\"nodekey:%064x\",\"DiscoKey\":"
        "\"discokey:%064x\",",
        i, i, i, 1000 + i % 50, i, i);
    for (int k = 0; k < 2; k++)
        put(t, "\"%s\":[\"100.%u.%u.%u/32\",\"fd7a:115c:a1e0::%x:%x/128\"],",
            k ? "AllowedIPs" : "Addresses", 64 + (i >> 16), i >> 8 & 255,
            i & 255, i >> 16, i & 0xffff);
    put(t,
        "\"Endpoints\":[\"192.0.2.%u:%u\",\"10.0.%u.%u:41641\","
        "\"[2001:db8::%x]:41641\"],\"HomeDERP\":%u,\"Hostinfo\":{\"OS\":"
        "\"linux\",\"Hostname\":\"host-%u\",\"Services\":[{\"Proto\":"
        "\"peerapi4\",\"Port\":1%04u},{\"Proto\":\"peerapi6\",\"Port\":1%04u}]"
        "},\"Created\":\"2026-11-21T09:17:51.371591502Z\",\"KeyExpiry\":"
        "\"2027-05-21T09:17:51Z\",\"Cap\":138,\"Tags\":[\"tag:server\"],"
        "\"Online\":true,\"MachineAuthorized\":true,\"CapMap\":{"
        "\"https://tailscale.com/cap/ssh\":null}}",
        i & 255, port, i >> 8 & 255, i & 255, i, 1 + i % 20, i, i % 10000,
        i % 10000);
}

static text full_frame(unsigned peers)
{
    text t = {0};
    put(&t,
        "{\"Node\":{\"ID\":4000000000,\"Key\":\"nodekey:%064x\",\"Name\":"
        "\"me.tail1234.ts.net.\",\"Addresses\":[\"100.127.0.1/32\"]},"
        "\"Peers\":[",
        7);
    for (unsigned i = 1; i <= peers; i++) {
        put(&t, i > 1 ? "," : "");
        put_peer(&t, 2 * i, 41641);
    }
    put(&t, "]}");
    return t;
}

static void feed(rmr_nm *nm, const char *s, size_t len, size_t piece)
{
    rmr_nm_frame_begin(nm, (uint64_t)1795253000 * RMR_SEC);
    while (len) {
        size_t n = len < piece ? len : piece;
        must(rmr_nm_frame_feed(nm, rmr_bytes_of((const uint8_t *)s, n)),
             "feed");
        s += n;
        len -= n;
    }
    must(rmr_nm_frame_end(nm), "end");
}

static rmr_nm *make_nm(const rmr_env *env)
{
    rmr_nm_config cfg;
    rmr_nm *nm = NULL;
    rmr_nm_config_init(&cfg, sizeof cfg);
    must(rmr_nm_new(&nm, env, &cfg), "new");
    return nm;
}

/* ---- reading ---------------------------------------------------------- */

static void show_rate(const char *name, size_t bytes, double seconds)
{
    printf("%-44s %9.0f MB/s\n", name, (double)bytes / seconds / 1e6);
}

static void bench_copy(const text *t)
{
    char *to = malloc(t->len);
    double best = 1e9;
    for (int r = 0; r < ROUNDS && to; r++) {
        double from = cpu();
        for (size_t at = 0; at < t->len; at += 16384)
            memcpy(to + at, t->s + at,
                   t->len - at < 16384 ? t->len - at : 16384);
        double s = cpu() - from;
        best = s < best ? s : best;
    }
    show_rate("memcpy of the frame", t->len, best);
    free(to);
}

static void bench_jansson(const text *t)
{
#ifdef BENCH_JANSSON
    double best = 1e9;
    for (int r = 0; r < 3; r++) {
        double from = cpu();
        json_t *j = json_loadb(t->s, t->len, 0, NULL);
        double s = cpu() - from;
        if (!j)
            abort();
        json_decref(j);
        best = s < best ? s : best;
    }
    show_rate("jansson: the frame as a tree in memory", t->len, best);
#else
    (void)t;
    printf("%-44s is not here\n", "jansson");
#endif
}

static void bench_reading(unsigned peers)
{
    rmr_env env = make_env();
    text t = full_frame(peers);
    double first = 1e9, again = 1e9;
    size_t table = 0, working = 0;
    bench_copy(&t);
    bench_jansson(&t);
    for (int r = 0; r < 3; r++) {
        rmr_nm *nm = make_nm(&env);
        size_t empty = live;
        double from = cpu();
        feed(nm, t.s, t.len, 16384);
        double s = cpu() - from;
        first = s < first ? s : first;
        table = live - empty;
        peak = live;
        from = cpu();
        feed(nm, t.s, t.len, 16384);
        s = cpu() - from;
        again = s < again ? s : again;
        working = peak - live;
        rmr_nm_free(nm);
    }
    show_rate("netmap: the frame into an empty table", t.len, first);
    show_rate("netmap: the same frame once more", t.len, again);
    printf("%-44s %9.0f ns\n", "netmap: a peer of it, read",
           first / peers * 1e9);
    printf("%-44s %9.0f bytes\n", "netmap: a peer in memory",
           (double)table / peers);
    printf("%-44s %9zu bytes\n", "netmap: memory for reading it once more",
           working);
    free(t.s);
}

/* ---- deltas ----------------------------------------------------------- */

typedef void (*delta_fn)(text *t, unsigned id, unsigned i);

static void delta_patch(text *t, unsigned id, unsigned i)
{
    put(t,
        "{\"PeersChangedPatch\":[{\"NodeID\":%u,\"Endpoints\":["
        "\"192.0.2.1:%u\"],\"Online\":%s}]}",
        id, i % 60000, i & 1 ? "true" : "false");
}

static void delta_online(text *t, unsigned id, unsigned i)
{
    put(t, "{\"OnlineChange\":{\"%u\":%s}}", id, i & 1 ? "true" : "false");
}

static void delta_changed(text *t, unsigned id, unsigned i)
{
    put(t, "{\"PeersChanged\":[");
    put_peer(t, id, i % 60000);
    put(t, "]}");
}

/* A peer comes and goes. */
static void delta_added(text *t, unsigned id, unsigned i)
{
    if (i & 1) {
        put(t, "{\"PeersRemoved\":[%u]}", id + 1);
        return;
    }
    put(t, "{\"PeersChanged\":[");
    put_peer(t, id + 1, i % 60000);
    put(t, "]}");
}

enum { DELTAS = 4096 };

/* Seconds a delta. */
static double delta_cost(rmr_nm *nm, unsigned peers, delta_fn make)
{
    static text t[DELTAS];
    double best = 1e9;
    for (int r = 0; r < ROUNDS; r++) {
        unsigned id = 2;
        for (unsigned i = 0; i < DELTAS; i++) {
            if (!(i & 1))
                id = 2 * (1 + (unsigned)(b_random() % peers));
            t[i].len = 0;
            make(&t[i], id, i + (unsigned)r);
        }
        double from = cpu();
        for (unsigned i = 0; i < DELTAS; i++)
            feed(nm, t[i].s, t[i].len, 65536);
        double s = (cpu() - from) / DELTAS;
        best = s < best ? s : best;
    }
    return best;
}

static void bench_deltas(unsigned peers)
{
    static const struct {
        const char *name;
        delta_fn make;
    } forms[] = {{"PeersChangedPatch", delta_patch},
                 {"OnlineChange", delta_online},
                 {"PeersChanged", delta_changed},
                 {"added, then removed", delta_added}};
    rmr_env env = make_env();
    unsigned counts[2] = {SMALL, peers};
    rmr_nm *nm[2];
    for (int k = 0; k < 2; k++) {
        text t = full_frame(counts[k]);
        nm[k] = make_nm(&env);
        feed(nm[k], t.s, t.len, 16384);
        free(t.s);
    }
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        double cost[2];
        for (int k = 0; k < 2; k++)
            cost[k] = delta_cost(nm[k], counts[k], forms[i].make);
        printf("delta of one peer: %-25s %9.0f ns with %u, %.0f with %u: "
               "%.2f times\n",
               forms[i].name, cost[0] * 1e9, counts[0], cost[1] * 1e9,
               counts[1], cost[1] / cost[0]);
    }
    rmr_nm_free(nm[0]);
    rmr_nm_free(nm[1]);
}

/* ---- the filter ------------------------------------------------------- */

static rmr_ip_range range4(uint32_t first, uint32_t last)
{
    rmr_ip_range r;
    memset(&r, 0, sizeof r);
    r.family = RMR_AF_INET;
    for (int i = 0; i < 4; i++) {
        r.first[i] = (uint8_t)(first >> (24 - 8 * i));
        r.last[i] = (uint8_t)(last >> (24 - 8 * i));
    }
    return r;
}

#define OWN 0x647f0001u   /* 100.127.0.1 */
#define PEERS 0x64400000u /* 100.64.0.0 */
#define ROUTES 0x0a000000u

typedef void (*rule_fn)(rmr_filter *f, uint32_t i);

static void add(rmr_filter *f, rmr_ip_range src)
{
    must(rmr_filter_rule_src(f, &src), "source");
}

static void to(rmr_filter *f, uint32_t dst, uint16_t first, uint16_t last)
{
    rmr_ip_range r = range4(dst, dst);
    must(rmr_filter_rule_dst(f, &r, first, last), "destination");
}

/* Each peer has a rule of its own. */
static void rules_by_source(rmr_filter *f, uint32_t i)
{
    add(f, range4(PEERS + i, PEERS + i));
    to(f, OWN, 22, 22);
}

/* All may come to one port each. */
static void rules_by_port(rmr_filter *f, uint32_t i)
{
    add(f, range4(0, UINT32_MAX));
    to(f, OWN, (uint16_t)(2 * i), (uint16_t)(2 * i));
}

/* A subnet router: groups to machines behind it. */
static void rules_by_route(rmr_filter *f, uint32_t i)
{
    for (uint32_t k = 0; k < 40; k++)
        add(f, range4(PEERS + 40 * (i % 97) + k, PEERS + 40 * (i % 97) + k));
    to(f, ROUTES + i, 443, 443);
    to(f, ROUTES + i, 5432, 5432);
}

/* Groups that overlap at random, to own ports. */
static void rules_by_group(rmr_filter *f, uint32_t i)
{
    for (uint32_t k = 0; k < 20; k++) {
        uint32_t a = PEERS + (i * 2654435761u + k * 40503u) % 4000;
        add(f, range4(a, a));
    }
    to(f, OWN, (uint16_t)(i % 6000), (uint16_t)(i % 6000 + 3));
}

typedef struct shape {
    const char *name;
    rule_fn rule;
} shape;

static rmr_filter *make_filter(const rmr_env *env, rule_fn rule, uint32_t n)
{
    rmr_filter *f = NULL;
    rmr_prefix local[2];
    must(rmr_filter_new(&f, env), "filter");
    must(rmr_prefix_parse(rmr_bytes_str("100.127.0.1"), &local[0]), "own");
    must(rmr_prefix_parse(rmr_bytes_str("10.0.0.0/8"), &local[1]), "route");
    must(rmr_filter_set_local(f, local, 2), "local");
    rmr_filter_begin(f);
    for (uint32_t i = 0; i < n; i++) {
        must(rmr_filter_rule_begin(f), "rule");
        must(rmr_filter_rule_proto(f, 6), "protocol");
        rule(f, i);
        must(rmr_filter_rule_end(f), "rule");
    }
    must(rmr_filter_commit(f), "commit");
    return f;
}

enum { PACKETS = 8192 };

/* The beginning of a connection. */
static void make_syn(uint8_t p[40], uint32_t src, uint32_t dst, uint16_t port)
{
    memset(p, 0, 40);
    p[0] = 0x45;
    p[3] = 40;
    p[9] = 6;
    for (int i = 0; i < 4; i++) {
        p[12 + i] = (uint8_t)(src >> (24 - 8 * i));
        p[16 + i] = (uint8_t)(dst >> (24 - 8 * i));
    }
    p[22] = (uint8_t)(port >> 8);
    p[23] = (uint8_t)port;
    p[33] = 2;
}

/* Packets that the rules speak of, as far as a guess goes; `hits` tells how
 * many came in. */
static double verdict_cost(rmr_filter *f, uint32_t n, rule_fn rule,
                           double *hits)
{
    static uint8_t p[PACKETS][40];
    double best = 1e9;
    size_t in = 0;
    for (size_t i = 0; i < PACKETS; i++) {
        uint32_t r = (uint32_t)(b_random() >> 40) % n;
        uint32_t peer = PEERS + (uint32_t)(b_random() >> 40) % 4000;
        if (rule == rules_by_source)
            make_syn(p[i], PEERS + r, OWN, i & 1 ? 22 : 23);
        else if (rule == rules_by_port)
            make_syn(p[i], peer, OWN, (uint16_t)(2 * r + (i & 1)));
        else if (rule == rules_by_route)
            make_syn(p[i], PEERS + 40 * (r % 97) + (i & 31), ROUTES + r,
                     i & 1 ? 443 : 80);
        else
            make_syn(p[i], peer, OWN, (uint16_t)(r % 6000));
    }
    for (int round = 0; round < 3 * ROUNDS; round++) {
        double from = cpu();
        in = 0;
        for (size_t i = 0; i < PACKETS; i++)
            in += rmr_filter_check_in(f, rmr_bytes_of(p[i], 40), false);
        double s = (cpu() - from) / PACKETS;
        best = s < best ? s : best;
    }
    *hits = (double)in / PACKETS;
    return best;
}

static void bench_filter(void)
{
    static const shape shapes[] = {{"a source each", rules_by_source},
                                   {"a port each, from all", rules_by_port},
                                   {"groups to routes", rules_by_route},
                                   {"overlapping groups", rules_by_group}};
    static const uint32_t counts[2] = {10, 10000};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        double cost[2], hits[2], build = 0;
        size_t bytes = 0;
        for (int k = 0; k < 2; k++) {
            rmr_env env = make_env();
            size_t before = live;
            double from = cpu();
            rmr_filter *f = make_filter(&env, shapes[i].rule, counts[k]);
            build = cpu() - from;
            bytes = live - before;
            cost[k] = verdict_cost(f, counts[k], shapes[i].rule, &hits[k]);
            rmr_filter_free(f);
        }
        printf("verdict: %-35s %9.0f ns with 10 rules, %.0f with 10000: %.2f "
               "times (in: %.0f %%, %.0f %%; built in %.0f ms, %.0f bytes a "
               "rule)\n",
               shapes[i].name, cost[0] * 1e9, cost[1] * 1e9, cost[1] / cost[0],
               100 * hits[0], 100 * hits[1], build * 1e3,
               (double)bytes / 10000);
    }
}

int main(int argc, char **argv)
{
    unsigned peers = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 50000;
    if (peers < 1 || peers > 90000) {
        (void)fprintf(stderr, "usage: bench_netmap [PEERS]\n");
        return 2;
    }
    bench_reading(peers);
    bench_deltas(peers);
    bench_filter();
    return 0;
}
