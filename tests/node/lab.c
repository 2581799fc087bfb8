#include "lab.h"
#include "node_internal.h"
#include "vectors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void on_event(void *user, const rmr_node_event *ev)
{
    lab *l = user;
    if (ev->kind == RMR_NODE_EV_FAILED) {
        l->failed_events++;
        l->failed_err = ev->err;
        snprintf(l->failed_text, sizeof l->failed_text, "%s", ev->text);
    }
    if (ev->kind == RMR_NODE_EV_RUNNING) {
        l->running_events++;
        l->from_cache = ev->from_cache;
    }
}

void lab_init(lab *l)
{
    memset(l, 0, sizeof *l);
    test_rng_seed(&l->rng, 1);
    l->env = test_env(&l->alloc, &l->rng, &l->log);
    l->now = RMR_SEC;
}

void lab_config(lab *l, rmr_node_config *cfg)
{
    static rmr_node_callbacks cb;
    memset(&cb, 0, sizeof cb);
    cb.struct_size = sizeof cb;
    cb.user = l;
    cb.on_event = on_event;
    rmr_node_config_init(cfg, sizeof *cfg);
    cfg->control_url = "http://127.0.0.1:9";
    cfg->auth_key = "tskey-auth-secret";
    cfg->callbacks = &cb;
}

lab_blob *lab_blob_get(lab *l, const char *name)
{
    for (size_t i = 0; i < LAB_BLOBS; i++)
        if (l->blobs[i].there && strcmp(l->blobs[i].name, name) == 0)
            return &l->blobs[i];
    return NULL;
}

static void give(lab *l, rmr_io_event *ev)
{
    if (l->m.event(l->m.self, l->now, ev) != RMR_OK)
        abort();
}

void lab_event(lab *l, rmr_io_event *ev)
{
    give(l, ev);
}

static void answer(lab *l, rmr_io_event_kind kind, uint64_t id, rmr_err err)
{
    rmr_io_event ev;
    memset(&ev, 0, sizeof ev);
    ev.kind = kind;
    ev.id = id;
    ev.err = err;
    ev.addr = rmr_addr_v4(127, 0, 0, 1, 4242);
    give(l, &ev);
}

void lab_datagram(lab *l, uint64_t id, const rmr_addr *from, rmr_buf data)
{
    rmr_io_event ev;
    memset(&ev, 0, sizeof ev);
    ev.kind = RMR_IO_DATAGRAMS;
    ev.id = id;
    ev.addr = *from;
    ev.data = data;
    give(l, &ev);
    lab_turn(l);
}

static void load(lab *l, const rmr_io_op *op)
{
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)op->name.len,
             (const char *)op->name.ptr);
    lab_blob *b = lab_blob_get(l, name);
    if (l->hold_cache && strcmp(name, "netmap.cache") == 0) {
        l->held_id = op->id;
        return;
    }
    if (l->load_err || !b) {
        answer(l, RMR_IO_FAILED, op->id,
               l->load_err ? l->load_err : RMR_E_NOTFOUND);
        return;
    }
    /* In two parts, as an adapter may. */
    rmr_io_event ev;
    memset(&ev, 0, sizeof ev);
    ev.kind = RMR_IO_LOADED;
    ev.id = op->id;
    size_t half = b->len / 2;
    ev.data = rmr_buf_of(b->data, half);
    ev.more = true;
    give(l, &ev);
    ev.data = rmr_buf_of(b->data + half, b->len - half);
    ev.more = false;
    give(l, &ev);
}

static lab_blob *lab_blob_of(lab *l, const char *name)
{
    for (size_t i = 0; i < LAB_BLOBS; i++) {
        lab_blob *b = &l->blobs[i];
        if (b->name[0] && strcmp(b->name, name) != 0)
            continue;
        snprintf(b->name, sizeof b->name, "%s", name);
        return b;
    }
    abort();
}

