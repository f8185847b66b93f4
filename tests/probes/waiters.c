/* waiters HOST PORT GATE shutdown|gate BLOCKING: three threads call connect on one socket, one after the other, and sleep in
 * it. Then it is shut down, or the GATE is opened. With BLOCKING 0 the first of them does not wait, and the socket is made
 * blocking afterwards. Prints what they got, in order of name. */
#include "probe.h"
#include <pthread.h>

enum { THREADS = 3 };

static struct address to;
static int fd;

static void *wait_for_connection(void *unused)
{
    (void)unused;
    return (void *)(long)(connect(fd, &to.any, to.length) == 0 ? 0 : errno);
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

int main(int count, char **words)
{
    if (count != 6)
        give_up("usage: waiters HOST PORT GATE shutdown|gate BLOCKING");
    alarm(20);
    to = address_of(words[1], words[2]);
    struct address gate = address_of(words[3], "0");
    int blocking = atoi(words[5]);
    fd = socket(to.any.sa_family, SOCK_STREAM | (blocking ? 0 : SOCK_NONBLOCK), 0);
    if (!blocking) {
        printf("%s ", connect(fd, &to.any, to.length) ? errno_name(errno) : "0");
        fcntl(fd, F_SETFL, 0);
    }
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        pthread_create(&threads[i], NULL, wait_for_connection, NULL);
        usleep(50000);
    }
    if (strcmp(words[4], "shutdown") == 0) {
        printf("shutdown %d:", shutdown(fd, SHUT_RDWR));
    } else {
        int number = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(number, &gate.any, gate.length) != 0)
            give_up("gate");
        printf("gate:");
    }
    const char *names[THREADS];
    for (int i = 0; i < THREADS; i++) {
        void *result;
        pthread_join(threads[i], &result);
        names[i] = result ? errno_name((int)(long)result) : "0";
    }
    qsort(names, THREADS, sizeof names[0], by_name);
    for (int i = 0; i < THREADS; i++)
        printf(" %s", names[i]);
    printf("\n");
    return 0;
}
