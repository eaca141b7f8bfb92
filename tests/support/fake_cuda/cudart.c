/* libcudart: memory, streams, captured graphs and launches, each a line of the log.
 *
 * A line is a tab-separated record: thread, "captured" or "-", call, and its fields. */

#define _GNU_SOURCE
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SUCCESS = 0, ERROR_CAPTURE = 900, COMPUTE_MAJOR = 9, MULTIPROCESSORS = 132 };
enum { HOST_MEMORY = 0, DEVICE_MEMORY = 2 };

typedef struct { unsigned x, y, z; } Size;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int capturing;          /* whether a stream records */
static void *captured_stream;

void fake_log(const char *format, ...) {
    static FILE *file;
    pthread_mutex_lock(&mutex);
    if (!file) {
        const char *path = getenv("FAKE_CUDA_LOG");
        file = fopen(path ? path : "/dev/null", "a");
        setvbuf(file, NULL, _IOLBF, 1 << 16);
    }
    va_list fields;
    va_start(fields, format);
    fprintf(file, "%ld\t%s\t", syscall(SYS_gettid), capturing ? "captured" : "-");
    vfprintf(file, format, fields);
    fputc('\n', file);
    va_end(fields);
    pthread_mutex_unlock(&mutex);
}

static void *new_handle(void) {
    static long last = 0x1000;
    return (void *)__sync_add_and_fetch(&last, 16);
}

/* ---- the device ------------------------------------------------------------------------------ */

int cudaGetDeviceCount(int *count) { *count = 1; return SUCCESS; }
int cudaGetDevice(int *device) { *device = 0; return SUCCESS; }
int cudaSetDevice(int device) { (void)device; return SUCCESS; }
int cudaDriverGetVersion(int *version) { *version = 13000; return SUCCESS; }
int cudaRuntimeGetVersion(int *version) { *version = 13000; return SUCCESS; }
static size_t used; /* bytes of device memory */
static const size_t total_memory = 141ull << 30;
int cudaMemGetInfo(size_t *free, size_t *total) {
    *free = total_memory - used;
    *total = total_memory;
    return SUCCESS;
}

int cudaDeviceGetAttribute(int *value, int attribute, int device) {
    (void)device;
    switch (attribute) {
        case 1: *value = 1024; break;             /* threads of a block */
        case 8: *value = 48 << 10; break;         /* shared memory of a block */
        case 10: *value = 32; break;              /* threads of a warp */
        case 16: *value = MULTIPROCESSORS; break;
        case 38: *value = 50 << 20; break;        /* second-level cache */
        case 75: *value = COMPUTE_MAJOR; break;
        case 76: *value = 0; break;
        case 81: case 97: *value = 227 << 10; break; /* shared memory on request */
        default: *value = 1;
    }
    return SUCCESS;
}

/* The head of cudaDeviceProp of CUDA 13, as far as it is read. */
struct Properties {
    char name[256], uuid[16], luid[8];
    unsigned mask;
    size_t total_memory, shared_memory;
    int registers, warp;
    size_t pitch;
    int block_threads, block[3], grid[3];
    size_t constant_memory;
    int major, minor;
    size_t alignment[2];
    int multiprocessors;
};

int cudaGetDeviceProperties(struct Properties *found, int device) {
    (void)device;
    memset(found, 0, 1000);
    strcpy(found->name, "Fake GPU");
    found->total_memory = total_memory;
    found->shared_memory = 48 << 10;
    found->registers = 65536;
    found->warp = 32;
    found->block_threads = found->block[0] = found->block[1] = 1024;
    found->block[2] = 64;
    found->grid[0] = 2147483647;
    found->grid[1] = found->grid[2] = 65535;
    found->major = COMPUTE_MAJOR;
    found->alignment[0] = 512;
    found->multiprocessors = MULTIPROCESSORS;
    return SUCCESS;
}

/* ---- memory ---------------------------------------------------------------------------------- */

enum { MAX_BLOCKS = 100000, PAGE = 4096, ZEROED = 64 << 20 };
static struct { char *begin; size_t size; } blocks[MAX_BLOCKS];
static int block_count;

static int is_device(const void *address) {
    for (int i = 0; i < block_count; i++)
        if ((char *)address >= blocks[i].begin && (char *)address < blocks[i].begin + blocks[i].size)
            return 1;
    return 0;
}

