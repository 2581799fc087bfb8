/* A value of any shape from its tokens to compact JSON: what a capability
 * carries is the application's to read. */
#include "nm_internal.h"

void rmri_nm_raw_begin(nm_raw *r)
{
    rmr_jw_init(&r->w, rmr_buf_of(r->text, sizeof r->text - 1));
    r->used = true;
    r->depth = 0;
    r->len = 0;
    r->text[0] = '\0';
}

bool rmri_nm_raw_nest(nm_raw *r, rmr_json_kind kind)
{
    switch (kind) {
    case RMR_JSON_OBJECT:
        rmr_jw_object(&r->w);
        r->depth++;
        return false;
    case RMR_JSON_ARRAY:
        rmr_jw_array(&r->w);
        r->depth++;
        return false;
    case RMR_JSON_OBJECT_END:
        rmr_jw_object_end(&r->w);
        break;
    default:
        rmr_jw_array_end(&r->w);
        break;
    }
    return --r->depth == 0;
}

void rmri_nm_raw_value(nm_raw *r, rmr_json_kind kind, rmr_bytes text)
{
    switch (kind) {
    case RMR_JSON_KEY:
        rmr_jw_key_bytes(&r->w, text);
        break;
    case RMR_JSON_STRING:
        rmr_jw_bytes(&r->w, text);
        break;
    case RMR_JSON_NUMBER:
        rmr_jw_raw(&r->w, text);
        break;
    case RMR_JSON_TRUE:
    case RMR_JSON_FALSE:
        rmr_jw_bool(&r->w, kind == RMR_JSON_TRUE);
        break;
    default:
        rmr_jw_null(&r->w);
        break;
    }
}

rmr_bytes rmri_nm_raw_end(nm_raw *r)
{
    size_t len = 0;
    if (rmr_jw_end(&r->w, &len) || r->text[0] != '[')
        return rmr_bytes_of(NULL, 0);
    r->text[len] = '\0';
    if (len == 2) /* no values: the same as null */
        len = 0;
    return rmr_bytes_of(r->text, len);
}

bool rmri_nm_raw_failed(const nm_raw *r)
{
    return r->w.failed || r->text[0] != '[';
}
