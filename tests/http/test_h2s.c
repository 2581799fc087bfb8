/* The HTTP/2 server against our client. */
#include <remora/h2.h>
#include <remora/h2_srv.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "h2_frame.h"
#include "support.h"

enum { DATA_MAX = 200000 };

static struct {
    test_alloc a;
    rmr_h2s *s;
    rmr_h2 *c;
    char log[4096];
    size_t log_len;
    /* The server's answers: on_done gives `status` and, where there are some,
     * `body_len` bytes of body, of which `ready` may go out. */
    bool answers;
    uint16_t status;
    size_t body_len, ready, pulled;
    /* What the server does in a callback, by its letter. */
    char free_in, respond_in;
    int32_t last;
    size_t got, n_open;
    uint32_t sum_in, sum_out;
} x;

static rmr_h2_frame *shared; /* of both sides; NULL: each has its own */

static void scribble(void)
{
    if (shared)
        memset(shared->bytes, 0xdd, sizeof shared->bytes);
}

static void note(const char *fmt, ...) RMR_PRINTF(1, 2);
static void note(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    x.log_len +=
        (size_t)vsnprintf(x.log + x.log_len, sizeof x.log - x.log_len, fmt, ap);
    va_end(ap);
    assert_true(x.log_len < sizeof x.log);
}

static int text(rmr_bytes b)
{
    return (int)b.len;
}

#define T(b) text(b), (const char *)(b).ptr

/* ---- the server's side ------------------------------------------------- */

static void answer(int32_t id)
{
    rmr_header h = {rmr_bytes_str("content-type"), rmr_bytes_str("text/x")};
    rmr_err e = rmr_h2s_respond(x.s, id, x.status, &h, 1, x.body_len > 0);
    if (e != RMR_E_NOMEM)
        assert_int_equal(e, RMR_OK);
    else
        (void)rmr_h2s_reset(x.s, id);
}

static void in_callback(char which, int32_t id)
{
    if (x.respond_in == which)
        answer(id);
    if (x.free_in == which) {
        rmr_h2s_free(x.s);
        x.s = NULL;
    }
}

static void *on_request(void *user, int32_t id, const rmr_h2s_request *r)
{
    assert_ptr_equal(user, &x);
    note("%d %.*s %.*s%.*s%s", id, T(r->method), T(r->authority), T(r->path),
         r->has_body ? " +" : "");
    for (size_t i = 0; i < r->n_headers; i++)
        note(" %.*s=%.*s", T(r->headers[i].name), T(r->headers[i].value));
    note("\n");
    x.last = id;
    x.n_open++;
    in_callback('q', id);
    return x.log + id;
}

static void on_body(void *user, void *tag, int32_t id, rmr_bytes data)
{
    assert_ptr_equal(user, &x);
    assert_ptr_equal(tag, x.log + id);
    assert_true(data.len > 0);
    x.got += data.len;
    for (size_t i = 0; i < data.len; i++)
        x.sum_in = x.sum_in * 31 + data.ptr[i];
    in_callback('b', id);
}

static void on_done(void *user, void *tag, int32_t id)
{
    assert_ptr_equal(user, &x);
    assert_ptr_equal(tag, x.log + id);
    note("%d done %zu\n", id, x.got);
    if (x.answers)
        answer(id);
    in_callback('d', id);
}

static size_t on_pull(void *user, void *tag, int32_t id, rmr_buf dst, bool *end)
{
    assert_ptr_equal(user, &x);
    assert_ptr_equal(tag, x.log + id);
    size_t n = x.ready - x.pulled;
    n = n > dst.len ? dst.len : n;
    for (size_t i = 0; i < n; i++)
        dst.ptr[i] = (uint8_t)((x.pulled + i) * 7 >> 2);
    x.pulled += n;
    *end = x.pulled == x.body_len;
    in_callback('p', id);
    return n;
}

static void on_close(void *user, void *tag, int32_t id, rmr_err why)
{
    assert_ptr_equal(user, &x);
    assert_ptr_equal(tag, x.log + id);
    note("%d closed %s\n", id,
         why == RMR_OK            ? "ok"
         : why == RMR_E_RESET     ? "reset"
         : why == RMR_E_CLOSED    ? "lost"
         : why == RMR_E_HTTP_BODY ? "body"
                                  : "?");
    x.n_open--;
    in_callback('c', id);
}

