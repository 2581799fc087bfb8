/* A forwarding stack under a program of packets, answers of its host, verdicts
 * of its filter, time, and failing memory.
 *
 * Input: one byte for each draw; the first of a step chooses what happens.
 * Invariants: what the stack counts is what is there, each request ends once,
 * all is within its bounds, and nothing leaks. */
#include <remora/cursor.h>

#include <stdio.h>
#include <stdlib.h>

#include "../tests/netstack/ns_pkt.h"

#include "../tests/netstack/ns_check.h"

#include "support.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_FLOWS 6u
#define MAX_UDP 8u
#define MAX_SOCKETS 12u
#define MEMORY_MAX (4u << 20)
#define KNOWN 32u

typedef struct fuzz {
    rmr_rd in;
    test_alloc alloc;
    test_rng rng;
    rmr_ns *ns;
    rmr_time now;
    rmr_ns_flow flows[MAX_FLOWS]; /* that wait */
    rmr_ns_sock socks[KNOWN];     /* may be stale */
    uint32_t n_socks;
    rmr_ns_sock closed[KNOWN]; /* by us */
    uint32_t n_closed;
    rmr_ns_verdict verdict[2];
    uint8_t out[1280]; /* the last that went out */
    size_t out_len;
    uint8_t answer; /* inside on_flow: 1 accept, 2 refuse */
} fuzz;

static uint8_t draw(fuzz *f)
{
    return f->in.left ? rmr_rd_u8(&f->in) : 0;
}

static uint16_t draw16(fuzz *f)
{
    uint16_t hi = draw(f);
    return (uint16_t)(hi << 8 | draw(f));
}

/* ---- the host --------------------------------------------------------- */

static void remember(fuzz *f, rmr_ns_sock s)
{
    f->socks[f->n_socks++ % KNOWN] = s;
}

static bool forget_flow(fuzz *f, rmr_ns_flow flow)
{
    for (uint32_t i = 0; i < MAX_FLOWS; i++) {
        if (f->flows[i].id == flow.id) {
            f->flows[i].id = 0;
            return true;
        }
    }
    return false;
}

static void accept_flow(fuzz *f, rmr_ns_flow flow)
{
    rmr_ns_sock s;
    rmr_err e = rmr_ns_flow_accept(f->ns, f->now, flow, f, &s);
    if (e == RMR_OK) {
        NS_CHECK(forget_flow(f, flow));
        remember(f, s);
    } else if (e != RMR_E_BADHANDLE) {
        NS_CHECK(e == RMR_E_FULL || e == RMR_E_NOMEM);
    }
}

static void refuse_flow(fuzz *f, rmr_ns_flow flow, uint8_t why)
{
    static const rmr_err whys[] = {RMR_E_REFUSED, RMR_E_UNREACHABLE,
                                   RMR_E_DENIED, RMR_E_TIMEOUT};
    if (rmr_ns_flow_refuse(f->ns, f->now, flow, whys[why & 3]) == RMR_OK)
        NS_CHECK(forget_flow(f, flow));
}

static void on_flow(void *user, rmr_ns_flow flow, uint8_t protocol,
                    const rmr_addr *from, const rmr_addr *to)
{
    fuzz *f = user;
    uint32_t i = 0;
    NS_CHECK(protocol == RMR_NS_TCP || protocol == RMR_NS_UDP);
    NS_CHECK(from->family == to->family);
    while (i < MAX_FLOWS && f->flows[i].id)
        i++;
    NS_CHECK(i < MAX_FLOWS);
    f->flows[i] = flow;
    NS_CHECK(rmr_ns_flow_set_tag(f->ns, flow, f) == RMR_OK);
    if (f->answer == 1)
        accept_flow(f, flow);
    else if (f->answer == 2)
        refuse_flow(f, flow, 0);
}

static void on_flow_gone(void *user, void *tag, rmr_ns_flow flow)
{
    NS_CHECK(tag == user);
    NS_CHECK(forget_flow(user, flow));
}

