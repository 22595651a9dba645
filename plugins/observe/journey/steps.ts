/**
 * What each tracepoint means to a reader: one sentence, the direction, the claims of the source that it shows, and the
 * remark that belongs there. A tracepoint without a row shows its name.
 */
import { ERRNO, errnoName } from "../../../core/mod.ts";
import { ipToString } from "../../network/inet/contract.ts";
import type { JourneyRecord } from "./contract.ts";
import { row as step, type Step } from "./step.ts";
import { TCP_STEPS } from "./steps_tcp.ts";

const SOFTIRQS: Readonly<Record<number, string>> = { 2: "NET_TX", 3: "NET_RX" };
const softirq = (n: number): string => SOFTIRQS[n] ?? `softirq ${n}`;

const ROUTE_TYPES: Readonly<Record<number, string>> = {
  1: "unicast",
  2: "local",
  3: "broadcast",
  5: "multicast",
  6: "blackhole",
  7: "unreachable",
  8: "prohibit",
};
const PROTOCOLS: Readonly<Record<number, string>> = { 1: "ICMP", 2: "IGMP", 6: "TCP", 17: "UDP" };
const PACKET_TYPES: readonly string[] = ["us", "all", "a group", "somebody else"];
const NUD: Readonly<Record<number, string>> = {
  0: "NONE",
  1: "INCOMPLETE",
  2: "REACHABLE",
  4: "STALE",
  8: "DELAY",
  16: "PROBE",
  32: "FAILED",
  64: "NOARP",
  128: "PERMANENT",
};
const nud = (state: number): string => NUD[state] ?? `0x${state.toString(16)}`;
const of = (r: JourneyRecord): string => r.what === "" ? "" : ` of ${r.what}`;
const bytes = (n: number): string => n === 1 ? "1 byte" : `${n} bytes`;
const type = (n: number): string => `0x${n.toString(16).padStart(4, "0")}`;
const result = (rc: number): string => rc < 0 ? errnoName(rc) : String(rc);

const IRQ = Object.freeze({
  "irq:irq_handler_entry": step("machine", "R3 R6", (r) => `hard interrupt ${r.a}: handler of ${r.what}`, {
    begins: true,
  }),
  "irq:irq_handler_exit": step("machine", "R7 R9", (r) => `handler returns; ${r.what} stays masked`, {
    begins: true,
    remark: "irq-mask",
  }),
  "irq:softirq_raise": step("machine", "R8", (r) => `softirq ${softirq(r.a)} raised`, { begins: true }),
  "irq:softirq_entry": step("machine", "R10", (r) => `softirq ${softirq(r.a)} runs`, {
    begins: true,
    remark: "ksoftirqd",
  }),
  "irq:softirq_exit": step("machine", "", (r) => `softirq ${softirq(r.a)} ends`),
  "irq:ksoftirqd_wake": step("machine", "R10", "too much for one exit: ksoftirqd is woken"),
  "napi:napi_schedule": step("machine", "R5", (r) => `NAPI${of(r)} goes on the poll list`, { begins: true }),
  "napi:napi_poll": step("machine", "R4 R11", (r) => `NAPI${of(r)} polled: ${r.a} of at most ${r.b}`, {
    remark: "napi-budget",
  }),
  "napi:napi_complete_done": step("machine", "R5 R9", (r) => `ring empty: NAPI${of(r)} done, irq unmasked`),
});

