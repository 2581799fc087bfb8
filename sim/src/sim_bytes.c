/* Streams: their bytes, credit and ends. */
#include "sim_internal.h"

#include <string.h>

#define FIRST_RETRY (20 * RMR_MS) /* and not before a round trip is over */
#define LONGEST_RETRY (5 * RMR_SEC)
#define MOST_A_TURN ((size_t)64 * 1024)

static void deliver(rmr_sim *s, sim_happening *h);

/* ---- pieces -------------------------------------------------------------- */

static sim_piece *piece_new(rmr_sim *s, rmr_bytes b)
{
    sim_piece *p = rmri_sim_alloc(s, sizeof *p + b.len);
    if (!p)
        return NULL;
    p->len = b.len;
    if (b.len)
        memcpy(p->data, b.ptr, b.len);
    return p;
}

static void piece_free(rmr_sim *s, sim_piece *p)
{
    rmr_release(&s->c.alloc, p, sizeof *p + p->len);
}

static void fifo_put(sim_fifo *f, sim_piece *p)
{
    p->next = NULL;
    if (f->last)
        f->last->next = p;
    else
        f->first = p;
    f->last = p;
    f->len += p->len - p->at;
}

static void fifo_drop(rmr_sim *s, sim_fifo *f, size_t n)
{
    f->len -= n;
    while (f->first && (n || f->first->at == f->first->len)) {
        sim_piece *p = f->first;
        size_t part = p->len - p->at < n ? p->len - p->at : n;
        p->at += part;
        n -= part;
        if (p->at < p->len)
            return;
        f->first = p->next;
        if (!f->first)
            f->last = NULL;
        piece_free(s, p);
    }
}

/* n bytes of the first piece, as a piece of their own; NULL: no memory. */
static sim_piece *cut(rmr_sim *s, sim_fifo *f, size_t n)
{
    sim_piece *p = f->first;
    if (p->at == 0 && n == p->len) {
        f->first = p->next;
        if (!f->first)
            f->last = NULL;
        f->len -= n;
        return p;
    }
    sim_piece *part = piece_new(s, rmr_bytes_of(p->data + p->at, n));
    if (part)
        fifo_drop(s, f, n);
    return part;
}

static void fifo_wipe(rmr_sim *s, sim_fifo *f)
{
    fifo_drop(s, f, f->len);
}

/* ---- the end of it ------------------------------------------------------- */

static bool is_over(const sim_end *e)
{
    return e->is_dead || (e->is_closed && e->fin_sent);
}

/* Both ends are: what is still on its way finds nothing. */
void rmri_sim_stream_forget(rmr_sim *s, uint64_t handle)
{
    sim_stream *st = rmri_sim_stream(s, handle);
    if (!st || !is_over(&st->end[0]) || !is_over(&st->end[1]))
        return;
    /* An end that closed in order may still have bytes on the way. */
    if (!st->end[0].is_dead && !st->end[1].is_dead &&
        (st->end[0].on_way || st->end[1].on_way))
        return;
    for (int i = 0; i < 2; i++) {
        if (st->end[i].object)
            return; /* its program has not been told yet */
        fifo_wipe(s, &st->end[i].in);
        fifo_wipe(s, &st->end[i].out);
    }
    rmr_slots_free(&s->streams, handle);
}

void rmri_sim_streams_free(rmr_sim *s)
{
    uint32_t pos = 0;
    uint64_t handle;
    sim_stream *st;
    while ((st = rmr_slots_next(&s->streams, &pos, &handle)) != NULL) {
        for (int i = 0; i < 2; i++) {
            fifo_wipe(s, &st->end[i].in);
            fifo_wipe(s, &st->end[i].out);
        }
    }
    rmr_slots_wipe(&s->streams);
}

bool rmr_sim_is_flushing(const rmr_sim *s, rmr_sim_program program)
{
    uint32_t pos = 0;
    uint64_t handle;
    const sim_stream *st;
    while ((st = rmr_slots_next(&s->streams, &pos, &handle)) != NULL)
        for (int i = 0; i < 2; i++)
            if (st->end[i].program == program && st->end[i].is_closed &&
                !is_over(&st->end[i]))
                return true;
    return false;
}

