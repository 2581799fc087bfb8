/* Who has an address: the API's form, and the local endpoint's JSON. */
#include "node_internal.h"

#include <remora/text.h>
#include <stdio.h>
#include <string.h>

#define MAX_GRANTS 64   /* in JSON */
#define MAX_PREFIXES 64 /* of each kind, in JSON */

static bool has_addr(const rmr_nm_node *v, const rmr_addr *ip)
{
    for (size_t i = 0; i < v->n_addrs; i++) {
        rmr_addr a = rmr_prefix_addr(&v->addrs[i]);
        if (rmr_addr_ip_eq(&a, ip))
            return true;
    }
    return false;
}

static size_t label_len(const char *name)
{
    const char *dot = memchr(name, '.', strlen(name));
    return dot ? (size_t)(dot - name) : strlen(name);
}

/* Case aside, a final dot aside: the name, or its first label. */
static bool has_name(const rmr_nm_node *v, const char *name)
{
    size_t len = strlen(name), all = strlen(v->name);
    size_t label = label_len(v->name);
    if (len && name[len - 1] == '.')
        len--;
    if (len == 0 || (len != all && len != label))
        return false;
    for (size_t i = 0; i < len; i++) {
        char ch = name[i];
        if (ch >= 'A' && ch <= 'Z')
            ch = (char)(ch - 'A' + 'a');
        if (ch != v->name[i])
            return false;
    }
    return true;
}

static bool parse_ip(const char *host, rmr_addr *ip)
{
    rmr_bytes text = rmr_bytes_str(host);
    return rmr_addr_parse_ip(text, ip) == RMR_OK ||
           rmr_addr_parse(text, ip) == RMR_OK;
}

bool rmri_node_whois_find(const rmr_node *n, const char *host,
                          rmr_nm_node *node, rmr_addr *ip, bool *is_self)
{
    bool by_ip = parse_ip(host, ip);
    *is_self = rmr_nm_self(n->nm, node) &&
               (by_ip ? has_addr(node, ip) : has_name(node, host));
    bool found = *is_self || (by_ip ? rmr_nm_peer_by_ip(n->nm, ip, node)
                                    : rmr_nm_peer_by_name(n->nm, host, node));
    if (found && !by_ip) {
        memset(ip, 0, sizeof *ip);
        if (node->n_addrs)
            *ip = rmr_prefix_addr(&node->addrs[0]);
    }
    ip->port = 0;
    return found;
}

rmr_err rmr_node_whois(const rmr_node *n, const char *host, rmr_node_who *out)
{
    rmr_nm_node v;
    rmr_nm_user user;
    bool self = false;
    memset(out, 0, sizeof *out);
    if (!n->nm || !rmr_nm_self(n->nm, &v))
        return RMR_E_NOTREADY;
    if (!rmri_node_whois_find(n, host, &v, &out->ip, &self))
        return RMR_E_NOTFOUND;
    out->id = v.stable_id;
    out->name = v.name;
    out->hostname = v.hostname;
    out->os = v.os;
    memcpy(out->key, v.key, sizeof out->key);
    out->user_login = out->user_name = "";
    out->user_id = v.user;
    if (rmr_nm_user_profile(n->nm, v.user, &user)) {
        out->user_login = user.login;
        out->user_name = user.display;
    }
    out->is_self = self;
    out->online = self ? n->ctl_state == RMR_CTL_CONNECTED : v.online == 1;
    out->expired = v.expired;
    out->tags = v.tags;
    out->n_tags = v.n_tags;
    return RMR_OK;
}

bool rmr_node_next_grant(const rmr_node *n, const rmr_addr *from, uint64_t *pos,
                         rmr_node_grant *out)
{
    rmr_nm_who who;
    rmr_nm_cap cap;
    if (!n->nm || !rmr_nm_whois(n->nm, from, &who) ||
        who.ours.family == RMR_AF_NONE ||
        !rmr_nm_next_grant(n->nm, pos, from, &who.ours, &cap))
        return false;
    out->name = cap.name;
    out->values = cap.values;
    return true;
}

/* ---- as JSON, with the names of `tailscale whois --json` ---------------- */

static void put_key(rmr_jw *w, const char *name, const char *kind,
                    const uint8_t *key)
{
    char text[16 + 2 * RMR_KEY_LEN + 1];
    size_t len = strlen(kind);
    memcpy(text, kind, len);
    rmr_hex(text + len, key, RMR_KEY_LEN);
    rmr_jw_kstr(w, name, text);
}

