/* Nodes register at the coordination server: by keys, by logins, and out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "crd_say.h"

static rig r;
static rig_client a, b;

static void a_key_registers_once_or_more(void **s)
{
    char once[RMR_COORD_KEY_TEXT];
    (void)s;
    rig_init(&r, NULL);
    rmr_coord_key_wish wish = {.user = server_user(r.coord, "alice")};
    server_key(r.coord, &wish, once);
    assert_true(rig_join(&a, &r, 1, 138));
    rig_answer *x = rig_register(&a, KEY1, once, "");
    assert_int_equal(x->status, 200);
    assert_true(rig_says(x, "\"MachineAuthorized\":true"));
    assert_true(rig_says(x, "\"LoginName\":\"alice\""));
    /* The same machine with the same key: it was restarted. */
    x = rig_register(&a, KEY1, once, "");
    assert_true(rig_says(x, "\"MachineAuthorized\":true"));
    x = rig_register(&a, KEY1, NULL, "");
    assert_true(rig_says(x, "\"MachineAuthorized\":true"));
    /* Another machine */
    assert_true(rig_join(&b, &r, 2, 138));
    x = rig_register(&b, KEY2, once, "");
    assert_int_equal(x->status, 200);
    assert_true(rig_says(x, "\"Error\":\"authkey already used\""));
    x = rig_register(&b, KEY2, "nonsense", "");
    assert_true(rig_says(x, "\"Error\":\"invalid pre auth key\""));
    x = rig_register(&b, KEY1, NULL, "");
    assert_true(rig_says(x, "node exists with a different machine key"));
    assert_int_equal(server_stats(r.coord).nodes, 1);
    rig_part(&a);
    rig_part(&b);
    rig_free(&r);
}

static void another_key_of_a_machine_is_the_same_node(void **s)
{
    char key[RMR_COORD_KEY_TEXT];
    rmr_coord_node n;
    (void)s;
    rig_init(&r, NULL);
    server_user_key(r.coord, server_user(r.coord, "alice"), key);
    assert_true(rig_join(&a, &r, 1, 138));
    rig_register(&a, KEY1, key, "");
    assert_int_equal(rmr_coord_node_get(r.coord, 1, &n), RMR_OK);
    rmr_addr was = n.v4;
    rig_answer *x = rig_register(&a, KEY2, key, ",\"OldNodeKey\":\"" KEY1 "\"");
    assert_true(rig_says(x, "\"MachineAuthorized\":true"));
    assert_int_equal(server_stats(r.coord).nodes, 1);
    assert_int_equal(rmr_coord_node_get(r.coord, 1, &n), RMR_OK);
    assert_true(rmr_addr_eq(&n.v4, &was));
    assert_int_equal(n.node_key[31], 0x22);
    /* The key before is nobody's now. */
    x = rig_ask(&a, "/machine/map",
                "{\"Version\":138,\"NodeKey\":\"" KEY1 "\",\"Stream\":true}");
    assert_int_equal(x->status, 404);
    rig_part(&a);
    rig_free(&r);
}

static void a_logout_ends_the_key(void **s)
{
    char key[RMR_COORD_KEY_TEXT];
    rmr_coord_node n;
    (void)s;
    rig_init(&r, NULL);
    rmr_coord_key_wish wish = {.user = server_user(r.coord, "alice"),
                               .reusable = true};
    server_key(r.coord, &wish, key);
    wish.ephemeral = true;
    char ephemeral[RMR_COORD_KEY_TEXT];
    server_key(r.coord, &wish, ephemeral);
    assert_true(rig_join(&a, &r, 1, 138));
    assert_true(rig_join(&b, &r, 2, 138));
    rig_register(&a, KEY1, key, "");
    rig_register(&b, KEY2, ephemeral, "");
    const char *past = ",\"Expiry\":\"1970-01-01T00:02:03Z\"";
    rig_answer *x = rig_register(&a, KEY1, NULL, past);
    assert_true(rig_says(x, "\"NodeKeyExpired\":true"));
    assert_int_equal(rmr_coord_node_get(r.coord, 1, &n), RMR_OK);
    assert_true(n.expired);
    x = rig_register(&a, KEY1, NULL, "");
    assert_true(rig_says(x, "\"NodeKeyExpired\":true"));
    assert_true(rig_says(x, "\"MachineAuthorized\":false"));
    /* An ephemeral node goes at once. */
    (void)rig_register(&b, KEY2, NULL, past);
    assert_int_equal(rmr_coord_node_get(r.coord, 2, &n), RMR_E_NOTFOUND);
    rig_part(&a);
    rig_part(&b);
    rig_free(&r);
}

