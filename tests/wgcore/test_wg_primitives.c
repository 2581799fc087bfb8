#include "wg_fixture.h"

static void padding_equals_the_vector(void **state)
{
    (void)state;
    tv *root = tv_load("wireguard-primitives.json");
    tv *rows = tv_get(root, "padding");
    for (size_t i = 0; i < tv_len(rows); i++) {
        tv *r = tv_at(rows, i);
        assert_int_equal(rmri_wg_padded((size_t)tv_get_int(r, "len"),
                                        (size_t)tv_get_int(r, "mtu")),
                         tv_get_int(r, "padded"));
    }
    tv_free(root);
}

static void padding_never_exceeds_15_bytes_or_the_mtu(void **state)
{
    (void)state;
    for (size_t mtu = 1; mtu < 200; mtu++)
        for (size_t len = 0; len < 500; len++) {
            size_t n = rmri_wg_padded(len, mtu);
            assert_true(n >= len && n - len < 16);
            assert_true(len > mtu || n <= mtu);
        }
}

static void stamps_equal_the_vector(void **state)
{
    (void)state;
    tv *root = tv_load("wireguard-primitives.json");
    tv *rows = tv_get(root, "tai64n");
    for (size_t i = 0; i < tv_len(rows); i++) {
        tv *r = tv_at(rows, i);
        uint8_t want[12], got[12];
        tv_get_hex(r, "tai64n", want, 12);
        rmri_wg_tai64n((uint64_t)tv_get_int(r, "unix_sec") * RMR_SEC +
                           (uint64_t)tv_get_int(r, "nsec"),
                       got);
        assert_memory_equal(got, want, 12);
    }
    tv_free(root);
}

static void stamps_rise_while_the_clock_stands_or_goes_back(void **state)
{
    (void)state;
    rmr_wg wg;
    uint8_t last[12] = {0}, got[12];
    memset(&wg, 0, sizeof wg);
    wg.wall_unix_ns = WGF_WALL + 999 * RMR_MS;
    for (int i = 0; i < 300; i++) {
        if (i == 100)
            wg.wall_unix_ns -= 3600 * RMR_SEC;
        rmri_wg_stamp(&wg, got);
        assert_true(memcmp(got, last, 12) > 0);
        assert_true(rmr_load_be32(got + 8) < RMR_SEC);
        assert_int_equal(got[9] | got[10] | got[11], 0);
        memcpy(last, got, 12);
    }
}

static void stamps_stay_above_the_stored_floor(void **state)
{
    (void)state;
    uint64_t floors[] = {WGF_WALL, WGF_WALL + 12345, WGF_WALL + RMR_SEC - 1};
    for (size_t i = 0; i < 3; i++) {
        rmr_wg wg;
        uint8_t got[12];
        memset(&wg, 0, sizeof wg);
        wg.wall_unix_ns = WGF_WALL - 3600 * RMR_SEC;
        wg.stamp_unix_ns = floors[i];
        rmri_wg_stamp(&wg, got);
        uint64_t sec = rmr_load_be64(got) - ((uint64_t)1 << 62) - 10;
        assert_true(sec * RMR_SEC + rmr_load_be32(got + 8) > floors[i]);
        assert_int_equal(wg.stamp_unix_ns,
                         sec * RMR_SEC + rmr_load_be32(got + 8));
    }
}

static void the_floor_is_reported_and_taken_back(void **state)
{
    (void)state;
    wgf f;
    rmr_wg_stats st;
    wgf_open(&f);
    wgf_handshake(&f);
    rmr_wg_get_stats(f.a.wg, &st);
    assert_true(st.tai64n_floor_unix_ns >= WGF_WALL - RMR_SEC);
    rmr_wg_free(f.a.wg);
    /* A device that has lost its clock starts anew. */
    rmr_wg_callbacks cb;
    rmr_wg_config cfg;
    rmr_env env = wgf_env(&f.a);
    wgf_config(&f.a, &cfg, &cb);
    cfg.wall_unix_ns = 5;
    cfg.wall_floor_unix_ns = st.tai64n_floor_unix_ns;
    f.now += RMR_SEC;
    assert_int_equal(rmr_wg_new(&f.a.wg, &env, &cfg, f.now), RMR_OK);
    f.a.peer = wgf_add(&f.a, f.now, f.b.pub, NULL, &f.b.at);
    wgf_handshake(&f);
    wgf_close(&f);
}

static void the_wall_clock_moves_with_now_and_by_set_wall(void **state)
{
    (void)state;
    wgf f;
    wgf_open(&f);
    f.now += 7 * RMR_SEC;
    rmri_wg_clock(f.a.wg, f.now);
    assert_int_equal(rmri_wg_wall(f.a.wg), WGF_WALL + 7 * RMR_SEC);
    rmr_wg_set_wall(f.a.wg, f.now, 99);
    assert_int_equal(rmri_wg_wall(f.a.wg), 99);
    rmr_wg_set_wall(f.a.wg, f.now, UINT64_MAX - 1);
    rmri_wg_clock(f.a.wg, f.now + 5);
    assert_true(rmri_wg_wall(f.a.wg) == UINT64_MAX);
    wgf_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(padding_equals_the_vector),
        cmocka_unit_test(padding_never_exceeds_15_bytes_or_the_mtu),
        cmocka_unit_test(stamps_equal_the_vector),
        cmocka_unit_test(stamps_rise_while_the_clock_stands_or_goes_back),
        cmocka_unit_test(stamps_stay_above_the_stored_floor),
        cmocka_unit_test(the_floor_is_reported_and_taken_back),
        cmocka_unit_test(the_wall_clock_moves_with_now_and_by_set_wall),
    };
    return cmocka_run_group_tests(tests, wgf_group_setup, NULL);
}
