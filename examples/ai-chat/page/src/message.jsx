import { getToolName, isToolUIPart } from 'ai';
import { memo } from 'react';
import Markdown from 'react-markdown';
import { Dots } from './dots.jsx';

const ENDS = { stopped: 'Stopped', failed: 'Failed: the answer is not whole', interrupted: 'Interrupted: the answer is not whole' };

/** One message. A callback that is null means: not now. */
export function Message({ message, writing, edited, onEdit, onRegenerate, onAnswer }) {
  const reason = message.metadata?.incomplete_details?.reason;
  const empty = !message.parts.some(part => (part.type === 'text' && part.text) || isToolUIPart(part));
  return (
    <li className={`message ${message.role} ${writing ? 'writing' : ''} ${edited ? 'edited' : ''}`} data-role={message.role} data-id={message.id}>
      <div className="body">
        {message.parts.map((part, n) => <Part key={n} part={part} role={message.role} onAnswer={onAnswer} />)}
        {writing && empty && <Dots />}
      </div>
      {!writing && (
        <footer>
          {reason && <span className="end" data-test="end">{ENDS[reason] ?? reason}</span>}
          {message.role === 'user'
            ? <button data-test="edit" disabled={!onEdit} onClick={onEdit}>Edit</button>
            : <button data-test="regenerate" disabled={!onRegenerate} onClick={onRegenerate}>Regenerate</button>}
        </footer>
      )}
    </li>
  );
}

function Part({ part, role, onAnswer }) {
  if (part.type === 'text') {
    return role === 'user' ? <p className="plain">{part.text}</p> : <Text text={part.text} />;
  }
  return isToolUIPart(part) ? <Call part={part} onAnswer={onAnswer} /> : null;
}

const Text = memo(({ text }) => <div className="text"><Markdown>{text}</Markdown></div>);

const STATES = {
  'input-streaming': 'is being called',
  'input-available': 'is running',
  'approval-requested': 'needs your approval',
  'output-available': 'done',
  'output-error': 'failed',
  'output-denied': 'denied',
};

/** On one line if it is short. */
const json = value => {
  const line = JSON.stringify(value);
  return line.length < 50 ? line : JSON.stringify(value, null, 2);
};

/** A call of a tool, with the buttons that it may wait for. */
function Call({ part, onAnswer }) {
  const responded = part.approval?.approved ? 'approved' : 'denied';
  return (
    <section className="call" data-test="tool" data-state={part.state}>
      <h2><code>{getToolName(part)}</code> <span className="state">{STATES[part.state] ?? responded}</span></h2>
      <pre>{json(part.input ?? {})}</pre>
      {part.state === 'output-available' && <pre className="output">{json(part.output)}</pre>}
      {part.state === 'output-error' && <p className="output">{part.errorText}</p>}
      {part.state === 'approval-requested' && (
        <div className="answers">
          <button className="primary" data-test="approve" disabled={!onAnswer} onClick={() => onAnswer(part.approval.id, true)}>Approve</button>
          <button data-test="deny" disabled={!onAnswer} onClick={() => onAnswer(part.approval.id, false)}>Deny</button>
        </div>
      )}
    </section>
  );
}
