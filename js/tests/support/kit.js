/** Conformance kits: folders of JSON and arrays, whose format tests/golden/README.md defines. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

/** Folder of the bundle that the Python package contains. */
export const DEMO = path.join(ROOT, "graphs", "demo");

/** Folder of the demo's kit, in fp32 and int8; the bundle above has int8 alone. */
export const DEMO_KIT = path.join(ROOT, "tests", "golden", "demo");

/** @type {Record<string, any>} */
const ARRAYS = {
  int64: BigInt64Array,
  int32: Int32Array,
  float32: Float32Array,
  float16: Uint16Array,
};

export class Kit {
  /** @param {string} folder */
  constructor(folder) {
    this.folder = folder;
    this.tables = this.json("kit.json");
  }

  /** @param {string} name */
  json(name) {
    return JSON.parse(readFileSync(path.join(this.folder, name), "utf-8"));
  }

  /**
   * Elements of an array of the kit.
   * @param {{file: string, dtype: string}} array
   */
  elements(array) {
    const bytes = Uint8Array.from(readFileSync(path.join(this.folder, array.file)));
    return new ARRAYS[array.dtype](bytes.buffer);
  }
}

/**
 * Assert that each number is within the tolerance of the expected one.
 * @param {ArrayLike<number>} found
 * @param {ArrayLike<number>} expected
 * @param {number} tolerance
 * @param {string} what
 */
export function assertClose(found, expected, tolerance, what) {
  assert.equal(found.length, expected.length, what);
  let worst = 0;
  for (let index = 0; index < found.length; index += 1) {
    const difference = Math.abs(found[index] - expected[index]);
    worst = Number.isNaN(difference) ? Infinity : Math.max(worst, difference);
  }
  assert.ok(worst <= tolerance, `${what}: found a difference of ${worst}, expected ${tolerance}`);
}

/**
 * Names of Python's options in camel case.
 * @param {Record<string, any>} options
 */
export function inCamelCase(options) {
  const camel = (/** @type {string} */ name) => name.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
  return Object.fromEntries(Object.entries(options).map(([name, value]) => [camel(name), value]));
}

/**
 * Tokens of a speech as plain arrays.
 * @param {{semanticTokens: Int32Array, coarseTokens: Int32Array[], fineTokens: Int32Array[]}} speech
 */
export function tokensOf(speech) {
  return {
    semantic: [...speech.semanticTokens],
    coarse: speech.coarseTokens.map((codes) => [...codes]),
    fine: speech.fineTokens.map((codes) => [...codes]),
  };
}
