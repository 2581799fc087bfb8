/* Names as they stand in a policy, with ports and protocols. */
#include "pol_internal.h"

#include <remora/text.h>

#include <stdio.h>
#include <string.h>

rmr_bytes rmri_pol_trim(rmr_bytes s)
{
    while (s.len && (s.ptr[0] == ' ' || (s.ptr[0] >= 9 && s.ptr[0] <= 13))) {
        s.ptr++;
        s.len--;
    }
    while (s.len && (s.ptr[s.len - 1] == ' ' ||
                     (s.ptr[s.len - 1] >= 9 && s.ptr[s.len - 1] <= 13)))
        s.len--;
    return s;
}

static bool has(rmr_bytes s, uint8_t c)
{
    return rmri_pol_chr(s, c) != NULL;
}

bool rmri_pol_tag_ok(rmr_bytes tag)
{
    if (!rmri_pol_starts(tag, "tag:") || tag.len < 5)
        return false;
    uint8_t c = tag.ptr[4] | 0x20;
    return c >= 'a' && c <= 'z';
}

static uint8_t autogroup_of(rmr_bytes s)
{
    static const char *const names[] = {
        "autogroup:internet", "autogroup:member", "autogroup:nonroot",
        "autogroup:tagged",   "autogroup:self",   "autogroup:danger-all"};
    for (uint8_t i = 0; i < POL_AUTO_OTHER; i++) {
        if (rmr_bytes_eq_str(s, names[i]))
            return i;
    }
    return POL_AUTO_OTHER;
}

bool rmri_pol_alias_parse(pol_alias *out, rmr_bytes text)
{
    memset(out, 0, sizeof *out);
    out->text = text;
    if (!rmr_prefix_parse(text, &out->prefix)) {
        out->kind = POL_PREFIX;
    } else if (rmr_bytes_eq_str(text, "*")) {
        out->kind = POL_STAR;
    } else if (has(text, '@')) {
        out->kind = POL_USER;
    } else if (rmri_pol_starts(text, "group:")) {
        out->kind = POL_GROUP;
    } else if (rmri_pol_starts(text, "tag:")) {
        out->kind = POL_TAG;
    } else if (rmri_pol_starts(text, "autogroup:")) {
        out->kind = POL_AUTO;
        out->autogroup = autogroup_of(text);
    } else if (!has(text, ':')) {
        out->kind = POL_HOST;
    } else {
        return false;
    }
    return true;
}

bool rmri_pol_add_use(pol_reader *r, uint32_t node, const pol_alias *a)
{
    pol_alias *u = rmri_pol_vec_add(&r->pol->uses, &r->alloc);
    if (!u)
        return rmri_pol_nomem(r);
    *u = *a;
    u->line = rmri_pol_node(r, node)->line;
    u->column = rmri_pol_node(r, node)->column;
    return true;
}

static bool read_alias(pol_reader *r, uint32_t node, void *into)
{
    pol_alias a;
    (void)into;
    if (!rmri_pol_want_string(r, node, "v2.AliasEnc"))
        return false;
    rmr_bytes text = rmri_pol_trim(rmri_pol_node(r, node)->text);
    if (!rmri_pol_alias_parse(&a, text))
        return rmri_pol_fail_as(r, node, "v2.AliasEnc",
                                "invalid alias format: %Q", &text);
    return rmri_pol_add_use(r, node, &a);
}

bool rmri_pol_read_aliases(pol_reader *r, uint32_t node, pol_span *out)
{
    out->first = r->pol->uses.n;
    if (!rmri_pol_read_array(r, node, "v2.Aliases", read_alias, NULL))
        return false;
    out->n = r->pol->uses.n - out->first;
    return true;
}

/* ---- ports ---------------------------------------------------------------- */

static const char *parse_port(rmr_bytes s, uint16_t *out)
{
    uint64_t v;
    if (s.len == 0 || rmr_parse_u64(s, INT64_MAX, &v))
        return "invalid first integer";
    if (v > 65535)
        return "port number out of range";
    *out = (uint16_t)v;
    return NULL;
}

static const char *add_ports(pol_reader *r, uint16_t first, uint16_t last)
{
    pol_ports *p = rmri_pol_vec_add(&r->pol->ports, &r->alloc);
    if (!p) {
        rmri_pol_nomem(r);
        return "";
    }
    p->first = first;
    p->last = last;
    return NULL;
}

