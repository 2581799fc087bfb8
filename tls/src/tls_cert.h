/*
 * A reader of the parts of a certificate that BearSSL does not hand out:
 * common name, validity, alternative names.
 *
 * Strict DER with definite lengths; everything is borrowed from the input.
 * Source: RFC 5280 4.1, 4.2.1.6; X.690 8, 10.
 */
#ifndef RMRI_TLS_CERT_H
#define RMRI_TLS_CERT_H

#include <remora/addr.h>
#include <remora/base.h>

typedef struct rmri_tls_cert {
    bool self_issued; /* issuer and subject are equal, byte for byte */
    rmr_bytes cn; /* the last common name of the subject, or no bytes */
    int64_t not_before, not_after; /* Unix seconds */
    rmr_bytes san;                 /* the GeneralNames' content, or no bytes */
} rmri_tls_cert;

/** Errors: MALFORMED. */
rmr_err rmri_tls_cert_read(rmr_bytes der, rmri_tls_cert *out);

bool rmri_tls_cert_is_valid_at(const rmri_tls_cert *c, uint64_t wall_unix_ns);

/* The relay's meta certificate, which is no part of the chain: derp.md 3.4. */
bool rmri_tls_cert_is_derp_meta(const rmri_tls_cert *c);

/* A name that a certificate must hold: an address, or else a DNS name. */
typedef struct rmri_tls_name {
    rmr_addr ip;   /* RMR_AF_NONE: a DNS name   */
    char dns[254]; /* lower case, no final dot  */
} rmri_tls_name;

/** Errors: INVAL (empty, too long, or not a name). */
rmr_err rmri_tls_name_parse(const char *text, rmri_tls_name *out);

/* Only alternative names count; a common name is not looked at (RFC 9525 2). */
bool rmri_tls_cert_has_name(const rmri_tls_cert *c, const rmri_tls_name *n);

/* Does a dNSName from a certificate stand for this lower-case name?  A star
 * stands for exactly the first label (RFC 6125 6.4.3). */
bool rmri_tls_dns_match(rmr_bytes pattern, const char *name);

#endif
