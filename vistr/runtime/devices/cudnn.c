/* cuDNN that offers one algorithm for everything, which needs no workspace. */
#include <stdlib.h>
#include <string.h>

const char *cudnnGetErrorString(int error) { return "no error"; }

#define FIND(name) int name(void *h, void *a, void *b, void *c, void *d, int want, int *got, int *found) \
    { *got = 1; memset(found, 0, 48); return 0; }
FIND(cudnnGetConvolutionForwardAlgorithm_v7)
FIND(cudnnGetConvolutionBackwardDataAlgorithm_v7)
FIND(cudnnGetConvolutionBackwardFilterAlgorithm_v7)
FIND(cudnnFindConvolutionForwardAlgorithm)
FIND(cudnnFindConvolutionBackwardDataAlgorithm)
FIND(cudnnFindConvolutionBackwardFilterAlgorithm)

#define SIZE(name) int name(void *h, void *a, void *b, void *c, void *d, int algorithm, size_t *size) \
    { *size = 0; return 0; }
SIZE(cudnnGetConvolutionForwardWorkspaceSize)
SIZE(cudnnGetConvolutionBackwardDataWorkspaceSize)
SIZE(cudnnGetConvolutionBackwardFilterWorkspaceSize)

/* A descriptor is the number of bytes of what it describes: MindSpore takes a convolution's output to be as large. */
static int describe(size_t *bytes, int type, int count, const int *sizes) {
    *bytes = type == 1 ? 8 : type == 2 || type == 9 ? 2 : 4; /* double, half and bfloat16, float */
    for (int i = 0; i < count; i++) *bytes *= sizes[i];
    return 0;
}
int cudnnCreateTensorDescriptor(size_t **d) { *d = calloc(1, sizeof **d); return 0; }
int cudnnCreateFilterDescriptor(size_t **d) { *d = calloc(1, sizeof **d); return 0; }
int cudnnDestroyTensorDescriptor(size_t *d) { free(d); return 0; }
int cudnnDestroyFilterDescriptor(size_t *d) { free(d); return 0; }
int cudnnSetTensor4dDescriptor(size_t *d, int format, int type, int n, int c, int h, int w) {
    return describe(d, type, 4, (int[]){n, c, h, w});
}
int cudnnSetTensor4dDescriptorEx(size_t *d, int type, int n, int c, int h, int w, int sn, int sc, int sh, int sw) {
    return describe(d, type, 4, (int[]){n, c, h, w});
}
int cudnnSetTensorNdDescriptor(size_t *d, int type, int count, const int *sizes, const int *strides) {
    return describe(d, type, count, sizes);
}
int cudnnSetTensorNdDescriptorEx(size_t *d, int format, int type, int count, const int *sizes) {
    return describe(d, type, count, sizes);
}
int cudnnSetFilter4dDescriptor(size_t *d, int type, int format, int k, int c, int h, int w) {
    return describe(d, type, 4, (int[]){k, c, h, w});
}
int cudnnSetFilterNdDescriptor(size_t *d, int type, int format, int count, const int *sizes) {
    return describe(d, type, count, sizes);
}
int cudnnGetTensorSizeInBytes(const size_t *d, size_t *size) { *size = *d; return 0; }
int cudnnGetFilterSizeInBytes(const size_t *d, size_t *size) { *size = *d; return 0; }
int cudnnGetReductionWorkspaceSize(void *h, void *d, void *a, void *c, size_t *size) { *size = 0; return 0; }
int cudnnGetReductionIndicesSize(void *h, void *d, void *a, void *c, size_t *size) { *size = 0; return 0; }
