/* Datagrams between the nodes, STUN at the relay, and a gateway's NAT-PMP. */
#include "pair_internal.h"

#include <remora/cursor.h>
#include <remora/stun.h>

#include <stdlib.h>
#include <string.h>

/* ---- datagrams --------------------------------------------------------- */

void pairi_udp_open(pair *p, int i, const rmr_io_op *op)
{
    p->node[i].udp_opens++;
    if (op->addr.family != RMR_AF_INET) {
        pairi_tell(p, i, RMR_IO_FAILED, op->id, RMR_E_UNSUPPORTED);
        return;
    }
    for (size_t k = 0; k < PAIR_SOCKETS; k++) {
        pair_socket *s = &p->sockets[k];
        if (s->used)
            continue;
        s->used = true;
        s->node = i;
        s->id = op->id;
        s->port = op->addr.port ? op->addr.port : (uint16_t)(40000 + op->id);
        rmr_io_event ev;
        memset(&ev, 0, sizeof ev);
        ev.kind = RMR_IO_OPENED;
        ev.id = op->id;
        ev.addr = rmr_addr_v4(0, 0, 0, 0, s->port);
        s->whole = ev.dont_fragment = op->dont_fragment && !p->no_whole;
        pairi_give(p, i, &ev);
        return;
    }
    abort();
}

pair_socket *pairi_socket_of(pair *p, int node, uint64_t id)
{
    for (size_t k = 0; k < PAIR_SOCKETS; k++) {
        pair_socket *s = &p->sockets[k];
        if (s->used && s->node == node && s->id == id)
            return s;
    }
    return NULL;
}

static void datagram_put(pair *p, const rmr_addr *from, const rmr_addr *to,
                         const uint8_t *data, size_t len)
{
    if (p->n_datagrams == PAIR_DATAGRAMS)
        return;
    pair_datagram *d = &p->datagrams[p->n_datagrams++];
    d->from = *from;
    d->to = *to;
    d->len = len;
    d->data = pairi_grown(NULL, len); /* exact, so that overruns are seen */
    memcpy(d->data, data, len);
}

static void stun(pair *p, const rmr_addr *from, const rmr_addr *to,
                 rmr_bytes in)
{
    uint8_t answer[64];
    size_t len = 0;
    if (!p->no_stun && rmr_stun_answer(rmr_buf_of(answer, sizeof answer), &len,
                                       in, from) == RMR_OK)
        datagram_put(p, to, from, answer, len);
}

/* RFC 6886 3.2, 3.3 */
static void nat_pmp(pair *p, const rmr_addr *from, const rmr_addr *to,
                    rmr_bytes in)
{
    uint8_t out[16] = {0, 128};
    if (!p->gateway || in.len < 2 || in.ptr[0] != 0)
        return;
    rmr_store_be32(out + 4, 1000); /* seconds since it started */
    if (in.ptr[1] == 0 && in.len == 2) {
        static const uint8_t ip[4] = {203, 0, 113, 9};
        memcpy(out + 8, ip, sizeof ip);
        datagram_put(p, to, from, out, 12);
    } else if (in.ptr[1] == 1 && in.len == 12) {
        uint32_t lifetime = rmr_load_be32(in.ptr + 8);
        out[1] = 129;
        memcpy(out + 8, in.ptr + 4, 2);
        rmr_store_be16(out + 10, lifetime ? PAIR_MAPPED_PORT : 0);
        rmr_store_be32(out + 12, lifetime);
        p->unmapped += lifetime == 0;
        datagram_put(p, to, from, out, 16);
    }
}

