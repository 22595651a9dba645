/**
 * Runs inside `unshare -n`: transfers over emulated links, all at the same time. Its argument is a list of {@linkcode Transfer} as JSON; it
 * prints the {@linkcode Delivered} of each as JSON. With `receive` as its first argument it is the kernel's receiver of one, in a namespace
 * of its own.
 *
 * @module
 */
import type { Host } from "../../mod.ts";
import { TCP } from "../../plugins/transport/tcp/mod.ts";
import { type Link, type LinkSpec, makeLink, type Party, sh } from "./goodput_link.ts";

/** What is to be done. */
export interface Transfer extends LinkSpec {
  /** From the begin of the connection, the handshake and slow start included. */
  seconds: number;
  /** Sender. */
  from: Party;
  /** Receiver. */
  to: Party;
}

/** What came out; of the sender's state the average over the transfer. */
export interface Delivered extends Seen {
  /** Mbit/s that the receiving application read. */
  mbit: number;
  /** Packets that netem dropped. */
  dropped: number;
}

/** A sender's state. */
export interface Seen {
  /** Least round trip and smoothed one, milliseconds. */
  minRtt: number;
  rtt: number;
  /** Packets. */
  cwnd: number;
}

/** What sender and receiver use of a connection: Deno's and netpath's are alike. */
interface Conn {
  read(p: Uint8Array): Promise<number | null>;
  write(p: Uint8Array): Promise<number>;
  close(): void;
}

const PORT = 5000;
const SAMPLE_MS = 500;

/** Reads for so long; Mbit/s. */
async function receive(conn: Conn, seconds: number): Promise<number> {
  const buffer = new Uint8Array(1 << 16);
  const start = performance.now();
  let [bytes, over] = [0, false];
  const timer = setTimeout(() => {
    over = true;
    conn.close();
  }, seconds * 1000);
  try {
    for (let n = await conn.read(buffer); n !== null && !over; n = await conn.read(buffer)) bytes += n;
  } catch (error) {
    if (!over) throw error;
  }
  clearTimeout(timer);
  if (!over) throw new Error(`The sender ended after ${(performance.now() - start).toFixed(0)} ms`);
  return bytes * 8 / seconds / 1e6;
}

/** Writes until the receiver goes, or the connection is closed here. */
async function send(conn: Conn): Promise<void> {
  const bytes = new Uint8Array(1 << 16).fill(0x55);
  try {
    for (;;) await conn.write(bytes);
  } catch {
    // It went.
  }
}

/** The kernel's receiver: one connection, and a line with the Mbit/s of it. */
async function receiver(seconds: number): Promise<void> {
  const say = (line: string): Promise<number> => Deno.stdout.write(new TextEncoder().encode(`${line}\n`));
  const listener = Deno.listen({ port: PORT });
  // The namespace lives as long as this process, and it as long as the worker.
  const over = Deno.stdin.read(new Uint8Array(8)).then(() => Deno.exit(0));
  await say("listening");
  await say(`${await receive(await listener.accept(), seconds)}`);
  await over;
}

/** Kernel settings of a namespace. Nothing is remembered of former connections, and no buffer is the limit. */
function kernelSetup(): string {
  const values = {
    "net.ipv4.tcp_no_metrics_save": "1",
    "net.ipv4.tcp_wmem": "4096 16384 4194304",
    "net.ipv4.tcp_rmem": "4096 131072 6291456",
  };
  const lines = Object.entries(values).map(([name, value]) => `sysctl -qw '${name}=${value}'`);
  // Not every kernel has IPv6.
  return ["sysctl -qw net.ipv6.conf.all.disable_ipv6=1 || true", ...lines, "ip link set lo up"].join("; ");
}

/** The other namespace, with the kernel's receiver in it. */
class OtherKernel {
  readonly #child: Deno.ChildProcess;
  readonly #lines: ReadableStreamDefaultReader<string>;
  #rest = "";

  constructor(seconds: number) {
    const script = new URL(import.meta.url).pathname;
    this.#child = new Deno.Command("unshare", {
      args: ["-n", Deno.execPath(), "run", "--no-check", "-A", script, "receive", `${seconds}`],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#lines = this.#child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  get pid(): number {
    return this.#child.pid;
  }

