/*
 * The table as one MapResponse, or what changed in it since a mark.  It is
 * written in small units, so that a call can stop at any of them: the position
 * is (section, index, step), and the steps of a node go through its lists
 * element by element.
 */
#include "nm_internal.h"

#include "nm_text.h"

#include <string.h>

/* No unit is longer: a user of all groups, each character escaped. */
#define UNIT_MAX 16384
#define SAVE_MIN 65536

enum section {
    S_BEGIN,
    S_SELF,
    S_SCORES,
    S_DERP,
    S_DNS,
    S_FILTERS,
    S_USERS,
    S_HEALTH,
    S_PEERS,   /* all, or in their place: */
    S_GONE,    /* those that went since the mark, and */
    S_CHANGED, /* those that came or changed */
    S_END,
    S_DONE
};

typedef struct place {
    uint32_t section, index, step;
} place;

static uint64_t pack_place(place p)
{
    return (uint64_t)p.section << 56 | (uint64_t)p.index << 28 | p.step;
}

static place unpack_place(uint64_t pos)
{
    place p = {(uint32_t)(pos >> 56), (uint32_t)(pos >> 28) & 0xfffffff,
               (uint32_t)pos & 0xfffffff};
    return p;
}

static void next_section(place *p)
{
    p->section++;
    p->index = p->step = 0;
}

static void next_index(place *p)
{
    p->index++;
    p->step = 0;
}

/* ---- pieces of JSON --------------------------------------------------- */

static void put_json_str(rmr_wr *w, const char *s)
{
    nm_put_string(w, s, strlen(s));
}

/* A member of text that is not in a node. */
static void put_kstr(rmr_wr *w, const char *key, const char *s)
{
    NM_PUT(w, ",\"");
    nm_put_mem(w, key, strlen(key));
    NM_PUT(w, "\":");
    put_json_str(w, s);
}

static void put_key(rmr_wr *w, const uint8_t k[RMR_KEY_LEN])
{
    char *at = nm_text_begin(w, 2 * RMR_KEY_LEN + 1);
    if (!at)
        return;
    (void)rmr_hex(at, k, RMR_KEY_LEN);
    w->len += 2 * (size_t)RMR_KEY_LEN;
    NM_PUT(w, "\"");
}

static void put_flag(rmr_wr *w, const char *key, bool on)
{
    if (!on)
        return;
    NM_PUT(w, ",\"");
    nm_put_mem(w, key, strlen(key));
    NM_PUT(w, "\":true");
}

static void put_double(rmr_wr *w, double v)
{
    rmr_jw j;
    size_t len = 0;
    rmr_jw_init(&j, rmr_buf_of(w->base + w->len, w->cap - w->len));
    rmr_jw_double(&j, v);
    if (rmr_jw_end(&j, &len))
        w->failed = true;
    else
        w->len += len;
}

/* With all nine digits, unlike rmr_time_text, which writes milliseconds. */
static void put_time(rmr_wr *w, uint64_t unix_ns)
{
    char *text = nm_text_begin(w, RMR_TIME_TEXT_MAX + 8);
    if (!text)
        return;
    (void)rmr_time_text(unix_ns, text);
    size_t n = strlen(text) - 4; /* "mmmZ" */
    uint32_t fraction = (uint32_t)(unix_ns % RMR_SEC);
    for (size_t i = 9; i-- > 0; fraction /= 10)
        text[n + i] = (char)('0' + fraction % 10);
    w->len += n + 9;
    NM_PUT(w, "Z\"");
}

/* ---- nodes ------------------------------------------------------------ */

static void put_services(rmr_wr *w, const rmr_nm_service *s, size_t n)
{
    static const char *const name[] = {
        "", "tcp", "udp", "peerapi4", "peerapi6", "peerapi-dns-proxy"};
    if (n == 0)
        return;
    NM_KEY(w, "Services");
    for (size_t i = 0; i < n; i++) {
        nm_put_mem(w, i ? "," : "[", 1);
        NM_PUT(w, "{\"Proto\":");
        put_json_str(w, name[s[i].proto]);
        NM_KEY(w, "Port");
        nm_put_dec(w, s[i].port);
        NM_PUT(w, "}");
    }
    NM_PUT(w, "]");
}

