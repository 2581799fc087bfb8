/* The bytes of a connection: from the stream through TLS, where there is some,
 * to HTTP or the switch, and back.  What can't be taken now is held, and then
 * no more is read. */
#include "relay_internal.h"

#define RECORD_ROOM ((size_t)17 * 1024) /* a whole record and its frame */

/* ---- in ---------------------------------------------------------------- */

static rmr_err stage_read(rl_conn *c, rmr_time now, rmr_buf data, size_t *used)
{
    if (c->stage == RL_HTTP)
        return rmri_relay_http_read(c, now, rmr_bytes_of(data.ptr, data.len),
                                    used);
    if (c->stage == RL_WEBSOCKET)
        return rmri_relay_websocket_read(c, now, data, used);
    return rmri_relay_switch_read(c, now, data, used);
}

/* To HTTP or to the switch; returns how much was taken. */
static size_t to_app(rl_conn *c, rmr_time now, rmr_buf data)
{
    size_t at = 0;
    while (at < data.len && rmri_relay_conn_reads(c) && !c->blocked) {
        size_t used = 0;
        rmr_buf rest = rmr_buf_of(data.ptr + at, data.len - at);
        rmr_err err = stage_read(c, now, rest, &used);
        at += used;
        if (err != RMR_OK) {
            rmri_relay_conn_leave(c, now, err);
            return data.len;
        }
        if (used == 0) {
            c->blocked = true;
            break;
        }
    }
    /* Behind the last request nothing is read any more. */
    return rmri_relay_conn_reads(c) ? at : data.len;
}

static void deliver(rl_conn *c, rmr_time now)
{
    rmr_buf view;
    while (rmri_relay_conn_reads(c) && !c->blocked &&
           rmr_tls_peek(c->tls, &view) == RMR_OK && view.len > 0) {
        size_t used = to_app(c, now, view);
        if (c->stage != RL_DEAD)
            rmr_tls_consume(c->tls, used);
    }
}

static void tls_trouble(rl_conn *c, rmr_time now)
{
    /* The alert, if there is one, goes out with what is queued. */
    rmri_relay_conn_leave(c, now, RMR_E_CLOSED);
}

static size_t feed_tls(rl_conn *c, rmr_time now, rmr_bytes data)
{
    size_t at = 0;
    bool was_open = rmr_tls_is_open(c->tls);
    while (at < data.len && rmri_relay_conn_reads(c) && !c->blocked) {
        size_t used = 0;
        rmr_err err = rmr_tls_read(
            c->tls, rmr_bytes_of(data.ptr + at, data.len - at), &used);
        at += used;
        if (err != RMR_OK) {
            tls_trouble(c, now);
            return data.len;
        }
        deliver(c, now);
        if (rmri_relay_conn_reads(c) && rmr_tls_is_closed(c->tls))
            rmri_relay_conn_leave(c, now, RMR_OK);
        if (used == 0)
            break; /* it must write first, or has no buffer */
    }
    if (!was_open && c->stage != RL_DEAD && rmr_tls_is_open(c->tls))
        c->r->count.tls_handshakes++;
    return rmri_relay_conn_reads(c) ? at : data.len;
}

static size_t feed(rl_conn *c, rmr_time now, rmr_buf data)
{
    if (!rmri_relay_conn_reads(c))
        return data.len;
    if (c->blocked)
        return 0;
    return c->tls ? feed_tls(c, now, rmr_bytes_of(data.ptr, data.len))
                  : to_app(c, now, data);
}

static void feed_held(rl_conn *c, rmr_time now)
{
    while (c->held.len > 0 && rmri_relay_conn_reads(c)) {
        rmr_bytes view = rmr_ring_peek(&c->held);
        /* The ring's memory is ours; a login is opened in place. */
        size_t used =
            feed(c, now, rmr_buf_of((uint8_t *)(uintptr_t)view.ptr, view.len));
        if (used == 0)
            return;
        rmr_ring_consume(&c->held, used);
    }
}

void rmri_relay_stream_resume(rl_conn *c, rmr_time now)
{
    if (c->stage == RL_DEAD)
        return;
    c->blocked = false;
    if (c->stage == RL_WEBSOCKET && rmri_relay_conn_reads(c)) {
        rmr_err err = rmri_relay_websocket_resume(c, now);
        if (err != RMR_OK)
            rmri_relay_conn_leave(c, now, err);
    }
    if (c->tls && c->stage != RL_DEAD)
        deliver(c, now);
    feed_held(c, now);
    rmri_relay_conn_settle(c, now);
}

/* The first that can't go on ends it: those behind it lack the same. */
static void retry_list(rmr_relay *r, rl_lack lack, rmr_time now)
{
    rl_conn *last = r->starved_tail[lack];
    while (r->starved_head[lack]) {
        rl_conn *c = r->starved_head[lack];
        if (rmr_tls_is_starved(c->tls) && !rmr_tls_can_retry(c->tls))
            return;
        rmri_relay_conn_sate(c);
        feed_held(c, now);
        if (c->stage != RL_DEAD)
            rmr_mc_io_output(c->io);
        /* It may be starved anew, and is the last then. */
        rmri_relay_conn_settle(c, now);
        if (c == last)
            return;
    }
}

