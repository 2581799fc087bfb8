/* Datagrams told apart, by the vectors and at their edges. */
#include <remora/disco.h>

#include "support.h"
#include "vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* An exact copy, so that a sanitizer sees a read past the end. */
static rmr_bytes exact(const uint8_t *src, size_t n, uint8_t **keep)
{
    *keep = malloc(n ? n : 1);
    assert_non_null(*keep);
    if (n)
        memcpy(*keep, src, n);
    return rmr_bytes_of(*keep, n);
}

static rmr_disco_class class_of(const char *name)
{
    if (strcmp(name, "stun") == 0)
        return RMR_DATAGRAM_STUN;
    return strcmp(name, "disco") == 0 ? RMR_DATAGRAM_DISCO
                                      : RMR_DATAGRAM_WIREGUARD;
}

static void vectors_are_told_apart(void **state)
{
    (void)state;
    tv *root = tv_load("paths.json");
    tv *list = tv_get(root, "classify");
    assert_true(tv_len(list) > 10);
    for (size_t i = 0; i < tv_len(list); i++) {
        tv *c = tv_at(list, i);
        uint8_t buf[512], *keep;
        size_t n = tv_get_hex(c, "packet", buf, sizeof buf);
        rmr_bytes d = exact(buf, n, &keep);
        rmr_disco_class want = class_of(tv_get_str(c, "class"));
        if (n == 0) /* remora has a class of its own for no bytes */
            want = RMR_DATAGRAM_EMPTY;
        rmr_disco_view v = rmr_disco_split(d, false);
        bool geneve = tv_bool(tv_get(c, "geneve"));
        assert_int_equal(rmr_disco_classify(d), want);
        assert_int_equal(v.cls, want);
        assert_int_equal(v.geneve, geneve);
        assert_int_equal(v.vni, geneve ? 0x010203 : 0);
        assert_ptr_equal(v.payload.ptr, d.ptr + (geneve ? 8 : 0));
        assert_int_equal(v.payload.len, n - (geneve ? 8 : 0));
        free(keep);
    }
    tv_free(root);
}

static void the_control_bit_is_told(void **state)
{
    (void)state;
    tv *root = tv_load("disco.json");
    tv *list = tv_get(root, "geneve");
    size_t seen = 0;
    for (size_t i = 0; i < tv_len(list); i++) {
        tv *g = tv_at(list, i);
        if (!tv_opt(g, "header"))
            continue;
        uint8_t buf[8 + 38] = {0};
        assert_int_equal(tv_get_hex(g, "header", buf, 8), 8);
        memcpy(buf + 8, "TS\xf0\x9f\x92\xac", 6);
        rmr_disco_view v =
            rmr_disco_split(rmr_bytes_of(buf, sizeof buf), false);
        bool disco = strcmp(tv_get_str(g, "protocol"), "7a11") == 0;
        assert_true(v.geneve);
        assert_int_equal(v.control, tv_bool(tv_get(g, "control")));
        assert_int_equal(v.vni, tv_get_int(g, "vni"));
        assert_int_equal(v.cls,
                         disco ? RMR_DATAGRAM_DISCO : RMR_DATAGRAM_WIREGUARD);
        seen++;
    }
    assert_int_equal(seen, 3);
    tv_free(root);
}

static void by_derp_neither_stun_nor_wrapped_disco_come(void **state)
{
    (void)state;
    uint8_t stun[20] = {0x01, 0x01, 0, 0, 0x21, 0x12, 0xa4, 0x42};
    uint8_t wrapped[8 + 38] = {0, 0, 0x7a, 0x11, 1, 2, 3, 0};
    memcpy(wrapped + 8, "TS\xf0\x9f\x92\xac", 6);
    rmr_disco_view v = rmr_disco_split(rmr_bytes_of(stun, 20), true);
    assert_int_equal(v.cls, RMR_DATAGRAM_WIREGUARD);
    v = rmr_disco_split(rmr_bytes_of(wrapped, sizeof wrapped), true);
    assert_int_equal(v.cls, RMR_DATAGRAM_WIREGUARD);
    assert_false(v.geneve);
    v = rmr_disco_split(rmr_bytes_of(wrapped + 8, 38), true);
    assert_int_equal(v.cls, RMR_DATAGRAM_DISCO);
}

static void every_prefix_of_each_vector_is_classed_without_overrun(void **state)
{
    (void)state;
    tv *root = tv_load("paths.json");
    tv *list = tv_get(root, "classify");
    for (size_t i = 0; i < tv_len(list); i++) {
        uint8_t buf[512], *keep;
        size_t n = tv_get_hex(tv_at(list, i), "packet", buf, sizeof buf);
        for (size_t k = 0; k <= n; k++) {
            rmr_bytes d = exact(buf, k, &keep);
            (void)rmr_disco_classify(d);
            free(keep);
        }
    }
    tv_free(root);
}

static void stun_needs_all_of_its_marks(void **state)
{
    (void)state;
    uint8_t good[20] = {0x01, 0x01, 0, 0, 0x21, 0x12, 0xa4, 0x42};
    rmr_bytes d = rmr_bytes_of(good, sizeof good);
    assert_int_equal(rmr_disco_classify(d), RMR_DATAGRAM_STUN);
    assert_int_equal(rmr_disco_classify(rmr_bytes_of(good, 19)),
                     RMR_DATAGRAM_WIREGUARD);
    static const size_t marks[] = {1, 4, 5, 6, 7};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        good[marks[i]] ^= 2;
        assert_int_equal(rmr_disco_classify(d), RMR_DATAGRAM_WIREGUARD);
        good[marks[i]] ^= 2;
    }
    good[0] = 0x40;
    assert_int_equal(rmr_disco_classify(d), RMR_DATAGRAM_WIREGUARD);
}

static void a_region_has_its_address(void **state)
{
    (void)state;
    char text[RMR_ADDR_TEXT_MAX];
    rmr_addr a = rmr_disco_derp_addr(999);
    assert_string_equal(rmr_addr_text(&a, text), "127.3.3.40:999");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_are_told_apart),
        cmocka_unit_test(the_control_bit_is_told),
        cmocka_unit_test(by_derp_neither_stun_nor_wrapped_disco_come),
        cmocka_unit_test(
            every_prefix_of_each_vector_is_classed_without_overrun),
        cmocka_unit_test(stun_needs_all_of_its_marks),
        cmocka_unit_test(a_region_has_its_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
