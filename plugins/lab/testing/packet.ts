/**
 * Packets as plain objects: what a test builds, expects and reads. Layers are fields; in what is built an unset field is
 * filled in, in what is expected it means: do not care. Written apart from the stack's own headers, so that both cannot
 * share a mistake.
 *
 * @module
 */

/** The Ethernet header. */
export interface EthLayer {
  /** `02:00:00:00:00:01`. */
  src: string;
  /** Destination. */
  dst: string;
  /** EtherType, of what follows a VLAN tag too. */
  type: number;
}

/** A VLAN tag. */
export interface VlanLayer {
  /** VLAN id. */
  vid: number;
  /** Priority. */
  pcp: number;
  /** Drop eligible. */
  dei: boolean;
}

/** An ARP packet of IPv4 over Ethernet. */
export interface ArpLayer {
  /** 1: request, 2: reply. */
  op: number;
  /** The sender's MAC. */
  sha: string;
  /** The sender's IP. */
  spa: string;
  /** The target's MAC. */
  tha: string;
  /** The target's IP. */
  tpa: string;
}

/** A checksum: `good`, `bad`, or the number as it stands in the header (big endian). */
export type Check = number | "good" | "bad";

/** The IPv4 header. */
export interface IpLayer {
  /** `10.0.0.1`. */
  src: string;
  /** Destination. */
  dst: string;
  /** Time to live. */
  ttl: number;
  /** Type of service, ECN included. */
  tos: number;
  /** Identification. */
  id: number;
  /** Do not fragment. */
  df: boolean;
  /** More fragments follow. */
  mf: boolean;
  /** Fragment offset in bytes. */
  offset: number;
  /** Protocol. */
  protocol: number;
  /** 4. */
  version: number;
  /** Bytes that the header says the datagram has. */
  totLen: number;
  /** Options as bytes, a multiple of four. */
  options: Uint8Array;
  /** Header checksum. */
  check: Check;
}

/** The UDP header. */
export interface UdpLayer {
  /** Source port. */
  sport: number;
  /** Destination port. */
  dport: number;
  /** Bytes that the header says there are, itself included. */
  length: number;
  /** Checksum; 0 is none, and good. */
  check: Check;
}

/** TCP options by name; those that are left out are not there. */
export interface TcpOptions {
  /** Maximum segment size. */
  mss?: number;
  /** Window scale. */
  wscale?: number;
  /** SACK is understood. */
  sackPermitted?: boolean;
  /** Time stamp: value and echo. */
  timestamp?: readonly [value: number, echo: number];
  /** SACK blocks, [start, end). */
  sack?: readonly (readonly [start: number, end: number])[];
}

/** The TCP header. */
export interface TcpLayer {
  /** Source port. */
  sport: number;
  /** Destination port. */
  dport: number;
  /** Sequence number, unsigned. */
  seq: number;
  /** Acknowledgement number, unsigned. */
  ack: number;
  /** Letters of `FSRPAUEC`, in any order: `SA`. */
  flags: string;
  /** Window as it stands in the header. */
  window: number;
  /** Urgent pointer. */
  urg: number;
  /** Options. Expected ones compare by name, those not named do not matter; `undefined` as value: must not be there. */
  options: TcpOptions;
  /** Checksum. */
  check: Check;
}

/** An ICMP message. */
export interface IcmpLayer {
  /** Type: 8 echo request, 0 reply, 3 unreachable, 11 time exceeded. */
  type: number;
  /** Code. */
  code: number;
  /** Identifier of an echo. */
  id: number;
  /** Sequence number of an echo; the MTU of "fragmentation needed". */
  seq: number;
  /** Checksum. */
  check: Check;
}

/** Layers of a packet to build. `eth: null` makes a bare IP packet. */
export interface PacketSpec {
  /** Ethernet. */
  eth?: Partial<EthLayer> | null;
  /** VLAN tag. */
  vlan?: Partial<VlanLayer>;
  /** ARP. */
  arp?: Partial<ArpLayer>;
  /** IPv4; there by itself when there is something above it. */
  ip?: Partial<IpLayer>;
  /** ICMP. */
  icmp?: Partial<IcmpLayer> & {
    /** The datagram that an error quotes. */
    quoted?: PacketSpec | Uint8Array;
  };
  /** UDP. */
  udp?: Partial<UdpLayer>;
  /** TCP. */
  tcp?: Partial<TcpLayer>;
  /** What it carries; text is UTF-8. */
  payload?: Uint8Array | string;
}

