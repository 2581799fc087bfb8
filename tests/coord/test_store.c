/* What lasts: a store that is given, that fails, that is damaged. */
#include "bare.h"
#include "coord_world.h"
#include "fake_store.h"
#include "memory_text.h"

static cw w;
static fake_store disk;
static rmr_coord_store table;

static void on_disk(rmr_coord_config *cfg)
{
    table = fake_table(&disk);
    cfg->store = &table;
}

/* No client was told of a node that the store has not got. */
static void nobody_knows_it(void)
{
    const rmr_coord *c = w.coord;
    for (size_t i = 0; i < c->n_nodes; i++) {
        const crd_node *n = c->by_id[i];
        if (fake_has(&disk, RMR_COORD_ROW_NODE, n->id))
            continue;
        for (const crd_stream *s = c->streams; s; s = s->next)
            assert_false(c->store.err == RMR_OK &&
                         rmri_crd_set_has(&s->told, n->slot));
        assert_null(n->streams);
    }
}

static void begin(void)
{
    memset(&disk, 0, sizeof disk);
    disk.on_commit = nobody_knows_it;
    cw_init(&w, on_disk);
}

static void end(void)
{
    assert_false(disk.is_misused);
    cw_free(&w);
    fake_free(&disk);
}

static uint64_t key(uint64_t user, bool reusable, const char *tag,
                    uint64_t expiry, char text[RMR_COORD_KEY_TEXT])
{
    rmr_coord_key_wish wish = {.user = user,
                               .reusable = reusable,
                               .expiry_unix_ns = expiry,
                               .tags = &tag,
                               .n_tags = tag ? 1 : 0};
    uint64_t id;
    assert_int_equal(rmr_coord_key_add(w.coord, &wish, text, &id), RMR_OK);
    return id;
}

static uint64_t label(const char *name)
{
    return cw_find(&w, name).id;
}

/* The store has what the server has; with that, another begins. */
static void restart_and_compare(void)
{
    assert_int_equal(rmri_crd_store_commit(w.coord, SIZE_MAX), RMR_OK);
    char *was = memory_text(w.coord), *stored = store_text(&table);
    assert_string_equal(was, stored);
    cw_restart(&w);
    char *is = memory_text(w.coord);
    assert_string_equal(is, was);
    free(was);
    free(stored);
    free(is);
}

/* ---- nothing is lost ----------------------------------------------------- */

static void everything_survives_a_restart(void **s)
{
    char alice[RMR_COORD_KEY_TEXT], once[RMR_COORD_KEY_TEXT];
    char robots[RMR_COORD_KEY_TEXT], old[RMR_COORD_KEY_TEXT];
    rmr_prefix routes[2];
    rmr_coord_key k;
    (void)s;
    begin();
    uint64_t user = cw_user(&w, "alice");
    assert_int_equal(cw_user(&w, "bob"), 2);
    key(user, true, NULL, 0, alice);
    uint64_t used = key(user, false, NULL, 0, once);
    key(0, true, "tag:robot", 0, robots);
    key(user, true, NULL, 1, old);
    cw_node *a = cw_add(&w, "one", alice), *b = cw_add(&w, "two", once);
    cw_add(&w, "three", robots);
    assert_true(cw_all_run(&w, 10 * RMR_SEC));
    assert_int_equal(rmr_prefix_parse(rmr_bytes_str("10.1.0.0/16"), &routes[0]),
                     RMR_OK);
    assert_int_equal(rmr_prefix_parse(rmr_bytes_str("::/0"), &routes[1]),
                     RMR_OK);
    assert_int_equal(rmr_coord_node_approve(w.coord, label("one"), routes, 2),
                     RMR_OK);
    assert_int_equal(rmr_coord_node_rename(w.coord, label("two"), "deux"),
                     RMR_OK);
    assert_int_equal(
        rmr_coord_node_expire(w.coord, label("deux"), 1900000000ull * RMR_SEC),
        RMR_OK);
    assert_int_equal(
        rmr_coord_set_policy(w.coord, rmr_bytes_str(RMR_POL_ISOLATED), NULL),
        RMR_OK);
    restart_and_compare();

    assert_int_equal(rmr_coord_key_next(w.coord, used - 1, &k), RMR_OK);
    assert_true(k.used && !k.reusable);
    assert_int_equal(cw_find(&w, "one").n_approved, 3);
    assert_int_equal(cw_find(&w, "three").n_tags, 1);
    cw_run(&w, 60 * RMR_SEC); /* they come back by themselves */
    assert_true(cw_find(&w, "one").online && cw_find(&w, "deux").online);
    assert_true(cw_sees(a, "deux"));
    assert_true(cw_reaches(a, b) && cw_reaches(b, a));
    end();
}

