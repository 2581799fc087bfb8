/* The server's side of SOCKS5: greeting, password, request, reply. */
#include <remora/socks5.h>

#include <remora/cursor.h>

#include <string.h>

enum { STEP_GREETING, STEP_PASSWORD, STEP_REQUEST };

enum {
    VERSION = 5,
    PASSWORD_VERSION = 1, /* RFC 1929 2 */
    METHOD_NONE = 0x00,
    METHOD_PASSWORD = 0x02,
    METHOD_NO_ACCEPTABLE = 0xff,
    COMMAND_CONNECT = 1,
    TYPE_V4 = 1,
    TYPE_NAME = 3,
    TYPE_V6 = 4
};

rmr_err rmr_socks5_init(rmr_socks5 *s, const char *user, const char *password)
{
    memset(s, 0, sizeof *s);
    s->state = RMR_SOCKS5_READING;
    s->step = STEP_GREETING;
    if (!user && !password)
        return RMR_OK;
    if (!user || !password)
        return RMR_E_INVAL;
    size_t n = strlen(user), m = strlen(password);
    if (n == 0 || n > 255 || m == 0 || m > 255)
        return RMR_E_INVAL;
    s->user = user;
    s->password = password;
    return RMR_OK;
}

void rmr_socks5_wipe(rmr_socks5 *s)
{
    rmr_wipe(s, sizeof *s);
    s->state = RMR_SOCKS5_FAILED;
}

static void put(rmr_socks5 *s, const void *src, size_t n)
{
    /* Three answers of 2, 2 and 22 bytes are all that one connection gets. */
    if (n > sizeof s->out - s->out_len)
        return;
    memcpy(s->out + s->out_len, src, n);
    s->out_len = (uint16_t)(s->out_len + n);
}

static void put2(rmr_socks5 *s, uint8_t a, uint8_t b)
{
    uint8_t two[2] = {a, b};
    put(s, two, sizeof two);
}

static rmr_err fail(rmr_socks5 *s, rmr_err e)
{
    s->state = RMR_SOCKS5_FAILED;
    /* A refused client may have sent a password. */
    rmr_wipe(s->in, sizeof s->in);
    s->in_len = 0;
    return e;
}

/* ---- how long is the message that begins in s->in? --------------------- */

/* Each answers the bytes needed as far as is known yet; the message is whole
 * when in_len has reached it.  A step never goes beyond a byte that may end the
 * connection, so that any split takes as many bytes as another. */

static size_t greeting_len(const rmr_socks5 *s)
{
    return s->in_len < 2 ? 1 + (size_t)s->in_len : 2 + (size_t)s->in[1];
}

static size_t password_len(const rmr_socks5 *s)
{
    if (s->in_len < 2)
        return 1 + (size_t)s->in_len;
    size_t at = 2 + (size_t)s->in[1]; /* the password's length byte */
    return s->in_len <= at ? at + 1 : at + 1 + s->in[at];
}

static size_t request_len(const rmr_socks5 *s)
{
    if (s->in_len < 4)
        return s->in_len ? 4 : 1;
    switch (s->in[3]) {
    case TYPE_V4:
        return 4 + 4 + 2;
    case TYPE_V6:
        return 4 + 16 + 2;
    default:
        return s->in_len < 5 ? 5 : 4 + 1 + (size_t)s->in[4] + 2;
    }
}

/* A wrong version is answered at its first byte: what speaks another protocol
 * (SOCKS4, HTTP) will never send the rest.  So is an address type that has no
 * known length. */
static bool is_hopeless(const rmr_socks5 *s, rmr_err *why)
{
    *why = RMR_E_MALFORMED;
    if (s->in_len == 0)
        return false;
    uint8_t want = s->step == STEP_PASSWORD ? PASSWORD_VERSION : VERSION;
    if (s->in[0] != want)
        return true;
    if (s->step != STEP_REQUEST || s->in_len < 4)
        return false;
    *why = RMR_E_UNSUPPORTED;
    return s->in[3] != TYPE_V4 && s->in[3] != TYPE_V6 && s->in[3] != TYPE_NAME;
}