static void wake_reader(rmr_sim *s, uint64_t handle, int side)
{
    sim_end *e = &rmri_sim_stream(s, handle)->end[side];
    if (e->deliver_due)
        return;
    e->deliver_due = true;
    rmri_sim_happen(s, s->now, deliver, handle, (uint64_t)side, NULL, 0);
}

/* The end is gone, and its program hears RESET. */
static void die(rmr_sim *s, uint64_t handle, int side, rmr_err why)
{
    sim_end *e = &rmri_sim_stream(s, handle)->end[side];
    if (e->is_dead)
        return;
    e->is_dead = true;
    e->reset_came = true;
    e->reset_err = why;
    fifo_wipe(s, &e->out);
    fifo_wipe(s, &e->in);
    rmri_sim_host(s, e->host)->stats.streams_broken++;
    if (e->object)
        wake_reader(s, handle, side);
    else
        rmri_sim_stream_forget(s, handle);
}

static void reset_came(rmr_sim *s, sim_happening *h)
{
    if (rmri_sim_stream(s, h->a))
        die(s, h->a, (int)h->b, RMR_E_RESET);
}

/* One reset to the other end; like a packet it may be lost. */
static void send_reset(rmr_sim *s, uint64_t handle, int from)
{
    rmr_time at;
    const sim_stream *st = rmri_sim_stream(s, handle);
    if (rmri_sim_path_carry(s, st, from, s->now, 40, &at))
        rmri_sim_happen(s, at, reset_came, handle, (uint64_t)!from, NULL, 0);
}

/* This end gives the stream up and says so to the other. */
void rmri_sim_stream_reset(rmr_sim *s, uint64_t handle, int side, rmr_err err)
{
    send_reset(s, handle, side);
    die(s, handle, side, err);
}

/* ---- sending ------------------------------------------------------------- */

static void window_opens(rmr_sim *s, sim_happening *h)
{
    sim_stream *st = rmri_sim_stream(s, h->a);
    if (!st)
        return;
    int side = (int)(h->b & 1);
    st->end[side].on_way -= (size_t)(h->b >> 1);
    rmri_sim_stream_pump(s, h->a, side);
    rmri_sim_stream_forget(s, h->a);
}

/* The far machine took n bytes: the sender hears of it a way back later. */
static void open_window(rmr_sim *s, uint64_t handle, int side, size_t n)
{
    rmr_time at = s->now;
    const sim_stream *st = rmri_sim_stream(s, handle);
    (void)rmri_sim_path_carry(s, st, !side, s->now, 40, &at);
    rmri_sim_happen(s, at, window_opens, handle,
                    (uint64_t)n << 1 | (uint64_t)side, NULL, 0);
}

/* A piece, a FIN, at the far end. */
static void piece_came(rmr_sim *s, sim_happening *h)
{
    sim_stream *st = rmri_sim_stream(s, h->a);
    int side = (int)(h->b & 1);
    if (!st)
        return;
    sim_end *e = &st->end[side];
    sim_piece *p = h->ptr;
    if (e->is_dead) {
        send_reset(s, h->a, side); /* it has forgotten that stream */
        return;
    }
    if (h->b & 2)
        e->fin_came = true;
    if (p && e->is_closed) {
        /* Nobody reads it; who had the end of ours is told so. */
        if (st->end[!side].eof_told)
            send_reset(s, h->a, side);
        open_window(s, h->a, !side, p->len);
    } else if (p) {
        rmri_sim_host(s, e->host)->stats.stream_rx_bytes += p->len;
        h->ptr = NULL;
        fifo_put(&e->in, p);
    }
    if (!e->is_closed)
        wake_reader(s, h->a, side);
}

static void retry(rmr_sim *s, sim_happening *h)
{
    sim_stream *st = rmri_sim_stream(s, h->a);
    if (!st)
        return;
    st->end[h->b].waits = false;
    rmri_sim_stream_pump(s, h->a, (int)h->b);
}

