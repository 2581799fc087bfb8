/* A tunnel that leaves its cipher work to two threads: packets leave in order,
 * whichever thread is first.  The other tunnel reads them as one array. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <remora/posix.h>
#include <remora/wgcore.h>

#define N 64
#define LEN 100

static uint8_t bufs[N][RMR_PKT_HEADROOM + LEN + RMR_PKT_TAILROOM];
static rmr_wg_job jobs[N];
static rmr_wg_in in[N]; /* what was sealed, in order */
static size_t n_sealed, n_arrived;
static const rmr_wg_endpoint where = {1, 1, {'x'}};

typedef struct worker {
    pthread_t thread;
    rmr_aead aead; /* its own */
    size_t first;  /* job, and every other from there */
} worker;

/* pthread_create and pthread_join hand the jobs over and back. */
static void *work(void *arg)
{
    const worker *w = arg;
    rmr_wg_job *mine[N];
    size_t n = 0;
    for (size_t i = w->first; i < N; i += 2)
        mine[n++] = &jobs[i];
    rmr_wg_job_run(&w->aead, mine, n);
    return NULL;
}

static void on_job(void *user, rmr_wg_job *job)
{
    (void)user;
    in[n_sealed].from = &where;
    in[n_sealed].datagram = rmr_buf_of(rmr_pkt_data(&job->pkt), job->pkt.len);
    n_sealed += job->err == RMR_OK;
}

static void on_packet(void *user, rmr_wg_peer peer, rmr_buf ip)
{
    (void)user, (void)peer;
    n_arrived += ip.ptr[20] == n_arrived; /* in order */
}

static rmr_wg *tunnel(const uint8_t key[32], const uint8_t other[32],
                      rmr_wg_peer *peer)
{
    const rmr_wg_callbacks cb = {
        .struct_size = sizeof cb, .on_packet = on_packet, .on_job = on_job};
    const rmr_prefix all = {.family = RMR_AF_INET}; /* 0.0.0.0/0 */
    rmr_env env = rmr_posix_env();
    rmr_wg_config cfg;
    rmr_wg_peer_config pc;
    rmr_wg *wg;
    rmr_wg_config_init(&cfg, sizeof cfg);
    memcpy(cfg.private_key, key, 32);
    cfg.callbacks = &cb;
    rmr_wg_peer_config_init(&pc, sizeof pc);
    rmr_x25519_public(pc.public_key, other);
    pc.endpoint = where;
    if (rmr_wg_new(&wg, &env, &cfg, 0) || rmr_wg_peer_add(wg, 0, &pc, peer) ||
        rmr_wg_peer_set_allowed_ips(wg, *peer, &all, 1))
        return NULL;
    return wg;
}

static rmr_err carry(void *to, rmr_bytes d, const rmr_wg_pkt_info *info)
{
    uint8_t copy[256];
    memcpy(copy, d.ptr, d.len);
    return rmr_wg_read_pkt(to, 0, &info->to, rmr_buf_of(copy, d.len));
}

int main(void)
{
    static const uint8_t keys[2][32] = {{8, [31] = 64}, {16, [31] = 64}};
    static const uint8_t ip[20] = {0x45, [3] = LEN}; /* all zero addresses */
    uint8_t room[256];
    rmr_wg_peer peer, back;
    rmr_env env = rmr_posix_env();
    worker workers[2];
    if (rmr_crypto_init())
        return 1;
    rmr_wg *a = tunnel(keys[0], keys[1], &peer);
    rmr_wg *b = tunnel(keys[1], keys[0], &back);
    if (!a || !b || rmr_wg_peer_set_keepalive(a, 0, peer, 25))
        return 1;
    for (int i = 0; i < 2; i++) { /* the handshake */
        rmr_wg_flush(a, 0, rmr_buf_of(room, sizeof room), carry, b);
        rmr_wg_flush(b, 0, rmr_buf_of(room, sizeof room), carry, a);
    }
    for (size_t i = 0; i < N; i++) {
        jobs[i].pkt =
            rmr_pkt_of(rmr_buf_of(bufs[i], sizeof bufs[i]), RMR_PKT_HEADROOM);
        memcpy(rmr_pkt_put(&jobs[i].pkt, LEN), ip, sizeof ip);
        rmr_pkt_data(&jobs[i].pkt)[20] = (uint8_t)i;
        jobs[i].peer = peer;
        if (rmr_wg_job_seal(a, 0, &jobs[i]))
            return 1;
    }
    for (size_t i = 0; i < 2; i++) {
        workers[i].first = i;
        if (rmr_aead_new(&workers[i].aead, &env.alloc, NULL) ||
            pthread_create(&workers[i].thread, NULL, work, &workers[i]))
            return 1;
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(workers[i].thread, NULL);
        rmr_aead_wipe(&workers[i].aead);
    }
    for (size_t i = N; i-- > 0;) /* in any order */
        rmr_wg_job_end(a, 0, &jobs[i]);
    rmr_wg_read_pkts(b, 0, in, n_sealed);
    printf("%zu of %d packets arrived in order\n", n_arrived, N);
    rmr_wg_free(a);
    rmr_wg_free(b);
    return n_arrived == N ? 0 : 1;
}
