/* Questions by TCP, one a stream (RFC 7766): behind an answer that was cut off,
 * to the server that gave it. */
#include "dns_query.h"

#include <remora/cursor.h>

#include <string.h>

#define PREFIX 2u
#define HEAD 12u

static size_t wanted(const sub *s)
{
    return rmr_load_be16(s->prefix);
}

void rmri_dns_stream_drop(rmr_dns *d, sub *s)
{
    if (s->in)
        rmr_release(&d->env.alloc, s->in, wanted(s));
    s->in = NULL;
    s->got = 0;
    if (s->stream)
        d->n_streams--;
    s->stream = 0;
    s->tcp = TCP_NONE;
}

void rmri_dns_stream_want(rmr_dns *d, sub *s, uint8_t server)
{
    rmri_dns_stream_drop(d, s);
    s->state = SUB_WAIT;
    s->server = server;
    s->tcp = TCP_WANTED;
    s->deadline = rmr_time_add(d->now, d->cfg.try_timeout);
    d->stats.streams++;
}

/* A server that is silent by TCP is not dead: it has answered by UDP. */
void rmri_dns_stream_failed(rmr_dns *d, query *q, sub *s)
{
    d->stats.stream_failures++;
    if (s->n_ips)
        rmri_dns_finish_sub(d, q, s, RMR_OK);
    else
        rmri_dns_fail_try(d, q, s, RMR_E_REFUSED);
}

static sub *find(const rmr_dns *d, uint64_t stream, query **out)
{
    for (query *q = d->head; stream && q; q = q->next) {
        for (int i = 0; i < 2; i++) {
            if (q->sub[i].stream == stream) {
                *out = q;
                return &q->sub[i];
            }
        }
    }
    return NULL;
}

bool rmr_dns_has_stream(const rmr_dns *d, uint64_t stream)
{
    query *q;
    return find(d, stream, &q) != NULL;
}

bool rmr_dns_next_stream(rmr_dns *d, rmr_time now, uint64_t *stream,
                         rmr_addr *to)
{
    if (d->in_callback)
        return false;
    rmri_dns_clamp(d, now);
    for (query *q = d->head; q && d->n_streams < RMR_DNS_MAX_STREAMS;
         q = q->next) {
        for (int i = 0; i < 2; i++) {
            sub *s = &q->sub[i];
            if (s->tcp != TCP_WANTED)
                continue;
            s->tcp = TCP_OPENING;
            s->stream = *stream = ++d->last_stream;
            *to = d->servers[s->server];
            d->n_streams++;
            return true;
        }
    }
    return false;
}

rmr_err rmr_dns_write_stream(rmr_dns *d, rmr_time now, uint64_t stream,
                             rmr_buf dst, size_t *len)
{
    query *q;
    *len = 0;
    if (d->in_callback)
        return RMR_E_REENTRANT;
    rmri_dns_clamp(d, now);
    if (dst.len < RMR_DNS_MAX_QUERY)
        return RMR_E_BUFSIZE;
    sub *s = find(d, stream, &q);
    if (!s)
        return RMR_E_UNKNOWN;
    if (s->tcp != TCP_OPENING)
        return RMR_OK;
    rmr_err e = rmri_dns_build(rmr_buf_of(dst.ptr + PREFIX, dst.len - PREFIX),
                               len, s->id, &q->name, s->type, !s->no_edns);
    if (e != RMR_OK)
        return e;
    rmr_store_be16(dst.ptr, (uint16_t)*len);
    *len += PREFIX;
    s->tcp = TCP_ASKED;
    return RMR_OK;
}

/* As much as is missing of the message.  Errors: MALFORMED, NOMEM. */
static rmr_err take(rmr_dns *d, sub *s, rmr_bytes bytes)
{
    for (; bytes.len && s->got < PREFIX; bytes.len--)
        s->prefix[s->got++] = *bytes.ptr++;
    if (s->got < PREFIX)
        return RMR_OK;
    if (wanted(s) < HEAD)
        return RMR_E_MALFORMED;
    if (!s->in) {
        s->in = rmr_alloc_zero(&d->env.alloc, wanted(s), 1);
        if (!s->in)
            return RMR_E_NOMEM;
    }
    size_t at = s->got - PREFIX, left = wanted(s) - at;
    if (left > bytes.len)
        left = bytes.len;
    if (left)
        memcpy(s->in + at, bytes.ptr, left);
    s->got += left;
    return RMR_OK;
}

/* The stream was opened for this question alone: who says anything else on it
 * is not worth another message. */
static rmr_err answered(rmr_dns *d, query *q, sub *s)
{
    rmri_dns_head h;
    uint8_t *msg = s->in;
    size_t len = wanted(s);
    rmr_err e = rmri_dns_parse_head(rmr_bytes_of(msg, len), &h);
    if (e == RMR_OK && !rmri_dns_is_answer(&h, q, s, s->server))
        e = RMR_E_MALFORMED;
    if (e != RMR_OK)
        return e;
    s->in = NULL; /* the head points into it, and q may go */
    d->stats.received++;
    rmri_dns_take_answer(d, q, s, &h, s->server);
    rmr_release(&d->env.alloc, msg, len);
    return RMR_OK;
}

rmr_err rmr_dns_read_stream(rmr_dns *d, rmr_time now, uint64_t stream,
                            rmr_bytes bytes)
{
    query *q;
    if (d->in_callback)
        return RMR_E_REENTRANT;
    rmri_dns_clamp(d, now);
    sub *s = find(d, stream, &q);
    if (!s)
        return RMR_E_UNKNOWN;
    /* Nothing can be an answer before the question went out. */
    rmr_err e = s->tcp == TCP_ASKED ? take(d, s, bytes) : RMR_E_MALFORMED;
    if (e == RMR_OK && s->in && s->got == PREFIX + wanted(s))
        e = answered(d, q, s);
    if (e != RMR_OK)
        rmri_dns_stream_failed(d, q, s);
    return e;
}

void rmr_dns_end_stream(rmr_dns *d, rmr_time now, uint64_t stream)
{
    query *q;
    if (d->in_callback)
        return;
    rmri_dns_clamp(d, now);
    sub *s = find(d, stream, &q);
    if (s)
        rmri_dns_stream_failed(d, q, s);
}
