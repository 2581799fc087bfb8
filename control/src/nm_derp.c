/* DERPMap: regions are staged while they are read and replace the old ones when
 * the whole map of regions was sound. */
#include "nm_internal.h"

#include <remora/text.h>

#include <string.h>

enum { DERP_PORT = 443, STUN_PORT = 3478 };

/* ---- memory ------------------------------------------------------------ */

static size_t text_size(const char *name, const char *host, const char *cert)
{
    return strlen(name) + strlen(host) + strlen(cert) + 3;
}

static rmr_nm_derp_node *nodes_of(const nm_region *r, size_t *n)
{
    *n = r->nodes.len / sizeof(rmr_nm_derp_node);
    return (rmr_nm_derp_node *)(void *)r->nodes.p;
}

static void free_nodes(rmr_nm *nm, nm_region *r)
{
    size_t n;
    rmr_nm_derp_node *d = nodes_of(r, &n);
    for (size_t i = 0; i < n; i++)
        rmr_release(&nm->alloc, (char *)(uintptr_t)d[i].name,
                    text_size(d[i].name, d[i].host, d[i].cert_name));
    rmri_ctl_vec_free(&r->nodes, &nm->alloc);
}

static void free_regions(rmr_nm *nm, nm_region *r, size_t n, size_t cap)
{
    for (size_t i = 0; i < n; i++)
        free_nodes(nm, &r[i]);
    rmr_release(&nm->alloc, r, cap * sizeof *r);
}

void rmri_nm_derp_discard(rmr_nm *nm)
{
    if (nm->region) /* begun, not counted yet */
        free_nodes(nm, nm->region);
    free_regions(nm, nm->new_regions, nm->n_new_regions, nm->cap_new_regions);
    nm->new_regions = NULL;
    nm->n_new_regions = nm->cap_new_regions = 0;
    nm->region = NULL;
    nm->derp_node = NULL;
}

void rmri_nm_derp_free(rmr_nm *nm)
{
    rmri_nm_derp_discard(nm);
    free_regions(nm, nm->regions, nm->n_regions, nm->n_regions);
    rmri_nm_score_free(nm);
}

/* ---- regions ---------------------------------------------------------- */

static rmr_err region_begin(rmr_nm *nm)
{
    if (nm->n_new_regions == nm->cap_new_regions) {
        size_t cap = nm->cap_new_regions ? nm->cap_new_regions * 2 : 4;
        nm_region *r =
            rmr_alloc_zero(&nm->alloc, cap * sizeof *r, _Alignof(nm_region));
        if (!r)
            return RMR_E_NOMEM;
        if (nm->n_new_regions)
            memcpy(r, nm->new_regions, nm->n_new_regions * sizeof *r);
        rmr_release(&nm->alloc, nm->new_regions,
                    nm->cap_new_regions * sizeof *r);
        nm->new_regions = r;
        nm->cap_new_regions = cap;
    }
    nm->region = &nm->new_regions[nm->n_new_regions];
    memset(nm->region, 0, sizeof *nm->region);
    if (nm->region_key <= UINT16_MAX)
        nm->region->id = (uint16_t)nm->region_key;
    return RMR_OK;
}

/* Puts the region that was read to its place by id. */
static void region_end(rmr_nm *nm)
{
    nm_region r = *nm->region;
    size_t at = nm->n_new_regions;
    nm->region = NULL;
    while (at > 0 && nm->new_regions[at - 1].id > r.id)
        at--;
    bool known = at > 0 && nm->new_regions[at - 1].id == r.id;
    if (r.id == 0 || known || nm->n_new_regions >= NM_MAX_REGIONS) {
        free_nodes(nm, &r);
        rmri_nm_drop(nm);
        return;
    }
    memmove(nm->new_regions + at + 1, nm->new_regions + at,
            (nm->n_new_regions - at) * sizeof r);
    nm->new_regions[at] = r;
    nm->n_new_regions++;
}

