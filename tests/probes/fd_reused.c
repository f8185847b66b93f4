/* fd_reused HOST PORT OTHER_HOST OTHER_PORT: a thread sleeps in connect to the first; meanwhile its socket is
 * closed, and a connection to the second is made at the same fd. Prints how the connect ended, and whether that
 * connection has what its server sent, and still works. */
#include "probe.h"
#include <pthread.h>

static struct address to;
static int fd;

static void *sleep_in_connect(void *unused)
{
    (void)unused;
    int result = connect(fd, &to.any, to.length);
    printf("connect %s\n", result < 0 ? errno_name(errno) : "0");
    return NULL;
}

int main(int count, char **words)
{
    if (count != 5)
        give_up("usage: fd_reused HOST PORT OTHER_HOST OTHER_PORT");
    alarm(10);
    to = address_of(words[1], words[2]);
    struct address other = address_of(words[3], words[4]);
    fd = socket(to.any.sa_family, SOCK_STREAM, 0);
    pthread_t thread;
    pthread_create(&thread, NULL, sleep_in_connect, NULL);
    usleep(200000);
    int number = fd;
    close(fd);
    int mine = socket(AF_INET, SOCK_STREAM, 0);
    int connected = connect(mine, &other.any, other.length);
    if (mine != number || connected != 0 || send(mine, "early", 5, 0) != 5)
        give_up("cannot connect under the same number");
    pthread_join(thread, NULL);
    char text[6] = "";
    if (recv(mine, text, 5, MSG_WAITALL) < 0)
        give_up("recv");
    printf("has %s\n", text);
    printf("%s\n", echoes(mine, "late") ? "works" : "does not work");
    return 0;
}
