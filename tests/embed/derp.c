#include <remora/derp.h>
int main(void)
{
    rmr_derp_free(0);
    return 0;
}
