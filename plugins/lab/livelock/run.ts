/**
 * The lab: a host that reads datagrams, a card that offers more and more of them, and who had the CPU meanwhile.
 */
import { HrTimer, Machine, type NetDevice } from "../../../core/mod.ts";
import { createHost, type Host } from "../../../mod.ts";
import { nic, wire } from "../../device/nic/mod.ts";
import { needIp } from "../../network/inet/mod.ts";
import { AF_INET, msgHdr, SO_RCVBUFFORCE, SOCK_DGRAM, SOL_SOCKET } from "../../transport/sock/mod.ts";
import { type CostModel, cpuCost, type CpuCosts, type CpuTime } from "./cost.ts";
import { udpFrame } from "./frame.ts";
import { interruptNic } from "./interrupt_nic.ts";

/**
 * How the card hands frames over: `interrupt`, one interrupt for each; `napi`, one that starts polling, at once; `moderated`,
 * the same, but the card waits for more frames first, as most do.
 */
export type LivelockMode = "interrupt" | "napi" | "moderated";

/** All three. */
export const LIVELOCK_MODES: readonly LivelockMode[] = ["interrupt", "napi", "moderated"];

/** Loads from idle to three times of what the core can do, datagrams per second. */
export const LIVELOCK_LOADS: readonly number[] = [
  25_000,
  50_000,
  100_000,
  150_000,
  200_000,
  250_000,
  300_000,
  350_000,
  400_000,
  450_000,
  500_000,
  600_000,
  700_000,
  800_000,
  1_000_000,
  1_500_000,
  2_000_000,
];

/** What the lab is told. */
export interface LivelockOptions {
  /** Default: all. */
  modes?: readonly LivelockMode[];
  /** Datagrams per second that are offered, one run each. Default {@linkcode LIVELOCK_LOADS}. */
  loads?: readonly number[];
  /** What work costs; what is left out is as in SERVER_CORE. */
  cost?: Partial<CostModel>;
  /** Virtual seconds that are measured, after 3 ms to get going. Default 0.01. */
  seconds?: number;
  /** Payload bytes of a datagram. Default 18: the smallest frame. */
  bytes?: number;
  /** Cards, among which the load is spread; all of them interrupt the one CPU. 1 to 64. Default 1. */
  cards?: number;
  /** Receive descriptors of a card. Default 256. */
  rxRing?: number;
  /** Moderation where there is one: microseconds that an interrupt waits for more frames, `rx-usecs`. Default 50. */
  rxUsecs?: number;
  /** SO_RCVBUF of the reader. Default 512 KiB. */
  rcvbuf?: number;
  /** Seed: one seed, one course of events. Default 1. */
  seed?: number;
}

/** Datagrams that were lost, by the place, in the order of the path. */
export interface LivelockDrops {
  /** No receive descriptor was free: the card lost it, and no CPU time was spent on it. */
  ring: number;
  /** The backlog was full: an interrupt was spent on it. */
  backlog: number;
  /** The socket's receive buffer was full: all but the system call was spent on it. */
  socket: number;
}

/** One run. */
export interface LivelockRow {
  /** How the card hands frames over. */
  readonly mode: LivelockMode;
  /** Datagrams per second that came. */
  readonly offered: number;
  /** Datagrams per second that the application read: the goodput. */
  readonly delivered: number;
  /** Interrupts per second. */
  readonly irqs: number;
  /** Runs of NET_RX that used their budget or their time up, from the start. */
  readonly timeSqueeze: number;
  /** Times ksoftirqd was woken, from the start: once awake, it stays so while there is work. */
  readonly ksoftirqdWakes: number;
  /** Datagrams that were lost in the time measured. */
  readonly drops: LivelockDrops;
  /** Who had the CPU, in percent. */
  readonly cpu: CpuTime & { readonly idle: number };
}

const PORT = 9;
const SECONDS = 0.01;
const START_NS = 3e6;

