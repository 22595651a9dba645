/**
 * A small firewall: rules that match by protocol, address, port, device, TCP flags and ICMP type, and accept, drop, reject
 * (with the right RST or ICMP error), count and log. Without state; connections are conntrack's. The rules are plain data,
 * and are replaced as a whole while packets flow. Linux: nftables' filter chains, net/netfilter/nf_tables_core.c.
 *
 * @example A host that takes SSH from its own net, and says no to the rest
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createHost } from "@netpath/stack";
 * import { expectAccept, expectDrop, FILTER, filter } from "@netpath/stack/filter";
 *
 * const host = createHost();
 * host.net.use(filter({
 *   policy: { input: "drop" },
 *   rules: [
 *     { chain: "input", iif: "lo", verdict: "accept" },
 *     { chain: "input", protocol: "tcp", saddr: "10.0.0.0/24", dport: 22, verdict: "accept" },
 *     { chain: "input", protocol: "tcp", verdict: "reject", comment: "a RST" },
 *   ],
 * }));
 * const rules = host.net.get(FILTER);
 * expectAccept(rules, { chain: "input", protocol: "tcp", saddr: "10.0.0.7", dport: 22 });
 * expectDrop(rules, { chain: "input", protocol: "udp", saddr: "10.0.0.7", dport: 53 });
 * assertEquals(rules.decide({ chain: "input", protocol: "tcp", saddr: "1.2.3.4", dport: 22 }).verdict, "reject");
 * assertEquals((await host.ping("127.0.0.1")).bytes, 56);
 * assertEquals(rules.counters()[0].packets, 2); // the request, and its reply
 * ```
 *
 * @module
 */
import type { Net, Plugin, SkBuff } from "../../../core/mod.ts";
import { FIB } from "../fib/contract.ts";
import { INET } from "../inet/contract.ts";
import { needIp } from "../inet/header.ts";
import { IPV4 } from "../ipv4/contract.ts";
import {
  NETFILTER,
  NF_ACCEPT,
  NF_DROP,
  NF_IP_PRI,
  type NfHookState,
  nfRegisterNetHook,
} from "../netfilter/contract.ts";
import { FilterAnswers } from "./answer.ts";
import { CHAINS, type Compiled, compileRule, flagsOf, numberOf, V_ACCEPT, V_DROP, V_REJECT } from "./compile.ts";
import {
  FILTER,
  type Filter,
  type FilterCounter,
  type FilterDecision,
  type FilterLogEntry,
  type FilterOptions,
  type FilterPacket,
  type FilterRuleset,
} from "./contract.ts";
import { describe } from "./log.ts";
import { Fields, matches } from "./match.ts";

export * from "./contract.ts";

/** The rules of one chain in numbers. */
interface Chain {
  readonly rules: readonly Compiled[];
  readonly policy: number;
  packets: number;
  bytes: number;
}

/** The filter of one net. */
class FilterState implements Filter {
  declare ruleset: FilterRuleset;
  readonly #net: Net;
  readonly #answers: FilterAnswers;
  readonly #onLog: ((entry: FilterLogEntry) => void) | null;
  readonly #fields = new Fields();
  #chains: readonly Chain[];
  #all: readonly Compiled[] = [];

  constructor(net: Net, options: FilterOptions) {
    this.#net = net;
    this.#answers = new FilterAnswers(net);
    this.#onLog = options.onLog ?? null;
    this.ruleset = options;
    this.#chains = this.#compile(options);
  }

  replace(ruleset: FilterRuleset): void {
    this.#chains = this.#compile(ruleset);
    this.ruleset = ruleset;
  }

