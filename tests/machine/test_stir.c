/* Who hears that something happened: all, or the layer whose link it is. */
#include "mc_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

typedef struct layer {
    rig r;
    int opened, stirred; /* its own */
    rmr_err read_err, write_err;
    bool says;
} layer;

static void opened(void *owner, rmr_time now)
{
    (void)now;
    ((layer *)owner)->opened++;
}

static void closed(void *owner, rmr_time now, rmr_err why, const char *text)
{
    (void)owner, (void)now, (void)why, (void)text;
}

static rmr_err read_some(void *owner, rmr_time now, rmr_buf data)
{
    (void)now, (void)data;
    return ((layer *)owner)->read_err;
}

static rmr_err write_some(void *owner, rmr_time now, rmr_buf dst, size_t *len)
{
    layer *l = owner;
    (void)now;
    *len = l->says ? 1 : 0;
    dst.ptr[0] = '!';
    l->says = false;
    return l->write_err;
}

static void stir(void *owner)
{
    ((layer *)owner)->stirred++;
}

static const rmr_mc_link_ops ops = {
    .opened = opened,
    .closed = closed,
    .read = read_some,
    .write = write_some,
    .stir = stir,
};

static void start(layer *l, const rmr_mc_proxy *proxy)
{
    memset(l, 0, sizeof *l);
    rig_start(&l->r, proxy);
    rmr_mc_link_free(l->r.link);
    l->r.link = rmr_mc_link_new(l->r.mc, &ops, l);
    assert_non_null(l->r.link);
}

/* Of a layer without a stir of its own; the last event finds nobody. */
static void each_event_stirs_all(void **state)
{
    static const rmr_io_event_kind kinds[] = {
        RMR_IO_WALL,     RMR_IO_STOP_REQUEST, RMR_IO_BYTES, RMR_IO_SENT,
        RMR_IO_WRITABLE, RMR_IO_BLOCKED,      RMR_IO_RESET, RMR_IO_BYTES};
    rig r;
    (void)state;
    rig_start(&r, NULL);
    rmr_io_op op = rig_open(&r, "192.0.2.7");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        r.stirred = 0;
        rig_give(&r, kinds[i], op.id, NULL);
        assert_true(r.stirred > 0);
    }
    rig_end(&r);
}

/* An attempt, an end, and what is not known are everybody's. */
static void bytes_of_an_open_link_are_its_layers_news_alone(void **state)
{
    layer l;
    (void)state;
    start(&l, NULL);
    rmr_io_op op = rig_open(&l.r, "192.0.2.7");
    assert_int_equal(l.opened, 1);
    assert_true(l.r.stirred > 0);
    assert_int_equal(l.stirred, 0);
    l.r.stirred = 0;
    rig_give(&l.r, RMR_IO_BYTES, op.id, "world");
    assert_int_equal(l.stirred, 1);
    l.says = true;
    rmr_mc_link_output(l.r.link);
    assert_string_equal(rig_sent(&l.r), "!");
    assert_int_equal(l.stirred, 2);
    rig_give(&l.r, RMR_IO_SENT, op.id, NULL);
    assert_int_equal(l.stirred, 3);
    assert_int_equal(l.r.stirred, 0);
    l.read_err = RMR_E_MALFORMED; /* the link is dropped */
    rig_give(&l.r, RMR_IO_BYTES, op.id, "nonsense");
    assert_true(l.r.stirred > 0);
    l.r.stirred = l.stirred = 0;
    rig_give(&l.r, RMR_IO_BYTES, op.id, "more");
    assert_true(l.r.stirred > 0);
    assert_int_equal(l.stirred, 0);
    rig_end(&l.r);
}

/* As of a read: the layer has told it, and dials anew, when it is asked. */
static void
a_write_that_fails_ends_the_link_and_is_everybodys_news(void **state)
{
    layer l;
    (void)state;
    start(&l, NULL);
    rmr_io_op op = rig_open(&l.r, "192.0.2.7");
    assert_string_equal(rig_sent(&l.r), ""); /* leave to read went out */
    l.write_err = RMR_E_NOMEM;
    l.r.stirred = 0;
    rmr_mc_link_output(l.r.link);
    rmr_io_op end = rig_next(&l.r);
    assert_int_equal(end.kind, RMR_IO_ABORT);
    assert_int_equal(end.id, op.id);
    assert_true(l.r.stirred > 0);
    assert_false(rmr_mc_link_is_open(l.r.link));
    assert_int_equal(rig_next(&l.r).kind, RMR_IO_NONE);
    rig_end(&l.r);
}

/* Through a proxy nothing is the layer's before it is through. */
static void the_answer_of_a_proxy_is_everybodys_news(void **state)
{
    layer l;
    (void)state;
    start(&l, &rig_proxy);
    rmr_io_op op = rig_open(&l.r, "host.example");
    (void)rig_sent(&l.r);
    l.r.stirred = 0;
    rig_give(&l.r, RMR_IO_SENT, op.id, NULL);
    rig_give(&l.r, RMR_IO_BYTES, op.id, "HTTP/1.1 200 OK\r\n\r\n");
    assert_int_equal(l.opened, 1);
    assert_int_equal(l.r.stirred, 2);
    assert_int_equal(l.stirred, 0);
    rig_give(&l.r, RMR_IO_EOF, op.id, NULL);
    assert_true(l.r.stirred > 2);
    rig_end(&l.r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_event_stirs_all),
        cmocka_unit_test(bytes_of_an_open_link_are_its_layers_news_alone),
        cmocka_unit_test(
            a_write_that_fails_ends_the_link_and_is_everybodys_news),
        cmocka_unit_test(the_answer_of_a_proxy_is_everybodys_news),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
