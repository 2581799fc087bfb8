#include <remora/control.h>
#include <remora/netmap.h>
int main(void)
{
    rmr_ctl_free(0);
    rmr_nm_free(0);
    return 0;
}
