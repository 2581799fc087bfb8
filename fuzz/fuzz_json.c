/* The JSON reader against jansson: both accept or both refuse, with equal
 * values, but for the differences named below.  Beside that: any cut gives the
 * same tokens, HuJSON only adds to what is accepted, the field tables agree
 * with the reader, and what the writer makes of the tokens reads back. */
#include <remora/json.h>

#include "need.h"

#include <jansson.h>

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Memory of exactly n bytes, so that a sanitizer sees the next one. */
static void *memory(size_t n)
{
    void *p = malloc(n ? n : 1);
    if (!p)
        abort();
    return p;
}

/* ---- tokens as a digest ----------------------------------------------- */

typedef struct digest {
    uint64_t sum;
} digest;

static void digest_add(digest *d, uint64_t head, rmr_bytes text)
{
    d->sum = (d->sum ^ head) * 0x100000001b3;
    d->sum = (d->sum ^ text.len) * 0x100000001b3;
    for (size_t i = 0; i < text.len; i++)
        d->sum = (d->sum ^ text.ptr[i]) * 0x100000001b3;
}

static rmr_err digest_token(void *user, rmr_json_kind kind, rmr_bytes text)
{
    digest_add(user, (uint64_t)kind, text);
    return RMR_OK;
}

static rmr_err digest_nest(void *user, uint32_t id, rmr_json_kind kind)
{
    digest_add(user, (uint64_t)id << 8 | (uint64_t)kind, rmr_bytes_of(NULL, 0));
    return RMR_OK;
}

static rmr_err digest_value(void *user, uint32_t id, rmr_json_kind kind,
                            rmr_bytes text)
{
    digest_add(user, (uint64_t)id << 8 | (uint64_t)kind, text);
    return RMR_OK;
}

/* ---- one run ---------------------------------------------------------- */

/* Where the input is cut: in pieces of `piece` bytes, the first of `first`. */
typedef struct cuts {
    size_t first, piece;
} cuts;

typedef rmr_err (*feed_fn)(void *reader, rmr_bytes in);

static rmr_err feed_reader(void *reader, rmr_bytes in)
{
    return rmr_json_feed(reader, in);
}

static rmr_err feed_bind(void *reader, rmr_bytes in)
{
    return rmr_json_bind_feed(reader, in);
}

static rmr_err feed_cut(feed_fn feed, void *reader, rmr_bytes doc, cuts c)
{
    rmr_err err = RMR_OK;
    size_t at = 0;
    while (at < doc.len) {
        size_t n = at == 0 ? c.first : c.piece;
        if (n == 0 || n > doc.len - at)
            n = doc.len - at;
        uint8_t *copy = memory(n);
        memcpy(copy, doc.ptr + at, n);
        err = feed(reader, rmr_bytes_of(copy, n));
        free(copy);
        if (err)
            break;
        at += n;
    }
    return err;
}

static rmr_err run_reader(rmr_bytes doc, bool hujson, size_t cap, cuts c,
                          rmr_json_token_fn token, void *user)
{
    rmr_json j;
    uint8_t *scratch = memory(cap);
    rmr_json_init(&j, rmr_buf_of(scratch, cap), token, user);
    if (hujson)
        rmr_json_allow_hujson(&j);
    rmr_err err = feed_cut(feed_reader, &j, doc, c);
    rmr_err end = rmr_json_end(&j);
    need(!err || end == err);
    need(j.offset <= doc.len);
    free(scratch);
    return end;
}

static rmr_err run_digest(rmr_bytes doc, bool hujson, size_t cap, cuts c,
                          uint64_t *sum)
{
    digest d = {0xcbf29ce484222325};
    rmr_err err = run_reader(doc, hujson, cap, c, digest_token, &d);
    *sum = d.sum;
    return err;
}

static const rmr_json_field deep[] = {{"a", 5, NULL, 0}, {"*", 6, deep, 2}};
static const rmr_json_field top[] = {
    {"a", 1, deep, 2}, {"b", 2, NULL, 0}, {"Peers", 3, deep, 2}};

