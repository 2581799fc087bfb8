/* The counters as text, under the names that derper exports. */
#include "relay_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct sink {
    char *dst;
    size_t cap, len;
    bool full;
} sink;

static void put(sink *s, const char *fmt, ...) RMR_PRINTF(2, 3);

static void put(sink *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(s->dst + s->len, s->cap - s->len, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= s->cap - s->len)
        s->full = true;
    else
        s->len += (size_t)n;
}

static void type(sink *s, const char *name, const char *kind)
{
    put(s, "# TYPE %s %s\n", name, kind);
}

static void gauge(sink *s, const char *name, uint64_t v)
{
    type(s, name, "gauge");
    put(s, "%s %llu\n", name, (unsigned long long)v);
}

static void counter(sink *s, const char *name, uint64_t v)
{
    type(s, name, "counter");
    put(s, "%s %llu\n", name, (unsigned long long)v);
}

static void labelled(sink *s, const char *name, const char *label,
                     const char *value, uint64_t v)
{
    put(s, "%s{%s=\"%s\"} %llu\n", name, label, value, (unsigned long long)v);
}

static void gauges(sink *s, const rmr_dsw_stats *st)
{
    gauge(s, "derp_current_connections", st->connections);
    gauge(s, "derp_current_home_connections", st->homes);
    gauge(s, "derp_current_notideal_connections", st->not_ideal);
    gauge(s, "derp_clients_total", st->keys_total);
    gauge(s, "derp_clients_local", st->keys_local);
    gauge(s, "derp_clients_remote", st->keys_remote);
    gauge(s, "derp_current_dup_client_keys", st->dup_keys);
    gauge(s, "derp_current_dup_client_conns", st->dup_conns);
    gauge(s, "derp_watchers", st->watchers);
    type(s, "derp_average_queue_duration_ms", "gauge");
    put(s, "derp_average_queue_duration_ms %.6f\n",
        (double)st->avg_queue_ns / 1e6);
}

static void traffic(sink *s, const rmr_dsw_stats *st)
{
    counter(s, "derp_accepts", st->accepts);
    counter(s, "derp_websocket_accepts", st->websocket_accepts);
    counter(s, "derp_bytes_received", st->rx_bytes);
    counter(s, "derp_bytes_sent", st->tx_bytes);
    counter(s, "derp_packets_received", st->rx_pkts);
    counter(s, "derp_packets_sent", st->tx_pkts);
    type(s, "derp_packets_received_kind", "counter");
    labelled(s, "derp_packets_received_kind", "kind", "disco",
             st->rx_pkts_kind[RMR_DSW_DISCO]);
    labelled(s, "derp_packets_received_kind", "kind", "other",
             st->rx_pkts_kind[RMR_DSW_OTHER]);
}

static void drops(sink *s, const char *name, /* v: not written to */
                  uint64_t v[RMR_DSW_REASONS][RMR_DSW_KINDS])
{
    static const char *const kinds[RMR_DSW_KINDS] = {"disco", "other"};
    type(s, name, "counter");
    for (int reason = 0; reason < RMR_DSW_REASONS; reason++)
        for (int kind = 0; kind < RMR_DSW_KINDS; kind++)
            put(s, "%s{reason=\"%s\",kind=\"%s\"} %llu\n", name,
                rmr_dsw_reason_name((rmr_dsw_reason)reason), kinds[kind],
                (unsigned long long)v[reason][kind]);
}

static void events(sink *s, const rmr_dsw_stats *st)
{
    counter(s, "derp_got_ping", st->pings);
    counter(s, "derp_sent_pong", st->pongs);
    counter(s, "derp_peer_gone_disconnected_frames", st->gone_disconnected);
    counter(s, "derp_peer_gone_not_here_frames", st->gone_not_here);
    counter(s, "derp_packets_forwarded_in", st->forwarded_in);
    counter(s, "derp_packets_forwarded_out", st->forwarded_out);
    counter(s, "derp_home_moves_in", st->home_moves_in);
    counter(s, "derp_home_moves_out", st->home_moves_out);
    counter(s, "derp_total_dup_client_conns", st->dup_conns_total);
    counter(s, "derp_sclient_write_timeouts", st->write_timeouts);
    counter(s, "derp_multiforwarder_created", st->multiforwarders_made);
    counter(s, "derp_multiforwarder_deleted", st->multiforwarders_gone);
    counter(s, "derp_packet_forwarder_delete_other_value",
            st->forwarder_other_value);
    counter(s, "derp_unknown_frames", st->unknown_frames);
}

static void limits(sink *s, const rmr_relay *r, const rmr_dsw_stats *st)
{
    if (r->rate_bytes == 0)
        return;
    gauge(s, "derp_rate_limit_per_client_bytes_per_second", r->rate_bytes);
    gauge(s, "derp_rate_limit_per_client_burst_bytes", r->rate_burst);
    counter(s, "derp_rate_limit_per_client_waited", st->rate_waits);
}

static void doors(sink *s, const rmr_relay *r)
{
    const rl_counters *n = &r->count;
    type(s, "stun_requests", "counter");
    labelled(s, "stun_requests", "disposition", "success", n->stun_success);
    labelled(s, "stun_requests", "disposition", "not_stun", n->stun_not_stun);
    labelled(s, "stun_requests", "disposition", "write_error", n->stun_dropped);
    type(s, "stun_addrfamily", "counter");
    labelled(s, "stun_addrfamily", "family", "ipv4", n->stun_v4);
    labelled(s, "stun_addrfamily", "family", "ipv6", n->stun_v6);
    type(s, "derper_tls_request_version", "counter");
    labelled(s, "derper_tls_request_version", "version", "1.2",
             n->tls_handshakes);
    counter(s, "tls_listener_accepted_connections", n->accepted);
    counter(s, "tls_listener_rejected_connections", n->rejected);
}

rmr_err rmr_relay_metrics(const rmr_relay *r, rmr_buf dst, size_t *len)
{
    rmr_dsw_stats st;
    sink s = {(char *)dst.ptr, dst.len, 0, false};
    *len = 0;
    if (!r->sw)
        return RMR_E_STATE;
    rmr_dsw_get_stats(r->sw, &st);
    gauges(&s, &st);
    traffic(&s, &st);
    drops(&s, "derp_packets_dropped", st.dropped_pkts);
    drops(&s, "derp_bytes_dropped", st.dropped_bytes);
    events(&s, &st);
    limits(&s, r, &st);
    doors(&s, r);
    if (s.full)
        return RMR_E_BUFSIZE;
    *len = s.len;
    return RMR_OK;
}
