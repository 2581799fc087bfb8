/* The server's side of SOCKS5, by tables: input, what it answers, what it
 * asks for.  Each case runs whole, byte by byte, and split at each point. */
#include <remora/socks5.h>

#include "support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define GREET "050100"
#define REQ_V4                                                                 \
    "05010001"                                                                 \
    "c0000201"                                                                 \
    "0050"

typedef struct socks_case {
    const char *name;
    const char *user, *password;
    const char *in;  /* hex */
    const char *out; /* hex */
    rmr_err err;
    rmr_socks5_state state;
    const char *host; /* NULL: none */
    const char *addr; /* text, NULL: none */
    unsigned port;
    size_t left; /* bytes of `in` that stay with the caller */
} socks_case;

static const socks_case cases[] = {
    {"an IPv4 address", NULL, NULL, GREET REQ_V4, "0500", RMR_OK,
     RMR_SOCKS5_REQUESTED, NULL, "192.0.2.1:80", 80, 0},
    {"an IPv6 address", NULL, NULL,
     GREET "05010004"
           "20010db8000000000000000000000001"
           "01bb",
     "0500", RMR_OK, RMR_SOCKS5_REQUESTED, NULL, "[2001:db8::1]:443", 443, 0},
    {"a mapped IPv4 address is unmapped", NULL, NULL,
     GREET "05010004"
           "00000000000000000000ffff0a000001"
           "0050",
     "0500", RMR_OK, RMR_SOCKS5_REQUESTED, NULL, "10.0.0.1:80", 80, 0},
    {"a name", NULL, NULL,
     GREET "05010003"
           "06"
           "706565722e61"
           "1f90",
     "0500", RMR_OK, RMR_SOCKS5_REQUESTED, "peer.a", NULL, 8080, 0},
    {"a literal that is given as a name stays a name", NULL, NULL,
     GREET "05010003"
           "08"
           "31302e302e302e31"
           "0050",
     "0500", RMR_OK, RMR_SOCKS5_REQUESTED, "10.0.0.1", NULL, 80, 0},
    {"a reserved byte other than zero is ignored", NULL, NULL,
     GREET "0501ff01"
           "c0000201"
           "0050",
     "0500", RMR_OK, RMR_SOCKS5_REQUESTED, NULL, "192.0.2.1:80", 80, 0},
    {"many methods, ours among them", NULL, NULL, "0503020100" REQ_V4, "0500",
     RMR_OK, RMR_SOCKS5_REQUESTED, NULL, "192.0.2.1:80", 80, 0},
    {"bytes behind the request stay", NULL, NULL, GREET REQ_V4 "aabbcc", "0500",
     RMR_OK, RMR_SOCKS5_REQUESTED, NULL, "192.0.2.1:80", 80, 3},
    {"the right password", "me", "pw",
     "05020002"
     "01"
     "026d65"
     "027077" REQ_V4,
     "0502"
     "0100",
     RMR_OK, RMR_SOCKS5_REQUESTED, NULL, "192.0.2.1:80", 80, 0},
    {"a wrong password", "me", "pw",
     "050102"
     "01"
     "026d65"
     "027078",
     "0502"
     "0101",
     RMR_E_AUTH, RMR_SOCKS5_FAILED, NULL, NULL, 0, 0},
    {"a wrong user", "me", "pw",
     "050102"
     "01"
     "026d66"
     "027077",
     "0502"
     "0101",
     RMR_E_AUTH, RMR_SOCKS5_FAILED, NULL, NULL, 0, 0},
    {"a password that is a prefix", "me", "pw",
     "050102"
     "01"
     "026d65"
     "0170",
     "0502"
     "0101",
     RMR_E_AUTH, RMR_SOCKS5_FAILED, NULL, NULL, 0, 0},
    {"a password with a NUL behind it", "me", "pw",
     "050102"
     "01"
     "026d65"
     "03707700",
     "0502"
     "0101",
     RMR_E_AUTH, RMR_SOCKS5_FAILED, NULL, NULL, 0, 0},
    {"an empty user and password", "me", "pw",
     "050102"
     "01"
     "00"
     "00",
     "0502"
     "0101",
     RMR_E_AUTH, RMR_SOCKS5_FAILED, NULL, NULL, 0, 0},
    {"another version of the password message", "me", "pw",
     "050102"
     "05",
     "0502"
     "0101",
     RMR_E_MALFORMED, RMR_SOCKS5_FAILED, NULL, NULL, 0, 0},
    {"no password is offered where one is wanted", "me", "pw", "050100", "05ff",
     RMR_E_AUTH, RMR_SOCKS5_FAILED, NULL, NULL, 0, 0},
    {"only a password is offered where none is wanted", NULL, NULL, "050102",
     "05ff", RMR_E_AUTH, RMR_SOCKS5_FAILED, NULL, NULL, 0, 0},
    {"no method at all", NULL, NULL, "0500", "05ff", RMR_E_AUTH,
     RMR_SOCKS5_FAILED, NULL, NULL, 0, 0},
    {"SOCKS4 gets no answer", NULL, NULL, "04", "", RMR_E_MALFORMED,
     RMR_SOCKS5_FAILED, NULL, NULL, 0, 0},
    {"HTTP gets no answer", NULL, NULL, "47", "", RMR_E_MALFORMED,
     RMR_SOCKS5_FAILED, NULL, NULL, 0, 0},
    {"BIND is refused after the whole request", NULL, NULL,
     GREET "05020001"
           "c0000201"
           "0050",
     "0500"
     "05070001000000000000",
     RMR_E_UNSUPPORTED, RMR_SOCKS5_FAILED, NULL, NULL, 0, 0},
    {"UDP ASSOCIATE is refused", NULL, NULL,
     GREET "05030003"
           "0161"
           "0050",
     "0500"
     "05070001000000000000",
     RMR_E_UNSUPPORTED, RMR_SOCKS5_FAILED, NULL, NULL, 0, 0},
    {"an unknown address type is refused", NULL, NULL, GREET "05010002",
     "0500"
     "05080001000000000000",
     RMR_E_UNSUPPORTED, RMR_SOCKS5_FAILED, NULL, NULL, 0, 0},
    {"another version in the request", NULL, NULL, GREET "04",
     "0500"
     "05010001000000000000",
     RMR_E_MALFORMED, RMR_SOCKS5_FAILED, NULL, NULL, 0, 0},
    {"an empty name is refused", NULL, NULL,
     GREET "05010003"
           "00"
           "0050",
     "0500"
     "05010001000000000000",
     RMR_E_MALFORMED, RMR_SOCKS5_FAILED, NULL, NULL, 0, 0},
    {"a name with a NUL is refused", NULL, NULL,
     GREET "05010003"
           "03"
           "610062"
           "0050",
     "0500"
     "05010001000000000000",
     RMR_E_MALFORMED, RMR_SOCKS5_FAILED, NULL, NULL, 0, 0},
    {"a name with a newline is refused", NULL, NULL,
     GREET "05010003"
           "03"
           "610a62"
           "0050",
     "0500"
     "05010001000000000000",
     RMR_E_MALFORMED, RMR_SOCKS5_FAILED, NULL, NULL, 0, 0},
    {"half a request waits", NULL, NULL, GREET "05010001c000", "0500", RMR_OK,
     RMR_SOCKS5_READING, NULL, NULL, 0, 0},
};