static rmr_bytes cut(rmr_bytes *rest, uint8_t at)
{
    const uint8_t *p = rmri_pol_chr(*rest, at);
    rmr_bytes head = *rest;
    if (!p) {
        *rest = rmr_bytes_of(NULL, 0);
        return head;
    }
    head.len = (size_t)(p - rest->ptr);
    *rest = rmr_bytes_of(p + 1, rest->len - head.len - 1);
    return head;
}

/* "80" or "1000-1010"; empty parts of the latter don't count. */
static const char *parse_part(pol_reader *r, rmr_bytes part)
{
    uint16_t first, last;
    const char *bad;
    if (!has(part, '-')) {
        bad = parse_port(part, &first);
        if (!bad && first == 0)
            bad = "first port must be >0, or use '*' for wildcard";
        return bad ? bad : add_ports(r, first, first);
    }
    rmr_bytes ends[2];
    size_t n = 0;
    while (part.len) {
        rmr_bytes end = cut(&part, '-');
        if (end.len == 0)
            continue;
        if (n == 2)
            return "invalid port range format";
        ends[n++] = end;
    }
    if (n != 2)
        return "invalid port range format";
    bad = parse_port(ends[0], &first);
    if (!bad)
        bad = parse_port(ends[1], &last);
    if (!bad && first > last)
        bad = "invalid port range: first port is greater than last port";
    return bad ? bad : add_ports(r, first, last);
}

const char *rmri_pol_parse_ports(pol_reader *r, rmr_bytes text, pol_span *out)
{
    out->first = r->pol->ports.n;
    const char *bad = NULL;
    if (rmr_bytes_eq_str(text, "*")) {
        bad = add_ports(r, 0, 65535);
    } else {
        bool more = true;
        while (more && !bad) {
            more = has(text, ',');
            bad = parse_part(r, cut(&text, ','));
        }
    }
    out->n = r->pol->ports.n - out->first;
    return bad;
}

/* ---- "host:ports" ----------------------------------------------------------- */

/* Takes the brackets off "[fd7a::1]:80" and "[fd7a::1]/128:80": the whole is
 * put together again in `room`. */
static bool unbracket(rmr_bytes *text, uint8_t *room)
{
    const uint8_t *end = rmri_pol_chr(*text, ']');
    rmr_addr a;
    if (!end)
        return false;
    rmr_bytes host = rmr_bytes_of(text->ptr + 1, (size_t)(end - text->ptr) - 1);
    rmr_bytes rest =
        rmr_bytes_of(end + 1, text->len - (size_t)(end + 1 - text->ptr));
    if (rmr_addr_parse_ip(host, &a) || !has(host, ':') || !rest.len ||
        (rest.ptr[0] != ':' && rest.ptr[0] != '/') ||
        host.len + rest.len > RMR_POL_NAME_MAX)
        return false;
    memcpy(room, host.ptr, host.len);
    memcpy(room + host.len, rest.ptr, rest.len);
    *text = rmr_bytes_of(room, host.len + rest.len);
    return true;
}

static const char *split(rmr_bytes text, rmr_bytes *host, rmr_bytes *ports)
{
    size_t at = text.len;
    while (at && text.ptr[at - 1] != ':')
        at--;
    if (at == 0)
        return "input must contain a colon character separating destination "
               "and port";
    if (at == 1)
        return "input cannot start with a colon character";
    if (at == text.len)
        return "input cannot end with a colon character";
    *host = rmr_bytes_of(text.ptr, at - 1);
    *ports = rmr_bytes_of(text.ptr + at, text.len - at);
    return NULL;
}

static bool bad_alias(pol_reader *r, uint32_t node, const pol_alias *a)
{
    if (a->kind == POL_TAG && !rmri_pol_tag_ok(a->text))
        return !rmri_pol_fail_as(r, node, "v2.AliasWithPorts",
                                 "tag names must start with a letter, after "
                                 "'tag:'");
    if (a->kind == POL_AUTO && a->autogroup == POL_AUTO_OTHER)
        return !rmri_pol_fail_as(
            r, node, "v2.AliasWithPorts",
            "invalid autogroup: got %Q, must be one of [autogroup:internet "
            "autogroup:member autogroup:nonroot autogroup:tagged "
            "autogroup:self autogroup:danger-all]",
            &a->text);
    return false;
}

