/** The four stages of one utterance in order. Mirrors `runtime/inference/pipeline.py`. */

import { Generator } from "../random.js";
import { Speech } from "../speech.js";
import { coarseLength, generateCoarse } from "./coarse.js";
import { fineRuns, generateFine } from "./fine.js";
import { checkFinite } from "./sampling.js";
import { generateSemantic, semanticPrompt } from "./semantic.js";

/** @import { Manifest, Models, ResolvedOptions, Stage, Watch } from "../types.d.ts" */
/** @import { Voice } from "../voices/voice.js" */

/**
 * @typedef {object} Request
 * @property {string} text
 * @property {number[]} textIds
 * @property {Voice | null} voice
 * @property {number | bigint} seed
 * @property {ResolvedOptions} options
 */

/**
 * Generate one utterance.
 * @param {Request} request
 * @param {Manifest} manifest
 * @param {Models} models
 * @param {Watch} watch
 * @returns {Promise<Speech>}
 */
export async function generateSpeech(request, manifest, models, watch) {
  const { generation: settings, shapes } = manifest;
  const { voice, options } = request;
  const rng = new Generator(BigInt(request.seed));
  // 1. Text to semantic tokens.
  models.semantic.reset();
  const runSemantic = watched(watch, "semantic", options.semanticMaxNewTokens, models.semantic.run);
  const prompt = semanticPrompt(request.textIds, voice, settings.semantic, shapes.semantic);
  const semantic = await generateSemantic(runSemantic, prompt, settings.semantic, options, rng);
  // 2. Semantic tokens to the first codebooks.
  models.coarse.reset();
  const total = coarseLength(semantic.length, settings);
  const runCoarse = watched(watch, "coarse", total, models.coarse.run);
  const coarse = await generateCoarse(runCoarse, semantic, voice, settings, options.coarse, rng);
  // 3. The first codebooks to all of them.
  const runs = fineRuns(coarse.length, voice, settings);
  const runFine = watched(watch, "fine", runs, models.runFine);
  const codes = await generateFine(runFine, coarse, voice, settings, options.fine, rng);
  // 4. Codes to audio; no run without frames.
  const runCodec = watched(watch, "codec", 1, models.runCodec);
  const samples = codes.length ? await runCodec(codes) : new Float32Array();
  checkFinite(samples, "codec");
  return new Speech({
    samples,
    sampleRate: shapes.codec.sample_rate_hz,
    semanticTokens: Int32Array.from(semantic),
    coarseTokens: byCodebook(coarse, settings.coarse.n_coarse_codebooks),
    fineTokens: byCodebook(codes, settings.fine.n_fine_codebooks),
    text: request.text,
    voiceName: voice?.name ?? "",
    seed: request.seed,
  });
}

/**
 * Runs of a stage that are reported, and end when the caller aborts.
 * @template {any[]} Inputs
 * @template Output
 * @param {Watch} watch
 * @param {Stage} stage
 * @param {number} total Expected runs.
 * @param {(...inputs: Inputs) => Promise<Output>} run
 * @returns {(...inputs: Inputs) => Promise<Output>}
 */
function watched({ onProgress, signal }, stage, total, run) {
  let done = 0;
  return async (...inputs) => {
    signal?.throwIfAborted();
    const output = await run(...inputs);
    done += 1;
    await onProgress?.(stage, done, total);
    return output;
  };
}

/**
 * @param {number[][]} codes By frame.
 * @param {number} books
 * @returns {Int32Array[]}
 */
function byCodebook(codes, books) {
  return Array.from({ length: books }, (_, book) => Int32Array.from(codes, (frame) => frame[book]));
}
