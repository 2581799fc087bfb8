#include "rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the adapter ------------------------------------------------------- */

static void give(rig *r, const rmr_io_event *ev)
{
    assert_int_equal(r->m.event(r->m.self, r->now, ev), RMR_OK);
}

static void answer(rig *r, rmr_io_event_kind kind, uint64_t id, rmr_err err)
{
    rmr_io_event ev = {0};
    ev.kind = kind;
    ev.id = id;
    ev.err = err;
    give(r, &ev);
}

static rig_stream *stream_of(rig *r, uint64_t id)
{
    for (size_t i = 0; i < RIG_STREAMS; i++)
        if (r->s[i].used && r->s[i].id == id)
            return &r->s[i];
    return NULL;
}

static rig_stream *stream_new(rig *r, uint64_t id)
{
    for (size_t i = 0; i < RIG_STREAMS; i++) {
        if (r->s[i].used)
            continue;
        r->s[i].used = true;
        r->s[i].id = id;
        return &r->s[i];
    }
    fail_msg("no stream left");
    return NULL;
}

static void door_open(rig *r, const rmr_io_op *op)
{
    rig_door *d = &r->door[r->n_doors];
    rmr_io_event ev = {0};
    if (r->listen_err != RMR_OK) {
        answer(r, RMR_IO_FAILED, op->id, r->listen_err);
        return;
    }
    r->n_doors++;
    d->id = op->id;
    d->at = op->addr;
    d->unacked = op->timeout;
    d->open = true;
    ev.kind = RMR_IO_OPENED;
    ev.id = op->id;
    ev.addr = op->addr;
    give(r, &ev);
}

static void load(rig *r, const rmr_io_op *op)
{
    size_t half = r->blob_len / 2;
    rmr_io_event ev = {0};
    assert_true(rmr_bytes_eq_str(op->name, RMR_RELAY_KEY_BLOB));
    if (r->load_err != RMR_OK || !r->has_blob) {
        answer(r, RMR_IO_FAILED, op->id,
               r->load_err ? r->load_err : RMR_E_NOTFOUND);
        return;
    }
    ev.kind = RMR_IO_LOADED;
    ev.id = op->id;
    ev.data = rmr_buf_of(r->blob, half);
    ev.more = true;
    give(r, &ev);
    ev.data = rmr_buf_of(r->blob + half, r->blob_len - half);
    ev.more = false;
    give(r, &ev);
}

static void store(rig *r, const rmr_io_op *op)
{
    if (r->store_err != RMR_OK) {
        answer(r, RMR_IO_FAILED, op->id, r->store_err);
        return;
    }
    assert_true(op->data.len <= sizeof r->blob && !op->more);
    memcpy(r->blob, op->data.ptr, op->data.len);
    r->blob_len = op->data.len;
    r->has_blob = true;
    answer(r, RMR_IO_STORED, op->id, RMR_OK);
}

static void stream_send(rig *r, const rmr_io_op *op)
{
    rig_stream *s = stream_of(r, op->id);
    assert_non_null(s);
    assert_false(s->sending);
    assert_false(s->closed);
    assert_true(op->data.len > 0);
    if (s->out_len + op->data.len + 1 > s->out_cap) {
        s->out_cap = 2 * (s->out_len + op->data.len + 1);
        s->out = realloc(s->out, s->out_cap);
        assert_non_null(s->out);
    }
    memcpy(s->out + s->out_len, op->data.ptr, op->data.len);
    s->out_len += op->data.len;
    s->sends++;
    if (s->stalled)
        s->sending = true;
    else
        answer(r, RMR_IO_SENT, op->id, RMR_OK);
}

static void close_any(rig *r, const rmr_io_op *op)
{
    rig_stream *s = stream_of(r, op->id);
    for (size_t i = 0; i < r->n_doors; i++)
        if (r->door[i].id == op->id)
            r->door[i].closed = true;
    if (!s)
        return;
    s->closed = true;
    s->aborted = op->kind == RMR_IO_ABORT;
}

static void pause_door(rig *r, const rmr_io_op *op)
{
    for (size_t i = 0; i < r->n_doors; i++)
        if (r->door[i].id == op->id)
            r->door[i].paused = op->kind == RMR_IO_ACCEPT_PAUSE;
}

static void keep_datagram(rig *r, const rmr_io_op *op)
{
    assert_true(op->data.len <= sizeof r->udp);
    memcpy(r->udp, op->data.ptr, op->data.len);
    r->udp_len = op->data.len;
    r->udp_to = op->addr;
    r->n_udp++;
}

