/* Traces: see trace.h. */
#include "trace.h"

#include "script.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- text ---------------------------------------------------------------- */

typedef struct text {
    char *s;
    size_t len;
} text;

static void put(text *t, const char *fmt, ...) RMR_PRINTF(2, 3);
static void put(text *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(t->s + t->len, TRACE_TEXT - t->len, fmt, ap);
    va_end(ap);
    t->len += n > 0 ? (size_t)n : 0;
    assert_true(t->len < TRACE_TEXT);
}

static void put_id(text *t, trace_names *names, uint64_t id)
{
    size_t i = 0;
    if (!(id & RMR_IO_ADAPTER_ID)) {
        put(t, " %llu", (unsigned long long)id);
        return;
    }
    while (i < names->n_children && names->children[i] != id)
        i++;
    assert_true(i < TRACE_NAMES);
    if (i == names->n_children)
        names->children[names->n_children++] = id;
    put(t, " @%zu", i + 1);
}

static void put_addr(text *t, trace_names *names, const rmr_addr *a)
{
    char ip[RMR_ADDR_TEXT_MAX];
    size_t i = 0;
    put(t, " %s", a->family ? rmr_addr_ip_text(a, ip) : "none");
    if (a->port < 1024) { /* such a one was asked for: 0, 9 */
        put(t, ":%u", a->port);
        return;
    }
    while (i < names->n_ports && names->ports[i] != a->port)
        i++;
    assert_true(i < TRACE_NAMES);
    if (i == names->n_ports)
        names->ports[names->n_ports++] = a->port;
    put(t, ":$%zu", i + 1);
}

static bool is_word(const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!isalnum(p[i]))
            return false;
    return len > 0 && len <= 64;
}

