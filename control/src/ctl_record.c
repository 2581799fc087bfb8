/* The record layer. */
#include <remora/ts2021.h>

#include <remora/cursor.h>

#include <string.h>

void rmr_ts_record_init(rmr_ts_record *r, const rmr_alloc *alloc,
                        const uint8_t send_key[RMR_KEY_LEN],
                        const uint8_t recv_key[RMR_KEY_LEN])
{
    memset(r, 0, sizeof *r);
    r->alloc = *alloc;
    memcpy(r->send_key, send_key, RMR_KEY_LEN);
    memcpy(r->recv_key, recv_key, RMR_KEY_LEN);
}

static void drop_partial(rmr_ts_record *r)
{
    if (r->partial)
        rmr_release_wiped(&r->alloc, r->partial, r->want);
    r->partial = NULL;
    r->len = r->want = 0;
}

void rmr_ts_record_wipe(rmr_ts_record *r)
{
    drop_partial(r);
    rmr_wipe(r, sizeof *r);
}

/* The last value is never used: a counter must not come round. */
static rmr_err next_nonce(uint64_t *counter, uint8_t nonce[12])
{
    if (*counter == UINT64_MAX)
        return RMR_E_PROTOCOL;
    memset(nonce, 0, 4);
    rmr_store_be64(nonce + 4, (*counter)++);
    return RMR_OK;
}

/* One whole frame. */
static rmr_err open_frame(rmr_ts_record *r, rmr_buf frame,
                          rmr_ts_plain_fn plain, void *user)
{
    uint8_t nonce[12];
    rmr_buf body = rmr_buf_of(frame.ptr + RMR_TS_HEAD, frame.len - RMR_TS_HEAD);
    rmr_err e = next_nonce(&r->recv_counter, nonce);
    if (e)
        return e;
    e = rmr_chapoly_open(body.ptr, r->recv_key, nonce, rmr_bytes_of(NULL, 0),
                         rmr_bytes_of(body.ptr, body.len));
    if (e)
        return e;
    body.len -= RMR_TAG_LEN;
    return body.len ? plain(user, body) : RMR_OK; /* empty ones are legal */
}

/* The length of the frame whose head this is; 0: it can't be one. */
static size_t frame_len(const uint8_t head[RMR_TS_HEAD])
{
    size_t n = rmr_load_be16(head + 1);
    if (head[0] != RMR_TS_RECORD || n < RMR_TAG_LEN ||
        n > RMR_TS_FRAME_MAX - RMR_TS_HEAD)
        return 0;
    return RMR_TS_HEAD + n;
}

static size_t collect(rmr_ts_record *r, uint8_t *to, size_t want, rmr_buf in)
{
    size_t n = want - r->len < in.len ? want - r->len : in.len;
    memcpy(to + r->len, in.ptr, n);
    r->len += n;
    return n;
}

/* The head is there: room for all of the frame. */
static rmr_err make_partial(rmr_ts_record *r)
{
    size_t want = frame_len(r->head);
    if (want == 0)
        return RMR_E_MALFORMED;
    r->partial = rmr_alloc_raw(&r->alloc, want, 1);
    if (!r->partial)
        return RMR_E_NOMEM;
    r->want = want;
    memcpy(r->partial, r->head, RMR_TS_HEAD);
    return RMR_OK;
}

/* Takes some of `in`; *taken is not 0. */
static rmr_err read_some(rmr_ts_record *r, rmr_buf in, size_t *taken,
                         rmr_ts_plain_fn plain, void *user)
{
    size_t n;
    if (r->len == 0 && in.len >= RMR_TS_HEAD) {
        n = frame_len(in.ptr);
        if (n == 0)
            return RMR_E_MALFORMED;
        if (in.len >= n) { /* whole: opened where it is */
            *taken = n;
            return open_frame(r, rmr_buf_of(in.ptr, n), plain, user);
        }
    }
    if (r->len < RMR_TS_HEAD) {
        *taken = collect(r, r->head, RMR_TS_HEAD, in);
        return r->len == RMR_TS_HEAD ? make_partial(r) : RMR_OK;
    }
    *taken = collect(r, r->partial, r->want, in);
    if (r->len < r->want)
        return RMR_OK;
    rmr_err e = open_frame(r, rmr_buf_of(r->partial, r->want), plain, user);
    drop_partial(r);
    return e;
}

rmr_err rmr_ts_record_read(rmr_ts_record *r, rmr_buf in, rmr_ts_plain_fn plain,
                           void *user)
{
    while (in.len && !r->failed) {
        size_t taken = 0;
        r->failed = read_some(r, in, &taken, plain, user);
        in.ptr += taken;
        in.len -= taken;
    }
    return r->failed;
}

rmr_err rmr_ts_record_seal(rmr_ts_record *r, uint8_t *frame, size_t n,
                           size_t *len)
{
    uint8_t nonce[12];
    if (n > RMR_TS_PLAIN_MAX)
        return RMR_E_INVAL;
    rmr_err e = next_nonce(&r->send_counter, nonce);
    if (e)
        return e;
    frame[0] = RMR_TS_RECORD;
    rmr_store_be16(frame + 1, (uint16_t)(n + RMR_TAG_LEN));
    rmr_chapoly_seal(frame + RMR_TS_HEAD, r->send_key, nonce,
                     rmr_bytes_of(NULL, 0),
                     rmr_bytes_of(frame + RMR_TS_HEAD, n));
    *len = RMR_TS_HEAD + n + RMR_TAG_LEN;
    return RMR_OK;
}
