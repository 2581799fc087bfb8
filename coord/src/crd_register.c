/* POST /machine/register: auth keys, restarts, rotation, logout, and logins
 * that somebody approves.  The order of the checks is Headscale's. */
#include "crd_internal.h"

#include <stdio.h>
#include <string.h>

static bool is_zero(const uint8_t key[RMR_KEY_LEN])
{
    static const uint8_t zero[RMR_KEY_LEN];
    return memcmp(key, zero, sizeof zero) == 0;
}

/* ---- answers ------------------------------------------------------------- */

typedef struct answer {
    const crd_node *node;
    const char *auth_url, *error;
    bool expired;
} answer;

static void put_user(rmr_jw *w, const answer *a)
{
    const crd_node *n = a->node;
    bool tagged = n && (rmri_crd_is_tagged(n) || !n->user);
    const char *name = !n ? "" : tagged ? "tagged-devices" : n->user->name;
    uint64_t id = !n ? 0 : tagged ? CRD_TAGGED_USER : n->user->id;
    rmr_jw_key(w, "User");
    rmr_jw_object(w);
    rmr_jw_ku64(w, "ID", id);
    rmr_jw_kstr(w, "DisplayName", name);
    rmr_jw_object_end(w);
    rmr_jw_key(w, "Login");
    rmr_jw_object(w);
    rmr_jw_ku64(w, "ID", id);
    rmr_jw_kstr(w, "Provider", "");
    rmr_jw_kstr(w, "LoginName", name);
    rmr_jw_kstr(w, "DisplayName", name);
    rmr_jw_object_end(w);
}

static void send(crd_rpc *r, const answer *a)
{
    uint8_t text[2048];
    size_t len;
    rmr_jw w;
    rmr_jw_init(&w, rmr_buf_of(text, sizeof text));
    rmr_jw_object(&w);
    put_user(&w, a);
    rmr_jw_kbool(&w, "NodeKeyExpired", a->expired);
    rmr_jw_kbool(&w, "MachineAuthorized", a->node && !a->expired);
    rmr_jw_kstr(&w, "AuthURL", a->auth_url ? a->auth_url : "");
    rmr_jw_kstr(&w, "Error", a->error ? a->error : "");
    rmr_jw_object_end(&w);
    if (rmr_jw_end(&w, &len) != RMR_OK) {
        rmri_crd_rpc_text(r, 500, "internal error\n");
        return;
    }
    if (a->error)
        r->conn->c->count.refused++;
    rmri_crd_rpc_answer(r, 200, "application/json", rmr_bytes_of(text, len));
}

void rmri_crd_register_error(crd_rpc *r, const char *text)
{
    answer a = {.error = text};
    send(r, &a);
}

/* An error in JSON would be final to clients; this they try again. */
static void cant_store(crd_rpc *r)
{
    r->conn->c->count.refused++;
    rmri_crd_rpc_text(r, 503,
                      "the server can't store anything now; try again later\n");
}

static void send_done(crd_rpc *r, const crd_node *n)
{
    answer a = {.node = n, .expired = n->expired};
    send(r, &a);
}

void rmri_crd_register_done(crd_rpc *r, const crd_node *n)
{
    if (n->row.state == CRD_DIRTY)
        rmri_crd_hold(r, n);
    else
        send_done(r, n);
}

static void send_logged_out(crd_rpc *r)
{
    answer a = {.expired = true};
    send(r, &a);
}

void rmri_crd_register_held(crd_rpc *r, rmr_err err)
{
    const crd_node *n = rmri_crd_node(r->conn->c, r->held_node);
    if (err != RMR_OK)
        cant_store(r);
    else if (!r->held_node)
        send_logged_out(r);
    else if (n)
        send_done(r, n);
    else
        rmri_crd_register_error(r, "the node was removed");
}

static void no_room(crd_rpc *r, rmr_err e)
{
    rmri_crd_register_error(r, e == RMR_E_FULL
                                   ? "no address is left for a new node"
                                   : "the server has no memory for it now");
}

/* ---- logout and restart -------------------------------------------------- */

static bool owns(const crd_rpc *r, const crd_node *n)
{
    return memcmp(n->machine, r->conn->machine, RMR_KEY_LEN) == 0;
}

static void log_out(crd_rpc *r, crd_node *n)
{
    rmr_coord *c = r->conn->c;
    if (rmri_crd_may_change(c) != RMR_OK) {
        cant_store(r);
        return;
    }
    if (n->ephemeral) {
        rmri_crd_node_remove(c, n);
    } else {
        rmri_crd_node_set_expiry(c, n, rmri_crd_wall(c));
        rmri_crd_changed(c, n, CRD_WHOLE);
    }
    if (rmri_crd_store_holds(c))
        rmri_crd_hold(r, NULL);
    else
        send_logged_out(r);
}

