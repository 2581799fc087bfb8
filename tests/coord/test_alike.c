/* A frame that another stream got is, to the byte, the one that would have been
 * made: two servers to which the same happens, of which one keeps no frame. */
#include "pol_rig.h"

#include "crd_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { USERS = 3, STEPS = 400, ASKS = 18 /* of a client's */ };

static const char *const policies[] = {
    RMR_POL_ISOLATED,
    "{}",
    "{\"acls\":[{\"action\":\"accept\",\"src\":[\"u0@\",\"v0@\"],"
    "\"dst\":[\"*:*\"]}]}",
    /* Nodes of one user that see others, and get other routes. */
    "{\"acls\":[{\"action\":\"accept\",\"src\":[\"100.64.0.1\",\"100.64.0.7\"],"
    "\"dst\":[\"100.64.0.5:*\",\"100.64.0.6:*\",\"10.1.0.0/16:*\"]},"
    "{\"action\":\"accept\",\"src\":[\"100.64.0.4\"],"
    "\"dst\":[\"100.64.0.6:*\",\"100.64.0.2:*\"]}]}",
};

typedef struct twins {
    pol_rig p[2];
    uint64_t users[USERS];
    int asked[PR_MEMBERS];
    test_rng r;
} twins;

static void both_hear(twins *t)
{
    for (int k = 0; k < 2; k++)
        pr_news(&t->p[k]);
    for (int i = 0; i < t->p[0].n; i++) {
        const pr_member *a = &t->p[0].m[i], *b = &t->p[1].m[i];
        assert_int_equal(a->frames, b->frames);
        assert_true(json_equal(a->last, b->last));
        assert_true(json_equal(a->peers, b->peers));
    }
    /* None is paced, or they would get what they get at other times. */
    for (int k = 0; k < 2; k++)
        rig_wait(&t->p[k].r, 10 * RMR_MS);
}

static void start(twins *t)
{
    memset(t, 0, sizeof *t);
    test_rng_seed(&t->r, 9);
    for (int k = 0; k < 2; k++) {
        pr_init(&t->p[k], NULL);
        for (int u = 0; u < USERS; u++) {
            char name[16];
            (void)snprintf(name, sizeof name, "u%d", u);
            t->users[u] = pr_user(&t->p[k], name);
        }
        for (int i = 0; i < PR_MEMBERS; i++) {
            char host[16];
            (void)snprintf(host, sizeof host, "h%d", i);
            (void)pr_join(&t->p[k], host, t->users[i % USERS], NULL,
                          i == 1 ? ",\"RoutableIPs\":[\"10.1.0.0/16\"]" : "");
        }
    }
    assert_true(t->p[1].r.coord->alike.max > 0);
    t->p[1].r.coord->alike.max = 0;
    both_hear(t);
}

static rmr_err step(pol_rig *p, const twins *t, uint64_t kind, uint64_t x)
{
    rmr_coord *c = p->r.coord;
    char text[128];
    rmr_pol_why why;
    rmr_prefix route;
    uint64_t id = p->m[x % PR_MEMBERS].id;
    bool odd = x >> 8 & 1;
    switch (kind) {
    case 0:
        (void)snprintf(text, sizeof text, "n%u", (unsigned)(x >> 8 & 0xfff));
        return rmr_coord_node_rename(c, id, text);
    case 1:
        (void)snprintf(text, sizeof text, "%s%u", odd ? "u" : "v",
                       (unsigned)(x % USERS));
        return rmr_coord_user_rename(c, t->users[x % USERS], text);
    case 2:
        return rmr_coord_set_policy(c, rmr_bytes_str(policies[x >> 4 & 3]),
                                    &why);
    case 3:
        (void)rmr_prefix_parse(rmr_bytes_str("10.1.0.0/16"), &route);
        return rmr_coord_node_approve(c, p->m[1].id, &route, odd);
    case 4:
        return rmr_coord_set_derp_map(
            c, rmr_bytes_str(odd ? "{\"Regions\":{}}" : "{}"));
    case 5:
        rig_wait(&p->r, odd ? RMR_SEC : 2 * RMR_MS);
        return RMR_OK;
    case 6: /* two changes between two frames */
        (void)rmr_coord_node_rename(c, id, odd ? "this" : "that");
        return rmr_coord_node_rename(c, id, "other");
    default:
        return rmr_coord_node_expire(c, id, odd ? 0 : UINT64_MAX / 2);
    }
}

