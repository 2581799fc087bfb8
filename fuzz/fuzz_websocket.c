/*
 * WebSocket frames from a hostile peer, and our own read by the other side.
 *
 * The first byte: bit 0 our side, the rest the first cut.  Checked: payload,
 * error and what is written do not depend on how the input was cut; the payload
 * of a message is bounded; payload wrapped again is read as the same bytes.
 */
#include <stdlib.h>
#include <string.h>

#include <remora/websocket.h>

#include "need.h"
#include "support.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LIMIT 1000

typedef struct outcome {
    uint8_t *payload;
    size_t len;
    rmr_err err;
    uint16_t code;
    uint64_t pongs;
    uint8_t out[3 * RMR_WS_CONTROL_MAX];
    size_t out_len;
} outcome;

static rmr_ws *make(bool is_client, test_rng *r)
{
    test_rng_seed(r, 1);
    rmr_env env = test_env(NULL, r, NULL);
    rmr_ws_config cfg;
    rmr_ws_config_init(&cfg, sizeof cfg);
    cfg.is_client = is_client;
    cfg.max_message = LIMIT;
    rmr_ws *w;
    need(rmr_ws_new(&w, &env, &cfg) == RMR_OK);
    return w;
}

static void feed(rmr_ws *w, outcome *o, const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    need(copy != NULL);
    memcpy(copy, data, size);
    rmr_buf in = rmr_buf_of(copy, size), piece;
    while (in.len && o->err == RMR_OK) {
        size_t n;
        o->err = rmr_ws_read(w, in, &n, &piece);
        need(n <= in.len && (n > 0 || o->err != RMR_OK));
        need(piece.len <= n && piece.len <= LIMIT);
        if (piece.len)
            memcpy(o->payload + o->len, piece.ptr, piece.len);
        o->len += piece.len;
        in.ptr += n;
        in.len -= n;
    }
    free(copy);
}

static void run(bool is_client, const uint8_t *data, size_t size, size_t cut,
                size_t step, outcome *o)
{
    test_rng r;
    memset(o, 0, sizeof *o);
    o->payload = malloc(size + 1);
    need(o->payload != NULL);
    rmr_ws *w = make(is_client, &r);
    if (cut > size)
        cut = size;
    feed(w, o, data, cut);
    for (size_t at = cut; at < size; at += step)
        feed(w, o, data + at, size - at < step ? size - at : step);
    o->code = rmr_ws_peer_code(w);
    o->pongs = rmr_ws_pongs(w);
    need(rmr_ws_write(w, rmr_buf_of(o->out, sizeof o->out), &o->out_len) ==
         RMR_OK);
    need(o->err == RMR_OK || rmr_ws_is_done(w));
    rmr_ws_free(w);
}

static void same(const outcome *x, const outcome *y)
{
    need(x->len == y->len && memcmp(x->payload, y->payload, x->len) == 0);
    need(x->err == y->err && x->code == y->code && x->pongs == y->pongs);
    need(x->out_len == y->out_len && memcmp(x->out, y->out, x->out_len) == 0);
}

static void wrap_again(bool is_client, const outcome *o)
{
    test_rng r, r2;
    rmr_ws *w = make(is_client, &r), *peer = make(!is_client, &r2);
    size_t len = o->len < LIMIT ? o->len : LIMIT, h = rmr_ws_headroom(w), n;
    uint8_t *room = malloc(h + len);
    outcome got = {.payload = malloc(len)};
    need(room && got.payload);
    memcpy(room + h, o->payload, len);
    need(rmr_ws_wrap(w, rmr_buf_of(room, h + len), len, &n) == RMR_OK);
    feed(peer, &got, room, n);
    need(got.err == RMR_OK && got.len == len);
    need(memcmp(got.payload, o->payload, len) == 0);
    free(room);
    free(got.payload);
    rmr_ws_free(w);
    rmr_ws_free(peer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    bool is_client = data[0] & 1;
    size_t cut = data[0] >> 1;
    outcome whole, bytes, two;
    run(is_client, data + 1, size - 1, size - 1, 1, &whole);
    run(is_client, data + 1, size - 1, 0, 1, &bytes);
    run(is_client, data + 1, size - 1, cut, size, &two);
    same(&whole, &bytes);
    same(&whole, &two);
    if (whole.len)
        wrap_again(is_client, &whole);
    free(whole.payload);
    free(bytes.payload);
    free(two.payload);
    return 0;
}
