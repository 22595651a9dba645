/** The rows that run in one process on virtual time: no root, no kernel. */
import { createHost, type Host, Machine } from "../../mod.ts";
import { RX_HANDLER_CONSUMED, type SkBuff } from "../../core/mod.ts";
import { type Nic, nic, wire } from "../../plugins/device/nic/mod.ts";
import { vethPair } from "../../plugins/device/veth/mod.ts";
import { FIB } from "../../plugins/network/fib/mod.ts";
import { NF_ACCEPT, NF_INET_LOCAL_OUT, nfRegisterNetHook } from "../../plugins/network/netfilter/mod.ts";
import { type MsgHdr, msgHdr } from "../../plugins/transport/sock/mod.ts";
import { needIp } from "../../plugins/network/inet/mod.ts";
import { eth, ipv4, udp } from "../support/frames/build.ts";
import { median, nsPer, perSecond } from "./measure.ts";
import type { Row } from "./row.ts";

const BATCH = 64;
const IP_A = needIp("10.0.0.1", "address");
const IP_B = needIp("10.0.0.2", "address");

/** Two hosts joined by a device pair; with several queues there are as many CPUs. */
function pair(device: "nic" | "veth", queues = 1): { a: Host; b: Host } {
  const machine = new Machine({ seed: 1, autoAdvance: false, cpus: queues });
  const a = createHost({ machine, name: "a" });
  const b = createHost({ machine, name: "b" });
  if (device === "nic") {
    const cable = wire(machine);
    // As many buffers in all, so that the rows differ by the queues and not by what the caches hold.
    const ring = { rxRing: 512 / queues, txRing: 512 };
    nic(a.net, "eth0", { wire: cable, ...ring, queues });
    nic(b.net, "eth0", { wire: cable, ...ring, queues });
  } else vethPair(a.net, "eth0", b.net, "eth0", { offloads: false });
  a.addr.add("eth0", "10.0.0.1/24");
  b.addr.add("eth0", "10.0.0.2/24");
  return { a, b };
}

/** Sends batches of datagrams from `a` to `b` and reads them; gives the work function. Checks that all arrive. */
export function udpWork(device: "nic" | "veth", size: number, queues = 1): { work: () => number; a: Host; b: Host } {
  const { a, b } = pair(device, queues);
  const rx = b.sys.socket(2, 2, 17);
  b.sys.bind(rx, IP_B, 7);
  const tx = a.sys.socket(2, 2, 17);
  a.sys.bind(tx, IP_A, 5000);
  a.sys.connect(tx, IP_B, 7);
  const payload = new Uint8Array(size).map((_, i) => i & 0xff);
  const out: MsgHdr[] = Array.from({ length: BATCH }, () => msgHdr(payload));
  const into = msgHdr(new Uint8Array(2048));
  // The first datagram waits for ARP.
  a.sys.sendmsg(tx, out[0], 0);
  a.machine.runUntilIdle(1e9);
  b.sys.recvmsg(rx, into, 0);
  const work = (): number => {
    a.sys.sendmmsg(tx, out, BATCH, 0);
    let n = 0;
    into.len = 2048;
    while (b.sys.recvmsg(rx, into, 0) === size) {
      n++;
      into.len = 2048;
    }
    if (n !== BATCH) throw new Error(`udp bench lost packets: ${n} of ${BATCH}, ${JSON.stringify(b.net.dropTable())}`);
    return n;
  };
  work();
  return { work, a, b };
}

/**
 * The same from 16 flows, each with a socket, so that all queues have work: 64 datagrams for each queue, one exit for the
 * batch. Checks that all arrive, and that every queue of the receiver took its part.
 */
