/** The claims of the source about receiving, shown end to end: two hosts on a wire. One test a number. */
import { assert, assertEquals } from "@std/assert";
import {
  CTX_HARDIRQ,
  CTX_KSOFTIRQD,
  CTX_PROCESS,
  CTX_SOFTIRQ,
  DESC_ADDR,
  DESC_FLAGS,
  DESC_LEN,
  devAddPack,
  NET_RX_SOFTIRQ,
  type SkBuff,
} from "../core/mod.ts";
import { INET, inetAddProtocol } from "../plugins/network/inet/mod.ts";
import { NF_INET_LOCAL_IN, NF_INET_PRE_ROUTING } from "../plugins/network/netfilter/mod.ts";
import { AF_INET, msgHdr, SOCK_DGRAM, SOL_SOCKET } from "../plugins/transport/sock/mod.ts";
import { needIp } from "../plugins/network/inet/mod.ts";
import { nic, wire } from "../plugins/device/nic/mod.ts";
import { eth, ipv4, udp } from "./support/frames/build.ts";
import { type Lab, lab, look, payload, routedLab } from "./support/claims_lab.ts";

const A = "10.0.0.1";
const B = "10.0.0.2";

/** A frame from a to b: UDP to port 7 unless told. */
function frame(bytes: Uint8Array | readonly number[] = payload(100), protocol?: number): Uint8Array<ArrayBuffer> {
  const inner = protocol === undefined
    ? ipv4({ src: A, dst: B, proto: 17 }, udp({ sport: 4096, dport: 7 }, bytes))
    : ipv4({ src: A, dst: B, proto: protocol }, bytes);
  return new Uint8Array(eth({ dst: "02:00:00:00:00:0b", src: "02:00:00:00:00:0a", type: 0x0800 }, inner));
}

/** The frame reaches the NIC; softirqs wait until `then` has looked. */
function beforeSoftirq(l: Lab, then: () => void, frames = 1): void {
  l.machine.batch(() => {
    for (let i = 0; i < frames; i++) assert(l.wire.inject(l.nicB, frame()));
    then();
  });
}

Deno.test("[R1] a frame reaches the NIC and does not go to the CPU directly", () => {
  const l = lab();
  beforeSoftirq(l, () => {
    assertEquals([l.machine.cpu.processed, l.machine.skbs.live], [0, 0]);
    assertEquals([l.nicB.rx.done, l.nicB.dev.stats.rxPackets], [1, 0]);
  });
  assertEquals([l.machine.cpu.processed, l.nicB.rx.done, l.nicB.dev.stats.rxPackets], [1, 0, 1]);
  l.end();
});

Deno.test("[R2] the NIC writes it by DMA into the ring's memory; the CPU moves no byte", () => {
  const l = lab();
  const sent = frame();
  l.machine.batch(() => {
    l.wire.inject(l.nicB, sent);
    const { rx } = l.nicB;
    const i = (rx.nextToDevice - 1) & rx.mask;
    assertEquals([rx.get(i, DESC_LEN), rx.get(i, DESC_FLAGS) !== 0], [sent.length, true]);
    assertEquals(rx.slab[i]!.bytes.slice(rx.get(i, DESC_ADDR), rx.get(i, DESC_ADDR) + rx.get(i, DESC_LEN)), sent);
  });
  assertEquals(l.machine.ledger.bytesAt("nic_dma"), sent.length);
  assertEquals(l.machine.ledger.total("cpu"), 0);
  l.end();
});

Deno.test("[R3] once written, the NIC raises a hardware interrupt", () => {
  const l = lab();
  assertEquals(l.nicB.rxIrq.count, 0);
  beforeSoftirq(l, () => assertEquals([l.nicB.rx.done, l.nicB.rxIrq.count], [1, 1]));
  l.end();
});

Deno.test("[R4] no interrupt per packet under load: 100 frames at once, one interrupt", () => {
  const l = lab();
  beforeSoftirq(l, () => {}, 100);
  assertEquals([l.nicB.rxIrq.count, l.nicB.rxIrq.suppressed], [1, 99]);
  assertEquals(l.nicB.dev.stats.rxPackets, 100);
  // One at a time there is one each: the line comes back whenever the ring is empty.
  for (let i = 0; i < 5; i++) l.wire.inject(l.nicB, frame());
  assertEquals(l.nicB.rxIrq.count, 6);
  l.end();
});

Deno.test("[R5] one interrupt wakes NAPI, which polls at most 64 a time until the ring is empty", () => {
  const l = lab();
  beforeSoftirq(l, () => assertEquals(l.nicB.rx.done, 200), 200);
  assertEquals([l.nicB.rxIrq.count, l.nicB.napi.polls, l.nicB.rx.done], [1, 4, 0]);
  assertEquals([l.nicB.rxIrq.masked, l.nicB.napi.scheduled], [false, false]);
  l.end();
});

