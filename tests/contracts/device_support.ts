/** What tests of devices share: machines, nets that have only a link layer, and packets to send. */
import { devAddPack, devQueueXmit, Machine, type Net, type NetDevice, type SkBuff } from "../../core/mod.ts";
import { ethernet } from "../../plugins/link/ethernet/mod.ts";
import type { DeviceFixture } from "./device_suite.ts";

/** A machine that tracks every skb and rethrows what plugins throw. */
export function debugMachine(options: { slabBytes?: number; maxSlabs?: number; seed?: number } = {}): Machine {
  return new Machine({ debug: true, strict: true, ...options });
}

/** A net that has only a link layer. */
export function bareNet(machine: Machine, name?: string): Net {
  return machine.createNet({ ...(name === undefined ? {} : { name }), plugins: [ethernet()] });
}

/** EtherType of the test's packets: "local experimental", IEEE 802. */
export const TEST_TYPE = 0x88b5;

/** An skb with an Ethernet header to `dst` and `payload` behind it; the first `linear` bytes linear, the rest in frags. */
export function packet(
  net: Net,
  dst: readonly [hi: number, lo: number],
  payload: Uint8Array,
  linear: number = payload.length,
): SkBuff {
  const skb = net.machine.skbs.alloc(Math.min(payload.length, linear) + 192)!;
  skb.reserve(128);
  skb.protocol = TEST_TYPE;
  const at = skb.put(Math.min(payload.length, linear));
  for (let i = 0; i < Math.min(payload.length, linear); i++) skb.bytes[at + i] = payload[i];
  for (let from = linear; from < payload.length;) {
    const n = net.machine.skbs.addPage(skb, payload.length - from);
    const frag = skb.frags[skb.nrFrags - 1];
    for (let i = 0; i < n; i++) frag.slab.bytes[frag.offset + i] = payload[from + i];
    from += n;
  }
  const h = skb.push(14);
  skb.view.setUint16(h, dst[0]);
  skb.view.setInt32(h + 2, dst[1]);
  skb.view.setUint16(h + 6, 0x0200);
  skb.view.setInt32(h + 8, 0x99);
  skb.view.setUint16(h + 12, TEST_TYPE);
  return skb;
}

/** All bytes of a packet from `data` on. Borrows `skb`. */
export function bytesOf(skb: SkBuff): Uint8Array {
  const out = [...skb.bytes.subarray(skb.data, skb.tail)];
  for (let i = 0; i < skb.nrFrags; i++) {
    const frag = skb.frags[i];
    out.push(...frag.slab.bytes.subarray(frag.offset, frag.offset + frag.size));
  }
  return Uint8Array.from(out);
}

/** Bytes 0, 1, 2, ... */
export function pattern(n: number): Uint8Array {
  return Uint8Array.from({ length: n }, (_, i) => i & 0xff);
}

/** What a net receives: frames with or without their link header. */
export function collect(net: Net, withHeader: boolean): () => Uint8Array[] {
  let list: Uint8Array[] = [];
  devAddPack(net, {
    type: TEST_TYPE,
    dev: null,
    func: (skb) => {
      if (withHeader) skb.push(14);
      list.push(bytesOf(skb));
      skb.consume();
    },
  });
  return () => {
    const out = list;
    list = [];
    return out;
  };
}

/** Two nets of one machine, a device in each. */
export function twoNets(a: NetDevice, b: NetDevice): DeviceFixture {
  b.open();
  const machine = a.net.machine;
  return {
    machine,
    net: a.net,
    dev: a,
    peer: [b.addrHi, b.addrLo],
    settle: () => machine.runUntilIdle(),
    received: collect(b.net, true),
    delivered: collect(a.net, false),
    deliver(frame) {
      const skb = packet(b.net, [a.addrHi, a.addrLo], frame.slice(14));
      skb.dev = b;
      machine.enter();
      devQueueXmit(skb);
      machine.exit();
    },
    close() {},
  };
}
