/** The conformance kit of the demo: tables, graphs, and texts from the ids to the samples. */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { Bundle } from "../src/bundle/bundle.js";
import { bufferLength, graphContract, pastNames, presentNames } from "../src/bundle/contract.js";
import { coarseLength } from "../src/inference/coarse.js";
import {
  sampleAtTemperature,
  sampleToken,
  tokenDistribution,
} from "../src/inference/sampling.js";
import { semanticPrompt } from "../src/inference/semantic.js";
import { openSession } from "../src/inference/sessions.js";
import { Bark } from "../src/node.js";
import { nodePlatform } from "../src/platform/node.js";
import { Generator, SeedSequence } from "../src/random.js";
import { roundHalfToEven } from "../src/rounding.js";
import { segmentSeed } from "../src/seeds.js";
import { assertClose, DEMO, DEMO_KIT, inCamelCase, Kit, tokensOf } from "./support/kit.js";

const EXTRA_PLACES = 5; // of a cache whose length is free, beyond those that a run needs

const kit = new Kit(DEMO_KIT);
describe("tables", () => testTables(kit));
for (const precision of kit.tables.precisions) {
  const bundle = precision === "int8" ? DEMO : process.env.BARK_DEMO;
  const skip = bundle ? false : `BARK_DEMO is not set: a bundle of the demo in ${precision}`;
  describe(`graphs in ${precision}`, { skip }, () => testGraphs(kit, String(bundle), precision));
  describe(`texts in ${precision}`, { skip }, () => testTexts(kit, String(bundle), precision));
}

/** @param {Kit} kit */
function testTables({ tables }) {
  test("random numbers are numpy's", () => {
    for (const { seed, state, outputs, uniforms } of tables.random) {
      const words = new SeedSequence(BigInt(seed)).generateState(4);
      assert.deepEqual(words.map((word) => word.toString(16).padStart(16, "0")), state);
      const rng = new Generator(BigInt(seed));
      assert.deepEqual(uniforms.map(() => rng.random()), uniforms);
      const other = new Generator(BigInt(seed)); // has the upper 53 bits of each output
      for (const output of outputs) {
        assert.equal(BigInt(other.random() * 2 ** 53), BigInt(`0x${output}`) >> 11n);
      }
    }
  });

  test("segments have the seeds of the Python library", () => {
    for (const { seed, index, attempt, segment_seed: expected } of tables.segment_seeds) {
      assert.equal(String(segmentSeed(BigInt(seed), index, attempt)), expected);
    }
  });

  test("numbers of coarse tokens and positions of windows are rounded as in Python", () => {
    for (const rounding of tables.rounding) {
      const settings = /** @type {any} */ ({ semantic: rounding, coarse: rounding });
      for (const [semantic, expected] of rounding.coarse_tokens) {
        assert.equal(coarseLength(semantic, settings), expected);
      }
      const framesPerToken = rounding.coarse_rate_hz / rounding.semantic_rate_hz;
      const ratio = framesPerToken * rounding.n_coarse_codebooks;
      for (const [generated, expected] of rounding.window_positions) {
        assert.equal(roundHalfToEven(generated / ratio), expected);
      }
    }
  });

  test("tokens are drawn as in Python", () => {
    for (const row of tables.sampling.tokens) {
      const { temperature, top_k, top_p } = row;
      const sampling = { do_sample: true, temperature, top_k, top_p };
      const logits = Float32Array.from(row.logits);
      const { indices, probabilities } = tokenDistribution(logits, sampling);
      assert.deepEqual(indices, row.kept);
      assertClose(probabilities, row.probabilities, 1e-12, "probabilities");
      const rng = new Generator(BigInt(row.seed));
      assert.deepEqual(row.indices.map(() => sampleToken(logits, sampling, rng)), row.indices);
    }
    for (const { logits, temperature, seed, indices } of tables.sampling.codes) {
      const rng = new Generator(BigInt(seed));
      const row = Float32Array.from(logits);
      assert.deepEqual(indices.map(() => sampleAtTemperature(row, temperature, rng)), indices);
    }
  });
}

/**
 * @param {Kit} kit
 * @param {string} folder
 * @param {string} precision
 */
function testGraphs(kit, folder, precision) {
  for (const run of kit.json(`${precision}/graphs.json`).runs) {
    test(run.name, async () => {
      const bundle = await Bundle.open(nodePlatform.open(folder), nodePlatform, { verify: false });
      const runtime = await nodePlatform.startRuntime("cpu", 1);
      const stage = run.graph.split(/[/.]/)[1];
      const contract = graphContract(stage, bundle.manifest, precision);
      const where = bundle.source.where(run.graph);
      const files = { where, model: where, externalData: [] };
      const session = await openSession(runtime, files, contract);
      /** @type {Record<string, any>} */
      const feeds = {};
      for (const input of run.inputs) {
        feeds[input.name] = new runtime.ort.Tensor(input.dtype, kit.elements(input), input.shape);
      }
      const isCausal = Boolean(run.cache_after);
      const shape = bundle.manifest.shapes[/** @type {"semantic"} */ (stage)];
      if (isCausal) Object.assign(feeds, cacheOf(kit, run, bundle.manifest, shape, runtime.ort.Tensor));
      const results = await session.run(feeds);
      for (const output of run.outputs) {
        const found = /** @type {Float32Array} */ (results[output.name].data);
        assertClose(found, kit.elements(output), output.tolerance, output.name);
      }
      if (isCausal) checkCache(kit, run, presentNames(shape).map((name) => results[name]));
      await session.release();
    });
  }
}

