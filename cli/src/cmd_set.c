/* remora set */
#include <remora/addr.h>

#include "commands.h"
#include "local_client.h"

static void put_routes(rmr_jw *w, const cli_args *a)
{
    char text[RMR_PREFIX_TEXT_MAX];
    rmr_jw_key(w, "advertise_routes");
    rmr_jw_array(w);
    for (size_t i = 0; i < a->n_routes; i++) {
        rmr_jw_str(w, rmr_prefix_text(&a->routes[i], text));
    }
    rmr_jw_array_end(w);
}

static void put_flag(rmr_jw *w, const cli_args *a, const char *option,
                     const char *key, bool on)
{
    if (cli_args_gave(a, option)) {
        rmr_jw_kbool(w, key, on);
    }
}

static void put_request(rmr_jw *w, const cli_args *a)
{
    rmr_jw_object(w);
    rmr_jw_kstr(w, "op", "set");
    if (a->hostname != NULL) {
        rmr_jw_kstr(w, "hostname", a->hostname);
    }
    if (cli_args_gave(a, "advertise-routes")) {
        put_routes(w, a);
    }
    put_flag(w, a, "advertise-exit-node", "advertise_exit_node",
             a->advertise_exit_node);
    put_flag(w, a, "accept-routes", "accept_routes", a->accept_routes);
    if (a->exit_node != NULL) {
        rmr_jw_kstr(w, "exit_node", a->exit_node);
    }
    put_flag(w, a, "exit-node-allow-lan", "exit_node_allow_lan",
             a->exit_node_allow_lan);
    put_flag(w, a, "accept-dns", "accept_dns", a->accept_dns);
    put_flag(w, a, "shields-up", "shields_up", a->shields_up);
    rmr_jw_object_end(w);
}

int cli_set(const cli_args *a)
{
    cli_local c;
    rmr_bytes line = {0};
    uint8_t text[1024]; /* what the node takes */
    rmr_jw w;
    rmr_jw_init(&w, rmr_buf_of(text, sizeof text));
    put_request(&w, a);
    bool sent = cli_local_open(&c, a->state_dir) && cli_local_send(&c, &w);
    cli_line got = sent ? cli_local_line(&c, &line) : CLI_LINE_FAILED;
    bool ok = cli_local_agreed(got, line);
    cli_local_close(&c);
    return ok ? CLI_EXIT_OK : CLI_EXIT_FAILED;
}
