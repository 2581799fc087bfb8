/* Plays the scenarios of tests/netstack/scenarios.scn to this machine's kernel.
 *   scn_kernel [-j JOBS] [-s SEED] [ID...]    default: each line marked K
 * As root. Each line has a process and a network namespace of its own, so that
 * no line sees another's routes, metrics or connections. */
#include "kernel_end.h"
#include "scn_file.h"
#include "support.h"
#include "tun.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CASE_SECONDS 100

typedef struct result {
    char err[500];
    pid_t pid; /* while it runs */
    uint32_t iss;
    uint16_t port;
} result;

typedef struct session {
    scn_file file;
    const scn_line *line[SCN_LINES];
    size_t n;
    unsigned jobs;
    uint64_t seed;
    result *r; /* of each line; the children write into it */
    test_rng rng;
} session;

/* Measuring a kernel's timers needs a process that runs when it is woken, on a
 * machine that is busy too. Where that is not allowed, it has to be idle. */
static void hurry(void)
{
    struct sched_param p = {1};
    (void)sched_setscheduler(0, SCHED_FIFO, &p);
}

static void child(const char *text, result *r)
{
    int tun = tun_enter(r->err, sizeof r->err);
    if (tun < 0)
        return;
    if (!text) /* it was to be seen whether that works */
        return;
    hurry();
    (void)alarm(CASE_SECONDS);
    kernel_run(tun, text, r->port, r->iss, r->err, sizeof r->err);
}

static bool start(const char *text, result *r)
{
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        child(text, r);
        _exit(0);
    }
    if (pid < 0)
        (void)snprintf(r->err, sizeof r->err, "fork: %s", strerror(errno));
    r->pid = pid;
    return pid > 0;
}

/* Waits for one child; the number of its line. */
static size_t finish(session *s, size_t started)
{
    int status;
    pid_t pid = wait(&status);
    for (size_t i = 0; i < started; i++) {
        result *r = &s->r[i];
        if (r->pid != pid)
            continue;
        r->pid = 0;
        if (status)
            (void)snprintf(r->err, sizeof r->err, "ended with status %#x (%s)",
                           (unsigned)status,
                           WIFSIGNALED(status) ? strsignal(WTERMSIG(status))
                                               : "exit");
        return i;
    }
    abort();
}

static bool possible(session *s)
{
    if (start(NULL, &s->r[0]))
        (void)finish(s, 1);
    if (s->r[0].err[0])
        (void)fprintf(stderr, "scn_kernel: %s\n", s->r[0].err);
    return !s->r[0].err[0];
}

static size_t run_all(session *s)
{
    size_t started = 0, running = 0, failures = 0;
    while (started < s->n || running) {
        if (started < s->n && running < s->jobs) {
            result *r = &s->r[started];
            uint64_t x = test_rng_u64(&s->rng);
            r->iss = (uint32_t)x;
            r->port = (uint16_t)(20000 + (x >> 32) % 40000);
            running += start(s->line[started]->text, r);
            started++;
            continue;
        }
        size_t i = finish(s, started);
        running--;
        if (!s->r[i].err[0])
            continue;
        (void)printf("FAIL  %s: %s\n", s->line[i]->id, s->r[i].err);
    }
    for (size_t i = 0; i < s->n; i++)
        failures += s->r[i].err[0] != 0;
    return failures;
}

static bool choose(session *s, char **names)
{
    for (size_t i = 0; !*names && i < s->file.n; i++)
        if (s->file.v[i].kernel)
            s->line[s->n++] = &s->file.v[i];
    for (; *names; names++) {
        const scn_line *l = scn_file_find(&s->file, *names);
        if (!l || s->n == SCN_LINES) {
            (void)fprintf(stderr, "scn_kernel: no scenario %s\n", *names);
            return false;
        }
        s->line[s->n++] = l;
    }
    return s->n > 0;
}

static bool read_options(session *s, int argc, char **argv)
{
    int c;
    while ((c = getopt(argc, argv, "j:s:")) != -1) {
        unsigned long long v = optarg ? strtoull(optarg, NULL, 10) : 0;
        if (c == 'j' && v > 0 && v < 100)
            s->jobs = (unsigned)v;
        else if (c == 's')
            s->seed = v;
        else
            return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    static session s;
    struct utsname u;
    s.jobs = 8;
    s.seed = (uint64_t)time(NULL);
    s.r = mmap(NULL, SCN_LINES * sizeof *s.r, PROT_READ | PROT_WRITE,
               MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (s.r == MAP_FAILED || uname(&u))
        abort();
    if (!read_options(&s, argc, argv)) {
        (void)fputs("usage: scn_kernel [-j JOBS] [-s SEED] [ID...]\n", stderr);
        return 2;
    }
    if (!scn_file_load(&s.file) || !choose(&s, argv + optind) || !possible(&s))
        return 2;
    (void)printf("%s %s, seed %llu\n", u.sysname, u.release,
                 (unsigned long long)s.seed);
    test_rng_seed(&s.rng, s.seed);
    size_t failures = run_all(&s);
    (void)printf("kernel: %zu passed, %zu failed\n", s.n - failures, failures);
    scn_file_free(&s.file);
    return failures ? 1 : 0;
}
