/* io-gcd in its portable form, a source for each socket, for the adapter
 * suite. */
#define ADAPTER_PORTABLE true
#include "adapter_gcd.c"
