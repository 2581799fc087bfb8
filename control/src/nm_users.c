/* The users that were told, one after the other. */
#include "nm_internal.h"

bool rmr_nm_next_user(const rmr_nm *nm, size_t *pos, rmr_nm_user *out)
{
    if (*pos >= nm->n_users)
        return false;
    return rmr_nm_user_profile(nm, nm->users[(*pos)++]->id, out);
}
