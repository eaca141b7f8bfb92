/** The package in browsers. */

import { Bark as LoadedBark } from "./bark.js";
import { browserPlatform } from "./platform/browser.js";

/** @import { LoadOptions } from "../index.d.ts" */

export * from "./public.js";

export const Bark = {
  /**
   * Load a bundle made by `bark-export`.
   * @param {string | URL} source Address of the bundle's folder.
   * @param {LoadOptions} [options]
   */
  load: (source, options) => LoadedBark.load(browserPlatform, source, options),
};
