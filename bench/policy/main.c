/*
 * What a policy costs for many nodes of users with 20 nodes each: filling the
 * table, a change with the answers for all whom it concerns, a filter, a list of
 * peers, memory.
 *   bench_policy [NODES]     (10,000)
 * CPU time; of all rounds the best counts, because others on the machine only
 * ever make a figure worse.
 */
#include <remora/policy.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 5, A_USER = 20, ROOM = 8 << 20 };

static size_t live, peak;
static uint8_t *room;

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

static double cpu(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void must(rmr_err err, const char *what)
{
    if (err == RMR_OK)
        return;
    fprintf(stderr, "bench_policy: %s: %s\n", what, rmr_err_name(err));
    exit(1);
}

/* ---- a tailnet --------------------------------------------------------------- */

static void put_node(rmr_pol_net *net, uint32_t i)
{
    rmr_pol_node n;
    memset(&n, 0, sizeof n);
    n.id = i + 1;
    n.user_id = i / A_USER + 1;
    /* Neighbours are of different users, as it comes about. */
    uint32_t at = i % A_USER * 2048 + i / A_USER + 1;
    n.v4 = rmr_addr_v4(100, (uint8_t)(64 + (at >> 16)), (uint8_t)(at >> 8),
                       (uint8_t)at, 0);
    n.v6.family = RMR_AF_INET6;
    memcpy(n.v6.ip, "\xfd\x7a\x11\x5c\xa1\xe0", 6);
    n.v6.ip[13] = (uint8_t)(at >> 16);
    n.v6.ip[14] = (uint8_t)(at >> 8);
    n.v6.ip[15] = (uint8_t)at;
    must(rmr_pol_net_put_node(net, &n), "put_node");
}

static void put_users(rmr_pol_net *net, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        char name[32];
        rmr_pol_user u;
        memset(&u, 0, sizeof u);
        snprintf(name, sizeof name, "user%u", i);
        u.id = i + 1;
        u.name = rmr_bytes_str(name);
        must(rmr_pol_net_put_user(net, &u), "put_user");
    }
}

/* A rule for each user. */
static char *rule_a_user(uint32_t users)
{
    size_t cap = 64 + (size_t)users * 96, len;
    char *doc = malloc(cap);
    if (!doc)
        exit(1);
    len = (size_t)snprintf(doc, cap, "{\"acls\":[");
    for (uint32_t i = 0; i < users; i++)
        len += (size_t)snprintf(doc + len, cap - len,
                                "{\"action\":\"accept\",\"src\":[\"user%u@\"],"
                                "\"dst\":[\"user%u@:*\"]},\n",
                                i, i);
    snprintf(doc + len, cap - len, "]}");
    return doc;
}

static size_t filter(rmr_pol_net *net, uint64_t id)
{
    rmr_jw w;
    size_t len = 0;
    rmr_jw_init(&w, rmr_buf_of(room, ROOM));
    must(rmr_pol_write_filter(net, id, &w), "write_filter");
    must(rmr_jw_end(&w, &len), "write_filter");
    return len;
}

typedef struct seen {
    uint64_t n, id[64];
} seen;

static bool note(void *user, uint64_t id)
{
    seen *s = user;
    if (s->n < sizeof s->id / sizeof s->id[0])
        s->id[s->n] = id;
    s->n++;
    return true;
}

static uint64_t peers(rmr_pol_net *net, uint64_t id, seen *s)
{
    s->n = 0;
    must(rmr_pol_each_peer(net, id, note, s), "each_peer");
    return s->n;
}

/* ---- measurements --------------------------------------------------------------- */

typedef struct figures {
    double parse, fill, filters, peers, change;
    size_t bytes;
    uint64_t n_peers, n_bytes;
} figures;

static void best(double *out, double t)
{
    if (*out == 0 || t < *out)
        *out = t;
}

/* A node comes back: its own filter and peers, and the filter of each peer. */
static void one_change(rmr_pol_net *net, uint32_t i)
{
    seen s;
    must(rmr_pol_net_del_node(net, i + 1), "del_node");
    put_node(net, i);
    filter(net, i + 1);
    peers(net, i + 1, &s);
    for (uint64_t k = 0; k < s.n && k < 64; k++)
        filter(net, s.id[k]);
}

static void measure(const rmr_alloc *a, const char *doc, uint32_t n, figures *f)
{
    rmr_pol *pol;
    rmr_pol_net *net;
    rmr_pol_why why;
    seen s;
    uint32_t some = n < 500 ? n : 500;
    double t = cpu();
    if (rmr_pol_parse(&pol, a, rmr_bytes_str(doc), &why)) {
        fprintf(stderr, "bench_policy: %s\n", why.text);
        exit(1);
    }
    best(&f->parse, cpu() - t);
    must(rmr_pol_net_new(&net, a), "net_new");
    must(rmr_pol_net_set(net, pol), "net_set");
    put_users(net, (n + A_USER - 1) / A_USER);
    t = cpu();
    for (uint32_t i = 0; i < n; i++)
        put_node(net, i);
    f->n_bytes = filter(net, 1); /* with all that it needs */
    best(&f->fill, cpu() - t);
    f->bytes = live;
    t = cpu();
    for (uint32_t i = 0; i < some; i++)
        filter(net, i * (uint64_t)(n / some) + 1);
    best(&f->filters, (cpu() - t) / some);
    t = cpu();
    for (uint32_t i = 0; i < some; i++)
        f->n_peers = peers(net, i * (uint64_t)(n / some) + 1, &s);
    best(&f->peers, (cpu() - t) / some);
    t = cpu();
    for (uint32_t i = 0; i < some; i++)
        one_change(net, i * (n / some));
    best(&f->change, (cpu() - t) / some);
    rmr_pol_net_free(net);
}

static void report(const rmr_alloc *a, const char *name, const char *doc,
                   uint32_t n)
{
    figures f;
    memset(&f, 0, sizeof f);
    for (int i = 0; i < ROUNDS; i++)
        measure(a, doc, n, &f);
    printf("%-22s parse %8.3f ms, fill %8.2f ms, filter %8.2f us (%llu B), "
           "peers %8.2f us (%llu), change %8.2f us, %6.0f B a node\n",
           name, f.parse * 1e3, f.fill * 1e3, f.filters * 1e6,
           (unsigned long long)f.n_bytes, f.peers * 1e6,
           (unsigned long long)f.n_peers, f.change * 1e6, (double)f.bytes / n);
}

int main(int argc, char **argv)
{
    uint32_t n = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 10000;
    const rmr_alloc a = {b_alloc, b_release, NULL};
    if (n == 0 || n > 40000) {
        fprintf(stderr, "bench_policy: 1 to 40000 nodes\n");
        return 1;
    }
    room = malloc(ROOM);
    if (!room)
        return 1;
    char *each = rule_a_user((n + A_USER - 1) / A_USER);
    printf("%u nodes of users with %d each\n", n, A_USER);
    report(&a, "each to the own nodes", RMR_POL_ISOLATED, n);
    report(&a, "a rule for each user", each, n);
    report(&a, "all to all, by names",
           "{\"acls\":[{\"action\":\"accept\",\"src\":[\"autogroup:member\"],"
           "\"dst\":[\"autogroup:member:*\"]}]}",
           n);
    report(&a, "no rules", "{}", n);
    printf("peak %.1f MiB\n", (double)peak / 1048576);
    free(each);
    free(room);
    return 0;
}
