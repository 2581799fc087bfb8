/* The HTTP/2 client against nghttp2's own server: ends, limits, violations,
 * callbacks, memory. */
#include "h2_frame.h"
#include "h2_pair.h"

/* ---- ends -------------------------------------------------------------- */

static void pings_are_answered(void **s)
{
    (void)s;
    set_up();
    pump();
    clear_logs();
    assert_int_equal(nghttp2_submit_ping(x.p.s, 0, (const uint8_t *)"abcdefgh"),
                     0);
    pump();
    assert_string_equal(x.p.log, "ping ack abcdefgh\n");
    tear_down();
}

static void a_reset_ends_one_stream_and_says_whether_to_retry(void **s)
{
    (void)s;
    set_up();
    get("/1", "");
    get("/2", "");
    get("/3", "");
    pump();
    h2_peer_respond(&x.p, 1, "200", "", 10, true, false);
    pump();
    nghttp2_submit_rst_stream(x.p.s, 0, 1, NGHTTP2_INTERNAL_ERROR);
    nghttp2_submit_rst_stream(x.p.s, 0, 3, NGHTTP2_REFUSED_STREAM);
    nghttp2_submit_rst_stream(x.p.s, 0, 5, NGHTTP2_NO_ERROR);
    pump();
    assert_string_equal(x.log, "1 head 200\n1 close reset\n3 close refused\n"
                               "5 close reset\n");
    get("/4", "");
    pump();
    h2_peer_respond(&x.p, 7, "200", "", 0, false, false);
    pump();
    assert_non_null(strstr(x.log, "7 close ok\n"));
    tear_down();
}

static void a_goaway_lets_old_streams_finish_and_refuses_the_rest(void **s)
{
    (void)s;
    set_up();
    get("/1", "");
    get("/2", "");
    pump();
    clear_logs();
    assert_int_equal(
        nghttp2_submit_goaway(x.p.s, 0, 1, NGHTTP2_NO_ERROR, NULL, 0), 0);
    pump();
    assert_string_equal(x.log, "3 close refused\n");
    assert_false(rmr_h2_is_closed(x.h));
    int32_t id;
    assert_int_equal(rmr_h2_request(x.h, "GET", "h", "/", NULL, 0,
                                    rmr_bytes_of(NULL, 0), NULL, &id),
                     RMR_E_CLOSED);
    assert_int_equal(id, 0);
    h2_peer_respond(&x.p, 1, "200", "", 5, false, false);
    pump();
    assert_string_equal(x.log, "3 close refused\n1 head 200\n1 close ok\n");
    assert_true(rmr_h2_is_closed(x.h));
    tear_down();
}

static void a_request_that_waits_for_its_turn_is_refused_by_a_goaway(void **s)
{
    (void)s;
    rmr_h2_config cfg = config();
    h2_peer_config pc = {.max_streams = 1};
    set_up_with(&cfg, &pc);
    pump();
    get("/1", "");
    get("/2", "");
    pump();
    assert_null(strstr(x.p.log, "/2"));
    assert_int_equal(
        nghttp2_submit_goaway(x.p.s, 0, 1, NGHTTP2_NO_ERROR, NULL, 0), 0);
    pump();
    h2_peer_respond(&x.p, 1, "200", "", 0, false, false);
    pump();
    assert_int_equal(x.closes, 2);
    assert_non_null(strstr(x.log, "3 close refused\n"));
    assert_non_null(strstr(x.log, "1 close ok\n"));
    assert_true(rmr_h2_is_closed(x.h));
    tear_down();
}

static void the_servers_limit_of_streams_is_kept(void **s)
{
    (void)s;
    rmr_h2_config cfg = config();
    h2_peer_config pc = {.max_streams = 1};
    set_up_with(&cfg, &pc);
    pump();
    get("/1", "");
    get("/2", "");
    pump();
    assert_null(strstr(x.p.log, "/2"));
    h2_peer_respond(&x.p, 1, "200", "", 0, false, false);
    pump();
    assert_non_null(strstr(x.p.log, "/2"));
    h2_peer_respond(&x.p, 3, "200", "", 0, false, false);
    pump();
    assert_int_equal(x.closes, 2);
    tear_down();
}

