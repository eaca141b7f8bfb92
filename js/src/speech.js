/** Generated speech: samples, and the tokens behind them. */

import { Voice } from "./voices/voice.js";
import { encodeWav } from "./wav.js";

/**
 * @typedef {object} SpeechParts
 * @property {Float32Array} samples Full scale is 1; loud samples may go beyond.
 * @property {number} sampleRate In Hz.
 * @property {Int32Array} semanticTokens
 * @property {Int32Array[]} coarseTokens Codes of the first codebooks, by codebook.
 * @property {Int32Array[]} fineTokens Codes of all codebooks, by codebook.
 * @property {string} text
 * @property {string} voiceName Empty without a voice.
 * @property {number | bigint} seed
 * @property {number} [startSeconds] Start in a long text.
 */

export class Speech {
  /** @param {SpeechParts} parts */
  constructor(parts) {
    this.samples = parts.samples;
    this.sampleRate = parts.sampleRate;
    this.seconds = parts.samples.length / parts.sampleRate;
    this.seed = parts.seed;
    this.semanticTokens = parts.semanticTokens;
    this.coarseTokens = parts.coarseTokens;
    this.fineTokens = parts.fineTokens;
    this.text = parts.text;
    this.voiceName = parts.voiceName;
    this.startSeconds = parts.startSeconds ?? 0;
  }

  /** The speech as the contents of a wav file. */
  toWav() {
    return encodeWav(this.samples, this.sampleRate);
  }

  /**
   * The speech as a voice that other speech can continue.
   * @param {string} name
   */
  toVoice(name = "") {
    return new Voice(
      {
        semanticPrompt: this.semanticTokens,
        coarsePrompt: this.coarseTokens,
        finePrompt: this.fineTokens,
      },
      name,
    );
  }
}

/**
 * Samples of all segments of a text, each at its place.
 * @param {Pick<Speech, "samples" | "sampleRate" | "startSeconds">[]} speeches Not empty.
 * @returns {{samples: Float32Array, sampleRate: number}}
 */
export function joinSpeeches(speeches) {
  const [{ sampleRate }] = speeches;
  const begins = speeches.map((speech) => Math.round(speech.startSeconds * sampleRate));
  const last = speeches.length - 1;
  const samples = new Float32Array(begins[last] + speeches[last].samples.length);
  speeches.forEach((speech, index) => samples.set(speech.samples, begins[index]));
  return { samples, sampleRate };
}
