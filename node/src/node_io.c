/* Objects of the adapter's world (sockets, listeners, streams, blobs) and the
 * queue of operations: an object that wants something is in the ready list, and
 * next_op takes one operation from the one at its head. */
#include "node_internal.h"

#include <string.h>

/* Over all: adapters have their own limits, this bounds a bug or an attack. */
#define MAX_OBJECTS 8192

static bool id_eq(const void *user, uint64_t value, const void *key,
                  size_t key_len)
{
    (void)user;
    (void)key_len;
    const nd_io *io = (const nd_io *)(uintptr_t)value;
    return memcmp(&io->id, key, sizeof io->id) == 0;
}

static void ready(nd_io *io)
{
    rmr_node *n = io->n;
    if (io->in_ready)
        return;
    io->in_ready = true;
    io->next = NULL;
    io->prev = n->ready_tail;
    if (n->ready_tail)
        n->ready_tail->next = io;
    else
        n->ready_head = io;
    n->ready_tail = io;
}

static void unready(nd_io *io)
{
    rmr_node *n = io->n;
    if (!io->in_ready)
        return;
    io->in_ready = false;
    if (io->prev)
        io->prev->next = io->next;
    else
        n->ready_head = io->next;
    if (io->next)
        io->next->prev = io->prev;
    else
        n->ready_tail = io->prev;
}

static void io_free(nd_io *io)
{
    rmr_node *n = io->n;
    unready(io);
    rmr_hash_del(&n->ids, &io->id, sizeof io->id);
    if (io->all_prev)
        io->all_prev->all_next = io->all_next;
    else
        n->all_io = io->all_next;
    if (io->all_next)
        io->all_next->all_prev = io->all_prev;
    rmr_release(&n->env.alloc, io, sizeof *io);
}

static nd_io *io_new(rmr_node *n, nd_io_kind kind, uint64_t id,
                     const nd_io_ops *ops, void *owner)
{
    if (!n->ids.eq && rmr_hash_init(&n->ids, &n->env.alloc, &n->env.rng,
                                    MAX_OBJECTS, id_eq, NULL) != RMR_OK)
        return NULL;
    nd_io *io = rmr_alloc_zero(&n->env.alloc, sizeof *io, _Alignof(nd_io));
    if (!io)
        return NULL;
    io->n = n;
    io->kind = kind;
    io->id = id ? id : ++n->last_id;
    io->ops = ops;
    io->owner = owner;
    if (rmr_hash_put(&n->ids, &io->id, sizeof io->id,
                     (uint64_t)(uintptr_t)io) != RMR_OK) {
        rmr_release(&n->env.alloc, io, sizeof *io);
        return NULL;
    }
    io->all_next = n->all_io;
    if (n->all_io)
        n->all_io->all_prev = io;
    n->all_io = io;
    return io;
}

static nd_io *io_ask(rmr_node *n, nd_io_kind kind, const rmr_addr *addr,
                     const char *name, const nd_io_ops *ops, void *owner)
{
    if (name && strlen(name) >= sizeof((nd_io *)0)->name)
        return NULL;
    nd_io *io = io_new(n, kind, 0, ops, owner);
    if (!io)
        return NULL;
    if (addr)
        io->addr = *addr;
    if (name)
        memcpy(io->name, name, strlen(name) + 1);
    ready(io);
    return io;
}

nd_io *rmri_node_io_connect(rmr_node *n, const rmr_addr *to, const char *name,
                            rmr_dur timeout, const nd_io_ops *ops, void *owner)
{
    nd_io *io = io_ask(n, ND_IO_STREAM, to, name, ops, owner);
    if (io)
        io->timeout = timeout;
    return io;
}

nd_io *rmri_node_io_listen(rmr_node *n, const rmr_addr *at, const char *name,
                           const nd_io_ops *ops, void *owner)
{
    return io_ask(n, ND_IO_LISTENER, at, name, ops, owner);
}

nd_io *rmri_node_io_udp(rmr_node *n, const rmr_addr *at, const nd_io_ops *ops,
                        void *owner)
{
    return io_ask(n, ND_IO_UDP, at, NULL, ops, owner);
}

nd_io *rmri_node_io_load(rmr_node *n, const char *name, const nd_io_ops *ops,
                         void *owner)
{
    return io_ask(n, ND_IO_LOAD, NULL, name, ops, owner);
}

nd_io *rmri_node_io_store(rmr_node *n, const char *name, const nd_io_ops *ops,
                          void *owner)
{
    nd_io *io = io_ask(n, ND_IO_STORE, NULL, name, ops, owner);
    if (io)
        io->has_output = true;
    return io;
}

