/* Packets that wait: their blocks, and the two queues of each client. */
#include "dsw_internal.h"

#include <string.h>

#define KEEP_FREE ((size_t)2 * 1024 * 1024)
#define DISCO_MIN 62 /* magic 6, key 32, nonce 24 */

/* Of a whole block.  1,600 is for WireGuard's packets within an MTU of 1,500;
 * the last one holds the longest packet. */
static const uint32_t block_size[RMRI_DSW_CLASSES] = {
    320, 1600, 4480, 16768,
    (uint32_t)(sizeof(rmri_dsw_pkt) + RMRI_DERP_HEADER + RMRI_DERP_MAX_BODY)};

rmr_dsw_kind rmri_dsw_kind_of(rmr_bytes payload)
{
    static const uint8_t magic[6] = {0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac};
    bool is_disco = payload.len >= DISCO_MIN &&
                    memcmp(payload.ptr, magic, sizeof magic) == 0;
    return is_disco ? RMR_DSW_DISCO : RMR_DSW_OTHER;
}

/* ---- blocks ----------------------------------------------------------- */

size_t rmri_dsw_pkt_size(const rmri_dsw_pkt *p)
{
    return block_size[p->size_class];
}

rmri_dsw_pkt *rmri_dsw_pkt_new(rmr_dsw *sw, size_t payload)
{
    rmri_dsw_pool *pool = &sw->pool;
    size_t len = RMRI_DERP_HEADER + RMR_KEY_LEN + payload;
    uint8_t k = 0;
    while (block_size[k] < offsetof(rmri_dsw_pkt, frame) + len)
        k++;
    size_t size = block_size[k];
    if (pool->max - pool->used < size)
        return NULL;
    rmri_dsw_pkt *p = pool->free[k];
    if (p) {
        pool->free[k] = p->next;
        pool->free_bytes -= size;
    } else {
        p = rmr_alloc_zero(&sw->env.alloc, size, _Alignof(rmri_dsw_pkt));
        if (!p)
            return NULL;
    }
    pool->used += size;
    p->next = NULL;
    p->size_class = k;
    p->len = (uint32_t)len;
    return p;
}

void rmri_dsw_pkt_free(rmr_dsw *sw, rmri_dsw_pkt *p)
{
    rmri_dsw_pool *pool = &sw->pool;
    size_t size = rmri_dsw_pkt_size(p);
    pool->used -= size;
    if (pool->free_bytes + size > KEEP_FREE) {
        rmr_release(&sw->env.alloc, p, size);
        return;
    }
    p->next = pool->free[p->size_class];
    pool->free[p->size_class] = p;
    pool->free_bytes += size;
}

void rmri_dsw_pool_wipe(rmr_dsw *sw)
{
    for (uint8_t k = 0; k < RMRI_DSW_CLASSES; k++) {
        rmri_dsw_pkt *p = sw->pool.free[k];
        while (p) {
            rmri_dsw_pkt *next = p->next;
            rmr_release(&sw->env.alloc, p, block_size[k]);
            p = next;
        }
        sw->pool.free[k] = NULL;
    }
}

/* ---- counting --------------------------------------------------------- */

void rmri_dsw_count_drop(rmr_dsw *sw, rmr_dsw_reason why, rmr_dsw_kind kind,
                         size_t bytes)
{
    sw->stats.dropped_pkts[why][kind]++;
    sw->stats.dropped_bytes[why][kind] += bytes;
}

void rmri_dsw_queue_time(rmr_dsw *sw, const rmri_dsw_pkt *p)
{
    uint64_t d = rmr_time_since(sw->now, p->at), avg = sw->stats.avg_queue_ns;
    sw->stats.avg_queue_ns =
        d > avg ? avg + (d - avg) / 10 : avg - (avg - d) / 10;
}

static size_t payload_of(const rmri_dsw_pkt *p)
{
    return p->len - RMRI_DERP_HEADER - RMR_KEY_LEN;
}

/* ---- queues ----------------------------------------------------------- */

rmri_dsw_pkt *rmri_dsw_dequeue(rmri_dsw_client *c, rmr_dsw_kind kind)
{
    rmri_dsw_queue *q = &c->queue[kind];
    rmri_dsw_pkt *p = q->head;
    if (!p)
        return NULL;
    q->head = p->next;
    if (!q->head)
        q->tail = NULL;
    q->n--;
    c->queued_bytes -= p->len;
    return p;
}

