/* The state blob: what must outlive the process.  It is loaded once, first of
 * all, and stored whenever it changed.  A blob that can't be read, opened or
 * understood is told of and never overwritten.  The text holds secret keys: it
 * is wiped after use. */
#include "node_internal.h"

#include <string.h>

#define SOON (100 * RMR_MS)
#define STATE_MAX ((size_t)24 * 1024) /* of RMR_NODE_MAX_ROUTES, and sealed */

static void text_free(rmr_node *n)
{
    if (n->state_text) /* only what was written: the rest stays untouched */
        rmr_wipe(n->state_text,
                 n->state_len < n->state_cap ? n->state_len : n->state_cap);
    rmr_release(&n->env.alloc, n->state_text, n->state_cap);
    n->state_text = NULL;
    n->state_cap = n->state_len = 0;
}

static bool text_new(rmr_node *n)
{
    text_free(n);
    n->state_text = rmr_alloc_raw(&n->env.alloc, STATE_MAX, 1);
    n->state_cap = n->state_text ? STATE_MAX : 0;
    return n->state_text != NULL;
}

void rmri_node_state_free(rmr_node *n)
{
    text_free(n);
}

/* ---- loading ----------------------------------------------------------- */

static void keys_new(rmr_node *n, rmr_time now)
{
    rmri_node_prefs_settle(n);
    if (rmr_key_generate(&n->env.rng, n->keys.machine) != RMR_OK ||
        rmr_key_generate(&n->env.rng, n->keys.node) != RMR_OK) {
        rmri_node_fail(n, now, RMR_E_RNG, NULL);
        return;
    }
    n->keys_wait = true;
    rmri_node_state_save(n);
    if (n->stop_err == RMR_OK)
        rmri_node_state_ready(n, now);
}

/* What has been stored may be told to the server. */
static void keys_are_stored(rmr_node *n)
{
    if (n->keys_wait && n->ctl) {
        n->keys_wait = false;
        rmr_ctl_release(n->ctl);
        n->dirty = true;
    }
}

static void load_failed(void *owner, rmr_time now, rmr_err why)
{
    rmr_node *n = owner;
    n->state_io = NULL;
    text_free(n);
    if (n->phase != ND_PHASE_LOADING)
        return; /* asked to stop meanwhile */
    /* An adapter without blobs: the node lives as long as the process. */
    if (why == RMR_E_NOTFOUND || why == RMR_E_UNSUPPORTED)
        keys_new(n, now);
    else
        rmri_node_fail(n, now, RMR_E_NODE_STATE_READ, NULL);
}

/* The blob is whole.  `again`: it is to be stored in the present form. */
static rmr_err read_text(rmr_node *n, bool *again)
{
    rmr_buf blob = rmr_buf_of(n->state_text, n->state_len);
    uint32_t number = 0;
    bool is_old = false;
    bool sealed = rmri_node_is_sealed(rmr_bytes_of(blob.ptr, blob.len));
    rmr_err err = sealed ? rmri_node_unseal(n, &blob, &number) : RMR_OK;
    if (err == RMR_OK)
        err = rmri_node_state_parse(&n->keys, &n->env.alloc,
                                    rmr_bytes_of(blob.ptr, blob.len), &is_old);
    /* Whoever can write the blob, but has no key, must not change who we are. */
    if (!sealed && n->seal_key && !n->take_plain &&
        (err == RMR_OK || err == RMR_E_NODE_STATE_NEWER))
        err = RMR_E_NODE_STATE_PLAIN;
    *again = is_old || number > 0 || sealed != (n->seal_key != NULL);
    return err;
}

static void loaded(rmr_node *n, rmr_time now)
{
    bool again = false;
    rmr_err err =
        n->state_len <= n->state_cap ? read_text(n, &again) : RMR_E_MALFORMED;
    text_free(n);
    if (err != RMR_OK) {
        bool told = err == RMR_E_NODE_STATE_SEALED ||
                    err == RMR_E_NODE_STATE_NEWER ||
                    err == RMR_E_NODE_STATE_PLAIN || err == RMR_E_NOMEM;
        rmri_node_keys_wipe(&n->keys, &n->env.alloc);
        rmri_node_fail(n, now, told ? err : RMR_E_NODE_STATE_DAMAGED, NULL);
        return;
    }
    rmri_node_prefs_settle(n);
    n->state_seen = true;
    rmri_node_state_ready(n, now);
    if (again && n->phase == ND_PHASE_UP)
        rmri_node_state_save(n);
}

