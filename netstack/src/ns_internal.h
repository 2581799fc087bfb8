/* What the parts of the stack share below TCP: the stack object, packets,
 * buffers, lists. */
#ifndef RMRI_NS_INTERNAL_H
#define RMRI_NS_INTERNAL_H

#include <remora/cursor.h>
#include <remora/handle.h>
#include <remora/hash.h>
#include <remora/netstack.h>
#include <remora/timer.h>

#include <string.h>

#define NS_PROTO_ICMP 1
#define NS_PROTO_TCP 6
#define NS_PROTO_UDP 17
#define NS_PROTO_FRAGMENT 44
#define NS_PROTO_ICMP6 58

#define NS_IP4_HEADER 20u
#define NS_IP6_HEADER 40u
#define NS_IP6_FRAGMENT 8u
#define NS_HEADERS_MAX (NS_IP6_HEADER + 60u)
#define NS_TTL 64

#define NS_CHUNK_SHIFT 12u     /* 4 KiB; larger when the MTU asks for it */
#define NS_POOL_KEEP 64u       /* free chunks kept for reuse */
#define NS_PKTQ_MAX_CHUNKS 64u /* packets that no socket owns */
#define NS_LOOP_MAX 256        /* packets to own addresses a write_pkt */
#define NS_BURST_MAX 64        /* segments a connection before the next one */

/* ---- lists ------------------------------------------------------------ */

/* A circular list; a node that is in no list points nowhere (NULL). */
typedef struct ns_node {
    struct ns_node *prev, *next;
} ns_node;

static inline void ns_list_init(ns_node *head)
{
    head->prev = head->next = head;
}
static inline bool ns_list_empty(const ns_node *head)
{
    return head->next == head;
}
static inline bool ns_node_linked(const ns_node *n)
{
    return n->next != NULL;
}
static inline void ns_list_push(ns_node *head, ns_node *n)
{
    n->prev = head->prev;
    n->next = head;
    head->prev->next = n;
    head->prev = n;
}
static inline void ns_list_unlink(ns_node *n)
{
    if (n->next) {
        n->prev->next = n->next;
        n->next->prev = n->prev;
        n->prev = n->next = NULL;
    }
}
#define NS_OWNER(node, type, member)                                           \
    ((type *)(void *)((char *)(node)-offsetof(type, member)))

/* ---- addresses and flows ---------------------------------------------- */

typedef struct ns_ip { /* IPv4 in the first four bytes, the rest zero */
    uint8_t b[16];
} ns_ip;

/* The key of the flow table: no padding bytes, all of it is hashed. */
typedef struct ns_tuple {
    ns_ip local, remote;
    uint16_t lport, rport;
    uint8_t family, proto;
    uint8_t zero[2];
} ns_tuple;

/* The key of the table of listeners and UDP sockets.  A zero address is any of
 * its family; family 0 (and a zero address) any of both. */
typedef struct ns_bind {
    ns_ip ip;
    uint16_t port;
    uint8_t family, proto;
} ns_bind;

typedef enum ns_kind {
    NS_KIND_CONN = 1,  /* tcp_conn     */
    NS_KIND_LISTENER,  /* tcp_listener */
    NS_KIND_UDP,       /* ns_udp       */
    NS_KIND_HALF_OPEN, /* tcp_half     */
    NS_KIND_TIME_WAIT, /* tcp_tw       */
    NS_KIND_PENDING,   /* ns_pending   */
    NS_KIND_RAW        /* ns_raw       */
} ns_kind;

typedef struct ns_head { /* first member of all that a table points to */
    uint64_t id;         /* of its slot */
    uint8_t kind;        /* ns_kind */
    uint8_t tos;         /* of what a socket sends */
} ns_head;

static inline bool ns_ip_eq(const ns_ip *a, const ns_ip *b)
{
    return memcmp(a->b, b->b, sizeof a->b) == 0;
}
static inline size_t ns_ip_len(uint8_t family)
{
    return family == RMR_AF_INET ? 4 : 16;
}
static inline size_t ns_ip_header_len(uint8_t family)
{
    return family == RMR_AF_INET ? NS_IP4_HEADER : NS_IP6_HEADER;
}
ns_ip rmri_ns_ip_of(const rmr_addr *a);
rmr_addr rmri_ns_addr_of(uint8_t family, const ns_ip *ip, uint16_t port);

