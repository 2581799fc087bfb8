/*
 * Every back end of the AEAD table against the single form: a batch of messages
 * with several keys is sealed, damaged and opened.  All must agree on every
 * byte and every verdict, in batches and one by one.
 *
 * Input: a byte for the keys, then records of 16 bytes: key, what to do before
 * the opening, counter (8), length (2), where (3), what the text begins with.
 */
#include <stdlib.h>
#include <string.h>

#include <remora/crypto.h>
#include <remora/cursor.h>

#include "need.h"
#include "support.h"

#define ITEMS 16
#define KEYS 4
#define MAX 65535u
#define RECORD 16

enum damage { NONE, FLIP, OTHER_KEY, OTHER_COUNTER, SHORTER };

typedef struct message {
    uint8_t key;
    enum damage damage;
    uint64_t counter;
    size_t len, where;
    /* As the single form seals it, then damaged, and what it says of that. */
    uint8_t text[MAX], sealed[MAX + RMR_TAG_LEN], opened[MAX + RMR_TAG_LEN];
    uint8_t open_key;
    uint64_t open_counter;
    size_t open_len;
    rmr_err verdict;
} message;

static message messages[ITEMS];
static uint8_t keys[KEYS][RMR_KEY_LEN];

static void read_message(message *m, const uint8_t *p)
{
    m->key = p[0] % KEYS;
    m->damage = (enum damage)(p[1] % (SHORTER + 1));
    m->counter = rmr_load_le64(p + 2);
    m->len = (size_t)p[10] | (size_t)p[11] << 8;
    m->where = (size_t)p[12] | (size_t)p[13] << 8 | (size_t)p[14] << 16;
    for (size_t i = 0; i < m->len; i++)
        m->text[i] = (uint8_t)(p[15] + i * 7 + (i >> 8));
}

static void nonce_of(uint8_t nonce[12], uint64_t counter)
{
    memset(nonce, 0, 4);
    rmr_store_le64(nonce + 4, counter);
}

/* By the single form: the message sealed, and what becomes of it. */
static void expect(message *m)
{
    uint8_t nonce[12];
    const rmr_bytes none = {NULL, 0};
    nonce_of(nonce, m->counter);
    rmr_chapoly_seal(m->sealed, keys[m->key], nonce, none,
                     rmr_bytes_of(m->text, m->len));
    m->open_key = m->key;
    m->open_counter = m->counter;
    m->open_len = m->len;
    memcpy(m->opened, m->sealed, m->len + RMR_TAG_LEN);
    if (m->damage == FLIP)
        m->opened[(m->where / 8) % (m->len + RMR_TAG_LEN)] ^=
            (uint8_t)(1u << m->where % 8);
    if (m->damage == OTHER_KEY)
        m->open_key = (uint8_t)(m->where % KEYS);
    if (m->damage == OTHER_COUNTER)
        m->open_counter ^= (uint64_t)1 << m->where % 64;
    if (m->damage == SHORTER)
        m->open_len = m->where % (m->len + 1);
    static uint8_t out[MAX];
    nonce_of(nonce, m->open_counter);
    m->verdict =
        rmr_chapoly_open(out, keys[m->open_key], nonce, none,
                         rmr_bytes_of(m->opened, m->open_len + RMR_TAG_LEN));
    if (!m->verdict)
        need(!memcmp(out, m->text, m->len));
}

/* A copy whose memory ends where it ends. */
static uint8_t *place(const uint8_t *from, size_t len)
{
    uint8_t *p = malloc(len);
    need(p != NULL);
    memcpy(p, from, len);
    return p;
}

static void seal_all(const rmr_aead *a, const rmr_aead_ctx *ctx, size_t n)
{
    rmr_aead_item items[ITEMS];
    for (size_t i = 0; i < n; i++) {
        const message *m = &messages[i];
        items[i] =
            (rmr_aead_item){.ctx = &ctx[m->key],
                            .counter = m->counter,
                            .buf = place(m->sealed, m->len + RMR_TAG_LEN),
                            .len = m->len,
                            .err = RMR_E_INTERNAL};
        memcpy(items[i].buf, m->text, m->len);
        memset(items[i].buf + m->len, 0, RMR_TAG_LEN);
    }
    rmr_aead_seal_n(a, items, n);
    for (size_t i = 0; i < n; i++) {
        const message *m = &messages[i];
        need(items[i].err == RMR_OK);
        need(!memcmp(items[i].buf, m->sealed, m->len + RMR_TAG_LEN));
        memcpy(items[i].buf, m->text, m->len);
        a->seal(a->self, &ctx[m->key], m->counter, items[i].buf, m->len);
        need(!memcmp(items[i].buf, m->sealed, m->len + RMR_TAG_LEN));
        free(items[i].buf);
    }
}

static void open_all(const rmr_aead *a, const rmr_aead_ctx *ctx, size_t n)
{
    rmr_aead_item items[ITEMS];
    for (size_t i = 0; i < n; i++) {
        const message *m = &messages[i];
        items[i] =
            (rmr_aead_item){.ctx = &ctx[m->open_key],
                            .counter = m->open_counter,
                            .buf = place(m->opened, m->open_len + RMR_TAG_LEN),
                            .len = m->open_len,
                            .err = RMR_E_INTERNAL};
    }
    rmr_aead_open_n(a, items, n);
    for (size_t i = 0; i < n; i++) {
        const message *m = &messages[i];
        const rmr_aead_item *it = &items[i];
        need(it->err == m->verdict);
        need(it->err || !memcmp(it->buf, m->text, m->open_len));
        memcpy(it->buf, m->opened, m->open_len + RMR_TAG_LEN);
        need(a->open(a->self, it->ctx, it->counter, it->buf, it->len) ==
             m->verdict);
        need(m->verdict || !memcmp(it->buf, m->text, m->open_len));
        free(it->buf);
    }
}

static void try_back_end(const rmr_aead *a, size_t n)
{
    rmr_aead_ctx ctx[KEYS];
    for (size_t k = 0; k < KEYS; k++)
        a->init(a->self, &ctx[k], keys[k]);
    seal_all(a, ctx, n);
    open_all(a, ctx, n);
}

/* One instance each for the whole run. */
static rmr_aead back_ends[8];

static size_t start(void)
{
    const rmr_env env = test_env(NULL, NULL, NULL);
    size_t n = 0;
    need(!rmr_crypto_init());
    for (size_t i = 0; rmr_aead_name(i); i++)
        n += !rmr_aead_new(&back_ends[n], &env.alloc, rmr_aead_name(i));
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static size_t n_back_ends;
    if (!n_back_ends)
        n_back_ends = start();
    if (size < 1)
        return 0;
    for (size_t k = 0; k < KEYS; k++)
        for (size_t i = 0; i < RMR_KEY_LEN; i++)
            keys[k][i] = (uint8_t)(data[0] * (i + 1) + k);
    size_t n = 0;
    for (size_t at = 1; at + RECORD <= size && n < ITEMS; at += RECORD, n++) {
        read_message(&messages[n], data + at);
        expect(&messages[n]);
    }
    for (size_t i = 0; i < n_back_ends; i++)
        try_back_end(&back_ends[i], n);
    return 0;
}
