/* Heads that we write: exact bytes, every size of buffer, refused parts, and
 * that our own parser reads them back. */
#include <remora/http1.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support.h"

static rmr_header header(const char *name, const char *value)
{
    rmr_header h;
    h.name = rmr_bytes_str(name);
    h.value = rmr_bytes_str(value);
    return h;
}

static void a_request_has_host_first_and_a_length_with_a_body(void **s)
{
    (void)s;
    char dst[256];
    size_t len;
    rmr_header h[] = {header("Upgrade", "DERP"), header("X", "")};
    assert_int_equal(rmr_h1_build_request(rmr_buf_of(dst, sizeof dst), &len,
                                          "GET", "/derp", "a:1", h, 2, NULL),
                     RMR_OK);
    static const char plain[] =
        "GET /derp HTTP/1.1\r\nHost: a:1\r\nUpgrade: DERP\r\nX: \r\n\r\n";
    assert_int_equal(len, sizeof plain - 1);
    assert_memory_equal(dst, plain, len);

    rmr_bytes empty = rmr_bytes_of(NULL, 0);
    assert_int_equal(rmr_h1_build_request(rmr_buf_of(dst, sizeof dst), &len,
                                          "POST", "/", "a", NULL, 0, &empty),
                     RMR_OK);
    static const char none[] =
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    assert_int_equal(len, sizeof none - 1);
    assert_memory_equal(dst, none, len);

    rmr_bytes body = rmr_bytes_str("abc");
    assert_int_equal(rmr_h1_build_request(rmr_buf_of(dst, sizeof dst), &len,
                                          "POST", "/", "a", NULL, 0, &body),
                     RMR_OK);
    static const char some[] =
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    assert_int_equal(len, sizeof some - 1);
    assert_memory_equal(dst, some, len);
}

static void a_response_has_its_status_and_reason(void **s)
{
    (void)s;
    char dst[256];
    size_t len;
    rmr_header h[] = {header("Upgrade", "DERP")};
    assert_int_equal(rmr_h1_build_response(rmr_buf_of(dst, sizeof dst), &len,
                                           101, "Switching Protocols", h, 1,
                                           NULL),
                     RMR_OK);
    static const char want[] =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\n\r\n";
    assert_int_equal(len, sizeof want - 1);
    assert_memory_equal(dst, want, len);
}

static void a_buffer_that_is_one_too_small_is_told(void **s)
{
    (void)s;
    rmr_bytes body = rmr_bytes_str("abc");
    rmr_header h[] = {header("A", "b")};
    size_t len, full;
    char big[128];
    assert_int_equal(rmr_h1_build_request(rmr_buf_of(big, sizeof big), &full,
                                          "POST", "/", "a", h, 1, &body),
                     RMR_OK);
    for (size_t n = 0; n <= full; n++) {
        uint8_t *dst = malloc(n ? n : 1);
        assert_non_null(dst);
        rmr_err e = rmr_h1_build_request(rmr_buf_of(dst, n), &len, "POST", "/",
                                         "a", h, 1, &body);
        assert_int_equal(e, n < full ? RMR_E_BUFSIZE : RMR_OK);
        assert_int_equal(len, n < full ? 0 : full);
        e = rmr_h1_build_response(rmr_buf_of(dst, n), &len, 200, "", h, 1,
                                  &body);
        assert_true(e == RMR_OK ? len <= n : e == RMR_E_BUFSIZE && len == 0);
        free(dst);
    }
}

static rmr_err request(const char *method, const char *target, const char *host,
                       rmr_header h)
{
    char dst[256];
    size_t len;
    return rmr_h1_build_request(rmr_buf_of(dst, sizeof dst), &len, method,
                                target, host, &h, 1, NULL);
}