static void put_flags(rmr_wr *w, unsigned flags)
{
    if (flags & NM_F_EXPIRED)
        NM_PUT(w, ",\"Expired\":true");
    if (flags & NM_F_AUTHORIZED)
        NM_PUT(w, ",\"MachineAuthorized\":true");
    if (flags & NM_F_WIREGUARD_ONLY)
        NM_PUT(w, ",\"IsWireGuardOnly\":true");
    if (flags & NM_F_JAILED)
        NM_PUT(w, ",\"IsJailed\":true");
    if (flags & NM_F_UNSIGNED)
        NM_PUT(w, ",\"UnsignedPeerAPIOnly\":true");
}

static void put_times(rmr_wr *w, const nm_peer *p)
{
    if (p->key_expiry) {
        NM_PUT(w, ",\"KeyExpiry\":\"");
        put_time(w, p->key_expiry);
    }
    if (p->created) {
        NM_PUT(w, ",\"Created\":\"");
        put_time(w, p->created);
    }
    if (p->last_seen) {
        NM_PUT(w, ",\"LastSeen\":\"");
        put_time(w, p->last_seen);
    }
}

static void put_scalars(rmr_wr *w, const nm_peer *p, const nm_parts *k)
{
    NM_PUT(w, "{\"ID\":");
    nm_put_dec(w, p->id);
    NM_KEY(w, "User");
    if (p->user < 0)
        NM_PUT(w, "-");
    nm_put_dec(w, p->user < 0 ? 0 - (uint64_t)p->user : (uint64_t)p->user);
    NM_KEY(w, "StableID");
    nm_put_string(w, k->stable, p->stable_len);
    NM_KEY(w, "Name");
    nm_put_string(w, k->name, p->name_len);
    NM_PUT(w, ",\"Key\":\"nodekey:");
    put_key(w, p->key);
    NM_PUT(w, ",\"DiscoKey\":\"discokey:");
    put_key(w, p->disco);
    put_times(w, p);
    NM_KEY(w, "HomeDERP");
    nm_put_dec(w, p->home_derp);
    NM_KEY(w, "Cap");
    nm_put_dec(w, p->cap);
    if (p->online > 0)
        NM_PUT(w, ",\"Online\":true");
    else if (p->online == 0)
        NM_PUT(w, ",\"Online\":false");
    put_flags(w, p->flags);
    NM_PUT(w, ",\"Hostinfo\":{\"OS\":");
    nm_put_string(w, k->os, p->os_len);
    NM_KEY(w, "Hostname");
    nm_put_string(w, k->host, p->host_len);
    put_services(w, k->services, p->n_services);
    NM_PUT(w, "}");
}

enum { L_ADDRS, L_ALLOWED, L_PRIMARY, L_ENDPOINTS, L_TAGS, L_CAPS, LISTS };

static size_t list_len(const nm_peer *p, unsigned list)
{
    const size_t n[LISTS] = {p->n_addrs,     p->n_allowed, p->n_primary,
                             p->n_endpoints, p->n_tags,    p->n_caps};
    return n[list];
}

static void put_prefix(rmr_wr *w, const rmr_prefix *p)
{
    NM_PUT(w, "\"");
    char *at = nm_text_begin(w, RMR_PREFIX_TEXT_MAX);
    if (at)
        nm_text_end(w, rmr_prefix_text(p, at));
    NM_PUT(w, "\"");
}

static void put_endpoint(rmr_wr *w, const rmr_addr *a)
{
    NM_PUT(w, "\"");
    char *at = nm_text_begin(w, RMR_ADDR_TEXT_MAX);
    if (at)
        nm_text_end(w, rmr_addr_text(a, at));
    NM_PUT(w, "\"");
}

static void put_cap(const rmr_nm *nm, rmr_wr *w, const nm_parts *k, size_t i)
{
    const char *values = rmri_nm_string_at(k->values, i);
    put_json_str(w, rmri_nm_cap_name(nm, k->caps[i]));
    NM_PUT(w, ":");
    if (values[0])
        nm_put_mem(w, values, strlen(values));
    else
        NM_PUT(w, "[]");
}

