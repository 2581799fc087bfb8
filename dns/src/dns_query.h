/* The stub resolver's parts:
 *   dns.c         queries, tries, servers, time-outs
 *   dns_stream.c  questions by TCP, behind answers that were cut off
 *   dns_msg.c     messages and names
 *   dns_hosts.c   hosts(5) text
 */
#ifndef RMRI_DNS_QUERY_H
#define RMRI_DNS_QUERY_H

#include "dns_internal.h"

typedef enum sub_state { SUB_SEND, SUB_WAIT, SUB_DONE } sub_state;

typedef enum sub_tcp { /* beside SUB_WAIT */
    TCP_NONE,
    TCP_WANTED, /* waits for a place       */
    TCP_OPENING, /* the host was told of it */
    TCP_ASKED
} sub_tcp;

/* One question: the A or the AAAA of a query. */
typedef struct sub {
    sub_state state;
    uint16_t id; /* the same for all tries: more ids are more to guess */
    uint16_t type;
    uint8_t server; /* index of the server of this try */
    uint8_t asked;  /* bits: servers that may answer   */
    uint32_t tries; /* begun, this one included        */
    uint32_t n_failed;
    bool no_edns; /* this server refused EDNS        */
    rmr_time deadline;
    rmr_err err;
    size_t n_ips;
    rmri_dns_ip ips[RMR_DNS_MAX_ADDRS];
    /* By TCP.  ips are those of the cut answer meanwhile. */
    sub_tcp tcp;
    uint64_t stream; /* 0: none */
    uint8_t prefix[2];
    size_t got;  /* bytes, with the prefix    */
    uint8_t *in; /* as long as the prefix says */
} sub;

typedef struct query {
    struct query *next;
    uint64_t id;
    char text[256];     /* as it was asked                     */
    rmri_dns_name name; /* what is asked now                   */
    size_t search_at;   /* the rest of the search list         */
    bool is_bare;       /* no search domain is left to try     */
    rmr_err worst;      /* of the names tried before this one  */
    rmr_time grace;     /* NEVER: not running                  */
    sub sub[2];         /* A, AAAA                             */
} query;

struct rmr_dns {
    rmr_env env;
    rmr_dns_config cfg;
    rmr_time now;
    bool in_callback;
    query *head; /* in the order in which they came */
    uint32_t n_queries;
    rmr_addr servers[RMR_DNS_MAX_SERVERS];
    uint8_t n_servers;
    uint8_t first; /* the server of a first try */
    uint8_t *hosts;
    size_t hosts_len;
    char *search; /* of search_len */
    size_t search_len;
    uint32_t n_streams; /* that the host was told of */
    uint64_t last_stream;
    rmr_dns_stats stats;
};

/* dns.c */
void rmri_dns_clamp(rmr_dns *d, rmr_time now);
/* These may free q. */
void rmri_dns_finish_sub(rmr_dns *d, query *q, sub *s, rmr_err e);
void rmri_dns_fail_try(rmr_dns *d, query *q, sub *s, rmr_err e);
void rmri_dns_take_answer(rmr_dns *d, query *q, sub *s, const rmri_dns_head *h,
                          uint8_t server);
bool rmri_dns_is_answer(const rmri_dns_head *h, const query *q, const sub *s,
                        uint8_t server);

/* dns_stream.c */
void rmri_dns_stream_want(rmr_dns *d, sub *s, uint8_t server);
void rmri_dns_stream_drop(rmr_dns *d, sub *s);
/* No answer of use came by it.  May free q. */
void rmri_dns_stream_failed(rmr_dns *d, query *q, sub *s);

#endif
