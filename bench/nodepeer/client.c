/* The measuring client: one task after the other, each over TCP to the peer's
 * services.  All times begin before the dial, as tsnetpeer's do. */
#include "nodepeer.h"

#include <stdlib.h>
#include <string.h>

#define DIAL_AGAIN (50 * RMR_MS) /* the peer is not in the netmap yet */
#define PATH_AGAIN (100 * RMR_MS)
#define PATH_PATIENCE 40.0 /* seconds */
#define PATH_PROBES 20     /* round trips that must go one way */

typedef enum task {
    TASK_PATH, /* until the wanted path is in use */
    TASK_WARM,
    TASK_PUT,
    TASK_GET,
    TASK_HTTP,
    TASK_CONN,
    TASK_RR
} task;

static struct client {
    task doing;
    char list[256], *rest; /* tasks to come */
    const char *name;
    rmr_node_conn conn;
    bool is_connected;
    rmr_time again;           /* dial then */
    double began, cpu, asked; /* of the task; of the last round trip */
    double path_began;
    uint64_t total, done;
    double *us;
    size_t n, max;
    rmr_node_stats before;
    char head[512]; /* HTTP: the answer's */
    size_t head_len;
    bool has_head;
} cl = {.again = RMR_TIME_NEVER};

static void next_task(void);

/* ---- connections ------------------------------------------------------- */

static uint16_t port_of(task t)
{
    switch (t) {
    case TASK_PUT:
        return 9;
    case TASK_GET:
        return 19;
    case TASK_HTTP:
        return 80;
    default:
        return 7;
    }
}

static void dial(void)
{
    cl.is_connected = false;
    cl.again = RMR_TIME_NEVER;
    cl.asked = now_s();
    rmr_err e = rmr_node_dial(node, rmr_posix_now(), opt.to, port_of(cl.doing),
                              NULL, &cl.conn);
    if ((e == RMR_E_NOTFOUND || e == RMR_E_NOTREADY) &&
        now_s() - cl.path_began < PATH_PATIENCE)
        cl.again = rmr_time_add(rmr_posix_now(), DIAL_AGAIN);
    else if (e != RMR_OK)
        die("dial", e);
}

static void hang_up(void)
{
    (void)rmr_node_close(node, rmr_posix_now(), cl.conn);
    cl.conn.id = 0;
}

static bool send_all(const void *p, size_t len)
{
    size_t taken = 0;
    (void)rmr_node_send(node, rmr_posix_now(), cl.conn, rmr_bytes_of(p, len),
                        &taken);
    return taken == len;
}

/* ---- throughput -------------------------------------------------------- */

static void tell_throughput(void)
{
    double s = now_s() - cl.began, bytes = (double)cl.total;
    begin_line(cl.name);
    number("mib", (double)opt.mb);
    number("s", s);
    number("mbit_s", bytes * 8 / s / 1e6);
    number("cpu_s_per_gb", (cpu_s() - cl.cpu) / (bytes / 1e9));
    end_line();
    hang_up();
    next_task();
}

static void put_more(void)
{
    while (cl.done < cl.total) {
        size_t taken = 0, want = sizeof block;
        if (cl.total - cl.done < want)
            want = (size_t)(cl.total - cl.done);
        (void)rmr_node_send(node, rmr_posix_now(), cl.conn,
                            rmr_bytes_of(block, want), &taken);
        cl.done += taken;
        if (taken < want)
            return;
        if (cl.done == cl.total)
            (void)rmr_node_shutdown(node, rmr_posix_now(), cl.conn);
    }
}

static size_t take_head(rmr_bytes in)
{
    size_t n = 0;
    while (n < in.len && !cl.has_head && cl.head_len < sizeof cl.head - 1) {
        cl.head[cl.head_len++] = (char)in.ptr[n++];
        cl.has_head = cl.head_len >= 4 &&
                      memcmp(cl.head + cl.head_len - 4, "\r\n\r\n", 4) == 0;
    }
    return n;
}

static void get_more(void)
{
    rmr_bytes view;
    bool eof = false;
    while (!rmr_node_peek(node, cl.conn, &view, &eof) && view.len) {
        size_t head = cl.doing == TASK_HTTP ? take_head(view) : 0;
        cl.done += view.len - head;
        (void)rmr_node_consume(node, rmr_posix_now(), cl.conn, view.len);
        if (cl.done >= cl.total) {
            tell_throughput();
            return;
        }
    }
    if (eof)
        die(cl.name, RMR_E_CLOSED);
}

/* ---- times ------------------------------------------------------------- */

static void note_time(void)
{
    cl.us[cl.n++] = (now_s() - cl.asked) * 1e6;
}

static void ask_byte(void)
{
    uint8_t one = 1;
    cl.asked = now_s();
    (void)send_all(&one, 1);
}

static bool take_byte(void)
{
    rmr_bytes view;
    bool eof = false;
    if (rmr_node_peek(node, cl.conn, &view, &eof) != RMR_OK || view.len == 0)
        return false;
    (void)rmr_node_consume(node, rmr_posix_now(), cl.conn, view.len);
    return true;
}

