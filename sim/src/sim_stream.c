/* Streams: how they begin and how they end. */
#include "sim_internal.h"

#include <string.h>

#define CONNECT_TIMEOUT (30 * RMR_SEC)
#define SYN_RETRY RMR_SEC

static const rmr_bytes nothing;

sim_stream *rmri_sim_stream(const rmr_sim *s, uint64_t handle)
{
    return rmr_slots_get(&s->streams, handle);
}

/* A local endpoint has no address to tell of. */
static rmr_addr told_addr(const sim_stream *st, rmr_addr a)
{
    rmr_addr none;
    memset(&none, 0, sizeof none);
    return st->remote.family ? a : none;
}

/* ---- listening ----------------------------------------------------------- */

static rmr_err listen_on(rmr_sim *s, uint64_t handle, const rmr_io_op *op)
{
    sim_object *o = rmri_sim_object(s, handle);
    if (!op->name.len)
        return rmri_sim_bind(s, handle, SIM_TCP, op->addr);
    if (!rmri_sim_name_ok(op->name))
        return RMR_E_UNSUPPORTED;
    o->name = rmri_sim_digest(op->name);
    rmr_addr none;
    memset(&none, 0, sizeof none);
    return rmri_sim_bind(s, handle, SIM_LOCAL, none);
}

void rmri_sim_listen(rmr_sim *s, uint32_t program, const rmr_io_op *op)
{
    uint64_t handle;
    const sim_object *o =
        rmri_sim_object_new(s, SIM_LISTENER, program, op->id, &handle);
    if (!o)
        return;
    rmr_io_event ev;
    memset(&ev, 0, sizeof ev);
    ev.err = listen_on(s, handle, op);
    ev.kind = ev.err ? RMR_IO_FAILED : RMR_IO_OPENED;
    ev.id = op->id;
    ev.addr = o->local;
    rmri_sim_tell(s, program, &ev, nothing);
}

static void accept_now(rmr_sim *s, uint64_t listener, uint64_t handle)
{
    sim_object *l = rmri_sim_object(s, listener);
    sim_stream *st = rmri_sim_stream(s, handle);
    if (!st || st->end[1].is_dead)
        return; /* the far end gave up while it waited */
    sim_program *p = rmri_sim_program(s, l->program);
    uint64_t object, id = RMR_IO_ADAPTER_ID | ++p->last_child;
    sim_object *o = rmri_sim_object_new(s, SIM_END, l->program, id, &object);
    if (!o)
        return;
    o->stream = handle;
    o->side = 1;
    st->end[1].object = object;
    st->end[1].id = id;
    st->end[1].program = l->program;
    st->end[1].is_open = true;
    rmr_io_event ev;
    memset(&ev, 0, sizeof ev);
    ev.kind = RMR_IO_ACCEPTED;
    ev.id = l->id;
    ev.child = id;
    ev.addr = told_addr(st, st->seen);
    rmri_sim_tell(s, l->program, &ev, nothing);
    rmri_sim_stream_pump(s, handle, 1);
}

/* One at a time: behind each the machine may pause or close the listener. */
static void accept_waiting(rmr_sim *s, sim_happening *h)
{
    sim_object *l = rmri_sim_object(s, h->a);
    if (!l || l->is_paused || l->n_waiting == 0)
        return;
    uint64_t first = l->waiting[0];
    l->n_waiting--;
    memmove(l->waiting, l->waiting + 1, l->n_waiting * sizeof *l->waiting);
    bool has_more = l->n_waiting > 0;
    accept_now(s, h->a, first);
    if (has_more)
        rmri_sim_happen(s, s->now, accept_waiting, h->a, 0, NULL, 0);
}

void rmri_sim_resume(rmr_sim *s, uint64_t listener)
{
    rmri_sim_object(s, listener)->is_paused = false;
    rmri_sim_happen(s, s->now, accept_waiting, listener, 0, NULL, 0);
}

/* What waits for it is reset, as a kernel does. */
void rmri_sim_listener_close(rmr_sim *s, uint64_t listener)
{
    sim_object *l = rmri_sim_object(s, listener);
    for (size_t i = 0; i < l->n_waiting; i++) {
        sim_stream *st = rmri_sim_stream(s, l->waiting[i]);
        if (st && !st->end[1].is_dead)
            rmri_sim_stream_reset(s, l->waiting[i], 1, RMR_E_RESET);
    }
    l->n_waiting = 0;
}

