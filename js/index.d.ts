/** bark-onnx: Bark text-to-speech on ONNX Runtime, for Node and the browser. */

/**
 * Called after each run of a stage with the runs done and the most that are expected. A promise that it
 * returns delays the next run, so that a page can be drawn in between.
 */
export type OnProgress = (
  stage: "semantic" | "coarse" | "fine" | "codec",
  done: number,
  total: number,
) => unknown;

export interface LoadOptions {
  /** Node: "cpu" (default) or "webgpu". Browser: "wasm" (default) or "webgpu". */
  device?: string;
  /** Precision of the graphs; by default the fastest of the bundle on the device. */
  precision?: string | null;
  /** Threads of each stage. In browsers, only of the page's first load, and if it is isolated. */
  threads?: number | null;
  /** Whether checksums are compared with bark.json; by default true. */
  verify?: boolean;
  /** Receives warnings; by default console.warn. */
  onWarning?: (message: string) => void;
}

/** Tokens of earlier speech, which new speech continues. */
export interface VoiceTokens {
  semanticPrompt: ArrayLike<number>;
  /** By codebook. */
  coarsePrompt: Iterable<ArrayLike<number>>;
  /** By codebook. */
  finePrompt: Iterable<ArrayLike<number>>;
}

/**
 * A name in the bundle, a language such as "german" or "de-3", the path or address of an .npz file,
 * its contents, or tokens. Without one, the model chooses.
 */
export type VoiceLike = string | Uint8Array | ArrayBuffer | VoiceTokens | null | undefined;

/** Settings named as in `BarkModel.generate` of transformers; null takes the checkpoint's. */
export interface GenerationOptions {
  /** Defaults of the other options: "transformers" (default), "suno" or "greedy". */
  sampling?: "transformers" | "suno" | "greedy";
  /** Take the most probable token in every stage, as sampling: "greedy". */
  greedy?: boolean;
  /** Of the semantic and the coarse stage. */
  doSample?: boolean | null;
  /** Of all stages. */
  temperature?: number | null;
  topK?: number | null;
  topP?: number | null;
  semanticDoSample?: boolean | null;
  /** More than 0; lower is more predictable. */
  semanticTemperature?: number | null;
  /** Sample from this many tokens; 0: from all. */
  semanticTopK?: number | null;
  /** Sample from the likeliest with this share. */
  semanticTopP?: number | null;
  /** About 50 a second. */
  semanticMaxNewTokens?: number | null;
  /** End once its probability exceeds this. */
  minEosP?: number | null;
  /** Another name of minEosP. */
  semanticMinEosP?: number | null;
  /** Compare minEosP with the probability after temperature, topK and topP, as Suno's code does. */
  minEosPWarped?: boolean | null;
  coarseDoSample?: boolean | null;
  coarseTemperature?: number | null;
  coarseTopK?: number | null;
  coarseTopP?: number | null;
  /** 1: greedy; other values: sampled. */
  fineTemperature?: number | null;
  fineDoSample?: boolean | null;
}

export interface SpeakOptions extends GenerationOptions {
  voice?: VoiceLike;
  /** Determines the speech; above 2^53 as a BigInt. By default one is drawn. */
  seed?: number | bigint | null;
  onProgress?: OnProgress;
  /** Ends the call before the next run of a stage, with the signal's reason. */
  signal?: AbortSignal;
}

export interface StreamOptions extends SpeakOptions {
  /** Length of a segment, estimated; by default the checkpoint's, 13. */
  maxSeconds?: number | null;
  /** What a segment continues: "voice" (default), "previous" or "first". */
  history?: "voice" | "previous" | "first";
  /** Between segments; by default 0.25, or 0 with a cross-fade. */
  silenceSeconds?: number;
  /** Overlap of two segments. */
  crossfadeSeconds?: number;
  /** Tries per segment until one is not silent, clipped or too long. */
  attempts?: number;
  /** Cut silence off both ends of each segment. */
  trim?: boolean;
  /** End a segment when its end is likely, or it is far too long. */
  limitDuration?: boolean;
  /** Level of the loudest sample, at most 1; by default unchanged. */
  normalizePeak?: number | null;
}

