/* The JSON reader: RFC 8259 as a state machine over single bytes, with runs of
 * plain bytes taken together.  All that it knows between two bytes is in
 * rmr_json, so where the input was cut makes no difference. */
#include <remora/json.h>

#include "json_internal.h"

#include <string.h>

/* What is expected next, or inside of what the next byte is. */
enum state {
    ST_VALUE,         /* a value                                  */
    ST_FIRST_ELEMENT, /* a value or ]                             */
    ST_NEXT_ELEMENT,  /* a value; with hujson also ]              */
    ST_FIRST_KEY,     /* a key or }                               */
    ST_NEXT_KEY,      /* a key; with hujson also }                */
    ST_COLON,         /* :                                        */
    ST_AFTER_VALUE,   /* a comma or the end of the container      */
    ST_END,           /* white space                              */
    ST_STRING,        /* within a string or key; sub: enum string */
    ST_NUMBER,        /* within a number; sub: enum number        */
    ST_LITERAL        /* within a word; sub: enum literal         */
};

enum string {
    STR_PLAIN,
    STR_ESCAPE,    /* after a backslash                            */
    STR_HEX,       /* within the four digits of \u; pos: how many  */
    STR_LOW_SLASH, /* after a high surrogate: wants a backslash ... */
    STR_LOW_U      /* ... and u                                    */
};

enum number {
    NUM_BEGIN,  /* wants - or a digit       */
    NUM_SIGN,   /* wants a digit            */
    NUM_ZERO,   /* after a leading 0        */
    NUM_INT,    /* within 1...              */
    NUM_POINT,  /* wants a digit            */
    NUM_FRAC,   /* within the fraction      */
    NUM_E,      /* wants a sign or a digit  */
    NUM_E_SIGN, /* wants a digit            */
    NUM_EXP     /* within the exponent      */
};

enum literal { LIT_TRUE, LIT_FALSE, LIT_NULL };

enum comment {
    COM_NONE,
    COM_SLASH, /* after / */
    COM_LINE,
    COM_BLOCK,
    COM_STAR /* after * within a block */
};

void rmr_json_init(rmr_json *j, rmr_buf scratch, rmr_json_token_fn token,
                   void *user)
{
    memset(j, 0, sizeof *j);
    j->token = token;
    j->user = user;
    j->buf = scratch.ptr;
    j->cap = scratch.len;
    j->state = ST_VALUE;
}

void rmr_json_allow_hujson(rmr_json *j)
{
    j->hujson = true;
}

/* ---- scalars ---------------------------------------------------------- */

/* Adds to the scalar that is held. */
static rmr_err keep(rmr_json *j, const uint8_t *p, size_t n)
{
    if (n > j->cap - j->len) {
        j->too_long = true;
        return j->skip_long ? RMR_OK : RMR_E_TOOBIG;
    }
    if (n && !j->too_long) {
        memcpy(j->buf + j->len, p, n);
        j->len += n;
    }
    return RMR_OK;
}

static rmr_err emit(rmr_json *j, rmr_json_kind kind, const uint8_t *p, size_t n)
{
    return j->token(j->user, kind, rmr_bytes_of(p, n));
}

static void after_value(rmr_json *j)
{
    j->state = j->depth ? ST_AFTER_VALUE : ST_END;
}

static void begin_scalar(rmr_json *j, enum state state, uint8_t sub)
{
    j->state = (uint8_t)state;
    j->sub = sub;
    j->pos = 0;
    j->len = 0;
    j->too_long = false;
}

/* A scalar ends with the n bytes at p.  When these are all of it, they are
 * reported where they stand; the bound is the same. */
static rmr_err end_scalar(rmr_json *j, rmr_json_kind kind, const uint8_t *p,
                          size_t n)
{
    rmr_err err;
    if (kind == RMR_JSON_KEY)
        j->state = ST_COLON;
    else
        after_value(j);
    if (j->len == 0 && !j->too_long && n <= j->cap) {
        err = emit(j, kind, p, n);
    } else {
        err = keep(j, p, n);
        if (!err)
            err = emit(j, kind, j->buf, j->too_long ? 0 : j->len);
    }
    j->too_long = false;
    return err;
}

/* ---- strings ---------------------------------------------------------- */

/* Goes on to the first byte that ends a run: a quote, a backslash, or a byte
 * that must not stand there.  Sequences of UTF-8 belong to the run. */
