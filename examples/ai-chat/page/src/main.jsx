import './policy.js';
import { createRoot } from 'react-dom/client';
import { Chat } from './chat.jsx';
import { chatId, load } from './session.js';

const id = chatId();
const root = createRoot(document.getElementById('root'));

async function start() {
  try {
    root.render(<Chat id={id} loaded={await load(id)} />);
  } catch (error) {
    root.render(
      <main className="failed">
        <p role="alert">The conversation could not be loaded: {error.message}</p>
        <button onClick={start}>Try again</button>
      </main>,
    );
  }
}

start();