static rmr_h2s_config server_config(void)
{
    rmr_h2s_config cfg;
    memset(&cfg, 0, sizeof cfg);
    cfg.callbacks = (rmr_h2s_callbacks){&x,      on_request, on_body,
                                        on_done, on_pull,    on_close};
    cfg.frame = shared;
    return cfg;
}

/* ---- the client's side ------------------------------------------------- */

static void c_head(void *user, void *tag, int32_t stream, uint16_t status,
                   const rmr_header *h, size_t n)
{
    (void)user;
    (void)tag;
    note("  %d got %u", stream, (unsigned)status);
    for (size_t i = 0; i < n; i++)
        note(" %.*s=%.*s", T(h[i].name), T(h[i].value));
    note("\n");
}

static void c_body(void *user, void *tag, int32_t stream, rmr_bytes data)
{
    (void)user;
    (void)tag;
    for (size_t i = 0; i < data.len; i++)
        x.sum_out = x.sum_out * 31 + data.ptr[i];
    assert_int_equal(rmr_h2_consume(x.c, stream, data.len), RMR_OK);
}

static void c_close(void *user, void *tag, int32_t stream, rmr_err why)
{
    (void)user;
    (void)tag;
    note("  %d over %s\n", stream,
         why == RMR_OK          ? "ok"
         : why == RMR_E_REFUSED ? "refused"
         : why == RMR_E_CLOSED  ? "lost"
                                : "reset");
}

static void new_client(void)
{
    rmr_env env = test_env(NULL, NULL, NULL);
    rmr_h2_config cfg;
    memset(&cfg, 0, sizeof cfg);
    cfg.callbacks.on_head = c_head;
    cfg.callbacks.on_body = c_body;
    cfg.callbacks.on_close = c_close;
    cfg.frame = shared;
    assert_int_equal(rmr_h2_client_new(&x.c, &env, &cfg), RMR_OK);
}

/* ---- both -------------------------------------------------------------- */

static void set_up_with(const rmr_h2s_config *cfg)
{
    memset(&x, 0, sizeof x);
    rmr_env env = test_env(&x.a, NULL, NULL);
    assert_int_equal(rmr_h2s_new(&x.s, &env, cfg), RMR_OK);
    new_client();
    x.status = 200;
    x.answers = true;
}

static void set_up(void)
{
    rmr_h2s_config cfg = server_config();
    set_up_with(&cfg);
}

static void tear_down(void)
{
    rmr_h2s_free(x.s);
    rmr_h2_free(x.c);
    assert_int_equal(x.a.live_blocks, 0);
}

static rmr_err feed_server(const uint8_t *p, size_t len, size_t step)
{
    while (len && x.s) {
        size_t n = step < len ? step : len;
        rmr_err e = rmr_h2s_read(x.s, rmr_bytes_of(p, n));
        if (e)
            return e;
        p += n;
        len -= n;
    }
    return RMR_OK;
}

/* Until neither side has anything to say. */
static rmr_err pump_by(size_t out, size_t step)
{
    static uint8_t buf[70000];
    size_t n, m = 1;
    for (;;) {
        assert_int_equal(rmr_h2_write(x.c, rmr_buf_of(buf, out), &n), RMR_OK);
        scribble();
        rmr_err e = feed_server(buf, n, step);
        if (e || !x.s)
            return e;
        e = rmr_h2s_write(x.s, rmr_buf_of(buf, out), &m);
        scribble();
        if (e)
            return e;
        for (size_t at = 0; at < m; at += step) {
            size_t k = step < m - at ? step : m - at;
            (void)rmr_h2_read(x.c, rmr_bytes_of(buf + at, k));
        }
        if (n == 0 && m == 0)
            return RMR_OK;
    }
}

static rmr_err pump(void)
{
    return pump_by(65536, 65536);
}

static int32_t ask(const char *method, size_t body)
{
    static uint8_t bytes[DATA_MAX];
    int32_t id;
    for (size_t i = 0; i < body; i++)
        bytes[i] = (uint8_t)(i * 13 >> 3);
    assert_int_equal(rmr_h2_request(x.c, method, "h:1", "/p?q", NULL, 0,
                                    rmr_bytes_of(bytes, body), NULL, &id),
                     RMR_OK);
    return id;
}

static uint32_t sum(size_t len, uint32_t factor, int shift)
{
    uint32_t s = 0;
    for (size_t i = 0; i < len; i++)
        s = s * 31 + (uint8_t)(i * factor >> shift);
    return s;
}

