#include <string.h>

#include <remora/noise.h>

/* The steps of a handshake; each function accepts one of them. */
enum {
    STEP_START = 0,
    STEP_SENT_1,  /* initiator: message 1 was written                   */
    STEP_CLAIMED, /* responder: static key read, not yet authenticated  */
    STEP_READ_1,  /* responder: message 1 was authentic                 */
    STEP_DONE,    /* both: split may be called                          */
    STEP_SPLIT    /* both: keys were taken                              */
};

/* HASH of the two protocol names; both are longer than a hash, so h0 is their
 * hash (Noise 5.2, InitializeSymmetric).  A test computes them. */
static const uint8_t name_hash[2][32] = {
    {0xbb, 0xea, 0x02, 0x2b, 0x94, 0x8c, 0xf3, 0xbc, 0x58, 0x57, 0xd7,
     0x08, 0x04, 0x22, 0x91, 0x79, 0xe1, 0x11, 0x6b, 0xc4, 0x0c, 0xb8,
     0xcc, 0x07, 0x48, 0x35, 0x34, 0x9c, 0x46, 0x4b, 0xca, 0x36},
    {0x60, 0xe2, 0x6d, 0xae, 0xf3, 0x27, 0xef, 0xc0, 0x2e, 0xc3, 0x35,
     0xe2, 0xa0, 0x25, 0xd2, 0xd0, 0x16, 0xeb, 0x42, 0x06, 0xf8, 0x72,
     0x77, 0xf5, 0x2d, 0x38, 0xd1, 0x98, 0x8b, 0x78, 0xcd, 0x36},
};

/* IK uses each key for one message, so the nonce never counts. */
static const uint8_t zero_nonce[12] = {0};

static void mix_hash(rmr_noise *n, const void *data, size_t len)
{
    rmr_blake2s_256(n->h, rmr_bytes_of(n->h, 32), rmr_bytes_of(data, len));
}

/* MixKey; `k` may be NULL where the pattern never uses that key. */
static void mix_key(rmr_noise *n, uint8_t *k, const uint8_t ikm[32])
{
    rmr_hkdf(n->ck, k, NULL, n->ck, rmr_bytes_of(ikm, 32));
}

static rmr_err mix_dh(rmr_noise *n, uint8_t *k, const uint8_t priv[32],
                      const uint8_t pub[32])
{
    uint8_t dh[32];
    rmr_err e = rmr_x25519(dh, priv, pub);
    if (!e)
        mix_key(n, k, dh);
    rmr_wipe(dh, sizeof dh);
    return e;
}

/* Token "e": in PSK patterns the ephemeral is mixed into the key too, so that
 * a PSK alone never makes one (Noise 9.2). */
static void mix_e(rmr_noise *n, const uint8_t pub[32])
{
    mix_hash(n, pub, 32);
    if (n->pattern == RMR_NOISE_IKPSK2)
        mix_key(n, NULL, pub);
}

static rmr_err mix_ss(rmr_noise *n, uint8_t k[32])
{
    if (!n->has_ss)
        return mix_dh(n, k, n->s_priv, n->rs);
    /* A stored zero stands for a low-order key. */
    static const uint8_t zero[32] = {0};
    if (rmr_equal_ct(n->ss, zero, sizeof zero))
        return RMR_E_AUTH;
    mix_key(n, k, n->ss);
    return RMR_OK;
}

/* Token "psk": MixKeyAndHash; gives the key of the payload that follows. */
static void mix_psk(rmr_noise *n, uint8_t k[32])
{
    uint8_t tau[32];
    rmr_hkdf(n->ck, tau, k, n->ck, rmr_bytes_of(n->psk, 32));
    mix_hash(n, tau, sizeof tau);
    rmr_wipe(tau, sizeof tau);
}

static void seal_mixed(rmr_noise *n, const uint8_t k[32], rmr_bytes pt,
                       uint8_t *c)
{
    rmr_chapoly_seal(c, k, zero_nonce, rmr_bytes_of(n->h, 32), pt);
    mix_hash(n, c, pt.len + RMR_TAG_LEN);
}

static rmr_err open_mixed(rmr_noise *n, const uint8_t k[32], rmr_bytes c,
                          uint8_t *pt)
{
    rmr_err e = rmr_chapoly_open(pt, k, zero_nonce, rmr_bytes_of(n->h, 32), c);
    if (!e)
        mix_hash(n, c.ptr, c.len);
    return e;
}