/* ---- checksums (ns_csum.c) -------------------------------------------- */

/* One's-complement sums in the byte order of the machine, 64 bits wide with
 * end-around carry; only the store knows about order. */
static inline uint64_t ns_sum_add(uint64_t a, uint64_t b)
{
    a += b;
    return a + (a < b);
}
uint64_t rmri_ns_sum(uint64_t acc, const uint8_t *p, size_t n);
/* The same while copying. */
uint64_t rmri_ns_sum_copy(uint64_t acc, uint8_t *dst, const uint8_t *src,
                          size_t n);
/* Of a piece that begins at an odd offset of the whole. */
uint64_t rmri_ns_sum_swap(uint64_t acc);
uint16_t rmri_ns_sum_fold(uint64_t acc);
/* Of a 16-bit number in network order. */
uint64_t rmri_ns_sum_be16(uint64_t acc, uint16_t v);
/* Of an IPv4 header without options. */
static inline uint64_t ns_sum_ip4(const uint8_t *h)
{
    uint64_t a, b;
    uint32_t c;
    memcpy(&a, h, 8);
    memcpy(&b, h + 8, 8);
    memcpy(&c, h + 16, 4);
    return ns_sum_add(ns_sum_add(a, b), c);
}
/* Stores the complement. */
void rmri_ns_sum_store(uint8_t *p, uint64_t acc);
/* The pseudo header of both families (RFC 9293 3.1, RFC 8200 8.1). */
uint64_t rmri_ns_sum_pseudo(uint8_t family, const ns_ip *src, const ns_ip *dst,
                            uint8_t proto, size_t len);

/* ---- buffers (ns_buf.c) ----------------------------------------------- */

typedef struct ns_pool { /* equal chunks; keeps a few free ones */
    rmr_alloc alloc;
    uint8_t *free;
    uint32_t n_free, shift;
    size_t used, max; /* bytes in use by sockets and queues */
} ns_pool;

/* A byte queue in chunks that may have holes behind its bytes.  Nothing is
 * held while it is empty. */
typedef struct ns_cq {
    union {             /* a ring of chunk pointers */
        uint8_t *inl[2]; /* when cap is 2 */
        uint8_t **far;
    };
    uint32_t cap;       /* of the ring, a power of two */
    uint32_t first;     /* the chunk of the first byte */
    uint32_t head;      /* offset of the first byte in it */
    uint32_t n;         /* chunks that are held, holes not counted */
    uint32_t len;       /* contiguous bytes */
} ns_cq;

static inline uint8_t *const *ns_cq_ring(const ns_cq *q)
{
    return q->cap == 2 ? q->inl : q->far;
}
static inline size_t ns_chunk_size(const ns_pool *p)
{
    return (size_t)1 << p->shift;
}
uint8_t *rmri_ns_chunk_get(ns_pool *p, size_t limit);
void rmri_ns_chunk_put(ns_pool *p, uint8_t *chunk);
void rmri_ns_pool_wipe(ns_pool *p);

void rmri_ns_cq_init(ns_cq *q);
void rmri_ns_cq_wipe(ns_cq *q, ns_pool *p);
/* Stores at `off` bytes behind the first; `limit` bounds the pool's use.
 * All or nothing; q->len is the caller's to move. */
bool rmri_ns_cq_put(ns_cq *q, ns_pool *p, size_t off, rmr_bytes in,
                    size_t limit);
/* Appends what memory allows and returns how much. */
size_t rmri_ns_cq_append(ns_cq *q, ns_pool *p, rmr_bytes in, size_t limit);
/* Copies out of the middle and sums on the way. */
uint64_t rmri_ns_cq_copy(const ns_cq *q, const ns_pool *p, size_t off,
                         uint8_t *dst, size_t n);
rmr_bytes rmri_ns_cq_peek(const ns_cq *q, const ns_pool *p);
void rmri_ns_cq_drop(ns_cq *q, ns_pool *p, size_t n);
/* Frees the chunks of what lies behind the first `len` bytes. */
void rmri_ns_cq_cut(ns_cq *q, ns_pool *p, size_t len);
/* The same behind the contiguous bytes. */
void rmri_ns_cq_trim(ns_cq *q, ns_pool *p);

