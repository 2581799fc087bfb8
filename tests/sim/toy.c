#include "toy.h"

#include <stdlib.h>
#include <string.h>

/* ---- the machine --------------------------------------------------------- */

static void keep(toy *t, rmr_time now, const rmr_io_event *ev)
{
    if (t->n_heard == TOY_HEARD)
        abort();
    toy_heard *h = &t->heard[t->n_heard++];
    memset(h, 0, sizeof *h);
    h->kind = ev->kind;
    h->id = ev->id;
    h->child = ev->child;
    h->addr = ev->addr;
    h->err = ev->err;
    h->at = now;
    h->len = ev->data.len;
    h->seg_size = ev->seg_size;
    h->wall = ev->wall_unix_ns;
    if (h->len)
        memcpy(h->data, ev->data.ptr, h->len < 63 ? h->len : 63);
    if (ev->links) {
        h->n_addrs = ev->links->n_addrs;
        memcpy(h->addrs, ev->links->addrs, h->n_addrs * sizeof h->addrs[0]);
        if (ev->links->n_gateways)
            h->gateway = ev->links->gateways[0];
    }
}

static rmr_err on_event(void *self, rmr_time now, const rmr_io_event *ev)
{
    toy *t = self;
    keep(t, now, ev);
    if (ev->kind == RMR_IO_DATAGRAMS && t->echoes) {
        rmr_io_op op;
        memset(&op, 0, sizeof op);
        op.kind = RMR_IO_UDP_SEND;
        op.id = ev->id;
        op.addr = ev->addr;
        op.data = rmr_bytes_of(ev->data.ptr, ev->data.len);
        op.seg_size = ev->seg_size;
        toy_op(t, &op);
    }
    if (ev->kind == RMR_IO_BYTES)
        t->bytes += ev->data.len;
    if (t->credits && ev->kind == RMR_IO_ACCEPTED)
        toy_read(t, ev->child, SIZE_MAX);
    if (t->credits && ev->kind == RMR_IO_OPENED)
        toy_read(t, ev->id, SIZE_MAX);
    return RMR_OK;
}

static rmr_err on_next_op(void *self, rmr_time now, rmr_buf scratch,
                          rmr_io_op *op)
{
    toy *t = self;
    (void)now;
    (void)scratch;
    op->kind = RMR_IO_NONE;
    if (!t->n_ops)
        return RMR_OK;
    *op = t->ops[t->first];
    t->first = (t->first + 1) % TOY_OPS;
    t->n_ops--;
    return RMR_OK;
}

static rmr_time on_next_deadline(const void *self)
{
    const toy *t = self;
    return t->spins ? 0 : t->deadline;
}

static rmr_err on_deadline(void *self, rmr_time now)
{
    toy *t = self;
    t->deadline = RMR_TIME_NEVER;
    t->deadline_at = now;
    t->n_deadlines++;
    return RMR_OK;
}

void toy_add(toy *t)
{
    rmr_machine m = {t, on_event, on_next_op, on_next_deadline, on_deadline};
    t->deadline = RMR_TIME_NEVER;
    t->n_ops = 0;
    if (rmr_sim_add(t->sim, t->host, &m, &t->program) != RMR_OK)
        abort();
}

void toy_init(toy *t, rmr_sim *s, rmr_sim_net net,
              const rmr_sim_host_config *cfg)
{
    memset(t, 0, sizeof *t);
    t->sim = s;
    if (rmr_sim_host_new(s, net, cfg, &t->host) != RMR_OK)
        abort();
    toy_add(t);
}

/* ---- operations ---------------------------------------------------------- */

void toy_op(toy *t, const rmr_io_op *op)
{
    if (t->n_ops == TOY_OPS || op->data.len + op->name.len > sizeof t->data[0])
        abort();
    size_t i = (t->first + t->n_ops++) % TOY_OPS;
    t->ops[i] = *op;
    t->ops[i].data.ptr = t->data[i];
    t->ops[i].name.ptr = t->data[i] + op->data.len;
    if (op->data.len)
        memcpy(t->data[i], op->data.ptr, op->data.len);
    if (op->name.len)
        memcpy(t->data[i] + op->data.len, op->name.ptr, op->name.len);
    (void)rmr_sim_poke(t->sim, t->program);
}

