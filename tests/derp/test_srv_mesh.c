/* Duplicates, watchers, forwarders: who is where, and who hears of it. */
#include "srv_fixture.h"

/* ---- duplicates ----------------------------------------------------------- */

/* Another connection of client 0's key, at place i. */
static void twin(srv *s, int i)
{
    memcpy(s->c[i].private_key, s->c[0].private_key, 32);
    memcpy(s->c[i].public_key, s->c[0].public_key, 32);
    sv_up(s, i);
}

static void
the_newest_connection_receives_then_the_last_that_spoke(void **state)
{
    (void)state;
    srv s;
    sv_begin(&s);
    sv_up(&s, 1);
    sv_up(&s, 0);
    twin(&s, 3);
    twin(&s, 4);
    assert_int_equal(sv_send(&s, 1, 0, "one"), RMR_OK);
    sv_expect(&s, 4, "b: one\n");
    /* any frame counts, and all of them are read */
    assert_int_equal(sv_frame(&s, 0, RMR_DERP_PING, "12345678", 8), RMR_OK);
    sv_expect(&s, 0, "pong 31\n");
    assert_int_equal(sv_send(&s, 1, 0, "two"), RMR_OK);
    sv_expect(&s, 0, "b: two\n");
    assert_int_equal(sv_frame(&s, 3, 0x7f, NULL, 0), RMR_OK);
    assert_int_equal(sv_send(&s, 1, 0, "three"), RMR_OK);
    sv_expect(&s, 3, "b: three\n");
    /* the one before takes over */
    sv_close(&s, 3);
    assert_int_equal(sv_send(&s, 1, 0, "four"), RMR_OK);
    sv_expect(&s, 0, "b: four\n");
    sv_close(&s, 0);
    assert_int_equal(sv_send(&s, 1, 4, "five"), RMR_OK);
    sv_expect(&s, 4, "b: five\n");
    sv_end(&s);
}

static void duplicates_are_counted(void **state)
{
    (void)state;
    srv s;
    sv_begin(&s);
    sv_up(&s, 0);
    twin(&s, 3);
    twin(&s, 4);
    rmr_dsw_stats st = sv_stats(&s);
    assert_int_equal(st.clients, 3);
    assert_int_equal(st.keys_local, 1);
    assert_int_equal(st.dup_keys, 1);
    assert_int_equal(st.dup_conns, 3);
    assert_int_equal(st.dup_conns_total, 2);
    sv_close(&s, 3);
    assert_int_equal(sv_stats(&s).dup_conns, 2);
    sv_close(&s, 0);
    st = sv_stats(&s);
    assert_int_equal(st.dup_keys, 0);
    assert_int_equal(st.dup_conns, 0);
    assert_int_equal(st.keys_local, 1);
    sv_close(&s, 4);
    assert_int_equal(sv_stats(&s).keys_total, 0);
    assert_int_equal(s.sw->keys.used, 0);
    sv_end(&s);
}

static void a_key_is_gone_with_its_last_connection(void **state)
{
    (void)state;
    srv s;
    sv_begin(&s);
    sv_up(&s, 1);
    sv_up(&s, 0);
    twin(&s, 3);
    assert_int_equal(sv_send(&s, 0, 1, "x"), RMR_OK);
    sv_expect(&s, 1, "a: x\n");
    sv_close(&s, 0);
    sv_expect(&s, 1, "");
    sv_close(&s, 3);
    sv_pump(&s);
    assert_int_equal(s.c[1].out_len, 38);
    sv_end(&s);
}

/* ---- watchers -------------------------------------------------------------- */

