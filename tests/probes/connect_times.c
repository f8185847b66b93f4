/* connect_times HOST PORT TIMES: makes TIMES non-blocking connects, 100 at a time, and waits for each. Prints how long
 * the calls of connect took, and which fds and threads are left. */
#include "probe.h"
#include <dirent.h>
#include <poll.h>
#include <time.h>

enum { AT_ONCE = 100 };

static long now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int entries(const char *directory)
{
    DIR *open = opendir(directory);
    int count = -2; /* . and .. */
    while (open && readdir(open))
        count++;
    closedir(open);
    return count;
}

static int ascending(const void *a, const void *b)
{
    long one = *(const long *)a, two = *(const long *)b;
    return (one > two) - (one < two);
}

int main(int count, char **arguments)
{
    if (count != 4)
        give_up("HOST PORT TIMES");
    struct address to = address_of(arguments[1], arguments[2]);
    int times = atoi(arguments[3]), connected = 0, done = 0, before = entries("/proc/self/fd");
    long *took = calloc((size_t)times, sizeof *took);
    while (done < times) {
        struct pollfd all[AT_ONCE];
        int begun = 0;
        for (; begun < AT_ONCE && done < times; begun++, done++) {
            int fd = socket(to.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
            long start = now_us();
            int result = connect(fd, &to.any, to.length);
            took[done] = now_us() - start;
            if (result == 0 || errno != EINPROGRESS)
                give_up("not EINPROGRESS");
            all[begun] = (struct pollfd){.fd = fd, .events = POLLOUT};
        }
        for (int i = 0; i < begun; i++) {
            int error = -1;
            socklen_t length = sizeof error;
            poll(&all[i], 1, 60000);
            getsockopt(all[i].fd, SOL_SOCKET, SO_ERROR, &error, &length);
            connected += error == 0 && all[i].revents == POLLOUT;
            close(all[i].fd);
        }
    }
    for (int i = 0; i < 1000 && entries("/proc/self/task") > 1; i++)
        usleep(10000);
    qsort(took, (size_t)times, sizeof *took, ascending);
    printf("connected=%d median_us=%ld p99_us=%ld longest_us=%ld threads=%d descriptors=%s\n", connected,
           took[times / 2], took[times * 99 / 100], took[times - 1], entries("/proc/self/task"),
           entries("/proc/self/fd") == before ? "as_before" : "left");
    free(took);
    return 0;
}
