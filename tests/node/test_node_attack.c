/* What a hostile host, clock, client or order of events must not do to a node:
 * spin, hang, open what is closed, or read two netmaps at once. */
#include "lab.h"
#include "node_internal.h"
#include "pair.h"

#include <remora/cursor.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

static lab l;
static pair p;

static int setup(void **state)
{
    (void)state;
    lab_init(&l);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return lab_end(&l);
}

static void give_links(void)
{
    rmr_addr server = rmr_addr_v4(127, 0, 0, 1, 53);
    rmr_io_links links;
    rmr_io_event ev;
    memset(&links, 0, sizeof links);
    links.name_servers = &server;
    links.n_name_servers = 1;
    memset(&ev, 0, sizeof ev);
    ev.kind = RMR_IO_LINKS;
    ev.links = &links;
    assert_int_equal(l.m.event(l.m.self, l.now, &ev), RMR_OK);
}

static void a_host_without_udp_does_not_spin_over_a_name(void **st)
{
    rmr_node_config cfg;
    (void)st;
    lab_config(&l, &cfg);
    cfg.control_url = "http://control.example.com";
    l.udp_err = RMR_E_UNSUPPORTED;
    assert_int_equal(lab_start(&l, &cfg), RMR_OK);
    give_links();
    lab_turn(&l); /* aborts when it never comes to rest */
    lab_run(&l, 60 * RMR_SEC);
    assert_true(l.ops < 500);
    assert_int_equal(l.failed_events, 0);
}

static void half_of_a_password_is_no_open_proxy(void **st)
{
    rmr_node_config cfg;
    (void)st;
    lab_config(&l, &cfg);
    cfg.socks5 = rmr_addr_v4(127, 0, 0, 1, 1080);
    cfg.socks5_user = "user";
    assert_int_equal(lab_start(&l, &cfg), RMR_E_INVAL);
    cfg.socks5_user = NULL;
    cfg.socks5_password = "secret";
    assert_int_equal(lab_start(&l, &cfg), RMR_E_INVAL);
    cfg.socks5_user = "user";
    cfg.socks5_password = "";
    assert_int_equal(lab_start(&l, &cfg), RMR_E_INVAL);
}

/* ---- the cached netmap and the server's -------------------------------- */

#define NODE_OF(id, ip)                                                        \
    "{\"ID\":" id ",\"Name\":\"n" id ".ex.com.\",\"Key\":\"nodekey:"           \
    "000000000000000000000000000000000000000000000000000000000000000" id       \
    "\",\"Addresses\":[\"" ip "/32\"],\"MachineAuthorized\":true}"

static void feed(const char *text)
{
    assert_int_equal(rmr_nm_frame_feed(l.node->nm, rmr_bytes_str(text)),
                     RMR_OK);
}

static void server_begins(void)
{
    rmri_node_cache_overtaken(l.node); /* as the client's CONNECTED does */
    rmr_nm_stream_begin(l.node->nm);
    rmr_nm_frame_begin(l.node->nm, 1790000000u * RMR_SEC);
}

static void save_a_netmap(void)
{
    l.node->from_server = true;
    server_begins();
    feed("{\"Node\":" NODE_OF("1", "100.64.0.1") ",\"Peers\":[" NODE_OF(
        "2", "100.64.0.2") "]}");
    assert_int_equal(rmr_nm_frame_end(l.node->nm), RMR_OK);
    l.node->from_server = false;
    lab_turn(&l);
    lab_run(&l, 3 * RMR_SEC);
    assert_non_null(lab_blob_get(&l, "netmap.cache"));
}

static void give_part(uint64_t id, size_t from, size_t to, bool more)
{
    lab_blob *b = lab_blob_get(&l, "netmap.cache");
    rmr_io_event ev;
    memset(&ev, 0, sizeof ev);
    ev.kind = RMR_IO_LOADED;
    ev.id = id;
    ev.data = rmr_buf_of(b->data + from, to - from);
    ev.more = more;
    l.m.event(l.m.self, l.now, &ev);
}

/* The server's netmap comes after `parts` parts of four of the cached one:
 * two to verify it, two to apply it. */