static size_t message_len(const rmr_socks5 *s)
{
    if (s->step == STEP_GREETING)
        return greeting_len(s);
    return s->step == STEP_PASSWORD ? password_len(s) : request_len(s);
}

/* ---- whole messages --------------------------------------------------- */

static void put_reply(rmr_socks5 *s, rmr_socks5_code code,
                      const rmr_addr *bound)
{
    uint8_t m[22] = {VERSION, (uint8_t)code, 0, TYPE_V4};
    size_t n = 4;
    if (bound && bound->family == RMR_AF_INET6) {
        m[3] = TYPE_V6;
        memcpy(m + n, bound->ip, 16);
        n += 16;
    } else {
        if (bound && bound->family == RMR_AF_INET)
            memcpy(m + n, bound->ip, 4);
        n += 4;
    }
    if (bound && bound->family != RMR_AF_NONE)
        rmr_store_be16(m + n, bound->port);
    put(s, m, n + 2);
}

/* What a broken message of this step is answered with. */
static rmr_err refuse(rmr_socks5 *s, rmr_err e)
{
    if (s->step == STEP_PASSWORD)
        put2(s, PASSWORD_VERSION, 1);
    else if (s->step == STEP_REQUEST)
        put_reply(s,
                  e == RMR_E_UNSUPPORTED ? RMR_SOCKS5_BAD_ADDRESS
                                         : RMR_SOCKS5_GENERAL,
                  NULL);
    return fail(s, e);
}

static rmr_err take_greeting(rmr_socks5 *s)
{
    uint8_t method = s->user ? METHOD_PASSWORD : METHOD_NONE;
    for (size_t i = 0; i < s->in[1]; i++) {
        if (s->in[2 + i] != method)
            continue;
        put2(s, VERSION, method);
        s->step = s->user ? STEP_PASSWORD : STEP_REQUEST;
        return RMR_OK;
    }
    put2(s, VERSION, METHOD_NO_ACCEPTABLE);
    return fail(s, RMR_E_AUTH);
}

/* A string in a form of fixed size, so that a comparison takes one time. */
static void pad(uint8_t dst[256], const void *src, size_t n)
{
    memset(dst, 0, 256);
    dst[0] = (uint8_t)n;
    memcpy(dst + 1, src, n);
}

static rmr_err take_password(rmr_socks5 *s)
{
    uint8_t want[512], got[512];
    size_t n = s->in[1], m = s->in[2 + n];
    pad(want, s->user, strlen(s->user));
    pad(want + 256, s->password, strlen(s->password));
    pad(got, s->in + 2, n);
    pad(got + 256, s->in + 3 + n, m);
    bool ok = rmr_equal_ct(want, got, sizeof want);
    rmr_wipe(want, sizeof want);
    rmr_wipe(got, sizeof got);
    rmr_wipe(s->in, 3 + n + m);
    if (!ok)
        return refuse(s, RMR_E_AUTH);
    put2(s, PASSWORD_VERSION, 0);
    s->step = STEP_REQUEST;
    return RMR_OK;
}

/* The name goes into logs and C strings: no control bytes, no blanks. */
static bool take_name(rmr_socks5 *s)
{
    size_t n = s->in[4];
    if (n == 0)
        return false;
    for (size_t i = 0; i < n; i++)
        if (s->in[5 + i] <= ' ' || s->in[5 + i] == 0x7f)
            return false;
    memcpy(s->host, s->in + 5, n);
    s->host[n] = '\0';
    return true;
}