static void store(lab *l, const rmr_io_op *op)
{
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)op->name.len,
             (const char *)op->name.ptr);
    if (l->store_err) {
        l->stores++;
        answer(l, RMR_IO_FAILED, op->id, l->store_err);
        return;
    }
    lab_blob *b = lab_blob_of(l, name);
    l->parts++;
    bool cut = l->parts == l->cut_at;
    if (cut && !l->cut_after) {
        l->is_cut = true;
        return;
    }
    /* Parts of one id belong together. */
    if (b->store_id != op->id)
        b->fresh_len = 0;
    b->store_id = op->id;
    b->fresh = realloc(b->fresh, b->fresh_len + op->data.len + 1);
    if (!b->fresh)
        abort();
    memcpy(b->fresh + b->fresh_len, op->data.ptr, op->data.len);
    b->fresh_len += op->data.len;
    l->is_cut = cut;
    if (op->more)
        return;
    free(b->data);
    b->data = b->fresh;
    b->len = b->fresh_len;
    b->fresh = NULL;
    b->fresh_len = 0;
    b->there = true;
    if (cut)
        return;
    b->store_id = 0;
    l->stores++;
    answer(l, RMR_IO_STORED, op->id, RMR_OK);
}

static rmr_bytes copy(rmr_bytes from)
{
    uint8_t *to = malloc(from.len + 1);
    if (!to)
        abort();
    memcpy(to, from.ptr, from.len);
    return rmr_bytes_of(to, from.len);
}

static void late_free(rmr_io_op *op)
{
    free((void *)(uintptr_t)op->data.ptr);
    free((void *)(uintptr_t)op->name.ptr);
}

static void store_later(lab *l, const rmr_io_op *op)
{
    if (l->n_late == sizeof l->late / sizeof l->late[0])
        abort();
    rmr_io_op *to = &l->late[l->n_late++].op;
    *to = *op;
    to->data = copy(op->data);
    to->name = copy(op->name);
}

/* The oldest of them; false: there is none. */
static bool store_late(lab *l)
{
    if (l->n_late == 0)
        return false;
    rmr_io_op op = l->late[0].op;
    l->n_late--;
    memmove(&l->late[0], &l->late[1], l->n_late * sizeof l->late[0]);
    store(l, &op);
    late_free(&op);
    return true;
}

static void drop_late(lab *l)
{
    while (l->n_late > 0)
        late_free(&l->late[--l->n_late].op);
}

static void perform(lab *l, const rmr_io_op *op)
{
    switch (op->kind) {
    case RMR_IO_LOAD:
        load(l, op);
        break;
    case RMR_IO_STORE:
        if (l->late_stores)
            store_later(l, op);
        else
            store(l, op);
        break;
    case RMR_IO_LISTEN:
        answer(l, l->listen_err ? RMR_IO_FAILED : RMR_IO_OPENED, op->id,
               l->listen_err);
        break;
    case RMR_IO_UDP_OPEN:
        answer(l, l->udp_err ? RMR_IO_FAILED : RMR_IO_OPENED, op->id,
               l->udp_err);
        break;
    case RMR_IO_UDP_SEND:
        if (l->on_send)
            l->on_send(l, op);
        break;
    case RMR_IO_ICMP_OPEN:
        l->icmp_ids[op->addr.family == RMR_AF_INET6] = op->id;
        answer(l, l->icmp_err ? RMR_IO_FAILED : RMR_IO_OPENED, op->id,
               l->icmp_err);
        break;
    case RMR_IO_CONNECT:
        l->connects++;
        l->last_connect = op->addr;
        if (l->on_stream)
            l->on_stream(l, op);
        else
            answer(l, RMR_IO_FAILED, op->id, RMR_E_REFUSED);
        break;
    case RMR_IO_READ:
    case RMR_IO_STREAM_SEND:
    case RMR_IO_SHUTDOWN:
    case RMR_IO_CLOSE:
    case RMR_IO_ABORT:
        if (l->on_stream)
            l->on_stream(l, op);
        break;
    case RMR_IO_STOP:
        l->stopped = true;
        l->stop_err = op->err;
        break;
    default:
        break;
    }
}

void lab_turn(lab *l)
{
    for (int i = 0; i < 1000; i++) {
        rmr_io_op op;
        if (l->m.next_op(l->m.self, l->now,
                         rmr_buf_of(l->scratch, sizeof l->scratch),
                         &op) != RMR_OK)
            abort();
        if (op.kind == RMR_IO_NONE && !l->is_cut && store_late(l))
            continue;
        if (op.kind == RMR_IO_NONE || l->is_cut)
            return;
        l->ops++;
        perform(l, &op);
    }
    abort(); /* it never comes to rest */
}

