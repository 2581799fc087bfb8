/* The REST API: nodes, and the logins by which they come. */
#include "crd_api.h"

#include <stdio.h>
#include <string.h>

#define MISSING "node not found"

/* What Headscale shows differs by the answer that a node is in. */
typedef enum shown {
    SHOW_ONE,      /* no user where it is tagged, no routes served */
    SHOW_LIST,     /* the user of all tagged nodes, routes served  */
    SHOW_APPROVED, /* routes served, without those of exit nodes  */
    SHOW_FAKE      /* it is none yet                              */
} shown;

/* ---- a node as JSON ------------------------------------------------------ */

static void put_tagged_user(rmr_jw *w)
{
    rmr_jw_object(w);
    rmri_crd_put_id(w, "id", CRD_TAGGED_USER);
    rmr_jw_kstr(w, "name", "tagged-devices");
    rmri_crd_put_time(w, "createdAt", 1);
    rmr_jw_kstr(w, "displayName", "Tagged Devices");
    rmr_jw_kstr(w, "email", "");
    rmr_jw_kstr(w, "providerId", "");
    rmr_jw_kstr(w, "provider", "");
    rmr_jw_kstr(w, "profilePicUrl", "");
    rmr_jw_object_end(w);
}

static void put_public(rmr_jw *w, const char *key, const char *front,
                       const uint8_t bytes[RMR_KEY_LEN])
{
    char text[16 + 2 * RMR_KEY_LEN + 1];
    size_t n = strlen(front);
    memcpy(text, front, n);
    rmr_hex(text + n, bytes, RMR_KEY_LEN);
    rmr_jw_kstr(w, key, text);
}

static void put_addrs(rmr_jw *w, const crd_node *n)
{
    const rmr_addr *both[] = {&n->v4, &n->v6};
    char text[RMR_ADDR_TEXT_MAX];
    rmr_jw_key(w, "ipAddresses");
    rmr_jw_array(w);
    for (size_t i = 0; i < 2; i++) {
        if (both[i]->family != RMR_AF_NONE)
            rmr_jw_str(w, rmr_addr_ip_text(both[i], text));
    }
    rmr_jw_array_end(w);
}

static void put_prefix(rmr_jw *w, const rmr_prefix *p)
{
    char text[RMR_PREFIX_TEXT_MAX];
    rmr_jw_str(w, rmr_prefix_text(p, text));
}

static void put_prefixes(rmr_jw *w, const char *key, const rmr_prefix *p,
                         size_t n)
{
    rmr_jw_key(w, key);
    rmr_jw_array(w);
    for (size_t i = 0; i < n; i++)
        put_prefix(w, &p[i]);
    rmr_jw_array_end(w);
}

static void put_served(rmr_jw *w, const rmr_coord *c, const crd_node *n,
                       shown how)
{
    rmr_jw_key(w, "subnetRoutes");
    rmr_jw_array(w);
    for (size_t i = 0; n->n_approved && i < n->n_announced; i++) {
        const rmr_prefix *p = &n->announced[i];
        if (how != SHOW_ONE && (how == SHOW_LIST || !rmri_crd_is_exit(p)) &&
            rmri_crd_serves(c, n, p))
            put_prefix(w, p);
    }
    rmr_jw_array_end(w);
}

static void put_node(rmr_jw *w, const rmr_coord *c, const crd_node *n,
                     shown how)
{
    rmr_jw_object(w);
    rmri_crd_put_id(w, "id", n->id);
    put_public(w, "machineKey", "mkey:", n->machine);
    put_public(w, "nodeKey", "nodekey:", n->key);
    put_public(w, "discoKey", "discokey:", n->disco);
    put_addrs(w, n);
    rmr_jw_kstr(w, "name", n->hostname);
    rmr_jw_key(w, "user");
    if (rmri_crd_is_tagged(n) && how == SHOW_LIST)
        put_tagged_user(w);
    else
        rmri_crd_put_user(w, rmri_crd_is_tagged(n) ? NULL : n->user);
    rmri_crd_put_time(w, "lastSeen", n->last_seen);
    rmri_crd_put_time(w, "expiry", n->expiry);
    rmr_jw_key(w, "preAuthKey");
    rmri_crd_put_key(w, c, rmri_crd_key(c, n->key_id), NULL);
    rmri_crd_put_time(w, "createdAt", n->created);
    rmr_jw_kstr(w, "registerMethod",
                how == SHOW_FAKE ? "REGISTER_METHOD_UNSPECIFIED"
                : n->key_id      ? "REGISTER_METHOD_AUTH_KEY"
                                 : "REGISTER_METHOD_CLI");
    rmr_jw_kstr(w, "givenName", n->given);
    rmr_jw_kbool(w, "online", n->online);
    put_prefixes(w, "approvedRoutes", n->approved, n->n_approved);
    put_prefixes(w, "availableRoutes", n->announced, n->n_announced);
    put_served(w, c, n, how);
    rmr_jw_key(w, "tags");
    rmr_jw_array(w);
    for (size_t i = 0; i < n->tags.n; i++)
        rmr_jw_str(w, n->tags.p[i]);
    rmr_jw_array_end(w);
    rmr_jw_object_end(w);
}

