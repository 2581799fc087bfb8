/*
 * The whole client against a server that says anything, over the null ciphers.
 * The input is a program: an operation byte, then what it needs.  Besides raw
 * bytes there are operations for well-formed steps (the key, the upgrade, a
 * record, HTTP/2 frames of 200 answers), so that all layers are reached.
 * Checked: deadlines are gone once handled, a client without a stream writes
 * nothing, memory is bounded and given back, each failure is told.
 */
#include <remora/control.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "need.h"
#include "ctl_internal.h"
#include "support.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct fuzz {
    const uint8_t *p;
    size_t left;
    rmr_ctl *c;
    rmr_nm *nm;
    rmr_time now;
    bool stream;
    rmr_ctl_state state;
} fuzz;

static uint8_t take(fuzz *f)
{
    if (f->left == 0)
        return 0;
    f->left--;
    return *f->p++;
}

static void on_state(void *user, rmr_ctl_state state, rmr_err err,
                     const char *text)
{
    fuzz *f = user;
    f->state = state;
    need(strlen(text) < CTL_URL_MAX);
    need((state == RMR_CTL_DOWN || state == RMR_CTL_FAILED) ? err != RMR_OK
                                                            : true);
    need(strlen(rmr_ctl_err_text(err)) > 0);
}

static void give(fuzz *f, const uint8_t *p, size_t n)
{
    if (!f->stream)
        return;
    uint8_t *copy = malloc(n + 1);
    if (n)
        memcpy(copy, p, n);
    rmr_err e = rmr_ctl_read(f->c, f->now, rmr_buf_of(copy, n));
    free(copy);
    if (e) {
        /* CLOSED: it has given the stream up and wants another. */
        need(e == RMR_E_CLOSED || f->state == RMR_CTL_DOWN ||
             f->state == RMR_CTL_FAILED);
        f->stream = false;
        (void)rmr_ctl_wants_close(f->c);
    }
}

static void give_text(fuzz *f, const char *text)
{
    give(f, (const uint8_t *)text, strlen(text));
}

/* A record; the null cipher takes any tag. */
static void give_record(fuzz *f, const uint8_t *p, size_t n)
{
    uint8_t frame[RMR_TS_FRAME_MAX] = {4};
    size_t len = n + RMR_TAG_LEN;
    frame[1] = (uint8_t)(len >> 8);
    frame[2] = (uint8_t)len;
    if (n)
        memcpy(frame + 3, p, n);
    give(f, frame, 3 + len);
}

static void give_h2(fuzz *f, uint8_t type, uint8_t flags, uint8_t stream,
                    const uint8_t *p, size_t n)
{
    uint8_t b[9 + 1024] = {
        0, (uint8_t)(n >> 8), (uint8_t)n, type, flags, 0, 0, 0, stream};
    if (n)
        memcpy(b + 9, p, n);
    give_record(f, b, 9 + n);
}

static rmr_bytes chunk(fuzz *f)
{
    size_t n = take(f);
    n = n < f->left ? n : f->left;
    rmr_bytes b = rmr_bytes_of(f->p, n);
    f->p += n;
    f->left -= n;
    return b;
}

static void pump(fuzz *f)
{
    static uint8_t buf[8192];
    rmr_dial d;
    size_t len;
    if (rmr_ctl_wants_close(f->c))
        f->stream = false;
    if (!f->stream && rmr_ctl_wants_stream(f->c, f->now, &d)) {
        f->stream = true;
        if (rmr_ctl_stream_opened(f->c, f->now))
            f->stream = false;
    }
    for (int i = 0; i < 1000; i++) {
        rmr_err e = rmr_ctl_write(f->c, f->now, rmr_buf_of(buf, 1000), &len);
        if (e)
            f->stream = false;
        need(f->stream || len == 0);
        if (len == 0 || e)
            break;
    }
}

static void answer_upgrade(fuzz *f)
{
    uint8_t hello[RMR_TS_RESP_LEN] = {2, 0, 48};
    memset(hello + 3, 1, sizeof hello - 3);
    give_text(f, "HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: "
                 "tailscale-control-protocol\r\n\r\n");
    give(f, hello, sizeof hello);
    give_h2(f, 4, 0, 0, NULL, 0); /* SETTINGS */
}

static void answer_key(fuzz *f)
{
    char text[256];
    (void)snprintf(
        text, sizeof text,
        "HTTP/1.1 200 OK\r\nContent-Length: 85\r\n\r\n{\"publicKey\":"
        "\"mkey:%064x\"}",
        take(f));
    give_text(f, text);
}