const DEVICE = Object.freeze({
  "net:netif_rx": step("up", "", "waits in the CPU's backlog"),
  "net:netif_receive_skb": step("up", "R13 R16", (r) => `handed up by type ${type(r.layout?.protocol ?? 0)}`),
  "net:net_dev_queue": step("down", "T14", (r) => `given to the transmit queue of ${r.dev}`),
  "net:net_dev_start_xmit": step("down", "T15 T16", (r) => `the driver of ${r.dev} takes it`, { remark: "tx-softirq" }),
  "net:net_dev_xmit": step("down", "", (r) => r.a === 0 ? "the driver has it" : "the driver is busy: put back"),
  "qdisc:qdisc_enqueue": step("down", "T14", (r) => `queued in ${r.what} behind ${r.a}`),
  "qdisc:qdisc_dequeue": step("down", "T16", (r) => `taken from ${r.what}`),
  "skb:kfree_skb": step("machine", "", (r) => `dropped: ${r.drop?.name ?? ""}`),
  "skb:consume_skb": step("machine", "", "freed: delivered or sent"),
  "nic:tx_post": step("down", "T17 T18", (r) => `mapped for DMA, on the TX ring: entry ${r.b}`),
  "nic:doorbell": step("down", "T19", (r) => `doorbell: ${r.a} descriptor${r.a === 1 ? "" : "s"} for the NIC`),
  "nic:dma": step("down", "R1 R2", (r) => `wire, DMA into RX ring of ${r.what}, ${r.b} left`),
  "nic:rx_missed": step("down", "", (r) => `lost: no descriptor in the RX ring of ${r.what}`),
  "nic:rx_frame": step("up", "R12", "off the RX ring: an sk_buff around the bytes"),
  "nic:tx_clean": step("down", "T20", "sent: off the TX ring, unmapped"),
  "veth:veth_xmit": step("down", "", (r) => `handed to the peer ${r.what}: nothing is copied`),
  "veth:veth_poll": step("up", "", "taken from the peer's queue"),
  "tap:write": step("down", "T19", (r) => `written to the kernel's ${r.dev}: ${bytes(r.a)}`),
  "tap:read": step("up", "R12", (r) => `read from the kernel's ${r.dev}: ${bytes(r.a)}`),
  "channel:xmit": step("down", "", "out: whoever reads the channel has it"),
  "eth:eth_type_trans": step(
    "up",
    "R14 R15",
    (r) => `frame ok, header off: ${type(r.a)}, to ${PACKET_TYPES[r.b] ?? "?"}`,
  ),
  "eth:eth_header": step("down", "T7 T13", "Ethernet header pushed"),
});

const HOOKS: readonly string[] = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"];

const NETFILTER = Object.freeze({
  "nf:nf_hook_slow": step("machine", "T10", (r) => `netfilter ${HOOKS[r.a]}: ${r.b} hook${r.b === 1 ? "" : "s"}`),
  "nf:nf_hook_entry_hookfn": step("machine", "T10", (r) => `hook "${r.what}" says ${r.verdict}`),
  "nf:nf_queue": step("machine", "", (r) => `queued for user code by "${r.what}", ${r.b} waiting`),
  "nf:nf_reinject": step("machine", "", (r) => `user code answered: goes on in ${HOOKS[r.a]}`),
});

