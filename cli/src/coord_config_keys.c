/* The table of the coordinator's settings, and the nearest to a wrong name. */
#include "coord_config_keys.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define AT(field) offsetof(cli_coord_config, field)

static const char endpoint[] = "an address and a port, such as 127.0.0.1:9090";
static const char yes_no[] = "true or false";
static const char count[] = "a number from 1 to 65535";
static const char file[] = "a file's path";
static const char sign_in[] =
    "nodes join by pre-auth keys and by approval here, not by sign-in";
static const char acme[] = "certificates are not fetched here: tls_cert_path "
                           "and tls_key_path name one";

const cli_coord_key cli_coord_keys[] = {
    {"server_url", COORD_TEXT, AT(server_url), "an URL"},
    {"listen_addr", COORD_ADDRS, AT(listen),
     "an address and a port to listen at, such as 0.0.0.0:8080 or [::]:8080"},
    {"metrics_listen_addr", COORD_ADDR, AT(metrics), endpoint},
    {"state_dir", COORD_PATH, AT(state_dir), "a directory"},
    {"unix_socket", COORD_PATH, AT(unix_socket), file},
    {"unix_socket_permission", COORD_MODE, AT(unix_socket_mode),
     "three or four octal digits in quotes, such as \"0770\""},
    {"tls_cert_path", COORD_PATH, AT(tls_cert), file},
    {"tls_key_path", COORD_PATH, AT(tls_key), file},
    {"trusted_proxies", COORD_PREFIXES, AT(proxies),
     "addresses or prefixes of proxies, such as 127.0.0.1/32"},
    {"limits.handshakes_per_second", COORD_NUMBER, AT(handshake_rate), count},
    {"limits.handshakes_at_once", COORD_NUMBER, AT(handshake_burst), count},
    {"noise.private_key_path", COORD_PATH, AT(noise_key), file},
    {"prefixes.v4", COORD_PREFIX, AT(v4), "a prefix such as 100.64.0.0/10"},
    {"prefixes.v6", COORD_PREFIX, AT(v6),
     "a prefix such as fd7a:115c:a1e0::/48"},
    {"prefixes.allocation", COORD_ONLY, 0, "sequential"},
    {"database.type", COORD_ONLY, 0, "sqlite"},
    {"database.sqlite.path", COORD_PATH, AT(database), file},
    {"database.sqlite.write_ahead_log", COORD_ONLY, 0, "true"},
    {"database.sqlite.wal_autocheckpoint", COORD_ANY, 0, NULL},
    {"database.debug", COORD_ANY, 0, NULL},
    {"database.gorm", COORD_ANY, 0, NULL},
    {"database.postgres", COORD_NEVER, 0, "the database is a file of SQLite"},
    {"derp.server.enabled", COORD_BOOL, AT(derp.server.enabled), yes_no},
    {"derp.server.region_id", COORD_NUMBER, AT(derp.server.region_id), count},
    {"derp.server.region_code", COORD_TEXT, AT(derp.server.region_code),
     "a text"},
    {"derp.server.region_name", COORD_TEXT, AT(derp.server.region_name),
     "a text"},
    {"derp.server.listen_addr", COORD_ADDR, AT(derp.server.listen_addr),
     "an address and a port, such as 0.0.0.0:3340"},
    {"derp.server.stun_listen_addr", COORD_ADDR,
     AT(derp.server.stun_listen_addr),
     "an address and a UDP port, such as 0.0.0.0:3478"},
    {"derp.server.private_key_path", COORD_PATH,
     AT(derp.server.private_key_path), file},
    {"derp.server.ipv4", COORD_IP, AT(derp.server.ipv4),
     "an address without a port"},
    {"derp.server.ipv6", COORD_IP, AT(derp.server.ipv6),
     "an address without a port"},
    {"derp.server.verify_clients", COORD_BOOL, AT(derp.server.verify_clients),
     yes_no},
    {"derp.server.automatically_add_embedded_derp_region", COORD_BOOL,
     AT(derp.server.add_region), yes_no},
    {"derp.paths", COORD_PATHS, AT(derp.paths), "paths of files"},
    {"derp.urls", COORD_NEVER, 0,
     "a map is not fetched here: save it as a file and name that in "
     "derp.paths"},
    {"derp.auto_update_enabled", COORD_ANY, 0, NULL},
    {"derp.update_frequency", COORD_ANY, 0, NULL},
    {"dns.magic_dns", COORD_BOOL, AT(magic_dns), yes_no},
    {"dns.base_domain", COORD_TEXT, AT(base_domain),
     "a domain such as tailnet.example.com"},
    {"dns.override_local_dns", COORD_BOOL, AT(override_dns), yes_no},
    {"dns.nameservers.global", COORD_TEXTS, AT(resolvers),
     "addresses of name servers, or their https URLs"},
    {"dns.nameservers.split", COORD_SPLIT, 0,
     "domains, each with a list of name servers"},
    {"dns.search_domains", COORD_TEXTS, AT(search), "domains"},
    {"dns.extra_records", COORD_RECORDS, 0,
     "a list of records, each with name, type and value"},
    {"dns.extra_records_path", COORD_PATH, AT(records_path), file},
    {"policy.mode", COORD_POLICY_MODE, AT(policy_in_database),
     "file or database"},
    {"policy.path", COORD_PATH, AT(policy), file},
    {"policy.open", COORD_BOOL, AT(open), yes_no},
    {"node.expiry", COORD_TIME, AT(node_expiry),
     "a time such as 180d or 12h, or 0 for never"},
    {"node.ephemeral.inactivity_timeout", COORD_TIME, AT(ephemeral_timeout),
     "a time such as 30m"},
    {"ephemeral_node_inactivity_timeout", COORD_TIME, AT(ephemeral_timeout),
     "a time such as 30m"},
    {"node.routes", COORD_ANY, 0, NULL},
    {"log.level", COORD_LEVEL, AT(log_level),
     "off, error, warn, info, debug or trace"},
    {"log.format", COORD_FORMAT, AT(log_json), "text or json"},
    {"disable_check_updates", COORD_ANY, 0, NULL},
    {"logtail.enabled", COORD_ONLY, 0, "false"},
    {"taildrop.enabled", COORD_ANY, 0, NULL},
    {"grpc_listen_addr", COORD_ANY, 0, NULL},
    {"grpc_allow_insecure", COORD_ANY, 0, NULL},
    {"randomize_client_port", COORD_ONLY, 0, "false"},
    {"tuning", COORD_ANY, 0, NULL},
    {"cli", COORD_ANY, 0, NULL},
    {"oidc", COORD_NEVER, 0, sign_in},
    {"acme_url", COORD_ANY, 0, NULL},
    {"acme_email", COORD_NEVER, 0, acme},
    {"tls_letsencrypt_hostname", COORD_NEVER, 0, acme},
    {"tls_letsencrypt_cache_dir", COORD_ANY, 0, NULL},
    {"tls_letsencrypt_challenge_type", COORD_ANY, 0, NULL},
    {"tls_letsencrypt_listen", COORD_ANY, 0, NULL},
};
const size_t cli_coord_n_keys =
    sizeof cli_coord_keys / sizeof cli_coord_keys[0];