static void a_watcher_hears_who_is_here_who_comes_and_who_goes(void **state)
{
    (void)state;
    srv s;
    sv_begin(&s);
    sv_up(&s, 0);
    sv_mesh(&s, MESH_C);
    assert_int_equal(sv_frame(&s, MESH_C, RMR_DERP_WATCH_CONNS, NULL, 0),
                     RMR_OK);
    sv_expect(&s, MESH_C,
              "present a 192.0.2.10:41000 1\npresent c 192.0.2.12:41002 2\n");
    assert_int_equal(sv_stats(&s).watchers, 1);
    assert_int_equal(sv_frame(&s, MESH_C, RMR_DERP_WATCH_CONNS, NULL, 0),
                     RMR_OK); /* again: nothing new */
    sv_expect(&s, MESH_C, "");
    sv_up(&s, 1);
    sv_expect(&s, MESH_C, "present b 192.0.2.11:41001 1\n");
    /* one more of a key is told; of its end only the last */
    memcpy(s.c[3].private_key, s.c[1].private_key, 32);
    memcpy(s.c[3].public_key, s.c[1].public_key, 32);
    sv_up(&s, 3);
    sv_expect(&s, MESH_C, "present b 192.0.2.13:41003 1\n");
    sv_close(&s, 1);
    sv_expect(&s, MESH_C, "");
    sv_close(&s, 3);
    sv_expect(&s, MESH_C, "gone b 0\n");
    sv_close(&s, MESH_C);
    assert_int_equal(sv_stats(&s).watchers, 0);
    sv_end(&s);
}

/* Of changes a write, and of writes until a watcher knew all. */
static void what_a_watcher_is_told_is_counted_by_batches(void **state)
{
    (void)state;
    srv s;
    sv_begin(&s);
    s.room = RMR_DSW_WRITE_MIN; /* eight presences fit */
    for (int i = 3; i < 12; i++)
        sv_up(&s, i);
    sv_mesh(&s, MESH_C);
    assert_int_equal(sv_frame(&s, MESH_C, RMR_DERP_WATCH_CONNS, NULL, 0),
                     RMR_OK);
    sv_pump(&s);
    rmr_dsw_stats st = sv_stats(&s);
    assert_int_equal(st.mesh_batches.sum, 10); /* nine, and itself */
    assert_int_equal(st.mesh_batches.n[3], 1); /* eight, */
    assert_int_equal(st.mesh_batches.n[1], 1); /* and two */
    assert_int_equal(st.mesh_loops.n[1], 1);   /* in two writes */
    assert_int_equal(st.mesh_loops.sum, 2);
    sv_up(&s, 1);
    sv_pump(&s);
    st = sv_stats(&s);
    assert_int_equal(st.mesh_batches.n[0], 1);
    assert_int_equal(st.mesh_batches.sum, 11);
    assert_int_equal(st.mesh_loops.n[0], 1);
    sv_end(&s);
}

static void presence_has_the_form_of_the_vectors(void **state)
{
    (void)state;
    static const char *const names[] = {"peer_present_clientA",
                                        "peer_present_clientB"};
    uint8_t f[64], v6[16] = {0x20, 0x01, 0x0d, 0xb8};
    srv s;
    sv_begin(&s);
    sv_mesh(&s, MESH_C);
    assert_int_equal(sv_frame(&s, MESH_C, RMR_DERP_WATCH_CONNS, NULL, 0),
                     RMR_OK);
    sv_forget(&s, MESH_C);
    v6[15] = 0x0b;
    for (int i = 0; i < 2; i++) {
        size_t n =
            tv_get_hex(sv_case(&s, "frames", names[i]), "frame", f, sizeof f);
        sv_open(&s, i);
        rmri_dsw_get(s.sw, s.c[i].h.id)->addr =
            i == 0 ? rmr_addr_v4(192, 0, 2, 10, 41641)
                   : rmr_addr_from_bytes(rmr_bytes_of(v6, 16), 41642);
        assert_int_equal(sv_login(&s, i, "{}"), RMR_OK);
        sv_pump(&s);
        assert_int_equal(s.c[MESH_C].out_len, n);
        assert_memory_equal(s.c[MESH_C].out, f, n);
        sv_forget(&s, MESH_C);
    }
    size_t n = tv_get_hex(sv_case(&s, "frames", "peer_gone_disconnected"),
                          "frame", f, sizeof f);
    sv_close(&s, 0);
    sv_pump(&s);
    assert_int_equal(s.c[MESH_C].out_len, n);
    assert_memory_equal(s.c[MESH_C].out, f, n);
    sv_end(&s);
}

