#include <remora/bridge.h>
int main(void)
{
    rmr_backoff b;
    rmr_backoff_init(&b);
    return rmr_backoff_deadline(&b) == 0;
}
