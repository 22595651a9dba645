/** The claims of the source about sending and about copies, shown end to end: two hosts on a wire. One test a number. */
import { assert, assertEquals } from "@std/assert";
import {
  crc32,
  CTX_PROCESS,
  CTX_SOFTIRQ,
  DESC_ADDR,
  DESC_FLAGS,
  DESC_LEN,
  ERRNO,
  NET_SKB_PAD,
  NET_TX_SOFTIRQ,
  type SkBuff,
  TP_CONSUME_SKB,
} from "../core/mod.ts";
import { INET } from "../plugins/network/inet/mod.ts";
import { NEIGH, NUD_INCOMPLETE, NUD_REACHABLE } from "../plugins/network/neigh/mod.ts";
import {
  NF_ACCEPT,
  NF_DROP,
  NF_INET_LOCAL_IN,
  NF_INET_LOCAL_OUT,
  NF_INET_POST_ROUTING,
  NF_INET_PRE_ROUTING,
  nfRegisterNetHook,
} from "../plugins/network/netfilter/mod.ts";
import { IP_PMTUDISC_DONT } from "../plugins/network/ipv4/mod.ts";
import { IP_MTU_DISCOVER, SOL_IP } from "../plugins/transport/sock/mod.ts";
import { decode } from "./support/frames/build.ts";
import { type Lab, lab, look, payload, receive, routedLab } from "./support/claims_lab.ts";

/** Sees each packet as a's driver gets it. Borrows `skb`. */
function atDriver(l: Lab, see: (skb: SkBuff) => void): Disposable {
  return l.a.net.wrapDevice(l.nicA.dev, (inner) => ({
    ...inner,
    startXmit: (skb, dev, more) => {
      see(skb);
      return inner.startXmit(skb, dev, more);
    },
  }));
}

/** The bytes of a linear packet, headers and all. Borrows `skb`. */
const bytesOf = (skb: SkBuff): Uint8Array => skb.bytes.slice(skb.data, skb.tail);

Deno.test("[T1] send() is a system call: process context, entered and left, the count returned", () => {
  const l = lab();
  const seen: number[][] = [];
  using _hook = look(l.a, NF_INET_LOCAL_OUT, () => seen.push([l.machine.context, l.machine.depth]));
  assertEquals(l.machine.depth, 0);
  assertEquals(l.send(100), 100);
  assertEquals([seen, l.machine.depth], [[[CTX_PROCESS, 1]], 0]);
  assertEquals(l.a.sys.sendmsg(99, { addr: 0, port: 0, buf: payload(1), off: 0, len: 1, flags: 0 }, 0), -ERRNO.EBADF);
  l.end();
});

Deno.test("[T2] the stack allocates one sk_buff for the datagram", () => {
  const l = lab();
  const live: number[] = [];
  using _hook = look(l.a, NF_INET_LOCAL_OUT, (skb) => live.push(l.machine.skbs.live, skb.live, skb.len));
  assertEquals(l.machine.skbs.live, 0);
  l.send(100);
  assertEquals(live, [1, 1, 128]);
  l.end();
});

Deno.test("[T3] the data is copied from the user's memory into it, and it is charged to the send buffer", () => {
  const l = lab();
  const sk = l.a.sys.sock(l.client)!;
  const bytes = payload(1000);
  let charged = 0;
  using _hook = look(l.a, NF_INET_LOCAL_OUT, (skb) => {
    charged = sk.wmemAlloc;
    assertEquals([skb.owner, charged], [sk.owner, skb.truesize]);
  });
  l.machine.batch(() => {
    l.send(bytes);
    assertEquals([l.machine.ledger.bytesAt("udp_sendmsg"), sk.wmemAlloc], [1000, charged]);
    // The user's memory is the user's again.
    bytes.fill(0);
  });
  assertEquals([l.receive(), sk.wmemAlloc, charged > 1000], [payload(1000), 0, true]);
  l.end();
});

