/**
 * Arrays of integers from untrusted .npz files: any bytes are arrays, or a VoiceError. Sizes are
 * checked before anything is unpacked, and pickles are never read. Mirrors `graphs/voices/npz.py`
 * and `npy.py`.
 */

import { firstLine, shown, VoiceError } from "../errors.js";

/** An array in row-major order.
 * @typedef {{shape: number[], values: number[]}} IntegerArray
 */

const MAX_BYTES = 4 << 20; // a voice of the largest length has under one megabyte
const REMEDY = "get the file again";
const END_OF_DIRECTORY = 0x06054b50;
const DIRECTORY_ENTRY = 0x02014b50;
const LOCAL_ENTRY = 0x04034b50;
const STORED = 0;
const DEFLATED = 8;
const NPY_SIGNATURE = "\x93NUMPY";

/** Readers of integers by the kind and size of numpy's dtype.
 * @type {Record<string, [number, (view: DataView, offset: number, isLittle: boolean) => number | bigint]>}
 */
const READERS = {
  i1: [1, (view, offset) => view.getInt8(offset)],
  u1: [1, (view, offset) => view.getUint8(offset)],
  i2: [2, (view, offset, isLittle) => view.getInt16(offset, isLittle)],
  u2: [2, (view, offset, isLittle) => view.getUint16(offset, isLittle)],
  i4: [4, (view, offset, isLittle) => view.getInt32(offset, isLittle)],
  u4: [4, (view, offset, isLittle) => view.getUint32(offset, isLittle)],
  i8: [8, (view, offset, isLittle) => view.getBigInt64(offset, isLittle)],
  u8: [8, (view, offset, isLittle) => view.getBigUint64(offset, isLittle)],
};

/**
 * The arrays of an .npz file whose names are in `keys`.
 * @param {Uint8Array<ArrayBuffer>} bytes
 * @param {string[]} keys
 * @param {string} name For messages.
 * @returns {Promise<Record<string, IntegerArray>>}
 */
export async function readNpz(bytes, keys, name) {
  checkSize(bytes.length, name);
  try {
    const entries = listEntries(bytes).filter((entry) => keys.includes(entry.key));
    checkSize(entries.reduce((sum, entry) => sum + entry.size, 0), name);
    /** @type {Record<string, IntegerArray>} */
    const arrays = {};
    for (const entry of entries) {
      arrays[entry.key] = parseNpy(await unpack(bytes, entry), `${name}: ${entry.key}`);
    }
    return arrays;
  } catch (error) {
    if (error instanceof VoiceError) throw error;
    throw new VoiceError(`${name}: not a voice: ${firstLine(error)}; ${REMEDY}`);
  }
}

/** @typedef {ReturnType<typeof listEntries>[number]} Entry */

/** @param {Uint8Array<ArrayBuffer>} bytes */
function listEntries(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let end = bytes.length - 22;
  while (end >= 0 && view.getUint32(end, true) !== END_OF_DIRECTORY) end -= 1;
  if (end < 0) throw new Error("it is not an .npz file");
  const entries = [];
  let offset = view.getUint32(end + 16, true);
  for (let count = view.getUint16(end + 10, true); count > 0; count -= 1) {
    if (view.getUint32(offset, true) !== DIRECTORY_ENTRY) throw new Error("its directory is damaged");
    const nameLength = view.getUint16(offset + 28, true);
    const fileName = new TextDecoder().decode(bytes.subarray(offset + 46, offset + 46 + nameLength));
    entries.push({
      key: fileName.replace(/\.npy$/, ""),
      isEncrypted: (view.getUint16(offset + 8, true) & 1) === 1,
      method: view.getUint16(offset + 10, true),
      crc: view.getUint32(offset + 16, true),
      packedSize: view.getUint32(offset + 20, true),
      size: view.getUint32(offset + 24, true),
      begin: view.getUint32(offset + 42, true),
    });
    const extra = view.getUint16(offset + 30, true) + view.getUint16(offset + 32, true);
    offset += 46 + nameLength + extra;
  }
  return entries;
}

