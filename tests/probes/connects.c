/* connects HOST PORT TIMES: prints the mean time of one connect, in microseconds. For the benchmark. */
#include "probe.h"
#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

int main(int count, char **words)
{
    if (count != 4)
        give_up("usage: connects HOST PORT TIMES");
    struct address to = address_of(words[1], words[2]);
    int times = atoi(words[3]);
    double spent = 0;
    for (int i = 0; i < times; i++) {
        double began = now();
        int fd = dial(&to);
        spent += now() - began;
        if (fd < 0)
            give_up("connect");
        char end;
        if (recv(fd, &end, 1, 0) != 0) /* until the server has closed, so that its accept keeps up */
            give_up("recv");
        close(fd);
    }
    printf("%.3f\n", spent / times);
    return 0;
}