/* A word as it is; the pattern of its length as "*len"; else a hash. */
static void put_data(text *t, const uint8_t *p, size_t len)
{
    uint8_t *whole = pattern(len, (uint32_t)len);
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */
    for (size_t i = 0; i < len; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    if (is_word(p, len))
        put(t, " %.*s", (int)len, (const char *)p);
    else if (len == 0 || memcmp(p, whole, len) == 0)
        put(t, " *%zu", len);
    else
        put(t, " #%zu/%016llx", len, (unsigned long long)h);
    free(whole);
}

/* ---- operations ------------------------------------------------------------
 */

static const char *const verbs[] = {
    [RMR_IO_UDP_OPEN] = "udp-open",  [RMR_IO_UDP_SEND] = "udp-send",
    [RMR_IO_CONNECT] = "connect",    [RMR_IO_LISTEN] = "listen",
    [RMR_IO_ACCEPT_PAUSE] = "pause", [RMR_IO_ACCEPT_RESUME] = "resume",
    [RMR_IO_READ] = "read",          [RMR_IO_STREAM_SEND] = "send",
    [RMR_IO_SHUTDOWN] = "shutdown",  [RMR_IO_CLOSE] = "close",
    [RMR_IO_ABORT] = "abort",        [RMR_IO_RESOLVE] = "resolve",
    [RMR_IO_LOAD] = "load",          [RMR_IO_STORE] = "store",
    [RMR_IO_STOP] = "stop",          [RMR_IO_ICMP_OPEN] = "icmp-open",
};

static bool has_addr(const rmr_io_op *op)
{
    return op->kind == RMR_IO_UDP_OPEN || op->kind == RMR_IO_UDP_SEND ||
           ((op->kind == RMR_IO_CONNECT || op->kind == RMR_IO_LISTEN) &&
            op->name.len == 0);
}

static void keep_op(trace *t, const rmr_io_op *op)
{
    text out = {t->ops, t->ops_len};
    put(&out, "> %s", verbs[op->kind]);
    if (op->kind != RMR_IO_STOP)
        put_id(&out, &t->names, op->id);
    if (has_addr(op))
        put_addr(&out, &t->names, &op->addr);
    if (op->name.len)
        put(&out, " %.*s", (int)op->name.len, (const char *)op->name.ptr);
    if (op->kind == RMR_IO_UDP_SEND || op->kind == RMR_IO_STREAM_SEND ||
        op->kind == RMR_IO_STORE)
        put_data(&out, op->data.ptr, op->data.len);
    if (op->kind == RMR_IO_READ)
        put(&out, " %zu", op->credit);
    if (op->seg_size)
        put(&out, " seg=%u", op->seg_size);
    if (op->more)
        put(&out, " more");
    put(&out, "\n");
    t->ops_len = out.len;
}

/* ---- events ----------------------------------------------------------------
 */

static trace_event *keep(trace *t)
{
    assert_true(t->n_events < TRACE_EVENTS);
    trace_event *e = &t->events[t->n_events++];
    memset(e, 0, sizeof *e);
    return e;
}

static void keep_data(trace_event *e, const uint8_t *p, size_t len)
{
    e->data = realloc(e->data, e->len + len + 1);
    assert_non_null(e->data);
    if (len)
        memcpy(e->data + e->len, p, len);
    e->len += len;
}

/* What came of that id before, when this one goes on where it ended. */
static trace_event *begun(trace *t, const rmr_io_event *ev)
{
    size_t i = t->n_events;
    while (i > 0 && t->events[i - 1].ev.id != ev->id)
        i--;
    trace_event *e = i ? &t->events[i - 1] : NULL;
    bool goes_on =
        e && e->ev.kind == ev->kind &&
        (ev->kind == RMR_IO_BYTES || (ev->kind == RMR_IO_LOADED && e->ev.more));
    return goes_on ? e : NULL;
}

static void keep_event(trace *t, const rmr_io_event *ev)
{
    size_t step = ev->kind == RMR_IO_DATAGRAMS && ev->seg_size ? ev->seg_size
                                                               : ev->data.len;
    size_t at = 0;
    if (ev->kind == RMR_IO_WALL || ev->kind == RMR_IO_LINKS ||
        ev->kind == RMR_IO_BLOCKED || ev->kind == RMR_IO_WRITABLE)
        return;
    do {
        trace_event *e = begun(t, ev);
        size_t n = ev->data.len - at < step ? ev->data.len - at : step;
        e = e ? e : keep(t);
        e->ev = *ev;
        keep_data(e, ev->data.ptr + at, n);
        at += n;
    } while (at < ev->data.len);
}

static void put_event(text *out, trace_names *names, const trace_event *e)
{
    static const struct {
        const char *name;
        bool has_addr, has_data, has_err;
    } kinds[] = {
        [RMR_IO_OPENED] = {"opened", true, false, false},
        [RMR_IO_FAILED] = {"failed", false, false, true},
        [RMR_IO_SENT] = {"sent", false, false, false},
        [RMR_IO_LOADED] = {"loaded", false, true, false},
        [RMR_IO_STORED] = {"stored", false, false, false},
        [RMR_IO_RESOLVED] = {"resolved", false, false, false},
        [RMR_IO_DATAGRAMS] = {"datagram", true, true, false},
        [RMR_IO_BYTES] = {"bytes", false, true, false},
        [RMR_IO_EOF] = {"eof", false, false, false},
        [RMR_IO_RESET] = {"reset", false, false, true},
        [RMR_IO_ACCEPTED] = {"accepted", true, false, false},
        [RMR_IO_ACCEPT_FAILED] = {"accept-failed", false, false, true},
        [RMR_IO_SEND_FAILED] = {"send-failed", true, false, true},
        [RMR_IO_STOP_REQUEST] = {"stop-request", false, false, false},
    };
    const rmr_io_event *ev = &e->ev;
    if (e->is_deadline) {
        put(out, "< deadline\n");
        return;
    }
    put(out, "< %s", kinds[ev->kind].name);
    if (ev->kind != RMR_IO_STOP_REQUEST)
        put_id(out, names, ev->id);
    if (ev->child)
        put_id(out, names, ev->child);
    /* A local endpoint has none. */
    if (kinds[ev->kind].has_addr && ev->addr.family)
        put_addr(out, names, &ev->addr);
    if (kinds[ev->kind].has_data)
        put_data(out, e->data, e->len);
    if (kinds[ev->kind].has_err)
        put(out, " %s", rmr_err_name(ev->err));
    put(out, "\n");
}

/* By id; a stable sort of few. */
static void in_order(const trace *t, const trace_event **out)
{
    for (size_t i = 0; i < t->n_events; i++) {
        size_t at = i;
        for (; at && out[at - 1]->ev.id > t->events[i].ev.id; at--)
            out[at] = out[at - 1];
        out[at] = &t->events[i];
    }
}

const char *trace_step(trace *t, bool is_end)
{
    const trace_event *sorted[TRACE_EVENTS];
    trace_names names = t->names;
    text out = {t->text, 0};
    t->text[0] = '\0';
    put(&out, "%.*s", (int)t->ops_len, t->ops);
    in_order(t, sorted);
    for (size_t i = 0; i < t->n_events; i++)
        put_event(&out, &names, sorted[i]);
    if (!is_end)
        return t->text;
    for (size_t i = 0; i < t->n_events; i++)
        free(t->events[i].data);
    t->n_events = t->ops_len = 0;
    t->names = names;
    return t->text;
}

uint16_t trace_port(const trace *t, size_t name)
{
    return name && name <= t->names.n_ports ? t->names.ports[name - 1] : 0;
}

uint64_t trace_child(const trace *t, size_t name)
{
    return name && name <= t->names.n_children ? t->names.children[name - 1]
                                               : 0;
}

/* ---- the machine that watches ------------------------------------------- */

static rmr_err on_event(void *self, rmr_time now, const rmr_io_event *ev)
{
    trace *t = self;
    keep_event(t, ev);
    return t->m.event(t->m.self, now, ev);
}

static rmr_err on_next_op(void *self, rmr_time now, rmr_buf scratch,
                          rmr_io_op *op)
{
    trace *t = self;
    rmr_err err = t->m.next_op(t->m.self, now, scratch, op);
    if (err == RMR_OK && op->kind != RMR_IO_NONE)
        keep_op(t, op);
    return err;
}

static rmr_time on_next_deadline(const void *self)
{
    const trace *t = self;
    return t->m.next_deadline(t->m.self);
}

static rmr_err on_deadline(void *self, rmr_time now)
{
    trace *t = self;
    keep(t)->is_deadline = true;
    return t->m.handle_deadline(t->m.self, now);
}

rmr_machine trace_around(trace *t, const rmr_machine *m)
{
    t->m = *m;
    return (rmr_machine){t, on_event, on_next_op, on_next_deadline,
                         on_deadline};
}

void trace_wipe(trace *t)
{
    (void)trace_step(t, true);
    memset(t, 0, sizeof *t);
}