/* Feeds all of `in` in two pieces cut at `cut`, each piece in bits of `step`
 * bytes; gathers what is written. */
static rmr_err feed(rmr_socks5 *s, rmr_bytes in, size_t cut, size_t step,
                    size_t *left)
{
    size_t done = 0;
    rmr_err e = RMR_OK;
    while (e == RMR_OK && done < in.len) {
        size_t end = done < cut && cut < in.len ? cut : in.len;
        if (end - done > step)
            end = done + step;
        size_t n;
        /* An exact copy: a sanitizer sees a read too far. */
        uint8_t piece[600];
        memcpy(piece, in.ptr + done, end - done);
        e = rmr_socks5_read(s, rmr_bytes_of(piece, end - done), &n);
        assert_true(n <= end - done);
        done += n;
        if (n == 0)
            break;
    }
    *left = in.len - done;
    return e;
}

static void check(const socks_case *c, size_t cut, size_t step)
{
    rmr_socks5 s;
    uint8_t in[600], want[64], got[64];
    size_t in_len = test_unhex(in, sizeof in, c->in);
    size_t want_len = test_unhex(want, sizeof want, c->out);
    size_t left, len;
    char text[RMR_ADDR_TEXT_MAX];
    assert_int_equal(rmr_socks5_init(&s, c->user, c->password), RMR_OK);
    rmr_err e = feed(&s, rmr_bytes_of(in, in_len), cut, step, &left);
    assert_int_equal(e, c->err);
    assert_int_equal(s.state, c->state);
    assert_int_equal(left, c->left);
    assert_int_equal(rmr_socks5_write(&s, rmr_buf_of(got, sizeof got), &len),
                     RMR_OK);
    assert_int_equal(len, want_len);
    assert_memory_equal(got, want, len);
    assert_int_equal(s.port, c->port);
    assert_string_equal(s.host, c->host ? c->host : "");
    if (c->addr)
        assert_string_equal(rmr_addr_text(&s.addr, text), c->addr);
    else
        assert_int_equal(s.addr.family, RMR_AF_NONE);
    rmr_socks5_wipe(&s);
}

