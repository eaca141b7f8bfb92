/** Speech of the demo: options, voices, seeds, progress, aborts, streams and files. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";

import { Bark, encodeWav, joinSpeeches, Voice } from "../src/node.js";
import { DEMO, tokensOf } from "./support/kit.js";

const TEXT = "Hello! The weather is warm and sunny today.";
const VOICE = "v2/en_speaker_1";
const FEW = { semanticMaxNewTokens: 6, seed: 1 };

/** @type {Awaited<ReturnType<typeof Bark.load>>} */
let bark;
/** @type {string[]} */
let warnings = [];

before(async () => {
  bark = await Bark.load(DEMO, { threads: 1, onWarning: (message) => warnings.push(message) });
});
after(() => bark.close());

/**
 * @param {() => Promise<unknown>} run
 * @param {string} name
 * @param {RegExp} message
 */
const refuses = (run, name, message) => assert.rejects(run, { name, message });

test("a loaded bundle describes itself", () => {
  assert.equal(bark.device, "cpu");
  assert.equal(bark.precision, "int8");
  assert.equal(bark.sampleRate, 24_000);
  assert.deepEqual(bark.voices, ["v2/en_speaker_0", VOICE]);
  assert.ok(bark.countTokens(TEXT) > 20);
});

test("a speech has samples, and tokens of all stages", async () => {
  const speech = await bark.speak(TEXT, { ...FEW, voice: VOICE });
  assert.equal(speech.sampleRate, 24_000);
  assert.equal(speech.seed, 1);
  assert.equal(speech.text, TEXT);
  assert.equal(speech.voiceName, VOICE);
  assert.equal(speech.semanticTokens.length, 6);
  assert.equal(speech.coarseTokens.length, 2);
  assert.equal(speech.fineTokens.length, 8);
  const frames = speech.fineTokens[0].length;
  assert.equal(speech.samples.length, frames * 320);
  assert.equal(speech.seconds, (frames * 320) / 24_000);
  assert.deepEqual(speech.fineTokens.slice(0, 2), speech.coarseTokens);
});

test("a seed repeats a speech, and another one changes it", async () => {
  const options = { semanticMaxNewTokens: 12, temperature: 1.5, topK: 0 };
  const first = await bark.speak(TEXT, { ...options, seed: 5 });
  const again = await bark.speak(TEXT, { ...options, seed: 5n });
  const other = await bark.speak(TEXT, { ...options, seed: 6 });
  assert.deepEqual(tokensOf(first), tokensOf(again));
  assert.deepEqual(first.samples, again.samples);
  assert.notDeepEqual(tokensOf(first), tokensOf(other));
});

test("without a seed, one is drawn and repeats the speech", async () => {
  const drawn = await bark.speak(TEXT, { semanticMaxNewTokens: 6 });
  const again = await bark.speak(TEXT, { semanticMaxNewTokens: 6, seed: drawn.seed });
  assert.deepEqual(tokensOf(drawn), tokensOf(again));
});

test("a seed that is not an integer from 0 is refused", async () => {
  for (const seed of [-1, 1.5, 2 ** 53, "1", -1n]) {
    const options = { ...FEW, seed: /** @type {any} */ (seed) };
    await refuses(() => bark.speak(TEXT, options), "OptionsError", /seed is .+, expected an integer/);
  }
});

test("a voice is a name, a language, a file, its contents, or tokens", async () => {
  const file = path.join(DEMO, "voices", "v2", "en_speaker_1.npz");
  const bytes = Uint8Array.from(readFileSync(file));
  const loaded = /** @type {Voice} */ (await bark.voice(VOICE));
  const { semanticPrompt, coarsePrompt, finePrompt } = loaded;
  const all = [
    VOICE, "english-1", "English 1", file, bytes, bytes.buffer, loaded,
    { semanticPrompt, coarsePrompt, finePrompt },
    {
      semanticPrompt: Int32Array.from(semanticPrompt),
      coarsePrompt: coarsePrompt.map((codes) => Int16Array.from(codes)),
      finePrompt,
    },
  ];
  for (const each of all) {
    const voice = await bark.voice(each);
    assert.deepEqual(voice?.semanticPrompt, semanticPrompt);
    assert.deepEqual(voice?.finePrompt, finePrompt);
  }
  assert.equal(await bark.voice(null), null);
});

