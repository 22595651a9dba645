/**
 * The client of one device. RFC 2131 section 4.4, figure 5.
 *
 * Theory of operation. INIT asks all servers (DISCOVER) and takes the first offer that can be used; REQUESTING asks its
 * server for it; PROBING makes sure by ARP that nobody else has it; BOUND waits. At T1 the server is asked for more time
 * (RENEWING), at T2 all are (REBINDING), and at the end the address goes. Who comes back with a lease that has not run out
 * asks for the same address (INIT-REBOOT). What is sent again is sent after 4, 8, 16, 32 seconds, a second more or less.
 * Waiting for T1 keeps no virtual time running, waiting for an answer does.
 */
import { IFF_UP, type Net, type NetDevice, Timer } from "../../../core/mod.ts";
import { ipToString, needIp } from "../../network/inet/contract.ts";
import { inDevGet } from "../../network/devinet/contract.ts";
import { Configured, type ConfigureOptions } from "./configure.ts";
import {
  DHCP_INFINITE,
  DHCP_TYPE,
  type DhcpClientStats,
  type DhcpConfig,
  type DhcpEvent,
  type DhcpLease,
  type DhcpState,
  type DhcpTypeName,
  typeName,
} from "./contract.ts";
import { BOOTREPLY, BOOTREQUEST, decodeDhcp, type DhcpMessage, dhcpMessage, encodeDhcp } from "./header.ts";
import { configOf, leaseOf } from "./lease.ts";
import { ClientLink } from "./link.ts";
import { DHCP_OPTION, ipsOption, optIp, optU8, textOption, u16Option } from "./options.ts";
import { arpProbe } from "./probe.ts";

/** ms before something is sent again, how often that doubles, and how often it is sent (RFC 2131 section 4.1). */
const FIRST_WAIT = 4000, MAX_TRIES = 5;
/** A REQUEST is given up sooner: the server that offered is there. */
const MAX_REQUESTS = 4;
/** ms after which a client that found its address in use begins again (RFC 2131 section 3.1). */
const DECLINE_WAIT = 10_000;
/** ms of the first wait after a NAK, and of the longest. */
const NAK_WAIT = 1000, MAX_NAK_WAIT = 64_000;
/** ms between two tries to renew at least (RFC 2131 section 4.4.5). */
const MIN_RENEW = 60_000;
/** Longest that one timer waits, ms; longer times are several. */
const MAX_TIMER = 0x3fffffff;

/** What servers are asked for: routes before routers (RFC 3442). */
const PARAMETERS: readonly number[] = [
  DHCP_OPTION.SUBNET_MASK,
  DHCP_OPTION.ROUTES,
  DHCP_OPTION.ROUTER,
  DHCP_OPTION.DNS,
  DHCP_OPTION.DOMAIN_NAME,
  DHCP_OPTION.DOMAIN_SEARCH,
  DHCP_OPTION.BROADCAST,
  DHCP_OPTION.MTU,
  DHCP_OPTION.NTP,
  DHCP_OPTION.LEASE_TIME,
  DHCP_OPTION.RENEWAL_TIME,
  DHCP_OPTION.REBINDING_TIME,
];

/** How a client behaves. */
export interface ClientOptions extends ConfigureOptions {
  /** The name that it tells the server, or null. */
  readonly hostname: string | null;
  /** Its identifier; null: its hardware address. */
  readonly clientId: Uint8Array | null;
  /** What kind it says it is, or null. */
  readonly vendorClass: string | null;
  /** The address that it would like, int32, 0: any. */
  readonly wanted: number;
  /** Asks for answers to all: for devices that hear nothing else. */
  readonly broadcast: boolean;
  /** ms of the ARP probe, 0: none. */
  readonly probe: number;
  /** ms until it tries again when no server answered. */
  readonly retry: number;
}