static void our_own_limit_of_streams_is_full(void **s)
{
    (void)s;
    rmr_h2_config cfg = config();
    cfg.max_streams = 2;
    h2_peer_config pc = {0};
    set_up_with(&cfg, &pc);
    get("/1", "");
    get("/2", "");
    int32_t id;
    assert_int_equal(rmr_h2_request(x.h, "GET", "h", "/", NULL, 0,
                                    rmr_bytes_of(NULL, 0), NULL, &id),
                     RMR_E_FULL);
    pump();
    h2_peer_respond(&x.p, 1, "200", "", 0, false, false);
    pump();
    assert_int_equal(get("/3", ""), 5);
    tear_down();
}

static void an_end_closes_every_stream(void **s)
{
    (void)s;
    set_up();
    get("/1", "a");
    get("/2", "b");
    pump();
    h2_peer_respond(&x.p, 3, "200", "", 10, true, false);
    pump();
    clear_logs();
    assert_int_equal(rmr_h2_read_eof(x.h), RMR_OK);
    assert_string_equal(x.log, "1a close closed\n3b close closed\n");
    assert_true(rmr_h2_is_closed(x.h));
    assert_int_equal(rmr_h2_read_eof(x.h), RMR_OK);
    assert_int_equal(rmr_h2_read(x.h, rmr_bytes_str("x")), RMR_E_CLOSED);
    uint8_t out[64];
    size_t n;
    int32_t id;
    assert_int_equal(rmr_h2_write(x.h, rmr_buf_of(out, sizeof out), &n),
                     RMR_OK);
    assert_int_equal(n, 0);
    assert_int_equal(rmr_h2_request(x.h, "GET", "h", "/", NULL, 0,
                                    rmr_bytes_of(NULL, 0), NULL, &id),
                     RMR_E_CLOSED);
    assert_int_equal(rmr_h2_cancel(x.h, 1), RMR_E_BADHANDLE);
    assert_int_equal(rmr_h2_consume(x.h, 3, 0), RMR_OK);
    assert_int_equal(x.closes, 2);
    tear_down();
}

static void a_cancelled_stream_hears_no_more_and_costs_no_credit(void **s)
{
    (void)s;
    rmr_h2_config cfg = config();
    cfg.stream_window = 70000;
    cfg.connection_window = 70000;
    h2_peer_config pc = {0};
    set_up_with(&cfg, &pc);
    get("/1", "");
    pump();
    h2_peer_respond(&x.p, 1, "200", "", 60000, true, false);
    pump();
    assert_int_equal(x.body_bytes, 60000);
    /* The server sends on before it hears of it. */
    x.p.answers[1].body_len = 120000;
    assert_int_equal(nghttp2_session_resume_data(x.p.s, 1), 0);
    assert_int_equal(rmr_h2_cancel(x.h, 1), RMR_OK);
    assert_int_equal(rmr_h2_cancel(x.h, 1), RMR_OK);
    assert_int_equal(x.closes, 0);
    const uint8_t *from;
    for (ssize_t n; (n = nghttp2_session_mem_send(x.p.s, &from)) > 0;)
        assert_int_equal(rmr_h2_read(x.h, rmr_bytes_of(from, (size_t)n)),
                         RMR_OK);
    assert_int_equal(x.body_bytes, 60000);
    pump();
    assert_string_equal(x.log, "1 head 200\n1 close reset\n");
    assert_non_null(strstr(x.p.log, "1 reset 8\n"));
    assert_int_equal(rmr_h2_cancel(x.h, 1), RMR_E_BADHANDLE);

    get("/2", "");
    pump();
    h2_peer_respond(&x.p, 3, "200", "", 500000, false, false);
    pump();
    assert_int_equal(x.body_of[3], 500000);
    tear_down();
}

static void a_request_may_be_cancelled_before_it_leaves(void **s)
{
    (void)s;
    set_up();
    get("/1", "");
    int32_t id = get("/2", "");
    assert_int_equal(rmr_h2_cancel(x.h, id), RMR_OK);
    pump();
    assert_string_equal(x.log, "3 close reset\n");
    assert_null(strstr(x.p.log, "/2"));
    h2_peer_respond(&x.p, 1, "200", "", 0, false, false);
    pump();
    assert_non_null(strstr(x.log, "1 close ok\n"));
    tear_down();
}

