/* What the coordination server tells. */
#include "coord_events.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <remora/json.h>
#include <remora/text.h>

#include "print.h"

#define LINE_MAX_BYTES 4096
#define LOGIN_LINE RMR_SEC /* one each so long ... */
#define LOGIN_LINES 60     /* ... and so many at once */

typedef struct line {
    rmr_jw w;
    uint8_t buf[LINE_MAX_BYTES];
} line;

static void begin(line *l, const char *event)
{
    rmr_jw_init(&l->w, rmr_buf_of(l->buf, sizeof l->buf - 1));
    rmr_jw_object(&l->w);
    rmr_jw_kstr(&l->w, "event", event);
}

static void end(line *l)
{
    size_t len;
    rmr_jw_object_end(&l->w);
    if (rmr_jw_end(&l->w, &len) == RMR_OK) {
        l->buf[len] = '\n';
        (void)fwrite(l->buf, 1, len + 1, stdout);
        (void)fflush(stdout);
    }
}

static void say(const char *text)
{
    cli_print_clean(stdout, rmr_bytes_str(text));
    (void)putchar('\n');
    (void)fflush(stdout);
}

static void ready(const cli_coord_events *e, const rmr_coord_event *ev)
{
    char key[2 * RMR_KEY_LEN + 1], text[128];
    (void)snprintf(text, sizeof text, "mkey:%s",
                   rmr_hex(key, ev->key, RMR_KEY_LEN));
    if (e->json) {
        line l;
        begin(&l, "ready");
        rmr_jw_kstr(&l.w, "public_key", text);
        end(&l);
        return;
    }
    (void)printf("ready, public key %s\n", text);
    (void)fflush(stdout);
}

/* The socket's mode is the adapter's 0600 until here. */
static void open_socket(const cli_coord_events *e)
{
    if (e->socket_mode != 0600 && chmod(e->socket, e->socket_mode) != 0) {
        cli_complain("can't set the mode of %s: %s", e->socket,
                     strerror(errno));
    }
}

static void listening(const cli_coord_events *e, const rmr_coord_event *ev)
{
    char addr[RMR_ADDR_TEXT_MAX], text[4200];
    bool is_socket = ev->addr.family == RMR_AF_NONE;
    const char *where = is_socket ? e->socket : rmr_addr_text(&ev->addr, addr);
    const char *what = is_socket          ? "unix_socket"
                       : ev->text != NULL ? ev->text
                                          : "nodes";
    if (is_socket) {
        open_socket(e);
    }
    if (e->json) {
        line l;
        begin(&l, "listening");
        rmr_jw_kstr(&l.w, "at", where);
        rmr_jw_kstr(&l.w, "what", what);
        end(&l);
        return;
    }
    (void)snprintf(text, sizeof text, "listening at %s (%s)", where, what);
    say(text);
}

static void put_from(line *l, const rmr_coord_event *ev)
{
    char from[RMR_ADDR_TEXT_MAX];
    if (ev->addr.family != RMR_AF_NONE) {
        rmr_jw_kstr(&l->w, "from", rmr_addr_ip_text(&ev->addr, from));
    }
}

static void login(const cli_coord_events *e, const rmr_coord_event *ev)
{
    char text[1024], from[RMR_ADDR_TEXT_MAX];
    if (e->json) {
        line l;
        begin(&l, "login");
        rmr_jw_kstr(&l.w, "auth_id", ev->text);
        rmr_jw_kstr(&l.w, "hostname", ev->node);
        put_from(&l, ev);
        end(&l);
        return;
    }
    (void)snprintf(text, sizeof text,
                   "%s at %s waits for approval: remora coordinator auth "
                   "register --auth-id %s --user USER",
                   ev->node, rmr_addr_ip_text(&ev->addr, from), ev->text);
    say(text);
}

