/* DERP maps out of YAML (which JSON is a kind of), region by region: each
 * becomes its JSON where it is read, so that its faults are told with their
 * lines, and nothing of the file is needed later. */
#include "coord_derpmap.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <remora/json.h>
#include <remora/text.h>
#include <yaml.h>

#include "files.h"

#define FILE_MAX ((size_t)1024 * 1024)
#define REGION_MAX ((size_t)64 * 1024) /* as JSON */
#define REGIONS_MAX 1024
#define NODES_MAX 64 /* of a region */
#define ID_MAX 65535

typedef struct region {
    uint64_t id;
    char *json;
    size_t file; /* where it was said */
} region;

typedef struct maker {
    char *error;
    size_t cap;
    const char *file;
    size_t n_file;
    yaml_document_t doc;
    region *at;
    size_t n;
    char *scores; /* HomeParams.RegionScore, or NULL */
    uint8_t *room;
    rmr_jw w;
} maker;

/* ---- faults -------------------------------------------------------------- */

static bool wrong(maker *m, size_t line, const char *fmt, ...) RMR_PRINTF(3, 4);

static bool wrong(maker *m, size_t line, const char *fmt, ...)
{
    char why[256];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    (void)snprintf(m->error, m->cap, "%s, line %zu: %s", m->file, line + 1,
                   why);
    return false;
}

static bool no_memory(maker *m)
{
    (void)snprintf(m->error, m->cap, "out of memory");
    return false;
}

/* ---- YAML's nodes -------------------------------------------------------- */

static size_t line_of(const yaml_node_t *n)
{
    return n->start_mark.line;
}

static rmr_bytes text_of(const yaml_node_t *n)
{
    return n->type == YAML_SCALAR_NODE
               ? rmr_bytes_of(n->data.scalar.value, n->data.scalar.length)
               : rmr_bytes_of("", 0);
}

/* Nothing, as Go's reader takes it. */
static bool is_null(const yaml_node_t *n)
{
    rmr_bytes t = text_of(n);
    return n->type == YAML_SCALAR_NODE &&
           n->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (t.len == 0 || rmr_bytes_eq_str(t, "~") ||
            rmr_bytes_eq_str(t, "null"));
}

static yaml_node_t *at(maker *m, int index)
{
    return yaml_document_get_node(&m->doc, index);
}

/* ---- fields -------------------------------------------------------------- */

typedef enum kind {
    TEXT,
    PORT, /* 0 to 65535 */
    STUN, /* ... or -1 */
    NUMBER,
    REAL,
    FLAG,
    IP4, /* an address, or "none" */
    IP6,
    IP,
    CERT,
    LATER, /* written by whoever reads the whole */
    NOTHING
} kind;

typedef struct field {
    const char *name; /* in JSON; YAML has it in small letters */
    kind kind;
} field;

static const field region_fields[] = {
    {"RegionID", LATER}, {"RegionCode", TEXT},      {"RegionName", TEXT},
    {"Avoid", FLAG},     {"NoMeasureNoHome", FLAG}, {"Latitude", REAL},
    {"Longitude", REAL}, {"Nodes", LATER},          {NULL, NOTHING}};

static const field node_fields[] = {
    {"Name", TEXT},     {"RegionID", LATER},
    {"HostName", TEXT}, {"CertName", CERT},
    {"IPv4", IP4},      {"IPv6", IP6},
    {"STUNPort", STUN}, {"STUNOnly", FLAG},
    {"DERPPort", PORT}, {"InsecureForTests", FLAG},
    {"STUNTestIP", IP}, {"CanPort80", FLAG},
    {NULL, NOTHING}};

static const field map_fields[] = {{"Regions", LATER},
                                   {"HomeParams", LATER},
                                   {"omitDefaultRegions", NOTHING},
                                   {NULL, NOTHING}};

static const field home_fields[] = {{"RegionScore", LATER}, {NULL, NOTHING}};