/* Bit by bit: what is neither more nor less is the same. */
static bool same_place(const nm_region *a, const nm_region *b)
{
    return memcmp(&a->latitude, &b->latitude, sizeof a->latitude) == 0 &&
           memcmp(&a->longitude, &b->longitude, sizeof a->longitude) == 0;
}

static bool same_addr(const rmr_addr *a, const rmr_addr *b)
{
    return memcmp(a, b, sizeof *a) == 0; /* put by rmri_ctl_put_addr */
}

static bool same_node(const rmr_nm_derp_node *a, const rmr_nm_derp_node *b)
{
    return rmri_ctl_same(a->name, b->name) && rmri_ctl_same(a->host, b->host) &&
           rmri_ctl_same(a->cert_name, b->cert_name) &&
           a->n_addrs == b->n_addrs && same_addr(&a->addrs[0], &b->addrs[0]) &&
           same_addr(&a->addrs[1], &b->addrs[1]) && a->no_v4 == b->no_v4 &&
           a->no_v6 == b->no_v6 && a->tls == b->tls &&
           a->insecure == b->insecure && a->port == b->port &&
           same_addr(&a->stun_test_ip, &b->stun_test_ip) &&
           a->stun_port == b->stun_port && a->stun_only == b->stun_only &&
           a->can_port80 == b->can_port80;
}

static bool same_nodes(const nm_region *a, const nm_region *b)
{
    size_t n, m;
    const rmr_nm_derp_node *x = nodes_of(a, &n), *y = nodes_of(b, &m);
    for (size_t i = 0; n == m && i < n; i++)
        if (!same_node(&x[i], &y[i]))
            return false;
    return n == m;
}

static bool same_regions(const rmr_nm *nm)
{
    if (nm->n_regions != nm->n_new_regions)
        return false;
    for (size_t i = 0; i < nm->n_regions; i++) {
        const nm_region *a = &nm->regions[i], *b = &nm->new_regions[i];
        if (a->id != b->id || a->no_measure_no_home != b->no_measure_no_home ||
            a->avoid != b->avoid || !same_place(a, b) ||
            !rmri_ctl_same(a->code, b->code) ||
            !rmri_ctl_same(a->name, b->name) || !same_nodes(a, b))
            return false;
    }
    return true;
}

static rmr_err regions_end(rmr_nm *nm)
{
    nm_region *r = NULL;
    size_t n = nm->n_new_regions;
    if (same_regions(nm)) {
        rmri_nm_derp_discard(nm);
        return RMR_OK;
    }
    if (n) { /* exactly as many as there are */
        r = rmr_alloc_zero(&nm->alloc, n * sizeof *r, _Alignof(nm_region));
        if (!r)
            return RMR_E_NOMEM;
        memcpy(r, nm->new_regions, n * sizeof *r);
    }
    free_regions(nm, nm->regions, nm->n_regions, nm->n_regions);
    nm->regions = r;
    nm->n_regions = n;
    nm->n_new_regions = 0; /* the nodes have moved */
    rmri_nm_derp_discard(nm);
    for (size_t i = 0; i < n; i++)
        rmri_ctl_vec_trim(&r[i].nodes, &nm->alloc);
    nm->changed |= RMR_NM_DERP_MAP;
    return RMR_OK;
}

/* ---- nodes ------------------------------------------------------------ */

static void node_begin(rmr_nm *nm)
{
    size_t n;
    nm_derp_draft *d = &nm->read->derp;
    (void)nodes_of(nm->region, &n);
    nm->derp_node = NULL;
    if (n >= NM_MAX_REGION_NODES) {
        rmri_nm_drop(nm);
        return;
    }
    memset(d, 0, sizeof *d);
    d->node.port = DERP_PORT;
    d->node.tls = true;
    d->node.stun_port = STUN_PORT;
    nm->derp_node = d;
}

static const char *append(char **at, const char *text)
{
    size_t n = strlen(text) + 1;
    char *to = *at;
    memcpy(to, text, n);
    *at += n;
    return to;
}

