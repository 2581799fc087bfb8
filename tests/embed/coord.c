/* A coordination server that is told the time and asked what it wants. */
#include <remora/coord.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *take(void *user, size_t size, size_t align)
{
    (void)user;
    return aligned_alloc(align, (size + align - 1) / align * align);
}

static void give(void *user, void *ptr, size_t size)
{
    (void)user;
    (void)size;
    free(ptr);
}

static rmr_err fill(void *user, uint8_t *dst, size_t len)
{
    (void)user;
    memset(dst, 7, len); /* a program of yours asks getrandom(2) */
    return RMR_OK;
}

int main(void)
{
    static uint8_t scratch[RMR_IO_SCRATCH_MIN];
    static const uint8_t key[RMR_KEY_LEN] = {8, [31] = 64};
    rmr_env env = {.alloc = {take, give, NULL}, .rng = {fill, NULL}};
    rmr_addr at = rmr_addr_v4(127, 0, 0, 1, 8080);
    rmr_coord_config cfg;
    rmr_coord *coord;
    uint64_t user;
    rmr_coord_config_init(&cfg, sizeof cfg);
    cfg.listen = &at;
    cfg.n_listen = 1;
    cfg.server_url = "http://127.0.0.1:8080";
    cfg.private_key = key;
    if (rmr_coord_new(&coord, &env, &cfg, RMR_SEC) != RMR_OK ||
        rmr_coord_user_add(coord, "alice", &user) != RMR_OK)
        return 1;
    rmr_machine m = rmr_coord_machine(coord);
    rmr_io_event wall = {.kind = RMR_IO_WALL,
                         .wall_unix_ns = 1800000000ull << 30};
    rmr_io_op op;
    if (m.event(m.self, RMR_SEC, &wall) != RMR_OK ||
        m.next_op(m.self, RMR_SEC, rmr_buf_of(scratch, sizeof scratch), &op) !=
            RMR_OK ||
        op.kind != RMR_IO_LISTEN)
        return 1;
    printf("user %u; it wants to listen\n", (unsigned)user);
    rmr_coord_free(coord);
    return 0;
}
