/* URLs: what they are made of is within bounds, and is what Redis can be called by. */
#include "fuzz.h"

#include <string.h>

#include "redis/url.h"

static void check_good(const struct url *url)
{
    char server[800];
    const char *scheme = url->is_cluster  ? url->is_secure ? "rediss+cluster " : "redis+cluster "
                         : url->seeds     ? "redis+sentinel "
                         : url->is_secure ? "rediss "
                                          : "redis ";

    HOLDS(url->db >= 0);
    HOLDS(strnlen(url->username, sizeof(url->username)) < sizeof(url->username));
    HOLDS(strnlen(url->password, sizeof(url->password)) < sizeof(url->password));
    HOLDS(url->seeds >= 0 && url->seeds <= URL_SEEDS_MOST);
    if (url->seeds) {
        HOLDS(url->is_cluster ? !url->master[0] && url->db == 0 : url->master[0] != '\0');
        HOLDS(strnlen(url->master, sizeof(url->master)) < sizeof(url->master));
        for (int i = 0; i < url->seeds; i++)
            HOLDS(url->seed[i].host[0] && url->seed[i].port >= 1 && url->seed[i].port <= 65535);
    } else if (url->is_unix) {
        HOLDS(url->path[0] == '/');
        HOLDS(strnlen(url->path, sizeof(url->path)) < sizeof(url->path));
    } else {
        HOLDS(url->host[0] && strnlen(url->host, sizeof(url->host)) < sizeof(url->host));
        HOLDS(url->port >= 1 && url->port <= 65535);
    }
    url_server(url, server, sizeof(server));
    HOLDS(strncmp(server, scheme, strlen(scheme)) == 0);
    HOLDS(strlen(server) < 704); /* the room that a client has for it */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char beginning[] = "redis URL: ";
    char *text = malloc(size + 1);
    char error[256] = "";
    struct url url;

    HOLDS(text != NULL);
    if (size)
        memcpy(text, data, size);
    text[size] = '\0';
    if (url_parse(text, &url, error, sizeof(error)) == 0) {
        check_good(&url);
    } else {
        HOLDS(strncmp(error, beginning, sizeof(beginning) - 1) == 0);
        HOLDS(!url.username[0] && !url.password[0]);
    }
    url_parse(text, &url, error, size % 16); /* into little room */
    url_wipe(&url);
    free(text);
    return 0;
}
