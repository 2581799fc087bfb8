/*
 * remora/json.h - JSON in and out, bounded and without allocation.
 *
 * The reader takes a document in pieces of any size, as it arrives, and tells
 * what it holds by callbacks: a document of a million peers needs no more
 * memory than one of two.  Only one scalar (a string, a number or a key) is
 * held at a time, in a buffer that the caller gives; a longer string is an
 * error, or is skipped where nobody wants it.
 *
 * Two forms:
 *  - rmr_json: every token (rmr_json_feed).
 *  - rmr_json_bind: a table of wanted fields; only these are reported, by
 *    number, and everything else is checked and skipped.
 *
 * The writer fills a caller's buffer and places commas by itself.
 *
 * Source: RFC 8259; UTF-8 is checked (RFC 3629), lone surrogates in \u escapes
 * are errors.  With `hujson`: // and block comments and trailing commas.
 * Threading: one object, one thread.  Time: none.
 *
 *     static const rmr_json_field f[] = {
 *         { "Name", 1, NULL, 0 }, { "Addresses", 2, NULL, 0 } };
 *     rmr_json_bind_init(&b, scratch, f, 2, &cb);
 *     while (more) if (rmr_json_bind_feed(&b, piece)) fail();
 *     rmr_json_bind_end(&b);
 */
#ifndef REMORA_JSON_H
#define REMORA_JSON_H

#include <remora/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RMR_JSON_MAX_DEPTH 32

typedef enum rmr_json_kind {
    RMR_JSON_OBJECT, /* begins; members follow         */
    RMR_JSON_OBJECT_END,
    RMR_JSON_ARRAY,
    RMR_JSON_ARRAY_END,
    RMR_JSON_KEY,    /* text: the key, unescaped       */
    RMR_JSON_STRING, /* text: the value, unescaped     */
    RMR_JSON_NUMBER, /* text: the literal as it stands */
    RMR_JSON_TRUE,
    RMR_JSON_FALSE,
    RMR_JSON_NULL
} rmr_json_kind;

/** One token; `text` is borrowed for the call.  A result other than RMR_OK
 *  stops the reader, and feed returns it. */
typedef rmr_err (*rmr_json_token_fn)(void *user, rmr_json_kind kind,
                                     rmr_bytes text);

typedef struct rmr_json { /* caller-owned; fields are the reader's */
    rmr_json_token_fn token;
    void *user;
    uint8_t *buf; /* holds one scalar */
    size_t cap, len;
    uint64_t offset; /* of the next byte, or of the one that was refused */
    uint32_t stack;  /* a bit a level: 1 object, 0 array; the lowest is inner */
    uint16_t unicode, high_surrogate;
    uint8_t depth, state, sub, pos, comment;
    uint8_t utf8_left, utf8_low, utf8_high;
    bool hujson, is_key, ended;
    bool skip_long; /* a scalar above cap is reported empty, with too_long */
    bool too_long;
    rmr_err failed;
} rmr_json;

/** \param scratch  Holds one scalar; retained until the end.  Its size bounds
 *                  strings, keys and numbers.
 *  Errors: none. */
RMR_API void rmr_json_init(rmr_json *j, rmr_buf scratch,
                           rmr_json_token_fn token, void *user);
/** Comments and trailing commas are allowed from here on. */
RMR_API void rmr_json_allow_hujson(rmr_json *j);
/** Feeds the next bytes; any split gives the same tokens.
 *  Errors: RMR_E_MALFORMED, RMR_E_TOOBIG (a scalar above the scratch, or
 *  nested above RMR_JSON_MAX_DEPTH), or what `token` returned; all sticky. */
RMR_API rmr_err rmr_json_feed(rmr_json *j, rmr_bytes in);
/** The document is over.  Errors: RMR_E_MALFORMED when it is incomplete. */
RMR_API rmr_err rmr_json_end(rmr_json *j);

/* ---- fields by table -------------------------------------------------- */

/* One wanted member of an object.  `fields` describes the member's own object,
 * or the objects in its array; NULL for scalars and arrays of scalars.  With
 * key "*" it matches every member that no other entry names (for maps keyed by
 * IDs): its key is then reported as a value of kind RMR_JSON_KEY first. */
typedef struct rmr_json_field {
    const char *key;
    uint32_t id; /* the caller's, not 0 */
    const struct rmr_json_field *fields;
    uint32_t n_fields;
} rmr_json_field;

