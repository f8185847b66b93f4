/* restarted HOST PORT REFUSING SECONDS: signals (SIGURG, SA_RESTART) hit a thread that connects, at every moment of its
 * calls. The kernel restarts them, so the thread must see the results that it would see without any. Prints each wrong
 * result, and how often it occurred. */
#include "probe.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

enum { ERRORS = 200 };

static pthread_t connecting;
static _Atomic int is_over;
static long rounds, blocking[ERRORS], nonblocking[ERRORS], outcomes[ERRORS];

static void on_signal(int signal) { (void)signal; }

static void *send_signals(void *unused)
{
    unsigned seed = 15;
    while (!is_over) {
        pthread_kill(connecting, SIGURG);
        struct timespec pause = {.tv_nsec = rand_r(&seed) % 60000};
        nanosleep(&pause, NULL);
    }
    return unused;
}

static void count(long *kind, int result) { kind[result == -1 ? errno % ERRORS : 0]++; }

static void connect_blocking(const struct address *to)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    count(blocking, connect(fd, &to->any, to->length));
    close(fd);
}

static void connect_nonblocking(const struct address *to)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), error = -1;
    socklen_t length = sizeof error;
    struct pollfd one = {.fd = fd, .events = POLLOUT};
    int result = connect(fd, &to->any, to->length);
    count(nonblocking, result);
    if (result == -1 && errno == EINPROGRESS) {
        while (poll(&one, 1, 20000) == -1 && errno == EINTR)
            ;
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
        outcomes[error < 0 ? ERRORS - 1 : error % ERRORS]++;
    }
    close(fd);
}

static void print(const char *name, const long *kind, int expected, int allowed)
{
    for (int i = 0; i < ERRORS; i++)
        if (kind[i] && i != expected && i != allowed)
            printf("%s %s %ld\n", name, i ? errno_name(i) : "0", kind[i]);
}

int main(int count, char **words)
{
    if (count != 5)
        give_up("usage: restarted HOST PORT REFUSING SECONDS");
    struct address good = address_of(words[1], words[2]), refusing = address_of(words[1], words[3]);
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigaction(SIGURG, &action, NULL);
    connecting = pthread_self();
    pthread_t sender;
    pthread_create(&sender, NULL, send_signals, NULL);
    for (time_t end = time(NULL) + atoi(words[4]); time(NULL) < end; rounds++) {
        connect_blocking(&good);
        connect_nonblocking(&refusing);
    }
    is_over = 1;
    pthread_join(sender, NULL);
    print("blocking", blocking, 0, 0);
    /* A restarted call may come when all is over: then it has the outcome itself. */
    print("nonblocking", nonblocking, EINPROGRESS, ECONNREFUSED);
    print("outcome", outcomes, ECONNREFUSED, ECONNREFUSED);
    printf("many rounds %d\n", rounds > 50);
    return 0;
}
