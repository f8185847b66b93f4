/* server MODE PORT NUMBER: one thread that serves many connections, so that the server is not what is measured.
   discard: reads until the client ends the connection.
   send:    sends NUMBER bytes to each client, one client after the other.
   busy:    a SOCKS5 proxy that answers each request NUMBER milliseconds late, as one that connects somewhere does.
   far:     a SOCKS5 proxy whose every answer comes NUMBER milliseconds late, as over a long line.
   The proxies connect nowhere: they say that they did. What follows a request is another greeting, as from the next
   proxy of a chain, or is dropped. They read to the exact byte, so a greeting and a request may come together. */
#include "bench.h"
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/timerfd.h>

enum { QUEUE = 1 << 16, MOST = 1 << 16 };

struct connection {
    bool open, requested; /* requested: the next message is a request, not a greeting */
    unsigned generation;
    size_t have;
    unsigned char got[1024];
};

/* All answers are equally late, so a plain queue keeps them in order. */
struct answer {
    double due;
    int fd;
    unsigned generation;
    bool to_request;
};

static struct connection connections[MOST];
static struct answer queue[QUEUE];
static unsigned first, end;
static double greeting_delay, request_delay;
static int timer;

static void arm(void)
{
    struct itimerspec at = {0};
    if (first != end) {
        double due = queue[first % QUEUE].due;
        at.it_value.tv_sec = (time_t)(due / 1e9);
        at.it_value.tv_nsec = (long)(due - (double)at.it_value.tv_sec * 1e9);
    }
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, NULL);
}

static void say(int fd, bool to_request)
{
    static const unsigned char method[] = {5, 0}, done[] = {5, 0, 0, 1, 0, 0, 0, 0, 0, 0};
    if (to_request)
        send(fd, done, sizeof done, MSG_NOSIGNAL);
    else
        send(fd, method, sizeof method, MSG_NOSIGNAL);
}

static void answer(int fd, bool to_request)
{
    double delay = to_request ? request_delay : greeting_delay;
    if (delay == 0) {
        say(fd, to_request);
        return;
    }
    if (end - first == QUEUE)
        give_up("more answers are due than the queue holds");
    bool idle = first == end;
    queue[end++ % QUEUE] = (struct answer){now_ns() + delay, fd, connections[fd].generation, to_request};
    if (idle)
        arm();
}

static void answer_what_is_due(void)
{
    uint64_t expirations;
    if (read(timer, &expirations, sizeof expirations) < 0)
        return;
    for (double now = now_ns(); first != end && queue[first % QUEUE].due <= now; first++) {
        struct answer *due = &queue[first % QUEUE];
        if (connections[due->fd].open && connections[due->fd].generation == due->generation)
            say(due->fd, due->to_request);
    }
    arm();
}

/* The length of the message at `got`, 0 when it is not yet known, -1 when it is no SOCKS5. */
static ssize_t message_length(const struct connection *one)
{
    const unsigned char *got = one->got;
    if (got[0] != 5)
        return -1;
    if (!one->requested)
        return one->have < 2 ? 0 : 2 + got[1];
    if (one->have < 5)
        return 0;
    return got[3] == 1 ? 10 : got[3] == 4 ? 22 : 7 + got[4];
}

static void serve_socks(int fd, struct connection *one)
{
    while (one->have > 0) {
        ssize_t length = message_length(one);
        if (length < 0) {
            one->have = 0;
            return;
        }
        if (length == 0 || one->have < (size_t)length)
            return;
        one->have -= (size_t)length;
        memmove(one->got, one->got + length, one->have);
        answer(fd, one->requested);
        one->requested = !one->requested;
    }
}

static void serve(int fd, bool socks)
{
    struct connection *one = &connections[fd];
    ssize_t got = recv(fd, one->got + one->have, sizeof one->got - one->have, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) {
        one->open = false;
        close(fd);
    } else if (socks) {
        one->have += (size_t)got;
        serve_socks(fd, one);
    }
}

static void send_to(int fd, long long amount)
{
    static char bytes[256 * 1024];
    while (amount > 0) {
        size_t most = amount < (long long)sizeof bytes ? (size_t)amount : sizeof bytes;
        ssize_t sent = send(fd, bytes, most, MSG_NOSIGNAL);
        if (sent < 0)
            break;
        amount -= sent;
    }
    close(fd);
}

static void welcome(int listener, int epoll, const char *mode, long long number)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    if (!strcmp(mode, "send")) {
        send_to(fd, number);
        return;
    }
    if (fd >= MOST)
        give_up("more connections than the table holds");
    struct connection *one = &connections[fd];
    *one = (struct connection){.open = true, .generation = one->generation + 1};
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

int main(int count, char **words)
{
    if (count != 4)
        give_up("usage: server discard|send|busy|far PORT NUMBER");
    const char *mode = words[1];
    long long number = atoll(words[3]);
    bool far = !strcmp(mode, "far"), socks = far || !strcmp(mode, "busy");
    request_delay = socks ? (double)number * 1e6 : 0;
    greeting_delay = far ? request_delay : 0;

    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    struct address at = address_of("0.0.0.0", words[2]);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), yes = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, &at.any, at.length) != 0 || listen(listener, 4096) != 0)
        give_up("listen");
    int epoll = epoll_create1(0);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    event.data.fd = timer;
    epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &event);
    for (;;) {
        struct epoll_event ready[256];
        int amount = epoll_wait(epoll, ready, 256, -1);
        for (int i = 0; i < amount; i++) {
            if (ready[i].data.fd == listener)
                welcome(listener, epoll, mode, number);
            else if (ready[i].data.fd == timer)
                answer_what_is_due();
            else
                serve(ready[i].data.fd, socks);
        }
    }
}
