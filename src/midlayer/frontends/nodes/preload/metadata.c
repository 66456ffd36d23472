/* What is known of a path or a descriptor: stat, access, readlink, realpath, chdir, getcwd. */
#include "nodes.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

int ml_stat(int directory, const char *path, struct stat *out, int flags) {
    return (int)syscall(SYS_newfstatat, directory, path, out, flags);
}

/* The snapshot of a node is a file that says ``major:minor``. */
static int device_number(const char *snapshot, dev_t *number) {
    char text[32];
    unsigned major_number, minor_number;
    int fd = REAL(openat)(AT_FDCWD, snapshot, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t length = REAL(read)(fd, text, sizeof text - 1);
    REAL(close)(fd);
    text[length > 0 ? length : 0] = '\0';
    if (sscanf(text, "%u:%u", &major_number, &minor_number) != 2)
        return -1;
    *number = makedev(major_number, minor_number);
    return 0;
}

static void make_device(struct stat *out, dev_t number) {
    out->st_mode = S_IFCHR | (out->st_mode & 0666) | 0600;
    out->st_rdev = number;
    out->st_size = 0;
    out->st_blocks = 0;
}

static int stat_descriptor(int fd, struct stat *out) {
    int result = ml_stat(fd, "", out, AT_EMPTY_PATH);
    if (result != 0 || !S_ISSOCK(out->st_mode))
        return result;
    uint32_t file = ml_file_of(fd);
    if (file) {
        struct ml_request request = {.operation = ML_FSTAT, .file = file};
        int64_t number = ml_call(&request, NULL, 0, NULL);
        if (number > 0)
            make_device(out, makedev(number >> 32, number & 0xffffffff));
        else
            out->st_mode = S_IFREG | 0644;
    }
    return result;
}

/* glibc declares path as nonnull in some of these functions, and kernels take NULL. */
static int nothing(const char *path) {
    return path && !path[0];
}

static int stat_path(int directory, const char *path, struct stat *out, int flags) {
    struct ml_location location;
    if (nothing(path) && flags & AT_EMPTY_PATH)
        return directory == AT_FDCWD ? ml_stat(directory, path, out, flags) : stat_descriptor(directory, out);
    enum ml_place place = ml_locate(directory, path, &location);
    if (place == ML_OUTSIDE)
        return ml_stat(directory, path, out, flags);
    int result = place == ML_MERGED ? ml_stat(directory, path, out, flags) : -1;
    if (result != 0)
        result = ml_stat(AT_FDCWD, location.snapshot, out, flags);
    dev_t number;
    if (result == 0 && place == ML_NODE && S_ISREG(out->st_mode) &&
        device_number(location.snapshot, &number) == 0)
        make_device(out, number);
    return result;
}

/* struct stat and struct stat64 are one on the 64-bit machines that this is built for. */
_Static_assert(sizeof(struct stat) == sizeof(struct stat64), "a 64-bit machine");

#define AS_STAT(pointer) ((struct stat *)(void *)(pointer))

ML_EXPORT int stat(const char *path, struct stat *out) {
    return stat_path(AT_FDCWD, path, out, 0);
}

ML_EXPORT int stat64(const char *path, struct stat64 *out) {
    return stat_path(AT_FDCWD, path, AS_STAT(out), 0);
}

ML_EXPORT int lstat(const char *path, struct stat *out) {
    return stat_path(AT_FDCWD, path, out, AT_SYMLINK_NOFOLLOW);
}

ML_EXPORT int lstat64(const char *path, struct stat64 *out) {
    return stat_path(AT_FDCWD, path, AS_STAT(out), AT_SYMLINK_NOFOLLOW);
}

ML_EXPORT int fstat(int fd, struct stat *out) {
    return stat_descriptor(fd, out);
}

ML_EXPORT int fstat64(int fd, struct stat64 *out) {
    return stat_descriptor(fd, AS_STAT(out));
}

ML_EXPORT int fstatat(int directory, const char *path, struct stat *out, int flags) {
    return stat_path(directory, path, out, flags);
}

ML_EXPORT int fstatat64(int directory, const char *path, struct stat64 *out, int flags) {
    return stat_path(directory, path, AS_STAT(out), flags);
}

/* What the stat family was called before glibc 2.33. */
int __xstat(int version, const char *path, struct stat *out);
int __xstat64(int version, const char *path, struct stat64 *out);
int __lxstat(int version, const char *path, struct stat *out);
int __lxstat64(int version, const char *path, struct stat64 *out);
int __fxstat(int version, int fd, struct stat *out);
int __fxstat64(int version, int fd, struct stat64 *out);

ML_EXPORT int __xstat(int version, const char *path, struct stat *out) {
    (void)version;
    return stat_path(AT_FDCWD, path, out, 0);
}

ML_EXPORT int __xstat64(int version, const char *path, struct stat64 *out) {
    (void)version;
    return stat_path(AT_FDCWD, path, AS_STAT(out), 0);
}

ML_EXPORT int __lxstat(int version, const char *path, struct stat *out) {
    (void)version;
    return stat_path(AT_FDCWD, path, out, AT_SYMLINK_NOFOLLOW);
}

ML_EXPORT int __lxstat64(int version, const char *path, struct stat64 *out) {
    (void)version;
    return stat_path(AT_FDCWD, path, AS_STAT(out), AT_SYMLINK_NOFOLLOW);
}

ML_EXPORT int __fxstat(int version, int fd, struct stat *out) {
    (void)version;
    return stat_descriptor(fd, out);
}

ML_EXPORT int __fxstat64(int version, int fd, struct stat64 *out) {
    (void)version;
    return stat_descriptor(fd, AS_STAT(out));
}

ML_EXPORT int statx(int directory, const char *path, int flags, unsigned mask, struct statx *out) {
    struct ml_location location;
    int by_descriptor = nothing(path) && flags & AT_EMPTY_PATH;
    int ours = by_descriptor ? ml_file_of(directory) != 0 : ml_locate(directory, path, &location) != ML_OUTSIDE;
    if (!ours || (!by_descriptor && location.place == ML_MERGED)) {
        int result = (int)syscall(SYS_statx, directory, path, flags, mask, out);
        if (result == 0 || !ours || errno != ENOENT)
            return result;
    }
    struct stat found;
    if (stat_path(directory, path, &found, flags & (AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)) != 0)
        return -1;
    memset(out, 0, sizeof *out);
    out->stx_mask = STATX_BASIC_STATS;
    out->stx_blksize = found.st_blksize, out->stx_blocks = found.st_blocks, out->stx_size = found.st_size;
    out->stx_nlink = found.st_nlink, out->stx_uid = found.st_uid, out->stx_gid = found.st_gid;
    out->stx_mode = found.st_mode, out->stx_ino = found.st_ino;
    out->stx_dev_major = major(found.st_dev), out->stx_dev_minor = minor(found.st_dev);
    out->stx_rdev_major = major(found.st_rdev), out->stx_rdev_minor = minor(found.st_rdev);
    out->stx_atime.tv_sec = found.st_atime, out->stx_mtime.tv_sec = found.st_mtime;
    out->stx_ctime.tv_sec = found.st_ctime;
    return 0;
}

/* Where a path that names something really is. */
static const char *really(int directory, const char *path, struct ml_location *location) {
    enum ml_place place = ml_locate(directory, path, location);
    if (place == ML_OUTSIDE)
        return path;
    struct stat found;
    return place == ML_MERGED && ml_stat(directory, path, &found, 0) == 0 ? path : location->snapshot;
}

ML_EXPORT int access(const char *path, int mode) {
    struct ml_location location;
    return REAL(access)(really(AT_FDCWD, path, &location), mode);
}

ML_EXPORT int faccessat(int directory, const char *path, int mode, int flags) {
    struct ml_location location;
    return REAL(faccessat)(directory, really(directory, path, &location), mode, flags);
}

ML_EXPORT ssize_t readlink(const char *path, char *out, size_t size) {
    struct ml_location location;
    return REAL(readlink)(really(AT_FDCWD, path, &location), out, size);
}

ML_EXPORT ssize_t readlinkat(int directory, const char *path, char *out, size_t size) {
    struct ml_location location;
    return REAL(readlinkat)(directory, really(directory, path, &location), out, size);
}

ML_EXPORT int chdir(const char *path) {
    struct ml_location location;
    return REAL(chdir)(really(AT_FDCWD, path, &location));
}

static char *seen(char *path) {
    if (path) {
        const char *rest = ml_as_seen(path);
        memmove(path, rest, strlen(rest) + 1);
    }
    return path;
}

ML_EXPORT char *getcwd(char *out, size_t size) {
    return seen(REAL(getcwd)(out, size));
}

ML_EXPORT char *realpath(const char *path, char *out) {
    struct ml_location location;
    return seen(REAL(realpath)(really(AT_FDCWD, path, &location), out));
}

char *__realpath_chk(const char *path, char *out, size_t room);

ML_EXPORT char *__realpath_chk(const char *path, char *out, size_t room) {
    (void)room;
    return realpath(path, out);
}

ML_EXPORT char *canonicalize_file_name(const char *path) {
    return realpath(path, NULL);
}

/* ls asks for access control lists. */
ML_EXPORT ssize_t getxattr(const char *path, const char *name, void *value, size_t size) {
    struct ml_location location;
    return REAL(getxattr)(really(AT_FDCWD, path, &location), name, value, size);
}

ML_EXPORT ssize_t lgetxattr(const char *path, const char *name, void *value, size_t size) {
    struct ml_location location;
    return REAL(lgetxattr)(really(AT_FDCWD, path, &location), name, value, size);
}

ML_EXPORT ssize_t listxattr(const char *path, char *list, size_t size) {
    struct ml_location location;
    return REAL(listxattr)(really(AT_FDCWD, path, &location), list, size);
}

ML_EXPORT ssize_t llistxattr(const char *path, char *list, size_t size) {
    struct ml_location location;
    return REAL(llistxattr)(really(AT_FDCWD, path, &location), list, size);
}
