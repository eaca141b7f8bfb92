/** Text to semantic tokens: the prompt and the loop. Mirrors `runtime/inference/semantic.py`. */

import { checkFinite, sampleToken, tokenDistribution, tokenProbability } from "./sampling.js";

/** @import { Generator } from "../random.js" */
/** @import { CausalShape, ResolvedOptions, RunStep, SemanticSettings, StepInput } from "../types.d.ts" */
/** @import { Voice } from "../voices/voice.js" */

/**
 * Prompt: the text, padded and summed with the end of the voice, then the infer token.
 * @param {number[]} textIds Token ids of the tokenizer, at most max_input_semantic_length.
 * @param {Voice | null} voice
 * @param {SemanticSettings} settings
 * @param {CausalShape} shape
 * @returns {StepInput}
 */
export function semanticPrompt(textIds, voice, settings, shape) {
  const length = settings.max_input_semantic_length;
  const ids = new Array(length + 1).fill(settings.text_pad_token);
  textIds.forEach((id, index) => (ids[index] = id + settings.text_encoding_offset));
  ids[length] = settings.semantic_infer_token;
  const history = new Array(length + 1).fill(settings.semantic_pad_token);
  voice?.semanticPrompt.slice(-length).forEach((token, index) => (history[index] = token));
  history[length] = shape.input_vocabulary; // null id: adds nothing to the last token
  return { ids, past: 0, history };
}

/**
 * Sample semantic tokens until the end of the utterance.
 * @param {RunStep} run
 * @param {StepInput} prompt
 * @param {SemanticSettings} settings
 * @param {ResolvedOptions} options
 * @param {Generator} rng
 * @returns {Promise<number[]>} Without the token that ends the utterance.
 */
export async function generateSemantic(run, prompt, settings, options, rng) {
  const end = settings.semantic_vocab_size; // index of the last logit
  /** @type {number[]} */
  const tokens = [];
  let step = prompt;
  while (tokens.length < options.semanticMaxNewTokens) {
    const logits = await run(step);
    checkFinite(logits, "semantic");
    const isEnd = options.minEosP !== null && isEndLikely(logits, end, options.minEosP, options);
    const token = isEnd ? end : sampleToken(logits, options.semantic, rng);
    if (token === end) break;
    tokens.push(token);
    step = { ids: [token], past: step.past + step.ids.length };
  }
  return tokens;
}

/**
 * Whether the end token is probable enough to end the utterance without sampling.
 * @param {Float32Array} logits
 * @param {number} end
 * @param {number} minProbability
 * @param {ResolvedOptions} options
 */
function isEndLikely(logits, end, minProbability, options) {
  // `BarkEosPrioritizerLogitsProcessor` reads the logits before the temperature is applied.
  if (!options.minEosPWarped) return tokenProbability(logits, end) > minProbability;
  const { indices, probabilities } = tokenDistribution(logits, options.semantic);
  return indices.at(-1) === end && Number(probabilities.at(-1)) >= minProbability;
}