static void perform(rig *r, const rmr_io_op *op)
{
    rig_stream *s = NULL;
    switch (op->kind) {
    case RMR_IO_LISTEN:
        door_open(r, op);
        break;
    case RMR_IO_UDP_OPEN:
        if (op->addr.port != 0) /* else the resolver's */
            door_open(r, op);
        break;
    case RMR_IO_CONNECT:
        s = stream_new(r, op->id);
        s->dialled = true;
        s->to = op->addr;
        break;
    case RMR_IO_READ:
        s = stream_of(r, op->id);
        if (s)
            s->credit += op->credit;
        break;
    case RMR_IO_STREAM_SEND:
        stream_send(r, op);
        break;
    case RMR_IO_UDP_SEND:
        keep_datagram(r, op);
        break;
    case RMR_IO_CLOSE:
    case RMR_IO_ABORT:
        close_any(r, op);
        break;
    case RMR_IO_LOAD:
        load(r, op);
        break;
    case RMR_IO_STORE:
        store(r, op);
        break;
    case RMR_IO_ACCEPT_PAUSE:
    case RMR_IO_ACCEPT_RESUME:
        pause_door(r, op);
        break;
    case RMR_IO_STOP:
        r->stopped = true;
        r->stop_err = op->err;
        break;
    default:
        break;
    }
}

void rig_turn(rig *r)
{
    for (int i = 0; i < 100000; i++) {
        rmr_io_op op;
        assert_int_equal(r->m.next_op(r->m.self, r->now,
                                      rmr_buf_of(r->scratch, sizeof r->scratch),
                                      &op),
                         RMR_OK);
        if (op.kind == RMR_IO_NONE)
            return;
        perform(r, &op);
    }
    fail_msg("it never comes to rest");
}

void rig_run(rig *r, rmr_dur d)
{
    rmr_time end = rmr_time_add(r->now, d);
    for (int i = 0; i < 100000 && !r->stopped; i++) {
        rmr_time at = r->m.next_deadline(r->m.self);
        if (at > end)
            break;
        if (at > r->now)
            r->now = at;
        assert_int_equal(r->m.handle_deadline(r->m.self, r->now), RMR_OK);
        rig_turn(r);
        /* T5: what was handled is gone. */
        assert_true(r->stopped || r->m.next_deadline(r->m.self) > r->now);
    }
    r->now = end;
}

/* ---- beginning and end ------------------------------------------------- */

static void on_event(void *user, const rmr_relay_event *ev)
{
    rig *r = user;
    switch (ev->kind) {
    case RMR_RELAY_EV_READY:
        r->ready++;
        memcpy(r->key, ev->key, sizeof r->key);
        break;
    case RMR_RELAY_EV_TROUBLE:
        r->trouble++;
        break;
    case RMR_RELAY_EV_FAILED:
        r->failed++;
        r->failed_err = ev->err;
        break;
    case RMR_RELAY_EV_STOPPED:
        r->stopped_events++;
        break;
    case RMR_RELAY_EV_LISTENING:
        break;
    }
}

void rig_init(rig *r)
{
    memset(r, 0, sizeof *r);
    test_rng_seed(&r->rng, 1);
    r->env = test_env(&r->alloc, &r->rng, &r->log);
    r->now = 1000 * RMR_SEC;
    r->last_child = RMR_IO_ADAPTER_ID;
    r->cb.struct_size = (uint32_t)sizeof r->cb;
    r->cb.user = r;
    r->cb.on_event = on_event;
}

void rig_config(rig *r, rmr_relay_config *cfg)
{
    static rmr_addr listen, stun, metrics;
    listen = rmr_addr_v4(0, 0, 0, 0, 3340);
    stun = rmr_addr_v4(0, 0, 0, 0, 3478);
    metrics = rmr_addr_v4(127, 0, 0, 1, 9090);
    rmr_relay_config_init(cfg, sizeof *cfg);
    cfg->listen = &listen;
    cfg->n_listen = 1;
    cfg->stun = &stun;
    cfg->n_stun = 1;
    cfg->metrics = &metrics;
    cfg->n_metrics = 1;
    cfg->insecure_http = true;
    cfg->callbacks = &r->cb;
}

rmr_err rig_new(rig *r, const rmr_relay_config *cfg)
{
    rmr_io_event ev = {0};
    rmr_err err = rmr_relay_new(&r->relay, &r->env, cfg, r->now);
    if (err != RMR_OK)
        return err;
    r->m = rmr_relay_machine(r->relay);
    ev.kind = RMR_IO_WALL;
    ev.wall_unix_ns = 1790000000u * RMR_SEC;
    give(r, &ev);
    rig_turn(r);
    return RMR_OK;
}

void rig_start(rig *r)
{
    rmr_relay_config cfg;
    rig_init(r);
    rig_config(r, &cfg);
    assert_int_equal(rig_new(r, &cfg), RMR_OK);
    assert_int_equal(r->ready, 1);
}