static void overtake_after(int parts)
{
    rmr_node_config cfg;
    rmr_nm_node v;
    lab_config(&l, &cfg);
    assert_int_equal(lab_start(&l, &cfg), RMR_OK);
    save_a_netmap();
    rmr_node_free(l.node);
    l.hold_cache = true;
    assert_int_equal(lab_start(&l, &cfg), RMR_OK);
    size_t len = lab_blob_get(&l, "netmap.cache")->len;
    for (int i = 0; i < parts; i++) {
        give_part(l.held_id, i % 2 ? len / 2 : 0, i % 2 ? len : len / 2,
                  i % 2 == 0);
        lab_turn(&l);
    }
    server_begins();
    feed("{\"Node\":" NODE_OF("1", "100.64.0.1") ",\"Peers\":[");
    for (int i = parts; i < 4; i++) {
        give_part(l.held_id, i % 2 ? len / 2 : 0, i % 2 ? len : len / 2,
                  i % 2 == 0);
        lab_turn(&l);
    }
    l.node->from_server = true;
    feed(NODE_OF("3", "100.64.0.3") "]}");
    assert_int_equal(rmr_nm_frame_end(l.node->nm), RMR_OK);
    l.node->from_server = false;
    assert_true(rmr_nm_peer(l.node->nm, 3, &v));
    assert_false(rmr_nm_peer(l.node->nm, 2, &v));
    l.hold_cache = false;
    lab_turn(&l);
    lab_run(&l, 3 * RMR_SEC);
    rmr_node_free(l.node);
    l.node = NULL;
}

static void the_servers_netmap_overtakes_the_cached_one_at_any_part(void **st)
{
    (void)st;
    for (int parts = 0; parts <= 4; parts++)
        overtake_after(parts);
}

static void a_netmap_that_changes_always_is_saved_now_and_then(void **st)
{
    rmr_node_config cfg;
    (void)st;
    lab_config(&l, &cfg);
    assert_int_equal(lab_start(&l, &cfg), RMR_OK);
    save_a_netmap();
    size_t before = l.stores;
    for (int i = 0; i < 600; i++) {
        rmri_node_cache_changed(l.node, l.now, true);
        lab_run(&l, RMR_SEC);
    }
    assert_true(l.stores - before >= 9);
    assert_true(l.stores - before <= 11);
    lab_run(&l, 61 * RMR_SEC);
    before = l.stores;
    for (int i = 0; i < 890; i++) { /* peers that only move can wait ... */
        rmri_node_cache_changed(l.node, l.now, false);
        lab_run(&l, RMR_SEC);
    }
    assert_int_equal(l.stores, before);
    rmri_node_cache_changed(l.node, l.now + 30 * RMR_SEC, true);
    lab_run(&l, 20 * RMR_SEC); /* ... and are not put off */
    assert_int_equal(l.stores, before + 1);
}

/* ---- local clients ------------------------------------------------------ */

static void start_pair(rmr_node_config *cfg)
{
    rmr_node_config other;
    pair_init(&p, 5);
    cfg->local_name = "remora.sock";
    pair_start(&p, 0, cfg);
    rmr_node_config_init(&other, sizeof other);
    pair_start(&p, 1, &other);
    pair_feed_netmaps(&p);
    pair_run(&p, 2 * RMR_SEC, NULL, NULL);
}

static void end_pair(void)
{
    pair_free(&p);
    for (int i = 0; i < 2; i++)
        assert_int_equal(p.node[i].alloc.live_blocks, 0);
}

static void a_local_client_that_asks_nothing_is_let_go(void **st)
{
    rmr_node_config cfg;
    (void)st;
    rmr_node_config_init(&cfg, sizeof cfg);
    start_pair(&cfg);
    uint32_t before = p.node[0].n->conns.used;
    pair_conn *c = pair_dial(&p, 0, 0, "remora.sock");
    assert_int_equal(pair_write(c, "{\"op\":", 6), 6);
    pair_run(&p, 5 * RMR_SEC, NULL, NULL);
    assert_int_equal(p.node[0].n->conns.used, before + 1);
    pair_run(&p, 6 * RMR_SEC, NULL, NULL);
    assert_int_equal(p.node[0].n->conns.used, before);
    assert_true(pair_is_reset(c));
    end_pair();
}

static void a_peer_name_of_control_bytes_is_answered(void **st)
{
    rmr_node_config cfg;
    char line[2048] = "{\"op\":\"ping\",\"peer\":\"";
    char answer[4096];
    (void)st;
    for (int i = 0; i < 165; i++)
        strcat(line, "\\u0001");
    strcat(line, "\"}\n");
    rmr_node_config_init(&cfg, sizeof cfg);
    start_pair(&cfg);
    pair_conn *c = pair_dial(&p, 0, 0, "remora.sock");
    assert_int_equal(pair_write(c, line, strlen(line)), strlen(line));
    pair_run(&p, RMR_SEC, NULL, NULL);
    size_t n = pair_read(c, answer, sizeof answer - 1);
    answer[n] = 0;
    assert_non_null(strstr(answer, "is not a peer of this tailnet"));
    assert_true(pair_is_eof(c));
    end_pair();
}