rmr_err rmr_noise_init(rmr_noise *n, const rmr_noise_config *cfg)
{
    if (!cfg->local_private || (cfg->initiator && !cfg->remote_public) ||
        (cfg->pattern != RMR_NOISE_IK && cfg->pattern != RMR_NOISE_IKPSK2))
        return RMR_E_INVAL;
    memset(n, 0, sizeof *n);
    n->pattern = (uint8_t)cfg->pattern;
    n->initiator = cfg->initiator;
    memcpy(n->s_priv, cfg->local_private, 32);
    if (cfg->local_public)
        memcpy(n->s_pub, cfg->local_public, 32);
    else
        rmr_x25519_public(n->s_pub, n->s_priv);
    if (cfg->initiator)
        memcpy(n->rs, cfg->remote_public, 32);
    if (cfg->psk)
        memcpy(n->psk, cfg->psk, 32);
    if (cfg->static_static) {
        memcpy(n->ss, cfg->static_static, 32);
        n->has_ss = 1;
    }
    memcpy(n->ck, name_hash[n->pattern], 32);
    memcpy(n->h, n->ck, 32);
    mix_hash(n, cfg->prologue.ptr, cfg->prologue.len);
    /* Pre-message "<- s": the responder's key, known to both. */
    mix_hash(n, n->initiator ? n->rs : n->s_pub, 32);
    return RMR_OK;
}

void rmr_noise_wipe(rmr_noise *n)
{
    rmr_wipe(n, sizeof *n);
}

/* Every message works on a copy and commits at its end: an error leaves the
 * state as it was (contract S1). */
static rmr_err finish(rmr_noise *n, rmr_noise *work, rmr_err e)
{
    if (!e)
        memcpy(n, work, sizeof *n);
    rmr_wipe(work, sizeof *work);
    return e;
}

static void set_ephemeral(rmr_noise *n, const uint8_t e_priv[32])
{
    memcpy(n->e_priv, e_priv, 32);
    rmr_x25519_public(n->e_pub, e_priv);
}

/* -> e, es, s, ss, payload */
static rmr_err make_1(rmr_noise *n, rmr_bytes payload, uint8_t *dst)
{
    uint8_t k[32];
    mix_e(n, n->e_pub);
    rmr_err e = mix_dh(n, k, n->e_priv, n->rs);
    if (!e) {
        memcpy(dst, n->e_pub, 32);
        seal_mixed(n, k, rmr_bytes_of(n->s_pub, 32), dst + 32);
        e = mix_ss(n, k);
    }
    if (!e)
        seal_mixed(n, k, payload, dst + 80);
    rmr_wipe(k, sizeof k);
    return e;
}

rmr_err rmr_noise_write_1(rmr_noise *n, const uint8_t e_priv[32],
                          rmr_bytes payload, rmr_buf dst, size_t *len)
{
    if (!n->initiator || n->step != STEP_START)
        return RMR_E_STATE;
    if (dst.len < RMR_NOISE_MSG1_LEN ||
        dst.len - RMR_NOISE_MSG1_LEN < payload.len)
        return RMR_E_BUFSIZE;
    rmr_noise work = *n;
    set_ephemeral(&work, e_priv);
    rmr_err e = make_1(&work, payload, dst.ptr);
    if (!e) {
        work.step = STEP_SENT_1;
        *len = RMR_NOISE_MSG1_LEN + payload.len;
    }
    return finish(n, &work, e);
}

rmr_err rmr_noise_read_1_static(rmr_noise *n, rmr_bytes msg,
                                uint8_t claimed[32])
{
    if (n->initiator || n->step != STEP_START)
        return RMR_E_STATE;
    if (msg.len < RMR_NOISE_MSG1_LEN)
        return RMR_E_MALFORMED;
    rmr_noise work = *n;
    uint8_t k[32];
    memcpy(work.re, msg.ptr, 32);
    mix_e(&work, work.re);
    rmr_err e = mix_dh(&work, k, work.s_priv, work.re);
    if (!e)
        e = open_mixed(&work, k, rmr_bytes_of(msg.ptr + 32, 48), work.rs);
    rmr_wipe(k, sizeof k);
    if (!e) {
        work.step = STEP_CLAIMED;
        memcpy(claimed, work.rs, 32);
    }
    return finish(n, &work, e);
}

