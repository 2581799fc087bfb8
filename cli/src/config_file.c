/* Settings from YAML, event by event: a mapping of scalars, and of sequences of
 * scalars where an option may be repeated.  Aliases and more than one document are
 * refused. */
#include "config_file.h"

#include <stdio.h>
#include <string.h>

#include <yaml.h>

#include "files.h"
#include "secret.h"

#define CONFIG_MAX ((size_t)256 * 1024)

typedef struct reader {
    cli_args *a;
    yaml_parser_t yaml;
    yaml_event_t ev;
    bool has_event;
} reader;

/* ---- events ------------------------------------------------------------ */

/* Scalars may be secrets. */
static void drop_event(reader *r)
{
    if (r->has_event && r->ev.type == YAML_SCALAR_EVENT) {
        rmr_wipe(r->ev.data.scalar.value, r->ev.data.scalar.length);
    }
    if (r->has_event) {
        yaml_event_delete(&r->ev);
    }
    r->has_event = false;
}

/* Sets the sentence: `why`, with the place. */
static bool wrong_at(reader *r, size_t line, const char *why)
{
    char text[sizeof r->a->error];
    (void)snprintf(text, sizeof text, "%s", why);
    return cli_usage(r->a, "%.100s, line %zu: %s", r->a->config_file, line + 1,
                     text);
}

static bool wrong(reader *r, const char *why)
{
    return wrong_at(r, r->ev.start_mark.line, why);
}

static bool next(reader *r)
{
    drop_event(r);
    if (yaml_parser_parse(&r->yaml, &r->ev)) {
        r->has_event = true;
        return true;
    }
    if (r->yaml.error == YAML_MEMORY_ERROR) {
        return cli_usage(r->a, "out of memory");
    }
    char why[160];
    (void)snprintf(why, sizeof why, "this is no YAML: %s",
                   r->yaml.problem != NULL ? r->yaml.problem : "unreadable");
    return wrong_at(r, r->yaml.problem_mark.line, why);
}

/* ---- values ------------------------------------------------------------ */

/* The scalar of the event, in memory that lives with the arguments. */
static char *keep(reader *r)
{
    cli_args *a = r->a;
    char *copy;
    if (strlen((const char *)r->ev.data.scalar.value) !=
        r->ev.data.scalar.length) {
        (void)wrong(r, "a value holds a zero byte");
        return NULL;
    }
    if (a->n_kept == CLI_SETTINGS_MAX) {
        (void)wrong(r, "these are too many values; 256 are allowed");
        return NULL;
    }
    copy = cli_secret_take((char *)r->ev.data.scalar.value);
    if (copy == NULL) {
        (void)cli_usage(a, "out of memory");
        return NULL;
    }
    a->kept[a->n_kept++] = copy;
    return copy;
}

static bool scalar(reader *r, const cli_setting *s)
{
    size_t line = r->ev.start_mark.line;
    char *value = keep(r);
    if (value == NULL) {
        return false;
    }
    return cli_args_set(r->a, s, value) || wrong_at(r, line, r->a->error);
}

static bool list(reader *r, const char *name, const cli_setting *s)
{
    char why[160];
    if (!s->is_list) {
        (void)snprintf(why, sizeof why, "'%s' takes one value, not a list",
                       name);
        return wrong(r, why);
    }
    for (;;) {
        if (!next(r)) {
            return false;
        }
        if (r->ev.type == YAML_SEQUENCE_END_EVENT) {
            return true;
        }
        if (r->ev.type != YAML_SCALAR_EVENT) {
            (void)snprintf(why, sizeof why, "'%s' takes texts", name);
            return wrong(r, why);
        }
        if (!scalar(r, s)) {
            return false;
        }
    }
}

static bool setting(reader *r)
{
    char name[64], why[160];
    cli_setting s;
    if (r->ev.type != YAML_SCALAR_EVENT) {
        return wrong(r, "a setting has a name, such as hostname: laptop");
    }
    (void)snprintf(name, sizeof name, "%s",
                   (const char *)r->ev.data.scalar.value);
    if (!cli_args_setting(r->a, name, &s)) {
        return wrong(r, r->a->error);
    }
    if (!next(r)) {
        return false;
    }
    switch (r->ev.type) {
    case YAML_SCALAR_EVENT:
        return scalar(r, &s);
    case YAML_SEQUENCE_START_EVENT:
        return list(r, name, &s);
    default:
        (void)snprintf(why, sizeof why, "'%s' takes a text%s", name,
                       s.is_list ? " or a list of texts" : "");
        return wrong(r, why);
    }
}

/* ---- the file ---------------------------------------------------------- */

static bool settings(reader *r)
{
    for (;;) {
        if (!next(r)) {
            return false;
        }
        if (r->ev.type == YAML_MAPPING_END_EVENT) {
            return true;
        }
        if (!setting(r)) {
            return false;
        }
    }
}

/* An empty file, or one of comments alone, has a stream and no document; one
 * of "---" has a document that is an empty scalar. */
static bool document(reader *r)
{
    if (!next(r)) {
        return false;
    }
    if (r->ev.type == YAML_SCALAR_EVENT && r->ev.data.scalar.length == 0) {
        return true;
    }
    if (r->ev.type != YAML_MAPPING_START_EVENT) {
        return wrong(r, "settings are lines such as hostname: laptop");
    }
    return settings(r);
}

static bool stream(reader *r)
{
    bool seen = false;
    for (;;) {
        if (!next(r)) {
            return false;
        }
        if (r->ev.type == YAML_STREAM_END_EVENT) {
            return true;
        }
        if (r->ev.type == YAML_DOCUMENT_START_EVENT && seen) {
            return wrong(r, "one document is enough");
        }
        if (r->ev.type == YAML_DOCUMENT_START_EVENT) {
            seen = true;
            if (!document(r)) {
                return false;
            }
        }
    }
}

/* libyaml keeps what it read in two buffers. */
static void parser_wipe(yaml_parser_t *p)
{
    if (p->raw_buffer.start != NULL) {
        rmr_wipe(p->raw_buffer.start,
                 (size_t)(p->raw_buffer.end - p->raw_buffer.start));
    }
    if (p->buffer.start != NULL) {
        rmr_wipe(p->buffer.start, (size_t)(p->buffer.end - p->buffer.start));
    }
    yaml_parser_delete(p);
}

bool cli_config_read(cli_args *a)
{
    char error[sizeof a->error];
    cli_file f;
    reader r;
    if (a->config_file == NULL) {
        return true;
    }
    if (!cli_file_read(&f, a->config_file, CONFIG_MAX, error, sizeof error)) {
        return cli_usage(a, "%s", error);
    }
    memset(&r, 0, sizeof r);
    r.a = a;
    bool ok = yaml_parser_initialize(&r.yaml) != 0;
    if (ok) {
        yaml_parser_set_input_string(&r.yaml, f.data, f.len);
        ok = stream(&r);
        drop_event(&r);
        parser_wipe(&r.yaml);
    } else {
        (void)cli_usage(a, "out of memory");
    }
    cli_file_free(&f);
    return ok && cli_args_check(a);
}
