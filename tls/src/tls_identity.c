/* A server's certificates and private key out of PEM text. */
#include "tls_identity.h"
#include <string.h>
#include "tls_cert.h"
#include "tls_ec.h"
#include "tls_pem.h"

#define RSA_MIN_BITS 2048u
#define RSA_MAX_BITS 4096u

rmr_tls_identity *rmri_tls_identity_ref(rmr_tls_identity *id)
{
    id->refs++;
    return id;
}

void rmr_tls_identity_free(rmr_tls_identity *id)
{
    if (!id || --id->refs > 0)
        return;
    rmr_alloc a = id->alloc;
    for (size_t i = 0; i < id->n_chain; i++)
        rmr_release(&a, id->chain[i].data, id->chain[i].data_len);
    rmr_release_wiped(&a, id, sizeof *id);
}

const char *rmr_tls_identity_kind(const rmr_tls_identity *id)
{
    return id->kind;
}

int64_t rmr_tls_identity_not_after(const rmr_tls_identity *id)
{
    return id->not_after;
}

int64_t rmr_tls_identity_not_before(const rmr_tls_identity *id)
{
    return id->not_before;
}

bool rmr_tls_identity_is_of(const rmr_tls_identity *id, const char *name)
{
    const br_x509_certificate *leaf = &id->chain[0];
    rmri_tls_cert cert;
    rmri_tls_name want;
    return rmri_tls_name_parse(name, &want) == RMR_OK &&
           rmri_tls_cert_read(rmr_bytes_of(leaf->data, leaf->data_len),
                              &cert) == RMR_OK &&
           rmri_tls_cert_has_name(&cert, &want);
}

bool rmr_tls_identity_is_self_issued(const rmr_tls_identity *id)
{
    return id->self_issued;
}

void rmr_tls_identity_sha256(const rmr_tls_identity *id, uint8_t out[32])
{
    br_sha256_context sha;
    br_sha256_init(&sha);
    br_sha256_update(&sha, id->chain[0].data, id->chain[0].data_len);
    br_sha256_out(&sha, out);
}

/* ---- the texts --------------------------------------------------------- */

static rmr_err take_certificate(void *user, const rmri_pem_object *o)
{
    rmr_tls_identity *id = user;
    rmr_bytes name = rmr_bytes_str(o->name);
    if (!rmr_bytes_eq_str(name, "CERTIFICATE") &&
        !rmr_bytes_eq_str(name, "X509 CERTIFICATE"))
        return RMR_OK;
    if (o->der.len == 0 || id->n_chain == RMRI_TLS_CHAIN_MAX)
        return RMR_E_TLS_CERT;
    uint8_t *der = rmr_alloc_zero(&id->alloc, o->der.len, 1);
    if (!der)
        return RMR_E_NOMEM;
    memcpy(der, o->der.ptr, o->der.len);
    id->chain[id->n_chain].data = der;
    id->chain[id->n_chain].data_len = o->der.len;
    id->n_chain++;
    return RMR_OK;
}

static rmr_err read_chain(rmr_tls_identity *id, rmr_bytes pem)
{
    rmri_pem_faults faults;
    rmr_err e = rmri_pem_walk(&id->alloc, pem, take_certificate, id, &faults);
    if (e != RMR_OK)
        return e;
    return id->n_chain == 0 || faults.broken || faults.cut ? RMR_E_MALFORMED
                                                           : RMR_OK;
}

/* RFC 8017 A.1.2, RFC 5915 and RFC 5958 by their names of RFC 7468. */
static rmr_err take_key(void *user, const rmri_pem_object *o)
{
    br_skey_decoder_context *key = user;
    rmr_bytes name = rmr_bytes_str(o->name);
    bool is_key = rmr_bytes_eq_str(name, "RSA PRIVATE KEY") ||
                  rmr_bytes_eq_str(name, "EC PRIVATE KEY") ||
                  rmr_bytes_eq_str(name, "PRIVATE KEY");
    if (!is_key || br_skey_decoder_key_type(key))
        return RMR_OK;
    br_skey_decoder_init(key);
    br_skey_decoder_push(key, o->der.ptr, o->der.len);
    return br_skey_decoder_key_type(key) ? RMR_OK : RMR_E_TLS_KEY;
}

static rmr_err read_key(rmr_tls_identity *id, rmr_bytes pem)
{
    rmri_pem_faults faults;
    br_skey_decoder_init(&id->key);
    rmr_err e = rmri_pem_walk(&id->alloc, pem, take_key, &id->key, &faults);
    if (e != RMR_OK)
        return e;
    return br_skey_decoder_key_type(&id->key) ? RMR_OK : RMR_E_TLS_KEY;
}

