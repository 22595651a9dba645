/**
 * Addresses for who asks: the client of a device, and the server of a link. RFC 2131, RFC 2132.
 *
 * @module
 */
import type { Token } from "../../../core/mod.ts";
import type { DhcpRoute } from "./options.ts";

export type { DhcpRoute } from "./options.ts";

/** Port of servers. */
export const DHCP_SERVER_PORT = 67;
/** Port of clients. */
export const DHCP_CLIENT_PORT = 68;
/** Seconds of a lease that does not end. */
export const DHCP_INFINITE = 0xffffffff;

/** What a message is. RFC 2132 section 9.6. */
export const DHCP_TYPE = {
  DISCOVER: 1,
  OFFER: 2,
  REQUEST: 3,
  DECLINE: 4,
  ACK: 5,
  NAK: 6,
  RELEASE: 7,
  INFORM: 8,
} as const;

/** The name of a message's type, in capitals. */
export type DhcpTypeName = keyof typeof DHCP_TYPE;

/** Where a client is. RFC 2131 section 4.4, figure 5; `PROBING`: it asks by ARP whether somebody has the address. */
export type DhcpState =
  | "INIT"
  | "SELECTING"
  | "REQUESTING"
  | "INIT-REBOOT"
  | "REBOOTING"
  | "PROBING"
  | "BOUND"
  | "RENEWING"
  | "REBINDING";

/** What a server says about a link, with or without an address. */
export interface DhcpConfig {
  /** Who says it. */
  readonly server: string;
  /** Routers of the link, the best first. */
  readonly routers: readonly string[];
  /** Routes, which come instead of the routers (RFC 3442). */
  readonly routes: readonly DhcpRoute[];
  /** DNS servers. */
  readonly dns: readonly string[];
  /** The domain of the link, or null. */
  readonly domain: string | null;
  /** Domains that are put behind short names. */
  readonly search: readonly string[];
  /** Time servers. */
  readonly ntp: readonly string[];
  /** MTU of the link in bytes, or null. */
  readonly mtu: number | null;
}

/** An address for a while. */
export interface DhcpLease extends DhcpConfig {
  /** The address. */
  readonly address: string;
  /** Length of its prefix. */
  readonly prefix: number;
  /** Broadcast address. */
  readonly broadcast: string;
  /** Seconds that it holds; {@linkcode DHCP_INFINITE}. */
  readonly seconds: number;
  /** Seconds after which the server is asked for more time: T1. */
  readonly renewal: number;
  /** Seconds after which any server is asked: T2. */
  readonly rebinding: number;
  /** When it began, ns of the machine's clock. */
  readonly since: number;
}

/** Something happened to a client. */
export interface DhcpEvent {
  /** The device. */
  readonly dev: string;
  /**
   * `bound`: it has a lease; `renewed`: for longer; `expired`, `nak`: it has none any more; `declined`: somebody else has
   * the address; `timeout`: no server answered, it tries again later; `released`, `stopped`.
   */
  readonly kind: "bound" | "renewed" | "expired" | "nak" | "declined" | "timeout" | "released" | "stopped";
  /** The lease that it is about, or null. */
  readonly lease: DhcpLease | null;
}

/** The clients of a net, by device. A device that has none is a TypeError. */
export interface DhcpClient {
  /** Names of the devices. */
  readonly devices: readonly string[];
  /** Where the client of a device is. */
  state(dev: string): DhcpState;
  /** The lease of a device, or null. */
  lease(dev: string): DhcpLease | null;
  /** Asks for more time now. False: there is no lease. */
  renew(dev: string): boolean;
  /** Gives the lease back and stops, until {@linkcode DhcpClient.start}. False: there was none. */
  release(dev: string): boolean;
  /** Begins again. */
  start(dev: string): void;
  /** Asks what there is to know for a device with an address of its own: `done` once; null: no server answered. */
  inform(dev: string, done: (config: DhcpConfig | null) => void): void;
  /** Calls `fn` when something happens. */
  onEvent(fn: (event: DhcpEvent) => void): Disposable;
  /** Counts. */
  readonly stats: DhcpClientStats;
}

/** What the clients of a net have seen. */
export interface DhcpClientStats {
  /** Messages sent, by type. */
  readonly sent: Record<DhcpTypeName, number>;
  /** Messages received for us, by type. */
  readonly received: Record<DhcpTypeName, number>;
  /** Messages that are not right. */
  malformed: number;
  /** Messages for others, of other exchanges, or that make no sense in this state. */
  ignored: number;
}

/** Its token. */
export const DHCP_CLIENT: Token<DhcpClient> = { name: "netpath:dhcp_client" };

/** An address that a server gave. */
export interface DhcpBinding {
  /** The address. */
  readonly address: string;
  /** The client's hardware address. */
  readonly mac: string;
  /** The name that the client gives itself, or null. */
  readonly hostname: string | null;
  /** `offered`: not taken yet; `declined`: somebody has it who should not. */
  readonly state: "offered" | "bound" | "declined";
  /** Seconds left; {@linkcode DHCP_INFINITE}. */
  readonly left: number;
}

/** The server. */
export interface DhcpServer {
  /** Addresses that are given or kept, in order. */
  bindings(): DhcpBinding[];
  /** Addresses of the ranges that are free. */
  free(): number;
  /** Devices that it could not listen on, with the errno: `EADDRINUSE`, another socket has the port. */
  readonly failed: ReadonlyMap<string, string>;
  /** Counts. */
  readonly stats: DhcpServerStats;
}

/** What a server has seen. */
export interface DhcpServerStats {
  /** Messages received, by type. */
  readonly received: Record<DhcpTypeName, number>;
  /** Messages sent, by type. */
  readonly sent: Record<DhcpTypeName, number>;
  /** Messages that are not right. */
  malformed: number;
  /** Messages for other servers, for links that it does not serve, or that make no sense. */
  ignored: number;
  /** Clients that got nothing: no address is free. */
  exhausted: number;
  /** Addresses that were not offered: somebody answered a ping. */
  conflicts: number;
}

/** Its token. */
export const DHCP_SERVER: Token<DhcpServer> = { name: "netpath:dhcp_server" };

/** Zero of each type. */
export function perType(): Record<DhcpTypeName, number> {
  return { DISCOVER: 0, OFFER: 0, REQUEST: 0, DECLINE: 0, ACK: 0, NAK: 0, RELEASE: 0, INFORM: 0 };
}

const TYPE_NAMES = Object.keys(DHCP_TYPE) as DhcpTypeName[];

/** The name of a type's number, or null: there is none. */
export function typeName(type: number | null): DhcpTypeName | null {
  return type === null ? null : TYPE_NAMES[type - 1] ?? null;
}
