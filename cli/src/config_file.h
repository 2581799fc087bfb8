/*
 * The configuration file of `remora up`: YAML, one mapping, whose keys are the
 * options without "--".
 */
#ifndef CLI_CONFIG_FILE_H
#define CLI_CONFIG_FILE_H

#include "args.h"

/** Reads a->config_file into `a`; what the command line said stays.  True where
 *  none is named.  False: a->error holds a sentence, with the line. */
bool cli_config_read(cli_args *a);

#endif
