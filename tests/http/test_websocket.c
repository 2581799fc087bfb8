/* WebSocket frames: RFC 6455's examples, what a relay must take and refuse,
 * the way out, both sides against each other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support.h"
#include "ws_internal.h"

#define BIG 200000

static test_alloc a;
static test_rng r;

static rmr_ws *make(bool is_client, size_t max_message)
{
    test_rng_seed(&r, 1);
    rmr_env env = test_env(&a, &r, NULL);
    rmr_ws_config cfg;
    rmr_ws_config_init(&cfg, sizeof cfg);
    cfg.is_client = is_client;
    if (max_message)
        cfg.max_message = max_message;
    rmr_ws *w;
    assert_int_equal(rmr_ws_new(&w, &env, &cfg), RMR_OK);
    return w;
}

static void drop(rmr_ws *w)
{
    rmr_ws_free(w);
    assert_int_equal(a.live_blocks, 0);
}

/* All that came, as it came. */
static uint8_t got[BIG];
static size_t got_len;

/* Reads it in an exact copy, so that a sanitizer sees a step past it. */
static rmr_err read_copy(rmr_ws *w, const uint8_t *bytes, size_t len)
{
    uint8_t *copy = malloc(len ? len : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, len);
    rmr_buf in = rmr_buf_of(copy, len), piece;
    rmr_err e = RMR_OK;
    while (in.len && e == RMR_OK) {
        size_t n;
        e = rmr_ws_read(w, in, &n, &piece);
        if (e != RMR_OK)
            break;
        assert_true(n > 0 && n <= in.len);
        assert_true(piece.len || n == in.len);
        if (piece.len) {
            assert_ptr_equal(piece.ptr + piece.len, in.ptr + n);
            assert_true(piece.len <= sizeof got - got_len);
            memcpy(got + got_len, piece.ptr, piece.len);
            got_len += piece.len;
        }
        in.ptr += n;
        in.len -= n;
    }
    free(copy);
    return e;
}

/* ---- the upgrade ------------------------------------------------------- */

