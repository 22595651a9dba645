/**
 * What the path functions of ipv4 share: the records of the neighbours, plain fields for the tunables, tables.
 *
 * @module
 */
import { type CopyLedger, type EventBus, G_IP, type Machine, type Net, type SkBuff } from "../../../core/mod.ts";
import { INET, type Inet, type InetPeers, inetPeers, type SnmpMib } from "../inet/contract.ts";
import { NETFILTER, type Netfilter } from "../netfilter/contract.ts";
import { DEVINET, type Devinet } from "../devinet/contract.ts";
import { NEIGH, type NeighTable } from "../neigh/contract.ts";
import { FIB, type Fib } from "../fib/contract.ts";
import { IPCB_FLAGS, IPCB_FRAG_MAX_SIZE, IPCB_OPT, IPCB_OPTLEN, IPCB_WORDS } from "./contract.ts";
import { IpIdents } from "./ident.ts";
import { FragTable, ipExpire } from "./reassembly.ts";

/** The part of netfilter that the path calls. */
export type NfHooks = Pick<Netfilter, "active" | "run">;

/** Stands in where the net has no netfilter: five hooks that nobody registers at. */
const NO_NETFILTER: NfHooks = {
  active: new Int32Array(5),
  run: (_hook, skb, _in, _out, okfn, state) => okfn(state, skb),
};

/** Tunables, as plain fields. */
export class Ipv4Conf {
  /** net.ipv4.ip_default_ttl. */
  defaultTtl = 64;
  /** net.ipv4.ip_forward_update_priority: a forwarded packet gets its priority from its TOS. */
  fwdUpdatePriority = 1;
  /** net.ipv4.ip_forward_use_pmtu: forwarded packets obey learnt path MTUs too. */
  fwdUsePmtu = 0;
  /** net.ipv4.ipfrag_high_thresh: bytes at which no new fragment is taken. */
  fragHighThresh = 4_194_304;
  /** net.ipv4.ipfrag_low_thresh: kept for its name; Linux ignores it since 4.17 too. */
  fragLowThresh = 3_145_728;
  /** net.ipv4.ipfrag_time, in ms here. */
  fragTimeout = 30_000;
  /** net.ipv4.ipfrag_max_dist: fragments of others from one source between two of one datagram. */
  fragMaxDist = 64;
}

/** Ids of the tracepoints. */
export class Ipv4Tracepoints {
  /** ip_rcv: the packet as it came. */
  declare readonly ipRcv: number;
  /** ip_rcv_finish: header checked, PRE_ROUTING passed. */
  declare readonly ipRcvFinish: number;
  /** The route decision: a = RTN_*, b = 1 if it is to be forwarded, obj = Dst. */
  declare readonly ipRoute: number;
  /** ip_local_deliver. */
  declare readonly ipLocalDeliver: number;
  /** ip_local_deliver_finish: the header is stripped; a = protocol. */
  declare readonly ipLocalDeliverFinish: number;
  /** ip_forward: a = TTL before. */
  declare readonly ipForward: number;
  /** ip_forward_finish: FORWARD passed. */
  declare readonly ipForwardFinish: number;
  /** ip_make_skb: a = payload bytes copied in, b = parts. */
  declare readonly ipMakeSkb: number;
  /** ip_local_out: the header is there; a = id. */
  declare readonly ipLocalOut: number;
  /** ip_output, ip_mc_output: LOCAL_OUT or FORWARD passed. */
  declare readonly ipOutput: number;
  /** ip_finish_output: POST_ROUTING passed; a = MTU. */
  declare readonly ipFinishOutput: number;
  /** ip_finish_output2: to the neighbour; a = next hop. */
  declare readonly ipFinishOutput2: number;
  /** ip_do_fragment: a = MTU, b = 1: fast path, without copies. */
  declare readonly ipDoFragment: number;
  /** One fragment is ready: a = offset, b = payload bytes. */
  declare readonly ipFragment: number;
  /** ip_defrag: a = offset, b = payload bytes. */
  declare readonly ipDefrag: number;
  /** ip_frag_reasm: the datagram is whole; a = fragments. */
  declare readonly ipFragReasm: number;
  /** ip_expire: the first fragment of a datagram that will never be whole. */
  declare readonly ipExpire: number;
  /** ip_rcv_options: a = length of the options. */
  declare readonly ipRcvOptions: number;
  /** dev_loopback_xmit: a copy of our own multicast or broadcast comes back to us. */
  declare readonly devLoopbackXmit: number;

