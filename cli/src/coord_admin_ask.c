/* Requests of the REST API, and what its refusals mean. */
#include <stdio.h>
#include <string.h>

#include "coord_admin_internal.h"

/* ---- paths --------------------------------------------------------------- */

void adm_path_raw(adm *a, const char *text)
{
    size_t have = strlen(a->path), len = strlen(text);
    if (len >= sizeof a->path - have) {
        a->path_failed = true;
        return;
    }
    memcpy(a->path + have, text, len + 1);
}

void adm_path(adm *a, const char *path)
{
    a->path[0] = '\0';
    a->path_failed = false;
    adm_path_raw(a, "/api/v1/");
    adm_path_raw(a, path);
}

void adm_path_add(adm *a, const char *text)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "abcdefghijklmnopqrstuvwxyz0123456789-._~";
    for (; *text != '\0'; text++) {
        char one[4] = {*text, '\0', '\0', '\0'};
        if (strchr(plain, *text) == NULL) {
            (void)snprintf(one, sizeof one, "%%%02X",
                           (unsigned)(unsigned char)*text);
        }
        adm_path_raw(a, one);
    }
}

/* ---- refusals ------------------------------------------------------------ */

static const char *advice(unsigned status, const char *missing)
{
    switch (status) {
    case 401:
        return "; make an API key there with remora coordinator apikeys create "
               "and name its file with --api-key-file";
    case 404:
    case 409:
        return missing;
    case 413:
        return "; shorten it";
    case 501:
        return "; it can't do this";
    default:
        return status >= 500 ? "; see what the coordinator's log says" : "";
    }
}

static void append(char *dst, size_t cap, const char *between, rmr_bytes text)
{
    size_t n = strlen(dst);
    if (text.len > 0 && n < cap) {
        (void)snprintf(dst + n, cap - n, "%s%.*s", n > 0 ? between : "",
                       (int)(text.len < 400 ? text.len : 400),
                       (const char *)text.ptr);
    }
}

/* Where a policy is wrong, if the words do not say it themselves. */
static void append_place(char *dst, size_t cap, const cli_node *error)
{
    static const char front[] = "body.policy: ";
    rmr_bytes where = cli_node_text(error, "location");
    size_t n = sizeof front - 1;
    if (where.len > n && memcmp(where.ptr, front, n) == 0 &&
        strstr(dst, ": line ") == NULL) {
        append(dst, cap, ", ", rmr_bytes_of(where.ptr + n, where.len - n));
    }
}

/* problem+json with its first cause, {"code","message"} of older servers, or a
 * line of text. */
static void words_of(const cli_tree *t, const cli_reply *r, char *dst,
                     size_t cap)
{
    const cli_node *errors = cli_node_get(t->root, "errors");
    dst[0] = '\0';
    append(dst, cap, ": ", cli_node_text(t->root, "detail"));
    append(dst, cap, ": ",
           cli_node_text(errors != NULL ? errors->first : NULL, "message"));
    append_place(dst, cap, errors != NULL ? errors->first : NULL);
    append(dst, cap, ": ", cli_node_text(t->root, "message"));
    if (dst[0] == '\0' && t->root == NULL) {
        size_t n = 0;
        for (; n < r->len && n + 1 < cap && r->body[n] != '\n'; n++) {
            uint8_t c = r->body[n];
            dst[n] = c < 0x80 ? (char)c : '?'; /* of no known encoding */
        }
        dst[n] = '\0';
    }
}

static bool refused(adm *a, const cli_reply *r, const char *missing)
{
    char words[900];
    unsigned status = r->status;
    if (status == 404 && !r->is_json) {
        return adm_wrong(a,
                         "what answers at %s has no such REST API; is it the "
                         "coordinator?",
                         a->server.socket != NULL ? a->server.socket
                                                  : a->server.address);
    }
    words_of(&a->answer, r, words, sizeof words);
    if (words[0] == '\0') {
        (void)snprintf(words, sizeof words, "status %u", status);
    }
    return adm_wrong(a, "the coordinator refused: %s%s", words,
                     advice(status, missing != NULL ? missing : ""));
}

bool adm_ask(adm *a, const char *method, const rmr_jw *body,
             const char *missing)
{
    cli_reply r;
    rmr_bytes text = rmr_bytes_of(NULL, 0);
    if (body != NULL) {
        text = rmr_bytes_of(body->base, body->len);
    }
    if (a->path_failed || (body != NULL && body->failed)) {
        return adm_wrong(a, "what was given is too long for a request");
    }
    if (!cli_http_ask(&a->server, method, a->path, body != NULL ? &text : NULL,
                      &r, a->error, sizeof a->error)) {
        return false;
    }
    cli_tree_free(&a->answer);
    bool ok =
        r.is_json && cli_tree_read(&a->answer, rmr_bytes_of(r.body, r.len));
    if (r.status != 200) {
        ok = refused(a, &r, missing);
    } else if (!ok) {
        (void)adm_wrong(a, "the answer makes no sense; is it the coordinator "
                           "that answers there?");
    }
    cli_reply_free(&r);
    return ok;
}

const cli_node *adm_member(adm *a, const char *key)
{
    const cli_node *n = cli_node_get(a->answer.root, key);
    if (n == NULL) {
        (void)adm_wrong(a,
                        "the answer has no \"%s\"; is the coordinator of "
                        "another release?",
                        key);
    }
    return n;
}

/* ---- users --------------------------------------------------------------- */

bool adm_is_id(const char *text)
{
    uint64_t id;
    return rmr_parse_u64(rmr_bytes_str(text), UINT64_MAX, &id) == RMR_OK;
}

bool adm_check_id(adm *a, const char *option)
{
    return a->args.id == NULL || adm_is_id(a->args.id) ||
           adm_misused(a, "--%s takes an ID, which is a number, not '%s'",
                       option, a->args.id);
}

const cli_node *adm_user(adm *a, const char *by, const char *text)
{
    adm_path(a, "user?");
    adm_path_raw(a, by);
    adm_path_raw(a, "=");
    adm_path_add(a, text);
    const cli_node *list =
        adm_ask(a, "GET", NULL, NULL) ? adm_member(a, "users") : NULL;
    if (list == NULL) {
        return NULL;
    }
    if (list->first == NULL || list->first->next != NULL) {
        (void)adm_wrong(a,
                        "%s user has the %s '%s'; remora coordinator users "
                        "list shows them all",
                        list->first == NULL ? "no" : "more than one", by, text);
        return NULL;
    }
    return list->first;
}

bool adm_user_id(adm *a, const char *id_or_name, char dst[ADM_ID_MAX])
{
    if (adm_is_id(id_or_name)) {
        return snprintf(dst, ADM_ID_MAX, "%s", id_or_name) < ADM_ID_MAX ||
               adm_misused(a, "'%s' is no ID", id_or_name);
    }
    const cli_node *u = adm_user(a, "name", id_or_name);
    rmr_bytes id = cli_node_text(u, "id");
    if (u == NULL) {
        return false;
    }
    return snprintf(dst, ADM_ID_MAX, "%.*s", (int)id.len,
                    (const char *)id.ptr) < ADM_ID_MAX ||
           adm_wrong(a, "the user's ID makes no sense");
}
