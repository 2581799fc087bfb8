/* Intel's ipsec-mb, ChaCha20-Poly1305, seal and open in place with the tag
 * compared: by its direct calls, and by its job queue. */
#include "peer.h"

#include <intel-ipsec-mb.h>

#define MAX 1420
#define TAG 16

typedef struct aead {
    IMB_MGR *mgr;
    uint64_t counter;
    size_t size;
    uint8_t key[32], nonce[12], tag[TAG];
    uint8_t buf[MAX + TAG];
} aead;

static void next_nonce(aead *a)
{
    uint64_t n = a->counter++;
    for (int i = 0; i < 8; i++)
        a->nonce[4 + i] = (uint8_t)(n >> 8 * i);
}

static void check(const aead *a)
{
    uint8_t diff = 0;
    for (int i = 0; i < TAG; i++)
        diff |= (uint8_t)(a->tag[i] ^ a->buf[a->size + (size_t)i]);
    if (diff)
        peer_die("a tag of ipsec-mb is wrong");
}

static void direct(void *user, uint64_t *ops, uint64_t *bytes)
{
    aead *a = user;
    for (int i = 0; i < 1000; i++) {
        struct chacha20_poly1305_context_data c;
        next_nonce(a);
        IMB_CHACHA20_POLY1305_INIT(a->mgr, a->key, &c, a->nonce, NULL, 0);
        IMB_CHACHA20_POLY1305_ENC_UPDATE(a->mgr, a->key, &c, a->buf, a->buf,
                                         a->size);
        IMB_CHACHA20_POLY1305_ENC_FINALIZE(a->mgr, &c, a->buf + a->size, TAG);
        IMB_CHACHA20_POLY1305_INIT(a->mgr, a->key, &c, a->nonce, NULL, 0);
        IMB_CHACHA20_POLY1305_DEC_UPDATE(a->mgr, a->key, &c, a->buf, a->buf,
                                         a->size);
        IMB_CHACHA20_POLY1305_DEC_FINALIZE(a->mgr, &c, a->tag, TAG);
        check(a);
    }
    *ops += 1000;
    *bytes += 1000 * a->size;
}

static void submit(aead *a, IMB_CIPHER_DIRECTION way, uint8_t *tag)
{
    IMB_JOB *j = IMB_GET_NEXT_JOB(a->mgr);
    j->cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
    j->hash_alg = IMB_AUTH_CHACHA20_POLY1305;
    j->cipher_direction = way;
    j->chain_order =
        way == IMB_DIR_ENCRYPT ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
    j->enc_keys = j->dec_keys = a->key;
    j->key_len_in_bytes = sizeof a->key;
    j->iv = a->nonce;
    j->iv_len_in_bytes = sizeof a->nonce;
    j->src = j->dst = a->buf;
    j->cipher_start_src_offset_in_bytes = 0;
    j->hash_start_src_offset_in_bytes = 0;
    j->msg_len_to_cipher_in_bytes = a->size;
    j->msg_len_to_hash_in_bytes = a->size;
    j->auth_tag_output = tag;
    j->auth_tag_output_len_in_bytes = TAG;
    j->u.CHACHA20_POLY1305.aad = NULL;
    j->u.CHACHA20_POLY1305.aad_len_in_bytes = 0;
    j = IMB_SUBMIT_JOB_NOCHECK(a->mgr);
    if (!j)
        j = IMB_FLUSH_JOB(a->mgr);
    if (!j || j->status != IMB_STATUS_COMPLETED)
        peer_die("a job of ipsec-mb did not complete");
}

static void queue(void *user, uint64_t *ops, uint64_t *bytes)
{
    aead *a = user;
    for (int i = 0; i < 1000; i++) {
        next_nonce(a);
        submit(a, IMB_DIR_ENCRYPT, a->buf + a->size);
        submit(a, IMB_DIR_DECRYPT, a->tag);
        check(a);
    }
    *ops += 1000;
    *bytes += 1000 * a->size;
}

int main(int argc, char **argv)
{
    static const size_t sizes[] = {64, 1280, 1420};
    static aead a = {.key = {7}};
    peer_args args = peer_parse(argc, argv);
    a.mgr = alloc_mb_mgr(0);
    if (!a.mgr)
        peer_die("no memory");
    init_mb_mgr_auto(a.mgr, NULL);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char name[32];
        a.size = sizes[i];
        snprintf(name, sizeof name, "aead/ipsec-mb-direct/%zu", a.size);
        peer_run(&args, name, direct, &a);
        snprintf(name, sizeof name, "aead/ipsec-mb-jobs/%zu", a.size);
        peer_run(&args, name, queue, &a);
    }
    free_mb_mgr(a.mgr);
    return 0;
}
