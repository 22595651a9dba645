/** The claims of the source that need TCP, shown end to end: two hosts on a wire of 1 ms. */
import { assert, assertEquals } from "@std/assert";
import { CTX_PROCESS, CTX_SOFTIRQ, type SkBuff } from "../core/mod.ts";
import type { Host } from "../mod.ts";
import type { Impair } from "../plugins/device/nic/mod.ts";
import type { SockAddr } from "../plugins/socket/syscall/mod.ts";
import { NF_ACCEPT, NF_INET_LOCAL_IN, NF_INET_LOCAL_OUT, nfRegisterNetHook } from "../plugins/network/netfilter/mod.ts";
import { msgHdr } from "../plugins/transport/sock/mod.ts";
import { TCP } from "../plugins/transport/tcp/mod.ts";
import { tcpSk } from "../plugins/transport/tcp/tcp_sock.ts";
import { type TwoHosts, twoHosts } from "./support/hosts.ts";
import { assertNothingLeft, tcpConnection, type TcpEnd } from "./support/tcp.ts";

const MS = 1_000_000;
const MIB = 1 << 20;
/** What a segment adds on the wire: Ethernet, IPv4, TCP with timestamps. */
const HEADERS = 14 + 20 + 32;

interface Pair extends Disposable {
  t: TwoHosts;
  client: TcpEnd;
  server: TcpEnd;
}

/** A connection from a to b. Ending it closes both sides and asserts that nothing is left. */
function connected(options: { impair?: Impair } = {}): Pair {
  const t = twoHosts({ neigh: true, wire: { delayNs: MS, ...options }, machine: { slabBytes: 64 << 20 } });
  const { client, server } = tcpConnection(t.machine, t.a, t.b, { address: "10.0.0.2" });
  t.machine.advance(500 * MS);
  t.machine.ledger.reset();
  return {
    t,
    client,
    server,
    [Symbol.dispose]: () => {
      client.close();
      server.close();
      assertNothingLeft(t.machine, [t.a, t.b]);
      t[Symbol.dispose]();
    },
  };
}

/** The connection of an end. */
const conn = (end: TcpEnd) => tcpSk(end.host.sys.sock(end.fd)!);

/** The local address of an end. */
function nameOf(end: TcpEnd): SockAddr {
  const name = { addr: 0, port: 0 };
  assertEquals(end.host.sys.getsockname(end.fd, name), 0);
  return name;
}

/** What was copied or moved, by site; sites with nothing are left out. */
function moved(t: TwoHosts, kind: "cpu" | "header" | "dma"): Record<string, number> {
  const sites = t.machine.ledger.snapshot().filter((s) => s.kind === kind && s.bytes > 0);
  return Object.fromEntries(sites.map((s) => [s.name, s.bytes]));
}

/** Calls `see` for each segment with payload at a hook. */
function atHook(host: Host, hook: number, see: (skb: SkBuff) => void): Disposable {
  const fn = (skb: SkBuff): number => {
    if (skb.len > HEADERS) see(skb);
    return NF_ACCEPT;
  };
  return nfRegisterNetHook(host.net, { name: "look", hook, fn });
}

/** Where the payload of `skb` lies: a page and an offset for each frag. Borrows `skb`. */
const payloadOf = (skb: SkBuff): number[][] =>
  skb.frags.slice(0, skb.nrFrags).map(({ page, offset, size }) => [page, offset, size]);

/** Loses the frames with payload whose numbers `lost` has, counted from 1. */
function losing(lost: readonly number[]): Impair {
  let n = 0;
  return (frame) => frame.length > HEADERS + 100 && lost.includes(++n) ? null : frame;
}