/* A known key, without proof: is it still good? */
static void restart(crd_rpc *r, crd_node *n, const crd_request *q)
{
    rmr_coord *c = r->conn->c;
    if (q->has_expiry && (!n->expiry || q->expiry < n->expiry)) {
        if (rmri_crd_may_change(c) != RMR_OK) {
            cant_store(r);
            return;
        }
        rmri_crd_node_set_expiry(c, n, q->expiry);
        rmri_crd_changed(c, n, CRD_WHOLE);
    } else if (q->has_expiry && q->expiry > n->expiry) {
        rmri_crd_register_error(r, "extending key is not allowed");
        return;
    }
    rmri_crd_register_done(r, n);
}

/* ---- auth keys ----------------------------------------------------------- */

static uint64_t expiry_of(const rmr_coord *c, const crd_request *q)
{
    return rmri_crd_expiry(c, q->has_expiry ? q->expiry : 0);
}

/* Why it may not be used; NULL: it may. */
static const char *key_fault(const rmr_coord *c, const crd_key *k)
{
    if (!k)
        return "invalid pre auth key";
    if (k->expiry && k->expiry <= rmri_crd_wall(c))
        return "authkey expired";
    return k->used && !k->reusable ? "authkey already used" : NULL;
}

/* The same machine and user are the same node, whatever its key is now. */
static rmr_err renew(rmr_coord *c, crd_node *n, const crd_request *q)
{
    rmr_err e = rmri_crd_node_set_key(c, n, q->key);
    if (e != RMR_OK)
        return e;
    rmri_crd_node_set_expiry(c, n, rmri_crd_is_tagged(n) ? 0 : expiry_of(c, q));
    rmri_crd_changed(c, n, CRD_WHOLE);
    return RMR_OK;
}

static rmr_err add(rmr_coord *c, crd_rpc *r, const crd_request *q,
                   const crd_key *k, crd_node **out)
{
    crd_birth b;
    memset(&b, 0, sizeof b);
    b.machine = r->conn->machine;
    b.key = q->key;
    b.user = rmri_crd_user(c, k->user);
    b.hostname = rmr_bytes_str(q->hostname);
    b.tags = (const char *const *)k->tags.p;
    b.n_tags = k->tags.n;
    b.ephemeral = k->ephemeral || q->ephemeral;
    b.key_id = k->id;
    b.expiry = k->tags.n ? 0 : expiry_of(c, q);
    return rmri_crd_node_add(c, &b, out);
}

void rmri_crd_joined_now(rmr_coord *c, const crd_node *n)
{
    rmr_coord_event ev;
    memset(&ev, 0, sizeof ev);
    ev.kind = RMR_COORD_EV_JOINED;
    ev.id = n->id;
    ev.node = n->given;
    ev.addr = n->client;
    rmri_crd_tell(c, &ev);
}

/* The node is stored with it, so that its answer waits for both. */
static void use_key(rmr_coord *c, crd_key *k, crd_node *n)
{
    if (k->used)
        return;
    k->used = true;
    rmri_crd_mark(c, &k->row, CRD_DIRTY);
    rmri_crd_mark(c, &n->row, CRD_DIRTY);
}

/* The node that this machine has by such a key already.  One that was tagged
 * since is still it, and keeps its tags. */
static crd_node *known(const crd_rpc *r, const crd_request *q, const crd_key *k)
{
    const rmr_coord *c = r->conn->c;
    const uint8_t *machine = r->conn->machine;
    const crd_user *user = rmri_crd_user(c, k->user);
    crd_node *n = k->tags.n ? rmri_crd_node_tagged(c, machine, NULL, q->key)
                            : rmri_crd_node_of(c, machine, user);
    if (!n)
        n = rmri_crd_node_tagged(c, machine, user, NULL);
    return n || !k->tags.n ? n : rmri_crd_node_of(c, machine, NULL);
}

/* The node is one by now: what finds no memory its client says again, with its
 * maps. */
static void describe(rmr_coord *c, crd_node *n, const crd_request *q,
                     crd_what *what)
{
    rmr_err e = rmri_crd_host_info(c, n, q, what);
    if (e == RMR_OK)
        e = rmri_crd_approve(c, n);
    if (e != RMR_OK)
        rmri_crd_trouble(c, e, "what a node says of its host is left out");
}

static void by_auth_key(crd_rpc *r, const crd_request *q)
{
    rmr_coord *c = r->conn->c;
    crd_key *k = rmri_crd_key_of(c, rmr_bytes_str(q->auth_key));
    const char *fault = key_fault(c, k);
    crd_node *n = k ? known(r, q, k) : NULL;
    crd_what what = CRD_PATCH;
    bool same = n && memcmp(n->key, q->key, RMR_KEY_LEN) == 0 && !n->expired;
    if (fault && !(same && k)) {
        rmri_crd_register_error(r, fault);
        return;
    }
    if (q->n_tags) {
        rmri_crd_register_error(
            r, "requested tags are invalid or not permitted: with an auth key "
               "they come from the key");
        return;
    }
    bool is_new = !n;
    rmr_err e = same && k->used ? RMR_OK : rmri_crd_may_change(c);
    if (e != RMR_OK) {
        cant_store(r);
        return;
    }
    if (is_new)
        e = add(c, r, q, k, &n);
    else if (!same)
        e = renew(c, n, q);
    if (e == RMR_OK)
        describe(c, n, q, &what);
    if (e == RMR_E_INUSE) {
        rmri_crd_register_error(r, "node key already in use by another node");
    } else if (e != RMR_OK) {
        no_room(r, e);
    } else {
        use_key(c, k, n);
        if (what != CRD_PATCH)
            rmri_crd_changed(c, n, what);
        rmri_crd_register_done(r, n);
        if (is_new)
            rmri_crd_joined(c, n);
    }
}