static void put_item(const rmr_nm *nm, rmr_wr *w, const nm_parts *k,
                     unsigned list, size_t i)
{
    switch (list) {
    case L_ADDRS:
        put_prefix(w, &k->addrs[i]);
        break;
    case L_ALLOWED:
        put_prefix(w, &k->allowed[i]);
        break;
    case L_PRIMARY:
        put_prefix(w, &k->primary[i]);
        break;
    case L_ENDPOINTS:
        put_endpoint(w, &k->endpoints[i]);
        break;
    case L_TAGS:
        put_json_str(w, rmri_nm_string_at(k->tags, i));
        break;
    default:
        put_cap(nm, w, k, i);
        break;
    }
}

static bool has_room(const rmr_wr *w)
{
    return w->cap - w->len >= UNIT_MAX;
}

/* A list from its step `at` on: 0 opens it, then its items, n + 1 closes it.
 * \return the step that comes next; n + 2: it is whole. */
static size_t put_list(const rmr_nm *nm, rmr_wr *w, const nm_peer *p,
                       const nm_parts *k, unsigned list, size_t at)
{
    static const char *const open[LISTS] = {
        ",\"Addresses\":[", ",\"AllowedIPs\":[", ",\"PrimaryRoutes\":[",
        ",\"Endpoints\":[", ",\"Tags\":[",       ",\"CapMap\":{"};
    size_t n = list_len(p, list);
    for (; at < n + 2 && has_room(w); at++) {
        if (at == 0) {
            nm_put_mem(w, open[list], strlen(open[list]));
        } else if (at == n + 1) {
            nm_put_mem(w, list == L_CAPS ? "}" : "]", 1);
        } else {
            if (at > 1)
                NM_PUT(w, ",");
            put_item(nm, w, k, list, at - 1);
        }
    }
    return at;
}

/* Step 0: the scalars; then each list as an opening, its items, a closing.  As
 * many steps as there is room for.
 * \return false after the last step. */
static bool put_node(const rmr_nm *nm, rmr_wr *w, const nm_peer *p,
                     uint32_t *step)
{
    size_t first = 1; /* step of the list */
    nm_parts k;
    rmri_nm_parts(p, &k);
    if (*step == 0) {
        put_scalars(w, p, &k);
        *step = 1;
    }
    for (unsigned list = 0; list < LISTS; list++) {
        size_t n = list_len(p, list);
        if (n == 0 && (list != L_ALLOWED || !(p->flags & NM_F_OWN_ALLOWED)))
            continue;
        if (*step < first + n + 2) {
            size_t at = put_list(nm, w, p, &k, list, *step - first);
            *step = (uint32_t)(first + at);
            if (at < n + 2)
                return true;
        }
        first += n + 2;
    }
    if (!has_room(w))
        return true;
    NM_PUT(w, "}");
    return false;
}

/* ---- sections --------------------------------------------------------- */

static void unit_self(const rmr_nm *nm, rmr_wr *w, place *p)
{
    if (!nm->self) {
        next_section(p);
        return;
    }
    if (p->step == 0)
        NM_PUT(w, ",\"Node\":");
    if (!put_node(nm, w, nm->self, &p->step))
        next_section(p);
}

static void put_derp_node(rmr_wr *w, const rmr_nm_derp_node *d)
{
    char text[RMR_ADDR_TEXT_MAX];
    NM_PUT(w, "{\"Name\":");
    put_json_str(w, d->name);
    put_kstr(w, "HostName", d->host);
    put_kstr(w, "CertName", d->cert_name);
    for (size_t i = 0; i < d->n_addrs; i++) {
        bool v4 = d->addrs[i].family == RMR_AF_INET;
        put_kstr(w, v4 ? "IPv4" : "IPv6", rmr_addr_ip_text(&d->addrs[i], text));
    }
    if (d->no_v4)
        put_kstr(w, "IPv4", "none");
    if (d->no_v6)
        put_kstr(w, "IPv6", "none");
    NM_KEY(w, "STUNPort");
    if (d->stun_port < 0)
        NM_PUT(w, "-");
    nm_put_dec(w, d->stun_port < 0 ? 0 - (uint64_t)(int64_t)d->stun_port
                                   : (uint64_t)d->stun_port);
    NM_KEY(w, "DERPPort");
    nm_put_dec(w, d->port);
    put_flag(w, "STUNOnly", d->stun_only);
    put_flag(w, "CanPort80", d->can_port80);
    if (d->stun_test_ip.family != RMR_AF_NONE)
        put_kstr(w, "STUNTestIP", rmr_addr_ip_text(&d->stun_test_ip, text));
    put_flag(w, "InsecureForTests", d->insecure);
    NM_PUT(w, "}");
}

