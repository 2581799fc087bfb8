/*
 * The AEAD of Intel's Multi-Buffer Crypto for IPsec.
 *
 * Its cipher works on one message at a time, so a queue of many jobs is not
 * faster than one job at a time, and that is faster than the direct calls (a
 * start, pieces, an end): one key stream serves the tag's key and the text.
 * Every message here goes through the same slot of the manager, which stays in
 * the cache; no job ever waits in the queue.
 */
#include <stdlib.h>
#include <string.h>

#include <remora/crypto.h>
#include <remora/cursor.h>

#include "aead_internal.h"
#include "ipsec_mb.h"

typedef struct ipsec_mb {
    rmri_aead_mem mem;
    /* Without what lies behind it in the library's own form: the managers that
     * gather jobs of other algorithms. */
    RMR_ALIGNAS(64) IMB_MGR mgr;
} ipsec_mb;

/* The library may read up to 16 bytes behind a key (version 1.3, AVX2). */
_Static_assert(RMR_AEAD_CTX_MAX >= RMR_KEY_LEN + 16, "room behind the key");

static void mb_init(void *self, rmr_aead_ctx *ctx,
                    const uint8_t key[RMR_KEY_LEN])
{
    (void)self;
    memset(ctx, 0, sizeof *ctx);
    memcpy(ctx->opaque, key, RMR_KEY_LEN);
}

/* Works in place; the tag of the ciphertext goes to `tag`. */
static void run(ipsec_mb *mb, IMB_CIPHER_DIRECTION dir, const rmr_aead_ctx *ctx,
                uint64_t counter, uint8_t *buf, size_t len, uint8_t *tag)
{
    uint8_t nonce[12] = {0};
    rmr_store_le64(nonce + 4, counter);
    IMB_JOB *job = &mb->mgr.jobs[0];
    job->cipher_direction = dir;
    job->chain_order =
        dir == IMB_DIR_ENCRYPT ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
    job->enc_keys = ctx->opaque;
    job->dec_keys = ctx->opaque;
    job->iv = nonce;
    job->src = buf;
    job->dst = buf;
    job->msg_len_to_cipher_in_bytes = len;
    job->msg_len_to_hash_in_bytes = len;
    job->auth_tag_output = tag;
    const IMB_JOB *done = IMB_SUBMIT_JOB_NOCHECK(&mb->mgr);
    /* A packet that was not sealed must not leave. */
    if (done != job || done->status != IMB_STATUS_COMPLETED)
        abort();
    mb->mgr.next_job = 0;
}

static void mb_seal(void *self, const rmr_aead_ctx *ctx, uint64_t counter,
                    uint8_t *buf, size_t len)
{
    run((ipsec_mb *)self, IMB_DIR_ENCRYPT, ctx, counter, buf, len, buf + len);
}

static rmr_err mb_open(void *self, const rmr_aead_ctx *ctx, uint64_t counter,
                       uint8_t *buf, size_t len)
{
    uint8_t tag[RMR_TAG_LEN];
    run((ipsec_mb *)self, IMB_DIR_DECRYPT, ctx, counter, buf, len, tag);
    bool same = rmr_equal_ct(tag, buf + len, RMR_TAG_LEN);
    rmr_wipe(tag, sizeof tag); /* of a forged message: its right one */
    return same ? RMR_OK : RMR_E_AUTH;
}

/* Takes the functions of a manager that was started, and writes what is the
 * same in every job.  The slots besides the first are left as they are. */
static void take(IMB_MGR *mgr, const IMB_MGR *whole)
{
    static const uint8_t none[16] = {0};
    const size_t slots = offsetof(IMB_MGR, jobs);
    const size_t tail = slots + sizeof mgr->jobs;
    memcpy(mgr, whole, slots);
    memset((uint8_t *)mgr + tail, 0, sizeof *mgr - tail);
    IMB_JOB *job = &mgr->jobs[0];
    memset(job, 0, sizeof *job);
    job->cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
    job->hash_alg = IMB_AUTH_CHACHA20_POLY1305;
    job->key_len_in_bytes = RMR_KEY_LEN;
    job->iv_len_in_bytes = 12;
    job->auth_tag_output_len_in_bytes = RMR_TAG_LEN;
    job->u.CHACHA20_POLY1305.aad = none;
    mgr->next_job = 0; /* the library's own tests moved it */
    mgr->earliest_job = -1;
}

rmr_err rmri_aead_ipsec_mb(rmr_aead *out, const rmr_alloc *alloc)
{
    IMB_MGR *whole;
    rmr_err e = rmri_ipsec_mb_start(&whole, alloc);
    if (e)
        return e;
    /* Not zeroed: of the slots for jobs only the first is ever touched. */
    ipsec_mb *mb = (ipsec_mb *)alloc->alloc(alloc->user, sizeof *mb, 64);
    if (mb) {
        mb->mem = (rmri_aead_mem){.alloc = *alloc, .size = sizeof *mb};
        take(&mb->mgr, whole);
        *out = (rmr_aead){.name = "ipsec-mb",
                          .self = mb,
                          .init = mb_init,
                          .seal = mb_seal,
                          .open = mb_open};
    }
    rmri_ipsec_mb_end(whole, alloc);
    return mb ? RMR_OK : RMR_E_NOMEM;
}