static void update(twins *t, uint64_t x)
{
    char text[128];
    size_t i = x % PR_MEMBERS;
    if (i == 1 || t->asked[i]++ >= ASKS)
        return; /* one would not announce its route any more */
    (void)snprintf(text, sizeof text,
                   ",\"Services\":[{\"Proto\":\"tcp\",\"Port\":%u}]",
                   (unsigned)(x >> 8 & 0xfff));
    for (int k = 0; k < 2; k++)
        pr_update(&t->p[k], &t->p[k].m[i], text);
}

/* Of the router two get the route, one of the same user does not. */
static void a_router_is_told(twins *t)
{
    rmr_prefix route;
    (void)rmr_prefix_parse(rmr_bytes_str("10.1.0.0/16"), &route);
    for (int k = 0; k < 2; k++) {
        rmr_coord *c = t->p[k].r.coord;
        uint64_t id = t->p[k].m[1].id;
        assert_int_equal(rmr_coord_node_approve(c, id, &route, 1), RMR_OK);
        pr_policy(&t->p[k], policies[3]);
        rig_wait(&t->p[k].r, RMR_SEC);
        assert_int_equal(rmr_coord_node_rename(c, id, "router"), RMR_OK);
    }
    both_hear(t);
    char *a = pr_allowed(&t->p[0].m[0], "router");
    char *b = pr_allowed(&t->p[0].m[3], "router");
    assert_non_null(strstr(a, "10.1.0.0/16"));
    assert_null(strstr(b, "10.1.0.0/16"));
    free(a);
    free(b);
}

/* Pairs of nodes of which those who see them see one or both. */
static void some_go(twins *t)
{
    for (int k = 0; k < 2; k++) {
        pr_policy(&t->p[k], policies[3]);
        rig_wait(&t->p[k].r, RMR_SEC);
        for (int i = 4; i < 6; i++)
            pr_leave(&t->p[k].m[i]);
        rig_wait(&t->p[k].r, 20 * RMR_SEC);
    }
    both_hear(t);
    for (int k = 0; k < 2; k++) {
        for (int i = 4; i < 6; i++)
            assert_int_equal(
                rmr_coord_node_remove(t->p[k].r.coord, t->p[k].m[i].id),
                RMR_OK);
    }
    both_hear(t);
    assert_int_equal(t->p[0].m[0].removed, 2);
    assert_int_equal(t->p[0].m[3].removed, 1);
}

static void a_repeated_frame_is_the_one_that_would_be_made(void **state)
{
    static twins t;
    rmr_coord_stats a, b, was;
    (void)state;
    start(&t);
    rmr_coord_get_stats(t.p[1].r.coord, &was);
    for (int i = 0; i < STEPS; i++) {
        uint64_t kind = test_rng_u64(&t.r) % 12, x = test_rng_u64(&t.r);
        if (kind > 9)
            update(&t, x);
        else
            assert_int_equal(step(&t.p[0], &t, kind, x),
                             step(&t.p[1], &t, kind, x));
        if (x >> 16 & 3)
            both_hear(&t);
    }
    both_hear(&t);
    a_router_is_told(&t);
    some_go(&t);
    rmr_coord_get_stats(t.p[0].r.coord, &a);
    rmr_coord_get_stats(t.p[1].r.coord, &b);
    assert_int_equal(b.repeated, was.repeated);
    assert_true(a.repeated > was.repeated + 100);
    assert_int_equal(a.frames, b.frames);
    assert_int_equal(a.frame_bytes, b.frame_bytes);
    for (int k = 0; k < 2; k++)
        pr_free(&t.p[k]);
}

