/* One Node or PeerChange from its JSON members to a packed block, and back. */
#include "nm_internal.h"

#include <remora/text.h>

#include <string.h>

void rmri_nm_draft_begin(nm_draft *d)
{
    memset(&d->head, 0, sizeof d->head);
    d->head.online = -1;
    d->present = 0;
    d->legacy_derp = 0;
    d->own_allowed = false;
    d->bad = false;
    d->endpoints.len = d->caps.len = d->services.len = 0;
    d->tags.len = d->values.len = d->value_off.len = 0;
    d->cap_slot = UINT32_MAX;
    d->addrs.len = d->allowed.len = d->primary.len = 0;
    d->stable[0] = d->name[0] = d->host[0] = d->os[0] = '\0';
}

void rmri_nm_draft_free(nm_draft *d, const rmr_alloc *a)
{
    rmri_ctl_vec_free(&d->endpoints, a);
    rmri_ctl_vec_free(&d->caps, a);
    rmri_ctl_vec_free(&d->addrs, a);
    rmri_ctl_vec_free(&d->allowed, a);
    rmri_ctl_vec_free(&d->primary, a);
    rmri_ctl_vec_free(&d->services, a);
    rmri_ctl_vec_free(&d->tags, a);
    rmri_ctl_vec_free(&d->values, a);
    rmri_ctl_vec_free(&d->value_off, a);
}

/* ---- capability names ------------------------------------------------- */

const char *rmri_nm_cap_name(const rmr_nm *nm, uint16_t cap)
{
    char *const *names = (char *const *)(void *)nm->cap_names.p;
    return names[cap];
}

static bool find_cap(const rmr_nm *nm, rmr_bytes name, uint16_t *out)
{
    uint64_t v;
    if (!rmr_hash_get(&nm->cap_index, name.ptr, name.len, &v))
        return false;
    *out = (uint16_t)v;
    return true;
}

bool rmri_nm_find_cap(const rmr_nm *nm, const char *name, uint16_t *out)
{
    return find_cap(nm, rmr_bytes_str(name), out);
}

/* A few names serve all nodes, so each is kept once, and for good.  Errors:
 * TOOBIG (too long, too many), NOMEM. */
rmr_err rmri_nm_intern(rmr_nm *nm, rmr_bytes name, uint16_t *out)
{
    size_t n = nm->cap_names.len / sizeof(char *);
    if (find_cap(nm, name, out))
        return RMR_OK;
    if (name.len == 0 || name.len >= NM_TEXT_MAX || n >= NM_MAX_CAP_NAMES ||
        rmri_ctl_has_byte(name, 0))
        return RMR_E_TOOBIG;
    char *text = rmr_alloc_zero(&nm->alloc, name.len + 1, 1);
    char **slot = text ? rmri_ctl_vec_add(&nm->cap_names, &nm->alloc,
                                          sizeof *slot, SIZE_MAX)
                       : NULL;
    if (!slot) {
        rmr_release(&nm->alloc, text, name.len + 1);
        return RMR_E_NOMEM;
    }
    memcpy(text, name.ptr, name.len);
    *slot = text;
    if (rmr_hash_put(&nm->cap_index, name.ptr, name.len, n)) {
        nm->cap_names.len -= sizeof *slot;
        rmr_release(&nm->alloc, text, name.len + 1);
        return RMR_E_NOMEM;
    }
    *out = (uint16_t)n;
    return RMR_OK;
}

/* ---- lists ------------------------------------------------------------ */

/* Appends an element; one too many is dropped and counted. */
static rmr_err append(rmr_nm *nm, rmri_ctl_vec *v, const void *e, size_t size,
                      size_t max)
{
    if (v->len / size >= max) {
        rmri_nm_drop(nm);
        return RMR_OK;
    }
    void *at = rmri_ctl_vec_add(v, &nm->alloc, size, SIZE_MAX);
    if (!at)
        return RMR_E_NOMEM;
    memcpy(at, e, size);
    return RMR_OK;
}

