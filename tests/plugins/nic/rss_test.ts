/** RSS: Toeplitz's hash against the published vectors, the indirection table, the fields that are hashed. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { devAddPack } from "../../../core/mod.ts";
import {
  type NicOptions,
  RSS_INDIR_SIZE,
  RSS_KEY_LEN,
  RSS_MICROSOFT_KEY,
  toeplitz,
} from "../../../plugins/device/nic/mod.ts";
import { nic, wire } from "../../../plugins/device/nic/mod.ts";
import { bareNet, debugMachine } from "../../contracts/device_support.ts";
import { eth, ipv4, tcp, udp } from "../../support/frames/build.ts";

/**
 * Microsoft, "Verifying the RSS hash calculation": source, destination, hash of the addresses, hash with the ports.
 */
const VECTORS4 = [
  ["66.9.149.187", 2794, "161.142.100.80", 1766, 0x323e8fc2, 0x51ccc178],
  ["199.92.111.2", 14230, "65.69.140.83", 4739, 0xd718262a, 0xc626b0ea],
  ["24.19.198.95", 12898, "12.22.207.184", 38024, 0xd2d0a5de, 0x5c2b394a],
  ["38.27.205.30", 48228, "209.142.163.6", 2217, 0x82989176, 0xafc7327f],
  ["153.39.163.191", 44251, "202.188.127.2", 1303, 0x5d1809c5, 0x10e828a2],
] as const;

const VECTORS6 = [
  ["3ffe250102001fff0000000000000007", 2794, "3ffe2501020000030000000000000001", 1766, 0x2cc18cd5, 0x40207d3d],
  ["3ffe050100080000026097fffe40efab", 14230, "ff020000000000000000000000000001", 4739, 0x0f0c461c, 0xdde51bbf],
  ["3ffe1900454500030200f8fffe2167cf", 44251, "fe800000000000000200f8fffe2167cf", 38024, 0x4b61e985, 0x02d1feef],
] as const;

const ip4 = (text: string): number[] => text.split(".").map(Number);
const ip6 = (hex: string): number[] => hex.match(/../g)!.map((b) => parseInt(b, 16));
const ports = (s: number, d: number): number[] => [s >> 8, s & 255, d >> 8, d & 255];
const hash = (bytes: number[]): number => toeplitz(RSS_MICROSOFT_KEY, Uint8Array.from(bytes)) >>> 0;

/** A NIC of 4 queues whose frames come from a wire, and what the stack saw: hash, receive queue + 1. */
function bed(options: NicOptions = {}) {
  const machine = debugMachine();
  const cable = wire(machine);
  const net = bareNet(machine, "B");
  nic(bareNet(machine, "A"), "eth0", { wire: cable }).dev.open();
  const b = nic(net, "eth0", { wire: cable, queues: 4, ...options });
  b.dev.open();
  const seen: [number, number][] = [];
  for (const type of [0x0800, 0x0806, 0x8100]) {
    devAddPack(net, {
      type,
      dev: null,
      func: (skb) => {
        seen.push([skb.hash >>> 0, skb.queueMapping]);
        skb.consume();
      },
    });
  }
  const inject = (type: number, payload: Uint8Array): [number, number] => {
    assert(cable.inject(b, Uint8Array.from(eth({ dst: b.dev.address, src: "02:00:00:00:00:aa", type }, payload))));
    return seen.at(-1)!;
  };
  const end = (): void => {
    machine[Symbol.dispose]();
    assertEquals(machine.skbs.faults(), []);
    assertEquals(machine.pages.slotsInUse(), 0);
  };
  return { b, inject, end };
}

Deno.test("Toeplitz: Microsoft's vectors, IPv4 and IPv6, with and without ports", () => {
  for (const [src, sport, dst, dport, addresses, all] of VECTORS4) {
    assertEquals(hash([...ip4(src), ...ip4(dst)]), addresses);
    assertEquals(hash([...ip4(src), ...ip4(dst), ...ports(sport, dport)]), all);
  }
  for (const [src, sport, dst, dport, addresses, all] of VECTORS6) {
    assertEquals(hash([...ip6(src), ...ip6(dst)]), addresses);
    assertEquals(hash([...ip6(src), ...ip6(dst), ...ports(sport, dport)]), all);
  }
  assertThrows(() => toeplitz(new Uint8Array(15), new Uint8Array(12)), RangeError, "it takes 16");
});

