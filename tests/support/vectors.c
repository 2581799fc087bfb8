/* Vector files over jansson.  A `tv` is a json_t. */
#include "vectors.h"

#include "support.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *j(tv *v)
{
    return (json_t *)(void *)v;
}

static tv *t(json_t *v)
{
    return (tv *)(void *)v;
}

static void die(const char *what, const char *name)
{
    (void)fprintf(stderr, "vectors: %s %s\n", what, name);
    abort();
}

tv *tv_load(const char *name)
{
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/%s", REMORA_VECTORS, name);
    json_error_t err;
    json_t *v = json_load_file(path, JSON_DECODE_ANY | JSON_ALLOW_NUL, &err);
    if (!v) {
        (void)fprintf(stderr, "vectors: %s:%d: %s\n", path, err.line, err.text);
        abort();
    }
    return t(v);
}

void tv_free(tv *root)
{
    json_decref(j(root));
}

char *tv_bytes(const char *name, size_t *len)
{
    char path[1024], *p = NULL;
    size_t n = 0, cap = 0, got;
    (void)snprintf(path, sizeof path, "%s/%s", REMORA_VECTORS, name);
    FILE *f = fopen(path, "rb");
    if (!f)
        die("can't open", path);
    do {
        cap += 16384;
        p = realloc(p, cap + 1);
        if (!p)
            die("no memory for", path);
        n += got = fread(p + n, 1, cap - n, f);
    } while (got > 0);
    if (ferror(f))
        die("can't read", path);
    (void)fclose(f);
    p[n] = '\0';
    if (len)
        *len = n;
    return p;
}

char *tv_text(const char *name)
{
    return tv_bytes(name, NULL);
}

tv *tv_opt(tv *v, const char *key)
{
    if (!json_is_object(j(v)))
        die("not an object, asked for", key);
    json_t *m = json_object_get(j(v), key);
    return json_is_null(m) ? NULL : t(m);
}

tv *tv_get(tv *v, const char *key)
{
    tv *m = tv_opt(v, key);
    if (!m)
        die("no member", key);
    return m;
}

size_t tv_len(tv *v)
{
    if (!json_is_array(j(v)))
        die("not an array", "(tv_len)");
    return json_array_size(j(v));
}

tv *tv_at(tv *v, size_t i)
{
    json_t *e = json_array_get(j(v), i);
    if (!e)
        die("not an array, or no such element", "(tv_at)");
    return t(e);
}

const char *tv_str(tv *v)
{
    if (!json_is_string(j(v)))
        die("not a string", "(tv_str)");
    return json_string_value(j(v));
}

const char *tv_get_str(tv *v, const char *key)
{
    tv *m = tv_get(v, key);
    if (!json_is_string(j(m)))
        die("not a string", key);
    return json_string_value(j(m));
}

int64_t tv_int(tv *v)
{
    if (!json_is_integer(j(v)))
        die("not an integer", "(tv_int)");
    return (int64_t)json_integer_value(j(v));
}

int64_t tv_get_int(tv *v, const char *key)
{
    tv *m = tv_get(v, key);
    if (!json_is_integer(j(m)))
        die("not an integer", key);
    return (int64_t)json_integer_value(j(m));
}

double tv_num(tv *v)
{
    if (!json_is_number(j(v)))
        die("not a number", "(tv_num)");
    return json_number_value(j(v));
}

int tv_bool(tv *v)
{
    if (!json_is_boolean(j(v)))
        die("not a boolean", "(tv_bool)");
    return json_is_true(j(v));
}

int tv_is_str(tv *v)
{
    return json_is_string(j(v));
}

int tv_is_int(tv *v)
{
    return json_is_integer(j(v));
}

uint64_t tv_u64(tv *v)
{
    if (json_is_integer(j(v))) {
        json_int_t n = json_integer_value(j(v));
        if (n < 0)
            die("negative number", "(tv_u64)");
        return (uint64_t)n;
    }
    const char *s = tv_str(v);
    uint64_t n = 0;
    if (!*s)
        die("empty string", "(tv_u64)");
    for (; *s; s++) {
        uint64_t d = (uint64_t)(*s - '0');
        if (*s < '0' || *s > '9' || n > (UINT64_MAX - d) / 10)
            die("not a decimal number", "(tv_u64)");
        n = n * 10 + d;
    }
    return n;
}

size_t tv_hex(tv *v, uint8_t *dst, size_t cap)
{
    return test_unhex(dst, cap, tv_str(v));
}

size_t tv_get_hex(tv *v, const char *key, uint8_t *dst, size_t cap)
{
    return test_unhex(dst, cap, tv_get_str(v, key));
}

const char *tv_key_at(tv *v, size_t i, tv **value)
{
    if (!json_is_object(j(v)))
        die("not an object", "(tv_key_at)");
    void *it = json_object_iter(j(v));
    while (it && i--)
        it = json_object_iter_next(j(v), it);
    if (!it)
        return NULL;
    if (value)
        *value = t(json_object_iter_value(it));
    return json_object_iter_key(it);
}
