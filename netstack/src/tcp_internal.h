/* What the TCP files share: the connection, its parts, and who does what. */
#ifndef RMRI_TCP_INTERNAL_H
#define RMRI_TCP_INTERNAL_H

#include "ns_internal.h"

#define TCP_HEADER 20u
#define TCP_WINDOW_MAX (1u << 30) /* 65535 << 14, RFC 7323 2.3 */
#define TCP_MSS_MIN 64u           /* CVE-2019-11479 */
#define TCP_MSS_DEFAULT4 536u
#define TCP_MSS_DEFAULT6 1220u
#define TCP_WINDOW_START (64u * 1024u)
#define TCP_IW_SEGS 10u
#define TCP_IW_BYTES 14600u
#define TCP_RANGES_MAX 64u
#define TCP_SACK_MAX 4u
#define TCP_QUICK_ACKS 16u
#define TCP_DUPTHRESH 3u
#define TCP_TS_LEN 12u
#define TCP_SEGQ_KEEP 64u /* places of an idle connection's list */

#define TCP_RTO_FIRST RMR_SEC
#define TCP_RTO_FIRST_MAX (3 * RMR_SEC)
#define TCP_RTO_MIN (200 * RMR_MS)
#define TCP_RTO_MAX (60 * RMR_SEC)
/* The least 4 * rttvar: on a steady path the peer's delayed ACK and its batches
 * must not look like a loss (G of RFC 6298 2.3). */
#define TCP_RTO_VAR_MIN (100 * RMR_MS)
#define TCP_SYN_TRIES 6u
#define TCP_SYNACK_TRIES 5u
#define TCP_SYNACK_TRIES_BUSY 3u
#define TCP_DATA_TRIES 15u
#define TCP_SUSPECT_TRIES 3u /* R1 of RFC 9293 3.8.3 */
#define TCP_DELACK (40 * RMR_MS)
#define TCP_OVERRIDE (200 * RMR_MS)
#define TCP_ORPHAN (60 * RMR_SEC)
#define TCP_RETRY_MEMORY (50 * RMR_MS)
#define TCP_PAWS_IDLE_S (24u * 24 * 3600)
#define TCP_OOW_GAP_MS 500u
#define TCP_COOKIE_TTL (128 * RMR_SEC)
#define TCP_CHALLENGES 5u /* a second and connection */

enum {
    TH_FIN = 1,
    TH_SYN = 2,
    TH_RST = 4,
    TH_PSH = 8,
    TH_ACK = 16,
    TH_URG = 32
};

