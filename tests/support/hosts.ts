/** Hosts for tests: debug pool on, errors of plugins rethrown, and a check at the end that nothing leaked. */
import { createHost, type Host, Machine, type MachineOptions } from "../../mod.ts";
import { nic, type NicOptions, type Wire, wire, type WireOptions } from "../../plugins/device/nic/mod.ts";
import { assertEquals } from "@std/assert";

/** A machine for tests; disposing it asserts that no skb leaked, none was freed twice, and no page is lost. */
export class TestMachine extends Machine {
  /** A machine with the debug pool. */
  constructor(options: MachineOptions = {}) {
    super({ debug: true, strict: true, autoAdvance: false, slabBytes: 16 << 20, ...options });
  }

  /** Ends it and checks. */
  override [Symbol.dispose](): void {
    super[Symbol.dispose]();
    assertEquals(this.skbs.faults(), []);
    assertEquals(this.skbs.live, 0);
    assertEquals(this.pages.slotsInUse(), 0);
    for (const net of this.nets) assertEquals(net.dropped("NOT_SPECIFIED"), 0);
  }
}

/** Two hosts, `10.0.0.1/24` and `10.0.0.2/24`, on a wire. */
export interface TwoHosts extends Disposable {
  machine: TestMachine;
  wire: Wire;
  a: Host;
  b: Host;
}

/** Makes {@linkcode TwoHosts}; `neigh`: with permanent neighbours, so that no ARP is seen. */
export function twoHosts(
  options: { seed?: number; neigh?: boolean; nic?: NicOptions; wire?: WireOptions; machine?: MachineOptions } = {},
): TwoHosts {
  const machine = new TestMachine({ seed: options.seed ?? 1, ...options.machine });
  const cable = wire(machine, options.wire);
  const a = createHost({ machine, name: "a" });
  const b = createHost({ machine, name: "b" });
  nic(a.net, "eth0", { wire: cable, address: "02:00:00:00:00:01", ...options.nic });
  nic(b.net, "eth0", { wire: cable, address: "02:00:00:00:00:02", ...options.nic });
  a.addr.add("eth0", "10.0.0.1/24");
  b.addr.add("eth0", "10.0.0.2/24");
  if (options.neigh === true) {
    a.neigh.set("eth0", "10.0.0.2", "02:00:00:00:00:02");
    b.neigh.set("eth0", "10.0.0.1", "02:00:00:00:00:01");
  }
  machine.runUntilIdle(1e9);
  return { machine, wire: cable, a, b, [Symbol.dispose]: () => machine[Symbol.dispose]() };
}

/** A router `r` between `a` (10.0.0.2) and `b` (10.0.1.2); `mtu` of the right side. */
export function routed(options: { seed?: number; mtu?: number } = {}): TwoHosts & { r: Host } {
  const machine = new TestMachine({ seed: options.seed ?? 1 });
  const cable = wire(machine), right = wire(machine);
  const mtu = options.mtu ?? 1500;
  const a = createHost({ machine, name: "a" });
  const r = createHost({ machine, name: "r", forwarding: true });
  const b = createHost({ machine, name: "b" });
  nic(a.net, "eth0", { wire: cable });
  nic(r.net, "eth0", { wire: cable });
  nic(r.net, "eth1", { wire: right, mtu });
  nic(b.net, "eth0", { wire: right, mtu });
  a.addr.add("eth0", "10.0.0.2/24");
  r.addr.add("eth0", "10.0.0.1/24");
  r.addr.add("eth1", "10.0.1.1/24");
  b.addr.add("eth0", "10.0.1.2/24");
  a.route.add("default", { via: "10.0.0.1" });
  b.route.add("default", { via: "10.0.1.1" });
  machine.runUntilIdle(1e9);
  return { machine, wire: cable, a, b, r, [Symbol.dispose]: () => machine[Symbol.dispose]() };
}

/** A bound, maybe connected, UDP socket of the system calls. */
export function udpSocket(host: Host, port: number, to?: { addr: number; port: number }): number {
  const fd = host.sys.socket(2, 2, 17);
  assertEquals(host.sys.bind(fd, 0, port), 0);
  if (to !== undefined) assertEquals(host.sys.connect(fd, to.addr, to.port), 0);
  return fd;
}
