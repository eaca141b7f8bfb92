/** Public API: generates speech for short texts, and for texts of any length. */

import { Bundle } from "./bundle/bundle.js";
import { ClosedError, OptionsError, ProviderError, shown, TextError } from "./errors.js";
import { openModels, selectPrecision } from "./inference/models.js";
import { generateSpeech } from "./inference/pipeline.js";
import { streamSegments } from "./longform/stream.js";
import {
  checkBoolean,
  GENERATION_OPTION_NAMES,
  generationOptions,
  resolveOptions,
  unknownOption,
} from "./options/generation.js";
import { checkMaxSeconds, STREAM_OPTION_NAMES, streamOptions } from "./options/stream.js";
import { resolveSeed } from "./seeds.js";
import { splitText } from "./text/segments.js";
import { TextTokenizer } from "./text/tokenizer.js";
import { VoiceLibrary } from "./voices/library.js";

/** @import { LoadOptions, SpeakOptions, StreamOptions } from "../index.d.ts" */
/** @import { GenerationOptions } from "./options/generation.js" */
/** @import { Models, Platform, Watch } from "./types.d.ts" */
/** @import { Warn } from "./text/tokenizer.js" */
/** @import { Voice } from "./voices/voice.js" */

const MAX_THREADS = 1024;
const LOAD_OPTION_NAMES = ["device", "precision", "threads", "verify", "onWarning"];
const CALL_OPTION_NAMES = ["voice", "seed", "onProgress", "signal"];

/** A loaded bundle. Calls run one after the other. */
export class Bark {
  /** @type {Promise<unknown>} */
  #last = Promise.resolve();
  /** @type {Set<Promise<unknown>>} */
  #calls = new Set(); // for which `close` waits
  #isClosed = false;
  #models;
  #warn;

  /**
   * @param {Bundle} bundle
   * @param {Models} models
   * @param {TextTokenizer} tokenizer
   * @param {string} device
   * @param {string[]} voices
   * @param {Warn} warn
   */
  constructor(bundle, models, tokenizer, device, voices, warn) {
    this.bundle = bundle;
    this.tokenizer = tokenizer;
    this.library = new VoiceLibrary(bundle);
    this.device = device;
    this.precision = models.precision;
    this.sampleRate = bundle.manifest.shapes.codec.sample_rate_hz;
    this.voices = voices;
    this.#models = models;
    this.#warn = warn;
  }

  /**
   * Load a bundle made by `bark-export`.
   * @param {Platform} platform
   * @param {string | URL} source Folder or address.
   * @param {LoadOptions} options
   */
  static async load(platform, source, options = {}) {
    checkNames(options, LOAD_OPTION_NAMES);
    const { device = platform.devices[0], precision = null, threads = null } = options;
    const { verify = true, onWarning = console.warn } = options;
    if (!platform.devices.includes(device)) {
      const expected = platform.devices.join(", ");
      throw new ProviderError(`device is ${shown(device)}, expected one of ${expected}`);
    }
    if (threads !== null && !(Number.isInteger(threads) && threads >= 1 && threads <= MAX_THREADS)) {
      throw new ProviderError(
        `threads is ${shown(threads)}, expected an integer from 1 to ${MAX_THREADS}`,
      );
    }
    checkBoolean("verify", verify);
    const bundle = await Bundle.open(platform.open(source), platform, { verify });
    const chosen = selectPrecision(bundle, device, precision);
    const tokenizer = await TextTokenizer.fromBundle(bundle);
    const runtime = await platform.startRuntime(device, threads);
    const models = await openModels(bundle, runtime, chosen);
    return new Bark(bundle, models, tokenizer, device, await bundle.voiceNames(), onWarning);
  }

