/* SQLite's way to the disk, cut at one of the calls that change it. */
#ifndef REMORA_TESTS_DYING_VFS_H
#define REMORA_TESTS_DYING_VFS_H

typedef enum dying_how {
    DYING_BEFORE, /* SIGKILL in front of the call                      */
    DYING_WITHIN, /* ... with half of what it writes                   */
    DYING_BEHIND, /* ... behind it                                     */
    DYING_POWER,  /* and what was written behind each file's last sync
                     is gone                                           */
    DYING_HOWS
} dying_how;

/* For all databases that this process opens from now on. */
void dying_begin(unsigned at, dying_how how);

#endif