export function flowsWork(queues: number, batch = queues * BATCH): () => number {
  const FLOWS = 16;
  const { a, b } = pair("nic", queues);
  const servers = Array.from({ length: 8 }, (_, i) => {
    const fd = b.sys.socket(2, 2, 17);
    b.sys.bind(fd, IP_B, 7 + i);
    return fd;
  });
  const flows = Array.from({ length: FLOWS }, (_, i) => {
    const fd = a.sys.socket(2, 2, 17);
    a.sys.bind(fd, IP_A, 5000 + 97 * i);
    a.sys.connect(fd, IP_B, 7 + i % servers.length);
    return fd;
  });
  const payload = new Uint8Array(64).map((_, i) => i & 0xff);
  const out: MsgHdr[] = Array.from({ length: batch / FLOWS }, () => msgHdr(payload));
  const into = msgHdr(new Uint8Array(2048));
  const read = (): number => {
    let n = 0;
    for (const fd of servers) for (into.len = 2048; b.sys.recvmsg(fd, into, 0) === 64; into.len = 2048) n++;
    return n;
  };
  a.sys.sendmsg(flows[0], out[0], 0);
  a.machine.runUntilIdle(1e9);
  read();
  const send = (): void => {
    for (const fd of flows) a.sys.sendmmsg(fd, out, out.length, 0);
  };
  const work = (): number => {
    a.machine.batch(send);
    const n = read();
    if (n !== batch) {
      throw new Error(`flows bench lost packets: ${n} of ${batch}, ${JSON.stringify(b.net.dropTable())}`);
    }
    return n;
  };
  work();
  const taken = (b.link.get("eth0").priv as Nic).queues.map((q) => q.stats.rxPackets);
  if (taken.some((n) => n < batch / queues / 4)) throw new Error(`flows bench: the queues took ${taken}`);
  return work;
}

/** A generator device, a router, and a sink: the router's whole path and both DMAs. */
function forwardWork(): () => number {
  const machine = new Machine({ seed: 1, autoAdvance: false });
  const gen = createHost({ machine, name: "gen" });
  const router = createHost({ machine, name: "router", forwarding: true });
  const sink = createHost({ machine, name: "sink" });
  const left = wire(machine), right = wire(machine);
  const ring = { rxRing: 512, txRing: 512 };
  const dev = nic(gen.net, "eth0", { wire: left, ...ring, address: "02:00:00:00:00:01" }).dev;
  nic(router.net, "eth0", { wire: left, ...ring, address: "02:00:00:00:00:02" });
  nic(router.net, "eth1", { wire: right, ...ring, address: "02:00:00:00:00:03" });
  const last = nic(sink.net, "eth0", { wire: right, ...ring, address: "02:00:00:00:00:04" }).dev;
  dev.open();
  router.addr.add("eth0", "10.0.0.1/24");
  router.addr.add("eth1", "10.0.1.1/24");
  router.neigh.set("eth1", "10.0.1.2", "02:00:00:00:00:04");
  last.open();
  let arrived = 0;
  last.rxHandler = (skb: SkBuff) => {
    arrived++;
    skb.consume();
    return RX_HANDLER_CONSUMED;
  };
  const frame = eth(
    { dst: "02:00:00:00:00:02", src: "02:00:00:00:00:01", type: 0x0800 },
    ipv4(
      { src: "10.0.0.2", dst: "10.0.1.2", proto: 17, ttl: 64 },
      udp({ sport: 1, dport: 9 }, new Uint8Array(18)),
    ),
  );
  const template = machine.skbs.alloc(256)!;
  template.reserve(64);
  const at = template.put(frame.length);
  for (let i = 0; i < frame.length; i++) template.bytes[at + i] = frame[i];
  template.dev = dev;
  return () => {
    arrived = 0;
    machine.enter();
    // The generator is its driver alone: one doorbell for the batch, no stack.
    for (let i = 1; i <= BATCH; i++) {
      const skb = template.clone()!;
      skb.dev = dev;
      dev.ops.startXmit(skb, dev, i < BATCH);
    }
    machine.exit();
    if (arrived !== BATCH) {
      throw new Error(`forward bench lost packets: ${arrived}, ${JSON.stringify(router.net.dropTable())}`);
    }
    return arrived;
  };
}

