/**
 * `netpath trace`: the way of chosen packets through a lab, from socket to socket.
 */
import { parseArgs } from "@std/cli";
import { inDevGet } from "../../network/devinet/mod.ts";
import { type JourneyRecord, renderJourney, renderLadder } from "../../observe/journey/mod.ts";
import type { Lab } from "../lab.ts";
import { type CliOutput, type Command, many, unknownFlag, whole } from "./command.ts";
import { type HostNames, parseExpression } from "./expression.ts";
import { labAndRest, named, readLab, runLab, verdict, withLab, withSeed } from "./session.ts";
import { PacketWatch } from "./watch.ts";

const HELP = `usage: netpath trace [OPTIONS] LAB.yaml [EXPRESSION]

Runs a lab file and shows the way of the packets that the expression means, step by step: function, context, buffer,
copies, verdicts. Without an expression: of all. What the file expects is tried, too; its captures are not written.

expression, as of pcap-filter(7):
  tcp  udp  icmp  ip  arp        the protocol
  host H  net N  port P  portrange A-B
                                 with src, dst or a protocol in front: tcp dst port 80; H may be a host of the lab
  less N  greater N              bytes of the frame
  and  or  not  ( )              as && || !, too

options:
  --drops-only     only packets that are dropped
  --on HOST        only steps on this host or switch
  --limit N        packets shown at most (default 100); what is left out is counted
  --ladder         TCP connections as ladders instead: an arrow per segment
  --json           one JSON object a line: the recorded events
  --seed N         another seed than the file's
  --width N        columns, 60 to 300 (default: the terminal's, or 140)
  --no-remarks     leaves out where textbook and kernel differ
  --color          ANSI colours although this is no terminal
  --help           shows this

exit code: 0 all that was expected holds, 1 something does not, 2 the file or the expression cannot be used, 130 Ctrl-C

examples:
  netpath trace examples/labs/two_hosts.yaml icmp
  netpath trace examples/labs/custom_plugin.yaml --drops-only
  netpath trace examples/labs/bad_network.yaml --ladder --limit 20 tcp port 80 and host web
  netpath trace examples/labs/router.yaml --json 'udp or (tcp and not port 22)' | jq -r .point | sort | uniq -c
`;

/** `netpath trace`. */
export const traceCommand: Command = {
  name: "trace",
  about: "runs a lab file and shows the way of chosen packets",
  help: HELP,
  run: trace,
};

const FLAGS = ["drops-only", "on", "limit", "ladder", "json", "seed", "width", "remarks", "color"];

interface TraceOptions {
  readonly dropsOnly: boolean;
  readonly on: string | undefined;
  readonly limit: number;
  readonly ladder: boolean;
  readonly json: boolean;
  readonly width: number;
  readonly remarks: boolean;
  readonly color: boolean;
}

async function trace(args: string[], io: CliOutput): Promise<number> {
  const flags = parseArgs(args, {
    string: ["on", "limit", "seed", "width", "_"],
    boolean: ["drops-only", "ladder", "json", "remarks", "color"],
    negatable: ["remarks", "color"],
    default: { remarks: true, color: io.color },
    unknown: unknownFlag([...FLAGS, "no-remarks", "no-color"]),
  });
  const options: TraceOptions = {
    dropsOnly: flags["drops-only"],
    on: flags.on,
    limit: whole("--limit", flags.limit, 100, 1, 1e6),
    ladder: flags.ladder,
    json: flags.json,
    width: whole("--width", flags.width, Math.min(300, Math.max(60, io.width)), 60, 300),
    remarks: flags.remarks,
    color: flags.color,
  };
  const [file, ...words] = labAndRest(flags._);
  const text = withSeed(readLab(file), flags.seed);
  return await withLab(file, text, async (loaded, signal) => {
    const { lab } = loaded;
    const nets = options.on === undefined
      ? null
      : [named("host", options.on, [...lab.hosts.keys(), ...lab.switches.keys()])];
    const test = parseExpression(words.join(" "), hostNames(lab));
    using watch = new PacketWatch(lab.machine, { test, nets, dropsOnly: options.dropsOnly, limit: options.limit });
    const result = await runLab(loaded, io);
    if (signal.aborted) return 0;
    tell(watch.records(), watch.left, options, io);
    return verdict(result, io);
  });
}

/** The hosts of a lab by name, for expressions. */
export function hostNames(lab: Lab): HostNames {
  return {
    names: [...lab.hosts.keys()],
    addresses: (name) => {
      const host = lab.hosts.get(name);
      if (host === undefined) return null;
      const own = host.link.list().filter((dev) => dev.name !== "lo");
      return own.flatMap((dev) => (inDevGet(dev)?.ifaList ?? []).map((ifa) => ifa.local));
    },
  };
}

function tell(records: readonly JourneyRecord[], left: number, options: TraceOptions, io: CliOutput): void {
  const { color, width, remarks } = options;
  const rest = left === 0 ? "" : `; ${many(left, "more packet")} left out (--limit)`;
  if (options.json) {
    for (const r of records) io.log(JSON.stringify(r));
    if (left > 0) io.error(`${many(left, "more packet")} left out (--limit)`);
    return;
  }
  if (options.ladder) {
    if (records.length > 0) io.log(renderLadder(records, { color, width: Math.min(width, 132) }));
  } else if (records.length > 0) io.log(renderJourney(records, { color, width, remarks }));
  const packets = new Set(records.map((r) => r.id).filter((id) => id !== 0)).size;
  const drops = records.filter((r) => r.drop !== null).length;
  io.log(`${many(packets, "packet")}, ${many(records.length, "step")}, ${many(drops, "drop")}${rest}`);
}
