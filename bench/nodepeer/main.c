/* nodepeer is a remora node to measure with, the application in the node's own
 * process.  Services, flags and fields are those of tests/peers/tsnetpeer:
 *
 *   nodepeer -name srv -authkey K               services: TCP echo 7, discard 9,
 *                                               source 19, HTTP 80 (/N: N bytes)
 *   nodepeer -name cli -authkey K -to 100.64.0.1 -do put,get,http,conn,rr
 *
 * It prints one JSON object per line: first the join, then one per measurement.
 * The control server comes from -control or $CONTROL_URL, the key from -authkey
 * or $AUTHKEY.  $NODEPEER_NO_UDP: relays alone carry the traffic.  T0_NS: the time (ns since 1970) just before exec, for a join
 * time that includes the process's start. */
#define _DEFAULT_SOURCE
#include "nodepeer.h"

#include <remora/crypto.h>

#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

flags opt = {.name = "peer",
             .what = "put,conn,rr",
             .path = "any",
             .mb = 1024,
             .nconn = 200,
             .nrr = 2000,
             .warm = true};
rmr_node *node;
rmr_posix *loop;
uint8_t block[BLOCK_LEN];

static double started; /* unix time, s */
static char temporary[] = "/tmp/nodepeer-XXXXXX";
static bool has_begun, is_temporary;

static double unix_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- flags, in Go's form ----------------------------------------------- */

static bool take_text(const char *key, const char *v)
{
    const struct {
        const char *key;
        const char **to;
    } texts[] = {{"name", &opt.name},       {"control", &opt.control},
                 {"authkey", &opt.authkey}, {"dir", &opt.dir},
                 {"to", &opt.to},           {"do", &opt.what},
                 {"path", &opt.path}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (strcmp(key, texts[i].key) == 0) {
            *texts[i].to = v;
            return true;
        }
    }
    return false;
}

static bool take_number(const char *key, const char *v)
{
    const struct {
        const char *key;
        long *to;
    } numbers[] = {{"mb", &opt.mb}, {"nconn", &opt.nconn}, {"nrr", &opt.nrr}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (strcmp(key, numbers[i].key) == 0) {
            *numbers[i].to = strtol(v, NULL, 10);
            return *numbers[i].to > 0;
        }
    }
    return false;
}

static bool take_switch(const char *key, const char *v)
{
    const struct {
        const char *key;
        bool *to;
    } switches[] = {{"ephemeral", &opt.ephemeral},
                    {"v", &opt.verbose},
                    {"warm", &opt.warm},
                    {"quit-after-join", &opt.quit}};
    for (size_t i = 0; i < sizeof switches / sizeof *switches; i++) {
        if (strcmp(key, switches[i].key) == 0) {
            *switches[i].to = !v || strcmp(v, "false") != 0;
            return true;
        }
    }
    return false;
}

static bool take_flags(int argc, char **argv)
{
    opt.control = getenv("CONTROL_URL");
    opt.authkey = getenv("AUTHKEY");
    for (int i = 1; i < argc; i++) {
        char *key = argv[i] + strspn(argv[i], "-"), *v = strchr(key, '=');
        if (v)
            *v++ = '\0';
        if (take_switch(key, v))
            continue;
        if (!v && i + 1 < argc)
            v = argv[++i];
        if (!v || (!take_text(key, v) && !take_number(key, v)))
            return false;
    }
    return opt.control != NULL;
}

/* ---- the node's words -------------------------------------------------- */

static void tell_join(const rmr_node_event *ev)
{
    char ip[RMR_ADDR_TEXT_MAX];
    begin_line("join");
    text("name", opt.name);
    number("join_ms", (unix_s() - started) * 1e3);
    printf(",\"ips\":[");
    for (size_t i = 0; i < ev->n_ips; i++)
        printf("%s\"%s\"", i ? "," : "", rmr_addr_ip_text(&ev->ips[i], ip));
    printf("]");
    number("pid", (double)getpid());
    number("cpu_s", cpu_s());
    end_line();
}

static void on_event(void *user, const rmr_node_event *ev)
{
    (void)user;
    if (ev->kind == RMR_NODE_EV_FAILED)
        die(ev->text, ev->err);
    if (ev->kind != RMR_NODE_EV_RUNNING || has_begun)
        return;
    has_begun = true;
    tell_join(ev);
    if (opt.quit)
        rmr_posix_request_stop(loop);
    else if (opt.to)
        client_start();
    else
        serve_start();
}

