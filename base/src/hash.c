/* SipHash, and a table with linear probing.  Deletion moves the entries behind
 * it forward (Knuth, TAOCP 3, 6.4, algorithm R) instead of leaving a mark, so
 * a table under churn never needs to be rebuilt. */
#include <remora/hash.h>

#include <remora/cursor.h>

#include <string.h>

/* ---- SipHash ---------------------------------------------------------- */

static uint64_t rotl(uint64_t x, unsigned n)
{
    return x << n | x >> (64 - n);
}

typedef struct sip {
    uint64_t v0, v1, v2, v3;
} sip;

static inline void sip_rounds(sip *s, unsigned n)
{
    while (n--) {
        s->v0 += s->v1;
        s->v1 = rotl(s->v1, 13) ^ s->v0;
        s->v0 = rotl(s->v0, 32);
        s->v2 += s->v3;
        s->v3 = rotl(s->v3, 16) ^ s->v2;
        s->v0 += s->v3;
        s->v3 = rotl(s->v3, 21) ^ s->v0;
        s->v2 += s->v1;
        s->v1 = rotl(s->v1, 17) ^ s->v2;
        s->v2 = rotl(s->v2, 32);
    }
}

static inline sip sip_begin(const rmr_hash_key *key)
{
    sip s = {key->k0 ^ 0x736f6d6570736575, key->k1 ^ 0x646f72616e646f6d,
             key->k0 ^ 0x6c7967656e657261, key->k1 ^ 0x7465646279746573};
    return s;
}

static inline void sip_word(sip *s, uint64_t m, unsigned c)
{
    s->v3 ^= m;
    sip_rounds(s, c);
    s->v0 ^= m;
}