/* The map begins here where it has scores, else in unit_derp. */
static void unit_scores(const rmr_nm *nm, rmr_wr *w, place *p)
{
    const nm_score *s = (const nm_score *)(const void *)nm->scores.p;
    size_t n = nm->scores.len / sizeof *s;
    if (p->index == n) {
        rmr_wr_str(w, n ? "}}" : "");
        next_section(p);
        return;
    }
    s += p->index;
    rmr_wr_fmt(w, "%s\"%u\":",
               p->index ? ","
                        : ",\"DERPMap\":{\"HomeParams\":{\"RegionScore\":{",
               s->region);
    put_double(w, s->factor);
    next_index(p);
}

/* Step 0: the region's head; then a node a step. */
static void unit_derp(const rmr_nm *nm, rmr_wr *w, place *p)
{
    bool begun = nm->scores.len > 0;
    if (nm->n_regions == 0 || p->index == nm->n_regions) {
        rmr_wr_str(w, nm->n_regions ? "}}" : begun ? "}" : "");
        next_section(p);
        return;
    }
    const nm_region *r = &nm->regions[p->index];
    const rmr_nm_derp_node *d =
        (const rmr_nm_derp_node *)(const void *)r->nodes.p;
    size_t n = r->nodes.len / sizeof *d;
    if (p->step == 0) {
        rmr_wr_str(w, p->index ? ","
                      : begun  ? ",\"Regions\":{"
                               : ",\"DERPMap\":{\"Regions\":{");
        NM_PUT(w, "\"");
        nm_put_dec(w, r->id);
        NM_PUT(w, "\":{\"RegionID\":");
        nm_put_dec(w, r->id);
        put_kstr(w, "RegionCode", r->code);
        put_kstr(w, "RegionName", r->name);
        if (r->latitude != 0 || r->longitude != 0) {
            NM_KEY(w, "Latitude");
            put_double(w, r->latitude);
            NM_KEY(w, "Longitude");
            put_double(w, r->longitude);
        }
        put_flag(w, "Avoid", r->avoid);
        put_flag(w, "NoMeasureNoHome", r->no_measure_no_home);
        NM_PUT(w, ",\"Nodes\":[");
        p->step++;
    } else if (p->step <= n) {
        rmr_wr_str(w, p->step > 1 ? "," : "");
        put_derp_node(w, &d[p->step - 1]);
        p->step++;
    } else {
        NM_PUT(w, "]}");
        next_index(p);
    }
}

static void put_resolver(rmr_wr *w, const rmr_nm_resolver *r)
{
    char text[RMR_ADDR_TEXT_MAX];
    NM_PUT(w, "{\"Addr\":");
    put_json_str(w, r->text);
    put_flag(w, "UseWithExitNode", r->with_exit_node);
    for (size_t i = 0; i < r->n_bootstrap; i++)
        rmr_wr_fmt(w, "%s\"%s\"", i ? "," : ",\"BootstrapResolution\":[",
                   rmr_addr_ip_text(&r->bootstrap[i], text));
    rmr_wr_str(w, r->n_bootstrap ? "]}" : "}");
}

static void put_record(rmr_wr *w, const rmr_nm_dns_record *r)
{
    char text[RMR_ADDR_TEXT_MAX];
    NM_PUT(w, "{\"Name\":");
    put_json_str(w, r->name);
    put_kstr(w, "Value", rmr_addr_ip_text(&r->addr, text));
    NM_PUT(w, "}");
}

/* The lists of DNSConfig; a route is a list of its own, behind the others. */
enum {
    D_DOMAINS,
    D_CERTS,
    D_FILTERED,
    D_RECORDS,
    D_GLOBAL,
    D_FALLBACK,
    D_LISTS
};

typedef struct dns_list {
    const char *const *names;
    const rmr_nm_dns_record *records;
    const rmr_nm_resolver *resolvers;
    size_t n;
} dns_list;

