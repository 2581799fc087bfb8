/* Values of the coordinator's settings. */
#include "coord_config_keys.h"

#include <stdio.h>
#include <string.h>

#include <remora/text.h>

static bool takes(cli_coord_config *c, const cli_coord_key *k, const char *v)
{
    return cli_coord_wrong(c, "'%s' takes %s, not '%.80s'", k->path, k->want,
                           v);
}

static void *field(cli_coord_config *c, const cli_coord_key *k)
{
    return (char *)c + k->at;
}

/* ---- plain values -------------------------------------------------------- */

static bool set_bool(cli_coord_config *c, const cli_coord_key *k, const char *v)
{
    bool on = strcmp(v, "true") == 0;
    if (!on && strcmp(v, "false") != 0) {
        return takes(c, k, v);
    }
    *(bool *)field(c, k) = on;
    return true;
}

static bool set_number(cli_coord_config *c, const cli_coord_key *k,
                       const char *v)
{
    uint64_t n = 0;
    if (rmr_parse_u64(rmr_bytes_str(v), 65535, &n) != RMR_OK || n == 0) {
        return takes(c, k, v);
    }
    *(uint16_t *)field(c, k) = (uint16_t)n;
    return true;
}

static rmr_dur unit_of(const char *text, size_t len)
{
    static const struct {
        const char *name;
        rmr_dur ns;
    } units[] = {{"ms", RMR_MS},
                 {"s", RMR_SEC},
                 {"m", 60 * RMR_SEC},
                 {"h", 3600 * RMR_SEC},
                 {"d", 86400 * RMR_SEC},
                 {"w", 7 * 86400 * RMR_SEC},
                 {"y", 365 * 86400 * RMR_SEC}};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strlen(units[i].name) == len &&
            memcmp(units[i].name, text, len) == 0) {
            return units[i].ns;
        }
    }
    return 0;
}

/* "1h30m", "180d", "0": at most 100 years. */
static bool parse_time(const char *v, rmr_dur *out)
{
    const rmr_dur most = 100ULL * 365 * 86400 * RMR_SEC;
    rmr_dur sum = 0;
    if (strcmp(v, "0") == 0) {
        *out = 0;
        return true;
    }
    while (*v != '\0') {
        uint64_t n;
        size_t digits = strspn(v, "0123456789");
        size_t letters = strspn(v + digits, "mshdwy");
        rmr_dur unit = unit_of(v + digits, letters);
        if (digits == 0 || unit == 0 ||
            rmr_parse_u64(rmr_bytes_of(v, digits), most / unit, &n) != RMR_OK) {
            return false;
        }
        sum += n * unit;
        if (sum > most) {
            return false;
        }
        v += digits + letters;
    }
    *out = sum;
    return true;
}

static bool set_time(cli_coord_config *c, const cli_coord_key *k, const char *v)
{
    return parse_time(v, field(c, k)) || takes(c, k, v);
}

/* The owner may always: a server that can't open its own socket helps nobody. */
static bool set_mode(cli_coord_config *c, const cli_coord_key *k, const char *v)
{
    size_t n = strlen(v);
    unsigned mode = 0;
    if (strspn(v, "01234567") != n || n < 3 || n > 4) {
        return takes(c, k, v);
    }
    for (size_t i = 0; i < n; i++) {
        mode = mode * 8 + (unsigned)(v[i] - '0');
    }
    if (mode > 0777 || (mode & 0600) != 0600) {
        return takes(c, k, v);
    }
    *(unsigned *)field(c, k) = mode;
    return true;
}

static bool set_level(cli_coord_config *c, const cli_coord_key *k,
                      const char *v)
{
    static const char *const names[] = {"off",  "error", "warn",
                                        "info", "debug", "trace"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(v, names[i]) == 0) {
            *(rmr_log_level *)field(c, k) = (rmr_log_level)i;
            return true;
        }
    }
    return takes(c, k, v);
}

/* One of two words: the second is true. */
static bool set_word(cli_coord_config *c, const cli_coord_key *k, const char *v,
                     const char *no, const char *yes)
{
    if (strcmp(v, no) != 0 && strcmp(v, yes) != 0) {
        return takes(c, k, v);
    }
    *(bool *)field(c, k) = strcmp(v, yes) == 0;
    return true;
}

static bool set_text(cli_coord_config *c, const cli_coord_key *k, const char *v)
{
    const char *copy = cli_coord_keep_text(c, v, strlen(v));
    *(const char **)field(c, k) = copy;
    return copy != NULL;
}

static bool set_path(cli_coord_config *c, const cli_coord_key *k, const char *v)
{
    const char *path = cli_coord_path(c, v);
    *(const char **)field(c, k) = path;
    return path != NULL;
}

