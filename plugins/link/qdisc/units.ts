/**
 * Amounts as `tc` writes them: `10ms`, `20mbit`, `0.5%`, `32kb`. tc(8), "PARAMETERS".
 *
 * @module
 */

const TIME_NS: Readonly<Record<string, number>> = { ns: 1, us: 1e3, ms: 1e6, s: 1e9, "": 1e3 };
const RATE_BPS: Readonly<Record<string, number>> = {
  "": 1,
  bit: 1,
  kbit: 1e3,
  mbit: 1e6,
  gbit: 1e9,
  tbit: 1e12,
  bps: 8,
  kbps: 8e3,
  mbps: 8e6,
  gbps: 8e9,
};
const SIZE_BYTES: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  k: 1024,
  kb: 1024,
  m: 1 << 20,
  mb: 1 << 20,
  g: 1 << 30,
  gb: 1 << 30,
};

function parse(value: unknown, units: Readonly<Record<string, number>>, what: string, like: string): number {
  const m = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(String(value).trim());
  const unit = m === null ? undefined : units[m[2].toLowerCase()];
  if (m === null || unit === undefined) throw new TypeError(`Cannot use ${what} "${value}": expected one like ${like}`);
  return Number(m[1]) * unit;
}

/** Nanoseconds of `10ms`; a bare number is microseconds, as tc has it. A TypeError otherwise. */
export function parseTime(value: unknown, what: string): number {
  return parse(value, TIME_NS, what, "10ms, 200us or 1s");
}

/** Bits per second of `20mbit`; a bare number is bits per second. `mbps` is megabytes, as tc has it. */
export function parseRate(value: unknown, what: string): number {
  return parse(value, RATE_BPS, what, "20mbit, 1gbit or 100kbit");
}

/** Bytes of `32kb`; a bare number is bytes. */
export function parseSize(value: unknown, what: string): number {
  return parse(value, SIZE_BYTES, what, "1500, 32kb or 1mb");
}

/** A share from 0 to 1 of `0.5%`; a bare number is per cent, as tc has it. */
export function parsePercent(value: unknown, what: string): number {
  const m = /^(\d+(?:\.\d+)?)\s*%?$/.exec(String(value).trim());
  const share = m === null ? NaN : Number(m[1]) / 100;
  if (!(share >= 0 && share <= 1)) throw new TypeError(`Cannot use ${what} "${value}": expected 0% to 100%`);
  return share;
}
