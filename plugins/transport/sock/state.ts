/**
 * A socket and the table of sockets of a net. Linux: net/core/sock.c, net/ipv4/af_inet.c.
 */
import { type EventBus, type Machine, type Net, type SkbOwner, SkbQueue } from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";
import type { Dst } from "../../network/fib/contract.ts";
import type { IpOptions } from "../../network/ipv4/contract.ts";
import * as ipv4 from "../../network/ipv4/contract.ts";
import {
  AF_INET,
  type ProtoOps,
  type ProtoSw,
  type Sock,
  SOCK_BINDPORT_LOCK,
  SOCK_CONNECT_BIND,
  SOCK_STREAM,
  type SockLimits,
  TCP_CLOSE,
} from "./contract.ts";
import * as contract from "./contract.ts";
import * as ipOptions from "./ip_options.ts";
import { NO_ERRORS, SockBase } from "./sock_base.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { skWriteSpace } = contract;
const { ipMcDropSocket } = ipOptions;
const { DROP, ERRNO, G_SOCK } = core;
const { IP_PMTUDISC_WANT } = ipv4;

/** Linux: SOCK_MAX. */
/** The largest protocol number of AF_INET: IPPROTO_MPTCP. */
const IPPROTO_MAX = 262;
const SOCK_MAX = 11;

/** The one class of all sockets. See {@linkcode Sock} for the fields. */
export class SockImpl extends SockBase implements Sock, SkbOwner {
  declare readonly net: Net;
  declare readonly machine: Machine;
  declare readonly family: number;
  declare readonly type: number;
  declare readonly protocol: number;
  declare readonly ops: ProtoOps;
  /** SO_MARK. */
  mark = 0;
  /** SO_PRIORITY. */
  priority = 0;
  /** The transmit queue that its packets take, -1: none yet. */
  txQueue = -1;
  state = TCP_CLOSE;
  saddr = 0;
  sport = 0;
  srcAddr = 0;
  maxPacingRate = -1;
  pacing = false;
  daddr = 0;
  dport = 0;
  boundDevIf = 0;
  readonly receiveQueue: SkbQueue = new SkbQueue();
  errorQueue: SkbQueue = NO_ERRORS;
  rmemAlloc = 0;
  declare rcvbuf: number;
  wmemAlloc = 0;
  declare sndbuf: number;
  err = 0;
  shutdown = 0;
  userlocks = 0;
  tos = 0;
  ttl = 0;
  pmtudisc = IP_PMTUDISC_WANT;
  ipOptions: IpOptions | null = null;
  inetId = 0;
  dst: Dst | null = null;
  proto: unknown = null;
  onReady: (() => void) | null = null;
  /** Neighbours in the list of all sockets of the net, in the order in which they were made. */
  next: SockImpl | null = null;
  /** See {@linkcode next}. */
  prev: SockImpl | null = null;
  readonly #st: SockState;

  constructor(st: SockState, family: number, type: number, protocol: number, ops: ProtoOps) {
    super();
    this.#st = st;
    this.net = st.net;
    this.machine = st.net.machine;
    this.family = family;
    this.type = type;
    this.protocol = protocol;
    this.ops = ops;
    this.rcvbuf = st.rmemDefault;
    this.sndbuf = st.wmemDefault;
  }

  /** What skbs carry of it: its own accounting. */
  get owner(): SkbOwner {
    return this;
  }

  /** A packet of ours was freed: room in the send buffer. Linux: sock_wfree(). */
  wfree(truesize: number): void {
    this.wmemAlloc -= truesize;
    const ops = this.ops;
    if (ops.wfree !== undefined) {
      ops.wfree(this);
      return;
    }
    if (!this.nospace || this.wmemAlloc << 1 > this.sndbuf) return;
    this.nospace = false;
    skWriteSpace(this);
  }

