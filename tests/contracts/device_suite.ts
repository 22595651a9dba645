/**
 * What every device must do, whatever it is made of: the contract of `NetDevice`'s driver. `deviceSuite()` is run over
 * nic, veth, channel and loopback in device_test.ts, and over a TAP in its own namespace.
 */
import { assert, assertEquals } from "@std/assert";
import {
  DESTRUCTOR_WFREE,
  devQueueXmit,
  type Machine,
  type Net,
  NET_XMIT_DROP,
  type NetDevice,
  type SkbOwner,
} from "../../core/mod.ts";
import { packet, pattern } from "./device_support.ts";

/** A device with its other end. */
export interface DeviceFixture {
  /** The machine, with debug and strict. */
  readonly machine: Machine;
  /** The net that the device is in. */
  readonly net: Net;
  /** The device under test, down or up. */
  readonly dev: NetDevice;
  /** Address of the other end. */
  readonly peer: readonly [hi: number, lo: number];
  /** Lets everything that is under way arrive. */
  settle(): void | Promise<void>;
  /** Frames with link header that came out at the other end since the last call. */
  received(): Uint8Array[];
  /** Lets the other end send. */
  deliver(frame: Uint8Array<ArrayBuffer>): void;
  /** Frames that the stack above the device received since the last call, from the network header on. */
  delivered(): Uint8Array[];
  /** Ends it. */
  close(): void | Promise<void>;
}

/** One case: it gets a fresh fixture. */
export interface DeviceCase {
  /** What the device does. */
  readonly name: string;
  /** Asserts it. */
  run(f: DeviceFixture): Promise<void>;
}

const send = (f: DeviceFixture, payload: Uint8Array, linear?: number): number => {
  f.machine.enter();
  const skb = packet(f.net, f.peer, payload, linear);
  skb.dev = f.dev;
  const rc = devQueueXmit(skb);
  f.machine.exit();
  return rc;
};

/** The payload of a frame, cut to `n` bytes: a NIC pads. */
const payloadOf = (frame: Uint8Array, n: number): number[] => [...frame.slice(14, 14 + n)];

const frameTo = (f: DeviceFixture, payload: Uint8Array): Uint8Array<ArrayBuffer> => {
  const out = new Uint8Array(14 + payload.length);
  const view = new DataView(out.buffer);
  view.setUint16(0, f.dev.addrHi);
  view.setInt32(2, f.dev.addrLo);
  view.setUint16(6, f.peer[0]);
  view.setInt32(8, f.peer[1]);
  view.setUint16(12, 0x88b5);
  out.set(payload, 14);
  return out;
};

