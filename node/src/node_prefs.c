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

/* ---- those that are kept ------------------------------------------------ */

void rmri_node_prefs_wipe(nd_prefs *p, const rmr_alloc *a)
{
    (void)rmr_text_keep(&p->exit_node, a, rmr_bytes_str(""));
    rmr_release(a, p->routes, p->n_routes * sizeof *p->routes);
    rmr_release(a, p->tags, p->tags_len);
    rmr_wipe(p, sizeof *p);
}

rmr_err rmri_node_prefs_routes(nd_prefs *p, const rmr_alloc *a,
                               const rmr_prefix *routes, size_t n)
{
    rmr_prefix *own = NULL;
    if (n) {
        own = rmr_alloc_raw(a, n * sizeof *own, _Alignof(rmr_prefix));
        if (!own)
            return RMR_E_NOMEM;
        memcpy(own, routes, n * sizeof *own);
    }
    rmr_release(a, p->routes, p->n_routes * sizeof *p->routes);
    p->routes = own;
    p->n_routes = n;
    return RMR_OK;
}

static rmr_err set_tags(nd_prefs *p, const rmr_alloc *a, const char *tags,
                        size_t len, size_t n)
{
    char *own = NULL;
    if (len) {
        own = rmr_alloc_raw(a, len, 1);
        if (!own)
            return RMR_E_NOMEM;
        memcpy(own, tags, len);
    }
    rmr_release(a, p->tags, p->tags_len);
    p->tags = own;
    p->tags_len = len;
    p->n_tags = n;
    return RMR_OK;
}

/* *to holds nothing, before and after an error. */
static rmr_err copy(nd_prefs *to, const rmr_alloc *a, const nd_prefs *from)
{
    *to = *from;
    to->exit_node = to->tags = NULL;
    to->routes = NULL;
    to->n_routes = to->n_tags = to->tags_len = 0;
    rmr_err err = rmr_text_keep(&to->exit_node, a,
                                rmr_bytes_str(rmr_text_kept(from->exit_node)));
    if (!err)
        err = rmri_node_prefs_routes(to, a, from->routes, from->n_routes);
    if (!err)
        err = set_tags(to, a, from->tags, from->tags_len, from->n_tags);
    if (err)
        rmri_node_prefs_wipe(to, a);
    return err;
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

static void set_name(nd_prefs *p, const char *name)
{
    size_t len = strlen(name); /* checked before */
    memset(p->hostname, 0, sizeof p->hostname);
    if (len < sizeof p->hostname)
        memcpy(p->hostname, name, len);
}

static void merge_flags(nd_prefs *p, const rmr_node_prefs *v)
{
    uint32_t g = v->given;
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

/* Errors: NOMEM; a part is merged then. */
static rmr_err merge(nd_prefs *p, const rmr_alloc *a, const rmr_node_prefs *v)
{
    rmr_err err = RMR_OK;
    merge_flags(p, v);
    if (v->given & RMR_NODE_PREF_HOSTNAME)
        set_name(p, v->hostname);
    if (v->given & RMR_NODE_PREF_EXIT_NODE)
        err = rmr_text_keep(&p->exit_node, a,
                            rmr_bytes_str(rmr_text_kept(v->exit_node)));
    if (!err && (v->given & RMR_NODE_PREF_ADVERTISE_ROUTES))
        err = rmri_node_prefs_routes(p, a, v->advertise_routes,
                                     v->n_advertise_routes);
    return err;
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
    out->exit_node = rmr_text_kept(p->exit_node);
    out->exit_node_allow_lan = p->exit_node_allow_lan;
    out->accept_dns = p->accept_dns;
    out->shields_up = p->shields_up;
    out->wanted = p->wanted;
}

static rmr_err check_routes(const nd_prefs *p)
{
    return rmri_node_routes_check(p->routes, p->n_routes, p->exit_node);
}

/* ---- tags -------------------------------------------------------------- */

rmr_err rmri_node_tags_add(nd_prefs *p, const rmr_alloc *a, rmr_bytes tag)
{
    char all[ND_TAGS_LEN];
    size_t at = p->tags_len;
    if (tag.len < 5 || memcmp(tag.ptr, "tag:", 4) != 0 ||
        memchr(tag.ptr, 0, tag.len))
        return RMR_E_MALFORMED;
    /* One byte more: control ends its list by another zero. */
    if (p->n_tags == ND_MAX_TAGS || tag.len + 2 > sizeof all - at)
        return RMR_E_TOOBIG;
    if (at)
        memcpy(all, p->tags, at);
    memcpy(all + at, tag.ptr, tag.len);
    all[at + tag.len] = 0;
    return set_tags(p, a, all, at + tag.len + 1, p->n_tags + 1);
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
    const rmr_alloc *a = &n->env.alloc;
    rmr_err err = merge(n->asked, a, &v);
    if (!err)
        err = merge(n->asked, a, &host);
    n->asked_given = (v.given | host.given) & RMR_NODE_PREF_ALL;
    n->asked_tags = cfg->tags != NULL;
    for (size_t i = 0; !err && i < cfg->n_tags; i++) {
        if (!cfg->tags || !cfg->tags[i])
            return RMR_E_INVAL;
        err = rmri_node_tags_add(n->asked, a, rmr_bytes_str(cfg->tags[i]));
    }
    return err == RMR_OK || err == RMR_E_NOMEM ? err : RMR_E_INVAL;
}

/* What was asked for goes over, its memory too. */
static void move_asked(rmr_node *n)
{
    nd_prefs *from = n->asked, *to = &n->keys.prefs, old = *to;
    if (n->asked_given & RMR_NODE_PREF_EXIT_NODE) {
        to->exit_node = from->exit_node;
        from->exit_node = old.exit_node;
    }
    if (n->asked_given & RMR_NODE_PREF_ADVERTISE_ROUTES) {
        to->routes = from->routes;
        to->n_routes = from->n_routes;
        from->routes = old.routes;
        from->n_routes = old.n_routes;
    }
    if (n->asked_tags) {
        to->tags = from->tags;
        to->tags_len = from->tags_len;
        to->n_tags = from->n_tags;
        from->tags = old.tags;
        from->tags_len = old.tags_len;
    }
}

void rmri_node_prefs_settle(rmr_node *n)
{
    rmr_node_prefs v;
    if (!n->asked)
        return;
    nd_prefs *p = &n->keys.prefs;
    view(&v, n->asked, n->asked_given);
    merge_flags(p, &v);
    if (n->asked_given & RMR_NODE_PREF_HOSTNAME)
        set_name(p, v.hostname);
    move_asked(n);
    if (n->asked_given & RMR_NODE_PREF_EXIT_NODE)
        p->exit_id[0] = 0; /* a name that is said anew is looked up anew */
    rmri_node_prefs_free(n);
    if (check_routes(p) == RMR_OK)
        rmri_node_routes_set(n, true);
    else
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
    if (n->asked)
        rmri_node_prefs_wipe(n->asked, &n->env.alloc);
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
    nd_prefs *p = &n->keys.prefs;
    const rmr_alloc *a = &n->env.alloc;
    rmr_err err = copy(&next, a, p);
    if (err)
        return err;
    err = merge(&next, a, &v);
    if (!err)
        err = check_routes(&next);
    if (err) {
        rmri_node_prefs_wipe(&next, a);
        return err;
    }
    bool other = !rmri_node_same_text(rmr_text_kept(next.exit_node),
                                      rmri_node_exit_text(n));
    nd_prefs old = *p;
    *p = next;
    rmri_node_routes_set(n, other);
    rmri_node_prefs_wipe(&old, a);
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
