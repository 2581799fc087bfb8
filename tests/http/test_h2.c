/* The HTTP/2 client against nghttp2's own server: requests, responses, flow
 * control. */
#include "h2_pair.h"

/* ---- requests and responses -------------------------------------------- */

static void a_request_gets_its_response_in_pieces_of_any_size(void **s)
{
    (void)s;
    static const size_t steps[] = {1, 5, 64, 100, 4096};
    for (size_t i = 0; i < 5; i++) {
        set_up();
        rmr_header h[2];
        h[0].name = rmr_bytes_str("ts-lb");
        h[0].value = rmr_bytes_str("nodekey:1");
        h[1].name = rmr_bytes_str("ts-lb");
        h[1].value = rmr_bytes_str("nodekey:2");
        int32_t id;
        char tag[] = "T";
        assert_int_equal(rmr_h2_request(x.h, "POST", "host:8080",
                                        "/machine/map", h, 2,
                                        rmr_bytes_str("{body}"), tag, &id),
                         RMR_OK);
        assert_int_equal(id, 1);
        size_t out = steps[i] < RMR_H2_WRITE_MIN ? RMR_H2_WRITE_MIN : steps[i];
        assert_int_equal(h2_pump(&x.p, x.h, out, steps[i]), RMR_OK);
        assert_string_equal(
            x.p.log, "settings 1=0 2=0 4=65536 6=16384\n"
                     "1 :method=POST\n1 :scheme=https\n1 :authority=host:8080\n"
                     "1 :path=/machine/map\n1 ts-lb=nodekey:1\n"
                     "1 ts-lb=nodekey:2\n1 content-length=6\n1 end\n");
        assert_int_equal(x.p.body_len, 6);
        assert_memory_equal(x.p.body, "{body}", 6);
        assert_int_equal(x.p.window_update_sum, 256 * 1024 - 65535);

        h2_peer_respond(&x.p, 1, "200", "a: b\nset: c\n", 5000, false, false);
        assert_int_equal(h2_pump(&x.p, x.h, out, steps[i]), RMR_OK);
        assert_string_equal(x.log, "1T head 200 a=b set=c\n1T close ok\n");
        assert_int_equal(x.body_bytes, 5000);
        assert_false(rmr_h2_is_closed(x.h));
        tear_down();
    }
}

static void the_preface_does_not_wait_for_the_server(void **s)
{
    (void)s;
    set_up();
    uint8_t out[256];
    size_t n;
    assert_int_equal(rmr_h2_write(x.h, rmr_buf_of(out, sizeof out), &n),
                     RMR_OK);
    assert_true(n > 24);
    assert_memory_equal(out, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
    assert_int_equal(rmr_h2_write(x.h, rmr_buf_of(out, sizeof out), &n),
                     RMR_OK);
    assert_int_equal(n, 0);
    assert_int_equal(rmr_h2_write(x.h, rmr_buf_of(out, 63), &n), RMR_E_BUFSIZE);
    tear_down();
}

static void content_length_is_sent_where_a_body_is_meant(void **s)
{
    (void)s;
    static const struct {
        const char *method, *body, *line;
    } t[] = {{"GET", "", NULL},
             {"HEAD", "", NULL},
             {"DELETE", "", NULL},
             {"GET", "x", "1 content-length=1\n"},
             {"POST", "", "1 content-length=0\n"},
             {"PUT", "", "1 content-length=0\n"},
             {"PATCH", "", "1 content-length=0\n"}};
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        set_up();
        int32_t id;
        assert_int_equal(rmr_h2_request(x.h, t[i].method, "h", "/", NULL, 0,
                                        rmr_bytes_str(t[i].body), NULL, &id),
                         RMR_OK);
        pump();
        const char *at = strstr(x.p.log, "1 content-length");
        if (t[i].line)
            assert_non_null(strstr(x.p.log, t[i].line));
        else
            assert_null(at);
        assert_non_null(strstr(x.p.log, "1 end\n"));
        tear_down();
    }
}

