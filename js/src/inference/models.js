/** Opens the four stages of a bundle: decoders of the causal ones, runs of the others. */

import { bufferLength, graphContract, presentNames } from "../bundle/contract.js";
import { BundleError, EngineError, firstLine, ProviderError, shown } from "../errors.js";
import { DynamicCacheDecoder } from "./decoders/dynamic_cache.js";
import { StaticCacheDecoder } from "./decoders/static_cache.js";
import { openSession } from "./sessions.js";

/** @import { InferenceSession, Tensor } from "onnxruntime-common" */
/** @import { Bundle } from "../bundle/bundle.js" */
/** @import { CausalStage, Decoder, Manifest, Models, Runtime, Stage } from "../types.d.ts" */

/** Precisions that each device runs well, best first.
 * @type {Record<string, string[]>}
 */
const PREFERRED = {
  cpu: ["int4", "int8", "fp32"],
  wasm: ["int4", "int8", "fp32"],
  webgpu: ["fp16", "fp32", "int4", "int8"],
};

/**
 * @param {Bundle} bundle
 * @param {Runtime} runtime
 * @param {string} precision
 * @returns {Promise<Models>}
 */
export async function openModels(bundle, runtime, precision) {
  /** @type {InferenceSession[]} */
  const sessions = [];
  const open = async (/** @type {Stage} */ stage) => {
    const opened = await openStage(bundle, runtime, precision, stage);
    sessions.push(opened.graph, ...(opened.prefill ? [opened.prefill] : []));
    return opened;
  };
  const { ort } = runtime;
  const semantic = makeDecoder("semantic", bundle.manifest, runtime, precision, await open("semantic"));
  const coarse = makeDecoder("coarse", bundle.manifest, runtime, precision, await open("coarse"));
  const fine = (await open("fine")).graph;
  const codec = (await open("codec")).graph;
  return {
    precision,
    semantic,
    coarse,
    async runFine(codes, codebook, begin, end) {
      const frames = Array.from({ length: end - begin }, (_, index) => BigInt(begin + index));
      const { logits } = await run("fine", fine, {
        codes: integers(ort, codes.flat(), [1, codes.length, codes[0].length]),
        codebook_index: integers(ort, [codebook], []),
        frame_indices: new ort.Tensor("int64", BigInt64Array.from(frames), [frames.length]),
      });
      return /** @type {Float32Array} */ (logits.data);
    },
    async runCodec(codes) {
      const books = codes[0].map((_, book) => codes.map((frame) => frame[book]));
      const dims = [1, books.length, codes.length];
      const { audio } = await run("codec", codec, { codes: integers(ort, books.flat(), dims) });
      return /** @type {Float32Array} */ (audio.data);
    },
    async release() {
      for (const session of sessions) await session.release();
    },
  };
}

/**
 * The precision that is asked for, or the one that the device runs best.
 * @param {Bundle} bundle
 * @param {string} device
 * @param {unknown} precision
 */
export function selectPrecision(bundle, device, precision) {
  const present = bundle.manifest.precisions;
  const where = bundle.source.where("");
  const supported = PREFERRED[device].filter((name) => present.includes(name));
  if (typeof precision === "string" && !present.includes(precision)) {
    throw new BundleError(
      `${where} has no ${precision} graphs, only ${present.join(", ")}; ` +
        `export with --precision ${precision}`,
    );
  }
  if (precision !== null && typeof precision !== "string") {
    throw new BundleError(`precision is ${shown(precision)}, expected one of ${present.join(", ")}`);
  }
  const chosen = precision ?? supported[0];
  if (chosen !== undefined && supported.includes(chosen)) return chosen;
  throw new ProviderError(
    `device ${device} does not run ${precision ?? present.join(", ")}; float16 is very slow on a ` +
      "CPU, use int8, int4 or fp32",
  );
}

/**
 * @param {Bundle} bundle
 * @param {Runtime} runtime
 * @param {string} precision
 * @param {Stage} stage
 */
async function openStage(bundle, runtime, precision, stage) {
  const contract = graphContract(stage, bundle.manifest, precision);
  const files = await bundle.graphs(precision, stage);
  const isCausal = stage === "semantic" || stage === "coarse";
  const options =
    isCausal && runtime.device === "webgpu"
      ? { preferredOutputLocation: cacheLocations(bundle.manifest, stage) }
      : {};
  const graph = await openSession(runtime, files.graph, contract, options);
  const prefill = files.prefill && (await openSession(runtime, files.prefill, contract, options));
  return { graph, prefill };
}

/**
 * The cache stays on the GPU.
 * @param {Manifest} manifest
 * @param {CausalStage} stage
 */
function cacheLocations(manifest, stage) {
  const names = presentNames(manifest.shapes[stage]);
  return Object.fromEntries(names.map((name) => [name, /** @type {const} */ ("gpu-buffer")]));
}

/**
 * @param {CausalStage} stage
 * @param {Manifest} manifest
 * @param {Runtime} runtime
 * @param {string} precision
 * @param {{graph: InferenceSession, prefill: InferenceSession | null}} opened
 * @returns {Decoder}
 */
function makeDecoder(stage, manifest, runtime, precision, { graph, prefill }) {
  const shape = manifest.shapes[stage];
  const sessions = {
    prefill: prefill ?? graph,
    decode: graph,
    shape,
    dtype: precision === "fp16" ? "float16" : "float32",
    hasHistory: stage === "semantic",
    bufferLength: bufferLength(manifest, shape),
  };
  const Kind = manifest.attention === "fused" ? StaticCacheDecoder : DynamicCacheDecoder;
  const decoder = new Kind(runtime, sessions);
  return {
    reset: () => decoder.reset(),
    run: (step) => wrapErrors(stage, () => decoder.run(step)),
  };
}

/**
 * @param {Stage} stage
 * @param {InferenceSession} session
 * @param {Record<string, Tensor>} feeds
 */
function run(stage, session, feeds) {
  return wrapErrors(stage, () => session.run(feeds));
}

/**
 * @template Result
 * @param {Stage} stage
 * @param {() => Promise<Result>} run
 */
async function wrapErrors(stage, run) {
  try {
    return await run();
  } catch (error) {
    throw new EngineError(
      `The ${stage} stage failed: ONNX Runtime raised ${firstLine(error)}; free some memory, or ` +
        "export the bundle again",
      { cause: error },
    );
  }
}

/**
 * @param {import("../types.d.ts").Ort} ort
 * @param {number[]} values
 * @param {number[]} dims
 */
function integers(ort, values, dims) {
  return new ort.Tensor("int64", BigInt64Array.from(values, BigInt), dims);
}
