/* The adapter under memory.c: io-posix, and io-gcd where there is libdispatch. */
#ifndef TUNNEL_LOOP_H
#define TUNNEL_LOOP_H

#include <remora/io.h>

/* false: it can't be. */
bool loop_open(const char *dir);
bool loop_add(const rmr_machine *m);
/* Calls f where machines are called, and has a turn taken. */
void loop_call(void (*f)(void *context), void *context);
/* Until *done (NULL: never), at most for d. */
void loop_run(const bool *done, rmr_dur d);
/* What *done says may be another; where machines are called. */
void loop_news(void);
void loop_close(void);

#endif
