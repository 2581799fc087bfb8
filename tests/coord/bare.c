#include "bare.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

rmr_coord *bare_coord(test_alloc *heap, test_rng *rng,
                      const rmr_coord_store *store, rmr_err *err)
{
    static const uint8_t key[RMR_KEY_LEN] = {8, 1, [31] = 64};
    rmr_coord_config cfg;
    rmr_addr at = rmr_addr_v4(127, 0, 0, 1, 80);
    rmr_env env = test_env(heap, rng, NULL);
    rmr_coord *c;
    test_rng_seed(rng, 3);
    rmr_coord_config_init(&cfg, sizeof cfg);
    cfg.listen = &at;
    cfg.n_listen = 1;
    cfg.server_url = "http://127.0.0.1";
    cfg.private_key = key;
    cfg.store = store;
    *err = rmr_coord_new(&c, &env, &cfg, RMR_SEC);
    return c;
}

rmr_err bare_node(rmr_coord *c, uint64_t user, uint64_t number,
                  const char *hostname)
{
    static const char *const tag = "tag:bare";
    uint8_t machine[RMR_KEY_LEN] = {1}, key[RMR_KEY_LEN] = {2};
    crd_node *n;
    crd_birth b;
    memset(&b, 0, sizeof b);
    memcpy(machine + 1, &number, sizeof number);
    memcpy(key + 1, &number, sizeof number);
    b.machine = machine;
    b.key = key;
    b.user = rmri_crd_user(c, user);
    b.hostname = rmr_bytes_str(hostname);
    b.tags = &tag;
    b.n_tags = b.user ? 0 : 1;
    b.expiry = number % 3 ? 0 : number;
    return rmri_crd_node_add(c, &b, &n);
}

/* ---- changes by chance --------------------------------------------------- */

/* Of those that were given out lately, or of one that was removed. */
static uint64_t some(test_rng *r, uint64_t next)
{
    uint64_t n = next > 24 ? 24 : next;
    return next - test_rng_u64(r) % n;
}

static rmr_err add_key(rmr_coord *c, test_rng *r)
{
    static const char *const tags[] = {"tag:a", "tag:bb", "tag:ccc"};
    char text[RMR_COORD_KEY_TEXT];
    uint64_t id, bits = test_rng_u64(r);
    rmr_coord_key_wish w;
    memset(&w, 0, sizeof w);
    w.user = some(r, c->next_user);
    w.reusable = bits & 1;
    w.ephemeral = bits & 2;
    w.tags = tags;
    w.n_tags = bits >> 2 & 3;
    w.expiry_unix_ns = bits >> 8 & 3 ? 0 : bits >> 10;
    return rmr_coord_key_add(c, &w, text, &id);
}

static rmr_err approve(rmr_coord *c, test_rng *r, uint64_t node)
{
    rmr_prefix p[3];
    uint64_t bits = test_rng_u64(r);
    memset(p, 0, sizeof p);
    p[0].family = p[1].family = RMR_AF_INET;
    p[0].ip[0] = (uint8_t)bits;
    p[0].bits = 8;
    p[1].ip[0] = 10;
    p[1].ip[1] = (uint8_t)(bits >> 8);
    p[1].bits = 16;
    p[2].family = RMR_AF_INET6; /* an exit node */
    return rmr_coord_node_approve(c, node, p, bits >> 16 & 3);
}

static rmr_err on_node(rmr_coord *c, test_rng *r, const char *name)
{
    static const char *const tags[] = {"tag:x", "tag:yy"};
    uint64_t bits = test_rng_u64(r), node = some(r, c->next_node);
    switch (bits % 6) {
    case 0:
        return rmr_coord_node_rename(c, node, name);
    case 1:
        return rmr_coord_node_expire(c, node, bits >> 4 & 1 ? 0 : bits >> 8);
    case 2:
        return rmr_coord_node_set_tags(c, node, tags, 1 + (bits >> 8 & 1));
    case 3:
        return approve(c, r, node);
    default:
        return rmr_coord_node_remove(c, node);
    }
}

static rmr_err set_policy(rmr_coord *c, const char *name)
{
    char text[128];
    (void)snprintf(text, sizeof text,
                   "{\"acls\":[],\"tagOwners\":{\"tag:x\":[],\"tag:yy\":[]},"
                   "\"hosts\":{\"%s\":\"10.0.0.1\"}}",
                   name);
    return rmr_coord_set_policy(c, rmr_bytes_str(text), NULL);
}

static rmr_err on_others(rmr_coord *c, test_rng *r, const char *name)
{
    uint64_t id;
    switch (test_rng_u64(r) % 7) {
    case 0:
    case 1:
        return rmr_coord_user_add(c, name, &id);
    case 2:
        return rmr_coord_user_rename(c, some(r, c->next_user), name);
    case 3:
        return rmr_coord_user_remove(c, some(r, c->next_user));
    case 4:
        return rmr_coord_key_expire(c, some(r, c->next_key));
    case 5:
        return rmr_coord_key_remove(c, some(r, c->next_key));
    default:
        return set_policy(c, name);
    }
}

void bare_change(rmr_coord *c, test_rng *r)
{
    char name[32];
    rmr_err e;
    uint64_t bits = test_rng_u64(r);
    (void)snprintf(name, sizeof name, "n%llu",
                   (unsigned long long)(bits >> 8) % 100);
    if (bits % 8 < 3)
        e = bare_node(c, some(r, c->next_user), test_rng_u64(r), name);
    else if (bits % 8 == 3)
        e = add_key(c, r);
    else
        e = (bits % 8 < 6 ? on_node : on_others)(c, r, name);
    if (e != RMR_OK && e != RMR_E_NOTFOUND && e != RMR_E_INUSE &&
        e != RMR_E_INVAL && e != RMR_E_DENIED)
        abort();
}
