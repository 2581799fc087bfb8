/* The loop: machines, ids, clocks, the turn. */
#include "posix_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define OPS_A_DRAIN 256

static void *env_alloc(void *user, size_t size, size_t align)
{
    (void)user;
    if (align <= _Alignof(max_align_t))
        return malloc(size);
    return aligned_alloc(align, (size + align - 1) / align * align);
}

static void env_release(void *user, void *ptr, size_t size)
{
    (void)user;
    (void)size;
    free(ptr);
}

static rmr_err env_fill(void *user, uint8_t *dst, size_t len)
{
    (void)user;
    for (size_t n; len; dst += n, len -= n) {
        n = len < 256 ? len : 256; /* getentropy's limit */
        if (getentropy(dst, n) != 0)
            return RMR_E_RNG;
    }
    return RMR_OK;
}

rmr_env rmr_posix_env(void)
{
    rmr_env env = {{env_alloc, env_release, NULL},
                   {env_fill, NULL},
                   {NULL, NULL, RMR_LOG_OFF}};
    return env;
}

static uint64_t clock_ns(clockid_t id)
{
    struct timespec t;
    if (clock_gettime(id, &t) != 0)
        return 0;
    return (uint64_t)t.tv_sec * RMR_SEC + (uint64_t)t.tv_nsec;
}

rmr_time rmr_posix_now(void)
{
#ifdef CLOCK_BOOTTIME /* goes on while the host sleeps */
    uint64_t t = clock_ns(CLOCK_BOOTTIME);
    if (t)
        return t;
#endif
    return clock_ns(CLOCK_MONOTONIC);
}

rmr_err rmri_posix_err(int e)
{
    static const struct {
        int os;
        rmr_err err;
    } map[] = {
        {ENOENT, RMR_E_NOTFOUND},
        {EADDRINUSE, RMR_E_INUSE},
        {ECONNREFUSED, RMR_E_REFUSED},
        {ETIMEDOUT, RMR_E_TIMEOUT},
        {ENETUNREACH, RMR_E_UNREACHABLE},
        {EHOSTUNREACH, RMR_E_UNREACHABLE},
        {EADDRNOTAVAIL, RMR_E_UNREACHABLE},
        {ENETDOWN, RMR_E_UNREACHABLE},
        {EACCES, RMR_E_DENIED},
        {EPERM, RMR_E_DENIED},
        {EROFS, RMR_E_DENIED},
        {EMFILE, RMR_E_NOFILES},
        {ENFILE, RMR_E_NOFILES},
        {EAFNOSUPPORT, RMR_E_UNSUPPORTED},
        {EOPNOTSUPP, RMR_E_UNSUPPORTED},
        {EMSGSIZE, RMR_E_TOOBIG},
        {ECONNRESET, RMR_E_RESET},
        {EPIPE, RMR_E_RESET},
    };
    for (size_t i = 0; i < sizeof map / sizeof *map; i++) {
        if (map[i].os == e)
            return map[i].err;
    }
    return RMR_E_IO;
}

/* ---- machines
 * ---------------------------------------------------------------- */

/* The machine has ended.  Its streams are closed in order, unless it broke. */
static void end(rmr_posix *p, mach *m, rmr_err err, rmri_posix_op *end_one)
{
    m->is_live = false;
    if (m->serial == 1)
        p->first_result = err;
    for (size_t i = p->n_objs; i-- > 0;) { /* drop() fills gaps from the end */
        obj *o = p->objs[i];
        if (o->m != m)
            continue;
        end_one(p, m, o, NULL);
        rmri_posix_changed(p, o);
    }
}

void rmri_posix_stop(rmr_posix *p, mach *m, obj *o, const rmr_io_op *op)
{
    (void)o;
    end(p, m, op->err, rmri_posix_close);
}

static bool is_fatal(rmr_posix *p, mach *m, rmr_err e)
{
    if (rmr_err_class(e) != RMR_CLASS_FATAL)
        return false;
    end(p, m, e, rmri_posix_abort);
    return true;
}

rmr_io_event rmri_posix_event(rmr_io_event_kind kind, uint64_t id, rmr_err e)
{
    rmr_io_event ev;
    memset(&ev, 0, sizeof ev);
    ev.kind = kind;
    ev.id = id;
    ev.err = e;
    return ev;
}

