/* A plain WireGuard tunnel over wgcore, for tests against other ones: a TUN
 * device, a UDP port, poll(2), and a control socket that answers in JSON.
 *
 * --speed N: the tunnel is told a time that goes N times faster, so that the
 * 120 s of a key are 120/N s of the test's.  A real peer's clock can't be moved;
 * it sees an initiator that renews its keys early, which every responder
 * allows.  The stamps of initiations run ahead of wall time too: use another key
 * for the next run. */
#define _GNU_SOURCE /* ppoll */
#include "wg_options.h"
#include "wg_udp.h"

#include <remora/posix.h> /* for rmr_posix_env and _now: no adapter here */
#include <remora/text.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { ROOM = 65536, BATCH = 64, TAIL = 31, INITIATION = 148, MAC2_AT = 132 };

/* What the datagrams themselves show: mac2 is 16 zero bytes without a cookie. */
typedef struct seen {
    uint64_t initiations, with_mac2;
} seen;

typedef struct tunnel {
    const wg_options *options;
    rmr_wg *wg;
    rmr_wg_peer peers[WG_MAX_PEERS];
    rmr_wg_endpoint endpoints[WG_MAX_PEERS]; /* where the last went */
    wg_udp udp;
    int tun, control;
    uint64_t port;
    rmr_time began, now;
    seen in, out;
    uint64_t tun_in, tun_out, not_sent;
    uint64_t data_unknown; /* data for a key that we don't have any more */
    rmr_err fatal;
    sigset_t old_mask; /* SIGTERM comes in ppoll alone */
    uint8_t room[ROOM], scratch[ROOM];
} tunnel;

static volatile sig_atomic_t is_ending;

static void on_term(int sig)
{
    (void)sig;
    is_ending = 1;
}

static void sample_clock(tunnel *t)
{
    t->now = t->began +
             rmr_time_since(rmr_posix_now(), t->began) * t->options->speed;
}

/* Anybody may send what is refused; everything else is an error of ours. */
static void note(tunnel *t, rmr_err e, const char *what)
{
    rmr_errclass c = rmr_err_class(e);
    if (c == RMR_CLASS_OK || c == RMR_CLASS_DISCARD || c == RMR_CLASS_AGAIN)
        return;
    fprintf(stderr, "wg_tun: %s: %s\n", what, rmr_err_name(e));
    t->fatal = e;
}

static void look_at(seen *s, rmr_bytes d)
{
    static const uint8_t none[16];
    if (d.len != INITIATION || d.ptr[0] != 1)
        return;
    s->initiations++;
    if (memcmp(d.ptr + MAC2_AT, none, sizeof none) != 0)
        s->with_mac2++;
}

/* ---- callbacks ---------------------------------------------------------- */

static void on_packet(void *user, rmr_wg_peer peer, rmr_buf ip_packet)
{
    tunnel *t = user;
    (void)peer;
    t->tun_out++;
    if (write(t->tun, ip_packet.ptr, ip_packet.len) < 0)
        perror("wg_tun: write to TUN");
}

static void send_to(tunnel *t, rmr_wg_peer peer, const rmr_wg_endpoint *to,
                    rmr_bytes datagram)
{
    look_at(&t->out, datagram);
    for (size_t i = 0; i < t->options->n_peers; i++)
        if (t->peers[i].id == peer.id)
            t->endpoints[i] = *to;
    if (to->len == 0) {
        t->not_sent++;
        return;
    }
    rmr_addr a = wg_addr_of(to);
    if (!wg_udp_send(&t->udp, &a, datagram))
        t->not_sent++;
}

static rmr_err emit(void *user, rmr_bytes datagram, const rmr_wg_pkt_info *info)
{
    send_to(user, info->peer, &info->to, datagram);
    return RMR_OK;
}

/* ---- one turn -------------------------------------------------------------- */

