/* What a node keeps sealed: in the host's files, and in the program's store. */
#include "lab.h"
#include "node_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static lab l;

static int setup(void **state)
{
    (void)state;
    lab_init(&l);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return lab_end(&l);
}

/* ---- sealing ----------------------------------------------------------- */

static uint8_t seal_keys[2]; /* each byte of key 0, 1; 0: there is none */

static rmr_err seal_key(void *user, uint32_t number, uint8_t key[RMR_KEY_LEN])
{
    (void)user;
    if (number > 1 || !seal_keys[number])
        return RMR_E_NOTFOUND;
    memset(key, seal_keys[number], RMR_KEY_LEN);
    return RMR_OK;
}

static void again_sealed(rmr_node_config *cfg, uint8_t k0, uint8_t k1)
{
    seal_keys[0] = k0;
    seal_keys[1] = k1;
    lab_again(&l, cfg);
    cfg->seal_key = k0 ? seal_key : NULL;
}

static bool blob_has(const char *word)
{
    const lab_blob *b = lab_blob_get(&l, LAB_STATE);
    size_t len = strlen(word);
    for (size_t i = 0; i + len <= b->len; i++)
        if (memcmp(b->data + i, word, len) == 0)
            return true;
    return false;
}

/* It fails with `want`, and what was stored is as it was. */
static void assert_refused(rmr_node_config *cfg, rmr_err want)
{
    lab_blob *b = lab_blob_get(&l, LAB_STATE);
    size_t len = b->len;
    uint8_t *copy = malloc(len);
    assert_non_null(copy);
    memcpy(copy, b->data, len);
    lab_begin(&l, cfg);
    assert_int_equal(l.failed_err, want);
    assert_int_equal(l.stop_err, want);
    assert_int_equal(l.stores, 0);
    assert_int_equal(b->len, len);
    assert_memory_equal(b->data, copy, len);
    free(copy);
}

static void a_key_of_the_hosts_seals_the_state_and_can_be_changed(void **st)
{
    rmr_node_config cfg;
    uint8_t machine[RMR_KEY_LEN];
    (void)st;
    lab_config(&l, &cfg);
    lab_begin(&l, &cfg);
    memcpy(machine, l.node->keys.machine, sizeof machine);
    assert_true(blob_has("privkey:"));
    again_sealed(&cfg, 7, 0); /* was plain */
    cfg.take_plain_state = true;
    lab_begin(&l, &cfg);
    assert_int_equal(l.stores, 1);
    assert_false(blob_has("privkey:") || blob_has("127.0.0.1"));
    again_sealed(&cfg, 7, 0);
    lab_begin(&l, &cfg);
    assert_int_equal(l.stores, 0);
    assert_memory_equal(machine, l.node->keys.machine, sizeof machine);
    again_sealed(&cfg, 8, 7); /* rotation: sealed anew at once */
    lab_begin(&l, &cfg);
    assert_int_equal(l.stores, 1);
    again_sealed(&cfg, 8, 0);
    lab_begin(&l, &cfg);
    assert_int_equal(l.failed_events, 0);
    assert_memory_equal(machine, l.node->keys.machine, sizeof machine);
    again_sealed(&cfg, 7, 0);
    assert_refused(&cfg, RMR_E_NODE_STATE_SEALED);
    assert_non_null(strstr(l.failed_text, "key that"));
    again_sealed(&cfg, 0, 0);
    assert_refused(&cfg, RMR_E_NODE_STATE_SEALED);
    again_sealed(&cfg, 8, 0); /* nothing was lost by the wrong ones */
    lab_begin(&l, &cfg);
    assert_int_equal(l.failed_events, 0);
    assert_memory_equal(machine, l.node->keys.machine, sizeof machine);
}

