/* The node's parts and what they know of each other.  One file a subject:
 *   node.c         life, the machine's four calls, the pump
 *   node_state.c   the state blob: loaded, stored
 *   node_state_text.c  its text: keys, URL, pinned key, preferences
 *   node_seal.c    ... under a key of the host's
 *   node_store.c   blobs by the program's functions
 *   node_prefs.c   the user's preferences
 *   node_cache.c   the last netmap, stored and loaded
 *   node_ctl.c     the control client
 *   node_login.c   the node key's end and its successor, logging out
 *   node_regions.c DERP regions, the home region
 *   node_peers.c   netmap -> WireGuard peers, own addresses
 *   node_stamps.c  handshake timestamps of forgotten peers
 *   node_data.c    packets in: paths, WireGuard, filter, stack
 *   node_out.c     packets out, in runs
 *   node_udp.c     UDP sockets: the main pair, and those of a punch
 *   node_paths.c   the path layer: peers, routes, discovery
 *   node_netcheck.c  when the network is measured, and what with
 *   node_probe.c   HTTPS latency and captive portals, for a netcheck
 *   node_report.c  a netcheck's report as JSON, and the DERP map
 *   node_endpoints.c  own endpoints, and what control is told of the network
 *   node_links.c   the host's network changed
 *   node_portmap.c a port of the router's, mapped to ours
 *   node_conn.c    TCP connections of the program and of the services
 *   node_routes.c  routes of peers, the exit node
 *   node_routes_offer.c  routes of ours
 *   node_routes_range.c  what ranges of addresses mean to them
 *   node_prefix.c  lists of prefixes
 *   node_forward.c TCP of peers to addresses behind us, by the adapter
 *   node_forward_udp.c, node_forward_echo.c  UDP and ICMP echo likewise
 *   node_service.c SOCKS5, forwards, serves
 *   node_local.c   the local endpoint
 *   node_status.c  the status object
 *   node_whois.c   who has an address
 *   node_set.c     preferences, shown and changed by the local endpoint
 *   node_capture.c packets inside the tunnels, for who watches them
 *   node_packets.c packets of a host with a tunnel interface
 *   node_metrics.c, node_metrics_http.c  counters as text, and who asks for it
 *   node_peerapi.c, node_peerapi_http.c  DNS for those who use us as exit node
 *   node_dns.c     names: MagicDNS, quad-100, resolvers (node_dns.h)
 */
#ifndef REMORA_NODE_INTERNAL_H
#define REMORA_NODE_INTERNAL_H

#include <remora/bridge.h>
#include <remora/control.h>
#include <remora/crypto.h>
#include <remora/derp.h>
#include <remora/disco.h>
#include <remora/endpoints.h>
#include <remora/filter.h>
#include <remora/handle.h>
#include <remora/hash.h>
#include <remora/json.h>
#include <remora/machine.h>
#include <remora/netcheck.h>
#include <remora/netmap.h>
#include <remora/netstack.h>
#include <remora/node.h>
#include <remora/path.h>
#include <remora/pkt.h>
#include <remora/portmap.h>
#include <remora/socks5.h>
#include <remora/text.h>
#include <remora/timer.h>
#include <remora/wgcore.h>

#include "node_routes.h"

#define ND_MTU 1280
#define ND_LAYER "node"
#define ND_MAX_IPS 8
#define ND_MAX_PEERS 100000 /* of the netmap, and so of the paths */
#define ND_MAX_LINK_ADDRS 64
#define ND_MAX_STATIC 16
/* Connections, beyond which none is carried for peers: ours have room left. */
#define ND_MAX_ROUTED 3072
#define ND_MAX_TAGS 32
#define ND_TAGS_LEN 1024 /* of all, with their zero bytes */

typedef struct nd_conn nd_conn;
typedef struct nd_region nd_region;
typedef struct nd_dns nd_dns;
typedef struct nd_dns_stream nd_dns_stream;

/* ---- node_regions.c --------------------------------------------------- */

struct nd_region {
    rmr_node *n;
    nd_region *next;
    rmr_derp *derp;
    rmr_mc_link *link;
    uint8_t told[RMR_HASH_LEN]; /* of its relays in the DERP map */
    char code[32];
    char health[128]; /* what the relay says is wrong with it; "": nothing */
    uint16_t id;
    bool up;
    uint32_t failures; /* since it was up last */
    rmr_time drained_at; /* its stream took bytes last */
    rmr_time frame_at;   /* a netcheck was told last that it lives */
    bool holds; /* connections of the stack wait for it */
};

void rmri_node_regions_map_changed(rmr_node *n, rmr_time now);
void rmri_node_regions_free(rmr_node *n);
/* The relays know us by the node key: all are dialled anew. */
void rmri_node_regions_key_changed(rmr_node *n, rmr_time now);
void rmri_node_regions_pump(rmr_node *n, rmr_time now);
nd_region *rmri_node_region(rmr_node *n, rmr_time now, uint16_t id);
/* Sends a datagram to a node by a region; false: dropped. */
bool rmri_node_regions_send(rmr_node *n, rmr_time now, uint16_t region,
                            const uint8_t key[RMR_KEY_LEN], rmr_bytes data);
/* When the region's queue is long: holds the connection back that gave the
 * stack's last packet, until there is room or the relay stands still. */
void rmri_node_region_hold(rmr_node *n, rmr_time now, uint16_t region);
rmr_time rmri_node_regions_deadline(const rmr_node *n);
void rmri_node_regions_handle_deadline(rmr_node *n, rmr_time now);
const char *rmri_node_region_code(const rmr_node *n, uint16_t id);
bool rmri_node_region_is_up(const rmr_node *n, uint16_t id);
/* Says of each relay that told of a trouble what it is. */
void rmri_node_regions_put_health(const rmr_node *n, rmr_jw *w);
/* A netcheck is over: the home may be another one. */
void rmri_node_regions_choose_home(rmr_node *n, rmr_time now);
/* The network changed: streams of addresses that are gone are closed, the
 * others must show a sign of life. */
void rmri_node_regions_check(rmr_node *n, rmr_time now);

/* ---- node_udp.c ------------------------------------------------------- */

typedef struct nd_sock { /* of the main pair, or of a punch */
    rmr_node *n;
    rmr_mc_io *io; /* NULL: not there */
    rmr_ring out;  /* runs of datagrams */
    uint16_t number; /* as in rmr_path_to; 0: of the main pair */
    uint16_t bound;  /* its local port; 0: not open */
    uint16_t last;   /* main: the port that it had */
    uint8_t attempt; /* main: which choice of a port is tried */
    uint8_t family;
} nd_sock;

void rmri_node_udp_open(rmr_node *n);
void rmri_node_udp_rebind(rmr_node *n, rmr_time now);
void rmri_node_udp_free(rmr_node *n);
/* A run of datagrams of seg_size bytes (0: it is one) to one address; false: it
 * was dropped. */
bool rmri_node_udp_send(rmr_node *n, uint16_t number, const rmr_addr *to,
                        rmr_bytes data, uint32_t seg_size);
