#include "crd_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server.h"

static void need(bool ok, const char *what)
{
    if (ok)
        return;
    (void)fprintf(stderr, "crd_rig: %s\n", what);
    abort();
}

/* ---- the adapter --------------------------------------------------------- */

static rig_conn *find(rig *r, uint64_t id)
{
    for (int i = 0; i < RIG_CONNS; i++) {
        if (r->conns[i].id == id)
            return &r->conns[i];
    }
    return NULL;
}

static void give(rig *r, rmr_io_event *ev)
{
    need(r->m.event(r->m.self, r->now, ev) == RMR_OK, "event");
}

static void happens(rig *r, rmr_io_event_kind kind, uint64_t id)
{
    rmr_io_event ev;
    memset(&ev, 0, sizeof ev);
    ev.kind = kind;
    ev.id = id;
    give(r, &ev);
}

static void keep(rig *r, uint64_t id, rmr_bytes data)
{
    rig_conn *c = find(r, id);
    if (c) {
        need(c->n_got + data.len <= RIG_BYTES, "more than fits");
        memcpy(c->got + c->n_got, data.ptr, data.len);
        c->n_got += data.len;
    }
    if (r->stands)
        r->sending = id;
    else
        happens(r, RMR_IO_SENT, id);
}

void rig_goes_on(rig *r)
{
    uint64_t id = r->sending;
    r->sending = 0;
    if (id)
        happens(r, RMR_IO_SENT, id);
    rig_turn(r);
}

static void done(rig *r, const rmr_io_op *op)
{
    rig_conn *c = find(r, op->id);
    if (c)
        c->closed = true;
    else
        r->refuses = true;
    r->n_closed += !c;
}

static void perform(rig *r, const rmr_io_op *op)
{
    switch (op->kind) {
    case RMR_IO_LISTEN:
        need(r->n_listeners < 4, "too many listeners");
        r->listeners[r->n_listeners++] = op->id;
        happens(r, RMR_IO_OPENED, op->id);
        break;
    case RMR_IO_STREAM_SEND:
        keep(r, op->id, op->data);
        break;
    case RMR_IO_CLOSE:
    case RMR_IO_ABORT:
        done(r, op);
        break;
    case RMR_IO_STOP:
        r->stopped = true;
        break;
    default:
        break;
    }
}

void rig_turn(rig *r)
{
    static uint8_t scratch[RMR_IO_SCRATCH_MIN];
    rmr_io_op op;
    do {
        need(r->m.next_op(r->m.self, r->now,
                          rmr_buf_of(scratch, sizeof scratch), &op) == RMR_OK,
             "next_op");
        if (op.kind != RMR_IO_NONE)
            perform(r, &op);
    } while (op.kind != RMR_IO_NONE && !r->stopped);
}

void rig_wait(rig *r, rmr_dur d)
{
    rmr_time end = rmr_time_add(r->now, d), at;
    while ((at = r->m.next_deadline(r->m.self)) <= end) {
        r->now = at > r->now ? at : r->now;
        need(r->m.handle_deadline(r->m.self, r->now) == RMR_OK, "deadline");
        rig_turn(r);
    }
    r->now = end;
}

/* ---- the server ---------------------------------------------------------- */

static void on_event(void *user, const rmr_coord_event *ev)
{
    rig *r = user;
    if (ev->kind == RMR_COORD_EV_READY)
        memcpy(r->public_key, ev->key, RMR_KEY_LEN);
    if (ev->kind != RMR_COORD_EV_LOGIN)
        return;
    memcpy(r->login, ev->text, sizeof r->login);
    (void)snprintf(r->login_host, sizeof r->login_host, "%s", ev->node);
}

void rig_config(rmr_coord_config *cfg)
{
    server_config(cfg, rmr_addr_v4(127, 0, 0, 1, 8080),
                  "http://127.0.0.1:8080");
}

