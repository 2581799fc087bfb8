/* The options of serve, configtest and init. */
#include "coord_args.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <remora/addr.h>

static bool wrong(cli_coord_args *a, const char *fmt, ...) RMR_PRINTF(2, 3);
static bool wrong(cli_coord_args *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(a->error, sizeof a->error, fmt, ap);
    va_end(ap);
    return false;
}

static const struct opt {
    const char *name, *words; /* whose it is; NULL: all have it */
    char letter;
    bool takes_value;
} options[] = {
    {"config", "serve configtest", 'c', true},
    {"dir", "init", '\0', true},
    {"server-url", "init", '\0', true},
    {"listen", "init", '\0', true},
    {"json", "serve", '\0', false},
    {"help", NULL, 'h', false},
};

static const struct opt *find(const cli_coord_args *a, const char *arg)
{
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        const struct opt *o = &options[i];
        size_t n = strlen(o->name);
        if (o->words != NULL && strstr(o->words, a->word) == NULL) {
            continue;
        }
        if ((arg[0] == '-' && o->letter != '\0' && arg[1] == o->letter &&
             arg[2] == '\0') ||
            (strncmp(arg, "--", 2) == 0 && strncmp(arg + 2, o->name, n) == 0 &&
             (arg[2 + n] == '\0' || arg[2 + n] == '='))) {
            return o;
        }
    }
    return NULL;
}

static bool set(cli_coord_args *a, const struct opt *o, const char *v)
{
    rmr_addr at;
    switch (o->name[0]) {
    case 'c':
        a->config = v;
        return *v != '\0' || wrong(a, "--config takes a file of YAML");
    case 'd':
        a->dir = v;
        return *v != '\0' || wrong(a, "--dir takes a directory, not nothing");
    case 's':
        a->server_url = v;
        return strncmp(v, "http://", 7) == 0 ||
               strncmp(v, "https://", 8) == 0 ||
               wrong(a,
                     "--server-url takes an URL, such as "
                     "https://tailnet.example.com, not '%s'",
                     v);
    case 'l':
        a->listen = v;
        return rmr_addr_parse(rmr_bytes_str(v), &at) == RMR_OK ||
               wrong(a,
                     "--listen takes an address and a port, such as "
                     "0.0.0.0:8080, not '%s'",
                     v);
    case 'j':
        a->json = true;
        return true;
    default:
        a->help = true;
        return true;
    }
}

bool cli_coord_args_parse(cli_coord_args *a, int argc, char **argv)
{
    memset(a, 0, sizeof *a);
    a->word = argv[0];
    for (int i = 1; i < argc && !a->help; i++) {
        const char *arg = argv[i], *value = strchr(arg, '=');
        const struct opt *o = find(a, arg);
        if (o == NULL) {
            return wrong(a,
                         "coordinator %s takes no '%s'; see remora coordinator "
                         "%s --help",
                         a->word, arg, a->word);
        }
        if (!o->takes_value && value != NULL) {
            return wrong(a, "--%s takes no value", o->name);
        }
        if (o->takes_value && value == NULL && i + 1 >= argc) {
            return wrong(a,
                         "--%s needs a value; see remora coordinator %s "
                         "--help",
                         o->name, a->word);
        }
        if (o->takes_value && value == NULL) {
            value = argv[++i];
        } else if (value != NULL) {
            value++;
        }
        if (!set(a, o, value)) {
            return false;
        }
    }
    return true;
}
