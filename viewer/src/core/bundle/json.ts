/** Readers for untrusted JSON. Each returns a checked value or throws a ManifestError with the place. */

/** A document violates the bundle format. */
export class ManifestError extends Error {
  /** The place in the document, such as `$.trees[0].regions[3].error`. */
  readonly path: string;
  constructor(path: string, problem: string) {
    super(`${path}: ${problem}`);
    this.name = "ManifestError";
    this.path = path;
  }
}

export type Fields = Record<string, unknown>;
export type Reader<T> = (value: unknown, path: string) => T;

/** An object with exactly these fields. */
export function record(value: unknown, path: string, fields: readonly string[]): Fields {
  const object = anyRecord(value, path);
  for (const field of fields) {
    if (!Object.hasOwn(object, field)) throw new ManifestError(path, `lacks "${field}"`);
  }
  for (const field of Object.keys(object)) {
    if (!fields.includes(field)) throw new ManifestError(path, `has an unknown field ${quoted(field)}`);
  }
  return object;
}

/** An object with any fields. */
export function anyRecord(value: unknown, path: string): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new ManifestError(path, `is ${quoted(value)}, not an object`);
  }
  return value as Fields;
}

export function list<T>(value: unknown, path: string, read: Reader<T>): T[] {
  if (!Array.isArray(value)) throw new ManifestError(path, `is ${quoted(value)}, not an array`);
  const items: T[] = [];
  // Not `map`: it would skip the holes of a sparse array.
  for (let i = 0; i < value.length; i++) items.push(read(value[i], `${path}[${i}]`));
  return items;
}

/** An array with at least one item. */
export function nonEmptyList<T>(value: unknown, path: string, read: Reader<T>): [T, ...T[]] {
  const items = list(value, path, read);
  if (items.length === 0) throw new ManifestError(path, "is empty");
  return items as [T, ...T[]];
}

export function string(value: unknown, path: string): string {
  if (typeof value !== "string") throw new ManifestError(path, `is ${quoted(value)}, not a string`);
  return value;
}

/** @param expected describes the pattern in the error message */
export function matching(value: unknown, path: string, pattern: RegExp, expected: string): string {
  const text = string(value, path);
  if (!pattern.test(text)) throw new ManifestError(path, `is ${quoted(text)}, not ${expected}`);
  return text;
}

export function oneOf<const T extends readonly unknown[]>(
  value: unknown,
  path: string,
  choices: T,
): T[number] {
  if (!choices.includes(value)) {
    throw new ManifestError(path, `is ${quoted(value)}, not ${choices.map(quoted).join(" or ")}`);
  }
  return value as T[number];
}

export function boolean(value: unknown, path: string): boolean {
  if (typeof value !== "boolean") throw new ManifestError(path, `is ${quoted(value)}, not true or false`);
  return value;
}

/** A finite number: JSON may contain 1e999, which parses as Infinity. */
export function finite(value: unknown, path: string): number {
  if (typeof value !== "number" || !Number.isFinite(value)) {
    throw new ManifestError(path, `is ${quoted(value)}, not a finite number`);
  }
  return value;
}

export function nonNegative(value: unknown, path: string): number {
  const number = finite(value, path);
  if (number < 0) throw new ManifestError(path, `is ${number}, less than 0`);
  return number;
}

export function positive(value: unknown, path: string): number {
  const number = finite(value, path);
  if (number <= 0) throw new ManifestError(path, `is ${number}, not more than 0`);
  return number;
}

/** An integer from `min` to `max`, within the integers that a double represents exactly. */
export function integer(value: unknown, path: string, min = 0, max = Number.MAX_SAFE_INTEGER): number {
  const number = finite(value, path);
  if (!Number.isSafeInteger(number)) throw new ManifestError(path, `is ${number}, not a whole number`);
  if (number < min || number > max) throw new ManifestError(path, `is ${number}, not in ${min}–${max}`);
  return number;
}

/** A non-negative integer. */
export function count(value: unknown, path: string): number {
  return integer(value, path);
}

/** @param items names the indexed items in the error message, in the plural */
export function indexInto(length: number, items: string): Reader<number> {
  return (value, path) => {
    const index = integer(value, path);
    if (index >= length) throw new ManifestError(path, `is ${index}, but there are ${length} ${items}`);
    return index;
  };
}

export function nullOr<T>(read: Reader<T>): Reader<T | null> {
  return (value, path) => (value === null ? null : read(value, path));
}

export function checkDistinct(items: readonly number[], path: string): void {
  const seen = new Set<number>();
  items.forEach((item, i) => {
    if (seen.has(item)) throw new ManifestError(`${path}[${i}]`, `repeats ${item}`);
    seen.add(item);
  });
}

/** A value for an error message: short, on one line, and safe for any value. */
export function quoted(value: unknown): string {
  if (Array.isArray(value)) return "an array";
  if (typeof value === "object" && value !== null) return "an object";
  if (typeof value !== "string") return String(value);
  return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value);
}
