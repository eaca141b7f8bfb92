/** Types that modules share. The public ones are in `index.d.ts`. */

import type { InferenceSession, Tensor, TypedTensor } from "onnxruntime-common";
import type { OnProgress } from "../index.d.ts";

export type Stage = "semantic" | "coarse" | "fine" | "codec";
export type CausalStage = "semantic" | "coarse";

export interface Sampling {
  do_sample: boolean;
  temperature: number;
  top_k: number;
  top_p: number;
}

export interface FineSampling {
  doSample: boolean;
  temperature: number;
}

export interface SemanticSettings {
  sampling: Sampling;
  max_new_tokens: number;
  text_encoding_offset: number;
  text_pad_token: number;
  semantic_pad_token: number;
  semantic_infer_token: number;
  semantic_vocab_size: number;
  max_input_semantic_length: number;
  semantic_rate_hz: number;
}

export interface CoarseSettings {
  sampling: Sampling;
  coarse_semantic_pad_token: number;
  coarse_infer_token: number;
  coarse_rate_hz: number;
  n_coarse_codebooks: number;
  max_coarse_input_length: number;
  max_coarse_history: number;
  sliding_window_len: number;
}

export interface FineSettings {
  temperature: number;
  max_fine_history_length: number;
  max_fine_input_length: number;
  n_fine_codebooks: number;
}

export interface GenerationSettings {
  semantic: SemanticSettings;
  coarse: CoarseSettings;
  fine: FineSettings;
  codebook_size: number;
  sample_rate_hz: number;
  text_tokens_per_second: number;
  segment_seconds: number;
}

export interface CausalShape {
  num_layers: number;
  num_heads: number;
  head_size: number;
  context_length: number;
  input_vocabulary: number;
  first_logit_id: number;
  num_logits: number;
}

export interface ModelShapes {
  semantic: CausalShape;
  coarse: CausalShape;
  fine: { context_length: number; num_codebooks: number; num_logits: number };
  codec: { num_codebooks: number; samples_per_frame: number; sample_rate_hz: number };
}

export interface FileRecord {
  size: number;
  sha256: string;
}

/** Contents of bark.json, as far as generation reads them. */
export interface Manifest {
  source: string;
  attention: "fused" | "standard";
  precisions: string[];
  shapes: ModelShapes;
  generation: GenerationSettings;
  files: Record<string, FileRecord>;
  contract_version: number;
}

/** Generation settings, complete. */
export interface ResolvedOptions {
  semantic: Sampling;
  semanticMaxNewTokens: number;
  minEosP: number | null;
  minEosPWarped: boolean;
  coarse: Sampling;
  fine: FineSampling;
}

/** Tokens to run after the first `past` cached tokens of a sequence. */
export interface StepInput {
  ids: number[];
  past: number; // cached tokens that stay valid
  history?: number[]; // ids whose embeddings are added to those of `ids`
}

/** Runs tokens of a causal stage; the logits after the last one. */
export type RunStep = (step: StepInput) => Promise<Float32Array>;

/** Runs one codebook of one window; logits of the frames from `begin` to before `end`. */
export type RunFine = (
  codes: number[][],
  codebook: number,
  begin: number,
  end: number,
) => Promise<Float32Array>;

/** A causal transformer with a cache for one sequence. */
export interface Decoder {
  reset(): void;
  run: RunStep;
}

/** What opens the four stages. */
export interface Models {
  precision: string;
  semantic: Decoder;
  coarse: Decoder;
  runFine: RunFine;
  runCodec(codes: number[][]): Promise<Float32Array>;
  release(): Promise<void>;
}

export interface TensorContract {
  name: string;
  dtype: string;
  shape: (number | null)[]; // null: an axis of variable length
}

export interface GraphContract {
  inputs: TensorContract[];
  outputs: TensorContract[];
}

/** Sessions of one causal stage. */
export interface CausalSessions {
  prefill: InferenceSession; // runs several tokens
  decode: InferenceSession; // runs one token; may be the same session
  shape: CausalShape;
  dtype: string; // of the cache
  hasHistory: boolean;
  bufferLength: number | null; // length of the cache that the graph fixes; null: free
}

/** Files of a bundle, in a folder or at an address. */
export interface Source {
  where(name: string): string; // for messages
  size(name: string): Promise<number> | null; // null: only known after reading
  read(name: string): Promise<Uint8Array<ArrayBuffer>>;
  sha256(name: string): Promise<string>;
  path(name: string): string | null; // null: graphs are opened from bytes
  voiceNames(): Promise<string[]> | null; // null: a listing is not available
}

/** ONNX Runtime and what differs between its builds. */
export interface Runtime {
  ort: Ort;
  device: string;
  options: InferenceSession.SessionOptions;
  writesInPlace: boolean; // a tensor that is both feed and fetch is written in place
}

export interface Ort {
  InferenceSession: typeof InferenceSession;
  Tensor: typeof Tensor;
}

/** What differs between Node and browsers. */
export interface Platform {
  devices: string[]; // the default first
  open(source: string | URL): Source;
  readVoice(path: string): Promise<Uint8Array<ArrayBuffer>>;
  startRuntime(device: string, threads: number | null): Promise<Runtime>;
  sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string>;
}

/** Progress of a call, and its end before time. */
export interface Watch {
  onProgress?: OnProgress;
  signal?: AbortSignal;
}

export type CacheTensor = TypedTensor<"float32"> | TypedTensor<"float16">;
