/* STUN by the vectors, at its edges, and both sides against each other. */
#include <remora/stun.h>

#include "support.h"
#include "vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const uint8_t id[RMR_STUN_TXID_LEN] = {1, 2, 3, 4,  5,  6,
                                              7, 8, 9, 10, 11, 12};

/* An exact copy, so that a sanitizer sees a read past the end. */
static rmr_bytes exact(const uint8_t *src, size_t n, uint8_t **keep)
{
    *keep = malloc(n ? n : 1);
    assert_non_null(*keep);
    if (n)
        memcpy(*keep, src, n);
    return rmr_bytes_of(*keep, n);
}

static rmr_addr addr_of(const char *text)
{
    rmr_addr a;
    assert_int_equal(rmr_addr_parse(rmr_bytes_str(text), &a), RMR_OK);
    return a;
}

static void the_request_is_byte_exact(void **state)
{
    (void)state;
    tv *root = tv_load("stun.json");
    uint8_t want[64], got[RMR_STUN_REQUEST_LEN];
    size_t len;
    size_t n = tv_get_hex(tv_get(root, "request"), "packet", want, sizeof want);
    assert_int_equal(n, sizeof got);
    assert_int_equal(
        rmr_stun_build_request(rmr_buf_of(got, sizeof got), &len, id), RMR_OK);
    assert_int_equal(len, n);
    assert_memory_equal(got, want, n);
    tv_free(root);
}

static void a_server_answers_exactly_the_good_requests(void **state)
{
    (void)state;
    tv *root = tv_load("stun.json");
    tv *list = tv_get(root, "parse_request");
    size_t answered = 0;
    assert_true(tv_len(list) > 10);
    for (size_t i = 0; i < tv_len(list); i++) {
        tv *c = tv_at(list, i);
        uint8_t buf[256], *keep, txid[RMR_STUN_TXID_LEN] = {0}, want[12];
        rmr_bytes d =
            exact(buf, tv_get_hex(c, "packet", buf, sizeof buf), &keep);
        rmr_err e = rmr_stun_parse_request(d, txid);
        if (tv_opt(c, "txid")) {
            assert_int_equal(e, RMR_OK);
            (void)tv_get_hex(c, "txid", want, sizeof want);
            assert_memory_equal(txid, want, sizeof want);
            answered++;
        } else {
            assert_int_equal(e, RMR_E_MALFORMED);
            assert_int_equal(txid[0], 0);
        }
        free(keep);
    }
    assert_int_equal(answered, 3);
    tv_free(root);
}

static void a_client_reads_what_servers_send(void **state)
{
    (void)state;
    tv *root = tv_load("stun.json");
    tv *list = tv_get(root, "parse_response");
    size_t good = 0;
    for (size_t i = 0; i < tv_len(list); i++) {
        tv *c = tv_at(list, i);
        uint8_t buf[256], *keep, txid[RMR_STUN_TXID_LEN] = {0};
        rmr_addr mapped = {.port = 7};
        rmr_bytes d =
            exact(buf, tv_get_hex(c, "packet", buf, sizeof buf), &keep);
        rmr_err e = rmr_stun_parse_response(d, txid, &mapped);
        if (tv_opt(c, "addr")) {
            char text[RMR_ADDR_TEXT_MAX];
            assert_int_equal(e, RMR_OK);
            assert_string_equal(rmr_addr_text(&mapped, text),
                                tv_get_str(c, "addr"));
            assert_memory_equal(txid, id, sizeof id);
            good++;
        } else {
            assert_int_equal(e, RMR_E_MALFORMED);
            assert_int_equal(mapped.port, 7);
            assert_int_equal(txid[0], 0);
        }
        free(keep);
    }
    assert_int_equal(good, 7);
    tv_free(root);
}

static void responses_are_byte_exact_but_for_wrapped_ipv4(void **state)
{
    (void)state;
    tv *root = tv_load("stun.json");
    tv *list = tv_get(root, "responses");
    assert_int_equal(tv_len(list), 3);
    for (size_t i = 0; i < tv_len(list); i++) {
        tv *c = tv_at(list, i);
        uint8_t want[64], got[RMR_STUN_RESPONSE_MAX], txid[RMR_STUN_TXID_LEN];
        char text[RMR_ADDR_TEXT_MAX];
        rmr_addr a = addr_of(tv_get_str(c, "addr_given_to_server")), back;
        size_t len, n = tv_get_hex(c, "packet", want, sizeof want);
        assert_int_equal(
            rmr_stun_build_response(rmr_buf_of(got, sizeof got), &len, id, &a),
            RMR_OK);
        if (!tv_opt(c, "note")) { /* the wrapped one: ours unwraps first */
            assert_int_equal(len, n);
            assert_memory_equal(got, want, n);
        } else {
            assert_int_equal(len, 32);
        }
        assert_int_equal(
            rmr_stun_parse_response(rmr_bytes_of(want, n), txid, &back),
            RMR_OK);
        assert_string_equal(rmr_addr_text(&back, text),
                            tv_get_str(c, "parsed_addr"));
    }
    tv_free(root);
}

/* An address that says IPv6 but holds a mapped IPv4 one can only come from a
 * host that fills the struct by hand. */
