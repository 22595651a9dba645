/** A DHCP client and a DHCP server by hand, for the tests of the other side. */
import { assert, assertEquals } from "@std/assert";
import { createHost, createNet, type Host, type Net } from "../../../mod.ts";
import { bridge, bridgeDevice } from "../../../plugins/link/bridge/mod.ts";
import { ethernet } from "../../../plugins/link/ethernet/mod.ts";
import { nic, wire } from "../../../plugins/device/nic/mod.ts";
import { needIp } from "../../../plugins/network/inet/mod.ts";
import {
  BOOTREPLY,
  decodeDhcp,
  DHCP_OPTION,
  DHCP_TYPE,
  type DhcpMessage,
  dhcpMessage,
  type DhcpTypeName,
  encodeDhcp,
} from "../../../plugins/socket/dhcp/mod.ts";
import { ClientLink } from "../../../plugins/socket/dhcp/link.ts";
import { optIp, optU8 } from "../../../plugins/socket/dhcp/options.ts";
import { msgHdr, SO_BINDTODEVICE, SO_BROADCAST, SOL_SOCKET } from "../../../plugins/transport/sock/mod.ts";
import { TestMachine } from "../../support/hosts.ts";

export const ip = (text: string): number => needIp(text, "address");
/** Bytes of addresses, for options. */
export const ips = (...texts: string[]): Uint8Array => Uint8Array.from(texts.flatMap((t) => t.split(".").map(Number)));
/** Bytes of a 32 bit number. */
export const u32 = (n: number): Uint8Array => Uint8Array.of(n >>> 24, n >>> 16, n >>> 8, n);

/** Hosts on one switch, `10.0.0.1/24` the first; the others have no address. */
export interface Link extends Disposable {
  machine: TestMachine;
  /** Plugs in one more. */
  plug(host: Host, mac: string): void;
  server: Host;
  hosts: Host[];
}

/** Makes a {@linkcode Link} with so many hosts beside the first; their MACs end in 11, 12, ... */
export function link(hosts = 1, options: { up?: boolean; seed?: number } = {}): Link {
  const machine = new TestMachine({ seed: options.seed ?? 1 });
  const sw: Net = createNet({ machine, name: "switch", plugins: [ethernet(), bridge()] });
  const br0 = bridgeDevice(sw, "br0");
  const plug = (host: Host, mac: string): void => {
    const cable = wire(machine);
    const port = `p${sw.devices.length}`;
    nic(sw, port, { wire: cable });
    assertEquals(br0.addPort(sw.device(port)!), 0);
    nic(host.net, "eth0", { wire: cable, address: mac });
  };
  const make = (name: string, n: number): Host => {
    const host = createHost({ machine, name });
    plug(host, `02:00:00:00:00:${n}`);
    return host;
  };
  const server = make("server", 10);
  server.addr.add("eth0", "10.0.0.1/24");
  const others = Array.from({ length: hosts }, (_, i) => make(`host${i}`, 11 + i));
  if (options.up !== false) { for (const host of others) host.link.up("eth0"); }
  machine.advance(1e9);
  return { machine, plug, server, hosts: others, [Symbol.dispose]: () => machine[Symbol.dispose]() };
}

/** What a message is, and what it is about. */
export function kind(m: DhcpMessage): DhcpTypeName {
  const type = optU8(m, DHCP_OPTION.MESSAGE_TYPE);
  return (Object.keys(DHCP_TYPE) as DhcpTypeName[])[type! - 1];
}

export type Options = Record<number, Uint8Array>;

/** A message of a type with options. */
export function make(type: DhcpTypeName, fields: Partial<DhcpMessage>, options: Options = {}): DhcpMessage {
  const all = new Map<number, Uint8Array>([[DHCP_OPTION.MESSAGE_TYPE, Uint8Array.of(DHCP_TYPE[type])]]);
  for (const [code, value] of Object.entries(options)) all.set(Number(code), value);
  return dhcpMessage({ ...fields, options: all });
}

/** A client by hand. */
export class HandClient {
  readonly #t: Link;
  readonly #link: ClientLink;
  readonly #heard: DhcpMessage[] = [];
  readonly fields: Partial<DhcpMessage>;

