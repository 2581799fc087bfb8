#include "fake_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- rows that are kept -------------------------------------------------- */

static char *copy(const char *s)
{
    size_t n = strlen(s) + 1;
    char *p = malloc(n);
    return memcpy(p, s, n);
}

static const char *const *copy_list(const char *const *from, size_t n)
{
    char **p = calloc(n + 1, sizeof *p);
    for (size_t i = 0; i < n; i++)
        p[i] = copy(from[i]);
    return (const char *const *)p;
}

static void free_list(const char *const *list, size_t n)
{
    char **p = (char **)(uintptr_t)list;
    for (size_t i = 0; i < n; i++)
        free(p[i]);
    free(p);
}

static void free_text(const void *p)
{
    free((void *)(uintptr_t)p);
}

static rmr_prefix *copy_prefixes(const rmr_prefix *from, size_t n)
{
    rmr_prefix *p = calloc(n + 1, sizeof *p);
    if (n)
        memcpy(p, from, n * sizeof *p);
    return p;
}

static rmr_coord_row keep(const rmr_coord_row *from)
{
    rmr_coord_row r = *from;
    if (r.kind == RMR_COORD_ROW_USER) {
        r.as.user.name = copy(r.as.user.name);
        r.as.user.display = copy(r.as.user.display);
        r.as.user.email = copy(r.as.user.email);
        r.as.user.picture = copy(r.as.user.picture);
    } else if (r.kind == RMR_COORD_ROW_KEY) {
        r.as.key.prefix = copy(r.as.key.prefix);
        r.as.key.tags = copy_list(r.as.key.tags, r.as.key.n_tags);
    } else if (r.kind == RMR_COORD_ROW_NODE) {
        r.as.node.hostname = copy(r.as.node.hostname);
        r.as.node.os = copy(r.as.node.os);
        r.as.node.given_name = copy(r.as.node.given_name);
        r.as.node.tags = copy_list(r.as.node.tags, r.as.node.n_tags);
        r.as.node.announced =
            copy_prefixes(r.as.node.announced, r.as.node.n_announced);
        r.as.node.approved =
            copy_prefixes(r.as.node.approved, r.as.node.n_approved);
    } else if (r.kind == RMR_COORD_ROW_API_KEY) {
        r.as.api_key.prefix = copy(r.as.api_key.prefix);
    } else if (r.kind == RMR_COORD_ROW_POLICY) {
        uint8_t *p = malloc(r.as.policy.text.len + 1);
        if (r.as.policy.text.len)
            memcpy(p, r.as.policy.text.ptr, r.as.policy.text.len);
        r.as.policy.text.ptr = p;
    }
    return r;
}

static void let_go(const rmr_coord_row *r)
{
    if (r->kind == RMR_COORD_ROW_USER) {
        free_text(r->as.user.name);
        free_text(r->as.user.display);
        free_text(r->as.user.email);
        free_text(r->as.user.picture);
    } else if (r->kind == RMR_COORD_ROW_KEY) {
        free_text(r->as.key.prefix);
        free_list(r->as.key.tags, r->as.key.n_tags);
    } else if (r->kind == RMR_COORD_ROW_NODE) {
        free_text(r->as.node.hostname);
        free_text(r->as.node.os);
        free_text(r->as.node.given_name);
        free_list(r->as.node.tags, r->as.node.n_tags);
        free_text(r->as.node.announced);
        free_text(r->as.node.approved);
    } else if (r->kind == RMR_COORD_ROW_API_KEY) {
        free_text(r->as.api_key.prefix);
    } else if (r->kind == RMR_COORD_ROW_POLICY) {
        free_text(r->as.policy.text.ptr);
    }
}

/* ---- the table ----------------------------------------------------------- */

static rmr_err call(fake_store *f)
{
    f->calls++;
    return f->fails || f->calls == f->fail_at ? RMR_E_FULL : RMR_OK;
}

static size_t place_of(const fake_store *f, rmr_coord_row_kind kind,
                       uint64_t id)
{
    size_t i = 0;
    while (i < f->n_rows &&
           (f->rows[i].row.kind < kind ||
            (f->rows[i].row.kind == kind && f->rows[i].row.id < id)))
        i++;
    return i;
}