void rig_end(rig *r)
{
    rmr_relay_free(r->relay);
    r->relay = NULL;
    for (size_t i = 0; i < RIG_STREAMS; i++)
        free(r->s[i].out);
    assert_int_equal(r->alloc.live_blocks, 0);
}

void rig_stop_request(rig *r)
{
    answer(r, RMR_IO_STOP_REQUEST, 0, RMR_OK);
    rig_turn(r);
}

/* ---- streams ----------------------------------------------------------- */

static rig_door *door_of(rig *r, uint16_t port)
{
    for (size_t i = 0; i < r->n_doors; i++)
        if (r->door[i].open && r->door[i].at.port == port)
            return &r->door[i];
    fail_msg("nothing listens at port %u", port);
    return NULL;
}

rig_stream *rig_connect_from(rig *r, uint16_t port, const char *ip)
{
    rmr_io_event ev = {0};
    ev.kind = RMR_IO_ACCEPTED;
    ev.id = door_of(r, port)->id;
    ev.child = ++r->last_child;
    assert_int_equal(rmr_addr_parse_ip(rmr_bytes_str(ip), &ev.addr), RMR_OK);
    ev.addr.port = 50000;
    rig_stream *s = stream_new(r, ev.child);
    give(r, &ev);
    rig_turn(r);
    return s;
}

rig_stream *rig_connect(rig *r, uint16_t port)
{
    return rig_connect_from(r, port, "192.0.2.77");
}

void rig_give(rig *r, rig_stream *s, const void *data, size_t len)
{
    const uint8_t *from = data;
    while (len > 0 && !s->closed) {
        uint8_t part[16384];
        rmr_io_event ev = {0};
        size_t n = len < sizeof part ? len : sizeof part;
        if (n > s->credit)
            n = s->credit;
        if (n == 0)
            return; /* held back: the test looks at s->credit */
        memcpy(part, from, n);
        s->credit -= n;
        ev.kind = RMR_IO_BYTES;
        ev.id = s->id;
        ev.data = rmr_buf_of(part, n);
        give(r, &ev);
        rig_turn(r);
        from += n;
        len -= n;
    }
}

void rig_say(rig *r, rig_stream *s, const char *text)
{
    rig_give(r, s, text, strlen(text));
}

void rig_eof(rig *r, rig_stream *s)
{
    answer(r, RMR_IO_EOF, s->id, RMR_OK);
    rig_turn(r);
}

void rig_reset(rig *r, rig_stream *s)
{
    s->closed = true;
    answer(r, RMR_IO_RESET, s->id, RMR_E_RESET);
    rig_turn(r);
}

void rig_unstall(rig *r, rig_stream *s)
{
    s->stalled = false;
    if (!s->sending)
        return;
    s->sending = false;
    answer(r, RMR_IO_SENT, s->id, RMR_OK);
    rig_turn(r);
}

const char *rig_out(rig_stream *s)
{
    if (!s->out)
        return "";
    s->out[s->out_len] = 0;
    return (const char *)s->out;
}

void rig_drop_out(rig_stream *s)
{
    s->out_len = 0;
}

rig_stream *rig_dialled(rig *r)
{
    for (size_t i = 0; i < RIG_STREAMS; i++)
        if (r->s[i].used && r->s[i].dialled && !r->s[i].closed)
            return &r->s[i];
    return NULL;
}

void rig_answer_dial(rig *r, rig_stream *s, rmr_err err)
{
    s->dialled = false;
    if (err != RMR_OK)
        s->closed = true;
    answer(r, err == RMR_OK ? RMR_IO_OPENED : RMR_IO_FAILED, s->id, err);
    rig_turn(r);
}

void rig_datagram(rig *r, const rmr_addr *from, const void *data, size_t len)
{
    uint8_t copy[256];
    rmr_io_event ev = {0};
    assert_true(len <= sizeof copy);
    memcpy(copy, data, len);
    ev.kind = RMR_IO_DATAGRAMS;
    ev.id = door_of(r, 3478)->id;
    ev.addr = *from;
    ev.data = rmr_buf_of(copy, len);
    give(r, &ev);
    rig_turn(r);
}

/* ---- DERP clients ------------------------------------------------------ */

static void on_up(void *user)
{
    ((rig_client *)user)->up = true;
}

static void on_down(void *user, rmr_err why)
{
    rig_client *c = user;
    c->up = false;
    c->down = why;
}

static void on_packet(void *user, const uint8_t src[32], rmr_buf packet)
{
    rig_client *c = user;
    memcpy(c->from, src, 32);
    assert_true(packet.len <= sizeof c->got);
    memcpy(c->got, packet.ptr, packet.len);
    c->got_len = packet.len;
    c->n_got++;
}

static void on_gone(void *user, const uint8_t key[32], uint8_t reason)
{
    rig_client *c = user;
    memcpy(c->gone, key, 32);
    c->gone_reason = reason;
    c->n_gone++;
}