/** Generated speech: samples, and the tokens behind them. */
export interface Speech {
  /** Full scale is 1; loud samples may go beyond, and are clipped in files. */
  readonly samples: Float32Array;
  /** In Hz. */
  readonly sampleRate: number;
  readonly seconds: number;
  readonly seed: number | bigint;
  readonly semanticTokens: Int32Array;
  /** Codes of the first codebooks, by codebook. */
  readonly coarseTokens: Int32Array[];
  /** Codes of all codebooks, by codebook. */
  readonly fineTokens: Int32Array[];
  readonly text: string;
  /** Empty without a voice. */
  readonly voiceName: string;
  /** Start in a long text. */
  readonly startSeconds: number;
  /** The speech as the contents of a wav file. */
  toWav(): Uint8Array<ArrayBuffer>;
  /** The speech as a voice that other speech can continue. */
  toVoice(name?: string): Voice;
}

/** A part of a long text; its length is estimated. */
export interface Segment {
  text: string;
  seconds: number;
}

/** A loaded bundle. Calls run one after the other. */
export interface Bark {
  readonly device: string;
  readonly precision: string;
  /** In Hz. */
  readonly sampleRate: number;
  /** Names of the bundle's voices. */
  readonly voices: string[];
  /** Generate speech for one text of up to 256 tokens, about 13 seconds. */
  speak(text: string, options?: SpeakOptions): Promise<Speech>;
  /** Generate speech for a text of any length, or for one that is split already. */
  stream(text: string | string[], options?: StreamOptions): AsyncGenerator<Speech, void, undefined>;
  /** The segments that `stream` generates. */
  segments(text: string | string[], maxSeconds?: number | null): Segment[];
  /** The voice that `speak` uses for a value of `voice`, loaded and checked. */
  voice(voice: VoiceLike): Promise<Voice | null>;
  /** Number of tokens of a text of any length. */
  countTokens(text: string): number;
  /** Free the models, after the calls that run. */
  close(): Promise<void>;
}

export declare const Bark: {
  /** Load a bundle made by `bark-export`: its folder (Node), or the address of its folder. */
  load(source: string | URL, options?: LoadOptions): Promise<Bark>;
};

export declare class Voice implements VoiceTokens {
  constructor(tokens: VoiceTokens, name?: string);
  readonly name: string;
  readonly semanticPrompt: number[];
  readonly coarsePrompt: number[][];
  readonly finePrompt: number[][];
  /** Read the contents of an .npz file. */
  static read(bytes: Uint8Array, name?: string): Promise<Voice>;
}

/** Samples of all segments of a text, each at its place. */
export declare function joinSpeeches(speeches: Speech[]): {
  samples: Float32Array;
  sampleRate: number;
};

/** Contents of a wav file with signed 16-bit integers. */
export declare function encodeWav(samples: Float32Array, sampleRate: number): Uint8Array<ArrayBuffer>;

/** Root of all errors for causes outside of bark-onnx. */
export declare class BarkError extends Error {}
/** A bundle is incomplete, damaged, or from another version. */
export declare class BundleError extends BarkError {}
/** Inputs and outputs of a graph do not match its contract. */
export declare class ContractError extends BundleError {}
/** ONNX Runtime is missing or does not support the request. */
export declare class ProviderError extends BarkError {}
/** An option is out of range. */
export declare class OptionsError extends BarkError {}
/** A text cannot be spoken. */
export declare class TextError extends BarkError {}
/** A voice is unknown or malformed. */
export declare class VoiceError extends BarkError {}
/** Generation failed after its start. */
export declare class EngineError extends BarkError {}
/** The bundle was closed. */
export declare class ClosedError extends EngineError {}