static void put_prefixes(rmr_jw *w, const char *name, const rmr_prefix *list,
                         size_t n)
{
    char text[RMR_PREFIX_TEXT_MAX];
    rmr_jw_key(w, name);
    rmr_jw_array(w);
    for (size_t i = 0; i < n && i < MAX_PREFIXES; i++)
        rmr_jw_str(w, rmr_prefix_text(&list[i], text));
    rmr_jw_array_end(w);
}

static void put_node(rmr_jw *w, const rmr_nm_node *v, bool online)
{
    char text[256];
    rmr_jw_key(w, "Node");
    rmr_jw_object(w);
    rmr_jw_ku64(w, "ID", v->id);
    rmr_jw_kstr(w, "StableID", v->stable_id);
    snprintf(text, sizeof text, "%s.", v->name);
    rmr_jw_kstr(w, "Name", text);
    rmr_jw_kint(w, "User", v->user);
    put_key(w, "Key", "nodekey:", v->key);
    put_key(w, "DiscoKey", "discokey:", v->disco_key);
    put_prefixes(w, "Addresses", v->addrs, v->n_addrs);
    put_prefixes(w, "AllowedIPs", v->allowed_ips, v->n_allowed_ips);
    rmr_jw_key(w, "Hostinfo");
    rmr_jw_object(w);
    rmr_jw_kstr(w, "OS", v->os);
    rmr_jw_kstr(w, "Hostname", v->hostname);
    rmr_jw_object_end(w);
    if (v->n_tags)
        rmri_node_put_tags(w, v);
    rmr_jw_kbool(w, "Online", online);
    if (v->expired)
        rmr_jw_kbool(w, "Expired", true);
    snprintf(text, sizeof text, "%.*s", (int)label_len(v->name), v->name);
    rmr_jw_kstr(w, "ComputedName", text);
    rmr_jw_object_end(w);
}

void rmri_node_put_tags(rmr_jw *w, const rmr_nm_node *v)
{
    const char *tag;
    rmr_jw_key(w, "Tags");
    rmr_jw_array(w);
    for (size_t i = 0; (tag = rmr_nm_tag_at(v, i)) != NULL; i++)
        rmr_jw_str(w, tag);
    rmr_jw_array_end(w);
}

/* Of several rules' values one list is made: what is between their brackets. */
static void put_values(rmr_jw *w, const char *values)
{
    size_t len = strlen(values);
    if (len > 2) /* "[]" */
        rmr_jw_raw(w, rmr_bytes_of((const uint8_t *)values + 1, len - 2));
}

static bool was_granted_before(const rmr_node *n, const rmr_addr *from,
                               uint64_t end, const char *name)
{
    uint64_t pos = 0;
    rmr_node_grant g;
    while (rmr_node_next_grant(n, from, &pos, &g) && pos < end)
        if (strcmp(g.name, name) == 0)
            return true;
    return false;
}

static void put_grant(const rmr_node *n, rmr_jw *w, const rmr_addr *from,
                      uint64_t pos, const rmr_node_grant *first)
{
    rmr_node_grant g = *first;
    rmr_jw_key(w, first->name);
    rmr_jw_array(w);
    do {
        if (strcmp(g.name, first->name) == 0)
            put_values(w, g.values);
    } while (rmr_node_next_grant(n, from, &pos, &g));
    rmr_jw_array_end(w);
}

static void put_grants(const rmr_node *n, rmr_jw *w, const rmr_addr *from)
{
    uint64_t pos = 0;
    rmr_node_grant g;
    rmr_jw_key(w, "CapMap");
    rmr_jw_object(w);
    for (size_t i = 0; i < MAX_GRANTS && rmr_node_next_grant(n, from, &pos, &g);
         i++)
        if (!was_granted_before(n, from, pos, g.name))
            put_grant(n, w, from, pos, &g);
    rmr_jw_object_end(w);
}

rmr_err rmri_node_whois_json(const rmr_node *n, const char *host, rmr_jw *w)
{
    rmr_node_who who;
    rmr_nm_node v;
    rmr_addr ip;
    bool self;
    rmr_err err = rmr_node_whois(n, host, &who);
    if (err != RMR_OK)
        return err;
    if (!rmri_node_whois_find(n, host, &v, &ip, &self))
        return RMR_E_NOTFOUND;
    rmr_jw_object(w);
    put_node(w, &v, who.online);
    rmr_jw_key(w, "UserProfile");
    rmr_jw_object(w);
    rmr_jw_kint(w, "ID", who.user_id);
    rmr_jw_kstr(w, "LoginName", who.user_login);
    rmr_jw_kstr(w, "DisplayName", who.user_name);
    rmr_jw_object_end(w);
    put_grants(n, w, &ip);
    rmr_jw_object_end(w);
    return RMR_OK;
}
