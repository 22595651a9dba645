/**
 * The filter's contract: rules as data. Linux: nftables' filter chains; words from nft(8).
 *
 * @module
 */
import type { Token } from "../../../core/mod.ts";

/** A place of the path; nft's name of the hook. */
export type FilterChain = "prerouting" | "input" | "forward" | "output" | "postrouting";

/** What happens to a packet. */
export type FilterVerdict = "accept" | "drop" | "reject";

/** How a rejected packet is answered. `tcp-reset` is for TCP only; `auto` is that for TCP, else `port-unreachable`. */
export type FilterReject =
  | "auto"
  | "tcp-reset"
  | "net-unreachable"
  | "host-unreachable"
  | "prot-unreachable"
  | "port-unreachable"
  | "net-prohibited"
  | "host-prohibited"
  | "admin-prohibited";

/**
 * One rule: all that it names must match. Values in a list are alternatives; `!` in front of a text means "not". A rule
 * without a verdict counts and logs, and the packet goes on to the next.
 */
export interface FilterRule {
  /** Where. */
  readonly chain: FilterChain;
  /** `tcp`, `udp`, `icmp`, or a number from 0 to 255. */
  readonly protocol?: string | number | readonly (string | number)[];
  /** Source: `10.0.0.1`, `10.0.0.0/8`, `10.0.0.1-10.0.0.9`. */
  readonly saddr?: string | readonly string[];
  /** Destination. */
  readonly daddr?: string | readonly string[];
  /** Source port of TCP or UDP: `53`, `"1024-65535"`. */
  readonly sport?: number | string | readonly (number | string)[];
  /** Destination port. */
  readonly dport?: number | string | readonly (number | string)[];
  /** Device it came in by; a `*` at the end stands for the rest of the name. */
  readonly iif?: string | readonly string[];
  /** Device it leaves by. */
  readonly oif?: string | readonly string[];
  /** TCP flags that are set, of those that are looked at: `"syn"` of itself, `"syn/syn,ack,fin,rst"` a new connection. */
  readonly tcpFlags?: string;
  /** ICMP type: `echo-request`, `echo-reply`, `destination-unreachable`, `time-exceeded`, ..., or a number. */
  readonly icmpType?: string | number | readonly (string | number)[];
  /** A text for people; shown in counters and errors. */
  readonly comment?: string;
  /** Calls {@linkcode FilterOptions.onLog} with this prefix. */
  readonly log?: string;
  /** The end of it; absent: on to the next rule. */
  readonly verdict?: FilterVerdict;
  /** How to reject. Default auto. */
  readonly rejectWith?: FilterReject;
}

/** All rules at once. */
export interface FilterRuleset {
  /** In order; the first with a verdict that matches decides. */
  readonly rules: readonly FilterRule[];
  /** What happens to what no rule decided. Default accept. */
  readonly policy?: { readonly [chain in FilterChain]?: "accept" | "drop" };
}

/** A packet that a rule with `log` matched. */
export interface FilterLogEntry {
  /** The rule's text. */
  readonly prefix: string;
  /** Where. */
  readonly chain: FilterChain;
  /** As the kernel's log has it: `IN=eth0 OUT= SRC=10.0.0.1 DST=10.0.0.2 LEN=60 TTL=64 PROTO=TCP SPT=1 DPT=80 SYN`. */
  readonly text: string;
  /** Virtual ns. */
  readonly time: number;
}

/** What a rule has seen. */
export interface FilterCounter {
  /** The rule as it was given; null: the policy of the chain. */
  readonly rule: FilterRule | null;
  /** Where. */
  readonly chain: FilterChain;
  /** Packets that matched. */
  readonly packets: number;
  /** Their bytes, IPv4 header included. */
  readonly bytes: number;
}

/** A packet in words, for {@linkcode Filter.decide}. What is not said is 0 or none. */
export interface FilterPacket {
  /** Where. */
  readonly chain: FilterChain;
  /** `tcp`, `udp`, `icmp` or a number. */
  readonly protocol?: string | number;
  /** Source address. */
  readonly saddr?: string;
  /** Destination address. */
  readonly daddr?: string;
  /** Source port. */
  readonly sport?: number;
  /** Destination port. */
  readonly dport?: number;
  /** Device it came in by. */
  readonly iif?: string;
  /** Device it leaves by. */
  readonly oif?: string;
  /** TCP flags that are set: `"syn,ack"`. */
  readonly tcpFlags?: string;
  /** ICMP type. */
  readonly icmpType?: string | number;
}

/** A decision, and whose it was. */
export interface FilterDecision {
  /** What happens. */
  readonly verdict: FilterVerdict;
  /** The rule; null: the policy. */
  readonly rule: FilterRule | null;
}

/** A net's filter. */
export interface Filter {
  /** The rules now. */
  readonly ruleset: FilterRuleset;
  /** Takes other rules, all at once: a packet sees the old ones or the new ones. A wrong one is a TypeError, and the old stay. */
  replace(ruleset: FilterRuleset): void;
  /** What the rules have seen since they were set, in order; the policies last. */
  counters(): FilterCounter[];
  /** What would happen to a packet. Counts nothing, answers nobody. */
  decide(packet: FilterPacket): FilterDecision;
}

/** Its token. */
export const FILTER: Token<Filter> = { name: "netpath:filter" };

/** Options of the plugin. */
export interface FilterOptions extends FilterRuleset {
  /** Gets what rules with `log` matched. Default: nobody. */
  readonly onLog?: (entry: FilterLogEntry) => void;
}
