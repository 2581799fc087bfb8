/* The state and the counters as text, in Prometheus' form 0.0.4: what a
 * dashboard of tailnet nodes looks at as tailscale_*, the rest as
 * remora_node_*.  No label holds a name, key or address. */
#include "node_internal.h"

#include <remora/metrics.h>
#include <stddef.h>
#include <string.h>

#define RECENT (120 * RMR_SEC) /* a peer that was heard since then is in use */

/* ---- peers ------------------------------------------------------------- */

typedef struct peers {
    uint64_t known, online, direct, relay;
} peers;

static bool is_recent(const rmr_node *n, const rmr_wg_peer_stats *st)
{
    return st->last_rx && rmr_time_since(n->now, st->last_rx) < RECENT;
}

static bool is_direct(const rmr_node *n, const rmr_nm_node *v)
{
    rmr_path_peer pp;
    rmr_path_info path;
    memset(&path, 0, sizeof path);
    return rmr_paths_find(n->paths, v->key, &pp) &&
           rmr_paths_info(n->paths, n->now, pp, &path) == RMR_OK &&
           path.has_best && path.trusted;
}

/* Of those that are online, so that direct + relay <= online. */
static peers count_peers(const rmr_node *n)
{
    peers p = {0};
    uint64_t pos = 0;
    rmr_nm_node v;
    while (n->nm && rmr_nm_next_peer(n->nm, &pos, &v)) {
        rmr_wg_peer_stats st = {0};
        rmr_wg_peer wp = rmr_wg_peer_find(n->wg, v.key);
        p.known++;
        if (v.online != 1)
            continue;
        p.online++;
        if (!wp.id || rmr_wg_peer_get_stats(n->wg, n->now, wp, &st) != RMR_OK ||
            !is_recent(n, &st))
            continue;
        if (is_direct(n, &v))
            p.direct++;
        else
            p.relay++;
    }
    return p;
}

static void put_peers(rmr_mx *m, const rmr_node *n)
{
    peers p = count_peers(n);
    rmr_mx_value(m, "tailscale_up", "gauge", "The node process answers.", 1);
    rmr_mx_value(m, "tailscale_backend_running", "gauge",
                 "1 where the node's state is Running.",
                 n->state == RMR_NODE_RUNNING);
    rmr_mx_value(m, "tailscale_peers", "gauge", "Peers that are online.",
                 p.online);
    rmr_mx_value(m, "tailscale_peers_direct", "gauge",
                 "Peers heard within 2 minutes that have a direct path.",
                 p.direct);
    rmr_mx_value(m, "tailscale_peers_relay", "gauge",
                 "Peers heard within 2 minutes that are reached by a relay.",
                 p.relay);
    rmr_mx_value(m, "remora_node_peers_known", "gauge",
                 "Peers of the netmap, online or not.", p.known);
}

/* ---- counters ---------------------------------------------------------- */

static void put_bytes(rmr_mx *m, const rmr_node_stats *st)
{
    rmr_mx_family(m, "tailscale_bytes_total", "counter",
                  "Bytes of packets inside the tunnels.");
    rmr_mx_labelled(m, "tailscale_bytes_total", "direction", "rx",
                    st->rx_bytes);
    rmr_mx_labelled(m, "tailscale_bytes_total", "direction", "tx",
                    st->tx_bytes);
}

#define AT(field) offsetof(rmr_node_stats, field)

static const struct {
    const char *name, *help;
    size_t at; /* in rmr_node_stats */
} counters[] = {
    {"remora_node_packets_received_total", "Packets from the tunnels.",
     AT(rx_pkts)},
    {"remora_node_packets_sent_total", "Packets into the tunnels.",
     AT(tx_pkts)},
    {"remora_node_udp_datagrams_received_total",
     "Datagrams at the node's UDP sockets.", AT(rx_udp)},
    {"remora_node_udp_datagrams_sent_total",
     "Datagrams from the node's UDP sockets.", AT(tx_udp)},
    {"remora_node_dropped_no_path_total",
     "Packets for whom there was no peer or no way.", AT(dropped_no_path)},
    {"remora_node_dropped_filter_total",
     "Packets of peers that the packet filter refused.", AT(dropped_filter)},
    {"remora_node_dropped_disco_total",
     "Discovery messages of strangers, or not to be opened.",
     AT(dropped_disco)},
    {"remora_node_dropped_source_total",
     "Packets from an address that is another peer's.", AT(dropped_source)},
    {"remora_node_routed_tcp_total", "TCP flows dialled for peers.",
     AT(routed_tcp)},
    {"remora_node_routed_udp_total", "UDP flows dialled for peers.",
     AT(routed_udp)},
    {"remora_node_routed_echo_total", "Echo requests sent on for peers.",
     AT(routed_echo)},
    {"remora_node_routed_dropped_total",
     "Flows and packets for peers that there was no room for.",
     AT(routed_dropped)},
    {"remora_node_peerapi_answered_total",
     "DNS questions answered for those who use this exit node.",
     AT(peerapi_answered)},
    {"remora_node_peerapi_denied_total",
     "Connections and questions of who may not use this exit node.",
     AT(peerapi_denied)},
    {"remora_node_peerapi_refused_total",
     "Requests that were no DNS question, or found no room.",
     AT(peerapi_refused)},
    {"remora_node_capture_dropped_total",
     "Packets that remora capture read too slowly to get.",
     AT(dropped_capture)},
    {"remora_node_wireguard_discarded_total",
     "Datagrams that WireGuard refused.", AT(wg_discarded)},
    {"remora_node_wireguard_staged_dropped_total",
     "Packets dropped while a handshake was awaited.", AT(wg_staged_dropped)},
    {"remora_node_wireguard_handshakes_total", "Handshakes completed.",
     AT(wg_handshakes)},
    {"remora_node_stack_discarded_total", "Packets that the IP stack refused.",
     AT(ns_discarded)},
    {"remora_node_tcp_retransmits_total", "TCP segments sent again.",
     AT(tcp_retransmits)},
};

/* Of the regions that are open alone: they can fall when one closes. */
static const struct {
    const char *name, *help;
    size_t at;
} gauges[] = {
    {"remora_node_derp_dropped", "Packets for open relays that were dropped.",
     AT(derp_dropped)},
    {"remora_node_derp_ignored", "Frames of open relays that were ignored.",
     AT(derp_ignored)},
    {"remora_node_derp_connects", "Connections made to open relays.",
     AT(derp_connects)},
};

static uint64_t field(const rmr_node_stats *st, size_t at)
{
    uint64_t v;
    memcpy(&v, (const uint8_t *)st + at, sizeof v);
    return v;
}

static void put_numbers(rmr_mx *m, const rmr_node *n)
{
    rmr_node_stats st;
    rmr_node_get_stats(n, &st);
    put_bytes(m, &st);
    for (size_t i = 0; i < sizeof counters / sizeof counters[0]; i++)
        rmr_mx_value(m, counters[i].name, "counter", counters[i].help,
                     field(&st, counters[i].at));
    for (size_t i = 0; i < sizeof gauges / sizeof gauges[0]; i++)
        rmr_mx_value(m, gauges[i].name, "gauge", gauges[i].help,
                     field(&st, gauges[i].at));
}

rmr_err rmr_node_write_metrics(const rmr_node *n, rmr_buf dst, size_t *len)
{
    rmr_mx m;
    rmr_mx_init(&m, dst);
    put_peers(&m, n);
    put_numbers(&m, n);
    return rmr_mx_end(&m, len);
}
