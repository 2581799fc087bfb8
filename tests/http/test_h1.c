/* The HTTP/1.1 parser: each case is an input and the log of its events, run
 * whole, byte by byte, and cut in two at each point. */
#include <remora/http1.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support.h"

typedef struct run {
    char log[8192];
    size_t len;
    bool in_body;
    bool head_request, decline;
    rmr_h1 *h;
    rmr_err answer; /* of on_head */
} run;

static void put(run *r, const char *fmt, ...) RMR_PRINTF(2, 3);
static void put(run *r, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(r->log + r->len, sizeof r->log - r->len, fmt, ap);
    va_end(ap);
    assert_true(n >= 0 && (size_t)n < sizeof r->log - r->len);
    r->len += (size_t)n;
}

static void put_bytes(run *r, rmr_bytes b)
{
    for (size_t i = 0; i < b.len; i++) {
        if (b.ptr[i] >= ' ' && b.ptr[i] < 0x7f)
            put(r, "%c", b.ptr[i]);
        else
            put(r, "\\x%02x", b.ptr[i]);
    }
}

static rmr_err on_head(void *user, const rmr_h1_head *head)
{
    run *r = user;
    if (head->status)
        put(r, "head %u", head->status);
    else
        put(r, "head ");
    put_bytes(r, head->method);
    if (head->target.len)
        put(r, " ");
    put_bytes(r, head->target);
    for (size_t i = 0; i < head->n_headers; i++) {
        put(r, "; ");
        put_bytes(r, head->headers[i].name);
        put(r, "=");
        put_bytes(r, head->headers[i].value);
    }
    put(r, "%s%s\n", head->upgrade ? " [upgrade]" : "",
        head->keep_alive ? " [keep]" : "");
    if (r->decline)
        assert_int_equal(rmr_h1_decline_upgrade(r->h), RMR_OK);
    return r->answer;
}

static rmr_err on_body(void *user, rmr_bytes data)
{
    run *r = user;
    assert_true(data.len > 0);
    if (!r->in_body)
        put(r, "body ");
    r->in_body = true;
    put_bytes(r, data);
    return RMR_OK;
}

static void end_body(run *r)
{
    if (r->in_body)
        put(r, "\n");
    r->in_body = false;
}

static rmr_err on_done(void *user)
{
    run *r = user;
    end_body(r);
    put(r, "done\n");
    return RMR_OK;
}

static const char *name_of(rmr_err e)
{
    switch (e) {
    case RMR_OK:
        return "ok";
    case RMR_E_HTTP_SYNTAX:
        return "syntax";
    case RMR_E_HTTP_HEAD:
        return "head too big";
    case RMR_E_HTTP_BODY:
        return "body too big";
    case RMR_E_HTTP_EOF:
        return "eof";
    default:
        return rmr_err_name(e);
    }
}

struct c {
    const char *name, *in, *log;
    bool requests, head_request, decline;
    size_t head_max;
    uint64_t body_max;
};

static rmr_h1 *new_parser(run *r, const struct c *c, const rmr_env *env)
{
    memset(r, 0, sizeof *r);
    r->decline = c->decline;
    rmr_h1_config cfg;
    memset(&cfg, 0, sizeof cfg);
    cfg.requests = c->requests;
    cfg.head_max = c->head_max;
    cfg.body_max = c->body_max;
    cfg.callbacks.user = r;
    cfg.callbacks.on_head = on_head;
    cfg.callbacks.on_body = on_body;
    cfg.callbacks.on_done = on_done;
    assert_int_equal(rmr_h1_new(&r->h, env, &cfg), RMR_OK);
    if (c->head_request)
        rmr_h1_expect_no_body(r->h);
    return r->h;
}