static rmr_ns_verdict on_filter(void *user, const rmr_ns_view *view)
{
    const fuzz *f = user;
    volatile uint8_t last = view->packet.ptr[view->packet.len - 1];
    (void)last;
    NS_CHECK(view->from.family == view->to.family);
    return f->verdict[view->dir];
}

static void close_socket(fuzz *f, rmr_ns_sock s, bool abort)
{
    rmr_err e =
        abort ? rmr_ns_abort(f->ns, f->now, s) : rmr_ns_close(f->ns, f->now, s);
    if (e == RMR_OK)
        f->closed[f->n_closed++ % KNOWN] = s;
}

static void on_closed(void *user, void *tag, rmr_ns_sock s, rmr_err why)
{
    const fuzz *f = user;
    (void)tag;
    (void)why;
    for (uint32_t i = 0; i < KNOWN; i++)
        NS_CHECK(f->closed[i].id != s.id);
}

static void on_datagram(void *user, void *tag, rmr_ns_sock s,
                        const rmr_addr *from, const rmr_addr *to,
                        rmr_bytes data)
{
    fuzz *f = user;
    (void)tag;
    (void)to;
    if (data.len && data.ptr[0] == 1) /* an echo server */
        (void)rmr_ns_udp_send(f->ns, f->now, s, NULL, from, data);
    else if (data.len && data.ptr[0] == 2)
        close_socket(f, s, false);
    else if (data.len && data.ptr[0] == 3)
        accept_flow(f, f->flows[data.len % MAX_FLOWS]);
}

static void on_raw(void *user, void *tag, rmr_ns_sock s, rmr_bytes p)
{
    fuzz *f = user;
    (void)tag;
    if (p.ptr[p.len - 1] == 2)
        close_socket(f, s, false);
}

static void on_echo(void *user, const rmr_addr *from, const rmr_addr *to,
                    uint16_t id, uint16_t seq, rmr_bytes payload)
{
    fuzz *f = user;
    (void)rmr_ns_echo_reply(f->ns, f->now, to, from, id, seq, payload);
}

static void make(fuzz *f)
{
    rmr_ns_config cfg;
    rmr_ns_callbacks cb;
    memset(&cb, 0, sizeof cb);
    test_rng_seed(&f->rng, 7);
    rmr_env env = test_env(&f->alloc, &f->rng, NULL);
    cb.struct_size = sizeof cb;
    cb.user = f;
    cb.on_flow = on_flow;
    cb.on_flow_gone = on_flow_gone;
    cb.on_filter = on_filter;
    cb.on_closed = on_closed;
    cb.on_datagram = on_datagram;
    cb.on_raw = on_raw;
    cb.on_echo = on_echo;
    rmr_ns_config_init(&cfg, sizeof cfg);
    cfg.callbacks = &cb;
    cfg.forward = true;
    cfg.max_flows = MAX_FLOWS;
    cfg.max_udp_flows = MAX_UDP;
    cfg.max_sockets = MAX_SOCKETS;
    cfg.max_time_wait = 4;
    cfg.backlog = 2;
    cfg.memory_max = 256 * 1024;
    rmr_err e = RMR_E_RNG;
    f->rng.fail_at = draw(f) & 15; /* most of the time: never */
    e = rmr_ns_new(&f->ns, &env, &cfg, f->now);
    if (f->rng.fail_at == 0)
        NS_CHECK(e == RMR_OK);
    f->rng.fail_at = 0;
    if (e) {
        NS_CHECK(e == RMR_E_RNG && f->alloc.live_blocks == 0);
        NS_CHECK(rmr_ns_new(&f->ns, &env, &cfg, f->now) == RMR_OK);
    }
}

/* ---- packets ---------------------------------------------------------- */

