/* cuDNN that offers one algorithm for everything, which needs no workspace. */
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

int cudnnGetTensorSizeInBytes(void *d, size_t *size) { *size = 1 << 22; return 0; }
int cudnnGetFilterSizeInBytes(void *d, size_t *size) { *size = 1 << 22; return 0; }
int cudnnGetReductionWorkspaceSize(void *h, void *d, void *a, void *c, size_t *size) { *size = 0; return 0; }
int cudnnGetReductionIndicesSize(void *h, void *d, void *a, void *c, size_t *size) { *size = 0; return 0; }
