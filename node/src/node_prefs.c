/* What the user wishes of the node: checked, merged by field, put into force
 * and stored with the state. */
#include "node_internal.h"

#include <string.h>

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

void rmr_node_prefs_init(rmr_node_prefs *prefs, size_t struct_size)
{
    rmr_node_prefs p = {0};
    p.struct_size = (uint32_t)struct_size;
    p.hostname = "remora";
    p.exit_node = "";
    p.accept_dns = p.wanted = true;
    memset(prefs, 0, struct_size);
    memcpy(prefs, &p, smaller(struct_size, sizeof p));
}

void rmri_node_prefs_default(nd_prefs *p)
{
    memset(p, 0, sizeof *p);
    memcpy(p->hostname, "remora", sizeof "remora");
    p->accept_dns = p->wanted = true;
}

/* The caller's struct may be an older and shorter one. */
static rmr_err take(rmr_node_prefs *out, const rmr_node_prefs *in)
{
    if (in->struct_size < sizeof in->struct_size)
        return RMR_E_INVAL;
    rmr_node_prefs_init(out, sizeof *out);
    memcpy(out, in, smaller(in->struct_size, sizeof *out));
    return RMR_OK;
}

static bool routes_are_right(const rmr_node_prefs *v)
{
    if (v->n_advertise_routes > RMR_NODE_MAX_ROUTES ||
        (v->n_advertise_routes && !v->advertise_routes))
        return false;
    for (size_t i = 0; i < v->n_advertise_routes; i++) {
        const rmr_prefix *p = &v->advertise_routes[i];
        unsigned most = p->family == RMR_AF_INET    ? 32
                        : p->family == RMR_AF_INET6 ? 128
                                                    : 0;
        if (most == 0 || p->bits > most)
            return false;
    }
    return true;
}

static bool text_fits(const char *text, size_t least, size_t most)
{
    size_t len = text ? strlen(text) : 0;
    return len >= least && len <= most;
}

static bool is_right(const rmr_node_prefs *v)
{
    if ((v->given & RMR_NODE_PREF_HOSTNAME) &&
        !text_fits(v->hostname, 1, sizeof((nd_prefs *)0)->hostname - 1))
        return false;
    if ((v->given & RMR_NODE_PREF_EXIT_NODE) &&
        !text_fits(v->exit_node, 0, RMR_NODE_MAX_EXIT_NODE))
        return false;
    return !(v->given & RMR_NODE_PREF_ADVERTISE_ROUTES) || routes_are_right(v);
}

/* `src` may be `dst`: the caller may hand back what get_prefs gave. */
static void move_text(char *dst, size_t cap, const char *src)
{
    size_t len = src ? strlen(src) : 0;
    if (len >= cap)
        return; /* checked before */
    if (len)
        memmove(dst, src, len);
    memset(dst + len, 0, cap - len);
}

static void merge(nd_prefs *p, const rmr_node_prefs *v)
{
    uint32_t g = v->given;
    if (g & RMR_NODE_PREF_HOSTNAME)
        move_text(p->hostname, sizeof p->hostname, v->hostname);
    if (g & RMR_NODE_PREF_EXIT_NODE)
        move_text(p->exit_node, sizeof p->exit_node, v->exit_node);
    if (g & RMR_NODE_PREF_ADVERTISE_ROUTES) {
        p->n_routes = v->n_advertise_routes;
        if (p->n_routes)
            memmove(p->routes, v->advertise_routes,
                    p->n_routes * sizeof *p->routes);
    }
    if (g & RMR_NODE_PREF_ADVERTISE_EXIT_NODE)
        p->advertise_exit_node = v->advertise_exit_node;
    if (g & RMR_NODE_PREF_ACCEPT_ROUTES)
        p->accept_routes = v->accept_routes;
    if (g & RMR_NODE_PREF_EXIT_NODE_ALLOW_LAN)
        p->exit_node_allow_lan = v->exit_node_allow_lan;
    if (g & RMR_NODE_PREF_ACCEPT_DNS)
        p->accept_dns = v->accept_dns;
    if (g & RMR_NODE_PREF_SHIELDS_UP)
        p->shields_up = v->shields_up;
    if (g & RMR_NODE_PREF_WANTED)
        p->wanted = v->wanted;
}

