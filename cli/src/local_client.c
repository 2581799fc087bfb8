/* The local endpoint's client: connect, one line out, lines in. */
#include "local_client.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "answer.h"
#include "files.h"
#include "print.h"
#include "status_json.h"

/* A status line grows with the peers, about 1 KiB each. */
#define LINE_MAX_BYTES ((size_t)256 * 1024 * 1024)

/* The node closes what is open in order, which a dead peer can delay. */
#define END_MS (20 * 1000)

static int connect_here(void)
{
    struct sockaddr_un sa;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0) {
        return -1;
    }
    memset(&sa, 0, sizeof sa);
    sa.sun_family = AF_UNIX;
    memcpy(sa.sun_path, CLI_LOCAL_NAME, sizeof CLI_LOCAL_NAME);
    while (connect(fd, (const struct sockaddr *)&sa, sizeof sa) != 0) {
        if (errno != EINTR) {
            int why = errno;
            (void)close(fd);
            errno = why;
            return -1;
        }
    }
    return fd;
}

/* What connecting came to; `dir` names the state directory. */
static cli_found find(cli_local *c, const char *state_dir, char *dir,
                      size_t cap)
{
    char error[4500];
    memset(c, 0, sizeof *c);
    c->fd = -1;
    if (!cli_state_dir(state_dir, dir, cap, error, sizeof error)) {
        cli_complain("%s", error);
        return CLI_FOUND_FAILED;
    }
    c->in_dir = chdir(dir) == 0;
    if (c->in_dir) {
        c->fd = connect_here();
    }
    if (c->fd >= 0) {
        return CLI_FOUND;
    }
    if (errno == ENOENT || errno == ECONNREFUSED) {
        return CLI_FOUND_NONE;
    }
    cli_complain("can't reach the node of the state directory %s: %s; "
                 "only the user who runs it can",
                 dir, strerror(errno));
    return CLI_FOUND_FAILED;
}

cli_found cli_local_find(cli_local *c, const char *state_dir)
{
    char dir[4096];
    return find(c, state_dir, dir, sizeof dir);
}

bool cli_local_open(cli_local *c, const char *state_dir)
{
    char dir[4096];
    cli_found found = find(c, state_dir, dir, sizeof dir);
    if (found == CLI_FOUND_NONE) {
        cli_complain("no node runs with the state directory %s; start one "
                     "with remora up, or name its --state-dir",
                     dir);
    }
    return found == CLI_FOUND;
}

bool cli_local_wait_end(cli_local *c)
{
    uint8_t rest[64];
    for (;;) {
        struct pollfd p = {.fd = c->fd, .events = POLLIN};
        int ready = poll(&p, 1, END_MS);
        if (ready < 0 && errno == EINTR) {
            continue;
        }
        if (ready <= 0) {
            cli_complain("the node is still stopping; look again with remora "
                         "status");
            return false;
        }
        ssize_t n = read(c->fd, rest, sizeof rest);
        if (n == 0 || (n < 0 && errno != EINTR)) {
            return true; /* reset: it has ended as well */
        }
    }
}

void cli_local_close(cli_local *c)
{
    if (c->fd >= 0) {
        (void)close(c->fd);
    }
    free(c->buf);
    memset(c, 0, sizeof *c);
    c->fd = -1;
}

static bool lost(void)
{
    cli_complain("the connection to the running node broke: %s; has it been "
                 "stopped?",
                 strerror(errno));
    return false;
}

static bool send_all(int fd, const uint8_t *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return lost();
        }
        data += n;
        len -= (size_t)n;
    }
    return true;
}

bool cli_local_send(cli_local *c, const rmr_jw *request)
{
    static const uint8_t newline = '\n';
    if (request->failed) {
        cli_complain("the request is too long");
        return false;
    }
    return send_all(c->fd, request->base, request->len) &&
           send_all(c->fd, &newline, 1);
}

/* Room for more behind `end`. */
static bool make_room(cli_local *c)
{
    uint8_t *bigger;
    size_t cap;
    if (c->start > 0) {
        memmove(c->buf, c->buf + c->start, c->end - c->start);
        c->end -= c->start;
        c->start = 0;
    }
    if (c->end < c->cap) {
        return true;
    }
    cap = c->cap == 0 ? 65536 : c->cap * 2;
    bigger = cap > LINE_MAX_BYTES ? NULL : realloc(c->buf, cap);
    if (bigger == NULL) {
        cli_complain("the node's answer is too long for the memory here");
        return false;
    }
    c->buf = bigger;
    c->cap = cap;
    return true;
}

cli_line cli_local_line(cli_local *c, rmr_bytes *line)
{
    size_t looked = 0; /* bytes after start that hold no newline */
    for (;;) {
        size_t have = c->end - c->start;
        uint8_t *nl = have == looked ? NULL
                                     : memchr(c->buf + c->start + looked, '\n',
                                              have - looked);
        ssize_t n;
        if (nl != NULL) {
            char error[1024];
            *line = rmr_bytes_of(c->buf + c->start,
                                 (size_t)(nl - (c->buf + c->start)));
            c->start += line->len + 1;
            if (!cli_answer_is_error(*line, error, sizeof error)) {
                return CLI_LINE;
            }
            cli_complain("%s", error);
            return CLI_LINE_FAILED;
        }
        looked = have;
        if (!make_room(c)) {
            return CLI_LINE_FAILED;
        }
        n = read(c->fd, c->buf + c->end, c->cap - c->end);
        if (n > 0) {
            c->end += (size_t)n;
        } else if (n == 0) {
            return CLI_LINE_END;
        } else if (errno != EINTR) {
            (void)lost();
            return CLI_LINE_FAILED;
        }
    }
}

rmr_bytes cli_local_rest(const cli_local *c)
{
    return rmr_bytes_of(c->buf + c->start, c->end - c->start);
}

cli_line cli_local_ask(cli_local *c, const char *state_dir, const char *op,
                       rmr_bytes *line)
{
    return cli_local_open(c, state_dir) ? cli_local_request(c, op, line)
                                        : CLI_LINE_FAILED;
}

cli_line cli_local_request(cli_local *c, const char *op, rmr_bytes *line)
{
    uint8_t text[64];
    rmr_jw w;
    rmr_jw_init(&w, rmr_buf_of(text, sizeof text));
    rmr_jw_object(&w);
    rmr_jw_kstr(&w, "op", op);
    rmr_jw_object_end(&w);
    return cli_local_send(c, &w) ? cli_local_line(c, line) : CLI_LINE_FAILED;
}

bool cli_local_agreed(cli_line got, rmr_bytes line)
{
    cli_answer answer;
    if (got == CLI_LINE && cli_answer_parse(&answer, line) && answer.ok) {
        return true;
    }
    if (got != CLI_LINE_FAILED) {
        cli_complain("the node gave no answer; is it stopping?");
    }
    return false;
}

bool cli_local_show(cli_line got, rmr_bytes line, bool json,
                    bool (*print)(rmr_bytes json))
{
    if (got == CLI_LINE && json) {
        cli_json_pretty(stdout, line);
        return true;
    }
    if (got == CLI_LINE && print(line)) {
        return true;
    }
    if (got != CLI_LINE_FAILED) {
        cli_complain("the node's answer makes no sense; is it of the same "
                     "version?");
    }
    return false;
}
