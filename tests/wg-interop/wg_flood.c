/* Load for a WireGuard responder: initiations with a right mac1 and nothing else
 * right, for which the responder's public key is enough.
 *   wg_flood ADDR:PORT KEY BURST MS        BURST of them every MS, until SIGTERM
 * Says "cookie" at the first cookie reply that comes back: the responder is under
 * load.  At the end it says how many were sent and how many cookies came. */
#define _GNU_SOURCE /* ppoll */
#include "wg_options.h"
#include "wg_udp.h"

#include <remora/crypto.h>
#include <remora/posix.h> /* for the generator of random bytes */
#include <remora/text.h>

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { INITIATION = 148, MAC1_AT = 116, COOKIE = 64 };

typedef struct flood {
    rmr_addr to;
    wg_udp udp;
    uint8_t mac1_key[RMR_HASH_LEN];
    uint8_t msg[INITIATION]; /* mac2 stays zero */
    uint64_t burst, every_ms, sent, cookies;
} flood;

static volatile sig_atomic_t is_ending;

static void on_term(int sig)
{
    (void)sig;
    is_ending = 1;
}

/* Another ephemeral key each time: what was answered once is not a replay. */
static void send_one(flood *f)
{
    f->sent++;
    memcpy(f->msg + 8, &f->sent, sizeof f->sent);
    rmr_blake2s_mac(f->msg + MAC1_AT,
                    rmr_bytes_of(f->mac1_key, sizeof f->mac1_key),
                    rmr_bytes_of(f->msg, MAC1_AT));
    (void)wg_udp_send(&f->udp, &f->to, rmr_bytes_of(f->msg, sizeof f->msg));
}

static void count_cookies(flood *f)
{
    uint8_t room[256];
    rmr_addr from;
    ssize_t n;
    int fd = f->to.family == RMR_AF_INET ? f->udp.v4 : f->udp.v6;
    while ((n = wg_udp_recv(fd, rmr_buf_of(room, sizeof room), &from)) >= 0)
        if (n == COOKIE && room[0] == 3 && f->cookies++ == 0) {
            printf("cookie\n");
            (void)fflush(stdout);
        }
}

static bool prepare(flood *f, char **argv)
{
    rmr_env env = rmr_posix_env();
    uint8_t key[RMR_KEY_LEN];
    memset(f, 0, sizeof *f);
    if (rmr_addr_parse(rmr_bytes_str(argv[1]), &f->to) ||
        !wg_key_parse(key, argv[2]) ||
        rmr_parse_u64(rmr_bytes_str(argv[3]), 10000, &f->burst) ||
        rmr_parse_u64(rmr_bytes_str(argv[4]), 10000, &f->every_ms) ||
        rmr_crypto_init() || rmr_rng_fill(&env.rng, f->msg, MAC1_AT))
        return false;
    memcpy(f->msg, "\1\0\0\0", 4);
    rmr_blake2s_256(f->mac1_key, rmr_bytes_str("mac1----"),
                    rmr_bytes_of(key, sizeof key));
    return wg_udp_open(&f->udp, 0);
}

int main(int argc, char **argv)
{
    flood f;
    struct sigaction sa;
    sigset_t term, old;
    memset(&sa, 0, sizeof sa);
    sa.sa_handler = on_term;
    (void)sigaction(SIGTERM, &sa, NULL);
    (void)sigemptyset(&term);
    (void)sigaddset(&term, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &term, &old);
    if (argc != 5 || !prepare(&f, argv)) {
        fprintf(stderr, "usage: wg_flood ADDR:PORT KEY BURST MS\n");
        return 2;
    }
    struct timespec pause = {(time_t)(f.every_ms / 1000),
                             (long)(f.every_ms % 1000 * RMR_MS)};
    while (!is_ending) {
        for (uint64_t i = 0; i < f.burst; i++)
            send_one(&f);
        (void)ppoll(NULL, 0, &pause, &old);
        count_cookies(&f);
    }
    printf("%" PRIu64 " sent, %" PRIu64 " cookies\n", f.sent, f.cookies);
    wg_udp_close(&f.udp);
    return 0;
}
