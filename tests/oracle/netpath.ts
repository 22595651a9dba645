/**
 * The netpath half of the oracle: a host as the scenario says, on virtual time, fed with the same steps as the kernel.
 *
 * @module
 */

import { createHost, type Host, Machine } from "../../mod.ts";
import { arp } from "../../plugins/network/arp/mod.ts";
import { type Channel, channel } from "../../plugins/device/channel/mod.ts";
import { filter } from "../../plugins/network/filter/mod.ts";
import { INET, ipToString, needIp, type SnmpMib } from "../../plugins/network/inet/mod.ts";
import {
  AF_INET,
  msgHdr,
  SO_ERROR,
  SO_RCVBUF,
  SO_REUSEADDR,
  SOCK_DGRAM,
  SOL_SOCKET,
} from "../../plugins/transport/sock/mod.ts";
import { inject } from "./inject.ts";
import type { Answer, Answers, Scenario, ScenarioSocket, Step } from "./scenario.ts";

/** What the kernel half refuses by errno, a device of netpath's drops: the shortest Ethernet frame. */
const SHORTEST = 14;
const MS = 1e6;

/** As the kernel half: no rate limits. */
const QUIET: Record<string, number> = {
  "ipv4.icmp_ratelimit": 0,
  "ipv4.icmp_ratemask": 0,
  "ipv4.icmp_msgs_per_sec": 1_000_000_000,
  "ipv4.icmp_msgs_burst": 1_000_000_000,
};

/** Feeds the steps to netpath. A leak, a double free or a throw on the path is an Error. */
export function runNetpath(scenario: Scenario, steps: readonly Step[]): Answers {
  const machine = new Machine({ seed: 1, autoAdvance: false, debug: true, strict: true });
  const run = new NetpathHost(machine, scenario);
  const answers = run.run(steps);
  machine[Symbol.dispose]();
  const faults = machine.skbs.faults();
  if (faults.length > 0) throw new Error(`netpath handles packets wrongly: ${JSON.stringify(faults.slice(0, 5))}`);
  if (machine.skbs.live !== 0) throw new Error(`${machine.skbs.live} packets are left over`);
  return answers;
}

/** Counters by the names of /proc/net/snmp and netstat, flat. */
function countersOf(mib: SnmpMib): Map<string, number> {
  const out = new Map<string, number>();
  const groups = { Ip: mib.ip, IpExt: mib.ipExt, Icmp: mib.icmp, Udp: mib.udp };
  for (const [group, values] of Object.entries(groups)) {
    for (const [name, value] of Object.entries(values)) out.set(`${group}.${name}`, value);
  }
  mib.icmpMsg.inType.forEach((value, type) => value && out.set(`IcmpMsg.InType${type}`, value));
  mib.icmpMsg.outType.forEach((value, type) => value && out.set(`IcmpMsg.OutType${type}`, value));
  return out;
}

const KNOWN = new Set((() => {
  const machine = new Machine();
  const names = [...countersOf(createHost({ machine }).net.get(INET).mib).keys()];
  machine[Symbol.dispose]();
  return names;
})());

/** Whether netpath has the counter: the kernel has more groups. */
export function netpathCounts(name: string): boolean {
  return KNOWN.has(name) || name.startsWith("IcmpMsg.");
}

class NetpathHost {
  readonly #machine: Machine;
  readonly #host: Host;
  readonly #channels: Channel[];
  readonly #sockets: number[];
  readonly #mib: SnmpMib;
  readonly #message = msgHdr(new Uint8Array(1 << 17));
  #counters: Map<string, number>;
  #drops: string[] = [];

  constructor(machine: Machine, scenario: Scenario) {
    this.#machine = machine;
    this.#host = createHost({ machine, name: scenario.name, plugins: [arp({ learnAnySender: true })] });
    if (scenario.filter) this.#host.net.use(filter(scenario.filter.netpath));
    this.#channels = this.#configure(scenario);
    this.#sockets = scenario.sockets.map((socket) => this.#open(socket));
    this.#mib = this.#host.net.get(INET).mib;
    this.#counters = countersOf(this.#mib);
  }

