/* The node's life, the machine's four calls, and the pump that moves bytes
 * between the layers until they are quiet. */
#include "node_internal.h"

#include <remora/http1.h>
#include <stdio.h>
#include <string.h>

#define MAX_CONNS 4096
#define SOCKS5_MAX 255 /* RFC 1929 2 */
#define MAX_ROUNDS 8
#define MAX_PUMPS 64 /* in one next_op without an operation: bounds a turn */
#define STOP_TIMEOUT (2 * RMR_SEC)
#define ALL_EVERY (600 * RMR_SEC)

/* ---- configuration ----------------------------------------------------- */

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The caller's struct may be an older and shorter one. */
void rmr_node_config_init(rmr_node_config *cfg, size_t struct_size)
{
    rmr_node_config c = {0};
    c.struct_size = (uint32_t)struct_size;
    c.udp_port = 41641;
    c.tcp_buffer = (size_t)1024 * 1024;
    memset(cfg, 0, struct_size);
    memcpy(cfg, &c, smaller(struct_size, sizeof c));
}

static rmr_err take_config(rmr_node_config *c, rmr_node_callbacks *cb,
                           const rmr_node_config *cfg)
{
    if (cfg->struct_size < sizeof cfg->struct_size)
        return RMR_E_INVAL;
    rmr_node_config_init(c, sizeof *c);
    memcpy(c, cfg, smaller(cfg->struct_size, sizeof *c));
    memset(cb, 0, sizeof *cb);
    if (c->callbacks) {
        if (c->callbacks->struct_size < sizeof cb->struct_size)
            return RMR_E_INVAL;
        memcpy(cb, c->callbacks,
               smaller(c->callbacks->struct_size, sizeof *cb));
    }
    return RMR_OK;
}

static void *copy_array(rmr_node *n, const void *src, size_t count, size_t size,
                        size_t align)
{
    void *dst = rmr_alloc_zero(&n->env.alloc, count * size, align);
    if (dst)
        memcpy(dst, src, count * size);
    return dst;
}

static rmr_err copy_lists(rmr_node *n, const rmr_node_config *cfg)
{
    if (cfg->n_forwards > 1000 || cfg->n_serves > 1000)
        return RMR_E_INVAL;
    if (cfg->n_forwards) {
        n->forwards = copy_array(n, cfg->forwards, cfg->n_forwards,
                                 sizeof(rmr_forward), _Alignof(rmr_forward));
        if (!n->forwards)
            return RMR_E_NOMEM;
        n->n_forwards = cfg->n_forwards;
    }
    if (cfg->n_serves) {
        n->serves = copy_array(n, cfg->serves, cfg->n_serves, sizeof(rmr_serve),
                               _Alignof(rmr_serve));
        if (!n->serves)
            return RMR_E_NOMEM;
        n->n_serves = cfg->n_serves;
    }
    return RMR_OK;
}

/* One without the other, or none of them, is no proxy for everybody. */
static rmr_err copy_socks5(rmr_node *n, const rmr_node_config *cfg)
{
    const char *user = cfg->socks5_user, *password = cfg->socks5_password;
    if (!user && !password)
        return RMR_OK;
    if (!user || !password || !user[0] || !password[0] ||
        strlen(user) > SOCKS5_MAX || strlen(password) > SOCKS5_MAX)
        return RMR_E_INVAL;
    rmr_err err =
        rmr_text_keep(&n->socks5_user, &n->env.alloc, rmr_bytes_str(user));
    return err ? err
               : rmr_text_keep(&n->socks5_password, &n->env.alloc,
                               rmr_bytes_str(password));
}

static void wipe_texts(rmr_node *n)
{
    char **all[] = {&n->socks5_user, &n->socks5_password, &n->url,
                    &n->os_version,  &n->product,         &n->local_name,
                    &n->ctl_text};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        (void)rmr_text_keep(all[i], &n->env.alloc, rmr_bytes_str(""));
}

