/*
 * Deltas in any order against a slow model (tests/control/nm_model.c).  Input:
 * dice.  Each frame's sections stand in any order, it comes in pieces of any
 * size, and now and then memory fails.  Checked after each: what the model
 * says by id, key, address and name; the indexes agree with the table.  A
 * frame without memory is told as such, and a full list makes all well again.
 */
#include <remora/netmap.h>

#include <string.h>

#include "need.h"
#include "nm_model.h"
#include "nm_support.h"
#include "support.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct input {
    const uint8_t *p;
    size_t left;
} input;

static unsigned roll(void *user, unsigned n)
{
    input *in = user;
    if (in->left == 0)
        return 0;
    in->left--;
    return *in->p++ % n;
}

static void full(rmr_nm *nm, const nm_dice *dice, nm_text *t, nm_model *m)
{
    t->len = 0;
    nm_model_full(dice, t, m);
    need(nm_feed(nm, NM_MODEL_NOW, rmr_bytes_of(t->s, t->len), 0) == RMR_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static nm_text t;
    input in = {data, size};
    const nm_dice dice = {roll, &in};
    test_alloc a = {0};
    nm_model m;
    rmr_nm *nm;
    rmr_nm_config cfg;
    rmr_env env = test_env(&a, NULL, NULL);
    memset(&m, 0, sizeof m);
    rmr_nm_config_init(&cfg, sizeof cfg);
    need(rmr_nm_new(&nm, &env, &cfg) == RMR_OK);
    while (in.left) {
        unsigned what = roll(&in, 32);
        if (what == 31)
            full(nm, &dice, &t, &m);
        a.fail_at = what == 30 ? a.calls + 1 + roll(&in, 40) : 0;
        t.len = 0;
        nm_model_delta(&dice, &t, &m);
        rmr_err e = nm_feed(nm, NM_MODEL_NOW, rmr_bytes_of(t.s, t.len), what);
        need(e == RMR_OK || (e == RMR_E_NOMEM && a.failed));
        nm_check(nm);
        a.fail_at = 0;
        if (e)
            full(nm, &dice, &t, &m);
        need(nm_model_differs(nm, &m) == 0);
    }
    rmr_nm_free(nm);
    need(a.live_blocks == 0);
    return 0;
}
