/* opendir, readdir and scandir: names of ours among those of a real directory. */
#include "nodes.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A directory that a program reads and that has something of ours. */
struct listing {
    DIR *stream;
    DIR *snapshot; /* read after `stream`; NULL if `stream` is the snapshot itself */
    char path[PATH_MAX];
    struct listing *next;
};

static struct listing *listings;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

_Static_assert(sizeof(struct dirent) == sizeof(struct dirent64), "a 64-bit machine");

static struct listing *listing_of(DIR *stream) {
    if (!__atomic_load_n(&listings, __ATOMIC_ACQUIRE))
        return NULL;
    pthread_mutex_lock(&lock);
    struct listing *found = listings;
    while (found && found->stream != stream)
        found = found->next;
    pthread_mutex_unlock(&lock);
    return found;
}

static void remember(DIR *stream, DIR *snapshot, const char *path) {
    struct listing *listing = malloc(sizeof *listing);
    if (!listing) {
        if (snapshot)
            REAL(closedir)(snapshot);
        return;
    }
    listing->stream = stream;
    listing->snapshot = snapshot;
    strcpy(listing->path, path);
    pthread_mutex_lock(&lock);
    listing->next = listings;
    __atomic_store_n(&listings, listing, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&lock);
}

static DIR *opened(DIR *stream, const struct ml_location *location) {
    if (!stream)
        return NULL;
    if (location->place == ML_MERGED)
        remember(stream, REAL(opendir)(location->snapshot), location->path);
    else if (strcmp(location->path, "/dev/bsg") == 0)
        remember(stream, NULL, location->path);
    return stream;
}

ML_EXPORT DIR *opendir(const char *path) {
    struct ml_location location;
    enum ml_place place = ml_locate(AT_FDCWD, path, &location);
    if (place == ML_OUTSIDE)
        return REAL(opendir)(path);
    DIR *stream = place == ML_MERGED ? REAL(opendir)(path) : NULL;
    if (stream)
        return opened(stream, &location);
    location.place = ML_SNAPSHOT;
    return opened(REAL(opendir)(location.snapshot), &location);
}

ML_EXPORT DIR *fdopendir(int fd) {
    char link[64], path[PATH_MAX];
    struct ml_location location;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = ml_root() ? REAL(readlink)(link, path, sizeof path - 1) : -1;
    DIR *stream = REAL(fdopendir)(fd);
    if (length <= 0)
        return stream;
    path[length] = '\0';
    return ml_locate(AT_FDCWD, path, &location) == ML_OUTSIDE ? stream : opened(stream, &location);
}

ML_EXPORT int closedir(DIR *stream) {
    struct listing *gone = NULL;
    if (__atomic_load_n(&listings, __ATOMIC_ACQUIRE)) {
        pthread_mutex_lock(&lock);
        for (struct listing **at = &listings; *at; at = &(*at)->next)
            if ((*at)->stream == stream) {
                gone = *at;
                *at = gone->next;
                break;
            }
        pthread_mutex_unlock(&lock);
    }
    if (gone && gone->snapshot)
        REAL(closedir)(gone->snapshot);
    free(gone);
    return REAL(closedir)(stream);
}

ML_EXPORT void rewinddir(DIR *stream) {
    struct listing *listing = listing_of(stream);
    if (listing && listing->snapshot)
        REAL(rewinddir)(listing->snapshot);
    REAL(rewinddir)(stream);
}

static int whole_path(const struct listing *listing, const char *name, char *out) {
    return snprintf(out, PATH_MAX, "%s/%s", listing->path, name) < PATH_MAX;
}

static int is_ours(const struct listing *listing, const char *name) {
    char path[PATH_MAX];
    return whole_path(listing, name, path) && ml_owned(path);
}

/* True for a name that is both: the real directory has told it already. */
static int is_there(const struct listing *listing, const char *name) {
    struct stat found;
    char path[PATH_MAX];
    return whole_path(listing, name, path) && !ml_owned(path) &&
           ml_stat(AT_FDCWD, path, &found, AT_SYMLINK_NOFOLLOW) == 0;
}

static struct dirent *next(DIR *stream) {
    struct listing *listing = listing_of(stream);
    struct dirent *entry;
    if (!listing)
        return REAL(readdir)(stream);
    if (listing->snapshot) {
        while ((entry = REAL(readdir)(stream)) != NULL)
            if (!is_ours(listing, entry->d_name))
                return entry;
        while ((entry = REAL(readdir)(listing->snapshot)) != NULL)
            if (!is_there(listing, entry->d_name))
                break;
    } else {
        entry = REAL(readdir)(stream);
    }
    if (entry && entry->d_type == DT_REG && strncmp(listing->path, "/dev", 4) == 0)
        entry->d_type = DT_CHR;
    return entry;
}

ML_EXPORT struct dirent *readdir(DIR *stream) {
    return next(stream);
}

ML_EXPORT struct dirent64 *readdir64(DIR *stream) {
    return (struct dirent64 *)(void *)next(stream);
}

typedef int filter_function(const struct dirent *);
typedef int order_function(const struct dirent **, const struct dirent **);

static int gather(DIR *stream, struct dirent ***list, filter_function *wanted) {
    struct dirent *entry, **found = NULL;
    int count = 0, room = 0;
    while ((entry = next(stream)) != NULL) {
        if (wanted && !wanted(entry))
            continue;
        if (count == room) {
            room = room ? 2 * room : 32;
            struct dirent **larger = realloc(found, room * sizeof *found);
            if (!larger)
                break;
            found = larger;
        }
        size_t size = offsetof(struct dirent, d_name) + strlen(entry->d_name) + 1;
        if (size < entry->d_reclen)
            size = entry->d_reclen;
        if (!(found[count] = malloc(size)))
            break;
        memcpy(found[count++], entry, size);
    }
    *list = found;
    return count;
}

static int scan(const char *path, struct dirent ***list, filter_function *wanted, order_function *order) {
    DIR *stream = opendir(path);
    if (!stream)
        return -1;
    int count = gather(stream, list, wanted);
    closedir(stream);
    if (order && count > 1)
        qsort(*list, count, sizeof **list, (int (*)(const void *, const void *))(void *)order);
    if (!*list)
        *list = malloc(sizeof **list);
    return count;
}

ML_EXPORT int scandir(const char *path, struct dirent ***list, filter_function *wanted,
                      order_function *order) {
    return scan(path, list, wanted, order);
}

ML_EXPORT int scandir64(const char *path, struct dirent64 ***list, int (*wanted)(const struct dirent64 *),
                        int (*order)(const struct dirent64 **, const struct dirent64 **)) {
    return scan(path, (struct dirent ***)(void *)list, (filter_function *)(void *)wanted,
                (order_function *)(void *)order);
}
