/* What we offer to route, and the exit node that we use. */
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
    if (n)
        memcpy(c->routes, routes, n * sizeof *routes);
    c->n_routes = n;
    memcpy(c->exit_node_id, id, len + 1);
    c->update_due = true;
    c->update_at = c->now;
    c->update_failures = 0;
    return RMR_OK;
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
}
