import { useEffect, useRef, useState } from 'react';
import { textOf } from './session.js';

/**
 * The box for new messages, and for an earlier one that is edited. It begins with the text of that
 * one: give it a `key` that changes with `edited`.
 */
export function Composer({ busy, edited, onSend, onStop, onCancel }) {
  const [text, setText] = useState(edited ? textOf(edited) : '');
  const box = useRef(null);

  useEffect(() => box.current.focus(), []);

  const send = () => {
    if (busy || text.trim() === '') return;
    onSend(text);
    setText('');
  };
  const onKeyDown = event => {
    if (event.key === 'Escape' && edited) onCancel();
    if (event.key !== 'Enter' || event.shiftKey || event.nativeEvent.isComposing) return;
    event.preventDefault();
    send();
  };

  return (
    <div className="composer">
      {edited && (
        <div className="editing">
          <span>You are editing an earlier message. Everything after it will be replaced.</span>
          <button data-test="cancel" onClick={onCancel}>Cancel</button>
        </div>
      )}
      <div className="row">
        <textarea
          ref={box}
          rows={1}
          value={text}
          placeholder="Message"
          aria-label="Message"
          onChange={event => setText(event.target.value)}
          onKeyDown={onKeyDown}
        />
        {busy
          ? <button data-test="stop" onClick={onStop}>Stop</button>
          : <button data-test="send" className="primary" disabled={text.trim() === ''} onClick={send}>Send</button>}
      </div>
    </div>
  );
}
