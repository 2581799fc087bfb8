/* A request's JSON: one object of a few fields.  All that is wrong with it is
 * told at once. */
#include "crd_api.h"

#include <stdio.h>
#include <string.h>

typedef struct body {
    crd_call *q;
    uint8_t *at; /* the next text's place */
    uint8_t *end;
    int depth;
    const crd_field *field; /* of the value that comes; NULL: unwanted */
    crd_value *value;
} body;

/* By location, as far as there is room. */
static crd_wrong *wrong(crd_call *q, const char *message, const char *name)
{
    crd_wrong x, *list = q->wrong;
    size_t i = 0;
    memset(&x, 0, sizeof x);
    x.message = message;
    (void)snprintf(x.where, sizeof x.where, *name ? "body.%s" : "body%s", name);
    if (q->n_wrong == CRD_API_WRONGS)
        return NULL;
    while (i < q->n_wrong && strcmp(list[i].where, x.where) <= 0)
        i++;
    memmove(list + i + 1, list + i, (q->n_wrong - i) * sizeof *list);
    list[i] = x;
    q->n_wrong++;
    return &list[i];
}

static void say_value(crd_wrong *x, rmr_json_kind kind, rmr_bytes text)
{
    static const char *const words[] = {"{}", "{}", "[]",   "[]",    "",
                                        "",   "",   "true", "false", "null"};
    if (!x)
        return;
    x->is_raw = kind != RMR_JSON_STRING && text.len < sizeof x->value;
    if (kind == RMR_JSON_NUMBER || kind == RMR_JSON_STRING)
        (void)snprintf(x->value, sizeof x->value, "%.*s", (int)text.len,
                       text.len ? (const char *)text.ptr : "");
    else
        (void)snprintf(x->value, sizeof x->value, "%s", words[kind]);
}

static void mismatch(body *b, const char *message, const char *name,
                     rmr_json_kind kind, rmr_bytes text)
{
    say_value(wrong(b->q, message, name), kind, text);
}

/* The arena has as many bytes as the body: there is room for each text, and for
 * the NUL in the place of its quotes. */
static const char *keep(body *b, rmr_bytes text)
{
    char *p = (char *)b->at;
    if ((size_t)(b->end - b->at) <= text.len)
        return NULL;
    if (text.len)
        memcpy(p, text.ptr, text.len);
    p[text.len] = '\0';
    b->at += text.len + 1;
    return p;
}

static bool has_nul(rmr_bytes text)
{
    return text.len && memchr(text.ptr, 0, text.len);
}

static void take_text(body *b, rmr_json_kind kind, rmr_bytes text)
{
    if (kind != RMR_JSON_STRING)
        mismatch(b, "expected string", b->field->name, kind, text);
    else if (has_nul(text))
        (void)wrong(b->q, "a NUL is not allowed", b->field->name);
    else
        b->value->text = keep(b, text);
    b->value->given = b->value->text != NULL;
}

static void take_time(body *b, rmr_json_kind kind, rmr_bytes text)
{
    if (kind != RMR_JSON_STRING) {
        mismatch(b, "expected string", b->field->name, kind, text);
        return;
    }
    if (rmr_parse_time(text, &b->value->time) != RMR_OK) {
        mismatch(b, "expected string to be RFC 3339 date-time", b->field->name,
                 kind, text);
        return;
    }
    if (b->value->time == 0)
        b->value->time = 1;
    b->value->given = true;
}

static void take(body *b, rmr_json_kind kind, rmr_bytes text)
{
    if (kind == RMR_JSON_NULL)
        return;
    switch (b->field->kind) {
    case CRD_FIELD_TEXT:
        take_text(b, kind, text);
        break;
    case CRD_FIELD_TIME:
        take_time(b, kind, text);
        break;
    case CRD_FIELD_BOOL:
        b->value->given = true;
        b->value->flag = kind == RMR_JSON_TRUE;
        if (kind != RMR_JSON_TRUE && kind != RMR_JSON_FALSE)
            mismatch(b, "expected boolean", b->field->name, kind, text);
        break;
    default:
        if (kind != RMR_JSON_ARRAY)
            mismatch(b, "expected array", b->field->name, kind, text);
        b->value->given = true;
        b->value->n = 0;
        break;
    }
}

static void element(body *b, rmr_json_kind kind, rmr_bytes text)
{
    crd_value *v = b->value;
    char name[64];
    (void)snprintf(name, sizeof name, "%s[%zu]", b->field->name, v->n);
    if (kind != RMR_JSON_STRING)
        mismatch(b, "expected string", name, kind, text);
    else if (has_nul(text))
        (void)wrong(b->q, "a NUL is not allowed", name);
    else if (v->n == RMR_COORD_MAX_ROUTES)
        (void)wrong(b->q, "too many items", b->field->name);
    else if ((v->list[v->n] = keep(b, text)))
        v->n++;
}

static void key(body *b, rmr_bytes text)
{
    const crd_op *op = b->q->op;
    char name[80];
    b->field = NULL;
    for (size_t i = 0; i < op->n_fields; i++) {
        if (rmr_bytes_eq_str(text, op->fields[i].name)) {
            b->field = &op->fields[i];
            b->value = &b->q->v[i];
            memset(b->value, 0, sizeof *b->value); /* the last one counts */
        }
    }
    if (b->field)
        return;
    (void)snprintf(name, sizeof name, "%.*s", (int)text.len,
                   text.len ? (const char *)text.ptr : "");
    crd_wrong *x = wrong(b->q, "unexpected property", name);
    if (x)
        x->whole = true;
}

static rmr_err on_token(void *user, rmr_json_kind kind, rmr_bytes text)
{
    body *b = user;
    bool ends = kind == RMR_JSON_OBJECT_END || kind == RMR_JSON_ARRAY_END;
    int depth = ends ? --b->depth : b->depth;
    if (kind == RMR_JSON_OBJECT || kind == RMR_JSON_ARRAY)
        b->depth++;
    if (ends)
        return RMR_OK;
    if (depth == 0 && kind != RMR_JSON_OBJECT)
        mismatch(b, "expected object", "", kind, text);
    else if (depth == 1 && kind == RMR_JSON_KEY)
        key(b, text);
    else if (depth == 1 && b->field)
        take(b, kind, text);
    else if (depth == 2 && b->field && b->field->kind == CRD_FIELD_LIST &&
             kind != RMR_JSON_KEY)
        element(b, kind, text);
    return RMR_OK;
}

rmr_err rmri_crd_api_parse(rmr_coord *c, crd_call *q)
{
    rmr_bytes in = rmri_crd_buf_rest(&q->body);
    size_t half = in.len + 1;
    rmr_json j;
    body b;
    q->arena_cap = 2 * half;
    q->arena = rmr_alloc_zero(&c->env.alloc, q->arena_cap, 1);
    if (!q->arena) {
        q->arena_cap = 0;
        return RMR_E_NOMEM;
    }
    memset(&b, 0, sizeof b);
    b.q = q;
    b.at = q->arena + half;
    b.end = b.at + half;
    rmr_json_init(&j, rmr_buf_of(q->arena, half), on_token, &b);
    rmr_err e = rmr_json_feed(&j, in);
    return e == RMR_OK ? rmr_json_end(&j) : e;
}