static bool bad(maker *m, const yaml_node_t *v, const field *f,
                const char *want)
{
    rmr_bytes t = text_of(v);
    return wrong(m, line_of(v), "'%s' is %s, not '%.*s'", f->name, want,
                 (int)(t.len < 80 ? t.len : 80), (const char *)t.ptr);
}

static bool put_text(maker *m, const yaml_node_t *v, const field *f)
{
    rmr_bytes t = text_of(v);
    if (v->type != YAML_SCALAR_NODE || memchr(t.ptr, 0, t.len) != NULL) {
        return bad(m, v, f, "a text");
    }
    rmr_jw_key(&m->w, f->name);
    rmr_jw_bytes(&m->w, t);
    return true;
}

static bool put_number(maker *m, const yaml_node_t *v, const field *f,
                       uint64_t max, const char *want)
{
    uint64_t n;
    bool is_minus = f->kind == STUN && rmr_bytes_eq_str(text_of(v), "-1");
    if (!is_minus && rmr_parse_u64(text_of(v), max, &n) != RMR_OK) {
        return bad(m, v, f, want);
    }
    rmr_jw_kint(&m->w, f->name, is_minus ? -1 : (int64_t)n);
    return true;
}

static bool read_real(const yaml_node_t *v, double *out)
{
    char text[64], *end;
    rmr_bytes t = text_of(v);
    if (t.len == 0 || t.len >= sizeof text) {
        return false;
    }
    memcpy(text, t.ptr, t.len);
    text[t.len] = '\0';
    *out = strtod(text, &end);
    return *end == '\0' && isfinite(*out);
}

static bool put_real(maker *m, const yaml_node_t *v, const field *f)
{
    double d;
    if (!read_real(v, &d)) {
        return bad(m, v, f, "a number");
    }
    rmr_jw_key(&m->w, f->name);
    rmr_jw_double(&m->w, d);
    return true;
}

static bool put_flag(maker *m, const yaml_node_t *v, const field *f)
{
    bool on = rmr_bytes_eq_str(text_of(v), "true");
    if (!on && !rmr_bytes_eq_str(text_of(v), "false")) {
        return bad(m, v, f, "true or false");
    }
    rmr_jw_kbool(&m->w, f->name, on);
    return true;
}

static bool put_ip(maker *m, const yaml_node_t *v, const field *f)
{
    rmr_bytes t = text_of(v);
    rmr_addr a;
    bool off = t.len == 0 || (f->kind != IP && rmr_bytes_eq_str(t, "none"));
    if (!off && (rmr_addr_parse_ip(t, &a) != RMR_OK ||
                 (f->kind == IP4 && a.family != RMR_AF_INET) ||
                 (f->kind == IP6 && a.family != RMR_AF_INET6))) {
        return bad(m, v, f,
                   f->kind == IP    ? "an address"
                   : f->kind == IP4 ? "an IPv4 address, or \"none\""
                                    : "an IPv6 address, or \"none\"");
    }
    return put_text(m, v, f);
}

/* Clients compare a pin as text, in small letters. */
static bool put_cert(maker *m, const yaml_node_t *v, const field *f)
{
    static const char front[] = "sha256-raw:";
    rmr_bytes t = text_of(v);
    size_t n = sizeof front - 1;
    if (t.len >= n && memcmp(t.ptr, front, n) == 0) {
        bool good = t.len == n + 64;
        for (size_t i = n; good && i < t.len; i++) {
            good = (t.ptr[i] >= '0' && t.ptr[i] <= '9') ||
                   (t.ptr[i] >= 'a' && t.ptr[i] <= 'f');
        }
        if (!good) {
            return bad(m, v, f, "sha256-raw: and 64 small hex digits");
        }
    }
    return put_text(m, v, f);
}

