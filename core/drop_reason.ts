/**
 * Why a packet was dropped, as data. Linux: enum skb_drop_reason, include/net/dropreason-core.h.
 *
 * Plugins add their own with {@linkcode DropReasons.register}; numbers from 256 on are theirs.
 */

/** One reason. */
export interface DropReason {
  /** `UDP_CSUM`: Linux's name without the prefix `SKB_DROP_REASON_`. */
  readonly name: string;
  /** The layer that drops. */
  readonly layer: string;
  /** One sentence: what happened. */
  readonly text: string;
  /** One line: what to look at. */
  readonly advice: string;
}

const r = (name: string, layer: string, text: string, advice: string): DropReason => ({ name, layer, text, advice });

const TABLE: readonly DropReason[] = [
  r("NOT_DROPPED_YET", "core", "It lives.", "None."),
  r("CONSUMED", "core", "It was delivered or sent.", "None."),
  r("NOT_SPECIFIED", "core", "Nobody said why.", "A defect: every drop names its reason."),
  r("NO_SOCKET", "socket", "No socket is bound to the destination port.", "Look at `ss -lnu`; is the server started?"),
  r("PKT_TOO_SMALL", "core", "The packet is shorter than its headers claim.", "Look at the sender, or at truncation."),
  r("TCP_CSUM", "tcp", "The TCP checksum is wrong.", "Look for corruption, or an offload that is not done."),
  r("SOCKET_FILTER", "socket", "A socket filter refused it.", "Look at the filter on the socket."),
  r("UDP_CSUM", "udp", "The UDP checksum is wrong.", "Look for corruption, or an offload that is not done."),
  r("NETFILTER_DROP", "netfilter", "A hook returned NF_DROP.", "Look at the hooks of this net."),
  r("OTHERHOST", "ipv4", "The frame is for another host.", "Promiscuous device or a flooding switch: harmless."),
  r("IP_CSUM", "ipv4", "The IPv4 header checksum is wrong.", "Look for corruption on the link."),
  r("IP_INHDR", "ipv4", "The IPv4 header is malformed.", "Look at version, header length and total length."),
  r("IP_RPFILTER", "ipv4", "The way back to the source leads elsewhere.", "Routes, or sysctl rp_filter."),
  r("SOCKET_RCVBUFF", "socket", "The socket's receive buffer is full.", "Read faster, or raise SO_RCVBUF."),
  r("PROTO_MEM", "socket", "The protocol's memory limit is reached.", "Look at net.ipv4.udp_mem or tcp_mem."),
  r("IP_NOPROTO", "ipv4", "No transport protocol is registered for it.", "Is the plugin in the net?"),
  r(
    "UNHANDLED_PROTO",
    "core",
    "No protocol is registered for its EtherType.",
    "Is the plugin in the net? IPv6 is not there.",
  ),
  r("DEV_HDR", "device", "The link header is malformed.", "Look at the driver."),
  r("DEV_READY", "device", "The device is not up.", "`ip link set DEV up`."),
  r("FULL_RING", "device", "The ring is full.", "A larger ring, or a faster reader."),
  r("NOMEM", "core", "No memory.", "Look for a queue that grows."),
  r("HDR_TRUNC", "core", "The header is not whole.", "Look at the sender."),
  r("CPU_BACKLOG", "core", "The backlog of the CPU is full.", "net.core.netdev_max_backlog."),
  r("QDISC_DROP", "qdisc", "The queue discipline is full.", "txqueuelen, or a slower sender."),
  r("SKB_CSUM", "core", "The checksum could not be computed.", "Look at csumStart and csumOffset."),
  r("SKB_GSO_SEG", "core", "The super-packet could not be segmented.", "Is the protocol's offload registered?"),
  r("RECURSION_LIMIT", "core", "Virtual devices are stacked in a loop.", "Look at the devices' order."),
  r("NEIGH_CREATEFAIL", "neigh", "No neighbour entry could be made.", "gc_thresh3 of the neighbour table."),
  r("NEIGH_FAILED", "neigh", "The neighbour does not answer.", "Is the next hop up? Look at `ip neigh`."),
  r("NEIGH_QUEUEFULL", "neigh", "Too many bytes wait for this neighbour.", "unres_qlen_bytes."),
  r("NEIGH_DEAD", "neigh", "The neighbour entry is gone.", "Send again."),
  r("IP_OUTNOROUTES", "ipv4", "There is no route.", "`ip route get ADDRESS`."),
  r("IP_INNOROUTES", "ipv4", "There is no route for a received packet.", "`ip route get ADDRESS from SOURCE iif DEV`."),
  r("IP_INVALID_SOURCE", "ipv4", "The source address is not a host's.", "Spoofed, or a misconfigured host."),
  r("IP_INVALID_DEST", "ipv4", "The destination address is not usable.", "Look at the sender."),
  r("IP_LOCALNET", "ipv4", "A loopback address came from outside.", "Spoofed, or route_localnet."),
  r("IP_LOCAL_SOURCE", "ipv4", "The source is one of our own addresses.", "Spoofed, or an address used twice."),
  r("PKT_TOO_BIG", "ipv4", "Larger than the MTU, and must not be fragmented.", "Path MTU discovery: ICMP was sent."),
  r("FRAG_REASM_TIMEOUT", "ipv4", "Not all fragments came in time.", "Loss on the path; ipfrag_time."),
  r("FRAG_TOO_FAR", "ipv4", "Too many other datagrams came between the fragments.", "ipfrag_max_dist."),
  r("DUP_FRAG", "ipv4", "A fragment overlaps another, or came twice.", "An attack, or a broken sender."),
  r("FRAG_OOM", "ipv4", "Reassembly has used its memory.", "ipfrag_high_thresh; an attack."),
  r("INVALID_PROTO", "icmp", "The protocol of a quoted packet is not ours.", "A stray or forged error."),
  r("ICMP_CSUM", "icmp", "The ICMP checksum is wrong.", "Look for corruption on the link."),
  r("UNICAST_IN_L2_MULTICAST", "ipv4", "A unicast address in a multicast frame.", "drop_unicast_in_l2_multicast."),
  r("IP_TTL", "ipv4", "The TTL ran out.", "A routing loop, or traceroute."),
  r("IP_OPTIONS", "ipv4", "An IP option is malformed or not allowed.", "accept_source_route; a broken sender."),
  r("IP_INADDRERRORS", "ipv4", "Not for this host, which does not forward.", "sysctl net.ipv4.ip_forward=1."),
  r("IP_ROUTE_BLACKHOLE", "ipv4", "A route says: drop, or refuse.", "`ip route`."),
  r("ARP_HDR", "arp", "The ARP packet is malformed.", "Look at the sender."),
  r("ARP_IGNORED", "arp", "The ARP packet is not for us.", "Harmless."),
  r("FCS_ERROR", "device", "The frame check sequence is wrong.", "A bad cable: corruption on the wire."),
  r("LINK_DOWN", "device", "The link is down.", "`ip link`; is the wire plugged?"),
  r("SOCKET_CLOSE", "socket", "The socket was closed with data in it.", "Harmless."),
  r("PLUGIN_ERROR", "plugin", "A plugin threw.", "The error names the plugin; use strict in tests."),
  r("PLUGIN_UNLOAD", "plugin", "The plugin that held it went.", "Counted at the swap."),
  r("QUEUE_PURGE", "core", "The queue that held it was emptied.", "Device down, or a swap."),
  r("VLAN_UNKNOWN", "link", "The VLAN tag is of no VLAN here.", "Add the VLAN device."),
  r("FRAME_TOO_LONG", "device", "The frame is longer than the buffer.", "MTU of both ends."),
  r("UNKNOWN_ICMP_TYPE", "icmp", "The ICMP type is not one that a host handles.", "Harmless."),
  r("ICMP_IGNORED", "icmp", "An echo to a broadcast address, or one that a sysctl ignores.", "icmp_echo_ignore_*."),
  r("SOCKET_BACKLOG", "socket", "The socket's backlog is full.", "Read faster."),
  r("NF_QUEUE_FULL", "netfilter", "The handler's queue is full, or there is no handler.", "Answer the queue faster."),
];

