// The session of a chat: its id is the chat's id.

/** The id in the address. A new chat gets a random one, which is the key to it. */
export function chatId() {
  const url = new URL(location.href);
  let id = url.searchParams.get('chat');
  if (!id) {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    id = [...bytes].map(byte => byte.toString(16).padStart(2, '0')).join('');
    url.searchParams.set('chat', id);
    history.replaceState(null, '', url);
  }
  return id;
}

const path = id => encodeURIComponent(id);

/** The stored messages. */
export async function load(id) {
  const response = await fetch(`/api/chat/session/${path(id)}`);
  if (!response.ok) throw new Error(`the service answered ${response.status}`);
  return (await response.json()).messages;
}

/** Stops the answer that is being written, for everybody. The stream of the hook then ends by itself. */
export const stop = id => fetch(`/api/chat/${path(id)}/stop`, { method: 'POST' });

/** The text of a message. */
export const textOf = message =>
  message.parts.filter(part => part.type === 'text').map(part => part.text).join('');

/** Whether an answer is being written, as far as this message says. */
export const isOpen = message => message?.metadata?.status === 'in_progress';
