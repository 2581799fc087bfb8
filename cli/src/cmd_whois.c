/* remora whois */
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "local_client.h"
#include "print.h"

enum {
    F_NODE = 1,
    F_USER,
    F_NAME,
    F_ID,
    F_ADDRS,
    F_HOST,
    F_OS,
    F_TAGS,
    F_LOGIN,
    F_DISPLAY
};

static const rmr_json_field host_fields[] = {
    {"Hostname", F_HOST, NULL, 0},
    {"OS", F_OS, NULL, 0},
};
static const rmr_json_field node_fields[] = {
    {"Name", F_NAME, NULL, 0},       {"StableID", F_ID, NULL, 0},
    {"Addresses", F_ADDRS, NULL, 0}, {"Hostinfo", 0, host_fields, 2},
    {"Tags", F_TAGS, NULL, 0},
};
static const rmr_json_field user_fields[] = {
    {"LoginName", F_LOGIN, NULL, 0},
    {"DisplayName", F_DISPLAY, NULL, 0},
};
static const rmr_json_field top_fields[] = {
    {"Node", F_NODE, node_fields, sizeof node_fields / sizeof node_fields[0]},
    {"UserProfile", F_USER, user_fields, 2},
};

typedef struct who { /* all text is clean */
    char name[256], id[64], host[128], os[32], login[128], display[128];
    char addrs[512], tags[512]; /* with ", " between them */
} who;

static void append(char *dst, size_t cap, rmr_bytes text)
{
    size_t n = strlen(dst);
    if (n > 0 && n + 2 < cap) {
        memcpy(dst + n, ", ", 3);
        n += 2;
    }
    cli_clean_copy(dst + n, cap - n, text);
}

/* "100.64.0.2/32" is "100.64.0.2": every node's own address is alone. */
static rmr_bytes address(rmr_bytes text)
{
    const uint8_t *slash = memchr(text.ptr, '/', text.len);
    if (slash != NULL) {
        text.len = (size_t)(slash - text.ptr);
    }
    return text;
}

static rmr_err take_value(void *user, uint32_t id, rmr_json_kind kind,
                          rmr_bytes text)
{
    who *w = user;
    if (kind != RMR_JSON_STRING) {
        return RMR_OK;
    }
    switch (id) {
    case F_NAME:
        if (text.len > 0 && text.ptr[text.len - 1] == '.') {
            text.len--;
        }
        cli_clean_copy(w->name, sizeof w->name, text);
        break;
    case F_ID:
        cli_clean_copy(w->id, sizeof w->id, text);
        break;
    case F_ADDRS:
        append(w->addrs, sizeof w->addrs, address(text));
        break;
    case F_HOST:
        cli_clean_copy(w->host, sizeof w->host, text);
        break;
    case F_OS:
        cli_clean_copy(w->os, sizeof w->os, text);
        break;
    case F_TAGS:
        append(w->tags, sizeof w->tags, text);
        break;
    case F_LOGIN:
        cli_clean_copy(w->login, sizeof w->login, text);
        break;
    case F_DISPLAY:
        cli_clean_copy(w->display, sizeof w->display, text);
        break;
    default:
        break;
    }
    return RMR_OK;
}

static void print_field(const char *name, const char *value)
{
    if (value[0] != '\0') {
        (void)printf("%-10s %s\n", name, value);
    }
}

static bool print_who(rmr_bytes json)
{
    uint8_t scratch[4096];
    rmr_json_bind bind;
    who w;
    rmr_json_bind_callbacks cb = {&w, NULL, take_value};

    memset(&w, 0, sizeof w);
    rmr_json_bind_init(&bind, rmr_buf_of(scratch, sizeof scratch), top_fields,
                       (uint32_t)(sizeof top_fields / sizeof top_fields[0]),
                       &cb);
    if (rmr_json_bind_feed(&bind, json) != RMR_OK ||
        rmr_json_bind_end(&bind) != RMR_OK || w.id[0] == '\0') {
        return false;
    }
    print_field("Name", w.name);
    print_field("ID", w.id);
    print_field("Addresses", w.addrs);
    print_field("Host name", w.host);
    print_field("System", w.os);
    print_field("Tags", w.tags);
    print_field("User", w.login);
    print_field("User name", w.display);
    return true;
}

static bool ask(cli_local *c, const cli_args *a)
{
    uint8_t text[1024];
    rmr_jw w;
    rmr_jw_init(&w, rmr_buf_of(text, sizeof text));
    rmr_jw_object(&w);
    rmr_jw_kstr(&w, "op", "whois");
    rmr_jw_kstr(&w, "peer", a->peer);
    rmr_jw_object_end(&w);
    return cli_local_open(c, a->state_dir) && cli_local_send(c, &w);
}

int cli_whois(const cli_args *a)
{
    cli_local c;
    rmr_bytes line = {0};
    cli_line got = ask(&c, a) ? cli_local_line(&c, &line) : CLI_LINE_FAILED;
    bool ok = cli_local_show(got, line, a->json, print_who);
    cli_local_close(&c);
    return ok ? CLI_EXIT_OK : CLI_EXIT_FAILED;
}
