/* What the parts of the scenario interpreter share: the peer whose part a line
 * plays, and the end of the connection that it is played to. */
#ifndef TEST_SCN_WORLD_H
#define TEST_SCN_WORLD_H

#include <remora/base.h>
#include <remora/cursor.h>

#define SCN_PKTS 128 /* that are sent and not yet looked at */

enum { /* flags of a segment, by their letters in the notation */
    SCN_F = 1, SCN_S = 2, SCN_R = 4, SCN_P = 8, SCN_A = 16
};

typedef struct scn_world scn_world;

/* The end that is tested, with the application above it. */
typedef struct scn_end {
    /* A packet arrives. */
    void (*feed)(scn_world *w, const uint8_t *b, size_t n);
    /* Queues (scn_queue) what the end has sent by now. */
    bool (*pump)(scn_world *w);
    /* Lets `d` pass; with `stop`, only until something is in the queue. */
    bool (*pass)(scn_world *w, rmr_dur d, bool stop);
    /* "app: what" and "ev: what". */
    bool (*app)(scn_world *w, const char *what);
    bool (*event)(scn_world *w, const char *what);
    /* Its timers may be late by an eighth (a kernel's are), and so may who looks:
     * a silence has to last seven eighths, and "now" is until an eighth later. */
    bool real_time;
} scn_end;

typedef struct scn_pkt {
    size_t len;
    uint8_t b[1300];
} scn_pkt;

struct scn_world { /* an end puts its own things behind it */
    const scn_end *end;
    char err[400];  /* empty: all as expected */
    char step[256]; /* being run */
    scn_pkt q[SCN_PKTS];
    size_t q_head, q_n;
    rmr_dur cut; /* that the last silence was shorter than written */
    uint8_t our_ip[4]; /* that the peer talks to: scn_our_ip, or a foreign one */
    uint16_t port, peer_port;
    uint32_t our_iss, peer_iss;
    bool our_iss_known, active;
    /* what the peer has agreed to and will send */
    bool ts;
    uint32_t tsval, tsecr, wnd;
    uint64_t sent, got; /* the application's streams */
};

typedef struct scn_seg { /* as written in a step */
    uint8_t flags;
    bool any_seq, has_end, has_ack, has_wnd, wnd_above;
    uint32_t seq, end, ack, wnd;
    bool has_mss, has_ws, want_ws, sok, has_ts, any_ts, ts_echo;
    bool no_ts, no_sack, no_ws, no_sok, bad_sum, src_is_dst;
    uint32_t mss, ws, ts, echo, urg;
    uint32_t n_sack, sack[8];
    bool has_off, has_len;
    uint32_t off, len;
    uint32_t step;      /* a run of segments of this length */
    uint32_t echo_back; /* so many ms before the right echo */
    uint8_t raw[40];
    size_t raw_len;
} scn_seg;

typedef struct scn_icmp { /* "T/C [mtuM] seqN" */
    uint32_t type, code, mtu, seq;
} scn_icmp;

extern const uint8_t scn_our_ip[4], scn_peer_ip[4];

/* ---- scn_run.c -------------------------------------------------------- */

void scn_world_init(scn_world *w, const scn_end *end);
/* Runs the steps of `line`; false: w->err says why. */
bool scn_world_run(scn_world *w, const char *line);
/* Notes the first error; false. */
bool scn_bad(scn_world *w, const char *fmt, ...) RMR_PRINTF(2, 3);
/* Room for the next packet, or NULL; *len is to be set, then scn_queued. */
scn_pkt *scn_queue(scn_world *w);
void scn_queued(scn_world *w);
/* The byte at `at` of what either side sends; counted as in the notation, from
 * 1. */
uint8_t scn_stream(uint64_t at);

/* ---- scn_parse.c ------------------------------------------------------ */

bool scn_is_word(const char *s, const char *start);
bool scn_parse_seg(scn_world *w, const char *text, scn_seg *g);
bool scn_parse_icmp(scn_world *w, const char *text, scn_icmp *i);

/* ---- scn_build.c: what the peer sends ---------------------------------- */

size_t scn_build_segment(scn_world *w, const scn_seg *g, uint8_t *b);
size_t scn_build_icmp(const scn_world *w, const scn_icmp *i, uint8_t *b);
/* The piece of `b` that is numbered '0', '1' or '2': 24, 24 bytes, the rest. */
size_t scn_build_piece(const uint8_t *b, size_t total, char piece, uint16_t id,
                       uint8_t *f);
/* The Internet checksum of n bytes, added to `acc`; and its end. */
uint32_t scn_sum16(uint32_t acc, const uint8_t *p, size_t n);
uint16_t scn_fold(uint32_t acc);

/* ---- scn_check.c: what the end sends ----------------------------------- */

/* Compares a packet, and learns from it what the peer has to answer. */
bool scn_match(scn_world *w, const scn_seg *g, const scn_pkt *p);
/* Learns from it alone. */
void scn_look(scn_world *w, const scn_pkt *p);

#endif