static void flags_tell_probers_and_those_that_wanted_another_node(void **state)
{
    (void)state;
    rmr_dsw_peer p;
    srv s;
    memset(&p, 0, sizeof p);
    sv_begin(&s);
    sv_mesh(&s, MESH_C);
    assert_int_equal(sv_frame(&s, MESH_C, RMR_DERP_WATCH_CONNS, NULL, 0),
                     RMR_OK);
    sv_forget(&s, MESH_C);
    p.not_ideal = p.is_websocket = true;
    p.tag = &s.c[0];
    s.c[0].is_open = true;
    assert_int_equal(rmr_dsw_client_open(s.sw, s.now, &p, &s.c[0].h), RMR_OK);
    assert_int_equal(sv_login(&s, 0, "{\"IsProber\":true}"), RMR_OK);
    sv_pump(&s);
    assert_int_equal(s.c[MESH_C].out_len, 56);
    assert_int_equal(s.c[MESH_C].out[55], 4 | 8);
    assert_int_equal(sv_stats(&s).not_ideal, 1);
    assert_int_equal(sv_stats(&s).websocket_accepts, 1);
    sv_close(&s, 0);
    assert_int_equal(sv_stats(&s).not_ideal, 0);
    sv_end(&s);
}

static void a_relay_that_watches_itself_is_ignored(void **state)
{
    (void)state;
    srv s;
    sv_begin(&s);
    sv_up(&s, 0);
    memcpy(s.c[4].private_key, s.cfg.private_key, 32);
    memcpy(s.c[4].public_key, rmr_dsw_public_key(s.sw), 32);
    sv_mesh(&s, 4);
    assert_int_equal(sv_frame(&s, 4, RMR_DERP_WATCH_CONNS, NULL, 0), RMR_OK);
    sv_expect(&s, 4, "");
    assert_int_equal(sv_stats(&s).watchers, 0);
    sv_end(&s);
}

static void a_watcher_that_missed_something_is_sent_away(void **state)
{
    (void)state;
    srv s;
    sv_prepare(&s);
    s.cfg.max_notes = 8; /* three for one client */
    sv_make(&s);
    sv_mesh(&s, MESH_C);
    assert_int_equal(sv_frame(&s, MESH_C, RMR_DERP_WATCH_CONNS, NULL, 0),
                     RMR_OK);
    sv_forget(&s, MESH_C);
    s.c[MESH_C].is_blocked = true;
    for (int i = 3; i < 6; i++)
        sv_up(&s, i);
    assert_int_equal(sv_stats(&s).notes, 3);
    assert_int_equal(rmr_dsw_next_deadline(s.sw) > s.now, 1);
    sv_up(&s, 6);
    assert_true(rmr_dsw_next_deadline(s.sw) == s.now);
    sv_pass(&s, 0);
    sv_log(&s, "close c full\n");
    assert_int_equal(sv_stats(&s).notes_dropped, 1);
    assert_int_equal(sv_stats(&s).notes, 0);
    sv_end(&s);
}

/* Clients that do not read must not use up what a watcher needs, which is sent
 * away for the first note that it misses. */