/* A queue of finished packets that no connection owns. */
typedef struct ns_pktq {
    uint8_t *head, *tail; /* chunks */
    uint32_t head_off;
    uint32_t n_chunks, n_pkts;
} ns_pktq;

/* Room for a packet of `len` at the end, or NULL; it counts as queued. */
uint8_t *rmri_ns_pktq_add(rmr_ns *ns, size_t len);
/* The end of the queue now, and back to it: all that was added since goes. */
typedef struct ns_pktq_mark {
    uint8_t *tail;
    uint32_t used, n_pkts;
} ns_pktq_mark;
ns_pktq_mark rmri_ns_pktq_mark(const rmr_ns *ns);
void rmri_ns_pktq_undo(rmr_ns *ns, const ns_pktq_mark *m);
size_t rmri_ns_pktq_take(rmr_ns *ns, uint8_t *dst);
void rmri_ns_pktq_wipe(rmr_ns *ns);

/* ---- fragments (ns_frag.c) -------------------------------------------- */

#define NS_FRAG_DATAGRAMS 64u
#define NS_FRAG_BYTES (256u * 1024u)

typedef struct ns_frag_piece {
    struct ns_frag_piece *next; /* by offset */
    uint32_t off, len;
    /* data follows */
} ns_frag_piece;

typedef struct ns_frag_dgram {
    ns_ip src, dst;
    uint32_t id;
    uint8_t family, proto; /* family 0: free */
    uint8_t ecn;
    uint8_t last_seen;
    bool denied;              /* by the filter: its later pieces go, too */
    bool loop;
    uint16_t n_pieces;
    uint32_t have, total;     /* payload bytes */
    uint32_t bytes;           /* memory */
    uint32_t header_len;      /* of the first fragment's header */
    uint8_t *header;          /* NULL until offset 0 came */
    rmr_time born, deadline;
    uint64_t seq;
    ns_frag_piece *pieces;
} ns_frag_dgram;

typedef struct ns_frags {
    ns_frag_dgram *d; /* NS_FRAG_DATAGRAMS, taken when first needed */
    size_t bytes;
    uint64_t seq;
    rmr_timer timer;
} ns_frags;

/* ---- path MTUs (ns_pmtu.c) -------------------------------------------- */

#define NS_PATHS_MAX 1024u
#define NS_LARGE_SENT 64u

typedef struct ns_large { /* a datagram that may be too big for its path */
    uint32_t mark;        /* of its tuple; 0: none */
    uint32_t at_s;
} ns_large;

typedef struct ns_paths {
    rmr_slots slots;
    rmr_hash table;
    ns_node used; /* the one that was used last is at the end */
    ns_large *sent; /* NS_LARGE_SENT; NULL until the first */
} ns_paths;

/* ---- packets ---------------------------------------------------------- */

typedef struct ns_pkt { /* a checked IP packet, borrowed */
    const uint8_t *ip;  /* from its IP header on */
    size_t ip_len;
    const uint8_t *l4;
    size_t l4_len;
    ns_ip src, dst;
    uint8_t family, proto;
    uint8_t tos;
    bool loop;     /* our own, come back: no sum is checked */
    bool foreign;  /* dst is not ours (forward mode) */
    bool filtered; /* the filter has had its say */
    bool piece;    /* the first fragment: l4 is cut off */
    uint16_t next_at; /* IPv6: the byte that names the protocol */
} ns_pkt;

typedef struct ns_bucket { /* tokens in 1/1000 */
    rmr_time at;
    uint32_t milli;
} ns_bucket;

#define NS_ICMP_DESTS 64u
#define NS_PORT_COUNTERS 256u
#define NS_FRAG_COUNTERS 64u

typedef enum ns_timer_kind {
    NS_TIMER_CONN = 1,
    NS_TIMER_HALF_OPEN,
    NS_TIMER_TIME_WAIT,
    NS_TIMER_FRAG,
    NS_TIMER_PENDING,
    NS_TIMER_UDP
} ns_timer_kind;

/* ---- flows to foreign addresses (ns_flow.c) --------------------------- */

#define NS_PENDING_LIFE (60 * RMR_SEC)
#define NS_WAITING_FLOW 16u              /* datagrams that wait for an answer */
#define NS_WAITING_BYTES (256u * 1024u)  /* of all flows */

