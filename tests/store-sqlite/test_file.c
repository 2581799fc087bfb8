/* The database file: what comes back, who may have it, what is refused. */
#include "scene.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vectors.h"

static scene w;
static const char *program;

/* ---- what comes back ----------------------------------------------------- */

static void rows_come_back_as_they_were(void **s)
{
    test_rng chance;
    (void)s;
    scene_begin(&w);
    test_rng_seed(&chance, 11);
    for (int round = 0; round < 6; round++) {
        scene_open(&w);
        rmr_coord *c = scene_coord(&w);
        for (int i = 0; i < 80; i++) {
            bare_change(c, &chance);
            if (i % 7 == 0)
                assert_int_equal(rmr_coord_commit(c), RMR_OK);
        }
        assert_int_equal(rmr_coord_commit(c), RMR_OK);
        char *was = memory_text(c);
        rmr_coord_free(c);
        scene_close(&w);

        scene_open(&w);
        c = scene_coord(&w);
        char *is = memory_text(c), *stored = store_text(&w.table);
        assert_string_equal(is, was);
        assert_string_equal(stored, was);
        free(was);
        free(is);
        free(stored);
        rmr_coord_free(c);
        scene_close(&w);
    }
    scene_end(&w);
}

/* Who was seen when: a part at a time, so that nobody waits for all. */
static void what_has_time_is_stored_in_parts(void **s)
{
    rmr_coord_stats st;
    uint64_t user, rows;
    (void)s;
    scene_begin(&w);
    scene_open(&w);
    rmr_coord *c = scene_coord(&w);
    rmr_machine m = rmr_coord_machine(c);
    assert_int_equal(rmr_coord_user_add(c, "alice", &user), RMR_OK);
    for (uint64_t i = 0; i < 2500; i++)
        assert_int_equal(bare_node(c, user, i, "n"), RMR_OK);
    assert_int_equal(rmr_coord_commit(c), RMR_OK);
    rmr_coord_get_stats(c, &st);
    rows = st.rows;
    for (size_t i = 0; i < c->n_nodes; i++) {
        c->by_id[i]->last_seen = 77;
        rmri_crd_mark(c, &c->by_id[i]->row, CRD_LAZY);
    }
    const uint64_t parts[] = {1000, 2000, 2500};
    for (int i = 0; i < 3; i++) {
        rmr_time at = RMR_SEC + 60 * RMR_SEC + (rmr_time)i * RMR_SEC;
        assert_true(m.next_deadline(m.self) == at);
        assert_int_equal(m.handle_deadline(m.self, at), RMR_OK);
        rmr_coord_get_stats(c, &st);
        assert_int_equal(st.rows - rows, parts[i]);
    }
    assert_true(m.next_deadline(m.self) == RMR_TIME_NEVER);
    char *is = memory_text(c), *stored = store_text(&w.table);
    assert_string_equal(stored, is);
    free(is);
    free(stored);
    rmr_coord_free(c);
    scene_end(&w);
}