/* A name server: the second node's address for every A, nothing else. */
static void name_server(pair *p, const rmr_addr *from, const rmr_addr *to,
                        rmr_bytes in)
{
    static const uint8_t record[] = {0xc0, 12, 0, 1, 0,   1,  0, 0,
                                     0,    60, 0, 4, 100, 64, 0, 2};
    uint8_t out[512];
    size_t end = 12;
    p->asked++;
    if (p->dns_silent || in.len > sizeof out - sizeof record)
        return;
    while (in.ptr[end])
        end += 1u + in.ptr[end];
    end += 5;
    bool is_a = in.ptr[end - 3] == 1 && !p->dns_cut;
    memcpy(out, in.ptr, end);
    out[2] = p->dns_cut ? 0x83 : 0x81;
    out[3] = 0x80;
    out[7] = is_a;
    out[11] = 0;
    memcpy(out + end, record, sizeof record);
    datagram_put(p, to, from, out, end + (is_a ? sizeof record : 0));
}

static void send_failed(pair *p, int i, const rmr_io_op *op)
{
    rmr_io_event ev;
    memset(&ev, 0, sizeof ev);
    ev.kind = RMR_IO_SEND_FAILED;
    ev.id = op->id;
    ev.addr = op->addr;
    ev.err = p->node[i].send_err ? p->node[i].send_err : RMR_E_DENIED;
    pairi_give(p, i, &ev);
}

void pairi_udp_send(pair *p, int i, const rmr_io_op *op)
{
    const pair_socket *s = pairi_socket_of(p, i, op->id);
    if (!s || op->data.len == 0)
        abort(); /* against the rules of remora/io.h */
    if (p->node[i].send_err || rmr_addr_ip_eq(&op->addr, &p->node[i].refused)) {
        send_failed(p, i, op);
        return;
    }
    size_t step = op->seg_size ? op->seg_size : op->data.len;
    rmr_addr from = p->node[i].addr;
    from.port = s->port;
    for (size_t at = 0; at < op->data.len; at += step) {
        size_t len = op->data.len - at < step ? op->data.len - at : step;
        p->longest = len + 28 > p->longest ? len + 28 : p->longest;
        if (s->whole && p->path_mtu && len + 28 > p->path_mtu)
            continue;
        if (op->addr.port == PAIR_STUN_PORT)
            stun(p, &from, &op->addr, rmr_bytes_of(op->data.ptr + at, len));
        else if (op->addr.port == PAIR_PMP_PORT)
            nat_pmp(p, &from, &op->addr, rmr_bytes_of(op->data.ptr + at, len));
        else if (op->addr.port == 53)
            name_server(p, &from, &op->addr,
                        rmr_bytes_of(op->data.ptr + at, len));
        else
            datagram_put(p, &from, &op->addr, op->data.ptr + at, len);
    }
}

static const pair_socket *socket_at(const pair *p, const rmr_addr *at)
{
    for (size_t k = 0; k < PAIR_SOCKETS; k++) {
        const pair_socket *s = &p->sockets[k];
        if (s->used && s->port == at->port && !p->node[s->node].stopped &&
            rmr_addr_ip_eq(&p->node[s->node].addr, at))
            return s;
    }
    return NULL;
}

/* One of those that are under way, whichever. */
bool pairi_step_datagram(pair *p)
{
    if (p->n_datagrams == 0)
        return false;
    size_t k = pair_random(p, p->n_datagrams < 4 ? p->n_datagrams : 4);
    pair_datagram d = p->datagrams[k];
    p->n_datagrams--;
    memmove(p->datagrams + k, p->datagrams + k + 1,
            (p->n_datagrams - k) * sizeof d);
    const pair_socket *s = socket_at(p, &d.to);
    bool of_stun =
        d.from.port == PAIR_STUN_PORT || d.from.port == PAIR_PMP_PORT;
    bool lost = p->drop_permille && pair_random(p, 1000) < p->drop_permille;
    if (s && !lost && (of_stun || p->udp)) {
        int node = s->node;
        rmr_io_event ev;
        memset(&ev, 0, sizeof ev);
        ev.kind = RMR_IO_DATAGRAMS;
        ev.id = s->id;
        ev.addr = d.from;
        ev.data = rmr_buf_of(d.data, d.len);
        p->direct += !of_stun;
        pairi_give(p, node, &ev);
        pair_drain(p, node);
    }
    free(d.data);
    return true;
}
