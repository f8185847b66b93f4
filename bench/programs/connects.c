/* connects HOST PORT TIMES [nonblocking]: socket, connect and close, one after the other; without blocking, as database
   drivers do it, also poll and SO_ERROR. Prints the connects per second, and the microseconds of the first, which is not
   among them: on it, libraries make what they need only once. */
#include "bench.h"
#include <poll.h>

static void wait_for(int fd, short events)
{
    struct pollfd one = {.fd = fd, .events = events};
    int ready;
    do
        ready = poll(&one, 1, 10000);
    while (ready < 0 && errno == EINTR); /* dante reports replies with a signal */
    if (ready != 1)
        give_up("poll");
}

static void begin_and_wait(int fd, const struct address *to)
{
    int error = 0;
    socklen_t length = sizeof error;
    if (connect(fd, &to->any, to->length) == 0)
        return;
    if (errno != EINPROGRESS)
        give_up("connect");
    wait_for(fd, POLLOUT);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0 || error)
        give_up("SO_ERROR");
}

/* The SOCKS5 client of bench.h with a socket that does not block: it waits for each answer. */
static void begin_through_socks5(int fd, const struct address *to)
{
    const char *socks_port = getenv("SOCKS_PORT");
    if (!socks_port) {
        begin_and_wait(fd, to);
        return;
    }
    struct address proxy = address_of("127.0.0.1", socks_port);
    begin_and_wait(fd, &proxy);
    unsigned char answer[10], words[10] = {5, 1, 0, 1};
    memcpy(words + 4, &to->v4.sin_addr, 4);
    memcpy(words + 8, &to->v4.sin_port, 2);
    send(fd, "\5\1\0", 3, MSG_NOSIGNAL);
    wait_for(fd, POLLIN);
    if (recv(fd, answer, 2, 0) != 2 || answer[1] != 0)
        give_up("the proxy's method");
    send(fd, words, sizeof words, MSG_NOSIGNAL);
    wait_for(fd, POLLIN);
    if (recv(fd, answer, sizeof answer, 0) != sizeof answer || answer[1] != 0)
        give_up("the proxy cannot connect");
}

static void connect_once(const struct address *to, int flags)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    if (fd < 0)
        give_up("socket");
    if (flags)
        begin_through_socks5(fd, to);
    else
        connect_through_socks5(fd, to);
    close(fd);
}

int main(int count, char **words)
{
    if (count != 4 && count != 5)
        give_up("usage: connects HOST PORT TIMES [nonblocking]");
    struct address to = address_of(words[1], words[2]);
    int times = atoi(words[3]), flags = count == 5 ? SOCK_NONBLOCK : 0;
    double began = now_ns();
    connect_once(&to, flags);
    double first = now_ns() - began;
    began += first;
    for (int i = 0; i < times; i++)
        connect_once(&to, flags);
    printf("%.1f %.1f\n", times / (now_ns() - began) * 1e9, first / 1e3);
    return 0;
}