/* Feeds the input in pieces: `first` bytes, then pieces of `step`. */
static void feed(run *r, const struct c *c, size_t first, size_t step)
{
    size_t len = strlen(c->in), off = 0;
    rmr_err e = RMR_OK;
    while (off < len && e == RMR_OK) {
        size_t n = off == 0 && first ? first : step;
        if (n > len - off)
            n = len - off;
        /* An exact copy, so that a sanitizer sees a read past the piece. */
        uint8_t *piece = malloc(n);
        assert_non_null(piece);
        memcpy(piece, c->in + off, n);
        size_t used;
        e = rmr_h1_read(r->h, rmr_bytes_of(piece, n), &used);
        free(piece);
        assert_true(used <= n);
        off += used;
        if (used < n && e == RMR_OK)
            break;         /* upgraded */
        if (e != RMR_OK) { /* sticky */
            assert_int_equal(rmr_h1_read(r->h, rmr_bytes_str("x"), &used), e);
            assert_int_equal(used, 0);
        }
    }
    if (e == RMR_OK && off == len)
        e = rmr_h1_read_eof(r->h);
    end_body(r);
    put(r, "%s", name_of(e));
    if (off < len && e == RMR_OK)
        put(r, ", rest %s", c->in + off);
}

static void check_case(const struct c *c)
{
    test_alloc a = {0};
    rmr_env env = test_env(&a, NULL, NULL);
    static run r;
    size_t len = strlen(c->in);
    for (size_t cut = 0; cut <= len; cut++) {
        rmr_h1 *h = new_parser(&r, c, &env);
        feed(&r, c, cut, cut == 0 ? (len ? len : 1) : len);
        rmr_h1_free(h);
        if (strcmp(r.log, c->log) != 0)
            fail_msg("%s, cut at %zu:\n%s\nwanted:\n%s", c->name, cut, r.log,
                     c->log);
    }
    rmr_h1 *h = new_parser(&r, c, &env);
    feed(&r, c, 0, 1);
    rmr_h1_free(h);
    if (strcmp(r.log, c->log) != 0)
        fail_msg("%s, byte by byte:\n%s\nwanted:\n%s", c->name, r.log, c->log);
    assert_int_equal(a.live_blocks, 0);
}

/* ---- responses --------------------------------------------------------- */

