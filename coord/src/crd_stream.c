/* The bytes of a connection: from the stream through TLS, where there is some,
 * to HTTP/1.1 or to Noise, and back. */
#include "crd_api.h"

#define RECORD_ROOM ((size_t)17 * 1024) /* a whole record and its frame */

/* ---- in ------------------------------------------------------------------ */

static void to_app(crd_conn *n, rmr_time now, rmr_buf data)
{
    size_t at = 0;
    while (at < data.len && rmri_crd_conn_reads(n)) {
        size_t used = 0;
        rmr_buf rest = rmr_buf_of(data.ptr + at, data.len - at);
        rmr_err e = n->stage == CRD_HTTP
                        ? rmri_crd_http_read(
                              n, now, rmr_bytes_of(rest.ptr, rest.len), &used)
                        : rmri_crd_noise_read(n, now, rest, &used);
        at += used;
        if (e != RMR_OK) {
            rmri_crd_conn_finish(n, now);
            return;
        }
    }
}

static void feed_tls(crd_conn *n, rmr_time now, rmr_buf data)
{
    size_t at = 0;
    while (at < data.len && rmri_crd_conn_reads(n)) {
        size_t used = 0;
        rmr_buf view;
        rmr_err e = rmr_tls_read(
            n->tls, rmr_bytes_of(data.ptr + at, data.len - at), &used);
        at += used;
        if (e != RMR_OK || used == 0) {
            rmri_crd_conn_finish(n, now);
            return;
        }
        while (rmri_crd_conn_reads(n) &&
               rmr_tls_peek(n->tls, &view) == RMR_OK && view.len > 0) {
            size_t len = view.len;
            to_app(n, now, view);
            (void)rmr_tls_consume(n->tls, len);
        }
        if (rmr_tls_is_closed(n->tls))
            rmri_crd_conn_finish(n, now);
    }
}

static void on_bytes(void *owner, rmr_time now, rmr_buf data)
{
    crd_conn *n = owner;
    rmri_crd_stir(n->c);
    n->c->changes++; /* there may be a request in it */
    if (n->tls)
        feed_tls(n, now, data);
    else
        to_app(n, now, data);
    rmri_crd_conn_settle(n, now);
}

static void on_eof(void *owner, rmr_time now)
{
    crd_conn *n = owner;
    if (n->tls)
        (void)rmr_tls_read_eof(n->tls);
    /* A client that asks and half-closes still gets its answer. */
    if (n->stage == CRD_HTTP && (n->out.len > 0 || n->reply))
        rmri_crd_conn_finish(n, now);
    else
        rmri_crd_conn_end(n, now);
}

static void on_failed(void *owner, rmr_time now, rmr_err why)
{
    crd_conn *n = owner;
    (void)why;
    n->io = NULL;
    rmri_crd_conn_end(n, now);
}

/* ---- out ----------------------------------------------------------------- */

static size_t from_app(crd_conn *n, rmr_time now, rmr_buf dst)
{
    size_t len = 0;
    if (n->reply && !rmri_crd_reply_fill(n, now)) {
        rmri_crd_conn_end(n, now);
        return 0;
    }
    if (n->out.len > 0)
        len = rmr_ring_read(&n->out, dst.ptr, dst.len);
    if (n->out.len > 0 || (n->stage != CRD_NOISE && n->early.len == 0))
        return len;
    return len + rmri_crd_noise_write(n, now,
                                      rmr_buf_of(dst.ptr + len, dst.len - len));
}

static bool fill_record(crd_conn *n, rmr_time now)
{
    bool filled = false;
    rmr_buf place = {0};
    while (rmr_tls_is_open(n->tls) && !n->tls_shut &&
           rmr_tls_reserve(n->tls, &place) == RMR_OK && place.len > 0) {
        size_t len = from_app(n, now, place);
        (void)rmr_tls_commit(n->tls, len);
        if (len == 0)
            break;
        filled = true;
    }
    return filled;
}

static size_t produce_all(crd_conn *n, rmr_time now, rmr_buf scratch)
{
    size_t total = 0;
    if (!n->tls)
        return from_app(n, now, scratch);
    while (n->stage != CRD_DEAD && scratch.len - total >= RECORD_ROOM) {
        size_t len = 0;
        bool filled = fill_record(n, now);
        rmr_err e = rmr_tls_write(
            n->tls, rmr_buf_of(scratch.ptr + total, scratch.len - total), &len);
        total += len;
        if (e != RMR_OK || (len == 0 && !filled))
            break;
    }
    return total;
}

static size_t on_produce(void *owner, rmr_time now, rmr_buf scratch)
{
    crd_conn *n = owner;
    size_t len = produce_all(n, now, scratch);
    if (n->stage == CRD_DEAD)
        return len;
    if (n->stage == CRD_NOISE && n->h2 && rmr_h2s_is_closed(n->h2))
        rmri_crd_conn_finish(n, now);
    if (len == 0 && n->finishing && n->tls && !n->tls_shut) {
        n->tls_shut = true;
        (void)rmr_tls_shutdown(n->tls);
        len = produce_all(n, now, scratch);
    }
    if (len == 0 && n->finishing) {
        rmri_crd_conn_end(n, now);
        return 0;
    }
    rmri_crd_conn_settle(n, now);
    return len;
}

const rmr_mc_io_ops rmri_crd_stream_ops = {
    .failed = on_failed,
    .bytes = on_bytes,
    .eof = on_eof,
    .produce = on_produce,
};
