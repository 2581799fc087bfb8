/* remora nc: stdin and stdout over a tailnet connection. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "commands.h"
#include "local_client.h"
#include "print.h"

#define PIPE_BYTES 65536
/* stdout may be a pipe, whose writer must not block while the other direction
 * has work: POLLOUT promises room for PIPE_BUF bytes. */
#ifdef PIPE_BUF
#define OUT_AT_ONCE ((size_t)PIPE_BUF)
#else
#define OUT_AT_ONCE ((size_t)_POSIX_PIPE_BUF)
#endif

typedef struct flow { /* one direction */
    int from, to;
    uint8_t buf[PIPE_BYTES];
    size_t start, end;
    size_t at_once; /* bytes a write */
    bool eof;       /* `from` has ended */
    bool over;      /* and `to` was told */
} flow;

static void set_flow(flow *f, int from, int to, size_t at_once)
{
    memset(f, 0, sizeof *f);
    f->from = from;
    f->to = to;
    f->at_once = at_once;
}

static bool can_read(const flow *f)
{
    return !f->eof && f->end < sizeof f->buf;
}

static bool has_output(const flow *f)
{
    return f->end > f->start;
}

/* False: that side is gone. */
static bool flow_read(flow *f)
{
    ssize_t n = read(f->from, f->buf + f->end, sizeof f->buf - f->end);
    if (n == 0) {
        f->eof = true;
    } else if (n > 0) {
        f->end += (size_t)n;
    } else if (errno != EINTR && errno != EAGAIN) {
        return false;
    }
    return true;
}

static bool flow_write(flow *f)
{
    size_t len = f->end - f->start;
    ssize_t n =
        write(f->to, f->buf + f->start, len < f->at_once ? len : f->at_once);
    if (n < 0) {
        return errno == EINTR || errno == EAGAIN;
    }
    f->start += (size_t)n;
    if (f->start == f->end) {
        f->start = f->end = 0;
    }
    return true;
}

static bool poll_both(const flow *out, const flow *in, short ready[4])
{
    struct pollfd p[4];
    const int fds[4] = {out->from, out->to, in->from, in->to};
    const bool want[4] = {can_read(out), has_output(out), can_read(in),
                          has_output(in)};
    for (size_t i = 0; i < 4; i++) {
        p[i].fd = want[i] ? fds[i] : -1;
        p[i].events = i % 2 == 0 ? POLLIN : POLLOUT;
        p[i].revents = 0;
    }
    if (poll(p, 4, -1) < 0 && errno != EINTR) {
        return false;
    }
    for (size_t i = 0; i < 4; i++) {
        ready[i] = p[i].revents;
    }
    return true;
}

/* Carries both directions until both have ended.  A person at a terminal need
 * not end stdin when the peer has hung up. */
static int carry(flow *out, flow *in, const cli_args *a)
{
    bool person = isatty(out->from) == 1;
    while (!(in->over && (out->over || person))) {
        short ready[4] = {0, 0, 0, 0};
        bool ok = poll_both(out, in, ready);
        if (ok && ready[0] != 0) {
            ok = flow_read(out);
        }
        if (ok && ready[2] != 0) {
            ok = flow_read(in);
        }
        if (ok && ready[1] != 0) {
            ok = flow_write(out);
        }
        if (ok && ready[3] != 0) {
            ok = flow_write(in);
        }
        if (!ok) {
            cli_complain("the connection with %s port %u broke: %s", a->peer,
                         (unsigned)a->port, strerror(errno));
            return CLI_EXIT_FAILED;
        }
        if (out->eof && !has_output(out) && !out->over) {
            (void)shutdown(out->to, SHUT_WR);
            out->over = true;
        }
        if (in->eof && !has_output(in) && !in->over) {
            (void)close(in->to);
            in->over = true;
        }
    }
    return CLI_EXIT_OK;
}

static bool is_connected(cli_local *c)
{
    rmr_bytes line;
    cli_line got = cli_local_line(c, &line);
    return cli_local_agreed(got, line);
}

int cli_nc(const cli_args *a)
{
    static flow out, in; /* too big for the stack, and there is one of each */
    cli_local c;
    uint8_t text[1024];
    rmr_jw w;
    int code = CLI_EXIT_FAILED;

    if (!cli_local_open(&c, a->state_dir)) {
        return CLI_EXIT_FAILED;
    }
    rmr_jw_init(&w, rmr_buf_of(text, sizeof text));
    rmr_jw_object(&w);
    rmr_jw_kstr(&w, "op", "nc");
    rmr_jw_kstr(&w, "peer", a->peer);
    rmr_jw_kint(&w, "port", a->port);
    rmr_jw_object_end(&w);
    if (cli_local_send(&c, &w) && is_connected(&c)) {
        /* What came in one piece with the answer is less than a buffer: the
         * answer was short. */
        rmr_bytes rest = cli_local_rest(&c);
        set_flow(&out, STDIN_FILENO, c.fd, PIPE_BYTES);
        set_flow(&in, c.fd, STDOUT_FILENO, OUT_AT_ONCE);
        in.end = rest.len < sizeof in.buf ? rest.len : sizeof in.buf;
        memcpy(in.buf, rest.ptr, in.end);
        (void)fcntl(c.fd, F_SETFL, O_NONBLOCK);
        code = carry(&out, &in, a);
    }
    cli_local_close(&c);
    return code;
}
