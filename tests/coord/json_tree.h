/* A JSON document as a tree, for tests that compare answers. */
#ifndef REMORA_TESTS_JSON_TREE_H
#define REMORA_TESTS_JSON_TREE_H

#include <remora/json.h>

typedef struct jt_node {
    rmr_json_kind kind; /* OBJECT, ARRAY, STRING, NUMBER, TRUE, FALSE, NULL */
    char *key;          /* as a member; else NULL */
    char *text;         /* of strings and numbers */
    struct jt_node *parent, *first, *last, *next;
} jt_node;

/* NULL: it is no JSON. */
jt_node *jt_read(const char *text, size_t len);
void jt_free(jt_node *n);
const jt_node *jt_member(const jt_node *object, const char *key);
size_t jt_count(const jt_node *n);
const char *jt_text(const jt_node *object, const char *key); /* or "" */
/* Is `is` what `should` says?  Lists of texts: in any order.  Texts in `should`
 * may stand for others: <any>, <text> (not empty), <id>, <bool>, <time>,
 * <time?> (or null), <unset> (null, or the year 1), ~LEN:FRONT (so long, with
 * that in front); times are compared as such.  where: gets what differs. */
int jt_same(const jt_node *should, const jt_node *is, char where[256]);

#endif