static void ids_and_addresses_are_not_given_out_twice(void **s)
{
    char alice[RMR_COORD_KEY_TEXT];
    uint64_t id;
    (void)s;
    begin();
    key(cw_user(&w, "alice"), true, NULL, 0, alice);
    assert_int_equal(rmr_coord_user_add(w.coord, "bob", &id), RMR_OK);
    cw_add(&w, "one", alice);
    cw_node *b = cw_add(&w, "two", alice);
    assert_true(cw_all_run(&w, 10 * RMR_SEC));
    rmr_coord_node two = cw_find(&w, "two");
    cw_stop(b);
    assert_int_equal(rmr_coord_node_remove(w.coord, two.id), RMR_OK);
    assert_int_equal(rmr_coord_user_remove(w.coord, id), RMR_OK);
    cw_poke(&w);
    restart_and_compare();
    assert_int_equal(rmr_coord_user_add(w.coord, "carol", &id), RMR_OK);
    assert_int_equal(id, 3);
    cw_add(&w, "two", alice);
    assert_true(cw_all_run(&w, 60 * RMR_SEC));
    assert_true(cw_find(&w, "two").id > two.id);
    rmr_coord_node is = cw_find(&w, "two");
    assert_false(rmr_addr_eq(&is.v4, &two.v4) || rmr_addr_eq(&is.v6, &two.v6));
    end();
}

static void the_time_goes_on_while_it_is_down(void **s)
{
    char alice[RMR_COORD_KEY_TEXT], brief[RMR_COORD_KEY_TEXT];
    uint64_t id;
    rmr_coord_key_wish wish = {.ephemeral = true, .reusable = true};
    (void)s;
    begin();
    wish.user = cw_user(&w, "alice");
    key(wish.user, true, NULL, 0, alice);
    assert_int_equal(rmr_coord_key_add(w.coord, &wish, brief, &id), RMR_OK);
    cw_node *a = cw_add(&w, "one", alice), *b = cw_add(&w, "brief", brief);
    assert_true(cw_all_run(&w, 10 * RMR_SEC));
    uint64_t soon = rmri_crd_wall(w.coord) + 5 * RMR_SEC;
    assert_int_equal(rmr_coord_node_expire(w.coord, label("one"), soon),
                     RMR_OK);
    cw_poke(&w);
    cw_run(&w, RMR_SEC);
    cw_stop(a);
    cw_stop(b);
    assert_int_equal(rmr_sim_remove(w.sim, w.program, RMR_SIM_KILLED), RMR_OK);
    cw_run(&w, 60 * RMR_SEC);
    rmr_machine m = rmr_coord_machine(w.coord); /* something to remove */
    assert_int_equal(rmr_sim_add(w.sim, w.host, &m, &w.program), RMR_OK);
    cw_restart(&w);
    cw_run(&w, RMR_SEC);
    assert_true(cw_find(&w, "one").expired);
    assert_int_equal(cw_find(&w, "brief").ephemeral, true);
    cw_run(&w, 130 * RMR_SEC);
    assert_int_equal(w.coord->n_nodes, 1); /* the ephemeral one went */
    end();
}

