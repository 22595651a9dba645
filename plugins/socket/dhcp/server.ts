/**
 * The server of the links of a net. RFC 2131 section 4.3.
 *
 * Theory of operation. A socket on each device that it serves hears what is sent to port 67: from the link itself, or from
 * a relay, whose address says which subnet is meant. A client is who its identifier says, or its hardware address. An
 * address is offered for a minute, and given when the client asks for it by name. What has been given lives in the pool
 * and nowhere else: a server that begins anew gives clients that come back what they had, if nobody else has it.
 */
import { ERRNO, errnoName, macToString, type Net, type NetDevice } from "../../../core/mod.ts";
import { inDevGet, type InIfaddr } from "../../network/devinet/contract.ts";
import { ipToString, makeMask } from "../../network/inet/contract.ts";
import { AF_PACKET } from "../../transport/packet/contract.ts";
import {
  AF_INET,
  type MsgHdr,
  msgHdr,
  SO_BINDTODEVICE,
  SO_BROADCAST,
  SOCK_DGRAM,
  SOL_SOCKET,
} from "../../transport/sock/contract.ts";
import { SYSCALL, type Syscalls } from "../syscall/contract.ts";
import {
  DHCP_CLIENT_PORT,
  DHCP_INFINITE,
  DHCP_SERVER_PORT,
  DHCP_TYPE,
  type DhcpBinding,
  type DhcpServerStats,
  perType,
  typeName,
} from "./contract.ts";
import {
  BOOTREPLY,
  BOOTREQUEST,
  decodeDhcp,
  DHCP_MIN_MAX,
  type DhcpMessage,
  dhcpMessage,
  encodeDhcp,
} from "./header.ts";
import { DHCP_OPTION, ipsOption, optIp, optName, optU16, optU8, textOption, u32Option } from "./options.ts";
import { buildDatagram } from "./packet.ts";
import type { Asker } from "./pool.ts";
import { pingProbe } from "./probe.ts";
import { type Subnet, timeOptions } from "./subnet.ts";

const EAGAIN = -ERRNO.EAGAIN;
const ETH_P_IP = 0x0800;
/** Seconds that an offer is kept. */
const OFFER_TIME = 60;
/** Addresses that are tried by ping at a time: in a flood the others are offered without. */
const MAX_PROBES = 64;
/** Addresses that are tried by ping for one client before it gets none. */
const MAX_TRIES = 4;

/** A message that came in, and what answering it takes. */
interface Request {
  readonly m: DhcpMessage;
  readonly subnet: Subnet;
  readonly dev: NetDevice;
  /** Our address: the server's identifier. */
  readonly server: number;
  readonly mask: number;
  readonly asker: Asker;
}

/** The sockets on one device. */
interface Port {
  readonly dev: NetDevice;
  readonly udp: number;
  readonly packet: number;
}

/** The server. */
export class Server implements Disposable {
  /** Counts. */
  readonly stats: DhcpServerStats = {
    received: perType(),
    sent: perType(),
    malformed: 0,
    ignored: 0,
    exhausted: 0,
    conflicts: 0,
  };
  /** Devices where the port was taken: the errno's name by device. */
  readonly failed: Map<string, string> = new Map();
  readonly #net: Net;
  readonly #sys: Syscalls;
  readonly #subnets: readonly Subnet[];
  readonly #ports = new Map<string, Port>();
  /** Clients whose address is being tried. */
  readonly #probes = new Map<string, Disposable>();
  readonly #rx: MsgHdr = msgHdr(new Uint8Array(0x10000));

  /** Of `subnets`; it does not listen yet. */
  constructor(net: Net, subnets: readonly Subnet[]) {
    this.#net = net;
    this.#sys = net.get(SYSCALL);
    this.#subnets = subnets;
    for (const subnet of subnets) subnet.pool.excluded = (addr) => this.#isOurs(addr);
  }