/* Of this node in an earlier time, or of another one. */
static void a_plain_state_does_not_take_the_place_of_a_sealed_one(void **st)
{
    uint8_t plain[4096];
    rmr_node_config cfg;
    (void)st;
    size_t len = lab_vector("state-3.txt", plain, sizeof plain);
    seal_keys[0] = 7;
    seal_keys[1] = 0;
    lab_config(&l, &cfg);
    cfg.seal_key = seal_key;
    lab_begin(&l, &cfg);
    lab_state(&l, plain, len);
    again_sealed(&cfg, 7, 0);
    assert_refused(&cfg, RMR_E_NODE_STATE_PLAIN);
    assert_non_null(strstr(l.failed_text, "not sealed"));
    size_t older = lab_vector("state-1.txt", plain, sizeof plain);
    lab_state(&l, plain, older);
    again_sealed(&cfg, 7, 0);
    assert_refused(&cfg, RMR_E_NODE_STATE_PLAIN);
    plain[older - 3] ^= 1; /* that is none at all */
    lab_state(&l, plain, older);
    again_sealed(&cfg, 7, 0);
    assert_refused(&cfg, RMR_E_NODE_STATE_DAMAGED);
}

static void an_altered_sealed_state_is_damaged(void **st)
{
    rmr_node_config cfg;
    (void)st;
    seal_keys[0] = 7;
    seal_keys[1] = 0;
    lab_config(&l, &cfg);
    cfg.seal_key = seal_key;
    lab_begin(&l, &cfg);
    lab_blob *b = lab_blob_get(&l, LAB_STATE);
    size_t len = b->len;
    for (size_t i = 0; i < len; i += i < 100 ? 1 : 37) {
        bool names_key = i >= 16 && i < 48;
        again_sealed(&cfg, 7, 0);
        b->data[i] ^= 1;
        assert_refused(&cfg, names_key ? RMR_E_NODE_STATE_SEALED
                                       : RMR_E_NODE_STATE_DAMAGED);
        b->data[i] ^= 1;
        again_sealed(&cfg, 7, 0);
        b->len = i;
        assert_refused(&cfg, RMR_E_NODE_STATE_DAMAGED);
        b->len = len;
    }
    again_sealed(&cfg, 7, 0);
    lab_begin(&l, &cfg);
    assert_int_equal(l.failed_events, 0);
}

/* ---- the cached netmap under that key ----------------------------------- */

#define PEERS 900 /* of them it has more than one chunk */

static uint8_t *cache; /* as it was saved */
static size_t cache_len;

static char *netmap(void)
{
    size_t cap = 4096 + PEERS * (size_t)512, len = 0;
    char *text = malloc(cap);
    assert_non_null(text);
    len +=
        (size_t)snprintf(text, cap,
                         "{\"Node\":" LAB_PEER("1", "s1", "n1") ","
                                                                "\"Peers\":[");
    for (int i = 0; i < PEERS; i++)
        len += (size_t)snprintf(
            text + len, cap - len,
            "%s{\"ID\":%d,\"StableID\":\"t%d\",\"Name\":\"peer-%d.ex.com.\","
            "\"Key\":\"nodekey:%064x\",\"Addresses\":[\"100.65.%d.%d/32\"],"
            "\"AllowedIPs\":[\"100.65.%d.%d/32\"],\"MachineAuthorized\":true}",
            i ? "," : "", i + 10, i, i, (unsigned)i + 1, i / 200, i % 200 + 1,
            i / 200, i % 200 + 1);
    (void)snprintf(text + len, cap - len, "]}");
    return text;
}

/* A node that ran under the key 7, and what it left. */
static void save_cache(rmr_node_config *cfg)
{
    char *text = netmap();
    seal_keys[0] = 7;
    seal_keys[1] = 0;
    cfg->seal_key = seal_key;
    lab_begin(&l, cfg);
    l.node->keys.registered = true;
    lab_feed_first(&l, text);
    free(text);
    lab_stop(&l);
}