static void what_was_not_committed_is_gone(void **s)
{
    uint64_t id;
    rmr_coord_user u;
    (void)s;
    begin();
    cw_user(&w, "alice");
    assert_int_equal(rmr_coord_commit(w.coord), RMR_OK);
    cw_user(&w, "bob"); /* and no turn behind it */
    cw_restart(&w);
    assert_int_equal(rmr_coord_user_get(w.coord, 0, "alice", &u), RMR_OK);
    assert_int_equal(rmr_coord_user_get(w.coord, 0, "bob", &u), RMR_E_NOTFOUND);
    cw_user(&w, "bob");
    cw_poke(&w);
    cw_run(&w, 1); /* a turn is enough */
    cw_restart(&w);
    assert_int_equal(rmr_coord_user_get(w.coord, 0, "bob", &u), RMR_OK);
    assert_int_equal(rmr_coord_user_add(w.coord, "bob", &id), RMR_E_INUSE);
    end();
}

/* ---- how often ----------------------------------------------------------- */

/* A program adds users before the server knows the time. */
static void what_came_before_the_time_is_dated_by_it(void **s)
{
    test_alloc heap = {0};
    test_rng rng;
    rmr_err e;
    uint64_t id;
    rmr_coord_user u;
    const uint64_t day = 1800000000ull * RMR_SEC;
    const rmr_io_event wall = {.kind = RMR_IO_WALL, .wall_unix_ns = day};
    (void)s;
    memset(&disk, 0, sizeof disk);
    table = fake_table(&disk);
    for (int i = 0; i < 2; i++) {
        rmr_coord *c = bare_coord(&heap, &rng, &table, &e);
        rmr_machine m = rmr_coord_machine(c);
        if (i == 0)
            assert_int_equal(rmr_coord_user_add(c, "alice", &id), RMR_OK);
        assert_int_equal(rmr_coord_commit(c), RMR_OK);
        rmr_io_event ev = wall;
        ev.wall_unix_ns += (uint64_t)i;
        assert_int_equal(m.event(m.self, RMR_SEC, &ev), RMR_OK);
        assert_int_equal(rmr_coord_commit(c), RMR_OK);
        assert_int_equal(rmr_coord_user_get(c, 0, "alice", &u), RMR_OK);
        assert_true(u.created_unix_ns == day);
        rmr_coord_free(c);
    }
    fake_free(&disk);
}

static void changes_of_a_turn_are_one_commit(void **s)
{
    rmr_coord_stats st;
    char name[16];
    (void)s;
    begin();
    for (int i = 0; i < 50; i++) {
        (void)snprintf(name, sizeof name, "u%d", i);
        cw_user(&w, name);
    }
    cw_poke(&w);
    cw_run(&w, RMR_SEC);
    rmr_coord_get_stats(w.coord, &st);
    assert_int_equal(disk.commits, 1);
    assert_int_equal(disk.most_rows, 51); /* the counters too */
    assert_int_equal(st.commits, 1);
    assert_int_equal(st.rows, 51);
    end();
}

static void silence_is_not_stored(void **s)
{
    char alice[RMR_COORD_KEY_TEXT];
    (void)s;
    begin();
    key(cw_user(&w, "alice"), true, NULL, 0, alice);
    cw_add(&w, "one", alice);
    cw_node *b = cw_add(&w, "two", alice);
    assert_true(cw_all_run(&w, 10 * RMR_SEC));
    cw_run(&w, 120 * RMR_SEC);
    unsigned commits = disk.commits;
    cw_run(&w, 3600 * RMR_SEC); /* some 140 keep-alives */
    assert_int_equal(disk.commits, commits);
    cw_stop(b);
    cw_run(&w, 30 * RMR_SEC);
    assert_int_equal(disk.commits, commits); /* that has time */
    cw_run(&w, 60 * RMR_SEC);
    assert_int_equal(disk.commits, commits + 1);
    restart_and_compare();
    end();
}

