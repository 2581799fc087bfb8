/* DERP's bodies: bytes to values and back. */
#include "derp_internal.h"

#include <remora/cursor.h>
#include <remora/json.h>

#include <remora/text.h>
#include <string.h>

/* "DERP" and U+1F511. */
static const uint8_t magic[8] = {0x44, 0x45, 0x52, 0x50,
                                 0xf0, 0x9f, 0x94, 0x91};

/* What a node says of itself; nothing more, as the reference does. */
static const char client_info[] = "{\"version\":2,\"CanAckPings\":true}";
/* And what a relay says; it gives no advice on rates, as the reference. */
static const char server_info[] = "{\"version\":2}";

void rmri_derp_put_header(uint8_t dst[RMRI_DERP_HEADER], rmr_derp_type type,
                          size_t body_len)
{
    dst[0] = (uint8_t)type;
    rmr_store_be32(dst + 1, (uint32_t)body_len);
}

bool rmri_derp_parse_server_key(rmr_bytes body, uint8_t key[RMR_KEY_LEN])
{
    if (body.len < sizeof magic + RMR_KEY_LEN || body.len > 1024 ||
        memcmp(body.ptr, magic, sizeof magic) != 0)
        return false;
    memcpy(key, body.ptr + sizeof magic, RMR_KEY_LEN);
    return true;
}

static size_t client_info_json(char *dst, const uint8_t *mesh_key)
{
    static const char name[] = "\"meshKey\":\"";
    size_t at = 1;
    dst[0] = client_info[0];
    if (mesh_key) {
        memcpy(dst + at, name, sizeof name - 1);
        at += sizeof name - 1;
        rmr_hex(dst + at, mesh_key, RMR_KEY_LEN);
        at += (size_t)2 * RMR_KEY_LEN;
        memcpy(dst + at, "\",", 2);
        at += 2;
    }
    memcpy(dst + at, client_info + 1, sizeof client_info - 2);
    return at + sizeof client_info - 2;
}

size_t rmri_derp_build_client_info(uint8_t dst[RMRI_DERP_CLIENT_INFO_MAX],
                                   const uint8_t own_public[RMR_KEY_LEN],
                                   const uint8_t shared[RMR_KEY_LEN],
                                   const uint8_t nonce[RMR_BOX_NONCE_LEN],
                                   const uint8_t *mesh_key)
{
    char
        json[sizeof client_info + sizeof "\"meshKey\":\"\"," + 2 * RMR_KEY_LEN];
    size_t n = client_info_json(json, mesh_key);
    size_t body = RMR_KEY_LEN + RMR_BOX_NONCE_LEN + RMR_TAG_LEN + n;
    uint8_t *p = dst + RMRI_DERP_HEADER;
    rmri_derp_put_header(dst, RMR_DERP_CLIENT_INFO, body);
    memcpy(p, own_public, RMR_KEY_LEN);
    memcpy(p + RMR_KEY_LEN, nonce, RMR_BOX_NONCE_LEN);
    rmr_box_seal(p + RMR_KEY_LEN + RMR_BOX_NONCE_LEN, shared, nonce,
                 rmr_bytes_of(json, n));
    rmr_wipe(json, sizeof json);
    return RMRI_DERP_HEADER + body;
}

size_t rmri_derp_build_server_key(uint8_t *dst, const uint8_t key[RMR_KEY_LEN])
{
    uint8_t *p = dst + RMRI_DERP_HEADER;
    rmri_derp_put_header(dst, RMR_DERP_SERVER_KEY, sizeof magic + RMR_KEY_LEN);
    memcpy(p, magic, sizeof magic);
    memcpy(p + sizeof magic, key, RMR_KEY_LEN);
    return RMRI_DERP_HEADER + sizeof magic + RMR_KEY_LEN;
}

size_t rmri_derp_build_server_info(uint8_t *dst,
                                   const uint8_t shared[RMR_KEY_LEN],
                                   const uint8_t nonce[RMR_BOX_NONCE_LEN])
{
    size_t n = sizeof server_info - 1;
    size_t body = RMR_BOX_NONCE_LEN + RMR_TAG_LEN + n;
    uint8_t *p = dst + RMRI_DERP_HEADER;
    rmri_derp_put_header(dst, RMR_DERP_SERVER_INFO, body);
    memcpy(p, nonce, RMR_BOX_NONCE_LEN);
    rmr_box_seal(p + RMR_BOX_NONCE_LEN, shared, nonce,
                 rmr_bytes_of(server_info, n));
    return RMRI_DERP_HEADER + body;
}

