/*
 * Words to people.
 */
#ifndef CLI_PRINT_H
#define CLI_PRINT_H

#include <stdio.h>

#include <remora/base.h>

/** One line on stderr: "remora: " and the text, control characters replaced
 *  (the text may quote what a server or a peer said). */
void cli_complain(const char *fmt, ...) RMR_PRINTF(1, 2);

/** Everything on stderr is a line of JSON from now on, with time, level, layer
 *  and msg: complaints too. */
void cli_print_json(void);

/** Does this character steer a terminal, end a line, or turn its direction, so
 *  that it reads as another? */
bool cli_is_harmful(uint32_t c);

/** Text from outside: such characters, and what is no UTF-8, become '?'. */
void cli_print_clean(FILE *to, rmr_bytes text);

/** The same into dst, cut to fit, NUL-terminated. */
void cli_clean_copy(char *dst, size_t cap, rmr_bytes text);

/** A sink that prints lines of `max` and below on stderr, while *quiet is
 *  false: UTC time, level, layer and text.  Retains `quiet`. */
rmr_log cli_log(rmr_log_level max, bool *quiet);

/** "1.5 MB" and the like, into dst. */
#define CLI_SIZE_TEXT_MAX 24
const char *cli_size_text(uint64_t bytes, char dst[CLI_SIZE_TEXT_MAX]);

/** "2 minutes ago", from seconds. */
#define CLI_AGE_TEXT_MAX 24
const char *cli_age_text(uint64_t seconds, char dst[CLI_AGE_TEXT_MAX]);

#endif
