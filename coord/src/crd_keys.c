/* Pre-auth keys: "hskey-auth-<12 hex digits>-<64 hex digits>".  The digits in
 * front name the key; of the whole text a hash is kept.  32 random bytes need
 * no slow hash. */
#include "crd_internal.h"

#include <stdio.h>
#include <string.h>

#define FRONT "hskey-auth-"
#define PREFIX_LEN 12

/* ---- the table ----------------------------------------------------------- */

static crd_key *at_value(uint64_t value)
{
    return (crd_key *)(uintptr_t)value;
}

static bool is_hash(const void *user, uint64_t value, const void *hash,
                    size_t len)
{
    (void)user;
    return rmr_equal_ct(at_value(value)->hash, hash, len);
}

rmr_err rmri_crd_keys_init(rmr_coord *c)
{
    return rmr_hash_init(&c->by_auth, &c->env.alloc, &c->env.rng, UINT32_MAX,
                         is_hash, NULL);
}

static void key_free(rmr_coord *c, crd_key *k)
{
    rmri_crd_list_free(c, &k->tags);
    rmri_crd_forget(c, &k->row);
}

/* One that was not in the table yet. */
static void key_unmake(rmr_coord *c, crd_key *k)
{
    rmri_crd_list_free(c, &k->tags);
    rmr_release_wiped(&c->env.alloc, k, sizeof *k);
}

void rmri_crd_keys_free(rmr_coord *c)
{
    for (size_t i = 0; i < c->n_keys; i++)
        key_free(c, c->keys[i]);
    rmr_release(&c->env.alloc, c->keys, c->cap_keys * sizeof *c->keys);
    rmr_hash_wipe(&c->by_auth);
}

static rmr_err grow(rmr_coord *c)
{
    crd_key **p = rmri_crd_room(c, c->keys, c->n_keys, &c->cap_keys, sizeof *p);
    if (!p)
        return RMR_E_NOMEM;
    c->keys = p;
    return RMR_OK;
}