/* ---- ServerInfo ------------------------------------------------------- */

enum { FIELD_RATE = 1, FIELD_BURST };

typedef struct info_reader {
    rmri_derp_server_info *out;
    bool is_object;
} info_reader;

static rmr_err on_nest(void *user, uint32_t id, rmr_json_kind kind)
{
    info_reader *r = user;
    if (id == 0 && kind == RMR_JSON_OBJECT)
        r->is_object = true;
    return RMR_OK;
}

static rmr_err on_value(void *user, uint32_t id, rmr_json_kind kind,
                        rmr_bytes text)
{
    info_reader *r = user;
    int64_t v;
    if (kind == RMR_JSON_NULL)
        return RMR_OK;
    rmr_err e = rmr_json_int(kind, text, &v);
    if (e != RMR_OK)
        return e;
    uint64_t n = v > 0 ? (uint64_t)v : 0;
    if (id == FIELD_RATE)
        r->out->rate = n;
    else if (id == FIELD_BURST)
        r->out->burst = n;
    return RMR_OK;
}

static bool parse_server_info(rmr_bytes json, rmri_derp_server_info *out)
{
    static const rmr_json_field fields[] = {
        {"TokenBucketBytesPerSecond", FIELD_RATE, NULL, 0},
        {"TokenBucketBytesBurst", FIELD_BURST, NULL, 0}};
    uint8_t scratch[64];
    info_reader r = {out, false};
    rmr_json_bind_callbacks cb = {&r, on_nest, on_value};
    rmr_json_bind b;
    rmr_json_bind_init(&b, rmr_buf_of(scratch, sizeof scratch), fields, 2, &cb);
    return rmr_json_bind_feed(&b, json) == RMR_OK &&
           rmr_json_bind_end(&b) == RMR_OK && r.is_object;
}

bool rmri_derp_open_server_info(rmr_buf body, const uint8_t shared[RMR_KEY_LEN],
                                rmri_derp_server_info *out)
{
    memset(out, 0, sizeof *out);
    if (body.len < RMR_BOX_NONCE_LEN + RMR_TAG_LEN)
        return false;
    uint8_t *box = body.ptr + RMR_BOX_NONCE_LEN;
    size_t len = body.len - RMR_BOX_NONCE_LEN;
    uint8_t *plain = box + RMR_TAG_LEN;
    if (rmr_box_open(plain, shared, body.ptr, rmr_bytes_of(box, len)) != RMR_OK)
        return false;
    return parse_server_info(rmr_bytes_of(plain, len - RMR_TAG_LEN), out);
}

/* ---- rate ------------------------------------------------------------- */

/* Above these nothing is limited in practice, and below them no product of
 * this arithmetic overflows. */
#define MAX_RATE ((uint64_t)1 << 40)
#define MAX_BURST ((uint64_t)1 << 33)

void rmri_derp_bucket_set(rmri_derp_bucket *b, uint64_t rate, uint64_t burst)
{
    uint64_t one = RMRI_DERP_HEADER + RMRI_DERP_MAX_BODY;
    memset(b, 0, sizeof *b);
    if (rate == 0 || rate > MAX_RATE)
        return;
    /* A bucket that can't hold the largest packet would never let it pass. */
    if (burst < one)
        burst = one;
    if (burst > MAX_BURST)
        burst = MAX_BURST;
    b->rate = rate;
    b->depth = burst * RMR_SEC / rate;
}

bool rmri_derp_bucket_take(rmri_derp_bucket *b, rmr_time now, size_t bytes)
{
    if (b->rate == 0)
        return true;
    rmr_time from = b->full_at > now ? b->full_at : now;
    rmr_time full_at = rmr_time_add(from, (uint64_t)bytes * RMR_SEC / b->rate);
    if (full_at - now > b->depth)
        return false;
    b->full_at = full_at;
    return true;
}
