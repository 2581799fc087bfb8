/* The options of remora relay. */
#include "relay_args.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum opt_id {
    OPT_LISTEN,
    OPT_TLS_CERT,
    OPT_TLS_KEY,
    OPT_INSECURE_HTTP,
    OPT_HTTP,
    OPT_STUN,
    OPT_METRICS,
    OPT_CONFIG,
    OPT_STATE_DIR,
    OPT_MESH_KEY_FILE,
    OPT_MESH_WITH,
    OPT_VERIFY_URL,
    OPT_VERIFY_FAIL_CLOSED,
    OPT_CA_FILE,
    OPT_LOG_LEVEL,
    OPT_HELP
} opt_id;

static const struct opt {
    const char *name;
    opt_id id;
    bool takes_value;
} options[] = {
    {"listen", OPT_LISTEN, true},
    {"tls-cert", OPT_TLS_CERT, true},
    {"tls-key", OPT_TLS_KEY, true},
    {"insecure-http", OPT_INSECURE_HTTP, false},
    {"http", OPT_HTTP, true},
    {"stun", OPT_STUN, true},
    {"metrics", OPT_METRICS, true},
    {"config", OPT_CONFIG, true},
    {"state-dir", OPT_STATE_DIR, true},
    {"mesh-key-file", OPT_MESH_KEY_FILE, true},
    {"mesh-with", OPT_MESH_WITH, true},
    {"verify-clients-url", OPT_VERIFY_URL, true},
    {"verify-fail-closed", OPT_VERIFY_FAIL_CLOSED, false},
    {"ca-file", OPT_CA_FILE, true},
    {"log-level", OPT_LOG_LEVEL, true},
    {"help", OPT_HELP, false},
};

bool cli_relay_wrong(cli_relay_args *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(a->error, sizeof a->error, fmt, ap);
    va_end(ap);
    return false;
}

static const struct opt *find(const char *name, size_t len)
{
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        if (strlen(options[i].name) == len &&
            memcmp(options[i].name, name, len) == 0) {
            return &options[i];
        }
    }
    return NULL;
}

bool cli_relay_option(const char *name, bool *takes_value)
{
    const struct opt *o = find(name, strlen(name));
    if (o == NULL || o->id == OPT_CONFIG || o->id == OPT_HELP) {
        return false;
    }
    *takes_value = o->takes_value;
    return true;
}

/* ---- values ------------------------------------------------------------ */

static bool add_addr(cli_relay_args *a, const char *name, cli_relay_addrs *to,
                     const char *v)
{
    rmr_addr addr;
    if (rmr_addr_parse(rmr_bytes_str(v), &addr) != RMR_OK) {
        return cli_relay_wrong(a,
                               "--%s takes an address and a port to listen at, "
                               "such as 0.0.0.0:443 or [::]:443, not '%s'",
                               name, v);
    }
    if (to->n == CLI_RELAY_MAX_ADDRS) {
        return cli_relay_wrong(a, "--%s can be given %d times", name,
                               CLI_RELAY_MAX_ADDRS);
    }
    to->at[to->n++] = addr;
    return true;
}

static bool set_text(cli_relay_args *a, const char *name, const char **to,
                     const char *v, bool from_file)
{
    if (*v == '\0') {
        return cli_relay_wrong(a, "--%s needs a value, not nothing", name);
    }
    if (!from_file || *to == NULL) {
        *to = v;
    }
    return true;
}

static bool add_mesh(cli_relay_args *a, const char *v)
{
    if (a->n_mesh == CLI_RELAY_MAX_MESH) {
        return cli_relay_wrong(a, "--mesh-with can be given %d times",
                               CLI_RELAY_MAX_MESH);
    }
    if (rmr_relay_mesh_dial(v, &a->mesh[a->n_mesh]) != RMR_OK) {
        return cli_relay_wrong(a,
                               "--mesh-with takes another relay's host name, "
                               "such as derp1b.example.com or "
                               "derp1b.example.com:8443, not '%s'",
                               v);
    }
    a->n_mesh++;
    return true;
}

/* Its beginning up to the path is a place, as that of a mesh's relay. */
static bool is_url(const char *v)
{
    char place[RMR_HOST_MAX + 16];
    rmr_dial dial;
    size_t scheme = strncmp(v, "http://", 7) == 0    ? 7
                    : strncmp(v, "https://", 8) == 0 ? 8
                                                     : 0;
    size_t len = scheme + strcspn(v + scheme, "/?#");
    if (scheme == 0 || len >= sizeof place || strpbrk(v, " \t\r\n") != NULL) {
        return false;
    }
    memcpy(place, v, len);
    place[len] = '\0';
    return rmr_relay_mesh_dial(place, &dial) == RMR_OK;
}

static bool set_url(cli_relay_args *a, const char *v, bool from_file)
{
    if (!is_url(v)) {
        return cli_relay_wrong(a,
                               "--verify-clients-url takes an http or https "
                               "URL, such as "
                               "https://headscale.example.com/verify, not '%s'",
                               v);
    }
    return set_text(a, "verify-clients-url", &a->verify_url, v, from_file);
}