static void a_cancelled_stream_that_ends_first_is_closed_once(void **s)
{
    (void)s;
    set_up();
    get("/1", "");
    pump();
    h2_peer_respond(&x.p, 1, "200", "", 10, false, false);
    assert_int_equal(rmr_h2_cancel(x.h, 1), RMR_OK);
    const uint8_t *from;
    for (ssize_t n; (n = nghttp2_session_mem_send(x.p.s, &from)) > 0;)
        assert_int_equal(rmr_h2_read(x.h, rmr_bytes_of(from, (size_t)n)),
                         RMR_OK);
    pump();
    assert_string_equal(x.log, "1 close reset\n");
    tear_down();
}

/* ---- limits and violations --------------------------------------------- */

static void a_head_above_the_limit_ends_its_stream_alone(void **s)
{
    (void)s;
    rmr_h2_config cfg = config();
    cfg.max_header_bytes = 200;
    h2_peer_config pc = {0};
    set_up_with(&cfg, &pc);
    get("/1", "");
    get("/2", "");
    get("/3", "");
    pump();
    char head[1024] = "x: ";
    memset(head + 3, 'a', 200 - 1 - 32);
    strcat(head, "\n");
    h2_peer_respond(&x.p, 1, "200", head, 5, false, false);
    head[3] = '\0';
    memset(head + 3, 'a', 201 - 1 - 32);
    head[3 + 201 - 1 - 32] = '\0';
    strcat(head, "\n");
    h2_peer_respond(&x.p, 3, "200", head, 5, false, false);
    h2_peer_respond(&x.p, 5, "200", "", 5, false, false);
    pump();
    assert_non_null(strstr(x.log, "1 close ok\n"));
    assert_non_null(strstr(x.log, "3 close head\n"));
    assert_null(strstr(x.log, "3 head"));
    assert_non_null(strstr(x.log, "5 close ok\n"));
    tear_down();
}

static void a_status_below_100_is_none(void **s)
{
    (void)s;
    set_up();
    get("/1", "");
    get("/2", "");
    pump();
    h2_peer_respond(&x.p, 1, "051", "", 5, false, false);
    h2_peer_respond(&x.p, 3, "200", "", 5, false, false);
    pump();
    assert_null(strstr(x.log, "1 head"));
    assert_non_null(strstr(x.log, "1 close reset\n"));
    assert_non_null(strstr(x.log, "3 close ok\n"));
    tear_down();
}

static void sixty_four_headers_fit_and_one_more_does_not(void **s)
{
    (void)s;
    for (size_t n = RMR_H1_MAX_HEADERS; n <= RMR_H1_MAX_HEADERS + 1; n++) {
        set_up();
        get("/1", "");
        pump();
        char head[512] = "";
        for (size_t i = 0; i < n; i++)
            strcat(head, "a: b\n");
        h2_peer_respond(&x.p, 1, "200", head, 0, false, false);
        pump();
        if (n == RMR_H1_MAX_HEADERS)
            assert_non_null(strstr(x.log, "1 close ok\n"));
        else
            assert_string_equal(x.log, "1 close head\n");
        tear_down();
    }
}

