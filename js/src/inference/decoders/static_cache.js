/**
 * Decoder with a static cache, for graphs with fused attention.
 *
 * onnxruntime-node writes the cache in place: the same tensor is feed and fetch. onnxruntime-web does
 * not write tensors of the CPU that it is given as fetches, and says nothing; there the cache is
 * returned by each run, longer where its length is free.
 */

import { pastNames, presentNames } from "../../bundle/contract.js";
import { prefillChunks, tokenInputs } from "./token_inputs.js";

/** @import { InferenceSession } from "onnxruntime-common" */
/** @import { CacheTensor, CausalSessions, Decoder, Runtime, StepInput } from "../../types.d.ts" */

const GROWTH = 256; // places that a free cache gains at a time

/** @implements {Decoder} */
export class StaticCacheDecoder {
  /** @type {CacheTensor[]} */
  #cache = [];
  #length = 0; // tokens in the cache

  /**
   * @param {Runtime} runtime
   * @param {CausalSessions} sessions
   */
  constructor(runtime, sessions) {
    this.ort = runtime.ort;
    this.writesInPlace = runtime.writesInPlace;
    this.sessions = sessions;
    this.pastNames = pastNames(sessions.shape);
    this.presentNames = presentNames(sessions.shape);
  }

  /** Begin another sequence. A free cache starts short again. */
  reset() {
    this.#length = 0;
    if (this.sessions.bufferLength !== null) return;
    this.#cache.forEach(release);
    this.#cache = [];
  }

  /**
   * Run tokens after the first `past` cached ones.
   * @param {StepInput} step
   */
  async run(step) {
    const isNext = step.past === this.#length && this.#length > 0;
    if (isNext && step.ids.length === 1 && !step.history) {
      return this.#run(this.sessions.decode, step);
    }
    let logits = new Float32Array();
    for (const chunk of prefillChunks(step)) logits = await this.#run(this.sessions.prefill, chunk);
    return logits;
  }

  /**
   * @param {InferenceSession} session
   * @param {StepInput} step
   */
  async #run(session, step) {
    const { Tensor } = this.ort;
    const end = step.past + step.ids.length;
    await this.#reserve(end);
    /** @type {Record<string, any>} */
    const feeds = {
      ...tokenInputs(this.ort, this.sessions, step),
      seqlens_k: new Tensor("int32", [end - 1], [1]),
      total_sequence_length: new Tensor("int32", [end], []),
    };
    this.pastNames.forEach((name, index) => (feeds[name] = this.#cache[index]));
    const results = this.writesInPlace
      ? await session.run(feeds, this.#fetches())
      : await session.run(feeds);
    if (!this.writesInPlace) this.#keep(results);
    this.#length = end;
    return /** @type {Float32Array<ArrayBuffer>} */ (results.logits.data);
  }

  #fetches() {
    /** @type {Record<string, CacheTensor | null>} */
    const fetches = { logits: null };
    this.presentNames.forEach((name, index) => (fetches[name] = this.#cache[index]));
    return fetches;
  }

  /** @param {InferenceSession.ReturnType} results */
  #keep(results) {
    this.#cache.forEach(release);
    this.#cache = this.presentNames.map((name) => /** @type {CacheTensor} */ (results[name]));
  }

  /**
   * Make the cache as long as a run needs.
   * @param {number} places
   */
  async #reserve(places) {
    const { shape, dtype, bufferLength } = this.sessions;
    const available = this.#cache.length ? this.#cache[0].dims[2] : 0;
    if (places <= available) return;
    const wanted = Math.ceil(places / GROWTH) * GROWTH;
    const length = bufferLength ?? Math.min(wanted, shape.context_length);
    const size = shape.head_size;
    const longer = await Promise.all(
      this.pastNames.map(async (_, index) => {
        const old = this.#cache[index] ? await this.#cache[index].getData() : null;
        const count = shape.num_heads * length * size;
        const data = dtype === "float16" ? new Uint16Array(count) : new Float32Array(count);
        const bytes = new Uint8Array(data.buffer);
        const width = size * data.BYTES_PER_ELEMENT; // of a place of one head
        const oldBytes = old && new Uint8Array(old.buffer, old.byteOffset, old.byteLength);
        for (let head = 0; oldBytes && head < shape.num_heads; head += 1) {
          const begin = head * available * width;
          bytes.set(oldBytes.subarray(begin, begin + available * width), head * length * width);
        }
        const dims = [1, shape.num_heads, length, size];
        return /** @type {CacheTensor} */ (new this.ort.Tensor(/** @type {any} */ (dtype), data, dims));
      }),
    );
    this.#cache.forEach(release);
    this.#cache = longer;
  }
}

/** @param {CacheTensor} tensor */
export function release(tensor) {
  if (tensor.location === "gpu-buffer") tensor.dispose();
}
