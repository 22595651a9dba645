/**
 * The learning bridge: a switch made of devices. It learns which address is behind which port, floods what it does not
 * know, ages what falls silent; with `stp` a spanning tree keeps loops from storming; with `vlanFiltering` ports are
 * access or trunk ports. IEEE 802.1D; Linux: net/bridge.
 *
 * @example A switch between two hosts
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createHost, createNet, Machine } from "@netpath/stack";
 * import { bridge, bridgeDevice } from "@netpath/stack/bridge";
 * import { ethernet } from "@netpath/stack/ethernet";
 * import { nic, wire } from "@netpath/stack/nic";
 *
 * using machine = new Machine();
 * const sw = createNet({ machine, name: "sw", plugins: [ethernet(), bridge()] });
 * const hosts = [1, 2].map((i) => {
 *   const cable = wire(machine);
 *   const host = createHost({ machine, name: `h${i}` });
 *   nic(host.net, "eth0", { wire: cable });
 *   host.addr.add("eth0", `10.0.0.${i}/24`);
 *   nic(sw, `port${i}`, { wire: cable });
 *   return host;
 * });
 * const br0 = bridgeDevice(sw, "br0", { ports: ["port1", "port2"] });
 * assertEquals((await hosts[0].ping("10.0.0.2")).ttl, 64);
 * assertEquals(br0.fdb().filter((e) => !e.local).length, 2);
 * ```
 *
 * @module
 */
import {
  ERRNO,
  IFF_LOOPBACK,
  IFF_PROMISC,
  macToString,
  type Net,
  type NetDevice,
  netdevOps,
  NETIF_F_HW_CSUM,
  NETIF_F_SG,
  type Plugin,
} from "../../../core/mod.ts";
import { type Bridge, type BridgeFdbEntry, type BridgeOptions, type BridgePort, BRIDGES } from "./contract.ts";
import type { BridgePortState, BridgePortVlans } from "./contract.ts";
import { brHandleFrame } from "./input.ts";
import { brDevXmit } from "./output.ts";
import { BridgeState, Port } from "./state.ts";
import { bridgeTimers, disablePort, enablePort, isDesignatedPort, portTimers, recompute, startBridge } from "./stp.ts";

export * from "./contract.ts";

const STATES: readonly BridgePortState[] = ["disabled", "listening", "learning", "forwarding", "blocking"];

/** The plugin. */
export function bridge(): Plugin {
  return { name: "bridge", api: 1, provides: [BRIDGES], setup };
}

/** Adds a bridge: `ip link add NAME type bridge`, and its ports. The net needs the plugin {@linkcode bridge}. */
export function bridgeDevice(net: Net, name: string, options: BridgeOptions = {}): Bridge {
  return net.get(BRIDGES).add(name, options);
}

function setup(net: Net): void {
  const all = net.state("bridge:bridges", () => new Map<NetDevice, BridgeImpl>());
  net.registration(() => {
    const chain = net.netdevChain.register((event) => {
      for (const b of [...all.values()]) b.event(event.kind, event.dev);
      if (event.kind === "NETDEV_UNREGISTER") all.delete(event.dev);
    });
    return () => chain[Symbol.dispose]();
  });
  net.provide(BRIDGES, {
    add: (name, options = {}) => {
      const b = new BridgeImpl(net, name, options);
      all.set(b.dev, b);
      for (const port of options.ports ?? []) {
        const dev = net.device(port);
        const err = dev === undefined ? -ERRNO.ENODEV : b.addPort(dev);
        if (err < 0) throw new TypeError(`Cannot add port ${port} to ${name}: ${why(err)}`);
      }
      b.dev.open();
      return b;
    },
    get: (dev) => all.get(dev),
  });
}

function why(err: number): string {
  if (err === -ERRNO.ENODEV) return "there is no such device";
  return err === -ERRNO.EBUSY ? "it belongs to another device" : "it is a loopback or a bridge itself";
}

class BridgeImpl implements Bridge {
  declare readonly dev: NetDevice;
  readonly #br: BridgeState;

  constructor(net: Net, name: string, options: BridgeOptions) {
    let br: BridgeState | null = null;
    this.dev = net.registerNetdevice(name, {
      ops: netdevOps({
        open: () => (startBridge(br!), 0),
        stop: () => br!.machine.delTimer(br!.helloTimer),
        startXmit: (skb) => brDevXmit(br!, skb),
      }),
      features: NETIF_F_SG | NETIF_F_HW_CSUM,
      txQueueLen: 0,
      ...(options.address === undefined ? {} : { address: options.address }),
    });
    this.dev.carrier = false;
    br = this.#br = new BridgeState(this.dev, options, bridgeTimers, portTimers);
    this.#identity();
  }

  get isRoot(): boolean {
    return this.#br.isRoot;
  }

