/** Generation options: what a caller sets, resolved with the checkpoint's defaults. */

import { OptionsError, shown } from "../errors.js";

/** @import { CausalShape, GenerationSettings, ResolvedOptions, Sampling } from "../types.d.ts" */

/** @typedef {Record<string, boolean | number | null | undefined>} GenerationOptions */

// Logits are divided by it: below, the quotient overflows; above, all tokens are equally probable.
const MIN_TEMPERATURE = 1e-6;
const MAX_TEMPERATURE = 1e6;

/** @type {Record<string, (name: string, value: unknown) => void>} */
const CHECKS = {
  semanticDoSample: checkBoolean,
  semanticTemperature: checkTemperature,
  semanticTopK: checkIntegerFrom(0),
  semanticTopP: checkProbability,
  semanticMaxNewTokens: checkIntegerFrom(1),
  minEosP: checkProbability,
  minEosPWarped: checkBoolean,
  coarseDoSample: checkBoolean,
  coarseTemperature: checkTemperature,
  coarseTopK: checkIntegerFrom(0),
  coarseTopP: checkProbability,
  fineTemperature: checkTemperature,
  fineDoSample: checkBoolean,
};

/**
 * Names without a stage set every stage that has them. As in transformers, doSample does not apply to
 * the fine stage, which samples by its temperature.
 * @type {Record<string, string[]>}
 */
const SHARED = {
  doSample: ["semanticDoSample", "coarseDoSample"],
  temperature: ["semanticTemperature", "coarseTemperature", "fineTemperature"],
  topK: ["semanticTopK", "coarseTopK"],
  topP: ["semanticTopP", "coarseTopP"],
  semanticMinEosP: ["minEosP"],
};

/** @type {Record<string, GenerationOptions>} */
const PRESETS = {
  transformers: {},
  suno: {
    semanticDoSample: true,
    semanticTemperature: 0.7,
    semanticTopK: 0,
    semanticTopP: 1,
    minEosP: 0.2,
    minEosPWarped: true,
    coarseDoSample: true,
    coarseTemperature: 0.7,
    coarseTopK: 0,
    coarseTopP: 1,
    fineDoSample: true,
    fineTemperature: 0.5,
  },
  greedy: { semanticDoSample: false, coarseDoSample: false, fineDoSample: false },
};

export const GENERATION_OPTION_NAMES = [
  "sampling",
  "greedy",
  ...Object.keys(CHECKS),
  ...Object.keys(SHARED),
];

/**
 * Check options and write them out: the preset, then names without a stage, then the others.
 * @param {Record<string, unknown>} given
 * @returns {GenerationOptions}
 */
export function generationOptions(given) {
  const { sampling, greedy, ...rest } = given;
  /** @type {Record<string, any>} */
  const options = { ...preset(sampling, greedy) };
  const values = Object.entries(rest).filter(([, value]) => value !== undefined);
  const isShared = (/** @type {string} */ name) => Object.hasOwn(SHARED, name);
  for (const [name, value] of values.filter(([name]) => isShared(name))) {
    for (const target of SHARED[name]) options[target] = value;
  }
  for (const [name, value] of values.filter(([name]) => !isShared(name))) {
    if (!Object.hasOwn(CHECKS, name)) throw unknownOption(name, GENERATION_OPTION_NAMES);
    options[name] = value;
  }
  for (const [name, value] of Object.entries(options)) {
    if (value !== null) CHECKS[name](name, value);
  }
  return options;
}

/**
 * Fill in the checkpoint's values.
 * @param {GenerationOptions} options
 * @param {GenerationSettings} settings
 * @param {CausalShape} semantic
 * @returns {ResolvedOptions}
 */
