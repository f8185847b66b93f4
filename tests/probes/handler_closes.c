/* handler_closes HOST PORT restart|plain: a process of one thread sleeps in a blocking connect to HOST PORT. Its signal handler
 * closes the socket and opens an unrelated file at that fd. Prints how the connect ended, and whether that file was
 * written to, read from or replaced. */
#include "probe.h"
#include <signal.h>
#include <sys/stat.h>
#include <sys/time.h>

static int fd, pair[2];
static struct stat before;

static void on_alarm(int signal)
{
    (void)signal;
    close(fd);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0 || pair[0] != fd || send(pair[1], "0123456789", 10, 0) != 10)
        give_up("socketpair");
    fstat(fd, &before);
}

int main(int count, char **words)
{
    if (count != 4)
        give_up("usage: handler_closes HOST PORT restart|plain");
    alarm(20);
    struct address to = address_of(words[1], words[2]);
    struct sigaction action = {.sa_handler = on_alarm};
    if (strcmp(words[3], "restart") == 0)
        action.sa_flags = SA_RESTART;
    sigaction(SIGALRM, &action, NULL);
    fd = socket(to.any.sa_family, SOCK_STREAM, 0);
    struct itimerval once = {.it_value = {.tv_usec = 100000}};
    setitimer(ITIMER_REAL, &once, NULL);
    int result = connect(fd, &to.any, to.length);
    printf("connect %s", result ? errno_name(errno) : "0");
    struct stat after;
    char text[32];
    fstat(fd, &after);
    printf(", replaced %d", before.st_ino != after.st_ino);
    printf(", taken %d", recv(fd, text, sizeof text, MSG_DONTWAIT) != 10 || memcmp(text, "0123456789", 10) != 0);
    printf(", written %d\n", recv(pair[1], text, sizeof text, MSG_DONTWAIT) != -1 || errno != EAGAIN);
    return 0;
}