/* Every field of every kind, at its ends. */
static void extreme_rows_come_back(void **s)
{
    static const char *const tags[] = {"tag:a", "tag:b"};
    static rmr_prefix routes[SQ_MAX_ROUTES];
    rmr_coord_row rows[6];
    (void)s;
    memset(rows, 0, sizeof rows);
    for (size_t i = 0; i < SQ_MAX_ROUTES; i++) {
        routes[i].family = RMR_AF_INET6;
        memset(routes[i].ip, 0xfe, 15);
        routes[i].ip[15] = (uint8_t)i;
        routes[i].bits = 128;
    }
    for (int i = 0; i < 6; i++) {
        rows[i].kind = (rmr_coord_row_kind)(i + 1);
        rows[i].id = i == 0 || i == 5 ? 0 : INT64_MAX - 1;
    }
    rows[0].as.counters.next_node = INT64_MAX;
    rows[0].as.counters.last_v6 = UINT32_MAX;
    rows[1].as.user =
        (rmr_coord_row_user){"alice@example.org", "A. Liddell", "a@b", "", 5};
    rows[2].as.key = (rmr_coord_row_key){.user = rows[1].id,
                                         .prefix = "0123456789ab",
                                         .used = true,
                                         .expiry_unix_ns = UINT64_MAX,
                                         .tags = tags,
                                         .n_tags = 2};
    memset(rows[2].as.key.hash, 0xff, RMR_HASH_LEN);
    rows[3].as.api_key = (rmr_coord_row_api_key){
        .prefix = "abcdefghijkl", .expiry_unix_ns = 1, .last_seen_unix_ns = 2};
    rows[4].as.node = (rmr_coord_row_node){.hostname = "",
                                           .os = "'; DROP TABLE users; --",
                                           .given_name = "a",
                                           .v6 = rmr_prefix_addr(&routes[0]),
                                           .home_derp = UINT16_MAX,
                                           .capability = UINT16_MAX,
                                           .tags = tags,
                                           .n_tags = 1,
                                           .announced = routes,
                                           .n_announced = SQ_MAX_ROUTES,
                                           .approved = routes,
                                           .n_approved = SQ_MAX_ROUTES};
    rows[5].as.policy.text = rmr_bytes_str("{} // \xc3\xa4");
    static fake_store fake;
    rmr_coord_store same = fake_table(&fake);
    scene_begin(&w);
    scene_open(&w);
    assert_int_equal(w.table.begin(w.table.user), RMR_OK);
    for (int i = 6; i-- > 0;) { /* nodes in front of their users */
        fake_add(&fake, &rows[i]);
        if (w.table.put(w.table.user, &rows[i]) != RMR_OK)
            fail_msg("%s", w.db->why);
    }
    assert_int_equal(w.table.commit(w.table.user), RMR_OK);
    scene_close(&w);
    scene_open(&w);
    char *is = store_text(&w.table), *was = store_text(&same);
    assert_string_equal(is, was);
    free(is);
    free(was);
    fake_free(&fake);
    scene_end(&w);
}

static void a_node_without_its_user_is_no_commit(void **s)
{
    rmr_coord_row row = {.kind = RMR_COORD_ROW_KEY, .id = 1};
    (void)s;
    row.as.key.user = 7;
    row.as.key.prefix = "0123456789ab";
    scene_begin(&w);
    scene_open(&w);
    assert_int_equal(w.table.begin(w.table.user), RMR_OK);
    assert_int_equal(w.table.put(w.table.user, &row), RMR_OK);
    assert_int_equal(w.table.commit(w.table.user), RMR_E_MALFORMED);
    w.table.rollback(w.table.user);
    assert_non_null(strstr(w.table.why(w.table.user), "FOREIGN KEY"));
    char *is = store_text(&w.table);
    assert_string_equal(is, "");
    free(is);
    scene_end(&w);
}

/* ---- who may have it ----------------------------------------------------- */

static unsigned mode_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return (unsigned)st.st_mode & 07777;
}

static void refused(rmr_err err, const char *word)
{
    assert_int_equal(scene_try(&w, NULL), err);
    assert_null(w.db);
    if (!strstr(w.why, word))
        fail_msg("\"%s\" does not say \"%s\"", w.why, word);
}

static void nobody_else_may_read_it_or_write_beside_it(void **s)
{
    char other[96];
    (void)s;
    scene_begin(&w);
    (void)umask(0);
    scene_open(&w);
    assert_int_equal(mode_of(w.path), 0600);
    assert_int_equal(mode_of(w.log), 0600);
    scene_close(&w);
    assert_int_equal(chmod(w.path, 0640), 0);
    refused(RMR_E_DENIED, "mode 640");
    assert_int_equal(chmod(w.path, 0600), 0);
    assert_int_equal(chmod(w.dir, 0770), 0);
    refused(RMR_E_DENIED, "others may write there (mode 770)");
    assert_int_equal(chmod(w.dir, 0700), 0);
    (void)snprintf(other, sizeof other, "%s/other", w.dir);
    assert_int_equal(rename(w.path, other), 0);
    assert_int_equal(symlink("other", w.path), 0);
    refused(RMR_E_DENIED, "no plain file");
    assert_int_equal(unlink(w.path), 0);
    assert_int_equal(mkdir(w.path, 0700), 0);
    refused(RMR_E_DENIED, "no plain file");
    assert_int_equal(rmdir(w.path), 0);
    assert_int_equal(rename(other, w.path), 0);
    scene_open(&w);
    scene_end(&w);
}

