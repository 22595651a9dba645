/** A host with addresses, routes and ARP on one or two devices, for tests. */
import { assertEquals } from "@std/assert";
import { Machine, type Net, type NetDevice } from "../../../core/mod.ts";
import { ethernet } from "../../../plugins/link/ethernet/mod.ts";
import { INET, inet } from "../../../plugins/network/inet/mod.ts";
import { DEVINET, devinet } from "../../../plugins/network/devinet/mod.ts";
import { NEIGH, neigh, type Neighbour, type NeighTable } from "../../../plugins/network/neigh/mod.ts";
import { fib } from "../../../plugins/network/fib/mod.ts";
import { ARP, type Arp, arp, type ArpOptions } from "../../../plugins/network/arp/mod.ts";
import { arp as arpBytes, type ArpFields, decode, eth, ipBytes } from "../../support/frames/build.ts";

/** The host's MAC. */
export const MAC = "02:00:00:00:00:01";
/** A peer's MAC. */
export const PEER = "02:00:00:00:00:02";
/** Everybody's. */
export const ALL = "ff:ff:ff:ff:ff:ff";

/** An int32 from text. */
export function int(ip: string): number {
  return new DataView(ipBytes(ip).buffer).getInt32(0);
}

/** What a frame says, in one line: `who-has 10.0.0.2 tell 10.0.0.1 to ff:ff:ff:ff:ff:ff`. */
export function line(frame: Uint8Array): string {
  const d = decode(frame);
  const a = d.arp;
  if (a === undefined) return `${d.eth?.type.toString(16)} to ${d.eth?.dst}`;
  const tha = a.tha === "00:00:00:00:00:00" ? "" : ` (${a.tha})`;
  return a.op === 1
    ? `who-has ${a.tpa}${tha} tell ${a.spa} at ${a.sha} to ${d.eth?.dst}`
    : `${a.spa} is-at ${a.sha} for ${a.tpa}${tha} to ${d.eth?.dst}`;
}

/** The test bed. */
export interface ArpBed extends Disposable {
  machine: Machine;
  net: Net;
  dev: NetDevice;
  table: NeighTable;
  arp: Arp;
  /** Frames that the devices sent. */
  frames: { dev: string; bytes: Uint8Array }[];
  /** ICMP errors that were asked for: `3/1`. */
  icmp: string[];
  /** Lines of what was sent since the last call. */
  sent(): string[];
  /** A device more. */
  addDevice(name: string, cidr: string, mac: string): NetDevice;
  /** Adds an address. */
  addr(cidr: string, dev?: NetDevice): void;
  /** ARP comes in; the frame goes to the host unless told. */
  hear(fields: ArpFields, frame?: { dst?: string; src?: string; pad?: number; on?: NetDevice }): void;
  /** The entry of an address. */
  entry(ip: string): Neighbour | null;
  /** State and address of an entry: `REACHABLE 02:00:00:00:00:02`, or "". */
  state(ip: string): string;
  /** An IPv4 packet of ours to a next hop on the link. */
  send(nextHop: string, src?: string, mark?: number): void;
  /** Sets a knob of eth0. */
  conf(name: string, value: number): void;
  /** Lets time pass. */
  wait(ms: number): void;
}

const STATES: Record<number, string> = {
  0: "NONE",
  1: "INCOMPLETE",
  2: "REACHABLE",
  4: "STALE",
  8: "DELAY",
  16: "PROBE",
  32: "FAILED",
  64: "NOARP",
  128: "PERMANENT",
};

/** A host 10.0.0.1/24 on eth0. Ends with the check for leaks. */
export function arpBed(options: ArpOptions = {}, cidr: string = "10.0.0.1/24", mac: string = MAC): ArpBed {
  const machine = new Machine({ debug: true, strict: true, autoAdvance: false });
  const net = machine.createNet({
    plugins: [arp(options), fib(), neigh(), devinet(), inet(), ethernet()],
  });
  const bed: ArpBed = {
    machine,
    net,
    dev: null as unknown as NetDevice,
    table: net.get(NEIGH),
    arp: net.get(ARP),
    frames: [],
    icmp: [],
    sent: () => bed.frames.splice(0).map((f) => line(f.bytes)),
    addDevice(name, cidr, address) {
      const dev = net.registerNetdev(name, {
        startXmit(skb) {
          bed.frames.push({ dev: name, bytes: skb.bytes.slice(skb.data, skb.tail) });
          skb.consume();
          return 0;
        },
      }, { address, txQueueLen: 0 });
      bed.addr(cidr, dev);
      return dev;
    },
    addr: (cidr, dev) => assertEquals(net.get(DEVINET).addAddress(dev ?? bed.dev, cidr), 0),
    hear(fields, frame = {}) {
      const { dst = MAC, src = PEER, pad = 0, on = bed.dev } = frame;
      on.receive(eth({ dst, src, pad }, arpBytes(fields)));
    },
    entry: (ip) => bed.table.lookup(bed.dev, int(ip)),
    state(ip) {
      const n = bed.entry(ip);
      if (n === null) return "";
      const hex = (n.haHi.toString(16).padStart(4, "0") + (n.haLo >>> 0).toString(16).padStart(8, "0")).match(/../g)!;
      return `${STATES[n.nudState]} ${hex.join(":")}`;
    },
    send(nextHop, src = "10.0.0.1", mark = 0) {
      machine.batch(() => {
        const skb = machine.skbs.alloc(256)!;
        skb.reserve(128);
        const at = skb.put(28);
        skb.view.setUint8(at, 0x45);
        skb.view.setInt32(at + 12, int(src));
        skb.view.setInt32(at + 16, int(nextHop));
        skb.networkHeader = at;
        skb.protocol = 0x0800;
        skb.mark = mark;
        bed.table.output(bed.table.create(bed.dev, int(nextHop))!, skb);
      });
    },
    conf: (name, value) => net.sysctl.set(`net.ipv4.conf.eth0.${name}`, value),
    wait: (ms) => machine.advance(ms * 1e6),
    [Symbol.dispose]() {
      net[Symbol.dispose]();
      assertEquals(machine.skbs.faults(), []);
      machine[Symbol.dispose]();
    },
  };
  net.get(INET).icmpSend = (_skb, type, code) => void bed.icmp.push(`${type}/${code}`);
  bed.dev = bed.addDevice("eth0", cidr, mac);
  return bed;
}
