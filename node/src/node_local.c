/* The local endpoint: status, ping, nc and down for the command and for other
 * programs of the same user.  docs/local-api.md is its contract. */
#include "node_internal.h"

#include <stdio.h>
#include <string.h>

#define PROBE_EVERY RMR_SEC
#define PROBE_TIMEOUT (5 * RMR_SEC)
#define REQUEST_TIMEOUT (10 * RMR_SEC)
#define DIAL_TIMEOUT (30 * RMR_SEC)
#define MAX_COUNT 100000
#define MAX_TIMEOUT_MS 3600000
#define OUT_MAX ((size_t)256 * 1024)
#define NETCHECK_TIMEOUT (15 * RMR_SEC) /* a run, and one before it */
#define LOGOUT_TIMEOUT (20 * RMR_SEC)
#define N_PROBES                                                               \
    (sizeof((nd_local *)0)->probe / sizeof((nd_local *)0)->probe[0])

typedef struct request {
    char op[16], peer[RMR_HOST_MAX];
    int64_t port, count, timeout_ms;
    bool icmp, until_direct;
} request;

/* ---- the request ------------------------------------------------------- */

enum { R_OP = 1, R_PEER, R_PORT, R_COUNT, R_ICMP, R_DIRECT, R_TIMEOUT };

static const rmr_json_field request_fields[] = {
    {"op", R_OP, NULL, 0},
    {"peer", R_PEER, NULL, 0},
    {"port", R_PORT, NULL, 0},
    {"count", R_COUNT, NULL, 0},
    {"icmp", R_ICMP, NULL, 0},
    {"until_direct", R_DIRECT, NULL, 0},
    {"timeout_ms", R_TIMEOUT, NULL, 0},
};

static rmr_err copy_text(rmr_bytes text, char *dst, size_t cap)
{
    if (!text.ptr || text.len >= cap) /* no string, or too long */
        return RMR_E_MALFORMED;
    memcpy(dst, text.ptr, text.len);
    dst[text.len] = 0;
    return RMR_OK;
}

static rmr_err request_value(void *user, uint32_t id, rmr_json_kind kind,
                             rmr_bytes text)
{
    request *r = user;
    switch (id) {
    case R_OP:
        return copy_text(text, r->op, sizeof r->op);
    case R_PEER:
        return copy_text(text, r->peer, sizeof r->peer);
    case R_PORT:
        return rmr_json_int(kind, text, &r->port);
    case R_COUNT:
        return rmr_json_int(kind, text, &r->count);
    case R_TIMEOUT:
        return rmr_json_int(kind, text, &r->timeout_ms);
    case R_ICMP:
        r->icmp = kind == RMR_JSON_TRUE;
        return RMR_OK;
    case R_DIRECT:
        r->until_direct = kind == RMR_JSON_TRUE;
        return RMR_OK;
    default:
        return RMR_OK;
    }
}

static rmr_err request_parse(request *r, rmr_bytes line)
{
    uint8_t scratch[512];
    rmr_json_bind b;
    rmr_json_bind_callbacks cb = {0};
    memset(r, 0, sizeof *r);
    cb.user = r;
    cb.value = request_value;
    rmr_json_bind_init(&b, rmr_buf_of(scratch, sizeof scratch), request_fields,
                       sizeof request_fields / sizeof request_fields[0], &cb);
    rmr_err err = rmr_json_bind_feed(&b, line);
    return err == RMR_OK ? rmr_json_bind_end(&b) : err;
}

/* ---- answers ----------------------------------------------------------- */

static void line_out(nd_conn *c, rmr_jw *w, uint8_t *buf)
{
    size_t len = 0;
    if (rmr_jw_end(w, &len) == RMR_OK) {
        buf[len] = '\n';
        /* A client that doesn't read loses lines, not the node's memory. */
        rmr_ring_write_all(&c->local->out, rmr_bytes_of(buf, len + 1));
    }
    /* Also without a line: there may be an end to tell. */
    if (c->io)
        rmr_mc_io_output(c->io);
}