static rmr_err keep(rmr_node *n, char **slot, size_t cap, const char *text)
{
    rmr_bytes b = rmr_bytes_str(rmr_text_kept(text));
    return b.len < cap ? rmr_text_keep(slot, &n->env.alloc, b) : RMR_E_INVAL;
}

static rmr_err copy_texts(rmr_node *n, const rmr_node_config *cfg)
{
    rmr_bytes url = rmr_bytes_str(rmr_text_kept(cfg->control_url));
    if (url.len >= ND_URL_MAX)
        return RMR_E_INVAL;
    /* One URL has one form, so that the state's can be compared. */
    while (url.len && url.ptr[url.len - 1] == '/')
        url.len--;
    rmr_err err = rmr_text_keep(&n->url, &n->env.alloc, url);
    if (!err)
        err = keep(n, &n->os_version, 64, cfg->os_version);
    if (!err)
        err = keep(n, &n->product, 64, cfg->product ? cfg->product : "remora");
    if (!err)
        err = keep(n, &n->local_name, 64, cfg->local_name);
    return err;
}

static rmr_err copy_config(rmr_node *n, const rmr_node_config *cfg)
{
    rmr_url url;
    if (cfg->control_url &&
        rmr_url_parse(rmr_bytes_str(cfg->control_url), &url) != RMR_OK)
        return RMR_E_INVAL;
    rmr_err err = copy_texts(n, cfg);
    if (!err)
        err = copy_socks5(n, cfg);
    if (err)
        return err;
    if (cfg->store) {
        if (cfg->store->struct_size < sizeof n->store || !cfg->store->get ||
            !cfg->store->put)
            return RMR_E_INVAL;
        n->store = *cfg->store;
    }
    n->seal_key = cfg->seal_key;
    n->seal_user = cfg->seal_user;
    n->take_plain = cfg->take_plain_state;
    n->aead = cfg->aead;
    n->h2_frame = cfg->h2_frame;
    n->decoder = cfg->decoder;
    n->ephemeral = cfg->ephemeral;
    n->keep_auth_key = cfg->keep_auth_key;
    n->accept_control_key = cfg->accept_control_key;
    n->udp_port = cfg->udp_port;
    n->no_udp = cfg->no_udp;
    n->no_port_mapping = cfg->no_port_mapping;
    if (cfg->n_static_endpoints > ND_MAX_STATIC ||
        (cfg->n_static_endpoints && !cfg->static_endpoints))
        return RMR_E_INVAL;
    if (cfg->n_static_endpoints) {
        n->fixed = rmr_alloc_raw(&n->env.alloc,
                                 cfg->n_static_endpoints * sizeof *n->fixed,
                                 _Alignof(rmr_addr));
        if (!n->fixed)
            return RMR_E_NOMEM;
    }
    n->n_fixed = cfg->n_static_endpoints;
    for (size_t i = 0; i < n->n_fixed; i++)
        n->fixed[i] = cfg->static_endpoints[i];
    n->socks5_addr = cfg->socks5;
    n->metrics_addr = cfg->metrics;
    n->tcp_buffer = cfg->tcp_buffer;
    if (rmri_node_routes_check(cfg->advertise_routes, cfg->n_advertise_routes,
                               cfg->exit_node) != RMR_OK)
        return RMR_E_INVAL;
    n->only_netcheck = cfg->only_netcheck;
    if (cfg->derp_map.len) {
        n->derp_map = copy_array(n, cfg->derp_map.ptr, cfg->derp_map.len, 1, 1);
        if (!n->derp_map)
            return RMR_E_NOMEM;
        n->derp_map_len = cfg->derp_map.len;
    }
    if (cfg->auth_key && cfg->auth_key[0]) {
        n->auth_key_size = strlen(cfg->auth_key) + 1;
        n->auth_key = copy_array(n, cfg->auth_key, n->auth_key_size, 1, 1);
        if (!n->auth_key)
            return RMR_E_NOMEM;
    }
    return copy_lists(n, cfg);
}