/* ---- requests and responses -------------------------------------------- */

static void a_request_is_answered_in_pieces_of_any_size(void **s)
{
    (void)s;
    static const size_t steps[] = {1, 3, 64, 100, 5000, 65536};
    for (size_t i = 0; i < 6; i++) {
        set_up();
        x.body_len = x.ready = 70000;
        ask("POST", 5000);
        size_t out = steps[i] < 64 ? 64 : steps[i];
        assert_int_equal(pump_by(out, steps[i]), RMR_OK);
        assert_string_equal(x.log,
                            "1 POST h:1/p?q + content-length=5000\n"
                            "1 done 5000\n  1 got 200 content-type=text/x\n"
                            "1 closed ok\n  1 over ok\n");
        assert_int_equal(x.sum_in, sum(5000, 13, 3));
        assert_int_equal(x.sum_out, sum(70000, 7, 2));
        assert_int_equal(rmr_h2s_open_streams(x.s), 0);
        assert_false(rmr_h2s_is_closed(x.s));
        tear_down();
    }
}

static void no_body_either_way(void **s)
{
    (void)s;
    set_up();
    x.status = 204;
    ask("GET", 0);
    assert_int_equal(pump(), RMR_OK);
    assert_string_equal(x.log, "1 GET h:1/p?q\n1 done 0\n1 closed ok\n"
                               "  1 got 204 content-type=text/x\n"
                               "  1 over ok\n");
    tear_down();
}

/* As a map stream does: it speaks now and then, and other requests go on. */
static void a_stream_that_has_nothing_waits_for_resume(void **s)
{
    (void)s;
    set_up();
    x.body_len = 1000;
    x.ready = 10;
    int32_t id = ask("POST", 0);
    assert_int_equal(pump(), RMR_OK);
    assert_int_equal(x.pulled, 10);
    assert_int_equal(rmr_h2s_open_streams(x.s), 1);
    x.ready = 20;
    assert_int_equal(pump(), RMR_OK);
    assert_int_equal(x.pulled, 10);
    assert_int_equal(rmr_h2s_resume(x.s, id), RMR_OK);
    assert_int_equal(rmr_h2s_resume(x.s, id), RMR_OK);
    assert_int_equal(pump(), RMR_OK);
    assert_int_equal(x.pulled, 20);
    size_t held = x.body_len;
    x.body_len = 0;
    ask("GET", 0);
    x.body_len = held;
    assert_int_equal(rmr_h2s_resume(x.s, 99), RMR_E_BADHANDLE);
    x.ready = 1000;
    assert_int_equal(rmr_h2s_resume(x.s, id), RMR_OK);
    x.answers = false;
    assert_int_equal(pump(), RMR_OK);
    assert_int_equal(x.sum_out, sum(1000, 7, 2));
    assert_non_null(strstr(x.log, "1 closed ok\n"));
    tear_down();
}

static void a_large_request_gets_credit_as_it_is_read(void **s)
{
    (void)s;
    set_up();
    ask("PUT", DATA_MAX); /* three windows */
    assert_int_equal(pump(), RMR_OK);
    assert_int_equal(x.got, DATA_MAX);
    assert_int_equal(x.sum_in, sum(DATA_MAX, 13, 3));
    tear_down();
}

/* The body that nobody waits for is stopped, without an error. */
static void an_answer_may_come_before_the_body(void **s)
{
    (void)s;
    rmr_h2s_config cfg = server_config();
    cfg.window = 1000;
    set_up_with(&cfg);
    x.answers = false;
    x.respond_in = 'q';
    x.status = 403;
    ask("POST", 100000);
    assert_int_equal(pump(), RMR_OK);
    assert_non_null(strstr(x.log, "  1 got 403"));
    assert_non_null(strstr(x.log, "1 closed ok\n"));
    assert_true(x.got < 100000);
    tear_down();
}

