#include "parts.h"

#include <stdio.h>
#include <stdlib.h>

#include "vectors.h"

#define RELAY_IP 240 /* and on */

void parts_need(rmr_err err, const char *what)
{
    if (err == RMR_OK)
        return;
    (void)fprintf(stderr, "a simulated tailnet: %s: %s (%d)\n", what,
                  rmr_err_name(err), (int)err);
    abort();
}

rmr_sim_host parts_host(rmr_sim *sim, rmr_sim_net net, const char *name,
                        const rmr_addr *addrs, size_t n, rmr_dur delay)
{
    rmr_sim_host_config c;
    rmr_sim_host host;
    rmr_sim_host_config_init(&c, sizeof c);
    c.name = name;
    c.addrs = addrs;
    c.n_addrs = n;
    c.up.delay = c.down.delay = delay;
    c.receive_runs = true;
    parts_need(rmr_sim_host_new(sim, net, &c, &host), name);
    return host;
}

/* ---- relays -------------------------------------------------------------- */

void parts_relay_host(parts_relay *r, rmr_sim *sim, uint32_t i, rmr_dur delay)
{
    char name[24];
    rmr_addr at = rmr_addr_v4(203, 0, 113, (uint8_t)(RELAY_IP + i), 0);
    (void)snprintf(name, sizeof name, "relay%u", i + 1);
    r->host = parts_host(sim, RMR_SIM_INTERNET, name, &at, 1, delay);
}

void parts_relay_start(parts_relay *r, rmr_sim *sim, const rmr_env *env,
                       const parts_relay_kind *kind)
{
    rmr_relay_config c;
    rmr_addr tls = rmr_addr_v4(0, 0, 0, 0, 443);
    rmr_addr stun = rmr_addr_v4(0, 0, 0, 0, 3478);
    char *cert = tv_text(kind->cert), *key = tv_text("tls/ec.key");
    rmr_relay_config_init(&c, sizeof c);
    c.listen = &tls;
    c.n_listen = 1;
    c.stun = &stun;
    c.n_stun = 1;
    c.cert_pem = rmr_bytes_str(cert);
    c.key_pem = rmr_bytes_str(key);
    if (kind->tls_buffers)
        c.tls_buffers = kind->tls_buffers;
    if (kind->max_clients)
        c.max_clients = kind->max_clients;
    parts_need(rmr_relay_new(&r->relay, env, &c, rmr_sim_now(sim)), "relay");
    free(cert);
    free(key);
    rmr_machine m = rmr_relay_machine(r->relay);
    parts_need(rmr_sim_add(sim, r->host, &m, &r->program), "relay");
}

void parts_relay_stop(parts_relay *r, rmr_sim *sim)
{
    parts_need(rmr_sim_remove(sim, r->program, RMR_SIM_KILLED), "relay");
    rmr_relay_free(r->relay);
    r->relay = NULL;
}

void parts_derp_map(char *dst, size_t cap, uint32_t regions, const char *pin)
{
    size_t n = (size_t)snprintf(dst, cap, "{\"Regions\":{");
    const char *comma = "";
    for (uint32_t i = 0; i < 32; i++) {
        char who[160];
        uint32_t ip = RELAY_IP + i, region = i + 1;
        if (!(regions >> i & 1))
            continue;
        if (pin)
            (void)snprintf(who, sizeof who,
                           "\"HostName\":\"203.0.113.%u\","
                           "\"CertName\":\"sha256-raw:%s\"",
                           ip, pin);
        else
            (void)snprintf(who, sizeof who, "\"HostName\":\"r%u.wild.test\"",
                           region);
        n += (size_t)snprintf(
            dst + n, cap - n,
            "%s\"%u\":{\"RegionID\":%u,\"RegionCode\":\"r%u\",\"Nodes\":[{"
            "\"Name\":\"%ua\",\"RegionID\":%u,%s,"
            "\"IPv4\":\"203.0.113.%u\",\"IPv6\":\"none\"}]}",
            comma, region, region, region, region, region, who, ip);
        comma = ",";
    }
    (void)snprintf(dst + n, cap - n, "}}");
}

/* ---- a log --------------------------------------------------------------- */

static void write_log(void *user, rmr_log_level level, const char *layer,
                      const char *msg, size_t len)
{
    const parts_log *l = user;
    (void)level;
    (void)len;
    (void)fprintf(stderr, "%10.3f %s %s: %s\n",
                  (double)rmr_sim_now(l->sim) / 1e9, l->name, layer, msg);
}

rmr_log parts_log_table(parts_log *l, const rmr_sim *sim, const char *name,
                        bool is_on)
{
    l->sim = sim;
    l->name = name;
    return (rmr_log){is_on ? write_log : NULL, l,
                     is_on ? RMR_LOG_DEBUG : RMR_LOG_OFF};
}