/* The socket, when it takes an operation at once: open, and not full. */
rmr_mc_io *rmri_node_udp_ready(const rmr_node *n, uint16_t number,
                               uint8_t family);
/* Nothing that the main pair sends is fragmented. */
bool rmri_node_udp_is_whole(const rmr_node *n);
bool rmri_node_udp_congested(const rmr_node *n);
/* The port that is wished for; 0: any. */
uint16_t rmri_node_udp_wanted(const rmr_node *n);
uint16_t rmri_node_udp_port(const rmr_node *n);
rmr_err rmri_node_udp_extra_open(rmr_node *n, uint16_t number);
void rmri_node_udp_extra_close(rmr_node *n, uint16_t number);

/* ---- node_paths.c ----------------------------------------------------- */

typedef struct nd_sender { /* whom a relay names as its packets' sender */
    rmr_path_peer peer; /* id 0: nobody yet */
    uint8_t key[RMR_KEY_LEN];
    rmr_wg_endpoint token;
    bool is_heard; /* the path layer knows of it */
} nd_sender;

typedef struct nd_route { /* where a run of datagrams goes; both: both ways */
    rmr_addr udp;
    uint16_t socket, region;
    bool has_udp, has_derp;
    uint8_t key[RMR_KEY_LEN]; /* of the peer, for DERP */
} nd_route;

rmr_err rmri_node_paths_new(rmr_node *n, rmr_time now);
void rmri_node_paths_free(rmr_node *n);
void rmri_node_paths_pump(rmr_node *n, rmr_time now);
void rmri_node_paths_peer(rmr_node *n, rmr_nm_change change,
                          const rmr_nm_node *peer,
                          const uint8_t old_key[RMR_KEY_LEN]);
bool rmri_node_paths_want(rmr_node *n, const uint8_t key[RMR_KEY_LEN],
                          rmr_path_peer *out);
void rmri_node_paths_want_sender(rmr_node *n, rmr_bytes datagram);
void rmri_node_paths_attributes(rmr_node *n, rmr_time now);
rmr_wg_endpoint rmri_node_endpoint_peer(const uint8_t key[RMR_KEY_LEN]);
rmr_wg_endpoint rmri_node_endpoint_udp(const rmr_path_to *from);
/* Where WireGuard's datagrams for this token go; false: nowhere. */
bool rmri_node_path_route(rmr_node *n, rmr_time now, const rmr_wg_endpoint *to,
                          nd_route *out);
/* WireGuard proved a datagram from there.  `claimed`: the peer whose token it
 * was given with; `moved`: the WireGuard peer that on_endpoint named, whose it
 * is then. */
void rmri_node_paths_received(rmr_node *n, rmr_time now,
                              const rmr_path_to *from, rmr_path_peer claimed,
                              rmr_wg_peer moved);

/* ---- node_netcheck.c, node_probe.c, node_report.c --------------------- */

typedef struct nd_probe nd_probe; /* an HTTP request of a netcheck */
typedef struct nd_name nd_name;   /* a name that it looks up */

rmr_err rmri_node_netcheck_new(rmr_node *n);
void rmri_node_netcheck_free(rmr_node *n);
void rmri_node_netcheck_pump(rmr_node *n, rmr_time now);
rmr_time rmri_node_netcheck_deadline(const rmr_node *n);
void rmri_node_netcheck_handle_deadline(rmr_node *n, rmr_time now);
void rmri_node_netcheck_want(rmr_node *n, rmr_time now, rmr_netcheck_why why);
void rmri_node_netcheck_map(rmr_node *n, rmr_time now);
void rmri_node_netcheck_send_failed(rmr_node *n, const rmr_addr *to,
                                    rmr_err why);
void rmri_node_probe_https(rmr_node *n, rmr_time now, uint16_t region,
                           rmr_dur timeout);
void rmri_node_probe_portal(rmr_node *n, rmr_time now,
                            const rmr_netcheck_portal *want);
void rmri_node_probes_pump(rmr_node *n);
void rmri_node_probes_free(rmr_node *n);
/* node_measure.c: a node that measures the network once, and ends. */
void rmri_node_measure_start(rmr_node *n, rmr_time now);
void rmri_node_measure_free(rmr_node *n);
/* The cached netmap was read, or could not be. */
void rmri_node_measure_cached(rmr_node *n, rmr_time now);
/* The run is over; report NULL: without a result. */
void rmri_node_measure_done(rmr_node *n, rmr_time now,
                            const rmr_netcheck_report *report);
/* Room for the report below. */
#define ND_REPORT_MAX ((size_t)256 * 1024)
/* A line of JSON, without its end.  Errors: BUFSIZE. */
rmr_err rmri_node_report_json(const rmr_node *n, rmr_time now,
                              const rmr_netcheck_report *r, rmr_buf dst,
                              size_t *len);
/* The next piece of the DERP map, region by region; 0: it is complete. */
size_t rmri_node_derp_map_piece(const rmr_node *n, uint64_t *pos, rmr_buf dst);

/* ---- node_icmp.c: echo by sockets of the host -------------------------- */

typedef struct nd_icmp_sock {
    rmr_node *n;
    rmr_mc_io *io; /* NULL: not there */
    rmr_ring out;  /* what to send: places of its owner's, uint16_t each */
    uint8_t family;
    bool denied; /* by the host: not asked again */
} nd_icmp_sock;

/* The `failed` of its operations; the socket is their owner. */
void rmri_node_icmp_failed(void *owner, rmr_time now, rmr_err why);
/* false: the host has none for us, or is short of something. */
bool rmri_node_icmp_open(rmr_node *n, nd_icmp_sock *s, uint8_t family,
                         size_t places, const rmr_mc_io_ops *ops);
/* Sends what is at that place, soon; false: no room. */
bool rmri_node_icmp_put(nd_icmp_sock *s, uint16_t place);
bool rmri_node_icmp_next(nd_icmp_sock *s, uint16_t *place);
/* An echo request into dst, which has room for it; its length. */
size_t rmri_node_icmp_request(const nd_icmp_sock *s, uint16_t tag,
                              rmr_bytes payload, rmr_buf dst);
/* What an echo reply carries; false: it is none. */
bool rmri_node_icmp_reply(const nd_icmp_sock *s, rmr_bytes msg, uint16_t *tag,
                          rmr_bytes *payload);

/* ---- node_echo.c ------------------------------------------------------ */

#define ND_ECHOES 256 /* under way; the oldest are forgotten */
#define ND_ECHO_NONCE 8

typedef struct nd_echo { /* to an endpoint of a WireGuard-only peer */
    rmr_path_peer peer;
    rmr_addr to;
    rmr_time sent_at;
    uint8_t nonce[ND_ECHO_NONCE];
    bool open;
} nd_echo;

/* Sends what the path layer asks for. */
void rmri_node_echo_pump(rmr_node *n);
void rmri_node_echo_free(rmr_node *n);

/* ---- node_portmap.c --------------------------------------------------- */

