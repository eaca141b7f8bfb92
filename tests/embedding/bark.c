/* Says a text with a bundle of bark-onnx, over the C API of ONNX Runtime and nothing else.

       bark BUNDLE PRECISION OPERATORS TEXT OUT.wav [MAX_NEW_TOKENS [TOKENS.txt]]

   BUNDLE was exported with --tokenizer-graph, OPERATORS is the library of onnxruntime-extensions.
   Each token is the most probable one, and there is no voice; docs/specification.md has the rules.
   For Linux and macOS: on Windows, paths of ONNX Runtime are wide characters. */

#define _POSIX_C_SOURCE 200809L /* setenv */

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <onnxruntime_c_api.h>

#define INT64 ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64
#define INT32 ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32
#define FLOAT ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT
#define FLOAT16 ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16
#define MAX_CHUNK 300 /* tokens of a run */

static const OrtApi *ort;
static OrtEnv *env;
static OrtMemoryInfo *cpu;
static OrtAllocator *allocator;

/* Errors and memory */

static void fail(const char *what, const char *reason)
{
    fprintf(stderr, "bark: %s: %s\n", what, reason);
    exit(1);
}

static void check(OrtStatus *status)
{
    if (status)
        fail("ONNX Runtime", ort->GetErrorMessage(status));
}

static void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size);
    if (!memory)
        fail("memory", "not enough");
    return memory;
}

/* bark.json: the number at a path such as "generation.coarse.sliding_window_len" */

static char *read_text(const char *folder, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (!file)
        fail(path, "cannot be read; expected a bundle");
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    char *text = allocate((size_t)size + 1, 1);
    if (fread(text, 1, (size_t)size, file) != (size_t)size)
        fail(path, "cannot be read");
    fclose(file);
    return text;
}

static double setting(const char *json, const char *path)
{
    for (const char *key = path; *key;) {
        char quoted[64];
        int length = (int)strcspn(key, ".");
        snprintf(quoted, sizeof quoted, "\"%.*s\":", length, key);
        json = strstr(json, quoted);
        if (!json)
            fail(path, "not in bark.json; export the bundle again");
        json += strlen(quoted);
        key += length + (key[length] == '.');
    }
    return strtod(json, NULL);
}

/* Tensors and sessions */

static size_t size_of(ONNXTensorElementDataType type)
{
    return type == INT64 ? 8 : type == FLOAT16 ? 2 : 4;
}

static OrtValue *tensor(void *data, ONNXTensorElementDataType type, size_t rank,
                        const int64_t *shape)
{
    size_t bytes = size_of(type);
    for (size_t axis = 0; axis < rank; axis++)
        bytes *= (size_t)shape[axis];
    OrtValue *value;
    check(ort->CreateTensorWithDataAsOrtValue(cpu, data, bytes, shape, rank, type, &value));
    return value;
}

static void *data_of(OrtValue *value)
{
    void *data;
    check(ort->GetTensorMutableData(value, &data));
    return data;
}

/* All sessions share the threads and the memory of `env`. */
static OrtSession *open_graph(const char *bundle, const char *name, const char *operators)
{
    char path[4096];
    OrtSessionOptions *options;
    OrtSession *session;
    snprintf(path, sizeof path, "%s/%s", bundle, name);
    check(ort->CreateSessionOptions(&options));
    check(ort->DisablePerSessionThreads(options));
    check(ort->DisableMemPattern(options)); /* it would keep a block for each length of a prompt */
    check(ort->AddSessionConfigEntry(options, "session.use_env_allocators", "1"));
    if (operators)
        check(ort->RegisterCustomOpsLibrary_V2(options, operators));
    check(ort->CreateSession(env, path, options, &session));
    ort->ReleaseSessionOptions(options);
    return session;
}

/* A causal stage: semantic or coarse. Both graphs of a stage read and write one cache in place. */

typedef struct {
    OrtSession *sessions[2]; /* for many tokens, and for one; the same if there is one graph */
    OrtIoBinding *bindings[2];
    OrtValue **cache;
    void **memory; /* of the cache */
    size_t num_caches;
    int64_t context_length, num_logits, null_history; /* null_history: -1 without a history */
    float *logits;
    int64_t *positions, *history;
} Stage;

