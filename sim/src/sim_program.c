/* Programs: machines on hosts, their turns, and the events on their way. */
#include "sim_internal.h"

#include <string.h>

#define OPS_A_TURN 64

/* ---- looking ------------------------------------------------------------- */

sim_program *rmri_sim_program(const rmr_sim *s, uint32_t number)
{
    return number && number <= s->n_programs ? s->programs[number - 1] : NULL;
}

static sim_program *running(const rmr_sim *s, uint32_t number)
{
    sim_program *p = rmri_sim_program(s, number);
    return p && p->is_running ? p : NULL;
}

bool rmr_sim_is_running(const rmr_sim *s, rmr_sim_program program,
                        rmr_err *result)
{
    const sim_program *p = rmri_sim_program(s, program);
    if (result)
        *result = p ? p->result : RMR_OK;
    return p && p->is_running;
}

/* ---- ends ---------------------------------------------------------------- */

static void close_all(rmr_sim *s, uint32_t number, rmr_sim_end how)
{
    uint32_t pos = 0;
    uint64_t handle;
    sim_object *o;
    while ((o = rmr_slots_next(&s->objects, &pos, &handle)) != NULL) {
        if (o->program != number)
            continue;
        if (o->kind == SIM_END)
            rmri_sim_stream_abort(s, o, how == RMR_SIM_POWER_CUT);
        else if (o->kind == SIM_LISTENER)
            rmri_sim_listener_close(s, handle);
        rmri_sim_object_free(s, handle);
    }
    rmri_sim_stores_drop(s, number);
}

/* A stopped machine's streams are still flushed. */
static void stop(rmr_sim *s, uint32_t number, rmr_err result)
{
    sim_program *p = rmri_sim_program(s, number);
    uint32_t pos = 0;
    uint64_t handle;
    sim_object *o;
    p->is_running = false;
    p->result = result;
    while ((o = rmr_slots_next(&s->objects, &pos, &handle)) != NULL)
        if (o->program == number && o->kind == SIM_END) {
            rmri_sim_stream_close(s, o);
            rmri_sim_object_free(s, handle);
        }
    close_all(s, number, RMR_SIM_KILLED);
}

rmr_err rmr_sim_remove(rmr_sim *s, rmr_sim_program program, rmr_sim_end how)
{
    sim_program *p = running(s, program);
    if (!p)
        return RMR_E_BADHANDLE;
    rmri_sim_note(s, 'k', program, how, rmr_bytes_of(NULL, 0));
    p->is_running = false;
    close_all(s, program, how);
    return s->failed;
}

/* True: it was fatal, and the program is gone. */
static bool is_fatal(rmr_sim *s, uint32_t number, rmr_err err)
{
    if (rmr_err_class(err) != RMR_CLASS_FATAL)
        return false;
    sim_program *p = running(s, number);
    if (p) {
        p->is_running = false;
        p->result = err;
        close_all(s, number, RMR_SIM_KILLED);
    }
    return true;
}

/* ---- turns --------------------------------------------------------------- */

static void wake(rmr_sim *s, sim_happening *h);
static void poke(rmr_sim *s, sim_happening *h);

/* A wake that comes too early is put where it belongs, and so a deadline that
 * moves away costs nothing now. */
static void arm(rmr_sim *s, uint32_t number, sim_program *p)
{
    rmr_time at = p->due > s->now ? p->due : s->now;
    if (p->due == RMR_TIME_NEVER || (p->wake_at <= at && p->wake_at >= s->now))
        return;
    p->wake_at = at;
    rmri_sim_happen(s, at, wake, number, at, NULL, 0);
}

static void set_wake(rmr_sim *s, uint32_t number)
{
    sim_program *p = running(s, number);
    if (!p)
        return;
    p->due = p->m.next_deadline(p->m.self);
    arm(s, number, p);
}

static bool spins(rmr_sim *s, sim_program *p)
{
    if (p->turns_at != s->now)
        p->turns = 0;
    p->turns_at = s->now;
    if (++p->turns <= s->c.max_turns)
        return false;
    s->failed = s->failed ? s->failed : RMR_E_INTERNAL;
    return true;
}

