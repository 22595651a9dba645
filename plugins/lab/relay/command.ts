/**
 * `netpath relay`: a switch that guests join from outside, with addresses, names and lab hosts behind it.
 */
import { parseArgs } from "@std/cli";
import type { Host } from "../../../mod.ts";
import { type CliOutput, type Command, readLab, unknownFlag, urlOf, UsageError, whole } from "../cli/mod.ts";
import { LabFileError } from "../mod.ts";
import type { QemuAddress } from "./doors.ts";
import { relayLab } from "./lab_file.ts";
import { createRelay, type Relay } from "./relay.ts";
import { serveWeb } from "./web.ts";

const HELP = `usage: netpath relay [OPTIONS] [LAB.yaml]

A switch that guests join over WebSocket (v86 and its kin in a browser) or QEMU's stream socket, without root. Behind it
is a router: it gives addresses by DHCP, names by DNS, and leads to lab hosts, without NAT. The lab hosts are those of a
lab file, which then runs on the real clock, or those of --host; without either there is one, web.lab, that serves a
page. Runs until Ctrl-C.

options:
  --websocket PORT     guests over WebSocket on 127.0.0.1 (default 8086; none: not at all)
  --qemu PORT|PATH     guests by QEMU on 127.0.0.1, or on a Unix socket (default 1234; none: not at all)
  --socks PORT         a SOCKS5 door for programs of this machine (default: none)
  --listen ADDRESS     listens there instead of 127.0.0.1: anybody who reaches it can join
  --origin ORIGIN      a page that may join; again for more, "*" for all (default: pages of this machine)
  --guests CIDR        the router's address on the guests' side (default 10.0.2.1/24)
  --lab CIDR           the router's address on the lab's side (default 10.0.3.1/24)
  --domain NAME        domain of the names (default lab)
  --host NAME=MODULE   a lab host; the module's default export is called with it; again for more
  --at NAME            the switch or host of the lab file that the router joins (default: the only switch, else the only
                       host that forwards); on a switch --lab is by default the last free address of the subnet there
  --max-guests N       guests at once, 1 to 4096 (default 64)
  --json               one line of JSON when it is ready, and one for each guest that comes or goes
  --help               shows this

A port of 0 is a free one.

exit code: 0 ended by Ctrl-C, 1 a port is taken or a module does not load, 2 the command line or the lab file makes no
sense

examples:
  netpath relay --socks 1080
  netpath relay --socks 1080 examples/labs/router.yaml
  qemu-system-x86_64 ... -netdev stream,id=n,server=off,addr.type=inet,addr.host=127.0.0.1,addr.port=1234 \\
    -device virtio-net,netdev=n
  new V86({ ..., network_relay_url: "ws://127.0.0.1:8086/" })
  curl --proxy socks5h://127.0.0.1:1080 http://web.lab/
`;

const OPTIONS = [
  "websocket",
  "qemu",
  "socks",
  "listen",
  "origin",
  "guests",
  "lab",
  "domain",
  "host",
  "at",
  "max-guests",
  "json",
];

/** `netpath relay`. */
export const relayCommand: Command = {
  name: "relay",
  about: "a switch that guests join over WebSocket or QEMU, with DHCP, DNS and lab hosts",
  help: HELP,
  run: relay,
};

interface Flags {
  websocket?: string;
  qemu?: string;
  socks?: string;
  listen?: string;
  guests?: string;
  lab?: string;
  domain?: string;
  at?: string;
  "max-guests"?: string;
  _: (string | number)[];
  origin: string[];
  host: string[];
  json: boolean;
}

async function relay(args: string[], io: CliOutput): Promise<number> {
  const flags = parseArgs(args, {
    string: OPTIONS.filter((o) => o !== "json"),
    boolean: ["json"],
    collect: ["origin", "host"],
    unknown: unknownFlag(OPTIONS),
  }) as unknown as Flags;
  const modules = flags.host.map(moduleOf);
  const ended = Promise.withResolvers<void>();
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, ended.resolve);
  try {
    await using made = await make(flags, modules);
    open(made.relay, flags, io);
    const watching = watch(made.relay, flags.json, io);
    await ended.promise;
    clearInterval(watching);
    return 0;
  } catch (error) {
    if (error instanceof UsageError) throw error;
    io.error(error instanceof LabFileError ? error.message : `Cannot relay: ${(error as Error).message}`);
    return error instanceof LabFileError ? 2 : 1;
  } finally {
    for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.removeSignalListener(signal, ended.resolve);
  }
}

interface Module {
  readonly name: string;
  readonly module: string;
}

function moduleOf(text: string): Module {
  const at = text.indexOf("=");
  if (at < 1 || at === text.length - 1) throw new UsageError(`Cannot use --host "${text}": NAME=MODULE`);
  return { name: text.slice(0, at), module: text.slice(at + 1) };
}

