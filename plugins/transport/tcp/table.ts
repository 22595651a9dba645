/**
 * Which connection, request, TIME-WAIT record or listener a segment is for, and who has which port. Three hash tables of
 * open addressing with secret keys: a look-up costs the same with one connection and with ten thousand.
 * Linux: struct inet_hashinfo, net/ipv4/inet_hashtables.c.
 */
import type { Platform, Timer } from "../../../core/mod.ts";
import * as sock from "../sock/contract.ts";
import type { TcpSkLookup } from "./contract.ts";
import type { TcpRequestSock } from "./request.ts";
import * as tcpSock from "./tcp_sock.ts";
import type { TcpSock } from "./tcp_sock.ts";
import type { TcpTimewaitSock } from "./timewait.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { HashNode, SockHash, SOCK_CONNECT_BIND } = sock;
const { TCP_KIND_SOCK, TCP_KIND_TIMEWAIT } = tcpSock;

/** What the table of connections holds; told apart by `kind`. */
export type TcpEntry = TcpSock | TcpRequestSock | TcpTimewaitSock;

/** A place in a table. */
export type EhashNode = sock.HashNode<TcpEntry>;

/** Listeners that share an address, a port and a device by SO_REUSEPORT. Linux: struct sock_reuseport. */
export class TcpReuseportGroup {
  /** In order of listen(). */
  readonly socks: TcpSock[] = [];
}

/** A listener's place. */
class ListenNode extends HashNode<TcpEntry> {
  /** Its group; null: alone. */
  group: TcpReuseportGroup | null = null;
}

/**
 * The records in TIME-WAIT, in the order of their ends, which is the order in which they came: all last as long. One
 * timer for all of them: thousands in the wheel would be moved from level to level. Linux: struct inet_timewait_death_row.
 */
export class TcpDeathRow {
  /** The next one to end. */
  first: TcpTimewaitSock | null = null;
  /** The last one to end. */
  last: TcpTimewaitSock | null = null;
  /** Due when the first one ends, or earlier; null until needed. */
  timer: Timer | null = null;

  /** Appends. */
  push(tw: TcpTimewaitSock): void {
    tw.prev = this.last;
    if (this.last === null) this.first = tw;
    else this.last.next = tw;
    this.last = tw;
  }

  /** Takes one out; one that is not in it is left alone. */
  remove(tw: TcpTimewaitSock): void {
    if (tw.prev === null ? this.first !== tw : tw.prev.next !== tw) return;
    if (tw.prev === null) this.first = tw.next;
    else tw.prev.next = tw.next;
    if (tw.next === null) this.last = tw.prev;
    else tw.next.prev = tw.prev;
    tw.next = tw.prev = null;
  }
}

// What is known of a port, packed: fastreuse and fastreuseport plus one (2 bits each), owners that bound it themselves.
const REUSE_SHIFT = 0;
const REUSEPORT_SHIFT = 2;
const BINDERS_SHIFT = 4;

/** All sockets of TCP in a net. */
export class TcpTables {
  /** Connections, requests and TIME-WAIT, by four-tuple. Linux: ehash. */
  declare readonly established: sock.SockHash<TcpEntry>;
  /** Listeners by address and port. Linux: lhash2. */
  declare readonly listening: sock.SockHash<TcpEntry>;
  /** Owners of ports, by port. Linux: bhash. */
  declare readonly bound: sock.SockHash<TcpEntry>;
  /** Connections in `established`. */
  connections = 0;
  /** TIME-WAIT records. Linux: tcp_death_row.tw_refcount. */
  timewaits = 0;
  /** The same in the order of their ends, without those in FIN-WAIT-2. */
  readonly deathRow: TcpDeathRow = new TcpDeathRow();
  /** Requests. */
  requests = 0;
  /** Listeners. */
  listeners = 0;
  /** Listeners with an address: 0 lets a look-up skip it. */
  specificListeners = 0;
  /** Owners of ports. */
  owners = 0;
  /** Asked when no listener is found; null: nobody. See {@linkcode Tcp.setSkLookup}. */
  skLookup: TcpSkLookup | null = null;
  #ports: Int32Array | null = null;

  /** Empty tables. */
  constructor(platform: Platform) {
    this.established = new SockHash(platform);
    this.listening = new SockHash(platform);
    this.bound = new SockHash(platform);
  }

  // ---- looking up

