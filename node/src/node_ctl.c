/* The control client and the node: its stream, its states, what it learns. */
#include "node_internal.h"

#include <stdio.h>
#include <string.h>

static void link_opened(void *owner, rmr_time now)
{
    rmr_node *n = owner;
    rmr_ctl_stream_opened(n->ctl, now);
}

static void link_closed(void *owner, rmr_time now, rmr_err why,
                        const char *text)
{
    rmr_node *n = owner;
    rmr_ctl_stream_closed(n->ctl, now, why, text);
}

static rmr_err link_read(void *owner, rmr_time now, rmr_buf data)
{
    rmr_node *n = owner;
    n->from_server = true;
    rmr_err err = rmr_ctl_read(n->ctl, now, data);
    n->from_server = false;
    return err;
}

static rmr_err link_write(void *owner, rmr_time now, rmr_buf dst, size_t *len)
{
    rmr_node *n = owner;
    return rmr_ctl_write(n->ctl, now, dst, len);
}

static void link_stir(void *owner)
{
    ((rmr_node *)owner)->ctl_news = true;
}

static const rmr_mc_link_ops ctl_link_ops = {
    .opened = link_opened,
    .closed = link_closed,
    .read = link_read,
    .write = link_write,
    .stir = link_stir,
};

/* What the client says by a callback may be anybody's news. */
static rmr_node *told(void *user)
{
    rmr_node *n = user;
    n->dirty = true;
    return n;
}

/* What to do about faults that are not the control protocol's own. */
static const char *advice(rmr_err err)
{
    switch (err) {
    case RMR_E_TLS_UNKNOWN_CA:
        return "give its authority's certificate by --ca-file";
    case RMR_E_TLS_NAME:
        return "use the name that the certificate has";
    case RMR_E_TLS_PROTOCOL:
        return "check that the URL's scheme and port are right";
    case RMR_E_NOTFOUND:
        return "check the name in the URL, and this machine's name servers";
    case RMR_E_REFUSED:
    case RMR_E_UNREACHABLE:
    case RMR_E_TIMEOUT:
        return "check the URL, and that the server runs";
    default:
        return "check the server, and what is on the way to it";
    }
}

static void say(rmr_node *n, const char *text)
{
    if (rmr_text_keep(&n->ctl_text, &n->env.alloc, rmr_bytes_str(text)))
        (void)rmr_text_keep(&n->ctl_text, &n->env.alloc, rmr_bytes_str(""));
}

/* One sentence of the client's error and its details, which may be the
 * server's words: what happened, and what to do. */
static void say_why(rmr_node *n, rmr_err err, const char *details)
{
    char text[512];
    const char *what = rmr_node_err_text(err);
    bool more = details[0] && !rmr_bytes_eq_str(rmr_bytes_str(details), what);
    if (-err / 1000 == RMR_LAYER_CTL && more)
        snprintf(text, sizeof text, "%.250s (%.250s)", what, details);
    else if (-err / 1000 == RMR_LAYER_CTL)
        snprintf(text, sizeof text, "%s", what);
    else
        snprintf(text, sizeof text, "control server %.200s: %.180s: %s",
                 rmr_text_kept(n->url), details[0] ? details : what,
                 advice(err));
    say(n, text);
}

static void on_failed(rmr_node *n, rmr_err err, const char *text)
{
    if (n->renew_waits && err == RMR_E_CTL_KEY_EXPIRED)
        return; /* another key follows, once it is stored */
    /* Once it ran, a refusal leaves the data plane up (a server that lost its
     * database must not cut running connections). */
    if (n->running_told) {
        rmri_node_trouble(n, err, text);
        rmri_node_set_state(n, RMR_NODE_NEEDS_LOGIN, "");
        return;
    }
    rmri_node_fail(n, n->now, err, text);
}

static void on_state(void *user, rmr_ctl_state state, rmr_err err,
                     const char *text)
{
    rmr_node *n = told(user);
    n->ctl_state = state;
    if (!text)
        text = "";
    say(n, text);
    switch (state) {
    case RMR_CTL_NEEDS_LOGIN:
        if (n->renewing) /* the key before polls already */
            rmri_node_cache_overtaken(n);
        rmri_node_login_url(n, text);
        break;
    case RMR_CTL_REGISTERING:
        if (n->renewing)
            rmri_node_cache_overtaken(n);
        break;
    case RMR_CTL_CONNECTED:
        rmri_node_cache_overtaken(n);
        break;
    case RMR_CTL_DOWN:
        say_why(n, err, text);
        rmri_node_trouble(n, err, rmr_text_kept(n->ctl_text));
        rmri_node_peers_stopgap(n);
        break;
    case RMR_CTL_FAILED:
        say_why(n, err, text);
        on_failed(n, err, rmr_text_kept(n->ctl_text));
        break;
    case RMR_CTL_LOGGED_OUT:
        say_why(n, err, text);
        rmri_node_login_out(n, err, rmr_text_kept(n->ctl_text));
        break;
    default:
        break;
    }
}

static void on_key_expired(void *user)
{
    rmri_node_login_expired(told(user));
}

static void on_key_refused(void *user, rmr_err err, const char *text)
{
    rmr_node *n = told(user);
    say_why(n, err, text);
    rmri_node_trouble(n, err, rmr_text_kept(n->ctl_text));
    rmri_node_login_refused(n, err);
}

