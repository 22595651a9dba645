/** A packet in the words of the kernel's log. Linux: net/netfilter/nf_log_syslog.c. */
import { ipToString } from "../inet/header.ts";
import { TCP_FLAGS } from "./compile.ts";
import type { Fields } from "./match.ts";

const NAMES: Readonly<Record<number, string>> = { 1: "ICMP", 6: "TCP", 17: "UDP", 132: "SCTP" };

/** `IN=eth0 OUT= SRC=10.0.0.1 DST=10.0.0.2 LEN=60 TTL=64 PROTO=TCP SPT=4096 DPT=80 SYN`. */
export function describe(f: Fields, ttl: number): string {
  const flags = f.flags < 0 ? [] : Object.keys(TCP_FLAGS).filter((n) => (f.flags & TCP_FLAGS[n]) !== 0);
  return [
    `IN=${f.iif} OUT=${f.oif} SRC=${ipToString(f.saddr | 0)} DST=${ipToString(f.daddr | 0)} LEN=${f.len} TTL=${ttl}`,
    `PROTO=${NAMES[f.protocol] ?? f.protocol}`,
    ...(f.sport < 0 ? [] : [`SPT=${f.sport} DPT=${f.dport}`]),
    ...(f.icmpType < 0 ? [] : [`TYPE=${f.icmpType}`]),
    ...flags.map((n) => n.toUpperCase()),
  ].join(" ");
}
