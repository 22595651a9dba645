import { assertEquals } from "@std/assert";
import {
  ARPHRD_LOOPBACK,
  IFF_LOOPBACK,
  Machine,
  type Net,
  type NetDevice,
  PACKET_BROADCAST,
  PACKET_HOST,
  PACKET_MULTICAST,
  PACKET_OTHERHOST,
  type SkBuff,
} from "../../../core/mod.ts";
import { ETH_P_802_2, ETH_P_802_3, ETH_P_ARP, ETH_P_IP, ethernet } from "../../../plugins/link/ethernet/mod.ts";
import { decode, eth, llc, vlan } from "../../support/frames/build.ts";

const MAC = "02:00:00:00:00:01";

interface Bed extends Disposable {
  machine: Machine;
  net: Net;
  dev: NetDevice;
  /** What the protocols got. */
  got: { type: number; pktType: number; len: number; mac: number }[];
}

/** A device, with a handler for IPv4 and ARP that notes what it gets. Ends with the check for leaks. */
function bed(): Bed {
  const machine = new Machine({ debug: true, strict: true });
  const net = machine.createNet({ plugins: [ethernet()] });
  const dev = net.registerNetdev("eth0", { startXmit: (skb) => (skb.consume(), 0) }, { address: MAC });
  const got: Bed["got"] = [];
  for (const type of [ETH_P_IP, ETH_P_ARP]) {
    net.registration(() =>
      net.ptypes.add({
        type,
        dev: null,
        func(skb) {
          got.push({ type: skb.protocol, pktType: skb.pktType, len: skb.len, mac: skb.data - skb.macHeader });
          skb.consume();
        },
      })
    );
  }
  return {
    machine,
    net,
    dev,
    got,
    [Symbol.dispose]() {
      assertEquals(machine.skbs.faults(), []);
      machine[Symbol.dispose]();
    },
  };
}

function skbOf(machine: Machine, bytes: Uint8Array): SkBuff {
  const skb = machine.skbs.alloc(bytes.length + 64)!;
  skb.reserve(32);
  skb.bytes.set(bytes, skb.put(bytes.length));
  return skb;
}

Deno.test("ethernet: the header says the protocol, is stripped, and the packet goes to that protocol [R15] [R16]", () => {
  using b = bed();
  b.dev.receive(eth({ dst: MAC, type: ETH_P_IP }, new Uint8Array(46)));
  b.dev.receive(eth({ dst: MAC, type: ETH_P_ARP }, new Uint8Array(28)));
  assertEquals(b.got, [
    { type: ETH_P_IP, pktType: PACKET_HOST, len: 46, mac: 14 },
    { type: ETH_P_ARP, pktType: PACKET_HOST, len: 28, mac: 14 },
  ]);
  assertEquals(b.net.dropTable(), {});
});

Deno.test("ethernet: the destination says for whom the frame is", () => {
  using b = bed();
  const cases: [dst: string, pktType: number][] = [
    [MAC, PACKET_HOST],
    ["ff:ff:ff:ff:ff:ff", PACKET_BROADCAST],
    ["01:00:5e:00:00:01", PACKET_MULTICAST],
    ["02:00:00:00:00:02", PACKET_OTHERHOST],
    ["02:01:00:00:00:01", PACKET_OTHERHOST],
  ];
  for (const [dst, pktType] of cases) {
    const skb = skbOf(b.machine, eth({ dst }, "x"));
    skb.pktType = PACKET_OTHERHOST; // what it was before does not count
    assertEquals([b.dev.headerOps.parse(skb, b.dev), skb.pktType, skb.dev], [0, pktType, b.dev], dst);
    skb.consume();
  }
});

Deno.test("ethernet: a frame without a whole header is dropped and counted, of any length [R14] [A62]", () => {
  using b = bed();
  for (let len = 0; len < 14; len++) assertEquals(b.dev.receive(new Uint8Array(len)), false, `${len} bytes`);
  assertEquals(b.net.dropped("HDR_TRUNC"), 14);
  assertEquals(b.dev.stats.rxErrors, 14);
  assertEquals(b.dev.receive(eth({ dst: MAC }, [])), true);
  assertEquals(b.got.map((g) => g.len), [0]);
});