static void drop_head(rmr_dsw *sw, rmri_dsw_client *c, rmr_dsw_kind kind,
                      rmr_dsw_reason why)
{
    rmri_dsw_pkt *p = rmri_dsw_dequeue(c, kind);
    sw->stats.queued_pkts--;
    rmri_dsw_count_drop(sw, why, kind, payload_of(p));
    if (why == RMR_DSW_QUEUE_HEAD)
        rmri_dsw_queue_time(sw, p);
    rmri_dsw_pkt_free(sw, p);
}

void rmri_dsw_drop_all(rmr_dsw *sw, rmri_dsw_client *c)
{
    for (unsigned k = 0; k < RMR_DSW_KINDS; k++)
        while (c->queue[k].n)
            drop_head(sw, c, (rmr_dsw_kind)k, RMR_DSW_GONE_DISCONNECTED);
    if (c->cut) {
        rmr_bytes payload = rmr_bytes_of(
            c->cut->frame + RMRI_DERP_HEADER + RMR_KEY_LEN, payload_of(c->cut));
        rmri_dsw_count_drop(sw, RMR_DSW_WRITE_ERROR, rmri_dsw_kind_of(payload),
                            payload.len);
        rmri_dsw_pkt_free(sw, c->cut);
    }
    c->cut = NULL;
}

/* A reader that keeps up may be behind by one turn of the host's, which reads
 * more at once than a queue holds; dropping then would cut every burst short.
 * One that waits longer than that has the queue's length alone. */
static bool is_full(const rmr_dsw *sw, const rmri_dsw_queue *q)
{
    if (q->n < sw->cfg.queue_pkts)
        return false;
    return q->n >= sw->cfg.burst_pkts ||
           rmr_time_since(sw->now, q->head->at) >= sw->cfg.burst_time;
}

/* Room for `len` more in the queue; older ones of it go. */
static bool make_room(rmr_dsw *sw, rmri_dsw_client *c, rmr_dsw_kind kind,
                      size_t len)
{
    rmri_dsw_queue *q = &c->queue[kind];
    while (q->n &&
           (is_full(sw, q) || c->queued_bytes + len > sw->cfg.queue_bytes))
        drop_head(sw, c, kind, RMR_DSW_QUEUE_HEAD);
    return c->queued_bytes + len <= sw->cfg.queue_bytes;
}

/* A block for it; when memory is short, for the receiver's own older ones. */
static rmri_dsw_pkt *find_block(rmr_dsw *sw, rmri_dsw_client *c,
                                rmr_dsw_kind kind, size_t payload)
{
    rmri_dsw_pkt *p = rmri_dsw_pkt_new(sw, payload);
    while (!p && c->queue[kind].n) {
        drop_head(sw, c, kind, RMR_DSW_QUEUE_HEAD);
        p = rmri_dsw_pkt_new(sw, payload);
    }
    return p;
}

static rmri_dsw_pkt *fill_block(rmr_dsw *sw, rmri_dsw_client *to,
                                rmr_dsw_kind kind, rmr_bytes payload)
{
    rmri_dsw_pkt *p = find_block(sw, to, kind, payload.len);
    if (p && payload.len)
        memcpy(p->frame + RMRI_DERP_HEADER + RMR_KEY_LEN, payload.ptr,
               payload.len);
    return p;
}

void rmri_dsw_enqueue(rmr_dsw *sw, rmri_dsw_client *to, rmr_dsw_kind kind,
                      uint64_t src, const uint8_t src_key[RMR_KEY_LEN],
                      rmr_bytes payload, rmri_dsw_pkt *whole)
{
    size_t len = RMRI_DERP_HEADER + RMR_KEY_LEN + payload.len;
    rmri_dsw_queue *q = &to->queue[kind];
    bool has_room = make_room(sw, to, kind, len);
    if (has_room && !whole)
        whole = fill_block(sw, to, kind, payload);
    if (!has_room || !whole) {
        rmri_dsw_count_drop(sw, RMR_DSW_QUEUE_TAIL, kind, payload.len);
        sw->stats.nomem += has_room;
        if (whole)
            rmri_dsw_pkt_free(sw, whole);
        return;
    }
    rmri_derp_put_header(whole->frame, RMR_DERP_RECV_PACKET,
                         RMR_KEY_LEN + payload.len);
    memcpy(whole->frame + RMRI_DERP_HEADER, src_key, RMR_KEY_LEN);
    whole->src = src;
    whole->at = sw->now;
    whole->next = NULL;
    if (q->tail)
        q->tail->next = whole;
    else
        q->head = whole;
    q->tail = whole;
    q->n++;
    to->queued_bytes += len;
    sw->stats.queued_pkts++;
    rmri_dsw_want_write(sw, to);
}
