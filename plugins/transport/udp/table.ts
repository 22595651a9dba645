/**
 * Which socket a datagram is for: three hash tables of open addressing over typed arrays, with secret keys.
 *
 * `ports` has every socket under its local port: bind conflicts, broadcast and multicast. `bound` has the unconnected
 * ones under (address, port), `connected` the others under the whole four-tuple, so that a look-up costs the same with
 * one socket and with ten thousand, also when they share one port. Linux: udp_table's hash, hash2 and hash4.
 */
import type { Platform } from "../../../core/mod.ts";
import type { HashNode, Sock } from "../sock/contract.ts";
import * as sock from "../sock/contract.ts";
import type { UdpSock } from "./state.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { SockHash, TCP_ESTABLISHED } = sock;

/** Sockets that share an address and port by SO_REUSEPORT: each flow goes to one of them. Linux: struct sock_reuseport. */
export class ReuseportGroup {
  /** In order of binding. */
  readonly socks: UdpSock[] = [];
}

/** The sockets of UDP. */
export class UdpTable {
  /** All, by local port. */
  declare readonly ports: sock.SockHash<UdpSock>;
  /** Unconnected, by local address and port. */
  declare readonly bound: sock.SockHash<UdpSock>;
  /** Connected, by the four-tuple. */
  declare readonly connected: sock.SockHash<UdpSock>;
  /** Sockets in `bound` that have an address: 0 lets a look-up skip it. */
  specific = 0;
  /** Sockets that have a port. */
  count = 0;

  /** An empty table. */
  constructor(platform: Platform) {
    this.ports = new SockHash(platform);
    this.bound = new SockHash(platform);
    this.connected = new SockHash(platform);
  }

  /** A socket got its port. Linux: udp_lib_get_port(). */
  hash(up: UdpSock): void {
    this.ports.add(up.portNode, 0, 0, up.sk.sport, false);
    this.count++;
    this.rehash(up);
  }

  /** A socket gives its port back. Linux: udp_lib_unhash(). */
  unhash(up: UdpSock): void {
    if (!up.portNode.linked) return;
    this.ports.remove(up.portNode);
    this.count--;
    this.#unkey(up);
  }

  /** Address or peer of a socket changed. Linux: udp_lib_rehash(). */
  rehash(up: UdpSock): void {
    if (!up.portNode.linked) return;
    this.#unkey(up);
    const sk = up.sk;
    if (sk.state === TCP_ESTABLISHED && sk.dport !== 0) {
      this.connected.add(up.keyNode, sk.saddr, sk.daddr, (sk.sport << 16) | sk.dport, true);
      up.inConnected = true;
      return;
    }
    if (sk.reuseport) this.#joinGroup(up);
    this.bound.add(up.keyNode, sk.saddr, 0, sk.sport, true);
    if (sk.saddr !== 0) this.specific++;
  }

  #unkey(up: UdpSock): void {
    if (!up.keyNode.linked) return;
    if (up.inConnected) this.connected.remove(up.keyNode);
    else {
      if (up.keyNode.a !== 0) this.specific--;
      this.bound.remove(up.keyNode);
    }
    up.inConnected = false;
    const group = up.group;
    up.group = null;
    if (group !== null) group.socks.splice(group.socks.indexOf(up), 1);
  }

  #joinGroup(up: UdpSock): void {
    const sk = up.sk;
    let n = this.bound.find(sk.saddr, 0, sk.sport);
    while (n !== null && (n.up.group === null || n.up.sk.boundDevIf !== sk.boundDevIf)) n = n.next;
    up.group = n === null ? new ReuseportGroup() : n.up.group!;
    up.group.socks.push(up);
  }

  /**
   * The socket for a datagram, by Linux's scores: an exact address beats any, a peer or a device that matches adds, and
   * among equals the last one bound wins. Linux: __udp4_lib_lookup(), net/ipv4/udp.c.
   */
  lookup(saddr: number, sport: number, daddr: number, dport: number, dif: number): UdpSock | null {
    if (this.connected.used !== 0) {
      const up = best(this.connected.find(daddr, saddr, (dport << 16) | sport), saddr, sport, dif);
      if (up !== null) return up;
    }
    if (this.specific !== 0) {
      const up = best(this.bound.find(daddr, 0, dport), saddr, sport, dif);
      if (up !== null) return up.group === null ? up : this.#select(up.group, saddr, sport, daddr, dport);
    }
    const up = best(this.bound.find(0, 0, dport), saddr, sport, dif);
    if (up === null || up.group === null) return up;
    return this.#select(up.group, saddr, sport, daddr, dport);
  }

  /** The same flow always meets the same socket while the group stays. Linux: reuseport_select_sock(). */
  #select(group: ReuseportGroup, saddr: number, sport: number, daddr: number, dport: number): UdpSock {
    const hash = this.connected.hash(daddr, saddr, (dport << 16) | sport) >>> 0;
    return group.socks[Math.floor(hash * group.socks.length / 0x100000000)];
  }

  /**
   * Whether another socket has what `sk` wants: the same port, on an address and a device that overlap, unless both
   * set SO_REUSEADDR or both SO_REUSEPORT. Linux: udp_lib_lport_inuse().
   */
  inUse(sk: Sock, port: number): boolean {
    for (let n = this.ports.find(0, 0, port); n !== null; n = n.next) {
      const other = n.up.sk;
      if (other === sk) continue;
      if (other.reuseaddr && sk.reuseaddr) continue;
      if (other.boundDevIf !== 0 && sk.boundDevIf !== 0 && other.boundDevIf !== sk.boundDevIf) continue;
      if (other.saddr !== 0 && sk.saddr !== 0 && other.saddr !== sk.saddr) continue;
      if (other.reuseport && sk.reuseport) continue;
      return true;
    }
    return false;
  }
}

/** The best of a chain, the first among equals. */
function best(head: HashNode<UdpSock> | null, saddr: number, sport: number, dif: number): UdpSock | null {
  let found: UdpSock | null = null;
  let badness = -1;
  for (let n = head; n !== null; n = n.next) {
    const score = computeScore(n.up.sk, saddr, sport, dif);
    if (score <= badness) continue;
    badness = score;
    found = n.up;
    // All of a group score alike: the flow's hash chooses among them, no walk does.
    if (found.group !== null) break;
  }
  return found;
}

/** Linux: compute_score(). The local address and port match already. */
function computeScore(sk: Sock, saddr: number, sport: number, dif: number): number {
  let score = 0;
  if (sk.daddr !== 0) {
    if (sk.daddr !== saddr) return -1;
    score += 4;
  }
  if (sk.dport !== 0) {
    if (sk.dport !== sport) return -1;
    score += 4;
  }
  if (sk.boundDevIf !== 0) {
    if (sk.boundDevIf !== dif) return -1;
    score += 4;
  }
  return score;
}
