/** What a lab file expects: each line is tried in virtual time and says what it found. */
import type { Host } from "../../../mod.ts";
import { parsePercent, parseRate, parseSize, parseTime } from "../../link/qdisc/mod.ts";
import { TCP } from "../../transport/tcp/contract.ts";
import type { Lab } from "../lab.ts";
import type { ParsedExpect } from "./schema.ts";

/** What one expectation came to. */
export interface Outcome {
  /** It holds. */
  readonly ok: boolean;
  /** The expectation in a few words: `ping a to b`. */
  readonly what: string;
  /** What was found, where it does not hold also what was expected. */
  readonly found: string;
}

/** Tries one expectation. Never throws: what goes wrong is an {@linkcode Outcome} that does not hold. */
export async function tryExpectation(lab: Lab, e: ParsedExpect): Promise<Outcome> {
  const when = "ping" in e ? e.ping.at : "http" in e ? e.http.at : "throughput" in e ? e.throughput.at : undefined;
  const wait = when === undefined ? 0 : parseTime(when, "at") - lab.machine.now;
  if (wait > 0) await lab.sleep(wait);
  try {
    if ("ping" in e) return await ping(lab, e.ping);
    if ("http" in e) return await http(lab, e.http);
    if ("throughput" in e) return await throughput(lab, e.throughput);
    if ("dropped" in e) return dropped(lab, e.dropped);
    return noDrops(lab, e["no-drops"] ?? {});
  } catch (error) {
    const { name, message } = error as Error;
    return { ok: false, what: Object.keys(e)[0], found: `${name}: ${message}` };
  }
}

/** The address of a host, or what is an address already. */
export function addressOf(lab: Lab, to: string): string {
  const host = lab.hosts.get(to);
  if (host === undefined) return to;
  for (const dev of host.link.list()) {
    const [first] = dev.name === "lo" ? [] : host.addr.list(dev.name);
    if (first !== undefined) return first.split("/")[0];
  }
  throw new TypeError(`${to} has no address`);
}

type Of<K extends string> = Extract<
  ParsedExpect,
  Record<K, unknown>
>[K & keyof Extract<ParsedExpect, Record<K, unknown>>];

async function ping(lab: Lab, e: Of<"ping">): Promise<Outcome> {
  const host = lab.host(e.from);
  const to = addressOf(lab, e.to);
  const count = e.count ?? 1;
  let lost = 0;
  let slowest = 0;
  let fastest = Infinity;
  for (let seq = 1; seq <= count; seq++) {
    try {
      const reply = await host.ping(to, { seq, ...(e.size === undefined ? {} : { size: e.size }) });
      slowest = Math.max(slowest, reply.timeNs);
      fastest = Math.min(fastest, reply.timeNs);
    } catch {
      lost++;
    }
  }
  const allowed = e["at-most-lost"] === undefined ? 0 : parsePercent(e["at-most-lost"], "at-most-lost");
  const within = e.within === undefined ? Infinity : parseTime(e.within, "within");
  const least = e["at-least"] === undefined ? 0 : parseTime(e["at-least"], "at-least");
  const ok = e.fails === true
    ? lost === count
    : lost / count <= allowed && slowest <= within && (fastest >= least || lost === count);
  const time = lost === count ? "" : `, in ${(fastest / 1e6).toFixed(3)} to ${(slowest / 1e6).toFixed(3)} ms`;
  return { ok, what: `ping ${e.from} to ${e.to}`, found: `${count - lost} of ${count} answered${time}` };
}

async function http(lab: Lab, e: Of<"http">): Promise<Outcome> {
  const host = lab.host(e.from);
  const url = new URL(e.url);
  const start = lab.machine.now;
  let got = { status: 0, body: "" };
  for (let i = 0; i < (e.count ?? 1); i++) {
    got = await get(host, addressOf(lab, url.hostname), Number(url.port || 80), url.pathname + url.search, url.host);
    if (e.status !== undefined && got.status !== e.status) break;
  }
  const ms = (lab.machine.now - start) / 1e6;
  const within = e.within === undefined ? Infinity : parseTime(e.within, "within") / 1e6;
  const ok = got.status === (e.status ?? 200) && (e.body === undefined || got.body.includes(e.body)) && ms <= within;
  const body = e.body !== undefined && !got.body.includes(e.body)
    ? `, body ${JSON.stringify(got.body.slice(0, 60))}`
    : "";
  return { ok, what: `http ${e.url} from ${e.from}`, found: `status ${got.status} in ${ms.toFixed(1)} ms${body}` };
}