static void drain(rmr_sim *s, uint32_t number)
{
    sim_program *p = running(s, number);
    if (!p || spins(s, p))
        return;
    for (int i = 0; i < OPS_A_TURN; i++) {
        rmr_io_op op;
        memset(&op, 0, sizeof op);
        rmr_err err = p->m.next_op(
            p->m.self, s->now, rmr_buf_of(s->scratch, RMR_IO_SCRATCH_MIN), &op);
        if (is_fatal(s, number, err))
            return;
        if (op.kind == RMR_IO_NONE || err) {
            set_wake(s, number);
            return;
        }
        rmri_sim_note(s, 'o', (uint64_t)number << 8 | (uint64_t)op.kind, op.id,
                      op.data);
        if (op.kind == RMR_IO_STOP) {
            stop(s, number, op.err);
            return;
        }
        rmri_sim_perform(s, number, &op);
    }
    rmri_sim_happen(s, s->now, poke, number, 0, NULL, 0);
}

/* The host sleeps: what is for its programs waits until it wakes. */
static bool is_put_off(rmr_sim *s, const sim_program *p, sim_happening *h)
{
    const sim_host *host = rmri_sim_host(s, p->host);
    if (!rmri_sim_sleeps(s, host))
        return false;
    rmri_sim_happen(s, host->sleeps_until, h->run, h->a, h->b, h->ptr, h->size);
    h->ptr = NULL;
    return true;
}

static void poke(rmr_sim *s, sim_happening *h)
{
    const sim_program *p = running(s, (uint32_t)h->a);
    if (p && !is_put_off(s, p, h))
        drain(s, (uint32_t)h->a);
}

static void wake(rmr_sim *s, sim_happening *h)
{
    uint32_t number = (uint32_t)h->a;
    sim_program *p = running(s, number);
    if (!p || p->wake_at != h->b)
        return; /* an earlier one took its place */
    if (is_put_off(s, p, h))
        return;
    p->wake_at = RMR_TIME_NEVER;
    if (p->due > s->now) { /* it had a turn since, and the machine need not be
                              asked again */
        arm(s, number, p);
    } else if (p->m.next_deadline(p->m.self) <= s->now) {
        rmri_sim_note(s, 'd', number, 0, rmr_bytes_of(NULL, 0));
        if (is_fatal(s, number, p->m.handle_deadline(p->m.self, s->now)))
            return;
        drain(s, number);
    } else {
        set_wake(s, number);
    }
}

/* ---- events -------------------------------------------------------------- */

void rmri_sim_give(rmr_sim *s, uint32_t program, const rmr_io_event *ev)
{
    sim_program *p = running(s, program);
    if (!p)
        return;
    rmri_sim_note(s, 'e', (uint64_t)program << 8 | (uint64_t)ev->kind, ev->id,
                  rmr_bytes_of(ev->data.ptr, ev->data.len));
    if (!is_fatal(s, program, p->m.event(p->m.self, s->now, ev)))
        drain(s, program);
}

static void give_links(rmr_sim *s, uint32_t program, rmr_io_event *ev)
{
    const sim_host *h = rmri_sim_host(s, rmri_sim_program(s, program)->host);
    const sim_gate *g = rmri_sim_gate(s, h->net);
    rmr_addr gateways[2];
    rmr_io_links links;
    memset(&links, 0, sizeof links);
    links.addrs = h->addrs;
    links.n_addrs = h->n_addrs;
    links.gateways = gateways;
    if (g && g->c.inside.family && h->n_addrs)
        gateways[links.n_gateways++] = g->c.inside;
    if (g && g->c.inside6.family && h->n_addrs)
        gateways[links.n_gateways++] = g->c.inside6;
    links.name_servers = h->servers;
    links.n_name_servers = h->n_servers;
    links.hosts = rmr_bytes_of(s->hosts_text, s->hosts_len);
    ev->links = &links;
    rmri_sim_give(s, program, ev);
}

/* What comes of an object that is closed by then is told no more. */
static void told(rmr_sim *s, sim_happening *h)
{
    uint32_t program = (uint32_t)h->a;
    const sim_program *p = running(s, program);
    sim_told *t = h->ptr;
    uint64_t handle;
    if (!p || is_put_off(s, p, h))
        return;
    t->ev.data.ptr = t->data;
    if (t->ev.kind == RMR_IO_LINKS) {
        give_links(s, program, &t->ev);
        return;
    }
    if (t->ev.kind == RMR_IO_WALL)
        t->ev.wall_unix_ns = rmr_sim_host_wall(s, p->host);
    else if (t->ev.id && !rmri_sim_object_of(s, program, t->ev.id, &handle))
        return;
    bool is_last = t->ev.kind == RMR_IO_FAILED || t->ev.kind == RMR_IO_STORED ||
                   (t->ev.kind == RMR_IO_LOADED && !t->ev.more);
    if (t->ev.id && is_last)
        rmri_sim_object_free(s, handle);
    rmri_sim_give(s, program, &t->ev);
}