static void a_login_is_approved_while_the_client_waits(void **s)
{
    char more[256];
    uint64_t id;
    (void)s;
    rig_init(&r, NULL);
    uint64_t user = server_user(r.coord, "alice");
    assert_true(rig_join(&a, &r, 1, 138));
    rig_answer *x = rig_register(&a, KEY1, NULL, "");
    assert_true(rig_says(x,
                         "\"AuthURL\":\"http://127.0.0.1:8080/register/hskey-"
                         "authreq-"));
    (void)snprintf(more, sizeof more,
                   ",\"Followup\":\"http://127.0.0.1:8080/register/%s\"",
                   r.login);
    rig_answer *wait = rig_register(&a, KEY1, NULL, more);
    assert_int_equal(wait->status, 0); /* it is held */
    assert_int_equal(
        rmr_coord_login_approve(r.coord, "hskey-authreq-x", user, &id),
        RMR_E_NOTFOUND);
    assert_int_equal(rmr_coord_login_approve(r.coord, r.login, 99, &id),
                     RMR_E_NOTFOUND);
    assert_int_equal(rmr_coord_login_approve(r.coord, r.login, user, &id),
                     RMR_OK);
    rig_turn(&r);
    rig_pump(&a);
    assert_int_equal(wait->status, 200);
    assert_true(rig_says(wait, "\"MachineAuthorized\":true"));
    rig_part(&a);
    rig_free(&r);
}

static void a_login_that_nobody_approves_ends(void **s)
{
    char more[256], first[RMR_COORD_LOGIN_TEXT];
    (void)s;
    rig_init(&r, NULL);
    assert_true(rig_join(&a, &r, 1, 138));
    rig_register(&a, KEY1, NULL, "");
    memcpy(first, r.login, sizeof first);
    (void)snprintf(more, sizeof more, ",\"Followup\":\"http://h/register/%s\"",
                   first);
    rig_answer *wait = rig_register(&a, KEY1, NULL, more);
    rig_wait(&r, 16 * 60 * RMR_SEC);
    rig_pump(&a);
    assert_true(rig_says(wait, "not approved in time"));
    rig_answer *x = rig_register(&a, KEY1, NULL, more);
    assert_true(rig_says(x, "\"AuthURL\":\"http"));
    assert_string_not_equal(first, r.login);
    rig_part(&a);
    rig_free(&r);
}

static void logins_that_wait_are_bounded(void **s)
{
    rmr_coord_config cfg;
    (void)s;
    rig_config(&cfg);
    cfg.max_logins = 3;
    rig_init(&r, &cfg);
    assert_true(rig_join(&a, &r, 1, 138));
    for (int i = 0; i < 5; i++) {
        char key[96];
        (void)snprintf(key, sizeof key, "nodekey:" SIXTY_TWO "%02d", 30 + i);
        rig_answer *x = rig_register(&a, key, NULL, "");
        assert_true(
            rig_says(x, i < 3 ? "\"AuthURL\":\"http" : "too many logins wait"));
    }
    rig_part(&a);
    rig_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_registers_once_or_more),
        cmocka_unit_test(another_key_of_a_machine_is_the_same_node),
        cmocka_unit_test(a_logout_ends_the_key),
        cmocka_unit_test(a_login_is_approved_while_the_client_waits),
        cmocka_unit_test(a_login_that_nobody_approves_ends),
        cmocka_unit_test(logins_that_wait_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