static void joined(const cli_coord_events *e, const rmr_coord_event *ev)
{
    char text[512], from[RMR_ADDR_TEXT_MAX];
    if (e->json) {
        line l;
        begin(&l, "joined");
        rmr_jw_ku64(&l.w, "id", ev->id);
        rmr_jw_kstr(&l.w, "name", ev->node);
        put_from(&l, ev);
        end(&l);
        return;
    }
    (void)snprintf(text, sizeof text, "node %llu, %s, has joined from %s",
                   (unsigned long long)ev->id, ev->node,
                   rmr_addr_ip_text(&ev->addr, from));
    say(text);
}

static void check(const cli_coord_events *e, const rmr_coord_event *ev)
{
    char text[1024], from[RMR_ADDR_TEXT_MAX];
    if (e->json) {
        line l;
        begin(&l, "ssh_check");
        rmr_jw_kstr(&l.w, "auth_id", ev->text);
        rmr_jw_kstr(&l.w, "node", ev->node);
        rmr_jw_kstr(&l.w, "user", ev->user);
        rmr_jw_kstr(&l.w, "from_node", ev->from);
        put_from(&l, ev);
        end(&l);
        return;
    }
    (void)snprintf(text, sizeof text,
                   "%s at %s wants to be %s at %s by SSH: remora coordinator "
                   "auth approve --auth-id %s",
                   ev->from, rmr_addr_ip_text(&ev->addr, from), ev->user,
                   ev->node, ev->text);
    say(text);
}

static bool has_room(cli_coord_events *e)
{
    rmr_time until = e->lines_until > e->now ? e->lines_until : e->now;
    if (until - e->now > LOGIN_LINE * (LOGIN_LINES - 1)) {
        return false;
    }
    e->lines_until = until + LOGIN_LINE;
    return true;
}

/* Anybody can ask to be let in. */
static void asked(cli_coord_events *e, const rmr_coord_event *ev)
{
    if (!has_room(e)) {
        e->left_out++;
    } else if (ev->kind == RMR_COORD_EV_LOGIN) {
        login(e, ev);
    } else {
        check(e, ev);
    }
}

static void on_event(void *user, const rmr_coord_event *ev)
{
    cli_coord_events *e = user;
    switch (ev->kind) {
    case RMR_COORD_EV_READY:
        ready(e, ev);
        break;
    case RMR_COORD_EV_LISTENING:
        listening(e, ev);
        break;
    case RMR_COORD_EV_LOGIN:
    case RMR_COORD_EV_CHECK:
        asked(e, ev);
        break;
    case RMR_COORD_EV_JOINED:
        joined(e, ev);
        break;
    case RMR_COORD_EV_TROUBLE:
        cli_complain("%s", ev->text);
        break;
    case RMR_COORD_EV_FAILED:
        e->failed = true;
        cli_complain("%s", ev->text);
        break;
    case RMR_COORD_EV_STOPPED:
        break;
    }
}

rmr_coord_callbacks cli_coord_events_callbacks(cli_coord_events *e)
{
    rmr_coord_callbacks cb;
    memset(&cb, 0, sizeof cb);
    cb.struct_size = (uint32_t)sizeof cb;
    cb.user = e;
    cb.on_event = on_event;
    return cb;
}

void cli_coord_events_turn(cli_coord_events *e, rmr_time now)
{
    char text[160];
    e->now = now;
    if (e->left_out == 0 || !has_room(e)) {
        return;
    }
    if (e->json) {
        line l;
        begin(&l, "logins_left_out");
        rmr_jw_ku64(&l.w, "count", e->left_out);
        end(&l);
    } else {
        (void)snprintf(text, sizeof text,
                       "%llu more asked for approval, too fast to tell each",
                       (unsigned long long)e->left_out);
        say(text);
    }
    e->left_out = 0;
}

void cli_coord_events_reloaded(const cli_coord_events *e, bool ok)
{
    if (e->json) {
        line l;
        begin(&l, "reloaded");
        rmr_jw_kbool(&l.w, "ok", ok);
        end(&l);
        return;
    }
    say(ok ? "the files are read anew"
           : "the files are read anew, but not all were taken");
}
