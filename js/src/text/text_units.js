/**
 * Splits text into units: the largest parts that fit a segment, with the kind of break after each.
 * Mirrors `runtime/text/text_units.py`: a unit is a sentence; one that is too long becomes clauses, a
 * clause words, a word grapheme clusters. Tags such as [laughs] and spans between ♪ stay whole.
 */

import { sentenceEnds } from "./sentences.js";

/** Kinds of breaks in a text, from the best place to split to the worst. */
export const BreakKind = { PARAGRAPH: 0, SENTENCE: 1, CLAUSE: 2, WORD: 3, CHARACTER: 4 };

/** A part of a text, with the white space before it.
 * @typedef {{end: number, tokens: number, breakAfter: number}} TextUnit
 */

/** @typedef {(text: string) => number} CountTokens */

const TAG = /\[[^[\]\n]{1,40}\]/g;
const TAG_OR_SONG = /\[[^[\]\n]{1,40}\]|♪(?:(?!\n[ \t]*\n)[^♪])*♪/g; // no blank line in a song
// Characters of scripts without spaces between words, as Chinese.
const WIDE = /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Hangul}\p{sc=Bopomofo}\u3000-\u303e\uff01-\uff60\uffe0-\uffe6\p{Emoji_Presentation}]/u;

/**
 * Split a text into units of at most `limit` tokens, one after the other without a gap.
 * @param {string} text
 * @param {CountTokens} countTokens
 * @param {number} limit
 * @returns {TextUnit[]}
 */
export function splitUnits(text, countTokens, limit) {
  const splitter = new Splitter(text, countTokens, limit);
  const units = [];
  let start = 0;
  for (const end of splitter.outsideSpans(sentenceEnds(text))) {
    const [gap] = /** @type {RegExpExecArray} */ (/^\s*/.exec(text.slice(end)));
    const isParagraph = gap.split("\n").length > 2;
    units.push(
      ...splitter.split(start, end, isParagraph ? BreakKind.PARAGRAPH : BreakKind.SENTENCE),
    );
    start = end;
  }
  if (start < text.length) units.push(...splitter.split(start, text.length, BreakKind.PARAGRAPH));
  return units;
}

/** A text and its protected spans, inside which it is not split. */
class Splitter {
  /**
   * @param {string} text
   * @param {CountTokens} countTokens
   * @param {number} limit
   */
  constructor(text, countTokens, limit) {
    this.text = text;
    this.countTokens = countTokens;
    this.limit = limit;
    this.spans = [...this.#protectedSpans()];
  }

  /** Tags and songs that fit; of a song that does not, the tags in it. */
  *#protectedSpans() {
    for (const match of this.text.matchAll(TAG_OR_SONG)) {
      if (this.countTokens(match[0]) <= this.limit) {
        yield { begin: match.index, end: match.index + match[0].length };
      } else if (match[0].startsWith("♪")) {
        for (const tag of match[0].matchAll(TAG)) {
          const begin = match.index + tag.index;
          yield { begin, end: begin + tag[0].length };
        }
      }
    }
  }

  /**
   * The places that are outside of protected spans.
   * @param {number[]} places
   */
  outsideSpans(places) {
    return places.filter((place) => !this.spans.some(({ begin, end }) => begin < place && place < end));
  }

  /**
   * Split a part at breaks below its level; parts still too long, at the next one below.
   * @param {number} start
   * @param {number} end
   * @param {number} kind Of the break at `end`.
   * @param {number} level Of the breaks around the part.
   * @returns {Generator<TextUnit>}
   */
  *split(start, end, kind, level = BreakKind.SENTENCE) {
    const tokens = this.countTokens(this.text.slice(start, end));
    if (tokens <= this.limit || level === BreakKind.CHARACTER) {
      yield { end, tokens, breakAfter: kind };
      return;
    }
    const below = level + 1;
    let begin = start;
    for (const place of this.outsideSpans(this.#breaks(start, end, below))) {
      if (place >= end) continue;
      yield* this.split(begin, place, below, below);
      begin = place;
    }
    yield* this.split(begin, end, kind, below);
  }

  /**
   * @param {number} start
   * @param {number} end
   * @param {number} level
   * @returns {number[]}
   */
  #breaks(start, end, level) {
    const part = this.text.slice(start, end);
    if (level === BreakKind.CHARACTER) {
      const clusters = new Intl.Segmenter("en", { granularity: "grapheme" }).segment(part);
      return Array.from(clusters, ({ index, segment }) => start + index + segment.length);
    }
    const isEnd = level === BreakKind.CLAUSE ? endsClause : endsWord;
    const places = [];
    let place = start;
    let last = "";
    for (const character of part) {
      if (last && isEnd(last, character)) places.push(place);
      place += character.length;
      last = character;
    }
    return places;
  }
}

/**
 * @param {string} last
 * @param {string} following
 */
function endsWord(last, following) {
  return /\s/.test(following) && !/\s/.test(last);
}

/**
 * Whether a mark that does not open something ends here: comma, dash, closing bracket. A full stop
 * inside a sentence belongs to an abbreviation or a number.
 * @param {string} last
 * @param {string} following
 */
function endsClause(last, following) {
  const isMark = /(?![\p{Ps}\p{Pi}.])\p{P}/u.test(last);
  return isMark && (/\s/.test(following) || WIDE.test(last) || WIDE.test(following));
}