typedef struct rmr_json_bind_callbacks {
    void *user;
    /* An object or array of field `id` begins (kind OBJECT or ARRAY) or ends;
     * for an array of objects: ARRAY, OBJECT, OBJECT_END, ..., ARRAY_END.
     * The root object has id 0. */
    rmr_err (*nest)(void *user, uint32_t id, rmr_json_kind kind);
    /* A scalar of field `id`: STRING, NUMBER, TRUE, FALSE, NULL or KEY. */
    rmr_err (*value)(void *user, uint32_t id, rmr_json_kind kind,
                     rmr_bytes text);
} rmr_json_bind_callbacks;

typedef struct rmr_json_bind {
    rmr_json json;
    rmr_json_bind_callbacks cb;
    struct { /* 0: around the root; then one for each open container */
        const rmr_json_field *fields;
        uint32_t n_fields;
        uint32_t id;
        uint32_t hint; /* the field after the last one that was found */
        bool is_object;
    } level[RMR_JSON_MAX_DEPTH + 1];
    const rmr_json_field *member; /* of the pending key, NULL: unwanted */
    uint32_t depth;
    uint32_t skip_depth; /* open containers that nobody wants */
} rmr_json_bind;

RMR_API void rmr_json_bind_init(rmr_json_bind *b, rmr_buf scratch,
                                const rmr_json_field *fields,
                                uint32_t n_fields,
                                const rmr_json_bind_callbacks *cb);
/** As rmr_json_feed.  Scalars that are not wanted may be of any length. */
RMR_API rmr_err rmr_json_bind_feed(rmr_json_bind *b, rmr_bytes in);
RMR_API rmr_err rmr_json_bind_end(rmr_json_bind *b);

/* Helpers for callbacks. */
/** An integer literal within int64.  Errors: RMR_E_MALFORMED. */
RMR_API rmr_err rmr_json_int(rmr_json_kind kind, rmr_bytes text, int64_t *out);
/** A number as double, locale-free.  Errors: RMR_E_MALFORMED. */
RMR_API rmr_err rmr_json_double(rmr_json_kind kind, rmr_bytes text,
                                double *out);

/* ---- writer ----------------------------------------------------------- */

typedef struct rmr_jw {
    uint8_t *base;
    size_t cap, len;
    bool failed; /* sticky: out of room, or misuse */
    bool misused;
    uint8_t depth;
    bool need_comma, has_key, is_done;
    uint32_t stack; /* a bit a level: 1 object, 0 array; the lowest is inner */
} rmr_jw;

RMR_API void rmr_jw_init(rmr_jw *w, rmr_buf out);
RMR_API void rmr_jw_object(rmr_jw *w); /* { */
RMR_API void rmr_jw_object_end(rmr_jw *w);
RMR_API void rmr_jw_array(rmr_jw *w);
RMR_API void rmr_jw_array_end(rmr_jw *w);
RMR_API void rmr_jw_key(rmr_jw *w, const char *key);
RMR_API void rmr_jw_key_bytes(rmr_jw *w, rmr_bytes key);
RMR_API void rmr_jw_str(rmr_jw *w, const char *s);
/** Bytes that are not UTF-8 are written as U+FFFD. */
RMR_API void rmr_jw_bytes(rmr_jw *w, rmr_bytes s);
RMR_API void rmr_jw_int(rmr_jw *w, int64_t v);
RMR_API void rmr_jw_u64(rmr_jw *w, uint64_t v);
RMR_API void rmr_jw_double(rmr_jw *w, double v); /* shortest of %.15g, %.17g */
RMR_API void rmr_jw_bool(rmr_jw *w, bool v);
RMR_API void rmr_jw_null(rmr_jw *w);
/** A finished JSON value, as it is. */
RMR_API void rmr_jw_raw(rmr_jw *w, rmr_bytes json);
/** key and value in one */
RMR_API void rmr_jw_kstr(rmr_jw *w, const char *key, const char *s);
RMR_API void rmr_jw_kint(rmr_jw *w, const char *key, int64_t v);
RMR_API void rmr_jw_ku64(rmr_jw *w, const char *key, uint64_t v);
RMR_API void rmr_jw_kbool(rmr_jw *w, const char *key, bool v);
/** Errors: RMR_E_BUFSIZE (out of room), RMR_E_STATE (not closed). */
RMR_API rmr_err rmr_jw_end(rmr_jw *w, size_t *len);

#ifdef __cplusplus
}
#endif
#endif
