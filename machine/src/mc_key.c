/* A private key as a blob: "<word><64 hex digits>\n", made where there is none.
 * A server whose key changed with each start would seem to be another one, so
 * nothing is done with a key that is not durable. */
#include <remora/machine.h>
#include <remora/text.h>

#include "mc_internal.h"

#include <string.h>

#define KEY_LEN 32
#define TEXT_MAX 96

struct rmr_mc_key {
    rmr_mc *mc;
    rmr_mc_io *io;
    rmr_mc_key_fn done;
    void *user;
    char blob[32], word[16];
    uint8_t key[KEY_LEN];
    char text[TEXT_MAX];
    size_t len;
};

static size_t text_len(const rmr_mc_key *k)
{
    return strlen(k->word) + 2 * KEY_LEN;
}

void rmr_mc_key_free(rmr_mc_key *k)
{
    if (!k)
        return;
    rmr_alloc a = k->mc->env.alloc;
    if (k->io)
        rmr_mc_io_close(k->io);
    rmr_release_wiped(&a, k, sizeof *k);
}

/* Last thing: the owner frees it. */
static void tell(rmr_mc_key *k, rmr_time now, rmr_err err, const char *text)
{
    k->io = NULL;
    k->done(k->user, now, err, text, k->key);
}

/* ---- stored -------------------------------------------------------------- */

static size_t store_produce(void *owner, rmr_time now, rmr_buf scratch)
{
    rmr_mc_key *k = owner;
    (void)now;
    memcpy(scratch.ptr, k->text, k->len);
    rmr_mc_io_last_part(k->io);
    return k->len;
}

static void stored(void *owner, rmr_time now)
{
    tell(owner, now, RMR_OK, NULL);
}

static void store_failed(void *owner, rmr_time now, rmr_err why)
{
    tell(owner, now, why, "the key can't be stored");
}

static const rmr_mc_io_ops store_ops = {
    .failed = store_failed,
    .stored = stored,
    .produce = store_produce,
};

static void make(rmr_mc_key *k, rmr_time now)
{
    uint8_t *key = k->key;
    size_t n = strlen(k->word);
    if (rmr_rng_fill(&k->mc->env.rng, key, KEY_LEN) != RMR_OK) {
        tell(k, now, RMR_E_RNG, "there is no randomness for a key");
        return;
    }
    key[0] &= 248; /* RFC 7748 5 */
    key[31] = (uint8_t)((key[31] & 127) | 64);
    memcpy(k->text, k->word, n);
    rmr_hex(k->text + n, key, KEY_LEN);
    k->text[text_len(k)] = '\n';
    k->len = text_len(k) + 1;
    k->io = rmr_mc_store(k->mc, k->blob, &store_ops, k);
    if (!k->io)
        store_failed(k, now, RMR_E_NOMEM);
}

/* ---- loaded -------------------------------------------------------------- */

static rmr_err parse(rmr_mc_key *k)
{
    size_t len = k->len, n = strlen(k->word);
    if (len > 0 && k->text[len - 1] == '\n')
        len--;
    if (len != text_len(k) || memcmp(k->text, k->word, n) != 0)
        return RMR_E_MALFORMED;
    return rmr_unhex(k->key, KEY_LEN, rmr_bytes_of(k->text + n, 2 * KEY_LEN));
}

static void loaded(void *owner, rmr_time now, rmr_bytes part, bool more)
{
    rmr_mc_key *k = owner;
    size_t room = sizeof k->text - k->len;
    if (part.len > 0 && part.len <= room)
        memcpy(k->text + k->len, part.ptr, part.len);
    /* Too long: the sum says so. */
    k->len += part.len < room ? part.len : room;
    if (more)
        return;
    rmr_err err = parse(k);
    tell(k, now, err,
         err ? "the stored key is damaged; it is left as it is" : NULL);
}

static void load_failed(void *owner, rmr_time now, rmr_err why)
{
    rmr_mc_key *k = owner;
    k->io = NULL;
    if (why == RMR_E_NOTFOUND)
        make(k, now);
    else
        tell(k, now, why, "the key can't be read");
}

static const rmr_mc_io_ops load_ops = {
    .failed = load_failed,
    .loaded = loaded,
};

rmr_err rmr_mc_key_load(rmr_mc_key **out, rmr_mc *mc, const char *blob,
                        const char *word, rmr_mc_key_fn done, void *user)
{
    *out = NULL;
    if (strlen(blob) >= sizeof((rmr_mc_key *)0)->blob ||
        strlen(word) >= sizeof((rmr_mc_key *)0)->word)
        return RMR_E_INVAL;
    rmr_mc_key *k =
        rmr_alloc_zero(&mc->env.alloc, sizeof *k, _Alignof(rmr_mc_key));
    if (!k)
        return RMR_E_NOMEM;
    k->mc = mc;
    k->done = done;
    k->user = user;
    memcpy(k->blob, blob, strlen(blob));
    memcpy(k->word, word, strlen(word));
    k->io = rmr_mc_load(mc, k->blob, &load_ops, k);
    if (!k->io) {
        rmr_mc_key_free(k);
        return RMR_E_NOMEM;
    }
    *out = k;
    return RMR_OK;
}