static dns_list dns_list_at(const rmr_nm_dns_config *c, size_t list)
{
    const dns_list all[D_LISTS] = {
        {c->domains, NULL, NULL, c->n_domains},
        {c->cert_domains, NULL, NULL, c->n_cert_domains},
        {c->exit_filtered, NULL, NULL, c->n_exit_filtered},
        {NULL, c->records, NULL, c->n_records},
        {NULL, NULL, c->resolvers, c->n_resolvers},
        {NULL, NULL, c->fallback, c->n_fallback}};
    if (list < D_LISTS)
        return all[list];
    const rmr_nm_dns_route *r = &c->routes[list - D_LISTS];
    dns_list of_route = {NULL, NULL, r->resolvers, r->n_resolvers};
    return of_route;
}

static void open_dns_list(const rmr_nm_dns_config *c, rmr_wr *w, size_t list)
{
    static const char *const open[D_LISTS] = {",\"Domains\":[",
                                              ",\"CertDomains\":[",
                                              ",\"ExitNodeFilteredSet\":[",
                                              ",\"ExtraRecords\":[",
                                              ",\"Resolvers\":[",
                                              ",\"FallbackResolvers\":["};
    if (list < D_LISTS) {
        rmr_wr_str(w, open[list]);
        return;
    }
    rmr_wr_str(w, list == D_LISTS ? ",\"Routes\":{" : ",");
    put_json_str(w, c->routes[list - D_LISTS].suffix);
    NM_PUT(w, ":[");
}

/* Index 0: the head; then a list each, element by element: the step is 0 where
 * it opens. */
static void unit_dns(const rmr_nm *nm, rmr_wr *w, place *p)
{
    const rmr_nm_dns_config *c = rmr_nm_dns(nm);
    size_t list = p->index - (size_t)1;
    if (p->index == 0) {
        if (nm->domain)
            put_kstr(w, "Domain", nm->domain);
        rmr_wr_fmt(w, ",\"DNSConfig\":{\"Proxied\":%s",
                   c->proxied ? "true" : "false");
        next_index(p);
        return;
    }
    if (list == D_LISTS + c->n_routes) {
        rmr_wr_str(w, c->n_routes ? "}}" : "}");
        next_section(p);
        return;
    }
    dns_list l = dns_list_at(c, list);
    if (p->step == 0) {
        open_dns_list(c, w, list);
    } else if (p->step <= l.n) {
        size_t i = p->step - (size_t)1;
        rmr_wr_str(w, i ? "," : "");
        if (l.names)
            put_json_str(w, l.names[i]);
        else if (l.records)
            put_record(w, &l.records[i]);
        else
            put_resolver(w, &l.resolvers[i]);
    } else {
        NM_PUT(w, "]");
        next_index(p);
        return;
    }
    p->step++;
}

/* The prefix that a range is; -1: none.  Behind the bytes that both ends share
 * the first has zeros and the last has ones. */
static int range_bits(const rmr_ip_range *r)
{
    size_t n = r->family == RMR_AF_INET ? 4 : 16, i = 0;
    while (i < n && r->first[i] == r->last[i])
        i++;
    int bits = (int)i * 8;
    if (i == n)
        return bits;
    unsigned differ = r->first[i] ^ r->last[i];
    if ((differ & (differ + 1)) || (r->first[i] & differ))
        return -1;
    for (size_t k = i + 1; k < n; k++) {
        if (r->first[k] != 0 || r->last[k] != 0xff)
            return -1;
    }
    for (unsigned shared = ~differ & 0xff; shared & 0x80; shared <<= 1)
        bits++;
    return bits;
}

static void put_range(rmr_wr *w, const rmr_ip_range *r)
{
    rmr_addr a;
    int bits = range_bits(r);
    memset(&a, 0, sizeof a);
    a.family = r->family;
    memcpy(a.ip, r->first, sizeof a.ip);
    NM_PUT(w, "\"");
    nm_put_ip(w, &a);
    if (bits < 0) {
        memcpy(a.ip, r->last, sizeof a.ip);
        NM_PUT(w, "-");
        nm_put_ip(w, &a);
    } else if (bits < (r->family == RMR_AF_INET ? 32 : 128)) {
        NM_PUT(w, "/");
        nm_put_dec(w, (unsigned)bits);
    }
    NM_PUT(w, "\"");
}

