/** Samples as a wav file: mono, signed 16-bit integers. */

import { roundHalfToEven } from "./rounding.js";

const FULL_SCALE = 2 ** 31;
const HEADER_BYTES = 44;

/**
 * A wav file, whose samples are those that the Python library writes: what is beyond full scale is
 * clipped.
 * @param {Float32Array} samples
 * @param {number} sampleRate In Hz.
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function encodeWav(samples, sampleRate) {
  const size = 2 * samples.length;
  const view = new DataView(new ArrayBuffer(HEADER_BYTES + size));
  for (const [offset, name] of [[0, "RIFF"], [8, "WAVE"], [12, "fmt "], [36, "data"]]) {
    for (let index = 0; index < 4; index += 1) {
      view.setUint8(Number(offset) + index, String(name).charCodeAt(index));
    }
  }
  view.setUint32(4, size + HEADER_BYTES - 8, true);
  view.setUint32(16, 16, true); // bytes of this part
  view.setUint16(20, 1, true); // integers
  view.setUint16(22, 1, true); // channels
  view.setUint32(24, sampleRate, true);
  view.setUint32(28, 2 * sampleRate, true);
  view.setUint16(32, 2, true); // bytes of a sample
  view.setUint16(34, 16, true); // bits of a sample
  view.setUint32(40, size, true);
  samples.forEach((sample, index) => {
    view.setInt16(HEADER_BYTES + 2 * index, toInteger(sample), true);
  });
  return new Uint8Array(view.buffer);
}

/**
 * The upper half of the sample as a 32-bit integer, as libsndfile writes it.
 * @param {number} sample
 */
function toInteger(sample) {
  const wide = roundHalfToEven(sample * FULL_SCALE);
  return Math.floor(Math.min(Math.max(wide, -FULL_SCALE), FULL_SCALE - 1) / 2 ** 16);
}
