/* What wg_tun is told on its command line. */
#ifndef WG_OPTIONS_H
#define WG_OPTIONS_H

#include <remora/addr.h>
#include <remora/wgcore.h>

#include <stdbool.h>

enum { WG_MAX_PEERS = 8, WG_MAX_ALLOWED = 16 };

typedef struct wg_peer_options {
    rmr_wg_peer_config config;
    rmr_prefix allowed[WG_MAX_ALLOWED];
    size_t n_allowed;
} wg_peer_options;

typedef struct wg_options {
    const char *tun;     /* name of the interface                      */
    const char *control; /* path of the unix socket                    */
    uint64_t port, mtu, load, speed;
    uint8_t key[RMR_KEY_LEN];
    wg_peer_options peers[WG_MAX_PEERS];
    size_t n_peers;
} wg_options;

extern const char wg_usage[];

/* False with a line on stderr when there is something wrong. */
bool wg_options_parse(wg_options *o, char **argv);

/* A base64 key; false when it is none. */
bool wg_key_parse(uint8_t key[RMR_KEY_LEN], const char *text);

#endif