  async line(): Promise<string> {
    while (!this.#rest.includes("\n")) {
      const { value, done } = await this.#lines.read();
      if (done) throw new Error("The kernel's receiver ended");
      this.#rest += value;
    }
    const end = this.#rest.indexOf("\n");
    const line = this.#rest.slice(0, end);
    this.#rest = this.#rest.slice(end + 1);
    return line;
  }

  async end(): Promise<void> {
    await this.#child.stdin.close();
    await this.#lines.cancel();
    await this.#child.status;
  }
}

/** A receiver on a netpath host. */
async function netpathReceiver(host: Host, seconds: number): Promise<number> {
  const listener = host.listen({ port: PORT });
  const conn = await listener.accept();
  const mbit = await receive(conn, seconds);
  listener.close();
  return mbit;
}

/** Looks at the sender now and then; the averages over `seconds`. */
async function watch({ left, address }: Link, seconds: number): Promise<Seen> {
  const samples: Seen[] = [];
  const until = performance.now() + seconds * 1000 - SAMPLE_MS;
  while (performance.now() < until) {
    await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS));
    const now = left === null ? await kernelSees(address) : netpathSees(left);
    if (now !== undefined) samples.push(now);
  }
  const mean = (key: keyof Seen): number => samples.reduce((sum, s) => sum + s[key], 0) / samples.length;
  return { minRtt: mean("minRtt"), rtt: mean("rtt"), cwnd: mean("cwnd") };
}

function netpathSees(host: Host): Seen | undefined {
  const tcp = host.net.get(TCP);
  const sk = tcp.diag().find(({ dport }) => dport === PORT)?.sk;
  if (sk === null || sk === undefined) return undefined;
  const info = tcp.info(sk);
  return { minRtt: info.tcpi_min_rtt / 1000, rtt: info.tcpi_rtt / 1000, cwnd: info.tcpi_snd_cwnd };
}

async function kernelSees(address: string): Promise<Seen | undefined> {
  const text = await sh(`ss -tinHO dst ${address}`);
  const number = (name: string): number => Number(new RegExp(`\\b${name}:([0-9.]+)`).exec(text)?.[1]);
  const seen = { minRtt: number("minrtt"), rtt: number("rtt"), cwnd: number("cwnd") };
  return Number.isNaN(seen.minRtt + seen.rtt + seen.cwnd) ? undefined : seen;
}

/** A transfer that can begin. */
interface Ready {
  transfer: Transfer;
  link: Link;
  /** Where the right end's namespace is, and its receiver where that is the kernel's. */
  other: OtherKernel;
}

async function prepare(transfer: Transfer, index: number): Promise<Ready> {
  const other = new OtherKernel(transfer.seconds);
  await other.line();
  await sh(`nsenter -t ${other.pid} -n sh -ec "${kernelSetup()}"`);
  return { transfer, other, link: await makeLink(index, transfer.from, transfer.to, other.pid, transfer) };
}

async function carry({ transfer, link, other }: Ready): Promise<Delivered> {
  const { seconds } = transfer;
  const ours = link.right === null ? null : netpathReceiver(link.right, seconds);
  const to = { hostname: link.address, port: PORT };
  const conn = await (link.left === null ? Deno.connect(to) : link.left.connect(to));
  const sending = send(conn);
  const watching = watch(link, seconds);
  const mbit = await (ours ?? other.line().then(Number));
  conn.close();
  await sending;
  return { mbit, dropped: link.dropped(), ...await watching };
}

async function worker(transfers: readonly Transfer[]): Promise<Delivered[]> {
  await sh(kernelSetup());
  const ready: Ready[] = [];
  for (const [i, transfer] of transfers.entries()) ready.push(await prepare(transfer, i + 1));
  const delivered = await Promise.all(ready.map(carry));
  for (const { link, other } of ready) {
    await link.close();
    await other.end();
  }
  return delivered;
}

if (import.meta.main) {
  if (Deno.args[0] === "receive") await receiver(Number(Deno.args[1]));
  else {
    console.log(JSON.stringify(await worker(JSON.parse(Deno.args[0]))));
    Deno.exit(0);
  }
}
