/* The state under a key of the host's: a line that names the key by a hash of
 * it, a nonce, and the text under XChaCha20-Poly1305.  So a wrong key is told
 * from a damaged state. */
#include "node_internal.h"

#include <remora/text.h>
#include <string.h>

static const char magic[] = "remora-sealed 1 ";
#define ID_LEN 16
#define MAGIC_LEN ND_SEAL_MAGIC_LEN
#define HEAD_LEN ND_SEAL_HEAD_LEN
#define MAX_KEYS 16 /* that are asked for */

_Static_assert(sizeof magic - 1 == MAGIC_LEN && HEAD_LEN == MAGIC_LEN + 33,
               "the first line");
_Static_assert(HEAD_LEN + RMR_XNONCE_LEN + RMR_TAG_LEN == ND_SEAL_LEN,
               "what sealing adds");

/* The first line, which is authenticated with the rest. */
static void seal_head(char head[HEAD_LEN + 1], const char *line,
                      const uint8_t key[RMR_KEY_LEN])
{
    static const char label[] = "remora state key";
    uint8_t id[RMR_HASH_LEN];
    rmr_blake2s_256(id, rmr_bytes_of(label, sizeof label - 1),
                    rmr_bytes_of(key, RMR_KEY_LEN));
    memcpy(head, line, MAGIC_LEN);
    rmr_hex(head + MAGIC_LEN, id, ID_LEN);
    head[HEAD_LEN - 1] = '\n';
    head[HEAD_LEN] = 0;
    rmr_wipe(id, sizeof id);
}

static rmr_err key_get(rmr_node *n, uint32_t number, uint8_t key[RMR_KEY_LEN])
{
    memset(key, 0, RMR_KEY_LEN);
    n->in_callback++;
    rmr_err err = n->seal_key(n->seal_user, number, key);
    n->in_callback--;
    return err;
}

bool rmri_node_is_sealed(rmr_bytes blob)
{
    return blob.len >= MAGIC_LEN && memcmp(blob.ptr, magic, MAGIC_LEN) == 0;
}

rmr_err rmri_node_seal_find(rmr_node *n, const char *line, const uint8_t *head,
                            uint8_t key[RMR_KEY_LEN], uint32_t *number)
{
    char want[HEAD_LEN + 1];
    rmr_err err = RMR_E_NODE_STATE_SEALED;
    for (*number = 0; n->seal_key && *number < MAX_KEYS; ++*number) {
        if (key_get(n, *number, key) != RMR_OK)
            break;
        seal_head(want, line, key);
        if (memcmp(want, head, HEAD_LEN - 1) != 0)
            continue;
        err = RMR_OK;
        break;
    }
    rmr_wipe(want, sizeof want);
    return err;
}

rmr_err rmri_node_seal_head(rmr_node *n, const char *line,
                            char head[HEAD_LEN + 1], uint8_t key[RMR_KEY_LEN])
{
    rmr_err err = key_get(n, 0, key);
    if (err == RMR_OK)
        seal_head(head, line, key);
    return err;
}

rmr_err rmri_node_unseal(rmr_node *n, rmr_buf *blob, uint32_t *number)
{
    uint8_t key[RMR_KEY_LEN];
    if (blob->len < ND_SEAL_LEN)
        return RMR_E_MALFORMED;
    rmr_err err = rmri_node_seal_find(n, magic, blob->ptr, key, number);
    if (err == RMR_OK) {
        const uint8_t *nonce = blob->ptr + HEAD_LEN;
        uint8_t *c = blob->ptr + HEAD_LEN + RMR_XNONCE_LEN;
        size_t len = blob->len - HEAD_LEN - RMR_XNONCE_LEN;
        err =
            rmr_xchapoly_open(c, key, nonce, rmr_bytes_of(blob->ptr, HEAD_LEN),
                              rmr_bytes_of(c, len));
        *blob = rmr_buf_of(c, len - RMR_TAG_LEN);
        err = err == RMR_OK ? RMR_OK : RMR_E_MALFORMED;
    }
    rmr_wipe(key, sizeof key);
    return err;
}

rmr_err rmri_node_seal(rmr_node *n, uint8_t *text, size_t cap, size_t *len)
{
    uint8_t key[RMR_KEY_LEN], nonce[RMR_XNONCE_LEN];
    char head[HEAD_LEN + 1];
    if (cap - *len < ND_SEAL_LEN)
        return RMR_E_BUFSIZE;
    rmr_err err = rmri_node_seal_head(n, magic, head, key);
    if (err == RMR_OK)
        err = rmr_rng_fill(&n->env.rng, nonce, sizeof nonce);
    if (err == RMR_OK) {
        uint8_t *pt = text + HEAD_LEN + RMR_XNONCE_LEN;
        memmove(pt, text, *len);
        memcpy(text, head, HEAD_LEN);
        memcpy(text + HEAD_LEN, nonce, sizeof nonce);
        rmr_xchapoly_seal(pt, key, nonce, rmr_bytes_of(head, HEAD_LEN),
                          rmr_bytes_of(pt, *len));
        *len += ND_SEAL_LEN;
    }
    rmr_wipe(key, sizeof key);
    return err;
}