/* Once each, in whatever form: draft.cap_slot is its place then. */
static rmr_err add_cap(rmr_nm *nm, rmr_bytes name)
{
    uint16_t cap;
    const uint32_t no_values = 0;
    nm_draft *d = &nm->read->draft;
    d->cap_slot = UINT32_MAX;
    rmr_err e = rmri_nm_intern(nm, name, &cap);
    if (e == RMR_E_TOOBIG) {
        rmri_nm_drop(nm);
        return RMR_OK;
    }
    if (e)
        return e;
    size_t n = d->caps.len / sizeof cap;
    for (size_t i = 0; i < n; i++) {
        if (memcmp(d->caps.p + i * sizeof cap, &cap, sizeof cap) == 0) {
            d->cap_slot = (uint32_t)i;
            return RMR_OK;
        }
    }
    if (n >= NM_MAX_CAPS) {
        rmri_nm_drop(nm);
        return RMR_OK;
    }
    e = append(nm, &d->value_off, &no_values, sizeof no_values, SIZE_MAX);
    if (!e)
        e = append(nm, &d->caps, &cap, sizeof cap, SIZE_MAX);
    if (!e)
        d->cap_slot = (uint32_t)n;
    return e;
}

/* A text with its NUL behind the others of a list. */
static rmr_err add_text(rmr_nm *nm, rmri_ctl_vec *v, rmr_bytes text, size_t max)
{
    if (rmri_ctl_has_byte(text, 0) || v->len + text.len + 1 > max) {
        rmri_nm_drop(nm);
        return RMR_OK;
    }
    char *at = rmri_ctl_vec_add(v, &nm->alloc, text.len + 1, SIZE_MAX);
    if (!at)
        return RMR_E_NOMEM;
    if (text.len)
        memcpy(at, text.ptr, text.len);
    return RMR_OK;
}

/* What was read of the values of the capability `cap_slot`.  Values that are
 * too long are dropped; the capability stays. */
static rmr_err cap_values_end(rmr_nm *nm)
{
    nm_draft *d = &nm->read->draft;
    rmr_bytes text = rmri_nm_raw_end(&nm->read->raw);
    bool bad = rmri_nm_raw_failed(&nm->read->raw);
    if (d->cap_slot == UINT32_MAX)
        return RMR_OK;
    if (bad || d->values.len + text.len + 2 > NM_MAX_CAP_BYTES) {
        rmri_nm_drop(nm);
        return RMR_OK;
    }
    if (text.len == 0)
        return RMR_OK;
    if (d->values.len == 0 &&
        !rmri_ctl_vec_add(&d->values, &nm->alloc, 1, NM_MAX_CAP_BYTES))
        return RMR_E_NOMEM;
    uint32_t off = (uint32_t)d->values.len;
    rmr_err e = add_text(nm, &d->values, text, NM_MAX_CAP_BYTES);
    if (!e)
        memcpy(d->value_off.p + d->cap_slot * sizeof off, &off, sizeof off);
    return e;
}

static rmr_err add_tag(rmr_nm *nm, rmr_json_kind kind, rmr_bytes text)
{
    nm_draft *d = &nm->read->draft;
    size_t before = d->tags.len;
    if (kind != RMR_JSON_STRING || text.len == 0 ||
        d->head.n_tags >= NM_MAX_TAGS) {
        rmri_nm_drop(nm);
        return RMR_OK;
    }
    rmr_err e = add_text(nm, &d->tags, text, (size_t)NM_MAX_TAGS * NM_TEXT_MAX);
    if (d->tags.len > before)
        d->head.n_tags++;
    return e;
}

/* Hostinfo.Services; those of a kind that is not known are left out. */
static void service_value(rmr_nm *nm, uint32_t id, rmr_json_kind kind,
                          rmr_bytes text)
{
    static const char *const name[] = {
        "", "tcp", "udp", "peerapi4", "peerapi6", "peerapi-dns-proxy"};
    rmr_nm_service *s = &nm->read->draft.service;
    int64_t v;
    if (id == N_SVC_PORT) {
        if (rmr_json_int(kind, text, &v) || v < 0 || v > UINT16_MAX)
            rmri_nm_drop(nm);
        else
            s->port = (uint16_t)v;
        return;
    }
    for (uint16_t i = 1; i < sizeof name / sizeof *name; i++) {
        if (kind == RMR_JSON_STRING && rmr_bytes_eq_str(text, name[i]))
            s->proto = i;
    }
}

