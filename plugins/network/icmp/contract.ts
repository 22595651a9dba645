/**
 * ICMP's contract: what is above it, the "ping" sockets. Errors go to `protocols[].error` of inet, and are sent through
 * `inet.icmpSend`. Linux: net/ipv4/icmp.c, include/net/ping.h.
 *
 * @module
 */
import type { Net, SkBuff, Token } from "../../../core/mod.ts";

/** Who receives echo replies, and errors about echo requests. */
export interface Icmp {
  /**
   * An echo reply (type 0, or 43) came: `data` and transportHeader are at the ICMP header, 8 bytes are linear, the
   * checksum was verified. False: no socket waits for it. Null: nobody registered.
   * Takes ownership of `skb` unless it returns false. Linux: ping_rcv().
   */
  pingRcv: ((skb: SkBuff) => boolean) | null;
  /**
   * An ICMP error quotes an ICMP message of ours that is no echo reply: `data` is at the quoted IP header, which is
   * linear with 8 bytes behind it; the rest as {@linkcode InetProtocol.error}. Null: nobody registered. Borrows `skb`.
   * Linux: ping_err().
   */
  pingErr: ((skb: SkBuff, type: number, code: number, info: number) => void) | null;
}

/** Its token. */
export const ICMP: Token<Icmp> = { name: "netpath:icmp" };

/** Registers the ping sockets. Linux: pingv4_ops and ping_init(). */
export function icmpRegisterPing(
  net: Net,
  pingRcv: NonNullable<Icmp["pingRcv"]>,
  pingErr: NonNullable<Icmp["pingErr"]>,
): Disposable {
  return net.registration(() => {
    const icmp = net.get(ICMP);
    icmp.pingRcv = pingRcv;
    icmp.pingErr = pingErr;
    return () => {
      if (icmp.pingRcv === pingRcv) icmp.pingRcv = null;
      if (icmp.pingErr === pingErr) icmp.pingErr = null;
    };
  });
}
