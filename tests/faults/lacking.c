// A file system that lacks calls, for a child process with this library in LD_PRELOAD.
//
// LACKS holds some of: "flock" (none at all), "exclusive" (none on a descriptor for reading, as on
// NFS), "fsync" (of folders), "chmod".

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

static int lacks(const char *what) {
    const char *all = getenv("LACKS");
    return all != NULL && strstr(all, what) != NULL;
}

static int refuse(int number) {
    errno = number;
    return -1;
}

int flock(int descriptor, int operation) {
    static int (*real)(int, int);
    if (real == NULL) real = (int (*)(int, int))dlsym(RTLD_NEXT, "flock");
    int reads = (fcntl(descriptor, F_GETFL) & O_ACCMODE) == O_RDONLY;
    if (lacks("flock")) return refuse(ENOLCK);
    if (lacks("exclusive") && reads && (operation & LOCK_EX)) return refuse(EBADF);
    return real(descriptor, operation);
}

int fsync(int descriptor) {
    static int (*real)(int);
    if (real == NULL) real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    struct stat status;
    if (lacks("fsync") && fstat(descriptor, &status) == 0 && S_ISDIR(status.st_mode))
        return refuse(EINVAL);
    return real(descriptor);
}

int chmod(const char *path, mode_t mode) {
    static int (*real)(const char *, mode_t);
    if (real == NULL) real = (int (*)(const char *, mode_t))dlsym(RTLD_NEXT, "chmod");
    return lacks("chmod") ? refuse(EPERM) : real(path, mode);
}