static void a_large_body_goes_out_whole_through_any_buffer(void **s)
{
    (void)s;
    enum { LEN = 150000 };
    static uint8_t body[LEN];
    for (size_t i = 0; i < LEN; i++)
        body[i] = (uint8_t)(i * 13 >> 3);
    static const size_t steps[] = {64, 65, 73, 74, 1000, 16384, 16393, 100000};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        set_up();
        int32_t id;
        uint8_t *lent = malloc(LEN);
        assert_non_null(lent);
        memcpy(lent, body, LEN);
        assert_int_equal(rmr_h2_request(x.h, "PUT", "h", "/", NULL, 0,
                                        rmr_bytes_of(lent, LEN), NULL, &id),
                         RMR_OK);
        free(lent); /* it was copied */
        assert_int_equal(h2_pump(&x.p, x.h, steps[i], 4096), RMR_OK);
        assert_int_equal(x.p.body_len, LEN);
        assert_memory_equal(x.p.body, body, LEN);
        tear_down();
    }
}

static void bodies_of_several_streams_share_the_connection(void **s)
{
    (void)s;
    set_up();
    static uint8_t body[20000];
    int32_t id;
    for (int i = 0; i < 5; i++)
        assert_int_equal(rmr_h2_request(x.h, "PUT", "h", "/", NULL, 0,
                                        rmr_bytes_of(body, sizeof body), NULL,
                                        &id),
                         RMR_OK);
    assert_int_equal(h2_pump(&x.p, x.h, 100, 4096), RMR_OK);
    assert_int_equal(x.p.body_len, 100000);
    for (int i = 1; i <= 9; i += 2)
        h2_peer_respond(&x.p, i, "204", "", 0, false, false);
    pump();
    assert_int_equal(x.closes, 5);
    tear_down();
}

static void interim_responses_and_trailers_are_not_shown(void **s)
{
    (void)s;
    set_up();
    get("/", "");
    pump();
    h2_peer_respond(&x.p, 1, "103", "link: x\n", 0, false, false);
    pump();
    h2_peer_respond(&x.p, 1, "200", "", 10, false, true);
    pump();
    assert_string_equal(x.log, "1 head 200\n1 close ok\n");
    assert_int_equal(x.body_bytes, 10);
    tear_down();
}

static void a_response_without_its_whole_body_is_no_success(void **s)
{
    (void)s;
    set_up();
    get("/", "");
    pump();
    h2_peer_respond(&x.p, 1, "200", "content-length: 11\n", 10, false, false);
    pump();
    assert_string_equal(x.log, "1 head 200 content-length=11\n1 close reset\n");
    tear_down();
}

/* ---- flow control ------------------------------------------------------ */

static void a_stream_stalls_at_its_window_and_goes_on_with_credit(void **s)
{
    (void)s;
    rmr_h2_config cfg = config();
    cfg.stream_window = 10000;
    h2_peer_config pc = {0};
    set_up_with(&cfg, &pc);
    x.consume = false;
    get("/", "");
    pump();
    h2_peer_respond(&x.p, 1, "200", "", 100000, false, false);
    pump();
    assert_int_equal(x.body_bytes, 10000);
    pump();
    assert_int_equal(x.body_bytes, 10000);
    size_t given = 0;
    while (x.closes == 0) {
        assert_true(x.body_bytes - given >= 5000);
        assert_int_equal(rmr_h2_consume(x.h, 1, 5000), RMR_OK);
        given += 5000;
        pump();
        assert_true(x.body_bytes - given <= 10000);
    }
    assert_int_equal(x.body_bytes, 100000);
    tear_down();
}

static void a_connection_stalls_until_the_other_stream_is_consumed(void **s)
{
    (void)s;
    rmr_h2_config cfg = config();
    cfg.stream_window = 100000;
    cfg.connection_window = 70000;
    h2_peer_config pc = {0};
    set_up_with(&cfg, &pc);
    x.consume = false;
    get("/1", "");
    get("/2", "");
    pump();
    h2_peer_respond(&x.p, 1, "200", "", 60000, false, false);
    pump();
    assert_string_equal(x.log, "1 head 200\n1 close ok\n");
    h2_peer_respond(&x.p, 3, "200", "", 60000, false, false);
    pump();
    assert_int_equal(x.body_bytes, 70000);
    /* Stream 1 is over, but what it took is not yet given back. */
    assert_int_equal(rmr_h2_consume(x.h, 1, 60000), RMR_OK);
    pump();
    assert_int_equal(x.body_bytes, 120000);
    assert_int_equal(x.closes, 2);
    assert_int_equal(rmr_h2_consume(x.h, 3, 60001), RMR_E_INVAL);
    assert_int_equal(rmr_h2_consume(x.h, 0, 1), RMR_E_INVAL);
    assert_int_equal(rmr_h2_consume(x.h, 3, 60000), RMR_OK);
    assert_int_equal(rmr_h2_consume(x.h, 3, 1), RMR_E_INVAL);
    tear_down();
}

