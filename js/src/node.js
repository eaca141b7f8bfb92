/** The package in Node. */

import { Bark as LoadedBark } from "./bark.js";
import { nodePlatform } from "./platform/node.js";

/** @import { LoadOptions } from "../index.d.ts" */

export * from "./public.js";

export const Bark = {
  /**
   * Load a bundle made by `bark-export`.
   * @param {string | URL} source Folder or address.
   * @param {LoadOptions} [options]
   */
  load: (source, options) => LoadedBark.load(nodePlatform, source, options),
};
