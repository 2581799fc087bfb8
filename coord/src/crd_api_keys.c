/* The REST API: pre-auth keys. */
#include "crd_api.h"

#include <stdio.h>
#include <string.h>

#define MISSING "auth-key not found"

void rmri_crd_put_key(rmr_jw *w, const rmr_coord *c, const crd_key *k,
                      const char *text)
{
    char masked[32];
    if (!k) {
        rmr_jw_null(w);
        return;
    }
    (void)snprintf(masked, sizeof masked, "hskey-auth-%s-***", k->prefix);
    rmr_jw_object(w);
    rmr_jw_key(w, "user");
    rmri_crd_put_user(w, rmri_crd_user(c, k->user));
    rmri_crd_put_id(w, "id", k->id);
    rmr_jw_kstr(w, "key", text ? text : masked);
    rmr_jw_kbool(w, "reusable", k->reusable);
    rmr_jw_kbool(w, "ephemeral", k->ephemeral);
    rmr_jw_kbool(w, "used", k->used && !k->reusable);
    rmri_crd_put_time(w, "expiration", k->expiry);
    rmri_crd_put_time(w, "createdAt", k->created);
    rmr_jw_key(w, "aclTags");
    rmr_jw_array(w);
    for (size_t i = 0; i < k->tags.n; i++)
        rmr_jw_str(w, k->tags.p[i]);
    rmr_jw_array_end(w);
    rmr_jw_object_end(w);
}

/* ---- operations ---------------------------------------------------------- */

static bool next_key(crd_conn *n, crd_reply *r, rmr_jw *w)
{
    rmr_coord_key k;
    if (rmr_coord_key_next(n->c, r->after, &k) != RMR_OK)
        return false;
    r->after = k.id;
    rmri_crd_put_key(w, n->c, rmri_crd_key(n->c, k.id), NULL);
    return true;
}

void rmri_crd_do_key_list(crd_conn *n, crd_call *q)
{
    rmri_crd_api_list(n, q, "preAuthKeys", next_key, 0);
}

/* Sorted, each once.  False: one is no tag, and that was answered. */
static bool take_tags(crd_conn *n, const crd_value *v,
                      const char *tags[RMR_COORD_MAX_ROUTES], size_t *n_tags)
{
    size_t k = 0;
    for (size_t i = 0; i < v->n; i++) {
        size_t at = 0;
        if (!rmri_crd_is_tag(rmr_bytes_str(v->list[i]))) {
            rmri_crd_api_problem(n, 400, "invalid tag",
                                 "a tag is 'tag:', a small letter, and small "
                                 "letters, digits and hyphens");
            return false;
        }
        while (at < k && strcmp(tags[at], v->list[i]) < 0)
            at++;
        if (at < k && strcmp(tags[at], v->list[i]) == 0)
            continue;
        memmove(tags + at + 1, tags + at, (k - at) * sizeof *tags);
        tags[at] = v->list[i];
        k++;
    }
    *n_tags = k;
    return true;
}

static void minted(crd_conn *n, const crd_key *k, const char *text)
{
    rmr_jw w;
    if (k->reusable)
        n->c->api->minted_reusable++;
    else
        n->c->api->minted_single++;
    rmri_crd_api_begin(n, &w);
    rmr_jw_object(&w);
    rmr_jw_key(&w, "preAuthKey");
    rmri_crd_put_key(&w, n->c, k, text);
    rmr_jw_object_end(&w);
    rmri_crd_api_send(n, &w, NULL);
    rmr_wipe(n->c->api->page, w.len);
}

void rmri_crd_do_key_create(crd_conn *n, crd_call *q)
{
    static const char detail[] = "creating pre-auth key";
    const char *tags[RMR_COORD_MAX_ROUTES];
    char text[RMR_COORD_KEY_TEXT];
    rmr_coord_key_wish wish;
    uint64_t id;
    memset(&wish, 0, sizeof wish);
    if (q->v[0].given && *q->v[0].text &&
        (rmr_parse_u64(rmr_bytes_str(q->v[0].text), UINT64_MAX, &wish.user) !=
             RMR_OK ||
         wish.user == 0)) {
        rmri_crd_api_problem(n, 400, "invalid user id",
                             "it is no decimal number");
        return;
    }
    if (!take_tags(n, &q->v[4], tags, &wish.n_tags))
        return;
    wish.tags = tags;
    wish.reusable = q->v[1].flag;
    wish.ephemeral = q->v[2].flag;
    /* Without one it never was good, as at Headscale: who forgets it must not
     * get a key that lasts for ever. */
    wish.expiry_unix_ns = q->v[3].given ? q->v[3].time : 1;
    rmr_err e = rmr_coord_key_add(n->c, &wish, text, &id);
    if (e == RMR_OK)
        minted(n, rmri_crd_key(n->c, id), text);
    else if (e == RMR_E_INVAL && !wish.user && !wish.n_tags)
        rmri_crd_api_problem(n, 400, detail,
                             "auth-key must be either tagged or owned by user");
    else if (e == RMR_E_INVAL)
        rmri_crd_api_problem(n, 400, detail, "too many tags");
    else
        rmri_crd_api_failed(n, e, detail, "user not found");
    rmr_wipe(text, sizeof text);
}

static void done(crd_conn *n, rmr_err e, const char *detail)
{
    if (e == RMR_OK)
        rmri_crd_api_nothing(n);
    else
        rmri_crd_api_failed(n, e, detail, MISSING);
}

void rmri_crd_do_key_expire(crd_conn *n, crd_call *q)
{
    uint64_t id;
    if (rmri_crd_api_id(n, q->v[0].given ? q->v[0].text : "", "id", &id))
        done(n, rmr_coord_key_expire(n->c, id), "expiring pre-auth key");
}

void rmri_crd_do_key_delete(crd_conn *n, crd_call *q)
{
    char text[CRD_API_ARG_MAX + 1];
    uint64_t id;
    if (!rmri_crd_api_param(q, "id", text))
        text[0] = '\0';
    if (rmri_crd_api_id(n, text, "id", &id))
        done(n, rmr_coord_key_remove(n->c, id), "deleting pre-auth key");
}
