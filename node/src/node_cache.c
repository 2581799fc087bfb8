/* The last netmap as a blob: a MapResponse, then a line with a hash over it.
 * It is a stopgap until the server's first frame, so a damaged one is left
 * aside with a warning. */
#include "node_internal.h"

#include <remora/text.h>
#include <string.h>

#define CACHE_NAME "netmap.cache"
#define SAVE_DELAY (2 * RMR_SEC)
/* A large tailnet changes without end, and each save is of the whole. */
#define SAVE_EVERY (60 * RMR_SEC)
static const char tail_word[] = "\n#blake2s ";
#define TAIL_LEN (sizeof tail_word - 1 + 2 * RMR_HASH_LEN + 1)

/* ---- loading: twice, first to verify, then to apply -------------------- */

/* Feeds all but the last TAIL_LEN bytes seen so far, which are kept back. */
static rmr_err feed(rmr_node *n, rmr_bytes body, bool apply)
{
    if (!apply) {
        rmr_blake2s_update(&n->cache_hash, body.ptr, body.len);
        return RMR_OK;
    }
    return rmr_nm_frame_feed(n->nm, body);
}

static rmr_err feed_keeping_tail(rmr_node *n, rmr_bytes part, bool apply)
{
    if (n->cache_tail_len + part.len <= TAIL_LEN) {
        memcpy(n->cache_tail + n->cache_tail_len, part.ptr, part.len);
        n->cache_tail_len += part.len;
        return RMR_OK;
    }
    size_t over = n->cache_tail_len + part.len - TAIL_LEN;
    size_t from_tail = over < n->cache_tail_len ? over : n->cache_tail_len;
    rmr_err err = feed(n, rmr_bytes_of(n->cache_tail, from_tail), apply);
    memmove(n->cache_tail, n->cache_tail + from_tail,
            n->cache_tail_len - from_tail);
    n->cache_tail_len -= from_tail;
    size_t direct = over - from_tail;
    if (err == RMR_OK && direct > 0)
        err = feed(n, rmr_bytes_of(part.ptr, direct), apply);
    memcpy(n->cache_tail + n->cache_tail_len, part.ptr + direct,
           part.len - direct);
    n->cache_tail_len += part.len - direct;
    return err;
}

static bool tail_is_right(rmr_node *n)
{
    uint8_t want[RMR_HASH_LEN], have[RMR_HASH_LEN];
    size_t word = sizeof tail_word - 1;
    rmr_blake2s_final(&n->cache_hash, have);
    return n->cache_tail_len == TAIL_LEN &&
           memcmp(n->cache_tail, tail_word, word) == 0 &&
           rmr_unhex(want, sizeof want,
                     rmr_bytes_of(n->cache_tail + word, 2 * RMR_HASH_LEN)) ==
               RMR_OK &&
           memcmp(want, have, sizeof want) == 0;
}

/* Ends the application of the cached netmap: all of it, or what there was. */
static void end_frame(rmr_node *n)
{
    if (n->cache_step)
        rmr_nm_frame_end(n->nm);
    n->cache_step = 0;
}

/* Also while it is only verified: the server's frame may be half read when the
 * last part comes, and two frames can't be read at once. */
void rmri_node_cache_overtaken(rmr_node *n)
{
    if (n->live)
        return; /* what is under way is a save */
    if (n->cache_io)
        rmr_mc_io_close(n->cache_io);
    n->cache_io = NULL;
    end_frame(n);
}

static void load_failed(void *owner, rmr_time now, rmr_err why)
{
    rmr_node *n = owner;
    n->cache_io = NULL;
    end_frame(n);
    if (why != RMR_E_NOTFOUND && why != RMR_E_UNSUPPORTED)
        rmr_logf(&n->env.log, RMR_LOG_WARN, ND_LAYER,
                 "the cached netmap can't be read: %s", rmr_err_name(why));
    rmri_node_measure_cached(n, now);
}

static void applied_part(void *owner, rmr_time now, rmr_bytes part, bool more)
{
    rmr_node *n = owner;
    if (!more)
        n->cache_io = NULL;
    /* The server was faster: its netmap is better. */
    if (n->live || n->cache_step == 0)
        return;
    if (feed_keeping_tail(n, part, true) == RMR_OK && more)
        return;
    end_frame(n);
    rmri_node_measure_cached(n, now);
    rmri_node_peers_stopgap(n);
}

static const rmr_mc_io_ops apply_ops = {
    .failed = load_failed,
    .loaded = applied_part,
};