static bool put_field(maker *m, const field *f, const yaml_node_t *v)
{
    switch (f->kind) {
    case TEXT:
        return put_text(m, v, f);
    case PORT:
        return put_number(m, v, f, 65535, "a port, 0 to 65535");
    case STUN:
        return put_number(m, v, f, 65535, "a port, 0 to 65535, or -1");
    case NUMBER:
        return put_number(m, v, f, ID_MAX, "a number");
    case REAL:
        return put_real(m, v, f);
    case FLAG:
        return put_flag(m, v, f);
    case IP4:
    case IP6:
    case IP:
        return put_ip(m, v, f);
    case CERT:
        return put_cert(m, v, f);
    case LATER:
    case NOTHING:
        break;
    }
    return true;
}

/* ---- mappings ------------------------------------------------------------ */

#define FIELDS_MAX 16

/* The values of a mapping by their fields' places; writes those that are not
 * for LATER.  What is not there, or null, is NULL. */
static bool fields(maker *m, const yaml_node_t *map, const char *what,
                   const field *f, yaml_node_t *v[FIELDS_MAX])
{
    memset(v, 0, FIELDS_MAX * sizeof *v);
    if (map->type != YAML_MAPPING_NODE) {
        return wrong(m, line_of(map), "%s is a mapping of fields", what);
    }
    const yaml_node_pair_t *p = map->data.mapping.pairs.start;
    uint32_t seen = 0;
    for (; p < map->data.mapping.pairs.top; p++) {
        const yaml_node_t *key = at(m, p->key);
        rmr_bytes name = text_of(key);
        size_t i = 0;
        while (f[i].name != NULL &&
               !rmr_bytes_eq_nocase(name, rmr_bytes_str(f[i].name))) {
            i++;
        }
        if (f[i].name == NULL) {
            return wrong(m, line_of(key), "%s has no field '%.*s'", what,
                         (int)(name.len < 80 ? name.len : 80),
                         (const char *)name.ptr);
        }
        if ((seen >> i & 1U) != 0) {
            return wrong(m, line_of(key), "'%s' is said twice", f[i].name);
        }
        seen |= 1U << i;
        v[i] = at(m, p->value);
        if (is_null(v[i])) {
            v[i] = NULL;
        } else if (!put_field(m, &f[i], v[i])) {
            return false;
        }
    }
    return true;
}

static bool same_id(maker *m, const yaml_node_t *v, uint64_t id)
{
    uint64_t said = id;
    if (v != NULL && (rmr_parse_u64(text_of(v), ID_MAX, &said) != RMR_OK ||
                      (said != 0 && said != id))) {
        return wrong(m, line_of(v), "RegionID is that of its region, %llu",
                     (unsigned long long)id);
    }
    rmr_jw_ku64(&m->w, "RegionID", id);
    return true;
}

static bool put_node(maker *m, const yaml_node_t *n, uint64_t id)
{
    enum { NAME = 0, REGION_ID = 1, HOST = 2 };
    yaml_node_t *v[FIELDS_MAX];
    rmr_jw_object(&m->w);
    if (!fields(m, n, "a node", node_fields, v) ||
        !same_id(m, v[REGION_ID], id)) {
        return false;
    }
    rmr_jw_object_end(&m->w);
    if (v[NAME] == NULL || text_of(v[NAME]).len == 0) {
        return wrong(m, line_of(n), "a node needs a 'name', such as %llua",
                     (unsigned long long)id);
    }
    if (v[HOST] == NULL || text_of(v[HOST]).len == 0) {
        return wrong(m, line_of(n), "a node needs a 'hostname'");
    }
    return true;
}

