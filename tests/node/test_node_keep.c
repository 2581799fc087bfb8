/* What a node keeps: older forms of the state, preferences, sealing, the
 * program's own store, and a death at any write. */
#include "lab.h"
#include "node_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATE "remora.state"

static lab l;

static int setup(void **state)
{
    (void)state;
    lab_init(&l);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    lab_free(&l);
    return l.alloc.live_blocks == 0 ? 0 : -1;
}

static void start(rmr_node_config *cfg)
{
    assert_int_equal(lab_start(&l, cfg), RMR_OK);
}

static void again(rmr_node_config *cfg)
{
    lab_restart(&l);
    lab_config(&l, cfg);
    cfg->control_url = cfg->auth_key = NULL; /* from the state */
}

static void stop(void)
{
    rmr_node_stop(l.node, l.now);
    lab_turn(&l);
    lab_run(&l, 3 * RMR_SEC);
    assert_true(l.stopped);
}

static void set_blob(const void *data, size_t len)
{
    lab_blob *b = lab_blob_get(&l, STATE);
    if (!b) {
        b = &l.blobs[0];
        (void)snprintf(b->name, sizeof b->name, "%s", STATE);
        b->there = true;
    }
    uint8_t *copy = malloc(len ? len : 1);
    assert_non_null(copy);
    memcpy(copy, data, len);
    free(b->data);
    b->data = copy;
    b->len = len;
}

/* ---- versions ---------------------------------------------------------- */

static size_t read_vector(const char *name, uint8_t *dst, size_t cap)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/node/%s", REMORA_VECTORS, name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t len = fread(dst, 1, cap, f);
    (void)fclose(f);
    return len;
}

static void assert_vector_keys(const nd_keys *k)
{
    for (uint8_t i = 0; i < RMR_KEY_LEN; i++) {
        assert_int_equal(k->machine[i], i + 1);
        assert_int_equal(k->node[i], i + 33);
        assert_int_equal(k->old_node[i], i + 65);
        assert_int_equal(k->server[i], i + 97);
    }
    assert_true(k->has_old_node && k->has_server && k->registered);
    assert_string_equal(k->url, "https://headscale.example.com");
    assert_string_equal(k->login, "user@example.com");
}

static void a_state_of_version_1_is_read_and_upgraded(void **st)
{
    uint8_t text[4096];
    rmr_node_config cfg;
    (void)st;
    size_t len = read_vector("state-1.txt", text, sizeof text);
    set_blob(text, len);
    again(&cfg);
    cfg.hostname = NULL;
    start(&cfg);
    assert_int_equal(l.failed_events, 0);
    assert_vector_keys(&l.node->keys);
    assert_string_equal(l.node->keys.prefs.hostname, "remora");
    assert_true(l.node->keys.prefs.accept_dns && l.node->keys.prefs.wanted);
    assert_int_equal(l.stores, 1);
    assert_memory_equal(lab_blob_get(&l, STATE)->data, "remora-state 3 ", 15);
    again(&cfg);
    start(&cfg);
    assert_vector_keys(&l.node->keys);
    assert_int_equal(l.stores, 0); /* it has the present form */
}

/* What versions 2 and 3 have in common in their files. */
static void assert_vector_prefs(void)
{
    const nd_prefs *p = &l.node->keys.prefs;
    assert_vector_keys(&l.node->keys);
    assert_string_equal(l.node->keys.stable_id, "nABC123");
    assert_int_equal(l.node->keys.home, 3);
    assert_string_equal(p->hostname, "laptop");
    assert_string_equal(p->exit_node, "n7");
    assert_int_equal(p->n_routes, 2);
    assert_int_equal(p->routes[0].bits, 24);
    assert_int_equal(p->routes[1].family, RMR_AF_INET6);
    assert_true(p->advertise_exit_node && p->accept_routes && p->shields_up);
    assert_true(p->exit_node_allow_lan);
    assert_false(p->accept_dns || p->wanted);
}

static void a_state_of_version_2_is_read_and_upgraded(void **st)
{
    uint8_t text[4096];
    rmr_node_config cfg;
    (void)st;
    size_t len = read_vector("state-2.txt", text, sizeof text);
    set_blob(text, len);
    again(&cfg);
    start(&cfg);
    assert_vector_prefs();
    assert_int_equal(l.node->keys.prefs.n_tags, 0);
    assert_null(l.node->keys.auth_url);
    assert_int_equal(l.stores, 1);
    assert_memory_equal(lab_blob_get(&l, STATE)->data, "remora-state 3 ", 15);
    again(&cfg);
    start(&cfg);
    assert_vector_prefs();
    assert_int_equal(l.stores, 0);
}

static void a_state_of_version_3_is_read(void **st)
{
    uint8_t text[4096];
    const char *tags[ND_MAX_TAGS];
    rmr_node_config cfg;
    (void)st;
    size_t len = read_vector("state-3.txt", text, sizeof text);
    set_blob(text, len);
    again(&cfg);
    start(&cfg);
    assert_vector_prefs();
    assert_string_equal(l.node->keys.auth_url,
                        "https://headscale.example.com/register/"
                        "hskey-authreq-0123456789abcdef01234567");
    assert_string_equal(l.node->keys.prefs.exit_id, "nEXIT7");
    assert_string_equal(l.node->routes.exit_id, "nEXIT7");
    assert_int_equal(rmri_node_tags(&l.node->keys.prefs, tags), 2);
    assert_string_equal(tags[0], "tag:server");
    assert_string_equal(tags[1], "tag:db-1");
    lab_blob *b = lab_blob_get(&l, STATE);
    assert_int_equal(b->len, len);
    assert_memory_equal(b->data, text, len);
    /* A name that is said anew is looked up anew. */
    again(&cfg);
    cfg.exit_node = "n7";
    start(&cfg);
    assert_string_equal(l.node->routes.exit_id, "");
}