  #configure(scenario: Scenario): Channel[] {
    const { net, addr, neigh, route } = this.#host;
    for (const [name, value] of Object.entries(QUIET)) this.#host.sysctl(`net.${name}`, value);
    const channels = scenario.devices.map((device) =>
      channel(net, device.name, { mtu: device.mtu, address: device.mac, txQueueLen: 10_000, limit: 1 << 20 })
    );
    for (const [name, value] of Object.entries(scenario.sysctls)) {
      const names = name.includes("DEV") ? scenario.devices.map((dev) => name.replace("DEV", dev.name)) : [name];
      for (const each of names) this.#host.sysctl(`net.${each}`, Number(value));
    }
    for (const device of scenario.devices) {
      for (const address of device.addresses) addr.add(device.name, address);
      for (const { ip, mac } of device.neighbours) neigh.set(device.name, ip, mac);
    }
    for (const { to, ...rest } of scenario.routes) route.add(to, rest);
    return channels;
  }

  #open({ bind, port, connect, reuse }: ScenarioSocket): number {
    const { sys } = this.#host;
    const must = (result: number, what: string): number => {
      if (result < 0) throw new Error(`Cannot ${what}: errno ${-result}`);
      return result;
    };
    const fd = must(sys.socket(AF_INET, SOCK_DGRAM, 0), "open a socket");
    must(sys.setsockopt(fd, SOL_SOCKET, SO_RCVBUF, 1 << 20), "set SO_RCVBUF");
    if (reuse) must(sys.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1), "set SO_REUSEADDR");
    must(sys.bind(fd, needIp(bind, "bind"), port), `bind to ${bind}:${port}`);
    if (connect) {
      must(sys.connect(fd, needIp(connect.address, "connect"), connect.port), `connect to ${connect.address}`);
    }
    return fd;
  }

  run(steps: readonly Step[]): Answers {
    const { bus, reasons } = this.#machine;
    using _drops = bus.on("skb:kfree_skb", (_skb, reason) => this.#drops.push(reasons.get(reason).name));
    this.#machine.advance(50 * MS);
    this.#drain([]);
    this.#account([]);
    const answers = steps.map((step) => this.#step(step));
    answers.push(this.#step({ kind: "wait", ms: 100, note: "" }));
    return answers;
  }

  #step(step: Step): Answer[] {
    const out: Answer[] = [];
    if (step.kind === "wait") this.#machine.advance(step.ms * MS);
    else if (step.bytes.length < SHORTEST) out.push({ kind: "refused", dev: step.dev, errno: 22 });
    else inject(this.#channels[step.dev], step.bytes);
    this.#drain(out);
    this.#account(out);
    return out;
  }

  #drain(into: Answer[]): void {
    this.#channels.forEach((ch, dev) => {
      for (let bytes = ch.read(); bytes; bytes = ch.read()) into.push({ kind: "frame", dev, bytes });
    });
    const { sys } = this.#host;
    const message = this.#message;
    this.#sockets.forEach((fd, socket) => {
      const errno = sys.getsockopt(fd, SOL_SOCKET, SO_ERROR);
      if (errno !== 0) into.push({ kind: "error", socket, errno });
      for (;;) {
        message.len = message.buf.length;
        const length = sys.recvmsg(fd, message, 0);
        if (length < 0) break;
        const from = ipToString(message.addr);
        into.push({ kind: "datagram", socket, from, port: message.port, bytes: message.buf.slice(0, length) });
      }
    });
  }

  #account(into: Answer[]): void {
    const now = countersOf(this.#mib);
    const delta: Record<string, number> = {};
    for (const [name, value] of now) {
      const moved = value - (this.#counters.get(name) ?? 0);
      if (moved !== 0) delta[name] = moved;
    }
    this.#counters = now;
    into.push({ kind: "counters", delta });
    if (this.#drops.length > 0) into.push({ kind: "drops", reasons: this.#drops.splice(0) });
  }
}
