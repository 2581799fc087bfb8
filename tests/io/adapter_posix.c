/* io-posix for the adapter suite. */
#include "adapter.h"

#include <remora/posix.h>

#include <stdlib.h>

#ifndef ADAPTER_PORTABLE
#define ADAPTER_PORTABLE false
#endif

static rmr_posix *posix_of(adapter *a)
{
    return (rmr_posix *)(void *)a;
}

adapter *adapter_new(const char *dir)
{
    rmr_posix_config cfg;
    rmr_posix *p = NULL;
    rmr_posix_config_init(&cfg, sizeof cfg);
    cfg.dir = dir;
    cfg.portable = ADAPTER_PORTABLE;
    return rmr_posix_new(&p, &cfg) == RMR_OK ? (adapter *)(void *)p : NULL;
}

void adapter_free(adapter *a)
{
    rmr_posix_free(posix_of(a));
}

void adapter_add(adapter *a, const rmr_machine *m)
{
    if (rmr_posix_add(posix_of(a), m) != RMR_OK)
        abort();
}

size_t adapter_turn(adapter *a, rmr_dur max_wait)
{
    size_t running = 0;
    if (rmr_posix_turn(posix_of(a), max_wait, &running) != RMR_OK)
        abort();
    return running;
}

void adapter_request_stop(adapter *a)
{
    rmr_posix_request_stop(posix_of(a));
}

void adapter_wake(adapter *a)
{
    rmr_posix_wake(posix_of(a));
}

rmr_time adapter_now(void)
{
    return rmr_posix_now();
}

void adapter_forget(const char *dir)
{
    (void)dir; /* its files are the suite's to remove */
}

const bool adapter_is_host = true;