/* `last`: the bytes that are less than eight, and the length above them. */
static inline uint64_t sip_end(sip s, uint64_t last, unsigned c, unsigned d)
{
    sip_word(&s, last, c);
    s.v2 ^= 0xff;
    sip_rounds(&s, d);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

static inline uint64_t siphash(const rmr_hash_key *key, const uint8_t *p,
                               size_t len, unsigned c, unsigned d)
{
    sip s = sip_begin(key);
    uint64_t last = (uint64_t)len << 56;
    for (; len >= 8; p += 8, len -= 8)
        sip_word(&s, rmr_load_le64(p), c);
    for (size_t i = 0; i < len; i++)
        last |= (uint64_t)p[i] << (8 * i);
    return sip_end(s, last, c, d);
}

uint64_t rmr_siphash(const rmr_hash_key *key, const void *data, size_t len)
{
    return siphash(key, (const uint8_t *)data, len, 2, 4);
}

uint64_t rmr_siphash13(const rmr_hash_key *key, const void *data, size_t len)
{
    return siphash(key, (const uint8_t *)data, len, 1, 3);
}

static sip sip_of(const rmr_sip13 *s)
{
    sip v = {s->v[0], s->v[1], s->v[2], s->v[3]};
    return v;
}

static void sip_keep(rmr_sip13 *s, const sip *v)
{
    s->v[0] = v->v0;
    s->v[1] = v->v1;
    s->v[2] = v->v2;
    s->v[3] = v->v3;
}

void rmr_sip13_init(rmr_sip13 *s, const rmr_hash_key *key)
{
    sip v = sip_begin(key);
    sip_keep(s, &v);
    s->held = 0;
    s->len = 0;
}

void rmr_sip13_update(rmr_sip13 *s, const void *data, size_t len)
{
    const uint8_t *p = (const uint8_t *)data;
    sip v = sip_of(s);
    unsigned at = s->len % 8;
    s->len += len;
    for (; at && len; p++, len--) {
        s->held |= (uint64_t)*p << (8 * at);
        at = (at + 1) % 8;
        if (at == 0) {
            sip_word(&v, s->held, 1);
            s->held = 0;
        }
    }
    for (; len >= 8; p += 8, len -= 8)
        sip_word(&v, rmr_load_le64(p), 1);
    for (size_t i = 0; i < len; i++)
        s->held |= (uint64_t)p[i] << (8 * i);
    sip_keep(s, &v);
}

uint64_t rmr_sip13_final(const rmr_sip13 *s)
{
    return sip_end(sip_of(s), s->held | s->len << 56, 1, 3);
}

/* ---- table ------------------------------------------------------------ */

#define FIRST_CAP 16
#define MAX_CAP ((uint32_t)1 << 27) /* its size fits 32 bits */
#define NOT_FOUND UINT32_MAX

rmr_err rmr_hash_init(rmr_hash *h, const rmr_alloc *a, const rmr_rng *rng,
                      uint32_t max, rmr_hash_eq_fn eq, const void *user)
{
    memset(h, 0, sizeof *h);
    uint8_t seed[16];
    if (rmr_rng_fill(rng, seed, sizeof seed) != RMR_OK)
        return RMR_E_RNG;
    h->alloc = *a;
    h->key.k0 = rmr_load_le64(seed);
    h->key.k1 = rmr_load_le64(seed + 8);
    rmr_wipe(seed, sizeof seed);
    h->max = max;
    h->eq = eq;
    h->user = user;
    return RMR_OK;
}

void rmr_hash_wipe(rmr_hash *h)
{
    rmr_release(&h->alloc, h->tab, h->cap * sizeof *h->tab);
    h->tab = NULL;
    h->cap = 0;
    h->used = 0;
    rmr_wipe(&h->key, sizeof h->key);
}

/* The halves of a key's hash: where it lives, and what it is known by. */
static void split_hash(const rmr_hash *h, const void *key, size_t len,
                       uint32_t *home, uint32_t *tag)
{
    uint64_t sum = rmr_siphash13(&h->key, key, len);
    *home = (uint32_t)sum;
    *tag = (uint32_t)(sum >> 32);
    if (*tag == 0)
        *tag = 1; /* 0 marks an empty place */
}

static uint32_t find(const rmr_hash *h, uint32_t home, uint32_t tag,
                     const void *key, size_t key_len)
{
    if (h->cap == 0)
        return NOT_FOUND;
    uint32_t mask = h->cap - 1;
    /* Ends: a quarter of the places at least is empty. */
    for (uint32_t i = home & mask; h->tab[i].tag; i = (i + 1) & mask) {
        if (h->tab[i].tag == tag && h->tab[i].home == home &&
            h->eq(h->user, h->tab[i].value, key, key_len))
            return i;
    }
    return NOT_FOUND;
}

static void insert_new(rmr_hash_entry *tab, uint32_t cap, rmr_hash_entry e)
{
    uint32_t i = e.home & (cap - 1);
    while (tab[i].tag)
        i = (i + 1) & (cap - 1);
    tab[i] = e;
}

/* Room for one more below three quarters. */
static rmr_err grow(rmr_hash *h)
{
    if (h->cap && h->used + 1 <= h->cap / 4 * 3)
        return RMR_OK;
    uint32_t cap = h->cap ? h->cap * 2 : FIRST_CAP;
    if (cap > MAX_CAP)
        return RMR_E_NOMEM;
    rmr_hash_entry *tab = (rmr_hash_entry *)rmr_alloc_zero(
        &h->alloc, cap * sizeof *tab, _Alignof(rmr_hash_entry));
    if (!tab)
        return RMR_E_NOMEM;
    for (uint32_t i = 0; i < h->cap; i++) {
        if (h->tab[i].tag)
            insert_new(tab, cap, h->tab[i]);
    }
    rmr_release(&h->alloc, h->tab, h->cap * sizeof *h->tab);
    h->tab = tab;
    h->cap = cap;
    return RMR_OK;
}

rmr_err rmr_hash_put(rmr_hash *h, const void *key, size_t key_len,
                     uint64_t value)
{
    rmr_hash_entry e = {value, 0, 0};
    split_hash(h, key, key_len, &e.home, &e.tag);
    uint32_t at = find(h, e.home, e.tag, key, key_len);
    if (at != NOT_FOUND) {
        h->tab[at].value = value;
        return RMR_OK;
    }
    if (h->used >= h->max)
        return RMR_E_FULL;
    rmr_err err = grow(h);
    if (err)
        return err;
    insert_new(h->tab, h->cap, e);
    h->used++;
    return RMR_OK;
}

bool rmr_hash_get(const rmr_hash *h, const void *key, size_t key_len,
                  uint64_t *value)
{
    if (h->used == 0)
        return false;
    uint32_t home, tag;
    split_hash(h, key, key_len, &home, &tag);
    uint32_t at = find(h, home, tag, key, key_len);
    if (at == NOT_FOUND)
        return false;
    *value = h->tab[at].value;
    return true;
}

bool rmr_hash_del(rmr_hash *h, const void *key, size_t key_len)
{
    uint32_t home, tag;
    split_hash(h, key, key_len, &home, &tag);
    uint32_t hole = find(h, home, tag, key, key_len);
    if (hole == NOT_FOUND)
        return false;
    uint32_t mask = h->cap - 1;
    for (uint32_t i = (hole + 1) & mask; h->tab[i].tag; i = (i + 1) & mask) {
        /* May i's entry live in the hole?  Yes, unless its home lies in
         * (hole, i], going round. */
        uint32_t dist = (i - h->tab[i].home) & mask;
        if (dist >= ((i - hole) & mask)) {
            h->tab[hole] = h->tab[i];
            hole = i;
        }
    }
    memset(&h->tab[hole], 0, sizeof h->tab[hole]);
    h->used--;
    return true;
}
