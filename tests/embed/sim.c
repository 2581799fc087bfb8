#include <remora/sim.h>
int main(void)
{
    rmr_sim_free(0);
    return 0;
}
