/** A voice: tokens of earlier speech, which new speech continues. */

import { shown, VoiceError } from "../errors.js";
import { readNpz } from "./npz.js";

/** @import { GenerationSettings } from "../types.d.ts" */
/** @import { VoiceTokens } from "../../index.d.ts" */

const KEYS = ["semantic_prompt", "coarse_prompt", "fine_prompt"];
const MAX_LENGTH = 10_000; // tokens or frames; Bark uses the last seconds
const MAX_CODEBOOKS = 64;

export class Voice {
  /**
   * @param {VoiceTokens} tokens
   * @param {string} name Name of the voice, or its file; may be empty.
   */
  constructor(tokens, name = "") {
    this.name = name;
    const { semanticPrompt, coarsePrompt, finePrompt } = tokens;
    this.semanticPrompt = this.#checked("semanticPrompt", [semanticPrompt], 1)[0];
    this.coarsePrompt = this.#checked("coarsePrompt", coarsePrompt, MAX_CODEBOOKS);
    this.finePrompt = this.#checked("finePrompt", finePrompt, MAX_CODEBOOKS);
    const coarse = this.coarsePrompt[0].length;
    const fine = this.finePrompt[0].length;
    if (coarse !== fine) {
      throw new VoiceError(
        `${this.where}: coarsePrompt has ${coarse} frames, finePrompt ${fine}; expected the same ` +
          "number",
      );
    }
  }

  /** For messages. */
  get where() {
    return this.name ? `Voice "${this.name}"` : "Voice";
  }

  /**
   * Read an .npz file with the keys semantic_prompt, coarse_prompt and fine_prompt.
   * @param {Uint8Array<ArrayBuffer>} bytes
   * @param {string} name
   */
  static async read(bytes, name = "") {
    const arrays = await readNpz(bytes, KEYS, name ? `Voice "${name}"` : "Voice");
    const missing = KEYS.find((key) => !Object.hasOwn(arrays, key));
    if (missing) {
      throw new VoiceError(
        `${name ? `Voice "${name}"` : "Voice"}: ${missing} is missing; expected ${KEYS.join(", ")}`,
      );
    }
    const [semantic, coarse, fine] = KEYS.map((key) => {
      const { shape, values } = arrays[key];
      const rank = key === "semantic_prompt" ? 1 : 2;
      if (shape.length !== rank || !values.length) {
        const expected = rank === 1 ? "(n,)" : "(codebooks, frames)";
        throw new VoiceError(
          `Voice "${name}": ${key} has shape (${shape.join(", ")}), expected ${expected} with at ` +
            "least one token",
        );
      }
      const width = shape[rank - 1];
      const rows = values.length / width;
      return Array.from({ length: rows }, (_, row) => values.slice(row * width, (row + 1) * width));
    });
    const tokens = { semanticPrompt: semantic[0], coarsePrompt: coarse, finePrompt: fine };
    return new Voice(tokens, name);
  }

  /**
   * Check that every token is valid for a checkpoint.
   * @param {GenerationSettings} settings
   */
  check(settings) {
    const codes = settings.codebook_size;
    this.#fits("semanticPrompt", [this.semanticPrompt], 1, settings.semantic.semantic_vocab_size);
    this.#fits("coarsePrompt", this.coarsePrompt, settings.coarse.n_coarse_codebooks, codes);
    this.#fits("finePrompt", this.finePrompt, settings.fine.n_fine_codebooks, codes);
  }

  /**
   * @param {string} key
   * @param {number[][]} rows
   * @param {number} expectedRows
   * @param {number} limit
   */
  #fits(key, rows, expectedRows, limit) {
    if (rows.length !== expectedRows) {
      throw new VoiceError(
        `${this.where}: ${key} has ${rows.length} codebooks, expected ${expectedRows}`,
      );
    }
    const largest = rows.flat().reduce((most, token) => Math.max(most, token), 0);
    if (largest >= limit) {
      throw new VoiceError(
        `${this.where}: ${key} holds ${largest}, expected values below ${limit}`,
      );
    }
  }

  /**
   * @param {string} key
   * @param {Iterable<ArrayLike<number>>} given
   * @param {number} maxRows
   * @returns {number[][]}
   */
  #checked(key, given, maxRows) {
    const isList = (/** @type {any} */ value) => Array.isArray(value) || ArrayBuffer.isView(value);
    /** @type {ArrayLike<number>[]} */
    const rows = isList(given) ? [...given] : [];
    if (!rows.length || !rows.every((row) => isList(row) && row.length)) {
      const expected = maxRows === 1 ? "an array" : "an array of one array per codebook";
      throw new VoiceError(`${this.where}: ${key} is not an array; expected ${expected} of integers`);
    }
    const arrays = rows.map((row) => Array.from(row, Number));
    const length = arrays[0].length;
    if (arrays.some((row) => row.length !== length)) {
      throw new VoiceError(`${this.where}: ${key} is ragged, expected an array of integers`);
    }
    if (length > MAX_LENGTH || arrays.length > maxRows) {
      throw new VoiceError(
        `${this.where}: ${key} has ${arrays.length} times ${length} tokens, expected at most ` +
          `${MAX_LENGTH}; Bark uses only the last seconds of a voice, cut the rest off`,
      );
    }
    for (const token of arrays.flat()) {
      if (!Number.isInteger(token) || token < 0) {
        throw new VoiceError(
          `${this.where}: ${key} holds ${shown(token)}, expected integers from 0`,
        );
      }
    }
    return arrays;
  }
}
