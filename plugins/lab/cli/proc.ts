/**
 * `netpath proc`: what `ip`, `ss` and `nstat` would print on a host of a lab.
 */
import { parseArgs } from "@std/cli";
import type { Net } from "../../../core/mod.ts";
import type { Lab } from "../lab.ts";
import { type CliOutput, type Command, unknownFlag } from "./command.ts";
import { ALL_COMMANDS, linuxCommand } from "./proc/command.ts";
import { labAndRest, named, readLab, runLab, timeOf, verdict, withLab, withSeed } from "./session.ts";

const HELP = `usage: netpath proc [OPTIONS] LAB.yaml [HOST [COMMAND...]]

Runs a lab file and prints what a command of Linux would print on one of its hosts at the end, while its applications
still run: in the layout of iproute2. Without a command: all of them; without a host: on all hosts. What the file expects
is tried, too; its captures are not written.

commands:
  ip addr [DEV]            addresses
  ip [-s] link [DEV]       devices; with -s their counters
  ip route [table local]   routes
  ip neigh [dev DEV]       neighbours
  ss [-a] [-l] [-t] [-u] [-w] [-i]
                           sockets: -a all, -l listening, -t TCP, -u UDP, -w raw, -i what TCP knows; ports are numbers
  nstat [-a] [-z]          counters of IP, ICMP, UDP and TCP; with -z also those that are 0
  cat FILE                 /proc/net/softnet_stat or /proc/interrupts, of the machine that all hosts share: a line or a
                           column for each CPU

options, in front of LAB.yaml:
  --at TIME        at this time of the lab instead: 500ms, 2s
  --seed N         another seed than the file's
  --help           shows this

exit code: 0 all that was expected (until then) holds, 1 something does not, 2 the file or the command cannot be used,
130 Ctrl-C

examples:
  netpath proc examples/labs/router.yaml router ip route
  netpath proc examples/labs/two_hosts.yaml a ip -s link
  netpath proc --at 5s examples/labs/bufferbloat.yaml one ss -ti
  netpath proc examples/labs/bad_network.yaml web nstat | grep Retrans
`;

/** `netpath proc`. */
export const procCommand: Command = {
  name: "proc",
  about: "what ip, ss and nstat would print on a host of a lab",
  help: HELP,
  run: proc,
};

async function proc(args: string[], io: CliOutput): Promise<number> {
  const flags = parseArgs(args, {
    string: ["at", "seed", "_"],
    // What stands behind the file belongs to the command: ss -t.
    stopEarly: true,
    unknown: unknownFlag(["at", "seed"]),
  });
  const until = timeOf("--at", flags.at);
  const [file, host, ...words] = labAndRest(flags._);
  return await withLab(file, withSeed(readLab(file), flags.seed), async (loaded, signal) => {
    const { lab } = loaded;
    const all = [...lab.hosts.keys(), ...lab.switches.keys()];
    const hosts = host === undefined ? [...lab.hosts.keys()] : [named("host", host, all)];
    // A wrong command is said before anything runs.
    if (words.length > 0) linuxCommand(netOf(lab, hosts[0]), words);
    const lines: string[] = [];
    const result = await runLab(loaded, io, {
      ...(until === undefined ? {} : { until }),
      onEnd: () => {
        for (const name of hosts) lines.push(...shown(lab, name, words, hosts.length > 1, io));
      },
    });
    if (signal.aborted) return 0;
    for (const line of lines) io.log(line);
    return verdict(result, io);
  });
}

function netOf(lab: Lab, name: string): Net {
  return lab.switches.get(name)?.net ?? lab.host(name).net;
}

function shown(lab: Lab, name: string, words: readonly string[], several: boolean, io: CliOutput): string[] {
  const net = netOf(lab, name);
  if (words.length > 0) return linuxCommand(net, words);
  const title = (text: string): string => io.color ? `\x1b[1m${text}\x1b[0m` : text;
  return ALL_COMMANDS.flatMap((command) => [
    title(`${several ? `${name} ` : ""}$ ${command.join(" ")}`),
    ...linuxCommand(net, command),
    "",
  ]);
}
