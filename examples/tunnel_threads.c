/*
 * A tunnel that leaves its cipher work to two threads.  Packets are sealed by
 * jobs in A, in order, whichever thread is first; B reads them as one batch.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <remora/posix.h>
#include <remora/wgcore.h>

#define N 64
#define ROOM (RMR_PKT_HEADROOM + 100 + RMR_PKT_TAILROOM)

static uint8_t bufs[N][ROOM];
static rmr_wg_job jobs[N];
static rmr_wg_in in[N]; /* what A sealed, in order */
static size_t n_sealed, n_arrived;
static bool done[2]; /* by the thread of that number */
static const rmr_wg_endpoint where = {1, 1, {'x'}};

/* The hand-over: thread i takes the jobs of its number.  pthread_create hands
 * them over, pthread_join hands them back. */
static void *work(void *arg)
{
    bool *is_done = arg;
    size_t first = (size_t)(is_done - done);
    rmr_wg_job *mine[N];
    rmr_aead aead;
    rmr_env env = rmr_posix_env();
    size_t n = 0;
    for (size_t i = first; i < N; i += 2)
        mine[n++] = &jobs[i];
    if (rmr_aead_new(&aead, &env.alloc, NULL) == RMR_OK) {
        rmr_wg_job_run(&aead, mine, n);
        rmr_aead_wipe(&aead);
        *is_done = true;
    }
    return NULL;
}

static void on_job(void *user, rmr_wg_job *job)
{
    (void)user;
    if (job->err)
        return;
    in[n_sealed].from = &where;
    in[n_sealed++].datagram = rmr_buf_of(rmr_pkt_data(&job->pkt), job->pkt.len);
}

static void on_packet(void *user, rmr_wg_peer peer, rmr_buf ip)
{
    (void)user;
    (void)peer;
    if (ip.ptr[20] == n_arrived) /* in order */
        n_arrived++;
}

static rmr_wg *tunnel(const uint8_t key[32], const uint8_t peer[32],
                      const char *prefix, rmr_wg_peer *out)
{
    const rmr_wg_callbacks cb = {
        .struct_size = sizeof cb, .on_packet = on_packet, .on_job = on_job};
    rmr_env env = rmr_posix_env();
    rmr_wg_config cfg;
    rmr_wg_peer_config pc;
    rmr_prefix p;
    rmr_wg *wg;
    rmr_wg_config_init(&cfg, sizeof cfg);
    memcpy(cfg.private_key, key, 32);
    cfg.callbacks = &cb;
    rmr_wg_peer_config_init(&pc, sizeof pc);
    memcpy(pc.public_key, peer, 32);
    pc.endpoint = where;
    if (rmr_wg_new(&wg, &env, &cfg, 0) || rmr_wg_peer_add(wg, 0, &pc, out) ||
        rmr_prefix_parse(rmr_bytes_str(prefix), &p) ||
        rmr_wg_peer_set_allowed_ips(wg, *out, &p, 1))
        return NULL;
    return wg;
}

static rmr_err carry(void *to, rmr_bytes d, const rmr_wg_pkt_info *info)
{
    uint8_t copy[256];
    memcpy(copy, d.ptr, d.len);
    return rmr_wg_read_pkt(to, 0, &info->to, rmr_buf_of(copy, d.len));
}

static void packet(rmr_wg_job *job, uint8_t *buf, uint8_t number)
{
    static const uint8_t ip[20] = {0x45, 0, 0,  100, 0, 0, 0,  0, 64, 17,
                                   0,    0, 10, 0,   0, 1, 10, 0, 0,  2};
    job->pkt = rmr_pkt_of(rmr_buf_of(buf, ROOM), RMR_PKT_HEADROOM);
    uint8_t *at = rmr_pkt_put(&job->pkt, 100);
    memset(at, number, 100);
    memcpy(at, ip, sizeof ip);
}

int main(void)
{
    uint8_t ka[32] = {8}, kb[32] = {16}, pa[32], pb[32], scratch[256];
    rmr_wg_peer b_of_a, a_of_b;
    pthread_t threads[2];
    if (rmr_crypto_init())
        return 1;
    rmr_key_clamp(ka);
    rmr_key_clamp(kb);
    rmr_x25519_public(pa, ka);
    rmr_x25519_public(pb, kb);
    rmr_wg *a = tunnel(ka, pb, "10.0.0.2/32", &b_of_a);
    rmr_wg *b = tunnel(kb, pa, "10.0.0.1/32", &a_of_b);
    if (!a || !b || rmr_wg_peer_set_keepalive(a, 0, b_of_a, 25))
        return 1;
    for (int i = 0; i < 2; i++) { /* the handshake */
        rmr_wg_flush(a, 0, rmr_buf_of(scratch, sizeof scratch), carry, b);
        rmr_wg_flush(b, 0, rmr_buf_of(scratch, sizeof scratch), carry, a);
    }
    for (size_t i = 0; i < N; i++) {
        packet(&jobs[i], bufs[i], (uint8_t)i);
        jobs[i].peer = b_of_a;
        if (rmr_wg_job_seal(a, 0, &jobs[i]))
            return 1;
    }
    for (int i = 0; i < 2; i++)
        if (pthread_create(&threads[i], NULL, work, &done[i]))
            return 1;
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    if (!done[0] || !done[1])
        return 1;
    for (size_t i = N; i-- > 0;) /* in any order: on_job comes in theirs */
        rmr_wg_job_end(a, 0, &jobs[i]);
    rmr_wg_read_pkts(b, 0, in, n_sealed);
    printf("%zu of %d packets arrived in order\n", n_arrived, N);
    rmr_wg_free(a);
    rmr_wg_free(b);
    return n_arrived == N ? 0 : 1;
}