static void send_node(crd_conn *n, uint64_t id, shown how)
{
    const crd_node *node = rmri_crd_node(n->c, id);
    rmr_jw w;
    if (!node) {
        rmri_crd_api_problem(n, 404, MISSING, NULL);
        return;
    }
    rmri_crd_api_begin(n, &w);
    rmr_jw_object(&w);
    rmr_jw_key(&w, "node");
    put_node(&w, n->c, node, how);
    rmr_jw_object_end(&w);
    rmri_crd_api_send(n, &w, NULL);
}

static void done(crd_conn *n, rmr_err e, uint64_t id, const char *detail,
                 shown how)
{
    if (e == RMR_OK)
        send_node(n, id, how);
    else
        rmri_crd_api_failed(n, e, detail, MISSING);
}

/* ---- nodes --------------------------------------------------------------- */

static bool next_node(crd_conn *n, crd_reply *r, rmr_jw *w)
{
    rmr_coord_node at;
    while (rmr_coord_node_next(n->c, r->after, &at) == RMR_OK) {
        const crd_node *node = rmri_crd_node(n->c, at.id);
        r->after = at.id;
        if (r->user && (rmri_crd_is_tagged(node) || !node->user ||
                        node->user->id != r->user))
            continue;
        put_node(w, n->c, node, SHOW_LIST);
        return true;
    }
    return false;
}

void rmri_crd_do_node_list(crd_conn *n, crd_call *q)
{
    char name[CRD_API_ARG_MAX + 1];
    const crd_user *u = NULL;
    bool of_user = rmri_crd_api_param(q, "user", name) && *name;
    if (of_user)
        u = rmri_crd_user_named(n->c, name);
    if (of_user && !u)
        rmri_crd_api_problem(n, 404, "listing nodes", "user not found");
    else
        rmri_crd_api_list(n, q, "nodes", next_node, u ? u->id : 0);
}

void rmri_crd_do_node_get(crd_conn *n, crd_call *q)
{
    uint64_t id;
    if (rmri_crd_api_id(n, q->args[0], "node_id", &id))
        send_node(n, id, SHOW_ONE);
}

void rmri_crd_do_node_expire(crd_conn *n, crd_call *q)
{
    uint64_t id, at = q->v[0].given ? q->v[0].time : rmri_crd_wall(n->c);
    if (!rmri_crd_api_id(n, q->args[0], "node_id", &id))
        return;
    if (q->v[0].given && q->v[1].flag) {
        rmri_crd_api_problem(n, 400,
                             "cannot set both disable_expiry and expiry", NULL);
        return;
    }
    if (q->v[1].flag)
        at = 0;
    rmr_err e = rmr_coord_node_expire(n->c, id, at);
    if (e == RMR_OK && at && at <= rmri_crd_wall(n->c))
        n->c->api->revoked++;
    done(n, e, id, "expiring node", SHOW_ONE);
}

void rmri_crd_do_node_rename(crd_conn *n, crd_call *q)
{
    static const char detail[] = "renaming node";
    uint64_t id;
    if (!rmri_crd_api_id(n, q->args[0], "node_id", &id))
        return;
    rmr_err e = rmr_coord_node_rename(n->c, id, q->args[1]);
    if (e == RMR_E_INVAL)
        rmri_crd_api_problem(n, 400, detail,
                             "given name is not a valid DNS label");
    else if (e == RMR_E_INUSE)
        rmri_crd_api_problem(n, 400, detail, "node name is not unique");
    else
        done(n, e, id, detail, SHOW_ONE);
}

/* user: whose node asks for them; NULL: an administrator. */
static void not_permitted(crd_conn *n, const char *detail, const crd_user *user,
                          const char *const *tags, size_t n_tags)
{
    char which[512] = "", cause[640];
    (void)rmri_crd_policy_refuses(n->c, user, tags, n_tags, which,
                                  sizeof which);
    (void)snprintf(cause, sizeof cause,
                   "requested tags %s are invalid or not permitted", which);
    rmri_crd_api_problem(n, 400, detail, cause);
}

