/* preauthkeys, by which nodes join; apikeys, by which programs administer. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "coord_admin_internal.h"
#include "print.h"

#define SEE_KEYS "; remora coordinator preauthkeys list shows them all"
#define SEE_API_KEYS "; remora coordinator apikeys list shows them all"

/* The key alone, so that it can go to a file or a variable. */
static bool print_key(adm *a, rmr_bytes key)
{
    cli_print_clean(stdout, key);
    return putc('\n', stdout) != EOF || adm_wrong(a, "can't write the output");
}

/* ---- preauthkeys --------------------------------------------------------- */

static bool run_create(adm *a)
{
    uint8_t room[16 * 1024];
    char user[ADM_ID_MAX], expiry[RMR_TIME_TEXT_MAX];
    const adm_args *v = &a->args;
    rmr_jw w;
    if (v->user == NULL && v->tags.n == 0) {
        return adm_misused(a, "say whose nodes will join by the key with "
                              "--user, or what they will be with --tags");
    }
    if (!adm_expiry(a, v->expiry != NULL ? v->expiry : "1h", expiry) ||
        (v->user != NULL && !adm_user_id(a, v->user, user))) {
        return false;
    }
    rmr_jw_init(&w, rmr_buf_of(room, sizeof room));
    rmr_jw_object(&w);
    if (v->user != NULL) {
        rmr_jw_kstr(&w, "user", user);
    }
    rmr_jw_kbool(&w, "reusable", v->reusable);
    rmr_jw_kbool(&w, "ephemeral", v->ephemeral);
    rmr_jw_kstr(&w, "expiration", expiry);
    adm_put_list(&w, "aclTags", &v->tags);
    rmr_jw_object_end(&w);
    adm_path(a, "preauthkey");
    const cli_node *key =
        adm_ask(a, "POST", &w,
                "; remora coordinator users list shows all users")
            ? adm_member(a, "preAuthKey")
            : NULL;
    if (key == NULL || !adm_is_table(a)) {
        return adm_print(a, key, "");
    }
    return print_key(a, cli_node_text(key, "key"));
}

static void put_owner(cli_table *t, const cli_node *key)
{
    const cli_node *tags = cli_node_get(key, "aclTags");
    if (tags != NULL && tags->first != NULL) {
        cli_table_list(t, tags);
    } else {
        cli_table_cell(t, cli_node_text(cli_node_get(key, "user"), "name"));
    }
}

static const char *yes(bool is)
{
    return is ? "true" : "false";
}

/* The year 1: it was made without an end, and never was good. */
static void put_expiry(cli_table *t, const cli_node *object)
{
    const cli_node *at = cli_node_get(object, "expiration");
    bool is_never = at == NULL || at->kind == RMR_JSON_NULL;
    cli_table_time(t, at, is_never ? "never" : "expired");
}

static bool table(adm *a, const cli_node *list)
{
    static const char *const head[] = {"ID",        "Key/Prefix", "Reusable",
                                       "Ephemeral", "Used",       "Expiration",
                                       "Created",   "Owner",      NULL};
    cli_table t;
    cli_table_begin(&t, head);
    for (const cli_node *k = list->first; k != NULL; k = k->next) {
        cli_table_cell(&t, cli_node_text(k, "id"));
        cli_table_cell(&t, cli_node_text(k, "key"));
        cli_table_str(&t, yes(cli_node_is_true(k, "reusable")));
        cli_table_str(&t, yes(cli_node_is_true(k, "ephemeral")));
        cli_table_str(&t, yes(cli_node_is_true(k, "used")));
        put_expiry(&t, k);
        cli_table_time(&t, cli_node_get(k, "createdAt"), "");
        put_owner(&t, k);
    }
    return adm_print_table(a, &t);
}

static bool run_list(adm *a)
{
    adm_path(a, "preauthkey");
    const cli_node *list =
        adm_ask(a, "GET", NULL, NULL) ? adm_member(a, "preAuthKeys") : NULL;
    if (list == NULL) {
        return false;
    }
    return adm_is_table(a) ? table(a, list) : adm_print(a, list, "");
}

static void id_body(rmr_jw *w, uint8_t *room, size_t cap, const char *key,
                    const char *text)
{
    rmr_jw_init(w, rmr_buf_of(room, cap));
    rmr_jw_object(w);
    rmr_jw_kstr(w, key, text);
    rmr_jw_object_end(w);
}

static bool run_expire(adm *a)
{
    uint8_t room[256];
    rmr_jw w;
    if (!adm_check_id(a, "id")) {
        return false;
    }
    id_body(&w, room, sizeof room, "id", a->args.id);
    adm_path(a, "preauthkey/expire");
    return adm_ask(a, "POST", &w, SEE_KEYS) && adm_print_done(a, "Key expired");
}

static bool run_delete(adm *a)
{
    if (!adm_check_id(a, "id")) {
        return false;
    }
    adm_path(a, "preauthkey?id=");
    adm_path_add(a, a->args.id);
    return adm_ask(a, "DELETE", NULL, SEE_KEYS) &&
           adm_print_done(a, "Key deleted");
}