static const struct c responses[] = {
    {.name = "length",
     .in = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A:  b \t\r\n\r\nhello",
     .log = "head 200; Content-Length=5; X-A=b [keep]\nbody hello\ndone\nok"},
    {.name = "empty header value",
     .in = "HTTP/1.1 200 OK\r\nA:\r\nB: \r\nContent-Length:0\r\n\r\n",
     .log = "head 200; A=; B=; Content-Length=0 [keep]\ndone\nok"},
    {.name = "two in a row",
     .in = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na"
           "\r\nHTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n",
     .log = "head 200; Content-Length=1 [keep]\nbody a\ndone\n"
            "head 404; Content-Length=0 [keep]\ndone\nok"},
    {.name = "no reason",
     .in = "HTTP/1.1 204\r\n\r\n",
     .log = "head 204 [keep]\ndone\nok"},
    {.name = "body to the end",
     .in = "HTTP/1.1 200 OK\r\n\r\nall of this",
     .log = "head 200\nbody all of this\ndone\nok"},
    {.name = "HTTP/1.0",
     .in = "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
     .log = "head 200; Content-Length=2\nbody hi\ndone\nok"},
    {.name = "connection close",
     .in =
         "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi",
     .log = "head 200; Connection=close; Content-Length=2\nbody hi\ndone\nok"},
    {.name = "bytes after connection close",
     .in =
         "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi!",
     .log = "head 200; Connection=close; Content-Length=2\nbody hi\ndone\n"
            "syntax"},
    {.name = "chunked with extension and trailer",
     .in = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
           "4;a=b\r\nWiki\r\n5\r\npedia\r\n0\r\nT: v\r\n\r\n",
     .log = "head 200; Transfer-Encoding=chunked [keep]\n"
            "body Wikipedia\ndone\nok"},
    {.name = "chunked in capitals, then another",
     .in = "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n"
           "A\r\n0123456789\r\n0\r\n\r\nHTTP/1.1 304 \r\n\r\n",
     .log = "head 200; transfer-encoding=Chunked [keep]\n"
            "body 0123456789\ndone\nhead 304 [keep]\ndone\nok"},
    {.name = "answer to HEAD",
     .in = "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"
           "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
     .log = "head 200; Content-Length=500 [keep]\ndone\n"
            "head 200; Content-Length=1 [keep]\nbody x\ndone\nok",
     .head_request = true},
    {.name = "answer to HEAD behind a 103",
     .in = "HTTP/1.1 103 Early\r\nLink: x\r\n\r\n"
           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
     .log = "head 200; Transfer-Encoding=chunked [keep]\ndone\nok",
     .head_request = true},
    {.name = "304 with a length has no body",
     .in = "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"
           "HTTP/1.1 204 \r\nContent-Length: 9\r\n\r\n",
     .log = "head 304; Content-Length=9 [keep]\ndone\n"
            "head 204; Content-Length=9 [keep]\ndone\nok"},
    {.name = "interim responses are not shown",
     .in = "HTTP/1.1 100 Continue\r\nContent-Length: 3\r\n\r\n"
           "HTTP/1.1 102 Processing\r\n\r\n"
           "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
     .log = "head 200; Content-Length=2 [keep]\nbody ok\ndone\nok"},
    {.name = "end behind an interim response",
     .in = "HTTP/1.1 100 Continue\r\n\r\n",
     .log = "eof"},
    {.name = "endless interim responses",
     .in = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
           "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n",
     .log = "head too big",
     .head_max = 80},
    {.name = "101 and what follows",
     .in = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\n"
           "Connection: Upgrade\r\n\r\n\x01next",
     .log = "head 101; Upgrade=DERP; Connection=Upgrade [upgrade]\ndone\n"
            "ok, rest \x01next"},
    {.name = "101 without headers",
     .in = "HTTP/1.1 101 \r\n\r\nnext",
     .log = "head 101 [upgrade]\ndone\nok, rest next"},
    {.name = "101 with a length has no body",
     .in = "HTTP/1.1 101 \r\nUpgrade: x\r\nConnection: upgrade\r\n"
           "Content-Length: 4\r\n\r\nnext",
     .log = "head 101; Upgrade=x; Connection=upgrade; Content-Length=4 "
            "[upgrade]\ndone\nok, rest next"},
    {.name = "101 in chunks has no body",
     .in = "HTTP/1.1 101 \r\nTransfer-Encoding: chunked\r\n\r\n4\r\nnext",
     .log = "head 101; Transfer-Encoding=chunked [upgrade]\ndone\n"
            "ok, rest 4\r\nnext"},
    {.name = "upgrade offered with a 200",
     .in = "HTTP/1.1 200 OK\r\nUpgrade: h2c\r\nConnection: upgrade\r\n"
           "Content-Length: 1\r\n\r\nx",
     .log = "head 200; Upgrade=h2c; Connection=upgrade; Content-Length=1 "
            "[keep]\nbody x\ndone\nok"},
    {.name = "obs-text in a value",
     .in = "HTTP/1.1 200 OK\r\nA: \xc3\xa4\r\nContent-Length: 0\r\n\r\n",
     .log = "head 200; A=\\xc3\\xa4; Content-Length=0 [keep]\ndone\nok"},
};

