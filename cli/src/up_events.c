/* Events of the node, told on stdout; trouble and failures on stderr. */
#include "up_events.h"

#include <stdio.h>
#include <string.h>

#include <remora/json.h>

#include "print.h"

#define LINE_MAX_BYTES 4096

static void begin(rmr_jw *w, uint8_t *buf, const char *event)
{
    rmr_jw_init(w, rmr_buf_of(buf, LINE_MAX_BYTES - 1));
    rmr_jw_object(w);
    rmr_jw_kstr(w, "event", event);
}

static void end(rmr_jw *w)
{
    size_t len;
    rmr_jw_object_end(w);
    if (rmr_jw_end(w, &len) == RMR_OK) {
        (void)fwrite(w->base, 1, len, stdout);
        (void)putchar('\n');
        (void)fflush(stdout);
    }
}

static void say(const char *what, const char *text)
{
    (void)fputs(what, stdout);
    cli_print_clean(stdout, rmr_bytes_str(text));
    (void)putchar('\n');
    (void)fflush(stdout);
}

static void tell_state(const cli_up_events *e, const rmr_node_event *ev)
{
    bool login = ev->state == RMR_NODE_NEEDS_LOGIN;
    if (e->json) {
        uint8_t buf[LINE_MAX_BYTES];
        rmr_jw w;
        begin(&w, buf, login ? "needs-login" : "state");
        rmr_jw_kstr(&w, "state", rmr_node_state_name(ev->state));
        if (login && ev->text[0] != '\0') {
            rmr_jw_kstr(&w, "url", ev->text);
        }
        end(&w);
    } else if (login && ev->text[0] == '\0') {
        return; /* there is no URL (yet); why not, another event tells */
    } else if (login) {
        say("To log in, open ", ev->text);
    } else if (ev->state == RMR_NODE_STARTING) {
        say("Joining; waiting for the control server's map.", "");
    }
}

static void tell_running(const cli_up_events *e, const rmr_node_event *ev)
{
    char ip[RMR_ADDR_TEXT_MAX];
    uint64_t ms = ev->took / RMR_MS;
    if (e->json) {
        uint8_t buf[LINE_MAX_BYTES];
        rmr_jw w;
        begin(&w, buf, "running");
        rmr_jw_key(&w, "ips");
        rmr_jw_array(&w);
        for (size_t i = 0; i < ev->n_ips; i++) {
            rmr_jw_str(&w, rmr_addr_ip_text(&ev->ips[i], ip));
        }
        rmr_jw_array_end(&w);
        rmr_jw_kstr(&w, "hostname", ev->hostname);
        rmr_jw_ku64(&w, "took_ms", ms);
        if (ev->from_cache) {
            rmr_jw_kbool(&w, "from_cache", true);
        }
        end(&w);
        return;
    }
    (void)fputs("Running as ", stdout);
    cli_print_clean(stdout, rmr_bytes_str(ev->hostname));
    for (size_t i = 0; i < ev->n_ips; i++) {
        (void)printf("%s%s", i == 0 ? ", " : " and ",
                     rmr_addr_ip_text(&ev->ips[i], ip));
    }
    (void)printf(" (after %llu ms%s). Ctrl-C stops it.\n",
                 (unsigned long long)ms,
                 ev->from_cache ? ", from the cached netmap" : "");
    (void)fflush(stdout);
}

static void tell_error(const cli_up_events *e, const char *event,
                       const rmr_node_event *ev, const char *sentence)
{
    uint8_t buf[LINE_MAX_BYTES];
    rmr_jw w;
    if (!e->json) {
        return;
    }
    begin(&w, buf, event);
    rmr_jw_kint(&w, "code", ev->err);
    rmr_jw_kstr(&w, "error", sentence);
    end(&w);
}

/* The node tries again and again; a person is told once. */
static void tell_trouble(cli_up_events *e, const char *sentence)
{
    if (e->json || strcmp(e->trouble, sentence) == 0) {
        return;
    }
    (void)snprintf(e->trouble, sizeof e->trouble, "%s", sentence);
    cli_complain("%s (trying on)", sentence);
}

void cli_up_event(void *user, const rmr_node_event *ev)
{
    cli_up_events *e = user;
    e->told++;
    const char *sentence = ev->text != NULL && ev->text[0] != '\0'
                               ? ev->text
                               : rmr_node_err_text(ev->err);
    switch (ev->kind) {
    case RMR_NODE_EV_STATE:
        e->trouble[0] = '\0';
        tell_state(e, ev);
        break;
    case RMR_NODE_EV_RUNNING:
        e->trouble[0] = '\0';
        tell_running(e, ev);
        break;
    case RMR_NODE_EV_TROUBLE:
        tell_error(e, "trouble", ev, sentence);
        tell_trouble(e, sentence);
        break;
    case RMR_NODE_EV_FAILED:
        e->failed = true;
        tell_error(e, "failed", ev, sentence);
        cli_complain("%s", sentence);
        break;
    }
}

void cli_up_stopped(const cli_up_events *e)
{
    if (e->json) {
        uint8_t buf[LINE_MAX_BYTES];
        rmr_jw w;
        begin(&w, buf, "stopped");
        end(&w);
    } else {
        say("Stopped.", "");
    }
}