static void slow_clients_leave_a_watcher_its_notes(void **state)
{
    (void)state;
    srv s;
    sv_prepare(&s);
    s.cfg.max_notes = 8;
    sv_make(&s);
    sv_mesh(&s, MESH_C);
    for (int i = 3; i < 11; i++)
        sv_up(&s, i);
    for (int from = 7; from < 11; from++)
        for (int to = 3; to < 7; to++)
            assert_int_equal(sv_send(&s, from, to, "x"), RMR_OK);
    sv_pump(&s);
    assert_int_equal(sv_frame(&s, MESH_C, RMR_DERP_WATCH_CONNS, NULL, 0),
                     RMR_OK);
    sv_forget(&s, MESH_C);
    for (int i = 3; i < 7; i++)
        s.c[i].is_blocked = true;
    for (int i = 7; i < 11; i++) {
        sv_close(&s, i);
        sv_pump(&s);
    }
    assert_true(sv_stats(&s).notes_dropped > 0);
    sv_forget(&s, MESH_C);
    s.c[MESH_C].is_blocked = true; /* for a moment */
    sv_up(&s, 11);
    sv_up(&s, 12);
    s.c[MESH_C].is_blocked = false;
    sv_pass(&s, 0);
    sv_log(&s, "");
    assert_true(s.c[MESH_C].out_len > 0);
    sv_end(&s);
}

static void others_only_miss_a_note_when_they_are_too_slow(void **state)
{
    (void)state;
    srv s;
    sv_prepare(&s);
    s.cfg.max_notes = 4;
    sv_make(&s);
    for (int i = 3; i < 9; i++)
        sv_up(&s, i);
    for (int i = 4; i < 9; i++) {
        assert_int_equal(sv_send(&s, i, 3, "x"), RMR_OK);
        sv_forget(&s, 3);
    }
    s.c[3].is_blocked = true;
    for (int i = 4; i < 9; i++)
        sv_close(&s, i);
    s.c[3].is_blocked = false;
    sv_expect(&s, 3, "gone e 0\ngone f 0\n");
    assert_int_equal(sv_stats(&s).notes_dropped, 3);
    sv_log(&s, "");
    sv_end(&s);
}

/* ---- packets between relays ------------------------------------------------- */

static void a_mesh_peer_may_forward_and_it_goes_no_further(void **state)
{
    (void)state;
    srv s;
    sv_begin(&s);
    for (size_t step = 0; step < 2; step++) {
        s.step = 0;
        sv_up(&s, 1);
        sv_mesh(&s, MESH_C);
        s.step = step;
        assert_int_equal(sv_forward(&s, MESH_C, 9, 1, "via"), RMR_OK);
        sv_expect(&s, 1, "j: via\n");
        /* unknown here: not to another relay, though one has it */
        assert_int_equal(
            rmr_dsw_forwarder_add(s.sw, s.now, s.c[8].public_key, 5), RMR_OK);
        assert_int_equal(sv_forward(&s, MESH_C, 9, 8, "loop"), RMR_OK);
        sv_log(&s, "");
        assert_int_equal(
            rmr_dsw_forwarder_remove(s.sw, s.now, s.c[8].public_key, 5),
            RMR_OK);
        sv_close(&s, 1);
        sv_close(&s, MESH_C);
    }
    rmr_dsw_stats st = sv_stats(&s);
    assert_int_equal(st.forwarded_in, 4);
    assert_int_equal(st.rx_pkts, 0);
    assert_int_equal(
        st.dropped_pkts[RMR_DSW_UNKNOWN_DEST_ON_FWD][RMR_DSW_OTHER], 2);
    sv_end(&s);
}

static void
the_forwarding_peer_hears_that_a_disco_receiver_is_unknown(void **state)
{
    (void)state;
    char text[80];
    srv s;
    sv_begin(&s);
    sv_mesh(&s, MESH_C);
    memset(text, 'x', sizeof text - 1);
    text[79] = '\0';
    memcpy(text, "TS\xf0\x9f\x92\xac", 6);
    assert_int_equal(sv_forward(&s, MESH_C, 9, 8, text), RMR_OK);
    sv_expect(&s, MESH_C, "gone i 1\n");
    sv_end(&s);
}