static const uint8_t *skip_run(rmr_json *j, const uint8_t *p,
                               const uint8_t *end)
{
    while (p < end) {
        if (j->utf8_left) {
            if (*p < j->utf8_low || *p > j->utf8_high)
                break;
            j->utf8_left--;
            j->utf8_low = 0x80;
            j->utf8_high = 0xbf;
            p++;
            continue;
        }
        p = rmri_base_skip_plain(p, end);
        if (p == end || *p < 0x80)
            break;
        rmri_base_utf8 u = rmri_base_utf8_lead(*p);
        if (u.left == 0)
            break;
        j->utf8_left = u.left;
        j->utf8_low = u.low;
        j->utf8_high = u.high;
        p++;
    }
    return p;
}

static rmr_err keep_code_point(rmr_json *j, uint32_t c)
{
    uint8_t b[4];
    size_t n;
    if (c < 0x80) {
        b[0] = (uint8_t)c;
        n = 1;
    } else if (c < 0x800) {
        b[0] = (uint8_t)(0xc0 | c >> 6);
        b[1] = (uint8_t)(0x80 | (c & 0x3f));
        n = 2;
    } else if (c < 0x10000) {
        b[0] = (uint8_t)(0xe0 | c >> 12);
        b[1] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
        b[2] = (uint8_t)(0x80 | (c & 0x3f));
        n = 3;
    } else {
        b[0] = (uint8_t)(0xf0 | c >> 18);
        b[1] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
        b[2] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
        b[3] = (uint8_t)(0x80 | (c & 0x3f));
        n = 4;
    }
    return keep(j, b, n);
}

/* After the four digits of \u (RFC 8259 7: pairs above the BMP). */
static rmr_err end_hex(rmr_json *j)
{
    uint32_t c = j->unicode;
    bool is_low = c >= 0xdc00 && c <= 0xdfff;
    if (is_low != (j->high_surrogate != 0))
        return RMR_E_MALFORMED;
    if (c >= 0xd800 && c <= 0xdbff) {
        j->high_surrogate = (uint16_t)c;
        j->sub = STR_LOW_SLASH;
        return RMR_OK;
    }
    if (is_low) {
        c = 0x10000 + ((uint32_t)(j->high_surrogate - 0xd800) << 10) +
            (c - 0xdc00);
        j->high_surrogate = 0;
    }
    j->sub = STR_PLAIN;
    return keep_code_point(j, c);
}

static rmr_err hex_digit(rmr_json *j, uint8_t c)
{
    uint8_t v;
    if (c >= '0' && c <= '9')
        v = (uint8_t)(c - '0');
    else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
        v = (uint8_t)((c | 0x20) - 'a' + 10);
    else
        return RMR_E_MALFORMED;
    j->unicode = (uint16_t)(j->unicode << 4 | v);
    return ++j->pos == 4 ? end_hex(j) : RMR_OK;
}

static void begin_hex(rmr_json *j)
{
    j->sub = STR_HEX;
    j->pos = 0;
    j->unicode = 0;
}

/* The byte after a backslash. */
static rmr_err escape(rmr_json *j, uint8_t c)
{
    static const char names[] = "\"\\/bfnrt";
    static const char values[] = "\"\\/\b\f\n\r\t";
    if (c == 'u') {
        begin_hex(j);
        return RMR_OK;
    }
    for (size_t i = 0; names[i]; i++) {
        if ((uint8_t)names[i] == c) {
            uint8_t v = (uint8_t)values[i];
            j->sub = STR_PLAIN;
            return keep(j, &v, 1);
        }
    }
    return RMR_E_MALFORMED;
}

/* A byte within an escape sequence. */
static rmr_err string_special(rmr_json *j, uint8_t c)
{
    switch (j->sub) {
    case STR_ESCAPE:
        return escape(j, c);
    case STR_HEX:
        return hex_digit(j, c);
    case STR_LOW_SLASH:
        j->sub = STR_LOW_U;
        return c == '\\' ? RMR_OK : RMR_E_MALFORMED;
    default: /* STR_LOW_U */
        begin_hex(j);
        return c == 'u' ? RMR_OK : RMR_E_MALFORMED;
    }
}

static rmr_err in_string(rmr_json *j, const uint8_t **at, const uint8_t *end)
{
    const uint8_t *p = *at;
    while (p < end) {
        rmr_err err;
        if (j->sub != STR_PLAIN) {
            *at = p;
            err = string_special(j, *p++);
            if (err)
                return err;
            continue;
        }
        const uint8_t *run = p;
        p = skip_run(j, p, end);
        *at = p;
        if (p < end && *p == '"' && j->utf8_left == 0) {
            rmr_json_kind kind = j->is_key ? RMR_JSON_KEY : RMR_JSON_STRING;
            err = end_scalar(j, kind, run, (size_t)(p - run));
            if (!err)
                *at = p + 1;
            return err;
        }
        err = keep(j, run, (size_t)(p - run));
        if (err)
            return err;
        if (p == end)
            break;
        if (*p != '\\' || j->utf8_left)
            return RMR_E_MALFORMED;
        j->sub = STR_ESCAPE;
        p++;
    }
    *at = p;
    return RMR_OK;
}

