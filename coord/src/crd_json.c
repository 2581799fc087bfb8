/* Nodes and what goes with them as JSON, as clients read it. */
#include "crd_internal.h"

#include <string.h>

/* ---- small things -------------------------------------------------------- */

static void put_key(rmr_jw *w, const char *name, const char *prefix,
                    const uint8_t key[RMR_KEY_LEN])
{
    static const uint8_t none[RMR_KEY_LEN];
    char text[16 + 2 * RMR_KEY_LEN + 1];
    if (memcmp(key, none, sizeof none) == 0)
        return;
    size_t n = strlen(prefix);
    memcpy(text, prefix, n);
    rmr_hex(text + n, key, RMR_KEY_LEN);
    rmr_jw_kstr(w, name, text);
}

static void put_time(rmr_jw *w, const char *name, uint64_t unix_ns)
{
    char text[RMR_TIME_TEXT_MAX];
    if (unix_ns)
        rmr_jw_kstr(w, name, rmr_time_text(unix_ns, text));
}

static void put_prefix(rmr_jw *w, const rmr_prefix *p)
{
    char text[RMR_PREFIX_TEXT_MAX];
    rmr_jw_str(w, rmr_prefix_text(p, text));
}

static void put_host(rmr_jw *w, const rmr_addr *a)
{
    rmr_prefix p;
    if (a->family == RMR_AF_NONE)
        return;
    memset(&p, 0, sizeof p);
    memcpy(p.ip, a->ip, sizeof p.ip);
    p.family = a->family;
    p.bits = (uint8_t)(rmr_addr_ip_len(a) * 8);
    put_prefix(w, &p);
}

static char *join(char *at, const char *text, size_t most)
{
    size_t n = strlen(text);
    n = n < most ? n : most;
    memcpy(at, text, n);
    return at + n;
}

/* Without stdio, as its number is: a large tailnet's first frames are these. */
static void put_fqdn(rmr_jw *w, const rmr_coord *c, const crd_node *n)
{
    char name[64 + 256 + 3], *at = join(name, n->given, sizeof n->given);
    if (c->base_domain[0])
        *at++ = '.';
    at = join(at, c->base_domain, 255);
    *at++ = '.';
    rmr_jw_key(w, "Name");
    rmr_jw_bytes(w, rmr_bytes_of(name, (size_t)(at - name)));
}