  /**
   * Who a segment from `saddr:sport` to `daddr:dport`, which came in on device `dif`, is for: a connection, a request or
   * a TIME-WAIT record, else a listener; null: nobody. Addresses int32. Linux: __inet_lookup().
   */
  lookup(saddr: number, sport: number, daddr: number, dport: number, dif: number): TcpEntry | null {
    const node = this.established.find(daddr, saddr, (dport << 16) | sport);
    if (node !== null) {
      // One tuple is in use once, unless its users are bound to devices.
      if (node.next === null && deviceOf(node.up) === 0) return node.up;
      for (let n: EhashNode | null = node; n !== null; n = n.next) {
        const dev = deviceOf(n.up);
        if (dev === 0 || dev === dif) return n.up;
      }
    }
    return this.lookupListener(saddr, sport, daddr, dport, dif);
  }

  /** The same without listeners. Linux: __inet_lookup_established(). */
  lookupEstablished(saddr: number, sport: number, daddr: number, dport: number, dif: number): TcpEntry | null {
    for (let n = this.established.find(daddr, saddr, (dport << 16) | sport); n !== null; n = n.next) {
      const dev = deviceOf(n.up);
      if (dev === 0 || dev === dif) return n.up;
    }
    return null;
  }

  /** The listener for a segment, or null. An exact address beats any. Linux: __inet_lookup_listener(). */
  lookupListener(saddr: number, sport: number, daddr: number, dport: number, dif: number): TcpSock | null {
    if (this.listeners === 0) return null;
    if (this.specificListeners !== 0) {
      const tp = this.#bestListener(this.listening.find(daddr, 0, dport), saddr, sport, daddr, dport, dif);
      if (tp !== null) return tp;
    }
    const tp = this.#bestListener(this.listening.find(0, 0, dport), saddr, sport, daddr, dport, dif);
    if (tp !== null || this.skLookup === null) return tp;
    const sk = this.skLookup(saddr, sport, daddr, dport, dif);
    return sk === null ? null : tcpSock.tcpSk(sk);
  }