static void a_violation_is_told_at_once_and_the_peer_hears_why(void **s)
{
    (void)s;
    static const struct {
        const char *bytes;
        size_t len;
    } t[] = {
        {"HTTP/1.1 400 Bad Request\r\n\r\n", 28},
        {"\0\0\0\1\0\0\0\0\1", 9}, /* HEADERS before SETTINGS  */
        {"\0\0\0\4\0\0\0\0\1", 9}, /* SETTINGS on a stream     */
        {"\0\0\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\7", 18},   /* DATA on stream 0 */
        {"\0\0\0\4\0\0\0\0\0\0\0\1\6\0\0\0\0\0\0", 19}, /* PING too short */
        {"\0\0\0\4\0\0\0\0\0\0\0\4\10\0\0\0\0\0\0\0\0\0", 22}, /* +0      */
        /* a push, when the server knows that we take none */
        {"\0\0\0\4\0\0\0\0\0\0\0\0\4\1\0\0\0\0"
         "\0\0\4\5\4\0\0\0\1\0\0\0\2",
         31},
    };
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        set_up();
        get("/1", "");
        assert_int_equal(h2_pump_out(&x.p, x.h, 4096), RMR_OK);
        rmr_err e = RMR_OK;
        for (size_t off = 0; off < t[i].len && e == RMR_OK; off++)
            e = rmr_h2_read(x.h, rmr_bytes_of(t[i].bytes + off, 1));
        if (e != RMR_E_HTTP_H2)
            fail_msg("violation %zu: %d", i, (int)e);
        assert_int_equal(rmr_h2_read(x.h, rmr_bytes_str("x")), RMR_E_HTTP_H2);
        assert_string_equal(x.log, "1 close closed\n");
        assert_true(rmr_h2_is_closed(x.h));
        int32_t id;
        assert_int_equal(rmr_h2_request(x.h, "GET", "h", "/", NULL, 0,
                                        rmr_bytes_of(NULL, 0), NULL, &id),
                         RMR_E_CLOSED);
        assert_int_equal(h2_pump_out(&x.p, x.h, 4096), RMR_OK);
        assert_non_null(strstr(x.p.log, "goaway "));
        assert_null(strstr(x.p.log, "goaway 0"));
        assert_int_equal(x.closes, 1);
        tear_down();
    }
}

static void a_flood_of_pings_does_not_take_memory_without_end(void **s)
{
    (void)s;
    set_up();
    pump();
    static const uint8_t ping[17] = {0, 0, 8, 6};
    rmr_err e = RMR_OK;
    size_t n = 0;
    for (; n < 100000 && e == RMR_OK; n++)
        e = rmr_h2_read(x.h, rmr_bytes_of(ping, sizeof ping));
    assert_int_equal(e, RMR_E_HTTP_H2);
    assert_true(n < 5000);
    tear_down();
}

static void bad_arguments_are_refused(void **s)
{
    (void)s;
    set_up();
    rmr_bytes none = rmr_bytes_of(NULL, 0);
    rmr_header h[RMR_H2_MAX_REQUEST_HEADERS + 1];
    for (size_t i = 0; i < RMR_H2_MAX_REQUEST_HEADERS + 1; i++) {
        h[i].name = rmr_bytes_str("a");
        h[i].value = rmr_bytes_str("b");
    }
    int32_t id = 5;
#define TRY(m, a, p, hs, n) rmr_h2_request(x.h, m, a, p, hs, n, none, NULL, &id)
    assert_int_equal(TRY(NULL, "h", "/", NULL, 0), RMR_E_INVAL);
    assert_int_equal(id, 0);
    assert_int_equal(TRY("G T", "h", "/", NULL, 0), RMR_E_INVAL);
    assert_int_equal(TRY("GET", NULL, "/", NULL, 0), RMR_E_INVAL);
    assert_int_equal(TRY("GET", "", "/", NULL, 0), RMR_E_INVAL);
    assert_int_equal(TRY("GET", "h\n", "/", NULL, 0), RMR_E_INVAL);
    assert_int_equal(TRY("GET", "h", NULL, NULL, 0), RMR_E_INVAL);
    assert_int_equal(TRY("GET", "h", "", NULL, 0), RMR_E_INVAL);
    assert_int_equal(TRY("GET", "h", "/ x", NULL, 0), RMR_E_INVAL);
    assert_int_equal(TRY("GET", "h", "/", h, 33), RMR_E_INVAL);
    assert_int_equal(TRY("GET", "h", "/", h, 32), RMR_OK);
    h[0].name = rmr_bytes_str("Upper");
    assert_int_equal(TRY("GET", "h", "/", h, 1), RMR_E_INVAL);
    h[0].name = rmr_bytes_str(":path");
    assert_int_equal(TRY("GET", "h", "/", h, 1), RMR_E_INVAL);
    h[0].name = rmr_bytes_str("");
    assert_int_equal(TRY("GET", "h", "/", h, 1), RMR_E_INVAL);
    h[0].name = rmr_bytes_str("a");
    h[0].value = rmr_bytes_str("b\r\nc: d");
    assert_int_equal(TRY("GET", "h", "/", h, 1), RMR_E_INVAL);
    h[0].value = rmr_bytes_str("");
    assert_int_equal(TRY("GET", "h", "/", h, 1), RMR_OK);
    tear_down();

    rmr_h2_config cfg = config();
    cfg.stream_window = UINT32_C(1) << 31;
    rmr_h2 *other;
    rmr_env env = test_env(NULL, NULL, NULL);
    assert_int_equal(rmr_h2_client_new(&other, &env, &cfg), RMR_E_INVAL);
    assert_null(other);
    rmr_h2_free(NULL);
}

