/* A thread that is cancelled while it resolves names: cancelled NAME. */
#include "probe.h"
#include <netdb.h>
#include <pthread.h>

static void *resolve(void *name)
{
    for (;;) {
        struct addrinfo *list = NULL;
        if (getaddrinfo(name, "80", NULL, &list) == 0)
            freeaddrinfo(list);
        /* getaddrinfo need not be a cancellation point. */
        pthread_testcancel();
    }
    return NULL;
}

int main(int count, char **words)
{
    if (count != 2)
        give_up("usage: cancelled NAME");
    for (int round = 0; round < 50; round++) {
        pthread_t thread;
        void *result;
        pthread_create(&thread, NULL, resolve, words[1]);
        usleep((useconds_t)(round * 100));
        pthread_cancel(thread);
        pthread_join(thread, &result);
        if (result != PTHREAD_CANCELED)
            give_up("not cancelled");
    }
    puts("cancelled");
    return 0;
}
