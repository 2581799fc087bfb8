/* remora capture: the packets inside the tunnels, as a pcap file. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands.h"
#include "local_client.h"
#include "print.h"

#define FILE_HEAD ((size_t)24)
#define RECORD_HEAD ((size_t)16)
#define PART_MAX ((size_t)256 * 1024)
#define RECORD_MAX ((size_t)65535)

static volatile sig_atomic_t source; /* the connection to the node */

/* A flag would be seen too late by a read that begins just then: the connection
 * itself ends, behind what came by it. */
static void on_signal(int sig)
{
    int why = errno;
    (void)sig;
    (void)shutdown(source, SHUT_RD);
    errno = why;
}

/* A second signal ends the program. */
static void catch_signals(int fd)
{
    struct sigaction sa;
    source = fd;
    memset(&sa, 0, sizeof sa);
    sa.sa_handler = on_signal;
    sa.sa_flags = (int)SA_RESETHAND;
    (void)sigemptyset(&sa.sa_mask);
    (void)sigaction(SIGINT, &sa, NULL);
    (void)sigaction(SIGTERM, &sa, NULL);
}

/* ---- whole records ----------------------------------------------------- */

typedef struct capture {
    int to;
    const char *name;
    uint8_t part[PART_MAX];
    size_t len;
    bool has_head;
    unsigned long long packets;
} capture;

static size_t get32(const uint8_t *p)
{
    return (size_t)p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 |
           (size_t)p[3] << 24;
}

/* The bytes at the beginning that are whole; SIZE_MAX: no pcap file. */
static size_t whole(capture *c)
{
    size_t at = c->has_head ? 0 : FILE_HEAD;
    if (c->len < at) {
        return 0;
    }
    while (c->len - at >= RECORD_HEAD) {
        size_t len = get32(c->part + at + 8);
        if (len > RECORD_MAX) {
            return SIZE_MAX;
        }
        if (c->len - at - RECORD_HEAD < len) {
            break;
        }
        at += RECORD_HEAD + len;
        c->packets++;
    }
    c->has_head = true;
    return at;
}

static bool put_all(const capture *c, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t n = write(c->to, c->part + at, len - at);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            cli_complain("can't write %s: %s", c->name, strerror(errno));
            return false;
        }
        at += (size_t)n;
    }
    return true;
}

static bool put_whole(capture *c)
{
    size_t len = whole(c);
    if (len == SIZE_MAX) {
        cli_complain("the node's packets make no sense; is it of the same "
                     "version?");
        return false;
    }
    if (!put_all(c, len)) {
        return false;
    }
    memmove(c->part, c->part + len, c->len - len);
    c->len -= len;
    return true;
}

/* Until the node ends the stream, or a signal.  What is left then is no whole
 * packet. */
static bool copy(capture *c, int from)
{
    while (put_whole(c)) {
        ssize_t n = read(from, c->part + c->len, sizeof c->part - c->len);
        if (n == 0) {
            return true;
        }
        if (n < 0 && errno != EINTR) {
            cli_complain("the connection to the running node broke: %s",
                         strerror(errno));
            return false;
        }
        c->len += n > 0 ? (size_t)n : 0;
    }
    return false;
}

/* ---- the command ------------------------------------------------------- */

static bool open_file(capture *c, const char *name)
{
    c->name = name;
    if (strcmp(name, "-") == 0) {
        c->to = STDOUT_FILENO;
        c->name = "the output";
        return true;
    }
    /* Packets are as secret as what the peers say. */
    c->to =
        open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (c->to < 0) {
        cli_complain("can't write %s: %s", name, strerror(errno));
    }
    return c->to >= 0;
}

static bool run(capture *c, cli_local *l, const char *state_dir)
{
    rmr_bytes line;
    cli_line got = cli_local_ask(l, state_dir, "capture", &line);
    if (!cli_local_agreed(got, line)) {
        return false;
    }
    rmr_bytes rest = cli_local_rest(l);
    if (rest.len > sizeof c->part) {
        return false; /* never: less comes in one read */
    }
    memcpy(c->part, rest.ptr, rest.len);
    c->len = rest.len;
    catch_signals(l->fd);
    if (!copy(c, l->fd)) {
        return false;
    }
    (void)fprintf(stderr, "%llu packets\n", c->packets);
    return true;
}

int cli_capture(const cli_args *a)
{
    static capture c; /* large */
    cli_local l;
    memset(&l, 0, sizeof l);
    l.fd = -1;
    /* Before the state directory is entered: the name may be a relative one. */
    bool ok = open_file(&c, a->subject) && run(&c, &l, a->state_dir);
    cli_local_close(&l);
    if (c.to > STDERR_FILENO && close(c.to) != 0) {
        cli_complain("can't write %s: %s", c.name, strerror(errno));
        ok = false;
    }
    return ok ? CLI_EXIT_OK : CLI_EXIT_FAILED;
}
