/* AES-GCM of Intel's Multi-Buffer Crypto for IPsec, by its direct calls: they
 * need no manager, only the functions that it chose for the processor. */
#include <string.h>

#include <remora/crypto.h>

#include "gcm_internal.h"
#include "ipsec_mb.h"

typedef struct mb_size { /* the functions for one length of key */
    aes_gcm_pre_t expand;
    aes_gcm_enc_dec_t seal, open;
} mb_size;

typedef struct mb_gcm {
    rmri_gcm_mem mem;
    mb_size aes128, aes256;
} mb_gcm;

typedef struct mb_key {
    struct gcm_key_data data;
    bool is256;
} mb_key;

_Static_assert(sizeof(mb_key) <= RMR_GCM_KEY_MAX, "a key has its room");

static const mb_size *size_of(const void *self, bool is256)
{
    const mb_gcm *g = (const mb_gcm *)self;
    return is256 ? &g->aes256 : &g->aes128;
}

static void init(void *self, rmr_gcm_key *k, const uint8_t *key, size_t key_len)
{
    mb_key *m = (mb_key *)(void *)k->opaque;
    memset(k, 0, sizeof *k);
    m->is256 = key_len == 32;
    size_of(self, m->is256)->expand(key, &m->data);
}

static void seal(void *self, const rmr_gcm_key *k,
                 const uint8_t nonce[RMR_GCM_NONCE_LEN], rmr_bytes ad,
                 uint8_t *buf, size_t len)
{
    const mb_key *m = (const mb_key *)(const void *)k->opaque;
    struct gcm_context_data work;
    size_of(self, m->is256)
        ->seal(&m->data, &work, buf, buf, len, nonce, ad.ptr, ad.len, buf + len,
               RMR_GCM_TAG_LEN);
    rmr_wipe(&work, sizeof work);
}

static rmr_err open(void *self, const rmr_gcm_key *k,
                    const uint8_t nonce[RMR_GCM_NONCE_LEN], rmr_bytes ad,
                    uint8_t *buf, size_t len)
{
    const mb_key *m = (const mb_key *)(const void *)k->opaque;
    struct gcm_context_data work;
    uint8_t tag[RMR_GCM_TAG_LEN];
    size_of(self, m->is256)
        ->open(&m->data, &work, buf, buf, len, nonce, ad.ptr, ad.len, tag,
               sizeof tag);
    bool same = rmr_equal_ct(tag, buf + len, sizeof tag);
    rmr_wipe(tag, sizeof tag); /* of a forged message: its right one */
    rmr_wipe(&work, sizeof work);
    return same ? RMR_OK : RMR_E_AUTH;
}

rmr_err rmri_gcm_ipsec_mb(rmr_gcm *out, const rmr_alloc *alloc)
{
    IMB_MGR *mgr;
    rmr_err e = rmri_ipsec_mb_start(&mgr, alloc);
    if (e)
        return e;
    mb_gcm *g = rmr_alloc_zero(alloc, sizeof *g, _Alignof(mb_gcm));
    if (g) {
        g->mem = (rmri_gcm_mem){.alloc = *alloc, .size = sizeof *g};
        g->aes128 =
            (mb_size){mgr->gcm128_pre, mgr->gcm128_enc, mgr->gcm128_dec};
        g->aes256 =
            (mb_size){mgr->gcm256_pre, mgr->gcm256_enc, mgr->gcm256_dec};
        *out = (rmr_gcm){.name = "ipsec-mb",
                         .self = g,
                         .init = init,
                         .seal = seal,
                         .open = open};
    }
    rmri_ipsec_mb_end(mgr, alloc);
    return g ? RMR_OK : RMR_E_NOMEM;
}
