/* The last netmap as a blob: a MapResponse, then a line with a checksum of it;
 * sealed where the host gives a key.  A tailnet changes without end, a peer or
 * two at a time, so a second blob has what changed since the first, in the same
 * form.  Its sum begins with that of the first, so it is read with no other; not
 * with an equal one of later either, for each has a number of its own at its end.
 * It is a stopgap until the server's first frame, so a damaged one is left aside
 * with a warning, and so is a plain one where it should be sealed. */
#include "node_internal.h"

#include <remora/cursor.h>
#include <remora/text.h>
#include <string.h>

static const char *const names[2] = {"netmap.cache", "netmap.since"};
/* Soon for the first time.  Then what a change draws after it (a peer that moves
 * is told in three frames within 15 s) comes with it: each save is of the whole,
 * and a large tailnet changes without end. */
#define FIRST_DELAY (2 * RMR_SEC)
#define SAVE_DELAY (60 * RMR_SEC)
/* Peers that go and come, and move: without them the netmap is as good. */
#define LATE_DELAY (900 * RMR_SEC)
/* The last line is against damage: who may write the blob may write its sum as
 * well, and sealing is against that.  What older versions wrote has BLAKE2s,
 * which takes longer than the making of the text. */
static const char tail_word[] = "\n#siphash ", old_word[] = "\n#blake2s ";
#define SALT_LEN ND_CACHE_SALT_LEN
#define SUM_LEN (SALT_LEN + sizeof(uint64_t)) /* the text's, and the salt's */
#define TAIL_LEN (sizeof tail_word - 1 + 2 * SUM_LEN + 1)
#define OLD_TAIL_LEN (sizeof old_word - 1 + 2 * RMR_HASH_LEN + 1)

_Static_assert(OLD_TAIL_LEN <= ND_CACHE_TAIL_MAX && TAIL_LEN <= OLD_TAIL_LEN,
               "either is kept back whole");

static void sum_begin(rmr_node *n)
{
    const rmr_hash_key whole = {0, 0}, since = {n->cache_base, 1};
    rmr_sip13_init(&n->cache_sum, n->cache_since ? &since : &whole);
}

/* \return the sum of all, which stands behind the salt. */
static uint64_t sum_end(rmr_node *n, uint8_t sum[SUM_LEN])
{
    rmr_sip13_update(&n->cache_sum, n->cache_salt, SALT_LEN);
    uint64_t v = rmr_sip13_final(&n->cache_sum);
    memcpy(sum, n->cache_salt, SALT_LEN);
    rmr_store_le64(sum + SALT_LEN, v);
    return v;
}

/* ---- loading: each twice, first to verify, then to apply ---------------- */

static rmr_err feed(rmr_node *n, rmr_bytes body, bool apply)
{
    if (!apply) {
        rmr_sip13_update(&n->cache_sum, body.ptr, body.len);
        if (!n->cache_since)
            rmr_blake2s_update(&n->cache_old, body.ptr, body.len);
        return RMR_OK;
    }
    return rmr_nm_frame_feed(n->nm, body);
}

