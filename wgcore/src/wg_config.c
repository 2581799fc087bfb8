/* Sized structs: fields that the caller's version doesn't know keep their
 * defaults. */
#include <string.h>

#include "wg_internal.h"

static uint32_t clear(void *dst, size_t known, size_t size)
{
    size_t n = size < known ? size : known;
    memset(dst, 0, n);
    return (uint32_t)n;
}

void rmr_wg_config_init(rmr_wg_config *cfg, size_t struct_size)
{
    rmr_wg_config def;
    memset(&def, 0, sizeof def);
    def.struct_size = clear(cfg, sizeof def, struct_size);
    def.max_peers = 1024;
    def.max_staged_pkts = 128;
    def.max_staged_bytes = 4u << 20;
    def.mtu = 1280;
    def.load_per_second = 128;
    memcpy(cfg, &def, def.struct_size);
}

void rmr_wg_peer_config_init(rmr_wg_peer_config *pc, size_t struct_size)
{
    uint32_t n = clear(pc, sizeof *pc, struct_size);
    memcpy(pc, &n, sizeof n); /* struct_size is the first field */
}
