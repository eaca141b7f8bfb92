/* libcudnn: one plan for every convolution, and an LSTM that needs no memory.
 *
 * A plan that is built and a plan that runs are lines of the log. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

extern void fake_log(const char *, ...);

/* Of cudnnBackendAttributeType_t and cudnnBackendDescriptorType_t. */
enum { TYPE_INT64 = 3, TYPE_DESCRIPTOR = 15 };
enum { HEURISTIC_RESULTS = 202, ENGINE_OF_CONFIGURATION = 300 };
enum { SHARED_MEMORY_OF_CONFIGURATION = 304 };
enum { EXECUTION_PLAN = 5 };

static int descriptor_to(void **descriptor) { *descriptor = (void *)0x100; return 0; }

size_t cudnnGetVersion(void) { return 92801; }
const char *cudnnGetErrorString(int error) { (void)error; return "an error of the fake cuDNN"; }
void cudnnGetLastErrorString(char *message, size_t size) { if (size) message[0] = 0; }
int cudnnCreate(void **handle) { return descriptor_to(handle); }
int cudnnCreateActivationDescriptor(void **made) { return descriptor_to(made); }
int cudnnCreateDropoutDescriptor(void **made) { return descriptor_to(made); }
int cudnnCreateFilterDescriptor(void **made) { return descriptor_to(made); }
int cudnnCreateReduceTensorDescriptor(void **made) { return descriptor_to(made); }
int cudnnCreateRNNDataDescriptor(void **made) { return descriptor_to(made); }
int cudnnCreateRNNDescriptor(void **made) { return descriptor_to(made); }
int cudnnCreateTensorDescriptor(void **made) { return descriptor_to(made); }

/* ---- convolutions ---------------------------------------------------------------------------- */

struct Descriptor { int type; };

int cudnnBackendCreateDescriptor(int type, void **descriptor) {
    static struct Descriptor made[64];
    made[type % 64].type = type;
    *descriptor = &made[type % 64];
    return 0;
}
int cudnnBackendFinalize(struct Descriptor *descriptor) {
    if (descriptor->type == EXECUTION_PLAN) fake_log("plan\tconvolution");
    return 0;
}
int cudnnBackendGetAttribute(void *descriptor, int attribute, int type, int64_t most,
                             int64_t *count, void *values) {
    (void)descriptor;
    int is_known = attribute == HEURISTIC_RESULTS || attribute == ENGINE_OF_CONFIGURATION;
    int64_t found = type == TYPE_DESCRIPTOR ? is_known : type == TYPE_INT64;
    if (count) *count = found;
    if (found && type == TYPE_INT64 && most > 0 && values) *(int64_t *)values = 0;
    if (attribute == SHARED_MEMORY_OF_CONFIGURATION && values) *(int32_t *)values = 0;
    return 0;
}
int cudnnBackendExecute(void) { fake_log("launch\tconvolution"); return 0; }

/* ---- recurrences and reductions -------------------------------------------------------------- */

int cudnnDropoutGetStatesSize(void *handle, size_t *size) { (void)handle; *size = 1024; return 0; }
int cudnnGetRNNTempSpaceSizes(void *handle, void *recurrence, int mode, void *input, size_t *work,
                              size_t *reserve) {
    (void)handle, (void)recurrence, (void)mode, (void)input;
    *work = *reserve = 1024;
    return 0;
}
int cudnnGetRNNWeightParams(void *handle, void *recurrence, int layer, size_t size, void *space,
                            int gate, void *matrix, void **matrix_at, void *bias, void **bias_at) {
    (void)handle, (void)recurrence, (void)layer, (void)size, (void)gate, (void)matrix, (void)bias;
    *matrix_at = *bias_at = space;
    return 0;
}
int cudnnGetTensorNdDescriptor(void *tensor, int wanted, int *type, int *count, int *sizes,
                               int *strides) {
    (void)tensor;
    *type = 0;
    *count = wanted;
    for (int axis = 0; axis < wanted; axis++) sizes[axis] = strides[axis] = 1;
    return 0;
}
int cudnnRNNForward(void) { fake_log("launch\trecurrence"); return 0; }
int cudnnGetReductionWorkspaceSize(void *handle, void *reduction, void *from, void *to,
                                   size_t *size) {
    (void)handle, (void)reduction, (void)from, (void)to;
    *size = 1024;
    return 0;
}
int cudnnGetReductionIndicesSize(void *handle, void *reduction, void *from, void *to,
                                 size_t *size) {
    return cudnnGetReductionWorkspaceSize(handle, reduction, from, to, size);
}
int cudnnReduceTensor(void) { fake_log("launch\treduction"); return 0; }
int cudnnSoftmaxForward(void) { fake_log("launch\tsoftmax"); return 0; }
