/* libcublas and libcublasLt: products, each a line of the log. */

#include <string.h>

extern void fake_log(const char *, ...);

static int handle_to(void **handle) { *handle = (void *)0x100; return 0; }

int cublasCreate_v2(void **handle) { return handle_to(handle); }
int cublasGetMathMode(void *handle, int *mode) { (void)handle; *mode = 0; return 0; }
const char *cublasGetStatusName(int status) { (void)status; return "CUBLAS_STATUS_FAKE"; }
const char *cublasGetStatusString(int status) { (void)status; return "a status of the fake"; }

int cublasGemmEx(void *handle, int left, int right, int m, int n, int k, const void *alpha,
                 const void *a, int type, int lda, const void *b, int b_type, int ldb,
                 const void *beta, void *c, int c_type, int ldc, int compute_type) {
    (void)handle, (void)left, (void)right, (void)alpha, (void)a, (void)lda, (void)b, (void)b_type;
    (void)ldb, (void)beta, (void)c, (void)c_type, (void)ldc;
    fake_log("launch\tgemm %d %d %d type %d computed in %d", m, n, k, type, compute_type);
    return 0;
}
int cublasSgemm_v2(void *handle, int left, int right, int m, int n, int k) {
    (void)handle, (void)left, (void)right;
    fake_log("launch\tsgemm %d %d %d", m, n, k);
    return 0;
}

int cublasLtCreate(void **handle) { return handle_to(handle); }
int cublasLtMatmulDescCreate(void **handle) { return handle_to(handle); }
int cublasLtMatmulPreferenceCreate(void **handle) { return handle_to(handle); }
int cublasLtMatrixLayoutCreate(void **handle) { return handle_to(handle); }
int cublasLtMatrixTransformDescCreate(void **handle) { return handle_to(handle); }
int cublasLtMatmulAlgoGetHeuristic(void *handle, void *product, void *a, void *b, void *c, void *d,
                                   void *preference, int most, char *results, int *count) {
    (void)handle, (void)product, (void)a, (void)b, (void)c, (void)d, (void)preference, (void)most;
    memset(results, 0, 96);
    *count = 1;
    return 0;
}
