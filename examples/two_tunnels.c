/* Two WireGuard tunnels and a wire that loses datagrams, on a clock that only
 * this program moves: no socket, no sleeping. */
#include <remora/posix.h> /* for rmr_posix_env; any rmr_env will do */
#include <remora/wgcore.h>

#include <stdio.h>
#include <string.h>

typedef struct end {
    rmr_wg *wg;
    rmr_wg_peer peer; /* the other one */
    struct end *other;
    uint8_t name; /* its endpoint's only byte, and its address's last */
    size_t received;
} end;

static rmr_time now = RMR_SEC;
static unsigned n_sent;

static void on_packet(void *user, rmr_wg_peer peer, rmr_buf ip_packet)
{
    end *e = user;
    (void)peer;
    e->received++;
    printf("%c got %zu bytes at %g s\n", e->name, ip_packet.len,
           (double)now / 1e9);
}

/* The wire.  `emit` may call anything but free: here, the far tunnel. */
static rmr_err carry(void *user, rmr_bytes datagram,
                     const rmr_wg_pkt_info *info)
{
    end *from = user;
    uint8_t copy[2048]; /* read_pkt decrypts in place */
    rmr_wg_endpoint seen = {1, 1, {from->name}};
    bool is_lost = n_sent++ < 2;
    (void)info; /* says to whom: there is only one */
    printf("%c sends %zu bytes%s\n", from->name, datagram.len,
           is_lost ? ", which are lost" : "");
    if (is_lost)
        return RMR_OK;
    memcpy(copy, datagram.ptr, datagram.len);
    rmr_err e = rmr_wg_read_pkt(from->other->wg, now, &seen,
                                rmr_buf_of(copy, datagram.len));
    return rmr_err_class(e) == RMR_CLASS_DISCARD ? RMR_OK : e;
} /* a discard was counted there and is no trouble */

static rmr_err open_tunnel(end *e, const rmr_env *env, const uint8_t *priv,
                           const uint8_t *other_priv)
{
    rmr_wg_callbacks cb = {sizeof cb, .user = e, .on_packet = on_packet};
    rmr_prefix theirs = {{10, 0, 0, e->other->name}, RMR_AF_INET, 32};
    rmr_wg_config cfg;
    rmr_wg_peer_config pc;
    rmr_wg_config_init(&cfg, sizeof cfg);
    memcpy(cfg.private_key, priv, RMR_KEY_LEN);
    cfg.wall_unix_ns = 1700000000 * RMR_SEC;
    cfg.callbacks = &cb;
    rmr_wg_peer_config_init(&pc, sizeof pc);
    rmr_x25519_public(pc.public_key, other_priv);
    pc.endpoint = (rmr_wg_endpoint){1, 1, {e->other->name}};
    rmr_err err = rmr_wg_new(&e->wg, env, &cfg, now);
    err = err ? err : rmr_wg_peer_add(e->wg, now, &pc, &e->peer);
    rmr_wipe(&cfg, sizeof cfg);
    return err ? err : rmr_wg_peer_set_allowed_ips(e->wg, e->peer, &theirs, 1);
}

int main(void)
{
    rmr_env env = rmr_posix_env();
    uint8_t priv[2][RMR_KEY_LEN], room[2048];
    end ends[2] = {{.name = 'a', .other = ends + 1},
                   {.name = 'b', .other = ends}};
    /* A bare IPv4 header: 10.0.0.97 ('a') to 10.0.0.98 ('b'). */
    static const uint8_t ip[20] = {
        0x45, [3] = 20, [8] = 64, 17, [12] = 10, [15] = 'a', 10, [19] = 'b'};
    rmr_err e = rmr_crypto_init();
    if (!e)
        e = rmr_rng_fill(&env.rng, priv, sizeof priv); /* clamped when used */
    for (int i = 0; i < 2 && !e; i++)
        e = open_tunnel(&ends[i], &env, priv[i], priv[1 - i]);
    if (!e)
        e = rmr_wg_send(ends[0].wg, now, ends[0].peer,
                        rmr_bytes_of(ip, sizeof ip));
    while (!e && ends[1].received == 0) {
        unsigned before = n_sent;
        for (end *x = ends; x < ends + 2 && !e; x++) {
            if (!(e = rmr_wg_handle_deadline(x->wg, now))) /* early: nothing */
                e = rmr_wg_flush(x->wg, now, rmr_buf_of(room, 2048), carry, x);
        }
        if (n_sent == before) /* quiet: nothing happens until a deadline */
            now = rmr_time_min(rmr_wg_next_deadline(ends[0].wg),
                               rmr_wg_next_deadline(ends[1].wg));
    }
    printf("%s\n", rmr_err_name(e));
    rmr_wg_free(ends[0].wg);
    rmr_wg_free(ends[1].wg);
    rmr_wipe(priv, sizeof priv);
    return e ? 1 : 0;
}
