/** Inputs and outputs of the four graphs, as `graphs/contract.py` defines them. */

/** @import { CausalShape, GraphContract, Manifest, Stage, TensorContract } from "../types.d.ts" */

const PARTS = ["key", "value"];
const MAX_TOP_LOGITS = 64;

/**
 * Layer and part of every cache tensor.
 * @param {CausalShape} shape
 */
function cacheParts(shape) {
  return Array.from({ length: shape.num_layers }, (_, layer) => layer).flatMap((layer) =>
    PARTS.map((part) => `${layer}.${part}`),
  );
}

/**
 * Names of the cache inputs.
 * @param {CausalShape} shape
 */
export function pastNames(shape) {
  return cacheParts(shape).map((name) => `past_key_values.${name}`);
}

/**
 * Names of the cache outputs, in the order of `pastNames`.
 * @param {CausalShape} shape
 */
export function presentNames(shape) {
  return cacheParts(shape).map((name) => `present.${name}`);
}

/**
 * Expected inputs and outputs of a stage's graph.
 * @param {Stage} stage
 * @param {Manifest} manifest
 * @param {string} precision
 * @returns {GraphContract}
 */
export function graphContract(stage, manifest, precision) {
  const { fine, codec } = manifest.shapes;
  if (stage === "fine") {
    return {
      inputs: [
        tensor("codes", "int64", null, null, fine.num_codebooks),
        tensor("codebook_index", "int64"),
        tensor("frame_indices", "int64", null),
      ],
      outputs: [tensor("logits", "float32", null, null, fine.num_logits)],
    };
  }
  if (stage === "codec") {
    return {
      inputs: [tensor("codes", "int64", null, codec.num_codebooks, null)],
      outputs: [tensor("audio", "float32", null, null)],
    };
  }
  const shape = manifest.shapes[stage];
  const isFused = manifest.attention === "fused";
  const dtype = precision === "fp16" ? "float16" : "float32";
  const cache = [null, shape.num_heads, bufferLength(manifest, shape), shape.head_size];
  return {
    inputs: [
      tensor("input_ids", "int64", null, null),
      ...(stage === "semantic" ? [tensor("history_ids", "int64", null, null)] : []),
      tensor("position_ids", "int64", null, null),
      ...(isFused ? [tensor("seqlens_k", "int32", null), tensor("total_sequence_length", "int32")] : []),
      ...pastNames(shape).map((name) => tensor(name, dtype, ...cache)),
    ],
    outputs: [
      tensor("logits", "float32", null, shape.num_logits),
      ...presentNames(shape).map((name) => tensor(name, dtype, ...cache)),
      ...(isFused && manifest.contract_version >= 3 ? topTensors(stage, manifest) : []),
    ],
  };
}

/**
 * The largest logits and what belongs to them. A step here draws from all logits.
 * @param {"semantic" | "coarse"} stage
 * @param {Manifest} manifest
 */
function topTensors(stage, { shapes }) {
  const { num_logits } = shapes[stage];
  const first = stage === "semantic" ? num_logits : Math.min(shapes.fine.num_logits, num_logits);
  const groups = [first, num_logits - first].filter((size) => size > 0);
  const count = Math.min(MAX_TOP_LOGITS, ...groups);
  return [
    tensor("top_logits", "float32", null, count),
    tensor("top_ids", "int32", null, count),
    tensor("log_sum_exp", "float32", null),
    ...(stage === "semantic" ? [tensor("end_logit", "float32", null)] : []),
  ];
}

/**
 * Length of the cache that a causal graph fixes; null if it is free.
 * @param {Manifest} manifest
 * @param {CausalShape} shape
 */
export function bufferLength(manifest, shape) {
  const isFixed = manifest.attention === "fused" && manifest.contract_version === 1;
  return isFixed ? shape.context_length : null;
}

/**
 * @param {string} name
 * @param {string} dtype
 * @param {(number | null)[]} shape
 * @returns {TensorContract}
 */
function tensor(name, dtype, ...shape) {
  return { name, dtype, shape };
}