void rmri_crd_do_node_tags(crd_conn *n, crd_call *q)
{
    static const char detail[] = "setting tags";
    uint64_t id;
    if (!rmri_crd_api_id(n, q->args[0], "node_id", &id))
        return;
    if (q->v[0].n == 0) {
        rmri_crd_api_problem(n, 400,
                             "cannot remove all tags from a node - tagged "
                             "nodes must have at least one tag",
                             NULL);
        return;
    }
    rmr_err e = rmr_coord_node_set_tags(n->c, id, q->v[0].list, q->v[0].n);
    if (e == RMR_E_INVAL || e == RMR_E_DENIED)
        not_permitted(n, detail, NULL, q->v[0].list, q->v[0].n);
    else
        done(n, e, id, detail, SHOW_ONE);
}

static bool read_routes(crd_conn *n, const crd_value *v, const char *detail,
                        rmr_prefix out[RMR_COORD_MAX_ROUTES])
{
    for (size_t i = 0; i < v->n; i++) {
        rmr_bytes text = rmr_bytes_str(v->list[i]);
        if (!memchr(text.ptr, '/', text.len + 1) ||
            rmr_prefix_parse(text, &out[i]) != RMR_OK) {
            rmri_crd_api_problem(n, 400, detail, "it is no prefix");
            return false;
        }
    }
    return true;
}

void rmri_crd_do_node_approve(crd_conn *n, crd_call *q)
{
    static const char detail[] = "setting approved routes";
    rmr_prefix routes[RMR_COORD_MAX_ROUTES];
    uint64_t id;
    if (!rmri_crd_api_id(n, q->args[0], "node_id", &id))
        return;
    if (!read_routes(n, &q->v[0], "parsing route", routes))
        return;
    rmr_err e = rmr_coord_node_approve(n->c, id, routes, q->v[0].n);
    if (e == RMR_E_INVAL)
        rmri_crd_api_problem(n, 400, "parsing route",
                             "a prefix has bits set behind its length");
    else
        done(n, e, id, detail, SHOW_APPROVED);
}

void rmri_crd_do_node_delete(crd_conn *n, crd_call *q)
{
    uint64_t id;
    if (!rmri_crd_api_id(n, q->args[0], "node_id", &id))
        return;
    rmr_err e = rmr_coord_node_remove(n->c, id);
    if (e == RMR_OK) {
        n->c->api->revoked++;
        rmri_crd_api_nothing(n);
    } else {
        rmri_crd_api_failed(n, e, MISSING, NULL);
    }
}

/* Nodes have had addresses of all prefixes from their beginning. */
void rmri_crd_do_node_backfill(crd_conn *n, crd_call *q)
{
    char text[CRD_API_ARG_MAX + 1];
    rmr_jw w;
    if (!rmri_crd_api_param(q, "confirmed", text) ||
        strcmp(text, "true") != 0) {
        rmri_crd_api_problem(n, 400, "backfilling node IPs",
                             "not confirmed, aborting");
        return;
    }
    rmri_crd_api_begin(n, &w);
    rmr_jw_object(&w);
    rmr_jw_key(&w, "changes");
    rmr_jw_array(&w);
    rmr_jw_array_end(&w);
    rmr_jw_object_end(&w);
    rmri_crd_api_send(n, &w, NULL);
}

/* ---- logins -------------------------------------------------------------- */

static bool is_login(crd_conn *n, const char *id, const char *detail)
{
    char cause[96];
    size_t len = strlen(id);
    if (len == RMR_COORD_LOGIN_TEXT - 1)
        return true;
    (void)snprintf(cause, sizeof cause,
                   "auth ID has invalid length: expected %d, got %zu",
                   RMR_COORD_LOGIN_TEXT - 1, len);
    rmri_crd_api_problem(n, 400, detail, cause);
    return false;
}

static void login_not_permitted(crd_conn *n, const char *detail,
                                const crd_user *user, const char *id)
{
    const crd_login *l = rmri_crd_login_find(n->c, rmr_bytes_str(id));
    not_permitted(n, detail, user, (const char *const *)l->tags.p, l->tags.n);
}

static void register_login(crd_conn *n, const char *user, const char *id)
{
    static const char detail[] = "registering node";
    const crd_user *u = rmri_crd_user_named(n->c, user);
    uint64_t node;
    if (!is_login(n, id, detail))
        return;
    if (!u) {
        rmri_crd_api_problem(n, 404, "looking up user", "user not found");
        return;
    }
    rmr_err e = rmr_coord_login_approve(n->c, id, u->id, &node);
    if (e == RMR_OK)
        send_node(n, node, SHOW_ONE);
    else if (e == RMR_E_INUSE)
        rmri_crd_api_problem(n, 409, detail, "the node key is in use");
    else if (e == RMR_E_DENIED)
        login_not_permitted(n, detail, u, id);
    else
        rmri_crd_api_failed(n, e, detail,
                            "node not found in registration cache");
}

void rmri_crd_do_node_register(crd_conn *n, crd_call *q)
{
    char user[CRD_API_ARG_MAX + 1] = "", id[CRD_API_ARG_MAX + 1] = "";
    (void)rmri_crd_api_param(q, "user", user);
    (void)rmri_crd_api_param(q, "key", id);
    register_login(n, user, id);
}

