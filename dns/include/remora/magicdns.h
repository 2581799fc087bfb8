/*
 * remora/magicdns.h - answers DNS questions as a tailnet's node does.
 *
 * Names of nodes, extra records and reverse names are answered from the host's
 * tables; names of routes and all others are forwarded to resolvers, whose
 * messages the host moves.  It opens no socket, changes no system setting,
 * caches nothing and validates no signatures (DNSSEC).
 *
 * The order for a name: `.onion` does not exist; a node or an extra record; a
 * name below a node that allows it; a 4via6 name; the zones that this node
 * alone answers for (all else in them does not exist); the route of the longest
 * suffix; the resolvers for all names; those of the system.
 *
 * Threading: one object, one thread.  Memory: the table's copy, and 1.8 KiB a
 * question that was forwarded, at most RMR_MD_MAX_OPEN of them.  Time: `now`,
 * monotonic ns.
 * Source: RFC 1035, 3596, 5452 9, 6891, 7686 2, 7766, 8484;
 * tailscale.com/net/dns.
 *
 *     rmr_md_new(&md, &env, &callbacks);
 *     rmr_md_set(md, &table);
 *     each turn:
 *         a client's message:    rmr_md_ask(md, now, client, false, msg);
 *         a resolver's message:  rmr_md_read(md, now, &from, false, msg);
 *         if (now >= rmr_md_next_deadline(md)) rmr_md_handle_deadline(md, now);
 *         while (rmr_md_next(md, now, &out)) send(out.to, out.tcp, out.msg);
 *     on_answer comes once for each question, unless it is forgotten.
 */
#ifndef REMORA_MAGICDNS_H
#define REMORA_MAGICDNS_H

#include <remora/addr.h>
#include <remora/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RMR_MD_MAX_OPEN 128      /* forwarded and not answered             */
#define RMR_MD_MAX_QUERY 1232    /* bytes of a question that is forwarded  */
#define RMR_MD_MAX_UDP 4095      /* bytes of an answer by UDP              */
#define RMR_MD_MAX_RESOLVERS 8   /* asked for one question                 */
#define RMR_MD_MAX_ADDRS 8       /* of one host                            */
#define RMR_MD_NAME_MAX 256
#define RMR_MD_TTL 600           /* seconds                                */

typedef struct rmr_md rmr_md;

typedef struct rmr_md_host {
    rmr_addr addrs[RMR_MD_MAX_ADDRS]; /* ports don't matter */
    size_t n_addrs;
    bool with_subdomains; /* names below it have its addresses */
} rmr_md_host;

typedef struct rmr_md_callbacks {
    void *user;
    /* A node by its whole name, in lower case without a final dot; false: none.
     * Not asked for names that are no host names. */
    bool (*find_name)(void *user, const char *name, rmr_md_host *out);
    /* The name of the node with that address; false: none. */
    bool (*find_addr)(void *user, const rmr_addr *ip,
                      char name[RMR_MD_NAME_MAX]);
    /* The answer to a client, borrowed; it fits the client's UDP. */
    void (*on_answer)(void *user, uint64_t client, rmr_bytes msg);
} rmr_md_callbacks;

typedef struct rmr_md_route {
    const char *suffix;        /* "" or ".": all names                       */
    const rmr_addr *resolvers; /* port 0 is 53                               */
    size_t n_resolvers;
    bool is_own; /* this node answers for it alone, and has no resolvers */
} rmr_md_route;

typedef struct rmr_md_record { /* one address of a name */
    const char *name;
    rmr_addr addr;
} rmr_md_record;

typedef struct rmr_md_table {
    bool proxied;       /* MagicDNS is on: the suffix and the tailnet's
                           reverse zones are this node's own                 */
    const char *suffix; /* of this tailnet's names; "": unknown              */
    const rmr_md_record *records;
    size_t n_records;
    const rmr_md_route *routes;
    size_t n_routes;
    const rmr_addr *resolvers; /* for what no route takes                    */
    size_t n_resolvers;
    const rmr_addr *system; /* when there are none of these                  */
    size_t n_system;
    const rmr_addr *http; /* which of all these are asked by HTTP, with their
                             ports; the first RMR_MD_MAX_RESOLVERS           */
    size_t n_http;
} rmr_md_table;

typedef enum rmr_md_place { /* where the answer to a name comes from */
    RMR_MD_OWN,       /* the tables, a name that exists      */
    RMR_MD_NOWHERE,   /* a zone of ours without that name    */
    RMR_MD_ROUTE,     /* resolvers of a route                */
    RMR_MD_RESOLVERS, /* resolvers for all names             */
    RMR_MD_SYSTEM     /* it is not the tailnet's             */
} rmr_md_place;

typedef struct rmr_md_out { /* a question for a resolver */
    uint64_t id; /* of rmr_md_failed */
    rmr_addr to;
    bool tcp;      /* behind a length of two bytes, on a stream of its own */
    bool http;     /* with tcp: POST /dns-query instead (RFC 8484)         */
    rmr_bytes msg; /* good until the next call that is not const */
} rmr_md_out;

typedef struct rmr_md_stats {
    uint64_t asked;     /* questions                             */
    uint64_t own;       /* answered without asking anyone        */
    uint64_t forwarded; /* answered by a resolver                */
    uint64_t failed;    /* SERVFAIL: nobody to ask, no answer    */
    uint64_t full;      /* SERVFAIL: too many are open, no memory */
    uint64_t timeouts;  /* tries                                 */
    uint64_t by_tcp;    /* tries                                 */
    uint64_t ignored;   /* messages that were no question, or no
                           answer to one                         */
} rmr_md_stats;