/**
 * The cache before a run, in buffers as the graph wants them.
 * @param {Kit} kit
 * @param {any} run
 * @param {any} manifest
 * @param {any} shape
 * @param {any} Tensor
 */
function cacheOf(kit, run, manifest, shape, Tensor) {
  const { num_heads: heads, head_size: size } = shape;
  const before = run.cache_before?.shape[3] ?? 0;
  const isFused = manifest.attention === "fused";
  const free = run.cache_after.shape[3] + EXTRA_PLACES;
  const length = isFused ? (bufferLength(manifest, shape) ?? free) : before;
  const cached = run.cache_before ? kit.elements(run.cache_before) : new Float32Array();
  const entries = pastNames(shape).map((name, part) => {
    const data = new Float32Array(heads * length * size).fill(isFused ? 7 : 0); // 7: never read
    for (let head = 0; head < heads; head += 1) {
      const begin = (part * heads + head) * before * size;
      data.set(cached.subarray(begin, begin + before * size), head * length * size);
    }
    return [name, new Tensor("float32", data, [1, heads, length, size])];
  });
  return Object.fromEntries(entries);
}

/**
 * @param {Kit} kit
 * @param {any} run
 * @param {any[]} present
 */
function checkCache(kit, { cache_after: after }, present) {
  const [, , heads, tokens, size] = after.shape;
  const expected = kit.elements(after);
  present.forEach((tensor, part) => {
    const length = tensor.dims[2];
    for (let head = 0; head < heads; head += 1) {
      const begin = (part * heads + head) * tokens * size;
      const found = tensor.data.subarray(head * length * size, (head * length + tokens) * size);
      assertClose(found, expected.subarray(begin, begin + tokens * size), after.tolerance, "cache");
    }
  });
}

/**
 * @param {Kit} kit
 * @param {string} folder
 * @param {string} precision
 */
function testTexts(kit, folder, precision) {
  /** @type {Awaited<ReturnType<typeof Bark.load>>} */
  let bark;
  before(async () => {
    bark = await Bark.load(folder, { precision, threads: 1, onWarning: () => {} });
  });
  after(() => bark.close());

  test("texts have the ids of Python's tokenizer", () => {
    for (const { text, ids } of kit.tables.texts) {
      const found = bark.tokenizer.tokenizer.encode(text, { add_special_tokens: false }).ids;
      assert.deepEqual(found, ids, text);
    }
  });

  for (const each of kit.json(`${precision}/cases.json`).cases) {
    test(each.name, async () => {
      const { generation, shapes } = bark.bundle.manifest;
      const voice = await bark.voice(voiceOf(kit, each.voice));
      const ids = bark.tokenizer.encode(each.text, () => {});
      assert.deepEqual(ids, each.text_ids);
      const prompt = semanticPrompt(ids, voice, generation.semantic, shapes.semantic);
      assert.deepEqual(prompt.ids, each.prompt.input_ids);
      assert.deepEqual(prompt.history, each.prompt.history_ids);
      const options = { ...inCamelCase(each.options), voice, seed: BigInt(each.seed) };
      const speech = await bark.speak(each.text, options);
      assert.deepEqual(tokensOf(speech), {
        semantic: each.semantic_tokens,
        coarse: each.coarse_tokens,
        fine: each.fine_tokens,
      });
      checkSamples(kit, each.samples, speech);
    });
  }
}

/**
 * A voice of the bundle by name, that of the kit by its tokens.
 * @param {Kit} kit
 * @param {string | null} name
 */
function voiceOf(kit, name) {
  const own = name === "kit" && kit.tables.voices.find((/** @type {any} */ each) => each.name === name);
  return own ? /** @type {any} */ (inCamelCase(own)) : name;
}

/**
 * @param {Kit} kit
 * @param {any} expected
 * @param {{samples: Float32Array, sampleRate: number}} speech
 */
function checkSamples(kit, expected, { samples, sampleRate }) {
  const { tolerance, step } = expected;
  assert.equal(sampleRate, expected.sample_rate_hz);
  assert.equal(samples.length, expected.count);
  assertClose(samples.subarray(0, expected.first.length), expected.first, tolerance, "first");
  assertClose(samples.slice(-expected.last.length), expected.last, tolerance, "last");
  const every = samples.filter((_, index) => index % step === 0);
  assertClose(every, kit.elements(expected.every_step), tolerance, "every step-th sample");
}