static void say_error(nd_conn *c, const char *text)
{
    uint8_t buf[4096]; /* a name of control bytes takes six times its room */
    rmr_jw w;
    rmr_jw_init(&w, rmr_buf_of(buf, sizeof buf - 1));
    rmr_jw_object(&w);
    rmr_jw_kstr(&w, "error", text);
    rmr_jw_object_end(&w);
    line_out(c, &w, buf);
    c->local->mode = ND_LOCAL_CLOSING;
}

static void say_ok(nd_conn *c)
{
    uint8_t buf[32];
    rmr_jw w;
    rmr_jw_init(&w, rmr_buf_of(buf, sizeof buf - 1));
    rmr_jw_object(&w);
    rmr_jw_kbool(&w, "ok", true);
    rmr_jw_object_end(&w);
    line_out(c, &w, buf);
}

static void say_unreachable(nd_conn *c, const char *peer, rmr_err err)
{
    char text[512];
    const char *why = "could not be reached";
    if (err == RMR_E_NOTFOUND)
        why = "is not a peer of this tailnet: see `remora status`";
    else if (err == RMR_E_NOTREADY)
        why = "can't be looked up yet: the node has no netmap";
    else if (err == RMR_E_REFUSED)
        why = "refused the connection";
    else if (err == RMR_E_TIMEOUT)
        why = "did not answer in time";
    snprintf(text, sizeof text, "%s %s", peer, why);
    say_error(c, text);
}

/* ---- whois ------------------------------------------------------------- */

static void whois(nd_conn *c, const request *r)
{
    uint8_t buf[16 * 1024];
    rmr_jw w;
    rmr_jw_init(&w, rmr_buf_of(buf, sizeof buf - 1));
    rmr_err err = rmri_node_whois_json(c->n, r->peer, &w);
    if (err != RMR_OK) {
        say_unreachable(c, r->peer, err);
        return;
    }
    if (w.failed) {
        say_error(c, "what is known of it is longer than 16 KB");
        return;
    }
    line_out(c, &w, buf);
    c->local->mode = ND_LOCAL_CLOSING;
}

/* ---- preferences ------------------------------------------------------- */

static void set(nd_conn *c, rmr_time now)
{
    char why[256];
    rmr_bytes line = rmr_bytes_of(c->local->line, c->local->line_len);
    if (!rmri_node_set_line(c->n, now, line, why, sizeof why)) {
        say_error(c, why);
        return;
    }
    say_ok(c);
    c->local->mode = ND_LOCAL_CLOSING;
}

static void prefs(nd_conn *c)
{
    uint8_t buf[16 * 1024]; /* RMR_NODE_MAX_ROUTES, and names */
    rmr_jw w;
    rmr_jw_init(&w, rmr_buf_of(buf, sizeof buf - 1));
    rmri_node_put_prefs(c->n, &w);
    line_out(c, &w, buf);
    c->local->mode = ND_LOCAL_CLOSING;
}

/* ---- metrics ----------------------------------------------------------- */

static void metrics(nd_conn *c)
{
    uint8_t buf[16 * 1024];
    size_t len = 0;
    if (rmr_node_write_metrics(c->n, rmr_buf_of(buf, sizeof buf), &len) ==
        RMR_OK)
        rmr_ring_write_all(&c->local->out, rmr_bytes_of(buf, len));
    c->local->mode = ND_LOCAL_CLOSING;
    rmr_mc_io_output(c->io);
}

/* ---- logout ------------------------------------------------------------ */

static void logout(nd_conn *c, rmr_time now)
{
    if (rmr_node_logout(c->n, now) != RMR_OK) {
        say_error(c, "the node is not joining a tailnet now: it ends");
        return;
    }
    c->local->mode = ND_LOCAL_LOGOUT;
    rmri_node_timer_set(c->n, &c->timer, rmr_time_add(now, LOGOUT_TIMEOUT));
}

void rmri_node_local_logged_out(rmr_node *n, rmr_err err, const char *text)
{
    uint32_t pos = 0;
    for (nd_conn *c; (c = rmr_slots_next(&n->conns, &pos, NULL));) {
        if (c->kind != ND_CONN_LOCAL || !c->local ||
            c->local->mode != ND_LOCAL_LOGOUT)
            continue;
        rmr_timers_cancel(&n->timers, &c->timer);
        if (err == RMR_OK)
            say_ok(c);
        else
            say_error(c, text);
        c->local->mode = err == RMR_OK ? ND_LOCAL_ENDING : ND_LOCAL_CLOSING;
    }
}