static rmr_err node_end(rmr_nm *nm)
{
    const nm_derp_draft *d = nm->derp_node;
    nm->derp_node = NULL;
    if (!d)
        return RMR_OK;
    if (d->host[0] == '\0' && d->node.n_addrs == 0) { /* nothing to dial */
        rmri_nm_drop(nm);
        return RMR_OK;
    }
    size_t size = text_size(d->name, d->host, d->cert);
    char *text = rmr_alloc_raw(&nm->alloc, size, 1);
    rmr_nm_derp_node *to =
        text ? rmri_ctl_vec_add(&nm->region->nodes, &nm->alloc, sizeof *to,
                                SIZE_MAX)
             : NULL;
    if (!to) {
        rmr_release(&nm->alloc, text, size);
        return RMR_E_NOMEM;
    }
    *to = d->node;
    to->name = append(&text, d->name);
    to->host = append(&text, d->host);
    to->cert_name = append(&text, d->cert);
    return RMR_OK;
}

void rmr_nm_derp_dial(const rmr_nm_derp_node *d, rmr_dial *out)
{
    memset(out, 0, sizeof *out);
    memcpy(out->host, d->host, strlen(d->host));
    memcpy(out->cert_name, d->cert_name, strlen(d->cert_name));
    out->port = d->port;
    out->tls = d->tls;
    out->insecure = d->insecure;
    out->no_v4 = d->no_v4;
    out->no_v6 = d->no_v6;
    for (size_t i = 0; i < d->n_addrs; i++)
        rmri_ctl_put_addr(&out->addrs[i], &d->addrs[i]);
    out->n_addrs = d->n_addrs;
    out->timeout = 10 * RMR_SEC;
}

/* "": resolve the name; an address of the family: that; any other text (the
 * word is "none"): not by that family. */
static void node_ip(rmr_nm *nm, rmr_nm_derp_node *d, uint8_t family,
                    rmr_bytes text)
{
    rmr_addr a;
    if (text.len == 0)
        return;
    if (rmr_addr_parse_ip(text, &a) || a.family != family) {
        if (!rmr_bytes_eq_str(text, "none"))
            rmri_nm_drop(nm);
        d->no_v4 = d->no_v4 || family == RMR_AF_INET;
        d->no_v6 = d->no_v6 || family == RMR_AF_INET6;
        return;
    }
    if (d->n_addrs > 1) { /* the same member once more */
        rmri_nm_drop(nm);
        return;
    }
    rmri_ctl_put_addr(&d->addrs[d->n_addrs++], &a);
}

static void node_port(rmr_nm *nm, rmr_nm_derp_node *d, uint32_t id,
                      rmr_json_kind kind, rmr_bytes text)
{
    int64_t v;
    if (rmr_json_int(kind, text, &v) || v > UINT16_MAX) {
        rmri_nm_drop(nm);
        return;
    }
    if (id == D_STUN_PORT)
        d->stun_port = v < 0 ? -1 : v == 0 ? STUN_PORT : (int32_t)v;
    else if (v > 0)
        d->port = (uint16_t)v;
}

static void node_test_ip(rmr_nm *nm, rmr_nm_derp_node *d, rmr_bytes text)
{
    rmr_addr a;
    if (text.len == 0)
        return;
    if (rmr_addr_parse_ip(text, &a))
        rmri_nm_drop(nm);
    else
        rmri_ctl_put_addr(&d->stun_test_ip, &a);
}

