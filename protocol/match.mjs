// Matches responses and fills in requests. README.md describes the notation.

const PLACEHOLDER = /^\{\{(.+)\}\}$/s;
const OPEN = '{{...}}';

const isObject = value => typeof value === 'object' && value !== null && !Array.isArray(value);
const kind = value => (value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value);
const show = value => {
  const text = value === undefined ? 'nothing' : JSON.stringify(value);
  return text.length > 300 ? `${text.slice(0, 300)}… (${text.length} characters)` : text;
};

/** JSON equality: the order of an object's members does not count. */
export function jsonEqual(a, b) {
  if (kind(a) !== kind(b)) return false;
  if (Array.isArray(a)) return a.length === b.length && a.every((item, i) => jsonEqual(item, b[i]));
  if (isObject(a)) {
    const keys = Object.keys(a);
    return keys.length === Object.keys(b).length && keys.every(key => Object.hasOwn(b, key) && jsonEqual(a[key], b[key]));
  }
  return Object.is(a, b) || a === b;
}

// Times are Unix milliseconds; a value in seconds or microseconds falls outside these two bounds.
const MS_FROM = 1_500_000_000_000;
const MS_TO = 5_000_000_000_000;

const TESTS = {
  any: value => value !== undefined,
  absent: value => value === undefined,
  string: value => typeof value === 'string',
  nonempty: value => typeof value === 'string' && value.length > 0,
  integer: value => Number.isSafeInteger(value),
  ms: value => Number.isSafeInteger(value) && value > MS_FROM && value < MS_TO,
};
const TESTS_WITH_TEXT = {
  containing: (value, text) => typeof value === 'string' && value.toLowerCase().includes(text.toLowerCase()),
  starting: (value, text) => typeof value === 'string' && value.toLowerCase().startsWith(text.toLowerCase()),
  listing: (value, text) => {
    const words = list => list.split(',').map(word => word.trim().toUpperCase());
    return typeof value === 'string' && words(text).every(word => words(value).includes(word));
  },
};

function placeholder(inner, value, at, captures) {
  const [, test, name] = inner.match(/^(.*?)(?: as ([a-zA-Z]\w*))?$/s);
  const fail = [`${at}: expected ${inner}, got ${show(value)}`];
  const other = test.match(/^(!?=)(\w+)$/);
  if (other) {
    if (!(other[2] in captures)) return [`${at}: nothing was captured as ${other[2]}`];
    if (jsonEqual(captures[other[2]], value) !== (other[1] === '=')) {
      return [`${at}: expected ${other[1] === '=' ? 'the same as' : 'other than'} ${other[2]} (${show(captures[other[2]])}), got ${show(value)}`];
    }
  } else {
    const [, word, text] = test.match(/^(\w+)(?: (.*))?$/s) ?? [];
    const check = text === undefined ? TESTS[word] : TESTS_WITH_TEXT[word];
    if (!check) throw new Error(`unknown placeholder {{${inner}}}`);
    if (!check(value, text)) return fail;
  }
  if (name) captures[name] = value;
  return [];
}

/** Compares `value` with the pattern; returns what differs, and writes what the pattern captures into `captures`. */
export function differences(pattern, value, captures, at = '$') {
  if (typeof pattern === 'string') {
    const found = pattern.match(PLACEHOLDER);
    if (found) return placeholder(found[1], value, at, captures);
  }
  if (kind(pattern) !== kind(value)) return [`${at}: expected ${show(pattern)}, got ${show(value)}`];
  if (Array.isArray(pattern)) {
    if (pattern.length !== value.length) {
      return [`${at}: expected ${pattern.length} items, got ${value.length}: ${show(value)}`];
    }
    return pattern.flatMap((item, i) => differences(item, value[i], captures, `${at}[${i}]`));
  }
  if (isObject(pattern)) {
    const named = Object.keys(pattern).filter(key => key !== OPEN);
    const extra = OPEN in pattern ? [] : Object.keys(value).filter(key => !Object.hasOwn(pattern, key));
    return [
      ...named.flatMap(key => differences(pattern[key], Object.hasOwn(value, key) ? value[key] : undefined, captures, `${at}.${key}`)),
      ...extra.map(key => `${at}.${key}: unexpected, ${show(value[key])}`),
    ];
  }
  return Object.is(pattern, value) || pattern === value ? [] : [`${at}: expected ${show(pattern)}, got ${show(value)}`];
}

/** Puts captured values into a request: anywhere in a text, or in place of a whole JSON string. */
export function fill(template, captures) {
  if (typeof template === 'string') {
    const get = name => {
      if (!(name in captures)) throw new Error(`nothing was captured as ${name}`);
      return captures[name];
    };
    const whole = template.match(/^\{\{=(\w+)\}\}$/);
    if (whole) return get(whole[1]);
    return template.replace(/\{\{=(\w+)(\|url)?\}\}/g, (_, name, url) => (url ? encodeURIComponent(get(name)) : String(get(name))));
  }
  if (Array.isArray(template)) return template.map(item => fill(item, captures));
  if (isObject(template)) return Object.fromEntries(Object.entries(template).map(([key, item]) => [key, fill(item, captures)]));
  return template;
}
