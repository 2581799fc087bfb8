/* UDP and ICMP echo sockets. */
#include "sim_internal.h"

#include <string.h>

enum { ECHO4 = 8, REPLY4 = 0, ECHO6 = 128, REPLY6 = 129, ECHO_HEADER = 8 };

static const rmr_bytes nothing;

/* ---- opening ------------------------------------------------------------- */

static rmr_err open_icmp(rmr_sim *s, uint64_t handle, const sim_host *h,
                         const rmr_io_op *op)
{
    rmr_addr any;
    memset(&any, 0, sizeof any);
    any.family = op->addr.family;
    return h->icmp_denied ? RMR_E_DENIED
                          : rmri_sim_bind(s, handle, SIM_ICMP, any);
}

void rmri_sim_udp_open(rmr_sim *s, uint32_t program, const rmr_io_op *op)
{
    uint64_t handle;
    sim_object *o =
        rmri_sim_object_new(s, SIM_SOCKET, program, op->id, &handle);
    if (!o)
        return;
    const sim_host *h = rmri_sim_host(s, o->host);
    rmr_io_event ev;
    memset(&ev, 0, sizeof ev);
    if (op->kind == RMR_IO_ICMP_OPEN)
        ev.err = open_icmp(s, handle, h, op);
    else
        ev.err = h->no_local_udp ? RMR_E_DENIED
                                 : rmri_sim_bind(s, handle, SIM_UDP, op->addr);
    o->is_whole = ev.dont_fragment = op->dont_fragment;
    ev.kind = ev.err ? RMR_IO_FAILED : RMR_IO_OPENED;
    ev.id = op->id;
    ev.addr = o->local;
    rmri_sim_tell(s, program, &ev, nothing);
}

/* ---- sending ------------------------------------------------------------- */

static void send_failed(rmr_sim *s, const sim_object *o, const rmr_addr *to,
                        rmr_err err)
{
    rmr_io_event ev;
    memset(&ev, 0, sizeof ev);
    ev.kind = RMR_IO_SEND_FAILED;
    ev.id = o->id;
    ev.err = err;
    ev.addr = *to;
    rmri_sim_tell(s, o->program, &ev, nothing);
}

static uint8_t echo_type(const rmr_addr *a, bool is_reply)
{
    if (a->family == RMR_AF_INET)
        return is_reply ? REPLY4 : ECHO4;
    return is_reply ? REPLY6 : ECHO6;
}

/* The kernel's identifier in place of the program's; false: no echo. */
static bool make_echo(sim_packet *p, uint16_t id)
{
    if (p->len < ECHO_HEADER || p->data[0] != echo_type(&p->dst, false))
        return false;
    p->data[2] = p->data[3] = 0; /* a checksum would be the kernel's work */
    p->data[4] = (uint8_t)(id >> 8);
    p->data[5] = (uint8_t)id;
    p->dst.port = id;
    return true;
}

static void send_one(rmr_sim *s, const sim_object *o, const rmr_addr *to,
                     rmr_bytes data)
{
    sim_host *h = rmri_sim_host(s, o->host);
    rmr_addr src = o->local;
    if (rmri_sim_is_any(&src) && !rmri_sim_source(h, to, &src)) {
        h->stats.unreachable++;
        send_failed(s, o, to, RMR_E_UNREACHABLE);
        return;
    }
    sim_packet *p = rmri_sim_packet(s, data);
    if (!p)
        return;
    p->proto = o->proto;
    p->src = src;
    p->src.port = o->local.port;
    p->dst = *to;
    p->is_whole = o->is_whole;
    size_t mtu = p->is_whole || !h->up.config.fragments ? h->up.config.mtu : 0;
    bool is_wrong = o->proto == SIM_ICMP && !make_echo(p, o->local.port);
    bool is_long =
        data.len > SIM_LARGEST_UDP || (mtu && rmri_sim_packet_ip_len(p) > mtu);
    if (is_wrong || is_long) {
        h->stats.too_big += is_long;
        send_failed(s, o, to, is_long ? RMR_E_TOOBIG : RMR_E_INVAL);
        rmr_release(&s->c.alloc, p, sizeof *p + p->len);
        return;
    }
    h->stats.tx_datagrams++;
    h->stats.tx_bytes += data.len;
    rmri_sim_leave(s, o->host, p);
}

static void send_all(rmr_sim *s, const sim_object *o, const rmr_addr *to,
                     rmr_bytes data, size_t seg)
{
    if (to->family != o->local.family || (!to->port && o->proto == SIM_UDP)) {
        send_failed(s, o, to, RMR_E_UNREACHABLE);
        return;
    }
    size_t at = 0;
    do {
        size_t n = data.len - at;
        if (seg && n > seg)
            n = seg;
        send_one(s, o, to, rmr_bytes_of(data.ptr + at, n));
        at += n;
    } while (at < data.len);
}

/* ---- a full socket ------------------------------------------------------- */

static void unblock(rmr_sim *s, sim_happening *h)
{
    sim_object *o = rmri_sim_object(s, h->a);
    if (!o)
        return;
    send_all(s, o, &o->kept_to, rmr_bytes_of(o->kept, o->kept_len),
             o->kept_seg);
    rmr_release(&s->c.alloc, o->kept, o->kept_len);
    o->kept = NULL;
    o->kept_len = 0;
    o->is_blocked = false;
    rmri_sim_answer(s, o->program, RMR_IO_WRITABLE, o->id, RMR_OK);
}

