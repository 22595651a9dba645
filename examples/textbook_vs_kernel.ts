// deno run examples/textbook_vs_kernel.ts
//
// Where textbooks simplify: each row is run here, and its numbers are printed.
import { CONTEXT_NAMES, devAddPack } from "@netpath/stack/core";
import { createHost, type Host, Machine, NF_ACCEPT, NF_INET_LOCAL_IN, nfRegisterNetHook } from "@netpath/stack";
import { needIp } from "@netpath/stack/inet";
import { journey, REMARKS } from "@netpath/stack/journey";
import { type Nic, nic, type Wire, wire } from "@netpath/stack/nic";
import { IP_PMTUDISC_DONT } from "@netpath/stack/ipv4";
import { AF_INET, IP_MTU_DISCOVER, msgHdr, SOCK_DGRAM, SOL_IP } from "@netpath/stack/sock";

interface Lab {
  machine: Machine;
  a: Host;
  b: Host;
  nicA: Nic;
  nicB: Nic;
  cable: Wire;
  /** A bound socket of b, and how a sends `n` datagrams of `size` bytes to it in one go. */
  server: number;
  send: (n: number, size: number) => void;
}

function lab(rings = 256): Lab {
  const machine = new Machine({ seed: 1 });
  const cable = wire(machine);
  const a = createHost({ machine, name: "a" });
  const b = createHost({ machine, name: "b" });
  const nicA = nic(a.net, "eth0", { wire: cable, txRing: rings, rxRing: rings });
  const nicB = nic(b.net, "eth0", { wire: cable, txRing: rings, rxRing: rings });
  a.addr.add("eth0", "10.0.0.1/24");
  b.addr.add("eth0", "10.0.0.2/24");
  a.neigh.set("eth0", "10.0.0.2", nicB.dev.address);
  const server = b.sys.socket(AF_INET, SOCK_DGRAM, 0);
  b.sys.bind(server, 0, 7);
  const client = a.sys.socket(AF_INET, SOCK_DGRAM, 0);
  a.sys.connect(client, needIp("10.0.0.2", "address"), 7);
  // In one entry, so that softirqs wait until all are sent; each packet rings the doorbell.
  const send = (n: number, size: number): void => {
    machine.enter();
    for (let i = 0; i < n; i++) a.sys.sendmsg(client, msgHdr(new Uint8Array(size)), 0);
    machine.exit();
  };
  return { machine, a, b, nicA, nicB, cable, server, send };
}

function show(id: string, lines: readonly string[]): void {
  const { textbook, kernel } = REMARKS.find((r) => r.id === id)!;
  console.log(`textbook  ${textbook}\nkernel    ${kernel}`);
  for (const line of lines) console.log(`          ${line}`);
  console.log();
}

/** The line of the device stays masked while NAPI works, and comes back when the ring is empty. */
function irqMask(): void {
  const { b, nicB, send } = lab();
  let whilePolling = false;
  nfRegisterNetHook(b.net, {
    name: "look",
    hook: NF_INET_LOCAL_IN,
    fn: () => {
      whilePolling = nicB.rxIrq.masked;
      return NF_ACCEPT;
    },
  });
  send(100, 64);
  const { count, suppressed, masked } = nicB.rxIrq;
  show("irq-mask", [
    `100 frames: ${count} interrupt, ${suppressed} more causes while it was masked`,
    `masked while NAPI polled: ${whilePolling}; after the last packet: ${masked}`,
  ]);
}

/** Short work runs where the interrupt ends; what takes long is left to ksoftirqd. */
function ksoftirqd(): void {
  const { machine, b, nicB, cable } = lab(8192);
  const seen: Record<string, number> = {};
  devAddPack(b.net, {
    type: 0xffff,
    dev: null,
    func: (skb) => {
      const name = CONTEXT_NAMES[machine.context];
      seen[name] = (seen[name] ?? 0) + 1;
      skb.consume();
    },
  });
  const flood = (n: number): void =>
    machine.batch(() => {
      for (let i = 0; i < n; i++) cable.inject(nicB, new Uint8Array(60).fill(0xff));
    });
  flood(100);
  const small = JSON.stringify(seen);
  delete seen["softirq"];
  flood(8000);
  machine.runUntilIdle();
  show("ksoftirqd", [
    `100 packets at once ran in ${small}`,
    `8000 packets at once ran in ${JSON.stringify(seen)}: ksoftirqd woken ${machine.cpu.ksoftirqdWakes} time`,
  ]);
}

/** A poll takes 64, a run 300: nobody is starved by a full ring. */
function budget(): void {
  const { machine, b, nicB, send } = lab();
  send(200, 64);
  const { polls } = nicB.napi;
  // Six more devices whose rings are full at once.
  const full = Array.from({ length: 6 }, (_, i) => {
    const cable = wire(machine);
    const peer = machine.createNet();
    nic(peer, "eth0", { wire: cable }).dev.open();
    const device = nic(b.net, `eth${i + 1}`, { wire: cable });
    device.dev.open();
    return { cable, device };
  });
  machine.batch(() => {
    const frame = new Uint8Array(60).fill(0xff); // to all, of a type that nobody knows
    for (let n = 0; n < 100; n++) for (const { cable, device } of full) cable.inject(device, frame);
  });
  show("napi-budget", [
    `200 packets in one ring: ${polls} polls`,
    `6 rings with 100 each: ${machine.cpu.timeSqueeze} run that ended with work left, nothing lost`,
  ]);
}

