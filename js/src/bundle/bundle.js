/** A bundle, opened: each file is checked before use. */

import { BundleError, shown } from "../errors.js";
import {
  EXPORT_AGAIN,
  MANIFEST_NAME,
  parseJson,
  parseManifest,
  prefillGraph,
  TOKENIZER_NAME,
  VOICES_FOLDER,
  WORDS_NAME,
} from "./manifest.js";

/** @import { Manifest, Platform, Source, Stage } from "../types.d.ts" */

/** What ONNX Runtime opens a graph from.
 * @typedef {object} GraphFiles
 * @property {string} where Location of the graph, for messages.
 * @property {string | Uint8Array<ArrayBuffer>} model Path or contents.
 * @property {{path: string, data: Uint8Array<ArrayBuffer>}[]} externalData Weights; empty with a
 *   path, beside which ONNX Runtime finds them.
 */

export class Bundle {
  /**
   * @param {Source} source
   * @param {Manifest} manifest
   * @param {Platform} platform
   * @param {boolean} verify Whether checksums are compared; sizes always are.
   */
  constructor(source, manifest, platform, verify) {
    this.source = source;
    this.manifest = manifest;
    this.platform = platform;
    this.verify = verify;
    /** @type {Set<string>} */
    this.verified = new Set();
  }

  /**
   * Read bark.json, and compare the sizes of all files where they are known without reading.
   * @param {Source} source
   * @param {Platform} platform
   * @param {{verify: boolean}} options
   */
  static async open(source, platform, { verify }) {
    const where = source.where(MANIFEST_NAME);
    const manifest = parseManifest(await source.read(MANIFEST_NAME), where);
    for (const [name, record] of Object.entries(manifest.files)) {
      if (name.startsWith("/") || name.includes("\\") || name.split("/").includes("..")) {
        throw new BundleError(`${where}: file ${shown(name)} lies outside the bundle`);
      }
      const size = await source.size(name);
      if (size !== null) checkSize(source.where(name), size, record.size);
    }
    return new Bundle(source, manifest, platform, verify);
  }

  /**
   * What ONNX Runtime opens a stage's graphs from.
   * @param {string} precision
   * @param {Stage} stage
   * @returns {Promise<{graph: GraphFiles, prefill: GraphFiles | null}>} The prefill graph is null if
   *   one graph also prefills. Both may share their weights.
   */
  async graphs(precision, stage) {
    const name = `${precision}/${stage}.onnx`;
    const prefillName = prefillGraph(this.manifest, precision, stage);
    const names = prefillName === null ? [name] : [name, prefillName];
    const files = this.manifest.files;
    if (!Object.hasOwn(files, name)) {
      const where = this.source.where(MANIFEST_NAME);
      throw new BundleError(`${where} does not list ${name}; ${EXPORT_AGAIN}`);
    }
    const weights = names.map((each) => `${each}.data`).filter((each) => Object.hasOwn(files, each));
    const [graph, prefill = null] = await this.#open(names, weights);
    return { graph, prefill };
  }

  /** Parsed tokenizer.json. */
  async tokenizer() {
    return parseJson(await this.read(TOKENIZER_NAME), this.source.where(TOKENIZER_NAME));
  }

  /**
   * Words that the checkpoint was trained on, in lower case; empty if it knows any word.
   * @returns {Promise<Set<string>>}
   */
  async knownWords() {
    if (!Object.hasOwn(this.manifest.files, WORDS_NAME)) return new Set();
    const text = new TextDecoder().decode(await this.read(WORDS_NAME));
    return new Set(text.split(/\s+/).filter(Boolean));
  }

  /**
   * Names of all voices: those of the folder, or those of bark.json where it cannot be listed.
   * @returns {Promise<string[]>}
   */
  async voiceNames() {
    const listed = await this.source.voiceNames();
    const files = Object.keys(this.manifest.files).filter((name) => name.endsWith(".npz"));
    const prefix = `${VOICES_FOLDER}/`;
    const known = files.filter((name) => name.startsWith(prefix));
    return (listed ?? known.map((name) => name.slice(prefix.length, -".npz".length))).sort();
  }

  /**
   * Contents of a file, after a check of its size and checksum if bark.json lists it.
   * @param {string} name
   */
  async read(name) {
    const bytes = await this.source.read(name);
    const record = this.manifest.files[name];
    const where = this.source.where(name);
    if (record) checkSize(where, bytes.length, record.size);
    if (record && this.verify) checkSha256(where, await this.platform.sha256(bytes), record.sha256);
    return bytes;
  }

  /**
   * @param {string[]} names
   * @param {string[]} weights
   * @returns {Promise<GraphFiles[]>}
   */
  async #open(names, weights) {
    const { source } = this;
    const paths = names.map((name) => source.path(name));
    if (paths.every((path) => path !== null)) {
      for (const name of [...names, ...weights]) await this.#verifyOnDisk(name);
      return names.map((name, index) => {
        return { where: source.where(name), model: paths[index], externalData: [] };
      });
    }
    const externalData = [];
    for (const name of weights) {
      const data = await this.read(name);
      externalData.push({ path: name.slice(name.lastIndexOf("/") + 1), data });
    }
    const models = [];
    for (const name of names) {
      models.push({ where: source.where(name), model: await this.read(name), externalData });
    }
    return models;
  }

  /** @param {string} name */
  async #verifyOnDisk(name) {
    if (!this.verify || this.verified.has(name)) return;
    const found = await this.source.sha256(name);
    checkSha256(this.source.where(name), found, this.manifest.files[name].sha256);
    this.verified.add(name);
  }
}

/**
 * @param {string} where
 * @param {number} found
 * @param {number} expected
 */
function checkSize(where, found, expected) {
  if (found !== expected) {
    throw new BundleError(`${where}: found ${found} bytes, expected ${expected}; ${EXPORT_AGAIN}`);
  }
}

/**
 * @param {string} where
 * @param {string} found
 * @param {string} expected
 */
function checkSha256(where, found, expected) {
  if (found !== expected) {
    throw new BundleError(
      `${where}: found sha256 ${found.slice(0, 12)}…, expected ${expected.slice(0, 12)}…; the ` +
        `file was altered, ${EXPORT_AGAIN}`,
    );
  }
}
