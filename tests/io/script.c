/* The scripted machine of the adapter suite. */
#define _DEFAULT_SOURCE /* mkdtemp, DT_* */
#include "script.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATIENCE (10 * RMR_SEC)

void (*script_hook)(bool is_inside);

static void hook(bool is_inside)
{
    if (script_hook)
        script_hook(is_inside);
}

/* ---- the machine ------------------------------------------------------- */

static void keep(script *s, rmr_time now, const rmr_io_event *ev)
{
    if (s->n_events == s->cap_events) {
        s->cap_events = s->cap_events ? s->cap_events * 2 : 64;
        s->events = realloc(s->events, s->cap_events * sizeof *s->events);
        assert_non_null(s->events);
    }
    told *t = &s->events[s->n_events++];
    memset(t, 0, sizeof *t);
    t->ev = *ev;
    t->now = now;
    t->n_next_op = s->n_next_op;
    if (ev->kind == RMR_IO_LINKS && (t->n_own = ev->links->n_addrs) > 0)
        t->own = ev->links->addrs[0];
    t->ev.links = NULL; /* lent for the call */
    if (ev->data.len) {
        t->data = malloc(ev->data.len);
        assert_non_null(t->data);
        memcpy(t->data, ev->data.ptr, ev->data.len);
        memset(ev->data.ptr, 0xee, ev->data.len); /* ours to overwrite */
    }
}

static rmr_err on_event(void *self, rmr_time now, const rmr_io_event *ev)
{
    script *s = self;
    hook(true);
    assert_false(s->is_stopped);
    if (s->n_events == 0)
        assert_int_equal(ev->kind, RMR_IO_WALL);
    else
        assert_true(now >= s->events[s->n_events - 1].now);
    keep(s, now, ev);
    if (ev->kind == RMR_IO_ACCEPTED && s->gives_ops_in_event)
        do_read(s, ev->child, 1);
    if (ev->kind == RMR_IO_ACCEPTED && s->pauses_on_accept)
        do_simple(s, RMR_IO_ACCEPT_PAUSE, ev->id);
    rmr_err e = s->event_result;
    s->event_result = RMR_OK;
    hook(false);
    return e;
}

static void free_op(rmr_io_op *op)
{
    free((void *)(uintptr_t)op->data.ptr);
    free((void *)(uintptr_t)op->name.ptr);
    memset(op, 0, sizeof *op);
}

/* Copies into the scratch and spoils the rest of it: the adapter must be done
 * with the operation before. */
static void next_op(script *s, rmr_buf scratch, rmr_io_op *op)
{
    assert_false(s->is_stopped);
    assert_true(scratch.len >= RMR_IO_SCRATCH_MIN);
    s->n_next_op++;
    memset(scratch.ptr, 0xdd, scratch.len);
    if (s->n_ops == 0) {
        op->kind = RMR_IO_NONE;
        return;
    }
    rmr_io_op *next = &s->ops[s->first_op];
    *op = *next;
    assert_true(next->data.len + next->name.len <= scratch.len);
    if (next->data.len)
        memcpy(scratch.ptr, next->data.ptr, next->data.len);
    op->data.ptr = scratch.ptr;
    if (next->name.len)
        memcpy(scratch.ptr + next->data.len, next->name.ptr, next->name.len);
    op->name.ptr = scratch.ptr + next->data.len;
    free_op(next);
    s->first_op = (s->first_op + 1) % SCRIPT_OPS;
    s->n_ops--;
    s->is_stopped = op->kind == RMR_IO_STOP;
}

static rmr_err on_next_op(void *self, rmr_time now, rmr_buf scratch,
                          rmr_io_op *op)
{
    (void)now;
    hook(true);
    next_op(self, scratch, op);
    hook(false);
    return RMR_OK;
}

static rmr_time on_next_deadline(const void *self)
{
    const script *s = self;
    assert_false(s->is_stopped);
    return s->deadline;
}

static rmr_err on_deadline(void *self, rmr_time now)
{
    script *s = self;
    assert_false(s->is_stopped);
    assert_true(now >= s->deadline);
    s->deadline = RMR_TIME_NEVER;
    s->deadline_now = now;
    s->n_deadlines++;
    return RMR_OK;
}

void script_init_around(script *s, adapter *a,
                        rmr_machine (*around)(void *user, const rmr_machine *m),
                        void *user)
{
    memset(s, 0, sizeof *s);
    s->a = a;
    s->deadline = RMR_TIME_NEVER;
    rmr_machine m = {s, on_event, on_next_op, on_next_deadline, on_deadline};
    if (around)
        m = around(user, &m);
    adapter_add(a, &m);
}