void rmri_posix_tell(rmr_posix *p, mach *m, rmr_io_event ev)
{
    if (m->is_live)
        (void)is_fatal(p, m, m->m.event(m->m.self, p->now, &ev));
}

static void perform(rmr_posix *p, mach *m, const rmr_io_op *op)
{
    static const struct {
        rmri_posix_op *run;
        int on; /* kinds of objects; 0: any or none */
    } ops[] = {
        [RMR_IO_UDP_OPEN] = {rmri_posix_udp_open, 0},
        [RMR_IO_UDP_SEND] = {rmri_posix_udp_send, OBJ_UDP},
        [RMR_IO_CONNECT] = {rmri_posix_connect, 0},
        [RMR_IO_LISTEN] = {rmri_posix_listen, 0},
        [RMR_IO_ACCEPT_PAUSE] = {rmri_posix_pause, OBJ_LISTENER},
        [RMR_IO_ACCEPT_RESUME] = {rmri_posix_pause, OBJ_LISTENER},
        [RMR_IO_READ] = {rmri_posix_read, OBJ_STREAM},
        [RMR_IO_STREAM_SEND] = {rmri_posix_send, OBJ_STREAM},
        [RMR_IO_SHUTDOWN] = {rmri_posix_shutdown, OBJ_STREAM},
        [RMR_IO_CLOSE] = {rmri_posix_close, OBJ_ANY},
        [RMR_IO_ABORT] = {rmri_posix_abort, OBJ_ANY},
        [RMR_IO_LOAD] = {rmri_posix_load, 0},
        [RMR_IO_STORE] = {rmri_posix_store, 0},
        [RMR_IO_STOP] = {rmri_posix_stop, 0},
        [RMR_IO_ICMP_OPEN] = {rmri_posix_icmp_open, 0},
    };
    obj *o = rmri_posix_find(p, m, op->id);
    size_t i = (size_t)op->kind;
    if (i >= sizeof ops / sizeof *ops || !ops[i].run) /* RESOLVE too */
        rmri_posix_tell(
            p, m, rmri_posix_event(RMR_IO_FAILED, op->id, RMR_E_UNSUPPORTED));
    else if (ops[i].on == 0 || (o && ((int)o->kind & ops[i].on)))
        ops[i].run(p, m, o, op);
    if (o)
        rmri_posix_changed(p, o);
}

/* The machine's operations until it has none: a bounded number, so that a
 * busy machine leaves room for what comes in and for the others.  While a
 * watcher still holds what was closed there are none: the next one may open
 * the same port. */
void rmri_posix_drain(rmr_posix *p, mach *m)
{
    rmr_buf scratch = {p->scratch, sizeof p->scratch};
    m->has_more = false;
    for (int i = 0; m->is_live; i++) {
        rmr_io_op op;
        memset(&op, 0, sizeof op);
        m->has_more = i == OPS_A_DRAIN || p->n_closing;
        if (m->has_more)
            return;
        rmr_err e = m->m.next_op(m->m.self, p->now, scratch, &op);
        if (is_fatal(p, m, e) || e != RMR_OK || op.kind == RMR_IO_NONE)
            return;
        perform(p, m, &op);
    }
}

static void tell_wall(rmr_posix *p, mach *m, uint64_t wall)
{
    rmr_io_event ev = rmri_posix_event(RMR_IO_WALL, 0, RMR_OK);
    ev.wall_unix_ns = wall;
    rmri_posix_tell(p, m, ev);
}

rmr_err rmr_posix_add(rmr_posix *p, const rmr_machine *machine)
{
    mach *m = calloc(1, sizeof *m);
    mach **last = &p->machs;
    if (!m)
        return RMR_E_NOMEM;
    p->now = rmr_posix_now();
    if (!p->no_links)
        rmri_posix_links_check(p);
    while (*last)
        last = &(*last)->next;
    *last = m;
    m->m = *machine;
    m->serial = ++p->n_machs;
    m->is_live = true;
    tell_wall(p, m, clock_ns(CLOCK_REALTIME));
    if (!p->no_links)
        rmri_posix_links_tell(p, m);
    return RMR_OK;
}

/* ---- life
 * ---------------------------------------------------------------------- */

void rmr_posix_config_init(rmr_posix_config *cfg, size_t struct_size)
{
    memset(cfg, 0, struct_size);
    cfg->struct_size = (uint32_t)struct_size;
}