Deno.test("ethernet: a giant frame ends at the device [A62]", () => {
  using b = bed();
  assertEquals(b.dev.receive(eth({ dst: MAC }, new Uint8Array(1505))), false);
  assertEquals(b.dev.receive(eth({ dst: MAC }, new Uint8Array(70000))), false);
  assertEquals(b.dev.stats.rxLengthErrors, 2);
  assertEquals(b.got, []);
});

Deno.test("ethernet: a tag with VLAN id 0 is taken off, also two of them; another id is not ours [A62]", () => {
  using b = bed();
  const payload = new Uint8Array(46);
  for (const tpid of [0x8100, 0x88a8]) b.dev.receive(eth({ dst: MAC }, vlan({ id: 0, priority: 3, tpid }, payload)));
  b.dev.receive(eth({ dst: MAC }, vlan({ id: 0, tpid: 0x88a8 }, vlan({ id: 0 }, payload))));
  assertEquals(b.got.map(({ type, len, mac }) => [type, len, mac]), [
    [ETH_P_IP, 46, 18],
    [ETH_P_IP, 46, 18],
    [ETH_P_IP, 46, 22],
  ]);
  b.dev.receive(eth({ dst: MAC }, vlan({ id: 1 }, payload)));
  b.dev.receive(eth({ dst: MAC }, vlan({ id: 0 }, vlan({ id: 4095 }, payload))));
  assertEquals(b.net.dropTable(), { UNHANDLED_PROTO: 2 });
});

Deno.test("ethernet: a tag cut short is dropped, and so is the last of 375 tags [A62]", () => {
  using b = bed();
  for (let length = 0; length < 4; length++) b.dev.receive(eth({ dst: MAC, type: 0x8100 }, new Uint8Array(length)));
  const tags = new Uint8Array(1500);
  for (let at = 2; at < tags.length; at += 4) tags[at] = 0x81;
  b.dev.receive(eth({ dst: MAC, type: 0x8100 }, tags));
  assertEquals(b.net.dropTable(), { HDR_TRUNC: 5 });
  assertEquals(b.got, []);
});

Deno.test("ethernet: an 802.3 frame is LLC, whatever its length claims, and ends as an unhandled protocol", () => {
  using b = bed();
  const frames = [
    eth({ dst: MAC }, llc({}, "spanning tree")),
    eth({ dst: MAC, type: 0 }, "nothing"),
    eth({ dst: MAC, type: 3 }, "longer than it claims"),
    eth({ dst: MAC, type: 0x05ff }, "shorter than it claims"),
    eth({ dst: MAC, type: 0x05ff }, ""),
    eth({ dst: MAC, type: 0x05ff }, "x"),
    eth({ dst: MAC, type: 20 }, [0xff, 0xff, 0, 20]),
  ];
  for (const frame of frames) b.dev.receive(frame);
  assertEquals(b.net.dropTable(), { UNHANDLED_PROTO: frames.length });
});

Deno.test("ethernet: Novell's raw 802.3 begins with ffff, everything else is 802.2", () => {
  using b = bed();
  const protocols = [[0xff, 0xff], [0xff], [], [0xaa, 0xaa], [0xff, 0xfe]].map((payload) => {
    const skb = skbOf(b.machine, eth({ dst: MAC, type: 100 }, payload));
    b.dev.headerOps.parse(skb, b.dev);
    const { protocol } = skb;
    skb.consume();
    return protocol;
  });
  assertEquals(protocols, [ETH_P_802_3, ETH_P_802_2, ETH_P_802_2, ETH_P_802_2, ETH_P_802_2]);
});

Deno.test("ethernet: 0x0600 is the first EtherType", () => {
  using b = bed();
  const skb = skbOf(b.machine, eth({ dst: MAC, type: 0x0600 }, "x"));
  b.dev.headerOps.parse(skb, b.dev);
  assertEquals(skb.protocol, 0x0600);
  skb.consume();
});

