/* What is io-gcd's own: life and end, its queue, wake-ups from elsewhere.  The
 * rules that all adapters share are tests/io's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#ifdef __linux__
#include <sys/epoll.h>
#endif

#include <remora/posix.h>

#include "gcd_internal.h"

static bool is_portable; /* the form that is tested */

#ifdef __linux__
static size_t refuse_control; /* io-posix's n-th call of it; 0: none */

int __real_epoll_ctl(int fd, int op, int of, struct epoll_event *ev);
int __wrap_epoll_ctl(int fd, int op, int of, struct epoll_event *ev);
int __wrap_epoll_ctl(int fd, int op, int of, struct epoll_event *ev)
{
    errno = ENOSPC;
    return refuse_control && --refuse_control == 0
               ? -1
               : __real_epoll_ctl(fd, op, of, ev);
}
#endif

/* A machine that wants a UDP socket, a deadline, and to stop when it is asked.
 * It runs on the queue: what is asserted is asserted after its end. */
typedef struct toy {
    rmr_time deadline;
    bool wants_socket, is_stopping;
    rmr_err result;
    size_t walls, opened, deadlines, stops;
    rmr_time handled_at;
    rmr_addr at;              /* where the socket is */
    dispatch_semaphore_t did; /* each time that it was told something */
} toy;

static rmr_err toy_event(void *self, rmr_time now, const rmr_io_event *ev)
{
    toy *t = self;
    (void)now;
    t->walls += ev->kind == RMR_IO_WALL;
    t->opened += ev->kind == RMR_IO_OPENED;
    if (ev->kind == RMR_IO_OPENED)
        t->at = ev->addr;
    if (ev->kind == RMR_IO_STOP_REQUEST) {
        t->stops++;
        t->is_stopping = true;
    }
    (void)dispatch_semaphore_signal(t->did);
    return RMR_OK;
}

static rmr_err toy_next_op(void *self, rmr_time now, rmr_buf scratch,
                           rmr_io_op *op)
{
    toy *t = self;
    (void)now, (void)scratch;
    op->kind = RMR_IO_NONE;
    if (t->wants_socket) {
        t->wants_socket = false;
        op->kind = RMR_IO_UDP_OPEN;
        op->id = 1;
        op->addr = t->at;
    } else if (t->is_stopping) {
        op->kind = RMR_IO_STOP;
        op->err = t->result;
    }
    return RMR_OK;
}

static rmr_time toy_next_deadline(const void *self)
{
    return ((const toy *)self)->deadline;
}

static rmr_err toy_handle_deadline(void *self, rmr_time now)
{
    toy *t = self;
    t->deadline = RMR_TIME_NEVER;
    t->handled_at = now;
    t->deadlines++;
    (void)dispatch_semaphore_signal(t->did);
    return RMR_OK;
}

static void toy_init(toy *t)
{
    memset(t, 0, sizeof *t);
    t->deadline = RMR_TIME_NEVER;
    t->at = rmr_addr_v4(127, 0, 0, 1, 0);
    t->did = dispatch_semaphore_create(0);
}

static rmr_machine toy_machine(toy *t)
{
    return (rmr_machine){t, toy_event, toy_next_op, toy_next_deadline,
                         toy_handle_deadline};
}

typedef struct ending {
    dispatch_semaphore_t came;
    rmr_err result;
    size_t n;
} ending;

static void on_end(void *user, rmr_err result)
{
    ending *e = user;
    e->result = result;
    e->n++;
    (void)dispatch_semaphore_signal(e->came);
}

/* Ten seconds; then the test has failed. */
static void await(dispatch_semaphore_t s)
{
    assert_int_equal(
        dispatch_semaphore_wait(
            s, dispatch_time(DISPATCH_TIME_NOW, (int64_t)(10 * RMR_SEC))),
        0);
}

