/* hosts(5) text. */
#include "dns_internal.h"

#include "support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const char text[] = "# the file\n"
                           "127.0.0.1\tlocalhost\n"
                           "10.0.0.1 one one.example # uno\r\n"
                           "\n"
                           "  fd7a::1   ONE\n"
                           "10.0.0.2 two\r\n"
                           "bogus one\n"
                           "10.0.0.300 one\n"
                           "10.0.0.3\n"
                           "10.0.0.4#one\n"
                           "10.0.0.5 one one\n"
                           "10.0.0.6 last.";

static size_t find(const char *name, rmr_addr *out, size_t cap)
{
    size_t n = strlen(text);
    uint8_t *exact = malloc(n); /* without the NUL */
    assert_non_null(exact);
    memcpy(exact, text, n);
    size_t found = rmri_dns_find_host(rmr_bytes_of(exact, n),
                                      rmr_bytes_str(name), out, cap);
    free(exact);
    return found;
}

static void names_are_found_in_any_case_with_all_their_addresses(void **state)
{
    (void)state;
    rmr_addr a[8];
    char t[RMR_ADDR_TEXT_MAX];
    assert_int_equal(find("One", a, 8), 3);
    assert_string_equal(rmr_addr_ip_text(&a[0], t), "10.0.0.1");
    assert_string_equal(rmr_addr_ip_text(&a[1], t), "fd7a::1");
    assert_string_equal(rmr_addr_ip_text(&a[2], t), "10.0.0.5");
    assert_int_equal(find("one.example", a, 8), 1);
    assert_int_equal(find("two", a, 8), 1);
    assert_int_equal(find("two.", a, 8), 1);
    assert_int_equal(find("last", a, 8), 1);
    assert_int_equal(find("uno", a, 8), 0);
    assert_int_equal(find("three", a, 8), 0);
    assert_int_equal(find("on", a, 8), 0);
}

static void no_more_addresses_come_than_fit(void **state)
{
    (void)state;
    rmr_addr a[2];
    assert_int_equal(find("one", a, 2), 2);
    assert_int_equal(find("one", a, 0), 0);
}

static void a_long_text_is_cut_at_a_whole_piece(void **state)
{
    (void)state;
    rmr_bytes t = rmr_bytes_str("ab\ncd\nef");
    assert_int_equal(rmri_dns_cut(t, 8, "\n"), 8);
    assert_int_equal(rmri_dns_cut(t, 7, "\n"), 6);
    assert_int_equal(rmri_dns_cut(t, 6, "\n"), 6);
    assert_int_equal(rmri_dns_cut(t, 5, "\n"), 3);
    assert_int_equal(rmri_dns_cut(t, 2, "\n"), 0);
}

static void words_are_between_blanks(void **state)
{
    (void)state;
    rmr_bytes t = rmr_bytes_str(" \ta  bc ");
    assert_true(rmr_bytes_eq_str(rmri_dns_next_word(&t), "a"));
    assert_true(rmr_bytes_eq_str(rmri_dns_next_word(&t), "bc"));
    assert_int_equal(rmri_dns_next_word(&t).len, 0);
    assert_int_equal(t.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_found_in_any_case_with_all_their_addresses),
        cmocka_unit_test(no_more_addresses_come_than_fit),
        cmocka_unit_test(a_long_text_is_cut_at_a_whole_piece),
        cmocka_unit_test(words_are_between_blanks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
