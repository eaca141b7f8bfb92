/** Loading: what is refused, each with one line that names the remedy. */

import assert from "node:assert/strict";
import { appendFileSync, copyFileSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";

import { Bark, BarkError } from "../src/node.js";
import { copyOfDemo, demoWith } from "./support/bundles.js";
import { DEMO } from "./support/kit.js";

/**
 * @param {() => Promise<unknown>} run
 * @param {string} name Of the error's class.
 * @param {RegExp} message
 */
async function assertRefused(run, name, message) {
  await assert.rejects(run, (/** @type {any} */ error) => {
    assert.ok(error instanceof BarkError, String(error));
    assert.equal(error.name, name);
    assert.match(error.message, message);
    assert.equal(error.message.split("\n").length, 1);
    return true;
  });
}

/** @param {string} file */
function flipLastByte(file) {
  const bytes = readFileSync(file);
  bytes[bytes.length - 1] ^= 1;
  writeFileSync(file, bytes);
}

/**
 * @param {string} folder
 * @param {string} name
 * @param {RegExp} message
 * @param {any} [options]
 */
const refuses = (folder, name, message, options) =>
  assertRefused(() => Bark.load(folder, options), name, message);

test("a folder that does not exist is refused", () =>
  refuses(path.join(tmpdir(), "nowhere"), "BundleError", /no such folder; export a bundle with: bark-export/));

test("a folder without bark.json is refused", () =>
  refuses(tmpdir(), "BundleError", /no bark.json, so this is not a bundle/));

test("an altered graph fails its checksum", async () => {
  const folder = copyOfDemo();
  flipLastByte(path.join(folder, "int8", "codec.onnx"));
  await refuses(folder, "BundleError", /codec.onnx: found sha256 .+, expected .+; the file was altered/);
});

test("checksums are compared unless verify is false", async () => {
  const folder = copyOfDemo();
  flipLastByte(path.join(folder, "words.txt"));
  await refuses(folder, "BundleError", /words.txt: found sha256/);
  const bark = await Bark.load(folder, { verify: false });
  await bark.close();
});

test("a graph of another size is refused before anything is read", async () => {
  const folder = copyOfDemo();
  appendFileSync(path.join(folder, "int8", "fine.onnx"), "x");
  await refuses(folder, "BundleError", /fine.onnx: found \d+ bytes, expected \d+/, { verify: false });
});

test("a missing file is refused", async () => {
  const folder = copyOfDemo();
  rmSync(path.join(folder, "tokenizer.json"));
  await refuses(folder, "BundleError", /tokenizer.json is missing; export or download/);
});

test("a newer contract is refused", () =>
  refuses(
    demoWith((manifest) => (manifest.contract_version = 99)),
    "BundleError",
    /contract_version is 99, expected 1 to 3; update bark-onnx/,
  ));

test("a manifest with a wrong value is refused", () =>
  refuses(
    demoWith((manifest) => (manifest.generation.coarse.sliding_window_len = "60")),
    "BundleError",
    /generation.coarse.sliding_window_len is "60", expected int/,
  ));

test("a file outside the bundle is refused", () =>
  refuses(
    demoWith((manifest) => (manifest.files["../x"] = { size: 1, sha256: "0" })),
    "BundleError",
    /file "..\/x" lies outside the bundle/,
  ));

test("a graph that is another one is refused", async () => {
  const folder = copyOfDemo();
  copyFileSync(path.join(folder, "int8", "codec.onnx"), path.join(folder, "int8", "fine.onnx"));
  const file = path.join(folder, "bark.json");
  const manifest = JSON.parse(readFileSync(file, "utf-8"));
  manifest.files["int8/fine.onnx"] = manifest.files["int8/codec.onnx"];
  writeFileSync(file, JSON.stringify(manifest));
  await refuses(folder, "ContractError", /fine.onnx: found codes: int64\[.+, expected codes/);
});

test("options of load are checked", async () => {
  await refuses(DEMO, "ProviderError", /device is "tpu", expected one of cpu, webgpu/, { device: "tpu" });
  await refuses(DEMO, "ProviderError", /threads is 0, expected an integer from 1/, { threads: 0 });
  await refuses(DEMO, "BundleError", /has no fp32 graphs, only int8/, { precision: "fp32" });
  await refuses(DEMO, "OptionsError", /verify is "no", expected true or false/, { verify: "no" });
  await refuses(DEMO, "OptionsError", /option "thread" is unknown; expected one of/, { thread: 1 });
});
