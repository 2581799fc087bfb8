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
 * What RFC 8259 leaves open: numbers of any size are accepted (their text is
 * reported; rmr_json_int and rmr_json_double refuse what they can't hold),
 * equal keys are all reported, a byte order mark and lone surrogates in \u
 * escapes are errors.
 *
 * Source: RFC 8259; RFC 3629 (UTF-8 is checked).  With `hujson`: //, block
 * comments and trailing commas, as the HuJSON of policy files.
 * Threading: one object, one thread.  Time: none.
 * Memory: none; the scratch is the caller's.
 *
 *     enum { NAME = 1, PEERS, KEY };
 *     static const rmr_json_field peer[] = { { "Key", KEY, NULL, 0 } };
 *     static const rmr_json_field top[] = { { "Name", NAME, NULL, 0 },
 *                                           { "Peers", PEERS, peer, 1 } };
 *     const rmr_json_bind_callbacks cb = { me, on_nest, on_value };
 *     rmr_json_bind_init(&b, scratch, top, 2, &cb);
 *     while (next_piece(&piece))
 *         if (rmr_json_bind_feed(&b, piece)) fail();
 *     if (rmr_json_bind_end(&b)) fail();
 *
 *     rmr_jw_init(&w, out);
 *     rmr_jw_object(&w);
 *     rmr_jw_kstr(&w, "Name", name);
 *     rmr_jw_object_end(&w);
 *     if (rmr_jw_end(&w, &len)) fail();
 */
#ifndef REMORA_JSON_H
#define REMORA_JSON_H

#include <remora/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RMR_JSON_MAX_DEPTH 32 /* of objects and arrays, read or written */

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

/**
 * A reader before its first byte.                                  [submit]
 *
 * \param scratch  Holds one scalar.  Its size bounds strings, keys and numbers.
 *
 * Effects:  on *j.  Errors: none.
 * Lifetime: scratch and user are retained until the end.
 * Source:   RFC 8259 9 (a parser may set limits).
 */
RMR_API void rmr_json_init(rmr_json *j, rmr_buf scratch,
                           rmr_json_token_fn token, void *user);
/** Comments and trailing commas are allowed from here on.           [submit]
 *  Effects: on *j.  Errors: none.  Source: HuJSON. */
RMR_API void rmr_json_allow_hujson(rmr_json *j);
/**
 * Feeds the next bytes; any split gives the same tokens.             [pump]
 *
 * Effects: calls `token`, which may not feed this reader.
 * Errors:  MALFORMED; TOOBIG (a scalar above the scratch, or nested above
 *          RMR_JSON_MAX_DEPTH); what `token` returned; all sticky.  STATE
 *          after the end.
 * Source:  RFC 8259 2 to 8; RFC 3629 4.
 */
RMR_API rmr_err rmr_json_feed(rmr_json *j, rmr_bytes in);
/** The document is over.                                              [pump]
 *  Effects: calls `token` for a number that stood alone.
 *  Errors: as rmr_json_feed; MALFORMED when it is incomplete.
 *  Source: RFC 8259 2. */
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
    bool (*may_drop)(void *user, uint32_t id);
    uint32_t depth;
    uint32_t skip_depth; /* open containers that nobody wants */
} rmr_json_bind;

/** A reader by table, before its first byte.                        [submit]
 *  Effects: on *b.  Errors: none.
 *  Lifetime: scratch, fields and cb->user are retained until the end; *cb is
 *  copied.  Either callback may be NULL.
 *  Source: RFC 8259 4, 5. */
RMR_API void rmr_json_bind_init(rmr_json_bind *b, rmr_buf scratch,
                                const rmr_json_field *fields,
                                uint32_t n_fields,
                                const rmr_json_bind_callbacks *cb);
/** Asks `may_drop` when a wanted scalar does not fit the scratch: true leaves
 *  it out, as if it were not there (a key with all that belongs to it), instead
 *  of ending the reader.                                            [submit]
 *  Effects: on *b.  Errors: none.  Source: RFC 8259 9. */
RMR_API void rmr_json_bind_may_drop(rmr_json_bind *b,
                                    bool (*may_drop)(void *user, uint32_t id));
/** As rmr_json_feed.  What is not wanted may be of any length, but is [pump]
 *  checked all the same.  A value of another shape than its field is for (an
 *  object where a string was meant) is reported as it is.
 *  Effects: calls `nest` and `value`, which may not feed this reader.
 *  Errors: as rmr_json_feed; what the callbacks returned.
 *  Source: RFC 8259. */
RMR_API rmr_err rmr_json_bind_feed(rmr_json_bind *b, rmr_bytes in);
/** As rmr_json_end.                                                   [pump]
 *  Effects: calls `value` for a number that stood alone.
 *  Errors: as rmr_json_end.  Source: RFC 8259 2. */
RMR_API rmr_err rmr_json_bind_end(rmr_json_bind *b);

/* Helpers for callbacks. */
/** An integer literal within int64.                                   [look]
 *  Effects: on *out.  Errors: MALFORMED for another kind, for a fraction or an
 *  exponent, and beyond int64; *out is untouched then.
 *  Source: RFC 8259 6. */
