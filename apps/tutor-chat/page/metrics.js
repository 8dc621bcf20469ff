// Reading the text that `/metrics` gives, and comparing two of its samples.

/** The values of a metric together, of the labels that are wanted. */
export const sum = (sample, name, wanted = () => true) =>
  (sample.get(name) ?? []).filter(({ labels }) => wanted(labels)).reduce((all, { value }) => all + value, 0);

/** The lines of the text format: name to `[{labels, value}]`. */
export function parse(text) {
  const metrics = new Map();
  for (const line of text.split('\n')) {
    const found = line.match(/^([a-z_]+)(?:\{(.*)\})? (\S+)/);
    if (!found || line.startsWith('#')) continue;
    const [, name, list, value] = found;
    const labels = Object.fromEntries([...(list ?? '').matchAll(/(\w+)="([^"]*)"/g)].map(([, key, label]) => [key, label]));
    metrics.set(name, [...(metrics.get(name) ?? []), { labels, value: Number(value) }]);
  }
  return metrics;
}

/** The change per second between two samples; none if the server began anew in between. */
export function rate(before, now, name, wanted) {
  if (!before || !now) return undefined;
  const change = sum(now.metrics, name, wanted) - sum(before.metrics, name, wanted);
  return change < 0 ? undefined : change / ((now.at - before.at) / 1000);
}

/** The bound below which this share of the answers of a route came, in seconds. */
export function within(share, before, now, route) {
  const name = 'http_answer_seconds_bucket';
  const buckets = (now.metrics.get(name) ?? []).filter(({ labels }) => labels.route === route);
  const count = ({ labels, value }) => value - sum(before.metrics, name, old => old.route === route && old.le === labels.le);
  const all = Math.max(0, ...buckets.map(count));
  const bound = buckets.find(bucket => all > 0 && count(bucket) >= share * all);
  return bound && Number(bound.labels.le.replace('+Inf', 'Infinity'));
}