static bool is_opening(uint8_t op)
{
    return op == OP_RULE || op == OP_PROTOS || op == OP_DSTS ||
           op == OP_GRANTS || op == OP_GRANT || op == OP_GRANT_CAPS;
}

/* What stands in front of an operation decides about a comma. */
enum { BEFORE_NONE, BEFORE_OPENING, BEFORE_ITEM };

static void put_op(const rmr_nm *nm, rmr_wr *w, const nm_op *o, uint8_t prev)
{
    bool item = o->op == OP_GRANT || (!is_opening(o->op) && o->op != OP_END &&
                                      o->op != OP_GRANT_END);
    if ((item && prev == BEFORE_ITEM) || (o->op == OP_RULE && prev))
        NM_PUT(w, ",");
    switch (o->op) {
    case OP_RULE:
        NM_PUT(w, "{\"SrcIPs\":[");
        break;
    case OP_PROTOS:
        NM_PUT(w, "],\"IPProto\":[");
        break;
    case OP_DSTS:
        NM_PUT(w, "],\"DstPorts\":[");
        break;
    case OP_END:
        NM_PUT(w, "]}");
        break;
    case OP_REJECT:
        NM_PUT(w, "{\"SrcBits\":[1]}");
        break;
    case OP_GRANTS:
        NM_PUT(w, "],\"CapGrant\":[");
        break;
    case OP_GRANT:
        NM_PUT(w, "{\"Dsts\":[");
        break;
    case OP_GRANT_CAPS:
        NM_PUT(w, "],\"CapMap\":{");
        break;
    case OP_GRANT_CAP:
        put_json_str(w, rmri_nm_cap_name(nm, o->cap));
        NM_PUT(w, ":");
        if (o->text.len)
            rmr_wr_bytes(w, o->text.ptr, o->text.len);
        else
            NM_PUT(w, "[]");
        break;
    case OP_GRANT_END:
        NM_PUT(w, "}}");
        break;
    case OP_SRC4:
    case OP_SRC6:
        put_range(w, &o->range);
        break;
    case OP_SRC_ANY:
        NM_PUT(w, "\"*\"");
        break;
    case OP_SRC_CAP: {
        /* "cap:" belongs into the quotes. */
        const char *name = rmri_nm_cap_name(nm, o->cap);
        char text[NM_TEXT_MAX + 4] = "cap:";
        size_t n = strlen(name);
        memcpy(text + 4, name, n);
        nm_put_string(w, text, 4 + n);
        break;
    }
    case OP_PROTO:
        nm_put_dec(w, o->proto);
        break;
    case OP_PROTO_NONE:
        NM_PUT(w, "256"); /* any number that is none */
        break;
    default: /* destinations */
        NM_PUT(w, "{\"IP\":");
        if (o->op == OP_DST_ANY)
            NM_PUT(w, "\"*\"");
        else
            put_range(w, &o->range);
        NM_PUT(w, ",\"Ports\":{\"First\":");
        nm_put_dec(w, o->first);
        NM_KEY(w, "Last");
        nm_put_dec(w, o->last);
        NM_PUT(w, "}}");
        break;
    }
}

/* A list is two indexes: its rules, and its rules of grants.  The step is
 * (offset of the op << 2 | what stands before it) + 1. */
static void unit_filters(const rmr_nm *nm, rmr_wr *w, place *p, bool since)
{
    const nm_rules *s = (const nm_rules *)(const void *)nm->filters.p;
    size_t n = nm->filters.len / sizeof *s;
    bool grants = p->index & 1;
    if (p->index / 2 == n) {
        rmr_wr_str(w, n ? "}" : since ? ",\"PacketFilters\":{\"*\":null}" : "");
        next_section(p);
        return;
    }
    s += p->index / 2;
    if (p->step == 0 && !grants) {
        rmr_wr_str(w, p->index ? ","
                      : since  ? ",\"PacketFilters\":{\"*\":null,"
                               : ",\"PacketFilters\":{");
        put_json_str(w, s->name);
        NM_PUT(w, ":[");
        p->step = 1;
        return;
    }
    if (p->step == 0)
        p->step = 1 + (s->ops.len ? BEFORE_ITEM : BEFORE_NONE);
    size_t at = (p->step - 1) >> 2;
    uint8_t prev = (uint8_t)((p->step - 1) & 3);
    nm_op o;
    if (!rmri_nm_op_next(grants ? &s->grants : &s->ops, &at, &o)) {
        rmr_wr_str(w, grants ? "]" : "");
        next_index(p);
        return;
    }
    put_op(nm, w, &o, prev);
    p->step = 1 + (uint32_t)(at << 2 |
                             (is_opening(o.op) ? BEFORE_OPENING : BEFORE_ITEM));
}