rmr_err rmri_node_portmap_new(rmr_node *n);
void rmri_node_portmap_free(rmr_node *n);
void rmri_node_portmap_pump(rmr_node *n, rmr_time now);
rmr_time rmri_node_portmap_deadline(const rmr_node *n);
void rmri_node_portmap_handle_deadline(rmr_node *n, rmr_time now);
/* The gateway, our address or our port may be others now. */
void rmri_node_portmap_network(rmr_node *n, rmr_time now);
/* With each netcheck; true: rmr_netcheck_portmap_done will be called. */
bool rmri_node_portmap_probe(rmr_node *n, rmr_time now);
/* The mapping, where there is one; else one is made, where that can be. */
bool rmri_node_portmap_mapping(rmr_node *n, rmr_time now, rmr_addr *addr);
void rmri_node_portmap_stop(rmr_node *n, rmr_time now);
bool rmri_node_portmap_is_idle(const rmr_node *n);

/* ---- node_endpoints.c, node_links.c ----------------------------------- */

/* Gathers own endpoints, and tells them to control and to the path layer. */
void rmri_node_endpoints_update(rmr_node *n, rmr_time now);
/* What control has to know of our place in the network, where it differs. */
void rmri_node_net_tell(rmr_node *n, rmr_time now);
void rmri_node_links_free(rmr_node *n);
void rmri_node_links_changed(rmr_node *n, rmr_time now,
                             const rmr_io_links *links);
/* The wall clock says `unix_ns` now. */
void rmri_node_links_wall(rmr_node *n, rmr_time now, uint64_t unix_ns);
void rmri_node_rebind(rmr_node *n, rmr_time now, const char *why);
bool rmri_node_links_have(const rmr_node *n, uint8_t family);
bool rmri_node_links_is_own(const rmr_node *n, const rmr_addr *ip);

/* ---- node_conn.c ------------------------------------------------------ */

typedef enum nd_conn_kind {
    ND_CONN_API,
    ND_CONN_API_LISTEN,
    ND_CONN_SOCKS,
    ND_CONN_FORWARD,
    ND_CONN_SERVE_LISTEN,
    ND_CONN_SERVE,
    ND_CONN_ROUTE,     /* TCP of a peer to an address behind us */
    ND_CONN_ROUTE_UDP, /* UDP likewise */
    ND_CONN_LOCAL,
    ND_CONN_METRICS,
    ND_CONN_DNS_LISTEN,
    ND_CONN_DNS,    /* a client of quad-100 */
    ND_CONN_DNS_OUT, /* to a resolver */
    ND_CONN_PEERAPI_LISTEN,
    ND_CONN_PEERAPI /* a peer that uses us as exit node */
} nd_conn_kind;

typedef enum nd_local_mode {
    ND_LOCAL_LINE,   /* reading the request          */
    ND_LOCAL_STATUS, /* writing the status object    */
    ND_LOCAL_PING,
    ND_LOCAL_NETCHECK, /* waits for the end of a run   */
    ND_LOCAL_DERP_MAP, /* writing the DERP map         */
    ND_LOCAL_NC_DIAL, /* waits for the tailnet side  */
    ND_LOCAL_CAPTURE, /* writing packets, until the client ends */
    ND_LOCAL_LOGOUT,  /* waits for the control server */
    ND_LOCAL_ENDING,  /* answered; its end tells that the node has ended */
    ND_LOCAL_CLOSING
} nd_local_mode;

/* What a local connection needs beside the stream; see node_local.c. */
typedef struct nd_local {
    nd_local_mode mode;
    char line[1024]; /* the request */
    size_t line_len;
    rmr_ring out;
    bool client_eof;
    /* status */
    uint64_t status_pos;
    uint32_t status_step;
    bool status_any; /* a peer was written */
    /* ping */
    uint64_t ping_peer; /* netmap id */
    rmr_addr ping_ip;
    uint32_t ping_count, ping_sent, ping_received, ping_waiting;
    bool ping_icmp, ping_until_direct, ping_direct /* one came so */;
    rmr_dur ping_timeout;
    uint16_t ping_id;
    struct {
        uint8_t txid[RMR_DISCO_TXID_LEN]; /* ICMP: the payload */
        uint64_t tag;                     /* disco */
        rmr_time sent_at;
        bool open;
    } probe[8];
    rmr_time ping_next;
} nd_local;

typedef struct nd_datagrams { /* of a flow, for the adapter */
    rmr_ring out; /* a length of two bytes before each */
    rmr_addr target;
} nd_datagrams;

struct nd_conn {
    rmr_node *n;
    uint64_t handle; /* of itself in n->conns */
    nd_conn_kind kind;
    void *user_tag;
    /* the tailnet side */
    rmr_ns_sock sock;
    bool has_sock, connected, saw_eof;
    /* the adapter's side */
    rmr_mc_io *io;
    bool bridging;
    rmr_bridge bridge;
    rmr_socks5 *socks;
    nd_local *local;
    struct rmr_h1 *h1; /* metrics, peerAPI: of the request */
    uint16_t http_status; /* 0: not asked yet */
    bool http_head_only, http_answered;
    nd_dns_stream *dns;
    struct nd_peerapi_ask *ask; /* PEERAPI */
    uint64_t lookup; /* its name is being resolved; 0: no */
    uint16_t serve_index;
    rmr_timer timer;
    rmr_ns_flow flow; /* ROUTE: not answered yet; id 0: it is */
    nd_datagrams *udp; /* ROUTE_UDP */
};

nd_conn *rmri_node_conn_new(rmr_node *n, nd_conn_kind kind);
/* Frees it; its sides must have been let go. */
void rmri_node_conn_free(nd_conn *c);
/* Lets both sides go: close where all went well, else reset. */
void rmri_node_conn_end(nd_conn *c, rmr_time now, bool orderly);
rmr_err rmri_node_conn_dial(nd_conn *c, rmr_time now, const char *host,
                            const rmr_addr *addr, uint16_t port);
/* What was dialled can't be reached; may free it. */
void rmri_node_conn_failed(nd_conn *c, rmr_time now, rmr_err why);
void rmri_node_conn_start_bridge(nd_conn *c, rmr_time now);
bool rmri_node_conn_take(nd_conn *c, rmr_bytes data);
void rmri_node_conn_accepted(nd_conn *c, rmr_time now, rmr_ns_sock sock);
void rmri_node_conn_pump(nd_conn *c, rmr_time now);
extern const rmr_mc_io_ops rmri_node_bridge_ops;
void rmri_node_conn_ns_callbacks(rmr_ns_callbacks *cb, rmr_node *n);

/* ---- node_ping.c, node_tsmp.c ----------------------------------------- */

#define ND_MAX_ASKS 8
#define ND_TSMP_DATA 8
#define ND_TSMP_QUEUE 8

typedef struct nd_ask nd_ask; /* a PingRequest that is being answered */

typedef struct nd_tsmp { /* a packet of ours that waits */
    uint8_t pkt[64];
    size_t len;
} nd_tsmp;