static bool put_nodes(maker *m, const yaml_node_t *list, uint64_t id)
{
    rmr_jw_key(&m->w, "Nodes");
    rmr_jw_array(&m->w);
    if (list != NULL && list->type != YAML_SEQUENCE_NODE) {
        return wrong(m, line_of(list), "'nodes' is a list");
    }
    if (list != NULL) {
        const yaml_node_item_t *i = list->data.sequence.items.start;
        if (list->data.sequence.items.top - i > NODES_MAX) {
            return wrong(m, line_of(list), "a region has at most %d nodes",
                         NODES_MAX);
        }
        for (; i < list->data.sequence.items.top; i++) {
            if (!put_node(m, at(m, *i), id)) {
                return false;
            }
        }
    }
    rmr_jw_array_end(&m->w);
    return true;
}

/* ---- regions ------------------------------------------------------------- */

/* What was written to m->w, as a text of its own. */
static char *written(maker *m)
{
    size_t len = 0;
    if (rmr_jw_end(&m->w, &len) != RMR_OK) {
        (void)snprintf(m->error, m->cap,
                       "%s: a region is longer than %zu bytes of JSON, or a "
                       "text in it is no UTF-8",
                       m->file, REGION_MAX);
        return NULL;
    }
    char *copy = malloc(len + 1);
    if (copy == NULL) {
        (void)no_memory(m);
        return NULL;
    }
    memcpy(copy, m->room, len);
    copy[len] = '\0';
    return copy;
}

static region *find(maker *m, uint64_t id)
{
    for (size_t i = 0; i < m->n; i++) {
        if (m->at[i].id == id) {
            return &m->at[i];
        }
    }
    return NULL;
}

/* Takes json over. */
static bool keep_region(maker *m, uint64_t id, char *json)
{
    region *r = find(m, id);
    if (json == NULL) {
        return false;
    }
    if (r == NULL && m->n == REGIONS_MAX) {
        free(json);
        (void)snprintf(m->error, m->cap, "a DERP map has at most %d regions",
                       REGIONS_MAX);
        return false;
    }
    if (r == NULL) {
        r = &m->at[m->n++];
    }
    free(r->json);
    r->id = id;
    r->json = json;
    r->file = m->n_file;
    return true;
}

static bool put_region(maker *m, const yaml_node_t *key, const yaml_node_t *n)
{
    enum { REGION_ID = 0, NODES = 7 };
    yaml_node_t *v[FIELDS_MAX];
    uint64_t id;
    if (rmr_parse_u64(text_of(key), ID_MAX, &id) != RMR_OK || id == 0) {
        return wrong(m, line_of(key), "a region's key is its number, 1 to %d",
                     ID_MAX);
    }
    const region *had = find(m, id);
    if (had != NULL && had->file == m->n_file) {
        return wrong(m, line_of(key), "region %llu is said twice",
                     (unsigned long long)id);
    }
    if (is_null(n)) {
        return true; /* it does not take an earlier one away, as Headscale's */
    }
    rmr_jw_init(&m->w, rmr_buf_of(m->room, REGION_MAX));
    rmr_jw_object(&m->w);
    if (!fields(m, n, "a region", region_fields, v) ||
        !same_id(m, v[REGION_ID], id) || !put_nodes(m, v[NODES], id)) {
        return false;
    }
    rmr_jw_object_end(&m->w);
    return keep_region(m, id, written(m));
}

static bool put_regions(maker *m, const yaml_node_t *map)
{
    if (map->type != YAML_MAPPING_NODE) {
        return wrong(m, line_of(map), "'regions' is a mapping by numbers");
    }
    const yaml_node_pair_t *p = map->data.mapping.pairs.start;
    for (; p < map->data.mapping.pairs.top; p++) {
        if (!put_region(m, at(m, p->key), at(m, p->value))) {
            return false;
        }
    }
    return true;
}