/* Feeds all but the last `cache_keep` bytes seen so far, which are kept back. */
static rmr_err feed_keeping_tail(rmr_node *n, rmr_bytes part, bool apply)
{
    if (part.len == 0)
        return RMR_OK;
    if (n->cache_tail_len + part.len <= n->cache_keep) {
        memcpy(n->cache_tail + n->cache_tail_len, part.ptr, part.len);
        n->cache_tail_len += part.len;
        return RMR_OK;
    }
    size_t over = n->cache_tail_len + part.len - n->cache_keep;
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

/* Of the blob, as it comes. */
static rmr_err take_part(rmr_node *n, rmr_bytes part, bool apply)
{
    if (n->cache_err == RMR_OK && n->cache_seal)
        n->cache_err = rmri_node_blob_open(n, n->cache_seal, part,
                                           feed_keeping_tail, apply);
    else if (n->cache_err == RMR_OK)
        n->cache_err = feed_keeping_tail(n, part, apply);
    return n->cache_err;
}

static void io_over(rmr_node *n)
{
    n->cache_io = NULL;
    rmri_node_blob_free(n, &n->cache_seal);
}

static bool load_begin(rmr_node *n, const rmr_mc_io_ops *ops)
{
    n->cache_tail_len = 0;
    n->cache_err = RMR_OK;
    rmri_node_blob_free(n, &n->cache_seal);
    if (n->seal_key && !(n->cache_seal = rmri_node_blob_new(n, true)))
        return false;
    n->cache_io = rmr_mc_load(n->mc, names[n->cache_since], ops, n);
    return n->cache_io != NULL;
}

/* Is the text behind `word`, to the end of what was kept back, that sum? */
static bool ends_with(const rmr_node *n, const char *word, const uint8_t *sum,
                      size_t sum_len)
{
    uint8_t want[RMR_HASH_LEN];
    size_t len = strlen(word), all = len + 2 * sum_len + 1;
    if (n->cache_tail_len < all)
        return false;
    const uint8_t *tail = n->cache_tail + n->cache_tail_len - all;
    return memcmp(tail, word, len) == 0 && tail[all - 1] == '\n' &&
           rmr_unhex(want, sum_len, rmr_bytes_of(tail + len, 2 * sum_len)) ==
               RMR_OK &&
           memcmp(want, sum, sum_len) == 0;
}

/* How long the tail is, when the sum in it is that of all before it; else 0. */
static size_t right_tail(rmr_node *n)
{
    uint8_t sum[SUM_LEN], old[RMR_HASH_LEN];
    rmr_blake2s_final(&n->cache_old, old);
    if (n->cache_err != RMR_OK || n->cache_tail_len < TAIL_LEN ||
        (n->cache_seal && !rmri_node_blob_is_whole(n->cache_seal)))
        return 0;
    /* More was kept back than the shorter tail. */
    size_t over = n->cache_tail_len - TAIL_LEN;
    const uint8_t *salt = n->cache_tail + over + sizeof tail_word - 1;
    rmr_sip13_update(&n->cache_sum, n->cache_tail, over);
    memset(n->cache_salt, 0, SALT_LEN); /* where none stands there */
    (void)rmr_unhex(n->cache_salt, SALT_LEN, rmr_bytes_of(salt, 2 * SALT_LEN));
    uint64_t v = sum_end(n, sum);
    if (ends_with(n, tail_word, sum, sizeof sum)) {
        if (!n->cache_since)
            n->cache_base = v;
        return TAIL_LEN;
    }
    return !n->cache_since && ends_with(n, old_word, old, sizeof old)
               ? OLD_TAIL_LEN
               : 0;
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
    io_over(n);
    end_frame(n);
}

/* There is no more to come of it. */
static void loaded(rmr_node *n, rmr_time now)
{
    rmri_node_measure_cached(n, now);
    rmri_node_peers_stopgap(n);
}

static void load_failed(void *owner, rmr_time now, rmr_err why)
{
    rmr_node *n = owner;
    io_over(n);
    end_frame(n);
    if (why != RMR_E_NOTFOUND && why != RMR_E_UNSUPPORTED)
        rmr_logf(&n->env.log, RMR_LOG_WARN, ND_LAYER,
                 "the cached netmap can't be read: %s", rmr_err_name(why));
    rmri_node_measure_cached(n, now);
    if (n->cache_since) /* the first one is whole */
        rmri_node_peers_stopgap(n);
}

static bool verify_begin(rmr_node *n, bool since);

static void applied_part(void *owner, rmr_time now, rmr_bytes part, bool more)
{
    rmr_node *n = owner;
    /* The server was faster: its netmap is better. */
    bool wanted = !n->live && n->cache_step != 0;
    bool ok = wanted && take_part(n, part, true) == RMR_OK;
    if (!more)
        io_over(n);
    if (!wanted || (ok && more))
        return;
    end_frame(n);
    bool has_since = ok && !n->cache_since && n->cache_keep == TAIL_LEN;
    if (!has_since || !verify_begin(n, true))
        loaded(n, now);
}

static const rmr_mc_io_ops apply_ops = {
    .failed = load_failed,
    .loaded = applied_part,
};

static void verify_part(void *owner, rmr_time now, rmr_bytes part, bool more)
{
    rmr_node *n = owner;
    (void)take_part(n, part, false);
    if (more)
        return;
    n->cache_keep = right_tail(n);
    io_over(n);
    if (n->cache_keep == 0 && n->cache_since) {
        /* As a rule it is of the netmap before. */
        rmr_logf(&n->env.log, RMR_LOG_DEBUG, ND_LAYER,
                 "no changes of this cached netmap, or damaged ones");
        if (!n->live)
            loaded(n, now);
        return;
    }
    if (n->cache_keep == 0) {
        rmr_logf(&n->env.log, RMR_LOG_WARN, ND_LAYER,
                 "the cached netmap is damaged%s and was left aside",
                 n->seal_key ? ", or not sealed by a key of ours," : "");
        rmri_node_measure_cached(n, now);
        return;
    }
    if (n->live)
        return;
    n->cache_step = 1;
    if (!n->cache_since)
        rmr_nm_stream_begin(n->nm);
    rmr_nm_frame_begin(n->nm, rmr_mc_wall(n->mc, now));
    if (!load_begin(n, &apply_ops))
        end_frame(n);
}

static const rmr_mc_io_ops verify_ops = {
    .failed = load_failed,
    .loaded = verify_part,
};

static bool verify_begin(rmr_node *n, bool since)
{
    n->cache_since = since;
    sum_begin(n);
    rmr_blake2s_init(&n->cache_old, RMR_HASH_LEN, NULL, 0);
    n->cache_keep = OLD_TAIL_LEN;
    return load_begin(n, &verify_ops);
}

void rmri_node_cache_load(rmr_node *n)
{
    (void)verify_begin(n, false);
}

/* ---- saving ------------------------------------------------------------ */

static void save_failed(void *owner, rmr_time now, rmr_err why)
{
    rmr_node *n = owner;
    (void)now;
    io_over(n);
    if (why != RMR_E_UNSUPPORTED)
        rmr_logf(&n->env.log, RMR_LOG_WARN, ND_LAYER,
                 "the netmap was not saved: %s", rmr_err_name(why));
}

static void save_done(void *owner, rmr_time now)
{
    rmr_node *n = owner;
    io_over(n);
    n->cache_saved = n->cache_based = true;
    if (n->cache_dirty)
        rmri_node_cache_changed(n, now, true);
}

/* The line at the end; its length. */
static size_t put_tail(rmr_node *n, uint8_t *dst)
{
    uint8_t sum[SUM_LEN];
    size_t word = sizeof tail_word - 1;
    uint64_t v = sum_end(n, sum);
    if (!n->cache_since)
        n->cache_base = v;
    memcpy(dst, tail_word, word);
    rmr_hex((char *)dst + word, sum, sizeof sum);
    dst[TAIL_LEN - 1] = '\n';
    return TAIL_LEN;
}

static size_t save_produce(void *owner, rmr_time now, rmr_buf scratch)
{
    rmr_node *n = owner;
    size_t len = 0,
           at = n->cache_seal ? rmri_node_blob_front(n->cache_seal) : 0;
    uint8_t *text = scratch.ptr + at;
    (void)now;
    rmr_buf room = rmr_buf_of(text, ND_CHUNK_MAX);
    rmr_err err = n->cache_since
                      ? rmr_nm_save_since(n->nm, &n->cache_pos, room, &len)
                      : rmr_nm_save(n->nm, &n->cache_pos, room, &len);
    if (err != RMR_OK) {
        /* Half a netmap must not become the blob. */
        rmr_mc_io_close(n->cache_io);
        io_over(n);
        return 0;
    }
    bool last = len == 0;
    if (last) {
        len = put_tail(n, text);
        rmr_mc_io_last_part(n->cache_io);
    } else {
        rmr_sip13_update(&n->cache_sum, text, len);
    }
    return n->cache_seal
               ? rmri_node_blob_seal(n->cache_seal, scratch.ptr, len, last)
               : len;
}

static const rmr_mc_io_ops save_ops = {
    .failed = save_failed,
    .stored = save_done,
    .produce = save_produce,
};

/* The peers that changed are written again and again, until that would come to
 * more than the whole: so it costs at most twice what the better would. */
static bool since_pays(rmr_node *n)
{
    size_t more = rmr_nm_unsaved(n->nm), all = rmr_nm_peer_count(n->nm);
    if (!n->cache_based || more > all || n->cache_spent > all - more)
        return false;
    n->cache_spent += more;
    return true;
}

static bool save_begin(rmr_node *n)
{
    sum_begin(n);
    rmri_node_blob_free(n, &n->cache_seal);
    if (rmr_rng_fill(&n->env.rng, n->cache_salt, SALT_LEN) != RMR_OK)
        return false;
    if (n->seal_key)
        n->cache_seal = rmri_node_blob_new(n, false);
    return !n->seal_key || n->cache_seal;
}

void rmri_node_cache_save(rmr_node *n)
{
    n->cache_at = RMR_TIME_NEVER;
    if (n->cache_io || !n->live)
        return;
    n->cache_dirty = false;
    n->cache_pos = 0;
    n->cache_since = since_pays(n);
    if (!n->cache_since) {
        n->cache_based = false; /* until it is stored */
        n->cache_spent = 0;
        rmr_nm_mark(n->nm);
    }
    if (!save_begin(n)) {
        rmr_logf(
            &n->env.log, RMR_LOG_WARN, ND_LAYER,
            "the netmap was not saved: no memory, no random numbers, or no "
            "key to seal it");
        return;
    }
    n->cache_io = rmr_mc_store(n->mc, names[n->cache_since], &save_ops, n);
}

/* Called with each frame that changed something.  The parts of a save are made
 * one operation after the other, with frames in between: such a save would be
 * of two netmaps, so it is begun anew. */
void rmri_node_cache_changed(rmr_node *n, rmr_time now, bool matters)
{
    rmr_dur delay = matters ? SAVE_DELAY : LATE_DELAY;
    n->cache_dirty = true;
    if (n->cache_io) {
        if (rmr_mc_io_kind_of(n->cache_io) == RMR_MC_STORE) {
            rmr_mc_io_close(n->cache_io);
            io_over(n);
        } else {
            return;
        }
    }
    n->cache_at = rmr_time_min(
        n->cache_at, rmr_time_add(now, n->cache_saved ? delay : FIRST_DELAY));
}

void rmri_node_cache_free(rmr_node *n)
{
    io_over(n);
}
