#include <string.h>

#include <blake2.h>

#include <remora/crypto.h>

_Static_assert(sizeof(rmr_blake2s) >= sizeof(blake2s_state),
               "rmr_blake2s holds libb2's state");

static blake2s_state *state_of(rmr_blake2s *s)
{
    return (blake2s_state *)(void *)s;
}

void rmr_blake2s_init(rmr_blake2s *s, size_t out_len, const void *key,
                      size_t key_len)
{
    if (key_len)
        blake2s_init_key(state_of(s), out_len, key, key_len);
    else
        blake2s_init(state_of(s), out_len);
}

void rmr_blake2s_update(rmr_blake2s *s, const void *data, size_t len)
{
    if (len)
        blake2s_update(state_of(s), (const uint8_t *)data, len);
}

#if defined(__GNUC__)
#define OWN_FRAME __attribute__((noinline, no_sanitize("address")))
#else
#define OWN_FRAME
#endif

/* libb2 leaves the hash, which may be a key, on the stack below its caller. */
OWN_FRAME static void wipe_below(void)
{
    uint8_t below[1024];
    rmr_wipe(below, sizeof below);
}

void rmr_blake2s_final(rmr_blake2s *s, uint8_t *out)
{
    blake2s_final(state_of(s), out, state_of(s)->outlen);
    wipe_below();
}

void rmr_blake2s_256(uint8_t out[RMR_HASH_LEN], rmr_bytes a, rmr_bytes b)
{
    rmr_blake2s s;
    rmr_blake2s_init(&s, RMR_HASH_LEN, NULL, 0);
    rmr_blake2s_update(&s, a.ptr, a.len);
    rmr_blake2s_update(&s, b.ptr, b.len);
    rmr_blake2s_final(&s, out);
    rmr_wipe(&s, sizeof s);
}

void rmr_blake2s_mac(uint8_t out[16], rmr_bytes key, rmr_bytes data)
{
    rmr_blake2s s;
    rmr_blake2s_init(&s, 16, key.ptr, key.len);
    rmr_blake2s_update(&s, data.ptr, data.len);
    rmr_blake2s_final(&s, out);
    rmr_wipe(&s, sizeof s);
}

/* One half of HMAC: the state after the block key ^ pad. */
static void hmac_half(rmr_blake2s *s, const uint8_t block[RMR_BLAKE2S_BLOCK],
                      uint8_t pad)
{
    uint8_t x[RMR_BLAKE2S_BLOCK];
    for (size_t i = 0; i < sizeof x; i++)
        x[i] = block[i] ^ pad;
    rmr_blake2s_init(s, RMR_HASH_LEN, NULL, 0);
    rmr_blake2s_update(s, x, sizeof x);
    rmr_wipe(x, sizeof x);
}

void rmr_hmac_blake2s(uint8_t out[RMR_HASH_LEN], rmr_bytes key, rmr_bytes a,
                      rmr_bytes b)
{
    uint8_t block[RMR_BLAKE2S_BLOCK] = {0};
    uint8_t inner[RMR_HASH_LEN];
    rmr_blake2s s;
    /* RFC 2104 2: longer keys are hashed first. */
    if (key.len > sizeof block)
        rmr_blake2s_256(block, key, rmr_bytes_of(NULL, 0));
    else if (key.len)
        memcpy(block, key.ptr, key.len);

    hmac_half(&s, block, 0x36);
    rmr_blake2s_update(&s, a.ptr, a.len);
    rmr_blake2s_update(&s, b.ptr, b.len);
    rmr_blake2s_final(&s, inner);
    hmac_half(&s, block, 0x5c);
    rmr_blake2s_update(&s, inner, sizeof inner);
    rmr_blake2s_final(&s, out);

    rmr_wipe(block, sizeof block);
    rmr_wipe(inner, sizeof inner);
    rmr_wipe(&s, sizeof s);
}

void rmr_hkdf(uint8_t o1[RMR_HASH_LEN], uint8_t *o2, uint8_t *o3,
              const uint8_t ck[RMR_HASH_LEN], rmr_bytes ikm)
{
    uint8_t prk[RMR_HASH_LEN], t[RMR_HASH_LEN], n = 1;
    const rmr_bytes none = {NULL, 0};
    rmr_bytes key = {prk, sizeof prk}, prev = {t, sizeof t}, tag = {&n, 1};

    rmr_hmac_blake2s(prk, rmr_bytes_of(ck, RMR_HASH_LEN), ikm, none);
    rmr_hmac_blake2s(t, key, none, tag);
    memcpy(o1, t, sizeof t);
    if (o2 || o3) {
        n = 2;
        rmr_hmac_blake2s(t, key, prev, tag);
        if (o2)
            memcpy(o2, t, sizeof t);
    }
    if (o3) {
        n = 3;
        rmr_hmac_blake2s(o3, key, prev, tag);
    }
    rmr_wipe(prk, sizeof prk);
    rmr_wipe(t, sizeof t);
}