static void view(rmr_node_prefs *out, const nd_prefs *p, uint32_t given)
{
    rmr_node_prefs_init(out, sizeof *out);
    out->given = given;
    out->hostname = p->hostname;
    out->advertise_routes = p->n_routes ? p->routes : NULL;
    out->n_advertise_routes = p->n_routes;
    out->advertise_exit_node = p->advertise_exit_node;
    out->accept_routes = p->accept_routes;
    out->exit_node = p->exit_node;
    out->exit_node_allow_lan = p->exit_node_allow_lan;
    out->accept_dns = p->accept_dns;
    out->shields_up = p->shields_up;
    out->wanted = p->wanted;
}

static rmr_err apply_routes(rmr_node *n, const nd_prefs *p)
{
    nd_routes_wish w = {p->routes,
                        p->n_routes,
                        p->advertise_exit_node,
                        p->accept_routes,
                        p->exit_node_allow_lan,
                        p->exit_node};
    return rmri_node_routes_set(n, &w);
}

/* ---- tags -------------------------------------------------------------- */

rmr_err rmri_node_tags_add(nd_prefs *p, rmr_bytes tag)
{
    size_t at = 0;
    for (size_t i = 0; i < p->n_tags; i++)
        at += strlen(p->tags + at) + 1;
    if (tag.len < 5 || memcmp(tag.ptr, "tag:", 4) != 0 ||
        memchr(tag.ptr, 0, tag.len))
        return RMR_E_MALFORMED;
    /* One byte more: control ends its list by another zero. */
    if (p->n_tags == ND_MAX_TAGS || tag.len + 2 > sizeof p->tags - at)
        return RMR_E_TOOBIG;
    memcpy(p->tags + at, tag.ptr, tag.len);
    p->tags[at + tag.len] = 0;
    p->n_tags++;
    return RMR_OK;
}

size_t rmri_node_tags(const nd_prefs *p, const char *tags[ND_MAX_TAGS])
{
    const char *at = p->tags;
    for (size_t i = 0; i < p->n_tags; i++) {
        tags[i] = at;
        at += strlen(at) + 1;
    }
    return p->n_tags;
}

/* ---- of the configuration ---------------------------------------------- */

/* What the configuration has of routes; to take one back is for cfg->prefs. */
static void ask_routes(rmr_node_prefs *v, const rmr_node_config *cfg)
{
    v->advertise_routes = cfg->advertise_routes;
    v->n_advertise_routes = cfg->n_advertise_routes;
    v->advertise_exit_node = cfg->advertise_exit_node;
    v->accept_routes = cfg->accept_routes;
    v->exit_node = cfg->exit_node ? cfg->exit_node : "";
    v->exit_node_allow_lan = cfg->exit_node_allow_lan;
    v->given |= cfg->n_advertise_routes ? RMR_NODE_PREF_ADVERTISE_ROUTES : 0;
    v->given |=
        cfg->advertise_exit_node ? RMR_NODE_PREF_ADVERTISE_EXIT_NODE : 0;
    v->given |= cfg->accept_routes ? RMR_NODE_PREF_ACCEPT_ROUTES : 0;
    v->given |= cfg->exit_node ? RMR_NODE_PREF_EXIT_NODE : 0;
    v->given |=
        cfg->exit_node_allow_lan ? RMR_NODE_PREF_EXIT_NODE_ALLOW_LAN : 0;
}

