// The service under test as a process of its own: the program in AI_CHAT_BIN.

import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const ROOT = process.env.DURABLE_SESSION_ROOT || path.resolve(import.meta.dirname, '../../..');
const PROGRAM = process.env.AI_CHAT_BIN || path.join(ROOT, 'target/debug/ai-chat');

export class Service {
  #folder = fs.mkdtempSync(path.join(os.tmpdir(), 'ai-chat-'));
  #child = null;

  static async start(...options) {
    const service = new Service();
    service.options = options;
    await service.start();
    return service;
  }

  /** Starts it on the same store as before. */
  async start() {
    const store = path.join(this.#folder, 'chat.redb');
    const args = ['--addr', '127.0.0.1:0', '--store', `redb:${store}`, ...this.options];
    const child = spawn(PROGRAM, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    this.#child = child;
    this.base = await new Promise((resolve, reject) => {
      let printed = '';
      child.stdout.on('data', data => {
        printed += data;
        const address = /^(http:\S+)\n/.exec(printed);
        if (address) resolve(address[1]);
      });
      child.once('exit', code => reject(new Error(`ai-chat ended with ${code}`)));
    });
    this.api = `${this.base}/api/chat`;
  }

  /** Kills it as a crash would. */
  async kill() {
    const gone = new Promise(resolve => this.#child.once('exit', resolve));
    this.#child.kill('SIGKILL');
    await gone;
  }

  async messages(id) {
    const response = await fetch(`${this.api}/session/${id}/messages`);
    return response.json();
  }

  async end() {
    await this.kill();
    fs.rmSync(this.#folder, { recursive: true });
  }
}