static void unit_users(const rmr_nm *nm, rmr_wr *w, place *p)
{
    if (p->index == nm->n_users) {
        rmr_wr_str(w, nm->n_users ? "]" : "");
        next_section(p);
        return;
    }
    const nm_user *u = nm->users[p->index];
    rmr_wr_str(w, p->index ? "," : ",\"UserProfiles\":[");
    NM_PUT(w, "{\"ID\":");
    if (u->id < 0)
        NM_PUT(w, "-");
    nm_put_dec(w, u->id < 0 ? 0 - (uint64_t)u->id : (uint64_t)u->id);
    rmr_nm_user v;
    rmri_nm_user_view(u, &v);
    put_kstr(w, "LoginName", v.login);
    put_kstr(w, "DisplayName", v.display);
    if (v.picture[0])
        put_kstr(w, "ProfilePicURL", v.picture);
    rmr_wr_str(w, v.n_groups ? ",\"Groups\":[" : "");
    for (size_t i = 0; i < v.n_groups; i++) {
        rmr_wr_str(w, i ? "," : "");
        put_json_str(w, rmr_nm_group_at(&v, i));
    }
    rmr_wr_str(w, v.n_groups ? "]}" : "}");
    next_index(p);
}

static void put_message(rmr_wr *w, const nm_message *m)
{
    static const char *const severity[] = {"low", "medium", "high"};
    put_json_str(w, m->id);
    rmr_wr_fmt(w, ":{\"Severity\":\"%s\"", severity[m->severity]);
    put_kstr(w, "Title", m->title);
    put_kstr(w, "Text", m->body);
    put_flag(w, "ImpactsConnectivity", m->impacts);
    if (m->url[0] || m->label[0]) {
        NM_PUT(w, ",\"PrimaryAction\":{\"URL\":");
        put_json_str(w, m->url);
        put_kstr(w, "Label", m->label);
        NM_PUT(w, "}");
    }
    NM_PUT(w, "}");
}

/* Step 0: the legacy list; step 1: the messages. */
static void unit_health(const rmr_nm *nm, rmr_wr *w, place *p)
{
    static const char *const open[2] = {",\"Health\":[",
                                        ",\"DisplayMessages\":{\"*\":null"};
    if (p->index == 0)
        rmr_wr_str(w, open[p->step]);
    if (p->index < nm->n_health) {
        const nm_message *m = &nm->health[p->index];
        bool first = true;
        for (size_t i = 0; i < p->index; i++)
            first = first && nm->health[i].id[0];
        if (p->step == 0 && !m->id[0]) {
            rmr_wr_str(w, first ? "" : ",");
            put_json_str(w, m->text);
        } else if (p->step == 1 && m->id[0]) {
            NM_PUT(w, ",");
            put_message(w, m);
        }
        p->index++;
        return;
    }
    rmr_wr_str(w, p->step ? "}" : "]");
    if (p->step)
        next_section(p);
    else
        p->step = 1, p->index = 0;
}

static void unit_peers(const rmr_nm *nm, rmr_wr *w, place *p)
{
    if (p->index == nm->n_peers) {
        rmr_wr_str(w, nm->n_peers ? "]" : "");
        next_section(p);
        return;
    }
    if (p->step == 0)
        rmr_wr_str(w, p->index ? "," : ",\"Peers\":[");
    if (!put_node(nm, w, nm->peers[p->index], &p->step))
        next_index(p);
}