static bool is_at(const fake_store *f, size_t i, const rmr_coord_row *r)
{
    return i < f->n_rows && f->rows[i].row.kind == r->kind &&
           f->rows[i].row.id == r->id;
}

bool fake_has(const fake_store *f, rmr_coord_row_kind kind, uint64_t id)
{
    rmr_coord_row row = {.kind = kind, .id = id};
    return is_at(f, place_of(f, kind, id), &row);
}

/* Takes the row over. */
static void apply(fake_store *f, const fake_row *s)
{
    size_t i = place_of(f, s->row.kind, s->row.id);
    bool has = is_at(f, i, &s->row);
    if (has)
        let_go(&f->rows[i].row);
    if (s->gone && has) {
        f->n_rows--;
        memmove(f->rows + i, f->rows + i + 1,
                (f->n_rows - i) * sizeof *f->rows);
    } else if (!s->gone) {
        if (!has) {
            if (f->n_rows == FAKE_ROWS)
                abort();
            memmove(f->rows + i + 1, f->rows + i,
                    (f->n_rows - i) * sizeof *f->rows);
            f->n_rows++;
        }
        f->rows[i] = *s;
    }
}

static rmr_err load(void *user, rmr_coord_row_sink sink, void *ctx)
{
    fake_store *f = user;
    rmr_err e = call(f);
    for (size_t i = 0; e == RMR_OK && i < f->n_rows; i++)
        e = sink(ctx, &f->rows[i].row);
    return e;
}

static rmr_err begin(void *user)
{
    fake_store *f = user;
    f->is_misused |= f->is_open;
    f->is_open = true;
    return call(f);
}

static rmr_err stage(fake_store *f, const rmr_coord_row *row, bool gone)
{
    f->is_misused |= !f->is_open;
    if (call(f) != RMR_OK)
        return RMR_E_FULL;
    if (f->n_staged == FAKE_ROWS)
        abort();
    f->staged[f->n_staged++] = (fake_row){gone ? *row : keep(row), gone};
    return RMR_OK;
}

static rmr_err put(void *user, const rmr_coord_row *row)
{
    return stage(user, row, false);
}

static rmr_err del(void *user, rmr_coord_row_kind kind, uint64_t id)
{
    rmr_coord_row row = {.kind = kind, .id = id};
    return stage(user, &row, true);
}

static rmr_err commit(void *user)
{
    fake_store *f = user;
    f->is_misused |= !f->is_open;
    if (f->on_commit)
        f->on_commit();
    if (call(f) != RMR_OK)
        return RMR_E_FULL;
    for (size_t i = 0; i < f->n_staged; i++)
        apply(f, &f->staged[i]);
    if (f->n_staged > f->most_rows)
        f->most_rows = f->n_staged;
    f->n_staged = 0;
    f->commits++;
    f->is_open = false;
    return RMR_OK;
}

static void rollback(void *user)
{
    fake_store *f = user;
    for (size_t i = 0; i < f->n_staged; i++) {
        if (!f->staged[i].gone)
            let_go(&f->staged[i].row);
    }
    f->n_staged = 0;
    f->is_open = false;
}

static const char *why(void *user)
{
    (void)user;
    return "the test says so";
}

rmr_coord_store fake_table(fake_store *f)
{
    rmr_coord_store t = {sizeof t, f,      load,     begin, put,
                         del,      commit, rollback, why};
    return t;
}

void fake_add(fake_store *f, const rmr_coord_row *row)
{
    fake_row r = {keep(row), false};
    apply(f, &r);
}

void fake_free(fake_store *f)
{
    rollback(f);
    for (size_t i = 0; i < f->n_rows; i++)
        let_go(&f->rows[i].row);
    memset(f, 0, sizeof *f);
}

/* ---- as text ------------------------------------------------------------- */

typedef struct text {
    char *p;
    size_t n, cap;
} text;

#define SAY(t, ...)                                                            \
    say(t, snprintf((t)->p + (t)->n, (t)->cap - (t)->n, __VA_ARGS__))

static void say(text *t, int n)
{
    t->n += (size_t)n;
    if (t->n + 8192 > t->cap) {
        t->cap = t->cap * 2;
        t->p = realloc(t->p, t->cap);
    }
}

static void hex(text *t, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        SAY(t, "%02x", p[i]);
    SAY(t, " ");
}

