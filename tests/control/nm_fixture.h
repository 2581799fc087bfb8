/* What the netmap's tests share: a table whose callbacks are noted as text. */
#ifndef REMORA_TESTS_NM_FIXTURE_H
#define REMORA_TESTS_NM_FIXTURE_H

#include "nm_support.h"
#include "support.h"

typedef struct nm_seen {
    char text[8192]; /* what the callbacks said */
    size_t len;
    rmr_nm *nm;
    bool reenter;
} nm_seen;

#define NM_NOW ((uint64_t)1795253000 * RMR_SEC) /* 2026-11-21T09:23:20Z */

#define SELF                                                                   \
    "\"Node\":{\"ID\":99,\"Name\":\"me.ex.com.\",\"Key\":" KEY(                \
        "99") ",\"Addresses\":[\"100.64.0.5/32\"]}"
#define KEY(two)                                                               \
    "\"nodekey:0000000000000000000000000000000000000000000000000000000000000"  \
    "0" two "\""
#define PEER(id, two)                                                          \
    "{\"ID\":" id ",\"Key\":" KEY(two) ",\"Name\":\"p" id ".ex.com.\","        \
                                       "\"Addresses\":[\"100.64.0." id         \
                                       "/32\"]}"

#define ALLOW(src)                                                             \
    "{\"SrcIPs\":[\"" src "\"],\"DstPorts\":[{\"IP\":\"*\",\"Ports\":{"        \
    "\"First\":0,\"Last\":65535}}]}"

/* NULL where it can't be made. */
rmr_nm *nm_make(nm_seen *s, test_alloc *a, test_rng *rng);
/* A file of tests/vectors/control; the caller frees it. */
char *nm_sample(const char *name, size_t *len);
/* Feeds a frame and tells what the callbacks said: + * - and the id of a peer
 * (k: another key), in brackets the bits of on_frame. */
const char *nm_frame(nm_seen *s, const char *json);
const char *nm_send_sample(nm_seen *s, const char *name);
const char *nm_hex(const uint8_t *k);
const char *nm_prefixes(const rmr_prefix *p, size_t n);
const char *nm_endpoints(const rmr_nm_node *n);
/* Does a packet from 100.64.0.src to this node come in? */
bool nm_passes(rmr_nm *nm, uint8_t src, uint8_t proto, uint16_t port);
size_t nm_rules_count(rmr_nm *nm);

#endif
