/**
 * Places segments one after the other: silence between two of them, or a cross-fade. Mirrors
 * `runtime/longform/crossfade.py`.
 */

import { roundHalfToEven } from "../rounding.js";

export class Crossfader {
  #position = 0; // samples returned so far, silence included
  #tail = new Float32Array(); // end of the last segment, not returned yet

  /**
   * @param {number} sampleRate
   * @param {number} gapSeconds
   * @param {number} crossfadeSeconds
   */
  constructor(sampleRate, gapSeconds, crossfadeSeconds) {
    this.sampleRate = sampleRate;
    this.gap = roundHalfToEven(gapSeconds * sampleRate);
    this.overlap = roundHalfToEven(crossfadeSeconds * sampleRate);
  }

  /**
   * Samples of a segment, blended with the end of the last one, and their place in the whole.
   * @param {Float32Array} segment
   * @param {boolean} isLast
   */
  append(segment, isLast) {
    const overlap = isLast ? 0 : Math.min(this.overlap, Math.floor(segment.length / 2));
    const all = crossfade(this.#tail, segment);
    const samples = all.slice(0, all.length - overlap);
    this.#tail = all.slice(all.length - overlap);
    const startSeconds = this.#position / this.sampleRate;
    this.#position += samples.length + this.gap;
    return { samples, startSeconds };
  }
}

/**
 * Both parts, overlapping by the length of the shorter one with linear gains.
 * @param {Float32Array} ending
 * @param {Float32Array} beginning
 */
function crossfade(ending, beginning) {
  const count = Math.min(ending.length, beginning.length);
  const split = ending.length - count;
  const joined = new Float32Array(split + beginning.length);
  joined.set(ending);
  joined.set(beginning.subarray(count), split + count);
  for (let index = 0; index < count; index += 1) {
    const gain = Math.fround(Math.fround(index + 0.5) / Math.fround(count));
    const before = Math.fround(ending[split + index] * Math.fround(1 - gain));
    joined[split + index] = before + Math.fround(beginning[index] * gain);
  }
  return joined;
}