static void tags(text *t, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        SAY(t, "%s ", list[i]);
    SAY(t, "| ");
}

static void prefixes(text *t, const rmr_prefix *p, size_t n)
{
    char one[RMR_ADDR_TEXT_MAX];
    for (size_t i = 0; i < n; i++) {
        rmr_addr a = rmr_prefix_addr(&p[i]);
        SAY(t, "%s/%u ", rmr_addr_ip_text(&a, one), p[i].bits);
    }
    SAY(t, "| ");
}

static void node(text *t, const rmr_coord_row_node *r)
{
    char v4[RMR_ADDR_TEXT_MAX] = "-", v6[RMR_ADDR_TEXT_MAX] = "-";
    if (r->v4.family)
        (void)rmr_addr_ip_text(&r->v4, v4);
    if (r->v6.family)
        (void)rmr_addr_ip_text(&r->v6, v6);
    SAY(t, "user %llu key %llu '%s' '%s' '%s' %s %s %d derp %u cap %u ",
        (unsigned long long)r->user, (unsigned long long)r->key, r->hostname,
        r->os, r->given_name, v4, v6, r->ephemeral, r->home_derp,
        r->capability);
    SAY(t, "%llu %llu %llu ", (unsigned long long)r->created_unix_ns,
        (unsigned long long)r->last_seen_unix_ns,
        (unsigned long long)r->expiry_unix_ns);
    hex(t, r->machine_key, RMR_KEY_LEN);
    hex(t, r->node_key, RMR_KEY_LEN);
    hex(t, r->disco_key, RMR_KEY_LEN);
    tags(t, r->tags, r->n_tags);
    prefixes(t, r->announced, r->n_announced);
    prefixes(t, r->approved, r->n_approved);
}

static void key(text *t, const rmr_coord_row_key *r)
{
    SAY(t, "user %llu %s %d%d%d %llu %llu ", (unsigned long long)r->user,
        r->prefix, r->reusable, r->ephemeral, r->used,
        (unsigned long long)r->expiry_unix_ns,
        (unsigned long long)r->created_unix_ns);
    hex(t, r->hash, sizeof r->hash);
    tags(t, r->tags, r->n_tags);
}

static rmr_err line(void *ctx, const rmr_coord_row *row)
{
    text *t = ctx;
    const rmr_coord_row_counters *k = &row->as.counters;
    SAY(t, "%d %llu: ", (int)row->kind, (unsigned long long)row->id);
    switch (row->kind) {
    case RMR_COORD_ROW_COUNTERS:
        SAY(t, "%llu %llu %llu %llu %llu %llu",
            (unsigned long long)k->next_user, (unsigned long long)k->next_key,
            (unsigned long long)k->next_api_key,
            (unsigned long long)k->next_node, (unsigned long long)k->last_v4,
            (unsigned long long)k->last_v6);
        break;
    case RMR_COORD_ROW_USER:
        SAY(t, "%s '%s' '%s' '%s' %llu", row->as.user.name,
            row->as.user.display, row->as.user.email, row->as.user.picture,
            (unsigned long long)row->as.user.created_unix_ns);
        break;
    case RMR_COORD_ROW_KEY:
        key(t, &row->as.key);
        break;
    case RMR_COORD_ROW_API_KEY:
        SAY(t, "%s %llu %llu %llu ", row->as.api_key.prefix,
            (unsigned long long)row->as.api_key.expiry_unix_ns,
            (unsigned long long)row->as.api_key.created_unix_ns,
            (unsigned long long)row->as.api_key.last_seen_unix_ns);
        hex(t, row->as.api_key.hash, RMR_HASH_LEN);
        break;
    case RMR_COORD_ROW_NODE:
        node(t, &row->as.node);
        break;
    case RMR_COORD_ROW_POLICY:
        SAY(t, "%.*s %llu", (int)row->as.policy.text.len,
            (const char *)row->as.policy.text.ptr,
            (unsigned long long)row->as.policy.updated_unix_ns);
        break;
    }
    SAY(t, "\n");
    return RMR_OK;
}

char *store_text(const rmr_coord_store *store)
{
    text t = {malloc(65536), 0, 65536};
    t.p[0] = '\0';
    if (store->load(store->user, line, &t) != RMR_OK)
        abort();
    return t.p;
}