Deno.test("[T1] [T2] [T3] TCP: write() copies into one sk_buff on the send buffer, and it is charged there", () => {
  using p = connected();
  const sk = conn(p.client);
  const before = p.t.machine.skbs.live;
  let context = -1;
  using _hook = atHook(p.t.a, NF_INET_LOCAL_OUT, () => context = p.t.machine.context);
  // Interrupts wait for the end of the outermost call: the original, and the clone that is on the ring.
  p.t.machine.batch(() => {
    p.client.write(1000);
    assertEquals(p.t.machine.skbs.live - before, 2);
  });
  assertEquals([context, p.t.machine.skbs.live - before], [CTX_PROCESS, 1]);
  assertEquals(moved(p.t, "cpu"), { tcp_sendmsg: 1000 });
  assertEquals([sk.rtx!.length, sk.rtx!.head!.dataLen], [1, 1000]);
  assert(sk.wmemQueued >= 1000 + 256, `${sk.wmemQueued} bytes charged`);
  p.t.machine.advance(500 * MS);
  assertEquals(sk.wmemQueued, 0);
});

Deno.test("[T4] [T6] [T7] TCP: each layer moves data down for its header; the payload stays where it is", () => {
  using p = connected();
  const steps: number[][] = [];
  using _hook = atHook(p.t.a, NF_INET_LOCAL_OUT, (skb) => steps.push([skb.data - skb.head, skb.len, skb.headlen]));
  using _wrap = p.t.a.net.wrapDevice(p.t.a.net.device("eth0")!, (inner) => ({
    ...inner,
    startXmit: (skb, d, more) => {
      if (skb.dataLen > 0) steps.push([skb.data - skb.head, skb.len, skb.headlen]);
      return inner.startXmit(skb, d, more);
    },
  }));
  p.client.write(1000);
  const [[atIp, ipLen, ipHead], [atLink, linkLen, linkHead]] = steps;
  assertEquals([ipLen, ipHead, linkLen, linkHead], [1052, 52, 1066, 66]);
  assertEquals(atIp - atLink, 14);
  assertEquals(moved(p.t, "cpu"), { tcp_sendmsg: 1000 });
  p.t.machine.advance(500 * MS);
});

Deno.test("[T5] [C2] TCP sends a clone: the wire gets the same bytes in another sk_buff, the original stays", () => {
  using p = connected();
  const sk = conn(p.client);
  const clones: { id: SkBuff; payload: number[][]; header: number }[] = [];
  using _hook = atHook(p.t.a, NF_INET_LOCAL_OUT, (skb) => {
    clones.push({ id: skb, payload: payloadOf(skb), header: skb.headlen });
  });
  p.client.write(1000);
  const original = sk.rtx!.head!;
  assertEquals(clones.length, 1);
  assert(clones[0].id !== original, "what goes down is another sk_buff");
  assertEquals(clones[0].payload, payloadOf(original), "over the same bytes");
  assertEquals([clones[0].header, original.headlen], [52, 0], "with a head of its own: the headers are only there");
  assertEquals(moved(p.t, "cpu"), { tcp_sendmsg: 1000 }, "the clone copies nothing");
  assertEquals(moved(p.t, "header"), {});
  p.t.machine.advance(500 * MS);
});

Deno.test("[T20] [C2] TCP: the completion interrupt frees the clone; the original is still there", () => {
  using p = connected();
  const sk = conn(p.client);
  let clone: SkBuff | null = null;
  const freed: (SkBuff | null)[] = [];
  using _hook = atHook(p.t.a, NF_INET_LOCAL_OUT, (skb) => clone = skb);
  using _free = p.t.machine.bus.on("skb:consume_skb", (skb) => freed.push(skb));
  p.t.machine.batch(() => {
    p.client.write(1000);
    assertEquals(freed, [], "not before the interrupt");
  });
  assertEquals(freed.includes(clone), true, "freed when the NIC had sent it");
  const original = sk.rtx!.head!;
  assertEquals([original.live, freed.includes(original), sk.rtx!.length], [1, false, 1]);
  p.t.machine.advance(500 * MS);
});

