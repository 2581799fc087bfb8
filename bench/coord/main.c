/* coord_load - nodes that join a coordination server, to load it: the same for
 * any that speaks TS2021, so that two can be compared.
 *
 *   coord_load --url http://ADDR:PORT --pid PID --keys FILE [--nodes N] [--open]
 *              [--changes N] [--idle SECONDS] [--plain] [--limit SECONDS]
 *              [--stop]
 *
 *   --keys     a reusable auth key of each user, one a line
 *   --open     users see each other; otherwise each its own nodes alone
 *   --plain    without zstd
 *   --limit    how long a phase may take (120)
 *   --stop     SIGTERM at the end
 *
 * All nodes join at once; then nodes change one after the other, by turns an
 * endpoint and the host name; then all streams are reset at once; then nothing
 * happens.  A line of JSON tells of each phase.  A node is seen when it is
 * online and its endpoints and disco key are known.  PID is the server's: its
 * CPU time and memory are read.  Exits with 1 when a phase was not completed. */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define MAX_USERS 4096
#define PAUSE (10 * RMR_MS) /* between changes */

static struct {
    const char *keys;
    int pid;
    uint32_t changes;
    double idle, limit;
    bool stop;
} opt = {.changes = 200, .idle = 60, .limit = 120};

static crowd all = {.n = 100};
static bool all_good = true;

/* ---- options ------------------------------------------------------------- */

static void read_keys(const char *name)
{
    static char lines[MAX_USERS][128];
    static const char *keys[MAX_USERS];
    FILE *f = fopen(name, "r");
    if (!f)
        die(name, "can't be read");
    while (all.n_users < MAX_USERS &&
           fgets(lines[all.n_users], sizeof lines[0], f)) {
        lines[all.n_users][strcspn(lines[all.n_users], "\r\n")] = '\0';
        keys[all.n_users] = lines[all.n_users];
        all.n_users += lines[all.n_users][0] != '\0';
    }
    (void)fclose(f);
    if (!all.n_users)
        die(name, "no key is in it");
    all.auth_keys = keys;
}

static const char *value(int argc, char **argv, int *i)
{
    if (*i + 1 >= argc)
        die(argv[*i], "its value is missing");
    return argv[++*i];
}

static bool option(int argc, char **argv, int *i)
{
    const char *a = argv[*i];
    if (strcmp(a, "--open") == 0)
        all.open = true;
    else if (strcmp(a, "--plain") == 0)
        all.plain = true;
    else if (strcmp(a, "--stop") == 0)
        opt.stop = true;
    else if (strcmp(a, "--url") == 0)
        all.url = value(argc, argv, i);
    else if (strcmp(a, "--keys") == 0)
        opt.keys = value(argc, argv, i);
    else if (strcmp(a, "--pid") == 0)
        opt.pid = atoi(value(argc, argv, i));
    else if (strcmp(a, "--nodes") == 0)
        all.n = (uint32_t)strtoul(value(argc, argv, i), NULL, 10);
    else if (strcmp(a, "--changes") == 0)
        opt.changes = (uint32_t)strtoul(value(argc, argv, i), NULL, 10);
    else if (strcmp(a, "--idle") == 0)
        opt.idle = strtod(value(argc, argv, i), NULL);
    else if (strcmp(a, "--limit") == 0)
        opt.limit = strtod(value(argc, argv, i), NULL);
    else
        return false;
    return true;
}

static void options(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (!option(argc, argv, &i))
            die(argv[i], "is not an option of this program");
    }
    if (!all.url || !opt.keys || !opt.pid || !all.n)
        die("usage", "--url URL --pid PID --keys FILE; see the source");
    read_keys(opt.keys);
}

/* ---- a phase ------------------------------------------------------------- */

typedef struct phase {
    const char *name;
    rmr_time at;
    double cpu;
    long kib;
    bool good;
} phase;

static phase begin(const char *name)
{
    phase p = {name, rmr_posix_now(), meter_cpu(opt.pid),
               meter_kib(opt.pid, "VmRSS"), true};
    return p;
}

static void say(const phase *p)
{
    long kib = meter_kib(opt.pid, "VmRSS");
    (void)printf("{\"phase\":\"%s\",\"nodes\":%u,\"users\":%u,\"good\":%s,"
                 "\"wall_s\":%.3f,\"cpu_s\":%.3f,\"kib\":%ld,\"peak_kib\":%ld,"
                 "\"kib_a_node\":%.1f,\"lost\":%llu",
                 p->name, all.n, all.n_users, p->good ? "true" : "false",
                 (double)(rmr_posix_now() - p->at) / 1e9,
                 meter_cpu(opt.pid) - p->cpu, kib, meter_kib(opt.pid, "VmHWM"),
                 (double)(kib - p->kib) / all.n,
                 (unsigned long long)all.n_lost);
    all_good &= p->good;
}