/**
 * Makes a responder with an empty table.                             [submit]
 *
 * \param env, cb  Copied; no callback may be NULL.
 *
 * Effects: allocates.
 * Errors:  INVAL, NOMEM.
 * Lifetime: until rmr_md_free.
 * Source:  none.
 */
RMR_API rmr_err rmr_md_new(rmr_md **out, const rmr_env *env,
                           const rmr_md_callbacks *cb);

/**
 * Frees it; NULL is allowed.  Not in a callback.                       [pump]
 *
 * Effects: open questions end without an answer.
 * Errors:  none.
 * Source:  none.
 */
RMR_API void rmr_md_free(rmr_md *md);

/**
 * Replaces the table.  What is no name in it is left out.            [submit]
 *
 * \param t  Copied, with what it points to.
 *
 * Effects: on later questions.
 * Errors:  NOMEM: the old one stays.
 * Source:  tailcfg.DNSConfig.
 */
RMR_API rmr_err rmr_md_set(rmr_md *md, const rmr_md_table *t);

/**
 * Where the answer to a name would come from.                          [look]
 *
 * Effects: calls find_name.
 * Errors:  what is no host name is NOWHERE.
 * Source:  none.
 */
RMR_API rmr_md_place rmr_md_look(const rmr_md *md, const char *name);

/**
 * Takes a client's message.                                          [submit]
 *
 * \param client  The host's word for who asks; told back in on_answer.
 * \param tcp     The answer may have any size; else it is cut to what the
 *                question allows, at most RMR_MD_MAX_UDP.
 *
 * Effects: on_answer at most once now; else creates output, sets a deadline.
 * Errors:  MALFORMED: no question, nothing is answered.  REENTRANT.
 * Source:  RFC 1035 4.1.1, 7.3; RFC 6891 6.
 */
RMR_API rmr_err rmr_md_ask(rmr_md *md, rmr_time now, uint64_t client, bool tcp,
                           rmr_bytes msg);

/**
 * Takes a question that the system's resolvers answer for somebody else:
 * nothing comes from the tables.  Without such resolvers those for all names
 * are asked.                                                         [submit]
 *
 * \param hidden  Names that are refused, and suffixes: ".x" is all below x.
 *
 * Effects: as rmr_md_ask by TCP.
 * Errors:  as rmr_md_ask.
 * Source:  tailcfg.DNSConfig, ExitNodeFilteredSet; RFC 7686 2.
 */
RMR_API rmr_err rmr_md_pass(rmr_md *md, rmr_time now, uint64_t client,
                            const char *const *hidden, size_t n_hidden,
                            rmr_bytes msg);

/**
 * Forgets a client's open questions: no on_answer follows.           [submit]
 *
 * Effects: may move the deadline.
 * Errors:  none.
 * Source:  none.
 */
RMR_API void rmr_md_forget(rmr_md *md, uint64_t client);

/**
 * The next question for a resolver; false: none now.                   [pump]
 *
 * Effects: *out is written.
 * Errors:  none.
 * Source:  RFC 5452 9.2 (ids are random); RFC 7766 5 (TCP behind a cut answer).
 */
RMR_API bool rmr_md_next(rmr_md *md, rmr_time now, rmr_md_out *out);

/**
 * Whether the host has room for one more stream; yes at first.       [submit]
 *
 * Effects: while not, rmr_md_next passes over questions by TCP and HTTP: they
 *          wait, and time out.
 * Errors:  none.
 * Source:  contract B1.
 */
RMR_API void rmr_md_allow_streams(rmr_md *md, bool on);

/**
 * Takes a resolver's message.                                          [pump]
 *
 * \param from  Where it came from: must be who was asked, port included.
 * \param msg   Its id is overwritten.
 *
 * Effects: on_answer at most once; may create output; may move the deadline.
 * Errors:  MALFORMED, UNKNOWN (nobody asked that): ignored; REENTRANT.
 * Source:  RFC 5452 9.1.
 */
RMR_API rmr_err rmr_md_read(rmr_md *md, rmr_time now, const rmr_addr *from,
                            bool tcp, rmr_buf msg);

/**
 * A question could not be sent, or its stream ended: the next resolver. [pump]
 *
 * Effects: on_answer at most once; may create output.
 * Errors:  none; an id that is gone is ignored.
 * Source:  RFC 7766 6.2.4.
 */
RMR_API void rmr_md_failed(rmr_md *md, rmr_time now, uint64_t id);

/**
 * When a try times out; RMR_TIME_NEVER when none is open.              [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  contract T4.
 */
RMR_API rmr_time rmr_md_next_deadline(const rmr_md *md);

/**
 * Ends tries that nobody answered.                                     [pump]
 *
 * Effects: on_answer for questions that end; may create output.
 * Errors:  REENTRANT.
 * Source:  contract T5.
 */
RMR_API rmr_err rmr_md_handle_deadline(rmr_md *md, rmr_time now);

/**
 * The counters, by value.                                              [look]
 *
 * Effects: none.
 * Errors:  none.
 * Source:  none.
 */
RMR_API void rmr_md_get_stats(const rmr_md *md, rmr_md_stats *out);

#ifdef __cplusplus
}
#endif
#endif
