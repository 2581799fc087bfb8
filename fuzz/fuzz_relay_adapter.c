/* The adapter of fuzz_relay's relay, and its time. */
#include "fuzz_relay_world.h"

#include <stdlib.h>
#include <string.h>

void fr_give(world *w, const rmr_io_event *ev)
{
    rmr_err err = w->m.event(w->m.self, w->now, ev);
    need(err == RMR_OK);
}

void fr_answer(world *w, rmr_io_event_kind kind, uint64_t id, rmr_err err)
{
    rmr_io_event ev = {0};
    ev.kind = kind;
    ev.id = id;
    ev.err = err;
    fr_give(w, &ev);
}

static stream *stream_of(world *w, uint64_t id)
{
    for (int i = 0; i < CLIENTS; i++)
        if (w->c[i].s.id == id)
            return &w->c[i].s;
    for (int i = 0; i < DIALS; i++)
        if (w->d[i].s.id == id)
            return &w->d[i].s;
    return NULL;
}

void fr_stream_begin(stream *s, uint64_t id)
{
    memset(s, 0, offsetof(stream, in));
    s->id = id;
}

static void open_door(world *w, const rmr_io_op *op)
{
    rmr_io_event ev = {0};
    static const uint16_t ports[RL_DOORS] = {3340, 80, 9090, 3478};
    for (int i = 0; i < RL_DOORS; i++)
        if (op->addr.port == ports[i])
            w->door[i] = op->id;
    ev.kind = RMR_IO_OPENED;
    ev.id = op->id;
    ev.addr = op->addr;
    fr_give(w, &ev);
}

static void connect_out(world *w, const rmr_io_op *op)
{
    for (int i = 0; i < DIALS; i++) {
        dial *d = &w->d[i];
        if (d->s.id != 0)
            continue;
        fr_stream_begin(&d->s, op->id);
        d->s.dialling = true;
        d->s.port = op->addr.port;
        d->s.dial_by = rmr_time_add(w->now, op->timeout);
        d->head_done = false;
        d->head_tail = 0;
        memset(&d->out, 0, sizeof d->out);
        return;
    }
    fr_answer(w, RMR_IO_FAILED, op->id, RMR_E_REFUSED);
}

static void stream_send(world *w, const rmr_io_op *op)
{
    stream *s = stream_of(w, op->id);
    need(s && !s->sending && !s->shut && !s->dialling && op->data.len > 0);
    for (int i = 0; i < CLIENTS; i++)
        if (s == &w->c[i].s)
            fr_hear_stream(w, &w->c[i], op->data);
    for (int i = 0; i < DIALS; i++)
        if (s == &w->d[i].s && s->port == 8080)
            fr_hear_mesh(w, &w->d[i], op->data);
    s->sending = true;
    s->sending_since = w->now;
    if (!s->stalled) {
        s->sending = false;
        fr_answer(w, RMR_IO_SENT, op->id, RMR_OK);
    }
}

static void close_any(world *w, uint64_t id)
{
    stream *s = stream_of(w, id);
    for (int i = 0; i < RL_DOORS; i++)
        if (w->door[i] == id)
            w->door[i] = 0;
    if (s)
        s->id = 0;
}

static void perform(world *w, const rmr_io_op *op)
{
    stream *s = NULL;
    switch (op->kind) {
    case RMR_IO_LISTEN:
    case RMR_IO_UDP_OPEN:
        open_door(w, op);
        break;
    case RMR_IO_CONNECT:
        connect_out(w, op);
        break;
    case RMR_IO_READ:
        s = stream_of(w, op->id);
        need(s && op->credit > 0);
        s->credit += op->credit;
        need(s->credit <= (s->port ? DIAL_CREDIT : RL_CREDIT));
        break;
    case RMR_IO_STREAM_SEND:
        stream_send(w, op);
        break;
    case RMR_IO_UDP_SEND:
        need(op->data.len <= 64);
        break;
    case RMR_IO_SHUTDOWN:
        s = stream_of(w, op->id);
        need(s != NULL);
        s->shut = true;
        break;
    case RMR_IO_CLOSE:
    case RMR_IO_ABORT:
        close_any(w, op->id);
        break;
    case RMR_IO_STOP:
        w->stopped = true;
        break;
    default:
        break;
    }
}

