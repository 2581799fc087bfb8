/* What the node of node_posix.c and node_gcd.c does: it echoes TCP on port 7. */
#ifndef ECHO_H
#define ECHO_H

#include <remora/node.h>

/* \param ca_file  Trust anchors for https; NULL: none.  It says on stdout what
 * becomes of the node. */
rmr_err echo_new(rmr_node **out, const char *control_url, const char *auth_key,
                 const char *ca_file);

#endif