static void stir(void *user)
{
    rmr_node *n = user;
    n->dirty = true;
}

/* A faster AES-GCM for TLS than its own, where there is one. */
static rmr_err gcm_new(rmr_node *n, const rmr_node_config *cfg)
{
    if (cfg->gcm)
        return RMR_OK;
    rmr_err err = rmr_gcm_new(&n->gcm, &n->env.alloc);
    return err == RMR_E_UNSUPPORTED ? RMR_OK : err;
}

static rmr_err mc_new(rmr_node *n, const rmr_node_config *c)
{
    rmr_mc_config cfg;
    rmr_mc_config_init(&cfg, sizeof cfg);
    cfg.anchors = c->anchors ? c->anchors : n->anchors;
    cfg.gcm = n->gcm.name ? &n->gcm : c->gcm;
    cfg.user = n;
    cfg.on_stir = stir;
    cfg.proxy.host = c->proxy_host;
    cfg.proxy.port = c->proxy_port;
    cfg.proxy.authorization = c->proxy_auth;
    cfg.proxy.no_proxy = c->no_proxy;
    return rmr_mc_new(&n->mc, &n->env, &cfg);
}

static rmr_err anchors_new(rmr_node *n, rmr_bytes pem)
{
    size_t added = 0, skipped = 0;
    rmr_err err = rmr_tls_anchors_new(&n->anchors, &n->env);
    if (err != RMR_OK || pem.len == 0)
        return err;
    err = rmr_tls_anchors_add_pem(n->anchors, pem, &added, &skipped);
    if (err == RMR_E_NOMEM)
        return err;
    return err != RMR_OK || added == 0 ? RMR_E_NODE_CA : RMR_OK;
}

/* ---- new and free ------------------------------------------------------ */

static rmr_err node_init(rmr_node *n, const rmr_node_config *cfg, rmr_time now)
{
    n->started = n->now = n->all_at = now;
    n->all_asked = true; /* no deadline is known yet */
    n->stop_deadline = n->again_at = n->cache_at = n->renew_at = n->state_at =
        n->peer_expiry_at = RMR_TIME_NEVER;
    rmr_err err = rmr_crypto_init();
    if (err == RMR_OK)
        err = copy_config(n, cfg);
    if (err == RMR_OK)
        err = rmri_node_prefs_ask(n, cfg);
    if (err == RMR_OK)
        err = cfg->anchors ? RMR_OK : anchors_new(n, cfg->ca_pem);
    if (err == RMR_OK)
        err = rmr_slots_init(&n->conns, &n->env.alloc, sizeof(nd_conn),
                             MAX_CONNS);
    if (err == RMR_OK)
        err = rmr_timers_init(&n->timers, &n->env.alloc, 0);
    if (err == RMR_OK)
        err = rmri_node_stamps_new(n);
    if (err == RMR_OK)
        err = gcm_new(n, cfg);
    if (err == RMR_OK)
        err = mc_new(n, cfg);
    if (err == RMR_OK)
        err = rmri_node_dns_new(n);
    return err;
}

rmr_err rmr_node_new(rmr_node **out, const rmr_env *env,
                     const rmr_node_config *cfg, rmr_time now)
{
    rmr_node_config own;
    rmr_node_callbacks cb;
    *out = NULL;
    rmr_err err = take_config(&own, &cb, cfg);
    if (err != RMR_OK)
        return err;
    rmr_node *n = rmr_alloc_zero(&env->alloc, sizeof *n, _Alignof(rmr_node));
    if (!n)
        return RMR_E_NOMEM;
    n->env = *env;
    n->cb = cb;
    err = node_init(n, &own, now);
    if (err != RMR_OK) {
        rmr_node_free(n);
        return err;
    }
    *out = n;
    return RMR_OK;
}

static void conns_free(rmr_node *n)
{
    uint32_t pos = 0;
    for (nd_conn *c; (c = rmr_slots_next(&n->conns, &pos, NULL));)
        rmri_node_conn_free(c);
    rmr_slots_wipe(&n->conns);
}

