/* RFC 6479: a ring of words, so that moving the window clears words instead of
 * shifting bits. */
#include "wg_internal.h"

/* The window moves up to a greater counter, which is of another word. */
void rmri_wg_replay_move(wg_replay *r, uint64_t counter)
{
    uint64_t word = r->last / 64, steps = counter / 64 - word;
    if (steps > WG_REPLAY_WORDS)
        steps = WG_REPLAY_WORDS;
    while (steps--)
        r->words[++word % WG_REPLAY_WORDS] = 0;
    r->last = counter;
}