nd_io *rmri_node_io_adopt(rmr_node *n, uint64_t child, const nd_io_ops *ops,
                          void *owner)
{
    nd_io *io = io_new(n, ND_IO_STREAM, child, ops, owner);
    if (!io) {
        if (n->n_refused < ND_MAX_REFUSED)
            n->refused[n->n_refused++] = child;
        return NULL;
    }
    io->asked = true;
    io->open = true;
    return io;
}

void rmri_node_io_output(nd_io *io)
{
    io->has_output = true;
    if (io->open && !io->sending)
        ready(io);
}

void rmri_node_io_credit(nd_io *io, size_t total)
{
    size_t have = io->credit + io->credit_out;
    /* Small top-ups would cost an operation each. */
    if (have >= total || (have > 0 && total - have < total / 4))
        return;
    io->credit += total - have;
    if (io->open)
        ready(io);
}

void rmri_node_io_shutdown(nd_io *io)
{
    io->want_shutdown = true;
    if (io->open)
        ready(io);
}

void rmri_node_io_pause(nd_io *io, bool on)
{
    io->want_pause = on;
    io->want_resume = !on;
    ready(io);
}

static void let_go(nd_io *io)
{
    io->owner = NULL;
    io->has_output = false;
    if (!io->asked)
        io_free(io);
    else
        ready(io);
}

void rmri_node_io_close(nd_io *io)
{
    io->want_close = true;
    let_go(io);
}

void rmri_node_io_abort(nd_io *io)
{
    io->want_abort = true;
    let_go(io);
}

/* ---- operations -------------------------------------------------------- */

static void op_open(nd_io *io, rmr_io_op *op)
{
    static const rmr_io_op_kind kinds[] = {
        [ND_IO_UDP] = RMR_IO_UDP_OPEN,   [ND_IO_LISTENER] = RMR_IO_LISTEN,
        [ND_IO_STREAM] = RMR_IO_CONNECT, [ND_IO_LOAD] = RMR_IO_LOAD,
        [ND_IO_STORE] = RMR_IO_STORE,
    };
    op->kind = kinds[io->kind];
    op->addr = io->addr;
    op->name = rmr_bytes_str(io->name);
    op->timeout = io->timeout;
    io->asked = true;
}

static bool op_store(nd_io *io, rmr_time now, rmr_buf scratch, rmr_io_op *op)
{
    if (!io->has_output)
        return false;
    size_t len = io->ops->produce(io->owner, now, scratch);
    op->kind = RMR_IO_STORE;
    op->name = rmr_bytes_str(io->name);
    op->data = rmr_bytes_of(scratch.ptr, len);
    op->more = !io->last_part;
    io->asked = true;
    if (io->last_part)
        io->has_output = false;
    return true;
}

static bool op_send(nd_io *io, rmr_time now, rmr_buf scratch, rmr_io_op *op)
{
    if (!io->open || !io->has_output || io->sending || !io->owner)
        return false;
    if (io->kind == ND_IO_UDP) {
        if (!io->ops->produce_udp(io->owner, now, scratch, op)) {
            io->has_output = false;
            return false;
        }
        op->kind = RMR_IO_UDP_SEND;
        return true;
    }
    if (io->shut || !io->ops->produce)
        return false;
    /* produce may let the object go; it is still in memory then. */
    size_t len = io->ops->produce(io->owner, now, scratch);
    if (len == 0) {
        io->has_output = false;
        return false;
    }
    op->kind = RMR_IO_STREAM_SEND;
    op->data = rmr_bytes_of(scratch.ptr, len);
    io->sending = true;
    return true;
}

/* One operation of an object; false: it wants nothing (now). */
static bool io_op(nd_io *io, rmr_time now, rmr_buf scratch, rmr_io_op *op)
{
    op->id = io->id;
    if (io->want_abort || io->want_close) {
        op->kind = io->want_abort ? RMR_IO_ABORT : RMR_IO_CLOSE;
        io_free(io);
        return true;
    }
    if (io->kind == ND_IO_STORE)
        return op_store(io, now, scratch, op);
    if (!io->asked) {
        op_open(io, op);
        return true;
    }
    if (io->want_pause || io->want_resume) {
        op->kind = io->want_pause ? RMR_IO_ACCEPT_PAUSE : RMR_IO_ACCEPT_RESUME;
        io->want_pause = io->want_resume = false;
        return true;
    }
    if (io->open && io->credit > 0) {
        op->kind = RMR_IO_READ;
        op->credit = io->credit;
        io->credit_out += io->credit;
        io->credit = 0;
        return true;
    }
    if (op_send(io, now, scratch, op))
        return true;
    if (io->open && io->want_shutdown && !io->has_output && !io->shut) {
        op->kind = RMR_IO_SHUTDOWN;
        io->shut = true;
        return true;
    }
    return false;
}