static void packets_go_to_the_forwarder_that_is_known_longest(void **state)
{
    (void)state;
    srv s;
    sv_begin(&s);
    sv_up(&s, 0);
    const uint8_t *key = s.c[9].public_key;
    assert_int_equal(rmr_dsw_forwarder_add(s.sw, s.now, key, 7), RMR_OK);
    assert_int_equal(rmr_dsw_forwarder_add(s.sw, s.now, key, 3), RMR_OK);
    assert_int_equal(rmr_dsw_forwarder_add(s.sw, s.now, key, 7), RMR_OK);
    assert_int_equal(sv_stats(&s).keys_remote, 1);
    assert_int_equal(sv_send(&s, 0, 9, "one"), RMR_OK);
    sv_log(&s, "forward 7 a j one\n");
    assert_int_equal(rmr_dsw_forwarder_remove(s.sw, s.now, key, 7), RMR_OK);
    s.step = 3; /* gathered */
    assert_int_equal(sv_send(&s, 0, 9, "two"), RMR_OK);
    sv_log(&s, "forward 3 a j two\n");
    assert_int_equal(rmr_dsw_forwarder_remove(s.sw, s.now, key, 7),
                     RMR_E_NOTFOUND);
    assert_int_equal(sv_stats(&s).forwarder_other_value, 1);
    /* here: no forwarding any more */
    s.step = 0;
    sv_up(&s, 9);
    assert_int_equal(sv_stats(&s).keys_remote, 0);
    assert_int_equal(sv_send(&s, 0, 9, "here"), RMR_OK);
    sv_expect(&s, 9, "a: here\n");
    sv_log(&s, "");
    sv_close(&s, 9);
    assert_int_equal(sv_send(&s, 0, 9, "there"), RMR_OK);
    sv_log(&s, "forward 3 a j there\n");
    rmr_dsw_stats st = sv_stats(&s);
    assert_int_equal(st.forwarded_out, 3);
    assert_int_equal(st.multiforwarders_made, 1);
    assert_int_equal(st.multiforwarders_gone, 1);
    assert_int_equal(st.keys_total, 2);
    sv_end(&s);
}

static void a_key_at_another_relay_is_not_gone(void **state)
{
    (void)state;
    srv s;
    sv_begin(&s);
    sv_up(&s, 0);
    sv_up(&s, 1);
    const uint8_t *key = s.c[0].public_key;
    assert_int_equal(rmr_dsw_forwarder_add(s.sw, s.now, key, 7), RMR_OK);
    assert_int_equal(sv_send(&s, 0, 1, "x"), RMR_OK);
    sv_expect(&s, 1, "a: x\n");
    sv_close(&s, 0);
    sv_expect(&s, 1, "");
    assert_int_equal(rmr_dsw_forwarder_remove(s.sw, s.now, key, 7), RMR_OK);
    sv_expect(&s, 1, "gone a 0\n");
    assert_int_equal(s.sw->keys.used, 1);
    sv_end(&s);
}

static void a_forwarded_sender_that_is_claimed_later_can_be_gone(void **state)
{
    (void)state;
    srv s;
    sv_begin(&s);
    sv_up(&s, 1);
    sv_mesh(&s, MESH_C);
    /* The packet is faster than the word of its sender. */
    assert_int_equal(sv_forward(&s, MESH_C, 9, 1, "x"), RMR_OK);
    sv_expect(&s, 1, "j: x\n");
    assert_int_equal(rmr_dsw_forwarder_add(s.sw, s.now, s.c[9].public_key, 7),
                     RMR_OK);
    rmr_dsw_forwarder_forget(s.sw, s.now, 7);
    sv_expect(&s, 1, "gone j 0\n");
    assert_int_equal(s.sw->keys.used, 2);
    sv_end(&s);
}