Deno.test("[T4] the stack encapsulates it layer by layer: one sk_buff, longer by each header", () => {
  const l = lab();
  const seen: SkBuff[] = [];
  const lens: number[] = [];
  const see = (skb: SkBuff): void => {
    seen.push(skb);
    lens.push(skb.len);
  };
  using _out = look(l.a, NF_INET_LOCAL_OUT, see);
  using _post = look(l.a, NF_INET_POST_ROUTING, see);
  using _driver = atDriver(l, see);
  l.send(100);
  assertEquals([lens, new Set(seen).size], [[128, 128, 142], 1]);
  l.end();
});

Deno.test("[T6] room for headers is reserved: no copy between the layers", () => {
  const l = lab();
  const copied: number[] = [];
  const heads: number[] = [];
  const see = (skb: SkBuff): void => {
    copied.push(l.machine.ledger.total("cpu") + l.machine.ledger.total("header"));
    heads.push(skb.head);
  };
  using _out = look(l.a, NF_INET_LOCAL_OUT, (skb) => {
    assertEquals(skb.transportHeader - skb.head, NET_SKB_PAD);
    see(skb);
  });
  using _driver = atDriver(l, see);
  using _pre = look(l.b, NF_INET_PRE_ROUTING, see);
  using _in = look(l.b, NF_INET_LOCAL_IN, see);
  l.send(1000);
  assertEquals(copied, [1000, 1000, 1000, 1000]);
  assertEquals([heads[0] === heads[1], heads[2] === heads[3]], [true, true]);
  l.end();
});

Deno.test("[T7] headers are added by moving data down and stripped by moving it up", () => {
  const l = lab();
  const down: number[] = [];
  const up: number[] = [];
  using _out = look(l.a, NF_INET_LOCAL_OUT, (skb) => down.push(skb.transportHeader - skb.head, skb.data - skb.head));
  using _driver = atDriver(l, (skb) => down.push(skb.data - skb.head));
  using _pre = look(l.b, NF_INET_PRE_ROUTING, (skb) => up.push(skb.macHeader - skb.head, skb.data - skb.head));
  l.send(100);
  const queued = l.b.sys.sock(l.server)!.receiveQueue.head!;
  up.push(queued.data - queued.head);
  // Transport, minus 20 for IPv4, minus 14 for Ethernet; and back: plus 14, plus 20 and 8.
  assertEquals(down, [128, 108, 94]);
  assertEquals([up[1] - up[0], up[2] - up[1], queued.len], [14, 28, 100]);
  assertEquals(l.receive(), payload(100));
  l.end();
});

Deno.test("[T8] the routing table gives the next hop", () => {
  const l = routedLab();
  const to: string[] = [];
  using _wrapped = l.left.net.wrapDevice(l.nics.left.dev, (inner) => ({
    ...inner,
    startXmit: (skb, dev, more) => {
      const { eth, ipv4 } = decode(bytesOf(skb));
      to.push(`${ipv4!.dst} by ${eth!.dst}`);
      return inner.startXmit(skb, dev, more);
    },
  }));
  l.send(10, "10.0.2.2");
  l.send(10, "10.0.1.1");
  // Behind the gateway or the gateway itself: the frame goes to the gateway's NIC, the packet to its own address.
  assertEquals(to, [`10.0.2.2 by ${l.nics.r0.dev.address}`, `10.0.1.1 by ${l.nics.r0.dev.address}`]);
  l.left.route.del("default");
  assertEquals(l.send(10, "10.0.2.2"), -ERRNO.ENETUNREACH);
  l.end();
});

Deno.test("[T9] the IP header is filled in", () => {
  const l = lab();
  const frames: Uint8Array[] = [];
  using _driver = atDriver(l, (skb) => frames.push(bytesOf(skb)));
  l.send(100);
  const { ipv4 } = decode(frames[0]);
  assertEquals(
    [ipv4!.version, ipv4!.ihl, ipv4!.totalLength, ipv4!.ttl, ipv4!.proto, ipv4!.src, ipv4!.dst, ipv4!.checksumOk],
    [4, 5, 128, 64, 17, "10.0.0.1", "10.0.0.2", true],
  );
  l.end();
});