static void an_orderly_end_stores_all(void **s)
{
    char alice[RMR_COORD_KEY_TEXT];
    (void)s;
    begin();
    key(cw_user(&w, "alice"), true, NULL, 0, alice);
    cw_node *a = cw_add(&w, "one", alice);
    assert_true(cw_all_run(&w, 10 * RMR_SEC));
    cw_run(&w, 70 * RMR_SEC);
    cw_stop(a);
    cw_run(&w, RMR_SEC);
    rmr_coord_stop(w.coord, rmr_sim_now(w.sim));
    cw_poke(&w);
    cw_run(&w, 5 * RMR_SEC);
    char *is = memory_text(w.coord), *stored = store_text(&table);
    assert_string_equal(is, stored);
    free(is);
    free(stored);
    rmr_machine m = rmr_coord_machine(w.coord); /* the world removes it */
    assert_int_equal(rmr_sim_add(w.sim, w.host, &m, &w.program), RMR_OK);
    end();
}

/* ---- a store that fails -------------------------------------------------- */

static void who_joins_hears_of_it_when_it_lasts(void **s)
{
    char alice[RMR_COORD_KEY_TEXT];
    rmr_coord_stats st;
    (void)s;
    begin();
    key(cw_user(&w, "alice"), true, NULL, 0, alice);
    cw_node *a = cw_add(&w, "one", alice), *b = cw_add(&w, "two", alice);
    assert_true(cw_all_run(&w, 10 * RMR_SEC));
    assert_int_equal(w.joined, 2);
    disk.fails = true;
    cw_node *c = cw_add(&w, "three", alice);
    cw_run(&w, 20 * RMR_SEC);
    rmr_coord_get_stats(w.coord, &st);
    assert_false(c->is_running);
    assert_non_null(strstr(c->why, "can't store anything now"));
    assert_int_equal(w.joined, 2);
    assert_int_equal(w.troubles, 1); /* told once */
    assert_non_null(strstr(w.trouble, "the test says so"));
    assert_true(st.failed_commits > 10);
    /* What there is goes on; more is refused. */
    assert_true(cw_reaches(a, b));
    uint64_t id = label("two");
    assert_int_equal(rmr_coord_node_rename(w.coord, id, "x"), RMR_E_IO);
    assert_int_equal(rmr_coord_user_add(w.coord, "bob", &id), RMR_E_IO);
    assert_int_equal(rmr_coord_node_remove(w.coord, 1), RMR_E_IO);
    assert_int_equal(rmr_coord_node_expire(w.coord, 1, 1), RMR_E_IO);
    assert_int_equal(rmr_coord_node_approve(w.coord, 1, NULL, 0), RMR_E_IO);
    assert_int_equal(rmr_coord_key_expire(w.coord, 1), RMR_E_IO);
    assert_int_equal(rmr_coord_key_remove(w.coord, 1), RMR_E_IO);
    assert_int_equal(rmr_coord_user_rename(w.coord, 1, "x"), RMR_E_IO);
    assert_int_equal(rmr_coord_commit(w.coord), RMR_E_FULL);
    disk.fails = false;
    assert_true(cw_all_run(&w, 60 * RMR_SEC));
    assert_int_equal(w.joined, 3);
    cw_run(&w, RMR_SEC);
    assert_true(cw_sees(a, "three"));
    restart_and_compare();
    end();
}

static void who_logs_out_hears_of_it_when_it_lasts(void **s)
{
    char alice[RMR_COORD_KEY_TEXT];
    (void)s;
    begin();
    key(cw_user(&w, "alice"), true, NULL, 0, alice);
    cw_node *a = cw_add(&w, "one", alice);
    assert_true(cw_all_run(&w, 10 * RMR_SEC));
    cw_run(&w, RMR_SEC);
    unsigned commits = disk.commits;
    assert_int_equal(rmr_node_logout(a->node, rmr_sim_now(w.sim)), RMR_OK);
    assert_int_equal(rmr_sim_poke(w.sim, a->program), RMR_OK);
    cw_run(&w, 5 * RMR_SEC);
    assert_true(disk.commits > commits);
    assert_true(cw_find(&w, "one").expired);
    restart_and_compare();
    end();
}

