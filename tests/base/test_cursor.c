/* Byte cursors at their edges. */
#include <remora/cursor.h>

#include "support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t bytes[16] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab,
                                  0xcd, 0xef, 0xfe, 0xdc, 0xba, 0x98,
                                  0x76, 0x54, 0x32, 0x10};

static uint64_t read_one(rmr_rd *r, int which)
{
    switch (which) {
    case 0:
        return rmr_rd_u8(r);
    case 1:
        return rmr_rd_be16(r);
    case 2:
        return rmr_rd_le16(r);
    case 3:
        return rmr_rd_be32(r);
    case 4:
        return rmr_rd_le32(r);
    case 5:
        return rmr_rd_be64(r);
    default:
        return rmr_rd_le64(r);
    }
}

static void write_one(rmr_wr *w, int which, uint64_t v)
{
    switch (which) {
    case 0:
        rmr_wr_u8(w, (uint8_t)v);
        break;
    case 1:
        rmr_wr_be16(w, (uint16_t)v);
        break;
    case 2:
        rmr_wr_le16(w, (uint16_t)v);
        break;
    case 3:
        rmr_wr_be32(w, (uint32_t)v);
        break;
    case 4:
        rmr_wr_le32(w, (uint32_t)v);
        break;
    case 5:
        rmr_wr_be64(w, v);
        break;
    default:
        rmr_wr_le64(w, v);
        break;
    }
}

static const size_t width[7] = {1, 2, 2, 4, 4, 8, 8};
static const uint64_t value[7] = {0x01,
                                  0x0123,
                                  0x2301,
                                  0x01234567,
                                  0x67452301,
                                  0x0123456789abcdef,
                                  0xefcdab8967452301};

static void numbers_are_read_in_their_byte_order(void **state)
{
    (void)state;
    for (int i = 0; i < 7; i++) {
        rmr_rd r = rmr_rd_of(rmr_bytes_of(bytes, width[i]));
        assert_true(read_one(&r, i) == value[i]);
        assert_int_equal(rmr_rd_end_exact(&r), RMR_OK);
    }
}

static void a_short_read_gives_zero_and_sticks(void **state)
{
    (void)state;
    for (int i = 0; i < 7; i++) {
        for (size_t n = 0; n < width[i]; n++) {
            rmr_rd r = rmr_rd_of(rmr_bytes_of(bytes, n));
            assert_true(read_one(&r, i) == 0);
            assert_true(r.failed);
            assert_int_equal(rmr_rd_u8(&r), 0); /* though a byte was there */
            assert_int_equal(rmr_rd_end(&r), RMR_E_MALFORMED);
            assert_int_equal(rmr_rd_end_exact(&r), RMR_E_MALFORMED);
        }
    }
}

static void numbers_are_written_in_their_byte_order(void **state)
{
    (void)state;
    for (int i = 0; i < 7; i++) {
        uint8_t b[8] = {0};
        rmr_wr w = rmr_wr_of(rmr_buf_of(b, width[i]));
        write_one(&w, i, value[i]);
        assert_int_equal(rmr_wr_end(&w), RMR_OK);
        assert_int_equal(w.len, width[i]);
        assert_memory_equal(b, bytes, width[i]);
    }
}

static void a_short_write_does_nothing_and_sticks(void **state)
{
    (void)state;
    for (int i = 0; i < 7; i++) {
        for (size_t n = 0; n < width[i]; n++) {
            uint8_t b[8] = {0};
            static const uint8_t untouched[8] = {0};
            rmr_wr w = rmr_wr_of(rmr_buf_of(b, n));
            write_one(&w, i, value[i]);
            rmr_wr_u8(&w, 1);
            assert_int_equal(rmr_wr_end(&w), RMR_E_BUFSIZE);
            assert_int_equal(w.len, 0);
            assert_memory_equal(b, untouched, sizeof b);
        }
    }
}

