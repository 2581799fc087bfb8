/* Figures as lines of JSON, with the names that tsnetpeer gives them. */
#define _DEFAULT_SOURCE
#include "nodepeer.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

double now_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

double cpu_s(void)
{
    struct rusage u;
    (void)getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

void memory_mib(double *rss, double *hwm)
{
    char line[256];
    FILE *f = fopen("/proc/self/status", "r");
    *rss = *hwm = 0;
    while (f && fgets(line, sizeof line, f)) {
        if (strncmp(line, "VmRSS:", 6) == 0)
            *rss = strtod(line + 6, NULL) / 1024;
        else if (strncmp(line, "VmHWM:", 6) == 0)
            *hwm = strtod(line + 6, NULL) / 1024;
    }
    if (f)
        (void)fclose(f);
}

void begin_line(const char *what)
{
    printf("{\"what\":\"%s\"", what);
}

void number(const char *key, double v)
{
    printf(",\"%s\":%.10g", key, v);
}

void text(const char *key, const char *v) /* none of ours needs escapes */
{
    printf(",\"%s\":\"%s\"", key, v);
}

void end_line(void)
{
    double rss, hwm;
    memory_mib(&rss, &hwm);
    number("rss_mib", rss);
    number("hwm_mib", hwm);
    printf("}\n");
    (void)fflush(stdout);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

void percentiles(double *us, size_t n)
{
    qsort(us, n, sizeof *us, by_size);
    number("n", (double)n);
    number("p50_us", us[n / 2]);
    number("p99_us", us[n * 99 / 100]);
    number("max_us", us[n - 1]);
}

void die(const char *what, rmr_err e)
{
    fprintf(stderr, "nodepeer %s: %s: %s\n", opt.name, what,
            rmr_node_err_text(e));
    exit(1);
}