/* No memory for the WINDOW_UPDATE, when all there is has been consumed and no
 * later consume can make up for it. */
static void credit_that_found_no_memory_goes_out_with_the_next_pump(void **s)
{
    (void)s;
    rmr_h2_config cfg = config();
    cfg.stream_window = 70000;
    cfg.connection_window = 70000;
    h2_peer_config pc = {0};
    set_up_with(&cfg, &pc);
    x.consume = false;
    get("/", "");
    pump();
    h2_peer_respond(&x.p, 1, "200", "", 100000, false, false);
    pump();
    assert_int_equal(x.body_bytes, 70000);
    x.a.fail_at = x.a.calls + 1;
    x.a.fail_after = true;
    assert_int_equal(rmr_h2_consume(x.h, 1, 70000), RMR_OK);
    assert_true(x.a.failed > 0);
    x.a.fail_at = 0;
    pump();
    assert_int_equal(x.body_bytes, 100000);
    assert_string_equal(x.log, "1 head 200\n1 close ok\n");
    tear_down();
}

static void padding_costs_no_credit_for_good(void **s)
{
    (void)s;
    rmr_h2_config cfg = config();
    cfg.stream_window = 20000;
    cfg.connection_window = 70000;
    h2_peer_config pc = {.padding = 200};
    set_up_with(&cfg, &pc);
    get("/", "");
    pump();
    h2_peer_respond(&x.p, 1, "200", "", 1000000, false, false);
    pump();
    assert_int_equal(x.body_bytes, 1000000);
    assert_string_equal(x.log, "1 head 200\n1 close ok\n");
    tear_down();
}

static void a_request_body_waits_for_the_servers_window(void **s)
{
    (void)s;
    rmr_h2_config cfg = config();
    h2_peer_config pc = {.initial_window = 1000};
    set_up_with(&cfg, &pc);
    static uint8_t body[5000];
    pump(); /* the server's settings first */
    int32_t id;
    assert_int_equal(rmr_h2_request(x.h, "PUT", "h", "/", NULL, 0,
                                    rmr_bytes_of(body, sizeof body), NULL, &id),
                     RMR_OK);
    pump();
    assert_int_equal(x.p.body_len, 1000);
    assert_int_equal(nghttp2_session_consume(x.p.s, id, 1000), 0);
    pump();
    assert_int_equal(x.p.body_len, 2000);
    /* A complete answer before the body is through is an answer; the server
     * tells us by NO_ERROR to stop sending (RFC 9113 8.1). */
    h2_peer_respond(&x.p, id, "413", "", 3, false, false);
    pump();
    assert_int_equal(nghttp2_submit_rst_stream(x.p.s, 0, id, NGHTTP2_NO_ERROR),
                     0);
    pump();
    assert_string_equal(x.log, "1 head 413\n1 close ok\n");
    tear_down();
}

static int run(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_gets_its_response_in_pieces_of_any_size),
        cmocka_unit_test(the_preface_does_not_wait_for_the_server),
        cmocka_unit_test(content_length_is_sent_where_a_body_is_meant),
        cmocka_unit_test(a_large_body_goes_out_whole_through_any_buffer),
        cmocka_unit_test(bodies_of_several_streams_share_the_connection),
        cmocka_unit_test(interim_responses_and_trailers_are_not_shown),
        cmocka_unit_test(a_response_without_its_whole_body_is_no_success),
        cmocka_unit_test(a_stream_stalls_at_its_window_and_goes_on_with_credit),
        cmocka_unit_test(
            a_connection_stalls_until_the_other_stream_is_consumed),
        cmocka_unit_test(
            credit_that_found_no_memory_goes_out_with_the_next_pump),
        cmocka_unit_test(padding_costs_no_credit_for_good),
        cmocka_unit_test(a_request_body_waits_for_the_servers_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return h2_run_both(run);
}