  /** Our own addresses, and those of the link that are no host's. */
  #isOurs(addr: number): boolean {
    return this.#net.devices.some((dev) =>
      (inDevGet(dev)?.ifaList ?? []).some((ifa) =>
        ifa.local === addr || (ifa.prefix < 31 && (addr === (ifa.local & ifa.mask) || addr === (ifa.local | ~ifa.mask)))
      )
    );
  }

  /** Listens on a device, if it is one of ours. */
  open(dev: NetDevice): void {
    if (this.#ports.has(dev.name) || !this.#subnets.some((s) => s.dev === dev.name)) return;
    const sys = this.#sys;
    const packet = sys.socket(AF_PACKET, SOCK_DGRAM, 0);
    const udp = sys.socket(AF_INET, SOCK_DGRAM, 17);
    sys.setsockopt(udp, SOL_SOCKET, SO_BINDTODEVICE, dev.ifindex);
    sys.setsockopt(udp, SOL_SOCKET, SO_BROADCAST, 1);
    const err = Math.min(packet, udp, 0) || sys.bind(udp, 0, DHCP_SERVER_PORT);
    if (err < 0) {
      sys.close(packet);
      sys.close(udp);
      this.failed.set(dev.name, errnoName(err));
      return;
    }
    this.failed.delete(dev.name);
    const port = { dev, udp, packet };
    this.#ports.set(dev.name, port);
    sys.onReady(udp, () => this.#receive(port));
  }

  /** The device goes. */
  close(name: string): void {
    const port = this.#ports.get(name);
    if (port === undefined) return;
    this.#ports.delete(name);
    this.#sys.onReady(port.udp, null);
    this.#sys.close(port.udp);
    this.#sys.close(port.packet);
  }

  /** Ends. */
  [Symbol.dispose](): void {
    for (const name of [...this.#ports.keys()]) this.close(name);
    for (const probe of this.#probes.values()) probe[Symbol.dispose]();
    this.#probes.clear();
  }

  /** See {@linkcode DhcpServer.bindings}. */
  bindings(): DhcpBinding[] {
    this.#net.machine.refresh();
    const { now } = this.#net.machine;
    return this.#subnets.flatMap((s) => s.pool.list()).map((b) => ({
      address: ipToString(b.addr),
      mac: macToString(b.haHi, b.haLo),
      hostname: b.hostname,
      state: b.state,
      left: b.until === Infinity ? DHCP_INFINITE : Math.ceil((b.until - now) / 1e9),
    }));
  }

  /** See {@linkcode DhcpServer.free}. */
  free(): number {
    this.#net.machine.refresh();
    return this.#subnets.reduce((n, s) => n + s.pool.free(), 0);
  }

  // ---- in

  #receive(port: Port): void {
    const { buf } = this.#rx;
    for (;;) {
      this.#rx.len = buf.length;
      const n = this.#sys.recvmsg(port.udp, this.#rx, 0);
      if (n === EAGAIN || this.#ports.get(port.dev.name) !== port) return;
      if (n >= 0) this.#heard(port.dev, buf, n);
    }
  }

  #heard(dev: NetDevice, bytes: Uint8Array, len: number): void {
    const m = decodeDhcp(bytes, len);
    if (typeof m === "string") {
      this.stats.malformed++;
      return;
    }
    const type = typeName(optU8(m, DHCP_OPTION.MESSAGE_TYPE));
    const request = type === null || m.op !== BOOTREQUEST ? null : this.#understand(dev, m);
    if (type === null || request === null) {
      this.stats.ignored++;
      return;
    }
    this.stats.received[type]++;
    if (type === "DISCOVER") this.#discover(request, 0);
    else if (type === "REQUEST") this.#request(request);
    else if (type === "DECLINE") this.#decline(request);
    else if (type === "RELEASE") this.#release(request);
    else if (type === "INFORM") this.#inform(request);
    else this.stats.ignored++;
  }

  /** Which subnet is meant, and who asks; null: none of ours, or nobody. */
  #understand(dev: NetDevice, m: DhcpMessage): Request | null {
    if ((m.haHi | m.haLo) === 0 || (m.haHi & 0x100) !== 0) return null;
    const addresses = inDevGet(dev)?.ifaList ?? [];
    for (const subnet of this.#subnets) {
      if (subnet.dev !== dev.name) continue;
      const { remote } = subnet;
      if (remote !== null) {
        const [own] = addresses;
        if (m.giaddr === 0 || (m.giaddr & remote.mask) !== remote.network || own === undefined) continue;
        return { m, subnet, dev, server: own.local, mask: remote.mask, asker: askerOf(m) };
      }
      const own = addresses.find((ifa: InIfaddr) => this.#serves(ifa, subnet, m.giaddr));
      if (own !== undefined) return { m, subnet, dev, server: own.local, mask: own.mask, asker: askerOf(m) };
    }
    return null;
  }

  /** The range is on the subnet of this address of ours, and so is the relay where there is one. */
  #serves(ifa: InIfaddr, subnet: Subnet, giaddr: number): boolean {
    const net = ifa.local & ifa.mask;
    return (subnet.pool.low & ifa.mask) === net && (giaddr === 0 || (giaddr & ifa.mask) === net);
  }

  #discover(q: Request, tries: number): void {
    const { pool, ping } = q.subnet;
    if (this.#probes.has(q.asker.key)) return;
    const addr = pool.choose(q.asker, optIp(q.m, DHCP_OPTION.REQUESTED_IP) ?? 0);
    if (addr === null || tries === MAX_TRIES) {
      this.stats.exhausted++;
      return;
    }
    const own = pool.of(q.asker.key);
    if (own?.addr === addr && own.state === "bound") return this.#reply(q, "OFFER", addr);
    const repeated = own?.addr === addr;
    pool.give(q.asker, addr, "offered", OFFER_TIME);
    if (ping === 0 || repeated || this.#probes.size >= MAX_PROBES) return this.#reply(q, "OFFER", addr);
    const probe = pingProbe(this.#net, addr, ping, (used) => {
      this.#probes.delete(q.asker.key);
      if (!used) return this.#reply(q, "OFFER", addr);
      this.stats.conflicts++;
      pool.decline(addr, q.subnet.declineTime);
      this.#discover(q, tries + 1);
    });
    this.#probes.set(q.asker.key, probe);
  }

  /** RFC 2131 section 4.3.2. */
  #request(q: Request): void {
    const { m, subnet, asker } = q;
    const { pool } = subnet;
    const chosen = optIp(m, DHCP_OPTION.SERVER_ID);
    const wanted = optIp(m, DHCP_OPTION.REQUESTED_IP) ?? m.ciaddr;
    const own = pool.of(asker.key);
    if (chosen !== null && chosen !== q.server) {
      // It took another server's offer.
      if (own?.state === "offered") pool.release(own);
      this.stats.ignored++;
      return;
    }
    if (own?.addr === wanted && own.state !== "declined") return this.#ack(q, wanted);
    // What we offered has run out, or we began anew: it may still have what nobody else has.
    const right = wanted !== 0 && pool.allows(asker, wanted);
    if (right && (chosen !== null || subnet.authoritative)) return this.#ack(q, wanted);
    if (chosen !== null || subnet.authoritative) return this.#reply(q, "NAK", 0);
    this.stats.ignored++;
  }

  #ack(q: Request, addr: number): void {
    q.subnet.pool.give(q.asker, addr, "bound", q.subnet.leaseTime);
    this.#reply(q, "ACK", addr);
  }

  #decline(q: Request): void {
    const addr = optIp(q.m, DHCP_OPTION.REQUESTED_IP);
    const own = q.subnet.pool.of(q.asker.key);
    // Only of what is its own: nobody empties the pool for others.
    if (optIp(q.m, DHCP_OPTION.SERVER_ID) === q.server && own !== null && own.addr === addr) {
      q.subnet.pool.release(own);
      q.subnet.pool.decline(own.addr, q.subnet.declineTime);
    } else this.stats.ignored++;
  }

  #release(q: Request): void {
    const own = q.subnet.pool.of(q.asker.key);
    if (own !== null && own.addr === q.m.ciaddr && own.state === "bound") q.subnet.pool.release(own);
    else this.stats.ignored++;
  }

  #inform(q: Request): void {
    // To a host of the subnet: nobody makes us send to others.
    const { ciaddr } = q.m;
    if (ciaddr !== 0 && (ciaddr & q.mask) === (q.server & q.mask)) this.#reply(q, "ACK", 0);
    else this.stats.ignored++;
  }

  // ---- out

  #reply(q: Request, type: "OFFER" | "ACK" | "NAK", addr: number): void {
    const { m } = q;
    const nak = type === "NAK";
    const answer = dhcpMessage({
      op: BOOTREPLY,
      xid: m.xid,
      // A NAK must reach a client whose address is wrong: the relay sends it to all (RFC 2131 section 4.3.2).
      broadcast: m.broadcast || (nak && m.giaddr !== 0),
      ciaddr: type === "ACK" ? m.ciaddr : 0,
      yiaddr: addr,
      giaddr: m.giaddr,
      haHi: m.haHi,
      haLo: m.haLo,
    });
    const { options } = answer;
    options.set(DHCP_OPTION.MESSAGE_TYPE, Uint8Array.of(DHCP_TYPE[type]));
    options.set(DHCP_OPTION.SERVER_ID, ipsOption([q.server]));
    if (nak) options.set(DHCP_OPTION.MESSAGE, textOption("address not available"));
    else this.#describe(q, addr, options);
    for (const code of [DHCP_OPTION.CLIENT_ID, DHCP_OPTION.RELAY_AGENT]) {
      // Both are repeated (RFC 6842, RFC 3046 section 2.2); what a relay says stands last.
      const value = m.options.get(code);
      if (value !== undefined) options.set(code, value);
    }
    const most = (optU16(m, DHCP_OPTION.MAX_SIZE) ?? 0) - 28;
    const limit = Math.min(Math.max(most, DHCP_MIN_MAX), q.dev.mtu - 28);
    this.stats.sent[type]++;
    this.#send(q, encodeDhcp(answer, limit), nak, addr);
  }

  /** Mask, times, and what the client asks for; all that there is where it asks for nothing. */
  #describe(q: Request, addr: number, options: Map<number, Uint8Array>): void {
    const { m, subnet, mask } = q;
    if (addr !== 0) { for (const [code, value] of timeOptions(subnet.leaseTime)) options.set(code, value); }
    options.set(DHCP_OPTION.SUBNET_MASK, u32Option(mask));
    const asked = m.options.get(DHCP_OPTION.PARAMETER_LIST);
    const wants = (code: number): boolean => asked === undefined || asked.includes(code);
    const network = (addr !== 0 ? addr : m.ciaddr) & mask;
    if (asked?.includes(DHCP_OPTION.BROADCAST) && mask !== makeMask(32) && mask !== makeMask(31)) {
      options.set(DHCP_OPTION.BROADCAST, u32Option(network | ~mask));
    }
    for (const [code, value] of subnet.options) if (wants(code)) options.set(code, value);
  }

  /** RFC 2131 section 4.1. */
  #send(q: Request, bytes: Uint8Array, nak: boolean, yiaddr: number): void {
    const { m, dev } = q;
    const port = this.#ports.get(dev.name);
    if (port === undefined) return;
    const udp = (addr: number, to: number): void => {
      this.#sys.sendmsg(port.udp, { ...msgHdr(bytes), addr, port: to }, 0);
    };
    if (m.giaddr !== 0) return udp(m.giaddr, DHCP_SERVER_PORT);
    if (nak) return udp(-1, DHCP_CLIENT_PORT);
    if (m.ciaddr !== 0) return udp(m.ciaddr, DHCP_CLIENT_PORT);
    if (m.broadcast || yiaddr === 0) return udp(-1, DHCP_CLIENT_PORT);
    // The client has the address only when it has heard this: ARP would not find it.
    const packet = buildDatagram(q.server, yiaddr, DHCP_SERVER_PORT, DHCP_CLIENT_PORT, bytes);
    const ll = { ifindex: dev.ifindex, protocol: ETH_P_IP, hatype: 1, pkttype: 0, addrHi: m.haHi, addrLo: m.haLo };
    this.#sys.sendmsg(port.packet, { ...msgHdr(packet), ll }, 0);
  }
}

/** A client is its identifier, or its hardware address (RFC 2131 section 4.2). */
function askerOf(m: DhcpMessage): Asker {
  const id = m.options.get(DHCP_OPTION.CLIENT_ID);
  const key = id !== undefined && id.length >= 2 ? `id ${id.join()}` : `mac ${m.haHi}:${m.haLo}`;
  return { key, haHi: m.haHi, haLo: m.haLo, hostname: optName(m, DHCP_OPTION.HOST_NAME) };
}
