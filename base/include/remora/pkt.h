/*
 * remora/pkt.h - a packet in a buffer with room before and behind it.
 *
 * netstack writes an IP packet at its place, wgcore pads it, seals it in place
 * and puts its header in front, DERP puts a frame header before that: nothing
 * is copied.  The memory is the caller's; an rmr_pkt only describes it.
 *
 * Room that is enough for every layer of remora: RMR_PKT_HEADROOM bytes before
 * an inner IP packet and RMR_PKT_TAILROOM behind it.
 *
 * Source: the sizes are of WireGuard 5.4.6, DERP frames and RFC 8926.
 * Threading: one packet, one thread.  Memory: none.  Time: none.
 *
 *     rmr_pkt p = rmr_pkt_of(rmr_buf_of(buf, sizeof buf), RMR_PKT_HEADROOM);
 *     uint8_t *ip = rmr_pkt_put(&p, ip_len);      the packet itself
 *     if (!ip) return RMR_E_BUFSIZE;
 *     uint8_t *tag = rmr_pkt_put(&p, 16);         behind it
 *     uint8_t *head = rmr_pkt_push(&p, 16);       before it
 *     if (!tag || !head) return RMR_E_BUFSIZE;
 *     send(rmr_pkt_bytes(&p));
 */
#ifndef REMORA_PKT_H
#define REMORA_PKT_H

#include <remora/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* 64 for what wraps a datagram (DERP frame 37, Geneve 8), 16 for WireGuard's
 * header; behind it 15 of padding and 16 of tag. */
#define RMR_PKT_HEADROOM 80
#define RMR_PKT_TAILROOM 32

typedef struct rmr_pkt {
    uint8_t *base; /* the whole buffer                  */
    uint32_t cap;  /* its size                          */
    uint32_t off;  /* where the packet begins; off + len <= cap always */
    uint32_t len;
} rmr_pkt;

/** An empty packet at `headroom` in a borrowed buffer.
 *  Effects: none.  Errors: none; a headroom above buf.len is cut to that, a
 *  buffer above 4 GiB is used up to there.
 *  Lifetime: the buffer stays the caller's, and must outlive the packet.
 *  Source: contract M1. */
RMR_API rmr_pkt rmr_pkt_of(rmr_buf buf, size_t headroom);
/** Where the packet begins.                                          [look]
 *  Effects: none.  Errors: none.  Source: none. */
static inline uint8_t *rmr_pkt_data(const rmr_pkt *p)
{
    return p->base + p->off;
}
/** Bytes free before it.                                             [look]
 *  Effects: none.  Errors: none.  Source: none. */
static inline size_t rmr_pkt_headroom(const rmr_pkt *p)
{
    return p->off;
}
/** Bytes free behind it.                                             [look]
 *  Effects: none.  Errors: none.  Source: none. */
static inline size_t rmr_pkt_tailroom(const rmr_pkt *p)
{
    return (size_t)p->cap - p->off - p->len;
}
/** The packet, borrowed.                                             [look]
 *  Effects: none.  Errors: none.  Source: none. */
static inline rmr_bytes rmr_pkt_bytes(const rmr_pkt *p)
{
    return rmr_bytes_of(p->base + p->off, p->len);
}
/** Grows by n at the front and returns the new front.
 *  Effects: on the packet's bounds; no byte is moved or written.
 *  Errors: NULL and unchanged when the headroom is short.  Source: none. */
RMR_API uint8_t *rmr_pkt_push(rmr_pkt *p, size_t n);
/** Takes n bytes off the front and returns the new front.
 *  Effects: on the packet's bounds.
 *  Errors: NULL and unchanged when there are fewer.  Source: none. */
RMR_API uint8_t *rmr_pkt_pull(rmr_pkt *p, size_t n);
/** Grows by n at the back and returns where these begin.
 *  Effects: on the packet's bounds; no byte is moved or written.
 *  Errors: NULL and unchanged when the tailroom is short.  Source: none. */
RMR_API uint8_t *rmr_pkt_put(rmr_pkt *p, size_t n);
/** Shortens to len bytes; longer than now does nothing.
 *  Effects: on the packet's bounds.  Errors: none.  Source: none. */
RMR_API void rmr_pkt_trim(rmr_pkt *p, size_t len);

#ifdef __cplusplus
}
#endif
#endif