static void pass_time(fuzz *f)
{
    f->now += (rmr_dur)take(f) * 500 * RMR_MS;
    if (f->now >= rmr_ctl_next_deadline(f->c)) {
        need(rmr_ctl_handle_deadline(f->c, f->now) == RMR_OK);
        need(rmr_ctl_next_deadline(f->c) > f->now);
    }
}

static rmr_err set_net(fuzz *f, uint8_t op)
{
    rmr_ctl_endpoint ep = {rmr_addr_v4(1, 2, 3, 4, op), op & 3};
    rmr_ctl_net net;
    rmr_ctl_net_init(&net, sizeof net);
    net.home_derp = op;
    net.endpoints = &ep;
    net.n_endpoints = op & 1;
    return rmr_ctl_set_net(f->c, f->now, &net);
}

static void step(fuzz *f)
{
    static const uint8_t ok = 0x88; /* HPACK: ":status: 200" */
    uint8_t op = take(f), key[RMR_KEY_LEN];
    rmr_bytes b;
    switch (op % 14) {
    case 0:
        b = chunk(f);
        give(f, b.ptr, b.len);
        break;
    case 1:
        b = chunk(f);
        give_record(f, b.ptr, b.len);
        break;
    case 2:
        answer_key(f);
        break;
    case 3:
        answer_upgrade(f);
        break;
    case 4:
        give_h2(f, 1, 4, take(f), &ok, 1);
        break;
    case 5: /* DATA */
        op = take(f);
        b = chunk(f);
        give_h2(f, 0, op >> 7, op & 0x7f, b.ptr, b.len);
        break;
    case 6:
        pass_time(f);
        break;
    case 7:
        if (f->stream)
            rmr_ctl_stream_closed(f->c, f->now, take(f) & 1 ? RMR_E_RESET : 0,
                                  "x");
        f->stream = false;
        break;
    case 8:
        need(set_net(f, op) == RMR_OK);
        break;
    case 9:
        rmr_ctl_retry(f->c, f->now);
        break;
    case 10:
        memset(key, op | 1, sizeof key);
        need(rmr_ctl_set_node_key(f->c, f->now, key, key) == RMR_OK);
        break;
    case 11: /* HEADERS of any block */
        op = take(f);
        b = chunk(f);
        give_h2(f, 1, 4 | op >> 7, op & 0x7f, b.ptr, b.len);
        break;
    case 12: /* any frame */
        op = take(f);
        b = chunk(f);
        give_h2(f, op & 15, take(f), op >> 4, b.ptr, b.len);
        break;
    default:
        rmr_ctl_set_wall(f->c, f->now, (uint64_t)op * 100000000000000000u);
        break;
    }
    pump(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static test_alloc a;
    static test_rng rng;
    fuzz f = {.p = data, .left = size, .now = RMR_SEC};
    rmr_nm_config ncfg;
    rmr_ctl_config cfg;
    rmr_ctl_callbacks cb = {
        .struct_size = sizeof cb, .user = &f, .on_state = on_state};
    memset(&a, 0, sizeof a);
    test_rng_seed(&rng, 1);
    rmr_env env = test_env(&a, &rng, NULL);
    uint8_t opts = take(&f);
    rmr_nm_config_init(&ncfg, sizeof ncfg);
    ncfg.max_peers = 64;
    need(rmr_nm_new(&f.nm, &env, &ncfg) == RMR_OK);
    rmr_ctl_config_init(&cfg, sizeof cfg);
    cfg.url = opts & 1 ? "https://h" : "http://h:1/base";
    cfg.auth_key = opts & 2 ? "secret" : NULL;
    cfg.hostname = "h";
    cfg.no_compression = opts & 4;
    cfg.accept_control_key = opts & 8;
    if (opts & 16)
        memset(cfg.server_key, 3, sizeof cfg.server_key);
    memset(cfg.machine_key, 1, sizeof cfg.machine_key);
    memset(cfg.node_public, 2, sizeof cfg.node_public);
    cfg.netmap = f.nm;
    cfg.callbacks = &cb;
    need(rmr_ctl_new(&f.c, &env, &cfg, f.now) == RMR_OK);
    if (opts & 128)
        a.fail_at = a.calls + 1 + take(&f);
    pump(&f);
    while (f.left)
        step(&f);
    need(a.peak_bytes < (32u << 20));
    rmr_ctl_free(f.c);
    rmr_nm_free(f.nm);
    need(a.live_blocks == 0);
    return 0;
}
