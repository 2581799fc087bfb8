/* The byte filter around BearSSL's engine, for both sides. */
#include <string.h>
#include "tls_identity.h"
#include "tls_internal.h"
#include "tls_pool.h"

#define SEED_LEN 48 /* HMAC_DRBG over SHA-256 wants 32 */

/* ---- creation ---------------------------------------------------------- */

rmr_err rmri_tls_copy_config(void *own, size_t size, const void *cfg,
                             uint32_t struct_size)
{
    /* An older program's config is shorter: what it lacks is off. */
    if (struct_size < sizeof struct_size)
        return RMR_E_INVAL;
    memcpy(own, cfg, struct_size < size ? struct_size : size);
    return RMR_OK;
}

rmr_tls *rmri_tls_new(const rmr_alloc *alloc, size_t size,
                      const rmr_tls_pool *pool)
{
    size_t all = pool ? size : size + RMRI_TLS_OWN_LEN;
    rmr_tls *t = rmr_alloc_raw(alloc, all, _Alignof(max_align_t));
    if (!t)
        return NULL;
    memset(t, 0,
           size); /* but not the buffers, of which an idle one fills few */
    t->alloc = *alloc;
    t->size = all;
    return t;
}

void rmri_tls_give_buffers(rmr_tls *t, size_t size, rmr_tls_pool *pool)
{
    uint8_t *own = pool ? NULL : (uint8_t *)t + size;
    rmri_tls_lease_init(&t->lease, t->eng, pool, own);
}

rmr_err rmri_tls_give_gcm(rmr_tls *t, const rmr_gcm *gcm)
{
    if (!gcm)
        return RMR_OK;
    t->gcm = rmr_alloc_zero(&t->alloc, sizeof *t->gcm, _Alignof(rmri_tls_gcm));
    if (!t->gcm)
        return RMR_E_NOMEM;
    rmri_tls_gcm_use(t->gcm, gcm, t->eng);
    return RMR_OK;
}

/* The engine's generator has this seed alone: with rng_os_rand_done set it
 * never asks the operating system. */
rmr_err rmri_tls_seed(rmr_tls *t, const rmr_rng *rng)
{
    uint8_t bytes[SEED_LEN];
    rmr_err e = rmr_rng_fill(rng, bytes, sizeof bytes);
    if (e == RMR_OK) {
        t->eng->rng_os_rand_done = 1;
        br_ssl_engine_inject_entropy(t->eng, bytes, sizeof bytes);
    }
    rmr_wipe(bytes, sizeof bytes);
    return e;
}

static void dismiss_judge(rmr_tls *t)
{
    if (!t->judge)
        return;
    rmri_tls_x509_wipe(t->judge);
    br_ssl_engine_set_x509(t->eng, NULL);
    rmr_release_wiped(&t->alloc, t->judge, sizeof *t->judge);
    t->judge = NULL;
}

void rmr_tls_free(rmr_tls *t)
{
    if (!t)
        return;
    rmr_alloc alloc = t->alloc;
    rmri_tls_lease_settle(&t->lease, t->eng, true, true);
    dismiss_judge(t);
    rmr_tls_identity_free(t->identity);
    rmr_release_wiped(&alloc, t->gcm, sizeof *t->gcm);
    rmr_release_wiped(&alloc, t, t->size);
}

/* ---- state ------------------------------------------------------------- */

/* Takes over what the engine has come to. */
static rmr_err update(rmr_tls *t)
{
    const br_ssl_engine_context *eng = t->eng;
    if (eng->application_data == 1) {
        t->opened = true;
        dismiss_judge(t); /* no renegotiation: no chain comes any more */
    }
    if (t->err != RMR_OK || t->finished ||
        br_ssl_engine_current_state(eng) != BR_SSL_CLOSED)
        return t->err;
    int code = br_ssl_engine_last_error(eng);
    if (code == BR_ERR_OK)
        t->finished = true;
    else if (t->judge && t->judge->err != RMR_OK)
        t->err = t->judge->err;
    else
        t->err = rmri_tls_err_of(code);
    return t->err;
}

