/* Rows: put, del, load.  Columns stand in one order in all statements. */
#include "sq_internal.h"

#include <string.h>

typedef struct table {
    const char *load, *put, *del;
} table;

static const table tables[RMR_COORD_ROW_KINDS + 1] = {
    [RMR_COORD_ROW_COUNTERS] =
        {"SELECT id, next_user, next_key, next_api_key, next_node, last_v4,"
         " last_v6 FROM counters",
         "INSERT INTO counters VALUES (?,?,?,?,?,?,?)"
         " ON CONFLICT (id) DO UPDATE SET next_user = excluded.next_user,"
         " next_key = excluded.next_key,"
         " next_api_key = excluded.next_api_key,"
         " next_node = excluded.next_node, last_v4 = excluded.last_v4,"
         " last_v6 = excluded.last_v6",
         "DELETE FROM counters WHERE id = ?"},
    [RMR_COORD_ROW_USER] =
        {"SELECT id, name, display, email, picture, created FROM users"
         " ORDER BY id",
         "INSERT INTO users VALUES (?,?,?,?,?,?)"
         " ON CONFLICT (id) DO UPDATE SET name = excluded.name,"
         " display = excluded.display, email = excluded.email,"
         " picture = excluded.picture, created = excluded.created",
         "DELETE FROM users WHERE id = ?"},
    [RMR_COORD_ROW_KEY] =
        {"SELECT id, user, prefix, hash, reusable, ephemeral, used, expiry,"
         " created, tags FROM pre_auth_keys ORDER BY id",
         "INSERT INTO pre_auth_keys VALUES (?,?,?,?,?,?,?,?,?,?)"
         " ON CONFLICT (id) DO UPDATE SET user = excluded.user,"
         " prefix = excluded.prefix, hash = excluded.hash,"
         " reusable = excluded.reusable, ephemeral = excluded.ephemeral,"
         " used = excluded.used, expiry = excluded.expiry,"
         " created = excluded.created, tags = excluded.tags",
         "DELETE FROM pre_auth_keys WHERE id = ?"},
    [RMR_COORD_ROW_API_KEY] =
        {"SELECT id, prefix, hash, expiry, created, last_seen FROM api_keys"
         " ORDER BY id",
         "INSERT INTO api_keys VALUES (?,?,?,?,?,?)"
         " ON CONFLICT (id) DO UPDATE SET prefix = excluded.prefix,"
         " hash = excluded.hash, expiry = excluded.expiry,"
         " created = excluded.created, last_seen = excluded.last_seen",
         "DELETE FROM api_keys WHERE id = ?"},
    [RMR_COORD_ROW_NODE] =
        {"SELECT id, user, pre_auth_key, machine_key, node_key, disco_key,"
         " hostname, os, given_name, ipv4, ipv6, ephemeral, home_derp,"
         " capability, created, last_seen, expiry, tags, announced, approved"
         " FROM nodes ORDER BY id",
         "INSERT INTO nodes VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
         " ON CONFLICT (id) DO UPDATE SET user = excluded.user,"
         " pre_auth_key = excluded.pre_auth_key,"
         " machine_key = excluded.machine_key, node_key = excluded.node_key,"
         " disco_key = excluded.disco_key, hostname = excluded.hostname,"
         " os = excluded.os, given_name = excluded.given_name,"
         " ipv4 = excluded.ipv4, ipv6 = excluded.ipv6,"
         " ephemeral = excluded.ephemeral, home_derp = excluded.home_derp,"
         " capability = excluded.capability, created = excluded.created,"
         " last_seen = excluded.last_seen, expiry = excluded.expiry,"
         " tags = excluded.tags, announced = excluded.announced,"
         " approved = excluded.approved",
         "DELETE FROM nodes WHERE id = ?"},
    [RMR_COORD_ROW_POLICY] =
        {"SELECT id, text, updated FROM policy",
         "INSERT INTO policy VALUES (?,?,?) ON CONFLICT (id) DO UPDATE SET"
         " text = excluded.text, updated = excluded.updated",
         "DELETE FROM policy WHERE id = ?"},
};

rmr_err rmri_sq_rows_prepare(rmr_store_sqlite *s)
{
    for (int kind = 1; kind <= RMR_COORD_ROW_KINDS; kind++) {
        int code =
            sqlite3_prepare_v3(s->db, tables[kind].put, -1,
                               SQLITE_PREPARE_PERSISTENT, &s->put[kind], NULL);
        if (code == SQLITE_OK)
            code = sqlite3_prepare_v3(s->db, tables[kind].del, -1,
                                      SQLITE_PREPARE_PERSISTENT, &s->del[kind],
                                      NULL);
        if (code != SQLITE_OK)
            return rmri_sq_err(s, code);
    }
    return RMR_OK;
}

