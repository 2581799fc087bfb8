/* The counters as text, in Prometheus' form 0.0.4: under the names that derper
 * exports, and what only this relay counts as remora_relay_*. */
#include "relay_internal.h"

#include <remora/metrics.h>
#include <stddef.h>
#include <string.h>

/* A smaller burst is raised to the largest packet with its destination. */
#define LARGEST ((uint64_t)RMR_KEY_LEN + RMR_DERP_MAX_PACKET)

static void gauge(rmr_mx *m, const char *name, const char *help, uint64_t v)
{
    rmr_mx_value(m, name, "gauge", help, v);
}

static void counter(rmr_mx *m, const char *name, const char *help, uint64_t v)
{
    rmr_mx_value(m, name, "counter", help, v);
}

/* ---- of the switch ----------------------------------------------------- */

typedef struct metric {
    const char *name, *help;
    size_t at; /* in rmr_dsw_stats */
} metric;

#define AT(field) offsetof(rmr_dsw_stats, field)

static const metric gauges[] = {
    {"derp_current_connections", "Connections, logged in or not.",
     AT(connections)},
    {"derp_current_home_connections", "Clients whose home is this relay.",
     AT(homes)},
    {"derp_current_notideal_connections",
     "Clients that wanted another node of the region.", AT(not_ideal)},
    {"derp_clients_total", "Keys that are known.", AT(keys_total)},
    {"derp_clients_local", "Keys that are connected here.", AT(keys_local)},
    {"derp_clients_remote", "Keys that are at relays of the mesh alone.",
     AT(keys_remote)},
    {"derp_current_dup_client_keys", "Keys with several connections.",
     AT(dup_keys)},
    {"derp_current_dup_client_conns", "Connections of such keys.",
     AT(dup_conns)},
    {"derp_watchers", "Mesh peers that are told who is here.", AT(watchers)},
    {"remora_relay_queued_packets", "Packets that wait for their receivers.",
     AT(queued_pkts)},
    {"remora_relay_pool_used_bytes", "Memory of packets that wait.",
     AT(pool_used_bytes)},
};

static const metric counters[] = {
    {"derp_accepts", "Connections that began with DERP.", AT(accepts)},
    {"derp_websocket_accepts", "Those of them in WebSocket frames.",
     AT(websocket_accepts)},
    {"derp_bytes_received", "Payload of packets from clients.", AT(rx_bytes)},
    {"derp_bytes_sent", "Payload of packets to clients.", AT(tx_bytes)},
    {"derp_packets_received", "Packets from clients.", AT(rx_pkts)},
    {"derp_packets_sent", "Packets to clients.", AT(tx_pkts)},
    {"derp_got_ping", "Ping frames from clients.", AT(pings)},
    {"derp_sent_pong", "Pong frames to clients.", AT(pongs)},
    {"derp_peer_gone_disconnected_frames",
     "PeerGone frames: a peer has disconnected.", AT(gone_disconnected)},
    {"derp_peer_gone_not_here_frames",
     "PeerGone frames: a peer is not known here.", AT(gone_not_here)},
    {"derp_packets_forwarded_in", "Packets from relays of the mesh.",
     AT(forwarded_in)},
    {"derp_packets_forwarded_out", "Packets to relays of the mesh.",
     AT(forwarded_out)},
    {"derp_home_moves_in", "Clients that made this relay their home later.",
     AT(home_moves_in)},
    {"derp_home_moves_out", "Clients that left it as their home.",
     AT(home_moves_out)},
    {"derp_total_dup_client_conns", "Connections of a key that had one.",
     AT(dup_conns_total)},
    {"derp_sclient_write_timeouts", "Receivers that stood still.",
     AT(write_timeouts)},
    {"derp_multiforwarder_created", "Keys that came to be at several relays.",
     AT(multiforwarders_made)},
    {"derp_multiforwarder_deleted", "Keys that ceased to be.",
     AT(multiforwarders_gone)},
    {"derp_packet_forwarder_delete_other_value",
     "A relay gave a key up that another has.", AT(forwarder_other_value)},
    {"derp_unknown_frames", "Frames of unknown type.", AT(unknown_frames)},
    {"remora_relay_logins", "Clients that were admitted.", AT(logins)},
    {"remora_relay_login_failures", "Clients that ended before their login.",
     AT(login_failures)},
    {"remora_relay_login_timeouts", "Clients that did not log in in time.",
     AT(login_timeouts)},
    {"remora_relay_denied", "Clients that were refused.", AT(denied)},
    {"remora_relay_frame_timeouts", "Clients that left a frame unfinished.",
     AT(frame_timeouts)},
    {"remora_relay_notes_dropped", "PeerGone and PeerPresent frames not sent.",
     AT(notes_dropped)},
    {"remora_relay_nomem", "What was not done for lack of memory.", AT(nomem)},
};

