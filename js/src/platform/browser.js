/** Browsers: bundles at addresses, with onnxruntime-web. */

import { BundleError, firstLine, ProviderError, VoiceError } from "../errors.js";
import { readAddress, UrlSource } from "./url_source.js";

/** @import { Ort, Platform } from "../types.d.ts" */

/** @type {Platform} */
export const browserPlatform = makeBrowserPlatform((device) =>
  // Two builds: that of WebGPU is twice as large.
  device === "webgpu" ? import("onnxruntime-web/webgpu") : import("onnxruntime-web/wasm"),
);

/**
 * @param {(device: string) => Promise<Ort & {env: import("onnxruntime-common").Env}>} importRuntime
 * @returns {Platform}
 */
export function makeBrowserPlatform(importRuntime) {
  return {
    devices: ["wasm", "webgpu"],
    open(source) {
      return new UrlSource(new URL(source, globalThis.document?.baseURI).href);
    },
    readVoice(address) {
      return readAddress(address, VoiceError);
    },
    async startRuntime(device, threads) {
      if (device === "webgpu") await checkAdapter();
      let ort;
      try {
        ort = await importRuntime(device);
      } catch (error) {
        throw new ProviderError(
          `onnxruntime-web cannot be imported (${firstLine(error)}); install it with: ` +
            "npm install onnxruntime-web",
        );
      }
      // Read when the first session of the page is created. Several threads need a page that is
      // isolated from other origins; elsewhere onnxruntime-web uses one.
      if (threads !== null) ort.env.wasm.numThreads = threads;
      const options = { executionProviders: [device], logSeverityLevel: /** @type {const} */ (4) };
      return { ort, device, options, writesInPlace: false };
    },
    async sha256(bytes) {
      if (!globalThis.crypto?.subtle) {
        throw new BundleError(
          "checksums need a page from https or localhost; serve it so, or load with verify: false",
        );
      }
      const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
      return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
    },
  };
}

async function checkAdapter() {
  const gpu = /** @type {any} */ (globalThis.navigator)?.gpu;
  if (!(await gpu?.requestAdapter())) {
    throw new ProviderError("device webgpu: the browser offers no adapter; use device: \"wasm\"");
  }
}