/* The last part of the handshake has come to the listener. */
static void acked(rmr_sim *s, sim_happening *h)
{
    sim_stream *st = rmri_sim_stream(s, h->a);
    sim_object *l = st ? rmri_sim_object(s, st->listener) : NULL;
    if (!st || st->end[1].is_dead)
        return;
    if (!l) {
        rmri_sim_stream_reset(s, h->a, 1, RMR_E_RESET);
        return;
    }
    if (!l->is_paused && l->n_waiting == 0) {
        accept_now(s, st->listener, h->a);
        return;
    }
    if (!l->waiting)
        l->waiting = rmri_sim_alloc(s, SIM_BACKLOG * sizeof *l->waiting);
    if (l->waiting && l->n_waiting < SIM_BACKLOG)
        l->waiting[l->n_waiting++] = h->a;
    else
        rmri_sim_stream_reset(s, h->a, 1, RMR_E_RESET);
}

/* ---- connecting ---------------------------------------------------------- */

static void connect_failed(rmr_sim *s, uint64_t handle, rmr_err err)
{
    sim_stream *st = rmri_sim_stream(s, handle);
    const sim_object *o = rmri_sim_object(s, st->end[0].object);
    if (o)
        rmri_sim_answer(s, o->program, RMR_IO_FAILED, o->id, err);
    st->end[0].object = 0;
    st->end[0].is_dead = st->end[1].is_dead = true;
    rmri_sim_stream_forget(s, handle);
}

static void refused(rmr_sim *s, sim_happening *h)
{
    if (rmri_sim_stream(s, h->a))
        connect_failed(s, h->a, (rmr_err)(int64_t)h->b);
}

static void opened(rmr_sim *s, sim_happening *h)
{
    sim_stream *st = rmri_sim_stream(s, h->a);
    const sim_object *o = st ? rmri_sim_object(s, st->end[0].object) : NULL;
    if (!o || st->end[0].is_dead)
        return;
    st->end[0].is_open = true;
    rmr_io_event ev;
    memset(&ev, 0, sizeof ev);
    ev.kind = RMR_IO_OPENED;
    ev.id = o->id;
    ev.addr = told_addr(st, st->end[0].local);
    rmri_sim_tell(s, o->program, &ev, nothing);
    rmri_sim_stream_pump(s, h->a, 0);
}

/* The outermost NAT's address, or the host's own. */
static rmr_addr seen_from_outside(rmr_sim *s, const sim_stream *st)
{
    rmr_addr seen = st->end[0].local;
    for (uint32_t i = 0; i < st->path.n_up; i++) {
        sim_gate *g = rmri_sim_gate(s, st->path.up[i]);
        if (!rmri_sim_translates(g, &st->remote))
            continue;
        seen = g->outside[0];
        seen.port = (uint16_t)(1024 + rmri_sim_next(&g->rng) % 64512);
    }
    return seen;
}

static void try_again(rmr_sim *s, sim_happening *h);

static void lost_syn(rmr_sim *s, uint64_t handle, sim_stream *st)
{
    rmr_time at = rmr_time_add(s->now, st->syn_retry);
    st->syn_retry *= 2;
    rmri_sim_happen(s, rmr_time_min(at, st->gives_up), try_again, handle, 0,
                    NULL, 0);
}

/* The three messages of the handshake, each at its own time: the links keep
 * order, and nothing of today may queue behind what leaves tomorrow.  When one
 * is lost it begins anew. */
static void syn_answered(rmr_sim *s, sim_happening *h)
{
    sim_stream *st = rmri_sim_stream(s, h->a);
    rmr_time there;
    if (!st || !rmri_sim_object(s, st->end[0].object))
        return;
    if (!rmri_sim_path_carry(s, st, 0, s->now, 60, &there)) {
        lost_syn(s, h->a, st);
        return;
    }
    st->seen = seen_from_outside(s, st);
    rmri_sim_happen(s, there, acked, h->a, 0, NULL, 0);
    opened(s, h);
}