/* ---- from inside callbacks --------------------------------------------- */

static void ask_again(pair *q, int32_t stream)
{
    (void)stream;
    int32_t id;
    assert_int_equal(rmr_h2_request(q->h, "POST", "h", "/again", NULL, 0,
                                    rmr_bytes_str("body"), NULL, &id),
                     RMR_OK);
}

static void cancel_it(pair *q, int32_t stream)
{
    assert_int_equal(rmr_h2_cancel(q->h, stream), RMR_OK);
}

static void free_it(pair *q, int32_t stream)
{
    (void)stream;
    rmr_h2_free(q->h);
    q->h = NULL;
}

static void callbacks_may_ask_cancel_and_consume_but_not_pump(void **s)
{
    (void)s;
    static const char places[] = "hbc";
    for (const char *at = places; *at; at++) {
        rmr_h2_config cfg = config();
        cfg.max_streams = *at == 'c' ? 1 : 2; /* the slot is free again */
        h2_peer_config pc = {0};
        set_up_with(&cfg, &pc);
        x.at = *at;
        x.act = ask_again;
        get("/1", "");
        pump();
        h2_peer_respond(&x.p, 1, "200", "", 10, false, false);
        pump();
        assert_non_null(strstr(x.p.log, "3 :path=/again\n"));
        assert_non_null(strstr(x.p.log, "3 end\n"));
        assert_int_equal(x.p.body_len, 4);
        h2_peer_respond(&x.p, 3, "200", "", 10, false, false);
        pump();
        assert_non_null(strstr(x.log, "3 close ok\n"));
        assert_int_equal(x.reentrant, 6);
        tear_down();
    }
    for (const char *at = "hb"; *at; at++) {
        set_up();
        x.at = *at;
        x.act = cancel_it;
        get("/1", "");
        pump();
        h2_peer_respond(&x.p, 1, "200", "", 50000, true, false);
        pump();
        assert_string_equal(x.log, "1 head 200\n1 close reset\n");
        assert_true(*at == 'h' ? x.body_bytes == 0 : x.body_bytes <= 16384);
        tear_down();
    }
}

static void a_client_may_be_freed_in_each_of_its_callbacks(void **s)
{
    (void)s;
    for (const char *at = "hbc"; *at; at++) {
        set_up();
        x.at = *at;
        x.act = free_it;
        get("/1", "");
        get("/2", "");
        pump();
        h2_peer_respond(&x.p, 1, "200", "", 10, false, false);
        assert_int_equal(h2_pump(&x.p, x.h, 4096, 4096), RMR_E_CLOSED);
        assert_null(x.h);
        assert_int_equal(x.closes, *at == 'c');
        tear_down();
    }
    /* while a write closes a stream, and at the end */
    set_up();
    x.at = 'c';
    x.act = free_it;
    get("/1", "");
    pump();
    assert_int_equal(rmr_h2_cancel(x.h, 1), RMR_OK);
    assert_int_equal(h2_pump(&x.p, x.h, 4096, 4096), RMR_E_CLOSED);
    assert_null(x.h);
    tear_down();

    set_up();
    x.at = 'c';
    x.act = free_it;
    get("/1", "");
    get("/2", "");
    pump();
    assert_int_equal(rmr_h2_read_eof(x.h), RMR_E_CLOSED);
    assert_int_equal(x.closes, 1);
    tear_down();
}

static void callbacks_may_be_left_out(void **s)
{
    (void)s;
    rmr_h2_config cfg;
    memset(&cfg, 0, sizeof cfg);
    h2_peer_config pc = {0};
    set_up_with(&cfg, &pc);
    get("/1", "");
    pump();
    h2_peer_respond(&x.p, 1, "200", "", 500000, false, false);
    pump();
    assert_int_equal(x.p.answers[1].off, 500000);
    tear_down();
}