  /** On `host`, with a hardware address of its own making. */
  constructor(t: Link, host: Host = t.hosts[0], haLo?: number) {
    const dev = host.net.device("eth0")!;
    this.#t = t;
    this.fields = { xid: 7, haHi: dev.addrHi, haLo: haLo ?? dev.addrLo, broadcast: haLo !== undefined };
    this.#link = new ClientLink(host.net, dev, (bytes) => {
      const m = decodeDhcp(bytes);
      assert(typeof m !== "string", String(m));
      this.#heard.push(m);
    });
    this.#link.open();
    this.#link.raw(true);
  }

  /** Sends bytes to all. */
  bytes(bytes: Uint8Array): DhcpMessage[] {
    this.#link.broadcastRaw(bytes);
    this.#t.machine.advance(1e6);
    return this.#heard.splice(0);
  }

  /** Sends a message to all; what comes back. */
  send(type: DhcpTypeName, options: Options = {}, fields: Partial<DhcpMessage> = {}): DhcpMessage[] {
    return this.bytes(encodeDhcp(make(type, { ...this.fields, ...fields }, options)));
  }

  /** What has come since. */
  heard(): DhcpMessage[] {
    return this.#heard.splice(0);
  }

  /** The whole exchange: the address, and the ACK. */
  lease(options: Options = {}): { address: number; ack: DhcpMessage } {
    const [offer] = this.send("DISCOVER", options);
    assertEquals(kind(offer), "OFFER");
    const server = u32(optIp(offer, DHCP_OPTION.SERVER_ID)!);
    const [ack] = this.send("REQUEST", { ...options, 50: u32(offer.yiaddr), 54: server });
    assertEquals([kind(ack), ack.yiaddr], ["ACK", offer.yiaddr]);
    return { address: ack.yiaddr, ack };
  }

  close(): void {
    this.#link[Symbol.dispose]();
  }
}

/** A server by hand, at 10.0.0.1. */
export class HandServer {
  readonly #t: Link;
  readonly #fd: number;

  constructor(t: Link) {
    this.#t = t;
    const { sys, net } = t.server;
    this.#fd = sys.socket(2, 2, 17);
    sys.setsockopt(this.#fd, SOL_SOCKET, SO_BINDTODEVICE, net.device("eth0")!.ifindex);
    sys.setsockopt(this.#fd, SOL_SOCKET, SO_BROADCAST, 1);
    assertEquals(sys.bind(this.#fd, 0, 67), 0);
  }

  /** Messages that came, and from where. */
  heard(): { m: DhcpMessage; from: number }[] {
    const out: { m: DhcpMessage; from: number }[] = [];
    const rx = msgHdr(new Uint8Array(4096));
    for (;;) {
      rx.len = 4096;
      const n = this.#t.server.sys.recvmsg(this.#fd, rx, 0);
      if (n < 0) return out;
      const m = decodeDhcp(rx.buf, n);
      assert(typeof m !== "string", String(m));
      out.push({ m, from: rx.addr });
    }
  }

  /** The one that came. */
  one(type: DhcpTypeName): { m: DhcpMessage; from: number } {
    const all = this.heard();
    assertEquals(all.map(({ m }) => kind(m)), [type]);
    return all[0];
  }

  /** Sends bytes to all, or to one. */
  bytes(bytes: Uint8Array, addr = -1): void {
    this.#t.server.sys.sendmsg(this.#fd, { ...msgHdr(bytes), addr, port: 68 }, 0);
    this.#t.machine.advance(1e6);
  }

  /** Answers a message; the options are those of a lease of 1,000 s unless given. */
  answer(
    type: DhcpTypeName,
    to: DhcpMessage,
    yiaddr: string,
    options: Options = {},
    fields: Partial<DhcpMessage> = {},
  ) {
    const { xid, haHi, haLo } = to;
    const base: Options = { 54: ips("10.0.0.1"), 51: u32(1000), 1: ips("255.255.255.0") };
    const reply = make(type, { op: BOOTREPLY, xid, haHi, haLo, yiaddr: ip(yiaddr), ...fields }, {
      ...base,
      ...options,
    });
    this.bytes(encodeDhcp(reply));
  }
}
