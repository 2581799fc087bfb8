/*
 * The HTTP/2 server under a hostile client: the input is a program.
 *
 * Each step is an operation byte and its arguments: raw bytes, a frame with a
 * right head, a request by HPACK without compression, answers, resumes,
 * resets, writes, a failing allocation.  Checked: every request that was shown
 * is closed exactly once, and nothing is said of it afterwards; no more than
 * the bounds allow; memory is bounded and given back; errors are sticky.
 */
#include <remora/h2_srv.h>

#include <stdlib.h>
#include <string.h>

#include "need.h"
#include "h2_frame.h"
#include "support.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define STREAMS 4
#define BODY_MAX 300
#define MEMORY_MAX (512 * 1024)

typedef struct request {
    int32_t id; /* 0: free */
    size_t got;
    bool done;
} request;

typedef struct run {
    rmr_h2_frame *frame; /* shared; NULL: one of its own */
    rmr_h2s *h;
    test_alloc a;
    request open[STREAMS];
    uint8_t ready; /* bytes that the next pull gives; above 99: the end */
    bool answer_inside, reset_inside;
    int32_t next;
} run;

static request *find(run *r, int32_t id)
{
    for (int i = 0; i < STREAMS; i++) {
        if (r->open[i].id == id)
            return &r->open[i];
    }
    return NULL;
}

static void answer(run *r, int32_t id, bool body)
{
    rmr_header h;
    h.name = rmr_bytes_str("a");
    h.value = rmr_bytes_str("b");
    rmr_err e = rmr_h2s_respond(r->h, id, 200, &h, 1, body);
    need(e == RMR_OK || e == RMR_E_STATE || e == RMR_E_BADHANDLE ||
         e == RMR_E_NOMEM);
}

static void inside(run *r, int32_t id)
{
    if (r->answer_inside)
        answer(r, id, true);
    if (r->reset_inside)
        (void)rmr_h2s_reset(r->h, id);
}

static void *on_request(void *user, int32_t id, const rmr_h2s_request *q)
{
    run *r = user;
    size_t sum = 0;
    need(id > 0 && !find(r, id) && q->n_headers <= RMR_H1_MAX_HEADERS);
    need(q->method.len > 0);
    for (size_t i = 0; i < q->n_headers; i++) {
        need(q->headers[i].name.len && q->headers[i].name.ptr[0] != ':');
        sum += q->headers[i].name.len + q->headers[i].value.len + 32;
    }
    need(sum <= 512);
    request *slot = find(r, 0);
    need(slot != NULL);
    *slot = (request){id, 0, false};
    inside(r, id);
    return slot;
}

static void on_body(void *user, void *tag, int32_t id, rmr_bytes data)
{
    run *r = user;
    request *q = tag;
    need(q == find(r, id) && !q->done && data.len > 0);
    q->got += data.len;
    need(q->got <= BODY_MAX);
    inside(r, id);
}

static void on_done(void *user, void *tag, int32_t id)
{
    run *r = user;
    request *q = tag;
    need(q == find(r, id) && !q->done);
    q->done = true;
    inside(r, id);
}

static size_t on_pull(void *user, void *tag, int32_t id, rmr_buf dst, bool *end)
{
    run *r = user;
    need(tag == find(r, id) && dst.len > 0);
    size_t n = r->ready > 99 ? 7 : r->ready;
    n = n > dst.len ? dst.len : n;
    memset(dst.ptr, 'x', n);
    *end = r->ready > 99;
    r->ready = 0;
    return n;
}

static void on_close(void *user, void *tag, int32_t id, rmr_err why)
{
    run *r = user;
    request *q = tag;
    need(q == find(r, id));
    need(why == RMR_OK || why == RMR_E_RESET || why == RMR_E_HTTP_BODY ||
         why == RMR_E_CLOSED);
    q->id = 0;
}

static size_t n_open(const run *r)
{
    size_t n = 0;
    for (int i = 0; i < STREAMS; i++)
        n += r->open[i].id != 0;
    return n;
}

static void feed(run *r, rmr_bytes in)
{
    uint8_t *exact = malloc(in.len ? in.len : 1);
    need(exact != NULL);
    if (in.len)
        memcpy(exact, in.ptr, in.len);
    rmr_err e = rmr_h2s_read(r->h, rmr_bytes_of(exact, in.len));
    free(exact);
    if (e == RMR_OK)
        return;
    need(n_open(r) == 0);
    need(rmr_h2s_read(r->h, rmr_bytes_str("x")) == e);
}