static void an_approval_is_answered_when_it_lasts(void **s)
{
    uint64_t node;
    (void)s;
    begin();
    cw_user(&w, "alice");
    cw_node *a = cw_add(&w, "one", NULL);
    cw_run(&w, 3 * RMR_SEC);
    assert_true(a->needs_login);
    disk.fails = true;
    assert_int_equal(rmr_coord_login_approve(w.coord, w.login, 1, &node),
                     RMR_OK);
    cw_poke(&w);
    cw_run(&w, 5 * RMR_SEC);
    assert_false(a->is_running);
    assert_int_equal(w.joined, 0);
    disk.fails = false;
    assert_true(cw_all_run(&w, 60 * RMR_SEC));
    assert_int_equal(w.joined, 1);
    restart_and_compare();
    end();
}

static void end_who_waits(void)
{
    rmr_coord *c = w.coord;
    const crd_link *ring = &c->store.held;
    for (crd_link *l = ring->next; l != ring; l = l->next) {
        crd_rpc *r = (crd_rpc *)(void *)((char *)l - offsetof(crd_rpc, held));
        rmri_crd_conn_end(r->conn, c->now);
        disk.on_commit = nobody_knows_it; /* once */
    }
}

/* The connection ends while the commit is under way. */
static void who_is_gone_is_not_answered(void **s)
{
    char alice[RMR_COORD_KEY_TEXT];
    (void)s;
    begin();
    key(cw_user(&w, "alice"), true, NULL, 0, alice);
    cw_poke(&w);
    cw_run(&w, RMR_SEC);
    disk.on_commit = end_who_waits;
    cw_add(&w, "one", alice);
    cw_run(&w, RMR_SEC);
    assert_true(disk.on_commit == nobody_knows_it); /* one was ended */
    assert_true(cw_all_run(&w, 60 * RMR_SEC));
    assert_int_equal(w.joined, 1);
    end();
}

static void joins_that_come_together_are_one_commit(void **s)
{
    char alice[RMR_COORD_KEY_TEXT], name[16];
    (void)s;
    begin();
    key(cw_user(&w, "alice"), true, NULL, 0, alice);
    cw_poke(&w);
    cw_run(&w, RMR_SEC);
    unsigned commits = disk.commits;
    for (int i = 0; i < CW_NODES; i++) {
        (void)snprintf(name, sizeof name, "n%d", i);
        cw_add(&w, name, alice);
    }
    assert_true(cw_all_run(&w, 10 * RMR_SEC));
    assert_int_equal(w.joined, CW_NODES);
    print_message("%d joins in %u commits\n", CW_NODES, disk.commits - commits);
    assert_true(disk.commits - commits <= 3);
    end();
}

/* One turn's worth of everything, without a network. */
static void change_all(rmr_coord *c)
{
    static const char *const tags[] = {"tag:a", "tag:b"};
    rmr_prefix route = {.family = RMR_AF_INET, .bits = 8, .ip = {10}};
    rmr_coord_key_wish wish = {.user = 1, .tags = tags, .n_tags = 2};
    char text[RMR_COORD_KEY_TEXT];
    uint64_t id;
    assert_int_equal(rmr_coord_user_add(c, "alice", &id), RMR_OK);
    assert_int_equal(rmr_coord_user_add(c, "bob", &id), RMR_OK);
    assert_int_equal(rmr_coord_key_add(c, &wish, text, &id), RMR_OK);
    assert_int_equal(rmr_coord_key_add(c, &wish, text, &id), RMR_OK);
    assert_int_equal(bare_node(c, 1, 1, "one"), RMR_OK);
    assert_int_equal(bare_node(c, 1, 2, "one"), RMR_OK);
    assert_int_equal(rmr_coord_node_approve(c, 1, &route, 1), RMR_OK);
    assert_int_equal(
        rmr_coord_set_policy(c,
                             rmr_bytes_str("{\"tagOwners\":{\"tag:a\":[],"
                                           "\"tag:b\":[],\"tag:z\":[]}}"),
                             NULL),
        RMR_OK);
    assert_int_equal(rmr_coord_node_set_tags(c, 2, tags, 2), RMR_OK);
}

