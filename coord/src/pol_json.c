/* HuJSON as a tree with the place of each value.  Bytes are fed one at a time:
 * so each token comes with the byte that ends it, and from there its beginning
 * is found backwards. */
#include "pol_internal.h"

#include <string.h>

static pol_json *node_at(const pol_tree *t, uint32_t i)
{
    return POL_AT(pol_json, &t->nodes, i);
}

/* Where the token that ends with (or before) the byte at pos begins. */
static uint32_t token_start(const pol_tree *t, rmr_json_kind kind)
{
    const uint8_t *d = t->doc.ptr;
    uint32_t p = t->pos;
    switch (kind) {
    case RMR_JSON_KEY:
    case RMR_JSON_STRING: /* a quote within has an odd run of backslashes */
        for (;;) {
            do
                p--;
            while (d[p] != '"');
            uint32_t s = p;
            while (s && d[s - 1] == '\\')
                s--;
            if ((p - s) % 2 == 0)
                return p;
        }
    case RMR_JSON_NUMBER: /* it ended with the byte behind it, or the document */
        while (p && (d[p - 1] == '-' || d[p - 1] == '+' || d[p - 1] == '.' ||
                     (d[p - 1] | 0x20) == 'e' ||
                     (d[p - 1] >= '0' && d[p - 1] <= '9')))
            p--;
        return p;
    case RMR_JSON_TRUE:
    case RMR_JSON_NULL:
        return p - 3;
    case RMR_JSON_FALSE:
        return p - 4;
    default:
        return p;
    }
}

static rmr_err add_node(pol_tree *t, rmr_json_kind kind, rmr_bytes text)
{
    uint32_t i = t->nodes.n;
    pol_json *n = rmri_pol_vec_add(&t->nodes, t->alloc);
    if (!n || !rmri_pol_arena_copy(t->text, text, &n->text))
        return RMR_E_NOMEM;
    uint32_t start = token_start(t, kind);
    n->kind = (uint8_t)kind;
    n->parent = t->open;
    n->next = n->child = n->last = POL_NONE;
    n->key = t->key;
    n->line = t->line;
    /* A number may end with the line. */
    n->column = start >= t->line_at ? start - t->line_at + 1 : 1;
    t->key = rmr_bytes_of(NULL, 0);
    if (t->open != POL_NONE) {
        pol_json *up = node_at(t, t->open);
        n->index = up->n++;
        if (up->last == POL_NONE)
            up->child = i;
        else
            node_at(t, up->last)->next = i;
        up->last = i;
    }
    if (kind == RMR_JSON_OBJECT || kind == RMR_JSON_ARRAY)
        t->open = i;
    return RMR_OK;
}

static rmr_err on_token(void *user, rmr_json_kind kind, rmr_bytes text)
{
    pol_tree *t = user;
    switch (kind) {
    case RMR_JSON_KEY:
        return rmri_pol_arena_copy(t->text, text, &t->key) ? RMR_OK
                                                           : RMR_E_NOMEM;
    case RMR_JSON_OBJECT_END:
    case RMR_JSON_ARRAY_END:
        t->open = node_at(t, t->open)->parent;
        return RMR_OK;
    default:
        return add_node(t, kind, text);
    }
}

static void refuse(const pol_tree *t, rmr_pol_why *why, rmr_err err, bool end)
{
    why->line = t->line;
    why->column = t->pos - t->line_at + 1;
    pol_text out;
    rmri_pol_text_init(&out, why->text, sizeof why->text);
    rmri_pol_text_fmt(&out,
                      "parsing policy: parsing HuJSON: hujson: line %u, "
                      "column %u: ",
                      why->line, why->column);
    if (err == RMR_E_TOOBIG) {
        rmri_pol_text_fmt(&out, "nested too deep");
    } else if (end) {
        rmri_pol_text_fmt(&out, "parsing value: unexpected EOF");
    } else {
        rmr_bytes c = rmr_bytes_of(t->doc.ptr + t->pos, 1);
        rmri_pol_text_fmt(&out, "invalid character %Q", &c);
    }
}

static rmr_err feed(pol_tree *t, rmr_json *j, rmr_pol_why *why)
{
    for (; t->pos < t->doc.len; t->pos++) {
        rmr_bytes byte = rmr_bytes_of(t->doc.ptr + t->pos, 1);
        rmr_err err = rmr_json_feed(j, byte);
        if (err) {
            if (err != RMR_E_NOMEM)
                refuse(t, why, err, false);
            return err;
        }
        if (*byte.ptr == '\n') {
            t->line++;
            t->line_at = t->pos + 1;
        }
    }
    rmr_err err = rmr_json_end(j);
    if (err && err != RMR_E_NOMEM)
        refuse(t, why, err, true);
    return err;
}

/* ---- members that are there twice ----------------------------------------- */

