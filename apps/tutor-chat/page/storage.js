// The browser's storage, or memory where it is full or switched off: then a refresh forgets, but
// the page works.

const memory = new Map();

function local() {
  try {
    return window.localStorage;
  } catch {
    return null;
  }
}

/** Plain text, for keys that other clients read too. */
export const text = {
  read: key => memory.get(key) ?? local()?.getItem(key) ?? undefined,
  write(key, value) {
    try {
      local().setItem(key, value);
      memory.delete(key);
    } catch {
      memory.set(key, value);
    }
  },
};

export function read(key) {
  const stored = text.read(key);
  if (stored === undefined) return undefined;
  try {
    return JSON.parse(stored);
  } catch {
    return undefined;
  }
}

export function write(key, value) {
  text.write(key, JSON.stringify(value));
}

export function remove(key) {
  memory.delete(key);
  local()?.removeItem(key);
}

/** The keys that begin with `prefix`, sorted. */
export function keys(prefix) {
  const store = local();
  const stored = store ? Array.from({ length: store.length }, (_, i) => store.key(i)) : [];
  return [...new Set([...stored, ...memory.keys()])].filter(key => key?.startsWith(prefix)).sort();
}