/** One request on a connection of its own; HTTP/1.1, the server closes. RFC 9112. */
async function get(
  host: Host,
  hostname: string,
  port: number,
  path: string,
  name: string,
): Promise<{ status: number; body: string }> {
  using conn = await host.connect({ hostname, port });
  await conn.write(new TextEncoder().encode(`GET ${path} HTTP/1.1\r\nHost: ${name}\r\nConnection: close\r\n\r\n`));
  const text = new TextDecoder().decode(await readAll(conn));
  const split = text.indexOf("\r\n\r\n");
  return { status: Number(/^HTTP\/1\.[01] (\d{3})/.exec(text)?.[1] ?? 0), body: text.slice(split + 4) };
}

async function readAll(conn: { read(p: Uint8Array): Promise<number | null> }): Promise<Uint8Array> {
  const parts: number[] = [];
  const buf = new Uint8Array(16384);
  for (let n = await conn.read(buf); n !== null; n = await conn.read(buf)) {
    for (let i = 0; i < n; i++) parts.push(buf[i]);
  }
  return Uint8Array.from(parts);
}

async function throughput(lab: Lab, e: Of<"throughput">): Promise<Outcome> {
  const bytes = parseSize(e.bytes ?? "1mb", "bytes");
  const port = e.port ?? 5001;
  const from = lab.host(e.from);
  const to = lab.host(e.to);
  using listener = to.listen({ port });
  const sending = send(from, addressOf(lab, e.to), port, bytes, e.congestion);
  using conn = await listener.accept();
  const start = lab.machine.now;
  const buf = new Uint8Array(65536);
  let got = 0;
  for (let n = await conn.read(buf); n !== null; n = await conn.read(buf)) got += n;
  await sending;
  const took = lab.machine.now - start;
  const bps = took === 0 ? Infinity : got * 8e9 / took;
  const least = e["at-least"] === undefined ? 0 : parseRate(e["at-least"], "at-least");
  const most = e["at-most"] === undefined ? Infinity : parseRate(e["at-most"], "at-most");
  const by = e.congestion === undefined ? "" : ` with ${e.congestion}`;
  return {
    ok: got === bytes && bps >= least && bps <= most,
    what: `throughput ${e.from} to ${e.to}${by}`,
    found: `${took === 0 ? "at once" : `${(bps / 1e6).toFixed(2)} Mbit/s`}, ${got} of ${bytes} bytes`,
  };
}

/** New connections of the host use `congestion` while this one is made. */
async function send(host: Host, hostname: string, port: number, bytes: number, congestion?: string): Promise<void> {
  const tcp = host.net.get(TCP);
  const [before] = tcp.congestionControls();
  if (congestion !== undefined && !tcp.setDefaultCongestionControl(congestion)) {
    throw new TypeError(
      `no congestion control "${congestion}" on ${host.net.name}; there are ${tcp.congestionControls().join(", ")}`,
    );
  }
  const connecting = host.connect({ hostname, port });
  tcp.setDefaultCongestionControl(before);
  using conn = await connecting;
  const chunk = new Uint8Array(65536);
  for (let left = bytes; left > 0; left -= chunk.length) {
    await conn.write(left < chunk.length ? chunk.subarray(0, left) : chunk);
  }
  await conn.closeWrite();
}

function dropped(lab: Lab, e: Of<"dropped">): Outcome {
  const net = lab.switches.get(e.on)?.net ?? lab.host(e.on).net;
  const n = net.dropped(e.reason);
  const ok = n >= (e["at-least"] ?? 1) && n <= (e["at-most"] ?? Infinity);
  return { ok, what: `dropped ${e.reason} on ${e.on}`, found: `${n} packet${n === 1 ? "" : "s"}` };
}

function noDrops(lab: Lab, e: { on?: string | undefined; except?: string[] | undefined }): Outcome {
  const nets = e.on === undefined ? [...lab.hosts.values()].map((h) => h.net) : [lab.host(e.on).net];
  const found = nets.flatMap((net) =>
    Object.entries(net.dropTable()).filter(([reason]) =>
      !HARMLESS.includes(reason) && !(e.except ?? []).includes(reason)
    )
      .map(([reason, n]) => `${n} ${reason} on ${net.name}`)
  );
  return { ok: found.length === 0, what: "no drops", found: found.join(", ") || "none" };
}

/** Part of every host's day. */
const HARMLESS: readonly string[] = ["OTHERHOST", "SOCKET_CLOSE", "UNHANDLED_PROTO", "ARP_IGNORED"];