static void save_cache_blob(void)
{
    rmr_node_config cfg;
    lab_config(&l, &cfg);
    save_cache(&cfg);
    lab_blob *b = lab_blob_get(&l, LAB_CACHE);
    assert_non_null(b);
    cache_len = b->len;
    cache = malloc(cache_len);
    assert_non_null(cache);
    memcpy(cache, b->data, cache_len);
}

static bool cache_has(const char *word)
{
    size_t n = strlen(word);
    for (size_t i = 0; i + n <= cache_len; i++)
        if (memcmp(cache + i, word, n) == 0)
            return true;
    return false;
}

/* A start with that as the blob, and these keys: is it taken? */
static bool cache_is_taken(const uint8_t *data, size_t len, uint8_t k0,
                           uint8_t k1)
{
    rmr_nm_node self;
    rmr_node_config cfg;
    lab_blob *b = lab_blob_get(&l, LAB_CACHE);
    again_sealed(&cfg, k0, k1);
    free(b->data);
    b->data = malloc(len + 1);
    assert_non_null(b->data);
    memcpy(b->data, data, len);
    b->len = len;
    lab_begin(&l, &cfg);
    assert_int_equal(l.failed_events, 0);
    assert_null(l.node->cache_seal); /* nothing is kept of the reading */
    bool taken = rmr_nm_peer_count(l.node->nm) == PEERS;
    assert_true(taken || rmr_nm_peer_count(l.node->nm) == 0);
    assert_int_equal(taken, rmr_nm_self(l.node->nm, &self));
    return taken;
}

static void the_cached_netmap_is_sealed_too(void **st)
{
    (void)st;
    save_cache_blob();
    assert_memory_equal(cache, "remora-netmap 1 ", 16);
    assert_true(cache_len > 64 * 1024 + 1000);
    assert_false(cache_has("peer-1") || cache_has("nodekey:") ||
                 cache_has("ex.com"));
    assert_true(cache_is_taken(cache, cache_len, 7, 0));
    assert_true(cache_is_taken(cache, cache_len, 8, 7)); /* another key now */
    assert_false(cache_is_taken(cache, cache_len, 8, 0));
    free(cache);
}

static size_t chunk_len(size_t at)
{
    return 4 + 16 +
           ((size_t)(cache[at] & 0x7f) << 24 | (size_t)cache[at + 1] << 16 |
            (size_t)cache[at + 2] << 8 | cache[at + 3]);
}

static void an_altered_sealed_netmap_is_left_aside(void **st)
{
    (void)st;
    save_cache_blob();
    uint8_t *bad = malloc(cache_len + 200);
    assert_non_null(bad);
    size_t first = 68, second = first + chunk_len(first);
    for (size_t i = 0; i < cache_len;
         i += i < 120 || (i > second - 20 && i < second + 20) ? 1 : 9973) {
        memcpy(bad, cache, cache_len);
        bad[i] ^= 1;
        assert_false(cache_is_taken(bad, cache_len, 7, 0));
        assert_false(cache_is_taken(cache, i, 7, 0));
    }
    /* Chunks: the first alone, the rest alone, once more, behind the end. */
    assert_false(cache_is_taken(cache, second, 7, 0));
    memcpy(bad, cache, first);
    memcpy(bad + first, cache + second, cache_len - second);
    assert_false(cache_is_taken(bad, first + cache_len - second, 7, 0));
    memcpy(bad, cache, cache_len);
    memcpy(bad + cache_len, cache + cache_len - 100, 100);
    assert_false(cache_is_taken(bad, cache_len + 100, 7, 0));
    assert_true(cache_is_taken(cache, cache_len, 7, 0));
    free(bad);
    free(cache);
}

