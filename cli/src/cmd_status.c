/* remora status */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <remora/text.h>

#include "commands.h"
#include "local_client.h"
#include "print.h"

enum {
    F_BACKEND_STATE = 1,
    F_HEALTH,
    F_AUTH_URL,
    F_SELF,
    F_PEERS,
    F_PEER,
    F_IPS,
    F_HOST,
    F_DNS,
    F_OS,
    F_ONLINE,
    F_EXIT,
    F_EXIT_OPTION,
    F_RELAY,
    F_ADDR,
    F_RX,
    F_TX,
    F_HANDSHAKE
};

static const rmr_json_field node_fields[] = {
    {"TailscaleIPs", F_IPS, NULL, 0},
    {"HostName", F_HOST, NULL, 0},
    {"DNSName", F_DNS, NULL, 0},
    {"OS", F_OS, NULL, 0},
    {"Online", F_ONLINE, NULL, 0},
    {"ExitNode", F_EXIT, NULL, 0},
    {"ExitNodeOption", F_EXIT_OPTION, NULL, 0},
    {"Relay", F_RELAY, NULL, 0},
    {"CurAddr", F_ADDR, NULL, 0},
    {"RxBytes", F_RX, NULL, 0},
    {"TxBytes", F_TX, NULL, 0},
    {"LastHandshake", F_HANDSHAKE, NULL, 0},
};
#define N_NODE_FIELDS (sizeof node_fields / sizeof node_fields[0])

/* Peers are keyed by their public node keys. */
static const rmr_json_field peer_fields[] = {
    {"*", F_PEER, node_fields, N_NODE_FIELDS},
};
static const rmr_json_field top_fields[] = {
    {"BackendState", F_BACKEND_STATE, NULL, 0},
    {"Health", F_HEALTH, NULL, 0},
    {"AuthURL", F_AUTH_URL, NULL, 0},
    {"Self", F_SELF, node_fields, N_NODE_FIELDS},
    {"Peer", F_PEERS, peer_fields, 1},
};

typedef struct row { /* one node; all text is clean */
    char ip[64], name[256], os[24], relay[32], addr[64];
    bool online, is_exit, offers_exit;
    int64_t rx, tx;
    uint64_t handshake_unix_ns; /* 0: never */
} row;

typedef struct table {
    row row;
    size_t n_peers, n_online;
} table;

static bool is_set(const char *s)
{
    return s[0] != '\0';
}

static void print_peer_path(const row *r)
{
    char size[CLI_SIZE_TEXT_MAX], age[CLI_AGE_TEXT_MAX];
    uint64_t now = (uint64_t)time(NULL), then = r->handshake_unix_ns / RMR_SEC;
    if (r->is_exit) {
        (void)fputs("exit node, ", stdout);
    } else if (r->offers_exit) {
        (void)fputs("offers exit node, ", stdout);
    }
    if (!r->online) {
        (void)fputs("offline", stdout);
        return;
    }
    if (then == 0 && r->rx == 0 && r->tx == 0 && !is_set(r->addr)) {
        (void)fputs("idle", stdout);
        return;
    }
    if (is_set(r->addr)) {
        (void)printf("direct %s", r->addr);
    } else if (is_set(r->relay)) {
        (void)printf("relay %s", r->relay);
    } else {
        (void)fputs("no path yet", stdout);
    }
    (void)printf(", sent %s", cli_size_text((uint64_t)r->tx, size));
    (void)printf(", received %s", cli_size_text((uint64_t)r->rx, size));
    if (then != 0) {
        (void)printf(", handshake %s",
                     cli_age_text(now > then ? now - then : 0, age));
    }
}

static void print_row(const row *r, bool is_self)
{
    (void)printf("%-15s  %-28s  %-8s  ", is_set(r->ip) ? r->ip : "-", r->name,
                 is_set(r->os) ? r->os : "-");
    if (is_self) {
        (void)printf("this node%s%s", is_set(r->relay) ? ", home relay " : "",
                     r->relay);
    } else {
        print_peer_path(r);
    }
    (void)putchar('\n');
}

