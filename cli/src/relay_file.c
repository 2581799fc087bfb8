/* The configuration file of remora relay: a JSON object (comments and trailing
 * commas are fine) whose keys are the options' names, and a few that have no
 * option. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <remora/json.h>

#include "relay_args.h"

#define MAX_NAME_ADDRS 1024

typedef struct reader {
    cli_relay_args *a;
    char key[64];   /* of the top object */
    char host[256]; /* of "bootstrap-dns" */
    unsigned depth;
    bool in_names;
} reader;

static const char rate_key[] = "PerClientRateLimitBytesPerSec";
static const char burst_key[] = "PerClientRateBurstBytes";
static const char names_key[] = "bootstrap-dns";

static bool copy_key(char *dst, size_t cap, rmr_bytes text)
{
    if (text.len >= cap) {
        return false;
    }
    memcpy(dst, text.ptr, text.len);
    dst[text.len] = '\0';
    return true;
}

static const char *keep(cli_relay_args *a, rmr_bytes text)
{
    char **more = realloc(a->kept, (a->n_kept + 1) * sizeof *more);
    char *copy = malloc(text.len + 1);
    if (more != NULL) {
        a->kept = more;
    }
    if (more == NULL || copy == NULL) {
        free(copy);
        return NULL;
    }
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    a->kept[a->n_kept++] = copy;
    return copy;
}

static rmr_err wrong(reader *r, const char *what)
{
    (void)cli_relay_wrong(r->a, "\"%s\" %s", r->key, what);
    return RMR_E_INVAL;
}

/* ---- "bootstrap-dns": {"host": ["address", ...]} ----------------------- */

static rmr_err begin_name(reader *r)
{
    cli_relay_args *a = r->a;
    const char *host = keep(a, rmr_bytes_str(r->host));
    if (host == NULL) {
        return RMR_E_NOMEM;
    }
    if (a->n_names == CLI_RELAY_MAX_NAMES) {
        return wrong(r, "has too many names");
    }
    a->names[a->n_names++].host = host;
    return RMR_OK;
}

static rmr_err add_name_addr(reader *r, rmr_bytes text)
{
    cli_relay_args *a = r->a;
    rmr_addr addr;
    if (a->n_names == 0 || rmr_addr_parse_ip(text, &addr) != RMR_OK) {
        return wrong(r, "takes an object of host names, each with an array of "
                        "addresses");
    }
    if (a->name_addrs == NULL) {
        a->name_addrs = calloc(MAX_NAME_ADDRS, sizeof *a->name_addrs);
        if (a->name_addrs == NULL) {
            return RMR_E_NOMEM;
        }
    }
    if (a->n_name_addrs == MAX_NAME_ADDRS) {
        return wrong(r, "has too many addresses");
    }
    rmr_relay_name *name = &a->names[a->n_names - 1];
    if (name->n_addrs == 0) {
        name->addrs = &a->name_addrs[a->n_name_addrs];
    }
    a->name_addrs[a->n_name_addrs++] = addr;
    name->n_addrs++;
    return RMR_OK;
}

/* ---- values ------------------------------------------------------------ */

static rmr_err number(reader *r, rmr_json_kind kind, rmr_bytes text)
{
    int64_t n = 0;
    if (rmr_json_int(kind, text, &n) != RMR_OK || n < 0) {
        return wrong(r, "takes a number of bytes, 0 or more");
    }
    if (strcmp(r->key, rate_key) == 0) {
        r->a->rate_bytes = (uint64_t)n;
    } else {
        r->a->rate_burst = (uint64_t)n;
    }
    return RMR_OK;
}

static rmr_err option(reader *r, rmr_json_kind kind, rmr_bytes text)
{
    bool takes_value = false;
    const char *value = NULL;
    if (!cli_relay_option(r->key, &takes_value)) {
        return wrong(r, "is no setting; the keys are the options of remora "
                        "relay --help without their dashes");
    }
    if (!takes_value && kind == RMR_JSON_FALSE) {
        return RMR_OK;
    }
    if (takes_value != (kind == RMR_JSON_STRING) ||
        (!takes_value && kind != RMR_JSON_TRUE)) {
        return wrong(r, takes_value ? "takes a text" : "takes true or false");
    }
    if (takes_value) {
        value = keep(r->a, text);
        if (value == NULL) {
            return RMR_E_NOMEM;
        }
    }
    return cli_relay_apply(r->a, r->key, value, true) ? RMR_OK : RMR_E_INVAL;
}

static rmr_err value(reader *r, rmr_json_kind kind, rmr_bytes text)
{
    if (r->depth == 0) {
        return RMR_E_MALFORMED; /* no object at all */
    }
    if (r->in_names) {
        return add_name_addr(r, kind == RMR_JSON_STRING ? text
                                                        : rmr_bytes_str(""));
    }
    if (strcmp(r->key, rate_key) == 0 || strcmp(r->key, burst_key) == 0) {
        return number(r, kind, text);
    }
    return option(r, kind, text);
}

static rmr_err nest(reader *r, rmr_json_kind kind)
{
    r->depth++;
    if (r->depth == 1) {
        return kind == RMR_JSON_OBJECT ? RMR_OK : RMR_E_MALFORMED;
    }
    if (r->depth == 2 && kind == RMR_JSON_OBJECT) {
        r->in_names = strcmp(r->key, names_key) == 0;
        return r->in_names ? RMR_OK : wrong(r, "takes no object");
    }
    /* Lists: of an option that may be given more than once, of addresses. */
    if (kind == RMR_JSON_ARRAY && (r->depth == 2 || r->in_names)) {
        return RMR_OK;
    }
    return wrong(r, "is nested too deep");
}

static rmr_err token(void *user, rmr_json_kind kind, rmr_bytes text)
{
    reader *r = user;
    switch (kind) {
    case RMR_JSON_OBJECT:
    case RMR_JSON_ARRAY:
        return nest(r, kind);
    case RMR_JSON_OBJECT_END:
    case RMR_JSON_ARRAY_END:
        r->depth--;
        r->in_names = r->in_names && r->depth > 1;
        return RMR_OK;
    case RMR_JSON_KEY:
        if (r->depth == 1) {
            return copy_key(r->key, sizeof r->key, text) ? RMR_OK
                                                         : RMR_E_TOOBIG;
        }
        if (!copy_key(r->host, sizeof r->host, text)) {
            return RMR_E_TOOBIG;
        }
        return begin_name(r);
    default:
        return value(r, kind, text);
    }
}

bool cli_relay_args_file(cli_relay_args *a, const char *path, rmr_bytes text)
{
    uint8_t scratch[4096];
    char why[sizeof a->error];
    rmr_json json;
    reader r;
    memset(&r, 0, sizeof r);
    r.a = a;
    a->error[0] = '\0';
    rmr_json_init(&json, rmr_buf_of(scratch, sizeof scratch), token, &r);
    rmr_json_allow_hujson(&json);
    rmr_err err = rmr_json_feed(&json, text);
    if (err == RMR_OK) {
        err = rmr_json_end(&json);
    }
    if (err == RMR_OK) {
        return true;
    }
    (void)snprintf(why, sizeof why, "%s", a->error);
    if (why[0] != '\0') {
        return cli_relay_wrong(a, "%.100s: %.200s", path, why);
    }
    if (err == RMR_E_NOMEM) {
        return cli_relay_wrong(a, "out of memory");
    }
    return cli_relay_wrong(a, "%.200s is not a JSON object (at byte %llu)",
                           path, (unsigned long long)json.offset);
}
