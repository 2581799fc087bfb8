/*
 * remora/dns.h - a stub resolver over datagrams, and streams behind cut
 * answers.
 *
 * The resolver asks the name servers that the host told, answers from hosts(5)
 * text and address literals first, retries and times out; the host moves the
 * messages.  It changes no system setting and reads no file.  Answers are not
 * cached beyond their query.  Behind an answer that was cut off it asks the
 * same server by TCP, where the host can open streams (can_tcp); else, and
 * where that fails, it takes what there is.  It validates no signatures
 * (DNSSEC).
 *
 * Threading: one object, one thread.  Memory: bounded by the config; a query
 * takes about 1.2 KiB while it is open, an answer by TCP up to 64 KiB, of which
 * there are RMR_DNS_MAX_STREAMS at once.  Time: `now`, monotonic ns.
 * Source: RFC 1035, 3596 (AAAA), 5452 (random ids; the host should use a fresh
 * port), 6761 6.3 (localhost), 2181, 6891 (EDNS), 7766 (TCP), 8305 (order of
 * families).
 *
 *     rmr_dns_new(&d, &env, &cfg);
 *     rmr_dns_set_servers(d, servers, n, hosts, search);
 *     rmr_dns_query(d, now, id, "relay.example");
 *     each turn:
 *         datagram in:  rmr_dns_read_pkt(d, now, &from, datagram);
 *         if (now >= rmr_dns_next_deadline(d)) rmr_dns_handle_deadline(d, now);
 *         while (!rmr_dns_write_pkt(d, now, dst, &len, &to) && len) send;
 *         while (rmr_dns_next_stream(d, now, &id, &to)) connect;
 *     on_answer comes once for each query.
 */
#ifndef REMORA_DNS_H
#define REMORA_DNS_H

#include <remora/addr.h>
#include <remora/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RMR_DNS_MAX_ADDRS 16
#define RMR_DNS_MAX_MSG 1232  /* of an answer, as asked for by EDNS       */
#define RMR_DNS_MAX_QUERY 512 /* what rmr_dns_write_pkt wants as room     */
#define RMR_DNS_MAX_SERVERS 8
#define RMR_DNS_MAX_STREAMS 4 /* at once; more questions wait for a place  */
#define RMR_DNS_MAX_HOSTS ((size_t)64 * 1024)
#define RMR_DNS_MAX_SEARCH 512

typedef struct rmr_dns rmr_dns;

typedef struct rmr_dns_callbacks {
    void *user;
    /* err OK: addrs (port 0), IPv6 and IPv4 mixed in the order to try; else
     * NOTFOUND (no such name, or it has no address), TIMEOUT, REFUSED (server
     * failure), MALFORMED.  Within it rmr_dns_query and rmr_dns_cancel may be
     * called, and the look functions. */
    void (*on_answer)(void *user, uint64_t id, rmr_err err,
                      const rmr_addr *addrs, size_t n);
} rmr_dns_callbacks;

typedef struct rmr_dns_config {
    uint32_t max_queries;   /* 0: 64 */
    rmr_dur try_timeout;    /* 0: 2 s */
    uint32_t tries;         /* over all servers, 0: 4 */
    rmr_dns_callbacks callbacks;
    bool can_tcp;           /* the host opens streams: rmr_dns_next_stream */
} rmr_dns_config;

typedef struct rmr_dns_stats {
    uint64_t queries;        /* accepted by rmr_dns_query              */
    uint64_t sent, received; /* datagrams; received: as the answer to one */
    uint64_t timeouts;       /* tries that nobody answered             */
    uint64_t failures;       /* answers that were a server's failure   */
    uint64_t ignored_unknown, ignored_malformed; /* datagrams dropped  */
    uint64_t streams;        /* asked for, behind cut answers          */
    uint64_t stream_failures; /* of them: without an answer of use     */
} rmr_dns_stats;

/**
 * Makes a resolver without servers.                                  [submit]
 *
 * \param env, cfg  Copied.
 *
 * Effects: allocates; no output, no deadline.
 * Errors:  RMR_E_INVAL (no on_answer), RMR_E_NOMEM.
 * Source:  none.
 */
RMR_API rmr_err rmr_dns_new(rmr_dns **out, const rmr_env *env,
                            const rmr_dns_config *cfg);

/**
 * Frees it and its open queries, without callbacks; NULL is allowed. Not from
 * within a callback.                                                    [pump]
 *
 * Effects: open queries end without an answer.
 * Errors:  none.
 * Source:  none.
 */
RMR_API void rmr_dns_free(rmr_dns *d);

/**
 * Replaces the name servers, the hosts text and the search domains; all
 * copied.                                                            [submit]
 *
 * \param servers  In order of preference; port 0 is 53; the first
 *                 RMR_DNS_MAX_SERVERS are kept.
 * \param hosts    hosts(5) text; kept up to RMR_DNS_MAX_HOSTS bytes of whole
 *                 lines.
 * \param search   Domains with blanks between them, for names of one label;
 *                 kept up to RMR_DNS_MAX_SEARCH bytes of whole domains.
 *
 * Effects: open queries are sent again, to the new servers.
 * Errors: RMR_E_NOMEM; nothing is changed then.
 * Source: RFC 1034 5.3.1.
 */
RMR_API rmr_err rmr_dns_set_servers(rmr_dns *d, const rmr_addr *servers,
                                    size_t n, rmr_bytes hosts,
                                    rmr_bytes search);

