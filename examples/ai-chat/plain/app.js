// The chat without a framework and without a build: it sends, follows, resumes and stops. What is
// stored is shown; the chunks of a stream only show it earlier.

const url = new URL(location.href);
let id = url.searchParams.get('chat');
if (!id) {
  id = Array.from(crypto.getRandomValues(new Uint8Array(16)), byte => byte.toString(16).padStart(2, '0')).join('');
  url.searchParams.set('chat', id);
  history.replaceState(null, '', url);
}
const path = encodeURIComponent(id);
const list = document.querySelector('#messages');
const problem = document.querySelector('#problem');
const box = document.querySelector('textarea');
const stop = document.querySelector('[data-test="stop"]');
let messages = [];

const element = (name, text, style = '') => Object.assign(document.createElement(name), { textContent: text, className: style });

function note(part) {
  if (part.type.startsWith('tool-')) return `${part.type.slice(5)} (${part.state}): answer it on the page with React`;
  return null;
}

function show() {
  list.replaceChildren(...messages.map(message => {
    const item = element('li', '', message.role);
    for (const part of message.parts) {
      const said = part.type === 'text' ? element('p', part.text) : note(part) && element('p', note(part), 'note');
      if (said) item.append(said);
    }
    const reason = message.metadata?.incomplete_details?.reason;
    if (reason) item.append(element('p', reason, 'note'));
    return item;
  }));
  list.lastElementChild?.scrollIntoView({ block: 'end' });
}

async function load() {
  const response = await fetch(`/api/chat/session/${path}`);
  if (!response.ok) throw new Error(`the service answered ${response.status}`);
  messages = (await response.json()).messages;
  show();
}

/** The chunks of a UI message stream. */
async function* chunks(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ''; ;) {
    const { done, value } = await reader.read();
    if (done) return;
    const events = (rest + value).split('\n\n');
    rest = events.pop();
    for (const event of events) {
      const data = event.split('\n').filter(line => line.startsWith('data: ')).map(line => line.slice(6)).join('\n');
      if (data && data !== '[DONE]') yield JSON.parse(data);
    }
  }
}

/** Shows an answer while it is written, then the stored one. */
async function follow(response) {
  if (!response.ok) throw new Error(`the service answered ${response.status}`);
  if (response.status === 204) return;
  stop.hidden = false;
  let message = { role: 'assistant', parts: [] };
  const texts = new Map();
  for await (const chunk of chunks(response)) {
    if (chunk.type === 'start') {
      message = { id: chunk.messageId, role: 'assistant', parts: [] };
      messages = [...messages.filter(({ id }) => id !== chunk.messageId), message];
    } else if (chunk.type === 'text-start') {
      texts.set(chunk.id, { type: 'text', text: '' });
      message.parts.push(texts.get(chunk.id));
    } else if (chunk.type === 'text-delta') {
      texts.get(chunk.id).text += chunk.delta;
    }
    show();
  }
}

async function during(work) {
  problem.hidden = true;
  box.readOnly = true;
  try {
    await work();
    await load();
  } catch (error) {
    problem.textContent = `Something went wrong (${error.message}). Load the page again.`;
    problem.hidden = false;
  } finally {
    stop.hidden = true;
    box.readOnly = false;
  }
}

box.addEventListener('keydown', event => {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  const text = box.value.trim();
  if (text === '' || box.readOnly) return;
  box.value = '';
  const message = { id: `m-${Date.now()}-${Math.random().toString(36).slice(2)}`, role: 'user', parts: [{ type: 'text', text }] };
  messages = [...messages, message];
  show();
  during(async () => follow(await fetch('/api/chat', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ id, message, trigger: 'submit-message' }),
  })));
});
stop.addEventListener('click', () => fetch(`/api/chat/${path}/stop`, { method: 'POST' }));

await load().then(
  () => during(async () => follow(await fetch(`/api/chat/${path}/stream`))),
  error => during(() => Promise.reject(error)),
);