/* The end of every call that could change something. */
static void settle(rmr_tls *t)
{
    bool closed = br_ssl_engine_current_state(t->eng) == BR_SSL_CLOSED;
    bool out_dead = closed || t->finished || t->err != RMR_OK;
    bool in_dead = closed || (t->shut && out_dead);
    rmri_tls_lease_settle(&t->lease, t->eng, in_dead, out_dead);
}

static bool peer_closed(const rmr_tls *t)
{
    return t->finished || t->eng->shutdown_recv;
}

bool rmr_tls_is_open(const rmr_tls *t)
{
    return t->opened;
}

bool rmr_tls_is_closed(const rmr_tls *t)
{
    return t->err != RMR_OK || peer_closed(t);
}

bool rmr_tls_is_starved(const rmr_tls *t)
{
    return t->lease.lacks_in || t->lease.lacks_out;
}

bool rmr_tls_can_retry(const rmr_tls *t)
{
    const rmri_tls_lease *l = &t->lease;
    return rmr_tls_is_starved(t) &&
           rmri_tls_pool_can(l->pool, l->lacks_in, l->lacks_out);
}

unsigned rmr_tls_holds(const rmr_tls *t)
{
    return (t->lease.in ? 1u : 0u) + (t->lease.out ? 1u : 0u);
}

bool rmr_tls_holds_input(const rmr_tls *t)
{
    return t->lease.in != NULL;
}

bool rmr_tls_lacks_input(const rmr_tls *t)
{
    return t->lease.lacks_in;
}

const char *rmr_tls_suite(const rmr_tls *t)
{
    return rmri_tls_suite_name(t->eng->session.cipher_suite);
}

/* ---- ciphertext -------------------------------------------------------- */

rmr_err rmr_tls_read(rmr_tls *t, rmr_bytes in, size_t *consumed)
{
    *consumed = 0;
    t->lease.lacks_in = false;
    while (t->err == RMR_OK && *consumed < in.len && !peer_closed(t)) {
        size_t room;
        if (!br_ssl_engine_recvrec_buf(t->eng, &room) || room == 0 ||
            !rmri_tls_lease_for_read(&t->lease, t->eng))
            break;
        uint8_t *to = br_ssl_engine_recvrec_buf(t->eng, &room);
        size_t n = in.len - *consumed;
        if (n > room)
            n = room;
        memcpy(to, in.ptr + *consumed, n);
        rmri_tls_lease_wrote_in(&t->lease, to, n);
        br_ssl_engine_recvrec_ack(t->eng, n);
        *consumed += n;
        (void)update(t);
    }
    if (t->err == RMR_OK && peer_closed(t))
        *consumed = in.len; /* nothing can follow a close_notify */
    settle(t);
    return t->err;
}

rmr_err rmr_tls_read_eof(rmr_tls *t)
{
    if (t->err != RMR_OK || peer_closed(t))
        return t->err;
    if (t->shut)
        t->finished = true; /* RFC 5246 7.2.1: no need to wait for theirs */
    else
        t->err = RMR_E_TLS_TRUNCATED;
    settle(t);
    return t->err;
}

static void start_close(rmr_tls *t)
{
    if (!rmri_tls_lease_for_output(&t->lease, t->eng))
        return;
    t->close_waits = false;
    br_ssl_engine_flush(t->eng, 0);
    br_ssl_engine_close(t->eng);
    (void)update(t);
}

rmr_err rmr_tls_write(rmr_tls *t, rmr_buf dst, size_t *len)
{
    *len = 0;
    br_ssl_engine_context *eng = t->eng;
    if (t->close_waits)
        start_close(t);
    while (t->err == RMR_OK && !t->finished && *len < dst.len) {
        size_t n;
        const uint8_t *from = br_ssl_engine_sendrec_buf(eng, &n);
        if (!from || n == 0) {
            br_ssl_engine_flush(eng, 0); /* a record of what was gathered */
            from = br_ssl_engine_sendrec_buf(eng, &n);
            if (!from || n == 0)
                break;
        }
        if (n > dst.len - *len)
            n = dst.len - *len;
        memcpy(dst.ptr + *len, from, n);
        rmri_tls_lease_wrote_out(&t->lease, from, n);
        *len += n;
        br_ssl_engine_sendrec_ack(eng, n);
        (void)update(t);
    }
    settle(t);
    /* The last bytes of a failed connection are its alert. */
    return *len > 0 ? RMR_OK : t->err;
}