  /** A packet that we received was freed. Linux: sock_rfree(). */
  rfree(truesize: number): void {
    this.rmemAlloc -= truesize;
    const ops = this.ops;
    if (ops.rfree !== undefined) ops.rfree(this, truesize);
  }

  /** Soft for datagrams unless IP_RECVERR asks for errors. */
  error(errno: number): void {
    this.errSoft = errno;
    if (this.dead || (!this.recverr && this.type !== SOCK_STREAM)) return;
    this.err = errno;
    this.machine.wakeLater(this);
  }

  /** At the outermost exit: whoever waits looks again. Linux: the wake queue's callback. */
  wake(): void {
    if ((this.#st.bus.mask & G_SOCK) !== 0) this.#st.bus.hit(this.#st.tpWake, null, this.rmemAlloc, 0, this);
    if (this.onReady !== null) this.onReady();
  }
}

/** The sockets of a net, and the protocol switch. */
export class SockState {
  /** The net. */
  declare readonly net: Net;
  /** Tracepoints. */
  declare readonly bus: EventBus;
  /** `sock:sock_def_readable`. */
  declare readonly tpWake: number;
  /** The protocol switch, in order of registration. Linux: inetsw. */
  rows: readonly Row[] = [];
  /** One ops record per protocol, overwritten in place when its plugin is swapped: sockets keep working. */
  readonly stable: Map<string, ProtoOps> = new Map();
  /** Negative errno of the last create that failed. */
  errno = 0;
  /** net.core.rmem_default, bytes. */
  rmemDefault = 212992;
  /** net.core.wmem_default, bytes. */
  wmemDefault = 212992;
  /** Bounds. */
  readonly limits: SockLimits = {
    portLow: 32768,
    portHigh: 60999,
    rmemMax: 4194304,
    wmemMax: 4194304,
    somaxconn: 4096,
  };

  #first: SockImpl | null = null;
  #last: SockImpl | null = null;

  /** An empty table. */
  constructor(net: Net) {
    this.net = net;
    this.bus = net.machine.bus;
    this.tpWake = this.bus.define({ name: "sock:sock_def_readable", linux: "sock_def_readable", group: G_SOCK });
  }

  /** A socket lives. */
  add(sk: SockImpl): void {
    sk.prev = this.#last;
    if (this.#last === null) this.#first = sk;
    else this.#last.next = sk;
    this.#last = sk;
  }

  /** It does not any more; one that is in no list is left alone. */
  remove(sk: SockImpl): void {
    if (sk.prev === null ? this.#first !== sk : sk.prev.next !== sk) return;
    if (sk.prev === null) this.#first = sk.next;
    else sk.prev.next = sk.next;
    if (sk.next === null) this.#last = sk.prev;
    else sk.next.prev = sk.prev;
    sk.next = sk.prev = null;
  }

  /** Every socket that lives, in the order in which they were made. */
  list(): Sock[] {
    const all: Sock[] = [];
    for (let sk = this.#first; sk !== null; sk = sk.next) all.push(sk);
    return all;
  }
}

/** A row of the protocol switch with the ops record that its sockets have. */
interface Row {
  readonly sw: ProtoSw;
  readonly ops: ProtoOps;
}

/** Linux: sock_create(), inet_create(). */
export function sockCreate(st: SockState, family: number, type: number, protocol: number): Sock | null {
  const row = findRow(st, family, type, protocol);
  if (row === null) return null;
  const { sw, ops } = row;
  const sk = new SockImpl(st, family, type, sw.protocol === 0 ? protocol : sw.protocol, ops);
  const err = ops.init(sk);
  if (err < 0) {
    st.errno = err;
    return null;
  }
  st.add(sk);
  return sk;
}

function findRow(st: SockState, family: number, type: number, protocol: number): Row | null {
  st.errno = -ERRNO.EAFNOSUPPORT;
  if (family !== AF_INET && !st.rows.some(({ sw }) => sw.family === family)) return null;
  st.errno = -ERRNO.EINVAL;
  const most = family === AF_INET ? IPPROTO_MAX : 0xffff;
  if (type < 0 || type >= SOCK_MAX || protocol < 0 || protocol > most) return null;
  st.errno = -ERRNO.ESOCKTNOSUPPORT;
  for (const row of st.rows) {
    const sw = row.sw;
    if (sw.family !== family || sw.type !== type) continue;
    if (sw.protocol === protocol || sw.protocol === 0) return row;
    if (protocol === 0 && sw.secondary !== true) return row;
    st.errno = -ERRNO.EPROTONOSUPPORT;
  }
  return null;
}

function rowKey(sw: ProtoSw): string {
  return `${sw.family}/${sw.type}/${sw.protocol}`;
}

/** Adds a row; returns its undo. Sockets that live go on with the last ops record. Linux: inet_register_protosw(). */
export function sockRegisterRow(st: SockState, sw: ProtoSw): () => void {
  const key = rowKey(sw);
  if (st.rows.some((r) => rowKey(r.sw) === key)) {
    throw new TypeError(`Cannot register protocol ${sw.ops.name}: another plugin has ${key}`);
  }
  const ops = st.stable.get(key) ?? { ...sw.ops };
  if (st.stable.has(key)) Object.assign(ops, sw.ops);
  else st.stable.set(key, ops);
  st.rows = [...st.rows, { sw, ops }];
  return () => {
    st.rows = st.rows.filter((r) => r.sw !== sw);
  };
}

/** A socket like `sk`, closed and without addresses. Linux: sk_clone_lock(). */
export function sockClone(st: SockState, sk: Sock): Sock {
  const twin = new SockImpl(st, sk.family, sk.type, sk.protocol, sk.ops);
  twin.srcAddr = sk.srcAddr;
  twin.saddr = sk.saddr;
  twin.boundDevIf = sk.boundDevIf;
  twin.rcvbuf = sk.rcvbuf;
  twin.sndbuf = sk.sndbuf;
  twin.reuseaddr = sk.reuseaddr;
  twin.reuseport = sk.reuseport;
  twin.broadcast = sk.broadcast;
  twin.userlocks = sk.userlocks & ~(SOCK_BINDPORT_LOCK | SOCK_CONNECT_BIND);
  twin.linger = sk.linger;
  twin.lingertime = sk.lingertime;
  twin.keepopen = sk.keepopen;
  twin.urginline = sk.urginline;
  twin.rcvlowat = sk.rcvlowat;
  twin.tos = sk.tos;
  twin.ttl = sk.ttl;
  twin.pmtudisc = sk.pmtudisc;
  twin.recverr = sk.recverr;
  twin.freebind = sk.freebind;
  twin.zerocopy = sk.zerocopy;
  twin.tsflags = sk.tsflags;
  twin.maxPacingRate = sk.maxPacingRate;
  twin.pacing = sk.pacing;
  twin.owner.mark = sk.owner.mark;
  twin.owner.priority = sk.owner.priority;
  st.add(twin);
  return twin;
}

/** Nobody has a descriptor of it any more: the protocol closes it, at once or by and by. Linux: inet_release(). */
export function sockRelease(st: SockState, sk: Sock): void {
  if (sk.dead) return;
  sk.dead = true;
  sk.onReady = null;
  sk.ops.close(sk);
  if (sk.ops.lingers !== true) sockDestroy(st, sk);
}

/** Ends a socket; packets that are on their way out still account to it. Linux: sk_common_release(). */
export function sockDestroy(st: SockState, sk: Sock): void {
  sk.dead = true;
  if (sk.mcList.length !== 0) ipMcDropSocket(sk);
  for (let skb = sk.receiveQueue.dequeue(); skb !== null; skb = sk.receiveQueue.dequeue()) {
    st.net.drop(skb, DROP.SOCKET_CLOSE);
  }
  sk.errorQueue.purge();
  sk.dst = null;
  sk.onReady = null;
  st.remove(sk as SockImpl);
}