void rmri_node_ping_asked(rmr_node *n, const rmr_nm_ping *ping);
void rmri_node_pings_pump(rmr_node *n, rmr_time now);
rmr_time rmri_node_pings_deadline(const rmr_node *n);
void rmri_node_pings_free(rmr_node *n);
void rmri_node_ping_pong(rmr_node *n, rmr_time now, uint64_t tag,
                         const rmr_path_pong *pong);
void rmri_node_ping_icmp_pong(rmr_node *n, rmr_time now, const rmr_addr *from,
                              uint16_t id, rmr_bytes payload);
void rmri_node_ping_tsmp_pong(rmr_node *n, rmr_time now, const rmr_addr *from,
                              const uint8_t data[ND_TSMP_DATA], uint16_t port);
/* A packet between nodes (protocol 99), from that peer: pings are answered. */
bool rmri_node_tsmp_is(rmr_bytes pkt);
void rmri_node_tsmp_in(rmr_node *n, rmr_time now, rmr_bytes pkt);
rmr_err rmri_node_tsmp_ping(rmr_node *n, const rmr_addr *to,
                            const uint8_t data[ND_TSMP_DATA]);
/* The next one of ours, into dst; 0: none. */
size_t rmri_node_tsmp_out(rmr_node *n, uint8_t *dst);
void rmri_node_tsmp_free(rmr_node *n);

/* ---- node_expiry.c ---------------------------------------------------- */

/* A peer came or changed: its key may be the next to end. */
void rmri_node_expiry_peer(rmr_node *n, const rmr_nm_node *peer);
/* A clock may be another one, or a key: when to look again. */
void rmri_node_expiry_plan(rmr_node *n, rmr_time now);
void rmri_node_expiry_handle_deadline(rmr_node *n, rmr_time now);
/* May this node take part?  The data plane goes down and comes up with that. */
void rmri_node_expiry_self(rmr_node *n, rmr_time now);

/* ---- node_routes*.c, node_prefix.c ------------------------------------ */

/* May these be offered, and can that be an exit node?  Errors: INVAL. */
rmr_err rmri_node_routes_check(const rmr_prefix *routes, size_t n,
                               const char *exit_node);
/* What n->keys.prefs says is in force from now on.  `other_exit`: another exit
 * node than before. */
void rmri_node_routes_set(rmr_node *n, bool other_exit);
/* The exit node as it is called; "": none is used. */
static inline const char *rmri_node_exit_text(const rmr_node *n);
void rmri_node_routes_free(rmr_node *n);
/* A peer came, changed or goes, within a frame; and the frame is over. */
void rmri_node_routes_peer(rmr_node *n, const rmr_nm_node *peer);
void rmri_node_routes_frame(rmr_node *n, uint32_t changed);
/* Opens the filter for own addresses and what we offer. */
void rmri_node_routes_local(rmr_node *n);
/* What control is told that we offer. */
size_t rmri_node_routes_told(const rmr_node *n,
                             rmr_prefix out[ND_MAX_OFFERED + 2]);
/* May WireGuard route this prefix of a peer's AllowedIPs to it? */
bool rmri_node_routes_may(const rmr_node *n, const rmr_nm_node *peer,
                          const rmr_prefix *p);
/* The longest accepted route to an address that is no peer's own; NULL: none */
const nd_peer_route *rmri_node_routes_find(const rmr_node *n,
                                           const rmr_addr *to);
/* Can an address that is no peer's own be dialled?  NOTFOUND: it is outside of
 * the tailnet; UNREACHABLE: the exit node does not take it. */
rmr_err rmri_node_routes_reach(const rmr_node *n, const rmr_addr *to);
/* The peer that leads to an address of text (4via6's form too), and the address.
 * Errors: as rmri_node_routes_reach. */
rmr_err rmri_node_routes_peer_to(const rmr_node *n, const char *text,
                                 rmr_nm_node *peer, rmr_addr *ip);
/* May a packet of that peer have this source? */
bool rmri_node_routes_source(rmr_node *n, rmr_wg_peer wp, rmr_bytes pkt);
/* On the host's own subnets, which it reaches beside the exit node. */
bool rmri_node_routes_is_lan(const rmr_node *n, const rmr_addr *ip);
/* Do we carry this for a peer, or for ourselves? */
bool rmri_node_routes_offers(const rmr_node *n, const rmr_addr *from,
                             const rmr_addr *to);
/* Whom the adapter is asked to reach for `to`: of 4via6 the IPv4 address;
 * false: nobody, such as this host's loopback. */
bool rmri_node_routes_target(const rmr_addr *to, rmr_addr *target);

/* Tells control what is offered, and which exit node is used. */
void rmri_node_routes_tell(rmr_node *n);

bool rmri_node_same_text(const char *a, const char *b);
/* What no route of ours reaches, whoever asks for it. */
bool rmri_node_ip_is_forbidden(const rmr_addr *ip);
/* A single address in the tailnet's ranges. */
bool rmri_node_prefix_is_tailnet_ip(const rmr_prefix *p);
bool rmri_node_ip_is_tailnet(const rmr_addr *ip);
/* The subnet that the host's i-th address is on; false: it is on none. */
bool rmri_node_link_subnet(const rmr_node *n, size_t i, rmr_prefix *out);

rmr_err rmri_node_prefixes_add(nd_prefixes *l, const rmr_alloc *a,
                               const rmr_prefix *p);
/* Adds what is left of p without the holes. */
rmr_err rmri_node_prefixes_add_without(nd_prefixes *l, const rmr_alloc *a,
                                       const rmr_prefix *p,
                                       const nd_prefixes *holes);
void rmri_node_prefixes_free(nd_prefixes *l, const rmr_alloc *a);
bool rmri_node_prefixes_have(const nd_prefixes *l, const rmr_addr *ip);
/* The address that a 4via6 name stands for; false: it is none. */
bool rmri_node_routes_name(const rmr_node *n, const char *name, rmr_addr *out);
rmr_prefix rmri_node_prefix_masked(const rmr_prefix *p);
/* Of a known family, not too long, without host bits. */
bool rmri_node_prefix_is_clean(const rmr_prefix *p);

/* ---- node_forward*.c -------------------------------------------------- */

typedef struct nd_fwd_echo nd_fwd_echo;

void rmri_node_forward_ns_callbacks(rmr_ns_callbacks *cb);
void rmri_node_forward_udp(rmr_node *n, rmr_ns_flow flow,
                           const rmr_addr *target);
void rmri_node_forward_datagram(nd_conn *c, rmr_bytes data);
void rmri_node_forward_echo(rmr_node *n, const rmr_addr *from,
                            const rmr_addr *to, const rmr_addr *target,
                            uint16_t id, uint16_t seq, rmr_bytes payload);
void rmri_node_forward_echo_free(rmr_node *n);
/* A connection's part of it, when it is freed. */
void rmri_node_forward_free(nd_conn *c);

/* ---- node_service.c --------------------------------------------------- */