/** The client of one device. */
export class Client implements Disposable {
  /** Where it is. */
  state: DhcpState = "INIT";
  readonly #net: Net;
  readonly #dev: NetDevice;
  readonly #options: ClientOptions;
  readonly #stats: DhcpClientStats;
  readonly #event: (event: DhcpEvent) => void;
  readonly #link: ClientLink;
  /** Waits for answers; the other one for times to come. */
  readonly #resend: Timer;
  readonly #wait: Timer;
  #then: () => void = () => {};
  #left = 0;
  #tries = 0;
  #naks = 0;
  #xid = 0;
  /** When the exchange began, and when the lease was asked for: ns. */
  #began = 0;
  #asked = 0;
  #running = false;
  #offer: DhcpLease | null = null;
  #configured: Configured | null = null;
  /** The lease when the link went: it is asked for again. */
  #last: DhcpLease | null = null;
  #probe: Disposable | null = null;
  #informs: ((config: DhcpConfig | null) => void)[] = [];

  /** Of `dev`; it does not run yet. */
  constructor(
    net: Net,
    dev: NetDevice,
    options: ClientOptions,
    stats: DhcpClientStats,
    event: (event: DhcpEvent) => void,
  ) {
    this.#net = net;
    this.#dev = dev;
    this.#options = options;
    this.#stats = stats;
    this.#event = event;
    this.#link = new ClientLink(net, dev, (message) => this.#heard(message));
    this.#resend = new Timer(() => this.#then());
    this.#wait = new Timer(() => this.#waited(), true);
  }

  /** The lease in use, or null. */
  get lease(): DhcpLease | null {
    return this.#configured?.lease ?? null;
  }

  // ---- life

  /** Begins: with the address that it had, if that has not run out, else from nothing. */
  start(): void {
    if (this.#running || (this.#dev.flags & IFF_UP) === 0) return;
    if (this.#link.open() < 0) return this.#tell("stopped");
    this.#running = true;
    this.#naks = 0;
    const last = this.#last;
    this.#now();
    if (last !== null && this.#until(last, last.seconds) > 0) this.#reboot(last);
    else this.#init();
  }

  /** The link is back: is this still the network that it was? */
  carrier(): void {
    const lease = this.lease;
    if (!this.#running || !this.#dev.carrier) return;
    if (lease !== null) this.#reboot(lease);
    else if (this.state === "INIT" || this.state === "SELECTING") this.#init();
  }

  /** Asks for more time now. */
  renew(): boolean {
    if (this.state !== "BOUND" && this.state !== "RENEWING") return false;
    this.#now();
    this.#renew();
    return true;
  }

  /** Gives the lease back. */
  release(): boolean {
    const lease = this.lease;
    if (lease !== null && this.#running) {
      this.#begin();
      this.#send("RELEASE", needIp(lease.server, "server"), { ciaddr: needIp(lease.address, "address") }, [
        [DHCP_OPTION.SERVER_ID, ipsOption([needIp(lease.server, "server")])],
      ]);
    }
    this.#stop();
    this.#last = null;
    if (lease !== null) this.#tell("released", lease);
    return lease !== null;
  }

  /** The device goes down, or all ends. What is in use goes too; the lease is remembered. */
  stop(): void {
    if (!this.#running) return;
    const lease = this.lease;
    this.#stop();
    this.#tell("stopped", lease);
  }

  #stop(): void {
    this.#quiet();
    this.#last = this.lease ?? this.#last;
    this.#unconfigure();
    this.#link[Symbol.dispose]();
    this.#running = false;
    this.state = "INIT";
    for (const done of this.#informs.splice(0)) done(null);
  }

  [Symbol.dispose](): void {
    this.#stop();
  }

  #tell(kind: DhcpEvent["kind"], lease: DhcpLease | null = null): void {
    this.#event({ dev: this.#dev.name, kind, lease });
  }

  // ---- time

  #now(): number {
    this.#net.machine.refresh();
    return this.#net.machine.now;
  }

  /** ms until `seconds` of a lease have passed; not more than a year of them at a time. */
  #until(lease: DhcpLease, seconds: number): number {
    if (seconds === DHCP_INFINITE) return Infinity;
    return Math.max(0, seconds * 1000 - (this.#net.machine.now - lease.since) / 1e6);
  }

  /** No timers, no probe: whatever was waited for. */
  #quiet(): void {
    this.#net.machine.delTimer(this.#resend);
    this.#net.machine.delTimer(this.#wait);
    this.#left = 0;
    this.#probe?.[Symbol.dispose]();
    this.#probe = null;
  }

  /** Calls `fn` after `ms`, from a timer that keeps no virtual time running. */
  #later(ms: number, fn: () => void): void {
    this.#net.machine.delTimer(this.#resend);
    this.#then = fn;
    this.#left = ms;
    this.#armWait();
  }

