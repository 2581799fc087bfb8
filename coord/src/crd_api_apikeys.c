/* Keys of the REST API: "hskey-api-<12 hex digits>-<64 hex digits>".  Of the
 * whole text a hash is kept; 32 random bytes need no slow one. */
#include "crd_api.h"

#include <stdio.h>
#include <string.h>

#define FRONT "hskey-api-"
#define BACK "-***"
#define PREFIX_LEN 12
#define MISSING "API key not found"

/* ---- the table ----------------------------------------------------------- */

void rmri_crd_api_keys_free(rmr_coord *c)
{
    crd_api *a = c->api;
    for (size_t i = 0; i < a->n_keys; i++)
        rmri_crd_forget(c, &a->keys[i]->row);
    rmr_release(&c->env.alloc, a->keys, a->cap_keys * sizeof *a->keys);
}

static rmr_err grow(rmr_coord *c)
{
    crd_api *a = c->api;
    crd_api_key **p =
        rmri_crd_room(c, a->keys, a->n_keys, &a->cap_keys, sizeof *p);
    if (!p)
        return RMR_E_NOMEM;
    a->keys = p;
    return RMR_OK;
}

/* There is room. */
static void append(rmr_coord *c, uint64_t id, crd_api_key *k)
{
    k->row =
        (crd_row){.id = id, .size = sizeof *k, .kind = RMR_COORD_ROW_API_KEY};
    k->id = id;
    c->api->keys[c->api->n_keys++] = k;
}

uint64_t rmri_crd_api_key_last(const rmr_coord *c)
{
    const crd_api *a = c->api;
    return a->n_keys ? a->keys[a->n_keys - 1]->id : 0;
}

void rmri_crd_api_key_row(const void *key, rmr_coord_row *row)
{
    const crd_api_key *k = key;
    row->as.api_key.prefix = k->prefix;
    memcpy(row->as.api_key.hash, k->hash, sizeof k->hash);
    row->as.api_key.expiry_unix_ns = k->expiry;
    row->as.api_key.created_unix_ns = k->created;
}

rmr_err rmri_crd_api_key_load(rmr_coord *c, const rmr_coord_row *row)
{
    const rmr_coord_row_api_key *r = &row->as.api_key;
    if (strlen(r->prefix) != PREFIX_LEN)
        return RMR_E_MALFORMED;
    crd_api_key *k =
        grow(c) == RMR_OK
            ? rmr_alloc_zero(&c->env.alloc, sizeof *k, _Alignof(crd_api_key))
            : NULL;
    if (!k)
        return RMR_E_NOMEM;
    memcpy(k->hash, r->hash, sizeof k->hash);
    memcpy(k->prefix, r->prefix, sizeof k->prefix);
    k->expiry = r->expiry_unix_ns;
    k->created = r->created_unix_ns;
    append(c, row->id, k);
    return RMR_OK;
}

static size_t find(const rmr_coord *c, uint64_t id)
{
    size_t i = 0;
    while (i < c->api->n_keys && c->api->keys[i]->id != id)
        i++;
    return i;
}

static void hash_text(uint8_t out[RMR_HASH_LEN], rmr_bytes text)
{
    rmr_blake2s_256(out, text, rmr_bytes_of(NULL, 0));
}

/* In a time that does not tell how near a guess came. */
bool rmri_crd_api_key_opens(const rmr_coord *c, rmr_bytes text)
{
    uint8_t hash[RMR_HASH_LEN];
    const crd_api_key *found = NULL;
    hash_text(hash, text);
    for (size_t i = 0; i < c->api->n_keys; i++) {
        if (rmr_equal_ct(c->api->keys[i]->hash, hash, sizeof hash))
            found = c->api->keys[i];
    }
    return found && (!found->expiry || found->expiry > rmri_crd_wall(c));
}

static rmr_err make_text(rmr_coord *c, crd_api_key *k,
                         char text[RMR_COORD_API_KEY_TEXT])
{
    uint8_t random[PREFIX_LEN / 2 + 32];
    char secret[65];
    rmr_err e = rmr_rng_fill(&c->env.rng, random, sizeof random);
    if (e != RMR_OK)
        return e;
    rmr_hex(k->prefix, random, PREFIX_LEN / 2);
    rmr_hex(secret, random + PREFIX_LEN / 2, 32);
    (void)snprintf(text, RMR_COORD_API_KEY_TEXT, FRONT "%s-%s", k->prefix,
                   secret);
    hash_text(k->hash, rmr_bytes_str(text));
    rmr_wipe(random, sizeof random);
    rmr_wipe(secret, sizeof secret);
    return RMR_OK;
}

/* ---- administration ------------------------------------------------------ */

rmr_err rmr_coord_api_key_add(rmr_coord *c, uint64_t expiry_unix_ns,
                              char text[RMR_COORD_API_KEY_TEXT], uint64_t *id)
{
    rmr_err e = rmri_crd_may_change(c);
    if (e == RMR_OK)
        e = grow(c);
    if (e != RMR_OK)
        return e;
    crd_api_key *k =
        rmr_alloc_zero(&c->env.alloc, sizeof *k, _Alignof(crd_api_key));
    if (!k)
        return RMR_E_NOMEM;
    e = make_text(c, k, text);
    if (e != RMR_OK) {
        rmr_release(&c->env.alloc, k, sizeof *k);
        return e;
    }
    k->expiry = expiry_unix_ns;
    k->created = rmri_crd_wall(c);
    append(c, c->next_api_key++, k);
    rmri_crd_mark(c, &k->row, CRD_DIRTY);
    *id = k->id;
    return RMR_OK;
}