/* Type and shape of an input or output; the batch is 1. A free cache axis gets the context. */
static ONNXTensorElementDataType describe(OrtTypeInfo *info, int64_t context_length,
                                          int64_t shape[4])
{
    const OrtTensorTypeAndShapeInfo *type_and_shape;
    ONNXTensorElementDataType type;
    size_t rank;
    check(ort->CastTypeInfoToTensorInfo(info, &type_and_shape));
    check(ort->GetTensorElementType(type_and_shape, &type));
    check(ort->GetDimensionsCount(type_and_shape, &rank));
    if (rank > 4)
        fail("graph", "found an input of more than 4 axes");
    check(ort->GetDimensions(type_and_shape, shape, rank));
    shape[0] = 1;
    for (size_t axis = 1; axis < rank; axis++)
        shape[axis] = shape[axis] < 0 ? context_length : shape[axis];
    ort->ReleaseTypeInfo(info);
    return type;
}

static void bind_cache(Stage *stage, const char *past, size_t input)
{
    char present[64];
    int64_t shape[4];
    OrtTypeInfo *info;
    check(ort->SessionGetInputTypeInfo(stage->sessions[1], input, &info));
    ONNXTensorElementDataType type = describe(info, stage->context_length, shape);
    size_t index = stage->num_caches++, count = (size_t)(shape[1] * shape[2] * shape[3]);
    stage->memory[index] = allocate(count, size_of(type));
    stage->cache[index] = tensor(stage->memory[index], type, 4, shape);
    snprintf(present, sizeof present, "present.%s", past + strlen("past_key_values."));
    for (int which = 0; which < 2; which++) {
        check(ort->BindInput(stage->bindings[which], past, stage->cache[index]));
        check(ort->BindOutput(stage->bindings[which], present, stage->cache[index]));
    }
}

static Stage open_stage(const char *bundle, const char *precision, const char *name,
                        const char *json)
{
    char path[4096];
    int64_t shape[4];
    size_t inputs;
    OrtTypeInfo *info;
    Stage stage = {.null_history = -1};

    snprintf(path, sizeof path, "shapes.%s.context_length", name);
    stage.context_length = (int64_t)setting(json, path);
    snprintf(path, sizeof path, "%s/%s.onnx", precision, name);
    stage.sessions[0] = stage.sessions[1] = open_graph(bundle, path, NULL);
    snprintf(path, sizeof path, "%s/%s.prefill.onnx", precision, name);
    if (strstr(json, path)) /* int8 and int4: among the files of the bundle */
        stage.sessions[0] = open_graph(bundle, path, NULL);
    for (int which = 0; which < 2; which++)
        check(ort->CreateIoBinding(stage.sessions[which], &stage.bindings[which]));

    check(ort->SessionGetInputCount(stage.sessions[1], &inputs));
    stage.cache = allocate(inputs, sizeof *stage.cache);
    stage.memory = allocate(inputs, sizeof *stage.memory);
    for (size_t input = 0; input < inputs; input++) {
        char *input_name;
        check(ort->SessionGetInputName(stage.sessions[1], input, allocator, &input_name));
        if (strncmp(input_name, "past_key_values.", 16) == 0)
            bind_cache(&stage, input_name, input);
        else if (strcmp(input_name, "history_ids") == 0)
            stage.null_history = (int64_t)setting(json, "shapes.semantic.input_vocabulary");
        check(ort->AllocatorFree(allocator, input_name));
    }
    check(ort->SessionGetOutputTypeInfo(stage.sessions[1], 0, &info));
    describe(info, 0, shape);
    stage.num_logits = shape[1];
    stage.logits = allocate((size_t)shape[1], sizeof *stage.logits);
    stage.positions = allocate((size_t)stage.context_length, sizeof *stage.positions);
    stage.history = allocate((size_t)stage.context_length, sizeof *stage.history);
    for (int64_t place = 0; place < stage.context_length; place++) {
        stage.positions[place] = place;
        stage.history[place] = stage.null_history;
    }
    for (int which = 0; which < 2; which++) {
        OrtValue *logits = tensor(stage.logits, FLOAT, 2, shape);
        check(ort->BindOutput(stage.bindings[which], "logits", logits));
        ort->ReleaseValue(logits);
    }
    return stage;
}

