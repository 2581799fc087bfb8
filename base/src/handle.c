/* Slots with generations, in chunks that never move. */
#include <remora/handle.h>

#include <stdalign.h>
#include <string.h>

#define CHUNK_BYTES 1024 /* a chunk aims at this ...               */
#define CHUNK_ITEMS 64   /* ... but holds no more items than these */

/* Before each item.  `gen` changes when the slot is freed, so that the handles
 * given for it before are no longer its own; it is never 0, so that a handle
 * is never 0.  It comes round after 2^32 uses of one slot. */
typedef struct slot_head {
    uint32_t gen;
    uint32_t next_free; /* index + 1; 0: the last one */
    uint32_t is_used;
} slot_head;

/* What the item after the head may need. */
#define ITEM_ALIGN alignof(max_align_t)
#define HEAD_SIZE                                                              \
    ((sizeof(slot_head) + ITEM_ALIGN - 1) / ITEM_ALIGN * ITEM_ALIGN)

rmr_err rmr_slots_init(rmr_slots *s, const rmr_alloc *a, size_t item_size,
                       uint32_t max)
{
    memset(s, 0, sizeof *s);
    s->alloc = *a;
    if (item_size == 0 || item_size > UINT32_MAX / 4)
        return RMR_E_INVAL;
    size_t size =
        HEAD_SIZE + (item_size + ITEM_ALIGN - 1) / ITEM_ALIGN * ITEM_ALIGN;
    s->user_size = (uint32_t)item_size;
    s->item_size = (uint32_t)size;
    s->max = max < UINT32_MAX ? max : UINT32_MAX - 1; /* index + 1 fits */
    while ((size << (s->chunk_shift + 1)) <= CHUNK_BYTES &&
           (1u << (s->chunk_shift + 1)) <= CHUNK_ITEMS)
        s->chunk_shift++;
    return RMR_OK;
}

/* Items in chunk c: the last one may be shorter. */
static uint32_t chunk_items(const rmr_slots *s, uint32_t c)
{
    uint32_t left = s->max - (c << s->chunk_shift);
    uint32_t full = 1u << s->chunk_shift;
    return left < full ? left : full;
}

static slot_head *head_at(const rmr_slots *s, uint32_t index)
{
    uint32_t in_chunk = index & ((1u << s->chunk_shift) - 1);
    void *chunk = s->chunks[index >> s->chunk_shift];
    return (slot_head *)(void *)((uint8_t *)chunk +
                                 (size_t)in_chunk * s->item_size);
}

static void *item_of(slot_head *h)
{
    return (uint8_t *)h + HEAD_SIZE;
}

static uint64_t handle_of(uint32_t gen, uint32_t index)
{
    return (uint64_t)gen << 32 | (index + 1);
}

/* Slots that exist, used or free. */
static uint32_t slots_made(const rmr_slots *s)
{
    if (s->n_chunks == 0)
        return 0;
    uint32_t last = s->n_chunks - 1;
    return (last << s->chunk_shift) + chunk_items(s, last);
}

void rmr_slots_wipe(rmr_slots *s)
{
    for (uint32_t c = 0; c < s->n_chunks; c++)
        rmr_release_wiped(&s->alloc, s->chunks[c],
                          (size_t)chunk_items(s, c) * s->item_size);
    rmr_release(&s->alloc, (void *)s->chunks,
                s->cap_chunks * sizeof *s->chunks);
    s->chunks = NULL;
    s->n_chunks = 0;
    s->cap_chunks = 0;
    s->free_head = 0;
    s->used = 0;
}

static bool reserve_chunk_pointer(rmr_slots *s)
{
    if (s->n_chunks < s->cap_chunks)
        return true;
    uint32_t cap = s->cap_chunks ? s->cap_chunks * 2 : 4;
    void **chunks = (void **)rmr_alloc_zero(&s->alloc, cap * sizeof *chunks,
                                            alignof(void *));
    if (!chunks)
        return false;
    if (s->n_chunks)
        memcpy((void *)chunks, (const void *)s->chunks,
               s->n_chunks * sizeof *chunks);
    rmr_release(&s->alloc, (void *)s->chunks,
                s->cap_chunks * sizeof *s->chunks);
    s->chunks = chunks;
    s->cap_chunks = cap;
    return true;
}

/* Called with no free slot and fewer than max made. */
static bool add_chunk(rmr_slots *s)
{
    if (!reserve_chunk_pointer(s))
        return false;
    uint32_t first = slots_made(s);
    uint32_t n = chunk_items(s, s->n_chunks);
    void *chunk =
        rmr_alloc_zero(&s->alloc, (size_t)n * s->item_size, ITEM_ALIGN);
    if (!chunk)
        return false;
    s->chunks[s->n_chunks++] = chunk;
    /* In order, so that the first handles are the same on every run (D1). */
    for (uint32_t i = 0; i < n; i++) {
        slot_head *h = head_at(s, first + i);
        h->gen = 1;
        h->next_free = i + 1 < n ? first + i + 2 : 0;
    }
    s->free_head = first + 1;
    return true;
}

void *rmr_slots_new(rmr_slots *s, uint64_t *handle)
{
    if (s->used >= s->max)
        return NULL;
    if (s->free_head == 0 && !add_chunk(s))
        return NULL;
    uint32_t index = s->free_head - 1;
    slot_head *h = head_at(s, index);
    s->free_head = h->next_free;
    h->next_free = 0;
    h->is_used = 1;
    s->used++;
    *handle = handle_of(h->gen, index);
    return item_of(h); /* zeroed when it was made or freed */
}

static slot_head *find(const rmr_slots *s, uint64_t handle)
{
    uint32_t index = (uint32_t)handle - 1; /* of 0: beyond each max */
    if (index >= s->max || index >> s->chunk_shift >= s->n_chunks)
        return NULL;
    slot_head *h = head_at(s, index);
    return h->is_used && h->gen == (uint32_t)(handle >> 32) ? h : NULL;
}

void *rmr_slots_get(const rmr_slots *s, uint64_t handle)
{
    slot_head *h = find(s, handle);
    return h ? item_of(h) : NULL;
}

void rmr_slots_free(rmr_slots *s, uint64_t handle)
{
    slot_head *h = find(s, handle);
    if (!h)
        return;
    rmr_wipe(item_of(h), s->user_size);
    h->gen = h->gen < UINT32_MAX ? h->gen + 1 : 1;
    h->is_used = 0;
    h->next_free = s->free_head;
    s->free_head = (uint32_t)handle;
    s->used--;
}

void *rmr_slots_next(const rmr_slots *s, uint32_t *pos, uint64_t *handle)
{
    uint32_t made = slots_made(s);
    while (*pos < made) {
        uint32_t index = (*pos)++;
        slot_head *h = head_at(s, index);
        if (h->is_used) {
            if (handle)
                *handle = handle_of(h->gen, index);
            return item_of(h);
        }
    }
    return NULL;
}