void rig_init(rig *r, const rmr_coord_config *given)
{
    rmr_coord_config cfg;
    rmr_coord_callbacks cb = {sizeof cb, r, on_event};
    rmr_io_event wall;
    if (given)
        cfg = *given;
    else
        rig_config(&cfg);
    memset(r, 0, sizeof *r);
    r->now = RMR_SEC;
    r->next_child = RMR_IO_ADAPTER_ID;
    test_rng_seed(&r->rng, 3);
    rmr_env env = test_env(&r->heap, &r->rng, &r->log);
    cfg.callbacks = &cb;
    rmr_err e = rmr_coord_new(&r->coord, &env, &cfg, r->now);
    if (e != RMR_OK)
        (void)fprintf(stderr, "%s\n", rmr_err_name(e));
    need(e == RMR_OK, "coord");
    r->m = rmr_coord_machine(r->coord);
    memset(&wall, 0, sizeof wall);
    wall.kind = RMR_IO_WALL;
    wall.wall_unix_ns = (uint64_t)1800000000 * RMR_SEC;
    give(r, &wall);
    rig_turn(r);
}

void rig_free(rig *r)
{
    rmr_coord_free(r->coord);
    for (int i = 0; i < RIG_CONNS; i++)
        free(r->conns[i].got);
    need(r->heap.live_blocks == 0, "blocks are left");
}

rig_conn *rig_open(rig *r)
{
    return rig_open_at(r, 0);
}

rig_conn *rig_open_at(rig *r, int listener)
{
    rmr_addr from = rmr_addr_v4(127, 0, 0, 1, 40000);
    return rig_open_from(r, listener, &from);
}

static void accepted(rig *r, int listener, const rmr_addr *from)
{
    rmr_io_event ev;
    memset(&ev, 0, sizeof ev);
    ev.kind = RMR_IO_ACCEPTED;
    ev.id = r->listeners[listener];
    ev.child = r->next_child;
    ev.addr = *from;
    give(r, &ev);
    rig_turn(r);
}

uint64_t rig_knock(rig *r, const rmr_addr *from)
{
    uint64_t id = ++r->next_child;
    accepted(r, 0, from);
    return id;
}

rig_conn *rig_open_from(rig *r, int listener, const rmr_addr *from)
{
    rig_conn *c = find(r, 0);
    need(c != NULL, "too many connections");
    c->id = ++r->next_child;
    if (!c->got)
        c->got = malloc(RIG_BYTES);
    need(c->got != NULL, "memory");
    c->n_got = 0;
    c->closed = false;
    accepted(r, listener, from);
    return c;
}

void rig_send(rig *r, rig_conn *c, const void *p, size_t n)
{
    rmr_io_event ev;
    if (c->closed || n == 0)
        return;
    uint8_t *exact = malloc(n); /* the server may write into it */
    need(exact != NULL, "memory");
    memcpy(exact, p, n);
    memset(&ev, 0, sizeof ev);
    ev.kind = RMR_IO_BYTES;
    ev.id = c->id;
    ev.data = rmr_buf_of(exact, n);
    give(r, &ev);
    free(exact);
    rig_turn(r);
}

void rig_text(rig *r, rig_conn *c, const char *text)
{
    rig_send(r, c, text, strlen(text));
}

void rig_leave(rig *r, rig_conn *c, bool in_order)
{
    if (!c->closed)
        happens(r, in_order ? RMR_IO_EOF : RMR_IO_RESET, c->id);
    rig_turn(r);
    c->id = 0;
    c->n_got = 0;
}

void rig_take(rig_conn *c, size_t n)
{
    memmove(c->got, c->got + n, c->n_got - n);
    c->n_got -= n;
}

/* ---- a client ------------------------------------------------------------ */

static void on_head(void *user, void *tag, int32_t id, uint16_t status,
                    const rmr_header *h, size_t n)
{
    rig_answer *a = tag;
    (void)user;
    (void)id;
    (void)h;
    (void)n;
    a->status = status;
}

static void on_body(void *user, void *tag, int32_t id, rmr_bytes data)
{
    rig_client *cl = user;
    rig_answer *a = tag;
    for (size_t i = 0; i < data.len && a->len < sizeof a->body - 1; i++)
        a->body[a->len++] = (char)data.ptr[i];
    (void)rmr_h2_consume(cl->h2, id, data.len);
}

static void on_close(void *user, void *tag, int32_t id, rmr_err why)
{
    rig_answer *a = tag;
    (void)user;
    (void)id;
    a->over = true;
    a->why = why;
}