static void bind_input(OrtIoBinding *binding, const char *name, OrtValue *value)
{
    check(ort->BindInput(binding, name, value));
    ort->ReleaseValue(value); /* the binding holds it */
}

static void run_chunk(Stage *stage, int64_t *ids, int64_t *history, int64_t count, int64_t past)
{
    int which = count == 1;
    OrtIoBinding *binding = stage->bindings[which];
    int64_t shape[2] = {1, count};
    int32_t total = (int32_t)(past + count), last = total - 1;
    if (total > stage->context_length)
        fail("context", "too short; lower MAX_NEW_TOKENS");
    bind_input(binding, "input_ids", tensor(ids, INT64, 2, shape));
    bind_input(binding, "position_ids", tensor(stage->positions + past, INT64, 2, shape));
    if (stage->null_history >= 0)
        bind_input(binding, "history_ids",
                   tensor(history ? history : stage->history, INT64, 2, shape));
    bind_input(binding, "seqlens_k", tensor(&last, INT32, 1, shape));
    bind_input(binding, "total_sequence_length", tensor(&total, INT32, 0, NULL));
    check(ort->RunWithBinding(stage->sessions[which], NULL, binding));
}

/* Runs `count` tokens after the first `past` ones of the cache; returns the logits after the last.
   Several shorter runs are faster than a long one, and differ from it in the last digits. */
static const float *run(Stage *stage, int64_t *ids, int64_t *history, int64_t count, int64_t past)
{
    int64_t chunks = (count + MAX_CHUNK - 1) / MAX_CHUNK;
    for (int64_t chunk = 0; chunk < chunks; chunk++) {
        int64_t begin = chunk * count / chunks, end = (chunk + 1) * count / chunks;
        run_chunk(stage, ids + begin, history ? history + begin : NULL, end - begin, past + begin);
    }
    return stage->logits;
}

static void close_stage(Stage *stage)
{
    for (int which = 0; which < 2; which++)
        ort->ReleaseIoBinding(stage->bindings[which]);
    for (size_t index = 0; index < stage->num_caches; index++) {
        ort->ReleaseValue(stage->cache[index]);
        free(stage->memory[index]);
    }
    if (stage->sessions[0] != stage->sessions[1])
        ort->ReleaseSession(stage->sessions[0]);
    ort->ReleaseSession(stage->sessions[1]);
    free(stage->cache);
    free(stage->memory);
    free(stage->logits);
    free(stage->positions);
    free(stage->history);
}

static int64_t argmax(const float *logits, int64_t count)
{
    int64_t best = 0;
    for (int64_t index = 1; index < count; index++)
        if (logits[index] > logits[best])
            best = index;
    return best;
}

/* Text to semantic tokens */

static int64_t speak_semantic(const char *bundle, const char *precision, const char *operators,
                              const char *text, const char *json, int64_t most, int64_t *tokens)
{
    static const char *inputs[] = {"text"};
    static const char *outputs[] = {"input_ids", "history_ids", "text_tokens"};
    int64_t one = 1, count = 0;
    int64_t end = (int64_t)setting(json, "generation.semantic.semantic_vocab_size");
    int64_t longest = (int64_t)setting(json, "generation.semantic.max_input_semantic_length");
    OrtValue *given, *found[3] = {NULL};

    OrtSession *tokenizer = open_graph(bundle, "tokenizer.onnx", operators);
    check(ort->CreateTensorAsOrtValue(allocator, &one, 1, ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING,
                                      &given));
    check(ort->FillStringTensor(given, &text, 1));
    check(ort->Run(tokenizer, NULL, inputs, (const OrtValue *const *)&given, 1, outputs, 3, found));
    int64_t text_tokens = *(int64_t *)data_of(found[2]);
    if (!text_tokens)
        fail("text", "empty; expected at least one word");
    if (text_tokens > longest)
        fprintf(stderr, "bark: text: %lld ids, the first %lld are spoken\n", (long long)text_tokens,
                (long long)longest);

    Stage stage = open_stage(bundle, precision, "semantic", json);
    int64_t length = longest + 1, token;
    const float *logits = run(&stage, data_of(found[0]), data_of(found[1]), length, 0);
    while ((token = argmax(logits, stage.num_logits)) != end) {
        tokens[count++] = token;
        if (count == most)
            break;
        logits = run(&stage, &token, NULL, 1, length + count - 1);
    }
    close_stage(&stage);
    for (int index = 0; index < 3; index++)
        ort->ReleaseValue(found[index]);
    ort->ReleaseValue(given);
    ort->ReleaseSession(tokenizer);
    return count;
}