const NETWORK = Object.freeze({
  "neigh:neigh_output": step("down", "T12", (r) => `next hop ${r.what}: neighbour is ${nud(r.a)}`),
  "neigh:neigh_event_send_done": step("down", "T12", (r) => `parked until ARP answers: ${r.a} waiting`),
  "neigh:neigh_connected_output": step("down", "T12", (r) => `neighbour ${r.what} is known`),
  "neigh:neigh_create": step("machine", "", (r) => `neighbour ${r.what} made`, { begins: true }),
  "neigh:neigh_update": step("machine", "T12", (r) => `neighbour ${r.what} becomes ${nud(r.a)}`),
  "neigh:neigh_timer_handler": step("machine", "", (r) => `timer of neighbour ${r.what} in ${nud(r.a)}`, {
    begins: true,
  }),
  "neigh:neigh_cleanup_and_release": step("machine", "", (r) => `neighbour ${r.what} removed`),
  "arp:arp_solicit": step("down", "T12", (r) => `whoever has ${r.what} is asked`),
  "arp:arp_create": step("down", "T12", (r) => `ARP ${r.a === 1 ? "request" : "reply"} built`),
  "arp:arp_xmit": step("down", "", "ARP packet sent"),
  "arp:arp_rcv": step("up", "R13", "ARP packet checked"),
  "arp:arp_process": step("up", "", (r) => `ARP ${r.a === 1 ? "request: is it one of ours?" : "reply: learn"}`),
  "fib:ip_route_output": step(
    "down",
    "T8",
    (r) => r.b === 0 ? `routing table: no way to ${ipToString(r.a)}` : `routing table: ${ipToString(r.a)} by ${r.what}`,
    { begins: true },
  ),
  "fib:ip_route_input": step("up", "R17", (r) => `routing table: where to with ${ipToString(r.a)}?`),
  "fib:fib_validate_source": step(
    "up",
    "",
    (r) => `source ${ipToString(r.a)} ${r.b === 0 ? "is plausible here" : "is not plausible here"}`,
  ),
  "fib:ip_rt_update_pmtu": step("up", "", (r) => `path MTU to ${ipToString(r.a)} is ${r.b}`),
  "icmp:icmp_rcv": step("up", "R20", (r) => `ICMP: checksum right, type ${r.a} code ${r.b}`),
  "icmp:icmp_echo": step("up", "", (r) => `echo request, id ${r.a} seq ${r.b}: answer it`),
  "icmp:icmp_reply": step("down", "", "reply: a new packet over the same bytes"),
  "icmp:icmp_unreach": step("up", "", (r) => `ICMP error ${r.a}/${r.b}: whose packet is quoted?`),
  "icmp:icmp_send": step("machine", "", (r) => `an ICMP error is due: type ${r.a} code ${r.b}`),
  "icmp:icmp_push_reply": step("down", "", (r) => `ICMP error ${r.a}/${r.b} built, quotes the packet`),
  "ip:ip_rcv": step("up", "", "IPv4: version, lengths, header checksum"),
  "ip:ip_rcv_finish": step("up", "", "header right, PRE_ROUTING passed"),
  "ip:ip_rcv_options": step("up", "", (r) => `IP options, ${bytes(r.a)}`),
  "ip:ip_route_input": step(
    "up",
    "R17",
    (r) => r.b === 1 ? "route: for another host, forward" : `route: ${ROUTE_TYPES[r.a] ?? r.a}`,
  ),
  "ip:ip_local_deliver": step("up", "", "for us: whole datagrams only"),
  "ip:ip_local_deliver_finish": step(
    "up",
    "R19 R20",
    (r) => `IP header stripped; protocol ${r.a} is ${PROTOCOLS[r.a] ?? "unknown"}`,
  ),
  "ip:ip_forward": step("up", "R18", (r) => `forwarded: TTL ${r.a} goes down by one`),
  "ip:ip_forward_finish": step("down", "", "FORWARD passed: on the way down"),
  "ip:ip_make_skb": step("down", "T2 T3 T6 C1", (r) => `sk_buff: ${bytes(r.a)} in, room for headers`),
  "ip:ip_local_out": step("down", "T7 T9", "IP header pushed and filled in"),
  "ip:ip_output": step("down", "T8", (r) => `the route says ${ROUTE_TYPES[r.a] ?? r.a}, by ${r.dev}`),
  "ip:ip_finish_output": step("down", "T11", (r) => `fits the MTU? (${r.a})`),
  "ip:ip_finish_output2": step("down", "T8", (r) => `next hop ${ipToString(r.a)}`),
  "ip:ip_do_fragment": step(
    "down",
    "T11 C3",
    (r) => `over the MTU ${r.a}: ${r.b === 1 ? "in pieces already, no copy" : "slow path, copied"}`,
    { remark: "fragment-copy" },
  ),
  "ip:ip_fragment": step("down", "T11", (r) => `fragment at ${r.a}, ${bytes(r.b)}`),
  "ip:ip_defrag": step("up", "", (r) => `fragment at ${r.a}, ${bytes(r.b)}: kept for now`),
  "ip:ip_frag_reasm": step("up", "", (r) => `whole again: ${r.a} fragments chained, not copied`),
  "ip:ip_expire": step("up", "", "the rest never came: reassembly gives up"),
  "ip:dev_loopback_xmit": step("down", "", "a copy of our own broadcast or multicast comes back"),
});

