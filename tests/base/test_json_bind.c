/* Field tables: what is wanted is reported under its number, and the rest is
 * checked and skipped, however long it is. */
#include <remora/json.h>

#include "json_log.h"
#include "support.h"
#include "vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- reports as text: 3{ ... 3}, 4:s:text ----------------------------- */

static void log_id(json_log *l, uint32_t id)
{
    char text[16];
    int n =
        snprintf(text, sizeof text, "%s%u", l->len ? " " : "", (unsigned)id);
    json_log_add(l, text, (size_t)n);
}

static rmr_err on_nest(void *user, uint32_t id, rmr_json_kind kind)
{
    json_log *l = user;
    static const char marks[] = "{}[]";
    log_id(l, id);
    json_log_add(l, &marks[kind], 1);
    return ++l->tokens == l->stop_at ? RMR_E_DENIED : RMR_OK;
}

static rmr_err on_value(void *user, uint32_t id, rmr_json_kind kind,
                        rmr_bytes text)
{
    json_log *l = user;
    static const char marks[] = "....ks#tfn";
    char mark[2] = {':', marks[kind]};
    log_id(l, id);
    json_log_add(l, mark, 2);
    json_log_bytes(l, text);
    return ++l->tokens == l->stop_at ? RMR_E_DENIED : RMR_OK;
}

/* ---- a table with every form ------------------------------------------ */

static const rmr_json_field inner[] = {{"x", 31, NULL, 0}};
static const rmr_json_field peer[] = {{"ID", 11, NULL, 0},
                                      {"Name", 12, NULL, 0},
                                      {"Addrs", 13, NULL, 0},
                                      {"Info", 14, inner, 1}};
static const rmr_json_field user[] = {{"Login", 22, NULL, 0}};
static const rmr_json_field users[] = {{"admin", 20, NULL, 0},
                                       {"*", 21, user, 1}};
static const rmr_json_field root[] = {{"Seq", 1, NULL, 0},
                                      {"Peers", 2, peer, 4},
                                      {"Users", 3, users, 2},
                                      {"", 4, NULL, 0}};

/* All but the sequence number may be left out, where a test says so. */
static bool droppable;

static bool may_drop(void *log, uint32_t id)
{
    log_id(log, id);
    json_log_add(log, "!", 1);
    return id != 1;
}

static rmr_err run_pieces(rmr_bytes doc, size_t scratch_len, size_t cut,
                          size_t piece, json_log *log)
{
    uint8_t *scratch = malloc(scratch_len ? scratch_len : 1);
    assert_non_null(scratch);
    rmr_json_bind b;
    const rmr_json_bind_callbacks cb = {log, on_nest, on_value};
    rmr_err err = RMR_OK;
    size_t stop_at = log->stop_at;
    memset(log, 0, sizeof *log);
    log->stop_at = stop_at;
    rmr_json_bind_init(&b, rmr_buf_of(scratch, scratch_len), root, 4, &cb);
    if (droppable)
        rmr_json_bind_may_drop(&b, may_drop);
    for (size_t at = 0; at < doc.len && !err;) {
        size_t n = piece ? piece : at < cut ? cut : doc.len;
        if (n > doc.len - at)
            n = doc.len - at;
        err = rmr_json_bind_feed(&b, rmr_bytes_of(doc.ptr + at, n));
        at += n;
    }
    rmr_err end = rmr_json_bind_end(&b);
    if (err)
        assert_int_equal(end, err);
    free(scratch);
    return end;
}

static rmr_err run_all(const char *text, size_t scratch, json_log *log)
{
    static json_log other;
    rmr_bytes doc = rmr_bytes_str(text);
    rmr_err err = run_pieces(doc, scratch, doc.len, 0, log);
    for (size_t cut = 0; cut < doc.len; cut++) {
        other.stop_at = log->stop_at;
        if (run_pieces(doc, scratch, cut, cut ? 0 : 1, &other) != err ||
            strcmp(other.text, log->text) != 0)
            fail_msg("cut %u: %s", (unsigned)cut, text);
    }
    return err;
}

static void expect(const char *doc, const char *want)
{
    static json_log log;
    memset(&log, 0, sizeof log);
    if (run_all(doc, 64, &log) != RMR_OK)
        fail_msg("refused: %s", doc);
    assert_string_equal(log.text, want);
}