rmr_err rmr_noise_read_1_payload(rmr_noise *n, rmr_bytes msg,
                                 const uint8_t *psk,
                                 const uint8_t *static_static, rmr_buf dst,
                                 size_t *len)
{
    if (n->initiator || n->step != STEP_CLAIMED)
        return RMR_E_STATE;
    if (msg.len < RMR_NOISE_MSG1_LEN)
        return RMR_E_MALFORMED;
    if (dst.len < msg.len - RMR_NOISE_MSG1_LEN)
        return RMR_E_BUFSIZE;
    rmr_noise work = *n;
    uint8_t k[32];
    if (psk)
        memcpy(work.psk, psk, 32);
    if (static_static) {
        memcpy(work.ss, static_static, 32);
        work.has_ss = 1;
    }
    rmr_err e = mix_ss(&work, k);
    if (!e)
        e = open_mixed(&work, k, rmr_bytes_of(msg.ptr + 80, msg.len - 80),
                       dst.ptr);
    rmr_wipe(k, sizeof k);
    if (!e) {
        work.step = STEP_READ_1;
        *len = msg.len - RMR_NOISE_MSG1_LEN;
    }
    return finish(n, &work, e);
}

/* The tokens after "e" in message 2, from either side: ee, se, [psk]. */
static rmr_err mix_2(rmr_noise *n, uint8_t k[32])
{
    rmr_err e = mix_dh(n, NULL, n->e_priv, n->re);
    if (!e)
        e = n->initiator ? mix_dh(n, k, n->s_priv, n->re)
                         : mix_dh(n, k, n->e_priv, n->rs);
    if (!e && n->pattern == RMR_NOISE_IKPSK2)
        mix_psk(n, k);
    return e;
}

rmr_err rmr_noise_write_2(rmr_noise *n, const uint8_t e_priv[32],
                          rmr_bytes payload, rmr_buf dst, size_t *len)
{
    if (n->initiator || n->step != STEP_READ_1)
        return RMR_E_STATE;
    if (dst.len < RMR_NOISE_MSG2_LEN ||
        dst.len - RMR_NOISE_MSG2_LEN < payload.len)
        return RMR_E_BUFSIZE;
    rmr_noise work = *n;
    uint8_t k[32];
    set_ephemeral(&work, e_priv);
    mix_e(&work, work.e_pub);
    rmr_err e = mix_2(&work, k);
    if (!e) {
        memcpy(dst.ptr, work.e_pub, 32);
        seal_mixed(&work, k, payload, dst.ptr + 32);
        work.step = STEP_DONE;
        *len = RMR_NOISE_MSG2_LEN + payload.len;
    }
    rmr_wipe(k, sizeof k);
    return finish(n, &work, e);
}

rmr_err rmr_noise_read_2(rmr_noise *n, rmr_bytes msg, rmr_buf dst, size_t *len)
{
    if (!n->initiator || n->step != STEP_SENT_1)
        return RMR_E_STATE;
    if (msg.len < RMR_NOISE_MSG2_LEN)
        return RMR_E_MALFORMED;
    if (dst.len < msg.len - RMR_NOISE_MSG2_LEN)
        return RMR_E_BUFSIZE;
    rmr_noise work = *n;
    uint8_t k[32];
    memcpy(work.re, msg.ptr, 32);
    mix_e(&work, work.re);
    rmr_err e = mix_2(&work, k);
    if (!e)
        e = open_mixed(&work, k, rmr_bytes_of(msg.ptr + 32, msg.len - 32),
                       dst.ptr);
    rmr_wipe(k, sizeof k);
    if (!e) {
        work.step = STEP_DONE;
        *len = msg.len - RMR_NOISE_MSG2_LEN;
    }
    return finish(n, &work, e);
}

rmr_err rmr_noise_split(rmr_noise *n, uint8_t send[32], uint8_t recv[32])
{
    if (n->step != STEP_DONE)
        return RMR_E_STATE;
    rmr_hkdf(n->initiator ? send : recv, n->initiator ? recv : send, NULL,
             n->ck, rmr_bytes_of(NULL, 0));
    /* h stays, for channel binding. */
    rmr_wipe(n->ck, sizeof n->ck);
    rmr_wipe(n->e_priv, sizeof n->e_priv);
    rmr_wipe(n->psk, sizeof n->psk);
    rmr_wipe(n->ss, sizeof n->ss);
    n->step = STEP_SPLIT;
    return RMR_OK;
}

const uint8_t *rmr_noise_hash(const rmr_noise *n)
{
    return n->h;
}