void fr_turn(world *w)
{
    for (int i = 0; i < 100000; i++) {
        rmr_io_op op;
        need(w->m.next_op(w->m.self, w->now,
                          rmr_buf_of(w->scratch, sizeof w->scratch),
                          &op) == RMR_OK);
        if (op.kind == RMR_IO_NONE)
            return;
        perform(w, &op);
    }
    need(false); /* it never comes to rest */
}

/* As much as the credit allows, in pieces. */
static void deliver(world *w, stream *s)
{
    size_t at = 0;
    uint64_t id = s->id;
    while (s->id != 0 && s->id == id && at < s->in_len && s->credit > 0) {
        rmr_io_event ev = {0};
        size_t n = s->in_len - at;
        n = n < s->credit ? n : s->credit;
        n = n < w->step ? n : w->step;
        uint8_t *copy = malloc(n);
        need(copy != NULL);
        memcpy(copy, s->in + at, n);
        s->credit -= n;
        at += n;
        ev.kind = RMR_IO_BYTES;
        ev.id = s->id;
        ev.data = rmr_buf_of(copy, n);
        fr_give(w, &ev);
        free(copy);
        fr_turn(w);
    }
    memmove(s->in, s->in + at, s->in_len - at);
    s->in_len -= at;
}

void fr_deliver_client(world *w, client *c)
{
    for (int i = 0; i < 10; i++) {
        if (c->s.id != 0 && c->tls && !c->wild)
            fr_tls_out(c);
        size_t left = c->s.in_len;
        deliver(w, &c->s);
        if (!c->tls || c->s.id == 0 || c->s.in_len == left)
            break;
    }
}

void fr_deliver_all(world *w)
{
    for (int i = 0; i < CLIENTS; i++)
        fr_deliver_client(w, &w->c[i]);
    for (int i = 0; i < DIALS; i++)
        deliver(w, &w->d[i].s);
}

bool fr_say(stream *s, const uint8_t *p, size_t n)
{
    if (s->id == 0 || s->ended || s->dialling || n > IN_MAX - s->in_len)
        return false;
    memcpy(s->in + s->in_len, p, n);
    s->in_len += n;
    return true;
}

bool fr_say_client(client *c, const uint8_t *p, size_t n)
{
    if (!c->tls || c->wild)
        return fr_say(&c->s, p, n);
    if (c->s.id == 0 || c->s.ended || n > IN_MAX - c->plain_len)
        return false;
    memcpy(c->plain + c->plain_len, p, n);
    c->plain_len += n;
    return true;
}

/* ---- time ---------------------------------------------------------------- */

static void dials_time_out(world *w)
{
    for (int i = 0; i < DIALS; i++) {
        stream *s = &w->d[i].s;
        uint64_t id = s->id;
        if (id == 0 || !s->dialling || s->dial_by > w->now)
            continue;
        s->id = 0;
        fr_answer(w, RMR_IO_FAILED, id, RMR_E_TIMEOUT);
    }
}

static void check_stalls(world *w)
{
    for (int i = 0; i < CLIENTS; i++) {
        const stream *s = &w->c[i].s;
        need(s->id == 0 || !s->sending ||
             rmr_time_since(w->now, s->sending_since) < STALL_MAX);
    }
}

void fr_sleep_for(world *w, rmr_dur d)
{
    rmr_time end = rmr_time_add(w->now, d);
    int left = 20000;
    while (!w->stopped && left-- > 0) {
        rmr_time at = w->m.next_deadline(w->m.self);
        for (int i = 0; i < DIALS; i++)
            if (w->d[i].s.id != 0 && w->d[i].s.dialling)
                at = rmr_time_min(at, w->d[i].s.dial_by);
        if (at > end)
            break;
        if (at > w->now)
            w->now = at;
        dials_time_out(w);
        need(w->m.handle_deadline(w->m.self, w->now) == RMR_OK);
        fr_turn(w);
        fr_deliver_all(w);
        need(w->stopped || w->m.next_deadline(w->m.self) > w->now);
    }
    need(left > 0);
    w->now = end;
    check_stalls(w);
}