/* A client that has ended already, a peer that ends at once, and an answer that
 * could not go out yet: it still goes out first. */
static void the_answer_comes_before_the_end(void **st)
{
    static const uint8_t hello[] = {5,   1,  0, 5, 1,         0,          1,
                                    100, 64, 0, 2, 7000 >> 8, 7000 & 0xff};
    static const uint8_t want[12] = {5, 0, 5, 0, 0, 1};
    rmr_node_config cfg;
    rmr_serve s = {7000, rmr_addr_v4(127, 0, 0, 1, 7000)};
    uint8_t got[64];
    (void)st;
    rmr_node_config_init(&cfg, sizeof cfg);
    pair_init(&p, 7);
    cfg.socks5 = rmr_addr_v4(127, 0, 0, 1, 1080);
    pair_start(&p, 0, &cfg);
    rmr_node_config_init(&cfg, sizeof cfg);
    cfg.serves = &s;
    cfg.n_serves = 1;
    pair_start(&p, 1, &cfg);
    pair_feed_netmaps(&p);
    pair_run(&p, 2 * RMR_SEC, NULL, NULL);
    pair_conn *c = pair_dial(&p, 0, 1080, NULL);
    uint8_t *full = calloc(1, PAIR_PIPE); /* the client does not read */
    assert_non_null(full);
    c->pipe[1].buf = full;
    c->pipe[1].cap = c->pipe[1].len = PAIR_PIPE;
    assert_int_equal(pair_write(c, hello, sizeof hello), sizeof hello);
    pair_shut(c);
    pair_run(&p, 5 * RMR_SEC, NULL, NULL);
    pair_conn *at = pair_accepted(&p, 7000);
    assert_non_null(at);
    pair_close(at);
    pair_run(&p, 5 * RMR_SEC, NULL, NULL);
    c->pipe[1].len = 0;
    pair_run(&p, 5 * RMR_SEC, NULL, NULL);
    assert_int_equal(pair_read(c, got, sizeof got), sizeof want);
    assert_memory_equal(got, want, sizeof want);
    assert_true(pair_is_eof(c));
    end_pair();
}