/** ns that one more accepting hook costs: ten more of them, divided by ten; rounds with and without alternate. */
function hookCost(rounds: number): number[] {
  const { work, a } = udpWork("nic", 64);
  const add = (n: number): Disposable[] =>
    Array.from(
      { length: n },
      (_, i) =>
        nfRegisterNetHook(a.net, { name: `accept${i}`, hook: NF_INET_LOCAL_OUT, priority: i, fn: () => NF_ACCEPT }),
    );
  const first = add(1);
  nsPer(1, work);
  const samples: number[] = [];
  for (let i = 0; i < rounds; i++) {
    const one = median(nsPer(3, work));
    const more = add(10);
    const eleven = median(nsPer(3, work));
    for (const h of more) h[Symbol.dispose]();
    samples.push((eleven - one) / 10);
  }
  for (const h of first) h[Symbol.dispose]();
  return samples;
}

/** ns of one look-up among `n` routes, 65,536 random destinations, no cache. */
function routeCost(rounds: number, n: number): number[] {
  const { a } = pair("nic");
  const fib = a.net.get(FIB);
  let state = 12345;
  const rand = (): number => (state = (Math.imul(state, 1103515245) + 12345) | 0) >>> 0;
  a.route.add("default", { via: "10.0.0.254" });
  for (let i = 1; i < n;) {
    const prefix = 8 + rand() % 17;
    const to = (20 + rand() % 180) * 2 ** 24 + rand() % 2 ** 24;
    const net = (prefix === 0 ? 0 : to & (-1 << (32 - prefix))) >>> 0;
    const text = `${net >>> 24}.${net >>> 16 & 255}.${net >>> 8 & 255}.${net & 255}/${prefix}`;
    if (fib.add({ to: text, via: "10.0.0.254" }) === 0) i++;
    else if (n > 50000 && prefix < 16) continue;
  }
  fib.cacheEnabled = false;
  const dst = Int32Array.from({ length: 65536 }, () => ((20 + rand() % 180) << 24) | (rand() & 0xffffff));
  return nsPer(rounds, () => {
    let found = 0;
    for (let i = 0; i < 65536; i++) if (fib.routeOutput(dst[i], 0, 0, 0) !== null) found++;
    if (found !== 65536) throw new Error(`route bench: ${found} of 65536 found`);
    return 65536;
  });
}

/** Bytes of JavaScript heap per packet at steady state; the young generation is large enough that nothing is collected. */
function allocPerPacket(rounds: number): number[] {
  const { work } = udpWork("nic", 64);
  for (let i = 0; i < 6000; i++) work();
  const samples: number[] = [];
  for (let i = 0; i < rounds; i++) {
    const before = Deno.memoryUsage().heapUsed;
    let packets = 0;
    for (let k = 0; k < 1500; k++) packets += work();
    samples.push(Math.max(0, Deno.memoryUsage().heapUsed - before) / packets);
  }
  return samples;
}

const udpRow = (device: "nic" | "veth", size: number): Row => ({
  unit: "packets/s",
  device,
  run: (rounds) => perSecond(rounds, udpWork(device, size).work),
});

/** The rows by name. */
export const rows: Record<string, Row> = {
  "udp.64": udpRow("nic", 64),
  "udp.1472": udpRow("nic", 1472),
  "veth.udp.64": udpRow("veth", 64),
  "nic1.udp.64": { unit: "packets/s", device: "nic", run: (rounds) => perSecond(rounds, flowsWork(1)) },
  "nic4.udp.64": { unit: "packets/s", device: "nic", run: (rounds) => perSecond(rounds, flowsWork(4)) },
  "forward.64": { unit: "packets/s", device: "nic", run: (rounds) => perSecond(rounds, forwardWork()) },
  "udp.64.inline": udpRow("nic", 64),
  "forward.64.inline": { unit: "packets/s", device: "nic", run: (rounds) => perSecond(rounds, forwardWork()) },
  "hook.cost": { unit: "ns", device: "nic", run: hookCost },
  "route.cost.1": { unit: "ns", device: "none", run: (rounds) => routeCost(rounds, 1) },
  "route.cost.1000": { unit: "ns", device: "none", run: (rounds) => routeCost(rounds, 1000) },
  "route.cost.100000": { unit: "ns", device: "none", run: (rounds) => routeCost(rounds, 100000) },
  "alloc.udp.64": { unit: "bytes/packet", device: "nic", run: allocPerPacket },
};