Deno.test("ethernet: on the way down data moves 14 bytes and the header is filled in [T13]", () => {
  using b = bed();
  const skb = skbOf(b.machine, new TextEncoder().encode("payload"));
  const data = skb.data;
  const ok = b.dev.headerOps.create(skb, b.dev, ETH_P_IP, 0x0200, 0xfe, b.dev.addrHi, b.dev.addrLo);
  assertEquals([ok, skb.data, skb.macHeader, skb.len], [true, data - 14, data - 14, 21]);
  const frame = decode(skb.bytes.slice(skb.data, skb.tail));
  assertEquals([frame.eth?.dst, frame.eth?.src, frame.eth?.type], ["02:00:00:00:00:fe", MAC, ETH_P_IP]);
  assertEquals(b.machine.ledger.total("cpu"), 0);
  skb.consume();
});

Deno.test("ethernet: the dummy types of 802.3 become the length of the payload", () => {
  using b = bed();
  for (const type of [ETH_P_802_2, ETH_P_802_3]) {
    const skb = skbOf(b.machine, new Uint8Array(35));
    b.dev.headerOps.create(skb, b.dev, type, 0, 0, 0, 0);
    assertEquals(skb.view.getUint16(skb.data + 12), 35);
    skb.consume();
  }
});

Deno.test("ethernet: a header on a clone leaves the bytes of the original alone", () => {
  using b = bed();
  const skb = skbOf(b.machine, new TextEncoder().encode("shared"));
  const before = skb.bytes.slice(skb.head, skb.end);
  const twin = skb.clone()!;
  assertEquals(b.dev.headerOps.create(twin, b.dev, ETH_P_IP, 0xffff, -1, 0x0200, 1), true);
  assertEquals(skb.bytes.slice(skb.head, skb.end), before);
  assertEquals(new TextDecoder().decode(twin.bytes.slice(twin.data + 14, twin.tail)), "shared");
  twin.consume();
  skb.consume();
});

Deno.test("ethernet: a head without room gets a larger one", () => {
  using b = bed();
  const skb = b.machine.skbs.alloc(64)!;
  skb.bytes.set([1, 2, 3], skb.put(3));
  assertEquals(b.dev.headerOps.create(skb, b.dev, ETH_P_IP, 0, 0, 0, 0), true);
  assertEquals([...skb.bytes.slice(skb.data + 14, skb.tail)], [1, 2, 3]);
  skb.consume();
});

Deno.test("ethernet: padding of a short frame is zeros, not old memory [A61]", () => {
  using b = bed();
  const old = skbOf(b.machine, new Uint8Array(200).fill(0x5a));
  old.consume();
  const skb = skbOf(b.machine, new TextEncoder().encode("short"));
  b.dev.headerOps.create(skb, b.dev, ETH_P_IP, 0, 0, 0, 0);
  assertEquals(b.machine.skbs.padTo(skb, 60), true);
  assertEquals([skb.len, skb.bytes.slice(skb.data + 19, skb.tail).every((x) => x === 0)], [60, true]);
  skb.consume();
});

Deno.test("ethernet: a loopback device has the same header", () => {
  using b = bed();
  const lo = b.net.registerNetdevice("lo", {
    ops: b.dev.ops,
    type: ARPHRD_LOOPBACK,
    flags: IFF_LOOPBACK,
    address: "00:00:00:00:00:00",
  });
  const skb = skbOf(b.machine, new Uint8Array(20));
  lo.headerOps.create(skb, lo, ETH_P_IP, 0, 0, 0, 0);
  assertEquals([lo.headerOps.parse(skb, lo), skb.pktType, skb.protocol, skb.len], [0, PACKET_HOST, ETH_P_IP, 20]);
  skb.consume();
});

Deno.test("ethernet: a swap under traffic loses nothing, and without the plugin devices have no header", () => {
  using b = bed();
  b.dev.receive(eth({ dst: MAC }, "one"));
  b.net.swap("ethernet", ethernet());
  b.dev.receive(eth({ dst: MAC }, "two"));
  assertEquals(b.got.length, 2);
  assertEquals(b.dev.headerOps.hardHeaderLen, 14);
  const bare = b.machine.createNet();
  assertEquals(bare.registerNetdev("eth0", { startXmit: () => 0 }).headerOps.hardHeaderLen, 0);
  assertEquals(b.net.dropTable(), {});
});