Deno.test("the NIC's hash of TCP and UDP frames is that of the vectors; the table gives the queue", () => {
  const t = bed({ rss: { key: RSS_MICROSOFT_KEY } });
  for (const [src, sport, dst, dport, , all] of VECTORS4) {
    const queue = (all & (RSS_INDIR_SIZE - 1)) % 4 + 1;
    const dgram = ipv4({ src, dst, proto: 17, ttl: 64 }, udp({ sport, dport }, new Uint8Array(20)));
    assertEquals(t.inject(0x0800, dgram), [all, queue]);
    const segment = ipv4({ src, dst, proto: 6, ttl: 64 }, tcp({ sport, dport }, new Uint8Array(20)));
    assertEquals(t.inject(0x0800, segment), [all, queue]);
  }
  t.end();
});

Deno.test("fragments, other protocols and `sd` go by the addresses; what is not IPv4 to queue 0; a tag is looked through", () => {
  const t = bed({ rss: { key: RSS_MICROSOFT_KEY } });
  const [src, sport, dst, dport, addresses, all] = VECTORS4[1];
  const body = udp({ sport, dport }, new Uint8Array(40));
  const fragment = ipv4({ src, dst, proto: 17, ttl: 64 }, body);
  fragment[6] = 0x20; // more fragments
  assertEquals(t.inject(0x0800, fragment)[0], addresses);
  assertEquals(t.inject(0x0800, ipv4({ src, dst, proto: 1, ttl: 64 }, body))[0], addresses);
  const whole = ipv4({ src, dst, proto: 17, ttl: 64 }, body);
  assertEquals(t.inject(0x0800, whole)[0], all);
  assertEquals(t.inject(0x8100, Uint8Array.of(0, 7, 0x08, 0x00, ...whole))[0], all);
  assertEquals(t.inject(0x0806, new Uint8Array(46)), [0, 1]);
  t.b.setRxfh({ rxFlowHash: { udp4: "sd" } });
  assertEquals(t.inject(0x0800, whole)[0], addresses);
  assertEquals(t.b.rxfh.rxFlowHash, { tcp4: "sdfn", udp4: "sd" });
  assertEquals(
    t.inject(0x0800, ipv4({ src, dst, proto: 6, ttl: 64 }, tcp({ sport, dport }, new Uint8Array(20))))[0],
    all,
  );
  t.end();
});

Deno.test("ethtool -X: equal, weight, a table, the default; wrong ones are refused and change nothing", () => {
  const t = bed();
  const { b } = t;
  const count = (): number[] => [0, 1, 2, 3].map((q) => b.rxfh.indir.filter((e) => e === q).length);
  assertEquals(b.rxfh.key.length, RSS_KEY_LEN);
  assertEquals(count(), [32, 32, 32, 32]);
  b.setRxfh({ equal: 2 });
  assertEquals(count(), [64, 64, 0, 0]);
  b.setRxfh({ weight: [1, 1, 0, 6] });
  assertEquals(count(), [16, 16, 0, 96]);
  const table = Array.from({ length: RSS_INDIR_SIZE }, (_, e) => e < 5 ? 3 : 1);
  b.setRxfh({ indir: table });
  assertEquals(b.rxfh.indir, table);
  for (
    const wrong of [
      { equal: 5 },
      { equal: 0 },
      { weight: [0, 0] },
      { weight: [1, 1, 1, 1, 1] },
      { indir: [1] },
      { indir: table.map(() => 4) },
      { equal: 1, weight: [1] },
      { equal: 1, key: new Uint8Array(39) },
    ]
  ) assertThrows(() => b.setRxfh(wrong), RangeError);
  assertEquals(b.rxfh.indir, table);
  b.setRxfh({ key: RSS_MICROSOFT_KEY });
  assertEquals([...b.rxfh.key], [...RSS_MICROSOFT_KEY]);
  assertThrows(() => b.setChannels({ combined: 2 }), RangeError, "its indirection table names queue 3");
  b.setChannels({ combined: 8 });
  assertEquals(b.rxfh.indir, table, "a table of the user's stays");
  b.setRxfh({ default: true });
  assertEquals(b.rxfh.indir.filter((e) => e === 7).length, 16);
  b.setChannels({ combined: 2 });
  assertEquals(count(), [64, 64, 0, 0], "the default follows the number of queues");
  t.end();
});
