import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  devAddOffload,
  devAddPack,
  Napi,
  type Net,
  type NetDevice,
  netdevOps,
  NETIF_F_GRO,
  NETIF_F_SG,
  skbChecksumHelp,
  type SkBuff,
  SLOT_LARGE,
} from "../../../core/mod.ts";
import { tcpGsoSegment, tcpOffload } from "../../../plugins/transport/tcp/offload.ts";
import { bytes, concat } from "../../support/frames/bytes.ts";
import { ipv4, type Ipv4Fields, tcp, type TcpFields } from "../../support/frames/build.ts";
import { decodePacket } from "../../support/frames/decode.ts";
import { Random } from "../../support/frames/random.ts";
import { TestMachine } from "../../support/hosts.ts";

const TSTAMP = [1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 7];
const ETH_HLEN = 14;

interface Bench extends Disposable {
  machine: TestMachine;
  net: Net;
  dev: NetDevice;
  napi: Napi;
  /** What went up: the packet's bytes and how many segments it stands for. */
  got: { bytes: Uint8Array; gsoSize: number; gsoSegs: number; ipSummed: number }[];
  receive(...packets: Uint8Array[]): void;
}

function bench(): Bench {
  const machine = new TestMachine();
  const net = machine.createNet();
  const dev = net.registerNetdevice("eth0", {
    ops: netdevOps({ startXmit: (skb) => (skb.consume(), 0) }),
    features: NETIF_F_SG | NETIF_F_GRO,
  });
  devAddOffload(net, tcpOffload());
  const got: Bench["got"] = [];
  devAddPack(net, {
    type: 0x0800,
    dev: null,
    func: (skb) => {
      got.push({ bytes: bytesOf(skb), gsoSize: skb.gsoSize, gsoSegs: skb.gsoSegs, ipSummed: skb.ipSummed });
      skb.consume();
    },
  });
  const napi = new Napi(machine, dev, () => 0);
  const receive = (...packets: Uint8Array[]) => {
    napi.scheduled = true;
    for (const packet of packets) napi.groReceive(received(machine, dev, packet));
    napi.complete(packets.length);
  };
  return { machine, net, dev, napi, got, receive, [Symbol.dispose]: () => machine[Symbol.dispose]() };
}

/** All bytes from `data` on. */
function bytesOf(skb: SkBuff): Uint8Array {
  const parts = [skb.bytes.slice(skb.data, skb.tail)];
  for (let i = 0; i < skb.nrFrags; i++) {
    const f = skb.frags[i];
    parts.push(f.slab.bytes.slice(f.offset, f.offset + f.size));
  }
  return concat(...parts);
}

/** A packet as a driver hands it up: linear, behind an Ethernet header that was read. */
function received(machine: TestMachine, dev: NetDevice, packet: Uint8Array): SkBuff {
  const skb = machine.skbs.alloc(64 + ETH_HLEN + packet.length)!;
  skb.reserve(64);
  const at = skb.put(ETH_HLEN + packet.length);
  skb.bytes.fill(2, at, at + ETH_HLEN);
  skb.bytes.set(packet, at + ETH_HLEN);
  skb.macHeader = at;
  skb.pull(ETH_HLEN);
  skb.protocol = 0x0800;
  skb.dev = dev;
  return skb;
}

/** A super-packet with its payload cut into frags at `cuts`; `linear` bytes of it stand behind the headers. */
function superPacket(
  t: Bench,
  head: Uint8Array,
  payload: Uint8Array,
  mss: number,
  linear: number,
  cuts: number[],
): SkBuff {
  const { machine } = t;
  const skb = machine.skbs.alloc(128 + ETH_HLEN + head.length + linear)!;
  skb.reserve(128 - ETH_HLEN);
  const mac = skb.put(ETH_HLEN);
  skb.bytes.fill(3, mac, mac + ETH_HLEN);
  const at = skb.put(head.length + linear);
  skb.bytes.set(head, at);
  skb.bytes.set(payload.subarray(0, linear), at + head.length);
  let from = linear;
  for (const to of [...cuts, payload.length]) {
    for (; from < to; from += Math.min(to - from, 32768)) {
      const n = Math.min(to - from, 32768);
      const page = machine.pages.alloc(SLOT_LARGE);
      machine.pages.slab.bytes.set(payload.subarray(from, from + n), page);
      skb.addFrag(machine.pages.slab, page, page, n);
    }
  }
  skb.macHeader = mac;
  skb.networkHeader = at;
  skb.transportHeader = at + 20;
  skb.protocol = 0x0800;
  skb.dev = t.dev;
  skb.gsoSize = mss;
  skb.gsoSegs = Math.ceil(payload.length / mss);
  skb.gsoType = 1;
  return skb;
}