static const struct c broken_responses[] = {
    {.name = "nothing", .in = "", .log = "ok"},
    {.name = "empty lines alone", .in = "\r\n\r\n", .log = "ok"},
    {.name = "cut in the status line", .in = "HTTP/1.1 2", .log = "eof"},
    {.name = "cut in the first letter", .in = "H", .log = "eof"},
    {.name = "cut in the head", .in = "HTTP/1.1 200 OK\r\nA: b", .log = "eof"},
    {.name = "cut before the last line",
     .in = "HTTP/1.1 200 OK\r\nA: b\r\n",
     .log = "eof"},
    {.name = "cut in a body",
     .in = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
     .log = "head 200; Content-Length=5 [keep]\nbody hel\neof"},
    {.name = "cut in a chunk",
     .in = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
     .log = "head 200; Transfer-Encoding=chunked [keep]\nbody hel\neof"},
    {.name = "cut before the last chunk",
     .in = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n",
     .log = "head 200; Transfer-Encoding=chunked [keep]\nbody hel\neof"},
    {.name = "not HTTP", .in = "SSH-2.0-x\r\n\r\n", .log = "syntax"},
    {.name = "a TLS alert", .in = "\x15\x03\x01", .log = "syntax"},
    {.name = "HTTP/2.0", .in = "HTTP/2.0 200 OK\r\n\r\n", .log = "syntax"},
    {.name = "HTTP/0.9", .in = "HTTP/0.9 200 OK\r\n\r\n", .log = "syntax"},
    {.name = "status of two digits",
     .in = "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
     .log = "syntax"},
    {.name = "status of four digits",
     .in = "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
     .log = "syntax"},
    {.name = "CR without LF in the status line",
     .in = "HTTP/1.1 200 O\rK\r\n\r\n",
     .log = "syntax"},
    {.name = "CR without LF in a value",
     .in = "HTTP/1.1 200 OK\r\nA: b\rContent-Length: 0\r\n\r\n",
     .log = "syntax"},
    {.name = "CR without LF at a line's start",
     .in = "HTTP/1.1 200 OK\r\nA: b\r\n\rX",
     .log = "syntax"},
    {.name = "space before the colon",
     .in = "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
     .log = "syntax"},
    {.name = "folded line",
     .in = "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
     .log = "syntax"},
    {.name = "folded first line",
     .in = "HTTP/1.1 200 OK\r\n A: b\r\n\r\n",
     .log = "syntax"},
    {.name = "empty name",
     .in = "HTTP/1.1 200 OK\r\n: b\r\n\r\n",
     .log = "syntax"},
    {.name = "no colon", .in = "HTTP/1.1 200 OK\r\nA\r\n\r\n", .log = "syntax"},
    {.name = "control character in a value",
     .in = "HTTP/1.1 200 OK\r\nA: \x01\r\n\r\n",
     .log = "syntax"},
    {.name = "two lengths",
     .in = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
     .log = "syntax"},
    {.name = "length and chunks",
     .in = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n"
           "Transfer-Encoding: chunked\r\n\r\n",
     .log = "syntax"},
    {.name = "length with a sign",
     .in = "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
     .log = "syntax"},
    {.name = "length above 64 bits",
     .in = "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\n",
     .log = "syntax"},
    {.name = "chunk size without digits",
     .in = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
     .log = "head 200; Transfer-Encoding=chunked [keep]\nsyntax"},
    {.name = "chunk longer than its size",
     .in = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
     .log = "head 200; Transfer-Encoding=chunked [keep]\nbody a\nsyntax"},
};

