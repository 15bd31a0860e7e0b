/* Plays a v4l2loopback device for the process it is preloaded into: enough of it for a program that writes frames.
 *
 * MASQUE_SHIM_DEVICE  the path it answers to
 * MASQUE_SHIM_FILE    takes what is written to the device; MASQUE_SHIM_FILE.times a line for each frame: monotonic ns
 * MASQUE_SHIM_EVERY   keep only every Nth frame, from the first on
 * MASQUE_SHIM_FAULT   "forbidden": may not be opened; "busy": no format can be set; "held": stays at 320 x 240
 * When MASQUE_SHIM_FILE.gone exists, the device does not.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define MOST 1024
static char ours[MOST]; /* by descriptor */
static struct v4l2_pix_format format = {.width = 640, .height = 480, .pixelformat = V4L2_PIX_FMT_YUV420};

static int has_fault(const char *name)
{
    const char *fault = getenv("MASQUE_SHIM_FAULT");
    return fault && !strcmp(fault, name);
}

static int is_device(const char *path)
{
    const char *device = getenv("MASQUE_SHIM_DEVICE");
    return path && device && !strcmp(path, device);
}

static int open_device(int flags)
{
    static int (*real)(const char *, int, ...);
    char gone[4096];
    const char *file = getenv("MASQUE_SHIM_FILE");
    if (!real)
        real = dlsym(RTLD_NEXT, "open");
    snprintf(gone, sizeof gone, "%s.gone", file);
    if (!access(gone, F_OK)) {
        errno = ENODEV;
        return -1;
    }
    if (has_fault("forbidden")) {
        errno = EACCES;
        return -1;
    }
    int fd = real(file, (flags & O_ACCMODE) | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd >= 0 && fd < MOST)
        ours[fd] = 1;
    return fd;
}

#define OPEN(name)                                                \
    int name(const char *path, int flags, ...)                    \
    {                                                             \
        static int (*real)(const char *, int, ...);               \
        va_list rest;                                             \
        va_start(rest, flags);                                    \
        mode_t mode = va_arg(rest, mode_t);                       \
        va_end(rest);                                             \
        if (is_device(path))                                      \
            return open_device(flags);                            \
        if (!real)                                                \
            real = dlsym(RTLD_NEXT, #name);                       \
        return real(path, flags, mode);                           \
    }
OPEN(open)
OPEN(open64)

ssize_t write(int fd, const void *data, size_t size)
{
    static ssize_t (*real)(int, const void *, size_t);
    static unsigned long count;
    if (!real)
        real = dlsym(RTLD_NEXT, "write");
    if (fd < 0 || fd >= MOST || !ours[fd])
        return real(fd, data, size);
    char path[4096];
    struct timespec now;
    const char *every = getenv("MASQUE_SHIM_EVERY");
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(path, sizeof path, "%s.times", getenv("MASQUE_SHIM_FILE"));
    FILE *times = fopen(path, "a");
    if (times) {
        fprintf(times, "%lld\n", now.tv_sec * 1000000000LL + now.tv_nsec);
        fclose(times);
    }
    if (every && atol(every) > 1 && count++ % atol(every))
        return size;
    return real(fd, data, size);
}

int close(int fd)
{
    static int (*real)(int);
    if (!real)
        real = dlsym(RTLD_NEXT, "close");
    if (fd >= 0 && fd < MOST)
        ours[fd] = 0;
    return real(fd);
}

int ioctl(int fd, unsigned long request, ...)
{
    static int (*real)(int, unsigned long, ...);
    va_list rest;
    va_start(rest, request);
    void *data = va_arg(rest, void *);
    va_end(rest);
    if (fd < 0 || fd >= MOST || !ours[fd]) {
        if (!real)
            real = dlsym(RTLD_NEXT, "ioctl");
        return real(fd, request, data);
    }
    if ((unsigned int)request == VIDIOC_QUERYCAP) {
        struct v4l2_capability *answer = data;
        memset(answer, 0, sizeof *answer);
        strcpy((char *)answer->driver, "v4l2 loopback");
        strcpy((char *)answer->card, "Masque");
        answer->device_caps = V4L2_CAP_VIDEO_OUTPUT | V4L2_CAP_READWRITE;
        answer->capabilities = answer->device_caps | V4L2_CAP_DEVICE_CAPS;
        return 0;
    }
    struct v4l2_format *given = data;
    if ((unsigned int)request == VIDIOC_G_FMT && given->type == V4L2_BUF_TYPE_VIDEO_OUTPUT) {
        given->fmt.pix = format;
        return 0;
    }
    if ((unsigned int)request == VIDIOC_S_FMT && given->type == V4L2_BUF_TYPE_VIDEO_OUTPUT) {
        if (has_fault("busy")) {
            errno = EBUSY;
            return -1;
        }
        format = given->fmt.pix;
        if (has_fault("held")) {
            format.width = 320;
            format.height = 240;
        }
        format.sizeimage = format.width * format.height * 3 / 2;
        given->fmt.pix = format;
        return 0;
    }
    errno = ENOTTY;
    return -1;
}
