#include <blake2.h>
#include <sodium.h>

#include <remora/crypto.h>

/*
 * libb2 picks its code for this processor on the first call of each function
 * and keeps the choice in a pointer of its own.  Calling each one here, before
 * any thread exists, leaves nothing to be written later.
 */
static void choose_blake2s(void)
{
    static const uint8_t key[16] = {0};
    blake2s_state s;
    uint8_t out[RMR_HASH_LEN];
    blake2s_init(&s, RMR_HASH_LEN);
    blake2s_update(&s, key, sizeof key);
    blake2s_final(&s, out, sizeof out);
    blake2s_init_key(&s, 16, key, sizeof key);
    blake2s_update(&s, key, sizeof key);
    blake2s_final(&s, out, 16);
}

rmr_err rmr_crypto_init(void)
{
    /* 0: first call, 1: it was done before. */
    if (sodium_init() < 0)
        return RMR_E_INTERNAL;
    choose_blake2s();
    return RMR_OK;
}
