/* Two things from one source. With -DLIBRARY, a plugin whose function connects. Without, deepbind PLUGIN HOST PORT: loads
 * the plugin with RTLD_DEEPBIND, which makes it prefer its own libraries to what is preloaded; prints what its connect
 * gave, and then what the program's own gives. */
#include "probe.h"
#include <dlfcn.h>

#ifdef LIBRARY
int plugin_talks(const char *host, const char *port)
{
    struct address to = address_of(host, port);
    int fd = dial(&to);
    return fd >= 0 && echoes(fd, "from the plugin");
}
#else
int main(int count, char **words)
{
    if (count != 4)
        give_up("usage: deepbind PLUGIN HOST PORT");
    void *plugin = dlopen(words[1], RTLD_NOW | RTLD_DEEPBIND);
    if (!plugin)
        give_up(dlerror());
    int (*talks)(const char *, const char *) = (int (*)(const char *, const char *))dlsym(plugin, "plugin_talks");
    struct address to = address_of(words[2], words[3]);
    printf("plugin %d\n", talks(words[2], words[3]));
    int fd = dial(&to);
    printf("program %d\n", fd >= 0 && echoes(fd, "from the program"));
    return 0;
}
#endif
