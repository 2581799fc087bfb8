/*
 * Map frames, full and deltas, on one netmap.  Input: an options byte, then
 * frames with a zero byte between them; a frame "!" begins a new stream.
 * Checked after each: the indexes agree with the table, the bound of peers
 * holds; at the end: the table saves to what reads back to the same.
 */
#include <remora/filter.h>
#include <remora/netmap.h>

#include <stdlib.h>
#include <string.h>

#include "nm_support.h"
#include "support.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_PEERS 40

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void on_peer(void *user, rmr_nm_change change, const rmr_nm_node *p,
                    const uint8_t old_key[RMR_KEY_LEN])
{
    rmr_nm_node v;
    (void)old_key;
    check(rmr_nm_peer(*(rmr_nm **)user, p->id, &v) ==
          (change != RMR_NM_PEER_REMOVED));
    check(strlen(p->name) < NM_TEXT_MAX && strlen(p->os) < NM_TEXT_MAX);
}

static rmr_nm *make(rmr_nm **self, test_alloc *a)
{
    rmr_nm_callbacks cb = {0};
    cb.struct_size = sizeof cb;
    cb.user = self;
    cb.on_peer = on_peer;
    rmr_nm_config cfg;
    rmr_env env = test_env(a, NULL, NULL);
    rmr_nm_config_init(&cfg, sizeof cfg);
    cfg.callbacks = &cb;
    cfg.max_peers = MAX_PEERS;
    check(rmr_nm_new(self, &env, &cfg) == RMR_OK);
    return *self;
}

static void check_saved(const rmr_nm *nm)
{
    rmr_nm *copy;
    size_t n1, n2;
    char *one = nm_dump(nm, &n1);
    (void)make(&copy, NULL);
    check(nm_feed(copy, 1, rmr_bytes_of(one, n1), 0) == RMR_OK);
    char *two = nm_dump(copy, &n2);
    check(n1 == n2 && memcmp(one, two, n1) == 0);
    free(one);
    free(two);
    rmr_nm_free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    test_alloc a = {0};
    rmr_nm *nm;
    if (size < 1)
        return 0;
    size_t piece = data[0] & 31;
    (void)make(&nm, &a);
    if (data[0] & 0x80)
        a.fail_at = a.calls + 1 + (data[0] & 0x7f);
    for (size_t at = 1; at < size;) {
        size_t n = 0;
        while (at + n < size && data[at + n])
            n++;
        rmr_bytes json = rmr_bytes_of(data + at, n);
        if (rmr_bytes_eq_str(json, "!")) {
            rmr_nm_stream_begin(nm);
        } else {
            size_t before = rmr_nm_peer_count(nm);
            rmr_err e = nm_feed(nm, 1795253000000000000, json, piece);
            check(e == RMR_OK || e == RMR_E_MALFORMED || e == RMR_E_TOOBIG ||
                  (e == RMR_E_NOMEM && a.failed));
            (void)before;
        }
        nm_check(nm);
        check(rmr_nm_peer_count(nm) <= MAX_PEERS);
        at += n + 1;
    }
    check_saved(nm);
    rmr_nm_free(nm);
    check(a.live_blocks == 0);
    return 0;
}