static void a_broken_forwarder_is_forgotten_with_all_its_claims(void **state)
{
    (void)state;
    srv s;
    sv_begin(&s);
    for (int i = 3; i < 10; i++)
        assert_int_equal(
            rmr_dsw_forwarder_add(s.sw, s.now, s.c[i].public_key, 7), RMR_OK);
    assert_int_equal(rmr_dsw_forwarder_add(s.sw, s.now, s.c[5].public_key, 8),
                     RMR_OK);
    rmr_dsw_forwarder_forget(s.sw, s.now, 7);
    assert_int_equal(sv_stats(&s).keys_remote, 1);
    assert_int_equal(s.sw->claims.used, 1);
    sv_end(&s);
}

static void claims_are_bounded_and_leave_room_for_clients(void **state)
{
    (void)state;
    uint8_t key[32] = {0};
    srv s;
    sv_prepare(&s);
    s.cfg.max_clients = 8;
    sv_make(&s);
    for (uint64_t f = 0; f < 16; f++)
        assert_int_equal(rmr_dsw_forwarder_add(s.sw, s.now, key, f), RMR_OK);
    assert_int_equal(rmr_dsw_forwarder_add(s.sw, s.now, key, 16), RMR_E_FULL);
    rmr_err e = RMR_OK;
    size_t n = 0;
    for (key[0] = 1; e == RMR_OK; key[0]++, n++)
        e = rmr_dsw_forwarder_add(s.sw, s.now, key, 1);
    assert_int_equal(e, RMR_E_FULL);
    assert_true(n <= 32);
    for (int i = 3; i < 11; i++)
        sv_up(&s, i);
    sv_end(&s);
}

static void claims_without_memory_change_nothing(void **state)
{
    (void)state;
    srv s;
    bool done = false;
    for (size_t n = 1; !done; n++) {
        sv_begin(&s);
        s.mem.fail_at = s.mem.calls + n;
        rmr_err e = rmr_dsw_forwarder_add(s.sw, s.now, s.c[9].public_key, 7);
        done = e == RMR_OK;
        assert_true(done || e == RMR_E_NOMEM);
        assert_int_equal(s.sw->keys.used, done);
        assert_int_equal(sv_stats(&s).keys_remote, done);
        sv_end(&s);
    }
}

static void a_host_may_close_the_sender_while_it_forwards(void **state)
{
    (void)state;
    srv s;
    for (size_t step = 0; step <= 20; step += 20) {
        sv_begin(&s);
        sv_up(&s, 0);
        assert_int_equal(
            rmr_dsw_forwarder_add(s.sw, s.now, s.c[9].public_key, 7), RMR_OK);
        s.step = step;
        s.close_in_callback = true;
        assert_int_equal(sv_send(&s, 0, 9, "last"), RMR_OK);
        sv_log(&s, "forward 7 a j last\n");
        assert_int_equal(sv_stats(&s).connections, 0);
        assert_int_equal(sv_stats(&s).pool_used_bytes, 0);
        sv_end(&s);
    }
}

/* ---- ClosePeer --------------------------------------------------------------- */

static void close_peer_closes_all_connections_of_a_key(void **state)
{
    (void)state;
    srv s;
    sv_begin(&s);
    sv_up(&s, 0);
    twin(&s, 3);
    sv_mesh(&s, MESH_C);
    assert_int_equal(
        sv_frame(&s, MESH_C, RMR_DERP_CLOSE_PEER, s.c[0].public_key, 32),
        RMR_OK);
    sv_log(&s, "close d closed\nclose a closed\n");
    assert_int_equal(
        sv_frame(&s, MESH_C, RMR_DERP_CLOSE_PEER, s.c[9].public_key, 32),
        RMR_OK); /* unknown: no error */
    assert_int_equal(
        sv_frame(&s, MESH_C, RMR_DERP_CLOSE_PEER, s.c[MESH_C].public_key, 32),
        RMR_E_CLOSED); /* itself */
    sv_log(&s, "close c closed\n");
    assert_int_equal(sv_stats(&s).connections, 0);
    sv_end(&s);
}

/* ---- a model ------------------------------------------------------------------ */