void rmr_node_free(rmr_node *n)
{
    if (!n)
        return;
    rmr_alloc alloc = n->env.alloc;
    rmri_node_cache_free(n);
    rmri_node_state_free(n);
    rmri_node_prefs_free(n);
    rmri_node_dns_free(n); /* first: connections that end have no answers */
    conns_free(n);
    rmri_node_regions_free(n);
    rmri_node_ctl_free(n);
    rmri_node_data_free(n);
    rmri_node_portmap_free(n);
    rmri_node_pings_free(n);
    rmri_node_netcheck_free(n);
    rmri_node_echo_free(n);
    rmri_node_forward_echo_free(n);
    rmri_node_routes_free(n);
    rmri_node_udp_free(n);
    rmri_node_tsmp_free(n);
    rmri_node_peerapi_free(n);
    rmri_node_links_free(n);
    rmri_node_paths_free(n);
    rmr_release(&alloc, n->fixed, n->n_fixed * sizeof *n->fixed);
    rmr_nm_free(n->nm);
    rmr_mc_free(n->mc);
    rmr_timers_wipe(&n->timers);
    rmri_node_stamps_free(n);
    rmr_tls_anchors_free(n->anchors);
    rmr_gcm_wipe(&n->gcm);
    rmri_node_service_free(n);
    rmr_release(&alloc, n->forwards, n->n_forwards * sizeof *n->forwards);
    rmr_release(&alloc, n->serves, n->n_serves * sizeof *n->serves);
    rmri_node_measure_free(n);
    rmr_release_wiped(&alloc, n->auth_key, n->auth_key_size);
    wipe_texts(n);
    rmri_node_keys_wipe(&n->keys, &alloc);
    rmr_release_wiped(&alloc, n, sizeof *n);
}

/* ---- words to the program ---------------------------------------------- */

/* Callbacks nest: a submit function may tell a change of state. */
void rmri_node_tell(rmr_node *n, const rmr_node_event *ev)
{
    n->in_callback++;
    if (n->cb.on_event)
        n->cb.on_event(n->cb.user, ev);
    n->in_callback--;
}

static void tell(rmr_node *n, rmr_node_event *ev)
{
    ev->state = n->state;
    rmri_node_tell(n, ev);
}

void rmri_node_set_state(rmr_node *n, rmr_node_state s, const char *text)
{
    if (n->state == s)
        return;
    n->state = s;
    rmr_logf(&n->env.log, RMR_LOG_INFO, ND_LAYER, "state: %s",
             rmr_node_state_name(s));
    rmr_node_event ev = {0};
    ev.kind = RMR_NODE_EV_STATE;
    ev.text = text ? text : "";
    tell(n, &ev);
}

void rmri_node_trouble(rmr_node *n, rmr_err err, const char *text)
{
    rmr_node_event ev = {0};
    ev.kind = RMR_NODE_EV_TROUBLE;
    ev.err = err;
    ev.text = text && text[0] ? text : rmr_node_err_text(err);
    rmr_logf(&n->env.log, RMR_LOG_WARN, ND_LAYER, "%s", ev.text);
    tell(n, &ev);
}

/* Gives up.  What is on the disk stays as it is. */
void rmri_node_fail(rmr_node *n, rmr_time now, rmr_err err, const char *text)
{
    if (n->stop_err != RMR_OK || n->phase >= ND_PHASE_STOPPING)
        return;
    n->stop_err = err;
    rmr_node_event ev = {0};
    ev.kind = RMR_NODE_EV_FAILED;
    ev.err = err;
    ev.text = text && text[0] ? text : rmr_node_err_text(err);
    tell(n, &ev);
    n->phase = ND_PHASE_STOPPING;
    n->stop_deadline = now;
    n->dirty = true;
}

/* A layer that says "fatal" answers nothing else any more: a node that went on
 * would seem to run and be dead.  Errors of the layer's own numbers concern a
 * connection, which is retried. */