Deno.test("[T21] [C2] the ACK frees the original, and the memory it was charged for", () => {
  using p = connected();
  const sk = conn(p.client);
  const before = p.t.machine.skbs.live;
  p.client.write(1000);
  const original = sk.rtx!.head!;
  p.t.machine.advance(MS / 2);
  assertEquals([original.live, sk.sndNxt - sk.sndUna], [1, 1000], "no ACK yet");
  p.t.machine.advance(500 * MS);
  assertEquals([sk.rtx!.length, sk.sndNxt - sk.sndUna, sk.wmemQueued], [0, 0, 0]);
  p.server.read();
  assertEquals([p.server.received, p.t.machine.skbs.live], [1000, before]);
});

Deno.test("[R21] [R22] [R23] [R24] TCP: the four-tuple finds the socket, its buffer is charged, the reader is woken and copies", () => {
  using p = connected();
  const sk = p.t.b.sys.sock(p.server.fd)!;
  const { lookup } = p.t.b.net.get(TCP);
  const { addr, port } = nameOf(p.client);
  assertEquals(lookup(addr, port, 0x0a000002, 80, 0), sk, "source and destination, address and port");
  assertEquals(lookup(addr, port ^ 1, 0x0a000002, 80, 0), null);
  const woken: number[] = [];
  let context = -1;
  p.t.b.sys.onReady(p.server.fd, () => woken.push(sk.rmemAlloc));
  using _hook = atHook(p.t.b, NF_INET_LOCAL_IN, () => context = p.t.machine.context);
  p.client.write(1000);
  p.t.machine.advance(2 * MS);
  assertEquals([context, woken.length], [CTX_SOFTIRQ, 1]);
  assert(woken[0] >= 1000, "what is in the buffer is charged to it by truesize");
  assertEquals(moved(p.t, "cpu"), { tcp_sendmsg: 1000 }, "woken before anything is copied");
  p.server.read();
  assertEquals([p.server.received, sk.rmemAlloc], [1000, 0]);
  assertEquals(moved(p.t, "cpu"), { tcp_sendmsg: 1000, tcp_recvmsg: 1000 });
});

/** Moves `total` bytes from a to b; b reads as they come. */
function transfer(p: Pair, total: number): void {
  p.server.run(0);
  p.client.run(total);
  p.t.machine.advance(60_000 * MS);
  assertEquals([p.client.sent, p.server.received, p.server.eof], [total, total, true]);
}

Deno.test("[C1] [C2] [T5] [R23] 1 MiB over loss-free TCP: 1 MiB in, 0 for the clones, 1 MiB out", () => {
  using p = connected();
  transfer(p, MIB);
  assertEquals(moved(p.t, "cpu"), { tcp_sendmsg: MIB, tcp_recvmsg: MIB });
  assertEquals(moved(p.t, "header"), {});
  assertEquals(conn(p.client).totalRetrans, 0);
});

Deno.test("[C2] [T5] with loss, the segments that are sent again come from the originals and copy nothing", () => {
  using p = connected({ impair: losing([3, 50, 51, 52, 200, 400, 401]) });
  const again: number[] = [];
  using _hook = atHook(p.t.a, NF_INET_LOCAL_OUT, () => again.push(conn(p.client).totalRetrans));
  transfer(p, MIB);
  const { totalRetrans } = conn(p.client);
  assert(totalRetrans >= 7, `${totalRetrans} segments sent again`);
  assertEquals(moved(p.t, "cpu"), { tcp_sendmsg: MIB, tcp_recvmsg: MIB });
  assertEquals(moved(p.t, "header"), {});
});

Deno.test("a message is read as it was written, whatever the size of the reads", () => {
  using p = connected();
  p.client.write(5000);
  p.t.machine.advance(500 * MS);
  const msg = msgHdr(new Uint8Array(700));
  const sizes: number[] = [];
  for (let n = 1; n > 0;) {
    msg.len = 700;
    n = p.t.b.sys.recvmsg(p.server.fd, msg, 0);
    if (n > 0) sizes.push(n);
  }
  assertEquals(sizes, [700, 700, 700, 700, 700, 700, 700, 100]);
});
