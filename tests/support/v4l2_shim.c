/* Plays a v4l2loopback device for the processes it is preloaded into: enough of it for programs that write frames, for
 * others that look, and for what goes wrong between them.
 *
 * MASQUE_SHIM_DEVICE  the path it answers to
 * MASQUE_SHIM_FILE    takes what is written to the device; MASQUE_SHIM_FILE.times a line for each frame: monotonic ns,
 *                     width, height; MASQUE_SHIM_FILE.state is the device itself, shared by all who have it open
 * MASQUE_SHIM_EVERY   keep only every Nth frame, from the first on
 * MASQUE_SHIM_MODULE  "0.12.7": behave as that version; else as 0.14 and newer
 * MASQUE_SHIM_CAPS    "all": as with exclusive_caps=0
 * MASQUE_SHIM_CARD    its name; Masque
 * MASQUE_SHIM_INPUT   status of its input, a number
 * MASQUE_SHIM_FAULT   "forbidden": may not be opened; "busy": no format can be set; "held": stays at 320 x 240;
 *                     "stuck": neither captures nor takes
 * When MASQUE_SHIM_FILE.gone exists, the device does not.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define MOST 1024
#define MOST_OPENERS 64
#define OUTPUT 1
#define CAPTURE 2

struct opener {
    pid_t pid; /* 0: nobody */
    int fd;
    int is_writer; /* 0.12.7: did STREAMON */
    int formats, streams; /* 0.14: which of OUTPUT and CAPTURE it holds */
    unsigned long seen;
};

struct device {
    struct v4l2_pix_format format;
    unsigned long buffer_bytes, written;
    int captures, takes_no_more; /* 0.12.7: ready_for_capture, !ready_for_output */
    struct opener openers[MOST_OPENERS];
};

static struct device *device;
static int lock_fd = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct opener *ours[MOST]; /* by descriptor */

static int is_set(const char *variable, const char *value)
{
    const char *found = getenv(variable);
    return found && !strcmp(found, value);
}

static int has_fault(const char *name)
{
    return is_set("MASQUE_SHIM_FAULT", name);
}

static int is_old(void)
{
    return is_set("MASQUE_SHIM_MODULE", "0.12.7");
}

static int announces_all(void)
{
    return is_set("MASQUE_SHIM_CAPS", "all");
}

static int is_device(const char *path)
{
    const char *played = getenv("MASQUE_SHIM_DEVICE");
    return path && played && !strcmp(path, played);
}

#define REAL(type, name, ...) ((type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name))

static void close_opener(struct opener *opener)
{
    int left = 0, was_writer = opener->is_writer;
    memset(opener, 0, sizeof *opener);
    for (int i = 0; i < MOST_OPENERS; i++)
        left += device->openers[i].pid != 0;
    if (!left) {
        device->captures = 0;
        device->buffer_bytes = device->written = 0;
    }
    if (was_writer)
        device->takes_no_more = 0;
}

