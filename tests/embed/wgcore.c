#include <remora/wgcore.h>
int main(void)
{
    rmr_wg_free(0);
    return 0;
}