/** Numbers of the standard reasons, by name: constants for the path. A test holds them against the table. */
export const DROP = {
  NOT_DROPPED_YET: 0,
  CONSUMED: 1,
  NOT_SPECIFIED: 2,
  NO_SOCKET: 3,
  PKT_TOO_SMALL: 4,
  TCP_CSUM: 5,
  SOCKET_FILTER: 6,
  UDP_CSUM: 7,
  NETFILTER_DROP: 8,
  OTHERHOST: 9,
  IP_CSUM: 10,
  IP_INHDR: 11,
  IP_RPFILTER: 12,
  SOCKET_RCVBUFF: 13,
  PROTO_MEM: 14,
  IP_NOPROTO: 15,
  UNHANDLED_PROTO: 16,
  DEV_HDR: 17,
  DEV_READY: 18,
  FULL_RING: 19,
  NOMEM: 20,
  HDR_TRUNC: 21,
  CPU_BACKLOG: 22,
  QDISC_DROP: 23,
  SKB_CSUM: 24,
  SKB_GSO_SEG: 25,
  RECURSION_LIMIT: 26,
  NEIGH_CREATEFAIL: 27,
  NEIGH_FAILED: 28,
  NEIGH_QUEUEFULL: 29,
  NEIGH_DEAD: 30,
  IP_OUTNOROUTES: 31,
  IP_INNOROUTES: 32,
  IP_INVALID_SOURCE: 33,
  IP_INVALID_DEST: 34,
  IP_LOCALNET: 35,
  IP_LOCAL_SOURCE: 36,
  PKT_TOO_BIG: 37,
  FRAG_REASM_TIMEOUT: 38,
  FRAG_TOO_FAR: 39,
  DUP_FRAG: 40,
  FRAG_OOM: 41,
  INVALID_PROTO: 42,
  ICMP_CSUM: 43,
  UNICAST_IN_L2_MULTICAST: 44,
  IP_TTL: 45,
  IP_OPTIONS: 46,
  IP_INADDRERRORS: 47,
  IP_ROUTE_BLACKHOLE: 48,
  ARP_HDR: 49,
  ARP_IGNORED: 50,
  FCS_ERROR: 51,
  LINK_DOWN: 52,
  SOCKET_CLOSE: 53,
  PLUGIN_ERROR: 54,
  PLUGIN_UNLOAD: 55,
  QUEUE_PURGE: 56,
  VLAN_UNKNOWN: 57,
  FRAME_TOO_LONG: 58,
  UNKNOWN_ICMP_TYPE: 59,
  ICMP_IGNORED: 60,
  SOCKET_BACKLOG: 61,
  NF_QUEUE_FULL: 62,
} as const;

