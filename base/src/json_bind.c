/* JSON fields by table: follows the reader's tokens through the caller's table
 * and reports what stands in it. */
#include <remora/json.h>

#include <string.h>

/* Is it the entry for all other members? */
static bool is_rest(const rmr_json_field *f)
{
    return f->key[0] == '*' && f->key[1] == '\0';
}

/* Equal to a C string, without walking that string first: most keys differ in
 * their first byte. */
static bool key_is(const char *key, rmr_bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        if ((uint8_t)key[i] != text.ptr[i] || key[i] == '\0')
            return false;
    }
    return key[text.len] == '\0';
}

/* Encoders write members in a fixed order, as a rule that of the table, so the
 * search begins behind the last find. */
static const rmr_json_field *find_field(rmr_json_bind *b, rmr_bytes key,
                                        bool too_long)
{
    const rmr_json_field *fields = b->level[b->depth].fields;
    uint32_t n = b->level[b->depth].n_fields;
    const rmr_json_field *rest = NULL;
    uint32_t i = b->level[b->depth].hint;
    for (uint32_t left = n; left; left--, i++) {
        if (i >= n)
            i = 0;
        if (is_rest(&fields[i])) {
            rest = &fields[i];
        } else if (!too_long && key_is(fields[i].key, key)) {
            b->level[b->depth].hint = i + 1;
            return &fields[i];
        }
    }
    return rest;
}

/* What is done about a wanted scalar that is too long. */
static rmr_err drop_long(rmr_json_bind *b, uint32_t id)
{
    return b->may_drop && b->may_drop(b->cb.user, id) ? RMR_OK : RMR_E_TOOBIG;
}

static rmr_err on_key(rmr_json_bind *b, rmr_bytes key)
{
    bool too_long = b->json.too_long;
    b->member = find_field(b, key, too_long);
    if (!b->member || !is_rest(b->member))
        return RMR_OK;
    if (too_long) {
        uint32_t id = b->member->id;
        b->member = NULL; /* nobody wants its value */
        return drop_long(b, id);
    }
    return b->cb.value
               ? b->cb.value(b->cb.user, b->member->id, RMR_JSON_KEY, key)
               : RMR_OK;
}

/* What a value that begins now is for; false when nobody wants it. */
static bool wanted(const rmr_json_bind *b, rmr_json_field *out)
{
    if (b->level[b->depth].is_object) {
        if (b->member)
            *out = *b->member;
        return b->member != NULL;
    }
    out->id = b->level[b->depth].id;
    out->fields = b->level[b->depth].fields;
    out->n_fields = b->level[b->depth].n_fields;
    return true;
}

static rmr_err on_open(rmr_json_bind *b, rmr_json_kind kind)
{
    rmr_json_field f;
    if (!wanted(b, &f)) {
        b->skip_depth = 1;
        return RMR_OK;
    }
    b->depth++; /* at most the reader's depth */
    b->level[b->depth].fields = f.fields;
    b->level[b->depth].n_fields = f.fields ? f.n_fields : 0;
    b->level[b->depth].id = f.id;
    b->level[b->depth].hint = 0;
    b->level[b->depth].is_object = kind == RMR_JSON_OBJECT;
    return b->cb.nest ? b->cb.nest(b->cb.user, f.id, kind) : RMR_OK;
}

static rmr_err on_close(rmr_json_bind *b, rmr_json_kind kind)
{
    uint32_t id = b->level[b->depth].id;
    b->depth--;
    return b->cb.nest ? b->cb.nest(b->cb.user, id, kind) : RMR_OK;
}

static rmr_err on_scalar(rmr_json_bind *b, rmr_json_kind kind, rmr_bytes text)
{
    rmr_json_field f;
    if (!wanted(b, &f))
        return RMR_OK;
    if (b->json.too_long)
        return drop_long(b, f.id);
    return b->cb.value ? b->cb.value(b->cb.user, f.id, kind, text) : RMR_OK;
}

static rmr_err on_token(void *user, rmr_json_kind kind, rmr_bytes text)
{
    rmr_json_bind *b = (rmr_json_bind *)user;
    bool opens = kind == RMR_JSON_OBJECT || kind == RMR_JSON_ARRAY;
    bool closes = kind == RMR_JSON_OBJECT_END || kind == RMR_JSON_ARRAY_END;
    if (b->skip_depth) {
        if (opens)
            b->skip_depth++;
        else if (closes)
            b->skip_depth--;
        return RMR_OK;
    }
    if (kind == RMR_JSON_KEY)
        return on_key(b, text);
    if (opens)
        return on_open(b, kind);
    if (closes)
        return on_close(b, kind);
    return on_scalar(b, kind, text);
}

void rmr_json_bind_init(rmr_json_bind *b, rmr_buf scratch,
                        const rmr_json_field *fields, uint32_t n_fields,
                        const rmr_json_bind_callbacks *cb)
{
    memset(b, 0, sizeof *b);
    rmr_json_init(&b->json, scratch, on_token, b);
    b->json.skip_long = true;
    b->cb = *cb;
    b->level[0].fields = fields;
    b->level[0].n_fields = n_fields;
}

void rmr_json_bind_may_drop(rmr_json_bind *b,
                            bool (*may_drop)(void *user, uint32_t id))
{
    b->may_drop = may_drop;
}

rmr_err rmr_json_bind_feed(rmr_json_bind *b, rmr_bytes in)
{
    return rmr_json_feed(&b->json, in);
}

rmr_err rmr_json_bind_end(rmr_json_bind *b)
{
    return rmr_json_end(&b->json);
}