static rmr_err add_prefix(rmr_nm *nm, rmri_ctl_vec *v, rmr_json_kind kind,
                          rmr_bytes text, size_t max)
{
    rmr_prefix p;
    if (kind != RMR_JSON_STRING || rmr_prefix_parse(text, &p)) {
        rmri_nm_drop(nm);
        return RMR_OK;
    }
    for (size_t i = 0; max == NM_MAX_ADDRS && i < v->len; i += sizeof p) {
        if (memcmp(v->p + i, &p, sizeof p) == 0)
            return RMR_OK; /* the index wants own addresses once */
    }
    return append(nm, v, &p, sizeof p, max);
}

static rmr_err add_endpoint(rmr_nm *nm, rmr_json_kind kind, rmr_bytes text)
{
    rmr_addr a, clean;
    if (kind != RMR_JSON_STRING || rmr_addr_parse(text, &a)) {
        rmri_nm_drop(nm);
        return RMR_OK;
    }
    rmri_ctl_put_addr(&clean, &a);
    return append(nm, &nm->read->draft.endpoints, &clean, sizeof clean,
                  NM_MAX_ENDPOINTS);
}

/* ---- scalars ---------------------------------------------------------- */

/* "nodekey:" and 64 hex digits; false when it is not that. */
static bool key_text(uint8_t key[RMR_KEY_LEN], const char *prefix,
                     rmr_json_kind kind, rmr_bytes text)
{
    size_t n = strlen(prefix);
    return kind == RMR_JSON_STRING && text.len == n + 64 &&
           memcmp(text.ptr, prefix, n) == 0 &&
           rmr_unhex(key, RMR_KEY_LEN,
                     rmr_bytes_of(text.ptr + n, text.len - n)) == RMR_OK;
}

static void set_u16(rmr_nm *nm, uint16_t *out, rmr_json_kind kind,
                    rmr_bytes text)
{
    int64_t v;
    if (rmr_json_int(kind, text, &v) || v < 0 || v > UINT16_MAX)
        rmri_nm_drop(nm);
    else
        *out = (uint16_t)v;
}

static void set_time(rmr_nm *nm, uint64_t *out, rmr_json_kind kind,
                     rmr_bytes text)
{
    if (kind != RMR_JSON_STRING || rmr_parse_time(text, out))
        rmri_nm_drop(nm);
}

static void set_flag(nm_draft *d, uint8_t flag, rmr_json_kind kind)
{
    if (kind == RMR_JSON_TRUE)
        d->head.flags |= flag;
    else
        d->head.flags &= (uint8_t)~flag;
}

static void set_text(rmr_nm *nm, char *dst, rmr_json_kind kind, rmr_bytes text)
{
    if (kind == RMR_JSON_STRING)
        rmri_nm_text(nm, dst, NM_TEXT_MAX, text);
}

/* The FQDN without its final dot, lower case (RFC 4343). */
static void set_name(rmr_nm *nm, rmr_json_kind kind, rmr_bytes text)
{
    char *s = nm->read->draft.name;
    while (text.len && text.ptr[text.len - 1] == '.')
        text.len--;
    set_text(nm, s, kind, text);
    for (; *s; s++) {
        if (*s >= 'A' && *s <= 'Z')
            *s = (char)(*s | 0x20);
    }
}

/* The old form of HomeDERP: "127.3.3.40:<region>". */
static void set_legacy_derp(rmr_nm *nm, rmr_json_kind kind, rmr_bytes text)
{
    rmr_addr a, magic = rmr_addr_v4(127, 3, 3, 40, 0);
    if (kind == RMR_JSON_STRING && text.len == 0)
        return;
    if (kind != RMR_JSON_STRING || rmr_addr_parse(text, &a) ||
        !rmr_addr_ip_eq(&a, &magic))
        rmri_nm_drop(nm);
    else
        nm->read->draft.legacy_derp = a.port;
}

static void set_identity(rmr_nm *nm, uint32_t id, rmr_json_kind kind,
                         rmr_bytes text)
{
    nm_draft *d = &nm->read->draft;
    int64_t v;
    switch (id) {
    case N_ID:
        if (rmr_json_int(kind, text, &v) || v <= 0)
            d->bad = true;
        else
            d->head.id = (uint64_t)v;
        break;
    case N_KEY:
        d->present |= NM_T_P_KEY;
        if (!key_text(d->head.key, "nodekey:", kind, text))
            d->bad = true;
        break;
    default: /* N_DISCO_KEY */
        d->present |= NM_T_P_DISCO;
        /* Go writes a zero key where it does not leave it out. */
        if (text.len && !key_text(d->head.disco, "discokey:", kind, text))
            d->bad = true;
        break;
    }
}