bool rmri_node_local_awaits_end(const nd_conn *c)
{
    return c->kind == ND_CONN_LOCAL && c->local && c->io &&
           c->local->mode == ND_LOCAL_ENDING && c->local->out.len == 0 &&
           !rmr_mc_io_is_sending(c->io);
}

/* ---- ping -------------------------------------------------------------- */

/* \param via  The way it came; NULL: it did not. */
static void ping_line(nd_conn *c, uint32_t seq, rmr_dur took, const char *via,
                      bool direct)
{
    nd_local *l = c->local;
    uint8_t buf[512];
    char ip[RMR_ADDR_TEXT_MAX];
    rmr_nm_node peer;
    rmr_jw w;
    rmr_jw_init(&w, rmr_buf_of(buf, sizeof buf - 1));
    rmr_jw_object(&w);
    rmr_jw_ku64(&w, "seq", seq);
    rmr_jw_kstr(&w, "ip", rmr_addr_ip_text(&l->ping_ip, ip));
    if (rmr_nm_peer(c->n->nm, l->ping_peer, &peer))
        rmr_jw_kstr(&w, "name", peer.name);
    if (via) {
        rmr_jw_key(&w, "ms");
        rmr_jw_double(&w, (double)(took / RMR_US) / 1000.0);
        rmr_jw_kstr(&w, "via", via);
        if (direct)
            rmr_jw_kbool(&w, "direct", true);
    } else {
        rmr_jw_kstr(&w, "error", "timed out");
    }
    rmr_jw_object_end(&w);
    line_out(c, &w, buf);
}

static void ping_schedule(nd_conn *c)
{
    nd_local *l = c->local;
    rmr_time at = l->ping_sent < l->ping_count ? l->ping_next : RMR_TIME_NEVER;
    for (size_t i = 0; i < N_PROBES; i++)
        if (l->probe[i].open)
            at = rmr_time_min(
                at, rmr_time_add(l->probe[i].sent_at, l->ping_timeout));
    rmri_node_timer_set(c->n, &c->timer, at);
}

static void ping_check_done(nd_conn *c)
{
    nd_local *l = c->local;
    uint8_t buf[128];
    rmr_jw w;
    bool found = l->ping_until_direct && l->ping_direct;
    if (l->mode != ND_LOCAL_PING ||
        (!found && (l->ping_sent < l->ping_count || l->ping_waiting > 0)))
        return;
    rmr_jw_init(&w, rmr_buf_of(buf, sizeof buf - 1));
    rmr_jw_object(&w);
    rmr_jw_kbool(&w, "done", true);
    rmr_jw_ku64(&w, "sent", l->ping_sent);
    rmr_jw_ku64(&w, "received", l->ping_received);
    rmr_jw_kbool(&w, "direct", l->ping_direct);
    rmr_jw_object_end(&w);
    line_out(c, &w, buf);
    l->mode = ND_LOCAL_CLOSING;
}

static rmr_err ping_disco(nd_conn *c, rmr_time now, size_t i)
{
    rmr_node *n = c->n;
    rmr_nm_node peer;
    rmr_path_peer pp;
    c->local->probe[i].tag = ++n->last_ping;
    if (!rmr_nm_peer(n->nm, c->local->ping_peer, &peer) ||
        !rmri_node_paths_want(n, peer.key, &pp))
        return RMR_E_NOTFOUND;
    return rmr_paths_ping(n->paths, now, pp, c->local->probe[i].tag);
}

static void ping_send(nd_conn *c, rmr_time now)
{
    rmr_node *n = c->n;
    nd_local *l = c->local;
    uint32_t seq = ++l->ping_sent;
    size_t i = seq % N_PROBES;
    l->ping_next = rmr_time_add(now, PROBE_EVERY);
    if (l->probe[i].open)
        l->ping_waiting--; /* so old that its place is needed */
    l->probe[i].open = true;
    l->probe[i].sent_at = now;
    l->ping_waiting++;
    /* A send that fails is a probe without an answer. */
    if (rmr_rng_fill(&n->env.rng, l->probe[i].txid, sizeof l->probe[i].txid) !=
        RMR_OK)
        return;
    if (l->ping_icmp)
        rmr_ns_ping(n->ns, now, &l->ping_ip, l->ping_id, (uint16_t)seq,
                    rmr_bytes_of(l->probe[i].txid, sizeof l->probe[i].txid));
    else
        (void)ping_disco(c, now, i);
}