/* Semantic tokens to the first codebooks, in sliding windows; returns the number of frames. */

static int64_t speak_coarse(const char *bundle, const char *precision, const char *json,
                            const int64_t *semantic, int64_t num_semantic, int64_t **codes)
{
    int64_t vocabulary = (int64_t)setting(json, "generation.semantic.semantic_vocab_size");
    int64_t pad = (int64_t)setting(json, "generation.coarse.coarse_semantic_pad_token");
    int64_t infer = (int64_t)setting(json, "generation.coarse.coarse_infer_token");
    int64_t books = (int64_t)setting(json, "generation.coarse.n_coarse_codebooks");
    int64_t visible = (int64_t)setting(json, "generation.coarse.max_coarse_input_length");
    int64_t max_history = (int64_t)setting(json, "generation.coarse.max_coarse_history");
    int64_t window = (int64_t)setting(json, "generation.coarse.sliding_window_len");
    int64_t size = (int64_t)setting(json, "generation.codebook_size");
    double ratio = setting(json, "generation.coarse.coarse_rate_hz")
                   / setting(json, "generation.semantic.semantic_rate_hz") * (double)books;
    int64_t semantic_history = (int64_t)floor((double)max_history / ratio);
    /* In single precision, as in transformers. */
    int64_t total = (int64_t)floorf((float)num_semantic * (float)ratio / (float)books) * books;

    Stage stage = open_stage(bundle, precision, "coarse", json);
    int64_t *tokens = allocate((size_t)total, sizeof *tokens);
    int64_t *prompt = allocate((size_t)stage.context_length + 1, sizeof *prompt);
    int64_t *cached = allocate((size_t)stage.context_length + 1, sizeof *cached);
    int64_t num_cached = 0;
    for (int64_t done = 0; done < total; done += window) {
        int64_t first = (int64_t)rint((double)done / ratio) - semantic_history; /* half to even */
        first = first > 0 ? first : 0;
        int64_t length = 0, kept = 0, here = total - done < window ? total - done : window;
        for (; length < visible; length++)
            prompt[length] = first + length < num_semantic ? semantic[first + length] : pad;
        prompt[length++] = infer;
        for (int64_t index = done > max_history ? done - max_history : 0; index < done; index++)
            prompt[length++] = tokens[index];
        /* What equals the beginning of the last prompt stays in the cache. */
        while (kept < num_cached && kept < length - 1 && cached[kept] == prompt[kept])
            kept++;
        const float *logits = run(&stage, prompt + kept, NULL, length - kept, kept);
        for (int64_t index = 0; index < here; index++) {
            /* The codebooks take turns. */
            int64_t from = index % 2 ? size : 0, to = index % 2 ? stage.num_logits : size;
            tokens[done + index] = vocabulary + from + argmax(logits + from, to - from);
            if (index + 1 < here)
                logits = run(&stage, tokens + done + index, NULL, 1, length + index);
        }
        memcpy(cached, prompt, (size_t)length * sizeof *cached);
        memcpy(cached + length, tokens + done, (size_t)(here - 1) * sizeof *cached);
        num_cached = length + here - 1;
    }
    for (int64_t index = 0; index < total; index++)
        tokens[index] = (tokens[index] - vocabulary) % size;
    close_stage(&stage);
    free(prompt);
    free(cached);
    *codes = tokens; /* (frames, codebooks) */
    return total / books;
}

/* The first codebooks to all of them, in overlapping windows; returns codes (frames, codebooks). */