rmr_err rmri_node_prefs_ask(rmr_node *n, const rmr_node_config *cfg)
{
    rmr_node_prefs host, v;
    rmr_node_prefs_init(&host, sizeof host);
    rmr_node_prefs_init(&v, sizeof v);
    host.hostname = cfg->hostname;
    host.given = cfg->hostname ? RMR_NODE_PREF_HOSTNAME : 0;
    ask_routes(&host, cfg);
    if ((cfg->prefs && take(&v, cfg->prefs) != RMR_OK) || !is_right(&host) ||
        !is_right(&v))
        return RMR_E_INVAL;
    n->asked =
        rmr_alloc_zero(&n->env.alloc, sizeof *n->asked, _Alignof(nd_prefs));
    if (!n->asked)
        return RMR_E_NOMEM;
    rmri_node_prefs_default(&n->keys.prefs);
    merge(n->asked, &v);
    merge(n->asked, &host);
    n->asked_given = (v.given | host.given) & RMR_NODE_PREF_ALL;
    n->asked_tags = cfg->tags != NULL;
    for (size_t i = 0; i < cfg->n_tags; i++)
        if (!cfg->tags || !cfg->tags[i] ||
            rmri_node_tags_add(n->asked, rmr_bytes_str(cfg->tags[i])) != RMR_OK)
            return RMR_E_INVAL;
    return RMR_OK;
}

void rmri_node_prefs_settle(rmr_node *n)
{
    rmr_node_prefs v;
    if (!n->asked)
        return;
    nd_prefs *p = &n->keys.prefs;
    view(&v, n->asked, n->asked_given);
    merge(p, &v);
    if (n->asked_tags) {
        memcpy(p->tags, n->asked->tags, sizeof p->tags);
        p->n_tags = n->asked->n_tags;
    }
    if (n->asked_given & RMR_NODE_PREF_EXIT_NODE)
        p->exit_id[0] = 0; /* a name that is said anew is looked up anew */
    rmri_node_prefs_free(n);
    if (apply_routes(n, &n->keys.prefs) != RMR_OK)
        rmri_node_trouble(n, RMR_E_INVAL,
                          "the stored routes are not valid ones: set them "
                          "again");
    memcpy(n->routes.exit_id, p->exit_id, sizeof p->exit_id);
}

void rmri_node_prefs_exit_found(rmr_node *n)
{
    nd_prefs *p = &n->keys.prefs;
    if (memcmp(p->exit_id, n->routes.exit_id, sizeof p->exit_id) == 0)
        return;
    memcpy(p->exit_id, n->routes.exit_id, sizeof p->exit_id);
    n->state_wanted = true;
}

void rmri_node_prefs_free(rmr_node *n)
{
    rmr_release(&n->env.alloc, n->asked, sizeof *n->asked);
    n->asked = NULL;
}

/* ---- while it runs ----------------------------------------------------- */

rmr_err rmr_node_set_prefs(rmr_node *n, rmr_time now,
                           const rmr_node_prefs *prefs)
{
    rmr_node_prefs v;
    nd_prefs next;
    if (take(&v, prefs) != RMR_OK || !is_right(&v))
        return RMR_E_INVAL;
    if (n->phase != ND_PHASE_UP || n->only_netcheck)
        return RMR_E_NOTREADY;
    next = n->keys.prefs;
    merge(&next, &v);
    rmr_err err = apply_routes(n, &next); /* changes nothing where it fails */
    if (err != RMR_OK)
        return err;
    n->keys.prefs = next;
    rmri_node_prefs_exit_found(n);
    if (v.given & (RMR_NODE_PREF_HOSTNAME | RMR_NODE_PREF_SHIELDS_UP))
        err = rmri_node_ctl_tell_host(n, now);
    n->state_wanted = true;
    rmri_node_dns_changed(n); /* accept_dns, and the exit node */
    return err;
}

void rmr_node_get_prefs(const rmr_node *n, rmr_node_prefs *out,
                        size_t struct_size)
{
    rmr_node_prefs v;
    view(&v, &n->keys.prefs, RMR_NODE_PREF_ALL);
    v.struct_size = (uint32_t)struct_size;
    memset(out, 0, struct_size);
    memcpy(out, &v, smaller(struct_size, sizeof v));
}
