/**
 * The frame that the load is made of.
 */
import { csumFold, csumJs, parseMac } from "../../../core/mod.ts";

const ETH_HLEN = 14;
const IP_HLEN = 20;
const UDP_HLEN = 8;
const ETH_ZLEN = 60;
const PROTO_UDP = 17;

/** Who sends a datagram to whom; addresses of IPv4 as int32. */
export interface Flow {
  /** MAC address of the receiver. */
  readonly to: string;
  /** Source address. */
  readonly saddr: number;
  /** Destination address. */
  readonly daddr: number;
  /** Destination port; the source port is the same. */
  readonly port: number;
  /** Payload bytes. */
  readonly bytes: number;
}

/** A UDP datagram in an Ethernet frame without FCS, padded to 60 bytes; without a UDP checksum (RFC 768). */
export function udpFrame(flow: Flow): Uint8Array<ArrayBuffer> {
  const len = ETH_HLEN + IP_HLEN + UDP_HLEN + flow.bytes;
  const frame = new Uint8Array(Math.max(ETH_ZLEN, len));
  const view = new DataView(frame.buffer);
  const [hi, lo] = parseMac(flow.to)!;
  view.setUint16(0, hi);
  view.setInt32(2, lo);
  view.setUint16(6, 0x0200);
  view.setInt32(8, flow.saddr);
  view.setUint16(12, 0x0800);
  const ip = ETH_HLEN;
  view.setUint16(ip, 0x4500);
  view.setUint16(ip + 2, len - ETH_HLEN);
  view.setUint16(ip + 6, 0x4000); // do not fragment
  view.setUint8(ip + 8, 64);
  view.setUint8(ip + 9, PROTO_UDP);
  view.setInt32(ip + 12, flow.saddr);
  view.setInt32(ip + 16, flow.daddr);
  view.setUint16(ip + 10, csumFold(csumJs(view, ip, IP_HLEN, 0)), true);
  const udp = ip + IP_HLEN;
  view.setUint16(udp, flow.port);
  view.setUint16(udp + 2, flow.port);
  view.setUint16(udp + 4, UDP_HLEN + flow.bytes);
  return frame;
}
