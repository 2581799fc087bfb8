/* Indents JSON without changing what it says. */
#include "status_json.h"

static void new_line(FILE *to, unsigned depth)
{
    (void)putc('\n', to);
    for (unsigned i = 0; i < depth; i++) {
        (void)fputs("  ", to);
    }
}

/* One byte of a string, or two of a C1 control; returns how many. */
static size_t string_byte(FILE *to, rmr_bytes json, size_t i)
{
    uint8_t c = json.ptr[i];
    if (c == 0x7f) {
        (void)fputs("\\u007f", to);
        return 1;
    }
    if (c == 0xc2 && i + 1 < json.len && json.ptr[i + 1] < 0xa0) {
        (void)fprintf(to, "\\u%04x", (unsigned)json.ptr[i + 1]);
        return 2;
    }
    (void)putc(c, to);
    return 1;
}

/* Copies the string that begins at i; returns what is behind it. */
static size_t string(FILE *to, rmr_bytes json, size_t i)
{
    bool escaped = false;
    (void)putc(json.ptr[i++], to);
    while (i < json.len) {
        uint8_t c = json.ptr[i];
        i += string_byte(to, json, i);
        if (c == '"' && !escaped) {
            break;
        }
        escaped = c == '\\' && !escaped;
    }
    return i;
}

static bool closes(rmr_bytes json, size_t i)
{
    return i < json.len && (json.ptr[i] == '}' || json.ptr[i] == ']');
}

void cli_json_pretty(FILE *to, rmr_bytes json)
{
    unsigned depth = 0;
    for (size_t i = 0; i < json.len;) {
        uint8_t c = json.ptr[i];
        if (c == '"') {
            i = string(to, json, i);
            continue;
        }
        i++;
        if (c == '{' || c == '[') {
            (void)putc(c, to);
            if (closes(json, i)) {
                (void)putc(json.ptr[i++], to);
            } else {
                new_line(to, ++depth);
            }
        } else if (c == '}' || c == ']') {
            new_line(to, depth > 0 ? --depth : 0);
            (void)putc(c, to);
        } else if (c == ',') {
            (void)putc(c, to);
            new_line(to, depth);
        } else if (c == ':') {
            (void)fputs(": ", to);
        } else if (c > ' ') {
            (void)putc(c, to);
        }
    }
    (void)putc('\n', to);
}