static rmr_err set_list(rmr_nm *nm, uint32_t id, rmr_json_kind kind,
                        rmr_bytes text)
{
    nm_draft *d = &nm->read->draft;
    switch (id) {
    case N_ADDRESSES:
        return add_prefix(nm, &d->addrs, kind, text, NM_MAX_ADDRS);
    case N_ALLOWED_IPS:
        return add_prefix(nm, &d->allowed, kind, text, NM_MAX_ROUTES);
    case N_PRIMARY_ROUTES:
        return add_prefix(nm, &d->primary, kind, text, NM_MAX_ROUTES);
    case N_ENDPOINTS:
        return add_endpoint(nm, kind, text);
    case N_CAPABILITIES:
        return kind == RMR_JSON_STRING ? add_cap(nm, text) : RMR_OK;
    default:
        return add_tag(nm, kind, text);
    }
}

static void set_scalar(rmr_nm *nm, uint32_t id, rmr_json_kind kind,
                       rmr_bytes text)
{
    nm_draft *d = &nm->read->draft;
    switch (id) {
    case N_STABLE_ID:
        set_text(nm, d->stable, kind, text);
        break;
    case N_NAME:
        set_name(nm, kind, text);
        break;
    case N_HOSTNAME:
        set_text(nm, d->host, kind, text);
        break;
    case N_OS:
        set_text(nm, d->os, kind, text);
        break;
    case N_USER:
        if (rmr_json_int(kind, text, &d->head.user))
            rmri_nm_drop(nm);
        break;
    case N_KEY_EXPIRY:
        d->present |= NM_T_P_EXPIRY;
        set_time(nm, &d->head.key_expiry, kind, text);
        break;
    case N_LAST_SEEN:
        d->present |= NM_T_P_SEEN;
        set_time(nm, &d->head.last_seen, kind, text);
        break;
    case N_CREATED:
        set_time(nm, &d->head.created, kind, text);
        break;
    case N_HOME_DERP:
        set_u16(nm, &d->head.home_derp, kind, text);
        break;
    case N_DERP:
        set_legacy_derp(nm, kind, text);
        break;
    case N_PATCH_DERP:
        set_u16(nm, &d->head.home_derp, kind, text);
        d->present |= d->head.home_derp ? NM_T_P_DERP : 0;
        break;
    case N_CAP:
        set_u16(nm, &d->head.cap, kind, text);
        d->present |= d->head.cap ? NM_T_P_CAP : 0;
        break;
    case N_ONLINE:
        d->present |= NM_T_P_ONLINE;
        d->head.online = kind == RMR_JSON_TRUE;
        break;
    case N_EXPIRED:
        set_flag(d, NM_F_EXPIRED, kind);
        break;
    case N_AUTHORIZED:
        set_flag(d, NM_F_AUTHORIZED, kind);
        break;
    case N_WIREGUARD_ONLY:
        set_flag(d, NM_F_WIREGUARD_ONLY, kind);
        break;
    case N_JAILED:
        set_flag(d, NM_F_JAILED, kind);
        break;
    case N_UNSIGNED:
        set_flag(d, NM_F_UNSIGNED, kind);
        break;
    default:
        break;
    }
}

/* A key of CapMap, or a part of its values. */
static rmr_err cap_value(rmr_nm *nm, uint32_t id, rmr_json_kind kind,
                         rmr_bytes text)
{
    if (nm->read->raw.depth)
        rmri_nm_raw_value(&nm->read->raw, kind, text);
    else if (id == N_CAP_NAME && kind == RMR_JSON_KEY)
        return add_cap(nm, text);
    return RMR_OK;
}

static rmr_err cap_nest(rmr_nm *nm, rmr_json_kind kind)
{
    if (nm->read->raw.depth == 0)
        rmri_nm_raw_begin(&nm->read->raw);
    return rmri_nm_raw_nest(&nm->read->raw, kind) ? cap_values_end(nm) : RMR_OK;
}

