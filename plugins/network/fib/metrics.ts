/**
 * What a route says about the paths over it: `ip route ... mtu lock 1400 advmss 1360 initcwnd 30`. Linux:
 * ip_metrics_convert(), net/ipv4/metrics.c; names, order and units as iproute2's.
 */
import {
  type DstMetrics,
  type Route,
  type RouteMetric,
  RTAX_ADVMSS,
  RTAX_CC_ALGO,
  RTAX_CWND,
  RTAX_FASTOPEN_NO_COOKIE,
  RTAX_FEATURE_ECN,
  RTAX_FEATURES,
  RTAX_HOPLIMIT,
  RTAX_INITCWND,
  RTAX_INITRWND,
  RTAX_MTU,
  RTAX_QUICKACK,
  RTAX_REORDERING,
  RTAX_RTO_MIN,
  RTAX_RTT,
  RTAX_RTTVAR,
  RTAX_SSTHRESH,
  RTAX_WINDOW,
} from "./contract.ts";

/** Metrics that are numbers, with the most that is kept: more is cut to it. Linux: ip_metrics_convert(). */
const NUMBERS = [
  ["mtu", RTAX_MTU, 65535 - 15],
  ["window", RTAX_WINDOW, 2 ** 31 - 1],
  ["rtt", RTAX_RTT, 2 ** 28],
  ["rttvar", RTAX_RTTVAR, 2 ** 28],
  ["ssthresh", RTAX_SSTHRESH, 2 ** 31 - 1],
  ["cwnd", RTAX_CWND, 2 ** 31 - 1],
  ["advmss", RTAX_ADVMSS, 65535 - 40],
  ["reordering", RTAX_REORDERING, 2 ** 31 - 1],
  ["hoplimit", RTAX_HOPLIMIT, 255],
  ["initcwnd", RTAX_INITCWND, 2 ** 31 - 1],
  ["rtoMin", RTAX_RTO_MIN, 2 ** 28],
  ["initrwnd", RTAX_INITRWND, 2 ** 16 - 1],
] as const;

/** The others. */
const OTHERS = [
  ["features", RTAX_FEATURES],
  ["quickack", RTAX_QUICKACK],
  ["congctl", RTAX_CC_ALGO],
  ["fastopenNoCookie", RTAX_FASTOPEN_NO_COOKIE],
] as const;

/** RTAX_* by name. */
const INDEX: ReadonlyMap<string, number> = new Map([...NUMBERS, ...OTHERS].map(([name, index]) => [name, index]));

const FEATURES = { ecn: RTAX_FEATURE_ECN } as const;

/** A route that says nothing. */
const NOTHING: DstMetrics = {
  lock: 0,
  mtu: 0,
  window: 0,
  rtt: 0,
  rttvar: 0,
  ssthresh: 0,
  cwnd: 0,
  advmss: 0,
  reordering: 0,
  hoplimit: 0,
  initcwnd: 0,
  features: 0,
  rtoMin: 0,
  initrwnd: 0,
  quickack: false,
  congctl: "",
  fastopenNoCookie: false,
};

/** Metrics of a route; null: it says nothing. Names are checked by {@linkcode checkMetrics}. */
export function metricsOf(route: Route): DstMetrics | null {
  const out: Record<keyof DstMetrics, number | string | boolean> = { ...NOTHING };
  let lock = 0;
  for (const [name, , most] of NUMBERS) out[name] = Math.min(route[name] ?? 0, most);
  for (const name of route.features ?? []) (out.features as number) |= FEATURES[name];
  for (const name of route.lock ?? []) lock |= 1 << INDEX.get(name)!;
  // A least RTO means nothing unless it is locked: iproute2 always locks it.
  if (out.rtoMin !== 0) lock |= 1 << RTAX_RTO_MIN;
  out.lock = lock;
  out.quickack = route.quickack ?? false;
  out.congctl = route.congctl ?? "";
  out.fastopenNoCookie = route.fastopenNoCookie ?? false;
  const metrics = out as unknown as DstMetrics;
  return metricsText(metrics) === metricsText(NOTHING) ? null : metrics;
}

/** What makes two metrics the same. */
export function metricsText(m: DstMetrics | null): string {
  return m === null ? "" : (Object.keys(NOTHING) as (keyof DstMetrics)[]).map((k) => m[k]).join(",");
}

/** Whether a route has all that a deletion names. Linux: fib_metrics_match(), net/ipv4/fib_semantics.c. */
export function metricsMatch(asked: DstMetrics, have: DstMetrics | null): boolean {
  return (Object.keys(NOTHING) as (keyof DstMetrics)[]).every((k) =>
    k === "lock" || asked[k] === NOTHING[k] || asked[k] === (have ?? NOTHING)[k]
  );
}

/** Puts metrics back into words. */
export function showMetrics(m: DstMetrics, route: Route): void {
  for (const [name] of NUMBERS) if (m[name] !== 0) route[name] = m[name];
  const lock = [...INDEX].filter(([, index]) => (m.lock & 1 << index) !== 0 && index !== RTAX_RTO_MIN);
  if (lock.length > 0) route.lock = lock.map(([name]) => name as RouteMetric);
  if (m.features !== 0) route.features = ["ecn"];
  if (m.quickack) route.quickack = true;
  if (m.congctl !== "") route.congctl = m.congctl;
  if (m.fastopenNoCookie) route.fastopenNoCookie = true;
}

/** JavaScript gets no types: an unknown name is a TypeError, a number that is none a RangeError. */
export function checkMetrics(route: Route): void {
  for (const [name] of NUMBERS) {
    const value = route[name] ?? 0;
    const max = name === "mtu" ? 65535 : 2 ** 32 - 1;
    if (Number.isInteger(value) && value >= 0 && value <= max) continue;
    throw new RangeError(`Cannot use route ${route.to}: ${name} ${value}, it takes a whole number from 0 to ${max}`);
  }
  for (const name of route.lock ?? []) {
    if (INDEX.has(name)) continue;
    throw new TypeError(
      `Cannot use route ${route.to}: no metric "${name}" to lock; there are ${[...INDEX.keys()].join(", ")}`,
    );
  }
  for (const name of route.features ?? []) {
    if (Object.hasOwn(FEATURES, name)) continue;
    throw new TypeError(
      `Cannot use route ${route.to}: no feature "${name}"; there are ${Object.keys(FEATURES).join(", ")}`,
    );
  }
  for (const name of ["quickack", "fastopenNoCookie"] as const) {
    const value: unknown = route[name] ?? false;
    if (typeof value !== "boolean") {
      throw new TypeError(`Cannot use route ${route.to}: ${name} ${value}, it takes true or false`);
    }
  }
  const congctl: unknown = route.congctl ?? "";
  if (typeof congctl !== "string" || congctl.length > 15) {
    throw new TypeError(`Cannot use route ${route.to}: congctl ${congctl}, it takes a name of at most 15 letters`);
  }
}