static rmr_gcd *make(ending *e, dispatch_queue_t queue)
{
    rmr_gcd_config cfg;
    rmr_gcd *g = NULL;
    memset(e, 0, sizeof *e);
    e->came = dispatch_semaphore_create(0);
    rmr_gcd_config_init(&cfg, sizeof cfg);
    cfg.no_links = true;
    cfg.portable = is_portable;
    cfg.queue = queue;
    cfg.user = e;
    cfg.on_end = on_end;
    assert_int_equal(rmr_gcd_new(&g, &cfg), RMR_OK);
    return g;
}

static void nothing(void *context)
{
    (void)context;
}

/* Lets the cancellations run, so that a sanitizer sees what is left. */
static void settle(dispatch_queue_t queue)
{
    for (int i = 0; i < 3; i++)
        dispatch_sync_f(queue, NULL, nothing);
}

/* ---- the tests --------------------------------------------------------- */

static void it_is_freed_without_a_machine(void **state)
{
    ending e;
    (void)state;
    rmr_gcd_free(make(&e, NULL));
    assert_int_equal(e.n, 0);
    rmr_gcd_free(NULL);
    dispatch_release(e.came);
}

static void a_machine_runs_and_its_result_is_told_once(void **state)
{
    ending e;
    toy t;
    (void)state;
    toy_init(&t);
    t.wants_socket = true;
    t.result = RMR_E_REFUSED;
    rmr_machine m = toy_machine(&t);
    rmr_gcd *g = make(&e, NULL);
    assert_int_equal(rmr_gcd_add(g, &m), RMR_OK);
    await(t.did); /* WALL */
    await(t.did); /* OPENED */
    rmr_gcd_request_stop(g);
    await(e.came);
    assert_int_equal(e.result, RMR_E_REFUSED);
    assert_int_equal(rmr_gcd_add(g, &m), RMR_E_CLOSED);
    rmr_gcd_wake(g); /* does no harm */
    rmr_gcd_free(g);
    assert_int_equal(e.n, 1);
    assert_int_equal(t.walls, 1);
    assert_int_equal(t.opened, 1);
    assert_int_equal(t.stops, 1);
    dispatch_release(t.did);
    dispatch_release(e.came);
}

static void a_deadline_wakes_it(void **state)
{
    ending e;
    toy t;
    (void)state;
    toy_init(&t);
    rmr_time at = t.deadline = rmr_posix_now() + 20 * RMR_MS;
    rmr_machine m = toy_machine(&t);
    rmr_gcd *g = make(&e, NULL);
    assert_int_equal(rmr_gcd_add(g, &m), RMR_OK);
    await(t.did); /* WALL */
    await(t.did); /* the deadline */
    rmr_gcd_free(g);
    assert_int_equal(t.deadlines, 1);
    assert_true(t.handled_at >= at);
    assert_int_equal(e.n, 0);
    dispatch_release(t.did);
    dispatch_release(e.came);
}

static void stop_on_queue(void *context)
{
    ((toy *)context)->is_stopping = true;
}

static void what_the_host_changed_on_the_queue_is_seen_after_wake(void **state)
{
    ending e;
    toy t;
    (void)state;
    toy_init(&t);
    rmr_machine m = toy_machine(&t);
    rmr_gcd *g = make(&e, NULL);
    assert_int_equal(rmr_gcd_add(g, &m), RMR_OK);
    dispatch_sync_f(rmr_gcd_queue(g), &t, stop_on_queue);
    rmr_gcd_wake(g);
    await(e.came);
    rmr_gcd_free(g);
    dispatch_release(t.did);
    dispatch_release(e.came);
}

