/** The browser's parts, with onnxruntime-web's WebAssembly in Node and bundles from a server. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import path from "node:path";
import { after, before, test } from "node:test";

import { Bark } from "../src/bark.js";
import { makeBrowserPlatform } from "../src/platform/browser.js";
import { demoWith } from "./support/bundles.js";
import { DEMO, DEMO_KIT, inCamelCase, Kit, tokensOf } from "./support/kit.js";

const TEXT = "Good morning.";
const OPTIONS = { semanticMaxNewTokens: 4, greedy: true, voice: "v2/en_speaker_0" };

const platform = makeBrowserPlatform(() => import("onnxruntime-web"));
const altered = demoWith((manifest) => (manifest.files["words.txt"].sha256 = "0".repeat(64)));

const exact = process.env.BARK_DEMO ?? "";
const skip = exact ? false : "BARK_DEMO is not set: a bundle of the demo in fp32";
/** @type {Record<string, string>} */
const folders = { demo: DEMO, altered, exact };

const server = createServer(async (request, response) => {
  const [, folder, ...names] = String(request.url).split("/");
  response.setHeader("Connection", "close"); // a run blocks this process for longer than a server waits
  try {
    response.end(await readFile(path.join(folders[folder], ...names)));
  } catch {
    response.writeHead(404).end();
  }
});
let address = "";

before(async () => {
  await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(null)));
  address = `http://127.0.0.1:${/** @type {any} */ (server.address()).port}`;
});
after(() => server.close());

test("WebAssembly speaks, and repeats itself", async () => {
  const bark = await Bark.load(platform, `${address}/demo`, { onWarning: () => {} });
  assert.equal(bark.device, "wasm");
  assert.deepEqual(bark.voices, ["v2/en_speaker_0", "v2/en_speaker_1"]);
  const speech = await bark.speak(TEXT, OPTIONS);
  const again = await bark.speak(TEXT, OPTIONS);
  await bark.close();
  assert.equal(speech.semanticTokens.length, 4);
  assert.equal(speech.samples.length, 6 * 320);
  assert.deepEqual(tokensOf(again), tokensOf(speech));
});

test("WebAssembly says the tokens of the kit in fp32", { skip }, async () => {
  const kit = new Kit(DEMO_KIT);
  const { cases } = kit.json("fp32/cases.json");
  const each = cases.find((/** @type {any} */ one) => one.name === "early-end");
  const options = { onWarning: () => {}, precision: "fp32" };
  const bark = await Bark.load(platform, `${address}/exact`, options);
  const speech = await bark.speak(each.text, { ...inCamelCase(each.options), voice: each.voice });
  await bark.close();
  const { semantic_tokens: semantic, coarse_tokens: coarse, fine_tokens: fine } = each;
  assert.deepEqual(tokensOf(speech), { semantic, coarse, fine });
  assert.equal(speech.samples.length, each.samples.count);
});

test("an address without a bundle is refused", async () => {
  const message = /nowhere\/bark.json: found status 404, expected 200; check the address/;
  const load = () => Bark.load(platform, `${address}/demo/nowhere`);
  await assert.rejects(load, { name: "BundleError", message });
});

test("a file that fails its checksum is refused", async () => {
  const load = () => Bark.load(platform, `${address}/altered`);
  await assert.rejects(load, { name: "BundleError", message: /words.txt: found sha256/ });
});

test("WebGPU without an adapter is refused", async () => {
  const load = () => Bark.load(platform, `${address}/demo`, { device: "webgpu" });
  await assert.rejects(load, { name: "ProviderError", message: /offers no adapter; use device: "wasm"/ });
});
