/** Seeds: given, drawn, and derived for the segments of a long text. */

import { OptionsError, shown } from "./errors.js";
import { SeedSequence } from "./random.js";

const DROPPED_BITS = 11n; // derived seeds have 53 bits: integers that a number holds

/**
 * The given seed; null draws one of 32 bits.
 * @param {unknown} seed
 * @returns {number | bigint}
 */
export function resolveSeed(seed) {
  if (seed === undefined || seed === null) return crypto.getRandomValues(new Uint32Array(1))[0];
  if (typeof seed === "bigint" && seed >= 0n) return seed;
  if (Number.isSafeInteger(seed) && Number(seed) >= 0) return Number(seed);
  throw new OptionsError(
    `seed is ${shown(seed)}, expected an integer from 0; above 2^53, as a BigInt`,
  );
}

/**
 * The seed of one attempt at one segment. The first attempt at the first segment has the seed itself,
 * so that a text of one segment equals `speak`.
 * @param {number | bigint} seed Seed of the whole text.
 * @param {number} index Position of the segment, from 0.
 * @param {number} attempt Number of the attempt, from 0.
 * @returns {number | bigint}
 */
export function segmentSeed(seed, index, attempt = 0) {
  if (index === 0 && attempt === 0) return seed;
  const [state] = new SeedSequence(BigInt(seed), [index, attempt]).generateState(1);
  return Number(state >> DROPPED_BITS);
}
