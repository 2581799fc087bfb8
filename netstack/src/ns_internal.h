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
#define NS_PROTO_ICMP6 58

#define NS_IP4_HEADER 20u
#define NS_IP6_HEADER 40u
#define NS_HEADERS_MAX (NS_IP6_HEADER + 60u)
#define NS_TTL 64

#define NS_CHUNK_SHIFT 12u     /* 4 KiB; larger when the MTU asks for it */
#define NS_POOL_KEEP 64u       /* free chunks kept for reuse */
#define NS_PKTQ_MAX_CHUNKS 64u /* packets that no socket owns: 256 KiB */
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

/* The key of the table of listeners and UDP sockets; family 0: any. */
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
    NS_KIND_TIME_WAIT  /* tcp_tw       */
} ns_kind;

typedef struct ns_head { /* first member of all that a table points to */
    uint64_t id;         /* of its slot */
    uint8_t kind;        /* ns_kind */
} ns_head;

typedef struct ns_udp {
    ns_head head;
    ns_bind bind;
    void *tag;
} ns_udp;

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
/* Frees the chunks of what lies behind the contiguous bytes. */
void rmri_ns_cq_trim(ns_cq *q, ns_pool *p);

/* A queue of finished packets that no connection owns. */
typedef struct ns_pktq {
    uint8_t *head, *tail; /* chunks */
    uint32_t head_off;
    uint32_t n_chunks, n_pkts;
} ns_pktq;

/* Room for a packet of `len` at the end, or NULL; it counts as queued. */
uint8_t *rmri_ns_pktq_add(rmr_ns *ns, size_t len);
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

typedef struct ns_paths {
    rmr_slots slots;
    rmr_hash table;
    ns_node used; /* the one that was used last is at the end */
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
    bool loop; /* our own, come back: no sum is checked */
} ns_pkt;

typedef struct ns_bucket { /* tokens in 1/1000 */
    rmr_time at;
    uint32_t milli;
} ns_bucket;

#define NS_ICMP_DESTS 64u

typedef enum ns_timer_kind {
    NS_TIMER_CONN = 1,
    NS_TIMER_HALF_OPEN,
    NS_TIMER_TIME_WAIT,
    NS_TIMER_FRAG
} ns_timer_kind;

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
    uint32_t ports[256]; /* RFC 6056 3.3.4 */

    rmr_slots socks, halves, tws;
    rmr_hash flows, binds;
    rmr_timers timers;
    ns_node out;    /* connections that may have something to send */
    ns_node events; /* connections with callbacks to come */
    ns_node tw_list; /* oldest first */
    rmr_timer tw_timer;
    uint32_t n_halves, n_tws, burst;
    ns_head *last; /* the flow of the packet before, for bulk data */
    ns_tuple last_tuple;

    ns_pool pool;
    ns_pktq pktq;
    ns_frags frags;
    ns_paths paths;
    ns_bucket icmp_all, icmp_dest[NS_ICMP_DESTS];
    uint64_t chal_second; /* challenge ACKs of the whole stack */
    uint32_t chal_left;
    uint32_t ip_id;
    rmr_ns_stats stats;
};

bool rmri_ns_is_local(const rmr_ns *ns, uint8_t family, const ns_ip *ip);
/* An own address of the family; false when there is none. */
bool rmri_ns_own_addr(const rmr_ns *ns, uint8_t family, ns_ip *out);
/* Runs all callbacks that are due. */
void rmri_ns_dispatch(rmr_ns *ns);
/* Room in the timer heap for all that have one: arming never fails. */
rmr_err rmri_ns_reserve_timers(rmr_ns *ns);

/* Tables: an entry's value is the address of its ns_head. */
void *rmri_ns_find_flow(rmr_ns *ns, const ns_tuple *t);
rmr_err rmri_ns_add_flow(rmr_ns *ns, const ns_tuple *t, ns_head *h);
void rmri_ns_del_flow(rmr_ns *ns, const ns_tuple *t);
ns_head *rmri_ns_find_bind(const rmr_ns *ns, uint8_t proto, uint8_t family,
                           const ns_ip *ip, uint16_t port);
bool rmri_ns_port_bound(const rmr_ns *ns, uint8_t proto, uint8_t family,
                        const ns_ip *ip, uint16_t port);
rmr_err rmri_ns_bind_of(const rmr_ns *ns, const rmr_addr *local, uint8_t proto,
                        ns_bind *out);
ns_head *rmri_ns_bind_exact(const rmr_ns *ns, const ns_bind *b);

/* IP in: the packet is checked, and handed to its protocol. */
rmr_err rmri_ns_input(rmr_ns *ns, rmr_bytes in, bool loop, bool whole);
rmr_err rmri_ns_ip4_input(rmr_ns *ns, rmr_bytes in, bool loop, bool whole);
rmr_err rmri_ns_ip6_input(rmr_ns *ns, rmr_bytes in, bool loop, bool whole);
rmr_err rmri_ns_deliver(rmr_ns *ns, const ns_pkt *p);
rmr_err rmri_ns_udp_input(rmr_ns *ns, const ns_pkt *p);
rmr_err rmri_ns_icmp_input(rmr_ns *ns, const ns_pkt *p);
rmr_err rmri_ns_tcp_input(rmr_ns *ns, const ns_pkt *p);
/* An ICMP error about a segment that we sent; hard: it ends the opening of a
 * connection. */
void rmri_ns_tcp_icmp_error(rmr_ns *ns, const ns_tuple *t, uint32_t seq,
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

/* IP out: writes the header for `len` bytes of payload; returns its length. */
size_t rmri_ns_ip_write(uint8_t *dst, uint8_t family, const ns_ip *src,
                        const ns_ip *to, uint8_t proto, size_t len,
                        uint32_t label);

/* ICMP errors (type and code of both families are looked up). */
typedef enum ns_icmp_why {
    NS_ICMP_PORT_UNREACHABLE,
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
uint32_t rmri_ns_isn(const rmr_ns *ns, const ns_tuple *t);
uint32_t rmri_ns_ts_offset(const rmr_ns *ns, const ns_tuple *t);
uint32_t rmri_ns_flow_label(const rmr_ns *ns, const ns_tuple *t);
/* Fills t->lport; false when all are used. */
bool rmri_ns_pick_tcp_port(rmr_ns *ns, ns_tuple *t);
bool rmri_ns_pick_udp_port(rmr_ns *ns, ns_bind *b);

#endif