void script_init(script *s, adapter *a)
{
    script_init_around(s, a, NULL, NULL);
}

void script_wipe(script *s)
{
    while (s->n_ops) {
        free_op(&s->ops[s->first_op]);
        s->first_op = (s->first_op + 1) % SCRIPT_OPS;
        s->n_ops--;
    }
    for (size_t i = 0; i < s->n_events; i++)
        free(s->events[i].data);
    free(s->events);
    memset(s, 0, sizeof *s);
}

/* ---- operations ---------------------------------------------------------- */

static rmr_bytes copy_of(rmr_bytes b)
{
    uint8_t *p = malloc(b.len ? b.len : 1);
    assert_non_null(p);
    if (b.len)
        memcpy(p, b.ptr, b.len);
    return rmr_bytes_of(p, b.len);
}

void do_op(script *s, const rmr_io_op *op)
{
    assert_true(s->n_ops < SCRIPT_OPS);
    rmr_io_op *at = &s->ops[(s->first_op + s->n_ops++) % SCRIPT_OPS];
    *at = *op;
    at->data = copy_of(op->data);
    at->name = copy_of(op->name);
}

static rmr_io_op op_of(rmr_io_op_kind kind, uint64_t id)
{
    rmr_io_op op;
    memset(&op, 0, sizeof op);
    op.kind = kind;
    op.id = id;
    return op;
}

void do_simple(script *s, rmr_io_op_kind kind, uint64_t id)
{
    rmr_io_op op = op_of(kind, id);
    do_op(s, &op);
}

void do_udp_open(script *s, uint64_t id, rmr_addr local)
{
    rmr_io_op op = op_of(RMR_IO_UDP_OPEN, id);
    op.addr = local;
    do_op(s, &op);
}

void do_udp_open_whole(script *s, uint64_t id, rmr_addr local)
{
    rmr_io_op op = op_of(RMR_IO_UDP_OPEN, id);
    op.addr = local;
    op.dont_fragment = true;
    do_op(s, &op);
}

void do_udp_send(script *s, uint64_t id, rmr_addr to, const void *data,
                 size_t len, uint32_t seg_size)
{
    rmr_io_op op = op_of(RMR_IO_UDP_SEND, id);
    op.addr = to;
    op.data = rmr_bytes_of(data, len);
    op.seg_size = seg_size;
    do_op(s, &op);
}

void do_connect(script *s, uint64_t id, rmr_addr to, rmr_dur timeout)
{
    rmr_io_op op = op_of(RMR_IO_CONNECT, id);
    op.addr = to;
    op.timeout = timeout;
    do_op(s, &op);
}

void do_listen(script *s, uint64_t id, rmr_addr local)
{
    rmr_io_op op = op_of(RMR_IO_LISTEN, id);
    op.addr = local;
    do_op(s, &op);
}

void do_local(script *s, rmr_io_op_kind kind, uint64_t id, const char *name)
{
    rmr_io_op op = op_of(kind, id);
    op.name = rmr_bytes_str(name);
    do_op(s, &op);
}

void do_read(script *s, uint64_t id, size_t credit)
{
    rmr_io_op op = op_of(RMR_IO_READ, id);
    op.credit = credit;
    do_op(s, &op);
}

void do_send(script *s, uint64_t id, const void *data, size_t len)
{
    rmr_io_op op = op_of(RMR_IO_STREAM_SEND, id);
    op.data = rmr_bytes_of(data, len);
    do_op(s, &op);
}

void do_load(script *s, uint64_t id, const char *name)
{
    do_local(s, RMR_IO_LOAD, id, name);
}

void do_store(script *s, uint64_t id, const char *name, const void *data,
              size_t len, bool more)
{
    rmr_io_op op = op_of(RMR_IO_STORE, id);
    op.name = rmr_bytes_str(name);
    op.data = rmr_bytes_of(data, len);
    op.more = more;
    do_op(s, &op);
}

void do_stop(script *s, rmr_err err)
{
    rmr_io_op op = op_of(RMR_IO_STOP, 0);
    op.err = err;
    do_op(s, &op);
}

/* ---- events ----------------------------------------------------------------
 */

const told *seen(script *s, rmr_io_event_kind kind, uint64_t id)
{
    while (s->first_event < s->n_events && s->events[s->first_event].is_taken)
        s->first_event++;
    for (size_t i = s->first_event; i < s->n_events; i++) {
        told *t = &s->events[i];
        if (t->is_taken || t->ev.kind != kind || t->ev.id != id)
            continue;
        t->is_taken = true;
        return t;
    }
    return NULL;
}