void rmri_sim_tell(rmr_sim *s, uint32_t program, const rmr_io_event *ev,
                   rmr_bytes data)
{
    sim_told *t = rmri_sim_alloc(s, sizeof *t + data.len);
    if (!t)
        return;
    t->ev = *ev;
    t->ev.data.len = data.len;
    if (data.len)
        memcpy(t->data, data.ptr, data.len);
    rmri_sim_happen(s, s->now, told, program, 0, t, sizeof *t + data.len);
}

/* A bare SENT, which is the most of what is told, needs no memory. */
static void sent(rmr_sim *s, sim_happening *h)
{
    uint32_t program = (uint32_t)h->a;
    const sim_program *p = running(s, program);
    uint64_t handle;
    if (!p || is_put_off(s, p, h) ||
        !rmri_sim_object_of(s, program, h->b, &handle))
        return;
    rmr_io_event ev;
    memset(&ev, 0, sizeof ev);
    ev.kind = RMR_IO_SENT;
    ev.id = h->b;
    rmri_sim_give(s, program, &ev);
}

void rmri_sim_answer(rmr_sim *s, uint32_t program, rmr_io_event_kind kind,
                     uint64_t id, rmr_err err)
{
    if (kind == RMR_IO_SENT && id && !err) {
        rmri_sim_happen(s, s->now, sent, program, id, NULL, 0);
        return;
    }
    rmr_io_event ev;
    memset(&ev, 0, sizeof ev);
    ev.kind = kind;
    ev.id = id;
    ev.err = err;
    rmri_sim_tell(s, program, &ev, rmr_bytes_of(NULL, 0));
}

/* ---- the public calls ---------------------------------------------------- */

rmr_err rmr_sim_add(rmr_sim *s, rmr_sim_host host, const rmr_machine *m,
                    rmr_sim_program *out)
{
    *out = 0;
    if (!rmri_sim_host(s, host))
        return RMR_E_BADHANDLE;
    sim_program *p = NULL;
    if (rmri_sim_grow(s, (void **)&s->programs, &s->cap_programs,
                      s->n_programs + 1, sizeof(sim_program *)))
        p = rmri_sim_alloc(s, sizeof *p);
    if (!p)
        return RMR_E_NOMEM;
    p->m = *m;
    p->host = host;
    p->is_running = true;
    p->wake_at = p->due = RMR_TIME_NEVER;
    s->programs[s->n_programs++] = p;
    *out = (rmr_sim_program)s->n_programs;
    rmri_sim_answer(s, *out, RMR_IO_WALL, 0, RMR_OK);
    rmri_sim_answer(s, *out, RMR_IO_LINKS, 0, RMR_OK);
    return s->failed;
}

rmr_err rmr_sim_request_stop(rmr_sim *s, rmr_sim_program program)
{
    if (!running(s, program))
        return RMR_E_BADHANDLE;
    rmri_sim_answer(s, program, RMR_IO_STOP_REQUEST, 0, RMR_OK);
    return s->failed;
}

rmr_err rmr_sim_poke(rmr_sim *s, rmr_sim_program program)
{
    if (!running(s, program))
        return RMR_E_BADHANDLE;
    rmri_sim_happen(s, s->now, poke, program, 0, NULL, 0);
    return s->failed;
}

void rmri_sim_programs_free(rmr_sim *s)
{
    uint32_t pos = 0;
    uint64_t handle;
    while (rmr_slots_next(&s->objects, &pos, &handle))
        rmri_sim_object_free(s, handle);
    rmr_slots_wipe(&s->objects);
    rmri_sim_map_wipe(&s->by_id, &s->c.alloc);
    rmri_sim_map_wipe(&s->by_port, &s->c.alloc);
    for (size_t i = 0; i < s->n_programs; i++) {
        rmri_sim_stores_drop(s, (uint32_t)i + 1);
        rmr_release(&s->c.alloc, s->programs[i], sizeof *s->programs[i]);
    }
    rmr_release(&s->c.alloc, s->programs,
                s->cap_programs * sizeof(sim_program *));
}