static void read_one(tunnel *t, const rmr_addr *from, rmr_buf d)
{
    rmr_wg_endpoint e = wg_endpoint_of(from);
    bool is_data = d.len > 0 && d.ptr[0] == 4;
    look_at(&t->in, rmr_bytes_of(d.ptr, d.len));
    rmr_err err = rmr_wg_read_pkt(t->wg, t->now, &e, d);
    if (err == RMR_E_UNKNOWN && is_data)
        t->data_unknown++;
    note(t, err, "read");
}

static void read_udp(tunnel *t, int fd)
{
    rmr_addr from;
    for (int i = 0; i < BATCH; i++) {
        ssize_t n = wg_udp_recv(fd, rmr_buf_of(t->room, sizeof t->room), &from);
        if (n < 0)
            return;
        read_one(t, &from, rmr_buf_of(t->room, (size_t)n));
    }
}

static void read_tun(tunnel *t)
{
    for (int i = 0; i < BATCH; i++) {
        rmr_wg_endpoint to;
        rmr_pkt p =
            rmr_pkt_of(rmr_buf_of(t->room, sizeof t->room), RMR_WG_HEADER_LEN);
        ssize_t n = read(t->tun, rmr_pkt_data(&p), rmr_pkt_tailroom(&p) - TAIL);
        if (n <= 0)
            return;
        (void)rmr_pkt_put(&p, (size_t)n);
        rmr_wg_peer peer = rmr_wg_route(t->wg, rmr_pkt_bytes(&p));
        if (peer.id == 0)
            continue;
        t->tun_in++;
        rmr_err e = rmr_wg_seal(t->wg, t->now, peer, &p, &to);
        if (!e)
            send_to(t, peer, &to, rmr_pkt_bytes(&p));
        note(t, e, "seal"); /* NOTREADY: it is staged */
    }
}

/* ---- the control socket ------------------------------------------------------ */

static void say_stats(FILE *f, const rmr_wg_stats *s)
{
    fprintf(f,
            "\"initiated\":%" PRIu64 ",\"answered\":%" PRIu64
            ",\"completed\":%" PRIu64 ",\"cookies_sent\":%" PRIu64
            ",\"cookies_taken\":%" PRIu64,
            s->handshakes_initiated, s->handshakes_answered,
            s->handshakes_completed, s->cookies_sent, s->cookies_taken);
    fprintf(f,
            ",\"malformed\":%" PRIu64 ",\"auth\":%" PRIu64
            ",\"replay\":%" PRIu64 ",\"unknown\":%" PRIu64
            ",\"ratelimit\":%" PRIu64 ",\"source\":%" PRIu64
            ",\"inner\":%" PRIu64,
            s->discard_malformed, s->discard_auth, s->discard_replay,
            s->discard_unknown, s->discard_ratelimit, s->discard_source,
            s->discard_inner);
}

static void say_peer(FILE *f, const tunnel *t, size_t i)
{
    rmr_wg_peer_stats s;
    char text[RMR_ADDR_TEXT_MAX] = "none";
    if (rmr_wg_peer_get_stats(t->wg, t->now, t->peers[i], &s))
        return;
    if (t->endpoints[i].len > 0) {
        rmr_addr a = wg_addr_of(&t->endpoints[i]);
        (void)rmr_addr_text(&a, text);
    }
    fprintf(f,
            "%s{\"endpoint\":\"%s\",\"session\":%s,\"rx_bytes\":%" PRIu64
            ",\"tx_bytes\":%" PRIu64 ",\"rx_pkts\":%" PRIu64
            ",\"tx_pkts\":%" PRIu64 ",\"staged_dropped\":%" PRIu64 "}",
            i ? "," : "", text, s.has_session ? "true" : "false", s.rx_bytes,
            s.tx_bytes, s.rx_pkts, s.tx_pkts, s.staged_dropped);
}