static void verify_part(void *owner, rmr_time now, rmr_bytes part, bool more)
{
    rmr_node *n = owner;
    feed_keeping_tail(n, part, false);
    if (more)
        return;
    n->cache_io = NULL;
    if (!tail_is_right(n)) {
        rmr_logf(&n->env.log, RMR_LOG_WARN, ND_LAYER,
                 "the cached netmap is damaged and was left aside");
        rmri_node_measure_cached(n, now);
        return;
    }
    if (n->live)
        return;
    n->cache_tail_len = 0;
    n->cache_step = 1;
    rmr_nm_stream_begin(n->nm);
    rmr_nm_frame_begin(n->nm, rmr_mc_wall(n->mc, now));
    n->cache_io = rmr_mc_load(n->mc, CACHE_NAME, &apply_ops, n);
    if (!n->cache_io)
        end_frame(n);
}

static const rmr_mc_io_ops verify_ops = {
    .failed = load_failed,
    .loaded = verify_part,
};

void rmri_node_cache_load(rmr_node *n)
{
    n->cache_tail_len = 0;
    rmr_blake2s_init(&n->cache_hash, RMR_HASH_LEN, NULL, 0);
    n->cache_io = rmr_mc_load(n->mc, CACHE_NAME, &verify_ops, n);
}

/* ---- saving ------------------------------------------------------------ */

static void save_failed(void *owner, rmr_time now, rmr_err why)
{
    rmr_node *n = owner;
    (void)now;
    n->cache_io = NULL;
    if (why != RMR_E_UNSUPPORTED)
        rmr_logf(&n->env.log, RMR_LOG_WARN, ND_LAYER,
                 "the netmap was not saved: %s", rmr_err_name(why));
}

static void save_done(void *owner, rmr_time now)
{
    rmr_node *n = owner;
    n->cache_io = NULL;
    if (n->cache_dirty)
        rmri_node_cache_changed(n, now);
}

static size_t save_produce(void *owner, rmr_time now, rmr_buf scratch)
{
    rmr_node *n = owner;
    size_t len = 0;
    (void)now;
    if (rmr_nm_save(n->nm, &n->cache_pos, scratch, &len) != RMR_OK) {
        /* Half a netmap must not become the blob. */
        rmr_mc_io_close(n->cache_io);
        n->cache_io = NULL;
        return 0;
    }
    if (len > 0) {
        rmr_blake2s_update(&n->cache_hash, scratch.ptr, len);
        return len;
    }
    uint8_t hash[RMR_HASH_LEN];
    size_t word = sizeof tail_word - 1;
    rmr_blake2s_final(&n->cache_hash, hash);
    memcpy(scratch.ptr, tail_word, word);
    rmr_hex((char *)scratch.ptr + word, hash, sizeof hash);
    scratch.ptr[TAIL_LEN - 1] = '\n';
    rmr_mc_io_last_part(n->cache_io);
    return TAIL_LEN;
}

static const rmr_mc_io_ops save_ops = {
    .failed = save_failed,
    .stored = save_done,
    .produce = save_produce,
};

void rmri_node_cache_save(rmr_node *n)
{
    n->cache_at = RMR_TIME_NEVER;
    if (n->cache_io || !n->live)
        return;
    n->cache_dirty = false;
    n->cache_next = rmr_time_add(n->now, SAVE_EVERY);
    n->cache_pos = 0;
    rmr_blake2s_init(&n->cache_hash, RMR_HASH_LEN, NULL, 0);
    n->cache_io = rmr_mc_store(n->mc, CACHE_NAME, &save_ops, n);
}

/* Called with each frame that changed something.  The parts of a save are made
 * one operation after the other, with frames in between: such a save would be
 * of two netmaps, so it is begun anew. */
void rmri_node_cache_changed(rmr_node *n, rmr_time now)
{
    n->cache_dirty = true;
    if (n->cache_io) {
        if (rmr_mc_io_kind_of(n->cache_io) == RMR_MC_STORE) {
            rmr_mc_io_close(n->cache_io);
            n->cache_io = NULL;
        } else {
            return;
        }
    }
    if (n->cache_at == RMR_TIME_NEVER) {
        n->cache_at = rmr_time_add(now, SAVE_DELAY);
        if (n->cache_at < n->cache_next)
            n->cache_at = n->cache_next;
    }
}

void rmri_node_cache_free(rmr_node *n)
{
    n->cache_io = NULL;
}
