/* The relay inside the coordinator. */
#include "coord_relay.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include <remora/json.h>
#include <remora/text.h>
#include <remora/http1.h>

#include "coord_cert.h"
#include "coord_key.h"
#include "print.h"
#include "usage.h"

#define LOOK_AGAIN (3600 * RMR_SEC)
#define CERT_NAME "derp_certificate.pem"

static uint64_t wall(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * RMR_SEC + (uint64_t)t.tv_nsec;
}

/* ---- what it says -------------------------------------------------------- */

static void listening(const cli_coord_relay *r, const rmr_relay_event *ev)
{
    char at[RMR_ADDR_TEXT_MAX];
    uint8_t line[256];
    rmr_jw w;
    size_t len;
    (void)rmr_addr_text(&ev->addr, at);
    if (!r->json) {
        (void)printf("listening at %s (%s)\n", at, ev->what);
    } else {
        rmr_jw_init(&w, rmr_buf_of(line, sizeof line));
        rmr_jw_object(&w);
        rmr_jw_kstr(&w, "event", "listening");
        rmr_jw_kstr(&w, "at", at);
        rmr_jw_kstr(&w, "what", ev->what);
        rmr_jw_object_end(&w);
        if (rmr_jw_end(&w, &len) == RMR_OK) {
            (void)printf("%.*s\n", (int)len, (const char *)line);
        }
    }
    (void)fflush(stdout);
}

static void on_event(void *user, const rmr_relay_event *ev)
{
    cli_coord_relay *r = user;
    switch (ev->kind) {
    case RMR_RELAY_EV_LISTENING:
        listening(r, ev);
        break;
    case RMR_RELAY_EV_TROUBLE:
        cli_complain("relay: %s", ev->text);
        break;
    case RMR_RELAY_EV_FAILED:
        /* A server whose map names a relay that is not there serves badly. */
        r->failed = true;
        cli_complain("relay: %s", ev->text);
        if (r->posix != NULL) {
            rmr_posix_request_stop(r->posix);
        }
        break;
    case RMR_RELAY_EV_READY:
    case RMR_RELAY_EV_STOPPED:
        break;
    }
}

/* Both machines are of one thread: the server may be asked here. */
static bool may_enter(void *user, const uint8_t key[RMR_KEY_LEN],
                      const rmr_addr *from)
{
    const cli_coord_relay *r = user;
    (void)from;
    return r->coord != NULL && rmr_coord_has_node_key(r->coord, key);
}

/* ---- metrics ------------------------------------------------------------- */

static bool on_usage(void *user, rmr_relay_usage *out)
{
    const cli_coord_relay *r = user;
    out->start_bytes = r->start_bytes;
    return cli_usage_files(&out->open_files) &&
           cli_usage_memory(&out->memory_bytes);
}

size_t cli_coord_relay_metrics(void *relay, rmr_buf dst)
{
    const cli_coord_relay *r = relay;
    size_t len = 0;
    if (r->relay == NULL || rmr_relay_metrics(r->relay, dst, &len) != RMR_OK) {
        return 0;
    }
    return len;
}

/* ---- the certificate ----------------------------------------------------- */

static bool take_host(cli_coord_relay *r)
{
    rmr_url url;
    if (rmr_url_parse(rmr_bytes_str(r->cfg->server_url), &url) != RMR_OK) {
        (void)snprintf(r->error, sizeof r->error,
                       "'server_url' names no host for the relay");
        return false;
    }
    (void)snprintf(r->host, sizeof r->host, "%s", url.host);
    return true;
}

/* Does nobody but itself vouch for it?  Then nodes get its SHA-256. */
static bool take_pin(cli_coord_relay *r, rmr_bytes cert, rmr_bytes key)
{
    rmr_tls_identity *id = NULL;
    rmr_err err = rmr_tls_identity_new(&id, r->env, cert, key);
    if (err != RMR_OK) {
        (void)snprintf(r->error, sizeof r->error,
                       "the relay can't have this certificate: %s",
                       rmr_tls_err_text(err));
        return false;
    }
    r->own.host = r->host;
    r->own.pinned = rmr_tls_identity_is_self_issued(id);
    rmr_tls_identity_sha256(id, r->own.pin);
    rmr_tls_identity_free(id);
    return true;
}

static bool cert_path(cli_coord_relay *r, char *path, size_t cap)
{
    int n = snprintf(path, cap, "%s/" CERT_NAME, r->cfg->state_dir);
    if (n < 0 || (size_t)n >= cap) {
        (void)snprintf(r->error, sizeof r->error,
                       "'state_dir' has too long a name");
        return false;
    }
    return true;
}

/* \param made  What was made or read here, to be freed; else it stays empty. */
static bool certificate(cli_coord_relay *r, const cli_coord_files *files,
                        cli_file *made, rmr_bytes *cert, rmr_bytes *key)
{
    char path[CLI_COORD_PATH_MAX + sizeof CERT_NAME];
    made->data = NULL;
    made->len = 0;
    r->made = files->cert.len == 0;
    if (!r->made) {
        *cert = rmr_bytes_of(files->cert.data, files->cert.len);
        *key = rmr_bytes_of(files->key.data, files->key.len);
    } else {
        if (!cert_path(r, path, sizeof path) ||
            !cli_coord_cert_file(made, path, r->host, r->env, wall(), r->error,
                                 sizeof r->error)) {
            return false;
        }
        *cert = *key = rmr_bytes_of(made->data, made->len);
    }
    if (take_pin(r, *cert, *key)) {
        return true;
    }
    cli_file_free(made);
    return false;
}