static void block(rmr_sim *s, sim_object *o, uint64_t handle,
                  const rmr_io_op *op, rmr_time until)
{
    if (op->data.len) {
        o->kept = rmri_sim_alloc(s, op->data.len);
        if (!o->kept)
            return;
        memcpy(o->kept, op->data.ptr, op->data.len);
    }
    o->kept_len = op->data.len;
    o->kept_seg = op->seg_size;
    o->kept_to = op->addr;
    o->is_blocked = true;
    rmri_sim_answer(s, o->program, RMR_IO_BLOCKED, o->id, RMR_OK);
    rmri_sim_happen(s, until, unblock, handle, 0, NULL, 0);
}

/* What a machine sends in spite of BLOCKED is lost, as the kernel does it. */
void rmri_sim_udp_send(rmr_sim *s, sim_object *o, uint64_t handle,
                       const rmr_io_op *op)
{
    const sim_host *h = rmri_sim_host(s, o->host);
    if (o->is_blocked)
        return;
    if (h->blocked_until > s->now)
        block(s, o, handle, op, h->blocked_until);
    else
        send_all(s, o, &op->addr, op->data, op->seg_size);
}

/* ---- coming in ----------------------------------------------------------- */

static void reply(rmr_sim *s, const sim_packet *p, const sim_host *h,
                  rmr_sim_host host)
{
    if (h->no_ping || p->len < ECHO_HEADER)
        return;
    sim_packet *r = rmri_sim_packet(s, rmr_bytes_of(p->data, p->len));
    if (!r)
        return;
    r->proto = SIM_ICMP;
    r->is_reply = true;
    r->src = p->dst;
    r->dst = p->src;
    r->src.port = r->dst.port;
    r->data[0] = echo_type(&r->dst, true);
    rmri_sim_leave(s, host, r);
}

static sim_packet *take(sim_object *o)
{
    sim_packet *p = o->first_in;
    o->first_in = p->next;
    if (!o->first_in)
        o->last_in = NULL;
    o->in_bytes -= p->len;
    return p;
}

void rmri_sim_socket_wipe(rmr_sim *s, sim_object *o)
{
    while (o->first_in) {
        sim_packet *p = take(o);
        rmr_release(&s->c.alloc, p, sizeof *p + p->len);
    }
}

/* The first datagram, and those after it that make a run with it: of one
 * sender, of one size, the last may be shorter. */
static size_t join(rmr_sim *s, sim_object *o, const sim_packet *first)
{
    size_t len = first->len;
    bool is_last = false;
    memcpy(s->run, first->data, len);
    while (!is_last && o->first_in && first->len &&
           rmr_addr_eq(&o->first_in->src, &first->src) && o->first_in->len &&
           o->first_in->len <= first->len &&
           len + o->first_in->len <= SIM_LARGEST_UDP) {
        sim_packet *p = take(o);
        memcpy(s->run + len, p->data, p->len);
        len += p->len;
        is_last = p->len < first->len;
        rmr_release(&s->c.alloc, p, sizeof *p + p->len);
    }
    return len;
}

static void readable(rmr_sim *s, sim_happening *x)
{
    sim_object *o = rmri_sim_object(s, x->a);
    if (!o)
        return;
    const sim_host *h = rmri_sim_host(s, o->host);
    if (rmri_sim_sleeps(s, h)) {
        rmri_sim_happen(s, h->sleeps_until, readable, x->a, 0, NULL, 0);
        return;
    }
    sim_packet *p = take(o);
    rmr_io_event ev;
    memset(&ev, 0, sizeof ev);
    ev.kind = RMR_IO_DATAGRAMS;
    ev.id = o->id;
    ev.addr = p->src;
    ev.data = rmr_buf_of(p->data, p->len);
    if (h->receive_runs && o->first_in) {
        size_t len = join(s, o, p);
        ev.data = rmr_buf_of(s->run, len);
        ev.seg_size = len > p->len ? (uint32_t)p->len : 0;
    }
    o->read_due = o->first_in != NULL;
    if (o->read_due)
        rmri_sim_happen(s, s->now, readable, x->a, 0, NULL, 0);
    rmri_sim_give(s, o->program, &ev);
    rmr_release(&s->c.alloc, p, sizeof *p + p->len);
}

static void queue(rmr_sim *s, sim_object *o, uint64_t handle, sim_packet *p)
{
    p->next = NULL;
    if (o->last_in)
        o->last_in->next = p;
    else
        o->first_in = p;
    o->last_in = p;
    o->in_bytes += p->len;
    if (!o->read_due)
        rmri_sim_happen(s, s->now, readable, handle, 0, NULL, 0);
    o->read_due = true;
}

bool rmri_sim_arrive(rmr_sim *s, sim_packet *p, sim_host *h, rmr_sim_host host)
{
    if (p->proto == SIM_ICMP && !p->is_reply) {
        reply(s, p, h, host);
        return false;
    }
    uint64_t handle = rmri_sim_bound(s, host, p->proto, &p->dst);
    sim_object *o = rmri_sim_object(s, handle);
    if (!o || o->in_bytes + p->len > SIM_SOCKET_BYTES) {
        h->stats.no_socket += !o;
        h->stats.socket_full += o != NULL;
        return false;
    }
    if (p->proto == SIM_ICMP) {
        p->data[4] = (uint8_t)(p->dst.port >> 8);
        p->data[5] = (uint8_t)p->dst.port;
        p->src.port = 0;
    }
    h->stats.rx_datagrams++;
    h->stats.rx_bytes += p->len;
    queue(s, o, handle, p);
    return true;
}
