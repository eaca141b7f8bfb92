/** Options of long text: how it is split, how segments follow each other, which are accepted. */

import { OptionsError, shown } from "../errors.js";
import { checkBoolean, checkIntegerFrom } from "./generation.js";

/**
 * @typedef {object} StreamOptions
 * @property {number | null} maxSeconds Length of a segment, estimated; null: the checkpoint's.
 * @property {string} history What a segment continues: "voice", "previous" or "first".
 * @property {number} silenceSeconds Between segments.
 * @property {number} crossfadeSeconds Overlap of two segments.
 * @property {number} attempts Tries per segment until one is not silent, clipped or too long.
 * @property {boolean} trim Cut silence off both ends of each segment.
 * @property {boolean} limitDuration End a segment when its end is likely, or it is far too long.
 * @property {number | null} normalizePeak Level of the loudest sample; null: unchanged.
 */

const HISTORIES = ["voice", "previous", "first"];
const SILENCE_SECONDS = 0.25; // Suno's own, between sentences
const MAX_PAUSE_SECONDS = 60;

export const STREAM_OPTION_NAMES = [
  "maxSeconds",
  "history",
  "silenceSeconds",
  "crossfadeSeconds",
  "attempts",
  "trim",
  "limitDuration",
  "normalizePeak",
];

/**
 * Check the options of long text.
 * @param {Record<string, any>} given
 * @returns {StreamOptions}
 */
export function streamOptions(given) {
  const { maxSeconds = null, history = "voice", normalizePeak = null } = given;
  const { crossfadeSeconds = 0, attempts = 1, trim = false, limitDuration = false } = given;
  const { silenceSeconds = crossfadeSeconds ? 0 : SILENCE_SECONDS } = given;
  checkMaxSeconds(maxSeconds);
  if (!HISTORIES.includes(history)) {
    const expected = HISTORIES.join(", ");
    throw new OptionsError(`history is ${shown(history)}, expected one of ${expected}`);
  }
  checkPause("silenceSeconds", silenceSeconds);
  checkPause("crossfadeSeconds", crossfadeSeconds);
  if (silenceSeconds && crossfadeSeconds) {
    throw new OptionsError(
      `silenceSeconds is ${silenceSeconds} and crossfadeSeconds ${crossfadeSeconds}; expected ` +
        "only one of them: segments that overlap have no silence between them",
    );
  }
  checkIntegerFrom(1)("attempts", attempts);
  checkBoolean("trim", trim);
  checkBoolean("limitDuration", limitDuration);
  if (normalizePeak !== null && !(normalizePeak > 0 && normalizePeak <= 1)) {
    throw new OptionsError(
      `normalizePeak is ${shown(normalizePeak)}, expected more than 0 and at most 1`,
    );
  }
  return {
    maxSeconds,
    history,
    silenceSeconds,
    crossfadeSeconds,
    attempts,
    trim,
    limitDuration,
    normalizePeak,
  };
}

/** @param {unknown} maxSeconds */
export function checkMaxSeconds(maxSeconds) {
  if (maxSeconds !== null && !(Number.isFinite(maxSeconds) && Number(maxSeconds) >= 1)) {
    throw new OptionsError(`maxSeconds is ${shown(maxSeconds)}, expected a number from 1`);
  }
}

/**
 * @param {string} name
 * @param {unknown} value
 */
function checkPause(name, value) {
  if (!(typeof value === "number" && value >= 0 && value <= MAX_PAUSE_SECONDS)) {
    throw new OptionsError(
      `${name} is ${shown(value)}, expected seconds from 0 to ${MAX_PAUSE_SECONDS}`,
    );
  }
}
