/* Buffers of RMR_TLS_POOL_BUF bytes that connections share. */
#ifndef RMRI_TLS_POOL_H
#define RMRI_TLS_POOL_H

#include <remora/tls.h>

struct rmr_tls_pool {
    rmr_alloc alloc;
    uint8_t **idle; /* a stack with room for max: the last used is warm */
    size_t n_idle;
    size_t dirty; /* none was written to behind that     */
    rmr_tls_pool_stats stats;
};

/* `input`: counts against input's half.  NULL: none can be had. */
uint8_t *rmri_tls_pool_take(rmr_tls_pool *p, bool input);
/* `used`: nothing behind that was written since the buffer was taken. */
void rmri_tls_pool_give(rmr_tls_pool *p, uint8_t *buf, size_t used, bool input);
bool rmri_tls_pool_can(const rmr_tls_pool *p, bool input, bool output);

#endif