Deno.test("[R6] the CPU runs the handler that was registered for the line, in hardirq context", () => {
  const l = lab();
  const line = l.nicB.rxIrq;
  const { handler } = line;
  const contexts: number[] = [];
  line.handler = () => {
    contexts.push(l.machine.context);
    handler(line);
  };
  beforeSoftirq(l, () => assertEquals(contexts, [CTX_HARDIRQ]), 3);
  assertEquals(l.machine.irqs.get(line.irq), line);
  l.end();
});

Deno.test("[R7] the handler masks the NIC's interrupt: further packets raise none meanwhile", () => {
  const l = lab();
  assertEquals(l.nicB.rxIrq.masked, false);
  beforeSoftirq(l, () => {
    assertEquals([l.nicB.rxIrq.masked, l.nicB.rxIrq.count], [true, 1]);
    l.wire.inject(l.nicB, frame());
    assertEquals([l.nicB.rxIrq.count, l.nicB.rxIrq.suppressed], [1, 1]);
  });
  assertEquals(l.nicB.dev.stats.rxPackets, 2);
  l.end();
});

Deno.test("[R8] the handler raises a softirq", () => {
  const l = lab();
  const bit = 1 << NET_RX_SOFTIRQ;
  assertEquals(l.machine.cpu.pending & bit, 0);
  beforeSoftirq(l, () => assertEquals(l.machine.cpu.pending & bit, bit));
  assertEquals(l.machine.cpu.pending & bit, 0);
  l.end();
});

Deno.test("[R9] when the handler returns the CPU is free again, but the line stays masked until NAPI is done", () => {
  const l = lab();
  const masked: boolean[] = [];
  using _hook = look(l.b, NF_INET_PRE_ROUTING, () => masked.push(l.nicB.rxIrq.masked));
  beforeSoftirq(l, () => {
    assertEquals([l.machine.context, l.nicB.rxIrq.masked], [CTX_PROCESS, true]);
    // The handler is short: nothing was received by it.
    assertEquals(masked, []);
  }, 3);
  assertEquals([masked, l.nicB.rxIrq.masked], [[true, true, true], false]);
  l.end();
});

Deno.test("[R10] softirqs run where the interrupt ends; ksoftirqd is woken only when they take too long", () => {
  const l = lab({ nic: { rxRing: 8192, txRing: 8192 } });
  const contexts = new Map<number, number>();
  using _hook = look(l.b, NF_INET_PRE_ROUTING, () => {
    contexts.set(l.machine.context, (contexts.get(l.machine.context) ?? 0) + 1);
  });
  beforeSoftirq(l, () => {}, 300);
  assertEquals([[...contexts], l.machine.cpu.ksoftirqdWakes], [[[CTX_SOFTIRQ, 300]], 0]);
  contexts.clear();
  beforeSoftirq(l, () => {}, 8000);
  assertEquals(l.machine.cpu.ksoftirqdWakes, 1);
  const early = contexts.get(CTX_SOFTIRQ)!;
  // Ten restarts, one poll of the one queue each.
  assertEquals([early, contexts.has(CTX_KSOFTIRQD)], [640, false]);
  l.machine.runUntilIdle();
  assertEquals(contexts.get(CTX_KSOFTIRQD), 8000 - early);
  l.end();
});

Deno.test("[R11] it polls the ring and takes packets in batches: 64 a poll, 300 a run, then time_squeeze", () => {
  const l = lab();
  const cables = [l.wire];
  const nics = [l.nicB];
  for (let i = 1; i < 6; i++) {
    const cable = wire(l.machine);
    cables.push(cable);
    nic(l.a.net, `eth${i}`, { wire: cable }).dev.open();
    nics.push(nic(l.b.net, `eth${i}`, { wire: cable, address: l.nicB.dev.address }));
    nics[i].dev.open();
  }
  l.machine.batch(() => {
    for (let n = 0; n < 100; n++) for (let i = 0; i < 6; i++) assert(cables[i].inject(nics[i], frame()));
  });
  // Six devices: the fifth poll spends the 300, the sixth waits for the next run. Two polls empty each ring.
  assertEquals(l.machine.cpu.timeSqueeze, 1);
  assertEquals(nics.map((n) => [n.napi.polls, n.rx.done, n.dev.stats.rxPackets]), nics.map(() => [2, 0, 100]));
  l.end();
});

