/* SSH rules with "check": the node asks, somebody says yes or no. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crd_internal.h"
#include "pol_rig.h"

#define RULE(more)                                                             \
    "{\"acls\":[],\"ssh\":[{\"action\":\"check\",\"src\":["                    \
    "\"autogroup:member\"],\"dst\":[\"autogroup:self\"],\"users\":[\"dev\","   \
    "\"a b\"]" more "}]}"
#define HOUR (3600 * RMR_SEC)

static pol_rig p;
static pr_member *a, *b, *other; /* two of alice's, one of bob's */
static char text[512], answer[4096];

static void begin(const char *policy)
{
    rmr_coord_config cfg;
    rig_config(&cfg);
    cfg.socket_name = "s";
    pr_init(&p, &cfg);
    uint64_t alice = pr_user(&p, "alice"), bob = pr_user(&p, "bob");
    a = pr_join(&p, "a1", alice, NULL, "");
    b = pr_join(&p, "a2", alice, NULL, "");
    other = pr_join(&p, "b1", bob, NULL, "");
    pr_policy(&p, policy);
}

static rig_answer *get(pr_member *m, const char *path)
{
    rig_answer *x = &m->cl.answers[m->cl.n_answers++ % RIG_ANSWERS];
    memset(x, 0, sizeof *x);
    assert_int_equal(rmr_h2_request(m->cl.h2, "GET", "h", path, NULL, 0,
                                    rmr_bytes_of(NULL, 0), x, &x->id),
                     RMR_OK);
    rig_pump(&m->cl);
    return x;
}

/* The node `to` asks who comes from `from` as that local user. */
static rig_answer *ask(pr_member *to, const pr_member *from, const char *query)
{
    (void)snprintf(text, sizeof text, "/machine/ssh/action/%llu/to/%llu%s",
                   (unsigned long long)from->id, (unsigned long long)to->id,
                   query);
    return get(to, text);
}

static bool says(const rig_answer *x, const char *member)
{
    json_t *all = json_loads(x->body, 0, NULL);
    bool is = json_is_true(json_object_get(all, member));
    json_decref(all);
    return x->status == 200 && is;
}

/* The question that it is told to ask next, without the server's URL; with the
 * local user "dev" filled in, as a node does. */
static const char *delegated(const rig_answer *x)
{
    static char path[512];
    json_t *all = json_loads(x->body, 0, NULL);
    const char *url =
        json_string_value(json_object_get(all, "holdAndDelegate"));
    assert_int_equal(x->status, 200);
    assert_non_null(url);
    assert_memory_equal(url, "http://127.0.0.1:8080/", 22);
    const char *at = strstr(url, "$LOCAL_USER");
    assert_non_null(at);
    (void)snprintf(path, sizeof path, "%.*sdev%s", (int)(at - url - 21),
                   url + 21, at + 11);
    json_decref(all);
    return path;
}

static const char *auth_id(const char *path)
{
    static char id[RMR_COORD_LOGIN_TEXT];
    const char *at = strstr(path, "auth_id=");
    assert_non_null(at);
    (void)snprintf(id, sizeof id, "%s", at + 8);
    assert_int_equal(strlen(id), RMR_COORD_LOGIN_TEXT - 1);
    return id;
}

static int decide(const char *how, const char *id)
{
    char path[64], body[128];
    (void)snprintf(path, sizeof path, "/api/v1/auth/%s", how);
    (void)snprintf(body, sizeof body, "{\"authId\":\"%s\"}", id);
    return pr_rest(&p, "POST", path, body, answer, sizeof answer);
}

/* ---- yes and no ---------------------------------------------------------- */