static void node_value(rmr_nm *nm, uint32_t id, rmr_json_kind kind,
                       rmr_bytes text)
{
    nm_derp_draft *draft = nm->derp_node;
    if (!draft)
        return;
    rmr_nm_derp_node *d = &draft->node;
    switch (id) {
    case D_NODE_NAME:
        rmri_nm_text(nm, draft->name, sizeof draft->name, text);
        break;
    case D_HOST:
        rmri_nm_text(nm, draft->host, sizeof draft->host, text);
        break;
    case D_CERT:
        rmri_nm_text(nm, draft->cert, sizeof draft->cert, text);
        break;
    case D_IPV4:
        node_ip(nm, d, RMR_AF_INET, text);
        break;
    case D_IPV6:
        node_ip(nm, d, RMR_AF_INET6, text);
        break;
    case D_STUN_PORT:
    case D_DERP_PORT:
        node_port(nm, d, id, kind, text);
        break;
    case D_STUN_ONLY:
        d->stun_only = kind == RMR_JSON_TRUE;
        break;
    case D_STUN_TEST_IP:
        node_test_ip(nm, d, text);
        break;
    case D_PORT80:
        d->can_port80 = kind == RMR_JSON_TRUE;
        break;
    default: /* D_INSECURE */
        d->insecure = kind == RMR_JSON_TRUE;
        break;
    }
}

/* ---- dispatch --------------------------------------------------------- */

rmr_err rmri_nm_derp_nest(rmr_nm *nm, uint32_t id, rmr_json_kind kind)
{
    bool object = kind == RMR_JSON_OBJECT;
    bool end = kind == RMR_JSON_OBJECT_END;
    if (id == D_SCORES)
        return rmri_nm_score_nest(nm, kind);
    if (id == D_REGIONS && object)
        rmri_nm_derp_discard(nm);
    else if (id == D_REGIONS && end)
        return regions_end(nm);
    else if (id == D_REGION && object && !nm->region)
        return region_begin(nm);
    else if (id == D_REGION && end && nm->region)
        region_end(nm);
    else if (id == D_NODES && object && nm->region)
        node_begin(nm);
    else if (id == D_NODES && end && nm->region)
        return node_end(nm);
    return RMR_OK;
}

static void region_degrees(rmr_nm *nm, double *at, rmr_json_kind kind,
                           rmr_bytes text)
{
    double v;
    if (rmr_json_double(kind, text, &v) || !(v >= -360 && v <= 360))
        rmri_nm_drop(nm);
    else
        *at = v;
}

static void region_value(rmr_nm *nm, uint32_t id, rmr_json_kind kind,
                         rmr_bytes text)
{
    nm_region *r = nm->region;
    int64_t v;
    if (!r)
        return;
    switch (id) {
    case D_REGION_ID:
        if (rmr_json_int(kind, text, &v) || v < 0 || v > UINT16_MAX)
            rmri_nm_drop(nm);
        else if (v)
            r->id = (uint16_t)v;
        break;
    case D_REGION_CODE:
        rmri_nm_text(nm, r->code, sizeof r->code, text);
        break;
    case D_REGION_NAME:
        rmri_nm_text(nm, r->name, sizeof r->name, text);
        break;
    case D_LATITUDE:
        region_degrees(nm, &r->latitude, kind, text);
        break;
    case D_LONGITUDE:
        region_degrees(nm, &r->longitude, kind, text);
        break;
    case D_AVOID:
        r->avoid = kind == RMR_JSON_TRUE;
        break;
    default: /* D_NO_MEASURE */
        r->no_measure_no_home = kind == RMR_JSON_TRUE;
        break;
    }
}

rmr_err rmri_nm_derp_value(rmr_nm *nm, uint32_t id, rmr_json_kind kind,
                           rmr_bytes text)
{
    if (id == D_REGION) {
        /* A key with null for a region says nothing. */
        if (kind == RMR_JSON_KEY &&
            rmr_parse_u64(text, UINT16_MAX, &nm->region_key))
            nm->region_key = 0;
        return RMR_OK;
    }
    if (id == D_SCORE)
        return rmri_nm_score_value(nm, kind, text);
    if (kind == RMR_JSON_NULL)
        return RMR_OK;
    if (id >= D_NODE_NAME && id <= D_PORT80)
        node_value(nm, id, kind, text);
    else
        region_value(nm, id, kind, text);
    return RMR_OK;
}
