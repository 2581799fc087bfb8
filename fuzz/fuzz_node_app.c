/* The program above the node: its calls, and that callbacks come in order. */
#include "fuzz_node_world.h"

#include <stdlib.h>
#include <string.h>

uint8_t fz_pattern(uint64_t at)
{
    return (uint8_t)(at * 7 + (at >> 8));
}

static fz_conn *conn_of(fz_world *w, rmr_node_conn c)
{
    for (size_t i = 0; i < CONNS; i++)
        if (w->conns[i].conn.id == c.id)
            return &w->conns[i];
    return NULL;
}

static fz_conn *free_conn(fz_world *w)
{
    rmr_node_conn none = {0};
    return conn_of(w, none);
}

/* ---- callbacks ------------------------------------------------------------ */

/* From where each state may be told. */
static bool may_follow(rmr_node_state now, rmr_node_state next)
{
    switch (now) {
    case RMR_NODE_NO_STATE:
        return next == RMR_NODE_STARTING || next == RMR_NODE_STOPPED;
    case RMR_NODE_STOPPED:
        return false;
    default:
        return next != RMR_NODE_NO_STATE;
    }
}

static void on_event(void *user, const rmr_node_event *ev)
{
    fz_world *w = user;
    need(!w->is_stopped && ev->text != NULL);
    if (ev->kind == RMR_NODE_EV_STATE) {
        need(may_follow(w->state, ev->state));
        w->state = ev->state;
    }
    need(!w->node || rmr_node_get_state(w->node) == ev->state);
    if (ev->kind == RMR_NODE_EV_RUNNING)
        need(ev->state == RMR_NODE_RUNNING && ev->hostname != NULL);
    if (ev->kind == RMR_NODE_EV_FAILED) {
        need(!w->has_failed && ev->err != RMR_OK);
        w->has_failed = true;
    }
}

static void read_all(fz_world *w, fz_conn *c)
{
    rmr_bytes view;
    bool eof;
    while (!w->lazy && rmr_node_peek(w->node, c->conn, &view, &eof) == RMR_OK &&
           view.len) {
        for (size_t i = 0; i < view.len; i++)
            need(!c->is_checked || w->is_tampered ||
                 view.ptr[i] == fz_pattern(c->got + i));
        c->got += view.len;
        need(rmr_node_consume(w->node, w->now, c->conn, view.len) == RMR_OK);
    }
}

static void on_accept(void *user, void *tag, rmr_node_conn conn,
                      const rmr_addr *remote)
{
    fz_world *w = user;
    rmr_addr stack = rmr_addr_v4(100, 64, 0, 2, 0);
    need(!w->is_stopped && w->filter_told);
    need(tag == w && conn_of(w, conn) == NULL);
    fz_conn *c = free_conn(w);
    if (!c) {
        (void)rmr_node_abort(w->node, w->now, conn);
        return;
    }
    memset(c, 0, sizeof *c);
    c->conn = conn;
    c->is_connected = true;
    c->is_checked = rmr_addr_ip_eq(remote, &stack);
    need(rmr_node_set_tag(w->node, conn, w) == RMR_OK);
}

static void on_connected(void *user, void *tag, rmr_node_conn conn)
{
    fz_world *w = user;
    fz_conn *c = conn_of(w, conn);
    need(!w->is_stopped && tag == w && c && !c->is_connected &&
         !c->is_listener);
    c->is_connected = true;
}

static void on_readable(void *user, void *tag, rmr_node_conn conn)
{
    fz_world *w = user;
    fz_conn *c = conn_of(w, conn);
    need(!w->is_stopped && tag == w && c && c->is_connected);
    read_all(w, c);
}

static void on_writable(void *user, void *tag, rmr_node_conn conn)
{
    fz_world *w = user;
    fz_conn *c = conn_of(w, conn);
    need(!w->is_stopped && tag == w && c && c->is_connected);
}

static void on_closed(void *user, void *tag, rmr_node_conn conn, rmr_err why)
{
    fz_world *w = user;
    fz_conn *c = conn_of(w, conn);
    (void)why;
    need(!w->is_stopped && tag == w && c);
    memset(c, 0, sizeof *c);
}

static void on_report(void *user, rmr_bytes json)
{
    fz_world *w = user;
    need(!w->is_stopped && json.len > 0);
}

static void on_resolved(void *user, rmr_err err, const rmr_addr *addrs,
                        size_t n)
{
    fz_world *w = user;
    need(!w->is_stopped && (err != RMR_OK || (n > 0 && addrs)));
    w->resolving = 0;
}

/* ---- the configuration ---------------------------------------------------- */

static fz_blob *blob_of(fz_world *w, const char *name)
{
    size_t i = 0;
    while (w->blobs[i].name[0] && strcmp(w->blobs[i].name, name) != 0)
        need(++i < BLOBS);
    need(strlen(name) < sizeof w->blobs[i].name);
    memcpy(w->blobs[i].name, name, strlen(name) + 1);
    return &w->blobs[i];
}