Deno.test("[T10] the packet passes netfilter's rules, by priority; a rule can stop it", () => {
  const l = lab();
  const order: string[] = [];
  const hook = (name: string, point: number, priority: number, verdict = NF_ACCEPT): Disposable =>
    nfRegisterNetHook(l.a.net, {
      name,
      hook: point,
      priority,
      fn: () => {
        order.push(name);
        return verdict;
      },
    });
  hook("post", NF_INET_POST_ROUTING, 0);
  hook("second", NF_INET_LOCAL_OUT, 10);
  hook("first", NF_INET_LOCAL_OUT, -10);
  l.send(10);
  assertEquals(order.splice(0), ["first", "second", "post"]);
  const stop = hook("stop", NF_INET_LOCAL_OUT, 0, NF_DROP);
  assertEquals(l.send(10), -ERRNO.EPERM);
  assertEquals([order.splice(0), l.a.net.dropTable()], [["first", "stop"], { NETFILTER_DROP: 1 }]);
  stop[Symbol.dispose]();
  assertEquals([l.send(10), l.nicA.dev.stats.txPackets], [10, 2]);
  l.end();
});

Deno.test("[T11] a packet over the MTU is fragmented, and whole again at the other end", () => {
  const l = lab();
  const frames: Uint8Array[] = [];
  using _driver = atDriver(l, (skb) => {
    assert(skb.linearize());
    frames.push(bytesOf(skb));
  });
  l.send(4000);
  const parts = frames.map((f) => decode(f).ipv4!);
  assertEquals(parts.map((p) => [p.offset, p.totalLength - 20, p.mf]), [
    [0, 1480, true],
    [1480, 1480, true],
    [2960, 1048, false],
  ]);
  assertEquals(new Set(parts.map((p) => p.id)).size, 1);
  const { mib } = l.a.net.get(INET);
  assertEquals([mib.ip.FragOKs, mib.ip.FragCreates, l.b.net.get(INET).mib.ip.ReasmOKs], [1, 3, 1]);
  assertEquals(l.receive(), payload(4000));
  l.end();
});

Deno.test("[T12] ARP resolves the next hop's MAC address; the packet waits for it", () => {
  const l = lab({ neighbours: false });
  const neigh = l.a.net.get(NEIGH);
  const frames: Uint8Array[] = [];
  using _driver = atDriver(l, (skb) => frames.push(bytesOf(skb)));
  l.machine.batch(() => {
    l.send(10);
    // Asked, not answered yet: softirqs have not run.
    assertEquals(neigh.list().map((n) => [n.nudState, n.arpQueueLenBytes > 0]), [[NUD_INCOMPLETE, true]]);
    assertEquals(frames.map((f) => decode(f).arp?.op), [1]);
    assertEquals(decode(frames[0]).eth!.dst, "ff:ff:ff:ff:ff:ff");
  });
  assertEquals(neigh.list().map((n) => [n.nudState, n.arpQueueLenBytes]), [[NUD_REACHABLE, 0]]);
  assertEquals(frames.slice(1).map((f) => [decode(f).eth!.dst, decode(f).udp?.dport]), [[l.nicB.dev.address, 7]]);
  assertEquals(l.receive(), payload(10));
  l.send(10);
  assertEquals(frames.length, 3);
  l.end();
});