static void sha1_has_the_values_of_its_rfc(void **state)
{
    (void)state;
    static const struct {
        const char *piece;
        size_t times;
        const char *sum;
    } rows[] = {
        /* RFC 3174 7.3 */
        {"abc", 1, "a9993e364706816aba3e25717850c26c9cd0d89d"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
         "84983e441c3bd26ebaae4aa1f95129e5e54670f1"},
        {"a", 1000000, "34aa973cd4c4daa4f61eeb2bdbad27316534016f"},
        {"0123456701234567012345670123456701234567012345670123456701234567", 10,
         "dea356a2cddd90c7a7ecedc5ebb563934f460452"},
        {"", 0, "da39a3ee5e6b4b0d3255bfef95601890afd80709"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t n = strlen(rows[i].piece);
        uint8_t *text = malloc(n * rows[i].times + 1), sum[20], want[20];
        assert_non_null(text);
        for (size_t k = 0; k < rows[i].times; k++)
            memcpy(text + k * n, rows[i].piece, n);
        rmri_ws_sha1(rmr_bytes_of(text, n * rows[i].times), sum);
        free(text);
        assert_int_equal(test_unhex(want, 20, rows[i].sum), 20);
        assert_memory_equal(sum, want, 20);
    }
}

static void the_accept_is_made_of_the_key(void **state)
{
    (void)state;
    static const char key[] = "dGhlIHNhbXBsZSBub25jZQ=="; /* RFC 6455 1.3 */
    char accept[RMR_WS_ACCEPT_LEN + 1];
    assert_int_equal(rmr_ws_accept_make(rmr_bytes_str(key), accept), RMR_OK);
    assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_true(rmr_ws_accept_is(key, rmr_bytes_str(accept)));
    assert_false(rmr_ws_accept_is(key, rmr_bytes_str("s3pPLMBiTxaQ9kYGzzhZRbK+"
                                                     "xOo")));
    accept[0] = 'S';
    assert_false(rmr_ws_accept_is(key, rmr_bytes_str(accept)));
    assert_false(rmr_ws_accept_is("short", rmr_bytes_str(accept)));
    static const char *bad[] = {
        "", "dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25jZQ===",
        "dGhlIHNhbXBsZSBub25jZWUx", "dGhlIHNhbXBsZSBub25j*Q=="};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(rmr_ws_accept_make(rmr_bytes_str(bad[i]), accept),
                         RMR_E_MALFORMED);
}

static void a_key_is_sixteen_random_bytes(void **state)
{
    (void)state;
    char one[RMR_WS_KEY_LEN + 1], two[RMR_WS_KEY_LEN + 1];
    char accept[RMR_WS_ACCEPT_LEN + 1];
    test_rng_seed(&r, 3);
    rmr_rng rng = test_rng_table(&r);
    assert_int_equal(rmr_ws_key_make(&rng, one), RMR_OK);
    assert_int_equal(rmr_ws_key_make(&rng, two), RMR_OK);
    assert_int_equal(strlen(one), RMR_WS_KEY_LEN);
    assert_string_not_equal(one, two);
    assert_int_equal(rmr_ws_accept_make(rmr_bytes_str(one), accept), RMR_OK);
    r.fail_at = r.calls + 1;
    assert_int_equal(rmr_ws_key_make(&rng, one), RMR_E_RNG);
}

/* ---- what comes in ----------------------------------------------------- */

typedef struct row {
    const char *name;
    bool is_client; /* the reader's side */
    const char *in; /* hex */
    const char *payload;
    rmr_err err;
    const char *out; /* hex of what a server then writes; NULL: not looked at */
    uint16_t peer_code;
} row;

static const row rows[] = {
    /* RFC 6455 5.7, with binary in the place of text */
    {"unmasked", true, "820548656c6c6f", "Hello", RMR_OK, NULL, 0},
    {"masked", false, "828537fa213d7f9f4d5158", "Hello", RMR_OK, "", 0},
    {"fragmented", true, "020348656c80026c6f", "Hello", RMR_OK, NULL, 0},
    {"ping", true, "890548656c6c6f", "", RMR_OK, NULL, 0},
    {"masked ping", false, "898537fa213d7f9f4d5158", "", RMR_OK,
     "8a0548656c6c6f", 0},
    {"masked pong", false, "8a8537fa213d7f9f4d5158", "", RMR_OK, "", 0},
    /* control frames between the fragments, empty fragments, two messages */
    {"ping in a message", false,
     "02830000000048656c"
     "898100000000"
     "21"
     "8080"
     "00000000"
     "8281000000002e",
     "Hel.", RMR_OK, "8a0121", 0},
    {"three fragments", false,
     "02810000000061"
     "00810000000062"
     "80810000000063",
     "abc", RMR_OK, "", 0},
    {"empty message", false, "828000000000", "", RMR_OK, "", 0},
    {"two pings, the last is answered", false,
     "89810000000061"
     "89810000000062",
     "", RMR_OK, "8a0162", 0},
    {"payload behind a control frame", false,
     "8a8000000000"
     "82810000000078",
     "x", RMR_OK, "", 0},
    /* closes */
    {"close", false,
     "888200000000"
     "03e8",
     "", RMR_OK, "880203e8", 1000},
    {"close with a reason", false,
     "888400000000"
     "03e96869",
     "", RMR_OK, "880203e9", 1001},
    {"close without a code", false, "888000000000", "", RMR_OK, "8800", 1005},
    {"close in a message", false,
     "02810000000061"
     "888200000000"
     "0fa0",
     "a", RMR_OK, "88020fa0", 4000},
    {"what follows a close", false,
     "888200000000"
     "03e8"
     "ffff",
     "", RMR_OK, "880203e8", 1000},
    {"a ping before a close is not answered", false,
     "898100000000"
     "61"
     "888200000000"
     "03e8",
     "", RMR_OK, "880203e8", 1000},
    {"close of one byte", false,
     "888100000000"
     "03",
     "", RMR_E_WS_PROTOCOL, "880203ea", 0},
    {"close with 1005", false,
     "888200000000"
     "03ed",
     "", RMR_E_WS_PROTOCOL, "880203ea", 0},
    {"close with 999", false,
     "888200000000"
     "03e7",
     "", RMR_E_WS_PROTOCOL, "880203ea", 0},
    {"close with 5000", false,
     "888200000000"
     "1388",
     "", RMR_E_WS_PROTOCOL, "880203ea", 0},
    /* what is forbidden */
    {"text", false,
     "818100000000"
     "61",
     "", RMR_E_WS_TEXT, "880203eb", 0},
    {"no mask from a client", false, "820161", "", RMR_E_WS_PROTOCOL,
     "880203ea", 0},
    {"a mask from a server", true, "82810000000061", "", RMR_E_WS_PROTOCOL,
     NULL, 0},
    {"RSV1, compressed", false,
     "c28100000000"
     "61",
     "", RMR_E_WS_PROTOCOL, "880203ea", 0},
    {"RSV2", false,
     "a28100000000"
     "61",
     "", RMR_E_WS_PROTOCOL, NULL, 0},
    {"RSV3", false,
     "928100000000"
     "61",
     "", RMR_E_WS_PROTOCOL, NULL, 0},
    {"opcode 3", false,
     "838100000000"
     "61",
     "", RMR_E_WS_PROTOCOL, NULL, 0},
    {"opcode 7", false,
     "878100000000"
     "61",
     "", RMR_E_WS_PROTOCOL, NULL, 0},
    {"opcode 11", false,
     "8b8100000000"
     "61",
     "", RMR_E_WS_PROTOCOL, NULL, 0},
    {"opcode 15", false,
     "8f8100000000"
     "61",
     "", RMR_E_WS_PROTOCOL, NULL, 0},
    {"a cut ping", false, "098000000000", "", RMR_E_WS_PROTOCOL, NULL, 0},
    {"a ping of 126 bytes", false, "89fe007e00000000", "", RMR_E_WS_PROTOCOL,
     NULL, 0},
    {"continuation of nothing", false, "80810000000061", "", RMR_E_WS_PROTOCOL,
     "880203ea", 0},
    {"a message in a message", false,
     "02810000000061"
     "82810000000062",
     "a", RMR_E_WS_PROTOCOL, "880203ea", 0},
    {"16 bits for 125", false, "82fe007d00000000", "", RMR_E_WS_PROTOCOL,
     "880203ea", 0},
    {"64 bits for 65535", false, "82ff000000000000ffff00000000", "",
     RMR_E_WS_PROTOCOL, "880203ea", 0},
    {"the 64th bit", false, "82ff800000000000000000000000", "",
     RMR_E_WS_PROTOCOL, "880203ea", 0},
    /* bounds; 32,768 is the limit here */
    {"32769 bytes", false, "82fe800100000000", "", RMR_E_WS_TOO_BIG, "880203f1",
     0},
    {"2^62 bytes", false, "82ff400000000000000000000000", "", RMR_E_WS_TOO_BIG,
     "880203f1", 0},
    {"32769 bytes in fragments", false,
     "02810000000061"
     "80fe800000000000",
     "a", RMR_E_WS_TOO_BIG, "880203f1", 0},
};

static void check_row(const row *c, size_t first, size_t step)
{
    uint8_t in[256], want[256], out[512];
    size_t len = test_unhex(in, sizeof in, c->in);
    rmr_ws *w = make(c->is_client, 0);
    got_len = 0;
    rmr_err e = read_copy(w, in, first);
    for (size_t at = first; at < len && e == RMR_OK; at += step)
        e = read_copy(w, in + at, len - at < step ? len - at : step);
    if (e != c->err)
        fail_msg("%s: error %d", c->name, (int)e);
    if (got_len != strlen(c->payload) || memcmp(got, c->payload, got_len) != 0)
        fail_msg("%s: payload", c->name);
    assert_int_equal(rmr_ws_peer_code(w), c->peer_code);
    assert_int_equal(rmr_ws_is_closed(w), c->err || c->peer_code);
    size_t n;
    rmr_buf piece;
    if (c->err != RMR_OK) /* sticky */
        assert_int_equal(rmr_ws_read(w, rmr_buf_of(out, 1), &n, &piece),
                         c->err);
    if (c->out) {
        size_t want_len = test_unhex(want, sizeof want, c->out);
        assert_int_equal(rmr_ws_wants_write(w), want_len > 0);
        assert_int_equal(rmr_ws_write(w, rmr_buf_of(out, sizeof out), &n),
                         RMR_OK);
        if (n != want_len || memcmp(out, want, n) != 0)
            fail_msg("%s: what it wrote", c->name);
        assert_int_equal(rmr_ws_is_done(w), rmr_ws_is_closed(w));
        assert_int_equal(rmr_ws_write(w, rmr_buf_of(out, sizeof out), &n),
                         RMR_OK);
        assert_int_equal(n, 0);
    }
    drop(w);
}

static void frames_are_taken_or_refused_however_they_are_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t in[256];
        size_t len = test_unhex(in, sizeof in, rows[i].in);
        check_row(&rows[i], len, 1);
        check_row(&rows[i], 0, 1);
        for (size_t cut = 1; cut < len; cut++)
            check_row(&rows[i], cut, len);
    }
}

