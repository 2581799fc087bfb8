/* The REST API: users. */
#include "crd_api.h"

#include <string.h>

#define TEXT_MAX 1024
#define MISSING "user not found"

rmr_err rmri_crd_user_texts(rmr_coord *c, crd_user *u, const char *display,
                            const char *email, const char *picture)
{
    char **to[] = {&u->display, &u->email, &u->picture};
    const char *from[] = {display, email, picture};
    for (size_t i = 0; i < 3; i++) {
        if (from[i] && strlen(from[i]) > TEXT_MAX)
            return RMR_E_INVAL;
    }
    if (email && rmri_crd_policy_user(c, u, u->name, email) != RMR_OK)
        return RMR_E_NOMEM;
    for (size_t i = 0; i < 3; i++) {
        char *fresh = from[i] ? rmri_crd_text(c, rmr_bytes_str(from[i])) : NULL;
        if (!from[i])
            continue;
        if (!fresh)
            return RMR_E_NOMEM;
        rmri_crd_text_free(c, *to[i]);
        *to[i] = fresh;
    }
    return RMR_OK;
}

rmr_err rmr_coord_user_describe(rmr_coord *c, uint64_t id, const char *display,
                                const char *email, const char *picture)
{
    crd_user *u = rmri_crd_user(c, id);
    if (!u)
        return RMR_E_NOTFOUND;
    if (rmri_crd_may_change(c) != RMR_OK)
        return RMR_E_IO;
    rmri_crd_mark(c, &u->row, CRD_DIRTY);
    return rmri_crd_user_texts(c, u, display, email, picture);
}

void rmri_crd_put_user(rmr_jw *w, const crd_user *u)
{
    if (!u) {
        rmr_jw_null(w);
        return;
    }
    rmr_jw_object(w);
    rmri_crd_put_id(w, "id", u->id);
    rmr_jw_kstr(w, "name", u->name);
    rmri_crd_put_time(w, "createdAt", u->created);
    rmr_jw_kstr(w, "displayName", u->display);
    rmr_jw_kstr(w, "email", u->email);
    rmr_jw_kstr(w, "providerId", "");
    rmr_jw_kstr(w, "provider", "");
    rmr_jw_kstr(w, "profilePicUrl", u->picture);
    rmr_jw_object_end(w);
}

static void send_user(crd_conn *n, uint64_t id)
{
    rmr_jw w;
    rmri_crd_api_begin(n, &w);
    rmr_jw_object(&w);
    rmr_jw_key(&w, "user");
    rmri_crd_put_user(&w, rmri_crd_user(n->c, id));
    rmr_jw_object_end(&w);
    rmri_crd_api_send(n, &w, NULL);
}

/* ---- operations ---------------------------------------------------------- */

static bool next_user(crd_conn *n, crd_reply *r, rmr_jw *w)
{
    rmr_coord_user u;
    if (rmr_coord_user_next(n->c, r->after, &u) != RMR_OK)
        return false;
    r->after = u.id;
    rmri_crd_put_user(w, rmri_crd_user(n->c, u.id));
    return true;
}

static void send_one(crd_conn *n, const crd_user *u)
{
    rmr_jw w;
    rmri_crd_api_begin(n, &w);
    rmr_jw_object(&w);
    rmr_jw_key(&w, "users");
    rmr_jw_array(&w);
    if (u)
        rmri_crd_put_user(&w, u);
    rmr_jw_array_end(&w);
    rmr_jw_object_end(&w);
    rmri_crd_api_send(n, &w, NULL);
}

static const crd_user *by_email(const rmr_coord *c, const char *email)
{
    for (size_t i = 0; i < c->n_users; i++) {
        if (c->users[i]->email && strcmp(c->users[i]->email, email) == 0)
            return c->users[i];
    }
    return NULL;
}

void rmri_crd_do_user_list(crd_conn *n, crd_call *q)
{
    char text[CRD_API_ARG_MAX + 1];
    uint64_t id;
    if (rmri_crd_api_param(q, "name", text))
        send_one(n, rmri_crd_user_named(n->c, text));
    else if (rmri_crd_api_param(q, "email", text))
        send_one(n, by_email(n->c, text));
    else if (!rmri_crd_api_param(q, "id", text))
        rmri_crd_api_list(n, q, "users", next_user, 0);
    else if (rmr_parse_u64(rmr_bytes_str(text), UINT64_MAX, &id) == RMR_OK)
        send_one(n, rmri_crd_user(n->c, id));
    else
        rmri_crd_api_problem(n, 400, "invalid id", "it is no decimal number");
}

void rmri_crd_do_user_create(crd_conn *n, crd_call *q)
{
    static const char detail[] = "creating user";
    uint64_t id;
    const char *name = q->v[0].given ? q->v[0].text : "";
    for (size_t i = 1; i < 4; i++) {
        if (q->v[i].given && strlen(q->v[i].text) > TEXT_MAX) {
            rmri_crd_api_problem(n, 400, detail, "a text is above 1024 bytes");
            return;
        }
    }
    rmr_err e = rmr_coord_user_add(n->c, name, &id);
    if (e == RMR_OK) {
        e = rmr_coord_user_describe(n->c, id, q->v[1].text, q->v[2].text,
                                    q->v[3].text);
        if (e != RMR_OK)
            (void)rmr_coord_user_remove(n->c, id);
    }
    if (e == RMR_OK)
        send_user(n, id);
    else if (e == RMR_E_INUSE)
        rmri_crd_api_problem(n, 409, "user already exists", NULL);
    else if (e == RMR_E_INVAL)
        rmri_crd_api_problem(n, 400, detail,
                             "a name is 1 to 255 of A-Z a-z 0-9 . _ @ -, a "
                             "letter first");
    else
        rmri_crd_api_failed(n, e, detail, MISSING);
}

void rmri_crd_do_user_rename(crd_conn *n, crd_call *q)
{
    static const char detail[] = "renaming user";
    uint64_t id;
    if (!rmri_crd_api_id(n, q->args[0], "old_id", &id))
        return;
    rmr_err e = rmr_coord_user_rename(n->c, id, q->args[1]);
    if (e == RMR_OK)
        send_user(n, id);
    else if (e == RMR_E_INUSE)
        rmri_crd_api_problem(n, 409, detail, "user already exists");
    else if (e == RMR_E_INVAL)
        rmri_crd_api_problem(n, 400, detail,
                             "a name is 1 to 255 of A-Z a-z 0-9 . _ @ -, a "
                             "letter first");
    else
        rmri_crd_api_failed(n, e, detail, MISSING);
}

void rmri_crd_do_user_delete(crd_conn *n, crd_call *q)
{
    static const char detail[] = "deleting user";
    uint64_t id;
    if (!rmri_crd_api_id(n, q->args[0], "id", &id))
        return;
    rmr_err e = rmr_coord_user_remove(n->c, id);
    if (e == RMR_OK)
        rmri_crd_api_nothing(n);
    else if (e == RMR_E_INUSE)
        rmri_crd_api_problem(n, 400, detail, "user not empty: node(s) found");
    else
        rmri_crd_api_failed(n, e, detail, MISSING);
}
