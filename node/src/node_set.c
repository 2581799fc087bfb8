/* Preferences at the local endpoint: shown, and changed while the node runs. */
#include "node_internal.h"

#include <remora/text.h>
#include <stdio.h>
#include <string.h>

enum {
    S_OP = 1,
    S_HOSTNAME,
    S_ROUTES,
    S_ADVERTISE_EXIT,
    S_ACCEPT_ROUTES,
    S_EXIT_NODE,
    S_ALLOW_LAN,
    S_ACCEPT_DNS,
    S_SHIELDS_UP
};

static const rmr_json_field fields[] = {
    {"op", S_OP, NULL, 0},
    {"hostname", S_HOSTNAME, NULL, 0},
    {"advertise_routes", S_ROUTES, NULL, 0},
    {"advertise_exit_node", S_ADVERTISE_EXIT, NULL, 0},
    {"accept_routes", S_ACCEPT_ROUTES, NULL, 0},
    {"exit_node", S_EXIT_NODE, NULL, 0},
    {"exit_node_allow_lan", S_ALLOW_LAN, NULL, 0},
    {"accept_dns", S_ACCEPT_DNS, NULL, 0},
    {"shields_up", S_SHIELDS_UP, NULL, 0},
};

typedef struct wish {
    rmr_node_prefs prefs;
    char hostname[64], exit_node[RMR_NODE_MAX_EXIT_NODE + 1];
    rmr_prefix routes[RMR_NODE_MAX_ROUTES];
    const char *wrong; /* the name of a field; NULL: none */
} wish;

static rmr_err refuse(wish *s, const char *field)
{
    s->wrong = field;
    return RMR_E_MALFORMED;
}

static rmr_err text_of(wish *s, const char *field, rmr_json_kind kind,
                       rmr_bytes text, char *dst, size_t cap)
{
    if (kind != RMR_JSON_STRING || text.len >= cap ||
        (text.len && memchr(text.ptr, 0, text.len)))
        return refuse(s, field);
    if (text.len)
        memcpy(dst, text.ptr, text.len);
    dst[text.len] = 0;
    return RMR_OK;
}

static rmr_err flag_of(wish *s, const char *field, rmr_json_kind kind,
                       uint32_t bit, bool *dst)
{
    if (kind != RMR_JSON_TRUE && kind != RMR_JSON_FALSE)
        return refuse(s, field);
    *dst = kind == RMR_JSON_TRUE;
    s->prefs.given |= bit;
    return RMR_OK;
}

/* The field is an array; an empty one takes all of them back. */
static rmr_err route_of(wish *s, rmr_json_kind kind, rmr_bytes text)
{
    if (kind != RMR_JSON_STRING ||
        s->prefs.n_advertise_routes == RMR_NODE_MAX_ROUTES ||
        rmr_prefix_parse(text, &s->routes[s->prefs.n_advertise_routes]) !=
            RMR_OK)
        return refuse(s, "advertise_routes");
    s->prefs.n_advertise_routes++;
    return RMR_OK;
}

static rmr_err on_value(void *user, uint32_t id, rmr_json_kind kind,
                        rmr_bytes text)
{
    wish *s = user;
    rmr_node_prefs *p = &s->prefs;
    switch (id) {
    case S_HOSTNAME:
        p->given |= RMR_NODE_PREF_HOSTNAME;
        return text_of(s, "hostname", kind, text, s->hostname,
                       sizeof s->hostname);
    case S_EXIT_NODE:
        p->given |= RMR_NODE_PREF_EXIT_NODE;
        return text_of(s, "exit_node", kind, text, s->exit_node,
                       sizeof s->exit_node);
    case S_ROUTES:
        return route_of(s, kind, text);
    case S_ADVERTISE_EXIT:
        return flag_of(s, "advertise_exit_node", kind,
                       RMR_NODE_PREF_ADVERTISE_EXIT_NODE,
                       &p->advertise_exit_node);
    case S_ACCEPT_ROUTES:
        return flag_of(s, "accept_routes", kind, RMR_NODE_PREF_ACCEPT_ROUTES,
                       &p->accept_routes);
    case S_ALLOW_LAN:
        return flag_of(s, "exit_node_allow_lan", kind,
                       RMR_NODE_PREF_EXIT_NODE_ALLOW_LAN,
                       &p->exit_node_allow_lan);
    case S_ACCEPT_DNS:
        return flag_of(s, "accept_dns", kind, RMR_NODE_PREF_ACCEPT_DNS,
                       &p->accept_dns);
    case S_SHIELDS_UP:
        return flag_of(s, "shields_up", kind, RMR_NODE_PREF_SHIELDS_UP,
                       &p->shields_up);
    default:
        return RMR_OK;
    }
}

