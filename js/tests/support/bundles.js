/** Copies of the demo's bundle that tests change. */

import { cpSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

import { DEMO } from "./kit.js";

/** A copy of the demo's bundle in a temporary folder. */
export function copyOfDemo() {
  const folder = mkdtempSync(path.join(tmpdir(), "bark-onnx-"));
  cpSync(DEMO, folder, { recursive: true });
  return folder;
}

/**
 * A copy whose bark.json is changed.
 * @param {(manifest: any) => void} change
 */
export function demoWith(change) {
  const folder = copyOfDemo();
  const file = path.join(folder, "bark.json");
  const manifest = JSON.parse(readFileSync(file, "utf-8"));
  change(manifest);
  writeFileSync(file, JSON.stringify(manifest));
  return folder;
}