/* Of three clients, own and foreign addresses of both families. */
static rmr_addr pick(fuzz *f, bool client, bool v6)
{
    uint8_t c = draw(f);
    rmr_addr a = rmr_addr_v4(client ? 100 : (c & 4 ? 10 : 8), 0, 0,
                             (uint8_t)(client ? 2 + c % 3 : 1 + c % 2), 0);
    if (v6) {
        uint8_t ip[16] = {0xfd, (uint8_t)(client ? 7 : c & 4)};
        ip[15] = (uint8_t)(client ? 2 + c % 3 : 1 + c % 2);
        a = rmr_addr_from_bytes(rmr_bytes_of(ip, 16), 0);
    }
    static const uint16_t ports[] = {53, 80, 443, 0};
    a.port = client ? (uint16_t)(1000 + c % 5) : ports[c >> 6];
    return a;
}

static void feed(fuzz *f, const uint8_t *p, size_t n)
{
    uint8_t *exact = malloc(n ? n : 1);
    if (!exact)
        abort();
    if (n)
        memcpy(exact, p, n);
    (void)rmr_ns_read_pkt(f->ns, f->now, rmr_bytes_of(exact, n));
    free(exact);
}

static size_t build(fuzz *f, uint8_t *p, uint8_t kind)
{
    bool v6 = (kind & 1) != 0;
    rmr_addr from = pick(f, true, v6), to = pick(f, false, v6);
    uint8_t data[600];
    size_t n = draw(f) * 2u;
    memset(data, draw(f), sizeof data);
    switch (kind >> 1 & 3) {
    case 0:
        return pkt_tcp(p, &from, &to, draw(f), draw(f), draw(f));
    case 1:
        return pkt_udp(p, &from, &to, data, n);
    case 2:
        return pkt_icmp(p, &from, &to, draw(f), draw(f) & 3, 1, data, n);
    default:
        memset(p + 40, draw(f), 100);
        return pkt_ip(p, &from, &to, draw(f), 80);
    }
}

static void packet_in(fuzz *f, uint8_t kind)
{
    uint8_t p[1400] = {0};
    size_t n = build(f, p, kind);
    if (kind & 0x80) /* broken somewhere */
        p[draw(f) % n] ^= draw(f);
    feed(f, p, n);
}

static void piece_in(fuzz *f, uint8_t kind)
{
    uint8_t p[1400] = {0};
    ns_tuple t;
    bool v6 = (kind & 1) != 0;
    rmr_addr from = pick(f, true, v6), to = pick(f, false, v6);
    memset(&t, 0, sizeof t);
    t.local = rmri_ns_ip_of(&from);
    t.remote = rmri_ns_ip_of(&to);
    t.family = from.family;
    t.proto = kind & 2 ? 17 : draw(f);
    size_t off = (size_t)(draw16(f) & 0x1fff) * 8, n = draw(f) * 4u;
    if (kind & 4)
        off &= 0xf8;
    size_t hl = rmri_ns_ip_write_piece(p, &t, draw(f) & 3, off, n, kind & 8);
    rmr_store_be16(p + hl, from.port);
    rmr_store_be16(p + hl + 2, to.port);
    rmr_store_be16(p + hl + 4, (uint16_t)(8 + draw16(f) % 600));
    feed(f, p, hl + n);
}

/* The peer of what went out last answers it, or a router complains of it. */
static void answer_in(fuzz *f, uint8_t kind)
{
    uint8_t p[1400] = {0};
    const uint8_t *o = f->out;
    bool v4 = f->out_len && o[0] >> 4 == 4;
    size_t hl = v4 ? 20 : 40, at = v4 ? 12 : 8, n = v4 ? 4 : 16;
    if (f->out_len < hl + 20)
        return;
    rmr_addr from = rmr_addr_from_bytes(rmr_bytes_of(o + at + n, n),
                                        rmr_load_be16(o + hl + 2));
    rmr_addr to =
        rmr_addr_from_bytes(rmr_bytes_of(o + at, n), rmr_load_be16(o + hl));
    if (kind & 1) {
        size_t quote = f->out_len < 500 ? f->out_len : 500;
        feed(f, p,
             pkt_icmp(p, &from, &to, draw(f) & 15, draw(f) & 15, 1280, o,
                      quote));
    } else if (o[v4 ? 9 : 6] == 6) {
        uint32_t seq = rmr_load_be32(o + hl + 4);
        feed(f, p,
             pkt_tcp(p, &from, &to, (uint8_t)(draw(f) & ~PKT_SYN) | 16,
                     rmr_load_be32(o + hl + 8), seq + 1));
    }
}

