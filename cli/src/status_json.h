/*
 * The status object for programs and for people.
 */
#ifndef CLI_STATUS_JSON_H
#define CLI_STATUS_JSON_H

#include <stdio.h>

#include <remora/base.h>

/** A JSON value, indented.  What it says stays the same; bytes that would
 *  steer a terminal are escaped. */
void cli_json_pretty(FILE *to, rmr_bytes json);

#endif