static void remove_some(rmr_coord *c)
{
    assert_int_equal(rmr_coord_node_remove(c, 1), RMR_OK);
    assert_int_equal(rmr_coord_key_remove(c, 1), RMR_OK);
    assert_int_equal(rmr_coord_user_remove(c, 2), RMR_OK);
    assert_int_equal(rmr_coord_node_rename(c, 2, "one"), RMR_OK);
}

static char *disk_text(void)
{
    unsigned calls = disk.calls, fail_at = disk.fail_at;
    disk.fail_at = 0;
    char *text = store_text(&table);
    disk.calls = calls;
    disk.fail_at = fail_at;
    return text;
}

/* Fails the n-th call of the store; is everything there at last?  False: there
 * was no n-th call. */
static bool runs_though_a_call_fails(unsigned n)
{
    test_alloc heap = {0};
    test_rng rng;
    rmr_err e;
    memset(&disk, 0, sizeof disk);
    table = fake_table(&disk);
    disk.fail_at = n;
    rmr_coord *c = bare_coord(&heap, &rng, &table, &e);
    if (e != RMR_OK) {
        assert_int_equal(e, RMR_E_FULL);
        c = bare_coord(&heap, &rng, &table, &e);
    }
    assert_int_equal(e, RMR_OK);
    for (int i = 0; i < 2; i++) {
        (i ? remove_some : change_all)(c);
        char *before = disk_text();
        if (rmr_coord_commit(c) != RMR_OK) {
            char *behind = disk_text();
            assert_string_equal(before, behind);
            free(behind);
            assert_int_equal(rmr_coord_commit(c), RMR_OK);
        }
        char *is = memory_text(c), *stored = disk_text();
        assert_string_equal(is, stored);
        free(before);
        free(is);
        free(stored);
    }
    bool was_called = disk.calls >= n;
    rmr_coord_free(c);
    assert_int_equal(heap.live_blocks, 0);
    assert_false(disk.is_misused);
    fake_free(&disk);
    return was_called;
}

static rmr_err one_change(rmr_coord *c, int which)
{
    static const char *const tag = "tag:z";
    static const uint8_t fresh[RMR_KEY_LEN] = {99};
    rmr_prefix net = {.family = RMR_AF_INET, .bits = 16, .ip = {10, 9}};
    switch (which) {
    case 0:
        return rmr_coord_user_rename(c, 1, "alicia");
    case 1:
        return rmr_coord_key_expire(c, 1);
    case 2:
        return rmr_coord_key_remove(c, 2);
    case 3:
        return rmr_coord_node_rename(c, 1, "uno");
    case 4:
        return rmr_coord_node_expire(c, 1, 12345);
    case 5:
        return rmr_coord_node_approve(c, 1, &net, 1);
    case 6:
        return rmri_crd_node_set_key(c, rmri_crd_node(c, 1), fresh);
    case 7:
        return rmr_coord_node_set_tags(c, 1, &tag, 1);
    case 8:
        return rmr_coord_node_remove(c, 1);
    case 9:
        return rmr_coord_user_remove(c, 2);
    case 10:
        return rmr_coord_set_policy(c, rmr_bytes_str("{\"acls\":[]}"), NULL);
    default:
        return RMR_E_NOTFOUND;
    }
}

