#include "dns_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

void rig_on_answer(void *user, uint64_t id, rmr_err err, const rmr_addr *addrs,
                   size_t n)
{
    rig *r = user;
    char text[RMR_ADDR_TEXT_MAX];
    size_t at = strlen(r->log);
    at += (size_t)snprintf(r->log + at, sizeof r->log - at, "%u %s",
                           (unsigned)id, err ? rmr_err_name(err) : "ok");
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(addrs[i].port, 0);
        at += (size_t)snprintf(r->log + at, sizeof r->log - at, " %s",
                               rmr_addr_ip_text(&addrs[i], text));
    }
    (void)snprintf(r->log + at, sizeof r->log - at, "\n");
    if (r->ask_again) {
        uint64_t again = r->ask_again;
        r->ask_again = 0;
        assert_int_equal(rmr_dns_query(r->d, r->now, again, "again.example"),
                         RMR_OK);
    }
    if (r->pump_inside) {
        uint8_t dst[RMR_DNS_MAX_QUERY];
        size_t len;
        rmr_addr to = {0};
        assert_int_equal(rmr_dns_write_pkt(r->d, r->now,
                                           rmr_buf_of(dst, sizeof dst), &len,
                                           &to),
                         RMR_E_REENTRANT);
        assert_int_equal(
            rmr_dns_read_pkt(r->d, r->now, &to, rmr_bytes_of(dst, 12)),
            RMR_E_REENTRANT);
        assert_int_equal(rmr_dns_handle_deadline(r->d, r->now),
                         RMR_E_REENTRANT);
    }
}

void rig_prepare(rig *r)
{
    memset(r, 0, sizeof *r);
    test_rng_seed(&r->rng, 7);
    r->env = test_env(&r->mem, &r->rng, NULL);
    r->now = 1000 * RMR_SEC;
}

void rig_end(rig *r)
{
    rmr_dns_free(r->d);
    assert_int_equal(r->mem.live_blocks, 0);
}

void rig_query(rig *r, uint64_t id, const char *name)
{
    assert_int_equal(rmr_dns_query(r->d, r->now, id, name), RMR_OK);
}

void rig_expect_log(rig *r, const char *want)
{
    assert_string_equal(r->log, want);
    r->log[0] = '\0';
}

void rig_pass(rig *r, rmr_dur d)
{
    r->now += d;
    assert_int_equal(rmr_dns_handle_deadline(r->d, r->now), RMR_OK);
    assert_true(rmr_dns_next_deadline(r->d) > r->now);
}
