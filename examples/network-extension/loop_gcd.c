/* memory.c over io-gcd, in the form that Apple's systems have. */
#include "loop.h"

#include <remora/gcd.h>
#include <remora/posix.h>

static rmr_gcd *loop;
static dispatch_semaphore_t news;

bool loop_open(const char *dir)
{
    rmr_gcd_config cfg;
    rmr_gcd_config_init(&cfg, sizeof cfg);
    cfg.dir = dir;
    cfg.portable = true;
    news = dispatch_semaphore_create(0);
    return rmr_gcd_new(&loop, &cfg) == RMR_OK;
}

bool loop_add(const rmr_machine *m)
{
    return rmr_gcd_add(loop, m) == RMR_OK;
}

void loop_call(void (*f)(void *context), void *context)
{
    dispatch_sync_f(rmr_gcd_queue(loop), context, f);
    rmr_gcd_wake(loop);
}

typedef struct look {
    const bool *done;
    bool is_done;
} look;

static void look_on_queue(void *context)
{
    look *l = context;
    l->is_done = l->done && *l->done;
}

void loop_run(const bool *done, rmr_dur d)
{
    dispatch_time_t end = dispatch_time(DISPATCH_TIME_NOW, (int64_t)d);
    look l = {done, false};
    do
        dispatch_sync_f(rmr_gcd_queue(loop), &l, look_on_queue);
    while (!l.is_done && dispatch_semaphore_wait(news, end) == 0);
}

void loop_news(void)
{
    (void)dispatch_semaphore_signal(news);
}

void loop_close(void)
{
    rmr_gcd_free(loop);
    dispatch_release(news);
}
