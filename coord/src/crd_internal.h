/* The coordination server: what it is made of.  What its parts know of each
 * other is in the headers that are included here, one a subject; one file a
 * subject, too:
 *   crd.c           life, the machine's four calls
 *   crd_config.c    the configuration, copied and checked; the Noise key
 *   crd_listen.c    listeners
 *   crd_conn.c      a connection: its stages, its end
 *   crd_fair.c      places that strangers share
 *   crd_limits.c    how often they may come (crd_limits.h)
 *   crd_stream.c    its bytes, with and without TLS
 *   crd_http.c      requests of HTTP/1.1
 *   crd_proxy.c     who asks, behind proxies
 *   crd_api*.c      the REST API (crd_api.h)
 *   crd_metrics.c   figures for Prometheus
 *   crd_noise.c     the handshake, records, HTTP/2
 *   crd_rpc.c       requests inside Noise
 *   crd_request.c   ... their JSON
 *   crd_register.c  /machine/register
 *   crd_login.c     logins that wait for approval
 *   crd_map.c       /machine/map: streams and updates
 *   crd_frame.c     one frame of a map stream
 *   crd_alike.c     ... that others get too
 *   crd_pace.c      when it may go
 *   crd_json.c      a node, its user, its filter as JSON
 *   crd_dns.c       the DNS configuration, likewise
 *   crd_zstd.c      frames of zstd
 *   crd_users.c     users
 *   crd_keys.c      pre-auth keys
 *   crd_nodes.c     nodes: the table and its indexes
 *   crd_nodes_admin.c  what the program does with them
 *   crd_check.c     proofs of people, for SSH rules with "check"
 *   crd_change.c    what a change of a node means to the streams
 *   crd_sight.c     what a stream's client may see, when a frame is made
 *   crd_names.c     DNS labels
 *   crd_addrs.c     addresses
 *   crd_routes.c    routes that nodes offer and may serve
 *   crd_store.c     what the store has not got yet, and its commits
 *   crd_load.c      what it has, at the start
 *   crd_policy.c    the policy: its text, and the table that it is asked for
 */
#ifndef REMORA_COORD_INTERNAL_H
#define REMORA_COORD_INTERNAL_H

#include "crd_base.h"
#include "crd_check.h"
#include "crd_conn.h"
#include "crd_limits.h"
#include "crd_map.h"
#include "crd_nodes.h"
#include "crd_policy.h"
#include "crd_rpc.h"
#include "crd_sight.h"
#include "crd_store.h"
#include "crd_users.h"

#include <remora/hash.h>
#include <remora/text.h>

typedef enum crd_phase {
    CRD_PHASE_NEW,
    CRD_PHASE_KEY,
    CRD_PHASE_UP,
    CRD_PHASE_STOPPING,
    CRD_PHASE_STOPPED
} crd_phase;

struct rmr_coord {
    rmr_env env;
    rmr_coord_callbacks cb;
    uint32_t in_callback;
    crd_phase phase;
    rmr_time now;
    rmr_time stop_deadline;
    rmr_err stop_err;
    rmr_time warn_at; /* a warning that strangers can cause is given again */
    bool dirty, ready_told;

    /* configuration, copied */
    uint8_t private_key[RMR_KEY_LEN], public_key[RMR_KEY_LEN];
    bool has_private_key, open;
    char *server_url, *base_domain, *domain; /* domain: the URL's host */
    rmr_prefix v4, v6;
    char *derp_map, *dns; /* JSON */
    rmr_dur node_expiry, ephemeral_timeout, offline_grace;
    uint32_t max_nodes, max_connections, max_logins;
    crd_listener listeners[CRD_MAX_ADDRS + 2]; /* ... the socket, metrics */
    size_t n_listeners, n_open;
    char *socket_name, *version;
    rmr_prefix *proxies; /* whose word counts */
    size_t n_proxies;
    rmr_addr client; /* who registers, or waits */
    size_t (*more_metrics)(void *user, rmr_buf dst);
    void *more_metrics_user;

    rmr_mc *mc;
    rmr_tls_identity *identity;
    rmr_h2_frame *h2_frame; /* that all connections write by */
    rmr_timers timers;
    rmr_mc_key *key; /* while it is loaded */

    crd_conn *conns, *dead;
    size_t n_conns;
    crd_fair strangers, waiters; /* connections; logins */
    crd_limit handshakes;
    crd_lines bad_handshakes, bad_keys;
    uint32_t handshake_rate, handshake_burst;

    crd_user **users; /* by id */
    size_t n_users, cap_users;
    crd_key **keys; /* by id */
    size_t n_keys, cap_keys;
    rmr_hash by_auth; /* keys, by the hash of their text */
    crd_node **nodes; /* by slot; NULL: free */
    size_t n_slots, cap_nodes, n_nodes;
    crd_node **by_id; /* sorted */
    rmr_hash by_key, by_machine, by_name, by_addr;
    uint64_t next_user, next_key, next_api_key, next_node;
    uint64_t last_v4, last_v6; /* host parts that were given out last */
    crd_login *logins;
    size_t n_logins;
    crd_checks checks;

    crd_policy policy;
    crd_set routers; /* who may serve some route */
    size_t n_routers;
    size_t n_inside; /* of them, who serve nodes' addresses */
    uint32_t *near; /* slots of a node's peers, with room for all */
    uint32_t walk;
    crd_rules rules;
    crd_store store;
    crd_api *api;

    crd_stream *streams;
    bool looking; /* some of them may have a look before them */
    crd_pace pace;
    crd_alike alike;
    uint64_t changes; /* rises with each that streams may be told of */
    crd_zstd *zstd;
    uint8_t *scratch;
    uint64_t frame; /* number of the one that is made */
    uint64_t tagged_shown;
    rmr_coord_stats count;
};

static inline uint64_t rmri_crd_wall(const rmr_coord *c)
{
    return rmr_mc_wall(c->mc, c->now);
}
static inline void rmri_crd_stir(rmr_coord *c)
{
    c->dirty = true;
}
/* Arms a timer of a node, connection, ...: there is always room, see
 * rmri_crd_timers_room. */
void rmri_crd_timer_set(rmr_coord *c, rmr_timer *t, uint32_t kind, void *owner,
                        rmr_time at);
/* Room for n more armed timers.  Errors: NOMEM. */
rmr_err rmri_crd_timers_room(rmr_coord *c, uint32_t n);
/* Elsewhen by the wall clock; NEVER for 0. */
rmr_time rmri_crd_at(const rmr_coord *c, uint64_t unix_ns);

void rmri_crd_fail(rmr_coord *c, rmr_time now, rmr_err err, const char *text);
void rmri_crd_trouble(rmr_coord *c, rmr_err err, const char *text);
void rmri_crd_tell(rmr_coord *c, const rmr_coord_event *ev);
void rmri_crd_key_ready(rmr_coord *c, rmr_time now);
rmr_err rmri_crd_config_take(rmr_coord *c, const rmr_coord_config *cfg);
void rmri_crd_config_free(rmr_coord *c);
rmr_err rmri_crd_dns_take(rmr_coord *c, const rmr_coord_dns *given);
/* Errors: MALFORMED, NOMEM; the map stays then. */
rmr_err rmri_crd_derp_map_take(rmr_coord *c, rmr_bytes json);

#endif
