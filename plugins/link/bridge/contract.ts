/**
 * The learning bridge: what it is made of. Linux: net/bridge, IEEE 802.1D.
 *
 * @module
 */
import type { NetDevice, Token } from "../../../core/mod.ts";

/** What `ip link add NAME type bridge ...` says. */
export interface BridgeOptions {
  /** Devices that become its ports. */
  ports?: readonly string[];
  /** Spanning tree. Default false, as in Linux: a loop without it is a storm. */
  stp?: boolean;
  /** Of the bridge in the spanning tree; the lowest becomes root. Default 32,768. */
  priority?: number;
  /** Seconds in each of listening and learning. Default 15; with 0 a port forwards at once. */
  forwardDelay?: number;
  /** Seconds between hellos of the root. Default 2. */
  helloTime?: number;
  /** Seconds after which what the root said is forgotten. Default 20. */
  maxAge?: number;
  /** Seconds after which an address that is silent is forgotten. Default 300. */
  ageing?: number;
  /** Ports are told apart by VLAN. Default false: tags pass as they are. */
  vlanFiltering?: boolean;
  /** Address. Default: the lowest of its ports. */
  address?: string;
}

/** What `bridge vlan add dev PORT vid ID ...` says of one port. */
export interface BridgePortVlans {
  /** Frames that come without a tag are of this VLAN, and its frames leave without. Default 1; 0: none. */
  pvid?: number;
  /** VLANs whose frames come and leave with their tag. */
  tagged?: readonly number[];
}

/** State of a port in the spanning tree. Linux: BR_STATE_*. */
export type BridgePortState = "disabled" | "listening" | "learning" | "forwarding" | "blocking";

/** A port as `bridge link` shows it. */
export interface BridgePort {
  /** The device. */
  readonly dev: NetDevice;
  /** Spanning tree. */
  readonly state: BridgePortState;
  /** Cost of the way to the root through it. */
  readonly pathCost: number;
  /** `root`, `designated` or `alternate` in the spanning tree. */
  readonly role: string;
}

/** A learnt or fixed address as `bridge fdb` shows it. */
export interface BridgeFdbEntry {
  /** Address. */
  readonly mac: string;
  /** VLAN, 0: bridge without VLANs. */
  readonly vid: number;
  /** Device of the port, or the bridge for its own addresses. */
  readonly dev: string;
  /** One of the bridge's own. */
  readonly local: boolean;
}

/** A bridge. */
export interface Bridge {
  /** Its device: what the host itself sends and receives. */
  readonly dev: NetDevice;
  /** Adds a port; 0 or a negative errno. Linux: br_add_if(). */
  addPort(dev: NetDevice): number;
  /** Takes a port away; 0 or a negative errno. Linux: br_del_if(). */
  delPort(dev: NetDevice): number;
  /** Path cost of a port, 1 to 65,535. Linux: br_stp_set_path_cost(). */
  setPathCost(dev: NetDevice, cost: number): number;
  /** VLANs of a port, or of the bridge's own device. */
  setVlans(dev: NetDevice, vlans: BridgePortVlans): number;
  /** Its ports. */
  ports(): BridgePort[];
  /** What it has learnt. */
  fdb(): BridgeFdbEntry[];
  /** It is the root of the spanning tree. */
  readonly isRoot: boolean;
}

/** Bridges of a net. */
export interface Bridges {
  /** Adds one. A taken name, or a port that is none, is an error. */
  add(name: string, options?: BridgeOptions): Bridge;
  /** By device. */
  get(dev: NetDevice): Bridge | undefined;
}

/** Their token. */
export const BRIDGES: Token<Bridges> = { name: "netpath:bridge" };
