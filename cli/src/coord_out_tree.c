/* JSON as a tree, in blocks of memory that are freed as one. */
#include "coord_out.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK ((size_t)64 * 1024)

struct cli_tree_block {
    struct cli_tree_block *next;
    size_t cap, len;
    union {
        void *p;
        uint64_t n;
    } data[]; /* aligned for nodes */
};

typedef struct builder {
    cli_tree *t;
    rmr_bytes key;
    size_t depth;
    cli_node *open[RMR_JSON_MAX_DEPTH];
    cli_node *last[RMR_JSON_MAX_DEPTH]; /* of an array, its end */
} builder;

static void *take(cli_tree *t, size_t len)
{
    struct cli_tree_block *b = t->blocks;
    size_t need =
        (len + sizeof b->data[0] - 1) / sizeof b->data[0] * sizeof b->data[0];
    if (b == NULL || b->cap - b->len < need) {
        size_t cap = need > BLOCK ? need : BLOCK;
        b = calloc(1, sizeof *b + cap);
        if (b == NULL) {
            return NULL;
        }
        b->cap = cap;
        b->next = t->blocks;
        t->blocks = b;
    }
    b->len += need;
    return (uint8_t *)b->data + b->len - need;
}

static bool copy(cli_tree *t, rmr_bytes from, rmr_bytes *to)
{
    uint8_t *p = from.len > 0 ? take(t, from.len) : NULL;
    if (from.len > 0 && p == NULL) {
        return false;
    }
    if (p != NULL) {
        memcpy(p, from.ptr, from.len);
    }
    *to = rmr_bytes_of(p, from.len);
    return true;
}

static int compare(rmr_bytes a, rmr_bytes b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n > 0 ? memcmp(a.ptr, b.ptr, n) : 0;
    return c != 0 ? c : (a.len > b.len) - (a.len < b.len);
}

/* A member goes where its key belongs, as Headscale's JSON is ordered. */
static void put_in(builder *b, cli_node *n)
{
    cli_node *in = b->open[b->depth - 1];
    cli_node **at = &in->first;
    if (in->kind == RMR_JSON_ARRAY) {
        cli_node *last = b->last[b->depth - 1];
        at = last != NULL ? &last->next : &in->first;
        b->last[b->depth - 1] = n;
    } else {
        while (*at != NULL && compare((*at)->key, n->key) <= 0) {
            at = &(*at)->next;
        }
    }
    n->next = *at;
    *at = n;
}

static rmr_err take_token(void *user, rmr_json_kind kind, rmr_bytes text)
{
    builder *b = user;
    if (kind == RMR_JSON_OBJECT_END || kind == RMR_JSON_ARRAY_END) {
        b->depth--;
        return RMR_OK;
    }
    if (kind == RMR_JSON_KEY) {
        return copy(b->t, text, &b->key) ? RMR_OK : RMR_E_NOMEM;
    }
    cli_node *n = take(b->t, sizeof *n);
    if (n == NULL || !copy(b->t, text, &n->text)) {
        return RMR_E_NOMEM;
    }
    n->kind = kind;
    if (b->depth == 0) {
        b->t->root = n;
    } else {
        if (b->open[b->depth - 1]->kind == RMR_JSON_OBJECT) {
            n->key = b->key;
        }
        put_in(b, n);
    }
    if (kind == RMR_JSON_OBJECT || kind == RMR_JSON_ARRAY) {
        b->open[b->depth] = n; /* the reader bounds the depth */
        b->last[b->depth] = NULL;
        b->depth++;
    }
    return RMR_OK;
}

bool cli_tree_read(cli_tree *t, rmr_bytes json)
{
    builder b;
    rmr_json reader;
    memset(t, 0, sizeof *t);
    memset(&b, 0, sizeof b);
    b.t = t;
    /* No scalar is longer than the whole. */
    uint8_t *scratch = malloc(json.len + 1);
    if (scratch == NULL) {
        return false;
    }
    rmr_json_init(&reader, rmr_buf_of(scratch, json.len + 1), take_token, &b);
    bool ok = rmr_json_feed(&reader, json) == RMR_OK &&
              rmr_json_end(&reader) == RMR_OK;
    rmr_wipe(scratch, json.len + 1);
    free(scratch);
    if (!ok) {
        cli_tree_free(t);
    }
    return ok;
}

void cli_tree_free(cli_tree *t)
{
    while (t->blocks != NULL) {
        struct cli_tree_block *b = t->blocks;
        t->blocks = b->next;
        rmr_wipe(b->data, b->len);
        free(b);
    }
    t->root = NULL;
}

const cli_node *cli_node_get(const cli_node *object, const char *key)
{
    const cli_node *n = NULL;
    if (object != NULL && object->kind == RMR_JSON_OBJECT) {
        n = object->first;
    }
    while (n != NULL && !rmr_bytes_eq_str(n->key, key)) {
        n = n->next;
    }
    return n;
}

rmr_bytes cli_node_text(const cli_node *object, const char *key)
{
    const cli_node *n = cli_node_get(object, key);
    return n != NULL && n->kind == RMR_JSON_STRING ? n->text
                                                   : rmr_bytes_of(NULL, 0);
}

bool cli_node_is_true(const cli_node *object, const char *key)
{
    const cli_node *n = cli_node_get(object, key);
    return n != NULL && n->kind == RMR_JSON_TRUE;
}