static void say_status(FILE *f, const tunnel *t)
{
    rmr_wg_stats s;
    rmr_wg_get_stats(t->wg, &s);
    fprintf(f, "{\"port\":%" PRIu64 ",", t->port);
    say_stats(f, &s);
    fprintf(
        f,
        ",\"initiations_in\":%" PRIu64 ",\"with_mac2_in\":%" PRIu64
        ",\"initiations_out\":%" PRIu64 ",\"with_mac2_out\":%" PRIu64
        ",\"tun_in\":%" PRIu64 ",\"tun_out\":%" PRIu64 ",\"not_sent\":%" PRIu64
        ",\"data_unknown\":%" PRIu64 ",\"peers\":[",
        t->in.initiations, t->in.with_mac2, t->out.initiations,
        t->out.with_mac2, t->tun_in, t->tun_out, t->not_sent, t->data_unknown);
    for (size_t i = 0; i < t->options->n_peers; i++)
        say_peer(f, t, i);
    fprintf(f, "]}\n");
}

static bool change_port(tunnel *t, const char *text)
{
    uint64_t port;
    wg_udp u;
    if (rmr_parse_u64(rmr_bytes_str(text), 65535, &port) ||
        !wg_udp_open(&u, (uint16_t)port))
        return false;
    wg_udp_close(&t->udp);
    t->udp = u;
    t->port = port;
    return true;
}

static void obey(tunnel *t, const char *line, FILE *f)
{
    if (!strcmp(line, "status"))
        say_status(f, t);
    else if (!strncmp(line, "port ", 5) && change_port(t, line + 5))
        fprintf(f, "{}\n");
    else
        fprintf(f, "{\"error\":true}\n");
}

/* One request a connection.  status: the numbers, as one line of JSON.
 * port N: another UDP port. */
static void answer(tunnel *t)
{
    char line[64] = "";
    struct timeval patience = {2,
                               0}; /* with one who connects and says nothing */
    int fd = accept(t->control, NULL, NULL);
    if (fd < 0)
        return;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ssize_t n = recv(fd, line, sizeof line - 1, 0);
    FILE *f = fdopen(fd, "w");
    if (!f) {
        (void)close(fd);
        return;
    }
    if (n > 0) {
        line[strcspn(line, "\n")] = 0;
        obey(t, line, f);
    }
    (void)fclose(f);
}

/* ---- the loop ------------------------------------------------------------------ */

static struct timespec wait_of(const tunnel *t)
{
    rmr_dur d = rmr_time_since(rmr_wg_next_deadline(t->wg), t->now);
    d = d / t->options->speed + RMR_MS / 2; /* late rather than early */
    if (d > 60 * RMR_SEC)
        d = 60 * RMR_SEC;
    return (struct timespec){(time_t)(d / RMR_SEC), (long)(d % RMR_SEC)};
}

static void turn(tunnel *t)
{
    struct pollfd p[] = {{t->udp.v4, POLLIN, 0},
                         {t->udp.v6, POLLIN, 0},
                         {t->tun, POLLIN, 0},
                         {t->control, POLLIN, 0}};
    struct timespec wait = wait_of(t);
    if (ppoll(p, 4, &wait, &t->old_mask) < 0) { /* revents say nothing then */
        t->fatal = errno == EINTR ? RMR_OK : RMR_E_IO;
        return;
    }
    sample_clock(t);
    if (p[0].revents)
        read_udp(t, t->udp.v4);
    if (p[1].revents)
        read_udp(t, t->udp.v6);
    if (p[2].revents)
        read_tun(t);
    if (t->now >= rmr_wg_next_deadline(t->wg))
        note(t, rmr_wg_handle_deadline(t->wg, t->now), "deadline");
    note(t,
         rmr_wg_flush(t->wg, t->now, rmr_buf_of(t->scratch, sizeof t->scratch),
                      emit, t),
         "flush");
    if (p[3].revents)
        answer(t);
}

/* ---- making and ending ------------------------------------------------------------ */

static int open_tun(const char *name)
{
    struct ifreq r;
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    memset(&r, 0, sizeof r);
    r.ifr_flags = IFF_TUN | IFF_NO_PI;
    (void)snprintf(r.ifr_name, sizeof r.ifr_name, "%s", name);
    if (fd >= 0 && ioctl(fd, TUNSETIFF, &r) == 0)
        return fd;
    perror("wg_tun: /dev/net/tun");
    if (fd >= 0)
        (void)close(fd);
    return -1;
}

