/*
 * The record layer: any bytes at any split give the same plaintext and the same
 * verdict (over the null ciphers, so that tags open), and what is sealed reads
 * back.
 */
#include <remora/base.h>

#include <stdlib.h>
#include <string.h>

#include <remora/ts2021.h>

#include "need.h"
#include "support.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct sink {
    uint8_t *p;
    size_t len;
} sink;

static rmr_err on_plain(void *user, rmr_buf plain)
{
    sink *s = user;
    need(plain.len > 0 && plain.len <= RMR_TS_PLAIN_MAX);
    memcpy(s->p + s->len, plain.ptr, plain.len);
    s->len += plain.len;
    return RMR_OK;
}

static rmr_err run(const uint8_t *data, size_t size, size_t piece, sink *s)
{
    static const uint8_t k[RMR_KEY_LEN] = {1};
    const rmr_alloc heap = test_alloc_table(NULL);
    rmr_ts_record r;
    uint8_t *copy = malloc(size + 1);
    rmr_err e = RMR_OK;
    memcpy(copy, data, size);
    rmr_ts_record_init(&r, &heap, k, k);
    for (size_t at = 0; at < size;) {
        size_t n = piece < size - at ? piece : size - at;
        e = rmr_ts_record_read(&r, rmr_buf_of(copy + at, n), on_plain, s);
        at += n;
    }
    rmr_ts_record_wipe(&r);
    free(copy);
    return e;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t k[RMR_KEY_LEN] = {1};
    if (size < 2)
        return 0;
    size_t piece = 1 + data[0];
    data++;
    size--;
    sink a = {malloc(size), 0}, b = {malloc(size), 0};
    rmr_err ea = run(data, size, size, &a);
    rmr_err eb = run(data, size, piece, &b);
    need(ea == eb && a.len == b.len && memcmp(a.p, b.p, a.len) == 0);
    need(ea == RMR_OK || ea == RMR_E_MALFORMED || ea == RMR_E_AUTH);
    uint8_t frame[RMR_TS_FRAME_MAX];
    rmr_ts_record w;
    size_t n = size < RMR_TS_PLAIN_MAX ? size : RMR_TS_PLAIN_MAX, len;
    memcpy(frame + RMR_TS_HEAD, data, n);
    const rmr_alloc heap = test_alloc_table(NULL);
    rmr_ts_record_init(&w, &heap, k, k);
    need(rmr_ts_record_seal(&w, frame, n, &len) == RMR_OK);
    b.len = 0;
    need(run(frame, len, piece, &b) == RMR_OK);
    need(b.len == n && memcmp(b.p, data, n) == 0);
    free(a.p);
    free(b.p);
    return 0;
}
