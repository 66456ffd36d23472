/* Which path belongs to the subsystem, and where its snapshot is. */
#include "nodes.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TREE "/tree"

static char root[PATH_MAX - 256];
static char tree[PATH_MAX - 250];
static size_t tree_length;

/* Transport classes are ours as well: a host's number must not find the kernel's host of that number. */
static const char *const OWNED[] = {
    "/sys/bus/scsi",      "/sys/class/scsi_",   "/sys/class/bsg",       "/sys/class/fc_",
    "/sys/class/sas_",    "/sys/class/spi_",    "/sys/class/srp_",      "/sys/class/iscsi_",
    "/sys/class/enclosure", "/sys/devices/midlayer", "/sys/dev/char/21:",
    "/proc/scsi",         "/proc/devices",      "/dev/bsg",
    "/dev/scsimon",
};

static const char *const MERGED[] = {
    "/dev", "/proc", "/sys", "/sys/bus", "/sys/class", "/sys/dev", "/sys/dev/char",
    "/sys/devices",
};

__attribute__((constructor)) static void find_root(void) {
    const char *given = getenv("MIDLAYER_NODES");
    if (!given || given[0] != '/' || strlen(given) >= sizeof root)
        return;
    strcpy(root, given);
    strcat(strcpy(tree, root), TREE);
    tree_length = strlen(tree);
}

const char *ml_root(void) {
    return root[0] ? root : NULL;
}

int ml_join(char *out, const char *before, const char *after) {
    int length = snprintf(out, PATH_MAX, "%s%s", before, after);
    return length < PATH_MAX ? 0 : -1;
}

const char *ml_as_seen(const char *path) {
    if (!tree_length || strncmp(path, tree, tree_length) != 0)
        return path;
    if (path[tree_length] == '/')
        return path + tree_length;
    return path[tree_length] ? path : "/";
}

static int is_sg(const char *path) {
    if (strncmp(path, "/dev/sg", 7) != 0 || !isdigit((unsigned char)path[7]))
        return 0;
    return strspn(path + 7, "0123456789") == strlen(path + 7);
}

int ml_owned(const char *path) {
    if (is_sg(path))
        return 1;
    for (size_t i = 0; i < sizeof OWNED / sizeof *OWNED; i++) {
        size_t length = strlen(OWNED[i]);
        char last = OWNED[i][length - 1];
        if (strncmp(path, OWNED[i], length) == 0 && (last == '_' || last == ':' || path[length] == '\0'))
            return 1;
    }
    return 0;
}

static int merged(const char *path) {
    for (size_t i = 0; i < sizeof MERGED / sizeof *MERGED; i++)
        if (strcmp(path, MERGED[i]) == 0)
            return 1;
    return 0;
}

static int candidate(const char *path) {
    return strncmp(path, "/sys", 4) == 0 || strncmp(path, "/proc", 5) == 0 || strncmp(path, "/dev", 4) == 0;
}

/* Cleans a path up to the first component that is ours; what follows is left to the snapshot, whose
 * links the kernel resolves. Returns 1 if there is such a component, -1 if the path is too long. */
static int clean(const char *from, char *to) {
    size_t length = 0;
    to[0] = '\0';
    while (*from) {
        from += strspn(from, "/");
        size_t part = strcspn(from, "/");
        if (part == 0 || (part == 1 && from[0] == '.')) {
            from += part;
            continue;
        }
        if (part == 2 && from[0] == '.' && from[1] == '.') {
            while (length && to[--length] != '/')
                ;
            to[length] = '\0';
            from += part;
            continue;
        }
        if (length + part + 2 > PATH_MAX)
            return -1;
        to[length++] = '/';
        memcpy(to + length, from, part);
        to[length += part] = '\0';
        from += part;
        if (candidate(to) && ml_owned(to)) {
            if (length + strlen(from) + 1 > PATH_MAX)
                return -1;
            strcpy(to + length, from);
            return 1;
        }
    }
    return 0;
}

static int absolute(int directory, const char *path, char *out) {
    char base[PATH_MAX];
    if (path[0] == '/')
        return ml_join(out, "", ml_as_seen(path));
    if (directory == AT_FDCWD) {
        if (!REAL(getcwd)(base, sizeof base))
            return -1;
    } else {
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
        ssize_t length = REAL(readlink)(link, base, sizeof base - 2);
        if (length <= 0 || base[0] != '/')
            return -1;
        base[length] = '\0';
    }
    size_t length = strlen(base);
    if (length + 2 > sizeof base)
        return -1;
    strcpy(base + length, "/");
    char joined[PATH_MAX];
    if (ml_join(joined, base, path) != 0)
        return -1;
    return ml_join(out, "", ml_as_seen(joined));
}

static int is_directory(const char *path) {
    struct stat found;
    return ml_stat(AT_FDCWD, path, &found, 0) == 0 && S_ISDIR(found.st_mode);
}

enum ml_place ml_locate(int directory, const char *path, struct ml_location *location) {
    char whole[PATH_MAX];
    location->place = ML_OUTSIDE;
    if (!root[0] || !path || !path[0])
        return ML_OUTSIDE;
    int saved = errno;
    if (absolute(directory, path, whole) == 0) {
        int found = clean(whole, location->path);
        if (found >= 0 && ml_join(location->snapshot, tree, location->path) == 0) {
            if (found == 0)
                location->place = merged(location->path) ? ML_MERGED : ML_OUTSIDE;
            else if (is_sg(location->path) || strncmp(location->path, "/dev/bsg/", 9) == 0 ||
                     strcmp(location->path, "/dev/scsimon") == 0)
                location->place = ML_NODE;
            else if (strncmp(location->path, "/proc/scsi/", 11) == 0 && !is_directory(location->snapshot))
                location->place = ML_SERVED;
            else
                location->place = ML_SNAPSHOT;
        }
    }
    errno = saved;
    return location->place;
}