void rmri_node_check(rmr_node *n, rmr_time now, rmr_err err)
{
    if (rmr_err_class(err) == RMR_CLASS_FATAL && -err / 1000 == RMR_LAYER_BASE)
        rmri_node_fail(n, now, err, NULL);
}

rmr_node_state rmr_node_get_state(const rmr_node *n)
{
    return n->state;
}

/* ---- the keys are there: the layers begin ------------------------------ */

static bool url_is_settled(rmr_node *n, rmr_time now)
{
    rmr_err err = RMR_OK;
    if (!n->url)
        err = keep(n, &n->url, ND_URL_MAX, n->keys.url);
    if (err) {
        rmri_node_fail(n, now, err, NULL);
        return false;
    }
    if (!n->url) {
        rmri_node_fail(n, now, RMR_E_INVAL,
                       "no control server is known yet: give --control-url");
        return false;
    }
    if (n->keys.url && !rmri_node_same_text(n->keys.url, n->url)) {
        rmri_node_fail(n, now, RMR_E_NODE_OTHER_URL, NULL);
        return false;
    }
    return true;
}

rmr_err rmri_node_layers_new(rmr_node *n, rmr_time now)
{
    rmri_node_login_resume(n);
    rmr_err err = rmr_key_generate(&n->env.rng, n->disco_private);
    if (err == RMR_OK) {
        rmr_x25519_public(n->disco_public, n->disco_private);
        err = rmri_node_paths_new(n, now);
    }
    if (err == RMR_OK)
        err = rmri_node_netcheck_new(n);
    if (err == RMR_OK)
        err = rmri_node_portmap_new(n);
    if (err == RMR_OK)
        err = rmri_node_data_start(n, now);
    if (err == RMR_OK)
        err = rmri_node_peers_nm_new(n);
    return err;
}

void rmri_node_state_ready(rmr_node *n, rmr_time now)
{
    if (!url_is_settled(n, now))
        return;
    rmr_err err = rmri_node_layers_new(n, now);
    if (err == RMR_OK)
        err = rmri_node_service_start(n, now);
    if (err == RMR_OK)
        err = rmri_node_ctl_start(n, now);
    if (err != RMR_OK) {
        rmri_node_fail(n, now, err, NULL);
        return;
    }
    n->phase = ND_PHASE_UP;
    rmri_node_netcheck_want(n, now, RMR_NETCHECK_WHY_KEY);
    rmri_node_set_state(n, RMR_NODE_STARTING, "");
    if (n->state_seen && n->keys.registered) /* not of before a logout */
        rmri_node_cache_load(n);
    n->dirty = true;
}

/* ---- the end ----------------------------------------------------------- */

void rmr_node_stop(rmr_node *n, rmr_time now)
{
    if (n->phase >= ND_PHASE_STOPPING)
        return;
    n->dirty = true;
    n->stop_deadline = rmr_time_add(now, STOP_TIMEOUT);
    if (n->phase == ND_PHASE_UP) {
        uint32_t pos = 0;
        rmri_node_service_stop(n);
        rmri_node_capture_stop_all(n);
        rmri_node_dns_stop(n);
        for (nd_conn *c; (c = rmr_slots_next(&n->conns, &pos, NULL));)
            if (c->kind != ND_CONN_LOCAL || c->has_sock)
                rmri_node_conn_end(c, now, true);
        rmri_node_portmap_stop(n, now);
        rmri_node_state_save(n);
        if (n->cache_dirty)
            rmri_node_cache_save(n);
    }
    n->phase = ND_PHASE_STOPPING;
}

/* Who asked for the end has nothing else to come than that. */
static bool has_conns(const rmr_node *n)
{
    uint32_t pos = 0;
    for (const nd_conn *c; (c = rmr_slots_next(&n->conns, &pos, NULL));)
        if (!rmri_node_local_awaits_end(c))
            return true;
    return false;
}