static int allocate(void **address, size_t size, int on_device) {
    size_t whole = (size / PAGE + 1) * PAGE;
    *address = aligned_alloc(PAGE, whole);
    memset(*address, 0, whole < ZEROED ? whole : ZEROED);
    if (on_device) {
        pthread_mutex_lock(&mutex);
        if (block_count == MAX_BLOCKS) abort();
        blocks[block_count].begin = *address;
        blocks[block_count++].size = size;
        used += size;
        pthread_mutex_unlock(&mutex);
    }
    return SUCCESS;
}

int cudaMalloc(void **address, size_t size) {
    fake_log("malloc\t%zu", size);
    return allocate(address, size, 1);
}
int cudaMallocFromPoolAsync(void **address, size_t size, void *pool, void *stream) {
    (void)pool, (void)stream;
    fake_log("malloc\t%zu", size);
    return allocate(address, size, 1);
}
int cudaMallocHost(void **address, size_t size) { return allocate(address, size, 0); }
int cudaHostAlloc(void **address, size_t size, unsigned flags) {
    (void)flags;
    return allocate(address, size, 0);
}

int cudaFree(void *address) {
    size_t size = 0;
    pthread_mutex_lock(&mutex);
    for (int i = 0; i < block_count; i++)
        if (blocks[i].begin == address) {
            size = blocks[i].size;
            used -= size;
            blocks[i] = blocks[--block_count];
            break;
        }
    pthread_mutex_unlock(&mutex);
    fake_log("free\t%zu", size);
    free(address);
    return SUCCESS;
}
int cudaFreeAsync(void *address, void *stream) { (void)stream; return cudaFree(address); }
int cudaFreeHost(void *address) { free(address); return SUCCESS; }

struct Pointer { int type, device; void *on_device, *on_host; };
int cudaPointerGetAttributes(struct Pointer *found, const void *address) {
    memset(found, 0, sizeof *found);
    found->type = is_device(address) ? DEVICE_MEMORY : HOST_MEMORY;
    found->on_device = (void *)address;
    return SUCCESS;
}

/* Kernels compute nothing, so what comes back is zero, not what was in that memory before. */
static int copy(void *target, const void *source, size_t size) {
    int from_device = is_device(source), to_device = is_device(target);
    fake_log("copy\t%s\t%s\t%zu", from_device ? "device" : "host",
             to_device ? "device" : "host", size);
    if (from_device && !to_device)
        memset(target, 0, size);
    else
        memmove(target, source, size);
    return SUCCESS;
}
int cudaMemcpy(void *target, const void *source, size_t size, int kind) {
    (void)kind;
    return copy(target, source, size);
}
int cudaMemcpyAsync(void *target, const void *source, size_t size, int kind, void *stream) {
    (void)kind, (void)stream;
    return copy(target, source, size);
}
int cudaMemcpy2DAsync(char *target, size_t target_pitch, const char *source, size_t source_pitch,
                      size_t width, size_t height, int kind, void *stream) {
    (void)kind, (void)stream;
    fake_log("copy\t%s\t%s\t%zu", is_device(source) ? "device" : "host",
             is_device(target) ? "device" : "host", width * height);
    for (size_t row = 0; row < height; row++)
        memmove(target + row * target_pitch, source + row * source_pitch, width);
    return SUCCESS;
}
int cudaMemcpyFromSymbol(void *target, const void *symbol, size_t size, size_t offset, int kind) {
    (void)symbol, (void)offset, (void)kind;
    memset(target, 0, size);
    return SUCCESS;
}
int cudaMemset(void *address, int value, size_t size) {
    memset(address, value, size);
    return SUCCESS;
}
int cudaMemsetAsync(void *address, int value, size_t size, void *stream) {
    (void)stream;
    fake_log("launch\tmemset\t%zu", size);
    memset(address, value, size);
    return SUCCESS;
}
int cudaMemPoolCreate(void **pool, void *properties) {
    (void)properties;
    *pool = new_handle();
    return SUCCESS;
}

/* ---- streams and events ---------------------------------------------------------------------- */