/* Each length at which a head changes, and each limit. */
static void lengths_up_to_the_limit_are_taken(void **state)
{
    (void)state;
    static const size_t lens[] = {1,     125,   126,   127,   255,   256,
                                  32767, 32768, 65535, 65536, 100000};
    static uint8_t frame[BIG];
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        size_t len = lens[i], head = 2;
        memset(frame, 0, sizeof frame);
        frame[0] = 0x82;
        if (len < 126) {
            frame[1] = (uint8_t)len;
        } else if (len < 65536) {
            frame[1] = 126;
            frame[2] = (uint8_t)(len >> 8);
            frame[3] = (uint8_t)len;
            head = 4;
        } else {
            frame[1] = 127;
            for (unsigned k = 0; k < 8; k++)
                frame[2 + k] = (uint8_t)((uint64_t)len >> (56 - 8 * k));
            head = 10;
        }
        memset(frame + head, 'x', len);
        for (size_t less = 0; less < 2 && less < len; less++) {
            rmr_ws *w = make(true, len - less);
            got_len = 0;
            assert_int_equal(read_copy(w, frame, head + len),
                             less ? RMR_E_WS_TOO_BIG : RMR_OK);
            assert_int_equal(got_len, less ? 0 : len);
            drop(w);
        }
    }
}