static void wrong_answers_are_refused(void **s)
{
    (void)s;
    set_up();
    x.answers = false;
    int32_t id = ask("GET", 0);
    assert_int_equal(pump(), RMR_OK);
    rmr_header bad[] = {
        {rmr_bytes_str("Upper"), rmr_bytes_str("x")},
        {rmr_bytes_str(":status"), rmr_bytes_str("200")},
        {rmr_bytes_str("a"), rmr_bytes_str("x\ny")},
    };
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(rmr_h2s_respond(x.s, id, 200, &bad[i], 1, false),
                         RMR_E_INVAL);
    assert_int_equal(rmr_h2s_respond(x.s, id, 199, NULL, 0, false),
                     RMR_E_INVAL);
    assert_int_equal(rmr_h2s_respond(x.s, id, 600, NULL, 0, false),
                     RMR_E_INVAL);
    assert_int_equal(rmr_h2s_respond(x.s, 3, 200, NULL, 0, false),
                     RMR_E_BADHANDLE);
    assert_int_equal(rmr_h2s_resume(x.s, id), RMR_E_BADHANDLE);
    assert_int_equal(rmr_h2s_respond(x.s, id, 200, NULL, 0, false), RMR_OK);
    assert_int_equal(rmr_h2s_respond(x.s, id, 200, NULL, 0, false),
                     RMR_E_STATE);
    assert_int_equal(pump(), RMR_OK);
    assert_int_equal(rmr_h2s_respond(x.s, id, 200, NULL, 0, false),
                     RMR_E_BADHANDLE);
    tear_down();
}

/* ---- bounds ------------------------------------------------------------ */

static void a_head_too_big_is_answered_by_431(void **s)
{
    (void)s;
    rmr_h2s_config cfg = server_config();
    cfg.max_head_bytes = 512;
    set_up_with(&cfg);
    static char big[600];
    memset(big, 'a', sizeof big - 1);
    rmr_header h = {rmr_bytes_str("x"), rmr_bytes_str(big)};
    int32_t id;
    assert_int_equal(rmr_h2_request(x.c, "GET", "h", "/", &h, 1,
                                    rmr_bytes_of(NULL, 0), NULL, &id),
                     RMR_OK);
    ask("GET", 0);
    assert_int_equal(pump(), RMR_OK);
    assert_non_null(strstr(x.log, "  1 got 431"));
    assert_null(strstr(x.log, "\n1 GET"));
    assert_non_null(strstr(x.log, "3 done 0\n"));
    tear_down();
}

static void a_body_too_long_is_reset(void **s)
{
    (void)s;
    rmr_h2s_config cfg = server_config();
    cfg.max_body = 1000;
    set_up_with(&cfg);
    ask("POST", 1000);
    assert_int_equal(pump(), RMR_OK);
    assert_non_null(strstr(x.log, "1 done 1000\n"));
    x.got = 0;
    ask("POST", 1001);
    assert_int_equal(pump(), RMR_OK);
    assert_non_null(strstr(x.log, "3 closed body\n"));
    assert_null(strstr(x.log, "3 done"));
    tear_down();
}

static void streams_above_the_bound_are_refused(void **s)
{
    (void)s;
    rmr_h2s_config cfg = server_config();
    cfg.max_streams = 2;
    set_up_with(&cfg);
    x.answers = false;
    for (int i = 0; i < 4; i++) /* before SETTINGS are read */
        ask("GET", 0);
    assert_int_equal(pump(), RMR_OK);
    assert_int_equal(rmr_h2s_open_streams(x.s), 2);
    assert_non_null(strstr(x.log, "  5 over refused\n"));
    assert_non_null(strstr(x.log, "  7 over refused\n"));
    tear_down();
}

static void an_idle_connection_is_small(void **s)
{
    (void)s;
    set_up();
    ask("GET", 0);
    assert_int_equal(pump(), RMR_OK);
    print_message("%zu bytes an idle connection\n", x.a.live_bytes);
    assert_true(x.a.live_bytes < 32 * 1024);
    tear_down();
}

/* ---- ends -------------------------------------------------------------- */

static void a_client_that_cancels_is_told(void **s)
{
    (void)s;
    set_up();
    x.body_len = 100;
    x.ready = 1;
    int32_t id = ask("POST", 0);
    assert_int_equal(pump(), RMR_OK);
    assert_int_equal(rmr_h2_cancel(x.c, id), RMR_OK);
    assert_int_equal(pump(), RMR_OK);
    assert_non_null(strstr(x.log, "1 closed reset\n"));
    assert_int_equal(rmr_h2s_resume(x.s, id), RMR_E_BADHANDLE);
    tear_down();
}

