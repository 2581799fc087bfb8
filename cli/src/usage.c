/* What this process uses: from proc(5) on Linux, and what POSIX has elsewhere.
 */
#include "usage.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

bool cli_usage_files(uint64_t *n)
{
    DIR *d = opendir("/dev/fd"); /* on Linux a link to /proc/self/fd */
    if (d == NULL) {
        return false;
    }
    uint64_t count = 0;
    for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        count += e->d_name[0] != '.';
    }
    (void)closedir(d);
    *n = count > 0 ? count - 1 : 0; /* the one that looked */
    return true;
}

void cli_raise_open_files(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur != r.rlim_max) {
        r.rlim_cur = r.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &r);
    }
}

#ifdef __linux__
bool cli_usage_memory(uint64_t *bytes)
{
    unsigned long long all = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    long page = sysconf(_SC_PAGESIZE);
    if (f == NULL) {
        return false;
    }
    bool ok = fscanf(f, "%llu %llu", &all, &resident) == 2 && page > 0;
    (void)fclose(f);
    *bytes = ok ? (uint64_t)resident * (uint64_t)page : 0;
    return ok;
}
#else
/* Only the most that it ever was; macOS counts bytes, others KiB. */
bool cli_usage_memory(uint64_t *bytes)
{
    struct rusage u;
    if (getrusage(RUSAGE_SELF, &u) != 0 || u.ru_maxrss < 0) {
        return false;
    }
    *bytes = (uint64_t)u.ru_maxrss;
#ifndef __APPLE__
    *bytes *= 1024;
#endif
    return true;
}
#endif
