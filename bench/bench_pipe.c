/* The whole pipe in one process: the program's bytes, a stack, a tunnel, a
 * tunnel, a stack, the program; and the acknowledgements back.  MTU 1,280,
 * windows of 1 MiB.  Beside it its parts: the same turns of TCP without the
 * tunnels, and the same packets through the tunnels without TCP. */
#include "bench_tcp.h"
#include "bench_wg.h"

#include <stdio.h>

#define TURNS 200 /* of a step */
#define TRACE_MAX (TURNS * 2 * TCP_BURST)
_Static_assert(TCP_BURST <= WG_BATCH, "one call of the tunnels takes a burst");

typedef struct pipe {
    tcp_pair tcp;
    wg_side wa, wb;
    wg_batch batch;
    bool tracing;
} pipe;

/* The packets of one step of the whole pipe. */
static struct trace {
    size_t n;
    uint64_t bytes; /* of the program's, that they carried */
    struct {
        uint16_t len;
        bool back;
    } pkts[TRACE_MAX];
} trace;

static void note(size_t len, bool back)
{
    if (trace.n == TRACE_MAX)
        bench_must(RMR_E_FULL, "trace");
    trace.pkts[trace.n].len = (uint16_t)len;
    trace.pkts[trace.n++].back = back;
}

static void into_stack(rmr_ns *ns, rmr_time now, rmr_buf pkt)
{
    bench_must(rmr_ns_read_pkt(ns, now, rmr_bytes_of(pkt.ptr, pkt.len)),
               "read_pkt");
}

static void into_a(void *user, rmr_buf pkt)
{
    pipe *p = user;
    into_stack(p->tcp.a.ns, p->tcp.now, pkt);
}

static void into_b(void *user, rmr_buf pkt)
{
    pipe *p = user;
    into_stack(p->tcp.b.ns, p->tcp.now, pkt);
}

static void tunnel(pipe *p, bool back, rmr_time now)
{
    wg_batch_pass(back ? &p->wb : &p->wa, back ? &p->wa : &p->wb, &p->batch,
                  now);
}

/* Segments are cut straight into the buffers that are sealed and opened, up to
 * WG_BATCH of them a call of the tunnels. */
static size_t carry(void *user, tcp_side *from, tcp_side *to, rmr_time now,
                    size_t burst)
{
    pipe *p = user;
    wg_batch *b = &p->batch;
    bool back = from == &p->tcp.b;
    size_t n = 0, len = 1;
    (void)to;
    for (; len && n < burst && n<WG_BATCH; n += len> 0) {
        rmr_buf room = rmr_buf_of(wg_batch_at(b, n), BENCH_PKT);
        bench_must(rmr_ns_write_pkt(from->ns, now, room, &len), "write_pkt");
        if (len && p->tracing)
            note(len, back);
        if (len)
            wg_batch_add(b, len);
    }
    tunnel(p, back, now);
    return n;
}

static void whole_step(void *user, uint64_t *ops, uint64_t *bytes)
{
    pipe *p = user;
    uint64_t before = p->tcp.b.received;
    for (int i = 0; i < TURNS; i++) {
        tcp_pair_turn(&p->tcp, carry, p, TCP_BURST);
        wg_pair_deadlines(&p->wa, &p->wb, p->tcp.now);
    }
    *ops += TURNS;
    *bytes += p->tcp.b.received - before;
}

static void tcp_step(void *user, uint64_t *ops, uint64_t *bytes)
{
    pipe *p = user;
    uint64_t before = p->tcp.b.received;
    for (int i = 0; i < TURNS; i++)
        tcp_pair_turn(&p->tcp, tcp_carry_plain, NULL, TCP_BURST);
    *ops += TURNS;
    *bytes += p->tcp.b.received - before;
}

/* The packets of the trace from the i-th on that go the same way, at most as
 * many as the whole pipe carries at once, with as little in them as a tunnel
 * looks at; returns how many. */
static size_t like_traced(pipe *p, size_t i)
{
    bool back = trace.pkts[i].back;
    size_t n = 0;
    for (; n < WG_BATCH && i + n < trace.n && trace.pkts[i + n].back == back;
         n++) {
        uint16_t len = trace.pkts[i + n].len;
        uint8_t *ip = wg_batch_at(&p->batch, n);
        ip[2] = (uint8_t)(len >> 8);
        ip[3] = (uint8_t)len;
        ip[15] = back ? 2 : 1;
        wg_batch_add(&p->batch, len);
    }
    return n;
}

static void wg_step(void *user, uint64_t *ops, uint64_t *bytes)
{
    pipe *p = user;
    uint64_t before = p->wa.packets + p->wb.packets;
    for (size_t i = 0; i < trace.n;) {
        bool back = trace.pkts[i].back;
        i += like_traced(p, i);
        tunnel(p, back, p->tcp.now);
    }
    if (p->wa.packets + p->wb.packets - before != trace.n)
        bench_must(RMR_E_INTERNAL, "packets were lost");
    *ops += TURNS;
    *bytes += trace.bytes;
}

static void record(pipe *p)
{
    uint64_t ops = 0;
    whole_step(p, &ops, &trace.bytes); /* to the steady state */
    trace.n = 0;
    trace.bytes = 0;
    p->tracing = true;
    whole_step(p, &ops, &trace.bytes);
    p->tracing = false;
}

static void bench_back_end(const rmr_aead *aead)
{
    static pipe p;
    char whole[64], wg[64];
    snprintf(whole, sizeof whole, "pipe/whole-%s/%d", aead->name, BENCH_PKT);
    snprintf(wg, sizeof wg, "pipe/wg-%s/%d", aead->name, BENCH_PKT);
    if (!bench_wants(whole) && !bench_wants(wg))
        return;
    tcp_pair_open(&p.tcp);
    wg_pair_open(&p.wa, &p.wb, aead);
    p.wa.user = p.wb.user = &p;
    p.wa.sink = into_a;
    p.wb.sink = into_b;
    record(&p);
    bench_run(whole, whole_step, &p);
    p.wa.sink = p.wb.sink = NULL;
    for (size_t i = 0; i < WG_BATCH; i++) {
        wg_ip_packet(wg_batch_at(&p.batch, i), BENCH_PKT, 1, 2);
        wg_batch_at(&p.batch, i)[19] = 0; /* nobody looks at where it goes */
    }
    bench_run(wg, wg_step, &p);
    tcp_pair_free(&p.tcp);
    wg_pair_free(&p.wa, &p.wb);
}

void bench_pipe(void)
{
    static pipe p;
    for (size_t i = 0; bench_aead(i); i++)
        bench_back_end(bench_aead(i));
    if (!bench_wants("pipe/tcp/1280"))
        return;
    tcp_pair_open(&p.tcp);
    bench_run("pipe/tcp/1280", tcp_step, &p);
    tcp_pair_free(&p.tcp);
}
