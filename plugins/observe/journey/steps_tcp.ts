/**
 * What TCP's tracepoints mean to a reader. See steps.ts.
 */
import { row, type Step } from "./step.ts";
import { stateName } from "./segment.ts";

const CA_STATES: readonly string[] = ["Open", "Disorder", "CWR", "Recovery", "Loss"];
const bytes = (n: number): string => n === 1 ? "1 byte" : `${n} bytes`;

/** Rows by tracepoint. */
export const TCP_STEPS: Readonly<Record<string, Step>> = Object.freeze({
  "tcp:tcp_sendmsg": row("down", "T4", (r) => `TCP: ${bytes(r.a)} to send`, { begins: true }),
  "tcp:tcp_sendmsg_copy": row("down", "T2 T3 C1", (r) => `sk_buff in the send buffer: ${bytes(r.a)} in`),
  "tcp:tcp_transmit_skb": row("down", "T4 T5 T7 C2", (r) => `TCP header pushed, ${r.segment?.brief ?? "segment"}`, {
    remark: "tcp-clone",
  }),
  "tcp:tcp_retransmit_skb": row("down", "T5", (r) => `sent again from the original that was kept, ${bytes(r.b)}`, {
    begins: true,
  }),
  "tcp:tcp_v4_rcv": row("up", "R20 R21", "TCP: header and checksum; which socket?"),
  "tcp:tcp_v4_do_rcv": row("up", "R21", (r) => `the four-tuple finds ${r.what}`),
  "tcp:tcp_ack": row("up", "", (r) => `ACK taken: ${r.b} segment${r.b === 1 ? "" : "s"} in flight`),
  "tcp:tcp_clean_rtx_queue": row("up", "T21 C2", (r) => `acknowledged: the original of ${bytes(r.b)} is freed`),
  "tcp:tcp_queue_rcv": row("up", "R22", (r) => `TCP header stripped; ${bytes(r.a)} in order: receive queue`),
  "tcp:tcp_data_queue_ofo": row("up", "", "something before it is missing: out-of-order queue"),
  "tcp:tcp_recvmsg": row("up", "R23", (r) => `the reader copies ${bytes(r.a)} out`),
  "sock:inet_sock_set_state": row("machine", "", (r) => `${r.what}: ${stateName(r.a)} becomes ${stateName(r.b)}`),
  "tcp:tcp_send_reset": row("down", "", "a RST is due", { begins: true }),
  "tcp:tcp_receive_reset": row("up", "", (r) => `RST: ${r.what} ends`),
  "tcp:tcp_cong_state_set": row(
    "machine",
    "",
    (r) => `congestion state ${CA_STATES[r.a] ?? r.a} becomes ${CA_STATES[r.b] ?? r.b}`,
  ),
});