static rmr_err open_all(rmr_posix *p, const char *dir)
{
    rmr_env env = rmr_posix_env();
    if (pipe(p->wake) != 0)
        return RMR_E_IO;
    for (int i = 0; i < 2; i++) {
        if (fcntl(p->wake[i], F_SETFL, O_NONBLOCK) != 0 ||
            fcntl(p->wake[i], F_SETFD, FD_CLOEXEC) != 0)
            return RMR_E_IO;
    }
    if (!p->portable)
        rmri_posix_epoll_open(p);
    rmri_posix_watch_fd(p, &p->wake[0]);
    if (rmr_timers_init(&p->timers, &env.alloc, 0) != RMR_OK ||
        !rmri_posix_reserve(p))
        return RMR_E_NOMEM;
    if (!p->no_links)
        rmri_posix_links_open(p, p->portable);
    return dir ? rmri_posix_open_dir(p, dir) : RMR_OK;
}

rmr_err rmr_posix_new(rmr_posix **out, const rmr_posix_config *cfg)
{
    rmr_posix *p = calloc(1, sizeof *p);
    *out = NULL;
    if (!p)
        return RMR_E_NOMEM;
    p->log = cfg->log;
    p->no_links = cfg->no_links;
    p->dir_shared = cfg->dir_shared;
    p->portable = cfg->portable;
    p->no_offload = cfg->no_offload || cfg->portable;
    if (cfg->struct_size >= sizeof *cfg && cfg->watcher)
        p->watcher = *cfg->watcher;
    p->dir_fd = p->wake[0] = p->wake[1] = p->epoll_fd = p->links.fd = -1;
    p->links.due = p->deaf_due = RMR_TIME_NEVER;
    p->wall_base = clock_ns(CLOCK_REALTIME) - rmr_posix_now();
    rmr_err e = open_all(p, cfg->dir);
    if (e == RMR_OK)
        *out = p;
    else
        rmr_posix_free(p);
    return e;
}

void rmr_posix_free(rmr_posix *p)
{
    if (!p)
        return;
    while (p->n_objs)
        rmri_posix_drop(p, p->objs[p->n_objs - 1]);
    rmri_posix_settle(p);
    for (mach *m = p->machs, *next; m; m = next) {
        next = m->next;
        free(m);
    }
    rmri_posix_links_close(p);
    rmri_posix_watch_close(p, p->wake[0], true);
    int fds[] = {p->wake[1], p->dir_fd, p->epoll_fd};
    for (int i = 0; i < 3; i++)
        rmri_posix_watch_close(p, fds[i], false);
    rmr_timers_wipe(&p->timers);
    free(p->dir);
    free((void *)p->objs);
    free((void *)p->hash);
    free(p->fds);
    rmr_wipe(p, sizeof *p); /* blobs and plaintext went through its buffers */
    free(p);
}

void rmr_posix_get_stats(const rmr_posix *p, rmr_posix_stats *out)
{
    *out = p->stats;
    out->n_open = p->n_objs;
}

void rmr_posix_wake(rmr_posix *p)
{
    int e = errno; /* a signal handler may be running */
    ssize_t n = write(p->wake[1], "", 1);
    (void)n; /* a full pipe wakes as well */
    errno = e;
}

void rmr_posix_request_stop(rmr_posix *p)
{
    atomic_store(&p->stop_asked, 1);
    rmr_posix_wake(p);
}

/* ---- the turn
 * -------------------------------------------------------------------- */

/* Listeners without descriptors try again when one was freed. */
static void end_rests(rmr_posix *p)
{
    for (size_t i = 0; p->has_room && p->n_resting && i < p->n_objs; i++) {
        obj *o = p->objs[i];
        if (o->kind != OBJ_LISTENER)
            continue;
        rmri_posix_set_deadline(p, o, RMR_TIME_NEVER);
        rmri_posix_changed(p, o);
    }
    p->has_room = false;
}

static int timeout_ms(rmr_time now, rmr_time until)
{
    rmr_dur ms = rmr_time_since(until, now) / RMR_MS;
    if (until == RMR_TIME_NEVER)
        return -1;
    return ms < INT_MAX ? (int)ms + (until > now) : INT_MAX;
}