enum { KEYS = 4, CONNS = 12, FWDS = 3 };

/* The obvious version: arrays, and clocks instead of lists. */
typedef struct model {
    struct {
        bool is_open;
        uint64_t spoke;           /* when it last sent anything */
    } conn[CONNS];                /* of key i % KEYS */
    uint64_t claimed[KEYS][FWDS]; /* when; 0: not */
    bool got[CONNS][KEYS];        /* conn got a packet of key */
    uint64_t clock;
} model;

static int model_active(const model *m, int key)
{
    int best = -1;
    for (int i = key; i < CONNS; i += KEYS)
        if (m->conn[i].is_open &&
            (best < 0 || m->conn[i].spoke > m->conn[best].spoke))
            best = i;
    return best;
}

static int model_forwarder(const model *m, int key)
{
    int best = -1;
    for (int f = 0; f < FWDS; f++)
        if (m->claimed[key][f] &&
            (best < 0 || m->claimed[key][f] < m->claimed[key][best]))
            best = f;
    return best;
}

/* What each connection must hear when the key has left the region. */
static void model_gone(srv *s, model *m, int key, bool was_there)
{
    bool is_there = model_active(m, key) >= 0 || model_forwarder(m, key) >= 0;
    for (int i = 0; i < CONNS; i++) {
        char want[16] = "";
        if (was_there && !is_there && m->got[i][key]) {
            (void)snprintf(want, sizeof want, "gone %c 0\n", 'a' + 4 + key);
            m->got[i][key] = false;
        }
        if (m->conn[i].is_open)
            sv_expect(s, i + 4, want);
    }
}

static bool model_there(const model *m, int key)
{
    return model_active(m, key) >= 0 || model_forwarder(m, key) >= 0;
}

static void step_open_or_close(srv *s, model *m, int i)
{
    bool was = model_there(m, i % KEYS);
    m->conn[i].is_open = !m->conn[i].is_open;
    if (m->conn[i].is_open) {
        m->conn[i].spoke = ++m->clock;
        for (int k = 0; k < KEYS; k++)
            m->got[i][k] = false;
        sv_up(s, i + 4);
        return;
    }
    sv_close(s, i + 4);
    model_gone(s, m, i % KEYS, was);
}

static void step_send(srv *s, model *m, int i, int key)
{
    char want[32] = "", log[64] = "";
    if (!m->conn[i].is_open)
        return;
    m->conn[i].spoke = ++m->clock;
    int to = model_active(m, key), f = model_forwarder(m, key);
    assert_int_equal(sv_send(s, i + 4, key + 4, "x"), RMR_OK);
    if (to >= 0) {
        (void)snprintf(want, sizeof want, "%c: x\n", 'a' + 4 + i % KEYS);
        m->got[to][i % KEYS] = true;
    } else if (f >= 0) {
        (void)snprintf(log, sizeof log, "forward %d %c %c x\n", f,
                       'a' + 4 + i % KEYS, 'a' + 4 + key);
    }
    sv_log(s, log);
    for (int k = 0; k < CONNS; k++)
        if (m->conn[k].is_open)
            sv_expect(s, k + 4, k == to ? want : "");
}

static void step_claim(srv *s, model *m, int key, int f, bool add)
{
    bool was = model_there(m, key), had = m->claimed[key][f] != 0;
    const uint8_t *k = s->c[key + 4].public_key;
    if (add) {
        assert_int_equal(rmr_dsw_forwarder_add(s->sw, s->now, k, (uint64_t)f),
                         RMR_OK);
        if (!had)
            m->claimed[key][f] = ++m->clock;
        return;
    }
    m->claimed[key][f] = 0;
    assert_int_equal(rmr_dsw_forwarder_remove(s->sw, s->now, k, (uint64_t)f),
                     had ? RMR_OK : RMR_E_NOTFOUND);
    model_gone(s, m, key, was);
}

