/* What the parts of netcheck share. */
#ifndef RMRI_NETCHECK_INTERNAL_H
#define RMRI_NETCHECK_INTERNAL_H

#include <remora/netcheck.h>
#include <remora/stun.h>

#define NONE RMR_NETCHECK_NO_LATENCY
#define HISTORY_FOR (300 * RMR_SEC)
#define HISTORY_LEN 8
#define RUN_FOR (5 * RMR_SEC)

enum { V4 = 0, V6 = 1, FAMILIES = 2 };

/* How far something is that the host does for us. */
typedef enum nc_ask { IDLE = 0, WANTED, ASKED } nc_ask;

typedef struct nc_node {
    rmr_addr literal[FAMILIES]; /* of the map; port is that of STUN */
    rmr_addr found[FAMILIES];   /* of a look-up */
    rmr_addr test_ip;
    rmr_time found_at;
    uint16_t region;     /* place in the table */
    uint32_t name, host; /* where in the table's text; both end in a NUL */
    int32_t stun_port;   /* -1: none */
    bool off[FAMILIES];
    bool stun_only, can_port80;
    bool has_found; /* found and found_at count */
    bool failed;    /* the look-up of this run */
    uint8_t asking; /* nc_ask */
} nc_node;

typedef struct nc_past {
    rmr_time at;
    rmr_dur latency;
} nc_past;

typedef struct nc_set { /* the probes of one region by one family */
    uint8_t left;       /* tries that are planned, waiting or sent */
    bool open;          /* another answer is waited for */
} nc_set;

typedef struct nc_region {
    uint16_t id;
    bool avoid, no_measure, has_relay;
    uint8_t n_nodes;
    uint32_t score;
    uint32_t first_node;
    rmr_netcheck_latency cur, last; /* of this run, of the last report */
    nc_set set[FAMILIES];
    uint8_t https;      /* nc_ask */
    uint8_t icmp;       /* nc_ask; ASKED: sent */
    rmr_time icmp_sent;
    bool has_heard;
    rmr_time heard;
    /* Latencies of the last 5 min, those that can still become the least:
     * later and larger from one to the next. */
    nc_past past[HISTORY_LEN];
    uint8_t n_past;
} nc_region;

typedef enum nc_state { PLANNED = 0, READY, SENT, GONE } nc_state;

typedef struct nc_probe {
    rmr_time at, sent_at;
    uint16_t region; /* place in the table */
    uint8_t node, family, state;
    uint8_t txid[RMR_STUN_TXID_LEN];
} nc_probe;

typedef struct nc_table { /* the map */
    nc_region *regions;   /* by id */
    nc_node *nodes;
    char *text;
    rmr_netcheck_latency *latency; /* room for a report */
    size_t n_regions, n_nodes, text_len;
    size_t cap_regions, cap_nodes, cap_text; /* equal ids leave room unused */
} nc_table;

typedef struct nc_globals {
    rmr_netcheck_global *list;
    size_t n, cap; /* RMR_NETCHECK_MAX_GLOBALS at most */
} nc_globals;

typedef enum nc_stage {
    STAGE_OFF = 0,
    STAGE_STUN,     /* until all sets end, enough regions answered, or 3 s */
    STAGE_PORTMAP,  /* the port mapper has not told yet */
    STAGE_FALLBACK, /* HTTPS and ICMP */
    STAGE_PORTAL    /* the captive-portal request is still out */
} nc_stage;

struct rmr_netcheck {
    rmr_env env;
    rmr_netcheck_callbacks cb;
    uint32_t max_https;
    uint64_t seed; /* for a home when nothing is known */
    rmr_netcheck_stats stats;
    rmr_time now;
    bool busy; /* in the callback */
    nc_table t;

    /* the last report */
    bool has_report;
    rmr_netcheck_report report;
    nc_globals globals[FAMILIES];
    bool tried_v4; /* its run gave out IPv4 probes */
    bool has_full;
    rmr_time last_full; /* when the last full run began */

    /* the run */
    nc_stage stage;
    rmr_netcheck_how how;
    rmr_netcheck_report cur; /* without its lists */
    nc_globals seen[FAMILIES];
    nc_probe *probes; /* by `at` */
    size_t n_probes, cap_probes;
    size_t next;     /* the first one that is PLANNED */
    size_t ready;    /* no one before it is READY */
    size_t write_at; /* where write_pkt goes on */
    uint16_t mask;   /* over the place of a probe in its transaction id */
    size_t open_sets, n_answered;
    uint64_t sent[FAMILIES], failed[FAMILIES];
    rmr_time stop_at;    /* enough regions answered */
    rmr_time icmp_until; /* NEVER: no echo is out */
    size_t https_wanted, https_asked, icmp_open;
    size_t names_wanted, name_at;
    uint8_t portal; /* nc_ask */
    rmr_time portal_at; /* NEVER: none planned */
    bool portmap_open;
};

/* ---- netcheck_map.c ---- */
void rmri_nc_table_free(rmr_netcheck *nc, nc_table *t);
/* NULL: not in the map. */
nc_region *rmri_nc_region(const rmr_netcheck *nc, uint16_t id);
bool rmri_nc_has_family(const nc_node *n, int family, bool iface);

/* ---- netcheck_plan.c ---- */
/* Fills probes and sets of a run.  Errors: NOMEM, RNG; nothing then. */
rmr_err rmri_nc_plan(rmr_netcheck *nc, bool all);
void rmri_nc_plan_free(rmr_netcheck *nc);

/* ---- netcheck_probe.c ---- */
/* Where to send; family NONE: not yet (*wait) or never. */
rmr_addr rmri_nc_addr(rmr_netcheck *nc, nc_node *n, int family, bool *wait);
void rmri_nc_promote(rmr_netcheck *nc);
void rmri_nc_settle(rmr_netcheck *nc);
void rmri_nc_answer(rmr_netcheck *nc, nc_region *r, rmr_dur d);
/* When the next probe is due. */
rmr_time rmri_nc_probe_due(const rmr_netcheck *nc);

/* ---- netcheck_other.c ---- */
void rmri_nc_fallback_begin(rmr_netcheck *nc);
void rmri_nc_icmp_end(rmr_netcheck *nc);
void rmri_nc_icmp_settle(rmr_netcheck *nc);
bool rmri_nc_find_portal(const rmr_netcheck *nc, rmr_netcheck_portal *out);

/* Room for n; false: no memory, unchanged. */
bool rmri_nc_globals_reserve(rmr_netcheck *nc, nc_globals *g, size_t n);

/* ---- netcheck_home.c ---- */
/* Adds this run to the history and chooses its preferred region. */
uint16_t rmri_nc_prefer(rmr_netcheck *nc);

/* ---- netcheck.c ---- */
/* In every pump: REENTRANT, or the clock goes on. */
rmr_err rmri_nc_enter(rmr_netcheck *nc, rmr_time now);
/* What follows from what happened; on_done. */
void rmri_nc_advance(rmr_netcheck *nc);
void rmri_nc_tell(rmr_netcheck *nc, const rmr_netcheck_report *r);

#endif
