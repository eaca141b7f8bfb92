/** Checks of parsed JSON: no missing key, no wrong type or range. Knows nothing of Bark. */

import { shown } from "../errors.js";

/** A check of a value at a location; throws a SchemaError.
 * @typedef {(value: any, where: string) => void} Check
 */

/** Parsed JSON is not what is expected. */
export class SchemaError extends Error {}

/**
 * @param {number} minimum
 * @param {number} maximum
 * @returns {Check}
 */
export function integer(minimum, maximum) {
  return (value, where) => {
    if (!Number.isInteger(value)) throw mismatch(value, "int", where);
    number(minimum, maximum)(value, where);
  };
}

/**
 * @param {number} minimum
 * @param {number} maximum
 * @returns {Check}
 */
export function number(minimum, maximum) {
  return (value, where) => {
    if (typeof value !== "number") throw mismatch(value, "float", where);
    if (!(value >= minimum && value <= maximum)) {
      throw mismatch(value, `from ${minimum} to ${maximum}`, where);
    }
  };
}

/** @type {Check} */
export function boolean(value, where) {
  if (typeof value !== "boolean") throw mismatch(value, "bool", where);
}

/** @type {Check} */
export function string(value, where) {
  if (typeof value !== "string") throw mismatch(value, "str", where);
}

/**
 * @param {string[]} names
 * @returns {Check}
 */
export function oneOf(names) {
  return (value, where) => {
    if (!names.includes(value)) throw mismatch(value, `one of ${names.join(", ")}`, where);
  };
}

/**
 * @param {Check} item
 * @returns {Check}
 */
export function list(item) {
  return (value, where) => {
    if (!Array.isArray(value) || !value.length) throw mismatch(value, "a list", where);
    value.forEach((each, index) => item(each, `${where}[${index}]`));
  };
}

/**
 * An object with any keys.
 * @param {Check} item
 * @returns {Check}
 */
export function map(item) {
  return (value, where) => {
    if (!isObject(value)) throw mismatch(value, "an object", where);
    for (const [key, each] of Object.entries(value)) item(each, `${where}.${key}`);
  };
}

/**
 * An object with these keys; others are left to other readers.
 * @param {Record<string, Check>} fields
 * @param {Record<string, number>} defaults Values of keys that may be missing, which are filled in.
 * @returns {Check}
 */
export function object(fields, defaults = {}) {
  return (value, where) => {
    if (!isObject(value)) throw mismatch(value, "an object", where || "the JSON");
    for (const [key, check] of Object.entries(fields)) {
      const place = where ? `${where}.${key}` : key;
      if (!Object.hasOwn(value, key)) {
        if (!Object.hasOwn(defaults, key)) throw new SchemaError(`${place} is missing`);
        value[key] = defaults[key];
      }
      check(value[key], place);
    }
  };
}

/** @param {unknown} value */
function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * @param {unknown} value
 * @param {string} expected
 * @param {string} where
 */
function mismatch(value, expected, where) {
  return new SchemaError(`${where} is ${shown(value)}, expected ${expected}`);
}