bool rmri_pol_read_target(pol_reader *r, uint32_t node, pol_alias *out,
                          pol_span *ports)
{
    static const char type[] = "v2.AliasWithPorts";
    rmr_bytes whole = rmri_pol_node(r, node)->text, text = whole, host, port;
    uint8_t room[RMR_POL_NAME_MAX];
    if (!rmri_pol_want_string(r, node, type))
        return false;
    if (!has(text, ':'))
        return rmri_pol_fail_as(r, node, type, "hostport must contain a colon");
    bool bracket = rmri_pol_starts(text, "[");
    if (bracket && !unbracket(&text, room))
        return rmri_pol_fail_as(r, node, type,
                                "square brackets are only valid around IPv6 "
                                "addresses: %Q",
                                &whole);
    const char *bad = split(text, &host, &port);
    if (bad)
        return rmri_pol_fail_as(r, node, type, "%s", bad);
    bad = rmri_pol_parse_ports(r, port, ports);
    if (r->err)
        return false;
    if (bad)
        return rmri_pol_fail_as(r, node, type, "dst=%Q: port range %Q: %s",
                                &whole, &port, bad);
    if (bracket && !rmri_pol_arena_copy(&r->pol->arena, host, &host))
        return rmri_pol_nomem(r);
    if (!rmri_pol_alias_parse(out, host))
        return rmri_pol_fail_as(r, node, type, "invalid alias format: %Q",
                                &host);
    return !bad_alias(r, node, out);
}

/* ---- protocols ----------------------------------------------------------------- */

static const struct {
    char name[10];
    uint8_t number;
} protocols[] = {{"icmp", 1},   {"igmp", 2}, {"ipv4", 4}, {"ip-in-ip", 4},
                 {"tcp", 6},    {"egp", 8},  {"igp", 9},  {"udp", 17},
                 {"gre", 47},   {"esp", 50}, {"ah", 51},  {"ipv6-icmp", 58},
                 {"sctp", 132}, {"fc", 133}};

static int by_name(rmr_bytes s, bool any_case)
{
    for (size_t i = 0; i < sizeof protocols / sizeof protocols[0]; i++) {
        rmr_bytes n = rmr_bytes_str(protocols[i].name);
        if (any_case ? rmr_bytes_eq_nocase(s, n) : rmr_bytes_eq(s, n))
            return protocols[i].number;
    }
    return -1;
}

static bool has_name(uint64_t number)
{
    for (size_t i = 0; i < sizeof protocols / sizeof protocols[0]; i++) {
        if (protocols[i].number == number)
            return true;
    }
    return false;
}

const char *rmri_pol_proto_name(int16_t proto, char room[8])
{
    for (size_t i = 0; i < sizeof protocols / sizeof protocols[0]; i++) {
        if (protocols[i].number == proto)
            return protocols[i].name;
    }
    snprintf(room, 8, "%d", proto);
    return room;
}

/* by_number: as in `acls`, where "06" is tcp and case does not matter. */
bool rmri_pol_parse_proto(pol_reader *r, uint32_t node, const char *type,
                          rmr_bytes text, bool by_number, int16_t *out)
{
    uint64_t v;
    *out = -1;
    if (text.len == 0)
        return true;
    if (rmr_bytes_eq_str(text, "*"))
        return rmri_pol_fail_as(r, node, type,
                                "proto name \"*\" not known; use protocol "
                                "number 0-255 or protocol name (icmp, tcp, "
                                "udp, etc.)");
    int number = by_name(text, by_number);
    if (number >= 0) {
        *out = (int16_t)number;
        return true;
    }
    bool is_number = !rmr_parse_u64(text, INT64_MAX, &v);
    if (is_number && by_number && has_name(v)) {
        *out = (int16_t)v;
        return true;
    }
    if (text.ptr[0] == '0')
        return rmri_pol_fail_as(r, node, type,
                                "leading 0 not permitted in protocol number: "
                                "%Q",
                                &text);
    if (!is_number)
        return rmri_pol_fail_as(r, node, type,
                                "invalid protocol number: %Q must be a known "
                                "protocol name or valid protocol number 0-255",
                                &text);
    if (v > 255)
        return rmri_pol_fail_as(
            r, node, type, "protocol number out of range (0-255): %B", &text);
    *out = (int16_t)v;
    return true;
}
