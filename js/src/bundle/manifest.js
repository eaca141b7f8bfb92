/** bark.json: shapes, settings and files of a bundle. Knows nothing of the contents of the files. */

import { BundleError, shown } from "../errors.js";
import { boolean, integer, list, map, number, object, oneOf, SchemaError, string } from "./schema.js";

/** @import { Manifest, Stage } from "../types.d.ts" */

export const MANIFEST_NAME = "bark.json";
export const TOKENIZER_NAME = "tokenizer.json";
export const WORDS_NAME = "words.txt"; // of a checkpoint that knows few words, one a line
export const VOICES_FOLDER = "voices";
export const EXPORT_AGAIN = "export or download the bundle again";

const FORMAT_VERSION = 1;
const OLDEST_CONTRACT = 1; // fused graphs fix the length of the cache
const NEWEST_CONTRACT = 3; // it is free from 2 on; graphs return top logits from 3 on
const PRECISIONS = ["fp32", "fp16", "int8", "int4"];

const id = integer(0, 2 ** 22);
const length = integer(1, 16_384);
const rate = number(1, 1000);
const codebooks = integer(1, 64);
const sampleRate = integer(8000, 192_000);

const sampling = object({
  do_sample: boolean,
  temperature: number(0, 1e6),
  top_k: integer(0, 2 ** 31),
  top_p: number(Number.MIN_VALUE, 1),
});

const causalShape = object({
  num_layers: integer(1, 256),
  num_heads: integer(1, 256),
  head_size: integer(1, 1024),
  context_length: length,
  input_vocabulary: id,
  first_logit_id: id,
  num_logits: integer(1, 2 ** 22),
});

const shapes = object({
  semantic: causalShape,
  coarse: causalShape,
  fine: object({
    context_length: length,
    num_codebooks: codebooks,
    num_logits: integer(1, 2 ** 22),
  }),
  codec: object({
    num_codebooks: codebooks,
    samples_per_frame: integer(1, 2 ** 16),
    sample_rate_hz: sampleRate,
  }),
});

const generation = object(
  {
    semantic: object({
      sampling,
      max_new_tokens: length,
      text_encoding_offset: id,
      text_pad_token: id,
      semantic_pad_token: id,
      semantic_infer_token: id,
      semantic_vocab_size: integer(1, 2 ** 20),
      max_input_semantic_length: length,
      semantic_rate_hz: rate,
    }),
    coarse: object({
      sampling,
      coarse_semantic_pad_token: id,
      coarse_infer_token: id,
      coarse_rate_hz: rate,
      n_coarse_codebooks: codebooks,
      max_coarse_input_length: length,
      max_coarse_history: length,
      sliding_window_len: length,
    }),
    fine: object({
      temperature: number(1e-6, 1e6),
      max_fine_history_length: length,
      max_fine_input_length: length,
      n_fine_codebooks: codebooks,
    }),
    codebook_size: integer(1, 2 ** 16),
    sample_rate_hz: sampleRate,
    text_tokens_per_second: number(0.1, 1000),
    segment_seconds: number(1, 1000),
  },
  // Of Suno's tokenizer and training texts.
  { text_tokens_per_second: 3.6, segment_seconds: 13 },
);

const manifest = object({
  source: string,
  attention: oneOf(["fused", "standard"]),
  precisions: list(oneOf(PRECISIONS)),
  shapes,
  generation,
  files: map(object({ size: integer(0, 2 ** 50), sha256: string })),
});

/**
 * Read the text of bark.json.
 * @param {Uint8Array} bytes
 * @param {string} where Location of the file, for messages.
 * @returns {Manifest}
 */
export function parseManifest(bytes, where) {
  const data = parseJson(bytes, where);
  checkVersion(data, "format_version", FORMAT_VERSION, FORMAT_VERSION, where);
  checkVersion(data, "contract_version", OLDEST_CONTRACT, NEWEST_CONTRACT, where);
  try {
    manifest(data, "");
    checkLengths(data);
  } catch (error) {
    if (!(error instanceof SchemaError)) throw error;
    throw new BundleError(`${where}: ${error.message}; ${EXPORT_AGAIN}`);
  }
  return data;
}

/**
 * Parse a JSON file of a bundle.
 * @param {Uint8Array} bytes
 * @param {string} where
 * @returns {any}
 */
export function parseJson(bytes, where) {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new BundleError(`${where}: not readable as JSON (${reason}); ${EXPORT_AGAIN}`);
  }
}

/**
 * Path of a causal stage's prefill graph; null if its one graph also prefills.
 * @param {Manifest} manifest
 * @param {string} precision
 * @param {Stage} stage
 */
export function prefillGraph(manifest, precision, stage) {
  const stem = `${precision}/${stage}`;
  // Bundles of earlier versions have the second name.
  const names = [`${stem}.prefill.onnx`, `${stem}.prompt.onnx`];
  return names.find((name) => Object.hasOwn(manifest.files, name)) ?? null;
}

/**
 * @param {any} data
 * @param {string} key
 * @param {number} oldest
 * @param {number} newest
 * @param {string} where
 */
function checkVersion(data, key, oldest, newest, where) {
  const found = data?.[key];
  if (Number.isInteger(found) && found >= oldest && found <= newest) return;
  const isNewer = Number.isInteger(found) && found > newest;
  const remedy = isNewer ? "update bark-onnx" : "export the checkpoint again";
  const expected = oldest === newest ? newest : `${oldest} to ${newest}`;
  throw new BundleError(`${where}: ${key} is ${shown(found)}, expected ${expected}; ${remedy}`);
}

/**
 * Check that contexts hold the longest prompts, and that codes fit the codec.
 * @param {Manifest} manifest
 */
function checkLengths({ shapes, generation: { semantic, coarse, fine, codebook_size: codes } }) {
  const coarsePrompt = coarse.max_coarse_input_length + 1 + coarse.max_coarse_history;
  /** @type {[string, number, number, number][]} */
  const bounds = [
    ["shapes.semantic.context_length", shapes.semantic.context_length,
      semantic.max_input_semantic_length + semantic.max_new_tokens, Infinity],
    ["shapes.coarse.context_length", shapes.coarse.context_length,
      coarsePrompt + coarse.sliding_window_len - 1, Infinity],
    ["shapes.fine.context_length", shapes.fine.context_length,
      fine.max_fine_input_length, Infinity],
    ["shapes.semantic.num_logits", shapes.semantic.num_logits,
      semantic.semantic_vocab_size + 1, semantic.semantic_vocab_size + 1],
    ["shapes.coarse.num_logits", shapes.coarse.num_logits,
      coarse.n_coarse_codebooks * codes, Infinity],
    ["shapes.fine.num_logits", shapes.fine.num_logits, codes, codes],
    ["shapes.codec.num_codebooks", shapes.codec.num_codebooks,
      fine.n_fine_codebooks, fine.n_fine_codebooks],
    ["generation.fine.max_fine_history_length", fine.max_fine_history_length,
      1, fine.max_fine_input_length - 1],
    ["generation.coarse.n_coarse_codebooks", coarse.n_coarse_codebooks, 1, fine.n_fine_codebooks],
    ["generation.semantic.text_encoding_offset", semantic.text_encoding_offset,
      0, semantic.text_pad_token - 1],
  ];
  for (const [key, found, least, most] of bounds) {
    if (found >= least && found <= most) continue;
    const bound = found < least ? `at least ${least}` : `at most ${most}`;
    const expected = least === most ? least : bound;
    throw new SchemaError(`${key} is ${found}, expected ${expected}`);
  }
}
