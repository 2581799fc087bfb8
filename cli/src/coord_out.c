/* Trees as JSON and as YAML. */
#include "coord_out.h"

#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include <remora/text.h>

#include "print.h"

/* What Headscale's command prints where there is no user or no pre-auth key;
 * scripts look into them without asking. */
#define NO_USER                                                                \
    "{\"createdAt\":\"0001-01-01T00:00:00Z\",\"displayName\":\"\","            \
    "\"email\":\"\",\"id\":\"\",\"name\":\"\",\"profilePicUrl\":\"\","         \
    "\"provider\":\"\",\"providerId\":\"\"}"
#define NO_KEY                                                                 \
    "{\"aclTags\":null,\"createdAt\":null,\"ephemeral\":false,"                \
    "\"expiration\":null,\"id\":\"\",\"key\":\"\",\"reusable\":false,"         \
    "\"used\":false,\"user\":" NO_USER "}"

typedef struct printer {
    FILE *to;
    bool lines; /* indented, a line for each value */
    unsigned depth;
    cli_tree no_user, no_key;
    yaml_emitter_t yaml;
    bool failed;
} printer;

bool cli_form_parse(cli_form *form, const char *text)
{
    static const char *const names[] = {"table", "json", "json-line", "yaml"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i], text) == 0) {
            *form = (cli_form)i;
            return true;
        }
    }
    return false;
}

static const cli_node *shown(const printer *p, const cli_node *n)
{
    if (n->kind == RMR_JSON_NULL && rmr_bytes_eq_str(n->key, "user")) {
        return p->no_user.root;
    }
    if (n->kind == RMR_JSON_NULL && rmr_bytes_eq_str(n->key, "preAuthKey")) {
        return p->no_key.root;
    }
    return n;
}

/* ---- characters ---------------------------------------------------------- */

/* The next character of UTF-8, which the reader has checked. */
static uint32_t next_char(rmr_bytes text, size_t *i)
{
    uint32_t c = text.ptr[(*i)++];
    uint32_t more = c < 0xc0 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
    if (more > 0) {
        c &= 0x3fU >> more;
    }
    for (; more > 0 && *i < text.len; more--) {
        c = c << 6 | (text.ptr[(*i)++] & 0x3fU);
    }
    return c;
}

/* ---- JSON ---------------------------------------------------------------- */

static void json_escape(FILE *to, uint32_t c)
{
    static const char special[] = "\b\f\n\r\t";
    static const char letters[] = "bfnrt";
    const char *s = c < 0x20 ? strchr(special, (int)c) : NULL;
    if (c != 0 && s != NULL) {
        (void)fprintf(to, "\\%c", letters[s - special]);
    } else {
        (void)fprintf(to, "\\u%04x", (unsigned)c);
    }
}

/* Go escapes <, > and & too. */
static void json_string(FILE *to, rmr_bytes text)
{
    (void)putc('"', to);
    for (size_t i = 0; i < text.len;) {
        size_t from = i;
        uint32_t c = next_char(text, &i);
        if (c == '"' || c == '\\') {
            (void)fprintf(to, "\\%c", (int)c);
        } else if (cli_is_harmful(c) || c == '<' || c == '>' || c == '&') {
            json_escape(to, c);
        } else {
            (void)fwrite(text.ptr + from, 1, i - from, to);
        }
    }
    (void)putc('"', to);
}

static void new_line(printer *p)
{
    if (!p->lines) {
        return;
    }
    (void)putc('\n', p->to);
    for (unsigned i = 0; i < p->depth; i++) {
        (void)putc('\t', p->to);
    }
}

static void json_value(printer *p, const cli_node *n);

static void json_members(printer *p, const cli_node *n, const char *ends)
{
    (void)putc(ends[0], p->to);
    p->depth++;
    for (const cli_node *m = n->first; m != NULL; m = m->next) {
        new_line(p);
        if (n->kind == RMR_JSON_OBJECT) {
            json_string(p->to, m->key);
            (void)fputs(p->lines ? ": " : ":", p->to);
        }
        json_value(p, shown(p, m));
        if (m->next != NULL) {
            (void)putc(',', p->to);
        }
    }
    p->depth--;
    if (n->first != NULL) {
        new_line(p);
    }
    (void)putc(ends[1], p->to);
}

static void json_value(printer *p, const cli_node *n)
{
    switch (n->kind) {
    case RMR_JSON_OBJECT:
        json_members(p, n, "{}");
        break;
    case RMR_JSON_ARRAY:
        json_members(p, n, "[]");
        break;
    case RMR_JSON_STRING:
        json_string(p->to, n->text);
        break;
    case RMR_JSON_NUMBER:
        (void)fwrite(n->text.ptr, 1, n->text.len, p->to);
        break;
    default:
        (void)fputs(n->kind == RMR_JSON_TRUE    ? "true"
                    : n->kind == RMR_JSON_FALSE ? "false"
                                                : "null",
                    p->to);
        break;
    }
}

/* ---- YAML ---------------------------------------------------------------- */

static void emit(printer *p, yaml_event_t *ev, int made)
{
    p->failed = p->failed || made == 0 || yaml_emitter_emit(&p->yaml, ev) == 0;
}

static void yaml_scalar(printer *p, rmr_bytes text, yaml_scalar_style_t style)
{
    yaml_event_t ev;
    const yaml_char_t *value =
        text.len > 0 ? text.ptr : (const yaml_char_t *)"";
    bool plain = style == YAML_PLAIN_SCALAR_STYLE;
    emit(p, &ev,
         yaml_scalar_event_initialize(&ev, NULL, NULL, value, (int)text.len,
                                      plain, 1, style));
}