/* The first with an id that is not below; n_keys: there is none. */
static size_t lower_bound(const rmr_coord *c, uint64_t id)
{
    size_t lo = 0, hi = c->n_keys;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (c->keys[mid]->id < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* Its place; n_keys: there is none. */
static size_t find(const rmr_coord *c, uint64_t id)
{
    size_t at = lower_bound(c, id);
    return at < c->n_keys && c->keys[at]->id == id ? at : c->n_keys;
}

const crd_key *rmri_crd_key(const rmr_coord *c, uint64_t id)
{
    size_t at = find(c, id);
    return at < c->n_keys ? c->keys[at] : NULL;
}

static void drop(rmr_coord *c, size_t at)
{
    const uint8_t *hash = c->keys[at]->hash;
    uint64_t value;
    /* Of two with one text, which chance does not make, the later counts. */
    if (rmr_hash_get(&c->by_auth, hash, RMR_HASH_LEN, &value) &&
        at_value(value) == c->keys[at])
        (void)rmr_hash_del(&c->by_auth, hash, RMR_HASH_LEN);
    key_free(c, c->keys[at]);
    c->n_keys--;
    memmove(c->keys + at, c->keys + at + 1, (c->n_keys - at) * sizeof *c->keys);
}

void rmri_crd_keys_of_user_remove(rmr_coord *c, uint64_t user)
{
    for (size_t i = c->n_keys; i-- > 0;) {
        if (c->keys[i]->user == user)
            drop(c, i);
    }
}

static void hash_text(uint8_t out[RMR_HASH_LEN], rmr_bytes text)
{
    rmr_blake2s_256(out, text, rmr_bytes_of(NULL, 0));
}

/* By the hash of a hash, which tells nobody what it is of. */
crd_key *rmri_crd_key_of(const rmr_coord *c, rmr_bytes text)
{
    uint8_t hash[RMR_HASH_LEN];
    uint64_t value;
    hash_text(hash, text);
    return rmr_hash_get(&c->by_auth, hash, sizeof hash, &value)
               ? at_value(value)
               : NULL;
}

/* ---- the API ------------------------------------------------------------- */

bool rmri_crd_is_tag(rmr_bytes text)
{
    if (text.len < 5 || text.len > 63 || memcmp(text.ptr, "tag:", 4) != 0 ||
        text.ptr[4] < 'a' || text.ptr[4] > 'z')
        return false;
    for (size_t i = 5; i < text.len; i++) {
        uint8_t ch = text.ptr[i];
        if (!((ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9') ||
              ch == '-'))
            return false;
    }
    return true;
}

static rmr_err check(const rmr_coord *c, const rmr_coord_key_wish *w)
{
    if (w->user && !rmri_crd_user(c, w->user))
        return RMR_E_NOTFOUND;
    if ((!w->user && !w->n_tags) || w->n_tags > RMR_COORD_MAX_TAGS)
        return RMR_E_INVAL;
    for (size_t i = 0; i < w->n_tags; i++) {
        if (!rmri_crd_is_tag(rmr_bytes_str(w->tags[i])))
            return RMR_E_INVAL;
    }
    return RMR_OK;
}

/* There is room.  Errors: NOMEM; unchanged then. */
static rmr_err append(rmr_coord *c, uint64_t id, crd_key *k)
{
    rmr_err e = rmr_hash_put(&c->by_auth, k->hash, sizeof k->hash,
                             (uint64_t)(uintptr_t)k);
    if (e != RMR_OK)
        return e;
    k->row = (crd_row){.id = id, .size = sizeof *k, .kind = RMR_COORD_ROW_KEY};
    k->id = id;
    c->keys[c->n_keys++] = k;
    return RMR_OK;
}

rmr_err rmri_crd_key_load(rmr_coord *c, const rmr_coord_row *row)
{
    const rmr_coord_row_key *r = &row->as.key;
    rmr_coord_key_wish wish = {
        .user = r->user, .tags = r->tags, .n_tags = r->n_tags};
    if (check(c, &wish) != RMR_OK || strlen(r->prefix) != PREFIX_LEN)
        return RMR_E_MALFORMED;
    crd_key *k = rmr_alloc_zero(&c->env.alloc, sizeof *k, _Alignof(crd_key));
    if (!k)
        return RMR_E_NOMEM;
    k->user = r->user;
    k->reusable = r->reusable;
    k->ephemeral = r->ephemeral;
    k->used = r->used;
    k->expiry = r->expiry_unix_ns;
    k->created = r->created_unix_ns;
    memcpy(k->hash, r->hash, sizeof k->hash);
    memcpy(k->prefix, r->prefix, sizeof k->prefix);
    rmr_err e = grow(c);
    if (e == RMR_OK)
        e = rmri_crd_list_set(c, &k->tags, r->tags, r->n_tags);
    if (e == RMR_OK)
        e = append(c, row->id, k);
    if (e != RMR_OK)
        key_unmake(c, k);
    return e;
}

void rmri_crd_key_row(const crd_key *k, rmr_coord_row *row)
{
    rmr_coord_row_key *r = &row->as.key;
    r->user = k->user;
    r->prefix = k->prefix;
    memcpy(r->hash, k->hash, sizeof r->hash);
    r->reusable = k->reusable;
    r->ephemeral = k->ephemeral;
    r->used = k->used;
    r->expiry_unix_ns = k->expiry;
    r->created_unix_ns = k->created;
    r->tags = (const char *const *)k->tags.p;
    r->n_tags = k->tags.n;
}

static rmr_err make_text(rmr_coord *c, crd_key *k,
                         char text[RMR_COORD_KEY_TEXT])
{
    uint8_t random[PREFIX_LEN / 2 + 32];
    char secret[65];
    rmr_err e = rmr_rng_fill(&c->env.rng, random, sizeof random);
    if (e != RMR_OK)
        return e;
    rmr_hex(k->prefix, random, PREFIX_LEN / 2);
    rmr_hex(secret, random + PREFIX_LEN / 2, 32);
    (void)snprintf(text, RMR_COORD_KEY_TEXT, FRONT "%s-%s", k->prefix, secret);
    hash_text(k->hash, rmr_bytes_str(text));
    rmr_wipe(random, sizeof random);
    rmr_wipe(secret, sizeof secret);
    return RMR_OK;
}

rmr_err rmr_coord_key_add(rmr_coord *c, const rmr_coord_key_wish *wish,
                          char text[RMR_COORD_KEY_TEXT], uint64_t *id)
{
    rmr_err e = check(c, wish);
    if (e == RMR_OK)
        e = rmri_crd_may_change(c);
    if (e != RMR_OK)
        return e;
    crd_key *k = rmr_alloc_zero(&c->env.alloc, sizeof *k, _Alignof(crd_key));
    if (!k)
        return RMR_E_NOMEM;
    k->user = wish->user;
    k->reusable = wish->reusable;
    k->ephemeral = wish->ephemeral;
    k->expiry = wish->expiry_unix_ns;
    k->created = rmri_crd_wall(c);
    e = grow(c);
    if (e == RMR_OK)
        e = rmri_crd_list_set(c, &k->tags, wish->tags, wish->n_tags);
    if (e == RMR_OK)
        e = make_text(c, k, text);
    if (e == RMR_OK)
        e = append(c, c->next_key, k);
    if (e != RMR_OK) {
        key_unmake(c, k);
        return e;
    }
    c->next_key++;
    rmri_crd_mark(c, &k->row, CRD_DIRTY);
    *id = k->id;
    return RMR_OK;
}

rmr_err rmr_coord_key_next(const rmr_coord *c, uint64_t after,
                           rmr_coord_key *out)
{
    size_t at = after == UINT64_MAX ? c->n_keys : lower_bound(c, after + 1);
    if (at == c->n_keys)
        return RMR_E_NOTFOUND;
    const crd_key *k = c->keys[at];
    memset(out, 0, sizeof *out);
    out->id = k->id;
    out->user = k->user;
    memcpy(out->prefix, k->prefix, sizeof out->prefix);
    out->reusable = k->reusable;
    out->ephemeral = k->ephemeral;
    out->used = k->used;
    out->expiry_unix_ns = k->expiry;
    out->created_unix_ns = k->created;
    out->tags = (const char *const *)k->tags.p;
    out->n_tags = k->tags.n;
    return RMR_OK;
}

rmr_err rmr_coord_key_expire(rmr_coord *c, uint64_t id)
{
    size_t at = find(c, id);
    uint64_t wall = rmri_crd_wall(c);
    if (at == c->n_keys)
        return RMR_E_NOTFOUND;
    if (rmri_crd_may_change(c) != RMR_OK)
        return RMR_E_IO;
    if (!c->keys[at]->expiry || c->keys[at]->expiry > wall) {
        c->keys[at]->expiry = wall;
        rmri_crd_mark(c, &c->keys[at]->row, CRD_DIRTY);
    }
    return RMR_OK;
}

rmr_err rmr_coord_key_remove(rmr_coord *c, uint64_t id)
{
    size_t at = find(c, id);
    if (at == c->n_keys)
        return RMR_E_NOTFOUND;
    if (rmri_crd_may_change(c) != RMR_OK)
        return RMR_E_IO;
    drop(c, at);
    return RMR_OK;
}