static rmr_err on_nest(void *user, uint32_t id, rmr_json_kind kind)
{
    wish *s = user;
    if (id == S_ROUTES && kind == RMR_JSON_ARRAY)
        s->prefs.given |= RMR_NODE_PREF_ADVERTISE_ROUTES;
    else if (id != 0 && kind == RMR_JSON_OBJECT)
        return RMR_E_MALFORMED;
    return RMR_OK;
}

static rmr_err parse(wish *s, rmr_bytes line)
{
    uint8_t scratch[1024];
    rmr_json_bind b;
    rmr_json_bind_callbacks cb = {s, on_nest, on_value};
    memset(s, 0, sizeof *s);
    rmr_node_prefs_init(&s->prefs, sizeof s->prefs);
    s->prefs.hostname = s->hostname;
    s->prefs.exit_node = s->exit_node;
    s->prefs.advertise_routes = s->routes;
    rmr_json_bind_init(&b, rmr_buf_of(scratch, sizeof scratch), fields,
                       sizeof fields / sizeof fields[0], &cb);
    rmr_err err = rmr_json_bind_feed(&b, line);
    return err == RMR_OK ? rmr_json_bind_end(&b) : err;
}

bool rmri_node_set_line(rmr_node *n, rmr_time now, rmr_bytes line, char *why,
                        size_t cap)
{
    wish s;
    rmr_err err = parse(&s, line);
    if (err != RMR_OK)
        snprintf(why, cap, "%s is not what it should be: see docs/local-api.md",
                 s.wrong ? s.wrong : "the request");
    else if (s.prefs.given == 0)
        snprintf(why, cap, "nothing was given to be set");
    else if ((err = rmr_node_set_prefs(n, now, &s.prefs)) == RMR_E_INVAL)
        snprintf(why, cap,
                 "a name is empty, or a route is none that can be offered");
    else if (err != RMR_OK)
        snprintf(why, cap, "it can't be set now: %s", rmr_node_err_text(err));
    return err == RMR_OK && s.prefs.given != 0;
}

void rmri_node_put_prefs(const rmr_node *n, rmr_jw *w)
{
    char text[RMR_PREFIX_TEXT_MAX];
    rmr_node_prefs p;
    rmr_node_get_prefs(n, &p, sizeof p);
    rmr_jw_object(w);
    rmr_jw_kstr(w, "hostname", p.hostname);
    rmr_jw_key(w, "advertise_routes");
    rmr_jw_array(w);
    for (size_t i = 0; i < p.n_advertise_routes; i++)
        rmr_jw_str(w, rmr_prefix_text(&p.advertise_routes[i], text));
    rmr_jw_array_end(w);
    rmr_jw_kbool(w, "advertise_exit_node", p.advertise_exit_node);
    rmr_jw_kbool(w, "accept_routes", p.accept_routes);
    rmr_jw_kstr(w, "exit_node", p.exit_node);
    rmr_jw_kbool(w, "exit_node_allow_lan", p.exit_node_allow_lan);
    rmr_jw_kbool(w, "accept_dns", p.accept_dns);
    rmr_jw_kbool(w, "shields_up", p.shields_up);
    rmr_jw_object_end(w);
}