Deno.test("[T13] the frame header is filled in, and the trailer: the real CRC-32 on a wire that looks", () => {
  const l = lab();
  const frames: Uint8Array[] = [];
  l.wire.impair = (frame) => {
    frames.push(frame.slice());
    return frame;
  };
  l.send(100);
  const [frame] = frames;
  const { eth } = decode(frame.slice(0, -4));
  assertEquals([eth!.dst, eth!.src, eth!.type], [l.nicB.dev.address, l.nicA.dev.address, 0x0800]);
  const fcs = new DataView(frame.buffer).getInt32(frame.length - 4, true);
  assertEquals([frame.length, fcs], [146, crc32(frame, 0, 142)]);
  l.end();
});

Deno.test("[T14] the frame goes to the send queue: what the ring cannot take waits in the qdisc", () => {
  const l = lab({ nic: { txRing: 8 } });
  l.machine.batch(() => {
    for (let i = 0; i < 20; i++) l.send(payload(100 + i));
    const [txq] = l.nicA.dev.txq;
    // The ring is cleaned by NAPI only, and softirqs have not run: it is full, the rest is queued.
    assertEquals([txq.stopped, l.nicA.dev.stats.txPackets + txq.qdisc!.qlen + txq.qdisc!.requeued.qlen], [true, 20]);
    assert(txq.qdisc!.qlen >= 12);
  });
  assertEquals([l.nicA.dev.stats.txPackets, l.nicA.dev.txq[0].qdisc!.qlen], [20, 0]);
  // In order.
  for (let i = 0; i < 20; i++) assertEquals(l.receive(), payload(100 + i));
  l.end();
});

Deno.test("[T15] the driver runs in the sender's context; a softirq only for what had to wait", () => {
  const l = lab({ nic: { txRing: 8 } });
  const contexts: number[] = [];
  using _driver = atDriver(l, () => contexts.push(l.machine.context));
  l.machine.batch(() => {
    l.send(100);
    assertEquals([contexts, l.machine.cpu.pending & (1 << NET_TX_SOFTIRQ)], [[CTX_PROCESS], 0]);
  });
  contexts.length = 0;
  l.machine.batch(() => {
    for (let i = 0; i < 20; i++) l.send(100);
  });
  const late = contexts.filter((c) => c === CTX_SOFTIRQ).length;
  assert(late >= 12 && contexts[0] === CTX_PROCESS && late + contexts.filter((c) => c === CTX_PROCESS).length >= 20);
  l.end();
});

Deno.test("[T16] the driver takes the sk_buff from the queue: one by one, the oldest first", () => {
  const l = lab({ nic: { txRing: 8 } });
  const [txq] = l.nicA.dev.txq;
  const left: number[] = [];
  using _driver = atDriver(l, () => left.push(txq.qdisc!.qlen));
  let waiting = 0;
  l.machine.batch(() => {
    for (let i = 0; i < 20; i++) l.send(100);
    waiting = txq.qdisc!.qlen;
    left.length = 0;
  });
  assert(waiting >= 11);
  // Each that it takes leaves one less behind, down to none; in order, as the receiver sees them.
  assertEquals(left, left.toSorted((x, y) => y - x));
  assert(left[0] < 20 && left.length >= waiting && left.at(-1) === 0);
  assertEquals([txq.qdisc!.qlen, l.nicA.dev.stats.txPackets], [0, 20]);
  l.end();
});

Deno.test("[T17] it puts it on the transmit ring", () => {
  const l = lab();
  const { tx } = l.nicA;
  l.machine.batch(() => {
    const at = tx.nextToUse & tx.mask;
    l.send(100);
    assertEquals([tx.skb[at]!.len, tx.get(at, DESC_LEN), tx.size - tx.unused], [142, 142, 1]);
  });
  assertEquals([tx.unused, tx.frames], [tx.size, 1]);
  l.end();
});

Deno.test("[T18] it maps the data for DMA, and unmaps it when it was sent", () => {
  const l = lab();
  const { tx } = l.nicA;
  l.machine.batch(() => {
    const at = tx.nextToUse & tx.mask;
    for (let i = 0; i < 3; i++) l.send(100);
    const skb = tx.skb[at]!;
    assertEquals([tx.mappings, tx.get(at, DESC_FLAGS) !== 0, tx.get(at, DESC_ADDR), tx.slab[at] === skb.slab], [
      3,
      true,
      skb.data,
      true,
    ]);
  });
  assertEquals(tx.mappings, 0);
  l.end();
});

