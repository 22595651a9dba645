/** A bridge and its ports. Linux: struct net_bridge, struct net_bridge_port. */
import { type Machine, type NetDevice, Timer } from "../../../core/mod.ts";
import type { BridgeOptions } from "./contract.ts";
import { Fdb } from "./fdb.ts";

/** Not in the tree: down, or without carrier. */
export const BR_STATE_DISABLED = 0;
/** Hears the tree, forwards nothing. */
export const BR_STATE_LISTENING = 1;
/** Learns addresses too. */
export const BR_STATE_LEARNING = 2;
/** Forwards. */
export const BR_STATE_FORWARDING = 3;
/** Another way to the root is better. */
export const BR_STATE_BLOCKING = 4;

/** A bridge's identity: priority and address; compared as one number. IEEE 802.1D section 9.2.5. */
export interface BridgeId {
  /** Priority, then the high 16 bits of the address. */
  hi: number;
  /** Low 32 bits of the address. */
  lo: number;
}

/** Which of two identities is better: lower. */
export function compareId(a: BridgeId, b: BridgeId): number {
  return (a.hi >>> 0) - (b.hi >>> 0) || (a.lo >>> 0) - (b.lo >>> 0);
}

/** One port; the bridge's own device has one too, which is in no tree. */
export class Port {
  /** The bridge. */
  declare readonly br: BridgeState;
  /** The device. */
  declare readonly dev: NetDevice;
  /** Number, from 1; 0: the bridge itself. */
  declare readonly no: number;
  /** BR_STATE_*. */
  state = BR_STATE_DISABLED;
  /** Cost of the way through it. */
  pathCost = 100;
  /** VLAN of frames without a tag; 0: none. */
  pvid = 1;
  /** VLANs that leave with their tag. */
  tagged: ReadonlySet<number> = new Set();

  // What the best neighbour on this link says. IEEE 802.1D section 8.5.5.
  /** The root that it knows. */
  declare designatedRoot: BridgeId;
  /** Its cost to there. */
  designatedCost = 0;
  /** Itself. */
  declare designatedBridge: BridgeId;
  /** Its port. */
  declare designatedPort: number;
  /** Our last message asked to be acknowledged: topology change. */
  topologyChangeAck = false;
  /** A message waits for the hold time. */
  configPending = false;
  /** Ends listening and learning. */
  declare readonly forwardDelayTimer: Timer;
  /** What the neighbour said is too old. */
  declare readonly messageAgeTimer: Timer;
  /** At most one message a second. */
  declare readonly holdTimer: Timer;

  /** A port; the functions are the timers' handlers. */
  constructor(br: BridgeState, dev: NetDevice, no: number, on: PortTimers) {
    this.br = br;
    this.dev = dev;
    this.no = no;
    this.designatedRoot = { ...br.id };
    this.designatedBridge = { ...br.id };
    this.designatedPort = this.id;
    this.forwardDelayTimer = new Timer(() => on.forwardDelay(this), true);
    this.messageAgeTimer = new Timer(() => on.messageAge(this), true);
    this.holdTimer = new Timer(() => on.hold(this), true);
  }

  /** Its number with the default priority in front. */
  get id(): number {
    return (0x80 << 8) | this.no;
  }

  /** Frames of this VLAN may come in and go out. */
  has(vid: number): boolean {
    return vid !== 0 && (vid === this.pvid || this.tagged.has(vid));
  }
}

/** Handlers of a port's timers. */
export interface PortTimers {
  /** Listening or learning is over. */
  forwardDelay(port: Port): void;
  /** The neighbour fell silent. */
  messageAge(port: Port): void;
  /** The next message may go. */
  hold(port: Port): void;
}

/** Handlers of a bridge's timers. */
export interface BridgeTimers {
  /** The root says hello. */
  hello(br: BridgeState): void;
  /** Tells the root again that the topology changed. */
  tcn(br: BridgeState): void;
  /** The topology is stable again. */
  topologyChange(br: BridgeState): void;
  /** Forgets silent addresses. */
  gc(br: BridgeState): void;
}

