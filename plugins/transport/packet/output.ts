/** Packets from packet sockets. Linux: packet_snd(), net/packet/af_packet.c. */
import * as core from "../../../core/mod.ts";
import type { NetDevice, SkBuff } from "../../../core/mod.ts";
import { MSG_OOB, type MsgHdr, skbSetOwnerW, type Sock, SOCK_RAW, sockError } from "../sock/contract.ts";
import { ETH_P_ALL } from "./contract.ts";
import type { PacketState } from "./state.ts";

const {
  ARPHRD_ETHER,
  ARPHRD_LOOPBACK,
  copyFromUser,
  devQueueXmit,
  ERRNO,
  G_SOCK,
  IFF_UP,
  NET_SKB_PAD,
  NET_XMIT_CN,
} = core;
const ETH_P_8021Q = 0x8100;
const VLAN_HLEN = 4;
/** Bytes of a link header that has addresses. */
const ETH_HLEN = 14;

/**
 * Sends one frame (SOCK_RAW), or a payload behind a link header (SOCK_DGRAM, to `msg.ll`). Bytes taken, or a negative
 * errno: ENXIO (no such device), ENETDOWN, EMSGSIZE, EINVAL (no whole header, or no address for one).
 */
export function packetSendmsg(st: PacketState, sk: Sock, msg: MsgHdr, flags: number): number {
  if ((st.bus.mask & G_SOCK) !== 0) st.bus.hit(st.tp.packetSendmsg, null, msg.len, 0, sk);
  if ((flags & MSG_OOB) !== 0) return -ERRNO.EOPNOTSUPP;
  const ll = msg.ll;
  const ifindex = ll?.ifindex || msg.addr || sk.boundDevIf;
  const dev = st.net.devByIndex[ifindex] ?? null;
  if (dev === null) return -ERRNO.ENXIO;
  if ((dev.flags & IFF_UP) === 0) return -ERRNO.ENETDOWN;
  const pending = sockError(sk);
  if (pending < 0) return pending;
  if (sk.wmemAlloc >= sk.sndbuf) {
    sk.nospace = true;
    return -ERRNO.EAGAIN;
  }
  const hlen = dev.headerOps.hardHeaderLen;
  const raw = sk.type === SOCK_RAW;
  const vlan = raw && tagged(dev, msg) ? VLAN_HLEN : 0;
  if (msg.len > dev.mtu + vlan + (raw ? hlen : 0)) return -ERRNO.EMSGSIZE;
  if (raw && msg.len < hlen) return -ERRNO.EINVAL;
  const type = ll?.protocol || msg.port || st.of(sk).num;
  const skb = build(st, dev, msg, raw ? 0 : hlen);
  if (skb === null) return -ERRNO.ENOBUFS;
  if (raw) parsed(skb, dev, hlen, type);
  else if (!header(skb, dev, type, msg)) {
    skb.consume();
    return -ERRNO.EINVAL;
  }
  skbSetOwnerW(skb, sk);
  const rc = devQueueXmit(skb);
  if (rc === 0 || rc === NET_XMIT_CN) return msg.len;
  return rc > 0 ? -ERRNO.ENOBUFS : rc;
}

/** A VLAN tag may go over the MTU. */
function tagged(dev: NetDevice, { buf, off, len }: MsgHdr): boolean {
  return dev.type === ARPHRD_ETHER && len >= ETH_HLEN && (buf[off + 12] << 8 | buf[off + 13]) === ETH_P_8021Q;
}

function build(st: PacketState, dev: NetDevice, msg: MsgHdr, room: number): SkBuff | null {
  const skb = st.skbs.alloc(NET_SKB_PAD + room + msg.len);
  if (skb === null) return null;
  skb.reserve(NET_SKB_PAD + room);
  const at = skb.data;
  skb.put(msg.len);
  copyFromUser(st.ledger, st.siteSendmsg, skb.slab, at, msg.buf, msg.off, msg.len);
  skb.dev = dev;
  skb.networkHeader = at;
  return skb;
}

/** Where the network header of a whole frame is, and its type. Linux: packet_parse_headers(). Borrows `skb`. */
function parsed(skb: SkBuff, dev: NetDevice, hlen: number, type: number): void {
  skb.networkHeader = skb.data + hlen;
  const own = dev.type === ARPHRD_ETHER || dev.type === ARPHRD_LOOPBACK ? skb.view.getUint16(skb.data + 12) : 0;
  skb.protocol = type === 0 || type === ETH_P_ALL ? own : type;
}

/** Linux: dev_hard_header(). Borrows `skb`. False: there is no address, and the link wants one. */
function header(skb: SkBuff, dev: NetDevice, type: number, msg: MsgHdr): boolean {
  skb.protocol = type;
  const ops = dev.headerOps;
  if (ops.hardHeaderLen === 0) return true;
  if (msg.ll === undefined) return false;
  return ops.create(skb, dev, type, msg.ll.addrHi, msg.ll.addrLo, dev.addrHi, dev.addrLo);
}