static void ping_start(nd_conn *c, rmr_time now, const request *r)
{
    nd_local *l = c->local;
    rmr_nm_node peer;
    rmr_err err = rmri_node_peers_find(c->n, r->peer, &peer, &l->ping_ip);
    if (err == RMR_E_NOTFOUND) /* behind a peer: disco is with that one */
        err = rmri_node_routes_peer_to(c->n, r->peer, &peer, &l->ping_ip);
    if (err != RMR_OK) {
        say_unreachable(c, r->peer, err);
        return;
    }
    if (r->count < 0 || r->count > MAX_COUNT) {
        say_error(c, "count must be 1 to 100000");
        return;
    }
    if (r->timeout_ms < 0 || r->timeout_ms > MAX_TIMEOUT_MS) {
        say_error(c, "timeout_ms must be 0 to 3600000");
        return;
    }
    if (peer.wireguard_only && !r->icmp) {
        say_error(c, "this peer speaks WireGuard alone: ping it with --icmp");
        return;
    }
    uint8_t id[2];
    if (rmr_rng_fill(&c->n->env.rng, id, sizeof id) != RMR_OK) {
        say_error(c, "the system gives no random numbers: see its log");
        return;
    }
    l->mode = ND_LOCAL_PING;
    l->ping_peer = peer.id;
    l->ping_count = r->count ? (uint32_t)r->count : 1;
    l->ping_icmp = r->icmp;
    l->ping_until_direct = r->until_direct && !r->icmp;
    l->ping_timeout =
        r->timeout_ms ? (rmr_dur)r->timeout_ms * RMR_MS : PROBE_TIMEOUT;
    l->ping_id = (uint16_t)(id[0] << 8 | id[1]);
    ping_send(c, now);
    ping_schedule(c);
}

static void ping_timer(nd_conn *c, rmr_time now)
{
    nd_local *l = c->local;
    for (uint32_t i = 0; i < N_PROBES; i++) {
        if (!l->probe[i].open ||
            now < rmr_time_add(l->probe[i].sent_at, l->ping_timeout))
            continue;
        l->probe[i].open = false;
        l->ping_waiting--;
        uint32_t back = (l->ping_sent - i) % (uint32_t)N_PROBES;
        ping_line(c, l->ping_sent - back, 0, NULL, false);
    }
    if (l->ping_sent < l->ping_count && now >= l->ping_next)
        ping_send(c, now);
    ping_schedule(c);
    ping_check_done(c);
}

static void ping_answered(nd_conn *c, rmr_time now, uint32_t slot,
                          const char *via, bool direct)
{
    nd_local *l = c->local;
    uint32_t back = (l->ping_sent - slot) % (uint32_t)N_PROBES;
    l->probe[slot].open = false;
    l->ping_waiting--;
    l->ping_received++;
    l->ping_direct = l->ping_direct || direct;
    ping_line(c, l->ping_sent - back,
              rmr_time_since(now, l->probe[slot].sent_at), via, direct);
    ping_schedule(c);
    ping_check_done(c);
}

static const char *via_text(const rmr_node *n, const rmr_path_pong *pong,
                            char *dst, size_t cap)
{
    char addr[RMR_ADDR_TEXT_MAX];
    if (pong->from.udp.family != RMR_AF_NONE)
        snprintf(dst, cap, "%s", rmr_addr_text(&pong->from.udp, addr));
    else
        snprintf(dst, cap, "DERP(%s)",
                 rmri_node_region_code(n, pong->from.region));
    return dst;
}

