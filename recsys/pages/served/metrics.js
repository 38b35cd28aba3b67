// The text that Prometheus reads: its samples, sums of them, and quantiles of its histograms.

const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;

export function parsed(text) {
  const samples = new Map();
  for (const line of text.split("\n")) {
    const found = line.startsWith("#") ? null : SAMPLE.exec(line);
    if (!found) continue;
    const [, name, labels = "", value] = found;
    const sample = { value: Number(value.replace("Inf", "Infinity")), labels: {} };
    for (const [, label, one] of labels.matchAll(LABEL)) sample.labels[label] = one;
    if (!samples.has(name)) samples.set(name, []);
    samples.get(name).push(sample);
  }
  return samples;
}

export function of(samples, name, isWanted = () => true) {
  return (samples.get(name) ?? []).filter((one) => isWanted(one.labels));
}

export function sum(samples, name, isWanted) {
  return of(samples, name, isWanted).reduce((total, one) => total + one.value, 0);
}

export function value(samples, name) {
  return of(samples, name)[0]?.value ?? null;
}

// The counts of a histogram up to each bound, over all its labels.
export function buckets(samples, name, isWanted) {
  const found = new Map();
  for (const { labels, value: count } of of(samples, `${name}_bucket`, isWanted)) {
    const bound = labels.le === "+Inf" ? Infinity : Number(labels.le);
    found.set(bound, (found.get(bound) ?? 0) + count);
  }
  return found;
}

export function less(after, before) {
  return new Map([...after].map(([bound, count]) => [bound, count - (before?.get(bound) ?? 0)]));
}

// Within a bucket all are taken to lie evenly, as Prometheus has it; null where there is none.
export function quantile(counts, share) {
  const bounds = [...counts.keys()].sort((a, b) => a - b);
  const total = counts.get(Infinity) ?? 0;
  if (!total) return null;
  let [low, below] = [0, 0];
  for (const bound of bounds) {
    const count = counts.get(bound);
    if (count >= share * total) {
      if (bound === Infinity) return low;
      return low + ((bound - low) * (share * total - below)) / (count - below || 1);
    }
    [low, below] = [bound, count];
  }
  return low;
}