/**
 * @param {Uint8Array<ArrayBuffer>} bytes
 * @param {Entry} entry
 */
async function unpack(bytes, entry) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (entry.isEncrypted || ![STORED, DEFLATED].includes(entry.method)) {
    throw new Error(`${entry.key} is encrypted, or compressed in a way that is not numpy's`);
  }
  if (view.getUint32(entry.begin, true) !== LOCAL_ENTRY) throw new Error("its directory is damaged");
  const names = view.getUint16(entry.begin + 26, true) + view.getUint16(entry.begin + 28, true);
  const begin = entry.begin + 30 + names;
  const packed = bytes.subarray(begin, begin + entry.packedSize);
  const contents = entry.method === STORED ? packed : await inflate(packed, entry.size);
  if (contents.length !== entry.size || crc32(contents) !== entry.crc) {
    throw new Error(`${entry.key} fails its checksum`);
  }
  return contents;
}

/**
 * @param {Uint8Array<ArrayBuffer>} packed
 * @param {number} size Size that the directory states; more is not unpacked.
 */
async function inflate(packed, size) {
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  const contents = new Uint8Array(size);
  let length = 0;
  for (const reader = stream.getReader(); ; ) {
    const { value, done } = await reader.read();
    if (done) return contents.subarray(0, length);
    if (length + value.length > size) {
      await reader.cancel();
      throw new Error("it unpacks to more than its directory states");
    }
    contents.set(value, length);
    length += value.length;
  }
}

/**
 * @param {Uint8Array<ArrayBuffer>} bytes
 * @param {string} name
 * @returns {IntegerArray}
 */
function parseNpy(bytes, name) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const text = (/** @type {number} */ begin, /** @type {number} */ end) =>
    String.fromCharCode(...bytes.subarray(begin, end));
  const version = bytes[6];
  if (text(0, 6) !== NPY_SIGNATURE || ![1, 2].includes(version)) throw new Error(`${name} is not an array`);
  const begin = version === 1 ? 10 : 12;
  const length = version === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  const header = text(begin, begin + Math.min(length, 10_000));
  const dtype = /['"]descr['"]\s*:\s*['"]([<>|=]?)([a-zA-Z]\d*)[^'"]*['"]/.exec(header);
  const order = /['"]fortran_order['"]\s*:\s*(True|False)/.exec(header);
  const lengths = /['"]shape['"]\s*:\s*\(([\d\sL,]*)\)/.exec(header);
  if (!dtype || !order || !lengths) throw new Error(`the header of an array is ${shown(header)}`);
  if (!Object.hasOwn(READERS, dtype[2])) {
    throw new VoiceError(`${name} holds ${dtype[2]}, expected integers`);
  }
  const [width, read] = READERS[dtype[2]];
  const shape = (lengths[1].match(/\d+/g) ?? []).map(Number);
  const count = shape.reduce((product, axis) => product * axis, 1);
  if (bytes.length - begin - length !== count * width) {
    const found = bytes.length - begin - length;
    throw new Error(`an array has ${found} bytes, expected ${count * width} by its shape`);
  }
  const values = Array.from({ length: count }, (_, index) =>
    Number(read(view, begin + length + index * width, dtype[1] !== ">")),
  );
  return { shape, values: order[1] === "True" ? transposed(values, shape) : values };
}

/**
 * Values in row-major order, of a matrix in column-major order.
 * @param {number[]} values
 * @param {number[]} shape
 */
function transposed(values, shape) {
  const [rows, columns = 1] = shape;
  return values.map((_, index) => values[(index % columns) * rows + Math.floor(index / columns)]);
}

/** @param {Uint8Array} bytes */
function crc32(bytes) {
  let crc = -1;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

/**
 * @param {number} size
 * @param {string} name
 */
function checkSize(size, name) {
  if (size > MAX_BYTES) {
    throw new VoiceError(
      `${name}: ${size} bytes of arrays, expected at most ${MAX_BYTES}; Bark uses only the last ` +
        "seconds of a voice, cut the rest off",
    );
  }
}