static void who_is_approved_comes_in(void **s)
{
    char path[512];
    (void)s;
    begin(RULE(",\"checkPeriod\":\"1h\""));
    rig_answer *x = ask(b, a, "?local_user=dev");
    (void)snprintf(path, sizeof path, "%s", delegated(x));
    json_t *all = json_loads(x->body, 0, NULL);
    const char *message = json_string_value(json_object_get(all, "message"));
    assert_non_null(message);
    (void)snprintf(text, sizeof text, "http://127.0.0.1:8080/auth/%s\n",
                   auth_id(path));
    assert_non_null(strstr(message, text));
    assert_false(says(x, "accept"));
    json_decref(all);
    /* It asks again, and waits, over the idle times of others. */
    x = get(b, path);
    rig_wait(&p.r, 10 * 60 * RMR_SEC);
    rig_pump(&b->cl);
    assert_int_equal(x->status, 0);
    assert_int_equal(decide("approve", auth_id(path)), 200);
    assert_non_null(strstr(answer, "\r\n\r\n{}"));
    rig_pump(&b->cl);
    assert_true(says(x, "accept"));
    assert_true(says(x, "allowAgentForwarding"));
    assert_true(says(x, "allowLocalPortForwarding"));
    assert_true(says(x, "allowRemotePortForwarding"));
    assert_true(x->over);
    /* For an hour nobody is asked again, for this user on this way. */
    rig_wait(&p.r, HOUR - RMR_SEC);
    rig_pump(&b->cl);
    assert_true(says(ask(b, a, "?local_user=dev"), "accept"));
    (void)delegated(ask(b, a, "?local_user=a+b"));
    (void)delegated(ask(a, b, "?local_user=dev"));
    rig_wait(&p.r, 2 * RMR_SEC);
    (void)delegated(ask(b, a, "?local_user=dev"));
    pr_free(&p);
}

static void who_is_rejected_stays_out(void **s)
{
    char path[512];
    (void)s;
    begin(RULE(""));
    (void)snprintf(path, sizeof path, "%s",
                   delegated(ask(b, a, "?local_user=dev")));
    rig_answer *x = get(b, path);
    assert_int_equal(decide("reject", auth_id(path)), 200);
    rig_pump(&b->cl);
    assert_true(says(x, "reject"));
    assert_false(says(x, "accept"));
    assert_true(says(get(b, path), "reject"));
    (void)delegated(ask(b, a, "?local_user=dev"));
    pr_free(&p);
}

/* The answer came between two questions of the node. */
static void a_decision_waits_for_its_question(void **s)
{
    char path[512];
    (void)s;
    begin(RULE(""));
    (void)snprintf(path, sizeof path, "%s",
                   delegated(ask(b, a, "?local_user=dev")));
    assert_int_equal(decide("approve", auth_id(path)), 200);
    assert_true(says(get(b, path), "accept"));
    /* Decided once is decided. */
    assert_int_equal(decide("reject", auth_id(path)), 404);
    assert_true(says(get(b, path), "accept"));
    pr_free(&p);
}

static void always_asks_each_time(void **s)
{
    char path[512];
    (void)s;
    begin(RULE(",\"checkPeriod\":\"always\""));
    (void)snprintf(path, sizeof path, "%s",
                   delegated(ask(b, a, "?local_user=dev")));
    assert_int_equal(decide("approve", auth_id(path)), 200);
    assert_true(says(get(b, path), "accept"));
    assert_string_not_equal(delegated(ask(b, a, "?local_user=dev")), path);
    pr_free(&p);
}

static void nobody_answers_for_a_quarter_of_an_hour(void **s)
{
    char path[512];
    (void)s;
    begin(RULE(""));
    (void)snprintf(path, sizeof path, "%s",
                   delegated(ask(b, a, "?local_user=dev")));
    rig_answer *x = get(b, path);
    rig_wait(&p.r, 15 * 60 * RMR_SEC);
    rig_pump(&b->cl);
    assert_true(says(x, "reject"));
    assert_int_equal(decide("approve", auth_id(path)), 404);
    /* Who asks by what is over is told another one. */
    assert_string_not_equal(delegated(get(b, path)), path);
    pr_free(&p);
}

static void another_policy_asks_anew(void **s)
{
    char path[512];
    (void)s;
    begin(RULE(""));
    (void)snprintf(path, sizeof path, "%s",
                   delegated(ask(b, a, "?local_user=dev")));
    assert_int_equal(decide("approve", auth_id(path)), 200);
    assert_true(says(ask(b, a, "?local_user=dev"), "accept"));
    pr_policy(&p, RULE(",\"checkPeriod\":\"2h\""));
    (void)delegated(ask(b, a, "?local_user=dev"));
    pr_policy(&p, "{\"acls\":[]}");
    assert_true(says(ask(b, a, "?local_user=dev"), "reject"));
    pr_free(&p);
}