static void every_case_gives_its_answer_and_its_request(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check(&cases[i], 600, 600);
}

static void every_case_is_the_same_byte_by_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check(&cases[i], 600, 1);
}

static void every_case_is_the_same_split_anywhere(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t cut = 1; cut < strlen(cases[i].in) / 2; cut++)
            check(&cases[i], cut, 600);
}

static void the_longest_messages_fit(void **state)
{
    (void)state;
    char user[256], password[256];
    uint8_t in[1200];
    size_t n = 0, taken, len;
    memset(user, 'u', 255);
    memset(password, 'p', 255);
    user[255] = password[255] = '\0';
    rmr_socks5 s;
    assert_int_equal(rmr_socks5_init(&s, user, password), RMR_OK);
    in[n++] = 5;
    in[n++] = 255;
    for (int i = 254; i >= 0; i--)
        in[n++] = (uint8_t)i;
    in[n++] = 1;
    in[n++] = 255;
    memset(in + n, 'u', 255);
    n += 255;
    in[n++] = 255;
    memset(in + n, 'p', 255);
    n += 255;
    memcpy(in + n, "\x05\x01\x00\x03\xff", 5);
    n += 5;
    memset(in + n, 'h', 255);
    n += 255;
    in[n++] = 0;
    in[n++] = 7;
    assert_int_equal(rmr_socks5_read(&s, rmr_bytes_of(in, n), &taken), RMR_OK);
    assert_int_equal(taken, n);
    assert_int_equal(s.state, RMR_SOCKS5_REQUESTED);
    assert_int_equal(strlen(s.host), 255);
    assert_int_equal(s.port, 7);
    rmr_addr bound;
    assert_int_equal(rmr_addr_parse(rmr_bytes_str("[2001:db8::1]:5"), &bound),
                     RMR_OK);
    assert_int_equal(rmr_socks5_reply(&s, RMR_SOCKS5_OK, &bound), RMR_OK);
    assert_int_equal(rmr_socks5_write(&s, rmr_buf_of(in, sizeof in), &len),
                     RMR_OK);
    assert_int_equal(len, 2 + 2 + 22);
}