bool rmri_node_io_next(rmr_node *n, rmr_time now, rmr_buf scratch,
                       rmr_io_op *op)
{
    if (n->n_refused > 0) {
        op->kind = RMR_IO_ABORT;
        op->id = n->refused[--n->n_refused];
        return true;
    }
    while (n->ready_head) {
        nd_io *io = n->ready_head;
        bool ends = io->want_abort || io->want_close;
        if (io_op(io, now, scratch, op)) {
            /* To the end of the list: others have their turn first. */
            if (!ends && io->in_ready) {
                unready(io);
                ready(io);
            }
            return true;
        }
        /* produce may have asked for the end meanwhile: look again then. */
        if (!io->want_abort && !io->want_close)
            unready(io);
    }
    return false;
}

/* ---- events ------------------------------------------------------------ */

static void ev_opened(nd_io *io, rmr_time now, const rmr_addr *local)
{
    io->open = true;
    ready(io);
    if (io->owner && io->ops->opened)
        io->ops->opened(io->owner, now, local);
}

static void ev_failed(nd_io *io, rmr_time now, rmr_err why)
{
    void *owner = io->owner;
    const nd_io_ops *ops = io->ops;
    io_free(io);
    if (owner && ops->failed)
        ops->failed(owner, now, why);
}

static void ev_loaded(nd_io *io, rmr_time now, rmr_bytes part, bool more)
{
    void *owner = io->owner;
    const nd_io_ops *ops = io->ops;
    if (!more)
        io_free(io);
    if (owner)
        ops->loaded(owner, now, part, more);
}

static void ev_stored(nd_io *io, rmr_time now)
{
    void *owner = io->owner;
    const nd_io_ops *ops = io->ops;
    io_free(io);
    if (owner)
        ops->stored(owner, now);
}

static void ev_bytes(nd_io *io, rmr_time now, rmr_buf data)
{
    size_t used = data.len < io->credit_out ? data.len : io->credit_out;
    io->credit_out -= used;
    if (io->owner && io->ops->bytes)
        io->ops->bytes(io->owner, now, data);
}

static void ev_room(nd_io *io) /* SENT, WRITABLE */
{
    io->sending = false;
    if (io->has_output || io->want_shutdown)
        ready(io);
}

static void ev_accepted(rmr_node *n, nd_io *io, rmr_time now,
                        const rmr_io_event *ev)
{
    if (io && io->owner && io->ops->accepted) {
        io->ops->accepted(io->owner, now, ev->child, &ev->addr);
        return;
    }
    /* Nobody wants it any more: give it back. */
    nd_io *child = rmri_node_io_adopt(n, ev->child, NULL, NULL);
    if (child)
        rmri_node_io_abort(child);
}

rmr_err rmri_node_io_event(rmr_node *n, rmr_time now, const rmr_io_event *ev)
{
    uint64_t value = 0;
    nd_io *io = NULL;
    if (n->ids.eq && rmr_hash_get(&n->ids, &ev->id, sizeof ev->id, &value))
        io = (nd_io *)(uintptr_t)value;
    if (ev->kind == RMR_IO_ACCEPTED) {
        ev_accepted(n, io, now, ev);
        return RMR_OK;
    }
    if (!io)
        return RMR_E_UNKNOWN; /* closed meanwhile, or never ours */
    switch (ev->kind) {
    case RMR_IO_OPENED:
        ev_opened(io, now, &ev->addr);
        break;
    case RMR_IO_FAILED:
    case RMR_IO_RESET:
        ev_failed(io, now, ev->err ? ev->err : RMR_E_RESET);
        break;
    case RMR_IO_LOADED:
        ev_loaded(io, now, rmr_bytes_of(ev->data.ptr, ev->data.len), ev->more);
        break;
    case RMR_IO_STORED:
        ev_stored(io, now);
        break;
    case RMR_IO_BYTES:
        ev_bytes(io, now, ev->data);
        break;
    case RMR_IO_EOF:
        if (io->owner && io->ops->eof)
            io->ops->eof(io->owner, now);
        break;
    case RMR_IO_DATAGRAMS:
        if (io->owner && io->ops->datagrams)
            io->ops->datagrams(io->owner, now, &ev->addr, ev->data,
                               ev->seg_size);
        break;
    case RMR_IO_SENT:
    case RMR_IO_WRITABLE:
        ev_room(io);
        break;
    case RMR_IO_BLOCKED:
        io->sending = true;
        break;
    case RMR_IO_ACCEPT_FAILED:
        if (io->owner && io->ops->accept_failed)
            io->ops->accept_failed(io->owner, now, ev->err);
        break;
    default:
        break;
    }
    return RMR_OK;
}

void rmri_node_io_free_all(rmr_node *n)
{
    while (n->all_io)
        io_free(n->all_io);
    if (n->ids.eq)
        rmr_hash_wipe(&n->ids);
    n->ids.eq = NULL;
}