static rmr_err run_bind(rmr_bytes doc, size_t cap, cuts c, uint64_t *sum)
{
    digest d = {0xcbf29ce484222325};
    const rmr_json_bind_callbacks cb = {&d, digest_nest, digest_value};
    rmr_json_bind b;
    uint8_t *scratch = memory(cap);
    rmr_json_bind_init(&b, rmr_buf_of(scratch, cap), top, 3, &cb);
    rmr_err err = feed_cut(feed_bind, &b, doc, c);
    rmr_err end = rmr_json_bind_end(&b);
    need(!err || end == err);
    free(scratch);
    *sum = d.sum;
    return end;
}

/* ---- a tree out of the tokens ----------------------------------------- */

typedef struct tree {
    json_t *root;
    json_t *open[RMR_JSON_MAX_DEPTH + 1];
    size_t depth;
    char *key; /* pending */
    size_t key_len;
    bool differs; /* holds what jansson can't hold */
} tree;

static json_t *number(tree *t, rmr_bytes text)
{
    int64_t i;
    double d;
    bool whole = true;
    for (size_t k = 0; k < text.len; k++)
        whole &= !memchr(".eE", text.ptr[k], 3);
    if (whole && !rmr_json_int(RMR_JSON_NUMBER, text, &i))
        return json_integer(i);
    /* Difference 1: jansson refuses numbers outside int64 and double. */
    t->differs |= whole;
    if (rmr_json_double(RMR_JSON_NUMBER, text, &d)) {
        t->differs = true;
        d = 0;
    }
    return json_real(d);
}

static json_t *leaf(tree *t, rmr_json_kind kind, rmr_bytes text)
{
    switch (kind) {
    case RMR_JSON_OBJECT:
        return json_object();
    case RMR_JSON_ARRAY:
        return json_array();
    case RMR_JSON_STRING:
        return json_stringn_nocheck(text.len ? (const char *)text.ptr : "",
                                    text.len);
    case RMR_JSON_NUMBER:
        return number(t, text);
    case RMR_JSON_TRUE:
        return json_true();
    case RMR_JSON_FALSE:
        return json_false();
    default:
        return json_null();
    }
}

static void add(tree *t, json_t *v)
{
    json_t *in = t->depth ? t->open[t->depth - 1] : NULL;
    if (!in)
        t->root = json_incref(v);
    else if (json_is_array(in))
        need(json_array_append(in, v) == 0);
    else
        need(json_object_set_nocheck(in, t->key, v) == 0);
}

static rmr_err tree_token(void *user, rmr_json_kind kind, rmr_bytes text)
{
    tree *t = user;
    if (kind == RMR_JSON_KEY) {
        free(t->key);
        t->key = memory(text.len + 1);
        if (text.len)
            memcpy(t->key, text.ptr, text.len);
        t->key[text.len] = '\0';
        /* Difference 2: jansson has no keys with a NUL. */
        t->differs |= strlen(t->key) != text.len;
        return RMR_OK;
    }
    if (kind == RMR_JSON_OBJECT_END || kind == RMR_JSON_ARRAY_END) {
        need(t->depth > 0);
        t->depth--;
        return RMR_OK;
    }
    json_t *v = leaf(t, kind, text);
    need(v != NULL);
    add(t, v);
    if (kind == RMR_JSON_OBJECT || kind == RMR_JSON_ARRAY) {
        need(t->depth < RMR_JSON_MAX_DEPTH);
        t->open[t->depth++] = v; /* held by its parent or by root */
    }
    json_decref(v);
    return RMR_OK;
}

