/* interrupted HOST PORT MS restart|plain: a blocking connect while SIGALRM arrives; the handler is
 * installed with or without SA_RESTART (signal(7)). After EINTR the connect is made again on the same fd. */
#include "probe.h"
#include <signal.h>
#include <sys/time.h>

static volatile sig_atomic_t handled;

static void on_alarm(int number)
{
    (void)number;
    handled++;
}

int main(int count, char **words)
{
    if (count != 5)
        give_up("usage: interrupted HOST PORT MS restart|plain");
    struct address to = address_of(words[1], words[2]);
    int ms = atoi(words[3]);
    struct sigaction action = {.sa_handler = on_alarm};
    if (strcmp(words[4], "restart") == 0)
        action.sa_flags = SA_RESTART;
    sigaction(SIGALRM, &action, NULL);
    struct itimerval once = {.it_value = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000}};
    int fd = socket(to.any.sa_family, SOCK_STREAM, 0);
    setitimer(ITIMER_REAL, &once, NULL);
    int result = connect(fd, &to.any, to.length);
    printf("connect %d %s handled %d\n", result, result < 0 ? errno_name(errno) : "", (int)handled);
    if (result == 0) {
        printf("echo %d\n", echoes(fd, "after the signal"));
        return 0;
    }
    /* The kernel continues the connect, and so may the library: call it again until the connection is established. */
    for (int tries = 0; tries < 100; tries++) {
        result = connect(fd, &to.any, to.length);
        if (result == 0 || errno == EISCONN)
            break;
        if (errno != EALREADY && errno != EINTR)
            break;
        usleep(100 * 1000);
    }
    printf("again %s ", result == 0 || errno == EISCONN ? "connected" : errno_name(errno));
    printf("echo %d\n", echoes(fd, "again"));
    return 0;
}
