/** A network device of the tests: a list of frames as ring, an interrupt line, NAPI; and machines that end clean. */
import { assertEquals } from "@std/assert";
import {
  type IrqLine,
  Machine,
  type MachineOptions,
  Napi,
  type Net,
  type NetDevice,
  type NetDeviceInit,
  type NetdevOps,
  netdevOps,
  type SkBuff,
} from "../../core/mod.ts";

/** EtherType of the tests. */
export const ETH_P_TEST = 0x88b5;

/** A strict machine that tracks every packet and asserts at its end that none leaked. */
export class TestMachine extends Machine {
  constructor(options: MachineOptions = {}) {
    super({ debug: true, strict: true, slabBytes: 1 << 20, ...options });
  }

  override [Symbol.dispose](): void {
    super[Symbol.dispose]();
    assertEquals(this.skbs.faults(), []);
    assertEquals(this.skbs.live, 0);
    assertEquals(this.pages.slotsInUse(), 0);
  }
}

/** A packet of `n` bytes, all of value `fill`, as a driver hands it up. */
export function packet(machine: Machine, dev: NetDevice | null, n: number = 64, fill: number = 0): SkBuff {
  const skb = machine.skbs.alloc(128 + n)!;
  skb.reserve(128);
  const at = skb.put(n);
  skb.bytes.fill(fill, at, at + n);
  skb.dev = dev;
  skb.macHeader = skb.data;
  skb.protocol = ETH_P_TEST;
  return skb;
}

/** A driver over a fake ring: the interrupt masks and schedules, the poll takes from the ring and completes. */
export class FakeNic {
  readonly net: Net;
  readonly dev: NetDevice;
  readonly irq: IrqLine;
  readonly napi: Napi;
  /** Frames that the hardware wrote and the driver has not taken. */
  ring = 0;
  /** Called in each poll before frames are taken: time may pass there. */
  onPoll: () => void = () => {};
  /** Work of each poll. */
  readonly work: number[] = [];

  constructor(net: Net, name: string = "eth0", init: Partial<NetDeviceInit> = {}) {
    this.net = net;
    this.dev = net.registerNetdevice(name, { ops: netdevOps({ startXmit: (skb) => (skb.consume(), 0) }), ...init });
    this.napi = new Napi(net.machine, this.dev, (napi, budget) => this.#poll(napi, budget));
    this.irq = net.machine.requestIrq(`${name}-rx-0`, () => {
      this.irq.mask();
      this.napi.schedule();
    });
    this.dev.open();
  }

  /** The hardware wrote `n` frames and has a cause for an interrupt. */
  arrive(n: number = 1): void {
    this.ring += n;
    this.irq.raise(n);
  }

  #poll(napi: Napi, budget: number): number {
    this.irq.ack();
    this.onPoll();
    let work = 0;
    while (work < budget && this.ring > 0) {
      this.ring--;
      work++;
      napi.groReceive(packet(this.net.machine, this.dev));
    }
    this.work.push(work);
    if (work < budget && napi.complete(work)) this.irq.unmask();
    return work;
  }
}

/** A device whose driver records what it sends, and refuses while `busy`. */
export interface Sink {
  dev: NetDevice;
  sent: SkBuff[];
  more: boolean[];
  busy: boolean;
}

/** Makes a {@linkcode Sink}; it keeps what it sends until `drain`. */
export function sink(
  net: Net,
  name: string = "eth0",
  init: Partial<NetDeviceInit> = {},
  busyCode: number = 0x10,
): Sink {
  const s: Sink = { dev: null!, sent: [], more: [], busy: false };
  const ops: NetdevOps = netdevOps({
    startXmit: (skb, _dev, more) => {
      if (s.busy) return busyCode;
      s.sent.push(skb);
      s.more.push(more);
      return 0;
    },
  });
  s.dev = net.registerNetdevice(name, { ops, ...init });
  s.dev.open();
  return s;
}

/** Frees what a sink sent; returns how many. */
export function drain(s: Sink): number {
  for (const skb of s.sent) skb.consume();
  s.more.length = 0;
  return s.sent.splice(0).length;
}
