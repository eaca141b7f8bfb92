/** What index.d.ts declares is what the modules export: checked by `npm run types`, never run. */

import type * as declared from "../index.js";
import type * as browser from "../src/browser.js";
import type * as node from "../src/node.js";

/** Fails to compile unless the module has all that is declared, and nothing else. */
type Same<Names extends keyof typeof declared, Found extends Names> = [Names, Found];

export type Checks = [
  Same<keyof typeof node, keyof typeof declared>,
  Same<keyof typeof browser, keyof typeof declared>,
];

declare const loaded: typeof node.Bark;
export const load: (typeof declared.Bark)["load"] = loaded.load;
declare const loadedInBrowser: typeof browser.Bark;
export const loadInBrowser: (typeof declared.Bark)["load"] = loadedInBrowser.load;
declare const voice: node.Voice;
export const declaredVoice: declared.Voice = voice;
declare const join: typeof node.joinSpeeches;
export const declaredJoin: typeof declared.joinSpeeches = join;
