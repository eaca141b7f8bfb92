/** Decoders of the cache against a scripted graph, which adds each id to the cache it is given. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { DynamicCacheDecoder } from "../src/inference/decoders/dynamic_cache.js";
import { StaticCacheDecoder } from "../src/inference/decoders/static_cache.js";

const HEADS = 2;
const SIZE = 3;
const SHAPE = { num_layers: 1, num_heads: HEADS, head_size: SIZE, context_length: 700, input_vocabulary: 99 };

class Tensor {
  location = "cpu";

  /**
   * @param {string} type
   * @param {any} data
   * @param {number[]} dims
   */
  constructor(type, data, dims) {
    Object.assign(this, { type, data: Array.isArray(data) ? Int32Array.from(data) : data, dims });
  }

  async getData() {
    return /** @type {any} */ (this).data;
  }
}

/** A graph: writes each id to its place in the cache, and records the lengths it was given. */
class ScriptedSession {
  /** @type {number[]} */
  lengths = [];
  /** @type {number[]} */
  runs = [];

  /**
   * @param {Record<string, any>} feeds
   * @param {Record<string, any>} [fetches]
   */
  async run(feeds, fetches) {
    const past = feeds["past_key_values.0.key"];
    const positions = [...feeds.position_ids.data].map(Number);
    this.lengths.push(past.dims[2]);
    this.runs.push(positions.length);
    /** @type {Record<string, any>} */
    const results = { logits: { data: Float32Array.of(positions.at(-1) ?? -1) } };
    for (const part of ["key", "value"]) {
      const given = feeds[`past_key_values.0.${part}`];
      const isStatic = "seqlens_k" in feeds;
      const length = isStatic ? given.dims[2] : given.dims[2] + positions.length;
      const out = fetches?.[`present.0.${part}`] ?? new Tensor("float32", new Float32Array(HEADS * length * SIZE), [1, HEADS, length, SIZE]);
      for (let head = 0; head < HEADS; head += 1) {
        for (let place = 0; place < given.dims[2]; place += 1) {
          const from = (head * given.dims[2] + place) * SIZE;
          out.data.set(given.data.slice(from, from + SIZE), (head * length + place) * SIZE);
        }
        positions.forEach((place, index) => {
          const value = Number(feeds.input_ids.data[index]) + head / 10;
          out.data.fill(value, (head * length + place) * SIZE, (head * length + place + 1) * SIZE);
        });
      }
      results[`present.0.${part}`] = out;
    }
    this.last = results["present.0.key"];
    return results;
  }

  /**
   * Ids of the first places in the cache of a head.
   * @param {number} count
   * @param {number} head
   */
  ids(count, head) {
    const { data, dims } = /** @type {any} */ (this.last);
    return Array.from({ length: count }, (_, place) => data[(head * dims[2] + place) * SIZE]);
  }
}

/**
 * @param {any} Kind
 * @param {{bufferLength: number | null, writesInPlace: boolean}} given
 */
function makeDecoder(Kind, { bufferLength, writesInPlace }) {
  const session = new ScriptedSession();
  const sessions = { prefill: session, decode: session, shape: SHAPE, dtype: "float32", hasHistory: false, bufferLength };
  return { session, decoder: new Kind({ ort: { Tensor }, writesInPlace }, sessions) };
}

/**
 * Run ids in steps: a prompt, single tokens, a window that slides back.
 * @param {any} decoder
 * @param {ScriptedSession} session
 */
async function checkSequence(decoder, session) {
  const ids = Array.from({ length: 520 }, (_, index) => index + 1);
  await decoder.run({ ids: ids.slice(0, 250), past: 0 });
  for (let past = 250; past < 260; past += 1) {
    const logits = await decoder.run({ ids: [ids[past]], past });
    assert.equal(logits[0], past);
  }
  await decoder.run({ ids: ids.slice(260), past: 260 });
  assert.deepEqual(session.ids(520, 0), ids);
  assert.deepEqual(session.ids(520, 1), ids.map((id) => Math.fround(id + 0.1)));
  await decoder.run({ ids: [7, 8], past: 100 });
  assert.deepEqual(session.ids(102, 0), [...ids.slice(0, 100), 7, 8]);
}

for (const writesInPlace of [true, false]) {
  const how = writesInPlace ? "in place" : "by copy";

  test(`a cache of fixed length has it at every run, ${how}`, async () => {
    const { session, decoder } = makeDecoder(StaticCacheDecoder, { bufferLength: 700, writesInPlace });
    await checkSequence(decoder, session);
    assert.deepEqual(new Set(session.lengths), new Set([700]));
  });

  test(`a cache of free length begins with 256 places and grows by as many, ${how}`, async () => {
    const { session, decoder } = makeDecoder(StaticCacheDecoder, { bufferLength: null, writesInPlace });
    await checkSequence(decoder, session);
    assert.deepEqual([...new Set(session.lengths)], [256, 512, 700]);
    decoder.reset();
    await decoder.run({ ids: [5], past: 0 });
    assert.equal(session.lengths.at(-1), 256);
    assert.deepEqual(session.ids(1, 0), [5]);
  });
}

test("a long prefill of a static cache runs in parts of nearly equal length", async () => {
  const { session, decoder } = makeDecoder(StaticCacheDecoder, { bufferLength: 700, writesInPlace: true });
  await decoder.run({ ids: new Array(301).fill(1), past: 0 });
  assert.deepEqual(session.runs, [150, 151]);
});

test("a dynamic cache has the length of its sequence", async () => {
  const { session, decoder } = makeDecoder(DynamicCacheDecoder, { bufferLength: null, writesInPlace: false });
  await checkSequence(decoder, session);
  assert.equal(session.lengths[0], 0);
  assert.equal(session.lengths.at(-1), 100);
});
