// low_memory HOST PORT COUNT: COUNT blocking connects, one after the other, while no memory can be had (RLIMIT_AS), then
// some with memory again, and one of a forked child. Prints how many of each were made.

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct sockaddr_in target = {.sin_family = AF_INET};

static int made(int count) {
    int made = 0;
    while (count-- > 0) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        made += connect(fd, (struct sockaddr *)&target, sizeof target) == 0;
        close(fd);
    }
    return made;
}

static rlim_t in_use(void) {
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%ld", &pages) != 1)
        exit(2);
    fclose(file);
    return (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE);
}

int main(int argc, char **argv) {
    if (argc != 4 || inet_pton(AF_INET, argv[1], &target.sin_addr) != 1)
        return 2;
    target.sin_port = htons((unsigned short)atoi(argv[2]));
    struct rlimit limit;
    getrlimit(RLIMIT_AS, &limit);
    struct rlimit low = {in_use(), limit.rlim_max};
    setrlimit(RLIMIT_AS, &low);
    int without = made(atoi(argv[3]));
    setrlimit(RLIMIT_AS, &limit);
    int with = made(20);
    pid_t child = fork();
    if (child == 0)
        _exit(made(1));
    int status = 0;
    waitpid(child, &status, 0);
    printf("without memory %d with memory %d child %d\n", without, with, WEXITSTATUS(status));
    return 0;
}