  addPort(dev: NetDevice): number {
    const br = this.#br;
    if ((dev.flags & IFF_LOOPBACK) !== 0 || dev === this.dev || dev.net !== this.dev.net) return -ERRNO.EINVAL;
    if (dev.rxHandler !== null) return -ERRNO.EBUSY;
    const port = new Port(br, dev, br.nextPort++, portTimers);
    return br.machine.batch(() => {
      br.ports = [...br.ports, port];
      dev.flags |= IFF_PROMISC;
      dev.rxHandler = (skb) => brHandleFrame(port, skb);
      br.fdb.fix(0, dev.addrHi, dev.addrLo, br.self);
      this.#identity();
      const err = dev.open();
      if (dev.running) enablePort(port);
      this.#mtu();
      return err;
    });
  }

  delPort(dev: NetDevice): number {
    const br = this.#br;
    const port = br.ports.find((p) => p.dev === dev);
    if (port === undefined) return -ERRNO.EINVAL;
    br.machine.batch(() => {
      disablePort(port);
      br.ports = br.ports.filter((p) => p !== port);
      dev.rxHandler = null;
      dev.flags &= ~IFF_PROMISC;
      br.fdb.prune((p, fixed) => p === port || fixed);
      this.#identity();
      this.#mtu();
    });
    return 0;
  }

  setPathCost(dev: NetDevice, cost: number): number {
    const port = this.#br.ports.find((p) => p.dev === dev);
    if (port === undefined || !Number.isInteger(cost) || cost < 1 || cost > 65_535) return -ERRNO.EINVAL;
    port.pathCost = cost;
    recompute(this.#br, this.#br.id);
    return 0;
  }

  setVlans(dev: NetDevice, vlans: BridgePortVlans): number {
    const port = dev === this.dev ? this.#br.self : this.#br.ports.find((p) => p.dev === dev);
    const all = [vlans.pvid ?? 1, ...(vlans.tagged ?? [])];
    if (port === undefined || !all.every((id) => Number.isInteger(id) && id >= 0 && id <= 4094)) return -ERRNO.EINVAL;
    port.pvid = vlans.pvid ?? 1;
    port.tagged = new Set(vlans.tagged ?? []);
    this.#identity();
    return 0;
  }

  ports(): BridgePort[] {
    const br = this.#br;
    return br.ports.map((p) => ({
      dev: p.dev,
      state: STATES[p.state],
      pathCost: p.pathCost,
      role: p.state === 0 ? "" : p.no === br.rootPort ? "root" : isDesignatedPort(p) ? "designated" : "alternate",
    }));
  }

  fdb(): BridgeFdbEntry[] {
    return [...this.#br.fdb.entries()].map(([vid, hi, lo, port, local]) => ({
      mac: macToString(hi, lo),
      vid,
      dev: port.dev.name,
      local,
    }));
  }

  /** What happens to its ports, and to itself. Linux: br_device_event(). */
  event(kind: string, dev: NetDevice): void {
    const br = this.#br;
    if (dev === this.dev) {
      if (kind !== "NETDEV_UNREGISTER") return;
      for (const p of [...br.ports]) this.delPort(p.dev);
      br.disarm();
      return;
    }
    const port = br.ports.find((p) => p.dev === dev);
    if (port === undefined) return;
    if (kind === "NETDEV_UNREGISTER") this.delPort(dev);
    else if (kind === "NETDEV_CHANGEMTU") this.#mtu();
    else if (kind === "NETDEV_CHANGEADDR") this.#identity();
    else if (kind === "NETDEV_CHANGE" || kind === "NETDEV_UP" || kind === "NETDEV_DOWN") {
      if (dev.running && port.state === 0) enablePort(port);
      else if (!dev.running && port.state !== 0) disablePort(port);
    }
  }

  /** The smallest of its ports'. Linux: br_mtu_auto_adjust(). */
  #mtu(): void {
    const mtu = Math.min(...this.#br.ports.map((p) => p.dev.mtu));
    if (Number.isFinite(mtu) && mtu !== this.dev.mtu) this.dev.setMtu(mtu);
  }

  /** The bridge's address is the lowest of its ports'; its own addresses are known. Linux: br_stp_recalculate_bridge_id(). */
  #identity(): void {
    const br = this.#br;
    const before = { ...br.id };
    if (!br.fixedAddress) {
      const macs = br.ports.map((p) => p.dev.address).sort();
      if (macs.length > 0 && macs[0] !== this.dev.address) this.dev.setAddress(macs[0]);
    }
    br.id = { hi: (br.priority << 16) | this.dev.addrHi, lo: this.dev.addrLo };
    br.fdb.prune((_, fixed) => fixed);
    const vids = br.vlanFiltering ? [br.self.pvid, ...br.self.tagged].filter((vid) => vid !== 0) : [0];
    for (const vid of vids) {
      for (const dev of [this.dev, ...br.ports.map((p) => p.dev)]) br.fdb.fix(vid, dev.addrHi, dev.addrLo, br.self);
    }
    recompute(br, before);
  }
}
