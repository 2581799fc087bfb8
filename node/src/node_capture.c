/* The packets inside the tunnels, for clients of the local endpoint that watch
 * them: a file in the pcap format, as it grows.  A client that reads too slowly
 * loses packets, and they are counted; the node never waits for one. */
#include "node_internal.h"

#include <string.h>

#define CAPTURE_MAX ((size_t)1024 * 1024) /* that a client did not read yet */
#define RECORD_HEAD ((size_t)16)
#define MAX_KEPT ((size_t)2048) /* bytes of a packet */

/* Numbers of a pcap file are in the byte order of its magic number: ours, so
 * that it is the same file on every host, is little-endian. */
static void put32(uint8_t *dst, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        dst[i] = (uint8_t)(v >> (8 * i));
}

bool rmri_node_capture_start(nd_conn *c)
{
    nd_local *l = c->local;
    uint8_t head[24] = {0};
    put32(head, 0xa1b23c4d); /* times in nanoseconds */
    head[4] = 2;             /* version 2.4 */
    head[6] = 4;
    put32(head + 16, MAX_KEPT);
    put32(head + 20, 101); /* LINKTYPE_RAW: IPv4 or IPv6 */
    rmr_ring_wipe(&l->out);
    rmr_ring_init(&l->out, &c->n->env.alloc, CAPTURE_MAX);
    static const char ok[] = "{\"ok\":true}\n";
    if (rmr_ring_write_all(&l->out, rmr_bytes_str(ok)) != RMR_OK ||
        rmr_ring_write_all(&l->out, rmr_bytes_of(head, sizeof head)) != RMR_OK)
        return false;
    l->mode = ND_LOCAL_CAPTURE;
    c->n->captures++;
    rmr_logf(&c->n->env.log, RMR_LOG_INFO, ND_LAYER, "a capture begins");
    rmr_mc_io_output(c->io);
    return true;
}

/* In one piece or not at all: a record cut in the middle would spoil all that
 * come behind it. */
static bool put_packet(nd_conn *c, uint64_t wall, rmr_bytes pkt)
{
    uint8_t record[RECORD_HEAD + MAX_KEPT];
    size_t kept = pkt.len < MAX_KEPT ? pkt.len : MAX_KEPT;
    put32(record, (uint32_t)(wall / RMR_SEC));
    put32(record + 4, (uint32_t)(wall % RMR_SEC));
    put32(record + 8, (uint32_t)kept);
    put32(record + 12, (uint32_t)pkt.len);
    memcpy(record + RECORD_HEAD, pkt.ptr, kept);
    return rmr_ring_write_all(&c->local->out,
                              rmr_bytes_of(record, RECORD_HEAD + kept)) ==
           RMR_OK;
}

void rmri_node_capture_packet(rmr_node *n, rmr_time now, rmr_bytes pkt)
{
    uint64_t wall = rmr_mc_wall(n->mc, now);
    uint32_t pos = 0;
    for (nd_conn *c; (c = rmr_slots_next(&n->conns, &pos, NULL));) {
        if (!c->local || c->local->mode != ND_LOCAL_CAPTURE)
            continue;
        if (put_packet(c, wall, pkt))
            rmr_mc_io_output(c->io);
        else
            n->dropped_capture++;
    }
}

void rmri_node_capture_stop(nd_conn *c)
{
    if (c->local->mode != ND_LOCAL_CAPTURE)
        return;
    c->n->captures--;
    c->local->mode = ND_LOCAL_CLOSING; /* behind what is queued */
    rmr_logf(&c->n->env.log, RMR_LOG_INFO, ND_LAYER,
             "a capture ends; packets that were left out so far: %llu",
             (unsigned long long)c->n->dropped_capture);
}

void rmri_node_capture_stop_all(rmr_node *n)
{
    uint32_t pos = 0;
    for (nd_conn *c; (c = rmr_slots_next(&n->conns, &pos, NULL));) {
        if (!c->local || c->local->mode != ND_LOCAL_CAPTURE)
            continue;
        rmri_node_capture_stop(c);
        rmr_mc_io_output(c->io);
    }
}