static void wanted_members_are_reported_by_number(void **state)
{
    (void)state;
    expect("{}", "0{ 0}");
    expect("{\"Seq\":7}", "0{ 1:#7 0}");
    expect("{\"Seq\":\"a\\nb\"}", "0{ 1:sa\\x0ab 0}");
    expect("{\"Seq\":true,\"Seq\":false,\"Seq\":null}", "0{ 1:t 1:f 1:n 0}");
    expect("{\"\":1}", "0{ 4:#1 0}");
    expect("{\"Peers\":[{\"ID\":1,\"Name\":\"a\"},{\"Name\":\"b\",\"ID\":2}]}",
           "0{ 2[ 2{ 11:#1 12:sa 2} 2{ 12:sb 11:#2 2} 2] 0}");
    expect("{\"Peers\":[{\"Addrs\":[\"a\",\"b\",3,null]},{}]}",
           "0{ 2[ 2{ 13[ 13:sa 13:sb 13:#3 13:n 13] 2} 2{ 2} 2] 0}");
    expect("{\"Peers\":[{\"Info\":{\"x\":1,\"y\":{\"x\":2}}}]}",
           "0{ 2[ 2{ 14{ 31:#1 14} 2} 2] 0}");
}

static void other_members_are_skipped_whole(void **state)
{
    (void)state;
    expect("{\"a\":1,\"Seq\":2,\"b\":\"x\"}", "0{ 1:#2 0}");
    expect("{\"a\":{\"Seq\":1,\"Peers\":[{\"ID\":1}]},\"Seq\":2}",
           "0{ 1:#2 0}");
    expect("{\"a\":[[{\"Seq\":[1]},{}],[]],\"Seq\":2}", "0{ 1:#2 0}");
    expect("{\"Peers\":[{\"Seq\":1,\"ID\":2}]}", "0{ 2[ 2{ 11:#2 2} 2] 0}");
    expect("{\"seq\":1,\"Se\":1,\"Seqq\":1,\"Seq\\u0000\":1}", "0{ 0}");
    expect("{\"S\\u0065q\":1}", "0{ 1:#1 0}");
}

static void an_entry_for_the_rest_reports_the_keys_too(void **state)
{
    (void)state;
    expect("{\"Users\":{\"7\":{\"Login\":\"u\"},\"admin\":1,\"8\":{}}}",
           "0{ 3{ 21:k7 21{ 22:su 21} 20:#1 21:k8 21{ 21} 3} 0}");
    expect("{\"Users\":{\"7\":null,\"*\":5}}",
           "0{ 3{ 21:k7 21:n 21:k* 21:#5 3} 0}");
    expect("{\"Users\":{\"7\":[{\"Login\":1}]}}",
           "0{ 3{ 21:k7 21[ 21{ 22:#1 21} 21] 3} 0}");
}

static void a_value_of_another_shape_is_reported_as_it_is(void **state)
{
    (void)state;
    expect("{\"Peers\":null}", "0{ 2:n 0}");
    expect("{\"Peers\":{\"ID\":1}}", "0{ 2{ 11:#1 2} 0}");
    expect("{\"Peers\":[1,[{\"ID\":2}]]}",
           "0{ 2[ 2:#1 2[ 2{ 11:#2 2} 2] 2] 0}");
    expect("{\"Seq\":{\"Seq\":1,\"a\":[]}}", "0{ 1{ 1} 0}");
    expect("{\"Seq\":[[1],{\"a\":1}]}", "0{ 1[ 1[ 1:#1 1] 1{ 1} 1] 0}");
}

static void the_root_may_be_anything(void **state)
{
    (void)state;
    expect("[{\"Seq\":1},2]", "0[ 0{ 1:#1 0} 0:#2 0]");
    expect("\"x\"", "0:sx");
    expect("12", "0:#12");
    expect("null", "0:n");
}

static void unwanted_text_may_be_longer_than_the_scratch(void **state)
{
    (void)state;
    static json_log log;
    assert_int_equal(
        run_all("{\"abcdefghi\":1,\"Seq\":2,\"Name\":\"abcdefghi\",\"n\":"
                "123456789,\"e\":\"\\u0041\\n234567\\ud83d\\ude00\","
                "\"deep\":{\"abcdefghi\":[\"abcdefghi\"]},\"Seq\":\"12345\"}",
                5, &log),
        RMR_OK);
    assert_string_equal(log.text, "0{ 1:#2 1:s12345 0}");
}