const told *await(script *s, rmr_io_event_kind kind, uint64_t id)
{
    rmr_time end = rmr_time_add(adapter_now(), PATIENCE);
    const told *t;
    while ((t = seen(s, kind, id)) == NULL) {
        if (adapter_now() > end)
            fail_msg("no event %d of id %llx", (int)kind,
                     (unsigned long long)id);
        (void)adapter_turn(s->a, RMR_SEC / 10);
    }
    return t;
}

rmr_err await_failed(script *s, uint64_t id)
{
    return await(s, RMR_IO_FAILED, id)->ev.err;
}

rmr_addr await_opened(script *s, uint64_t id)
{
    return await(s, RMR_IO_OPENED, id)->ev.addr;
}

void turns(script *s, int n)
{
    while (n--)
        (void)adapter_turn(s->a, 0);
}

size_t turns_until_deadline(script *s)
{
    size_t n = 0, before = s->n_deadlines;
    s->deadline = adapter_now() + 30 * RMR_MS;
    for (; s->n_deadlines == before; n++)
        (void)adapter_turn(s->a, RMR_TIME_NEVER);
    return n;
}

size_t left(const script *s, uint64_t id)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_events; i++)
        n += !s->events[i].is_taken && (id == 0 || s->events[i].ev.id == id);
    return n;
}

uint8_t *await_bytes(script *s, uint64_t id, size_t len)
{
    uint8_t *all = malloc(len ? len : 1);
    assert_non_null(all);
    do_read(s, id, len);
    for (size_t have = 0; have < len;) {
        const told *t = await(s, RMR_IO_BYTES, id);
        assert_true(t->ev.data.len > 0);
        assert_true(t->ev.data.len <= len - have);
        memcpy(all + have, t->data, t->ev.data.len);
        have += t->ev.data.len;
    }
    return all;
}

uint8_t *await_blob(script *s, uint64_t id, size_t *len, size_t *parts)
{
    uint8_t *all = NULL;
    const told *t;
    *len = *parts = 0;
    do {
        t = await(s, RMR_IO_LOADED, id);
        assert_true(t->ev.data.len <= (size_t)64 * 1024);
        all = realloc(all, *len + t->ev.data.len + 1);
        assert_non_null(all);
        if (t->ev.data.len)
            memcpy(all + *len, t->data, t->ev.data.len);
        *len += t->ev.data.len;
        ++*parts;
    } while (t->ev.more);
    return all;
}

ends make_stream(script *s, uint64_t listener, uint64_t id)
{
    ends e;
    do_listen(s, listener, LOOPBACK4);
    do_connect(s, id, await_opened(s, listener), 0);
    e.a = id;
    (void)await_opened(s, id);
    e.b = await(s, RMR_IO_ACCEPTED, listener)->ev.child;
    return e;
}

/* ---- bytes and files
 * ---------------------------------------------------------- */

uint8_t *pattern(size_t len, uint32_t seed)
{
    uint8_t *p = malloc(len ? len : 1);
    assert_non_null(p);
    for (size_t i = 0; i < len; i++) {
        seed = seed * 1664525u + 1013904223u;
        p[i] = (uint8_t)(seed >> 24);
    }
    return p;
}

char *temp_dir(void)
{
    char *dir = strdup("/tmp/remora-io-XXXXXX");
    assert_non_null(dir);
    assert_non_null(mkdtemp(dir));
    return dir;
}

/* Of the files in a directory: how many; they are removed when asked for. */
static size_t walk(const char *dir, bool removes)
{
    size_t n = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    const struct dirent *e;
    while ((e = readdir(d)) != NULL) {
        char path[512];
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        n++;
        (void)snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        if (removes && remove(path) != 0)
            fail_msg("%s stays", path);
    }
    (void)closedir(d);
    return n;
}

size_t count_files(const char *dir)
{
    return walk(dir, false);
}

void expect_files(const char *dir, size_t n)
{
    if (adapter_is_host)
        assert_int_equal(count_files(dir), n);
}

void remove_dir(char *dir)
{
    adapter_forget(dir);
    (void)walk(dir, true);
    assert_int_equal(rmdir(dir), 0);
    free(dir);
}

int fixture_setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->dir = temp_dir();
    f->a = adapter_new(f->dir);
    assert_non_null(f->a);
    script_init(&f->s, f->a);
    *state = f;
    return 0;
}

int fixture_teardown(void **state)
{
    fixture *f = *state;
    adapter_free(f->a);
    script_wipe(&f->s);
    remove_dir(f->dir);
    free(f);
    return 0;
}