  #bestListener(
    head: EhashNode | null,
    saddr: number,
    sport: number,
    daddr: number,
    dport: number,
    dif: number,
  ): TcpSock | null {
    let found: TcpSock | null = null;
    let best = 0;
    for (let n = head; n !== null; n = n.next) {
      const tp = n.up as TcpSock;
      const dev = tp.sk.boundDevIf;
      if (dev !== 0 && dev !== dif) continue;
      const score = dev === 0 ? 1 : 2;
      if (score <= best) continue;
      const group = (n as ListenNode).group;
      if (group !== null) {
        const hash = this.established.hash(daddr, saddr, (dport << 16) | sport) >>> 0;
        return group.socks[Math.floor(hash * group.socks.length / 0x100000000)];
      }
      found = tp;
      best = score;
    }
    return found;
  }

  // ---- connections

  /** A connection has its four-tuple. Linux: inet_ehash_insert(). */
  hash(tp: TcpSock): void {
    const sk = tp.sk;
    const node = tp.ehash ??= new HashNode<TcpEntry>(tp);
    this.established.add(node, sk.saddr, sk.daddr, (sk.sport << 16) | sk.dport, true);
    this.connections++;
  }

  /** A connection or a listener leaves its table. Linux: inet_unhash(). */
  unhash(tp: TcpSock): void {
    const node = tp.ehash;
    if (node === null || !node.linked) return;
    if (node instanceof ListenNode) this.#unlisten(tp, node);
    else {
      this.established.remove(node);
      this.connections--;
    }
    tp.ehash = null;
  }

  /**
   * Whether the four-tuple of `tp` with local port `port` is in use. Returns the TIME-WAIT record that stands there, for
   * the caller to judge; `TUPLE_TAKEN`: by another; null: free. Linux: __inet_check_established().
   */
  tupleUser(tp: TcpSock, port: number): TcpEntry | null {
    const sk = tp.sk;
    for (let n = this.established.find(sk.saddr, sk.daddr, (port << 16) | sk.dport); n !== null; n = n.next) {
      const dev = deviceOf(n.up);
      if (dev === 0 || dev === sk.boundDevIf) return n.up;
    }
    return null;
  }

  // ---- listeners

  /** Linux: inet_hash() of a listener. */
  listen(tp: TcpSock): void {
    const sk = tp.sk;
    const node = new ListenNode(tp);
    if (sk.reuseport) this.#joinGroup(tp, node);
    this.listening.add(node, sk.saddr, 0, sk.sport, true);
    tp.ehash = node;
    this.listeners++;
    if (sk.saddr !== 0) this.specificListeners++;
  }

  #joinGroup(tp: TcpSock, node: ListenNode): void {
    const sk = tp.sk;
    for (let n = this.listening.find(sk.saddr, 0, sk.sport); n !== null; n = n.next) {
      const other = n as ListenNode;
      if (other.group !== null && (n.up as TcpSock).sk.boundDevIf === sk.boundDevIf) {
        node.group = other.group;
        break;
      }
    }
    node.group ??= new TcpReuseportGroup();
    node.group.socks.push(tp);
  }

  #unlisten(tp: TcpSock, node: ListenNode): void {
    if (node.a !== 0) this.specificListeners--;
    this.listening.remove(node);
    this.listeners--;
    const group = node.group;
    node.group = null;
    if (group !== null) group.socks.splice(group.socks.indexOf(tp), 1);
  }

  // ---- ports

  /** The first owner of a port, or null; the others follow by `next`. */
  portOwners(port: number): EhashNode | null {
    return this.bound.find(0, 0, port);
  }

  /** 1: all owners set SO_REUSEADDR and none listens; 0: not so; -1: only connect() chose it. Linux: tb->fastreuse. */
  fastreuse(port: number): number {
    return ((this.#port(port) >> REUSE_SHIFT) & 3) - 1;
  }

  /** 1: all owners set SO_REUSEPORT; 0: not so; -1: only connect() chose it. Linux: tb->fastreuseport. */
  fastreuseport(port: number): number {
    return ((this.#port(port) >> REUSEPORT_SHIFT) & 3) - 1;
  }

  /** Sets both. */
  setFast(port: number, reuse: number, reuseport: number): void {
    const ports = this.#ports ??= new Int32Array(0x10000);
    ports[port] = (ports[port] >> BINDERS_SHIFT << BINDERS_SHIFT) | ((reuse + 1) << REUSE_SHIFT) |
      ((reuseport + 1) << REUSEPORT_SHIFT);
  }

  #port(port: number): number {
    return this.#ports === null ? 0 : this.#ports[port];
  }

  /** Adds an owner; `byConnect`: connect() chose the port for it. Linux: inet_bind_hash(). */
  addOwner(node: EhashNode, port: number, byConnect: boolean): void {
    this.bound.add(node, 0, 0, port, false);
    this.owners++;
    if (byConnect) return;
    const ports = this.#ports ??= new Int32Array(0x10000);
    ports[port] += 1 << BINDERS_SHIFT;
  }

  /**
   * An owner goes. A port that only connect() users are left on is theirs again. Linux: inet_put_port(),
   * inet_bind_bucket_destroy().
   */
  removeOwner(node: EhashNode, byConnect: boolean): void {
    if (!node.linked) return;
    const port = node.c;
    this.bound.remove(node);
    this.owners--;
    if (byConnect) return;
    const ports = this.#ports!;
    ports[port] -= 1 << BINDERS_SHIFT;
    if (ports[port] >> BINDERS_SHIFT === 0) this.setFast(port, -1, -1);
  }

  /** A socket gets a port. Linux: inet_bind_hash(). */
  bindPort(tp: TcpSock, port: number): void {
    const node = tp.bind ??= new HashNode<TcpEntry>(tp);
    this.addOwner(node, port, (tp.sk.userlocks & SOCK_CONNECT_BIND) !== 0);
  }

  /** A socket gives its port back. Linux: inet_put_port(). */
  putPort(tp: TcpSock): void {
    const node = tp.bind;
    if (node === null) return;
    this.removeOwner(node, (tp.sk.userlocks & SOCK_CONNECT_BIND) !== 0);
    tp.bind = null;
  }
}

/** The device that an entry is bound to, 0: any. */
export function deviceOf(entry: TcpEntry): number {
  return entry.kind === TCP_KIND_SOCK ? entry.sk.boundDevIf : entry.boundDevIf;
}

/** Whether an entry is a TIME-WAIT record. */
export function isTimewait(entry: TcpEntry): entry is TcpTimewaitSock {
  return entry.kind === TCP_KIND_TIMEWAIT;
}