/* At least `from`, and harmful. */
static bool has_harmful(rmr_bytes text, uint32_t from)
{
    for (size_t i = 0; i < text.len;) {
        uint32_t c = next_char(text, &i);
        if (c >= from && cli_is_harmful(c)) {
            return true;
        }
    }
    return false;
}

/* Would a reader take it for a text, and for this one? */
static bool is_plain_text(rmr_bytes text)
{
    static const char *const words[] = {"true", "false", "yes", "no", "on",
                                        "off",  "null",  "y",   "n"};
    uint64_t when;
    if (rmr_parse_time(text, &when) == RMR_OK) {
        return true; /* Headscale's are instants, without quotes */
    }
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (rmr_bytes_eq_nocase(text, rmr_bytes_str(words[i]))) {
            return false;
        }
    }
    return text.len > 0 && !has_harmful(text, 0) &&
           ((text.ptr[0] >= 'a' && text.ptr[0] <= 'z') ||
            (text.ptr[0] >= 'A' && text.ptr[0] <= 'Z'));
}

static void yaml_text(printer *p, rmr_bytes text)
{
    yaml_scalar(p, text,
                is_plain_text(text) ? YAML_PLAIN_SCALAR_STYLE
                                    : YAML_DOUBLE_QUOTED_SCALAR_STYLE);
}

static void yaml_key(printer *p, rmr_bytes key)
{
    uint8_t small[128];
    size_t n = key.len < sizeof small ? key.len : sizeof small;
    for (size_t i = 0; i < n; i++) {
        uint8_t c = key.ptr[i];
        small[i] = c >= 'A' && c <= 'Z' ? (uint8_t)(c - 'A' + 'a') : c;
    }
    yaml_text(p, rmr_bytes_of(small, n));
}

static void yaml_value(printer *p, const cli_node *n);

static void yaml_members(printer *p, const cli_node *n)
{
    yaml_event_t ev;
    bool is_map = n->kind == RMR_JSON_OBJECT;
    emit(p, &ev,
         is_map ? yaml_mapping_start_event_initialize(&ev, NULL, NULL, 1,
                                                      YAML_BLOCK_MAPPING_STYLE)
                : yaml_sequence_start_event_initialize(
                      &ev, NULL, NULL, 1, YAML_BLOCK_SEQUENCE_STYLE));
    for (const cli_node *m = n->first; m != NULL && !p->failed; m = m->next) {
        if (is_map) {
            yaml_key(p, m->key);
        }
        yaml_value(p, shown(p, m));
    }
    emit(p, &ev,
         is_map ? yaml_mapping_end_event_initialize(&ev)
                : yaml_sequence_end_event_initialize(&ev));
}

static void yaml_value(printer *p, const cli_node *n)
{
    if (n->kind == RMR_JSON_OBJECT || n->kind == RMR_JSON_ARRAY) {
        yaml_members(p, n);
    } else if (n->kind == RMR_JSON_STRING) {
        yaml_text(p, n->text);
    } else if (n->kind == RMR_JSON_NUMBER) {
        yaml_scalar(p, n->text, YAML_PLAIN_SCALAR_STYLE);
    } else {
        yaml_scalar(p,
                    rmr_bytes_str(n->kind == RMR_JSON_TRUE    ? "true"
                                  : n->kind == RMR_JSON_FALSE ? "false"
                                                              : "null"),
                    YAML_PLAIN_SCALAR_STYLE);
    }
}

/* In any text of it, beyond ASCII; below, the emitter escapes it anyway. */
static bool any_harmful(const cli_node *n)
{
    if (has_harmful(n->text, 0x80) || has_harmful(n->key, 0x80)) {
        return true;
    }
    for (const cli_node *m = n->first; m != NULL; m = m->next) {
        if (any_harmful(m)) {
            return true;
        }
    }
    return false;
}

static void yaml_document(printer *p, const cli_node *n)
{
    yaml_event_t ev;
    if (yaml_emitter_initialize(&p->yaml) == 0) {
        p->failed = true;
        return;
    }
    yaml_emitter_set_output_file(&p->yaml, p->to);
    /* Else all beyond ASCII is escaped, C1 and what turns lines with it. */
    yaml_emitter_set_unicode(&p->yaml, !any_harmful(n));
    yaml_emitter_set_width(&p->yaml, -1);
    emit(p, &ev, yaml_stream_start_event_initialize(&ev, YAML_UTF8_ENCODING));
    emit(p, &ev,
         yaml_document_start_event_initialize(&ev, NULL, NULL, NULL, 1));
    yaml_value(p, n);
    emit(p, &ev, yaml_document_end_event_initialize(&ev, 1));
    emit(p, &ev, yaml_stream_end_event_initialize(&ev));
    yaml_emitter_delete(&p->yaml);
}

bool cli_node_print(FILE *to, const cli_node *n, cli_form form)
{
    printer p;
    memset(&p, 0, sizeof p);
    p.to = to;
    p.lines = form == CLI_FORM_JSON;
    p.failed = !cli_tree_read(&p.no_user, rmr_bytes_str(NO_USER));
    if (!p.failed && !cli_tree_read(&p.no_key, rmr_bytes_str(NO_KEY))) {
        p.failed = true;
    }
    if (!p.failed && form == CLI_FORM_YAML) {
        yaml_document(&p, n);
    } else if (!p.failed) {
        json_value(&p, n);
        (void)putc('\n', to);
    }
    cli_tree_free(&p.no_user);
    cli_tree_free(&p.no_key);
    return !p.failed;
}