static uint64_t field(const rmr_dsw_stats *st, size_t at)
{
    uint64_t v;
    memcpy(&v, (const uint8_t *)st + at, sizeof v);
    return v;
}

static void numbers(rmr_mx *m, const rmr_dsw_stats *st)
{
    for (size_t i = 0; i < sizeof gauges / sizeof gauges[0]; i++)
        gauge(m, gauges[i].name, gauges[i].help, field(st, gauges[i].at));
    for (size_t i = 0; i < sizeof counters / sizeof counters[0]; i++)
        counter(m, counters[i].name, counters[i].help,
                field(st, counters[i].at));
    rmr_mx_family(m, "derp_average_queue_duration_ms", "gauge",
                  "How long packets wait, a moving average.");
    rmr_mx_put(m, "derp_average_queue_duration_ms %.6f\n",
               (double)st->avg_queue_ns / 1e6);
    rmr_mx_family(m, "derp_packets_received_kind", "counter",
                  "Packets from clients, by kind.");
    rmr_mx_labelled(m, "derp_packets_received_kind", "kind", "disco",
                    st->rx_pkts_kind[RMR_DSW_DISCO]);
    rmr_mx_labelled(m, "derp_packets_received_kind", "kind", "other",
                    st->rx_pkts_kind[RMR_DSW_OTHER]);
}

static void drops(rmr_mx *m, const char *name, const char *help,
                  uint64_t v[RMR_DSW_REASONS][RMR_DSW_KINDS]) /* only read */
{
    static const char *const kinds[RMR_DSW_KINDS] = {"disco", "other"};
    rmr_mx_family(m, name, "counter", help);
    for (int reason = 0; reason < RMR_DSW_REASONS; reason++)
        for (int kind = 0; kind < RMR_DSW_KINDS; kind++)
            rmr_mx_put(m, "%s{reason=\"%s\",kind=\"%s\"} %llu\n", name,
                       rmr_dsw_reason_name((rmr_dsw_reason)reason), kinds[kind],
                       (unsigned long long)v[reason][kind]);
}

/* Prometheus' buckets hold what the smaller ones hold, too. */
static void histogram(rmr_mx *m, const char *name, const char *help,
                      const rmr_dsw_histogram *h)
{
    uint64_t n = 0;
    rmr_mx_family(m, name, "histogram", help);
    for (unsigned i = 0; i + 1 < RMR_DSW_BUCKETS; i++) {
        n += h->n[i];
        rmr_mx_put(m, "%s_bucket{le=\"%u\"} %llu\n", name,
                   (unsigned)rmr_dsw_bucket_bound(i), (unsigned long long)n);
    }
    n += h->n[RMR_DSW_BUCKETS - 1];
    rmr_mx_put(m, "%s_bucket{le=\"+Inf\"} %llu\n%s_sum %llu\n%s_count %llu\n",
               name, (unsigned long long)n, name, (unsigned long long)h->sum,
               name, (unsigned long long)n);
}

static void histograms(rmr_mx *m, const rmr_dsw_stats *st)
{
    histogram(m, "derp_buffered_write_frames", "Frames that went in one write.",
              &st->write_frames);
    histogram(m, "derp_mesh_update_batch_size",
              "Changes that a mesh peer was told in one write.",
              &st->mesh_batches);
    histogram(m, "derp_mesh_update_loop_count",
              "Writes until a mesh peer had been told all.", &st->mesh_loops);
}

/* ---- of the relay ------------------------------------------------------ */

static void limits(rmr_mx *m, const rmr_relay *r, const rmr_dsw_stats *st)
{
    if (r->rate_bytes == 0)
        return;
    gauge(m, "derp_rate_limit_per_client_bytes_per_second",
          "What a client may send.", r->rate_bytes);
    gauge(m, "derp_rate_limit_per_client_burst_bytes",
          "What it may send at once.",
          r->rate_burst < LARGEST ? LARGEST : r->rate_burst);
    counter(m, "derp_rate_limit_per_client_waited",
            "Frames that waited for their turn.", st->rate_waits);
}