static void wanted_text_may_not(void **state)
{
    (void)state;
    static json_log log;
    static const char *const rows[] = {
        "{\"Seq\":\"123456\"}",
        "{\"Seq\":123456}",
        "{\"Seq\":\"12345\\n\"}",
        "{\"Peers\":[{\"Name\":\"123456\"}]}",
        "{\"Users\":{\"123456\":1}}",
        "{\"Peers\":\"123456\"}",
        "\"123456\"",
        "123456",
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (run_all(rows[i], 5, &log) != RMR_E_TOOBIG)
            fail_msg("%s", rows[i]);
    }
}

/* A long key is not taken for the wanted one that it begins with. */
static void wanted_text_may_be_left_out_where_the_owner_says_so(void **state)
{
    (void)state;
    static json_log log;
    droppable = true;
    assert_int_equal(
        run_all("{\"Peers\":[{\"Name\":\"123456\",\"ID\":7,\"Addrs\":["
                "\"1234567\",\"8\"]}],\"Users\":{\"123456\":{\"Login\":"
                "\"x\"},\"a\":{\"Login\":\"y\"}}}",
                5, &log),
        RMR_OK);
    assert_string_equal(log.text,
                        "0{ 2[ 2{ 12! 11:#7 13[ 13! 13:s8 13] 2} 2] 3{ 21! "
                        "21:ka 21{ 22:sy 21} 3} 0}");
    assert_int_equal(run_all("{\"Seq\":\"123456\"}", 5, &log), RMR_E_TOOBIG);
    droppable = false;
}

static void a_cut_key_matches_nothing(void **state)
{
    (void)state;
    static json_log log;
    assert_int_equal(run_all("{\"Seqx\":1,\"Seq\":2}", 3, &log), RMR_OK);
    assert_string_equal(log.text, "0{ 1:#2 0}");
    assert_int_equal(run_all("{\"S\\u0065qx\":1,\"xSeq\":2}", 3, &log), RMR_OK);
    assert_string_equal(log.text, "0{ 0}");
}

static void skipped_parts_are_checked_all_the_same(void **state)
{
    (void)state;
    static json_log log;
    static const char *const rows[] = {"{\"a\":\"abcdefgh\x01\"}",
                                       "{\"a\":\"abcdefgh\xff\"}",
                                       "{\"a\":123456789.}",
                                       "{\"a\":[1,]}",
                                       "{\"a\":{\"b\" 1}}",
                                       "{\"abcdefgh\\x\":1}",
                                       "{\"a\":\"\\ud800\"}",
                                       "{\"a\":1",
                                       "{\"a\":{]}",
                                       "{\"a\":tru}"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (run_all(rows[i], 4, &log) != RMR_E_MALFORMED)
            fail_msg("accepted: %s", rows[i]);
    }
    assert_int_equal(
        run_all("{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[0]]]]]]]]]]]]]]]]]]]]]]"
                "]]]]]]]]]]}",
                4, &log),
        RMR_E_TOOBIG);
}

static void wanted_parts_may_be_as_deep_as_the_bound(void **state)
{
    (void)state;
    static json_log log;
    char doc[100] = "";
    for (size_t depth = 31; depth < 34; depth++) {
        memset(doc, '[', depth);
        memset(doc + depth, ']', depth);
        doc[2 * depth] = '\0';
        assert_int_equal(run_all(doc, 4, &log),
                         depth <= RMR_JSON_MAX_DEPTH ? RMR_OK : RMR_E_TOOBIG);
    }
}

static void each_callback_can_stop_the_reader(void **state)
{
    (void)state;
    static json_log log;
    const char *doc =
        "{\"Seq\":1,\"Users\":{\"7\":{\"Login\":1}},\"Peers\":[{}]}";
    memset(&log, 0, sizeof log);
    assert_int_equal(run_all(doc, 64, &log), RMR_OK);
    size_t n = log.tokens;
    for (size_t i = 1; i <= n; i++) {
        log.stop_at = i;
        assert_int_equal(run_all(doc, 64, &log), RMR_E_DENIED);
        assert_int_equal(log.tokens, i);
    }
    /* Without callbacks it only checks. */
    rmr_json_bind b;
    uint8_t scratch[64];
    const rmr_json_bind_callbacks none = {NULL, NULL, NULL};
    rmr_json_bind_init(&b, rmr_buf_of(scratch, 64), root, 4, &none);
    assert_int_equal(rmr_json_bind_feed(&b, rmr_bytes_str(doc)), RMR_OK);
    assert_int_equal(rmr_json_bind_end(&b), RMR_OK);
}

