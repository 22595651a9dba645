/**
 * VXLAN devices: what one is made of. RFC 7348; Linux: drivers/net/vxlan.
 *
 * @module
 */
import type { NetDevice, Token } from "../../../core/mod.ts";

/** What `ip link add NAME type vxlan ...` says. */
export interface VxlanOptions {
  /** The segment: VNI, 0 to 16,777,215. */
  id: number;
  /** Where frames go whose destination is not known: other ends, or one multicast group. Default: none. */
  remote?: string | readonly string[];
  /** Our address outside. Default: the route's. */
  local?: string;
  /** The device outside, for multicast, the MTU, and as the only way out. Default: by the route. */
  dev?: string;
  /** Destination port, and the port that it listens on. Default 4789 (Linux without `dstport`: 8472). */
  port?: number;
  /**
   * Whom it hears: addresses and prefixes. Default: the addresses of `remote` and of {@linkcode Vxlan.fdbAdd}. With a group
   * the others have to be named here; `["0.0.0.0/0"]` hears everybody, as Linux always does.
   */
  peers?: readonly string[];
  /** Learns behind which end an address is. Default true. */
  learning?: boolean;
  /** Seconds after which a learnt address is forgotten. Default 300; 0: never. */
  ageing?: number;
  /** TTL outside; `inherit`: the inner packet's. Default: 64, or 1 to a group. */
  ttl?: number | "inherit";
  /** Type of service outside, without its two ECN bits; `inherit`: the inner packet's. Default 0. ECN: RFC 6040. */
  tos?: number | "inherit";
  /** Don't fragment outside; `inherit`: the inner packet's. Default unset. */
  df?: "unset" | "set" | "inherit";
  /** A checksum over all of it. Default false: 0, which says that there is none. */
  udpCsum?: boolean;
  /** Source ports, first and last: which one says the flow, so that routers can spread them. Default 32768 to 60999. */
  srcPorts?: readonly [low: number, high: number];
  /** MTU. Default: that of `dev`, or 1500, without 50 bytes. */
  mtu?: number;
  /** Address. Default: a locally administered one from the platform's randomness. */
  address?: string;
}

/** An address and behind which end it is, as `bridge fdb` shows it. */
export interface VxlanFdbEntry {
  /** Address; `00:00:00:00:00:00`: all that are not known. */
  readonly mac: string;
  /** The other end. */
  readonly dst: string;
  /** Given by hand: it is not forgotten and does not move. */
  readonly permanent: boolean;
}

/** A VXLAN device. */
export interface Vxlan {
  /** The device. */
  readonly dev: NetDevice;
  /** Its segment. */
  readonly vni: number;
  /**
   * Says behind which end an address is, and hears that end; `00:00:00:00:00:00`: one more for all that are not known.
   * 0, -EINVAL, or -ENOBUFS: the table is full. Linux: `bridge fdb append MAC dev DEV dst ADDRESS`.
   */
  fdbAdd(mac: string, dst: string): number;
  /** Forgets it; 0, -EINVAL, or -ENOENT. Linux: `bridge fdb del`. */
  fdbDel(mac: string, dst?: string): number;
  /** What it knows. */
  fdb(): VxlanFdbEntry[];
}

/** The VXLAN devices of a net. */
export interface Vxlans {
  /** Adds one. Options that make no sense, or a VNI that the port has already, are errors. */
  add(name: string, options: VxlanOptions): Vxlan;
  /** By device. */
  get(dev: NetDevice): Vxlan | undefined;
}

/** Their token. */
export const VXLANS: Token<Vxlans> = { name: "netpath:vxlan" };
