/** Readers for JSON that anyone may have written: each returns a checked value or throws a ManifestError with the place. */

/** A document is not what the contract says. `path` is where, as in `$.trees[0].regions[3].error`. */
export class ManifestError extends Error {
  readonly path: string;
  constructor(path: string, what: string) {
    super(`${path}: ${what}`);
    this.name = "ManifestError";
    this.path = path;
  }
}

export type Fields = Record<string, unknown>;
export type Read<T> = (value: unknown, path: string) => T;

/** An object with exactly these fields. */
export function record(value: unknown, path: string, fields: readonly string[]): Fields {
  const object = anyRecord(value, path);
  for (const field of fields) {
    if (!Object.hasOwn(object, field)) throw new ManifestError(path, `lacks "${field}"`);
  }
  for (const field of Object.keys(object)) {
    if (!fields.includes(field)) throw new ManifestError(path, `has an unknown field ${shown(field)}`);
  }
  return object;
}

/** An object with any fields; what it inherits does not count. */
export function anyRecord(value: unknown, path: string): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new ManifestError(path, `is ${shown(value)}, not an object`);
  }
  return value as Fields;
}

export function list<T>(value: unknown, path: string, read: Read<T>): T[] {
  if (!Array.isArray(value)) throw new ManifestError(path, `is ${shown(value)}, not an array`);
  const items: T[] = [];
  // By index and not by `map`, which would leave holes unread.
  for (let i = 0; i < value.length; i++) items.push(read(value[i], `${path}[${i}]`));
  return items;
}

/** An array with at least one item. */
export function someOf<T>(value: unknown, path: string, read: Read<T>): [T, ...T[]] {
  const items = list(value, path, read);
  if (items.length === 0) throw new ManifestError(path, "is empty");
  return items as [T, ...T[]];
}

export function string(value: unknown, path: string): string {
  if (typeof value !== "string") throw new ManifestError(path, `is ${shown(value)}, not a string`);
  return value;
}

export function matching(value: unknown, path: string, pattern: RegExp, what: string): string {
  const text = string(value, path);
  if (!pattern.test(text)) throw new ManifestError(path, `is ${shown(text)}, not ${what}`);
  return text;
}

export function oneOf<const T extends readonly unknown[]>(
  value: unknown,
  path: string,
  choices: T,
): T[number] {
  if (!choices.includes(value)) {
    throw new ManifestError(path, `is ${shown(value)}, not ${choices.map(shown).join(" or ")}`);
  }
  return value as T[number];
}

export function boolean(value: unknown, path: string): boolean {
  if (typeof value !== "boolean") throw new ManifestError(path, `is ${shown(value)}, not true or false`);
  return value;
}

/** A finite number: JSON can write 1e999, which reads as Infinity. */
export function finite(value: unknown, path: string): number {
  if (typeof value !== "number" || !Number.isFinite(value)) {
    throw new ManifestError(path, `is ${shown(value)}, not a finite number`);
  }
  return value;
}

export function atLeast0(value: unknown, path: string): number {
  const number = finite(value, path);
  if (number < 0) throw new ManifestError(path, `is ${number}, less than 0`);
  return number;
}

export function above0(value: unknown, path: string): number {
  const number = finite(value, path);
  if (number <= 0) throw new ManifestError(path, `is ${number}, not more than 0`);
  return number;
}

/** A whole number from `min` to `max`; what a double cannot count exactly is refused. */
export function integer(value: unknown, path: string, min = 0, max = Number.MAX_SAFE_INTEGER): number {
  const number = finite(value, path);
  if (!Number.isSafeInteger(number)) throw new ManifestError(path, `is ${number}, not a whole number`);
  if (number < min || number > max) throw new ManifestError(path, `is ${number}, not in ${min}–${max}`);
  return number;
}

export function count(value: unknown, path: string): number {
  return integer(value, path);
}

/** An index into something of which there are `length`. */
export function indexInto(length: number, what: string): Read<number> {
  return (value, path) => {
    const index = integer(value, path);
    if (index >= length) throw new ManifestError(path, `is ${index}, but there are ${length} ${what}`);
    return index;
  };
}

export function nullOr<T>(read: Read<T>): Read<T | null> {
  return (value, path) => (value === null ? null : read(value, path));
}

/** A list in which nothing stands twice. */
export function distinct(items: readonly number[], path: string): void {
  const seen = new Set<number>();
  items.forEach((item, i) => {
    if (seen.has(item)) throw new ManifestError(`${path}[${i}]`, `repeats ${item}`);
    seen.add(item);
  });
}

/** A value as an error message shows it: short, on one line, whatever it is. */
export function shown(value: unknown): string {
  if (Array.isArray(value)) return "an array";
  if (typeof value === "object" && value !== null) return "an object";
  if (typeof value !== "string") return String(value);
  return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value);
}