static void byte_runs_are_borrowed_copied_and_skipped(void **state)
{
    (void)state;
    uint8_t got[4];
    rmr_rd r = rmr_rd_of(rmr_bytes_of(bytes, sizeof bytes));
    rmr_bytes b = rmr_rd_bytes(&r, 3);
    assert_ptr_equal(b.ptr, bytes);
    assert_int_equal(b.len, 3);
    rmr_rd_copy(&r, got, 4);
    assert_memory_equal(got, bytes + 3, 4);
    rmr_rd_skip(&r, 8);
    assert_int_equal(rmr_rd_end_exact(&r), RMR_E_MALFORMED); /* one is left */
    assert_int_equal(rmr_rd_end(&r), RMR_OK);
    b = rmr_rd_rest(&r);
    assert_int_equal(b.len, 1);
    assert_int_equal(b.ptr[0], 0x10);
    b = rmr_rd_rest(&r);
    assert_int_equal(b.len, 0);
    assert_int_equal(rmr_rd_end_exact(&r), RMR_OK);
}

static void an_overlong_run_gives_nothing(void **state)
{
    (void)state;
    uint8_t got[17];
    memset(got, 1, sizeof got);
    rmr_rd r = rmr_rd_of(rmr_bytes_of(bytes, sizeof bytes));
    rmr_rd_copy(&r, got, 17);
    for (size_t i = 0; i < sizeof got; i++)
        assert_int_equal(got[i], 0);
    assert_int_equal(rmr_rd_rest(&r).len, 0);
    assert_int_equal(rmr_rd_end(&r), RMR_E_MALFORMED);
    r = rmr_rd_of(rmr_bytes_of(bytes, sizeof bytes));
    assert_null(rmr_rd_bytes(&r, SIZE_MAX).ptr);
    r = rmr_rd_of(rmr_bytes_of(bytes, sizeof bytes));
    rmr_rd_skip(&r, 17);
    assert_true(r.failed);
}

static void no_bytes_at_null_are_no_error(void **state)
{
    (void)state;
    rmr_rd r = rmr_rd_of(rmr_bytes_of(NULL, 0));
    assert_int_equal(rmr_rd_bytes(&r, 0).len, 0);
    rmr_rd_copy(&r, NULL, 0);
    rmr_rd_skip(&r, 0);
    assert_int_equal(rmr_rd_rest(&r).len, 0);
    assert_int_equal(rmr_rd_end_exact(&r), RMR_OK);
    rmr_wr w = rmr_wr_of(rmr_buf_of(NULL, 0));
    rmr_wr_bytes(&w, NULL, 0);
    rmr_wr_zero(&w, 0);
    rmr_wr_str(&w, "");
    rmr_wr_fmt(&w, "%s", "");
    assert_int_equal(rmr_wr_end(&w), RMR_OK);
    rmr_wr_u8(&w, 0);
    assert_int_equal(rmr_wr_end(&w), RMR_E_BUFSIZE);
}

static void pieces_are_written_one_after_the_other(void **state)
{
    (void)state;
    char b[16];
    rmr_wr w = rmr_wr_of(rmr_buf_of(b, sizeof b));
    rmr_wr_str(&w, "ab");
    rmr_wr_zero(&w, 2);
    rmr_wr_bytes(&w, "cd", 2);
    uint8_t *p = rmr_wr_reserve(&w, 3);
    assert_non_null(p);
    memcpy(p, "xyz", 3);
    rmr_wr_fmt(&w, "%03d", 7);
    assert_int_equal(rmr_wr_end(&w), RMR_OK);
    assert_int_equal(w.len, 12);
    assert_memory_equal(b, "ab\0\0cdxyz007", 12);
    assert_null(rmr_wr_reserve(&w, 5));
    assert_int_equal(w.len, 12);
}

