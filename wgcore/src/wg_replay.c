/* RFC 6479: a ring of words, so that moving the window clears words instead of
 * shifting bits. */
#include "wg_internal.h"

bool rmri_wg_replay_ok(const wg_replay *r, uint64_t counter)
{
    if (counter >= WG_REJECT_AFTER_MESSAGES)
        return false;
    if (counter > r->last)
        return true;
    if (r->last - counter > WG_REPLAY_WINDOW)
        return false;
    return !(r->words[counter / 64 % WG_REPLAY_WORDS] >> counter % 64 & 1);
}

void rmri_wg_replay_mark(wg_replay *r, uint64_t counter)
{
    if (counter > r->last) {
        uint64_t word = r->last / 64, steps = counter / 64 - word;
        if (steps > WG_REPLAY_WORDS)
            steps = WG_REPLAY_WORDS;
        while (steps--)
            r->words[++word % WG_REPLAY_WORDS] = 0;
        r->last = counter;
    }
    r->words[counter / 64 % WG_REPLAY_WORDS] |= (uint64_t)1 << counter % 64;
}
