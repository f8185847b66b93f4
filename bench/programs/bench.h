/* What the programs of the benchmark share: a clock, medians, and a SOCKS5 client of the fewest possible calls. */
#ifndef BENCH_H
#define BENCH_H

#include "../../tests/probes/probe.h"
#include <time.h>

/* Nanoseconds of the monotonic clock. */
static inline double now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static inline int ascending(const void *one, const void *other)
{
    double difference = *(const double *)one - *(const double *)other;
    return (difference > 0) - (difference < 0);
}

/* Sorts `values`. */
static inline double median_of(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, ascending);
    return values[count / 2];
}

static inline void exchange(int fd, const void *words, size_t length, void *answer, size_t expected)
{
    if (send(fd, words, length, MSG_NOSIGNAL) != (ssize_t)length)
        give_up("send to the proxy");
    if (recv(fd, answer, expected, MSG_WAITALL) != (ssize_t)expected)
        give_up("the proxy's answer");
}

/* Connects `fd` to an IPv4 address: directly, or, with SOCKS_PORT in the environment, by speaking SOCKS5 to the proxy
   on that port of loopback (with SOCKS_ONE_SEGMENT, in one segment). The second is the least that any client must do: it has neither timeouts nor messages. */
static inline void connect_through_socks5(int fd, const struct address *to)
{
    static const char *socks_port, *one_segment;
    static struct address proxy;
    if (!socks_port) {
        socks_port = getenv("SOCKS_PORT") ?: "";
        one_segment = getenv("SOCKS_ONE_SEGMENT");
        proxy = address_of("127.0.0.1", socks_port);
    }
    if (!*socks_port) {
        if (connect(fd, &to->any, to->length) != 0)
            give_up("connect");
        return;
    }
    if (connect(fd, &proxy.any, proxy.length) != 0)
        give_up("connect to the proxy");
    unsigned char answer[12], words[13] = {5, 1, 0, 5, 1, 0, 1}; /* greeting, request */
    memcpy(words + 7, &to->v4.sin_addr, 4);
    memcpy(words + 11, &to->v4.sin_port, 2);
    if (one_segment) {
        exchange(fd, words, sizeof words, answer, sizeof answer);
    } else {
        exchange(fd, words, 3, answer, 2);
        exchange(fd, words + 3, sizeof words - 3, answer + 2, sizeof answer - 2);
    }
    if (answer[1] != 0)
        give_up("the proxy wants a password");
    if (answer[3] != 0)
        give_up("the proxy cannot connect");
}

#endif