void rmri_crd_do_auth_register(crd_conn *n, crd_call *q)
{
    register_login(n, q->v[0].given ? q->v[0].text : "",
                   q->v[1].given ? q->v[1].text : "");
}

/* ---- logins of nobody, for tests ----------------------------------------- */

/* What such a node would be; nothing of it is kept. */
static void send_fake(crd_conn *n, const crd_login *l, crd_user *u,
                      rmr_prefix *routes, size_t n_routes)
{
    crd_node node;
    rmr_jw w;
    memset(&node, 0, sizeof node);
    memcpy(node.machine, l->machine, RMR_KEY_LEN);
    memcpy(node.key, l->key, RMR_KEY_LEN);
    node.hostname = (char *)(uintptr_t)l->hostname; /* only read */
    node.user = u;
    node.announced = routes;
    node.n_announced = n_routes;
    node.created = node.last_seen = node.expiry = 1;
    rmri_crd_api_begin(n, &w);
    rmr_jw_object(&w);
    rmr_jw_key(&w, "node");
    put_node(&w, n->c, &node, SHOW_FAKE);
    rmr_jw_object_end(&w);
    rmri_crd_api_send(n, &w, NULL);
}

/* An id that somebody could be shown; else that was answered. */
static bool may_be_login(crd_conn *n, const char *id, const char *name,
                         const char *detail)
{
    static const char front[] = "hskey-authreq-";
    size_t n_front = sizeof front - 1;
    bool ok = strlen(id) >= n_front && memcmp(id, front, n_front) == 0;
    for (const char *p = id + n_front; ok && *p; p++)
        ok = (*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'f');
    if (!ok) {
        rmri_crd_api_problem(n, 400, detail,
                             "auth ID is not hskey-authreq- and hex digits");
        return false;
    }
    if (!is_login(n, id, detail))
        return false;
    ok = strlen(name) <= CRD_MAX_HOSTNAME;
    for (const char *p = name; ok && *p; p++)
        ok = (uint8_t)*p >= 0x20 && *p != 0x7f;
    if (!ok)
        rmri_crd_api_problem(n, 400, detail, "this is no name");
    return ok;
}

void rmri_crd_do_debug_node(crd_conn *n, crd_call *q)
{
    static const char detail[] = "debug creating node";
    rmr_prefix routes[RMR_COORD_MAX_ROUTES];
    const char *id = q->v[1].given ? q->v[1].text : "";
    const char *name = q->v[2].given ? q->v[2].text : "";
    crd_user *u = rmri_crd_user_named(n->c, q->v[0].given ? q->v[0].text : "");
    crd_login *l;
    if (!u) {
        rmri_crd_api_problem(n, 404, "looking up user", "user not found");
        return;
    }
    if (!read_routes(n, &q->v[3], "parsing routes", routes) ||
        !may_be_login(n, id, name, detail))
        return;
    if (rmri_crd_login_find(n->c, rmr_bytes_str(id)) ||
        rmri_crd_check_find(n->c, rmr_bytes_str(id))) {
        rmri_crd_api_problem(n, 409, detail, "the auth ID is in use");
        return;
    }
    rmr_err e = rmri_crd_login_fake(n->c, &n->client, id, name, &l);
    if (e == RMR_OK)
        send_fake(n, l, u, routes, q->v[3].n);
    else
        rmri_crd_api_failed(n, e, detail, NULL);
}

/* True: it is a node's login that waits; else that was answered: a check of SSH
 * is decided by it. */
static bool waits(crd_conn *n, const crd_call *q, const char *detail, bool yes)
{
    const char *id = q->v[0].given ? q->v[0].text : "";
    char text[128];
    if (!is_login(n, id, detail))
        return false;
    if (rmri_crd_login_find(n->c, rmr_bytes_str(id)))
        return true;
    if (rmr_coord_check_decide(n->c, id, yes) == RMR_OK) {
        rmri_crd_api_nothing(n);
        return false;
    }
    (void)snprintf(text, sizeof text, "no pending auth session for auth_id %s",
                   id);
    rmri_crd_api_problem(n, 404, text, NULL);
    return false;
}

/* Logins of nodes need a user. */
void rmri_crd_do_auth_approve(crd_conn *n, crd_call *q)
{
    if (waits(n, q, "approving auth session", true))
        rmri_crd_api_problem(n, 400, "approving auth session",
                             "it is a node's login: register it for a user");
}

void rmri_crd_do_auth_reject(crd_conn *n, crd_call *q)
{
    if (!waits(n, q, "rejecting auth session", false))
        return;
    (void)rmr_coord_login_reject(n->c, q->v[0].text);
    rmri_crd_api_nothing(n);
}