/** All cases. */
export const DEVICE_CASES: readonly DeviceCase[] = [
  {
    name: "sends a linear packet byte for byte, counts it, and the skb is gone",
    async run(f) {
      f.dev.open();
      assertEquals(send(f, pattern(100)), 0);
      await f.settle();
      const frames = f.received();
      assertEquals(frames.length, 1);
      assertEquals(payloadOf(frames[0], 100), [...pattern(100)]);
      assertEquals(f.dev.stats.txPackets, 1);
      assert(f.dev.stats.txBytes >= 100);
      assertEquals(f.machine.skbs.live, 0);
    },
  },
  {
    name: "sends a packet in frags byte for byte",
    async run(f) {
      f.dev.open();
      assertEquals(send(f, pattern(1400), 10), 0);
      await f.settle();
      assertEquals(f.received().map((x) => payloadOf(x, 1400)), [[...pattern(1400)]]);
    },
  },
  {
    name: "receives, counts, and hands up from the network header on",
    async run(f) {
      f.dev.open();
      await f.settle();
      f.deliver(frameTo(f, pattern(200)));
      await f.settle();
      assertEquals(f.delivered().map((x) => [...x]), [[...pattern(200)]]);
      assertEquals(f.dev.stats.rxPackets, 1);
      assertEquals(f.machine.skbs.live, 0);
    },
  },
  {
    name: "down, it drops what it is to send with DEV_READY and receives nothing",
    async run(f) {
      f.dev.open();
      f.dev.close();
      assertEquals(send(f, pattern(100)), NET_XMIT_DROP);
      // A loopback's other end is itself.
      f.deliver(frameTo(f, pattern(100)));
      await f.settle();
      assertEquals(f.received().length, 0);
      assertEquals(f.delivered().length, 0);
      assert(f.net.dropped("DEV_READY") >= 1);
      assertEquals(f.dev.stats.txDropped, f.net.dropped("DEV_READY"));
    },
  },
  {
    name: "opens, closes and opens again, and works as before",
    async run(f) {
      for (let i = 0; i < 3; i++) {
        assertEquals(f.dev.open(), 0);
        await f.settle();
        assertEquals(send(f, pattern(64)), 0);
        await f.settle();
        assertEquals(f.received().length, 1);
        f.dev.close();
      }
      assertEquals(f.dev.stats.txPackets, 3);
    },
  },
  {
    name: "taps see both directions, with the link header at macHeader",
    async run(f) {
      const seen: string[] = [];
      using _tap = f.dev.addTap((skb, dev, outgoing) => {
        assertEquals(dev, f.dev);
        assertEquals(skb.view.getUint16(skb.macHeader + 12), 0x88b5);
        seen.push(`${outgoing ? "out" : "in"} ${skb.len + skb.data - skb.macHeader}`);
      });
      f.dev.open();
      send(f, pattern(100));
      await f.settle();
      f.received();
      f.delivered();
      const before = seen.filter((s) => s.startsWith("in")).length;
      f.deliver(frameTo(f, pattern(120)));
      await f.settle();
      assertEquals(seen.filter((s) => s.startsWith("out"))[0], "out 114");
      assertEquals(seen.filter((s) => s.startsWith("in"))[before], "in 134");
    },
  },
  {
    name: "takes another MTU within its limits, and refuses others",
    async run(f) {
      f.dev.open();
      assertEquals(f.dev.setMtu(1280), 0);
      assertEquals(f.dev.mtu, 1280);
      assert(f.dev.setMtu(67) < 0);
      assert(f.dev.setMtu(f.dev.maxMtu + 1) < 0);
      assertEquals(f.dev.mtu, 1280);
      send(f, pattern(1000));
      await f.settle();
      assertEquals(f.received().length, 1);
    },
  },
  {
    name: "a flood is delivered or counted, nothing leaks, and it sends on afterwards",
    async run(f) {
      f.dev.open();
      await f.settle();
      const total = 3000;
      f.machine.enter();
      for (let i = 0; i < total; i++) send(f, pattern(60));
      f.machine.exit();
      let arrived = 0;
      for (let i = 0; i < 20; i++) {
        await f.settle();
        arrived += f.received().length;
      }
      const drops = Object.values(f.net.dropTable()).reduce((a, b) => a + b, 0);
      assertEquals(arrived + drops, total);
      assert(arrived > 0);
      assertEquals(f.machine.skbs.live, 0);
      send(f, pattern(60));
      await f.settle();
      assertEquals(f.received().length, 1);
    },
  },
  {
    name: "tells the owner of every packet once, sent or dropped",
    async run(f) {
      let freed = 0;
      const owner: SkbOwner = {
        wfree: (n) => freed += n,
        rfree: () => {},
        error: () => {},
        mark: 0,
        priority: 0,
        txQueue: -1,
      };
      const give = (): number => {
        const skb = packet(f.net, f.peer, pattern(80));
        skb.dev = f.dev;
        skb.owner = owner;
        skb.destructor = DESTRUCTOR_WFREE;
        const n = skb.truesize;
        f.machine.enter();
        devQueueXmit(skb);
        f.machine.exit();
        return n;
      };
      f.dev.open();
      await f.settle();
      let owed = give() + give();
      await f.settle();
      f.received();
      assertEquals(freed, owed);
      f.dev.close();
      owed += give();
      assertEquals(freed, owed);
    },
  },
  {
    name: "goes away with packets under way, and nothing leaks",
    async run(f) {
      f.dev.open();
      await f.settle();
      f.machine.enter();
      for (let i = 0; i < 10; i++) send(f, pattern(60));
      f.net.unregisterNetdevice(f.dev);
      f.machine.exit();
      await f.settle();
      assertEquals(f.net.device(f.dev.name), undefined);
      assertEquals(f.machine.skbs.live, 0);
    },
  },
];

/** Registers every case as a test over the fixtures that `make` gives. */
export function deviceSuite(kind: string, make: () => DeviceFixture | Promise<DeviceFixture>): void {
  for (const c of DEVICE_CASES) Deno.test(`${kind}: ${c.name}`, () => runDeviceCase(c, make));
}

/** Runs one case, and asserts that it left nothing behind. */
export async function runDeviceCase(c: DeviceCase, make: () => DeviceFixture | Promise<DeviceFixture>): Promise<void> {
  const f = await make();
  try {
    await c.run(f);
  } finally {
    await f.close();
  }
  f.machine[Symbol.dispose]();
  assertEquals(f.machine.skbs.faults(), []);
  assertEquals(f.machine.pages.slotsInUse(), 0);
  assertEquals(f.net.dropped("NOT_SPECIFIED"), 0);
}
