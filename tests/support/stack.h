/* What a call leaves on its stack. */
#ifndef REMORA_TEST_STACK_H
#define REMORA_TEST_STACK_H

#include <remora/base.h>

/* Runs a function on a stack of its own, which was zeroed, and keeps that as it
 * is afterwards.  One at a time; what the function returned by is unharmed. */
void test_on_stack(void (*run)(void *arg), void *arg);
/* Are these bytes somewhere on it? */
bool test_stack_has(const void *bytes, size_t len);

#endif