static void over(void)
{
    (void)printf("}\n");
    (void)fflush(stdout);
}

static rmr_dur limit(void)
{
    return (rmr_dur)(opt.limit * 1e9);
}

static void join(void)
{
    phase p = begin("join");
    crowd_start(&all);
    p.good = crowd_run(&all, crowd_all_see_all, limit());
    say(&p);
    (void)printf(",\"complete\":%u,\"streams\":%u", all.n_complete,
                 all.n_streams);
    over();
}

/* ---- changes ------------------------------------------------------------- */

typedef struct delays {  /* ms */
    double *each, *last; /* of each peer; until all of a change's had it */
    size_t n_each, n_last;
} delays;

/* By turns an endpoint and a name; false: not all heard of it. */
static bool change_one(uint64_t serial, delays *d)
{
    change *x = &all.change;
    client *c = &all.clients[serial % all.n];
    x->serial = serial;
    x->node = c->id;
    x->n_heard = 0;
    x->is_name = serial % 2 != 0;
    x->port = (uint16_t)(1024 + serial);
    (void)snprintf(x->name, sizeof x->name, "c%llu",
                   (unsigned long long)serial);
    x->at = rmr_posix_now();
    if (x->is_name)
        client_rename(c, x->name);
    else
        client_move(c, x->port);
    bool good = crowd_run(&all, crowd_all_heard, 10 * RMR_SEC);
    x->serial = 0;
    if (x->n_heard) {
        memcpy(d->each + d->n_each, x->ms, x->n_heard * sizeof *x->ms);
        d->n_each += x->n_heard;
        d->last[d->n_last++] = x->ms[x->n_heard - 1];
    }
    return good;
}

static void changes(void)
{
    delays d = {0};
    d.each = calloc((size_t)all.n * opt.changes, sizeof *d.each);
    d.last = calloc(opt.changes, sizeof *d.last);
    if (!d.each || !d.last)
        die("calloc", "no memory");
    phase p = begin("change");
    for (uint64_t i = 1; i <= opt.changes && p.good; i++) {
        p.good = change_one(i, &d);
        (void)crowd_run(&all, NULL, PAUSE);
    }
    say(&p);
    (void)printf(
        ",\"changes\":%zu,\"each_p50_ms\":%.2f,\"each_p99_ms\":%.2f,"
        "\"all_p50_ms\":%.2f,\"all_p99_ms\":%.2f,\"all_max_ms\":%.2f",
        d.n_last, meter_rank(d.each, d.n_each, 0.5),
        meter_rank(d.each, d.n_each, 0.99), meter_rank(d.last, d.n_last, 0.5),
        meter_rank(d.last, d.n_last, 0.99), meter_rank(d.last, d.n_last, 1));
    over();
    free(d.each);
    free(d.last);
}

/* ---- the others ---------------------------------------------------------- */

static void reconnect(void)
{
    phase p = begin("reconnect");
    for (uint32_t i = 0; i < all.n; i++)
        client_cut(&all.clients[i]);
    p.good = crowd_run(&all, crowd_all_back, limit());
    say(&p);
    over();
}

static uint64_t keepalives(void)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < all.n; i++) {
        rmr_ctl_stats st;
        rmr_ctl_get_stats(all.clients[i].ctl, &st);
        sum += st.keepalives;
    }
    return sum;
}

static void idle(void)
{
    uint64_t before = keepalives(), lost = all.n_lost;
    phase p = begin("idle");
    (void)crowd_run(&all, NULL, (rmr_dur)(opt.idle * 1e9));
    p.good = all.n_lost == lost && crowd_all_see_all(&all);
    say(&p);
    (void)printf(",\"keepalives\":%llu",
                 (unsigned long long)(keepalives() - before));
    over();
}

static void stop(void)
{
    double s = meter_stop(opt.pid, opt.limit);
    bool good = s < opt.limit;
    (void)printf("{\"phase\":\"stop\",\"nodes\":%u,\"users\":%u,\"good\":%s,"
                 "\"wall_s\":%.3f",
                 all.n, all.n_users, good ? "true" : "false", s);
    all_good &= good;
    over();
}

static void all_files(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0)
        return;
    r.rlim_cur = r.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &r);
}

int main(int argc, char **argv)
{
    options(argc, argv);
    all_files();
    join();
    if (all_good && opt.changes)
        changes();
    if (all_good)
        reconnect();
    if (all_good && opt.idle > 0)
        idle();
    if (opt.stop)
        stop();
    crowd_free(&all);
    return all_good ? 0 : 1;
}
