/* policy, auth, health. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "coord_admin_internal.h"
#include "print.h"

#define POLICY_MAX ((size_t)1024 * 1024)

/* ---- policy -------------------------------------------------------------- */

/* To a terminal without what steers it; else every byte, so that it can be
 * edited and set again. */
static void print_policy(rmr_bytes text)
{
    bool is_terminal = isatty(STDOUT_FILENO) != 0;
    bool has_end = text.len > 0 && text.ptr[text.len - 1] == '\n';
    size_t from = 0;
    if (!is_terminal) {
        (void)fwrite(text.ptr, 1, text.len, stdout);
    }
    for (size_t i = 0; is_terminal && i < text.len; i++) {
        if (text.ptr[i] == '\n' || text.ptr[i] == '\t') {
            cli_print_clean(stdout, rmr_bytes_of(text.ptr + from, i - from));
            (void)putc(text.ptr[i], stdout);
            from = i + 1;
        }
    }
    if (is_terminal) {
        cli_print_clean(stdout, rmr_bytes_of(text.ptr + from, text.len - from));
    }
    if (!has_end) {
        (void)putc('\n', stdout);
    }
}

static bool refused_because(const adm *a, const char *words)
{
    return strstr(a->error, words) != NULL;
}

static bool run_get(adm *a)
{
    adm_path(a, "policy");
    const cli_node *policy =
        adm_ask(a, "GET", NULL, NULL) ? adm_member(a, "policy") : NULL;
    if (policy == NULL) {
        return refused_because(a, "policy not found")
                   ? adm_wrong(a, "no policy was set; set one with remora "
                                  "coordinator policy set --file F")
                   : false;
    }
    print_policy(policy->text); /* HuJSON already, in every form */
    return true;
}

/* The file's text as {"policy":"..."}. */
static bool send_policy(adm *a, const char *method, const char *path)
{
    const char *name =
        strcmp(a->args.file, "-") == 0 ? "/dev/stdin" : a->args.file;
    char error[4500];
    cli_file f;
    rmr_jw w;
    if (!cli_file_read(&f, name, POLICY_MAX, error, sizeof error)) {
        return adm_wrong(a, "%s", error);
    }
    size_t cap = 6 * f.len + 64; /* a byte may become \u00xx */
    uint8_t *room = malloc(cap);
    bool ok = room != NULL || adm_wrong(a, "out of memory");
    if (ok) {
        rmr_jw_init(&w, rmr_buf_of(room, cap));
        rmr_jw_object(&w);
        rmr_jw_key(&w, "policy");
        rmr_jw_bytes(&w, rmr_bytes_of(f.data, f.len));
        rmr_jw_object_end(&w);
        adm_path(a, path);
        ok = adm_ask(a, method, &w, NULL);
    }
    free(room);
    cli_file_free(&f);
    return ok;
}

static bool run_set(adm *a)
{
    if (send_policy(a, "PUT", "policy")) {
        return adm_print(a, a->answer.root, "Policy updated.");
    }
    return refused_because(a, "update is disabled")
               ? adm_wrong(a, "the coordinator has its policy in a file; edit "
                              "that, and send it SIGHUP")
               : false;
}

static bool run_check(adm *a)
{
    return send_policy(a, "POST", "policy/check") &&
           adm_print_done(a, "Policy is valid");
}

static const adm_option file_options[] = {
    {"file", 'f', ADM_TEXT, offsetof(adm_args, file)},
};

static const adm_verb policy_verbs[] = {
    {"get show view fetch", NULL, NULL, NULL, 0, run_get},
    {"set put update", NULL, "file", file_options, 1, run_set},
    {"check", NULL, "file", file_options, 1, run_check},
};

const adm_word adm_policy = {"policy", policy_verbs, 3, adm_help_policy};

/* ---- auth ---------------------------------------------------------------- */

void adm_put_list(rmr_jw *w, const char *key, const adm_list *list)
{
    rmr_jw_key(w, key);
    rmr_jw_array(w);
    for (size_t i = 0; i < list->n; i++) {
        rmr_jw_bytes(w, list->at[i]);
    }
    rmr_jw_array_end(w);
}

#define SEE_LOGIN                                                              \
    "; the node's own output shows the ID, for 15 minutes, and remora "        \
    "coordinator users list all users"

/* The API wants a name; an ID is looked up. */
static bool user_name(adm *a, char *dst, size_t cap)
{
    if (!adm_is_id(a->args.user)) {
        return snprintf(dst, cap, "%s", a->args.user) < (int)cap ||
               adm_misused(a, "the user's name is too long");
    }
    const cli_node *u = adm_user(a, "id", a->args.user);
    rmr_bytes name = cli_node_text(u, "name");
    if (u == NULL) {
        return false;
    }
    return (name.len > 0 && snprintf(dst, cap, "%.*s", (int)name.len,
                                     (const char *)name.ptr) < (int)cap) ||
           adm_wrong(a, "the user's name makes no sense");
}

static void login_body(rmr_jw *w, uint8_t *room, size_t cap, const char *user,
                       const char *login)
{
    rmr_jw_init(w, rmr_buf_of(room, cap));
    rmr_jw_object(w);
    if (user != NULL) {
        rmr_jw_kstr(w, "user", user);
    }
    rmr_jw_kstr(w, "authId", login);
    rmr_jw_object_end(w);
}

bool adm_register(adm *a)
{
    uint8_t room[4096];
    char name[300];
    rmr_jw w;
    if (!user_name(a, name, sizeof name)) {
        return false;
    }
    login_body(&w, room, sizeof room, name, a->args.login);
    adm_path(a, "auth/register");
    return adm_ask(a, "POST", &w, SEE_LOGIN) &&
           adm_print(a, adm_member(a, "node"), "Node registered");
}

static bool answer_login(adm *a, const char *path, const char *sentence)
{
    uint8_t room[1024];
    rmr_jw w;
    login_body(&w, room, sizeof room, NULL, a->args.login);
    adm_path(a, path);
    return adm_ask(a, "POST", &w, SEE_LOGIN) && adm_print_done(a, sentence);
}

static bool run_approve(adm *a)
{
    return answer_login(a, "auth/approve", "Auth request approved");
}

static bool run_reject(adm *a)
{
    return answer_login(a, "auth/reject", "Auth request rejected");
}

static const adm_option auth_options[] = {
    {"auth-id", 0, ADM_TEXT, offsetof(adm_args, login)},
    {"user", 'u', ADM_TEXT, offsetof(adm_args, user)},
};

static const adm_verb auth_verbs[] = {
    {"register", NULL, "user auth-id", auth_options, 2, adm_register},
    {"approve", NULL, "auth-id", auth_options, 1, run_approve},
    {"reject", NULL, "auth-id", auth_options, 1, run_reject},
};

const adm_word adm_auth = {"auth", auth_verbs, 3, adm_help_auth};

/* ---- health -------------------------------------------------------------- */

static bool run_health(adm *a)
{
    adm_path(a, "health");
    if (!adm_ask(a, "GET", NULL, NULL)) {
        return false;
    }
    if (!cli_node_is_true(a->answer.root, "databaseConnectivity")) {
        return adm_wrong(a, "the coordinator can't reach its store; see what "
                            "its log says");
    }
    return adm_print(a, a->answer.root, "The coordinator is healthy");
}

static const adm_verb health_verbs[] = {
    {"", NULL, NULL, NULL, 0, run_health},
};

const adm_word adm_health = {"health", health_verbs, 1, adm_help_health};
