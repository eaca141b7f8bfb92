/**
 * The exceptions of bark-onnx, with the names of the Python library.
 *
 * BarkError
 * ├── BundleError        a bundle is incomplete, damaged, or from another version
 * │   └── ContractError  inputs and outputs of a graph do not match its contract
 * ├── ProviderError      ONNX Runtime is missing or does not support the request
 * ├── OptionsError       an option is out of range
 * ├── TextError          a text cannot be spoken
 * ├── VoiceError         a voice is unknown or malformed
 * └── EngineError        generation failed after its start
 *     └── ClosedError    the bundle was closed
 *
 * A message is one line: what, found, expected, remedy.
 */

const MAX_SHOWN = 40;

/** Root of all errors for causes outside of bark-onnx. */
export class BarkError extends Error {
  /**
   * @param {string} message
   * @param {ErrorOptions} [options]
   */
  constructor(message, options) {
    super(printable(message), options);
    this.name = new.target.name;
  }
}

/** A bundle is incomplete, damaged, or from another version. */
export class BundleError extends BarkError {}

/** Inputs and outputs of a graph do not match its contract. */
export class ContractError extends BundleError {}

/** ONNX Runtime is missing or does not support the request. */
export class ProviderError extends BarkError {}

/** An option is out of range. */
export class OptionsError extends BarkError {}

/** A text cannot be spoken. */
export class TextError extends BarkError {}

/** A voice is unknown or malformed. */
export class VoiceError extends BarkError {}

/** Generation failed after its start. */
export class EngineError extends BarkError {}

/** The bundle was closed. */
export class ClosedError extends EngineError {}

/**
 * First line of what was thrown.
 * @param {unknown} error
 */
export function firstLine(error) {
  const text = error instanceof Error ? error.message || error.name : String(error);
  return text.trim().split("\n", 1)[0];
}

/**
 * A value for a message, short and on one line.
 * @param {unknown} value
 */
export function shown(value) {
  const text = typeof value === "bigint" ? `${value}` : (JSON.stringify(value) ?? String(value));
  return text.length <= MAX_SHOWN ? text : `${text.slice(0, MAX_SHOWN - 3)}...`;
}

/**
 * Text on one line; characters that would end it or steer a terminal are escaped.
 * @param {string} text
 */
function printable(text) {
  return text.replace(/(?! )[\p{C}\p{Z}]/gu, (character) => {
    const code = /** @type {number} */ (character.codePointAt(0));
    return code <= 0xff ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`;
  });
}
