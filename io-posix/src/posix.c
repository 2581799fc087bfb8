/* The loop: machines, the turn, ids, clocks. */
#include "posix_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define OPS_A_DRAIN 256
#define MAX_OBJS ((uint32_t)1 << 20)
#define WALL_STEP ((int64_t)1000000000)

/* ---- the host's environment --------------------------------------------- */

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
    while (len) {
        size_t n = len < 256 ? len : 256; /* getentropy's limit */
        if (getentropy(dst, n) != 0)
            return RMR_E_RNG;
        dst += n;
        len -= n;
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
#ifdef CLOCK_BOOTTIME /* goes on while the machine sleeps */
    uint64_t t = clock_ns(CLOCK_BOOTTIME);
    if (t)
        return t;
#endif
    return clock_ns(CLOCK_MONOTONIC);
}

rmr_err rmri_posix_err(int e)
{
    switch (e) {
    case ENOENT:
        return RMR_E_NOTFOUND;
    case EADDRINUSE:
        return RMR_E_INUSE;
    case ECONNREFUSED:
        return RMR_E_REFUSED;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EADDRNOTAVAIL:
        return RMR_E_UNREACHABLE;
    case ETIMEDOUT:
        return RMR_E_TIMEOUT;
    case EACCES:
    case EPERM:
    case EROFS:
        return RMR_E_DENIED;
    case EMFILE:
    case ENFILE:
        return RMR_E_NOFILES;
    case EAFNOSUPPORT:
    case EPROTONOSUPPORT:
    case EOPNOTSUPP:
    case ENAMETOOLONG:
        return RMR_E_UNSUPPORTED;
    case EMSGSIZE:
        return RMR_E_TOOBIG;
    case ECONNRESET:
    case EPIPE:
    case ECONNABORTED:
        return RMR_E_RESET;
    default:
        return RMR_E_IO;
    }
}

/* ---- ids ----------------------------------------------------------------- */

typedef struct id_key {
    uint64_t serial, id;
} id_key;

static bool id_eq(const void *user, uint64_t handle, const void *key,
                  size_t len)
{
    const rmr_posix *p = user;
    const obj *o = rmr_slots_get(&p->objs, handle);
    id_key k;
    (void)len;
    memcpy(&k, key, sizeof k);
    return o && o->m->serial == k.serial && o->id == k.id;
}

obj *rmri_posix_find(rmr_posix *p, const mach *m, uint64_t id)
{
    id_key k = {m->serial, id};
    uint64_t handle;
    if (!rmr_hash_get(&p->ids, &k, sizeof k, &handle))
        return NULL;
    return rmr_slots_get(&p->objs, handle);
}

void rmri_posix_forget(rmr_posix *p, const obj *o)
{
    id_key k = {o->m->serial, o->id};
    (void)rmr_hash_del(&p->ids, &k, sizeof k);
}

obj *rmri_posix_obj(rmr_posix *p, mach *m, uint64_t id, obj_kind kind, int fd)
{
    id_key k = {m->serial, id};
    uint64_t handle;
    obj *o = rmr_slots_new(&p->objs, &handle);
    if (o) {
        o->m = m;
        o->id = id;
        if (rmr_hash_put(&p->ids, &k, sizeof k, handle) != RMR_OK) {
            rmr_slots_free(&p->objs, handle);
            o = NULL;
        }
    }
    if (!o) {
        if (fd >= 0)
            (void)close(fd);
        return NULL;
    }
    o->handle = handle;
    o->kind = kind;
    o->fd = fd;
    o->deadline = RMR_TIME_NEVER;
    m->n_objs++;
    return o;
}

void rmri_posix_obj_free(rmr_posix *p, obj *o)
{
    if (o->kind == OBJ_STORE)
        rmri_posix_store_drop(p, o);
    if (o->kind == OBJ_LISTENER && o->name)
        (void)unlinkat(p->dir_fd, o->name, 0);
    if (o->kind != OBJ_CLOSING)
        rmri_posix_forget(p, o);
    if (o->fd >= 0) {
        (void)close(o->fd);
        p->has_room = true;
    }
    free(o->out);
    free(o->name);
    o->m->n_objs--;
    rmr_slots_free(&p->objs, o->handle);
}

/* ---- machines -------------------------------------------------------------- */