static void check_counts(srv *s, const model *m)
{
    uint64_t here = 0, there = 0, dups = 0, conns = 0;
    for (int k = 0; k < KEYS; k++) {
        uint64_t n = 0;
        for (int i = k; i < CONNS; i += KEYS)
            n += m->conn[i].is_open;
        here += n > 0;
        there += n == 0 && model_forwarder(m, k) >= 0;
        dups += n > 1;
        conns += n > 1 ? n : 0;
    }
    rmr_dsw_stats st = sv_stats(s);
    assert_int_equal(st.keys_local, here);
    assert_int_equal(st.keys_remote, there);
    assert_int_equal(st.dup_keys, dups);
    assert_int_equal(st.dup_conns, conns);
}

/* Names are by key: the twins of a key have the lowest place's name. */
static void make_twins(srv *s)
{
    for (int i = KEYS; i < CONNS; i++) {
        memcpy(s->c[i + 4].private_key, s->c[i % KEYS + 4].private_key, 32);
        memcpy(s->c[i + 4].public_key, s->c[i % KEYS + 4].public_key, 32);
    }
}

static void run_model(uint64_t seed)
{
    srv s;
    model m;
    test_rng r;
    memset(&m, 0, sizeof m);
    test_rng_seed(&r, seed);
    sv_begin(&s);
    make_twins(&s);
    for (int i = 0; i < 300; i++) {
        uint64_t v = test_rng_u64(&r);
        int conn = (int)(v >> 8 & 0xff) % CONNS, key = (int)(v >> 16 & 3),
            f = (int)(v >> 24 & 0xff) % FWDS;
        switch (v & 7) {
        case 0:
        case 1:
            step_open_or_close(&s, &m, conn);
            break;
        case 2:
            step_claim(&s, &m, key, f, true);
            break;
        case 3:
            step_claim(&s, &m, key, f, false);
            break;
        default:
            step_send(&s, &m, conn, key);
        }
        check_counts(&s, &m);
    }
    sv_end(&s);
}

static void random_programs_agree_with_an_obvious_model(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++)
        run_model(seed);
}

int main(void)
{
    if (rmr_crypto_init() != RMR_OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            the_newest_connection_receives_then_the_last_that_spoke),
        cmocka_unit_test(duplicates_are_counted),
        cmocka_unit_test(a_key_is_gone_with_its_last_connection),
        cmocka_unit_test(a_watcher_hears_who_is_here_who_comes_and_who_goes),
        cmocka_unit_test(what_a_watcher_is_told_is_counted_by_batches),
        cmocka_unit_test(presence_has_the_form_of_the_vectors),
        cmocka_unit_test(flags_tell_probers_and_those_that_wanted_another_node),
        cmocka_unit_test(a_relay_that_watches_itself_is_ignored),
        cmocka_unit_test(a_watcher_that_missed_something_is_sent_away),
        cmocka_unit_test(slow_clients_leave_a_watcher_its_notes),
        cmocka_unit_test(others_only_miss_a_note_when_they_are_too_slow),
        cmocka_unit_test(a_mesh_peer_may_forward_and_it_goes_no_further),
        cmocka_unit_test(
            the_forwarding_peer_hears_that_a_disco_receiver_is_unknown),
        cmocka_unit_test(packets_go_to_the_forwarder_that_is_known_longest),
        cmocka_unit_test(a_key_at_another_relay_is_not_gone),
        cmocka_unit_test(a_forwarded_sender_that_is_claimed_later_can_be_gone),
        cmocka_unit_test(a_broken_forwarder_is_forgotten_with_all_its_claims),
        cmocka_unit_test(claims_are_bounded_and_leave_room_for_clients),
        cmocka_unit_test(claims_without_memory_change_nothing),
        cmocka_unit_test(a_host_may_close_the_sender_while_it_forwards),
        cmocka_unit_test(close_peer_closes_all_connections_of_a_key),
        cmocka_unit_test(random_programs_agree_with_an_obvious_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
