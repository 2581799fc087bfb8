/* The coordinator's settings from YAML, event by event.  Aliases and more than
 * one document are refused; so is what is nested deeper than a setting. */
#include "coord_config_keys.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#define NAME_MAX_LEN 96
#define DEEPEST 32

typedef struct reader {
    cli_coord_config *c;
    yaml_parser_t yaml;
    yaml_event_t ev;
    bool has_event;
    bool records_alone; /* the document is dns.extra_records */
} reader;

/* ---- events -------------------------------------------------------------- */

static bool wrong_at(reader *r, size_t line, const char *why)
{
    char text[sizeof r->c->error];
    (void)snprintf(text, sizeof text, "%s", why);
    return cli_coord_wrong(r->c, "%.200s, line %zu: %.400s", r->c->file,
                           line + 1, text);
}

static bool wrong(reader *r, const char *fmt, ...) RMR_PRINTF(2, 3);
static bool wrong(reader *r, const char *fmt, ...)
{
    char why[sizeof r->c->error];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    return wrong_at(r, r->ev.start_mark.line, why);
}

static void drop_event(reader *r)
{
    if (r->has_event) {
        yaml_event_delete(&r->ev);
    }
    r->has_event = false;
}

static bool next(reader *r)
{
    char why[160];
    drop_event(r);
    if (yaml_parser_parse(&r->yaml, &r->ev)) {
        r->has_event = true;
        return true;
    }
    if (r->yaml.error == YAML_MEMORY_ERROR) {
        return cli_coord_wrong(r->c, "out of memory");
    }
    (void)snprintf(why, sizeof why, "this is no YAML: %s",
                   r->yaml.problem != NULL ? r->yaml.problem : "unreadable");
    return wrong_at(r, r->yaml.problem_mark.line, why);
}

static const char *text_of(const reader *r)
{
    return (const char *)r->ev.data.scalar.value;
}

/* `key:` alone, or null: as if it was not there. */
static bool is_nothing(const reader *r)
{
    const char *v = text_of(r);
    return r->ev.type == YAML_SCALAR_EVENT &&
           (r->ev.data.scalar.length == 0 ||
            (r->ev.data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
             (strcmp(v, "null") == 0 || strcmp(v, "~") == 0)));
}

static bool is_text(reader *r, const char *name)
{
    if (r->ev.type != YAML_SCALAR_EVENT) {
        return wrong(r, "'%s' takes a text", name);
    }
    return strlen(text_of(r)) == r->ev.data.scalar.length ||
           wrong(r, "'%s' holds a zero byte", name);
}

/* Past the value that begins with the event on hand. */
static bool skip(reader *r)
{
    unsigned depth = 0;
    for (;;) {
        switch (r->ev.type) {
        case YAML_MAPPING_START_EVENT:
        case YAML_SEQUENCE_START_EVENT:
            if (++depth > DEEPEST) {
                return wrong(r, "this is nested too deep");
            }
            break;
        case YAML_MAPPING_END_EVENT:
        case YAML_SEQUENCE_END_EVENT:
            depth--;
            break;
        default:
            break;
        }
        if (depth == 0) {
            return true;
        }
        if (!next(r)) {
            return false;
        }
    }
}

/* ---- values -------------------------------------------------------------- */

static bool one(reader *r, const cli_coord_key *k)
{
    size_t line = r->ev.start_mark.line;
    return is_text(r, k->path) && (cli_coord_value(r->c, k, text_of(r)) ||
                                   wrong_at(r, line, r->c->error));
}

/* A list, or one value that stands for a list of one. */
static bool list(reader *r, const cli_coord_key *k)
{
    if (r->ev.type != YAML_SEQUENCE_START_EVENT) {
        return one(r, k);
    }
    for (;;) {
        if (!next(r)) {
            return false;
        }
        if (r->ev.type == YAML_SEQUENCE_END_EVENT) {
            return true;
        }
        if (!one(r, k)) {
            return false;
        }
    }
}