static rmr_io_op op_of(rmr_io_op_kind kind, uint64_t id)
{
    rmr_io_op op;
    memset(&op, 0, sizeof op);
    op.kind = kind;
    op.id = id;
    return op;
}

void toy_open(toy *t, uint64_t id, rmr_addr local)
{
    rmr_io_op op = op_of(RMR_IO_UDP_OPEN, id);
    op.addr = local;
    toy_op(t, &op);
}

void toy_send(toy *t, uint64_t id, rmr_addr to, const char *text)
{
    rmr_io_op op = op_of(RMR_IO_UDP_SEND, id);
    op.addr = to;
    op.data = rmr_bytes_str(text);
    toy_op(t, &op);
}

void toy_simple(toy *t, rmr_io_op_kind kind, uint64_t id)
{
    rmr_io_op op = op_of(kind, id);
    toy_op(t, &op);
}

void toy_connect(toy *t, uint64_t id, rmr_addr to, rmr_dur timeout)
{
    rmr_io_op op = op_of(RMR_IO_CONNECT, id);
    op.addr = to;
    op.timeout = timeout;
    toy_op(t, &op);
}

void toy_listen(toy *t, uint64_t id, rmr_addr local)
{
    rmr_io_op op = op_of(RMR_IO_LISTEN, id);
    op.addr = local;
    toy_op(t, &op);
}

void toy_read(toy *t, uint64_t id, size_t credit)
{
    rmr_io_op op = op_of(RMR_IO_READ, id);
    op.credit = credit;
    toy_op(t, &op);
}

void toy_write(toy *t, uint64_t id, const void *data, size_t len)
{
    rmr_io_op op = op_of(RMR_IO_STREAM_SEND, id);
    op.data = rmr_bytes_of(data, len);
    toy_op(t, &op);
}

/* ---- what was heard ------------------------------------------------------ */

const toy_heard *toy_last(const toy *t, rmr_io_event_kind kind, uint64_t id)
{
    for (size_t i = t->n_heard; i-- > 0;)
        if (t->heard[i].kind == kind && t->heard[i].id == id)
            return &t->heard[i];
    return NULL;
}

size_t toy_count(const toy *t, rmr_io_event_kind kind, uint64_t id)
{
    size_t n = 0;
    for (size_t i = 0; i < t->n_heard; i++)
        n += t->heard[i].kind == kind && t->heard[i].id == id;
    return n;
}

bool toy_got(const toy *t, uint64_t id, const char *text)
{
    const toy_heard *h = toy_last(t, RMR_IO_DATAGRAMS, id);
    return h && strcmp((const char *)h->data, text) == 0;
}

void toy_forget(toy *t)
{
    t->n_heard = 0;
}

void toy_run(toy *t, rmr_dur d)
{
    if (rmr_sim_run_until(t->sim, rmr_time_add(rmr_sim_now(t->sim), d), NULL,
                          NULL) != RMR_OK)
        abort();
}

rmr_addr addr(const char *text)
{
    rmr_addr a;
    if (rmr_addr_parse(rmr_bytes_str(text), &a) != RMR_OK &&
        rmr_addr_parse_ip(rmr_bytes_str(text), &a) != RMR_OK)
        abort();
    return a;
}

/* ---- worlds -------------------------------------------------------------- */

void bench_init(bench *b, uint64_t seed)
{
    memset(b, 0, sizeof *b);
    rmr_sim_config cfg;
    rmr_sim_config_init(&cfg, sizeof cfg);
    cfg.alloc = test_alloc_table(&b->heap);
    cfg.seed = seed;
    if (rmr_sim_new(&b->sim, &cfg) != RMR_OK)
        abort();
}

void bench_free(bench *b)
{
    rmr_sim_free(b->sim);
    if (b->heap.live_blocks)
        abort();
}

void bench_host(bench *b, toy *t, rmr_sim_net net, const char *ip,
                rmr_dur delay)
{
    rmr_sim_host_config cfg;
    rmr_addr own = addr(ip);
    rmr_sim_host_config_init(&cfg, sizeof cfg);
    cfg.addrs = &own;
    cfg.n_addrs = 1;
    cfg.up.delay = cfg.down.delay = delay;
    toy_init(t, b->sim, net, &cfg);
}