/* ---- beginning ----------------------------------------------------------- */

static bool make_relay(cli_coord_relay *r, rmr_bytes cert, rmr_bytes key,
                       const uint8_t private_key[RMR_KEY_LEN])
{
    const cli_coord_derp_server *s = &r->cfg->derp.server;
    rmr_relay_callbacks cb;
    rmr_relay_config rc;
    memset(&cb, 0, sizeof cb);
    cb.struct_size = (uint32_t)sizeof cb;
    cb.user = r;
    cb.on_event = on_event;
    cb.on_usage = on_usage;
    cb.may_enter = s->verify_clients ? may_enter : NULL;
    rmr_relay_config_init(&rc, sizeof rc);
    rc.listen = &s->listen_addr;
    rc.n_listen = 1;
    rc.stun = &s->stun_listen_addr;
    rc.n_stun = s->stun_listen_addr.family != RMR_AF_NONE ? 1 : 0;
    rc.cert_pem = cert;
    rc.key_pem = key;
    rc.private_key = private_key;
    rc.callbacks = &cb;
    rmr_err err = rmr_relay_new(&r->relay, r->env, &rc, rmr_posix_now());
    if (err != RMR_OK) {
        (void)snprintf(r->error, sizeof r->error, "relay: %s",
                       rmr_relay_err_text(err));
    }
    return err == RMR_OK;
}

bool cli_coord_relay_make(cli_coord_relay *r, const cli_coord_config *cfg,
                          const cli_coord_files *files, const rmr_env *env)
{
    const cli_coord_derp_server *s = &cfg->derp.server;
    uint8_t private_key[RMR_KEY_LEN];
    cli_file made;
    rmr_bytes cert, key;
    r->cfg = cfg;
    r->env = env;
    if (!s->enabled) {
        return true;
    }
    if (s->listen_addr.port == 0 ||
        (s->stun_listen_addr.family != RMR_AF_NONE &&
         s->stun_listen_addr.port == 0)) {
        (void)snprintf(r->error, sizeof r->error,
                       "the relay needs ports that nodes can be told of: "
                       "'derp.server.listen_addr' and "
                       "'derp.server.stun_listen_addr' can't have port 0");
        return false;
    }
    cli_make_private_dir(s->private_key_path);
    bool ok = take_host(r) &&
              cli_coord_key_file(s->private_key_path, env, private_key,
                                 r->error, sizeof r->error) &&
              certificate(r, files, &made, &cert, &key);
    if (ok) {
        ok = make_relay(r, cert, key, private_key);
        cli_file_free(&made);
    }
    rmr_wipe(private_key, sizeof private_key);
    return ok;
}

const cli_derp_own *cli_coord_relay_own(const cli_coord_relay *r)
{
    return r->relay != NULL ? &r->own : NULL;
}

bool cli_coord_relay_start(cli_coord_relay *r, rmr_posix *posix,
                           rmr_coord *coord)
{
    if (r->relay == NULL) {
        return true;
    }
    r->posix = posix;
    r->coord = coord;
    r->look_at = rmr_time_add(rmr_posix_now(), LOOK_AGAIN);
    (void)cli_usage_memory(&r->start_bytes);
    rmr_machine m = rmr_relay_machine(r->relay);
    rmr_err err = rmr_posix_add(posix, &m);
    if (err != RMR_OK) {
        (void)snprintf(r->error, sizeof r->error, "the relay can't start: %s",
                       rmr_err_name(err));
    }
    return err == RMR_OK;
}

bool cli_coord_relay_due(cli_coord_relay *r)
{
    rmr_time now = rmr_posix_now();
    if (r->relay == NULL || !r->made || now < r->look_at) {
        return false;
    }
    r->look_at = rmr_time_add(now, LOOK_AGAIN);
    return true;
}

bool cli_coord_relay_renew(cli_coord_relay *r, const cli_coord_files *files)
{
    cli_derp_own before = r->own;
    cli_file made;
    rmr_bytes cert, key;
    if (r->relay == NULL) {
        return true;
    }
    if (!certificate(r, files, &made, &cert, &key)) {
        r->own = before;
        return false;
    }
    rmr_err err = RMR_OK;
    /* Of files another chain may stand behind the same certificate. */
    if (!r->made || memcmp(before.pin, r->own.pin, sizeof before.pin) != 0) {
        err = rmr_relay_set_certificate(r->relay, cert, key);
    }
    cli_file_free(&made);
    if (err != RMR_OK) {
        r->own = before;
        (void)snprintf(r->error, sizeof r->error,
                       "the relay's new certificate is not taken: %s",
                       rmr_relay_err_text(err));
    }
    return err == RMR_OK;
}

void cli_coord_relay_free(cli_coord_relay *r)
{
    rmr_relay_free(r->relay);
    r->relay = NULL;
}