/** Counters at one moment. */
interface Reading {
  readonly now: number;
  readonly offered: number;
  readonly delivered: number;
  readonly irqs: number;
  readonly timeSqueeze: number;
  readonly ksoftirqdWakes: number;
  readonly drops: LivelockDrops;
  readonly cpu: CpuTime;
}

/** A card, of either kind. */
interface Card {
  readonly dev: NetDevice;
  /** A frame comes from the wire. */
  arrives(frame: Uint8Array<ArrayBuffer>): boolean;
}

/** One host with its cards, its reader and its load. */
class Bench {
  readonly machine: Machine;
  readonly costs: CpuCosts;
  readonly readings: Reading[] = [];
  readonly #host: Host;
  readonly #cards: Card[] = [];
  readonly #rcvbuf: number;
  #offered = 0;
  #delivered = 0;

  constructor(mode: LivelockMode, options: LivelockOptions) {
    this.machine = new Machine({ seed: options.seed ?? 1, autoAdvance: false });
    this.costs = cpuCost(this.machine, options.cost);
    this.#host = createHost({ machine: this.machine, name: "server" });
    this.#rcvbuf = options.rcvbuf ?? 1 << 19;
    const { cards = 1, rxRing = 256, rxUsecs = 50 } = options;
    for (let i = 0; i < cards; i++) {
      const name = `eth${i}`;
      const usecs = mode === "moderated" ? rxUsecs : 0;
      this.#cards.push(mode === "interrupt" ? this.#interrupt(name, rxRing) : this.#napi(name, rxRing, usecs));
      this.#host.addr.add(name, `10.0.${i}.1/24`);
    }
    this.#read();
  }

  #napi(name: string, rxRing: number, rxUsecs: number): Card {
    const cable = wire(this.machine);
    const card = nic(this.#host.net, name, { wire: cable, rxRing, coalesce: { rxUsecs } });
    return { dev: card.dev, arrives: (frame) => cable.inject(card, frame) };
  }

  #interrupt(name: string, rxRing: number): Card {
    const card = interruptNic(this.#host.net, name, { rxRing });
    return { dev: card.dev, arrives: (frame) => card.arrives(frame) };
  }