/* ---- addresses ----------------------------------------------------------- */

static bool set_addr(cli_coord_config *c, const cli_coord_key *k, const char *v)
{
    rmr_addr a;
    if (rmr_addr_parse(rmr_bytes_str(v), &a) != RMR_OK) {
        return takes(c, k, v);
    }
    *(rmr_addr *)field(c, k) = a;
    return true;
}

static bool set_ip(cli_coord_config *c, const cli_coord_key *k, const char *v)
{
    rmr_addr a;
    bool is_v6 = strcmp(k->path, "derp.server.ipv6") == 0;
    if (rmr_addr_parse_ip(rmr_bytes_str(v), &a) != RMR_OK ||
        (a.family == RMR_AF_INET6) != is_v6) {
        return takes(c, k, v);
    }
    *(rmr_addr *)field(c, k) = a;
    return true;
}

static bool set_prefix(cli_coord_config *c, const cli_coord_key *k,
                       const char *v)
{
    rmr_prefix p;
    bool is_v6 = strcmp(k->path, "prefixes.v6") == 0;
    if (rmr_prefix_parse(rmr_bytes_str(v), &p) != RMR_OK ||
        (p.family == RMR_AF_INET6) != is_v6) {
        return takes(c, k, v);
    }
    *(rmr_prefix *)field(c, k) = p;
    return true;
}

static bool add_addr(cli_coord_config *c, const cli_coord_key *k, const char *v)
{
    cli_coord_addrs *to = field(c, k);
    if (to->n == CLI_COORD_MAX_LISTEN) {
        return cli_coord_wrong(c, "'%s' takes at most %d addresses", k->path,
                               CLI_COORD_MAX_LISTEN);
    }
    if (rmr_addr_parse(rmr_bytes_str(v), &to->at[to->n]) != RMR_OK) {
        return takes(c, k, v);
    }
    to->n++;
    return true;
}

/* Who is trusted may say who anybody is: not everybody. */
static bool add_prefix(cli_coord_config *c, const cli_coord_key *k,
                       const char *v)
{
    rmr_prefix p;
    if (rmr_prefix_parse(rmr_bytes_str(v), &p) != RMR_OK) {
        return takes(c, k, v);
    }
    if (p.bits == 0) {
        return cli_coord_wrong(
            c, "'%s' with %s would believe everybody; name the proxies alone",
            k->path, v);
    }
    c->proxies = cli_coord_grow(c, c->proxies, c->n_proxies, sizeof p);
    if (c->proxies == NULL) {
        return false;
    }
    c->proxies[c->n_proxies++] = p;
    return true;
}

/* ---- lists of texts ------------------------------------------------------ */

static bool append(cli_coord_config *c, cli_coord_texts *to, const char *text)
{
    to->at = cli_coord_grow(c, to->at, to->n, sizeof *to->at);
    if (to->at == NULL || text == NULL) {
        return false;
    }
    to->at[to->n++] = text;
    return true;
}

static bool is_resolver(const char *v)
{
    rmr_addr a;
    return rmr_addr_parse_ip(rmr_bytes_str(v), &a) == RMR_OK ||
           rmr_addr_parse(rmr_bytes_str(v), &a) == RMR_OK ||
           (strncmp(v, "https://", 8) == 0 && v[8] != '\0' && v[8] != '/' &&
            strpbrk(v, " \t\"") == NULL);
}

static bool is_domain(const char *v)
{
    size_t n = strlen(v), label = 0;
    for (size_t i = 0; i < n; i++) {
        if (v[i] == '.') {
            if (label == 0) {
                return false;
            }
            label = 0;
        } else if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                          "0123456789-_",
                          v[i]) == NULL ||
                   ++label > 63) {
            return false;
        }
    }
    return n > 0 && n <= 253;
}

static bool add_text(cli_coord_config *c, const cli_coord_key *k, const char *v)
{
    cli_coord_texts *to = field(c, k);
    if (!(to == &c->search ? is_domain(v) : is_resolver(v))) {
        return takes(c, k, v);
    }
    return append(c, to, cli_coord_keep_text(c, v, strlen(v)));
}

static bool add_path(cli_coord_config *c, const cli_coord_key *k, const char *v)
{
    return append(c, field(c, k), cli_coord_path(c, v));
}

/* ---- DNS ----------------------------------------------------------------- */

static bool add_route(cli_coord_config *c, const char *domain)
{
    cli_coord_route *r;
    if (!is_domain(domain)) {
        return cli_coord_wrong(c,
                               "'dns.nameservers.split' takes domains as its "
                               "names, not '%.80s'",
                               domain);
    }
    c->routes = cli_coord_grow(c, c->routes, c->n_routes, sizeof *c->routes);
    if (c->routes == NULL) {
        return false;
    }
    r = &c->routes[c->n_routes++];
    memset(r, 0, sizeof *r);
    r->domain = cli_coord_keep_text(c, domain, strlen(domain));
    return r->domain != NULL;
}

