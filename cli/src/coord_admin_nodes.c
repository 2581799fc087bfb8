/* nodes: what has joined. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <remora/crypto.h>

#include "coord_admin_internal.h"

#define SEE "; remora coordinator nodes list shows them all"

/* ---- tables -------------------------------------------------------------- */

/* "[8tNBf]", as Headscale and the clients' logs name a key: the beginning of
 * its base64. */
static void put_key(cli_table *t, rmr_bytes text)
{
    char base[RMR_BASE64_LEN(RMR_KEY_LEN) + 1], dst[8];
    uint8_t key[RMR_KEY_LEN];
    size_t front = 0;
    while (front < text.len && text.ptr[front] != ':') {
        front++;
    }
    if (front == text.len ||
        rmr_unhex(key, sizeof key,
                  rmr_bytes_of(text.ptr + front + 1, text.len - front - 1)) !=
            RMR_OK) {
        cli_table_cell(t, text);
        return;
    }
    (void)snprintf(dst, sizeof dst, "[%.5s]",
                   rmr_base64(base, key, sizeof key));
    cli_table_str(t, dst);
}

static void put_node(cli_table *t, const cli_node *n)
{
    const cli_node *expiry = cli_node_get(n, "expiry");
    const cli_node *key = cli_node_get(n, "preAuthKey");
    const cli_node *user = cli_node_get(n, "user");
    cli_table_cell(t, cli_node_text(n, "id"));
    cli_table_cell(t, cli_node_text(n, "name"));
    cli_table_cell(t, cli_node_text(n, "givenName"));
    put_key(t, cli_node_text(n, "machineKey"));
    put_key(t, cli_node_text(n, "nodeKey"));
    cli_table_cell(t, cli_node_text(user, "name"));
    cli_table_list(t, cli_node_get(n, "tags"));
    cli_table_list(t, cli_node_get(n, "ipAddresses"));
    cli_table_str(t, cli_node_is_true(key, "ephemeral") ? "true" : "false");
    cli_table_time(t, cli_node_get(n, "lastSeen"), "never");
    cli_table_time(t, expiry, "never");
    cli_table_str(t, cli_node_is_true(n, "online") ? "online" : "offline");
    cli_table_str(t, cli_time_is_past(expiry) ? "yes" : "no");
}

static bool table(adm *a, const cli_node *list)
{
    static const char *const head[] = {
        "ID",         "Hostname",  "Name",         "MachineKey", "NodeKey",
        "User",       "Tags",      "IP addresses", "Ephemeral",  "Last seen",
        "Expiration", "Connected", "Expired",      NULL};
    cli_table t;
    cli_table_begin(&t, head);
    for (const cli_node *n = list->first; n != NULL; n = n->next) {
        put_node(&t, n);
    }
    return adm_print_table(a, &t);
}

static bool routes_table(adm *a, const cli_node *list)
{
    static const char *const head[] = {
        "ID", "Hostname", "Approved", "Available", "Serving (Primary)", NULL};
    cli_table t;
    cli_table_begin(&t, head);
    for (const cli_node *n = list->first; n != NULL; n = n->next) {
        cli_table_cell(&t, cli_node_text(n, "id"));
        cli_table_cell(&t, cli_node_text(n, "givenName"));
        cli_table_list(&t, cli_node_get(n, "approvedRoutes"));
        cli_table_list(&t, cli_node_get(n, "availableRoutes"));
        cli_table_list(&t, cli_node_get(n, "subnetRoutes"));
    }
    return adm_print_table(a, &t);
}

/* ---- lists --------------------------------------------------------------- */

static const cli_node *ask_list(adm *a)
{
    adm_path(a, "node");
    if (a->args.user != NULL) {
        adm_path_raw(a, "?user=");
        adm_path_add(a, a->args.user);
    }
    return adm_ask(a, "GET", NULL,
                   "; remora coordinator users list shows all users")
               ? adm_member(a, "nodes")
               : NULL;
}

static bool run_list(adm *a)
{
    const cli_node *list = ask_list(a);
    if (list == NULL) {
        return false;
    }
    return adm_is_table(a) ? table(a, list) : adm_print(a, list, "");
}

static bool has_any(const cli_node *n, const char *key)
{
    const cli_node *list = cli_node_get(n, key);
    return list != NULL && list->first != NULL;
}

static bool has_routes(const adm *a, const cli_node *n)
{
    if (a->args.id != NULL) {
        return rmr_bytes_eq_str(cli_node_text(n, "id"), a->args.id);
    }
    return has_any(n, "approvedRoutes") || has_any(n, "availableRoutes") ||
           has_any(n, "subnetRoutes");
}

static bool run_list_routes(adm *a)
{
    if (!adm_check_id(a, "identifier")) {
        return false;
    }
    const cli_node *all = ask_list(a);
    if (all == NULL) {
        return false;
    }
    cli_node list = *all;
    cli_node **end = &list.first;
    for (cli_node *n = all->first, *next; n != NULL; n = next) {
        next = n->next;
        if (has_routes(a, n)) {
            *end = n;
            end = &n->next;
        }
    }
    *end = NULL;
    if (a->args.id != NULL && list.first == NULL) {
        return adm_wrong(a, "no node has the ID %s" SEE, a->args.id);
    }
    return adm_is_table(a) ? routes_table(a, &list) : adm_print(a, &list, "");
}

/* ---- one node ------------------------------------------------------------ */

static void node_path(adm *a, const char *behind)
{
    adm_path(a, "node/");
    adm_path_add(a, a->args.id);
    adm_path_raw(a, behind);
}