static void each_change_is_stored_by_itself(void **s)
{
    test_alloc heap = {0};
    test_rng rng;
    rmr_err e;
    int n = 0;
    (void)s;
    memset(&disk, 0, sizeof disk);
    table = fake_table(&disk);
    rmr_coord *c = bare_coord(&heap, &rng, &table, &e);
    change_all(c);
    assert_int_equal(rmr_coord_commit(c), RMR_OK);
    while (one_change(c, n) == RMR_OK) {
        unsigned commits = disk.commits;
        assert_int_equal(rmr_coord_commit(c), RMR_OK);
        char *is = memory_text(c), *stored = store_text(&table);
        assert_string_equal(stored, is);
        assert_int_equal(disk.commits, commits + 1);
        free(is);
        free(stored);
        n++;
    }
    assert_int_equal(n, 11);
    rmr_coord_free(c);
    assert_int_equal(heap.live_blocks, 0);
    fake_free(&disk);
}

static void any_call_of_the_store_may_fail(void **s)
{
    unsigned n = 1;
    (void)s;
    while (runs_though_a_call_fails(n))
        n++;
    assert_true(n > 15);
}

static void a_load_without_memory_fails_in_order(void **s)
{
    test_alloc heap = {0};
    test_rng rng;
    rmr_err e;
    (void)s;
    memset(&disk, 0, sizeof disk);
    table = fake_table(&disk);
    rmr_coord *c = bare_coord(&heap, &rng, &table, &e);
    change_all(c);
    assert_int_equal(rmr_coord_commit(c), RMR_OK);
    char *was = memory_text(c);
    remove_some(c); /* and is freed with that */
    rmr_coord_free(c);
    assert_int_equal(heap.live_blocks, 0);
    for (size_t n = 1;; n++) {
        memset(&heap, 0, sizeof heap);
        heap.fail_at = n;
        c = bare_coord(&heap, &rng, &table, &e);
        if (e == RMR_OK)
            break;
        assert_int_equal(e, RMR_E_NOMEM);
        assert_null(c);
        assert_int_equal(heap.live_blocks, 0);
        assert_true(n < 1000);
    }
    char *is = memory_text(c);
    assert_string_equal(is, was);
    free(is);
    free(was);
    rmr_coord_free(c);
    fake_free(&disk);
}

static void an_open_start_without_memory_fails_in_order(void **s)
{
    static const uint8_t private_key[RMR_KEY_LEN] = {8, [31] = 64};
    rmr_addr at = rmr_addr_v4(127, 0, 0, 1, 80);
    rmr_coord_config cfg;
    test_rng rng;
    rmr_err e = RMR_E_NOMEM;
    (void)s;
    rmr_coord_config_init(&cfg, sizeof cfg);
    cfg.listen = &at;
    cfg.n_listen = 1;
    cfg.server_url = "http://127.0.0.1";
    cfg.private_key = private_key;
    cfg.open = true;
    for (size_t n = 1; e != RMR_OK; n++) {
        test_alloc heap = {0};
        rmr_env env = test_env(&heap, &rng, NULL);
        rmr_coord *c;
        test_rng_seed(&rng, 3);
        heap.fail_at = n;
        e = rmr_coord_new(&c, &env, &cfg, RMR_SEC);
        assert_true(e == RMR_OK || e == RMR_E_NOMEM);
        rmr_coord_free(c);
        assert_int_equal(heap.live_blocks, 0);
        assert_true(n < 1000);
    }
}

/* ---- rows that are none -------------------------------------------------- */

static rmr_coord_row user_row(uint64_t id, const char *name)
{
    rmr_coord_row r = {.kind = RMR_COORD_ROW_USER, .id = id};
    r.as.user.name = name;
    r.as.user.display = r.as.user.email = r.as.user.picture = "";
    return r;
}

