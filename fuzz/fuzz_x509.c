/*
 * Certificates from a hostile peer: the reader, the names, and the judge of
 * chains and pins.
 *
 * The first byte is the mode; then certificates, each behind two bytes of
 * length.  Checked: the verdict does not depend on the cuts, a pin is only met
 * by exactly one certificate with that hash, an accepted chain has a key.
 */
#include <string.h>

#include "need.h"
#include "support.h"
#include "tls_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CERTS_MAX 20
#define WALL (UINT64_C(1767225600) * RMR_SEC)

enum { M_PIN = 1, M_WRONG_PIN = 2, M_INSECURE = 4, M_PEM = 8, M_IP = 16 };

typedef struct chain {
    rmr_bytes certs[CERTS_MAX];
    size_t n;
} chain;

static void split(chain *c, rmr_bytes in)
{
    c->n = 0;
    while (in.len >= 2 && c->n < CERTS_MAX) {
        size_t len = (size_t)in.ptr[0] << 8 | in.ptr[1];
        if (len > in.len - 2)
            len = in.len - 2;
        c->certs[c->n++] = rmr_bytes_of(in.ptr + 2, len);
        in.ptr += 2 + len;
        in.len -= 2 + len;
    }
}

static void sha256(rmr_bytes in, uint8_t sum[32])
{
    br_sha256_context sha;
    br_sha256_init(&sha);
    br_sha256_update(&sha, in.ptr, in.len);
    br_sha256_out(&sha, sum);
}

static void set_up(rmri_tls_x509 *x, const rmr_alloc *alloc, uint8_t mode,
                   const chain *c, const br_ssl_client_context *cc)
{
    memset(x, 0, sizeof *x);
    need(rmri_tls_name_parse(mode & M_IP ? "192.0.2.1" : "host.test",
                             &x->name) == RMR_OK);
    x->has_pin = mode & (M_PIN | M_WRONG_PIN);
    x->insecure = mode & M_INSECURE;
    if ((mode & M_PIN) && c->n)
        sha256(c->certs[0], x->pin);
    x->wall_unix_ns = WALL;
    rmri_tls_x509_init(x, alloc, NULL, &cc->eng);
}

/* Gives the chain in pieces of `step` (0: whole) and returns the verdict. */
static rmr_err judge(uint8_t mode, const chain *c, size_t step,
                     const br_ssl_client_context *cc)
{
    static rmri_tls_x509 x;
    test_alloc a = {0};
    rmr_alloc alloc = test_alloc_table(&a);
    set_up(&x, &alloc, mode, c, cc);
    const br_x509_class **v = &x.vtable;
    (*v)->start_chain(v, "whatever");
    for (size_t i = 0; i < c->n; i++) {
        rmr_bytes cert = c->certs[i];
        (*v)->start_cert(v, (uint32_t)cert.len);
        for (size_t off = 0; off < cert.len;) {
            size_t n = step && step < cert.len - off ? step : cert.len - off;
            (*v)->append(v, cert.ptr + off, n);
            off += n;
        }
        (*v)->end_cert(v);
    }
    unsigned code = (*v)->end_chain(v), usages = 0;
    need((code == 0) == (x.err == RMR_OK));
    if (code == 0)
        need((*v)->get_pkey(v, &usages) != NULL && usages != 0);
    rmri_tls_x509_wipe(&x);
    need(a.live_blocks == 0);
    return x.err;
}

/* What the reader alone says of each. */
static size_t count_real(const chain *c)
{
    size_t real = 0;
    for (size_t i = 0; i < c->n; i++) {
        rmri_tls_cert cert;
        rmri_tls_name n;
        bool ok = rmri_tls_cert_read(c->certs[i], &cert) == RMR_OK;
        need(ok || (cert.cn.len == 0 && cert.san.len == 0));
        need(rmri_tls_name_parse("a.b.c", &n) == RMR_OK);
        (void)rmri_tls_cert_has_name(&cert, &n);
        (void)rmri_tls_dns_match(cert.san, "a.b.c");
        real += !ok || !rmri_tls_cert_is_derp_meta(&cert);
    }
    return real;
}

static void pem(rmr_bytes in)
{
    test_alloc a = {0};
    rmr_env env = test_env(&a, NULL, NULL);
    rmr_tls_anchors *anchors;
    size_t added = 0, skipped = 0;
    need(rmr_tls_anchors_new(&anchors, &env) == RMR_OK);
    rmr_err e = rmr_tls_anchors_add_pem(anchors, in, &added, &skipped);
    need(e == RMR_OK ? added + skipped > 0 : e == RMR_E_MALFORMED);
    need(rmr_tls_anchors_count(anchors) == added);
    rmr_tls_anchors_free(anchors);
    need(a.live_blocks == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    uint8_t mode = data[0];
    rmr_bytes in = rmr_bytes_of(data + 1, size - 1);
    if (mode & M_PEM) {
        pem(in);
        return 0;
    }
    static br_ssl_client_context cc;
    br_ssl_client_zero(&cc);
    rmri_tls_engine_setup(&cc.eng);
    chain c;
    split(&c, in);
    size_t real = count_real(&c);
    rmr_err e = judge(mode, &c, 0, &cc);
    need(judge(mode, &c, 1, &cc) == e);
    need(judge(mode, &c, 256, &cc) == e);
    /* No anchors: only a pin or the host's own will lets anyone in. */
    if (e == RMR_OK)
        need(mode & (M_PIN | M_INSECURE));
    if (e == RMR_OK && (mode & (M_PIN | M_WRONG_PIN)))
        need(real == 1 && !(mode & M_WRONG_PIN && !(mode & M_PIN)));
    return 0;
}
