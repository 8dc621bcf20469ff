// Building elements. Text goes in as text nodes only, so nothing that somebody wrote becomes
// markup.

/** `el('p.note', {id: 'x', hidden: true}, 'text', child)`: tag and classes, attributes (or `on…` listeners), children. */
export function el(tag, attributes = {}, ...children) {
  const [name, ...classes] = tag.split('.');
  const element = document.createElement(name);
  element.classList.add(...classes);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, '');
    else if (value !== false && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.filter(child => child !== undefined && child !== null));
  return element;
}

/** Puts `children` into `parent` in this order, moving nothing that stands right already. */
export function arrange(parent, children) {
  const wanted = new Set(children);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  children.forEach((child, i) => {
    if (parent.children[i] !== child) parent.insertBefore(child, parent.children[i] ?? null);
  });
}