static void a_mask_goes_on_over_any_cut(void **state)
{
    (void)state;
    static const uint8_t mask[4] = {1, 2, 4, 8};
    uint8_t plain[64], masked[64];
    for (size_t i = 0; i < sizeof plain; i++) {
        plain[i] = (uint8_t)(i * 37);
        masked[i] = plain[i] ^ mask[i % 4];
    }
    for (size_t one = 0; one < 64; one++)
        for (size_t two = one; two < 64; two++) {
            uint8_t buf[64];
            memcpy(buf, masked, 64);
            rmri_ws_mask(buf, one, mask, 0);
            rmri_ws_mask(buf + one, two - one, mask, one);
            rmri_ws_mask(buf + two, 64 - two, mask, two);
            assert_memory_equal(buf, plain, 64);
        }
}

/* ---- what goes out ----------------------------------------------------- */

static void payload_gets_the_smallest_head_in_place(void **state)
{
    (void)state;
    static uint8_t room[RMR_WS_WRITE_MAX + 16], want[RMR_WS_WRITE_MAX];
    static const size_t lens[] = {1, 125, 126, 1000, 32767, 32768};
    for (int client = 0; client < 2; client++) {
        rmr_ws *w = make(client, 0), *peer = make(!client, 0);
        size_t h = rmr_ws_headroom(w), n;
        assert_int_equal(h, client ? 8 : 4);
        for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
            size_t len = lens[i];
            for (size_t k = 0; k < len; k++)
                want[k] = room[h + k] = (uint8_t)(k * 7 + i);
            assert_int_equal(rmr_ws_wrap(w, rmr_buf_of(room, h + len), len, &n),
                             RMR_OK);
            assert_int_equal(n, len + h - (len < 126 ? 2 : 0));
            assert_int_equal(room[0], 0x82);
            assert_int_equal(room[1] >> 7, client);
            if (client && len > 8)
                assert_memory_not_equal(room + n - len, want, len);
            got_len = 0;
            assert_int_equal(read_copy(peer, room, n), RMR_OK);
            assert_int_equal(got_len, len);
            assert_memory_equal(got, want, len);
        }
        assert_int_equal(rmr_ws_wrap(w, rmr_buf_of(room, 100), 0, &n),
                         RMR_E_INVAL);
        assert_int_equal(
            rmr_ws_wrap(w, rmr_buf_of(room, sizeof room), 32769, &n),
            RMR_E_INVAL);
        assert_int_equal(rmr_ws_wrap(w, rmr_buf_of(room, h + 9), 10, &n),
                         RMR_E_INVAL);
        assert_int_equal(rmr_ws_wrap(w, rmr_buf_of(room, 2), 1, &n),
                         RMR_E_INVAL);
        rmr_ws_free(peer);
        drop(w);
    }
}

