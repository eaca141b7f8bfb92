/**
 * The segments of a long text, one after the other: seeds, voices, attempts. Mirrors
 * `runtime/longform/window.py` with a concurrency of 1.
 */

import { segmentSeed } from "../seeds.js";
import { Speech } from "../speech.js";
import { Crossfader } from "./crossfade.js";
import { limitDuration, postprocess, qualityIssues } from "./quality.js";

/** @import { GenerationOptions } from "../options/generation.js" */
/** @import { StreamOptions } from "../options/stream.js" */
/** @import { Segment } from "../text/segments.js" */
/** @import { Warn } from "../text/tokenizer.js" */
/** @import { Voice } from "../voices/voice.js" */

/**
 * @callback Speak
 * @param {string} text
 * @param {Voice | null} voice
 * @param {number | bigint} seed
 * @param {GenerationOptions} options
 * @returns {Promise<Speech>}
 */

/**
 * @typedef {object} StreamPlan
 * @property {Segment[]} segments
 * @property {Voice | null} voice
 * @property {number | bigint} seed Of the whole text.
 * @property {GenerationOptions} generation With semanticMaxNewTokens set.
 * @property {StreamOptions} stream
 * @property {number} semanticRateHz
 * @property {Warn} warn
 * @property {Speak} speak
 */

/**
 * Generate the segments of a text, each with its place in the whole.
 * @param {StreamPlan} plan
 * @returns {AsyncGenerator<Speech, void, undefined>}
 */
export async function* streamSegments(plan) {
  const { segments, stream } = plan;
  let voice = plan.voice;
  /** @type {Crossfader | undefined} */
  let crossfader;
  for (const [index, segment] of segments.entries()) {
    const speech = await bestAttempt(plan, segment, index, voice);
    voice = nextVoice(speech, voice, stream.history);
    const { sampleRate } = speech;
    crossfader ??= new Crossfader(sampleRate, stream.silenceSeconds, stream.crossfadeSeconds);
    const isLast = index === segments.length - 1;
    const processed = postprocess(speech.samples, sampleRate, stream);
    yield new Speech({ ...speech, ...crossfader.append(processed, isLast) });
  }
}

/**
 * The first attempt without issues, or the one with the fewest.
 * @param {StreamPlan} plan
 * @param {Segment} segment
 * @param {number} index
 * @param {Voice | null} voice
 */
async function bestAttempt(plan, segment, index, voice) {
  const { attempts } = plan.stream;
  const options = plan.stream.limitDuration
    ? limitDuration(plan.generation, segment, plan.semanticRateHz)
    : plan.generation;
  /** @type {{speech: Speech, issues: string[]} | undefined} */
  let best;
  for (let attempt = 0; attempt < attempts && best?.issues.length !== 0; attempt += 1) {
    const seed = segmentSeed(plan.seed, index, attempt);
    const speech = await plan.speak(segment.text, voice, seed, options);
    const issues = attempts > 1 ? qualityIssues(speech, segment) : [];
    if (!best || issues.length < best.issues.length) best = { speech, issues };
  }
  const { speech, issues } = /** @type {{speech: Speech, issues: string[]}} */ (best);
  if (issues.length) {
    plan.warn(
      `segment ${index + 1}: none of ${attempts} attempts passes, the best is ` +
        `${issues.join(" and ")}; try another seed or voice`,
    );
  }
  return speech;
}

/**
 * What the next segment continues.
 * @param {Speech} speech
 * @param {Voice | null} voice
 * @param {string} history
 */
function nextVoice(speech, voice, history) {
  if (!speech.semanticTokens.length) return voice;
  if (history === "previous") return speech.toVoice(speech.voiceName);
  return history === "first" && voice === null ? speech.toVoice() : voice;
}