static bool put_scores(maker *m, const yaml_node_t *map)
{
    char key[24];
    if (map->type != YAML_MAPPING_NODE) {
        return wrong(m, line_of(map), "'regionscore' is a mapping by numbers");
    }
    rmr_jw_init(&m->w, rmr_buf_of(m->room, REGION_MAX));
    rmr_jw_object(&m->w);
    const yaml_node_pair_t *p = map->data.mapping.pairs.start;
    for (; p < map->data.mapping.pairs.top; p++) {
        const yaml_node_t *k = at(m, p->key);
        uint64_t id;
        if (rmr_parse_u64(text_of(k), ID_MAX, &id) != RMR_OK) {
            return wrong(m, line_of(k), "a region's key is its number");
        }
        (void)snprintf(key, sizeof key, "%llu", (unsigned long long)id);
        if (!put_real(m, at(m, p->value), &(field){key, REAL})) {
            return false;
        }
    }
    rmr_jw_object_end(&m->w);
    free(m->scores);
    m->scores = written(m);
    return m->scores != NULL;
}

static bool put_map(maker *m, const yaml_node_t *root)
{
    yaml_node_t *v[FIELDS_MAX], *home[FIELDS_MAX];
    if (!fields(m, root, "a DERP map", map_fields, v)) {
        return false;
    }
    if (v[0] != NULL && !put_regions(m, v[0])) {
        return false;
    }
    if (v[1] == NULL) {
        return true;
    }
    return fields(m, v[1], "'homeparams'", home_fields, home) &&
           (home[0] == NULL || put_scores(m, home[0]));
}

/* ---- files --------------------------------------------------------------- */

static bool load(maker *m, yaml_parser_t *yaml)
{
    if (!yaml_parser_load(yaml, &m->doc)) {
        return yaml->error == YAML_MEMORY_ERROR
                   ? no_memory(m)
                   : wrong(m, yaml->problem_mark.line, "this is no YAML: %s",
                           yaml->problem != NULL ? yaml->problem
                                                 : "unreadable");
    }
    /* One that is empty is being written, rather: its relays are not to go. */
    const yaml_node_t *root = yaml_document_get_root_node(&m->doc);
    bool ok = root == NULL ? wrong(m, 0,
                                   "the file is empty; {} is a map "
                                   "without regions")
                           : is_null(root) || put_map(m, root);
    yaml_document_delete(&m->doc);
    return ok;
}

static bool read_file(maker *m, const char *path)
{
    cli_file f;
    yaml_parser_t yaml;
    m->file = path;
    m->n_file++;
    if (!cli_file_read(&f, path, FILE_MAX, m->error, m->cap)) {
        return false;
    }
    bool ok = yaml_parser_initialize(&yaml) != 0;
    if (ok) {
        yaml_parser_set_input_string(&yaml, f.data, f.len);
        ok = load(m, &yaml);
        yaml_parser_delete(&yaml);
    } else {
        (void)no_memory(m);
    }
    cli_file_free(&f);
    return ok;
}

/* ---- the relay here ------------------------------------------------------ */

/* What is configured, or the host itself where it is such an address. */
static void put_own_ip(maker *m, const char *name, const rmr_addr *a,
                       uint8_t family, const char *host)
{
    char text[RMR_ADDR_TEXT_MAX];
    rmr_addr at = *a;
    if (at.family == RMR_AF_NONE) {
        (void)rmr_addr_parse_ip(rmr_bytes_str(host), &at);
    }
    if (at.family == family) {
        rmr_jw_kstr(&m->w, name, rmr_addr_ip_text(&at, text));
    }
}

