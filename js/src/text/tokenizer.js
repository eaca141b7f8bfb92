/** Encodes text to the token ids of Bark's semantic stage. */

import { Tokenizer } from "@huggingface/tokenizers";

import { EXPORT_AGAIN, TOKENIZER_NAME } from "../bundle/manifest.js";
import { BundleError, firstLine, shown, TextError } from "../errors.js";

/** @import { Bundle } from "../bundle/bundle.js" */

/** @typedef {(message: string) => void} Warn */

const UNKNOWN = "[UNK]"; // of Bert's vocabularies: a word without any known part
const WORD = /[\p{L}\p{Nl}\p{No}]+(?:['’][\p{L}\p{Nl}\p{No}]+)*/gu;
const MAX_SHOWN_WORDS = 3;

export class TextTokenizer {
  #hasWarned = false;

  /**
   * @param {Tokenizer} tokenizer
   * @param {number} maxTokens Token ids in a prompt.
   * @param {Set<string>} words Words that the checkpoint knows; empty if it knows any word.
   */
  constructor(tokenizer, maxTokens, words) {
    this.tokenizer = tokenizer;
    this.maxTokens = maxTokens;
    this.words = words;
    this.unknownId = tokenizer.token_to_id(UNKNOWN);
  }

  /**
   * The tokenizer of a bundle, whose file must be unaltered.
   * @param {Bundle} bundle
   */
  static async fromBundle(bundle) {
    const { semantic } = bundle.manifest.generation;
    const where = bundle.source.where(TOKENIZER_NAME);
    const json = await bundle.tokenizer();
    let tokenizer;
    try {
      tokenizer = new Tokenizer(json, {});
    } catch (error) {
      throw new BundleError(`${where}: not a tokenizer (${firstLine(error)}); ${EXPORT_AGAIN}`);
    }
    const entries = tokenizer.get_vocab().size;
    const expected = semantic.text_pad_token - semantic.text_encoding_offset;
    if (entries !== expected) {
      throw new BundleError(
        `${where} has ${entries} entries, expected ${expected} by bark.json; ${EXPORT_AGAIN}`,
      );
    }
    const words = await bundle.knownWords();
    return new TextTokenizer(tokenizer, semantic.max_input_semantic_length, words);
  }

  /**
   * Token ids of a text, without special tokens. Those beyond `maxTokens` are dropped with a warning.
   * @param {unknown} text
   * @param {Warn} warn
   */
  encode(text, warn) {
    const ids = this.#ids(text);
    if (!ids.length) throw new TextError("The text is empty; expected at least one word");
    this.#warnOfUnknown(String(text), ids, warn);
    if (ids.length > this.maxTokens) {
      warn(
        `${shown(text)} has ${ids.length} tokens; Bark reads the first ${this.maxTokens}, the rest ` +
          "is not generated",
      );
    }
    return ids.slice(0, this.maxTokens);
  }

  /**
   * Number of token ids of a text of any length.
   * @param {unknown} text
   */
  count(text) {
    return this.#ids(text).length;
  }

  /**
   * @param {unknown} text
   * @returns {number[]}
   */
  #ids(text) {
    if (typeof text !== "string") throw new TextError(`The text is ${shown(text)}; expected a string`);
    if (!text.isWellFormed()) throw new TextError("The text is not valid Unicode; expected UTF-16");
    return this.tokenizer.encode(text, { add_special_tokens: false }).ids;
  }

  /**
   * Warn once of words that the checkpoint was not trained on, or of those without a token.
   * @param {string} text
   * @param {number[]} ids
   * @param {Warn} warn
   */
  #warnOfUnknown(text, ids, warn) {
    const words = text.match(WORD) ?? [];
    if (!this.words.size) {
      if (!ids.includes(/** @type {number} */ (this.unknownId))) return;
      const unknown = words.filter((word) => this.#ids(word).includes(Number(this.unknownId)));
      if (unknown.length) {
        warn(`${unknown.length} words are unknown to the checkpoint and not spoken: ${some(unknown)}`);
      }
      return;
    }
    const unknown = words.filter((word) => !this.words.has(word.toLowerCase().replaceAll("’", "'")));
    if (!unknown.length || this.#hasWarned) return;
    this.#hasWarned = true;
    warn(
      `${unknown.length} of ${words.length} words are not among the ${this.words.size} that the ` +
        `checkpoint knows, and may not be understood: ${some(unknown)}`,
    );
  }
}

/** @param {string[]} words */
function some(words) {
  const more = words.length > MAX_SHOWN_WORDS ? ", …" : "";
  return `${words.slice(0, MAX_SHOWN_WORDS).join(", ")}${more}`;
}
