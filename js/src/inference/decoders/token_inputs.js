/** Token inputs of causal graphs, and the parts that a long run is split into. */

/** @import { Tensor } from "onnxruntime-common" */
/** @import { CausalSessions, Ort, StepInput } from "../../types.d.ts" */

// As in `runtime/inference/decoders/static_cache.py`: with another split, the scale of int8
// activations, and so a token, would differ.
const PREFILL_CHUNK_TOKENS = 300;

/**
 * Token inputs of either form of graph for one sequence.
 * @param {Ort} ort
 * @param {CausalSessions} sessions
 * @param {StepInput} step
 * @returns {Record<string, Tensor>}
 */
export function tokenInputs(ort, sessions, step) {
  const count = step.ids.length;
  const row = (/** @type {number[]} */ values) => {
    return new ort.Tensor("int64", BigInt64Array.from(values, BigInt), [1, count]);
  };
  const nullId = sessions.shape.input_vocabulary; // adds nothing
  return {
    input_ids: row(step.ids),
    position_ids: row(step.ids.map((_, index) => step.past + index)),
    ...(sessions.hasHistory && { history_ids: row(step.history ?? step.ids.map(() => nullId)) }),
  };
}

/**
 * Split a long prefill into parts of nearly equal length.
 * @param {StepInput} step
 * @returns {StepInput[]}
 */
export function prefillChunks(step) {
  const count = step.ids.length;
  const chunks = Math.ceil(count / PREFILL_CHUNK_TOKENS);
  const size = count / chunks;
  return Array.from({ length: chunks }, (_, index) => {
    const begin = Math.trunc(index * size);
    const end = index === chunks - 1 ? count : Math.trunc((index + 1) * size);
    const ids = step.ids.slice(begin, end);
    const past = step.past + begin;
    return step.history ? { ids, past, history: step.history.slice(begin, end) } : { ids, past };
  });
}
