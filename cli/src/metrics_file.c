/* Written whole beside its place, then renamed: who reads it sees the old text
 * or the new one. */
#include "metrics_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "print.h"

#define TEXT_MAX ((size_t)16 * 1024)

static const char down[] =
    "# HELP tailscale_up The node process answers.\n"
    "# TYPE tailscale_up gauge\n"
    "tailscale_up 0\n"
    "# HELP tailscale_backend_running 1 where the node's state is Running.\n"
    "# TYPE tailscale_backend_running gauge\n"
    "tailscale_backend_running 0\n"
    "# HELP tailscale_peers Peers that are online.\n"
    "# TYPE tailscale_peers gauge\n"
    "tailscale_peers 0\n"
    "# HELP tailscale_peers_direct Peers heard within 2 minutes that have a "
    "direct path.\n"
    "# TYPE tailscale_peers_direct gauge\n"
    "tailscale_peers_direct 0\n"
    "# HELP tailscale_peers_relay Peers heard within 2 minutes that are "
    "reached "
    "by a relay.\n"
    "# TYPE tailscale_peers_relay gauge\n"
    "tailscale_peers_relay 0\n";

const char *cli_metrics_down(void)
{
    return down;
}

static bool write_whole(int fd, const uint8_t *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        data += n;
        len -= (size_t)n;
    }
    return true;
}

static bool replace(const char *path, const void *data, size_t len)
{
    char part[4096];
    int n = snprintf(part, sizeof part, "%s.tmp", path);
    if (n < 0 || (size_t)n >= sizeof part) {
        errno = ENAMETOOLONG;
        return false;
    }
    int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
                  S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH);
    if (fd < 0) {
        return false;
    }
    bool ok = write_whole(fd, data, len);
    ok = close(fd) == 0 && ok && rename(part, path) == 0;
    if (!ok) {
        int why = errno;
        (void)unlink(part);
        errno = why;
    }
    return ok;
}

static void put(cli_metrics_file *f, const void *data, size_t len)
{
    if (replace(f->path, data, len)) {
        f->complained = false;
    } else if (!f->complained) {
        f->complained = true;
        cli_complain("can't write the metrics file %s: %s (trying on)", f->path,
                     strerror(errno));
    }
}

rmr_dur cli_metrics_file_wait(const cli_metrics_file *f, rmr_time now)
{
    if (f->path == NULL) {
        return RMR_TIME_NEVER;
    }
    return f->due > now ? f->due - now : 0;
}

void cli_metrics_file_tick(cli_metrics_file *f, const rmr_node *n, rmr_time now)
{
    uint8_t text[TEXT_MAX];
    size_t len = 0;
    if (f->path == NULL || now < f->due) {
        return;
    }
    f->due = rmr_time_add(now, CLI_METRICS_EVERY);
    if (rmr_node_write_metrics(n, rmr_buf_of(text, sizeof text), &len) ==
        RMR_OK) {
        put(f, text, len);
    }
}

void cli_metrics_file_end(cli_metrics_file *f)
{
    if (f->path != NULL) {
        put(f, down, sizeof down - 1);
        f->path = NULL;
    }
}
