/**
 * The kernel half of the oracle: configures the Linux of the network namespace it runs in as a scenario says, feeds it the steps, and
 * writes down what it answered. Start it through `kernel.ts`, which makes the namespace:
 *
 *     unshare -n DENO run -A kernel_host.ts --scenario FILE.json --steps FILE --answers FILE [--drops]
 *
 * A write to a TAP runs the whole receive path before it returns, so the answers are there to be read at once.
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";
import { type Answer, type Answers, decodeSteps, encodeAnswers, type Scenario, type Step } from "./scenario.ts";
import { Tap, UdpSocket } from "./libc.ts";
import { DropTrace } from "./drop_trace.ts";

function run(command: string, ...args: string[]): void {
  const { success, stderr } = new Deno.Command(command, { args, stdout: "null", stderr: "piped" }).outputSync();
  if (!success) {
    throw new Error(`Cannot run "${command} ${args.join(" ")}": ${new TextDecoder().decode(stderr).trim()}`);
  }
}

function sysctl(name: string, value: string | number): void {
  Deno.writeTextFileSync(`/proc/sys/net/${name.replaceAll(".", "/")}`, `${value}\n`);
}

/** Nothing of the host's own accord: no IPv6, no rate limits. A scenario's own sysctls come after these. */
const QUIET: Record<string, string | number> = {
  "ipv6.conf.all.disable_ipv6": 1,
  "ipv6.conf.default.disable_ipv6": 1,
  "ipv4.icmp_ratelimit": 0,
  "ipv4.icmp_ratemask": 0,
  "ipv4.icmp_msgs_per_sec": 1_000_000_000,
  "ipv4.icmp_msgs_burst": 1_000_000_000,
};

function configure(scenario: Scenario): Tap[] {
  for (const [name, value] of Object.entries(QUIET)) {
    // A kernel without IPv6 has no such file; an older one has the message limits for the whole machine only.
    try {
      sysctl(name, value);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  run("ip", "link", "set", "lo", "up");
  const taps = scenario.devices.map((device) => {
    const tap = new Tap(device.name);
    run("ip", "link", "set", device.name, "address", device.mac, "mtu", `${device.mtu}`, "txqueuelen", "10000");
    return tap;
  });
  for (const [name, value] of Object.entries(scenario.sysctls)) {
    if (!name.includes("DEV")) sysctl(name, value);
    else for (const device of scenario.devices) sysctl(name.replace("DEV", device.name), value);
  }
  for (const device of scenario.devices) {
    for (const address of device.addresses) run("ip", "addr", "add", address, "brd", "+", "dev", device.name);
    run("ip", "link", "set", device.name, "up");
    for (const { ip, mac } of device.neighbours) {
      run("ip", "neigh", "replace", ip, "lladdr", mac, "nud", "permanent", "dev", device.name);
    }
  }
  for (const route of scenario.routes) {
    const args = ["route", "add", ...(route.type ? [route.type] : []), route.to];
    if (route.via) args.push("via", route.via);
    if (route.dev) args.push("dev", route.dev);
    if (route.mtu) args.push("mtu", `${route.mtu}`);
    run("ip", ...args);
  }
  if (scenario.filter) nft(scenario.filter.nft);
  return taps;
}

function nft(rules: string): void {
  const file = Deno.makeTempFileSync({ suffix: ".nft" });
  Deno.writeTextFileSync(file, rules);
  run("nft", "-f", file);
  Deno.removeSync(file);
}

/** All counters of /proc/net/snmp and netstat, flat. */
function counters(): Map<string, number> {
  const out = new Map<string, number>();
  for (const file of ["snmp", "netstat"]) {
    const lines = Deno.readTextFileSync(`/proc/net/${file}`).split("\n");
    for (let i = 0; i + 1 < lines.length; i += 2) {
      const names = lines[i].split(" ");
      const values = lines[i + 1].split(" ");
      for (let k = 1; k < names.length; k++) out.set(`${names[0]}${names[k]}`.replace(":", "."), Number(values[k]));
    }
  }
  return out;
}

class KernelHost {
  #counters = counters();
  readonly #taps: Tap[];
  readonly #sockets: UdpSocket[];
  readonly #drops: DropTrace | undefined;

  constructor(taps: Tap[], sockets: UdpSocket[], drops: DropTrace | undefined) {
    this.#taps = taps;
    this.#sockets = sockets;
    this.#drops = drops;
  }

  /** Everything the kernel has to say now. */
  drain(into: Answer[]): void {
    this.#taps.forEach((tap, dev) => {
      for (let bytes = tap.read(); bytes; bytes = tap.read()) into.push({ kind: "frame", dev, bytes });
    });
    this.#sockets.forEach((socket, index) => {
      const errno = socket.error();
      if (errno !== 0) into.push({ kind: "error", socket: index, errno });
      for (let got = socket.receive(); got; got = socket.receive()) {
        into.push({ kind: "datagram", socket: index, ...got });
      }
    });
  }

  /** Counters and drop reasons since the last call. Apart from drain: reading a socket moves counters of its own. */
  account(into: Answer[]): void {
    const now = counters();
    const delta: Record<string, number> = {};
    for (const [name, value] of now) {
      const moved = value - (this.#counters.get(name) ?? 0);
      if (moved !== 0) delta[name] = moved;
    }
    this.#counters = now;
    into.push({ kind: "counters", delta });
    const reasons = this.#drops?.take();
    if (reasons && reasons.length > 0) into.push({ kind: "drops", reasons });
  }

  step(step: Step): Answer[] {
    const out: Answer[] = [];
    if (step.kind === "frame") {
      const errno = this.#taps[step.dev].write(step.bytes);
      if (errno !== 0) out.push({ kind: "refused", dev: step.dev, errno });
    } else sleep(step.ms);
    this.drain(out);
    this.account(out);
    return out;
  }
}

const lock = new Int32Array(new SharedArrayBuffer(4));

function sleep(ms: number): void {
  Atomics.wait(lock, 0, 0, ms);
}

function main(): void {
  const args = parseArgs(Deno.args, {
    string: ["scenario", "steps", "answers"],
    boolean: ["drops"],
  });
  if (!args.scenario || !args.steps || !args.answers) {
    console.error("usage: kernel_host.ts --scenario FILE.json --steps FILE --answers FILE [--drops]");
    Deno.exit(2);
  }
  const scenario: Scenario = JSON.parse(Deno.readTextFileSync(args.scenario));
  const steps = decodeSteps(Deno.readFileSync(args.steps));
  const taps = configure(scenario);
  const sockets = scenario.sockets.map((socket) => new UdpSocket(socket));
  using drops = args.drops ? new DropTrace() : undefined;
  // Bringing a device up may have queued frames of the kernel's own.
  sleep(50);
  const host = new KernelHost(taps, sockets, drops);
  const before: Answer[] = [];
  host.drain(before);
  host.account(before);
  const answers: Answers = steps.map((step) => host.step(step));
  sleep(100);
  const after: Answer[] = [];
  host.drain(after);
  host.account(after);
  answers.push(after);
  Deno.writeFileSync(args.answers, encodeAnswers(answers));
  for (const each of [...taps, ...sockets]) each.close();
}

if (import.meta.main) main();