/* What one client address holds, so that it can't hold all. */
typedef struct ns_source {
    uint64_t id; /* of its slot */
    ns_bind key; /* port and proto are 0 */
    uint32_t pending, udp;
    size_t bytes;   /* of datagrams that wait */
    ns_node sessions; /* the longest idle first */
} ns_source;

typedef struct ns_waiting { /* a datagram, as the whole packet */
    struct ns_waiting *next;
    uint32_t ip_len, l4_off, l4_len;
    uint8_t tos;
    /* the packet follows */
} ns_waiting;

enum { NS_SYN_WS = 1, NS_SYN_SACK = 2, NS_SYN_TS = 4 };

typedef struct ns_pending { /* a flow that the host has not answered */
    ns_head head;
    ns_tuple tuple;
    void *tag;
    rmr_timer timer;
    rmr_time end;
    union {
        struct { /* of the SYN */
            uint32_t irs, iss, tsval;
            uint16_t mss, wnd;
            uint16_t last_ms; /* of the last repeat, from the first one on */
            uint8_t ws, opts; /* NS_SYN_... */
        } tcp;
        ns_waiting *udp;
    } u;
} ns_pending;

/* ---- datagram sockets (ns_udp.c, ns_session.c, ns_raw.c) -------------- */

#define NS_DGRAM_BIT 0x80000000u /* in handles: of the table of these */

typedef struct ns_udp {
    ns_head head;
    void *tag;
    ns_tuple tuple; /* of one that is not connected: the local part alone */
    bool connected;
    bool dead;      /* on_closed(why) is owed */
    rmr_err why;
    ns_node ev;     /* in ns->udp_events: it has waiting ones, or is dead */
    ns_waiting *waiting;
    /* of a flow */
    ns_source *source;    /* NULL: it is none */
    ns_node idle, of_source;
    rmr_time used;
} ns_udp;

typedef struct ns_raw {
    ns_head head;
    void *tag;
    ns_node node;
    uint8_t family, protocol;
} ns_raw;

typedef struct ns_out_frag { /* the first fragment that went out last */
    ns_ip src, dst;
    uint32_t id;
    uint8_t family, proto;
    bool pass;
} ns_out_frag;

struct rmr_ns {
    rmr_env env;
    rmr_ns_config cfg;
    rmr_ns_callbacks cb;
    rmr_time now;
    bool in_callback;
    rmr_time resume_at; /* loopback work was cut short (B1) */

    ns_ip addrs[RMR_NS_MAX_ADDRS];
    uint8_t families[RMR_NS_MAX_ADDRS];
    uint32_t n_addrs;

    rmr_hash_key isn_key, port_key, ts_key, limit_key, cookie_key[2];
    /* RFC 6056 3.3.4: NS_PORT_COUNTERS; NULL until the first */
    uint32_t *ports;
    uint32_t any_port; /* ... and 3.3.3, where there is no memory for them */

    rmr_slots socks /* tcp_conn */, halves, tws;
    rmr_slots dgrams /* and listeners, which are as small */, pends, sources;
    rmr_hash flows, binds, source_table;
    rmr_timers timers;
    ns_node out;    /* connections that may have something to send */
    ns_node held;   /* ... and those that the host held: tcp_hold.c */
    uint64_t last_out; /* the one that gave the last packet; 0: none did */
    ns_node events; /* connections with callbacks to come */
    ns_node tw_list; /* oldest first */
    rmr_timer tw_timer;
    uint32_t n_halves, n_tws, burst;
    ns_node udp_events, raws;
    ns_node sessions[2]; /* the longest idle first; [1]: of port 53 */
    rmr_timer udp_timer;
    uint32_t n_sessions, n_dying; /* dying: on_closed is owed */
    size_t waiting_bytes;
    ns_node *raw_next;   /* of the walk over raws; closing may move it */
    uint8_t dgram_tos;   /* of the on_datagram that is running */
    ns_out_frag out_frag;
    ns_head *last; /* the flow of the packet before, for bulk data */
    ns_tuple last_tuple;