function packet(fields: TcpFields, payload: Uint8Array, ip: Partial<Ipv4Fields> = {}): Uint8Array {
  return ipv4({ src: "10.0.0.1", dst: "10.0.0.2", df: true, ...ip }, tcp({ sport: 1, dport: 2, ...fields }, payload));
}

/** The segments of a super-packet as they leave, checksums complete, without their link header. */
function segments(skb: SkBuff): Uint8Array[] {
  const out: Uint8Array[] = [];
  for (let seg = tcpGsoSegment(skb); seg !== null;) {
    const next: SkBuff | null = seg.next;
    seg.next = null;
    assertEquals(bytesOf(seg).subarray(0, ETH_HLEN), bytesOf(skb).subarray(0, ETH_HLEN));
    assert(skbChecksumHelp(seg));
    out.push(bytesOf(seg).slice(ETH_HLEN));
    seg.consume();
    seg = next;
  }
  return out;
}

Deno.test("a super-packet becomes segments: sequence, identification, lengths, flags and checksums", () => {
  using t = bench();
  const payload = new Random("offload").bytes(3000);
  // FIN, PSH, ACK, CWR.
  const head = packet({ seq: 0xfffffc00, ack: 77, flags: 0x99, options: TSTAMP }, new Uint8Array(0), {
    id: 0xffff,
    tos: 8,
  });
  const skb = superPacket(t, head, payload, 1400, 0, [100]);
  const found = segments(skb).map((bytes) => decodePacket(bytes));
  assertEquals(found.length, 3);
  found.forEach((d, i) => {
    const { ipv4: ip, tcp: seg } = d;
    assertEquals([ip!.checksumOk, seg!.checksumOk], [true, true]);
    assertEquals([ip!.id, ip!.totalLength, ip!.tos], [(0xffff + i) & 0xffff, 52 + (i < 2 ? 1400 : 200), 8]);
    assertEquals([seg!.seq, seg!.ack], [(0xfffffc00 + i * 1400) % 2 ** 32, 77]);
    // CWR with the first only, FIN and PSH with the last only.
    assertEquals(seg!.flags, ["AC", "A", "FPA"][i]);
  });
  skb.consume();
});

Deno.test("segmentation shares the payload: nothing but headers is copied, and the sender pays once", () => {
  using t = bench();
  const payload = new Random("share").bytes(20000);
  const skb = superPacket(t, packet({ flags: "A", options: TSTAMP }, new Uint8Array(0)), payload, 1448, 0, []);
  let charged = skb.truesize;
  skb.owner = {
    wfree: (n) => void (charged -= n),
    rfree: () => {},
    error: () => {},
    mark: 0,
    priority: 0,
    txQueue: -1,
  };
  skb.destructor = 1;
  const before = t.machine.ledger.total("cpu");
  let list = tcpGsoSegment(skb);
  assertEquals(t.machine.ledger.total("cpu"), before);
  skb.consume();
  assert(charged > 0);
  for (; list !== null;) {
    const next: SkBuff | null = list.next;
    list.next = null;
    list.consume();
    list = next;
  }
  assertEquals(charged, 0);
});

Deno.test("what is no TCP super-packet is refused", () => {
  using t = bench();
  const make = (change: (skb: SkBuff) => void): void => {
    const skb = superPacket(t, packet({ flags: "A" }, new Uint8Array(0)), new Uint8Array(3000), 1000, 0, []);
    change(skb);
    assertEquals(tcpGsoSegment(skb), null);
    skb.consume();
  };
  make((skb) => skb.gsoSize = 0);
  make((skb) => skb.gsoType = 1 << 17);
  make((skb) => skb.view.setUint8(skb.networkHeader + 9, 17));
  make((skb) => skb.view.setUint8(skb.transportHeader + 12, 0x40));
  make((skb) => skb.view.setUint8(skb.transportHeader + 12, 0xf0));
  make((skb) => skb.trim(54));
});

Deno.test("GRO undoes segmentation: the same bytes arrive in one packet, whose checksum is partial", () => {
  using t = bench();
  fc.assert(
    fc.property(
      fc.record({
        size: fc.integer({ min: 1, max: 24000 }),
        mss: fc.integer({ min: 500, max: 1448 }),
        linear: fc.integer({ min: 0, max: 300 }),
        cut: fc.integer({ min: 0, max: 24000 }),
        options: fc.constantFrom([], TSTAMP),
        id: fc.integer({ min: 0, max: 65535 }),
      }),
      ({ size, mss, linear, cut, options, id }) => {
        // As many as one packet holds: 17 pieces behind the first.
        size = Math.min(size, 17 * mss);
        const payload = new Random(`gro ${size}`).bytes(size);
        const head = packet({ seq: 5, ack: 7, flags: "PA", options }, new Uint8Array(0), { id });
        const cuts = cut > linear && cut < size ? [cut] : [];
        const skb = superPacket(t, head, payload, mss, Math.min(linear, size), cuts);
        const list = segments(skb);
        skb.consume();
        t.got.length = 0;
        t.receive(...list);
        assertEquals(concat(...t.got.map((g) => g.bytes.slice(head.length))), payload);
        if (size > mss) {
          assertEquals(t.got.length, 1);
          assertEquals([t.got[0].gsoSize, t.got[0].gsoSegs, t.got[0].ipSummed], [mss, list.length, 3]);
          const d = decodePacket(t.got[0].bytes);
          assertEquals([d.ipv4!.totalLength, d.ipv4!.id, d.tcp!.flags], [head.length + size, id, "PA"]);
          assert(d.ipv4!.checksumOk);
        }
      },
    ),
    { numRuns: 100 },
  );
});