static void to_request(rmr_socks5 *s)
{
    uint8_t in[64];
    size_t taken, len;
    assert_int_equal(rmr_socks5_init(s, NULL, NULL), RMR_OK);
    size_t n = test_unhex(in, sizeof in, GREET REQ_V4);
    assert_int_equal(rmr_socks5_read(s, rmr_bytes_of(in, n), &taken), RMR_OK);
    assert_int_equal(rmr_socks5_write(s, rmr_buf_of(in, sizeof in), &len),
                     RMR_OK);
    assert_int_equal(len, 2);
}

static void check_reply(rmr_socks5_code code, const char *bound,
                        const char *hex, rmr_socks5_state after)
{
    rmr_socks5 s;
    uint8_t want[64], got[64];
    size_t len, n = test_unhex(want, sizeof want, hex);
    rmr_addr a;
    to_request(&s);
    if (bound)
        assert_int_equal(rmr_addr_parse(rmr_bytes_str(bound), &a), RMR_OK);
    assert_int_equal(rmr_socks5_reply(&s, code, bound ? &a : NULL), RMR_OK);
    assert_int_equal(s.state, after);
    assert_int_equal(rmr_socks5_write(&s, rmr_buf_of(got, sizeof got), &len),
                     RMR_OK);
    assert_int_equal(len, n);
    assert_memory_equal(got, want, n);
    assert_int_equal(rmr_socks5_reply(&s, code, NULL), RMR_E_STATE);
}

static void replies_have_the_form_of_the_rfc(void **state)
{
    (void)state;
    check_reply(RMR_SOCKS5_OK, NULL, "05000001000000000000", RMR_SOCKS5_OPEN);
    check_reply(RMR_SOCKS5_OK, "10.1.2.3:258", "050000010a0102030102",
                RMR_SOCKS5_OPEN);
    check_reply(RMR_SOCKS5_OK, "[fd7a::1]:80",
                "05000004fd7a00000000000000000000000000010050",
                RMR_SOCKS5_OPEN);
    check_reply(RMR_SOCKS5_CONN_REFUSED, NULL, "05050001000000000000",
                RMR_SOCKS5_FAILED);
}

static void output_comes_in_bits_of_any_size(void **state)
{
    (void)state;
    rmr_socks5 s;
    to_request(&s);
    assert_int_equal(rmr_socks5_reply(&s, RMR_SOCKS5_OK, NULL), RMR_OK);
    uint8_t b;
    size_t len, total = 0;
    while (rmr_socks5_write(&s, rmr_buf_of(&b, 1), &len) == RMR_OK && len)
        total += len;
    assert_int_equal(total, 10);
    assert_int_equal(rmr_socks5_write(&s, rmr_buf_of(NULL, 0), &len), RMR_OK);
    assert_int_equal(len, 0);
}

static void nothing_is_taken_behind_the_request_or_after_a_failure(void **state)
{
    (void)state;
    rmr_socks5 s;
    size_t n = 9;
    to_request(&s);
    assert_int_equal(rmr_socks5_read(&s, rmr_bytes_str("more"), &n), RMR_OK);
    assert_int_equal(n, 0);
    assert_int_equal(rmr_socks5_reply(&s, RMR_SOCKS5_OK, NULL), RMR_OK);
    assert_int_equal(rmr_socks5_read(&s, rmr_bytes_str("more"), &n), RMR_OK);
    assert_int_equal(n, 0);
    to_request(&s);
    assert_int_equal(rmr_socks5_reply(&s, RMR_SOCKS5_GENERAL, NULL), RMR_OK);
    assert_int_equal(rmr_socks5_read(&s, rmr_bytes_str("more"), &n),
                     RMR_E_STATE);
    assert_int_equal(n, 0);
}

