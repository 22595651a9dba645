/** What `nstat` of iproute2 prints: the counters of /proc/net/snmp and /proc/net/netstat, in the kernel's order. */
import type { Net } from "../../../../core/mod.ts";
import { INET } from "../../../network/inet/mod.ts";

/** Settings and levels among the counters: nstat leaves them out. */
const NO_COUNTERS = ["TcpRtoAlgorithm", "TcpRtoMin", "TcpRtoMax", "TcpMaxConn", "TcpCurrEstab"];

/** Where the kernel has a counter that its group here keeps elsewhere: behind which. */
const BEHIND: Readonly<Record<string, string>> = {
  TcpExtBeyondWindow: "TcpExtPAWSEstab",
  IpExtInCsumErrors: "IpExtOutOctets",
  IpExtReasmOverlaps: "IpExtInCsumErrors",
};

/** `nstat -a`; `zeros`: `nstat -az`, those that are 0, too. */
export function nstat(net: Net, zeros: boolean): string[] {
  const shown = counters(net).filter(([name, value]) => (zeros || value !== 0) && !NO_COUNTERS.includes(name));
  return [
    "#kernel",
    ...shown.map(([name, value]) => `${name.padEnd(32)}${String(value).padEnd(16)}${"0.0".padStart(6)}`),
  ];
}

function counters(net: Net): [string, number][] {
  const mib = net.find(INET)?.mib;
  if (mib === undefined) return [];
  const group = (prefix: string, values: Readonly<Record<string, number>>): [string, number][] =>
    Object.entries(values).map(([name, value]) => [prefix + name, value]);
  // Types of ICMP messages are there only from the first message on.
  const types = (prefix: string, values: Float64Array): [string, number][] =>
    [...values].flatMap((value, type): [string, number][] => value === 0 ? [] : [[`${prefix}${type}`, value]]);
  const all = [
    ...group("Ip", mib.ip),
    ...group("Icmp", mib.icmp),
    ...types("IcmpMsgInType", mib.icmpMsg.inType),
    ...types("IcmpMsgOutType", mib.icmpMsg.outType),
    ...group("Tcp", mib.tcp),
    ...group("Udp", mib.udp),
    ...group("TcpExt", mib.tcpExt),
    ...group("IpExt", mib.ipExt),
  ];
  for (const [name, before] of Object.entries(BEHIND)) {
    const from = all.findIndex(([n]) => n === name);
    if (from < 0) continue;
    const [moved] = all.splice(from, 1);
    all.splice(1 + all.findIndex(([n]) => n === before), 0, moved);
  }
  return all;
}
