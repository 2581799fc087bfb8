/* What this process uses, as the system tells it. */
#ifndef CLI_USAGE_H
#define CLI_USAGE_H

#include <stdbool.h>
#include <stdint.h>

/** Open descriptors; false: the system does not tell. */
bool cli_usage_files(uint64_t *n);
/** Resident memory in bytes; false: the system does not tell. */
bool cli_usage_memory(uint64_t *bytes);

/** From now on this process may have as many descriptors open as the system
 *  lets it: a server's connections. */
void cli_raise_open_files(void);

#endif
