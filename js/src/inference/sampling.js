/**
 * Samples tokens from logits as transformers' logits processors do, in the same order and with the
 * same precision of each step as `runtime/inference/sampling.py`.
 */

import { EngineError } from "../errors.js";

/** @import { Generator } from "../random.js" */
/** @import { Sampling, Stage } from "../types.d.ts" */

/**
 * Check that logits or samples are finite: one that is not would spoil all that follow.
 * @param {Float32Array} values
 * @param {Stage} stage
 */
export function checkFinite(values, stage) {
  if (!values.every(Number.isFinite)) {
    throw new EngineError(
      `The ${stage} stage computed values that are not numbers: the weights are damaged, or too ` +
        "large for this precision; choose another precision, or export the bundle again",
    );
  }
}

/**
 * Index of the first of the largest logits.
 * @param {Float32Array} logits
 */
export function argmax(logits) {
  let best = 0;
  for (let index = 1; index < logits.length; index += 1) {
    if (logits[index] > logits[best]) best = index;
  }
  return best;
}

/**
 * Sample the index of a token.
 * @param {Float32Array} logits
 * @param {Sampling} sampling
 * @param {Generator} rng
 */
export function sampleToken(logits, sampling, rng) {
  if (!sampling.do_sample) return argmax(logits);
  const { indices, probabilities } = tokenDistribution(logits, sampling);
  const draw = rng.random();
  let bound = 0;
  const position = probabilities.findIndex((probability) => (bound += probability) > draw);
  // Rounding can leave the last bound below a draw close to 1.
  return indices[position < 0 ? indices.length - 1 : position];
}

/**
 * Tokens that can be sampled, with their probabilities: the logits are divided by the temperature in
 * single precision, and the probabilities are in double precision.
 * @param {Float32Array} logits
 * @param {Sampling} sampling
 * @returns {{indices: number[], probabilities: Float64Array}} Indices in ascending order.
 */
export function tokenDistribution(logits, sampling) {
  const temperature = Math.fround(sampling.temperature);
  const scores = logits.map((logit) => logit / temperature);
  let indices = Array.from(scores.keys());
  if (sampling.top_k > 0 && sampling.top_k < scores.length) {
    const least = scores.toSorted()[scores.length - sampling.top_k];
    indices = indices.filter((index) => scores[index] >= least);
  }
  if (sampling.top_p < 1) indices = nucleus(scores, indices, sampling.top_p);
  const exact = Float64Array.from(indices, (index) => scores[index]);
  const largest = exact.reduce((most, score) => Math.max(most, score), -Infinity);
  const exponentials = exact.map((score) => Math.exp(score - largest));
  const sum = exponentials.reduce((total, value) => total + value, 0);
  return { indices, probabilities: exponentials.map((value) => value / sum) };
}

/**
 * Sample one index from a row of logits at a temperature.
 * @param {Float32Array} logits
 * @param {number} temperature
 * @param {Generator} rng
 */
export function sampleAtTemperature(logits, temperature, rng) {
  const divisor = Math.fround(temperature);
  const bounds = Float64Array.from(singleSoftmax(logits.map((logit) => logit / divisor)));
  for (let index = 1; index < bounds.length; index += 1) bounds[index] += bounds[index - 1];
  const draw = rng.random() * bounds[bounds.length - 1];
  const index = bounds.findIndex((bound) => bound > draw);
  return index < 0 ? bounds.length - 1 : index;
}

/**
 * Softmax of logits at one index, in single precision.
 * @param {Float32Array} logits
 * @param {number} index
 */
export function tokenProbability(logits, index) {
  return singleSoftmax(logits)[index];
}

/**
 * The smallest set of indices whose probability reaches topP, in ascending order. Summed from the
 * least probable score up, in double precision rounded to single, as torch does.
 * @param {Float32Array} scores
 * @param {number[]} indices In ascending order.
 * @param {number} topP
 */
function nucleus(scores, indices, topP) {
  const order = indices.toSorted((first, second) => scores[first] - scores[second]);
  const probabilities = singleSoftmax(Float32Array.from(order, (index) => scores[index]));
  const least = Math.fround(1 - topP);
  let sum = 0;
  const kept = order.filter((_, position) => {
    sum += probabilities[position];
    return Math.fround(sum) > least || position === order.length - 1;
  });
  return kept.sort((first, second) => first - second);
}

/**
 * Softmax whose every value is rounded to single precision. numpy's sum and exponential function are
 * off by some units in the last place, which differ between processors; these are rounded once.
 * @param {Float32Array} scores
 */
function singleSoftmax(scores) {
  const largest = scores.reduce((most, score) => Math.max(most, score), -Infinity);
  const exponentials = scores.map((score) => Math.exp(Math.fround(score - largest)));
  const sum = Math.fround(exponentials.reduce((total, value) => total + value, 0));
  return exponentials.map((value) => value / sum);
}