/* ---- do they belong together ------------------------------------------- */

/* BearSSL's arithmetic has fixed room for the factors. */
static bool rsa_fits(const br_rsa_private_key *sk)
{
    size_t max = RSA_MAX_BITS / 16;
    return sk->n_bitlen >= RSA_MIN_BITS && sk->n_bitlen <= RSA_MAX_BITS &&
           sk->plen <= max && sk->qlen <= max && sk->dplen <= max &&
           sk->dqlen <= max && sk->iqlen <= max;
}

/* What the private key signs, the public one must verify.  (BearSSL's
 * br_rsa_compute_modulus has too little room for 4,096 bits.) */
static rmr_err match_rsa(rmr_tls_identity *id, const br_rsa_public_key *pub)
{
    static const uint8_t hash[32] = {1};
    const br_rsa_private_key *sk = br_skey_decoder_get_rsa(&id->key);
    uint8_t sig[RSA_MAX_BITS / 8], got[sizeof hash];
    if (!rsa_fits(sk))
        return RMR_E_TLS_KEY;
    if (!br_rsa_pkcs1_sign_get_default()(BR_HASH_OID_SHA256, hash, sizeof hash,
                                         sk, sig))
        return RMR_E_TLS_KEY;
    size_t len = (sk->n_bitlen + 7) / 8;
    if (!br_rsa_pkcs1_vrfy_get_default()(sig, len, BR_HASH_OID_SHA256,
                                         sizeof got, pub, got) ||
        memcmp(got, hash, sizeof got) != 0)
        return RMR_E_TLS_KEY_MATCH;
    id->kind = sk->n_bitlen > 3072   ? "RSA 4096"
               : sk->n_bitlen > 2048 ? "RSA 3072"
                                     : "RSA 2048";
    return RMR_OK;
}

static const char *curve_name(int curve)
{
    switch (curve) {
    case BR_EC_secp256r1:
        return "EC P-256";
    case BR_EC_secp384r1:
        return "EC P-384";
    case BR_EC_secp521r1:
        return "EC P-521";
    default:
        return NULL;
    }
}

static rmr_err match_ec(rmr_tls_identity *id, const br_ec_public_key *pub)
{
    const br_ec_private_key *sk = br_skey_decoder_get_ec(&id->key);
    uint8_t q[BR_EC_KBUF_PUB_MAX_SIZE];
    br_ec_public_key own;
    id->kind = curve_name(sk->curve);
    size_t len = id->kind ? br_ec_compute_pub(rmri_tls_ec(), &own, q, sk) : 0;
    if (len == 0)
        return RMR_E_TLS_KEY;
    return sk->curve == pub->curve && len == pub->qlen &&
                   memcmp(q, pub->q, len) == 0
               ? RMR_OK
               : RMR_E_TLS_KEY_MATCH;
}

static rmr_err match_key(rmr_tls_identity *id)
{
    br_x509_decoder_context dec;
    rmri_tls_cert cert;
    const br_x509_certificate *leaf = &id->chain[0];
    br_x509_decoder_init(&dec, NULL, NULL);
    br_x509_decoder_push(&dec, leaf->data, leaf->data_len);
    const br_x509_pkey *pub = br_x509_decoder_get_pkey(&dec);
    if (!pub ||
        rmri_tls_cert_read(rmr_bytes_of(leaf->data, leaf->data_len), &cert))
        return RMR_E_TLS_CERT;
    id->not_before = cert.not_before;
    id->not_after = cert.not_after;
    id->self_issued = cert.self_issued;
    id->issuer_key_type = (unsigned)br_x509_decoder_get_signer_key_type(&dec);
    if (pub->key_type != br_skey_decoder_key_type(&id->key))
        return RMR_E_TLS_KEY_MATCH;
    return pub->key_type == BR_KEYTYPE_RSA ? match_rsa(id, &pub->key.rsa)
                                           : match_ec(id, &pub->key.ec);
}

rmr_err rmr_tls_identity_new(rmr_tls_identity **out, const rmr_env *env,
                             rmr_bytes chain_pem, rmr_bytes key_pem)
{
    *out = NULL;
    rmr_tls_identity *id =
        rmr_alloc_zero(&env->alloc, sizeof *id, _Alignof(rmr_tls_identity));
    if (!id)
        return RMR_E_NOMEM;
    id->alloc = env->alloc;
    id->refs = 1;
    rmr_err e = read_chain(id, chain_pem);
    if (e == RMR_OK)
        e = read_key(id, key_pem);
    if (e == RMR_OK)
        e = match_key(id);
    if (e != RMR_OK) {
        rmr_tls_identity_free(id);
        return e;
    }
    *out = id;
    return RMR_OK;
}