/* The machine has ended.  Its streams are closed in order, unless it broke. */
void rmri_posix_end(rmr_posix *p, mach *m, rmr_err err, bool is_broken)
{
    uint32_t pos = 0;
    uint64_t handle;
    obj *o;
    m->is_live = false;
    if (m->serial == 1)
        p->first_result = err;
    while ((o = rmr_slots_next(&p->objs, &pos, &handle)) != NULL) {
        if (o->m != m)
            continue;
        if (is_broken)
            rmri_posix_abort(p, o);
        else
            rmri_posix_close(p, o);
    }
}

void rmri_posix_tell(rmr_posix *p, mach *m, const rmr_io_event *ev)
{
    if (!m->is_live)
        return;
    rmr_err e = m->m.event(m->m.self, p->now, ev);
    if (rmr_err_class(e) == RMR_CLASS_FATAL)
        rmri_posix_end(p, m, e, true);
}

void rmri_posix_answer(rmr_posix *p, mach *m, uint64_t id,
                       rmr_io_event_kind kind, rmr_err err)
{
    rmr_io_event ev;
    memset(&ev, 0, sizeof ev);
    ev.kind = kind;
    ev.id = id;
    ev.err = err;
    rmri_posix_tell(p, m, &ev);
}

static void perform(rmr_posix *p, mach *m, const rmr_io_op *op)
{
    obj *o = rmri_posix_find(p, m, op->id);
    bool is_stream = o && o->kind == OBJ_STREAM;
    bool is_listener = o && o->kind == OBJ_LISTENER;
    switch (op->kind) {
    case RMR_IO_UDP_OPEN:
        rmri_posix_udp_open(p, m, op);
        break;
    case RMR_IO_UDP_SEND:
        if (o && o->kind == OBJ_UDP)
            rmri_posix_udp_send(p, o, op);
        break;
    case RMR_IO_CONNECT:
        rmri_posix_connect(p, m, op);
        break;
    case RMR_IO_LISTEN:
        rmri_posix_listen(p, m, op);
        break;
    case RMR_IO_ACCEPT_PAUSE:
    case RMR_IO_ACCEPT_RESUME:
        if (is_listener) {
            o->is_paused = op->kind == RMR_IO_ACCEPT_PAUSE;
            o->deadline = RMR_TIME_NEVER;
        }
        break;
    case RMR_IO_READ:
        if (is_stream) {
            size_t room = SIZE_MAX - o->credit;
            o->credit += op->credit < room ? op->credit : room;
        }
        break;
    case RMR_IO_STREAM_SEND:
        if (is_stream)
            rmri_posix_send(p, o, op->data);
        break;
    case RMR_IO_SHUTDOWN:
        if (is_stream)
            rmri_posix_shutdown(o);
        break;
    case RMR_IO_CLOSE:
        if (o)
            rmri_posix_close(p, o);
        break;
    case RMR_IO_ABORT:
        if (o)
            rmri_posix_abort(p, o);
        break;
    case RMR_IO_LOAD:
        rmri_posix_load(p, m, op);
        break;
    case RMR_IO_STORE:
        rmri_posix_store(p, m, op);
        break;
    case RMR_IO_STOP:
        rmri_posix_end(p, m, op->err, false);
        break;
    case RMR_IO_RESOLVE: /* without a thread there is no resolver to ask */
    case RMR_IO_NONE:
    default:
        rmri_posix_answer(p, m, op->id, RMR_IO_FAILED, RMR_E_UNSUPPORTED);
        break;
    }
}

/* The machine's operations until it has none: a bounded number, so that a
 * busy machine leaves room for what comes in and for the others. */
void rmri_posix_drain(rmr_posix *p, mach *m)
{
    m->has_more = false;
    for (int i = 0; m->is_live; i++) {
        rmr_io_op op;
        if (i == OPS_A_DRAIN) {
            m->has_more = true;
            return;
        }
        memset(&op, 0, sizeof op);
        rmr_err e = m->m.next_op(m->m.self, p->now,
                                 rmr_buf_of(p->scratch, sizeof p->scratch),
                                 &op);
        if (rmr_err_class(e) == RMR_CLASS_FATAL)
            rmri_posix_end(p, m, e, true);
        if (e != RMR_OK || op.kind == RMR_IO_NONE)
            return;
        perform(p, m, &op);
    }
}

static void tell_wall(rmr_posix *p, mach *m, uint64_t wall)
{
    rmr_io_event ev;
    memset(&ev, 0, sizeof ev);
    ev.kind = RMR_IO_WALL;
    ev.wall_unix_ns = wall;
    rmri_posix_tell(p, m, &ev);
}