typedef struct nd_listener { /* of the adapter: SOCKS5, a forward, local, metrics */
    rmr_node *n;
    rmr_mc_io *io;
    nd_conn_kind kind;
    rmr_addr at;
    rmr_forward forward;
    rmr_backoff rest;
    bool open;
} nd_listener;

rmr_err rmri_node_service_start(rmr_node *n, rmr_time now);
void rmri_node_service_stop(rmr_node *n);
void rmri_node_service_free(rmr_node *n);
rmr_time rmri_node_service_deadline(const rmr_node *n);
void rmri_node_service_handle_deadline(rmr_node *n, rmr_time now);
void rmri_node_service_dialled(nd_conn *c, rmr_time now, rmr_err err);
void rmri_node_service_timer(nd_conn *c, rmr_time now);
void rmri_node_serve_accept(rmr_node *n, rmr_time now, nd_conn *listener,
                            rmr_ns_sock sock);

/* ---- node_dns.c, node_dns_quad.c --------------------------------------- */

rmr_err rmri_node_dns_new(rmr_node *n);
void rmri_node_dns_free(rmr_node *n);
void rmri_node_dns_stop(rmr_node *n);
void rmri_node_dns_pump(rmr_node *n, rmr_time now);
rmr_time rmri_node_dns_deadline(const rmr_node *n);
void rmri_node_dns_handle_deadline(rmr_node *n, rmr_time now);
/* The netmap's DNS or our name is another one. */
void rmri_node_dns_changed(rmr_node *n);
/* Our addresses are others. */
void rmri_node_dns_addrs(rmr_node *n);
void rmri_node_dns_links(rmr_node *n, const rmr_io_links *l);
/* A dial to a name that is no peer's.  Errors: NOTFOUND (nobody is asked for
 * it), and those of rmr_dns_query; else rmri_node_conn_dial or
 * rmri_node_conn_failed follows. */
rmr_err rmri_node_dns_dial(nd_conn *c, const char *name, uint16_t port);
void rmri_node_dns_dial_cancel(nd_conn *c);
/* 100.100.100.100 and fd7a:115c:a1e0::53. */
bool rmri_node_dns_is_quad(const rmr_addr *a);
bool rmri_node_dns_is_for_quad(rmr_bytes ip_packet);
bool rmri_node_dns_has_quad(const rmr_node *n, const rmr_addr *a);
void rmri_node_dns_datagram(rmr_node *n, rmr_ns_sock sock, const rmr_addr *from,
                            const rmr_addr *to, rmr_bytes data);
void rmri_node_dns_accept(rmr_node *n, rmr_time now, rmr_ns_sock sock);
void rmri_node_dns_dialled(nd_conn *c, rmr_time now, rmr_err err);
void rmri_node_dns_readable(nd_conn *c, rmr_time now);
void rmri_node_dns_conn_free(nd_conn *c);

/* ---- node_local.c, node_status.c -------------------------------------- */

void rmri_node_local_accept(rmr_node *n, rmr_time now, uint64_t child);
void rmri_node_local_dialled(nd_conn *c, rmr_time now, rmr_err err);
void rmri_node_local_timer(nd_conn *c, rmr_time now);
/* A pong of disco or ICMP came. */
void rmri_node_local_pong(rmr_node *n, rmr_time now, uint64_t tag,
                          const rmr_path_pong *pong);
/* A netcheck is over; report NULL: it was stopped. */
void rmri_node_local_report(rmr_node *n, rmr_time now,
                            const rmr_netcheck_report *report);
void rmri_node_local_icmp_pong(rmr_node *n, rmr_time now,
                               const rmr_addr *from, uint16_t id,
                               uint16_t seq, rmr_bytes payload);
/* The answer to a logout; text: what the server has against it. */
void rmri_node_local_logged_out(rmr_node *n, rmr_err err, const char *text);
/* Nothing is left to do for it but to tell, by its end, that of the node. */
bool rmri_node_local_awaits_end(const nd_conn *c);
void rmri_node_local_free(nd_conn *c);
/* The next piece of the status object; 0: it is complete. */
size_t rmri_node_status_piece(rmr_node *n, rmr_time now, nd_local *l,
                              rmr_buf dst);

/* ---- node_set.c ------------------------------------------------------- */

/* A request of the local endpoint: what it gives of preferences is set.  False:
 * `why` is a sentence. */
bool rmri_node_set_line(rmr_node *n, rmr_time now, rmr_bytes line, char *why,
                        size_t cap);
void rmri_node_put_prefs(const rmr_node *n, rmr_jw *w);

/* ---- node_packets.c --------------------------------------------------- */

void rmri_node_packets_init(rmr_node *n);
void rmri_node_packets_wipe(rmr_node *n);
/* From a peer; false: the host takes none. */
bool rmri_node_packets_give(rmr_node *n, rmr_bytes pkt);
/* From the stack; true: it was for the host. */
bool rmri_node_packets_answer(rmr_node *n, rmr_bytes pkt);
/* The next one of the host, at most ND_MTU bytes; 0: none. */
size_t rmri_node_packets_take(rmr_node *n, uint8_t *at);

/* ---- node_capture.c --------------------------------------------------- */

/* The connection gets packets from now on; false: no memory. */
bool rmri_node_capture_start(nd_conn *c);
/* For all that watch; while n->captures is not 0. */
void rmri_node_capture_packet(rmr_node *n, rmr_time now, rmr_bytes pkt);
/* No more for this one, where it is one; for all, in order. */
void rmri_node_capture_stop(nd_conn *c);
void rmri_node_capture_stop_all(rmr_node *n);

/* ---- node_whois.c, node_metrics_http.c -------------------------------- */

/* By address or name, this node too.  n->nm has a self. */
bool rmri_node_whois_find(const rmr_node *n, const char *host,
                          rmr_nm_node *node, rmr_addr *ip, bool *is_self);
/* "Tags":[...] */
void rmri_node_put_tags(rmr_jw *w, const rmr_nm_node *v);
/* Errors: as rmr_node_whois. */
rmr_err rmri_node_whois_json(const rmr_node *n, const char *host, rmr_jw *w);
void rmri_node_metrics_accept(rmr_node *n, rmr_time now, uint64_t child);

/* ---- the node --------------------------------------------------------- */

#define ND_STATE_NAME "remora.state"
#define ND_SEAL_LEN ((size_t)89) /* what sealing adds */
#define ND_SEAL_MAGIC_LEN 16
#define ND_SEAL_HEAD_LEN 49 /* the first line: magic, the key's id */
#define ND_CHUNK_MAX ((size_t)64 * 1024) /* of a sealed blob, its text */
#define ND_CACHE_TAIL_MAX 75             /* the last line of a cached netmap */
#define ND_CACHE_SALT_LEN 8              /* ... what makes its sum its own */
typedef struct nd_sealer nd_sealer; /* a blob that is written or read */