test("a speech continues as a voice", async () => {
  const speech = await bark.speak(TEXT, FEW);
  const next = await bark.speak(TEXT, { ...FEW, voice: speech.toVoice("mine") });
  assert.equal(next.voiceName, "mine");
});

test("voices that are unknown or damaged are refused", async () => {
  const file = path.join(DEMO, "voices", "v2", "en_speaker_1.npz");
  const damaged = Uint8Array.from(readFileSync(file));
  damaged[200] ^= 255;
  /** @type {[any, RegExp][]} */
  const cases = [
    ["v2/en_speaker_9", /"v2\/en_speaker_9" not found; the bundle has v2\/en_speaker_0, v2/],
    ["german", /the bundle has no German voice, only English \(en\)/],
    ["../../etc/passwd", /expected a name such as v2\/en_speaker_6/],
    ["nowhere.npz", /nowhere.npz: no such file/],
    [new Uint8Array(10), /not a voice: it is not an .npz file/],
    [damaged, /not a voice/],
    [5, /voice is 5; expected a name/],
  ];
  for (const [voice, message] of cases) {
    await refuses(() => bark.speak(TEXT, { ...FEW, voice }), "VoiceError", message);
  }
});

test("voices that do not fit the checkpoint are refused", async () => {
  const { semanticPrompt, coarsePrompt, finePrompt } = /** @type {Voice} */ (await bark.voice(VOICE));
  /** @type {[any, RegExp][]} */
  const cases = [
    [{ semanticPrompt: [9999], coarsePrompt, finePrompt }, /semanticPrompt holds 9999, expected values below 774/],
    [{ semanticPrompt, coarsePrompt: coarsePrompt.slice(1), finePrompt }, /coarsePrompt has 1 codebooks, expected 2/],
    [{ semanticPrompt, coarsePrompt, finePrompt: finePrompt.map((codes) => codes.slice(1)) }, /expected the same number/],
    [{ semanticPrompt: [1.5], coarsePrompt, finePrompt }, /holds 1.5, expected integers from 0/],
    [{ semanticPrompt: [], coarsePrompt, finePrompt }, /semanticPrompt is not an array/],
  ];
  for (const [voice, message] of cases) {
    await refuses(() => bark.speak(TEXT, { ...FEW, voice }), "VoiceError", message);
  }
});

test("options that are unknown or out of range are refused", async () => {
  /** @type {[any, RegExp][]} */
  const cases = [
    [{ tempreature: 1 }, /option "tempreature" is unknown; expected one of/],
    [{ silenceSeconds: 1 }, /option "silenceSeconds" is unknown/],
    [{ semanticTemperature: 0 }, /semanticTemperature is 0 with sampling, expected more than 0/],
    [{ topK: -1 }, /semanticTopK is -1, expected an integer from 0/],
    [{ minEosP: 2 }, /minEosP is 2, expected more than 0 and at most 1/],
    [{ semanticMaxNewTokens: 10_000 }, /semanticMaxNewTokens is 10000, but the context holds \d+/],
    [{ sampling: "loud" }, /sampling is "loud", expected one of transformers, suno, greedy/],
    [{ greedy: true, sampling: "suno" }, /expected only one of them/],
  ];
  for (const [options, message] of cases) {
    await refuses(() => bark.speak(TEXT, { seed: 1, ...options }), "OptionsError", message);
  }
});

test("texts that cannot be spoken are refused", async () => {
  await refuses(() => bark.speak("  ", FEW), "TextError", /The text is empty/);
  await refuses(() => bark.speak("\ud800", FEW), "TextError", /not valid Unicode/);
  await refuses(() => bark.speak(/** @type {any} */ (7), FEW), "TextError", /expected a string/);
});

test("a word that the checkpoint does not know causes one warning", async () => {
  warnings = [];
  const options = { ...FEW, semanticMaxNewTokens: 1 };
  await bark.speak("Xylophone", options);
  await bark.speak("Xylophone", options);
  assert.equal(warnings.length, 1);
  assert.match(warnings[0], /1 of 1 words are not among the \d+ .+: Xylophone/);
});