static void admission(rmr_mx *m, const rmr_relay *r)
{
    static const char name[] = "remora_relay_verifications";
    uint64_t admitted, refused, unreachable;
    if (!rmri_relay_verify_counts(r, &admitted, &refused, &unreachable))
        return;
    rmr_mx_family(m, name, "counter",
                  "Clients that the host or the URL was asked about; those of "
                  "an unreachable URL are admitted or refused besides.");
    rmr_mx_labelled(m, name, "result", "admitted", admitted);
    rmr_mx_labelled(m, name, "result", "refused", refused);
    rmr_mx_labelled(m, name, "result", "unreachable", unreachable);
}

static void stun(rmr_mx *m, const rl_counters *n)
{
    rmr_mx_family(m, "stun_requests", "counter", "Datagrams at the STUN port.");
    rmr_mx_labelled(m, "stun_requests", "disposition", "success",
                    n->stun_success);
    rmr_mx_labelled(m, "stun_requests", "disposition", "not_stun",
                    n->stun_not_stun);
    rmr_mx_labelled(m, "stun_requests", "disposition", "read_error", 0);
    rmr_mx_labelled(m, "stun_requests", "disposition", "write_error",
                    n->stun_dropped);
    rmr_mx_family(m, "stun_addrfamily", "counter", "STUN answers, by family.");
    rmr_mx_labelled(m, "stun_addrfamily", "family", "ipv4", n->stun_v4);
    rmr_mx_labelled(m, "stun_addrfamily", "family", "ipv6", n->stun_v6);
}

static uint64_t open_tls(const rmr_relay *r)
{
    uint64_t n = 0;
    for (const rl_conn *c = r->conns; c; c = c->next)
        n += c->tls && rmr_tls_is_open(c->tls);
    return n;
}

static void doors(rmr_mx *m, const rmr_relay *r)
{
    const rl_counters *n = &r->count;
    stun(m, n);
    rmr_mx_family(m, "derper_tls_request_version", "counter",
                  "HTTP requests over TLS, by its version.");
    rmr_mx_labelled(m, "derper_tls_request_version", "version", "1.2",
                    n->tls_requests);
    rmr_mx_family(m, "derper_tls_active_version", "gauge",
                  "Connections over TLS, by its version.");
    rmr_mx_labelled(m, "derper_tls_active_version", "version", "1.2",
                    open_tls(r));
    counter(m, "remora_relay_tls_handshakes", "TLS handshakes that succeeded.",
            n->tls_handshakes);
    counter(m, "tls_listener_accepted_connections",
            "Connections that were taken.", n->accepted);
    counter(m, "tls_listener_rejected_connections",
            "Connections that were refused: too many, or no memory.",
            n->rejected);
    gauge(m, "remora_relay_streams", "Connections of all kinds, now.",
          r->n_conns);
}

static void usage(rmr_mx *m, const rmr_relay *r)
{
    rmr_relay_usage u = {0};
    if (!r->cb.on_usage || !r->cb.on_usage(r->cb.user, &u))
        return;
    gauge(m, "derp_current_file_descriptors", "Descriptors that are open.",
          u.open_files);
    gauge(m, "derp_memstats_sys0", "Resident memory at the start, bytes.",
          u.start_bytes);
    gauge(m, "process_resident_memory_bytes", "Resident memory, bytes.",
          u.memory_bytes);
}

rmr_err rmr_relay_metrics(const rmr_relay *r, rmr_buf dst, size_t *len)
{
    rmr_dsw_stats st;
    rmr_mx m;
    *len = 0;
    if (!r->sw)
        return RMR_E_STATE;
    rmr_mx_init(&m, dst);
    rmr_dsw_get_stats(r->sw, &st);
    numbers(&m, &st);
    drops(&m, "derp_packets_dropped", "Packets that nobody got.",
          st.dropped_pkts);
    drops(&m, "derp_bytes_dropped", "Their payload.", st.dropped_bytes);
    histograms(&m, &st);
    limits(&m, r, &st);
    admission(&m, r);
    doors(&m, r);
    usage(&m, r);
    return rmr_mx_end(&m, len);
}