static void a_reset_of_ours_ends_the_stream(void **s)
{
    (void)s;
    set_up();
    x.answers = false;
    int32_t id = ask("GET", 0);
    assert_int_equal(pump(), RMR_OK);
    assert_int_equal(rmr_h2s_reset(x.s, id), RMR_OK);
    assert_int_equal(rmr_h2s_reset(x.s, id), RMR_OK);
    assert_int_equal(rmr_h2s_respond(x.s, id, 200, NULL, 0, false),
                     RMR_E_BADHANDLE);
    assert_int_equal(pump(), RMR_OK);
    assert_non_null(strstr(x.log, "1 closed reset\n"));
    assert_non_null(strstr(x.log, "  1 over reset\n"));
    assert_int_equal(rmr_h2s_reset(x.s, id), RMR_E_BADHANDLE);
    tear_down();
}

static void going_away_lets_what_is_open_end(void **s)
{
    (void)s;
    set_up();
    x.body_len = 10;
    x.ready = 1;
    int32_t id = ask("GET", 0), refused;
    assert_int_equal(pump(), RMR_OK);
    assert_int_equal(rmr_h2s_go_away(x.s), RMR_OK);
    assert_int_equal(pump(), RMR_OK);
    assert_false(rmr_h2s_is_closed(x.s));
    assert_int_equal(rmr_h2_request(x.c, "GET", "h", "/", NULL, 0,
                                    rmr_bytes_of(NULL, 0), NULL, &refused),
                     RMR_E_CLOSED);
    x.ready = 10;
    assert_int_equal(rmr_h2s_resume(x.s, id), RMR_OK);
    assert_int_equal(pump(), RMR_OK);
    assert_non_null(strstr(x.log, "1 closed ok\n"));
    assert_true(rmr_h2s_is_closed(x.s));
    tear_down();
}

static void the_end_of_the_stream_closes_all(void **s)
{
    (void)s;
    set_up();
    x.answers = false;
    ask("GET", 0);
    ask("GET", 0);
    assert_int_equal(pump(), RMR_OK);
    assert_int_equal(rmr_h2s_read_eof(x.s), RMR_OK);
    assert_non_null(strstr(x.log, "1 closed lost\n3 closed lost\n"));
    assert_true(rmr_h2s_is_closed(x.s));
    assert_int_equal(rmr_h2s_read(x.s, rmr_bytes_str("x")), RMR_E_CLOSED);
    assert_int_equal(rmr_h2s_go_away(x.s), RMR_E_CLOSED);
    tear_down();
}

static void what_is_no_preface_is_an_error(void **s)
{
    (void)s;
    set_up();
    assert_int_equal(rmr_h2s_read(x.s, rmr_bytes_str("GET / HTTP/1.1\r\n\r\n")),
                     RMR_E_HTTP_H2);
    assert_int_equal(rmr_h2s_read(x.s, rmr_bytes_str("x")), RMR_E_HTTP_H2);
    assert_true(rmr_h2s_is_closed(x.s));
    tear_down();
}

static void a_violation_is_answered_by_goaway(void **s)
{
    (void)s;
    static const uint8_t wrong[] = {0, 0, 5, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5};
    uint8_t out[256];
    size_t n;
    set_up();
    x.answers = false;
    ask("GET", 0);
    assert_int_equal(pump(), RMR_OK);
    /* DATA on stream 0 */
    (void)rmr_h2s_read(x.s, rmr_bytes_of(wrong, sizeof wrong));
    assert_int_equal(rmr_h2s_write(x.s, rmr_buf_of(out, sizeof out), &n),
                     RMR_OK);
    assert_true(n >= 17);
    assert_int_equal(out[3], 7);
    assert_non_null(strstr(x.log, "1 closed lost\n"));
    assert_true(rmr_h2s_is_closed(x.s));
    assert_int_equal(rmr_h2s_read(x.s, rmr_bytes_str("x")), RMR_E_HTTP_H2);
    tear_down();
}

static void a_client_that_only_resets_is_sent_away(void **s)
{
    (void)s;
    rmr_err e = RMR_OK;
    int n = 0;
    set_up();
    x.answers = false;
    for (; n < 400 && e == RMR_OK; n++) {
        int32_t id;
        if (rmr_h2_request(x.c, "GET", "h", "/", NULL, 0, rmr_bytes_of(NULL, 0),
                           NULL, &id) != RMR_OK)
            break;
        e = pump();
        if (e == RMR_OK)
            (void)rmr_h2_cancel(x.c, id);
        if (e == RMR_OK)
            e = pump();
        x.log_len = 0;
    }
    assert_in_range(n, 128, 131);
    assert_true(rmr_h2s_is_closed(x.s));
    tear_down();
}

