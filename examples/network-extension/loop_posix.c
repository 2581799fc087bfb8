/* memory.c over io-posix. */
#include "loop.h"

#include <remora/posix.h>

static rmr_posix *loop;

bool loop_open(const char *dir)
{
    rmr_posix_config cfg;
    rmr_posix_config_init(&cfg, sizeof cfg);
    cfg.dir = dir;
    return rmr_posix_new(&loop, &cfg) == RMR_OK;
}

bool loop_add(const rmr_machine *m)
{
    return rmr_posix_add(loop, m) == RMR_OK;
}

void loop_call(void (*f)(void *context), void *context)
{
    f(context);
}

void loop_run(const bool *done, rmr_dur d)
{
    rmr_time end = rmr_time_add(rmr_posix_now(), d);
    size_t running = 1;
    while (running && !(done && *done) && rmr_posix_now() < end)
        if (rmr_posix_turn(loop, RMR_SEC / 10, &running) != RMR_OK)
            return;
}

void loop_news(void)
{
}

void loop_close(void)
{
    rmr_posix_free(loop);
}