_Static_assert(sizeof cli_coord_keys / sizeof cli_coord_keys[0] <= 128,
               "cli_coord_config.seen has a bit for each");

const cli_coord_key *cli_coord_key_find(const char *path)
{
    for (size_t i = 0; i < cli_coord_n_keys; i++) {
        if (strcmp(cli_coord_keys[i].path, path) == 0) {
            return &cli_coord_keys[i];
        }
    }
    return NULL;
}

bool cli_coord_key_is_section(const char *path)
{
    size_t n = strlen(path);
    for (size_t i = 0; i < cli_coord_n_keys; i++) {
        if (strncmp(cli_coord_keys[i].path, path, n) == 0 &&
            cli_coord_keys[i].path[n] == '.') {
            return true;
        }
    }
    return false;
}

bool cli_coord_key_seen(const cli_coord_config *c, const char *path)
{
    const cli_coord_key *k = cli_coord_key_find(path);
    size_t i = k != NULL ? (size_t)(k - cli_coord_keys) : 0;
    return k != NULL && (c->seen[i / 64] >> i % 64 & 1) != 0;
}

/* ---- the nearest --------------------------------------------------------- */

#define LONGEST 96

/* How many letters must be put in, left out or changed (Levenshtein). */
static size_t distance(const char *a, size_t na, const char *b, size_t nb)
{
    size_t row[LONGEST + 1];
    for (size_t j = 0; j <= nb; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= na; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best) {
                best = row[j] + 1;
            }
            if (row[j - 1] + 1 < best) {
                best = row[j - 1] + 1;
            }
            row[j] = best;
        }
    }
    return row[nb];
}

static size_t last_part(const char *path, size_t n)
{
    while (n > 0 && path[n - 1] != '.') {
        n--;
    }
    return n;
}

/* Names that are nothing here are suggested to nobody. */
static bool has_meaning(const cli_coord_key *k)
{
    return k->kind != COORD_ANY && k->kind != COORD_NEVER &&
           k->kind != COORD_ONLY;
}

/* The right name in the wrong place is near too. */
static size_t how_far(const char *path, size_t n, const char *other, size_t m)
{
    size_t a = last_part(path, n), b = last_part(other, m);
    size_t d = distance(path, n, other, m);
    size_t d_last = distance(path + a, n - a, other + b, m - b) + 2;
    return d < d_last ? d : d_last;
}

void cli_coord_key_nearest(const char *path, char *dst, size_t cap)
{
    size_t least = (size_t)-1;
    size_t n = strlen(path) < LONGEST ? strlen(path) : LONGEST;
    for (size_t i = 0; i < cli_coord_n_keys; i++) {
        const char *other = cli_coord_keys[i].path;
        if (!has_meaning(&cli_coord_keys[i])) {
            continue;
        }
        for (size_t m = 1; m <= strlen(other); m++) {
            if (other[m] != '.' && other[m] != '\0') {
                continue; /* neither a section's name nor the setting's */
            }
            size_t d = how_far(path, n, other, m);
            if (d < least) {
                least = d;
                (void)snprintf(dst, cap, "%.*s", (int)m, other);
            }
        }
    }
}