  /**
   * Generate speech for one text.
   * @param {string} text Up to 256 tokens, about 13 seconds.
   * @param {SpeakOptions} options
   */
  speak(text, options = {}) {
    return this.#call(async () => {
      checkNames(options, [...CALL_OPTION_NAMES, ...GENERATION_OPTION_NAMES]);
      const { voice, seed, onProgress, signal, ...given } = options;
      const generation = generationOptions(given);
      const loaded = await this.voice(voice);
      return this.#speak(text, loaded, resolveSeed(seed), generation, { onProgress, signal });
    });
  }

  /**
   * Generate speech for a text of any length, segment by segment.
   * @param {string | string[]} text A text, or one that is split already.
   * @param {StreamOptions} options
   */
  async *stream(text, options = {}) {
    checkNames(options, [...CALL_OPTION_NAMES, ...GENERATION_OPTION_NAMES, ...STREAM_OPTION_NAMES]);
    const { voice, seed, onProgress, signal, ...rest } = options;
    const entries = Object.entries(rest).filter(([, value]) => value !== undefined);
    const isOfStream = (/** @type {[string, any]} */ [name]) => STREAM_OPTION_NAMES.includes(name);
    const stream = streamOptions(Object.fromEntries(entries.filter(isOfStream)));
    const others = entries.filter((entry) => !isOfStream(entry));
    const generation = generationOptions(Object.fromEntries(others));
    const { semanticMaxNewTokens } = this.#resolve(generation);
    yield* streamSegments({
      segments: this.segments(text, stream.maxSeconds),
      voice: await this.voice(voice),
      seed: resolveSeed(seed),
      generation: { ...generation, semanticMaxNewTokens },
      stream,
      semanticRateHz: this.bundle.manifest.generation.semantic.semantic_rate_hz,
      warn: this.#warn,
      speak: (segment, voice, seed, options) =>
        this.#call(async () => this.#speak(segment, voice, seed, options, { onProgress, signal })),
    });
  }

  /**
   * The segments that `stream` generates.
   * @param {string | string[]} text
   * @param {number | null} maxSeconds
   */
  segments(text, maxSeconds = null) {
    checkMaxSeconds(maxSeconds);
    const { generation } = this.bundle.manifest;
    const tokensPerSecond = generation.text_tokens_per_second;
    const count = (/** @type {string} */ part) => this.tokenizer.count(part);
    if (Array.isArray(text)) {
      if (!text.length) throw new TextError("The text has no segments; expected at least one");
      return text.map((part) => ({ text: part, seconds: count(part) / tokensPerSecond }));
    }
    return splitText(text, count, {
      maxTokens: generation.semantic.max_input_semantic_length,
      maxSeconds: maxSeconds ?? generation.segment_seconds,
      tokensPerSecond,
    });
  }

  /**
   * The voice that `speak` uses for a value of `voice`, loaded and checked.
   * @param {SpeakOptions["voice"]} voice
   */
  voice(voice) {
    return this.library.load(voice);
  }

  /**
   * Number of tokens of a text of any length.
   * @param {string} text
   */
  countTokens(text) {
    return this.tokenizer.count(text);
  }

  /** Free the models, after the calls that run. */
  async close() {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await Promise.allSettled(this.#calls);
    await this.#models.release();
  }

  /**
   * @template Result
   * @param {() => Promise<Result>} run
   */
  async #call(run) {
    if (this.#isClosed) {
      throw new ClosedError("The bundle was closed; load it again to generate more speech");
    }
    const call = run();
    this.#calls.add(call);
    try {
      return await call;
    } finally {
      this.#calls.delete(call);
    }
  }

  /** @param {GenerationOptions} generation */
  #resolve(generation) {
    const { generation: settings, shapes } = this.bundle.manifest;
    return resolveOptions(generation, settings, shapes.semantic);
  }

  /**
   * @param {string} text
   * @param {Voice | null} voice
   * @param {number | bigint} seed
   * @param {GenerationOptions} generation
   * @param {Watch} watch
   */
  #speak(text, voice, seed, generation, watch) {
    const options = this.#resolve(generation);
    const textIds = this.tokenizer.encode(text, this.#warn);
    const request = { text, textIds, voice, seed, options };
    const run = () => generateSpeech(request, this.bundle.manifest, this.#models, watch);
    const speech = this.#last.then(run, run);
    this.#last = speech;
    return speech;
  }
}

/**
 * @param {object} options
 * @param {string[]} expected
 */
function checkNames(options, expected) {
  if (typeof options !== "object" || options === null) {
    throw new OptionsError(`options is ${shown(options)}, expected an object`);
  }
  const unknown = Object.keys(options).find((name) => !expected.includes(name));
  if (unknown !== undefined) throw unknownOption(unknown, expected);
}