/* What came from the clock and from the host. */
static void take_news(rmr_posix *p)
{
    uint64_t wall = clock_ns(CLOCK_REALTIME);
    uint64_t step = wall - p->now - p->wall_base;
    bool has_stepped = step + RMR_SEC > 2 * RMR_SEC; /* either way */
    bool is_stop = atomic_exchange(&p->stop_asked, 0);
    p->wall_base = has_stepped ? wall - p->now : p->wall_base;
    for (mach *m = p->machs; m; m = m->next) {
        if (has_stepped)
            tell_wall(p, m, wall);
        if (is_stop)
            rmri_posix_tell(p, m,
                            rmri_posix_event(RMR_IO_STOP_REQUEST, 0, RMR_OK));
    }
    if (!p->no_links)
        rmri_posix_links_news(p);
}

static void take_input(rmr_posix *p)
{
    uint8_t sink[64];
    while (p->is_woken && read(p->wake[0], sink, sizeof sink) > 0)
        continue;
    for (size_t i = 0; i < p->n_ready; i++) {
        obj *o = p->ready[i].o;
        mach *m = o->m;
        if (o->kind == OBJ_DEAD)
            continue;
        rmri_posix_ready(p, o, p->ready[i].revents);
        rmri_posix_changed(p, o);
        rmri_posix_drain(p, m); /* what goes out is not kept waiting */
    }
}

static void take_deadlines(rmr_posix *p)
{
    for (rmr_timer *t; (t = rmr_timers_pop(&p->timers, p->now)) != NULL;) {
        obj *o = t->owner;
        p->n_resting -= o->kind == OBJ_LISTENER;
        rmri_posix_expire(p, o);
        rmri_posix_changed(p, o);
    }
    for (mach *m = p->machs; m; m = m->next) {
        if (m->is_live && m->m.next_deadline(m->m.self) <= p->now)
            (void)is_fatal(p, m, m->m.handle_deadline(m->m.self, p->now));
        rmri_posix_drain(p, m);
    }
}

/* Machines left: one that stopped stays until its streams are flushed. */
static size_t reap(rmr_posix *p)
{
    size_t n = 0;
    rmri_posix_settle(p);
    for (mach **at = &p->machs; *at;) {
        mach *m = *at;
        if (m->is_live || m->n_objs) {
            n++;
            at = &m->next;
        } else {
            *at = m->next;
            free(m);
        }
    }
    return n;
}

rmr_err rmr_posix_turn(rmr_posix *p, rmr_dur max_wait, size_t *running)
{
    p->now = rmr_posix_now();
    for (mach *m = p->machs; m; m = m->next)
        rmri_posix_drain(p, m); /* what the host asked for meanwhile */
    end_rests(p);
    if ((*running = reap(p)) == 0)
        return RMR_OK;
    rmr_time until = rmr_time_min(rmr_time_add(p->now, max_wait),
                                  rmr_posix_next_deadline(p));
    int n_ready = rmri_posix_wait(p, timeout_ms(p->now, until));
    if (n_ready < 0 && errno != EINTR)
        return RMR_E_IO;
    p->now = rmr_posix_now(); /* the `now` of all that follows */
    take_news(p);
    if (n_ready > 0)
        take_input(p);
    rmri_posix_watch_looked(p);
    take_deadlines(p);
    *running = reap(p);
    return RMR_OK;
}

int rmr_posix_fd(const rmr_posix *p)
{
    return p->epoll_fd;
}

rmr_time rmr_posix_next_deadline(const rmr_posix *p)
{
    rmr_time at = rmr_time_min(rmr_timers_next(&p->timers), p->links.due);
    at = rmr_time_min(at, p->deaf_due);
    for (const mach *m = p->machs; m; m = m->next) {
        if (m->has_more && !p->n_closing)
            return p->now;
        if (m->is_live)
            at = rmr_time_min(at, m->m.next_deadline(m->m.self));
    }
    return at;
}

rmr_err rmr_posix_result(const rmr_posix *p)
{
    return p->first_result;
}

rmr_err rmr_posix_run(rmr_posix *p)
{
    rmr_err e = RMR_OK;
    for (size_t running = 1; running && e == RMR_OK;)
        e = rmr_posix_turn(p, RMR_TIME_NEVER, &running);
    return e == RMR_OK ? p->first_result : e;
}