RMR_API rmr_err rmr_json_int(rmr_json_kind kind, rmr_bytes text, int64_t *out);
/** A number as the nearest double, whatever the locale.               [look]
 *  Effects: on *out.  Errors: MALFORMED for another kind and for what would be
 *  infinite; *out is untouched then.
 *  Source: IEEE 754 5.12.2 (ties to even). */
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

/* A writer that is out of room or misused (a value without its key, an end that
 * was never begun, nested too deep) writes nothing more; rmr_jw_end tells.  So
 * "Errors: sticky" below. */

/** A writer into a borrowed buffer, before its one value.
 *  Effects: on *w.  Errors: none.  Source: contract M1. */
RMR_API void rmr_jw_init(rmr_jw *w, rmr_buf out);
/** {
 *  Effects: appends.  Errors: sticky.  Source: RFC 8259 4. */
RMR_API void rmr_jw_object(rmr_jw *w);
/** }
 *  Effects: appends.  Errors: sticky.  Source: RFC 8259 4. */
RMR_API void rmr_jw_object_end(rmr_jw *w);
/** [
 *  Effects: appends.  Errors: sticky.  Source: RFC 8259 5. */
RMR_API void rmr_jw_array(rmr_jw *w);
/** ]
 *  Effects: appends.  Errors: sticky.  Source: RFC 8259 5. */
RMR_API void rmr_jw_array_end(rmr_jw *w);
/** A key; its value follows.  Written as rmr_jw_bytes writes.
 *  Effects: appends.  Errors: sticky.  Source: RFC 8259 4. */
RMR_API void rmr_jw_key(rmr_jw *w, const char *key);
/** The same for a key that has no NUL at its end.
 *  Effects: appends.  Errors: sticky.  Source: RFC 8259 4. */
RMR_API void rmr_jw_key_bytes(rmr_jw *w, rmr_bytes key);
/** A string; NULL is "".  Written as rmr_jw_bytes writes.
 *  Effects: appends.  Errors: sticky.  Source: RFC 8259 7. */
RMR_API void rmr_jw_str(rmr_jw *w, const char *s);
/** A string.  Bytes that are not UTF-8 are written as U+FFFD.
 *  Effects: appends.  Errors: sticky.  Source: RFC 8259 7, 8.1. */
RMR_API void rmr_jw_bytes(rmr_jw *w, rmr_bytes s);
/** An integer.
 *  Effects: appends.  Errors: sticky.  Source: RFC 8259 6. */
RMR_API void rmr_jw_int(rmr_jw *w, int64_t v);
/** An integer.  Above 2^53 some readers lose digits.
 *  Effects: appends.  Errors: sticky.  Source: RFC 8259 6. */
RMR_API void rmr_jw_u64(rmr_jw *w, uint64_t v);
/** A number in %.15g if that reads back as v, else in %.17g.  Infinity and
 *  NaN are misuse.
 *  Effects: appends.  Errors: sticky.  Source: RFC 8259 6. */
RMR_API void rmr_jw_double(rmr_jw *w, double v);
/** true or false.
 *  Effects: appends.  Errors: sticky.  Source: RFC 8259 3. */
RMR_API void rmr_jw_bool(rmr_jw *w, bool v);
/** null.
 *  Effects: appends.  Errors: sticky.  Source: RFC 8259 3. */
RMR_API void rmr_jw_null(rmr_jw *w);
/** A finished JSON value, as it is and unchecked.
 *  Effects: appends.  Errors: sticky.  Source: RFC 8259 3. */
RMR_API void rmr_jw_raw(rmr_jw *w, rmr_bytes json);
/** A key and a string.
 *  Effects: appends.  Errors: sticky.  Source: RFC 8259 4. */
RMR_API void rmr_jw_kstr(rmr_jw *w, const char *key, const char *s);
/** A key and an integer.
 *  Effects: appends.  Errors: sticky.  Source: RFC 8259 4. */
RMR_API void rmr_jw_kint(rmr_jw *w, const char *key, int64_t v);
/** A key and an integer.
 *  Effects: appends.  Errors: sticky.  Source: RFC 8259 4. */
RMR_API void rmr_jw_ku64(rmr_jw *w, const char *key, uint64_t v);
/** A key and true or false.
 *  Effects: appends.  Errors: sticky.  Source: RFC 8259 4. */
RMR_API void rmr_jw_kbool(rmr_jw *w, const char *key, bool v);
/** What was written so far, as a part of the document; what follows begins the
 *  buffer anew, so that a document of any size passes through a small one.
 *  Effects: on *w.  Errors: none.  Lifetime: until the next call for *w.
 *  Source: contract M1. */
RMR_API rmr_bytes rmr_jw_take(rmr_jw *w);
/** The document is over; it is the first *len bytes of the buffer
 *  (behind rmr_jw_take: what came since).
 *  Effects: on *len.
 *  Errors: BUFSIZE (out of room), STATE (misuse, not closed, or no value at
 *  all); *len is untouched then.
 *  Source: RFC 8259 2. */
RMR_API rmr_err rmr_jw_end(rmr_jw *w, size_t *len);

#ifdef __cplusplus
}
#endif
#endif
