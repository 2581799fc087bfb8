#include <remora/policy.h>
int main(void)
{
    rmr_pol_free(0);
    return 0;
}
