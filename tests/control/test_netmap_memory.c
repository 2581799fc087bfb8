/* What reading a big netmap takes beside the netmap itself, plain and
 * compressed, whatever the pieces that it comes in. */
#include "ctl_zstd.h"
#include "nm_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <zstd.h>

#include <cmocka.h>

enum { PEERS = 50000 };
#define WORKING ((size_t)64 << 10)
#define WINDOW ((size_t)8 << 20)
/* libzstd's own state: tables, literals, a block of input, what is decoded. */
#define ZSTD_STATE ((size_t)512 << 10)

/* ---- the frame: a real tailnet's peers -------------------------------- */

static size_t put_peer(char *at, unsigned i)
{
    return (size_t)sprintf(
        at,
        "{\"ID\":%u,\"StableID\":\"n%08xCNTRL\",\"Name\":\"host-%u.tail1234."
        "ts.net.\",\"User\":%u,\"Key\":\"nodekey:%064x\",\"DiscoKey\":"
        "\"discokey:%064x\",\"Addresses\":[\"100.%u.%u.%u/32\",\"fd7a:115c:"
        "a1e0::%x:%x/128\"],\"Endpoints\":[\"192.0.2.%u:41641\",\"10.0.%u.%u:"
        "41641\",\"[2001:db8::%x]:41641\"],\"HomeDERP\":%u,\"Hostinfo\":{"
        "\"OS\":\"linux\",\"Hostname\":\"host-%u\",\"Services\":[{\"Proto\":"
        "\"peerapi4\",\"Port\":%u},{\"Proto\":\"peerapi6\",\"Port\":%u}]},"
        "\"Created\":\"2026-11-21T09:17:51.371591502Z\",\"KeyExpiry\":"
        "\"2027-05-21T09:17:51Z\",\"Cap\":138,\"Tags\":[\"tag:server\"],"
        "\"Online\":true,\"MachineAuthorized\":true,\"CapMap\":{"
        "\"https://tailscale.com/cap/ssh\":null,\"attr\":[{\"n\":%u}]}}",
        i, i, i, 1000 + i % 50, i, i, 64 + (i >> 16), i >> 8 & 255, i & 255,
        i >> 16, i & 0xffff, i & 255, i >> 8 & 255, i & 255, i, 1 + i % 20, i,
        i % 60000, i % 60000, i % 10);
}

static char *make_frame(unsigned peers, size_t *len)
{
    char *p = malloc((size_t)peers * 1000 + 1000);
    size_t n = (size_t)sprintf(p, "{" SELF ",\"Peers\":[");
    for (unsigned i = 1; i <= peers; i++) {
        p[n] = ',';
        n += i > 1;
        n += put_peer(p + n, i);
    }
    n += (size_t)sprintf(p + n, "]}");
    *len = n;
    return p;
}

/* ---- plain ------------------------------------------------------------ */

/* Feeds the frame in pieces.  \return the most memory that one piece took
 * beyond what was there before and after it: what is no part of the table. */
static size_t working_memory(rmr_nm *nm, test_alloc *a, rmr_bytes json,
                             size_t piece)
{
    size_t most = 0, before = a->live_bytes;
    rmr_nm_frame_begin(nm, NM_NOW);
    while (json.len) {
        size_t n = piece < json.len ? piece : json.len;
        a->peak_bytes = a->live_bytes;
        assert_int_equal(rmr_nm_frame_feed(nm, rmr_bytes_of(json.ptr, n)),
                         RMR_OK);
        size_t base = a->live_bytes > before ? a->live_bytes : before;
        most = a->peak_bytes - base > most ? a->peak_bytes - base : most;
        before = a->live_bytes;
        json.ptr += n;
        json.len -= n;
    }
    a->peak_bytes = a->live_bytes;
    assert_int_equal(rmr_nm_frame_end(nm), RMR_OK);
    size_t end = a->peak_bytes - before;
    return end > most ? end : most;
}

/* A frame in a table that has all of it already: what is taken is working
 * memory, not the table's. */