/* ---- memory ------------------------------------------------------------ */

static size_t scenario(size_t fail_at, size_t *accepted)
{
    memset(&x, 0, sizeof x);
    x.consume = true;
    x.env = test_env(&x.a, NULL, NULL);
    h2_peer_config pc = {0};
    h2_peer_init(&x.p, &pc);
    x.a.fail_at = fail_at;
    rmr_h2_config cfg = config();
    cfg.stream_window = 20000;
    cfg.connection_window = 70000;
    *accepted = 0;
    rmr_err e = rmr_h2_client_new(&x.h, &x.env, &cfg);
    if (e != RMR_OK) {
        assert_int_equal(e, RMR_E_NOMEM);
        assert_null(x.h);
        h2_peer_free(&x.p);
        return x.a.failed;
    }
    rmr_header h;
    h.name = rmr_bytes_str("a-header");
    h.value = rmr_bytes_str("with a value");
    static uint8_t body[3000];
    for (int i = 0; i < 3; i++) {
        int32_t id;
        e = rmr_h2_request(x.h, "POST", "host", "/path", &h, 1,
                           rmr_bytes_of(body, sizeof body), NULL, &id);
        if (e == RMR_OK)
            (*accepted)++;
        else /* the object is as it was: once more */
            assert_int_equal(e, RMR_E_NOMEM);
    }
    e = h2_pump(&x.p, x.h, 4096, 4096);
    for (int i = 1; e == RMR_OK && i < 2 * (int)*accepted; i += 2)
        h2_peer_respond(&x.p, i, "200", "b: c\n", 60000, false, false);
    if (e == RMR_OK)
        e = h2_pump(&x.p, x.h, 4096, 4096);
    if (e == RMR_OK && *accepted)
        (void)rmr_h2_cancel(x.h, 1);
    if (e != RMR_OK) {
        assert_int_equal(e, RMR_E_NOMEM);
        assert_int_equal(rmr_h2_read(x.h, rmr_bytes_str("x")), RMR_E_NOMEM);
    } else {
        assert_int_equal(x.body_bytes, 60000 * *accepted);
    }
    assert_int_equal(x.closes, *accepted);
    rmr_h2_free(x.h);
    h2_peer_free(&x.p);
    return x.a.failed;
}

static void each_failing_allocation_is_told_or_made_up_for(void **s)
{
    (void)s;
    for (size_t n = 1;; n++) {
        size_t accepted;
        size_t failed = scenario(n, &accepted);
        assert_int_equal(x.a.live_blocks, 0);
        if (!failed) {
            assert_int_equal(accepted, 3);
            assert_true(n > 50);
            return;
        }
    }
}

/* A session that writes inside another's write, with the same frame. */
static rmr_h2 *other;
static uint8_t other_out[4096];
static size_t other_len;

static void write_other(pair *q, int32_t stream)
{
    (void)q;
    (void)stream;
    assert_int_equal(
        rmr_h2_write(other, rmr_buf_of(other_out, 4096), &other_len), RMR_OK);
}

