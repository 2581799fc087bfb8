#include "json_tree.h"

#include <remora/text.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct reader {
    jt_node *root, *at; /* at: the container that is open */
    char *key;
} reader;

static char *copy(rmr_bytes t)
{
    char *p = calloc(1, t.len + 1);
    if (!p)
        abort();
    if (t.len)
        memcpy(p, t.ptr, t.len);
    return p;
}

static rmr_err on_token(void *user, rmr_json_kind kind, rmr_bytes text)
{
    reader *r = user;
    if (kind == RMR_JSON_KEY) {
        r->key = copy(text);
        return RMR_OK;
    }
    if (kind == RMR_JSON_OBJECT_END || kind == RMR_JSON_ARRAY_END) {
        r->at = r->at->parent;
        return RMR_OK;
    }
    jt_node *n = calloc(1, sizeof *n);
    if (!n)
        abort();
    n->kind = kind;
    n->key = r->key;
    r->key = NULL;
    n->parent = r->at;
    if (kind == RMR_JSON_STRING || kind == RMR_JSON_NUMBER)
        n->text = copy(text);
    if (!r->at)
        r->root = n;
    else if (r->at->last)
        r->at->last->next = n;
    else
        r->at->first = n;
    if (r->at)
        r->at->last = n;
    if (kind == RMR_JSON_OBJECT || kind == RMR_JSON_ARRAY)
        r->at = n;
    return RMR_OK;
}

void jt_free(jt_node *n)
{
    if (!n)
        return;
    for (jt_node *c = n->first, *next; c; c = next) {
        next = c->next;
        jt_free(c);
    }
    free(n->key);
    free(n->text);
    free(n);
}

jt_node *jt_read(const char *text, size_t len)
{
    uint8_t *scratch = malloc(len + 1);
    reader r = {0};
    rmr_json j;
    if (!scratch)
        abort();
    rmr_json_init(&j, rmr_buf_of(scratch, len + 1), on_token, &r);
    rmr_err e = rmr_json_feed(&j, rmr_bytes_of((const uint8_t *)text, len));
    if (e == RMR_OK)
        e = rmr_json_end(&j);
    free(scratch);
    free(r.key);
    if (e == RMR_OK)
        return r.root;
    jt_free(r.root);
    return NULL;
}

const jt_node *jt_member(const jt_node *object, const char *key)
{
    for (const jt_node *c = object ? object->first : NULL; c; c = c->next) {
        if (c->key && strcmp(c->key, key) == 0)
            return c;
    }
    return NULL;
}

size_t jt_count(const jt_node *n)
{
    size_t k = 0;
    for (const jt_node *c = n ? n->first : NULL; c; c = c->next)
        k++;
    return k;
}

const char *jt_text(const jt_node *object, const char *key)
{
    const jt_node *n = jt_member(object, key);
    return n && n->text ? n->text : "";
}

/* ---- comparison ---------------------------------------------------------- */

static int is_time(const jt_node *n, uint64_t *at)
{
    return n->kind == RMR_JSON_STRING &&
           rmr_parse_time(rmr_bytes_str(n->text), at) == RMR_OK;
}

static int is_like(const char *want, const jt_node *is)
{
    uint64_t at = 1, id;
    int null = is->kind == RMR_JSON_NULL;
    if (strcmp(want, "<any>") == 0)
        return 1;
    if (strcmp(want, "<bool>") == 0)
        return is->kind == RMR_JSON_TRUE || is->kind == RMR_JSON_FALSE;
    if (strcmp(want, "<time>") == 0)
        return is_time(is, &at) && at;
    if (strcmp(want, "<time?>") == 0)
        return null || is_time(is, &at);
    if (strcmp(want, "<unset>") == 0)
        return null || (is_time(is, &at) && !at);
    if (is->kind != RMR_JSON_STRING)
        return 0;
    if (strcmp(want, "<text>") == 0)
        return is->text[0] != '\0';
    if (strcmp(want, "<id>") == 0)
        return rmr_parse_u64(rmr_bytes_str(is->text), UINT64_MAX, &id) ==
               RMR_OK;
    if (want[0] == '~') {
        char *front;
        unsigned long len = strtoul(want + 1, &front, 10);
        front++;
        return strlen(is->text) == len &&
               strncmp(is->text, front, strlen(front)) == 0;
    }
    return strcmp(want, is->text) == 0;
}

static int same_text(const jt_node *should, const jt_node *is)
{
    uint64_t a, b;
    if (is_time(should, &a) && is_time(is, &b))
        return a == b;
    return is_like(should->text, is);
}

static int differ(char where[256], const jt_node *n, const char *why)
{
    (void)snprintf(where, 256, "%s: %s", n->key ? n->key : "(an element)", why);
    return 0;
}

static int holds_text(const jt_node *list, const char *text)
{
    for (const jt_node *c = list->first; c; c = c->next) {
        if (c->kind == RMR_JSON_STRING && strcmp(c->text, text) == 0)
            return 1;
    }
    return 0;
}

static int same_list(const jt_node *should, const jt_node *is, char where[256])
{
    const jt_node *b = is->first;
    if (jt_count(should) != jt_count(is))
        return differ(where, should, "more or fewer elements");
    for (const jt_node *a = should->first; a; a = a->next, b = b->next) {
        if (a->kind == RMR_JSON_STRING) {
            if (!holds_text(is, a->text))
                return differ(where, should, a->text);
        } else if (!jt_same(a, b, where)) {
            return 0;
        }
    }
    return 1;
}

static int same_object(const jt_node *should, const jt_node *is,
                       char where[256])
{
    if (jt_count(should) > jt_count(is)) {
        for (const jt_node *a = should->first; a; a = a->next) {
            if (!jt_member(is, a->key))
                return differ(where, a, "is missing");
        }
    }
    for (const jt_node *b = is->first; b; b = b->next) {
        const jt_node *a = jt_member(should, b->key);
        if (!a)
            return differ(where, b, "is too much");
        if (!jt_same(a, b, where))
            return 0;
    }
    return jt_count(should) == jt_count(is) ||
           differ(where, is, "is there twice");
}

int jt_same(const jt_node *should, const jt_node *is, char where[256])
{
    if (should->kind == RMR_JSON_STRING)
        return same_text(should, is) ||
               differ(where, should, is->text ? is->text : "no text");
    if (should->kind != is->kind)
        return differ(where, should, "another kind");
    if (should->kind == RMR_JSON_OBJECT)
        return same_object(should, is, where);
    if (should->kind == RMR_JSON_ARRAY)
        return same_list(should, is, where);
    if (should->kind == RMR_JSON_NUMBER && strcmp(should->text, is->text) != 0)
        return differ(where, should, is->text);
    return 1;
}
