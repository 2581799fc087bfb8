/*
 * The generated parser of llhttp 8 from the system's C sources (Debian's
 * node-llhttp).
 *
 * Every global name gets the prefix rmri_ (llhttp_names.h, written by CMake
 * from the sources themselves), so that a host program may link an llhttp of
 * its own, of another version or laxer.
 */
#include "llhttp_names.h"

#include <llhttp.c>