rmr_err rmr_coord_api_key_next(const rmr_coord *c, uint64_t after,
                               rmr_coord_api_key *out)
{
    for (size_t i = 0; i < c->api->n_keys; i++) {
        const crd_api_key *k = c->api->keys[i];
        if (k->id <= after)
            continue;
        out->id = k->id;
        memcpy(out->prefix, k->prefix, sizeof out->prefix);
        out->expiry_unix_ns = k->expiry;
        out->created_unix_ns = k->created;
        return RMR_OK;
    }
    return RMR_E_NOTFOUND;
}

rmr_err rmr_coord_api_key_expire(rmr_coord *c, uint64_t id)
{
    size_t at = find(c, id);
    uint64_t wall = rmri_crd_wall(c);
    if (at == c->api->n_keys)
        return RMR_E_NOTFOUND;
    if (rmri_crd_may_change(c) != RMR_OK)
        return RMR_E_IO;
    crd_api_key *k = c->api->keys[at];
    if (!k->expiry || k->expiry > wall) {
        k->expiry = wall;
        rmri_crd_mark(c, &k->row, CRD_DIRTY);
    }
    return RMR_OK;
}

rmr_err rmr_coord_api_key_remove(rmr_coord *c, uint64_t id)
{
    crd_api *a = c->api;
    size_t at = find(c, id);
    if (at == a->n_keys)
        return RMR_E_NOTFOUND;
    if (rmri_crd_may_change(c) != RMR_OK)
        return RMR_E_IO;
    rmri_crd_forget(c, &a->keys[at]->row);
    a->n_keys--;
    memmove(a->keys + at, a->keys + at + 1, (a->n_keys - at) * sizeof *a->keys);
    return RMR_OK;
}

/* ---- operations ---------------------------------------------------------- */

static bool next_key(crd_conn *n, crd_reply *r, rmr_jw *w)
{
    rmr_coord_api_key k;
    char masked[32];
    if (rmr_coord_api_key_next(n->c, r->after, &k) != RMR_OK)
        return false;
    r->after = k.id;
    (void)snprintf(masked, sizeof masked, FRONT "%s" BACK, k.prefix);
    rmr_jw_object(w);
    rmri_crd_put_id(w, "id", k.id);
    rmr_jw_kstr(w, "prefix", masked);
    rmri_crd_put_time(w, "expiration", k.expiry_unix_ns);
    rmri_crd_put_time(w, "createdAt", k.created_unix_ns);
    rmri_crd_put_time(w, "lastSeen", 0);
    rmr_jw_object_end(w);
    return true;
}

void rmri_crd_do_api_key_list(crd_conn *n, crd_call *q)
{
    rmri_crd_api_list(n, q, "apiKeys", next_key, 0);
}

void rmri_crd_do_api_key_create(crd_conn *n, crd_call *q)
{
    char text[RMR_COORD_API_KEY_TEXT];
    uint64_t id;
    rmr_jw w;
    /* As with pre-auth keys: one without an end never was good. */
    rmr_err e = rmr_coord_api_key_add(n->c, q->v[0].given ? q->v[0].time : 1,
                                      text, &id);
    if (e != RMR_OK) {
        rmri_crd_api_failed(n, e, "creating API key", NULL);
        return;
    }
    rmri_crd_api_begin(n, &w);
    rmr_jw_object(&w);
    rmr_jw_kstr(&w, "apiKey", text);
    rmr_jw_object_end(&w);
    rmri_crd_api_send(n, &w, NULL);
    rmr_wipe(n->c->api->page, w.len);
    rmr_wipe(text, sizeof text);
}

/* The digits alone, or as they are shown; 0: there is no such key. */
static uint64_t id_of(const rmr_coord *c, const char *text)
{
    size_t front = sizeof FRONT - 1;
    size_t len = strlen(text);
    if (len == front + PREFIX_LEN + sizeof BACK - 1 &&
        memcmp(text, FRONT, front) == 0 &&
        strcmp(text + front + PREFIX_LEN, BACK) == 0)
        text += front;
    else if (len != PREFIX_LEN)
        return 0;
    for (size_t i = 0; i < c->api->n_keys; i++) {
        if (memcmp(c->api->keys[i]->prefix, text, PREFIX_LEN) == 0)
            return c->api->keys[i]->id;
    }
    return 0;
}

static void done(crd_conn *n, rmr_err e, const char *detail)
{
    if (e == RMR_OK)
        rmri_crd_api_nothing(n);
    else
        rmri_crd_api_failed(n, e, detail, MISSING);
}

void rmri_crd_do_api_key_expire(crd_conn *n, crd_call *q)
{
    bool by_id = q->v[0].given && *q->v[0].text;
    bool by_prefix = q->v[1].given && *q->v[1].text;
    uint64_t id;
    if (by_id && by_prefix) {
        rmri_crd_api_problem(n, 400, "provide either id or prefix, not both",
                             NULL);
        return;
    }
    if (!by_id && !by_prefix) {
        rmri_crd_api_problem(n, 400, "must provide id or prefix", NULL);
        return;
    }
    if (by_prefix)
        id = id_of(n->c, q->v[1].text);
    else if (!rmri_crd_api_id(n, q->v[0].text, "id", &id))
        return;
    done(n, rmr_coord_api_key_expire(n->c, id), "expiring API key");
}

void rmri_crd_do_api_key_delete(crd_conn *n, crd_call *q)
{
    done(n, rmr_coord_api_key_remove(n->c, id_of(n->c, q->args[0])),
         "deleting API key");
}
