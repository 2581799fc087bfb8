/* JSON vector files for tests, over jansson. */
#ifndef REMORA_TEST_VECTORS_H
#define REMORA_TEST_VECTORS_H

#include <stddef.h>
#include <stdint.h>

typedef struct tv tv; /* a borrowed JSON value */

/* Loads tests/vectors/<name>; aborts with a message when it can't. */
tv *tv_load(const char *name);
void tv_free(tv *root);
/* The bytes of tests/vectors/<name> with a NUL behind, for free().  Aborts with
 * a message when they can't be read. */
char *tv_bytes(const char *name, size_t *len);
char *tv_text(const char *name);
/* Look-ups abort when the thing is missing, so a vector can't be skipped. */
tv *tv_get(tv *v, const char *key);
tv *tv_opt(tv *v, const char *key); /* NULL when absent or null */
size_t tv_len(tv *v);               /* of an array */
tv *tv_at(tv *v, size_t i);
const char *tv_str(tv *v);
const char *tv_get_str(tv *v, const char *key);
int64_t tv_int(tv *v);
int64_t tv_get_int(tv *v, const char *key);
double tv_num(tv *v);
int tv_bool(tv *v);
int tv_is_str(tv *v);
int tv_is_int(tv *v);
/* Decimal string or integer to u64. */
uint64_t tv_u64(tv *v);
/* Hex string to bytes; returns the length. */
size_t tv_hex(tv *v, uint8_t *dst, size_t cap);
size_t tv_get_hex(tv *v, const char *key, uint8_t *dst, size_t cap);
/* Members of an object in file order: key of index i, or NULL at the end. */
const char *tv_key_at(tv *v, size_t i, tv **value);

#endif