static void a_later_version_is_named_and_left_as_it_is(void **st)
{
    uint8_t hash[RMR_HASH_LEN];
    rmr_node_config cfg;
    char text[512], hex[2 * RMR_HASH_LEN + 1];
    static const char line[] = "remora-state 4 ", body[] = "{\"new\":1}";
    (void)st;
    rmr_blake2s_256(hash, rmr_bytes_str(line), rmr_bytes_str(body));
    for (size_t i = 0; i < sizeof hash; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", hash[i]);
    int len = snprintf(text, sizeof text, "%s%s\n%s", line, hex, body);
    set_blob(text, (size_t)len);
    again(&cfg);
    start(&cfg);
    assert_int_equal(l.failed_err, RMR_E_NODE_STATE_NEWER);
    assert_non_null(strstr(l.failed_text, "later remora"));
    assert_int_equal(l.stores, 0);
}

/* ---- preferences ------------------------------------------------------- */

static void preferences_are_kept_and_a_start_can_say_others(void **st)
{
    rmr_node_config cfg;
    rmr_node_prefs p, got;
    rmr_prefix routes[2];
    (void)st;
    lab_config(&l, &cfg);
    start(&cfg);
    rmr_node_prefs_init(&p, sizeof p);
    assert_int_equal(rmr_prefix_parse(rmr_bytes_str("10.1.0.0/16"), &routes[0]),
                     RMR_OK);
    assert_int_equal(rmr_prefix_parse(rmr_bytes_str("fd00::/8"), &routes[1]),
                     RMR_OK);
    p.hostname = "laptop";
    p.advertise_routes = routes;
    p.n_advertise_routes = 2;
    p.shields_up = true;
    p.accept_routes = true; /* not given: it doesn't count */
    p.given = RMR_NODE_PREF_HOSTNAME | RMR_NODE_PREF_ADVERTISE_ROUTES |
              RMR_NODE_PREF_SHIELDS_UP;
    assert_int_equal(rmr_node_set_prefs(l.node, l.now, &p), RMR_OK);
    lab_turn(&l); /* no stop: the state is stored at once */
    again(&cfg);
    start(&cfg);
    rmr_node_get_prefs(l.node, &got, sizeof got);
    assert_int_equal(got.given, RMR_NODE_PREF_ALL);
    assert_string_equal(got.hostname, "laptop");
    assert_int_equal(got.n_advertise_routes, 2);
    assert_true(rmr_prefix_eq(&got.advertise_routes[1], &routes[1]));
    assert_true(got.shields_up && got.accept_dns && got.wanted);
    assert_false(got.accept_routes);
    /* What it gave may be handed back. */
    assert_int_equal(rmr_node_set_prefs(l.node, l.now, &got), RMR_OK);
    assert_string_equal(l.node->keys.prefs.hostname, "laptop");
    /* The configuration counts more, by field. */
    again(&cfg);
    cfg.hostname = "desk";
    rmr_node_prefs_init(&p, sizeof p);
    p.given = RMR_NODE_PREF_SHIELDS_UP;
    cfg.prefs = &p;
    start(&cfg);
    rmr_node_get_prefs(l.node, &got, sizeof got);
    assert_string_equal(got.hostname, "desk");
    assert_false(got.shields_up);
    assert_int_equal(got.n_advertise_routes, 2);
}

#define PEER(id, stable, name)                                                 \
    "{\"ID\":" id ",\"StableID\":\"" stable "\",\"Name\":\"" name              \
    ".ex.com.\","                                                              \
    "\"Key\":\"nodekey:"                                                       \
    "222222222222222222222222222222222222222222222222222222222222222" id       \
    "\",\"Addresses\":[\"100.64.0." id "/32\"],\"AllowedIPs\":[\"100.64.0." id \
    "/32\",\"0.0.0.0/0\",\"::/0\"],\"MachineAuthorized\":true}"

static void feed(const char *frame)
{
    rmri_node_cache_overtaken(l.node);
    l.node->from_server = true;
    rmr_nm_stream_begin(l.node->nm);
    rmr_nm_frame_begin(l.node->nm, 1790000000u * RMR_SEC);
    assert_int_equal(rmr_nm_frame_feed(l.node->nm, rmr_bytes_str(frame)),
                     RMR_OK);
    assert_int_equal(rmr_nm_frame_end(l.node->nm), RMR_OK);
    l.node->from_server = false;
    l.node->dirty = true;
    lab_turn(&l);
}

/* Its name may be another's by then. */
static void an_exit_node_stays_the_same_one_after_a_restart(void **st)
{
    rmr_node_config cfg;
    (void)st;
    lab_config(&l, &cfg);
    cfg.exit_node = "n2";
    start(&cfg);
    feed("{\"Node\":" PEER("1", "s1", "n1") ",\"Peers\":[" PEER(
        "2", "s2", "n2") "," PEER("3", "s3", "n3") "]}");
    assert_int_equal(l.node->routes.exit_peer, 2);
    again(&cfg);
    start(&cfg);
    feed("{\"Node\":" PEER("1", "s1", "n1") ",\"Peers\":[" PEER(
        "2", "s2", "n4") "," PEER("3", "s3", "n2") "]}");
    assert_int_equal(l.node->routes.exit_peer, 2);
    /* Another is chosen: of that too the id is kept. */
    rmr_node_prefs p;
    rmr_node_prefs_init(&p, sizeof p);
    p.given = RMR_NODE_PREF_EXIT_NODE;
    p.exit_node = "n2";
    assert_int_equal(rmr_node_set_prefs(l.node, l.now, &p), RMR_OK);
    assert_int_equal(l.node->routes.exit_peer, 2); /* the same word */
    p.exit_node = "n2.ex.com";
    assert_int_equal(rmr_node_set_prefs(l.node, l.now, &p), RMR_OK);
    assert_string_equal(l.node->keys.prefs.exit_id, "s3");
    p.exit_node = "";
    assert_int_equal(rmr_node_set_prefs(l.node, l.now, &p), RMR_OK);
    assert_string_equal(l.node->keys.prefs.exit_id, "");
}

static void assert_tags(const char *first, size_t n)
{
    const char *tags[ND_MAX_TAGS];
    assert_int_equal(rmri_node_tags(&l.node->keys.prefs, tags), n);
    if (n)
        assert_string_equal(tags[0], first);
}

static void tags_are_kept_until_others_are_asked_for(void **st)
{
    static const char *const two[] = {"tag:a", "tag:printer"};
    static const char *const one[] = {"tag:b"};
    rmr_node_config cfg;
    (void)st;
    lab_config(&l, &cfg);
    cfg.tags = two;
    cfg.n_tags = 2;
    start(&cfg);
    assert_tags("tag:a", 2);
    again(&cfg);
    start(&cfg);
    assert_tags("tag:a", 2);
    again(&cfg);
    cfg.tags = one;
    cfg.n_tags = 1;
    start(&cfg);
    assert_tags("tag:b", 1);
    again(&cfg);
    cfg.tags = two; /* none of them */
    start(&cfg);
    assert_tags("", 0);
    stop();
    again(&cfg);
    start(&cfg);
    assert_tags("", 0);
}

static void what_is_no_tag_is_refused(void **st)
{
    static const char *const wrong[] = {"a", "tag:", "tg:abc", NULL};
    static char text[ND_TAGS_LEN];
    const char *many[ND_MAX_TAGS + 1];
    const char *tag;
    rmr_node_config cfg;
    (void)st;
    for (size_t i = 0; i < 4; i++) {
        lab_config(&l, &cfg);
        cfg.tags = &wrong[i];
        cfg.n_tags = 1;
        assert_int_equal(rmr_node_new(&l.node, &l.env, &cfg, l.now),
                         RMR_E_INVAL);
    }
    for (size_t i = 0; i <= ND_MAX_TAGS; i++)
        many[i] = "tag:x";
    cfg.tags = many;
    cfg.n_tags = ND_MAX_TAGS + 1;
    assert_int_equal(rmr_node_new(&l.node, &l.env, &cfg, l.now), RMR_E_INVAL);
    cfg.n_tags = ND_MAX_TAGS;
    start(&cfg); /* as many as may be */
    assert_int_equal(l.failed_events, 0);
    again(&cfg);
    memset(text, 'x', sizeof text - 2); /* and as long */
    memcpy(text, "tag:", 4);
    tag = text;
    cfg.tags = &tag;
    cfg.n_tags = 1;
    start(&cfg);
    assert_int_equal(l.failed_events, 0);
    lab_restart(&l);
    text[sizeof text - 2] = 'x';
    assert_int_equal(rmr_node_new(&l.node, &l.env, &cfg, l.now), RMR_E_INVAL);
}

static void wrong_preferences_change_nothing(void **st)
{
    rmr_node_config cfg;
    rmr_node_prefs p;
    rmr_prefix many[RMR_NODE_MAX_ROUTES + 1];
    char text[300];
    (void)st;
    memset(text, 'x', sizeof text);
    text[299] = 0;
    lab_config(&l, &cfg);
    assert_int_equal(rmr_node_new(&l.node, &l.env, &cfg, l.now), RMR_OK);
    rmr_node_prefs_init(&p, sizeof p);
    p.given = RMR_NODE_PREF_SHIELDS_UP;
    assert_int_equal(rmr_node_set_prefs(l.node, l.now, &p), RMR_E_NOTREADY);
    rmr_node_free(l.node);
    start(&cfg);
    p.given = RMR_NODE_PREF_HOSTNAME | RMR_NODE_PREF_SHIELDS_UP;
    p.shields_up = true;
    p.hostname = text;
    assert_int_equal(rmr_node_set_prefs(l.node, l.now, &p), RMR_E_INVAL);
    p.hostname = "";
    assert_int_equal(rmr_node_set_prefs(l.node, l.now, &p), RMR_E_INVAL);
    p.given = RMR_NODE_PREF_EXIT_NODE | RMR_NODE_PREF_SHIELDS_UP;
    p.exit_node = text;
    assert_int_equal(rmr_node_set_prefs(l.node, l.now, &p), RMR_E_INVAL);
    p.given = RMR_NODE_PREF_ADVERTISE_ROUTES | RMR_NODE_PREF_SHIELDS_UP;
    memset(many, 0, sizeof many);
    p.advertise_routes = many;
    p.n_advertise_routes = 1; /* of no family */
    assert_int_equal(rmr_node_set_prefs(l.node, l.now, &p), RMR_E_INVAL);
    for (size_t i = 0; i <= RMR_NODE_MAX_ROUTES; i++)
        many[i] = (rmr_prefix){{0xfd, (uint8_t)i, (uint8_t)(i >> 8), 1, 1, 1, 1,
                                1, 1, 1, 1, 1, 1, 1, 1, 1},
                               RMR_AF_INET6,
                               128};
    p.n_advertise_routes = RMR_NODE_MAX_ROUTES + 1;
    assert_int_equal(rmr_node_set_prefs(l.node, l.now, &p), RMR_E_INVAL);
    assert_false(l.node->keys.prefs.shields_up);
    /* As many as are allowed, and as long, fit into the state. */
    p.n_advertise_routes = RMR_NODE_MAX_ROUTES;
    assert_int_equal(rmr_node_set_prefs(l.node, l.now, &p), RMR_OK);
    lab_turn(&l);
    again(&cfg);
    start(&cfg);
    assert_int_equal(l.failed_events, 0);
    assert_int_equal(l.node->keys.prefs.n_routes, RMR_NODE_MAX_ROUTES);
    assert_true(
        rmr_prefix_eq(&l.node->keys.prefs.routes[RMR_NODE_MAX_ROUTES - 1],
                      &many[RMR_NODE_MAX_ROUTES - 1]));
}

/* ---- sealing ----------------------------------------------------------- */

static uint8_t seal_keys[2]; /* each byte of key 0, 1; 0: there is none */

static rmr_err seal_key(void *user, uint32_t number, uint8_t key[RMR_KEY_LEN])
{
    (void)user;
    if (number > 1 || !seal_keys[number])
        return RMR_E_NOTFOUND;
    memset(key, seal_keys[number], RMR_KEY_LEN);
    return RMR_OK;
}

static void again_sealed(rmr_node_config *cfg, uint8_t k0, uint8_t k1)
{
    seal_keys[0] = k0;
    seal_keys[1] = k1;
    again(cfg);
    cfg->seal_key = k0 ? seal_key : NULL;
}

static bool blob_has(const char *word)
{
    const lab_blob *b = lab_blob_get(&l, STATE);
    size_t len = strlen(word);
    for (size_t i = 0; i + len <= b->len; i++)
        if (memcmp(b->data + i, word, len) == 0)
            return true;
    return false;
}

/* It fails with `want`, and what was stored is as it was. */
static void assert_refused(rmr_node_config *cfg, rmr_err want)
{
    lab_blob *b = lab_blob_get(&l, STATE);
    size_t len = b->len;
    uint8_t *copy = malloc(len);
    assert_non_null(copy);
    memcpy(copy, b->data, len);
    start(cfg);
    assert_int_equal(l.failed_err, want);
    assert_int_equal(l.stop_err, want);
    assert_int_equal(l.stores, 0);
    assert_int_equal(b->len, len);
    assert_memory_equal(b->data, copy, len);
    free(copy);
}

static void a_key_of_the_hosts_seals_the_state_and_can_be_changed(void **st)
{
    rmr_node_config cfg;
    uint8_t machine[RMR_KEY_LEN];
    (void)st;
    lab_config(&l, &cfg);
    start(&cfg);
    memcpy(machine, l.node->keys.machine, sizeof machine);
    assert_true(blob_has("privkey:"));
    again_sealed(&cfg, 7, 0); /* was plain */
    cfg.take_plain_state = true;
    start(&cfg);
    assert_int_equal(l.stores, 1);
    assert_false(blob_has("privkey:") || blob_has("127.0.0.1"));
    again_sealed(&cfg, 7, 0);
    start(&cfg);
    assert_int_equal(l.stores, 0);
    assert_memory_equal(machine, l.node->keys.machine, sizeof machine);
    again_sealed(&cfg, 8, 7); /* rotation: sealed anew at once */
    start(&cfg);
    assert_int_equal(l.stores, 1);
    again_sealed(&cfg, 8, 0);
    start(&cfg);
    assert_int_equal(l.failed_events, 0);
    assert_memory_equal(machine, l.node->keys.machine, sizeof machine);
    again_sealed(&cfg, 7, 0);
    assert_refused(&cfg, RMR_E_NODE_STATE_SEALED);
    assert_non_null(strstr(l.failed_text, "key that"));
    again_sealed(&cfg, 0, 0);
    assert_refused(&cfg, RMR_E_NODE_STATE_SEALED);
    again_sealed(&cfg, 8, 0); /* nothing was lost by the wrong ones */
    start(&cfg);
    assert_int_equal(l.failed_events, 0);
    assert_memory_equal(machine, l.node->keys.machine, sizeof machine);
}

/* Of this node in an earlier time, or of another one. */
static void a_plain_state_does_not_take_the_place_of_a_sealed_one(void **st)
{
    uint8_t plain[4096];
    rmr_node_config cfg;
    (void)st;
    size_t len = read_vector("state-3.txt", plain, sizeof plain);
    seal_keys[0] = 7;
    seal_keys[1] = 0;
    lab_config(&l, &cfg);
    cfg.seal_key = seal_key;
    start(&cfg);
    set_blob(plain, len);
    again_sealed(&cfg, 7, 0);
    assert_refused(&cfg, RMR_E_NODE_STATE_PLAIN);
    assert_non_null(strstr(l.failed_text, "not sealed"));
    size_t older = read_vector("state-1.txt", plain, sizeof plain);
    set_blob(plain, older);
    again_sealed(&cfg, 7, 0);
    assert_refused(&cfg, RMR_E_NODE_STATE_PLAIN);
    plain[older - 3] ^= 1; /* that is none at all */
    set_blob(plain, older);
    again_sealed(&cfg, 7, 0);
    assert_refused(&cfg, RMR_E_NODE_STATE_DAMAGED);
}

static void an_altered_sealed_state_is_damaged(void **st)
{
    rmr_node_config cfg;
    (void)st;
    seal_keys[0] = 7;
    seal_keys[1] = 0;
    lab_config(&l, &cfg);
    cfg.seal_key = seal_key;
    start(&cfg);
    lab_blob *b = lab_blob_get(&l, STATE);
    size_t len = b->len;
    for (size_t i = 0; i < len; i += i < 100 ? 1 : 37) {
        bool names_key = i >= 16 && i < 48;
        again_sealed(&cfg, 7, 0);
        b->data[i] ^= 1;
        assert_refused(&cfg, names_key ? RMR_E_NODE_STATE_SEALED
                                       : RMR_E_NODE_STATE_DAMAGED);
        b->data[i] ^= 1;
        again_sealed(&cfg, 7, 0);
        b->len = i;
        assert_refused(&cfg, RMR_E_NODE_STATE_DAMAGED);
        b->len = len;
    }
    again_sealed(&cfg, 7, 0);
    start(&cfg);
    assert_int_equal(l.failed_events, 0);
}

/* ---- the cached netmap under that key ----------------------------------- */

#define CACHE "netmap.cache"
#define PEERS 900 /* of them it has more than one chunk */

static uint8_t *cache; /* as it was saved */
static size_t cache_len;

static char *netmap(void)
{
    size_t cap = 4096 + PEERS * (size_t)512, len = 0;
    char *text = malloc(cap);
    assert_non_null(text);
    len += (size_t)snprintf(text, cap,
                            "{\"Node\":" PEER("1", "s1", "n1") ","
                                                               "\"Peers\":[");
    for (int i = 0; i < PEERS; i++)
        len += (size_t)snprintf(
            text + len, cap - len,
            "%s{\"ID\":%d,\"StableID\":\"t%d\",\"Name\":\"peer-%d.ex.com.\","
            "\"Key\":\"nodekey:%064x\",\"Addresses\":[\"100.65.%d.%d/32\"],"
            "\"AllowedIPs\":[\"100.65.%d.%d/32\"],\"MachineAuthorized\":true}",
            i ? "," : "", i + 10, i, i, (unsigned)i + 1, i / 200, i % 200 + 1,
            i / 200, i % 200 + 1);
    (void)snprintf(text + len, cap - len, "]}");
    return text;
}

/* A node that ran under the key 7, and what it left. */
static void save_cache(rmr_node_config *cfg)
{
    char *text = netmap();
    seal_keys[0] = 7;
    seal_keys[1] = 0;
    cfg->seal_key = seal_key;
    start(cfg);
    l.node->keys.registered = true;
    feed(text);
    free(text);
    stop();
}

static void save_cache_blob(void)
{
    rmr_node_config cfg;
    lab_config(&l, &cfg);
    save_cache(&cfg);
    lab_blob *b = lab_blob_get(&l, CACHE);
    assert_non_null(b);
    cache_len = b->len;
    cache = malloc(cache_len);
    assert_non_null(cache);
    memcpy(cache, b->data, cache_len);
}

static bool cache_has(const char *word)
{
    size_t n = strlen(word);
    for (size_t i = 0; i + n <= cache_len; i++)
        if (memcmp(cache + i, word, n) == 0)
            return true;
    return false;
}

/* A start with that as the blob, and these keys: is it taken? */
static bool cache_is_taken(const uint8_t *data, size_t len, uint8_t k0,
                           uint8_t k1)
{
    rmr_nm_node self;
    rmr_node_config cfg;
    lab_blob *b = lab_blob_get(&l, CACHE);
    again_sealed(&cfg, k0, k1);
    free(b->data);
    b->data = malloc(len + 1);
    assert_non_null(b->data);
    memcpy(b->data, data, len);
    b->len = len;
    start(&cfg);
    assert_int_equal(l.failed_events, 0);
    assert_null(l.node->cache_seal); /* nothing is kept of the reading */
    bool taken = rmr_nm_peer_count(l.node->nm) == PEERS;
    assert_true(taken || rmr_nm_peer_count(l.node->nm) == 0);
    assert_int_equal(taken, rmr_nm_self(l.node->nm, &self));
    return taken;
}

static void the_cached_netmap_is_sealed_too(void **st)
{
    (void)st;
    save_cache_blob();
    assert_memory_equal(cache, "remora-netmap 1 ", 16);
    assert_true(cache_len > 64 * 1024 + 1000);
    assert_false(cache_has("peer-1") || cache_has("nodekey:") ||
                 cache_has("ex.com"));
    assert_true(cache_is_taken(cache, cache_len, 7, 0));
    assert_true(cache_is_taken(cache, cache_len, 8, 7)); /* another key now */
    assert_false(cache_is_taken(cache, cache_len, 8, 0));
    free(cache);
}

static size_t chunk_len(size_t at)
{
    return 4 + 16 +
           ((size_t)(cache[at] & 0x7f) << 24 | (size_t)cache[at + 1] << 16 |
            (size_t)cache[at + 2] << 8 | cache[at + 3]);
}

static void an_altered_sealed_netmap_is_left_aside(void **st)
{
    (void)st;
    save_cache_blob();
    uint8_t *bad = malloc(cache_len + 200);
    assert_non_null(bad);
    size_t first = 68, second = first + chunk_len(first);
    for (size_t i = 0; i < cache_len;
         i += i < 120 || (i > second - 20 && i < second + 20) ? 1 : 9973) {
        memcpy(bad, cache, cache_len);
        bad[i] ^= 1;
        assert_false(cache_is_taken(bad, cache_len, 7, 0));
        assert_false(cache_is_taken(cache, i, 7, 0));
    }
    /* Chunks: the first alone, the rest alone, once more, behind the end. */
    assert_false(cache_is_taken(cache, second, 7, 0));
    memcpy(bad, cache, first);
    memcpy(bad + first, cache + second, cache_len - second);
    assert_false(cache_is_taken(bad, first + cache_len - second, 7, 0));
    memcpy(bad, cache, cache_len);
    memcpy(bad + cache_len, cache + cache_len - 100, 100);
    assert_false(cache_is_taken(bad, cache_len + 100, 7, 0));
    assert_true(cache_is_taken(cache, cache_len, 7, 0));
    free(bad);
    free(cache);
}

static void a_plain_netmap_does_not_take_the_place_of_a_sealed_one(void **st)
{
    rmr_node_config cfg;
    (void)st;
    lab_config(&l, &cfg);
    start(&cfg);
    l.node->keys.registered = true;
    char *text = netmap();
    feed(text);
    free(text);
    stop();
    lab_blob *b = lab_blob_get(&l, CACHE);
    cache_len = b->len;
    cache = malloc(cache_len);
    assert_non_null(cache);
    memcpy(cache, b->data, cache_len);
    assert_true(cache_has("peer-1"));
    assert_true(cache_is_taken(cache, cache_len, 0, 0));
    uint8_t *plain = cache;
    size_t plain_len = cache_len;
    lab_free(&l);
    lab_init(&l);
    save_cache_blob();
    assert_false(cache_is_taken(plain, plain_len, 7, 0));
    assert_true(cache_is_taken(cache, cache_len, 7, 0));
    free(cache);
    free(plain);
}

static void failing_memory_harms_no_sealed_netmap(void **st)
{
    rmr_node_config cfg;
    (void)st;
    save_cache_blob();
    for (size_t i = 1; i < 400; i++) {
        again_sealed(&cfg, 7, 0);
        l.alloc.fail_at = l.alloc.calls + i;
        rmr_err err = lab_start(&l, &cfg);
        l.alloc.fail_at = 0;
        assert_true(err == RMR_OK || err == RMR_E_NOMEM);
        if (err == RMR_OK)
            stop();
        lab_blob *b = lab_blob_get(&l, CACHE);
        assert_int_equal(b->len, cache_len);
        assert_memory_equal(b->data, cache, cache_len);
    }
    assert_true(cache_is_taken(cache, cache_len, 7, 0));
    free(cache);
}

static void a_first_start_without_the_seal_key_keeps_nothing(void **st)
{
    rmr_node_config cfg;
    (void)st;
    seal_keys[0] = seal_keys[1] = 0;
    lab_config(&l, &cfg);
    cfg.seal_key = seal_key;
    start(&cfg);
    assert_int_equal(l.failed_err, RMR_E_NODE_STATE_WRITE);
    assert_true(l.stopped);
    assert_int_equal(l.stores, 0);
    assert_int_equal(l.connects, 0);
}

/* ---- the program's own store ------------------------------------------- */

typedef struct shelf { /* one blob a name, as rmr_node_store wants it */
    uint8_t data[2][8192], fresh[2][8192];
    size_t len[2], fresh_len[2];
    bool there[2];
    rmr_err get_err, put_err;
    size_t puts;
} shelf;

static shelf kept;

static int place(const char *name)
{
    return strcmp(name, STATE) == 0;
}

static rmr_err shelf_get(void *user, const char *name, uint64_t offset,
                         rmr_buf dst, size_t *len)
{
    shelf *s = user;
    int i = place(name);
    if (s->get_err)
        return s->get_err;
    if (!s->there[i])
        return RMR_E_NOTFOUND;
    assert_true(offset <= s->len[i]);
    *len = s->len[i] - offset < dst.len ? s->len[i] - offset : dst.len;
    memcpy(dst.ptr, s->data[i] + offset, *len);
    return RMR_OK;
}

static rmr_err shelf_put(void *user, const char *name, uint64_t offset,
                         rmr_bytes data, bool last)
{
    shelf *s = user;
    int i = place(name);
    s->puts++;
    if (s->put_err)
        return s->put_err;
    if (offset == 0)
        s->fresh_len[i] = 0;
    assert_int_equal(offset, s->fresh_len[i]);
    assert_true(offset + data.len <= sizeof s->fresh[i]);
    memcpy(s->fresh[i] + offset, data.ptr, data.len);
    s->fresh_len[i] += data.len;
    if (last) {
        memcpy(s->data[i], s->fresh[i], s->fresh_len[i]);
        s->len[i] = s->fresh_len[i];
        s->there[i] = true;
    }
    return RMR_OK;
}

static const rmr_node_store store = {
    .struct_size = sizeof(rmr_node_store),
    .user = &kept,
    .get = shelf_get,
    .put = shelf_put,
};

static void a_program_can_keep_the_state_itself(void **st)
{
    rmr_node_config cfg;
    uint8_t machine[RMR_KEY_LEN];
    (void)st;
    memset(&kept, 0, sizeof kept);
    lab_config(&l, &cfg);
    cfg.store = &store;
    start(&cfg);
    assert_true(l.connects >= 1);
    memcpy(machine, l.node->keys.machine, sizeof machine);
    stop();
    assert_true(kept.there[1]);
    again(&cfg);
    cfg.store = &store;
    start(&cfg);
    assert_int_equal(l.failed_events, 0);
    assert_memory_equal(machine, l.node->keys.machine, sizeof machine);
    assert_int_equal(l.parts, 0); /* nothing by the adapter */
    assert_null(lab_blob_get(&l, STATE));
    again(&cfg);
    cfg.store = &store;
    kept.get_err = RMR_E_IO;
    kept.puts = 0;
    start(&cfg);
    assert_int_equal(l.failed_err, RMR_E_NODE_STATE_READ);
    assert_int_equal(kept.puts, 0);
    again(&cfg);
    cfg.store = &store;
    cfg.control_url = "http://127.0.0.1:9";
    kept.get_err = RMR_E_NOTFOUND;
    kept.put_err = RMR_E_DENIED;
    start(&cfg);
    assert_int_equal(l.failed_err, RMR_E_NODE_STATE_WRITE);
    rmr_node *n;
    rmr_node_store half = store;
    half.put = NULL;
    cfg.store = &half;
    assert_int_equal(rmr_node_new(&n, &l.env, &cfg, l.now), RMR_E_INVAL);
}

static void what_the_program_keeps_is_sealed_too(void **st)
{
    rmr_node_config cfg;
    (void)st;
    memset(&kept, 0, sizeof kept);
    seal_keys[0] = 7;
    seal_keys[1] = 0;
    lab_config(&l, &cfg);
    cfg.store = &store;
    cfg.seal_key = seal_key;
    start(&cfg);
    l.node->keys.registered = true;
    feed("{\"Node\":" PEER("1", "s1", "n1") ",\"Peers\":[" PEER("2", "s2",
                                                                "n2") "]}");
    stop();
    assert_true(kept.there[0] && kept.there[1]);
    assert_memory_equal(kept.data[0], "remora-netmap 1 ", 16);
    assert_memory_equal(kept.data[1], "remora-sealed 1 ", 16);
    again_sealed(&cfg, 7, 0);
    cfg.store = &store;
    start(&cfg);
    assert_int_equal(l.failed_events, 0);
    assert_int_equal(rmr_nm_peer_count(l.node->nm), 1);
    stop();
    kept.data[0][kept.len[0] - 1] ^= 1;
    again_sealed(&cfg, 7, 0);
    cfg.store = &store;
    start(&cfg);
    assert_int_equal(l.failed_events, 0);
    assert_int_equal(rmr_nm_peer_count(l.node->nm), 0);
}

/* ---- a start from the cache -------------------------------------------- */

#define PAST "2026-01-01T00:00:00Z" /* the lab's clock says September 2026 */
#define FUTURE "2027-01-01T00:00:00Z"

static void set_cache(const char *self_expiry)
{
    static const char keys[3][65] = {
        "0102030405060708091011121314151617181920212223242526272829303132",
        "0202030405060708091011121314151617181920212223242526272829303132",
        "0302030405060708091011121314151617181920212223242526272829303132"};
    uint8_t hash[RMR_HASH_LEN];
    char text[4096], node[3][1024];
    static const char *const form =
        "{\"ID\":%d,\"StableID\":\"s%d\",\"Name\":\"n%d.ex.com.\",\"Key\":"
        "\"nodekey:%s\",\"KeyExpiry\":\"%s\",\"Addresses\":[\"100.64.0.%d/"
        "32\"],\"AllowedIPs\":[\"100.64.0.%d/32\"],\"HomeDERP\":1,"
        "\"MachineAuthorized\":true}";
    const char *expiry[3] = {self_expiry, PAST, FUTURE};
    for (int i = 0; i < 3; i++)
        (void)snprintf(node[i], sizeof node[i], form, i + 1, i + 1, i + 1,
                       keys[i], expiry[i], i + 1, i + 1);
    size_t len =
        (size_t)snprintf(text, sizeof text, "{\"Node\":%s,\"Peers\":[%s,%s]}",
                         node[0], node[1], node[2]);
    rmr_blake2s_256(hash, rmr_bytes_of(text, len), rmr_bytes_of(NULL, 0));
    len += (size_t)snprintf(text + len, sizeof text - len, "\n#blake2s ");
    for (size_t i = 0; i < sizeof hash; i++)
        len += (size_t)snprintf(text + len, 3, "%02x", hash[i]);
    text[len++] = '\n';
    lab_blob *b = &l.blobs[1];
    (void)snprintf(b->name, sizeof b->name, "netmap.cache");
    b->there = true;
    b->data = realloc(b->data, len);
    assert_non_null(b->data);
    memcpy(b->data, text, len);
    b->len = len;
}

static void start_from_cache(const char *self_expiry)
{
    uint8_t text[4096];
    rmr_node_config cfg;
    size_t len = read_vector("state-2.txt", text, sizeof text);
    set_blob(text, len);
    set_cache(self_expiry);
    again(&cfg);
    start(&cfg);
}

static bool has_way(uint8_t last)
{
    uint8_t pkt[20] = {0x45, [3] = 20, [9] = 6, [16] = 100, [17] = 64};
    pkt[19] = last;
    return rmri_node_peers_route(l.node, l.now, rmr_bytes_of(pkt, sizeof pkt))
               .id != 0;
}

static void from_the_cache_expired_keys_are_not_used(void **st)
{
    (void)st;
    start_from_cache(FUTURE); /* the control server is refused */
    assert_int_equal(l.running_events, 1);
    assert_true(l.from_cache);
    assert_int_equal(rmr_node_get_state(l.node), RMR_NODE_RUNNING);
    assert_false(has_way(2));
    assert_true(has_way(3));
    lab_run(&l, 600 * RMR_SEC);
    assert_int_equal(l.running_events, 1); /* said once */
}

static void from_the_cache_an_expired_node_does_not_run(void **st)
{
    (void)st;
    start_from_cache(PAST);
    assert_int_equal(l.running_events, 0);
    assert_int_equal(rmr_node_get_state(l.node), RMR_NODE_NEEDS_LOGIN);
    assert_int_equal(l.failed_events, 0); /* it goes on asking */
}

static void the_form_of_the_upgrade_is_kept(void **st)
{
    (void)st;
    uint8_t text[4096];
    nd_keys in, out;
    bool is_old;
    test_alloc al = {0};
    rmr_alloc a = test_alloc_table(&al);
    size_t len = read_vector("state-2.txt", text, sizeof text);
    assert_int_equal(
        rmri_node_state_parse(&in, &a, rmr_bytes_of(text, len), &is_old),
        RMR_OK);
    assert_false(in.websocket); /* of before there was such a field */
    for (int i = 0; i < 2; i++) {
        in.websocket = i;
        assert_int_equal(
            rmri_node_state_text(&in, rmr_buf_of(text, sizeof text), &len),
            RMR_OK);
        assert_int_equal(
            rmri_node_state_parse(&out, &a, rmr_bytes_of(text, len), &is_old),
            RMR_OK);
        assert_int_equal(out.websocket, i);
        rmri_node_keys_wipe(&out, &a);
    }
    rmri_node_keys_wipe(&in, &a);
    assert_int_equal(al.live_blocks, 0);
}

static void a_state_is_read_whole_or_not_at_all(void **st)
{
    (void)st;
    uint8_t text[4096];
    bool is_old;
    size_t len = read_vector("state-3.txt", text, sizeof text), k = 1;
    for (rmr_err e = RMR_E_NOMEM; e; k++) {
        nd_keys keys;
        test_alloc al = {.fail_at = k};
        rmr_alloc a = test_alloc_table(&al);
        e = rmri_node_state_parse(&keys, &a, rmr_bytes_of(text, len), &is_old);
        assert_int_equal(e, al.failed ? RMR_E_NOMEM : RMR_OK);
        if (!e)
            rmri_node_keys_wipe(&keys, &a);
        assert_int_equal(al.live_blocks, 0);
    }
    assert_true(k > 8);
}

/* ---- a death at each write --------------------------------------------- */

/* A start, a change of preferences and a stop; false: it died before. */
static bool whole_life(const char *hostname)
{
    rmr_node_prefs p;
    if (l.is_cut)
        return false;
    rmr_node_prefs_init(&p, sizeof p);
    p.given = RMR_NODE_PREF_HOSTNAME;
    p.hostname = hostname;
    assert_int_equal(rmr_node_set_prefs(l.node, l.now, &p), RMR_OK);
    lab_turn(&l);
    if (l.is_cut)
        return false;
    rmr_node_stop(l.node, l.now);
    lab_turn(&l);
    lab_run(&l, 3 * RMR_SEC);
    return !l.is_cut;
}

/* From no state at all, and from version 1: the next start has the old state or
 * the new one. */
static void killed_at_each_write(bool had_state, bool after)
{
    uint8_t text[4096], machine[RMR_KEY_LEN];
    rmr_node_config cfg;
    size_t len = read_vector("state-1.txt", text, sizeof text);
    for (size_t cut = 1;; cut++) {
        lab_free(&l);
        lab_init(&l);
        if (had_state)
            set_blob(text, len);
        lab_config(&l, &cfg);
        cfg.control_url = "https://headscale.example.com";
        l.cut_at = cut;
        l.cut_after = after;
        start(&cfg);
        memcpy(machine, l.node->keys.machine, sizeof machine);
        bool lived = whole_life("laptop");
        bool stored = lab_blob_get(&l, STATE) != NULL;
        lab_restart(&l);
        lab_config(&l, &cfg);
        cfg.control_url = "https://headscale.example.com";
        start(&cfg);
        assert_int_equal(l.failed_events, 0);
        assert_int_equal(stored && memcmp(machine, l.node->keys.machine,
                                          sizeof machine) == 0,
                         stored);
        const char *name = l.node->keys.prefs.hostname;
        assert_true(strcmp(name, "laptop") == 0 || strcmp(name, "remora") == 0);
        if (!lived)
            continue;
        assert_string_equal(name, "laptop");
        assert_true(cut >= 4); /* upgrade or keys, preferences, stop */
        return;
    }
}

static void killed_at_each_write_it_starts_with_old_or_new_state(void **st)
{
    (void)st;
    for (int i = 0; i < 4; i++)
        killed_at_each_write((i & 1) != 0, (i & 2) != 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_state_of_version_1_is_read_and_upgraded),
        T(a_state_of_version_2_is_read_and_upgraded),
        T(a_state_of_version_3_is_read),
        T(a_later_version_is_named_and_left_as_it_is),
        T(preferences_are_kept_and_a_start_can_say_others),
        T(an_exit_node_stays_the_same_one_after_a_restart),
        T(tags_are_kept_until_others_are_asked_for),
        T(what_is_no_tag_is_refused),
        T(wrong_preferences_change_nothing),
        T(a_key_of_the_hosts_seals_the_state_and_can_be_changed),
        T(a_plain_state_does_not_take_the_place_of_a_sealed_one),
        T(an_altered_sealed_state_is_damaged),
        T(the_cached_netmap_is_sealed_too),
        T(an_altered_sealed_netmap_is_left_aside),
        T(a_plain_netmap_does_not_take_the_place_of_a_sealed_one),
        T(failing_memory_harms_no_sealed_netmap),
        T(a_first_start_without_the_seal_key_keeps_nothing),
        T(a_program_can_keep_the_state_itself),
        T(what_the_program_keeps_is_sealed_too),
        T(the_form_of_the_upgrade_is_kept),
        T(a_state_is_read_whole_or_not_at_all),
        T(from_the_cache_expired_keys_are_not_used),
        T(from_the_cache_an_expired_node_does_not_run),
        T(killed_at_each_write_it_starts_with_old_or_new_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