static bool is_quiet(const rmr_node *n)
{
    if (n->state_io || n->cache_io || has_conns(n) ||
        !rmri_node_portmap_is_idle(n))
        return false;
    if (!n->ns)
        return true;
    rmr_ns_stats st;
    rmr_ns_get_stats(n->ns, &st);
    return st.sockets == 0;
}

static bool has_ended(const rmr_node *n, rmr_time now)
{
    return n->phase == ND_PHASE_STOPPING &&
           (now >= n->stop_deadline || is_quiet(n));
}

static void end(rmr_node *n, rmr_io_op *op)
{
    n->phase = ND_PHASE_STOPPED;
    rmri_node_set_state(n, RMR_NODE_STOPPED, "");
    op->kind = RMR_IO_STOP;
    op->err = n->stop_err;
}

/* ---- the machine ------------------------------------------------------- */

static bool has_news(const rmr_node *n)
{
    return n->dirty || n->ctl_news || n->relay_news;
}

/* ---- deadlines: of those who were asked, the others' are as they were --- */

static bool is_asked(const rmr_node *n)
{
    return n->all_asked || n->ctl_asked || n->relays_asked;
}

static rmr_time ctl_deadline(const rmr_node *n)
{
    return n->ctl ? rmr_ctl_next_deadline(n->ctl) : RMR_TIME_NEVER;
}

static rmr_time others_deadline(const rmr_node *n)
{
    rmr_time at = rmri_node_service_deadline(n);
    at = rmr_time_min(at, rmri_node_pings_deadline(n));
    if (n->wg)
        at = rmr_time_min(at, rmr_wg_next_deadline(n->wg));
    if (n->ns)
        at = rmr_time_min(at, rmr_ns_next_deadline(n->ns));
    if (n->paths)
        at = rmr_time_min(at, rmr_paths_next_deadline(n->paths));
    at = rmr_time_min(at, rmri_node_portmap_deadline(n));
    at = rmr_time_min(at, rmri_node_dns_deadline(n));
    return rmr_time_min(at, rmri_node_netcheck_deadline(n));
}

/* The end of a turn. */
static void note_deadlines(rmr_node *n)
{
    if (n->all_asked)
        n->due.others = others_deadline(n);
    if (n->all_asked || n->ctl_asked)
        n->due.ctl = ctl_deadline(n);
    if (n->all_asked || n->relays_asked)
        n->due.relays = rmri_node_regions_deadline(n);
    n->all_asked = n->ctl_asked = n->relays_asked = false;
}

/* ---- the pump ----------------------------------------------------------- */

static void pump_all(rmr_node *n, rmr_time now)
{
    n->all_at = now;
    n->all_asked = true;
    if (n->nm) { /* the last of the layers */
        rmri_node_peerapi_pump(n);
        if (n->ctl)
            rmri_node_ctl_pump(n, now);
        rmri_node_pings_pump(n, now);
        rmri_node_regions_pump(n, now);
        rmri_node_netcheck_pump(n, now);
        rmri_node_portmap_pump(n, now);
        rmri_node_peers_forget_expired(n, now);
        rmri_node_dns_pump(n, now);
        n->data_due = true;
        rmri_node_paths_pump(n, now);
    }
    rmr_mc_pump(n->mc, now);
}

/* Only who has news is asked: a node at rest hears keep-alives of its control
 * server and of its relay and nothing else, and the other layers are not in the
 * cache then.  Whatever is not known to be the news of one is everybody's; and
 * all are asked now and then, for one that once had no memory tries again when
 * it is asked. */
static void pump(rmr_node *n, rmr_time now)
{
    for (int round = 0; has_news(n) && round < MAX_ROUNDS; round++) {
        bool ctl = n->ctl_news, relays = n->relay_news;
        bool all = n->dirty || rmr_time_since(now, n->all_at) >= ALL_EVERY;
        n->dirty = n->ctl_news = n->relay_news = false;
        if (n->state_wanted && n->phase == ND_PHASE_UP) {
            n->state_wanted = false;
            rmri_node_state_save(n);
        }
        if (all)
            pump_all(n, now);
        else if (n->nm) {
            n->ctl_asked |= ctl;
            n->relays_asked |= relays;
            if (ctl && n->ctl)
                rmri_node_ctl_pump(n, now);
            if (relays)
                rmri_node_regions_pump(n, now);
        }
    }
}