typedef struct nd_prefs { /* as rmr_node_prefs */
    char hostname[64];
    char *exit_node; /* kept (remora/text.h) */
    rmr_prefix *routes;
    size_t n_routes;
    bool advertise_exit_node, accept_routes, exit_node_allow_lan, accept_dns;
    bool shields_up, wanted;
    char exit_id[64]; /* the StableID that exit_node came to; "": not yet */
    char *tags; /* to ask for, each with a zero byte behind it */
    size_t n_tags, tags_len;
} nd_prefs;

typedef struct nd_put { /* a blob on its way to rmr_node_store.put */
    uint64_t id, at;
    rmr_err err;
} nd_put;

typedef struct nd_keys { /* what the state blob holds; secret */
    uint8_t machine[RMR_KEY_LEN], node[RMR_KEY_LEN], old_node[RMR_KEY_LEN];
    uint8_t server[RMR_KEY_LEN]; /* pinned, public */
    bool has_old_node, has_server, registered;
    bool websocket; /* the form of the upgrade that led to the server */
    char *url, *login;
    char stable_id[64];
    char *auth_url; /* the login that `node` waits for; NULL: none */
    uint16_t home; /* the region that control was told last; 0: none */
    uint64_t wg_floor_unix_ns;
    nd_prefs prefs;
} nd_keys;

typedef enum nd_phase {
    ND_PHASE_NEW,      /* waits for WALL and the state blob */
    ND_PHASE_LOADING,
    ND_PHASE_UP,       /* layers exist */
    ND_PHASE_STOPPING, /* saying goodbye */
    ND_PHASE_STOPPED
} nd_phase;


/* ---- node_peerapi.c --------------------------------------------------- */

#define ND_PEERAPI_CONNS 64 /* of all peers */

typedef struct nd_peerapi {
    uint16_t port; /* 0: not chosen yet */
    uint64_t listener[2]; /* handles of n->conns; v4, v6; 0: none */
    rmr_addr at[2];
    rmr_time rests_until; /* it could not listen */
    uint64_t *conns; /* ND_PEERAPI_CONNS; NULL until the first */
    uint64_t answered; /* requests that got a DNS message */
    uint64_t denied;   /* of who may not use us as exit node */
    uint64_t refused;  /* no question, or no room */
} nd_peerapi;

/* Listens where it must, and tells control. */
void rmri_node_peerapi_pump(rmr_node *n);
/* Does this packet go to it?  The filter does not hold it back: who may ask is
 * looked at by us. */
bool rmri_node_peerapi_is_for(const rmr_node *n, rmr_bytes pkt);
void rmri_node_peerapi_accept(rmr_node *n, rmr_time now, rmr_ns_sock sock,
                              const rmr_addr *remote);
void rmri_node_peerapi_readable(nd_conn *c, rmr_time now);
void rmri_node_peerapi_writable(nd_conn *c, rmr_time now);
void rmri_node_peerapi_answer(rmr_node *n, uint64_t conn, rmr_bytes msg);
void rmri_node_peerapi_conn_free(nd_conn *c);
void rmri_node_peerapi_free(rmr_node *n);

typedef struct nd_due { /* deadlines, as of the last time that they were asked */
    rmr_time ctl, relays, others;
} nd_due;

struct rmr_node {
    /* What each turn looks at, side by side: a node at rest is not in the
     * cache. */
    nd_phase phase;
    rmr_node_state state;
    rmr_time started, now; /* now: the latest seen (T3) */
    bool has_wall, has_links, running_told;
    /* Who has news, and so is asked in the next pump (node.c): all, or the
     * control client, or the relays' connections. */
    bool dirty, ctl_news, relay_news;
    bool all_asked, ctl_asked, relays_asked; /* since `due` was noted */
    nd_due due;
    uint32_t in_callback; /* R2: how deep */
    bool data_due;    /* there may be packets to send */
    bool data_last;   /* the last operation was node_out.c's */
    bool state_dirty /* save once more */, state_wanted /* save this turn */,
        state_seen;
    rmr_time stop_deadline;
    rmr_time again_at; /* a pump was cut short: it goes on then */
    rmr_time all_at;   /* all layers were asked last */
    rmr_time state_at; /* when rmri_node_state_soon() is to have its way */
    rmr_time cache_at;
    rmr_time renew_at; /* looked at again, or a rest after a refusal */
    rmr_time peer_expiry_at; /* when to look; NEVER: not */
    rmr_mc *mc; /* objects, links, names */
    rmr_timers timers;
    rmr_nm *nm;
    rmr_ctl *ctl;
    rmr_mc_link *ctl_link;
    rmr_wg *wg;
    rmr_ns *ns;
    nd_dns *dns;
    nd_region *regions;
    uint16_t home;       /* 0: none */
    uint16_t home_told;  /* to the control server */
    uint16_t home_shunned; /* it could not be reached; 0: none */
    rmr_paths *paths;
    rmr_netcheck *netcheck;
    rmr_netcheck_sched sched;
    nd_probe *probes;
    nd_name *names;
    rmr_portmap *portmap; /* NULL: off */
    rmr_mc_io *portmap_udp;
    rmr_mc_link *portmap_link;
    nd_ask *asks;
    rmr_ring expired; /* rmr_wg_peer each: to be forgotten */
    size_t left_len;  /* its length; 0: none */
    nd_peerapi peerapi;

    rmr_env env;
    rmr_node_callbacks cb;
    /* configuration, copied */
    char *url; /* kept (remora/text.h) */
    bool keep_auth_key;
    char *auth_key; /* wiped when control has it */
    size_t auth_key_size;
    char *os_version, *product;
    char *socks5_user, *socks5_password; /* NULL: nobody is asked */
    bool ephemeral, accept_control_key;
    uint16_t udp_port;
    bool no_udp, no_port_mapping;
    bool probe_mtu; /* control wants path MTUs probed */
    bool random_port; /* control wants any port, not the configured one */
    bool only_netcheck; /* node_measure.c */
    uint8_t measured; /* runs whose report was left aside */
    uint8_t *derp_map;  /* JSON, until it was read; NULL: none given */
    size_t derp_map_len;
    rmr_addr *fixed; /* static endpoints */
    size_t n_fixed;
    rmr_addr socks5_addr, metrics_addr;
    rmr_forward *forwards;
    size_t n_forwards;
    rmr_serve *serves;
    size_t n_serves;
    char *local_name;
    size_t tcp_buffer;
    rmr_tls_anchors *anchors; /* own; NULL: the program's are used */
    const rmr_aead *aead;     /* NULL: WireGuard has its own */
    struct rmr_h2_frame *h2_frame; /* NULL: control has its own */
    struct rmr_ctl_decoder *decoder; /* likewise */
    rmr_gcm gcm; /* without a name: none on this machine */

    rmr_err stop_err;