static const struct c limits[] = {
    {.name = "a head of exactly the limit",
     .in = "HTTP/1.1 204 N\r\nA: bc\r\n\r\n",
     .log = "head 204; A=bc [keep]\ndone\nok",
     .head_max = 25},
    {.name = "a head of one more",
     .in = "HTTP/1.1 204 N\r\nA: bcd\r\n\r\n",
     .log = "head too big",
     .head_max = 25},
    {.name = "white space counts",
     .in = "HTTP/1.1 204 N\r\nA:                       bcd\r\n\r\n",
     .log = "head too big",
     .head_max = 25},
    {.name = "the limit is for each head",
     .in = "HTTP/1.1 204 N\r\nA: bc\r\n\r\nHTTP/1.1 204 N\r\nA: bc\r\n\r\n",
     .log = "head 204; A=bc [keep]\ndone\nhead 204; A=bc [keep]\ndone\nok",
     .head_max = 25},
    {.name = "a length above the limit",
     .in = "HTTP/1.1 200 \r\nContent-Length: 6\r\n\r\n123456",
     .log = "head 200; Content-Length=6 [keep]\nbody too big",
     .body_max = 5},
    {.name = "a length at the limit",
     .in = "HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\n12345",
     .log = "head 200; Content-Length=5 [keep]\nbody 12345\ndone\nok",
     .body_max = 5},
    {.name = "chunks above the limit",
     .in = "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n"
           "3\r\n123\r\n3\r\n456\r\n0\r\n\r\n",
     .log = "head 200; Transfer-Encoding=chunked [keep]\nbody 12345\n"
            "body too big",
     .body_max = 5},
    {.name = "an endless body above the limit",
     .in = "HTTP/1.1 200 \r\n\r\n123456",
     .log = "head 200\nbody 12345\nbody too big",
     .body_max = 5},
    {.name = "the limit does not hold for HEAD",
     .in = "HTTP/1.1 200 \r\nContent-Length: 600\r\n\r\n",
     .log = "head 200; Content-Length=600 [keep]\ndone\nok",
     .head_request = true,
     .body_max = 5},
    {.name = "long chunk extensions",
     .in = "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n"
           "1;abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz\r\nx",
     .log = "head 200; Transfer-Encoding=chunked [keep]\nhead too big",
     .head_max = 50},
    {.name = "long trailers",
     .in = "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n"
           "0\r\nA: abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz\r\n",
     .log = "head 200; Transfer-Encoding=chunked [keep]\nhead too big",
     .head_max = 50},
};

static const struct c requests[] = {
    {.name = "GET",
     .in = "GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n",
     .log = "head GET /a?b; Host=x [keep]\ndone\nok",
     .requests = true},
    {.name = "POST and GET",
     .in = "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"
           "GET / HTTP/1.1\r\n\r\n",
     .log = "head POST /; Content-Length=3 [keep]\nbody abc\ndone\n"
            "head GET / [keep]\ndone\nok",
     .requests = true},
    {.name = "upgrade",
     .in = "POST /ts2021 HTTP/1.1\r\nConnection: upgrade\r\n"
           "Content-Length: 0\r\nUpgrade: x\r\n\r\nnext",
     .log = "head POST /ts2021; Connection=upgrade; Content-Length=0; "
            "Upgrade=x [upgrade] [keep]\ndone\nok, rest next",
     .requests = true},
    {.name = "upgrade with a body",
     .in = "POST / HTTP/1.1\r\nConnection: upgrade\r\nContent-Length: 2\r\n"
           "Upgrade: x\r\n\r\nhinext",
     .log = "head POST /; Connection=upgrade; Content-Length=2; Upgrade=x "
            "[upgrade] [keep]\nbody hi\ndone\nok, rest next",
     .requests = true},
    {.name = "declined upgrade",
     .in = "GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"
           "GET /b HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
     .log = "head GET /; Connection=upgrade; Upgrade=h2c [upgrade] [keep]\n"
            "done\n"
            "head GET /b; Connection=upgrade; Upgrade=h2c [upgrade] [keep]\n"
            "done\nok",
     .requests = true,
     .decline = true},
    {.name = "CONNECT",
     .in = "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\nnext",
     .log = "head CONNECT a:443; Host=a [upgrade] [keep]\ndone\nok, rest next",
     .requests = true},
    {.name = "the HTTP/2 preface",
     .in = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
     .log = "syntax",
     .requests = true},
    {.name = "HTTP/2.0",
     .in = "GET / HTTP/2.0\r\n\r\n",
     .log = "syntax",
     .requests = true},
    {.name = "no version",
     .in = "GET /\r\n\r\n",
     .log = "syntax",
     .requests = true},
    {.name = "unknown method",
     .in = "FROB / HTTP/1.1\r\n\r\n",
     .log = "syntax",
     .requests = true},
    {.name = "space in the target",
     .in = "GET /a b HTTP/1.1\r\n\r\n",
     .log = "syntax",
     .requests = true},
    {.name = "chunked is not last",
     .in = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
     .log = "syntax",
     .requests = true},
    {.name = "a body above the limit before an upgrade",
     .in = "POST / HTTP/1.1\r\nConnection: upgrade\r\nContent-Length: 6\r\n"
           "Upgrade: x\r\n\r\n123456",
     .log = "head POST /; Connection=upgrade; Content-Length=6; Upgrade=x "
            "[upgrade] [keep]\nbody too big",
     .requests = true,
     .body_max = 5},
    {.name = "smuggling by a lone CR behind an empty value (CVE-2023-30589)",
     .in = "GET / HTTP/1.1\r\nA:\rContent-Length: 5\r\n\r\n",
     .log = "syntax",
     .requests = true},
    {.name = "smuggling by a lone CR",
     .in = "GET / HTTP/1.1\r\nA: b\r\rContent-Length: 5\r\n\r\n",
     .log = "syntax",
     .requests = true},
};

