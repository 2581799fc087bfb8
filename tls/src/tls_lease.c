/*
 * Input.  ixa..ixb is plaintext that waits; while ixa == ixb, ixc is how many
 * bytes are still to come, of the head (ixa < 5) or of the body.
 *
 *  - ixa == ixb < 5: a record's head comes in, ixa bytes of it are there.  The
 *    engine asks for no more than the rest of the head, so that 5 bytes of room
 *    do, and reads them when the fifth came.
 *  - ixa == ixb == 5: the head was understood (its type, version and length are
 *    in the context, decrypt() is given them from there) and nothing of the
 *    body is there.  So here nothing of the buffer is needed: this is where one
 *    is put in.  Records in the clear come back to this state whenever the
 *    handshake has eaten what came of them.
 *  - else: bytes of a body or plaintext are there, and it stays.
 *
 * Output.  oxc..oxa is plaintext that is gathered while oxa < oxb; a record is
 * ready to be sent while oxa == oxb < oxc.
 *
 *  - oxa == oxc < oxb: nothing is there, and the buffer can go.  oxa and oxb
 *    were computed for the cipher and are kept, for it changes only with a
 *    handshake, which has a buffer.
 *  - Without a buffer oxa == oxb == oxc: the engine takes that for "no room and
 *    nothing to send" everywhere (sendpld_buf, sendpld_flush, sendrec_buf,
 *    has_rec_tosend, has_pld_to_send).
 *
 * The handshake's coroutine (jump_handshake) would wait for room and be told by
 * no one that it came.  So it is never run without an output buffer: it runs in
 * recvrec_ack for records that are not application data, in sendrec_ack, which
 * has a buffer, and in close.  It keeps no pointer into a buffer between two
 * runs: hbuf_in and hbuf_out are set at its start.
 */
#include "tls_lease.h"
#include <string.h>
#include "tls_pool.h"

#define HEAD_LEN 5
#define APPLICATION_DATA 23 /* RFC 5246 6.2.1 */

_Static_assert(RMRI_TLS_IN_LEN == RMR_TLS_POOL_BUF &&
                   RMRI_TLS_OUT_LEN <= RMR_TLS_POOL_BUF &&
                   RMRI_TLS_OWN_LEN == BR_SSL_BUFSIZE_BIDI,
               "the buffers are as large as BearSSL wants them");

static void take_out_away(rmri_tls_lease *l, br_ssl_engine_context *eng)
{
    eng->obuf = l->head + HEAD_LEN + 1; /* not ibuf, which has a meaning */
    eng->oxa = eng->oxb = eng->oxc = HEAD_LEN;
}

void rmri_tls_lease_init(rmri_tls_lease *l, br_ssl_engine_context *eng,
                         rmr_tls_pool *pool, uint8_t *own)
{
    l->pool = pool;
    if (!pool) {
        br_ssl_engine_set_buffers_bidi(eng, own, RMRI_TLS_IN_LEN,
                                       own + RMRI_TLS_IN_LEN, RMRI_TLS_OUT_LEN);
        return;
    }
    /* The lengths are those of the buffers to come; this sets registers only.
     */
    br_ssl_engine_set_buffers_bidi(eng, l->head, RMRI_TLS_IN_LEN,
                                   l->head + HEAD_LEN + 1, RMRI_TLS_OUT_LEN);
    rmri_tls_lease_after_reset(l, eng);
}

void rmri_tls_lease_after_reset(rmri_tls_lease *l, br_ssl_engine_context *eng)
{
    if (!l->pool || l->out)
        return;
    l->oxa = eng->oxa;
    l->oxb = eng->oxb;
    take_out_away(l, eng);
}

bool rmri_tls_lease_for_output(rmri_tls_lease *l, br_ssl_engine_context *eng)
{
    if (!l->pool || l->out)
        return true;
    l->out = rmri_tls_pool_take(l->pool, false);
    l->lacks_out = !l->out;
    if (!l->out)
        return false;
    l->out_used = 0;
    l->lent = false;
    eng->obuf = l->out;
    eng->oxa = eng->oxc = l->oxa;
    eng->oxb = l->oxb;
    return true;
}

bool rmri_tls_lease_for_read(rmri_tls_lease *l, br_ssl_engine_context *eng)
{
    if (!l->pool || eng->ixa < HEAD_LEN)
        return true;
    bool got_in = !l->in;
    if (got_in) {
        l->in = rmri_tls_pool_take(l->pool, true);
        l->lacks_in = !l->in;
        if (!l->in)
            return false;
        l->in_used = 0;
    }
    /* Anything else than data wakes the handshake. */
    if (eng->record_type_in != APPLICATION_DATA &&
        !rmri_tls_lease_for_output(l, eng)) {
        l->lacks_in = got_in; /* again, for it goes back: */
        if (got_in) {         /* one who waits holds nothing */
            rmri_tls_pool_give(l->pool, l->in, 0, true);
            l->in = NULL;
        }
        return false;
    }
    eng->ibuf = l->in;
    return true;
}

static size_t reach(const uint8_t *buf, size_t used, const uint8_t *p, size_t n)
{
    size_t end = (size_t)(p - buf) + n;
    return end > used ? end : used;
}

void rmri_tls_lease_wrote_in(rmri_tls_lease *l, const uint8_t *p, size_t n)
{
    if (l->in)
        l->in_used = reach(l->in, l->in_used, p, n);
}

void rmri_tls_lease_wrote_out(rmri_tls_lease *l, const uint8_t *p, size_t n)
{
    if (l->out)
        l->out_used = reach(l->out, l->out_used, p, n);
}

static void give_in(rmri_tls_lease *l, br_ssl_engine_context *eng)
{
    if (eng->ixa <= HEAD_LEN)
        memcpy(l->head, l->in, eng->ixa);
    eng->ibuf = l->head;
    rmri_tls_pool_give(l->pool, l->in, l->in_used, true);
    l->in = NULL;
}

/* Whether all that was in the output was sent. */
static bool is_sent(const br_ssl_engine_context *eng)
{
    return eng->oxa == eng->oxc && eng->oxa < eng->oxb;
}

static void give_out(rmri_tls_lease *l, br_ssl_engine_context *eng)
{
    if (l->lent || !is_sent(eng)) /* where that ends is not known */
        l->out_used = RMR_TLS_POOL_BUF;
    l->oxa = eng->oxa;
    l->oxb = eng->oxb;
    take_out_away(l, eng);
    rmri_tls_pool_give(l->pool, l->out, l->out_used, false);
    l->out = NULL;
}

void rmri_tls_lease_settle(rmri_tls_lease *l, br_ssl_engine_context *eng,
                           bool in_dead, bool out_dead)
{
    if (in_dead && l->in) {
        eng->ixa = eng->ixb = 0;
        eng->ixc = HEAD_LEN;
    }
    l->lacks_in = l->lacks_in && !in_dead;
    l->lacks_out = l->lacks_out && !out_dead;
    if (l->in && eng->ixa == eng->ixb && eng->ixa <= HEAD_LEN)
        give_in(l, eng);
    if (l->out && (out_dead || is_sent(eng)))
        give_out(l, eng);
}