void rmri_sq_rows_free(rmr_store_sqlite *s)
{
    for (int kind = 1; kind <= RMR_COORD_ROW_KINDS; kind++) {
        (void)sqlite3_finalize(s->put[kind]);
        (void)sqlite3_finalize(s->del[kind]);
    }
}

/* ---- into columns -------------------------------------------------------- */

typedef struct binder {
    sqlite3_stmt *q;
    int at; /* the column bound last */
    int code;
} binder;

static void took(binder *b, int code)
{
    if (b->code == SQLITE_OK)
        b->code = code;
}

static void put_u64(binder *b, uint64_t v)
{
    took(b, sqlite3_bind_int64(b->q, ++b->at, (int64_t)v));
}

/* 0 refers to nothing. */
static void put_ref(binder *b, uint64_t id)
{
    if (id)
        put_u64(b, id);
    else
        took(b, sqlite3_bind_null(b->q, ++b->at));
}

/* The statement is run before the text goes. */
static void put_text(binder *b, const char *text)
{
    took(b, sqlite3_bind_text(b->q, ++b->at, text, -1, SQLITE_STATIC));
}

static void put_blob(binder *b, const void *p, size_t n)
{
    took(b, n ? sqlite3_bind_blob64(b->q, ++b->at, p, n, SQLITE_STATIC)
              : sqlite3_bind_zeroblob(b->q, ++b->at, 0));
}

static void put_addr(binder *b, const rmr_addr *a)
{
    char text[RMR_ADDR_TEXT_MAX] = "";
    if (a->family != RMR_AF_NONE)
        (void)rmr_addr_ip_text(a, text);
    took(b, sqlite3_bind_text(b->q, ++b->at, text, -1, SQLITE_TRANSIENT));
}

static void put_tags(binder *b, const char *const *tags, size_t n)
{
    char text[SQ_LIST_TEXT];
    rmri_sq_tags_text(text, tags, n);
    took(b, sqlite3_bind_text(b->q, ++b->at, text, -1, SQLITE_TRANSIENT));
}

static void put_prefixes(binder *b, const rmr_prefix *p, size_t n)
{
    char text[SQ_LIST_TEXT];
    rmri_sq_prefixes_text(text, p, n);
    took(b, sqlite3_bind_text(b->q, ++b->at, text, -1, SQLITE_TRANSIENT));
}

static void put_counters(binder *b, const rmr_coord_row_counters *r)
{
    put_u64(b, r->next_user);
    put_u64(b, r->next_key);
    put_u64(b, r->next_api_key);
    put_u64(b, r->next_node);
    put_u64(b, r->last_v4);
    put_u64(b, r->last_v6);
}

static void put_user(binder *b, const rmr_coord_row_user *r)
{
    put_text(b, r->name);
    put_text(b, r->display);
    put_text(b, r->email);
    put_text(b, r->picture);
    put_u64(b, r->created_unix_ns);
}

static void put_key(binder *b, const rmr_coord_row_key *r)
{
    put_ref(b, r->user);
    put_text(b, r->prefix);
    put_blob(b, r->hash, sizeof r->hash);
    put_u64(b, r->reusable);
    put_u64(b, r->ephemeral);
    put_u64(b, r->used);
    put_u64(b, r->expiry_unix_ns);
    put_u64(b, r->created_unix_ns);
    put_tags(b, r->tags, r->n_tags);
}

static void put_api_key(binder *b, const rmr_coord_row_api_key *r)
{
    put_text(b, r->prefix);
    put_blob(b, r->hash, sizeof r->hash);
    put_u64(b, r->expiry_unix_ns);
    put_u64(b, r->created_unix_ns);
    put_u64(b, r->last_seen_unix_ns);
}

static void put_node(binder *b, const rmr_coord_row_node *r)
{
    put_ref(b, r->user);
    put_u64(b, r->key);
    put_blob(b, r->machine_key, sizeof r->machine_key);
    put_blob(b, r->node_key, sizeof r->node_key);
    put_blob(b, r->disco_key, sizeof r->disco_key);
    put_text(b, r->hostname);
    put_text(b, r->os);
    put_text(b, r->given_name);
    put_addr(b, &r->v4);
    put_addr(b, &r->v6);
    put_u64(b, r->ephemeral);
    put_u64(b, r->home_derp);
    put_u64(b, r->capability);
    put_u64(b, r->created_unix_ns);
    put_u64(b, r->last_seen_unix_ns);
    put_u64(b, r->expiry_unix_ns);
    put_tags(b, r->tags, r->n_tags);
    put_prefixes(b, r->announced, r->n_announced);
    put_prefixes(b, r->approved, r->n_approved);
}