static void each_frame_of_a_client_has_a_mask_of_its_own(void **state)
{
    (void)state;
    rmr_ws *w = make(true, 0);
    static uint8_t masks[100][4];
    for (size_t i = 0; i < 100; i++) {
        uint8_t room[16] = {0};
        size_t n;
        assert_int_equal(rmr_ws_wrap(w, rmr_buf_of(room, 9), 1, &n), RMR_OK);
        memcpy(masks[i], room + 2, 4);
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(masks[i], masks[k], 4);
    }
    drop(w);
}

static void a_generator_that_fails_is_told(void **state)
{
    (void)state;
    uint8_t room[200] = {0};
    size_t n;
    rmr_ws *w = make(true, 0);
    r.fail_at = r.calls + 1;
    room[8] = 'x';
    assert_int_equal(rmr_ws_wrap(w, rmr_buf_of(room, 9), 1, &n), RMR_E_RNG);
    assert_int_equal(room[8], 'x');
    assert_int_equal(n, 0);
    assert_int_equal(rmr_ws_write(w, rmr_buf_of(room, 200), &n), RMR_E_RNG);
    assert_true(rmr_ws_is_done(w));
    drop(w);
    w = make(true, 0);
    r.fail_at = r.calls + 1;
    assert_int_equal(rmr_ws_ping(w), RMR_OK);
    assert_int_equal(rmr_ws_write(w, rmr_buf_of(room, 200), &n), RMR_E_RNG);
    assert_int_equal(n, 0);
    drop(w);
}

static void a_control_frame_waits_until_it_fits(void **state)
{
    (void)state;
    rmr_ws *w = make(false, 0);
    uint8_t in[6 + 125] = {0x89, 0x80 + 125}, out[RMR_WS_CONTROL_MAX];
    memset(in + 6, 'p', 125);
    assert_int_equal(read_copy(w, in, sizeof in), RMR_OK);
    assert_int_equal(rmr_ws_close(w, RMR_WS_POLICY, rmr_bytes_str("no")),
                     RMR_OK);
    size_t n;
    assert_int_equal(rmr_ws_write(w, rmr_buf_of(out, 126), &n), RMR_OK);
    assert_int_equal(n, 0);
    assert_int_equal(rmr_ws_write(w, rmr_buf_of(out, 127), &n), RMR_OK);
    assert_int_equal(n, 127);
    assert_memory_equal(out, "\x8a\x7d", 2);
    assert_memory_equal(out + 2, in + 6, 125);
    assert_true(rmr_ws_wants_write(w));
    assert_int_equal(rmr_ws_write(w, rmr_buf_of(out, sizeof out), &n), RMR_OK);
    assert_int_equal(n, 6);
    assert_memory_equal(out, "\x88\x04\x03\xf0no", 6);
    assert_false(rmr_ws_wants_write(w));
    drop(w);
}

/* ---- both sides -------------------------------------------------------- */

static void pass(rmr_ws *from, rmr_ws *to)
{
    uint8_t out[3 * RMR_WS_CONTROL_MAX];
    size_t n;
    assert_int_equal(rmr_ws_write(from, rmr_buf_of(out, sizeof out), &n),
                     RMR_OK);
    assert_int_equal(read_copy(to, out, n), RMR_OK);
}

static void pings_are_answered(void **state)
{
    (void)state;
    for (int client = 0; client < 2; client++) {
        rmr_ws *w = make(client, 0), *peer = make(!client, 0);
        assert_int_equal(rmr_ws_ping(w), RMR_OK);
        assert_int_equal(rmr_ws_ping(w), RMR_OK); /* one that waits is enough */
        pass(w, peer);
        pass(peer, w);
        assert_int_equal(rmr_ws_pongs(w), 1);
        rmr_ws_free(peer);
        drop(w);
    }
}