static void a_folder_that_is_missing_is_not_made(void **s)
{
    (void)s;
    scene_begin(&w);
    assert_int_equal(rmdir(w.dir), 0);
    refused(RMR_E_NOTFOUND, w.dir);
    assert_int_equal(mkdir(w.dir, 0700), 0);
    scene_end(&w);
}

/* A fresh process: a connection may not be taken through a fork. */
static int be_second(const char *path)
{
    (void)snprintf(w.path, sizeof w.path, "%s", path);
    bool ok = scene_try(&w, NULL) == RMR_E_INUSE &&
              strcmp(w.why, "another process has it open") == 0;
    return ok ? 0 : 1;
}

static void a_second_process_is_refused(void **s)
{
    int status;
    (void)s;
    scene_begin(&w);
    scene_open(&w);
    rmr_store_sqlite *mine = w.db;
    refused(RMR_E_INUSE, "another process has it open"); /* this one, even */
    pid_t child = fork();
    if (child == 0) {
        (void)execl(program, program, "--second", w.path, (char *)NULL);
        _exit(2);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    rmr_store_sqlite_close(mine);
    scene_open(&w);
    scene_end(&w);
}

/* ---- what is refused ----------------------------------------------------- */

static void write_at(long offset, const void *data, size_t n)
{
    FILE *f = fopen(w.path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, offset, SEEK_SET), 0);
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static void some_rows(void)
{
    test_rng chance;
    test_rng_seed(&chance, 5);
    scene_open(&w);
    rmr_coord *c = scene_coord(&w);
    for (int i = 0; i < 300; i++)
        bare_change(c, &chance);
    assert_int_equal(rmr_coord_commit(c), RMR_OK);
    rmr_coord_free(c);
    scene_close(&w);
}

static void damaged_pages_are_seen(void **s)
{
    static uint8_t zero[4096], was[4096];
    struct stat st;
    (void)s;
    scene_begin(&w);
    some_rows();
    assert_int_equal(stat(w.path, &st), 0);
    assert_true(st.st_size > 10 * 4096);
    for (long at = 0; at < st.st_size; at += 4096) {
        FILE *f = fopen(w.path, "rb");
        assert_int_equal(fseek(f, at, SEEK_SET), 0);
        assert_int_equal(fread(was, 1, sizeof was, f), sizeof was);
        (void)fclose(f);
        write_at(at, zero, sizeof zero);
        assert_int_equal(scene_try(&w, NULL), RMR_E_MALFORMED);
        write_at(at, was, sizeof was);
    }
    assert_int_equal(truncate(w.path, st.st_size - 4096), 0);
    assert_int_equal(scene_try(&w, NULL), RMR_E_MALFORMED);
    assert_int_equal(truncate(w.path, 100), 0);
    assert_int_equal(scene_try(&w, NULL), RMR_E_MALFORMED);
    write_at(0, "this is a letter to my aunt", 27);
    assert_int_equal(scene_try(&w, NULL), RMR_E_MALFORMED);
    scene_end(&w);
}

static rmr_err sink(void *ctx, const rmr_coord_row *row)
{
    (void)ctx;
    (void)row;
    return RMR_OK;
}

static void columns_with_nonsense_are_seen(void **s)
{
    static const char *const bad[] = {
        "UPDATE nodes SET ipv4 = '1.2.3'",
        "UPDATE nodes SET ipv6 = 'x' || char(0)",
        "UPDATE nodes SET home_derp = 65536",
        "UPDATE nodes SET approved = '10.0.0.0/33'",
        "UPDATE nodes SET announced = '10.0.0.0/8  '",
        "UPDATE nodes SET tags = replace(hex(zeroblob(40)), '00', 'tag:a ')",
        "UPDATE nodes SET approved = hex(zeroblob(4000))",
    };
    (void)s;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        scene_begin(&w);
        some_rows();
        scene_sql(&w, bad[i]);
        scene_open(&w);
        assert_int_equal(w.table.load(w.table.user, sink, NULL),
                         RMR_E_MALFORMED);
        assert_non_null(strstr(w.table.why(w.table.user), "of kind 5"));
        scene_end(&w);
    }
}

