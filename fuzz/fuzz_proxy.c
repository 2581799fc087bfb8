/*
 * The answer of an HTTP proxy to CONNECT, through a link as a layer has it.
 *
 * The first byte says how the input is cut (0: not at all), how the link is set
 * up, and how the stream ends; the rest is what the proxy says.  Checked: a cut
 * changes nothing; the tunnel opens for a 2xx answer alone, and not before its
 * head is over; what follows the head reaches the layer, and nothing of the
 * head does; a head has a bound; the link ends once, and gives all back.
 */
#include "mc_internal.h"
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ENDS 0x80  /* the proxy closes at the end */
#define TLS 0x40   /* the host is reached by TLS: the rest is no handshake */
#define AGAIN 0x20 /* the layer dials anew inside closed */

static void need(bool ok)
{
    if (!ok)
        abort();
}

typedef struct run {
    test_alloc mem;
    test_rng rng;
    rmr_mc *mc;
    rmr_mc_link *link;
    rmr_time now;
    uint8_t flags;
    uint64_t stream; /* open at the adapter; 0: none */
    uint64_t connecting;
    size_t credit, asked;
    int opened, closed, dialled;
    uint8_t *got; /* by the layer */
    size_t got_len;
    rmr_err why;
} run;

/* ---- the layer ------------------------------------------------------------ */

static rmr_dial place(const run *r)
{
    rmr_dial d = {0};
    snprintf(d.host, sizeof d.host, "relay.example");
    d.port = 443;
    d.tls = r->flags & TLS;
    return d;
}

static void opened(void *owner, rmr_time now)
{
    run *r = owner;
    (void)now;
    need(r->opened++ == 0 && r->closed == 0);
}

static void closed(void *owner, rmr_time now, rmr_err why, const char *text)
{
    run *r = owner;
    need(text != NULL && r->closed++ == 0);
    r->why = why;
    if (!(r->flags & AGAIN) || r->dialled++ > 0)
        return;
    rmr_dial d = place(r);
    r->stream = 0;
    rmr_mc_link_dial(r->link, now, &d);
}

static rmr_err read_data(void *owner, rmr_time now, rmr_buf data)
{
    run *r = owner;
    (void)now;
    need(r->opened == 1 && r->closed == 0 && data.len > 0);
    memcpy(r->got + r->got_len, data.ptr, data.len);
    r->got_len += data.len;
    return RMR_OK;
}

static rmr_err write_data(void *owner, rmr_time now, rmr_buf dst, size_t *len)
{
    run *r = owner;
    (void)now;
    (void)dst;
    need(r->opened == 1);
    *len = 0;
    return RMR_OK;
}

static const rmr_mc_link_ops ops = {
    .opened = opened, .closed = closed, .read = read_data, .write = write_data};

/* ---- the adapter ----------------------------------------------------------- */

static void give(run *r, rmr_io_event_kind kind, uint64_t id, rmr_buf data)
{
    rmr_io_event ev = {0};
    ev.kind = kind;
    ev.id = id;
    ev.data = data;
    (void)rmr_mc_event(r->mc, r->now, &ev);
}

static void turn(run *r)
{
    static uint8_t scratch[RMR_IO_SCRATCH_MIN];
    static const char ask[] = "CONNECT relay.example:443 HTTP/1.1\r\n";
    rmr_io_op op;
    memset(&op, 0, sizeof op);
    rmr_mc_pump(r->mc, r->now);
    for (int i = 0; i < 1000; i++) {
        memset(&op, 0, sizeof op);
        if (!rmr_mc_next_op(r->mc, r->now, rmr_buf_of(scratch, sizeof scratch),
                            &op))
            return;
        if (op.kind == RMR_IO_CONNECT) {
            need(op.addr.port == 3128);
            r->connecting = op.id;
        } else if (op.kind == RMR_IO_READ) {
            need(op.id == r->stream); /* none before it is open */
            r->credit += op.credit;
        } else if (op.kind == RMR_IO_STREAM_SEND) {
            need(op.id == r->stream);
            if (r->asked++ == 0)
                need(op.data.len > sizeof ask &&
                     memcmp(op.data.ptr, ask, sizeof ask - 1) == 0);
            else
                need(r->flags & TLS);
            give(r, RMR_IO_SENT, op.id, rmr_buf_of(NULL, 0));
        } else if (op.kind == RMR_IO_CLOSE || op.kind == RMR_IO_ABORT) {
            if (op.id == r->stream)
                r->stream = 0;
        }
    }
    need(false);
}