rmr_err rmr_posix_add(rmr_posix *p, const rmr_machine *machine)
{
    mach *m = calloc(1, sizeof *m);
    if (!m)
        return RMR_E_NOMEM;
    p->now = rmr_posix_now();
    if (!p->no_links)
        rmri_posix_links_check(p);
    mach **end = &p->machs;
    while (*end)
        end = &(*end)->next;
    *end = m;
    m->m = *machine;
    m->serial = ++p->n_serials;
    m->is_live = true;
    tell_wall(p, m, clock_ns(CLOCK_REALTIME));
    if (!p->no_links)
        rmri_posix_links_tell(p, m);
    return RMR_OK;
}

/* ---- life ------------------------------------------------------------------ */

void rmr_posix_config_init(rmr_posix_config *cfg, size_t struct_size)
{
    memset(cfg, 0, struct_size);
    cfg->struct_size = (uint32_t)struct_size;
}

static rmr_err open_all(rmr_posix *p, const rmr_posix_config *cfg)
{
    if (pipe(p->wake) != 0)
        return RMR_E_IO;
    for (int i = 0; i < 2; i++) {
        if (fcntl(p->wake[i], F_SETFL, O_NONBLOCK) != 0 ||
            fcntl(p->wake[i], F_SETFD, FD_CLOEXEC) != 0)
            return RMR_E_IO;
    }
    rmr_err e = rmr_slots_init(&p->objs, &p->env.alloc, sizeof(obj), MAX_OBJS);
    if (e == RMR_OK)
        e = rmr_hash_init(&p->ids, &p->env.alloc, &p->env.rng, MAX_OBJS, id_eq,
                          p);
    if (e != RMR_OK)
        return RMR_E_IO;
    return cfg->dir ? rmri_posix_open_dir(p, cfg->dir) : RMR_OK;
}

rmr_err rmr_posix_new(rmr_posix **out, const rmr_posix_config *cfg)
{
    rmr_posix *p = calloc(1, sizeof *p);
    *out = NULL;
    if (!p)
        return RMR_E_NOMEM;
    p->env = rmr_posix_env();
    p->env.log = cfg->log;
    p->no_links = cfg->no_links;
    p->dir_fd = p->wake[0] = p->wake[1] = -1;
    p->now = rmr_posix_now();
    p->wall_base = clock_ns(CLOCK_REALTIME) - p->now;
    rmr_err e = open_all(p, cfg);
    if (e != RMR_OK) {
        rmr_posix_free(p);
        return e;
    }
    *out = p;
    return RMR_OK;
}

