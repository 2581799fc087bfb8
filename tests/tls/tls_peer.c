#include "tls_peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void die(const char *what, const char *name)
{
    (void)fprintf(stderr, "tls_peer: %s: %s\n", what, name);
    abort();
}

size_t peer_load_text(const char *name, char *dst, size_t cap)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/tls/%s", REMORA_VECTORS, name);
    FILE *f = fopen(path, "rb");
    if (!f)
        die("can't open", path);
    size_t len = fread(dst, 1, cap, f);
    if (len == cap || ferror(f))
        die("can't read", path);
    (void)fclose(f);
    dst[len] = '\0';
    return len;
}

static void take(void *user, const void *src, size_t len)
{
    der_file *d = user;
    if (len > sizeof d->bytes - d->len)
        die("too long", "PEM object");
    memcpy(d->bytes + d->len, src, len);
    d->len += len;
}

size_t peer_load_pem(const char *name, der_file *dst, size_t max)
{
    static char text[32 * 1024];
    size_t len = peer_load_text(name, text, sizeof text), off = 0, n = 0;
    br_pem_decoder_context dec;
    br_pem_decoder_init(&dec);
    while (off < len) {
        off += br_pem_decoder_push(&dec, text + off, len - off);
        switch (br_pem_decoder_event(&dec)) {
        case BR_PEM_BEGIN_OBJ:
            if (n == max)
                die("too many objects", name);
            dst[n].len = 0;
            br_pem_decoder_setdest(&dec, take, &dst[n]);
            break;
        case BR_PEM_END_OBJ:
            n++;
            break;
        case BR_PEM_ERROR:
            die("not PEM", name);
            break;
        default:
            break;
        }
    }
    return n;
}

static void load_chain(tls_peer *p, const char *certs)
{
    char list[256];
    (void)snprintf(list, sizeof list, "%s", certs);
    for (char *name = strtok(list, "+"); name; name = strtok(NULL, "+"))
        p->n_chain +=
            peer_load_pem(name, p->files + p->n_chain, PEER_CERTS - p->n_chain);
    for (size_t i = 0; i < p->n_chain; i++) {
        p->chain[i].data = p->files[i].bytes;
        p->chain[i].data_len = p->files[i].len;
    }
}

void peer_init(tls_peer *p, const char *certs, const char *key)
{
    memset(p, 0, sizeof *p);
    load_chain(p, certs);
    der_file k;
    if (peer_load_pem(key, &k, 1) != 1)
        die("no key", key);
    br_skey_decoder_init(&p->key);
    br_skey_decoder_push(&p->key, k.bytes, k.len);
    if (br_skey_decoder_key_type(&p->key) == BR_KEYTYPE_RSA)
        br_ssl_server_init_full_rsa(&p->sc, p->chain, p->n_chain,
                                    br_skey_decoder_get_rsa(&p->key));
    else if (br_skey_decoder_key_type(&p->key) == BR_KEYTYPE_EC)
        br_ssl_server_init_full_ec(&p->sc, p->chain, p->n_chain, BR_KEYTYPE_EC,
                                   br_skey_decoder_get_ec(&p->key));
    else
        die("unknown key", key);
    br_ssl_engine_set_buffer(&p->sc.eng, p->buf, sizeof p->buf, 1);
    peer_start(p);
}

void peer_start(tls_peer *p)
{
    static const uint8_t seed[32] = "the server's seed in all tests";
    p->sc.eng.rng_os_rand_done = 1;
    br_ssl_engine_inject_entropy(&p->sc.eng, seed, sizeof seed);
    if (!br_ssl_server_reset(&p->sc))
        die("server", "does not start");
}

bool peer_is_closed(const tls_peer *p)
{
    return br_ssl_engine_current_state(&p->sc.eng) == BR_SSL_CLOSED;
}

/* Takes over the server's plaintext and ciphertext. */
static bool collect(tls_peer *p)
{
    bool moved = false;
    size_t n;
    const uint8_t *app = br_ssl_engine_recvapp_buf(&p->sc.eng, &n);
    if (app && n) {
        if (n > sizeof p->in - p->in_len)
            die("too much", "plaintext");
        memcpy(p->in + p->in_len, app, n);
        p->in_len += n;
        br_ssl_engine_recvapp_ack(&p->sc.eng, n);
        moved = true;
    }
    const uint8_t *rec = br_ssl_engine_sendrec_buf(&p->sc.eng, &n);
    if (n > sizeof p->out - p->out_len)
        n = sizeof p->out - p->out_len;
    if (rec && n) {
        memcpy(p->out + p->out_len, rec, n);
        p->out_len += n;
        br_ssl_engine_sendrec_ack(&p->sc.eng, n);
        moved = true;
    }
    return moved;
}

static void into_server(tls_peer *p, const uint8_t *from, size_t len)
{
    while (len) {
        size_t n;
        uint8_t *to = br_ssl_engine_recvrec_buf(&p->sc.eng, &n);
        if (!to || n == 0) {
            if (!collect(p))
                return; /* closed */
            continue;
        }
        if (n > len)
            n = len;
        memcpy(to, from, n);
        br_ssl_engine_recvrec_ack(&p->sc.eng, n);
        from += n;
        len -= n;
    }
}

static bool client_to_server(tls_peer *p, rmr_tls *t, size_t step, rmr_err *e)
{
    uint8_t tmp[4096];
    size_t len;
    rmr_err w = rmr_tls_write(
        t, rmr_buf_of(tmp, step < sizeof tmp ? step : sizeof tmp), &len);
    if (w != RMR_OK && *e == RMR_OK)
        *e = w;
    into_server(p, tmp, len);
    return len > 0;
}

void peer_take(tls_peer *p, rmr_tls *t, size_t step)
{
    rmr_err e = RMR_OK;
    while (client_to_server(p, t, step, &e) || collect(p))
        ;
}

static bool server_to_client(tls_peer *p, rmr_tls *t, size_t step, rmr_err *e)
{
    size_t n = p->out_len < step ? p->out_len : step, used;
    if (n == 0)
        return false;
    /* An exact copy, so that a sanitizer sees a read past it. */
    uint8_t *piece = malloc(n);
    if (!piece)
        abort();
    memcpy(piece, p->out, n);
    rmr_err r = rmr_tls_read(t, rmr_bytes_of(piece, n), &used);
    free(piece);
    memmove(p->out, p->out + used, p->out_len - used);
    p->out_len -= used;
    if (r != RMR_OK && *e == RMR_OK)
        *e = r;
    return used > 0;
}

rmr_err peer_pump(tls_peer *p, rmr_tls *t, size_t step)
{
    rmr_err e = RMR_OK;
    bool moved = true;
    while (moved) {
        moved = client_to_server(p, t, step, &e);
        moved |= collect(p);
        moved |= e == RMR_OK && server_to_client(p, t, step, &e);
    }
    return e;
}

void peer_send(tls_peer *p, const void *data, size_t len)
{
    const uint8_t *from = data;
    while (len) {
        size_t n;
        uint8_t *to = br_ssl_engine_sendapp_buf(&p->sc.eng, &n);
        if (!to || n == 0) {
            if (!collect(p))
                die("server", "takes no plaintext");
            continue;
        }
        if (n > len)
            n = len;
        memcpy(to, from, n);
        br_ssl_engine_sendapp_ack(&p->sc.eng, n);
        from += n;
        len -= n;
    }
    br_ssl_engine_flush(&p->sc.eng, 0);
    (void)collect(p);
}
