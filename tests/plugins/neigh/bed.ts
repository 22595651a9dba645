/** A net with a device, the neighbour table and somebody who asks, for tests. */
import { assertEquals } from "@std/assert";
import { DROP, Machine, type Net, type NetDevice, type SkBuff } from "../../../core/mod.ts";
import { ethernet } from "../../../plugins/link/ethernet/mod.ts";
import { NEIGH, neigh, type Neighbour, type NeighTable } from "../../../plugins/network/neigh/mod.ts";
import { decode } from "../../support/frames/build.ts";

/** A neighbour's address as an int32: 10.0.x.y. */
export const ip = (n: number): number => (0x0a000000 + n) | 0;

/** The test bed. */
export interface NeighBed extends Disposable {
  machine: Machine;
  net: Net;
  dev: NetDevice;
  table: NeighTable;
  /** Questions: for which next hop, at which ms, with which packet's mark. */
  asked: { key: number; at: number; mark: number | null; state: number }[];
  /** Marks of packets that were reported as undeliverable. */
  failed: number[];
  /** What the driver sent. */
  sent: { dst: string; mark: number; at: number }[];
  /** ms of virtual time. */
  now(): number;
  /** Lets time pass. */
  wait(ms: number): void;
  /** A packet marked `mark`. */
  packet(mark: number, size?: number): SkBuff;
  /** Sends a packet to a next hop. */
  send(n: Neighbour, mark: number, size?: number): number;
}

/** A bed. Ends with the check for leaks. */
export function neighBed(options: { flags?: number; seed?: number } = {}): NeighBed {
  const machine = new Machine({ debug: true, strict: true, autoAdvance: false, seed: options.seed ?? 1 });
  const net = machine.createNet({ plugins: [ethernet(), neigh()] });
  const bed: NeighBed = {
    machine,
    net,
    table: net.get(NEIGH),
    dev: net.registerNetdev("eth0", {
      startXmit(skb) {
        const dst = decode(skb.bytes.slice(skb.data, skb.tail)).eth?.dst ?? "";
        bed.sent.push({ dst, mark: skb.mark, at: bed.now() });
        skb.consume();
        return 0;
      },
    }, {
      address: "02:00:00:00:00:01",
      txQueueLen: 0,
      ...(options.flags === undefined ? {} : { flags: options.flags }),
    }),
    asked: [],
    failed: [],
    sent: [],
    now: () => machine.platform.now() / 1e6,
    wait: (ms) => machine.advance(ms * 1e6),
    packet(mark, size = 128 + 64) {
      const skb = machine.skbs.alloc(size)!;
      skb.reserve(128);
      skb.put(64);
      skb.protocol = 0x0800;
      skb.mark = mark;
      return skb;
    },
    send: (n, mark, size) => machine.batch(() => bed.table.output(n, bed.packet(mark, size))),
    [Symbol.dispose]() {
      net[Symbol.dispose]();
      assertEquals(machine.skbs.faults(), []);
      machine[Symbol.dispose]();
    },
  };
  bed.table.setSolicit({
    solicit: (n, skb) =>
      void bed.asked.push({ key: n.primaryKey, at: bed.now(), mark: skb?.mark ?? null, state: n.nudState }),
    errorReport(_n, skb) {
      bed.failed.push(skb.mark);
      net.drop(skb, DROP.NEIGH_FAILED);
    },
    construct: () => {},
  });
  return bed;
}