static void a_reply_needs_a_request(void **state)
{
    (void)state;
    rmr_socks5 s;
    assert_int_equal(rmr_socks5_init(&s, NULL, NULL), RMR_OK);
    assert_int_equal(rmr_socks5_reply(&s, RMR_SOCKS5_OK, NULL), RMR_E_STATE);
}

static void user_and_password_come_together_and_in_bounds(void **state)
{
    (void)state;
    rmr_socks5 s;
    char big[257];
    memset(big, 'x', 256);
    big[256] = '\0';
    assert_int_equal(rmr_socks5_init(&s, "u", NULL), RMR_E_INVAL);
    assert_int_equal(rmr_socks5_init(&s, NULL, "p"), RMR_E_INVAL);
    assert_int_equal(rmr_socks5_init(&s, "", "p"), RMR_E_INVAL);
    assert_int_equal(rmr_socks5_init(&s, "u", ""), RMR_E_INVAL);
    assert_int_equal(rmr_socks5_init(&s, big, "p"), RMR_E_INVAL);
    assert_int_equal(rmr_socks5_init(&s, "u", big), RMR_E_INVAL);
}

static void a_sent_password_does_not_stay_in_memory(void **state)
{
    (void)state;
    static const char secret[] = "hunter22";
    rmr_socks5 s;
    uint8_t in[64] = {5, 1, 2, 1, 1, 'u', 8};
    size_t taken;
    memcpy(in + 7, secret, 8);
    for (int right = 0; right < 2; right++) {
        assert_int_equal(rmr_socks5_init(&s, "u", right ? secret : "another1"),
                         RMR_OK);
        assert_int_equal(rmr_socks5_read(&s, rmr_bytes_of(in, 15), &taken),
                         right ? RMR_OK : RMR_E_AUTH);
        const uint8_t *p = (const uint8_t *)&s;
        for (size_t i = 0; i + 8 <= sizeof s; i++)
            assert_memory_not_equal(p + i, secret, 8);
    }
}

static void errors_have_their_codes(void **state)
{
    (void)state;
    assert_int_equal(rmr_socks5_code_of(RMR_OK), RMR_SOCKS5_OK);
    assert_int_equal(rmr_socks5_code_of(RMR_E_DENIED), RMR_SOCKS5_NOT_ALLOWED);
    assert_int_equal(rmr_socks5_code_of(RMR_E_UNREACHABLE),
                     RMR_SOCKS5_NET_UNREACHABLE);
    assert_int_equal(rmr_socks5_code_of(RMR_E_NOTFOUND),
                     RMR_SOCKS5_HOST_UNREACHABLE);
    assert_int_equal(rmr_socks5_code_of(RMR_E_REFUSED),
                     RMR_SOCKS5_CONN_REFUSED);
    assert_int_equal(rmr_socks5_code_of(RMR_E_TIMEOUT), RMR_SOCKS5_TTL_EXPIRED);
    assert_int_equal(rmr_socks5_code_of(RMR_E_UNSUPPORTED),
                     RMR_SOCKS5_BAD_ADDRESS);
    assert_int_equal(rmr_socks5_code_of(RMR_E_NOMEM), RMR_SOCKS5_GENERAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_case_gives_its_answer_and_its_request),
        cmocka_unit_test(every_case_is_the_same_byte_by_byte),
        cmocka_unit_test(every_case_is_the_same_split_anywhere),
        cmocka_unit_test(the_longest_messages_fit),
        cmocka_unit_test(replies_have_the_form_of_the_rfc),
        cmocka_unit_test(output_comes_in_bits_of_any_size),
        cmocka_unit_test(
            nothing_is_taken_behind_the_request_or_after_a_failure),
        cmocka_unit_test(a_reply_needs_a_request),
        cmocka_unit_test(user_and_password_come_together_and_in_bounds),
        cmocka_unit_test(a_sent_password_does_not_stay_in_memory),
        cmocka_unit_test(errors_have_their_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