static bool put_own(maker *m, const cli_coord_derp_server *s,
                    const cli_derp_own *own)
{
    char name[32], cert[11 + 64 + 1] = "sha256-raw:";
    m->file = "derp.server";
    m->n_file++;
    (void)snprintf(name, sizeof name, "%u", (unsigned)s->region_id);
    rmr_jw_init(&m->w, rmr_buf_of(m->room, REGION_MAX));
    rmr_jw_object(&m->w);
    rmr_jw_ku64(&m->w, "RegionID", s->region_id);
    rmr_jw_kstr(&m->w, "RegionCode", s->region_code);
    rmr_jw_kstr(&m->w, "RegionName", s->region_name);
    rmr_jw_key(&m->w, "Nodes");
    rmr_jw_array(&m->w);
    rmr_jw_object(&m->w);
    rmr_jw_kstr(&m->w, "Name", name);
    rmr_jw_ku64(&m->w, "RegionID", s->region_id);
    rmr_jw_kstr(&m->w, "HostName", own->host);
    if (own->pinned) {
        rmr_hex(cert + 11, own->pin, sizeof own->pin);
        rmr_jw_kstr(&m->w, "CertName", cert);
    }
    put_own_ip(m, "IPv4", &s->ipv4, RMR_AF_INET, own->host);
    put_own_ip(m, "IPv6", &s->ipv6, RMR_AF_INET6, own->host);
    rmr_jw_kint(&m->w, "STUNPort",
                s->stun_listen_addr.family != RMR_AF_NONE
                    ? (int64_t)s->stun_listen_addr.port
                    : -1);
    rmr_jw_ku64(&m->w, "DERPPort", s->listen_addr.port);
    rmr_jw_object_end(&m->w);
    rmr_jw_array_end(&m->w);
    rmr_jw_object_end(&m->w);
    return keep_region(m, s->region_id, written(m));
}

/* ---- the whole ----------------------------------------------------------- */

static int by_id(const void *a, const void *b)
{
    const region *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

static bool join(maker *m, cli_file *to)
{
    size_t cap = 128 + (m->scores != NULL ? strlen(m->scores) : 0), len = 0;
    for (size_t i = 0; i < m->n; i++) {
        cap += strlen(m->at[i].json) + 32;
    }
    uint8_t *out = malloc(cap);
    if (out == NULL) {
        return no_memory(m);
    }
    if (m->n > 1) {
        qsort(m->at, m->n, sizeof *m->at, by_id);
    }
    rmr_jw_init(&m->w, rmr_buf_of(out, cap));
    rmr_jw_object(&m->w);
    if (m->scores != NULL) {
        rmr_jw_key(&m->w, "HomeParams");
        rmr_jw_object(&m->w);
        rmr_jw_key(&m->w, "RegionScore");
        rmr_jw_raw(&m->w, rmr_bytes_str(m->scores));
        rmr_jw_object_end(&m->w);
    }
    rmr_jw_key(&m->w, "Regions");
    rmr_jw_object(&m->w);
    for (size_t i = 0; i < m->n; i++) {
        char key[24];
        (void)snprintf(key, sizeof key, "%llu",
                       (unsigned long long)m->at[i].id);
        rmr_jw_key(&m->w, key);
        rmr_jw_raw(&m->w, rmr_bytes_str(m->at[i].json));
    }
    rmr_jw_object_end(&m->w);
    rmr_jw_object_end(&m->w);
    if (rmr_jw_end(&m->w, &len) != RMR_OK) {
        free(out);
        return no_memory(m);
    }
    to->data = out;
    to->len = len;
    return true;
}

bool cli_coord_derp_map(const cli_coord_config *c, const cli_derp_own *own,
                        cli_file *out, char *error, size_t cap)
{
    const cli_coord_texts *files = &c->derp.paths;
    maker m;
    memset(&m, 0, sizeof m);
    m.error = error;
    m.cap = cap;
    m.room = malloc(REGION_MAX);
    m.at = calloc(REGIONS_MAX, sizeof *m.at);
    bool ok = (m.room != NULL && m.at != NULL) || no_memory(&m);
    for (size_t i = 0; ok && i < files->n; i++) {
        ok = read_file(&m, files->at[i]);
    }
    if (ok && own != NULL && c->derp.server.add_region) {
        ok = put_own(&m, &c->derp.server, own);
    }
    ok = ok && join(&m, out);
    for (size_t i = 0; i < m.n; i++) {
        free(m.at[i].json);
    }
    free(m.at);
    free(m.scores);
    free(m.room);
    return ok;
}