static const adm_option create_options[] = {
    {"user", 'u', ADM_TEXT, offsetof(adm_args, user)},
    {"reusable", 0, ADM_FLAG, offsetof(adm_args, reusable)},
    {"ephemeral", 0, ADM_FLAG, offsetof(adm_args, ephemeral)},
    {"expiration", 'e', ADM_TEXT, offsetof(adm_args, expiry)},
    {"tags", 0, ADM_LIST, offsetof(adm_args, tags)},
};
static const adm_option id_options[] = {
    {"id", 'i', ADM_TEXT, offsetof(adm_args, id)},
    {"prefix", 'p', ADM_TEXT, offsetof(adm_args, prefix)}, /* apikeys alone */
};

static const adm_verb key_verbs[] = {
    {"create c new", NULL, NULL, create_options, 5, run_create},
    {"list ls show", NULL, NULL, NULL, 0, run_list},
    {"expire revoke exp e", NULL, "id", id_options, 1, run_expire},
    {"delete del rm d", NULL, "id", id_options, 1, run_delete},
};

const adm_word adm_keys = {"preauthkeys preauthkey authkey pre", key_verbs, 4,
                           adm_help_keys};

/* ---- apikeys ------------------------------------------------------------- */

static bool run_api_create(adm *a)
{
    uint8_t room[256];
    char expiry[RMR_TIME_TEXT_MAX];
    rmr_jw w;
    if (!adm_expiry(a, a->args.expiry != NULL ? a->args.expiry : "90d",
                    expiry)) {
        return false;
    }
    id_body(&w, room, sizeof room, "expiration", expiry);
    adm_path(a, "apikey");
    const cli_node *key =
        adm_ask(a, "POST", &w, NULL) ? adm_member(a, "apiKey") : NULL;
    if (key == NULL || !adm_is_table(a)) {
        return adm_print(a, key, "");
    }
    return print_key(a, key->text);
}

static bool api_table(adm *a, const cli_node *list)
{
    static const char *const head[] = {"ID", "Prefix", "Expiration", "Created",
                                       NULL};
    cli_table t;
    cli_table_begin(&t, head);
    for (const cli_node *k = list->first; k != NULL; k = k->next) {
        cli_table_cell(&t, cli_node_text(k, "id"));
        cli_table_cell(&t, cli_node_text(k, "prefix"));
        put_expiry(&t, k);
        cli_table_time(&t, cli_node_get(k, "createdAt"), "");
    }
    return adm_print_table(a, &t);
}

static const cli_node *ask_list(adm *a)
{
    adm_path(a, "apikey");
    return adm_ask(a, "GET", NULL, NULL) ? adm_member(a, "apiKeys") : NULL;
}

static bool run_api_list(adm *a)
{
    const cli_node *list = ask_list(a);
    if (list == NULL) {
        return false;
    }
    return adm_is_table(a) ? api_table(a, list) : adm_print(a, list, "");
}

static bool one_of_both(adm *a)
{
    if ((a->args.id == NULL) == (a->args.prefix == NULL)) {
        return adm_misused(a,
                           "say which key by --id or by --prefix" SEE_API_KEYS);
    }
    return adm_check_id(a, "id");
}

static bool run_api_expire(adm *a)
{
    uint8_t room[1024];
    rmr_jw w;
    if (!one_of_both(a)) {
        return false;
    }
    id_body(&w, room, sizeof room, a->args.id != NULL ? "id" : "prefix",
            a->args.id != NULL ? a->args.id : a->args.prefix);
    adm_path(a, "apikey/expire");
    return adm_ask(a, "POST", &w, SEE_API_KEYS) &&
           adm_print_done(a, "Key expired");
}

/* The API deletes by prefix alone. */
static bool prefix_of(adm *a, char *dst, size_t cap)
{
    const cli_node *list = ask_list(a);
    const cli_node *k = list != NULL ? list->first : NULL;
    if (list == NULL) {
        return false;
    }
    while (k != NULL && !rmr_bytes_eq_str(cli_node_text(k, "id"), a->args.id)) {
        k = k->next;
    }
    rmr_bytes prefix = cli_node_text(k, "prefix");
    if (prefix.len == 0 || prefix.len >= cap) {
        return adm_wrong(a, "no API key has the ID %s" SEE_API_KEYS,
                         a->args.id);
    }
    memcpy(dst, prefix.ptr, prefix.len);
    dst[prefix.len] = '\0';
    return true;
}

static bool run_api_delete(adm *a)
{
    char prefix[128];
    if (!one_of_both(a) ||
        (a->args.id != NULL && !prefix_of(a, prefix, sizeof prefix))) {
        return false;
    }
    adm_path(a, "apikey/");
    adm_path_add(a, a->args.id != NULL ? prefix : a->args.prefix);
    return adm_ask(a, "DELETE", NULL, SEE_API_KEYS) &&
           adm_print_done(a, "Key deleted");
}

static const adm_option api_create_options[] = {
    {"expiration", 'e', ADM_TEXT, offsetof(adm_args, expiry)},
};

static const adm_verb api_verbs[] = {
    {"create c new", NULL, NULL, api_create_options, 1, run_api_create},
    {"list ls show", NULL, NULL, NULL, 0, run_api_list},
    {"expire revoke exp e", NULL, NULL, id_options, 2, run_api_expire},
    {"delete remove del", NULL, NULL, id_options, 2, run_api_delete},
};

const adm_word adm_api_keys = {"apikeys apikey api", api_verbs, 4,
                               adm_help_api_keys};
