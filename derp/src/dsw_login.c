/* ClientInfo: who a client is, and what it says of itself. */
#include "dsw_internal.h"

#include <remora/json.h>

#include <string.h>

#define MESH_KEY_HEX (2 * RMR_KEY_LEN)
#define SCRATCH 128 /* longer strings are nothing that we look at */

typedef enum field {
    FIELD_NONE,
    FIELD_MESH_KEY,
    FIELD_VERSION,
    FIELD_CAN_ACK,
    FIELD_PROBER
} field;

typedef struct info_reader {
    const rmr_json *json;
    uint32_t depth;
    field member; /* whose value comes */
    bool is_root_ok;
    int64_t version;
    bool can_ack, is_prober, has_mesh_key;
    uint8_t mesh_key[RMR_KEY_LEN];
} info_reader;

/* Go's decoder, which the reference is built on, matches names without case,
 * and by Unicode's folding: U+017F is an s, U+212A a k. */
static size_t fold(const uint8_t *p, size_t left, uint8_t *out)
{
    *out = p[0];
    if (p[0] >= 'A' && p[0] <= 'Z')
        *out = (uint8_t)(p[0] + ('a' - 'A'));
    if (left >= 2 && p[0] == 0xc5 && p[1] == 0xbf) {
        *out = 's';
        return 2;
    }
    if (left >= 3 && p[0] == 0xe2 && p[1] == 0x84 && p[2] == 0xaa) {
        *out = 'k';
        return 3;
    }
    return 1;
}

static bool is_name(rmr_bytes text, const char *lower)
{
    size_t i = 0;
    for (; *lower && i < text.len; lower++) {
        uint8_t c;
        i += fold(text.ptr + i, text.len - i, &c);
        if (c != (uint8_t)*lower)
            return false;
    }
    return !*lower && i == text.len;
}

static field field_of(rmr_bytes name)
{
    static const struct {
        char name[12];
        field f;
    } fields[] = {{"meshkey", FIELD_MESH_KEY},
                  {"version", FIELD_VERSION},
                  {"canackpings", FIELD_CAN_ACK},
                  {"isprober", FIELD_PROBER}};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (is_name(name, fields[i].name))
            return fields[i].f;
    return FIELD_NONE;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Exactly 64 digits; null is as bad as anything else. */
static rmr_err take_mesh_key(info_reader *r, rmr_json_kind kind, rmr_bytes text)
{
    if (kind != RMR_JSON_STRING || text.len != MESH_KEY_HEX)
        return RMR_E_MALFORMED;
    for (size_t i = 0; i < RMR_KEY_LEN; i++) {
        int hi = hex_digit(text.ptr[2 * i]),
            lo = hex_digit(text.ptr[2 * i + 1]);
        if (hi < 0 || lo < 0)
            return RMR_E_MALFORMED;
        r->mesh_key[i] = (uint8_t)(hi << 4 | lo);
    }
    r->has_mesh_key = true;
    return RMR_OK;
}

static rmr_err take_bool(rmr_json_kind kind, bool *out)
{
    if (kind == RMR_JSON_NULL)
        return RMR_OK;
    if (kind != RMR_JSON_TRUE && kind != RMR_JSON_FALSE)
        return RMR_E_MALFORMED;
    *out = kind == RMR_JSON_TRUE;
    return RMR_OK;
}

static rmr_err take_member(info_reader *r, rmr_json_kind kind, rmr_bytes text)
{
    switch (r->member) {
    case FIELD_MESH_KEY:
        return take_mesh_key(r, kind, text);
    case FIELD_VERSION:
        return kind == RMR_JSON_NULL ? RMR_OK
                                     : rmr_json_int(kind, text, &r->version);
    case FIELD_CAN_ACK:
        return take_bool(kind, &r->can_ack);
    case FIELD_PROBER:
        return take_bool(kind, &r->is_prober);
    default:
        return RMR_OK;
    }
}

static rmr_err on_token(void *user, rmr_json_kind kind, rmr_bytes text)
{
    info_reader *r = user;
    bool begins = kind == RMR_JSON_OBJECT || kind == RMR_JSON_ARRAY;
    rmr_err e = RMR_OK;
    if (kind == RMR_JSON_OBJECT_END || kind == RMR_JSON_ARRAY_END) {
        r->depth--;
        return RMR_OK;
    }
    if (r->depth == 0)
        e = kind == RMR_JSON_OBJECT || kind == RMR_JSON_NULL ? RMR_OK
                                                             : RMR_E_MALFORMED;
    else if (r->depth == 1 && kind == RMR_JSON_KEY)
        r->member = r->json->too_long ? FIELD_NONE : field_of(text);
    else if (r->depth == 1)
        e = take_member(r, kind, text);
    r->depth += begins;
    return e;
}

static rmr_err parse_info(rmr_bytes text, info_reader *r)
{
    uint8_t scratch[SCRATCH];
    rmr_json j;
    memset(r, 0, sizeof *r);
    r->json = &j;
    rmr_json_init(&j, rmr_buf_of(scratch, sizeof scratch), on_token, r);
    j.skip_long = true;
    rmr_err e = rmr_json_feed(&j, text);
    if (e == RMR_OK)
        e = rmr_json_end(&j);
    rmr_wipe(scratch, sizeof scratch);
    return e;
}

static bool is_mesh_key(const rmr_dsw *sw, const info_reader *r)
{
    return r->has_mesh_key && sw->has_mesh_key &&
           rmr_equal_ct(r->mesh_key, sw->cfg.mesh_key, RMR_KEY_LEN);
}

rmr_err rmri_dsw_open_info(rmr_dsw *sw, rmri_dsw_client *c, rmr_buf body)
{
    info_reader r;
    uint8_t shared[RMR_KEY_LEN];
    const uint8_t *key = body.ptr;
    const uint8_t *nonce = body.ptr + RMR_KEY_LEN;
    uint8_t *box = body.ptr + RMRI_DSW_INFO_MIN;
    size_t len = body.len - RMRI_DSW_INFO_MIN;
    if (len < RMR_TAG_LEN ||
        rmr_box_shared(shared, sw->cfg.private_key, key) != RMR_OK)
        return RMR_E_DERP_LOGIN;
    uint8_t *plain = box + RMR_TAG_LEN;
    rmr_err e = rmr_box_open(plain, shared, nonce, rmr_bytes_of(box, len));
    if (e == RMR_OK)
        e = parse_info(rmr_bytes_of(plain, len - RMR_TAG_LEN), &r);
    if (e == RMR_OK) {
        memcpy(c->public_key, key, RMR_KEY_LEN);
        memcpy(c->shared, shared, RMR_KEY_LEN);
        c->version = r.version;
        c->can_ack_pings = r.can_ack;
        c->is_prober = r.is_prober;
        c->is_mesh = is_mesh_key(sw, &r);
        rmr_wipe(&r, sizeof r);
    }
    rmr_wipe(shared, sizeof shared);
    return e == RMR_OK ? RMR_OK : RMR_E_DERP_LOGIN;
}
