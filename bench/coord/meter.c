/* What the server uses, by /proc and its CPU clock; ranks of measurements. */
#include "load.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void die(const char *what, const char *why)
{
    (void)fprintf(stderr, "coord_load: %s: %s\n", what, why);
    exit(1);
}

double meter_cpu(int pid)
{
    clockid_t id;
    struct timespec t;
    if (clock_getcpuclockid(pid, &id) != 0 || clock_gettime(id, &t) != 0)
        die("the server's CPU clock", strerror(errno));
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

long meter_kib(int pid, const char *what)
{
    char path[64], line[256];
    long kib = -1;
    size_t n = strlen(what);
    (void)snprintf(path, sizeof path, "/proc/%d/status", pid);
    FILE *f = fopen(path, "r");
    if (!f)
        die(path, strerror(errno));
    while (kib < 0 && fgets(line, sizeof line, f)) {
        if (strncmp(line, what, n) == 0 && line[n] == ':')
            kib = strtol(line + n + 1, NULL, 10);
    }
    (void)fclose(f);
    return kib;
}

/* Gone, or a zombie that its parent has not waited for yet. */
static bool has_ended(int pid)
{
    char path[64], text[512];
    (void)snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *f = fopen(path, "r");
    if (!f)
        return true;
    size_t n = fread(text, 1, sizeof text - 1, f);
    (void)fclose(f);
    text[n] = '\0';
    const char *rest = strrchr(text, ')');
    return !rest || rest[1] == '\0' || rest[2] == 'Z';
}

double meter_stop(int pid, double most)
{
    rmr_time began = rmr_posix_now();
    double s = 0;
    if (kill(pid, SIGTERM) != 0)
        die("SIGTERM", strerror(errno));
    while (!has_ended(pid) && s < most) {
        struct timespec ms = {.tv_nsec = 1000000};
        (void)nanosleep(&ms, NULL);
        s = (double)(rmr_posix_now() - began) / 1e9;
    }
    return s;
}

static int compare(const void *a, const void *b)
{
    double x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

double meter_rank(double *ms, size_t n, double share)
{
    if (n == 0)
        return 0;
    qsort(ms, n, sizeof *ms, compare);
    size_t at = (size_t)((double)n * share);
    return ms[at < n ? at : n - 1];
}
