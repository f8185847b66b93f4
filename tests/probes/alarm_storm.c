/* alarm_storm HOST PORT TIMES MICROSECONDS restart|plain: blocking connects, one after the other, while a SIGALRM comes
 * that often, whose handler is installed with or without SA_RESTART. An interrupted connect continues in the background;
 * the program waits for its end as after a non-blocking one (connect(2), EINTR). Then the period is doubled, so that
 * the storm does not keep a slow machine from making progress. */
#include "probe.h"
#include <poll.h>
#include <signal.h>
#include <sys/time.h>

static volatile sig_atomic_t alarms;

static void on_alarm(int signal)
{
    (void)signal;
    alarms++;
}

static void storm(long microseconds)
{
    struct itimerval every = {.it_interval.tv_usec = microseconds, .it_value.tv_usec = microseconds};
    setitimer(ITIMER_REAL, &every, NULL);
}

/* The error with which an interrupted connect ended, once it has. */
static int end_of(int fd)
{
    struct pollfd one = {.fd = fd, .events = POLLOUT};
    int ready, error = 0;
    socklen_t length = sizeof error;
    while ((ready = poll(&one, 1, 60000)) < 0 && errno == EINTR)
        ;
    if (ready == 0)
        return ETIME;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
    return error;
}

int main(int count, char **words)
{
    if (count != 6)
        give_up("usage: alarm_storm HOST PORT TIMES MICROSECONDS restart|plain");
    struct address to = address_of(words[1], words[2]);
    int times = atoi(words[3]), good = 0, interrupted = 0;
    struct sigaction action = {.sa_handler = on_alarm};
    if (strcmp(words[5], "restart") == 0)
        action.sa_flags = SA_RESTART;
    sigaction(SIGALRM, &action, NULL);
    for (int i = 0; i < times; i++) {
        int fd = socket(to.any.sa_family, SOCK_STREAM, 0);
        storm(atoi(words[4]));
        int error = connect(fd, &to.any, to.length) == 0 ? 0 : errno;
        if (error == EINTR) {
            interrupted++;
            error = end_of(fd);
        }
        storm(0);
        if (error)
            printf("connect %s\n", errno_name(error));
        good += !error && echoes(fd, "in the storm");
        close(fd);
    }
    printf("good %d, interrupted %s, alarms %s\n", good, interrupted ? "some" : "none", alarms ? "yes" : "no");
    return 0;
}
