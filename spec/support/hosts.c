/*
 * hosts.c: a resolver that does as it is told, for specs.  Preloaded, it answers for names that end in
 * ".scripted" with what the file named by TANDEM_SPEC_HOSTS holds at that moment: an address, "fail", or
 * "hang", which lasts until the file says something else.
 */
#include <dlfcn.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int lookup(const char *node, const char *service, const struct addrinfo *hints,
                   struct addrinfo **list);

static int says(char *text, int size)
{
    FILE *file = fopen(getenv("TANDEM_SPEC_HOSTS"), "r");
    int length = file ? (int)fread(text, 1, (size_t)size - 1, file) : 0;

    if (file)
        fclose(file);
    text[length] = '\0';
    return length;
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **list)
{
    union {
        void *object;
        lookup *function;
    } real = {dlsym(RTLD_NEXT, "getaddrinfo")};
    const char *end = node ? strstr(node, ".scripted") : NULL;
    char text[64];

    if (!end || strcmp(end, ".scripted") != 0)
        return real.function(node, service, hints, list);
    while (says(text, sizeof(text)) == 0 || strcmp(text, "hang") == 0)
        poll(NULL, 0, 5);
    if (strcmp(text, "fail") == 0)
        return EAI_NONAME;
    return real.function(text, service, hints, list);
}
