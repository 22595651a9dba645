/**
 * Which socket a datagram is for: three hash tables of open addressing over typed arrays, with secret keys.
 *
 * `ports` has every socket under its local port: bind conflicts, broadcast and multicast. `bound` has the unconnected
 * ones under (address, port), `connected` the others under the whole four-tuple, so that a look-up costs the same with
 * one socket and with ten thousand, also when they share one port. Linux: udp_table's hash, hash2 and hash4.
 */
import type { Platform } from "../../../core/mod.ts";
import type { Sock } from "../sock/contract.ts";
import * as sock from "../sock/contract.ts";
import type { UdpSock } from "./state.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { TCP_ESTABLISHED } = sock;

/** A socket's place in one table: its key, and its neighbours in the chain of that key (a ring). */
export class HashNode {
  /** Whose. */
  readonly up: UdpSock;
  /** First word of the key. */
  a = 0;
  /** Second word. */
  b = 0;
  /** Third word. */
  c = 0;
  /** Next in the chain, null: last. */
  next: HashNode | null = null;
  /** Previous in the chain; the head's is the last. */
  prev: HashNode;
  /** In the table. */
  linked = false;

  /** A place of `up`, in no table. */
  constructor(up: UdpSock) {
    this.up = up;
    this.prev = this;
  }
}

const MIN_SLOTS = 16;

/** Chains of nodes by a key of three words. */
export class SockHash {
  /** Keys in use. */
  used = 0;
  readonly #k0: number;
  readonly #k1: number;
  readonly #k2: number;
  #mask = MIN_SLOTS - 1;
  #keys = new Int32Array(3 * MIN_SLOTS);
  #heads: (HashNode | null)[] = new Array<HashNode | null>(MIN_SLOTS).fill(null);

  /** An empty table with keys of its own. */
  constructor(platform: Platform) {
    this.#k0 = platform.random();
    this.#k1 = platform.random();
    this.#k2 = platform.random();
  }

  /** 32 bits of a key; also spreads flows over a reuseport group. */
  hash(a: number, b: number, c: number): number {
    let h = Math.imul(a ^ this.#k0, 0x85ebca6b);
    h = Math.imul((h ^ (h >>> 15)) + this.#k1 ^ b, 0xc2b2ae35);
    h = Math.imul((h ^ (h >>> 13)) + this.#k2 ^ c, 0x27d4eb2f);
    return h ^ (h >>> 16);
  }

  /** The head of the chain of a key, or null. */
  find(a: number, b: number, c: number): HashNode | null {
    return this.#heads[this.#slot(a, b, c)];
  }

  /** The slot that has the key, or the free one where it would go. */
  #slot(a: number, b: number, c: number): number {
    const keys = this.#keys;
    const mask = this.#mask;
    let i = this.hash(a, b, c) & mask;
    while (this.#heads[i] !== null) {
      const k = 3 * i;
      if (keys[k] === a && keys[k + 1] === b && keys[k + 2] === c) break;
      i = (i + 1) & mask;
    }
    return i;
  }

  /** Adds a node under a key: in front of its chain, or at the end. */
  add(node: HashNode, a: number, b: number, c: number, front: boolean): void {
    if (2 * (this.used + 1) > this.#mask) this.#grow();
    node.a = a;
    node.b = b;
    node.c = c;
    node.linked = true;
    const i = this.#slot(a, b, c);
    const head = this.#heads[i];
    if (head === null) {
      this.#put(i, node);
      this.used++;
      return;
    }
    const tail = head.prev;
    node.prev = tail;
    head.prev = node;
    if (front) {
      node.next = head;
      this.#heads[i] = node;
    } else {
      tail.next = node;
    }
  }

  /** Takes a node out; one that is in no table is left alone. */
  remove(node: HashNode): void {
    if (!node.linked) return;
    const i = this.#slot(node.a, node.b, node.c);
    const head = this.#heads[i]!;
    const next = node.next;
    if (node === head) {
      if (next === null) this.#clear(i);
      else {
        next.prev = node.prev;
        this.#heads[i] = next;
      }
    } else {
      node.prev.next = next;
      (next ?? head).prev = node.prev;
    }
    node.next = null;
    node.prev = node;
    node.linked = false;
  }

  #put(i: number, head: HashNode): void {
    this.#heads[i] = head;
    this.#keys[3 * i] = head.a;
    this.#keys[3 * i + 1] = head.b;
    this.#keys[3 * i + 2] = head.c;
  }

  /** Frees a slot and moves the ones behind it up, so that no probe ends early (Knuth, algorithm R). */
  #clear(i: number): void {
    const mask = this.#mask;
    this.used--;
    for (let j = (i + 1) & mask; this.#heads[j] !== null; j = (j + 1) & mask) {
      const head = this.#heads[j]!;
      const home = this.hash(head.a, head.b, head.c) & mask;
      if (((j - home) & mask) < ((j - i) & mask)) continue;
      this.#put(i, head);
      i = j;
    }
    this.#heads[i] = null;
  }

  #grow(): void {
    const old = this.#heads;
    const size = 2 * old.length;
    this.#mask = size - 1;
    this.#keys = new Int32Array(3 * size);
    this.#heads = new Array<HashNode | null>(size).fill(null);
    for (const head of old) if (head !== null) this.#put(this.#slot(head.a, head.b, head.c), head);
  }
}

/** Sockets that share an address and port by SO_REUSEPORT: each flow goes to one of them. Linux: struct sock_reuseport. */
export class ReuseportGroup {
  /** In order of binding. */
  readonly socks: UdpSock[] = [];
}

/** The sockets of UDP. */
export class UdpTable {
  /** All, by local port. */
  readonly ports: SockHash;
  /** Unconnected, by local address and port. */
  readonly bound: SockHash;
  /** Connected, by the four-tuple. */
  readonly connected: SockHash;
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
function best(head: HashNode | null, saddr: number, sport: number, dif: number): UdpSock | null {
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