rmr_err lab_start(lab *l, rmr_node_config *cfg)
{
    rmr_err err = rmr_node_new(&l->node, &l->env, cfg, l->now);
    if (err != RMR_OK)
        return err;
    l->m = rmr_node_machine(l->node);
    rmr_io_event ev;
    memset(&ev, 0, sizeof ev);
    ev.kind = RMR_IO_WALL;
    ev.wall_unix_ns = 1790000000u * RMR_SEC;
    give(l, &ev);
    lab_turn(l);
    return RMR_OK;
}

void lab_begin(lab *l, rmr_node_config *cfg)
{
    if (lab_start(l, cfg) != RMR_OK)
        abort();
}

void lab_run(lab *l, rmr_dur d)
{
    rmr_time end = rmr_time_add(l->now, d);
    for (int i = 0; i < 100000 && !l->is_cut; i++) {
        rmr_time at = l->m.next_deadline(l->m.self);
        if (at > end)
            break;
        if (at > l->now)
            l->now = at;
        if (l->m.handle_deadline(l->m.self, l->now) != RMR_OK)
            abort();
        lab_turn(l);
        if (l->stopped)
            return;
    }
    l->now = end;
}

void lab_free(lab *l)
{
    rmr_node_free(l->node);
    l->node = NULL;
    drop_late(l);
    for (size_t i = 0; i < LAB_BLOBS; i++) {
        free(l->blobs[i].data);
        free(l->blobs[i].fresh);
    }
}

int lab_end(lab *l)
{
    lab_free(l);
    return l->alloc.live_blocks == 0 ? 0 : -1;
}

void lab_feed(lab *l, const char *json)
{
    rmr_node *n = l->node;
    n->from_server = true;
    rmr_nm_frame_begin(n->nm, rmr_mc_wall(n->mc, l->now));
    if (rmr_nm_frame_feed(n->nm, rmr_bytes_str(json)) != RMR_OK ||
        rmr_nm_frame_end(n->nm) != RMR_OK)
        abort();
    n->from_server = false;
}

void lab_feed_first(lab *l, const char *json)
{
    rmri_node_cache_overtaken(l->node);
    rmr_nm_stream_begin(l->node->nm);
    lab_feed(l, json);
    l->node->dirty = true;
    lab_turn(l);
}

void lab_restart(lab *l)
{
    rmr_node_free(l->node);
    l->node = NULL;
    drop_late(l);
    l->is_cut = l->stopped = l->cut_after = false;
    l->cut_at = l->parts = l->stores = 0;
    l->failed_events = l->running_events = 0;
    l->failed_err = l->stop_err = RMR_OK;
    for (size_t i = 0; i < LAB_BLOBS; i++) { /* of the process that died */
        l->blobs[i].store_id = 0;
        l->blobs[i].fresh_len = 0;
    }
}

void lab_again(lab *l, rmr_node_config *cfg)
{
    lab_restart(l);
    lab_config(l, cfg);
    cfg->control_url = cfg->auth_key = NULL;
}

void lab_stop(lab *l)
{
    rmr_node_stop(l->node, l->now);
    lab_turn(l);
    lab_run(l, 3 * RMR_SEC);
    if (!l->stopped)
        abort();
}

void lab_state(lab *l, const void *data, size_t len)
{
    lab_blob *b = lab_blob_get(l, LAB_STATE);
    if (!b) {
        b = &l->blobs[0];
        (void)snprintf(b->name, sizeof b->name, "%s", LAB_STATE);
        b->there = true;
    }
    uint8_t *copy = malloc(len ? len : 1);
    if (!copy)
        abort();
    memcpy(copy, data, len);
    free(b->data);
    b->data = copy;
    b->len = len;
}

size_t lab_vector(const char *name, uint8_t *dst, size_t cap)
{
    char path[128];
    size_t len;
    (void)snprintf(path, sizeof path, "node/%s", name);
    char *text = tv_bytes(path, &len);
    if (len > cap)
        abort();
    memcpy(dst, text, len);
    free(text);
    return len;
}