static size_t write_both(uint8_t out[8192])
{
    static const uint8_t body[3000] = {1};
    rmr_h2_config mute = config();
    size_t len, all = 0;
    int32_t id;
    set_up();
    memset(&mute.callbacks, 0, sizeof mute.callbacks);
    other_len = 0;
    assert_int_equal(rmr_h2_client_new(&other, &x.env, &mute), RMR_OK);
    assert_int_equal(rmr_h2_request(other, "GET", "other", "/o", NULL, 0,
                                    rmr_bytes_of(NULL, 0), NULL, &id),
                     RMR_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(rmr_h2_request(x.h, "POST", "host", "/", NULL, 0,
                                        rmr_bytes_of(body, sizeof body), NULL,
                                        &id),
                         RMR_OK);
    assert_int_equal(rmr_h2_cancel(x.h, 3), RMR_OK);
    x.at = 'c';
    x.act = write_other;
    for (;;) { /* in parts: frames are cut */
        assert_int_equal(rmr_h2_write(x.h, rmr_buf_of(out + all, 100), &len),
                         RMR_OK);
        if (h2_shared)
            memset(h2_shared->bytes, 0xdd, sizeof h2_shared->bytes);
        all += len;
        if (len == 0)
            break;
    }
    assert_int_equal(x.closes, 1);
    rmr_h2_free(other);
    tear_down();
    return all;
}

static void a_frame_serves_a_session_inside_another(void **s)
{
    (void)s;
    static uint8_t own[8192], lent[8192], own_other[4096];
    rmr_h2_frame *frame = h2_shared;
    h2_shared = NULL;
    size_t len = write_both(own), n = other_len;
    memcpy(own_other, other_out, n);
    assert_true(len > 6000 && n > 24);
    h2_shared = frame;
    assert_int_equal(write_both(lent), len);
    assert_memory_equal(lent, own, len);
    assert_int_equal(other_len, n);
    assert_memory_equal(other_out, own_other, n);
}

static void a_shared_frame_is_no_part_of_a_session_at_rest(void **s)
{
    (void)s;
    rmr_h2_frame *frame = h2_shared;
    size_t live[2];
    if (!frame)
        return;
    for (int i = 0; i < 2; i++) {
        h2_shared = i ? frame : NULL;
        set_up();
        pump();
        live[i] = x.a.live_bytes;
        tear_down();
    }
    assert_true(live[0] - live[1] > 16384);
}

static void memory_is_bounded_and_told(void **s)
{
    (void)s;
    set_up();
    size_t idle = x.a.live_bytes;
    pump();
    for (int i = 0; i < 32; i++)
        get("/", "");
    pump();
    print_message("%zu bytes idle, %zu with 32 streams open\n", idle,
                  x.a.live_bytes);
    assert_true(idle < 64 * 1024);
    assert_true(x.a.live_bytes < 96 * 1024);
    tear_down();
}

static void the_same_calls_give_the_same_bytes(void **s)
{
    (void)s;
    static uint8_t out[2][2048];
    size_t len[2] = {0, 0};
    for (int i = 0; i < 2; i++) {
        set_up();
        get("/1", "");
        get("/2", "");
        assert_int_equal(rmr_h2_write(x.h, rmr_buf_of(out[i], 2048), &len[i]),
                         RMR_OK);
        tear_down();
    }
    assert_int_equal(len[0], len[1]);
    assert_memory_equal(out[0], out[1], len[0]);
}

static int run(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pings_are_answered),
        cmocka_unit_test(a_reset_ends_one_stream_and_says_whether_to_retry),
        cmocka_unit_test(a_goaway_lets_old_streams_finish_and_refuses_the_rest),
        cmocka_unit_test(
            a_request_that_waits_for_its_turn_is_refused_by_a_goaway),
        cmocka_unit_test(the_servers_limit_of_streams_is_kept),
        cmocka_unit_test(our_own_limit_of_streams_is_full),
        cmocka_unit_test(an_end_closes_every_stream),
        cmocka_unit_test(a_cancelled_stream_hears_no_more_and_costs_no_credit),
        cmocka_unit_test(a_request_may_be_cancelled_before_it_leaves),
        cmocka_unit_test(a_cancelled_stream_that_ends_first_is_closed_once),
        cmocka_unit_test(a_head_above_the_limit_ends_its_stream_alone),
        cmocka_unit_test(a_status_below_100_is_none),
        cmocka_unit_test(sixty_four_headers_fit_and_one_more_does_not),
        cmocka_unit_test(a_violation_is_told_at_once_and_the_peer_hears_why),
        cmocka_unit_test(a_flood_of_pings_does_not_take_memory_without_end),
        cmocka_unit_test(bad_arguments_are_refused),
        cmocka_unit_test(callbacks_may_ask_cancel_and_consume_but_not_pump),
        cmocka_unit_test(a_client_may_be_freed_in_each_of_its_callbacks),
        cmocka_unit_test(callbacks_may_be_left_out),
        cmocka_unit_test(each_failing_allocation_is_told_or_made_up_for),
        cmocka_unit_test(a_frame_serves_a_session_inside_another),
        cmocka_unit_test(a_shared_frame_is_no_part_of_a_session_at_rest),
        cmocka_unit_test(memory_is_bounded_and_told),
        cmocka_unit_test(the_same_calls_give_the_same_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return h2_run_both(run);
}