void rmri_crd_joined(rmr_coord *c, crd_node *n)
{
    n->client = c->client;
    if (n->row.state == CRD_DIRTY)
        rmri_crd_news(c, n);
    else
        rmri_crd_joined_now(c, n);
}

/* ---- interactively ------------------------------------------------------- */

static void send_url(crd_rpc *r, const crd_login *l)
{
    char url[512];
    (void)snprintf(url, sizeof url, "%.440s/register/%s",
                   r->conn->c->server_url, l->id);
    answer a = {.auth_url = url};
    send(r, &a);
}

static void ask_somebody(crd_rpc *r, rmr_time now, const crd_request *q)
{
    crd_login *l;
    rmr_err e = rmri_crd_login_new(r->conn, now, q, &l);
    if (e == RMR_E_FULL)
        rmri_crd_register_error(r, "too many logins wait for approval");
    else if (e != RMR_OK)
        no_room(r, e);
    else
        send_url(r, l);
}

static void follow_up(crd_rpc *r, rmr_time now, const crd_request *q)
{
    rmr_bytes url = rmr_bytes_str(q->followup);
    size_t n = RMR_COORD_LOGIN_TEXT - 1;
    crd_login *l = NULL;
    if (url.len > n)
        l = rmri_crd_login_find(r->conn->c,
                                rmr_bytes_of(url.ptr + url.len - n, n));
    if (l && memcmp(l->machine, r->conn->machine, RMR_KEY_LEN) == 0 &&
        memcmp(l->key, q->key, RMR_KEY_LEN) == 0)
        rmri_crd_login_wait(l, r);
    else
        ask_somebody(r, now, q);
}

/* ---- the request --------------------------------------------------------- */

void rmri_crd_register(crd_rpc *r, rmr_time now, const crd_request *q)
{
    rmr_coord *c = r->conn->c;
    c->count.registers++;
    if (is_zero(q->key)) {
        c->count.bad_requests++;
        rmri_crd_rpc_text(r, 400, "there is no node key\n");
        return;
    }
    crd_node *n = rmri_crd_node_by_key(c, q->key);
    if (n && !owns(r, n))
        rmri_crd_register_error(r, "node exists with a different machine key");
    else if (n && q->has_expiry && q->expiry <= rmri_crd_wall(c))
        log_out(r, n);
    else if (n && !q->auth_key[0] && !(n->expired && q->followup[0]))
        restart(r, n, q);
    else if (q->followup[0])
        follow_up(r, now, q);
    else if (q->auth_key[0])
        by_auth_key(r, q);
    else
        ask_somebody(r, now, q);
}

/* ---- what a request says of the host ------------------------------------- */

static rmr_err set_text(rmr_coord *c, char **text, const char *value,
                        bool *changed)
{
    if (strcmp(*text, value) == 0)
        return RMR_OK;
    char *fresh = rmri_crd_text(c, rmr_bytes_str(value));
    if (!fresh)
        return RMR_E_NOMEM;
    rmri_crd_text_free(c, *text);
    *text = fresh;
    *changed = true;
    return RMR_OK;
}

static rmr_err set_services(rmr_coord *c, crd_node *n, const crd_request *q,
                            bool *changed)
{
    size_t size = q->n_services * sizeof *n->services;
    if (n->n_services == q->n_services &&
        (size == 0 || memcmp(n->services, q->services, size) == 0))
        return RMR_OK;
    crd_service *fresh = NULL;
    if (size) {
        fresh = rmr_alloc_zero(&c->env.alloc, size, _Alignof(crd_service));
        if (!fresh)
            return RMR_E_NOMEM;
        memcpy(fresh, q->services, size);
    }
    rmr_release(&c->env.alloc, n->services,
                n->n_services * sizeof *n->services);
    n->services = fresh;
    n->n_services = q->n_services;
    *changed = true;
    return RMR_OK;
}

rmr_err rmri_crd_host_info(rmr_coord *c, crd_node *n, const crd_request *q,
                           crd_what *what)
{
    bool changed = false;
    rmr_err e = RMR_OK;
    if (!q->has_hostinfo)
        return RMR_OK;
    if (q->hostname[0])
        e = set_text(c, &n->hostname, q->hostname, &changed);
    if (e == RMR_OK)
        e = set_text(c, &n->os, q->os, &changed);
    if (e == RMR_OK)
        e = set_services(c, n, q, &changed);
    if (changed)
        *what = CRD_WHOLE;
    if (e == RMR_OK)
        e = rmri_crd_announces(c, n, q->routes, q->n_routes);
    if (*what != CRD_PATCH)
        rmri_crd_mark(c, &n->row, CRD_LAZY);
    return e;
}