static rmr_coord_row node_row(uint64_t id, const char *name)
{
    rmr_coord_row r = {.kind = RMR_COORD_ROW_NODE, .id = id};
    r.as.node.user = 1;
    r.as.node.hostname = r.as.node.given_name = name;
    r.as.node.os = "linux";
    r.as.node.machine_key[0] = r.as.node.node_key[0] = (uint8_t)id;
    r.as.node.v4 = rmr_addr_v4(100, 64, 0, (uint8_t)id, 0);
    return r;
}

static rmr_err begins_with(const rmr_coord_row *rows, size_t n)
{
    test_alloc heap = {0};
    test_rng rng;
    rmr_err e;
    memset(&disk, 0, sizeof disk);
    table = fake_table(&disk);
    for (size_t i = 0; i < n; i++)
        fake_add(&disk, &rows[i]);
    rmr_coord_free(bare_coord(&heap, &rng, &table, &e));
    assert_int_equal(heap.live_blocks, 0);
    fake_free(&disk);
    return e;
}

static void rows_that_contradict_are_refused(void **s)
{
    static const char *const bad_tag = "tag";
    rmr_coord_row rows[3] = {user_row(1, "alice"), node_row(1, "one"),
                             node_row(2, "two")};
    (void)s;
    assert_int_equal(begins_with(rows, 3), RMR_OK);
#define REFUSED(change)                                                        \
    do {                                                                       \
        rmr_coord_row was = rows[2];                                           \
        change;                                                                \
        assert_int_equal(begins_with(rows, 3), RMR_E_MALFORMED);               \
        rows[2] = was;                                                         \
    } while (0)
    REFUSED(rows[2].as.node.given_name = "one");
    REFUSED(rows[2].as.node.given_name = "a b");
    REFUSED(rows[2].as.node.node_key[0] = 1);
    REFUSED(rows[2].as.node.v4.ip[3] = 1);
    REFUSED(rows[2].as.node.user = 2);
    REFUSED(rows[2].as.node.user = 0); /* nor tags */
    REFUSED((rows[2].as.node.tags = &bad_tag, rows[2].as.node.n_tags = 1));
    REFUSED(rows[2].id = 0);
    REFUSED(rows[2] = user_row(2, "alice"));
    REFUSED(rows[2] = user_row(2, "1st"));
    REFUSED(rows[2].kind = (rmr_coord_row_kind)7);
    assert_int_equal(begins_with(rows, 3), RMR_OK);
}

static void a_store_without_a_function_is_refused(void **s)
{
    test_alloc heap = {0};
    test_rng rng;
    rmr_err e;
    (void)s;
    table = fake_table(&disk);
    table.rollback = NULL;
    assert_null(bare_coord(&heap, &rng, &table, &e));
    assert_int_equal(e, RMR_E_INVAL);
    assert_int_equal(heap.live_blocks, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_survives_a_restart),
        cmocka_unit_test(ids_and_addresses_are_not_given_out_twice),
        cmocka_unit_test(the_time_goes_on_while_it_is_down),
        cmocka_unit_test(what_was_not_committed_is_gone),
        cmocka_unit_test(what_came_before_the_time_is_dated_by_it),
        cmocka_unit_test(changes_of_a_turn_are_one_commit),
        cmocka_unit_test(silence_is_not_stored),
        cmocka_unit_test(an_orderly_end_stores_all),
        cmocka_unit_test(who_joins_hears_of_it_when_it_lasts),
        cmocka_unit_test(who_logs_out_hears_of_it_when_it_lasts),
        cmocka_unit_test(an_approval_is_answered_when_it_lasts),
        cmocka_unit_test(who_is_gone_is_not_answered),
        cmocka_unit_test(joins_that_come_together_are_one_commit),
        cmocka_unit_test(each_change_is_stored_by_itself),
        cmocka_unit_test(any_call_of_the_store_may_fail),
        cmocka_unit_test(a_load_without_memory_fails_in_order),
        cmocka_unit_test(an_open_start_without_memory_fails_in_order),
        cmocka_unit_test(rows_that_contradict_are_refused),
        cmocka_unit_test(a_store_without_a_function_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
