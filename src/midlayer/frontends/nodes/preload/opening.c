/* open, openat, creat and fopen. */
#include "nodes.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int takes_mode(int flags) {
    return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
}

static int is_served(const struct ml_location *location, int flags) {
    if (flags & (O_PATH | O_DIRECTORY))
        return 0;
    if (location->place == ML_NODE || location->place == ML_SERVED)
        return 1;
    /* What is written to an attribute is for the server, not for its snapshot. */
    return location->place == ML_SNAPSHOT && (flags & O_ACCMODE) != O_RDONLY;
}

static int open_at(int directory, const char *path, int flags, mode_t mode) {
    struct ml_location location;
    switch (ml_locate(directory, path, &location)) {
    case ML_OUTSIDE:
        return REAL(openat)(directory, path, flags, mode);
    case ML_MERGED: {
        int fd = REAL(openat)(directory, path, flags, mode);
        return fd >= 0 || errno != ENOENT ? fd : REAL(openat)(AT_FDCWD, location.snapshot, flags, mode);
    }
    default:
        if (is_served(&location, flags))
            return ml_open_served(location.path, flags);
        return REAL(openat)(AT_FDCWD, location.snapshot, flags & ~(O_CREAT | O_TRUNC), mode);
    }
}

#define MODE_OF(flags, last)                  \
    ({                                        \
        mode_t mode_ = 0;                     \
        if (takes_mode(flags)) {              \
            va_list list_;                    \
            va_start(list_, last);            \
            mode_ = va_arg(list_, mode_t);    \
            va_end(list_);                    \
        }                                     \
        mode_;                                \
    })

ML_EXPORT int open(const char *path, int flags, ...) {
    return open_at(AT_FDCWD, path, flags, MODE_OF(flags, flags));
}

ML_EXPORT int open64(const char *path, int flags, ...) {
    return open_at(AT_FDCWD, path, flags, MODE_OF(flags, flags));
}

ML_EXPORT int openat(int directory, const char *path, int flags, ...) {
    return open_at(directory, path, flags, MODE_OF(flags, flags));
}

ML_EXPORT int openat64(int directory, const char *path, int flags, ...) {
    return open_at(directory, path, flags, MODE_OF(flags, flags));
}

ML_EXPORT int creat(const char *path, mode_t mode) {
    return open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

ML_EXPORT int creat64(const char *path, mode_t mode) {
    return open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

/* What open and openat become in a program that was built with _FORTIFY_SOURCE. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int directory, const char *path, int flags);
int __openat64_2(int directory, const char *path, int flags);

ML_EXPORT int __open_2(const char *path, int flags) {
    return open_at(AT_FDCWD, path, flags, 0);
}

ML_EXPORT int __open64_2(const char *path, int flags) {
    return open_at(AT_FDCWD, path, flags, 0);
}

ML_EXPORT int __openat_2(int directory, const char *path, int flags) {
    return open_at(directory, path, flags, 0);
}

ML_EXPORT int __openat64_2(int directory, const char *path, int flags) {
    return open_at(directory, path, flags, 0);
}

static int flags_of(const char *mode) {
    int both = strchr(mode, '+') != NULL;
    int flags = mode[0] == 'r' ? (both ? O_RDWR : O_RDONLY) : (both ? O_RDWR : O_WRONLY);
    if (strchr(mode, 'e'))
        flags |= O_CLOEXEC;
    return flags;
}

static FILE *open_stream(const struct ml_location *location, const char *mode) {
    int fd = open_at(AT_FDCWD, location->path, flags_of(mode), 0);
    if (fd < 0)
        return NULL;
    FILE *stream = fdopen(fd, mode);
    if (!stream)
        REAL(close)(fd);
    return stream;
}

ML_EXPORT FILE *fopen(const char *path, const char *mode) {
    struct ml_location location;
    if (ml_locate(AT_FDCWD, path, &location) < ML_NODE || location.place == ML_MERGED)
        return REAL(fopen)(path, mode);
    return open_stream(&location, mode);
}

ML_EXPORT FILE *fopen64(const char *path, const char *mode) {
    struct ml_location location;
    if (ml_locate(AT_FDCWD, path, &location) < ML_NODE || location.place == ML_MERGED)
        return REAL(fopen64)(path, mode);
    return open_stream(&location, mode);
}
