/** What both entries export beside `Bark`. */

export {
  BarkError,
  BundleError,
  ClosedError,
  ContractError,
  EngineError,
  OptionsError,
  ProviderError,
  TextError,
  VoiceError,
} from "./errors.js";
export { joinSpeeches } from "./speech.js";
export { Voice } from "./voices/voice.js";
export { encodeWav } from "./wav.js";
