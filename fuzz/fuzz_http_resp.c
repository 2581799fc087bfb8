/*
 * HTTP/1.1 heads and bodies, and URLs.
 *
 * The first byte says what is read and how; the rest is the input.  Checked:
 * any cut of the input gives the same events, limits hold, a head that we build
 * from a parsed one is parsed alike, and a URL that we write again is the same.
 */
#include <remora/http1.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "need.h"
#include "support.h"

#define HEAD_MAX 1024
#define BODY_MAX 2048

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct run {
    uint64_t hash; /* of all events, without the cuts of bodies */
    size_t body;
    size_t messages;
    bool decline, rebuild;
    rmr_h1 *h;
} run;

static void mix(run *r, const void *p, size_t n)
{
    const uint8_t *b = p;
    for (size_t i = 0; i < n; i++)
        r->hash = (r->hash ^ b[i]) * UINT64_C(0x100000001b3);
}

static void mix_num(run *r, uint64_t v)
{
    mix(r, &v, sizeof v);
}

static void mix_bytes(run *r, rmr_bytes b)
{
    mix_num(r, b.len);
    mix(r, b.ptr, b.len);
}

static void mix_head(run *r, const rmr_h1_head *head)
{
    mix_num(r, head->status);
    mix_bytes(r, head->method);
    mix_bytes(r, head->target);
    for (size_t i = 0; i < head->n_headers; i++) {
        mix_bytes(r, head->headers[i].name);
        mix_bytes(r, head->headers[i].value);
    }
}

static rmr_err hash_head(void *user, const rmr_h1_head *head)
{
    mix_head(user, head);
    return RMR_E_CLOSED; /* that was all */
}

/* What we write of a head is read as that head. */
static void rebuild_head(const rmr_h1_head *head)
{
    char text[HEAD_MAX * 2];
    size_t len, used;
    run want = {.hash = 1}, got = {.hash = 1};
    need(rmr_h1_build_response(rmr_buf_of(text, sizeof text), &len,
                               head->status, "x", head->headers,
                               head->n_headers, NULL) == RMR_OK);
    mix_head(&want, head);
    rmr_h1_config cfg = {.head_max = sizeof text,
                         .callbacks = {&got, hash_head, NULL, NULL}};
    rmr_env env = test_env(NULL, NULL, NULL);
    rmr_h1 *h;
    need(rmr_h1_new(&h, &env, &cfg) == RMR_OK);
    need(rmr_h1_read(h, rmr_bytes_of(text, len), &used) == RMR_E_CLOSED);
    need(used == len && want.hash == got.hash);
    rmr_h1_free(h);
}

static rmr_err on_head(void *user, const rmr_h1_head *head)
{
    run *r = user;
    r->body = 0;
    r->messages++;
    mix_head(r, head);
    mix_num(r, (uint64_t)head->upgrade << 1 | head->keep_alive);
    need(head->n_headers <= RMR_H1_MAX_HEADERS);
    (void)rmr_h1_header(head, "content-length");
    (void)rmr_h1_header_has(head, "connection", "upgrade");
    if (r->decline)
        need(rmr_h1_decline_upgrade(r->h) == RMR_OK);
    if (r->rebuild && head->status)
        rebuild_head(head);
    return RMR_OK;
}

static rmr_err on_body(void *user, rmr_bytes data)
{
    run *r = user;
    need(data.len > 0);
    r->body += data.len;
    need(r->body <= BODY_MAX);
    mix(r, data.ptr, data.len);
    return RMR_OK;
}

static rmr_err on_done(void *user)
{
    run *r = user;
    mix_num(r, r->body);
    return RMR_OK;
}

/* step 0: cuts that the input decides. */
static uint64_t run_once(uint8_t mode, rmr_bytes in, size_t step, bool rebuild)
{
    run r = {.hash = 1, .rebuild = rebuild};
    rmr_h1_config cfg = {.requests = mode & 1,
                         .head_max = HEAD_MAX,
                         .body_max = BODY_MAX,
                         .callbacks = {&r, on_head, on_body, on_done}};
    r.decline = (mode & 3) == 3;
    test_alloc a = {0};
    rmr_env env = test_env(&a, NULL, NULL);
    need(rmr_h1_new(&r.h, &env, &cfg) == RMR_OK);
    if ((mode & 3) == 2)
        rmr_h1_expect_no_body(r.h);
    size_t off = 0;
    rmr_err e = RMR_OK;
    while (off < in.len && e == RMR_OK) {
        size_t n = step ? step : 1 + in.ptr[off] % 19u, used;
        if (n > in.len - off)
            n = in.len - off;
        uint8_t *exact = malloc(n);
        need(exact != NULL);
        memcpy(exact, in.ptr + off, n);
        e = rmr_h1_read(r.h, rmr_bytes_of(exact, n), &used);
        free(exact);
        need(used <= n);
        off += used;
        if (used < n && e == RMR_OK)
            break;
    }
    if (e == RMR_OK && off == in.len)
        e = rmr_h1_read_eof(r.h);
    else if (e == RMR_OK)
        mix_num(&r, off); /* where an upgrade begins */
    mix_num(&r, (uint64_t)e);
    rmr_h1_free(r.h);
    need(a.live_blocks == 0);
    return r.hash;
}

static void url(rmr_bytes in)
{
    rmr_url u, again;
    if (rmr_url_parse(in, &u) != RMR_OK)
        return;
    char auth[272], text[1024];
    int n = snprintf(text, sizeof text, "%s://%s%s", u.https ? "https" : "http",
                     rmr_url_authority(&u, auth), u.path);
    need(n > 0 && (size_t)n < sizeof text);
    need(rmr_url_parse(rmr_bytes_str(text), &again) == RMR_OK);
    need(u.https == again.https && u.port == again.port &&
         strcmp(u.host, again.host) == 0 && strcmp(u.path, again.path) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    rmr_bytes in = rmr_bytes_of(data + 1, size - 1);
    if (data[0] & 4) {
        url(in);
        return 0;
    }
    uint64_t whole = run_once(data[0], in, in.len ? in.len : 1, true);
    need(run_once(data[0], in, 1, false) == whole);
    need(run_once(data[0], in, 0, false) == whole);
    return 0;
}
