/* remora coordinator init: a configuration to begin with, and its policy. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <remora/http1.h>

#include "commands.h"
#include "coord_args.h"
#include "coord_config.h"
#include "files.h"
#include "help.h"
#include "print.h"

#define DEFAULT_URL "http://127.0.0.1:8080"
#define DEFAULT_LISTEN "127.0.0.1:8080"

static const char config_name[] = "coordinator.yaml";
static const char policy_name[] = "policy.hujson";

static const char policy_text[] =
    "// Who may reach whom; Headscale's and Tailscale's policy files are "
    "read.\n"
    "// After a change: kill -HUP the server, which tells the open nodes, or\n"
    "// says what is wrong and keeps the old one.\n"
    "{\n"
    "  \"acls\": [\n"
    "    // Each user's nodes reach each other, and nobody else's.\n"
    "    {\"action\": \"accept\", \"src\": [\"autogroup:member\"], \"dst\": "
    "[\"autogroup:self:*\"]},\n"
    "\n"
    "    // Everybody reaches port 443 of nodes with a tag; see tagOwners.\n"
    "    // {\"action\": \"accept\", \"src\": [\"autogroup:member\"], \"dst\": "
    "[\"tag:server:443\"]},\n"
    "  ],\n"
    "\n"
    "  // \"tagOwners\": {\"tag:server\": [\"alice@\"]},\n"
    "  // \"groups\": {\"group:family\": [\"alice@\", \"bob@\"]},\n"
    "  // \"autoApprovers\": {\"routes\": {\"192.168.0.0/16\": "
    "[\"tag:server\"]}},\n"
    "}\n";

/* With the URL, where it listens, the state's directory, and where the relay
 * and STUN listen. */
static const char config_text[] =
    "# The configuration of remora coordinator. What is commented out shows "
    "the\n"
    "# default, or an example. Names are Headscale's; paths are found from "
    "this\n"
    "# file's directory.\n"
    "\n"
    "# The URL by which nodes reach the server. Behind a proxy that does TLS: "
    "the\n"
    "# proxy's.\n"
    "server_url: \"%s\"\n"
    "# Where it listens: one address and port, or a list.\n"
    "listen_addr: \"%s\"\n"
    "# Prometheus' figures at /metrics; no other page, and no password.\n"
    "# metrics_listen_addr: \"127.0.0.1:9090\"\n"
    "\n"
    "# Its keys, its database and its local socket, for the owner alone.\n"
    "state_dir: \"%s\"\n"
    "# unix_socket: \"/run/remora/coordinator.sock\"\n"
    "# unix_socket_permission: \"0700\"\n"
    "\n"
    "# TLS by the server itself; SIGHUP reads a renewed certificate.\n"
    "# tls_cert_path: \"fullchain.pem\"\n"
    "# tls_key_path: \"privkey.pem\"\n"
    "\n"
    "# Proxies in front, which are believed who asks (X-Forwarded-For, "
    "X-Real-IP).\n"
    "# trusted_proxies: [\"127.0.0.1/32\", \"::1/128\"]\n"
    "\n"
    "# Where nodes' addresses are taken from.\n"
    "# prefixes:\n"
    "#   v4: \"100.64.0.0/10\"\n"
    "#   v6: \"fd7a:115c:a1e0::/48\"\n"
    "\n"
    "# Who may reach whom. mode: file is changed by an editor and SIGHUP;\n"
    "# mode: database, without path, by remora coordinator policy set.\n"
    "policy:\n"
    "  mode: file\n"
    "  path: \"policy.hujson\"\n"
    "\n"
    "dns:\n"
    "  # Nodes are NAME.base_domain; not the domain that server_url is in.\n"
    "  base_domain: \"tailnet.internal\"\n"
    "  # magic_dns: true\n"
    "  # override_local_dns: true\n"
    "  # nameservers:\n"
    "  #   global: [\"9.9.9.9\"]\n"
    "  #   split: {\"corp.example.com\": [\"192.0.2.53\"]}\n"
    "  # search_domains: [\"example.com\"]\n"
    "  # extra_records: [{name: \"wiki.tailnet.internal\", type: A, value: "
    "\"100.64.0.7\"}]\n"
    "\n"
    "# Relays, for nodes that find no direct path: the one inside, or maps in "
    "files.\n"
    "derp:\n"
    "  server:\n"
    "    # Open these two ports to the nodes: TCP for the relay, UDP for "
    "STUN.\n"
    "    enabled: true\n"
    "    listen_addr: \"%s\"\n"
    "    stun_listen_addr: \"%s\"\n"
    "    # region_id: 999\n"
    "    # region_code: remora\n"
    "    # region_name: remora\n"
    "    # verify_clients: true\n"
    "  # paths: [\"derp.yaml\"]\n"
    "\n"
    "# node:\n"
    "#   expiry: 0                    # how long a node's key lasts, such as "
    "180d\n"
    "#   ephemeral:\n"
    "#     inactivity_timeout: 2m\n"
    "\n"
    "log:\n"
    "  level: info                    # off, error, warn, info, debug, trace\n"
    "  format: text                   # or json\n";

typedef struct init {
    cli_coord_args args;
    cli_coord_config cfg; /* what was written, read again */
    char dir[CLI_COORD_PATH_MAX];
    char config[CLI_COORD_PATH_MAX], policy[CLI_COORD_PATH_MAX];
    char text[16384];
    char error[1024];
} init;

/* ---- where --------------------------------------------------------------- */