/* ---- numbers and words ------------------------------------------------ */

/* The state after c, or -1 when the number does not go on with c. */
static int number_step(uint8_t sub, uint8_t c)
{
    bool digit = c >= '0' && c <= '9';
    switch (sub) {
    case NUM_BEGIN:
    case NUM_SIGN:
        if (c == '-' && sub == NUM_BEGIN)
            return NUM_SIGN;
        return c == '0' ? NUM_ZERO : digit ? NUM_INT : -1;
    case NUM_ZERO:
    case NUM_INT:
        if (digit && sub == NUM_INT)
            return NUM_INT;
        if (c == '.')
            return NUM_POINT;
        return (c | 0x20) == 'e' ? NUM_E : -1;
    case NUM_POINT:
    case NUM_FRAC:
        if (digit)
            return NUM_FRAC;
        return (c | 0x20) == 'e' && sub == NUM_FRAC ? NUM_E : -1;
    default: /* NUM_E, NUM_E_SIGN, NUM_EXP */
        if ((c == '+' || c == '-') && sub == NUM_E)
            return NUM_E_SIGN;
        return digit ? NUM_EXP : -1;
    }
}

static bool number_may_end(uint8_t sub)
{
    return sub == NUM_ZERO || sub == NUM_INT || sub == NUM_FRAC ||
           sub == NUM_EXP;
}

static rmr_err in_number(rmr_json *j, const uint8_t **at, const uint8_t *end)
{
    const uint8_t *p = *at, *run = p;
    for (; p < end; p++) {
        int next = number_step(j->sub, *p);
        if (next < 0)
            break;
        j->sub = (uint8_t)next;
    }
    *at = p;
    size_t n = (size_t)(p - run);
    if (p == end || !number_may_end(j->sub)) {
        /* Too long comes before malformed, as it does when the bytes come one
         * by one. */
        rmr_err err = keep(j, run, n);
        return err || p == end ? err : RMR_E_MALFORMED;
    }
    return end_scalar(j, RMR_JSON_NUMBER, run, n);
}

static rmr_err in_literal(rmr_json *j, const uint8_t **at, const uint8_t *end)
{
    static const char words[3][6] = {"true", "false", "null"};
    const char *word = words[j->sub];
    for (; *at < end && word[j->pos]; (*at)++, j->pos++) {
        if (**at != (uint8_t)word[j->pos])
            return RMR_E_MALFORMED;
    }
    if (word[j->pos])
        return RMR_OK;
    after_value(j);
    return emit(j, (rmr_json_kind)(RMR_JSON_TRUE + j->sub), NULL, 0);
}

/* ---- structure -------------------------------------------------------- */

static rmr_err open_container(rmr_json *j, bool object)
{
    if (j->depth == RMR_JSON_MAX_DEPTH)
        return RMR_E_TOOBIG;
    j->depth++;
    j->stack = j->stack << 1 | object;
    j->state = object ? ST_FIRST_KEY : ST_FIRST_ELEMENT;
    return emit(j, object ? RMR_JSON_OBJECT : RMR_JSON_ARRAY, NULL, 0);
}

static rmr_err close_container(rmr_json *j)
{
    bool object = j->stack & 1;
    j->depth--;
    j->stack >>= 1;
    after_value(j);
    return emit(j, object ? RMR_JSON_OBJECT_END : RMR_JSON_ARRAY_END, NULL, 0);
}

/* The first byte of a value.  Numbers and words begin with it, so it is left
 * to them: *taken becomes false. */
static rmr_err begin_value(rmr_json *j, uint8_t c, bool *taken)
{
    switch (c) {
    case '{':
        return open_container(j, true);
    case '[':
        return open_container(j, false);
    case '"':
        j->is_key = false;
        begin_scalar(j, ST_STRING, STR_PLAIN);
        return RMR_OK;
    case 't':
        begin_scalar(j, ST_LITERAL, LIT_TRUE);
        break;
    case 'f':
        begin_scalar(j, ST_LITERAL, LIT_FALSE);
        break;
    case 'n':
        begin_scalar(j, ST_LITERAL, LIT_NULL);
        break;
    default:
        if (c != '-' && (c < '0' || c > '9'))
            return RMR_E_MALFORMED;
        begin_scalar(j, ST_NUMBER, NUM_BEGIN);
        break;
    }
    *taken = false;
    return RMR_OK;
}

