/* Built as a library and preloaded behind the one under test: a libc that lacks the functions named in HIDDEN, with
 * commas between them; `*` means all that are looked up. */
#include "probe.h"
#include <dlfcn.h>

typedef void *find(void *, const char *);

/* Ours hides it: only by one of its versions can libc's own be had. */
static find *of_libc(void)
{
    static const char *const VERSIONS[] = {"GLIBC_2.34", "GLIBC_2.17", "GLIBC_2.2.5"};
    for (size_t i = 0; i < sizeof VERSIONS / sizeof VERSIONS[0]; i++) {
        find *found = (find *)dlvsym(RTLD_NEXT, "dlsym", VERSIONS[i]);
        if (found)
            return found;
    }
    give_up("dlsym");
    return NULL;
}

static int is_hidden(const char *name)
{
    char list[512], *rest;
    snprintf(list, sizeof list, "%s", getenv("HIDDEN") ? getenv("HIDDEN") : "");
    for (char *word = strtok_r(list, ",", &rest); word; word = strtok_r(NULL, ",", &rest))
        if (strcmp(word, "*") == 0 || strcmp(word, name) == 0)
            return 1;
    return 0;
}

/* RTLD_NEXT is the next after this library then, which comes to the same. */
void *dlsym(void *restrict handle, const char *restrict name)
{
    return is_hidden(name) ? NULL : of_libc()(handle, name);
}