static rmr_err take_request(rmr_socks5 *s)
{
    size_t at = message_len(s) - 2; /* the port */
    /* The whole request was read first: a close with unread bytes would
     * reset the connection, and the answer might be lost. */
    if (s->in[1] != COMMAND_CONNECT) {
        put_reply(s, RMR_SOCKS5_BAD_COMMAND, NULL);
        return fail(s, RMR_E_UNSUPPORTED);
    }
    uint16_t port = rmr_load_be16(s->in + at);
    if (s->in[3] == TYPE_NAME) {
        if (!take_name(s))
            return refuse(s, RMR_E_MALFORMED);
    } else {
        s->addr = rmr_addr_from_bytes(rmr_bytes_of(s->in + 4, at - 4), port);
    }
    s->port = port;
    s->state = RMR_SOCKS5_REQUESTED;
    return RMR_OK;
}

static rmr_err take_message(rmr_socks5 *s)
{
    rmr_err e;
    if (s->step == STEP_GREETING)
        e = take_greeting(s);
    else if (s->step == STEP_PASSWORD)
        e = take_password(s);
    else
        e = take_request(s);
    s->in_len = 0;
    return e;
}

/* Copies from `in` what the current message still needs, as far as its length
 * is known. */
static size_t fill(rmr_socks5 *s, rmr_bytes in, size_t need)
{
    size_t n = need - s->in_len;
    if (n > in.len)
        n = in.len;
    if (n == 0)
        return 0;
    memcpy(s->in + s->in_len, in.ptr, n);
    s->in_len = (uint16_t)(s->in_len + n);
    return n;
}

rmr_err rmr_socks5_read(rmr_socks5 *s, rmr_bytes in, size_t *consumed)
{
    *consumed = 0;
    if (s->state == RMR_SOCKS5_FAILED)
        return RMR_E_STATE;
    while (s->state == RMR_SOCKS5_READING && *consumed < in.len) {
        rmr_err e;
        rmr_bytes rest = rmr_bytes_of(in.ptr + *consumed, in.len - *consumed);
        *consumed += fill(s, rest, message_len(s));
        if (is_hopeless(s, &e))
            return refuse(s, e);
        if (s->in_len < message_len(s))
            continue;
        e = take_message(s);
        if (e != RMR_OK)
            return e;
    }
    return RMR_OK;
}

/* ---- out -------------------------------------------------------------- */

rmr_err rmr_socks5_write(rmr_socks5 *s, rmr_buf dst, size_t *len)
{
    size_t n = (size_t)(s->out_len - s->out_sent);
    if (n > dst.len)
        n = dst.len;
    if (n)
        memcpy(dst.ptr, s->out + s->out_sent, n);
    s->out_sent = (uint16_t)(s->out_sent + n);
    *len = n;
    return RMR_OK;
}

rmr_err rmr_socks5_reply(rmr_socks5 *s, rmr_socks5_code code,
                         const rmr_addr *bound)
{
    if (s->state != RMR_SOCKS5_REQUESTED)
        return RMR_E_STATE;
    put_reply(s, code, bound);
    s->state = code == RMR_SOCKS5_OK ? RMR_SOCKS5_OPEN : RMR_SOCKS5_FAILED;
    return RMR_OK;
}

rmr_socks5_code rmr_socks5_code_of(rmr_err e)
{
    switch (e) {
    case RMR_OK:
        return RMR_SOCKS5_OK;
    case RMR_E_DENIED:
    case RMR_E_AUTH:
        return RMR_SOCKS5_NOT_ALLOWED;
    case RMR_E_UNREACHABLE:
        return RMR_SOCKS5_NET_UNREACHABLE;
    case RMR_E_NOTFOUND: /* of a name: there is no such host */
        return RMR_SOCKS5_HOST_UNREACHABLE;
    case RMR_E_REFUSED:
        return RMR_SOCKS5_CONN_REFUSED;
    case RMR_E_TIMEOUT:
        return RMR_SOCKS5_TTL_EXPIRED;
    case RMR_E_UNSUPPORTED:
        return RMR_SOCKS5_BAD_ADDRESS;
    default:
        return RMR_SOCKS5_GENERAL;
    }
}