export function resolveOptions(options, settings, semantic) {
  const most = semantic.context_length - settings.semantic.max_input_semantic_length;
  const semanticMaxNewTokens = Number(options.semanticMaxNewTokens ?? settings.semantic.max_new_tokens);
  if (semanticMaxNewTokens > most) {
    throw new OptionsError(
      `semanticMaxNewTokens is ${semanticMaxNewTokens}, but the context holds ${most}`,
    );
  }
  const temperature = Number(options.fineTemperature ?? settings.fine.temperature);
  const fine = { doSample: Boolean(options.fineDoSample ?? temperature !== 1), temperature };
  checkSampled("fine", fine.doSample, temperature);
  return {
    semantic: resolveSampling("semantic", options, settings.semantic.sampling),
    semanticMaxNewTokens,
    minEosP: /** @type {number | null} */ (options.minEosP ?? null),
    minEosPWarped: Boolean(options.minEosPWarped),
    coarse: resolveSampling("coarse", options, settings.coarse.sampling),
    fine,
  };
}

/**
 * @param {string} name
 * @param {string[]} expected
 */
export function unknownOption(name, expected) {
  const names = expected.toSorted().join(", ");
  return new OptionsError(`option ${shown(name)} is unknown; expected one of ${names}`);
}

/**
 * @param {unknown} sampling
 * @param {unknown} greedy
 */
function preset(sampling, greedy) {
  if (greedy !== undefined) checkBoolean("greedy", greedy);
  if (greedy && sampling !== undefined && sampling !== "greedy") {
    throw new OptionsError(
      `sampling is ${shown(sampling)} and greedy is true; expected only one of them`,
    );
  }
  const name = greedy ? "greedy" : (sampling ?? "transformers");
  if (typeof name === "string" && Object.hasOwn(PRESETS, name)) return PRESETS[name];
  const expected = Object.keys(PRESETS).join(", ");
  throw new OptionsError(`sampling is ${shown(name)}, expected one of ${expected}`);
}

/**
 * @param {"semantic" | "coarse"} stage
 * @param {GenerationOptions} options
 * @param {Sampling} defaults
 * @returns {Sampling}
 */
function resolveSampling(stage, options, defaults) {
  const sampling = {
    do_sample: Boolean(options[`${stage}DoSample`] ?? defaults.do_sample),
    temperature: Number(options[`${stage}Temperature`] ?? defaults.temperature),
    top_k: Number(options[`${stage}TopK`] ?? defaults.top_k),
    top_p: Number(options[`${stage}TopP`] ?? defaults.top_p),
  };
  checkSampled(stage, sampling.do_sample, sampling.temperature);
  return sampling;
}

/**
 * @param {string} stage
 * @param {boolean} doSample
 * @param {number} temperature
 */
function checkSampled(stage, doSample, temperature) {
  if (doSample && temperature <= 0) {
    throw new OptionsError(
      `${stage}Temperature is ${temperature} with sampling, expected more than 0; for the most ` +
        `probable token give ${stage}DoSample: false, or greedy: true for all stages`,
    );
  }
}

/**
 * @param {string} name
 * @param {unknown} value
 */
export function checkBoolean(name, value) {
  if (typeof value !== "boolean") {
    throw new OptionsError(`${name} is ${shown(value)}, expected true or false`);
  }
}

/** @param {number} least */
export function checkIntegerFrom(least) {
  return (/** @type {string} */ name, /** @type {unknown} */ value) => {
    if (!Number.isInteger(value) || Number(value) < least) {
      throw new OptionsError(`${name} is ${shown(value)}, expected an integer from ${least}`);
    }
  };
}

/**
 * @param {string} name
 * @param {unknown} value
 */
function checkProbability(name, value) {
  if (!(typeof value === "number" && value > 0 && value <= 1)) {
    throw new OptionsError(`${name} is ${shown(value)}, expected more than 0 and at most 1`);
  }
}

/**
 * @param {string} name
 * @param {unknown} value
 */
function checkTemperature(name, value) {
  const found = `${name} is ${shown(value)}, expected`;
  if (typeof value !== "number" || !(value >= 0)) {
    throw new OptionsError(`${found} a number from 0`);
  }
  if (value > 0 && value < MIN_TEMPERATURE) throw new OptionsError(`${found} at least 0.000001`);
  if (value > MAX_TEMPERATURE) throw new OptionsError(`${found} at most 1000000`);
}
