/**
 * Seconds per second of audio: this package in Node beside the Python library, one process after the
 * other, with the same text, seed and threads. The tokens must be equal.
 *
 *     bark-export demo demo-onnx --precision fp32,int8
 *     node benchmark.mjs demo-onnx --python ../.venv/bin/python
 */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { arch, cpus } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { Bark } from "./src/node.js";

const TEXT = "Hello! The weather is warm and sunny today.";
const VOICE = "v2/en_speaker_0";
const PRECISIONS = ["fp32", "int8", "int4"];

const PYTHON = `
import json, sys, time
from bark_onnx.runtime import Bark
folder, request = sys.argv[1], json.loads(sys.argv[2])
begin = time.perf_counter()
with Bark.load(folder, precision=request["precision"], threads=request["threads"]) as bark:
    load, seconds = time.perf_counter() - begin, []
    for _ in range(request["runs"] + 1):  # the first one warms up
        begin = time.perf_counter()
        speech = bark.speak(request["text"], voice=request["voice"], seed=request["seed"])
        seconds.append((time.perf_counter() - begin) / speech.seconds)
print(json.dumps({"load": load, "seconds": seconds[1:], "tokens": speech.fine_tokens.tolist()}))
`;

/**
 * @typedef {object} Request
 * @property {string} text
 * @property {string} voice
 * @property {number} seed
 * @property {string} precision
 * @property {number} threads
 * @property {number} runs
 */

/** @typedef {{load: number, seconds: number[], tokens: number[][]}} Result */

/**
 * @param {string} folder
 * @param {Request} request
 * @returns {Promise<Result>}
 */
async function measure(folder, { text, voice, seed, precision, threads, runs }) {
  let begin = performance.now();
  const bark = await Bark.load(folder, { precision, threads });
  const load = (performance.now() - begin) / 1000;
  const seconds = [];
  /** @type {number[][]} */
  let tokens = [];
  for (let run = 0; run <= runs; run += 1) { // the first one warms up
    begin = performance.now();
    const speech = await bark.speak(text, { voice, seed });
    seconds.push((performance.now() - begin) / 1000 / speech.seconds);
    tokens = speech.fineTokens.map((codes) => [...codes]);
  }
  await bark.close();
  return { load, seconds: seconds.slice(1), tokens };
}

/** @param {number[]} values */
function median(values) {
  const sorted = values.toSorted((first, second) => first - second);
  return sorted[Math.floor(sorted.length / 2)];
}

/**
 * Measure in a process of its own.
 * @param {string} command
 * @param {string[]} options
 * @returns {Result}
 */
function measureIn(command, options) {
  const output = execFileSync(command, options, { encoding: "utf-8", stdio: ["ignore", "pipe", "inherit"] });
  return JSON.parse(/** @type {string} */ (output.trim().split("\n").at(-1)));
}

/**
 * @param {string} folder
 * @param {string} python
 * @param {Omit<Request, "precision">} request
 */
function compare(folder, python, request) {
  const { precisions } = JSON.parse(readFileSync(path.join(folder, "bark.json"), "utf-8"));
  console.log(`${cpus()[0].model}, ${arch}, Node ${process.version}, ${request.threads} threads, ${request.runs} runs`);
  console.log("| Precision | Node | Python | Node, load | Python, load |\n|---|---|---|---|---|");
  const script = fileURLToPath(import.meta.url);
  for (const precision of PRECISIONS.filter((each) => precisions.includes(each))) {
    const encoded = JSON.stringify({ ...request, precision });
    const node = measureIn(process.execPath, [script, folder, "--measure", encoded]);
    const other = measureIn(python, ["-W", "ignore", "-c", PYTHON, folder, encoded]);
    assert.deepEqual(node.tokens, other.tokens, "tokens differ");
    const cells = [median(node.seconds), median(other.seconds)].map((each) => each.toFixed(2));
    const loads = [node.load, other.load].map((each) => `${each.toFixed(2)} s`);
    console.log(`| ${[precision, ...cells, ...loads].join(" | ")} |`);
  }
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    python: { type: "string", default: "python3" },
    threads: { type: "string", default: "2" },
    runs: { type: "string", default: "5" },
    measure: { type: "string" },
  },
});
const [folder] = positionals;
if (!folder) {
  console.error("usage: node benchmark.mjs BUNDLE [--python PYTHON] [--threads 2] [--runs 5]");
  process.exit(2);
}
if (values.measure) {
  console.log(JSON.stringify(await measure(folder, JSON.parse(values.measure))));
} else {
  const [threads, runs] = [Number(values.threads), Number(values.runs)];
  compare(folder, values.python, { text: TEXT, voice: VOICE, seed: 0, threads, runs });
}