/* ---- plaintext --------------------------------------------------------- */

static rmr_err can_send(const rmr_tls *t)
{
    if (t->err != RMR_OK)
        return t->err;
    return t->shut || peer_closed(t) ? RMR_E_CLOSED : RMR_OK;
}

rmr_err rmr_tls_reserve(rmr_tls *t, rmr_buf *place)
{
    *place = rmr_buf_of(NULL, 0);
    rmr_err e = can_send(t);
    if (e != RMR_OK)
        return e;
    if (!t->opened || !rmri_tls_lease_for_output(&t->lease, t->eng))
        return RMR_OK;
    size_t room;
    uint8_t *to = br_ssl_engine_sendapp_buf(t->eng, &room);
    if (to) {
        *place = rmr_buf_of(to, room);
        t->lease.lent = true;
    }
    return RMR_OK;
}

rmr_err rmr_tls_commit(rmr_tls *t, size_t n)
{
    rmr_err e = can_send(t);
    if (e != RMR_OK)
        return e;
    size_t room = 0;
    if (n > 0 && (!br_ssl_engine_sendapp_buf(t->eng, &room) || n > room))
        return RMR_E_STATE;
    t->lease.lent = false;
    if (n > 0)
        br_ssl_engine_sendapp_ack(t->eng, n);
    e = update(t);
    settle(t);
    return e;
}

rmr_err rmr_tls_send(rmr_tls *t, rmr_bytes data, size_t *taken)
{
    *taken = 0;
    rmr_err e = can_send(t);
    if (data.len == 0)
        t->lease.lacks_out = false;
    while (e == RMR_OK && *taken < data.len) {
        rmr_buf place;
        e = rmr_tls_reserve(t, &place);
        if (e != RMR_OK || place.len == 0)
            break;
        size_t n = data.len - *taken;
        if (n > place.len)
            n = place.len;
        memcpy(place.ptr, data.ptr + *taken, n);
        *taken += n;
        e = rmr_tls_commit(t, n);
    }
    return e;
}

rmr_err rmr_tls_peek(const rmr_tls *t, rmr_buf *view)
{
    size_t len;
    uint8_t *p = br_ssl_engine_recvapp_buf(t->eng, &len);
    *view = p && !t->shut ? rmr_buf_of(p, len) : rmr_buf_of(NULL, 0);
    return view->len ? RMR_OK : t->err;
}

rmr_err rmr_tls_consume(rmr_tls *t, size_t n)
{
    rmr_buf view;
    (void)rmr_tls_peek(t, &view);
    if (n > view.len)
        return RMR_E_INVAL;
    if (n == 0)
        return RMR_OK;
    br_ssl_engine_recvapp_ack(t->eng, n);
    (void)update(t);
    settle(t);
    return RMR_OK;
}

/* The engine takes no record while plaintext of an older one waits. */
static void drop_plaintext(rmr_tls *t)
{
    size_t n;
    while (br_ssl_engine_recvapp_buf(t->eng, &n))
        br_ssl_engine_recvapp_ack(t->eng, n);
}

rmr_err rmr_tls_shutdown(rmr_tls *t)
{
    if (t->err != RMR_OK)
        return t->err;
    if (t->shut || t->finished)
        return RMR_OK;
    t->shut = true;
    if (t->opened) {
        drop_plaintext(t);
        t->close_waits = true;
        start_close(t);
    } else {
        t->finished = true; /* there is nothing to close yet */
    }
    settle(t);
    return t->err;
}