static bool find_dir(init *n)
{
    const char *dir = n->args.dir != NULL ? n->args.dir : "/etc/remora";
    size_t len = strlen(dir);
    while (len > 1 && dir[len - 1] == '/') {
        len--;
    }
    if (len + sizeof config_name + 1 >= sizeof n->dir) {
        (void)snprintf(n->error, sizeof n->error, "--dir takes a shorter path");
        return false;
    }
    (void)snprintf(n->dir, sizeof n->dir, "%.*s", (int)len, dir);
    (void)snprintf(n->config, sizeof n->config, "%.4000s/%s", n->dir,
                   config_name);
    (void)snprintf(n->policy, sizeof n->policy, "%.4000s/%s", n->dir,
                   policy_name);
    return true;
}

static bool make_dir(init *n)
{
    struct stat st;
    cli_make_private_dir(n->config);
    if (mkdir(n->dir, 0700) == 0) { /* it was not made: errno says why */
        return true;
    }
    if (errno == EEXIST && stat(n->dir, &st) == 0 && S_ISDIR(st.st_mode)) {
        return true;
    }
    if (errno == EEXIST) {
        errno = ENOTDIR;
    }
    (void)snprintf(n->error, sizeof n->error,
                   "can't make the directory %.800s: %s", n->dir,
                   strerror(errno));
    return false;
}

/* ---- what ---------------------------------------------------------------- */

static bool is_loopback(const rmr_url *url)
{
    rmr_addr a;
    return strcmp(url->host, "localhost") == 0 ||
           (rmr_addr_parse_ip(rmr_bytes_str(url->host), &a) == RMR_OK &&
            rmr_addr_is_loopback(&a));
}

/* The relay and STUN listen beside the server; but everywhere, where that is
 * on loopback behind a proxy: nodes reach them without it. */
static void beside(const rmr_addr *at, const char *url, uint16_t port,
                   char *dst)
{
    rmr_url u;
    rmr_addr a = *at;
    if (rmr_addr_is_loopback(at) &&
        rmr_url_parse(rmr_bytes_str(url), &u) == RMR_OK && !is_loopback(&u)) {
        memset(a.ip, 0, sizeof a.ip);
    }
    a.port = port;
    (void)rmr_addr_text(&a, dst);
}

static bool compose(init *n, const char *listen)
{
    char relay[RMR_ADDR_TEXT_MAX], stun[RMR_ADDR_TEXT_MAX];
    const char *url =
        n->args.server_url != NULL ? n->args.server_url : DEFAULT_URL;
    rmr_addr at;
    if (strpbrk(url, "\"\\") != NULL) { /* it stands in quotes there */
        (void)snprintf(n->error, sizeof n->error, "--server-url takes an URL");
        return false;
    }
    (void)rmr_addr_parse(rmr_bytes_str(listen), &at); /* args looked at it */
    beside(&at, url, 3340, relay);
    beside(&at, url, 3478, stun);
    (void)snprintf(n->text, sizeof n->text, config_text, url, listen,
                   n->args.dir != NULL ? "state"
                                       : "/var/lib/remora/coordinator",
                   relay, stun);
    /* It must be one that serve takes: a wrong URL is told before there is a
     * file of it. */
    cli_coord_config_init(&n->cfg, n->config);
    if (!cli_coord_config_parse(&n->cfg, rmr_bytes_str(n->text))) {
        (void)snprintf(n->error, sizeof n->error, "%s", n->cfg.error);
        return false;
    }
    return true;
}

static bool write_config(init *n)
{
    return cli_file_create(n->config, rmr_bytes_str(n->text), n->error,
                           sizeof n->error);
}

/* One that is there is somebody's: it stays. */
static bool write_policy(init *n)
{
    if (access(n->policy, F_OK) == 0) {
        return true;
    }
    return cli_file_create(n->policy, rmr_bytes_str(policy_text), n->error,
                           sizeof n->error);
}

static bool is_there(init *n)
{
    if (access(n->config, F_OK) != 0) {
        return false;
    }
    (void)snprintf(n->error, sizeof n->error,
                   "there is a file %.800s already; it stays as it is",
                   n->config);
    return true;
}

static void say_next(const init *n)
{
    (void)printf("wrote %s and %s\n"
                 "\n"
                 "Look at server_url and listen_addr in it, then:\n"
                 "  remora coordinator serve --config %s\n"
                 "and, while it runs:\n"
                 "  remora coordinator users create alice --config %s\n"
                 "  remora coordinator preauthkeys create --user alice "
                 "--config %s\n"
                 "  remora up --control-url %s --auth-key KEY\n",
                 n->config, policy_name, n->config, n->config, n->config,
                 n->cfg.server_url);
}

static int do_init(init *n)
{
    const char *listen =
        n->args.listen != NULL ? n->args.listen : DEFAULT_LISTEN;
    if (!find_dir(n) || is_there(n) || !compose(n, listen) || !make_dir(n) ||
        !write_policy(n) || !write_config(n)) {
        cli_complain("%s", n->error);
        return CLI_EXIT_FAILED;
    }
    say_next(n);
    return CLI_EXIT_OK;
}

int cli_coord_init(int argc, char **argv)
{
    init *n = calloc(1, sizeof *n);
    int code = CLI_EXIT_USAGE;
    if (n == NULL) {
        cli_complain("out of memory");
        return CLI_EXIT_FAILED;
    }
    if (!cli_coord_args_parse(&n->args, argc, argv)) {
        cli_complain("%s", n->args.error);
    } else if (n->args.help) {
        (void)fputs(cli_help_coord_init, stdout);
        code = CLI_EXIT_OK;
    } else {
        code = do_init(n);
    }
    cli_coord_config_free(&n->cfg);
    free(n);
    return code;
}
