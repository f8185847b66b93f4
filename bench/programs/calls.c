/* calls BATCHES: prints the nanoseconds of an empty system call, and of sending and receiving a byte on a TCP connection
   to itself: the median of BATCHES batches. */
#include "bench.h"
#include <netinet/tcp.h>
#include <sys/syscall.h>

enum { CALLS = 1000 };

static double empty(void)
{
    double began = now_ns();
    for (int i = 0; i < CALLS; i++)
        syscall(SYS_getppid);
    return (now_ns() - began) / CALLS;
}

static double bytes(int from, int to)
{
    char byte = 'x';
    double began = now_ns();
    for (int i = 0; i < CALLS; i++)
        if (write(from, &byte, 1) != 1 || read(to, &byte, 1) != 1)
            give_up("a byte");
    return (now_ns() - began) / CALLS;
}

int main(int count, char **words)
{
    struct address to = address_of("127.0.0.1", "0");
    socklen_t length = sizeof to.v4;
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0), from = socket(AF_INET, SOCK_STREAM, 0);
    if (count != 2 || bind(listener, &to.any, to.length) || listen(listener, 1) ||
        getsockname(listener, &to.any, &length) || connect(from, &to.any, to.length))
        give_up("set up");
    setsockopt(from, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    int accepted = accept(listener, NULL, NULL), batches = atoi(words[1]);
    double *calls = calloc((size_t)batches, sizeof *calls), *moved = calloc((size_t)batches, sizeof *moved);
    for (int i = 0; i < batches; i++) {
        calls[i] = empty();
        moved[i] = bytes(from, accepted);
    }
    printf("%.2f %.2f\n", median_of(calls, batches), median_of(moved, batches));
    return 0;
}