static int member_cmp(const void *a, const void *b, const void *ctx)
{
    const pol_tree *t = ctx;
    const pol_json *x = node_at(t, *(const uint32_t *)a);
    const pol_json *y = node_at(t, *(const uint32_t *)b);
    if (x->parent != y->parent)
        return x->parent < y->parent ? -1 : 1;
    int c = rmri_pol_bytes_cmp(x->key, y->key);
    if (c)
        return c;
    return x < y ? -1 : x > y;
}

/* A member that is there twice would mean whichever one reader takes. */
static rmr_err refuse_twice(pol_tree *t, rmr_pol_why *why)
{
    pol_vec order = {NULL, 0, 0, sizeof(uint32_t)};
    for (uint32_t i = 1; i < t->nodes.n; i++) {
        if (node_at(t, node_at(t, i)->parent)->kind != RMR_JSON_OBJECT)
            continue;
        uint32_t *p = rmri_pol_vec_add(&order, t->alloc);
        if (!p) {
            rmri_pol_vec_free(&order, t->alloc);
            return RMR_E_NOMEM;
        }
        *p = i;
    }
    rmri_pol_sort(order.p, order.n, sizeof(uint32_t), member_cmp, t);
    uint32_t twice = POL_NONE;
    for (uint32_t i = 1; i < order.n; i++) {
        uint32_t a = *POL_AT(uint32_t, &order, i - 1);
        uint32_t b = *POL_AT(uint32_t, &order, i);
        if (node_at(t, a)->parent == node_at(t, b)->parent &&
            rmr_bytes_eq(node_at(t, a)->key, node_at(t, b)->key) && b < twice)
            twice = b;
    }
    rmri_pol_vec_free(&order, t->alloc);
    if (twice == POL_NONE)
        return RMR_OK;
    const pol_json *n = node_at(t, twice);
    why->line = n->line;
    why->column = n->column;
    pol_text out;
    rmri_pol_text_init(&out, why->text, sizeof why->text);
    rmri_pol_text_fmt(&out,
                      "parsing policy: parsing policy from bytes: "
                      "jsontext: duplicate object member name %Q",
                      &n->key);
    return RMR_E_MALFORMED;
}

rmr_err rmri_pol_tree_read(pol_tree *t, const rmr_alloc *a, pol_arena *text,
                           rmr_bytes doc, rmr_pol_why *why)
{
    memset(t, 0, sizeof *t);
    t->alloc = a;
    t->text = text;
    t->nodes.size = sizeof(pol_json);
    t->open = POL_NONE;
    t->doc = doc;
    t->line = 1;
    /* No scalar is longer than the document. */
    uint8_t *scratch = rmr_alloc_zero(a, doc.len + 1, 1);
    if (!scratch)
        return RMR_E_NOMEM;
    rmr_json j;
    rmr_json_init(&j, rmr_buf_of(scratch, doc.len + 1), on_token, t);
    rmr_json_allow_hujson(&j);
    rmr_err err = feed(t, &j, why);
    rmr_release(a, scratch, doc.len + 1);
    return err ? err : refuse_twice(t, why);
}

void rmri_pol_tree_free(pol_tree *t)
{
    if (t->alloc)
        rmri_pol_vec_free(&t->nodes, t->alloc);
}

/* ---- writing ----------------------------------------------------------------- */

static void write_scalar(const pol_json *n, rmr_jw *w)
{
    switch (n->kind) {
    case RMR_JSON_STRING:
        rmr_jw_bytes(w, n->text);
        break;
    case RMR_JSON_NUMBER:
        rmr_jw_raw(w, n->text);
        break;
    case RMR_JSON_NULL:
        rmr_jw_null(w);
        break;
    default:
        rmr_jw_bool(w, n->kind == RMR_JSON_TRUE);
        break;
    }
}

/* Without recursion: down to children, else on, else up. */
void rmri_pol_tree_write(const pol_tree *t, uint32_t node, rmr_jw *w)
{
    uint32_t i = node;
    for (;;) {
        const pol_json *n = node_at(t, i);
        if (i != node && n->parent != POL_NONE &&
            node_at(t, n->parent)->kind == RMR_JSON_OBJECT)
            rmr_jw_key_bytes(w, n->key);
        if (n->kind == RMR_JSON_OBJECT)
            rmr_jw_object(w);
        else if (n->kind == RMR_JSON_ARRAY)
            rmr_jw_array(w);
        else
            write_scalar(n, w);
        if (n->child != POL_NONE) {
            i = n->child;
            continue;
        }
        for (;;) { /* all of n is written, but its end */
            if (n->kind == RMR_JSON_OBJECT)
                rmr_jw_object_end(w);
            else if (n->kind == RMR_JSON_ARRAY)
                rmr_jw_array_end(w);
            if (i == node)
                return;
            if (n->next != POL_NONE) {
                i = n->next;
                break;
            }
            i = n->parent;
            n = node_at(t, i);
        }
    }
}