/** A value that is expected: itself, or a test of it. */
export type Expected<T> = T | ((value: T) => boolean);

/** Expected fields of a layer; `null`: the packet has no such layer. */
export type LayerMatch<L> = { readonly [K in keyof L]?: Expected<L[K]> | undefined } | null;

/** Layers that are expected. What is not named does not matter. A {@linkcode PacketSpec} is one, too. */
export interface PacketMatch {
  /** Ethernet. */
  eth?: LayerMatch<EthLayer>;
  /** VLAN tag. */
  vlan?: LayerMatch<VlanLayer>;
  /** ARP. */
  arp?: LayerMatch<ArpLayer>;
  /** IPv4. */
  ip?: LayerMatch<IpLayer>;
  /** ICMP. */
  icmp?: LayerMatch<IcmpLayer & { quoted: PacketMatch | Uint8Array }>;
  /** UDP. */
  udp?: LayerMatch<UdpLayer>;
  /** TCP. */
  tcp?: LayerMatch<TcpLayer>;
  /** What it carries. */
  payload?: Uint8Array | string | ((bytes: Uint8Array) => boolean);
}

/** A packet that was read: the layers it has, every field set; checksums as `good` or `bad`. */
export interface Packet {
  /** Ethernet; null: a bare IP packet. */
  readonly eth: EthLayer | null;
  /** VLAN tag. */
  readonly vlan: VlanLayer | null;
  /** ARP. */
  readonly arp: ArpLayer | null;
  /** IPv4. */
  readonly ip: IpLayer | null;
  /** ICMP. */
  readonly icmp: (IcmpLayer & { quoted: Packet | null }) | null;
  /** UDP. */
  readonly udp: UdpLayer | null;
  /** TCP. */
  readonly tcp: TcpLayer | null;
  /** What it carries. */
  readonly payload: Uint8Array;
  /** Checksums as they stand in the headers. */
  readonly checks: { readonly ip: number; readonly transport: number };
  /** What is wrong with it, as sentences; checksums aside. */
  readonly problems: readonly string[];
  /** All of it. */
  readonly bytes: Uint8Array;
}

/** ICMP types that quote a datagram. */
export const ICMP_QUOTES: readonly number[] = [3, 4, 5, 11, 12];

/** Letters of TCP flags, from bit 0. */
export const TCP_LETTERS = "FSRPAUEC";

/** Flags as bits; an unknown letter is a TypeError. */
export function flagBits(letters: string): number {
  let bits = 0;
  for (const c of letters.toUpperCase()) {
    const bit = TCP_LETTERS.indexOf(c === "." ? "A" : c);
    if (bit < 0) throw new TypeError(`Cannot use TCP flags "${letters}": expected letters of ${TCP_LETTERS}`);
    bits |= 1 << bit;
  }
  return bits;
}

/** Bits as flags, in the order of a header. */
export function flagLetters(bits: number): string {
  return [...TCP_LETTERS].filter((_, i) => (bits & 1 << i) !== 0).join("");
}

/** Internet checksum. RFC 1071. */
export function checksum(bytes: Uint8Array, start = 0): number {
  let sum = start;
  for (let i = 0; i + 1 < bytes.length; i += 2) sum += bytes[i] << 8 | bytes[i + 1];
  if ((bytes.length & 1) !== 0) sum += bytes[bytes.length - 1] << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** Sum of the pseudo-header: what a transport checksum begins with. `ip` is the IPv4 header. */
export function pseudoSum(ip: Uint8Array, protocol: number, length: number): number {
  let sum = protocol + length;
  for (let i = 12; i < 20; i += 2) sum += ip[i] << 8 | ip[i + 1];
  return sum;
}
