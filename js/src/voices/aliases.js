/** Names of voices: Suno's presets, and languages as aliases ("german", "deutsch", "de-3"). */

import { VoiceError } from "../errors.js";
import { LANGUAGES } from "../text/languages.js";

const DEFAULT_SPEAKER = 6; // number of a language's preset in Suno's own examples
const SERIES = ["v2/", ""]; // the better one first

/**
 * The voice that an alias stands for: "german-3" is v2/de_speaker_3; "german" is v2/de_speaker_6, or
 * else the lowest number in v2/, or else the same among voices without a folder, or else the first by
 * name in other folders. Null if the alias names no language, or if there are no voices.
 * @param {string} alias
 * @param {string[]} names Names of all voices; the alias is none of them.
 * @returns {string | null}
 */
export function resolveAlias(alias, names) {
  const found = /^(.+?)(?:[-_ ](\d{1,4}))?$/u.exec(folded(alias));
  const language = found && LANGUAGES.find((each) => each.map(folded).includes(found[1]));
  if (!language || !names.length) return null;
  const [code, english] = language;
  const shown = alias.trim();
  const available = names.filter((name) => presetOf(name)?.code === code).sort();
  if (!available.length) {
    throw new VoiceError(
      `Voice "${shown}": the bundle has no ${english} voice, ${languagesOf(names)}`,
    );
  }
  if (found[2] === undefined) return defaultVoice(code, available);
  const name = `${SERIES[0]}${code}_speaker_${Number(found[2])}`;
  if (available.includes(name)) return name;
  throw new VoiceError(
    `Voice "${shown}": the bundle has no ${name}; its ${english} voices: ${available.join(", ")}`,
  );
}

/**
 * The voice of a language for an alias without a number.
 * @param {string} code
 * @param {string[]} available
 */
function defaultVoice(code, available) {
  for (const series of SERIES) {
    const named = available.filter((name) => name.startsWith(`${series}${code}_`));
    const numbers = named.map((name) => Number(presetOf(name)?.number));
    const wanted = numbers.includes(DEFAULT_SPEAKER) ? DEFAULT_SPEAKER : Math.min(...numbers);
    if (numbers.length) return named[numbers.indexOf(wanted)];
  }
  return available[0];
}

/**
 * Language and number in the name of a preset such as "v2/de_speaker_3"; null: not a preset.
 * @param {string} name
 */
function presetOf(name) {
  const found = /^(?:[\p{L}\p{N}_.-]+\/)?([a-z]{2})_speaker_(\d{1,4})$/u.exec(name);
  const isKnown = found && LANGUAGES.some(([code]) => code === found[1]);
  return isKnown ? { code: found[1], number: Number(found[2]) } : null;
}

/** @param {string[]} names */
function languagesOf(names) {
  const codes = new Set(names.map((name) => presetOf(name)?.code));
  const found = LANGUAGES.filter(([code]) => codes.has(code));
  if (!found.length) return "and the names of its voices contain no language";
  return `only ${found.map(([code, english]) => `${english} (${code})`).join(", ")}`;
}

/**
 * Text without case and accents, for comparison.
 * @param {string} text
 */
function folded(text) {
  return text.trim().toLowerCase().normalize("NFKD").replace(/\p{M}/gu, "");
}
