/**
 * Hosts with the whole stack, on one wire: for tests that want the real path under their sockets.
 */
import { assertEquals } from "@std/assert";
import { Machine, type MachineOptions, type Net, type NetDevice } from "../../../core/mod.ts";
import { loopbackDevice } from "../../../plugins/device/loopback/mod.ts";
import { nic, type NicOptions, wire } from "../../../plugins/device/nic/mod.ts";
import { ethernet } from "../../../plugins/link/ethernet/mod.ts";
import { qdisc } from "../../../plugins/link/qdisc/mod.ts";
import { arp } from "../../../plugins/network/arp/mod.ts";
import { DEVINET, devinet } from "../../../plugins/network/devinet/mod.ts";
import { FIB, fib } from "../../../plugins/network/fib/mod.ts";
import { icmp } from "../../../plugins/network/icmp/mod.ts";
import { inet } from "../../../plugins/network/inet/mod.ts";
import { ipv4 } from "../../../plugins/network/ipv4/mod.ts";
import { neigh } from "../../../plugins/network/neigh/mod.ts";
import { netfilter } from "../../../plugins/network/netfilter/mod.ts";
import { SYSCALL, syscall, type Syscalls } from "../../../plugins/socket/syscall/mod.ts";
import { ping } from "../../../plugins/transport/ping/mod.ts";
import { sock } from "../../../plugins/transport/sock/mod.ts";
import { udp } from "../../../plugins/transport/udp/mod.ts";

/** One host. */
export interface Host {
  /** Its net. */
  readonly net: Net;
  /** Its system calls. */
  readonly sys: Syscalls;
  /** Its device. */
  readonly dev: NetDevice;
}

/** 10.0.0.1 and 10.0.0.2 with everything; disposing checks that no packet is left. */
export class Pair {
  readonly machine: Machine;
  readonly a: Host;
  readonly b: Host;

  constructor(options: MachineOptions = {}, nicOptions: NicOptions = {}) {
    this.machine = new Machine({ debug: true, strict: true, ...options });
    const cable = wire(this.machine);
    this.a = host(this.machine, "10.0.0.1/24", { ...nicOptions, wire: cable });
    this.b = host(this.machine, "10.0.0.2/24", { ...nicOptions, wire: cable });
  }

  [Symbol.dispose](): void {
    this.machine[Symbol.dispose]();
    assertEquals(this.machine.skbs.faults(), []);
  }
}

function host(machine: Machine, cidr: string, options: NicOptions): Host {
  const net = machine.createNet({ plugins: stack() });
  const { dev } = nic(net, "eth0", options);
  dev.open();
  assertEquals(net.get(DEVINET).addAddress(dev, cidr), 0);
  assertEquals(net.get(FIB).add({ to: "224.0.0.0/4", dev: "eth0" }), 0);
  return { net, sys: net.get(SYSCALL), dev };
}

/** The plugins of a host. */
export function stack() {
  return [
    ethernet(),
    qdisc(),
    inet(),
    netfilter(),
    devinet(),
    neigh(),
    fib(),
    arp(),
    ipv4(),
    icmp(),
    sock(),
    udp(),
    ping(),
    syscall(),
    loopbackDevice(),
  ];
}
