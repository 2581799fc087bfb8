#include <remora/h2.h>
#include <remora/http1.h>
int main(void)
{
    rmr_h1_free(0);
    rmr_h2_free(0);
    return 0;
}
