/* What we offer to route, the exit node that we use, and where we answer those
 * who use us as one. */
#include "ctl_internal.h"

#include <string.h>

static bool same(const rmr_ctl *c, const rmr_prefix *routes, size_t n,
                 const char *exit_node_id)
{
    if (n != c->n_routes || !rmri_ctl_same(c->exit_node_id, exit_node_id))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!rmr_prefix_eq(&routes[i], &c->routes[i]))
            return false;
    return true;
}

rmr_err rmr_ctl_set_routes(rmr_ctl *c, rmr_time now, const rmr_prefix *routes,
                           size_t n, const char *exit_node_id)
{
    const char *id = exit_node_id ? exit_node_id : "";
    size_t len = strlen(id);
    if (n > RMR_CTL_MAX_ROUTES || (n && !routes) ||
        len >= sizeof c->exit_node_id)
        return RMR_E_INVAL;
    c->now = now > c->now ? now : c->now;
    if (same(c, routes, n, id))
        return RMR_OK;
    rmr_prefix *own = NULL;
    if (n) {
        own =
            rmr_alloc_raw(&c->env.alloc, n * sizeof *own, _Alignof(rmr_prefix));
        if (!own)
            return RMR_E_NOMEM;
        memcpy(own, routes, n * sizeof *own);
    }
    rmr_release(&c->env.alloc, c->routes, c->n_routes * sizeof *c->routes);
    c->routes = own;
    c->n_routes = n;
    memcpy(c->exit_node_id, id, len + 1);
    c->update_due = true;
    c->update_at = c->now;
    c->update_failures = 0;
    return RMR_OK;
}

void rmr_ctl_set_peerapi(rmr_ctl *c, rmr_time now, uint16_t v4, uint16_t v6)
{
    c->now = now > c->now ? now : c->now;
    if (c->peerapi[0] == v4 && c->peerapi[1] == v6)
        return;
    c->peerapi[0] = v4;
    c->peerapi[1] = v6;
    c->update_due = true;
    c->update_at = c->now;
    c->update_failures = 0;
}

static void put_service(rmr_jw *w, const char *proto, uint16_t port)
{
    if (!port)
        return;
    rmr_jw_object(w);
    rmr_jw_kstr(w, "Proto", proto);
    rmr_jw_ku64(w, "Port", port);
    rmr_jw_object_end(w);
}

static void put_services(rmr_jw *w, const rmr_ctl *c)
{
    rmr_jw_key(w, "Services");
    rmr_jw_array(w);
    put_service(w, "peerapi4", c->peerapi[0]);
    put_service(w, "peerapi6", c->peerapi[1]);
    put_service(w, "peerapi-dns-proxy", 1);
    rmr_jw_array_end(w);
}

void rmri_ctl_put_routes(rmr_jw *w, const rmr_ctl *c)
{
    char text[RMR_PREFIX_TEXT_MAX];
    if (c->n_routes) {
        rmr_jw_key(w, "RoutableIPs");
        rmr_jw_array(w);
        for (size_t i = 0; i < c->n_routes; i++)
            rmr_jw_str(w, rmr_prefix_text(&c->routes[i], text));
        rmr_jw_array_end(w);
    }
    if (c->exit_node_id[0])
        rmr_jw_kstr(w, "ExitNodeID", c->exit_node_id);
    if (c->peerapi[0] || c->peerapi[1])
        put_services(w, c);
}
