/* Metrics as text: the form, and buffers of each size. */
#include <remora/metrics.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

static const char whole[] = "# HELP frobs_total What was frobbed.\n"
                            "# TYPE frobs_total counter\n"
                            "frobs_total 18446744073709551615\n"
                            "# HELP frob_bytes Their size.\n"
                            "# TYPE frob_bytes gauge\n"
                            "frob_bytes{kind=\"red\"} 7\n"
                            "frob_mean 1.50\n";

static rmr_err build(rmr_buf dst, size_t *len)
{
    rmr_mx m;
    rmr_mx_init(&m, dst);
    rmr_mx_value(&m, "frobs_total", "counter", "What was frobbed.", UINT64_MAX);
    rmr_mx_family(&m, "frob_bytes", "gauge", "Their size.");
    rmr_mx_labelled(&m, "frob_bytes", "kind", "red", 7);
    rmr_mx_put(&m, "frob_mean %.2f\n", 1.5);
    return rmr_mx_end(&m, len);
}

static void lines_have_the_form_that_is_read(void **st)
{
    uint8_t buf[512];
    size_t len = 1;
    (void)st;
    assert_int_equal(build(rmr_buf_of(buf, sizeof buf), &len), RMR_OK);
    assert_int_equal(len, sizeof whole - 1);
    assert_memory_equal(buf, whole, len);
}

/* Room for a NUL is wanted behind it. */
static void what_does_not_fit_is_told_at_the_end(void **st)
{
    uint8_t buf[512];
    (void)st;
    for (size_t cap = 0; cap < sizeof whole + 2; cap++) {
        size_t len = 1;
        memset(buf, 0xa5, sizeof buf);
        rmr_err err = build(rmr_buf_of(buf, cap), &len);
        assert_int_equal(err, cap < sizeof whole ? RMR_E_BUFSIZE : RMR_OK);
        assert_int_equal(len, cap < sizeof whole ? 0 : sizeof whole - 1);
        for (size_t i = cap; i < sizeof buf; i++)
            assert_int_equal(buf[i], 0xa5);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_have_the_form_that_is_read),
        cmocka_unit_test(what_does_not_fit_is_told_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