test("progress counts the runs of each stage", async () => {
  /** @type {Record<string, [number, number]>} */
  const last = {};
  await bark.speak(TEXT, { ...FEW, onProgress: (stage, done, total) => (last[stage] = [done, total]) });
  assert.deepEqual(last, { semantic: [6, 6], coarse: [18, 18], fine: [6, 6], codec: [1, 1] });
});

test("a signal ends a call, and the next one runs", async () => {
  const aborter = new AbortController();
  const reason = new Error("enough");
  const onProgress = (/** @type {string} */ stage) => stage === "coarse" && aborter.abort(reason);
  const call = bark.speak(TEXT, { ...FEW, onProgress, signal: aborter.signal });
  const next = bark.speak(TEXT, FEW);
  await assert.rejects(call, reason);
  const alone = await bark.speak(TEXT, FEW);
  assert.deepEqual(tokensOf(await next), tokensOf(alone));
});

test("calls at the same time are those one after the other", async () => {
  const both = await Promise.all([1, 2].map((seed) => bark.speak(TEXT, { ...FEW, seed })));
  const second = await bark.speak(TEXT, { ...FEW, seed: 2 });
  assert.deepEqual(tokensOf(both[1]), tokensOf(second));
});

test("a stream yields segments with their places", async () => {
  const options = { ...FEW, voice: VOICE, maxSeconds: 1, silenceSeconds: 0.5 };
  const text = "Good morning. How are you? My friend.";
  const speeches = [];
  for await (const speech of bark.stream(text, options)) speeches.push(speech);
  assert.deepEqual(speeches.map((speech) => speech.text), bark.segments(text, 1).map((each) => each.text));
  assert.ok(speeches.length > 1);
  assert.equal(speeches[0].seed, 1);
  assert.equal(speeches[1].startSeconds, speeches[0].seconds + 0.5);
  const alone = await bark.speak(speeches[0].text, { ...FEW, voice: VOICE });
  assert.deepEqual(tokensOf(speeches[0]), tokensOf(alone));
  const { samples } = joinSpeeches(speeches);
  const last = /** @type {import("../src/speech.js").Speech} */ (speeches.at(-1));
  assert.equal(samples.length, Math.round(last.startSeconds * 24_000) + last.samples.length);
});

test("options of a stream are checked before anything is generated", async () => {
  /** @type {[any, RegExp][]} */
  const cases = [
    [{ maxSeconds: 0 }, /maxSeconds is 0, expected a number from 1/],
    [{ history: "next" }, /history is "next", expected one of voice, previous, first/],
    [{ silenceSeconds: 1, crossfadeSeconds: 1 }, /expected only one of them/],
    [{ attempts: 0 }, /attempts is 0, expected an integer from 1/],
    [{ silence: 1 }, /option "silence" is unknown/],
  ];
  for (const [options, message] of cases) {
    const stream = bark.stream(TEXT, options);
    await refuses(() => stream.next(), "OptionsError", message);
  }
});

test("a wav file has a header, and clipped samples of 16 bits", () => {
  const wav = encodeWav(Float32Array.of(0, 0.5, -1, 1, 2, -2), 24_000);
  const view = new DataView(wav.buffer);
  assert.equal(new TextDecoder().decode(wav.subarray(0, 4)), "RIFF");
  assert.equal(view.getUint32(4, true), wav.length - 8);
  assert.equal(view.getUint32(24, true), 24_000);
  const samples = Array.from({ length: 6 }, (_, index) => view.getInt16(44 + 2 * index, true));
  assert.deepEqual(samples, [0, 16_384, -32_768, 32_767, 32_767, -32_768]);
});

test("a bundle that was closed speaks no more", async () => {
  const other = await Bark.load(DEMO);
  const running = other.speak(TEXT, FEW);
  await other.close();
  assert.equal((await running).semanticTokens.length, 6);
  await refuses(() => other.speak(TEXT, FEW), "ClosedError", /closed; load it again/);
  await other.close();
});