static void check_pieces(unsigned peers, const size_t *pieces, size_t n)
{
    nm_seen s;
    size_t len;
    test_alloc a = {0};
    char *frame = make_frame(peers, &len);
    rmr_bytes json = rmr_bytes_of(frame, len);
    rmr_nm *nm = nm_make(&s, &a, NULL);
    nm->cb.on_peer = NULL; /* so many lines of text have no room */
    size_t empty = a.live_bytes;
    assert_int_equal(nm_feed(nm, NM_NOW, json, 16384), RMR_OK);
    assert_int_equal(rmr_nm_peer_count(nm), peers);
    size_t table = a.live_bytes;
    print_message("%u peers: %zu bytes each, %zu at the peak of growth\n",
                  peers, (table - empty) / peers,
                  (a.peak_bytes - empty) / peers);
    assert_true((a.peak_bytes - empty) / peers <= 600);
    for (size_t i = 0; i < n; i++) {
        size_t took = working_memory(nm, &a, json, pieces[i]);
        print_message("in pieces of %zu: %zu bytes, and %zu of the decoder\n",
                      pieces[i], took, sizeof *nm);
        assert_int_equal(a.live_bytes, table);
        assert_true(took + sizeof *nm <= WORKING);
    }
    rmr_nm_free(nm);
    assert_int_equal(a.live_blocks, 0);
    free(frame);
}

static void a_full_list_is_read_in_64_kib_whatever_its_pieces(void **state)
{
    (void)state;
    static const size_t large[] = {1 << 28, 1 << 20, 16384, 1400};
    static const size_t small[] = {1, 2, 7};
    check_pieces(PEERS, large, sizeof large / sizeof *large);
    check_pieces(2000, small, sizeof small / sizeof *small);
}

/* ---- compressed ------------------------------------------------------- */

/* As a server writes it that does not know the size before: the window is as
 * large as it may be. */
static uint8_t *compress(rmr_bytes json, size_t *len)
{
    size_t cap = ZSTD_compressBound(json.len);
    uint8_t *out = malloc(cap);
    ZSTD_CCtx *c = ZSTD_createCCtx();
    ZSTD_inBuffer in = {json.ptr, json.len, 0};
    ZSTD_outBuffer o = {out, cap, 0};
    (void)ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, 1);
    (void)ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, RMRI_CTL_WINDOW_LOG);
    while (in.pos < in.size)
        (void)ZSTD_compressStream2(c, &o, &in, ZSTD_e_continue);
    while (ZSTD_compressStream2(c, &o, &in, ZSTD_e_end) != 0)
        ;
    ZSTD_freeCCtx(c);
    *len = o.pos;
    return out;
}

static rmr_err to_netmap(void *user, rmr_bytes json)
{
    return rmr_nm_frame_feed(user, json);
}

static void feed_compressed(rmr_nm *nm, const rmr_alloc *a, rmr_bytes data,
                            size_t piece)
{
    rmri_ctl_zstd *z;
    rmr_nm_frame_begin(nm, NM_NOW);
    assert_int_equal(rmri_ctl_zstd_new(&z, a), RMR_OK);
    while (data.len) {
        size_t n = piece < data.len ? piece : data.len;
        assert_int_equal(
            rmri_ctl_zstd_feed(z, rmr_bytes_of(data.ptr, n), to_netmap, nm),
            RMR_OK);
        data.ptr += n;
        data.len -= n;
    }
    assert_true(rmri_ctl_zstd_is_done(z));
    rmri_ctl_zstd_free(z);
    assert_int_equal(rmr_nm_frame_end(nm), RMR_OK);
}

static void a_compressed_list_takes_the_window_more_and_gives_it_back(void **st)
{
    (void)st;
    static const size_t pieces[] = {1 << 28, 16384, 977};
    nm_seen s;
    size_t len, packed;
    test_alloc a = {0};
    rmr_alloc table = test_alloc_table(&a);
    char *frame = make_frame(PEERS, &len);
    uint8_t *data =
        compress(rmr_bytes_of((const uint8_t *)frame, len), &packed);
    free(frame);
    rmr_nm *nm = nm_make(&s, &a, NULL);
    nm->cb.on_peer = NULL;
    feed_compressed(nm, &table, rmr_bytes_of(data, packed), 16384);
    size_t live = a.live_bytes;
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        a.peak_bytes = a.live_bytes;
        feed_compressed(nm, &table, rmr_bytes_of(data, packed), pieces[i]);
        size_t took = a.peak_bytes - live;
        print_message("compressed, in pieces of %zu: %zu KiB beside\n",
                      pieces[i], took >> 10);
        assert_true(took >= WINDOW); /* it is the largest window */
        assert_true(took + sizeof *nm <= WORKING + WINDOW + ZSTD_STATE);
        assert_int_equal(a.live_bytes, live);
    }
    rmr_nm_free(nm);
    free(data);
    assert_int_equal(a.live_blocks, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_list_is_read_in_64_kib_whatever_its_pieces),
        cmocka_unit_test(
            a_compressed_list_takes_the_window_more_and_gives_it_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