static int64_t *speak_fine(const char *bundle, const char *precision, const char *json,
                           const int64_t *coarse, int64_t frames)
{
    static const char *inputs[] = {"codes", "codebook_index", "frame_indices"};
    static const char *outputs[] = {"logits"};
    int64_t given = (int64_t)setting(json, "generation.coarse.n_coarse_codebooks");
    int64_t books = (int64_t)setting(json, "generation.fine.n_fine_codebooks");
    int64_t step = (int64_t)setting(json, "generation.fine.max_fine_history_length");
    int64_t window = (int64_t)setting(json, "generation.fine.max_fine_input_length");
    int64_t size = (int64_t)setting(json, "generation.codebook_size");
    int64_t padded = frames < window ? window : frames;
    int64_t *codes = allocate((size_t)(padded * books), sizeof *codes);
    int64_t *indices = allocate((size_t)window, sizeof *indices);
    for (int64_t index = 0; index < padded * books; index++) {
        int64_t frame = index / books, book = index % books;
        codes[index] = frame < frames && book < given ? coarse[frame * given + book] : size;
    }
    char name[64];
    snprintf(name, sizeof name, "%s/fine.onnx", precision);
    OrtSession *session = open_graph(bundle, name, NULL);
    int64_t windows = 1 + (frames > window ? (frames - window + step - 1) / step : 0);
    for (int64_t turn = 0; turn < windows; turn++) {
        int64_t begin = turn * step < padded - window ? turn * step : padded - window;
        int64_t fill = turn * step < padded - step ? turn * step : padded - step;
        for (int64_t book = given; book < books; book++) {
            /* Later codebooks read the predictions for padding, so only the last one skips it. */
            int64_t end = book == books - 1 && frames - begin < window ? frames - begin : window;
            int64_t count = begin + end - fill, shape[3] = {1, window, books};
            for (int64_t index = 0; index < count; index++)
                indices[index] = fill - begin + index;
            OrtValue *feeds[3] = {tensor(codes + begin * books, INT64, 3, shape),
                                  tensor(&book, INT64, 0, NULL), tensor(indices, INT64, 1, &count)};
            OrtValue *logits = NULL;
            check(ort->Run(session, NULL, inputs, (const OrtValue *const *)feeds, 3, outputs, 1,
                           &logits));
            const float *scores = data_of(logits);
            for (int64_t index = 0; index < count; index++)
                codes[(fill + index) * books + book] = argmax(scores + index * size, size);
            ort->ReleaseValue(logits);
            for (int index = 0; index < 3; index++)
                ort->ReleaseValue(feeds[index]);
        }
    }
    ort->ReleaseSession(session);
    free(indices);
    return codes;
}

/* All codebooks to samples in a 16-bit wav file */

static void write_number(FILE *file, uint32_t number, int bytes)
{
    for (int index = 0; index < bytes; index++)
        fputc((int)(number >> 8 * index & 255), file);
}

static void write_wav(const char *path, const float *samples, int64_t count, uint32_t rate_hz)
{
    FILE *file = fopen(path, "wb");
    if (!file)
        fail(path, "cannot be written");
    fputs("RIFF", file);
    write_number(file, (uint32_t)(36 + 2 * count), 4);
    fputs("WAVEfmt ", file);
    write_number(file, 16, 4);
    write_number(file, 1, 2); /* PCM */
    write_number(file, 1, 2); /* mono */
    write_number(file, rate_hz, 4);
    write_number(file, 2 * rate_hz, 4);
    write_number(file, 2, 2);
    write_number(file, 16, 2);
    fputs("data", file);
    write_number(file, (uint32_t)(2 * count), 4);
    for (int64_t index = 0; index < count; index++) {
        float clipped = fminf(fmaxf(samples[index], -1), 1);
        write_number(file, (uint32_t)lrintf(clipped * 32767), 2);
    }
    if (ferror(file) | fclose(file))
        fail(path, "cannot be written");
}

static void speak_codec(const char *bundle, const char *precision, const char *json,
                        const int64_t *codes, int64_t frames, const char *path)
{
    static const char *inputs[] = {"codes"}, *outputs[] = {"audio"};
    int64_t books = (int64_t)setting(json, "generation.fine.n_fine_codebooks");
    int64_t shape[3] = {1, books, frames};
    int64_t *turned = allocate((size_t)(books * frames), sizeof *turned);
    for (int64_t index = 0; index < books * frames; index++)
        turned[index] = codes[index % frames * books + index / frames];
    char name[64];
    snprintf(name, sizeof name, "%s/codec.onnx", precision);
    OrtSession *session = open_graph(bundle, name, NULL);
    OrtValue *given = tensor(turned, INT64, 3, shape), *audio = NULL;
    check(ort->Run(session, NULL, inputs, (const OrtValue *const *)&given, 1, outputs, 1, &audio));
    int64_t count = frames * (int64_t)setting(json, "shapes.codec.samples_per_frame");
    double rate_hz = setting(json, "generation.sample_rate_hz");
    write_wav(path, data_of(audio), count, (uint32_t)rate_hz);
    printf("%s: %.2f seconds\n", path, (double)count / rate_hz);
    ort->ReleaseValue(audio);
    ort->ReleaseValue(given);
    ort->ReleaseSession(session);
    free(turned);
}