static void compare_with_jansson(rmr_bytes doc, rmr_err ours)
{
    static const cuts whole = {0, 0};
    json_error_t why;
    json_t *theirs = json_loadb((const char *)doc.ptr, doc.len,
                                JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);
    tree t;
    memset(&t, 0, sizeof t);
    rmr_err err = run_reader(doc, false, doc.len, whole, tree_token, &t);
    need(err == ours);
    if (err == RMR_OK && !t.differs) {
        need(theirs != NULL);
        need(t.depth == 0 && json_equal(t.root, theirs));
    } else if (err == RMR_OK) {
        need(theirs == NULL);
    } else if (err == RMR_E_MALFORMED) {
        /* Difference 4: jansson loses a NUL byte that follows a number. */
        need(theirs == NULL || memchr(doc.ptr, 0, doc.len));
    } else {
        /* Difference 3: jansson nests deeper. */
        need(err == RMR_E_TOOBIG);
    }
    json_decref(t.root);
    json_decref(theirs);
    free(t.key);
}

/* ---- what is written reads back --------------------------------------- */

static rmr_err write_token(void *user, rmr_json_kind kind, rmr_bytes text)
{
    rmr_jw *w = user;
    switch (kind) {
    case RMR_JSON_OBJECT:
        rmr_jw_object(w);
        break;
    case RMR_JSON_OBJECT_END:
        rmr_jw_object_end(w);
        break;
    case RMR_JSON_ARRAY:
        rmr_jw_array(w);
        break;
    case RMR_JSON_ARRAY_END:
        rmr_jw_array_end(w);
        break;
    case RMR_JSON_KEY:
        rmr_jw_key_bytes(w, text);
        break;
    case RMR_JSON_STRING:
        rmr_jw_bytes(w, text);
        break;
    case RMR_JSON_NUMBER:
        rmr_jw_raw(w, text);
        break;
    case RMR_JSON_NULL:
        rmr_jw_null(w);
        break;
    default:
        rmr_jw_bool(w, kind == RMR_JSON_TRUE);
        break;
    }
    return RMR_OK;
}

static void write_and_read_back(rmr_bytes doc, uint64_t want)
{
    static const cuts whole = {0, 0};
    size_t cap = 6 * doc.len + 16, len = 0; /* a byte becomes \u00xx at most */
    uint8_t *out = memory(cap);
    uint64_t sum;
    rmr_jw w;
    rmr_jw_init(&w, rmr_buf_of(out, cap));
    need(run_reader(doc, false, doc.len, whole, write_token, &w) == RMR_OK);
    need(rmr_jw_end(&w, &len) == RMR_OK);
    need(run_digest(rmr_bytes_of(out, len), false, len, whole, &sum) == RMR_OK);
    need(sum == want);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const cuts whole = {0, 0}, bytes = {1, 1};
    if (size > 65536)
        return 0;
    rmr_bytes doc = rmr_bytes_of(data, size);
    digest d = {0xcbf29ce484222325};
    digest_add(&d, 0, doc);
    /* Any cut, chosen by the input itself. */
    const cuts some = {size ? 1 + d.sum % size : 0, 1 + (d.sum >> 32) % 40};
    const size_t small = d.sum >> 48 & 15;
    uint64_t a, b, c;

    rmr_err err = run_digest(doc, false, size, whole, &a);
    need(run_digest(doc, false, size, bytes, &b) == err && a == b);
    need(run_digest(doc, false, size, some, &b) == err && a == b);

    rmr_err hu = run_digest(doc, true, size, whole, &b);
    need(err != RMR_OK || (hu == RMR_OK && a == b));
    need(run_digest(doc, true, size, bytes, &c) == hu && b == c);
    need(run_digest(doc, true, size, some, &c) == hu && b == c);

    rmr_err bind = run_bind(doc, size, whole, &b);
    need(bind == err);
    need(run_bind(doc, size, some, &c) == bind && b == c);
    bind = run_bind(doc, small, whole, &b);
    need(bind == err || bind == RMR_E_TOOBIG);
    need(run_bind(doc, small, some, &c) == bind && b == c);
    bind = run_digest(doc, false, small, whole, &b);
    need(bind == err || bind == RMR_E_TOOBIG);
    need(run_digest(doc, false, small, some, &c) == bind && b == c);

    compare_with_jansson(doc, err);
    if (err == RMR_OK)
        write_and_read_back(doc, a);
    return 0;
}
