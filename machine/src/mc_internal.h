/* The kit's parts and what they know of each other.  One file a subject:
 *   mc.c        life, events and deadlines handed on
 *   mc_io.c     objects of the adapter's world, the queue of operations
 *   mc_link.c   a stream dialled for a layer: resolve, and what it carries
 *   mc_race.c   its connecting: addresses in turn, several ways at once
 *   mc_tls.c    TLS on a link
 *   mc_proxy.c  the way through an HTTP proxy
 *   mc_names.c  the stub resolver and its sockets
 */
#ifndef REMORA_MC_INTERNAL_H
#define REMORA_MC_INTERNAL_H

#include <remora/dns.h>
#include <remora/hash.h>
#include <remora/machine.h>
#include <remora/ring.h>

#define MC_LAYER "machine"
#define MC_MAX_REFUSED 512 /* more than an adapter accepts in one turn */
#define MC_READ_CREDIT ((size_t)256 * 1024)
#define MC_PROXY_ANSWER_MAX 8192

struct rmr_mc_io {
    rmr_mc *mc;
    const rmr_mc_io_ops *ops;
    void *owner; /* NULL: closing, nobody listens */
    rmr_mc_io *prev, *next; /* in the ready list */
    rmr_mc_io_kind kind;
    bool in_ready, asked /* the opening operation went out */, open;
    bool want_shutdown, want_close, want_abort, want_pause, want_resume;
    bool sending; /* a STREAM_SEND is out, or a UDP socket is blocked */
    bool has_output; /* produce may have something */
    bool shut, last_part;
    bool dont_fragment, is_whole; /* UDP: wished for; given */
    uint64_t id;
    size_t credit; /* to be given to the adapter */
    size_t credit_out; /* given, not used yet */
    rmr_mc_io *all_prev, *all_next;
    rmr_addr addr;
    rmr_dur timeout;
    char *name; /* local endpoint or blob; kept (remora/text.h) */
};

rmr_err rmri_mc_io_event(rmr_mc *mc, rmr_time now, const rmr_io_event *ev);
void rmri_mc_io_free_all(rmr_mc *mc);
void rmri_mc_refused_free(rmr_mc *mc);

typedef enum link_state {
    LINK_IDLE,
    LINK_RESOLVING,
    LINK_CONNECTING,
    LINK_PROXY, /* CONNECT was asked */
    LINK_TLS,
    LINK_OPEN
} link_state;

#define MC_LANES RMR_DIAL_PLAN_MAX

typedef struct mc_lane { /* of l->addrs, those of a family, one by one */
    rmr_mc_link *l;
    rmr_mc_io *io; /* NULL: nothing is tried */
    rmr_addr to;
    size_t next_addr, end_addr;
    rmr_time start_at; /* NEVER: it has begun */
    rmr_dur timeout;   /* of a plan, which has ports too; 0: none */
    uint8_t family;
} mc_lane;

typedef struct mc_race {
    rmr_time began;
    rmr_addr addrs[RMR_DNS_MAX_ADDRS];
    mc_lane lanes[MC_LANES];
} mc_race;

struct rmr_mc_link {
    rmr_mc *mc;
    const rmr_mc_link_ops *ops;
    void *owner;
    rmr_mc_link *next; /* all links of the kit */
    rmr_time next_lane_at; /* something is due: a lane, or the name */
    rmr_time name_at; /* beside literals: it is asked for, or given up */
    rmr_time deadline; /* of the whole attempt */
    link_state state;
    rmr_mc_io *io;
    rmr_tls *tls;
    rmr_tls_pool *tls_pool; /* its record buffers */
    rmr_time tls_turn;      /* when it was in use last */
    uint32_t tls_turns;     /* ... and how often of late, at most MC_BUSY */
    rmr_ring held; /* ciphertext that TLS could not take yet */
    bool by_proxy;
    bool asked_proxy; /* the request went out */
    /* Of the proxy's answer: its first bytes, how many came, and how much of
     * the blank line at its end is there. */
    char answer[16];
    uint32_t answer_len, answer_end;
    mc_race *race; /* while connecting, else NULL */
    size_t n_addrs, n_lanes; /* of the race */
    rmr_addr remote, local;
    uint64_t query;
    bool asks; /* the query is open */
    rmr_err last_err;
    rmr_dial *dial; /* until it is open */
};

/* Asks for the dial's name, or the proxy's; resolved comes, maybe in here. */
void rmri_mc_link_ask(rmr_mc_link *l, rmr_time now);
void rmri_mc_link_resolved(rmr_mc_link *l, rmr_time now, rmr_err err,
                           const rmr_addr *addrs, size_t count);
/* Ends an attempt or an open stream, and tells the layer. */
void rmri_mc_link_end(rmr_mc_link *l, rmr_time now, rmr_err why,
                      const char *text);
