#include <remora/posix.h>
int main(void)
{
    rmr_posix_free(0);
    return rmr_posix_now() == 0;
}
