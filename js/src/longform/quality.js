/**
 * Quality of a segment: checks that decide about another attempt, limits, and postprocessing. Mirrors
 * `runtime/longform/quality.py`.
 */

import { roundHalfToEven } from "../rounding.js";

/** @import { GenerationOptions } from "../options/generation.js" */
/** @import { StreamOptions } from "../options/stream.js" */
/** @import { Speech } from "../speech.js" */
/** @import { Segment } from "../text/segments.js" */

const LIKELY_EOS_P = 0.2; // Suno's own min_eos_p
const SILENT_PEAK = Math.fround(0.01); // 40 dB below full scale
const CLIPPED_SHARE = 0.001; // of the samples
const FULL_SCALE = Math.fround(0.999);
const QUIET_SHARE = Math.fround(0.01); // of the peak: where speech begins and ends for `trimSilence`
const MARGIN_SECONDS = 0.05; // kept around the speech, so that soft consonants stay

/**
 * Longest plausible duration of a segment: 3 seconds and twice the estimate.
 * @param {Segment} segment
 */
function maxPlausibleSeconds(segment) {
  return 3 + 2 * segment.seconds;
}

/**
 * Options that end a segment when its end is likely, or it is longer than plausible.
 * @param {GenerationOptions} options With semanticMaxNewTokens set.
 * @param {Segment} segment
 * @param {number} semanticRateHz
 * @returns {GenerationOptions}
 */
export function limitDuration(options, segment, semanticRateHz) {
  const most = Math.ceil(maxPlausibleSeconds(segment) * semanticRateHz);
  return {
    ...options,
    semanticMaxNewTokens: Math.min(most, Number(options.semanticMaxNewTokens)),
    minEosP: options.minEosP ?? LIKELY_EOS_P,
  };
}

/**
 * Issues of an attempt.
 * @param {Speech} speech
 * @param {Segment} segment
 */
export function qualityIssues(speech, segment) {
  const issues = [];
  const loud = speech.samples.filter((sample) => Math.abs(sample) >= FULL_SCALE).length;
  if (peakOf(speech.samples) < SILENT_PEAK) issues.push("silent");
  else if (loud / speech.samples.length > CLIPPED_SHARE) issues.push("clipped");
  if (speech.seconds > maxPlausibleSeconds(segment)) issues.push("too long for its text");
  return issues;
}

/**
 * Trim and scale samples as the options ask.
 * @param {Float32Array} samples
 * @param {number} sampleRate
 * @param {StreamOptions} options
 */
export function postprocess(samples, sampleRate, options) {
  const trimmed = options.trim ? trimSilence(samples, sampleRate) : samples;
  const peak = peakOf(trimmed);
  if (options.normalizePeak === null || peak === 0) return trimmed;
  const gain = Math.fround(Math.fround(options.normalizePeak) / peak);
  return trimmed.map((sample) => sample * gain);
}

/**
 * Samples without the silence at both ends, except for 50 ms of it.
 * @param {Float32Array} samples
 * @param {number} sampleRate
 */
function trimSilence(samples, sampleRate) {
  const least = Math.fround(QUIET_SHARE * peakOf(samples));
  const isLoud = (/** @type {number} */ sample) => Math.abs(sample) > least;
  const first = samples.findIndex(isLoud);
  if (first < 0) return samples;
  const margin = roundHalfToEven(MARGIN_SECONDS * sampleRate);
  return samples.slice(Math.max(0, first - margin), samples.findLastIndex(isLoud) + 1 + margin);
}

/** @param {Float32Array} samples */
function peakOf(samples) {
  return samples.reduce((peak, sample) => Math.max(peak, Math.abs(sample)), 0);
}
