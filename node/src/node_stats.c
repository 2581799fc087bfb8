/* Counters of the node and sums of its layers', by value. */
#include "node_internal.h"

#include <string.h>

static void add_wg(const rmr_node *n, rmr_node_stats *out)
{
    rmr_wg_stats st;
    rmr_wg_get_stats(n->wg, &st);
    out->wg_discarded = st.discard_malformed + st.discard_auth +
                        st.discard_replay + st.discard_unknown +
                        st.discard_ratelimit + st.discard_source +
                        st.discard_inner;
    out->wg_staged_dropped = st.staged_dropped;
    out->wg_handshakes = st.handshakes_completed;
}

static void add_ns(const rmr_node *n, rmr_node_stats *out)
{
    rmr_ns_stats st;
    rmr_ns_get_stats(n->ns, &st);
    out->rx_pkts = st.rx_pkts + n->host_rx_pkts;
    out->tx_pkts = st.tx_pkts + n->host_tx_pkts;
    out->rx_bytes = st.rx_bytes + n->host_rx_bytes;
    out->tx_bytes = st.tx_bytes + n->host_tx_bytes;
    out->tcp_retransmits = st.tcp_retransmits;
    out->ns_discarded = st.discard_malformed + st.discard_checksum +
                        st.discard_not_local + st.discard_no_socket +
                        st.discard_full + st.discard_fragment +
                        st.discard_icmp + st.discard_segment;
}

static void add_paths(const rmr_node *n, rmr_node_stats *out)
{
    rmr_paths_stats st = rmr_paths_get_stats(n->paths);
    out->dropped_disco += st.dropped_unknown + st.dropped_undecryptable +
                          st.dropped_malformed + st.dropped_mismatch;
}

static void add_regions(const rmr_node *n, rmr_node_stats *out)
{
    for (const nd_region *r = n->regions; r; r = r->next) {
        rmr_derp_stats st;
        rmr_derp_get_stats(r->derp, &st);
        out->derp_dropped += st.dropped_queue + st.dropped_rate +
                             st.dropped_down + st.dropped_nomem;
        out->derp_ignored += st.ignored_frames;
        out->derp_connects += st.connects;
    }
}

void rmr_node_get_stats(const rmr_node *n, rmr_node_stats *out)
{
    memset(out, 0, sizeof *out);
    out->rx_udp = n->rx_udp;
    out->tx_udp = n->tx_udp;
    out->dropped_no_path = n->dropped_no_path;
    out->dropped_filter = n->dropped_filter;
    out->dropped_disco = n->dropped_stranger;
    out->dropped_capture = n->dropped_capture;
    out->dropped_host = n->dropped_host;
    out->dropped_source = n->dropped_source;
    out->routed_tcp = n->routed_tcp;
    out->routed_udp = n->routed_udp;
    out->routed_echo = n->routed_echo;
    out->routed_dropped = n->routed_dropped;
    out->peerapi_answered = n->peerapi.answered;
    out->peerapi_denied = n->peerapi.denied;
    out->peerapi_refused = n->peerapi.refused;
    if (n->paths)
        add_paths(n, out);
    if (n->wg)
        add_wg(n, out);
    if (n->ns)
        add_ns(n, out);
    add_regions(n, out);
}
