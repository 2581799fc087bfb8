/* What strangers and hostile nodes may try on the coordination server: keys of
 * others, places that are taken, requests that never end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <remora/text.h>

#include "crd_rig.h"

#define SIXTY_TWO                                                              \
    "00000000000000000000000000000000000000000000000000000000000000"
#define KEY1 "nodekey:" SIXTY_TWO "11"
#define KEY2 "nodekey:" SIXTY_TWO "22"
#define KEY3 "nodekey:" SIXTY_TWO "33"

static rig r;
static rig_client a, b;

static rmr_coord_config config(void)
{
    rmr_coord_config cfg;
    rig_config(&cfg);
    return cfg;
}

static void set_up(void)
{
    rmr_coord_config cfg = config();
    rig_init(&r, &cfg);
}

static uint64_t user(const char *name)
{
    uint64_t id;
    assert_int_equal(rmr_coord_user_add(r.coord, name, &id), RMR_OK);
    return id;
}

static void auth_key(uint64_t of, char text[RMR_COORD_KEY_TEXT])
{
    uint64_t id;
    rmr_coord_key_wish wish = {.user = of, .reusable = true};
    assert_int_equal(rmr_coord_key_add(r.coord, &wish, text, &id), RMR_OK);
}

static const char *registration(const char *key, const char *auth,
                                const char *more)
{
    static char text[2048];
    (void)snprintf(text, sizeof text,
                   "{\"Version\":138,\"NodeKey\":\"%s\"%s%s%s%s,\"Hostinfo\":{"
                   "\"Hostname\":\"h\"}}",
                   key, auth ? ",\"Auth\":{\"AuthKey\":\"" : "",
                   auth ? auth : "", auth ? "\"}" : "", more);
    return text;
}

static rmr_coord_stats stats(void)
{
    rmr_coord_stats s;
    rmr_coord_get_stats(r.coord, &s);
    return s;
}

static bool has(const rig_answer *x, const char *text)
{
    return strstr(x->body, text) != NULL;
}

static rig_answer *ask_in(rig_client *cl, const char *key, const char *auth)
{
    return rig_ask(cl, "/machine/register", registration(key, auth, ""));
}

/* ---- keys of others ------------------------------------------------------ */

static size_t nodes_with(uint8_t last)
{
    rmr_coord_node n;
    size_t k = 0;
    for (uint64_t id = 0; rmr_coord_node_next(r.coord, id, &n) == RMR_OK;
         id = n.id)
        k += n.node_key[31] == last;
    return k;
}

/* Two nodes with one key would be one in the index, and the second row would
 * be refused at the next start. */
static void a_node_key_is_one_nodes_alone(void **s)
{
    char alice[RMR_COORD_KEY_TEXT], bob[RMR_COORD_KEY_TEXT];
    (void)s;
    set_up();
    auth_key(user("alice"), alice);
    auth_key(user("bob"), bob);
    assert_true(rig_join(&a, &r, 1, 138));
    assert_true(has(ask_in(&a, KEY1, alice), "\"MachineAuthorized\":true"));
    /* The same machine, as another user's node. */
    assert_true(has(ask_in(&a, KEY1, bob), "node key already in use"));
    assert_int_equal(nodes_with(0x11), 1);
    assert_true(has(ask_in(&a, KEY2, bob), "\"MachineAuthorized\":true"));
    assert_int_equal(stats().nodes, 2);
    rig_part(&a);
    rig_free(&r);
}

static void a_login_gives_no_key_away_twice(void **s)
{
    char first[RMR_COORD_LOGIN_TEXT], second[RMR_COORD_LOGIN_TEXT];
    uint64_t node;
    (void)s;
    set_up();
    uint64_t alice = user("alice");
    assert_true(rig_join(&a, &r, 1, 138));
    assert_true(rig_join(&b, &r, 2, 138));
    assert_true(has(ask_in(&a, KEY1, NULL), "AuthURL\":\"http"));
    memcpy(first, r.login, sizeof first);
    assert_true(has(ask_in(&b, KEY1, NULL), "AuthURL\":\"http"));
    memcpy(second, r.login, sizeof second);
    assert_int_equal(rmr_coord_login_approve(r.coord, first, alice, &node),
                     RMR_OK);
    assert_int_equal(rmr_coord_login_approve(r.coord, second, alice, &node),
                     RMR_E_INUSE);
    assert_int_equal(nodes_with(0x11), 1);
    rig_part(&a);
    rig_part(&b);
    rig_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_node_key_is_one_nodes_alone),
        cmocka_unit_test(a_login_gives_no_key_away_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
