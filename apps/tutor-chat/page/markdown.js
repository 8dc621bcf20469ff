// An answer's Markdown as elements. The parser gives tokens, never markup: what it takes for HTML is
// shown as text, and an image is a link, since the page loads nothing from elsewhere.

import { Marked } from './marked.js';
import { el } from './dom.js';

const parser = new Marked({ gfm: true });
const SAFE = /^(https?|mailto):/i;

/** Shows a text that grows: blocks that did not change stay the elements that they are. */
export class Markdown {
  element = el('div.bubble', { dir: 'auto' });
  #text;
  #blocks = [];

  show(text) {
    if (text === this.#text) return;
    this.#text = text;
    const blocks = tokens(text).filter(token => token.type !== 'space' && token.type !== 'def');
    const same = blocks.findIndex((token, i) => token.raw !== this.#blocks[i]?.raw);
    const kept = this.#blocks.slice(0, same < 0 ? blocks.length : same);
    for (const { node } of this.#blocks.slice(kept.length)) node.remove();
    this.#blocks = kept.concat(blocks.slice(kept.length).map(token => ({ raw: token.raw, node: block(token) })));
    this.element.append(...this.#blocks.slice(kept.length).map(({ node }) => node));
  }
}

function tokens(text) {
  try {
    return parser.lexer(text);
  } catch {
    return [{ type: 'paragraph', raw: text, tokens: [{ type: 'text', text }] }];
  }
}

function block(token) {
  const children = () => (token.tokens ? token.tokens.map(inside) : [token.text ?? token.raw]);
  switch (token.type) {
    case 'paragraph':
      return el('p', {}, ...children());
    case 'heading':
      // The page's own headings come before those of an answer.
      return el(`h${Math.min(token.depth + 2, 6)}`, {}, ...children());
    case 'code':
      return code(token);
    case 'blockquote':
      return el('blockquote', {}, ...token.tokens.filter(one => one.type !== 'space').map(block));
    case 'hr':
      return el('hr');
    case 'list':
      return el(token.ordered ? 'ol' : 'ul', { start: token.ordered && token.start !== 1 ? token.start : undefined },
        ...token.items.map(item));
    case 'table':
      return table(token);
    default:
      return el('p', {}, ...(token.type === 'html' ? [token.raw.trimEnd()] : children()));
  }
}

function code({ text, lang }) {
  const language = (lang ?? '').split(/\s/)[0];
  const copy = el('button.inline', { type: 'button' }, 'Copy code');
  copy.addEventListener('click', () => copyText(text, copy));
  return el('figure.code', {},
    el('figcaption', {}, el('span', {}, language || 'code'), copy),
    el('pre', { tabindex: '0', 'aria-label': language ? `Code in ${language}` : 'Code' }, el('code', {}, text)));
}

function item({ tokens: inner, task, checked }) {
  const box = task ? el('input', { type: 'checkbox', disabled: true, checked, 'aria-label': checked ? 'Done' : 'Not done' }) : undefined;
  // A list without blank lines has texts where one with them has paragraphs.
  const children = inner.filter(one => one.type !== 'space' && one.type !== 'checkbox')
    .flatMap(one => (one.type === 'text' ? (one.tokens ?? [one]).map(inside) : [block(one)]));
  return el('li', {}, box, box && ' ', ...children);
}

function table({ header, rows }) {
  const row = (name, cells) => el('tr', {}, ...cells.map(cell => el(name, {}, ...cell.tokens.map(inside))));
  return el('div.table', { tabindex: '0', role: 'region', 'aria-label': 'Table' },
    el('table', {}, el('thead', {}, row('th', header)), el('tbody', {}, ...rows.map(cells => row('td', cells)))));
}

function inside(token) {
  const children = () => (token.tokens ? token.tokens.map(inside) : [token.text]);
  switch (token.type) {
    case 'strong':
    case 'em':
    case 'del':
      return el(token.type, {}, ...children());
    case 'codespan':
      return el('code', {}, token.text);
    case 'br':
      return '\n';
    case 'link':
      return link(token.href, children());
    case 'image':
      return link(token.href, [token.text || token.href]);
    case 'html':
      return token.raw;
    default:
      return token.tokens ? el('span', {}, ...children()) : plain(token.text ?? token.raw);
  }
}

/** `&lt;` and its like are characters in Markdown. */
const plain = text => text.replace(/&(?:#\d{1,7}|#x[\da-f]{1,6}|\w{2,31});/gi, entity =>
  new DOMParser().parseFromString(entity, 'text/html').documentElement.textContent);

function link(href, children) {
  if (!SAFE.test(href)) return el('span', {}, ...children);
  return el('a', { href, target: '_blank', rel: 'noopener noreferrer nofollow' }, ...children);
}

/** Copies, and says so on the button for a moment. */
export async function copyText(text, button) {
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = 'Copied';
  } catch {
    button.textContent = 'Not allowed to copy';
  }
  setTimeout(() => {
    button.textContent = label;
  }, 2_000);
}