/** What is opened to guests: a lab file's hosts, or those of the command line. */
async function make(flags: Flags, modules: readonly Module[]): Promise<{ relay: Relay } & AsyncDisposable> {
  const file = fileOf(flags);
  const options = {
    maxGuests: whole("--max-guests", flags["max-guests"], 64, 1, 4096),
    ...(flags.guests === undefined ? {} : { guests: flags.guests }),
    ...(flags.lab === undefined ? {} : { lab: flags.lab }),
    ...(flags.domain === undefined ? {} : { domain: flags.domain }),
    ...(flags.at === undefined ? {} : { at: flags.at }),
  };
  try {
    if (file !== null) return await relayLab(file, readLab(file), urlOf(file), options);
    await using unfinished = new AsyncDisposableStack();
    const relay = unfinished.use(createRelay(options));
    await fill(relay, modules);
    const finished = unfinished.move();
    return { relay, [Symbol.asyncDispose]: () => finished.disposeAsync() };
  } catch (error) {
    if (error instanceof LabFileError || error instanceof ModuleError) throw error;
    throw new UsageError((error as Error).message);
  }
}

function fileOf(flags: Flags): string | null {
  if (flags._.length > 1) throw new UsageError(`Cannot relay to ${flags._.length} lab files: one`);
  if (flags._.length === 0) {
    if (flags.at !== undefined) throw new UsageError("Cannot use --at without a lab file");
    return null;
  }
  if (flags.host.length > 0) throw new UsageError("Cannot use --host with a lab file: write the host into the file");
  return String(flags._[0]);
}

/** A module of `--host` that cannot be used. */
class ModuleError extends Error {}

/** Lab hosts, and what runs on them. */
async function fill(relay: Relay, modules: readonly Module[]): Promise<void> {
  if (modules.length === 0) serveWeb(relay.host("web"));
  for (const { name, module } of modules) {
    const host = relay.host(name);
    const path = /^\.{0,2}\/|\.[jt]s$/.test(module) && !/^\w+:/.test(module);
    try {
      const app = (await import(path ? new URL(module, `file://${Deno.cwd()}/`).href : module)).default;
      if (typeof app !== "function") throw new TypeError(`${module} does not default-export a function`);
      await (app as (host: Host) => unknown)(host);
    } catch (error) {
      throw new ModuleError((error as Error).message, { cause: error });
    }
  }
}

/** Opens the doors that were asked for, and says where they are. */
function open(relay: Relay, flags: Flags, io: CliOutput): void {
  const where = flags.listen === undefined ? {} : { hostname: flags.listen };
  const port = (name: string, text: string): number => whole(name, text, 0, 0, 65_535);
  const { websocket = "8086", qemu = "1234", socks = "none", origin } = flags;
  const ready: Record<string, unknown> = {};
  if (websocket !== "none") {
    const origins = origin.length === 0 ? {} : { origins: origin };
    ready.websocket = relay.listenWebSocket({ ...where, ...origins, port: port("--websocket", websocket) }).url;
  }
  if (qemu !== "none") {
    const address: QemuAddress = qemu.includes("/") ? { path: qemu } : { ...where, port: port("--qemu", qemu) };
    ready.qemu = relay.listenQemu(address).url;
  }
  if (socks !== "none") {
    const { hostname, port: number } = relay.listenSocks({ port: port("--socks", socks) }).addr;
    ready.socks = `${hostname}:${number}`;
  }
  ready.router = relay.router.addr.list("eth0")[0];
  ready.hosts = Object.fromEntries(
    [...relay.hosts].map(([name, host]) => [`${name}.${relay.domain}`, host.addr.list("eth0")[0].split("/")[0]]),
  );
  io.log(flags.json ? JSON.stringify(ready) : readyText(ready));
}

function readyText(ready: Record<string, unknown>): string {
  const rows: [string, string][] = [];
  const add = (name: string, value: unknown): void => void (value === undefined || rows.push([name, String(value)]));
  add("websocket", ready.websocket);
  add("qemu", ready.qemu);
  add("socks5", ready.socks);
  add("router", `${ready.router} (DHCP, DNS)`);
  for (const [name, address] of Object.entries(ready.hosts as Record<string, string>)) add(name, address);
  const wide = Math.max(...rows.map(([name]) => name.length));
  return [...rows.map(([name, value]) => `${name.padEnd(wide)}  ${value}`), "ready; Ctrl-C ends it"].join("\n");
}

/** Says who comes and goes, and which address a guest got. */
function watch(relay: Relay, json: boolean, io: CliOutput): ReturnType<typeof setInterval> {
  const known = new Map<string, string>();
  const leases = new Set<string>();
  const say = (event: string, what: Record<string, string>): void =>
    io.log(json ? JSON.stringify({ event, ...what }) : `${event} ${Object.values(what).join(" ")}`);
  return setInterval(() => {
    const now = new Map(relay.guests.map((g) => [g.port, g.way]));
    for (const [port, way] of now) if (!known.has(port)) say("joined", { port, way });
    for (const [port, way] of known) if (!now.has(port)) say("left", { port, way });
    known.clear();
    for (const [port, way] of now) known.set(port, way);
    for (const { address, mac, state } of relay.leases) {
      const key = `${address} ${mac}`;
      if (state !== "bound" || leases.has(key)) continue;
      leases.add(key);
      say("leased", { address, mac });
    }
  }, 200);
}
