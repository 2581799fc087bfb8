/*
 * A certificate that the coordinator makes for its relay, in a file that nobody
 * else can read.
 */
#ifndef CLI_COORD_CERT_H
#define CLI_COORD_CERT_H

#include <remora/base.h>
#include <remora/tls_srv.h>

#include "files.h"

/** A certificate for a host that its own key signs, and that key, in one text.
 *  It is made for a year, and anew where 30 days of it are left, where it was
 *  another host's, and where it is not valid yet.  What is none is told and
 *  never overwritten.
 *  \param out  The text, to be freed by cli_file_free.
 *  False: `error` is a sentence. */
bool cli_coord_cert_file(cli_file *out, const char *path, const char *host,
                         const rmr_env *env, uint64_t wall_unix_ns, char *error,
                         size_t cap);

#endif
