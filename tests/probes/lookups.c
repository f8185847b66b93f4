/* getaddrinfo of COUNT names, then of the last SAMPLE of them again: lookups COUNT SAMPLE.
   Prints the median microseconds of a first and of a repeated lookup. */
#include "probe.h"
#include <netdb.h>
#include <time.h>

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static double lookup(int number, int of)
{
    char name[64];
    snprintf(name, sizeof name, "host-%d.of-%d.tail1234.ts.net", number, of);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;
    double began = now();
    if (getaddrinfo(name, "5432", &hints, &list) != 0)
        give_up(name);
    double took = now() - began;
    freeaddrinfo(list);
    return took;
}

static int by_size(const void *one, const void *other)
{
    double difference = *(const double *)one - *(const double *)other;
    return (difference > 0) - (difference < 0);
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, by_size);
    return values[count / 2];
}

int main(int count, char **words)
{
    if (count != 3)
        give_up("usage: lookups COUNT SAMPLE");
    int names = atoi(words[1]), sample = atoi(words[2]);
    double *first = calloc((size_t)names, sizeof *first), *again = calloc((size_t)sample, sizeof *again);
    lookup(0, -1); /* what the first lookup of all sets up */
    for (int number = 0; number < names; number++)
        first[number] = lookup(number, names);
    for (int number = 0; number < sample; number++)
        again[number] = lookup(names - 1 - number % names, names);
    /* The last ones: when the table is as full as it gets. */
    int last = names < sample ? names : sample;
    printf("%.2f %.2f\n", median(first + names - last, last), median(again, sample));
    return 0;
}
