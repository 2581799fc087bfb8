/* users: who has nodes. */
#include <stddef.h>
#include <string.h>

#include "coord_admin_internal.h"

#define SEE "; remora coordinator users list shows them all"

static void wish_begin(rmr_jw *w, uint8_t *room, size_t cap)
{
    rmr_jw_init(w, rmr_buf_of(room, cap));
    rmr_jw_object(w);
}

static void wish_text(rmr_jw *w, const char *key, const char *text)
{
    if (text != NULL) {
        rmr_jw_kstr(w, key, text);
    }
}

static bool run_create(adm *a)
{
    uint8_t room[16 * 1024];
    rmr_jw w;
    wish_begin(&w, room, sizeof room);
    wish_text(&w, "name", a->args.operand);
    wish_text(&w, "displayName", a->args.display);
    wish_text(&w, "email", a->args.email);
    wish_text(&w, "pictureUrl", a->args.picture);
    rmr_jw_object_end(&w);
    adm_path(a, "user");
    return adm_ask(a, "POST", &w, SEE) &&
           adm_print(a, adm_member(a, "user"), "User created");
}

static bool table(adm *a, const cli_node *list)
{
    static const char *const head[] = {"ID",    "Name",    "Username",
                                       "Email", "Created", NULL};
    cli_table t;
    cli_table_begin(&t, head);
    for (const cli_node *u = list->first; u != NULL; u = u->next) {
        cli_table_cell(&t, cli_node_text(u, "id"));
        cli_table_cell(&t, cli_node_text(u, "displayName"));
        cli_table_cell(&t, cli_node_text(u, "name"));
        cli_table_cell(&t, cli_node_text(u, "email"));
        cli_table_time(&t, cli_node_get(u, "createdAt"), "");
    }
    return adm_print_table(a, &t);
}

static bool run_list(adm *a)
{
    const adm_args *v = &a->args;
    if (!adm_check_id(a, "identifier")) {
        return false;
    }
    adm_path(a, "user");
    const char *by = v->name != NULL    ? "?name="
                     : v->email != NULL ? "?email="
                     : v->id != NULL    ? "?id="
                                        : NULL;
    if (by != NULL) {
        adm_path_raw(a, by);
        adm_path_add(a, v->name != NULL    ? v->name
                        : v->email != NULL ? v->email
                                           : v->id);
    }
    const cli_node *list =
        adm_ask(a, "GET", NULL, NULL) ? adm_member(a, "users") : NULL;
    if (list == NULL) {
        return false;
    }
    return adm_is_table(a) ? table(a, list) : adm_print(a, list, "");
}

/* The user that --identifier or --name says, as the answer. */
static const cli_node *who(adm *a)
{
    if (!adm_check_id(a, "identifier")) {
        return NULL;
    }
    if (a->args.id == NULL && a->args.name == NULL) {
        (void)adm_misused(a, "say whom by --identifier ID or --name NAME" SEE);
        return NULL;
    }
    return a->args.id != NULL ? adm_user(a, "id", a->args.id)
                              : adm_user(a, "name", a->args.name);
}

static bool id_of(adm *a, const cli_node *user, char dst[ADM_ID_MAX])
{
    rmr_bytes id = cli_node_text(user, "id");
    if (user == NULL) {
        return false;
    }
    if (id.len == 0 || id.len >= ADM_ID_MAX) {
        return adm_wrong(a, "the answer names no user; is the coordinator of "
                            "another release?");
    }
    memcpy(dst, id.ptr, id.len);
    dst[id.len] = '\0';
    return true;
}

static bool run_rename(adm *a)
{
    char id[ADM_ID_MAX];
    if (!id_of(a, who(a), id)) {
        return false;
    }
    adm_path(a, "user/");
    adm_path_add(a, id);
    adm_path_raw(a, "/rename/");
    adm_path_add(a, a->args.new_name);
    return adm_ask(a, "POST", NULL, SEE) &&
           adm_print(a, adm_member(a, "user"), "User renamed");
}

static bool run_destroy(adm *a)
{
    char id[ADM_ID_MAX];
    const cli_node *user = who(a);
    if (!id_of(a, user, id) ||
        !adm_confirm(a, "Do you want to remove the user ",
                     cli_node_text(user, "name"), "User not destroyed")) {
        return false;
    }
    adm_path(a, "user/");
    adm_path_add(a, id);
    return adm_ask(a, "DELETE", NULL, SEE) &&
           adm_print_done(a, "User destroyed");
}

static const adm_option create_options[] = {
    {"display-name", 'd', ADM_TEXT, offsetof(adm_args, display)},
    {"email", 'e', ADM_TEXT, offsetof(adm_args, email)},
    {"picture-url", 'p', ADM_TEXT, offsetof(adm_args, picture)},
};
static const adm_option list_options[] = {
    {"identifier", 'i', ADM_TEXT, offsetof(adm_args, id)},
    {"name", 'n', ADM_TEXT, offsetof(adm_args, name)},
    {"email", 'e', ADM_TEXT, offsetof(adm_args, email)},
};
static const adm_option rename_options[] = {
    {"identifier", 'i', ADM_TEXT, offsetof(adm_args, id)},
    {"name", 'n', ADM_TEXT, offsetof(adm_args, name)},
    {"new-name", 'r', ADM_TEXT, offsetof(adm_args, new_name)},
};

static const adm_verb verbs[] = {
    {"create c new", "a name", NULL, create_options, 3, run_create},
    {"list ls show", NULL, NULL, list_options, 3, run_list},
    {"rename mv", NULL, "new-name", rename_options, 3, run_rename},
    {"destroy delete", NULL, NULL, list_options, 2, run_destroy},
};

const adm_word adm_users = {"users user", verbs, 4, adm_help_users};