static void two_share_the_hosts_queue(void **state)
{
    dispatch_queue_t queue = dispatch_queue_create("host", NULL);
    ending e[2];
    toy t[2];
    rmr_gcd *g[2];
    (void)state;
    for (int i = 0; i < 2; i++) {
        toy_init(&t[i]);
        rmr_machine m = toy_machine(&t[i]);
        g[i] = make(&e[i], queue);
        assert_ptr_equal(rmr_gcd_queue(g[i]), queue);
        assert_int_equal(rmr_gcd_add(g[i], &m), RMR_OK);
    }
    rmr_gcd_request_stop(g[0]);
    await(e[0].came);
    rmr_gcd_free(g[0]);
    settle(queue);
    rmr_gcd_request_stop(g[1]); /* lives on */
    await(e[1].came);
    rmr_gcd_free(g[1]);
    settle(queue);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(t[i].stops, 1);
        dispatch_release(t[i].did);
        dispatch_release(e[i].came);
    }
    dispatch_release(queue);
}

static void free_on_queue(void *context)
{
    rmr_gcd_free(context);
}

static void it_may_be_freed_on_its_queue(void **state)
{
    dispatch_queue_t queue = dispatch_queue_create("host", NULL);
    ending e;
    toy t;
    (void)state;
    toy_init(&t);
    t.wants_socket = true;
    t.deadline = rmr_posix_now(); /* under way */
    rmr_machine m = toy_machine(&t);
    rmr_gcd *g = make(&e, queue);
    assert_int_equal(rmr_gcd_add(g, &m), RMR_OK);
    dispatch_sync_f(queue, g, free_on_queue);
    settle(queue);
    size_t told = t.opened + t.deadlines;
    settle(queue);
    assert_int_equal(t.opened + t.deadlines, told); /* never called again */
    assert_int_equal(e.n, 0);
    dispatch_release(t.did);
    dispatch_release(e.came);
    dispatch_release(queue);
}

/* Its sockets are closed when free comes back: the next one gets their port. */
static void what_is_freed_is_closed(void **state)
{
    rmr_addr at = rmr_addr_v4(127, 0, 0, 1, 0);
    (void)state;
    for (int i = 0; i < 20; i++) {
        ending e;
        toy t;
        toy_init(&t);
        t.wants_socket = true;
        t.at = at;
        rmr_machine m = toy_machine(&t);
        rmr_gcd *g = make(&e, NULL);
        assert_int_equal(rmr_gcd_add(g, &m), RMR_OK);
        await(t.did); /* WALL */
        await(t.did); /* OPENED, or FAILED */
        rmr_gcd_free(g);
        assert_int_equal(t.opened, 1);
        at = t.at;
        dispatch_release(t.did);
        dispatch_release(e.came);
    }
}

#ifdef __linux__
/* No watches are left: from then on there is a source for each socket. */
static void a_kernel_that_refuses_watches_is_no_hindrance(void **state)
{
    (void)state;
    for (size_t n = 1; n <= 2; n++) { /* of wake; of the socket */
        ending e;
        toy t;
        toy_init(&t);
        t.wants_socket = true;
        rmr_machine m = toy_machine(&t);
        refuse_control = n;
        rmr_gcd *g = make(&e, NULL);
        assert_int_equal(rmr_gcd_add(g, &m), RMR_OK);
        await(t.did);                                     /* WALL */
        await(t.did);                                     /* OPENED */
        dispatch_sync_f(rmr_gcd_queue(g), NULL, nothing); /* that turn ends */
        refuse_control = 0;
        assert_int_equal(rmr_posix_fd(g->posix), -1);
        rmr_gcd_request_stop(g); /* heard by the source on its pipe */
        await(e.came);
        assert_false(g->is_blind);
        rmr_gcd_free(g);
        dispatch_release(t.did);
        dispatch_release(e.came);
    }
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_freed_without_a_machine),
        cmocka_unit_test(a_machine_runs_and_its_result_is_told_once),
        cmocka_unit_test(a_deadline_wakes_it),
        cmocka_unit_test(what_the_host_changed_on_the_queue_is_seen_after_wake),
        cmocka_unit_test(two_share_the_hosts_queue),
        cmocka_unit_test(it_may_be_freed_on_its_queue),
        cmocka_unit_test(what_is_freed_is_closed),
#ifdef __linux__
        cmocka_unit_test(a_kernel_that_refuses_watches_is_no_hindrance),
#endif
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    is_portable = true;
    return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