/* Empty in any form is the same as not there. */
static bool never(reader *r, const cli_coord_key *k)
{
    yaml_event_type_t type = r->ev.type;
    if (type == YAML_SCALAR_EVENT) {
        return one(r, k);
    }
    if (!next(r)) {
        return false;
    }
    if (r->ev.type == YAML_SEQUENCE_END_EVENT ||
        r->ev.type == YAML_MAPPING_END_EVENT) {
        return true;
    }
    (void)cli_coord_value(r->c, k, "given");
    return wrong_at(r, r->ev.start_mark.line, r->c->error);
}

/* ---- dns.nameservers.split, dns.extra_records ---------------------------- */

static bool split_value(reader *r, const char *domain)
{
    size_t line = r->ev.start_mark.line;
    return is_text(r, domain) && (cli_coord_split(r->c, domain, text_of(r)) ||
                                  wrong_at(r, line, r->c->error));
}

static bool split_values(reader *r, const char *domain)
{
    if (r->ev.type != YAML_SEQUENCE_START_EVENT) {
        return split_value(r, domain);
    }
    for (;;) {
        if (!next(r)) {
            return false;
        }
        if (r->ev.type == YAML_SEQUENCE_END_EVENT) {
            return true;
        }
        if (!split_value(r, domain)) {
            return false;
        }
    }
}

static bool split(reader *r, const cli_coord_key *k)
{
    char domain[256];
    if (r->ev.type != YAML_MAPPING_START_EVENT) {
        return wrong(r, "'%s' takes domains, each with a list of name servers",
                     k->path);
    }
    for (;;) {
        if (!next(r)) {
            return false;
        }
        if (r->ev.type == YAML_MAPPING_END_EVENT) {
            return true;
        }
        if (!is_text(r, k->path)) {
            return false;
        }
        (void)snprintf(domain, sizeof domain, "%s", text_of(r));
        if (!next(r) || !split_values(r, domain)) {
            return false;
        }
    }
}

static bool record(reader *r, const cli_coord_key *k)
{
    char name[32];
    size_t line = r->ev.start_mark.line;
    if (r->ev.type != YAML_MAPPING_START_EVENT) {
        return wrong(r,
                     "'%s' takes a list of records, each with name, type "
                     "and value",
                     k->path);
    }
    if (!cli_coord_record(r->c)) {
        return false;
    }
    for (;;) {
        if (!next(r)) {
            return false;
        }
        if (r->ev.type == YAML_MAPPING_END_EVENT) {
            const rmr_coord_dns_record *d = &r->c->records[r->c->n_records - 1];
            return (d->name && d->type && d->value) ||
                   wrong_at(r, line, "a record has name, type and value");
        }
        if (!is_text(r, k->path)) {
            return false;
        }
        (void)snprintf(name, sizeof name, "%s", text_of(r));
        if (!next(r) || !is_text(r, name)) {
            return false;
        }
        if (!cli_coord_record_member(r->c, name, text_of(r))) {
            return wrong_at(r, r->ev.start_mark.line, r->c->error);
        }
    }
}

static bool records(reader *r, const cli_coord_key *k)
{
    if (r->ev.type != YAML_SEQUENCE_START_EVENT) {
        return wrong(r,
                     "'%s' takes a list of records, each with name, type "
                     "and value",
                     k->path);
    }
    for (;;) {
        if (!next(r)) {
            return false;
        }
        if (r->ev.type == YAML_SEQUENCE_END_EVENT) {
            return true;
        }
        if (!record(r, k)) {
            return false;
        }
    }
}

/* ---- settings ------------------------------------------------------------ */

static bool value(reader *r, const cli_coord_key *k)
{
    if (k->kind == COORD_ANY) {
        return skip(r);
    }
    if (is_nothing(r)) {
        return true;
    }
    if (k->kind == COORD_NEVER) {
        return never(r, k);
    }
    if (k->kind == COORD_SPLIT) {
        return split(r, k);
    }
    if (k->kind == COORD_RECORDS) {
        return records(r, k);
    }
    return cli_coord_key_is_list(k) ? list(r, k) : one(r, k);
}

