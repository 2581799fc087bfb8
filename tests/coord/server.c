#include "server.h"

#include <stdio.h>
#include <stdlib.h>

static void need(rmr_err err, const char *what)
{
    if (err == RMR_OK)
        return;
    (void)fprintf(stderr, "the server: %s: %s\n", what, rmr_err_name(err));
    abort();
}

void server_config(rmr_coord_config *cfg, rmr_addr at, const char *url)
{
    static const uint8_t key[RMR_KEY_LEN] = {8, 1, 2, 3, [31] = 64};
    static rmr_addr listen;
    listen = at;
    rmr_coord_config_init(cfg, sizeof *cfg);
    cfg->listen = &listen;
    cfg->n_listen = 1;
    cfg->server_url = url;
    cfg->base_domain = "tail.test";
    cfg->private_key = key;
}

uint64_t server_user(rmr_coord *c, const char *name)
{
    uint64_t id;
    need(rmr_coord_user_add(c, name, &id), name);
    return id;
}

void server_key(rmr_coord *c, const rmr_coord_key_wish *wish,
                char text[RMR_COORD_KEY_TEXT])
{
    uint64_t id;
    need(rmr_coord_key_add(c, wish, text, &id), "key");
}

void server_user_key(rmr_coord *c, uint64_t user, char text[RMR_COORD_KEY_TEXT])
{
    rmr_coord_key_wish wish = {.user = user, .reusable = true};
    server_key(c, &wish, text);
}

rmr_coord_stats server_stats(const rmr_coord *c)
{
    rmr_coord_stats s;
    rmr_coord_get_stats(c, &s);
    return s;
}