static void one_that_takes_answers_may_reset_now_and_then(void **s)
{
    (void)s;
    set_up();
    for (int n = 0; n < 400; n++) {
        x.answers = n & 1;
        int32_t id = ask("GET", 0);
        assert_int_equal(pump(), RMR_OK);
        (void)rmr_h2_cancel(x.c, id);
        assert_int_equal(pump(), RMR_OK);
        x.log_len = 0;
    }
    assert_false(rmr_h2s_is_closed(x.s));
    tear_down();
}

static void it_may_be_freed_in_any_callback(void **s)
{
    (void)s;
    static const char at[] = "qbdpc";
    for (int i = 0; at[i]; i++) {
        set_up();
        x.free_in = at[i];
        x.body_len = x.ready = 100;
        ask("POST", 10);
        rmr_err e = pump();
        assert_true(e == RMR_E_CLOSED || !x.s);
        assert_null(x.s);
        tear_down();
    }
}

/* ---- without memory ---------------------------------------------------- */

static void every_allocation_may_fail(void **s)
{
    (void)s;
    bool whole = false;
    for (size_t n = 1; !whole; n++) {
        memset(&x, 0, sizeof x);
        rmr_env env = test_env(&x.a, NULL, NULL);
        rmr_h2s_config cfg = server_config();
        x.status = 200;
        x.answers = true;
        x.body_len = x.ready = 3000;
        x.a.fail_at = n;
        rmr_err e = rmr_h2s_new(&x.s, &env, &cfg);
        if (e) {
            assert_int_equal(e, RMR_E_NOMEM);
            assert_int_equal(x.a.live_blocks, 0);
            continue;
        }
        new_client();
        ask("POST", 2000);
        e = pump();
        assert_true(e == RMR_OK || e == RMR_E_NOMEM || x.a.failed);
        if (e)
            assert_int_equal(x.n_open, 0);
        whole = x.a.failed == 0;
        tear_down();
        assert_true(n < 500);
    }
    assert_non_null(strstr(x.log, "1 closed ok\n"));
}

static void what_a_config_lacks_is_refused(void **s)
{
    (void)s;
    rmr_env env = test_env(NULL, NULL, NULL);
    rmr_h2s *h;
    rmr_h2s_config cfg = server_config();
    cfg.window = (uint32_t)INT32_MAX + 1;
    assert_int_equal(rmr_h2s_new(&h, &env, &cfg), RMR_E_INVAL);
    cfg = server_config();
    cfg.max_streams = 65536;
    assert_int_equal(rmr_h2s_new(&h, &env, &cfg), RMR_E_INVAL);
    cfg = server_config();
    cfg.callbacks.on_pull = NULL;
    assert_int_equal(rmr_h2s_new(&h, &env, &cfg), RMR_E_INVAL);
    rmr_h2s_free(NULL);
}

static int run(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_answered_in_pieces_of_any_size),
        cmocka_unit_test(no_body_either_way),
        cmocka_unit_test(a_stream_that_has_nothing_waits_for_resume),
        cmocka_unit_test(a_large_request_gets_credit_as_it_is_read),
        cmocka_unit_test(an_answer_may_come_before_the_body),
        cmocka_unit_test(wrong_answers_are_refused),
        cmocka_unit_test(a_head_too_big_is_answered_by_431),
        cmocka_unit_test(a_body_too_long_is_reset),
        cmocka_unit_test(streams_above_the_bound_are_refused),
        cmocka_unit_test(an_idle_connection_is_small),
        cmocka_unit_test(a_client_that_cancels_is_told),
        cmocka_unit_test(a_reset_of_ours_ends_the_stream),
        cmocka_unit_test(going_away_lets_what_is_open_end),
        cmocka_unit_test(the_end_of_the_stream_closes_all),
        cmocka_unit_test(what_is_no_preface_is_an_error),
        cmocka_unit_test(a_violation_is_answered_by_goaway),
        cmocka_unit_test(a_client_that_only_resets_is_sent_away),
        cmocka_unit_test(one_that_takes_answers_may_reset_now_and_then),
        cmocka_unit_test(it_may_be_freed_in_any_callback),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(what_a_config_lacks_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* With a frame of each session's own, and with one for both sides. */
int main(void)
{
    rmr_env env = test_env(NULL, NULL, NULL);
    int failed = run();
    if (rmr_h2_frame_new(&shared, &env) != RMR_OK)
        return 1;
    failed += run();
    rmr_h2_frame_free(shared);
    return failed;
}
