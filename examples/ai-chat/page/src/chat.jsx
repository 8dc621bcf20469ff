import { useChat } from '@ai-sdk/react';
import { lastAssistantMessageIsCompleteWithApprovalResponses } from 'ai';
import { useEffect, useState } from 'react';
import { Composer } from './composer.jsx';
import { Dots } from './dots.jsx';
import { Message } from './message.jsx';
import { useFollowedEnd } from './scroll.js';
import { isOpen, load, stop, textOf } from './session.js';

/** A chat with these stored messages. */
export function Chat({ id, loaded }) {
  const chat = useChat({
    id,
    messages: loaded,
    resume: true,
    // Renders at most 20 times a second.
    throttle: 50,
    sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithApprovalResponses,
  });
  const [edited, setEdited] = useState(null);
  const { messages, status } = chat;
  const busy = status === 'submitted' || status === 'streaming';
  const last = messages.at(-1);
  useFollowedEnd(messages);

  // After an error: what is stored is the truth. A message that did not arrive is sent again, which
  // never stores it twice.
  const recover = async () => {
    const stored = await load(id);
    const arrived = stored.find(message => message.id === last?.id);
    if (last?.role === 'user' && (!arrived || textOf(arrived) !== textOf(last))) {
      await chat.sendMessage();
      return;
    }
    chat.setMessages(stored);
    chat.clearError();
    if (isOpen(stored.at(-1))) await chat.resumeStream();
  };

  // The answer that was being written when the messages were loaded may have ended before the
  // stream was asked for. Then there is no stream, and the messages are loaded again.
  const missed = !busy && status !== 'error' && isOpen(last);
  useEffect(() => {
    if (!missed) return undefined;
    const timer = setInterval(async () => {
      const stored = await load(id).catch(() => []);
      if (stored.length > 0 && !isOpen(stored.at(-1))) chat.setMessages(stored);
    }, 1000);
    return () => clearInterval(timer);
  }, [missed, id]);

  const send = text => {
    const messageId = edited?.id;
    setEdited(null);
    chat.sendMessage({ text, messageId });
  };

  return (
    <>
      <header>
        <h1>AI chat</h1>
        <a href="/">New chat</a>
      </header>
      <main data-status={status}>
        {messages.length === 0 && (
          <p className="empty">Ask something. The answer survives a refresh, and the link of this page opens the chat anywhere.</p>
        )}
        <ol className="messages" aria-live="polite" aria-busy={busy}>
          {messages.map(message => (
            <Message
              key={message.id}
              message={message}
              writing={busy && message === last}
              edited={message.id === edited?.id}
              onEdit={busy ? null : () => setEdited(message)}
              onRegenerate={busy ? null : () => chat.regenerate({ messageId: message.id })}
              onAnswer={busy ? null : (approval, approved) => chat.addToolApprovalResponse({ id: approval, approved })}
            />
          ))}
          {busy && last?.role === 'user' && <li className="message assistant writing"><div className="body"><Dots /></div></li>}
        </ol>
        {status === 'error' && last?.metadata?.incomplete_details == null && <Failure error={chat.error} recover={recover} />}
      </main>
      <Composer
        key={edited?.id ?? 'new'}
        busy={busy}
        edited={edited}
        onSend={send}
        onStop={() => stop(id).catch(chat.stop)}
        onCancel={() => setEdited(null)}
      />
    </>
  );
}

/** `fetch` tells of a lost connection by a TypeError. */
const reasonOf = error => (error instanceof TypeError
  ? 'The connection to the service was lost.'
  : `The service did not answer: ${error?.message ?? ''}`);

/** What went wrong, and a way out. */
function Failure({ error, recover }) {
  const [problem, setProblem] = useState(null);
  return (
    <div className="failure" role="alert">
      <span>{problem ?? reasonOf(error)}</span>
      <button data-test="retry" onClick={() => recover().catch(() => setProblem('The service cannot be reached yet.'))}>Try again</button>
    </div>
  );
}
