/* The kernel as the end of a scenario's connections: ordinary sockets above,
 * raw packets on a TUN device below. */
#ifndef TEST_KERNEL_END_H
#define TEST_KERNEL_END_H

#include <stddef.h>
#include <stdint.h>

/* Plays a line to the kernel, in this process' network namespace, from the port
 * and with the first sequence number that are given. err: empty, or what was
 * not as expected. */
void kernel_run(int tun, const char *line, uint16_t port, uint32_t iss,
                char *err, size_t cap);

#endif