Deno.test("[R12] each packet becomes one sk_buff, which carries it through the whole stack", () => {
  const l = lab();
  const seen: SkBuff[] = [];
  using _pre = look(l.b, NF_INET_PRE_ROUTING, (skb) => seen.push(skb));
  using _in = look(l.b, NF_INET_LOCAL_IN, (skb) => seen.push(skb));
  l.send(100);
  const queued = l.b.sys.sock(l.server)!.receiveQueue.head!;
  assertEquals([seen[0] === seen[1], seen[1] === queued, l.machine.skbs.live], [true, true, 1]);
  l.send(100);
  assert(seen[2] !== seen[0] && seen[2].id !== seen[0].id);
  // It is built around the ring's memory: not a byte was copied but by the sender.
  assertEquals([l.machine.ledger.total("cpu"), l.machine.ledger.total("header")], [200, 0]);
  l.end();
});

Deno.test("[R13] each sk_buff is handed up by protocol type", () => {
  const l = lab();
  const mine: number[] = [];
  devAddPack(l.b.net, {
    type: 0x88b5,
    dev: null,
    func: (skb) => {
      mine.push(skb.protocol);
      skb.consume();
    },
  });
  const typed = (type: number) =>
    new Uint8Array(eth({ dst: "02:00:00:00:00:0b", src: "02:00:00:00:00:0a", type }, new Uint8Array(50)));
  const { mib } = l.b.net.get(INET);
  l.wire.inject(l.nicB, frame());
  assertEquals([mib.ip.InReceives, mine], [1, []]);
  l.wire.inject(l.nicB, typed(0x88b5));
  assertEquals([mib.ip.InReceives, mine], [1, [0x88b5]]);
  l.wire.inject(l.nicB, typed(0x86dd));
  assertEquals(l.b.net.dropTable(), { UNHANDLED_PROTO: 1 });
  l.end();
});

Deno.test("[R14] the link layer checks the frame; a bad one is dropped and counted", () => {
  const l = lab();
  l.wire.impair = (bytes) => {
    bytes[50] ^= 0x10;
    return bytes;
  };
  l.send(100);
  assertEquals([l.nicB.dev.stats.rxCrcErrors, l.nicB.dev.stats.rxErrors], [1, 1]);
  assertEquals(l.b.net.dropTable(), { FCS_ERROR: 1 });
  assertEquals(l.receive(), null);
  l.wire.impair = null;
  l.send(100);
  assertEquals(l.receive(), payload(100));
  l.end();
});

Deno.test("[R15] the upper protocol is found; frame header and trailer are stripped", () => {
  const l = lab();
  let seen: number[] = [];
  using _hook = look(l.b, NF_INET_PRE_ROUTING, (skb) => {
    seen = [skb.protocol, skb.data - skb.macHeader, skb.networkHeader - skb.data, skb.len];
  });
  // 20 + 8 + 3 bytes: the frame is padded to 60, and the padding is trailer too.
  l.send(3);
  assertEquals(l.nicB.dev.stats.rxBytes, 60);
  assertEquals(seen, [0x0800, 14, 0, 31]);
  l.end();
});

Deno.test("[R16] the link layer hands the packet to the network layer", () => {
  const l = lab();
  const { mib } = l.b.net.get(INET);
  l.send(100);
  l.send(100);
  assertEquals([mib.ip.InReceives, mib.ipExt.InOctets], [2, 2 * 128]);
  l.end();
});

Deno.test("[R17] local delivery or forwarding is decided", () => {
  const l = routedLab();
  const { mib } = l.router.net.get(INET);
  const before = { ...mib.ip };
  l.send(10, "10.0.2.2");
  assertEquals([mib.ip.ForwDatagrams - before.ForwDatagrams, mib.ip.InDelivers - before.InDelivers], [1, 0]);
  // The router's address on its far side is its own all the same.
  l.send(10, "10.0.2.1");
  assertEquals([mib.ip.ForwDatagrams - before.ForwDatagrams, mib.ip.InDelivers - before.InDelivers], [1, 1]);
  l.end();
});

Deno.test("[R18] a packet for another host is forwarded: TTL less one, next hop's address, nothing copied", () => {
  const l = routedLab();
  const ttl: number[] = [];
  const see = (skb: SkBuff): void => void ttl.push(skb.view.getUint8(skb.networkHeader + 8));
  using _router = look(l.router, NF_INET_PRE_ROUTING, see);
  using _right = look(l.right, NF_INET_PRE_ROUTING, see);
  const size = 1000;
  l.send(size);
  assertEquals(ttl, [64, 63]);
  assertEquals([l.nics.r0.dev.stats.rxPackets > 0, l.nics.right.dev.stats.rxPackets > 0], [true, true]);
  assertEquals(l.machine.ledger.total("cpu"), size);
  assertEquals(l.machine.ledger.total("header"), 0);
  l.end();
});

