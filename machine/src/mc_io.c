/* Objects of the adapter's world (sockets, listeners, streams, blobs) and the
 * queue of operations: an object that wants something is in the ready list, and
 * next_op takes one operation from the one at its head. */
#include "mc_internal.h"

#include <remora/text.h>

#include <string.h>

#define NAME_MAX_LEN 64 /* of a local endpoint or a blob, with its zero byte */

static void ready(rmr_mc_io *io)
{
    rmr_mc *mc = io->mc;
    if (io->in_ready)
        return;
    io->in_ready = true;
    io->next = NULL;
    io->prev = mc->ready_tail;
    if (mc->ready_tail)
        mc->ready_tail->next = io;
    else
        mc->ready_head = io;
    mc->ready_tail = io;
}

static void unready(rmr_mc_io *io)
{
    rmr_mc *mc = io->mc;
    if (!io->in_ready)
        return;
    io->in_ready = false;
    if (io->prev)
        io->prev->next = io->next;
    else
        mc->ready_head = io->next;
    if (io->next)
        io->next->prev = io->prev;
    else
        mc->ready_tail = io->prev;
}

static void io_free(rmr_mc_io *io)
{
    rmr_mc *mc = io->mc;
    unready(io);
    rmr_hash_del(&mc->ids, &io->id, sizeof io->id);
    if (io->all_prev)
        io->all_prev->all_next = io->all_next;
    else
        mc->all_io = io->all_next;
    if (io->all_next)
        io->all_next->all_prev = io->all_prev;
    (void)rmr_text_keep(&io->name, &mc->env.alloc, rmr_bytes_str(""));
    rmr_release(&mc->env.alloc, io, sizeof *io);
}

static rmr_mc_io *io_new(rmr_mc *mc, rmr_mc_io_kind kind, uint64_t id,
                         const rmr_mc_io_ops *ops, void *owner)
{
    rmr_mc_io *io =
        rmr_alloc_zero(&mc->env.alloc, sizeof *io, _Alignof(rmr_mc_io));
    if (!io)
        return NULL;
    io->mc = mc;
    io->kind = kind;
    io->id = id ? id : ++mc->last_id;
    io->ops = ops;
    io->owner = owner;
    if (rmr_hash_put(&mc->ids, &io->id, sizeof io->id,
                     (uint64_t)(uintptr_t)io) != RMR_OK) {
        rmr_release(&mc->env.alloc, io, sizeof *io);
        return NULL;
    }
    io->all_next = mc->all_io;
    if (mc->all_io)
        mc->all_io->all_prev = io;
    mc->all_io = io;
    return io;
}

static rmr_mc_io *io_ask(rmr_mc *mc, rmr_mc_io_kind kind, const rmr_addr *addr,
                         const char *name, const rmr_mc_io_ops *ops,
                         void *owner)
{
    if (name && strlen(name) >= NAME_MAX_LEN)
        return NULL;
    rmr_mc_io *io = io_new(mc, kind, 0, ops, owner);
    if (!io)
        return NULL;
    if (addr)
        io->addr = *addr;
    if (name && rmr_text_keep(&io->name, &mc->env.alloc, rmr_bytes_str(name)) !=
                    RMR_OK) {
        io_free(io);
        return NULL;
    }
    ready(io);
    return io;
}

rmr_mc_io *rmr_mc_connect(rmr_mc *mc, const rmr_addr *to, const char *name,
                          rmr_dur timeout, const rmr_mc_io_ops *ops,
                          void *owner)
{
    rmr_mc_io *io = io_ask(mc, RMR_MC_STREAM, to, name, ops, owner);
    if (io)
        io->timeout = timeout;
    return io;
}

/* Room for what a listener may bring in one turn; false: no memory. */
static bool more_refused(rmr_mc *mc)
{
    if (mc->cap_refused == MC_MAX_REFUSED)
        return true;
    uint64_t *list = rmr_alloc_raw(
        &mc->env.alloc, MC_MAX_REFUSED * sizeof *list, _Alignof(uint64_t));
    if (!list)
        return false;
    memcpy(list, mc->refused, mc->n_refused * sizeof *list);
    mc->refused = list;
    mc->cap_refused = MC_MAX_REFUSED;
    return true;
}

void rmri_mc_refused_free(rmr_mc *mc)
{
    if (mc->refused != mc->few_refused)
        rmr_release(&mc->env.alloc, mc->refused,
                    mc->cap_refused * sizeof *mc->refused);
}

rmr_mc_io *rmr_mc_listen(rmr_mc *mc, const rmr_addr *at, const char *name,
                         const rmr_mc_io_ops *ops, void *owner)
{
    if (!more_refused(mc))
        return NULL;
    return io_ask(mc, RMR_MC_LISTENER, at, name, ops, owner);
}

void rmr_mc_listen_acked(rmr_mc_io *listener, rmr_dur most)
{
    listener->timeout = most;
}