static void run_cases(const struct c *c, size_t n)
{
    for (size_t i = 0; i < n; i++)
        check_case(&c[i]);
}

static void responses_give_their_events_however_they_are_cut(void **s)
{
    (void)s;
    run_cases(responses, sizeof responses / sizeof responses[0]);
}

static void broken_responses_are_refused_at_the_same_byte(void **s)
{
    (void)s;
    run_cases(broken_responses,
              sizeof broken_responses / sizeof broken_responses[0]);
}

static void limits_hold_to_the_byte(void **s)
{
    (void)s;
    run_cases(limits, sizeof limits / sizeof limits[0]);
}

static void requests_give_their_events_however_they_are_cut(void **s)
{
    (void)s;
    run_cases(requests, sizeof requests / sizeof requests[0]);
}

static void sixty_four_headers_fit_and_one_more_does_not(void **s)
{
    (void)s;
    for (size_t n = RMR_H1_MAX_HEADERS; n <= RMR_H1_MAX_HEADERS + 1; n++) {
        char text[1024] = "HTTP/1.1 204 \r\n";
        for (size_t i = 0; i < n; i++)
            strcat(text, "A: b\r\n");
        strcat(text, "\r\n");
        rmr_env env = test_env(NULL, NULL, NULL);
        static run r;
        struct c c = {.name = "many"};
        rmr_h1 *h = new_parser(&r, &c, &env);
        size_t used;
        assert_int_equal(rmr_h1_read(h, rmr_bytes_str(text), &used),
                         n == RMR_H1_MAX_HEADERS ? RMR_OK : RMR_E_HTTP_HEAD);
        rmr_h1_free(h);
    }
}

static void a_callback_s_error_stops_the_parser_for_good(void **s)
{
    (void)s;
    rmr_env env = test_env(NULL, NULL, NULL);
    static run r;
    struct c c = {.name = "refused"};
    rmr_h1 *h = new_parser(&r, &c, &env);
    r.answer = RMR_E_DENIED;
    size_t used;
    rmr_bytes in =
        rmr_bytes_str("HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nab");
    assert_int_equal(rmr_h1_read(h, in, &used), RMR_E_DENIED);
    assert_int_equal(used, in.len - 2);
    assert_int_equal(rmr_h1_read(h, in, &used), RMR_E_DENIED);
    assert_int_equal(rmr_h1_read_eof(h), RMR_E_DENIED);
    assert_string_equal(r.log, "head 200; Content-Length=2 [keep]\n");
    rmr_h1_free(h);
}