rmr_err rmri_nm_draft_value(rmr_nm *nm, uint32_t id, rmr_json_kind kind,
                            rmr_bytes text)
{
    if (id == N_CAP_NAME || id == N_CAP_VALUE)
        return cap_value(nm, id, kind, text);
    if (kind == RMR_JSON_NULL) /* as if absent */
        return RMR_OK;
    switch (id) {
    case N_SVC_PROTO:
    case N_SVC_PORT:
        service_value(nm, id, kind, text);
        return RMR_OK;
    case N_ID:
    case N_KEY:
    case N_DISCO_KEY:
        set_identity(nm, id, kind, text);
        return RMR_OK;
    case N_ADDRESSES:
    case N_ALLOWED_IPS:
    case N_PRIMARY_ROUTES:
    case N_ENDPOINTS:
    case N_CAPABILITIES:
    case N_TAGS:
        return set_list(nm, id, kind, text);
    default:
        set_scalar(nm, id, kind, text);
        return RMR_OK;
    }
}

/* A list or map that stands there, even empty, is not absent. */
rmr_err rmri_nm_draft_nest(rmr_nm *nm, uint32_t id, rmr_json_kind kind)
{
    nm_draft *d = &nm->read->draft;
    if (id == N_CAP_NAME || id == N_CAP_VALUE)
        return cap_nest(nm, kind);
    if (id == N_SERVICES && kind == RMR_JSON_OBJECT)
        memset(&d->service, 0, sizeof d->service);
    if (id == N_SERVICES && kind == RMR_JSON_OBJECT_END && d->service.proto)
        return append(nm, &d->services, &d->service, sizeof d->service,
                      NM_MAX_SERVICES);
    if (id == N_ALLOWED_IPS)
        d->own_allowed = true;
    else if (id == N_ENDPOINTS)
        d->present |= NM_T_P_ENDPOINTS;
    else if (id == N_CAP_MAP)
        d->present |= NM_T_P_CAPMAP;
    return RMR_OK;
}

/* ---- blocks ----------------------------------------------------------- */

static uint8_t *put(uint8_t *at, const void *src, size_t n)
{
    if (n)
        memcpy(at, src, n);
    return at + n;
}

/* The values of the i-th capability of a draft. */
static const char *draft_values(const nm_draft *d, size_t i)
{
    uint32_t off;
    memcpy(&off, d->value_off.p + i * sizeof off, sizeof off);
    return off ? (const char *)d->values.p + off : "";
}

static size_t values_len(const nm_draft *d, size_t n)
{
    size_t len = 0;
    for (size_t i = 0; i < n; i++)
        len += strlen(draft_values(d, i)) + 1;
    return len;
}

rmr_err rmri_nm_pack(rmr_nm *nm, nm_draft *d, nm_peer **out)
{
    nm_peer h = d->head;
    bool same = !d->own_allowed ||
                (d->allowed.len == d->addrs.len &&
                 (d->addrs.len == 0 ||
                  memcmp(d->allowed.p, d->addrs.p, d->addrs.len) == 0));
    if (h.home_derp == 0)
        h.home_derp = d->legacy_derp;
    h.flags &= (uint8_t)~NM_F_OWN_ALLOWED;
    h.flags |= same ? 0 : NM_F_OWN_ALLOWED;
    h.n_endpoints = (uint8_t)(d->endpoints.len / sizeof(rmr_addr));
    h.n_services = (uint8_t)(d->services.len / sizeof(rmr_nm_service));
    h.n_caps = (uint8_t)(d->caps.len / sizeof(uint16_t));
    h.values_len = (uint32_t)values_len(d, h.n_caps);
    h.tags_len = (uint32_t)d->tags.len;
    h.n_addrs = (uint8_t)(d->addrs.len / sizeof(rmr_prefix));
    h.n_allowed = same ? 0 : (uint16_t)(d->allowed.len / sizeof(rmr_prefix));
    h.n_primary = (uint16_t)(d->primary.len / sizeof(rmr_prefix));
    h.stable_len = (uint8_t)strlen(d->stable);
    h.name_len = (uint8_t)strlen(d->name);
    h.host_len = (uint8_t)strlen(d->host);
    h.os_len = (uint8_t)strlen(d->os);
    size_t size = sizeof h + d->endpoints.len + d->services.len + d->caps.len +
                  d->addrs.len + h.values_len + h.tags_len +
                  (same ? 0 : d->allowed.len) + d->primary.len + h.stable_len +
                  1u + h.name_len + 1u + h.host_len + 1u + h.os_len + 1u;
    h.size = (uint32_t)size;
    nm_peer *p = rmr_alloc_zero(&nm->alloc, size, _Alignof(nm_peer));
    if (!p)
        return RMR_E_NOMEM;
    uint8_t *at = put((uint8_t *)p, &h, sizeof h);
    at = put(at, d->endpoints.p, d->endpoints.len);
    at = put(at, d->services.p, d->services.len);
    at = put(at, d->caps.p, d->caps.len);
    at = put(at, d->addrs.p, d->addrs.len);
    if (!same)
        at = put(at, d->allowed.p, d->allowed.len);
    at = put(at, d->primary.p, d->primary.len);
    at = put(at, d->stable, h.stable_len + 1u);
    at = put(at, d->name, h.name_len + 1u);
    at = put(at, d->host, h.host_len + 1u);
    at = put(at, d->os, h.os_len + 1u);
    at = put(at, d->tags.p, d->tags.len);
    for (size_t i = 0; i < h.n_caps; i++)
        at = put(at, draft_values(d, i), strlen(draft_values(d, i)) + 1);
    *out = p;
    return RMR_OK;
}

