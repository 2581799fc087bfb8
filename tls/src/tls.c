/* The byte filter around BearSSL's engine. */
#include <string.h>
#include "tls_internal.h"

#define SEED_LEN 48 /* HMAC_DRBG over SHA-256 wants 32 */

struct rmr_tls {
    rmr_alloc alloc;
    br_ssl_client_context cc;
    rmri_tls_x509 judge;
    rmr_err err;   /* sticky */
    bool opened;   /* the handshake was done once       */
    bool shut;     /* rmr_tls_shutdown was called       */
    bool finished; /* both close_notifies are through   */
    uint8_t buf[BR_SSL_BUFSIZE_BIDI];
};

/* ---- creation ---------------------------------------------------------- */

void rmr_tls_config_init(rmr_tls_config *cfg, size_t struct_size)
{
    memset(cfg, 0, struct_size);
    cfg->struct_size = (uint32_t)struct_size;
}

static rmr_err take_config(rmr_tls *t, const rmr_tls_config *cfg,
                           rmri_tls_name *server)
{
    if (rmri_tls_name_parse(cfg->server_name, server) != RMR_OK)
        return RMR_E_INVAL;
    rmri_tls_x509 *x = &t->judge;
    const char *verify = cfg->verify_name ? cfg->verify_name : cfg->server_name;
    if (rmri_tls_name_parse(verify, &x->name) != RMR_OK)
        return RMR_E_INVAL;
    if (!cfg->anchors && !cfg->pin_sha256 && !cfg->insecure)
        return RMR_E_INVAL;
    x->insecure = cfg->insecure;
    x->has_pin = cfg->pin_sha256 != NULL;
    if (x->has_pin)
        memcpy(x->pin, cfg->pin_sha256, sizeof x->pin);
    x->wall_unix_ns = cfg->wall_unix_ns;
    return RMR_OK;
}

/* The engine's generator has this seed alone: with rng_os_rand_done set it
 * never asks the operating system. */
static rmr_err seed(rmr_tls *t, const rmr_rng *rng)
{
    uint8_t bytes[SEED_LEN];
    rmr_err e = rmr_rng_fill(rng, bytes, sizeof bytes);
    if (e == RMR_OK) {
        t->cc.eng.rng_os_rand_done = 1;
        br_ssl_engine_inject_entropy(&t->cc.eng, bytes, sizeof bytes);
    }
    rmr_wipe(bytes, sizeof bytes);
    return e;
}

static rmr_err start(rmr_tls *t, const rmr_env *env, const rmr_tls_config *cfg)
{
    rmri_tls_name server;
    rmr_err e = take_config(t, cfg, &server);
    if (e != RMR_OK)
        return e;
    br_ssl_engine_context *eng = &t->cc.eng;
    rmri_tls_engine_setup(&t->cc);
    rmri_tls_x509_init(&t->judge, &t->alloc, cfg->anchors, eng);
    br_ssl_engine_set_x509(eng, &t->judge.vtable);
    e = seed(t, &env->rng);
    if (e != RMR_OK)
        return e;
    br_ssl_engine_set_buffer(eng, t->buf, sizeof t->buf, 1);
    /* RFC 6066 3: addresses are not sent. */
    const char *sni = server.ip.family == RMR_AF_NONE ? server.dns : NULL;
    if (!br_ssl_client_reset(&t->cc, sni, 0))
        return rmri_tls_err_of(br_ssl_engine_last_error(eng));
    return RMR_OK;
}

rmr_err rmr_tls_client_new(rmr_tls **out, const rmr_env *env,
                           const rmr_tls_config *cfg)
{
    *out = NULL;
    /* An older program's config is shorter: what it lacks is off. */
    rmr_tls_config own = {0};
    size_t size = cfg->struct_size;
    if (size < sizeof cfg->struct_size)
        return RMR_E_INVAL;
    memcpy(&own, cfg, size < sizeof own ? size : sizeof own);
    rmr_tls *t = rmr_alloc_zero(&env->alloc, sizeof *t, _Alignof(rmr_tls));
    if (!t)
        return RMR_E_NOMEM;
    t->alloc = env->alloc;
    rmr_err e = start(t, env, &own);
    if (e != RMR_OK) {
        rmr_release_wiped(&env->alloc, t, sizeof *t);
        return e;
    }
    *out = t;
    return RMR_OK;
}