  #compile(ruleset: FilterRuleset): Chain[] {
    const all = ruleset.rules.map(compileRule);
    const { policy = {} } = ruleset;
    for (const [chain, verdict] of Object.entries(policy)) {
      if (!(CHAINS as readonly string[]).includes(chain)) {
        throw new TypeError(`Cannot set a policy of "${chain}": there are ${CHAINS.join(", ")}`);
      }
      if (verdict !== "accept" && verdict !== "drop") {
        throw new TypeError(`Cannot set the policy of ${chain} to "${verdict}": it is accept or drop`);
      }
    }
    this.#all = all;
    return CHAINS.map((chain) => ({
      rules: all.filter((r) => r.rule.chain === chain),
      policy: policy[chain] === "drop" ? V_DROP : V_ACCEPT,
      packets: 0,
      bytes: 0,
    }));
  }

  /** The hook. Borrows `skb`. */
  hook(skb: SkBuff, state: NfHookState): number {
    const chain = this.#chains[state.hook];
    if (chain.rules.length === 0 && chain.policy === V_ACCEPT) return NF_ACCEPT;
    const f = this.#fields;
    f.read(skb, state.in?.name ?? "", state.out?.name ?? "");
    for (const rule of chain.rules) {
      if (!matches(rule, f)) continue;
      rule.packets++;
      rule.bytes += f.len;
      if (rule.log !== null) this.#log(rule, state.hook, skb);
      if (rule.verdict === V_ACCEPT) return NF_ACCEPT;
      if (rule.verdict === V_REJECT) this.#answers.send(skb, rule.reject);
      if (rule.verdict >= V_DROP) return NF_DROP;
    }
    chain.packets++;
    chain.bytes += f.len;
    return chain.policy === V_ACCEPT ? NF_ACCEPT : NF_DROP;
  }

  #log(rule: Compiled, hook: number, skb: SkBuff): void {
    this.#onLog?.({
      prefix: rule.log ?? "",
      chain: CHAINS[hook],
      text: describe(this.#fields, skb.view.getUint8(skb.networkHeader + 8)),
      time: this.#net.machine.now,
    });
  }

  counters(): FilterCounter[] {
    const of = ({ rule, packets, bytes }: Compiled): FilterCounter => ({ rule, chain: rule.chain, packets, bytes });
    return [
      ...this.#all.map(of),
      ...this.#chains.map(({ packets, bytes }, i) => ({ rule: null, chain: CHAINS[i], packets, bytes })),
    ];
  }

  decide(packet: FilterPacket): FilterDecision {
    const chain = this.#chains[CHAINS.indexOf(packet.chain)];
    if (chain === undefined) throw new TypeError(`Cannot decide about a packet: no chain "${packet.chain}"`);
    const f = fieldsOf(packet);
    const rule = chain.rules.find((r) => r.verdict >= V_DROP && matches(r, f));
    const verdict = rule?.verdict ?? chain.policy;
    return {
      verdict: verdict === V_ACCEPT ? "accept" : verdict === V_DROP ? "drop" : "reject",
      rule: rule?.rule ?? null,
    };
  }
}

function fieldsOf(packet: FilterPacket): Fields {
  const f = new Fields();
  f.protocol = packet.protocol === undefined ? 0 : numberOf(packet.protocol, "protocol");
  f.saddr = packet.saddr === undefined ? 0 : needIp(packet.saddr, "saddr") >>> 0;
  f.daddr = packet.daddr === undefined ? 0 : needIp(packet.daddr, "daddr") >>> 0;
  const ports = f.protocol === 6 || f.protocol === 17;
  f.sport = packet.sport ?? (ports ? 0 : -1);
  f.dport = packet.dport ?? (ports ? 0 : -1);
  f.iif = packet.iif ?? "";
  f.oif = packet.oif ?? "";
  const fail = (what: string): never => {
    throw new TypeError(`Cannot decide about a packet: ${what}`);
  };
  f.flags = f.protocol === 6 ? flagsOf(packet.tcpFlags, fail)[0] : -1;
  f.icmpType = packet.icmpType === undefined ? -1 : numberOf(packet.icmpType, "icmpType");
  return f;
}

/** The filter, at nft's priority "filter" in all five places; {@linkcode FILTER} has its rules. */
export function filter(options: FilterOptions = { rules: [] }): Plugin {
  return {
    name: "filter",
    api: 1,
    requires: [NETFILTER, INET, FIB, IPV4],
    provides: [FILTER],
    setup(net) {
      const st = new FilterState(net, options);
      net.provide(FILTER, st);
      CHAINS.forEach((chain, hook) =>
        nfRegisterNetHook(net, {
          name: `filter-${chain}`,
          hook,
          priority: NF_IP_PRI.FILTER,
          fn: (skb, state) => st.hook(skb, state),
        })
      );
    },
  };
}

/** For tests: throws an Error that says which rule decided otherwise unless `packet` is accepted. */
export function expectAccept(filter: Filter, packet: FilterPacket): void {
  expect(filter, packet, (d) => d.verdict === "accept", "accepted");
}

/** For tests: throws an Error that says which rule let it through unless `packet` is dropped or rejected. */
export function expectDrop(filter: Filter, packet: FilterPacket): void {
  expect(filter, packet, (d) => d.verdict !== "accept", "dropped");
}

function expect(filter: Filter, packet: FilterPacket, right: (d: FilterDecision) => boolean, what: string): void {
  const decision = filter.decide(packet);
  if (right(decision)) return;
  const { verdict, rule } = decision;
  const by = rule === null ? `the policy of ${packet.chain}` : `rule ${filter.ruleset.rules.indexOf(rule) + 1}`;
  throw new Error(
    `Expected ${JSON.stringify(packet)} to be ${what}, but ${by} says ${verdict}${
      rule ? `: ${JSON.stringify(rule)}` : ""
    }`,
  );
}