static size_t next_bytes(rig_client *c, rmr_buf dst)
{
    size_t len = 0;
    rmr_buf place = {0};
    if (!c->tls) {
        rmr_derp_write(c->d, c->r->now, dst, &len);
        return len;
    }
    if (rmr_tls_reserve(c->tls, &place) == RMR_OK && place.len > 0 &&
        rmr_derp_write(c->d, c->r->now, place, &len) == RMR_OK)
        rmr_tls_commit(c->tls, len);
    len = 0;
    rmr_tls_write(c->tls, dst, &len);
    return len;
}

static void to_relay(rig_client *c)
{
    static uint8_t buf[32768];
    size_t len;
    while ((len = next_bytes(c, rmr_buf_of(buf, sizeof buf))) > 0)
        rig_give(c->r, c->s, buf, len);
}

static void tls_in(rig_client *c, rmr_bytes in)
{
    while (in.len > 0) {
        size_t used = 0;
        bool was_open = rmr_tls_is_open(c->tls);
        rmr_buf view;
        if (rmr_tls_read(c->tls, in, &used) != RMR_OK)
            return;
        in = rmr_bytes_of(in.ptr + used, in.len - used);
        if (!was_open && rmr_tls_is_open(c->tls))
            rmr_derp_stream_opened(c->d, c->r->now);
        while (rmr_tls_peek(c->tls, &view) == RMR_OK && view.len > 0) {
            size_t len = view.len;
            rmr_derp_read(c->d, c->r->now, view);
            rmr_tls_consume(c->tls, len);
        }
        if (used == 0)
            to_relay(c);
    }
}

static bool from_relay(rig_client *c)
{
    size_t len = c->s->out_len - c->seen;
    if (len == 0)
        return false;
    uint8_t *copy = malloc(len);
    assert_non_null(copy);
    memcpy(copy, c->s->out + c->seen, len);
    c->seen += len;
    if (c->tls)
        tls_in(c, rmr_bytes_of(copy, len));
    else
        rmr_derp_read(c->d, c->r->now, rmr_buf_of(copy, len));
    free(copy);
    return true;
}

void rig_client_run(rig_client *c)
{
    do {
        to_relay(c);
        rig_turn(c->r);
    } while (from_relay(c));
    if (c->s->closed)
        rmr_derp_stream_closed(c->d, c->r->now, RMR_OK);
}

static rmr_derp *derp_new(rig_client *c)
{
    rmr_derp_callbacks cb = {0};
    rmr_derp_config cfg;
    rmr_derp_node node;
    rmr_derp *d = NULL;
    memset(&node, 0, sizeof node);
    snprintf(node.dial.host, sizeof node.dial.host, "relay.example");
    node.dial.port = 443;
    cb.struct_size = (uint32_t)sizeof cb;
    cb.user = c;
    cb.on_up = on_up;
    cb.on_down = on_down;
    cb.on_packet = on_packet;
    cb.on_peer_gone = on_gone;
    rmr_derp_config_init(&cfg, sizeof cfg);
    memcpy(cfg.private_key, c->private_key, 32);
    cfg.nodes = &node;
    cfg.n_nodes = 1;
    cfg.always_on = true;
    cfg.queue_bytes = (size_t)1 << 20;
    cfg.callbacks = &cb;
    assert_int_equal(rmr_derp_new(&d, &c->r->env, &cfg, c->r->now), RMR_OK);
    return d;
}

void rig_client_open(rig *r, rig_client *c, uint8_t seed, bool tls)
{
    rmr_dial dial;
    memset(c, 0, sizeof *c);
    c->r = r;
    memset(c->private_key, seed, 32);
    rmr_x25519_public(c->key, c->private_key);
    c->d = derp_new(c);
    assert_true(rmr_derp_wants_stream(c->d, r->now, &dial));
    c->s = rig_connect(r, 3340);
    if (tls) {
        rmr_tls_config cfg;
        rmr_tls_config_init(&cfg, sizeof cfg);
        cfg.server_name = "relay.example";
        cfg.insecure = true;
        cfg.wall_unix_ns = 1790000000u * RMR_SEC;
        assert_int_equal(rmr_tls_client_new(&c->tls, &r->env, &cfg), RMR_OK);
    } else {
        rmr_derp_stream_opened(c->d, r->now);
    }
    rig_client_run(c);
}

void rig_client_send(rig_client *c, const uint8_t to[32], const void *data,
                     size_t len)
{
    assert_int_equal(
        rmr_derp_send(c->d, c->r->now, to, rmr_bytes_of(data, len)), RMR_OK);
    rig_client_run(c);
}

void rig_client_free(rig_client *c)
{
    rmr_derp_free(c->d);
    rmr_tls_free(c->tls);
    c->d = NULL;
    c->tls = NULL;
}