/* Of several answers to one ping the first counts. */
void rmri_node_local_pong(rmr_node *n, rmr_time now, uint64_t tag,
                          const rmr_path_pong *pong)
{
    uint32_t pos = 0;
    char via[96];
    bool direct = pong->from.udp.family != RMR_AF_NONE;
    for (nd_conn *c; (c = rmr_slots_next(&n->conns, &pos, NULL));) {
        if (c->kind != ND_CONN_LOCAL || !c->local ||
            c->local->mode != ND_LOCAL_PING || c->local->ping_icmp)
            continue;
        for (uint32_t i = 0; i < N_PROBES; i++) {
            if (!c->local->probe[i].open || c->local->probe[i].tag != tag)
                continue;
            ping_answered(c, now, i, via_text(n, pong, via, sizeof via),
                          direct);
            return;
        }
    }
}

void rmri_node_local_icmp_pong(rmr_node *n, rmr_time now, const rmr_addr *from,
                               uint16_t id, uint16_t seq, rmr_bytes payload)
{
    uint32_t pos = 0;
    for (nd_conn *c; (c = rmr_slots_next(&n->conns, &pos, NULL));) {
        uint32_t i = seq % (uint32_t)N_PROBES;
        if (c->kind == ND_CONN_LOCAL && c->local &&
            c->local->mode == ND_LOCAL_PING && c->local->ping_icmp &&
            c->local->ping_id == id && c->local->probe[i].open &&
            rmr_addr_ip_eq(from, &c->local->ping_ip) &&
            payload.len == sizeof c->local->probe[i].txid &&
            memcmp(payload.ptr, c->local->probe[i].txid, payload.len) == 0) {
            ping_answered(c, now, i, "ICMP", false);
            return;
        }
    }
}

/* ---- netcheck ---------------------------------------------------------- */

static void netcheck_start(nd_conn *c, rmr_time now)
{
    if (!c->n->netcheck || rmr_nm_derp_count(c->n->nm) == 0) {
        say_error(c, "there is no relay map yet: the node has no netmap");
        return;
    }
    c->local->mode = ND_LOCAL_NETCHECK;
    rmri_node_timer_set(c->n, &c->timer, rmr_time_add(now, NETCHECK_TIMEOUT));
    rmri_node_netcheck_want(c->n, now, RMR_NETCHECK_WHY_USER);
}

static void report_out(nd_conn *c, rmr_time now, const rmr_netcheck_report *r)
{
    rmr_node *n = c->n;
    uint8_t *buf = rmr_alloc_zero(&n->env.alloc, ND_REPORT_MAX, 1);
    size_t len = 0;
    rmr_timers_cancel(&n->timers, &c->timer);
    if (buf &&
        rmri_node_report_json(n, now, r, rmr_buf_of(buf, ND_REPORT_MAX - 1),
                              &len) == RMR_OK) {
        buf[len] = '\n';
        rmr_ring_write_all(&c->local->out, rmr_bytes_of(buf, len + 1));
        c->local->mode = ND_LOCAL_CLOSING;
        rmr_mc_io_output(c->io);
    } else {
        say_error(c, "the report is too large");
    }
    if (buf)
        rmr_release(&n->env.alloc, buf, ND_REPORT_MAX);
}

void rmri_node_local_report(rmr_node *n, rmr_time now,
                            const rmr_netcheck_report *report)
{
    uint32_t pos = 0;
    for (nd_conn *c; (c = rmr_slots_next(&n->conns, &pos, NULL));) {
        if (c->kind != ND_CONN_LOCAL || !c->local ||
            c->local->mode != ND_LOCAL_NETCHECK)
            continue;
        /* One that was under way when it asked counts too: it ends now. */
        if (report)
            report_out(c, now, report);
        else
            rmri_node_netcheck_want(n, now, RMR_NETCHECK_WHY_USER);
    }
}

/* ---- nc ---------------------------------------------------------------- */

static void nc_start(nd_conn *c, rmr_time now, const request *r, rmr_bytes rest)
{
    if (r->port < 1 || r->port > 65535) {
        say_error(c, "the port must be 1 to 65535");
        return;
    }
    memcpy(c->local->line, r->peer, strlen(r->peer) + 1); /* for messages */
    rmr_err err = rmri_node_conn_dial(c, now, r->peer, NULL, (uint16_t)r->port);
    if (err != RMR_OK) {
        say_unreachable(c, r->peer, err);
        return;
    }
    c->local->mode = ND_LOCAL_NC_DIAL;
    rmr_bridge_init(&c->bridge, &c->n->env.alloc, 0);
    c->bridging = true;
    rmri_node_timer_set(c->n, &c->timer, rmr_time_add(now, DIAL_TIMEOUT));
    if (!rmri_node_conn_take(c, rest))
        rmri_node_conn_end(c, now, false);
}

