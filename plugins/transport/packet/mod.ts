/**
 * Packet sockets: `socket(AF_PACKET, SOCK_RAW, ethertype)` sees frames as they come from the driver, and sends frames of
 * one's own; SOCK_DGRAM the same without the link header. With ETH_P_ALL also what this host sends. Protocols below IP,
 * sniffers and DHCP clients are written on them. Linux: net/packet/af_packet.c.
 *
 * In the calls an address is an ifindex and a port an EtherType in host order; all of `struct sockaddr_ll` is `msg.ll`.
 *
 * @example A protocol of one's own right on Ethernet
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createHost, Machine } from "@netpath/stack";
 * import { nic, wire } from "@netpath/stack/nic";
 * import { AF_PACKET } from "@netpath/stack/packet";
 * import { msgHdr, SOCK_DGRAM } from "@netpath/stack/sock";
 *
 * using machine = new Machine();
 * const cable = wire(machine);
 * const [a, b] = ["a", "b"].map((name) => createHost({ machine, name }));
 * for (const host of [a, b]) {
 *   nic(host.net, "eth0", { wire: cable });
 *   host.link.set("eth0", { up: true });
 * }
 * const ifindex = a.net.device("eth0")!.ifindex;
 * const [tx, rx] = [a, b].map((host) => host.sys.socket(AF_PACKET, SOCK_DGRAM, 0x88b5));
 *
 * const broadcast = { ifindex, protocol: 0x88b5, hatype: 1, pkttype: 0, addrHi: 0xffff, addrLo: -1 };
 * a.sys.sendmsg(tx, { ...msgHdr(new TextEncoder().encode("hello")), ll: broadcast }, 0);
 * const msg = msgHdr(new Uint8Array(1500));
 * assertEquals(b.sys.recvmsg(rx, msg, 0), 46); // Ethernet pads
 * assertEquals(new TextDecoder().decode(msg.buf.subarray(0, 5)), "hello");
 * ```
 *
 * @module
 */
import { ERRNO, G_SOCK, IFF_UP, type Net, type NetdevEvent, type Plugin } from "../../../core/mod.ts";
import {
  datagramPoll,
  MSG_PEEK,
  MSG_TRUNC,
  type MsgHdr,
  type ProtoOps,
  skbCopyDatagramMsg,
  skErrorReport,
  SOCK,
  type Sock,
  SOCK_DGRAM,
  SOCK_RAW,
  sockError,
  sockRegister,
} from "../sock/contract.ts";
import {
  AF_PACKET,
  PACKET,
  PACKET_ADD_MEMBERSHIP,
  PACKET_DROP_MEMBERSHIP,
  PACKET_IGNORE_OUTGOING,
  PACKET_MR_ALLMULTI,
  PACKET_MR_PROMISC,
  PACKET_STATISTICS,
  type PacketStatistics,
  SOL_PACKET,
} from "./contract.ts";
import { packetSendmsg } from "./output.ts";
import { packetHook, packetPromisc, PacketState, packetUnhook } from "./state.ts";

export * from "./contract.ts";

/** The plugin. */
export function packet(): Plugin {
  return { name: "packet", api: 1, requires: [SOCK], provides: [PACKET], setup };
}

function setup(net: Net): void {
  const st = net.state("packet:state", () => new PacketState(net));
  const ops = opsOf(st);
  for (const type of [SOCK_RAW, SOCK_DGRAM]) sockRegister(net, { family: AF_PACKET, type, protocol: 0, ops });
  net.netdevChain.register((event) => packetNotifier(st, event));
  net.provide(PACKET, { count: () => st.socks.size, statistics: (sk) => statistics(st, sk) });
}

function opsOf(st: PacketState): ProtoOps {
  const no = (): number => -ERRNO.EOPNOTSUPP;
  return {
    name: "PACKET",
    init: (sk) => packetInit(st, sk),
    close: (sk) => packetRelease(st, sk),
    bind: (sk, ifindex, type) => packetBind(st, sk, ifindex, type),
    connect: no,
    disconnect: no,
    listen: no,
    accept: (sk) => {
      sk.acceptError = -ERRNO.EOPNOTSUPP;
      return null;
    },
    sendmsg: (sk, msg, flags) => packetSendmsg(st, sk, msg, flags),
    recvmsg: (sk, msg, flags) => packetRecvmsg(st, sk, msg, flags),
    shutdown: no,
    poll: (sk) => datagramPoll(sk),
    setsockopt: (sk, level, name, value, value2) => packetSetsockopt(st, sk, level, name, value, value2),
    getsockopt: (sk, level, name) => packetGetsockopt(st, sk, level, name),
  };
}

/** Linux: packet_create(). With protocol 0 it receives nothing until it is bound to one. */
function packetInit(st: PacketState, sk: Sock): number {
  sk.proto = { num: sk.protocol, unhook: null, ignoreOutgoing: false, packets: 0, drops: 0, promisc: [] };
  sk.sport = sk.protocol;
  st.socks.add(sk);
  packetHook(st, sk);
  return 0;
}

/** Linux: packet_release(). */
function packetRelease(st: PacketState, sk: Sock): void {
  packetUnhook(st, sk);
  for (const dev of st.of(sk).promisc) packetPromisc(st, dev, -1);
  st.of(sk).promisc = [];
  st.socks.delete(sk);
}

