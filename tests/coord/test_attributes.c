/* Attributes of a policy that are more than one buffer holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zstd.h>

#include <remora/cursor.h>

#include "pol_rig.h"

#define N 600 /* names, of 1,000 bytes each: 600 KiB */

static pol_rig p;
static char document[RMR_POL_DOC_MAX];

/* Many attributes for alice's nodes; the last one's name has so many bytes. */
static const char *policy(size_t n, size_t last_len)
{
    static const char front[] =
        "{\"nodeAttrs\":[{\"target\":[\"alice@\"],\n\"attr\":[";
    char *at = document + sprintf(document, "%s", front);
    for (size_t i = 0; i < n; i++) {
        int len = i + 1 < n ? 1000 : (int)last_len;
        at += sprintf(at, "%s\"a%0*zu\"", i ? ",\n" : "", len - 1, i);
    }
    (void)sprintf(at, "]}]}");
    return document;
}

/* The first frame of another stream of that node, with zstd. */
static json_t *first_frame(pr_member *m, rig_client *cl)
{
    static char plain[RMR_POL_DOC_MAX];
    char text[256];
    assert_true(rig_join(cl, &p.r, (uint8_t)(m - p.m + 1), 138));
    (void)snprintf(text, sizeof text,
                   "{\"Version\":138,\"NodeKey\":\"nodekey:%064d\","
                   "\"Stream\":true,\"Compress\":\"zstd\"}",
                   (int)(m - p.m) + 11);
    rig_answer *a = rig_ask(cl, "/machine/map", text);
    assert_int_equal(a->status, 200);
    assert_false(a->over);
    assert_true(a->len > 4);
    size_t len = rmr_load_le32((const uint8_t *)a->body);
    assert_true(len <= a->len - 4);
    size_t n = ZSTD_decompress(plain, sizeof plain, a->body + 4, len);
    assert_false(ZSTD_isError(n));
    return json_loadb(plain, n, 0, NULL);
}

static void they_may_be_more_than_a_buffer_holds(void **s)
{
    static rig_client cl;
    char name[1001];
    (void)s;
    pr_init(&p, NULL);
    pr_member *m = pr_join(&p, "a1", pr_user(&p, "alice"), NULL, "");
    assert_int_equal(
        rmr_coord_set_policy(p.r.coord, rmr_bytes_str(policy(N, 1000)), NULL),
        RMR_OK);
    rig_turn(&p.r);
    rig_pump(&m->cl);
    assert_false(m->map->over); /* a stream that was open stays so */
    json_t *map = first_frame(m, &cl);
    json_t *caps = json_object_get(json_object_get(map, "Node"), "CapMap");
    assert_int_equal(json_object_size(caps), N + 2);
    for (size_t i = 0; i < N; i++) {
        (void)snprintf(name, sizeof name, "a%0999zu", i);
        assert_true(json_is_null(json_object_get(caps, name)));
    }
    /* What stands behind them is whole, too. */
    assert_non_null(json_object_get(map, "DNSConfig"));
    assert_non_null(json_object_get(map, "PacketFilters"));
    json_decref(map);
    rig_part(&cl);
    pr_free(&p);
}

static void a_name_has_a_bound(void **s)
{
    rmr_pol_why why;
    (void)s;
    pr_init(&p, NULL);
    assert_int_equal(
        rmr_coord_set_policy(p.r.coord, rmr_bytes_str(policy(3, 1024)), &why),
        RMR_OK);
    assert_int_equal(
        rmr_coord_set_policy(p.r.coord, rmr_bytes_str(policy(3, 1025)), &why),
        RMR_E_MALFORMED);
    assert_string_equal(why.text, "parsing policy: nodeAttrs has a name of "
                                  "1025 bytes; 1024 are the most");
    assert_int_equal(why.line, 4);
    assert_int_equal(why.column, 1);
    pr_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_may_be_more_than_a_buffer_holds),
        cmocka_unit_test(a_name_has_a_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