void rmr_posix_free(rmr_posix *p)
{
    uint32_t pos = 0;
    uint64_t handle;
    obj *o;
    if (!p)
        return;
    while (p->objs.used &&
           (o = rmr_slots_next(&p->objs, &pos, &handle)) != NULL)
        rmri_posix_obj_free(p, o);
    while (p->machs) {
        mach *m = p->machs;
        p->machs = m->next;
        free(m);
    }
    rmr_slots_wipe(&p->objs);
    rmr_hash_wipe(&p->ids);
    rmri_posix_links_free(&p->links);
    for (int i = 0; i < 2; i++) {
        if (p->wake[i] >= 0)
            (void)close(p->wake[i]);
    }
    if (p->dir_fd >= 0)
        (void)close(p->dir_fd);
    free(p->dir);
    free(p->fds);
    free(p->fd_objs);
    rmr_wipe(p, sizeof *p); /* blobs and plaintext went through its buffers */
    free(p);
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

/* ---- the turn -------------------------------------------------------------- */

static bool reserve_fds(rmr_posix *p)
{
    size_t n = (size_t)p->objs.used + 1;
    if (n <= p->cap_fds)
        return true;
    size_t cap = n * 2;
    struct pollfd *fds = realloc(p->fds, cap * sizeof *fds);
    if (fds)
        p->fds = fds;
    uint64_t *objs = realloc(p->fd_objs, cap * sizeof *objs);
    if (objs)
        p->fd_objs = objs;
    if (fds && objs)
        p->cap_fds = cap;
    return fds && objs;
}

/* Fills fds; the earliest deadline of an object lowers *until. */
static nfds_t gather(rmr_posix *p, rmr_time *until)
{
    nfds_t n = 1;
    uint32_t pos = 0;
    uint64_t handle;
    obj *o;
    p->fds[0].fd = p->wake[0];
    p->fds[0].events = POLLIN;
    while ((o = rmr_slots_next(&p->objs, &pos, &handle)) != NULL) {
        if (o->kind == OBJ_LISTENER && p->has_room)
            o->deadline = RMR_TIME_NEVER;
        *until = rmr_time_min(*until, o->deadline);
        short events = rmri_posix_wants(o);
        /* Without wishes it is still asked for errors, once. */
        if (o->fd < 0 || (events == 0 && o->is_hup))
            continue;
        p->fds[n].fd = o->fd;
        p->fds[n].events = events;
        p->fd_objs[n++] = handle;
    }
    p->has_room = false;
    return n;
}

static int timeout_ms(rmr_time now, rmr_time until)
{
    if (until == RMR_TIME_NEVER)
        return -1;
    rmr_dur ms = (rmr_time_since(until, now) + RMR_MS - 1) / RMR_MS;
    return ms < INT_MAX ? (int)ms : INT_MAX;
}

/* Tells the wall clock again when it moved against ours. */
static void check_wall(rmr_posix *p)
{
    uint64_t wall = clock_ns(CLOCK_REALTIME);
    int64_t step = (int64_t)(wall - p->now - p->wall_base);
    if (step > -WALL_STEP && step < WALL_STEP)
        return;
    p->wall_base = wall - p->now;
    for (mach *m = p->machs; m; m = m->next)
        tell_wall(p, m, wall);
}

static void take_input(rmr_posix *p, nfds_t n, int n_ready)
{
    if (p->fds[0].revents && n_ready > 0) {
        uint8_t sink[64];
        while (read(p->wake[0], sink, sizeof sink) > 0)
            continue;
    }
    /* Not always the same one first. */
    for (nfds_t i = 1; i < n && n_ready > 0; i++) {
        nfds_t at = 1 + (i + p->n_turns) % (n - 1);
        obj *o = rmr_slots_get(&p->objs, p->fd_objs[at]);
        if (!o || !p->fds[at].revents)
            continue;
        mach *m = o->m;
        rmri_posix_ready(p, o, p->fds[at].revents);
        rmri_posix_drain(p, m); /* egress between ingress */
    }
}

static void take_deadlines(rmr_posix *p)
{
    uint32_t pos = 0;
    uint64_t handle;
    obj *o;
    while ((o = rmr_slots_next(&p->objs, &pos, &handle)) != NULL) {
        if (o->deadline <= p->now)
            rmri_posix_expire(p, o);
    }
    for (mach *m = p->machs; m; m = m->next) {
        if (m->is_live && m->m.next_deadline(m->m.self) <= p->now) {
            rmr_err e = m->m.handle_deadline(m->m.self, p->now);
            if (rmr_err_class(e) == RMR_CLASS_FATAL)
                rmri_posix_end(p, m, e, true);
        }
        rmri_posix_drain(p, m);
    }
}

/* Machines left: those that stopped stay until their streams are flushed. */
static size_t reap(rmr_posix *p)
{
    size_t n = 0;
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
    rmr_time until = rmr_time_add(p->now, max_wait);
    for (mach *m = p->machs; m; m = m->next) {
        rmri_posix_drain(p, m); /* what the host asked for since */
        if (m->has_more)
            until = p->now;
        else if (m->is_live)
            until = rmr_time_min(until, m->m.next_deadline(m->m.self));
    }
    *running = reap(p);
    if (*running == 0)
        return RMR_OK;
    if (!reserve_fds(p))
        return RMR_E_NOMEM;
    nfds_t n = gather(p, &until);
    int n_ready = poll(p->fds, n, timeout_ms(p->now, until));
    if (n_ready < 0 && errno != EINTR)
        return RMR_E_IO;
    p->now = rmr_posix_now(); /* the one `now` of this turn */
    p->n_turns++;
    check_wall(p);
    if (!p->no_links)
        rmri_posix_links_check(p);
    if (atomic_exchange(&p->stop_asked, 0)) {
        for (mach *m = p->machs; m; m = m->next)
            rmri_posix_answer(p, m, 0, RMR_IO_STOP_REQUEST, RMR_OK);
    }
    take_input(p, n, n_ready);
    take_deadlines(p);
    *running = reap(p);
    return RMR_OK;
}

rmr_err rmr_posix_run(rmr_posix *p)
{
    size_t running = 1;
    while (running) {
        rmr_err e = rmr_posix_turn(p, RMR_TIME_NEVER, &running);
        if (e != RMR_OK)
            return e;
    }
    return p->first_result;
}
