/* lookups COUNT SAMPLE THREADS: getaddrinfo of COUNT names by THREADS threads, each its share, then of SAMPLE of these
   names again by each thread. Prints the median microseconds of a first lookup, when the table is as full as it gets,
   and of a repeated one. */
#include "bench.h"
#include <netdb.h>
#include <pthread.h>

static int names, sample, threads;
static double *first, *again;
static pthread_barrier_t all_known;

static double lookup(int number, int of)
{
    char name[64];
    snprintf(name, sizeof name, "host-%d.of-%d.tail1234.ts.net", number, of);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;
    double began = now_ns();
    if (getaddrinfo(name, "5432", &hints, &list) != 0)
        give_up(name);
    double took = now_ns() - began;
    freeaddrinfo(list);
    return took / 1e3;
}

static void *worker(void *own)
{
    int self = (int)(intptr_t)own;
    for (int number = self; number < names; number += threads)
        first[number] = lookup(number, names);
    pthread_barrier_wait(&all_known);
    for (int i = 0; i < sample; i++)
        again[self * sample + i] = lookup((names - 1 - (i * threads + self) % names), names);
    return NULL;
}

int main(int count, char **words)
{
    if (count != 4)
        give_up("usage: lookups COUNT SAMPLE THREADS");
    names = atoi(words[1]);
    sample = atoi(words[2]);
    threads = atoi(words[3]);
    first = calloc((size_t)names, sizeof *first);
    again = calloc((size_t)(sample * threads), sizeof *again);
    pthread_t *running = calloc((size_t)threads, sizeof *running);
    pthread_barrier_init(&all_known, NULL, (unsigned)threads);
    lookup(0, -1); /* what the first lookup of all sets up is not counted */
    for (int i = 0; i < threads; i++)
        if (pthread_create(&running[i], NULL, worker, (void *)(intptr_t)i) != 0)
            give_up("pthread_create");
    for (int i = 0; i < threads; i++)
        pthread_join(running[i], NULL);
    int last = names < sample ? names : sample;
    printf("%.2f %.2f\n", median_of(first + names - last, last), median_of(again, sample * threads));
    return 0;
}