static void lost(rmr_sim *s, uint64_t handle, int side)
{
    sim_end *e = &rmri_sim_stream(s, handle)->end[side];
    if (e->failing_since == RMR_TIME_NEVER) {
        e->failing_since = s->now;
        rmr_dur trip = 2 * rmr_time_since(e->last_arrival, s->now);
        e->retry = trip > FIRST_RETRY ? trip : FIRST_RETRY;
    }
    if (rmr_time_since(s->now, e->failing_since) >= s->c.stream_patience) {
        rmri_sim_stream_reset(s, handle, side, RMR_E_TIMEOUT);
        return;
    }
    rmr_time at = rmr_time_add(s->now, e->retry);
    e->retry = e->retry * 2 > LONGEST_RETRY ? LONGEST_RETRY : e->retry * 2;
    e->waits = true;
    rmri_sim_happen(s, at, retry, handle, (uint64_t)side, NULL, 0);
}

/* One piece of `n` bytes, or the FIN, goes; false: it was lost. */
static bool send_piece(rmr_sim *s, uint64_t handle, int side, size_t n,
                       bool is_fin)
{
    sim_stream *st = rmri_sim_stream(s, handle);
    sim_end *e = &st->end[side];
    sim_piece *p = NULL;
    rmr_time at;
    if (!rmri_sim_path_carry(s, st, side, s->now, n + 40, &at)) {
        lost(s, handle, side);
        return false;
    }
    e->failing_since = RMR_TIME_NEVER;
    e->last_arrival = at > e->last_arrival ? at : e->last_arrival;
    if (n) {
        p = cut(s, &e->out, n);
        if (!p)
            return false;
    }
    e->on_way += n;
    rmri_sim_host(s, e->host)->stats.stream_tx_bytes += n;
    rmri_sim_happen(s, e->last_arrival, piece_came, handle,
                    (uint64_t)!side | (is_fin ? 2u : 0u), p,
                    p ? sizeof *p + n : 0);
    return true;
}

static void finish(rmr_sim *s, uint64_t handle, int side)
{
    sim_end *e = &rmri_sim_stream(s, handle)->end[side];
    if (e->is_sending && e->object)
        rmri_sim_answer(s, e->program, RMR_IO_SENT, e->id, RMR_OK);
    e->is_sending = false;
    if (!e->is_shut || e->fin_sent || !send_piece(s, handle, side, 0, true))
        return;
    e->fin_sent = true;
    rmri_sim_stream_forget(s, handle);
}

void rmri_sim_stream_pump(rmr_sim *s, uint64_t handle, int side)
{
    sim_end *e = &rmri_sim_stream(s, handle)->end[side];
    if (e->is_dead || !e->is_open)
        return;
    while (e->out.len && !e->waits && e->on_way < s->c.stream_window) {
        size_t n = e->out.first->len - e->out.first->at;
        size_t room = s->c.stream_window - e->on_way;
        n = n < room ? n : room;
        n = n < SIM_CHUNK ? n : SIM_CHUNK;
        if (!send_piece(s, handle, side, n, false))
            return;
    }
    if (!e->out.len && !e->waits)
        finish(s, handle, side);
}

/* ---- delivering ---------------------------------------------------------- */

static void give_reset(rmr_sim *s, uint64_t handle, sim_end *e)
{
    rmr_io_event ev;
    uint64_t object = e->object;
    memset(&ev, 0, sizeof ev);
    ev.kind = RMR_IO_RESET;
    ev.id = e->id;
    ev.err = e->reset_err;
    uint32_t program = e->program;
    e->object = 0;
    rmri_sim_object_free(s, object);
    rmri_sim_stream_forget(s, handle);
    rmri_sim_give(s, program, &ev);
}