int cudaStreamCreate(void **stream) { *stream = new_handle(); return SUCCESS; }
int cudaStreamCreateWithFlags(void **stream, unsigned flags) {
    (void)flags;
    return cudaStreamCreate(stream);
}
int cudaStreamSynchronize(void *stream) { (void)stream; fake_log("wait\tstream"); return SUCCESS; }
int cudaDeviceSynchronize(void) { fake_log("wait\tdevice"); return SUCCESS; }
int cudaEventCreate(void **event) { *event = new_handle(); return SUCCESS; }
int cudaEventCreateWithFlags(void **event, unsigned flags) {
    (void)flags;
    return cudaEventCreate(event);
}
int cudaEventSynchronize(void *event) { (void)event; fake_log("wait\tevent"); return SUCCESS; }
int cudaEventElapsedTime(float *milliseconds, void *start, void *end) {
    (void)start, (void)end;
    *milliseconds = 1;
    return SUCCESS;
}

/* ---- captured graphs ------------------------------------------------------------------------- */

int cudaStreamBeginCapture(void *stream, int mode) {
    fake_log("begin capture\t%d", mode);
    capturing = 1;
    captured_stream = stream;
    return SUCCESS;
}
int cudaStreamEndCapture(void *stream, void **graph) {
    (void)stream;
    capturing = 0;
    *graph = new_handle();
    fake_log("end capture");
    return SUCCESS;
}
int cudaStreamIsCapturing(void *stream, int *status) {
    *status = capturing && stream == captured_stream;
    return SUCCESS;
}
int cudaGraphInstantiate(void **instance, void *graph, unsigned long long flags) {
    (void)graph, (void)flags;
    *instance = new_handle();
    return SUCCESS;
}
int cudaGraphLaunch(void *instance, void *stream) {
    (void)stream;
    fake_log("replay\t%p", instance);
    return SUCCESS;
}

/* ---- kernels --------------------------------------------------------------------------------- */

enum { MAX_KERNELS = 400000 };
static struct { const void *function; const char *name; } kernels[MAX_KERNELS];
static int kernel_count;

static const char *kernel_name(const void *function) {
    for (int i = 0; i < kernel_count; i++)
        if (kernels[i].function == function) return kernels[i].name;
    return "?";
}

static int launch(const void *function) {
    fake_log("launch\t%.120s", kernel_name(function));
    return SUCCESS;
}

void __cudaRegisterFunction(void **handle, const char *function, char *device_function,
                            const char *name) {
    (void)handle, (void)device_function;
    if (kernel_count < MAX_KERNELS) {
        kernels[kernel_count].function = function;
        kernels[kernel_count++].name = name;
    }
}
void **__cudaRegisterFatBinary(void *binary) {
    static void *handle[16];
    (void)binary;
    return handle;
}

static __thread struct { Size grid, block; size_t memory; void *stream; } pushed;
unsigned __cudaPushCallConfiguration(Size grid, Size block, size_t memory, void *stream) {
    pushed.grid = grid, pushed.block = block, pushed.memory = memory, pushed.stream = stream;
    return SUCCESS;
}
int __cudaPopCallConfiguration(Size *grid, Size *block, size_t *memory, void **stream) {
    *grid = pushed.grid, *block = pushed.block, *memory = pushed.memory, *stream = pushed.stream;
    return SUCCESS;
}
int __cudaGetKernel(const void **kernel, const void *function) {
    *kernel = function;
    return SUCCESS;
}
int __cudaLaunchKernel(const void *function) { return launch(function); }
int cudaLaunchKernel(const void *function) { return launch(function); }
int cudaLaunchCooperativeKernel(const void *function) { return launch(function); }
int cudaLaunchKernelExC(const void *configuration, const void *function) {
    (void)configuration;
    return launch(function);
}
int cudaLaunchHostFunc(void *stream, void (*function)(void *), void *data) {
    (void)stream;
    function(data);
    return SUCCESS;
}
int cudaFuncGetAttributes(int *attributes, const void *function) {
    (void)function;
    memset(attributes, 0, 56);
    attributes[6] = 1024; /* threads of a block */
    return SUCCESS;
}
int cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks_of_one) {
    *blocks_of_one = 1;
    return SUCCESS;
}
int cudaGetDriverEntryPointByVersion(const char *symbol, void **function, unsigned version,
                                     unsigned long long flags, int *status) {
    (void)symbol, (void)version, (void)flags;
    *function = (void *)cudaDeviceSynchronize;
    if (status) *status = 0;
    return SUCCESS;
}

const char *cudaGetErrorName(int error) { (void)error; return "cudaErrorFake"; }
const char *cudaGetErrorString(int error) { (void)error; return "an error of the fake runtime"; }
