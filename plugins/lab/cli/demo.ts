/**
 * `netpath demo`: a ping, a datagram and an HTTP request between two hosts; what every packet goes through, how a lost
 * segment is sent again, and every byte that was copied.
 */
import { parseArgs } from "@std/cli";
import {
  createHost,
  type Host,
  Machine,
  NF_ACCEPT,
  NF_INET_LOCAL_IN,
  NF_INET_LOCAL_OUT,
  NF_INET_POST_ROUTING,
  NF_INET_PRE_ROUTING,
  nfRegisterNetHook,
} from "../../../mod.ts";
import { type Nic, nic, type Wire, wire } from "../../device/nic/mod.ts";
import { journey, REMARKS } from "../../observe/journey/mod.ts";
import { type CliOutput, type Command, oneOf, unknownOption, whole } from "./command.ts";
import { httpDemo } from "./demo_http.ts";
import { Teller, type TellerOptions } from "./teller.ts";

const HELP = `usage: netpath demo [OPTIONS]

Two hosts with a NIC each on one wire, in one process on virtual time. A ping, a UDP datagram and an HTTP request go down
the sender and up the receiver; every step is printed with its Linux function, its context and the buffer it works on.
One segment of the HTTP response is lost on the wire and sent again.

options:
  --seed N         seed of the virtual machine, a whole number (default 1); one seed, one output
  --size N         payload bytes of the datagram, 0 to 1472 (default 32)
  --only PART      one part alone: ping, udp or http
  --json           one JSON object a line instead: the recorded events
  --width N        columns, 60 to 300 (default: the terminal's, or 140)
  --no-remarks     leaves out where textbook and kernel differ
  --color          ANSI colours although this is no terminal
  --help           shows this

exit code: 0 fine, 2 the command line makes no sense

examples:
  netpath demo
  netpath demo --only http
  netpath demo --size 1000 --no-remarks
  netpath demo --json | jq -r 'select(.drop) | .drop.name'
`;

/** The command. */
export const demoCommand: Command = {
  name: "demo",
  about: "a ping, a UDP datagram and an HTTP request between two hosts",
  help: HELP,
  run: demo,
};

interface DemoOptions extends TellerOptions {
  readonly seed: number;
  readonly size: number;
  readonly only: string;
}

const FLAGS = ["seed", "size", "only", "json", "width", "remarks", "color", "no-remarks", "no-color"];
const PARTS = ["", "ping", "udp", "http"];

function optionsOf(args: string[], io: CliOutput): DemoOptions {
  const flags = parseArgs(args, {
    string: ["seed", "size", "width", "only"],
    boolean: ["json", "remarks", "color"],
    negatable: ["remarks", "color"],
    default: { remarks: true, color: io.color },
    unknown: unknownOption(FLAGS),
  });
  return {
    seed: whole("--seed", flags.seed, 1, 0, 0x7fffffff),
    size: whole("--size", flags.size, 32, 0, 1472),
    only: oneOf("--only", flags.only ?? "", PARTS),
    json: flags.json,
    width: whole("--width", flags.width, Math.min(300, Math.max(60, io.width)), 60, 300),
    remarks: flags.remarks,
    color: flags.color,
  };
}

/** The two hosts of the demo, on one wire. */
export interface DemoLab {
  /** The machine. */
  readonly machine: Machine;
  /** 10.0.0.1. */
  readonly a: Host;
  /** 10.0.0.2. */
  readonly b: Host;
  /** Between them. */
  readonly cable: Wire;
  /** Their NICs. */
  readonly nics: readonly Nic[];
}

function lab(seed: number): DemoLab {
  const machine = new Machine({ seed });
  const cable = wire(machine);
  const a = createHost({ machine, name: "a" });
  const b = createHost({ machine, name: "b" });
  const nics = [
    nic(a.net, "eth0", { wire: cable, address: "02:00:00:00:00:0a" }),
    nic(b.net, "eth0", { wire: cable, address: "02:00:00:00:00:0b" }),
  ];
  a.addr.add("eth0", "10.0.0.1/24");
  b.addr.add("eth0", "10.0.0.2/24");
  for (const { net } of [a, b]) {
    // A rule at each point that accepts: hooks cost nothing where there are none, and would not show.
    for (const hook of [NF_INET_PRE_ROUTING, NF_INET_LOCAL_IN, NF_INET_LOCAL_OUT, NF_INET_POST_ROUTING]) {
      nfRegisterNetHook(net, { name: "demo", hook, fn: () => NF_ACCEPT });
    }
  }
  return { machine, a, b, cable, nics };
}

async function demo(args: string[], io: CliOutput): Promise<number> {
  const options = optionsOf(args, io);
  const hosts = lab(options.seed);
  using machine = hosts.machine;
  machine.runUntilIdle();
  machine.ledger.reset();
  using trace = journey(machine);
  const tell = new Teller(io, options, trace);
  if (!options.json) intro(tell);
  const parts: [string, () => Promise<void>][] = [
    ["ping", () => pingDemo(tell, hosts)],
    ["udp", () => udpDemo(tell, hosts, options.size)],
    ["http", () => httpDemo(tell, hosts, trace)],
  ];
  for (const [name, run] of parts) {
    if (options.only !== "" && options.only !== name) continue;
    trace.clear();
    await run();
  }
  if (!options.json) closing(tell, hosts);
  return 0;
}

