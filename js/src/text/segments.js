/**
 * Splits a long text into segments that Bark generates well, of Suno's about 13 seconds each. Mirrors
 * `runtime/text/segments.py`.
 */

import { BreakKind, splitUnits } from "./text_units.js";

/** @import { CountTokens, TextUnit } from "./text_units.js" */

/** A part of a text that is generated in one request.
 * @typedef {{text: string, seconds: number}} Segment `seconds` is an estimate.
 */

/**
 * @typedef {object} SegmentLimits
 * @property {number} maxTokens Most tokens of a segment.
 * @property {number} maxSeconds Longest segment, estimated from its tokens.
 * @property {number} tokensPerSecond Tokens of a second of speech, at the least.
 */

// Cost of ending a segment there; one that is empty by a share x costs x² besides.
const COSTS = {
  [BreakKind.PARAGRAPH]: 0,
  [BreakKind.SENTENCE]: 0.1,
  [BreakKind.CLAUSE]: 0.4,
  [BreakKind.WORD]: 0.8,
  [BreakKind.CHARACTER]: 2,
};

/**
 * Split a text of any length at the ends of sentences, into segments of similar length. A text that
 * fits is one segment, unchanged.
 * @param {string} text
 * @param {CountTokens} countTokens
 * @param {SegmentLimits} limits
 * @returns {Segment[]}
 */
export function splitText(text, countTokens, { maxTokens, maxSeconds, tokensPerSecond }) {
  const limit = Math.trunc(Math.min(maxTokens, maxSeconds * tokensPerSecond));
  const tokens = countTokens(text);
  if (tokens <= limit) return [{ text, seconds: tokens / tokensPerSecond }];
  const segments = [];
  let start = 0;
  for (const packed of packSegments(splitUnits(text, countTokens, limit), limit)) {
    for (const end of splitOversized(text, start, packed, countTokens, limit)) {
      const part = text.slice(start, end).trim();
      segments.push({ text: part, seconds: countTokens(part) / tokensPerSecond });
      start = end;
    }
  }
  return segments;
}

/**
 * Join units to segments with the least total cost, as a typesetter breaks lines. Filling each
 * segment up to the limit would leave short ones, after which Bark goes on talking.
 * @param {TextUnit[]} units
 * @param {number} limit
 * @returns {TextUnit[][]}
 */
function packSegments(units, limit) {
  const costs = [0]; // of the first n units
  const firsts = [0]; // where the last segment of those begins
  for (let last = 1; last <= units.length; last += 1) {
    let [tokens, cost, first] = [0, Infinity, last - 1];
    for (let candidate = last - 1; candidate >= 0; candidate -= 1) {
      tokens += units[candidate].tokens;
      if (tokens > limit && candidate < last - 1) break;
      // Units without tokens cannot be generated alone.
      const slack = tokens ? (1 - tokens / limit) ** 2 : Infinity;
      if (costs[candidate] + slack < cost) [cost, first] = [costs[candidate] + slack, candidate];
    }
    costs.push(cost + COSTS[units[last - 1].breakAfter]);
    firsts.push(first);
  }
  const packed = [];
  for (let last = units.length; last > 0; last = firsts[last]) {
    packed.unshift(units.slice(firsts[last], last));
  }
  return packed;
}

/**
 * Ends of the segments that packed units become. They become one, unless a word was split, which can
 * have more tokens than its parts together.
 * @param {string} text
 * @param {number} start
 * @param {TextUnit[]} units
 * @param {CountTokens} countTokens
 * @param {number} limit
 */
function* splitOversized(text, start, units, countTokens, limit) {
  const last = units[units.length - 1].end;
  if (countTokens(text.slice(start, last)) > limit) {
    let begin = start;
    for (const [index, unit] of units.slice(0, -1).entries()) {
      if (countTokens(text.slice(begin, units[index + 1].end)) > limit) {
        yield unit.end;
        begin = unit.end;
      }
    }
  }
  yield last;
}