Deno.test("[T19] it triggers the transmission: a doorbell, then the device moves what the ring holds", () => {
  const l = lab();
  const { counters, tx } = l.nicA;
  // Inside an entry softirqs wait, so that the ring can be looked at.
  l.machine.enter();
  l.send(100);
  assertEquals([counters.doorbells, tx.pending, tx.done], [1, 0, 1]);
  assertEquals(l.machine.ledger.bytesAt("nic_dma"), 142);
  l.machine.exit();
  // A batch has one doorbell at its end.
  l.machine.batch(() => {
    for (let i = 0; i < 3; i++) l.send(100);
    assertEquals([counters.doorbells, tx.pending], [1, 3]);
  });
  assertEquals([counters.doorbells, tx.pending, tx.done], [2, 0, 0]);
  l.end();
});

Deno.test("[T20] a completion interrupt: the ring is cleaned, the skb freed, the send buffer given back", () => {
  const l = lab();
  const { tx, txIrq } = l.nicA;
  const sk = l.a.sys.sock(l.client)!;
  const freed: number[] = [];
  assertEquals(l.machine.bus.def(TP_CONSUME_SKB).name, "skb:consume_skb");
  using _free = l.machine.bus.on("skb:consume_skb", (_skb, len) => freed.push(len));
  l.machine.enter();
  l.send(100);
  // The interrupt has come; the work is the softirq's.
  assertEquals([txIrq.count, tx.done, l.machine.skbs.live, sk.wmemAlloc > 0], [1, 1, 1, true]);
  assertEquals(freed, []);
  l.machine.exit();
  assertEquals([tx.done, freed, sk.wmemAlloc], [0, [142], 0]);
  // What lives is the receiver's own, on its socket.
  assertEquals([l.machine.skbs.live, l.receive()?.length, l.machine.skbs.live], [1, 100, 0]);
  l.end();
});

Deno.test("[C1] user memory to sk_buff: 1 MiB of UDP is 1 MiB in, 1 MiB out, and nothing between", () => {
  const l = lab();
  const total = 1 << 20;
  for (let sent = 0; sent < total;) {
    const n = Math.min(1400, total - sent);
    assertEquals(l.send(n), n);
    assertEquals(l.receive()!.length, n);
    sent += n;
  }
  const { ledger } = l.machine;
  assertEquals([ledger.bytesAt("udp_sendmsg"), ledger.bytesAt("udp_recvmsg")], [total, total]);
  assertEquals([ledger.total("cpu"), ledger.total("header")], [2 * total, 0]);
  l.end();
});

Deno.test("[C3] fragmentation: built in pieces nothing is copied; on the slow path exactly the payload is", () => {
  const fast = lab();
  fast.send(4000);
  assertEquals(fast.receive(), payload(4000));
  // In and out; between them not a byte of payload, on neither side. Two more fragments have two more IP headers.
  assertEquals([fast.machine.ledger.total("cpu"), fast.machine.ledger.total("header")], [8000, 40]);
  fast.end();

  const slow = routedLab(1000);
  // Without DF: otherwise the router answers instead.
  slow.left.sys.setsockopt(slow.client, SOL_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
  const size = 1400;
  slow.send(size);
  assertEquals(receive(slow.right, slow.server), payload(size));
  const { ledger } = slow.machine;
  const at = ["udp_sendmsg", "ip_fragment", "udp_recvmsg"].map((site) => ledger.bytesAt(site));
  // What IP calls payload has the UDP header in it.
  assertEquals([at, ledger.total("cpu")], [[size, size + 8, size], 3 * size + 8]);
  slow.end();
});