static void a_plain_netmap_does_not_take_the_place_of_a_sealed_one(void **st)
{
    rmr_node_config cfg;
    (void)st;
    lab_config(&l, &cfg);
    lab_begin(&l, &cfg);
    l.node->keys.registered = true;
    char *text = netmap();
    lab_feed_first(&l, text);
    free(text);
    lab_stop(&l);
    lab_blob *b = lab_blob_get(&l, LAB_CACHE);
    cache_len = b->len;
    cache = malloc(cache_len);
    assert_non_null(cache);
    memcpy(cache, b->data, cache_len);
    assert_true(cache_has("peer-1"));
    assert_true(cache_is_taken(cache, cache_len, 0, 0));
    uint8_t *plain = cache;
    size_t plain_len = cache_len;
    lab_free(&l);
    lab_init(&l);
    save_cache_blob();
    assert_false(cache_is_taken(plain, plain_len, 7, 0));
    assert_true(cache_is_taken(cache, cache_len, 7, 0));
    free(cache);
    free(plain);
}

static void failing_memory_harms_no_sealed_netmap(void **st)
{
    rmr_node_config cfg;
    (void)st;
    save_cache_blob();
    for (size_t i = 1; i < 400; i++) {
        again_sealed(&cfg, 7, 0);
        l.alloc.fail_at = l.alloc.calls + i;
        rmr_err err = lab_start(&l, &cfg);
        l.alloc.fail_at = 0;
        assert_true(err == RMR_OK || err == RMR_E_NOMEM);
        if (err == RMR_OK)
            lab_stop(&l);
        lab_blob *b = lab_blob_get(&l, LAB_CACHE);
        assert_int_equal(b->len, cache_len);
        assert_memory_equal(b->data, cache, cache_len);
    }
    assert_true(cache_is_taken(cache, cache_len, 7, 0));
    free(cache);
}

static void a_first_start_without_the_seal_key_keeps_nothing(void **st)
{
    rmr_node_config cfg;
    (void)st;
    seal_keys[0] = seal_keys[1] = 0;
    lab_config(&l, &cfg);
    cfg.seal_key = seal_key;
    lab_begin(&l, &cfg);
    assert_int_equal(l.failed_err, RMR_E_NODE_STATE_WRITE);
    assert_true(l.stopped);
    assert_int_equal(l.stores, 0);
    assert_int_equal(l.connects, 0);
}

/* ---- the program's own store ------------------------------------------- */

typedef struct shelf { /* one blob a name, as rmr_node_store wants it */
    uint8_t data[2][8192], fresh[2][8192];
    size_t len[2], fresh_len[2];
    bool there[2];
    rmr_err get_err, put_err;
    size_t puts;
} shelf;

static shelf kept;

static int place(const char *name)
{
    return strcmp(name, LAB_STATE) == 0;
}

static rmr_err shelf_get(void *user, const char *name, uint64_t offset,
                         rmr_buf dst, size_t *len)
{
    shelf *s = user;
    int i = place(name);
    if (s->get_err)
        return s->get_err;
    if (!s->there[i])
        return RMR_E_NOTFOUND;
    assert_true(offset <= s->len[i]);
    *len = s->len[i] - offset < dst.len ? s->len[i] - offset : dst.len;
    memcpy(dst.ptr, s->data[i] + offset, *len);
    return RMR_OK;
}

static rmr_err shelf_put(void *user, const char *name, uint64_t offset,
                         rmr_bytes data, bool last)
{
    shelf *s = user;
    int i = place(name);
    s->puts++;
    if (s->put_err)
        return s->put_err;
    if (offset == 0)
        s->fresh_len[i] = 0;
    assert_int_equal(offset, s->fresh_len[i]);
    assert_true(offset + data.len <= sizeof s->fresh[i]);
    memcpy(s->fresh[i] + offset, data.ptr, data.len);
    s->fresh_len[i] += data.len;
    if (last) {
        memcpy(s->data[i], s->fresh[i], s->fresh_len[i]);
        s->len[i] = s->fresh_len[i];
        s->there[i] = true;
    }
    return RMR_OK;
}

static const rmr_node_store store = {
    .struct_size = sizeof(rmr_node_store),
    .user = &kept,
    .get = shelf_get,
    .put = shelf_put,
};