/** A bridge. */
export class BridgeState {
  /** The machine. */
  declare readonly machine: Machine;
  /** Its device. */
  declare readonly dev: NetDevice;
  /** The bridge itself, as the place of its own addresses. */
  declare readonly self: Port;
  /** Its ports. */
  ports: readonly Port[] = [];
  /** Addresses. */
  declare readonly fdb: Fdb;
  /** Spanning tree is on. */
  declare readonly stp: boolean;
  /** Frames are told apart by VLAN. */
  declare readonly vlanFiltering: boolean;
  /** The address was given, and does not follow the ports'. */
  declare readonly fixedAddress: boolean;
  /** Priority. */
  declare readonly priority: number;
  /** Times in jiffies: ours. */
  declare readonly own: { forwardDelay: number; helloTime: number; maxAge: number };
  /** Those of the root, which rule. */
  declare readonly times: { forwardDelay: number; helloTime: number; maxAge: number };
  /** Jiffies after which an address is forgotten while the topology is stable. */
  declare readonly ageing: number;
  /** Identity. */
  id: BridgeId = { hi: 0, lo: 0 };
  /** The root. */
  designatedRoot: BridgeId = { hi: 0, lo: 0 };
  /** Cost of the way to the root. */
  rootPathCost = 0;
  /** Number of the port towards the root; 0: this is the root. */
  rootPort = 0;
  /** The root says so in its messages. */
  topologyChange = false;
  /** We saw one. */
  topologyChangeDetected = false;
  /** Numbers of ports given out. */
  nextPort = 1;
  /** See {@linkcode BridgeTimers}. */
  declare readonly helloTimer: Timer;
  /** See {@linkcode BridgeTimers}. */
  declare readonly tcnTimer: Timer;
  /** See {@linkcode BridgeTimers}. */
  declare readonly topologyChangeTimer: Timer;
  /** See {@linkcode BridgeTimers}. */
  declare readonly gcTimer: Timer;

  /** A bridge without ports around `dev`. */
  constructor(dev: NetDevice, options: BridgeOptions, on: BridgeTimers, portTimers: PortTimers) {
    const seconds = (value: number | undefined, fallback: number): number => Math.round((value ?? fallback) * 1000);
    this.dev = dev;
    this.machine = dev.net.machine;
    this.stp = options.stp ?? false;
    this.vlanFiltering = options.vlanFiltering ?? false;
    this.fixedAddress = options.address !== undefined;
    this.priority = options.priority ?? 32_768;
    this.own = {
      forwardDelay: seconds(options.forwardDelay, 15),
      helloTime: seconds(options.helloTime, 2),
      maxAge: seconds(options.maxAge, 20),
    };
    this.times = { ...this.own };
    this.ageing = seconds(options.ageing, 300);
    this.fdb = new Fdb(this.machine.platform, this.ageing);
    this.self = new Port(this, dev, 0, portTimers);
    this.self.state = BR_STATE_FORWARDING;
    this.helloTimer = new Timer(() => on.hello(this), true);
    this.tcnTimer = new Timer(() => on.tcn(this), true);
    this.topologyChangeTimer = new Timer(() => on.topologyChange(this), true);
    this.gcTimer = new Timer(() => on.gc(this), true);
  }

  /** It believes that it is the root. */
  get isRoot(): boolean {
    return compareId(this.designatedRoot, this.id) === 0;
  }

  /** Disarms all timers of it and its ports. */
  disarm(): void {
    const { machine } = this;
    for (const t of [this.helloTimer, this.tcnTimer, this.topologyChangeTimer, this.gcTimer]) machine.delTimer(t);
    for (const p of this.ports) {
      for (const t of [p.forwardDelayTimer, p.messageAgeTimer, p.holdTimer]) machine.delTimer(t);
    }
  }
}