/* Later than all before; contract T3. */
static rmr_time clamp(rmr_node *n, rmr_time now)
{
    if (now > n->now)
        n->now = now;
    return n->now;
}

static void begin_when_ready(rmr_node *n)
{
    if (n->phase == ND_PHASE_NEW && n->has_wall) {
        n->phase = ND_PHASE_LOADING;
        if (n->only_netcheck)
            rmri_node_measure_start(n, n->now);
        else
            rmri_node_state_load(n);
    }
}

static rmr_err m_event(void *self, rmr_time now, const rmr_io_event *ev)
{
    rmr_node *n = self;
    if (n->in_callback)
        return RMR_E_REENTRANT;
    now = clamp(n, now);
    if (ev->kind == RMR_IO_WALL)
        rmri_node_links_wall(n, now, ev->wall_unix_ns);
    rmr_mc_event(n->mc, now, ev); /* says whose news it is */
    switch (ev->kind) {
    case RMR_IO_WALL:
        n->has_wall = true;
        if (n->ctl) {
            rmr_ctl_set_wall(n->ctl, now, ev->wall_unix_ns);
            rmr_wg_set_wall(n->wg, now, ev->wall_unix_ns);
        }
        rmri_node_expiry_plan(n, now);
        begin_when_ready(n);
        return RMR_OK;
    case RMR_IO_LINKS:
        rmri_node_links_changed(n, now, ev->links);
        return RMR_OK;
    case RMR_IO_STOP_REQUEST:
        rmr_node_stop(n, now);
        return RMR_OK;
    default:
        return RMR_OK;
    }
}

/* Packets and all else take turns: neither keeps the other waiting. */
static bool take_op(rmr_node *n, rmr_time now, rmr_buf scratch, rmr_io_op *op)
{
    bool data_first = !n->data_last;
    n->data_last = data_first && rmri_node_data_next(n, now, scratch, op);
    if (n->data_last || rmr_mc_next_op(n->mc, now, scratch, op))
        return true;
    n->data_last = !data_first && rmri_node_data_next(n, now, scratch, op);
    return n->data_last;
}

#ifdef RMRI_NODE_CHECK_NEWS
static rmr_time m_next_deadline(const void *self);

/* At the end of a turn nobody may have anything more, whoever was asked: news
 * that are not told would lie there until something else happens.  Builds for
 * tests look each time, and fail the node. */
static void check_news(rmr_node *n, rmr_time now, rmr_buf scratch,
                       rmr_io_op *op)
{
    rmr_time at = m_next_deadline(n);
    if (has_news(n) || n->phase >= ND_PHASE_STOPPING || at <= now)
        return;
    n->dirty = true;
    pump(n, now);
    if (take_op(n, now, scratch, op) || has_news(n) || at != m_next_deadline(n))
        rmri_node_fail(n, now, RMR_E_INTERNAL,
                       "a layer has news that nobody told");
    memset(op, 0, sizeof *op);
}
#else
static void check_news(const rmr_node *n, rmr_time now, rmr_buf scratch,
                       const rmr_io_op *op)
{
    (void)n, (void)now, (void)scratch, (void)op;
}
#endif

