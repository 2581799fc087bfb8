#include <remora/netstack.h>
int main(void)
{
    rmr_ns_free(0);
    return 0;
}
