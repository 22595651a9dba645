/** Two hosts on a wire, and a router between two wires: what the claims of the source are shown on. */
import { assertEquals } from "@std/assert";
import type { SkBuff } from "../../core/mod.ts";
import { createHost, type Host, Machine, type Plugin } from "../../mod.ts";
import { type Nic, nic, type NicOptions, type Wire, wire } from "../../plugins/device/nic/mod.ts";
import { needIp } from "../../plugins/network/inet/mod.ts";
import { NF_ACCEPT, nfRegisterNetHook } from "../../plugins/network/netfilter/mod.ts";
import { AF_INET, msgHdr, SOCK_DGRAM } from "../../plugins/transport/sock/mod.ts";

/** What a lab is made of. */
export interface LabOptions {
  /** Of both NICs. */
  nic?: Partial<NicOptions>;
  /** Packet memory, ledger and so on are checked. */
  seed?: number;
  /** The neighbours know each other: no ARP. Default true. */
  neighbours?: boolean;
  /** More plugins for b. */
  plugins?: readonly Plugin[];
}

/** Two hosts on a wire. */
export interface Lab {
  machine: Machine;
  wire: Wire;
  a: Host;
  b: Host;
  nicA: Nic;
  nicB: Nic;
  /** b's socket, bound to port 7. */
  server: number;
  /** a's socket, bound to port 4096. */
  client: number;
  /** a sends bytes to b's port 7: what sendmsg() returns. */
  send(bytes: Uint8Array | number, port?: number): number;
  /** What b's socket has, or null. */
  receive(): Uint8Array | null;
  /** Ends it: nothing leaked, nothing freed twice, no packet dropped without a reason. */
  end(): void;
}

/** The two hosts. Time stands still unless a test moves it. */
export function lab(options: LabOptions = {}): Lab {
  const machine = new Machine({ seed: options.seed ?? 1, debug: true, strict: true, autoAdvance: false });
  const cable = wire(machine);
  const a = createHost({ machine, name: "a" });
  const b = createHost({ machine, name: "b", plugins: options.plugins ?? [] });
  const nicA = nic(a.net, "eth0", { wire: cable, address: "02:00:00:00:00:0a", ...options.nic });
  const nicB = nic(b.net, "eth0", { wire: cable, address: "02:00:00:00:00:0b", ...options.nic });
  a.addr.add("eth0", "10.0.0.1/24");
  b.addr.add("eth0", "10.0.0.2/24");
  if (options.neighbours !== false) {
    a.neigh.set("eth0", "10.0.0.2", nicB.dev.address);
    b.neigh.set("eth0", "10.0.0.1", nicA.dev.address);
  }
  const server = udpSocket(b, 7);
  const client = udpSocket(a, 4096);
  machine.ledger.reset();
  return {
    machine,
    wire: cable,
    a,
    b,
    nicA,
    nicB,
    server,
    client,
    send: (bytes, port = 7) => {
      const buf = typeof bytes === "number" ? payload(bytes) : bytes;
      return a.sys.sendmsg(client, { ...msgHdr(buf), addr: needIp("10.0.0.2", "address"), port }, 0);
    },
    receive: () => receive(b, server),
    end: () => {
      machine[Symbol.dispose]();
      assertEquals(machine.skbs.faults(), []);
      for (const h of [a, b]) assertEquals(h.net.dropped("NOT_SPECIFIED"), 0);
    },
  };
}

/** A bound UDP socket. */
export function udpSocket(host: Host, port: number): number {
  const fd = host.sys.socket(AF_INET, SOCK_DGRAM, 0);
  assertEquals(host.sys.bind(fd, 0, port), 0);
  return fd;
}

/** The next datagram of a socket, or null. */
export function receive(host: Host, fd: number): Uint8Array | null {
  const buf = new Uint8Array(65536);
  const n = host.sys.recvmsg(fd, msgHdr(buf), 0);
  return n < 0 ? null : buf.slice(0, n);
}

/** Bytes that differ from their neighbours. */
export function payload(n: number): Uint8Array {
  return Uint8Array.from({ length: n }, (_, i) => i * 7 + (i >>> 8));
}

/** Calls `see` for every packet at a hook, and accepts it. Borrows `skb`. */
export function look(host: Host, hook: number, see: (skb: SkBuff) => void): Disposable {
  return nfRegisterNetHook(host.net, {
    name: "look",
    hook,
    fn: (skb) => {
      see(skb);
      return NF_ACCEPT;
    },
  });
}

/** left — router — right, each wire with its own MTU. */
export interface RoutedLab {
  machine: Machine;
  left: Host;
  router: Host;
  right: Host;
  nics: Record<"left" | "r0" | "r1" | "right", Nic>;
  /** left's socket at port 4096, right's at port 7. */
  client: number;
  server: number;
  send(bytes: Uint8Array | number, to?: string): number;
  end(): void;
}

/** The three hosts. `mtu` is that of the right wire. */
export function routedLab(mtu = 1500): RoutedLab {
  const machine = new Machine({ seed: 1, debug: true, strict: true, autoAdvance: false });
  const left = createHost({ machine, name: "left" });
  const router = createHost({ machine, name: "router", forwarding: true });
  const right = createHost({ machine, name: "right" });
  const wires = [wire(machine), wire(machine)];
  const nics = {
    left: nic(left.net, "eth0", { wire: wires[0], address: "02:00:00:00:00:01" }),
    r0: nic(router.net, "eth0", { wire: wires[0], address: "02:00:00:00:00:02" }),
    r1: nic(router.net, "eth1", { wire: wires[1], address: "02:00:00:00:00:03", mtu }),
    right: nic(right.net, "eth0", { wire: wires[1], address: "02:00:00:00:00:04", mtu }),
  };
  left.addr.add("eth0", "10.0.1.2/24");
  router.addr.add("eth0", "10.0.1.1/24");
  router.addr.add("eth1", "10.0.2.1/24");
  right.addr.add("eth0", "10.0.2.2/24");
  left.route.add("default", { via: "10.0.1.1" });
  right.route.add("default", { via: "10.0.2.1" });
  const client = udpSocket(left, 4096);
  const server = udpSocket(right, 7);
  const send = (bytes: Uint8Array | number, to = "10.0.2.2"): number => {
    const buf = typeof bytes === "number" ? payload(bytes) : bytes;
    return left.sys.sendmsg(client, { ...msgHdr(buf), addr: needIp(to, "address"), port: 7 }, 0);
  };
  // The neighbours learn each other; from here on every number is the test's own.
  send(1);
  receive(right, server);
  machine.ledger.reset();
  return {
    machine,
    left,
    router,
    right,
    nics,
    client,
    server,
    send,
    end: () => {
      machine[Symbol.dispose]();
      assertEquals(machine.skbs.faults(), []);
      for (const h of [left, router, right]) assertEquals(h.net.dropped("NOT_SPECIFIED"), 0);
    },
  };
}
