/* The cached netmap: what is damaged or cut is left aside, what an older version
 * wrote is read, and it comes in whatever parts.  What changed since is a blob of
 * its own, which is read with the one that it follows alone. */
#include "lab.h"
#include "node_internal.h"

#include <remora/text.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CACHE "netmap.cache"
#define NEW_TAIL (sizeof "\n#siphash " - 1 + 32 + 1)

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

/* ---- what changed since -------------------------------------------------- */

#define SINCE "netmap.since"
#define PEERS 12

static uint8_t key_byte;

static rmr_err seal_key(void *user, uint32_t number, uint8_t key[RMR_KEY_LEN])
{
    (void)user;
    memset(key, key_byte, RMR_KEY_LEN);
    return number == 0 ? RMR_OK : RMR_E_NOTFOUND;
}

static void start_with(uint8_t byte)
{
    rmr_node_config cfg;
    lab_config(&l, &cfg);
    key_byte = byte;
    if (byte)
        cfg.seal_key = seal_key;
    assert_int_equal(lab_start(&l, &cfg), RMR_OK);
}

/* A frame of the server's, and the time that a save takes to be due. */
static void tell(const char *text, bool first)
{
    if (l.is_cut)
        return;
    l.node->from_server = true;
    if (first)
        rmr_nm_stream_begin(l.node->nm);
    rmr_nm_frame_begin(l.node->nm, 1790000000u * RMR_SEC);
    assert_int_equal(rmr_nm_frame_feed(l.node->nm, rmr_bytes_str(text)),
                     RMR_OK);
    assert_int_equal(rmr_nm_frame_end(l.node->nm), RMR_OK);
    l.node->from_server = false;
    lab_turn(&l);
    lab_run(&l, 61 * RMR_SEC);
}

static char many[8192]; /* a frame that changes all peers */

static size_t put_peers(char *text, size_t cap, const char *name, int from)
{
    size_t len = 0;
    for (int i = from; i < PEERS; i++)
        len += (size_t)snprintf(
            text + len, cap - len,
            "%s{\"ID\":%d,\"Name\":\"%s%d.ex.com.\",\"Key\":\"nodekey:%064x\","
            "\"Addresses\":[\"100.64.1.%d/32\"],\"MachineAuthorized\":true}",
            i > from ? "," : "", i + 10, name, i, (unsigned)i + 100, i + 1);
    return len;
}

/* The process dies at that write; 0: never. */
static void begin(uint8_t byte, size_t cut, bool after)
{
    static char text[8192], peers[8000];
    lab_free(&l);
    lab_init(&l);
    l.cut_at = cut;
    l.cut_after = after;
    start_with(byte);
    l.node->keys.registered = true;
    rmri_node_state_save(l.node);
    (void)put_peers(peers, sizeof peers, "q", 2);
    (void)snprintf(
        many, sizeof many,
        "{\"PeersChanged\":[%s],\"PeersChangedPatch\":[{\"NodeID\":10,"
        "\"Key\":\"nodekey:%064x\"}]}",
        peers, 254u);
    (void)put_peers(peers, sizeof peers, "p", 0);
    (void)snprintf(text, sizeof text, "{\"Node\":%s,\"Peers\":[%s]}",
                   NODE_OF("1"), peers);
    tell(text, true);
}

/* What is told behind that; each is saved before the next one. */
static const char *const changes[] = {
    "{\"PeersRemoved\":[11]}",
    "{\"PeersChangedPatch\":[{\"NodeID\":12,\"Key\":\"nodekey:"
    "00000000000000000000000000000000000000000000000000000000000000ff\"}]}",
    many, /* the whole */
    "{\"PeersChanged\":[" NODE_OF("5") "]}",
    "{\"DNSConfig\":{\"Domains\":[\"a.ex.com\"]}}", /* the whole */
    "{\"PeersRemoved\":[5]}",
};
#define CHANGES (sizeof changes / sizeof *changes)

static char *table(void)
{
    static char text[2][70000];
    static int which;
    uint64_t pos = 0;
    size_t len = 0;
    char *at = text[which = !which];
    assert_int_equal(
        rmr_nm_save(l.node->nm, &pos, rmr_buf_of((uint8_t *)at, 66000), &len),
        RMR_OK);
    at[len] = '\0';
    return at;
}

static char *copy_of(const char *text)
{
    size_t n = strlen(text) + 1;
    char *p = malloc(n);
    assert_non_null(p);
    memcpy(p, text, n);
    return p;
}

static char *now[CHANGES + 1]; /* the table behind the first and each change */

static void note_tables(uint8_t byte)
{
    begin(byte, 0, false);
    for (size_t i = 0; i <= CHANGES; i++) {
        if (i)
            tell(changes[i - 1], false);
        now[i] = copy_of(table());
    }
}

static void free_tables(void)
{
    for (size_t i = 0; i <= CHANGES; i++)
        free(now[i]);
}

/* Which of the tables a start takes; -1: none. */
static int taken_table(uint8_t byte)
{
    lab_restart(&l);
    start_with(byte);
    assert_int_equal(l.failed_events, 0);
    const char *have = table();
    for (size_t i = CHANGES + 1; i-- > 0;)
        if (strcmp(have, now[i]) == 0)
            return (int)i;
    return -1;
}

