#include "wire_server.h"

#include <remora/coord.h>
#include <remora/posix.h>
#include <remora/store_sqlite.h>

#include "wire_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

static rmr_posix *posix;

typedef struct running {
    int told;
    uint16_t port;
} running;

static void on_event(void *user, const rmr_coord_event *ev)
{
    running *r = user;
    if (ev->kind == RMR_COORD_EV_LISTENING && !ev->text)
        r->port = ev->addr.port;
    if (ev->kind == RMR_COORD_EV_FAILED)
        (void)fprintf(stderr, "wire_server: %s\n", ev->text);
    if (ev->kind != RMR_COORD_EV_READY)
        return;
    if (write(r->told, &r->port, sizeof r->port) != sizeof r->port)
        _exit(4);
    (void)close(r->told);
}

static void on_term(int signal)
{
    (void)signal;
    rmr_posix_request_stop(posix);
}

static int serve(const wire_server *s, running *r, rmr_store_sqlite *db)
{
    static const uint8_t key[RMR_KEY_LEN] = {8, 1, 2, 3, [31] = 64};
    rmr_coord_callbacks cb = {sizeof cb, r, on_event};
    rmr_addr at = rmr_addr_v4(127, 0, 0, 1, 0);
    rmr_posix_config pc;
    rmr_coord_config cfg;
    rmr_coord_store table;
    rmr_coord *c;
    rmr_posix_config_init(&pc, sizeof pc);
    pc.dir = s->dir;
    if (rmr_posix_new(&posix, &pc) != RMR_OK)
        return 5;
    rmr_env env = rmr_posix_env();
    rmr_coord_config_init(&cfg, sizeof cfg);
    cfg.listen = &at;
    cfg.n_listen = 1;
    cfg.server_url = "http://127.0.0.1";
    cfg.base_domain = "t.test";
    cfg.private_key = key;
    cfg.socket_name = "s";
    cfg.open = true;
    cfg.callbacks = &cb;
    if (db) {
        table = rmr_store_sqlite_table(db);
        cfg.store = &table;
    }
    rmr_err e = rmr_coord_new(&c, &env, &cfg, rmr_posix_now());
    if (e != RMR_OK) {
        (void)fprintf(stderr, "wire_server: %s\n", rmr_err_name(e));
        return 6;
    }
    rmr_machine m = rmr_coord_machine(c);
    (void)signal(SIGTERM, on_term);
    e = rmr_posix_add(posix, &m);
    if (e == RMR_OK)
        e = rmr_posix_run(posix);
    rmr_coord_free(c);
    rmr_store_sqlite_close(db);
    rmr_posix_free(posix);
    return e == RMR_OK ? 0 : 7;
}

static void die_with_parent(void)
{
#ifdef __linux__
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves none */
#endif
}

static void child(const wire_server *s, int told)
{
    char path[256], why[RMR_STORE_SQLITE_WHY];
    running r = {told, 0};
    rmr_store_sqlite *db = NULL;
    rmr_store_sqlite_config cfg;
    die_with_parent();
    if (s->begin)
        s->begin(s->user);
    (void)snprintf(path, sizeof path, "%s/db", s->dir);
    rmr_store_sqlite_config_init(&cfg, sizeof cfg);
    cfg.path = path;
    cfg.max_bytes = s->max_bytes;
    cfg.check = true;
    if (!s->forgets && rmr_store_sqlite_open(&db, &cfg, why) != RMR_OK) {
        (void)fprintf(stderr, "wire_server: %s\n", why);
        _exit(8);
    }
    _exit(serve(s, &r, db));
}

/* ---- the command --------------------------------------------------------- */

/* Below those that a kernel gives to connections (from 32768): between two lives
 * of the server none may take it. */
static uint16_t free_port(void)
{
    struct sockaddr_in a;
    memset(&a, 0, sizeof a);
    a.sin_family = AF_INET;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (unsigned i = 0; i < 1000; i++) {
        unsigned port = 20000 + ((unsigned)getpid() * 131 + i * 977) % 12000;
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        a.sin_port = htons((uint16_t)port);
        bool ok = bind(fd, (const struct sockaddr *)&a, sizeof a) == 0;
        (void)close(fd);
        if (ok)
            return (uint16_t)port;
    }
    abort();
}

static void write_config(const wire_server *s, const char *path)
{
    FILE *f = fopen(path, "w");
    if (!f)
        abort();
    (void)fprintf(f,
                  "server_url: \"http://127.0.0.1:%u\"\n"
                  "listen_addr: \"127.0.0.1:%u\"\n"
                  "state_dir: \"%s\"\n"
                  "unix_socket: \"%s/s\"\n"
                  "database:\n  sqlite:\n    path: \"%s/db\"\n"
                  "policy:\n  mode: database\n"
                  "dns:\n  base_domain: \"t.test\"\n",
                  s->port, s->port, s->dir, s->dir, s->dir);
    (void)fclose(f);
}

static bool answers(const wire_server *s)
{
    struct timespec t = {0, 5000000};
    char path[108];
    (void)snprintf(path, sizeof path, "%s/s", s->dir);
    for (int i = 0; i < 4000; i++) {
        if (waitpid(s->pid, NULL, WNOHANG) != 0)
            abort(); /* it said why */
        if (wire_rest(path, "GET", "/api/v1/health", "", NULL) == 200)
            return true;
        (void)nanosleep(&t, NULL);
    }
    return false;
}

static bool run_command(wire_server *s)
{
    char config[128], log[128];
    (void)snprintf(config, sizeof config, "%s/coordinator.yaml", s->dir);
    (void)snprintf(log, sizeof log, "%s/log", s->dir);
    if (!s->port)
        s->port = free_port();
    write_config(s, config);
    s->pid = fork();
    if (s->pid < 0)
        abort();
    if (s->pid == 0) {
        die_with_parent();
        if (freopen(log, "a", stdout))
            (void)execl(s->remora, "remora", "coordinator", "serve", "--config",
                        config, (char *)NULL);
        perror(s->remora);
        _exit(10);
    }
    return answers(s);
}

bool wire_server_start(wire_server *s)
{
    int ends[2];
    if (s->remora)
        return run_command(s);
    if (pipe(ends) != 0 || (s->pid = fork()) < 0) {
        perror("wire_server");
        abort();
    }
    if (s->pid == 0) {
        (void)close(ends[0]);
        child(s, ends[1]);
    }
    (void)close(ends[1]);
    ssize_t n;
    do
        n = read(ends[0], &s->port, sizeof s->port);
    while (n < 0 && errno == EINTR);
    (void)close(ends[0]);
    if (n == (ssize_t)sizeof s->port)
        return true;
    wire_server_kill(s);
    return false;
}

static int ended(wire_server *s)
{
    int status = 0;
    if (waitpid(s->pid, &status, 0) != s->pid)
        abort();
    s->pid = 0;
    return status;
}

void wire_server_kill(wire_server *s)
{
    if (!s->pid)
        return;
    (void)kill(s->pid, SIGKILL);
    int status = ended(s);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        return;
    (void)fprintf(stderr, "wire_server: it ended by itself, %x\n",
                  (unsigned)status);
    abort();
}

void wire_server_stop(wire_server *s)
{
    (void)kill(s->pid, SIGTERM);
    int status = ended(s);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return;
    (void)fprintf(stderr, "wire_server: it did not end in order, %x\n",
                  (unsigned)status);
    abort();
}
