/* costs HOST PORT BATCHES: prints the nanoseconds of a connect, a close, an epoll_ctl and a getsockopt: the median of
   BATCHES batches. */
#include "bench.h"
#include <sys/epoll.h>

enum { CONNECTS = 20, CALLS = 200 };

static double connects(const struct address *to)
{
    int fds[CONNECTS];
    for (int i = 0; i < CONNECTS; i++)
        if ((fds[i] = socket(AF_INET, SOCK_STREAM, 0)) < 0)
            give_up("socket");
    double began = now_ns();
    for (int i = 0; i < CONNECTS; i++)
        if (connect(fds[i], &to->any, to->length) != 0)
            give_up("connect");
    double took = now_ns() - began;
    for (int i = 0; i < CONNECTS; i++)
        close(fds[i]);
    return took / CONNECTS;
}

static double closes(int of)
{
    int fds[CALLS];
    for (int i = 0; i < CALLS; i++)
        if ((fds[i] = dup(of)) < 0)
            give_up("dup");
    double began = now_ns();
    for (int i = 0; i < CALLS; i++)
        close(fds[i]);
    return (now_ns() - began) / CALLS;
}

static double epoll_ctls(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    double began = now_ns();
    for (int i = 0; i < CALLS; i++)
        if (epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event) != 0)
            give_up("epoll_ctl");
    return (now_ns() - began) / CALLS;
}

static double getsockopts(int fd)
{
    int error;
    socklen_t length = sizeof error;
    double began = now_ns();
    for (int i = 0; i < CALLS; i++)
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0)
            give_up("getsockopt");
    return (now_ns() - began) / CALLS;
}

int main(int count, char **words)
{
    if (count != 4)
        give_up("usage: costs HOST PORT BATCHES");
    struct address to = address_of(words[1], words[2]);
    int batches = atoi(words[3]);
    int fd = dial(&to), epoll = epoll_create1(0), file = open("/dev/null", O_RDONLY);
    struct epoll_event event = {.events = EPOLLIN};
    if (fd < 0 || epoll < 0 || file < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        give_up("set up");
    double *took[4];
    for (int kind = 0; kind < 4; kind++)
        took[kind] = calloc((size_t)batches, sizeof **took);
    for (int i = 0; i < batches; i++) {
        took[0][i] = connects(&to);
        took[1][i] = closes(file);
        took[2][i] = epoll_ctls(epoll, fd);
        took[3][i] = getsockopts(fd);
    }
    for (int kind = 0; kind < 4; kind++)
        printf("%.2f ", median_of(took[kind], batches));
    printf("\n");
    return 0;
}