static void on_accept(void *user, void *tag, rmr_node_conn c,
                      const rmr_addr *remote)
{
    (void)user;
    (void)remote;
    serve_accept(tag, c);
}

static void on_connected(void *user, void *tag, rmr_node_conn c)
{
    (void)user;
    (void)tag;
    client_connected(c);
}

static void on_turn(void *user, void *tag, rmr_node_conn c)
{
    (void)user;
    if (is_served(tag))
        serve_turn(tag, c);
    else
        client_turn(c);
}

static void on_closed(void *user, void *tag, rmr_node_conn c, rmr_err why)
{
    (void)user;
    if (is_served(tag))
        serve_closed(tag);
    else
        client_closed(c, why);
}

static void log_line(void *user, rmr_log_level level, const char *layer,
                     const char *line, size_t len)
{
    (void)user;
    (void)level;
    (void)len;
    fprintf(stderr, "%s: %s\n", layer, line);
}

/* ---- life -------------------------------------------------------------- */

static void on_signal(int sig)
{
    (void)sig;
    rmr_posix_request_stop(loop); /* async-signal-safe */
}

static void remove_state(void)
{
    struct dirent *e;
    DIR *d = is_temporary ? opendir(temporary) : NULL;
    while (d && (e = readdir(d)) != NULL)
        (void)unlinkat(dirfd(d), e->d_name, 0);
    if (d)
        (void)closedir(d);
    if (is_temporary)
        (void)rmdir(temporary);
}

static rmr_err start(void)
{
    rmr_node_callbacks cb = {.struct_size = sizeof cb};
    rmr_posix_config posix;
    rmr_node_config cfg;
    rmr_env env = rmr_posix_env();
    cb.on_event = on_event;
    cb.on_accept = on_accept;
    cb.on_connected = on_connected;
    cb.on_readable = cb.on_writable = on_turn;
    cb.on_closed = on_closed;
    if (opt.verbose)
        env.log = (rmr_log){log_line, NULL, RMR_LOG_DEBUG};
    rmr_posix_config_init(&posix, sizeof posix);
    posix.dir = opt.dir;
    rmr_node_config_init(&cfg, sizeof cfg);
    cfg.control_url = opt.control;
    cfg.auth_key = opt.authkey;
    cfg.hostname = opt.name;
    cfg.ephemeral = opt.ephemeral;
    cfg.no_udp = getenv("NODEPEER_NO_UDP") != NULL;
    cfg.callbacks = &cb;
    rmr_err e = rmr_crypto_init();
    if (e == RMR_OK)
        e = rmr_posix_new(&loop, &posix);
    if (e == RMR_OK)
        e = rmr_node_new(&node, &env, &cfg, rmr_posix_now());
    rmr_machine m = node ? rmr_node_machine(node) : (rmr_machine){0};
    return e == RMR_OK ? rmr_posix_add(loop, &m) : e;
}

static rmr_err run(void)
{
    rmr_err e = RMR_OK;
    for (size_t running = 1; running && e == RMR_OK;) {
        rmr_time now = rmr_posix_now(), at = client_deadline();
        rmr_dur wait = at == RMR_TIME_NEVER ? at
                       : at > now           ? at - now
                                            : (rmr_dur)0;
        e = rmr_posix_turn(loop, wait, &running);
        client_tick(rmr_posix_now());
    }
    return e;
}

int main(int argc, char **argv)
{
    const char *t0 = getenv("T0_NS");
    started = t0 ? strtod(t0, NULL) / 1e9 : unix_s();
    for (size_t i = 0; i < sizeof block; i++)
        block[i] = (uint8_t)(' ' + i % 95);
    if (!take_flags(argc, argv)) {
        fprintf(stderr, "usage: see tests/peers/tsnetpeer/main.go\n");
        return 2;
    }
    if (!opt.dir) {
        opt.dir = mkdtemp(temporary);
        is_temporary = opt.dir != NULL;
        (void)atexit(remove_state);
    }
    rmr_err e = start();
    if (e != RMR_OK)
        die("start", e);
    (void)signal(SIGINT, on_signal);
    (void)signal(SIGTERM, on_signal);
    e = run();
    begin_line("exit");
    text("name", opt.name);
    number("cpu_s", cpu_s());
    end_line();
    rmr_posix_free(loop); /* first: it holds the machine */
    rmr_node_free(node);
    return e == RMR_OK ? 0 : 1;
}