static rmr_err begin_key(rmr_json *j, uint8_t c)
{
    if (c != '"')
        return RMR_E_MALFORMED;
    j->is_key = true;
    begin_scalar(j, ST_STRING, STR_PLAIN);
    return RMR_OK;
}

/* A byte between scalars that is neither white space nor of a comment. */
static rmr_err structural(rmr_json *j, uint8_t c, bool *taken)
{
    switch (j->state) {
    case ST_FIRST_ELEMENT:
        return c == ']' ? close_container(j) : begin_value(j, c, taken);
    case ST_NEXT_ELEMENT:
        if (c == ']' && j->hujson)
            return close_container(j);
        return begin_value(j, c, taken);
    case ST_VALUE:
        return begin_value(j, c, taken);
    case ST_FIRST_KEY:
        return c == '}' ? close_container(j) : begin_key(j, c);
    case ST_NEXT_KEY:
        if (c == '}' && j->hujson)
            return close_container(j);
        return begin_key(j, c);
    case ST_COLON:
        j->state = ST_VALUE;
        return c == ':' ? RMR_OK : RMR_E_MALFORMED;
    case ST_AFTER_VALUE:
        if (c == ',') {
            j->state = j->stack & 1 ? ST_NEXT_KEY : ST_NEXT_ELEMENT;
            return RMR_OK;
        }
        return c == (j->stack & 1 ? '}' : ']') ? close_container(j)
                                               : RMR_E_MALFORMED;
    default: /* ST_END */
        return RMR_E_MALFORMED;
    }
}

/* The comment state after c, or -1 where c may not stand. */
static int comment_step(uint8_t comment, uint8_t c)
{
    switch (comment) {
    case COM_SLASH:
        return c == '/' ? COM_LINE : c == '*' ? COM_BLOCK : -1;
    case COM_LINE:
        return c == '\n' ? COM_NONE : COM_LINE;
    default: /* COM_BLOCK, COM_STAR */
        if (c == '/' && comment == COM_STAR)
            return COM_NONE;
        return c == '*' ? COM_STAR : COM_BLOCK;
    }
}

static rmr_err in_comment(rmr_json *j, const uint8_t **at, const uint8_t *end)
{
    for (; *at < end && j->comment != COM_NONE; (*at)++) {
        int next = comment_step(j->comment, **at);
        if (next < 0)
            return RMR_E_MALFORMED;
        j->comment = (uint8_t)next;
    }
    return RMR_OK;
}

static rmr_err between(rmr_json *j, const uint8_t **at, const uint8_t *end)
{
    const uint8_t *p = *at;
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
        p++;
    *at = p;
    if (p == end)
        return RMR_OK;
    if (*p == '/' && j->hujson) {
        j->comment = COM_SLASH;
        *at = p + 1;
        return RMR_OK;
    }
    bool taken = true;
    rmr_err err = structural(j, *p, &taken);
    if (!err && taken)
        *at = p + 1;
    return err;
}

static rmr_err feed_some(rmr_json *j, const uint8_t **at, const uint8_t *end)
{
    if (j->comment != COM_NONE)
        return in_comment(j, at, end);
    switch (j->state) {
    case ST_STRING:
        return in_string(j, at, end);
    case ST_NUMBER:
        return in_number(j, at, end);
    case ST_LITERAL:
        return in_literal(j, at, end);
    default:
        return between(j, at, end);
    }
}

rmr_err rmr_json_feed(rmr_json *j, rmr_bytes in)
{
    if (j->failed || in.len == 0)
        return j->failed;
    if (j->ended)
        return RMR_E_STATE;
    const uint8_t *p = in.ptr, *end = in.ptr + in.len;
    while (p < end && !j->failed)
        j->failed = feed_some(j, &p, end);
    j->offset += (uint64_t)(p - in.ptr);
    return j->failed;
}

rmr_err rmr_json_end(rmr_json *j)
{
    if (j->failed || j->ended)
        return j->failed;
    j->ended = true;
    /* Nothing but the end tells that a number alone is over. */
    if (j->state == ST_NUMBER && j->depth == 0 && number_may_end(j->sub))
        j->failed = end_scalar(j, RMR_JSON_NUMBER, NULL, 0);
    bool in_comment = j->comment != COM_NONE && j->comment != COM_LINE;
    if (!j->failed && (j->state != ST_END || in_comment))
        j->failed = RMR_E_MALFORMED;
    return j->failed;
}
