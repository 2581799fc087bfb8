/* The HTTP/2 client against nghttp2's own server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "h2_peer.h"
#include "support.h"

typedef struct pair {
    h2_peer p;
    test_alloc a;
    rmr_env env;
    rmr_h2 *h;
    char log[8192];
    size_t len;
    size_t body_bytes;
    size_t body_of[PEER_STREAMS]; /* bytes by stream */
    bool consume;                 /* everything, at once */
    size_t heads, closes;
    /* What a callback does, once, and where: 'h', 'b', 'c'. */
    char at;
    void (*act)(struct pair *x, int32_t stream);
    size_t reentrant;
} pair;

static pair x;

static void put(pair *q, const char *fmt, ...) RMR_PRINTF(2, 3);
static void put(pair *q, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(q->log + q->len, sizeof q->log - q->len, fmt, ap);
    va_end(ap);
    assert_true(n >= 0 && (size_t)n < sizeof q->log - q->len);
    q->len += (size_t)n;
}

static void act(pair *q, char where, int32_t stream)
{
    size_t n;
    uint8_t tmp[64];
    if (q->h) {
        q->reentrant +=
            rmr_h2_read(q->h, rmr_bytes_str("x")) == RMR_E_REENTRANT &&
            rmr_h2_read_eof(q->h) == RMR_E_REENTRANT &&
            rmr_h2_write(q->h, rmr_buf_of(tmp, sizeof tmp), &n) ==
                RMR_E_REENTRANT;
    }
    if (q->at == where && q->act) {
        void (*what)(pair *, int32_t) = q->act;
        q->act = NULL;
        what(q, stream);
    }
}

static void on_head(void *user, void *tag, int32_t stream, uint16_t status,
                    const rmr_header *headers, size_t n)
{
    pair *q = user;
    q->heads++;
    put(q, "%d%s head %u", (int)stream, tag ? (const char *)tag : "", status);
    for (size_t i = 0; i < n && i < 4; i++)
        put(q, " %.*s=%.*s", (int)headers[i].name.len,
            (const char *)headers[i].name.ptr, (int)headers[i].value.len,
            (const char *)headers[i].value.ptr);
    put(q, "\n");
    act(q, 'h', stream);
}

static void on_body(void *user, void *tag, int32_t stream, rmr_bytes data)
{
    pair *q = user;
    (void)tag;
    size_t *off = &q->body_of[stream % PEER_STREAMS];
    for (size_t i = 0; i < data.len; i++)
        assert_int_equal(data.ptr[i], h2_peer_byte((*off)++));
    q->body_bytes += data.len;
    if (q->consume)
        assert_int_equal(rmr_h2_consume(q->h, stream, data.len), RMR_OK);
    act(q, 'b', stream);
}

static const char *name_of(rmr_err e)
{
    switch (e) {
    case RMR_OK:
        return "ok";
    case RMR_E_RESET:
        return "reset";
    case RMR_E_REFUSED:
        return "refused";
    case RMR_E_CLOSED:
        return "closed";
    case RMR_E_HTTP_HEAD:
        return "head";
    default:
        return "?";
    }
}

static void on_close(void *user, void *tag, int32_t stream, rmr_err why)
{
    pair *q = user;
    q->closes++;
    put(q, "%d%s close %s\n", (int)stream, tag ? (const char *)tag : "",
        name_of(why));
    act(q, 'c', stream);
}

static rmr_h2_config config(void)
{
    rmr_h2_config cfg;
    memset(&cfg, 0, sizeof cfg);
    cfg.callbacks.user = &x;
    cfg.callbacks.on_head = on_head;
    cfg.callbacks.on_body = on_body;
    cfg.callbacks.on_close = on_close;
    return cfg;
}

static void set_up_with(const rmr_h2_config *cfg, const h2_peer_config *pc)
{
    memset(&x, 0, sizeof x);
    x.consume = true;
    x.env = test_env(&x.a, NULL, NULL);
    h2_peer_init(&x.p, pc);
    assert_int_equal(rmr_h2_client_new(&x.h, &x.env, cfg), RMR_OK);
}

static void set_up(void)
{
    rmr_h2_config cfg = config();
    h2_peer_config pc = {0};
    set_up_with(&cfg, &pc);
}

static void tear_down(void)
{
    rmr_h2_free(x.h);
    h2_peer_free(&x.p);
    assert_int_equal(x.a.live_blocks, 0);
}

static int32_t get(const char *path, const char *tag)
{
    int32_t id;
    void *t = NULL;
    memcpy(&t, &tag, sizeof t); /* without its const */
    assert_int_equal(rmr_h2_request(x.h, "GET", "host", path, NULL, 0,
                                    rmr_bytes_of(NULL, 0), t, &id),
                     RMR_OK);
    return id;
}

static void pump(void)
{
    assert_int_equal(h2_pump(&x.p, x.h, 4096, 4096), RMR_OK);
}

static void clear_logs(void)
{
    x.len = x.p.log_len = 0;
    x.log[0] = x.p.log[0] = '\0';
}

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
        assert_int_equal(rmr_h2_request(x.h, "POST", "host:8080", "/machine/map",
                                        h, 2, rmr_bytes_str("{body}"), tag,
                                        &id),
                         RMR_OK);
        assert_int_equal(id, 1);
        size_t out = steps[i] < RMR_H2_WRITE_MIN ? RMR_H2_WRITE_MIN : steps[i];
        assert_int_equal(h2_pump(&x.p, x.h, out, steps[i]), RMR_OK);
        assert_string_equal(
            x.p.log, "settings 2=0 4=65536 6=16384\n"
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
    assert_int_equal(rmr_h2_write(x.h, rmr_buf_of(out, 63), &n),
                     RMR_E_BUFSIZE);
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

/* ---- ends -------------------------------------------------------------- */

static void pings_are_answered(void **s)
{
    (void)s;
    set_up();
    pump();
    clear_logs();
    assert_int_equal(
        nghttp2_submit_ping(x.p.s, 0, (const uint8_t *)"abcdefgh"), 0);
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
    assert_int_equal(nghttp2_submit_goaway(x.p.s, 0, 1, NGHTTP2_NO_ERROR, NULL,
                                           0),
                     0);
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
    assert_int_equal(nghttp2_submit_goaway(x.p.s, 0, 1, NGHTTP2_NO_ERROR, NULL,
                                           0),
                     0);
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
        {"\0\0\0\1\0\0\0\0\1", 9},           /* HEADERS before SETTINGS  */
        {"\0\0\0\4\0\0\0\0\1", 9},           /* SETTINGS on a stream     */
        {"\0\0\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\7", 18}, /* DATA on stream 0 */
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

int main(void)
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
        cmocka_unit_test(memory_is_bounded_and_told),
        cmocka_unit_test(the_same_calls_give_the_same_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
