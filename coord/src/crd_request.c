/* RegisterRequest and MapRequest: one table of fields for both, as most of them
 * are the same.  What is too long for its place, or has bytes of control, is
 * left out; what has another shape is ignored; a key that is none makes the
 * request a bad one. */
#include "crd_internal.h"

#include <string.h>

enum {
    Q_VERSION = 1,
    Q_KEY,
    Q_OLD_KEY,
    Q_DISCO,
    Q_EXPIRY,
    Q_AUTH_KEY,
    Q_FOLLOWUP,
    Q_EPHEMERAL,
    Q_STREAM,
    Q_READ_ONLY,
    Q_COMPRESS,
    Q_ENDPOINTS,
    Q_AUTH,
    Q_HOSTINFO,
    Q_HOSTNAME,
    Q_OS,
    Q_ROUTES,
    Q_TAGS,
    Q_SERVICES,
    Q_SERVICE_PROTO,
    Q_SERVICE_PORT,
    Q_NET_INFO,
    Q_HOME
};

static const rmr_json_field auth_fields[] = {{"AuthKey", Q_AUTH_KEY, NULL, 0}};
static const rmr_json_field service_fields[] = {
    {"Proto", Q_SERVICE_PROTO, NULL, 0}, {"Port", Q_SERVICE_PORT, NULL, 0}};
static const rmr_json_field net_fields[] = {{"PreferredDERP", Q_HOME, NULL, 0}};
static const rmr_json_field host_fields[] = {
    {"OS", Q_OS, NULL, 0},
    {"Hostname", Q_HOSTNAME, NULL, 0},
    {"RoutableIPs", Q_ROUTES, NULL, 0},
    {"RequestTags", Q_TAGS, NULL, 0},
    {"Services", Q_SERVICES, service_fields, 2},
    {"NetInfo", Q_NET_INFO, net_fields, 1}};
static const rmr_json_field fields[] = {
    {"Version", Q_VERSION, NULL, 0},
    {"Compress", Q_COMPRESS, NULL, 0},
    {"NodeKey", Q_KEY, NULL, 0},
    {"OldNodeKey", Q_OLD_KEY, NULL, 0},
    {"DiscoKey", Q_DISCO, NULL, 0},
    {"Auth", Q_AUTH, auth_fields, 1},
    {"Expiry", Q_EXPIRY, NULL, 0},
    {"Followup", Q_FOLLOWUP, NULL, 0},
    {"Ephemeral", Q_EPHEMERAL, NULL, 0},
    {"Stream", Q_STREAM, NULL, 0},
    {"ReadOnly", Q_READ_ONLY, NULL, 0},
    {"Endpoints", Q_ENDPOINTS, NULL, 0},
    {"Hostinfo", Q_HOSTINFO, host_fields, 6}};

/* ---- values -------------------------------------------------------------- */

/* C0, DEL, C1: they come to peers, logs and terminals.  It is UTF-8. */
static bool has_control(rmr_bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        const uint8_t *p = text.ptr + i;
        bool c1 = p[0] == 0xc2 && i + 1 < text.len && p[1] < 0xa0;
        if (p[0] < 0x20 || p[0] == 0x7f || c1)
            return true;
    }
    return false;
}

static void take_text(char *dst, size_t cap, rmr_bytes text)
{
    if (text.len >= cap || has_control(text))
        return;
    if (text.len)
        memcpy(dst, text.ptr, text.len);
    dst[text.len] = '\0';
}

static void take_key(crd_request *q, uint8_t key[RMR_KEY_LEN],
                     const char *prefix, rmr_bytes text)
{
    size_t n = strlen(prefix);
    if (text.len != n + 2 * RMR_KEY_LEN || memcmp(text.ptr, prefix, n) != 0 ||
        rmr_unhex(key, RMR_KEY_LEN, rmr_bytes_of(text.ptr + n, text.len - n)))
        q->bad_key = true;
}

static uint64_t number(rmr_json_kind kind, rmr_bytes text, uint64_t max)
{
    int64_t v;
    if (rmr_json_int(kind, text, &v) != RMR_OK || v < 0 || (uint64_t)v > max)
        return 0;
    return (uint64_t)v;
}

/* Go's zero time is none; what lies before 1970's first second is the past all
 * the same. */
static void take_expiry(crd_request *q, rmr_bytes text)
{
    uint64_t at;
    if (rmr_bytes_eq_str(text, "0001-01-01T00:00:00Z") ||
        rmr_parse_time(text, &at) != RMR_OK)
        return;
    q->has_expiry = true;
    q->expiry = at ? at : 1;
}

static void take_route(crd_request *q, rmr_bytes text)
{
    if (q->n_routes < RMR_COORD_MAX_ROUTES &&
        rmr_prefix_parse(text, &q->routes[q->n_routes]) == RMR_OK)
        q->n_routes++;
}