static void rename_it(pol_rig *p, const pr_member *m, int turn)
{
    char name[32];
    (void)snprintf(name, sizeof name, "n%llu-%d", (unsigned long long)m->id,
                   turn);
    assert_int_equal(rmr_coord_node_rename(p->r.coord, m->id, name), RMR_OK);
    pr_news(p);
}

/* The nodes are as they were, the time is another: a stream that has its pace
 * gets later what another one got. */
static void a_frame_has_its_own_time(void **state)
{
    static pol_rig p; /* too big for the stack */
    const pr_member *early = &p.m[0], *late = &p.m[1];
    int turn = 0;
    (void)state;
    pr_init(&p, NULL);
    uint64_t u = pr_user(&p, "u0");
    for (int i = 0; i < 4; i++) {
        char host[16];
        (void)snprintf(host, sizeof host, "h%d", i);
        (void)pr_join(&p, host, u, NULL, "");
    }
    pr_policy(&p, "{\"acls\":[{\"action\":\"accept\",\"src\":["
                  "\"100.64.0.1\"],\"dst\":[\"100.64.0.3:1\"]},{\"action\":"
                  "\"accept\",\"src\":[\"100.64.0.1\",\"100.64.0.2\"],"
                  "\"dst\":[\"100.64.0.4:1\"]}]}");
    /* Its text has milliseconds, of which the next one is near. */
    rig_wait(&p.r, RMR_SEC - p.r.now % RMR_MS - RMR_MS / 10);
    for (int i = 0; i < 4; i++)
        rename_it(&p, &p.m[2], i);
    do {
        rename_it(&p, &p.m[3], turn++);
        assert_int_equal(late->frames, 1);
    } while (early->frames);
    json_t *then = json_incref(json_object_get(late->last, "ControlTime"));
    rig_wait(&p.r, RMR_SEC);
    pr_news(&p);
    assert_int_equal(early->frames, 1);
    assert_int_equal(late->frames, 0);
    assert_false(json_equal(json_object_get(early->last, "ControlTime"), then));
    json_decref(then);
    pr_free(&p);
}

/* Who gets what another got has twice as many before it must wait. */
static void a_repeated_frame_counts_half(void **state)
{
    static pol_rig p; /* too big for the stack */
    int all[4] = {0}, turn = 0, most = 0, n = 0;
    rmr_coord_stats was, is;
    (void)state;
    pr_init(&p, NULL);
    uint64_t u = pr_user(&p, "u0");
    for (int i = 0; i < 4; i++) {
        char host[16];
        (void)snprintf(host, sizeof host, "h%d", i);
        (void)pr_join(&p, host, u, NULL, "");
    }
    rig_wait(&p.r, RMR_SEC);
    rmr_coord_get_stats(p.r.coord, &was);
    do {
        rename_it(&p, &p.m[3], turn++);
        n = 0;
        for (int i = 0; i < 3; i++) {
            all[i] += p.m[i].frames;
            n += p.m[i].frames;
            most = all[i] > most ? all[i] : most;
        }
    } while (n);
    rmr_coord_get_stats(p.r.coord, &is);
    uint64_t repeated = is.repeated - was.repeated;
    /* Each change was made once: eight for the one, until it had its fill. */
    assert_int_equal(all[0] + all[1] + all[2], turn - 1 + (int)repeated);
    assert_int_equal(most, turn - 1);
    assert_int_equal(turn - 1, 14);
    assert_int_equal(repeated, 8 + 12);
    pr_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_repeated_frame_is_the_one_that_would_be_made),
        cmocka_unit_test(a_frame_has_its_own_time),
        cmocka_unit_test(a_repeated_frame_counts_half),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
