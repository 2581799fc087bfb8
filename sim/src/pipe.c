/* A link that keeps its packets: remora/sim_link.h. */
#include <remora/sim_link.h>

#include <string.h>

typedef struct parcel {
    rmr_time at;
    uint64_t order; /* ties are delivered as they came */
    uint8_t *bytes;
    size_t len;
} parcel;

struct rmr_sim_pipe {
    rmr_alloc alloc;
    rmr_sim_link link;
    uint64_t order, out;
    parcel *heap; /* the earliest first */
    size_t used, cap;
};

static bool before(const parcel *a, const parcel *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void heap_up(rmr_sim_pipe *p, size_t i)
{
    parcel x = p->heap[i];
    while (i && before(&x, &p->heap[(i - 1) / 2])) {
        p->heap[i] = p->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    p->heap[i] = x;
}

static void heap_down(rmr_sim_pipe *p)
{
    parcel x = p->heap[p->used];
    size_t i = 0, child;
    while ((child = 2 * i + 1) < p->used) {
        if (child + 1 < p->used && before(&p->heap[child + 1], &p->heap[child]))
            child++;
        if (!before(&p->heap[child], &x))
            break;
        p->heap[i] = p->heap[child];
        i = child;
    }
    p->heap[i] = x;
}

static bool heap_grow(rmr_sim_pipe *p)
{
    size_t cap = p->cap ? 2 * p->cap : 256;
    parcel *heap = rmr_alloc_zero(&p->alloc, cap * sizeof *heap, 8);
    if (!heap)
        return false;
    if (p->used)
        memcpy(heap, p->heap, p->used * sizeof *heap);
    rmr_release(&p->alloc, p->heap, p->cap * sizeof *heap);
    p->heap = heap;
    p->cap = cap;
    return true;
}

/* Packets of no byte take one all the same: NULL is "none left". */
static size_t room_of(size_t len)
{
    return len ? len : 1;
}

static uint8_t *heap_add(rmr_sim_pipe *p, rmr_time at, rmr_bytes b)
{
    if (p->used == p->cap && !heap_grow(p))
        return NULL;
    uint8_t *copy = rmr_alloc_zero(&p->alloc, room_of(b.len), 1);
    if (!copy)
        return NULL;
    if (b.len)
        memcpy(copy, b.ptr, b.len);
    p->heap[p->used] = (parcel){at, p->order++, copy, b.len};
    heap_up(p, p->used++);
    return copy;
}

rmr_err rmr_sim_pipe_new(rmr_sim_pipe **out, const rmr_alloc *a,
                         const rmr_sim_link_config *c)
{
    rmr_sim_pipe *p = rmr_alloc_zero(a, sizeof *p, 16);
    *out = p;
    if (!p)
        return RMR_E_NOMEM;
    p->alloc = *a;
    rmr_sim_link_init(&p->link, c);
    return RMR_OK;
}

void rmr_sim_pipe_free(rmr_sim_pipe *p)
{
    if (!p)
        return;
    rmr_alloc alloc = p->alloc;
    for (size_t i = 0; i < p->used; i++)
        rmr_release(&alloc, p->heap[i].bytes, room_of(p->heap[i].len));
    rmr_release(&alloc, p->heap, p->cap * sizeof *p->heap);
    rmr_release(&alloc, p, sizeof *p);
}

/* "Congestion experienced", in the packet of a sender that knows of it; the
 * checksum of an IPv4 header is mended by RFC 1624. */
static void mark(uint8_t *ip, size_t len)
{
    if (len >= 40 && ip[0] >> 4 == 6) {
        ip[1] |= ip[1] & 0x30 ? 0x30 : 0;
    } else if (len >= 20 && ip[0] >> 4 == 4 && ip[1] & 3) {
        uint32_t more = (uint32_t)(ip[1] | 3) - ip[1];
        uint32_t sum = (uint32_t)(~((ip[10] << 8) | ip[11]) & 0xffff) + more;
        sum = ~((sum & 0xffff) + (sum >> 16)) & 0xffff;
        ip[1] |= 3;
        ip[10] = (uint8_t)(sum >> 8);
        ip[11] = (uint8_t)sum;
    }
}

rmr_err rmr_sim_pipe_push(rmr_sim_pipe *p, rmr_time now, rmr_bytes packet)
{
    rmr_sim_fate fate;
    rmr_sim_link_pass(&p->link, now, packet.len, &fate);
    if (!fate.copies)
        return RMR_E_UNREACHABLE;
    uint8_t *copy = heap_add(p, fate.at, packet);
    uint8_t *twin = fate.copies == 2 ? heap_add(p, fate.at, packet) : NULL;
    if (!copy || (fate.copies == 2 && !twin))
        return RMR_E_NOMEM;
    if (fate.is_marked) {
        mark(copy, packet.len);
        mark(twin, twin ? packet.len : 0);
    }
    if (fate.is_corrupt)
        copy[fate.bit / 8] ^= (uint8_t)(1u << fate.bit % 8);
    return RMR_OK;
}

rmr_time rmr_sim_pipe_next(const rmr_sim_pipe *p)
{
    return p->used ? p->heap[0].at : RMR_TIME_NEVER;
}

bool rmr_sim_pipe_due(const rmr_sim_pipe *p, rmr_time now, rmr_bytes *packet)
{
    if (!p->used || p->heap[0].at > now)
        return false;
    *packet = rmr_bytes_of(p->heap[0].bytes, p->heap[0].len);
    return true;
}

void rmr_sim_pipe_drop(rmr_sim_pipe *p)
{
    if (!p->used)
        return;
    rmr_release(&p->alloc, p->heap[0].bytes, room_of(p->heap[0].len));
    p->used--;
    if (p->used)
        heap_down(p);
    p->out++;
}

/* `out` counts what was taken, not what will be. */
rmr_sim_link_stats rmr_sim_pipe_stats(const rmr_sim_pipe *p)
{
    rmr_sim_link_stats s = p->link.stats;
    s.out = p->out;
    return s;
}