/* ---- the host's calls -------------------------------------------------- */

static void call_socket(fuzz *f, uint8_t kind)
{
    static const uint8_t zeros[65536];
    rmr_ns_sock s = f->socks[draw(f) % KNOWN];
    rmr_addr to = pick(f, true, kind & 1);
    size_t taken;
    switch (kind >> 1 & 7) {
    case 0:
        (void)rmr_ns_udp_send(f->ns, f->now, s, NULL, NULL,
                              rmr_bytes_of(zeros, draw16(f)));
        break;
    case 1:
        (void)rmr_ns_udp_send(f->ns, f->now, s, NULL, &to,
                              rmr_bytes_of(zeros, draw16(f)));
        break;
    case 2:
        (void)rmr_ns_tcp_send(f->ns, f->now, s, rmr_bytes_of(zeros, draw16(f)),
                              &taken);
        break;
    case 3:
        (void)rmr_ns_tcp_shutdown(f->ns, f->now, s);
        break;
    case 4:
        close_socket(f, s, false);
        break;
    case 5:
        close_socket(f, s, true);
        break;
    case 6:
        (void)rmr_ns_set_tos(f->ns, s, draw(f));
        break;
    default:
        (void)rmr_ns_set_tag(f->ns, s, f);
        break;
    }
}

static void open_socket(fuzz *f, uint8_t kind)
{
    rmr_addr own = pick(f, false, kind & 1), peer = pick(f, true, kind & 1);
    rmr_ns_sock s;
    rmr_err e;
    if (kind & 2)
        own.family = RMR_AF_NONE;
    if (kind & 4)
        memset(own.ip, 0, sizeof own.ip);
    switch (kind >> 3 & 3) {
    case 0:
        e = rmr_ns_udp_bind(f->ns, &own, f, &s);
        break;
    case 1:
        e = rmr_ns_udp_connect(f->ns, &own, &peer, f, &s);
        break;
    case 2:
        e = rmr_ns_raw_open(f->ns, kind & 1 ? 6 : 4, draw(f), f, &s);
        break;
    default:
        e = rmr_ns_tcp_listen(f->ns, &own, f, &s);
        break;
    }
    if (!e)
        remember(f, s);
}

static void raw_out(fuzz *f, uint8_t kind)
{
    uint8_t p[1400] = {0};
    size_t n = build(f, p, kind);
    if (kind & 0x80)
        p[draw(f) % n] ^= draw(f);
    (void)rmr_ns_raw_send(f->ns, f->now, rmr_bytes_of(p, n));
}

static void answer_flow(fuzz *f, uint8_t kind)
{
    rmr_ns_flow flow = f->flows[kind % MAX_FLOWS];
    if (kind & 0x80)
        accept_flow(f, flow);
    else
        refuse_flow(f, flow, kind >> 4);
}

/* ---- invariants ------------------------------------------------------- */

static void check_sources(const rmr_ns *ns)
{
    uint32_t pending = 0, udp = 0, pos = 0;
    size_t bytes = 0;
    for (ns_source *s; (s = rmr_slots_next(&ns->sources, &pos, NULL));) {
        NS_CHECK(s->pending || s->udp);
        NS_CHECK(s->pending <= MAX_FLOWS * 2 / 3 && s->udp <= MAX_UDP / 4);
        pending += s->pending;
        udp += s->udp;
        bytes += s->bytes;
    }
    NS_CHECK(pending == ns->pends.used && udp == ns->n_sessions);
    NS_CHECK(bytes == ns->waiting_bytes && bytes <= NS_WAITING_BYTES);
    NS_CHECK(ns->source_table.used == ns->sources.used);
}

