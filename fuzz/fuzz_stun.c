/* STUN: any bytes into both parsers; what a server answers, a client reads. */
#include <remora/disco.h>
#include <remora/stun.h>

#include "need.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_request(rmr_bytes d)
{
    uint8_t txid[RMR_STUN_TXID_LEN], got[RMR_STUN_TXID_LEN];
    uint8_t out[RMR_STUN_RESPONSE_MAX];
    size_t len;
    rmr_addr from = rmr_addr_v4(192, 0, 2, 1, 7), seen;
    rmr_err e = rmr_stun_answer(rmr_buf_of(out, sizeof out), &len, d, &from);
    need((e == RMR_OK) == (rmr_stun_parse_request(d, txid) == RMR_OK));
    if (e != RMR_OK)
        return;
    need(rmr_disco_classify(d) == RMR_DATAGRAM_STUN);
    need(rmr_stun_parse_response(rmr_bytes_of(out, len), got, &seen) == RMR_OK);
    need(rmr_addr_eq(&seen, &from) && memcmp(txid, got, sizeof got) == 0);
}

static void check_response(rmr_bytes d)
{
    uint8_t txid[RMR_STUN_TXID_LEN], got[RMR_STUN_TXID_LEN];
    uint8_t out[RMR_STUN_RESPONSE_MAX];
    size_t len;
    rmr_addr a, b;
    if (rmr_stun_parse_response(d, txid, &a) != RMR_OK)
        return;
    need(rmr_disco_classify(d) == RMR_DATAGRAM_STUN);
    need(rmr_stun_build_response(rmr_buf_of(out, sizeof out), &len, txid, &a) ==
         RMR_OK);
    need(rmr_stun_parse_response(rmr_bytes_of(out, len), got, &b) == RMR_OK);
    need(rmr_addr_eq(&a, &b) && memcmp(txid, got, sizeof got) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_request(rmr_bytes_of(data, size));
    check_response(rmr_bytes_of(data, size));
    return 0;
}