static void formatted_text_may_fill_the_buffer_to_its_end(void **state)
{
    (void)state;
    for (size_t cap = 0; cap < 8; cap++) {
        char b[8];
        memset(b, '#', sizeof b);
        rmr_wr w = rmr_wr_of(rmr_buf_of(b, cap));
        rmr_wr_fmt(&w, "%d", 12345);
        assert_int_equal(rmr_wr_end(&w), cap < 5 ? RMR_E_BUFSIZE : RMR_OK);
        assert_int_equal(w.len, cap < 5 ? 0 : 5);
        assert_memory_equal(b, cap < 5 ? "########" : "12345###", 8);
    }
}

static void long_formatted_text_is_not_cut(void **state)
{
    (void)state;
    static char b[2000], text[1500];
    memset(text, 'y', sizeof text - 1);
    rmr_wr w = rmr_wr_of(rmr_buf_of(b, sizeof b));
    rmr_wr_fmt(&w, "<%s>", text);
    assert_int_equal(rmr_wr_end(&w), RMR_OK);
    assert_int_equal(w.len, 1501);
    assert_int_equal(b[0], '<');
    assert_int_equal(b[1500], '>');
    rmr_wr_fmt(&w, "<%s>", text);
    assert_int_equal(rmr_wr_end(&w), RMR_E_BUFSIZE);
    assert_int_equal(w.len, 1501);
}

static void loads_undo_stores(void **state)
{
    (void)state;
    uint8_t b[8];
    rmr_store_be16(b, 0xfedc);
    assert_int_equal(rmr_load_be16(b), 0xfedc);
    rmr_store_be32(b, 0xfedcba98);
    assert_int_equal(rmr_load_be32(b), 0xfedcba98);
    rmr_store_le32(b, 0xfedcba98);
    assert_int_equal(b[0], 0x98);
    assert_int_equal(rmr_load_le32(b), 0xfedcba98);
    rmr_store_be64(b, 0xfedcba9876543210);
    assert_true(rmr_load_be64(b) == 0xfedcba9876543210);
    rmr_store_le64(b, 0xfedcba9876543210);
    assert_int_equal(b[0], 0x10);
    assert_true(rmr_load_le64(b) == 0xfedcba9876543210);
}

static void decimal_digits_are_written_whole_or_not_at_all(void **state)
{
    (void)state;
    static const struct {
        uint64_t v;
        const char *text;
    } cases[] = {{0, "0"},
                 {9, "9"},
                 {10, "10"},
                 {4294967296, "4294967296"},
                 {UINT64_MAX, "18446744073709551615"}};
    uint8_t b[20];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t len = strlen(cases[i].text);
        rmr_wr w = rmr_wr_of(rmr_buf_of(b, len));
        rmr_wr_dec(&w, cases[i].v);
        assert_false(w.failed);
        assert_int_equal(w.len, len);
        assert_memory_equal(b, cases[i].text, len);
        w = rmr_wr_of(rmr_buf_of(b, len - 1));
        rmr_wr_dec(&w, cases[i].v);
        assert_true(w.failed);
        assert_int_equal(w.len, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_read_in_their_byte_order),
        cmocka_unit_test(a_short_read_gives_zero_and_sticks),
        cmocka_unit_test(numbers_are_written_in_their_byte_order),
        cmocka_unit_test(a_short_write_does_nothing_and_sticks),
        cmocka_unit_test(byte_runs_are_borrowed_copied_and_skipped),
        cmocka_unit_test(an_overlong_run_gives_nothing),
        cmocka_unit_test(no_bytes_at_null_are_no_error),
        cmocka_unit_test(pieces_are_written_one_after_the_other),
        cmocka_unit_test(formatted_text_may_fill_the_buffer_to_its_end),
        cmocka_unit_test(long_formatted_text_is_not_cut),
        cmocka_unit_test(decimal_digits_are_written_whole_or_not_at_all),
        cmocka_unit_test(loads_undo_stores),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
