/**
 * numpy's SeedSequence, PCG64 and Generator.random, so that seeds give the tokens of the Python
 * library. Source: numpy/random/bit_generator.pyx and src/pcg64 of numpy.
 */

const POOL_WORDS = 4;
const MULTIPLIER = 0x2360ed051fc65da44385df649fccf645n;
const MASK_64 = (1n << 64n) - 1n;
const MASK_128 = (1n << 128n) - 1n;
const RANDOM_UNIT = 2 ** -53;

/** Entropy of a seed, mixed as numpy's `SeedSequence` does. */
export class SeedSequence {
  /**
   * @param {bigint} entropy Seed, from 0.
   * @param {number[]} spawnKey Integers from 0 that derive another sequence from the same seed.
   */
  constructor(entropy, spawnKey = []) {
    const words = wordsOf(entropy);
    while (spawnKey.length && words.length < POOL_WORDS) words.push(0);
    for (const key of spawnKey) words.push(...wordsOf(BigInt(key)));
    this.pool = mixedPool(words);
  }

  /**
   * Integers of 64 bits.
   * @param {number} count
   * @returns {bigint[]}
   */
  generateState(count) {
    let constant = 0x8b51f9dd;
    const words = Array.from({ length: 2 * count }, (_, index) => {
      let word = this.pool[index % POOL_WORDS] ^ constant;
      constant = Math.imul(constant, 0x58f38ded);
      word = Math.imul(word, constant);
      return BigInt((word ^ (word >>> 16)) >>> 0);
    });
    return Array.from({ length: count }, (_, index) => words[2 * index] | (words[2 * index + 1] << 32n));
  }
}

/** numpy's `default_rng(seed)`, of which Bark needs only `random`. */
export class Generator {
  /** @param {bigint} seed From 0. */
  constructor(seed) {
    const [stateHigh, stateLow, streamHigh, streamLow] = new SeedSequence(seed).generateState(4);
    this.increment = (((streamHigh << 64n) | streamLow) * 2n + 1n) & MASK_128;
    this.state = (this.increment + ((stateHigh << 64n) | stateLow)) & MASK_128;
    this.#step();
  }

  /** A number from 0, below 1, with 53 random bits. */
  random() {
    this.#step();
    const folded = (this.state >> 64n) ^ (this.state & MASK_64);
    const rotation = this.state >> 122n;
    const bits = (folded >> rotation) | ((folded << (64n - rotation)) & MASK_64);
    return Number(bits >> 11n) * RANDOM_UNIT;
  }

  #step() {
    this.state = (this.state * MULTIPLIER + this.increment) & MASK_128;
  }
}

/**
 * Words of 32 bits of an integer, the lowest first; at least one.
 * @param {bigint} value
 */
function wordsOf(value) {
  const words = [Number(value & 0xffffffffn)];
  for (let rest = value >> 32n; rest > 0n; rest >>= 32n) words.push(Number(rest & 0xffffffffn));
  return words;
}

/** @param {number[]} entropy Words of 32 bits. */
function mixedPool(entropy) {
  let constant = 0x43b0d7e5;
  const hash = (/** @type {number} */ value) => {
    let hashed = value ^ constant;
    constant = Math.imul(constant, 0x931e8875);
    hashed = Math.imul(hashed, constant);
    return hashed ^ (hashed >>> 16);
  };
  const mix = (/** @type {number} */ x, /** @type {number} */ y) => {
    const mixed = Math.imul(0xca01f9dd, x) - Math.imul(0x4973f715, y);
    return mixed ^ (mixed >>> 16);
  };
  const pool = Array.from({ length: POOL_WORDS }, (_, index) => hash(entropy[index] ?? 0));
  for (let source = 0; source < POOL_WORDS; source += 1) {
    for (let target = 0; target < POOL_WORDS; target += 1) {
      if (source !== target) pool[target] = mix(pool[target], hash(pool[source]));
    }
  }
  for (const word of entropy.slice(POOL_WORDS)) {
    for (let target = 0; target < POOL_WORDS; target += 1) pool[target] = mix(pool[target], hash(word));
  }
  return pool;
}