  /** Defines them. */
  constructor(bus: EventBus) {
    const tp = (linux: string, name: string = linux): number => bus.define({ name: `ip:${name}`, linux, group: G_IP });
    this.ipRcv = tp("ip_rcv");
    this.ipRcvFinish = tp("ip_rcv_finish");
    this.ipRoute = tp("ip_rcv_finish_core", "ip_route_input");
    this.ipLocalDeliver = tp("ip_local_deliver");
    this.ipLocalDeliverFinish = tp("ip_local_deliver_finish");
    this.ipForward = tp("ip_forward");
    this.ipForwardFinish = tp("ip_forward_finish");
    this.ipMakeSkb = tp("ip_make_skb");
    this.ipLocalOut = tp("__ip_local_out", "ip_local_out");
    this.ipOutput = tp("ip_output");
    this.ipFinishOutput = tp("ip_finish_output");
    this.ipFinishOutput2 = tp("ip_finish_output2");
    this.ipDoFragment = tp("ip_do_fragment");
    this.ipFragment = tp("ip_frag_next", "ip_fragment");
    this.ipDefrag = tp("ip_defrag");
    this.ipFragReasm = tp("ip_frag_reasm");
    this.ipExpire = tp("ip_expire");
    this.ipRcvOptions = tp("ip_rcv_options");
    this.devLoopbackXmit = tp("dev_loopback_xmit");
  }
}

/** State of ipv4 in one net. It survives a swap of the plugin. */
export class Ipv4State {
  /** The net. */
  declare readonly net: Net;
  /** Its machine. */
  declare readonly machine: Machine;
  /** Tracepoints fire here. */
  declare readonly bus: EventBus;
  /** Their ids. */
  declare readonly tp: Ipv4Tracepoints;
  /** Copies are counted here. */
  declare readonly ledger: CopyLedger;
  /** What is above. */
  declare readonly inet: Inet;
  /** Counters. */
  declare readonly mib: SnmpMib;
  /** Routing. */
  declare readonly fib: Fib;
  /** Neighbours. */
  declare readonly neigh: NeighTable;
  /** Addresses. */
  declare readonly devinet: Devinet;
  /** Hooks. */
  declare nf: NfHooks;
  /** Tunables. */
  readonly conf: Ipv4Conf = new Ipv4Conf();
  /** Identification. */
  declare readonly idents: IpIdents;
  /** Drop reason of our own: fragments that contradict one another. */
  declare readonly fragCorrupt: number;
  /** Datagrams that are not whole yet. */
  declare readonly frags: FragTable;
  /** Rate limits per host. */
  declare readonly peers: InetPeers;
  /** Word of `skb.cb` with IPSKB_* flags. */
  declare readonly cbFlags: number;
  /** Word of `skb.cb`: where the options are. */
  declare readonly cbOpt: number;
  /** Word of `skb.cb`: length of the options. */
  declare readonly cbOptlen: number;
  /** Word of `skb.cb`: largest fragment. */
  declare readonly cbFragMaxSize: number;
  /** Ledger's site of the slow path of fragmentation. */
  declare readonly siteFragment: number;
  /** Ledger's site of the headers of fragments. */
  declare readonly siteFragmentHeader: number;
  /** Ledger's site of options that a caller gave. */
  declare readonly siteOptions: number;

  /** State for `net`; the tokens that ipv4 requires must be there. */
  constructor(net: Net) {
    const machine = net.machine;
    this.net = net;
    this.machine = machine;
    this.bus = machine.bus;
    this.tp = new Ipv4Tracepoints(machine.bus);
    this.ledger = machine.ledger;
    this.inet = net.get(INET);
    this.mib = this.inet.mib;
    this.fib = net.get(FIB);
    this.neigh = net.get(NEIGH);
    this.devinet = net.get(DEVINET);
    this.nf = NO_NETFILTER;
    this.idents = new IpIdents(machine);
    this.frags = new FragTable(() => machine.platform.random(), (queue) => ipExpire(this, queue));
    this.peers = inetPeers(net);
    this.fragCorrupt = machine.reasons.register({
      name: "FRAG_CORRUPT",
      layer: "ipv4",
      text: "The fragments contradict one another and make no datagram.",
      advice: "An attack, or a broken sender: look at offsets, MF and ECN.",
    });
    const cb = machine.claimCb("ipv4", IPCB_WORDS);
    this.cbFlags = cb + IPCB_FLAGS;
    this.cbOpt = cb + IPCB_OPT;
    this.cbOptlen = cb + IPCB_OPTLEN;
    this.cbFragMaxSize = cb + IPCB_FRAG_MAX_SIZE;
    this.siteFragment = machine.ledger.site("ip_fragment", "cpu");
    this.siteFragmentHeader = machine.ledger.site("ip_fragment_header", "header");
    this.siteOptions = machine.ledger.site("ip_options_build", "header");
  }

  /** Finds netfilter, if the net has it. */
  findHooks(): void {
    this.nf = this.net.find(NETFILTER) ?? NO_NETFILTER;
  }
}

/** Empties a packet's control block. Borrows `skb`. */
export function ipcbClear(st: Ipv4State, skb: SkBuff): void {
  const cb = skb.cb;
  const at = st.cbFlags;
  cb[at] = 0;
  cb[at + 1] = 0;
  cb[at + 2] = 0;
  cb[at + 3] = 0;
}
