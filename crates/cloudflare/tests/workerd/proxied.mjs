// Serves the chat page from the Rust server, with the tutoring Worker behind it as its store: node
// proxied.mjs HOST:PORT FOLDER [--stream-ms MS]. TUTOR_CHAT_BIN is the server. A kill of this
// process's group ends both.
import { spawn } from 'node:child_process';
import net from 'node:net';
import path from 'node:path';

const [address, folder, ...options] = process.argv.slice(2);

const port = await new Promise((resolve, reject) => {
  const probe = net.createServer().once('error', reject).listen(0, '127.0.0.1', () => {
    const { port } = probe.address();
    probe.close(() => resolve(port));
  });
});
const worker = `http://127.0.0.1:${port}`;

function start(program, args) {
  const child = spawn(program, args, { stdio: 'inherit' });
  const end = why => {
    console.error(`${program} ended: ${why}`);
    process.exit(1);
  };
  child.once('error', end).once('exit', end);
}

start(process.execPath, [path.join(import.meta.dirname, 'serve.mjs'), `127.0.0.1:${port}`, folder, ...options]);
const answers = () => fetch(`${worker}/health`).then(response => response.ok, () => false);
while (!(await answers())) await new Promise(resolve => setTimeout(resolve, 50));
start(process.env.TUTOR_CHAT_BIN, ['--addr', address, '--store', `worker:${worker}`]);
