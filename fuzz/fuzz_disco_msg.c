/* Disco: classification of any bytes, and plaintexts: what parses and can be
 * built again parses to the same. */
#include <remora/disco.h>

#include "need.h"
#include "disco_internal.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_view(rmr_bytes d, bool from_derp)
{
    rmr_disco_view v = rmr_disco_split(d, from_derp);
    uint8_t key[RMR_KEY_LEN];
    rmr_disco_msg m;
    need(v.payload.len + (v.geneve ? 8u : 0u) == d.len);
    need((v.cls == RMR_DATAGRAM_EMPTY) == (d.len == 0));
    if (v.cls == RMR_DATAGRAM_DISCO) {
        need(rmr_disco_sender(v.payload, key) == RMR_OK);
        static const uint8_t shared[RMR_KEY_LEN] = {1};
        need(rmr_disco_open(v.payload, shared, &m) != RMR_OK);
        need(m.type == 0);
    }
    if (!from_derp)
        need(rmr_disco_classify(d) == v.cls);
}

static void check_plain(rmr_bytes plain)
{
    static uint8_t out[70000], again[70000];
    rmr_disco_msg m, n;
    size_t len, len2;
    if (rmri_disco_parse(plain, &m) != RMR_OK)
        return;
    rmr_err e = rmri_disco_build(rmr_buf_of(out, sizeof out), &len, &m);
    if (e != RMR_OK) {
        need(e == RMR_E_INVAL &&
             (m.type < 1 || m.type > 3 || m.padding > RMR_DISCO_MAX_PADDING));
        return;
    }
    need(rmri_disco_parse(rmr_bytes_of(out, len), &n) == RMR_OK);
    need(m.type == n.type && m.n_candidates == n.n_candidates);
    need(m.has_node_key == n.has_node_key && m.padding == n.padding);
    need(rmri_disco_build(rmr_buf_of(again, sizeof again), &len2, &n) ==
         RMR_OK);
    need(len == len2 && memcmp(out, again, len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rmr_bytes d = rmr_bytes_of(data, size);
    check_view(d, false);
    check_view(d, true);
    check_plain(d);
    return 0;
}
