/* descriptors HOST PORT FAILING_PORT TIMES: prints whether this many connects that succeed, and this many that fail,
 * leave the same file descriptors and threads as before. */
#include "probe.h"
#include <dirent.h>

/* The names in a directory of /proc/self, sorted by the kernel, without the directory's own fd. */
static void list(const char *directory, char *text, size_t room)
{
    DIR *open_directory = opendir(directory);
    if (!open_directory)
        give_up(directory);
    char own[16];
    snprintf(own, sizeof own, "%d", dirfd(open_directory));
    text[0] = 0;
    for (struct dirent *entry; (entry = readdir(open_directory));)
        if (entry->d_name[0] != '.' && strcmp(entry->d_name, own) != 0 && strlen(text) + 20 < room)
            strcat(strcat(text, entry->d_name), " ");
    closedir(open_directory);
}

int main(int count, char **words)
{
    if (count != 5)
        give_up("usage: descriptors HOST PORT FAILING_PORT TIMES");
    alarm(200);
    struct address good = address_of(words[1], words[2]), bad = address_of(words[1], words[3]);
    int times = atoi(words[4]), connected = 0, failed = 0;
    char before[8192], after[8192], threads_before[256], threads_after[256];
    list("/proc/self/fd", before, sizeof before);
    list("/proc/self/task", threads_before, sizeof threads_before);
    for (int i = 0; i < times; i++) {
        int fd = dial(&good);
        connected += fd >= 0;
        if (fd >= 0)
            close(fd);
        fd = dial(&bad);
        failed += fd < 0;
        if (fd >= 0)
            close(fd);
    }
    list("/proc/self/fd", after, sizeof after);
    list("/proc/self/task", threads_after, sizeof threads_after);
    printf("connected %d failed %d\n", connected, failed);
    printf("descriptors %s\n", strcmp(before, after) ? after : "as before");
    printf("threads %s\n", strcmp(threads_before, threads_after) ? threads_after : "as before");
    return 0;
}