  /** The application: it reads whatever there is, one system call a datagram, until nothing is left. */
  #read(): void {
    const { sys } = this.#host;
    const fd = sys.socket(AF_INET, SOCK_DGRAM, 0);
    sys.bind(fd, 0, PORT);
    sys.setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, this.#rcvbuf);
    const msg = msgHdr(new Uint8Array(2048));
    const room = msg.len;
    sys.onReady(fd, () => {
      for (;;) {
        msg.len = room;
        if (sys.recvmsg(fd, msg, 0) < 0) return;
        this.#delivered++;
      }
    });
  }

  /** Datagrams of `bytes` at `rate` a second until `until` ns, the gaps even between 0 and twice their mean. */
  offer(rate: number, until: number, bytes: number): void {
    const { machine } = this;
    const frames = this.#cards.map(({ dev }, i) =>
      udpFrame({
        to: dev.address,
        saddr: needIp(`10.0.${i}.2`, "address"),
        daddr: needIp(`10.0.${i}.1`, "address"),
        port: PORT,
        bytes,
      })
    );
    const gap = (): number => (machine.platform.random() >>> 0) / 2 ** 31 * (1e9 / rate);
    let due = gap();
    const timer = new HrTimer(() => {
      // A CPU that takes no interrupts does not stop the wire: what came meanwhile is in the ring, or lost.
      for (const { now } = machine; due <= now && due < until; due += gap()) {
        const to = this.#offered++ % frames.length;
        this.#cards[to].arrives(frames[to]);
      }
      if (due < until) machine.hrtimers.start(timer, due);
    });
    machine.hrtimers.start(timer, due);
  }

  /** Notes the counters at `at` ns. */
  readAt(at: number): void {
    this.machine.hrtimers.start(new HrTimer(() => this.readings.push(this.#reading())), at);
  }

  #reading(): Reading {
    const [cpu] = this.machine.cpus;
    const drops = this.#host.net.dropTable();
    return {
      now: this.machine.now,
      offered: this.#offered,
      delivered: this.#delivered,
      irqs: sum([...this.machine.irqs.values()], (line) => line.count),
      timeSqueeze: cpu.timeSqueeze,
      ksoftirqdWakes: cpu.ksoftirqdWakes,
      drops: {
        ring: sum(this.#cards, (card) => card.dev.stats.rxMissed),
        backlog: drops["CPU_BACKLOG"] ?? 0,
        socket: drops["SOCKET_RCVBUFF"] ?? 0,
      },
      cpu: this.costs.spent(),
    };
  }
}

const sum = <T>(all: readonly T[], of: (one: T) => number): number => all.reduce((n, one) => n + of(one), 0);

function measure(mode: LivelockMode, load: number, options: LivelockOptions): LivelockRow {
  const ns = (options.seconds ?? SECONDS) * 1e9;
  const from = START_NS;
  const bench = new Bench(mode, options);
  using _machine = bench.machine;
  bench.readAt(from);
  bench.readAt(from + ns);
  bench.offer(load, from + ns, options.bytes ?? 18);
  bench.machine.advance(from + ns);
  const [a, b] = bench.readings;
  const span = b.now - a.now;
  const rate = (x: number, y: number): number => Math.round((y - x) * 1e9 / span);
  const percent = (x: number, y: number): number => Math.round((y - x) * 1000 / span) / 10;
  const cpu = {
    hardirq: percent(a.cpu.hardirq, b.cpu.hardirq),
    softirq: percent(a.cpu.softirq, b.cpu.softirq),
    ksoftirqd: percent(a.cpu.ksoftirqd, b.cpu.ksoftirqd),
    app: percent(a.cpu.app, b.cpu.app),
  };
  const busy = cpu.hardirq + cpu.softirq + cpu.ksoftirqd + cpu.app;
  return {
    mode,
    offered: rate(a.offered, b.offered),
    delivered: rate(a.delivered, b.delivered),
    irqs: rate(a.irqs, b.irqs),
    timeSqueeze: b.timeSqueeze,
    ksoftirqdWakes: b.ksoftirqdWakes,
    drops: {
      ring: b.drops.ring - a.drops.ring,
      backlog: b.drops.backlog - a.drops.backlog,
      socket: b.drops.socket - a.drops.socket,
    },
    cpu: { ...cpu, idle: Math.max(0, Math.round((100 - busy) * 10) / 10) },
  };
}

/**
 * Offers each load to each kind of card and measures what the application gets. A load that is no number above 0, a time that
 * is none, or a number of cards other than 1 to 64 is a RangeError.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { livelock } from "@netpath/stack/livelock";
 *
 * const [low, high] = livelock({ modes: ["interrupt"], loads: [100_000, 1_000_000], seconds: 0.01 });
 * assert(low.delivered > 0.95 * low.offered);
 * assert(high.delivered < 0.05 * low.delivered); // ten times the load, and nothing is read any more
 * assert(high.cpu.hardirq > 95);
 * ```
 */
export function livelock(options: LivelockOptions = {}): LivelockRow[] {
  const { modes = LIVELOCK_MODES, loads = LIVELOCK_LOADS, seconds = SECONDS, cards = 1 } = options;
  if (!Number.isInteger(cards) || cards < 1 || cards > 64) throw new RangeError(`Cannot use ${cards} cards: 1 to 64`);
  for (const load of loads) {
    if (!(load > 0 && load < Infinity)) throw new RangeError(`Cannot offer ${load} datagrams per second`);
  }
  if (!(seconds > 0 && seconds < Infinity)) throw new RangeError(`Cannot measure ${seconds} seconds`);
  return modes.flatMap((mode) => loads.map((load) => measure(mode, load, options)));
}