static void an_address_wrapped_by_hand_is_unwrapped(void **state)
{
    (void)state;
    rmr_addr a = {.ip = {[10] = 0xff, [11] = 0xff, 192, 0, 2, 33},
                  .port = 41641,
                  .family = RMR_AF_INET6};
    uint8_t got[RMR_STUN_RESPONSE_MAX], txid[RMR_STUN_TXID_LEN];
    size_t len;
    rmr_addr back, want = addr_of("192.0.2.33:41641");
    assert_int_equal(
        rmr_stun_build_response(rmr_buf_of(got, sizeof got), &len, id, &a),
        RMR_OK);
    assert_int_equal(len, 32);
    assert_int_equal(
        rmr_stun_parse_response(rmr_bytes_of(got, len), txid, &back), RMR_OK);
    assert_true(rmr_addr_eq(&back, &want));
}

static void both_sides_agree(void **state)
{
    (void)state;
    static const char *const addrs[] = {"198.51.100.255:1",
                                        "[2001:db8::1]:65535", "0.0.0.0:0"};
    for (size_t i = 0; i < sizeof addrs / sizeof *addrs; i++) {
        uint8_t req[RMR_STUN_REQUEST_LEN], res[RMR_STUN_RESPONSE_MAX];
        uint8_t txid[RMR_STUN_TXID_LEN];
        rmr_addr a = addr_of(addrs[i]), back;
        size_t n, m;
        assert_int_equal(
            rmr_stun_build_request(rmr_buf_of(req, sizeof req), &n, id),
            RMR_OK);
        assert_int_equal(rmr_stun_answer(rmr_buf_of(res, sizeof res), &m,
                                         rmr_bytes_of(req, n), &a),
                         RMR_OK);
        assert_int_equal(
            rmr_stun_parse_response(rmr_bytes_of(res, m), txid, &back), RMR_OK);
        assert_true(rmr_addr_eq(&a, &back));
        assert_memory_equal(txid, id, sizeof id);
    }
}

static void every_changed_bit_of_a_request_is_noticed(void **state)
{
    (void)state;
    uint8_t req[RMR_STUN_REQUEST_LEN], txid[RMR_STUN_TXID_LEN];
    size_t n;
    assert_int_equal(
        rmr_stun_build_request(rmr_buf_of(req, sizeof req), &n, id), RMR_OK);
    for (size_t bit = 0; bit < n * 8; bit++) {
        req[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(rmr_stun_parse_request(rmr_bytes_of(req, n), txid),
                         RMR_E_MALFORMED);
        req[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

/* All but one: fingerprint_not_last is a good request without its end. */
static void no_prefix_is_taken_or_read_past(void **state)
{
    (void)state;
    tv *root = tv_load("stun.json");
    static const char *const lists[] = {"parse_request", "parse_response"};
    size_t taken = 0;
    for (size_t l = 0; l < 2; l++) {
        tv *list = tv_get(root, lists[l]);
        for (size_t i = 0; i < tv_len(list); i++) {
            uint8_t buf[256], *keep, txid[RMR_STUN_TXID_LEN];
            rmr_addr a;
            size_t n = tv_get_hex(tv_at(list, i), "packet", buf, sizeof buf);
            for (size_t k = 0; k < n; k++) {
                rmr_bytes d = exact(buf, k, &keep);
                taken += rmr_stun_parse_request(d, txid) == RMR_OK;
                (void)rmr_stun_parse_response(d, txid, &a);
                free(keep);
            }
        }
    }
    assert_int_equal(taken, 1);
    tv_free(root);
}

static void short_buffers_and_bad_addresses_are_refused(void **state)
{
    (void)state;
    uint8_t dst[RMR_STUN_RESPONSE_MAX], req[RMR_STUN_REQUEST_LEN];
    rmr_addr v4 = addr_of("192.0.2.1:1"), v6 = addr_of("[2001:db8::1]:1");
    rmr_addr none = {.port = 1};
    size_t len = 9, n;
    for (size_t k = 0; k < RMR_STUN_REQUEST_LEN; k++)
        assert_int_equal(rmr_stun_build_request(rmr_buf_of(dst, k), &len, id),
                         RMR_E_BUFSIZE);
    assert_int_equal(len, 0);
    for (size_t k = 0; k < RMR_STUN_RESPONSE_MAX; k++) {
        rmr_err e = rmr_stun_build_response(rmr_buf_of(dst, k), &len, id, &v4);
        assert_int_equal(e, k < 32 ? RMR_E_BUFSIZE : RMR_OK);
        e = rmr_stun_build_response(rmr_buf_of(dst, k), &len, id, &v6);
        assert_int_equal(e, RMR_E_BUFSIZE);
        assert_int_equal(len, 0);
    }
    rmr_buf all = rmr_buf_of(dst, sizeof dst);
    assert_int_equal(rmr_stun_build_response(all, &len, id, &none),
                     RMR_E_INVAL);
    assert_int_equal(
        rmr_stun_build_request(rmr_buf_of(req, sizeof req), &n, id), RMR_OK);
    len = 9;
    assert_int_equal(rmr_stun_answer(all, &len, rmr_bytes_of(req, n - 1), &v4),
                     RMR_E_MALFORMED);
    assert_int_equal(len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_request_is_byte_exact),
        cmocka_unit_test(a_server_answers_exactly_the_good_requests),
        cmocka_unit_test(a_client_reads_what_servers_send),
        cmocka_unit_test(responses_are_byte_exact_but_for_wrapped_ipv4),
        cmocka_unit_test(an_address_wrapped_by_hand_is_unwrapped),
        cmocka_unit_test(both_sides_agree),
        cmocka_unit_test(every_changed_bit_of_a_request_is_noticed),
        cmocka_unit_test(no_prefix_is_taken_or_read_past),
        cmocka_unit_test(short_buffers_and_bad_addresses_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
