/** Rounding as Python does it. */

/**
 * The nearest integer, the even one of two, as Python's `round`.
 * @param {number} value
 */
export function roundHalfToEven(value) {
  const below = Math.floor(value);
  const rest = value - below;
  if (rest !== 0.5) return Math.round(value);
  return below % 2 === 0 ? below : below + 1;
}