static rmr_err get_blob(void *user, const char *name, uint64_t offset,
                        rmr_buf dst, size_t *len)
{
    const fz_blob *b = blob_of(user, name);
    *len = 0;
    if (b->now.len == 0 || offset > b->now.len)
        return RMR_E_NOTFOUND;
    *len = b->now.len - (size_t)offset;
    *len = *len < dst.len ? *len : dst.len;
    if (*len)
        memcpy(dst.ptr, b->now.p + offset, *len);
    return RMR_OK;
}

static rmr_err put_blob(void *user, const char *name, uint64_t offset,
                        rmr_bytes data, bool last)
{
    fz_blob *b = blob_of(user, name);
    if (offset == 0)
        b->next.len = 0;
    need(offset == b->next.len);
    fz_add(&b->next, data.ptr, data.len);
    if (last) {
        fz_bytes old = b->now;
        b->now = b->next;
        b->next = old;
        b->next.len = 0;
    }
    return RMR_OK;
}

static rmr_err seal_key(void *user, uint32_t number, uint8_t key[32])
{
    (void)user;
    memset(key, 4, 32);
    return number ? RMR_E_NOTFOUND : RMR_OK;
}

void fz_app_config(fz_world *w, rmr_node_config *cfg)
{
    static rmr_node_callbacks cb;
    static rmr_forward forward = {.peer = "p0", .port = 80};
    static rmr_serve serve = {.port = 81};
    static rmr_prefix route;
    static const char *const urls[] = {"http://203.0.113.250",
                                       "https://hosts.test", "https://dns.test",
                                       "https://203.0.113.250"};
    static const char map[] =
        "{\"Regions\":{\"1\":{\"RegionID\":1,\"RegionCode\":\"a\",\"Nodes\":[{"
        "\"Name\":\"1a\",\"RegionID\":1,\"HostName\":\"r1.test\",\"IPv4\":"
        "\"203.0.113.241\"}]}}}";
    static rmr_node_store store;
    rmr_node_store by_program = {sizeof store, w, get_blob, put_blob};
    store = by_program;
    rmr_node_callbacks now = {.struct_size = sizeof cb,
                              .user = w,
                              .on_event = on_event,
                              .on_accept = on_accept,
                              .on_connected = on_connected,
                              .on_readable = on_readable,
                              .on_writable = on_writable,
                              .on_closed = on_closed,
                              .on_report = on_report};
    cb = now;
    forward.local = rmr_addr_v4(127, 0, 0, 1, 8080);
    serve.target = rmr_addr_v4(127, 0, 0, 1, 7000);
    need(rmr_prefix_parse(rmr_bytes_str("10.1.0.0/16"), &route) == RMR_OK);
    rmr_node_config_init(cfg, sizeof *cfg);
    cfg->callbacks = &cb;
    cfg->control_url = urls[w->options & 3];
    cfg->auth_key = w->options & 32 ? NULL : "tskey-auth-secret";
    cfg->keep_auth_key = w->options & 16;
    cfg->ca_pem = rmr_bytes_str("x");
    cfg->udp_port = 41641;
    cfg->tcp_buffer = (size_t)64 * 1024;
    cfg->local_name = "remora.sock";
    cfg->socks5 = rmr_addr_v4(127, 0, 0, 1, 1080);
    cfg->metrics = rmr_addr_v4(127, 0, 0, 1, 9090);
    cfg->forwards = &forward;
    cfg->n_forwards = 1;
    cfg->serves = &serve;
    cfg->n_serves = 1;
    cfg->seal_key = w->options & 8 ? seal_key : NULL;
    cfg->advertise_routes = &route;
    cfg->n_advertise_routes = w->options & 16 ? 1 : 0;
    cfg->advertise_exit_node = w->options & 8;
    cfg->accept_routes = true;
    cfg->no_port_mapping = w->options & 64;
    cfg->only_netcheck = (w->options & 0xe8) == 0xe8;
    if (cfg->only_netcheck)
        cfg->derp_map = rmr_bytes_str(map);
    if (w->options & 128)
        cfg->store = &store;
}

/* ---- calls ---------------------------------------------------------------- */

static void dial(fz_world *w, uint8_t what)
{
    static const char *const hosts[] = {
        "100.64.0.2",  "p0",      "p1.ex.com", "10.9.0.1",
        "x.corp.test", "fd7a::3", "8.8.8.8",   "100.64.0.5"};
    fz_conn *c = free_conn(w);
    rmr_node_conn conn;
    if (!c)
        return;
    if (rmr_node_dial(w->node, w->now, hosts[what & 7], 90, w, &conn) != RMR_OK)
        return;
    need(conn.id && conn_of(w, conn) == NULL);
    memset(c, 0, sizeof *c);
    c->conn = conn;
    c->is_checked = (what & 7) < 2;
}

static void listen_at(fz_world *w, uint8_t what)
{
    fz_conn *c = free_conn(w);
    rmr_node_conn conn;
    if (!c || rmr_node_listen(w->node, w->now, what & 1 ? 80 : 443, w, &conn) !=
                  RMR_OK)
        return;
    memset(c, 0, sizeof *c);
    c->conn = conn;
    c->is_listener = true;
}