static bool start(run *r, uint8_t flags)
{
    rmr_mc_config cfg;
    memset(r, 0, sizeof *r);
    r->flags = flags;
    r->now = RMR_SEC;
    test_rng_seed(&r->rng, 1);
    rmr_env env = test_env(&r->mem, &r->rng, NULL);
    rmr_mc_config_init(&cfg, sizeof cfg);
    cfg.proxy.host = "192.0.2.8";
    cfg.proxy.port = 3128;
    cfg.proxy.authorization = "me:secret";
    need(rmr_mc_new(&r->mc, &env, &cfg) == RMR_OK);
    r->link = rmr_mc_link_new(r->mc, &ops, r);
    need(r->link != NULL);
    rmr_dial d = place(r);
    rmr_mc_link_dial(r->link, r->now, &d);
    turn(r);
    need(r->connecting != 0);
    r->stream = r->connecting;
    r->connecting = 0;
    give(r, RMR_IO_OPENED, r->stream, rmr_buf_of(NULL, 0));
    turn(r);
    return r->stream != 0 && r->asked == 1;
}

/* Up to the end of what the link wants to hear. */
static void feed(run *r, const uint8_t *p, size_t len, size_t step)
{
    uint64_t id = r->stream;
    for (size_t at = 0, n; at < len && r->stream == id && id != 0; at += n) {
        n = len - at < step ? len - at : step;
        need(r->credit >= n); /* 256 KiB, and more as they are taken */
        r->credit -= n;
        uint8_t *copy = malloc(n);
        need(copy != NULL);
        memcpy(copy, p + at, n);
        give(r, RMR_IO_BYTES, id, rmr_buf_of(copy, n));
        free(copy);
        turn(r);
    }
    if ((r->flags & ENDS) && r->stream == id && id != 0) {
        give(r, RMR_IO_EOF, id, rmr_buf_of(NULL, 0));
        turn(r);
    }
}

static void end(run *r)
{
    rmr_mc_link_free(r->link);
    turn(r);
    need(rmr_mc_objects(r->mc) == 0);
    rmr_mc_free(r->mc);
    need(r->mem.live_blocks == 0);
}

/* ---- what must be so --------------------------------------------------------- */

/* Where the head ends, and whether it opens the tunnel; 0: nowhere. */
static size_t head_end(const uint8_t *p, size_t len)
{
    size_t newlines = 0;
    for (size_t i = 0; i < len && i < MC_PROXY_ANSWER_MAX; i++) {
        if (p[i] == '\n')
            newlines++;
        else if (p[i] != '\r')
            newlines = 0;
        if (newlines == 2)
            return i + 1;
    }
    return 0;
}

static bool is_yes(const uint8_t *p, size_t head)
{
    return head >= 12 && memcmp(p, "HTTP/1.", 7) == 0 && p[8] == ' ' &&
           p[9] == '2';
}

static void check(const run *r, const uint8_t *p, size_t len)
{
    size_t head = head_end(p, len);
    bool yes = is_yes(p, head);
    if (!yes)
        need(r->opened == 0 && r->got_len == 0);
    if (head > 0 && !yes)
        need(r->closed >= 1 && r->why != RMR_OK);
    if (head == 0 && len < MC_PROXY_ANSWER_MAX && !(r->flags & ENDS))
        need(r->closed == 0);
    if (head == 0 && len > MC_PROXY_ANSWER_MAX)
        need(r->closed >= 1 && r->why == RMR_E_TOOBIG);
    if (!yes || (r->flags & TLS))
        return;
    need(r->opened == 1 && r->got_len == len - head);
    need(r->got_len == 0 || memcmp(r->got, p + head, r->got_len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static run whole, cut;
    if (size < 1 || size > 200000)
        return 0;
    uint8_t flags = data[0];
    size_t step = 1 + (flags & 0x1f);
    run *runs[2] = {&whole, &cut};
    for (int i = 0; i < 2; i++) {
        uint8_t *got = malloc(size);
        need(got != NULL && start(runs[i], flags));
        runs[i]->got = got;
        feed(runs[i], data + 1, size - 1, i == 0 ? size : step);
        check(runs[i], data + 1, size - 1);
        end(runs[i]);
        free(got);
    }
    need(whole.opened == cut.opened && whole.closed == cut.closed &&
         whole.why == cut.why && whole.got_len == cut.got_len);
    return 0;
}
