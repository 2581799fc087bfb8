/* Tokens as one line of text, so that a test can state what it expects:
 * { } [ ] t f n, k:key, s:string, #number. */
#ifndef REMORA_TEST_JSON_LOG_H
#define REMORA_TEST_JSON_LOG_H

#include <remora/json.h>

#include <stdio.h>
#include <string.h>

typedef struct json_log {
    char text[16384];
    size_t len;
    size_t stop_at; /* fail at this token, from 1; 0: never */
    size_t tokens;
} json_log;

static inline void json_log_add(json_log *l, const char *s, size_t n)
{
    if (n < sizeof l->text - l->len) {
        memcpy(l->text + l->len, s, n);
        l->len += n;
        l->text[l->len] = '\0';
    }
}

static inline void json_log_bytes(json_log *l, rmr_bytes b)
{
    for (size_t i = 0; i < b.len; i++) {
        char c = (char)b.ptr[i], hex[5];
        if (b.ptr[i] > 0x20 && b.ptr[i] < 0x7f && c != '\\') {
            json_log_add(l, &c, 1);
        } else {
            (void)snprintf(hex, sizeof hex, "\\x%02x", (unsigned)b.ptr[i]);
            json_log_add(l, hex, 4);
        }
    }
}

static inline void json_log_token(json_log *l, rmr_json_kind kind,
                                  rmr_bytes text)
{
    static const char *const marks[] = {
        "{", "}", "[", "]", "k:", "s:", "#", "t", "f", "n"};
    if (l->len)
        json_log_add(l, " ", 1);
    json_log_add(l, marks[kind], strlen(marks[kind]));
    json_log_bytes(l, text);
}

static inline rmr_err json_log_fn(void *user, rmr_json_kind kind,
                                  rmr_bytes text)
{
    json_log *l = user;
    json_log_token(l, kind, text);
    return ++l->tokens == l->stop_at ? RMR_E_DENIED : RMR_OK;
}

#endif
