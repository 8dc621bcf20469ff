// A small server that speaks the streaming format of OpenAI's chat completions.

import http from 'node:http';

const body = async request => {
  let text = '';
  for await (const data of request.setEncoding('utf8')) text += data;
  return JSON.parse(text);
};

export class StandIn {
  /** What it was asked for: `{path, authorization, body}`. */
  asked = [];
  /** How many connections of a stream were closed by the client. */
  left = 0;
  #server = http.createServer((request, response) => this.#handle(request, response));

  /** A server that answers by `answer`, a function of the stand-in's `Answer`. */
  static async start(answer) {
    const server = new StandIn();
    server.answer = answer;
    await new Promise(resolve => server.#server.listen(0, '127.0.0.1', resolve));
    server.url = `http://127.0.0.1:${server.#server.address().port}/v1`;
    return server;
  }

  async #handle(request, response) {
    this.asked.push({ path: request.url, authorization: request.headers.authorization, body: await body(request) });
    response.on('close', () => {
      if (!response.writableFinished) this.left += 1;
    });
    await this.answer(new Answer(response));
  }

  async end() {
    const closed = new Promise(resolve => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }
}

class Answer {
  constructor(response) {
    this.response = response;
    response.on('error', () => {});
  }

  get gone() {
    return this.response.destroyed;
  }

  refuse(status) {
    this.response.writeHead(status, { 'content-type': 'application/json' }).end('{"error":{"message":"no"}}');
  }

  begin() {
    this.response.writeHead(200, { 'content-type': 'text/event-stream' });
    this.response.flushHeaders();
    this.event({ choices: [{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: null }] });
  }

  /** Sends bytes as they are. */
  raw(bytes) {
    if (!this.gone) this.response.write(bytes);
  }

  event(value) {
    this.raw(`data: ${JSON.stringify({ id: 'chatcmpl-1', object: 'chat.completion.chunk', ...value })}\n\n`);
  }

  word(content) {
    this.event({ choices: [{ index: 0, delta: { content }, finish_reason: null }] });
  }

  finish(reason = 'stop') {
    this.event({ choices: [{ index: 0, delta: {}, finish_reason: reason }] });
    this.event({ choices: [], usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 } });
    this.raw('data: [DONE]\n\n');
    this.response.end();
  }

  /** Breaks the connection off. */
  cut() {
    this.response.destroy();
  }
}
