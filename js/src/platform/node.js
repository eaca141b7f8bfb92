/** Node: bundles in folders and at addresses, with onnxruntime-node. */

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import path from "node:path";
import { pipeline } from "node:stream/promises";
import { fileURLToPath } from "node:url";

import { MANIFEST_NAME, EXPORT_AGAIN, VOICES_FOLDER } from "../bundle/manifest.js";
import { BundleError, firstLine, ProviderError, VoiceError } from "../errors.js";
import { readAddress, UrlSource } from "./url_source.js";

/** @import { Platform, Runtime, Source } from "../types.d.ts" */

const MAX_VOICE_BYTES = 4 << 20;

// onnxruntime reads these from the environment only; existing values are kept. They are those of the
// Python library, `graphs/onnxruntime.py`: sums of attention in another order would change tokens of
// int8 bundles.
const SETTINGS = { ORT_DISABLE_TELEMETRY: "1", ORT_GQA_DISABLE_FLASH_ATTENTION: "1" };

/** @type {Platform} */
export const nodePlatform = {
  devices: ["cpu", "webgpu"],
  open(source) {
    const text = String(source);
    if (/^https?:/.test(text)) return new UrlSource(text);
    return new FolderSource(text.startsWith("file:") ? fileURLToPath(text) : text);
  },
  async readVoice(voicePath) {
    if (/^https?:/.test(voicePath)) return readAddress(voicePath, VoiceError);
    try {
      const { size } = await stat(voicePath);
      if (size <= MAX_VOICE_BYTES) return Uint8Array.from(await readFile(voicePath));
      throw new VoiceError(`${voicePath}: ${size} bytes, expected at most ${MAX_VOICE_BYTES}`);
    } catch (error) {
      if (error instanceof VoiceError) throw error;
      if (isMissing(error)) {
        throw new VoiceError(`${voicePath}: no such file; expected a voice as .npz`);
      }
      throw new VoiceError(`${voicePath}: cannot be read (${firstLine(error)})`);
    }
  },
  startRuntime,
  async sha256(bytes) {
    return createHash("sha256").update(bytes).digest("hex");
  },
};

/** A bundle in a folder.
 * @implements {Source}
 */
export class FolderSource {
  /** @param {string} folder */
  constructor(folder) {
    this.folder = folder;
  }

  /** @param {string} name */
  where(name) {
    return path.join(this.folder, name);
  }

  /** @param {string} name */
  path(name) {
    return this.where(name);
  }

  /** @param {string} name */
  async size(name) {
    const stats = await this.#read(name, (file) => stat(file));
    if (!stats.isFile()) throw new BundleError(`${this.where(name)} is not a file; ${EXPORT_AGAIN}`);
    return stats.size;
  }

  /** @param {string} name */
  async read(name) {
    return Uint8Array.from(await this.#read(name, (file) => readFile(file)));
  }

  /** @param {string} name */
  sha256(name) {
    return this.#read(name, async (file) => {
      const hash = createHash("sha256");
      await pipeline(createReadStream(file), hash);
      return hash.digest("hex");
    });
  }

  async voiceNames() {
    try {
      const names = await readdir(this.where(VOICES_FOLDER), { recursive: true });
      const voices = names.filter((name) => name.endsWith(".npz"));
      return voices.map((name) => name.slice(0, -".npz".length).replaceAll(path.sep, "/"));
    } catch (error) {
      if (isMissing(error)) return [];
      throw new BundleError(`${this.where(VOICES_FOLDER)}: cannot be read (${firstLine(error)})`);
    }
  }

  /**
   * @template Result
   * @param {string} name
   * @param {(file: string) => Promise<Result>} read
   */
  async #read(name, read) {
    try {
      return await read(this.where(name));
    } catch (error) {
      throw await this.#unreadable(name, error);
    }
  }

  /**
   * @param {string} name
   * @param {unknown} error
   */
  async #unreadable(name, error) {
    if (!isMissing(error)) {
      return new BundleError(`${this.where(name)}: cannot be read (${firstLine(error)})`);
    }
    if (name !== MANIFEST_NAME) return new BundleError(`${this.where(name)} is missing; ${EXPORT_AGAIN}`);
    const exists = await stat(this.folder).then(
      () => true,
      () => false,
    );
    const command = `bark-export suno/bark-small ${this.folder}`;
    return exists
      ? new BundleError(
          `${this.folder}: no ${MANIFEST_NAME}, so this is not a bundle; export one with: ${command}`,
        )
      : new BundleError(`${this.folder}: no such folder; export a bundle with: ${command}`);
  }
}

/**
 * Import onnxruntime-node.
 * @param {string} device
 * @param {number | null} threads
 * @returns {Promise<Runtime>}
 */
async function startRuntime(device, threads) {
  for (const [name, value] of Object.entries(SETTINGS)) process.env[name] ??= value;
  let ort;
  try {
    ort = await import("onnxruntime-node");
  } catch (error) {
    throw new ProviderError(
      `onnxruntime-node cannot be imported (${firstLine(error)}); install it with: ` +
        "npm install onnxruntime-node",
    );
  }
  // Threads that wait busily for the next run take the cores from other stages.
  const extra = { session: { force_spinning_stop: "1" } };
  const options = { executionProviders: [device], logSeverityLevel: /** @type {const} */ (4), extra };
  return {
    ort,
    device,
    options: threads === null ? options : { ...options, intraOpNumThreads: threads },
    writesInPlace: device === "cpu",
  };
}

/** @param {unknown} error */
function isMissing(error) {
  const code = error instanceof Error && "code" in error ? error.code : "";
  return code === "ENOENT" || code === "ENOTDIR";
}