void rmr_tls_free(rmr_tls *t)
{
    if (!t)
        return;
    rmr_alloc alloc = t->alloc;
    rmri_tls_x509_wipe(&t->judge);
    rmr_release_wiped(&alloc, t, sizeof *t);
}

/* ---- state ------------------------------------------------------------- */

/* Takes over what the engine has come to. */
static rmr_err update(rmr_tls *t)
{
    const br_ssl_engine_context *eng = &t->cc.eng;
    if (eng->application_data == 1)
        t->opened = true;
    if (t->err != RMR_OK || t->finished ||
        br_ssl_engine_current_state(eng) != BR_SSL_CLOSED)
        return t->err;
    int code = br_ssl_engine_last_error(eng);
    if (code == BR_ERR_OK)
        t->finished = true;
    else if (t->judge.err != RMR_OK)
        t->err = t->judge.err;
    else
        t->err = rmri_tls_err_of(code);
    return t->err;
}

static bool peer_closed(const rmr_tls *t)
{
    return t->finished || t->cc.eng.shutdown_recv;
}

bool rmr_tls_is_open(const rmr_tls *t)
{
    return t->opened;
}

bool rmr_tls_is_closed(const rmr_tls *t)
{
    return t->err != RMR_OK || peer_closed(t);
}

const char *rmr_tls_suite(const rmr_tls *t)
{
    return rmri_tls_suite_name(t->cc.eng.session.cipher_suite);
}

/* ---- ciphertext -------------------------------------------------------- */

rmr_err rmr_tls_read(rmr_tls *t, rmr_bytes in, size_t *consumed)
{
    *consumed = 0;
    while (t->err == RMR_OK && *consumed < in.len && !peer_closed(t)) {
        size_t room;
        uint8_t *to = br_ssl_engine_recvrec_buf(&t->cc.eng, &room);
        if (!to || room == 0)
            break;
        size_t n = in.len - *consumed;
        if (n > room)
            n = room;
        memcpy(to, in.ptr + *consumed, n);
        br_ssl_engine_recvrec_ack(&t->cc.eng, n);
        *consumed += n;
        (void)update(t);
    }
    if (t->err == RMR_OK && peer_closed(t))
        *consumed = in.len; /* nothing can follow a close_notify */
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
    return t->err;
}

rmr_err rmr_tls_write(rmr_tls *t, rmr_buf dst, size_t *len)
{
    *len = 0;
    br_ssl_engine_context *eng = &t->cc.eng;
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
        *len += n;
        br_ssl_engine_sendrec_ack(eng, n);
        (void)update(t);
    }
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
    size_t room;
    uint8_t *to = br_ssl_engine_sendapp_buf(&t->cc.eng, &room);
    if (to)
        *place = rmr_buf_of(to, room);
    return RMR_OK;
}

rmr_err rmr_tls_commit(rmr_tls *t, size_t n)
{
    rmr_err e = can_send(t);
    if (e != RMR_OK)
        return e;
    size_t room = 0;
    if (n > 0 && (!br_ssl_engine_sendapp_buf(&t->cc.eng, &room) || n > room))
        return RMR_E_STATE;
    if (n > 0)
        br_ssl_engine_sendapp_ack(&t->cc.eng, n);
    return update(t);
}

rmr_err rmr_tls_send(rmr_tls *t, rmr_bytes data, size_t *taken)
{
    *taken = 0;
    rmr_err e = can_send(t);
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
    uint8_t *p = br_ssl_engine_recvapp_buf(&t->cc.eng, &len);
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
    br_ssl_engine_recvapp_ack(&t->cc.eng, n);
    (void)update(t);
    return RMR_OK;
}

rmr_err rmr_tls_shutdown(rmr_tls *t)
{
    if (t->err != RMR_OK)
        return t->err;
    if (t->shut || t->finished)
        return RMR_OK;
    t->shut = true;
    if (t->opened) {
        br_ssl_engine_flush(&t->cc.eng, 0);
        br_ssl_engine_close(&t->cc.eng);
    } else {
        t->finished = true; /* there is nothing to close yet */
    }
    return update(t);
}