static void send_some(fz_world *w, fz_conn *c, size_t n)
{
    uint8_t part[512];
    size_t taken = sizeof part;
    for (; n > 0 && taken == sizeof part; n--) {
        for (size_t i = 0; i < sizeof part; i++)
            part[i] = fz_pattern(c->sent + i);
        if (rmr_node_send(w->node, w->now, c->conn,
                          rmr_bytes_of(part, sizeof part), &taken) != RMR_OK)
            return;
        c->sent += taken;
    }
}

/* Its handle is stale from then on. */
static void close_conn(fz_world *w, fz_conn *c, bool reset)
{
    rmr_bytes view;
    bool eof;
    rmr_node_conn conn = c->conn;
    memset(c, 0, sizeof *c);
    rmr_err err = reset ? rmr_node_abort(w->node, w->now, conn)
                        : rmr_node_close(w->node, w->now, conn);
    need(err == RMR_OK || w->is_stopped || err == RMR_E_BADHANDLE);
    need(rmr_node_peek(w->node, conn, &view, &eof) == RMR_E_BADHANDLE);
}

static void set_prefs(fz_world *w, uint8_t what)
{
    rmr_node_prefs p;
    static const char *const exits[] = {"", "p2", "100.64.0.4", "nobody"};
    rmr_node_prefs_init(&p, sizeof p);
    p.given = RMR_NODE_PREF_SHIELDS_UP | RMR_NODE_PREF_EXIT_NODE |
              RMR_NODE_PREF_ACCEPT_ROUTES | RMR_NODE_PREF_HOSTNAME |
              RMR_NODE_PREF_ACCEPT_DNS | RMR_NODE_PREF_EXIT_NODE_ALLOW_LAN;
    p.hostname = what & 1 ? "other" : "me";
    p.exit_node = exits[what >> 1 & 3];
    p.shields_up = what & 8;
    p.accept_routes = what & 16;
    p.accept_dns = what & 1;
    p.exit_node_allow_lan = what & 4;
    (void)rmr_node_set_prefs(w->node, w->now, &p);
}

static void look(fz_world *w)
{
    static uint8_t text[16384];
    rmr_node_who who;
    rmr_node_grant grant;
    size_t len = 0;
    uint64_t pos = 0;
    rmr_addr from = rmr_addr_v4(100, 64, 0, 2, 0);
    rmr_err err =
        rmr_node_write_metrics(w->node, rmr_buf_of(text, sizeof text), &len);
    need(err == RMR_OK && len > 0);
    (void)rmr_node_whois(w->node, "100.64.0.2", &who);
    while (rmr_node_next_grant(w->node, &from, &pos, &grant))
        need(grant.name && grant.values);
}

static void resolve(fz_world *w, uint8_t what)
{
    static const char *const names[] = {"p0", "out.test", "a.corp.test",
                                        "x.ex.com"};
    if (w->resolving) {
        rmr_node_resolve_cancel(w->node, w->resolving);
        w->resolving = 0;
    }
    uint64_t id = 0;
    w->resolving = UINT64_MAX; /* until it is answered inside the call */
    rmr_err err =
        rmr_node_resolve(w->node, w->now, names[what & 3], on_resolved, w, &id);
    w->resolving = err == RMR_OK && w->resolving ? id : 0;
}

void fz_app_call(fz_world *w, uint8_t what)
{
    fz_conn *c = &w->conns[what & 15];
    switch (what >> 4) {
    case 0:
    case 1:
        dial(w, what);
        break;
    case 2:
        listen_at(w, what);
        break;
    case 3:
    case 4:
    case 5:
        if (c->conn.id && !c->is_listener)
            send_some(w, c, (size_t)1 << (what >> 4));
        break;
    case 6:
        if (c->conn.id)
            (void)rmr_node_shutdown(w->node, w->now, c->conn);
        break;
    case 7:
    case 8:
        if (c->conn.id)
            close_conn(w, c, what >> 4 == 8);
        break;
    case 9:
        set_prefs(w, what ^ 16);
        break;
    case 10:
        set_prefs(w, what | 16);
        break;
    case 11:
        look(w);
        break;
    case 12:
        resolve(w, what);
        break;
    case 13:
        w->lazy = what & 1;
        for (size_t i = 0; i < CONNS && !w->lazy; i++)
            if (w->conns[i].is_connected)
                read_all(w, &w->conns[i]);
        break;
    case 14:
        if (what & 8)
            (void)rmr_node_logout(w->node, w->now);
        break;
    default:
        if (what == 255)
            rmr_node_stop(w->node, w->now);
        break;
    }
}

void fz_app_check(fz_world *w)
{
    need(!test_log_has(&w->log, "auth-secret"));
    for (size_t i = 0; i < CONNS; i++)
        need(!w->conns[i].is_checked || w->conns[i].got < (1u << 30));
}
