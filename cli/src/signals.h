/*
 * The signals of a command that runs until it is told to end.
 */
#ifndef CLI_SIGNALS_H
#define CLI_SIGNALS_H

#include <remora/posix.h>

/** SIGINT and SIGTERM ask the adapter's machines to stop, a second one ends the
 *  program at once.  There is one adapter a program.
 *  \param reload  SIGHUP ends the adapter's wait, see cli_signals_reload. */
void cli_signals_catch(rmr_posix *p, bool reload);
/** As they were; before the adapter is freed. */
void cli_signals_release(void);
/** Did SIGHUP come since the last question? */
bool cli_signals_reload(void);

#endif
