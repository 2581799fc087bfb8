#include "wg_options.h"
#include "wg_udp.h"

#include <remora/text.h>

#include <stdio.h>
#include <string.h>

const char wg_usage[] =
    "usage: wg_tun --tun NAME --control PATH --key FILE [--port N] [--mtu N]\n"
    "  [--load N] [--speed N] [--peer KEY [--psk FILE] [--endpoint ADDR:PORT]\n"
    "  [--allow PREFIX]... [--keepalive SECONDS]]...\n"
    "FILE holds a base64 key. --load: handshake messages a second above which\n"
    "cookies are asked for. --speed: the tunnel's clock goes N times faster.\n";

bool wg_key_parse(uint8_t key[RMR_KEY_LEN], const char *text)
{
    size_t len = RMR_KEY_LEN;
    return !rmr_unbase64(key, &len, rmr_bytes_str(text)) && len == RMR_KEY_LEN;
}

static bool read_key(uint8_t key[RMR_KEY_LEN], const char *path)
{
    char text[RMR_BASE64_LEN(RMR_KEY_LEN) + 2] = "";
    FILE *f = fopen(path, "r");
    bool ok = f && fgets(text, sizeof text, f);
    if (f)
        (void)fclose(f);
    text[strcspn(text, "\n")] = 0;
    ok = ok && wg_key_parse(key, text);
    rmr_wipe(text, sizeof text);
    return ok;
}

static bool number(uint64_t *out, const char *text, uint64_t max)
{
    return !rmr_parse_u64(rmr_bytes_str(text), max, out);
}

static bool tunnel_option(wg_options *o, const char *name, const char *value)
{
    if (!strcmp(name, "--tun"))
        o->tun = value;
    else if (!strcmp(name, "--control"))
        o->control = value;
    else if (!strcmp(name, "--key"))
        return read_key(o->key, value);
    else if (!strcmp(name, "--port"))
        return number(&o->port, value, 65535);
    else if (!strcmp(name, "--mtu"))
        return number(&o->mtu, value, RMR_WG_MAX_PACKET);
    else if (!strcmp(name, "--load"))
        return number(&o->load, value, UINT32_MAX);
    else if (!strcmp(name, "--speed"))
        return number(&o->speed, value, 1000) && o->speed > 0;
    else
        return false;
    return true;
}

static bool peer_option(wg_peer_options *p, const char *name, const char *value)
{
    uint64_t n;
    rmr_addr a;
    if (!strcmp(name, "--psk"))
        return p->config.has_psk = read_key(p->config.psk, value);
    if (!strcmp(name, "--endpoint")) {
        if (rmr_addr_parse(rmr_bytes_str(value), &a))
            return false;
        p->config.endpoint = wg_endpoint_of(&a);
        return true;
    }
    if (!strcmp(name, "--allow"))
        return p->n_allowed < WG_MAX_ALLOWED &&
               !rmr_prefix_parse(rmr_bytes_str(value),
                                 &p->allowed[p->n_allowed++]);
    if (strcmp(name, "--keepalive") != 0 || !number(&n, value, 65535))
        return false;
    p->config.persistent_keepalive_s = (uint16_t)n;
    return true;
}

static bool new_peer(wg_options *o, const char *key)
{
    if (o->n_peers == WG_MAX_PEERS)
        return false;
    wg_peer_options *p = &o->peers[o->n_peers++];
    rmr_wg_peer_config_init(&p->config, sizeof p->config);
    return wg_key_parse(p->config.public_key, key);
}

bool wg_options_parse(wg_options *o, char **argv)
{
    memset(o, 0, sizeof *o);
    o->mtu = 1420;
    o->load = 128;
    o->speed = 1;
    for (char **a = argv + 1; *a; a += 2) {
        bool ok = false;
        if (a[1] && !strcmp(*a, "--peer"))
            ok = new_peer(o, a[1]);
        else if (a[1])
            ok = tunnel_option(o, *a, a[1]) ||
                 (o->n_peers > 0 &&
                  peer_option(&o->peers[o->n_peers - 1], *a, a[1]));
        if (!ok) { /* the value may be a secret's: not said */
            fprintf(stderr, "wg_tun: %s: wrong option or value\n", *a);
            return false;
        }
    }
    if (!o->tun || !o->control)
        fprintf(stderr, "wg_tun: --tun and --control are needed\n");
    return o->tun && o->control;
}
