/* A thousand sockets and streams at once: each is served, none is confused with
 * another, and closing some disturbs nobody. */
#define _DEFAULT_SOURCE
#include "script.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define SOCKETS 1000
#define STREAMS 500            /* two ends each */
#define ENDS ((uint64_t)10000) /* ids of those that connect */

/* Room for them; a host's usual bound is 1,024. */
static int raise_limit(void **state)
{
    struct rlimit r;
    (void)state;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0)
        return 1;
    if (r.rlim_cur < 4096)
        r.rlim_cur = r.rlim_max < 4096 ? r.rlim_max : 4096;
    return setrlimit(RLIMIT_NOFILE, &r);
}

static void a_thousand_datagram_sockets_are_served(void **state)
{
    fixture *f = *state;
    script *s = &f->s;
    rmr_addr *at = calloc(SOCKETS + 1, sizeof *at);
    assert_non_null(at);
    for (uint64_t id = 1; id <= SOCKETS; id++)
        do_udp_open(s, id, LOOPBACK4);
    for (uint64_t id = 1; id <= SOCKETS; id++)
        at[id] = await_opened(s, id);
    /* Each to another one: every socket sends and every socket gets. */
    for (uint64_t id = 1; id <= SOCKETS; id++)
        do_udp_send(s, id, at[1 + id * 7 % SOCKETS], &id, sizeof id, 0);
    for (uint64_t id = 1; id <= SOCKETS; id++) {
        const told *t = await(s, RMR_IO_DATAGRAMS, 1 + id * 7 % SOCKETS);
        assert_memory_equal(t->data, &id, sizeof id);
        assert_true(rmr_addr_eq(&t->ev.addr, &at[id]));
    }
    for (uint64_t id = 1; id < SOCKETS; id += 2)
        do_simple(s, RMR_IO_CLOSE, id);
    for (uint64_t id = 2; id <= SOCKETS; id += 2)
        do_udp_send(s, id, at[SOCKETS], &id, sizeof id, 0);
    for (uint64_t id = 2; id <= SOCKETS; id += 2)
        (void)await(s, RMR_IO_DATAGRAMS, SOCKETS);
    turns(s, 3);
    for (uint64_t id = 1; id < SOCKETS; id += 2)
        assert_int_equal(left(s, id), 0);
    free(at);
}

static void a_thousand_ends_of_streams_are_served(void **state)
{
    fixture *f = *state;
    script *s = &f->s;
    uint64_t *child = calloc(STREAMS, sizeof *child);
    assert_non_null(child);
    do_listen(s, 1, LOOPBACK4);
    rmr_addr to = await_opened(s, 1);
    for (uint64_t i = 0; i < STREAMS; i++) {
        do_connect(s, ENDS + i, to, 0);
        (void)await_opened(s, ENDS + i);
        child[i] = await(s, RMR_IO_ACCEPTED, 1)->ev.child;
    }
    for (uint64_t i = 0; i < STREAMS; i++)
        do_send(s, ENDS + i, &i, sizeof i);
    for (uint64_t i = 0; i < STREAMS; i++) {
        uint64_t *got = (uint64_t *)(void *)await_bytes(s, child[i], sizeof i);
        assert_true(*got == i);
        free(got);
    }
    for (uint64_t i = 0; i < STREAMS; i += 2)
        do_simple(s, RMR_IO_ABORT, ENDS + i);
    for (uint64_t i = 0; i < STREAMS; i++)
        do_read(s, child[i], 1);
    for (uint64_t i = 0; i < STREAMS; i += 2)
        (void)await(s, RMR_IO_RESET, child[i]);
    for (uint64_t i = 1; i < STREAMS; i += 2)
        do_send(s, ENDS + i, "x", 1);
    for (uint64_t i = 1; i < STREAMS; i += 2)
        (void)await(s, RMR_IO_BYTES, child[i]);
    free(child);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IO_TEST(a_thousand_datagram_sockets_are_served),
        IO_TEST(a_thousand_ends_of_streams_are_served),
    };
    return cmocka_run_group_tests(tests, raise_limit, NULL);
}