static void write_tokens(FILE *file, const char *stage, const int64_t *tokens, int64_t count)
{
    fputs(stage, file);
    for (int64_t index = 0; index < count; index++)
        fprintf(file, " %lld", (long long)tokens[index]);
    fputc('\n', file);
}

/* One pool of threads and one arena for all sessions, which run one after the other. */
static void open_runtime(void)
{
    OrtThreadingOptions *threads;
    OrtArenaCfg *arena;
    /* The kernel of GroupQueryAttention that prefills in half the time; the last digits differ. */
    setenv("ORT_GQA_DISABLE_FLASH_ATTENTION", "1", 0);
    ort = OrtGetApiBase()->GetApi(ORT_API_VERSION);
    if (!ort)
        fail("ONNX Runtime", "the library is older than the header");
    check(ort->CreateThreadingOptions(&threads));
    check(ort->CreateEnvWithGlobalThreadPools(ORT_LOGGING_LEVEL_ERROR, "bark", threads, &env));
    ort->ReleaseThreadingOptions(threads);
    check(ort->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &cpu));
    check(ort->CreateArenaCfg(0, 0, -1, -1, &arena)); /* no limit, double the size, the defaults */
    check(ort->CreateAndRegisterAllocator(env, cpu, arena));
    ort->ReleaseArenaCfg(arena);
    check(ort->GetAllocatorWithDefaultOptions(&allocator));
}

int main(int count, char **arguments)
{
    if (count < 6 || count > 8) {
        fputs("usage: bark BUNDLE PRECISION OPERATORS TEXT OUT.wav [MAX_NEW_TOKENS [TOKENS.txt]]\n",
              stderr);
        return 2;
    }
    const char *bundle = arguments[1], *precision = arguments[2], *wav = arguments[5];
    char *json = read_text(bundle, "bark.json");
    int64_t most = (int64_t)setting(json, "generation.semantic.max_new_tokens");
    if (count > 6 && (atol(arguments[6]) < 1 || atol(arguments[6]) > most))
        fail("MAX_NEW_TOKENS", "expected a number from 1 to the bundle's max_new_tokens");
    if (count > 6)
        most = atol(arguments[6]);
    if ((int64_t)setting(json, "contract_version") > 3 || strstr(json, "\"attention\": \"standard\""))
        fail(bundle, "expected contract 1 to 3 with fused attention");

    open_runtime();
    int64_t *semantic = allocate((size_t)most, sizeof *semantic), *coarse;
    int64_t length =
        speak_semantic(bundle, precision, arguments[3], arguments[4], json, most, semantic);
    int64_t frames = speak_coarse(bundle, precision, json, semantic, length, &coarse);
    if (!frames)
        fail("text", "no speech; try another one");
    int64_t *fine = speak_fine(bundle, precision, json, coarse, frames);
    speak_codec(bundle, precision, json, fine, frames, wav);
    if (count > 7) {
        int64_t books[2] = {(int64_t)setting(json, "generation.coarse.n_coarse_codebooks"),
                            (int64_t)setting(json, "generation.fine.n_fine_codebooks")};
        FILE *file = fopen(arguments[7], "w");
        if (!file)
            fail(arguments[7], "cannot be written");
        write_tokens(file, "semantic", semantic, length);
        write_tokens(file, "coarse", coarse, frames * books[0]);
        write_tokens(file, "fine", fine, frames * books[1]);
        if (fclose(file))
            fail(arguments[7], "cannot be written");
    }
    free(semantic);
    free(coarse);
    free(fine);
    free(json);
    ort->ReleaseMemoryInfo(cpu);
    ort->ReleaseEnv(env);
    return 0;
}