/* RFC 9293 3.8.4: its reset may be lost, or it may never send one. */
static void a_peer_that_vanishes_does_not_hold_a_connection(void **st)
{
    rmr_node_config cfg;
    rmr_forward f = {.port = 7000};
    rmr_serve s = {7000, rmr_addr_v4(127, 0, 0, 1, 7000)};
    (void)st;
    f.local = rmr_addr_v4(127, 0, 0, 1, 8000);
    memcpy(f.peer, "node1", 6);
    rmr_node_config_init(&cfg, sizeof cfg);
    pair_init(&p, 6);
    cfg.forwards = &f;
    cfg.n_forwards = 1;
    pair_start(&p, 0, &cfg);
    rmr_node_config_init(&cfg, sizeof cfg);
    cfg.serves = &s;
    cfg.n_serves = 1;
    pair_start(&p, 1, &cfg);
    pair_feed_netmaps(&p);
    pair_run(&p, 2 * RMR_SEC, NULL, NULL);
    uint32_t before[2] = {p.node[0].n->conns.used, p.node[1].n->conns.used};
    pair_conn *c = pair_dial(&p, 0, 8000, NULL);
    pair_run(&p, 5 * RMR_SEC, NULL, NULL);
    assert_non_null(pair_accepted(&p, 7000));
    pair_run(&p, 3600 * RMR_SEC, NULL, NULL); /* idle, but well */
    assert_int_equal(p.node[0].n->conns.used, before[0] + 1);
    p.drop_permille = 1000;
    pair_run(&p, 600 * RMR_SEC, NULL, NULL);
    for (int i = 0; i < 2; i++)
        assert_int_equal(p.node[i].n->conns.used, before[i]);
    assert_true(pair_is_reset(c));
    end_pair();
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* ---- a relay's packets -------------------------------------------------- */

static uint8_t frames[1024];
static size_t frames_len;

static void put_frame(rmr_derp_type type, const uint8_t key[RMR_KEY_LEN],
                      size_t more)
{
    uint8_t *at = frames + frames_len;
    at[0] = (uint8_t)type;
    rmr_store_be32(at + 1, (uint32_t)(RMR_KEY_LEN + more));
    memcpy(at + 5, key, RMR_KEY_LEN);
    memset(at + 5 + RMR_KEY_LEN, type == RMR_DERP_RECV_PACKET ? 4 : 0, more);
    frames_len += 5 + RMR_KEY_LEN + more;
}

/* All of them to node 0 in one piece, as a record of TLS brings them. */
static void give_frames(void)
{
    rmr_io_event ev = {.kind = RMR_IO_BYTES};
    for (size_t i = 0; i < PAIR_CONNS; i++)
        if (p.conns[i].used && p.conns[i].relay_up &&
            p.conns[i].end[0].node == 0)
            ev.id = p.conns[i].end[0].id;
    assert_true(ev.id != 0);
    ev.data = rmr_buf_of(frames, frames_len);
    rmr_machine *m = &p.node[0].m;
    assert_int_equal(m->event(m->self, p.now, &ev), RMR_OK);
    frames_len = 0;
}

static uint16_t heard_from(const uint8_t key[RMR_KEY_LEN])
{
    rmr_path_peer peer;
    rmr_path_info info;
    rmr_node *n = p.node[0].n;
    assert_true(rmr_paths_find(n->paths, key, &peer));
    assert_int_equal(rmr_paths_info(n->paths, p.now, peer, &info), RMR_OK);
    return info.reverse;
}

static void each_packet_of_a_relays_record_has_its_own_sender(void **st)
{
    rmr_node_config cfg;
    const uint8_t stranger[RMR_KEY_LEN] = {9};
    (void)st;
    rmr_node_config_init(&cfg, sizeof cfg);
    start_pair(&cfg);
    rmr_node *n = p.node[0].n;
    const uint8_t *peer = p.node[1].n->node_public;
    uint64_t before = n->dropped_stranger;
    for (int i = 0; i < 2; i++) {
        put_frame(RMR_DERP_RECV_PACKET, peer, 64);
        put_frame(RMR_DERP_RECV_PACKET, stranger, 64);
        put_frame(RMR_DERP_RECV_PACKET, stranger, 64);
    }
    give_frames();
    assert_int_equal(n->dropped_stranger, before + 4);
    assert_int_equal(heard_from(peer), 1);
    end_pair();
}

/* The way back is forgotten when the relay says so, and learnt anew by the next
 * packet: in the same record, or in the next one. */
static void a_peer_that_comes_back_to_a_relay_is_reached_there_again(void **st)
{
    rmr_node_config cfg;
    (void)st;
    rmr_node_config_init(&cfg, sizeof cfg);
    start_pair(&cfg);
    const uint8_t *peer = p.node[1].n->node_public;
    put_frame(RMR_DERP_RECV_PACKET, peer, 64);
    put_frame(RMR_DERP_PEER_GONE, peer, 1);
    give_frames();
    assert_int_equal(heard_from(peer), 0);
    put_frame(RMR_DERP_RECV_PACKET, peer, 64);
    put_frame(RMR_DERP_PEER_GONE, peer, 1);
    put_frame(RMR_DERP_RECV_PACKET, peer, 64);
    give_frames();
    assert_int_equal(heard_from(peer), 1);
    rmr_paths_derp_gone(p.node[0].n->paths, p.now, peer, 1);
    put_frame(RMR_DERP_RECV_PACKET, peer, 64);
    give_frames();
    assert_int_equal(heard_from(peer), 1);
    end_pair();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_host_without_udp_does_not_spin_over_a_name),
        T(half_of_a_password_is_no_open_proxy),
        T(the_servers_netmap_overtakes_the_cached_one_at_any_part),
        T(a_netmap_that_changes_always_is_saved_now_and_then),
        cmocka_unit_test(a_local_client_that_asks_nothing_is_let_go),
        cmocka_unit_test(the_answer_comes_before_the_end),
        cmocka_unit_test(a_peer_that_vanishes_does_not_hold_a_connection),
        cmocka_unit_test(a_peer_name_of_control_bytes_is_answered),
        cmocka_unit_test(each_packet_of_a_relays_record_has_its_own_sender),
        cmocka_unit_test(
            a_peer_that_comes_back_to_a_relay_is_reached_there_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
