/** Decoder with a dynamic cache, for standard graphs: every run returns the cache, longer. */

import { pastNames, presentNames } from "../../bundle/contract.js";
import { release } from "./static_cache.js";
import { tokenInputs } from "./token_inputs.js";

/** @import { CacheTensor, CausalSessions, Decoder, Runtime, StepInput } from "../../types.d.ts" */

/** @implements {Decoder} */
export class DynamicCacheDecoder {
  /** @type {CacheTensor[]} */
  #cache = [];

  /**
   * @param {Runtime} runtime
   * @param {CausalSessions} sessions
   */
  constructor(runtime, sessions) {
    this.ort = runtime.ort;
    this.sessions = sessions;
    this.pastNames = pastNames(sessions.shape);
    this.presentNames = presentNames(sessions.shape);
    this.reset();
  }

  /** Begin another sequence. */
  reset() {
    this.#cache.forEach(release);
    this.#cache = this.pastNames.map(() => this.#tensor(new Uint8Array(), 0));
  }

  /**
   * Run tokens after the first `past` cached ones.
   * @param {StepInput} step
   */
  async run(step) {
    await this.#crop(step.past);
    /** @type {Record<string, any>} */
    const feeds = tokenInputs(this.ort, this.sessions, step);
    this.pastNames.forEach((name, index) => (feeds[name] = this.#cache[index]));
    const results = await this.sessions.prefill.run(feeds);
    this.#cache.forEach(release);
    this.#cache = this.presentNames.map((name) => /** @type {CacheTensor} */ (results[name]));
    return /** @type {Float32Array<ArrayBuffer>} */ (results.logits.data);
  }

  /**
   * Keep the first places of the cache.
   * @param {number} length
   */
  async #crop(length) {
    const [, heads, available, size] = this.#cache[0].dims;
    if (available === length) return;
    const cropped = this.#cache.map(async (tensor) => {
      const data = await tensor.getData();
      const width = size * data.BYTES_PER_ELEMENT; // of a place of one head
      const old = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      const bytes = new Uint8Array(heads * length * width);
      for (let head = 0; head < heads; head += 1) {
        const begin = head * available * width;
        bytes.set(old.subarray(begin, begin + length * width), head * length * width);
      }
      release(tensor);
      return this.#tensor(bytes, length);
    });
    this.#cache = await Promise.all(cropped);
  }

  /**
   * @param {Uint8Array<ArrayBuffer>} bytes
   * @param {number} length
   * @returns {CacheTensor}
   */
  #tensor(bytes, length) {
    const { shape, dtype } = this.sessions;
    const isHalf = dtype === "float16";
    const data = isHalf ? new Uint16Array(bytes.buffer) : new Float32Array(bytes.buffer);
    const dims = [1, shape.num_heads, length, shape.head_size];
    return /** @type {CacheTensor} */ (new this.ort.Tensor(/** @type {any} */ (dtype), data, dims));
  }
}