/* Who was asked for under a policy that is no more. */
static void what_is_not_let_in_any_more_is_not_approved(void **s)
{
    char path[512];
    (void)s;
    begin(RULE(""));
    (void)snprintf(path, sizeof path, "%s",
                   delegated(ask(b, a, "?local_user=dev")));
    rig_answer *x = get(b, path);
    pr_policy(&p, "{\"acls\":[]}");
    assert_int_equal(decide("approve", auth_id(path)), 404);
    rig_pump(&b->cl);
    assert_true(x->over && says(x, "reject"));
    /* The rule is there, but is not about that node any more. */
    pr_policy(&p, RULE(",\"checkPeriod\":\"1h\"}],\"tagOwners\":{\"tag:a\":[]},"
                       "\"nodeAttrs\":[{\"target\":[\"*\"],\"attr\":[\"x\"]"));
    (void)snprintf(path, sizeof path, "%s",
                   delegated(ask(b, a, "?local_user=dev")));
    x = get(b, path);
    assert_int_equal(pr_tag(&p, a, "tag:a"), RMR_OK);
    assert_int_equal(decide("approve", auth_id(path)), 404);
    rig_pump(&b->cl);
    assert_true(x->over && says(x, "reject"));
    pr_free(&p);
}

/* Nor is a yes of then good for who asks by its id again. */
static void a_decision_ends_with_its_policy(void **s)
{
    char path[512], open[512];
    (void)s;
    begin(RULE(""));
    (void)snprintf(path, sizeof path, "%s",
                   delegated(ask(b, a, "?local_user=dev")));
    assert_int_equal(decide("approve", auth_id(path)), 200);
    (void)snprintf(open, sizeof open, "%s",
                   delegated(ask(a, b, "?local_user=dev")));
    pr_policy(&p, RULE(",\"checkPeriod\":\"2h\""));
    assert_string_not_equal(delegated(get(b, path)), path);
    /* What is still asked is asked under the new one. */
    assert_int_equal(decide("approve", auth_id(open)), 200);
    assert_true(says(get(a, open), "accept"));
    pr_free(&p);
}

/* ---- who may ask --------------------------------------------------------- */

static void the_host_of_the_ssh_server_alone_asks(void **s)
{
    char path[512];
    (void)s;
    begin(RULE(""));
    (void)snprintf(path, sizeof path, "%s",
                   delegated(ask(b, a, "?local_user=dev")));
    assert_int_equal(get(a, path)->status, 401);
    assert_int_equal(get(other, path)->status, 401);
    /* An id is good for its way and its user. */
    char wrong[1024];
    (void)snprintf(wrong, sizeof wrong,
                   "/machine/ssh/action/2/to/1?local_user=dev&auth_id=%s",
                   auth_id(path));
    assert_int_equal(get(a, wrong)->status, 401);
    (void)snprintf(wrong, sizeof wrong,
                   "/machine/ssh/action/1/to/2?local_user=a%%20b&auth_id=%s",
                   auth_id(path));
    assert_int_equal(get(b, wrong)->status, 401);
    pr_free(&p);
}

static void what_no_rule_lets_in_is_rejected(void **s)
{
    (void)s;
    begin(RULE(""));
    assert_true(says(ask(b, a, "?local_user=root"), "reject"));
    assert_true(says(ask(b, a, ""), "reject"));
    assert_true(says(ask(b, other, "?local_user=dev"), "reject"));
    assert_true(
        says(get(b, "/machine/ssh/action/77/to/2?local_user=dev"), "reject"));
    pr_free(&p);
}

static void questions_that_are_none(void **s)
{
    static const struct {
        const char *path;
        uint16_t status;
    } t[] = {
        {"/machine/ssh/action/1/to/77?local_user=dev", 404},
        {"/machine/ssh/action/x/to/2?local_user=dev", 400},
        {"/machine/ssh/action/1/to/", 400},
        {"/machine/ssh/action/1/to/2/3", 400},
        {"/machine/ssh/action/1", 400},
        {"/machine/ssh/action/0/to/2", 400},
        {"/machine/ssh/action/18446744073709551616/to/2", 400},
        {"/machine/ssh/action/1/to/2?local_user=%zz", 400},
        {"/machine/ssh/action/1/to/2?local_user=dev&auth_id=x", 400},
        {"/machine/ssh/action/1/to/2?local_user=dev%0aroot", 400},
    };
    (void)s;
    begin(RULE(""));
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        rig_answer *x = get(b, t[i].path);
        if (x->status != t[i].status)
            fail_msg("%s: %u", t[i].path, x->status);
    }
    pr_free(&p);
}

/* ---- bounds -------------------------------------------------------------- */