void rmri_node_local_dialled(nd_conn *c, rmr_time now, rmr_err err)
{
    rmr_timers_cancel(&c->n->timers, &c->timer);
    rmri_node_dns_dial_cancel(c);
    if (err != RMR_OK) {
        say_unreachable(c, c->local->line, err);
        return;
    }
    say_ok(c); /* once it is out, the bridge takes over (produce) */
    if (c->local->out.len == 0) /* no memory: it would never be out */
        rmri_node_conn_end(c, now, false);
}

/* ---- the stream -------------------------------------------------------- */

static void run(nd_conn *c, rmr_time now, const request *r, rmr_bytes rest)
{
    rmr_bytes op = rmr_bytes_str(r->op);
    rmr_timers_cancel(&c->n->timers, &c->timer);
    rmr_logf(&c->n->env.log, RMR_LOG_DEBUG, ND_LAYER, "local request: %s",
             r->op);
    if (rmr_bytes_eq_str(op, "netcheck")) {
        netcheck_start(c, now);
    } else if (rmr_bytes_eq_str(op, "derp-map")) {
        c->local->mode = ND_LOCAL_DERP_MAP;
        rmr_mc_io_output(c->io);
    } else if (rmr_bytes_eq_str(op, "status")) {
        c->local->mode = ND_LOCAL_STATUS;
        rmr_mc_io_output(c->io);
    } else if (rmr_bytes_eq_str(op, "ping")) {
        ping_start(c, now, r);
    } else if (rmr_bytes_eq_str(op, "capture")) {
        if (!rmri_node_capture_start(c))
            rmri_node_conn_end(c, now, false);
    } else if (rmr_bytes_eq_str(op, "set")) {
        set(c, now);
    } else if (rmr_bytes_eq_str(op, "prefs")) {
        prefs(c);
    } else if (rmr_bytes_eq_str(op, "metrics")) {
        metrics(c);
    } else if (rmr_bytes_eq_str(op, "whois")) {
        whois(c, r);
    } else if (rmr_bytes_eq_str(op, "nc")) {
        nc_start(c, now, r, rest);
    } else if (rmr_bytes_eq_str(op, "logout")) {
        logout(c, now);
    } else if (rmr_bytes_eq_str(op, "down")) {
        say_ok(c);
        c->local->mode = ND_LOCAL_ENDING;
        rmr_node_stop(c->n, now);
    } else {
        say_error(
            c, "unknown op: this node knows status, whois, ping, netcheck, nc, "
               "capture, metrics, set, prefs, derp-map, logout and down");
    }
}

static void local_bytes(void *owner, rmr_time now, rmr_buf data)
{
    nd_conn *c = owner;
    nd_local *l = c->local;
    request r;
    c->n->dirty = true;
    if (l->mode == ND_LOCAL_NC_DIAL) {
        if (!rmri_node_conn_take(c, rmr_bytes_of(data.ptr, data.len)))
            rmri_node_conn_end(c, now, false);
        return;
    }
    if (l->mode != ND_LOCAL_LINE)
        return;
    uint8_t *end = memchr(data.ptr, '\n', data.len);
    size_t part = end ? (size_t)(end - data.ptr) : data.len;
    if (part > sizeof l->line - l->line_len) {
        say_error(c, "the request is longer than 1024 bytes");
        return;
    }
    memcpy(l->line + l->line_len, data.ptr, part);
    l->line_len += part;
    if (!end)
        return;
    if (request_parse(&r, rmr_bytes_of(l->line, l->line_len)) != RMR_OK) {
        say_error(c, "the request is not one line of JSON");
        return;
    }
    run(c, now, &r, rmr_bytes_of(end + 1, data.len - part - 1));
}

static void local_failed(void *owner, rmr_time now, rmr_err why)
{
    nd_conn *c = owner;
    (void)why;
    c->io = NULL;
    rmri_node_conn_end(c, now, false);
}