static void drain(run *r, size_t step)
{
    uint8_t dst[512];
    size_t len = 1;
    for (int i = 0; i < 64 && len; i++) {
        size_t n = RMR_H2S_WRITE_MIN + step;
        rmr_err e = rmr_h2s_write(r->h, rmr_buf_of(dst, n), &len);
        need(len <= n && (e == RMR_OK || len == 0));
        if (r->frame) /* no one's between two calls */
            memset(r->frame->bytes, 0xdd, sizeof r->frame->bytes);
    }
}

static rmr_bytes take(rmr_bytes *in, size_t n)
{
    if (n > in->len)
        n = in->len;
    rmr_bytes head = rmr_bytes_of(in->ptr, n);
    in->ptr += n;
    in->len -= n;
    return head;
}

static void frame(run *r, uint8_t type, uint8_t flags, int32_t stream,
                  rmr_bytes payload)
{
    uint8_t f[9 + 255] = {0};
    f[2] = (uint8_t)payload.len;
    f[3] = type;
    f[4] = flags;
    f[8] = (uint8_t)stream;
    if (payload.len)
        memcpy(f + 9, payload.ptr, payload.len);
    feed(r, rmr_bytes_of(f, 9 + payload.len));
}

/* Type, flags, stream, length, payload. */
static void any_frame(run *r, rmr_bytes *in)
{
    rmr_bytes args = take(in, 4);
    if (args.len == 4)
        frame(r, args.ptr[0] % 11, args.ptr[1], args.ptr[2] % 64,
              take(in, args.ptr[3]));
}

/* POST / https, in HPACK's static table. */
static void ask(run *r, bool end)
{
    static const uint8_t head[] = {0x83, 0x84, 0x87};
    frame(r, 1, end ? 5 : 4, r->next, rmr_bytes_of(head, sizeof head));
    r->next += 2;
}

static void step(run *r, rmr_bytes *in)
{
    uint8_t op = take(in, 1).ptr[0];
    size_t arg = op >> 3;
    int32_t id = (int32_t)(arg * 2 + 1);
    switch (op & 7) {
    case 0:
        feed(r, take(in, 1 + arg * 4));
        break;
    case 1:
        any_frame(r, in);
        break;
    case 2:
        if (r->next < 250)
            ask(r, arg & 1);
        break;
    case 3:
        answer(r, id, arg & 1);
        break;
    case 4:
        drain(r, arg * 8);
        break;
    case 5:
        r->ready = take(in, 1).len ? in->ptr[-1] : 0;
        (void)rmr_h2s_resume(r->h, id);
        break;
    case 6:
        (void)(arg == 31 ? rmr_h2s_go_away(r->h) : rmr_h2s_reset(r->h, id));
        break;
    default:
        r->a.fail_at = arg ? r->a.calls + arg : 0;
        break;
    }
    need(n_open(r) <= rmr_h2s_open_streams(r->h) &&
         rmr_h2s_open_streams(r->h) <= STREAMS);
    need(r->a.live_bytes <= MEMORY_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    run r;
    memset(&r, 0, sizeof r);
    r.next = 1;
    r.answer_inside = data[0] & 1;
    r.reset_inside = data[0] & 2;
    rmr_h2s_config cfg = {
        .window = 1000,
        .max_streams = STREAMS,
        .max_head_bytes = 512,
        .max_body = BODY_MAX,
        .callbacks = {&r, on_request, on_body, on_done, on_pull, on_close}};
    rmr_env env = test_env(&r.a, NULL, NULL);
    rmr_env plain = test_env(NULL, NULL, NULL);
    if (data[0] & 8)
        need(rmr_h2_frame_new(&r.frame, &plain) == RMR_OK);
    cfg.frame = r.frame;
    need(rmr_h2s_new(&r.h, &env, &cfg) == RMR_OK);
    if (data[0] & 4) { /* past the beginning: the preface and SETTINGS */
        feed(&r, rmr_bytes_str("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
        feed(&r, rmr_bytes_of("\0\0\0\4\0\0\0\0\0\0\0\0\4\1\0\0\0\0", 18));
    }
    rmr_bytes in = rmr_bytes_of(data + 1, size - 1);
    for (int i = 0; i < 256 && in.len; i++)
        step(&r, &in);
    r.a.fail_at = 0;
    (void)rmr_h2s_read_eof(r.h);
    need(n_open(&r) == 0 && rmr_h2s_is_closed(r.h));
    rmr_h2s_free(r.h);
    need(r.a.live_blocks == 0);
    rmr_h2_frame_free(r.frame);
    return 0;
}
