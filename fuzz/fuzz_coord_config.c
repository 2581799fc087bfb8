/* The coordinator's configuration file: whatever it says, it is taken or
 * refused with one sentence, and what was taken holds what the server counts
 * on. */
#include "need.h"
#include "coord_config.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_taken(const cli_coord_config *c)
{
    need(c->server_url && c->listen.n >= 1 &&
         c->listen.n <= CLI_COORD_MAX_LISTEN);
    need(strlen(c->unix_socket) <= 103 && (c->unix_socket_mode & 0600) == 0600);
    need((c->tls_cert == NULL) == (c->tls_key == NULL));
    need(c->v4.family != RMR_AF_NONE || c->v6.family != RMR_AF_NONE);
    need(!c->policy_in_database || c->policy == NULL);
    need(c->ephemeral_timeout > 0);
    for (size_t i = 0; i < c->n_proxies; i++)
        need(c->proxies[i].bits > 0);
    for (size_t i = 0; i < c->dns.n_routes; i++)
        need(c->dns.routes[i].domain && c->dns.routes[i].n_resolvers > 0);
    for (size_t i = 0; i < c->dns.n_records; i++)
        need(c->dns.records[i].name && c->dns.records[i].type &&
             c->dns.records[i].value);
    for (size_t i = 0; i < c->derp.paths.n; i++)
        need(c->derp.paths.at[i][0] == '/');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cli_coord_config c;
    cli_coord_config_init(&c, "/etc/remora/coordinator.yaml");
    if (cli_coord_config_parse(&c, rmr_bytes_of(data, size)))
        check_taken(&c);
    else
        need(c.error[0] != '\0' && strlen(c.error) < sizeof c.error);
    cli_coord_config_free(&c);
    return 0;
}