/* ---- a real netmap, against a tree reader ----------------------------- */

typedef struct netmap {
    size_t peers;
    int64_t ids[8];
    char names[8][64];
    int64_t self;
    bool in_peers;
} netmap;

enum { F_NODE = 1, F_PEERS, F_ID, F_NAME };

static rmr_err map_nest(void *user_, uint32_t id, rmr_json_kind kind)
{
    netmap *m = user_;
    if (id == F_PEERS && kind == RMR_JSON_ARRAY)
        m->in_peers = true;
    if (id == F_PEERS && kind == RMR_JSON_ARRAY_END)
        m->in_peers = false;
    if (id == F_PEERS && kind == RMR_JSON_OBJECT_END)
        m->peers++;
    return m->peers < 8 ? RMR_OK : RMR_E_TOOBIG;
}

static rmr_err map_value(void *user_, uint32_t id, rmr_json_kind kind,
                         rmr_bytes text)
{
    netmap *m = user_;
    if (id == F_ID)
        return rmr_json_int(kind, text,
                            m->in_peers ? &m->ids[m->peers] : &m->self);
    if (id == F_NAME && m->in_peers && text.len < 64)
        memcpy(m->names[m->peers], text.ptr, text.len);
    return RMR_OK;
}

static void a_netmap_reads_as_a_tree_reader_reads_it(void **state)
{
    (void)state;
    static const rmr_json_field node[] = {{"ID", F_ID, NULL, 0},
                                          {"Name", F_NAME, NULL, 0}};
    static const rmr_json_field top[] = {{"Node", F_NODE, node, 2},
                                         {"Peers", F_PEERS, node, 2}};
    const char *name = "control/headscale/map-stream.frame-initial-with-peer"
                       ".json";
    tv *tree = tv_load(name);
    size_t len;
    char *doc = tv_bytes(name, &len);
    for (size_t piece = 1; piece < 200; piece += 11) {
        rmr_json_bind b;
        uint8_t scratch[128];
        netmap m;
        memset(&m, 0, sizeof m);
        const rmr_json_bind_callbacks cb = {&m, map_nest, map_value};
        rmr_json_bind_init(&b, rmr_buf_of(scratch, sizeof scratch), top, 2,
                           &cb);
        for (size_t at = 0; at < len; at += piece) {
            size_t n = len - at < piece ? len - at : piece;
            assert_int_equal(rmr_json_bind_feed(&b, rmr_bytes_of(doc + at, n)),
                             RMR_OK);
        }
        assert_int_equal(rmr_json_bind_end(&b), RMR_OK);
        tv *peers = tv_get(tree, "Peers");
        assert_true(m.self == tv_get_int(tv_get(tree, "Node"), "ID"));
        assert_int_equal(m.peers, tv_len(peers));
        assert_true(m.peers > 0);
        for (size_t i = 0; i < m.peers; i++) {
            assert_true(m.ids[i] == tv_get_int(tv_at(peers, i), "ID"));
            assert_string_equal(m.names[i],
                                tv_get_str(tv_at(peers, i), "Name"));
        }
    }
    tv_free(tree);
    free(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wanted_members_are_reported_by_number),
        cmocka_unit_test(other_members_are_skipped_whole),
        cmocka_unit_test(an_entry_for_the_rest_reports_the_keys_too),
        cmocka_unit_test(a_value_of_another_shape_is_reported_as_it_is),
        cmocka_unit_test(the_root_may_be_anything),
        cmocka_unit_test(unwanted_text_may_be_longer_than_the_scratch),
        cmocka_unit_test(wanted_text_may_not),
        cmocka_unit_test(wanted_text_may_be_left_out_where_the_owner_says_so),
        cmocka_unit_test(a_cut_key_matches_nothing),
        cmocka_unit_test(skipped_parts_are_checked_all_the_same),
        cmocka_unit_test(wanted_parts_may_be_as_deep_as_the_bound),
        cmocka_unit_test(each_callback_can_stop_the_reader),
        cmocka_unit_test(a_netmap_reads_as_a_tree_reader_reads_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