/**
 * Starts a look-up of IPv4 and IPv6 addresses; the answer may come before this
 * returns (literals, hosts, localhost).                              [submit]
 *
 * \param id    The caller's; told back in on_answer.
 * \param name  Copied.  Of letters, digits, '-' and '_'; a dot at its end
 *              means: without search domains.
 *
 * Effects: on_answer at most once now; else creates output, sets a deadline.
 * Errors: RMR_E_INVAL (not a name), RMR_E_FULL, RMR_E_RNG, RMR_E_NOMEM,
 *         RMR_E_UNREACHABLE (no name servers); no on_answer follows then.
 * Source: RFC 1035 2.3.4, RFC 6761 6.3 and 6.4, RFC 7686 2.
 */
RMR_API rmr_err rmr_dns_query(rmr_dns *d, rmr_time now, uint64_t id,
                              const char *name);

/**
 * Forgets all queries of that id; no on_answer follows.              [submit]
 *
 * Effects: may move the deadline.
 * Errors:  none.
 * Source:  none.
 */
RMR_API void rmr_dns_cancel(rmr_dns *d, uint64_t id);

/**
 * A datagram from a name server.                                        [pump]
 *
 * \param from  Must be a server that was asked, port included.
 *
 * Effects: on_answer at most once; may create output; may move the deadline.
 * Errors: RMR_E_MALFORMED (no DNS answer), RMR_E_UNKNOWN (nobody asked that, or
 *         not there): ignored and counted; RMR_E_REENTRANT.
 * Source: RFC 1035 4.1, 7.3; RFC 5452 9.1 (what an answer must match).
 */
RMR_API rmr_err rmr_dns_read_pkt(rmr_dns *d, rmr_time now,
                                 const rmr_addr *from, rmr_bytes datagram);

/**
 * The next query to send; *len 0: none now.                             [pump]
 *
 * Effects: moves the deadline.
 * Errors: RMR_E_BUFSIZE (dst below RMR_DNS_MAX_QUERY), RMR_E_REENTRANT.
 * Source: RFC 1035 4.1, RFC 6891 6.1.
 */
RMR_API rmr_err rmr_dns_write_pkt(rmr_dns *d, rmr_time now, rmr_buf dst,
                                  size_t *len, rmr_addr *to);

/**
 * A server to open a stream to, for one question; false: none now.      [pump]
 *
 * \param stream  The resolver's number of it, never 0.
 * \param to      Where to connect.
 *
 * Effects: at most RMR_DNS_MAX_STREAMS are out; the rest wait, and time out.
 * Errors:  none; false in a callback.
 * Lifetime: until rmr_dns_has_stream says no.
 * Source:  RFC 7766 5 (TCP behind a cut answer).
 */
RMR_API bool rmr_dns_next_stream(rmr_dns *d, rmr_time now, uint64_t *stream,
                                 rmr_addr *to);

/**
 * What to send on an open stream; *len 0: nothing (more).               [pump]
 *
 * Effects: none beyond dst: the whole question comes once.
 * Errors:  RMR_E_BUFSIZE (dst below RMR_DNS_MAX_QUERY), RMR_E_UNKNOWN (the
 *          stream is not wanted any more), RMR_E_REENTRANT.
 * Source:  RFC 7766 8 (the length goes with the message, in one write).
 */
RMR_API rmr_err rmr_dns_write_stream(rmr_dns *d, rmr_time now, uint64_t stream,
                                     rmr_buf dst, size_t *len);

/**
 * Bytes of a stream, cut as they came.                                  [pump]
 *
 * Effects: on_answer at most once; may create output; may move the deadline;
 *          behind an answer, or what is none, the stream is not wanted.
 * Errors:  RMR_E_MALFORMED, RMR_E_NOMEM (it is given up); RMR_E_UNKNOWN (it was
 *          not wanted before); RMR_E_REENTRANT.
 * Source:  RFC 1035 4.2.2; RFC 7766 8; RFC 5452 9.1.
 */
RMR_API rmr_err rmr_dns_read_stream(rmr_dns *d, rmr_time now, uint64_t stream,
                                    rmr_bytes bytes);

/**
 * A stream could not be opened, or ended.                               [pump]
 *
 * Effects: what the cut answer had is taken, or another server is asked:
 *          on_answer at most once; may create output.
 * Errors:  none; one that is not wanted is ignored.
 * Source:  RFC 7766 6.2.4.
 */
RMR_API void rmr_dns_end_stream(rmr_dns *d, rmr_time now, uint64_t stream);

/**
 * Is the stream wanted still?  If not the host closes it.               [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  none.
 */
RMR_API bool rmr_dns_has_stream(const rmr_dns *d, uint64_t stream);

/**
 * When a try times out; RMR_TIME_NEVER when idle.                       [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  contract T4.
 */
RMR_API rmr_time rmr_dns_next_deadline(const rmr_dns *d);

/**
 * Ends tries that nobody answered: the next server, or the end.         [pump]
 *
 * Effects: on_answer for queries that end; may create output; the deadline is
 *          later than `now` after it.
 * Errors: RMR_E_REENTRANT.
 * Source: RFC 1035 7.2; RFC 8305 3 (one family need not wait for the other).
 */
RMR_API rmr_err rmr_dns_handle_deadline(rmr_dns *d, rmr_time now);

/**
 * True when no query is open: the host may close its socket.            [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  RFC 5452 9.2 (a fresh port is a fresh secret).
 */
RMR_API bool rmr_dns_is_idle(const rmr_dns *d);

/**
 * The counters, by value.                                               [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  none.
 */
RMR_API void rmr_dns_get_stats(const rmr_dns *d, rmr_dns_stats *out);

#ifdef __cplusplus
}
#endif
#endif
