#include <remora/node.h>
int main(void)
{
    rmr_node_free(0);
    return 0;
}