  #armWait(): void {
    if (this.#left === Infinity) return;
    const ms = Math.min(this.#left, MAX_TIMER);
    this.#left -= ms;
    this.#arm(this.#wait, ms);
  }

  #waited(): void {
    if (this.#left > 0) this.#armWait();
    else this.#then();
  }

  #arm(timer: Timer, ms: number): void {
    const { machine } = this.#net;
    machine.enter();
    machine.modTimer(timer, Math.ceil(ms));
    machine.exit();
  }

  /** Calls `fn` when no answer came: after 4 s the first time, then twice as long each time, a second more or less. */
  #again(fn: () => void): void {
    const jitter = (this.#net.machine.platform.random() >>> 0) % 2001 - 1000;
    this.#net.machine.delTimer(this.#wait);
    this.#left = 0;
    this.#then = fn;
    this.#arm(this.#resend, FIRST_WAIT * 2 ** this.#tries++ + jitter);
  }

  /** A new exchange, with an id of its own. */
  #begin(): void {
    this.#xid = this.#net.machine.platform.random() >>> 0;
    this.#began = this.#asked = this.#net.machine.now;
    this.#tries = 0;
  }

  // ---- states

  #init(): void {
    this.#quiet();
    this.#now();
    this.#offer = null;
    this.#link.raw(true);
    this.state = "SELECTING";
    this.#begin();
    this.#discover();
  }

  #discover(): void {
    if (this.#tries === MAX_TRIES) {
      this.state = "INIT";
      this.#later(this.#options.retry, () => this.#init());
      return this.#tell("timeout");
    }
    const wanted = this.#last !== null ? needIp(this.#last.address, "address") : this.#options.wanted;
    this.#again(() => this.#discover());
    this.#send("DISCOVER", 0, {}, wanted === 0 ? [] : [[DHCP_OPTION.REQUESTED_IP, ipsOption([wanted])]]);
  }

  #select(offer: DhcpLease): void {
    this.#offer = offer;
    this.state = "REQUESTING";
    // From here on the lease counts (RFC 2131 section 4.4.1).
    this.#asked = this.#net.machine.now;
    this.#tries = 0;
    this.#request();
  }

  #request(): void {
    const offer = this.#offer!;
    if (this.#tries === MAX_REQUESTS) return this.#init();
    this.#again(() => this.#request());
    this.#send("REQUEST", 0, {}, [
      [DHCP_OPTION.REQUESTED_IP, ipsOption([needIp(offer.address, "address")])],
      [DHCP_OPTION.SERVER_ID, ipsOption([needIp(offer.server, "server")])],
    ]);
  }

  /** INIT-REBOOT: the address is asked for again, whoever the server is. What is in use stays meanwhile. */
  #reboot(lease: DhcpLease): void {
    this.#quiet();
    this.#last = lease;
    this.state = "INIT-REBOOT";
    this.#link.raw(true);
    this.#begin();
    this.#rebooting(lease);
  }

  #rebooting(lease: DhcpLease): void {
    if (this.#tries === MAX_REQUESTS) {
      // No server: the address may be used while its time lasts (RFC 2131 section 3.2).
      if (this.#until(lease, lease.seconds) > 0) return this.#use(lease);
      return this.#init();
    }
    this.#again(() => this.#rebooting(lease));
    this.#send("REQUEST", 0, {}, [[DHCP_OPTION.REQUESTED_IP, ipsOption([needIp(lease.address, "address")])]]);
    this.state = "REBOOTING";
  }

  /** The server agrees: nobody else must have it. */
  #acked(lease: DhcpLease): void {
    this.#quiet();
    this.#naks = 0;
    if (this.#configured?.lease.address === lease.address || this.#options.probe === 0) return this.#use(lease);
    this.state = "PROBING";
    const addr = needIp(lease.address, "address");
    this.#probe = arpProbe(this.#net, this.#dev, addr, this.#options.probe, (used) => {
      this.#probe = null;
      if (!used) return this.#use(lease);
      this.#send("DECLINE", 0, {}, [
        [DHCP_OPTION.REQUESTED_IP, ipsOption([addr])],
        [DHCP_OPTION.SERVER_ID, ipsOption([needIp(lease.server, "server")])],
      ]);
      this.#last = null;
      this.#unconfigure();
      this.state = "INIT";
      this.#later(DECLINE_WAIT, () => this.#init());
      this.#tell("declined", lease);
    });
  }

  /** BOUND: the lease is put to use, and its times begin. */
  #use(lease: DhcpLease): void {
    const before = this.#configured;
    this.#quiet();
    this.#link.raw(false);
    this.#last = lease;
    if (before !== null && before.same(lease)) before.lease = lease;
    else {
      this.#unconfigure();
      this.#configured = new Configured(this.#net, this.#dev, lease, this.#options);
    }
    this.state = "BOUND";
    this.#later(this.#until(lease, lease.renewal), () => this.#renew());
    this.#tell(before === null ? "bound" : "renewed", lease);
  }

  #renew(): void {
    this.#quiet();
    this.state = "RENEWING";
    this.#begin();
    this.#extend();
  }

  /** RENEWING and REBINDING: asks, and again when half of the time that is left has passed. */
  #extend(): void {
    const lease = this.lease;
    if (lease === null) return this.#init();
    if (this.#until(lease, lease.seconds) <= 0) return this.#expire();
    if (this.state === "RENEWING" && this.#until(lease, lease.rebinding) <= 0) {
      this.state = "REBINDING";
      this.#begin();
    }
    const end = this.state === "RENEWING" ? lease.rebinding : lease.seconds;
    const left = this.#until(lease, end);
    this.#later(Math.max(1, left < MIN_RENEW ? left : Math.max(MIN_RENEW, left / 2)), () => this.#extend());
    const to = this.state === "RENEWING" ? needIp(lease.server, "server") : -1;
    this.#send("REQUEST", to, { ciaddr: needIp(lease.address, "address") }, []);
  }

  #expire(): void {
    const lease = this.lease;
    this.#unconfigure();
    this.#last = null;
    this.#tell("expired", lease);
    this.#init();
  }

  #unconfigure(): void {
    this.#configured?.[Symbol.dispose]();
    this.#configured = null;
  }

  #naked(): void {
    const lease = this.lease;
    this.#quiet();
    this.#unconfigure();
    this.#last = null;
    this.state = "INIT";
    // Two servers that disagree would have us run in circles.
    this.#again(() => this.#init());
    this.#arm(this.#resend, Math.min(NAK_WAIT * 2 ** this.#naks++, MAX_NAK_WAIT));
    this.#tell("nak", lease);
  }

  // ---- messages

  /** Sends one: to `addr` from our address, -1: to all from it, 0: to all from nobody. */
  #send(
    type: DhcpTypeName,
    addr: number,
    fields: Partial<DhcpMessage>,
    options: readonly (readonly [number, Uint8Array])[],
  ): void {
    const { hostname, clientId, vendorClass, broadcast } = this.#options;
    const { addrHi, addrLo, mtu } = this.#dev;
    const m = dhcpMessage({
      op: BOOTREQUEST,
      xid: this.#xid,
      secs: Math.min(0xffff, Math.floor((this.#net.machine.now - this.#began) / 1e9)),
      broadcast: broadcast && addr === 0,
      haHi: addrHi,
      haLo: addrLo,
      ...fields,
    });
    const said: Map<number, Uint8Array> = m.options;
    said.set(DHCP_OPTION.MESSAGE_TYPE, Uint8Array.of(DHCP_TYPE[type]));
    said.set(DHCP_OPTION.CLIENT_ID, clientId ?? hardwareId(addrHi, addrLo));
    for (const [code, value] of options) said.set(code, value);
    if (type === "DISCOVER" || type === "REQUEST" || type === "INFORM") {
      said.set(DHCP_OPTION.MAX_SIZE, u16Option(Math.min(Math.max(mtu, 576), 1500)));
      if (vendorClass !== null) said.set(DHCP_OPTION.VENDOR_CLASS, textOption(vendorClass));
      if (hostname !== null) said.set(DHCP_OPTION.HOST_NAME, textOption(hostname));
      said.set(DHCP_OPTION.PARAMETER_LIST, Uint8Array.from(PARAMETERS));
    }
    this.#stats.sent[type]++;
    const bytes = encodeDhcp(m);
    if (addr === 0) this.#link.broadcastRaw(bytes);
    else this.#link.send(bytes, addr);
  }

  #heard(bytes: Uint8Array): void {
    const m = decodeDhcp(bytes);
    if (typeof m === "string") {
      this.#stats.malformed++;
      return;
    }
    const { addrHi, addrLo } = this.#dev;
    const type = typeName(optU8(m, DHCP_OPTION.MESSAGE_TYPE));
    const ours = m.op === BOOTREPLY && m.xid === this.#xid && m.haHi === addrHi && m.haLo === addrLo;
    if (type !== null && ours) this.#stats.received[type]++;
    if (type === null || !ours || !this.#take(type, m)) this.#stats.ignored++;
  }

  /** Whether an answer means something here. */
  #take(type: DhcpTypeName, m: DhcpMessage): boolean {
    const { state } = this;
    const lease = leaseOf(m, this.#asked);
    const server = optIp(m, DHCP_OPTION.SERVER_ID);
    if (this.#informs.length > 0 && type === "ACK" && m.yiaddr === 0) return this.#informed(m);
    if (state === "SELECTING" && type === "OFFER") {
      if (lease === null) return false;
      this.#select(lease);
      return true;
    }
    const asked = state === "REQUESTING" ? this.#offer : state === "RENEWING" ? this.lease : null;
    const asking = asked !== null || state === "REBINDING" || state === "REBOOTING";
    // In the other states any server may answer.
    if (!asking || (asked !== null && (server === null || asked.server !== ipToString(server)))) return false;
    if (type === "NAK") {
      this.#naked();
      return true;
    }
    const same = (state === "REQUESTING" ? this.#offer : state === "REBOOTING" ? this.#last : this.lease)?.address;
    if (type !== "ACK" || lease === null || lease.address !== same) return false;
    this.#acked(lease);
    return true;
  }

  // ---- INFORM

  /** Asks what there is to know, with the device's own address. */
  inform(done: (config: DhcpConfig | null) => void): void {
    const own = inDevGet(this.#dev)?.ifaList[0];
    const idle = this.state === "INIT" && !this.#running;
    if (!idle || own === undefined || this.#link.open() < 0) return done(null);
    this.#informs.push(done);
    this.#running = true;
    this.#now();
    this.#begin();
    const ask = (): void => {
      if (this.#tries === MAX_REQUESTS) return this.#stop();
      this.#again(ask);
      this.#send("INFORM", -1, { ciaddr: own.local }, []);
    };
    ask();
  }

  #informed(m: DhcpMessage): boolean {
    const waiting = this.#informs.splice(0);
    this.#stop();
    for (const done of waiting) done(configOf(m));
    return true;
  }
}

/** RFC 2132 section 9.14: type 1, Ethernet, and the address. */
function hardwareId(hi: number, lo: number): Uint8Array {
  return Uint8Array.of(1, hi >>> 8, hi, lo >>> 24, lo >>> 16, lo >>> 8, lo);
}
