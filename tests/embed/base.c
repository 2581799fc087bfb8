#include <remora/base.h>
int main(void)
{
    return rmr_err_name(RMR_OK) == 0;
}