static void put_columns(binder *b, const rmr_coord_row *row)
{
    switch (row->kind) {
    case RMR_COORD_ROW_COUNTERS:
        put_counters(b, &row->as.counters);
        break;
    case RMR_COORD_ROW_USER:
        put_user(b, &row->as.user);
        break;
    case RMR_COORD_ROW_KEY:
        put_key(b, &row->as.key);
        break;
    case RMR_COORD_ROW_API_KEY:
        put_api_key(b, &row->as.api_key);
        break;
    case RMR_COORD_ROW_NODE:
        put_node(b, &row->as.node);
        break;
    case RMR_COORD_ROW_POLICY:
        put_blob(b, row->as.policy.text.ptr, row->as.policy.text.len);
        put_u64(b, row->as.policy.updated_unix_ns);
        break;
    }
}

/* The words are fetched before the reset, which may change them. */
static rmr_err finish(rmr_store_sqlite *s, binder *b)
{
    rmr_err e =
        rmri_sq_err(s, b->code == SQLITE_OK ? sqlite3_step(b->q) : b->code);
    (void)sqlite3_reset(b->q);
    (void)sqlite3_clear_bindings(b->q);
    return e;
}

static bool is_kind(rmr_coord_row_kind kind)
{
    return kind >= RMR_COORD_ROW_COUNTERS && kind <= RMR_COORD_ROW_KINDS;
}

rmr_err rmri_sq_put(void *user, const rmr_coord_row *row)
{
    rmr_store_sqlite *s = user;
    if (!is_kind(row->kind))
        return RMR_E_INVAL;
    binder b = {.q = s->put[row->kind], .code = SQLITE_OK};
    put_u64(&b, row->id);
    put_columns(&b, row);
    return finish(s, &b);
}

rmr_err rmri_sq_del(void *user, rmr_coord_row_kind kind, uint64_t id)
{
    rmr_store_sqlite *s = user;
    if (!is_kind(kind))
        return RMR_E_INVAL;
    binder b = {.q = s->del[kind], .code = SQLITE_OK};
    put_u64(&b, id);
    return finish(s, &b);
}

/* ---- out of them --------------------------------------------------------- */

typedef struct reader {
    sqlite3_stmt *q;
    int at;   /* the next column */
    bool bad; /* one holds what can't be there */
    /* What the row points to. */
    const char *tags[RMR_COORD_MAX_TAGS];
    rmr_prefix announced[SQ_MAX_ROUTES], approved[SQ_MAX_ROUTES];
    char text[3][SQ_LIST_TEXT];
} reader;

static uint64_t get_u64(reader *r)
{
    return (uint64_t)sqlite3_column_int64(r->q, r->at++);
}

static uint16_t get_u16(reader *r)
{
    uint64_t v = get_u64(r);
    r->bad |= v > UINT16_MAX;
    return (uint16_t)v;
}

static const char *get_text(reader *r)
{
    const char *text = (const char *)sqlite3_column_text(r->q, r->at);
    int n = sqlite3_column_bytes(r->q, r->at++);
    if (!text || strlen(text) != (size_t)n) {
        r->bad = true;
        return "";
    }
    return text;
}

static void get_blob(reader *r, uint8_t *to, size_t n)
{
    const void *p = sqlite3_column_blob(r->q, r->at);
    if (p && (size_t)sqlite3_column_bytes(r->q, r->at) == n)
        memcpy(to, p, n);
    else
        r->bad = true;
    r->at++;
}

static void get_addr(reader *r, rmr_addr *a)
{
    const char *text = get_text(r);
    if (text[0])
        r->bad |= rmr_addr_parse_ip(rmr_bytes_str(text), a) != RMR_OK;
}

static char *get_list(reader *r, int i)
{
    const char *text = get_text(r);
    size_t n = strlen(text);
    if (n >= sizeof r->text[i]) {
        r->bad = true;
        n = 0;
    }
    memcpy(r->text[i], text, n);
    r->text[i][n] = '\0';
    return r->text[i];
}

static void get_tags(reader *r, const char *const **tags, size_t *n)
{
    r->bad |= !rmri_sq_words(get_list(r, 0), r->tags, RMR_COORD_MAX_TAGS, n);
    *tags = r->tags;
}

static void get_prefixes(reader *r, int i, rmr_prefix *room,
                         const rmr_prefix **p, size_t *n)
{
    r->bad |= !rmri_sq_prefixes(get_list(r, i), room, SQ_MAX_ROUTES, n);
    *p = room;
}

static void get_counters(reader *r, rmr_coord_row_counters *c)
{
    c->next_user = get_u64(r);
    c->next_key = get_u64(r);
    c->next_api_key = get_u64(r);
    c->next_node = get_u64(r);
    c->last_v4 = get_u64(r);
    c->last_v6 = get_u64(r);
}