rmr_mc_io *rmr_mc_udp(rmr_mc *mc, const rmr_addr *at, const rmr_mc_io_ops *ops,
                      void *owner)
{
    return io_ask(mc, RMR_MC_UDP, at, NULL, ops, owner);
}

rmr_mc_io *rmr_mc_icmp(rmr_mc *mc, const rmr_addr *at, const rmr_mc_io_ops *ops,
                       void *owner)
{
    return io_ask(mc, RMR_MC_ICMP, at, NULL, ops, owner);
}

rmr_mc_io *rmr_mc_load(rmr_mc *mc, const char *name, const rmr_mc_io_ops *ops,
                       void *owner)
{
    return io_ask(mc, RMR_MC_LOAD, NULL, name, ops, owner);
}

rmr_mc_io *rmr_mc_store(rmr_mc *mc, const char *name, const rmr_mc_io_ops *ops,
                        void *owner)
{
    rmr_mc_io *io = io_ask(mc, RMR_MC_STORE, NULL, name, ops, owner);
    if (io)
        io->has_output = true;
    return io;
}

/* Needs no memory: that may be why it is refused.  What is beyond the table
 * stays with the adapter until its end. */
void rmr_mc_refuse(rmr_mc *mc, uint64_t child)
{
    if (mc->n_refused < mc->cap_refused)
        mc->refused[mc->n_refused++] = child;
}

rmr_mc_io *rmr_mc_adopt(rmr_mc *mc, uint64_t child, const rmr_mc_io_ops *ops,
                        void *owner)
{
    rmr_mc_io *io = io_new(mc, RMR_MC_STREAM, child, ops, owner);
    if (!io) {
        rmr_mc_refuse(mc, child);
        return NULL;
    }
    io->asked = true;
    io->open = true;
    return io;
}

void rmr_mc_io_output(rmr_mc_io *io)
{
    io->has_output = true;
    if (io->open && !io->sending)
        ready(io);
}

void rmr_mc_io_credit(rmr_mc_io *io, size_t total)
{
    size_t have = io->credit + io->credit_out;
    /* Small top-ups would cost an operation each. */
    if (have >= total || (have > 0 && total - have < total / 4))
        return;
    io->credit += total - have;
    if (io->open)
        ready(io);
}

void rmr_mc_io_shutdown(rmr_mc_io *io)
{
    io->want_shutdown = true;
    if (io->open)
        ready(io);
}

void rmr_mc_io_pause(rmr_mc_io *io, bool on)
{
    io->want_pause = on;
    io->want_resume = !on;
    ready(io);
}

static void let_go(rmr_mc_io *io)
{
    io->owner = NULL;
    io->has_output = false;
    if (!io->asked)
        io_free(io);
    else
        ready(io);
}

void rmr_mc_io_close(rmr_mc_io *io)
{
    io->want_close = true;
    let_go(io);
}

void rmr_mc_io_abort(rmr_mc_io *io)
{
    io->want_abort = true;
    let_go(io);
}

void rmr_mc_io_last_part(rmr_mc_io *io)
{
    io->last_part = true;
}

void rmr_mc_io_hand_over(rmr_mc_io *io, const rmr_mc_io_ops *ops, void *owner)
{
    io->ops = ops;
    io->owner = owner;
}

uint64_t rmr_mc_io_id(const rmr_mc_io *io)
{
    return io->id;
}

rmr_mc_io_kind rmr_mc_io_kind_of(const rmr_mc_io *io)
{
    return io->kind;
}

bool rmr_mc_io_is_open(const rmr_mc_io *io)
{
    return io->open;
}

bool rmr_mc_io_is_sending(const rmr_mc_io *io)
{
    return io->sending;
}

/* ---- operations -------------------------------------------------------- */

void rmr_mc_io_dont_fragment(rmr_mc_io *io)
{
    io->dont_fragment = true;
}

bool rmr_mc_io_is_whole(const rmr_mc_io *io)
{
    return io->is_whole;
}

static void op_open(rmr_mc_io *io, rmr_io_op *op)
{
    static const rmr_io_op_kind kinds[] = {
        [RMR_MC_UDP] = RMR_IO_UDP_OPEN,    [RMR_MC_ICMP] = RMR_IO_ICMP_OPEN,
        [RMR_MC_LISTENER] = RMR_IO_LISTEN, [RMR_MC_STREAM] = RMR_IO_CONNECT,
        [RMR_MC_LOAD] = RMR_IO_LOAD,       [RMR_MC_STORE] = RMR_IO_STORE,
    };
    op->kind = kinds[io->kind];
    op->addr = io->addr;
    op->name = rmr_bytes_str(rmr_text_kept(io->name));
    op->timeout = io->timeout;
    op->dont_fragment = io->dont_fragment;
    io->asked = true;
}

static bool op_store(rmr_mc_io *io, rmr_time now, rmr_buf scratch,
                     rmr_io_op *op)
{
    if (!io->has_output)
        return false;
    size_t len = io->ops->produce(io->owner, now, scratch);
    op->kind = RMR_IO_STORE;
    op->name = rmr_bytes_str(rmr_text_kept(io->name));
    op->data = rmr_bytes_of(scratch.ptr, len);
    op->more = !io->last_part;
    io->asked = true;
    if (io->last_part)
        io->has_output = false;
    return true;
}

