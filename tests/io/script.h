/*
 * A machine that a test scripts: operations are queued with do_*(), what the
 * adapter tells is kept in order and taken with await() and its kin.
 *
 * What await() waits for is an event, never a time; it gives up after ten
 * seconds, and then the test has failed.
 */
#ifndef REMORA_TEST_SCRIPT_H
#define REMORA_TEST_SCRIPT_H

#include "adapter.h"

#define SCRIPT_OPS 4096
#define LOOPBACK4 rmr_addr_v4(127, 0, 0, 1, 0)

typedef struct told { /* an event, with a copy of its data */
    rmr_io_event ev;
    rmr_time now;
    size_t n_next_op; /* calls of next_op before it */
    uint8_t *data;
    size_t n_own; /* LINKS: addresses, and the first of them */
    rmr_addr own;
    bool is_taken;
} told;

typedef struct script {
    adapter *a;
    rmr_io_op ops[SCRIPT_OPS]; /* data and names are copies */
    size_t first_op, n_ops;
    told *events;
    size_t n_events, cap_events, first_event; /* before it all are taken */
    size_t n_next_op, n_deadlines;
    rmr_time deadline, deadline_now;
    rmr_err event_result;    /* given to the next event */
    bool gives_ops_in_event; /* queue a READ of 1 for each ACCEPTED */
    bool pauses_on_accept;   /* queue an ACCEPT_PAUSE for each ACCEPTED */
    bool is_stopped;         /* STOP was given; then every call is wrong */
} script;

/* When set: called with true at the start of each of the machine's functions
 * and with false at its end. */
extern void (*script_hook)(bool is_inside);

/* Adds itself to the adapter. */
void script_init(script *s, adapter *a);
/* The same, with a machine of the caller's around it. */
void script_init_around(script *s, adapter *a,
                        rmr_machine (*around)(void *user, const rmr_machine *m),
                        void *user);
/* After the adapter was freed. */
void script_wipe(script *s);

void do_op(script *s, const rmr_io_op *op);
void do_udp_open(script *s, uint64_t id, rmr_addr local);
void do_udp_open_whole(script *s, uint64_t id, rmr_addr local);
void do_udp_send(script *s, uint64_t id, rmr_addr to, const void *data,
                 size_t len, uint32_t seg_size);
void do_connect(script *s, uint64_t id, rmr_addr to, rmr_dur timeout);
void do_listen(script *s, uint64_t id, rmr_addr local);
void do_local(script *s, rmr_io_op_kind kind, uint64_t id, const char *name);
void do_simple(script *s, rmr_io_op_kind kind, uint64_t id);
void do_read(script *s, uint64_t id, size_t credit);
void do_send(script *s, uint64_t id, const void *data, size_t len);
void do_load(script *s, uint64_t id, const char *name);
void do_store(script *s, uint64_t id, const char *name, const void *data,
              size_t len, bool more);
void do_stop(script *s, rmr_err err);

/* The first event of that kind and id that was not taken before; NULL at once
 * when it is not there. */
const told *seen(script *s, rmr_io_event_kind kind, uint64_t id);
/* The same, turning until it is there. */
const told *await(script *s, rmr_io_event_kind kind, uint64_t id);
/* FAILED of that id: its reason. */
rmr_err await_failed(script *s, uint64_t id);
/* OPENED of that id: the local address. */
rmr_addr await_opened(script *s, uint64_t id);
/* Turns that do not wait. */
void turns(script *s, int n);
/* Turns that it takes until a deadline, 30 ms from now, is handled: few, unless
 * something keeps the loop busy. */
size_t turns_until_deadline(script *s);
/* Events of that id that were not taken; 0 is every id. */
size_t left(const script *s, uint64_t id);

/* Gives credit and collects bytes until there are `len`; returns them in a
 * buffer that the caller frees. */
uint8_t *await_bytes(script *s, uint64_t id, size_t len);
/* A whole blob: its parts joined; the caller frees them. */
uint8_t *await_blob(script *s, uint64_t id, size_t *len, size_t *parts);

/* Two ends of one stream over loopback, both the script's. */
typedef struct ends {
    uint64_t a, b; /* a connected, b was accepted */
} ends;
ends make_stream(script *s, uint64_t listener, uint64_t id);

/* Bytes that differ from place to place, by a seed. */
uint8_t *pattern(size_t len, uint32_t seed);

/* What most tests start with: a directory, an adapter, one machine. */
typedef struct fixture {
    char *dir;
    adapter *a;
    script s;
} fixture;
int fixture_setup(void **state);
int fixture_teardown(void **state);
#define IO_TEST(name)                                                          \
    cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

/* Runs the tests that every adapter passes, and on a real host those of it. */
#define IO_RUN(shared, host)                                                   \
    (cmocka_run_group_tests(shared, NULL, NULL) +                              \
     (adapter_is_host ? cmocka_run_group_tests(host, NULL, NULL) : 0))

/* A new directory for a test, and its removal. */
char *temp_dir(void);
void remove_dir(char *dir);
/* Files in it, hidden ones too. */
size_t count_files(const char *dir);
/* So many, on a real host. */
void expect_files(const char *dir, size_t n);

#endif