void rmri_mc_link_drop(rmr_mc_link *l, bool reset);
/* What was dialled is not asked for any more. */
void rmri_mc_link_dialled(rmr_mc_link *l);
/* The stream leads to the host: TLS begins, or the layer. */
void rmri_mc_link_through(rmr_mc_link *l, rmr_time now);

/* mc_race.c: goes to the addresses that the link has; then connected, or its
 * end. */
void rmri_mc_race_start(rmr_mc_link *l, rmr_time now, const rmr_addr *addrs,
                        size_t count);
/* The name's addresses, beside literals of the other family. */
void rmri_mc_race_more(rmr_mc_link *l, rmr_time now, const rmr_addr *addrs,
                       size_t count);
void rmri_mc_race_plan(rmr_mc_link *l, rmr_time now,
                       const rmr_dial_plan *plan);
void rmri_mc_race_due(rmr_mc_link *l, rmr_time now); /* a lane's time came */
void rmri_mc_race_stop(rmr_mc_link *l);
/* The stream that won is the link's. */
void rmri_mc_link_connected(rmr_mc_link *l, rmr_time now, rmr_mc_io *io,
                            const rmr_addr *local);

/* mc_tls.c */
/* Errors: INVAL (nothing to check the certificate by), NOMEM, RNG. */
rmr_err rmri_mc_tls_new(rmr_mc_link *l, rmr_time now);
void rmri_mc_tls_free(rmr_mc_link *l);
void rmri_mc_tls_bytes(rmr_mc_link *l, rmr_time now, rmr_bytes data);
size_t rmri_mc_tls_produce(rmr_mc_link *l, rmr_time now, rmr_buf scratch);

/* mc_proxy.c */
rmr_err rmri_mc_proxy_new(rmr_mc *mc, const rmr_mc_proxy *p);
void rmri_mc_proxy_free(rmr_mc *mc);
bool rmri_mc_proxy_is_for(const rmr_mc *mc, const rmr_dial *to);
/* The request, into dst; 0: it does not fit. */
size_t rmri_mc_proxy_request(const rmr_mc_link *l, rmr_buf dst);
/* Takes bytes of the answer; *used of them: what follows is the host's.
 * NOTREADY: more must come.  Else the proxy's word. */
rmr_err rmri_mc_proxy_answer(rmr_mc_link *l, rmr_bytes data, size_t *used);

typedef struct mc_query { /* a name asked for by itself, not for a link */
    struct mc_query *next;
    uint64_t id;
    rmr_mc_resolved_fn done;
    void *user;
} mc_query;

typedef struct mc_dns_stream { /* one question by TCP */
    rmr_mc *mc;
    rmr_mc_io *io; /* NULL: free */
    uint64_t id;   /* the resolver's */
} mc_dns_stream;

struct rmr_mc {
    rmr_env env;
    void *user;
    void (*on_stir)(void *user);
    const rmr_tls_anchors *anchors;
    const rmr_gcm *gcm;
    rmr_time now; /* the latest seen (T3) */
    uint64_t wall_unix_ns;
    rmr_time wall_at;

    rmr_hash ids;
    rmr_mc_io *ready_head, *ready_tail, *all_io;
    uint64_t last_id;
    uint64_t few_refused[8];
    uint64_t *refused; /* streams that got no object: few_refused, or, when
                          there was a listener, MC_MAX_REFUSED of them */
    uint32_t cap_refused;
    uint32_t n_refused;

    rmr_mc_link *links;
    struct {
        char *host; /* NULL: none */
        uint16_t port;
        char *authorization; /* base64; secret */
        size_t authorization_size;
        char *no_proxy;
        size_t no_proxy_size;
    } proxy;

    rmr_dns *dns;
    bool dns_busy; /* a name was asked for, and not all is closed again */
    rmr_mc_io *dns_udp[2]; /* v4, v6 */
    bool dns_udp_failed[2]; /* not again while these questions are open */
    mc_dns_stream dns_streams[RMR_DNS_MAX_STREAMS];
    uint64_t last_query;
    mc_query *queries; /* of rmr_mc_resolve */
    uint8_t *dns_pkt; /* a question waiting for its socket; NULL: none */
    size_t dns_pkt_len;
    rmr_addr dns_pkt_to;
};

static inline void rmri_mc_stir(rmr_mc *mc)
{
    if (mc->on_stir)
        mc->on_stir(mc->user);
}

/* mc_names.c */
rmr_err rmri_mc_names_new(rmr_mc *mc);
void rmri_mc_names_free(rmr_mc *mc);
void rmri_mc_names_links(rmr_mc *mc, const rmr_io_links *links);
rmr_err rmri_mc_names_query(rmr_mc *mc, rmr_time now, uint64_t *id,
                            const char *name);
void rmri_mc_names_pump(rmr_mc *mc, rmr_time now);

#endif
