#include "h2_pair.h"

#include "h2_frame.h"

pair x;
rmr_h2_frame *h2_shared;

static void scribble(void)
{
    if (h2_shared)
        memset(h2_shared->bytes, 0xdd, sizeof h2_shared->bytes);
}

int h2_run_both(int (*run)(void))
{
    rmr_env env = test_env(NULL, NULL, NULL);
    int failed = run();
    if (rmr_h2_frame_new(&h2_shared, &env) != RMR_OK)
        return 1;
    h2_peer_after_write = scribble;
    failed += run();
    rmr_h2_frame_free(h2_shared);
    return failed;
}

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

rmr_h2_config config(void)
{
    rmr_h2_config cfg;
    memset(&cfg, 0, sizeof cfg);
    cfg.callbacks.user = &x;
    cfg.callbacks.on_head = on_head;
    cfg.callbacks.on_body = on_body;
    cfg.callbacks.on_close = on_close;
    cfg.frame = h2_shared;
    return cfg;
}

void set_up_with(const rmr_h2_config *cfg, const h2_peer_config *pc)
{
    memset(&x, 0, sizeof x);
    x.consume = true;
    x.env = test_env(&x.a, NULL, NULL);
    h2_peer_init(&x.p, pc);
    assert_int_equal(rmr_h2_client_new(&x.h, &x.env, cfg), RMR_OK);
}

void set_up(void)
{
    rmr_h2_config cfg = config();
    h2_peer_config pc = {0};
    set_up_with(&cfg, &pc);
}

void tear_down(void)
{
    rmr_h2_free(x.h);
    h2_peer_free(&x.p);
    assert_int_equal(x.a.live_blocks, 0);
}

int32_t get(const char *path, const char *tag)
{
    int32_t id;
    void *t = NULL;
    memcpy(&t, &tag, sizeof t); /* without its const */
    assert_int_equal(rmr_h2_request(x.h, "GET", "host", path, NULL, 0,
                                    rmr_bytes_of(NULL, 0), t, &id),
                     RMR_OK);
    return id;
}

void pump(void)
{
    assert_int_equal(h2_pump(&x.p, x.h, 4096, 4096), RMR_OK);
}

void clear_logs(void)
{
    x.len = x.p.log_len = 0;
    x.log[0] = x.p.log[0] = '\0';
}