/** 1 MB through a wire that loses every 50th frame: each segment, and each that is sent again, is a clone. */
async function clone(): Promise<void> {
  const machine = new Machine({ seed: 1 });
  const cable = wire(machine, { delayNs: 1e6, loss: 0.02 });
  const [a, b] = ["10.0.0.1/24", "10.0.0.2/24"].map((address, i) => {
    const host = createHost({ machine, name: "ab"[i] });
    nic(host.net, "eth0", { wire: cable });
    host.addr.add("eth0", address);
    return host;
  });
  let segments = 0;
  let again = 0;
  let acked = 0;
  using _sent = machine.bus.on("tcp:tcp_transmit_skb", (skb) => segments += skb!.dataLen > 0 ? 1 : 0);
  using _again = machine.bus.on("tcp:tcp_retransmit_skb", () => again++);
  using _freed = machine.bus.on("tcp:tcp_clean_rtx_queue", (_skb, _a, bytes) => acked += bytes > 0 ? 1 : 0);
  using listener = b.listen({ port: 9 });
  const sending = a.connect({ hostname: "10.0.0.2", port: 9 }).then(async (conn) => {
    await conn.write(new Uint8Array(1_000_000));
    conn.close();
  });
  using conn = await listener.accept();
  const buf = new Uint8Array(65536);
  let got = 0;
  for (let n = await conn.read(buf); n !== null; n = await conn.read(buf)) got += n;
  await sending;
  machine.runUntilIdle();
  const { ledger } = machine;
  const between = ledger.total("cpu") - ledger.bytesAt("tcp_sendmsg") - ledger.bytesAt("tcp_recvmsg");
  show("tcp-clone", [
    `${ledger.bytesAt("tcp_sendmsg")} bytes copied in, ${ledger.bytesAt("tcp_recvmsg")} of ${got} out`,
    `${segments} segments left as clones, ${again} of them sent again from the original: ${between} bytes copied`,
    `${acked} originals were freed when their ACK came`,
  ]);
}

/** UDP builds a large datagram in pieces of the right size; a router that meets a smaller MTU must copy. */
function fragments(): void {
  const { machine, send, nicA } = lab();
  send(1, 4000);
  const { ledger } = machine;
  show("fragment-copy", [
    `4000 bytes left in ${nicA.dev.stats.txPackets} frames: ${ledger.bytesAt("udp_sendmsg")} copied in, ` +
    `${ledger.bytesAt("ip_fragment")} by fragmentation`,
    slowPath(),
  ]);
}

/** A router between 1500 and 1000 bytes of MTU. */
function slowPath(): string {
  const machine = new Machine({ seed: 1 });
  const [near, far] = [wire(machine), wire(machine)];
  const [a, router, b] = [false, true, false].map((forwarding) => createHost({ machine, forwarding }));
  nic(a.net, "eth0", { wire: near });
  nic(router.net, "eth0", { wire: near });
  const out = nic(router.net, "eth1", { wire: far, mtu: 1000 });
  const peer = nic(b.net, "eth0", { wire: far, mtu: 1000 });
  a.addr.add("eth0", "10.0.1.2/24");
  router.addr.add("eth0", "10.0.1.1/24");
  router.addr.add("eth1", "10.0.2.1/24");
  b.addr.add("eth0", "10.0.2.2/24");
  a.route.add("default", { via: "10.0.1.1" });
  const client = a.sys.socket(AF_INET, SOCK_DGRAM, 0);
  a.sys.setsockopt(client, SOL_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT); // without DF the router may cut
  a.sys.connect(client, needIp("10.0.2.2", "address"), 7);
  router.neigh.set("eth1", "10.0.2.2", peer.dev.address);
  a.sys.sendmsg(client, msgHdr(new Uint8Array(1400)), 0);
  const { ledger } = machine;
  return `1400 bytes through a router with an MTU of 1000 left it in ${out.dev.stats.txPackets} frames: ` +
    `${ledger.bytesAt("ip_fragment")} copied by fragmentation (UDP's header is payload to IP)`;
}

/** The driver runs in the sender's context; NET_TX finishes what a full ring had stopped. */
function txSoftirq(): void {
  const { machine, send } = lab(64);
  const contexts = (n: number): string => {
    using trace = journey(machine, { filter: (point) => point === "net:net_dev_start_xmit" });
    send(n, 64);
    const count: Record<string, number> = {};
    for (const r of trace.records()) count[r.context] = (count[r.context] ?? 0) + 1;
    return JSON.stringify(count);
  };
  show("tx-softirq", [
    `10 packets met the driver in ${contexts(10)}`,
    `200 packets and a ring of 64: ${contexts(200)}`,
  ]);
}

/** The wake-up comes before the copy. */
function wake(): void {
  const { machine, b, server, send } = lab();
  const out = (): number => machine.ledger.total("cpu");
  const atWake: number[] = [];
  b.sys.onReady(server, () => {
    const before = out();
    const n = b.sys.recvmsg(server, msgHdr(new Uint8Array(2000)), 0);
    atWake.push(before, out() - before, n);
  });
  send(1, 1000);
  show("wake-then-copy", [
    `at the wake-up the CPU had copied ${atWake[0]} bytes (the sender's); recvmsg() then copied ${atWake[1]}`,
  ]);
}

irqMask();
ksoftirqd();
budget();
await clone();
fragments();
txSoftirq();
wake();