/** To a device, 0: all, and an EtherType, 0: none. -ENODEV: no such device. Linux: packet_bind(), packet_do_bind(). */
function packetBind(st: PacketState, sk: Sock, ifindex: number, type: number): number {
  if (type < 0 || type > 0xffff) return -ERRNO.EINVAL;
  const dev = ifindex === 0 ? null : st.net.devByIndex[ifindex] ?? undefined;
  if (dev === undefined) return -ERRNO.ENODEV;
  sk.boundDevIf = sk.saddr = ifindex;
  sk.sport = st.of(sk).num = type;
  packetHook(st, sk);
  if (type !== 0 && dev !== null && (dev.flags & IFF_UP) === 0) skErrorReport(sk, ERRNO.ENETDOWN);
  return 0;
}

/** A device that goes is an error of who is bound to it; one that comes back is watched again. Linux: packet_notifier(). */
function packetNotifier(st: PacketState, { kind, dev }: NetdevEvent): void {
  if (kind === "NETDEV_UNREGISTER") st.promisc.delete(dev);
  for (const sk of st.socks) {
    const po = st.of(sk);
    if (kind === "NETDEV_UNREGISTER") po.promisc = po.promisc.filter((d) => d !== dev);
    if (sk.boundDevIf !== dev.ifindex) continue;
    if (kind === "NETDEV_DOWN" || kind === "NETDEV_UNREGISTER") {
      if (po.unhook !== null) skErrorReport(sk, ERRNO.ENETDOWN);
      packetUnhook(st, sk);
      if (kind === "NETDEV_UNREGISTER") sk.boundDevIf = sk.saddr = -1;
    } else if (kind === "NETDEV_UP") packetHook(st, sk);
  }
}

/** The next frame; `msg.addr` is the ifindex, `msg.port` the EtherType. Linux: packet_recvmsg(). */
function packetRecvmsg(st: PacketState, sk: Sock, msg: MsgHdr, flags: number): number {
  if (sk.err !== 0) return sockError(sk);
  const queue = sk.receiveQueue;
  const skb = (flags & MSG_PEEK) !== 0 ? queue.head : queue.dequeue();
  if (skb === null) return -ERRNO.EAGAIN;
  const len = skb.len;
  const copied = Math.min(msg.len, len);
  if (copied > 0) skbCopyDatagramMsg(skb, 0, msg, copied, st.siteRecvmsg);
  const dev = skb.dev!;
  msg.addr = dev.ifindex;
  msg.port = skb.protocol;
  msg.flags = copied < len ? MSG_TRUNC : 0;
  const ll = msg.ll;
  if (ll !== undefined) {
    ll.ifindex = dev.ifindex;
    ll.protocol = skb.protocol;
    ll.hatype = dev.type;
    ll.pkttype = skb.pktType;
    // The sender's address, where the link has one. Linux: dev_parse_header().
    const source = dev.headerOps.hardHeaderLen === 14 ? skb.macHeader + 6 : -1;
    ll.addrHi = source < 0 ? 0 : skb.view.getUint16(source);
    ll.addrLo = source < 0 ? 0 : skb.view.getInt32(source + 2);
  }
  if ((st.bus.mask & G_SOCK) !== 0) st.bus.hit(st.tp.packetRecvmsg, skb, copied, len, sk);
  if ((flags & MSG_PEEK) === 0) skb.consume();
  return (flags & MSG_TRUNC) !== 0 ? len : copied;
}

/** Linux: packet_setsockopt(). */
function packetSetsockopt(
  st: PacketState,
  sk: Sock,
  level: number,
  name: number,
  value: number,
  ifindex: number,
): number {
  if (level !== SOL_PACKET) return -ERRNO.ENOPROTOOPT;
  const po = st.of(sk);
  if (name === PACKET_IGNORE_OUTGOING) {
    if (value < 0 || value > 1) return -ERRNO.EINVAL;
    po.ignoreOutgoing = value === 1;
    return 0;
  }
  if (name !== PACKET_ADD_MEMBERSHIP && name !== PACKET_DROP_MEMBERSHIP) return -ERRNO.ENOPROTOOPT;
  const dev = st.net.devByIndex[ifindex] ?? null;
  if (dev === null) return name === PACKET_ADD_MEMBERSHIP ? -ERRNO.ENODEV : 0;
  // Devices here pass every multicast frame on.
  if (value === PACKET_MR_ALLMULTI) return 0;
  if (value !== PACKET_MR_PROMISC) return -ERRNO.EINVAL;
  if (name === PACKET_ADD_MEMBERSHIP) {
    po.promisc.push(dev);
    packetPromisc(st, dev, 1);
    return 0;
  }
  const at = po.promisc.indexOf(dev);
  if (at < 0) return 0;
  po.promisc.splice(at, 1);
  packetPromisc(st, dev, -1);
  return 0;
}

/** Linux: packet_getsockopt(). */
function packetGetsockopt(st: PacketState, sk: Sock, level: number, name: number): number {
  if (level !== SOL_PACKET) return -ERRNO.ENOPROTOOPT;
  if (name === PACKET_STATISTICS) return statistics(st, sk).packets;
  return name === PACKET_IGNORE_OUTGOING ? Number(st.of(sk).ignoreOutgoing) : -ERRNO.ENOPROTOOPT;
}

function statistics(st: PacketState, sk: Sock): PacketStatistics {
  const po = st.of(sk);
  const { packets, drops } = po;
  po.packets = po.drops = 0;
  return { packets, drops };
}