static void syn_came(rmr_sim *s, sim_happening *h)
{
    sim_stream *st = rmri_sim_stream(s, h->a);
    rmr_time back;
    if (!st || !rmri_sim_object(s, st->end[0].object))
        return;
    if (!rmri_sim_path_carry(s, st, 1, s->now, 60, &back)) {
        lost_syn(s, h->a, st);
        return;
    }
    uint64_t listener =
        st->path.is_local && !st->remote.family
            ? st->listener
            : rmri_sim_bound(s, st->path.to, SIM_TCP, &st->remote);
    if (!rmri_sim_object(s, listener)) {
        rmri_sim_happen(s, back, refused, h->a,
                        (uint64_t)(int64_t)RMR_E_REFUSED, NULL, 0);
        return;
    }
    st->listener = listener;
    rmri_sim_happen(s, back, syn_answered, h->a, 0, NULL, 0);
}

static void shake(rmr_sim *s, uint64_t handle, sim_stream *st)
{
    rmr_time there;
    if (rmri_sim_path_carry(s, st, 0, s->now, 60, &there))
        rmri_sim_happen(s, there, syn_came, handle, 0, NULL, 0);
    else
        lost_syn(s, handle, st);
}

static bool find_way(rmr_sim *s, sim_stream *st)
{
    if (!st->remote.family)
        return true; /* a local endpoint */
    if (!rmri_sim_path_find(s, st->end[0].host, &st->remote, &st->path))
        return false;
    st->end[1].host = st->path.to;
    st->end[1].local = st->remote;
    return true;
}

static void try_again(rmr_sim *s, sim_happening *h)
{
    sim_stream *st = rmri_sim_stream(s, h->a);
    if (!st || !rmri_sim_object(s, st->end[0].object))
        return;
    if (s->now >= st->gives_up)
        connect_failed(s, h->a, RMR_E_TIMEOUT);
    else if (find_way(s, st))
        shake(s, h->a, st);
    else
        lost_syn(s, h->a, st);
}

/* A local endpoint: the path is that of the host to itself. */
static rmr_err dial_name(rmr_sim *s, sim_stream *st, rmr_bytes name)
{
    if (!rmri_sim_name_ok(name))
        return RMR_E_UNSUPPORTED;
    rmr_sim_host host = st->end[0].host;
    st->path.from = st->path.to = host;
    st->path.is_local = true;
    st->end[0].local = rmr_addr_v4(127, 0, 0, 1, 0);
    st->end[1] = st->end[0];
    st->listener = rmri_sim_map_get(
        &s->by_port, (uint64_t)host << 8 | SIM_LOCAL, rmri_sim_digest(name));
    st->end[1].object = 0;
    return st->listener ? RMR_OK : RMR_E_NOTFOUND;
}

static rmr_err dial_addr(rmr_sim *s, sim_stream *st, const rmr_addr *to)
{
    sim_host *h = rmri_sim_host(s, st->end[0].host);
    if (to->family != RMR_AF_INET && to->family != RMR_AF_INET6)
        return RMR_E_UNSUPPORTED;
    if (!to->port || rmri_sim_is_any(to) ||
        !rmri_sim_source(h, to, &st->end[0].local))
        return RMR_E_UNREACHABLE;
    st->end[0].local.port = (uint16_t)(32768 + rmri_sim_next(&h->rng) % 28232);
    st->remote = *to;
    return RMR_OK;
}

static void end_init(sim_end *e, rmr_sim_host host)
{
    e->host = host;
    e->failing_since = RMR_TIME_NEVER;
}

void rmri_sim_connect(rmr_sim *s, uint32_t program, const rmr_io_op *op)
{
    uint64_t object, handle;
    sim_object *o = rmri_sim_object_new(s, SIM_END, program, op->id, &object);
    sim_stream *st = o ? rmr_slots_new(&s->streams, &handle) : NULL;
    if (!st) {
        rmri_sim_fail(s);
        return;
    }
    end_init(&st->end[0], o->host);
    end_init(&st->end[1], 0);
    rmr_err err =
        op->name.len ? dial_name(s, st, op->name) : dial_addr(s, st, &op->addr);
    o->stream = handle;
    st->end[0].object = object;
    st->end[0].id = op->id;
    st->end[0].program = program;
    st->gives_up =
        rmr_time_add(s->now, op->timeout ? op->timeout : CONNECT_TIMEOUT);
    st->syn_retry = SYN_RETRY;
    rmri_sim_happen(s, s->now, err ? refused : try_again, handle,
                    (uint64_t)(int64_t)err, NULL, 0);
}