static bool first_time(reader *r, const cli_coord_key *k, size_t line)
{
    size_t i = (size_t)(k - cli_coord_keys);
    char why[160];
    if ((r->c->seen[i / 64] >> i % 64 & 1) != 0) {
        (void)snprintf(why, sizeof why, "'%s' was set before", k->path);
        return wrong_at(r, line, why);
    }
    r->c->seen[i / 64] |= (uint64_t)1 << i % 64;
    return true;
}

static bool unknown(reader *r, const char *path)
{
    char nearest[NAME_MAX_LEN];
    cli_coord_key_nearest(path, nearest, sizeof nearest);
    return wrong(r, "'%s' is no setting; the nearest is '%s'", path, nearest);
}

static bool mapping(reader *r, const char *section);

/* The sections' depth is that of the table: no file makes it deeper. */
static bool setting(reader *r, const char *section)
{
    char path[NAME_MAX_LEN];
    size_t line = r->ev.start_mark.line;
    const cli_coord_key *k;
    if (!is_text(r, "a name")) {
        return false;
    }
    int n = snprintf(path, sizeof path, "%s%s%s", section,
                     *section != '\0' ? "." : "", text_of(r));
    k = n > 0 && (size_t)n < sizeof path ? cli_coord_key_find(path) : NULL;
    if (k != NULL) {
        return first_time(r, k, line) && next(r) && value(r, k);
    }
    if (n <= 0 || !cli_coord_key_is_section(path)) {
        return unknown(r, path);
    }
    if (!next(r)) {
        return false;
    }
    if (is_nothing(r)) {
        return true;
    }
    if (r->ev.type != YAML_MAPPING_START_EVENT) {
        return wrong(r, "'%s' holds settings, each on a line of its own", path);
    }
    return mapping(r, path);
}

static bool mapping(reader *r, const char *section)
{
    for (;;) {
        if (!next(r)) {
            return false;
        }
        if (r->ev.type == YAML_MAPPING_END_EVENT) {
            return true;
        }
        if (!setting(r, section)) {
            return false;
        }
    }
}

/* ---- the file ------------------------------------------------------------ */

static bool document(reader *r)
{
    if (!next(r)) {
        return false;
    }
    if (is_nothing(r)) {
        return true;
    }
    if (r->records_alone) {
        return records(r, cli_coord_key_find("dns.extra_records"));
    }
    if (r->ev.type != YAML_MAPPING_START_EVENT) {
        return wrong(r, "settings are lines such as %s",
                     "listen_addr: 127.0.0.1:8080");
    }
    return mapping(r, "");
}

static bool stream(reader *r)
{
    bool seen = false;
    for (;;) {
        if (!next(r)) {
            return false;
        }
        if (r->ev.type == YAML_STREAM_END_EVENT) {
            /* A list that is empty is being written, rather. */
            return seen || !r->records_alone ||
                   wrong(r, "the file is empty; %s is a list without records",
                         "[]");
        }
        if (r->ev.type == YAML_DOCUMENT_START_EVENT) {
            if (seen) {
                return wrong(r, "one document is enough");
            }
            seen = true;
            if (!document(r)) {
                return false;
            }
        }
    }
}

static bool read_text(cli_coord_config *c, rmr_bytes text, bool records_alone)
{
    reader r;
    bool ok;
    memset(&r, 0, sizeof r);
    r.c = c;
    r.records_alone = records_alone;
    if (!yaml_parser_initialize(&r.yaml)) {
        return cli_coord_wrong(c, "out of memory");
    }
    yaml_parser_set_input_string(&r.yaml, text.ptr, text.len);
    ok = stream(&r);
    drop_event(&r);
    yaml_parser_delete(&r.yaml);
    return ok;
}

bool cli_coord_yaml(cli_coord_config *c, rmr_bytes text)
{
    return read_text(c, text, false);
}

bool cli_coord_yaml_records(cli_coord_config *c, rmr_bytes text)
{
    return read_text(c, text, true);
}
