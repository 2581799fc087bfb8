/* Which coordinator is meant: by its socket, or by its URL. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coord_admin_internal.h"
#include "coord_config.h"
#include "secret.h"

#define ENV_ADDRESS "REMORA_COORDINATOR_ADDRESS"
#define ENV_KEY "REMORA_COORDINATOR_API_KEY"

/* This machine itself: what is sent there, nobody else sees.  A name that only
 * looks like such an address is somebody else's. */
static bool is_here(const char *host)
{
    rmr_addr a;
    if (rmr_addr_parse_ip(rmr_bytes_str(host), &a) != RMR_OK) {
        return strcmp(host, "localhost") == 0;
    }
    return rmr_addr_is_loopback(&a);
}

static bool read_url(adm *a, const char *address)
{
    cli_server *s = &a->server;
    s->address = address;
    if (rmr_url_parse(rmr_bytes_str(address), &s->url) != RMR_OK ||
        strcmp(s->url.path, "/") != 0) {
        return adm_misused(a,
                           "--address takes the coordinator's URL, such as "
                           "https://hs.example.com, not '%s'",
                           address);
    }
    if (!s->url.https && !a->args.insecure_http && !is_here(s->url.host)) {
        return adm_misused(a, "by http:// others could read the API key; use "
                              "https://, or allow it with --insecure-http");
    }
    return true;
}

static bool read_key(adm *a)
{
    char error[4500];
    if (a->args.api_key_file != NULL) {
        a->api_key =
            cli_secret_read_file(a->args.api_key_file, error, sizeof error);
        if (a->api_key == NULL) {
            return adm_wrong(a, "%s", error);
        }
    } else {
        a->api_key = cli_secret_take_env(ENV_KEY);
    }
    if (a->api_key == NULL) {
        return adm_misused(a, "--address needs --api-key-file too, with a key "
                              "that remora coordinator apikeys create made "
                              "there");
    }
    a->server.api_key = a->api_key;
    return true;
}

static bool read_ca(adm *a)
{
    char error[4500];
    if (!cli_ca_read(&a->ca, a->args.ca_file, error, sizeof error)) {
        return adm_wrong(a, "%s", error);
    }
    a->server.ca_pem = rmr_bytes_of(a->ca.data, a->ca.len);
    return true;
}

static bool by_socket(adm *a)
{
    char error[800];
    if (a->args.socket != NULL) {
        a->server.socket = a->args.socket;
        return true;
    }
    if (!cli_coord_config_socket(a->args.config, a->socket, sizeof a->socket,
                                 error, sizeof error)) {
        return adm_wrong(a, "%s%s", error,
                         a->args.config == NULL
                             ? "; name it with --config, or the socket with "
                               "--socket"
                             : "");
    }
    a->server.socket = a->socket;
    return true;
}

bool adm_find_server(adm *a)
{
    const char *address = a->args.address;
    if (address != NULL && a->args.socket != NULL) {
        return adm_misused(a, "give --socket or --address, not both");
    }
    if (address == NULL && a->args.socket == NULL && a->args.config == NULL) {
        address = getenv(ENV_ADDRESS);
    }
    if (address == NULL || address[0] == '\0') {
        return a->args.api_key_file == NULL
                   ? by_socket(a)
                   : adm_misused(a, "--api-key-file needs --address too: the "
                                    "local socket asks for no key");
    }
    return read_url(a, address) && read_key(a) &&
           (!a->server.url.https || read_ca(a));
}