static void nothing_can_break_out_of_its_line(void **s)
{
    (void)s;
    rmr_header ok = header("A", "b \t\xc3");
    assert_int_equal(request("GET", "/", "a", ok), RMR_OK);
    assert_int_equal(request("G T", "/", "a", ok), RMR_E_INVAL);
    assert_int_equal(request("", "/", "a", ok), RMR_E_INVAL);
    assert_int_equal(request(NULL, "/", "a", ok), RMR_E_INVAL);
    assert_int_equal(request("GET", "", "a", ok), RMR_E_INVAL);
    assert_int_equal(request("GET", "/ HTTP/1.0", "a", ok), RMR_E_INVAL);
    assert_int_equal(request("GET", "/\r\nX:", "a", ok), RMR_E_INVAL);
    assert_int_equal(request("GET", NULL, "a", ok), RMR_E_INVAL);
    assert_int_equal(request("GET", "/", "a\r\nX: y", ok), RMR_E_INVAL);
    assert_int_equal(request("GET", "/", NULL, ok), RMR_E_INVAL);
    assert_int_equal(request("GET", "/", "a", header("", "b")), RMR_E_INVAL);
    assert_int_equal(request("GET", "/", "a", header("A:", "b")), RMR_E_INVAL);
    assert_int_equal(request("GET", "/", "a", header("A\n", "b")), RMR_E_INVAL);
    assert_int_equal(request("GET", "/", "a", header("A", "b\nc")),
                     RMR_E_INVAL);
    assert_int_equal(request("GET", "/", "a", header("A", "b\rc")),
                     RMR_E_INVAL);
    rmr_header nul = header("A", "b");
    nul.value = rmr_bytes_of("b\0c", 3);
    assert_int_equal(request("GET", "/", "a", nul), RMR_E_INVAL);

    char dst[256];
    size_t len;
    rmr_buf out = rmr_buf_of(dst, sizeof dst);
    assert_int_equal(
        rmr_h1_build_response(out, &len, 200, "O\r\nK", NULL, 0, NULL),
        RMR_E_INVAL);
    assert_int_equal(rmr_h1_build_response(out, &len, 99, "", NULL, 0, NULL),
                     RMR_E_INVAL);
    assert_int_equal(rmr_h1_build_response(out, &len, 1000, "", NULL, 0, NULL),
                     RMR_E_INVAL);
    assert_int_equal(rmr_h1_build_response(out, &len, 200, NULL, NULL, 0, NULL),
                     RMR_E_INVAL);
    assert_int_equal(rmr_h1_build_response(out, &len, 200, "", &nul, 1, NULL),
                     RMR_E_INVAL);
}

static rmr_err check_head(void *user, const rmr_h1_head *head)
{
    size_t *calls = user;
    (*calls)++;
    assert_true(rmr_bytes_eq_str(head->method, "PUT"));
    assert_true(rmr_bytes_eq_str(head->target, "/x?y"));
    assert_true(rmr_bytes_eq_str(rmr_h1_header(head, "host"), "[::1]:8"));
    assert_true(rmr_bytes_eq_str(rmr_h1_header(head, "a"), "b"));
    return RMR_OK;
}

static rmr_err check_body(void *user, rmr_bytes data)
{
    size_t *calls = user;
    (*calls)++;
    assert_true(rmr_bytes_eq_str(data, "abc"));
    return RMR_OK;
}

static void what_we_build_our_parser_reads(void **s)
{
    (void)s;
    char dst[256];
    size_t len, used, calls = 0;
    rmr_header h[] = {header("A", "b")};
    rmr_bytes body = rmr_bytes_str("abc");
    assert_int_equal(rmr_h1_build_request(rmr_buf_of(dst, sizeof dst), &len,
                                          "PUT", "/x?y", "[::1]:8", h, 1,
                                          &body),
                     RMR_OK);
    rmr_env env = test_env(NULL, NULL, NULL);
    rmr_h1_config cfg = {.requests = true,
                         .callbacks = {&calls, check_head, check_body, NULL}};
    rmr_h1 *p;
    assert_int_equal(rmr_h1_new(&p, &env, &cfg), RMR_OK);
    assert_int_equal(rmr_h1_read(p, rmr_bytes_of(dst, len), &used), RMR_OK);
    assert_int_equal(rmr_h1_read_eof(p), RMR_OK);
    assert_int_equal(calls, 2);
    rmr_h1_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_has_host_first_and_a_length_with_a_body),
        cmocka_unit_test(a_response_has_its_status_and_reason),
        cmocka_unit_test(a_buffer_that_is_one_too_small_is_told),
        cmocka_unit_test(nothing_can_break_out_of_its_line),
        cmocka_unit_test(what_we_build_our_parser_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