static void the_database_of_another_program_is_refused(void **s)
{
    (void)s;
    scene_begin(&w);
    (void)umask(077);
    scene_sql(&w, "CREATE TABLE songs (title TEXT)");
    refused(RMR_E_MALFORMED, "another program");
    scene_end(&w);
}

/* ---- versions ------------------------------------------------------------ */

/* Files as each version wrote them. */
static void files_of_older_versions_are_read(void **s)
{
    (void)s;
    for (int v = 1; v <= RMR_STORE_SQLITE_SCHEMA; v++) {
        char name[32];
        (void)snprintf(name, sizeof name, "store-sqlite/v%d.sql", v);
        char *sql = tv_text(name), *rows = tv_text("store-sqlite/rows.txt");
        scene_begin(&w);
        (void)umask(077);
        scene_sql(&w, sql);
        scene_open(&w);
        char *is = store_text(&w.table);
        assert_string_equal(is, rows);
        free(is);
        rmr_coord *c = scene_coord(&w);
        is = memory_text(c);
        assert_string_equal(is, rows);
        rmr_coord_free(c);
        free(is);
        free(sql);
        free(rows);
        scene_end(&w);
    }
}

static void a_newer_version_is_refused(void **s)
{
    (void)s;
    scene_begin(&w);
    some_rows();
    scene_sql(&w, "UPDATE schema_version SET version = version + 1");
    refused(RMR_E_UNSUPPORTED, "a newer remora wrote it");
    scene_sql(&w, "UPDATE schema_version SET version = version - 1");
    scene_open(&w);
    scene_end(&w);
}

/* A step of later days, which fails half-way first. */
static void a_step_is_made_whole_or_not_at_all(void **s)
{
    const char *steps[RMR_STORE_SQLITE_SCHEMA + 1];
    int64_t n;
    (void)s;
    memcpy(steps, rmri_sq_steps, sizeof rmri_sq_steps);
    scene_begin(&w);
    some_rows();
    scene_open(&w);
    steps[RMR_STORE_SQLITE_SCHEMA] =
        "ALTER TABLE users ADD COLUMN mail TEXT; INSERT INTO nothing DEFAULT "
        "VALUES";
    assert_int_not_equal(
        rmri_sq_migrate(w.db, steps, RMR_STORE_SQLITE_SCHEMA + 1), RMR_OK);
    assert_int_equal(
        rmri_sq_int(w.db, "SELECT version FROM schema_version", &n), RMR_OK);
    assert_int_equal(n, RMR_STORE_SQLITE_SCHEMA);
    assert_int_equal(rmri_sq_int(w.db,
                                 "SELECT count(*) FROM pragma_table_info("
                                 "'users') WHERE name = 'mail'",
                                 &n),
                     RMR_OK);
    assert_int_equal(n, 0);
    steps[RMR_STORE_SQLITE_SCHEMA] = "ALTER TABLE users ADD COLUMN mail TEXT";
    assert_int_equal(rmri_sq_migrate(w.db, steps, RMR_STORE_SQLITE_SCHEMA + 1),
                     RMR_OK);
    assert_int_equal(
        rmri_sq_int(w.db, "SELECT version FROM schema_version", &n), RMR_OK);
    assert_int_equal(n, RMR_STORE_SQLITE_SCHEMA + 1);
    scene_end(&w);
}

