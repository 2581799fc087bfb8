/*
 * What the coordination server answered, as a tree, and its forms on stdout:
 * a table for people, JSON and YAML as Headscale's command prints them.
 */
#ifndef CLI_COORD_OUT_H
#define CLI_COORD_OUT_H

#include <stdio.h>

#include <remora/base.h>
#include <remora/json.h>

typedef enum cli_form {
    CLI_FORM_TABLE,
    CLI_FORM_JSON,
    CLI_FORM_JSON_LINE,
    CLI_FORM_YAML
} cli_form;

/** "table", "json", "json-line", "yaml".  False: it is none of them. */
bool cli_form_parse(cli_form *form, const char *text);

/* ---- trees --------------------------------------------------------------- */

typedef struct cli_node {
    rmr_json_kind kind; /* OBJECT, ARRAY, STRING, NUMBER, TRUE, FALSE, NULL */
    rmr_bytes key;      /* of a member                                      */
    rmr_bytes text;     /* of strings and numbers                           */
    struct cli_node *first, *next; /* members are ordered by their keys     */
} cli_node;

typedef struct cli_tree {
    cli_node *root; /* NULL: nothing was read */
    struct cli_tree_block *blocks;
} cli_tree;

/** Reads JSON; the tree has its own copy.  False: it is none, or memory ran
 *  out; then there is nothing to free. */
bool cli_tree_read(cli_tree *t, rmr_bytes json);
/** Wipes (it may hold a key) and frees. */
void cli_tree_free(cli_tree *t);

/** The member of an object, or NULL; NULL has none. */
const cli_node *cli_node_get(const cli_node *object, const char *key);
/** The text of a member that is a text, else nothing. */
rmr_bytes cli_node_text(const cli_node *object, const char *key);
bool cli_node_is_true(const cli_node *object, const char *key);

/** In a form that is not the table, and a newline; false: no memory.  Where a
 *  user or a pre-auth key is missing, an empty one is printed. */
bool cli_node_print(FILE *to, const cli_node *n, cli_form form);

/* ---- tables -------------------------------------------------------------- */

#define CLI_TABLE_COLUMNS 16

/* Cells are filled in their order.  Memory that ran out shows at the end. */
typedef struct cli_table {
    size_t columns;
    char **cells;
    size_t n, cap;
    bool failed;
} cli_table;

/** \param head  The titles, with NULL behind the last. */
void cli_table_begin(cli_table *t, const char *const *head);
/** One more cell; what would steer a terminal becomes '?'. */
void cli_table_cell(cli_table *t, rmr_bytes text);
void cli_table_str(cli_table *t, const char *text);
/** A cell with a line for each text in the list. */
void cli_table_list(cli_table *t, const cli_node *list);
/** An instant, to the second; `none` where it is null or the year 1. */
void cli_table_time(cli_table *t, const cli_node *time, const char *none);
/** Aligned; frees it.  False: memory ran out. */
bool cli_table_print(FILE *to, cli_table *t);

/** Is that instant there, and not after now? */
bool cli_time_is_past(const cli_node *time);
/** Is it null, or the year 1, as Go says "none"? */
bool cli_time_is_none(const cli_node *time);

#endif