static void on_server_key(void *user, const uint8_t key[RMR_KEY_LEN])
{
    rmr_node *n = told(user);
    memcpy(n->keys.server, key, RMR_KEY_LEN);
    n->keys.has_server = true;
    rmri_node_state_soon(n);
}

static void on_upgrade_form(void *user, bool websocket)
{
    rmr_node *n = told(user);
    n->keys.websocket = websocket;
    n->state_wanted = true;
}

static void on_registered(void *user, const char *login, const char *display)
{
    rmr_node *n = told(user);
    (void)display;
    n->keys.registered = true;
    rmri_node_login_registered(n);
    rmr_bytes name = rmr_bytes_str(rmr_text_kept(login));
    if (name.len >= ND_LOGIN_MAX)
        name.len = ND_LOGIN_MAX - 1;
    (void)rmr_text_keep(&n->keys.login, &n->env.alloc, name); /* as it was */
    rmri_node_state_soon(n);
    if (n->auth_key)
        rmr_release_wiped(&n->env.alloc, n->auth_key, n->auth_key_size);
    n->auth_key = NULL;
    if (n->state == RMR_NODE_NEEDS_LOGIN)
        rmri_node_set_state(n, n->live ? RMR_NODE_RUNNING : RMR_NODE_STARTING,
                            "");
}

rmr_err rmri_node_ctl_tell_host(rmr_node *n, rmr_time now)
{
    rmr_err err = rmr_ctl_set_host(n->ctl, now, n->keys.prefs.hostname,
                                   n->keys.prefs.shields_up);
    return err == RMR_E_NOMEM ? err : RMR_OK; /* else it has no name */
}

rmr_err rmri_node_ctl_start(rmr_node *n, rmr_time now)
{
    rmr_ctl_config cfg;
    rmr_ctl_callbacks cb = {0};
    cb.struct_size = sizeof cb;
    cb.user = n;
    cb.on_state = on_state;
    cb.on_server_key = on_server_key;
    cb.on_registered = on_registered;
    cb.on_key_expired = on_key_expired;
    cb.on_key_refused = on_key_refused;
    cb.on_upgrade_form = on_upgrade_form;
    rmr_ctl_config_init(&cfg, sizeof cfg);
    cfg.url = n->url;
    cfg.auth_key = n->auth_key;
    cfg.hostname = n->keys.prefs.hostname;
    cfg.os_version = n->os_version;
    cfg.product = rmr_text_kept(n->product);
    cfg.ephemeral = n->ephemeral;
    cfg.keep_auth_key = n->keep_auth_key;
    const char *tags[ND_MAX_TAGS];
    cfg.tags = tags;
    cfg.n_tags = rmri_node_tags(&n->keys.prefs, tags);
    n->has_auth_key = n->auth_key && n->keep_auth_key;
    cfg.accept_control_key = n->accept_control_key;
    memcpy(cfg.machine_key, n->keys.machine, RMR_KEY_LEN);
    memcpy(cfg.node_public, n->node_public, RMR_KEY_LEN);
    if (n->renewing)
        rmr_x25519_public(cfg.next_node_public, n->keys.node);
    if (n->auth_key) /* no login is needed */
        (void)rmr_text_keep(&n->keys.auth_url, &n->env.alloc,
                            rmr_bytes_str(""));
    cfg.auth_url = n->keys.auth_url;
    memcpy(cfg.disco_public, n->disco_public, RMR_KEY_LEN);
    if (n->keys.has_server)
        memcpy(cfg.server_key, n->keys.server, RMR_KEY_LEN);
    cfg.websocket_first = n->keys.websocket;
    cfg.wall_unix_ns = rmr_mc_wall(n->mc, now);
    rmr_prefix routes[ND_MAX_OFFERED + 2];
    cfg.n_routes = rmri_node_routes_told(n, routes);
    cfg.routes = routes;
    cfg.exit_node_id = n->routes.exit_id;
    cfg.hold = n->keys_wait; /* for keys that a death now would lose */
    cfg.netmap = n->nm;
    cfg.h2_frame = n->h2_frame;
    cfg.decoder = n->decoder;
    cfg.callbacks = &cb;
    n->ctl_link = rmr_mc_link_new(n->mc, &ctl_link_ops, n);
    rmr_err err =
        n->ctl_link ? rmr_ctl_new(&n->ctl, &n->env, &cfg, now) : RMR_E_NOMEM;
    rmr_wipe(cfg.machine_key, sizeof cfg.machine_key);
    if (err == RMR_OK)
        err = rmri_node_ctl_tell_host(n, now);
    return err;
}

void rmri_node_ctl_pump(rmr_node *n, rmr_time now)
{
    rmr_dial dial;
    if (rmr_ctl_wants_close(n->ctl))
        rmr_mc_link_close(n->ctl_link, now);
    if (n->phase == ND_PHASE_UP && rmr_ctl_wants_stream(n->ctl, now, &dial))
        rmr_mc_link_dial(n->ctl_link, now, &dial);
    rmr_mc_link_output(n->ctl_link);
}

void rmri_node_ctl_free(rmr_node *n)
{
    rmr_mc_link_free(n->ctl_link);
    n->ctl_link = NULL;
    rmr_ctl_free(n->ctl);
    n->ctl = NULL;
}
