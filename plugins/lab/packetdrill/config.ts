/**
 * The options of a script, with packetdrill's defaults.
 *
 * @module
 */
import { type Script, ScriptError } from "./script.ts";

/** How a script is run. Times in microseconds, addresses as unsigned numbers. */
export interface Config {
  readonly localIp: number;
  readonly remoteIp: number;
  readonly gatewayIp: number;
  readonly prefix: number;
  readonly mtu: number;
  /** Payload bytes per segment of a long injected packet. */
  readonly mss: number;
  readonly bindPort: number;
  readonly connectPort: number;
  readonly toleranceUsecs: number;
  readonly tolerancePercent: number;
  readonly strictSegments: boolean;
  /** Microseconds per tick of TCP timestamps; 0: their values are not checked. */
  readonly tsTickUsecs: number;
  readonly tsEcrScaled: boolean;
}

/** A script asks for what this interpreter or this stack has not. */
export class Unsupported extends Error {
  /** Line of the script, 0: unknown. */
  readonly line: number;

  /** With what is missing. */
  constructor(what: string, line = 0) {
    super(what);
    this.name = "Unsupported";
    this.line = line;
  }
}

/** Options that change nothing here: the package has no such distinction, or the runner decides it. */
const IGNORED = new Set([
  "send_omit_free",
  "verbose",
  "v",
  "dry_run",
  "persistent_tun_dev",
  "no_cleanup",
  "udp_encaps",
  "define",
]);
const DEFAULT_LOCAL = "192.168.0.1";

/** Reads the options. Throws {@linkcode Unsupported} or a {@linkcode ScriptError}. */
export function configOf(script: Script): Config {
  const { options, optionLines } = script;
  const known = new Set([
    ...IGNORED,
    "ip_version",
    "local_ip",
    "remote_ip",
    "gateway_ip",
    "netmask_ip",
    "mtu",
    "mss",
    "bind_port",
    "connect_port",
    "tolerance_usecs",
    "tolerance_percent",
    "strict_segments",
    "tcp_ts_tick_usecs",
    "tcp_ts_ecr_scaled",
  ]);
  for (const name of options.keys()) {
    if (!known.has(name)) throw new Unsupported(`option --${name}`, optionLines.get(name) ?? 0);
  }
  const version = options.get("ip_version") ?? "ipv4";
  if (version !== "ipv4") {
    throw new Unsupported(`--ip_version=${version}: the stack is IPv4`, optionLines.get("ip_version"));
  }
  const number = (name: string, normal: number): number => {
    const text = options.get(name);
    if (text === undefined) return normal;
    const value = Number(text);
    if (text !== "" && Number.isFinite(value) && value >= 0) return value;
    throw new ScriptError(script.file, optionLines.get(name) ?? 1, `--${name} takes a number, not "${text}"`);
  };
  const address = (name: string, normal: string): number => {
    const text = options.get(name) ?? normal;
    const value = parseAddress(text);
    if (value !== null) return value;
    throw new Unsupported(`--${name}=${text}: no IPv4 address`, optionLines.get(name) ?? 0);
  };
  const localIp = address("local_ip", DEFAULT_LOCAL);
  const gateway = address("gateway_ip", "192.168.0.2");
  const mtu = number("mtu", 1500);
  return {
    localIp,
    remoteIp: address("remote_ip", "192.0.2.1"),
    gatewayIp: gateway === localIp ? ((localIp & ~3) | (((localIp & 3) ^ 2) || 1)) >>> 0 : gateway,
    prefix: prefixOf(address("netmask_ip", "255.255.0.0")),
    mtu,
    mss: number("mss", Math.max(mtu - 40, 1)),
    bindPort: number("bind_port", 8080),
    connectPort: number("connect_port", 8080),
    toleranceUsecs: number("tolerance_usecs", 4000),
    tolerancePercent: number("tolerance_percent", 12.5),
    strictSegments: options.has("strict_segments"),
    tsTickUsecs: number("tcp_ts_tick_usecs", 0),
    tsEcrScaled: options.has("tcp_ts_ecr_scaled"),
  };
}

/** `192.0.2.1`, or null. A prefix length behind it is ignored. */
export function parseAddress(text: string): number | null {
  const m = /^(\d+)\.(\d+)\.(\d+)\.(\d+)(?:\/\d+)?$/.exec(text);
  if (m === null) return null;
  const parts = m.slice(1).map(Number);
  return parts.some((p) => p > 255) ? null : parts.reduce((a, p) => a * 256 + p, 0);
}

function prefixOf(mask: number): number {
  let n = 0;
  for (let bit = 31; bit >= 0 && (mask >>> bit & 1) === 1; bit--) n++;
  return n;
}
