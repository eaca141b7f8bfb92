/**
 * The first codebooks to all of them: overlapping windows, one codebook at a time. Mirrors
 * `runtime/inference/fine.py`.
 */

import { argmax, checkFinite, sampleAtTemperature } from "./sampling.js";

/** @import { Generator } from "../random.js" */
/** @import { FineSampling, GenerationSettings, RunFine } from "../types.d.ts" */
/** @import { Voice } from "../voices/voice.js" */

/**
 * Fill in the remaining codebooks.
 * @param {RunFine} run
 * @param {number[][]} coarseCodes Codes by frame.
 * @param {Voice | null} voice Voice whose last frames precede them.
 * @param {GenerationSettings} settings
 * @param {FineSampling} sampling
 * @param {Generator} rng
 * @returns {Promise<number[][]>} All codes by frame.
 */
export async function generateFine(run, coarseCodes, voice, settings, sampling, rng) {
  if (!coarseCodes.length) return [];
  const { fine } = settings;
  const window = fine.max_fine_input_length;
  const stride = fine.max_fine_history_length;
  const history = lastFrames(voice, stride);
  const codes = [...history, ...coarseCodes.map((frame) => extended(frame, settings))];
  const frames = codes.length; // before padding
  while (codes.length < window) codes.push(extended([], settings));
  for (let index = 0; index < windows(coarseCodes.length, history.length, settings); index += 1) {
    const begin = Math.min(index * stride, codes.length - window);
    const fillStart = Math.min(history.length + index * stride, codes.length - stride);
    const view = codes.slice(begin, begin + window); // the same frames, written in place
    for (let book = coarseCodes[0].length; book < fine.n_fine_codebooks; book += 1) {
      // Later codebooks read the predictions for padding, so only the last one skips it.
      const isLast = book === fine.n_fine_codebooks - 1;
      const end = isLast ? Math.min(frames - begin, window) : window;
      const logits = await run(view, book, fillStart - begin, end);
      checkFinite(logits, "fine");
      const width = logits.length / (end - fillStart + begin);
      for (let frame = fillStart - begin; frame < end; frame += 1) {
        const row = (frame - fillStart + begin) * width;
        view[frame][book] = sampleCode(logits.subarray(row, row + width), sampling, rng);
      }
    }
  }
  return codes.slice(history.length, frames);
}

/**
 * Number of runs that `generateFine` makes.
 * @param {number} frames
 * @param {Voice | null} voice
 * @param {GenerationSettings} settings
 */
export function fineRuns(frames, voice, settings) {
  const history = lastFrames(voice, settings.fine.max_fine_history_length).length;
  const books = settings.fine.n_fine_codebooks - settings.coarse.n_coarse_codebooks;
  return windows(frames, history, settings) * books;
}

/**
 * Number of windows that cover `frames` after `history` frames of a voice.
 * @param {number} frames
 * @param {number} history
 * @param {GenerationSettings} settings
 */
function windows(frames, history, settings) {
  if (!frames) return 0;
  const { max_fine_input_length: length, max_fine_history_length: stride } = settings.fine;
  return 1 + Math.max(0, Math.ceil((frames - (length - history)) / stride));
}

/**
 * All codes of a voice's last frames, by frame.
 * @param {Voice | null} voice
 * @param {number} count
 * @returns {number[][]}
 */
function lastFrames(voice, count) {
  if (voice === null) return [];
  const books = voice.finePrompt.map((codes) => codes.slice(-count));
  return books[0].map((_, frame) => books.map((codes) => codes[frame]));
}

/**
 * Codes of a frame, followed by the mark of unknown ones.
 * @param {number[]} codes
 * @param {GenerationSettings} settings
 * @returns {number[]}
 */
function extended(codes, settings) {
  const missing = settings.fine.n_fine_codebooks - codes.length;
  return [...codes, ...new Array(missing).fill(settings.codebook_size)];
}

/**
 * @param {Float32Array} logits
 * @param {FineSampling} sampling
 * @param {Generator} rng
 */
function sampleCode(logits, sampling, rng) {
  return sampling.doSample ? sampleAtTemperature(logits, sampling.temperature, rng) : argmax(logits);
}