static size_t blob_len(const char *name)
{
    lab_blob *b = lab_blob_get(&l, name);
    return b ? b->len : 0;
}

static void few_changes_are_saved_alone(void **st)
{
    (void)st;
    for (uint8_t byte = 0; byte < 2; byte++) {
        note_tables(byte);
        for (size_t n = 0; n <= CHANGES; n++) {
            begin(byte, 0, false);
            size_t since = 0, whole = blob_len(CACHE);
            for (size_t i = 0; i < n; i++) {
                bool all = i == 2 || i == 4;
                size_t stores = l.stores;
                tell(changes[i], false);
                assert_int_equal(l.stores, stores + 1);
                if (all) {
                    assert_int_equal(blob_len(SINCE), since);
                    assert_true(blob_len(CACHE) != whole);
                    whole = blob_len(CACHE);
                } else {
                    assert_int_equal(blob_len(CACHE), whole);
                    since = blob_len(SINCE);
                    assert_in_range(since, 1, whole / 2);
                }
            }
            assert_int_equal(taken_table(byte), n);
        }
        free_tables();
    }
}

static void changes_that_are_damaged_or_of_another_are_left_aside(void **st)
{
    (void)st;
    note_tables(0);
    begin(0, 0, false);
    tell(changes[0], false);
    lab_blob *b = lab_blob_get(&l, SINCE);
    assert_non_null(b);
    size_t len = b->len;
    for (size_t i = 0; i < len; i++) {
        b->data[i] ^= 1;
        assert_int_equal(taken_table(0), 0);
        b->data[i] ^= 1;
        b->len = i;
        assert_int_equal(taken_table(0), 0);
        b->len = len;
    }
    assert_int_equal(taken_table(0), 1);
    b->there = false;
    b->name[0] = '\0';
    assert_int_equal(taken_table(0), 0);
    /* Of the netmap before. */
    begin(0, 0, false);
    tell(changes[0], false);
    tell(changes[1], false);
    tell(changes[2], false);
    assert_non_null(lab_blob_get(&l, SINCE));
    assert_int_equal(taken_table(0), 3);
    free_tables();
}

/* After a start the first save is of the whole, and then it goes on. */
static void a_start_begins_with_the_whole(void **st)
{
    (void)st;
    note_tables(0);
    begin(0, 0, false);
    tell(changes[0], false);
    assert_int_equal(taken_table(0), 1);
    tell("{\"Node\":" NODE_OF("1") "}", false); /* says nothing new */
    tell(changes[1], false);
    lab_blob *b = lab_blob_get(&l, SINCE);
    b->data[0] ^= 1; /* it is not needed */
    assert_int_equal(taken_table(0), 2);
    free_tables();
}

/* The whole is what it was once, when other changes followed: those of then are
 * not its own, and who was gone does not come back by them. */
static void a_netmap_as_once_before_has_no_changes_of_then(void **st)
{
    (void)st;
    for (uint8_t byte = 0; byte < 2; byte++) {
        begin(byte, 0, false);
        tell("{\"DNSConfig\":{\"Domains\":[\"a.ex.com\"]}}", false);
        char *was = copy_of(table());
        size_t whole = blob_len(CACHE);
        tell("{\"PeersChanged\":[" NODE_OF("5") "]}", false);
        assert_true(blob_len(SINCE) > 0);
        lab_feed(&l, "{\"PeersRemoved\":[5],"
                     "\"DNSConfig\":{\"Domains\":[\"b.ex.com\"]}}");
        size_t stores = l.stores;
        tell("{\"DNSConfig\":{\"Domains\":[\"a.ex.com\"]}}", false);
        assert_int_equal(l.stores, stores + 1);
        assert_int_equal(blob_len(CACHE), whole);
        assert_string_equal(table(), was);
        lab_restart(&l);
        start_with(byte);
        assert_string_equal(table(), was);
        free(was);
    }
}

/* At each write, without it or with it alone: what was stored last is there. */
static void killed_at_each_write_it_has_the_old_or_the_new_netmap(void **st)
{
    (void)st;
    note_tables(0);
    for (int after = 0; after < 2; after++) {
        bool lived = false;
        size_t newer = 0;
        for (size_t cut = 1; !lived; cut++) {
            int told = -1;
            begin(0, cut, after);
            for (size_t i = 0; i <= CHANGES; i++) {
                if (i)
                    tell(changes[i - 1], false);
                if (!l.is_cut)
                    told = (int)i;
            }
            lived = !l.is_cut;
            assert_true(lived == (told == (int)CHANGES));
            int taken = taken_table(0);
            assert_true(taken == told || taken == told + after);
            newer += taken > told;
        }
        assert_int_equal(newer, after ? CHANGES + 1 : 0);
    }
    free_tables();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(any_damage_is_seen),
        T(what_older_versions_wrote_is_read),
        T(it_comes_in_any_parts),
        T(few_changes_are_saved_alone),
        T(changes_that_are_damaged_or_of_another_are_left_aside),
        T(a_start_begins_with_the_whole),
        T(a_netmap_as_once_before_has_no_changes_of_then),
        T(killed_at_each_write_it_has_the_old_or_the_new_netmap),
#undef T
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