/* Enters the device, which processes share; closes what processes left open that are no more. */
static void enter(void)
{
    pthread_mutex_lock(&lock);
    if (!device) {
        char path[4096];
        snprintf(path, sizeof path, "%s.state", getenv("MASQUE_SHIM_FILE"));
        lock_fd = REAL(int, open, const char *, int, ...)(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (lock_fd < 0 || ftruncate(lock_fd, sizeof *device))
            abort();
        device = mmap(NULL, sizeof *device, PROT_READ | PROT_WRITE, MAP_SHARED, lock_fd, 0);
        if (device == MAP_FAILED)
            abort();
    }
    flock(lock_fd, LOCK_EX);
    if (!device->format.width) {
        device->format.width = 640;
        device->format.height = 480;
        device->format.pixelformat = V4L2_PIX_FMT_YUV420;
    }
    for (int i = 0; i < MOST_OPENERS; i++) {
        struct opener *opener = &device->openers[i];
        if (opener->pid && kill(opener->pid, 0) && errno == ESRCH)
            close_opener(opener);
    }
}

static int leave(int error)
{
    flock(lock_fd, LOCK_UN);
    pthread_mutex_unlock(&lock);
    if (!error)
        return 0;
    errno = error;
    return -1;
}

/* What others than this one hold: bits of OUTPUT and CAPTURE. */
static int others_hold(const struct opener *but, int streams)
{
    int held = 0;
    for (int i = 0; i < MOST_OPENERS; i++) {
        const struct opener *opener = &device->openers[i];
        if (opener->pid && opener != but)
            held |= streams ? opener->streams : opener->formats;
    }
    return held;
}

static int capabilities(void)
{
    const int both = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_VIDEO_OUTPUT;
    if (has_fault("stuck"))
        return 0;
    if (announces_all())
        return both;
    if (is_old())
        return (device->captures ? V4L2_CAP_VIDEO_CAPTURE : 0) | (device->takes_no_more ? 0 : V4L2_CAP_VIDEO_OUTPUT);
    return others_hold(NULL, 1) & OUTPUT ? V4L2_CAP_VIDEO_CAPTURE : V4L2_CAP_VIDEO_OUTPUT;
}

static int set_format(struct opener *opener, struct v4l2_pix_format *wanted)
{
    if (!capabilities())
        return EINVAL; /* the kernel itself refuses: no video device */
    if (has_fault("busy") || (!is_old() && others_hold(opener, 0) & OUTPUT))
        return EBUSY;
    if (!(is_old() ? device->captures : others_hold(opener, 0))) {
        device->format = *wanted;
        if (has_fault("held")) {
            device->format.width = 320;
            device->format.height = 240;
        }
        device->format.sizeimage = device->format.width * device->format.height * 3 / 2;
        device->buffer_bytes = device->format.sizeimage;
    }
    opener->formats |= OUTPUT;
    *wanted = device->format;
    return 0;
}

static int begin_writing(struct opener *opener)
{
    if (is_old()) {
        device->takes_no_more = 1;
        if (!device->captures && !device->buffer_bytes)
            return EINVAL;
        device->captures = 1;
        return 0;
    }
    if ((others_hold(opener, 1) | others_hold(opener, 0)) & OUTPUT)
        return EBUSY;
    opener->streams |= OUTPUT;
    return 0;
}

static int open_device(int flags)
{
    char gone[4096];
    const char *file = getenv("MASQUE_SHIM_FILE");
    snprintf(gone, sizeof gone, "%s.gone", file);
    if (!access(gone, F_OK)) {
        errno = ENODEV;
        return -1;
    }
    if (has_fault("forbidden")) {
        errno = EACCES;
        return -1;
    }
    int fd = REAL(int, open, const char *, int, ...)(file, (flags & O_ACCMODE) | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0 || fd >= MOST)
        return fd;
    enter();
    for (int i = 0; i < MOST_OPENERS && !ours[fd]; i++)
        if (!device->openers[i].pid) {
            ours[fd] = &device->openers[i];
            ours[fd]->pid = getpid();
            ours[fd]->fd = fd;
        }
    leave(0);
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

static int is_ours(int fd)
{
    return fd >= 0 && fd < MOST && ours[fd];
}

/* Descriptors are links to the device, not to the file that stands in. */
ssize_t readlink(const char *path, char *target, size_t size)
{
    static ssize_t (*real)(const char *, char *, size_t);
    if (!real)
        real = dlsym(RTLD_NEXT, "readlink");
    ssize_t length = real(path, target, size);
    const char *file = getenv("MASQUE_SHIM_FILE"), *played = getenv("MASQUE_SHIM_DEVICE");
    if (file && played && length == (ssize_t)strlen(file) && !memcmp(target, file, length) && strlen(played) <= size) {
        length = strlen(played);
        memcpy(target, played, length);
    }
    return length;
}

ssize_t __readlink_chk(const char *path, char *target, size_t size, size_t room)
{
    return readlink(path, target, size < room ? size : room);
}

ssize_t write(int fd, const void *data, size_t size)
{
    static ssize_t (*real)(int, const void *, size_t);
    static unsigned long count;
    if (!real)
        real = dlsym(RTLD_NEXT, "write");
    if (!is_ours(fd))
        return real(fd, data, size);
    char path[4096];
    struct timespec now;
    const char *every = getenv("MASQUE_SHIM_EVERY");
    enter();
    int error = begin_writing(ours[fd]);
    if (error)
        return leave(error);
    device->written++;
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(path, sizeof path, "%s.times", getenv("MASQUE_SHIM_FILE"));
    FILE *times = fopen(path, "a");
    if (times) {
        fprintf(times, "%lld %u %u\n", now.tv_sec * 1000000000LL + now.tv_nsec, device->format.width,
                device->format.height);
        fclose(times);
    }
    leave(0);
    if (every && atol(every) > 1 && count++ % atol(every))
        return size;
    return real(fd, data, size);
}

/* Hands out the newest frame, once to each who has the device open. */
ssize_t read(int fd, void *data, size_t size)
{
    static ssize_t (*real)(int, void *, size_t);
    if (!real)
        real = dlsym(RTLD_NEXT, "read");
    if (!is_ours(fd))
        return real(fd, data, size);
    enter();
    struct opener *opener = ours[fd];
    if (!is_old()) {
        if (others_hold(opener, 0) & CAPTURE)
            return leave(EBUSY);
        if (!(others_hold(opener, 1) & OUTPUT) && !opener->streams)
            return leave(EIO);
        opener->formats |= CAPTURE;
        opener->streams |= CAPTURE;
    }
    if (device->written <= opener->seen)
        return leave(EAGAIN);
    opener->seen = device->written;
    if (size > device->format.sizeimage)
        size = device->format.sizeimage;
    off_t begins = lseek(fd, 0, SEEK_END) - (off_t)device->format.sizeimage;
    ssize_t got = begins < 0 ? 0 : pread(fd, data, size, begins);
    leave(0);
    return got;
}

int close(int fd)
{
    static int (*real)(int);
    if (!real)
        real = dlsym(RTLD_NEXT, "close");
    if (is_ours(fd)) {
        enter();
        close_opener(ours[fd]);
        ours[fd] = NULL;
        leave(0);
    }
    return real(fd);
}

static int answer(struct opener *opener, unsigned int request, void *data)
{
    struct v4l2_capability *told = data;
    struct v4l2_format *given = data;
    struct v4l2_input *input = data;
    const char *status = getenv("MASQUE_SHIM_INPUT"), *card = getenv("MASQUE_SHIM_CARD");
    switch (request) {
    case VIDIOC_QUERYCAP:
        memset(told, 0, sizeof *told);
        strcpy((char *)told->driver, "v4l2 loopback");
        snprintf((char *)told->card, sizeof told->card, "%s", card ? card : "Masque");
        told->device_caps = capabilities() | V4L2_CAP_READWRITE;
        told->capabilities = told->device_caps | V4L2_CAP_DEVICE_CAPS;
        return 0;
    case VIDIOC_G_FMT:
        given->fmt.pix = device->format;
        return capabilities() ? 0 : EINVAL;
    case VIDIOC_TRY_FMT:
    case VIDIOC_S_FMT:
        if (given->type == V4L2_BUF_TYPE_VIDEO_OUTPUT)
            return set_format(opener, &given->fmt.pix);
        if (is_old() ? !device->captures : !(others_hold(opener, 1) & OUTPUT))
            return is_old() ? EBUSY : EINVAL;
        given->fmt.pix = device->format;
        return 0;
    case VIDIOC_STREAMON:
        if (!is_old())
            return EINVAL; /* it wants buffers first, and finds out by itself who writes */
        opener->is_writer = *(int *)data == V4L2_BUF_TYPE_VIDEO_OUTPUT;
        return opener->is_writer ? begin_writing(opener) : device->captures ? 0 : EIO;
    case VIDIOC_G_INPUT:
        *(int *)data = 0;
        return 0;
    case VIDIOC_ENUMINPUT:
        if (input->index)
            return EINVAL;
        memset(input, 0, sizeof *input);
        input->type = V4L2_INPUT_TYPE_CAMERA;
        input->status = status ? strtoul(status, NULL, 0) : 0;
        return 0;
    }
    return ENOTTY;
}

int ioctl(int fd, unsigned long request, ...)
{
    static int (*real)(int, unsigned long, ...);
    va_list rest;
    va_start(rest, request);
    void *data = va_arg(rest, void *);
    va_end(rest);
    if (!is_ours(fd)) {
        if (!real)
            real = dlsym(RTLD_NEXT, "ioctl");
        return real(fd, request, data);
    }
    enter();
    return leave(answer(ours[fd], (unsigned int)request, data));
}
