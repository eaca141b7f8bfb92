/**
 * What the Python library says with other bundles: tests/embedding/test_javascript.py writes it, and
 * names the file in BARK_EXPECTED.
 */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Tokenizer } from "@huggingface/tokenizers";

import { Bark, encodeWav } from "../src/node.js";
import { assertClose, inCamelCase, tokensOf } from "./support/kit.js";

const FILE = process.env.BARK_EXPECTED;
const skip = FILE ? false : "BARK_EXPECTED is not set: run tests/embedding/test_javascript.py";
const expected = FILE ? JSON.parse(readFileSync(FILE, "utf-8")) : { bundles: [], tokenizers: [] };

/** @param {string} name */
const bytesOf = (name) => Uint8Array.from(readFileSync(path.join(path.dirname(String(FILE)), name)));

test("there are expected values", { skip }, () => {
  assert.notEqual(expected.bundles.length, 0);
});

for (const { name, folder, precision, tolerance, speeches, streams } of expected.bundles) {
  describe(name, () => {
    /** @type {Awaited<ReturnType<typeof Bark.load>>} */
    let bark;
    before(async () => {
      bark = await Bark.load(folder, { precision, threads: 1, onWarning: () => {} });
    });
    after(() => bark.close());

    for (const each of speeches) {
      test(`speak: ${each.name}`, async () => {
        const speech = await bark.speak(each.text, optionsOf(each));
        checkSpeech(speech, each, tolerance);
        if (each.wav) assert.deepEqual(soundOf(each.samples, speech.sampleRate), bytesOf(each.wav));
      });
    }

    for (const { name, text, segments, ...rest } of streams) {
      test(`stream: ${name}`, async () => {
        const found = [];
      for await (const speech of bark.stream(text, optionsOf(rest))) found.push(speech);
        assert.equal(found.length, segments.length);
        found.forEach((speech, index) => checkSpeech(speech, segments[index], tolerance));
      });
    }
  });
}

for (const { name, file, texts } of expected.tokenizers) {
  test(`tokenizer of ${name}`, () => {
    const tokenizer = new Tokenizer(JSON.parse(new TextDecoder().decode(bytesOf(file))), {});
    for (const { text, ids } of texts) {
      assert.deepEqual(tokenizer.encode(text, { add_special_tokens: false }).ids, ids, text);
    }
  });
}

/** @param {any} given */
function optionsOf({ seed, voice, options }) {
  return { ...inCamelCase(options), voice, seed: BigInt(seed) };
}

/**
 * @param {any} speech
 * @param {any} expected
 * @param {number} tolerance
 */
function checkSpeech(speech, expected, tolerance) {
  assert.deepEqual(tokensOf(speech), {
    semantic: expected.semantic,
    coarse: expected.coarse,
    fine: expected.fine,
  });
  assert.equal(BigInt(speech.seed), BigInt(expected.seed));
  assert.equal(speech.text, expected.text);
  assert.equal(speech.voiceName, expected.voiceName);
  assert.equal(speech.startSeconds, expected.startSeconds);
  assertClose(speech.samples, floatsOf(expected.samples), tolerance, "samples");
}

/** @param {string} name */
function floatsOf(name) {
  return new Float32Array(bytesOf(name).buffer);
}

/**
 * The wav file of Python's samples.
 * @param {string} name
 * @param {number} sampleRate
 */
function soundOf(name, sampleRate) {
  return encodeWav(floatsOf(name), sampleRate);
}
