/**
 * What `ss` asks. Linux: tcp_diag_dump(), net/ipv4/tcp_diag.c, net/ipv4/inet_diag.c.
 */
import { TCP_LISTEN, TCP_SYN_RECV, TCP_SYN_SENT, type TcpDiag } from "./contract.ts";
import { acceptqLen } from "./minisocks.ts";
import type { TcpEntry } from "./table.ts";
import { TCP_KIND_REQUEST, TCP_KIND_SOCK, type TcpSock } from "./tcp_sock.ts";
import type { TcpState } from "./tcp_state.ts";

/** Listeners first, then connections, requests and TIME-WAIT: each by its ports, so that two runs give one order. */
export function tcpDiag(st: TcpState): TcpDiag[] {
  const order = (a: TcpDiag, b: TcpDiag): number =>
    a.sport - b.sport || a.dport - b.dport || a.saddr - b.saddr || a.daddr - b.daddr;
  const { listening, established } = st.tables;
  return [listening, established].flatMap((table) => table.list().map(diagOf).sort(order));
}

function diagOf(entry: TcpEntry): TcpDiag {
  if (entry.kind === TCP_KIND_SOCK) return ofSock(entry);
  const { saddr, sport, daddr, dport } = entry;
  const state = entry.kind === TCP_KIND_REQUEST ? TCP_SYN_RECV : entry.substate;
  return { state, saddr, sport, daddr, dport, rqueue: 0, wqueue: 0, sk: null };
}

/** Linux: tcp_diag_get_info(). */
function ofSock(tp: TcpSock): TcpDiag {
  const { sk } = tp;
  const { state, saddr, sport, daddr, dport } = sk;
  const listens = state === TCP_LISTEN;
  const opens = state === TCP_SYN_SENT;
  return {
    state,
    saddr,
    sport,
    daddr,
    dport,
    rqueue: listens ? acceptqLen(tp) : opens ? 0 : Math.max(0, (tp.rcvNxt - tp.copiedSeq) | 0),
    wqueue: listens ? tp.maxAckBacklog : (tp.writeSeq - tp.sndUna) | 0,
    sk,
  };
}