static rmr_err m_next_op(void *self, rmr_time now, rmr_buf scratch,
                         rmr_io_op *op)
{
    rmr_node *n = self;
    memset(op, 0, sizeof *op);
    if (n->in_callback)
        return RMR_E_REENTRANT;
    now = clamp(n, now);
    if (scratch.len < RMR_IO_SCRATCH_MIN)
        return RMR_E_BUFSIZE;
    if (n->phase == ND_PHASE_STOPPED)
        return RMR_OK;
    for (int i = 0; i < MAX_PUMPS; i++) {
        pump(n, now);
        while (take_op(n, now, scratch, op)) {
            if (!rmri_node_store_takes(n, now, scratch, op))
                return RMR_OK;
            memset(op, 0, sizeof *op);
        }
        if (!has_news(n))
            break;
    }
    /* Two of our own sockets may talk for ever: others have their turn first. */
    n->again_at = has_news(n) ? rmr_time_add(now, RMR_MS) : RMR_TIME_NEVER;
    note_deadlines(n);
    check_news(n, now, scratch, op);
    if (has_ended(n, now))
        end(n, op);
    return RMR_OK;
}

static rmr_time m_next_deadline(const void *self)
{
    const rmr_node *n = self;
    nd_due due = n->due;
    if (n->phase == ND_PHASE_STOPPED)
        return RMR_TIME_NEVER;
    if (has_news(n) || is_asked(n))
        due = (nd_due){ctl_deadline(n), rmri_node_regions_deadline(n),
                       others_deadline(n)};
    rmr_time at = n->stop_deadline;
    at = rmr_time_min(at, rmr_timers_next(&n->timers));
    at = rmr_time_min(at, rmr_mc_next_deadline(n->mc));
    at = rmr_time_min(at, n->state_at);
    at = rmr_time_min(at, n->cache_at);
    at = rmr_time_min(at, n->again_at);
    at = rmr_time_min(at, n->renew_at);
    at = rmr_time_min(at, n->peer_expiry_at);
    at = rmr_time_min(at, due.ctl);
    at = rmr_time_min(at, due.relays);
    return rmr_time_min(at, due.others);
}

static void conn_timer(nd_conn *c, rmr_time now)
{
    if (c->dns || c->ask)
        rmri_node_conn_end(c, now, false);
    else if (c->kind == ND_CONN_LOCAL)
        rmri_node_local_timer(c, now);
    else
        rmri_node_service_timer(c, now);
}

static rmr_err m_handle_deadline(void *self, rmr_time now)
{
    rmr_node *n = self;
    if (n->in_callback)
        return RMR_E_REENTRANT;
    now = clamp(n, now);
    n->dirty = true;
    for (rmr_timer *t; (t = rmr_timers_pop(&n->timers, now));)
        conn_timer(t->owner, now);
    rmr_mc_handle_deadline(n->mc, now);
    rmri_node_service_handle_deadline(n, now);
    if (now >= n->again_at)
        n->again_at = RMR_TIME_NEVER;
    if (now >= n->state_at) {
        n->state_at = RMR_TIME_NEVER;
        n->state_wanted = true;
    }
    if (now >= n->cache_at)
        rmri_node_cache_save(n);
    rmri_node_login_handle_deadline(n, now);
    rmri_node_expiry_handle_deadline(n, now);
    if (n->ctl)
        rmri_node_check(n, now, rmr_ctl_handle_deadline(n->ctl, now));
    rmri_node_regions_handle_deadline(n, now);
    if (n->wg)
        rmri_node_check(n, now, rmr_wg_handle_deadline(n->wg, now));
    if (n->ns)
        rmri_node_check(n, now, rmr_ns_handle_deadline(n->ns, now));
    if (n->paths)
        rmri_node_check(n, now, rmr_paths_handle_deadline(n->paths, now));
    if (n->netcheck)
        rmri_node_netcheck_handle_deadline(n, now);
    rmri_node_portmap_handle_deadline(n, now);
    rmri_node_dns_handle_deadline(n, now);
    return RMR_OK;
}

rmr_machine rmr_node_machine(rmr_node *n)
{
    rmr_machine m = {n, m_event, m_next_op, m_next_deadline, m_handle_deadline};
    return m;
}

void rmri_node_timer_set(rmr_node *n, rmr_timer *t, rmr_time at)
{
    rmr_timers_set(&n->timers, t, at); /* has room for every connection's */
}
