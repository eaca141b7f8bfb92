/**
 * Ends of sentences, by Unicode's rules (UAX 29, `Intl.Segmenter`) and three of our own. The Python
 * library has yasbd-lib with rules for each language, so that segments of some texts differ.
 */

// Shared by several of Bark's languages, in lower case without the full stop.
const ABBREVIATIONS = new Set(
  (
    "mr mrs ms dr prof st sr sra dra jr mme mlle sig dott gen col capt lt rev vs etc ca bzw usw vgl nr no " +
    "fig vol jan feb mar apr jun jul aug sep sept oct nov dec godz np itd tzn ul inż " +
    "ул гг рис см стр bkz örn"
  ).split(" "),
);

/**
 * Ends of sentences in ascending order, before the white space that follows them. The last one is the
 * end of the last word. Beyond Unicode's rules, a sentence does not end at a single line break, before
 * a small letter, or after an abbreviation or a single letter with a full stop.
 * @param {string} text
 * @returns {number[]}
 */
export function sentenceEnds(text) {
  const lines = text.replace(/(?<!\n[^\S\n]*)\n(?![^\S\n]*\n)/g, " ");
  const segments = new Intl.Segmenter("en", { granularity: "sentence" }).segment(lines);
  const ends = [];
  for (const { index, segment } of segments) {
    const end = index + segment.trimEnd().length;
    if (end > (ends.at(-1) ?? 0)) ends.push(end);
  }
  const last = text.trimEnd().length;
  return ends.filter((end) => end === last || !goesOn(text, end));
}

/**
 * @param {string} text
 * @param {number} end
 */
function goesOn(text, end) {
  if (/^\s*[\p{P}\p{Z}]*\p{Ll}/u.test(text.slice(end, end + 20)) && !/^\s*\n\s*\n/.test(text.slice(end))) {
    return true;
  }
  const word = /([\p{L}\p{M}]+)\.$/u.exec(text.slice(Math.max(0, end - 20), end))?.[1];
  if (!word) return false;
  return [...word.normalize("NFC")].length === 1 || ABBREVIATIONS.has(word.toLowerCase());
}