static void load_part(void *owner, rmr_time now, rmr_bytes part, bool more)
{
    rmr_node *n = owner;
    if (part.len > n->state_cap - n->state_len)
        n->state_len = n->state_cap + 1; /* not one of ours */
    if (n->state_len <= n->state_cap) {
        memcpy(n->state_text + n->state_len, part.ptr, part.len);
        n->state_len += part.len;
    }
    if (more)
        return;
    n->state_io = NULL;
    if (n->phase == ND_PHASE_LOADING)
        loaded(n, now);
    else
        text_free(n); /* asked to stop meanwhile */
}

static const rmr_mc_io_ops load_ops = {
    .failed = load_failed,
    .loaded = load_part,
};

void rmri_node_state_load(rmr_node *n)
{
    if (text_new(n))
        n->state_io = rmr_mc_load(n->mc, ND_STATE_NAME, &load_ops, n);
    if (!n->state_io)
        rmri_node_fail(n, n->now, RMR_E_NOMEM, NULL);
}

/* ---- writing ----------------------------------------------------------- */

static rmr_err state_build(rmr_node *n)
{
    nd_keys *k = &n->keys;
    if (n->wg) {
        rmr_wg_stats st;
        rmr_wg_get_stats(n->wg, &st);
        k->wg_floor_unix_ns = st.tai64n_floor_unix_ns;
    }
    rmr_err err = RMR_OK;
    if (!k->url) /* it may still be only configured */
        err = rmr_text_keep(&k->url, &n->env.alloc,
                            rmr_bytes_str(rmr_text_kept(n->url)));
    if (err)
        return err;
    err = rmri_node_state_text(k, rmr_buf_of(n->state_text, n->state_cap),
                               &n->state_len);
    if (err == RMR_OK && n->seal_key)
        err = rmri_node_seal(n, n->state_text, n->state_cap, &n->state_len);
    return err;
}

static void store_failed(void *owner, rmr_time now, rmr_err why)
{
    rmr_node *n = owner;
    n->state_io = NULL;
    text_free(n);
    if (why == RMR_E_UNSUPPORTED) { /* an adapter without blobs */
        keys_are_stored(n);
        rmri_node_login_stored(n);
        return;
    }
    rmri_node_login_not_stored(n);
    if (n->phase == ND_PHASE_UP && n->running_told)
        rmri_node_trouble(n, RMR_E_NODE_STATE_WRITE,
                          rmr_node_err_text(RMR_E_NODE_STATE_WRITE));
    else
        rmri_node_fail(n, now, RMR_E_NODE_STATE_WRITE, NULL);
}

static void store_done(void *owner, rmr_time now)
{
    rmr_node *n = owner;
    (void)now;
    n->state_io = NULL;
    text_free(n);
    keys_are_stored(n);
    if (n->state_dirty)
        rmri_node_state_save(n);
    else if (!n->state_wanted)
        rmri_node_login_stored(n);
}

static size_t store_produce(void *owner, rmr_time now, rmr_buf scratch)
{
    rmr_node *n = owner;
    (void)now;
    memcpy(scratch.ptr, n->state_text, n->state_len);
    rmr_mc_io_last_part(n->state_io);
    return n->state_len;
}

static const rmr_mc_io_ops store_ops = {
    .failed = store_failed,
    .stored = store_done,
    .produce = store_produce,
};

static const char cant_save[] =
    "the state could not be saved: no memory, or no key to seal it";

void rmri_node_state_save(rmr_node *n)
{
    n->state_at = RMR_TIME_NEVER; /* all that has changed is in it */
    if (n->only_netcheck)         /* it has read none: the state is another's */
        return;
    if (n->state_io) { /* one at a time; the next follows it */
        n->state_dirty = true;
        return;
    }
    n->state_dirty = false;
    rmr_err err = text_new(n) ? state_build(n) : RMR_E_NOMEM;
    if (err == RMR_OK)
        n->state_io = rmr_mc_store(n->mc, ND_STATE_NAME, &store_ops, n);
    if (n->state_io)
        return;
    n->state_len = n->state_cap; /* it may be filled to any place */
    text_free(n);
    rmri_node_login_not_stored(n);
    /* Keys that were never stored are not used. */
    err = err == RMR_OK || err == RMR_E_NOMEM ? RMR_E_NOMEM
                                              : RMR_E_NODE_STATE_WRITE;
    if (n->phase == ND_PHASE_LOADING)
        rmri_node_fail(n, n->now, err, cant_save);
    else
        rmri_node_trouble(n, err, cant_save);
}

/* For what a crash may forget: the server tells it again.  A join makes four
 * such changes one after the other, and an adapter waits for the disk at each
 * store, so they are stored together. */
void rmri_node_state_soon(rmr_node *n)
{
    n->state_at = rmr_time_min(n->state_at, rmr_time_add(n->now, SOON));
}