Deno.test("GRO merges only what continues the same flow; order within a flow is kept", () => {
  using t = bench();
  const payload = (n: number, v: number) => new Uint8Array(n).fill(v);
  const seg = (i: number, fields: TcpFields = {}, ip: Partial<Ipv4Fields> = {}, n = 100): Uint8Array =>
    packet({ seq: 1000 + i * 100, ack: 5, flags: "A", options: TSTAMP, ...fields }, payload(n, i), {
      id: 10 + i,
      ...ip,
    });
  const count = (...list: Uint8Array[]): number[] => {
    t.got.length = 0;
    t.receive(...list);
    return t.got.map((g) => g.gsoSegs || 1);
  };
  assertEquals(count(seg(0), seg(1), seg(2)), [3]);
  // A gap, another ACK, other options, another TOS, TTL, DF or identification.
  assertEquals(count(seg(0), seg(2)), [1, 1]);
  assertEquals(count(seg(0), seg(1, { ack: 6 })), [1, 1]);
  assertEquals(count(seg(0), seg(1, { options: [...TSTAMP.slice(0, 11), 8] })), [1, 1]);
  assertEquals(count(seg(0), seg(1, { options: [] })), [1, 1]);
  assertEquals(count(seg(0), seg(1, {}, { tos: 4 })), [1, 1]);
  assertEquals(count(seg(0), seg(1, {}, { ttl: 63 })), [1, 1]);
  assertEquals(count(seg(0), seg(1, {}, { df: false })), [1, 1]);
  assertEquals(count(seg(0), seg(1, {}, { id: 13 })), [1, 1]);
  assertEquals(count(seg(0), seg(1, {}, { id: 10 })), [2]);
  // A short one and a pushed one are the last; a larger one begins anew.
  assertEquals(count(seg(0), seg(1, {}, {}, 50), seg(2)), [2, 1]);
  assertEquals(count(seg(0), seg(1, { flags: "PA" }), seg(2)), [2, 1]);
  assertEquals(count(seg(0), seg(1, {}, {}, 101)), [1, 1]);
  assertEquals(count(seg(0, { flags: "PA" }), seg(1)), [1, 1]);
  // Two flows at once.
  assertEquals(count(seg(0), seg(0, { sport: 9 }), seg(1), seg(1, { sport: 9 })), [2, 2]);
  // What has no data, or says more than data, goes up at once, behind what it follows.
  for (const fields of [{ flags: "SA" }, { flags: "RA" }, { flags: "UA" }, { flags: "CA" }]) {
    assertEquals(count(seg(0), seg(1, fields)), [1, 1]);
    assertEquals(t.got.map((g) => decodePacket(g.bytes).tcp!.seq), [1000, 1100]);
  }
  assertEquals(count(seg(0), seg(1, {}, {}, 0), seg(1)), [1, 1, 1]);
});

Deno.test("GRO holds no packet whose checksums are wrong, that is a fragment, short, or padded", () => {
  using t = bench();
  const good = packet({ seq: 1, ack: 1, flags: "A" }, new Uint8Array(100).fill(1), { id: 1 });
  const next = (change: (b: Uint8Array) => Uint8Array | void): void => {
    const other = packet({ seq: 101, ack: 1, flags: "A" }, new Uint8Array(100).fill(1), { id: 2 });
    const changed = change(other) ?? other;
    t.got.length = 0;
    t.receive(good, changed);
    assertEquals(t.got.map((g) => g.gsoSegs), [0, 0]);
    assertEquals(t.got[1].bytes, bytes(changed));
  };
  next((b) => void (b[60] ^= 1));
  next((b) => void (b[10] ^= 1));
  next((b) => b.slice(0, 130));
  next((b) => concat(b, new Uint8Array(4)));
  next(() => packet({ seq: 101, ack: 1, flags: "A" }, new Uint8Array(100).fill(1), { id: 2, mf: true }));
});
