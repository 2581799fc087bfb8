/* The relay's private key as a blob: "privkey:" and 64 hex digits. */
#include "relay_internal.h"

#include <remora/text.h>
#include <string.h>

static const char word[] = "privkey:";
#define WORD_LEN (sizeof word - 1)
#define TEXT_LEN (WORD_LEN + 2 * RMR_KEY_LEN)

static void done(rmr_relay *r)
{
    r->key_io = NULL;
    rmr_wipe(r->key_text, sizeof r->key_text);
    r->key_len = 0;
}

/* ---- stored ------------------------------------------------------------ */

static size_t store_produce(void *owner, rmr_time now, rmr_buf scratch)
{
    rmr_relay *r = owner;
    (void)now;
    memcpy(scratch.ptr, r->key_text, r->key_len);
    rmr_mc_io_last_part(r->key_io);
    return r->key_len;
}

static void stored(void *owner, rmr_time now)
{
    rmr_relay *r = owner;
    done(r);
    rmri_relay_key_ready(r, now);
}

/* A relay whose key changed with each start would seem to be another one. */
static void store_failed(void *owner, rmr_time now, rmr_err why)
{
    rmr_relay *r = owner;
    done(r);
    rmri_relay_fail(r, now, why, "the relay's key can't be stored");
}

static const rmr_mc_io_ops store_ops = {
    .failed = store_failed,
    .stored = stored,
    .produce = store_produce,
};

static void make(rmr_relay *r, rmr_time now)
{
    rmr_err err = rmr_key_generate(&r->env.rng, r->private_key);
    if (err == RMR_OK) {
        memcpy(r->key_text, word, WORD_LEN);
        rmr_hex(r->key_text + WORD_LEN, r->private_key, RMR_KEY_LEN);
        r->key_text[TEXT_LEN] = '\n';
        r->key_len = TEXT_LEN + 1;
        r->key_io = rmr_mc_store(r->mc, RMR_RELAY_KEY_BLOB, &store_ops, r);
        err = r->key_io ? RMR_OK : RMR_E_NOMEM;
    }
    if (err != RMR_OK)
        store_failed(r, now, err);
}

/* ---- loaded ------------------------------------------------------------ */

static rmr_err parse(rmr_relay *r)
{
    size_t len = r->key_len;
    if (len > 0 && r->key_text[len - 1] == '\n')
        len--;
    if (len != TEXT_LEN || memcmp(r->key_text, word, WORD_LEN) != 0)
        return RMR_E_MALFORMED;
    return rmr_unhex(r->private_key, RMR_KEY_LEN,
                     rmr_bytes_of(r->key_text + WORD_LEN, 2 * RMR_KEY_LEN));
}

static void loaded(void *owner, rmr_time now, rmr_bytes part, bool more)
{
    rmr_relay *r = owner;
    size_t room = sizeof r->key_text - r->key_len;
    if (part.len > 0 && part.len <= room)
        memcpy(r->key_text + r->key_len, part.ptr, part.len);
    /* Too long: the sum says so. */
    r->key_len += part.len < room ? part.len : room;
    if (more)
        return;
    rmr_err err = parse(r);
    done(r);
    if (err == RMR_OK)
        rmri_relay_key_ready(r, now);
    else
        rmri_relay_fail(r, now, err,
                        "the stored key of the relay is damaged; it is left "
                        "as it is");
}

static void load_failed(void *owner, rmr_time now, rmr_err why)
{
    rmr_relay *r = owner;
    done(r);
    if (why == RMR_E_NOTFOUND)
        make(r, now);
    else
        rmri_relay_fail(r, now, why, "the relay's key can't be read");
}

static const rmr_mc_io_ops load_ops = {
    .failed = load_failed,
    .loaded = loaded,
};

void rmri_relay_key_load(rmr_relay *r, rmr_time now)
{
    r->key_io = rmr_mc_load(r->mc, RMR_RELAY_KEY_BLOB, &load_ops, r);
    if (!r->key_io)
        load_failed(r, now, RMR_E_NOMEM);
}