static void give_bytes(rmr_sim *s, uint64_t handle, int side)
{
    sim_end *e = &rmri_sim_stream(s, handle)->end[side];
    sim_piece *p = e->in.first;
    size_t n = p->len - p->at;
    n = n < e->credit ? n : e->credit;
    n = n < MOST_A_TURN ? n : MOST_A_TURN;
    /* Taken out first: the machine may close the stream in its turn. */
    sim_piece *own = NULL;
    uint8_t *data = p->data + p->at;
    if (p->at + n == p->len) {
        own = p;
        e->in.first = p->next;
        if (!e->in.first)
            e->in.last = NULL;
    } else {
        own = piece_new(s, rmr_bytes_of(data, n));
        if (!own)
            return;
        data = own->data;
        p->at += n;
    }
    e->in.len -= n;
    if (e->credit != SIZE_MAX)
        e->credit -= n;
    if (e->in.len || e->fin_came)
        wake_reader(s, handle, side);
    open_window(s, handle, !side, n);
    rmr_io_event ev;
    memset(&ev, 0, sizeof ev);
    ev.kind = RMR_IO_BYTES;
    ev.id = e->id;
    ev.data = rmr_buf_of(data, n);
    rmri_sim_give(s, e->program, &ev);
    piece_free(s, own);
}

/* The end knows its object's id and program, so that this is not looked at. */
static void deliver(rmr_sim *s, sim_happening *h)
{
    sim_stream *st = rmri_sim_stream(s, h->a);
    if (!st)
        return;
    sim_end *e = &st->end[h->b];
    const sim_host *host = rmri_sim_host(s, e->host);
    if (rmri_sim_sleeps(s, host)) {
        rmri_sim_happen(s, host->sleeps_until, deliver, h->a, h->b, NULL, 0);
        return;
    }
    e->deliver_due = false;
    if (!e->object || !e->is_open)
        return;
    if (e->reset_came) {
        give_reset(s, h->a, e);
    } else if (e->in.len && e->credit) {
        give_bytes(s, h->a, (int)h->b);
    } else if (!e->in.len && e->fin_came && !e->eof_told && e->credit) {
        rmr_io_event ev;
        memset(&ev, 0, sizeof ev);
        ev.kind = RMR_IO_EOF;
        ev.id = e->id;
        e->eof_told = true;
        rmri_sim_give(s, e->program, &ev);
    }
}

/* ---- what the machine asks for ------------------------------------------- */

static sim_end *end_of(const rmr_sim *s, const sim_object *o)
{
    return &rmri_sim_stream(s, o->stream)->end[o->side];
}

void rmri_sim_stream_send(rmr_sim *s, sim_object *o, rmr_bytes data)
{
    sim_end *e = end_of(s, o);
    if (e->is_dead || e->is_shut)
        return;
    if (data.len) {
        sim_piece *p = piece_new(s, data);
        if (!p)
            return;
        fifo_put(&e->out, p);
    }
    e->is_sending = true;
    rmri_sim_stream_pump(s, o->stream, o->side);
}

void rmri_sim_stream_read(rmr_sim *s, sim_object *o, size_t credit)
{
    sim_end *e = end_of(s, o);
    e->credit = credit > SIZE_MAX - e->credit ? SIZE_MAX : e->credit + credit;
    wake_reader(s, o->stream, o->side);
}

void rmri_sim_stream_shut(rmr_sim *s, sim_object *o)
{
    sim_end *e = end_of(s, o);
    e->is_shut = true;
    rmri_sim_stream_pump(s, o->stream, o->side);
}

/* A stream that is not open yet is given up: nothing was sent on it. */
void rmri_sim_stream_close(rmr_sim *s, sim_object *o)
{
    sim_end *e = end_of(s, o);
    uint64_t handle = o->stream;
    int side = o->side;
    size_t unread = e->in.len;
    e->object = 0;
    e->is_closed = true;
    e->is_sending = false;
    e->is_shut = true;
    if (!e->is_open && side == 0) {
        sim_stream *st = rmri_sim_stream(s, handle);
        st->end[1].is_dead = st->listener == 0; /* it has heard nothing yet */
        rmri_sim_stream_reset(s, handle, side, RMR_E_RESET);
        return;
    }
    fifo_wipe(s, &e->in);
    if (unread)
        open_window(s, handle, !side, unread);
    rmri_sim_stream_pump(s, handle, side);
    rmri_sim_stream_forget(s, handle);
}

void rmri_sim_stream_abort(rmr_sim *s, sim_object *o, bool silently)
{
    sim_end *e = end_of(s, o);
    e->object = 0;
    if (silently)
        die(s, o->stream, o->side, RMR_E_RESET);
    else
        rmri_sim_stream_reset(s, o->stream, o->side, RMR_E_RESET);
}
