/*
 * remora/gcm.h - a table of AES-GCM functions, as a host plugs them into a
 * layer (remora/tls.h).  The table is all that is here: crypto has one of
 * ipsec-mb (rmr_gcm_new, remora/crypto.h), and a host may have its own.
 *
 * Threading: as the back end says; one thread at a time if it says nothing.
 * Memory: none but the caller's keys.  Time: none.
 *
 * Source: NIST SP 800-38D; RFC 5288 for its use in TLS.
 */
#ifndef REMORA_GCM_H
#define REMORA_GCM_H

#include <remora/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RMR_GCM_NONCE_LEN 12u
#define RMR_GCM_TAG_LEN 16u
#define RMR_GCM_KEY_MAX 1088u

typedef struct rmr_gcm_key { /* a key that was set up: wipe it */
    RMR_ALIGNAS(64) uint8_t opaque[RMR_GCM_KEY_MAX];
} rmr_gcm_key;

typedef struct rmr_gcm {
    const char *name;
    void *self;
    /* key_len: 16 or 32. */
    void (*init)(void *self, rmr_gcm_key *k, const uint8_t *key,
                 size_t key_len);
    /* In place; the tag goes to buf + len.  A nonce is used once with a key. */
    void (*seal)(void *self, const rmr_gcm_key *k,
                 const uint8_t nonce[RMR_GCM_NONCE_LEN], rmr_bytes ad,
                 uint8_t *buf, size_t len);
    /* len counts the plaintext; the tag is at buf + len.  RMR_OK or RMR_E_AUTH:
     * the content of buf is unspecified then and must not be used. */
    rmr_err (*open)(void *self, const rmr_gcm_key *k,
                    const uint8_t nonce[RMR_GCM_NONCE_LEN], rmr_bytes ad,
                    uint8_t *buf, size_t len);
} rmr_gcm;

#ifdef __cplusplus
}
#endif
#endif