static bool change(adm *a, const char *behind, const rmr_jw *body,
                   const char *sentence)
{
    if (!adm_check_id(a, "identifier")) {
        return false;
    }
    node_path(a, behind);
    if (a->args.operand != NULL) {
        adm_path_add(a, a->args.operand);
    }
    return adm_ask(a, "POST", body, SEE) &&
           adm_print(a, adm_member(a, "node"), sentence);
}

static bool change_list(adm *a, const char *behind, const char *key,
                        const adm_list *list)
{
    uint8_t room[16 * 1024];
    rmr_jw w;
    rmr_jw_init(&w, rmr_buf_of(room, sizeof room));
    rmr_jw_object(&w);
    adm_put_list(&w, key, list);
    rmr_jw_object_end(&w);
    return change(a, behind, &w, "Node updated");
}

static bool run_approve_routes(adm *a)
{
    return change_list(a, "/approve_routes", "routes", &a->args.routes);
}

static bool run_tag(adm *a)
{
    return change_list(a, "/tags", "tags", &a->args.tags);
}

static bool run_rename(adm *a)
{
    return change(a, "/rename/", NULL, "Node renamed");
}

static bool run_expire(adm *a)
{
    uint8_t room[256];
    uint64_t when;
    rmr_jw w;
    const char *at = a->args.expiry;
    if (at != NULL && a->args.disable) {
        return adm_misused(a, "give --expiry or --disable, not both");
    }
    if (at != NULL && rmr_parse_time(rmr_bytes_str(at), &when) != RMR_OK) {
        return adm_misused(a,
                           "--expiry takes a time such as "
                           "2030-01-31T12:00:00Z, not '%s'",
                           at);
    }
    rmr_jw_init(&w, rmr_buf_of(room, sizeof room));
    rmr_jw_object(&w);
    if (at != NULL) {
        rmr_jw_kstr(&w, "expiry", at);
    } else if (a->args.disable) {
        rmr_jw_kbool(&w, "disableExpiry", true);
    }
    rmr_jw_object_end(&w);
    return change(a, "/expire", &w,
                  a->args.disable ? "Node expiry disabled"
                  : at != NULL    ? "Node expiration updated"
                                  : "Node expired");
}

static bool run_delete(adm *a)
{
    if (!adm_check_id(a, "identifier")) {
        return false;
    }
    node_path(a, "");
    const cli_node *node =
        adm_ask(a, "GET", NULL, SEE) ? adm_member(a, "node") : NULL;
    if (node == NULL ||
        !adm_confirm(a, "Do you want to remove the node ",
                     cli_node_text(node, "givenName"), "Node not deleted")) {
        return false;
    }
    cli_node object = {.kind = RMR_JSON_OBJECT};
    cli_node result = {.kind = RMR_JSON_STRING,
                       .key = rmr_bytes_str("result"),
                       .text = rmr_bytes_str("Node deleted")};
    object.first = &result;
    return adm_ask(a, "DELETE", NULL, SEE) &&
           adm_print(a, &object, "Node deleted");
}

static bool run_backfill(adm *a)
{
    if (!adm_confirm(a,
                     "Nodes get addresses of new prefixes, and lose those of "
                     "prefixes that are gone; go on",
                     rmr_bytes_of(NULL, 0), "Addresses not changed")) {
        return false;
    }
    adm_path(a, "node/backfillips?confirmed=true");
    return adm_ask(a, "POST", NULL, NULL) &&
           adm_print(a, a->answer.root, "Node IPs backfilled successfully");
}

/* ---- verbs --------------------------------------------------------------- */

static const adm_option list_options[] = {
    {"user", 'u', ADM_TEXT, offsetof(adm_args, user)},
};
static const adm_option id_options[] = {
    {"identifier", 'i', ADM_TEXT, offsetof(adm_args, id)},
};
static const adm_option routes_options[] = {
    {"identifier", 'i', ADM_TEXT, offsetof(adm_args, id)},
    {"routes", 'r', ADM_LIST, offsetof(adm_args, routes)},
};
static const adm_option tag_options[] = {
    {"identifier", 'i', ADM_TEXT, offsetof(adm_args, id)},
    {"tags", 't', ADM_LIST, offsetof(adm_args, tags)},
};
static const adm_option expire_options[] = {
    {"identifier", 'i', ADM_TEXT, offsetof(adm_args, id)},
    {"expiry", 'e', ADM_TEXT, offsetof(adm_args, expiry)},
    {"disable", 'd', ADM_FLAG, offsetof(adm_args, disable)},
};
static const adm_option register_options[] = {
    {"user", 'u', ADM_TEXT, offsetof(adm_args, user)},
    {"key", 'k', ADM_TEXT, offsetof(adm_args, login)},
};

static const adm_verb verbs[] = {
    {"list ls show", NULL, NULL, list_options, 1, run_list},
    {"list-routes lsr routes", NULL, NULL, id_options, 1, run_list_routes},
    {"approve-routes", NULL, "identifier routes", routes_options, 2,
     run_approve_routes},
    {"expire logout exp e", NULL, "identifier", expire_options, 3, run_expire},
    {"rename", "a new name", "identifier", id_options, 1, run_rename},
    {"tag tags t", NULL, "identifier tags", tag_options, 2, run_tag},
    {"delete del", NULL, "identifier", id_options, 1, run_delete},
    {"register", NULL, "user key", register_options, 2, adm_register},
    {"backfillips", NULL, NULL, NULL, 0, run_backfill},
};

const adm_word adm_nodes = {"nodes node", verbs, 9, adm_help_nodes};
