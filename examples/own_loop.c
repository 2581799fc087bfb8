/* A poll loop of your own around one layer, the resolver: looks up a name.
 *   own_loop NAME SERVER:PORT */
#define _POSIX_C_SOURCE 200809L
#include <remora/dns.h>
#include <remora/posix.h> /* for rmr_posix_env and _now: no adapter here */

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void on_answer(void *user, uint64_t id, rmr_err err,
                      const rmr_addr *addrs, size_t n)
{
    char text[RMR_ADDR_TEXT_MAX];
    (void)id;
    *(rmr_err *)user = err;
    for (size_t i = 0; i < n; i++)
        printf("%s\n", rmr_addr_ip_text(&addrs[i], text));
}

/* The recipe: one `now`, all input, deadlines, all output, one timer. */
static rmr_err turn(rmr_dns *d, int fd, int *wait_ms)
{
    uint8_t room[RMR_DNS_MAX_MSG];
    struct sockaddr_in sa = {.sin_family = AF_INET};
    socklen_t sa_len = sizeof sa;
    rmr_time now = rmr_posix_now(), next;
    rmr_addr a;
    rmr_err e = RMR_OK;
    ssize_t n;
    while (!e && (n = recvfrom(fd, room, sizeof room, MSG_DONTWAIT,
                               (struct sockaddr *)&sa, &sa_len)) >= 0) {
        a = rmr_addr_from_bytes(rmr_bytes_of(&sa.sin_addr, 4),
                                ntohs(sa.sin_port));
        e = rmr_dns_read_pkt(d, now, &a, rmr_bytes_of(room, (size_t)n));
        if (rmr_err_class(e) == RMR_CLASS_DISCARD)
            e = RMR_OK; /* not an answer to us; it was counted */
    }
    if (!e && now >= rmr_dns_next_deadline(d))
        e = rmr_dns_handle_deadline(d, now);
    for (size_t len = 1; !e && len > 0;) {
        e = rmr_dns_write_pkt(d, now, rmr_buf_of(room, sizeof room), &len, &a);
        sa.sin_port = htons(a.port);
        memcpy(&sa.sin_addr, a.ip, 4);
        if (!e && len > 0 &&
            sendto(fd, room, len, 0, (struct sockaddr *)&sa, sizeof sa) < 0)
            perror("sendto"); /* as a lost datagram: it is tried again */
    }
    next = rmr_dns_next_deadline(d);
    *wait_ms = next == RMR_TIME_NEVER
                   ? -1
                   : (int)(rmr_time_since(next, now) / RMR_MS) + 1;
    return e;
}

int main(int argc, char **argv)
{
    rmr_env env = rmr_posix_env();
    rmr_err answer = RMR_E_NOTREADY;
    rmr_dns_config cfg = {.try_timeout = RMR_SEC / 4, .tries = 8};
    rmr_dns *d = NULL;
    rmr_addr server;
    int wait_ms = 0;
    if (argc != 3 || rmr_addr_parse(rmr_bytes_str(argv[2]), &server) ||
        server.family != RMR_AF_INET) {
        fprintf(stderr, "usage: own_loop NAME SERVER:PORT\n");
        return 2;
    }
    struct pollfd p = {socket(AF_INET, SOCK_DGRAM, 0), POLLIN, 0};
    if (p.fd < 0) {
        perror("socket");
        return 1;
    }
    cfg.callbacks.user = &answer;
    cfg.callbacks.on_answer = on_answer;
    rmr_err e = rmr_dns_new(&d, &env, &cfg);
    if (!e)
        e = rmr_dns_set_servers(d, &server, 1, rmr_bytes_str(""),
                                rmr_bytes_str(""));
    if (!e)
        e = rmr_dns_query(d, rmr_posix_now(), 1, argv[1]);
    while (!e && !rmr_dns_is_idle(d)) {
        e = turn(d, p.fd, &wait_ms);
        if (!e && !rmr_dns_is_idle(d) && poll(&p, 1, wait_ms) < 0)
            e = RMR_E_IO;
    }
    if (e || answer)
        fprintf(stderr, "%s: %s\n", argv[1], rmr_err_name(e ? e : answer));
    rmr_dns_free(d);
    (void)close(p.fd);
    return e || answer ? 1 : 0;
}