static void nothing_is_read_behind_the_end(void **s)
{
    (void)s;
    rmr_env env = test_env(NULL, NULL, NULL);
    static run r;
    struct c c = {.name = "end"};
    rmr_h1 *h = new_parser(&r, &c, &env);
    size_t used;
    assert_int_equal(rmr_h1_read_eof(h), RMR_OK);
    assert_int_equal(rmr_h1_read(h, rmr_bytes_str("H"), &used), RMR_E_STATE);
    assert_int_equal(rmr_h1_read_eof(h), RMR_OK);
    assert_int_equal(rmr_h1_decline_upgrade(h), RMR_E_STATE);
    rmr_h1_free(h);
}

/* ---- from inside callbacks --------------------------------------------- */

struct inside {
    rmr_h1 *h;
    char free_at; /* 'h', 'b', 'd' */
    size_t reentrant;
};

static void meddle(struct inside *in, char where)
{
    size_t used;
    rmr_err e = rmr_h1_read(in->h, rmr_bytes_str("x"), &used);
    rmr_err eof = rmr_h1_read_eof(in->h);
    in->reentrant += e == RMR_E_REENTRANT && eof == RMR_E_REENTRANT;
    if (in->free_at == where)
        rmr_h1_free(in->h);
}

static rmr_err meddle_head(void *user, const rmr_h1_head *head)
{
    (void)head;
    meddle(user, 'h');
    return RMR_OK;
}

static rmr_err meddle_body(void *user, rmr_bytes data)
{
    (void)data;
    meddle(user, 'b');
    return RMR_OK;
}

static rmr_err meddle_done(void *user)
{
    meddle(user, 'd');
    return RMR_OK;
}

static void a_parser_may_be_freed_in_each_of_its_callbacks(void **s)
{
    (void)s;
    static const struct {
        const char *in;
        char at;
        size_t calls;
    } t[] = {
        {"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nabH", 'h', 1},
        {"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nabH", 'b', 2},
        {"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nabH", 'd', 3},
        {"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nabH", '-', 3},
    };
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        test_alloc a = {0};
        rmr_env env = test_env(&a, NULL, NULL);
        struct inside in = {NULL, t[i].at, 0};
        rmr_h1_config cfg = {
            .callbacks = {&in, meddle_head, meddle_body, meddle_done}};
        assert_int_equal(rmr_h1_new(&in.h, &env, &cfg), RMR_OK);
        size_t used;
        rmr_err e = rmr_h1_read(in.h, rmr_bytes_str(t[i].in), &used);
        assert_int_equal(e, t[i].at == '-' ? RMR_OK : RMR_E_CLOSED);
        assert_int_equal(in.reentrant, t[i].calls);
        if (t[i].at == '-')
            rmr_h1_free(in.h);
        assert_int_equal(a.live_blocks, 0);
    }
}

static void a_parser_may_be_freed_by_the_on_done_of_the_end(void **s)
{
    (void)s;
    test_alloc a = {0};
    rmr_env env = test_env(&a, NULL, NULL);
    struct inside in = {NULL, 'd', 0};
    rmr_h1_config cfg = {
        .callbacks = {&in, meddle_head, meddle_body, meddle_done}};
    assert_int_equal(rmr_h1_new(&in.h, &env, &cfg), RMR_OK);
    size_t used;
    assert_int_equal(
        rmr_h1_read(in.h, rmr_bytes_str("HTTP/1.1 200 \r\n\r\nx"), &used),
        RMR_OK);
    assert_int_equal(rmr_h1_read_eof(in.h), RMR_E_CLOSED);
    assert_int_equal(a.live_blocks, 0);
}