Deno.test("[R19] the transport protocol is found, the IP header stripped", () => {
  const l = lab();
  const seen: number[][] = [];
  inetAddProtocol(l.b.net, 253, {
    rcv: (skb) => {
      seen.push([skb.data - skb.networkHeader, skb.transportHeader - skb.data, skb.len, skb.bytes[skb.data]]);
      skb.consume();
    },
    error: () => {},
  });
  l.wire.inject(l.nicB, frame([0xab, ...new Array(49).fill(0)], 253));
  assertEquals(seen, [[20, 0, 50, 0xab]]);
  l.end();
});

Deno.test("[R20] the packet is handed to the transport layer by the number in its header", () => {
  const l = lab();
  const { mib } = l.b.net.get(INET);
  l.wire.inject(l.nicB, frame());
  assertEquals([l.receive(), mib.udp.InDatagrams, mib.icmp.InMsgs, mib.ip.InDelivers], [payload(100), 1, 0, 1]);
  l.wire.inject(l.nicB, frame([8, 0, 0xf7, 0xff, 0, 0, 0, 0, ...new Array(42).fill(0)], 1));
  assertEquals([mib.icmp.InMsgs, mib.ip.InDelivers], [1, 2]);
  // A number that nobody handles: protocol unreachable.
  l.wire.inject(l.nicB, frame(new Uint8Array(50), 200));
  assertEquals([mib.ip.InUnknownProtos, mib.icmp.OutDestUnreachs], [1, 1]);
  l.end();
});

Deno.test("[R21] source and destination address and port identify the socket", () => {
  const l = lab();
  const { sys } = l.b;
  const twin = sys.socket(AF_INET, SOCK_DGRAM, 0);
  for (const fd of [l.server, twin]) sys.setsockopt(fd, SOL_SOCKET, 2, 1);
  assertEquals(sys.bind(twin, 0, 7), 0);
  assertEquals(sys.connect(twin, needIp(A, "address"), 4096), 0);
  const other = sys.socket(AF_INET, SOCK_DGRAM, 0);
  assertEquals(sys.bind(other, 0, 8), 0);
  const queued = () => [l.server, twin, other].map((fd) => sys.sock(fd)!.receiveQueue.qlen);
  l.send(1);
  assertEquals(queued(), [0, 1, 0]);
  l.send(1, 8);
  assertEquals(queued(), [0, 1, 1]);
  const stranger = l.a.sys.socket(AF_INET, SOCK_DGRAM, 0);
  l.a.sys.sendmsg(stranger, { ...msgHdr(payload(1)), addr: needIp(B, "address"), port: 7 }, 0);
  assertEquals(queued(), [1, 1, 1]);
  l.send(1, 9);
  assertEquals([queued(), l.b.net.dropped("NO_SOCKET")], [[1, 1, 1], 1]);
  l.end();
});

Deno.test("[R22] the data is put into that socket's receive buffer, and charged to it", () => {
  const l = lab();
  const sk = l.b.sys.sock(l.server)!;
  l.send(500);
  assertEquals([sk.receiveQueue.qlen, sk.receiveQueue.head!.len], [1, 500]);
  assertEquals(sk.rmemAlloc, sk.receiveQueue.head!.truesize);
  // A buffer has an end: then datagrams are dropped, and counted.
  for (let i = 0; i < 1000; i++) l.send(500);
  assert(sk.receiveQueue.qlen < 1000 && sk.rmemAlloc <= sk.rcvbuf + 4096);
  assertEquals(l.b.net.dropped("SOCKET_RCVBUFF"), 1001 - sk.receiveQueue.qlen);
  while (l.receive() !== null);
  assertEquals([sk.rmemAlloc, sk.receiveQueue.qlen], [0, 0]);
  l.end();
});

Deno.test("[R23] recvmsg() copies it from the kernel's buffer into the application's own", () => {
  const l = lab();
  l.send(1000);
  const before = l.machine.ledger.total("cpu");
  const buf = new Uint8Array(2000);
  assertEquals(l.b.sys.recvmsg(l.server, msgHdr(buf), 0), 1000);
  assertEquals(buf.slice(0, 1000), payload(1000));
  assertEquals(l.machine.ledger.total("cpu") - before, 1000);
  l.end();
});

Deno.test("[R24] the waiting process is woken, once for many datagrams, before anything is copied to it", () => {
  const l = lab();
  let wakes = 0;
  let copied = -1;
  l.b.sys.onReady(l.server, () => {
    wakes++;
    copied = l.machine.ledger.total("cpu");
  });
  l.machine.batch(() => {
    for (let i = 0; i < 10; i++) l.send(100);
    assertEquals(wakes, 0);
  });
  // What the CPU had copied by then is the sender's copy in.
  assertEquals([wakes, copied], [1, 1000]);
  assertEquals(l.receive(), payload(100));
  assertEquals(l.machine.ledger.total("cpu"), 1100);
  l.end();
});
