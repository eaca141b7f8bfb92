/**
 * Semantic tokens to the first codebooks: sliding windows. Mirrors `runtime/inference/coarse.py`.
 */

import { roundHalfToEven } from "../rounding.js";
import { checkFinite, sampleToken } from "./sampling.js";

/** @import { Generator } from "../random.js" */
/** @import { GenerationSettings, RunStep, Sampling, StepInput } from "../types.d.ts" */
/** @import { Voice } from "../voices/voice.js" */

/**
 * Coarse tokens per semantic token.
 * @param {GenerationSettings} settings
 */
function semanticToCoarseRatio(settings) {
  const framesPerToken = settings.coarse.coarse_rate_hz / settings.semantic.semantic_rate_hz;
  return framesPerToken * settings.coarse.n_coarse_codebooks;
}

/**
 * Most semantic tokens before the current one in a window's prompt.
 * @param {GenerationSettings} settings
 */
function maxSemanticHistory(settings) {
  return Math.floor(settings.coarse.max_coarse_history / semanticToCoarseRatio(settings));
}

/**
 * Number of coarse tokens for a number of semantic tokens, in single precision as in transformers.
 * @param {number} semanticTokens
 * @param {GenerationSettings} settings
 */
export function coarseLength(semanticTokens, settings) {
  const codebooks = settings.coarse.n_coarse_codebooks;
  const ratio = Math.fround(semanticToCoarseRatio(settings));
  const tokens = Math.fround(Math.fround(semanticTokens) * ratio);
  return Math.floor(Math.fround(tokens / codebooks)) * codebooks;
}

/**
 * Sample coarse tokens, window by window.
 *
 * The prompt of a window is the semantic tokens around its position, then the coarse tokens before it.
 * The part that equals the beginning of the last window's prompt stays in the cache.
 * @param {RunStep} run
 * @param {number[]} semanticTokens
 * @param {Voice | null} voice
 * @param {GenerationSettings} settings
 * @param {Sampling} sampling
 * @param {Generator} rng
 * @returns {Promise<number[][]>} Codes by frame, each below the codebook's size.
 */
export async function generateCoarse(run, semanticTokens, voice, settings, sampling, rng) {
  const { coarse, semantic, codebook_size: codebookSize } = settings;
  const history = voiceHistory(voice, settings);
  const allSemantic = [...history.semantic, ...semanticTokens];
  const total = coarseLength(semanticTokens.length, settings);
  const tokens = [...history.coarse];
  /** @type {number[]} */
  let cached = []; // tokens in the cache
  for (let generated = 0; generated < total; ) {
    const before = tokens.slice(-coarse.max_coarse_history);
    const context = windowContext(allSemantic, history.semantic.length, generated, settings);
    const prompt = [...context, ...before];
    const kept = commonPrefix(cached, prompt);
    /** @type {StepInput} */
    let step = { ids: prompt.slice(kept), past: kept };
    const window = Math.min(coarse.sliding_window_len, total - generated);
    for (let index = 0; index < window; index += 1) {
      const logits = await run(step);
      checkFinite(logits, "coarse");
      const first = index % 2 === 0 ? 0 : codebookSize;
      const last = index % 2 === 0 ? codebookSize : logits.length;
      const token = first + sampleToken(logits.subarray(first, last), sampling, rng);
      tokens.push(token + semantic.semantic_vocab_size);
      step = { ids: tokens.slice(-1), past: prompt.length + index };
    }
    cached = [...prompt, ...tokens.slice(tokens.length - window, -1)];
    generated += window;
  }
  const codes = tokens
    .slice(history.coarse.length)
    .map((token) => (token - semantic.semantic_vocab_size) % codebookSize);
  const books = coarse.n_coarse_codebooks;
  return Array.from({ length: codes.length / books }, (_, frame) =>
    codes.slice(frame * books, (frame + 1) * books),
  );
}

/**
 * End of a voice: semantic and coarse tokens, both as model input.
 * @param {Voice | null} voice
 * @param {GenerationSettings} settings
 * @returns {{semantic: number[], coarse: number[]}}
 */
function voiceHistory(voice, settings) {
  if (voice === null) return { semantic: [], coarse: [] };
  const offset = settings.semantic.semantic_vocab_size;
  const coarse = voice.coarsePrompt[0].flatMap((_, frame) =>
    voice.coarsePrompt.map((codes, book) => codes[frame] + book * settings.codebook_size + offset),
  );
  const ratio = semanticToCoarseRatio(settings);
  const available = voice.semanticPrompt.length;
  const count = Math.min(
    maxSemanticHistory(settings),
    available - (available % 2),
    Math.floor(coarse.length / ratio),
  );
  // A count of 0 selects everything, in transformers too. The last frame is dropped because Suno
  // found that it sounds better.
  return {
    semantic: voice.semanticPrompt.slice(-count),
    coarse: coarse.slice(-roundHalfToEven(count * ratio)).slice(0, -2),
  };
}

/**
 * Semantic part of a window's prompt, with the infer token that ends it.
 * @param {number[]} semantic
 * @param {number} numHistory
 * @param {number} generated
 * @param {GenerationSettings} settings
 * @returns {number[]}
 */
function windowContext(semantic, numHistory, generated, settings) {
  const { coarse } = settings;
  const position = numHistory + roundHalfToEven(generated / semanticToCoarseRatio(settings));
  const begin = Math.max(0, position - maxSemanticHistory(settings));
  const visible = semantic.slice(begin, begin + coarse.max_coarse_input_length);
  const missing = coarse.max_coarse_input_length - visible.length;
  const padding = new Array(missing).fill(coarse.coarse_semantic_pad_token);
  return [...visible, ...padding, coarse.coarse_infer_token];
}

/**
 * Number of leading tokens of `prompt` that are cached; at least one token remains to run.
 * @param {number[]} cached
 * @param {number[]} prompt
 */
function commonPrefix(cached, prompt) {
  const length = Math.min(cached.length, prompt.length - 1);
  let kept = 0;
  while (kept < length && cached[kept] === prompt[kept]) kept += 1;
  return kept;
}