static void callbacks_may_be_left_out(void **s)
{
    (void)s;
    rmr_env env = test_env(NULL, NULL, NULL);
    rmr_h1_config cfg = {0};
    rmr_h1 *h;
    assert_int_equal(rmr_h1_new(&h, &env, &cfg), RMR_OK);
    rmr_bytes in =
        rmr_bytes_str("HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nab");
    size_t used;
    assert_int_equal(rmr_h1_read(h, in, &used), RMR_OK);
    assert_int_equal(used, in.len);
    assert_int_equal(rmr_h1_read(h, rmr_bytes_of(NULL, 0), &used), RMR_OK);
    rmr_h1_free(h);
    rmr_h1_free(NULL);
}

static void creation_survives_each_failing_allocation(void **s)
{
    (void)s;
    for (size_t n = 1;; n++) {
        test_alloc a = {.fail_at = n};
        rmr_env env = test_env(&a, NULL, NULL);
        rmr_h1_config cfg = {0};
        rmr_h1 *h;
        rmr_err e = rmr_h1_new(&h, &env, &cfg);
        if (e == RMR_OK) {
            rmr_h1_free(h);
            assert_int_equal(a.live_blocks, 0);
            assert_int_equal(n, 3);
            return;
        }
        assert_int_equal(e, RMR_E_NOMEM);
        assert_null(h);
        assert_int_equal(a.live_blocks, 0);
    }
}

/* ---- looking into a head ----------------------------------------------- */

static rmr_err look(void *user, const rmr_h1_head *head)
{
    size_t *calls = user;
    (*calls)++;
    rmr_bytes v = rmr_h1_header(head, "x-two");
    assert_true(rmr_bytes_eq_str(v, "first"));
    assert_int_equal(rmr_h1_header(head, "absent").len, 0);
    assert_int_equal(rmr_h1_header(head, "x-tw").len, 0);
    assert_true(rmr_h1_header_has(head, "connection", "UPGRADE"));
    assert_true(rmr_h1_header_has(head, "Connection", "close"));
    assert_true(rmr_h1_header_has(head, "X-Two", "second"));
    assert_false(rmr_h1_header_has(head, "connection", "upgrad"));
    assert_false(rmr_h1_header_has(head, "connection", "b"));
    assert_true(rmr_h1_header_has(head, "connection", "a b"));
    assert_false(rmr_h1_header_has(head, "absent", "a"));
    return RMR_OK;
}

static void headers_are_found_whatever_their_case(void **s)
{
    (void)s;
    rmr_env env = test_env(NULL, NULL, NULL);
    size_t calls = 0, used;
    rmr_h1_config cfg = {.callbacks = {&calls, look, NULL, NULL}};
    rmr_h1 *h;
    assert_int_equal(rmr_h1_new(&h, &env, &cfg), RMR_OK);
    assert_int_equal(
        rmr_h1_read(h,
                    rmr_bytes_str("HTTP/1.1 204 \r\nX-TWO: first\r\n"
                                  "Connection: keep-alive ,\tUpgrade, a b,\r\n"
                                  "connection: close\r\nx-two: second\r\n\r\n"),
                    &used),
        RMR_OK);
    assert_int_equal(calls, 1);
    rmr_h1_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(responses_give_their_events_however_they_are_cut),
        cmocka_unit_test(broken_responses_are_refused_at_the_same_byte),
        cmocka_unit_test(limits_hold_to_the_byte),
        cmocka_unit_test(requests_give_their_events_however_they_are_cut),
        cmocka_unit_test(sixty_four_headers_fit_and_one_more_does_not),
        cmocka_unit_test(a_callback_s_error_stops_the_parser_for_good),
        cmocka_unit_test(nothing_is_read_behind_the_end),
        cmocka_unit_test(a_parser_may_be_freed_in_each_of_its_callbacks),
        cmocka_unit_test(a_parser_may_be_freed_by_the_on_done_of_the_end),
        cmocka_unit_test(callbacks_may_be_left_out),
        cmocka_unit_test(creation_survives_each_failing_allocation),
        cmocka_unit_test(headers_are_found_whatever_their_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