    ns_pool pool;
    ns_pktq pktq;
    ns_frags frags;
    ns_paths paths;
    ns_bucket icmp_all, *icmp_dest; /* NS_ICMP_DESTS; NULL until the first */
    uint64_t chal_second; /* challenge ACKs of the whole stack */
    uint32_t chal_left;
    rmr_hash_key frag_key;
    /* Counters, by a hash of the address pair: NS_FRAG_COUNTERS; NULL until the
     * first.  And the one that does where there is no memory for them. */
    uint32_t *frag_ids, any_frag;
    rmr_ns_stats stats;
};

bool rmri_ns_is_local(const rmr_ns *ns, uint8_t family, const ns_ip *ip);
/* An own address of the family; false when there is none. */
bool rmri_ns_own_addr(const rmr_ns *ns, uint8_t family, ns_ip *out);
/* Runs all callbacks that are due. */
void rmri_ns_dispatch(rmr_ns *ns);
/* Room in the timer heap for all that have one: arming never fails. */
rmr_err rmri_ns_reserve_timers(rmr_ns *ns);
/* No more sockets may be made (flows of UDP have a bound of their own). */
bool rmri_ns_sockets_full(const rmr_ns *ns);

/* Tables: an entry's value is the address of its ns_head. */
void *rmri_ns_find_flow(rmr_ns *ns, const ns_tuple *t);
rmr_err rmri_ns_add_flow(rmr_ns *ns, const ns_tuple *t, ns_head *h);
void rmri_ns_del_flow(rmr_ns *ns, const ns_tuple *t);
/* `exact`: not those of any address. */
ns_head *rmri_ns_find_bind(const rmr_ns *ns, uint8_t proto, uint8_t family,
                           const ns_ip *ip, uint16_t port, bool exact);
bool rmri_ns_port_bound(const rmr_ns *ns, uint8_t proto, uint8_t family,
                        const ns_ip *ip, uint16_t port);
rmr_err rmri_ns_bind_of(const rmr_ns *ns, const rmr_addr *local, uint8_t proto,
                        ns_bind *out);
ns_head *rmri_ns_bind_exact(const rmr_ns *ns, const ns_bind *b);
/* The tuple of a new connection: its local address is one of ours; t->lport is
 * 0 when any will do. */
rmr_err rmri_ns_dial_tuple(rmr_ns *ns, const rmr_addr *local,
                           const rmr_addr *remote, uint8_t proto, ns_tuple *t);
/* An own address to talk with `to`: itself, if it is one; false: none. */
bool rmri_ns_source_for(const rmr_ns *ns, uint8_t family, const ns_ip *to,
                        ns_ip *out);

/* IP in: the packet is checked, and handed to its protocol. */
rmr_err rmri_ns_input(rmr_ns *ns, rmr_bytes in, bool loop, bool whole);
rmr_err rmri_ns_ip4_input(rmr_ns *ns, rmr_bytes in, bool loop, bool whole);
rmr_err rmri_ns_ip6_input(rmr_ns *ns, rmr_bytes in, bool loop, bool whole);
rmr_err rmri_ns_deliver(rmr_ns *ns, const ns_pkt *p);
rmr_err rmri_ns_udp_input(rmr_ns *ns, const ns_pkt *p);
rmr_err rmri_ns_icmp_input(rmr_ns *ns, const ns_pkt *p);
rmr_err rmri_ns_tcp_input(rmr_ns *ns, const ns_pkt *p);
/* An ICMP error about a segment that we sent; hard: it ends the opening of a
 * connection.  False: about nothing that is out, or nothing new. */
bool rmri_ns_tcp_icmp_error(rmr_ns *ns, const ns_tuple *t, uint32_t seq,
                            rmr_ns_error *err, bool hard);

rmr_err rmri_ns_paths_init(rmr_ns *ns);
void rmri_ns_paths_wipe(rmr_ns *ns);
/* The MTU to an address; keeps it in the table. */
uint32_t rmri_ns_path_mtu(rmr_ns *ns, uint8_t family, const ns_ip *ip);
/* A router says that `mtu` is the most, about a packet that is known to be
 * ours.  False: it tells nothing new, or nothing that can be. */
bool rmri_ns_path_lower(rmr_ns *ns, uint8_t family, const ns_ip *ip,
                        uint32_t mtu);
/* ... and all connections over that path. */
void rmri_tcp_path_lowered(rmr_ns *ns, uint8_t family, const ns_ip *remote);
/* A datagram goes out, `len` bytes with its IP header; and was there one of
 * this tuple lately that a router may have complained about? */
