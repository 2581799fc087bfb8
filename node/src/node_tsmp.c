/* TSMP, what nodes say to each other inside the tunnel (IP protocol 99): pings
 * are answered and sent; all else is ignored.  The packets never enter the
 * stack. */
#include "node_internal.h"

#include <remora/cursor.h>
#include <string.h>

#define TSMP 99
#define PING 'p'
#define PONG 'o'
#define PING_LEN (1 + ND_TSMP_DATA)
#define PONG_LEN (PING_LEN + 2) /* and the port of the peerAPI */
#define QUEUE_SIZE (ND_TSMP_QUEUE * sizeof(nd_tsmp))

static size_t header_len(rmr_bytes pkt)
{
    if (pkt.len >= 20 && pkt.ptr[0] >> 4 == 4)
        return (size_t)(pkt.ptr[0] & 15) * 4;
    return pkt.len >= 40 && pkt.ptr[0] >> 4 == 6 ? 40 : 0;
}

bool rmri_node_tsmp_is(rmr_bytes pkt)
{
    size_t head = header_len(pkt);
    return head >= 20 && pkt.ptr[pkt.ptr[0] >> 4 == 4 ? 9 : 6] == TSMP;
}

/* RFC 1071 */
static uint16_t checksum(const uint8_t *p, size_t len)
{
    uint32_t sum = 0;
    for (size_t i = 0; i + 1 < len; i += 2)
        sum += rmr_load_be16(p + i);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static rmr_err put(rmr_node *n, const rmr_addr *from, const rmr_addr *to,
                   const uint8_t *data, size_t len)
{
    bool v4 = to->family == RMR_AF_INET;
    size_t head = v4 ? 20 : 40;
    if (n->n_tsmp == ND_TSMP_QUEUE)
        return RMR_E_FULL;
    if (!n->tsmp)
        n->tsmp = rmr_alloc_raw(&n->env.alloc, QUEUE_SIZE, _Alignof(nd_tsmp));
    if (!n->tsmp)
        return RMR_E_NOMEM;
    nd_tsmp *t = &n->tsmp[n->n_tsmp];
    memset(t, 0, sizeof *t);
    t->len = head + len;
    t->pkt[0] = v4 ? 0x45 : 0x60;
    if (v4) {
        rmr_store_be16(t->pkt + 2, (uint16_t)t->len);
        t->pkt[8] = 64;
        t->pkt[9] = TSMP;
        memcpy(t->pkt + 12, from->ip, 4);
        memcpy(t->pkt + 16, to->ip, 4);
        rmr_store_be16(t->pkt + 10, checksum(t->pkt, 20));
    } else {
        rmr_store_be16(t->pkt + 4, (uint16_t)len);
        t->pkt[6] = TSMP;
        t->pkt[7] = 64;
        memcpy(t->pkt + 8, from->ip, 16);
        memcpy(t->pkt + 24, to->ip, 16);
    }
    memcpy(t->pkt + head, data, len);
    n->n_tsmp++;
    n->dirty = true;
    return RMR_OK;
}

void rmri_node_tsmp_in(rmr_node *n, rmr_time now, rmr_bytes pkt)
{
    size_t head = header_len(pkt);
    bool v4 = pkt.ptr[0] >> 4 == 4;
    uint8_t answer[PONG_LEN] = {PONG};
    if (pkt.len < head + PING_LEN)
        return;
    const uint8_t *body = pkt.ptr + head;
    rmr_bytes ip = rmr_bytes_of(pkt.ptr + (v4 ? 12 : 8), v4 ? 4 : 16);
    rmr_addr from = rmr_addr_from_bytes(ip, 0);
    rmr_addr to = rmr_addr_from_bytes(rmr_bytes_of(ip.ptr + ip.len, ip.len), 0);
    if (body[0] == PING) {
        memcpy(answer + 1, body + 1, ND_TSMP_DATA);
        if (n->peerapi.listener[!v4])
            rmr_store_be16(answer + PING_LEN, n->peerapi.port);
        (void)put(n, &to, &from, answer, sizeof answer); /* or it asks again */
    } else if (body[0] == PONG) {
        uint16_t port =
            pkt.len >= head + PONG_LEN ? rmr_load_be16(body + PING_LEN) : 0;
        rmri_node_ping_tsmp_pong(n, now, &from, body + 1, port);
    }
}

rmr_err rmri_node_tsmp_ping(rmr_node *n, const rmr_addr *to,
                            const uint8_t data[ND_TSMP_DATA])
{
    uint8_t body[PING_LEN] = {PING};
    memcpy(body + 1, data, ND_TSMP_DATA);
    for (size_t i = 0; i < n->n_ips; i++)
        if (n->ips[i].family == to->family)
            return put(n, &n->ips[i], to, body, sizeof body);
    return RMR_E_UNREACHABLE;
}

size_t rmri_node_tsmp_out(rmr_node *n, uint8_t *dst)
{
    size_t len = n->tsmp[0].len;
    memcpy(dst, n->tsmp[0].pkt, len);
    n->n_tsmp--;
    memmove(&n->tsmp[0], &n->tsmp[1], n->n_tsmp * sizeof n->tsmp[0]);
    if (n->n_tsmp == 0)
        rmri_node_tsmp_free(n);
    return len;
}

void rmri_node_tsmp_free(rmr_node *n)
{
    rmr_release(&n->env.alloc, n->tsmp, QUEUE_SIZE);
    n->tsmp = NULL;
    n->n_tsmp = 0;
}
