/* A network namespace of its own, whose only way out is a TUN device that this
 * program reads and writes. */
#ifndef TEST_TUN_H
#define TEST_TUN_H

#include <stddef.h>

#define TUN_MTU 1280

/* Moves the process into a new namespace with the kernel's TCP set as the
 * scenarios need it (README.md), 100.64.0.1 on a TUN device and 100.64.0.2
 * behind it. The descriptor of the device, which doesn't block; or -1, and err
 * says what is missing. */
int tun_enter(char *err, size_t cap);

#endif
