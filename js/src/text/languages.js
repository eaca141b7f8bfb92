/** Bark's thirteen languages: code, English name, then other names. */

/** @type {[string, ...string[]][]} */
export const LANGUAGES = [
  ["de", "German", "Deutsch"],
  ["en", "English"],
  ["es", "Spanish", "Español", "castellano"],
  ["fr", "French", "Français"],
  ["hi", "Hindi", "हिन्दी", "हिंदी"],
  ["it", "Italian", "Italiano"],
  ["ja", "Japanese", "日本語", "nihongo"],
  ["ko", "Korean", "한국어"],
  ["pl", "Polish", "Polski"],
  ["pt", "Portuguese", "Português"],
  ["ru", "Russian", "Русский"],
  ["tr", "Turkish", "Türkçe"],
  ["zh", "Chinese", "中文", "mandarin", "汉语", "漢語"],
];
