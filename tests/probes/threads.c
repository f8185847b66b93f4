/* threads HOST PORT THREADS ROUNDS: each thread connects, has a text echoed that only it sends, and closes.
 * Prints how many went well, and the errno of those that did not. */
#include "probe.h"
#include <pthread.h>
#include <stdatomic.h>

static struct address to;
static int rounds;
static atomic_int good, bad, wrong, last_error;

static void *work(void *number)
{
    char text[64];
    for (int i = 0; i < rounds; i++) {
        int fd = dial(&to);
        if (fd < 0) {
            last_error = errno;
            bad++;
            continue;
        }
        snprintf(text, sizeof text, "thread %ld round %d", (long)number, i);
        if (echoes(fd, text))
            good++;
        else
            wrong++;
        close(fd);
    }
    return NULL;
}

int main(int count, char **words)
{
    if (count != 5)
        give_up("usage: threads HOST PORT THREADS ROUNDS");
    alarm(300);
    to = address_of(words[1], words[2]);
    long threads = atol(words[3]);
    rounds = atoi(words[4]);
    pthread_t *all = calloc((size_t)threads, sizeof *all);
    for (long i = 0; i < threads; i++)
        if (pthread_create(&all[i], NULL, work, (void *)i) != 0)
            give_up("pthread_create");
    for (long i = 0; i < threads; i++)
        pthread_join(all[i], NULL);
    free(all);
    printf("good %d bad %d wrong %d last %s\n", good, bad, wrong, errno_name(last_error));
    return 0;
}