static bool op_send(rmr_mc_io *io, rmr_time now, rmr_buf scratch, rmr_io_op *op)
{
    if (!io->open || !io->has_output || io->sending || !io->owner)
        return false;
    if (io->kind == RMR_MC_UDP || io->kind == RMR_MC_ICMP) {
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
static bool io_op(rmr_mc_io *io, rmr_time now, rmr_buf scratch, rmr_io_op *op)
{
    op->id = io->id;
    if (io->want_abort || io->want_close) {
        op->kind = io->want_abort ? RMR_IO_ABORT : RMR_IO_CLOSE;
        io_free(io);
        return true;
    }
    if (io->kind == RMR_MC_STORE)
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

bool rmr_mc_next_op(rmr_mc *mc, rmr_time now, rmr_buf scratch, rmr_io_op *op)
{
    if (mc->n_refused > 0) {
        op->kind = RMR_IO_ABORT;
        op->id = mc->refused[--mc->n_refused];
        return true;
    }
    while (mc->ready_head) {
        rmr_mc_io *io = mc->ready_head;
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

static void ev_opened(rmr_mc_io *io, rmr_time now, const rmr_addr *local)
{
    io->open = true;
    ready(io);
    if (io->owner && io->ops->opened)
        io->ops->opened(io->owner, now, local);
}

static void ev_failed(rmr_mc_io *io, rmr_time now, rmr_err why)
{
    void *owner = io->owner;
    const rmr_mc_io_ops *ops = io->ops;
    io_free(io);
    if (owner && ops->failed)
        ops->failed(owner, now, why);
}

static void ev_loaded(rmr_mc_io *io, rmr_time now, rmr_bytes part, bool more)
{
    void *owner = io->owner;
    const rmr_mc_io_ops *ops = io->ops;
    if (!more)
        io_free(io);
    if (owner)
        ops->loaded(owner, now, part, more);
}

static void ev_stored(rmr_mc_io *io, rmr_time now)
{
    void *owner = io->owner;
    const rmr_mc_io_ops *ops = io->ops;
    io_free(io);
    if (owner)
        ops->stored(owner, now);
}

static void ev_bytes(rmr_mc_io *io, rmr_time now, rmr_buf data)
{
    size_t used = data.len < io->credit_out ? data.len : io->credit_out;
    io->credit_out -= used;
    if (io->owner && io->ops->bytes)
        io->ops->bytes(io->owner, now, data);
}

static void ev_room(rmr_mc_io *io, rmr_time now) /* SENT, WRITABLE */
{
    io->sending = false;
    if (io->has_output || io->want_shutdown)
        ready(io);
    if (io->owner && io->ops->sent)
        io->ops->sent(io->owner, now);
}

static void ev_accepted(rmr_mc *mc, rmr_mc_io *io, rmr_time now,
                        const rmr_io_event *ev)
{
    if (io && io->owner && io->ops->accepted) {
        io->ops->accepted(io->owner, now, ev->child, &ev->addr);
        return;
    }
    /* Nobody wants it any more: give it back. */
    rmr_mc_refuse(mc, ev->child);
}

/* Who may have more to do: everybody, unless it is the mere flow of bytes and
 * the object's owner knows whom that concerns. */
static void stir(rmr_mc *mc, const rmr_mc_io *io, rmr_io_event_kind kind)
{
    bool flows = kind == RMR_IO_BYTES || kind == RMR_IO_SENT;
    if (flows && io && io->owner && io->ops->stir)
        io->ops->stir(io->owner);
    else
        rmri_mc_stir(mc);
}

rmr_err rmri_mc_io_event(rmr_mc *mc, rmr_time now, const rmr_io_event *ev)
{
    uint64_t value = 0;
    rmr_mc_io *io = NULL;
    if (rmr_hash_get(&mc->ids, &ev->id, sizeof ev->id, &value))
        io = (rmr_mc_io *)(uintptr_t)value;
    stir(mc, io, ev->kind);
    if (ev->kind == RMR_IO_ACCEPTED) {
        ev_accepted(mc, io, now, ev);
        return RMR_OK;
    }
    if (!io)
        return RMR_E_UNKNOWN; /* closed meanwhile, or never ours */
    switch (ev->kind) {
    case RMR_IO_OPENED:
        io->is_whole = io->dont_fragment && ev->dont_fragment;
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
        ev_room(io, now);
        break;
    case RMR_IO_BLOCKED:
        io->sending = true;
        break;
    case RMR_IO_SEND_FAILED:
        if (io->owner && io->ops->send_failed)
            io->ops->send_failed(io->owner, now, &ev->addr, ev->err);
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

void rmri_mc_io_free_all(rmr_mc *mc)
{
    while (mc->all_io)
        io_free(mc->all_io);
}