/** Nobody dropped it. */
export const NOT_DROPPED_YET = 0;
/** Delivered or sent. */
export const CONSUMED = 1;
/** Fails every test. */
export const NOT_SPECIFIED = 2;

const FIRST_PLUGIN = 256;

/** The reasons of one machine: the standard ones and those that plugins registered. */
export class DropReasons {
  readonly #own: DropReason[] = [];

  /** Registers a reason; the same name gives the same number. Linux: drop_reasons_register_subsys(). */
  register(reason: DropReason): number {
    const known = this.byName(reason.name);
    if (known >= 0) return known;
    return FIRST_PLUGIN + this.#own.push(reason) - 1;
  }

  /** The reason of a number; a number nobody registered gives NOT_SPECIFIED. */
  get(id: number): DropReason {
    return (id >= FIRST_PLUGIN ? this.#own[id - FIRST_PLUGIN] : TABLE[id]) ?? TABLE[NOT_SPECIFIED];
  }

  /** The number of a name, or -1. */
  byName(name: string): number {
    const id = TABLE.findIndex((t) => t.name === name);
    if (id >= 0) return id;
    const own = this.#own.findIndex((t) => t.name === name);
    return own < 0 ? -1 : FIRST_PLUGIN + own;
  }

  /** All of them. */
  list(): DropReason[] {
    return [...TABLE, ...this.#own];
  }
}