static void check_all(fuzz *f)
{
    rmr_ns_stats st;
    uint32_t waiting = 0;
    for (uint32_t i = 0; i < MAX_FLOWS; i++)
        waiting += f->flows[i].id != 0;
    rmr_ns_get_stats(f->ns, &st);
    NS_CHECK(st.flows == waiting && st.udp_flows <= MAX_UDP);
    NS_CHECK(st.sockets <= MAX_SOCKETS);
    NS_CHECK(f->alloc.live_bytes < MEMORY_MAX);
    check_sources(f->ns);
    ns_check(f->ns);
}

static void drain(fuzz *f)
{
    uint8_t buf[1280];
    for (int i = 0; i < 2000; i++) {
        size_t len;
        NS_CHECK(rmr_ns_write_pkt(f->ns, f->now, rmr_buf_of(buf, sizeof buf),
                                  &len) == RMR_OK);
        if (!len)
            return;
        memcpy(f->out, buf, len);
        f->out_len = len;
    }
    abort(); /* it never ends */
}

static void pass(fuzz *f, rmr_dur d)
{
    f->now += d;
    if (rmr_ns_next_deadline(f->ns) > f->now)
        return;
    NS_CHECK(rmr_ns_handle_deadline(f->ns, f->now) == RMR_OK);
    NS_CHECK(rmr_ns_next_deadline(f->ns) > f->now);
}

static void step(fuzz *f)
{
    uint8_t what = draw(f), kind = draw(f);
    switch (what % 12) {
    case 0:
    case 1:
        packet_in(f, kind);
        break;
    case 2:
        piece_in(f, kind);
        break;
    case 3:
        answer_in(f, kind);
        break;
    case 4:
        call_socket(f, kind);
        break;
    case 5:
        open_socket(f, kind);
        break;
    case 6:
        raw_out(f, kind);
        break;
    case 7:
        answer_flow(f, kind);
        break;
    case 8:
        pass(f, (rmr_dur)kind * (what & 0x80 ? RMR_SEC : 10 * RMR_MS));
        break;
    case 9:
        f->verdict[0] = (rmr_ns_verdict)(kind & 3);
        f->verdict[1] = (rmr_ns_verdict)(kind >> 2 & 3);
        break;
    case 10:
        f->answer = kind % 3;
        break;
    default:
        f->alloc.fail_at = f->alloc.calls + kind % 8;
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz *f = calloc(1, sizeof *f);
    if (!f)
        abort();
    f->in = rmr_rd_of(rmr_bytes_of(data, size));
    f->now = 100 * RMR_SEC;
    make(f);
    rmr_addr me = rmr_addr_v4(10, 0, 0, 1, 0), me6;
    (void)rmr_addr_parse_ip(rmr_bytes_str("fd04::1"), &me6);
    NS_CHECK(rmr_ns_addr_add(f->ns, &me) == RMR_OK);
    NS_CHECK(rmr_ns_addr_add(f->ns, &me6) == RMR_OK);
    for (int i = 0; i < 500 && f->in.left; i++) {
        step(f);
        if (f->in.left % 3)
            drain(f);
        check_all(f);
    }
    if (size % 2) { /* else it is freed in the middle */
        f->alloc.fail_at = 0;
        f->verdict[0] = f->verdict[1] = RMR_NS_ACCEPT;
        for (int i = 0; i < 20; i++) {
            drain(f);
            pass(f, 61 * RMR_SEC);
        }
        check_all(f);
        rmr_ns_stats st;
        rmr_ns_get_stats(f->ns, &st);
        NS_CHECK(st.flows == 0 && st.udp_flows == 0);
    }
    rmr_ns_free(f->ns);
    NS_CHECK(f->alloc.live_blocks == 0);
    free(f);
    return 0;
}
