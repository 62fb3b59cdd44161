/* The CUDA runtime of a GPU that computes nothing. Device memory is address space that nobody touches: what is written
   to it is lost, what is read from it is zeros. Everything else succeeds. Copies are counted. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { NUM_GPUS = 8, PAGE = 4096, TO_DEVICE = 1, FROM_DEVICE = 2, ON_DEVICE = 3 };
static const size_t MEMORY = (size_t)1 << 40;

/* By direction: host to host, host to device, device to host, on the device. */
long vistr_copies[4], vistr_bytes[4];

static int copy(void *to, const void *from, size_t size, int kind) {
    if (kind >= 0 && kind < 4) {
        __atomic_fetch_add(&vistr_copies[kind], 1, __ATOMIC_RELAXED);
        __atomic_fetch_add(&vistr_bytes[kind], size, __ATOMIC_RELAXED);
    }
    if (kind == FROM_DEVICE) memset(to, 0, size);
    else if (kind != TO_DEVICE && kind != ON_DEVICE) memmove(to, from, size);
    return 0;
}

int cudaMemcpy(void *to, const void *from, size_t size, int kind) { return copy(to, from, size, kind); }
int cudaMemcpyAsync(void *to, const void *from, size_t size, int kind, void *s) { return copy(to, from, size, kind); }

int cudaMalloc(void **p, size_t size) {
    char *start = mmap(NULL, size + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED) return 2;
    *(size_t *)start = size + PAGE;
    *p = start + PAGE;
    return 0;
}
int cudaFree(void *p) {
    char *start = (char *)p - PAGE;
    return p == NULL ? 0 : munmap(start, *(size_t *)start);
}
int cudaHostAlloc(void **p, size_t size, unsigned flags) { *p = calloc(1, size); return 0; }
int cudaFreeHost(void *p) { free(p); return 0; }

int cudaGetDeviceCount(int *count) { *count = NUM_GPUS; return 0; }
int cudaMemGetInfo(size_t *free, size_t *total) { *free = *total = MEMORY; return 0; }
int cudaStreamCreate(void **s) { *s = (void *)16; return 0; }
int cudaStreamCreateWithFlags(void **s, unsigned flags) { *s = (void *)16; return 0; }
int cudaStreamCreateWithPriority(void **s, unsigned flags, int priority) { *s = (void *)16; return 0; }
int cudaEventCreate(void **e) { *e = (void *)16; return 0; }
int cudaEventCreateWithFlags(void **e, unsigned flags) { *e = (void *)16; return 0; }
int cudaEventElapsedTime(float *ms, void *from, void *to) { *ms = 1; return 0; }
const char *cudaGetErrorString(int error) { return "no error"; }
const char *cudaGetErrorName(int error) { return "cudaSuccess"; }

/* Places in CUDA 11's cudaDeviceProp. */
int cudaGetDeviceProperties(char *p, int device) {
    memset(p, 0, 720);
    strcpy(p, "idle GPU");
    *(size_t *)(p + 288) = MEMORY;
    *(size_t *)(p + 296) = 49152;                            /* shared memory of a block */
    *(int *)(p + 308) = 32;                                  /* warp */
    int *sizes = (int *)(p + 320);
    sizes[0] = 1024;                                         /* threads of a block */
    sizes[1] = sizes[2] = 1024; sizes[3] = 64;
    sizes[4] = 2147483647; sizes[5] = sizes[6] = 65535;
    *(int *)(p + 360) = 8;                                   /* compute capability 8.0 */
    *(int *)(p + 388) = 108;                                 /* multiprocessors */
    return 0;
}
