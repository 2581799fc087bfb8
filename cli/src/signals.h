/*
 * The signals of a command that runs until it is told to end.
 */
#ifndef CLI_SIGNALS_H
#define CLI_SIGNALS_H

#include <remora/posix.h>

/** SIGHUP is noted and ends the adapter's wait, see cli_signals_reload; to the
 *  end of the program.  First of all, so that one that comes early ends nothing:
 *  it counts when there is something to read anew.  Who never calls it leaves
 *  SIGHUP as it was (nohup). */
void cli_signals_reloads(void);
/** SIGINT and SIGTERM ask the adapter's machines to stop, a second one ends the
 *  program at once.  There is one adapter a program. */
void cli_signals_catch(rmr_posix *p);
/** Both as they were; before the adapter is freed. */
void cli_signals_release(void);
/** Did SIGHUP come since the last question? */
bool cli_signals_reload(void);

#endif
