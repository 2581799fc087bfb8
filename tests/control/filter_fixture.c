#include "filter_fixture.h"

#include <remora/cursor.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

size_t ff_make(uint8_t *out, const ff_packet *s)
{
    rmr_addr src, dst;
    assert_int_equal(rmr_addr_parse_ip(rmr_bytes_str(s->src), &src), RMR_OK);
    assert_int_equal(rmr_addr_parse_ip(rmr_bytes_str(s->dst), &dst), RMR_OK);
    assert_int_equal(src.family, dst.family);
    bool v4 = src.family == RMR_AF_INET;
    size_t head = v4 ? 20 : 40;
    size_t trans = s->proto == 6 ? 20 : s->proto == 132 ? 12 : 8;
    if (s->transport)
        trans = s->transport;
    size_t len = head + trans + s->payload;
    memset(out, 0, len + 64);
    uint8_t *t = out + head;
    if (v4) {
        out[0] = 0x45;
        rmr_store_be16(out + 2, (uint16_t)len);
        rmr_store_be16(out + 6, s->frag);
        out[9] = s->proto;
        memcpy(out + 12, src.ip, 4);
        memcpy(out + 16, dst.ip, 4);
    } else {
        out[0] = 0x60;
        rmr_store_be16(out + 4, (uint16_t)(len - 40));
        out[6] = s->proto;
        memcpy(out + 8, src.ip, 16);
        memcpy(out + 24, dst.ip, 16);
    }
    if (s->proto == 1 || s->proto == 58) {
        t[0] = s->flags;
    } else {
        rmr_store_be16(t, s->sport);
        rmr_store_be16(t + 2, s->dport);
        if (s->proto == 6)
            t[13] = s->flags;
    }
    return len - s->cut;
}

static void add_src(rmr_filter *f, const char *text)
{
    rmr_ip_range r[2];
    size_t n;
    assert_int_equal(rmr_ip_range_parse(rmr_bytes_str(text), r, &n), RMR_OK);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(rmr_filter_rule_src(f, &r[i]), RMR_OK);
}

void ff_add(rmr_filter *f, const ff_rule *u)
{
    static const uint8_t four[] = {6, 17, 1, 58, 0};
    rmr_ip_range r[2];
    size_t n;
    assert_int_equal(rmr_filter_rule_begin(f), RMR_OK);
    for (size_t i = 0; i < 4 && u->src[i]; i++)
        add_src(f, u->src[i]);
    const uint8_t *p = u->proto[0] ? u->proto : four;
    for (; *p; p++)
        assert_int_equal(rmr_filter_rule_proto(f, *p), RMR_OK);
    for (size_t i = 0; i < 3 && u->dst[i]; i++) {
        assert_int_equal(rmr_ip_range_parse(rmr_bytes_str(u->dst[i]), r, &n),
                         RMR_OK);
        for (size_t k = 0; k < n; k++)
            assert_int_equal(rmr_filter_rule_dst(f, &r[k], u->first, u->last),
                             RMR_OK);
    }
    assert_int_equal(rmr_filter_rule_end(f), RMR_OK);
}

static const ff_rule rules[] = {
    {{"100.64.0.1-100.64.0.2", "fd7a:115c:a1e0::4"},
     {6},
     {"100.64.0.5"},
     22,
     22},
    {{"100.64.0.7", "100.64.0.8"}, {0}, {"100.64.0.5", "fd7a::5"}, 80, 90},
    {{"100.64.9.0/24"}, {17}, {"*"}, 0, 65535},
    {{"100.64.0.20"}, {47}, {"100.64.0.5"}, 0, 65535},
    {{"100.64.0.21"}, {47}, {"100.64.0.5"}, 1, 65535},
    {{"fd7a::/16"}, {0}, {"fd7a::5"}, 0, 65535},
    {{"100.64.0.30"}, {132}, {"100.64.0.5"}, 5000, 5000},
};

rmr_filter *ff_filter(test_alloc *a)
{
    rmr_env env = test_env(a, NULL, NULL);
    rmr_filter *f = NULL;
    rmr_prefix local[4];
    static const char *const texts[4] = {"100.64.0.5", "fd7a::5",
                                         "10.55.0.0/24", "169.254.169.254"};
    assert_int_equal(rmr_filter_new(&f, &env), RMR_OK);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(rmr_prefix_parse(rmr_bytes_str(texts[i]), &local[i]),
                         RMR_OK);
    assert_int_equal(rmr_filter_set_local(f, local, 4), RMR_OK);
    rmr_filter_begin(f);
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        ff_add(f, &rules[i]);
    assert_int_equal(rmr_filter_commit(f), RMR_OK);
    assert_int_equal(rmr_filter_rule_count(f), sizeof rules / sizeof *rules);
    return f;
}