static void unit_gone(const rmr_nm *nm, rmr_wr *w, place *p)
{
    const uint64_t *ids = (const uint64_t *)(const void *)nm->gone.p;
    if (p->index == nm->gone.len / sizeof *ids) {
        rmr_wr_str(w, p->index ? "]" : "");
        next_section(p);
        return;
    }
    rmr_wr_str(w, p->index ? "," : ",\"PeersRemoved\":[");
    nm_put_dec(w, ids[p->index]);
    next_index(p);
}

/* A comma stands behind each, and null behind the last one's. */
static void unit_changed(const rmr_nm *nm, rmr_wr *w, place *p)
{
    if (p->index == 0 && p->step == 0)
        NM_PUT(w, ",\"PeersChanged\":[");
    while (p->index < nm->n_peers && !nm->peers[p->index]->unsaved)
        next_index(p);
    if (p->index == nm->n_peers) {
        NM_PUT(w, "null]");
        next_section(p);
    } else if (!put_node(nm, w, nm->peers[p->index], &p->step)) {
        NM_PUT(w, ",");
        next_index(p);
    }
}

static bool is_in(uint32_t section, bool since)
{
    switch (section) {
    case S_SCORES:
    case S_DERP:
    case S_DNS:
    case S_PEERS:
        return !since;
    case S_GONE:
    case S_CHANGED:
        return since;
    default:
        return true;
    }
}

static void unit(const rmr_nm *nm, rmr_wr *w, place *p, bool since)
{
    if (!is_in(p->section, since)) {
        next_section(p);
        return;
    }
    switch (p->section) {
    case S_BEGIN:
        NM_PUT(w, "{\"KeepAlive\":false");
        next_section(p);
        break;
    case S_SELF:
        unit_self(nm, w, p);
        break;
    case S_DERP:
        unit_derp(nm, w, p);
        break;
    case S_SCORES:
        unit_scores(nm, w, p);
        break;
    case S_DNS:
        unit_dns(nm, w, p);
        break;
    case S_FILTERS:
        unit_filters(nm, w, p, since);
        break;
    case S_USERS:
        unit_users(nm, w, p);
        break;
    case S_HEALTH:
        unit_health(nm, w, p);
        break;
    case S_PEERS:
        unit_peers(nm, w, p);
        break;
    case S_GONE:
        unit_gone(nm, w, p);
        break;
    case S_CHANGED:
        unit_changed(nm, w, p);
        break;
    default:
        NM_PUT(w, "}");
        next_section(p);
        break;
    }
}

static rmr_err save(const rmr_nm *nm, uint64_t *pos, rmr_buf dst, size_t *len,
                    bool since)
{
    place p = unpack_place(*pos);
    *len = 0;
    if (dst.len < SAVE_MIN)
        return RMR_E_BUFSIZE;
    if (p.section > S_DONE)
        return RMR_E_INVAL;
    rmr_wr w = rmr_wr_of(dst);
    while (p.section < S_DONE && has_room(&w))
        unit(nm, &w, &p, since);
    if (w.failed)
        return RMR_E_INTERNAL;
    *len = w.len;
    *pos = pack_place(p);
    return RMR_OK;
}

rmr_err rmr_nm_save(const rmr_nm *nm, uint64_t *pos, rmr_buf dst, size_t *len)
{
    return save(nm, pos, dst, len, false);
}

/* ---- what changed since ------------------------------------------------ */

void rmr_nm_mark(rmr_nm *nm)
{
    for (size_t i = 0; i < nm->n_peers; i++)
        nm->peers[i]->unsaved = 0;
    rmri_ctl_vec_free(&nm->gone, &nm->alloc);
    nm->marked = true;
    nm->unsaved_unknown = false;
    nm->n_unsaved = 0;
    nm->unsaved = nm->changed = 0;
}

size_t rmr_nm_unsaved(const rmr_nm *nm)
{
    const uint32_t whole = RMR_NM_DERP_MAP | RMR_NM_DNS;
    if (!nm->marked || nm->unsaved_unknown ||
        (nm->unsaved | nm->changed) & whole)
        return SIZE_MAX;
    return nm->n_unsaved;
}

rmr_err rmr_nm_save_since(const rmr_nm *nm, uint64_t *pos, rmr_buf dst,
                          size_t *len)
{
    if (rmr_nm_unsaved(nm) == SIZE_MAX) {
        *len = 0;
        return RMR_E_STATE;
    }
    return save(nm, pos, dst, len, true);
}