static int open_control(const char *path)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (strlen(path) < sizeof sa.sun_path)
        memcpy(sa.sun_path, path, strlen(path));
    (void)unlink(path);
    if (fd >= 0 && bind(fd, (const struct sockaddr *)&sa, sizeof sa) == 0 &&
        listen(fd, 8) == 0)
        return fd;
    perror("wg_tun: control socket");
    if (fd >= 0)
        (void)close(fd);
    return -1;
}

static rmr_err add_peers(tunnel *t)
{
    rmr_err e = RMR_OK;
    for (size_t i = 0; i < t->options->n_peers && !e; i++) {
        const wg_peer_options *p = &t->options->peers[i];
        e = rmr_wg_peer_add(t->wg, t->now, &p->config, &t->peers[i]);
        if (!e)
            e = rmr_wg_peer_set_allowed_ips(t->wg, t->peers[i], p->allowed,
                                            p->n_allowed);
    }
    return e;
}

static rmr_err open_wg(tunnel *t)
{
    rmr_env env = rmr_posix_env();
    rmr_wg_callbacks cb = {sizeof cb, .user = t, .on_packet = on_packet};
    rmr_wg_config cfg;
    struct timespec wall;
    (void)clock_gettime(CLOCK_REALTIME, &wall);
    rmr_wg_config_init(&cfg, sizeof cfg);
    memcpy(cfg.private_key, t->options->key, sizeof cfg.private_key);
    cfg.wall_unix_ns = (uint64_t)wall.tv_sec * RMR_SEC + (uint64_t)wall.tv_nsec;
    cfg.mtu = (uint32_t)t->options->mtu;
    cfg.load_per_second = (uint32_t)t->options->load;
    cfg.roam = true;
    cfg.callbacks = &cb;
    t->began = t->now = rmr_posix_now();
    rmr_err e = rmr_crypto_init();
    e = e ? e : rmr_wg_new(&t->wg, &env, &cfg, t->now);
    rmr_wipe(&cfg, sizeof cfg);
    return e ? e : add_peers(t);
}

static bool open_all(tunnel *t, const wg_options *o)
{
    t->options = o;
    t->udp.v4 = t->udp.v6 = t->tun = t->control = -1;
    t->port = o->port;
    rmr_err e = open_wg(t);
    if (e)
        fprintf(stderr, "wg_tun: tunnel: %s\n", rmr_err_name(e));
    return !e && (t->tun = open_tun(o->tun)) >= 0 &&
           wg_udp_open(&t->udp, (uint16_t)o->port) &&
           (t->control = open_control(o->control)) >= 0;
}

static void close_all(tunnel *t)
{
    rmr_wg_free(t->wg);
    wg_udp_close(&t->udp);
    if (t->tun >= 0)
        (void)close(t->tun);
    if (t->control >= 0) {
        (void)unlink(t->options->control);
        (void)close(t->control);
    }
}

static void catch_signals(tunnel *t)
{
    struct sigaction sa;
    sigset_t term;
    memset(&sa, 0, sizeof sa);
    sa.sa_handler = on_term;
    (void)sigaction(SIGTERM, &sa, NULL);
    sa.sa_handler = SIG_IGN;
    (void)sigaction(SIGPIPE, &sa, NULL); /* of one who asks and goes */
    (void)sigemptyset(&term);
    (void)sigaddset(&term, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &term, &t->old_mask);
    (void)sigdelset(&t->old_mask, SIGTERM);
}

int main(int argc, char **argv)
{
    static tunnel t;
    static wg_options o;
    (void)argc;
    if (!wg_options_parse(&o, argv)) {
        fputs(wg_usage, stderr);
        return 2;
    }
    catch_signals(&t);
    bool ok = open_all(&t, &o);
    while (ok && !is_ending && !t.fatal)
        turn(&t);
    close_all(&t);
    rmr_wipe(&o, sizeof o);
    return ok && !t.fatal ? 0 : 1;
}