static void take_name(row *r, uint32_t id, rmr_bytes text)
{
    /* The MagicDNS name, without the root's dot, wins over the host name. */
    if (id == F_HOST && is_set(r->name)) {
        return;
    }
    if (id == F_DNS && text.len == 0) {
        return;
    }
    if (text.len > 0 && text.ptr[text.len - 1] == '.') {
        text.len--;
    }
    cli_clean_copy(r->name, sizeof r->name, text);
}

static void take_row(row *r, uint32_t id, rmr_json_kind kind, rmr_bytes text)
{
    switch (id) {
    case F_IPS:
        if (!is_set(r->ip)) {
            cli_clean_copy(r->ip, sizeof r->ip, text);
        }
        break;
    case F_HOST:
    case F_DNS:
        take_name(r, id, text);
        break;
    case F_OS:
        cli_clean_copy(r->os, sizeof r->os, text);
        break;
    case F_ONLINE:
        r->online = kind == RMR_JSON_TRUE;
        break;
    case F_EXIT:
        r->is_exit = kind == RMR_JSON_TRUE;
        break;
    case F_EXIT_OPTION:
        r->offers_exit = kind == RMR_JSON_TRUE;
        break;
    case F_RELAY:
        cli_clean_copy(r->relay, sizeof r->relay, text);
        break;
    case F_ADDR:
        cli_clean_copy(r->addr, sizeof r->addr, text);
        break;
    case F_RX:
        (void)rmr_json_int(kind, text, &r->rx);
        break;
    case F_TX:
        (void)rmr_json_int(kind, text, &r->tx);
        break;
    case F_HANDSHAKE:
        if (kind != RMR_JSON_STRING ||
            rmr_parse_time(text, &r->handshake_unix_ns) != RMR_OK) {
            r->handshake_unix_ns = 0;
        }
        break;
    default:
        break;
    }
}

static void print_line(const char *what, rmr_bytes text)
{
    (void)fputs(what, stdout);
    cli_print_clean(stdout, text);
    (void)putchar('\n');
}

static rmr_err take_value(void *user, uint32_t id, rmr_json_kind kind,
                          rmr_bytes text)
{
    table *t = user;
    switch (id) {
    case F_BACKEND_STATE:
        if (!rmr_bytes_eq_str(text, "Running")) {
            print_line("State: ", text);
        }
        break;
    case F_AUTH_URL:
        if (text.len > 0) {
            print_line("To log in, open ", text);
        }
        break;
    case F_HEALTH:
        if (kind == RMR_JSON_STRING) {
            print_line("Trouble: ", text);
        }
        break;
    case F_PEER: /* the key of one */
        break;
    default:
        take_row(&t->row, id, kind, text);
        break;
    }
    return RMR_OK;
}

static rmr_err take_nest(void *user, uint32_t id, rmr_json_kind kind)
{
    table *t = user;
    if (id != F_SELF && id != F_PEER) {
        return RMR_OK;
    }
    if (kind == RMR_JSON_OBJECT) {
        memset(&t->row, 0, sizeof t->row);
    } else if (kind == RMR_JSON_OBJECT_END) {
        print_row(&t->row, id == F_SELF);
        t->n_peers += id == F_PEER;
        t->n_online += id == F_PEER && t->row.online;
    }
    return RMR_OK;
}

static bool print_table(rmr_bytes json)
{
    uint8_t scratch[4096];
    rmr_json_bind bind;
    table t;
    rmr_json_bind_callbacks cb = {&t, take_nest, take_value};

    memset(&t, 0, sizeof t);
    rmr_json_bind_init(&bind, rmr_buf_of(scratch, sizeof scratch), top_fields,
                       (uint32_t)(sizeof top_fields / sizeof top_fields[0]),
                       &cb);
    if (rmr_json_bind_feed(&bind, json) != RMR_OK ||
        rmr_json_bind_end(&bind) != RMR_OK) {
        return false;
    }
    (void)printf("%zu peers, %zu online\n", t.n_peers, t.n_online);
    return true;
}

int cli_status(const cli_args *a)
{
    cli_local c;
    rmr_bytes line;
    cli_line got = cli_local_ask(&c, a->state_dir, "status", &line);
    bool ok = cli_local_show(got, line, a->json, print_table);
    cli_local_close(&c);
    return ok ? CLI_EXIT_OK : CLI_EXIT_FAILED;
}