static rmr_err fill(rmr_nm *nm, rmri_ctl_vec *v, const void *src, size_t n)
{
    v->len = 0;
    if (n == 0)
        return RMR_OK;
    void *at = rmri_ctl_vec_add(v, &nm->alloc, n, SIZE_MAX);
    if (!at)
        return RMR_E_NOMEM;
    memcpy(at, src, n);
    return RMR_OK;
}

/* The values of a block's capabilities, each with its offset. */
static rmr_err unpack_values(rmr_nm *nm, const nm_peer *p, const char *values,
                             nm_draft *d)
{
    d->values.len = d->value_off.len = 0;
    if (p->n_caps == 0)
        return RMR_OK;
    uint32_t *off = rmri_ctl_vec_add(&d->value_off, &nm->alloc,
                                     p->n_caps * sizeof *off, SIZE_MAX);
    char *at =
        rmri_ctl_vec_add(&d->values, &nm->alloc, p->values_len + 1, SIZE_MAX);
    if (!off || !at) {
        d->caps.len = d->values.len = d->value_off.len = 0;
        return RMR_E_NOMEM;
    }
    memcpy(at + 1, values, p->values_len);
    for (size_t i = 0, pos = 1; i < p->n_caps; i++) {
        size_t n = strlen(at + pos);
        off[i] = n ? (uint32_t)pos : 0;
        pos += n + 1;
    }
    return RMR_OK;
}

rmr_err rmri_nm_unpack(rmr_nm *nm, const nm_peer *p, nm_draft *d)
{
    nm_parts k;
    rmri_nm_parts(p, &k);
    rmri_nm_draft_begin(d);
    d->head = *p;
    d->own_allowed = (p->flags & NM_F_OWN_ALLOWED) != 0;
    memcpy(d->stable, k.stable, p->stable_len + 1u);
    memcpy(d->name, k.name, p->name_len + 1u);
    memcpy(d->host, k.host, p->host_len + 1u);
    memcpy(d->os, k.os, p->os_len + 1u);
    if (fill(nm, &d->endpoints, k.endpoints,
             p->n_endpoints * sizeof(rmr_addr)) ||
        fill(nm, &d->services, k.services,
             p->n_services * sizeof(rmr_nm_service)) ||
        fill(nm, &d->tags, k.tags, p->tags_len) ||
        fill(nm, &d->caps, k.caps, p->n_caps * sizeof(uint16_t)) ||
        fill(nm, &d->addrs, k.addrs, p->n_addrs * sizeof(rmr_prefix)) ||
        fill(nm, &d->allowed, k.allowed, p->n_allowed * sizeof(rmr_prefix)) ||
        fill(nm, &d->primary, k.primary, p->n_primary * sizeof(rmr_prefix)))
        return RMR_E_NOMEM;
    return unpack_values(nm, p, k.values, d);
}
