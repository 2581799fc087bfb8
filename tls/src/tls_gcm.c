/*
 * AES-GCM records (RFC 5246 6.2.3.3, RFC 5288) as BearSSL's engine asks for
 * them, over a table that may be several times as fast as its own code.
 *
 * BearSSL gives each direction a context of its own making, with the class
 * first.  Ours lies in the same place and is smaller, so nothing is allocated
 * when the keys change.
 */
#include <string.h>

#include <remora/cursor.h>

#include "tls_gcm.h"

#define EXPLICIT_LEN 8 /* of the nonce, in front of the ciphertext */
#define OVERHEAD (EXPLICIT_LEN + RMR_GCM_TAG_LEN)
#define PLAIN_MAX 16384
#define HEADER_LEN 5

typedef struct direction {
    union { /* first: BearSSL's "this" */
        const br_sslrec_in_gcm_class *in;
        const br_sslrec_out_gcm_class *out;
    } vtable;
    const rmr_gcm *gcm;
    rmr_gcm_key *key;
    uint64_t seq;
    uint8_t salt[4]; /* the nonce's other part */
} direction;

_Static_assert(sizeof(direction) <= sizeof(br_sslrec_gcm_context),
               "it lies where BearSSL has its own");

/* What GCM vouches for beside the text, RFC 5246 6.2.3.3. */
static void put_ad(uint8_t ad[13], uint64_t seq, int type, unsigned version,
                   size_t len)
{
    rmr_store_be64(ad, seq);
    ad[8] = (uint8_t)type;
    rmr_store_be16(ad + 9, (uint16_t)version);
    rmr_store_be16(ad + 11, (uint16_t)len);
}

static void put_nonce(uint8_t nonce[RMR_GCM_NONCE_LEN], const direction *d,
                      const uint8_t *explicit_part)
{
    memcpy(nonce, d->salt, sizeof d->salt);
    memcpy(nonce + sizeof d->salt, explicit_part, EXPLICIT_LEN);
}

static void start(direction *d, rmr_gcm_key *key, const rmr_gcm *gcm,
                  const void *bytes, size_t len, const void *salt)
{
    d->gcm = gcm;
    d->key = key;
    d->seq = 0;
    memcpy(d->salt, salt, sizeof d->salt);
    gcm->init(gcm->self, key, (const uint8_t *)bytes, len);
}

/* ---- received ---------------------------------------------------------- */

static int check_length(const br_sslrec_in_class *const *ctx, size_t len)
{
    (void)ctx;
    return len >= OVERHEAD && len <= PLAIN_MAX + OVERHEAD;
}

static unsigned char *open_record(const br_sslrec_in_class **ctx, int type,
                                  unsigned version, void *payload, size_t *len)
{
    direction *d = (direction *)(void *)ctx;
    uint8_t ad[13], nonce[RMR_GCM_NONCE_LEN];
    uint8_t *text = (uint8_t *)payload + EXPLICIT_LEN;
    size_t n = *len - OVERHEAD;
    put_ad(ad, d->seq++, type, version, n);
    put_nonce(nonce, d, (const uint8_t *)payload);
    if (d->gcm->open(d->gcm->self, d->key, nonce, rmr_bytes_of(ad, sizeof ad),
                     text, n) != RMR_OK)
        return NULL;
    *len = n;
    return text;
}

static void start_in(const br_sslrec_in_gcm_class **ctx,
                     const br_block_ctr_class *cipher, const void *key,
                     size_t key_len, br_ghash ghash, const void *salt);

static const br_sslrec_in_gcm_class in_class = {
    {sizeof(direction), check_length, open_record},
    start_in,
};

static void start_in(const br_sslrec_in_gcm_class **ctx,
                     const br_block_ctr_class *cipher, const void *key,
                     size_t key_len, br_ghash ghash, const void *salt)
{
    rmri_tls_gcm *g = (rmri_tls_gcm *)(uintptr_t)cipher; /* its first member */
    direction *d = (direction *)(void *)ctx;
    (void)ghash;
    d->vtable.in = &in_class;
    start(d, &g->in, g->gcm, key, key_len, salt);
}

/* ---- sent -------------------------------------------------------------- */

static void max_plaintext(const br_sslrec_out_class *const *ctx, size_t *from,
                          size_t *to)
{
    (void)ctx;
    *from += EXPLICIT_LEN;
    size_t room = *to - *from - RMR_GCM_TAG_LEN;
    *to = *from + (room < PLAIN_MAX ? room : PLAIN_MAX);
}

static unsigned char *seal_record(const br_sslrec_out_class **ctx, int type,
                                  unsigned version, void *plain, size_t *len)
{
    direction *d = (direction *)(void *)ctx;
    uint8_t ad[13], nonce[RMR_GCM_NONCE_LEN];
    uint8_t *text = (uint8_t *)plain;
    uint8_t *record = text - EXPLICIT_LEN - HEADER_LEN;
    put_ad(ad, d->seq, type, version, *len);
    /* RFC 5288 3: the sequence number never comes twice. */
    rmr_store_be64(text - EXPLICIT_LEN, d->seq++);
    put_nonce(nonce, d, text - EXPLICIT_LEN);
    d->gcm->seal(d->gcm->self, d->key, nonce, rmr_bytes_of(ad, sizeof ad), text,
                 *len);
    record[0] = (uint8_t)type;
    rmr_store_be16(record + 1, (uint16_t)version);
    rmr_store_be16(record + 3, (uint16_t)(*len + OVERHEAD));
    *len += HEADER_LEN + OVERHEAD;
    return record;
}

static void start_out(const br_sslrec_out_gcm_class **ctx,
                      const br_block_ctr_class *cipher, const void *key,
                      size_t key_len, br_ghash ghash, const void *salt);

static const br_sslrec_out_gcm_class out_class = {
    {sizeof(direction), max_plaintext, seal_record},
    start_out,
};

static void start_out(const br_sslrec_out_gcm_class **ctx,
                      const br_block_ctr_class *cipher, const void *key,
                      size_t key_len, br_ghash ghash, const void *salt)
{
    rmri_tls_gcm *g = (rmri_tls_gcm *)(uintptr_t)cipher;
    direction *d = (direction *)(void *)ctx;
    (void)ghash;
    d->vtable.out = &out_class;
    start(d, &g->out, g->gcm, key, key_len, salt);
}

void rmri_tls_gcm_use(rmri_tls_gcm *g, const rmr_gcm *gcm,
                      br_ssl_engine_context *eng)
{
    g->gcm = gcm;
    /* The block cipher has no other user: our suites with AES are GCM's. */
    br_ssl_engine_set_aes_ctr(eng, &g->cipher);
    br_ssl_engine_set_gcm(eng, &in_class, &out_class);
}
