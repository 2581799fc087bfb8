/* io-posix in its portable form for the adapter suite. */
#define ADAPTER_PORTABLE true
#include "adapter_posix.c"
