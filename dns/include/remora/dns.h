/*
 * remora/dns.h - DNS messages and a stub resolver over datagrams.
 *
 * The resolver asks the name servers that the host told, answers from hosts(5)
 * text and address literals first, retries and times out; the host moves the
 * datagrams.  It changes no system setting and reads no file.  Answers are not
 * cached beyond their query.
 *
 * Threading: one object, one thread.  Memory: bounded by the config.
 * Time: `now`, monotonic ns.
 * Source: RFC 1035, 3596 (AAAA), 5452 (random ids; the host should use a fresh
 * port), 6761 6.3 (localhost), 2181.
 */
#ifndef REMORA_DNS_H
#define REMORA_DNS_H

#include <remora/addr.h>
#include <remora/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RMR_DNS_MAX_ADDRS 16
#define RMR_DNS_MAX_MSG 1232

typedef struct rmr_dns rmr_dns;

typedef struct rmr_dns_callbacks {
    void *user;
    /* err OK: addrs (port 0), IPv6 and IPv4 mixed in the order to try; else
     * NOTFOUND (no such name), TIMEOUT, REFUSED (server failure), MALFORMED. */
    void (*on_answer)(void *user, uint64_t id, rmr_err err,
                      const rmr_addr *addrs, size_t n);
} rmr_dns_callbacks;

typedef struct rmr_dns_config {
    uint32_t max_queries;   /* 0: 64 */
    rmr_dur try_timeout;    /* 0: 2 s */
    uint32_t tries;         /* over all servers, 0: 4 */
    rmr_dns_callbacks callbacks;
} rmr_dns_config;

RMR_API rmr_err rmr_dns_new(rmr_dns **out, const rmr_env *env,
                            const rmr_dns_config *cfg);
RMR_API void rmr_dns_free(rmr_dns *d); /* no callbacks */
/** Copied.  Replaces the old set. */
RMR_API rmr_err rmr_dns_set_servers(rmr_dns *d, const rmr_addr *servers,
                                    size_t n, rmr_bytes hosts,
                                    rmr_bytes search);
/** Starts a look-up of IPv4 and IPv6 addresses; the answer may come before this
 *  returns (literals, hosts, localhost).
 *  Errors: INVAL (not a name), FULL, RNG, UNREACHABLE (no name servers). */
RMR_API rmr_err rmr_dns_query(rmr_dns *d, rmr_time now, uint64_t id,
                              const char *name);
RMR_API void rmr_dns_cancel(rmr_dns *d, uint64_t id);
/** A datagram from a name server.  Errors: MALFORMED, UNKNOWN: ignored. */
RMR_API rmr_err rmr_dns_read_pkt(rmr_dns *d, rmr_time now,
                                 const rmr_addr *from, rmr_bytes datagram);
/** The next query to send; *len 0: none now. */
RMR_API rmr_err rmr_dns_write_pkt(rmr_dns *d, rmr_time now, rmr_buf dst,
                                  size_t *len, rmr_addr *to);
RMR_API rmr_time rmr_dns_next_deadline(const rmr_dns *d);
RMR_API rmr_err rmr_dns_handle_deadline(rmr_dns *d, rmr_time now);
/** True when no query is open: the host may close its socket. */
RMR_API bool rmr_dns_is_idle(const rmr_dns *d);

#ifdef __cplusplus
}
#endif
#endif
