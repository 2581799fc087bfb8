/* Blobs by the program's own functions, in place of the adapter's. */
#include "node_internal.h"

#include <string.h>

#define PART_MAX ((size_t)64 * 1024)

static bool name_of(rmr_bytes name, char out[64])
{
    if (name.len >= 64)
        return false;
    memcpy(out, name.ptr, name.len);
    out[name.len] = 0;
    return true;
}

static bool answer(rmr_node *n, rmr_time now, uint64_t id,
                   rmr_io_event_kind kind, rmr_err err, rmr_buf data, bool more)
{
    rmr_io_event ev;
    memset(&ev, 0, sizeof ev);
    ev.kind = kind;
    ev.id = id;
    ev.err = err;
    ev.data = data;
    ev.more = more;
    return rmr_mc_event(n->mc, now, &ev) == RMR_OK;
}

/* Parts go on as long as somebody takes them. */
static void load(rmr_node *n, rmr_time now, uint64_t id, const char *name,
                 rmr_buf scratch)
{
    rmr_buf part = rmr_buf_of(scratch.ptr, PART_MAX);
    for (uint64_t at = 0;; at += part.len) {
        size_t len = 0;
        part.len = PART_MAX;
        n->in_callback++;
        rmr_err err = n->store.get(n->store.user, name, at, part, &len);
        n->in_callback--;
        if (err == RMR_OK && len > PART_MAX)
            err = RMR_E_IO;
        if (err != RMR_OK) {
            answer(n, now, id, RMR_IO_FAILED, err, rmr_buf_of(NULL, 0), false);
            return;
        }
        bool more = len == PART_MAX;
        part.len = len;
        if (!answer(n, now, id, RMR_IO_LOADED, RMR_OK, part, more) || !more)
            return;
    }
}

/* A node stores few blobs, each under one id at a time: one that was given up
 * is followed by another of the same name. */
static nd_put *put_of(rmr_node *n, uint64_t id, const char *name)
{
    nd_put *p = &n->puts[rmr_bytes_eq_str(rmr_bytes_str(name), ND_STATE_NAME)];
    if (p->id != id) {
        p->id = id;
        p->at = 0;
        p->err = RMR_OK;
    }
    return p;
}

static void put(rmr_node *n, rmr_time now, const rmr_io_op *op,
                const char *name)
{
    nd_put *p = put_of(n, op->id, name);
    if (op->more && op->data.len == 0)
        return; /* given up */
    if (p->err == RMR_OK) {
        n->in_callback++;
        p->err = n->store.put(n->store.user, name, p->at, op->data, !op->more);
        n->in_callback--;
    }
    p->at += op->data.len;
    if (!op->more)
        answer(n, now, op->id, p->err ? RMR_IO_FAILED : RMR_IO_STORED, p->err,
               rmr_buf_of(NULL, 0), false);
}

bool rmri_node_store_takes(rmr_node *n, rmr_time now, rmr_buf scratch,
                           const rmr_io_op *op)
{
    char name[64];
    if (!n->store.get || (op->kind != RMR_IO_LOAD && op->kind != RMR_IO_STORE))
        return false;
    if (!name_of(op->name, name))
        return false;
    if (op->kind == RMR_IO_LOAD)
        load(n, now, op->id, name, scratch);
    else
        put(n, now, op, name);
    n->dirty = true;
    return true;
}