    /* state */
    nd_keys keys;
    nd_prefs *asked; /* by the configuration, until the state was loaded */
    uint32_t asked_given;
    bool asked_tags;
    rmr_node_store store; /* get NULL: by the adapter */
    nd_put puts[2];       /* of the cached netmap (one of two), of the state */
    rmr_node_seal_fn seal_key;
    void *seal_user;
    bool take_plain;
    rmr_mc_io *state_io;
    uint8_t *state_text; /* being loaded or stored */
    size_t state_len, state_cap;
    /* cache of the netmap */
    rmr_mc_io *cache_io;
    bool cache_since; /* what is under way is the second blob */
    bool cache_based; /* the first one is stored, and its sum is: */
    uint64_t cache_base;
    size_t cache_spent; /* peers that were written since it was */
    uint64_t cache_pos;
    rmr_sip13 cache_sum;
    uint8_t cache_salt[ND_CACHE_SALT_LEN]; /* of cache_sum, at its end */
    rmr_blake2s cache_old; /* of what is read, which may be older */
    nd_sealer *cache_seal; /* while it is read or written, with seal_key */
    rmr_err cache_err; /* of what was read of it */
    uint32_t cache_step;
    uint8_t cache_tail[ND_CACHE_TAIL_MAX];
    size_t cache_tail_len, cache_keep;
    bool cache_dirty, cache_saved /* once, at least */;
    bool peers_differ; /* others than before, in the frame that is read */

    /* layers */
    /* The node key in use.  keys.node is its successor while one is being
     * registered (renewing). */
    uint8_t node_private[RMR_KEY_LEN], node_public[RMR_KEY_LEN];
    bool renewing, renews_ended /* because the one in use has ended */;
    bool renew_waits; /* until the state with the new key is stored */
    bool keys_wait;   /* the same of the first ones */
    bool key_ended, renewed_ahead, logging_out;
    bool has_auth_key; /* control keeps it for the next node key */
    uint64_t expiry_seen; /* which end `renew_ahead` is for */
    rmr_dur renew_ahead;
    rmr_time rests_until; /* no key for one that has ended before; 0: none */
    uint8_t login_url[RMR_HASH_LEN]; /* hash of what was told last; 0: none */
    uint8_t disco_private[RMR_KEY_LEN], disco_public[RMR_KEY_LEN];
    rmr_ctl_state ctl_state;
    char *ctl_text; /* why control is down; lost where there is no memory */
    rmr_addr ips[ND_MAX_IPS]; /* own, on the tailnet */
    size_t n_ips;
    rmr_slots stamps; /* node_stamps.c */
    rmr_hash stamp_ids;
    bool from_server; /* inside rmr_ctl_read */
    bool live; /* a netmap came from the server, not from the cache */
    bool has_jailed, approval_told, expiry_told;
    nd_tsmp *tsmp; /* ND_TSMP_QUEUE; NULL until the first */
    size_t n_tsmp;
    bool barred; /* ended, or not approved: no packet goes or comes */
    uint64_t peer_expiry; /* of a peer's key, the next, server time; 0: none */
    bool stopgap_told; /* it was looked at whether the cache can do */

    rmr_time home_shunned_until;

    /* paths */
    uint32_t path_switches;
    uint64_t last_ping; /* tag of a ping of ours */
    nd_sock udp[2]; /* v4, v6 */
    nd_sock **extra; /* RMR_PATH_MAX_SOCKET + 1; NULL: there was no punch */
    rmr_time rebound_at;
    uint8_t *pkt_buf; /* a packet that did not fit into its run, or NULL */
    rmr_wg_peer rx_moved; /* on_endpoint named it, in the read that runs */
    nd_sender rx_sender;  /* of the relay's last packet, in its read */
    uint64_t rx_udp, tx_udp, dropped_no_path, dropped_filter, dropped_stranger;
    uint32_t captures; /* connections that get every packet */
    uint64_t dropped_capture;
    rmr_ring host_pkts; /* node_packets.c */
    uint64_t dropped_host;
    uint64_t host_rx_pkts, host_tx_pkts, host_rx_bytes, host_tx_bytes;

    /* the network */
    rmr_mc_io *icmp; /* echo messages, during a run */
    rmr_ring icmp_out; /* an address before each */
    bool icmp_denied; /* by the host: not asked again */
    nd_icmp_sock echo_socks[2]; /* v4, v6 */
    nd_echo *echoes; /* ND_ECHOES; NULL until the first */
    uint16_t next_echo;
    rmr_endpoints endpoints;
    rmr_addr *link_addrs;
    rmr_io_link *link_of; /* what they are on */
    size_t n_link_addrs;
    bool portmap_udp_failed; /* not again in this exchange */
    rmr_addr gateways[2]; /* v4, v6; family NONE: none */

    nd_routes routes;
    nd_fwd_echo *fwd_echoes; /* NULL until the first */
    nd_icmp_sock fwd_echo_socks[2]; /* v4, v6 */
    uint16_t fwd_echo_tag;
    uint64_t dropped_source, routed_tcp, routed_udp, routed_echo,
        routed_dropped;

    rmr_slots conns;
    nd_listener *listeners;
    size_t n_listeners;
};

static inline const char *rmri_node_exit_text(const rmr_node *n)
{
    return n->routes.is_set ? rmr_text_kept(n->keys.prefs.exit_node) : "";
}

/* node.c */
void rmri_node_fail(rmr_node *n, rmr_time now, rmr_err err, const char *text);
void rmri_node_tell(rmr_node *n, const rmr_node_event *ev);
void rmri_node_check(rmr_node *n, rmr_time now, rmr_err err);
void rmri_node_trouble(rmr_node *n, rmr_err err, const char *text);
void rmri_node_set_state(rmr_node *n, rmr_node_state s, const char *text);
void rmri_node_timer_set(rmr_node *n, rmr_timer *t, rmr_time at);
/* node_state.c */
void rmri_node_state_load(rmr_node *n);
void rmri_node_state_save(rmr_node *n);
void rmri_node_state_soon(rmr_node *n);
void rmri_node_state_free(rmr_node *n);
/* node_state_text.c; is_old: of a version before ours.  *k holds nothing before,
 * nor after an error.  Errors: MALFORMED, NODE_STATE_NEWER, NOMEM. */
rmr_err rmri_node_state_parse(nd_keys *k, const rmr_alloc *a, rmr_bytes text,
                              bool *is_old);
rmr_err rmri_node_state_parse_body(nd_keys *k, const rmr_alloc *a,
                                   rmr_bytes body);
void rmri_node_keys_wipe(nd_keys *k, const rmr_alloc *a);
/* Shorter than this, as a rule for what is stored. */
#define ND_URL_MAX 512
#define ND_LOGIN_MAX 128
#define ND_AUTH_URL_MAX 1024
rmr_err rmri_node_state_text(const nd_keys *k, rmr_buf dst, size_t *len);
/* node_seal.c */
bool rmri_node_is_sealed(rmr_bytes blob);
/* In place: *blob becomes the text; number: of the key that opened it.
 * Errors: NODE_STATE_SEALED (by none of our keys), MALFORMED. */
rmr_err rmri_node_unseal(rmr_node *n, rmr_buf *blob, uint32_t *number);
/* Which key the line `head`, of ND_SEAL_HEAD_LEN, names. */
rmr_err rmri_node_seal_find(rmr_node *n, const char *magic,
                            const uint8_t *head, uint8_t key[RMR_KEY_LEN],
                            uint32_t *number);