void rmri_ns_path_note(rmr_ns *ns, const ns_tuple *t, size_t len);
bool rmri_ns_path_noted(const rmr_ns *ns, const ns_tuple *t);

/* A fragment; `first` is the offset-0 header to keep, next_proto its
 * payload's. */
typedef struct ns_frag_in {
    const ns_pkt *p;      /* l4 is the fragment's payload */
    const uint8_t *header; /* unfragmentable part, fragment header removed */
    size_t header_len;
    size_t proto_at;       /* IPv6: the byte of the header to patch */
    uint8_t next;          /* protocol of the payload */
    uint32_t id, off;
    bool more;
} ns_frag_in;
rmr_err rmri_ns_frag_input(rmr_ns *ns, const ns_frag_in *f);
void rmri_ns_frag_expire(rmr_ns *ns);
void rmri_ns_frag_wipe(rmr_ns *ns);

/* Flows (ns_flow.c).  A request makes an entry, or NULL: too many. */
ns_pending *rmri_ns_pending_new(rmr_ns *ns, const ns_tuple *t, rmr_err *why);
void rmri_ns_pending_ask(rmr_ns *ns, const ns_pending *p);
/* The client gave up, or its time is over: on_flow_gone. */
void rmri_ns_pending_gone(rmr_ns *ns, ns_pending *p);
/* Frees it; `flow`: its place in the table, too. */
void rmri_ns_pending_free(rmr_ns *ns, ns_pending *p, bool flow);
ns_source *rmri_ns_source_get(rmr_ns *ns, uint8_t family, const ns_ip *ip,
                              bool make);
void rmri_ns_source_drop_if_unused(rmr_ns *ns, ns_source *s);
bool rmri_ns_source_is(const void *user, uint64_t value, const void *key,
                       size_t key_len);

/* Sessions: UDP sockets of accepted flows (ns_session.c). */
rmr_err rmri_ns_session_open(rmr_ns *ns, ns_pending *p, void *tag,
                             rmr_ns_sock *out);
/* Tells the client that nobody listens. */
void rmri_ns_session_refuse(rmr_ns *ns, const ns_udp *u);
void rmri_ns_session_touch(rmr_ns *ns, ns_udp *u);
void rmri_ns_session_unlink(rmr_ns *ns, ns_udp *u);
void rmri_ns_session_timer(rmr_ns *ns);
/* Keeps a copy; FULL when as much waits as may. */
rmr_err rmri_ns_wait(rmr_ns *ns, ns_pending *p, const ns_pkt *pkt);
/* Counts each of them. */
void rmri_ns_waiting_drop(rmr_ns *ns, ns_waiting **list, ns_source *s);
/* The packet of a waiting datagram, as it came. */
void rmri_ns_waiting_pkt(const ns_waiting *w, const ns_tuple *t, ns_pkt *out);

/* UDP and raw sockets (ns_udp.c, ns_raw.c). */
void *rmri_ns_dgram_get(const rmr_ns *ns, uint64_t id);
ns_udp *rmri_ns_udp_get(const rmr_ns *ns, uint64_t id);
/* A zeroed one in no table. */
void *rmri_ns_dgram_new(rmr_ns *ns, ns_kind kind);
void rmri_ns_dgram_free(rmr_ns *ns, ns_head *h);
bool rmri_ns_dgram_set_tag(rmr_ns *ns, rmr_ns_sock s, void *tag);
/* `abort`: the client of a flow is told. */
bool rmri_ns_dgram_close(rmr_ns *ns, rmr_ns_sock s, bool abort);
void rmri_ns_udp_close(rmr_ns *ns, ns_udp *u);
/* The callbacks that are due. */
void rmri_ns_udp_run(rmr_ns *ns, ns_udp *u);
void rmri_ns_udp_tell(rmr_ns *ns, const ns_udp *u, const ns_pkt *p,
                      rmr_bytes data);
/* An error about a datagram of the tuple; the socket hears of it.  False: there
 * is none. */
bool rmri_ns_udp_error(rmr_ns *ns, const ns_tuple *t, const rmr_ns_error *e);
/* Hands it to the raw sockets; false: there are none for it. */
bool rmri_ns_raw_input(rmr_ns *ns, const ns_pkt *p);
void rmri_ns_raw_close(rmr_ns *ns, ns_raw *r);