static void get_user(reader *r, rmr_coord_row_user *u)
{
    u->name = get_text(r);
    u->display = get_text(r);
    u->email = get_text(r);
    u->picture = get_text(r);
    u->created_unix_ns = get_u64(r);
}

static void get_key(reader *r, rmr_coord_row_key *k)
{
    k->user = get_u64(r);
    k->prefix = get_text(r);
    get_blob(r, k->hash, sizeof k->hash);
    k->reusable = get_u64(r) != 0;
    k->ephemeral = get_u64(r) != 0;
    k->used = get_u64(r) != 0;
    k->expiry_unix_ns = get_u64(r);
    k->created_unix_ns = get_u64(r);
    get_tags(r, &k->tags, &k->n_tags);
}

static void get_api_key(reader *r, rmr_coord_row_api_key *k)
{
    k->prefix = get_text(r);
    get_blob(r, k->hash, sizeof k->hash);
    k->expiry_unix_ns = get_u64(r);
    k->created_unix_ns = get_u64(r);
    k->last_seen_unix_ns = get_u64(r);
}

static void get_node(reader *r, rmr_coord_row_node *n)
{
    n->user = get_u64(r);
    n->key = get_u64(r);
    get_blob(r, n->machine_key, sizeof n->machine_key);
    get_blob(r, n->node_key, sizeof n->node_key);
    get_blob(r, n->disco_key, sizeof n->disco_key);
    n->hostname = get_text(r);
    n->os = get_text(r);
    n->given_name = get_text(r);
    get_addr(r, &n->v4);
    get_addr(r, &n->v6);
    n->ephemeral = get_u64(r) != 0;
    n->home_derp = get_u16(r);
    n->capability = get_u16(r);
    n->created_unix_ns = get_u64(r);
    n->last_seen_unix_ns = get_u64(r);
    n->expiry_unix_ns = get_u64(r);
    get_tags(r, &n->tags, &n->n_tags);
    get_prefixes(r, 1, r->announced, &n->announced, &n->n_announced);
    get_prefixes(r, 2, r->approved, &n->approved, &n->n_approved);
}

static void get_policy(reader *r, rmr_coord_row_policy *p)
{
    const void *text = sqlite3_column_blob(r->q, r->at);
    int n = sqlite3_column_bytes(r->q, r->at++);
    p->text = rmr_bytes_of(text, (size_t)n);
    p->updated_unix_ns = get_u64(r);
}

static void get_row(reader *r, rmr_coord_row_kind kind, rmr_coord_row *row)
{
    memset(row, 0, sizeof *row);
    row->kind = kind;
    r->at = 0;
    row->id = get_u64(r);
    switch (kind) {
    case RMR_COORD_ROW_COUNTERS:
        get_counters(r, &row->as.counters);
        break;
    case RMR_COORD_ROW_USER:
        get_user(r, &row->as.user);
        break;
    case RMR_COORD_ROW_KEY:
        get_key(r, &row->as.key);
        break;
    case RMR_COORD_ROW_API_KEY:
        get_api_key(r, &row->as.api_key);
        break;
    case RMR_COORD_ROW_NODE:
        get_node(r, &row->as.node);
        break;
    case RMR_COORD_ROW_POLICY:
        get_policy(r, &row->as.policy);
        break;
    }
}

static rmr_err load_kind(rmr_store_sqlite *s, rmr_coord_row_kind kind,
                         rmr_coord_row_sink sink, void *ctx)
{
    reader r = {.q = NULL};
    rmr_coord_row row;
    int code = sqlite3_prepare_v2(s->db, tables[kind].load, -1, &r.q, NULL);
    rmr_err e = rmri_sq_err(s, code);
    while (e == RMR_OK && (code = sqlite3_step(r.q)) == SQLITE_ROW) {
        get_row(&r, kind, &row);
        e = r.bad ? RMR_E_MALFORMED : sink(ctx, &row);
        if (e != RMR_OK)
            rmri_sq_say(s, "row %llu of kind %d can't be taken",
                        (unsigned long long)row.id, (int)kind);
    }
    if (e == RMR_OK)
        e = rmri_sq_err(s, code);
    (void)sqlite3_finalize(r.q);
    return e;
}

rmr_err rmri_sq_load(void *user, rmr_coord_row_sink sink, void *ctx)
{
    rmr_err e = RMR_OK;
    for (int kind = 1; e == RMR_OK && kind <= RMR_COORD_ROW_KINDS; kind++)
        e = load_kind(user, (rmr_coord_row_kind)kind, sink, ctx);
    return e;
}