static void the_same_question_waits_once(void **s)
{
    char path[512];
    (void)s;
    begin(RULE(""));
    (void)snprintf(path, sizeof path, "%s",
                   delegated(ask(b, a, "?local_user=dev")));
    for (int i = 0; i < 100; i++)
        assert_string_equal(delegated(ask(b, a, "?local_user=dev")), path);
    assert_int_equal(p.r.coord->checks.n, 1);
    /* Four wait for it; the oldest gives way. */
    rig_answer *first = get(b, path);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(first->status, 0);
        (void)get(b, path);
    }
    assert_int_equal(first->status, 503);
    pr_free(&p);
}

static void a_node_has_so_many_at_once(void **s)
{
    char oldest[512], query[64];
    (void)s;
    begin("{\"acls\":[],\"ssh\":[{\"action\":\"check\",\"src\":["
          "\"autogroup:member\"],\"dst\":[\"autogroup:self\"],\"users\":["
          "\"autogroup:nonroot\"]}]}");
    for (int i = 0; i < 40; i++) {
        (void)snprintf(query, sizeof query, "?local_user=u%d", i);
        const char *path = delegated(ask(b, a, query));
        if (i == 0)
            (void)snprintf(oldest, sizeof oldest, "%s", path);
    }
    assert_int_equal(p.r.coord->checks.n, 16);
    assert_int_equal(decide("approve", auth_id(oldest)), 404);
    pr_free(&p);
}

static void who_goes_waits_no_more(void **s)
{
    char path[512];
    (void)s;
    begin(RULE(""));
    (void)snprintf(path, sizeof path, "%s",
                   delegated(ask(b, a, "?local_user=dev")));
    (void)get(b, path);
    pr_leave(b);
    assert_int_equal(decide("approve", auth_id(path)), 200);
    /* The server ends while one waits. */
    (void)snprintf(path, sizeof path, "%s",
                   delegated(ask(a, a, "?local_user=dev")));
    (void)get(a, path);
    pr_free(&p);
}

static void without_memory_it_fails_in_order(void **s)
{
    (void)s;
    for (size_t n = 1;; n++) {
        begin(RULE(""));
        size_t failed = p.r.heap.failed;
        p.r.heap.fail_at = p.r.heap.calls + n;
        rig_answer *x = ask(b, a, "?local_user=dev");
        p.r.heap.fail_at = 0;
        bool over = p.r.heap.failed == failed;
        assert_true(x->status == 200 || x->status == 503 || x->over);
        pr_free(&p);
        if (over)
            break;
    }
}

/* ---- the page ------------------------------------------------------------ */

static void the_page_tells_the_command(void **s)
{
    (void)s;
    begin(RULE(""));
    rig_conn *c = rig_open(&p.r);
    rig_text(&p.r, c,
             "GET /auth/hskey-authreq-0123456789abcdef01234567 "
             "HTTP/1.1\r\nHost: h\r\n\r\n");
    c->got[c->n_got] = 0;
    assert_non_null(strstr((const char *)c->got, "HTTP/1.1 200 OK"));
    assert_non_null(strstr((const char *)c->got,
                           "remora coordinator auth approve --auth-id "
                           "hskey-authreq-0123456789abcdef01234567"));
    rig_take(c, c->n_got);
    rig_text(&p.r, c,
             "GET /auth/hskey-authreq-%3Cb%3E HTTP/1.1\r\n"
             "Host: h\r\n\r\n");
    c->got[c->n_got] = 0;
    assert_non_null(strstr((const char *)c->got, "HTTP/1.1 400"));
    rig_leave(&p.r, c, true);
    pr_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_approved_comes_in),
        cmocka_unit_test(who_is_rejected_stays_out),
        cmocka_unit_test(a_decision_waits_for_its_question),
        cmocka_unit_test(always_asks_each_time),
        cmocka_unit_test(nobody_answers_for_a_quarter_of_an_hour),
        cmocka_unit_test(another_policy_asks_anew),
        cmocka_unit_test(what_is_not_let_in_any_more_is_not_approved),
        cmocka_unit_test(a_decision_ends_with_its_policy),
        cmocka_unit_test(the_host_of_the_ssh_server_alone_asks),
        cmocka_unit_test(what_no_rule_lets_in_is_rejected),
        cmocka_unit_test(questions_that_are_none),
        cmocka_unit_test(the_same_question_waits_once),
        cmocka_unit_test(a_node_has_so_many_at_once),
        cmocka_unit_test(who_goes_waits_no_more),
        cmocka_unit_test(without_memory_it_fails_in_order),
        cmocka_unit_test(the_page_tells_the_command),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