static void a_close_is_answered_and_ends_both(void **state)
{
    (void)state;
    for (int client = 0; client < 2; client++) {
        rmr_ws *w = make(client, 0), *peer = make(!client, 0);
        uint8_t room[64] = {0};
        size_t n;
        assert_int_equal(rmr_ws_close(w, 1000, rmr_bytes_str("bye")), RMR_OK);
        assert_int_equal(rmr_ws_close(w, 1011, rmr_bytes_str("")), RMR_OK);
        assert_int_equal(rmr_ws_wrap(w, rmr_buf_of(room, 64), 1, &n),
                         RMR_E_CLOSED);
        assert_int_equal(rmr_ws_ping(w), RMR_E_CLOSED);
        assert_false(rmr_ws_is_closed(w));
        /* What was under way is dropped. */
        assert_int_equal(rmr_ws_wrap(peer, rmr_buf_of(room, 64), 40, &n),
                         RMR_OK);
        got_len = 0;
        assert_int_equal(read_copy(w, room, n), RMR_OK);
        assert_int_equal(got_len, 0);
        pass(w, peer);
        assert_int_equal(rmr_ws_peer_code(peer), 1000);
        assert_true(rmr_ws_is_closed(peer));
        assert_false(rmr_ws_is_done(peer));
        assert_int_equal(rmr_ws_wrap(peer, rmr_buf_of(room, 64), 1, &n),
                         RMR_E_CLOSED);
        pass(peer, w);
        assert_true(rmr_ws_is_done(peer));
        assert_true(rmr_ws_is_done(w));
        assert_int_equal(rmr_ws_peer_code(w), 1000);
        assert_int_equal(rmr_ws_read_eof(w), RMR_OK);
        rmr_ws_free(peer);
        drop(w);
    }
}

static void an_end_without_a_close_is_told(void **state)
{
    (void)state;
    rmr_ws *w = make(false, 0);
    assert_int_equal(rmr_ws_read_eof(w), RMR_E_HTTP_EOF);
    assert_int_equal(rmr_ws_read_eof(w), RMR_E_HTTP_EOF);
    assert_true(rmr_ws_is_done(w));
    assert_false(rmr_ws_wants_write(w));
    drop(w);
    w = make(false, 0); /* unless we had said ours */
    uint8_t out[16];
    size_t n;
    assert_int_equal(rmr_ws_close(w, 1001, rmr_bytes_str("")), RMR_OK);
    assert_int_equal(rmr_ws_write(w, rmr_buf_of(out, 16), &n), RMR_OK);
    assert_int_equal(rmr_ws_read_eof(w), RMR_OK);
    assert_true(rmr_ws_is_done(w));
    drop(w);
}

static void bad_arguments_are_refused(void **state)
{
    (void)state;
    rmr_env env = test_env(&a, &r, NULL);
    rmr_ws_config cfg;
    rmr_ws *w;
    rmr_ws_config_init(&cfg, sizeof cfg);
    cfg.max_message = 0;
    assert_int_equal(rmr_ws_new(&w, &env, &cfg), RMR_E_INVAL);
    rmr_ws_config_init(&cfg, sizeof cfg);
    cfg.struct_size = 4;
    assert_int_equal(rmr_ws_new(&w, &env, &cfg), RMR_E_INVAL);
    assert_null(w);
    w = make(false, 0);
    assert_int_equal(a.live_blocks, 1);
    assert_true(a.live_bytes < 640);
    static const uint16_t codes[] = {0,    999,  1004, 1005,
                                     1006, 1015, 2999, 5000};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        assert_int_equal(rmr_ws_close(w, codes[i], rmr_bytes_str("")),
                         RMR_E_INVAL);
    uint8_t reason[124] = {0};
    assert_int_equal(rmr_ws_close(w, 1000, rmr_bytes_of(reason, 124)),
                     RMR_E_INVAL);
    assert_false(rmr_ws_wants_write(w));
    assert_int_equal(rmr_ws_close(w, 1000, rmr_bytes_of(reason, 123)), RMR_OK);
    drop(w);
    rmr_ws_free(NULL);
    memset(&a, 0, sizeof a);
    a.fail_at = 1;
    rmr_ws_config_init(&cfg, sizeof cfg);
    assert_int_equal(rmr_ws_new(&w, &env, &cfg), RMR_E_NOMEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha1_has_the_values_of_its_rfc),
        cmocka_unit_test(the_accept_is_made_of_the_key),
        cmocka_unit_test(a_key_is_sixteen_random_bytes),
        cmocka_unit_test(frames_are_taken_or_refused_however_they_are_cut),
        cmocka_unit_test(lengths_up_to_the_limit_are_taken),
        cmocka_unit_test(a_mask_goes_on_over_any_cut),
        cmocka_unit_test(payload_gets_the_smallest_head_in_place),
        cmocka_unit_test(each_frame_of_a_client_has_a_mask_of_its_own),
        cmocka_unit_test(a_generator_that_fails_is_told),
        cmocka_unit_test(a_control_frame_waits_until_it_fits),
        cmocka_unit_test(pings_are_answered),
        cmocka_unit_test(a_close_is_answered_and_ends_both),
        cmocka_unit_test(an_end_without_a_close_is_told),
        cmocka_unit_test(bad_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
