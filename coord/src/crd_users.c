/* Users.  They are few, so that a sorted array is enough. */
#include "crd_internal.h"

#include <string.h>

#define NAME_MAX_LEN 255

/* ---- the table ----------------------------------------------------------- */

static size_t lower_bound(const rmr_coord *c, uint64_t id)
{
    size_t lo = 0, hi = c->n_users;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (c->users[mid]->id < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

crd_user *rmri_crd_user(const rmr_coord *c, uint64_t id)
{
    size_t at = lower_bound(c, id);
    return at < c->n_users && c->users[at]->id == id ? c->users[at] : NULL;
}

crd_user *rmri_crd_user_named(const rmr_coord *c, const char *name)
{
    for (size_t i = 0; name && i < c->n_users; i++) {
        if (strcmp(c->users[i]->name, name) == 0)
            return c->users[i];
    }
    return NULL;
}

static void user_free(rmr_coord *c, crd_user *u)
{
    rmri_crd_text_free(c, u->name);
    rmri_crd_text_free(c, u->display);
    rmri_crd_text_free(c, u->email);
    rmri_crd_text_free(c, u->picture);
    rmri_crd_forget(c, &u->row);
}

void rmri_crd_users_free(rmr_coord *c)
{
    for (size_t i = 0; i < c->n_users; i++)
        user_free(c, c->users[i]);
    rmr_release(&c->env.alloc, c->users, c->cap_users * sizeof *c->users);
}

static rmr_err grow(rmr_coord *c)
{
    crd_user **p =
        rmri_crd_room(c, c->users, c->n_users, &c->cap_users, sizeof *p);
    if (!p)
        return RMR_E_NOMEM;
    c->users = p;
    return RMR_OK;
}

/* The last one. */
static rmr_err append(rmr_coord *c, uint64_t id, const char *name,
                      uint64_t created, crd_user **out)
{
    if (grow(c) != RMR_OK)
        return RMR_E_NOMEM;
    crd_user *u = rmr_alloc_zero(&c->env.alloc, sizeof *u, _Alignof(crd_user));
    if (u)
        u->name = rmri_crd_text(c, rmr_bytes_str(name));
    if (!u || !u->name) {
        rmr_release(&c->env.alloc, u, sizeof *u);
        return RMR_E_NOMEM;
    }
    u->row = (crd_row){.id = id, .size = sizeof *u, .kind = RMR_COORD_ROW_USER};
    u->id = id;
    u->created = created;
    rmr_err e = rmri_crd_policy_user(c, u, u->name, NULL);
    if (e != RMR_OK) {
        rmri_crd_text_free(c, u->name);
        rmr_release(&c->env.alloc, u, sizeof *u);
        return e;
    }
    c->users[c->n_users++] = u; /* ids only grow */
    *out = u;
    return RMR_OK;
}

/* ---- the API ------------------------------------------------------------- */

static bool is_letter(char ch)
{
    return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z');
}

static bool is_name(const char *s)
{
    size_t n = 0;
    if (!s || !is_letter(s[0]))
        return false;
    for (; s[n]; n++) {
        bool ok = is_letter(s[n]) || (s[n] >= '0' && s[n] <= '9') ||
                  s[n] == '.' || s[n] == '_' || s[n] == '@' || s[n] == '-';
        if (!ok || n >= NAME_MAX_LEN)
            return false;
    }
    return true;
}

rmr_err rmr_coord_user_add(rmr_coord *c, const char *name, uint64_t *id)
{
    crd_user *u;
    if (!is_name(name))
        return RMR_E_INVAL;
    if (rmri_crd_user_named(c, name))
        return RMR_E_INUSE;
    rmr_err e = rmri_crd_may_change(c);
    if (e == RMR_OK)
        e = append(c, c->next_user, name, rmri_crd_wall(c), &u);
    if (e != RMR_OK)
        return e;
    c->next_user++;
    rmri_crd_mark(c, &u->row, CRD_DIRTY);
    *id = u->id;
    return RMR_OK;
}

rmr_err rmri_crd_user_load(rmr_coord *c, const rmr_coord_row *row)
{
    crd_user *u;
    const rmr_coord_row_user *r = &row->as.user;
    if (!is_name(r->name) || rmri_crd_user_named(c, r->name))
        return RMR_E_MALFORMED;
    rmr_err e = append(c, row->id, r->name, r->created_unix_ns, &u);
    return e == RMR_OK
               ? rmri_crd_user_texts(c, u, r->display, r->email, r->picture)
               : e;
}

static const char *text_or_none(const char *text)
{
    return text ? text : "";
}

void rmri_crd_user_row(const crd_user *u, rmr_coord_row *row)
{
    row->as.user.name = u->name;
    row->as.user.display = text_or_none(u->display);
    row->as.user.email = text_or_none(u->email);
    row->as.user.picture = text_or_none(u->picture);
    row->as.user.created_unix_ns = u->created;
}

static void show(const crd_user *u, rmr_coord_user *out)
{
    out->id = u->id;
    out->name = u->name;
    out->created_unix_ns = u->created;
    out->n_nodes = u->n_nodes;
}

rmr_err rmr_coord_user_get(const rmr_coord *c, uint64_t id, const char *name,
                           rmr_coord_user *out)
{
    const crd_user *u =
        id ? rmri_crd_user(c, id) : rmri_crd_user_named(c, name);
    if (!u)
        return RMR_E_NOTFOUND;
    show(u, out);
    return RMR_OK;
}

rmr_err rmr_coord_user_next(const rmr_coord *c, uint64_t after,
                            rmr_coord_user *out)
{
    size_t at = after == UINT64_MAX ? c->n_users : lower_bound(c, after + 1);
    if (at == c->n_users)
        return RMR_E_NOTFOUND;
    show(c->users[at], out);
    return RMR_OK;
}

rmr_err rmr_coord_user_rename(rmr_coord *c, uint64_t id, const char *name)
{
    crd_user *u = rmri_crd_user(c, id);
    if (!is_name(name))
        return RMR_E_INVAL;
    if (!u)
        return RMR_E_NOTFOUND;
    const crd_user *other = rmri_crd_user_named(c, name);
    if (other)
        return other == u ? RMR_OK : RMR_E_INUSE;
    if (rmri_crd_may_change(c) != RMR_OK)
        return RMR_E_IO;
    char *fresh = rmri_crd_text(c, rmr_bytes_str(name));
    rmr_err e =
        fresh ? rmri_crd_policy_user(c, u, name, u->email) : RMR_E_NOMEM;
    if (e != RMR_OK) {
        rmri_crd_text_free(c, fresh);
        return e;
    }
    rmri_crd_text_free(c, u->name);
    u->name = fresh;
    rmri_crd_mark(c, &u->row, CRD_DIRTY);
    for (size_t i = 0; i < c->n_slots; i++) {
        if (c->nodes[i] && c->nodes[i]->user == u)
            rmri_crd_changed(c, c->nodes[i], CRD_WHOLE);
    }
    return RMR_OK;
}

rmr_err rmr_coord_user_remove(rmr_coord *c, uint64_t id)
{
    size_t at = lower_bound(c, id);
    crd_user *u = rmri_crd_user(c, id);
    if (!u)
        return RMR_E_NOTFOUND;
    if (u->n_nodes)
        return RMR_E_INUSE;
    if (rmri_crd_may_change(c) != RMR_OK)
        return RMR_E_IO;
    rmri_crd_keys_of_user_remove(c, id);
    rmri_crd_policy_user_gone(c, u);
    c->n_users--;
    memmove(c->users + at, c->users + at + 1,
            (c->n_users - at) * sizeof *c->users);
    user_free(c, u);
    return RMR_OK;
}
