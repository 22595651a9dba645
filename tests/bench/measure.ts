/** Measuring loops: a warm-up, then rounds of a fixed time, one sample each. */

/** Milliseconds of one round. */
export const ROUND_MS = 150;
/** Milliseconds of warm-up: V8 needs some 25 ms to optimize the path, twice that with deoptimizations. */
export const WARM_MS = 600;

/** Times `work`, which does some operations and returns how many; one sample of operations per second a round. */
export function perSecond(rounds: number, work: () => number): number[] {
  runFor(WARM_MS, work);
  const samples: number[] = [];
  for (let i = 0; i < rounds; i++) samples.push(runFor(ROUND_MS, work));
  return samples;
}

/** The same in ns per operation. */
export function nsPer(rounds: number, work: () => number): number[] {
  return perSecond(rounds, work).map((rate) => 1e9 / rate);
}

function runFor(ms: number, work: () => number): number {
  let done = 0;
  const start = performance.now();
  let now = start;
  while (now - start < ms) {
    for (let i = 0; i < 8; i++) done += work();
    now = performance.now();
  }
  return done / ((now - start) / 1000);
}

/** Median of the samples. */
export function median(samples: readonly number[]): number {
  const sorted = [...samples].sort((x, y) => x - y);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}