/* Sequence numbers are compared modulo 2^32 and nowhere else than here. */
static inline bool seq_lt(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}
static inline bool seq_le(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) <= 0;
}
static inline bool seq_gt(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) > 0;
}
static inline bool seq_ge(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) >= 0;
}
static inline uint32_t seq_max(uint32_t a, uint32_t b)
{
    return seq_gt(a, b) ? a : b;
}
static inline uint32_t u32_min(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}
static inline uint32_t u32_max(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* ---- segments in ------------------------------------------------------ */

typedef struct tcp_block {
    uint32_t start, end;
} tcp_block;

typedef struct tcp_opts {
    uint32_t tsval, tsecr;
    uint16_t mss; /* 0: absent */
    uint8_t ws;   /* at most 14 */
    bool has_ws, sack_ok, has_ts;
    uint8_t n_sack;
    tcp_block sack[TCP_SACK_MAX];
} tcp_opts;

typedef struct tcp_seg {
    uint32_t seq, ack;
    uint16_t wnd; /* as it stands in the header */
    uint8_t flags;
    const uint8_t *data;
    uint32_t len; /* of the data, without SYN and FIN */
    tcp_opts o;
    ns_tuple tuple;
    /* The entry in TIME-WAIT whose place a SYN may take, or NULL. */
    struct tcp_tw *tw;
} tcp_seg;

static inline uint32_t seg_len(const tcp_seg *s)
{
    return s->len + ((s->flags & TH_SYN) != 0) + ((s->flags & TH_FIN) != 0);
}

/* ---- what was sent (tcp_segq.c) --------------------------------------- */

enum {
    SENT_SACKED = 1,
    SENT_LOST = 2,    /* and not sent again yet */
    SENT_RETRANS = 4, /* sent more than once */
    SENT_FIN = 8,     /* the last number of it is the FIN */
    SENT_CUT = 16     /* a piece of what was too big; during a cut alone */
};

typedef struct tcp_sent { /* one segment between SND.UNA and SND.NXT */
    rmr_time at;          /* last sent */
    uint32_t seq;
    uint16_t len; /* with the FIN */
    uint8_t flags;
    uint8_t pad;
} tcp_sent;

typedef struct tcp_segq { /* a ring, ordered by sequence, without gaps */
    tcp_sent *v;
    uint32_t cap, first, n;
} tcp_segq;

static inline tcp_sent *segq_at(const tcp_segq *q, uint32_t i)
{
    return &q->v[(q->first + i) & (q->cap - 1)];
}
bool rmri_tcp_segq_push(tcp_segq *q, const rmr_alloc *a, const tcp_sent *s);
void rmri_tcp_segq_pop(tcp_segq *q);
/* The first segment that ends behind seq; q->n when there is none. */
uint32_t rmri_tcp_segq_find(const tcp_segq *q, uint32_t seq);
/* Cuts all that hold more data than `mss` into pieces; those that were not
 * SACKed are marked SENT_CUT.  False without memory: nothing is changed. */
bool rmri_tcp_segq_split(tcp_segq *q, const rmr_alloc *a, uint32_t mss);
void rmri_tcp_segq_wipe(tcp_segq *q, const rmr_alloc *a);

/* ---- what came out of order (tcp_reasm.c) ----------------------------- */

typedef struct tcp_range {
    uint32_t start, end;
    uint32_t stamp; /* larger: newer */
} tcp_range;

typedef struct tcp_ranges { /* sorted, disjoint, not touching */
    tcp_range *v;
    uint8_t n, cap;
    uint32_t stamp;
} tcp_ranges;

typedef enum tcp_insert {
    TCP_INSERT_NEW,
    TCP_INSERT_DUP, /* all of it was there */
    TCP_INSERT_FULL /* no room, or no memory */
} tcp_insert;
tcp_insert rmri_tcp_ranges_add(tcp_ranges *r, const rmr_alloc *a,
                               uint32_t start, uint32_t end);
/* Takes off the first range when it begins at or below seq; returns the new
 * left edge. */
uint32_t rmri_tcp_ranges_join(tcp_ranges *r, uint32_t seq);
/* Up to `max` blocks, newest first. */
uint32_t rmri_tcp_ranges_blocks(const tcp_ranges *r, tcp_block *out,
                                uint32_t max);
bool rmri_tcp_ranges_has(const tcp_ranges *r, uint32_t start, uint32_t end);
void rmri_tcp_ranges_wipe(tcp_ranges *r, const rmr_alloc *a);

/* ---- congestion control (tcp_cc.c) ------------------------------------ */

struct tcp_conn;

typedef struct tcp_cc_ops {
    const char *name;
    /* cwnd was used up and `acked` bytes were acknowledged. */
    void (*grow)(struct tcp_conn *c, rmr_time now, uint32_t acked);
    /* The new ssthresh after a loss; `flight` bytes are out. */
    uint32_t (*reduce)(struct tcp_conn *c, uint32_t flight);
    /* Behind a timeout or a long silence. */
    void (*restart)(struct tcp_conn *c);
} tcp_cc_ops;

extern const tcp_cc_ops rmri_tcp_cc_cubic, rmri_tcp_cc_newreno;

typedef struct tcp_cubic {
    uint64_t w_est;   /* what Reno would have, in 1/1024 bytes */
    uint32_t epoch;   /* ms, 0: none */
    uint32_t last;    /* ms, of the last growth */
    uint32_t w_max;   /* bytes */
    uint32_t w_prior; /* cwnd before the last reduction */
    uint32_t k_ms;
    uint32_t origin;  /* bytes, the plateau */
} tcp_cubic;

typedef struct tcp_hystart { /* of the first slow start */
    uint32_t end; /* of the round */
    uint32_t last_us, now_us; /* least round trip of the last round, and this */
    uint32_t base_us;         /* ... when conservative slow start began */
    uint8_t n;                /* samples of this round */
    uint8_t css_left; /* rounds of conservative slow start; 0: not in it */
} tcp_hystart;

/* ---- connections ------------------------------------------------------ */

enum { /* c->flags */
    CF_SYN_DUE = 1u << 0,    /* SYN or SYN-ACK is to be sent */
    CF_ACK_NOW = 1u << 1,    /* an ACK is due, whatever the policy says */
    CF_ACK_PENDING = 1u << 2,/* something is unacknowledged */
    CF_PROBE = 1u << 3,      /* empty segment at SND.UNA - 1 (window, alive) */
    CF_TLP = 1u << 4,        /* a tail loss probe is due */
    CF_FIN_QUEUED = 1u << 5,
    CF_FIN_SENT = 1u << 6,
    CF_FIN_SEEN = 1u << 7,   /* c->fin_seq is known */
    CF_FIN_TAKEN = 1u << 8,  /* and was reached */
    CF_ORPHAN = 1u << 9,     /* the handle was closed */
    CF_DONE = 1u << 10,      /* only unread data is left */
    CF_NODELAY = 1u << 11,
    CF_TS = 1u << 12,
    CF_SACK = 1u << 13,
    CF_WS = 1u << 14,
    CF_WANT_WRITE = 1u << 15,/* on_writable is owed */
    CF_FORCE = 1u << 16,     /* one repeat regardless of cwnd */
    CF_OVERRIDE = 1u << 17,  /* send less than a full segment now */
    CF_DSACK = 1u << 18,     /* c->dsack is to be reported */
    CF_REORDERING = 1u << 19,/* RACK: was seen */
    CF_TLP_RETRANS = 1u << 20,
    CF_TLP_OUT = 1u << 21,   /* c->tlp_end is valid */
    CF_PERSIST = 1u << 22,   /* t_rto is the persist timer */
    CF_SYN_RETRANS = 1u << 23,
    CF_RACK = 1u << 24,      /* rack_at is valid */
    CF_ACTIVE = 1u << 25,    /* dialled */
    CF_MSS_LOWERED = 1u << 26,/* mss_snd is below mss_peer, for now */
    CF_MSS_PROVEN = 1u << 27,/* a segment of mss_snd has arrived */
    CF_UNACCEPTED = 1u << 28,/* on_accept is still to come */
    CF_REPEATED = 1u << 29   /* something was, since the last reduction */
};

enum { /* c->events */
    EV_ACCEPT = 1,
    EV_CONNECTED = 2,
    EV_READABLE = 4,
    EV_WRITABLE = 8,
    EV_SUSPECT = 16,
    EV_CLOSED = 32
};

#define TCP_LONG_AGO_MS 120000u /* more than any RTO: no data came yet */

typedef enum tcp_ca {
    TCP_CA_OPEN,
    TCP_CA_RECOVERY, /* by PRR until SND.UNA reaches c->recover */
    TCP_CA_LOSS      /* after a timeout, likewise */
} tcp_ca;

/* Instants of which only the distance to now counts are kept in ms (or s) and
 * come round: 10,000 of these blocks may be idle. */
typedef struct tcp_conn {
    ns_head head;
    ns_tuple tuple;
    union {
        uint64_t listener; /* CF_UNACCEPTED: its handle */
        void *tag;
    };
    ns_node out, ev;
    rmr_timer timer;
    /* Logical deadlines; the timer is at or before the earliest. */
    rmr_time t_rto, t_probe, t_ack, t_keep, t_state, t_write;
    uint32_t flags;
    uint8_t state;     /* rmr_ns_tcp_state */
    uint8_t events;
    uint8_t ca;        /* tcp_ca */
    uint8_t snd_ws, rcv_ws;
    uint8_t tries;     /* timeouts without progress */
    uint8_t backoff;   /* doublings of the RTO, until a new sample */
    uint8_t unanswered; /* window probes */
    uint8_t quick;     /* ACKs that are not delayed */
    uint8_t dupacks;
    uint8_t chal_left;
    uint8_t keep_probes, keep_sent;
    uint8_t rack_mult, rack_persist;
    uint8_t cc; /* rmr_ns_cc */
    int16_t why;       /* rmr_err for on_closed */
    int16_t soft;      /* rmr_err, the last that ICMP told */

    uint32_t snd_una, snd_nxt, snd_wnd, snd_wl1, snd_wl2, max_wnd;
    uint32_t rcv_nxt, rcv_adv, last_ack;
    uint32_t fin_seq;
    uint32_t rcv_limit, snd_limit; /* of the buffers now */
    uint32_t rcv_max, snd_max;     /* they may grow to these */
    uint32_t ts_recent_s;
    uint32_t user_ms;   /* user timeout; 0: by repeats */
    uint32_t linger_ms; /* without progress, once closed */
    uint16_t mss_snd;   /* payload of a full segment */
    uint16_t mss_peer;  /* the most that the peer takes */
    uint16_t mss_cap;   /* black hole: what is tried; 0: none */
    uint16_t mss_cap_until; /* minute */
    uint16_t mss_rcv;   /* the largest segment that came */
    uint16_t rcv_rtt_ms; /* the round trip as a receiver sees it */
    ns_cq snd, rcv;
    tcp_segq segq;
    tcp_ranges ooo;
    tcp_block dsack;

    rmr_dur srtt, rttvar, rto;
    rmr_time rack_at;
    uint32_t ts_recent, ts_off;

    uint32_t pipe;      /* bytes that are in the network, we think */
    uint32_t lost;      /* bytes marked lost, not sent again */
    uint32_t sacked;    /* bytes */
    uint32_t dup_bytes; /* without SACK: delivered, by the duplicate ACKs */
    uint32_t rtx_hint;  /* nothing lost below */
    uint32_t cwnd, ssthresh;
    union {
        uint32_t recover; /* in recovery, and without SACK */
        uint32_t tlp_end; /* CF_TLP_OUT: with SACK, out of recovery */
    };
    uint32_t max_pipe, max_pipe_end; /* the most in flight of this round */
    uint32_t prr_fs, prr_delivered, prr_out;
    uint32_t prior_cwnd, prior_ssthresh; /* to undo */
    uint32_t undo_sum;   /* marks of the repeats that no D-SACK answered */
    uint32_t undo_stamp; /* our timestamp of the first of them */
    uint32_t min_rtt_us, rack_rtt_us; /* rounded up */
    uint32_t rack_end, rack_fack, rack_round;
    union {
        tcp_hystart hystart; /* while ssthresh is UINT32_MAX */
        tcp_cubic cubic;
    };

    rmr_time last_snd;
    uint32_t addr_sum; /* of the pseudo header without the length */
    uint32_t label : 20;    /* IPv6 flow label */
    uint32_t held_for : 12; /* in ns->held: of rmr_ns_hold's tag */
    uint32_t last_rcv_ms; /* kept up where there are keepalives */
    uint32_t last_data_ms;
    uint32_t oow_ms, chal_ms; /* 0: never */
    uint32_t keep_idle_ms, keep_gap_ms;
    uint32_t tune_ms;    /* receive window tuning: begin of the round */
    uint32_t tune_bytes; /* consumed since then */
    uint32_t tune_prev;  /* and in the round before */
    uint32_t retransmits;
} tcp_conn;

typedef struct tcp_listener {
    ns_head head;
    ns_bind bind;
    void *tag;
    ns_node waiting; /* open connections, by their `ev`, while it is paused */
    rmr_time cookie_at; /* of the last one sent; 0: none */
    uint32_t n_half, half_max;
    uint32_t n_unaccepted, unaccepted_max;
    bool paused;
} tcp_listener;

typedef struct tcp_half { /* SYN-RECEIVED of a listener */
    ns_head head;
    ns_tuple tuple;
    uint64_t listener;
    rmr_timer timer;
    rmr_time sent_at;
    uint32_t iss, irs, ts_recent, ts_off;
    uint16_t mss; /* the peer's, 0: none given */
    uint8_t ws, tries;
    bool has_ws, sack_ok, has_ts;
} tcp_half;

typedef struct tcp_tw { /* TIME-WAIT */
    ns_head head;
    ns_tuple tuple;
    ns_node node;
    rmr_time deadline, born;
    uint32_t rcv_nxt, snd_nxt, ts_recent, ts_off;
    uint8_t has_ts, ws;
} tcp_tw;

/* Dropped by the checks, without an answer; false, as those say it. */
static inline bool tcp_drop(rmr_ns *ns)
{
    ns->stats.discard_segment++;
    return false;
}

static inline bool tcp_synced(const tcp_conn *c)
{
    return c->state >= RMR_NS_ESTABLISHED;
}
/* May data still be queued? */
static inline bool tcp_can_send(const tcp_conn *c)
{
    return (c->state == RMR_NS_ESTABLISHED ||
            c->state == RMR_NS_CLOSE_WAIT) &&
           !(c->flags & CF_FIN_QUEUED);
}
static inline uint32_t tcp_flight(const tcp_conn *c)
{
    return c->snd_nxt - c->snd_una;
}
/* Data that was never sent. */
static inline size_t tcp_unsent(const tcp_conn *c)
{
    uint32_t sent = tcp_flight(c) - ((c->flags & CF_FIN_SENT) != 0 &&
                                     tcp_flight(c) != 0);
    return c->snd.len - sent;
}
/* What fits into the send queue; its limit may have shrunk. */
static inline size_t tcp_send_room(const tcp_conn *c)
{
    return c->snd.len < c->snd_limit ? c->snd_limit - c->snd.len : 0;
}
/* Data or a FIN that was never sent. */
static inline bool tcp_is_waiting(const tcp_conn *c)
{
    return tcp_unsent(c) ||
           (c->flags & (CF_FIN_QUEUED | CF_FIN_SENT)) == CF_FIN_QUEUED;
}
/* Upwards, so that little is not nothing. */
static inline uint32_t tcp_to_ms(rmr_dur d)
{
    rmr_dur ms = d / RMR_MS + (d % RMR_MS != 0);
    return ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}
static inline uint32_t tcp_ms(rmr_time t)
{
    return (uint32_t)(t / RMR_MS);
}
/* Never 0, which means "never". */
static inline uint32_t tcp_ms_mark(rmr_time t)
{
    return tcp_ms(t) ? tcp_ms(t) : 1;
}
static inline uint32_t tcp_ts_now(const rmr_ns *ns, uint32_t off)
{
    return (uint32_t)(ns->now / RMR_MS) + off;
}

/* ---- connection life (tcp_conn.c) ------------------------------------- */

/* The user timeout, when something waits for the peer (tcp.c). */
void rmri_tcp_arm_user(rmr_ns *ns, tcp_conn *c, bool progress);
tcp_conn *rmri_tcp_conn_get(const rmr_ns *ns, uint64_t id);
/* A zeroed connection in no table, with its defaults. */
tcp_conn *rmri_tcp_conn_new(rmr_ns *ns, const ns_tuple *t, rmr_err *why);
void rmri_tcp_conn_free(rmr_ns *ns, tcp_conn *c);
/* Gives back its buffers. */
void rmri_tcp_conn_wipe(rmr_ns *ns, tcp_conn *c);
/* It has (maybe) something to send. */
void rmri_tcp_want_output(rmr_ns *ns, tcp_conn *c);
void rmri_tcp_event(rmr_ns *ns, tcp_conn *c, uint8_t ev);
void rmri_tcp_run_events(rmr_ns *ns, tcp_conn *c);
/* The end: the flow is released; on_closed(why) follows, or for an orphan the
 * block is freed at once.  `c` may be gone afterwards. */
void rmri_tcp_finish(rmr_ns *ns, tcp_conn *c, rmr_err why);
/* Both sides have closed: TIME-WAIT entry (if `wait`), then as above, but
 * unread data stays. */
void rmri_tcp_done(rmr_ns *ns, tcp_conn *c, bool wait);
void rmri_tcp_addr_gone(rmr_ns *ns, uint8_t family, const ns_ip *ip);
/* Takes the peer's options of its SYN, and the first sizes from them. */
void rmri_tcp_take_options(rmr_ns *ns, tcp_conn *c, uint16_t mss,
                           const tcp_opts *o);
void rmri_tcp_established(rmr_ns *ns, tcp_conn *c);

/* ---- in (tcp_input.c, tcp_ack.c, tcp_data.c) -------------------------- */

void rmri_tcp_conn_input(rmr_ns *ns, tcp_conn *c, tcp_seg *s);
void rmri_tcp_options_parse(const uint8_t *p, size_t n, tcp_opts *o);
void rmri_tcp_ack(rmr_ns *ns, tcp_conn *c, const tcp_seg *s);
void rmri_tcp_wake_writer(rmr_ns *ns, tcp_conn *c);
void rmri_tcp_take_window(tcp_conn *c, const tcp_seg *s);
/* Takes the data and FIN of a segment that passed all checks; false when the
 * connection is gone. */
bool rmri_tcp_data(rmr_ns *ns, tcp_conn *c, const tcp_seg *s);
uint32_t rmri_tcp_window(const rmr_ns *ns, const tcp_conn *c);
bool rmri_tcp_window_due(const rmr_ns *ns, const tcp_conn *c);
void rmri_tcp_tune(rmr_ns *ns, tcp_conn *c, size_t consumed);
void rmri_tcp_challenge(rmr_ns *ns, tcp_conn *c);
/* The limit of challenge ACKs of the whole stack. */
bool rmri_tcp_may_challenge(rmr_ns *ns);

/* ---- out (tcp_output.c, tcp_write.c) ---------------------------------- */

size_t rmri_tcp_build(rmr_ns *ns, tcp_conn *c, uint8_t *dst);

typedef struct tcp_out { /* one segment to be written */
    const ns_tuple *tuple;
    uint32_t seq, ack;
    uint16_t wnd;
    uint8_t flags;
    uint8_t opts_len; /* a multiple of 4 */
    uint8_t opts[40];
} tcp_out;

/* Headers before `len` bytes of payload that lie there already; `sum` is that
 * of the pseudo header without its length, and of the payload.  Returns the
 * headers' length. */
size_t rmri_tcp_write(uint8_t *dst, const tcp_out *o, size_t len, uint64_t sum,
                      uint32_t label);
static inline size_t tcp_headers_len(const tcp_out *o)
{
    return ns_ip_header_len(o->tuple->family) + TCP_HEADER + o->opts_len;
}
/* Queues a segment without data that no connection block sends. */
void rmri_tcp_emit(rmr_ns *ns, const tcp_out *o);
void rmri_tcp_reset(rmr_ns *ns, const ns_tuple *t, uint32_t seq);
void rmri_tcp_reset_ack(rmr_ns *ns, const ns_tuple *t, uint32_t seq,
                        uint32_t ack);
/* The RST that answers a segment that belongs nowhere (RFC 9293 3.10.7.1). */
void rmri_tcp_refuse(rmr_ns *ns, const tcp_seg *s);

typedef struct tcp_syn { /* what a SYN or SYN-ACK carries */
    uint16_t mss;
    uint8_t ws;
    bool has_ws, sack_ok, has_ts;
    uint32_t tsval, tsecr;
} tcp_syn;
void rmri_tcp_syn_options(tcp_out *o, const tcp_syn *s);
void rmri_tcp_ts_option(tcp_out *o, uint32_t tsval, uint32_t tsecr);
void rmri_tcp_sack_option(tcp_out *o, const tcp_block *b, uint32_t n);
uint16_t rmri_tcp_own_mss(const rmr_ns *ns, uint8_t family);
uint8_t rmri_tcp_own_ws(const rmr_ns *ns);

/* ---- loss, congestion (tcp_recovery.c, tcp_sack.c, tcp_cc.c) ---------- */

typedef struct tcp_acked { /* what one ACK brought */
    uint32_t cum;       /* bytes below the new SND.UNA */
    uint32_t delivered; /* newly, cumulative or by SACK */
    rmr_dur rtt;        /* 0: no sample */
    bool dsack, sack_new, newly_lost;
    bool unlost; /* what was marked lost arrived without a repeat */
    bool has_ts;
    uint32_t tsecr;
    tcp_block dsack_block;
} tcp_acked;

void rmri_tcp_sack_input(rmr_ns *ns, tcp_conn *c, const tcp_seg *s,
                         tcp_acked *a);
/* A segment is known to have arrived (RFC 8985 6.2 step 2). */
void rmri_tcp_rack_update(rmr_ns *ns, tcp_conn *c, const tcp_sent *t,
                          const tcp_seg *s);
/* Marks what is lost; arms the reordering timer for what may be. */
void rmri_tcp_rack_detect(rmr_ns *ns, tcp_conn *c, tcp_acked *a);
void rmri_tcp_mark_lost(tcp_conn *c, tcp_sent *s);
void rmri_tcp_recovery(rmr_ns *ns, tcp_conn *c, tcp_acked *a, bool dup);
void rmri_tcp_timeout(rmr_ns *ns, tcp_conn *c); /* the RTO's effect */
uint32_t rmri_tcp_undo_mark(uint32_t start, uint32_t end);
void rmri_tcp_tlp_ack(rmr_ns *ns, tcp_conn *c, const tcp_seg *s,
                      const tcp_acked *a);
uint32_t rmri_tcp_pipe(const tcp_conn *c);
uint32_t rmri_tcp_iw(const tcp_conn *c);
void rmri_tcp_cc_init(tcp_conn *c);
const tcp_cc_ops *rmri_tcp_cc(const tcp_conn *c);
uint32_t rmri_tcp_cubic_k_ms(uint32_t deficit, uint32_t mss);
uint32_t rmri_tcp_cubic_window(const tcp_cubic *q, uint32_t mss,
                               uint64_t t_ms);

/* ---- segment size (tcp_mtu.c) ----------------------------------------- */

void rmri_tcp_mss_init(rmr_ns *ns, tcp_conn *c);
/* Brings mss_snd up to date; what is out and too big is lost then. */
void rmri_tcp_mss_fit(rmr_ns *ns, tcp_conn *c);
/* After a time-out: smaller segments, if full ones seem to be swallowed. */
void rmri_tcp_black_hole(rmr_ns *ns, tcp_conn *c);

/* The new ssthresh after a loss; `flight` bytes are out. */
uint32_t rmri_tcp_cc_reduce(tcp_conn *c, uint32_t flight);
void rmri_tcp_cc_undo(tcp_conn *c);

/* ---- slow start (tcp_hystart.c) --------------------------------------- */

void rmri_tcp_hystart_begin(tcp_conn *c);
void rmri_tcp_hystart_end(tcp_conn *c);
/* Data was acknowledged; rtt 0: nothing was measured. */
void rmri_tcp_hystart_ack(tcp_conn *c, rmr_dur rtt);
/* How much cwnd grows for `acked` bytes. */
uint32_t rmri_tcp_hystart_growth(const tcp_conn *c, uint32_t acked);

/* ---- timers (tcp_timers.c) -------------------------------------------- */

void rmri_tcp_rtt_sample(tcp_conn *c, rmr_dur r);
void rmri_tcp_repeat_now(rmr_ns *ns, tcp_conn *c);
void rmri_tcp_arm(rmr_ns *ns, tcp_conn *c); /* the timer from the deadlines */
/* Deadlines of what is in flight, or waits for the window. */
void rmri_tcp_arm_loss(rmr_ns *ns, tcp_conn *c, bool progress);
void rmri_tcp_timer(rmr_ns *ns, tcp_conn *c);

/* ---- SYN cookies (tcp_cookie.c) --------------------------------------- */

/* Sets the initial number of an entry that is not kept. */
void rmri_tcp_cookie_make(const rmr_ns *ns, tcp_half *e);
/* The timestamp that goes with it. */
uint32_t rmri_tcp_cookie_stamp(const rmr_ns *ns, const tcp_half *e);
/* The entry again, from the ACK; false: there was no such cookie. */
bool rmri_tcp_cookie_read(const rmr_ns *ns, const tcp_seg *s, tcp_half *e);

/* ---- listeners and TIME-WAIT ------------------------------------------ */

void rmri_tcp_listen_input(rmr_ns *ns, tcp_listener *l, tcp_seg *s);
void rmri_tcp_half_input(rmr_ns *ns, tcp_half *h, tcp_seg *s);
void rmri_tcp_half_timer(rmr_ns *ns, tcp_half *h);
void rmri_tcp_half_free(rmr_ns *ns, tcp_half *h);
tcp_listener *rmri_tcp_listener_get(const rmr_ns *ns, uint64_t id);
/* on_accept is due, or will never be. */
void rmri_tcp_unqueue(rmr_ns *ns, tcp_conn *c);
void rmri_tcp_listener_close(rmr_ns *ns, tcp_listener *l);
/* Replaces the connection's flow by a small entry; false without memory. */
bool rmri_tcp_tw_enter(rmr_ns *ns, tcp_conn *c);
/* True: the segment is a SYN for a new connection.  The entry stays, as s->tw,
 * until that has a place: a SYN that is refused changes nothing.  Unless
 * somebody waits for it (`wanted`) anybody may have sent it. */
bool rmri_tcp_tw_input(rmr_ns *ns, tcp_tw *w, tcp_seg *s, bool wanted);
void rmri_tcp_tw_free(rmr_ns *ns, tcp_tw *w);
/* The same when its flow is another's already. */
void rmri_tcp_tw_replaced(rmr_ns *ns, tcp_tw *w);
/* The first number of what a SYN opens, whose flow is its own already; ends the
 * entry that had its place. */
uint32_t rmri_tcp_syn_isn(rmr_ns *ns, const tcp_seg *s);
void rmri_tcp_tw_timer(rmr_ns *ns);

/* ---- flows to foreign addresses (tcp_flow.c) -------------------------- */

bool rmri_tcp_is_request(const rmr_ns *ns, const tcp_seg *s);
rmr_err rmri_tcp_request(rmr_ns *ns, const tcp_seg *s);
void rmri_tcp_pending_input(rmr_ns *ns, ns_pending *p, const tcp_seg *s);
rmr_err rmri_tcp_pending_accept(rmr_ns *ns, ns_pending *p, void *tag,
                                rmr_ns_sock *out);
void rmri_tcp_pending_refuse(rmr_ns *ns, const ns_pending *p, rmr_err why);
bool rmri_tcp_parse(rmr_ns *ns, const ns_pkt *p, tcp_seg *s);

bool rmri_ns_flow_is(const void *user, uint64_t value, const void *key,
                     size_t key_len);
bool rmri_ns_bind_is(const void *user, uint64_t value, const void *key,
                     size_t key_len);

#endif