const SOCKET = Object.freeze({
  "syscalls:sys_enter_sendmsg": step("down", "T1", (r) => `system call: sendmsg(fd ${r.a}, ${bytes(r.b)})`, {
    begins: true,
  }),
  "syscalls:sys_exit_sendmsg": step("machine", "", (r) => `sendmsg() returns ${result(r.b)}`),
  "syscalls:sys_enter_recvmsg": step("up", "R23", (r) => `system call: recvmsg(fd ${r.a})`, { begins: true }),
  "syscalls:sys_exit_recvmsg": step(
    "machine",
    "",
    (r) => r.b === -ERRNO.EAGAIN ? "EAGAIN: nothing in that queue" : `recvmsg() returns ${result(r.b)}`,
  ),
  "ping:ping_v4_sendmsg": step("down", "T4", (r) => `ping socket: ${bytes(r.a)}`, { begins: true }),
  "ping:ping_v4_push_pending_frames": step("down", "T4 T7", (r) => `ICMP header, id ${r.a} seq ${r.b}, checksum`),
  "ping:ping_rcv": step("up", "R21 R22", (r) => `echo reply: queued on the socket of id ${r.a}`),
  "ping:ping_recvmsg": step("up", "R23", (r) => `the reader copies ${bytes(r.a)} out`),
  "ping:ping_err": step("up", "", (r) => `an ICMP error for the ping socket: type ${r.a} code ${r.b}`),
  "raw:raw_sendmsg": step("down", "T4", (r) => `raw socket: ${bytes(r.a)}`, { begins: true }),
  "raw:raw_rcv": step("up", "R21 R22", (r) => `a copy for a raw socket of protocol ${r.a}: ${bytes(r.b)}`),
  "raw:raw_recvmsg": step("up", "R23", (r) => `the reader copies ${bytes(r.a)} out`),
  "raw:raw_err": step("up", "", (r) => `an ICMP error for a raw socket: type ${r.a} code ${r.b}`),
  "packet:packet_sendmsg": step("down", "T4", (r) => `packet socket: ${bytes(r.a)}`, { begins: true }),
  "packet:packet_rcv": step("up", "R22", (r) => `a copy for a packet socket: ${bytes(r.a)}`),
  "packet:packet_recvmsg": step("up", "R23", (r) => `the reader copies ${bytes(r.a)} out`),
  "udp:udp_sendmsg": step("down", "T4", (r) => `UDP: ${bytes(r.a)} to port ${r.b}`, { begins: true }),
  "udp:udp_send_skb": step("down", "T4 T7", (r) => `UDP header and checksum, ${bytes(r.b)}`),
  "udp:udp_rcv": step("up", "R20", "UDP: length and checksum"),
  "udp:udp4_csum_init": step("up", "R21", (r) => `which socket? port ${r.a}, from port ${r.b}`),
  "udp:udp_queue_rcv_skb": step("up", "R21", (r) => `UDP header stripped; it is for ${r.what}`),
  "udp:udp_fail_queue_rcv_skb": step("up", "", (r) => `the receive queue of ${r.what} refuses it`),
  "udp:udp_recvmsg": step("up", "R23", (r) => `the reader copies ${bytes(r.a)} out`),
  "udp:udp_err": step("up", "", (r) => `an ICMP error for ${r.what}`),
  "sock:sk_data_ready": step("up", "R22 R24", (r) => `queued on ${r.what}; its reader will wake`),
  "sock:sock_def_readable": step("machine", "R24", (r) => `the reader of ${r.what} is woken`, {
    remark: "wake-then-copy",
  }),
});

const STEPS: Readonly<Record<string, Step>> = Object.freeze({
  ...IRQ,
  ...DEVICE,
  ...NETFILTER,
  ...NETWORK,
  ...SOCKET,
  ...TCP_STEPS,
});

/** Whether a tracepoint has words of its own. */
export function hasStep(point: string): boolean {
  return point in STEPS;
}

/** Lines of transmit queues: `eth0-tx-0`. */
const COMPLETION: Readonly<Record<string, Step>> = Object.freeze({
  "irq:irq_handler_entry": step("machine", "T20", (r) => `completion interrupt ${r.a}: handler of ${r.what}`, {
    begins: true,
  }),
  "irq:irq_handler_exit": step("machine", "T20", (r) => `handler returns; ${r.what} stays masked`, { begins: true }),
});

/** The row of an event's tracepoint. */
export function stepOf(r: JourneyRecord): Step {
  return (r.what.includes("-tx-") ? COMPLETION[r.point] : undefined) ?? STEPS[r.point] ?? {
    text: () => r.what === "" ? r.point : `${r.point} ${r.what}`,
    way: "machine",
    claims: [],
  };
}
