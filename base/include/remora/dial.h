/*
 * remora/dial.h - where a stream layer wants its stream to go.
 *
 * control/ and derp/ open no connections; they say what they need in these
 * words, and the host (remora's node, or yours) dials, puts TLS on top where
 * asked, and hands them the bytes.
 */
#ifndef REMORA_DIAL_H
#define REMORA_DIAL_H

#include <remora/addr.h>
#include <remora/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RMR_HOST_MAX 254 /* a DNS name or an address literal, and a NUL */

#define RMR_DIAL_PLAN_MAX 8

typedef struct rmr_dial_try { /* an address, and when it is tried */
    rmr_addr addr;            /* with its port                     */
    rmr_dur delay;            /* behind the beginning              */
    rmr_dur timeout;          /* to be connected                   */
} rmr_dial_try;

typedef struct rmr_dial_plan { /* all at once: the first to open is taken */
    rmr_dial_try tries[RMR_DIAL_PLAN_MAX]; /* the earlier first          */
    size_t n;
} rmr_dial_plan;

typedef struct rmr_dial {
    char host[RMR_HOST_MAX];      /* resolved, and the TLS server name        */
    char cert_name[RMR_HOST_MAX]; /* "": host; another name to check; or
                                     "sha256-raw:" and 64 hex digits          */
    uint16_t port;
    bool tls;
    bool insecure;        /* no certificate check; the host decides whether to
                             honour it (decisions 4: private addresses only)  */
    bool no_v4, no_v6;    /* that family must not be used                     */
    rmr_addr addrs[2];    /* literals to dial instead of resolving `host`     */
    uint8_t n_addrs;
    rmr_dur timeout;      /* for all of it, connected and TLS done            */
    const rmr_dial_plan *plan; /* NULL: none; instead of `host` and `addrs`,
                             where no proxy is asked; lent for the call       */
} rmr_dial;

#ifdef __cplusplus
}
#endif
#endif