static void put_stable_id(rmr_jw *w, const crd_node *n)
{
    char digits[20], *at = digits + sizeof digits;
    uint64_t v = n->id;
    do {
        *--at = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    rmr_jw_key(w, "StableID");
    rmr_jw_bytes(w, rmr_bytes_of(at, (size_t)(digits + sizeof digits - at)));
}

/* ---- a node -------------------------------------------------------------- */

static void put_endpoints(rmr_jw *w, const crd_node *n)
{
    char text[RMR_ADDR_TEXT_MAX];
    rmr_jw_key(w, "Endpoints");
    rmr_jw_array(w);
    for (size_t i = 0; i < n->n_endpoints; i++)
        rmr_jw_str(w, rmr_addr_text(&n->endpoints[i], text));
    rmr_jw_array_end(w);
}

static void put_addresses(rmr_jw *w, const crd_node *n)
{
    rmr_jw_key(w, "Addresses");
    rmr_jw_array(w);
    put_host(w, &n->v4);
    put_host(w, &n->v6);
    rmr_jw_array_end(w);
}

/* Its addresses, and the routes that the viewer gets of it. */
static void put_allowed(rmr_jw *w, const rmr_coord *c, const crd_node *viewer,
                        const crd_node *n)
{
    bool gets[RMR_COORD_MAX_ROUTES + 1];
    bool primary = false;
    rmr_jw_key(w, "AllowedIPs");
    rmr_jw_array(w);
    put_host(w, &n->v4);
    put_host(w, &n->v6);
    for (size_t i = 0; i < n->n_approved; i++) {
        const rmr_prefix *p = &n->approved[i];
        gets[i] = rmri_crd_gets(c, viewer, n, p);
        if (!gets[i])
            continue;
        put_prefix(w, p);
        gets[i] = !rmri_crd_is_exit(p) && rmri_crd_serves(c, n, p);
        primary |= gets[i];
    }
    rmr_jw_array_end(w);
    if (!primary)
        return;
    rmr_jw_key(w, "PrimaryRoutes");
    rmr_jw_array(w);
    for (size_t i = 0; i < n->n_approved; i++) {
        if (gets[i])
            put_prefix(w, &n->approved[i]);
    }
    rmr_jw_array_end(w);
}

static void put_services(rmr_jw *w, const crd_node *n)
{
    rmr_jw_key(w, "Services");
    rmr_jw_array(w);
    for (size_t i = 0; i < n->n_services; i++) {
        rmr_jw_object(w);
        rmr_jw_kstr(w, "Proto", n->services[i].proto);
        rmr_jw_ku64(w, "Port", n->services[i].port);
        rmr_jw_object_end(w);
    }
    rmr_jw_array_end(w);
}

static void put_hostinfo(rmr_jw *w, const crd_node *n)
{
    rmr_jw_key(w, "Hostinfo");
    rmr_jw_object(w);
    if (n->os[0])
        rmr_jw_kstr(w, "OS", n->os);
    rmr_jw_kstr(w, "Hostname", n->hostname);
    if (n->n_announced) {
        rmr_jw_key(w, "RoutableIPs");
        rmr_jw_array(w);
        for (size_t i = 0; i < n->n_announced; i++)
            put_prefix(w, &n->announced[i]);
        rmr_jw_array_end(w);
    }
    if (n->n_services)
        put_services(w, n);
    rmr_jw_object_end(w);
}

static void put_tags(rmr_jw *w, const crd_node *n)
{
    if (!rmri_crd_is_tagged(n))
        return;
    rmr_jw_key(w, "Tags");
    rmr_jw_array(w);
    for (size_t i = 0; i < n->tags.n; i++)
        rmr_jw_str(w, n->tags.p[i]);
    rmr_jw_array_end(w);
}

uint64_t rmri_crd_user_shown(const crd_node *n)
{
    return rmri_crd_is_tagged(n) || !n->user ? CRD_TAGGED_USER : n->user->id;
}

static void put_identity(rmr_jw *w, const rmr_coord *c, const crd_node *n)
{
    rmr_jw_ku64(w, "ID", n->id);
    put_stable_id(w, n);
    put_fqdn(w, c, n);
    rmr_jw_ku64(w, "User", rmri_crd_user_shown(n));
    put_key(w, "Key", "nodekey:", n->key);
    put_time(w, "KeyExpiry", n->expiry);
    put_key(w, "Machine", "mkey:", n->machine);
    put_key(w, "DiscoKey", "discokey:", n->disco);
}

#define NO_UPDATES "default-auto-update"
/* Without it a client's SSH server can't be switched on; who comes in, the
 * policy says. */
#define SSH "https://tailscale.com/cap/ssh"

static bool put_attr(void *user, rmr_bytes name)
{
    crd_out *o = user;
    if (!rmr_bytes_eq_str(name, NO_UPDATES) && !rmr_bytes_eq_str(name, SSH)) {
        rmr_jw_key_bytes(&o->w, name);
        rmr_jw_null(&o->w);
    }
    rmri_crd_out_flush(o); /* a policy may have a MiB of them */
    return true;
}

static void put_capabilities(crd_out *o, const crd_node *n)
{
    rmr_jw *w = &o->w;
    rmr_jw_key(w, "CapMap");
    rmr_jw_object(w);
    rmr_jw_key(w, NO_UPDATES);
    rmr_jw_array(w);
    rmr_jw_bool(w, false);
    rmr_jw_array_end(w);
    rmr_jw_key(w, SSH);
    rmr_jw_array(w);
    rmr_jw_array_end(w);
    if (rmr_pol_each_attr(o->c->policy.net, n->id, put_attr, o) != RMR_OK)
        w->failed = true; /* the frame is not made without them */
    rmr_jw_object_end(w);
}

void rmri_crd_put_node(crd_out *o, const crd_node *viewer, const crd_node *n)
{
    rmr_jw *w = &o->w;
    const rmr_coord *c = o->c;
    rmr_jw_object(w);
    put_identity(w, c, n);
    put_addresses(w, n);
    put_allowed(w, c, viewer, n);
    if (n->n_endpoints)
        put_endpoints(w, n);
    if (n->home_derp) {
        rmr_jw_ku64(w, "HomeDERP", n->home_derp);
    }
    put_hostinfo(w, n);
    put_time(w, "Created", n->created);
    if (n->cap) {
        rmr_jw_ku64(w, "Cap", n->cap);
    }
    put_tags(w, n);
    if (!n->online)
        put_time(w, "LastSeen", n->last_seen);
    rmr_jw_kbool(w, "Online", n->online);
    rmr_jw_kbool(w, "MachineAuthorized", !n->expired);
    if (n->expired) {
        rmr_jw_kbool(w, "Expired", true);
    }
    if (viewer == n)
        put_capabilities(o, n);
    rmr_jw_object_end(w);
}

/* A patch with DiscoKey, Online false and an old LastSeen would be taken for a
 * stale one. */
void rmri_crd_put_patch(rmr_jw *w, const crd_node *n)
{
    rmr_jw_object(w);
    rmr_jw_ku64(w, "NodeID", n->id);
    if (n->home_derp) {
        rmr_jw_ku64(w, "DERPRegion", n->home_derp);
    }
    if (n->cap) {
        rmr_jw_ku64(w, "Cap", n->cap);
    }
    put_endpoints(w, n);
    if (n->online)
        put_key(w, "DiscoKey", "discokey:", n->disco);
    else
        put_time(w, "LastSeen", n->last_seen);
    rmr_jw_kbool(w, "Online", n->online);
    rmr_jw_object_end(w);
}

/* ---- what goes with nodes ------------------------------------------------ */

void rmri_crd_put_profile(rmr_jw *w, const crd_node *n)
{
    const char *name =
        rmri_crd_is_tagged(n) || !n->user ? "tagged-devices" : n->user->name;
    rmr_jw_object(w);
    rmr_jw_ku64(w, "ID", rmri_crd_user_shown(n));
    rmr_jw_kstr(w, "LoginName", name);
    rmr_jw_kstr(w, "DisplayName", name);
    rmr_jw_object_end(w);
}