static void a_program_can_keep_the_state_itself(void **st)
{
    rmr_node_config cfg;
    uint8_t machine[RMR_KEY_LEN];
    (void)st;
    memset(&kept, 0, sizeof kept);
    lab_config(&l, &cfg);
    cfg.store = &store;
    lab_begin(&l, &cfg);
    assert_true(l.connects >= 1);
    memcpy(machine, l.node->keys.machine, sizeof machine);
    lab_stop(&l);
    assert_true(kept.there[1]);
    lab_again(&l, &cfg);
    cfg.store = &store;
    lab_begin(&l, &cfg);
    assert_int_equal(l.failed_events, 0);
    assert_memory_equal(machine, l.node->keys.machine, sizeof machine);
    assert_int_equal(l.parts, 0); /* nothing by the adapter */
    assert_null(lab_blob_get(&l, LAB_STATE));
    lab_again(&l, &cfg);
    cfg.store = &store;
    kept.get_err = RMR_E_IO;
    kept.puts = 0;
    lab_begin(&l, &cfg);
    assert_int_equal(l.failed_err, RMR_E_NODE_STATE_READ);
    assert_int_equal(kept.puts, 0);
    lab_again(&l, &cfg);
    cfg.store = &store;
    cfg.control_url = "http://127.0.0.1:9";
    kept.get_err = RMR_E_NOTFOUND;
    kept.put_err = RMR_E_DENIED;
    lab_begin(&l, &cfg);
    assert_int_equal(l.failed_err, RMR_E_NODE_STATE_WRITE);
    rmr_node *n;
    rmr_node_store half = store;
    half.put = NULL;
    cfg.store = &half;
    assert_int_equal(rmr_node_new(&n, &l.env, &cfg, l.now), RMR_E_INVAL);
}

static void what_the_program_keeps_is_sealed_too(void **st)
{
    rmr_node_config cfg;
    (void)st;
    memset(&kept, 0, sizeof kept);
    seal_keys[0] = 7;
    seal_keys[1] = 0;
    lab_config(&l, &cfg);
    cfg.store = &store;
    cfg.seal_key = seal_key;
    lab_begin(&l, &cfg);
    l.node->keys.registered = true;
    lab_feed_first(
        &l, "{\"Node\":" LAB_PEER("1", "s1", "n1") ",\"Peers\":[" LAB_PEER(
                "2", "s2", "n2") "]}");
    lab_stop(&l);
    assert_true(kept.there[0] && kept.there[1]);
    assert_memory_equal(kept.data[0], "remora-netmap 1 ", 16);
    assert_memory_equal(kept.data[1], "remora-sealed 1 ", 16);
    again_sealed(&cfg, 7, 0);
    cfg.store = &store;
    lab_begin(&l, &cfg);
    assert_int_equal(l.failed_events, 0);
    assert_int_equal(rmr_nm_peer_count(l.node->nm), 1);
    lab_stop(&l);
    kept.data[0][kept.len[0] - 1] ^= 1;
    again_sealed(&cfg, 7, 0);
    cfg.store = &store;
    lab_begin(&l, &cfg);
    assert_int_equal(l.failed_events, 0);
    assert_int_equal(rmr_nm_peer_count(l.node->nm), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_key_of_the_hosts_seals_the_state_and_can_be_changed),
        T(a_plain_state_does_not_take_the_place_of_a_sealed_one),
        T(an_altered_sealed_state_is_damaged),
        T(the_cached_netmap_is_sealed_too),
        T(an_altered_sealed_netmap_is_left_aside),
        T(a_plain_netmap_does_not_take_the_place_of_a_sealed_one),
        T(failing_memory_harms_no_sealed_netmap),
        T(a_first_start_without_the_seal_key_keeps_nothing),
        T(a_program_can_keep_the_state_itself),
        T(what_the_program_keeps_is_sealed_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
