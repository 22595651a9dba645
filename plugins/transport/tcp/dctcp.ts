/**
 * DCTCP: the window is cut by the share of packets that switches marked, not by half. RFC 8257; Linux:
 * net/ipv4/tcp_dctcp.c.
 *
 * - *Sender:* once per round trip the share of marked packets goes into an average, `alpha`, with weight 1/16; an echoed
 *   mark cuts the window by `alpha / 2`. A loss halves it, as Reno does: RFC 8257 section 3.5.
 * - *Receiver:* each ACK tells whether the packets it is for were marked. Where that changes, what came before is
 *   acknowledged at once, with the old answer: section 3.2.
 */
import type { Net, Plugin } from "../../../core/mod.ts";
import {
  CA_EVENT_ECN_IS_CE,
  CA_EVENT_ECN_NO_CE,
  CA_EVENT_LOSS,
  TCP,
  TCP_CA_RECOVERY,
  type TcpCongestionInit,
  type TcpCongestionSock,
  tcpRegisterCongestionControl,
} from "./contract.ts";
import { tcpSendAckSeq } from "./control.ts";
import { ICSK_ACK_NOW, ICSK_ACK_TIMER, TCP_ECN_DEMAND_CWR, type TcpSock } from "./tcp_sock.ts";

/** `alpha` of a path on which all packets are marked. */
const DCTCP_MAX_ALPHA = 1024;
/** The share of a round trip in the average: 1/16. RFC 8257 section 4.2. */
const DCTCP_SHIFT_G = 4;

/** What a connection remembers. */
class DctcpState {
  /** The share of marked packets, 0 to {@linkcode DCTCP_MAX_ALPHA}. A new path is taken for a bad one. */
  alpha = DCTCP_MAX_ALPHA;
  /** Where the round trip ends, sequence number. */
  declare nextSeq: number;
  /** Delivered at its beginning. */
  declare oldDelivered: number;
  /** Of them, marked. */
  declare oldDeliveredCe: number;
  /** The window before it was cut, for undo. */
  lossCwnd = 0;
  /** As a receiver: the last packet was marked. */
  ce = false;
  /** As a receiver: what was expected next when it came. */
  declare priorRcvNxt: number;

  /** Of a connection that begins. */
  constructor(tp: TcpCongestionSock) {
    this.nextSeq = tp.sndNxt;
    this.oldDelivered = tp.delivered;
    this.oldDeliveredCe = tp.deliveredCe;
    this.priorRcvNxt = (tp as Partial<TcpSock>).rcvNxt ?? 0;
  }
}

function stateOf(tp: TcpCongestionSock): DctcpState {
  return tp.icskCaPriv instanceof DctcpState ? tp.icskCaPriv : tp.icskCaPriv = new DctcpState(tp);
}

/** A round trip ends where all is acknowledged that was in flight when it began. Linux: dctcp_update_alpha(). */
function inAckEvent(tp: TcpCongestionSock): void {
  const ca = stateOf(tp);
  if (((tp.sndUna - ca.nextSeq) | 0) < 0) return;
  const marked = tp.deliveredCe - ca.oldDeliveredCe;
  const delivered = tp.delivered - ca.oldDelivered;
  // What is too small to be shifted goes as a whole: the average reaches 0.
  const alpha = ca.alpha - (ca.alpha >> DCTCP_SHIFT_G || ca.alpha);
  const share = marked === 0 ? 0 : Math.trunc(marked * (DCTCP_MAX_ALPHA >> DCTCP_SHIFT_G) / Math.max(1, delivered));
  ca.alpha = Math.min(alpha + share, DCTCP_MAX_ALPHA);
  ca.nextSeq = tp.sndNxt;
  ca.oldDelivered = tp.delivered;
  ca.oldDeliveredCe = tp.deliveredCe;
}

/** Linux: dctcp_ssthresh(). */
function ssthresh(tp: TcpCongestionSock): number {
  const ca = stateOf(tp);
  ca.lossCwnd = tp.sndCwnd;
  return Math.max(tp.sndCwnd - Math.trunc(tp.sndCwnd * ca.alpha / (2 * DCTCP_MAX_ALPHA)), 2);
}

/** A loss is no mark: half of the window, whatever `alpha` is. Linux: dctcp_react_to_loss(). */
function reactToLoss(tp: TcpCongestionSock): void {
  stateOf(tp).lossCwnd = tp.sndCwnd;
  tp.sndSsthresh = Math.max(tp.sndCwnd >> 1, 2);
}

/** Linux: dctcp_ece_ack_update(), net/ipv4/tcp_dctcp.h. */
function marked(tp: TcpSock, ce: boolean): void {
  const ca = stateOf(tp);
  if (ca.ce !== ce) {
    if ((tp.ackPending & ICSK_ACK_TIMER) !== 0) {
      echo(tp, ca.ce);
      tcpSendAckSeq(tp, ca.priorRcvNxt);
    }
    tp.ackPending |= ICSK_ACK_NOW;
  }
  ca.priorRcvNxt = tp.rcvNxt;
  ca.ce = ce;
  echo(tp, ce);
}

/** Whether the next ACKs carry ECE. */
function echo(tp: TcpSock, ce: boolean): void {
  tp.ecnFlags = ce ? tp.ecnFlags | TCP_ECN_DEMAND_CWR : tp.ecnFlags & ~TCP_ECN_DEMAND_CWR;
}

/** DCTCP. Linux: struct tcp_congestion_ops dctcp. */
export function dctcpOps(): TcpCongestionInit {
  return {
    name: "dctcp",
    needsEcn: true,
    init: (tp) => {
      tp.icskCaPriv = new DctcpState(tp);
    },
    ssthresh,
    inAckEvent,
    cwndEvent: (tp, event) => {
      if (event === CA_EVENT_ECN_IS_CE || event === CA_EVENT_ECN_NO_CE) {
        marked(tp as TcpSock, event === CA_EVENT_ECN_IS_CE);
      } else if (event === CA_EVENT_LOSS) reactToLoss(tp);
    },
    setState: (tp, state) => {
      if (state === TCP_CA_RECOVERY && tp.icskCaState !== state) reactToLoss(tp);
    },
    undoCwnd: (tp) => Math.max(tp.sndCwnd, stateOf(tp).lossCwnd),
  };
}

/**
 * The plugin: registers `dctcp`; connections choose it by TCP_CONGESTION. It is for networks whose switches mark early
 * and whose hosts all speak it: RFC 8257 section 5.
 *
 * @example
 * ```ts
 * import { createHost } from "@netpath/stack";
 * import { dctcp, TCP } from "@netpath/stack/tcp";
 *
 * using host = createHost({ name: "a", plugins: [dctcp()] });
 * host.net.get(TCP).setDefaultCongestionControl("dctcp");
 * ```
 */
export function dctcp(): Plugin {
  return { name: "dctcp", api: 1, requires: [TCP], setup: (net: Net) => tcpRegisterCongestionControl(net, dctcpOps()) };
}