/* The filter (ns_filter.c).  In: RMR_OK, or DENIED after what a verdict asks
 * for was done.  Out: whether the packet may go. */
rmr_err rmri_ns_filter_in(rmr_ns *ns, const ns_pkt *p);
bool rmri_ns_filter_out(rmr_ns *ns, const uint8_t *pkt, size_t len);
/* Ends what sent a segment that may not go (tcp_flow.c). */
void rmri_tcp_rejected(rmr_ns *ns, const ns_tuple *t, uint8_t flags,
                       bool denied);
/* Answers a segment by a reset; false: that needs the whole of it. */
bool rmri_tcp_reject(rmr_ns *ns, const ns_pkt *p);

/* The end of a chain of extension headers (RFC 8200 4); false: broken. */
typedef struct ns_chain {
    uint8_t proto;
    size_t at;      /* of the transport header */
    bool fragment;
    uint32_t id, off;
    bool more;
} ns_chain;
bool rmri_ns_chain6(const uint8_t *ip, size_t len, ns_chain *out);
/* Addresses that no packet comes from, nor goes to: multicast, loopback,
 * unspecified, v4-mapped. */
bool rmri_ns_bad_addr(uint8_t family, const ns_ip *ip);
static inline bool ns_bad_addr4(const uint8_t *a)
{
    return a[0] >= 224 || a[0] == 0 || a[0] == 127;
}
/* Is it for us, and may it come from there?  Sets p->foreign. */
rmr_err rmri_ns_check_addrs(rmr_ns *ns, ns_pkt *p, bool whole);

/* IP out: writes the header for `len` bytes of payload; returns its length. */
size_t rmri_ns_ip_write(uint8_t *dst, uint8_t family, const ns_ip *src,
                        const ns_ip *to, uint8_t proto, size_t len,
                        uint32_t label);

/* The same before a piece of a datagram; t is as we see it. */
size_t rmri_ns_ip_write_piece(uint8_t *dst, const ns_tuple *t, uint32_t id,
                              size_t off, size_t len, bool more);
/* The traffic class of a packet that is written already. */
void rmri_ns_ip_set_tos(uint8_t *ip, uint8_t tos);

/* ICMP errors (type and code of both families are looked up). */
typedef enum ns_icmp_why {
    NS_ICMP_PORT_UNREACHABLE,
    NS_ICMP_HOST_UNREACHABLE,
    NS_ICMP_PROTO_UNREACHABLE, /* v4 alone */
    NS_ICMP_PROHIBITED,
    NS_ICMP_REASSEMBLY_TIME,
    NS_ICMP_PARAM_HEADER,  /* v6 4/0 */
    NS_ICMP_PARAM_NEXT,    /* v6 4/1 */
    NS_ICMP_PARAM_OPTION   /* v6 4/2 */
} ns_icmp_why;
void rmri_ns_icmp_error(rmr_ns *ns, const ns_pkt *about, ns_icmp_why why,
                        uint32_t pointer);
bool rmri_ns_bucket_take(ns_bucket *b, rmr_time now, uint32_t per_second,
                         uint32_t burst);

/* Ports and numbers (ns_port.c). */
void rmri_ns_numbers_wipe(rmr_ns *ns);
uint32_t rmri_ns_isn(const rmr_ns *ns, const ns_tuple *t);
uint32_t rmri_ns_ts_offset(const rmr_ns *ns, const ns_tuple *t);
uint32_t rmri_ns_flow_label(const rmr_ns *ns, const ns_tuple *t);
/* Fills t->lport; false when all are used. */
bool rmri_ns_pick_tcp_port(rmr_ns *ns, ns_tuple *t);
bool rmri_ns_pick_udp_port(rmr_ns *ns, ns_bind *b);
/* And for a connected one: fills t->lport. */
bool rmri_ns_pick_udp_flow(rmr_ns *ns, ns_tuple *t);
/* Of fragments: unique for a pair and protocol until it wraps, and not to be
 * guessed by others (RFC 7739 5.3). */
uint32_t rmri_ns_frag_id(rmr_ns *ns, const ns_tuple *t);

#endif