/* ---- no room ------------------------------------------------------------- */

/* Changes until the commit fails; then the limit goes. */
static void fill_up(rmr_err err, void (*more_room)(void))
{
    test_rng chance;
    rmr_coord_stats st;
    rmr_coord_user u;
    uint64_t id;
    rmr_err e = RMR_OK;
    char name[32], *before = NULL;
    test_rng_seed(&chance, 9);
    rmr_coord *c = scene_coord(&w);
    for (int i = 0; e == RMR_OK; i++) {
        free(before);
        before = memory_text(c);
        (void)snprintf(name, sizeof name, "user%d", i);
        assert_int_equal(rmr_coord_user_add(c, name, &id), RMR_OK);
        assert_int_equal(bare_node(c, id, test_rng_u64(&chance), name), RMR_OK);
        e = rmr_coord_commit(c);
        assert_true(i < 10000);
    }
    assert_int_equal(e, err);
    char *stored = store_text(&w.table); /* reads go on */
    assert_string_equal(stored, before);
    assert_int_equal(rmr_coord_user_get(c, 0, name, &u), RMR_OK);
    assert_int_equal(rmr_coord_user_add(c, "more", &id), RMR_E_IO);
    assert_int_equal(rmr_coord_commit(c), err);
    rmr_coord_get_stats(c, &st);
    assert_int_equal(st.failed_commits, 2);
    more_room();
    assert_int_equal(rmr_coord_commit(c), RMR_OK);
    assert_int_equal(rmr_coord_user_add(c, "more", &id), RMR_OK);
    assert_int_equal(rmr_coord_commit(c), RMR_OK);
    free(before);
    free(stored);
    before = memory_text(c);
    rmr_coord_free(c);
    scene_close(&w);
    scene_open(&w);
    stored = store_text(&w.table);
    assert_string_equal(stored, before);
    free(before);
    free(stored);
}

static void more_pages(void)
{
    assert_int_equal(rmri_sq_exec(w.db, "PRAGMA max_page_count = 100000"),
                     RMR_OK);
}

static void a_file_that_is_full_loses_nothing(void **s)
{
    rmr_store_sqlite_config cfg;
    (void)s;
    scene_begin(&w);
    rmr_store_sqlite_config_init(&cfg, sizeof cfg);
    cfg.max_bytes = 80 * 1024;
    assert_int_equal(scene_try(&w, &cfg), RMR_OK);
    fill_up(RMR_E_FULL, more_pages);
    scene_end(&w);
}

static struct rlimit limit;

static void lift_limit(void)
{
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void a_disk_that_takes_no_more_loses_nothing(void **s)
{
    struct rlimit tight;
    (void)s;
    scene_begin(&w);
    scene_open(&w);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    (void)signal(SIGXFSZ, SIG_IGN);
    tight = limit;
    tight.rlim_cur = 700001; /* in the middle of a page */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    fill_up(RMR_E_IO, lift_limit);
    scene_end(&w);
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc == 3 && strcmp(argv[1], "--second") == 0)
        return be_second(argv[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_come_back_as_they_were),
        cmocka_unit_test(what_has_time_is_stored_in_parts),
        cmocka_unit_test(extreme_rows_come_back),
        cmocka_unit_test(a_node_without_its_user_is_no_commit),
        cmocka_unit_test(nobody_else_may_read_it_or_write_beside_it),
        cmocka_unit_test(a_folder_that_is_missing_is_not_made),
        cmocka_unit_test(a_second_process_is_refused),
        cmocka_unit_test(damaged_pages_are_seen),
        cmocka_unit_test(columns_with_nonsense_are_seen),
        cmocka_unit_test(the_database_of_another_program_is_refused),
        cmocka_unit_test(files_of_older_versions_are_read),
        cmocka_unit_test(a_newer_version_is_refused),
        cmocka_unit_test(a_step_is_made_whole_or_not_at_all),
        cmocka_unit_test(a_file_that_is_full_loses_nothing),
        cmocka_unit_test(a_disk_that_takes_no_more_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
