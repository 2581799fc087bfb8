/* Trust anchors out of PEM text. */
#include <string.h>
#include "tls_internal.h"
#include "tls_pem.h"

#define DN_MAX 1024

rmr_err rmr_tls_anchors_new(rmr_tls_anchors **out, const rmr_env *env)
{
    *out = NULL;
    rmr_tls_anchors *a =
        rmr_alloc_zero(&env->alloc, sizeof *a, _Alignof(rmr_tls_anchors));
    if (!a)
        return RMR_E_NOMEM;
    a->alloc = env->alloc;
    *out = a;
    return RMR_OK;
}

static size_t key_size(const br_x509_pkey *k)
{
    return k->key_type == BR_KEYTYPE_RSA ? k->key.rsa.nlen + k->key.rsa.elen
                                         : k->key.ec.qlen;
}

static void drop_from(rmr_tls_anchors *a, size_t first)
{
    for (size_t i = first; i < a->len; i++) {
        br_x509_trust_anchor *ta = &a->list[i];
        rmr_release(&a->alloc, ta->dn.data, ta->dn.len + key_size(&ta->pkey));
    }
    a->len = first;
}

void rmr_tls_anchors_free(rmr_tls_anchors *a)
{
    if (!a)
        return;
    rmr_alloc alloc = a->alloc;
    drop_from(a, 0);
    rmr_release(&alloc, a->list, a->cap * sizeof a->list[0]);
    rmr_release(&alloc, a, sizeof *a);
}

size_t rmr_tls_anchors_count(const rmr_tls_anchors *a)
{
    return a->len;
}

static rmr_err make_room(rmr_tls_anchors *a)
{
    if (a->len < a->cap)
        return RMR_OK;
    size_t cap = a->cap ? a->cap * 2 : 8;
    br_x509_trust_anchor *list = rmr_alloc_zero(&a->alloc, cap * sizeof *list,
                                                _Alignof(br_x509_trust_anchor));
    if (!list)
        return RMR_E_NOMEM;
    if (a->len)
        memcpy(list, a->list, a->len * sizeof *list);
    rmr_release(&a->alloc, a->list, a->cap * sizeof *list);
    a->list = list;
    a->cap = cap;
    return RMR_OK;
}

static uint8_t *put(uint8_t *at, unsigned char **field, const void *src,
                    size_t len)
{
    memcpy(at, src, len);
    *field = at;
    return at + len;
}

static rmr_err add(rmr_tls_anchors *a, rmr_bytes dn, const br_x509_pkey *key,
                   bool is_ca)
{
    rmr_err e = make_room(a);
    if (e != RMR_OK)
        return e;
    uint8_t *at = rmr_alloc_zero(&a->alloc, dn.len + key_size(key), 1);
    if (!at)
        return RMR_E_NOMEM;
    br_x509_trust_anchor *ta = &a->list[a->len++];
    memset(ta, 0, sizeof *ta);
    ta->flags = is_ca ? BR_X509_TA_CA : 0;
    ta->dn.len = dn.len;
    at = put(at, &ta->dn.data, dn.ptr, dn.len);
    ta->pkey = *key;
    if (key->key_type == BR_KEYTYPE_RSA) {
        at = put(at, &ta->pkey.key.rsa.n, key->key.rsa.n, key->key.rsa.nlen);
        (void)put(at, &ta->pkey.key.rsa.e, key->key.rsa.e, key->key.rsa.elen);
    } else {
        (void)put(at, &ta->pkey.key.ec.q, key->key.ec.q, key->key.ec.qlen);
    }
    return RMR_OK;
}

/* ---- PEM --------------------------------------------------------------- */

struct reader {
    rmr_tls_anchors *a;
    size_t skipped;
    uint8_t dn[DN_MAX];
    size_t dn_len;
    bool dn_overflow;
};

static void take_dn(void *user, const void *src, size_t len)
{
    struct reader *r = user;
    if (len > sizeof r->dn - r->dn_len) {
        r->dn_overflow = true;
        return;
    }
    memcpy(r->dn + r->dn_len, src, len);
    r->dn_len += len;
}

static bool is_certificate(const char *name)
{
    rmr_bytes n = rmr_bytes_str(name);
    return rmr_bytes_eq_str(n, "CERTIFICATE") ||
           rmr_bytes_eq_str(n, "X509 CERTIFICATE") ||
           rmr_bytes_eq_str(n, "TRUSTED CERTIFICATE");
}

static rmr_err add_object(void *user, const rmri_pem_object *o)
{
    struct reader *r = user;
    if (!is_certificate(o->name))
        return RMR_OK;
    br_x509_decoder_context dec;
    r->dn_len = 0;
    r->dn_overflow = false;
    br_x509_decoder_init(&dec, take_dn, r);
    br_x509_decoder_push(&dec, o->der.ptr, o->der.len);
    const br_x509_pkey *key = br_x509_decoder_get_pkey(&dec);
    if (!key || r->dn_overflow || r->dn_len == 0) {
        r->skipped++;
        return RMR_OK;
    }
    return add(r->a, rmr_bytes_of(r->dn, r->dn_len), key,
               br_x509_decoder_isCA(&dec) != 0);
}

rmr_err rmr_tls_anchors_add_pem(rmr_tls_anchors *a, rmr_bytes pem,
                                size_t *added, size_t *skipped)
{
    size_t before = a->len;
    struct reader r = {.a = a};
    rmri_pem_faults faults;
    if (added)
        *added = 0;
    if (skipped)
        *skipped = 0;
    rmr_err e = rmri_pem_walk(&a->alloc, pem, add_object, &r, &faults);
    if (e != RMR_OK) {
        drop_from(a, before);
        return e;
    }
    size_t skips = r.skipped + faults.broken;
    if (added)
        *added = a->len - before;
    if (skipped)
        *skipped = skips;
    return a->len == before && skips == 0 ? RMR_E_MALFORMED : RMR_OK;
}
