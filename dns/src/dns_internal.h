/* DNS messages and names, for the resolver and for tests. */
#ifndef RMRI_DNS_INTERNAL_H
#define RMRI_DNS_INTERNAL_H

#include <remora/dns.h>

/* A name in wire form (RFC 1035 3.1), lower-case and uncompressed, so that two
 * names are one when their bytes are: labels may hold dots. */
typedef struct rmri_dns_name {
    uint8_t len; /* with the zero at its end; 0: no name */
    uint8_t wire[255];
} rmri_dns_name;

enum { RMRI_DNS_A = 1, RMRI_DNS_CNAME = 5, RMRI_DNS_AAAA = 28 };
enum {
    RMRI_DNS_NOERROR = 0,
    RMRI_DNS_FORMERR = 1,
    RMRI_DNS_NXDOMAIN = 3,
    RMRI_DNS_NOTIMP = 4
};

typedef struct rmri_dns_head { /* of an answer; msg is borrowed */
    uint16_t id;
    uint8_t rcode;
    bool is_cut; /* TC */
    bool has_question;
    uint16_t type;
    rmri_dns_name name;
    rmr_bytes msg;
    size_t answers_at;
    uint16_t n_answers;
} rmri_dns_head;

typedef uint8_t rmri_dns_ip[16]; /* the first four for A */

/* A host name of text, with or without a dot at its end, after `suffix` was put
 * behind it (may be empty).  Errors: RMR_E_INVAL. */
rmr_err rmri_dns_name_of(rmr_bytes text, rmr_bytes suffix, rmri_dns_name *out);
bool rmri_dns_name_eq(const rmri_dns_name *a, const rmri_dns_name *b);
bool rmri_dns_name_is_single(const rmri_dns_name *n);
/* Is the last label (or the whole name) this one? */
bool rmri_dns_name_ends(const rmri_dns_name *n, const char *label);
/* Reads a name at *at and moves behind it.  False: broken. */
bool rmri_dns_read_name(rmr_bytes msg, size_t *at, rmri_dns_name *out);

/* Errors: RMR_E_BUFSIZE. */
rmr_err rmri_dns_build(rmr_buf dst, size_t *len, uint16_t id,
                       const rmri_dns_name *name, uint16_t type, bool edns);
/* Errors: RMR_E_MALFORMED. */
rmr_err rmri_dns_parse_head(rmr_bytes msg, rmri_dns_head *out);
/* The addresses of the question's type, through CNAMEs.
 * Errors: RMR_E_MALFORMED. */
rmr_err rmri_dns_parse_ips(const rmri_dns_head *h, rmri_dns_ip *ips, size_t cap,
                           size_t *n);

/* Addresses of a name in hosts(5) text; returns how many. */
size_t rmri_dns_find_host(rmr_bytes hosts, rmr_bytes name, rmr_addr *out,
                          size_t cap);
/* The next word between blanks, taken off *text; empty at the end. */
rmr_bytes rmri_dns_next_word(rmr_bytes *text);
/* Bytes up to `max` that end with a whole piece. */
size_t rmri_dns_cut(rmr_bytes text, size_t max, const char *ends);

#endif
