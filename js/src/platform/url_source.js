/** A bundle at an address, read by `fetch`. */

import { BundleError, firstLine } from "../errors.js";

/** @import { Source } from "../types.d.ts" */
/** @import { BarkError } from "../errors.js" */

/** @implements {Source} */
export class UrlSource {
  /** @param {string} address Of the bundle's folder. */
  constructor(address) {
    this.address = address.endsWith("/") ? address : `${address}/`;
  }

  /** @param {string} name */
  where(name) {
    return `${this.address}${name}`;
  }

  path() {
    return null;
  }

  size() {
    return null;
  }

  voiceNames() {
    return null;
  }

  /** @param {string} name */
  read(name) {
    return readAddress(this.where(name), BundleError);
  }

  /**
   * @param {string} name
   * @returns {Promise<string>}
   */
  sha256(name) {
    throw new Error(`${name} is read before its checksum is known`);
  }
}

/**
 * @param {string} address
 * @param {new (message: string) => BarkError} ErrorClass
 */
export async function readAddress(address, ErrorClass) {
  let response;
  try {
    response = await fetch(address);
    if (response.ok) return new Uint8Array(await response.arrayBuffer());
  } catch (error) {
    throw new ErrorClass(`${address}: cannot be read (${firstLine(error)}); check the address`);
  }
  throw new ErrorClass(`${address}: found status ${response.status}, expected 200; check the address`);
}