static void take_endpoint(crd_request *q, rmr_bytes text)
{
    if (q->n_endpoints < RMR_COORD_MAX_ENDPOINTS &&
        rmr_addr_parse(text, &q->endpoints[q->n_endpoints]) == RMR_OK)
        q->n_endpoints++;
}

static void take_tag(crd_request *q, rmr_bytes text)
{
    if (q->n_tags < RMR_COORD_MAX_TAGS && text.len < sizeof q->tags[0])
        take_text(q->tags[q->n_tags++], sizeof q->tags[0], text);
}

/* The service that is being read: behind those that are whole. */
static crd_service *service(crd_request *q)
{
    return q->n_services < CRD_MAX_SERVICES ? &q->services[q->n_services]
                                            : NULL;
}

static void string_value(crd_request *q, uint32_t id, rmr_bytes text)
{
    crd_service *s = service(q);
    switch (id) {
    case Q_KEY:
        take_key(q, q->key, "nodekey:", text);
        break;
    case Q_OLD_KEY:
        take_key(q, q->old_key, "nodekey:", text);
        break;
    case Q_DISCO:
        take_key(q, q->disco, "discokey:", text);
        break;
    case Q_EXPIRY:
        take_expiry(q, text);
        break;
    case Q_AUTH_KEY:
        take_text(q->auth_key, sizeof q->auth_key, text);
        break;
    case Q_FOLLOWUP:
        take_text(q->followup, sizeof q->followup, text);
        break;
    case Q_HOSTNAME:
        take_text(q->hostname, sizeof q->hostname, text);
        break;
    case Q_OS:
        take_text(q->os, sizeof q->os, text);
        break;
    case Q_COMPRESS:
        q->zstd = rmr_bytes_eq_str(text, "zstd");
        break;
    case Q_ROUTES:
        take_route(q, text);
        break;
    case Q_TAGS:
        take_tag(q, text);
        break;
    case Q_ENDPOINTS:
        take_endpoint(q, text);
        break;
    case Q_SERVICE_PROTO:
        if (s)
            take_text(s->proto, sizeof s->proto, text);
        break;
    default:
        break;
    }
}

static void number_value(crd_request *q, uint32_t id, rmr_json_kind kind,
                         rmr_bytes text)
{
    if (id == Q_VERSION)
        q->version = (uint16_t)number(kind, text, UINT16_MAX);
    else if (id == Q_HOME)
        q->home_derp = (uint16_t)number(kind, text, UINT16_MAX);
    else if (id == Q_SERVICE_PORT && service(q))
        service(q)->port = (uint16_t)number(kind, text, UINT16_MAX);
}

static void bool_value(crd_request *q, uint32_t id, bool on)
{
    if (id == Q_EPHEMERAL)
        q->ephemeral = on;
    else if (id == Q_STREAM)
        q->stream = on;
    else if (id == Q_READ_ONLY)
        q->read_only = on;
}

/* ---- the reader ---------------------------------------------------------- */

static rmr_err on_value(void *user, uint32_t id, rmr_json_kind kind,
                        rmr_bytes text)
{
    crd_request *q = user;
    if (kind == RMR_JSON_STRING)
        string_value(q, id, text);
    else if (kind == RMR_JSON_NUMBER)
        number_value(q, id, kind, text);
    else if (kind == RMR_JSON_TRUE || kind == RMR_JSON_FALSE)
        bool_value(q, id, kind == RMR_JSON_TRUE);
    return RMR_OK;
}

static rmr_err on_nest(void *user, uint32_t id, rmr_json_kind kind)
{
    crd_request *q = user;
    if (id == 0 && kind == RMR_JSON_ARRAY)
        return RMR_E_MALFORMED;
    if (id == Q_HOSTINFO)
        q->has_hostinfo = true;
    else if (id == Q_NET_INFO)
        q->has_net_info = true;
    else if (id == Q_ENDPOINTS)
        q->has_endpoints = true;
    else if (id == Q_SERVICES && kind == RMR_JSON_OBJECT_END && service(q) &&
             service(q)->proto[0])
        q->n_services++;
    return RMR_OK;
}

static bool may_drop(void *user, uint32_t id)
{
    crd_request *q = user;
    if (id == Q_KEY || id == Q_OLD_KEY || id == Q_DISCO)
        q->bad_key = true;
    return true;
}

void rmri_crd_reader_init(crd_reader *r)
{
    const rmr_json_bind_callbacks cb = {&r->q, on_nest, on_value};
    rmr_json_bind_init(&r->bind, rmr_buf_of(r->scratch, sizeof r->scratch),
                       fields, sizeof fields / sizeof fields[0], &cb);
    rmr_json_bind_may_drop(&r->bind, may_drop);
}

rmr_err rmri_crd_reader_feed(crd_reader *r, rmr_bytes data)
{
    return rmr_json_bind_feed(&r->bind, data);
}

rmr_err rmri_crd_reader_end(crd_reader *r)
{
    rmr_err e = rmr_json_bind_end(&r->bind);
    return e == RMR_OK && r->q.bad_key ? RMR_E_MALFORMED : e;
}