static bool set_log_level(cli_relay_args *a, const char *v)
{
    static const char *const names[] = {"off",  "error", "warn",
                                        "info", "debug", "trace"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i], v) == 0) {
            a->log_level = (rmr_log_level)i;
            return true;
        }
    }
    return cli_relay_wrong(a,
                           "--log-level takes off, error, warn, info, debug or "
                           "trace, not '%s'",
                           v);
}

bool cli_relay_apply(cli_relay_args *a, const char *name, const char *v,
                     bool from_file)
{
    const struct opt *o = find(name, strlen(name));
    switch (o != NULL ? o->id : OPT_HELP) {
    case OPT_LISTEN:
        return add_addr(a, name, &a->listen, v);
    case OPT_TLS_CERT:
        return set_text(a, name, &a->tls_cert, v, from_file);
    case OPT_TLS_KEY:
        return set_text(a, name, &a->tls_key, v, from_file);
    case OPT_INSECURE_HTTP:
        a->insecure_http = true;
        return true;
    case OPT_HTTP:
        return add_addr(a, name, &a->http, v);
    case OPT_STUN:
        return add_addr(a, name, &a->stun, v);
    case OPT_METRICS:
        return add_addr(a, name, &a->metrics, v);
    case OPT_CONFIG:
        return set_text(a, name, &a->config, v, from_file);
    case OPT_STATE_DIR:
        return set_text(a, name, &a->state_dir, v, from_file);
    case OPT_MESH_KEY_FILE:
        return set_text(a, name, &a->mesh_key_file, v, from_file);
    case OPT_MESH_WITH:
        return add_mesh(a, v);
    case OPT_VERIFY_URL:
        return set_url(a, v, from_file);
    case OPT_VERIFY_FAIL_CLOSED:
        a->verify_fail_closed = true;
        return true;
    case OPT_CA_FILE:
        return set_text(a, name, &a->ca_file, v, from_file);
    case OPT_LOG_LEVEL:
        return set_log_level(a, v);
    case OPT_HELP:
        a->help = true;
        return true;
    }
    return true;
}

/* ---- the command line -------------------------------------------------- */

static bool one_option(cli_relay_args *a, int argc, char **argv, int *i)
{
    const char *arg = argv[*i];
    const char *name = arg + 2;
    const char *value = strchr(arg, '=');
    size_t len = value != NULL ? (size_t)(value - name) : strlen(name);
    const struct opt *o = find(name, len);
    if (o == NULL) {
        return cli_relay_wrong(
            a, "relay has no option '--%.*s'; see remora relay --help",
            (int)len, name);
    }
    if (!o->takes_value) {
        if (value != NULL) {
            return cli_relay_wrong(a, "--%s takes no value", o->name);
        }
        return cli_relay_apply(a, o->name, NULL, false);
    }
    if (value == NULL && *i + 1 >= argc) {
        return cli_relay_wrong(a, "--%s needs a value; see remora relay --help",
                               o->name);
    }
    value = value != NULL ? value + 1 : argv[++*i];
    return cli_relay_apply(a, o->name, value, false);
}

bool cli_relay_args_parse(cli_relay_args *a, int argc, char **argv)
{
    memset(a, 0, sizeof *a);
    a->log_level = RMR_LOG_ERROR; /* trouble is told by events */
    for (int i = 0; i < argc && !a->help; i++) {
        if (strcmp(argv[i], "-h") == 0) {
            a->help = true;
            return true;
        }
        if (strncmp(argv[i], "--", 2) != 0 || argv[i][2] == '\0') {
            return cli_relay_wrong(
                a, "relay takes no '%s' here; see remora relay --help",
                argv[i]);
        }
        if (!one_option(a, argc, argv, &i)) {
            return false;
        }
    }
    return true;
}

bool cli_relay_args_check(cli_relay_args *a)
{
    if (a->listen.n == 0) {
        return cli_relay_wrong(a, "relay needs an address to listen at: "
                                  "--listen 0.0.0.0:443");
    }
    if (a->insecure_http && (a->tls_cert != NULL || a->tls_key != NULL)) {
        return cli_relay_wrong(a, "give --tls-cert and --tls-key, or "
                                  "--insecure-http, not both");
    }
    if (!a->insecure_http && (a->tls_cert == NULL || a->tls_key == NULL)) {
        return cli_relay_wrong(a, "relay needs --tls-cert and --tls-key (or "
                                  "--insecure-http, for tests and behind a "
                                  "proxy)");
    }
    if (a->n_mesh > 0 && a->mesh_key_file == NULL) {
        return cli_relay_wrong(a, "--mesh-with needs --mesh-key-file too");
    }
    if (a->verify_fail_closed && a->verify_url == NULL) {
        return cli_relay_wrong(a, "--verify-fail-closed needs "
                                  "--verify-clients-url too");
    }
    return true;
}

void cli_relay_args_free(cli_relay_args *a)
{
    for (size_t i = 0; i < a->n_kept; i++) {
        free(a->kept[i]);
    }
    free(a->kept);
    free(a->name_addrs);
    memset(a, 0, sizeof *a);
}
