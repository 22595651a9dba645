/**
 * What few sockets need, out of the way: flags in one word, and a record that exists only where a value in it is not the
 * usual one. A host may have very many sockets that are idle.
 */
import { SkbQueue } from "../../../core/mod.ts";
import type { McMembership } from "./contract.ts";

// Bits of `bits`, in the order of the accessors.
const B_0 = 1 << 0;
const B_1 = 1 << 1;
const B_2 = 1 << 2;
const B_3 = 1 << 3;
const B_4 = 1 << 4;
const B_5 = 1 << 5;
const B_6 = 1 << 6;
const B_7 = 1 << 7;
const B_8 = 1 << 8;
const B_9 = 1 << 9;
const B_10 = 1 << 10;
const B_11 = 1 << 11;
const B_12 = 1 << 12;
const B_13 = 1 << 13;
const B_14 = 1 << 14;

/** The error queue of all that never had an error to keep. Nothing is ever put into it. */
export const NO_ERRORS: SkbQueue = new SkbQueue();

/** One list for all that have joined no group. */
const NO_GROUPS: readonly McMembership[] = [];

/** Errors, options of few, multicast. */
class SockRare {
  /** Soft error. */
  errSoft = 0;
  /** Packets dropped for want of room. */
  drops = 0;
  /** SO_LINGER's time, seconds. */
  lingertime = 0;
  /** SO_RCVLOWAT. */
  rcvlowat = 1;
  /** IP_MULTICAST_TTL. */
  mcTtl = 1;
  /** IP_MULTICAST_IF as ifindex. */
  mcIndex = 0;
  /** IP_MULTICAST_IF as address. */
  mcAddr = 0;
  /** Groups that it has joined. */
  mcList: readonly McMembership[] = NO_GROUPS;
  /** Why accept gave null. */
  acceptError = 0;
  /** Number of the next message with MSG_ZEROCOPY. */
  zckey = 0;
  /** SO_TIMESTAMPING. */
  tsflags = 0;
  /** What numbers of time stamps count from. */
  tskey = 0;
  /** Writers that wait for the connection. */
  writePending = 0;
}

/** The part of a socket that is not plain fields. See {@linkcode Sock} for what they mean. */
export abstract class SockBase {
  /** Flags: see the accessors. */
  bits: number = B_11 | B_12;
  /** Rare values; null: all are the usual ones. */
  rare: SockRare | null = null;

  /** Queued to be woken. See Wakeable. */
  get ready(): boolean {
    return (this.bits & B_0) !== 0;
  }
  set ready(v: boolean) {
    this.bits = v ? this.bits | B_0 : this.bits & ~B_0;
  }

  /** SO_REUSEADDR. */
  get reuseaddr(): boolean {
    return (this.bits & B_1) !== 0;
  }
  set reuseaddr(v: boolean) {
    this.bits = v ? this.bits | B_1 : this.bits & ~B_1;
  }

  /** SO_REUSEPORT. */
  get reuseport(): boolean {
    return (this.bits & B_2) !== 0;
  }
  set reuseport(v: boolean) {
    this.bits = v ? this.bits | B_2 : this.bits & ~B_2;
  }

  /** SO_BROADCAST. */
  get broadcast(): boolean {
    return (this.bits & B_3) !== 0;
  }
  set broadcast(v: boolean) {
    this.bits = v ? this.bits | B_3 : this.bits & ~B_3;
  }

  /** SO_NO_CHECK. */
  get noCheckTx(): boolean {
    return (this.bits & B_4) !== 0;
  }
  set noCheckTx(v: boolean) {
    this.bits = v ? this.bits | B_4 : this.bits & ~B_4;
  }

  /** SO_LINGER is on. */
  get linger(): boolean {
    return (this.bits & B_5) !== 0;
  }
  set linger(v: boolean) {
    this.bits = v ? this.bits | B_5 : this.bits & ~B_5;
  }

  /** SO_KEEPALIVE. */
  get keepopen(): boolean {
    return (this.bits & B_6) !== 0;
  }
  set keepopen(v: boolean) {
    this.bits = v ? this.bits | B_6 : this.bits & ~B_6;
  }

  /** SO_OOBINLINE. */
  get urginline(): boolean {
    return (this.bits & B_7) !== 0;
  }
  set urginline(v: boolean) {
    this.bits = v ? this.bits | B_7 : this.bits & ~B_7;
  }

  /** A sender found the buffer full. */
  get nospace(): boolean {
    return (this.bits & B_8) !== 0;
  }
  set nospace(v: boolean) {
    this.bits = v ? this.bits | B_8 : this.bits & ~B_8;
  }

  /** Closed. */
  get dead(): boolean {
    return (this.bits & B_9) !== 0;
  }
  set dead(v: boolean) {
    this.bits = v ? this.bits | B_9 : this.bits & ~B_9;
  }

  /** IP_RECVERR. */
  get recverr(): boolean {
    return (this.bits & B_10) !== 0;
  }
  set recverr(v: boolean) {
    this.bits = v ? this.bits | B_10 : this.bits & ~B_10;
  }