static void tell_times(void)
{
    begin_line(cl.name);
    percentiles(cl.us, cl.n);
    end_line();
    next_task();
}

/* By which way the last round trips went: the node counts its own datagrams,
 * and the probes are many against a few pings. */
static const char *path_in_use(void)
{
    rmr_node_stats st;
    rmr_node_get_stats(node, &st);
    return st.rx_udp - cl.before.rx_udp >= PATH_PROBES ? "direct" : "derp";
}

static void path_known(void)
{
    const char *is = path_in_use();
    hang_up();
    if (strcmp(opt.path, "any") != 0 && strcmp(opt.path, is) != 0) {
        if (now_s() - cl.path_began > PATH_PATIENCE)
            die("the wanted path is not in use", RMR_E_TIMEOUT);
        cl.again = rmr_time_add(rmr_posix_now(), PATH_AGAIN);
        return;
    }
    begin_line("path");
    text("path", is);
    number("after_ms", (now_s() - cl.path_began) * 1e3);
    end_line();
    next_task();
}

static void round_trip_done(void)
{
    note_time();
    if (cl.n < cl.max) {
        ask_byte();
    } else if (cl.doing == TASK_PATH) {
        path_known();
    } else if (cl.doing == TASK_WARM) {
        hang_up();
        next_task();
    } else {
        hang_up();
        tell_times();
    }
}

/* ---- callbacks --------------------------------------------------------- */

void client_connected(rmr_node_conn c)
{
    if (c.id != cl.conn.id)
        return;
    cl.is_connected = true;
    switch (cl.doing) {
    case TASK_PUT:
        put_more();
        break;
    case TASK_HTTP: {
        char ask[128];
        int n =
            snprintf(ask, sizeof ask, "GET /%llu HTTP/1.1\r\nHost: %s\r\n\r\n",
                     (unsigned long long)cl.total, opt.to);
        (void)send_all(ask, (size_t)n);
        break;
    }
    case TASK_CONN:
        note_time();
        hang_up();
        if (cl.n < cl.max)
            dial();
        else
            tell_times();
        break;
    case TASK_GET:
        break;
    default:
        rmr_node_get_stats(node, &cl.before);
        ask_byte();
        break;
    }
}

void client_turn(rmr_node_conn c)
{
    if (c.id != cl.conn.id || !cl.is_connected)
        return;
    switch (cl.doing) {
    case TASK_PUT:
        put_more();
        if (cl.done == cl.total && take_byte())
            tell_throughput();
        break;
    case TASK_GET:
    case TASK_HTTP:
        get_more();
        break;
    case TASK_CONN:
        break;
    default:
        if (take_byte())
            round_trip_done();
        break;
    }
}

void client_closed(rmr_node_conn c, rmr_err why)
{
    if (c.id == cl.conn.id)
        die("the connection ended", why);
}

/* ---- one task after the other ------------------------------------------ */

static void begin(task t, const char *name, size_t max)
{
    free(cl.us);
    cl.doing = t;
    cl.name = name;
    cl.done = cl.head_len = cl.n = 0;
    cl.has_head = false;
    cl.max = max;
    cl.us = calloc(max ? max : 1, sizeof *cl.us);
    if (!cl.us)
        die(name, RMR_E_NOMEM);
    cl.began = now_s();
    cl.cpu = cpu_s();
    dial();
}

static void next_task(void)
{
    static const struct {
        const char *name;
        task t;
    } tasks[] = {{"put", TASK_PUT},
                 {"get", TASK_GET},
                 {"http", TASK_HTTP},
                 {"conn", TASK_CONN},
                 {"rr", TASK_RR}};
    const char *name = cl.rest;
    if (!name || !*name) {
        rmr_posix_request_stop(loop);
        return;
    }
    cl.rest += strcspn(cl.rest, ",");
    if (*cl.rest)
        *cl.rest++ = '\0';
    for (size_t i = 0; i < sizeof tasks / sizeof *tasks; i++) {
        size_t max = tasks[i].t == TASK_CONN ? (size_t)opt.nconn
                     : tasks[i].t == TASK_RR ? (size_t)opt.nrr
                                             : 0;
        if (strcmp(name, tasks[i].name) != 0)
            continue;
        begin(tasks[i].t, tasks[i].name, max);
        return;
    }
    die(name, RMR_E_UNSUPPORTED);
}

/* The list of tasks begins with the path and a warming round trip, where they
 * are wanted; they have no names there. */
void client_start(void)
{
    cl.again = RMR_TIME_NEVER;
    cl.total = (uint64_t)opt.mb << 20;
    (void)snprintf(cl.list, sizeof cl.list, "%s", opt.what);
    cl.rest = cl.list;
    cl.path_began = now_s();
    if (strcmp(opt.path, "none") != 0)
        begin(TASK_PATH, "path", PATH_PROBES);
    else if (opt.warm)
        begin(TASK_WARM, "warm", 1);
    else
        next_task();
}

rmr_time client_deadline(void)
{
    return opt.to ? cl.again : RMR_TIME_NEVER;
}

void client_tick(rmr_time now)
{
    if (!opt.to || cl.again > now)
        return;
    cl.n = 0;
    dial();
}
