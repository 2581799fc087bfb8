#include "mc_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

static void on_stir(void *user)
{
    ((rig *)user)->stirred++;
}

static void l_opened(void *owner, rmr_time now)
{
    (void)now;
    ((rig *)owner)->opened++;
}

static void l_closed(void *owner, rmr_time now, rmr_err why, const char *text)
{
    rig *r = owner;
    (void)now;
    r->closed++;
    r->why = why;
    snprintf(r->text, sizeof r->text, "%s", text);
}

static rmr_err l_read(void *owner, rmr_time now, rmr_buf data)
{
    rig *r = owner;
    (void)now;
    memcpy(r->got + r->got_len, data.ptr, data.len);
    r->got_len += data.len;
    return r->read_err;
}

static rmr_err l_write(void *owner, rmr_time now, rmr_buf dst, size_t *len)
{
    rig *r = owner;
    (void)now;
    *len = strlen(r->say);
    memcpy(dst.ptr, r->say, *len);
    r->say[0] = 0;
    return RMR_OK;
}

static const rmr_mc_link_ops layer = {
    .opened = l_opened, .closed = l_closed, .read = l_read, .write = l_write};

rmr_err rig_new(rig *r, const rmr_mc_proxy *proxy)
{
    rmr_mc_config cfg;
    r->env = test_env(&r->alloc, &r->rng, NULL);
    rmr_mc_config_init(&cfg, sizeof cfg);
    cfg.user = r;
    cfg.on_stir = on_stir;
    if (proxy)
        cfg.proxy = *proxy;
    rmr_err err = rmr_mc_new(&r->mc, &r->env, &cfg);
    if (err != RMR_OK)
        return err;
    r->link = rmr_mc_link_new(r->mc, &layer, r);
    return r->link ? RMR_OK : RMR_E_NOMEM;
}

void rig_start(rig *r, const rmr_mc_proxy *proxy)
{
    memset(r, 0, sizeof *r);
    test_rng_seed(&r->rng, 1);
    r->now = RMR_SEC;
    assert_int_equal(rig_new(r, proxy), RMR_OK);
}

void rig_end(rig *r)
{
    rmr_mc_link_free(r->link);
    rmr_mc_free(r->mc);
    r->link = NULL;
    r->mc = NULL;
    assert_int_equal(r->alloc.live_blocks, 0);
}

rmr_io_op rig_next(rig *r)
{
    rmr_io_op op = {0};
    rmr_mc_pump(r->mc, r->now);
    if (!rmr_mc_next_op(r->mc, r->now,
                        rmr_buf_of(r->scratch, sizeof r->scratch), &op))
        op.kind = RMR_IO_NONE;
    return op;
}

void rig_give(rig *r, rmr_io_event_kind kind, uint64_t id, const char *data)
{
    uint8_t copy[512];
    rmr_io_event ev = {0};
    ev.kind = kind;
    ev.id = id;
    if (data) {
        memcpy(copy, data, strlen(data));
        ev.data = rmr_buf_of(copy, strlen(data));
    }
    ev.err = kind == RMR_IO_FAILED ? RMR_E_REFUSED : RMR_OK;
    rmr_mc_event(r->mc, r->now, &ev);
}

void rig_pass(rig *r, rmr_dur t)
{
    r->now += t;
    rmr_mc_handle_deadline(r->mc, r->now);
    assert_true(rmr_mc_next_deadline(r->mc) > r->now);
}

rmr_dial rig_dial_to(const char *host)
{
    rmr_dial d = {0};
    snprintf(d.host, sizeof d.host, "%s", host);
    d.port = 8080;
    return d;
}

rmr_io_op rig_open(rig *r, const char *host)
{
    rmr_dial d = rig_dial_to(host);
    rmr_mc_link_dial(r->link, r->now, &d);
    rmr_io_op op = rig_next(r);
    assert_int_equal(op.kind, RMR_IO_CONNECT);
    rig_give(r, RMR_IO_OPENED, op.id, NULL);
    return op;
}

const rmr_mc_proxy rig_proxy = {
    .host = "10.0.0.1",
    .port = 3128,
    .authorization = "user:pass",
    .no_proxy =
        "direct.example, .corp.example,*.star.example 10.1.0.0/16\tfd00::1",
};

const char *rig_sent(rig *r)
{
    for (int i = 0; i < 4; i++) {
        rmr_io_op op = rig_next(r);
        if (op.kind != RMR_IO_STREAM_SEND)
            continue;
        r->scratch[op.data.len] = 0;
        return (const char *)r->scratch;
    }
    return "";
}