static bool welcome(rig_client *cl)
{
    rig_conn *c = cl->c;
    if (c->n_got >= RMR_TS_HEAD && c->got[0] == RMR_TS_ERROR) {
        size_t n = (size_t)c->got[1] << 8 | c->got[2];
        (void)snprintf(cl->refusal, sizeof cl->refusal, "%.*s", (int)n,
                       (const char *)c->got + RMR_TS_HEAD);
        return false;
    }
    if (c->n_got < RMR_TS_RESP_LEN || !ts_client_welcome(&cl->ts, c->got))
        return false;
    rig_take(c, RMR_TS_RESP_LEN);
    return true;
}

bool rig_join(rig_client *cl, rig *r, uint8_t machine, uint16_t version)
{
    rmr_addr from = rmr_addr_v4(127, 0, 0, 1, 40000);
    return rig_join_from(cl, r, machine, version, &from);
}

bool rig_join_from(rig_client *cl, rig *r, uint8_t machine, uint16_t version,
                   const rmr_addr *from)
{
    char head[TS_CLIENT_HEAD];
    rmr_h2_config cfg;
    memset(cl, 0, sizeof *cl);
    cl->r = r;
    cl->c = rig_open_from(r, 0, from);
    ts_client_begin(&cl->ts, r->public_key, machine, version);
    ts_client_head(&cl->ts, head);
    rig_text(r, cl->c, head);
    cl->c->got[cl->c->n_got] = 0;
    const char *end = strstr((const char *)cl->c->got, "\r\n\r\n");
    if (!end || strncmp((const char *)cl->c->got, "HTTP/1.1 101", 12) != 0)
        return false;
    rig_take(cl->c, (size_t)(end + 4 - (const char *)cl->c->got));
    if (!welcome(cl))
        return false;
    rmr_env env = test_env(NULL, NULL, NULL);
    memset(&cfg, 0, sizeof cfg);
    cfg.callbacks.user = cl;
    cfg.callbacks.on_head = on_head;
    cfg.callbacks.on_body = on_body;
    cfg.callbacks.on_close = on_close;
    return rmr_h2_client_new(&cl->h2, &env, &cfg) == RMR_OK;
}

static rmr_err on_plain(void *user, rmr_buf plain)
{
    rig_client *cl = user;
    return rmr_h2_read(cl->h2, rmr_bytes_of(plain.ptr, plain.len));
}

static size_t say(rig_client *cl)
{
    uint8_t frame[RMR_TS_FRAME_MAX];
    size_t n = ts_client_say(&cl->ts, cl->h2, frame);
    if (n)
        rig_send(cl->r, cl->c, frame, n);
    return n;
}

void rig_inside(rig_client *cl, const void *p, size_t len)
{
    uint8_t frame[RMR_TS_FRAME_MAX];
    const uint8_t *from = p;
    while (len > 0) {
        size_t part = len < RMR_TS_PLAIN_MAX ? len : RMR_TS_PLAIN_MAX;
        rig_send(cl->r, cl->c, frame,
                 ts_client_seal(&cl->ts, frame, from, part));
        from += part;
        len -= part;
    }
}

void rig_pump(rig_client *cl)
{
    size_t said, heard;
    do {
        said = say(cl);
        heard = cl->c->n_got;
        if (heard) {
            need(rmr_ts_record_read(&cl->ts.record,
                                    rmr_buf_of(cl->c->got, heard), on_plain,
                                    cl) == RMR_OK,
                 "the server's records");
            rig_take(cl->c, heard);
        }
    } while (said || heard);
    if (cl->c->closed)
        (void)rmr_h2_read_eof(cl->h2);
}

rig_answer *rig_ask(rig_client *cl, const char *path, const char *body)
{
    rig_answer *a = &cl->answers[cl->n_answers++ % RIG_ANSWERS];
    memset(a, 0, sizeof *a);
    need(rmr_h2_request(cl->h2, "POST", "h", path, NULL, 0, rmr_bytes_str(body),
                        a, &a->id) == RMR_OK,
         "request");
    rig_pump(cl);
    return a;
}

void rig_part(rig_client *cl)
{
    rmr_h2_free(cl->h2);
    cl->h2 = NULL;
    rmr_ts_record_wipe(&cl->ts.record);
    rig_leave(cl->r, cl->c, true);
}
