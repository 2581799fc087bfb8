/* Tables for people: aligned columns, cells of several lines. */
#include "coord_out.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <remora/text.h>

#include "print.h"

void cli_table_begin(cli_table *t, const char *const *head)
{
    memset(t, 0, sizeof *t);
    while (head[t->columns] != NULL && t->columns < CLI_TABLE_COLUMNS) {
        t->columns++;
    }
    for (size_t i = 0; i < t->columns; i++) {
        cli_table_str(t, head[i]);
    }
}

/* Takes `text`; NULL: memory ran out. */
static void add(cli_table *t, char *text)
{
    if (text != NULL && t->n == t->cap) {
        size_t cap = t->cap == 0 ? 64 : t->cap * 2;
        char **cells = realloc(t->cells, cap * sizeof *cells);
        if (cells == NULL) {
            free(text);
            text = NULL;
        } else {
            t->cells = cells;
            t->cap = cap;
        }
    }
    if (text == NULL) {
        t->failed = true;
        return;
    }
    t->cells[t->n++] = text;
}

/* Prints into memory; the stream knows its own bounds. */
static char *lines_of(const cli_node *first, rmr_bytes alone)
{
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    if (to == NULL) {
        return NULL;
    }
    cli_print_clean(to, alone);
    for (const cli_node *n = first; n != NULL; n = n->next) {
        cli_print_clean(to, n->text);
        if (n->next != NULL) {
            (void)putc('\n', to);
        }
    }
    bool ok = fclose(to) == 0;
    if (!ok) {
        free(text);
    }
    return ok ? text : NULL;
}

void cli_table_cell(cli_table *t, rmr_bytes text)
{
    add(t, lines_of(NULL, text));
}

void cli_table_str(cli_table *t, const char *text)
{
    cli_table_cell(t, rmr_bytes_str(text));
}

void cli_table_list(cli_table *t, const cli_node *list)
{
    add(t, lines_of(list != NULL ? list->first : NULL, rmr_bytes_of(NULL, 0)));
}

/* ---- times --------------------------------------------------------------- */

/* Years before 1970 come as 0. */
static bool instant(const cli_node *time, uint64_t *unix_ns)
{
    return time != NULL && time->kind == RMR_JSON_STRING &&
           rmr_parse_time(time->text, unix_ns) == RMR_OK && *unix_ns > 0;
}

bool cli_time_is_none(const cli_node *time)
{
    uint64_t when;
    return !instant(time, &when);
}

bool cli_time_is_past(const cli_node *at)
{
    uint64_t when;
    struct timespec now;
    return instant(at, &when) && clock_gettime(CLOCK_REALTIME, &now) == 0 &&
           now.tv_sec >= 0 && when / RMR_SEC <= (uint64_t)now.tv_sec;
}

void cli_table_time(cli_table *t, const cli_node *time, const char *none)
{
    char text[RMR_TIME_TEXT_MAX];
    uint64_t when;
    if (!instant(time, &when)) {
        cli_table_str(t, none);
        return;
    }
    (void)rmr_time_text(when, text);
    text[strcspn(text, ".")] = '\0'; /* seconds are enough for people */
    (void)strcat(text, "Z");
    cli_table_str(t, text);
}

/* ---- out ----------------------------------------------------------------- */

/* Characters of a line, not bytes. */
static size_t width(const char *text, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        n += ((unsigned char)text[i] & 0xc0) != 0x80;
    }
    return n;
}

static void measure(const cli_table *t, size_t widths[CLI_TABLE_COLUMNS])
{
    for (size_t i = 0; i < t->n; i++) {
        const char *line = t->cells[i];
        size_t *widest = &widths[i % t->columns];
        for (;;) {
            size_t len = strcspn(line, "\n");
            size_t w = width(line, len);
            *widest = w > *widest ? w : *widest;
            if (line[len] == '\0') {
                break;
            }
            line += len + 1;
        }
    }
}

/* One line of a row; `rest` goes behind it. */
static void one_line(FILE *to, const char **rest, size_t columns,
                     const size_t *widths)
{
    for (size_t c = 0; c < columns; c++) {
        size_t len = strcspn(rest[c], "\n");
        (void)fprintf(to, "%s%.*s", c > 0 ? " | " : "", (int)len, rest[c]);
        for (size_t w = width(rest[c], len); c + 1 < columns && w < widths[c];
             w++) {
            (void)putc(' ', to);
        }
        rest[c] += len + (rest[c][len] == '\n');
    }
    (void)putc('\n', to);
}

static void row(FILE *to, char *const *cells, size_t columns,
                const size_t *widths)
{
    const char *rest[CLI_TABLE_COLUMNS];
    bool more = true;
    for (size_t c = 0; c < columns; c++) {
        rest[c] = cells[c];
    }
    while (more) {
        one_line(to, rest, columns, widths);
        more = false;
        for (size_t c = 0; c < columns; c++) {
            more = more || rest[c][0] != '\0';
        }
    }
}

bool cli_table_print(FILE *to, cli_table *t)
{
    size_t widths[CLI_TABLE_COLUMNS] = {0};
    bool ok = !t->failed;
    if (ok) {
        measure(t, widths);
    }
    for (size_t i = 0; ok && i + t->columns <= t->n; i += t->columns) {
        row(to, t->cells + i, t->columns, widths);
    }
    for (size_t i = 0; i < t->n; i++) {
        free(t->cells[i]);
    }
    free(t->cells);
    memset(t, 0, sizeof *t);
    return ok;
}
