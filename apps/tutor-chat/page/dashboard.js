// The operators' page: what `/metrics` says, every two seconds, and how fast it changes.

import { arrange, el } from './dom.js';
import { parse, rate, sum, within } from './metrics.js';

const EVERY_MS = 2_000;
const KEPT = 150;
const MINUTE = 30;

const $ = id => document.getElementById(id);
const samples = [];

const number = value => (value === undefined ? '–' : value.toLocaleString(undefined, { maximumFractionDigits: value < 10 ? 1 : 0 }));

function bytes(value) {
  const units = ['B', 'KB', 'MB', 'GB', 'TB'];
  const power = Math.min(Math.floor(Math.log10(Math.max(value, 1)) / 3), units.length - 1);
  return `${number(value / 1000 ** power)} ${units[power]}`;
}

const seconds = value => (value === undefined ? '–' : value === Infinity ? 'longer than 8 s' : value < 1 ? `${number(value * 1000)} ms` : `${number(value)} s`);

const D = 'durable_session_';
/** Name, what it shows, and whether it is bad above zero. */
const TILES = [
  ['Open event streams', sample => number(sum(sample, 'http_event_streams'))],
  ['Sessions in memory', sample => number(sum(sample, `${D}sessions_live`))],
  ['Calls that wait', sample => number(sum(sample, `${D}sessions_queue_depth`))],
  ['Most calls in one commit', sample => number(sum(sample, `${D}sessions_largest_batch`))],
  ['Calls that the store failed', sample => number(sum(sample, `${D}sessions_failures_total`)), sample => sum(sample, `${D}sessions_failures_total`)],
  ['Answers 5xx', sample => number(answers(sample, '5')), sample => answers(sample, '5')],
  ['Answers 429', sample => number(sum(sample, 'http_answers_total', ({ status }) => status === '429'))],
  ['File and log', sample => bytes(sum(sample, `${D}store_file_bytes`)), undefined, `${D}store_file_bytes`],
  ['Log in use', sample => bytes(sum(sample, `${D}store_log_bytes`)), undefined, `${D}store_log_bytes`],
  ['Disk free', sample => bytes(sum(sample, `${D}store_disk_free_bytes`)), undefined, `${D}store_disk_free_bytes`],
  ['Outcomes not known', sample => number(sum(sample, `${D}store_unknown_outcomes_total`)), undefined, `${D}store_unknown_outcomes_total`],
];

function answers(sample, digit) {
  return sum(sample, 'http_answers_total', ({ status }) => status?.startsWith(digit));
}

const view = TILES.map(([name, show, bad, needs]) => {
  const value = el('dd');
  return { element: el('div', {}, el('dt', {}, name), value), value, show, bad, needs };
});

function line(values, most) {
  return values.map((value, i) => {
    if (value === undefined) return '';
    const x = 600 - (values.length - 1 - i) * (600 / (KEPT - 2));
    return `${values[i - 1] === undefined ? 'M' : 'L'}${x.toFixed(1)} ${(156 - (value / most) * 150).toFixed(1)}`;
  }).join('');
}

function draw() {
  const now = samples.at(-1);
  const rates = name => samples.slice(1).map((sample, i) => rate(samples[i], sample, name));
  const [requests, commits] = [rates('http_answers_total'), rates(`${D}sessions_commits_total`)];
  const most = Math.max(1, ...[...requests, ...commits].filter(value => value !== undefined));
  $('most').textContent = number(most);
  for (const [name, values] of [['requests', requests], ['commits', commits]]) {
    let path = $('rates').querySelector(`.${name}`);
    if (!path) {
      path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
      path.classList.add(name);
      $('rates').append(path);
    }
    path.setAttribute('d', line(values, most));
    $(`${name}-now`).textContent = number(values.at(-1));
  }
  for (const { value, show, bad, element } of view) {
    value.textContent = show(now.metrics);
    element.classList.toggle('bad', Boolean(bad?.(now.metrics)));
  }
  arrange($('tiles'), view.filter(({ needs }) => !needs || now.metrics.has(needs)).map(({ element }) => element));

  const before = samples.at(-1 - MINUTE) ?? samples[0];
  const routes = [...new Set((now.metrics.get('http_answer_seconds_count') ?? []).map(({ labels }) => labels.route))].sort();
  const rows = routes.map(route => [route, rate(before, now, 'http_answer_seconds_count', labels => labels.route === route)]).filter(([, perSecond]) => perSecond > 0);
  $('routes').replaceChildren(...rows.map(([route, perSecond]) => el('tr', {}, el('th', { scope: 'row' }, route),
    ...[number(perSecond), seconds(within(0.5, before, now, route)), seconds(within(0.99, before, now, route))].map(text => el('td', {}, text)))));
  $('quiet').hidden = rows.length > 0;
}

function status(name, text) {
  if ($('status').dataset.status === name) return;
  $('status').dataset.status = name;
  $('status').textContent = text;
}

async function ask() {
  try {
    const response = await fetch('metrics', { cache: 'no-store', signal: AbortSignal.timeout(EVERY_MS) });
    if (!response.ok) throw new Error(String(response.status));
    samples.push({ at: Date.now(), metrics: parse(await response.text()) });
    if (samples.length > KEPT) samples.shift();
    status('connected', 'Connected');
    draw();
  } catch {
    status('offline', 'The server does not answer.');
  }
  setTimeout(ask, EVERY_MS);
}

ask();
