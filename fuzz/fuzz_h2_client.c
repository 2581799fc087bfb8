/*
 * The HTTP/2 client under a hostile server: the input is a program.
 *
 * Each step is an operation byte and its arguments: feed raw bytes, feed a
 * frame with a right head, ask, cancel, consume, write, fail an allocation.
 * Checked: every accepted request is closed exactly once, memory stays within
 * the configured bounds and is given back, errors are sticky.
 */
#include <remora/h2.h>
#include <stdlib.h>
#include <string.h>

#include "need.h"
#include "h2_frame.h"
#include "support.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define STREAMS 4
/* The 1,000 acknowledgements that nghttp2 queues, and the tables. */
#define MEMORY_MAX (512 * 1024)

typedef struct run {
    rmr_h2_frame *frame; /* shared; NULL: one of its own */
    rmr_h2 *h;
    test_alloc a;
    size_t asked, closed, open;
    int32_t last;
    size_t unconsumed;
    bool ask_inside, cancel_inside;
} run;

static void ask(run *r, size_t body_len)
{
    static const uint8_t body[256];
    rmr_header h;
    h.name = rmr_bytes_str("a");
    h.value = rmr_bytes_str("b");
    int32_t id;
    rmr_err e = rmr_h2_request(r->h, body_len ? "POST" : "GET", "host", "/", &h,
                               1, rmr_bytes_of(body, body_len), r, &id);
    need(e == RMR_OK
             ? id > 0
             : e == RMR_E_FULL || e == RMR_E_CLOSED || e == RMR_E_NOMEM);
    if (e != RMR_OK)
        return;
    r->asked++;
    r->open++;
    r->last = id;
    need(r->open <= STREAMS);
}

static void on_head(void *user, void *tag, int32_t stream, uint16_t status,
                    const rmr_header *headers, size_t n)
{
    run *r = user;
    need(tag == r && stream > 0 && n <= RMR_H1_MAX_HEADERS);
    need(status >= 200 && status <= 999);
    size_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += headers[i].name.len + headers[i].value.len + 32;
    need(sum <= 512);
    if (r->ask_inside)
        ask(r, 3);
}

static void on_body(void *user, void *tag, int32_t stream, rmr_bytes data)
{
    run *r = user;
    need(tag == r && data.len > 0);
    r->unconsumed += data.len;
    if (r->cancel_inside)
        (void)rmr_h2_cancel(r->h, stream);
}

static void on_close(void *user, void *tag, int32_t stream, rmr_err why)
{
    run *r = user;
    need(tag == r && stream > 0);
    need(why == RMR_OK || why == RMR_E_RESET || why == RMR_E_REFUSED ||
         why == RMR_E_CLOSED || why == RMR_E_HTTP_HEAD);
    r->closed++;
    r->open--;
    if (r->ask_inside)
        ask(r, 0);
}

static void feed(run *r, rmr_bytes in)
{
    uint8_t *exact = malloc(in.len ? in.len : 1);
    need(exact != NULL);
    if (in.len)
        memcpy(exact, in.ptr, in.len);
    rmr_err e = rmr_h2_read(r->h, rmr_bytes_of(exact, in.len));
    free(exact);
    if (e != RMR_OK) {
        need(r->open == 0);
        need(rmr_h2_read(r->h, in) == e);
        need(rmr_h2_is_closed(r->h));
    }
}

static void drain(run *r, size_t step)
{
    uint8_t dst[512];
    size_t len = 1;
    for (int i = 0; i < 64 && len; i++) {
        size_t n = RMR_H2_WRITE_MIN + step;
        rmr_err e = rmr_h2_write(r->h, rmr_buf_of(dst, n), &len);
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

/* A frame with a right length: type, flags, stream, then its payload. */
static void feed_frame(run *r, rmr_bytes *in)
{
    uint8_t frame[9 + 255] = {0};
    rmr_bytes args = take(in, 4);
    if (args.len < 4)
        return;
    rmr_bytes payload = take(in, args.ptr[3]);
    frame[2] = (uint8_t)payload.len;
    frame[3] = args.ptr[0] % 11;
    frame[4] = args.ptr[1];
    frame[8] = args.ptr[2] % 16;
    if (payload.len)
        memcpy(frame + 9, payload.ptr, payload.len);
    feed(r, rmr_bytes_of(frame, 9 + payload.len));
}

static void consume(run *r, size_t n)
{
    rmr_err e = rmr_h2_consume(r->h, r->last ? r->last : 1, n);
    need(e == (n > r->unconsumed ? RMR_E_INVAL : RMR_OK));
    if (e == RMR_OK)
        r->unconsumed -= n;
}

static void step(run *r, rmr_bytes *in)
{
    uint8_t op = take(in, 1).ptr[0];
    size_t arg = op >> 3;
    switch (op & 7) {
    case 0:
        feed(r, take(in, 1 + arg * 4));
        break;
    case 1:
    case 2:
        feed_frame(r, in);
        break;
    case 3:
        ask(r, arg * 8);
        break;
    case 4:
        drain(r, arg * 8);
        break;
    case 5:
        consume(r, arg * 8);
        break;
    case 6:
        (void)rmr_h2_cancel(r->h, (int32_t)arg);
        break;
    default:
        r->a.fail_at = arg ? r->a.calls + arg : 0;
        break;
    }
    need(r->a.live_bytes <= MEMORY_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    run r;
    memset(&r, 0, sizeof r);
    r.ask_inside = data[0] & 1;
    r.cancel_inside = data[0] & 2;
    rmr_h2_config cfg = {.stream_window = 1000,
                         .connection_window = 70000,
                         .max_streams = STREAMS,
                         .max_header_bytes = 512,
                         .callbacks = {&r, on_head, on_body, on_close}};
    rmr_env env = test_env(&r.a, NULL, NULL);
    rmr_env plain = test_env(NULL, NULL, NULL);
    if (data[0] & 8)
        need(rmr_h2_frame_new(&r.frame, &plain) == RMR_OK);
    cfg.frame = r.frame;
    need(rmr_h2_client_new(&r.h, &env, &cfg) == RMR_OK);
    if (data[0] & 4) { /* past the beginning: SETTINGS and its answer */
        ask(&r, 0);
        drain(&r, 448);
        feed(&r, rmr_bytes_of("\0\0\0\4\0\0\0\0\0\0\0\0\4\1\0\0\0\0", 18));
    }
    rmr_bytes in = rmr_bytes_of(data + 1, size - 1);
    for (int i = 0; i < 256 && in.len; i++)
        step(&r, &in);
    r.a.fail_at = 0;
    r.ask_inside = false;
    (void)rmr_h2_read_eof(r.h);
    need(r.open == 0 && r.asked == r.closed);
    need(rmr_h2_is_closed(r.h));
    rmr_h2_free(r.h);
    need(r.a.live_blocks == 0);
    rmr_h2_frame_free(r.frame);
    return 0;
}