void rmri_relay_starved_retry(rmr_relay *r, rmr_time now)
{
    retry_list(r, RL_LACK_OUTPUT, now);
    retry_list(r, RL_LACK_INPUT, now);
}

static void on_bytes(void *owner, rmr_time now, rmr_buf data)
{
    rl_conn *c = owner;
    rmri_relay_stir(c->r);
    size_t used = c->held.len > 0 ? 0 : feed(c, now, data);
    if (rmri_relay_conn_reads(c) && used < data.len &&
        rmr_ring_write_all(
            &c->held, rmr_bytes_of(data.ptr + used, data.len - used)) != RMR_OK)
        rmri_relay_conn_end(c, now, RMR_E_NOMEM);
    rmri_relay_conn_settle(c, now);
}

static void on_eof(void *owner, rmr_time now)
{
    rl_conn *c = owner;
    if (c->tls)
        rmr_tls_read_eof(c->tls);
    /* A client that asks and half-closes still gets its answer. */
    if (c->stage == RL_HTTP && c->out.len > 0)
        rmri_relay_conn_finish(c, now);
    else
        rmri_relay_conn_end(c, now, RMR_OK);
}

static void on_failed(void *owner, rmr_time now, rmr_err why)
{
    rl_conn *c = owner;
    c->io = NULL;
    rmri_relay_conn_end(c, now, why);
}

/* ---- out --------------------------------------------------------------- */

static size_t from_app(rl_conn *c, rmr_time now, rmr_buf dst)
{
    size_t len = 0;
    if (c->out.len > 0)
        len = rmr_ring_read(&c->out, dst.ptr, dst.len);
    if (c->out.len > 0)
        return len;
    rmr_buf rest = rmr_buf_of(dst.ptr + len, dst.len - len);
    if (c->ws)
        len += rmri_relay_websocket_write(c, now, rest);
    else if (c->client.id != 0)
        len += rmri_relay_switch_write(c, now, rest);
    return len;
}

/* The application fills the engine's own buffer, so that many frames share a
 * record and nothing is copied twice. */
static bool fill_record(rl_conn *c, rmr_time now)
{
    bool filled = false;
    rmr_buf place = {0};
    while (rmr_tls_is_open(c->tls) && !c->tls_shut &&
           rmr_tls_reserve(c->tls, &place) == RMR_OK && place.len > 0) {
        size_t len = from_app(c, now, place);
        rmr_tls_commit(c->tls, len);
        if (len == 0)
            break;
        filled = true;
    }
    return filled;
}

static size_t tls_produce(rl_conn *c, rmr_time now, rmr_buf scratch)
{
    size_t total = 0;
    while (c->stage != RL_DEAD && scratch.len - total >= RECORD_ROOM) {
        size_t len = 0;
        bool filled = fill_record(c, now);
        rmr_err err = rmr_tls_write(
            c->tls, rmr_buf_of(scratch.ptr + total, scratch.len - total), &len);
        total += len;
        if (err != RMR_OK || (len == 0 && !filled))
            break;
        if (len > 0)
            feed_held(c, now); /* it may have had to write first */
    }
    return total;
}

static size_t produce_all(rl_conn *c, rmr_time now, rmr_buf scratch)
{
    return c->tls ? tls_produce(c, now, scratch) : from_app(c, now, scratch);
}

static size_t on_produce(void *owner, rmr_time now, rmr_buf scratch)
{
    rl_conn *c = owner;
    size_t len = produce_all(c, now, scratch);
    if (c->stage == RL_DEAD)
        return len;
    if (len == 0 && c->finishing && c->tls && !c->tls_shut) {
        c->tls_shut = true;
        rmr_tls_shutdown(c->tls);
        len = produce_all(c, now, scratch);
    }
    if (len == 0 && c->finishing && !(c->tls && rmr_tls_is_starved(c->tls))) {
        rmri_relay_conn_end(c, now, RMR_OK);
        return 0;
    }
    if (len > 0)
        rmri_relay_stir(c->r); /* buffers became free */
    rmri_relay_conn_settle(c, now);
    return len;
}

static void on_sent(void *owner, rmr_time now)
{
    rl_conn *c = owner;
    size_t given = c->given;
    c->given = 0;
    if (given > 0 && c->client.id != 0)
        rmr_dsw_wrote(c->r->sw, now, c->client, given);
}

const rmr_mc_io_ops rmri_relay_stream_ops = {
    .failed = on_failed,
    .bytes = on_bytes,
    .eof = on_eof,
    .produce = on_produce,
    .sent = on_sent,
};
