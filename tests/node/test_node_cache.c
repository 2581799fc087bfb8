/* The cached netmap in the clear: what is damaged or cut is left aside, what an
 * older version wrote is read, and it comes in whatever parts. */
#include "lab.h"
#include "node_internal.h"

#include <remora/text.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#define CACHE "netmap.cache"
#define NEW_TAIL (sizeof "\n#siphash " - 1 + 16 + 1)

static lab l;
static uint8_t *saved; /* as a node left it */
static size_t saved_len;

#define NODE_OF(id)                                                            \
    "{\"ID\":" id ",\"Name\":\"n" id ".ex.com.\",\"Key\":\"nodekey:"           \
    "000000000000000000000000000000000000000000000000000000000000000" id       \
    "\",\"Addresses\":[\"100.64.0." id "/32\"],\"MachineAuthorized\":true}"

static void start(void)
{
    rmr_node_config cfg;
    lab_config(&l, &cfg);
    assert_int_equal(lab_start(&l, &cfg), RMR_OK);
}

static int setup(void **state)
{
    static const char text[] =
        "{\"Node\":" NODE_OF("1") ",\"Peers\":[" NODE_OF("2") "]}";
    (void)state;
    lab_init(&l);
    start();
    l.node->keys.registered = true;
    rmri_node_state_save(l.node);
    l.node->from_server = true;
    rmr_nm_stream_begin(l.node->nm);
    rmr_nm_frame_begin(l.node->nm, 1790000000u * RMR_SEC);
    assert_int_equal(rmr_nm_frame_feed(l.node->nm, rmr_bytes_str(text)),
                     RMR_OK);
    assert_int_equal(rmr_nm_frame_end(l.node->nm), RMR_OK);
    l.node->from_server = false;
    lab_turn(&l);
    lab_run(&l, 3 * RMR_SEC);
    rmr_node_free(l.node);
    l.node = NULL;
    lab_blob *b = lab_blob_get(&l, CACHE);
    assert_non_null(b);
    saved_len = b->len;
    saved = malloc(saved_len);
    assert_non_null(saved);
    memcpy(saved, b->data, saved_len);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(saved);
    lab_free(&l);
    return l.alloc.live_blocks == 0 ? 0 : -1;
}

static void put_blob(const uint8_t *data, size_t len)
{
    lab_blob *b = lab_blob_get(&l, CACHE);
    free(b->data);
    b->data = malloc(len + 1);
    assert_non_null(b->data);
    if (len)
        memcpy(b->data, data, len);
    b->len = len;
}

/* By a node that was started with it; the node is gone again. */
static bool taken(void)
{
    rmr_nm_node self;
    size_t peers = rmr_nm_peer_count(l.node->nm);
    assert_int_equal(l.failed_events, 0);
    assert_int_equal(rmr_nm_self(l.node->nm, &self), peers == 1);
    rmr_node_free(l.node);
    l.node = NULL;
    return peers == 1;
}

static bool is_taken(const uint8_t *data, size_t len)
{
    put_blob(data, len);
    start();
    return taken();
}

static void give_part(size_t from, size_t to, bool more)
{
    lab_blob *b = lab_blob_get(&l, CACHE);
    rmr_io_event ev;
    memset(&ev, 0, sizeof ev);
    ev.kind = RMR_IO_LOADED;
    ev.id = l.held_id;
    ev.data = rmr_buf_of(b->data + from, to - from);
    ev.more = more;
    lab_event(&l, &ev);
}

/* Both readings in parts of `size` bytes. */
static bool is_taken_in_parts(const uint8_t *data, size_t len, size_t size)
{
    put_blob(data, len);
    l.hold_cache = true;
    start();
    for (int pass = 0; pass < 2; pass++) {
        uint64_t id = l.held_id;
        for (size_t at = 0; at < len; at += size)
            give_part(at, at + size < len ? at + size : len, at + size < len);
        lab_turn(&l);
        if (l.held_id == id) /* it was not right: not read again */
            break;
    }
    l.hold_cache = false;
    return taken();
}

/* What versions before this one wrote of the same netmap. */
static uint8_t *as_before(size_t *len)
{
    uint8_t hash[RMR_HASH_LEN];
    size_t body = saved_len - NEW_TAIL;
    uint8_t *old = malloc(body + ND_CACHE_TAIL_MAX + 1);
    assert_non_null(old);
    memcpy(old, saved, body);
    rmr_blake2s_256(hash, rmr_bytes_of(old, body), rmr_bytes_of(NULL, 0));
    memcpy(old + body, "\n#blake2s ", 10);
    rmr_hex((char *)old + body + 10, hash, sizeof hash);
    *len = body + ND_CACHE_TAIL_MAX;
    old[*len - 1] = '\n';
    return old;
}

static void any_damage_is_seen(void **st)
{
    (void)st;
    size_t body = saved_len - NEW_TAIL;
    assert_memory_equal(saved + body, "\n#siphash ", 10);
    assert_true(is_taken(saved, saved_len));
    for (size_t i = 0; i < saved_len; i++) {
        saved[i] ^= 1;
        assert_false(is_taken(saved, saved_len));
        saved[i] ^= 1;
        assert_false(is_taken(saved, i));
    }
    assert_true(is_taken(saved, saved_len));
}

static void what_older_versions_wrote_is_read(void **st)
{
    (void)st;
    size_t len;
    uint8_t *old = as_before(&len);
    assert_true(is_taken(old, len));
    for (size_t i = 0; i < len; i++) {
        old[i] ^= 1;
        assert_false(is_taken(old, len));
        old[i] ^= 1;
        assert_false(is_taken(old, i));
    }
    free(old);
}

static void it_comes_in_any_parts(void **st)
{
    (void)st;
    size_t len;
    uint8_t *old = as_before(&len);
    for (size_t size = 1; size <= saved_len; size += 1 + size / 90) {
        assert_true(is_taken_in_parts(saved, saved_len, size));
        assert_true(is_taken_in_parts(old, len, size));
        saved[3] ^= 1;
        assert_false(is_taken_in_parts(saved, saved_len, size));
        saved[3] ^= 1;
    }
    free(old);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(any_damage_is_seen),
        T(what_older_versions_wrote_is_read),
        T(it_comes_in_any_parts),
#undef T
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
