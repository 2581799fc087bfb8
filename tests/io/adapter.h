/* The adapter under test.  The suite knows adapters by this table alone; one
 * file for each adapter (adapter_posix.c, ...) gives it. */
#ifndef REMORA_TEST_ADAPTER_H
#define REMORA_TEST_ADAPTER_H

#include <remora/io.h>

typedef struct adapter adapter;

/* `dir`: for blobs and local endpoints, NULL: without.  NULL: it refused. */
adapter *adapter_new(const char *dir);
void adapter_free(adapter *a);
/* Aborts when it can't. */
void adapter_add(adapter *a, const rmr_machine *m);
/* One turn, waiting at most so long; machines that are left. */
size_t adapter_turn(adapter *a, rmr_dur max_wait);
void adapter_request_stop(adapter *a);
/* From a signal handler too. */
void adapter_wake(adapter *a);
rmr_time adapter_now(void);
/* After a test: what a simulated host kept for that directory. */
void adapter_forget(const char *dir);

/* Whether there is a real host, with files, descriptors and a TCP of its own;
 * README.md says what the simulator is spared. */
extern const bool adapter_is_host;

#endif