  /** IP_MULTICAST_LOOP. */
  get mcLoop(): boolean {
    return (this.bits & B_11) !== 0;
  }
  set mcLoop(v: boolean) {
    this.bits = v ? this.bits | B_11 : this.bits & ~B_11;
  }

  /** IP_MULTICAST_ALL. */
  get mcAll(): boolean {
    return (this.bits & B_12) !== 0;
  }
  set mcAll(v: boolean) {
    this.bits = v ? this.bits | B_12 : this.bits & ~B_12;
  }

  /** Soft error. */
  get errSoft(): number {
    return this.rare === null ? 0 : this.rare.errSoft;
  }
  set errSoft(v: number) {
    if (this.rare !== null) this.rare.errSoft = v;
    else if (v !== 0) (this.rare = new SockRare()).errSoft = v;
  }

  /** Packets dropped for want of room. */
  get drops(): number {
    return this.rare === null ? 0 : this.rare.drops;
  }
  set drops(v: number) {
    if (this.rare !== null) this.rare.drops = v;
    else if (v !== 0) (this.rare = new SockRare()).drops = v;
  }

  /** SO_LINGER's time, seconds. */
  get lingertime(): number {
    return this.rare === null ? 0 : this.rare.lingertime;
  }
  set lingertime(v: number) {
    if (this.rare !== null) this.rare.lingertime = v;
    else if (v !== 0) (this.rare = new SockRare()).lingertime = v;
  }

  /** SO_RCVLOWAT. */
  get rcvlowat(): number {
    return this.rare === null ? 1 : this.rare.rcvlowat;
  }
  set rcvlowat(v: number) {
    if (this.rare !== null) this.rare.rcvlowat = v;
    else if (v !== 1) (this.rare = new SockRare()).rcvlowat = v;
  }

  /** IP_MULTICAST_TTL. */
  get mcTtl(): number {
    return this.rare === null ? 1 : this.rare.mcTtl;
  }
  set mcTtl(v: number) {
    if (this.rare !== null) this.rare.mcTtl = v;
    else if (v !== 1) (this.rare = new SockRare()).mcTtl = v;
  }

  /** IP_MULTICAST_IF as ifindex. */
  get mcIndex(): number {
    return this.rare === null ? 0 : this.rare.mcIndex;
  }
  set mcIndex(v: number) {
    if (this.rare !== null) this.rare.mcIndex = v;
    else if (v !== 0) (this.rare = new SockRare()).mcIndex = v;
  }

  /** IP_MULTICAST_IF as address. */
  get mcAddr(): number {
    return this.rare === null ? 0 : this.rare.mcAddr;
  }
  set mcAddr(v: number) {
    if (this.rare !== null) this.rare.mcAddr = v;
    else if (v !== 0) (this.rare = new SockRare()).mcAddr = v;
  }

  /** Groups that it has joined. */
  get mcList(): readonly McMembership[] {
    return this.rare === null ? NO_GROUPS : this.rare.mcList;
  }
  set mcList(v: readonly McMembership[]) {
    if (this.rare !== null) this.rare.mcList = v;
    else if (v !== NO_GROUPS) (this.rare = new SockRare()).mcList = v;
  }

  /** Why accept gave null. */
  get acceptError(): number {
    return this.rare === null ? 0 : this.rare.acceptError;
  }
  set acceptError(v: number) {
    if (this.rare !== null) this.rare.acceptError = v;
    else if (v !== 0) (this.rare = new SockRare()).acceptError = v;
  }

  /** IP_FREEBIND. */
  get freebind(): boolean {
    return (this.bits & B_13) !== 0;
  }
  set freebind(v: boolean) {
    this.bits = v ? this.bits | B_13 : this.bits & ~B_13;
  }

  /** SO_ZEROCOPY. */
  get zerocopy(): boolean {
    return (this.bits & B_14) !== 0;
  }
  set zerocopy(v: boolean) {
    this.bits = v ? this.bits | B_14 : this.bits & ~B_14;
  }

  /** Number of the next message with MSG_ZEROCOPY. */
  get zckey(): number {
    return this.rare === null ? 0 : this.rare.zckey;
  }
  set zckey(v: number) {
    if (this.rare !== null) this.rare.zckey = v;
    else if (v !== 0) (this.rare = new SockRare()).zckey = v;
  }

  /** SO_TIMESTAMPING. */
  get tsflags(): number {
    return this.rare === null ? 0 : this.rare.tsflags;
  }
  set tsflags(v: number) {
    if (this.rare !== null) this.rare.tsflags = v;
    else if (v !== 0) (this.rare = new SockRare()).tsflags = v;
  }

  /** What numbers of time stamps count from. */
  get tskey(): number {
    return this.rare === null ? 0 : this.rare.tskey;
  }
  set tskey(v: number) {
    if (this.rare !== null) this.rare.tskey = v;
    else if (v !== 0) (this.rare = new SockRare()).tskey = v;
  }

  /** Writers that wait for the connection. */
  get writePending(): number {
    return this.rare === null ? 0 : this.rare.writePending;
  }
  set writePending(v: number) {
    if (this.rare !== null) this.rare.writePending = v;
    else if (v !== 0) (this.rare = new SockRare()).writePending = v;
  }
}
