/* See net/route.h. */
#ifndef REMORA_TEST_BSD_SYSCTL_H
#define REMORA_TEST_BSD_SYSCTL_H

#include <stddef.h>

#define CTL_NET 4
#define NET_RT_FLAGS 2

int sysctl(const int *name, unsigned int n, void *out, size_t *out_len,
           const void *in, size_t in_len);

#endif
