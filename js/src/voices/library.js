/** The voices of a bundle: loaded by name, language, file or arrays. */

import { shown, VoiceError } from "../errors.js";
import { VOICES_FOLDER } from "../bundle/manifest.js";
import { resolveAlias } from "./aliases.js";
import { Voice } from "./voice.js";

/** @import { Bundle } from "../bundle/bundle.js" */
/** @import { VoiceLike } from "../../index.d.ts" */

const NAME = /^[\p{L}\p{N}_.-]+(\/[\p{L}\p{N}_.-]+)?$/u;
const MAX_SUGGESTIONS = 3;

export class VoiceLibrary {
  /** @param {Bundle} bundle */
  constructor(bundle) {
    this.bundle = bundle;
  }

  /**
   * The voice that a name, a language, the path of an .npz file, its contents, arrays or a `Voice`
   * stands for; null lets the model choose.
   * @param {VoiceLike} voice
   */
  async load(voice) {
    if (voice === undefined || voice === null) return null;
    const found = await this.#find(voice);
    found.check(this.bundle.manifest.generation);
    return found;
  }

  /** @param {NonNullable<VoiceLike>} voice */
  async #find(voice) {
    if (voice instanceof Voice) return voice;
    if (typeof voice === "string") return this.#read(voice);
    if (voice instanceof Uint8Array) return Voice.read(Uint8Array.from(voice));
    if (voice instanceof ArrayBuffer) return Voice.read(new Uint8Array(voice));
    if (typeof voice === "object" && "semanticPrompt" in voice) return new Voice(voice);
    throw new VoiceError(
      `voice is ${shown(voice)}; expected a name, the path of an .npz file, its contents, or an ` +
        "object with semanticPrompt, coarsePrompt and finePrompt",
    );
  }

  /** @param {string} voice */
  async #read(voice) {
    if (voice.endsWith(".npz")) {
      return Voice.read(await this.bundle.platform.readVoice(voice), voice);
    }
    const name = await this.#resolveName(voice);
    return Voice.read(await this.bundle.read(`${VOICES_FOLDER}/${name}.npz`), name);
  }

  /** @param {string} voice */
  async #resolveName(voice) {
    const names = await this.bundle.voiceNames();
    if (names.includes(voice)) return voice;
    const alias = resolveAlias(voice, names);
    if (alias !== null) return alias;
    if (NAME.test(voice)) throw new VoiceError(unknownVoice(voice, names));
    throw new VoiceError(
      `Voice ${shown(voice)}: expected a name such as v2/en_speaker_6, a language such as german, ` +
        "or the path of an .npz file",
    );
  }
}

/**
 * @param {string} voice
 * @param {string[]} names
 */
function unknownVoice(voice, names) {
  if (!names.length) {
    return `Voice "${voice}" not found; the bundle has none, export it with --voices all`;
  }
  if (names.length <= MAX_SUGGESTIONS) {
    return `Voice "${voice}" not found; the bundle has ${names.join(", ")}`;
  }
  const nearest = names
    .toSorted((first, second) => distance(voice, first) - distance(voice, second))
    .slice(0, MAX_SUGGESTIONS);
  return `Voice "${voice}" not found; nearest: ${nearest.join(", ")}; bark.voices lists all`;
}

/**
 * Characters to insert, delete or replace.
 * @param {string} first
 * @param {string} second
 */
function distance(first, second) {
  let row = Array.from({ length: second.length + 1 }, (_, index) => index);
  for (const [index, character] of [...first].entries()) {
    const next = [index + 1];
    for (let column = 1; column < row.length; column += 1) {
      const change = row[column - 1] + Number(character !== second[column - 1]);
      next.push(Math.min(change, row[column] + 1, next[column - 1] + 1));
    }
    row = next;
  }
  return row[second.length];
}