static void local_eof(void *owner, rmr_time now)
{
    nd_conn *c = owner;
    c->local->client_eof = true;
    if (c->bridging)
        rmr_bridge_read_eof(&c->bridge, RMR_SIDE_A);
    else if (c->local->mode == ND_LOCAL_LINE ||
             c->local->mode == ND_LOCAL_CAPTURE)
        rmri_node_conn_end(c, now, true);
}

static bool nc_is_ready(const nd_conn *c)
{
    return c->local->mode == ND_LOCAL_NC_DIAL && c->connected &&
           c->local->out.len == 0;
}

static size_t local_produce(void *owner, rmr_time now, rmr_buf scratch)
{
    nd_conn *c = owner;
    nd_local *l = c->local;
    size_t len = rmr_ring_read(&l->out, scratch.ptr, scratch.len);
    if (l->mode == ND_LOCAL_STATUS && len == 0) {
        len = rmri_node_status_piece(c->n, now, l, scratch);
        if (len == 0)
            l->mode = ND_LOCAL_CLOSING;
    }
    if (l->mode == ND_LOCAL_DERP_MAP && len == 0) {
        len = rmri_node_derp_map_piece(c->n, &l->status_pos, scratch);
        if (len == 0)
            l->mode = ND_LOCAL_CLOSING;
    }
    if (l->mode == ND_LOCAL_CLOSING) {
        if (len == 0)
            rmri_node_conn_end(c, now, true);
        else
            rmr_mc_io_output(c->io); /* once more, to close behind it */
        return len;
    }
    if (len > 0 && nc_is_ready(c)) {
        rmri_node_local_free(c);
        rmr_mc_io_hand_over(c->io, &rmri_node_bridge_ops, c);
        rmri_node_conn_pump(c, now);
    }
    return len;
}

static const rmr_mc_io_ops local_ops = {
    .failed = local_failed,
    .bytes = local_bytes,
    .eof = local_eof,
    .produce = local_produce,
};

void rmri_node_local_accept(rmr_node *n, rmr_time now, uint64_t child)
{
    nd_conn *c = rmri_node_conn_new(n, ND_CONN_LOCAL);
    rmr_mc_io *io = rmr_mc_adopt(n->mc, child, &local_ops, c);
    nd_local *l = rmr_alloc_zero(&n->env.alloc, sizeof *l, _Alignof(nd_local));
    if (!c || !io || !l) {
        rmr_release(&n->env.alloc, l, sizeof *l);
        if (io)
            rmr_mc_io_abort(io);
        if (c)
            rmri_node_conn_free(c);
        return;
    }
    rmr_ring_init(&l->out, &n->env.alloc, OUT_MAX);
    c->io = io;
    c->local = l;
    rmri_node_timer_set(n, &c->timer, rmr_time_add(now, REQUEST_TIMEOUT));
    rmr_mc_io_credit(io, RMR_BRIDGE_BUF);
}

void rmri_node_local_timer(nd_conn *c, rmr_time now)
{
    if (!c->local)
        return;
    if (c->local->mode == ND_LOCAL_PING) {
        ping_timer(c, now);
    } else if (c->local->mode == ND_LOCAL_NETCHECK) {
        say_error(c, "the network could not be measured: is it up?");
    } else if (c->local->mode == ND_LOCAL_LOGOUT) {
        say_error(c, "the control server does not answer: the node logs out, "
                     "and ends, as soon as it does");
    } else if (c->local->mode == ND_LOCAL_LINE) {
        rmri_node_conn_end(c, now, false); /* it asks nothing */
    } else if (c->local->mode == ND_LOCAL_NC_DIAL) {
        if (c->has_sock)
            rmr_ns_abort(c->n->ns, now, c->sock);
        c->has_sock = false;
        say_unreachable(c, c->local->line, RMR_E_TIMEOUT);
    }
}

void rmri_node_local_free(nd_conn *c)
{
    if (!c->local)
        return;
    rmri_node_capture_stop(c);
    rmr_ring_wipe(&c->local->out);
    rmr_release(&c->n->env.alloc, c->local, sizeof *c->local);
    c->local = NULL;
}
