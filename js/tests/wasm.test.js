/** The browser's parts, with onnxruntime-web's WebAssembly in Node and bundles from a server. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import path from "node:path";
import { after, before, test } from "node:test";

import { Bark } from "../src/bark.js";
import { Bark as BarkInNode } from "../src/node.js";
import { makeBrowserPlatform } from "../src/platform/browser.js";
import { demoWith } from "./support/bundles.js";
import { DEMO, tokensOf } from "./support/kit.js";

const TEXT = "Good morning.";
const OPTIONS = { semanticMaxNewTokens: 8, seed: 3, greedy: true, voice: "v2/en_speaker_0" };

const platform = makeBrowserPlatform(() => import("onnxruntime-web"));
const altered = demoWith((manifest) => (manifest.files["words.txt"].sha256 = "0".repeat(64)));

const server = createServer(async (request, response) => {
  const [, folder, ...names] = String(request.url).split("/");
  response.setHeader("Connection", "close"); // a run blocks this process for longer than a server waits
  const root = folder === "altered" ? altered : DEMO;
  try {
    response.end(await readFile(path.join(root, ...names)));
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

test("WebAssembly says the tokens of Node's CPU", async () => {
  const bark = await Bark.load(platform, `${address}/demo`, { onWarning: () => {} });
  assert.equal(bark.device, "wasm");
  assert.deepEqual(bark.voices, ["v2/en_speaker_0", "v2/en_speaker_1"]);
  const speech = await bark.speak(TEXT, OPTIONS);
  const again = await bark.speak(TEXT, OPTIONS);
  await bark.close();
  const native = await BarkInNode.load(`${address}/demo/`, { onWarning: () => {} });
  const expected = await native.speak(TEXT, OPTIONS);
  await native.close();
  assert.deepEqual(tokensOf(speech), tokensOf(expected));
  assert.deepEqual(tokensOf(again), tokensOf(expected));
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