/* The key that seals, and the line that names it. */
rmr_err rmri_node_seal_head(rmr_node *n, const char *magic,
                            char head[ND_SEAL_HEAD_LEN + 1],
                            uint8_t key[RMR_KEY_LEN]);
/* In place: *len grows by ND_SEAL_LEN. */
rmr_err rmri_node_seal(rmr_node *n, uint8_t *text, size_t cap, size_t *len);
/* node_seal_blob.c; NULL: no memory, no key.  _free takes NULL too. */
nd_sealer *rmri_node_blob_new(rmr_node *n, bool reads);
void rmri_node_blob_free(rmr_node *n, nd_sealer **s);
/* Where the text of the next part has to stand; _seal, in place, gives the length
 * of all of it. */
size_t rmri_node_blob_front(const nd_sealer *s);
size_t rmri_node_blob_seal(nd_sealer *s, uint8_t *part, size_t len, bool last);
typedef rmr_err (*nd_blob_sink)(rmr_node *n, rmr_bytes text, bool apply);
/* Gives what opens of the part to `sink`. */
rmr_err rmri_node_blob_open(rmr_node *n, nd_sealer *s, rmr_bytes part,
                            nd_blob_sink sink, bool apply);
bool rmri_node_blob_is_whole(const nd_sealer *s);
/* node_store.c: the operation was done by rmr_node_store; false: it is the
 * adapter's. */
bool rmri_node_store_takes(rmr_node *n, rmr_time now, rmr_buf scratch,
                           const rmr_io_op *op);
/* node_prefs.c */
/* *p holds nothing yet. */
void rmri_node_prefs_default(nd_prefs *p);
/* Errors: NOMEM; unchanged then. */
rmr_err rmri_node_prefs_routes(nd_prefs *p, const rmr_alloc *a,
                               const rmr_prefix *routes, size_t n);
void rmri_node_prefs_wipe(nd_prefs *p, const rmr_alloc *a);
/* Takes those of the configuration, for _settle. */
rmr_err rmri_node_prefs_ask(rmr_node *n, const rmr_node_config *cfg);
/* The state was loaded, or there is none: what was asked for goes over it. */
void rmri_node_prefs_settle(rmr_node *n);
void rmri_node_prefs_free(rmr_node *n);
/* The exit node's StableID is known, or another. */
void rmri_node_prefs_exit_found(rmr_node *n);
/* Errors: MALFORMED (no tag), TOOBIG, NOMEM. */
rmr_err rmri_node_tags_add(nd_prefs *p, const rmr_alloc *a, rmr_bytes tag);
size_t rmri_node_tags(const nd_prefs *p, const char *tags[ND_MAX_TAGS]);
/* node.c: all below control and the services */
rmr_err rmri_node_layers_new(rmr_node *n, rmr_time now);
/* node.c: the keys are there */
void rmri_node_state_ready(rmr_node *n, rmr_time now);
/* node_cache.c */
void rmri_node_cache_load(rmr_node *n);
void rmri_node_cache_changed(rmr_node *n, rmr_time now, bool matters);
void rmri_node_cache_save(rmr_node *n);
void rmri_node_cache_free(rmr_node *n);
/* The server's netmap begins: the cached one is not read further. */
void rmri_node_cache_overtaken(rmr_node *n);
/* node_ctl.c */
rmr_err rmri_node_ctl_start(rmr_node *n, rmr_time now);
/* The name, and whether we let nothing in.  Errors: NOMEM. */
rmr_err rmri_node_ctl_tell_host(rmr_node *n, rmr_time now);
void rmri_node_ctl_pump(rmr_node *n, rmr_time now);
void rmri_node_ctl_free(rmr_node *n);
/* node_login.c */
/* The keys were loaded: which is in use, and whether one is to follow. */
void rmri_node_login_resume(rmr_node *n);
void rmri_node_login_stored(rmr_node *n); /* the state is what it should be */
void rmri_node_login_not_stored(rmr_node *n);
void rmri_node_login_check(rmr_node *n, rmr_time now); /* a frame came */
void rmri_node_login_handle_deadline(rmr_node *n, rmr_time now);
void rmri_node_login_expired(rmr_node *n); /* says the server */
void rmri_node_login_registered(rmr_node *n);
void rmri_node_login_refused(rmr_node *n, rmr_err err);
void rmri_node_login_url(rmr_node *n, const char *url);
void rmri_node_login_out(rmr_node *n, rmr_err err, const char *text);
/* node_peers.c */
void rmri_node_peers_tell_expired(rmr_node *n);
rmr_err rmri_node_peers_nm_new(rmr_node *n);
/* The cached netmap was read, or the server went: runs from the cache when both
 * are so. */
void rmri_node_peers_stopgap(rmr_node *n);
void rmri_node_peers_wg_callbacks(rmr_wg_callbacks *cb);
void rmri_node_peers_forget_expired(rmr_node *n, rmr_time now);
bool rmri_node_peers_destination(rmr_bytes ip_packet, rmr_addr *to);
/* The WireGuard peer for a packet's destination, made when it is needed. */
rmr_wg_peer rmri_node_peers_route(rmr_node *n, rmr_time now,
                                  rmr_bytes ip_packet);
/* The routes of a peer changed; nothing is done where WireGuard has it not. */
void rmri_node_peers_reroute(rmr_node *n, const rmr_nm_node *peer);
/* Finds a peer by address or name. */
rmr_err rmri_node_peers_find(rmr_node *n, const char *text, rmr_nm_node *out,
                             rmr_addr *ip);
/* node_stamps.c */
rmr_err rmri_node_stamps_new(rmr_node *n);
void rmri_node_stamps_free(rmr_node *n);
void rmri_node_stamps_keep(rmr_node *n, const uint8_t key[RMR_KEY_LEN],
                           const uint8_t tai64n[12]);
/* Leaves tai64n as it is when there is none. */
void rmri_node_stamps_get(const rmr_node *n, const uint8_t key[RMR_KEY_LEN],
                          uint8_t tai64n[12]);
void rmri_node_stamps_drop(rmr_node *n, const uint8_t key[RMR_KEY_LEN]);
/* node_data.c */
rmr_err rmri_node_data_start(rmr_node *n, rmr_time now);
void rmri_node_data_free(rmr_node *n);
/* Of one region, from one read: a sender's packets are looked up once. */
void rmri_node_data_derp_begin(rmr_node *n);
void rmri_node_data_from_derp(rmr_node *n, rmr_time now, uint16_t region,
                              const uint8_t src[RMR_KEY_LEN], rmr_buf data);
void rmri_node_data_from_udp(rmr_node *n, rmr_time now, uint16_t socket,
                             const rmr_addr *from, rmr_buf data,
                             uint32_t seg_size);

/* node_out.c: the next run as an operation; false: none now */
bool rmri_node_data_next(rmr_node *n, rmr_time now, rmr_buf scratch,
                         rmr_io_op *op);

#endif