bool cli_coord_split(cli_coord_config *c, const char *domain, const char *v)
{
    cli_coord_route *r = c->n_routes > 0 ? &c->routes[c->n_routes - 1] : NULL;
    if (r == NULL || strcmp(r->domain, domain) != 0) {
        if (!add_route(c, domain)) {
            return false;
        }
        r = &c->routes[c->n_routes - 1];
    }
    if (!is_resolver(v)) {
        return cli_coord_wrong(c,
                               "'dns.nameservers.split' takes addresses of "
                               "name servers, not '%.80s'",
                               v);
    }
    return append(c, &r->resolvers, cli_coord_keep_text(c, v, strlen(v)));
}

bool cli_coord_record(cli_coord_config *c)
{
    c->records =
        cli_coord_grow(c, c->records, c->n_records, sizeof *c->records);
    if (c->records == NULL) {
        return false;
    }
    memset(&c->records[c->n_records++], 0, sizeof *c->records);
    return true;
}

bool cli_coord_record_member(cli_coord_config *c, const char *name,
                             const char *v)
{
    rmr_coord_dns_record *r = &c->records[c->n_records - 1];
    const char *copy = cli_coord_keep_text(c, v, strlen(v));
    bool is_type = strcmp(v, "A") == 0 || strcmp(v, "AAAA") == 0;
    if (copy == NULL) {
        return false;
    }
    if (strcmp(name, "name") == 0) {
        r->name = copy;
        return is_domain(v) ||
               cli_coord_wrong(c,
                               "a record's name is a domain name, not "
                               "'%.80s'",
                               v);
    }
    if (strcmp(name, "type") == 0) {
        r->type = copy;
        return is_type ||
               cli_coord_wrong(c, "a record's type is A or AAAA, not '%.80s'",
                               v);
    }
    if (strcmp(name, "value") == 0) {
        r->value = copy;
        return true;
    }
    return cli_coord_wrong(c, "a record has name, type and value, not '%.80s'",
                           name);
}

/* ---- what has no choice -------------------------------------------------- */

static bool is_off(const char *v)
{
    return strcmp(v, "false") == 0 || strcmp(v, "0") == 0;
}

static bool only(cli_coord_config *c, const cli_coord_key *k, const char *v)
{
    bool is_sqlite =
        strcmp(v, "sqlite3") == 0 && strcmp(k->want, "sqlite") == 0;
    return strcmp(v, k->want) == 0 || is_sqlite ||
           cli_coord_wrong(c, "'%s' can be %s alone here, not '%.80s'", k->path,
                           k->want, v);
}

bool cli_coord_key_is_list(const cli_coord_key *k)
{
    return k->kind == COORD_ADDRS || k->kind == COORD_PREFIXES ||
           k->kind == COORD_TEXTS || k->kind == COORD_PATHS;
}

bool cli_coord_value(cli_coord_config *c, const cli_coord_key *k, const char *v)
{
    switch (k->kind) {
    case COORD_TEXT:
        return set_text(c, k, v);
    case COORD_PATH:
        return set_path(c, k, v);
    case COORD_BOOL:
        return set_bool(c, k, v);
    case COORD_NUMBER:
        return set_number(c, k, v);
    case COORD_TIME:
        return set_time(c, k, v);
    case COORD_MODE:
        return set_mode(c, k, v);
    case COORD_LEVEL:
        return set_level(c, k, v);
    case COORD_FORMAT:
        return set_word(c, k, v, "text", "json");
    case COORD_POLICY_MODE:
        return set_word(c, k, v, "file", "database");
    case COORD_ADDR:
        return set_addr(c, k, v);
    case COORD_IP:
        return set_ip(c, k, v);
    case COORD_PREFIX:
        return set_prefix(c, k, v);
    case COORD_ADDRS:
        return add_addr(c, k, v);
    case COORD_PREFIXES:
        return add_prefix(c, k, v);
    case COORD_TEXTS:
        return add_text(c, k, v);
    case COORD_PATHS:
        return add_path(c, k, v);
    case COORD_ONLY:
        return only(c, k, v);
    case COORD_ANY:
        return true;
    case COORD_NEVER:
        return is_off(v) ||
               cli_coord_wrong(c, "'%s' is refused: %s", k->path, k->want);
    case COORD_SPLIT:
    case COORD_RECORDS:
        break;
    }
    return takes(c, k, v);
}
