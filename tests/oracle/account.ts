/**
 * Compares what the two halves counted and why they dropped. Where netpath is meant to differ it says so here, and in FINDINGS.md under
 * "Where netpath differs".
 *
 * @module
 */

import { compare, type Comparison } from "./compare.ts";
import { netpathCounts } from "./netpath.ts";
import type { Answer, Answers, Scenario, Step } from "./scenario.ts";
import { addressesOf } from "./scenarios.ts";

type Delta = Record<string, number>;

/** Reasons of the kernel that netpath has another word for: no IPv6 here, and a tag of no VLAN is an EtherType like others. */
const OTHER_WORD: Record<string, string> = { IPV6DISABLED: "UNHANDLED_PROTO", OTHERHOST: "UNHANDLED_PROTO" };

/** Drops that the kernel makes without a word: fragments of a queue that dies, and what its LLC module eats. */
const SILENT: readonly string[] = ["FRAG_CORRUPT", "DUP_FRAG", "UNHANDLED_PROTO"];

/**
 * Whether the reasons are alike. Where the kernel says NOT_SPECIFIED, netpath says more; UDP's checksum is once per datagram, not per socket.
 * `reassembled`: joining fragments, the kernel gives emptied buffers back as drops.
 */
export function sameReasons(kernel: readonly string[], netpath: readonly string[], reassembled = false): boolean {
  const rest = [...netpath];
  let unspecified = 0;
  let last = "";
  for (const reason of kernel) {
    const at = rest.findIndex((mine) => mine === reason || mine === OTHER_WORD[reason]);
    if (at >= 0) rest.splice(at, 1);
    else if (reason === "NOT_SPECIFIED") unspecified++;
    else if (reason !== "UDP_CSUM" || last !== reason) return false;
    last = reason;
  }
  return (reassembled || rest.length >= unspecified) &&
    rest.filter((mine) => !SILENT.includes(mine)).length <= unspecified;
}

const UDP_CHECKSUM: readonly string[] = ["Udp.InErrors", "Udp.InCsumErrors", "Udp.IgnoredMulti"];

/** The counters to compare. Of a broadcast or multicast datagram netpath checks the checksum before it looks for sockets. */
function comparable(delta: Delta, door: boolean): Delta {
  const kept = Object.entries(delta).filter(([name]) => netpathCounts(name) && !(door && UDP_CHECKSUM.includes(name)));
  return Object.fromEntries(kept);
}

function deltaOf(answers: readonly Answer[]): Delta {
  const found = answers.find((answer) => answer.kind === "counters");
  return found?.kind === "counters" ? found.delta : {};
}

function reasonsOf(answers: readonly Answer[]): string[] {
  const found = answers.find((answer) => answer.kind === "drops");
  return found?.kind === "drops" ? found.reasons.map((reason) => reason.split(" ")[0]) : [];
}

/** Both sides' accounts of one step, with what is meant to differ made alike. */
function accounts(kernel: readonly Answer[], netpath: readonly Answer[], drops: boolean): [Answer[], Answer[]] {
  const [left, right] = [deltaOf(kernel), deltaOf(netpath)];
  const toMany = "IpExt.InBcastPkts" in right || "IpExt.InMcastPkts" in right;
  const door = toMany && "Udp.InCsumErrors" in right;
  const out = [left, right].map((delta): Answer[] => [{ kind: "counters", delta: comparable(delta, door) }]);
  const reasons = [reasonsOf(kernel), reasonsOf(netpath)];
  if (drops && !sameReasons(reasons[0], reasons[1], "Ip.ReasmOKs" in left)) {
    out.forEach((list, side) => list.push({ kind: "drops", reasons: reasons[side] }));
  }
  return [out[0], out[1]];
}

/**
 * Compares counters, and drop reasons if the kernel half recorded them: those of frames, since the trace of the kernel half does not see
 * what timers drop.
 */
export function compareAccounts(
  scenario: Scenario,
  steps: readonly Step[],
  kernel: Answers,
  netpath: Answers,
  drops: boolean,
): Comparison {
  const pairs = kernel.map((list, i) => accounts(list, netpath[i] ?? [], drops && steps[i]?.kind === "frame"));
  const own = addressesOf(scenario).own;
  const options = { own, counters: () => true, drops };
  return compare(steps, pairs.map(([left]) => left), pairs.map(([, right]) => right), options);
}
