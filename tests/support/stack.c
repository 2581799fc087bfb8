#define _POSIX_C_SOURCE 200809L
#include "stack.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The end of a thread uses its stack too: the function runs far below that. */
enum { SIZE = 512 << 10, BETWEEN = 128 << 10 };

/* The same memory at two addresses: tools that know what is below a stack's
 * pointer as dead don't know it of the other one. */
static uint8_t *stack, *view;

typedef struct call {
    void (*run)(void *arg);
    void *arg;
} call;

static uint8_t *map(FILE *f)
{
    void *p =
        mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(f), 0);
    if (p == MAP_FAILED)
        abort();
    return (uint8_t *)p;
}

static void make_stack(void)
{
    FILE *f = tmpfile();
    if (!f || ftruncate(fileno(f), SIZE))
        abort();
    stack = map(f);
    view = map(f);
    fclose(f);
}

static void *enter(void *arg)
{
    const call *c = (const call *)arg;
    volatile uint8_t between[BETWEEN];
    between[0] = between[BETWEEN - 1] = 0;
    c->run(c->arg);
    return between[0] ? arg : NULL;
}

static void nothing(void *arg)
{
    (void)arg;
}

static void once(void (*run)(void *arg), void *arg)
{
    call c = {run, arg};
    pthread_attr_t attr;
    pthread_t t;
    memset(view, 0, SIZE);
    if (pthread_attr_init(&attr) || pthread_attr_setstack(&attr, stack, SIZE) ||
        pthread_create(&t, &attr, enter, &c) || pthread_join(t, NULL))
        abort();
    pthread_attr_destroy(&attr);
}

/* The first call of a function of a shared library saves all registers on the
 * stack; so a thread ends once before. */
void test_on_stack(void (*run)(void *arg), void *arg)
{
    if (!stack)
        make_stack();
    once(nothing, NULL);
    once(run, arg);
}

bool test_stack_has(const void *bytes, size_t len)
{
    for (size_t i = 0; i + len <= SIZE; i++)
        if (memcmp(view + i, bytes, len) == 0)
            return true;
    return false;
}