async function pingDemo(tell: Teller, { a }: DemoLab): Promise<void> {
  tell.section("1", "ping 10.0.0.2 from a: an ICMP echo, with ARP resolving on the way");
  const reply = await a.ping("10.0.0.2");
  tell.journey();
  tell.text(
    `${reply.bytes} bytes from ${reply.from}: seq=${reply.seq} ttl=${reply.ttl} time=${reply.timeNs} ns (virtual)\n`,
  );
}

async function udpDemo(tell: Teller, { a, b }: DemoLab, size: number): Promise<void> {
  using server = b.listenDatagram({ port: 7, hostname: "10.0.0.2" });
  using client = a.listenDatagram({ port: 4096, hostname: "10.0.0.1" });
  const reading = server.receive();
  tell.section("2", `a UDP datagram of ${size} bytes from a to b; b waits in receive()`);
  const payload = Uint8Array.from({ length: size }, (_, i) => 0x61 + i % 26);
  await client.send(payload, { transport: "udp", hostname: "10.0.0.2", port: 7 });
  const [data] = await reading;
  tell.journey();
  tell.text(`b received ${data.length} bytes, the same bytes: ${String.fromCharCode(...data.slice(0, 40))}\n`);
}

function intro(tell: Teller): void {
  const context = ["process", "hardirq", "softirq", "ksoftirqd"].map((name) => tell.context(name)).join(", ");
  tell.text(`${tell.bold("netpath demo")}: two hosts, one wire, one process, virtual time

   host a  10.0.0.1                                                    host b  10.0.0.2
  ┌────────────────────────────┐                                    ┌────────────────────────────┐
  │ socket ▼ udp ▼ ipv4 ▼ eth0 │═══ TX ring ══ wire ══ RX ring ═══▶ │ eth0 ▲ ipv4 ▲ udp ▲ socket │
  └────────────────────────────┘                                    └────────────────────────────┘

${tell.bold("How to read it.")} One line is one step: ▼ towards the wire, ▲ towards the reader, · the machine itself.
  context   who runs it: ${context}
  buffer    its bytes, 4 a character (8 where it is narrow): ${tell.bold("E")} Ethernet, ${tell.bold("I")} IPv4, ${
    tell.bold("U")
  } transport, ${tell.bold("A")} ARP, ▒ payload, · headroom;
            small letters are headers that were stripped: still in memory, in front of data; ░ is payload that is only referred
            to: TCP's clones share it with the original
  data, len bytes from the start of the buffer to data (its headroom), and the packet's length for this layer
  ≡         bytes that were really moved, by whom, at which place
  R7, T12   the claim of the description of Linux (SOURCE.md) that the step shows
`);
}

function closing(tell: Teller, { machine, a, b, nics }: DemoLab): void {
  tell.section("4", "the copy ledger: every byte that was moved since the start of the demo");
  const rows = machine.ledger.snapshot().filter((s) => s.calls > 0);
  tell.table(["site", "who", "moves", "bytes"], rows.map((s) => [s.name, s.kind, s.calls, s.bytes]));
  const { ledger } = machine;
  tell.text(
    `  by the CPU ${ledger.total("cpu")} bytes, by DMA ${ledger.total("dma")} bytes, ` +
      `headers into private heads ${ledger.total("header")} bytes.\n` +
      "  A payload is copied once in and once out; between them only data moved. The clones of TCP share the bytes of\n  the originals, and what is sent again is not copied again.\n",
  );

  tell.section("5", "drops");
  const drops = [a, b].flatMap((h) => Object.entries(h.net.dropTable()).map(([name, n]) => [h.net.name, name, n]));
  if (drops.length === 0) tell.text("  none\n");
  else tell.table(["net", "reason", "packets"], drops);

  tell.section("6", "interrupts, NAPI, softirqs");
  tell.table(
    ["net", "irq", "line", "handled", "found it masked", "masked now"],
    nics.flatMap((n) =>
      [n.rxIrq, n.txIrq].map((
        l,
      ) => [n.net.name, String(l.irq), l.name, l.count, l.suppressed, l.masked ? "yes" : "no"])
    ),
  );
  tell.table(
    ["net", "device", "NAPI polls", "packets in", "packets out", "missed", "doorbells"],
    nics.map(({ net, dev, napi, counters }) => [
      net.name,
      dev.name,
      napi.polls,
      dev.stats.rxPackets,
      dev.stats.txPackets,
      dev.stats.rxMissed,
      counters.doorbells,
    ]),
  );
  tell.table(
    ["cpu", "processed", "softirq runs", "time_squeeze", "ksoftirqd woken"],
    machine.cpus.map((c) => [c.id, c.processed, c.softirqRuns, c.timeSqueeze, c.ksoftirqdWakes]),
  );

  tell.section("7", "where the textbook and the kernel differ");
  for (const r of REMARKS) {
    tell.entry("textbook", `${r.textbook}  [${r.claims.join(", ")}]`);
    tell.entry("kernel", `${r.kernel}\n`);
  }
}
